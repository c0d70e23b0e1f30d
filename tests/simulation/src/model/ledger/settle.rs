//! Settling writes: what a closed effect means for ledger, links, dirty rows and quarantine, all or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use syncbridge_domain::dirty::{DirtyMark, NewQuarantine, TargetHint, retry_delay};
use syncbridge_domain::effect::{EffectState, Fence};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{EffectId, RunId};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::revert::Hold;
use syncbridge_engine::ports::{Settlement, Verdict};

use super::denied::Denied;
use super::effects::later;
use super::tables::{HistoryEntry, Outcome, StoredEffect, Tables};

type Effects = BTreeMap<EffectId, Arc<StoredEffect>>;

/// A settlement with its ledger row.
struct Applied<'a> {
    settlement: &'a Settlement,
    row: &'a LedgerRow,
    /// The identity the effect was recorded under, where that is another one than the row's.
    provisional: Option<Identity>,
}

impl Tables {
    pub(super) fn settle(
        &mut self,
        fence: Fence,
        run: RunId,
        settled: &[Settlement],
        now: DateTime<Utc>,
    ) -> Result<(), Denied> {
        let mut ordered: Vec<&Settlement> = settled.iter().collect();
        ordered.sort_by_key(|settlement| settlement.identity);
        // Everything that can be denied is worked out beside what is stored.
        let mut slice = Slice {
            fence,
            run,
            now,
            effects: self.effects.clone(),
            history: Vec::new(),
        };
        slice.arm(&ordered)?;
        // What frees a slot comes first, so that a slice may hold both an armed write that landed after all and
        // the open one that was refused because of it.
        slice.close_without_rows(&ordered)?;
        slice.retake_slots(&ordered)?;
        let applied = slice.close_with_rows(&ordered)?;
        let rows: Vec<&LedgerRow> = applied.iter().map(|applied| applied.row).collect();
        self.check_links(fence.definition, &rows)?;
        self.effects = slice.effects;
        self.history.append(&mut slice.history);
        self.write_rows(fence.definition, &rows, now)?;
        for applied in &applied {
            self.take_over(fence, applied, now)?;
            for turn in &applied.settlement.turns {
                self.count_turn(fence.definition, applied.row.identity, turn, now)?;
            }
        }
        let quarantined = ordered.iter().filter_map(|settlement| match &settlement.verdict {
            Verdict::Quarantined(entry) => Some((entry.as_ref(), settlement.clears_dirty)),
            _ => None,
        });
        let held = applied
            .iter()
            .filter_map(|applied| match &applied.settlement.hold {
                Hold::Begins(entry) => Some((entry.as_ref(), applied.settlement.clears_dirty)),
                Hold::AsItIs | Hold::Ends => None,
            });
        // One entry a row, the last one.
        let entries: BTreeMap<Identity, (&NewQuarantine, Option<u64>)> = quarantined
            .chain(held)
            .map(|(entry, sequence)| (entry.identity, (entry, sequence)))
            .collect();
        for (entry, sequence) in entries.into_values() {
            self.enter_quarantine(fence.definition, entry, sequence, now)?;
        }
        Ok(())
    }

    /// An applied row needs nothing more. One that was made from an item takes over what was kept under the
    /// item's provisional identity, under which nobody will look again.
    fn take_over(&mut self, fence: Fence, applied: &Applied<'_>, now: DateTime<Utc>) -> Result<(), Denied> {
        let row = applied.row;
        if let Some(sequence) = applied.settlement.clears_dirty {
            self.remove_dirty(fence.definition, row.identity, sequence)?;
            if let Some(provisional) = applied.provisional {
                self.remove_dirty(fence.definition, provisional, sequence)?;
            }
        }
        if let Some(provisional) = applied.provisional {
            let left = self.definition_mut(fence.definition)?.dirty.remove(&provisional);
            if let Some(left) = left {
                let mark = DirtyMark {
                    identity: row.identity,
                    key: row.key.clone(),
                    mark: left.mark,
                    suspected_delete: left.suspected_delete,
                    target: left.hint.map_or(TargetHint::Presumed, |(hint, _)| hint),
                };
                self.mark(fence.definition, &[mark], now)?;
            }
            self.leave_quarantine(fence.definition, provisional)?;
        }
        self.leave_quarantine(fence.definition, row.identity)?;
        if applied.settlement.hold == Hold::Ends {
            self.end_hold(fence.definition, row.identity)?;
        }
        Ok(())
    }
}

