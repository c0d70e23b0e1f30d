//! Rows known to have changed and not yet applied.

use std::ops::Bound;
use std::time::Duration;

use chrono::{DateTime, Utc};
use syncbridge_domain::dirty::{DirtyMark, DirtyRow, TargetHint};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::DefinitionId;

use super::denied::Denied;
use super::effects::ago;
use super::tables::{Hint, StoredDirty, StoredQuarantine, Tables};

impl Tables {
    /// Makes marks, one after the other. Of several of one row in one call only the last number is drawn.
    pub(super) fn mark(
        &mut self,
        definition: DefinitionId,
        marks: &[DirtyMark],
        now: DateTime<Utc>,
    ) -> Result<(), Denied> {
        for mark in marks {
            let sequence = self.next_sequence();
            let dirty = &mut self.definition_mut(definition)?.dirty;
            let hint: Hint = (mark.target != TargetHint::Presumed).then_some((mark.target, now));
            let known = dirty.get(&mark.identity);
            let suspected_before = known.is_some_and(|known| known.suspected_delete);
            let stored = StoredDirty {
                key: mark.key.clone(),
                mark: known.map_or(mark.mark, |known| known.mark.max(mark.mark)),
                // The list's feed says nothing about the source.
                suspected_delete: mark.suspected_delete || (hint.is_some() && suspected_before),
                hint: taken_over(known.and_then(|known| known.hint), hint),
                sequence,
            };
            dirty.insert(mark.identity, stored);
        }
        Ok(())
    }

    pub(super) fn dirty(
        &self,
        definition: DefinitionId,
        after: Option<Identity>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<DirtyRow>, Denied> {
        let definition = self.definition(definition)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = definition.dirty.range((from, Bound::Unbounded));
        Ok(rows
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|(identity, stored)| {
                let hint = in_force(stored, definition.quarantine.get(identity));
                DirtyRow {
                    mark: DirtyMark {
                        identity: *identity,
                        key: stored.key.clone(),
                        mark: stored.mark,
                        suspected_delete: stored.suspected_delete,
                        target: hint.map_or(TargetHint::Presumed, |(hint, _)| hint),
                    },
                    sequence: stored.sequence,
                    hinted: hint.map_or(Duration::ZERO, |(_, at)| ago(now, at)),
                }
            })
            .collect())
    }

    /// Removes a dirty row where the sequence is still the given one; answers it.
    pub(super) fn remove_dirty(
        &mut self,
        definition: DefinitionId,
        identity: Identity,
        sequence: u64,
    ) -> Result<Option<StoredDirty>, Denied> {
        let dirty = &mut self.definition_mut(definition)?.dirty;
        let same = dirty.get(&identity).is_some_and(|stored| {
            stored.sequence == sequence || syncbridge_domain::sabotaged!("dirty row deleted by key alone")
        });
        Ok(if same { dirty.remove(&identity) } else { None })
    }

    /// Rows that were found to need nothing: a quarantine entry of theirs has lost its ground too.
    pub(super) fn clear_dirty(
        &mut self,
        definition: DefinitionId,
        rows: &[(Identity, u64)],
    ) -> Result<(), Denied> {
        for (identity, sequence) in rows {
            if self.remove_dirty(definition, *identity, *sequence)?.is_some() {
                self.leave_quarantine(definition, *identity)?;
            }
        }
        Ok(())
    }
}

/// A newer hint beside an older one: none leaves it, and a deletion that is reported again keeps its first time.
pub(super) fn taken_over(kept: Hint, newer: Hint) -> Hint {
    match (kept, newer) {
        (_, None) => kept,
        (Some((TargetHint::Deleted, _)), Some((TargetHint::Deleted, _))) => kept,
        (_, Some(_)) => newer,
    }
}

/// The hint of a dirty row: its own, else that of its quarantine entry.
fn in_force(dirty: &StoredDirty, entry: Option<&StoredQuarantine>) -> Hint {
    let of_entry = entry.and_then(|entry| entry.hint);
    match (dirty.hint, of_entry) {
        (None, hint) => hint,
        (Some((TargetHint::Deleted, one)), Some((TargetHint::Deleted, other))) => {
            Some((TargetHint::Deleted, one.min(other)))
        }
        (own, _) => own,
    }
}
