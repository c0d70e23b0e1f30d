//! The heart: one row, three states, one pure function (DESIGN §5).
//!
//! For each identity there is **B**, what both sides last agreed on; **S**, what the source shows; and **T**, what the target shows. [`reconcile`] turns the three and
//! the definition's policies into one [`Decision`]. It is total: every combination has an answer, and where
//! the evidence does not suffice the answer says which evidence is missing instead of guessing.
//!
//! Three rules explain most of the shape:
//! * *Who changed* is judged by hashes of each side's raw form against B, never by comparing the sides with
//!   each other. *Are they equal* ([`FieldInput::equal`]) is a separate question, asked only for adoption and
//!   for skipping a write that would change nothing.
//! * *Unseen is not null, and absent is not deleted.* An unseen side is presumed equal to B, and every write
//!   that rests on it carries a precondition; a deletion needs proof.
//! * *Per field, not per row*: two people editing different cells is no conflict.

use serde::{Deserialize, Serialize};

use crate::agreed::CellHash;
use crate::conflict::Side;
use crate::policy::{ConflictPolicy, DeletePolicy, Direction, OnForeignEdit, OnForeignRestore};

/// What one side shows of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Not looked at, or the answer may have dropped it.
    Unseen,
    /// Looked at; the hash of its raw form (NULL has a hash of its own).
    Value(CellHash),
}

/// The rules of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldRule {
    /// Which way it travels.
    pub direction: Direction,
    /// Travels with other writes, never causes one.
    pub passive: bool,
    /// Who wins when both sides changed.
    pub conflict: ConflictPolicy,
    /// What an edit on the side that does not own the field leads to.
    pub on_foreign_edit: OnForeignEdit,
}

/// One field as [`reconcile`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldInput {
    /// Agreed hash of the source's raw form; `None` is unknown.
    pub base_source: CellHash,
    /// Agreed hash of the target's raw form; `None` is unknown.
    pub base_target: CellHash,
    /// What the source shows.
    pub source: Seen,
    /// What the target shows.
    pub target: Seen,
    /// Whether the mapped source value equals the target value (`≡`); `None` where one of them is unseen.
    pub equal: Option<bool>,
    /// A pull would cut the source value, because it does not survive the way to the list and back.
    pub pull_would_lose: bool,
    /// Who wins by a person's decision about exactly the two values that are shown.
    pub resolution: Option<Side>,
    /// The field's rules.
    pub rule: FieldRule,
}

/// What the ledger says about the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Never agreed on.
    None,
    /// Both sides exist.
    Live,
    /// Both sides are gone.
    Tombstone,
    /// The source row was gone and the item was left by policy (kept or archived).
    Left,
}

/// What one side says about the row's existence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Existence {
    /// Looked for with a method that proves absence.
    ProvenGone,
    /// Not found, but that is no proof.
    Missing,
    /// There, once.
    One,
    /// There more than once.
    Many,
    /// Not looked at.
    Unseen,
}

/// Which side changed later, for [`ConflictPolicy::LatestWins`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Later {
    /// The source, or a tie.
    Source,
    /// The target, with a version above the ledger's.
    Target,
}

/// Everything about the row that is not about a single field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowInput {
    /// What the ledger says.
    pub base: Base,
    /// What the source says.
    pub source: Existence,
    /// What the target says.
    pub target: Existence,
    /// Whether the definition writes to the target.
    pub pushes: bool,
    /// Whether the definition writes to the source.
    pub pulls: bool,
    /// Whether items may become rows; without meaning where the definition does not write to the source.
    pub inserts: bool,
    /// What happens to the other side of a deleted row.
    pub delete: DeletePolicy,
    /// What happens to an item that a person brought back although its row is gone.
    pub on_foreign_restore: OnForeignRestore,
    /// For rows: conflict between a deletion and an edit.
    pub conflict: ConflictPolicy,
    /// Which side changed later.
    pub later: Later,
    /// Items are written once and never updated.
    pub archive_only: bool,
    /// The row's route leads to another list than the one its item is in.
    pub route_changed: bool,
    /// The row's key is no longer the one agreed on (only feeds that show both know).
    pub key_changed: bool,
    /// The source state is newer than the one a tombstone or a left item rests on.
    pub source_is_newer: bool,
    /// The destructive budget still allows a deletion.
    pub deletes_allowed: bool,
    /// A row absent from B but linked by a verified sync key may be taken over (first run, restored store).
    pub may_adopt: bool,
}

