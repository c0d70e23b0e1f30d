//! Adoption by business key: items that people, or another tool, put into the list before us carry no sync key.
//! Where their key fields show what a row's key is, they are that row's items, and a second one would be a double.
//!
//! The list is read once in pages (two resource units each) and the table once; both are noted as hashes in
//! scratch space and joined bucket by bucket, so that no row costs a look of its own and memory is bounded. An
//! item that equals its row becomes agreed, and in a list of ours is given its sync key by one write. One that
//! differs is taken over as unknown: it is looked at and written only with a person's word, as always where
//! nothing was agreed on. Two items of one key are never chosen between: their row waits.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use syncbridge_domain::agreed::{Agreed, RowDigest, source_hash, target_hash};
use syncbridge_domain::canonical::Value;
use syncbridge_domain::convert::to_target;
use syncbridge_domain::dirty::NewQuarantine;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::{Cursor, Mark};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::{Identity, Key, KeyColumn, encode_key};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::list_rules::ItemIdentity;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, ItemId};
use syncbridge_domain::reconcile::RowDecision;
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::version::Version;
use uuid::Uuid;

use crate::ports::{Ledger, PortResult, Progress, ScanRecord, Scratch, Source, Spill, Step, Target};
use crate::session::{Session, World, moved_on};
use crate::work::{Attempt, Heard, Held, Intent, Work};

/// Code of a row whose item cannot be told from another one.
pub(crate) const AMBIGUOUS: &str = "item.ambiguous";
/// More rows than this waiting for a person's choice is a list that was filled twice: no run sorts that out.
const MOST_AMBIGUOUS: usize = 10_000;

/// Scratch space for items without an owner.
pub(crate) type StrangersOf<W> = <<W as World>::Scratch as Scratch>::Spill;

/// A row and the only item that shows its key.
struct Pair {
    row: Key,
    item: ItemId,
    version: Version,
    /// What the item shows in all its fields.
    content: RowDigest,
}

