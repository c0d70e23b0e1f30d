//! What a run did to one row, held against what both sides show now: how it found them, how it left them, what they held
//! before, and what stays where somebody touched them since.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use serde_json::Value as Json;
use syncbridge_domain::agreed::{CellHash, source_hash, target_hash};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::convert_back::key_of_item;
use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::history::Stood;
use syncbridge_domain::identity::{Key, encode_key};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::FieldMapping;
use syncbridge_domain::receipt::{Fields, Item};
use syncbridge_domain::revert::{
    Earlier, Shown, SideOf, Stand, ValuesBefore, Written, present_after, seen_before,
};
use syncbridge_domain::row::Cell;

use crate::adoption::is_archived;
use crate::ports::past::Past;
use crate::ports::{OverriddenEdit, PortResult};
use crate::session::{Session, World};
use crate::work::Work;

/// How many earlier writes of a row are searched for what it held.
const SEARCHED: u32 = 200;

/// A row of the run, and what the run did to it.
pub(crate) struct Done {
    pub(crate) written: Written,
    /// What was agreed on before the first write, (source, target) a field.
    pub(crate) was: Vec<(CellHash, CellHash)>,
    /// And after the last one.
    left: Vec<(CellHash, CellHash)>,
    /// Whether its item was marked as archived before and after.
    pub(crate) archived: (bool, bool),
    /// Which sides were there after the last one.
    there: (bool, bool),
    earlier: Option<Vec<Earlier>>,
}

impl Done {
    /// Lets the earlier writes go, which hold values, once the row is decided.
    pub(crate) fn forget_earlier(&mut self) {
        self.earlier = None;
    }
}

