//! What a list column is, as far as syncing cares.

use serde::{Deserialize, Serialize};

/// The most characters a single-line text column holds (contract §12).
pub const SINGLE_LINE_MAX: u32 = 255;
/// The most characters accepted for multi-line text (contract §12; weak evidence, hence a constant to change in one place).
pub const MULTI_LINE_MAX: u32 = 63_999;
/// The largest integer that an IEEE double holds together with all smaller ones.
pub const SAFE_INTEGER: i64 = 9_007_199_254_740_992;

/// The kind of a list column, with the settings that decide which values it takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facet {
    /// One line of text.
    Text {
        /// Most characters, at most [`SINGLE_LINE_MAX`].
        max_length: u32,
    },
    /// Plain text of many lines.
    MultiLine,
    /// An IEEE double, whatever is shown.
    Number {
        /// Digits shown behind the point; absent for automatic.
        decimals: Option<u8>,
    },
    /// True or false; without a value it takes the column's default.
    Boolean,
    /// One of a list of texts.
    Choice {
        /// Allowed texts in their order.
        choices: Vec<String>,
    },
    /// An instant, second precision.
    DateTime,
    /// A day, stored as the site-local midnight.
    DateOnly,
}

impl Facet {
    /// Whether the column can take part in an index of a list.
    #[must_use]
    pub fn is_indexable(&self) -> bool {
        !matches!(self, Facet::MultiLine)
    }
}
