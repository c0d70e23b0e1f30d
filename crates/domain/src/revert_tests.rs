use std::num::NonZeroU64;

use chrono_tz::Tz;
use serde_json::json;

use super::*;
use crate::facet::Facet;
use crate::ids::RunId;
use crate::mapping::{FieldMapping, TitleRule};
use crate::pg_type::PgType;
use crate::policy::Direction;

const COUNTS: [bool; 2] = [true, true];

fn hash(number: u64) -> CellHash {
    NonZeroU64::new(number)
}

fn there(hashes: [u64; 2]) -> Stand {
    Stand::There(hashes.map(hash).to_vec())
}

fn side(found: Option<Stand>, left: Stand, now: Stand) -> SideOf {
    SideOf {
        found,
        wrote: vec![true; 2],
        left,
        now,
        untouched: false,
    }
}

/// A side that the run did not write.
fn still(stand: Stand) -> SideOf {
    side(None, stand.clone(), stand)
}

fn write(source: SideUndo, list: SideUndo) -> Undo {
    Undo::Write { source, list }
}

fn list_only(list: SideUndo) -> Undo {
    write(SideUndo::Nothing, list)
}

#[test]
fn what_the_run_made_goes_what_it_changed_changes_back_and_what_it_removed_is_made_anew() {
    let row = || still(there([1, 2]));
    let made = side(Some(Stand::Gone), there([5, 6]), there([5, 6]));
    assert_eq!(undo(&row(), &made, &COUNTS), list_only(SideUndo::Remove));
    let changed = side(Some(there([5, 6])), there([5, 7]), there([5, 7]));
    assert_eq!(
        undo(&row(), &changed, &COUNTS),
        list_only(SideUndo::Restore(vec![1]))
    );
    let removed = side(Some(there([5, 6])), Stand::Gone, Stand::Gone);
    assert_eq!(
        undo(&still(Stand::Gone), &removed, &COUNTS),
        list_only(SideUndo::Make)
    );
    // The same the other way round, and on both sides at once.
    assert_eq!(
        undo(&changed, &row(), &COUNTS),
        write(SideUndo::Restore(vec![1]), SideUndo::Nothing)
    );
    assert_eq!(
        undo(&made, &changed, &COUNTS),
        write(SideUndo::Remove, SideUndo::Restore(vec![1]))
    );
}

#[test]
fn a_side_that_shows_what_the_run_found_is_left_whatever_became_of_the_other() {
    let moved = side(None, there([1, 2]), there([1, 9]));
    let back = [
        side(Some(Stand::Gone), there([5, 6]), Stand::Gone),
        side(Some(there([5, 6])), there([5, 7]), there([5, 6])),
        side(Some(there([5, 6])), Stand::Gone, there([5, 6])),
        // Made and removed by one run.
        side(Some(Stand::Gone), Stand::Gone, there([5, 6])),
        // Only what does not count changed.
        side(Some(there([5, 6])), there([5, 6]), there([7, 7])),
    ];
    for list in back {
        assert_eq!(undo(&moved, &list, &COUNTS), Undo::Nothing, "{list:?}");
        assert_eq!(undo(&list, &moved, &COUNTS), Undo::Nothing, "{list:?}");
    }
}

#[test]
fn one_of_two_sides_that_is_back_already_leaves_the_other_to_be_put_back() {
    let back = side(Some(there([5, 6])), there([5, 7]), there([5, 6]));
    let left = side(Some(there([5, 6])), there([5, 7]), there([5, 7]));
    assert_eq!(undo(&back, &left, &COUNTS), list_only(SideUndo::Restore(vec![1])));
}

#[test]
fn what_was_touched_since_stays_on_whichever_side() {
    let row = || still(there([1, 2]));
    let touched = |source: Vec<usize>, list: Vec<usize>| Undo::Touched { source, list };
    let lists = [
        // Another value in the very field, in another field, and an item that is gone.
        (side(Some(there([5, 6])), there([5, 7]), there([5, 8])), vec![1]),
        (side(Some(there([5, 6])), there([5, 7]), there([9, 7])), vec![0]),
        (side(Some(there([5, 6])), there([5, 7]), Stand::Gone), vec![1]),
        // Made by the run, and edited.
        (side(Some(Stand::Gone), there([5, 6]), there([5, 9])), vec![1]),
        // Removed by the run, and made by somebody with other values.
        (side(Some(there([5, 6])), Stand::Gone, there([9, 6])), vec![0]),
    ];
    for (list, fields) in lists {
        assert_eq!(undo(&row(), &list, &COUNTS), touched(vec![], fields), "{list:?}");
    }
    let changed = side(Some(there([5, 6])), there([5, 7]), there([5, 7]));
    let moved = side(None, there([1, 2]), there([3, 2]));
    assert_eq!(undo(&moved, &changed, &COUNTS), touched(vec![0], vec![]));
    let gone = side(None, there([1, 2]), Stand::Gone);
    assert_eq!(undo(&gone, &changed, &COUNTS), touched(vec![], vec![]));
    // A row whose item the run deleted is back.
    let removed = side(Some(there([5, 6])), Stand::Gone, Stand::Gone);
    let back = side(None, Stand::Gone, there([1, 2]));
    assert_eq!(undo(&back, &removed, &COUNTS), touched(vec![], vec![]));
    // Both sides at once.
    let edited = side(Some(there([5, 6])), there([5, 7]), there([5, 8]));
    assert_eq!(undo(&moved, &edited, &COUNTS), touched(vec![0], vec![1]));
}

