//! What a list itself knows of its items: their number, when they were made and changed, and by whom.
//!
//! Nobody but the service writes these, and it writes some of them with every write of ours. So they travel to the
//! source only, with other values, and never cause a write: one that did would answer itself for ever.

use serde::{Deserialize, Serialize};

use crate::facet::{Facet, SINGLE_LINE_MAX};

/// A built-in column of every list whose value can be taken into the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SystemField {
    /// The item's number.
    #[serde(rename = "ID")]
    Id,
    /// When the item was made.
    Created,
    /// When it was last changed.
    Modified,
    /// Who made it: the number of an entry in the site's list of users.
    Author,
    /// Who changed it last, as `Author`.
    Editor,
}

impl SystemField {
    /// Every one.
    pub const ALL: [SystemField; 5] = [
        SystemField::Id,
        SystemField::Created,
        SystemField::Modified,
        SystemField::Author,
        SystemField::Editor,
    ];

    /// Internal name of the column.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            SystemField::Id => "ID",
            SystemField::Created => "Created",
            SystemField::Modified => "Modified",
            SystemField::Author => "Author",
            SystemField::Editor => "Editor",
        }
    }

    /// The key under which the values of an item show it (contract §6).
    #[must_use]
    pub const fn shown_as(self) -> &'static str {
        match self {
            SystemField::Id => "id",
            SystemField::Created => "Created",
            SystemField::Modified => "Modified",
            SystemField::Author => "AuthorLookupId",
            SystemField::Editor => "EditorLookupId",
        }
    }

    /// The one that is shown under this key.
    #[must_use]
    pub fn shown_under(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.shown_as() == key)
    }

    /// What kind of value it is; numbers are told as texts.
    #[must_use]
    pub const fn facet(self) -> Facet {
        match self {
            SystemField::Created | SystemField::Modified => Facet::DateTime,
            SystemField::Id | SystemField::Author | SystemField::Editor => Facet::Text {
                max_length: SINGLE_LINE_MAX,
            },
        }
    }
}
