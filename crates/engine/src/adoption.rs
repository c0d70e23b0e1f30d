//! Adoption by listing: where nothing is known about many rows whose items may be in the list already (a lost
//! ledger, a definition made anew, another layout of the hashes), the list is read once in pages and joined
//! with the table by sync key. Looking rows up one by one would cost a request each; this costs two resource
//! units for each page of the list.
//!
//! Rows and items that show the same become agreed without a write. Where they differ, what is equal is agreed
//! on and the rest stays unknown: the row is then judged like any other, which lists and counts it and writes
//! it only with a person's word (DESIGN §5, "unknown B").
//!
//! Neither side is held in memory: both are noted in scratch space as hashes and joined bucket by bucket. Two
//! values are one where their canonical forms are one byte for byte; anything less certain is left unknown and
//! looked at by itself, so a hash never decides more than equality does.

use std::collections::BTreeSet;

use syncbridge_domain::agreed::{Agreed, CellHash, RowDigest, source_hash, target_hash};
use syncbridge_domain::canonical::Value;
use syncbridge_domain::convert::to_target;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::{Cursor, Mark};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::{Identity, Key, SyncKey};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::STATE_COLUMN;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::Item;
use syncbridge_domain::reconcile::RowDecision;
use syncbridge_domain::row::{Cell, SourceRow};

use crate::note::{FieldNote, ItemNote, RowNote};
use crate::ports::{Ledger, Note, Notes, PortResult, Progress, Scratch, Source, Step, Target};
use crate::session::{Session, World, moved_on};

/// Items of a page as the list is read; only to judge what reading it costs.
const PAGE_ITEMS: u64 = 2_000;
/// How many items without a row are looked at for signs of another hash key.
const SAMPLE: usize = 4_096;

type NotesOf<W> = <<W as World>::Scratch as Scratch>::Notes;

/// Both sides, noted.
struct Sides<N> {
    rows: N,
    items: N,
    mark: Mark,
    /// Items that carry a sync key.
    listed: u64,
}

