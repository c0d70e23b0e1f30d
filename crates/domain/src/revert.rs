//! Putting back what a run did: what is to be undone of one row, and what its cells held before.
//!
//! A revert is judged by content and by each side alone. A side that the run wrote is put back only where it still
//! shows what the run left there, and only where the other side has not moved on either; whatever was touched since
//! stays as it is (DESIGN §12, I3). Where a side shows already what it did before the run, nothing is left to do, so
//! that a revert may be repeated.

use serde_json::Value as Json;

use crate::agreed::{CellHash, source_hash, target_hash};
use crate::convert::to_target;
use crate::convert_back::to_source;
use crate::dirty::NewQuarantine;
use crate::effect::{EffectKind, ItemLink};
use crate::failure::{Failure, Scope};
use crate::history::{Beside, Cause, Stood};
use crate::identity::{HashKey, Identity};
use crate::ids::RunId;
use crate::ledger::LedgerState;
use crate::mapping::{FieldMapping, Mapping};
use crate::policy::Direction;
use crate::receipt::Fields;
use crate::reconcile::FieldDecision;
use crate::row::Cell;
use crate::version::Version;

/// Code of rows whose other side still shows what was put back on this one.
pub const HELD: &str = "revert.held";
/// Code of rows of which nobody kept what they held before.
pub const NO_VALUES: &str = "revert.no_values";
/// Code of rows in which a column was written that is not mapped any more.
pub const UNMAPPED: &str = "revert.unmapped";

/// One write that the history holds, with its values where they were kept.
#[derive(Clone, PartialEq)]
pub struct PastWrite {
    /// Its number; later ones have higher ones.
    pub number: u64,
    /// What it did.
    pub kind: EffectKind,
    /// Why it was made; `None` for entries from before that was kept.
    pub cause: Option<Cause>,
    /// The item, at the version it had before, where one was named.
    pub item: Option<ItemLink>,
    /// What the ledger held before; `None` where it held nothing.
    pub was: Option<Stood>,
    /// What it held afterwards.
    pub left: Option<Stood>,
    /// At which version of the item.
    pub version: Option<Version>,
    /// What was sent, named by the side that was written.
    pub sent: Fields,
    /// What was there before, as far as it was seen; named by the side that was written.
    pub before: Fields,
}

impl std::fmt::Debug for PastWrite {
    // Values never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PastWrite({} {})", self.number, self.kind.name())
    }
}

impl PastWrite {
    /// What else it was for.
    #[must_use]
    pub fn beside(&self) -> Option<Beside> {
        self.cause.as_ref().and_then(|cause| cause.beside)
    }

    /// Whether it wrote this field of the side that it wrote.
    #[must_use]
    pub fn wrote(&self, field: &FieldMapping) -> bool {
        use FieldDecision as F;
        let of_row = self.kind.is_of_row();
        let Some(cause) = &self.cause else {
            let name = if of_row { &field.column } else { &field.target };
            return self.sent.contains_key(name);
        };
        cause
            .field(&field.column)
            .is_some_and(|decided| match decided.rule {
                F::ToTarget | F::RideToTarget | F::ConflictToTarget => !of_row,
                F::ToSource | F::RideToSource | F::ConflictToSource => of_row,
                // An edit on the side that does not own the field was put back along with the rest.
                F::ForeignReported => of_row == (field.direction == Direction::Pull),
                _ => false,
            })
    }

    /// Columns whose fields it changed and that are not mapped any more: nobody can say what they show.
    pub fn changed_unmapped<'w>(&'w self, mapping: &'w Mapping) -> impl Iterator<Item = &'w str> {
        use FieldDecision as F;
        let of_fields = matches!(self.kind, EffectKind::PatchItem | EffectKind::UpdateRow);
        let decided = self
            .cause
            .iter()
            .filter(move |_| of_fields)
            .flat_map(|cause| &cause.fields);
        decided
            .filter(|decided| {
                matches!(
                    decided.rule,
                    F::ToTarget | F::ConflictToTarget | F::ToSource | F::ConflictToSource
                )
            })
            .map(|decided| decided.column.as_str())
            .filter(|column| mapping.fields.iter().all(|field| field.column != *column))
    }
}

/// What one run wrote of one row, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Whose.
    pub identity: Identity,
    /// At least one.
    pub writes: Vec<PastWrite>,
}

/// One side of a row at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It was not there.
    Gone,
    /// It held this, field by field; `None` is unknown, or was not seen.
    There(Vec<CellHash>),
}

