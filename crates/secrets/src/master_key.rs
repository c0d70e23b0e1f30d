//! The key that seals all other keys. It lives in the environment or a file, never in the database.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::cipher::{KEY, random};
use crate::error::KeyError;

/// Names a master key without telling anything about it: derived from the key, so that nobody has to number
/// keys and a ring always knows which of its keys sealed a text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 32 secret bytes, wiped from memory when dropped.
pub struct MasterKey {
    id: KeyId,
    bytes: Zeroizing<[u8; KEY]>,
}

impl MasterKey {
    /// Draws a new key from the operating system.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self::from_bytes(random().ok_or(KeyError::Randomness)?))
    }

    /// Takes 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let digest = blake3::derive_key("syncbridge 2026 master key id v1", bytes.as_slice());
        Self {
            id: KeyId([digest[0], digest[1], digest[2], digest[3]]),
            bytes,
        }
    }

    /// Reads base64, with or without white space around it.
    ///
    /// # Errors
    /// [`KeyError::NotBase64`] and [`KeyError::Length`].
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::NotBase64)?);
        let bytes: [u8; KEY] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| KeyError::Length { length: bytes.len() })?;
        Ok(Self::from_bytes(bytes))
    }

    /// Reads a file that holds base64.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::NotBase64`], [`KeyError::Length`].
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(|source| KeyError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::from_base64(&Zeroizing::new(text))
    }

    /// The key as base64, for the one file or variable that is to hold it.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.as_slice()))
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY] {
        &self.bytes
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_base64_and_from_a_file() {
        let key = MasterKey::generate().unwrap();
        let again = MasterKey::from_base64(&format!("  {}\n", key.to_base64().as_str())).unwrap();
        assert_eq!(key.bytes(), again.bytes());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{}", key.to_base64().as_str()).unwrap();
        assert_eq!(MasterKey::from_file(file.path()).unwrap().id(), key.id());
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_next_step() {
        assert!(matches!(
            MasterKey::from_base64("not base64!"),
            Err(KeyError::NotBase64)
        ));
        let short = MasterKey::from_base64("AAAA").unwrap_err();
        assert!(matches!(short, KeyError::Length { length: 3 }));
        assert!(short.to_string().contains("openssl rand -base64 32"));
        let missing = MasterKey::from_file(Path::new("no/such/file")).unwrap_err();
        assert!(missing.to_string().contains("no/such/file"));
    }

    #[test]
    fn two_generated_keys_differ() {
        assert_ne!(
            MasterKey::generate().unwrap().bytes(),
            MasterKey::generate().unwrap().bytes()
        );
    }

    #[test]
    fn debug_shows_only_the_name_of_a_key() {
        let key = MasterKey::from_bytes([0xAB; 32]);
        assert_eq!(format!("{key:?}"), format!("MasterKey({})", key.id()));
        assert!(!format!("{key:?}").contains("abab"));
    }
}
