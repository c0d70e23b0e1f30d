//! The choices a definition makes where two sides disagree or something is destroyed.

use serde::{Deserialize, Serialize};

use crate::freeze::FreezeWindow;
use crate::two_way::TwoWay;

/// Which way a field travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Source to list.
    #[default]
    Push,
    /// List to source.
    Pull,
    /// Both ways.
    Both,
}

impl Direction {
    /// The word of documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Direction::Push => "push",
            Direction::Pull => "pull",
            Direction::Both => "both",
        }
    }
}

/// Who wins when both sides changed one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ConflictPolicy {
    /// The system of record wins.
    #[default]
    SourceWins,
    /// The list wins.
    TargetWins,
    /// The later change wins; ties go to the source.
    LatestWins,
    /// Nobody wins until a person chooses.
    Manual,
}

/// What happens to the other side when a row or item is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum DeletePolicy {
    /// Delete it there too.
    Propagate,
    /// Leave it there, remember that it is no longer ours to change.
    #[default]
    Keep,
    /// Mark it as archived and leave it.
    Archive,
}

/// What happens when a field is edited on the side that does not own it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnForeignEdit {
    /// Write the owner's value again at once.
    Restore,
    /// Let the edit stand until the owner changes the field.
    Keep,
    /// Say so; the owner's value returns with the next write of that item.
    #[default]
    Report,
}

/// What happens when a person brings an item back from the recycle bin whose row is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnForeignRestore {
    /// Say so and leave it.
    #[default]
    Report,
    /// Delete it again, as far as the guards let it.
    Delete,
    /// Let it stand and remember that it is no longer ours to change.
    Keep,
}

/// The destructive budget of a definition over a rolling window (DESIGN §5, Guards).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeleteGuard {
    /// So many deletes pass in any case.
    pub count: u64,
    /// So large a share of the agreed rows passes too (0.0 to 1.0).
    pub share: f64,
    /// Seconds over which the deletes of all runs are counted together; `None` judges each run by itself.
    #[serde(default = "default_window")]
    pub window: Option<u64>,
}

#[allow(clippy::unnecessary_wraps, reason = "the default of an optional setting")]
fn default_window() -> Option<u64> {
    Some(60 * 60)
}

impl Default for DeleteGuard {
    fn default() -> Self {
        Self {
            count: 100,
            share: 0.05,
            window: default_window(),
        }
    }
}

impl DeleteGuard {
    /// How many deletes may be done without being asked, where `agreed` rows are known.
    #[must_use]
    pub fn allowance(&self, agreed: u64) -> u64 {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let by_share = (agreed as f64 * self.share.clamp(0.0, 1.0)).floor() as u64;
        // Never the whole list: a table that reads as empty is far more often an accident than a wish.
        self.count.max(by_share).min(agreed.saturating_sub(1))
    }
}

/// All policies of a definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct Policies {
    /// Default for fields that name none.
    pub conflict: ConflictPolicy,
    /// Rows gone from the source.
    pub delete: DeletePolicy,
    /// Default for fields that name none.
    pub on_foreign_edit: OnForeignEdit,
    /// Destructive budget.
    pub delete_guard: DeleteGuard,
    /// Items are written once and never updated or deleted.
    #[serde(default)]
    pub archive_only: bool,
    /// The way from the list to the source.
    #[serde(default)]
    pub two_way: TwoWay,
    /// Items that a person brought back although their rows are gone.
    #[serde(default)]
    pub on_foreign_restore: OnForeignRestore,
    /// When nothing may be destroyed.
    #[serde(default)]
    pub freeze: Vec<FreezeWindow>,
}
