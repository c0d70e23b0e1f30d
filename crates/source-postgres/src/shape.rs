//! What is to be read of a table, as the definition says it.

use std::time::Duration;

use syncbridge_domain::identity::KeyColumn;
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::run::{SourceSpec, WatermarkColumn};

/// A table or view, by the names as they are (no quotes, case kept).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableRef {
    /// Schema.
    pub schema: String,
    /// Table or view.
    pub table: String,
}

impl TableRef {
    /// Names a table.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            table: table.into(),
        }
    }
}

impl std::fmt::Display for TableRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}.{}`", self.schema, self.table)
    }
}

/// A mapped column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadColumn {
    /// Its name.
    pub name: String,
    /// Its type when the definition was made.
    pub pg_type: PgType,
}

/// What to read, and how much of a cell at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadShape {
    /// Key columns in their order.
    pub key: Vec<KeyColumn>,
    /// Mapped columns in the order of the mapping's fields; [`SourceRow::cells`] has this order.
    ///
    /// [`SourceRow::cells`]: syncbridge_domain::row::SourceRow::cells
    pub columns: Vec<ReadColumn>,
    /// Indexes of the columns that travel with other writes and never cause one. A row that differs from what a
    /// decision rested on in these alone has not moved.
    pub passive: Vec<usize>,
    /// Watermark column, for watermark feeds.
    pub watermark: Option<WatermarkColumn>,
    /// How far below the clock a ceiling stays where other sessions cannot be seen.
    pub overlap: Duration,
    /// Most bytes of one cell; see [`CELL_MAX_BYTES`].
    pub cell_max_bytes: u32,
}

/// Overlap where nobody chose one.
pub const OVERLAP: Duration = Duration::from_secs(600);

/// Most bytes of one cell where nobody chose otherwise: more than any list column takes (63,999 UTF-16 units
/// are at most 192 KiB of UTF-8). A larger cell is cut on the server and ends in its length and MD5, so that
/// one monstrous cell cannot fill our memory, its changes are still noticed, and the conversion refuses the
/// row as too long.
pub const CELL_MAX_BYTES: u32 = 256 * 1024;

impl ReadShape {
    /// A shape with the usual limits.
    #[must_use]
    pub fn new(key: Vec<KeyColumn>, columns: Vec<ReadColumn>, watermark: Option<WatermarkColumn>) -> Self {
        Self {
            key,
            columns,
            passive: Vec::new(),
            watermark,
            overlap: OVERLAP,
            cell_max_bytes: CELL_MAX_BYTES,
        }
    }

    /// The shape a definition asks for.
    #[must_use]
    pub fn of(mapping: &Mapping, source: &SourceSpec) -> Self {
        let passive = (0..mapping.fields.len())
            .filter(|at| mapping.fields[*at].passive)
            .collect();
        let columns = mapping
            .fields
            .iter()
            .map(|field| ReadColumn {
                name: field.column.clone(),
                pg_type: field.pg_type.clone(),
            })
            .collect();
        Self {
            passive,
            ..Self::new(mapping.key.clone(), columns, source.watermark.clone())
        }
    }
}

impl From<&SourceSpec> for TableRef {
    fn from(source: &SourceSpec) -> Self {
        Self::new(&source.schema, &source.table)
    }
}
