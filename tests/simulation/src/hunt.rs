//! Many histories, one after another or some at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::coverage::Counts;
use crate::simulation::{Setting, Verdict, Violation, simulate};

/// How far a hunt goes.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// The first seed.
    pub from: u64,
    /// How many seeds.
    pub seeds: u64,
    /// It ends after this long, whatever is left.
    pub time: Option<Duration>,
    /// How many histories at a time; each is alone in its thread.
    pub jobs: usize,
    /// Goes on behind failures.
    pub keep_going: bool,
}

/// A failing seed.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number.
    pub seed: u64,
    /// What was seen.
    pub violation: Violation,
}

/// What a hunt brought.
#[derive(Clone, Debug, Default)]
pub struct Caught {
    /// What was met.
    pub counts: Counts,
    /// Failing seeds in their order; without [`Hunt::keep_going`] those found before the hunt stopped.
    pub found: Vec<Found>,
}

/// Simulates a seed twice: both runs must be the same to the last event.
#[must_use]
pub fn check(setting: &Setting) -> Verdict {
    let first = simulate(setting, false);
    let second = simulate(setting, false);
    if first.hash == second.hash || first.violation.is_some() {
        return first;
    }
    let what = format!(
        "two runs of one seed differ: {} and {} events",
        first.events, second.events
    );
    Verdict {
        violation: Some(Violation {
            invariant: "determinism",
            what,
        }),
        ..first
    }
}

/// Goes through the seeds and stops at the first failure.
#[must_use]
pub fn hunt(hunt: Hunt) -> Caught {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let caught = Mutex::new(Caught::default());
    let began = Instant::now();
    let work = || {
        let mut counts = Counts::default();
        while !stop.load(Ordering::Relaxed) && hunt.time.is_none_or(|time| began.elapsed() < time) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= hunt.seeds {
                break;
            }
            let seed = hunt.from + number;
            let verdict = check(&Setting::of(seed));
            counts.merge(verdict.counts);
            if let Some(violation) = verdict.violation {
                stop.store(!hunt.keep_going, Ordering::Relaxed);
                let mut caught = caught.lock().unwrap_or_else(PoisonError::into_inner);
                caught.found.push(Found { seed, violation });
            }
        }
        caught
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .counts
            .merge(counts);
    };
    std::thread::scope(|scope| {
        for _ in 0..hunt.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let mut caught = caught.into_inner().unwrap_or_else(PoisonError::into_inner);
    caught.found.sort_by_key(|found| found.seed);
    caught
}
