//! Identities known to have changed and not yet applied, and those that cannot be applied now.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::agreed::RowDigest;
use crate::failure::Failure;
use crate::feed::Mark;
use crate::identity::{Identity, Key};

/// "This row changed (at this mark)", before it is made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyMark {
    /// Whose.
    pub identity: Identity,
    /// Addresses the row.
    pub key: Key,
    /// How new the change is.
    pub mark: Mark,
    /// The feed did not find the row where it used to be.
    pub suspected_delete: bool,
    /// What the list's feed said of its item.
    pub target: TargetHint,
}

/// What the list's feed said of a dirty row's item. A later mark of a source feed leaves it as it is; a later one of
/// the list's feed replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TargetHint {
    /// Nothing: the item is presumed to be as agreed.
    #[default]
    Presumed,
    /// It changed, so it has to be looked at before anything is decided.
    Changed,
    /// It was reported deleted. No proof before a look some minutes later finds it gone, and only where everything in
    /// the list can be seen.
    Deleted,
    /// A whole pass did not show it: suspected, never proof.
    Missing,
}

impl TargetHint {
    /// The number stored.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            TargetHint::Presumed => 0,
            TargetHint::Changed => 1,
            TargetHint::Deleted => 2,
            TargetHint::Missing => 3,
        }
    }

    /// Reads the stored number.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        [
            TargetHint::Presumed,
            TargetHint::Changed,
            TargetHint::Deleted,
            TargetHint::Missing,
        ]
        .into_iter()
        .find(|hint| hint.code() == code)
    }
}

/// A durable dirty row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyRow {
    /// What changed.
    pub mark: DirtyMark,
    /// Rises with every mark; after apply the row goes only where this is still the same.
    pub sequence: u64,
    /// How long ago the list's feed said what [`DirtyMark::target`] holds, by the memory's clock; zero where it said
    /// nothing.
    pub hinted: std::time::Duration,
}

/// A row that cannot be applied now, with its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewQuarantine {
    /// Whose.
    pub identity: Identity,
    /// Addresses the row.
    pub key: Key,
    /// Digest of the source row that was refused; the same content is not offered again before it is due.
    pub digest: RowDigest,
    /// Why.
    pub failure: Failure,
}

/// A stored quarantine entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// What was refused and why.
    pub entry: NewQuarantine,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again; `None`: it needs a person.
    pub retry_at: Option<DateTime<Utc>>,
    /// When it was first refused.
    pub since: DateTime<Utc>,
    /// A person accepted that this content does not travel.
    pub ignored: Option<Ignored>,
}

impl Quarantined {
    /// What the row waits for.
    #[must_use]
    pub fn waits_for(&self) -> WaitsFor {
        match (&self.ignored, self.retry_at) {
            (Some(_), _) => WaitsFor::Nothing,
            (None, Some(_)) => WaitsFor::Retry,
            (None, None) => WaitsFor::Person,
        }
    }
}

/// Who accepted a refused row as it is, and why. The acceptance holds for the refused content only: a row that
/// changes is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: String,
    /// In their words.
    pub reason: String,
}

/// What a row in quarantine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// Its next attempt, which comes by itself.
    Retry,
    /// A person: it was tried often enough.
    Person,
    /// Nothing: a person accepted it.
    Nothing,
}

impl WaitsFor {
    /// The name shown and taken as a filter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            WaitsFor::Retry => "retry",
            WaitsFor::Person => "person",
            WaitsFor::Nothing => "nothing",
        }
    }
}

/// How long to wait before a refused row is tried again: at once with the next run, then ever later, then
/// only when a person says so or the row changes.
#[must_use]
pub fn retry_delay(attempts: u32) -> Option<std::time::Duration> {
    const STEPS: [u64; 6] = [0, 60, 300, 1_800, 7_200, 86_400];
    let at = usize::try_from(attempts.saturating_sub(1)).ok()?;
    STEPS
        .get(at)
        .map(|seconds| std::time::Duration::from_secs(*seconds))
}
