//! From what is known of a row to what is to be done: builds the inputs of `reconcile`, and turns its decision
//! into a write, a record, a look or a refusal.

use serde_json::Value as Json;
use syncbridge_domain::agreed::{Agreed, CellHash, source_hash, target_hash};
use syncbridge_domain::canonical::Value;
use syncbridge_domain::convert::to_target;
use syncbridge_domain::effect::Effect;
use syncbridge_domain::failure::{Failure, GONE_OR_HIDDEN, PLAN_NEEDED, Scope};
use syncbridge_domain::feed::Mark;
use syncbridge_domain::history::{Beside, Cause};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::FieldMapping;
use syncbridge_domain::policy::{DeletePolicy, Direction};
use syncbridge_domain::receipt::{Item, ItemId};
use syncbridge_domain::reconcile::{
    Base, Decision, Existence, FieldDecision, FieldInput, FieldRule, Later, RowDecision, RowInput, Seen,
    both_changed, reconcile,
};
use syncbridge_domain::row::{Cell, Presence};
use syncbridge_domain::run::Retire;

use crate::adoption::is_archived;
use crate::cause::explain;
use crate::compose::returns;
use crate::evidence::same_value;
use crate::ports::{PortResult, Progress};
use crate::pull::is_another_item;
use crate::session::{Session, World};
use crate::work::{Intent, Recorded, Work};

