//! Settling writes: an effect closes, and what that means for ledger, links, dirty rows and quarantine happens
//! in the same transaction, for a whole slice at once.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};
use syncbridge_domain::dirty::{DirtyMark, NewQuarantine, TargetHint, retry_delay};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{EffectId, RunId};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::ping_pong::FieldTurn;
use syncbridge_domain::revert::Hold;
use uuid::Uuid;

use super::admit::first_missing;
use super::{BATCH, Closed, Closing, DefinitionStore, agreement, bytes, identity};
use crate::error::{Error, Result, violates};

/// What becomes of a write once its receipt is in.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The effect that is settled.
    pub effect: EffectId,
    /// Whose it is; for a row made from an item, the item's provisional identity does as well.
    pub identity: Identity,
    /// What happens to it.
    pub verdict: Verdict,
    /// The dirty row that asked for the write, removed only where its sequence is still this one. Only read
    /// for applied and quarantined writes: the others leave the row dirty.
    pub clears_dirty: Option<u64>,
    /// Graph's `request-id`, for the history.
    pub request_id: Option<String>,
    /// What the write means for the breaker; only read for applied writes.
    pub turns: Vec<FieldTurn>,
    /// Where it was applied: whether the row waits in quarantine from here on, and is not tried again by itself, or does
    /// so no longer.
    pub hold: Hold,
}

/// How a write turned out.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Applied: the ledger takes this row (tombstones included), the effect closes, any quarantine entry goes. The
    /// row is of the identity the effect is held under.
    Applied(Box<LedgerRow>),
    /// An item that the ledger does not link to the row was deleted: the effect closes as applied, the ledger
    /// stays as it is.
    Removed,
    /// Certainly not applied, and not to be tried again now: the effect closes, the row goes to quarantine.
    Quarantined(Box<NewQuarantine>),
    /// Certainly not applied; the effect closes and the row stays dirty.
    Released,
    /// Not applied when looked at, but it may still land: the effect is armed and the subject free.
    Armed,
}