/// What to do about one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldDecision {
    /// Nothing changed, or the change is not to travel.
    Nothing,
    /// Both sides already show the same; record it.
    Adopt,
    /// Write the source's value to the target.
    ToTarget,
    /// Write the source's value to the target if a write happens anyway.
    RideToTarget,
    /// Write the target's value to the source.
    ToSource,
    /// Write the target's value to the source if a write happens anyway.
    RideToSource,
    /// Both changed; the source wins and the target's value is kept in the record.
    ConflictToTarget,
    /// Both changed; the target wins and the source's value is kept in the record.
    ConflictToSource,
    /// Both changed, or a pull would lose characters; a person chooses.
    ConflictParked,
    /// Edited on the side that does not own it; say so, restore it with the next write of the item.
    ForeignReported,
    /// Edited on the side that does not own it; let it stand.
    ForeignKept,
    /// Unequal without any agreement to judge by: only as part of a plan.
    NeedsPlan,
    /// The source must be read before this can be judged.
    NeedsSource,
    /// The target must be read before this can be judged.
    NeedsTarget,
}

/// What to do about the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowDecision {
    /// Nothing to do, nothing to record.
    Nothing,
    /// Judge field by field; the row exists on both sides.
    Fields,
    /// The item exists without a ledger row and is this row's; take it over, then judge field by field.
    Adopt,
    /// A new item with every pushed field.
    CreateItem,
    /// Delete the item.
    DeleteItem,
    /// Leave the item, remember that it is no longer ours to change.
    LeaveItem,
    /// Mark the item as archived.
    ArchiveItem,
    /// Create in the new list, then delete in the old one.
    MoveItem,
    /// Give the item the row's new key.
    RekeyItem,
    /// A new row from the item.
    InsertRow,
    /// Delete the row.
    DeleteRow,
    /// Both sides are gone; keep a tombstone.
    Bury,
    /// One side is missing without proof; ask for it.
    SuspectSource,
    /// One side is missing without proof; ask for it.
    SuspectTarget,
    /// A row was deleted on one side and edited on the other; a person chooses.
    ConflictParked,
    /// The item was deleted by a person in a list that does not own rows; say so.
    ForeignDeleteReported,
    /// Two rows or two items of one identity; parked, never guessed.
    ParkMany,
    /// The destructive budget is spent; part of a plan.
    Refuse,
    /// A deleted item came back from the recycle bin and stays; say so.
    RestoreReported,
    /// The source must be read before this can be judged.
    NeedsSource,
    /// The target must be read before this can be judged.
    NeedsTarget,
}

/// The answer of [`reconcile`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// About the row.
    pub row: RowDecision,
    /// About each field; meaningful for [`RowDecision::Fields`] and [`RowDecision::Adopt`], otherwise all
    /// [`FieldDecision::Nothing`].
    pub fields: Vec<FieldDecision>,
}

/// Decides what to do about one row. Total and pure.
#[must_use]
pub fn reconcile(row: &RowInput, fields: &[FieldInput]) -> Decision {
    let decision = decide_row(row, fields);
    let judged = matches!(decision, RowDecision::Fields | RowDecision::Adopt);
    let fields = if judged {
        settle_riders(fields.iter().map(|field| judge(row, field)).collect())
    } else {
        vec![FieldDecision::Nothing; fields.len()]
    };
    Decision {
        row: decision,
        fields,
    }
}

fn judge(row: &RowInput, field: &FieldInput) -> FieldDecision {
    let decided = decide_field(&as_far_as_the_row_goes(row, field), row.later);
    let reaches = match side_written(decided) {
        Some(Side::Target) => row.pushes,
        Some(Side::Source) => row.pulls(),
        None => true,
    };
    // An archive is written once: only agreement may still be recorded.
    if !reaches || row.archive_only && decided != FieldDecision::Adopt {
        FieldDecision::Nothing
    } else {
        decided
    }
}

