//! Key, identity and sync key: how a row is addressed, recognised and found again in a list.
//!
//! * [`Key`]: canonical typed encoding of the key values under the column's own equality. Two rows that
//!   PostgreSQL holds equal in that column get one key; nothing else does. It can be turned back into texts
//!   that PostgreSQL casts to the same values, so a key addresses its row.
//! * [`Identity`]: 128-bit keyed hash of (namespace, key). Addresses ledger, effects and dirty rows.
//! * [`SyncKey`]: `1` and 26 lower-case base32 characters of the identity, the text in `SyncBridgeKey`. Uniqueness there ignores
//!   case, so the alphabet has one case only.
//!
//! Encoding, version 1 (golden vectors in the tests; never change them, add a version): for each key column
//! one tag byte for the family of its type, the length of the canonical text as four big-endian bytes, the
//! text in UTF-8.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pg_type::PgType;

/// The workspace's secret behind identities and field hashes. Part of every backup, never rotated in place.
#[derive(Clone)]
pub struct HashKey {
    id: u16,
    identity: [u8; 32],
    cells: [u8; 32],
}

impl HashKey {
    /// Derives the working keys from 32 secret bytes; `id` is the stamp ledger rows carry.
    #[must_use]
    pub fn new(id: u16, secret: &[u8; 32]) -> Self {
        Self {
            id,
            identity: blake3::derive_key("syncbridge 2026 identity v1", secret),
            cells: blake3::derive_key("syncbridge 2026 cell hashes v1", secret),
        }
    }

    /// The stamp ledger rows carry.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    pub(crate) fn cells(&self) -> &[u8; 32] {
        &self.cells
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashKey({})", self.id)
    }
}

/// Why key values do not make a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// A key column is NULL.
    #[error("key column `{column}` is NULL in a row; a key must be complete")]
    Null {
        /// Name of the column.
        column: String,
    },
    /// A value is not a text of the column's type, so PostgreSQL and we disagree about the type.
    #[error("key column `{column}` holds a value that is not a {type_name}")]
    Malformed {
        /// Name of the column.
        column: String,
        /// Expected type.
        type_name: String,
    },
    /// The encoded key is longer than a ledger row takes.
    #[error("the key of a row is {length} bytes long, at most {KEY_BYTES} can be kept")]
    TooLong {
        /// Bytes of the encoding.
        length: usize,
    },
    /// Bytes that are no encoded key.
    #[error("stored key bytes are damaged")]
    Damaged,
}

/// The most bytes of an encoded key. PostgreSQL's own indexes end at about 2,700 bytes, but a text that
/// compresses well can be longer.
pub const KEY_BYTES: usize = 8_192;

/// Canonical typed encoding of a row's key values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// The encoded bytes, as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes stored bytes back.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] when they are no encoding.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, KeyError> {
        let key = Self(bytes);
        key.texts().map(|_| ()).map(|()| key)
    }

    /// A key that is not made of key columns; see [`crate::item_subject`].
    pub(crate) fn of_parts(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The canonical texts, one a key column, each castable to the column's type.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] when the bytes are no encoding.
    pub fn texts(&self) -> Result<Vec<&str>, KeyError> {
        let mut rest = self.0.as_slice();
        let mut texts = Vec::new();
        while !rest.is_empty() {
            let (head, tail) = rest.split_at_checked(5).ok_or(KeyError::Damaged)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let (text, tail) = tail.split_at_checked(length).ok_or(KeyError::Damaged)?;
            texts.push(std::str::from_utf8(text).map_err(|_| KeyError::Damaged)?);
            rest = tail;
        }
        if texts.is_empty() {
            Err(KeyError::Damaged)
        } else {
            Ok(texts)
        }
    }
}

impl fmt::Debug for Key {
    // Key values stay out of logs; the identity is what a log names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts().map_err(serde::ser::Error::custom)?;
        let hex: String = self.0.iter().map(|b| format!("{b:02x}")).collect();
        serializer.serialize_str(&hex)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        let bytes = parse_hex(&hex).ok_or_else(|| serde::de::Error::custom(KeyError::Damaged))?;
        Key::from_bytes(bytes).map_err(serde::de::Error::custom)
    }
}

