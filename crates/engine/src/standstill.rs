//! A list that lets nothing through (DESIGN §10): waited for as long as it says, but not without end.
//!
//! Being told to wait is no failure: a first load may be throttled for hours. What is bounded is the time in which
//! nothing moves at all.

use std::time::Duration;

use syncbridge_domain::clock::Monotonic;
use syncbridge_domain::failure::{Failure, Scope};

use crate::session::{Session, World};

/// Since when all that is heard about writes is that they have to wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standstill {
    since: Option<Monotonic>,
}

impl Standstill {
    /// Something was heard about a write.
    pub(crate) fn moved(&mut self) {
        self.since = None;
    }

    /// A write has to wait for so long. Answers how long nothing moved by now, where waiting as asked would make that
    /// longer than `patience`.
    fn waits(&mut self, now: Monotonic, wait: Duration, patience: Duration) -> Option<Duration> {
        let stood = now.since(*self.since.get_or_insert(now));
        (stood.saturating_add(wait) > patience).then_some(stood)
    }
}

impl<W: World> Session<'_, W> {
    /// Why the run ends instead of waiting for so long, if it does.
    pub(crate) fn stands_still(&mut self, wait: Duration) -> Option<Failure> {
        let patience = Duration::from_secs(u64::from(self.spec.limits.standstill_seconds));
        let stood = self
            .standstill
            .waits(self.ports.clock.monotonic(), wait, patience)?;
        Some(standstill(stood, wait))
    }
}

fn standstill(stood: Duration, wait: Duration) -> Failure {
    Failure::new(
        Scope::Outage,
        "target.standstill",
        format!(
            "the list let no write through for {} s and asks to wait for {} s more",
            stood.as_secs(),
            wait.as_secs_f64().ceil()
        ),
        "nothing is lost: run again once it answers, or let the schedule do it; see the Microsoft 365 service health and \
         what else uses the tenant's quota; `limits.standstillSeconds` says how long a run waits",
    )
    .retry_after(Some(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    /// Told to wait ten seconds, again and again: how many times it is listened to.
    fn listened(moves_at: &[u64]) -> u64 {
        let mut standstill = Standstill::default();
        (0..100)
            .find(|time| {
                if moves_at.contains(time) {
                    standstill.moved();
                }
                standstill
                    .waits(at(time * 10), Duration::from_secs(10), PATIENCE)
                    .is_some()
            })
            .unwrap_or(100)
    }

    #[test]
    fn a_list_that_only_asks_to_wait_is_given_up_after_so_long() {
        assert_eq!(listened(&[]), 6);
    }

    #[test]
    fn a_list_that_lets_something_through_now_and_then_is_waited_for() {
        let moves: Vec<u64> = (0..100).step_by(5).collect();
        assert_eq!(listened(&moves), 100);
        assert_eq!(listened(&[5]), 11);
    }

    #[test]
    fn a_wait_that_is_longer_than_all_patience_is_not_begun() {
        let mut standstill = Standstill::default();
        let told = standstill.waits(at(1_000), PATIENCE + Duration::from_secs(1), PATIENCE);
        assert_eq!(told, Some(Duration::ZERO));
    }

    #[test]
    fn time_counts_from_the_first_wait_and_not_from_the_last_write() {
        let mut standstill = Standstill::default();
        standstill.moved();
        assert_eq!(
            standstill.waits(at(5_000), Duration::from_secs(60), PATIENCE),
            None
        );
    }
}
