//! The drill: mistakes that are built in on purpose (`--cfg sabotage`), each of which a hunt has to find.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use syncbridge_domain::sabotage;

use crate::simulation::{Setting, Violation, simulate};

/// Every mistake that can be switched on, by the name it has where it is built in.
pub const MISTAKES: &[&str] = &[
    // What is noticed, and how far it counts as taken over.
    "cursor past a failed row",
    "cursor stored before its rows are dirty",
    "token stored before apply",
    "dirty row deleted by key alone",
    "dirty row cleared before the rest is decided",
    "refused row dropped",
    "standing quarantine lost",
    "open transactions not waited for",
    // What counts as gone.
    "tombstone ignored",
    "tombstone not kept",
    "absence believed without a second look",
    "absence believed without full visibility",
    "deletion believed before its delay",
    "delete inferred from an incomplete pass",
    "copied row treated as the original",
    // What counts as changed, by whom, and when.
    "raw values compared instead of canonical ones",
    "one hash for both sides",
    "agreed state taken from what was sent",
    "standing edit covered by our version",
    "missing field read as null",
    "echo judged by who wrote last",
    "unrecorded own write taken for a person's",
    "row image older than the ledger applied",
    "passive field causing a write",
    // Who wins, and what is kept of the other.
    "times compared as strings",
    "overwritten edit not recorded",
    "overwritten value of the row not recorded",
    // Writes of the list.
    "If-Match left out",
    "no lookup before re-create",
    "write repeated by a retry layer",
    "lost answer taken for a refusal",
    "unanswered delete taken as done",
    "armed effect forgotten",
    "late create of a gone row left standing",
    // Writes of the source.
    "row written over without comparing it",
    "transaction status trusted for a row rolled back to a savepoint",
    "insert repeated without asking for its transaction",
    "lost row write taken for applied",
    "lost row write taken for refused",
    // Who may write.
    "lease not looked at before sending",
    "stale epoch accepted",
];

/// How a mistake was found.
#[derive(Clone, Debug, Serialize)]
pub struct Exposed {
    /// The mistake.
    pub mistake: &'static str,
    /// The first history that shows it; none: it stayed hidden.
    pub by: Option<Showing>,
    /// How many histories were simulated with it.
    pub histories: u64,
}

/// A history that holds without a mistake and does not hold with it.
#[derive(Clone, Debug, Serialize)]
pub struct Showing {
    /// Its seed.
    pub seed: u64,
    /// The invariant that it breaks.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// Looks for a history that breaks an invariant with this mistake, and with it only.
fn expose(mistake: &'static str, seeds: u64) -> Exposed {
    let breaks = |setting: &Setting, mistake| {
        sabotage::arm(mistake);
        let found = simulate(setting, false).violation;
        sabotage::arm(None);
        found
    };
    let mut histories = 0;
    let by = (1..=seeds).find_map(|seed| {
        histories += 1;
        let setting = Setting::of(seed);
        let Violation { invariant, what } = breaks(&setting, Some(mistake))?;
        let showing = Showing {
            seed,
            invariant,
            what,
        };
        breaks(&setting, None).is_none().then_some(showing)
    });
    Exposed {
        mistake,
        by,
        histories,
    }
}

/// Makes each mistake for up to so many seeds, some at a time; each is told as soon as it is known.
#[must_use]
pub fn drill(
    mistakes: &[&'static str],
    seeds: u64,
    jobs: usize,
    tell: impl Fn(&Exposed) + Sync,
) -> Vec<Exposed> {
    let next = AtomicUsize::new(0);
    let exposed = Mutex::new(Vec::new());
    let work = || {
        while let Some(mistake) = mistakes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let one = expose(mistake, seeds);
            let mut exposed = exposed.lock().unwrap_or_else(PoisonError::into_inner);
            tell(&one);
            exposed.push(one);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    exposed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
