//! Every combination of what a row and a field can be, and what must hold of each answer (DESIGN §5, §12).
//!
//! A field's answer depends on the row only through who is later, which sides are written, and whether it is an archive, and a row's answer on its fields only
//! through whether a side was edited; `fields_are_judged_one_by_one` holds the first, so that rows and fields can be
//! gone through apart, each whole.

use proptest::prelude::*;

use super::*;

const POLICIES: [ConflictPolicy; 4] = [
    ConflictPolicy::SourceWins,
    ConflictPolicy::TargetWins,
    ConflictPolicy::LatestWins,
    ConflictPolicy::Manual,
];
const DIRECTIONS: [Direction; 3] = [Direction::Push, Direction::Pull, Direction::Both];
const FOREIGN: [OnForeignEdit; 3] = [OnForeignEdit::Restore, OnForeignEdit::Keep, OnForeignEdit::Report];
const DELETES: [DeletePolicy; 3] = [DeletePolicy::Propagate, DeletePolicy::Keep, DeletePolicy::Archive];
const LATER: [Later; 2] = [Later::Source, Later::Target];
const RESOLUTIONS: [Option<Side>; 3] = [None, Some(Side::Source), Some(Side::Target)];
const BASES: [Base; 4] = [Base::None, Base::Live, Base::Tombstone, Base::Left];
const EXISTENCES: [Existence; 5] = [
    Existence::ProvenGone,
    Existence::Missing,
    Existence::One,
    Existence::Many,
    Existence::Unseen,
];
const BOTH_WAYS: [bool; 2] = [false, true];

const fn hash(n: u64) -> CellHash {
    std::num::NonZeroU64::new(n)
}

const OLD_S: CellHash = hash(1);
const NEW_S: CellHash = hash(3);
const OLD_T: CellHash = hash(2);
const NEW_T: CellHash = hash(4);

/// Everything of a row that its fields depend on, in a row that exists on both sides.
fn each_frame(visit: &mut dyn FnMut(&RowInput)) {
    for later in LATER {
        for pushes in BOTH_WAYS {
            for pulls in BOTH_WAYS {
                for archive_only in BOTH_WAYS {
                    visit(&RowInput {
                        pushes,
                        pulls,
                        archive_only,
                        later,
                        ..live()
                    });
                }
            }
        }
    }
}