/// A field that goes both ways in a definition that goes one way is the other side's guest.
fn as_far_as_the_row_goes(row: &RowInput, field: &FieldInput) -> FieldInput {
    let direction = match field.rule.direction {
        Direction::Both if !row.pulls() => Direction::Push,
        Direction::Both if !row.pushes => Direction::Pull,
        direction => direction,
    };
    FieldInput {
        rule: FieldRule {
            direction,
            ..field.rule
        },
        ..*field
    }
}

/// The side that a decision writes, riders included.
fn side_written(decision: FieldDecision) -> Option<Side> {
    use FieldDecision as F;
    match decision {
        F::ToTarget | F::RideToTarget | F::ConflictToTarget => Some(Side::Target),
        F::ToSource | F::RideToSource | F::ConflictToSource => Some(Side::Source),
        _ => None,
    }
}

impl RowInput {
    /// Whether anything may be written to the source: an archive takes nothing back.
    fn pulls(&self) -> bool {
        self.pulls && !self.archive_only
    }

    /// Whether an item may become a row.
    fn inserts(&self) -> bool {
        self.pulls() && self.inserts
    }
}

fn decide_row(row: &RowInput, fields: &[FieldInput]) -> RowDecision {
    use Existence::{Many, Missing, One, ProvenGone, Unseen};
    if row.source == Many || row.target == Many {
        return RowDecision::ParkMany;
    }
    match row.base {
        Base::None => match (row.source, row.target) {
            // Unseen without a ledger row: the sync key's uniqueness is the create's precondition.
            (One, ProvenGone | Missing | Unseen) if row.pushes => RowDecision::CreateItem,
            (One, One) if row.may_adopt => RowDecision::Adopt,
            (One, One) => RowDecision::ParkMany,
            (ProvenGone, One) if row.inserts() => RowDecision::InsertRow,
            (Unseen | Missing, One) if row.pulls() => RowDecision::NeedsSource,
            _ => RowDecision::Nothing,
        },
        Base::Live => decide_live(row, fields),
        Base::Tombstone => match (row.source, row.target) {
            // A state that is no newer than the row's end shows the row from before it.
            (One, One) if row.source_is_newer => RowDecision::Adopt,
            (One, _) if row.pushes && row.source_is_newer => RowDecision::CreateItem,
            (ProvenGone, One) if row.pushes => restored(row),
            (Unseen | Missing, One) if row.pulls() => RowDecision::NeedsSource,
            // Where the list owns the rows, an item that is back is a row that is back.
            (ProvenGone, One) if !row.pushes && row.inserts() => RowDecision::InsertRow,
            (_, One) => RowDecision::RestoreReported,
            _ => RowDecision::Nothing,
        },
        Base::Left => match (row.source, row.target) {
            // The row is back and its old item still stands: the same item goes on.
            (One, One) if row.source_is_newer => RowDecision::Adopt,
            // Where items may be deleted for good, it can be the item that went: the row asks for a new one with its
            // next change, as it does where the list owns nothing.
            (One, ProvenGone) if row.pushes && row.source_is_newer => match row.pulls() {
                true if edited(fields, Side::Source) != Edited::Yes => RowDecision::Nothing,
                _ => RowDecision::CreateItem,
            },
            (One, Missing | Unseen) if row.source_is_newer => RowDecision::NeedsTarget,
            (ProvenGone, ProvenGone) => RowDecision::Bury,
            _ => RowDecision::Nothing,
        },
    }
}

fn decide_live(row: &RowInput, fields: &[FieldInput]) -> RowDecision {
    use Existence::{Many, Missing, One, ProvenGone, Unseen};
    match (row.source, row.target) {
        (Many, _) | (_, Many) => RowDecision::ParkMany,
        (ProvenGone, ProvenGone) => RowDecision::Bury,
        (ProvenGone, One | Unseen) => source_deleted(row, fields),
        (ProvenGone, Missing) => RowDecision::SuspectTarget,
        (Missing, _) => RowDecision::SuspectSource,
        // The row may hold an edit, and it is deleted only as it was seen.
        (Unseen, ProvenGone) if row.pulls() => RowDecision::NeedsSource,
        (One | Unseen, ProvenGone) => target_deleted(row, fields),
        (One | Unseen, Missing) => RowDecision::SuspectTarget,
        (Unseen, Unseen) => RowDecision::Nothing,
        (One, _) if row.pushes && row.key_changed => RowDecision::RekeyItem,
        (One, _) if row.pushes && row.route_changed && !row.archive_only => RowDecision::MoveItem,
        (One | Unseen, One | Unseen) => RowDecision::Fields,
    }
}

