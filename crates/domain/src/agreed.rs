//! What both sides last agreed on, as hashes: 8 bytes a field and side, and 16 bytes for the whole source row.
//!
//! The hash of a side is taken over that side's *raw stable form*: the text PostgreSQL printed under the fixed
//! session settings, or the JSON value Graph returned. The two are never compared with each other (DESIGN §5);
//! [`crate::canonical`] does that where it is needed. Zero means "unknown".

use serde_json::Value as Json;

use crate::identity::HashKey;
use crate::mapping::{LayoutStamp, Mapping};
use crate::row::Cell;

/// Hash of one cell on one side; `None` is "unknown".
pub type CellHash = Option<std::num::NonZeroU64>;

/// Digest of all cells of a source row that can cause a write (passive fields are left out).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowDigest(pub [u8; 16]);

impl RowDigest {
    /// Equal to no row: forces a look at every field.
    pub const UNKNOWN: RowDigest = RowDigest([0; 16]);
}

fn cell_hash(hash_key: &HashKey, side: u8, present: bool, raw: &[u8]) -> CellHash {
    let mut hasher = blake3::Hasher::new_keyed(hash_key.cells());
    hasher.update(&[side, u8::from(present)]);
    hasher.update(raw);
    let mut eight = [0; 8];
    eight.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    // One value in 2^64 shares its hash with another rather than being mistaken for "unknown".
    Some(std::num::NonZeroU64::new(u64::from_be_bytes(eight)).unwrap_or(std::num::NonZeroU64::MIN))
}

/// Hash of a source cell.
#[must_use]
pub fn source_hash(hash_key: &HashKey, cell: &Cell) -> CellHash {
    match cell {
        Some(text) => cell_hash(hash_key, b'S', true, text.as_bytes()),
        None => cell_hash(hash_key, b'S', false, b""),
    }
}

/// Hash of a value that the list returned; JSON null and a missing-but-visible key are both passed as null.
#[must_use]
pub fn target_hash(hash_key: &HashKey, value: &Json) -> CellHash {
    match value {
        Json::Null => cell_hash(hash_key, b'T', false, b""),
        other => {
            let mut raw = Vec::new();
            stable_json(other, &mut raw);
            cell_hash(hash_key, b'T', true, &raw)
        }
    }
}

/// Numbers are written as the double they are: `5` and `5.0` are one value and Graph sends either.
pub(crate) fn stable_json(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.push(b'n'),
        Json::Bool(b) => out.extend_from_slice(if *b { b"t" } else { b"f" }),
        Json::Number(n) => match n.as_f64() {
            Some(double) => {
                let double = if double == 0.0 { 0.0 } else { double };
                out.push(b'd');
                out.extend_from_slice(&double.to_bits().to_be_bytes());
            }
            None => out.extend_from_slice(n.to_string().as_bytes()),
        },
        Json::String(text) => {
            out.push(b's');
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Json::Array(values) => {
            out.push(b'[');
            values.iter().for_each(|v| stable_json(v, out));
            out.push(b']');
        }
        // serde_json's map is ordered by key, so the spelling is stable.
        Json::Object(map) => {
            out.push(b'{');
            for (name, v) in map {
                out.extend_from_slice(&(name.len() as u64).to_be_bytes());
                out.extend_from_slice(name.as_bytes());
                stable_json(v, out);
            }
            out.push(b'}');
        }
    }
}

/// Digest of a source row's cells that can cause a write.
#[must_use]
pub fn row_digest(hash_key: &HashKey, layout: LayoutStamp, mapping: &Mapping, cells: &[Cell]) -> RowDigest {
    let mut hasher = blake3::Hasher::new_keyed(hash_key.cells());
    hasher.update(b"R");
    hasher.update(&layout.0.to_be_bytes());
    for (field, cell) in mapping.fields.iter().zip(cells) {
        if field.passive && !crate::sabotaged!("passive field causing a write") {
            continue;
        }
        match cell {
            Some(text) => {
                hasher.update(&(text.len() as u64 + 1).to_be_bytes());
                hasher.update(text.as_bytes());
            }
            None => {
                hasher.update(&0u64.to_be_bytes());
            }
        }
    }
    let mut sixteen = [0; 16];
    sixteen.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    RowDigest(sixteen)
}

