use chrono::{DateTime, Utc};
use syncbridge_domain::ids::ConflictId;
use uuid::Uuid;

use super::*;
use crate::conflict_list::{ByWhom, ConflictView};
use crate::history_view::MarkView;
use crate::why_view::{CellAgreed, InQuarantine, OpenWrite, SideNow};

const AT: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn change(direction: Way, kind: &'static str) -> CellStep {
    CellStep {
        number: 1,
        at: AT,
        run: "run_7".into(),
        direction,
        kind,
        outcome: "applied".into(),
        row_rule: Some(RowDecision::Fields),
        rule: Some(FieldDecision::ToTarget),
        by: Some(Decider::Change),
        beside: None,
        source_before: None,
        source_after: None,
        target_before: None,
        target_after: None,
        version_before: None,
        version_after: None,
        value_before: None,
        value_after: None,
        request_id: None,
    }
}

fn view() -> WhyView {
    WhyView {
        definition: "projects".into(),
        identity: "0".into(),
        key: vec!["3".into()],
        column: "budget".into(),
        list_column: "Budget".into(),
        direction: "both",
        agreed: Some(CellAgreed {
            state: "live",
            item: "1".into(),
            version: "v".into(),
            source_hash: None,
            target_hash: None,
            mark: MarkView {
                generation: 1,
                lsn: 1,
            },
            last_run: "run_7".into(),
        }),
        live: None,
        open_writes: Vec::new(),
        waits: None,
        quarantine: None,
        conflicts: Vec::new(),
        changes: vec![change(Way::ToList, "patch_item")],
        older: false,
        told: String::new(),
    }
}

fn parked() -> ConflictView {
    ConflictView {
        id: ConflictId::from_uuid(Uuid::from_u128(5)),
        definition: "projects".into(),
        identity: "0".into(),
        key: Vec::new(),
        column: "budget".into(),
        status: "open",
        reason: Some("policy"),
        winner: None,
        decided: None,
        closed: None,
        list_edited_by: None,
        list_edited_at: None,
        run: "run_7".into(),
        noticed: AT,
    }
}

fn told_as(view: &WhyView, direction: Direction) -> String {
    tell(&Facts {
        view,
        direction,
        conflict: ConflictPolicy::LatestWins,
        on_foreign_edit: OnForeignEdit::Report,
    })
}

fn told(view: &WhyView) -> String {
    told_as(view, Direction::Both)
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
    assert!(text.ends_with('.'), "{text}");
}

#[test]
fn what_stands_in_the_way_comes_before_what_happened_and_says_what_to_do() {
    let mut now = view();
    now.waits = Some(Waiting::Changed);
    says(&told(&now), &["not applied yet", "syncbridge run projects"]);
    now.open_writes.push(OpenWrite {
        kind: "patch_item",
        state: EffectState::Open,
        run: "run_8".into(),
        seconds_ago: 3,
        of_this_cell: true,
    });
    says(&told(&now), &["run_8", "answer was lost"]);
    now.quarantine = Some(InQuarantine {
        code: "value.too_long".into(),
        column: Some("name".into()),
        cause: "the text is too long".into(),
        fix: "shorten it".into(),
        since: AT,
        accepted: false,
    });
    says(
        &told(&now),
        &[
            "quarantine since 1970-01-01",
            "too long (column `name`)",
            "shorten it",
        ],
    );
    now.conflicts.push(parked());
    let text = told(&now);
    says(
        &text,
        &[
            "Both sides changed `budget`",
            "conflicts show cfl_",
            "--take source",
        ],
    );
    now.conflicts[0].decided = Some(ByWhom {
        by: "ada".into(),
        at: AT,
    });
    now.conflicts[0].winner = Some("target");
    says(
        &told(&now),
        &[
            "ada decided that the list's value stands",
            "syncbridge run projects",
        ],
    );
    now.conflicts[0].closed = Some(AT);
    says(&told(&now), &["quarantine"]);
    now.quarantine.as_mut().unwrap().accepted = true;
    says(&told(&now), &["accepted", "quarantine retry projects 3"]);
}

#[test]
fn an_armed_write_alone_does_not_stand_in_the_way() {
    let mut now = view();
    now.open_writes.push(OpenWrite {
        kind: "patch_item",
        state: EffectState::Armed,
        run: "run_8".into(),
        seconds_ago: 3,
        of_this_cell: true,
    });
    says(&told(&now), &["the table had changed and the list had not"]);
}

