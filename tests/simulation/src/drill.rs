//! The drill: mistakes that are built in on purpose (`--cfg sabotage`), each of which a hunt has to find.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use syncbridge_domain::sabotage;

use crate::simulation::{Setting, Violation, simulate};

/// Every mistake that can be switched on, by the name it has where it is built in.
pub const MISTAKES: &[&str] = &[
    "row that failed not left dirty",
    "no lookup before a repeat",
    "lost answer taken for a refusal",
    "unanswered delete taken as done",
    "agreed state taken from what was sent",
    "standing edit covered by our version",
    "dirty row cleared before the rest is decided",
    "overwritten edit not recorded",
    "refused row dropped",
    "armed effect forgotten",
    "late create of a gone row left standing",
    "unrecorded own write taken for a person's",
    "open transactions not waited for",
    "absence believed without a second look",
    "copied row treated as the original",
    "lease not looked at before sending",
    "If-Match left out",
    "write repeated by a retry layer",
    "missing field read as null",
    "passive field causing a write",
    "tombstone not kept",
    "one hash for both sides",
    "raw values compared instead of canonical ones",
];

/// How a mistake was found.
#[derive(Clone, Debug)]
pub struct Exposed {
    /// The mistake.
    pub mistake: &'static str,
    /// The first seed that shows it, and what it breaks; none: it stayed hidden.
    pub by: Option<(u64, Violation)>,
}

/// Makes each mistake for up to so many seeds, some at a time.
#[must_use]
pub fn drill(mistakes: &[&'static str], seeds: u64, jobs: usize) -> Vec<Exposed> {
    let next = AtomicUsize::new(0);
    let exposed = Mutex::new(Vec::new());
    let work = || {
        while let Some(mistake) = mistakes.get(next.fetch_add(1, Ordering::Relaxed)) {
            sabotage::arm(Some(mistake));
            let by = (1..=seeds).find_map(|seed| {
                let found = simulate(&Setting::of(seed), false).violation;
                found.map(|violation| (seed, violation))
            });
            sabotage::arm(None);
            let mut exposed = exposed.lock().unwrap_or_else(PoisonError::into_inner);
            exposed.push(Exposed { mistake, by });
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    let mut exposed = exposed.into_inner().unwrap_or_else(PoisonError::into_inner);
    exposed.sort_by_key(|one: &Exposed| mistakes.iter().position(|known| *known == one.mistake));
    exposed
}