fn live() -> RowInput {
    RowInput {
        base: Base::Live,
        source: Existence::One,
        target: Existence::One,
        pushes: true,
        pulls: true,
        inserts: true,
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

fn each_rule(visit: &mut dyn FnMut(FieldRule)) {
    for direction in DIRECTIONS {
        for passive in BOTH_WAYS {
            for conflict in POLICIES {
                for on_foreign_edit in FOREIGN {
                    visit(FieldRule {
                        direction,
                        passive,
                        conflict,
                        on_foreign_edit,
                    });
                }
            }
        }
    }
}

fn each_field(visit: &mut dyn FnMut(&FieldInput)) {
    for base_source in [None, OLD_S] {
        for base_target in [None, OLD_T] {
            for source in [Seen::Unseen, Seen::Value(OLD_S), Seen::Value(NEW_S)] {
                for target in [Seen::Unseen, Seen::Value(OLD_T), Seen::Value(NEW_T)] {
                    let known: &[Option<bool>] = match (source, target) {
                        (Seen::Unseen, _) | (_, Seen::Unseen) => &[None],
                        _ => &[Some(false), Some(true)],
                    };
                    for equal in known {
                        for pull_would_lose in BOTH_WAYS {
                            for resolution in RESOLUTIONS {
                                each_rule(&mut |rule| {
                                    visit(&FieldInput {
                                        base_source,
                                        base_target,
                                        source,
                                        target,
                                        equal: *equal,
                                        pull_would_lose,
                                        resolution,
                                        rule,
                                    });
                                });
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Which sides of a definition a field may reach.
fn reach(row: &RowInput, field: &FieldInput) -> (bool, bool) {
    let to_target = row.pushes && field.rule.direction != Direction::Pull && !row.archive_only;
    let to_source = row.pulls && field.rule.direction != Direction::Push && !row.archive_only;
    (to_target, to_source)
}

fn to_target(decision: FieldDecision) -> bool {
    matches!(
        decision,
        FieldDecision::ToTarget | FieldDecision::ConflictToTarget
    )
}

fn to_source(decision: FieldDecision) -> bool {
    matches!(
        decision,
        FieldDecision::ToSource | FieldDecision::ConflictToSource
    )
}

#[test]
fn every_field_in_every_row_gets_an_answer_that_keeps_the_rules() {
    let mut seen = 0u64;
    each_frame(&mut |row| {
        each_field(&mut |field| {
            seen += 1;
            let decision = reconcile(row, std::slice::from_ref(field));
            assert_eq!(decision.row, RowDecision::Fields);
            check_field(row, field, decision.fields[0]);
        });
    });
    assert!(seen > 300_000, "only {seen} combinations");
}

fn check_field(row: &RowInput, field: &FieldInput, decided: FieldDecision) {
    use FieldDecision as F;
    let context = || format!("{row:?}\n{field:?}\n{decided:?}");
    let (reaches_target, reaches_source) = reach(row, field);
    let here = changed(field.base_source, field.source);
    let there = changed(field.base_target, field.target);
    let known = field.base_source.is_some() && field.base_target.is_some();
    let (writes_target, writes_source) = (to_target(decided), to_source(decided));

    // Nothing is written to a side that the definition, or an archive, leaves alone.
    assert!(!writes_target || row.pushes && !row.archive_only, "{}", context());
    assert!(!writes_source || row.pulls && !row.archive_only, "{}", context());
    // What is written was read on the side that it comes from, and a pull is decided by both.
    assert!(!writes_target || field.source != Seen::Unseen, "{}", context());
    assert!(
        !writes_source || field.source != Seen::Unseen && field.target != Seen::Unseen,
        "{}",
        context()
    );
    // Passive: alone, it never causes a write, a read or a person's work.
    if field.rule.passive {
        assert!(matches!(decided, F::Nothing | F::Adopt), "{}", context());
    }
    // Where nobody moved there is nothing to do, whatever a person said before.
    if known && !here && !there {
        assert_eq!(decided, F::Nothing, "{}", context());
    }
    // Equal is agreement; it costs no write and is nobody's conflict.
    if field.equal == Some(true) {
        assert!(matches!(decided, F::Nothing | F::Adopt), "{}", context());
    }
    assert!(decided != F::Adopt || field.equal == Some(true), "{}", context());
    // A write needs evidence: a known agreement that a side left, or a person's word.
    let by_word = field.resolution.is_some();
    if (writes_target || writes_source) && !by_word {
        assert!(
            known || field.base_source.is_some() && !reaches_source,
            "{}",
            context()
        );
        assert!(here || there || field.equal == Some(false), "{}", context());
    }
    // Overriding a value is called a conflict, so that it is kept, but where the field is not that side's to change.
    if known && field.rule.direction == Direction::Both && reaches_target && reaches_source {
        assert!(!(decided == F::ToTarget && there), "{}", context());
        assert!(!(decided == F::ToSource && here), "{}", context());
    }
    if matches!(decided, F::ConflictToTarget | F::ConflictToSource) && !by_word {
        assert!(here && (there || field.base_target.is_none()), "{}", context());
    }
    // What a list would cut is never taken without a person's word.
    if field.pull_would_lose && writes_source && field.rule.direction == Direction::Both && row.pushes {
        assert_eq!(field.resolution, Some(Side::Target), "{}", context());
    }
    // A look is asked for only where it is missing.
    assert!(
        decided != F::NeedsSource || field.source == Seen::Unseen,
        "{}",
        context()
    );
    assert!(
        decided != F::NeedsTarget || field.target == Seen::Unseen,
        "{}",
        context()
    );
    assert!(
        !matches!(decided, F::ForeignKept | F::ForeignReported)
            || field.rule.direction != Direction::Both
            || !(row.pushes && row.pulls),
        "{}",
        context()
    );
}

/// Both ways, both sides seen, agreement known.
fn two_way(source: CellHash, target: CellHash, conflict: ConflictPolicy) -> FieldInput {
    FieldInput {
        base_source: OLD_S,
        base_target: OLD_T,
        source: Seen::Value(source),
        target: Seen::Value(target),
        equal: Some(false),
        pull_would_lose: false,
        resolution: None,
        rule: FieldRule {
            direction: Direction::Both,
            passive: false,
            conflict,
            on_foreign_edit: OnForeignEdit::Report,
        },
    }
}

#[test]
fn c_06_an_edit_of_one_side_travels_under_every_policy_and_resolution() {
    for conflict in POLICIES {
        for later in LATER {
            for resolution in RESOLUTIONS {
                let here = FieldInput {
                    resolution,
                    ..two_way(NEW_S, OLD_T, conflict)
                };
                let there = FieldInput {
                    resolution,
                    ..two_way(OLD_S, NEW_T, conflict)
                };
                assert_eq!(decide_field(&here, later), FieldDecision::ToTarget);
                assert_eq!(decide_field(&there, later), FieldDecision::ToSource);
            }
        }
    }
}

#[test]
fn c_06_of_two_edits_each_policy_has_its_winner_and_the_loser_is_kept() {
    use FieldDecision::{ConflictParked, ConflictToSource, ConflictToTarget};
    let decided = |conflict, later| decide_field(&two_way(NEW_S, NEW_T, conflict), later);
    for later in LATER {
        assert_eq!(decided(ConflictPolicy::SourceWins, later), ConflictToTarget);
        assert_eq!(decided(ConflictPolicy::TargetWins, later), ConflictToSource);
        assert_eq!(decided(ConflictPolicy::Manual, later), ConflictParked);
    }
    assert_eq!(
        decided(ConflictPolicy::LatestWins, Later::Source),
        ConflictToTarget
    );
    assert_eq!(
        decided(ConflictPolicy::LatestWins, Later::Target),
        ConflictToSource
    );
}

#[test]
fn a_persons_decision_wins_over_every_policy_and_over_a_loss() {
    for conflict in POLICIES {
        for later in LATER {
            for pull_would_lose in BOTH_WAYS {
                let field = |winner| FieldInput {
                    resolution: Some(winner),
                    pull_would_lose,
                    ..two_way(NEW_S, NEW_T, conflict)
                };
                assert_eq!(
                    decide_field(&field(Side::Source), later),
                    FieldDecision::ConflictToTarget
                );
                assert_eq!(
                    decide_field(&field(Side::Target), later),
                    FieldDecision::ConflictToSource
                );
            }
        }
    }
    let first = |winner| FieldInput {
        base_source: None,
        base_target: None,
        resolution: Some(winner),
        ..two_way(NEW_S, NEW_T, ConflictPolicy::Manual)
    };
    assert_eq!(
        decide_field(&first(Side::Target), Later::Source),
        FieldDecision::ConflictToSource
    );
    assert_eq!(
        decide_field(&first(Side::Source), Later::Source),
        FieldDecision::ConflictToTarget
    );
}

/// Source and target changed places.
fn mirrored(field: &FieldInput) -> FieldInput {
    let direction = match field.rule.direction {
        Direction::Push => Direction::Pull,
        Direction::Pull => Direction::Push,
        Direction::Both => Direction::Both,
    };
    let conflict = match field.rule.conflict {
        ConflictPolicy::SourceWins => ConflictPolicy::TargetWins,
        ConflictPolicy::TargetWins => ConflictPolicy::SourceWins,
        other => other,
    };
    FieldInput {
        base_source: field.base_target,
        base_target: field.base_source,
        source: field.target,
        target: field.source,
        resolution: field.resolution.map(|side| match side {
            Side::Source => Side::Target,
            Side::Target => Side::Source,
        }),
        rule: FieldRule {
            direction,
            conflict,
            ..field.rule
        },
        ..*field
    }
}

fn mirrored_decision(decision: FieldDecision) -> FieldDecision {
    use FieldDecision as F;
    match decision {
        F::ToTarget => F::ToSource,
        F::ToSource => F::ToTarget,
        F::ConflictToTarget => F::ConflictToSource,
        F::ConflictToSource => F::ConflictToTarget,
        F::RideToTarget => F::RideToSource,
        F::RideToSource => F::RideToTarget,
        other => other,
    }
}

#[test]
fn what_holds_for_one_side_holds_for_the_other() {
    let mut seen = 0u64;
    each_field(&mut |field| {
        // Where sides differ by design: an unseen side is covered by If-Match in the list and has to be read in the
        // source; a loss happens on the way to the source; a passive field that goes both ways and was changed on both
        // sides is the source's.
        let whole = field.base_source.is_some()
            && field.base_target.is_some()
            && field.source != Seen::Unseen
            && field.target != Seen::Unseen;
        let rides_both = field.rule.passive && field.rule.direction == Direction::Both;
        if !whole || field.pull_would_lose || rides_both {
            return;
        }
        seen += 1;
        for (later, other) in [(Later::Source, Later::Target), (Later::Target, Later::Source)] {
            assert_eq!(
                decide_field(&mirrored(field), other),
                mirrored_decision(decide_field(field, later)),
                "{field:?}"
            );
        }
    });
    assert!(seen > 1_000, "only {seen} combinations");
}

/// Fields that tell a row whether a side was edited: of the source, of the target, each unknown, not or yes.
fn each_edit(visit: &mut dyn FnMut(&FieldInput, bool, bool)) {
    for (base_source, source) in [(OLD_S, OLD_S), (OLD_S, NEW_S), (None, NEW_S)] {
        for (base_target, target) in [(OLD_T, OLD_T), (OLD_T, NEW_T), (None, NEW_T)] {
            let field = FieldInput {
                base_source,
                base_target,
                ..two_way(source, target, ConflictPolicy::Manual)
            };
            visit(&field, source == OLD_S, target == OLD_T);
        }
    }
}

fn each_row(visit: &mut dyn FnMut(&RowInput)) {
    let winners = POLICIES
        .into_iter()
        .map(|conflict| (conflict, Later::Source))
        .chain([(ConflictPolicy::LatestWins, Later::Target)]);
    for (conflict, later) in winners {
        for base in BASES {
            for source in EXISTENCES {
                for target in EXISTENCES {
                    for delete in DELETES {
                        for bits in 0..512u32 {
                            let bit = |n: u32| bits & (1 << n) != 0;
                            visit(&RowInput {
                                base,
                                source,
                                target,
                                pushes: bit(0),
                                pulls: bit(1),
                                inserts: bit(2),
                                delete,
                                // Read only where both sides were gone, so each value meets every combination there.
                                on_foreign_restore: match delete {
                                    DeletePolicy::Propagate => OnForeignRestore::Delete,
                                    DeletePolicy::Keep => OnForeignRestore::Keep,
                                    DeletePolicy::Archive => OnForeignRestore::Report,
                                },
                                conflict,
                                later,
                                archive_only: bit(3),
                                route_changed: bit(7),
                                key_changed: bit(8),
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
}

#[test]
fn every_row_gets_an_answer_that_destroys_nothing_without_proof() {
    let mut seen = 0u64;
    let mut met = std::collections::BTreeSet::new();
    each_row(&mut |row| {
        each_edit(&mut |field, still_here, still_there| {
            seen += 1;
            // What a side shows is told only where it is there.
            let field = FieldInput {
                source: shown(row.source, field.source),
                target: shown(row.target, field.target),
                equal: None,
                ..*field
            };
            let decision = reconcile(row, &[field]);
            met.insert(decision.row);
            check_row(row, &field, decision.row, still_here, still_there);
        });
    });
    assert!(seen > 6_000_000, "only {seen} combinations");
    assert_eq!(met.len(), 21, "every decision is met: {met:?}");
}

fn shown(existence: Existence, seen: Seen) -> Seen {
    match existence {
        Existence::One => seen,
        _ => Seen::Unseen,
    }
}

fn check_row(row: &RowInput, field: &FieldInput, decided: RowDecision, still_here: bool, still_there: bool) {
    use Existence as E;
    use RowDecision as R;
    let context = || format!("{row:?}\n{field:?}\n{decided:?}");
    let pulls = row.pulls && !row.archive_only;
    match decided {
        // Deletes need proof, a policy that wants them, and a budget.
        R::DeleteItem => {
            assert!(row.source == E::ProvenGone, "{}", context());
            assert!(
                row.pushes && row.deletes_allowed && !row.archive_only,
                "{}",
                context()
            );
            let asked = match row.base {
                Base::Live => row.delete == DeletePolicy::Propagate,
                Base::Tombstone => row.on_foreign_restore == OnForeignRestore::Delete && row.target == E::One,
                Base::None | Base::Left => false,
            };
            assert!(asked, "{}", context());
            assert!(matches!(row.target, E::One | E::Unseen), "{}", context());
        }
        R::DeleteRow => {
            assert!(
                row.target == E::ProvenGone && row.base == Base::Live,
                "{}",
                context()
            );
            assert!(pulls && row.deletes_allowed, "{}", context());
            assert!(row.delete == DeletePolicy::Propagate, "{}", context());
            assert!(
                row.source == E::One,
                "a row is deleted only as it was seen: {}",
                context()
            );
        }
        R::ArchiveItem => {
            assert!(
                row.source == E::ProvenGone && row.base == Base::Live,
                "{}",
                context()
            );
            assert!(
                row.pushes && row.deletes_allowed && row.delete == DeletePolicy::Archive,
                "{}",
                context()
            );
        }
        // Where something would be destroyed it takes proof even to say that it is too much.
        R::Refuse => {
            assert!(!row.deletes_allowed, "{}", context());
            assert!(
                row.source == E::ProvenGone || row.target == E::ProvenGone,
                "{}",
                context()
            );
        }
        R::CreateItem => {
            assert!(row.pushes && row.target != E::One, "{}", context());
            assert!(matches!(row.source, E::One | E::Unseen), "{}", context());
            // What was deleted does not come back by itself.
            assert!(
                matches!(row.base, Base::None | Base::Live) || row.source_is_newer,
                "{}",
                context()
            );
            assert!(
                row.base != Base::Live || row.target == E::ProvenGone && !still_here,
                "{}",
                context()
            );
            assert!(
                row.base != Base::Left || row.target == E::ProvenGone,
                "{}",
                context()
            );
        }
        R::InsertRow => {
            assert!(pulls && row.inserts, "{}", context());
            assert!(
                row.source == E::ProvenGone && row.target == E::One,
                "{}",
                context()
            );
            assert!(row.base != Base::Left, "{}", context());
            assert!(row.base != Base::Live || !still_there, "{}", context());
            assert!(row.base != Base::Tombstone || !row.pushes, "{}", context());
        }
        R::Bury => assert!(
            row.source == E::ProvenGone && row.target == E::ProvenGone,
            "{}",
            context()
        ),
        R::Adopt => assert!(
            row.source == E::One
                && row.target == E::One
                && (row.base == Base::None && row.may_adopt || row.source_is_newer),
            "{}",
            context()
        ),
        R::LeaveItem => assert!(
            matches!(row.base, Base::Live | Base::Tombstone)
                && (row.source == E::ProvenGone || row.target == E::ProvenGone),
            "{}",
            context()
        ),
        R::NeedsSource => assert!(matches!(row.source, E::Unseen | E::Missing), "{}", context()),
        R::NeedsTarget => assert!(matches!(row.target, E::Unseen | E::Missing), "{}", context()),
        R::SuspectSource => assert!(row.source == E::Missing, "{}", context()),
        R::SuspectTarget => assert!(row.target == E::Missing, "{}", context()),
        R::ConflictParked => {
            let gone = row.source == E::ProvenGone || row.target == E::ProvenGone;
            assert!(
                gone && pulls && row.pushes && row.base == Base::Live,
                "{}",
                context()
            );
            assert!(!still_here || !still_there, "{}", context());
        }
        R::MoveItem | R::RekeyItem => assert!(row.pushes && row.source == E::One, "{}", context()),
        R::ForeignDeleteReported => assert!(
            !row.pushes && row.source == E::ProvenGone || !pulls && row.target == E::ProvenGone,
            "{}",
            context()
        ),
        R::RestoreReported => assert!(
            row.base == Base::Tombstone && row.target == E::One,
            "{}",
            context()
        ),
        R::ParkMany | R::Fields | R::Nothing => {}
    }
    // Two of one identity are never guessed about.
    if row.source == E::Many || row.target == E::Many {
        assert_eq!(decided, R::ParkMany, "{}", context());
    }
    // Nothing rests on a side of which nobody knows whether it is there.
    if row.source == E::Missing && row.base == Base::Live && row.target != E::Many {
        assert_eq!(decided, R::SuspectSource, "{}", context());
    }
    if row.target == E::Missing && row.base == Base::Live {
        assert!(
            matches!(decided, R::SuspectTarget | R::SuspectSource | R::ParkMany),
            "{}",
            context()
        );
    }
    // A deletion never takes an edit of the winning side with it.
    let edit_there = row.source == E::ProvenGone && field.target != Seen::Unseen && !still_there;
    let target_wins = match row.conflict {
        ConflictPolicy::SourceWins => false,
        ConflictPolicy::TargetWins | ConflictPolicy::Manual => true,
        ConflictPolicy::LatestWins => row.later == Later::Target,
    };
    if edit_there && target_wins && pulls && row.base == Base::Live && row.pushes {
        assert!(
            !matches!(decided, R::DeleteItem | R::ArchiveItem | R::LeaveItem | R::Refuse),
            "{}",
            context()
        );
    }
    let edit_here = row.target == E::ProvenGone && field.source != Seen::Unseen && !still_here;
    let source_wins = match row.conflict {
        ConflictPolicy::TargetWins => false,
        ConflictPolicy::SourceWins | ConflictPolicy::Manual => true,
        ConflictPolicy::LatestWins => row.later == Later::Source,
    };
    if edit_here && source_wins && pulls && row.base == Base::Live && row.pushes {
        assert!(
            !matches!(decided, R::DeleteRow | R::LeaveItem | R::Refuse),
            "{}",
            context()
        );
    }
}

fn any_field() -> impl Strategy<Value = FieldInput> {
    let mut all = Vec::new();
    each_field(&mut |field| all.push(*field));
    proptest::sample::select(all)
}

fn any_frame() -> impl Strategy<Value = RowInput> {
    let mut all = Vec::new();
    each_frame(&mut |row| all.push(*row));
    proptest::sample::select(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn fields_are_judged_one_by_one_and_riders_only_with_a_write_to_their_side(
        row in any_frame(), fields in proptest::collection::vec(any_field(), 1..5),
    ) {
        let decision = reconcile(&row, &fields);
        let apart: Vec<FieldDecision> = fields.iter().map(|field| judge(&row, field)).collect();
        let writes_target = apart.iter().any(|decided| to_target(*decided));
        let writes_source = apart.iter().any(|decided| to_source(*decided));
        for (together, alone) in decision.fields.iter().zip(apart) {
            let expected = match alone {
                FieldDecision::RideToTarget if !writes_target => FieldDecision::Nothing,
                FieldDecision::RideToSource if !writes_source => FieldDecision::Nothing,
                alone => alone,
            };
            prop_assert_eq!(*together, expected);
        }
        prop_assert_eq!(decision.writes_target(), writes_target);
        prop_assert_eq!(decision.writes_source(), writes_source);
    }
}
