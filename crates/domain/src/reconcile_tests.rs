use std::num::NonZeroU64;

use super::*;

fn hash(n: u64) -> CellHash {
    NonZeroU64::new(n)
}

fn rule(direction: Direction) -> FieldRule {
    FieldRule {
        direction,
        passive: false,
        conflict: ConflictPolicy::SourceWins,
        on_foreign_edit: OnForeignEdit::Report,
    }
}

fn field(direction: Direction, source: Seen, target: Seen) -> FieldInput {
    FieldInput {
        base_source: hash(1),
        base_target: hash(2),
        source,
        target,
        equal: None,
        pull_would_lose: false,
        resolution: None,
        rule: rule(direction),
    }
}

fn push_row() -> RowInput {
    RowInput {
        base: Base::Live,
        source: Existence::One,
        target: Existence::Unseen,
        pushes: true,
        pulls: false,
        inserts: false,
        delete: DeletePolicy::Propagate,
        on_foreign_restore: OnForeignRestore::Report,
        conflict: ConflictPolicy::SourceWins,
        later: Later::Source,
        archive_only: false,
        route_changed: false,
        key_changed: false,
        source_is_newer: true,
        deletes_allowed: true,
        may_adopt: true,
    }
}

const SAME: Seen = Seen::Value(NonZeroU64::new(1));
const CHANGED: Seen = Seen::Value(NonZeroU64::new(9));
const T_SAME: Seen = Seen::Value(NonZeroU64::new(2));

#[test]
fn only_changed_fields_are_sent_and_an_unchanged_row_needs_nothing() {
    let fields = [
        field(Direction::Push, SAME, Seen::Unseen),
        field(Direction::Push, CHANGED, Seen::Unseen),
    ];
    let decision = reconcile(&push_row(), &fields);
    assert_eq!(decision.row, RowDecision::Fields);
    assert!(!decision.sends(0) && decision.sends(1));
    let decision = reconcile(&push_row(), &fields[..1]);
    assert!(!decision.writes_target());
}

#[test]
fn a_passive_field_rides_but_never_drives() {
    let mut rider = field(Direction::Push, CHANGED, Seen::Unseen);
    rider.rule.passive = true;
    assert!(!reconcile(&push_row(), &[rider]).writes_target());
    let decision = reconcile(
        &push_row(),
        &[rider, field(Direction::Push, CHANGED, Seen::Unseen)],
    );
    assert!(decision.sends(0) && decision.sends(1));
}

#[test]
fn a_missing_source_row_without_proof_is_never_a_delete() {
    let row = RowInput {
        source: Existence::Missing,
        ..push_row()
    };
    assert_eq!(reconcile(&row, &[]).row, RowDecision::SuspectSource);
    let row = RowInput {
        source: Existence::Unseen,
        ..push_row()
    };
    assert_eq!(reconcile(&row, &[]).row, RowDecision::Nothing);
}

#[test]
fn archiving_stands_under_the_guard_and_an_archive_is_left_alone() {
    let gone = RowInput {
        source: Existence::ProvenGone,
        delete: DeletePolicy::Archive,
        ..push_row()
    };
    assert_eq!(reconcile(&gone, &[]).row, RowDecision::ArchiveItem);
    let guarded = RowInput {
        deletes_allowed: false,
        ..gone
    };
    assert_eq!(reconcile(&guarded, &[]).row, RowDecision::Refuse);
    for delete in [DeletePolicy::Archive, DeletePolicy::Propagate] {
        let written_once = RowInput {
            archive_only: true,
            delete,
            ..gone
        };
        assert_eq!(reconcile(&written_once, &[]).row, RowDecision::LeaveItem);
    }
}

#[test]
fn a_proven_delete_follows_policy_and_guard() {
    let gone = RowInput {
        source: Existence::ProvenGone,
        ..push_row()
    };
    assert_eq!(reconcile(&gone, &[]).row, RowDecision::DeleteItem);
    assert_eq!(
        reconcile(
            &RowInput {
                delete: DeletePolicy::Keep,
                ..gone
            },
            &[]
        )
        .row,
        RowDecision::LeaveItem
    );
    assert_eq!(
        reconcile(
            &RowInput {
                deletes_allowed: false,
                ..gone
            },
            &[]
        )
        .row,
        RowDecision::Refuse
    );
}

