//! Fields that both sides changed and that wait for a person.

use chrono::{DateTime, Utc};
use syncbridge_domain::conflict::{ParkedConflict, Resolution, Side};
use syncbridge_domain::dirty::TargetHint;
use syncbridge_domain::feed::{Lsn, Mark};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::DefinitionId;
use syncbridge_domain::ping_pong::{FieldTurn, Turned};

use super::denied::Denied;
use super::effects::later;
use super::tables::{Parked, StoredDirty, StoredTurns, Tables};

/// Refused because a conflict of the row waits for a decision.
const CONFLICT_PARKED: [&str; 2] = ["conflict.parked", "conflict.ping_pong"];

impl Tables {
    /// Counts a write that was applied.
    pub(super) fn count_turn(
        &mut self,
        definition: DefinitionId,
        identity: Identity,
        turn: &FieldTurn,
        now: DateTime<Utc>,
    ) -> Result<(), Denied> {
        let known = &mut self.definition_mut(definition)?.turns;
        let field = (identity, turn.column.clone());
        let last = known.get(&field);
        let returned = Turned::is_return(last.map(|last| last.to), turn);
        let fresh = |last: &&StoredTurns| last.returns > 0 && later(last.since, turn.within) >= now;
        let (before, since) = last
            .filter(fresh)
            .map_or((0, now), |last| (last.returns, last.since));
        let counted = StoredTurns {
            to: turn.to,
            returns: before + u32::from(returned),
            since,
        };
        known.insert(field, counted);
        Ok(())
    }

    /// What is known of the writes to the fields of a row.
    pub(super) fn turns(&self, definition: DefinitionId, identity: Identity) -> Result<Vec<Turned>, Denied> {
        let known = &self.definition(definition)?.turns;
        let of_row = known.range((identity, String::new())..);
        let of_row = of_row.take_while(|((whose, _), _)| *whose == identity);
        Ok(of_row
            .map(|((_, column), turns)| Turned {
                column: column.clone(),
                to: turns.to,
                returns: turns.returns,
            })
            .collect())
    }

    /// One that is parked with the same two hashes stays as it is, a decision included; one with others is
    /// replaced.
    pub(super) fn park(
        &mut self,
        definition: DefinitionId,
        conflicts: &[ParkedConflict],
    ) -> Result<(), Denied> {
        let parked = &mut self.definition_mut(definition)?.parked;
        for conflict in conflicts {
            let field = (conflict.identity, conflict.column.clone());
            let hashes = |conflict: &ParkedConflict| (conflict.source_hash, conflict.target_hash);
            let same = parked
                .get(&field)
                .is_some_and(|known| hashes(&known.conflict) == hashes(conflict));
            if !same {
                let replaced = Parked {
                    conflict: conflict.clone(),
                    winner: None,
                };
                parked.insert(field, replaced);
            }
        }
        Ok(())
    }

    pub(super) fn resolutions(
        &self,
        definition: DefinitionId,
        identity: Identity,
    ) -> Result<Vec<Resolution>, Denied> {
        let of_row = self
            .definition(definition)?
            .parked
            .range((identity, String::new())..);
        let of_row = of_row.take_while(|((whose, _), _)| *whose == identity);
        Ok(of_row
            .filter_map(|((_, column), parked)| {
                Some(Resolution {
                    column: column.clone(),
                    winner: parked.winner?,
                    source_hash: parked.conflict.source_hash,
                    target_hash: parked.conflict.target_hash,
                })
            })
            .collect())
    }

    /// A person decides; the row becomes dirty, with a look at its item asked for. Answers whether there was
    /// anything to decide.
    pub(super) fn resolve(
        &mut self,
        definition: DefinitionId,
        field: &(Identity, String),
        winner: Side,
        now: DateTime<Utc>,
    ) -> Result<bool, Denied> {
        let sequence = self.next_sequence();
        let definition = self.definition_mut(definition)?;
        let Some(parked) = definition.parked.get_mut(field) else {
            return Ok(false);
        };
        parked.winner = Some(winner);
        let entry = definition.quarantine.get_mut(&field.0);
        let (mark, suspected_delete, hint) = match &entry {
            Some(entry) => (entry.mark, entry.suspected_delete, entry.hint),
            None => (
                Mark {
                    generation: definition.generation,
                    lsn: Lsn(0),
                },
                false,
                None,
            ),
        };
        if let Some(entry) =
            entry.filter(|entry| CONFLICT_PARKED.contains(&entry.entry.failure.code.as_str()))
        {
            entry.retry_at = Some(now);
            entry.attempts = 1;
            entry.ignored = None;
        }
        let hint = hint.or(Some((TargetHint::Changed, now)));
        let fresh = StoredDirty {
            key: parked.conflict.key.clone(),
            mark,
            suspected_delete,
            hint,
            sequence,
        };
        let dirty = definition.dirty.entry(field.0).or_insert(fresh);
        // A row that waits with a word of the list's feed keeps it.
        dirty.hint = dirty.hint.or(hint);
        dirty.sequence = sequence;
        Ok(true)
    }
}