fn changed(base: CellHash, seen: Seen) -> bool {
    matches!((base, seen), (Some(base), Seen::Value(Some(now))) if base != now)
}

/// Whether a side holds an edit that a deletion on the other one would take with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edited {
    Yes,
    No,
    /// It shows values that nobody ever agreed on.
    Unknown,
}

/// Whether one side holds an edit of a field that is not passive and that travels from there.
fn edited(fields: &[FieldInput], side: Side) -> Edited {
    let mut found = Edited::No;
    for field in fields.iter().filter(|field| !field.rule.passive) {
        let (base, seen, stays) = match side {
            Side::Source => (field.base_source, field.source, Direction::Pull),
            Side::Target => (field.base_target, field.target, Direction::Push),
        };
        if field.rule.direction == stays || seen == Seen::Unseen {
            continue;
        }
        if changed(base, seen) {
            return Edited::Yes;
        }
        if base.is_none() {
            found = Edited::Unknown;
        }
    }
    found
}

/// Whether a row that one side deleted was edited on the other, so that a policy, or a person, has to say which counts.
#[must_use]
pub fn deletion_met_an_edit(row: &RowInput, fields: &[FieldInput]) -> bool {
    use Existence::{One, ProvenGone, Unseen};
    let met = |side| edited(fields, side) == Edited::Yes;
    match (row.base, row.source, row.target) {
        (Base::Live, ProvenGone, One | Unseen) => row.pushes && row.pulls() && met(Side::Target),
        (Base::Live, One | Unseen, ProvenGone) => row.pushes && row.pulls() && met(Side::Source),
        _ => false,
    }
}

fn source_deleted(row: &RowInput, fields: &[FieldInput]) -> RowDecision {
    let there = edited(fields, Side::Target);
    if !row.pushes {
        // The list owns the rows: what the source lost comes back with the next change of the item.
        return match there {
            Edited::Yes if row.inserts() => RowDecision::InsertRow,
            _ => RowDecision::ForeignDeleteReported,
        };
    }
    let delete_wins = match row.conflict {
        ConflictPolicy::SourceWins => true,
        ConflictPolicy::TargetWins => false,
        ConflictPolicy::LatestWins => row.later == Later::Source,
        ConflictPolicy::Manual if there != Edited::No && row.pulls() => return RowDecision::ConflictParked,
        ConflictPolicy::Manual => true,
    };
    match there {
        _ if delete_wins || !row.pulls() => delete_item(row),
        Edited::No => delete_item(row),
        Edited::Yes if row.inserts() => RowDecision::InsertRow,
        // The edit wins and may not become a row, or nobody knows whether there is one.
        Edited::Yes | Edited::Unknown => RowDecision::ConflictParked,
    }
}

fn delete_item(row: &RowInput) -> RowDecision {
    match row.delete {
        DeletePolicy::Keep => RowDecision::LeaveItem,
        _ if row.archive_only => RowDecision::LeaveItem,
        // A table that reads as empty by accident must not mark a whole list either.
        _ if !row.deletes_allowed => RowDecision::Refuse,
        DeletePolicy::Archive => RowDecision::ArchiveItem,
        DeletePolicy::Propagate => RowDecision::DeleteItem,
    }
}

/// A person brought the item back, and its row is certainly gone.
fn restored(row: &RowInput) -> RowDecision {
    match row.on_foreign_restore {
        OnForeignRestore::Report => RowDecision::RestoreReported,
        OnForeignRestore::Keep => RowDecision::LeaveItem,
        // An archive takes nothing back that it has written.
        OnForeignRestore::Delete if row.archive_only => RowDecision::LeaveItem,
        OnForeignRestore::Delete if !row.deletes_allowed => RowDecision::Refuse,
        OnForeignRestore::Delete => RowDecision::DeleteItem,
    }
}

