//! Single attempts and what they answered (DESIGN §14). Every write ends in exactly one of three ways.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::identity::{Identity, Key, SyncKey};
use crate::quota::{Ru, WhyTag};
use crate::version::Version;

/// A list item's number, as Graph spells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ItemId(pub String);

impl std::fmt::Display for ItemId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Values by internal column name.
pub type Fields = BTreeMap<String, Json>;

/// One write to a list, to be tried once.
#[derive(Clone, PartialEq)]
pub enum Write {
    /// A new item. `fields` already hold the sync key.
    Create {
        /// Values, `SyncBridgeKey` among them.
        fields: Fields,
    },
    /// Changed columns of an item.
    Patch {
        /// Which item.
        item: ItemId,
        /// The version the decision rests on.
        expected: Version,
        /// Changed columns only.
        fields: Fields,
    },
    /// An item goes to the recycle bin.
    Delete {
        /// Which item.
        item: ItemId,
        /// The version the decision rests on.
        expected: Version,
    },
}

impl std::fmt::Debug for Write {
    // Fields are row values and never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Write::Create { fields } => write!(f, "Create({} fields)", fields.len()),
            Write::Patch {
                item,
                expected,
                fields,
            } => write!(f, "Patch({item} at {expected}, {} fields)", fields.len()),
            Write::Delete { item, expected } => write!(f, "Delete({item} at {expected})"),
        }
    }
}

/// A write with the reason it is made for.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggedWrite {
    /// What to write.
    pub write: Write,
    /// Why.
    pub why: WhyTag,
}

/// An item as the list returned it.
#[derive(Clone, PartialEq)]
pub struct Item {
    /// Its number.
    pub id: ItemId,
    /// How new it is.
    pub version: Version,
    /// The columns that were returned. A missing key is *unseen* unless [`Item::complete`] says otherwise.
    pub fields: Fields,
    /// Whether every mapped, visible column that holds a value is among `fields`, so that a missing key is null.
    pub complete: bool,
    /// Whether the sync key would be among `fields` if the item had one: its column is hidden, and an answer shows it
    /// only where it was asked for by name.
    pub shows_key: bool,
    /// When it was last changed, by the service's clock; `None` where the answer does not say.
    pub modified: Option<DateTime<Utc>>,
    /// Whether this very app wrote the newest version; `None` where the answer does not say.
    pub by_us: Option<bool>,
}

impl Item {
    /// The sync key, where it was returned.
    #[must_use]
    pub fn sync_key(&self) -> Option<&str> {
        self.fields
            .get(crate::mapping::SYNC_KEY_COLUMN)
            .and_then(Json::as_str)
    }

    /// What the list says about one column: `None` is unseen.
    #[must_use]
    pub fn value(&self, column: &str) -> Option<&Json> {
        match self.fields.get(column) {
            Some(value) => Some(value),
            None if self.complete || crate::sabotaged!("missing field read as null") => Some(&Json::Null),
            None => None,
        }
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Item({} at {}, {} fields)",
            self.id,
            self.version,
            self.fields.len()
        )
    }
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Receipt {
    /// It happened. For a delete, `item` is `None`.
    Applied {
        /// What the list now holds, as far as it said.
        item: Option<Item>,
        /// Graph's `request-id`.
        request_id: Option<String>,
    },
    /// It certainly did not happen, and this request will not make it happen later.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// It may have happened, or may still happen.
    Unknown {
        /// What was seen instead of an answer.
        failure: Failure,
    },
}

/// Code of a [`Refusal::NotSent`] whose only cause is that the deadline had passed: the same write may be sent
/// again at once, with a later deadline.
pub const DEADLINE_PASSED: &str = "graph.deadline";

/// Codes of a [`Refusal::Failed`] that is about the values of the write and may leave out which of them: the list
/// would take the row without them.
pub const VALUES_REFUSED: [&str; 3] = [
    "graph.invalid_request",
    "graph.general_exception",
    "graph.unprocessable",
];

/// Why a write certainly did not happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// The item had moved on (412, or 409 in its eTag meaning).
    Precondition,
    /// The item is not there (404 on the item while the list answers).
    Gone,
    /// A unique column already holds this value.
    Duplicate(Failure),
    /// Too much; nothing is to be sent before this long.
    Throttled(Duration),
    /// The request never left this machine or the deadline had passed.
    NotSent(Failure),
    /// Anything else, classified.
    Failed(Failure),
}

/// What a row's item is recognised by, in either form a list may keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowName {
    /// The text in the sync key's column.
    pub sync_key: SyncKey,
    /// The row's key, for lists that hold it in a column of their own.
    pub key: Key,
}

impl RowName {
    /// The name of a row.
    #[must_use]
    pub fn of(identity: Identity, key: &Key) -> Self {
        Self {
            sync_key: SyncKey::of(identity),
            key: key.clone(),
        }
    }
}

/// What a lookup by sync key found.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// One item.
    One(Item),
    /// Several: the column is not unique after all.
    Many(Vec<Item>),
    /// None. For a create that may still land this is no proof.
    Empty,
    /// No readable answer.
    Unknown(Failure),
}

/// What reading one item by its number found.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemRead {
    /// It is there.
    One(Item),
    /// The list answers and the item is not there, or not for us.
    Gone,
    /// No readable answer.
    Unknown(Failure),
}

/// A page of a whole list.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemPage {
    /// Items in the list's order.
    pub items: Vec<Item>,
    /// Where the next page begins; opaque, followed verbatim.
    pub next: Option<String>,
}

/// What one write costs.
#[must_use]
pub fn cost(write: &Write) -> Ru {
    match write {
        Write::Create { .. } | Write::Patch { .. } | Write::Delete { .. } => Ru::WRITE,
    }
}
