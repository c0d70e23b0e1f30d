//! What a receipt means for its write.

use std::time::Duration;

use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{DEADLINE_PASSED, Receipt, Refusal};
use syncbridge_domain::row::Presence;

use crate::agreement::{Witness, release, settlement};
use crate::ports::{Settlement, Verdict};
use crate::searching::blames_no_column;
use crate::sending::MAX_SENDS;
use crate::session::{Session, World};
use crate::work::{Attempt, Work};

/// What is to be done with a write that was answered.
pub(crate) enum Next {
    Settle(Settlement),
    /// Close the effect, decide anew.
    Again(Settlement, Box<Work>),
    /// A part of the row arrived: record it, decide about the rest.
    GoOn(Settlement, Box<Work>),
    Resend(Box<Attempt>),
    Inspect(Box<Attempt>),
    Stop(Settlement, Box<Work>, Failure),
    /// Refused now, but an earlier request of the same write is unaccounted for: the effect stays open, and the
    /// next run looks first. The failure is one that reaches further than the row.
    Leave(Box<Work>, Option<Failure>),
}

impl<W: World> Session<'_, W> {
    /// What a receipt means for its write. Every kind of answer has its line here and nowhere else.
    pub(crate) fn classify(&mut self, mut attempt: Attempt, receipt: Receipt) -> Next {
        attempt.sends = attempt.sends.saturating_add(1);
        if says_something(&receipt) {
            self.standstill.moved();
        }
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
            Receipt::Applied { item, request_id } if self.passed_over(&attempt, item.as_ref()) => {
                attempt.answered = Some((item, request_id));
                Next::Inspect(Box::new(attempt))
            }
            Receipt::Applied { item, request_id } => {
                match self.applied(&attempt, item, Witness::Answer, request_id) {
                    Some(settlement) => match attempt.work.next_part() {
                        Some(work) => Next::GoOn(settlement, Box::new(work)),
                        None => Next::Settle(settlement),
                    },
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
                Next::Again(
                    self.out_of_sight(&attempt),
                    Box::new(Work {
                        target: Presence::None,
                        // What of it arrived went with the item.
                        search: None,
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
            // Told to wait, a write is not worn out: however slow, a list that lets something through is waited for.
            Refusal::Throttled(wait) => match self.stands_still(wait) {
                Some(failure) => stop(attempt, failure),
                None => resend(attempt, 1),
            },
            Refusal::NotSent(failure) if failure.code == DEADLINE_PASSED => {
                match self.stands_still(Duration::ZERO) {
                    Some(failure) => stop(attempt, failure),
                    None => resend(attempt, 2),
                }
            }
            Refusal::NotSent(failure) if attempt.sends >= MAX_SENDS => stop(attempt, failure),
            Refusal::NotSent(_) => Next::Resend(Box::new(attempt)),
            Refusal::Failed(failure) if blames_no_column(&failure) && !attempt.in_doubt => {
                self.refused_unexplained(&attempt, failure)
            }
            Refusal::Duplicate(failure) | Refusal::Failed(failure) => match failure.scope {
                Scope::Row if attempt.in_doubt => Next::Leave(Box::new(attempt.work), None),
                Scope::Row => Next::Settle(self.quarantined(&attempt, failure)),
                // A column that is gone or changed concerns every row: one run that stops says it better than a
                // quarantine full of rows that nothing is wrong with.
                Scope::Column | Scope::List | Scope::Tenant | Scope::Outage => stop(attempt, failure),
            },
        }
    }

    pub(crate) fn quarantined(&mut self, attempt: &Attempt, mut failure: Failure) -> Settlement {
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
}

/// Whether the list said anything about a write but that it has to wait.
fn says_something(receipt: &Receipt) -> bool {
    !matches!(
        receipt,
        Receipt::Unknown { .. }
            | Receipt::Refused {
                refusal: Refusal::Throttled(_) | Refusal::NotSent(_)
            }
    )
}

fn about_sync_key(failure: &Failure) -> bool {
    failure
        .column
        .as_deref()
        .is_none_or(|column| column == syncbridge_domain::mapping::SYNC_KEY_COLUMN)
}

/// A write of which a request is unaccounted for: the list is looked at before anything else.
fn in_doubt(attempt: Attempt) -> Next {
    Next::Inspect(Box::new(Attempt {
        in_doubt: true,
        ..attempt
    }))
}

/// Sends a write again that counts as sent so often at most.
fn resend(attempt: Attempt, sends: u8) -> Next {
    Next::Resend(Box::new(Attempt {
        sends: attempt.sends.min(sends),
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
