//! The drill: mistakes that are built in on purpose (`--cfg sabotage`), each of which a hunt has to find.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use syncbridge_domain::sabotage;

use crate::simulation::{Setting, Violation, simulate};

/// Every mistake that can be switched on, by the name it has where it is built in, and a seed that showed it: the first
/// one, when this was written. Where the simulation moved on, the seed is another one, and the drill says which.
pub const MISTAKES: &[(&str, u64)] = &[
    // What is noticed, and how far it counts as taken over.
    ("cursor past a failed row", 20),
    ("cursor stored before its rows are dirty", 34),
    ("token stored before apply", 11),
    ("dirty row deleted by key alone", 1029),
    ("dirty row cleared before the rest is decided", 423),
    ("refused row dropped", 2),
    ("standing quarantine lost", 2),
    ("open transactions not waited for", 66),
    // What counts as gone.
    ("tombstone ignored", 11),
    ("tombstone not kept", 2027),
    ("absence believed without a second look", 256),
    ("absence believed without full visibility", 13),
    ("deletion believed before its delay", 97),
    ("delete inferred from an incomplete pass", 13),
    ("copied row treated as the original", 153),
    // What counts as changed, by whom, and when.
    ("raw values compared instead of canonical ones", 206),
    ("one hash for both sides", 3),
    ("agreed state taken from what was sent", 677),
    ("standing edit covered by our version", 705),
    ("missing field read as null", 2114),
    ("echo judged by who wrote last", 330),
    ("unrecorded own write taken for a person's", 1896),
    ("row image older than the ledger applied", 1),
    ("passive field causing a write", 1),
    // Who wins, and what is kept of the other.
    ("times compared as strings", 37),
    ("overwritten edit not recorded", 2),
    ("overwritten value of the row not recorded", 2),
    // Writes of the list.
    ("If-Match left out", 4),
    ("no lookup before re-create", 4),
    ("write repeated by a retry layer", 2),
    ("lost answer taken for a refusal", 93),
    ("unanswered delete taken as done", 121),
    ("armed effect forgotten", 528),
    ("late create of a gone row left standing", 91),
    // Writes of the source.
    ("row written over without comparing it", 79),
    (
        "transaction status trusted for a row rolled back to a savepoint",
        7,
    ),
    ("insert repeated without asking for its transaction", 125),
    ("lost row write taken for applied", 3),
    ("lost row write taken for refused", 125),
    // Who may write.
    ("lease not looked at before sending", 21),
    ("stale epoch accepted", 520),
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

/// Where a drill looks.
#[derive(Clone, Copy, Debug)]
pub struct Drill {
    /// Up to this seed, from the first one on.
    pub seeds: u64,
    /// First at the seed that is known to have shown the mistake.
    pub known_first: bool,
    /// Mistakes at a time.
    pub jobs: usize,
}

/// What a history breaks with this mistake, if it breaks nothing without it.
fn shows(mistake: &'static str, seed: u64) -> Option<Showing> {
    let setting = Setting::of(seed);
    sabotage::arm(Some(mistake));
    let found = simulate(&setting, false).violation;
    sabotage::arm(None);
    let Violation { invariant, what } = found?;
    let holds = simulate(&setting, false).violation.is_none();
    holds.then_some(Showing {
        seed,
        invariant,
        what,
    })
}

fn expose(mistake: &'static str, known: u64, drill: Drill) -> Exposed {
    let first = drill.known_first.then_some(known);
    let mut histories = 0;
    let by = first.into_iter().chain(1..=drill.seeds).find_map(|seed| {
        histories += 1;
        shows(mistake, seed)
    });
    Exposed {
        mistake,
        by,
        histories,
    }
}

/// Makes each of these mistakes until a history shows it; each is told as soon as it is.
#[must_use]
pub fn run(mistakes: &[(&'static str, u64)], drill: Drill, tell: impl Fn(&Exposed) + Sync) -> Vec<Exposed> {
    let next = AtomicUsize::new(0);
    let exposed = Mutex::new(Vec::new());
    let work = || {
        while let Some((mistake, known)) = mistakes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let one = expose(mistake, *known, drill);
            let mut exposed = exposed.lock().unwrap_or_else(PoisonError::into_inner);
            tell(&one);
            exposed.push(one);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..drill.jobs.max(1) {
            scope.spawn(work);
        }
    });
    exposed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