fn target_deleted(row: &RowInput, fields: &[FieldInput]) -> RowDecision {
    let here = edited(fields, Side::Source);
    if !row.pulls() {
        // A person deleted an item that the source owns: the row returns with its next change.
        return if here == Edited::Yes && row.pushes && !row.archive_only {
            RowDecision::CreateItem
        } else {
            RowDecision::ForeignDeleteReported
        };
    }
    let delete_wins = match row.conflict {
        ConflictPolicy::SourceWins => false,
        ConflictPolicy::TargetWins => true,
        ConflictPolicy::LatestWins => row.later == Later::Target,
        ConflictPolicy::Manual if here != Edited::No && row.pushes => return RowDecision::ConflictParked,
        ConflictPolicy::Manual => true,
    };
    match here {
        _ if delete_wins || !row.pushes => delete_row(row),
        Edited::No => delete_row(row),
        Edited::Yes => RowDecision::CreateItem,
        Edited::Unknown => RowDecision::ConflictParked,
    }
}

fn delete_row(row: &RowInput) -> RowDecision {
    match row.delete {
        DeletePolicy::Propagate if row.deletes_allowed => RowDecision::DeleteRow,
        DeletePolicy::Propagate => RowDecision::Refuse,
        // A table has no mark for what is archived: the row stays as it is.
        DeletePolicy::Keep | DeletePolicy::Archive => RowDecision::LeaveItem,
    }
}

/// Decides about one field of a row that exists on both sides.
#[must_use]
pub fn decide_field(field: &FieldInput, later: Later) -> FieldDecision {
    let decided = decide_by_rule(field, later);
    match resolved(field, decided).unwrap_or(decided) {
        // What goes to the source goes by what it holds, and what comes from it has to be known.
        FieldDecision::ToSource
        | FieldDecision::ToTarget
        | FieldDecision::ConflictToTarget
        | FieldDecision::ConflictToSource
        | FieldDecision::ConflictParked
            if field.source == Seen::Unseen =>
        {
            FieldDecision::NeedsSource
        }
        FieldDecision::ToSource if field.target == Seen::Unseen => FieldDecision::NeedsTarget,
        decided => decided,
    }
}

/// What a person's decision makes of a field in which nobody would win, or another. It is about two values; where one
/// side moved on alone it is history.
fn resolved(field: &FieldInput, decided: FieldDecision) -> Option<FieldDecision> {
    use FieldDecision as F;
    if !matches!(
        decided,
        F::ConflictParked | F::NeedsPlan | F::ConflictToTarget | F::ConflictToSource
    ) {
        return None;
    }
    match (field.resolution?, field.rule.direction) {
        (Side::Source, Direction::Push | Direction::Both) => Some(F::ConflictToTarget),
        (Side::Target, Direction::Pull | Direction::Both) => Some(F::ConflictToSource),
        _ => None,
    }
}

fn decide_by_rule(field: &FieldInput, later: Later) -> FieldDecision {
    let rule = field.rule;
    let here = changed(field.base_source, field.source);
    let there = match (field.base_source, field.base_target) {
        (Some(_), Some(_)) => changed(field.base_target, field.target),
        // The stored form was never learnt. The owner's side is enough to go on: an unseen target is covered
        // by the write's precondition, a seen one counts as edited where it differs.
        (Some(_), None) if rule.direction == Direction::Push => field.equal == Some(false),
        _ => return decide_unknown(field),
    };
    match (here, there) {
        (false, false) => FieldDecision::Nothing,
        // Whoever moved, a reader of the list could not tell the two apart: a write would change nothing there, and
        // in the source only what the list never showed.
        _ if field.equal == Some(true) => FieldDecision::Adopt,
        _ if rule.passive => match (rule.direction, here) {
            (Direction::Push | Direction::Both, true) => FieldDecision::RideToTarget,
            (Direction::Pull | Direction::Both, _) if there => FieldDecision::RideToSource,
            _ => FieldDecision::Nothing,
        },
        (true, false) => match rule.direction {
            Direction::Push | Direction::Both => FieldDecision::ToTarget,
            Direction::Pull => foreign(rule, FieldDecision::ToSource),
        },
        (false, true) => match rule.direction {
            Direction::Push => foreign(rule, FieldDecision::ToTarget),
            Direction::Pull => FieldDecision::ToSource,
            Direction::Both if field.pull_would_lose => FieldDecision::ConflictParked,
            Direction::Both => FieldDecision::ToSource,
        },
        (true, true) => match rule.direction {
            Direction::Push => FieldDecision::ConflictToTarget,
            Direction::Pull => FieldDecision::ConflictToSource,
            Direction::Both => both_changed(field, later),
        },
    }
}

