//! Everything that happens, as a hash that two runs of one seed must agree on, and in words where somebody reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The account of a history.
#[derive(Clone)]
pub struct Events(Arc<Mutex<State>>);

struct State {
    hasher: blake3::Hasher,
    count: u64,
    lines: Option<Vec<String>>,
}

impl Events {
    /// An empty account; `told` keeps it in words as well.
    #[must_use]
    pub fn new(told: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            hasher: blake3::Hasher::new(),
            count: 0,
            lines: told.then(Vec::new),
        })))
    }

    /// Notes an event: what, when, about which number, and the bytes it consists of.
    pub fn note(&self, what: &str, at: Duration, number: u64, bytes: &[u8]) {
        let mut state = self.state();
        state.count += 1;
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let length = bytes.len() as u64;
        state.hasher.update(what.as_bytes());
        for part in [at, number, length] {
            state.hasher.update(&part.to_le_bytes());
        }
        state.hasher.update(bytes);
    }

    /// Adds a line for readers, where there are any.
    pub fn tell(&self, at: Duration, line: impl FnOnce() -> String) {
        let mut state = self.state();
        if let Some(lines) = &mut state.lines {
            lines.push(format!("{:>10.3}s  {}", at.as_secs_f64(), line()));
        }
    }

    /// Hash over everything so far.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *self.state().hasher.finalize().as_bytes()
    }

    /// How many events there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.state().count
    }

    /// The account in words.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.state().lines.clone().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
