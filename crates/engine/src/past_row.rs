//! What a run did to one row, held against what both sides show now: how it found them, how it left them, what they held
//! before, and what stays where somebody touched them since.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use serde_json::Value as Json;
use syncbridge_domain::agreed::{Agreed, CellHash, source_hash, target_hash};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::convert_back::key_of_item;
use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::history::Stood;
use syncbridge_domain::identity::{Key, encode_key};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::{ARCHIVED, FieldMapping, Mapping, STATE_COLUMN};
use syncbridge_domain::receipt::{Fields, Item};
use syncbridge_domain::revert::{
    Earlier, PastWrite, Shown, SideOf, Stand, ValuesBefore, Written, present_after, seen_before,
};
use syncbridge_domain::row::Cell;
use syncbridge_domain::version::Version;

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
    left: Agreed,
    /// At which version of the item that was agreed on.
    version: Option<Version>,
    /// Whether its item was marked as archived before and after.
    pub(crate) archived: (bool, bool),
    /// Which sides were there after the last one.
    there: (bool, bool),
    earlier: Option<Vec<Earlier>>,
}

impl Done {
    fn of_side(&self, of_row: bool) -> impl Iterator<Item = &PastWrite> {
        let writes = self.written.writes.iter();
        writes.filter(move |write| write.kind.is_of_row() == of_row)
    }

    /// Columns that the run changed and that are not mapped any more, where it changed fields and not the whole.
    pub(crate) fn unmapped(&self, mapping: &Mapping) -> Option<String> {
        let writes = self.written.writes.iter();
        let columns: BTreeSet<&str> = writes.flat_map(|write| write.changed_unmapped(mapping)).collect();
        let columns: Vec<&str> = columns.into_iter().collect();
        (!columns.is_empty()).then(|| columns.join(", "))
    }

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
        let unknown = Agreed::unknown(fields);
        let archived = |stood: &Option<Stood>| {
            stood.as_ref().and_then(|stood| stood.state) == Some(LedgerState::Archived)
        };
        let (archived, there) = ((archived(&first.was), archived(&last.left)), present_after(last));
        let was = match first.was.clone() {
            Some(stood) => self.relaid(&stood.agreed, stood.layout).await?.fields,
            None => unknown.fields.clone(),
        };
        let version = last.version;
        let left = match last.left.clone() {
            Some(stood) => self.relaid(&stood.agreed, stood.layout).await?,
            None => unknown,
        };
        Ok(Some(Done {
            written,
            was,
            left,
            version,
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

    pub(crate) fn source_side(&self, work: &Work, done: &Done) -> SideOf {
        let hash_key = self.ports.hash_key;
        let hashes = |cells: &[Cell]| cells.iter().map(|cell| source_hash(hash_key, cell)).collect();
        let left: Vec<CellHash> = done.left.fields.iter().map(|(source, _)| *source).collect();
        let was = |at: usize, field: &FieldMapping| {
            let seen = seen_before(&done.written.writes, true, &field.column);
            let cell: Option<Cell> = seen.map(|value| value.as_str().map(Into::into));
            cell.map_or(done.was[at].0, |cell| source_hash(hash_key, &cell))
        };
        SideOf {
            found: self.found(done, true, &left, was),
            wrote: self.fields_written(done, true),
            left: there(done.there.0, left),
            now: work
                .source
                .one()
                .map_or(Stand::Gone, |row| Stand::There(hashes(&row.cells))),
            // Judged by what that run left: what a later one agreed on says nothing of it.
            untouched: work
                .source
                .one()
                .is_some_and(|row| done.left.digest == self.digest(&row.cells)),
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
        let left: Vec<CellHash> = done.left.fields.iter().map(|(_, target)| *target).collect();
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
            wrote: self.fields_written(done, false),
            left: there(done.there.1, with_mark(left, done.archived.1)),
            now: work.target.one().map_or(Stand::Gone, shown),
            untouched: work
                .target
                .one()
                .is_some_and(|item| done.version == Some(item.version)),
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
        let mut writes = done.of_side(of_row);
        let first = writes.next()?;
        if matches!(first.kind, EffectKind::CreateItem | EffectKind::InsertRow) {
            return Some(Stand::Gone);
        }
        let wrote = self.fields_written(done, of_row);
        let fields = self.spec.mapping.fields.iter().enumerate();
        let found = fields.map(|(at, field)| match wrote[at] {
            true => was(at, field),
            false => left[at],
        });
        Some(Stand::There(found.collect()))
    }

    /// Which fields of a side the run wrote: all of them where it made or removed the whole.
    fn fields_written(&self, done: &Done, of_row: bool) -> Vec<bool> {
        let whole = done
            .of_side(of_row)
            .any(|write| !matches!(write.kind, EffectKind::PatchItem | EffectKind::UpdateRow));
        let wrote = |field: &FieldMapping| whole || done.of_side(of_row).any(|write| write.wrote(field));
        self.spec.mapping.fields.iter().map(wrote).collect()
    }

    /// What stays and what would have been put back, field by field. `touched`: fields that show it, by side. The side
    /// that the run wrote shows what it shows; the value beside it is the one that would have been written there.
    pub(crate) fn conflicts_of(
        &self,
        work: &Work,
        done: &Done,
        touched: (&[usize], &[usize]),
    ) -> Vec<OverriddenEdit> {
        let mapped = &self.spec.mapping.fields;
        let of_run: Vec<(bool, usize)> = [true, false]
            .into_iter()
            .flat_map(|of_row| {
                let wrote = self.fields_written(done, of_row).into_iter().enumerate();
                let wrote = wrote.filter(|(at, wrote)| *wrote && !mapped[*at].passive);
                wrote.map(move |(at, _)| (of_row, at)).collect::<Vec<_>>()
            })
            .collect();
        let is_touched = |(_, at): &&(bool, usize)| touched.0.contains(at) || touched.1.contains(at);
        // What somebody touched; where that is not what the run wrote, what the run wrote and is not put back.
        let mut told: Vec<(bool, usize)> = of_run.iter().filter(is_touched).copied().collect();
        if told.is_empty() {
            told = of_run;
        }
        let values = self.values_before(work, done);
        let item = work.target.one();
        let shown = |name: &str| {
            item.and_then(|item| item.value(name))
                .cloned()
                .unwrap_or_default()
        };
        let cell = |at: usize| match work.source.one() {
            Some(row) => self.source_value(&mapped[at], &row.cells[at]),
            None => Json::Null,
        };
        let kept = |column: &str, source: Json, target: Json, winner: Side| OverriddenEdit {
            identity: work.identity(),
            column: column.to_owned(),
            source,
            target,
            winner,
            target_at: item.and_then(|item| item.modified),
            ambiguous: false,
        };
        let edit = |(of_row, at): (bool, usize)| {
            let field = &mapped[at];
            match of_row {
                true => {
                    let lost = values.of_source(at, done.was[at].0);
                    let lost = lost.map(|cell| self.source_value(field, &cell));
                    kept(&field.column, cell(at), lost.unwrap_or_default(), Side::Source)
                }
                false => {
                    let lost = values.of_list(at, done.was[at].1).unwrap_or_default();
                    kept(&field.column, lost, shown(&field.target), Side::Target)
                }
            }
        };
        if told.is_empty() {
            // All that the run did to the row was to mark its item, or to take the mark away.
            let was = done.archived.0.then(|| Json::String(ARCHIVED.to_owned()));
            let shown = shown(STATE_COLUMN);
            return vec![kept(STATE_COLUMN, was.unwrap_or_default(), shown, Side::Target)];
        }
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
