//! Writes that put back what a run did to a row: composed from what both sides show now and from values of the past.
//!
//! What is agreed on afterwards is what both sides show then, each as it stands: nothing has changed on either side, so
//! that no later run does again what was put back, and a change of either side travels as ever.

use serde_json::Value as Json;
use syncbridge_domain::agreed::{Agreed, CellHash, RowDigest, source_hash, target_hash};
use syncbridge_domain::dirty::NewQuarantine;
use syncbridge_domain::effect::{EffectKind, ItemLink, Subject};
use syncbridge_domain::history::{Beside, Cause, Decider, FieldCause};
use syncbridge_domain::identity::SyncKey;
use syncbridge_domain::mapping::{ARCHIVED, STATE_COLUMN, SYNC_KEY_COLUMN, TITLE_COLUMN, TitleRule};
use syncbridge_domain::receipt::{Fields, Write};
use syncbridge_domain::reconcile::{FieldDecision, RowDecision};
use syncbridge_domain::revert::{Hold, held};
use syncbridge_domain::row::Cell;
use syncbridge_domain::row_write::RowWrite;

use crate::session::{Session, World};
use crate::work::{Attempt, Intent, RowAttempt, Work};

/// A row after a write that puts something back, side by side; `None` is gone.
struct Afterwards<'a> {
    cells: Option<&'a [Cell]>,
    item: Option<&'a Fields>,
}

