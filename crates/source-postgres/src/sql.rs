//! The one place where SQL text is put together.
//!
//! `Sql` accepts only text written in this crate's source, quoted [`Identifier`]s, type names that the
//! server itself printed, and numbers. Values never enter a statement: they are bound. Whoever reviews the
//! crate for injection reads this file and nothing else; `AssertSqlSafe` occurs here only.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;
use syncbridge_domain::failure::{Failure, Scope};

/// Longest name PostgreSQL keeps, in bytes; a longer one would be cut silently and mean another object.
pub const IDENTIFIER_MAX_BYTES: usize = 63;

/// A name of a schema, table or column, checked and quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    quoted: String,
}

impl Identifier {
    /// Checks and quotes a name. Every character but NUL is allowed.
    ///
    /// # Errors
    /// `source.identifier` for an empty name, one with a NUL, or one longer than [`IDENTIFIER_MAX_BYTES`].
    pub fn new(name: &str) -> Result<Self, Failure> {
        let refused = |cause: &str| {
            Err(Failure::new(
                Scope::List,
                "source.identifier",
                format!("a name of a schema, table or column {cause}"),
                "write the name exactly as `\\d` in psql shows it, without quotes",
            ))
        };
        if name.is_empty() {
            return refused("is empty");
        }
        if name.contains('\0') {
            return refused("holds a NUL character");
        }
        if name.len() > IDENTIFIER_MAX_BYTES {
            return refused("is longer than the 63 bytes PostgreSQL keeps");
        }
        Ok(Self {
            quoted: format!("\"{}\"", name.replace('"', "\"\"")),
        })
    }

    /// The name in double quotes, as SQL wants it.
    #[must_use]
    pub fn quoted(&self) -> &str {
        &self.quoted
    }
}

/// A type's name for a cast, as the server's `format_type` printed it in this session: quoted and qualified
/// by the server. It is never taken from a document or the meta-store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CastName(String);

impl CastName {
    /// Takes what `format_type(oid, -1)` answered. Only the catalog reader calls this.
    pub(crate) fn printed_by_the_server(name: String) -> Self {
        Self(name)
    }
}

/// A statement under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql(String);

impl Sql {
    pub(crate) fn new(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn text(&mut self, text: &'static str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    pub(crate) fn name(&mut self, name: &Identifier) -> &mut Self {
        self.0.push_str(&name.quoted);
        self
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        let _ = write!(self.0, "{number}");
        self
    }

    /// `$n::text::type`: a value travels as text and becomes the column's type on the server.
    pub(crate) fn parameter(&mut self, number: usize, cast: &CastName) -> &mut Self {
        let _ = write!(self.0, "${number}::text::");
        self.cast(cast)
    }

    pub(crate) fn cast(&mut self, cast: &CastName) -> &mut Self {
        self.0.push_str(&cast.0);
        self
    }

    pub(crate) fn append(&mut self, other: &Sql) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// Adds each item with `between` as separator.
    pub(crate) fn list<T>(
        &mut self,
        between: &'static str,
        items: impl IntoIterator<Item = T>,
        mut add: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.0.push_str(between);
            }
            add(self, item);
        }
        self
    }

    /// The statement for the driver. Safe by construction, see the module's documentation.
    pub(crate) fn statement(&self) -> AssertSqlSafe<String> {
        AssertSqlSafe(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_quotes_cannot_leave_its_quotes() {
        let name = Identifier::new("Order \"x\"; drop").unwrap();
        assert_eq!(name.quoted(), "\"Order \"\"x\"\"; drop\"");
    }

    #[test]
    fn names_postgresql_would_cut_or_refuse_are_refused_here() {
        for name in ["", "a\0b", &"ä".repeat(32)] {
            assert_eq!(Identifier::new(name).unwrap_err().code, "source.identifier");
        }
        assert!(Identifier::new(&"x".repeat(63)).is_ok());
    }
}
