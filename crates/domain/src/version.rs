//! How new an item is: the pair (guid, counter) that Graph packs into an eTag.
//!
//! The same item is spelt differently by different endpoints (with and without quotes, with braces, in upper
//! case: contract §6), so an eTag is parsed into the pair, the pair is compared, and the text that goes into
//! `If-Match` is written anew.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of one list item. The counter only orders; it may move by itself (DESIGN §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The item's unique id, stable over its life and over a restore from the recycle bin.
    pub guid: Uuid,
    /// Rises by one with every write that the server counts.
    pub counter: u64,
}

/// An eTag that is not `guid,counter` in any known spelling.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an eTag is not of the form \"guid,counter\"")]
pub struct VersionError;

impl Version {
    /// Reads an eTag in any of the spellings that Graph uses.
    ///
    /// # Errors
    /// [`VersionError`] when the text is not a guid and a number around a comma.
    pub fn parse(etag: &str) -> Result<Self, VersionError> {
        let bare = etag.trim().trim_start_matches("W/").trim_matches('"');
        let (guid, counter) = bare.split_once(',').ok_or(VersionError)?;
        let guid = Uuid::try_parse(guid.trim_matches(['{', '}'])).map_err(|_| VersionError)?;
        let counter = counter.parse().map_err(|_| VersionError)?;
        Ok(Self { guid, counter })
    }

    /// The text for an `If-Match` header: quoted, lower case, without braces.
    #[must_use]
    pub fn if_match(&self) -> String {
        format!("\"{self}\"")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.guid.hyphenated(), self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_version_is_the_same_version() {
        let spellings = [
            "\"3d050401-0000-4000-8000-000000000001,3\"",
            "3d050401-0000-4000-8000-000000000001,3",
            "\"{3D050401-0000-4000-8000-000000000001},3\"",
            "W/\"3d050401-0000-4000-8000-000000000001,3\"",
        ];
        for text in spellings {
            let version = Version::parse(text).unwrap();
            assert_eq!(version.counter, 3, "{text}");
            assert_eq!(version.if_match(), spellings[0]);
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "",
            "3",
            "x,3",
            "3d050401-0000-4000-8000-000000000001",
            "3d050401-0000-4000-8000-000000000001,-1",
        ] {
            assert_eq!(Version::parse(text), Err(VersionError), "{text}");
        }
    }
}