impl<W: World> Session<'_, W> {
    /// Gives the item back what it held in these columns, by their names in the list.
    pub(crate) fn restore_item(&self, work: &Work, fields: Fields) -> Option<Attempt> {
        let item = work.target.one()?;
        let mut after = self.as_they_stand(work);
        let mapped = self.spec.mapping.fields.iter().enumerate();
        let sent: Vec<usize> = mapped
            .filter(|(_, field)| fields.contains_key(&field.target))
            .map(|(at, _)| at)
            .collect();
        for at in &sent {
            after.fields[*at].1 = None;
        }
        let mut shown = item.fields.clone();
        shown.extend(fields.clone());
        let cause = self.cause_of_revert(
            RowDecision::Fields,
            sent.into_iter().map(|at| (at, FieldDecision::ToTarget)),
            Afterwards {
                cells: work.source.one().map(|row| row.cells.as_slice()),
                item: Some(&shown),
            },
        );
        let write = Write::Patch {
            item: item.id.clone(),
            expected: item.version,
            fields: fields.clone(),
        };
        let link = ItemLink {
            id: item.id.clone(),
            before: item.version,
        };
        self.explained(
            work,
            EffectKind::PatchItem,
            write,
            fields,
            Some(link),
            after,
            cause,
        )
    }

    /// Makes an item anew that a run deleted.
    pub(crate) fn remake_item(
        &self,
        work: &Work,
        mut fields: Fields,
        was: &[(CellHash, CellHash)],
    ) -> Option<Attempt> {
        fields.retain(|_, value| !value.is_null());
        if self.spec.mapping.title == TitleRule::Key {
            fields.insert(TITLE_COLUMN.into(), Json::String(self.title(work)));
        }
        fields.insert(
            SYNC_KEY_COLUMN.into(),
            Json::String(SyncKey::of(work.identity()).as_str().to_owned()),
        );
        let mut after = self.as_they_stand(work);
        if work.source.one().is_none() {
            // Should the row come back as it was, nothing has changed.
            for (field, was) in after.fields.iter_mut().zip(was) {
                field.0 = was.0;
            }
        }
        let cause = self.cause_of_revert(
            RowDecision::CreateItem,
            [],
            Afterwards {
                cells: work.source.one().map(|row| row.cells.as_slice()),
                item: Some(&fields),
            },
        );
        let write = Write::Create {
            fields: fields.clone(),
        };
        self.explained(
            work,
            EffectKind::CreateItem,
            write,
            fields.clone(),
            None,
            after,
            cause,
        )
    }

    /// Deletes an item that a run made.
    pub(crate) fn remove_item(&self, work: &Work) -> Option<Attempt> {
        let item = work.target.one()?;
        let cause = self.cause_of_revert(
            RowDecision::DeleteItem,
            [],
            Afterwards {
                cells: work.source.one().map(|row| row.cells.as_slice()),
                item: None,
            },
        );
        let link = ItemLink {
            id: item.id.clone(),
            before: item.version,
        };
        let write = Write::Delete {
            item: item.id.clone(),
            expected: item.version,
        };
        let after = self.as_they_stand(work);
        self.explained(
            work,
            EffectKind::DeleteItem,
            write,
            Fields::new(),
            Some(link),
            after,
            cause,
        )
    }

    /// Gives the row back what it held in these columns.
    pub(crate) fn restore_row(&self, work: &Work, set: Vec<(usize, Cell)>) -> Option<RowAttempt> {
        let (source, base) = (work.source.one()?, work.base.as_ref()?);
        let mut cells = source.cells.clone();
        for (at, cell) in &set {
            cells[*at].clone_from(cell);
        }
        let cause = self.cause_of_revert(
            RowDecision::Fields,
            set.iter().map(|(at, _)| (*at, FieldDecision::ToSource)),
            Afterwards {
                cells: Some(&cells),
                item: work.target.one().map(|item| &item.fields),
            },
        );
        let write = RowWrite::Update {
            key: work.subject.key.clone(),
            expected: source.cells.clone(),
            set,
        };
        let link = ItemLink {
            id: base.item.clone(),
            before: work.target.one().map_or(base.version, |item| item.version),
        };
        let before = self.as_they_stand(work);
        Some(explained_row(
            self.attempt_of_row(work, EffectKind::UpdateRow, write, before, link),
            cause,
        ))
    }

    /// Makes a row anew that a run deleted. `link`: the item it had.
    pub(crate) fn remake_row(
        &self,
        work: &Work,
        set: Vec<(usize, Cell)>,
        was: &[(CellHash, CellHash)],
        link: ItemLink,
    ) -> RowAttempt {
        let mut cells: Vec<Cell> = vec![None; self.spec.mapping.fields.len()];
        for (at, cell) in &set {
            cells[*at].clone_from(cell);
        }
        let mut before = self.as_they_stand(work);
        let nothing = source_hash(self.ports.hash_key, &None);
        for (field, was) in before.fields.iter_mut().zip(was) {
            field.0 = nothing;
            if work.target.one().is_none() {
                field.1 = was.1;
            }
        }
        // The digest of what is written takes its place.
        before.digest = self.digest(&cells);
        let cause = self.cause_of_revert(
            RowDecision::InsertRow,
            [],
            Afterwards {
                cells: Some(&cells),
                item: work.target.one().map(|item| &item.fields),
            },
        );
        let attempt = self.attempt_of_row(
            work,
            EffectKind::InsertRow,
            RowWrite::Insert { set },
            before,
            link,
        );
        explained_row(attempt, cause)
    }

    /// Deletes a row that a run made.
    pub(crate) fn remove_row(&self, work: &Work) -> Option<RowAttempt> {
        let (source, base) = (work.source.one()?, work.base.as_ref()?);
        let cause = self.cause_of_revert(
            RowDecision::DeleteRow,
            [],
            Afterwards {
                cells: None,
                item: work.target.one().map(|item| &item.fields),
            },
        );
        let write = RowWrite::Delete {
            key: work.subject.key.clone(),
            expected: source.cells.clone(),
        };
        let link = ItemLink {
            id: base.item.clone(),
            before: work.target.one().map_or(base.version, |item| item.version),
        };
        let before = self.as_they_stand(work);
        Some(explained_row(
            self.attempt_of_row(work, EffectKind::DeleteRow, write, before, link),
            cause,
        ))
    }

    /// Whether a row is held once such a write is applied.
    pub(crate) fn hold_once_applied(&self, subject: &Subject, beside: Option<Beside>, agreed: &[u8]) -> Hold {
        match beside {
            Some(beside) if beside.holds() => Hold::Begins(Box::new(NewQuarantine {
                identity: subject.identity,
                key: subject.key.clone(),
                digest: Agreed::from_bytes(agreed).map_or(RowDigest::UNKNOWN, |agreed| agreed.digest),
                failure: held(&self.spec.definition_name, self.spec.run),
            })),
            Some(Beside::Revert) => Hold::Ends,
            _ => Hold::AsItIs,
        }
    }

    /// What both sides show, each as it is: nothing of it is a change. Of a row that is gone what was agreed on stays, so
    /// that it may come back to its item.
    fn as_they_stand(&self, work: &Work) -> Agreed {
        let cells = work.source.one().map(|row| row.cells.as_slice());
        let item = work.target.one();
        let fields = self.spec.mapping.fields.iter().enumerate();
        let hash_key = self.ports.hash_key;
        let known = work.base.as_ref().and_then(|base| self.agreed_now(base));
        let known = |at: usize| known.as_ref().and_then(|known| known.fields[at].0);
        Agreed {
            digest: cells.map_or(RowDigest::UNKNOWN, |cells| self.digest(cells)),
            fields: fields
                .map(|(at, field)| {
                    (
                        cells.map_or_else(|| known(at), |cells| source_hash(hash_key, &cells[at])),
                        item.and_then(|item| item.value(&field.target))
                            .and_then(|shown| target_hash(hash_key, shown)),
                    )
                })
                .collect(),
        }
    }

    /// What the write is recorded as: whether, once it is done, a reader would find both sides the same.
    fn beside_of_revert(&self, after: &Afterwards<'_>) -> Beside {
        let is_archived = |item: &Fields| item.get(STATE_COLUMN).and_then(Json::as_str) == Some(ARCHIVED);
        let (cells, item) = match (after.cells, after.item) {
            (None, None) => return Beside::Revert,
            // The item of a row that is gone, as it is archived.
            (None, Some(item)) if is_archived(item) => return Beside::Revert,
            (Some(cells), Some(item)) => (cells, item),
            _ => return Beside::RevertAlone,
        };
        let mut fields = self.spec.mapping.fields.iter().zip(cells);
        let same = !is_archived(item)
            && fields.all(|(field, cell)| {
                let shown = item.get(&field.target).unwrap_or(&Json::Null);
                field.passive || self.equivalent(field, cell, shown)
            });
        match same {
            true => Beside::Revert,
            false => Beside::RevertHeld,
        }
    }

    fn cause_of_revert(
        &self,
        rule: RowDecision,
        fields: impl IntoIterator<Item = (usize, FieldDecision)>,
        after: Afterwards<'_>,
    ) -> Cause {
        Cause {
            rule,
            by: Decider::Person,
            beside: Some(self.beside_of_revert(&after)),
            fields: fields
                .into_iter()
                .map(|(at, rule)| FieldCause {
                    column: self.spec.mapping.fields[at].column.clone(),
                    rule,
                    by: Decider::Person,
                })
                .collect(),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "what an attempt is made of, and why")]
    fn explained(
        &self,
        work: &Work,
        kind: EffectKind,
        write: Write,
        sent: Fields,
        item: Option<ItemLink>,
        after: Agreed,
        cause: Cause,
    ) -> Option<Attempt> {
        match self.attempt(work, kind, write, sent, item, after) {
            Intent::Write(mut attempt) => {
                attempt.effect.cause = cause;
                Some(*attempt)
            }
            _ => None,
        }
    }
}

fn explained_row(mut attempt: RowAttempt, cause: Cause) -> RowAttempt {
    attempt.effect.cause = cause;
    attempt
}