impl<W: World> Session<'_, W> {
    /// Whether the list may hold items of people that are rows' items: before the first row is written into a
    /// list that was there before, and while rows wait for a choice.
    pub(crate) async fn expects_strangers(&mut self, cursor: &Cursor) -> PortResult<bool> {
        if self.key_fields().is_none() {
            return Ok(false);
        }
        if self.ports.ledger.quarantined_with(AMBIGUOUS).await? > 0 {
            return Ok(true);
        }
        let begins = matches!(cursor, Cursor::FirstCopy { after: None, .. }) && !self.spec.list_is_new;
        let first = begins && self.ports.ledger.live_rows().await? == 0;
        if first {
            // The list is read anyway, to find items under our own sync keys: both are noted at once.
            let expected = self.ports.source.estimate().await?;
            self.strangers = Some((self.ports.scratch.spill(expected)?, 0));
        }
        Ok(first)
    }

    /// Notes the strangers among the items of a page, where somebody wants to know.
    pub(crate) async fn note_strangers_of(&mut self, items: &[Item]) -> PortResult<()> {
        let (Some((mut spill, found)), Some(fields)) = (self.strangers.take(), self.key_fields()) else {
            return Ok(());
        };
        let records = self.strangers_of(items, &fields).await?;
        let found = found + records.len() as u64;
        spill.push(records)?;
        self.strangers = Some((spill, found));
        Ok(())
    }

    /// Takes over people's items.
    pub(crate) async fn adopt_strangers(&mut self) -> PortResult<()> {
        let Some(fields) = self.key_fields() else {
            return Ok(());
        };
        let expected = self.ports.source.estimate().await?;
        self.ports.progress.step(Step::Reading { rows: expected });
        let (mut items, found) = match self.strangers.take() {
            Some(noted) if self.keeps_sync_keys() => noted,
            _ => self.note_strangers(&fields, expected).await?,
        };
        if found == 0 {
            return Ok(());
        }
        let (mut rows, mark) = self.note_keys(&fields, expected).await?;
        for bucket in 0..(1usize << rows.bucket_bits()) {
            self.check()?;
            let (pairs, ambiguous) = join(rows.bucket(bucket)?, items.bucket(bucket)?)?;
            let size = self.spec.limits.page_rows.max(1) as usize;
            for chunk in pairs.chunks(size) {
                self.take_over(chunk, mark).await?;
            }
            for chunk in ambiguous.chunks(size) {
                self.park_ambiguous(chunk).await?;
            }
            self.report();
        }
        Ok(())
    }

    /// Whether this row has to wait for a person who says which of several items is its own.
    pub(crate) fn is_ambiguous(&self, identity: Identity) -> bool {
        self.ambiguous.contains(&identity)
    }

    pub(crate) fn park(&self, work: &Work) -> Intent {
        let cells = work.source.one().map(|row| row.cells.as_slice());
        Intent::Quarantine(Box::new(self.quarantine(&work.subject, cells, ambiguous())))
    }

    /// The fields that hold the key, in its order; `None` where not all of it travels.
    fn key_fields(&self) -> Option<Vec<usize>> {
        let fields = &self.spec.mapping.fields;
        let of = |column: &KeyColumn| {
            fields
                .iter()
                .position(|field| field.column == column.name && !field.passive)
        };
        self.spec.mapping.key.iter().map(of).collect()
    }

    async fn note_strangers(&self, fields: &[usize], expected: u64) -> PortResult<(StrangersOf<W>, u64)> {
        let mut spill = self.ports.scratch.spill(expected)?;
        let mut found = 0;
        let mut next: Option<String> = None;
        loop {
            self.check()?;
            let page = self.ports.target.page(next.as_deref(), WhyTag::Scan).await?;
            let records = self.strangers_of(&page.items, fields).await?;
            found += records.len() as u64;
            spill.push(records)?;
            self.report();
            match page.next {
                None => return Ok((spill, found)),
                Some(link) => {
                    moved_on(next.as_ref(), &link)?;
                    next = Some(link);
                }
            }
        }
    }

    async fn strangers_of(&self, items: &[Item], fields: &[usize]) -> PortResult<Vec<ScanRecord>> {
        let guids: Vec<Uuid> = items
            .iter()
            .filter(|item| self.is_stranger(item))
            .map(|item| item.version.guid)
            .collect();
        if guids.is_empty() {
            return Ok(Vec::new());
        }
        let owned = self.ports.ledger.owned(&guids).await?;
        let strangers = items
            .iter()
            .filter(|item| self.is_stranger(item) && !owned.contains(&item.version.guid));
        Ok(strangers
            .filter_map(|item| self.note_of_item(item, fields))
            .collect())
    }

    /// Whether items carry sync keys, by which an anchoring pass knows them.
    pub(crate) fn keeps_sync_keys(&self) -> bool {
        matches!(self.spec.target.rules.identity, ItemIdentity::SyncKey { .. })
    }

    /// An item that carries any sync key is somebody's, ours or another installation's.
    fn is_stranger(&self, item: &Item) -> bool {
        match self.spec.target.rules.identity {
            ItemIdentity::SyncKey { .. } => item.sync_key().is_none_or(str::is_empty),
            ItemIdentity::KeyField { .. } => true,
        }
    }

    fn note_of_item(&self, item: &Item, fields: &[usize]) -> Option<ScanRecord> {
        let shown = |at: usize| {
            let field = &self.spec.mapping.fields[at];
            let value = item.value(&field.target)?;
            Value::from_json(&field.facet, value).ok()
        };
        let all: Vec<Option<Value>> = (0..self.spec.mapping.fields.len()).map(shown).collect();
        Some(ScanRecord {
            identity: self.business_key(&all, fields)?,
            digest: self.content(&all),
            key: address(item).ok()?,
        })
    }

    async fn note_keys(&self, fields: &[usize], expected: u64) -> PortResult<(StrangersOf<W>, Mark)> {
        let mut spill = self.ports.scratch.spill(expected)?;
        let mut first = None;
        let mut after: Option<Key> = None;
        loop {
            self.check()?;
            let limit = self.spec.limits.page_rows;
            let page = self.ports.source.page_by_key(after.as_ref(), limit).await?;
            first.get_or_insert(page.mark);
            let Some(last) = page.rows.last() else { break };
            moved_on(after.as_ref(), &last.key)?;
            after = Some(last.key.clone());
            let records = page.rows.iter().filter_map(|row| {
                let values = self.values(row);
                Some(ScanRecord {
                    identity: self.business_key(&values, fields)?,
                    digest: self.content(&values),
                    key: row.key.clone(),
                })
            });
            spill.push(records.collect())?;
        }
        Ok((spill, first.unwrap_or_default()))
    }

    /// What a row would show in its list columns; a value that has no place there shows nothing comparable.
    fn values(&self, row: &SourceRow) -> Vec<Option<Value>> {
        let fields = self.spec.mapping.fields.iter().zip(&row.cells);
        fields
            .map(|(field, cell)| to_target(field, self.spec.mapping.time_zone, cell).ok())
            .collect()
    }

    /// One hash of all key values; `None` where one of them is missing.
    fn business_key(&self, values: &[Option<Value>], fields: &[usize]) -> Option<Identity> {
        let mut cells: Vec<Cell> = vec![None; values.len()];
        for at in fields {
            let value = values[*at]
                .as_ref()
                .filter(|value| !value.equivalent(&Value::Null))?;
            cells[*at] = self.comparable(value);
        }
        Some(Identity::from_bytes(self.digest(&cells).0))
    }

    /// One hash of everything that travels; unknown where a value cannot be compared.
    fn content(&self, values: &[Option<Value>]) -> RowDigest {
        let mut cells: Vec<Cell> = Vec::with_capacity(values.len());
        for (field, value) in self.spec.mapping.fields.iter().zip(values) {
            match value {
                _ if field.passive => cells.push(None),
                Some(value) => cells.push(self.comparable(value)),
                None => return RowDigest::UNKNOWN,
            }
        }
        self.digest(&cells)
    }

    /// Empty text and nothing are one value to a list.
    fn comparable(&self, value: &Value) -> Cell {
        let json = if value.equivalent(&Value::Null) {
            Json::Null
        } else {
            value.to_json()
        };
        target_hash(self.ports.hash_key, &json).map(|hash| hash.to_string().into())
    }

    async fn take_over(&mut self, pairs: &[Pair], mark: Mark) -> PortResult<()> {
        let keys: Vec<Key> = pairs.iter().map(|pair| pair.row.clone()).collect();
        let ids: Vec<Identity> = keys.iter().map(|key| self.identity(key)).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let (rows, _) = self.ports.source.read_keys(&keys).await?;
        let stamps = matches!(self.spec.target.rules.identity, ItemIdentity::SyncKey { .. });
        let mut adopted = Vec::new();
        let mut equal = Vec::new();
        for ((pair, base), row) in pairs.iter().zip(bases).zip(rows) {
            let Presence::One(row) = row else { continue };
            if base.as_ref().is_some_and(|base| base.state == LedgerState::Live) {
                continue;
            }
            let content = self.content(&self.values(&row));
            let same = content != RowDigest::UNKNOWN && content == pair.content;
            let mut ledger_row = self.stranger(pair, base.as_ref(), mark);
            // An item that is to be given its sync key is agreed on once it has it: a run that ends before looks
            // again and goes on.
            if same && !stamps {
                ledger_row.agreed = self.agreed_with(&row).to_bytes();
            }
            equal.push(same && stamps);
            adopted.push((ledger_row, row));
        }
        let ledger_rows: Vec<LedgerRow> = adopted.iter().map(|(row, _)| row.clone()).collect();
        let sequences = vec![None; ledger_rows.len()];
        let causes = vec![Cause::of(RowDecision::Adopt); ledger_rows.len()];
        let ledger = self.ports.ledger;
        let taken = ledger
            .adopt(self.fence(), &ledger_rows, &sequences, &causes)
            .await?;
        let mut attempts = Vec::new();
        for (((ledger_row, row), equal), taken) in adopted.into_iter().zip(equal).zip(taken) {
            if !taken {
                continue;
            }
            self.counters.adopted += 1;
            if equal {
                attempts.extend(self.stamping(ledger_row, row, mark));
            }
        }
        self.write_now(attempts).await
    }

    fn stranger(&self, pair: &Pair, base: Option<&LedgerRow>, mark: Mark) -> LedgerRow {
        LedgerRow {
            identity: self.identity(&pair.row),
            key: pair.row.clone(),
            item: pair.item.clone(),
            version: pair.version,
            agreed: Agreed::unknown(self.spec.mapping.fields.len()).to_bytes(),
            layout: self.layout,
            hash_key_id: self.ports.hash_key.id(),
            mark,
            state: LedgerState::Live,
            row_version: base.map_or(0, |base| base.row_version),
            last_run: self.spec.run,
        }
    }

    /// Both sides hold one value in every field; how the list stores it was not noted.
    fn agreed_with(&self, row: &SourceRow) -> Agreed {
        Agreed {
            digest: self.digest(&row.cells),
            fields: row
                .cells
                .iter()
                .map(|cell| (source_hash(self.ports.hash_key, cell), None))
                .collect(),
        }
    }

    fn stamping(&self, ledger_row: LedgerRow, row: SourceRow, mark: Mark) -> Option<Attempt> {
        let after = self.agreed_with(&row);
        let work = Work {
            subject: self.subject(ledger_row.key.clone()),
            source: Presence::One(row),
            mark,
            base: Some(LedgerRow {
                row_version: ledger_row.row_version + 1,
                ..ledger_row
            }),
            target: Presence::Unseen,
            dirty: None,
            why: WhyTag::FirstWrite,
            heard: Heard::default(),
            held: Held::No,
            rounds: 0,
            search: None,
            resolutions: Vec::new(),
            turns: Vec::new(),
            newcomer: None,
        };
        self.stamp(work, &after)
    }

    async fn park_ambiguous(&mut self, keys: &[Key]) -> PortResult<()> {
        let (rows, _) = self.ports.source.read_keys(keys).await?;
        let ids: Vec<Identity> = keys.iter().map(|key| self.identity(key)).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let mut entries: Vec<(NewQuarantine, Option<u64>)> = Vec::new();
        for ((key, row), base) in keys.iter().zip(rows).zip(bases) {
            // A row that has its item already does not mind others.
            if base.is_some_and(|base| base.state == LedgerState::Live) {
                continue;
            }
            let Presence::One(row) = row else { continue };
            let subject = self.subject(key.clone());
            self.ambiguous.insert(subject.identity);
            entries.push((self.quarantine(&subject, Some(&row.cells), ambiguous()), None));
        }
        if self.ambiguous.len() > MOST_AMBIGUOUS {
            return Err(filled_twice());
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.counters.quarantined += entries.len() as u64;
        self.ports
            .ledger
            .quarantine(self.fence(), self.spec.run, &entries)
            .await
    }
}