impl<W: World> Session<'_, W> {
    /// What to do about this row with what is known now.
    pub(crate) async fn decide(&mut self, mut work: Work) -> PortResult<(Work, Intent)> {
        self.take_over_armed_create(&mut work);
        // A repair is about what people did to the item, which the ledger cannot tell, and so is what a person approves.
        let approves = self.spec.options.approve_unagreed && work.dirty.is_some();
        if (self.repairs() || approves) && work.target == Presence::Unseen && work.base.is_some() {
            return Ok((work, Intent::Look));
        }
        if let Some(first) = self.look_first(&work) {
            return Ok((work, first));
        }
        if let Some(first) = self.judge_lost_row(&work) {
            return Ok((work, first));
        }
        let mut agreed = match &work.base {
            Some(row) => self.agreed(&row.clone()).await?,
            None => Agreed::unknown(self.spec.mapping.fields.len()),
        };
        self.forget_what_we_overtook(&work, &mut agreed);
        self.forget_what_went_back(&work, &mut agreed)?;
        let relinks = relinks(&work);
        if relinks {
            agreed = Agreed::unknown(self.spec.mapping.fields.len());
        }
        let inputs = self.field_inputs(&work, &agreed);
        let mut row = self.row_input(&work);
        if relinks {
            row.base = Base::None;
        }
        let mut decision = reconcile(&row, &inputs);
        if decision.row == RowDecision::Adopt && returns(&work) {
            // The row of an archived item is back. What was agreed on still holds, so that one write brings
            // both its changes and the end of the mark.
            row.base = Base::Live;
            decision = reconcile(&row, &inputs);
        }
        let judged = decision.fields.clone();
        let mut decision = self.approved(&work, row.later, &inputs, decision);
        self.hold_fought_over(&work, &inputs, &mut decision);
        self.ports.progress.decided(&decision);
        if let Some(failure) = self.search_on(&mut work, &decision) {
            let cells = work.source.one().map(|row| row.cells.as_slice());
            let entry = self.quarantine(&work.subject, cells, failure);
            return Ok((work, Intent::Quarantine(Box::new(entry))));
        }
        work.held = self.held_after(&work, &decision);
        let mut intent = self.intent(&work, &agreed, &decision)?;
        explain(&mut intent, || self.cause(&row, &inputs, &judged, &decision));
        if self.rehearses() && !matches!(intent, Intent::Write(_) | Intent::WriteRow(_) | Intent::Look) {
            self.foresee_foreign(&work, &decision);
        }
        Ok((work, intent))
    }

    /// An item that a late create of ours made is ours: what was sent is what was agreed on.
    fn take_over_armed_create(&self, work: &mut Work) {
        if work.base.is_some() {
            return;
        }
        let (Some(item), Some(effect)) = (work.target.one(), self.armed_create(work.identity())) else {
            return;
        };
        let row = self.row_after_create(effect, item);
        work.base = Some(row);
    }

    /// Where the newest version of an item is our own writing and the ledger does not know it, the ledger is older
    /// than the list: the meta-store was restored. What such an item shows otherwise than agreed is no person's
    /// edit, and the row may have moved on from it or back to it: nothing is known about these fields any more.
    fn forget_what_we_overtook(&mut self, work: &Work, agreed: &mut Agreed) {
        let (Some(base), Some(item)) = (&work.base, work.target.one()) else {
            return;
        };
        let overtaken = item.by_us == Some(true)
            && item.version.guid == base.version.guid
            && item.version.counter > base.version.counter
            && self.armed_of(work.identity()).is_empty();
        if !overtaken {
            return;
        }
        let mut forgotten = false;
        for (field, hashes) in self.spec.mapping.fields.iter().zip(&mut agreed.fields) {
            let shown = item.value(&field.target);
            let moved = shown
                .is_some_and(|json| hashes.1.is_some() && target_hash(self.ports.hash_key, json) != hashes.1);
            if moved {
                *hashes = (None, None);
                forgotten = true;
            }
        }
        if forgotten {
            self.notice(
                "items hold newer writes of ours than the ledger knows: the meta-store seems to have been restored; \
                 what differs waits for approval"
                    .to_owned(),
            );
        }
    }

    fn row_input(&self, work: &Work) -> RowInput {
        let source = match work.source {
            Presence::None => Existence::ProvenGone,
            Presence::One(_) => Existence::One,
            Presence::Many(_) => Existence::Many,
            Presence::Unseen => Existence::Unseen,
        };
        let target = match work.target {
            Presence::None if !self.absence_is_proven(work) => Existence::Missing,
            Presence::None => Existence::ProvenGone,
            Presence::One(_) => Existence::One,
            Presence::Many(_) => Existence::Many,
            Presence::Unseen => Existence::Unseen,
        };
        let base = match work.base.as_ref().map(|row| row.state) {
            None => Base::None,
            // The source lost the row when it went back, nobody deleted it: it comes back from its item.
            Some(LedgerState::Live) if self.comes_back(work) => Base::None,
            Some(LedgerState::Tombstone) if syncbridge_domain::sabotaged!("tombstone ignored") => Base::None,
            Some(LedgerState::Live) => Base::Live,
            // A new item under the key of a buried row is nobody's restore.
            Some(LedgerState::Tombstone) if self.pulls() && is_another_item(work) => Base::None,
            // A person made another item for a row that is there and had none.
            Some(LedgerState::Kept | LedgerState::Archived)
                if self.pulls() && is_another_item(work) && work.source.one().is_some() =>
            {
                Base::None
            }
            Some(LedgerState::Tombstone) => Base::Tombstone,
            Some(LedgerState::Kept | LedgerState::Archived) => Base::Left,
        };
        RowInput {
            base,
            source,
            target,
            pushes: self.pushes(),
            pulls: self.pulls(),
            inserts: self.takes_inserts(),
            delete: self.delete_policy(),
            on_foreign_restore: self.spec.policies.on_foreign_restore,
            conflict: self.spec.policies.conflict,
            later: self.later(work),
            archive_only: self.spec.policies.archive_only && self.spec.options.retire.is_none(),
            route_changed: false,
            key_changed: false,
            source_is_newer: work.base.as_ref().is_none_or(|row| work.mark > row.mark),
            deletes_allowed: self.may_destroy(),
            may_adopt: true,
        }
    }

    fn field_inputs(&self, work: &Work, agreed: &Agreed) -> Vec<FieldInput> {
        let cells = work.source.one().map(|row| row.cells.as_slice());
        let item = work.target.one();
        self.spec
            .mapping
            .fields
            .iter()
            .enumerate()
            .map(|(at, field)| self.field_input(work, agreed, at, field, cells.map(|cells| &cells[at]), item))
            .collect()
    }

    fn field_input(
        &self,
        work: &Work,
        agreed: &Agreed,
        at: usize,
        field: &FieldMapping,
        cell: Option<&Cell>,
        item: Option<&Item>,
    ) -> FieldInput {
        let (mut base_source, mut base_target) = agreed.fields[at];
        if syncbridge_domain::sabotaged!("one hash for both sides") {
            base_target = base_source;
        }
        let shown = item.and_then(|item| item.value(&field.target));
        let target = shown.map_or(Seen::Unseen, |json| {
            Seen::Value(target_hash(self.ports.hash_key, json))
        });
        let equal = match (cell, shown) {
            (Some(cell), Some(shown)) => Some(self.equivalent(field, cell, shown)),
            _ => None,
        };
        if let (Some(shown), Seen::Value(hash)) = (shown, target)
            && hash != base_target
            && let Some(landed) = self.landed(work.identity(), field, shown)
        {
            // It is ours, not a person's edit. The row may have moved on since, or back: it is held against what was
            // sent then, and where it shows the same, that is to be agreed on now.
            (base_source, base_target) = match equal {
                Some(true) => (None, None),
                _ => (self.source_sent(landed, at).or(base_source), hash),
            };
        }
        FieldInput {
            base_source,
            base_target,
            source: cell.map_or(Seen::Unseen, |cell| {
                Seen::Value(source_hash(self.ports.hash_key, cell))
            }),
            target,
            equal,
            pull_would_lose: self.pulls() && self.pull_would_lose(field, cell),
            resolution: cell
                .zip(shown)
                .and_then(|(cell, shown)| self.resolved(work, field, cell, shown)),
            rule: FieldRule {
                direction: field.direction,
                passive: field.passive,
                conflict: field.conflict.unwrap_or(self.spec.policies.conflict),
                on_foreign_edit: field
                    .on_foreign_edit
                    .unwrap_or(self.spec.policies.on_foreign_edit),
            },
        }
    }

    /// The newest armed write of ours that put this value there.
    pub(crate) fn landed(&self, identity: Identity, field: &FieldMapping, shown: &Json) -> Option<&Effect> {
        if syncbridge_domain::sabotaged!("unrecorded own write taken for a person's") {
            return None;
        }
        let sent = |effect: &Effect| {
            effect
                .sent
                .get(&field.target)
                .is_some_and(|sent| same_value(&field.facet, sent, shown))
        };
        self.armed_of(identity).iter().rev().find(|effect| sent(effect))
    }

    /// What the source held of a field when this was sent.
    fn source_sent(&self, effect: &Effect, at: usize) -> CellHash {
        let after = Agreed::from_bytes(&effect.after.agreed).ok();
        let after = after.filter(|_| effect.after.layout == self.layout)?;
        after.fields.get(at)?.0
    }

    pub(crate) fn equivalent(&self, field: &FieldMapping, cell: &Cell, shown: &Json) -> bool {
        if syncbridge_domain::sabotaged!("raw values compared instead of canonical ones") {
            let text = shown.as_str().map_or_else(|| shown.to_string(), str::to_owned);
            return cell.as_deref().unwrap_or("null") == text;
        }
        let ours = to_target(field, self.spec.mapping.time_zone, cell);
        let theirs = Value::from_json(&field.facet, shown);
        matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours.equivalent(&theirs))
    }

    /// With a person's approval, differences nobody agreed on are the source's to settle.
    fn approved(&self, work: &Work, later: Later, inputs: &[FieldInput], mut decision: Decision) -> Decision {
        if self.spec.options.approve_unagreed {
            let went_back = self.went_back(work);
            let fields = self.spec.mapping.fields.iter().zip(inputs);
            for (decided, (field, input)) in decision.fields.iter_mut().zip(fields) {
                if *decided == FieldDecision::NeedsPlan {
                    *decided = match self.as_far_as_it_goes(field) {
                        Direction::Pull => FieldDecision::ConflictToSource,
                        Direction::Push => FieldDecision::ConflictToTarget,
                        Direction::Both if went_back => both_changed(input, later),
                        Direction::Both => FieldDecision::ConflictToTarget,
                    };
                }
            }
        }
        if self.repairs() {
            for field in &mut decision.fields {
                if *field == FieldDecision::ForeignReported {
                    *field = FieldDecision::ConflictToTarget;
                }
            }
        }
        decision
    }

    fn intent(&mut self, work: &Work, agreed: &Agreed, decision: &Decision) -> PortResult<Intent> {
        match decision.row {
            RowDecision::Nothing => Ok(self.second_beside_left(work).unwrap_or(Intent::Done)),
            RowDecision::Fields => self.intent_of_fields(work, agreed, decision),
            RowDecision::Adopt => Ok(self.adopt(work, agreed, decision)),
            RowDecision::CreateItem => Ok(self.create_or_wait(work)),
            RowDecision::DeleteItem => Ok(self.delete(work, agreed)),
            RowDecision::ArchiveItem => Ok(self.archive(work, agreed)),
            RowDecision::LeaveItem => Ok(self.end(work, LedgerState::Kept, Recorded::Left)),
            RowDecision::Bury => Ok(self.end(work, LedgerState::Tombstone, Recorded::Buried)),
            RowDecision::SuspectTarget if work.target == Presence::None => Ok(self.suspected(work)),
            RowDecision::NeedsTarget | RowDecision::SuspectTarget => Ok(Intent::Look),
            RowDecision::NeedsSource => Ok(Intent::ReadSource),
            RowDecision::InsertRow => Ok(self.insert_row(work)),
            RowDecision::DeleteRow => Ok(self.delete_row(work, agreed)),
            RowDecision::ConflictParked => Ok(Intent::Quarantine(Box::new(self.quarantine(
                &work.subject,
                work.source.one().map(|row| row.cells.as_slice()),
                self.gone_and_edited(),
            )))),
            // What the list's feed brings is applied before the budget is opened; the dirty rows are drained after it.
            RowDecision::Refuse if self.allowance.is_none() => Ok(Intent::Wait),
            RowDecision::Refuse => {
                self.tell_frozen();
                Ok(Intent::Park)
            }
            RowDecision::ParkMany => Ok(self.refuse(work, several(work))),
            RowDecision::ForeignDeleteReported
                if self.repairs() && work.target == Presence::None && work.source.one().is_some() =>
            {
                Ok(self.create(work))
            }
            RowDecision::ForeignDeleteReported => {
                self.notice(format!(
                    "the item of row {} was deleted by a person; it follows the row's next change",
                    work.identity()
                ));
                Ok(Intent::Done)
            }
            RowDecision::RestoreReported => {
                self.report_restored(work);
                Ok(Intent::Done)
            }
            RowDecision::MoveItem | RowDecision::RekeyItem | RowDecision::SuspectSource => {
                Err(not_in_push(decision.row))
            }
        }
    }

    fn report_restored(&mut self, work: &Work) {
        let item = work.target.one().map(|item| item.id.to_string());
        self.notice(format!(
            "item {} was brought back by a person although its row is gone; it stays. `onForeignRestore: delete` \
             deletes such items again, `keep` accepts them",
            item.unwrap_or_default()
        ));
    }

    /// Where the list itself keeps two items of one row apart, a create needs no look; elsewhere it is made only
    /// where no item can be there.
    fn create_or_wait(&self, work: &Work) -> Intent {
        let rules = &self.spec.target.rules;
        if self.is_ambiguous(work.identity()) {
            return self.park(work);
        }
        if rules.unique {
            return self.create(work);
        }
        match (&work.base, &work.target) {
            // What was buried or left may have been taken out of the recycle bin.
            (Some(_), Presence::Unseen) => Intent::Look,
            // The list was read as a whole before the first row was written; one that cannot be searched is not
            // read again for every new row.
            (None, Presence::Unseen) if rules.indexed => Intent::Look,
            (Some(base), _) if base.state == LedgerState::Live && !self.spec.options.approve_unagreed => {
                Intent::Quarantine(Box::new(self.quarantine(
                    &work.subject,
                    None,
                    self.gone_or_hidden(base),
                )))
            }
            _ => self.create(work),
        }
    }

    fn gone_or_hidden(&self, base: &LedgerRow) -> Failure {
        Failure::new(
            Scope::Row,
            GONE_OR_HIDDEN,
            format!(
                "item {} is not there for us any more; it was deleted, or it waits for approval or has permissions \
                 of its own, and this list would take a second one",
                base.item
            ),
            format!(
                "look for it in the list; if it is gone, `syncbridge run {} --approve` makes it anew",
                self.spec.definition_name
            ),
        )
    }

    fn intent_of_fields(&self, work: &Work, agreed: &Agreed, decision: &Decision) -> PortResult<Intent> {
        if decision.needs_target() && work.target == Presence::Unseen {
            return Ok(Intent::Look);
        }
        if decision.fields.contains(&FieldDecision::NeedsPlan) {
            let failure = self.needs_plan(decision);
            let cells = work.source.one().map(|row| row.cells.as_slice());
            return Ok(Intent::Quarantine(Box::new(self.quarantine(
                &work.subject,
                cells,
                failure,
            ))));
        }
        let Some(base) = &work.base else {
            return Ok(Intent::Done);
        };
        let Some(source) = work.source.one() else {
            let needs_source = decision.fields.contains(&FieldDecision::NeedsSource);
            return Ok(if needs_source {
                Intent::ReadSource
            } else {
                Intent::Done
            });
        };
        // The source first: its transaction tells for certain what became of it, and what is left of the decision is
        // then made anew on the row as it is stored.
        let take = self.fields_to_take(decision);
        if !take.is_empty() {
            return Ok(self.update_row(work, agreed, decision, &take));
        }
        if self.may_lack_sync_key(work, base, agreed) {
            return Ok(Intent::Look);
        }
        let mut send: Vec<usize> = (0..decision.fields.len())
            .filter(|at| decision.sends(*at) && self.spec.mapping.fields[*at].direction != Direction::Pull)
            .collect();
        // What the list holds there was never learnt, or is a person's that nobody agreed on: the version covers
        // neither.
        let unlearnt = |at: &usize| matches!(agreed.fields[*at], (Some(_), None));
        if work.target == Presence::Unseen && send.iter().any(unlearnt) {
            return Ok(Intent::Look);
        }
        let mut fences = false;
        match work.part() {
            Some(part) => send.retain(|at| part.contains(at)),
            None if send.is_empty() => {
                send = self.fencing_fields(work, base);
                fences = !send.is_empty();
            }
            None => {}
        }
        if !send.is_empty() || returns(work) || self.lacks_sync_key(work) {
            let mut patch = self.patch(work, agreed, decision, &send);
            if let Intent::Write(attempt) = &mut patch {
                attempt.effect.cause.beside = fences.then_some(Beside::Fence);
            }
            return Ok(patch);
        }
        if decision.fields.contains(&FieldDecision::ConflictParked) {
            return Ok(self.park_conflicts(work, decision).unwrap_or(Intent::Look));
        }
        let mut fresh = agreed.clone();
        fresh.digest = self.digest(&source.cells);
        self.take_agreement(work, decision, &mut fresh);
        let version = self.version_agreed_on(work, base, &fresh);
        // A row that was only put together from a create of ours is not in the ledger yet.
        if base.layout == self.layout && fresh == *agreed && version == base.version && base.row_version > 0 {
            return Ok(Intent::Done);
        }
        let row = LedgerRow {
            version,
            agreed: fresh.to_bytes(),
            layout: self.layout,
            mark: work.mark,
            ..base.clone()
        };
        Ok(Intent::Record(
            Box::new(self.with_our_hash_key(row)),
            Recorded::Refreshed,
            Cause::of(decision.row),
        ))
    }

    /// Fields to write again although nothing changed: an armed write that rests on the very version the item
    /// still has could land after all; our own write moves the version on and takes its ground away.
    fn fencing_fields(&self, work: &Work, base: &LedgerRow) -> Vec<usize> {
        let threatens = |effect: &&syncbridge_domain::effect::Effect| {
            effect
                .item
                .as_ref()
                .is_some_and(|item| item.before == work.target.one().map_or(base.version, |i| i.version))
        };
        let fields = &self.spec.mapping.fields;
        let Some(effect) = self.armed_of(work.identity()).iter().find(threatens) else {
            return Vec::new();
        };
        let sent: Vec<usize> = (0..fields.len())
            .filter(|at| effect.sent.contains_key(&fields[*at].target))
            .collect();
        if !sent.is_empty() {
            return sent;
        }
        fields
            .iter()
            .position(|f| f.direction != Direction::Pull)
            .into_iter()
            .collect()
    }

    /// Takes over hashes of fields that both sides already agree on.
    pub(crate) fn take_agreement(&self, work: &Work, decision: &Decision, agreed: &mut Agreed) {
        let (Some(source), Some(item)) = (work.source.one(), work.target.one()) else {
            return;
        };
        for (at, field) in self.spec.mapping.fields.iter().enumerate() {
            if decision.fields[at] == FieldDecision::Adopt
                && let Some(shown) = item.value(&field.target)
            {
                agreed.fields[at] = (
                    source_hash(self.ports.hash_key, &source.cells[at]),
                    target_hash(self.ports.hash_key, shown),
                );
            }
        }
    }

    /// An edit that nobody agreed on yet must not be covered by the version that is about to be recorded: what the list
    /// holds there counts as never learnt, so that a later write of the field looks first.
    pub(crate) fn forget_what_stands(&self, item: &Item, agreed: &mut Agreed) {
        for (field, hashes) in self.spec.mapping.fields.iter().zip(&mut agreed.fields) {
            let shown = item.value(&field.target);
            let edited = |json| hashes.1.is_some() && target_hash(self.ports.hash_key, json) != hashes.1;
            if field.direction == Direction::Push && !field.passive && shown.is_some_and(edited) {
                hashes.1 = None;
            }
        }
    }

    fn adopt(&self, work: &Work, agreed: &Agreed, decision: &Decision) -> Intent {
        let (Some(source), Some(item)) = (work.source.one(), work.target.one()) else {
            return Intent::Look;
        };
        let mut fresh = agreed.clone();
        self.take_agreement(work, decision, &mut fresh);
        self.forget_what_stands(item, &mut fresh);
        let whole = decision
            .fields
            .iter()
            .all(|f| matches!(f, FieldDecision::Adopt | FieldDecision::Nothing));
        if whole {
            fresh.digest = self.digest(&source.cells);
        }
        // An item that a lost ledger left archived is taken over as such: its mark goes with the next decision,
        // and a crash in between cannot forget it.
        let (state, mark) = if is_archived(item) {
            (LedgerState::Archived, Mark::default())
        } else {
            (LedgerState::Live, work.mark)
        };
        let row = LedgerRow {
            identity: work.identity(),
            key: work.subject.key.clone(),
            item: item.id.clone(),
            version: item.version,
            agreed: fresh.to_bytes(),
            layout: self.layout,
            hash_key_id: self.ports.hash_key.id(),
            mark,
            state,
            row_version: work.base.as_ref().map_or(0, |row| row.row_version),
            last_run: self.spec.run,
        };
        Intent::Record(Box::new(row), Recorded::Adopted, Cause::of(decision.row))
    }

    /// What was agreed on ends without a write.
    fn end(&self, work: &Work, state: LedgerState, recorded: Recorded) -> Intent {
        let Some(base) = &work.base else {
            return Intent::Done;
        };
        let row = LedgerRow {
            state,
            mark: work.mark,
            last_run: self.spec.run,
            ..base.clone()
        };
        // Why it ends is filled in with the decision.
        Intent::Record(Box::new(row), recorded, Cause::of(RowDecision::Nothing))
    }

    fn with_our_hash_key(&self, row: LedgerRow) -> LedgerRow {
        LedgerRow {
            hash_key_id: self.ports.hash_key.id(),
            last_run: self.spec.run,
            ..row
        }
    }

    fn needs_plan(&self, decision: &Decision) -> Failure {
        let columns: Vec<&str> = decision
            .fields
            .iter()
            .zip(&self.spec.mapping.fields)
            .filter(|(decided, _)| **decided == FieldDecision::NeedsPlan)
            .map(|(_, field)| field.column.as_str())
            .collect();
        Failure::new(
            Scope::Row,
            PLAN_NEEDED,
            "row and item differ and nothing was ever agreed on between them",
            format!(
                "look at both, then run `syncbridge run {} --approve`; the source's values are written",
                self.spec.definition_name
            ),
        )
        .column(columns.join(", "))
    }
}

