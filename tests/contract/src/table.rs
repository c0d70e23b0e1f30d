//! The table that the cases about a source work on, as a wish that a world makes true in its own way.
//!
//! | column | what it is |
//! |---|---|
//! | `k` | the key, see [`KeyKind`] |
//! | `name` | text, NOT NULL, never `forbidden` |
//! | `code` | varchar(5), no value twice |
//! | `price` | numeric(10,2) |
//! | `note` | text |
//! | `seen` | the watermark, see [`WatermarkKind`] |

use syncbridge_domain::identity::{Key, KeyColumn, encode_key};
use syncbridge_domain::pg_type::PgType;

/// Mapped columns in the order of the mapping's fields.
pub const FIELDS: [&str; 5] = ["k", "name", "code", "price", "note"];

/// A name that the CHECK on `name` refuses.
pub const FORBIDDEN: &str = "forbidden";

/// A note that a trigger raises an error for, where there is one.
pub const RAISED: &str = "raise";

/// A note for which a trigger keeps the row from being written, where there is one.
pub const SWALLOWED: &str = "swallow";

/// A note that a trigger raises an error for when the transaction commits, where there is one.
pub const RAISED_LATE: &str = "raise late";

/// What the key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Text under a collation of people: `a`, `A`, `b`, `B`.
    Text,
    /// A bigint that a sequence fills.
    Number,
    /// A UUID with a default.
    Uuid,
}

impl KeyKind {
    /// The key's type.
    #[must_use]
    pub fn pg_type(self) -> PgType {
        match self {
            KeyKind::Text => PgType::Text,
            KeyKind::Number => PgType::Int8,
            KeyKind::Uuid => PgType::Uuid,
        }
    }

    /// The key of a row, from its text.
    #[must_use]
    pub fn key(self, text: &str) -> Key {
        let column = KeyColumn {
            name: "k".into(),
            pg_type: self.pg_type(),
        };
        encode_key(&[column], &[Some(text)]).expect("a text of the key's type")
    }
}

/// What the watermark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatermarkKind {
    /// There is none.
    None,
    /// A `timestamptz`.
    Instant,
    /// A bigint.
    Number,
}

/// What a table is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableWish {
    /// Its key.
    pub key: KeyKind,
    /// Its watermark.
    pub watermark: WatermarkKind,
    /// A trigger writes names in capitals.
    pub upper_case_names: bool,
    /// A trigger stamps `seen` with the start of the transaction; for instants only.
    pub touches_seen: bool,
    /// Triggers mind [`RAISED`], [`SWALLOWED`] and [`RAISED_LATE`].
    pub minds_notes: bool,
    /// The key is looked at with the commit only.
    pub deferred_key: bool,
    /// Nobody else may be on the server, because its transaction ids and sessions matter.
    pub alone: bool,
}

impl TableWish {
    /// A table with this key and nothing special.
    #[must_use]
    pub fn new(key: KeyKind) -> Self {
        Self {
            key,
            watermark: WatermarkKind::None,
            upper_case_names: false,
            touches_seen: false,
            minds_notes: false,
            deferred_key: false,
            alone: false,
        }
    }

    /// The same with a watermark.
    #[must_use]
    pub fn watermark(self, watermark: WatermarkKind) -> Self {
        Self { watermark, ..self }
    }

    /// The same with nobody else on the server.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }
}