impl<W: World> Session<'_, W> {
    /// Reads the list and takes over what is equal, where that is cheaper than looking row by row.
    pub(crate) async fn anchor(&mut self, cursor: &Cursor) -> PortResult<()> {
        // Where items carry no sync key there is nothing to join by.
        if !self.keeps_sync_keys() {
            return Ok(());
        }
        let live = self.ports.ledger.live_rows().await?;
        let begins = matches!(cursor, Cursor::FirstCopy { after: None, .. });
        if live == 0 && begins && !self.spec.list_is_new {
            return self.adopt_by_listing(true).await;
        }
        if self.stale_rows > 2 * live.div_ceil(PAGE_ITEMS) {
            return self.adopt_by_listing(false).await;
        }
        Ok(())
    }

    /// `empty`: the ledger knows no row, so that every item that is found was made by somebody else or by a
    /// ledger that is lost.
    async fn adopt_by_listing(&mut self, empty: bool) -> PortResult<()> {
        let expected = self.ports.source.estimate().await?;
        self.ports.progress.step(Step::Reading { rows: expected });
        let (items, listed) = self.note_items(expected).await?;
        if listed == 0 {
            return Ok(());
        }
        let (rows, mark) = self.note_rows(expected).await?;
        let mut sides = Sides {
            rows,
            items,
            mark,
            listed,
        };
        let mut matched = 0;
        for bucket in 0..(1usize << sides.rows.bucket_bits()) {
            self.check()?;
            matched += self.join(&mut sides, bucket).await?;
            self.report();
        }
        if empty && matched == 0 && !self.spec.options.approve_unagreed {
            self.refuse_doubles(&mut sides).await?;
        }
        Ok(())
    }

    /// Notes every item that carries a sync key.
    async fn note_items(&mut self, expected: u64) -> PortResult<(NotesOf<W>, u64)> {
        let mut notes = self.ports.scratch.notes(expected)?;
        let mut listed = 0;
        let mut next: Option<String> = None;
        loop {
            self.check()?;
            let page = self.ports.target.page(next.as_deref(), WhyTag::Scan).await?;
            let found: Vec<Note> = page
                .items
                .iter()
                .filter_map(|item| {
                    let identity = item.sync_key().and_then(SyncKey::parse)?;
                    Some(Note {
                        identity,
                        bytes: self.item_note(item).to_bytes(),
                    })
                })
                .collect();
            listed += found.len() as u64;
            notes.push(found)?;
            self.note_strangers_of(&page.items).await?;
            self.report();
            match page.next {
                None => return Ok((notes, listed)),
                Some(link) => {
                    moved_on(next.as_ref(), &link)?;
                    next = Some(link);
                }
            }
        }
    }

    fn item_note(&self, item: &Item) -> ItemNote {
        let archived = is_archived(item);
        let fields = self.spec.mapping.fields.iter().map(|field| {
            let shown = item.value(&field.target);
            let value = shown.and_then(|json| Value::from_json(&field.facet, json).ok());
            FieldNote {
                raw: shown.and_then(|json| target_hash(self.ports.hash_key, json)),
                // An archived item is to be written anyway once its row is back: it equals nothing.
                canonical: value
                    .filter(|_| !archived)
                    .and_then(|value| self.canonical(&value)),
            }
        });
        ItemNote {
            item: item.id.clone(),
            version: item.version,
            fields: fields.collect(),
        }
    }

    /// Notes every row of the table.
    async fn note_rows(&mut self, expected: u64) -> PortResult<(NotesOf<W>, Mark)> {
        let mut notes = self.ports.scratch.notes(expected)?;
        let mut first = None;
        let mut after: Option<Key> = None;
        loop {
            self.check()?;
            let page = self
                .ports
                .source
                .page_by_key(after.as_ref(), self.spec.limits.page_rows)
                .await?;
            first.get_or_insert(page.mark);
            let Some(last) = page.rows.last() else { break };
            moved_on(after.as_ref(), &last.key)?;
            after = Some(last.key.clone());
            self.counters.read += page.rows.len() as u64;
            let found = page.rows.iter().map(|row| Note {
                identity: self.identity(&row.key),
                bytes: self.row_note(row).to_bytes(),
            });
            notes.push(found.collect())?;
            self.report();
        }
        Ok((notes, first.unwrap_or_default()))
    }

    fn row_note(&self, row: &SourceRow) -> RowNote {
        let fields = self.spec.mapping.fields.iter().zip(&row.cells);
        RowNote {
            key: row.key.clone(),
            digest: self.digest(&row.cells),
            fields: fields
                .map(|(field, cell)| FieldNote {
                    raw: source_hash(self.ports.hash_key, cell),
                    canonical: to_target(field, self.spec.mapping.time_zone, cell)
                        .ok()
                        .and_then(|value| self.canonical(&value)),
                })
                .collect(),
        }
    }

    /// Empty text and nothing are one value to a list, and so have one hash here.
    fn canonical(&self, value: &Value) -> CellHash {
        if value.equivalent(&Value::Null) {
            target_hash(self.ports.hash_key, &serde_json::Value::Null)
        } else {
            target_hash(self.ports.hash_key, &value.to_json())
        }
    }

    /// Joins one bucket and records what can be agreed on. Answers how many items have a row.
    async fn join(&mut self, sides: &mut Sides<NotesOf<W>>, bucket: usize) -> PortResult<u64> {
        let rows = sides.rows.bucket(bucket)?;
        let mut items = sides.items.bucket(bucket)?.into_iter().peekable();
        let mut pairs = Vec::new();
        for row in rows {
            while items.next_if(|item| item.identity < row.identity).is_some() {}
            let Some(item) = items.next_if(|item| item.identity == row.identity) else {
                continue;
            };
            // Several items of one identity are never guessed between; the row's own look finds them all.
            let mut several = false;
            while items.next_if(|item| item.identity == row.identity).is_some() {
                several = true;
            }
            if !several {
                pairs.push((
                    row.identity,
                    RowNote::read(&row.bytes)?,
                    ItemNote::read(&item.bytes)?,
                ));
            }
        }
        let matched = pairs.len() as u64;
        for chunk in pairs.chunks(self.spec.limits.page_rows.max(1) as usize) {
            self.record(chunk, sides.mark).await?;
        }
        Ok(matched)
    }

    async fn record(&mut self, pairs: &[(Identity, RowNote, ItemNote)], mark: Mark) -> PortResult<()> {
        let ids: Vec<Identity> = pairs.iter().map(|(identity, ..)| *identity).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let mut agreed = Vec::new();
        for ((identity, row, item), base) in pairs.iter().zip(bases) {
            agreed.extend(self.anchored(*identity, row, item, base, mark).await?);
        }
        let sequences = vec![None; agreed.len()];
        let causes = vec![Cause::of(RowDecision::Adopt); agreed.len()];
        let ledger = self.ports.ledger;
        let taken = ledger.adopt(self.fence(), &agreed, &sequences, &causes).await?;
        self.counters.adopted += taken.into_iter().filter(|taken| *taken).count() as u64;
        Ok(())
    }

    /// The ledger row of a pair: what was known stays, what is equal is agreed on, the rest is unknown. `None`
    /// where there is nothing to learn, or where the item is not the one the ledger means.
    async fn anchored(
        &mut self,
        identity: Identity,
        row: &RowNote,
        item: &ItemNote,
        base: Option<LedgerRow>,
        mark: Mark,
    ) -> PortResult<Option<LedgerRow>> {
        let mut agreed = Agreed::unknown(self.spec.mapping.fields.len());
        if let Some(base) = &base {
            let same = base.state == LedgerState::Live && base.version.guid == item.version.guid;
            if !same || !self.is_stale(base) {
                return Ok(None);
            }
            agreed = self.agreed(base).await?;
        }
        let joined = join_fields(&self.spec.mapping.fields, agreed, row, item);
        // What a person did since the ledger was written is for the next write to meet, not to pass over.
        let version = match &base {
            Some(base) if joined.moved => base.version,
            _ => item.version,
        };
        Ok(Some(LedgerRow {
            identity,
            key: row.key.clone(),
            item: item.item.clone(),
            version,
            agreed: joined.agreed.to_bytes(),
            layout: self.layout,
            hash_key_id: self.ports.hash_key.id(),
            mark,
            state: LedgerState::Live,
            row_version: base.map_or(0, |base| base.row_version),
            last_run: self.spec.run,
        }))
    }

    fn is_stale(&self, row: &LedgerRow) -> bool {
        row.layout != self.layout || row.hash_key_id != self.ports.hash_key.id()
    }

    /// A list full of items that look like these rows under sync keys that are none of theirs was filled under
    /// another hash key: writing now would make every row a second time.
    async fn refuse_doubles(&self, sides: &mut Sides<NotesOf<W>>) -> PortResult<()> {
        let mut looks = BTreeSet::new();
        let mut guids = Vec::new();
        let buckets = 1usize << sides.rows.bucket_bits();
        for bucket in 0..buckets {
            for note in sides.items.bucket(bucket)? {
                let item = ItemNote::read(&note.bytes)?;
                looks.extend(self.look_of(&item.fields));
                guids.push(item.version.guid);
            }
            if guids.len() >= SAMPLE {
                break;
            }
        }
        // Items that another definition answers for are its own business.
        let foreign = self.ports.ledger.owned_elsewhere(&guids).await?;
        if foreign.iter().all(|owned| *owned) {
            return Ok(());
        }
        let mut doubles = 0u64;
        for bucket in 0..buckets {
            for note in sides.rows.bucket(bucket)? {
                let row = RowNote::read(&note.bytes)?;
                doubles += u64::from(
                    self.look_of(&row.fields)
                        .is_some_and(|look| looks.contains(&look)),
                );
            }
        }
        if doubles == 0 {
            return Ok(());
        }
        Err(Failure::new(
            Scope::List,
            "list.other_hash_key",
            format!(
                "the list holds {} items of SyncBridge, none of them under a sync key of this table, and {doubles} \
                 rows look exactly like one of them",
                sides.listed
            ),
            "restore the hash key with which the list was filled (it is part of the meta-store's backup); if the \
             items are another installation's, give this definition a list of its own, or run with `--approve` \
             to make all rows beside them",
        ))
    }

    /// All canonical forms of a row or item together; `None` where one cannot be compared.
    fn look_of(&self, fields: &[FieldNote]) -> Option<[u8; 16]> {
        let mut all: Vec<Cell> = Vec::with_capacity(fields.len());
        for (field, note) in self.spec.mapping.fields.iter().zip(fields) {
            all.push(if field.passive {
                None
            } else {
                Some(note.canonical?.get().to_string().into())
            });
        }
        Some(self.digest(&all).0)
    }
}

