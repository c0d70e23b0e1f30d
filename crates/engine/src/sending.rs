//! Sending recorded writes until each is settled, waits to be decided anew, or is left open for a later run; never
//! forgotten.
//!
//! Nothing here decides what a row should become. A write goes out in a full batch; what its receipt means stands
//! in [`crate::answer`], and where that tells nothing [`crate::inspect`] looks at the list.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{Fuse, FusedFuture as _, FutureExt as _};
use futures_util::{StreamExt, select_biased};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::receipt::{Receipt, Refusal};

use crate::answer::Next;
use crate::ports::{Control, Ledger, PortResult, Settlement, Target};
use crate::session::{Session, World};
use crate::work::{Attempt, Work};

/// How often one write is sent in one run before it is left for the next.
pub(crate) const MAX_SENDS: u8 = 6;
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
        let mut arrived = Vec::new();
        let (ledger, fence, run) = (self.ports.ledger, self.fence(), self.spec.run);
        // One transaction at a time, and batches go on being sent meanwhile.
        let mut settling = Fuse::terminated();
        loop {
            if settled.len() >= SETTLE_AT && settling.is_terminated() {
                let slice = std::mem::take(&mut settled);
                self.foreseen(&slice);
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
                    Next::GoOn(settlement, work) => {
                        settled.push(settlement);
                        arrived.push(*work);
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
        sent.again.extend(self.with_base_now(arrived).await?);
        Ok((resend, inspect))
    }

    /// Settles in one transaction and reports progress.
    pub(crate) async fn settle(&self, settled: Vec<Settlement>) -> PortResult<()> {
        if !settled.is_empty() {
            self.foreseen(&settled);
            self.ports
                .ledger
                .settle(self.fence(), self.spec.run, &settled)
                .await?;
            self.report();
        }
        Ok(())
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

fn miscounted(sent: usize, answered: usize) -> Failure {
    Failure::new(
        Scope::Outage,
        "target.miscounted",
        format!("{sent} writes were sent and {answered} receipts came back"),
        "report this as a defect; the writes are settled by the next run",
    )
}
