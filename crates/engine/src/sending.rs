//! Sending recorded writes and settling them by evidence.
//!
//! Nothing here decides what a row should become. A write goes out in a full batch, its receipt is classified
//! once, and it ends settled, waiting to be decided anew, or left open for a later run; never forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use syncbridge_domain::agreed::{Agreed, target_hash};
use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::{Identity, SyncKey};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, ItemId, ItemRead, Lookup, Receipt, Refusal};
use syncbridge_domain::row::Presence;

use crate::evidence::{self, Finding};
use crate::ports::{Control, Ledger, OverriddenEdit, PortResult, Settlement, Target, Verdict};
use crate::session::{Session, World};
use crate::work::{Attempt, Work};

/// How often one write is sent in one run before it is left for the next.
const MAX_SENDS: u8 = 6;
/// How many settlements go into one transaction.
const SETTLE_AT: usize = 400;

/// What became of a set of writes.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// To be decided anew with what was learnt.
    pub(crate) again: Vec<Work>,
    /// Unsettled: the effect stays open, the row must stay dirty.
    pub(crate) unsettled: Vec<Work>,
    /// A failure that reaches further than a row; nothing more is to be sent.
    pub(crate) stop: Option<Failure>,
    /// How long the list, or our own budget, asked us to wait.
    wait: Duration,
}

enum Next {
    Settle(Settlement),
    /// Close the effect, decide anew.
    Again(Settlement, Box<Work>),
    Resend(Box<Attempt>),
    Inspect(Box<Attempt>),
    Stop(Settlement, Box<Work>, Failure),
}