/// Pairs of rows and items that only show each other's key, and rows that several items show.
fn join(rows: Vec<ScanRecord>, items: Vec<ScanRecord>) -> PortResult<(Vec<Pair>, Vec<Key>)> {
    let mut pairs = Vec::new();
    let mut ambiguous = Vec::new();
    let mut rows = rows.into_iter().peekable();
    let mut items = items.into_iter().peekable();
    while let Some(row) = rows.next() {
        let mut same_rows = vec![row.key];
        while let Some(other) = rows.next_if(|other| other.identity == row.identity) {
            same_rows.push(other.key);
        }
        while items.next_if(|item| item.identity < row.identity).is_some() {}
        let mut same_items = Vec::new();
        while let Some(item) = items.next_if(|item| item.identity == row.identity) {
            same_items.push(item);
        }
        match (same_rows.len(), same_items.as_slice()) {
            (_, []) => {}
            (1, [item]) => {
                let (id, version) = addressed(&item.key)?;
                pairs.extend(same_rows.into_iter().map(|row| Pair {
                    row,
                    item: id.clone(),
                    version,
                    content: item.digest,
                }));
            }
            // Keys that only differ by what a list does not keep are no less ambiguous.
            _ => ambiguous.extend(same_rows),
        }
    }
    Ok((pairs, ambiguous))
}