#[test]
fn passive_fields_show_nothing_and_are_put_back_with_the_others() {
    let row = || still(there([1, 2]));
    let counts = [false, true];
    let moved = side(Some(there([5, 6])), there([7, 8]), there([9, 8]));
    assert_eq!(
        undo(&row(), &moved, &counts),
        list_only(SideUndo::Restore(vec![0, 1]))
    );
    let alone = side(Some(there([5, 6])), there([7, 6]), there([7, 6]));
    assert_eq!(undo(&row(), &alone, &counts), Undo::Nothing);
}

#[test]
fn what_was_never_learnt_is_as_the_run_left_it_only_where_nobody_wrote_since() {
    let unlearnt = Stand::There(vec![hash(5), None]);
    let list = |untouched| SideOf {
        untouched,
        ..side(Some(there([5, 6])), unlearnt.clone(), there([5, 7]))
    };
    let row = still(there([1, 2]));
    assert_eq!(
        undo(&row, &list(true), &COUNTS),
        list_only(SideUndo::Restore(vec![1]))
    );
    assert_eq!(
        undo(&row, &list(false), &COUNTS),
        Undo::Touched {
            source: vec![],
            list: vec![1]
        }
    );
    // Nobody knows what was there before: it is never taken for what is there now.
    let unknown = SideOf {
        untouched: true,
        ..side(
            Some(Stand::There(vec![hash(5), None])),
            there([5, 7]),
            Stand::There(vec![hash(5), None]),
        )
    };
    assert_eq!(
        undo(&row, &unknown, &COUNTS),
        list_only(SideUndo::Restore(vec![1]))
    );
}

#[test]
fn a_field_that_the_run_wrote_and_of_which_nothing_is_known_is_no_proof_of_anything() {
    let row = still(there([1, 2]));
    let unknown = || Stand::There(vec![hash(5), None]);
    let list = |untouched, now| SideOf {
        untouched,
        ..side(Some(unknown()), unknown(), now)
    };
    // Nobody wrote since: it is as the run left it, whatever that is.
    assert_eq!(
        undo(&row, &list(true, there([5, 7])), &COUNTS),
        list_only(SideUndo::Restore(vec![1]))
    );
    for now in [there([5, 7]), unknown()] {
        assert_eq!(
            undo(&row, &list(false, now), &COUNTS),
            Undo::Touched {
                source: vec![],
                list: vec![1]
            }
        );
    }
    // A field that the run did not write is none of its business.
    let beside = SideOf {
        wrote: vec![true, false],
        untouched: true,
        ..side(Some(Stand::There(vec![hash(4), None])), unknown(), there([5, 7]))
    };
    assert_eq!(
        undo(&row, &beside, &COUNTS),
        list_only(SideUndo::Restore(vec![0]))
    );
}

#[test]
fn a_side_that_got_nothing_but_its_key_stands_against_the_other_like_one_that_was_not_written() {
    let made = side(Some(Stand::Gone), there([1, 2]), there([1, 2]));
    let stamped = |now| SideOf {
        wrote: vec![false; 2],
        ..side(Some(there([5, 6])), there([5, 6]), now)
    };
    assert_eq!(
        undo(&made, &stamped(there([5, 6])), &COUNTS),
        write(SideUndo::Remove, SideUndo::Nothing)
    );
    assert_eq!(
        undo(&made, &stamped(there([5, 9])), &COUNTS),
        Undo::Touched {
            source: vec![],
            list: vec![1]
        }
    );
    assert_eq!(
        undo(&made, &stamped(Stand::Gone), &COUNTS),
        Undo::Touched {
            source: vec![],
            list: vec![]
        }
    );
}

