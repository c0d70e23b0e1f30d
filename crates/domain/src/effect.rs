//! The record of one external write, committed before the request is sent (DESIGN §6).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::{Beside, Cause};
use crate::identity::{Identity, Key};
use crate::ids::{DefinitionId, EffectId, RunId};
use crate::receipt::{Fields, ItemId, RowName};
use crate::version::Version;

/// The right to write for a definition: whoever holds the newest epoch holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The definition that is driven.
    pub definition: DefinitionId,
    /// Rises with every take-over.
    pub epoch: u64,
}

/// What an external write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// A new item.
    CreateItem,
    /// Changed columns of an item.
    PatchItem,
    /// An item deleted.
    DeleteItem,
    /// A new source row, made from an item.
    InsertRow,
    /// Changed columns of a source row.
    UpdateRow,
    /// A source row deleted.
    DeleteRow,
}

impl EffectKind {
    /// Every kind there is.
    pub const ALL: [EffectKind; 6] = [
        EffectKind::CreateItem,
        EffectKind::PatchItem,
        EffectKind::DeleteItem,
        EffectKind::InsertRow,
        EffectKind::UpdateRow,
        EffectKind::DeleteRow,
    ];

    /// Whether it writes to the source, where the row itself and the transaction's id are the witness.
    #[must_use]
    pub fn is_of_row(self) -> bool {
        matches!(
            self,
            EffectKind::InsertRow | EffectKind::UpdateRow | EffectKind::DeleteRow
        )
    }

    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EffectKind::CreateItem => "create_item",
            EffectKind::PatchItem => "patch_item",
            EffectKind::DeleteItem => "delete_item",
            EffectKind::InsertRow => "insert_row",
            EffectKind::UpdateRow => "update_row",
            EffectKind::DeleteRow => "delete_row",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// Whether a write may still be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectState {
    /// About to be sent, or sent without a settled answer; holds the subject.
    Open,
    /// Not applied when last looked, but it may still land; the subject is free.
    Armed,
}

/// Whom a write concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The row's identity.
    pub identity: Identity,
    /// The row's key.
    pub key: Key,
}

impl Subject {
    /// What its item is recognised by.
    #[must_use]
    pub fn name(&self) -> RowName {
        RowName::of(self.identity, &self.key)
    }
}

/// The list item a write touches; none for a create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemLink {
    /// Its number in the list.
    pub id: ItemId,
    /// Its guid and the counter before the write.
    pub before: Version,
}

/// A write to be recorded before it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEffect {
    /// Its id.
    pub id: EffectId,
    /// Whom it concerns.
    pub subject: Subject,
    /// What it does.
    pub kind: EffectKind,
    /// The item, except for creates.
    pub item: Option<ItemLink>,
    /// The ledger row's version that the decision rests on; `None` where there was no row.
    pub expected_row_version: Option<u64>,
    /// What is sent; sealed before it is stored.
    pub sent: Fields,
    /// What the side that is written showed there before, as far as it was seen: kept, sealed, where the definition
    /// keeps values, and empty elsewhere. Named as in `sent`.
    pub before: Fields,
    /// Why it is made.
    pub cause: Cause,
    /// Agreed hashes and digest as they will be once this write is applied: source side of the state that is sent.
    pub after: AfterState,
}

/// What the ledger will say of the source side once the write is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterState {
    /// Bytes of [`crate::agreed::Agreed`] with target hashes as far as known before the answer.
    pub agreed: Vec<u8>,
    /// Layout of these bytes.
    pub layout: crate::mapping::LayoutStamp,
    /// How new the source state was that is sent.
    pub mark: crate::feed::Mark,
}

/// A recorded write.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Its id.
    pub id: EffectId,
    /// The run that made it.
    pub run: RunId,
    /// Whom it concerns.
    pub subject: Subject,
    /// What it does.
    pub kind: EffectKind,
    /// The item, except for creates.
    pub item: Option<ItemLink>,
    /// What was sent.
    pub sent: Fields,
    /// What else it was made for.
    pub beside: Option<Beside>,
    /// The source side that was sent.
    pub after: AfterState,
    /// For source writes: the transaction that was about to commit; `None` before it was noted, and then none of it
    /// ever commits. The outer `Option` is the note, the inner one the id where the table could tell it.
    pub witnessed: Option<Option<u64>>,
    /// The lease epoch under which it was recorded.
    pub epoch: u64,
    /// Whether it may still land.
    pub state: EffectState,
    /// How often it was looked at since.
    pub probes: u32,
    /// How long ago it was recorded, by the memory's clock.
    pub age: Duration,
}

/// What is noted of a staged source write before its transaction commits: by it a lost answer, or a crash, is
/// judged afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The effect it belongs to.
    pub effect: EffectId,
    /// Whom the row belongs to. For an insert only now known; the effect is held under it from here on.
    pub subject: Subject,
    /// Id of the (sub)transaction that wrote exactly this row; `None` where the table cannot tell.
    pub xid: Option<u64>,
    /// The agreement that holds once it is committed.
    pub after: AfterState,
}

/// What the meta-store answers to a request to record a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Recorded; send it.
    Admitted,
    /// Another write of this subject or item is open; leave the row for a later pass.
    Busy,
    /// The ledger row is not what the decision rested on; look again.
    Stale,
}
