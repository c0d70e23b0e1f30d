//! Writing source rows: admit, stage, note the witness, commit, settle (DESIGN §6, "Recovery on the source").
//!
//! The order is what makes a crash harmless. A write is recorded before the transaction begins; what was refused in it
//! is closed before it ends; the transaction's id is noted before it commits. Whatever is then found open without a
//! note never commits, and whatever has one is judged by it.

use syncbridge_domain::agreed::{Agreed, RowDigest, source_hash, target_hash};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::effect::{AfterState, EffectKind, Subject, Witness};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::EffectId;
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::receipt::Item;
use syncbridge_domain::revert::{Hold, state_after};
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::row_write::{Assignment, Commit, RowReceipt, RowWrite};

use crate::ports::pull_memory::PullMemory;
use crate::ports::row_writer::{RowWriter, StagedRows};
use crate::ports::{Control, Ledger, OverriddenEdit, PortResult, Settlement, Verdict};
use crate::session::{Session, World};
use crate::work::{Held, RowAttempt, Work};

/// Rows in one transaction: enough to share its cost, few enough that nobody waits long for a lock of ours.
const TOGETHER: usize = 50;
/// A write whose unique key was found taken: the row is there after all, and is looked at again.
pub(crate) const KEY_TAKEN: &str = "row.key_taken";

/// What becomes of the rows of one transaction.
#[derive(Default)]
struct Written {
    again: Vec<Work>,
    left: Vec<Work>,
    /// To be tried each in a transaction of its own, because one of them spoiled the commit for all.
    alone: Vec<RowAttempt>,
}

