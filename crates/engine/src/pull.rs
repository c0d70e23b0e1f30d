//! From a decision to a write of the source: which columns get what, what is agreed on afterwards, and the effect
//! that records it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use syncbridge_domain::agreed::{Agreed, source_hash, target_hash};
use syncbridge_domain::conflict::{ParkReason, ParkedConflict, Side};
use syncbridge_domain::convert_back::{survives, to_source};
use syncbridge_domain::dirty::TargetHint;
use syncbridge_domain::effect::{AfterState, EffectKind, ItemLink, NewEffect};
use syncbridge_domain::failure::{FIRST_INSERTS, Failure, SUSPECTED_GONE, Scope};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::item_subject::item_of;
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::mapping::FieldMapping;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::receipt::{Fields, Item};
use syncbridge_domain::reconcile::{Decision, FieldDecision, Later, RowDecision};
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::row_write::{Assignment, RowWrite};
use syncbridge_domain::version::Version;

use crate::ports::PortResult;
use crate::ports::pull_memory::PullMemory;
use crate::session::{Session, World};
use crate::work::{Held, Intent, RowAttempt, Work};

impl<W: World> Session<'_, W> {
    /// Whether the list's value would cut what the source holds now.
    pub(crate) fn pull_would_lose(&self, field: &FieldMapping, cell: Option<&Cell>) -> bool {
        field.direction == Direction::Both
            && cell.is_some_and(|cell| !survives(field, self.spec.mapping.time_zone, cell))
    }

    /// What has to be known before a row whose item may have changed is judged at all; in time order.
    pub(crate) fn look_first(&self, work: &Work) -> Option<Intent> {
        if work.target != Presence::Unseen {
            return None;
        }
        match work.heard.hint {
            // Whether a row that is held is the same on both sides again is seen on both sides only.
            TargetHint::Presumed => (work.held == Held::Yes).then_some(Intent::Look),
            TargetHint::Changed | TargetHint::Missing => Some(Intent::Look),
            // A list that hides an item for a moment must not cost a row.
            TargetHint::Deleted
                if self.pulls()
                    && work.heard.age < self.delete_delay()
                    && !syncbridge_domain::sabotaged!("deletion believed before its delay") =>
            {
                Some(Intent::Wait)
            }
            TargetHint::Deleted => Some(Intent::Look),
        }
    }

    /// Whether an item that is not there for us is proven to be gone (DESIGN §5). A push may take a 404 for it, since
    /// the most it does is to make the item anew.
    pub(crate) fn absence_is_proven(&self, work: &Work) -> bool {
        let reported = work.heard.hint == TargetHint::Deleted
            || syncbridge_domain::sabotaged!("delete inferred from an incomplete pass");
        let visible = self.sees_everything()
            || syncbridge_domain::sabotaged!("absence believed without full visibility");
        !self.pulls() || reported && visible || self.spec.options.approve_unagreed
    }

    /// An item that is not there for us and may yet exist.
    pub(crate) fn suspected(&self, work: &Work) -> Intent {
        let failure = Failure::new(
            Scope::Row,
            SUSPECTED_GONE,
            "the item is not there for us any more, and it is not proven that it was deleted: it may wait for approval \
             or have permissions of its own",
            format!(
                "look for it in the list; if it is gone, `syncbridge run {} --approve` lets the row follow it. Where the \
                 app has full control and the list no approval, `fullVisibility: attested` makes a look proof enough",
                self.spec.definition_name
            ),
        );
        let cells = work.source.one().map(|row| row.cells.as_slice());
        Intent::Quarantine(Box::new(self.quarantine(&work.subject, cells, failure)))
    }

    pub(crate) fn gone_and_edited(&self) -> Failure {
        Failure::new(
            Scope::Row,
            "conflict.deleted",
            "the row was deleted on one side and edited on the other, and a person is to choose",
            "delete it on the other side too, or bring it back where it was deleted",
        )
    }

    /// Which side changed later, where a policy asks: by the row's own instant of change and the list's, which counts
    /// only where the item is newer than what was agreed on.
    pub(crate) fn later(&self, work: &Work) -> Later {
        let (Some(source), Some(item), Some(base)) = (work.source.one(), work.target.one(), &work.base)
        else {
            return Later::Source;
        };
        let newer = item.version.guid == base.version.guid && item.version.counter > base.version.counter;
        let ours = source.changed_at();
        match (ours, item.modified) {
            (Some(ours), Some(theirs)) if newer && is_later(theirs, ours) => Later::Target,
            _ => Later::Source,
        }
    }

    /// Fields whose values go from the list into the row now.
    pub(crate) fn fields_to_take(&self, decision: &Decision) -> Vec<usize> {
        use FieldDecision as F;
        let causes = |f: &F| matches!(f, F::ToSource | F::ConflictToSource);
        if !decision.fields.iter().any(causes) {
            return Vec::new();
        }
        let fields = decision.fields.iter().zip(&self.spec.mapping.fields).enumerate();
        fields
            .filter(|(_, (decided, field))| {
                causes(decided)
                    || **decided == F::RideToSource
                    // What was edited in the source and is the list's goes back with it.
                    || **decided == F::ForeignReported && field.direction == Direction::Pull
            })
            .map(|(at, _)| at)
            .collect()
    }

    /// The item's version as the ledger may take it: the present one only where nothing it shows is still to be judged.
    pub(crate) fn version_agreed_on(&self, work: &Work, base: &LedgerRow, agreed: &Agreed) -> Version {
        match work.target.one() {
            Some(item)
                if self.pulls()
                    && item.version.guid == base.version.guid
                    && item.version.counter > base.version.counter
                    && self.agrees_with(Some(item), agreed) =>
            {
                item.version
            }
            _ => base.version,
        }
    }

    /// Writes the list's values of these fields into the row.
    pub(crate) fn update_row(
        &self,
        work: &Work,
        agreed: &Agreed,
        decision: &Decision,
        take: &[usize],
    ) -> Intent {
        let (Some(source), Some(item)) = (work.source.one(), work.target.one()) else {
            return Intent::Look;
        };
        let mut set = Vec::with_capacity(take.len());
        let mut taken = Vec::with_capacity(take.len());
        let mut overrides = Vec::new();
        let mut turns = Vec::new();
        for at in take {
            let field = &self.spec.mapping.fields[*at];
            let Some(shown) = item.value(&field.target) else {
                return Intent::Look;
            };
            match self.cell_of(work, field, shown) {
                Ok(cell) => set.push((*at, cell)),
                Err(refused) => return *refused,
            }
            taken.push((*at, target_hash(self.ports.hash_key, shown)));
            turns.extend(self.turn_to_source(agreed, *at, decision.fields[*at], shown));
            let known = agreed.fields[*at].0;
            // What the source was given although the list owns it is an edit like any other.
            let edited = known.is_some() && known != source_hash(self.ports.hash_key, &source.cells[*at]);
            if !field.passive && (edited || self.was_never_shown(field, agreed, *at, source))
                || decision.fields[*at] == FieldDecision::ConflictToSource
            {
                overrides.push((*at, shown.clone()));
            }
        }
        let write = RowWrite::Update {
            key: work.subject.key.clone(),
            expected: source.cells.clone(),
            set,
        };
        let attempt = self.row_attempt(work, EffectKind::UpdateRow, write, agreed.clone(), item);
        Intent::WriteRow(Box::new(RowAttempt {
            taken,
            overrides,
            turns,
            ..attempt
        }))
    }

    /// Whether the source's value of a field that the list owns is one that the list was never given: it was there when
    /// the item was made.
    fn was_never_shown(&self, field: &FieldMapping, agreed: &Agreed, at: usize, source: &SourceRow) -> bool {
        let nothing = target_hash(self.ports.hash_key, &Json::Null);
        field.direction == Direction::Pull
            && agreed.fields[at].1 == nothing
            && !self.equivalent(field, &source.cells[at], &Json::Null)
    }

    /// Makes a row of an item that a person added. What the item leaves blank is left to the column's default.
    pub(crate) fn insert_row(&self, work: &Work) -> Intent {
        let Some(item) = work.target.one() else {
            return Intent::Look;
        };
        let was_there_first =
            self.first_list_pass || work.newcomer.is_some_and(|newcomer| newcomer.awaits_approval);
        if was_there_first && !self.spec.options.approve_unagreed {
            return self.refuse(work, self.first_inserts());
        }
        let key = match self.key_to_keep(work) {
            Ok(key) => key,
            Err(refused) => return *refused,
        };
        let mut set = Vec::new();
        let mut taken = Vec::new();
        let mut before = Agreed::unknown(self.spec.mapping.fields.len());
        let known = work.base.as_ref().and_then(|base| self.agreed_now(base));
        for (at, field) in self.spec.mapping.fields.iter().enumerate() {
            let Some(shown) = item.value(&field.target) else {
                continue;
            };
            let hash = target_hash(self.ports.hash_key, shown);
            // The row did not exist, so it held nothing: whatever it holds once it is there is the source's own.
            let nothing = source_hash(self.ports.hash_key, &None);
            before.fields[at] = (nothing, hash);
            if let Some(text) = key.get(&field.column) {
                set.push((at, Some(text.as_str().into())));
                continue;
            }
            // A row that comes back has back what the source once gave to the list.
            let was_ours = !field.passive && known.as_ref().is_some_and(|known| known.fields[at].1 == hash);
            if field.direction == Direction::Push && !was_ours {
                if !shown.is_null() && !field.passive {
                    // A person filled what the source owns: nobody agreed on that.
                    before.fields[at] = (nothing, None);
                }
                continue;
            }
            match self.cell_of(work, field, shown) {
                Ok(None) => {}
                Ok(cell) => {
                    set.push((at, cell));
                    taken.push((at, hash));
                }
                Err(refused) => return *refused,
            }
        }
        let attempt = self.row_attempt(
            work,
            EffectKind::InsertRow,
            RowWrite::Insert { set },
            before,
            item,
        );
        Intent::WriteRow(Box::new(RowAttempt { taken, ..attempt }))
    }

    /// The key that a row must come back under, by column; empty where the source is to choose it.
    fn key_to_keep(&self, work: &Work) -> Result<BTreeMap<String, String>, Box<Intent>> {
        if item_of(&work.subject.key).is_some() {
            return Ok(BTreeMap::new());
        }
        let columns = &self.spec.mapping.key;
        let texts = work.subject.key.texts().unwrap_or_default();
        let is_mapped = |name: &String| self.spec.mapping.fields.iter().any(|field| field.column == *name);
        if texts.len() != columns.len() || !columns.iter().all(|column| is_mapped(&column.name)) {
            let failure = Failure::new(
                Scope::Row,
                "row.key_unmapped",
                "the row is to come back under its key, and a key column is not among the fields",
                "map every key column, or make the row in the source by hand",
            );
            return Err(Box::new(self.refuse(work, failure)));
        }
        let pairs = columns.iter().zip(texts);
        Ok(pairs
            .map(|(column, text)| (column.name.clone(), text.to_owned()))
            .collect())
    }

    /// Deletes the row of an item that is gone.
    pub(crate) fn delete_row(&mut self, work: &Work, agreed: &Agreed) -> Intent {
        let (Some(source), Some(base)) = (work.source.one(), work.base.as_ref()) else {
            return Intent::Done;
        };
        self.deletes_left = self.deletes_left.saturating_sub(1);
        let write = RowWrite::Delete {
            key: work.subject.key.clone(),
            expected: source.cells.clone(),
        };
        let link = ItemLink {
            id: base.item.clone(),
            before: base.version,
        };
        let attempt = self.attempt_of_row(work, EffectKind::DeleteRow, write, agreed.clone(), link);
        Intent::WriteRow(Box::new(RowAttempt {
            overrides: self.edits_lost_with_the_row(source, agreed),
            ..attempt
        }))
    }

    /// What was written into a row since it was last agreed on, and what goes with it; the list shows nothing any more.
    fn edits_lost_with_the_row(&self, source: &SourceRow, agreed: &Agreed) -> Vec<(usize, Json)> {
        let fields = self.spec.mapping.fields.iter().zip(&agreed.fields).enumerate();
        fields
            .filter(|(_, (field, _))| !field.passive)
            .filter_map(|(at, (_, (known, _)))| {
                let cell = &source.cells[at];
                let is_agreed = *known == source_hash(self.ports.hash_key, cell);
                (!is_agreed && (known.is_some() || cell.is_some())).then_some((at, Json::Null))
            })
            .collect()
    }

    fn row_attempt(
        &self,
        work: &Work,
        kind: EffectKind,
        write: RowWrite,
        before: Agreed,
        item: &Item,
    ) -> RowAttempt {
        let link = ItemLink {
            id: item.id.clone(),
            before: item.version,
        };
        self.attempt_of_row(work, kind, write, before, link)
    }

    pub(crate) fn attempt_of_row(
        &self,
        work: &Work,
        kind: EffectKind,
        write: RowWrite,
        before: Agreed,
        link: ItemLink,
    ) -> RowAttempt {
        let effect = NewEffect {
            id: self.effect_id(),
            subject: work.subject.clone(),
            kind,
            item: Some(link.clone()),
            expected_row_version: work
                .base
                .as_ref()
                .map(|row| row.row_version)
                .filter(|version| *version > 0),
            sent: self.sent_cells(&write),
            before: self.cells_before(&write),
            cause: Cause::of(RowDecision::Nothing),
            after: AfterState {
                agreed: before.to_bytes(),
                layout: self.layout,
                mark: work.mark,
            },
        };
        RowAttempt {
            work: work.clone(),
            effect,
            write,
            link,
            before,
            taken: Vec::new(),
            overrides: Vec::new(),
            turns: Vec::new(),
        }
    }

    /// What the row holds where a write goes, by source column, for a history that keeps values.
    fn cells_before(&self, write: &RowWrite) -> Fields {
        let fields = &self.spec.mapping.fields;
        let named = |at: usize, cell: &Cell| (fields[at].column.clone(), text_or_null(cell));
        match write {
            _ if !self.spec.history.values => Fields::new(),
            RowWrite::Insert { .. } => Fields::new(),
            RowWrite::Update { expected, set, .. } => {
                set.iter().map(|(at, _)| named(*at, &expected[*at])).collect()
            }
            RowWrite::Delete { expected, .. } => expected
                .iter()
                .enumerate()
                .map(|(at, cell)| named(at, cell))
                .collect(),
        }
    }

    /// What is sent, by source column, as the effect keeps it.
    fn sent_cells(&self, write: &RowWrite) -> Fields {
        let set: &[Assignment] = match write {
            RowWrite::Insert { set } | RowWrite::Update { set, .. } => set,
            RowWrite::Delete { .. } => &[],
        };
        set.iter()
            .map(|(at, cell)| (self.spec.mapping.fields[*at].column.clone(), text_or_null(cell)))
            .collect()
    }

    fn cell_of(&self, work: &Work, field: &FieldMapping, shown: &Json) -> Result<Cell, Box<Intent>> {
        to_source(field, self.spec.mapping.time_zone, shown).map_err(|refusal| {
            let failure = Failure::new(Scope::Row, refusal.code(), refusal.to_string(), refusal.fix())
                .column(field.column.clone());
            Box::new(self.refuse(work, failure))
        })
    }

    /// Puts a work into quarantine: under its row, or under its item where no row is there.
    pub(crate) fn refuse(&self, work: &Work, failure: Failure) -> Intent {
        let cells = work.source.one().map(|row| row.cells.as_slice());
        let subject = self.subject_to_keep(work);
        Intent::Quarantine(Box::new(self.quarantine(&subject, cells, failure)))
    }

    fn first_inserts(&self) -> Failure {
        Failure::new(
            Scope::Row,
            FIRST_INSERTS,
            "the list held this item before the definition looked at it for the first time",
            format!(
                "look at the list; `syncbridge run {} --approve` makes rows of its items",
                self.spec.definition_name
            ),
        )
    }

    /// Whom a person let win for these very two values.
    pub(crate) fn resolved(
        &self,
        work: &Work,
        field: &FieldMapping,
        cell: &Cell,
        shown: &Json,
    ) -> Option<Side> {
        let of_field = work
            .resolutions
            .iter()
            .find(|decided| decided.column == field.column)?;
        let as_seen = of_field.source_hash == source_hash(self.ports.hash_key, cell)
            && of_field.target_hash == target_hash(self.ports.hash_key, shown);
        as_seen.then_some(of_field.winner)
    }

    /// Closes what people decided, once it is carried out or both sides have moved on from it.
    pub(crate) async fn close_decided(&self, works: &[Work]) -> PortResult<()> {
        let decided: Vec<(Identity, String)> = works
            .iter()
            .flat_map(|work| {
                work.resolutions
                    .iter()
                    .map(|one| (work.identity(), one.column.clone()))
            })
            .collect();
        if decided.is_empty() {
            return Ok(());
        }
        self.ports.ledger.close_conflicts(self.fence(), &decided).await
    }

    /// Keeps both values of what nobody won, for a person to choose.
    pub(crate) fn park_conflicts(&self, work: &Work, decision: &Decision) -> Option<Intent> {
        let (source, item) = (work.source.one()?, work.target.one()?);
        let mut parked = Vec::new();
        for (at, decided) in decision.fields.iter().enumerate() {
            let field = &self.spec.mapping.fields[at];
            if *decided != FieldDecision::ConflictParked {
                continue;
            }
            let shown = item.value(&field.target)?;
            let cell = &source.cells[at];
            parked.push(ParkedConflict {
                identity: work.identity(),
                key: work.subject.key.clone(),
                column: field.column.clone(),
                reason: match (
                    self.is_fought_over(work, field),
                    self.pull_would_lose(field, Some(cell)),
                ) {
                    (true, _) => ParkReason::PingPong,
                    (false, true) => ParkReason::WouldLose,
                    (false, false) if self.unclear.contains(&(work.identity(), at)) => ParkReason::Ambiguous,
                    (false, false) => ParkReason::Policy,
                },
                source: self.source_value(field, cell),
                target: shown.clone(),
                source_hash: source_hash(self.ports.hash_key, cell),
                target_hash: target_hash(self.ports.hash_key, shown),
            });
        }
        let columns: Vec<&str> = parked.iter().map(|conflict| conflict.column.as_str()).collect();
        let fought = parked.iter().any(|one| one.reason == ParkReason::PingPong);
        let failure = self.waits_for_a_choice(fought).column(columns.join(", "));
        let entry = self.quarantine(&work.subject, Some(&source.cells), failure);
        Some(Intent::ParkConflicts(parked, Box::new(entry)))
    }

    fn waits_for_a_choice(&self, fought: bool) -> Failure {
        let name = &self.spec.definition_name;
        if fought {
            return Failure::new(
                Scope::Row,
                "conflict.ping_pong",
                "the field came back changed after our writes of it, again and again: a flow in the list or a trigger in \
                 the source fights us, and neither side is written any more",
                format!(
                    "find what rewrites it and stop it; then `syncbridge conflicts list {name}` shows both values, and \
                     `conflicts resolve` takes one of them"
                ),
            );
        }
        Failure::new(
            Scope::Row,
            "conflict.parked",
            "row and item were both changed, and a person is to choose",
            format!(
                "`syncbridge conflicts list {name}` shows both values; `conflicts resolve` takes one of them"
            ),
        )
    }

    /// A cell as people are shown it: what the list would hold, or the source's own text where it would hold none.
    pub(crate) fn source_value(&self, field: &FieldMapping, cell: &Cell) -> Json {
        match syncbridge_domain::convert::to_target(field, self.spec.mapping.time_zone, cell) {
            Ok(value) => value.to_json(),
            Err(_) => text_or_null(cell),
        }
    }
}

fn is_later(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
    if syncbridge_domain::sabotaged!("times compared as strings") {
        // As the list writes them, and as the source does.
        return one.to_rfc3339() > other.to_string();
    }
    one > other
}

fn text_or_null(cell: &Cell) -> Json {
    cell.as_deref()
        .map_or(Json::Null, |text| Json::String(text.to_owned()))
}

/// Whether a work is about another item than the one its ledger row knew.
pub(crate) fn is_another_item(work: &Work) -> bool {
    match (&work.base, work.target.one()) {
        (Some(base), Some(item)) => base.version.guid != item.version.guid,
        _ => false,
    }
}