#[test]
fn columns_that_are_not_mapped_any_more_are_told_where_fields_were_changed() {
    use crate::history::{Decider, FieldCause};
    let decided = |column: &str, rule| FieldCause {
        column: column.into(),
        rule,
        by: Decider::Change,
    };
    let with = |kind| PastWrite {
        cause: Some(Cause {
            fields: vec![
                decided("note", FieldDecision::ToTarget),
                decided("gone", FieldDecision::ToTarget),
                decided("quiet", FieldDecision::RideToTarget),
                decided("agreed", FieldDecision::Adopt),
            ],
            ..Cause::of(crate::reconcile::RowDecision::Fields)
        }),
        ..past(kind, None, None)
    };
    let told = |kind| {
        let write = with(kind);
        let mapping = mapping();
        let columns: Vec<String> = write.changed_unmapped(&mapping).map(str::to_owned).collect();
        columns
    };
    assert_eq!(told(EffectKind::PatchItem), ["gone"]);
    assert_eq!(told(EffectKind::UpdateRow), ["gone"]);
    assert!(told(EffectKind::CreateItem).is_empty());
}

fn past(kind: EffectKind, beside: Option<Beside>, state: Option<LedgerState>) -> PastWrite {
    let stood = state.map(|state| Stood {
        agreed: Vec::new(),
        layout: crate::mapping::LayoutStamp(1),
        state: Some(state),
    });
    PastWrite {
        number: 1,
        kind,
        cause: beside.map(|beside| Cause {
            beside: Some(beside),
            ..Cause::of(crate::reconcile::RowDecision::Fields)
        }),
        item: None,
        was: None,
        left: stood,
        version: None,
        sent: Fields::new(),
        before: Fields::new(),
    }
}

/// What a write leaves in the ledger tells which sides are there: so that a revert can be put back itself.
#[test]
fn every_write_leaves_a_state_that_tells_which_sides_are_there() {
    use EffectKind as K;
    let (held, alone) = (Some(Beside::RevertHeld), Some(Beside::RevertAlone));
    let kinds = [
        (K::CreateItem, None, (true, true)),
        (K::PatchItem, None, (true, true)),
        (K::UpdateRow, None, (true, true)),
        (K::InsertRow, None, (true, true)),
        (K::DeleteItem, None, (false, false)),
        (K::DeleteRow, None, (false, false)),
        (K::DeleteRow, Some(Beside::Revert), (false, false)),
        // What is made anew beside a side that shows something else stands beside it.
        (K::CreateItem, held, (true, true)),
        (K::InsertRow, held, (true, true)),
        (K::PatchItem, held, (true, true)),
        (K::UpdateRow, held, (true, true)),
        (K::CreateItem, alone, (false, true)),
        (K::PatchItem, alone, (false, true)),
        (K::DeleteRow, alone, (false, true)),
        (K::DeleteItem, alone, (true, false)),
        (K::InsertRow, alone, (true, false)),
        (K::UpdateRow, alone, (true, false)),
    ];
    for (kind, beside, sides) in kinds {
        let state = state_after(kind, beside);
        assert_eq!(present_after(&past(kind, beside, Some(state))), sides, "{kind:?}");
    }
    // An item without a row, marked or not; and one that is marked although its row is there.
    for state in [LedgerState::Kept, LedgerState::Archived] {
        assert_eq!(
            present_after(&past(K::PatchItem, None, Some(state))),
            (false, true)
        );
    }
    assert_eq!(
        present_after(&past(K::PatchItem, held, Some(LedgerState::Archived))),
        (true, true)
    );
    assert_eq!(present_after(&past(K::DeleteItem, None, None)), (false, false));
    assert_eq!(present_after(&past(K::PatchItem, None, None)), (true, true));
}

fn mapping() -> Mapping {
    let field = FieldMapping {
        column: "note".into(),
        pg_type: PgType::Text,
        nullable: true,
        target: "Note".into(),
        display_name: "Note".into(),
        facet: Facet::MultiLine,
        direction: Direction::Both,
        passive: false,
        on_foreign_edit: None,
        conflict: None,
    };
    Mapping {
        key: Vec::new(),
        fields: vec![field],
        title: TitleRule::Key,
        time_zone: Tz::UTC,
    }
}

fn fields(name: &str, value: Json) -> Fields {
    Fields::from([(name.to_owned(), value)])
}

fn earlier(kind: EffectKind, sent: Fields, left: (CellHash, CellHash)) -> Earlier {
    Earlier {
        write: PastWrite {
            sent,
            ..past(kind, None, Some(LedgerState::Live))
        },
        left: vec![left],
    }
}

