//! What both sides of one identity last agreed on, and the other durable facts about it.

use serde::{Deserialize, Serialize};

use crate::feed::Mark;
use crate::identity::{Identity, Key};
use crate::ids::RunId;
use crate::mapping::LayoutStamp;
use crate::receipt::ItemId;
use crate::version::Version;

/// What kind of agreement a ledger row records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// Row and item exist.
    Live,
    /// Both are gone; the row keeps what is needed to tell a restore from a re-creation.
    Tombstone,
    /// The source row is gone and the item was left standing by policy.
    Kept,
    /// The item was marked as archived by policy.
    Archived,
}

impl LedgerState {
    /// The number stored.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            LedgerState::Live => 1,
            LedgerState::Tombstone => 2,
            LedgerState::Kept => 3,
            LedgerState::Archived => 4,
        }
    }

    /// Reads the stored number.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        [
            LedgerState::Live,
            LedgerState::Tombstone,
            LedgerState::Kept,
            LedgerState::Archived,
        ]
        .into_iter()
        .find(|state| state.code() == code)
    }
}

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Whose it is.
    pub identity: Identity,
    /// Addresses the source row.
    pub key: Key,
    /// The item's number in the list.
    pub item: ItemId,
    /// The item's guid and the counter last seen.
    pub version: Version,
    /// Bytes of [`crate::agreed::Agreed`].
    pub agreed: Vec<u8>,
    /// Layout of these bytes.
    pub layout: LayoutStamp,
    /// Which hash key the hashes were made with.
    pub hash_key_id: u16,
    /// How new the source state was.
    pub mark: Mark,
    /// What kind of agreement this is.
    pub state: LedgerState,
    /// Rises with every write of this row; 0 before the first one is stored.
    pub row_version: u64,
    /// The run that last wrote it.
    pub last_run: RunId,
}

/// The part of a ledger row that a full scan compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerDigest {
    /// Whose it is.
    pub identity: Identity,
    /// Digest of the source row agreed on.
    pub digest: crate::agreed::RowDigest,
    /// What kind of agreement this is.
    pub state: LedgerState,
    /// Layout the digest was made with.
    pub layout: LayoutStamp,
}