#[test]
fn every_way_a_cell_can_have_come_about_is_told_apart() {
    let mut all = std::collections::BTreeSet::new();
    let mut expect = |change: CellStep, part: &str| {
        let mut now = view();
        now.changes = vec![change];
        let text = told(&now);
        says(&text, &[part, "run_7", "1970-01-01 00:00 UTC", "--live"]);
        assert!(all.insert(text.clone()), "twice: {text}");
    };
    let to_list = |rule, by| CellStep {
        rule: Some(rule),
        by: Some(by),
        ..change(Way::ToList, "patch_item")
    };
    let to_table = |rule, by| CellStep {
        rule: Some(rule),
        by: Some(by),
        ..change(Way::ToSource, "update_row")
    };
    use FieldDecision as F;
    expect(
        to_list(F::ToTarget, Decider::Change),
        "the table had changed and the list had not",
    );
    expect(
        to_table(F::ToSource, Decider::Change),
        "the list had changed and the table had not",
    );
    expect(to_list(F::ConflictToTarget, Decider::SourceWins), "source_wins");
    expect(to_table(F::ConflictToSource, Decider::TargetWins), "target_wins");
    expect(
        to_list(F::ConflictToTarget, Decider::LatestWins),
        "the table last",
    );
    expect(
        to_table(F::ConflictToSource, Decider::LatestWins),
        "the list last",
    );
    expect(
        to_list(F::ConflictToTarget, Decider::Person),
        "a person chose the table's value",
    );
    expect(to_list(F::ConflictToTarget, Decider::Approval), "--approve");
    expect(to_list(F::ConflictToTarget, Decider::Repair), "--repair");
    expect(
        to_list(F::ConflictToTarget, Decider::Direction),
        "the field is the table's",
    );
    expect(
        to_list(F::ToTarget, Decider::Direction),
        "such edits are put back",
    );
    expect(to_list(F::ForeignReported, Decider::Direction), "took it along");
    expect(
        to_list(F::RideToTarget, Decider::Change),
        "another field of the row caused a write",
    );
    expect(change(Way::ToList, "create_item"), "made the item");
    expect(change(Way::ToSource, "insert_row"), "made the row of an item");
    expect(change(Way::Adopted, "adopt"), "took it over");
    expect(change(Way::Agreed, "agree"), "without a write");
    let fence = CellStep {
        beside: Some(Beside::Fence),
        ..change(Way::ToList, "patch_item")
    };
    expect(fence, "could still have landed");
    let old = CellStep {
        rule: None,
        by: None,
        row_rule: None,
        ..change(Way::ToList, "patch_item")
    };
    expect(old, "not kept yet");
}

#[test]
fn a_live_look_tells_who_moved_and_what_a_run_makes_of_it() {
    use AgainstAgreed::{AsAgreed, Changed, Gone, NotLooked, Unknown, Unseen};
    let live = |source, target| CellLive {
        source: SideNow {
            is: source,
            value: None,
        },
        target: SideNow {
            is: target,
            value: None,
        },
    };
    for (direction, source, target, part) in [
        (Direction::Both, Changed, AsAgreed, "brings it to the list"),
        (Direction::Both, AsAgreed, Changed, "brings it to the table"),
        (Direction::Both, Changed, Changed, "`latest_wins`"),
        (Direction::Push, Changed, Changed, "the table owns it"),
        (Direction::Push, AsAgreed, Changed, "although the table owns it"),
        (Direction::Pull, Changed, AsAgreed, "although the list owns it"),
        (Direction::Pull, Changed, Changed, "the list owns it"),
        (Direction::Push, Gone, AsAgreed, "onDelete"),
        (Direction::Push, AsAgreed, Gone, "--repair"),
        (Direction::Both, AsAgreed, Gone, "looks into it"),
        (Direction::Both, AsAgreed, Unseen, "removed or hidden"),
        (Direction::Both, Unknown, AsAgreed, "Nothing was ever agreed on"),
        (Direction::Push, Changed, NotLooked, "makes it"),
        (Direction::Push, AsAgreed, AsAgreed, "Both sides still show"),
    ] {
        let mut now = view();
        now.live = Some(live(source, target));
        says(&told_as(&now, direction), &[part]);
    }
}

#[test]
fn what_is_gone_or_was_never_there_is_said_so() {
    let mut now = view();
    now.agreed.as_mut().unwrap().state = "tombstone";
    says(&told(&now), &["are gone"]);
    now.agreed.as_mut().unwrap().state = "archived";
    says(&told(&now), &["onDelete"]);
    now.agreed.as_mut().unwrap().state = "live";
    now.changes.clear();
    says(&told(&now), &["history.retention"]);
    now.agreed = None;
    says(
        &told(&now),
        &["Nothing was written yet", "syncbridge run projects"],
    );
}

#[test]
fn an_attempt_that_came_to_nothing_explains_nothing() {
    let mut now = view();
    let released = CellStep {
        outcome: "released".into(),
        ..change(Way::ToSource, "update_row")
    };
    now.changes.insert(0, released);
    says(&told(&now), &["wrote the table's value to the list"]);
}
