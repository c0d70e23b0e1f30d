//! Virtual time: a queue of what is due when. Nothing waits; the clock jumps to the next thing.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::{DateTime, Utc};
use syncbridge_domain::clock::{Clock, Monotonic};

use crate::random::Random;

/// What happens at a moment.
pub(crate) enum Due {
    /// Whoever sleeps goes on.
    Wake(Waker),
    /// Something outside of every process.
    Do(Box<dyn FnOnce() + Send>),
}

/// The queue of moments; clones share it.
#[derive(Clone)]
pub struct Timeline(Arc<Mutex<State>>);

struct State {
    now: Duration,
    /// Moments at the same time come in an order of the seed's.
    queue: BTreeMap<(Duration, u64, u64), Due>,
    sequence: u64,
    random: Random,
}

/// A Thursday morning.
const EPOCH: i64 = 1_767_258_000;

impl Timeline {
    /// An empty one, at its beginning.
    #[must_use]
    pub fn new(random: Random) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            random,
        })))
    }

    /// How long the history has lasted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.state().now
    }

    /// The wall clock.
    #[must_use]
    pub fn wall(&self) -> DateTime<Utc> {
        let since = chrono::TimeDelta::from_std(self.elapsed()).unwrap_or_default();
        DateTime::from_timestamp(EPOCH, 0).unwrap_or_default() + since
    }

    /// Has something done after a while, whatever becomes of the processes.
    pub fn after(&self, wait: Duration, action: impl FnOnce() + Send + 'static) {
        let at = self.elapsed().saturating_add(wait);
        self.push(at, Due::Do(Box::new(action)));
    }

    /// Sleeps.
    #[must_use]
    pub fn sleep(&self, wait: Duration) -> Sleep {
        Sleep {
            timeline: self.clone(),
            until: self.elapsed().saturating_add(wait),
            waker: None,
        }
    }

    fn push(&self, at: Duration, due: Due) {
        let mut state = self.state();
        let (tie, sequence) = (state.random.bits(), state.sequence);
        state.sequence += 1;
        state.queue.insert((at, tie, sequence), due);
    }

    /// Jumps to the next moment and takes what is due; nothing where nothing is.
    pub(crate) fn next(&self) -> Option<Due> {
        let mut state = self.state();
        let ((at, _, _), due) = state.queue.pop_first()?;
        state.now = state.now.max(at);
        Some(due)
    }

    /// Forgets what is still due.
    pub(crate) fn clear(&self) {
        let due = std::mem::take(&mut self.state().queue);
        drop(due);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sleeper.
pub struct Sleep {
    timeline: Timeline,
    until: Duration,
    waker: Option<Waker>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.timeline.elapsed() >= self.until {
            return Poll::Ready(());
        }
        if !self
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(context.waker()))
        {
            let waker = context.waker().clone();
            self.waker = Some(waker.clone());
            self.timeline.push(self.until, Due::Wake(waker));
        }
        Poll::Pending
    }
}

/// The clock of every process.
#[derive(Clone)]
pub struct SimClock(pub Timeline);

impl Clock for SimClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.wall()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.sleep(duration))
    }
}
