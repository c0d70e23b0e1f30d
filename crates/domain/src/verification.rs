//! What comparing source, ledger and list found: counts, and each difference by kind, without values.

use serde::{Deserialize, Serialize};

use crate::identity::{Identity, Key};
use crate::ids::RunId;

/// Rows between two keys in the source's own order, both ends included; an absent end is open.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    /// The first key.
    pub from: Option<Key>,
    /// The last key.
    pub to: Option<Key>,
}

impl KeyRange {
    /// Whether every row is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }
}

impl std::fmt::Debug for KeyRange {
    // Keys are values and never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = |key: &Option<Key>| if key.is_some() { "a key" } else { "open" };
        write!(f, "KeyRange({} to {})", end(&self.from), end(&self.to))
    }
}

/// How row, ledger and item disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// A row without an item.
    Missing,
    /// An item of ours without a row.
    Orphan,
    /// Row and item hold different values.
    Differing,
    /// An item beyond the one that the ledger links to the row.
    Duplicate,
    /// Row and item are there, but the ledger links the row to another item or list, or to none.
    WrongList,
    /// A column that the answers did not show, so that nothing can be said about it.
    Unreadable,
}

impl DifferenceKind {
    /// All kinds.
    pub const ALL: [DifferenceKind; 6] = [
        DifferenceKind::Missing,
        DifferenceKind::Orphan,
        DifferenceKind::Differing,
        DifferenceKind::Duplicate,
        DifferenceKind::WrongList,
        DifferenceKind::Unreadable,
    ];

    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DifferenceKind::Missing => "missing",
            DifferenceKind::Orphan => "orphan",
            DifferenceKind::Differing => "differing",
            DifferenceKind::Duplicate => "duplicate",
            DifferenceKind::WrongList => "wrong_list",
            DifferenceKind::Unreadable => "unreadable",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which side moved away from what the ledger agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The list was changed since.
    List,
    /// The source was changed since and the change is not pushed yet: the difference is pending.
    Source,
    /// Both were.
    Both,
    /// Neither was: what the list made of the value is not what the table holds.
    Neither,
    /// Nothing was agreed on, so nobody can tell.
    Unknown,
}

impl Cause {
    /// All causes.
    pub const ALL: [Cause; 5] = [
        Cause::List,
        Cause::Source,
        Cause::Both,
        Cause::Neither,
        Cause::Unknown,
    ];

    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cause::List => "list",
            Cause::Source => "source",
            Cause::Both => "both",
            Cause::Neither => "neither",
            Cause::Unknown => "unknown",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// What two fields of one item say together.
    #[must_use]
    pub fn and(self, other: Cause) -> Cause {
        use Cause::{Both, List, Neither, Source, Unknown};
        match (self, other) {
            (one, two) if one == two => one,
            (Neither, cause) | (cause, Neither) => cause,
            (Unknown, _) | (_, Unknown) => Unknown,
            (List | Source | Both, _) => Both,
        }
    }
}

/// One difference between the sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What kind.
    pub kind: DifferenceKind,
    /// Who moved.
    pub cause: Cause,
    /// Identity, in hexadecimal.
    pub identity: String,
    /// The item, where there is one.
    pub item: Option<String>,
    /// Columns that differ.
    pub columns: Vec<String>,
    /// The row is in quarantine: the difference is known and shown there with its cause.
    pub explained: bool,
}

/// What comparing both sides found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Verification {
    /// Rows of the source, in the range asked for.
    pub rows: u64,
    /// Items of the list that carry a sync key of this definition.
    pub items: u64,
    /// Items whose every mapped cell equals the row's.
    pub equal: u64,
    /// Items with at least one unequal cell.
    pub differing: u64,
    /// Rows without an item.
    pub missing: u64,
    /// Items without a row.
    pub orphans: u64,
    /// Items beyond the first of one identity.
    pub duplicates: u64,
    /// Rows whose item the ledger does not link them to.
    pub wrong_list: u64,
    /// Items with a column that the answers did not show.
    pub unreadable: u64,
    /// Items whose row is gone and which the delete policy left standing.
    pub kept: u64,
    /// Items that differ only where the definition keeps people's edits (`onForeignEdit: keep`).
    pub kept_edits: u64,
    /// Items without a sync key: people's own, left alone.
    pub foreign: u64,
    /// Items that another definition owns.
    pub others: u64,
    /// Differences whose row is in quarantine, and so accounted for.
    pub explained: u64,
    /// Differences that the next push settles: the source changed and nobody pushed it yet.
    pub pending: u64,
    /// Pages of the list that were read, by this run and by the one it goes on with.
    pub pages: u64,
    /// Of them, pages that an interrupted run had read.
    pub resumed_pages: u64,
    /// Items that were looked at one by one, at one resource unit each.
    pub looks: u64,
    /// The first differences found, without values.
    pub examples: Vec<Difference>,
}

/// How many differences are named in a report; all of them, up to a bound, are stored beside it.
pub const EXAMPLES: usize = 100;

impl Verification {
    /// How many differences there are.
    #[must_use]
    pub fn differences(&self) -> u64 {
        self.differing + self.missing + self.orphans + self.duplicates + self.wrong_list + self.unreadable
    }

