//! What a plan says beside its changes: rows that stay as they are, and why; edits that are going to lose.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::conflict::Side;
use crate::failure::Failure;
use crate::identity::{Identity, Key};

/// Why a row, or a field of it, is spoken of in a plan that does not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemarkKind {
    /// Both sides changed a field, and a person is to choose.
    Conflict,
    /// Somebody edited the side that does not own the field; the edit stands until the item is written.
    Foreign,
    /// An edit that is going to lose; both values are kept when it does.
    Overridden,
    /// The row cannot travel.
    Refused,
    /// It is held back, or it is too early to tell.
    Waiting,
}

impl RemarkKind {
    /// Every kind.
    pub const ALL: [RemarkKind; 5] = [
        RemarkKind::Conflict,
        RemarkKind::Foreign,
        RemarkKind::Overridden,
        RemarkKind::Refused,
        RemarkKind::Waiting,
    ];

    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RemarkKind::Conflict => "conflict",
            RemarkKind::Foreign => "foreign",
            RemarkKind::Overridden => "overridden",
            RemarkKind::Refused => "refused",
            RemarkKind::Waiting => "waiting",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An edit on the side that does not own the field, as a plan notes it.
#[derive(Clone, PartialEq)]
pub struct ForeignEdit {
    /// Whose.
    pub identity: Identity,
    /// Addresses the row.
    pub key: Key,
    /// Source column.
    pub column: String,
    /// What the source holds, as the list would hold it; sealed before it is stored.
    pub source: Json,
    /// What the list shows; sealed before it is stored.
    pub target: Json,
}

impl std::fmt::Debug for ForeignEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ForeignEdit({} `{}`)", self.identity, self.column)
    }
}

/// One such remark.
#[derive(Clone, PartialEq)]
pub struct PlanRemark {
    /// Its place in the plan.
    pub number: u64,
    /// Why it is made.
    pub kind: RemarkKind,
    /// Whose.
    pub identity: Identity,
    /// Addresses the row; `None` where the ledger does not know it any more.
    pub key: Option<Key>,
    /// Source column, where it is about one.
    pub column: Option<String>,
    /// Cause and fix of a refusal; holds no values.
    pub failure: Option<Failure>,
    /// Both sides' values, where it is about a field: the source's and the list's.
    pub values: Option<(Json, Json)>,
    /// Whose value stands, or will.
    pub winner: Option<Side>,
    /// Since when it is so.
    pub since: DateTime<Utc>,
}

impl std::fmt::Debug for PlanRemark {
    // Values never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PlanRemark({} {})", self.kind.name(), self.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_by_its_name() {
        for kind in RemarkKind::ALL {
            assert_eq!(RemarkKind::parse(kind.name()), Some(kind));
        }
    }
}