/// Whether an item shows our mark of an archived one.
pub(crate) fn is_archived(item: &Item) -> bool {
    item.fields
        .get(STATE_COLUMN)
        .and_then(serde_json::Value::as_str)
        .is_some_and(|state| state == syncbridge_domain::mapping::ARCHIVED)
}

struct Joined {
    agreed: Agreed,
    /// The item shows something else than was agreed on in a field that was known.
    moved: bool,
}

fn join_fields(
    mapping: &[syncbridge_domain::mapping::FieldMapping],
    mut agreed: Agreed,
    row: &RowNote,
    item: &ItemNote,
) -> Joined {
    let mut whole = true;
    let mut moved = false;
    let notes = row.fields.iter().zip(&item.fields);
    for ((slot, field), (ours, theirs)) in agreed.fields.iter_mut().zip(mapping).zip(notes) {
        if slot.0.is_none() {
            *slot = if ours.equals(theirs) {
                (ours.raw, theirs.raw)
            } else {
                (None, None)
            };
        } else {
            moved |= slot.1.is_some() && theirs.raw.is_some() && slot.1 != theirs.raw;
        }
        whole &= field.passive || slot.0 == ours.raw;
    }
    agreed.digest = if whole { row.digest } else { RowDigest::UNKNOWN };
    Joined { agreed, moved }
}

#[cfg(test)]
#[path = "adoption_tests.rs"]
mod tests;