/// The agreed state of one row: digest and two hashes a field, in layout order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Digest of the source row.
    pub digest: RowDigest,
    /// (source, target) a field.
    pub fields: Vec<(CellHash, CellHash)>,
}

/// Stored bytes that are no agreed state.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("stored agreed state is damaged: {length} bytes")]
pub struct AgreedError {
    /// How many bytes there were.
    pub length: usize,
}

impl Agreed {
    /// Nothing is known of any of `fields` fields.
    #[must_use]
    pub fn unknown(fields: usize) -> Self {
        Self {
            digest: RowDigest::UNKNOWN,
            fields: vec![(None, None); fields],
        }
    }

    /// The bytes of the ledger's `agreed` column: 16 + 16 a field.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.fields.len() * 16);
        out.extend_from_slice(&self.digest.0);
        let raw = |hash: &CellHash| hash.map_or(0, std::num::NonZeroU64::get).to_be_bytes();
        for (source, target) in &self.fields {
            out.extend_from_slice(&raw(source));
            out.extend_from_slice(&raw(target));
        }
        out
    }

    /// Reads the bytes of the ledger's `agreed` column.
    ///
    /// # Errors
    /// [`AgreedError`] when the length fits no number of fields.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AgreedError> {
        let damaged = AgreedError { length: bytes.len() };
        let (digest, rest) = bytes
            .split_at_checked(16)
            .ok_or(AgreedError { length: bytes.len() })?;
        if !rest.len().is_multiple_of(16) {
            return Err(damaged);
        }
        let hash = |bytes: &[u8]| {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            std::num::NonZeroU64::new(u64::from_be_bytes(eight))
        };
        let fields = rest
            .chunks_exact(16)
            .map(|pair| (hash(&pair[..8]), hash(&pair[8..])))
            .collect();
        let mut sixteen = [0; 16];
        sixteen.copy_from_slice(digest);
        Ok(Self {
            digest: RowDigest(sixteen),
            fields,
        })
    }

    /// Carries hashes over into another layout: fields that both layouts have keep theirs, new ones are
    /// unknown, and so is the digest.
    #[must_use]
    pub fn relaid(&self, from: &[u64], to: &[u64]) -> Self {
        let fields = to
            .iter()
            .map(|stamp| {
                let at = from.iter().position(|s| s == stamp);
                at.and_then(|at| self.fields.get(at))
                    .copied()
                    .unwrap_or((None, None))
            })
            .collect();
        Self {
            digest: RowDigest::UNKNOWN,
            fields,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::facet::Facet;
    use crate::mapping::{FieldMapping, TitleRule};
    use crate::pg_type::PgType;
    use crate::policy::Direction;

    fn key() -> HashKey {
        HashKey::new(1, &[1; 32])
    }

    /// Ledgers hold these: another answer would take every cell for edited. Made with another implementation of BLAKE3.
    #[test]
    fn golden_vectors_of_cells_and_rows_never_change() {
        let key = HashKey::new(1, &[42; 32]);
        let hash = |hash: CellHash| format!("{:016x}", hash.unwrap());
        assert_eq!(hash(source_hash(&key, &Some("hello".into()))), "08e7fa8ad21d9cd0");
        assert_eq!(hash(source_hash(&key, &None)), "7178306f0399909a");
        for (value, golden) in [
            (json!(null), "320298b084bb5f0f"),
            (json!("hello"), "61a38fe330c51ea2"),
            (json!(5), "5c14d329fec92e18"),
            (json!(true), "b7a6814a9eb40787"),
            (json!({"a": [null, false]}), "4e984081e0fb93a5"),
        ] {
            assert_eq!(hash(target_hash(&key, &value)), golden, "{value}");
        }
        let row = digest_under(&key, 3, [Some("7"), Some("monday"), None]);
        let hex: String = row.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "3c1a0c4904329665432ebd3df1053ded");
    }

    #[test]
    fn null_and_empty_text_differ_on_both_sides() {
        assert_ne!(source_hash(&key(), &None), source_hash(&key(), &Some("".into())));
        assert_ne!(target_hash(&key(), &Json::Null), target_hash(&key(), &json!("")));
    }

    #[test]
    fn the_same_number_in_two_spellings_is_one_value() {
        assert_eq!(target_hash(&key(), &json!(5)), target_hash(&key(), &json!(5.0)));
        assert_ne!(target_hash(&key(), &json!(5)), target_hash(&key(), &json!("5")));
    }

    #[test]
    fn zero_has_no_sign_and_neighbouring_texts_do_not_run_together() {
        assert_eq!(
            target_hash(&key(), &json!(0.0)),
            target_hash(&key(), &json!(-0.0))
        );
        assert_ne!(
            target_hash(&key(), &json!(["ab", "c"])),
            target_hash(&key(), &json!(["a", "bc"]))
        );
        assert_ne!(
            target_hash(&key(), &json!({"ab": "c"})),
            target_hash(&key(), &json!({"a": "bc"}))
        );
        assert_ne!(target_hash(&key(), &json!([])), target_hash(&key(), &json!({})));
    }

    fn field(column: &str, passive: bool) -> FieldMapping {
        FieldMapping {
            column: column.into(),
            pg_type: PgType::Text,
            nullable: true,
            target: column.into(),
            display_name: column.into(),
            facet: Facet::MultiLine,
            direction: Direction::Push,
            passive,
            conflict: None,
            on_foreign_edit: None,
        }
    }

    /// The digest of a row with two fields that cause writes and one that never does.
    fn digest(layout: u32, cells: [Option<&str>; 3]) -> RowDigest {
        digest_under(&key(), layout, cells)
    }

    fn digest_under(hash_key: &HashKey, layout: u32, cells: [Option<&str>; 3]) -> RowDigest {
        let mapping = Mapping {
            key: Vec::new(),
            fields: vec![field("a", false), field("changed", true), field("b", false)],
            title: TitleRule::Key,
            time_zone: chrono_tz::Tz::UTC,
        };
        row_digest(
            hash_key,
            LayoutStamp(layout),
            &mapping,
            &cells.map(|cell| cell.map(Into::into)),
        )
    }

    #[test]
    fn a_digest_tells_every_change_that_can_cause_a_write_and_no_other() {
        let before = digest(1, [Some("x"), Some("monday"), Some("y")]);
        assert_eq!(
            before,
            digest(1, [Some("x"), Some("tuesday"), Some("y")]),
            "passive"
        );
        assert_eq!(before, digest(1, [Some("x"), None, Some("y")]), "passive");
        assert_ne!(before, digest(1, [Some("z"), Some("monday"), Some("y")]));
        assert_ne!(before, digest(1, [Some("x"), Some("monday"), None]));
        assert_ne!(
            before,
            digest(2, [Some("x"), Some("monday"), Some("y")]),
            "another layout"
        );
    }

    #[test]
    fn a_digest_keeps_null_from_empty_and_cell_from_cell() {
        assert_ne!(
            digest(1, [None, None, Some("")]),
            digest(1, [Some(""), None, None])
        );
        assert_ne!(
            digest(1, [None, None, None]),
            digest(1, [Some(""), None, Some("")])
        );
        assert_ne!(
            digest(1, [Some("ab"), None, Some("c")]),
            digest(1, [Some("a"), None, Some("bc")])
        );
    }

    #[test]
    fn a_new_layout_keeps_what_both_have_and_knows_nothing_of_the_rest() {
        let hash = source_hash(&key(), &Some("x".into()));
        let agreed = Agreed {
            digest: RowDigest([1; 16]),
            fields: vec![(hash, hash), (None, hash)],
        };
        let relaid = agreed.relaid(&[10, 20], &[30, 10]);
        assert_eq!(relaid.digest, RowDigest::UNKNOWN);
        assert_eq!(relaid.fields, vec![(None, None), (hash, hash)]);
    }

    proptest! {
        #[test]
        fn agreed_states_survive_storage(digest in any::<[u8; 16]>(), raw in proptest::collection::vec(any::<(u64, u64)>(), 0..20)) {
            let fields = raw.iter().map(|(s, t)| (std::num::NonZeroU64::new(*s), std::num::NonZeroU64::new(*t))).collect();
            let agreed = Agreed { digest: RowDigest(digest), fields };
            prop_assert_eq!(Agreed::from_bytes(&agreed.to_bytes()).unwrap(), agreed);
        }

        #[test]
        fn bytes_of_a_wrong_length_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let fits = bytes.len() >= 16 && bytes.len() % 16 == 0;
            prop_assert_eq!(Agreed::from_bytes(&bytes).is_ok(), fits);
        }
    }
}
