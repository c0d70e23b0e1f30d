//! What a source table looks like, as far as syncing cares.

use serde::{Deserialize, Serialize};

use crate::pg_type::PgType;

/// A table or view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableShape {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// What its owner wrote about it.
    pub comment: Option<String>,
    /// About how many rows; 0 unknown.
    pub estimated_rows: u64,
    /// Columns in their order.
    pub columns: Vec<ColumnShape>,
    /// Primary key columns in their order; empty without one.
    pub primary_key: Vec<String>,
    /// Unique constraints whose columns are all NOT NULL.
    pub unique_keys: Vec<Vec<String>>,
    /// Whether such a relation can have constraints at all; of views and foreign tables a person's word is taken.
    pub enforces_keys: bool,
    /// Findings that do not stand in the way but should be known.
    pub remarks: Vec<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnShape {
    /// Name.
    pub name: String,
    /// Type, domains resolved.
    pub pg_type: PgType,
    /// Whether it takes NULL.
    pub nullable: bool,
    /// Whether the database computes it.
    pub generated: bool,
    /// What its owner wrote about it.
    pub comment: Option<String>,
}

impl TableShape {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnShape> {
        self.columns.iter().find(|column| column.name == name)
    }
}