/// Effects and history as they will be.
struct Slice {
    fence: Fence,
    run: RunId,
    now: DateTime<Utc>,
    effects: Effects,
    history: Vec<HistoryEntry>,
}

impl Slice {
    /// The effect of a settlement, where it is there and known by that identity.
    fn effect(&mut self, settlement: &Settlement) -> Result<&mut StoredEffect, Denied> {
        let definition = self.fence.definition;
        let effect = self.effects.get_mut(&settlement.effect);
        effect
            .filter(|effect| effect.answers_to(definition, settlement.identity))
            .map(Arc::make_mut)
            .ok_or(Denied::EffectUnknown)
    }

    fn arm(&mut self, settled: &[&Settlement]) -> Result<(), Denied> {
        // The first look is free; `probed` pushes the later ones back.
        let next_probe = later(self.now, retry_delay(1).unwrap_or_default());
        for settlement in settled {
            if matches!(settlement.verdict, Verdict::Armed) {
                let effect = self.effect(settlement)?;
                effect.state = EffectState::Armed;
                effect.next_probe = next_probe;
            }
        }
        Ok(())
    }

    fn close_without_rows(&mut self, settled: &[&Settlement]) -> Result<(), Denied> {
        for settlement in settled {
            let outcome = match &settlement.verdict {
                Verdict::Quarantined(_) => Outcome::Quarantined,
                Verdict::Released => Outcome::Released,
                Verdict::Removed => Outcome::Applied,
                Verdict::Applied(_) | Verdict::Armed => continue,
            };
            self.close(settlement, outcome, None)?;
        }
        Ok(())
    }

    /// An armed write that was applied after all writes the ledger too, so it must hold its subject again.
    fn retake_slots(&mut self, settled: &[&Settlement]) -> Result<(), Denied> {
        for settlement in settled {
            let Some(effect) = self.effects.get(&settlement.effect) else {
                continue;
            };
            let armed = effect.state == EffectState::Armed && effect.definition == self.fence.definition;
            if !matches!(settlement.verdict, Verdict::Applied(_)) || !armed {
                continue;
            }
            if self.effects.values().any(|other| other.excludes(effect)) {
                return Err(Denied::SubjectBusy);
            }
            if let Some(effect) = self.effects.get_mut(&settlement.effect) {
                Arc::make_mut(effect).state = EffectState::Open;
            }
        }
        Ok(())
    }

    fn close_with_rows<'a>(&mut self, settled: &[&'a Settlement]) -> Result<Vec<Applied<'a>>, Denied> {
        let mut applied = Vec::new();
        for settlement in settled {
            if let Verdict::Applied(row) = &settlement.verdict {
                let provisional = self.close(settlement, Outcome::Applied, Some(row))?;
                applied.push(Applied {
                    settlement,
                    row,
                    provisional,
                });
            }
        }
        Ok(applied)
    }

    /// The effect leaves for the history. Answers the identity it was recorded under, where it is held under
    /// another one since.
    fn close(
        &mut self,
        settlement: &Settlement,
        outcome: Outcome,
        row: Option<&LedgerRow>,
    ) -> Result<Option<Identity>, Denied> {
        let held_under = self.effect(settlement)?.new.subject.identity;
        if row.is_some_and(|row| row.identity != held_under) {
            return Err(Denied::EffectUnknown);
        }
        let closed = self
            .effects
            .remove(&settlement.effect)
            .ok_or(Denied::EffectUnknown)?;
        self.history.push(HistoryEntry {
            at: self.now,
            definition: self.fence.definition,
            identity: row.map_or(settlement.identity, |row| row.identity),
            run: self.run,
            effect: Some((settlement.effect, closed.new.kind)),
            outcome,
            counters: (
                closed.new.item.as_ref().map(|item| item.before.counter),
                row.map(|row| row.version.counter),
            ),
            request_id: settlement.request_id.clone(),
        });
        Ok(closed.recorded_under)
    }
}