/// One side of a row: before the run, after it, and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideOf {
    /// What the run found; `None`: it did not write this side.
    pub found: Option<Stand>,
    /// Which fields the run wrote; the others were as it left them. Without meaning where it made or removed the whole.
    pub wrote: Vec<bool>,
    /// What the run left.
    pub left: Stand,
    /// What it shows now.
    pub now: Stand,
    /// Nobody wrote it since the ledger last agreed on it: what was never learnt of it is as the run left it.
    pub untouched: bool,
}

/// What is to be done to one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideUndo {
    /// Nothing.
    Nothing,
    /// What the run made goes.
    Remove,
    /// What the run removed is made anew.
    Make,
    /// These fields get back what they held.
    Restore(Vec<usize>),
}

/// What is to be undone of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It is as it was before the run.
    Nothing,
    /// Both sides are as the run left them.
    Write {
        /// What is to be done in the source.
        source: SideUndo,
        /// What is to be done in the list.
        list: SideUndo,
    },
    /// Somebody touched it since; the fields that show it, by side. Both may be empty where a whole row or item did.
    Touched {
        /// Fields of the source.
        source: Vec<usize>,
        /// Fields of the list.
        list: Vec<usize>,
    },
}

/// Where a side stands between what the run found and what it left.
enum Standing {
    AsFound,
    AsLeft(SideUndo),
    Elsewhere(Vec<usize>),
}

/// Decides what is to be undone of a row. `counts`: fields that are not passive. Total and pure.
#[must_use]
pub fn undo(source: &SideOf, list: &SideOf, counts: &[bool]) -> Undo {
    let (of_source, of_list) = (source.standing(counts), list.standing(counts));
    let is_done = |side: &SideOf, standing: &Standing| {
        !side.was_changed(counts) || matches!(standing, Standing::AsFound)
    };
    // What was put back on every side that the run changed is put back, whatever became of the rest.
    if is_done(source, &of_source) && is_done(list, &of_list) {
        return Undo::Nothing;
    }
    match (of_source, of_list) {
        (Standing::Elsewhere(source), Standing::Elsewhere(list)) => Undo::Touched { source, list },
        (Standing::Elsewhere(source), _) => Undo::Touched {
            source,
            list: Vec::new(),
        },
        (_, Standing::Elsewhere(list)) => Undo::Touched {
            source: Vec::new(),
            list,
        },
        (source, list) => Undo::Write {
            source: source.undo(),
            list: list.undo(),
        },
    }
}

impl Standing {
    fn undo(self) -> SideUndo {
        match self {
            Standing::AsLeft(undo) => undo,
            Standing::AsFound | Standing::Elsewhere(_) => SideUndo::Nothing,
        }
    }
}

impl SideOf {
    /// Whether the run changed anything of this side that counts. What it made and took away again is no change, and
    /// neither is the sync key that it gave to an item.
    fn was_changed(&self, counts: &[bool]) -> bool {
        match (&self.found, &self.left) {
            (None, _) | (Some(Stand::Gone), Stand::Gone) => false,
            (Some(Stand::There(found)), Stand::There(left)) => {
                self.brought(found, left).iter().any(|at| matters(counts, *at))
            }
            _ => true,
        }
    }

    /// Fields that the run wrote, but for those that are known to have held the same before. What is not known is no
    /// proof of that.
    fn brought(&self, found: &[CellHash], left: &[CellHash]) -> Vec<usize> {
        let wrote = |at: &usize| self.wrote.get(*at).copied().unwrap_or(true);
        let same = |at: usize| found[at].is_some() && found[at] == left[at];
        (0..left.len().min(found.len()))
            .filter(wrote)
            .filter(|at| !same(*at))
            .collect()
    }

    fn standing(&self, counts: &[bool]) -> Standing {
        use Stand::{Gone, There};
        let differing = |known: &[CellHash], now: &[CellHash]| self.differing(known, now, counts);
        let found = self.found.as_ref().filter(|_| self.was_changed(counts));
        match (found, &self.left, &self.now) {
            // A side that the run did not change has only to be where it was.
            (None, Gone, Gone) => Standing::AsLeft(SideUndo::Nothing),
            (None, There(left), There(now)) => match differing(left, now) {
                moved if moved.is_empty() => Standing::AsLeft(SideUndo::Nothing),
                moved => Standing::Elsewhere(moved),
            },
            (None, ..) => Standing::Elsewhere(Vec::new()),
            (Some(Gone), _, Gone) => Standing::AsFound,
            (Some(Gone), Gone, There(_)) => Standing::Elsewhere(Vec::new()),
            (Some(Gone), There(left), There(now)) => match differing(left, now) {
                moved if moved.is_empty() => Standing::AsLeft(SideUndo::Remove),
                moved => Standing::Elsewhere(moved),
            },
            (Some(There(_)), Gone, Gone) => Standing::AsLeft(SideUndo::Make),
            (Some(There(found)), Gone, There(now)) => match differing(found, now) {
                moved if moved.is_empty() => Standing::AsFound,
                moved => Standing::Elsewhere(moved),
            },
            (Some(There(found)), There(left), now) => {
                let changed = self.brought(found, left);
                let count = || changed.iter().copied().filter(|at| matters(counts, *at));
                let There(now) = now else {
                    return Standing::Elsewhere(count().collect());
                };
                let is_back = |at: usize| found[at].is_some() && now.get(at) == found.get(at);
                if count().all(is_back) {
                    return Standing::AsFound;
                }
                match differing(left, now) {
                    moved if moved.is_empty() => Standing::AsLeft(SideUndo::Restore(changed)),
                    moved => Standing::Elsewhere(moved),
                }
            }
        }
    }