#[test]
fn a_tombstone_is_not_revived_by_an_older_source_state() {
    let old = RowInput {
        base: Base::Tombstone,
        source_is_newer: false,
        ..push_row()
    };
    assert_eq!(reconcile(&old, &[]).row, RowDecision::Nothing);
    let new = RowInput {
        source_is_newer: true,
        ..old
    };
    assert_eq!(reconcile(&new, &[]).row, RowDecision::CreateItem);
}

#[test]
fn an_item_brought_back_without_its_row_follows_its_policy_and_the_guard() {
    use OnForeignRestore::{Delete, Keep, Report};
    let back = |on_foreign_restore| RowInput {
        base: Base::Tombstone,
        source: Existence::ProvenGone,
        target: Existence::One,
        on_foreign_restore,
        ..push_row()
    };
    let decided = |row: RowInput| reconcile(&row, &[]).row;
    assert_eq!(decided(back(Report)), RowDecision::RestoreReported);
    assert_eq!(decided(back(Keep)), RowDecision::LeaveItem);
    assert_eq!(decided(back(Delete)), RowDecision::DeleteItem);
    // What becomes of items whose row goes is another choice.
    let keeps = RowInput {
        delete: DeletePolicy::Keep,
        ..back(Delete)
    };
    assert_eq!(decided(keeps), RowDecision::DeleteItem);
    let guarded = RowInput {
        deletes_allowed: false,
        ..back(Delete)
    };
    assert_eq!(decided(guarded), RowDecision::Refuse);
    let archive = RowInput {
        archive_only: true,
        ..back(Delete)
    };
    assert_eq!(decided(archive), RowDecision::LeaveItem);
    for source in [Existence::Missing, Existence::Unseen] {
        for policy in [Report, Delete, Keep] {
            let unproven = RowInput {
                source,
                ..back(policy)
            };
            assert_eq!(decided(unproven), RowDecision::RestoreReported);
        }
    }
    // With its row back it is simply that row's item again.
    let both = RowInput {
        source: Existence::One,
        ..back(Delete)
    };
    assert_eq!(decided(both), RowDecision::Adopt);
}

#[test]
fn both_sides_moving_to_the_same_value_is_agreement_and_not_a_conflict() {
    let mut both = field(Direction::Both, CHANGED, CHANGED);
    both.equal = Some(true);
    assert_eq!(decide_field(&both, Later::Source), FieldDecision::Adopt);
}

#[test]
fn a_lossy_pull_is_parked_rather_than_cutting_the_source() {
    let mut cut = field(Direction::Both, SAME, CHANGED);
    cut.pull_would_lose = true;
    assert_eq!(decide_field(&cut, Later::Source), FieldDecision::ConflictParked);
}

#[test]
fn an_unknown_base_adopts_equals_and_never_overwrites_silently() {
    let mut unknown = field(Direction::Push, CHANGED, T_SAME);
    unknown.base_source = None;
    unknown.equal = Some(true);
    assert_eq!(decide_field(&unknown, Later::Source), FieldDecision::Adopt);
    unknown.equal = Some(false);
    assert_eq!(decide_field(&unknown, Later::Source), FieldDecision::NeedsPlan);
}

/// Every combination of everything: the function answers, and the answer keeps the rules that protect data.
#[test]
fn every_combination_has_an_answer_that_destroys_nothing_without_proof() {
    let mut seen = 0u64;
    each_row(&mut |row| {
        each_field(&mut |field| {
            seen += 1;
            let decision = reconcile(row, &[field]);
            check(row, &field, &decision);
        });
    });
    assert!(seen > 1_000_000, "only {seen} combinations");
}

