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
    /// Any number of a list of texts at once.
    MultiChoice {
        /// Allowed texts in their order.
        choices: Vec<String>,
    },
    /// An instant, second precision.
    DateTime,
    /// A day, stored as the site-local midnight.
    DateOnly,
}

/// A kind of list column without its settings: what a person asks for, and the part of a facet that changes what
/// is stored for a value. A longer choice list or a larger maximum is no other kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FacetKind {
    /// One line of text.
    Text,
    /// Plain text of many lines.
    MultiLine,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// One of a list of texts.
    Choice,
    /// Any number of a list of texts.
    MultiChoice,
    /// An instant.
    DateTime,
    /// A day.
    DateOnly,
}

impl FacetKind {
    /// The word that documents use for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            FacetKind::Text => "text",
            FacetKind::MultiLine => "multiline",
            FacetKind::Number => "number",
            FacetKind::Boolean => "boolean",
            FacetKind::Choice => "choice",
            FacetKind::MultiChoice => "multichoice",
            FacetKind::DateTime => "datetime",
            FacetKind::DateOnly => "date",
        }
    }

    /// The name that enters the stamps of layouts. Never change one: every agreed hash would become unknown.
    pub(crate) fn stamp(self) -> &'static str {
        match self {
            FacetKind::Text => "Text",
            FacetKind::MultiLine => "MultiLine",
            FacetKind::Number => "Number",
            FacetKind::Boolean => "Boolean",
            FacetKind::Choice => "Choice",
            FacetKind::MultiChoice => "MultiChoice",
            FacetKind::DateTime => "DateTime",
            FacetKind::DateOnly => "DateOnly",
        }
    }
}

impl Facet {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> FacetKind {
        match self {
            Facet::Text { .. } => FacetKind::Text,
            Facet::MultiLine => FacetKind::MultiLine,
            Facet::Number { .. } => FacetKind::Number,
            Facet::Boolean => FacetKind::Boolean,
            Facet::Choice { .. } => FacetKind::Choice,
            Facet::MultiChoice { .. } => FacetKind::MultiChoice,
            Facet::DateTime => FacetKind::DateTime,
            Facet::DateOnly => FacetKind::DateOnly,
        }
    }

    /// Whether the column can take part in an index of a list.
    #[must_use]
    pub fn is_indexable(&self) -> bool {
        !matches!(self, Facet::MultiLine | Facet::MultiChoice { .. })
    }
}
