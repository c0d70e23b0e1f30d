//! The 128-bit ids that SharePoint gives to everything, printed in lower case without braces.

use std::borrow::Cow;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 128-bit id; ordered by its number, so that maps keyed by it iterate the same way in every run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(u128);

impl Guid {
    /// Makes a version-4 id of 128 random bits.
    #[must_use]
    pub const fn from_random(bits: u128) -> Self {
        let cleared = bits & !(0xf << 76) & !(0x3 << 62);
        Self(cleared | (0x4 << 76) | (0x2 << 62))
    }

    /// The id with exactly these bits, for the ids that SharePoint has fixed.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Reads the hyphenated form in any letter case, with or without braces; `None` if it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text
            .strip_prefix('{')
            .and_then(|t| t.strip_suffix('}'))
            .unwrap_or(text);
        let bytes = bare.as_bytes();
        if bytes.len() != 36 {
            return None;
        }
        let mut bits: u128 = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if *byte != b'-' {
                    return None;
                }
            } else {
                let digit = char::from(*byte).to_digit(16)?;
                bits = (bits << 4) | u128::from(digit);
            }
        }
        Some(Self(bits))
    }

    /// The version nibble, 0 to 15.
    #[must_use]
    pub const fn version(self) -> u8 {
        ((self.0 >> 76) & 0xf) as u8
    }

    /// The first byte as printed.
    #[must_use]
    pub const fn first_byte(self) -> u8 {
        (self.0 >> 120) as u8
    }

    /// The id's bits.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut shift = 128;
        for (at, slot) in text.iter_mut().enumerate() {
            if !matches!(at, 8 | 13 | 18 | 23) {
                shift -= 4;
                *slot = DIGITS[((self.0 >> shift) & 0xf) as usize];
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not an id"))
    }
}

#[cfg(test)]
mod tests {
    use super::Guid;

    #[test]
    fn a_guid_prints_as_it_was_read() {
        let text = "fa564e0f-0c70-4ab9-b863-0177e6ddd247";
        assert_eq!(Guid::parse(text).unwrap().to_string(), text);
        assert_eq!(
            Guid::parse("{FA564E0F-0C70-4AB9-B863-0177E6DDD247}")
                .unwrap()
                .to_string(),
            text
        );
        assert_eq!(Guid::parse("fa564e0f0c704ab9b8630177e6ddd247"), None);
        assert_eq!(Guid::parse("fa564e0f-0c70-4ab9-b863-0177e6ddd24z"), None);
    }

    #[test]
    fn a_random_guid_is_of_version_four_and_the_tag_byte_is_the_first() {
        let guid = Guid::from_random(u128::MAX);
        assert_eq!(guid.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(guid.version(), 4);
        let tagged = Guid::parse("07000000-0000-8000-8000-000000000001").unwrap();
        assert_eq!((tagged.version(), tagged.first_byte()), (8, 7));
    }
}