fn check(row: &RowInput, field: &FieldInput, decision: &Decision) {
    use Existence as E;
    let context = || format!("{row:?}\n{field:?}\n{decision:?}");
    if decision.row == RowDecision::DeleteItem {
        assert!(
            row.source == E::ProvenGone && row.pushes && row.deletes_allowed,
            "{}",
            context()
        );
        let asked = match row.base {
            Base::Live => row.delete == DeletePolicy::Propagate,
            Base::Tombstone => {
                row.on_foreign_restore == OnForeignRestore::Delete && row.target == Existence::One
            }
            Base::None | Base::Left => false,
        };
        assert!(asked && !row.archive_only, "{}", context());
    }
    if decision.row == RowDecision::DeleteRow {
        assert!(
            row.target == E::ProvenGone && row.pulls && row.deletes_allowed,
            "{}",
            context()
        );
    }
    if decision.row == RowDecision::CreateItem {
        assert!(row.pushes && row.source != E::Missing, "{}", context());
        assert!(
            row.base != Base::Tombstone || row.source_is_newer,
            "{}",
            context()
        );
        assert!(row.target != E::One, "{}", context());
    }
    if row.source == E::Many || row.target == E::Many {
        assert_eq!(decision.row, RowDecision::ParkMany, "{}", context());
    }
    let writes_target = decision.writes_target();
    if writes_target {
        assert!(
            !matches!(field.source, Seen::Unseen) || field.rule.direction == Direction::Push,
            "{}",
            context()
        );
        assert!(!field.rule.passive && !row.archive_only, "{}", context());
    }
    if decision.fields.contains(&FieldDecision::ToSource)
        || decision.fields.contains(&FieldDecision::ConflictToSource)
    {
        assert!(!field.rule.passive, "{}", context());
        assert!(
            !(field.pull_would_lose && field.rule.direction == Direction::Both),
            "{}",
            context()
        );
    }
    let nothing_moved = field.base_source.is_some()
        && field.base_target.is_some()
        && !changed(field.base_source, field.source)
        && !changed(field.base_target, field.target);
    if nothing_moved {
        assert_eq!(decision.fields[0], FieldDecision::Nothing, "{}", context());
    }
}

fn each_row(visit: &mut dyn FnMut(&RowInput)) {
    let existences = [
        Existence::ProvenGone,
        Existence::Missing,
        Existence::One,
        Existence::Many,
        Existence::Unseen,
    ];
    for base in [Base::None, Base::Live, Base::Tombstone, Base::Left] {
        for source in existences {
            for target in existences {
                for delete in [DeletePolicy::Propagate, DeletePolicy::Keep, DeletePolicy::Archive] {
                    for bits in 0..128u32 {
                        let bit = |n: u32| bits & (1 << n) != 0;
                        visit(&RowInput {
                            base,
                            source,
                            target,
                            pushes: bit(0),
                            pulls: bit(1),
                            inserts: bit(1),
                            delete,
                            // Read only where both sides were gone, so each value meets every combination there.
                            on_foreign_restore: match delete {
                                DeletePolicy::Propagate => OnForeignRestore::Delete,
                                DeletePolicy::Keep => OnForeignRestore::Keep,
                                DeletePolicy::Archive => OnForeignRestore::Report,
                            },
                            conflict: if bit(2) {
                                ConflictPolicy::TargetWins
                            } else {
                                ConflictPolicy::Manual
                            },
                            later: Later::Source,
                            archive_only: bit(3),
                            route_changed: false,
                            key_changed: false,
                            source_is_newer: bit(4),
                            deletes_allowed: bit(5),
                            may_adopt: bit(6),
                        });
                    }
                }
            }
        }
    }
}

fn each_field(visit: &mut dyn FnMut(FieldInput)) {
    for base_source in [None, hash(1)] {
        for base_target in [None, hash(2)] {
            for source in [Seen::Unseen, SAME, CHANGED] {
                for target in [Seen::Unseen, T_SAME, CHANGED] {
                    for direction in [Direction::Push, Direction::Pull, Direction::Both] {
                        for passive in [false, true] {
                            let equal = match (source, target) {
                                (Seen::Unseen, _) | (_, Seen::Unseen) => None,
                                _ => Some(passive),
                            };
                            visit(FieldInput {
                                base_source,
                                base_target,
                                source,
                                target,
                                equal,
                                pull_would_lose: passive,
                                resolution: None,
                                rule: FieldRule {
                                    passive,
                                    ..rule(direction)
                                },
                            });
                        }
                    }
                }
            }
        }
    }
}
