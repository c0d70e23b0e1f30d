//! What a model's table looks like: columns, constraints, triggers.

use std::time::Duration;

use syncbridge_domain::identity::KeyColumn;
use syncbridge_domain::pg_type::PgType;

/// What a column takes where a new row does not name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnDefault {
    /// NULL.
    Null,
    /// This text.
    Text(String),
    /// The next number of a sequence, which never gives a number twice, not even to a row that was refused.
    Sequence,
    /// A fresh UUID.
    Uuid,
    /// The start of the transaction.
    Now,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub pg_type: PgType,
    /// Takes no NULL.
    pub not_null: bool,
    /// Where a new row does not name it.
    pub default: ColumnDefault,
    /// No two rows hold the same value, NULL left out.
    pub unique: bool,
    /// Texts that a CHECK refuses.
    pub refused: Vec<String>,
}

impl Column {
    /// A column that takes everything its type takes, NULL too.
    #[must_use]
    pub fn new(name: impl Into<String>, pg_type: PgType) -> Self {
        Self {
            name: name.into(),
            pg_type,
            not_null: false,
            default: ColumnDefault::Null,
            unique: false,
            refused: Vec::new(),
        }
    }

    /// The same, taking no NULL.
    #[must_use]
    pub fn not_null(self) -> Self {
        Self {
            not_null: true,
            ..self
        }
    }

    /// The same with a default.
    #[must_use]
    pub fn default(self, default: ColumnDefault) -> Self {
        Self { default, ..self }
    }

    /// The same, holding no value twice.
    #[must_use]
    pub fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// The same with a text that a CHECK refuses.
    #[must_use]
    pub fn refuses(mut self, text: impl Into<String>) -> Self {
        self.refused.push(text.into());
        self
    }
}

/// What a table does by itself to every row that is inserted or updated, before constraints are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Writes the column in capitals.
    UpperCase {
        /// Index of the column.
        column: usize,
    },
    /// Stamps the column with the start of the transaction.
    Touch {
        /// Index of the column.
        column: usize,
    },
    /// Raises an error for a row that holds this text.
    Raise {
        /// Index of the column.
        column: usize,
        /// The text.
        text: String,
    },
    /// Raises an error when a transaction commits that wrote a row with this text.
    RaiseAtCommit {
        /// Index of the column.
        column: usize,
        /// The text.
        text: String,
    },
    /// Silently keeps a row that holds this text from being written.
    Swallow {
        /// Index of the column.
        column: usize,
        /// The text.
        text: String,
    },
}

/// When the key is looked at for duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyCheck {
    /// With every statement.
    AtOnce,
    /// With the commit (`DEFERRABLE INITIALLY DEFERRED`), so that two rows may swap their keys.
    AtCommit,
    /// Never: a view.
    Never,
}

/// A table as one definition reads and writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// All columns.
    pub columns: Vec<Column>,
    /// Indices of the key's columns, in the key's order.
    pub key: Vec<usize>,
    /// Indices of the mapped columns, in the order of the mapping's fields.
    pub fields: Vec<usize>,
    /// Indices of passive fields, which a compare-and-set passes over.
    pub passive: Vec<usize>,
    /// Index of the watermark column.
    pub watermark: Option<usize>,
    /// In the order in which they fire.
    pub triggers: Vec<Trigger>,
    /// When the key is looked at.
    pub key_check: KeyCheck,
    /// Whether the reader sees when other sessions began.
    pub sees_sessions: bool,
    /// How far below the clock a ceiling stays where it does not.
    pub overlap: Duration,
    /// Whether a written row tells its transaction (partitioned tables and views do not).
    pub tells_transactions: bool,
}

impl Table {
    /// A plain table: its key unique at once, no watermark, no trigger, other sessions seen.
    #[must_use]
    pub fn new(columns: Vec<Column>, key: Vec<usize>, fields: Vec<usize>) -> Self {
        Self {
            columns,
            key,
            fields,
            passive: Vec::new(),
            watermark: None,
            triggers: Vec::new(),
            key_check: KeyCheck::AtOnce,
            sees_sessions: true,
            overlap: Duration::from_secs(600),
            tells_transactions: true,
        }
    }

    /// The key's columns as identities know them.
    #[must_use]
    pub fn key_columns(&self) -> Vec<KeyColumn> {
        self.key
            .iter()
            .map(|at| KeyColumn {
                name: self.columns[*at].name.clone(),
                pg_type: self.columns[*at].pg_type.clone(),
            })
            .collect()
    }
}
