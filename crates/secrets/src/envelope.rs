//! Envelopes: a text under a data key of its own, the data key under a master key.
//!
//! Bytes of format 1: `0xE1`, 4 bytes key id, 60 bytes sealed data key (nonce, 32 bytes, tag), then nonce,
//! ciphertext and tag of the text. Both halves take the same associated data (header and [`Place`]), each with
//! a word of its own so that one can never stand for the other.

use std::fmt;

use zeroize::Zeroizing;

use crate::cipher::{KEY, NONCE, TAG, open, random, seal_into};
use crate::error::{KeyError, OpenError, SealError};
use crate::master_key::{KeyId, MasterKey};
use crate::place::Place;

const FORMAT_1: u8 = 0xE1;
const HEADER: usize = 5;
const WRAPPED: usize = NONCE + KEY + TAG;

/// One or more master keys. The first seals; all of them open, so that a key can be replaced without
/// re-sealing everything at once.
#[derive(Debug)]
pub struct Keyring {
    keys: Vec<MasterKey>,
}

impl Keyring {
    /// A ring of one key.
    #[must_use]
    pub fn single(key: MasterKey) -> Self {
        Self { keys: vec![key] }
    }

    /// A ring of several, the sealing one first.
    ///
    /// # Errors
    /// [`KeyError::Ring`] when empty or when a key occurs twice.
    pub fn new(keys: Vec<MasterKey>) -> Result<Self, KeyError> {
        let mut ids: Vec<KeyId> = keys.iter().map(MasterKey::id).collect();
        ids.sort_unstable();
        if ids.is_empty() || ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(KeyError::Ring);
        }
        Ok(Self { keys })
    }

    /// Reads keys separated by commas or line ends, the sealing one first.
    ///
    /// # Errors
    /// As [`MasterKey::from_base64`] and [`Keyring::new`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let parts = text
            .split([',', '\n'])
            .map(str::trim)
            .filter(|part| !part.is_empty());
        Self::new(parts.map(MasterKey::from_base64).collect::<Result<_, _>>()?)
    }

    /// Takes the ring from a variable's value, or else from the file that another variable names. Whoever
    /// calls reads the environment; this says which variables were meant when neither is set.
    ///
    /// # Errors
    /// [`KeyError`], every one with the next step.
    pub fn from_settings(
        variable: &str,
        value: Option<&str>,
        file: Option<&std::path::Path>,
    ) -> Result<Self, KeyError> {
        match (value, file) {
            (Some(text), _) if !text.trim().is_empty() => Self::from_text(text),
            (_, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|source| KeyError::File {
                    path: path.to_owned(),
                    source,
                })?;
                Self::from_text(&Zeroizing::new(text))
            }
            _ => Err(KeyError::Missing {
                variable: variable.to_owned(),
            }),
        }
    }

    /// The key that seals.
    #[must_use]
    pub fn sealing_key(&self) -> KeyId {
        self.keys[0].id()
    }

    /// Seals a text for a place.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, place: &Place, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let master = &self.keys[0];
        let data_key = Zeroizing::new(random::<KEY>().ok_or(SealError::Randomness)?);
        let mut out = Vec::with_capacity(HEADER + WRAPPED + NONCE + plain.len() + TAG);
        out.push(FORMAT_1);
        out.extend_from_slice(&master.id().0);
        let header: [u8; HEADER] = [FORMAT_1, out[1], out[2], out[3], out[4]];
        seal_into(
            &mut out,
            master.bytes(),
            &bound(&header, "key", place),
            data_key.as_slice(),
        )?;
        seal_into(&mut out, &data_key, &bound(&header, "text", place), plain)?;
        Ok(out)
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        match sealed.first() {
            Some(&FORMAT_1) => {}
            Some(&format) => return Err(OpenError::UnknownFormat { format }),
            None => return Err(OpenError::CutShort),
        }
        let (header, rest) = sealed.split_first_chunk::<HEADER>().ok_or(OpenError::CutShort)?;
        let (wrapped, text) = rest.split_at_checked(WRAPPED).ok_or(OpenError::CutShort)?;
        let id = KeyId([header[1], header[2], header[3], header[4]]);
        let master = self
            .keys
            .iter()
            .find(|key| key.id() == id)
            .ok_or(OpenError::UnknownKey { key: id })?;
        let data_key = open(master.bytes(), &bound(header, "key", place), wrapped)?;
        let mut bytes = Zeroizing::new([0; KEY]);
        bytes.copy_from_slice(&data_key);
        open(&bytes, &bound(header, "text", place), text)
    }

    /// Whether a sealed text was made with an older key of this ring and should be sealed again.
    #[must_use]
    pub fn is_outdated(&self, sealed: &[u8]) -> bool {
        sealed.get(1..HEADER) != Some(self.sealing_key().0.as_slice())
    }
}