/// How an item is found again, in the form in which scratch space keeps keys.
fn address(item: &Item) -> PortResult<Key> {
    let column = || KeyColumn {
        name: String::new(),
        pg_type: PgType::Text,
    };
    let (guid, counter) = (item.version.guid.to_string(), item.version.counter.to_string());
    let texts = [
        Some(item.id.0.as_str()),
        Some(guid.as_str()),
        Some(counter.as_str()),
    ];
    encode_key(&[column(), column(), column()], &texts).map_err(|_| damaged())
}

fn addressed(key: &Key) -> PortResult<(ItemId, Version)> {
    let texts = key.texts().map_err(|_| damaged())?;
    let [id, guid, counter] = texts.as_slice() else {
        return Err(damaged());
    };
    let version = Version {
        guid: guid.parse().map_err(|_| damaged())?,
        counter: counter.parse().map_err(|_| damaged())?,
    };
    Ok((ItemId((*id).to_owned()), version))
}

fn damaged() -> Failure {
    Failure::new(
        Scope::Outage,
        "scratch.damaged",
        "a note about an item does not read back",
        "run again; if it stays, check the disk of the worker's temporary folder",
    )
}

fn ambiguous() -> Failure {
    Failure::new(
        Scope::Row,
        AMBIGUOUS,
        "several items of the list show this row's key, and none of them is known to be its own",
        "delete all but one of them in the list, or correct the key of the others, then retry the row",
    )
}

