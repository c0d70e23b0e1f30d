//! One key for all values of a definition: opened once, then used for thousands of values.
//!
//! Bytes of format 1: `0xD1`, 16 random bytes of salt, then nonce, ciphertext and tag. The key of a value is
//! derived from the data key and the salt, so that random nonces stay safe for any number of values; AES-GCM
//! under a single key would have to stop at 2³².

use std::fmt;

use zeroize::Zeroizing;

use crate::cipher::{KEY, NONCE, TAG, open, random, seal_into};
use crate::envelope::Keyring;
use crate::error::{OpenError, SealError};
use crate::place::Place;

const FORMAT_1: u8 = 0xD1;
const SALT: usize = 16;

/// Seals and opens values. Wiped from memory when dropped.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; KEY]>);

impl DataKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// [`SealError::Randomness`].
    pub fn generate() -> Result<Self, SealError> {
        random()
            .map(|bytes| Self(Zeroizing::new(bytes)))
            .ok_or(SealError::Randomness)
    }

    /// The key as an envelope, for storage.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn wrap(&self, ring: &Keyring, place: &Place) -> Result<Vec<u8>, SealError> {
        ring.seal(place, self.0.as_slice())
    }

    /// Opens a stored key.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn from_wrapped(ring: &Keyring, place: &Place, sealed: &[u8]) -> Result<Self, OpenError> {
        let opened = ring.open(place, sealed)?;
        let mut bytes = Zeroizing::new([0; KEY]);
        if opened.len() != KEY {
            return Err(OpenError::CutShort);
        }
        bytes.copy_from_slice(&opened);
        Ok(Self(bytes))
    }

    fn value_key(&self, salt: &[u8; SALT]) -> Zeroizing<[u8; KEY]> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"syncbridge value key v1");
        hasher.update(salt);
        Zeroizing::new(*hasher.finalize().as_bytes())
    }

    /// Seals a value for a place.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, place: &Place, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let salt: [u8; SALT] = random().ok_or(SealError::Randomness)?;
        let mut out = Vec::with_capacity(1 + SALT + NONCE + plain.len() + TAG);
        out.push(FORMAT_1);
        out.extend_from_slice(&salt);
        seal_into(&mut out, &self.value_key(&salt), place.bytes(), plain)?;
        Ok(out)
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (&format, rest) = sealed.split_first().ok_or(OpenError::CutShort)?;
        if format != FORMAT_1 {
            return Err(OpenError::UnknownFormat { format });
        }
        let (salt, text) = rest.split_first_chunk::<SALT>().ok_or(OpenError::CutShort)?;
        open(&self.value_key(salt), place.bytes(), text)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::master_key::MasterKey;

    fn place(subject: &[u8]) -> Place {
        Place::new("effects.sent")
            .with("workspace")
            .with("definition")
            .with(subject)
    }

    #[test]
    fn a_wrapped_key_opens_what_the_original_sealed() {
        let ring = Keyring::single(MasterKey::from_bytes([7; 32]));
        let at = Place::new("definitions.data_key").with("def 1");
        let key = DataKey::generate().unwrap();
        let again = DataKey::from_wrapped(&ring, &at, &key.wrap(&ring, &at).unwrap()).unwrap();
        let sealed = key.seal(&place(b"1"), b"value").unwrap();
        assert_eq!(again.open(&place(b"1"), &sealed).unwrap().as_slice(), b"value");
        let moved = DataKey::from_wrapped(&ring, &Place::new("elsewhere"), &key.wrap(&ring, &at).unwrap());
        assert_eq!(moved.unwrap_err(), OpenError::Refused);
    }

    #[test]
    fn an_envelope_of_another_length_is_no_data_key() {
        let ring = Keyring::single(MasterKey::from_bytes([7; 32]));
        let at = Place::new("x");
        let sealed = ring.seal(&at, b"short").unwrap();
        assert_eq!(
            DataKey::from_wrapped(&ring, &at, &sealed).unwrap_err(),
            OpenError::CutShort
        );
    }

    #[test]
    fn another_key_is_refused() {
        let sealed = DataKey::generate().unwrap().seal(&place(b"1"), b"value").unwrap();
        let other = DataKey::generate().unwrap();
        assert_eq!(other.open(&place(b"1"), &sealed).unwrap_err(), OpenError::Refused);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(
            format!("{:?}", DataKey(Zeroizing::new([0xAB; 32]))),
            "DataKey(..)"
        );
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_only_for_its_subject(
            plain in proptest::collection::vec(any::<u8>(), 0..300),
            subject in any::<[u8; 4]>(),
            other in any::<[u8; 4]>(),
        ) {
            let key = DataKey(Zeroizing::new([3; 32]));
            let sealed = key.seal(&place(&subject), &plain).unwrap();
            let opened = key.open(&place(&subject), &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
            prop_assert_eq!(key.open(&place(&other), &sealed).is_ok(), subject == other);
        }

        #[test]
        fn a_flipped_bit_anywhere_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let key = DataKey(Zeroizing::new([3; 32]));
            let mut sealed = key.seal(&place(b"1"), b"a value").unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(key.open(&place(b"1"), &sealed).is_err());
        }
    }
}