/// Whether another item than the one that the ledger links to the row bears its key now: a create of ours met it
/// after that one had gone. Nothing was agreed on with it.
fn relinks(work: &Work) -> bool {
    match (&work.base, work.source.one(), work.target.one()) {
        (Some(base), Some(_), Some(item)) => base.version.guid != item.version.guid,
        _ => false,
    }
}

/// Why a row is not judged of which one side shows several.
pub(crate) fn several(work: &Work) -> Failure {
    let items: Vec<&ItemId> = match &work.target {
        Presence::Many(items) => items.iter().map(|item| &item.id).collect(),
        _ => Vec::new(),
    };
    if items.is_empty() {
        return Failure::new(
            Scope::Row,
            "row.duplicate_key",
            "the source holds two rows with this key",
            "make the key unique in the source, or choose other key columns",
        );
    }
    let list = items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    Failure::new(
        Scope::Row,
        "item.duplicate",
        format!("the list holds several items for this row: {list}"),
        "delete all but one of them in the list, then retry the row",
    )
}

fn not_in_push(decision: RowDecision) -> Failure {
    Failure::new(
        Scope::List,
        "policy.unsupported",
        format!("this definition asks for {decision:?}, which is not done yet"),
        "use direction `push`",
    )
}

impl<W: World> Session<'_, W> {
    /// What becomes of the item of a row that is gone.
    pub(crate) fn delete_policy(&self) -> DeletePolicy {
        match self.spec.options.retire {
            None => self.spec.policies.delete,
            Some(Retire::Delete) => DeletePolicy::Propagate,
            Some(Retire::Archive) => DeletePolicy::Archive,
        }
    }

    /// Whether rows that are gone take their items away or mark them, so that the guard stands in front.
    pub(crate) fn deletes_destroy(&self) -> bool {
        self.delete_policy() != DeletePolicy::Keep && !self.spec.policies.archive_only
    }
}
