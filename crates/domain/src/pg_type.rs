//! What a source column is, as far as syncing cares.

use serde::{Deserialize, Serialize};

/// The type of a PostgreSQL column after domains were resolved to their base type.
///
/// Types without a variant of their own are [`PgType::Other`]: their text form under the fixed session
/// settings is what is synchronised.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PgType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric(precision, scale)`; both absent for plain `numeric`.
    Numeric {
        /// Total digits.
        precision: Option<u16>,
        /// Digits behind the point.
        scale: Option<i16>,
    },
    /// `text`
    Text,
    /// `varchar(length)`
    Varchar {
        /// Characters, absent for plain `varchar`.
        length: Option<u32>,
    },
    /// `char(length)`: trailing blanks mean nothing.
    Char {
        /// Characters.
        length: Option<u32>,
    },
    /// `uuid`
    Uuid,
    /// `date`
    Date,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// An enum type.
    Enum {
        /// Schema-qualified, quoted name as PostgreSQL writes it.
        name: String,
        /// Labels in their order.
        labels: Vec<String>,
    },
    /// `money`, read as a numeric with the decimals of the database's `lc_monetary`: its own text form changes
    /// with that setting and cannot be told from another currency's.
    Money,
    /// An array type.
    Array {
        /// Type of the elements, domains resolved.
        element: Box<PgType>,
        /// As `format_type` prints it; valid in a cast.
        name: String,
    },
    /// Any other type, by the name PostgreSQL gives it (`format_type`).
    Other {
        /// As `format_type` prints it; valid in a cast.
        name: String,
    },
}

impl PgType {
    /// The name to use in an SQL cast, as PostgreSQL spells it.
    ///
    /// Length and precision are left out on purpose: a cast to `varchar(3)` silently cuts, and a key that was
    /// cut would address another row.
    #[must_use]
    pub fn cast_name(&self) -> &str {
        match self {
            PgType::Bool => "boolean",
            PgType::Int2 => "smallint",
            PgType::Int4 => "integer",
            PgType::Int8 => "bigint",
            PgType::Float4 => "real",
            PgType::Float8 => "double precision",
            PgType::Numeric { .. } => "numeric",
            PgType::Text => "text",
            PgType::Varchar { .. } => "character varying",
            PgType::Char { .. } => "bpchar",
            PgType::Uuid => "uuid",
            PgType::Date => "date",
            PgType::Timestamp => "timestamp without time zone",
            PgType::TimestampTz => "timestamp with time zone",
            PgType::Money => "money",
            PgType::Enum { name, .. } | PgType::Array { name, .. } | PgType::Other { name } => name,
        }
    }

    /// Version of the text in which cells of this type are read. It enters the stamps of layouts, since another
    /// text has another hash; raise it when the text changes.
    #[must_use]
    pub fn raw_form(&self) -> u8 {
        match self {
            PgType::Money => 2,
            _ => 1,
        }
    }

    /// Labels of an enum, or of the enum that an array holds; empty for other types.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        match self {
            PgType::Enum { labels, .. } => labels,
            PgType::Array { element, .. } => element.labels(),
            _ => &[],
        }
    }

    /// Whether equality of two texts of this type is equality of their characters, blanks included.
    #[must_use]
    pub fn is_textual(&self) -> bool {
        matches!(self, PgType::Text | PgType::Varchar { .. })
    }
}