fn bound(header: &[u8; HEADER], half: &str, place: &Place) -> Vec<u8> {
    let mut aad = Vec::with_capacity(HEADER + half.len() + 1 + place.bytes().len());
    aad.extend_from_slice(header);
    aad.extend_from_slice(half.as_bytes());
    aad.push(0);
    aad.extend_from_slice(place.bytes());
    aad
}

impl fmt::Display for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "keyring of {} sealing with {}",
            self.keys.len(),
            self.sealing_key()
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(byte: u8) -> Keyring {
        Keyring::single(MasterKey::from_bytes([byte; 32]))
    }

    fn place() -> Place {
        Place::new("secrets").with("row 1").with("sealed")
    }

    #[test]
    fn an_older_key_still_opens_and_the_text_is_known_as_outdated() {
        let sealed = ring(1).seal(&place(), b"hush").unwrap();
        let both = Keyring::new(vec![
            MasterKey::from_bytes([2; 32]),
            MasterKey::from_bytes([1; 32]),
        ])
        .unwrap();
        assert_eq!(both.open(&place(), &sealed).unwrap().as_slice(), b"hush");
        assert!(both.is_outdated(&sealed));
        assert!(!both.is_outdated(&both.seal(&place(), b"hush").unwrap()));
    }

    #[test]
    fn a_key_that_is_not_in_the_ring_is_named() {
        let sealed = ring(1).seal(&place(), b"hush").unwrap();
        let expected = MasterKey::from_bytes([1; 32]).id();
        assert_eq!(
            ring(2).open(&place(), &sealed).unwrap_err(),
            OpenError::UnknownKey { key: expected }
        );
    }

    #[test]
    fn an_unknown_format_is_named() {
        let mut sealed = ring(1).seal(&place(), b"x").unwrap();
        sealed[0] = 0x77;
        assert_eq!(
            ring(1).open(&place(), &sealed).unwrap_err(),
            OpenError::UnknownFormat { format: 0x77 }
        );
        assert_eq!(ring(1).open(&place(), &[]).unwrap_err(), OpenError::CutShort);
    }

    #[test]
    fn a_ring_without_keys_or_with_one_twice_is_refused() {
        assert!(matches!(Keyring::new(vec![]), Err(KeyError::Ring)));
        let twice = vec![MasterKey::from_bytes([1; 32]), MasterKey::from_bytes([1; 32])];
        assert!(matches!(Keyring::new(twice), Err(KeyError::Ring)));
    }

    #[test]
    fn settings_say_which_variable_is_missing_and_read_several_keys() {
        let error = Keyring::from_settings("SYNCBRIDGE_MASTER_KEY", None, None).unwrap_err();
        assert!(error.to_string().contains("SYNCBRIDGE_MASTER_KEY_FILE"));
        let (a, b) = (MasterKey::from_bytes([1; 32]), MasterKey::from_bytes([2; 32]));
        let text = format!("{},\n{}", a.to_base64().as_str(), b.to_base64().as_str());
        assert_eq!(
            Keyring::from_settings("X", Some(&text), None)
                .unwrap()
                .sealing_key(),
            a.id()
        );
    }

    #[test]
    fn the_same_text_is_never_sealed_to_the_same_bytes() {
        assert_ne!(
            ring(1).seal(&place(), b"x").unwrap(),
            ring(1).seal(&place(), b"x").unwrap()
        );
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(plain in proptest::collection::vec(any::<u8>(), 0..300)) {
            let sealed = ring(1).seal(&place(), &plain).unwrap();
            let opened = ring(1).open(&place(), &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
            if plain.len() > 8 {
                prop_assert!(!sealed.windows(plain.len()).any(|w| w == plain));
            }
        }

        #[test]
        fn another_place_is_refused(table in "[a-z]{0,8}", row in "[a-z]{0,8}") {
            let sealed = ring(1).seal(&place(), b"hush").unwrap();
            let other = Place::new(&table).with(&row);
            prop_assert_eq!(ring(1).open(&other, &sealed).unwrap_err(), OpenError::Refused);
        }

        #[test]
        fn a_flipped_bit_anywhere_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut sealed = ring(1).seal(&place(), b"a text of some length").unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(ring(1).open(&place(), &sealed).is_err());
        }

        #[test]
        fn a_cut_text_is_refused(keep in any::<prop::sample::Index>()) {
            let sealed = ring(1).seal(&place(), b"a text of some length").unwrap();
            let cut = &sealed[..keep.index(sealed.len())];
            prop_assert!(ring(1).open(&place(), cut).is_err());
        }
    }
}