fn filled_twice() -> Failure {
    Failure::new(
        Scope::List,
        "list.ambiguous",
        format!(
            "more than {MOST_AMBIGUOUS} rows have several items with their key in the list: it was filled twice"
        ),
        "remove one set of items, or give the definition a list of its own; nothing was written for these rows",
    )
}

/// Rows that wait for a choice, by identity.
pub(crate) type Ambiguous = BTreeSet<Identity>;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u8, key: &Key) -> ScanRecord {
        ScanRecord {
            identity: Identity::from_bytes([n; 16]),
            digest: RowDigest([n; 16]),
            key: key.clone(),
        }
    }

    fn row(n: u8) -> Key {
        let column = KeyColumn {
            name: "id".into(),
            pg_type: PgType::Int4,
        };
        encode_key(&[column], &[Some(n.to_string().as_str())]).unwrap()
    }

    fn item(n: u8) -> Key {
        address(&Item {
            id: ItemId(n.to_string()),
            version: Version {
                guid: Uuid::from_bytes([n; 16]),
                counter: n.into(),
            },
            fields: Default::default(),
            complete: true,
            shows_key: true,
            modified: None,
            by_us: None,
        })
        .unwrap()
    }

    #[test]
    fn only_a_row_and_an_item_that_show_no_others_key_are_a_pair() {
        let rows = [(1, 1), (2, 2), (3, 3), (4, 4), (4, 5), (6, 6)].map(|(n, key)| record(n, &row(key)));
        let items =
            [(0, 9), (2, 20), (3, 30), (3, 31), (4, 40), (5, 50)].map(|(n, key)| record(n, &item(key)));
        let (pairs, ambiguous) = join(rows.to_vec(), items.to_vec()).unwrap();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|pair| (pair.row.clone(), pair.item.0.as_str()))
            .collect();
        assert_eq!(pairs, [(row(2), "20")]);
        assert_eq!(ambiguous, [row(3), row(4), row(5)]);
    }

    #[test]
    fn an_item_is_found_again_by_its_note() {
        let (id, version) = addressed(&item(7)).unwrap();
        assert_eq!((id.0.as_str(), version.counter), ("7", 7));
        assert_eq!(version.guid, Uuid::from_bytes([7; 16]));
        assert!(addressed(&row(1)).is_err());
    }
}
