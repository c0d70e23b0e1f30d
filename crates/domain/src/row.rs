//! A source row as it was read: text under fixed session settings, nothing interpreted yet.

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::identity::Key;

/// One cell in the source's raw stable form; `None` is SQL NULL.
pub type Cell = Option<Box<str>>;

/// One row of a source, cut down to what a definition maps.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Addresses the row.
    pub key: Key,
    /// One cell a field, in the order of the mapping's fields.
    pub cells: Vec<Cell>,
    /// The watermark column's raw text; `None` where there is no such column or it is NULL.
    pub watermark: Option<Box<str>>,
}

impl SourceRow {
    /// When the row says it was last changed: its watermark, where that is an instant as our session settings print
    /// one. Other watermarks tell no time.
    #[must_use]
    pub fn changed_at(&self) -> Option<DateTime<Utc>> {
        let raw = self.watermark.as_deref()?;
        let naive = raw.strip_suffix("+00").unwrap_or(raw);
        let at = NaiveDateTime::parse_from_str(naive, "%Y-%m-%d %H:%M:%S%.f").ok()?;
        Some(at.and_utc())
    }
}

impl std::fmt::Debug for SourceRow {
    // Cells never reach a log, so the derived form must not exist.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceRow")
            .field("cells", &self.cells.len())
            .finish_non_exhaustive()
    }
}

/// What a pass says about one side of one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence<T> {
    /// Looked for and not there.
    None,
    /// There, once.
    One(T),
    /// There more than once: parked or merged, never guessed.
    Many(Vec<T>),
    /// Not looked at in this pass: presumed equal to what was agreed.
    Unseen,
}

impl<T> Presence<T> {
    /// The single one, if there is just one.
    pub fn one(&self) -> Option<&T> {
        match self {
            Presence::One(value) => Some(value),
            _ => None,
        }
    }
}
