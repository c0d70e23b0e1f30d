//! Typed identifiers. Every id is a UUIDv7 shown with a prefix (`def_…`, `run_…`), so that an id pasted into
//! the wrong place is refused instead of silently naming something else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A text that is not an identifier of the expected kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not an id of the form `{prefix}_…`")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
    /// What was given, cut to 64 characters.
    pub text: String,
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix under which this kind of id is shown.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID that is known to be of this kind (read from a typed column).
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID, for a typed column.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = || IdError { prefix: $prefix, text: text.chars().take(64).collect() };
                let rest = text.strip_prefix($prefix).and_then(|r| r.strip_prefix('_')).ok_or_else(wrong)?;
                Uuid::try_parse(rest).map(Self).map_err(|_| wrong())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

// Append-only, alphabetical.
typed_ids! {
    /// An application: who owns a group of databases and definitions.
    ApplicationId = "app";
    /// A field that both sides changed.
    ConflictId = "cfl";
    /// Credentials for one Graph tenant and app registration.
    ConnectionId = "con";
    /// A logical database.
    DatabaseId = "dbs";
    /// One sync.
    DefinitionId = "def";
    /// One external write (DESIGN §6).
    EffectId = "eff";
    /// A physical endpoint of a database.
    InstanceId = "ins";
    /// A saved plan.
    PlanId = "pln";
    /// An immutable revision of a definition.
    RevisionId = "rev";
    /// One execution of a definition.
    RunId = "run";
    /// A workspace; everything belongs to one.
    WorkspaceId = "wsp";
}

impl WorkspaceId {
    /// The workspace that exists from the first migration on.
    pub const DEFAULT: WorkspaceId = WorkspaceId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001));
}

/// Builds the UUIDv7 of a moment: 48 bits of milliseconds, then 74 random bits.
///
/// Time and randomness are arguments so that the engine stays deterministic (DESIGN §15.2).
#[must_use]
pub fn uuid_v7(unix_millis: u64, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_shown_with_its_prefix_and_read_back() {
        let id = RunId::from_uuid(uuid_v7(1_700_000_000_000, [7; 10]));
        let text = id.to_string();
        assert!(text.starts_with("run_"));
        assert_eq!(text.parse::<RunId>().unwrap(), id);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let text = DefinitionId::from_uuid(uuid_v7(1, [0; 10])).to_string();
        assert_eq!(text.parse::<RunId>().unwrap_err().prefix, "run");
    }
}