impl<W: World> Session<'_, W> {
    /// Writes rows; answers those to be decided anew. What reaches further than a row ends up in `stop`.
    pub(crate) async fn finish_row_writes(
        &mut self,
        attempts: Vec<RowAttempt>,
        left: &mut Vec<Work>,
        stop: &mut Option<Failure>,
    ) -> PortResult<Vec<Work>> {
        let mut again = Vec::new();
        let mut queue = attempts;
        while !queue.is_empty() {
            let rest = queue.split_off(queue.len().min(TOGETHER));
            let chunk = std::mem::replace(&mut queue, rest);
            if stop.is_some() {
                left.extend(chunk.into_iter().map(|attempt| attempt.work));
                continue;
            }
            self.check()?;
            let written = self.write_rows(chunk, stop).await?;
            again.extend(written.again);
            left.extend(written.left);
            for attempt in written.alone {
                let work = attempt.work.clone();
                if stop.is_some() {
                    left.push(work);
                    continue;
                }
                let attempt = RowAttempt {
                    effect: syncbridge_domain::effect::NewEffect {
                        id: self.effect_id(),
                        ..attempt.effect
                    },
                    ..attempt
                };
                let one = self.write_rows(vec![attempt], stop).await?;
                again.extend(one.again);
                left.extend(one.left);
            }
        }
        Ok(again)
    }

    async fn write_rows(
        &mut self,
        attempts: Vec<RowAttempt>,
        stop: &mut Option<Failure>,
    ) -> PortResult<Written> {
        let mut written = Written::default();
        let (admitted, stale) = self.admit(attempts, &mut written.left).await?;
        written.again.extend(self.with_base_now(stale).await?);
        if admitted.is_empty() {
            return Ok(written);
        }
        self.record_lost_to_list(&admitted).await?;
        if self.ports.clock.monotonic() >= self.ports.control.send_before() {
            // Nothing was begun: the effects are free again, and the next run decides anew.
            self.release(&admitted).await?;
            written
                .left
                .extend(admitted.into_iter().map(|attempt| attempt.work));
            return Ok(written);
        }
        let writes: Vec<RowWrite> = admitted.iter().map(|attempt| attempt.write.clone()).collect();
        let staged = match self.ports.source.stage(writes).await {
            Ok(staged) => staged,
            Err(failure) => {
                self.release(&admitted).await?;
                written
                    .left
                    .extend(admitted.into_iter().map(|attempt| attempt.work));
                *stop = Some(failure);
                return Ok(written);
            }
        };
        self.settle_staged(staged, admitted, written, stop).await
    }

    async fn settle_staged(
        &mut self,
        staged: <W::Source as RowWriter>::Staged,
        admitted: Vec<RowAttempt>,
        mut written: Written,
        stop: &mut Option<Failure>,
    ) -> PortResult<Written> {
        let receipts = staged.receipts().to_vec();
        if receipts.len() != admitted.len() {
            staged.roll_back().await;
            return Err(miscounted(admitted.len(), receipts.len()));
        }
        let alone = admitted.len() == 1;
        let mut closed = Vec::new();
        let mut good = Vec::new();
        for (attempt, receipt) in admitted.into_iter().zip(receipts) {
            match receipt {
                RowReceipt::Staged { row, written, xid } => good.push((attempt, row, written, xid)),
                RowReceipt::Refused { .. }
                    if syncbridge_domain::sabotaged!(
                        "transaction status trusted for a row rolled back to a savepoint"
                    ) && attempt.work.source.one().is_some() =>
                {
                    good.extend(as_if_staged(attempt));
                }
                RowReceipt::Moved { now } => {
                    closed.push(settled(&attempt, Verdict::Released));
                    written.again.push(moved(attempt.work, now));
                }
                RowReceipt::Refused { failure } => {
                    self.refused_row(attempt, failure, &mut closed, &mut written);
                }
            }
        }
        // What this transaction refused is closed by itself: the transaction's fate says nothing about it.
        self.settle(closed).await?;
        let rows: Vec<(RowAttempt, LedgerRow, SourceRow, Option<u64>)> = good
            .into_iter()
            .map(|(attempt, row, cells, xid)| {
                let after = self.row_after_write(&attempt, &row, &cells);
                (attempt, after, row, xid)
            })
            .collect();
        if rows.is_empty() {
            staged.roll_back().await;
            return Ok(written);
        }
        let witnesses: Vec<Witness> = rows
            .iter()
            .map(|(a, after, _, xid)| witness(a, after, *xid))
            .collect();
        if let Err(failure) = self.ports.ledger.note_witnesses(self.fence(), &witnesses).await {
            // Without the note the commit must not happen.
            staged.roll_back().await;
            if failure.code == "effect.taken" {
                self.release(rows.iter().map(|(attempt, ..)| attempt)).await?;
                written
                    .left
                    .extend(rows.into_iter().map(|(attempt, ..)| attempt.work));
                return Ok(written);
            }
            return Err(failure);
        }
        match staged.commit().await {
            Commit::Committed => self.committed(rows, &mut written).await?,
            Commit::RolledBack(failure) if alone => {
                let mut closed = Vec::new();
                for (attempt, ..) in rows {
                    self.refused_row(attempt, failure.clone(), &mut closed, &mut written);
                }
                self.settle(closed).await?;
            }
            Commit::RolledBack(_) => {
                self.release(rows.iter().map(|(attempt, ..)| attempt)).await?;
                written
                    .alone
                    .extend(rows.into_iter().map(|(attempt, ..)| attempt));
            }
            Commit::Unknown(_) if syncbridge_domain::sabotaged!("lost row write taken for applied") => {
                self.committed(rows, &mut written).await?;
            }
            Commit::Unknown(_) if syncbridge_domain::sabotaged!("lost row write taken for refused") => {
                self.release(rows.iter().map(|(attempt, ..)| attempt)).await?;
                written
                    .again
                    .extend(rows.into_iter().map(|(attempt, ..)| attempt.work));
            }
            Commit::Unknown(failure) => {
                // Open and witnessed: the next run asks the source what became of the transaction.
                written
                    .left
                    .extend(rows.into_iter().map(|(attempt, ..)| attempt.work));
                *stop = Some(failure);
            }
        }
        Ok(written)
    }

    /// Both values of what the source is about to lose are kept before it does.
    async fn record_lost_to_list(&mut self, admitted: &[RowAttempt]) -> PortResult<()> {
        let mut edits = Vec::new();
        for attempt in admitted {
            let Some(source) = attempt.work.source.one() else {
                continue;
            };
            for (at, shown) in &attempt.overrides {
                let field = &self.spec.mapping.fields[*at];
                edits.push(OverriddenEdit {
                    identity: attempt.work.identity(),
                    column: field.column.clone(),
                    source: self.source_value(field, &source.cells[*at]),
                    target: shown.clone(),
                    winner: Side::Target,
                    target_at: attempt.work.target.one().and_then(|item| item.modified),
                    ambiguous: self.unclear.contains(&(attempt.work.identity(), *at)),
                });
            }
        }
        if edits.is_empty() || syncbridge_domain::sabotaged!("overwritten value of the row not recorded") {
            return Ok(());
        }
        self.counters.overridden += edits.len() as u64;
        self.ports
            .ledger
            .record_conflicts(self.fence(), self.spec.run, &edits)
            .await
    }

    fn refused_row(
        &mut self,
        attempt: RowAttempt,
        failure: Failure,
        closed: &mut Vec<Settlement>,
        written: &mut Written,
    ) {
        if failure.code == KEY_TAKEN && attempt.effect.kind == EffectKind::InsertRow {
            closed.push(settled(&attempt, Verdict::Released));
            let subject_has_a_key =
                syncbridge_domain::item_subject::item_of(&attempt.work.subject.key).is_none();
            if subject_has_a_key {
                // Somebody added the same row meanwhile: it is read, and the two are matched by their key.
                written.again.push(Work {
                    source: Presence::Unseen,
                    rounds: attempt.work.rounds.saturating_add(1),
                    ..attempt.work
                });
                return;
            }
            let entry = self.quarantine(&self.subject_to_keep(&attempt.work), None, failure);
            self.counters.quarantined += 1;
            closed.pop();
            closed.push(quarantined(&attempt, entry));
            return;
        }
        let cells = attempt.work.source.one().map(|row| row.cells.as_slice());
        let entry = self.quarantine(&self.subject_to_keep(&attempt.work), cells, failure);
        self.counters.quarantined += 1;
        closed.push(quarantined(&attempt, entry));
    }

    async fn release<'r>(&self, attempts: impl IntoIterator<Item = &'r RowAttempt>) -> PortResult<()> {
        let released = attempts
            .into_iter()
            .map(|attempt| settled(attempt, Verdict::Released))
            .collect();
        self.settle(released).await
    }

    /// The agreement once a staged row is committed.
    fn row_after_write(&self, attempt: &RowAttempt, row: &SourceRow, written: &[Cell]) -> LedgerRow {
        let hash_key = self.ports.hash_key;
        let set: &[Assignment] = match &attempt.write {
            RowWrite::Insert { set } | RowWrite::Update { set, .. } => set,
            RowWrite::Delete { .. } => &[],
        };
        let mut after = attempt.before.clone();
        // What a scan must find to see nothing new: our own values as written, the rest as it was agreed on.
        let mut cells: Vec<Cell> = match attempt.work.source.one() {
            Some(source) => source.cells.clone(),
            None => vec![None; row.cells.len()],
        };
        for ((at, _), written) in set.iter().zip(written) {
            // Where the list owns a field, what the table makes of its value is only how it is kept there: nobody is to
            // put it back again and again.
            let kept = match self.spec.mapping.fields[*at].direction {
                Direction::Pull => &row.cells[*at],
                Direction::Push | Direction::Both => written,
            };
            cells[*at].clone_from(kept);
            after.fields[*at].0 = source_hash(hash_key, kept);
        }
        for (at, shown) in &attempt.taken {
            after.fields[*at].1 = *shown;
        }
        for (at, field) in self.spec.mapping.fields.iter().enumerate() {
            if field.passive {
                after.fields[at].0 = source_hash(hash_key, &row.cells[at]);
            }
        }
        let agreed_on = self
            .spec
            .mapping
            .fields
            .iter()
            .enumerate()
            .all(|(at, field)| field.passive || after.fields[at].0 == source_hash(hash_key, &cells[at]));
        // A new row's item is still to get its sync key, and a row that was never seen whole stays so.
        after.digest = match agreed_on && attempt.before.digest != RowDigest::UNKNOWN {
            true => self.digest(&cells),
            // Another change of this row is still to travel; nothing may take it for seen.
            false => RowDigest::UNKNOWN,
        };
        let base = attempt.work.base.as_ref();
        let version = match base {
            // What the item shows beside the fields that were taken is not agreed on: the next write to it must still
            // meet its precondition.
            Some(base) if !self.agrees_with(attempt.work.target.one(), &after) => base.version,
            _ => attempt.link.before,
        };
        LedgerRow {
            identity: self.identity(&row.key),
            key: row.key.clone(),
            item: attempt.link.id.clone(),
            version,
            agreed: after.to_bytes(),
            layout: self.layout,
            hash_key_id: hash_key.id(),
            mark: attempt.work.mark,
            state: state_after(attempt.effect.kind, attempt.effect.cause.beside),
            row_version: base.map_or(0, |base| base.row_version),
            last_run: self.spec.run,
        }
    }

    /// Whether every mapped field that the item shows is what is agreed on.
    pub(crate) fn agrees_with(&self, item: Option<&Item>, agreed: &Agreed) -> bool {
        let Some(item) = item else { return true };
        let mut fields = self.spec.mapping.fields.iter().zip(&agreed.fields);
        fields.all(|(field, (_, known))| {
            field.passive
                || item
                    .value(&field.target)
                    .is_none_or(|shown| target_hash(self.ports.hash_key, shown) == *known)
        })
    }

    async fn committed(
        &mut self,
        rows: Vec<(RowAttempt, LedgerRow, SourceRow, Option<u64>)>,
        written: &mut Written,
    ) -> PortResult<()> {
        let settled = rows
            .iter()
            .map(|(attempt, after, ..)| Settlement {
                identity: after.identity,
                clears_dirty: match attempt.effect.kind {
                    EffectKind::DeleteRow => attempt.work.dirty,
                    // Another change of the row may still have to travel.
                    _ => None,
                },
                turns: attempt.turns.clone(),
                hold: match attempt.work.held {
                    Held::Ends => Hold::Ends,
                    Held::No | Held::Yes => self.hold_once_applied(
                        &Subject {
                            identity: after.identity,
                            key: after.key.clone(),
                        },
                        attempt.effect.cause.beside,
                        &after.agreed,
                    ),
                },
                ..settled(attempt, Verdict::Applied(Box::new(after.clone())))
            })
            .collect();
        self.settle(settled).await?;
        let mut again = Vec::with_capacity(rows.len());
        for (attempt, after, row, _) in rows {
            match attempt.effect.kind {
                EffectKind::InsertRow => self.counters.inserted_rows += 1,
                EffectKind::DeleteRow => self.counters.deleted_rows += 1,
                _ => self.counters.updated_rows += 1,
            }
            if attempt.effect.kind == EffectKind::DeleteRow {
                continue;
            }
            let mut attempt = attempt;
            self.count_turns(&mut attempt.work, &attempt.turns);
            let was_an_item = attempt.work.subject.identity != after.identity;
            again.push(Work {
                subject: Subject {
                    identity: after.identity,
                    key: after.key.clone(),
                },
                source: match syncbridge_domain::sabotaged!("row image older than the ledger applied") {
                    true => attempt.work.source,
                    false => Presence::One(row),
                },
                base: Some(after),
                newcomer: None,
                dirty: if was_an_item { None } else { attempt.work.dirty },
                rounds: attempt.work.rounds.saturating_add(1),
                ..attempt.work
            });
        }
        written.again.extend(self.with_base_now(again).await?);
        Ok(())
    }

    /// The agreement that a witnessed write of an earlier run left to be recorded.
    pub(crate) fn witnessed_row(
        &self,
        effect: &syncbridge_domain::effect::Effect,
        base: Option<&LedgerRow>,
    ) -> Option<LedgerRow> {
        let link = effect.item.as_ref()?;
        // What the list showed then; a later look or feed entry brings the version forward.
        let version = match base {
            Some(base)
                if base.version.guid == link.before.guid && base.version.counter > link.before.counter =>
            {
                base.version
            }
            _ => link.before,
        };
        Some(LedgerRow {
            identity: effect.subject.identity,
            key: effect.subject.key.clone(),
            item: link.id.clone(),
            version,
            agreed: effect.after.agreed.clone(),
            layout: effect.after.layout,
            hash_key_id: self.ports.hash_key.id(),
            mark: effect.after.mark,
            state: state_after(effect.kind, effect.beside),
            row_version: base.map_or(0, |base| base.row_version),
            last_run: self.spec.run,
        })
    }
}