/// Bytes of a hexadecimal text of even length.
#[must_use]
pub fn parse_hex(text: &str) -> Option<Vec<u8>> {
    // Reading a number would take a sign for a digit.
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

/// One column of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// Name in the source.
    pub name: String,
    /// Type in the source.
    pub pg_type: PgType,
}

/// Encodes the raw texts of a row's key columns.
///
/// # Errors
/// [`KeyError`] for NULLs and for texts that are no values of their type.
pub fn encode_key(columns: &[KeyColumn], raw: &[Option<&str>]) -> Result<Key, KeyError> {
    let mut bytes = Vec::with_capacity(columns.len() * 16);
    for (column, raw) in columns.iter().zip(raw) {
        let raw = raw.ok_or_else(|| KeyError::Null {
            column: column.name.clone(),
        })?;
        let (tag, text) = canonical_key_text(&column.pg_type, raw).ok_or_else(|| KeyError::Malformed {
            column: column.name.clone(),
            type_name: column.pg_type.cast_name().to_owned(),
        })?;
        let length = u32::try_from(text.len()).map_err(|_| KeyError::Malformed {
            column: column.name.clone(),
            type_name: "shorter value".into(),
        })?;
        bytes.push(tag);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    match bytes.len() {
        0 => Err(KeyError::Damaged),
        length if length > KEY_BYTES => Err(KeyError::TooLong { length }),
        _ => Ok(Key(bytes)),
    }
}

/// The text that stands for all texts the column holds equal, with the tag of its family.
fn canonical_key_text(pg_type: &PgType, raw: &str) -> Option<(u8, String)> {
    match pg_type {
        PgType::Bool => match raw {
            "t" | "true" => Some((1, "true".into())),
            "f" | "false" => Some((1, "false".into())),
            _ => None,
        },
        PgType::Int2 | PgType::Int4 | PgType::Int8 => raw.parse::<i64>().ok().map(|n| (2, n.to_string())),
        PgType::Numeric { .. } => canonical_numeric(raw).map(|text| (3, text)),
        PgType::Float4 | PgType::Float8 => {
            let number: f64 = raw.parse().ok()?;
            // -0 and 0 are equal in PostgreSQL, and so are all NaNs.
            let number = if number == 0.0 { 0.0 } else { number };
            Some((
                4,
                if number.is_nan() {
                    "NaN".into()
                } else {
                    number.to_string()
                },
            ))
        }
        PgType::Text | PgType::Varchar { .. } => Some((5, raw.to_owned())),
        PgType::Char { .. } => Some((6, raw.trim_end_matches(' ').to_owned())),
        PgType::Uuid => uuid::Uuid::try_parse(raw)
            .ok()
            .map(|u| (7, u.hyphenated().to_string())),
        PgType::Date => Some((8, raw.to_owned())),
        PgType::Timestamp => Some((9, raw.to_owned())),
        PgType::TimestampTz => Some((10, raw.to_owned())),
        PgType::Enum { .. } => Some((11, raw.to_owned())),
        PgType::Money | PgType::Array { .. } | PgType::Other { .. } => Some((12, raw.to_owned())),
    }
}

/// `numeric` compares by value: 1.0 equals 1.00, so trailing zeros go.
pub(crate) fn canonical_numeric(raw: &str) -> Option<String> {
    if matches!(raw, "NaN" | "Infinity" | "-Infinity") {
        return Some(raw.to_owned());
    }
    let (sign, digits) = match raw.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", raw),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    let sign = if whole == "0" && fraction.is_empty() {
        ""
    } else {
        sign
    };
    Some(if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

/// 128-bit keyed hash of (namespace, key).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity([u8; 16]);

impl Identity {
    /// Hashes a key inside its namespace.
    #[must_use]
    pub fn new(hash_key: &HashKey, namespace: &str, key: &Key) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&hash_key.identity);
        hasher.update(&(namespace.len() as u64).to_be_bytes());
        hasher.update(namespace.as_bytes());
        hasher.update(&key.0);
        let mut out = [0; 16];
        out.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(out)
    }

    /// Takes stored bytes back.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, as stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The bucket of `1 << bits` that this identity falls into; equal buckets are contiguous ranges.
    #[must_use]
    pub fn bucket(&self, bits: u32) -> usize {
        let prefix = u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]);
        if bits == 0 {
            0
        } else {
            (prefix >> (32 - bits.min(32))) as usize
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The text in `SyncBridgeKey`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncKey(String);

impl SyncKey {
    /// The sync key of an identity.
    #[must_use]
    pub fn of(identity: Identity) -> Self {
        let mut text = String::with_capacity(27);
        text.push('1');
        let value = u128::from_be_bytes(identity.0);
        // 26 characters hold 130 bits, so the first one carries only 3.
        for at in (0..26).rev() {
            let five = (value >> (at * 5)) & 31;
            text.push(char::from(BASE32[five as usize]));
        }
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the identity back; `None` for a text that this product never wrote. Case is ignored, as the
    /// list's uniqueness does.
    #[must_use]
    pub fn parse(text: &str) -> Option<Identity> {
        let rest = text.strip_prefix('1')?;
        if rest.len() != 26 {
            return None;
        }
        let mut value: u128 = 0;
        for (at, byte) in rest.bytes().enumerate() {
            let five = BASE32.iter().position(|b| *b == byte.to_ascii_lowercase())? as u128;
            if at == 0 && five > 7 {
                return None;
            }
            value = (value << 5) | five;
        }
        Some(Identity(value.to_be_bytes()))
    }
}

impl fmt::Display for SyncKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SyncKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(pg_type: PgType) -> KeyColumn {
        KeyColumn {
            name: "k".into(),
            pg_type,
        }
    }

    fn key(pg_type: PgType, raw: &str) -> Key {
        encode_key(&[column(pg_type)], &[Some(raw)]).unwrap()
    }

    fn hash_key() -> HashKey {
        HashKey::new(1, &[42; 32])
    }

    #[test]
    fn golden_vectors_of_keys_identities_and_sync_keys_never_change() {
        let columns = [
            KeyColumn {
                name: "project".into(),
                pg_type: PgType::Text,
            },
            KeyColumn {
                name: "number".into(),
                pg_type: PgType::Int4,
            },
        ];
        let key = encode_key(&columns, &[Some("PRJ-7 é"), Some("42")]).unwrap();
        let hex: String = key.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "050000000850524a2d3720c3a902000000023432");
        let identity = Identity::new(&hash_key(), "db/public.contracts", &key);
        assert_eq!(identity.to_string(), "b54e476ae61f47cbd8bf79f67ef4c223");
        assert_eq!(SyncKey::of(identity).as_str(), "1fvjzdwvzq7i7f5rp3z6z7pjqrd");
    }

    #[test]
    fn a_key_that_was_stored_as_text_is_the_same_and_a_damaged_text_is_none() {
        let stored = serde_json::to_string(&key(PgType::Text, "PRJ-7")).unwrap();
        assert_eq!(stored, "\"0500000005505 24a2d37\"".replace(' ', ""));
        assert_eq!(
            serde_json::from_str::<Key>(&stored).unwrap(),
            key(PgType::Text, "PRJ-7")
        );
        assert_eq!(parse_hex("00fFa0"), Some(vec![0, 255, 160]));
        assert_eq!(parse_hex(""), Some(Vec::new()));
        for damaged in ["0", "0g", "+f", "é", "00 0"] {
            assert_eq!(parse_hex(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn what_is_printed_of_keys_tells_no_secret_and_no_value() {
        assert_eq!(format!("{:?}", HashKey::new(7, &[42; 32])), "HashKey(7)");
        assert_eq!(HashKey::new(7, &[42; 32]).id(), 7);
        assert_eq!(format!("{:?}", key(PgType::Text, "PRJ-7")), "Key(10 bytes)");
    }

    #[test]
    fn values_equal_in_the_column_give_one_key() {
        let numeric = || PgType::Numeric {
            precision: None,
            scale: None,
        };
        assert_eq!(key(numeric(), "1.00"), key(numeric(), "1"));
        assert_eq!(key(numeric(), "-0.0"), key(numeric(), "0"));
        assert_eq!(
            key(PgType::Char { length: Some(5) }, "ab   "),
            key(PgType::Char { length: Some(5) }, "ab")
        );
        assert_eq!(key(PgType::Float8, "-0"), key(PgType::Float8, "0"));
        let upper = "3D050401-0000-4000-8000-00000000000A";
        assert_eq!(key(PgType::Uuid, upper), key(PgType::Uuid, &upper.to_lowercase()));
    }

    #[test]
    fn values_different_in_the_column_give_different_keys() {
        assert_ne!(key(PgType::Text, "a"), key(PgType::Text, "A"));
        assert_ne!(key(PgType::Text, "a"), key(PgType::Text, "a "));
        assert_ne!(key(PgType::Text, "é"), key(PgType::Text, "e\u{301}"));
    }

    #[test]
    fn a_null_or_malformed_key_value_is_refused_with_the_columns_name() {
        let error = encode_key(&[column(PgType::Int4)], &[None]).unwrap_err();
        assert_eq!(error, KeyError::Null { column: "k".into() });
        let error = encode_key(&[column(PgType::Int4)], &[Some("x")]).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { column, .. } if column == "k"));
    }

    #[test]
    fn a_key_longer_than_the_ledger_takes_is_refused() {
        let long = "x".repeat(KEY_BYTES);
        let error = encode_key(&[column(PgType::Text)], &[Some(&long)]).unwrap_err();
        assert_eq!(
            error,
            KeyError::TooLong {
                length: KEY_BYTES + 5
            }
        );
    }

    #[test]
    fn damaged_key_bytes_are_refused() {
        for bytes in [vec![], vec![5], vec![5, 0, 0, 0, 9, 1], vec![5, 0, 0, 0, 1, 0xff]] {
            assert_eq!(Key::from_bytes(bytes), Err(KeyError::Damaged));
        }
    }

    proptest! {
        #[test]
        fn composite_keys_never_run_into_each_other(a in ".*", b in ".*", c in ".*", d in ".*") {
            let columns = [column(PgType::Text), column(PgType::Text)];
            let one = encode_key(&columns, &[Some(&a), Some(&b)]).unwrap();
            let two = encode_key(&columns, &[Some(&c), Some(&d)]).unwrap();
            prop_assert_eq!(one == two, a == c && b == d);
            prop_assert_eq!(one.texts().unwrap(), vec![a.as_str(), b.as_str()]);
            prop_assert_eq!(Key::from_bytes(one.as_bytes().to_vec()).unwrap(), one);
        }

        #[test]
        fn a_sync_key_leads_back_to_its_identity_in_any_case(bytes in any::<[u8; 16]>()) {
            let identity = Identity::from_bytes(bytes);
            let text = SyncKey::of(identity);
            prop_assert_eq!(text.as_str().len(), 27);
            prop_assert_eq!(SyncKey::parse(text.as_str()), Some(identity));
            prop_assert_eq!(SyncKey::parse(&text.as_str().to_uppercase()), Some(identity));
        }

        #[test]
        fn buckets_follow_the_order_of_identities(a in any::<[u8; 16]>(), b in any::<[u8; 16]>(), bits in 0u32..12) {
            let (a, b) = (Identity::from_bytes(a), Identity::from_bytes(b));
            if a <= b { prop_assert!(a.bucket(bits) <= b.bucket(bits)); }
            prop_assert!(a.bucket(bits) < (1usize << bits));
        }
    }
}
