//! What an applied write leaves in the ledger: source hashes of what was sent, target hashes of what came back.

use syncbridge_domain::agreed::{Agreed, RowDigest, target_hash};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::receipt::Item;
use syncbridge_domain::revert::{Hold, state_after};
use syncbridge_domain::version::Version;

use crate::compose::archives;
use crate::evidence;
use crate::ports::{OverriddenEdit, Settlement, Verdict};
use crate::session::{Session, World};
use crate::work::{Attempt, Held};

/// How it is known that a write happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// Its own answer says so.
    Answer,
    /// A later look at the list says so.
    Look,
}

impl<W: World> Session<'_, W> {
    /// The settlement of a write that happened; `None` where a create's answer names no item.
    pub(crate) fn applied(
        &mut self,
        attempt: &Attempt,
        item: Option<Item>,
        witness: Witness,
        request_id: Option<String>,
    ) -> Option<Settlement> {
        let row = match attempt.effect.kind {
            EffectKind::DeleteItem if is_a_copy(attempt) => {
                self.counters.deleted += 1;
                return Some(settlement(attempt, Verdict::Removed, request_id));
            }
            EffectKind::DeleteItem if syncbridge_domain::sabotaged!("tombstone not kept") => {
                return Some(settlement(attempt, Verdict::Removed, request_id));
            }
            EffectKind::DeleteItem => {
                self.counters.deleted += 1;
                self.tombstone(attempt)?
            }
            EffectKind::CreateItem => {
                let row = self.live_row(attempt, &item?, witness)?;
                self.counters.created += 1;
                row
            }
            EffectKind::PatchItem if archives(&attempt.effect.sent) => {
                let row = self.archived_row(attempt, &item?)?;
                self.counters.archived += 1;
                row
            }
            EffectKind::PatchItem => {
                let row = self.live_row(attempt, &item?, witness)?;
                self.counters.patched += 1;
                row
            }
            // Source writes are settled where they are made, by their transaction.
            EffectKind::InsertRow | EffectKind::UpdateRow | EffectKind::DeleteRow => return None,
        };
        let beside = attempt.effect.cause.beside;
        Some(Settlement {
            hold: match attempt.work.held {
                Held::Ends => Hold::Ends,
                Held::No | Held::Yes => {
                    self.hold_once_applied(&attempt.work.subject, beside, &attempt.effect.after.agreed)
                }
            },
            ..settlement(attempt, Verdict::Applied(Box::new(row)), request_id)
        })
    }

    fn tombstone(&self, attempt: &Attempt) -> Option<LedgerRow> {
        let base = attempt.work.base.as_ref()?;
        Some(LedgerRow {
            state: LedgerState::Tombstone,
            mark: attempt.effect.after.mark,
            last_run: self.spec.run,
            ..base.clone()
        })
    }

    /// The item stands, marked; what was agreed on stays, so that the row may come back to it.
    fn archived_row(&self, attempt: &Attempt, item: &Item) -> Option<LedgerRow> {
        let base = attempt.work.base.as_ref()?;
        Some(LedgerRow {
            state: LedgerState::Archived,
            version: item.version,
            agreed: attempt.effect.after.agreed.clone(),
            layout: attempt.effect.after.layout,
            mark: attempt.effect.after.mark,
            last_run: self.spec.run,
            ..base.clone()
        })
    }

    /// The ledger row after a create or patch: source hashes of what was sent, target hashes of what came back.
    pub(crate) fn live_row(&self, attempt: &Attempt, item: &Item, witness: Witness) -> Option<LedgerRow> {
        let mut agreed = Agreed::from_bytes(&attempt.effect.after.agreed).ok()?;
        let created = attempt.effect.kind == EffectKind::CreateItem;
        let before = attempt.work.base.as_ref().and_then(|row| self.agreed_now(row));
        let mut whole = true;
        for (at, field) in self.spec.mapping.fields.iter().enumerate() {
            let slot = agreed.fields.get_mut(at)?;
            let sent = attempt.effect.sent.get(&field.target);
            let shown = item.value(&field.target);
            // What only the list writes was never in the row: it still has to travel, with whatever comes next.
            if created && field.passive && field.direction == Direction::Pull {
                *slot = (None, None);
                continue;
            }
            if sent.is_none() && !created {
                let owned = field.direction == Direction::Push && !field.passive;
                let edited = |json| slot.1.is_some() && target_hash(self.ports.hash_key, json) != slot.1;
                // A person's edit that this write leaves standing must not be covered by its version: a later write of
                // the field has to look first.
                if owned
                    && shown.is_some_and(edited)
                    && !syncbridge_domain::sabotaged!("standing edit covered by our version")
                {
                    slot.1 = None;
                }
                continue;
            }
            // It was written, and the answer does not tell what became of it, as for a column that is hidden: its
            // stored form stays unknown until a look shows it.
            if witness == Witness::Answer && sent.is_some() && shown.is_none() {
                slot.1 = None;
                continue;
            }
            // The answer to a write shows what the write left there. What a later look shows may be a person's:
            // only what is the same as sent is agreed on.
            let ours = match (sent, shown) {
                (Some(sent), Some(shown)) => {
                    witness == Witness::Answer || evidence::same_value(&field.facet, sent, shown)
                }
                // What a create does not send begins empty, or as the column's default; anything else in an item that
                // was written since is a person's.
                (None, Some(shown)) => {
                    witness == Witness::Answer
                        || item.version.counter <= 1
                            && evidence::shows_sent(&self.spec.mapping, &attempt.effect.sent, item)
                        || evidence::same_value(&field.facet, &serde_json::Value::Null, shown)
                }
                (None, None) => true,
                (Some(_), None) => false,
            };
            if ours {
                let stored = if syncbridge_domain::sabotaged!("agreed state taken from what was sent") {
                    sent.or(shown)
                } else {
                    shown
                };
                slot.1 = stored.and_then(|json| target_hash(self.ports.hash_key, json));
                continue;
            }
            whole = false;
            if !created {
                *slot = before
                    .as_ref()
                    .and_then(|agreed| agreed.fields.get(at).copied())
                    .unwrap_or_default();
            } else if item.version.counter <= 1 {
                // Nobody touched the item since it was made, and this create did not make it so.
                *slot = Default::default();
            } else if self.pulls() && field.direction == Direction::Both {
                // It began as it was sent, so that what it shows is a person's and newer.
                slot.1 = target_hash(self.ports.hash_key, sent.unwrap_or(&serde_json::Value::Null));
            } else {
                slot.1 = None;
            }
        }
        let mut version = item.version;
        // What a look finds may be newer than the write in fields that it did not touch.
        if let (true, Some(link)) = (witness == Witness::Look && self.pulls(), &attempt.effect.item)
            && !self.agrees_with(Some(item), &agreed)
        {
            version.counter = version.counter.min(link.before.counter.saturating_add(1));
        }
        if !whole {
            agreed.digest = RowDigest::UNKNOWN;
            // The next write of the item has to meet what a person did to it, not pass over it.
            version = match &attempt.work.base {
                Some(base) if !created => base.version,
                _ if created && self.pulls() => Version {
                    counter: version.counter.min(1),
                    ..version
                },
                _ => version,
            };
        }
        Some(LedgerRow {
            identity: attempt.work.identity(),
            key: attempt.work.subject.key.clone(),
            item: item.id.clone(),
            version,
            agreed: agreed.to_bytes(),
            layout: attempt.effect.after.layout,
            hash_key_id: self.ports.hash_key.id(),
            mark: attempt.effect.after.mark,
            state: state_after(attempt.effect.kind, attempt.effect.cause.beside),
            row_version: attempt.work.base.as_ref().map_or(0, |row| row.row_version),
            last_run: self.spec.run,
        })
    }

    /// Edits in the list that an applied write overrode, to be recorded.
    pub(crate) fn overridden(&self, attempt: &Attempt) -> Vec<OverriddenEdit> {
        attempt
            .overrides
            .iter()
            .map(|(at, shown)| {
                let field = &self.spec.mapping.fields[*at];
                OverriddenEdit {
                    identity: attempt.work.identity(),
                    column: field.column.clone(),
                    source: attempt
                        .effect
                        .sent
                        .get(&field.target)
                        .cloned()
                        .unwrap_or_default(),
                    target: shown.clone(),
                    winner: Side::Source,
                    target_at: attempt.work.target.one().and_then(|item| item.modified),
                    ambiguous: self.unclear.contains(&(attempt.work.identity(), *at)),
                }
            })
            .collect()
    }
}

pub(crate) fn settlement(attempt: &Attempt, verdict: Verdict, request_id: Option<String>) -> Settlement {
    let clears_dirty = match verdict {
        // As long as parts of the row are to be sent it stays dirty.
        Verdict::Applied(_) if attempt.work.part().is_some() => None,
        Verdict::Applied(_) | Verdict::Quarantined(_) => attempt.work.dirty,
        Verdict::Removed | Verdict::Released | Verdict::Armed => None,
    };
    let turns = match verdict {
        Verdict::Applied(_) => attempt.turns.clone(),
        _ => Vec::new(),
    };
    Settlement {
        effect: attempt.effect.id,
        identity: attempt.work.identity(),
        verdict,
        clears_dirty,
        request_id,
        turns,
        hold: Hold::AsItIs,
    }
}

/// Whether a write is about another item than the one that the ledger links to the row.
fn is_a_copy(attempt: &Attempt) -> bool {
    match (&attempt.work.base, &attempt.effect.item) {
        (Some(base), Some(item)) => base.version.guid != item.before.guid,
        _ => false,
    }
}

pub(crate) fn release(attempt: &Attempt) -> Settlement {
    settlement(attempt, Verdict::Released, None)
}
