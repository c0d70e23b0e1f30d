//! The shared budget of one app in one tenant: everybody who spends there holds a clone (DESIGN §9).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use syncbridge_domain::clock::{Clock, Monotonic};
use syncbridge_domain::quota::{Bucket, Lane, Ru, Spending, Take, Tier, WhyTag};

use crate::list_streak::{ListPlace, Streaks};
use crate::transport::HttpResponse;
use crate::wait::RateSigns;

/// How long a lower lane steps back while a higher one waits.
const STEP_BACK: Duration = Duration::from_millis(50);

/// A budget keyed by (cloud, tenant, client id); clones share it.
#[derive(Clone)]
pub struct Budget {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

struct State {
    bucket: Bucket,
    spent: Spending,
    /// Who waits, by lane.
    waiting: [u32; 5],
    streaks: Streaks,
}

/// What was spent through one user of the budget; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Account(Arc<Mutex<Spending>>);

impl Account {
    fn book(&self, why: WhyTag, ru: Ru) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(why, ru);
    }

    /// What was spent so far, throttled requests included.
    #[must_use]
    pub fn spending(&self) -> Spending {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Budget({} spent)", self.state().spent.total())
    }
}

impl Budget {
    /// A full budget; `tier: None` limits nothing but still honours every pause the service asks for.
    #[must_use]
    pub fn new(tier: Option<Tier>, clock: Arc<dyn Clock>) -> Self {
        let bucket = Bucket::new(tier, clock.monotonic());
        let state = State {
            bucket,
            spent: Spending::default(),
            waiting: [0; 5],
            streaks: Streaks::default(),
        };
        Self {
            clock,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Everything that was spent from it in this process.
    #[must_use]
    pub fn spending(&self) -> Spending {
        self.state().spent.clone()
    }

    /// Waits for its turn and takes the units; a higher lane goes first.
    ///
    /// # Errors
    /// The wait still needed, where it would pass the deadline; nothing is taken then.
    pub async fn acquire(&self, ru: Ru, lane: Lane, deadline: Option<Monotonic>) -> Result<(), Duration> {
        let _turn = Turn::wait(self, lane);
        loop {
            let now = self.clock.monotonic();
            let wait = match self.try_take(ru, lane, now) {
                Take::Granted => return Ok(()),
                Take::Wait(wait) => wait,
            };
            if deadline.is_some_and(|deadline| now + wait >= deadline) {
                return Err(wait);
            }
            self.clock.sleep(wait).await;
        }
    }

    fn try_take(&self, ru: Ru, lane: Lane, now: Monotonic) -> Take {
        let mut state = self.state();
        if state.waiting[..rank(lane)].iter().any(|waiting| *waiting > 0) {
            return Take::Wait(STEP_BACK);
        }
        state.bucket.take(ru, now)
    }

    /// Books what a request cost, once it may have reached the service.
    pub(crate) fn book(&self, account: &Account, why: WhyTag, ru: Ru) {
        self.state().spent.add(why, ru);
        account.book(why, ru);
    }

    /// Learns from an answer (of a request or of a part of a batch): a throttled one stops everybody for its
    /// full time, and the service's count of what is left is believed where it is less than ours. `list` is what the
    /// request was about, where it was about one list.
    pub(crate) fn observe(&self, answer: &HttpResponse, list: Option<&ListPlace>) {
        let pause = self.observe_limits(answer);
        let now = self.clock.monotonic();
        let mut state = self.state();
        if answer.status == 429 {
            state.streaks.hear(list, Some(pause), now);
        } else if answer.status < 500 {
            // Any answer but a failure shows that the tenant is served.
            state.streaks.hear(list, None, now);
        }
    }

    /// The part of [`Budget::observe`] that holds for a batch as a whole. Answers the pause that a throttled answer
    /// asks for.
    pub(crate) fn observe_limits(&self, answer: &HttpResponse) -> Duration {
        let signs = RateSigns::of(answer, self.clock.now());
        let throttled = answer.status == 429 || (answer.status == 503 && signs.retry_after.is_some());
        let now = self.clock.monotonic();
        let mut state = self.state();
        if throttled {
            state.bucket.pause(now, signs.pause());
        }
        if let Some(remaining) = signs.remaining {
            state.bucket.observe_remaining(remaining);
        }
        signs.pause()
    }

    /// Whether this list is throttled so often that it has to be found out whether anything else answers.
    pub(crate) fn suspects(&self, list: &ListPlace) -> bool {
        self.state().streaks.is_suspect(list)
    }

    /// Whether this list is throttled for itself alone.
    pub(crate) fn throttles_alone(&self, list: &ListPlace) -> bool {
        self.state().streaks.is_alone(list)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue; given up when the waiting future is dropped.
struct Turn<'a> {
    budget: &'a Budget,
    lane: Lane,
}

impl<'a> Turn<'a> {
    fn wait(budget: &'a Budget, lane: Lane) -> Self {
        budget.state().waiting[rank(lane)] += 1;
        Self { budget, lane }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.budget.state().waiting[rank(self.lane)] -= 1;
    }
}

fn rank(lane: Lane) -> usize {
    match lane {
        Lane::Interactive => 0,
        Lane::Cdc => 1,
        Lane::Scheduled => 2,
        Lane::Backfill => 3,
        Lane::Verification => 4,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::testing::ManualClock;

    fn throttled(retry_after: &str) -> HttpResponse {
        let headers = vec![("Retry-After".to_owned(), retry_after.to_owned())];
        HttpResponse {
            status: 429,
            headers,
            body: bytes::Bytes::new(),
        }
    }

    #[test]
    fn a_throttled_answer_stops_every_holder_for_its_full_time() {
        let clock = ManualClock::new();
        let budget = Budget::new(None, clock.clone());
        let other = budget.clone();
        budget.observe(&throttled("2.5"), None);
        let mut waiting = Box::pin(other.acquire(Ru(2), Lane::Scheduled, None));
        assert!(waiting.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_millis(2_499));
        let mut waiting = Box::pin(other.acquire(Ru(2), Lane::Scheduled, None));
        assert!(waiting.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        assert_eq!(waiting.now_or_never(), Some(Ok(())));
    }

    #[test]
    fn a_wait_past_the_deadline_is_told_at_once() {
        let clock = ManualClock::new();
        let budget = Budget::new(None, clock.clone());
        budget.observe(&throttled("10"), None);
        let deadline = clock.monotonic() + Duration::from_secs(3);
        let told = budget.acquire(Ru(2), Lane::Cdc, Some(deadline)).now_or_never();
        assert_eq!(told, Some(Err(Duration::from_secs(10))));
    }

    #[test]
    fn a_lower_lane_steps_back_while_a_higher_one_waits() {
        let clock = ManualClock::new();
        let budget = Budget::new(
            Some(Tier {
                per_minute: Ru(60),
                per_day: Ru(100_000),
            }),
            clock.clone(),
        );
        // The burst is six units.
        assert_eq!(
            budget.acquire(Ru(6), Lane::Backfill, None).now_or_never(),
            Some(Ok(()))
        );
        let mut high = Box::pin(budget.acquire(Ru(2), Lane::Interactive, None));
        assert!(high.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(3));
        let mut low = Box::pin(budget.acquire(Ru(2), Lane::Backfill, None));
        assert!(
            low.as_mut().now_or_never().is_none(),
            "two units are there, but not for the lower lane"
        );
        assert_eq!(high.as_mut().now_or_never(), Some(Ok(())));
        drop(high);
        clock.advance(Duration::from_secs(3));
        assert_eq!(low.now_or_never(), Some(Ok(())));
    }

    #[test]
    fn the_word_of_the_service_is_believed_where_it_is_less() {
        let clock = ManualClock::new();
        let budget = Budget::new(Some(Tier::of_licences(1)), clock);
        let headers = vec![("RateLimit-Remaining".to_owned(), "0".to_owned())];
        let answer = HttpResponse {
            status: 200,
            headers,
            body: bytes::Bytes::new(),
        };
        budget.observe(&answer, None);
        assert!(budget.acquire(Ru(2), Lane::Cdc, None).now_or_never().is_none());
    }
}