impl<W: World> Session<'_, W> {
    pub(crate) async fn done(&mut self, written: Written) -> PortResult<Option<Done>> {
        let (Some(first), Some(last)) = (written.writes.first(), written.writes.last()) else {
            return Ok(None);
        };
        let fields = self.spec.mapping.fields.len();
        let unknown = vec![(None, None); fields];
        let archived = |stood: &Option<Stood>| {
            stood.as_ref().and_then(|stood| stood.state) == Some(LedgerState::Archived)
        };
        let (archived, there) = ((archived(&first.was), archived(&last.left)), present_after(last));
        let was = match first.was.clone() {
            Some(stood) => self.relaid(&stood.agreed, stood.layout).await?.fields,
            None => unknown.clone(),
        };
        let left = match last.left.clone() {
            Some(stood) => self.relaid(&stood.agreed, stood.layout).await?.fields,
            None => unknown,
        };
        Ok(Some(Done {
            written,
            was,
            left,
            archived,
            there,
            earlier: None,
        }))
    }

    /// The key of a row: the ledger's, or where that has forgotten the row, what its values tell.
    pub(crate) fn key_of_done(&self, done: &Done, base: Option<&LedgerRow>) -> Option<Key> {
        if let Some(base) = base {
            return Some(base.key.clone());
        }
        let mapping = &self.spec.mapping;
        let of_row = |values: &Fields| {
            let texts: Vec<Option<&str>> = mapping
                .key
                .iter()
                .map(|column| values.get(&column.name).and_then(Json::as_str))
                .collect();
            encode_key(&mapping.key, &texts).ok()
        };
        let candidate = |of_row_write: bool, values: &Fields| match of_row_write {
            true => of_row(values),
            false => key_of_item(mapping, mapping.time_zone, values),
        };
        let mut writes = done.written.writes.iter();
        writes.find_map(|write| {
            let of_row_write = write.kind.is_of_row();
            let key =
                candidate(of_row_write, &write.before).or_else(|| candidate(of_row_write, &write.sent))?;
            (self.identity(&key) == done.written.identity).then_some(key)
        })
    }

    /// What a cell of the row held before the run, where anybody kept it.
    pub(crate) async fn cell_before(
        &mut self,
        past: &dyn Past,
        work: &Work,
        done: &mut Done,
        at: usize,
    ) -> PortResult<Option<Cell>> {
        if let Some(cell) = self.values_before(work, done).of_source(at, done.was[at].0) {
            return Ok(Some(cell));
        }
        self.search_earlier(past, done).await?;
        Ok(self.values_before(work, done).of_source(at, done.was[at].0))
    }

    /// What a cell of the item held before the run, where anybody kept it.
    pub(crate) async fn value_before(
        &mut self,
        past: &dyn Past,
        work: &Work,
        done: &mut Done,
        at: usize,
    ) -> PortResult<Option<Json>> {
        if let Some(value) = self.values_before(work, done).of_list(at, done.was[at].1) {
            return Ok(Some(value));
        }
        self.search_earlier(past, done).await?;
        Ok(self.values_before(work, done).of_list(at, done.was[at].1))
    }

    fn values_before<'v>(&'v self, work: &'v Work, done: &'v Done) -> ValuesBefore<'v> {
        ValuesBefore {
            mapping: &self.spec.mapping,
            hash_key: self.ports.hash_key,
            run: &done.written.writes,
            earlier: done.earlier.as_deref().unwrap_or_default(),
            shown: Shown {
                cells: work.source.one().map(|row| row.cells.as_slice()),
                item: work.target.one().map(|item| &item.fields),
            },
        }
    }

    /// Reads what earlier writes of the row sent, once and only where something is to be looked for in it.
    pub(crate) async fn search_earlier(&mut self, past: &dyn Past, done: &mut Done) -> PortResult<()> {
        if done.earlier.is_some() {
            return Ok(());
        }
        let before = done.written.writes.first().map_or(0, |write| write.number);
        let writes = past.earlier(done.written.identity, before, SEARCHED).await?;
        let mut earlier = Vec::with_capacity(writes.len());
        for write in writes {
            let left = match write.left.clone() {
                Some(stood) => self.relaid(&stood.agreed, stood.layout).await?.fields,
                None => vec![(None, None); self.spec.mapping.fields.len()],
            };
            earlier.push(Earlier { write, left });
        }
        done.earlier = Some(earlier);
        Ok(())
    }

    /// Whether nobody but the run that is put back, and this one, wrote the ledger row: what a later run agreed on says
    /// nothing of what that run left.
    fn is_of_that_run(&self, base: &LedgerRow) -> bool {
        self.spec.options.revert == Some(base.last_run) || base.last_run == self.spec.run
    }

    pub(crate) fn source_side(&self, work: &Work, done: &Done) -> SideOf {
        let hash_key = self.ports.hash_key;
        let hashes = |cells: &[Cell]| cells.iter().map(|cell| source_hash(hash_key, cell)).collect();
        let left: Vec<CellHash> = done.left.iter().map(|(source, _)| *source).collect();
        let was = |at: usize, field: &FieldMapping| {
            let seen = seen_before(&done.written.writes, true, &field.column);
            let cell: Option<Cell> = seen.map(|value| value.as_str().map(Into::into));
            cell.map_or(done.was[at].0, |cell| source_hash(hash_key, &cell))
        };
        SideOf {
            found: self.found(done, true, &left, was),
            left: there(done.there.0, left),
            now: work
                .source
                .one()
                .map_or(Stand::Gone, |row| Stand::There(hashes(&row.cells))),
            untouched: match (&work.base, work.source.one()) {
                (Some(base), Some(row)) => {
                    self.is_of_that_run(base)
                        && self
                            .agreed_now(base)
                            .is_some_and(|agreed| agreed.digest == self.digest(&row.cells))
                }
                _ => false,
            },
        }
    }

    pub(crate) fn list_side(&self, work: &Work, done: &Done) -> SideOf {
        let hash_key = self.ports.hash_key;
        let with_mark = |mut hashes: Vec<CellHash>, archived| {
            hashes.push(marked(archived));
            hashes
        };
        let shown = |item: &Item| {
            let fields = self.spec.mapping.fields.iter();
            let shown = fields.map(|field| {
                item.value(&field.target)
                    .and_then(|shown| target_hash(hash_key, shown))
            });
            Stand::There(with_mark(shown.collect(), is_archived(item)))
        };
        let left: Vec<CellHash> = done.left.iter().map(|(_, target)| *target).collect();
        let was = |at: usize, field: &FieldMapping| {
            let seen = seen_before(&done.written.writes, false, &field.target);
            seen.map_or(done.was[at].1, |value| target_hash(hash_key, value))
        };
        let found = match self.found(done, false, &left, was) {
            Some(Stand::There(hashes)) => Some(Stand::There(with_mark(hashes, done.archived.0))),
            found => found,
        };
        SideOf {
            found,
            left: there(done.there.1, with_mark(left, done.archived.1)),
            now: work.target.one().map_or(Stand::Gone, shown),
            untouched: match (&work.base, work.target.one()) {
                (Some(base), Some(item)) => self.is_of_that_run(base) && base.version == item.version,
                _ => false,
            },
        }
    }

    /// How the run found a side; `None` where it did not write it. Where it only changed fields, the others were as it
    /// left them.
    fn found(
        &self,
        done: &Done,
        of_row: bool,
        left: &[CellHash],
        was: impl Fn(usize, &FieldMapping) -> CellHash,
    ) -> Option<Stand> {
        let writes = || {
            done.written
                .writes
                .iter()
                .filter(|write| write.kind.is_of_row() == of_row)
        };
        let first = writes().next()?;
        if matches!(first.kind, EffectKind::CreateItem | EffectKind::InsertRow) {
            return Some(Stand::Gone);
        }
        let went = writes().any(|write| matches!(write.kind, EffectKind::DeleteItem | EffectKind::DeleteRow));
        let fields = self.spec.mapping.fields.iter().enumerate();
        let found = fields.map(
            |(at, field)| match went || writes().any(|write| write.wrote(field)) {
                true => was(at, field),
                false => left[at],
            },
        );
        Some(Stand::There(found.collect()))
    }

    /// What stays and what would have been put back, field by field. The side that the run wrote shows what it shows;
    /// the value beside it is the one that would have been written there.
    pub(crate) fn conflicts_of(
        &self,
        work: &Work,
        done: &Done,
        source: &SideOf,
        fields: &BTreeSet<usize>,
    ) -> Vec<OverriddenEdit> {
        let of_row = source.found.is_some();
        let mapped = &self.spec.mapping.fields;
        let all: Vec<usize> = (0..mapped.len()).filter(|at| !mapped[*at].passive).collect();
        let of_side = || {
            done.written
                .writes
                .iter()
                .filter(|write| write.kind.is_of_row() == of_row)
        };
        let whole =
            of_side().any(|write| !matches!(write.kind, EffectKind::PatchItem | EffectKind::UpdateRow));
        let changed = |at: &usize| whole || of_side().any(|write| write.wrote(&mapped[*at]));
        let of_run: Vec<usize> = all.iter().copied().filter(changed).collect();
        let touched: Vec<usize> = fields.iter().copied().filter(|at| *at < mapped.len()).collect();
        // What somebody touched; where that is not what the run wrote, what the run wrote and is not put back.
        let mut told: Vec<usize> = touched.iter().copied().filter(|at| of_run.contains(at)).collect();
        if told.is_empty() {
            told = if of_run.is_empty() { touched } else { of_run };
        }
        let values = self.values_before(work, done);
        let shown = |at: usize| {
            let item = work.target.one();
            item.and_then(|item| item.value(&mapped[at].target))
                .cloned()
                .unwrap_or_default()
        };
        let cell = |at: usize| match work.source.one() {
            Some(row) => self.source_value(&mapped[at], &row.cells[at]),
            None => Json::Null,
        };
        let edit = |at: usize| {
            let (kept, lost, winner) = match of_row {
                true => (
                    cell(at),
                    values
                        .of_source(at, done.was[at].0)
                        .map(|cell| self.source_value(&mapped[at], &cell)),
                    Side::Source,
                ),
                false => (shown(at), values.of_list(at, done.was[at].1), Side::Target),
            };
            let lost = lost.unwrap_or_default();
            let (source, target) = if of_row { (kept, lost) } else { (lost, kept) };
            OverriddenEdit {
                identity: work.identity(),
                column: mapped[at].column.clone(),
                source,
                target,
                winner,
                target_at: work.target.one().and_then(|item| item.modified),
                ambiguous: false,
            }
        };
        told.into_iter().map(edit).collect()
    }
}

fn there(is_there: bool, hashes: Vec<CellHash>) -> Stand {
    match is_there {
        true => Stand::There(hashes),
        false => Stand::Gone,
    }
}

/// A mark as one more field of an item.
fn marked(archived: bool) -> CellHash {
    NonZeroU64::new(if archived { 2 } else { 1 })
}
