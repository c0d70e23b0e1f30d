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

use serde::Serialize;

use crate::agreed::CellHash;
use crate::policy::{ConflictPolicy, DeletePolicy, Direction, OnForeignEdit};

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
    /// What happens to the other side of a deleted row.
    pub delete: DeletePolicy,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
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
    /// A deleted item came back from the recycle bin; say so.
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
    let decided = decide_field(field, row.later);
    // An archive is written once: only agreement may still be recorded.
    if row.archive_only && decided != FieldDecision::Adopt {
        FieldDecision::Nothing
    } else {
        decided
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
            (ProvenGone, One) if row.pulls => RowDecision::InsertRow,
            (Unseen | Missing, One) if row.pulls => RowDecision::NeedsSource,
            _ => RowDecision::Nothing,
        },
        Base::Live => decide_live(row, fields),
        Base::Tombstone => match (row.source, row.target) {
            (One, One) => RowDecision::Adopt,
            (One, _) if row.pushes && row.source_is_newer => RowDecision::CreateItem,
            (_, One) => RowDecision::RestoreReported,
            _ => RowDecision::Nothing,
        },
        Base::Left => match (row.source, row.target) {
            // The row is back and its old item still stands: the same item goes on.
            (One, One) if row.source_is_newer => RowDecision::Adopt,
            (One, ProvenGone) if row.pushes && row.source_is_newer => RowDecision::CreateItem,
            (One, Missing | Unseen) if row.source_is_newer => RowDecision::NeedsTarget,
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

fn source_deleted(row: &RowInput, fields: &[FieldInput]) -> RowDecision {
    if !row.pushes {
        // The list owns the rows: what the source lost comes back with the next change of the item.
        return RowDecision::ForeignDeleteReported;
    }
    let edited_there = row.pulls
        && fields.iter().any(|f| {
            f.rule.direction != Direction::Push && !f.rule.passive && changed(f.base_target, f.target)
        });
    let delete_wins = match row.conflict {
        ConflictPolicy::SourceWins => true,
        ConflictPolicy::TargetWins => false,
        ConflictPolicy::LatestWins => row.later == Later::Source,
        ConflictPolicy::Manual => {
            return if edited_there {
                RowDecision::ConflictParked
            } else {
                delete_item(row)
            };
        }
    };
    if edited_there && !delete_wins {
        RowDecision::InsertRow
    } else {
        delete_item(row)
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

fn target_deleted(row: &RowInput, fields: &[FieldInput]) -> RowDecision {
    let edited_here = fields
        .iter()
        .any(|f| f.rule.direction != Direction::Pull && !f.rule.passive && changed(f.base_source, f.source));
    if !row.pulls {
        // A person deleted an item that the source owns: the row returns with its next change.
        return if edited_here && row.pushes && !row.archive_only {
            RowDecision::CreateItem
        } else {
            RowDecision::ForeignDeleteReported
        };
    }
    let delete_wins = match row.conflict {
        ConflictPolicy::SourceWins => false,
        ConflictPolicy::TargetWins => true,
        ConflictPolicy::LatestWins => row.later == Later::Target,
        ConflictPolicy::Manual if edited_here => return RowDecision::ConflictParked,
        ConflictPolicy::Manual => true,
    };
    if edited_here && !delete_wins && row.pushes {
        return RowDecision::CreateItem;
    }
    match row.delete {
        DeletePolicy::Propagate if row.deletes_allowed => RowDecision::DeleteRow,
        DeletePolicy::Propagate => RowDecision::Refuse,
        DeletePolicy::Keep | DeletePolicy::Archive => RowDecision::LeaveItem,
    }
}

/// Decides about one field of a row that exists on both sides.
#[must_use]
pub fn decide_field(field: &FieldInput, later: Later) -> FieldDecision {
    let rule = field.rule;
    let here = changed(field.base_source, field.source);
    let there = match (field.base_source, field.base_target) {
        (Some(_), Some(_)) => changed(field.base_target, field.target),
        // The stored form was never learnt. The owner's side is enough to go on: an unseen target is covered
        // by the write's precondition, a seen one counts as edited where it differs.
        (Some(_), None) if rule.direction == Direction::Push => field.equal == Some(false),
        _ => return decide_unknown(field),
    };
    if rule.passive {
        return match (rule.direction, here, there) {
            (Direction::Push | Direction::Both, true, _) => FieldDecision::RideToTarget,
            (Direction::Pull | Direction::Both, _, true) => FieldDecision::RideToSource,
            _ => FieldDecision::Nothing,
        };
    }
    match (here, there) {
        (false, false) => FieldDecision::Nothing,
        (true, true) if field.equal == Some(true) => FieldDecision::Adopt,
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
        _ if field.rule.passive && field.equal != Some(true) => match field.rule.direction {
            Direction::Push | Direction::Both => FieldDecision::RideToTarget,
            Direction::Pull => FieldDecision::RideToSource,
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

fn both_changed(field: &FieldInput, later: Later) -> FieldDecision {
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