impl<W: World> Session<'_, W> {
    /// Sends recorded writes until each is settled, needs a new decision, or has to wait for a later run.
    pub(crate) async fn send(&mut self, attempts: Vec<Attempt>) -> PortResult<Sent> {
        let mut sent = Sent::default();
        let mut queue = attempts;
        while !queue.is_empty() {
            if sent.stop.is_some() {
                sent.unsettled
                    .extend(queue.into_iter().map(|attempt| attempt.work));
                break;
            }
            let (resend, inspect) = self.send_once(queue, &mut sent).await?;
            let pending = self.inspect(inspect, &mut sent).await?;
            queue = resend.into_iter().chain(pending).collect();
            let worn_out = queue.extract_if(.., |attempt| attempt.sends >= MAX_SENDS);
            sent.unsettled.extend(worn_out.map(|attempt| attempt.work));
            let most = queue.iter().map(|attempt| attempt.sends).max().unwrap_or(0);
            self.back_off(most, std::mem::take(&mut sent.wait)).await;
            self.check()?;
        }
        Ok(sent)
    }

    async fn send_once(
        &mut self,
        queue: Vec<Attempt>,
        sent: &mut Sent,
    ) -> PortResult<(Vec<Attempt>, Vec<Attempt>)> {
        let size = self.spec.limits.batch_writes.clamp(1, 20) as usize;
        let width = self.spec.limits.batches_in_flight.clamp(1, 64) as usize;
        let target = self.ports.target;
        let control = self.ports.control;
        let mut answers =
            futures_util::stream::iter(batches(queue, size).into_iter().map(|batch| async move {
                let deadline = control.send_before();
                let receipts = target
                    .write(batch.iter().map(|a| a.write.clone()).collect(), deadline)
                    .await;
                (batch, receipts)
            }))
            .buffer_unordered(width);
        let mut resend = Vec::new();
        let mut inspect = Vec::new();
        let mut settled = Vec::new();
        while let Some((batch, receipts)) = answers.next().await {
            if receipts.len() != batch.len() {
                return Err(miscounted(batch.len(), receipts.len()));
            }
            for (attempt, receipt) in batch.into_iter().zip(receipts) {
                if let Receipt::Refused {
                    refusal: Refusal::Throttled(wait),
                } = &receipt
                {
                    sent.wait = sent.wait.max(*wait);
                }
                match self.classify(attempt, receipt) {
                    Next::Settle(settlement) => settled.push(settlement),
                    Next::Again(settlement, work) => {
                        settled.push(settlement);
                        sent.again.push(*work);
                    }
                    Next::Resend(attempt) => resend.push(*attempt),
                    Next::Inspect(attempt) => inspect.push(*attempt),
                    Next::Stop(settlement, work, failure) => {
                        settled.push(settlement);
                        sent.unsettled.push(*work);
                        sent.stop.get_or_insert(failure);
                    }
                }
            }
            if settled.len() >= SETTLE_AT {
                self.settle(std::mem::take(&mut settled)).await?;
            }
        }
        drop(answers);
        self.settle(settled).await?;
        Ok((resend, inspect))
    }

    /// Settles in one transaction and reports progress.
    pub(crate) async fn settle(&self, settled: Vec<Settlement>) -> PortResult<()> {
        if !settled.is_empty() {
            self.ports
                .ledger
                .settle(self.fence(), self.spec.run, &settled)
                .await?;
            self.report();
        }
        Ok(())
    }

    /// What a receipt means for its write. Every kind of answer has its line here and nowhere else.
    fn classify(&mut self, mut attempt: Attempt, receipt: Receipt) -> Next {
        attempt.sends = attempt.sends.saturating_add(1);
        match receipt {
            Receipt::Applied { item, request_id } => match self.applied(&attempt, item, request_id) {
                Some(settlement) => Next::Settle(settlement),
                // It happened, but the answer does not say what the item is now.
                None => Next::Inspect(Box::new(attempt)),
            },
            Receipt::Unknown { .. } => Next::Inspect(Box::new(attempt)),
            Receipt::Refused { refusal } => self.refused(attempt, refusal),
        }
    }

    fn refused(&mut self, attempt: Attempt, refusal: Refusal) -> Next {
        match refusal {
            Refusal::Precondition => {
                let settlement = release(&attempt);
                let work = Work {
                    target: Presence::Unseen,
                    why: WhyTag::PreconditionRetry,
                    ..attempt.work
                };
                Next::Again(
                    settlement,
                    Box::new(Work {
                        rounds: work.rounds.saturating_add(1),
                        ..work
                    }),
                )
            }
            Refusal::Gone if attempt.effect.kind == EffectKind::DeleteItem => {
                match self.applied(&attempt, None, None) {
                    Some(settlement) => Next::Settle(settlement),
                    None => Next::Inspect(Box::new(attempt)),
                }
            }
            Refusal::Gone => {
                let settlement = release(&attempt);
                Next::Again(
                    settlement,
                    Box::new(Work {
                        target: Presence::None,
                        ..attempt.work
                    }),
                )
            }
            // Our own sync key is taken: by an earlier request of ours, or by an item the ledger does not know.
            Refusal::Duplicate(failure)
                if attempt.effect.kind == EffectKind::CreateItem && about_sync_key(&failure) =>
            {
                Next::Inspect(Box::new(attempt))
            }
            Refusal::Throttled(_) => Next::Resend(Box::new(Attempt {
                sends: attempt.sends.min(1),
                ..attempt
            })),
            Refusal::NotSent(failure) if failure.code == "request.deadline" => {
                Next::Resend(Box::new(Attempt {
                    sends: attempt.sends.min(2),
                    ..attempt
                }))
            }
            Refusal::NotSent(failure) if attempt.sends >= MAX_SENDS => {
                Next::Stop(release(&attempt), Box::new(attempt.work), failure)
            }
            Refusal::NotSent(_) => Next::Resend(Box::new(attempt)),
            Refusal::Duplicate(failure) | Refusal::Failed(failure) => match failure.scope {
                Scope::Row => Next::Settle(self.quarantined(&attempt, failure)),
                // A column that is gone or changed concerns every row: one run that stops says it better than a
                // quarantine full of rows that nothing is wrong with.
                Scope::Column | Scope::List | Scope::Tenant | Scope::Outage => {
                    Next::Stop(release(&attempt), Box::new(attempt.work), failure)
                }
            },
        }
    }

    fn quarantined(&mut self, attempt: &Attempt, failure: Failure) -> Settlement {
        self.counters.quarantined += 1;
        let cells = attempt.work.source.one().map(|row| row.cells.as_slice());
        let request_id = failure.request_id.clone();
        let entry = self.quarantine(&attempt.work.subject, cells, failure);
        settlement(attempt, Verdict::Quarantined(Box::new(entry)), request_id)
    }

    /// The settlement of a write that happened; `None` where a create's answer names no item.
    pub(crate) fn applied(
        &mut self,
        attempt: &Attempt,
        item: Option<Item>,
        request_id: Option<String>,
    ) -> Option<Settlement> {
        let row = match attempt.effect.kind {
            EffectKind::DeleteItem => {
                self.counters.deleted += 1;
                self.tombstone(attempt)?
            }
            EffectKind::CreateItem => {
                let row = self.live_row(attempt, &item?)?;
                self.counters.created += 1;
                row
            }
            EffectKind::PatchItem => {
                let row = self.live_row(attempt, &item?)?;
                self.counters.patched += 1;
                row
            }
        };
        Some(settlement(attempt, Verdict::Applied(Box::new(row)), request_id))
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

    /// The ledger row after a create or patch: source hashes of what was sent, target hashes of what came back.
    fn live_row(&self, attempt: &Attempt, item: &Item) -> Option<LedgerRow> {
        let mut agreed = Agreed::from_bytes(&attempt.effect.after.agreed).ok()?;
        let mut whole = true;
        for (at, field) in self.spec.mapping.fields.iter().enumerate() {
            let slot = agreed.fields.get_mut(at)?;
            let sent = attempt.effect.sent.get(&field.target);
            let created = attempt.effect.kind == EffectKind::CreateItem;
            if sent.is_none() && !created {
                continue;
            }
            let shown = item.value(&field.target);
            // After a lost answer a person may already have rewritten the field: then what the list holds is
            // not what our write left there, and is not taken for it.
            let ours = match (sent, shown) {
                (Some(sent), Some(shown)) => {
                    attempt.sends <= 1 || evidence::same_value(&field.facet, sent, shown)
                }
                (None, _) => true,
                (Some(_), None) => false,
            };
            slot.1 = if ours {
                shown.and_then(|json| target_hash(self.ports.hash_key, json))
            } else {
                None
            };
            whole &= ours || created;
        }
        if !whole {
            agreed.digest = syncbridge_domain::agreed::RowDigest::UNKNOWN;
        }
        Some(LedgerRow {
            identity: attempt.work.identity(),
            key: attempt.work.subject.key.clone(),
            item: item.id.clone(),
            version: item.version,
            agreed: agreed.to_bytes(),
            layout: attempt.effect.after.layout,
            hash_key_id: self.ports.hash_key.id(),
            mark: attempt.effect.after.mark,
            state: LedgerState::Live,
            row_version: attempt.work.base.as_ref().map_or(0, |row| row.row_version),
            last_run: self.spec.run,
        })
    }

    /// Looks at the list for writes whose answer was lost. Returns those to send again.
    async fn inspect(&mut self, attempts: Vec<Attempt>, sent: &mut Sent) -> PortResult<Vec<Attempt>> {
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let findings = self.look_at(&attempts).await;
        let mut resend = Vec::new();
        let mut settled = Vec::new();
        for (attempt, finding) in attempts.into_iter().zip(findings) {
            match finding {
                Finding::Applied(item) => match self.found_applied(&attempt, item) {
                    Some(FoundApplied::Ours(settlement)) => settled.push(*settlement),
                    Some(FoundApplied::Other(settlement, work)) => {
                        settled.push(*settlement);
                        sent.again.push(*work);
                    }
                    None => sent.unsettled.push(attempt.work),
                },
                // Sent again under the same effect: a repeat that lands twice is stopped by the sync key or If-Match.
                Finding::Pending | Finding::Unknown => {
                    let mut attempt = attempt;
                    attempt.write.why = WhyTag::FaultRetry;
                    attempt.sends = attempt.sends.max(2);
                    resend.push(attempt);
                }
                Finding::Superseded(now) => {
                    settled.push(release(&attempt));
                    let target = match now {
                        evidence::Presence::Item(item) => Presence::One(item),
                        evidence::Presence::Items(items) => Presence::Many(items),
                        evidence::Presence::Gone => Presence::None,
                    };
                    let rounds = attempt.work.rounds.saturating_add(1);
                    sent.again.push(Work {
                        target,
                        rounds,
                        why: WhyTag::FaultRetry,
                        ..attempt.work
                    });
                }
            }
        }
        self.settle(settled).await?;
        Ok(resend)
    }

    /// An item under our sync key after a create: ours if it shows what we sent, otherwise one that an older
    /// write or a lost ledger left behind, to be judged by content.
    fn found_applied(&mut self, attempt: &Attempt, item: Option<Item>) -> Option<FoundApplied> {
        if let (EffectKind::CreateItem, Some(found)) = (attempt.effect.kind, &item) {
            let differs = self.spec.mapping.fields.iter().any(|field| {
                let sent = attempt
                    .effect
                    .sent
                    .get(&field.target)
                    .unwrap_or(&serde_json::Value::Null);
                found
                    .value(&field.target)
                    .is_some_and(|shown| !evidence::same_value(&field.facet, sent, shown))
            });
            if differs {
                let work = Work {
                    target: Presence::One(found.clone()),
                    ..attempt.work.clone()
                };
                let again = Box::new(Work {
                    rounds: work.rounds.saturating_add(1),
                    ..work
                });
                return Some(FoundApplied::Other(Box::new(release(attempt)), again));
            }
        }
        // The comparison of sent and shown values must count, whatever the number of sends.
        let careful = Attempt {
            sends: attempt.sends.max(2),
            ..attempt.clone()
        };
        self.applied(&careful, item, None)
            .map(|settlement| FoundApplied::Ours(Box::new(settlement)))
    }

    /// One finding an attempt, in order.
    async fn look_at(&self, attempts: &[Attempt]) -> Vec<Finding> {
        let creates: Vec<SyncKey> = attempts
            .iter()
            .filter(|a| a.effect.kind == EffectKind::CreateItem)
            .map(|a| SyncKey::of(a.work.identity()))
            .collect();
        let changes: Vec<ItemId> = attempts
            .iter()
            .filter_map(|a| a.effect.item.as_ref())
            .map(|link| link.id.clone())
            .collect();
        let mut found = self.lookup_all(&creates, WhyTag::Probe).await.into_iter();
        let mut read = self.read_all(&changes, WhyTag::Probe).await.into_iter();
        attempts
            .iter()
            .map(|attempt| match &attempt.effect.item {
                None => found.next().map_or(Finding::Unknown, evidence::of_create),
                Some(link) => read.next().map_or(Finding::Unknown, |read| {
                    let sent = &attempt.effect.sent;
                    evidence::of_change(&self.spec.mapping, attempt.effect.kind, link.before, sent, read)
                }),
            })
            .collect()
    }

    /// Looks up any number of sync keys, 20 at a time.
    pub(crate) async fn lookup_all(&self, keys: &[SyncKey], why: WhyTag) -> Vec<Lookup> {
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(20) {
            found.extend(self.ports.target.lookup(chunk, why).await);
        }
        found
    }

    /// Reads any number of items, 20 at a time.
    pub(crate) async fn read_all(&self, items: &[ItemId], why: WhyTag) -> Vec<ItemRead> {
        let mut read = Vec::with_capacity(items.len());
        for chunk in items.chunks(20) {
            read.extend(self.ports.target.read(chunk, why).await);
        }
        read
    }

    /// Waits before the next round. The client pauses by itself for as long as it was asked to; this keeps a
    /// run that is told "not before" from asking again and again, and still notices a request to stop.
    async fn back_off(&self, sends: u8, asked: Duration) {
        const LONGEST: Duration = Duration::from_secs(5);
        let mut wait = asked.min(LONGEST);
        if sends >= 2 {
            let step = 100u64 << sends.min(6);
            wait = wait.max(Duration::from_millis(step + self.ports.entropy.up_to(step)));
        }
        if !wait.is_zero() {
            self.ports.clock.sleep(wait).await;
        }
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
                }
            })
            .collect()
    }
}

