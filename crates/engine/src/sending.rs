//! Sending recorded writes and settling them by evidence.
//!
//! Nothing here decides what a row should become. A write goes out in a full batch, its receipt is classified
//! once, and it ends settled, waiting to be decided anew, or left open for a later run; never forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{Fuse, FusedFuture as _, FutureExt as _};
use futures_util::{StreamExt, select_biased};
use syncbridge_domain::agreed::{Agreed, RowDigest, target_hash};
use syncbridge_domain::dirty::DirtyMark;
use syncbridge_domain::effect::{Effect, EffectKind};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{
    DEADLINE_PASSED, Item, ItemId, ItemRead, Lookup, Receipt, Refusal, RowName,
};
use syncbridge_domain::row::Presence;

use crate::compose::archives;
use crate::evidence::{self, Finding};
use crate::ports::{Control, Ledger, OverriddenEdit, PortResult, Settlement, Target, Verdict};
use crate::recover::attempt_of;
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

/// How it is known that a write happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// Its own answer says so.
    Answer,
    /// A later look at the list says so.
    Look,
}

enum Next {
    Settle(Settlement),
    /// Close the effect, decide anew.
    Again(Settlement, Box<Work>),
    Resend(Box<Attempt>),
    Inspect(Box<Attempt>),
    Stop(Settlement, Box<Work>, Failure),
    /// Refused now, but an earlier request of the same write is unaccounted for: the effect stays open, and the
    /// next run looks first. The failure is one that reaches further than the row.
    Leave(Box<Work>, Option<Failure>),
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
                let mut deadline = control.send_before();
                if syncbridge_domain::sabotaged!("lease not looked at before sending") {
                    deadline = deadline + Duration::from_secs(86_400);
                }
                let receipts = target
                    .write(batch.iter().map(|a| a.write.clone()).collect(), deadline)
                    .await;
                (batch, receipts)
            }))
            .buffer_unordered(width);
        let mut resend = Vec::new();
        let mut inspect = Vec::new();
        let mut settled = Vec::new();
        let (ledger, fence, run) = (self.ports.ledger, self.fence(), self.spec.run);
        // One transaction at a time, and batches go on being sent meanwhile.
        let mut settling = Fuse::terminated();
        loop {
            if settled.len() >= SETTLE_AT && settling.is_terminated() {
                let slice = std::mem::take(&mut settled);
                settling = Box::pin(async move { ledger.settle(fence, run, &slice).await }).fuse();
            }
            let (batch, receipts) = select_biased! {
                done = settling => {
                    done?;
                    self.report();
                    continue;
                }
                answer = answers.next() => match answer {
                    Some(answer) => answer,
                    None => break,
                },
            };
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
                    Next::Leave(work, failure) => {
                        sent.unsettled.push(*work);
                        sent.stop = sent.stop.take().or(failure);
                    }
                }
            }
        }
        drop(answers);
        if !settling.is_terminated() {
            settling.await?;
        }
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
            Receipt::Unknown { .. }
                if attempt.effect.kind == EffectKind::DeleteItem
                    && syncbridge_domain::sabotaged!("unanswered delete taken as done") =>
            {
                match self.applied(&attempt, None, Witness::Answer, None) {
                    Some(settlement) => Next::Settle(settlement),
                    None => in_doubt(attempt),
                }
            }
            Receipt::Applied { item, request_id } => {
                match self.applied(&attempt, item, Witness::Answer, request_id) {
                    Some(settlement) => Next::Settle(settlement),
                    // It happened, but the answer does not say what the item is now.
                    None => in_doubt(attempt),
                }
            }
            Receipt::Unknown { .. } if syncbridge_domain::sabotaged!("lost answer taken for a refusal") => {
                Next::Again(release(&attempt), Box::new(attempt.work))
            }
            Receipt::Unknown { .. } => in_doubt(attempt),
            Receipt::Refused { refusal } => self.refused(attempt, refusal),
        }
    }

    fn refused(&mut self, mut attempt: Attempt, refusal: Refusal) -> Next {
        match refusal {
            // The item is not what the ledger says: it moved on by our own earlier request or by a person's hand,
            // or the refusal had no cause. Only a look tells.
            Refusal::Precondition => {
                attempt.write.why = WhyTag::PreconditionRetry;
                Next::Inspect(Box::new(attempt))
            }
            Refusal::Gone if attempt.effect.kind == EffectKind::DeleteItem => {
                match self.applied(&attempt, None, Witness::Answer, None) {
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
                attempt.taken = true;
                Next::Inspect(Box::new(attempt))
            }
            Refusal::Throttled(_) => Next::Resend(Box::new(Attempt {
                sends: attempt.sends.min(1),
                ..attempt
            })),
            Refusal::NotSent(failure) if failure.code == DEADLINE_PASSED => Next::Resend(Box::new(Attempt {
                sends: attempt.sends.min(2),
                ..attempt
            })),
            Refusal::NotSent(failure) if attempt.sends >= MAX_SENDS => stop(attempt, failure),
            Refusal::NotSent(_) => Next::Resend(Box::new(attempt)),
            Refusal::Duplicate(failure) | Refusal::Failed(failure) => match failure.scope {
                Scope::Row if attempt.in_doubt => Next::Leave(Box::new(attempt.work), None),
                Scope::Row => Next::Settle(self.quarantined(&attempt, failure)),
                // A column that is gone or changed concerns every row: one run that stops says it better than a
                // quarantine full of rows that nothing is wrong with.
                Scope::Column | Scope::List | Scope::Tenant | Scope::Outage => stop(attempt, failure),
            },
        }
    }

    fn quarantined(&mut self, attempt: &Attempt, mut failure: Failure) -> Settlement {
        self.counters.quarantined += 1;
        // The list names its own column; whoever puts it right looks for the table's.
        let ours = |target: &String| {
            self.spec
                .mapping
                .fields
                .iter()
                .find(|field| field.target == *target)
        };
        if let Some(field) = failure.column.as_ref().and_then(ours) {
            failure.column = Some(field.column.clone());
        }
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
            } else {
                slot.1 = None;
            }
        }
        let mut version = item.version;
        if !whole {
            agreed.digest = RowDigest::UNKNOWN;
            // The next write of the item has to meet what a person did to it, not pass over it.
            version = match &attempt.work.base {
                Some(base) if !created => base.version,
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
        let findings = if syncbridge_domain::sabotaged!("no lookup before a repeat") {
            attempts.iter().map(|_| Finding::Pending).collect()
        } else {
            self.look_at(&attempts).await
        };
        let mut resend = Vec::new();
        let mut settled = Vec::new();
        let mut landed = Vec::new();
        for (attempt, finding) in attempts.into_iter().zip(findings) {
            match finding {
                Finding::Applied(item) => match self.found_applied(&attempt, item) {
                    Some(FoundApplied::Ours(settlement)) => settled.push(*settlement),
                    Some(FoundApplied::Earlier(settlements, work)) => {
                        settled.extend(settlements);
                        landed.push(*work);
                    }
                    Some(FoundApplied::Other(settlement, work)) => {
                        settled.push(*settlement);
                        sent.again.push(*work);
                    }
                    None => sent.unsettled.push(attempt.work),
                },
                Finding::Partly(item) => {
                    let mut partly = self.applied(&attempt, Some(item.clone()), Witness::Look, None);
                    // What is left of it is decided next; a crash before that must find the row dirty.
                    if let Some(settlement) = &mut partly
                        && !syncbridge_domain::sabotaged!("dirty row cleared before the rest is decided")
                    {
                        settlement.clears_dirty = None;
                    }
                    settled.extend(partly);
                    landed.push(Work {
                        target: Presence::One(item),
                        rounds: attempt.work.rounds.saturating_add(1),
                        why: attempt.write.why,
                        ..attempt.work
                    });
                }
                // The list says that the item is there, and shows none: after a second try it is out of our sight.
                Finding::Pending if attempt.taken && !attempt.in_doubt && attempt.sends >= 2 => {
                    settled.push(self.quarantined(&attempt, invisible()));
                }
                // Nothing would stop a repeat from making a second item.
                Finding::Pending | Finding::Unknown if attempt.in_doubt && !self.may_repeat(&attempt) => {
                    sent.unsettled.push(attempt.work);
                }
                // Sent again under the same effect: a repeat that lands twice is stopped by the sync key or If-Match.
                Finding::Pending | Finding::Unknown => {
                    let mut attempt = attempt;
                    if attempt.in_doubt {
                        attempt.write.why = WhyTag::FaultRetry;
                    }
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
                        why: attempt.write.why,
                        ..attempt.work
                    });
                }
            }
        }
        // A row whose write is settled in part only is dirty until the rest of it is decided.
        let unmarked = landed.iter().filter(|work| work.dirty.is_none());
        let marks: Vec<DirtyMark> = unmarked.map(Work::dirty_mark).collect();
        if !marks.is_empty() {
            self.ports.ledger.mark_dirty(self.fence(), &marks, None).await?;
        }
        self.settle(settled).await?;
        sent.again.extend(self.with_base_now(landed).await?);
        Ok(resend)
    }

    /// Whether a write whose answer was lost may be sent again: a change by its precondition, a create only where
    /// the list itself refuses a second item.
    fn may_repeat(&self, attempt: &Attempt) -> bool {
        attempt.effect.kind != EffectKind::CreateItem || self.spec.target.rules.unique
    }

    /// Works whose ledger row was just written, with that row.
    async fn with_base_now(&self, mut works: Vec<Work>) -> PortResult<Vec<Work>> {
        let ids: Vec<Identity> = works.iter().map(Work::identity).collect();
        if ids.is_empty() {
            return Ok(works);
        }
        let rows = self.ports.ledger.rows(&ids).await?;
        for (work, row) in works.iter_mut().zip(rows) {
            work.base = row;
        }
        Ok(works)
    }

    /// The armed create of this identity that made the item: what it sent is what the item shows.
    pub(crate) fn earlier_create<'e>(
        &self,
        armed: &'e [Effect],
        identity: Identity,
        item: &Item,
    ) -> Option<&'e Effect> {
        armed.iter().rev().find(|effect| {
            effect.subject.identity == identity
                && effect.kind == EffectKind::CreateItem
                && evidence::shows_created(&self.spec.mapping, &effect.sent, item)
        })
    }

    /// Settles an armed create whose item showed up, together with the later create that was refused for it.
    pub(crate) fn landed_earlier(
        &self,
        earlier: &Effect,
        base: Option<LedgerRow>,
        item: &Item,
        refused: Settlement,
    ) -> Option<[Settlement; 2]> {
        let row = self.live_row(&attempt_of(earlier, base), item, Witness::Look)?;
        let settled = Settlement {
            effect: earlier.id,
            identity: earlier.subject.identity,
            verdict: Verdict::Applied(Box::new(row)),
            clears_dirty: None,
            request_id: None,
        };
        Some([refused, settled])
    }

    /// An item under our sync key after a create: ours if it shows what we sent; an earlier create's of ours if
    /// it shows what that sent; otherwise one that a lost ledger left behind, to be judged by content.
    fn found_applied(&mut self, attempt: &Attempt, item: Option<Item>) -> Option<FoundApplied> {
        if let (EffectKind::CreateItem, Some(found)) = (attempt.effect.kind, &item)
            && !evidence::shows_created(&self.spec.mapping, &attempt.effect.sent, found)
        {
            let work = Box::new(Work {
                target: Presence::One(found.clone()),
                rounds: attempt.work.rounds.saturating_add(1),
                ..attempt.work.clone()
            });
            let identity = attempt.work.identity();
            if let Some(earlier) = self.earlier_create(self.armed_of(identity), identity, found) {
                let base = attempt.work.base.clone();
                let settled = self.landed_earlier(earlier, base, found, release(attempt))?;
                return Some(FoundApplied::Earlier(settled, work));
            }
            return Some(FoundApplied::Other(Box::new(release(attempt)), work));
        }
        self.applied(attempt, item, Witness::Look, None)
            .map(|settlement| FoundApplied::Ours(Box::new(settlement)))
    }

    /// One finding an attempt, in order.
    async fn look_at(&self, attempts: &[Attempt]) -> Vec<Finding> {
        let creates: Vec<RowName> = attempts
            .iter()
            .filter(|a| a.effect.kind == EffectKind::CreateItem)
            .map(|a| a.work.subject.name())
            .collect();
        let changes: Vec<ItemId> = attempts
            .iter()
            .filter_map(|a| a.effect.item.as_ref())
            .map(|link| link.id.clone())
            .collect();
        let (found, read) = self.look_up_and_read(&creates, &changes).await;
        let (mut found, mut read) = (found.into_iter(), read.into_iter());
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

    /// Both at once: a list that does not answer is waited for once.
    pub(crate) async fn look_up_and_read(
        &self,
        names: &[RowName],
        items: &[ItemId],
    ) -> (Vec<Lookup>, Vec<ItemRead>) {
        futures_util::future::join(
            self.lookup_all(names, WhyTag::Probe),
            self.read_all(items, WhyTag::Probe),
        )
        .await
    }

    /// Looks up any number of items, 20 at a time where the list can be searched.
    pub(crate) async fn lookup_all(&self, names: &[RowName], why: WhyTag) -> Vec<Lookup> {
        let mut found = Vec::with_capacity(names.len());
        let size = if self.spec.target.rules.indexed {
            20
        } else {
            names.len().max(1)
        };
        for chunk in names.chunks(size) {
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
    Earlier([Settlement; 2], Box<Work>),
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
        Verdict::Removed | Verdict::Released | Verdict::Armed => None,
    };
    Settlement {
        effect: attempt.effect.id,
        identity: attempt.work.identity(),
        verdict,
        clears_dirty,
        request_id,
    }
}

/// A write of which a request is unaccounted for: the list is looked at before anything else.
fn in_doubt(attempt: Attempt) -> Next {
    Next::Inspect(Box::new(Attempt {
        in_doubt: true,
        ..attempt
    }))
}

/// Ends a write for a reason that ends the run.
fn stop(attempt: Attempt, failure: Failure) -> Next {
    if attempt.in_doubt {
        Next::Leave(Box::new(attempt.work), Some(failure))
    } else {
        Next::Stop(release(&attempt), Box::new(attempt.work), failure)
    }
}

/// Whether a write is about another item than the one that the ledger links to the row.
fn is_a_copy(attempt: &Attempt) -> bool {
    match (&attempt.work.base, &attempt.effect.item) {
        (Some(base), Some(item)) => base.version.guid != item.before.guid,
        _ => false,
    }
}

fn release(attempt: &Attempt) -> Settlement {
    settlement(attempt, Verdict::Released, None)
}

fn invisible() -> Failure {
    Failure::new(
        Scope::Row,
        "item.invisible",
        "the list refuses a new item because a value that must be unique is taken, and no item of this row can be \
         seen: it waits for approval or has permissions of its own, or another column holds the value",
        "approve the item in the list or give the app access to it, then retry the row; no second item is made",
    )
}

fn miscounted(sent: usize, answered: usize) -> Failure {
    Failure::new(
        Scope::Outage,
        "target.miscounted",
        format!("{sent} writes were sent and {answered} receipts came back"),
        "report this as a defect; the writes are settled by the next run",
    )
}