    /// Fields that count and do not show what is known of them.
    fn differing(&self, known: &[CellHash], now: &[CellHash], counts: &[bool]) -> Vec<usize> {
        let shows = |at: usize| match (known.get(at).copied().flatten(), now.get(at).copied().flatten()) {
            (Some(known), Some(now)) => known == now,
            _ => self.untouched,
        };
        let fields = known.len().max(now.len());
        (0..fields)
            .filter(|at| matters(counts, *at) && !shows(*at))
            .collect()
    }
}

fn matters(counts: &[bool], at: usize) -> bool {
    counts.get(at).copied().unwrap_or(true)
}

/// Which sides of a row are there once a write is applied: the source's, the list's.
#[must_use]
pub fn present_after(write: &PastWrite) -> (bool, bool) {
    use EffectKind as K;
    let state = write.left.as_ref().and_then(|left| left.state);
    match (state, write.beside(), write.kind) {
        // A row and an item that is marked all the same.
        (Some(LedgerState::Archived), Some(Beside::RevertHeld), _) => (true, true),
        (Some(LedgerState::Kept | LedgerState::Archived), ..) => (false, true),
        (Some(LedgerState::Tombstone), Some(beside), _) if beside.holds() => (true, false),
        (Some(LedgerState::Tombstone), ..) | (None, _, K::DeleteItem | K::DeleteRow) => (false, false),
        (Some(LedgerState::Live) | None, ..) => (true, true),
    }
}

/// What the ledger says of a row once a write of this kind is applied. One that puts back what a run did may leave one
/// side without the other: then nothing of it travels by itself.
#[must_use]
pub fn state_after(kind: EffectKind, beside: Option<Beside>) -> LedgerState {
    use EffectKind as K;
    match (beside, kind) {
        // The item stands without a row.
        (Some(Beside::RevertAlone), K::CreateItem | K::PatchItem | K::DeleteRow) => LedgerState::Kept,
        // The row is there and its item is not: with the row's next change it gets one.
        (Some(Beside::RevertAlone), K::DeleteItem | K::InsertRow | K::UpdateRow)
        | (_, K::DeleteItem | K::DeleteRow) => LedgerState::Tombstone,
        (_, K::CreateItem | K::PatchItem | K::InsertRow | K::UpdateRow) => LedgerState::Live,
    }
}

/// What an applied write means for a row that is held after a revert.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Hold {
    /// Nothing: one that is held stays so.
    #[default]
    AsItIs,
    /// It is held from here on.
    Begins(Box<NewQuarantine>),
    /// Both sides are the same again.
    Ends,
}

/// Why a row is in quarantine whose other side still shows what was put back on this one.
#[must_use]
pub fn held(definition: &str, run: RunId) -> Failure {
    Failure::new(
        Scope::Row,
        HELD,
        format!(
            "run {run} put back what an earlier run did to this row, and the other side still shows it: nothing of it \
             travels until one of them changes"
        ),
        format!(
            "make both sides the same, or accept the row as it is with `syncbridge quarantine ignore`; `syncbridge \
             revert {definition} --run {run}` does again what was put back"
        ),
    )
}

/// Why a row cannot be put back.
#[must_use]
pub fn no_values(columns: &str) -> Failure {
    Failure::new(
        Scope::Row,
        NO_VALUES,
        "nobody kept what the row held before the run: its history holds hashes only, and neither side shows the values",
        "write `history: {values: true}` into the definition and apply it, so that later runs can be reverted; correct \
         this row by hand",
    )
    .column(columns)
}

