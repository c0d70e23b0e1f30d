//! What travels: the field mappings of a definition, and the layout in which their hashes are kept.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::facet::Facet;
use crate::identity::KeyColumn;
use crate::pg_type::PgType;
use crate::policy::{ConflictPolicy, Direction, OnForeignEdit};

/// Internal name of the hidden column that carries the sync key in managed lists.
pub const SYNC_KEY_COLUMN: &str = "SyncBridgeKey";
/// Internal name of the column that marks archived items.
pub const STATE_COLUMN: &str = "SyncBridgeState";

/// One column ↔ one list column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMapping {
    /// Column of the source.
    pub column: String,
    /// Type of that column.
    pub pg_type: PgType,
    /// Whether the column takes NULL.
    pub nullable: bool,
    /// Internal name of the list column.
    pub target: String,
    /// Name people see.
    pub display_name: String,
    /// Kind of the list column.
    pub facet: Facet,
    /// Which way it travels.
    pub direction: Direction,
    /// Travels with other writes, never causes one.
    pub passive: bool,
    /// Overrides the definition's policy.
    pub conflict: Option<ConflictPolicy>,
    /// Overrides the definition's policy.
    pub on_foreign_edit: Option<OnForeignEdit>,
}

/// What the list's `Title` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TitleRule {
    /// A field is mapped onto it.
    Mapped,
    /// Filled at creation with the key's texts, so that no item is nameless.
    Key,
}

/// All mappings of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Key columns of the source in their order.
    pub key: Vec<KeyColumn>,
    /// Mapped fields; their order is the layout of the hashes.
    pub fields: Vec<FieldMapping>,
    /// What `Title` shows.
    pub title: TitleRule,
    /// Time zone of the site, needed for date-only columns.
    pub time_zone: Tz,
}

/// Names one arrangement of hashes in a ledger row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LayoutStamp(pub u32);

impl Mapping {
    /// One stamp a field: everything that decides which bytes are hashed for it on either side.
    #[must_use]
    pub fn field_stamps(&self) -> Vec<u64> {
        self.fields
            .iter()
            .map(|field| {
                let mut hasher = blake3::Hasher::new();
                for part in [
                    &field.column,
                    &field.target,
                    &format!("{:?}", FacetFamily::of(&field.facet)),
                ] {
                    hasher.update(&(part.len() as u64).to_be_bytes());
                    hasher.update(part.as_bytes());
                }
                hasher.update(field.pg_type.cast_name().as_bytes());
                let mut eight = [0; 8];
                eight.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
                u64::from_be_bytes(eight)
            })
            .collect()
    }

    /// The stamp of this mapping's layout; equal for mappings that keep the same hashes in the same order.
    #[must_use]
    pub fn layout(&self) -> LayoutStamp {
        let mut hasher = blake3::Hasher::new();
        for (field, stamp) in self.fields.iter().zip(self.field_stamps()) {
            hasher.update(&stamp.to_be_bytes());
            hasher.update(&[u8::from(field.passive)]);
        }
        let bytes = hasher.finalize();
        let bytes = bytes.as_bytes();
        LayoutStamp(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Index of the field on `Title`, if one is mapped there.
    #[must_use]
    pub fn title_field(&self) -> Option<usize> {
        self.fields.iter().position(|field| field.target == "Title")
    }
}

/// The part of a facet that changes what is stored for a value; a longer choice list or a larger maximum does
/// not make agreed hashes unknown.
#[derive(Debug)]
enum FacetFamily {
    Text,
    MultiLine,
    Number,
    Boolean,
    Choice,
    DateTime,
    DateOnly,
}

impl FacetFamily {
    fn of(facet: &Facet) -> Self {
        match facet {
            Facet::Text { .. } => FacetFamily::Text,
            Facet::MultiLine => FacetFamily::MultiLine,
            Facet::Number { .. } => FacetFamily::Number,
            Facet::Boolean => FacetFamily::Boolean,
            Facet::Choice { .. } => FacetFamily::Choice,
            Facet::DateTime => FacetFamily::DateTime,
            Facet::DateOnly => FacetFamily::DateOnly,
        }
    }
}
