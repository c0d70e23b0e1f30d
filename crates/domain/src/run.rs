//! One execution of a definition: what it is told and what it reports.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::feed::FeedKind;
use crate::history::HistoryRule;
use crate::identity::Key;
use crate::ids::{DefinitionId, PlanId, RunId, WorkspaceId};
use crate::list_rules::ListRules;
use crate::mapping::Mapping;
use crate::policy::{Direction, Policies};
use crate::quota::{Lane, Spending};
use crate::reconcile::Decision;
use crate::verification::KeyRange;

pub use crate::verification::{Difference, Verification};

/// Version of the [`RunSpec`] document; a worker that does not know it hands the job back.
pub const SPEC_SCHEMA: u16 = 1;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Source to list.
    Push,
    /// List to source.
    Pull,
    /// Both ways.
    TwoWay,
    /// Compares both sides and writes nothing.
    Verify,
    /// Says what a run would do and writes nothing.
    Plan,
    /// Compares both sides and writes the items that differ.
    Repair,
}

impl RunKind {
    /// Every kind there is today.
    pub const ALL: [RunKind; 6] = [
        RunKind::Push,
        RunKind::Pull,
        RunKind::TwoWay,
        RunKind::Verify,
        RunKind::Plan,
        RunKind::Repair,
    ];

    /// Whether it brings changes from one side to the other: what a schedule starts.
    #[must_use]
    pub fn drives(self) -> bool {
        matches!(self, RunKind::Push | RunKind::Pull | RunKind::TwoWay)
    }

    /// Whether it changes a side, and so needs the writer lease.
    #[must_use]
    pub fn writes(self) -> bool {
        self.drives() || self == RunKind::Repair
    }

    /// The run that drives a definition of this direction.
    #[must_use]
    pub fn driving(direction: Direction) -> Self {
        match direction {
            Direction::Push => RunKind::Push,
            Direction::Pull => RunKind::Pull,
            Direction::Both => RunKind::TwoWay,
        }
    }

    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RunKind::Push => "push",
            RunKind::Pull => "pull",
            RunKind::TwoWay => "two_way",
            RunKind::Verify => "verify",
            RunKind::Plan => "plan",
            RunKind::Repair => "repair",
        }
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waiting for a worker.
    Queued,
    /// Under way.
    Running,
    /// Stopped by a person, may go on.
    Paused,
    /// Everything was applied.
    Completed,
    /// Some rows are quarantined or parked.
    CompletedWithErrors,
    /// It could not go on.
    Failed,
    /// Stopped by a person.
    Cancelled,
    /// A guard or another run stood in the way; nothing was written.
    Refused,
}

impl RunState {
    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Completed => "completed",
            RunState::CompletedWithErrors => "completed_with_errors",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
            RunState::Refused => "refused",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        use RunState::{Cancelled, Completed, CompletedWithErrors, Failed, Paused, Queued, Refused, Running};
        [
            Queued,
            Running,
            Paused,
            Completed,
            CompletedWithErrors,
            Failed,
            Cancelled,
            Refused,
        ]
        .into_iter()
        .find(|state| state.name() == name)
    }
}

/// The source side of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Schema of the table.
    pub schema: String,
    /// Table or view.
    pub table: String,
    /// How changes are noticed.
    pub feed: FeedKind,
    /// Watermark column, for watermark feeds.
    pub watermark: Option<WatermarkColumn>,
    /// Seconds after which a watermark feed is due for a full comparison, which alone finds deleted rows;
    /// `None`: never by itself.
    #[serde(default)]
    pub sweep: Option<u64>,
}

/// The column a watermark feed follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub pg_type: crate::pg_type::PgType,
}

/// The list side of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSpec {
    /// Graph's id of the site, opaque.
    pub site: String,
    /// Graph's id of the list.
    pub list: String,
    /// How the list is to be treated.
    #[serde(default)]
    pub rules: ListRules,
}