#[test]
fn a_value_is_found_in_what_the_run_saw_in_what_was_sent_before_and_on_the_other_side() {
    let (mapping, hash_key) = (mapping(), HashKey::new(1, &[1; 32]));
    let old = json!("old");
    let (of_list, of_row) = (
        target_hash(&hash_key, &old),
        source_hash(&hash_key, &Some("old".into())),
    );
    let none = ValuesBefore {
        mapping: &mapping,
        hash_key: &hash_key,
        run: &[],
        earlier: &[],
        shown: Shown::default(),
    };
    assert_eq!(
        (none.of_list(0, of_list), none.of_source(0, of_row)),
        (None, None)
    );
    assert_eq!((none.of_list(0, None), none.of_source(0, None)), (None, None));
    // Nothing is a value that everybody knows.
    assert_eq!(
        none.of_list(0, target_hash(&hash_key, &Json::Null)),
        Some(Json::Null)
    );
    assert_eq!(none.of_source(0, source_hash(&hash_key, &None)), Some(None));

    // What the run saw stands above what was agreed on: an edit that it overrode was there before it.
    let run = [
        PastWrite {
            sent: fields("Note", json!("new")),
            before: fields("Note", json!("typed")),
            ..past(EffectKind::PatchItem, None, None)
        },
        PastWrite {
            sent: fields("Note", json!("newer")),
            before: fields("Note", json!("new")),
            ..past(EffectKind::PatchItem, None, None)
        },
    ];
    let seen = ValuesBefore { run: &run, ..none };
    assert_eq!(seen.of_list(0, of_list), Some(json!("typed")));
    assert_eq!(seen.of_source(0, of_row), None);

    let other = json!("other");
    let sent_to_list = [
        earlier(EffectKind::PatchItem, fields("Note", other.clone()), (None, None)),
        earlier(EffectKind::CreateItem, fields("Note", old.clone()), (None, None)),
    ];
    let found = ValuesBefore {
        earlier: &sent_to_list,
        ..none
    };
    assert_eq!(found.of_list(0, of_list), Some(old.clone()));
    assert_eq!(found.of_source(0, of_row), Some(Some("old".into())));
    let sent_to_row = [earlier(
        EffectKind::UpdateRow,
        fields("note", old.clone()),
        (None, None),
    )];
    let found = ValuesBefore {
        earlier: &sent_to_row,
        ..none
    };
    assert_eq!(found.of_list(0, of_list), Some(old.clone()));
    assert_eq!(found.of_source(0, of_row), Some(Some("old".into())));
    // What the list made of a value is known by its hash, and sending it again makes the same of it.
    let trimmed = [earlier(
        EffectKind::PatchItem,
        fields("Note", json!(" old ")),
        (None, of_list),
    )];
    let found = ValuesBefore {
        earlier: &trimmed,
        ..none
    };
    assert_eq!(found.of_list(0, of_list), Some(json!(" old ")));

    let cells: [Cell; 1] = [Some("old".into())];
    let item = fields("Note", old.clone());
    let shown = Shown {
        cells: Some(&cells),
        item: Some(&item),
    };
    let beside = ValuesBefore { shown, ..none };
    assert_eq!(beside.of_list(0, of_list), Some(old));
    assert_eq!(beside.of_source(0, of_row), Some(Some("old".into())));
    assert_eq!(beside.of_list(0, target_hash(&hash_key, &other)), None);
}

#[test]
fn a_write_wrote_the_fields_that_were_decided_for_its_side() {
    use FieldDecision as F;
    let with = |kind, rule| PastWrite {
        cause: Some(Cause {
            fields: vec![crate::history::FieldCause {
                column: "note".into(),
                rule,
                by: crate::history::Decider::Change,
            }],
            ..Cause::of(crate::reconcile::RowDecision::Fields)
        }),
        ..past(kind, None, None)
    };
    let field = mapping().fields.remove(0);
    let owned = FieldMapping {
        direction: Direction::Pull,
        ..field.clone()
    };
    let (to_list, to_row) = (EffectKind::PatchItem, EffectKind::UpdateRow);
    for rule in [F::ToTarget, F::RideToTarget, F::ConflictToTarget] {
        assert!(with(to_list, rule).wrote(&field) && !with(to_row, rule).wrote(&field));
    }
    for rule in [F::ToSource, F::RideToSource, F::ConflictToSource] {
        assert!(with(to_row, rule).wrote(&field) && !with(to_list, rule).wrote(&field));
    }
    assert!(with(to_list, F::ForeignReported).wrote(&field));
    assert!(!with(to_list, F::ForeignReported).wrote(&owned));
    assert!(with(to_row, F::ForeignReported).wrote(&owned));
    assert!(!with(to_list, F::Adopt).wrote(&field));
    // Before reasons were kept, only what was sent tells.
    let mut old = past(to_list, None, None);
    assert!(!old.wrote(&field));
    old.sent = fields("Note", json!("new"));
    assert!(old.wrote(&field));
}

#[test]
fn a_held_row_and_one_without_values_say_what_to_do() {
    let run = RunId::from_uuid(uuid::Uuid::from_u128(7));
    let failure = held("projects", run);
    assert!(
        failure
            .fix
            .contains(&format!("syncbridge revert projects --run {run}"))
    );
    let failure = no_values("note, price");
    assert_eq!(failure.column.as_deref(), Some("note, price"));
    assert!(failure.fix.contains("history: {values: true}"), "{failure}");
}