/// Why a row is not put back of which a part could not be.
#[must_use]
pub fn unmapped(columns: &str) -> Failure {
    Failure::new(
        Scope::Row,
        UNMAPPED,
        "the run wrote columns of the row that the definition does not map any more, and a row is put back whole or not \
         at all",
        "map them again as they were mapped then, apply the definition and revert the run; or correct this row by hand",
    )
    .column(columns)
}

/// What the writes of a run, oldest first, saw in a column before the first of them. It stands above what was agreed on:
/// where the run overrode somebody's edit, the edit is what was there.
#[must_use]
pub fn seen_before<'w>(writes: &'w [PastWrite], of_row: bool, name: &str) -> Option<&'w Json> {
    let wrote = |write: &&PastWrite| {
        write.kind.is_of_row() == of_row && (write.before.contains_key(name) || write.sent.contains_key(name))
    };
    writes.iter().find(wrote)?.before.get(name)
}

/// A write of the past with what was agreed on after it, in the present layout.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The write.
    pub write: PastWrite,
    /// Hashes agreed on afterwards, (source, target) a field.
    pub left: Vec<(CellHash, CellHash)>,
}

/// What both sides of a row show now.
#[derive(Clone, Copy, Default)]
pub struct Shown<'a> {
    /// Cells of the row.
    pub cells: Option<&'a [Cell]>,
    /// Columns of the item.
    pub item: Option<&'a Fields>,
}

/// Finds values by their hashes: in what a run saw before it wrote, in what earlier writes sent, and on the other side.
#[derive(Clone, Copy)]
pub struct ValuesBefore<'a> {
    /// What travels.
    pub mapping: &'a Mapping,
    /// Key of the hashes.
    pub hash_key: &'a HashKey,
    /// Writes of the run, oldest first.
    pub run: &'a [PastWrite],
    /// Earlier writes of the row, newest first.
    pub earlier: &'a [Earlier],
    /// What both sides show now.
    pub shown: Shown<'a>,
}

impl ValuesBefore<'_> {
    /// What the list held of a field before the run, where anybody kept it.
    #[must_use]
    pub fn of_list(&self, at: usize, found: CellHash) -> Option<Json> {
        let field = &self.mapping.fields[at];
        if let Some(value) = seen_before(self.run, false, &field.target) {
            return Some(value.clone());
        }
        let is_it = |value: &Json| found.is_some() && target_hash(self.hash_key, value) == found;
        if is_it(&Json::Null) {
            return Some(Json::Null);
        }
        let as_list = |cell: &Cell| {
            let value = to_target(field, self.mapping.time_zone, cell).ok()?.to_json();
            is_it(&value).then_some(value)
        };
        let of_earlier = |earlier: &Earlier| match earlier.write.kind.is_of_row() {
            true => as_list(&text_of(earlier.write.sent.get(&field.column)?)),
            false => {
                let sent = earlier.write.sent.get(&field.target)?;
                // What the list made of it is known by its hash; sent again it makes the same of it.
                let became_it = found.is_some() && earlier.left.get(at)?.1 == found;
                (became_it || is_it(sent)).then(|| sent.clone())
            }
        };
        let there = |cells: &[Cell]| as_list(cells.get(at)?);
        self.earlier
            .iter()
            .find_map(of_earlier)
            .or_else(|| self.shown.cells.and_then(there))
    }

    /// What the source held of a field before the run, where anybody kept it.
    #[must_use]
    pub fn of_source(&self, at: usize, found: CellHash) -> Option<Cell> {
        let field = &self.mapping.fields[at];
        if let Some(value) = seen_before(self.run, true, &field.column) {
            return Some(text_of(value));
        }
        let is_it = |cell: &Cell| found.is_some() && source_hash(self.hash_key, cell) == found;
        if is_it(&None) {
            return Some(None);
        }
        let as_row = |value: &Json| {
            let cell = to_source(field, self.mapping.time_zone, value).ok()?;
            is_it(&cell).then_some(cell)
        };
        let of_earlier = |earlier: &Earlier| match earlier.write.kind.is_of_row() {
            true => {
                let sent = text_of(earlier.write.sent.get(&field.column)?);
                let became_it = found.is_some() && earlier.left.get(at)?.0 == found;
                (became_it || is_it(&sent)).then_some(sent)
            }
            false => as_row(earlier.write.sent.get(&field.target)?),
        };
        let there = |item: &Fields| as_row(item.get(&field.target)?);
        self.earlier
            .iter()
            .find_map(of_earlier)
            .or_else(|| self.shown.item.and_then(there))
    }
}

/// A cell as the history keeps it.
fn text_of(value: &Json) -> Cell {
    value.as_str().map(Into::into)
}

#[cfg(test)]
#[path = "revert_tests.rs"]
mod tests;
