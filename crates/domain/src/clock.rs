//! The two ports through which time and randomness enter: engine and Graph client never read a clock or an
//! entropy source themselves, so a whole run can be replayed from a seed (DESIGN §15.2).

use std::future::Future;
use std::ops::Add;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ids::uuid_v7;

/// A point on a clock that never goes back; only differences mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// How long from `earlier` to here; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Monotonic) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;

    fn add(self, rhs: Duration) -> Monotonic {
        Monotonic(self.0.saturating_add(rhs))
    }
}

/// Time, as the engine and the Graph client may see it.
pub trait Clock: Send + Sync {
    /// Wall-clock time, only for what people read and for UUIDv7; never for durations.
    fn now(&self) -> DateTime<Utc>;
    /// The clock by which deadlines and waits are measured.
    fn monotonic(&self) -> Monotonic;
    /// Waits.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Randomness, as the engine and the Graph client may draw it.
pub trait Entropy: Send + Sync {
    /// Fills the buffer with random bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// A fresh UUIDv7 for the given moment.
    fn uuid_v7(&self, now: DateTime<Utc>) -> Uuid {
        let mut random = [0; 10];
        self.fill(&mut random);
        uuid_v7(u64::try_from(now.timestamp_millis()).unwrap_or(0), random)
    }

    /// A number in `0..=max`, for jitter.
    fn up_to(&self, max: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        match max.checked_add(1) {
            Some(n) => u64::from_le_bytes(bytes) % n,
            None => u64::from_le_bytes(bytes),
        }
    }
}
