//! Rows that cannot be applied now: when they are tried again, and what people do about them.

use chrono::{DateTime, Utc};
use syncbridge_domain::dirty::{Ignored, NewQuarantine, Quarantined, retry_delay};
use syncbridge_domain::failure::{AWAIT_APPROVAL, Failure};
use syncbridge_domain::feed::{Lsn, Mark};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::DefinitionId;
use syncbridge_domain::revert::HELD;

use super::denied::Denied;
use super::dirty::taken_over;
use super::effects::later;
use super::tables::{StoredDirty, StoredQuarantine, Tables};

impl Tables {
    /// Puts a row into quarantine; its dirty row is moved where the sequence is still the given one.
    pub(super) fn enter_quarantine(
        &mut self,
        definition: DefinitionId,
        entry: &NewQuarantine,
        sequence: Option<u64>,
        now: DateTime<Utc>,
    ) -> Result<(), Denied> {
        let moved = match sequence {
            Some(sequence) => self.remove_dirty(definition, entry.identity, sequence)?,
            None => None,
        };
        let definition = self.definition_mut(definition)?;
        let known = definition.quarantine.get(&entry.identity);
        let hint = moved.as_ref().and_then(|moved| moved.hint);
        let attempts = match known {
            // Other content begins anew.
            Some(known) if known.entry.digest == entry.digest => known.attempts + 1,
            _ => 1,
        };
        let stored = StoredQuarantine {
            entry: NewQuarantine {
                failure: storable(&entry.failure),
                ..entry.clone()
            },
            attempts,
            retry_at: retry_delay(attempts)
                .filter(|_| entry.failure.code != HELD)
                .map(|delay| later(now, delay)),
            since: known.map_or(now, |known| known.since),
            ignored: None,
            mark: moved.as_ref().map_or(
                Mark {
                    generation: definition.generation,
                    lsn: Lsn(0),
                },
                |moved| moved.mark,
            ),
            suspected_delete: moved.is_some_and(|moved| moved.suspected_delete),
            hint: taken_over(known.and_then(|known| known.hint), hint),
        };
        definition.quarantine.insert(entry.identity, stored);
        Ok(())
    }

    /// Whether a row is held after a revert, and neither accepted by a person nor asked to be tried again.
    pub(super) fn is_held(&self, definition: DefinitionId, identity: Identity) -> Result<bool, Denied> {
        let found = self.definition(definition)?.quarantine.get(&identity);
        Ok(found.is_some_and(|stored| {
            stored.entry.failure.code == HELD && stored.retry_at.is_none() && stored.ignored.is_none()
        }))
    }

    /// What was recorded about a row takes the ground of its refusal away; one that is held stays.
    pub(super) fn leave_quarantine(
        &mut self,
        definition: DefinitionId,
        identity: Identity,
    ) -> Result<(), Denied> {
        if !self.is_held(definition, identity)? {
            self.definition_mut(definition)?.quarantine.remove(&identity);
        }
        Ok(())
    }

    /// A row that was held is the same on both sides again.
    pub(super) fn end_hold(&mut self, definition: DefinitionId, identity: Identity) -> Result<(), Denied> {
        if self.is_held(definition, identity)? {
            self.definition_mut(definition)?.quarantine.remove(&identity);
        }
        Ok(())
    }

    pub(super) fn quarantined(
        &self,
        definition: DefinitionId,
        identity: Identity,
    ) -> Result<Option<Quarantined>, Denied> {
        let found = self.definition(definition)?.quarantine.get(&identity);
        Ok(found.map(|stored| Quarantined {
            entry: stored.entry.clone(),
            attempts: stored.attempts,
            retry_at: stored.retry_at,
            since: stored.since,
            ignored: stored.ignored.clone(),
        }))
    }

    pub(super) fn requeue_due(
        &mut self,
        definition: DefinitionId,
        now: DateTime<Utc>,
    ) -> Result<u64, Denied> {
        self.requeue(definition, |stored| stored.retry_at.is_some_and(|at| at <= now))
    }

    pub(super) fn requeue_approved(&mut self, definition: DefinitionId) -> Result<u64, Denied> {
        self.requeue(definition, |stored| {
            AWAIT_APPROVAL.contains(&stored.entry.failure.code.as_str()) && stored.ignored.is_none()
        })
    }

    /// Makes entries dirty again; rows that are dirty already are left alone. The entries stay.
    fn requeue(
        &mut self,
        definition: DefinitionId,
        wanted: impl Fn(&StoredQuarantine) -> bool,
    ) -> Result<u64, Denied> {
        let found = self.definition(definition)?;
        let due: Vec<Identity> = found
            .quarantine
            .iter()
            .filter(|(identity, stored)| wanted(stored) && !found.dirty.contains_key(identity))
            .map(|(identity, _)| *identity)
            .collect();
        for identity in &due {
            let sequence = self.next_sequence();
            let definition = self.definition_mut(definition)?;
            if let Some(stored) = definition.quarantine.get(identity) {
                let dirty = StoredDirty {
                    key: stored.entry.key.clone(),
                    mark: stored.mark,
                    suspected_delete: stored.suspected_delete,
                    // That of the entry is in force.
                    hint: None,
                    sequence,
                };
                definition.dirty.insert(*identity, dirty);
            }
        }
        Ok(due.len() as u64)
    }

    /// A person wants these rows tried again.
    pub(super) fn retry_quarantined(
        &mut self,
        definition: DefinitionId,
        now: DateTime<Utc>,
    ) -> Result<u64, Denied> {
        let entries = &mut self.definition_mut(definition)?.quarantine;
        for stored in entries.values_mut() {
            stored.retry_at = Some(now);
            stored.attempts = 1;
            stored.ignored = None;
        }
        Ok(entries.len() as u64)
    }

    /// A person accepts a refused row as it is.
    pub(super) fn ignore_quarantined(
        &mut self,
        definition: DefinitionId,
        identity: Identity,
        accepted: Ignored,
    ) -> Result<bool, Denied> {
        let entry = self.definition_mut(definition)?.quarantine.get_mut(&identity);
        Ok(entry.is_some_and(|stored| {
            stored.retry_at = None;
            stored.ignored = Some(accepted);
            true
        }))
    }
}

/// A text as the memory keeps it: without NUL characters.
fn storable(failure: &Failure) -> Failure {
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    Failure {
        code: clean(&failure.code),
        cause: clean(&failure.cause),
        fix: clean(&failure.fix),
        column: failure.column.as_deref().map(clean),
        request_id: failure.request_id.as_deref().map(clean),
        ..failure.clone()
    }
}