enum FoundApplied {
    Ours(Box<Settlement>),
    Other(Box<Settlement>, Box<Work>),
}

/// Full batches in which no item appears twice: sub-requests of one batch run in parallel (contract §9).
fn batches(queue: Vec<Attempt>, size: usize) -> Vec<Vec<Attempt>> {
    let mut out: Vec<Vec<Attempt>> = Vec::new();
    let mut waiting: BTreeMap<Identity, usize> = BTreeMap::new();
    for attempt in queue {
        let first = waiting.get(&attempt.work.identity()).map_or(0, |at| at + 1);
        let from = first.max(out.len().saturating_sub(1));
        let at = (from..out.len())
            .find(|at| out[*at].len() < size)
            .unwrap_or(out.len());
        if at == out.len() {
            out.push(Vec::with_capacity(size));
        }
        waiting.insert(attempt.work.identity(), at);
        out[at].push(attempt);
    }
    out
}

fn about_sync_key(failure: &Failure) -> bool {
    failure
        .column
        .as_deref()
        .is_none_or(|column| column == syncbridge_domain::mapping::SYNC_KEY_COLUMN)
}

pub(crate) fn settlement(attempt: &Attempt, verdict: Verdict, request_id: Option<String>) -> Settlement {
    let clears_dirty = match verdict {
        Verdict::Applied(_) | Verdict::Quarantined(_) => attempt.work.dirty,
        Verdict::Released | Verdict::Armed => None,
    };
    Settlement {
        effect: attempt.effect.id,
        identity: attempt.work.identity(),
        verdict,
        clears_dirty,
        request_id,
    }
}

fn release(attempt: &Attempt) -> Settlement {
    settlement(attempt, Verdict::Released, None)
}

fn miscounted(sent: usize, answered: usize) -> Failure {
    Failure::new(
        Scope::Outage,
        "target.miscounted",
        format!("{sent} writes were sent and {answered} receipts came back"),
        "report this as a defect; the writes are settled by the next run",
    )
}