impl DefinitionStore {
    /// Settles writes, all or none.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; [`Error::ItemOwned`] where an item belongs to another identity;
    /// [`Error::EffectUnknown`] for an effect that is not there (any more); [`Error::SubjectBusy`] where an
    /// armed write turned out to be applied while another write of its subject is open.
    pub async fn settle(&self, fence: Fence, run: RunId, settled: &[Settlement]) -> Result<()> {
        self.timed(async {
            if settled.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            let slice = Slice::sort(settled);
            self.arm(&mut tx, &slice.armed).await?;
            // What frees a slot comes first, so that a slice may hold both an armed write that landed after
            // all and the open one that was refused because of it.
            self.close(&mut tx, &slice.without_rows(run)).await?;
            self.retake_slots(&mut tx, &slice.applied).await?;
            let closed = self.close(&mut tx, &slice.with_rows(run)).await?;
            let rows: Vec<&LedgerRow> = slice.applied.iter().map(|(_, row)| *row).collect();
            self.upsert_rows(&mut tx, &rows).await?;
            self.link_items(&mut tx, &rows).await?;
            let newborn = slice.newborn(&closed);
            let cleared: Vec<(Identity, u64)> = slice
                .applied
                .iter()
                .map(|(s, row)| (row.identity, s.clears_dirty))
                .chain(newborn.iter().map(|born| (born.provisional, born.clears_dirty)))
                .filter_map(|(identity, sequence)| Some((identity, sequence?)))
                .collect();
            self.remove_dirty(&mut tx, &cleared).await?;
            self.inherit(&mut tx, &newborn).await?;
            self.count_turns(&mut tx, &slice.turns()).await?;
            self.leave_quarantine(&mut tx, rows.iter().map(|row| &row.identity))
                .await?;
            self.end_hold(&mut tx, slice.ended()).await?;
            let refused = slice
                .quarantined
                .iter()
                .map(|(s, entry)| (*entry, s.clears_dirty));
            let entries: Vec<(&NewQuarantine, Option<u64>)> = refused.chain(slice.held()).collect();
            self.enter_quarantine(&mut tx, run, &entries).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// An armed write that was applied after all writes the ledger too, so it must hold its subject's slot
    /// again: an admission at the same time then waits for us and sees the new row version.
    async fn retake_slots(&self, tx: &mut PgConnection, applied: &[(&Settlement, &LedgerRow)]) -> Result<()> {
        for batch in applied.chunks(BATCH) {
            sqlx::query(
                "UPDATE effects SET state = 'open'
                 WHERE definition_id IS NOT DISTINCT FROM $1 AND effect_id = ANY($2) AND state = 'armed'",
            )
            .bind(self.definition.uuid())
            .bind(batch.iter().map(|(s, _)| s.effect.uuid()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await
            .map_err(|error| {
                let slots = ["effects_one_open_per_subject", "effects_one_open_per_item"];
                match slots.iter().any(|slot| violates(&error, slot)) {
                    true => Error::SubjectBusy,
                    false => error.into(),
                }
            })?;
        }
        Ok(())
    }

    /// Closes effects: each leaves its table for the history in one statement.
    async fn close(&self, tx: &mut PgConnection, closing: &[Closing<'_>]) -> Result<Vec<Closed>> {
        let mut all = Vec::with_capacity(closing.len());
        for batch in closing.chunks(BATCH) {
            let closed = self.close_batch(tx, batch).await?;
            let found: Vec<Uuid> = closed.iter().map(|closed| closed.effect).collect();
            if let Some(error) = first_missing(batch.iter().map(|closing| closing.effect), &found) {
                return Err(error);
            }
            all.extend(closed);
        }
        Ok(all)
    }

    /// A row that was made from an item takes over what was kept under the item's provisional identity, under which
    /// nobody will look again: its quarantine entry goes, and a mark that came after the look goes on as the row's.
    async fn inherit(&self, tx: &mut PgConnection, newborn: &[Newborn<'_>]) -> Result<()> {
        if newborn.is_empty() {
            return Ok(());
        }
        let rows: BTreeMap<Identity, &LedgerRow> =
            newborn.iter().map(|born| (born.provisional, born.row)).collect();
        let ids: Vec<&Identity> = rows.keys().collect();
        let mut marks = Vec::new();
        for batch in ids.chunks(BATCH) {
            let left = sqlx::query(
                "DELETE FROM dirty WHERE definition_id = $1 AND identity = ANY($2)
                 RETURNING identity, mark_generation, mark_lsn, suspected_delete, target_hint",
            )
            .bind(self.definition.uuid())
            .bind(bytes(batch.iter().copied()))
            .fetch_all(&mut *tx)
            .await?;
            for mark in &left {
                let damaged = || Error::Damaged { what: "dirty row" };
                let row = rows.get(&identity(mark.try_get(0)?)?).ok_or_else(damaged)?;
                let hint = TargetHint::from_code(mark.try_get(4)?).ok_or_else(damaged)?;
                marks.push(DirtyMark {
                    identity: row.identity,
                    key: row.key.clone(),
                    mark: agreement::mark(mark.try_get(1)?, mark.try_get(2)?)?,
                    suspected_delete: mark.try_get(3)?,
                    // Only the list's feed knows such an item; a hint that is missing here stood in its quarantine
                    // entry, which goes.
                    target: match hint {
                        TargetHint::Presumed => TargetHint::Changed,
                        said => said,
                    },
                });
            }
        }
        self.mark_all(tx, &marks).await?;
        self.leave_quarantine(tx, ids).await
    }

    async fn arm(&self, tx: &mut PgConnection, armed: &[&Settlement]) -> Result<()> {
        // The first look is free; `probed` pushes the later ones back.
        let first = retry_delay(1).unwrap_or_default();
        for batch in armed.chunks(BATCH) {
            let found: Vec<Uuid> = sqlx::query_scalar(
                "UPDATE effects e SET state = 'armed', next_probe_at = clock_timestamp() + $4 * interval '1 second'
                 FROM unnest($2::uuid[], $3::bytea[]) AS s(effect_id, identity)
                 WHERE e.definition_id = $1 AND e.effect_id = s.effect_id
                   AND (e.identity = s.identity OR e.old_identity = s.identity)
                 RETURNING e.effect_id",
            )
            .bind(self.definition.uuid())
            .bind(batch.iter().map(|s| s.effect.uuid()).collect::<Vec<_>>())
            .bind(bytes(batch.iter().map(|s| &s.identity)))
            .bind(first.as_secs_f64())
            .fetch_all(&mut *tx)
            .await?;
            if let Some(error) = first_missing(batch.iter().map(|s| s.effect), &found) {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A slice of settlements by verdict, each part in the order of identities.
struct Slice<'a> {
    applied: Vec<(&'a Settlement, &'a LedgerRow)>,
    quarantined: Vec<(&'a Settlement, &'a NewQuarantine)>,
    removed: Vec<&'a Settlement>,
    released: Vec<&'a Settlement>,
    armed: Vec<&'a Settlement>,
}

impl<'a> Slice<'a> {
    fn sort(settled: &'a [Settlement]) -> Self {
        let mut ordered: Vec<&Settlement> = settled.iter().collect();
        ordered.sort_by_key(|s| s.identity);
        let mut slice = Self {
            applied: Vec::new(),
            quarantined: Vec::new(),
            removed: Vec::new(),
            released: Vec::new(),
            armed: Vec::new(),
        };
        for settlement in ordered {
            match &settlement.verdict {
                Verdict::Applied(row) => slice.applied.push((settlement, row)),
                Verdict::Quarantined(entry) => slice.quarantined.push((settlement, entry)),
                Verdict::Removed => slice.removed.push(settlement),
                Verdict::Released => slice.released.push(settlement),
                Verdict::Armed => slice.armed.push(settlement),
            }
        }
        slice
    }

    fn without_rows(&self, run: RunId) -> Vec<Closing<'a>> {
        let quarantined = self
            .quarantined
            .iter()
            .map(|(s, _)| closing(s, "quarantined", None, run));
        let released = self.released.iter().map(|s| closing(s, "released", None, run));
        let removed = self.removed.iter().map(|s| closing(s, "applied", None, run));
        quarantined.chain(released).chain(removed).collect()
    }

    /// Rows that wait although their writes were applied.
    fn held(&self) -> impl Iterator<Item = (&'a NewQuarantine, Option<u64>)> {
        let applied = self.applied.iter();
        applied.filter_map(|(settlement, _)| match &settlement.hold {
            Hold::Begins(entry) => Some((entry.as_ref(), settlement.clears_dirty)),
            Hold::AsItIs | Hold::Ends => None,
        })
    }

    /// Rows that waited and do so no longer.
    fn ended(&self) -> impl Iterator<Item = &'a Identity> {
        let applied = self.applied.iter();
        applied
            .filter(|(settlement, _)| settlement.hold == Hold::Ends)
            .map(|(_, row)| &row.identity)
    }

    fn turns(&self) -> Vec<(Identity, &'a FieldTurn)> {
        let applied = self.applied.iter();
        applied
            .flat_map(|(settlement, row)| settlement.turns.iter().map(|turn| (row.identity, turn)))
            .collect()
    }

    /// Rows whose writes were recorded before it was known whose they would be.
    fn newborn(&self, closed: &[Closed]) -> Vec<Newborn<'a>> {
        let recorded: BTreeMap<Uuid, Identity> = closed
            .iter()
            .filter_map(|closed| Some((closed.effect, closed.recorded_under?)))
            .collect();
        self.applied
            .iter()
            .filter_map(|(settlement, row)| {
                Some(Newborn {
                    provisional: *recorded.get(&settlement.effect.uuid())?,
                    row,
                    clears_dirty: settlement.clears_dirty,
                })
            })
            .collect()
    }

    fn with_rows(&self, run: RunId) -> Vec<Closing<'a>> {
        self.applied
            .iter()
            .map(|(s, row)| closing(s, "applied", Some(row), run))
            .collect()
    }
}

/// A row that was made from an item, and the identity the item had until then.
struct Newborn<'a> {
    provisional: Identity,
    row: &'a LedgerRow,
    clears_dirty: Option<u64>,
}

fn closing<'a>(
    settlement: &'a Settlement,
    outcome: &'static str,
    row: Option<&'a LedgerRow>,
    run: RunId,
) -> Closing<'a> {
    Closing {
        effect: settlement.effect,
        identity: settlement.identity,
        outcome,
        row,
        request_id: settlement.request_id.as_deref(),
        run,
    }
}