/// A row as its transaction would have left it, had it not been rolled back to its savepoint.
fn as_if_staged(attempt: RowAttempt) -> Option<(RowAttempt, SourceRow, Vec<Cell>, Option<u64>)> {
    let row = attempt.work.source.one()?.clone();
    let written = match &attempt.write {
        RowWrite::Insert { set } | RowWrite::Update { set, .. } => {
            set.iter().map(|(_, cell)| cell.clone()).collect()
        }
        RowWrite::Delete { .. } => Vec::new(),
    };
    Some((attempt, row, written, None))
}

fn moved(work: Work, now: Presence<SourceRow>) -> Work {
    Work {
        source: now,
        rounds: work.rounds.saturating_add(1),
        ..work
    }
}

fn witness(attempt: &RowAttempt, after: &LedgerRow, xid: Option<u64>) -> Witness {
    Witness {
        effect: EffectId::from_uuid(attempt.effect.id.uuid()),
        subject: Subject {
            identity: after.identity,
            key: after.key.clone(),
        },
        xid,
        after: AfterState {
            agreed: after.agreed.clone(),
            layout: after.layout,
            mark: after.mark,
        },
    }
}

fn settled(attempt: &RowAttempt, verdict: Verdict) -> Settlement {
    Settlement {
        effect: EffectId::from_uuid(attempt.effect.id.uuid()),
        identity: attempt.effect.subject.identity,
        verdict,
        clears_dirty: None,
        request_id: None,
        turns: Vec::new(),
        hold: Hold::AsItIs,
    }
}

fn quarantined(attempt: &RowAttempt, entry: syncbridge_domain::dirty::NewQuarantine) -> Settlement {
    Settlement {
        clears_dirty: attempt.work.refused_sequence(),
        ..settled(attempt, Verdict::Quarantined(Box::new(entry)))
    }
}

fn miscounted(asked: usize, answered: usize) -> Failure {
    Failure::new(
        Scope::Outage,
        "source.miscounted",
        format!("{asked} rows were to be written and {answered} answers came back"),
        "report this as a defect; nothing was written",
    )
}
