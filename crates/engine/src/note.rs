//! What is noted of a row and of an item while a whole list is read: addresses and hashes, never values. The
//! bytes never leave the run that wrote them.

use syncbridge_domain::agreed::{CellHash, RowDigest};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Key;
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::version::Version;
use uuid::Uuid;

use crate::ports::PortResult;

/// One field of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldNote {
    /// Hash of the side's raw form; `None` is unseen.
    pub(crate) raw: CellHash,
    /// Hash of the canonical form, in which the sides can be compared; `None` compares with nothing.
    pub(crate) canonical: CellHash,
}

impl FieldNote {
    /// Whether both sides certainly hold one value.
    pub(crate) fn equals(&self, other: &FieldNote) -> bool {
        self.canonical.is_some() && self.canonical == other.canonical
    }
}

/// A source row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowNote {
    pub(crate) key: Key,
    pub(crate) digest: RowDigest,
    pub(crate) fields: Vec<FieldNote>,
}

/// A list item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ItemNote {
    pub(crate) item: ItemId,
    pub(crate) version: Version,
    pub(crate) fields: Vec<FieldNote>,
}

impl RowNote {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.key.as_bytes());
        out.extend_from_slice(&self.digest.0);
        put_fields(&mut out, &self.fields);
        out
    }

    pub(crate) fn read(mut bytes: &[u8]) -> PortResult<Self> {
        let key = take(&mut bytes)?.to_vec();
        let digest = RowDigest(chunk(&mut bytes)?);
        Ok(Self {
            key: Key::from_bytes(key).map_err(|_| damaged())?,
            digest,
            fields: take_fields(bytes)?,
        })
    }
}

impl ItemNote {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.item.0.as_bytes());
        out.extend_from_slice(self.version.guid.as_bytes());
        out.extend_from_slice(&self.version.counter.to_be_bytes());
        put_fields(&mut out, &self.fields);
        out
    }

    pub(crate) fn read(mut bytes: &[u8]) -> PortResult<Self> {
        let item = take(&mut bytes)?.to_vec();
        let guid = Uuid::from_bytes(chunk(&mut bytes)?);
        let counter = u64::from_be_bytes(chunk(&mut bytes)?);
        Ok(Self {
            item: ItemId(String::from_utf8(item).map_err(|_| damaged())?),
            version: Version { guid, counter },
            fields: take_fields(bytes)?,
        })
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take<'b>(bytes: &mut &'b [u8]) -> PortResult<&'b [u8]> {
    let length = u64::from_be_bytes(chunk(bytes)?);
    let length = usize::try_from(length).map_err(|_| damaged())?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(taken)
}

fn chunk<const N: usize>(bytes: &mut &[u8]) -> PortResult<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or_else(damaged)?;
    *bytes = rest;
    Ok(*taken)
}

/// Zero stands for "unknown", as in the ledger.
fn put_fields(out: &mut Vec<u8>, fields: &[FieldNote]) {
    for hash in fields.iter().flat_map(|field| [field.raw, field.canonical]) {
        out.extend_from_slice(&hash.map_or(0, std::num::NonZeroU64::get).to_be_bytes());
    }
}

fn take_fields(mut bytes: &[u8]) -> PortResult<Vec<FieldNote>> {
    let mut fields = Vec::with_capacity(bytes.len() / 16);
    while !bytes.is_empty() {
        let mut hash = || chunk(&mut bytes).map(|eight| std::num::NonZeroU64::new(u64::from_be_bytes(eight)));
        fields.push(FieldNote {
            raw: hash()?,
            canonical: hash()?,
        });
    }
    Ok(fields)
}

fn damaged() -> Failure {
    Failure::new(
        Scope::Outage,
        "scratch.damaged",
        "a temporary file was damaged: a note cannot be read",
        "check the disk of the worker's machine; the run can simply be started again",
    )
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn notes_read_back_as_written_and_a_cut_one_is_refused() {
        let field = |raw, canonical| FieldNote {
            raw: NonZeroU64::new(raw),
            canonical: NonZeroU64::new(canonical),
        };
        let note = ItemNote {
            item: ItemId("17".into()),
            version: Version {
                guid: Uuid::from_u128(7),
                counter: 3,
            },
            fields: vec![field(1, 0), field(0, 2)],
        };
        let bytes = note.to_bytes();
        assert_eq!(ItemNote::read(&bytes).unwrap(), note);
        for cut in [1, 8, bytes.len() - 1] {
            assert_eq!(ItemNote::read(&bytes[..cut]).unwrap_err().code, "scratch.damaged");
        }
    }

    #[test]
    fn what_is_unknown_equals_nothing() {
        let unknown = FieldNote {
            raw: None,
            canonical: None,
        };
        assert!(!unknown.equals(&unknown));
    }
}