/// Sizes that bound memory and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Rows read from the source at once.
    pub page_rows: u32,
    /// Writes in one `$batch` (Graph takes 20).
    pub batch_writes: u32,
    /// Batches in flight.
    pub batches_in_flight: u32,
    /// Items a verification reads at once. A page costs two resource units however many items it holds.
    #[serde(default = "default_verify_page_items")]
    pub verify_page_items: u32,
    /// Seconds for which a list may let no write through and only ask to wait, before the run ends.
    #[serde(default = "default_standstill_seconds")]
    pub standstill_seconds: u32,
}

/// Longer than any quota that is filled up again by the minute, and than what Graph usually asks for.
fn default_standstill_seconds() -> u32 {
    900
}

fn default_verify_page_items() -> u32 {
    2_000
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            page_rows: 2_000,
            batch_writes: 20,
            batches_in_flight: 20,
            verify_page_items: default_verify_page_items(),
            standstill_seconds: default_standstill_seconds(),
        }
    }
}

/// What a person may ask of one run beyond the definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct RunOptions {
    /// Compare the whole table even where the feed would not.
    pub full: bool,
    /// Let so many deletes pass the guard.
    pub allow_deletes: Option<u64>,
    /// Forget how far the feed was taken over; the ledger stays.
    pub reset_cursor: bool,
    /// Write the source's values where both sides differ and nothing was ever agreed on.
    pub approve_unagreed: bool,
    /// Take leave of every item, as if all rows were gone: the last run of a definition.
    #[serde(default)]
    pub retire: Option<Retire>,
    /// Go on with the newest verification that was interrupted instead of beginning a new one.
    #[serde(default)]
    pub resume: bool,
    /// The saved plan that is worked out, or that is run: of a run that drives, nothing else is written.
    #[serde(default)]
    pub plan: Option<PlanId>,
    /// Somebody let that plan pass: what it deletes is not held against the guard any more.
    #[serde(default)]
    pub plan_approved: bool,
    /// Instead of what either feed says, what this run did is put back. Only ever by a plan.
    #[serde(default)]
    pub revert: Option<RunId>,
}

/// How a definition takes leave of its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retire {
    /// They go to the recycle bin.
    Delete,
    /// They are marked as archived.
    Archive,
}

/// Everything a worker needs to know to run, but for credentials. The same document in process and over gRPC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// [`SPEC_SCHEMA`] of whoever wrote this.
    pub schema: u16,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The definition.
    pub definition: DefinitionId,
    /// Its name, for messages.
    pub definition_name: String,
    /// This run.
    pub run: RunId,
    /// What it does.
    pub kind: RunKind,
    /// Namespace of identities, fixed when the definition was made.
    pub namespace: String,
    /// Where rows come from.
    pub source: SourceSpec,
    /// Where items go.
    pub target: TargetSpec,
    /// What travels.
    pub mapping: Mapping,
    /// Which sides are written: `Push` the list only, `Pull` the source only.
    #[serde(default)]
    pub direction: Direction,
    /// Choices where sides disagree.
    pub policies: Policies,
    /// Rows without which the table is not believed: while one is missing nothing is deleted. Of all keys only
    /// these stand here, because the definition's document names them anyway.
    #[serde(default)]
    pub sentinels: Vec<Key>,
    /// What is kept of its history.
    #[serde(default)]
    pub history: HistoryRule,
    /// Sizes.
    pub limits: Limits,
    /// Priority of spending.
    pub lane: Lane,
    /// What was asked of this run.
    pub options: RunOptions,
    /// The list was made for this run: nothing of ours can be in it yet.
    #[serde(default)]
    pub list_is_new: bool,
    /// Which rows a verification looks at. Never stored and never sent with a job: keys are values.
    #[serde(skip)]
    pub range: KeyRange,
}

