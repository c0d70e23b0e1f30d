//! What travels: the field mappings of a definition, and the layout in which their hashes are kept.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::facet::Facet;
use crate::identity::KeyColumn;
use crate::pg_type::PgType;
use crate::policy::{ConflictPolicy, Direction, OnForeignEdit};

/// Internal name of the hidden column that carries the sync key in managed lists.
pub const SYNC_KEY_COLUMN: &str = "SyncBridgeKey";
/// Internal name of the column that people know an item by.
pub const TITLE_COLUMN: &str = "Title";
/// Internal name of the column that marks archived items.
pub const STATE_COLUMN: &str = "SyncBridgeState";
/// What that column holds for an item whose row is gone.
pub const ARCHIVED: &str = "archived";

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
                let kind = field.facet.kind().stamp();
                for part in [field.column.as_str(), field.target.as_str(), kind] {
                    hasher.update(&(part.len() as u64).to_be_bytes());
                    hasher.update(part.as_bytes());
                }
                hasher.update(field.pg_type.cast_name().as_bytes());
                // The first raw form leaves no trace, so that stamps from before there were others still hold.
                let raw_form = field.pg_type.raw_form();
                if raw_form > 1 {
                    hasher.update(&[0, raw_form]);
                }
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

    /// The first field that is a day, for which the site's time zone has to be known.
    #[must_use]
    pub fn day_field(&self) -> Option<&FieldMapping> {
        self.fields.iter().find(|field| field.facet == Facet::DateOnly)
    }

    /// Index of the field on `Title`, if one is mapped there.
    #[must_use]
    pub fn title_field(&self) -> Option<usize> {
        self.fields.iter().position(|field| field.target == TITLE_COLUMN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(column: &str, pg_type: PgType, facet: Facet) -> FieldMapping {
        FieldMapping {
            column: column.into(),
            pg_type,
            nullable: true,
            target: column.to_uppercase(),
            display_name: column.into(),
            facet,
            direction: Direction::Push,
            passive: column == "changed",
            conflict: None,
            on_foreign_edit: None,
        }
    }

    fn mapping(fields: Vec<FieldMapping>) -> Mapping {
        Mapping {
            key: Vec::new(),
            fields,
            title: TitleRule::Key,
            time_zone: Tz::UTC,
        }
    }

    const GOLDEN: [u64; 9] = [
        17_864_963_801_293_458_755,
        4_382_331_076_656_692_767,
        17_181_820_561_315_566_310,
        9_666_636_642_078_600_866,
        2_360_248_187_042_278_314,
        11_145_327_971_647_126_158,
        2_219_133_583_983_806_790,
        12_848_464_733_495_042_573,
        12_473_526_705_118_552_187,
    ];
    const GOLDEN_LAYOUT: u32 = 138_319_945;

    /// Stamps stand in every ledger. If this test fails, every agreed hash of every definition would be unknown.
    #[test]
    fn stamps_of_layouts_are_what_they_have_always_been() {
        let enumeration = PgType::Enum {
            name: "s.state".into(),
            labels: vec!["a".into()],
        };
        let numeric = PgType::Numeric {
            precision: Some(9),
            scale: Some(2),
        };
        let other = PgType::Other {
            name: "interval".into(),
        };
        let before = mapping(vec![
            field("a", PgType::Text, Facet::Text { max_length: 9 }),
            field("b", PgType::Text, Facet::MultiLine),
            field("c", numeric, Facet::Number { decimals: Some(2) }),
            field("d", PgType::Bool, Facet::Boolean),
            field(
                "e",
                enumeration,
                Facet::Choice {
                    choices: vec!["a".into()],
                },
            ),
            field("f", PgType::TimestampTz, Facet::DateTime),
            field("g", PgType::Date, Facet::DateOnly),
            field("h", other, Facet::MultiLine),
            field("changed", PgType::Timestamp, Facet::DateTime),
        ]);
        assert_eq!(before.field_stamps(), GOLDEN);
        assert_eq!(before.layout(), LayoutStamp(GOLDEN_LAYOUT));
    }

    #[test]
    fn another_kind_and_another_raw_form_are_another_stamp_and_settings_are_not() {
        let stamp = |pg_type, facet| mapping(vec![field("a", pg_type, facet)]).field_stamps()[0];
        let choice = |texts: &[&str]| Facet::Choice {
            choices: texts.iter().map(|text| (*text).to_owned()).collect(),
        };
        let several = Facet::MultiChoice {
            choices: vec!["a".into()],
        };
        assert_eq!(
            stamp(PgType::Text, choice(&["a"])),
            stamp(PgType::Text, choice(&["a", "b"]))
        );
        assert_ne!(stamp(PgType::Text, choice(&["a"])), stamp(PgType::Text, several));
        let spelled_alike = PgType::Other { name: "money".into() };
        assert_ne!(
            stamp(PgType::Money, Facet::MultiLine),
            stamp(spelled_alike, Facet::MultiLine),
            "money was read in another form"
        );
        let list = |element: PgType| PgType::Array {
            element: Box::new(element),
            name: "text[]".into(),
        };
        let as_before = PgType::Other {
            name: "text[]".into(),
        };
        assert_eq!(
            stamp(list(PgType::Text), Facet::MultiLine),
            stamp(as_before, Facet::MultiLine),
            "an array is read as it was"
        );
    }
}
