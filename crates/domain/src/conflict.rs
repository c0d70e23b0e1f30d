//! Both sides changed one field: what is kept of it, and what a person may decide.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::agreed::CellHash;
use crate::identity::{Identity, Key};

/// A conflict that waits for a person. Values are sealed before they are stored and never printed.
#[derive(Clone, PartialEq)]
pub struct ParkedConflict {
    /// Whose.
    pub identity: Identity,
    /// Addresses the row.
    pub key: Key,
    /// Source column.
    pub column: String,
    /// Why nobody won.
    pub reason: ParkReason,
    /// What the source holds (canonical JSON).
    pub source: Json,
    /// What the list holds.
    pub target: Json,
    /// Hash of the source's raw form; a decision holds for these two values and no others.
    pub source_hash: CellHash,
    /// Hash of the list's raw form.
    pub target_hash: CellHash,
}

impl std::fmt::Debug for ParkedConflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ParkedConflict({} `{}` {:?})",
            self.identity, self.column, self.reason
        )
    }
}

/// Why a conflict was parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// The policy leaves it to a person.
    Policy,
    /// The list's value would cut what the source holds, because it does not survive the way there and back.
    WouldLose,
    /// It cannot be told any more who changed what (the list keeps no versions, or a write's outcome was lost).
    Ambiguous,
    /// Both sides keep rewriting the field: a flow or a trigger fights us.
    PingPong,
}

impl ParkReason {
    /// Every reason.
    pub const ALL: [ParkReason; 4] = [
        ParkReason::Policy,
        ParkReason::WouldLose,
        ParkReason::Ambiguous,
        ParkReason::PingPong,
    ];

    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ParkReason::Policy => "policy",
            ParkReason::WouldLose => "would_lose",
            ParkReason::Ambiguous => "ambiguous",
            ParkReason::PingPong => "ping_pong",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// Which side a person chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The source's value.
    Source,
    /// The list's value.
    Target,
}

impl Side {
    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Target => "target",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Side::Source, Side::Target]
            .into_iter()
            .find(|side| side.name() == name)
    }
}

/// A person's decision about one parked conflict. It goes through the same reconciliation as everything else and
/// holds only while both sides still show what the person saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Source column.
    pub column: String,
    /// Who wins.
    pub winner: Side,
    /// Hash of the source's value that was decided about.
    pub source_hash: CellHash,
    /// Hash of the list's value that was decided about.
    pub target_hash: CellHash,
}