fn decide_unknown(field: &FieldInput) -> FieldDecision {
    match (field.source, field.target) {
        // A passive field causes nothing, not even a read.
        (source, target) if field.rule.passive && field.equal != Some(true) => match field.rule.direction {
            Direction::Push | Direction::Both if source != Seen::Unseen => FieldDecision::RideToTarget,
            Direction::Pull if target != Seen::Unseen => FieldDecision::RideToSource,
            _ => FieldDecision::Nothing,
        },
        (Seen::Unseen, _) => FieldDecision::NeedsSource,
        (_, Seen::Unseen) => FieldDecision::NeedsTarget,
        _ if field.equal == Some(true) => FieldDecision::Adopt,
        _ => FieldDecision::NeedsPlan,
    }
}

fn foreign(rule: FieldRule, restore: FieldDecision) -> FieldDecision {
    match rule.on_foreign_edit {
        OnForeignEdit::Restore => restore,
        OnForeignEdit::Keep => FieldDecision::ForeignKept,
        OnForeignEdit::Report => FieldDecision::ForeignReported,
    }
}

/// What the conflict policy says of a field that both sides changed.
#[must_use]
pub fn both_changed(field: &FieldInput, later: Later) -> FieldDecision {
    let target_wins = match field.rule.conflict {
        ConflictPolicy::SourceWins => false,
        ConflictPolicy::TargetWins => true,
        ConflictPolicy::LatestWins => later == Later::Target,
        ConflictPolicy::Manual => return FieldDecision::ConflictParked,
    };
    match (target_wins, field.pull_would_lose) {
        (false, _) => FieldDecision::ConflictToTarget,
        (true, false) => FieldDecision::ConflictToSource,
        (true, true) => FieldDecision::ConflictParked,
    }
}

/// Riders travel only where something else causes a write to the same side; reported foreign edits are then
/// restored with it.
fn settle_riders(mut fields: Vec<FieldDecision>) -> Vec<FieldDecision> {
    use FieldDecision as F;
    let writes_target = fields
        .iter()
        .any(|f| matches!(f, F::ToTarget | F::ConflictToTarget));
    let writes_source = fields
        .iter()
        .any(|f| matches!(f, F::ToSource | F::ConflictToSource));
    for field in &mut fields {
        *field = match *field {
            F::RideToTarget if !writes_target && crate::sabotaged!("passive field causing a write") => {
                F::ToTarget
            }
            F::RideToTarget if !writes_target => F::Nothing,
            F::RideToSource if !writes_source => F::Nothing,
            other => other,
        };
    }
    fields
}

impl Decision {
    /// Whether anything is to be written to the target item's fields.
    #[must_use]
    pub fn writes_target(&self) -> bool {
        self.fields
            .iter()
            .any(|f| matches!(f, FieldDecision::ToTarget | FieldDecision::ConflictToTarget))
    }

    /// Whether anything is to be written to the source row's columns.
    #[must_use]
    pub fn writes_source(&self) -> bool {
        self.fields
            .iter()
            .any(|f| matches!(f, FieldDecision::ToSource | FieldDecision::ConflictToSource))
    }

    /// Whether the target must be read before the decision can be made.
    #[must_use]
    pub fn needs_target(&self) -> bool {
        self.row == RowDecision::NeedsTarget || self.fields.contains(&FieldDecision::NeedsTarget)
    }

    /// Whether this field's value goes to the target with the item's write.
    #[must_use]
    pub fn sends(&self, at: usize) -> bool {
        let sends = |f: &FieldDecision| {
            matches!(
                f,
                FieldDecision::ToTarget
                    | FieldDecision::ConflictToTarget
                    | FieldDecision::RideToTarget
                    | FieldDecision::ForeignReported
            )
        };
        self.writes_target() && self.fields.get(at).is_some_and(sends)
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "reconcile_enumeration.rs"]
mod enumeration;