    /// Whether both sides are equal but for what is accounted for.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.differences() <= self.explained
    }

    /// Whether both sides are equal without any exemption.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences() == 0
    }

    /// Counts a difference and keeps it as an example if there is room.
    pub fn count(&mut self, found: &Difference) {
        let counter = match found.kind {
            DifferenceKind::Missing => &mut self.missing,
            DifferenceKind::Orphan => &mut self.orphans,
            DifferenceKind::Differing => &mut self.differing,
            DifferenceKind::Duplicate => &mut self.duplicates,
            DifferenceKind::WrongList => &mut self.wrong_list,
            DifferenceKind::Unreadable => &mut self.unreadable,
        };
        *counter += 1;
        self.explained += u64::from(found.explained);
        self.pending += u64::from(found.cause == Cause::Source && !found.explained);
        if self.examples.len() < EXAMPLES {
            self.examples.push(found.clone());
        }
    }
}

/// An item that a page showed: enough to say later which rows have none and which several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenItem {
    /// Whose sync key it carries.
    pub identity: Identity,
    /// Its number in the list.
    pub item: u64,
    /// The ledger links this very item to the identity.
    pub owned: bool,
    /// The ledger knows the identity.
    pub known: bool,
    /// What is to be said about its row was said with the page.
    pub settled: bool,
}

/// Bytes of one [`SeenItem`].
const SEEN_BYTES: usize = 16 + SeenItem::REST_BYTES;

impl SeenItem {
    const REST_BYTES: usize = 9;

    /// What it says beside its identity, for a record of 16 bytes.
    #[must_use]
    pub fn rest(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.item.to_be_bytes());
        bytes[8] = u8::from(self.owned) | u8::from(self.known) << 1 | u8::from(self.settled) << 2;
        bytes
    }

    /// Reads what [`SeenItem::rest`] wrote.
    #[must_use]
    pub fn of(identity: Identity, rest: [u8; 16]) -> Self {
        let mut number = [0; 8];
        number.copy_from_slice(&rest[..8]);
        Self {
            identity,
            item: u64::from_be_bytes(number),
            owned: rest[8] & 1 != 0,
            known: rest[8] & 2 != 0,
            settled: rest[8] & 4 != 0,
        }
    }

    /// The items of a page as they are stored: 25 bytes each.
    #[must_use]
    pub fn pack(items: &[SeenItem]) -> Vec<u8> {
        let mut out = Vec::with_capacity(items.len() * SEEN_BYTES);
        for item in items {
            out.extend_from_slice(item.identity.as_bytes());
            out.extend_from_slice(&item.rest()[..Self::REST_BYTES]);
        }
        out
    }

    /// Reads a page; `None` where the bytes are none.
    #[must_use]
    pub fn unpack(bytes: &[u8]) -> Option<Vec<SeenItem>> {
        if !bytes.len().is_multiple_of(SEEN_BYTES) {
            return None;
        }
        let one = |bytes: &[u8]| {
            let (identity, rest) = bytes.split_first_chunk::<16>()?;
            let mut padded = [0; 16];
            padded[..Self::REST_BYTES].copy_from_slice(rest);
            Some(Self::of(Identity::from_bytes(*identity), padded))
        };
        bytes.chunks_exact(SEEN_BYTES).map(one).collect()
    }
}

/// What a verification asks of the durable memory when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationStart {
    /// The run.
    pub run: RunId,
    /// What must be the same for an interrupted one to be gone on with: list, mapping, range, page size.
    pub fingerprint: String,
    /// Whether to go on with the newest interrupted one.
    pub resume: bool,
}

/// From where a verification goes on; all zero for a new one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VerificationFrom {
    /// Pages that were read.
    pub pages: u64,
    /// Where the next page is; `None` before the first page and behind the last.
    pub next: Option<String>,
    /// What was found so far.
    pub report: Verification,
}

/// Progress to be kept in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationStep {
    /// The page that was compared; `None` where rows without items are looked for.
    pub page: Option<VerifiedPage>,
    /// Differences that were found.
    pub differences: Vec<Difference>,
    /// Everything found so far.
    pub report: Verification,
    /// Whether nothing is left to do.
    pub finished: bool,
}

/// A page of the list that was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPage {
    /// Its number, from 1.
    pub number: u64,
    /// Where the next one is.
    pub next: Option<String>,
    /// Its items that carry a sync key.
    pub seen: Vec<SeenItem>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_items_of_a_page_survive_storage(raw in proptest::collection::vec(any::<([u8; 16], u64, bool, bool, bool)>(), 0..50)) {
            let items: Vec<SeenItem> = raw
                .into_iter()
                .map(|(identity, item, owned, known, settled)| SeenItem {
                    identity: Identity::from_bytes(identity),
                    item,
                    owned,
                    known,
                    settled,
                })
                .collect();
            let packed = SeenItem::pack(&items);
            prop_assert_eq!(SeenItem::unpack(&packed), Some(items));
            prop_assert!(packed.is_empty() || SeenItem::unpack(&packed[1..]).is_none());
        }
    }

    #[test]
    fn an_item_is_pending_only_where_nothing_but_the_source_moved() {
        use Cause::{Both, List, Neither, Source, Unknown};
        assert_eq!(Source.and(Source), Source);
        assert_eq!(Source.and(Neither), Source);
        assert_eq!(Source.and(List), Both);
        assert_eq!(Both.and(Source), Both);
        assert_eq!(Unknown.and(Source), Unknown);
        for one in Cause::ALL {
            for two in Cause::ALL {
                assert_eq!(one.and(two), two.and(one));
            }
        }
    }

    #[test]
    fn every_name_reads_back() {
        for kind in DifferenceKind::ALL {
            assert_eq!(DifferenceKind::parse(kind.name()), Some(kind));
        }
        for cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.name()), Some(cause));
        }
    }
}