/// Counters of a run; they only rise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Counters {
    /// Source rows read.
    pub read: u64,
    /// Rows found equal to what was agreed.
    pub unchanged: u64,
    /// Items created.
    pub created: u64,
    /// Items patched.
    pub patched: u64,
    /// Items deleted.
    pub deleted: u64,
    /// Items marked as archived.
    #[serde(default)]
    pub archived: u64,
    /// Rows that agreed already and were only recorded.
    pub adopted: u64,
    /// Rows newly in quarantine.
    pub quarantined: u64,
    /// Rows held back by a guard or an unfinished write, still dirty.
    pub parked: u64,
    /// Edits in the list that the source overrode.
    pub overridden: u64,
    /// Writes of earlier runs whose outcome was settled.
    pub recovered: u64,
    /// Source rows made from items that people added.
    #[serde(default)]
    pub inserted_rows: u64,
    /// Source rows that got values from the list.
    #[serde(default)]
    pub updated_rows: u64,
    /// Source rows deleted because their items were.
    #[serde(default)]
    pub deleted_rows: u64,
    /// Conflicts newly left to a person.
    #[serde(default)]
    pub conflicts: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// Where it stands.
    pub state: RunState,
    /// What it did.
    pub counters: Counters,
    /// What it spent.
    pub spending: Spending,
    /// Why it did not complete, if it did not.
    pub failure: Option<Failure>,
    /// What a verification found.
    pub verification: Option<Verification>,
    /// What a plan predicts.
    pub prediction: Option<Prediction>,
    /// Remarks a person should read, without values.
    pub notices: Vec<String>,
    /// When it ended.
    pub ended: DateTime<Utc>,
}

/// What a run would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Prediction {
    /// Rows read.
    pub rows: u64,
    /// Items it would create.
    pub creates: u64,
    /// Items it would look at and most likely patch.
    pub changes: u64,
    /// Items it would delete (or leave, by policy).
    pub gone: u64,
    /// Rows equal to what was agreed.
    pub unchanged: u64,
    /// Rows in quarantine.
    pub quarantined: u64,
    /// Resource units it would spend.
    pub ru: crate::quota::Ru,
    /// Values the list cannot hold: code, column, count.
    pub refusals: Vec<PredictedRefusal>,
    /// Whether the guard would hold the deletes back.
    pub deletes_held_back: bool,
    /// Why nothing at all may be deleted now, however few they are.
    #[serde(default)]
    pub hold: Option<Failure>,
    /// What it would spend for which reason; empty where that was not worked out.
    #[serde(default)]
    pub spending: Spending,
    /// The plan that was saved.
    #[serde(default)]
    pub plan: Option<PlanId>,
    /// Whether that plan deletes more than the guard lets pass, so that somebody has to approve it.
    #[serde(default)]
    pub beyond_guard: bool,
}

/// Values of one column that the list cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictedRefusal {
    /// Stable code.
    pub code: String,
    /// Source column.
    pub column: String,
    /// How many rows.
    pub rows: u64,
    /// What to do.
    pub fix: String,
}

/// Who wants to know how far a run is.
pub trait Progress: Send + Sync {
    /// A step begins.
    fn step(&self, step: Step);
    /// Counters so far.
    fn counters(&self, counters: &Counters, spending: &Spending);
    /// What was decided about a row, for those who count how often each decision is made.
    fn decided(&self, _decision: &Decision) {}
}

/// Steps of a run, for progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Settling writes an earlier run left open.
    Recovering {
        /// How many.
        effects: u64,
    },
    /// Copying the whole table for the first time.
    FirstCopy {
        /// About how many rows; 0 unknown.
        rows: u64,
    },
    /// Looking for changes.
    Reading {
        /// About how many rows; 0 unknown.
        rows: u64,
    },
    /// Asking the list what people changed in it.
    ReadingList,
    /// Applying changed rows.
    Applying,
    /// What a verification is going to cost, before anything is asked.
    Forecast {
        /// About how many items; 0 unknown.
        items: u64,
        /// About how many pages of the list are still to be read, at two resource units each.
        pages: u64,
        /// Pages that an interrupted verification had read already.
        resumed: u64,
    },
    /// Comparing both sides.
    Verifying {
        /// About how many rows; 0 unknown.
        rows: u64,
    },
    /// Writing the items that were found to differ.
    Repairing {
        /// How many rows are looked at again.
        rows: u64,
    },
}
