//! The real clock and the operating system's randomness, behind the engine's ports.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use syncbridge_domain::clock::{Clock, Entropy, Monotonic};

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Starts counting now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.origin.elapsed())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        // A version-4 UUID carries 122 random bits from the operating system; six bits of it are fixed, so
        // its two halves are folded into 8 even bytes.
        for chunk in buffer.chunks_mut(8) {
            let uuid = uuid::Uuid::new_v4();
            let bytes = uuid.as_bytes();
            for (at, byte) in chunk.iter_mut().enumerate() {
                *byte = bytes[at] ^ bytes[15 - at];
            }
        }
    }
}
