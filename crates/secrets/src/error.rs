//! Why a key is no key, and why sealing or opening failed. None of these carries a byte of what was sealed.

use std::path::PathBuf;

use crate::master_key::KeyId;

/// Why no master key could be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither variable is set.
    #[error(
        "no master key: set {variable} to 32 random bytes in base64, or {variable}_FILE to a file that holds them"
    )]
    Missing {
        /// The environment variable that was looked for.
        variable: String,
    },
    /// The text is not base64.
    #[error("the master key is not base64; make one with `openssl rand -base64 32`")]
    NotBase64,
    /// The bytes are too few or too many.
    #[error("a master key has 32 bytes, this one has {length}; make one with `openssl rand -base64 32`")]
    Length {
        /// How many bytes there were.
        length: usize,
    },
    /// The same key twice in one ring, or an empty ring.
    #[error("a keyring needs at least one key and no key twice")]
    Ring,
    /// The file could not be read.
    #[error("cannot read the master key from {path}: {source}; check that the file exists and is readable")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
}

/// Why something could not be sealed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
    /// AES-GCM takes no text of this length.
    #[error("too long to be sealed")]
    TooLong,
}

/// Why a sealed text did not open.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// The first byte names no format that this version knows.
    #[error("sealed in a format that this version does not know ({format}); upgrade SyncBridge")]
    UnknownFormat {
        /// The byte.
        format: u8,
    },
    /// Too short to be anything.
    #[error("a sealed value is cut short; restore it from a backup or enter it again")]
    CutShort,
    /// The ring does not hold the key.
    #[error("sealed with master key {key}, which is not in the keyring; add that key to the ring")]
    UnknownKey {
        /// The key that was used.
        key: KeyId,
    },
    /// The bytes were changed, belong to another place, or were sealed with another key.
    #[error(
        "a sealed value does not open: it was changed, moved from another row, or sealed with another key"
    )]
    Refused,
}
