//! Where a process stands: the step of the run, the port it waits at; and what becomes of calls of the databases.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_engine::ports::{PortResult, Step};

use crate::clock::Timeline;
use crate::coverage::Coverage;
use crate::events::Events;
use crate::model::source::ModelTable;
use crate::model::{Call, CommitFate, Moment, Part, Steps};
use crate::random::Random;

/// Where a process stands; clones share it.
#[derive(Clone, Debug)]
pub struct Place(Arc<Mutex<Standing>>);

#[derive(Clone, Copy, Debug)]
struct Standing {
    step: &'static str,
    port: &'static str,
    phase: &'static str,
}

impl Default for Place {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Standing {
            step: "begin",
            port: "begin",
            phase: "",
        })))
    }
}

impl Place {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step of the run begins.
    pub fn step(&self, step: &Step) {
        self.standing().step = match step {
            Step::Recovering { .. } => "recover",
            Step::FirstCopy { .. } => "first_copy",
            Step::Reading { .. } => "read",
            Step::ReadingList => "reading the list",
            Step::Applying => "apply",
            Step::Forecast { .. } => "forecast",
            Step::Verifying { .. } => "verify",
            Step::Repairing { .. } => "repair",
        };
    }

    /// A port is called.
    pub fn is(&self, port: &'static str) {
        let mut standing = self.standing();
        standing.port = port;
        standing.phase = "";
    }

    fn waits(&self, port: &'static str, phase: &'static str) {
        let mut standing = self.standing();
        standing.port = port;
        standing.phase = phase;
    }

    /// In one word.
    #[must_use]
    pub fn name(&self) -> String {
        let Standing { step, port, phase } = *self.standing();
        if phase.is_empty() {
            format!("{step}: {port}")
        } else {
            format!("{step}: {phase} {port}")
        }
    }
}

/// Trouble with the databases, and whether the memory was changed; clones share it.
#[derive(Clone)]
pub struct Trouble(Arc<Mutex<Shares>>);

/// Calls that change what the cursor and the rows behind it rest on.
const CHANGES: [&str; 8] = [
    "mark_dirty",
    "settle",
    "adopt",
    "clear_dirty",
    "quarantine",
    "requeue_due",
    "requeue_approved",
    "keep_delta",
];

struct Shares {
    random: Random,
    memory_unreachable: u64,
    memory_unanswered: u64,
    source_unreachable: u64,
    /// The memory answers nobody before this.
    memory_back: Duration,
    memory_changed: bool,
    commits_get_lost: bool,
}

impl Trouble {
    /// None so far.
    #[must_use]
    pub fn new(random: Random) -> Self {
        Self(Arc::new(Mutex::new(Shares {
            random,
            memory_unreachable: 0,
            memory_unanswered: 0,
            source_unreachable: 0,
            memory_back: Duration::ZERO,
            memory_changed: false,
            commits_get_lost: false,
        })))
    }

    /// Whether the memory was changed since this was asked last.
    #[must_use]
    pub fn memory_changed(&self) -> bool {
        std::mem::take(&mut self.shares().memory_changed)
    }

    /// From now on so much goes wrong.
    pub fn set(&self, faults: &crate::faults::Faults) {
        let mut shares = self.shares();
        shares.memory_unreachable = faults.memory_unreachable;
        shares.memory_unanswered = faults.memory_unanswered;
        shares.source_unreachable = faults.source_unreachable;
        shares.memory_back = Duration::ZERO;
        shares.commits_get_lost = !faults.is_none();
    }

    /// The memory answers nobody until then.
    pub fn memory_is_away_until(&self, until: Duration) {
        self.shares().memory_back = until;
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self) -> Duration {
        Duration::from_micros(self.shares().random.between(50, 3_000))
    }

