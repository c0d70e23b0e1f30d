//! What `why` answers.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use syncbridge_domain::effect::EffectState;
use syncbridge_domain::history::{Beside, Decider, Way};
use syncbridge_domain::reconcile::{FieldDecision, RowDecision};

use crate::conflict_list::ConflictView;
use crate::history_view::MarkView;

/// Everything that is known about one cell.
#[derive(Clone, PartialEq, Serialize)]
pub struct WhyView {
    /// The definition.
    pub definition: String,
    /// Identity of the row, in hexadecimal.
    pub identity: String,
    /// Values of the key columns.
    pub key: Vec<String>,
    /// Column of the table.
    pub column: String,
    /// Column of the list, as people see it.
    pub list_column: String,
    /// `push`, `pull` or `both`: who may change it.
    pub direction: &'static str,
    /// What both sides agreed on; absent where they never did.
    pub agreed: Option<CellAgreed>,
    /// What both sides show now; absent without a live look.
    pub live: Option<CellLive>,
    /// Writes of the row whose outcome is not settled.
    pub open_writes: Vec<OpenWrite>,
    /// Whether the row waits for a run, and what for.
    pub waits: Option<Waiting>,
    /// Why the row is in quarantine.
    pub quarantine: Option<InQuarantine>,
    /// Conflicts of this cell, newest first, without their values.
    pub conflicts: Vec<ConflictView>,
    /// What happened to it, newest first.
    pub changes: Vec<CellStep>,
    /// Whether more is kept than is shown.
    pub older: bool,
    /// What happened, why, and what to do next.
    pub told: String,
}

impl std::fmt::Debug for WhyView {
    // Values stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WhyView({} `{}`)", self.identity, self.column)
    }
}

/// What both sides agreed on about a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CellAgreed {
    /// `live`, `tombstone`, `kept` or `archived`.
    pub state: &'static str,
    /// The item's number.
    pub item: String,
    /// The item's guid and counter.
    pub version: String,
    /// Hash of what the table held; absent: unknown.
    pub source_hash: Option<String>,
    /// Hash of what the list returned; absent: unknown.
    pub target_hash: Option<String>,
    /// How new the source state was.
    pub mark: MarkView,
    /// The run that last wrote the row's agreement.
    pub last_run: String,
}

/// What both sides show now.
#[derive(Clone, PartialEq, Serialize)]
pub struct CellLive {
    /// The table.
    pub source: SideNow,
    /// The list.
    pub target: SideNow,
}

/// What one side shows now.
#[derive(Clone, PartialEq, Serialize)]
pub struct SideNow {
    /// How that stands to what was agreed on.
    pub is: AgainstAgreed,
    /// What it holds, as the list would show it; absent where there is none, or it was not looked at.
    pub value: Option<Json>,
}

/// How what a side shows stands to what was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgainstAgreed {
    /// It is that.
    AsAgreed,
    /// It is something else.
    Changed,
    /// Nothing was agreed on to hold it against.
    Unknown,
    /// There is no such row or item.
    Gone,
    /// There are several.
    Several,
    /// It was not looked at: nothing links an item to the row.
    NotLooked,
    /// The column cannot be seen.
    Unseen,
}

/// A write whose outcome is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenWrite {
    /// What it does, such as `patch_item`.
    pub kind: &'static str,
    /// `open`: sent, or about to be; `armed`: not found when last looked for, and it may still land.
    pub state: EffectState,
    /// The run that made it.
    pub run: String,
    /// How long ago, in seconds.
    pub seconds_ago: u64,
    /// Whether it holds this cell.
    pub of_this_cell: bool,
}

/// Why a row waits for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// A change is known and not applied.
    Changed,
    /// Its item was changed in the list.
    ItemChanged,
    /// Its item was deleted in the list, or is not shown any more.
    ItemGone,
}

/// Why a row is in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InQuarantine {
    /// Stable code.
    pub code: String,
    /// Column at fault, where it is known.
    pub column: Option<String>,
    /// What happened.
    pub cause: String,
    /// What to do.
    pub fix: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Whether a person accepted it as it is.
    pub accepted: bool,
}

/// One change of a cell.
#[derive(Clone, PartialEq, Serialize)]
pub struct CellStep {
    /// Its number in the row's history.
    pub number: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// By which run.
    pub run: String,
    /// Which way it went.
    pub direction: Way,
    /// What was done, such as `patch_item`.
    pub kind: &'static str,
    /// `applied`, `adopted`, `released` or `quarantined`.
    pub outcome: String,
    /// What was decided about the row.
    pub row_rule: Option<RowDecision>,
    /// What was decided about the cell; absent where the row was decided about as a whole.
    pub rule: Option<FieldDecision>,
    /// Who decided.
    pub by: Option<Decider>,
    /// What else it was for.
    pub beside: Option<Beside>,
    /// Hash of what the table held before.
    pub source_before: Option<String>,
    /// And after.
    pub source_after: Option<String>,
    /// Hash of what the list showed before.
    pub target_before: Option<String>,
    /// And after.
    pub target_after: Option<String>,
    /// The item's counter before.
    pub version_before: Option<u64>,
    /// And after.
    pub version_after: Option<u64>,
    /// What was there before on the side that was written; only where values are kept and it was seen.
    pub value_before: Option<Json>,
    /// What was written; only where values are kept.
    pub value_after: Option<Json>,
    /// Graph's `request-id`.
    pub request_id: Option<String>,
}
