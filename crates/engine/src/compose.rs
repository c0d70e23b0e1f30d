//! From a decision to a write: which columns are sent, what they hold, and the effect that records it.

use serde_json::Value as Json;
use syncbridge_domain::agreed::{Agreed, RowDigest, source_hash, target_hash};
use syncbridge_domain::convert::{Unconvertible, row_to_target, to_target};
use syncbridge_domain::effect::{AfterState, EffectKind, ItemLink, NewEffect};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::history::{Beside, Cause};
use syncbridge_domain::identity::SyncKey;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::list_rules::ItemIdentity;
use syncbridge_domain::mapping::{
    ARCHIVED, FieldMapping, STATE_COLUMN, SYNC_KEY_COLUMN, TITLE_COLUMN, TitleRule,
};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Fields, Item, TaggedWrite, Write};
use syncbridge_domain::reconcile::{Decision, FieldDecision, RowDecision};
use syncbridge_domain::row::Cell;

use crate::agreement::Witness;
use crate::recover::attempt_of;
use crate::session::{Session, World};
use crate::work::{Attempt, Intent, Work};

impl<W: World> Session<'_, W> {
    pub(crate) fn create(&self, work: &Work) -> Intent {
        let Some(source) = work.source.one() else {
            return Intent::Done;
        };
        let values = match row_to_target(&self.spec.mapping, &source.cells) {
            Ok(values) => values,
            Err(refusal) => return self.unconvertible(work, &refusal),
        };
        let mut fields = Fields::new();
        let mut agreed = Agreed {
            digest: self.digest_of_write(work, &source.cells),
            fields: source
                .cells
                .iter()
                .map(|cell| (source_hash(self.ports.hash_key, cell), None))
                .collect(),
        };
        let part = work.part();
        for (at, (field, value)) in self.spec.mapping.fields.iter().zip(&values).enumerate() {
            // Nothing is what a new item holds anyway; leaving it out lets column defaults speak for it only
            // where a column has one, and those are written explicitly.
            if field.direction == Direction::Pull || value.is_blank() && !has_default(field) {
                continue;
            }
            if part.is_none_or(|part| part.contains(&at)) || self.frames(field) {
                fields.insert(field.target.clone(), value.to_json());
            } else {
                // Both sides agree on nothing being there, so that the value is a change which is still to be sent.
                agreed.fields[at].0 = source_hash(self.ports.hash_key, &None);
            }
        }
        if self.spec.mapping.title == TitleRule::Key {
            fields.insert(TITLE_COLUMN.into(), Json::String(self.title(work)));
        }
        fields.insert(SYNC_KEY_COLUMN.into(), sync_key_of(work));
        self.attempt(
            work,
            EffectKind::CreateItem,
            Write::Create {
                fields: fields.clone(),
            },
            fields,
            None,
            agreed,
        )
    }

    /// Whether the item was seen without this row's sync key: it was made by a person, or a person took it away.
    pub(crate) fn lacks_sync_key(&self, work: &Work) -> bool {
        let keeps_keys = matches!(self.spec.target.rules.identity, ItemIdentity::SyncKey { .. });
        keeps_keys
            && work.target.one().is_some_and(|item| {
                item.shows_key && item.sync_key().and_then(SyncKey::parse) != Some(work.identity())
            })
    }

    /// Whether a row was made of a person's item, and nothing yet tells that the item got its sync key: whoever was to
    /// give it may have been killed before. Neither the ledger nor every answer shows the key, so the item is read.
    pub(crate) fn may_lack_sync_key(&self, work: &Work, base: &LedgerRow, agreed: &Agreed) -> bool {
        let unfinished = agreed.digest == RowDigest::UNKNOWN && base.layout == self.layout;
        unfinished
            && self.takes_inserts()
            && self.keeps_sync_keys()
            && work.part().is_none()
            && work.target.one().is_none_or(|item| !item.shows_key)
    }

    /// The key's texts, readable and within what a title holds.
    pub(crate) fn title(&self, work: &Work) -> String {
        let texts = work.subject.key.texts().unwrap_or_default().join(" · ");
        texts.chars().filter(|c| !c.is_control()).take(120).collect()
    }

    pub(crate) fn patch(&self, work: &Work, agreed: &Agreed, decision: &Decision, send: &[usize]) -> Intent {
        let (Some(source), Some(base)) = (work.source.one(), work.base.as_ref()) else {
            return Intent::Done;
        };
        let mut fields = Fields::new();
        let mut after = agreed.clone();
        let mut overrides = Vec::new();
        let mut turns = Vec::new();
        for at in send {
            let field = &self.spec.mapping.fields[*at];
            match to_target(field, self.spec.mapping.time_zone, &source.cells[*at]) {
                Ok(value) => fields.insert(field.target.clone(), value.to_json()),
                Err(refusal) => return self.unconvertible(work, &(*at, refusal)),
            };
            after.fields[*at] = (source_hash(self.ports.hash_key, &source.cells[*at]), None);
            let shown = work.target.one().and_then(|item| item.value(&field.target));
            // The row's value goes out although the row did not change: somebody else's is put back, unless it is an
            // older one of our own that landed late.
            let restores = after.fields[*at].0 == agreed.fields[*at].0
                && shown.is_none_or(|shown| self.landed(work.identity(), field, shown).is_none());
            let overrides_an_edit = match decision.fields[*at] {
                FieldDecision::ConflictToTarget | FieldDecision::ForeignReported => true,
                FieldDecision::ToTarget => restores,
                _ => false,
            };
            turns.extend(self.turn_to_list(work, *at, decision.fields[*at], restores));
            // What a row in parts overrides was recorded when it went out whole.
            if let Some(shown) = shown.filter(|_| overrides_an_edit && work.search.is_none()) {
                overrides.push((*at, shown.clone()));
            }
        }
        if returns(work) {
            fields.insert(STATE_COLUMN.into(), Json::Null);
        }
        if self.lacks_sync_key(work) {
            fields.insert(SYNC_KEY_COLUMN.into(), sync_key_of(work));
        }
        self.take_agreement(work, decision, &mut after);
        after.digest = self.digest_of_write(work, &source.cells);
        let expected = work.target.one().map_or(base.version, |item| item.version);
        let link = ItemLink {
            id: base.item.clone(),
            before: expected,
        };
        let write = Write::Patch {
            item: base.item.clone(),
            expected,
            fields: fields.clone(),
        };
        match self.attempt(work, EffectKind::PatchItem, write, fields, Some(link), after) {
            Intent::Write(mut attempt) => {
                attempt.overrides = overrides;
                attempt.turns = turns;
                if decision.fields.contains(&FieldDecision::ConflictParked) || !work.resolutions.is_empty() {
                    // What waits for a person is still to be parked, or what a person decided to be closed: the dirty
                    // row outlives this write.
                    attempt.parks = true;
                    attempt.kept = attempt.work.dirty.take();
                }
                Intent::Write(attempt)
            }
            other => other,
        }
    }

    /// The digest that a write leaves behind: of the whole row, or none while parts of it are still to be sent.
    fn digest_of_write(&self, work: &Work, cells: &[Cell]) -> RowDigest {
        if work.part().is_some() {
            RowDigest::UNKNOWN
        } else {
            self.digest(cells)
        }
    }

    /// Gives an item that a person made its sync key and nothing else; `after` is what both sides then agree on.
    pub(crate) fn stamp(&self, work: Work, after: &Agreed) -> Option<Attempt> {
        let base = work.base.as_ref()?;
        let fields = Fields::from([(SYNC_KEY_COLUMN.to_owned(), sync_key_of(&work))]);
        let link = ItemLink {
            id: base.item.clone(),
            before: base.version,
        };
        let write = Write::Patch {
            item: base.item.clone(),
            expected: base.version,
            fields: fields.clone(),
        };
        match self.attempt(
            &work,
            EffectKind::PatchItem,
            write,
            fields,
            Some(link),
            after.clone(),
        ) {
            Intent::Write(mut attempt) => {
                attempt.effect.cause = Cause {
                    beside: Some(Beside::SyncKey),
                    ..Cause::of(RowDecision::Fields)
                };
                Some(*attempt)
            }
            _ => None,
        }
    }

    pub(crate) fn delete(&mut self, work: &Work, agreed: &Agreed) -> Intent {
        let Some(base) = work.base.as_ref() else {
            return Intent::Done;
        };
        self.deletes_left = self.deletes_left.saturating_sub(1);
        let expected = work.target.one().map_or(base.version, |item| item.version);
        let link = ItemLink {
            id: base.item.clone(),
            before: expected,
        };
        let write = Write::Delete {
            item: base.item.clone(),
            expected,
        };
        let overrides = self.edits_lost_with_the_item(work, agreed);
        let nothing = Agreed::unknown(self.spec.mapping.fields.len());
        match self.attempt(
            work,
            EffectKind::DeleteItem,
            write,
            Fields::new(),
            Some(link),
            nothing,
        ) {
            Intent::Write(attempt) => Intent::Write(Box::new(Attempt {
                overrides,
                ..*attempt
            })),
            other => other,
        }
    }

    /// What people typed into an item since it was last agreed on, and what goes with it. An item that was not looked at
    /// is deleted only as it was agreed on.
    fn edits_lost_with_the_item(&self, work: &Work, agreed: &Agreed) -> Vec<(usize, Json)> {
        let Some(item) = work.target.one() else {
            return Vec::new();
        };
        let fields = self.spec.mapping.fields.iter().zip(&agreed.fields).enumerate();
        fields
            .filter(|(_, (field, _))| !field.passive)
            .filter_map(|(at, (field, (_, known)))| {
                let shown = item.value(&field.target)?;
                let is_ours = *known == target_hash(self.ports.hash_key, shown)
                    || self.landed(work.identity(), field, shown).is_some();
                // Where nothing was agreed on, an empty cell is nobody's edit.
                let is_lost = !is_ours && (known.is_some() || !shown.is_null());
                is_lost.then(|| (at, shown.clone()))
            })
            .collect()
    }

    /// Marks the item of a row that is gone; its fields stay as they are.
    pub(crate) fn archive(&mut self, work: &Work, agreed: &Agreed) -> Intent {
        let Some(base) = work.base.as_ref() else {
            return Intent::Done;
        };
        self.deletes_left = self.deletes_left.saturating_sub(1);
        let expected = work.target.one().map_or(base.version, |item| item.version);
        let link = ItemLink {
            id: base.item.clone(),
            before: expected,
        };
        let fields = Fields::from([(STATE_COLUMN.to_owned(), Json::String(ARCHIVED.to_owned()))]);
        let write = Write::Patch {
            item: base.item.clone(),
            expected,
            fields: fields.clone(),
        };
        self.attempt(
            work,
            EffectKind::PatchItem,
            write,
            fields,
            Some(link),
            agreed.clone(),
        )
    }

    pub(crate) fn attempt(
        &self,
        work: &Work,
        kind: EffectKind,
        write: Write,
        sent: Fields,
        item: Option<ItemLink>,
        after: Agreed,
    ) -> Intent {
        let effect = NewEffect {
            id: self.effect_id(),
            subject: work.subject.clone(),
            kind,
            item,
            expected_row_version: work
                .base
                .as_ref()
                .map(|row| row.row_version)
                .filter(|version| *version > 0),
            before: self.shown_before(work, kind, &sent),
            sent,
            cause: Cause::of(RowDecision::Nothing),
            after: AfterState {
                agreed: after.to_bytes(),
                layout: self.layout,
                mark: work.mark,
            },
        };
        let why = match (work.why, kind) {
            (WhyTag::FirstWrite | WhyTag::Change, EffectKind::CreateItem) => WhyTag::FirstWrite,
            (WhyTag::FirstWrite, _) => WhyTag::Change,
            (why, _) => why,
        };
        Intent::Write(Box::new(Attempt {
            work: work.clone(),
            effect,
            write: TaggedWrite { write, why },
            sends: 0,
            in_doubt: false,
            taken: false,
            parks: false,
            kept: None,
            overrides: Vec::new(),
            answered: None,
            turns: Vec::new(),
        }))
    }

    /// What an item shows where a write goes, for a history that keeps values.
    fn shown_before(&self, work: &Work, kind: EffectKind, sent: &Fields) -> Fields {
        let Some(item) = work.target.one().filter(|_| self.spec.history.values) else {
            return Fields::new();
        };
        let goes = |target: &String| kind == EffectKind::DeleteItem || sent.contains_key(target);
        let targets = self.spec.mapping.fields.iter().map(|field| &field.target);
        targets
            .filter(|target| goes(target))
            .filter_map(|target| Some((target.clone(), item.value(target)?.clone())))
            .collect()
    }

    pub(crate) fn unconvertible(&self, work: &Work, (at, refusal): &(usize, Unconvertible)) -> Intent {
        let column = self.spec.mapping.fields[*at].column.clone();
        let failure =
            Failure::new(Scope::Row, refusal.code(), refusal.to_string(), refusal.fix()).column(column);
        let cells = work.source.one().map(|row| row.cells.as_slice());
        Intent::Quarantine(Box::new(self.quarantine(&work.subject, cells, failure)))
    }

    /// The ledger row that an applied create leaves behind, from its effect and the item.
    pub(crate) fn row_after_create(
        &self,
        effect: &syncbridge_domain::effect::Effect,
        item: &Item,
    ) -> LedgerRow {
        // What the item shows as it was sent is agreed on from both sides.
        let shown = self.live_row(&attempt_of(effect, None), item, Witness::Look);
        if let Some(row) = shown.filter(|_| effect.after.layout == self.layout) {
            return row;
        }
        LedgerRow {
            identity: effect.subject.identity,
            key: effect.subject.key.clone(),
            item: item.id.clone(),
            version: item.version,
            agreed: effect.after.agreed.clone(),
            layout: effect.after.layout,
            hash_key_id: self.ports.hash_key.id(),
            mark: effect.after.mark,
            state: LedgerState::Live,
            row_version: 0,
            last_run: self.spec.run,
        }
    }
}

/// Whether a write marks its item as archived.
pub(crate) fn archives(sent: &Fields) -> bool {
    sent.get(STATE_COLUMN).and_then(Json::as_str) == Some(ARCHIVED)
}

/// Whether the row of an archived item is back, so that the mark has to go.
pub(crate) fn returns(work: &Work) -> bool {
    let marked = work
        .base
        .as_ref()
        .is_some_and(|row| row.state == LedgerState::Archived);
    marked && work.source.one().is_some()
}

fn sync_key_of(work: &Work) -> Json {
    Json::String(SyncKey::of(work.identity()).as_str().to_owned())
}

/// Columns that would take a value of their own if none is sent.
fn has_default(field: &FieldMapping) -> bool {
    matches!(field.facet, syncbridge_domain::facet::Facet::Boolean)
}