    /// What becomes of a call before it is taken.
    fn strikes_before(&self, part: Part, now: Duration) -> Option<&'static str> {
        let mut shares = self.shares();
        let shares = &mut *shares;
        match part {
            Part::Memory if now < shares.memory_back => Some("memory_away"),
            Part::Memory => shares
                .random
                .permille(shares.memory_unreachable)
                .then_some("memory_unreachable"),
            Part::Source | Part::Rows => shares
                .random
                .permille(shares.source_unreachable)
                .then_some("source_unreachable"),
        }
    }

    fn strikes_after(&self, part: Part) -> Option<&'static str> {
        let mut shares = self.shares();
        let shares = &mut *shares;
        let strikes = part == Part::Memory && shares.random.permille(shares.memory_unanswered);
        strikes.then_some("memory_unanswered")
    }
}

/// The moments of one process.
#[derive(Clone)]
pub struct Moments {
    /// COMMITs whose answer is lost, in thousandths, and the table that they are about.
    lost_commits: Option<(u64, ModelTable)>,
    timeline: Timeline,
    events: Events,
    coverage: Coverage,
    trouble: Trouble,
    place: Place,
    process: u64,
}

impl Moments {
    /// The moments of a process.
    #[must_use]
    pub fn new(
        timeline: Timeline,
        events: Events,
        coverage: Coverage,
        trouble: Trouble,
        place: Place,
        process: u64,
    ) -> Self {
        Self {
            lost_commits: None,
            timeline,
            events,
            coverage,
            trouble,
            place,
            process,
        }
    }

    /// The same, where this share of COMMITs, in thousandths, gets no answer.
    #[must_use]
    pub fn losing_commits(self, share: u64, table: ModelTable) -> Self {
        Self {
            lost_commits: Some((share, table)),
            ..self
        }
    }

    fn lost_commit(&self, share: u64, table: &ModelTable) -> CommitFate {
        let mut shares = self.trouble.shares();
        if !shares.commits_get_lost || !shares.random.permille(share) {
            return CommitFate::Answered;
        }
        let fate = *shares.random.pick(&[
            CommitFate::LostCommitted,
            CommitFate::LostAborted,
            CommitFate::LostPending,
        ]);
        if fate == CommitFate::LostPending {
            let (committed, after) = (shares.random.permille(500), shares.random.between(100, 15_000));
            let table = table.clone();
            self.timeline.after(Duration::from_millis(after), move || {
                table.end_pending(committed);
            });
        }
        drop(shares);
        self.coverage.fault(match fate {
            CommitFate::Answered => "commit_answered",
            CommitFate::LostCommitted => "commit_lost_committed",
            CommitFate::LostAborted => "commit_lost_aborted",
            CommitFate::LostPending => "commit_lost_pending",
        });
        fate
    }

    fn fails(&self, call: Call, fault: Option<&'static str>) -> PortResult<()> {
        let Some(fault) = fault else { return Ok(()) };
        self.coverage.fault(fault);
        let at = self.timeline.elapsed();
        self.events.note(fault, at, self.process, call.name.as_bytes());
        self.events
            .tell(at, || format!("P{} ! {fault}: {}", self.process, call.name));
        let (code, cause) = match call.part {
            Part::Memory => ("store.unavailable", "the meta-store does not answer"),
            Part::Source | Part::Rows => ("source.unavailable", "the source does not answer"),
        };
        Err(Failure::new(Scope::Outage, code, cause, "nothing to do"))
    }
}

impl Steps for Moments {
    fn before(&self, call: Call) -> Moment<'_> {
        self.place.waits(call.name, "before");
        Box::pin(async move {
            self.timeline.sleep(self.trouble.pause()).await;
            let at = self.timeline.elapsed();
            self.events.note("call", at, self.process, call.name.as_bytes());
            self.events
                .tell(at, || format!("P{} {:?}.{}", self.process, call.part, call.name));
            self.fails(call, self.trouble.strikes_before(call.part, at))
        })
    }

    fn after(&self, call: Call) -> Moment<'_> {
        self.place.waits(call.name, "after");
        if call.part == Part::Memory && CHANGES.contains(&call.name) {
            self.trouble.shares().memory_changed = true;
        }
        Box::pin(async move {
            self.timeline.sleep(self.trouble.pause()).await;
            self.fails(call, self.trouble.strikes_after(call.part))
        })
    }

    fn commit_fate(&self) -> CommitFate {
        match &self.lost_commits {
            Some((share, table)) => self.lost_commit(*share, table),
            None => CommitFate::Answered,
        }
    }
}
