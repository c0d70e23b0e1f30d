//! The page that says what happens in each situation (`docs/conflicts.md`), made by asking [`reconcile`] itself.

use std::fmt::Write as _;
use std::num::NonZeroU64;

use crate::agreed::CellHash;
use crate::conflict::Side;
use crate::policy::{ConflictPolicy, DeletePolicy, Direction, OnForeignEdit, OnForeignRestore};
use crate::reconcile::{
    Base, Existence, FieldDecision, FieldInput, FieldRule, Later, RowDecision, RowInput, Seen, decide_field,
    reconcile,
};

const AGREED_S: CellHash = NonZeroU64::new(1);
const AGREED_T: CellHash = NonZeroU64::new(2);
const OTHER: CellHash = NonZeroU64::new(3);

/// A conflict policy, with what else it goes by, as a heading.
const POLICIES: [(&str, ConflictPolicy, Later); 5] = [
    ("`source_wins`", ConflictPolicy::SourceWins, Later::Source),
    ("`target_wins`", ConflictPolicy::TargetWins, Later::Source),
    (
        "`latest_wins`, source later",
        ConflictPolicy::LatestWins,
        Later::Source,
    ),
    (
        "`latest_wins`, list later",
        ConflictPolicy::LatestWins,
        Later::Target,
    ),
    ("`manual`", ConflictPolicy::Manual, Later::Source),
];

/// What became of one field on both sides.
struct Situation {
    what: &'static str,
    source: CellHash,
    target: CellHash,
    equal: bool,
    known: bool,
    pull_would_lose: bool,
    resolution: Option<Side>,
}

const CALM: Situation = Situation {
    what: "nobody changed it",
    source: AGREED_S,
    target: AGREED_T,
    equal: true,
    known: true,
    pull_would_lose: false,
    resolution: None,
};

const SITUATIONS: [Situation; 10] = [
    CALM,
    Situation {
        what: "changed in the source",
        source: OTHER,
        equal: false,
        ..CALM
    },
    Situation {
        what: "changed in the list",
        target: OTHER,
        equal: false,
        ..CALM
    },
    Situation {
        what: "changed in the list, which never showed the source's value whole",
        target: OTHER,
        equal: false,
        pull_would_lose: true,
        ..CALM
    },
    Situation {
        what: "changed on both sides to the same",
        source: OTHER,
        target: OTHER,
        ..CALM
    },
    Situation {
        what: "changed on both sides",
        source: OTHER,
        target: OTHER,
        equal: false,
        ..CALM
    },
    Situation {
        what: "changed on both sides; a person chose the source's",
        source: OTHER,
        target: OTHER,
        equal: false,
        resolution: Some(Side::Source),
        ..CALM
    },
    Situation {
        what: "changed on both sides; a person chose the list's",
        source: OTHER,
        target: OTHER,
        equal: false,
        resolution: Some(Side::Target),
        ..CALM
    },
    Situation {
        what: "never agreed on, and equal",
        known: false,
        ..CALM
    },
    Situation {
        what: "never agreed on, and different",
        known: false,
        equal: false,
        ..CALM
    },
];

impl Situation {
    fn input(&self, rule: FieldRule) -> FieldInput {
        FieldInput {
            base_source: AGREED_S.filter(|_| self.known),
            base_target: AGREED_T.filter(|_| self.known),
            source: Seen::Value(self.source),
            target: Seen::Value(self.target),
            equal: Some(self.equal),
            pull_would_lose: self.pull_would_lose,
            resolution: self.resolution,
            rule,
        }
    }
}

fn rule(direction: Direction, conflict: ConflictPolicy) -> FieldRule {
    FieldRule {
        direction,
        passive: false,
        conflict,
        on_foreign_edit: OnForeignEdit::Report,
    }
}

fn field_words(decision: FieldDecision) -> &'static str {
    match decision {
        FieldDecision::Nothing => "nothing",
        FieldDecision::Adopt => "agreed, no write",
        FieldDecision::ToTarget => "source → list",
        FieldDecision::ToSource => "list → source",
        FieldDecision::RideToTarget => "source → list with another write",
        FieldDecision::RideToSource => "list → source with another write",
        FieldDecision::ConflictToTarget => "source → list, the list's value kept",
        FieldDecision::ConflictToSource => "list → source, the source's value kept",
        FieldDecision::ConflictParked => "waits for a person",
        FieldDecision::ForeignReported => "said; restored with the next write",
        FieldDecision::ForeignKept => "stays as it is",
        FieldDecision::NeedsPlan => "waits for approval",
        FieldDecision::NeedsSource => "the source is read first",
        FieldDecision::NeedsTarget => "the item is read first",
    }
}

fn row_words(decision: RowDecision) -> &'static str {
    match decision {
        RowDecision::Nothing => "nothing",
        RowDecision::Fields => "field by field",
        RowDecision::Adopt => "taken over, then field by field",
        RowDecision::CreateItem => "item made",
        RowDecision::DeleteItem => "item deleted",
        RowDecision::LeaveItem => "left as it is",
        RowDecision::ArchiveItem => "item marked as archived",
        RowDecision::MoveItem => "item moved",
        RowDecision::RekeyItem => "item gets the new key",
        RowDecision::InsertRow => "row made",
        RowDecision::DeleteRow => "row deleted",
        RowDecision::Bury => "remembered as gone",
        RowDecision::SuspectSource | RowDecision::SuspectTarget => "suspected only: proof is asked for",
        RowDecision::ConflictParked | RowDecision::ParkMany => "waits for a person",
        RowDecision::ForeignDeleteReported => "said; it comes back with the next change",
        RowDecision::Refuse => "waits for approval: too many",
        RowDecision::RestoreReported => "said",
        RowDecision::NeedsSource => "the source is read first",
        RowDecision::NeedsTarget => "the item is read first",
    }
}

fn row(direction: Direction) -> RowInput {
    RowInput {
        base: Base::Live,
        source: Existence::One,
        target: Existence::One,
        pushes: direction != Direction::Pull,
        pulls: direction != Direction::Push,
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

/// `| a | b | c |`; writing to a String cannot fail.
fn line(page: &mut String, cells: &[&str]) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn table(page: &mut String, heads: &[&str]) {
    line(page, heads);
    let _ = writeln!(page, "|{}", "---|".repeat(heads.len()));
}

fn fields_both_ways(page: &mut String) {
    let heads: Vec<&str> = std::iter::once("the field")
        .chain(POLICIES.map(|(name, ..)| name))
        .collect();
    table(page, &heads);
    for situation in &SITUATIONS {
        let mut cells = vec![situation.what];
        for (_, conflict, later) in POLICIES {
            let field = situation.input(rule(Direction::Both, conflict));
            cells.push(field_words(decide_field(&field, later)));
        }
        line(page, &cells);
    }
}

fn fields_one_way(page: &mut String) {
    let columns = [
        ("`push`, `report`", Direction::Push, OnForeignEdit::Report),
        ("`push`, `restore`", Direction::Push, OnForeignEdit::Restore),
        ("`push`, `keep`", Direction::Push, OnForeignEdit::Keep),
        ("`pull`, `report`", Direction::Pull, OnForeignEdit::Report),
        ("`pull`, `restore`", Direction::Pull, OnForeignEdit::Restore),
        ("`pull`, `keep`", Direction::Pull, OnForeignEdit::Keep),
    ];
    let heads: Vec<&str> = std::iter::once("the field")
        .chain(columns.map(|(name, ..)| name))
        .collect();
    table(page, &heads);
    let said = |situation: &&Situation| situation.resolution.is_none() && !situation.pull_would_lose;
    for situation in SITUATIONS.iter().filter(said) {
        let mut cells = vec![situation.what];
        for (_, direction, on_foreign_edit) in columns {
            let rule = FieldRule {
                on_foreign_edit,
                ..rule(direction, ConflictPolicy::SourceWins)
            };
            cells.push(field_words(decide_field(&situation.input(rule), Later::Source)));
        }
        line(page, &cells);
    }
}

fn rows_by_policy(page: &mut String) {
    let gone = [
        (
            "row gone, item unchanged",
            Existence::ProvenGone,
            Existence::One,
            false,
        ),
        (
            "row gone, item edited",
            Existence::ProvenGone,
            Existence::One,
            true,
        ),
        (
            "item gone, row unchanged",
            Existence::One,
            Existence::ProvenGone,
            false,
        ),
        (
            "item gone, row edited",
            Existence::One,
            Existence::ProvenGone,
            true,
        ),
    ];
    let heads: Vec<&str> = ["the row and its item", "`onDelete`"]
        .into_iter()
        .chain(POLICIES.map(|(name, ..)| name))
        .collect();
    table(page, &heads);
    for (what, source, target, edited) in gone {
        for (word, delete) in [
            ("`propagate`", DeletePolicy::Propagate),
            ("`archive`", DeletePolicy::Archive),
            ("`keep`", DeletePolicy::Keep),
        ] {
            let mut cells = vec![what, word];
            for (_, conflict, later) in POLICIES {
                let row = RowInput {
                    source,
                    target,
                    delete,
                    conflict,
                    later,
                    ..row(Direction::Both)
                };
                cells.push(row_words(reconcile(&row, &[edit(&row, edited)]).row));
            }
            line(page, &cells);
        }
    }
}

/// A field as the side shows it that is still there.
fn edit(row: &RowInput, edited: bool) -> FieldInput {
    let shown = |existence, agreed| match existence {
        Existence::One => Seen::Value(if edited { OTHER } else { agreed }),
        _ => Seen::Unseen,
    };
    FieldInput {
        source: shown(row.source, AGREED_S),
        target: shown(row.target, AGREED_T),
        equal: None,
        ..CALM.input(rule(Direction::Both, row.conflict))
    }
}

/// What is known of a row on both sides, with the words for it.
const PRESENCES: [(&str, Base, Existence, Existence); 19] = {
    use Base::{Left, Live, None, Tombstone};
    use Existence::{Many, Missing, One, ProvenGone, Unseen};
    [
        ("a row without an item", None, One, ProvenGone),
        ("an item without a row", None, ProvenGone, One),
        ("an item, the source not looked at", None, Unseen, One),
        ("a row and an item that shows its key", None, One, One),
        ("agreed, both there", Live, One, One),
        ("agreed, the row gone for certain", Live, ProvenGone, Unseen),
        ("agreed, the row not found", Live, Missing, One),
        ("agreed, the item gone for certain", Live, One, ProvenGone),
        (
            "agreed, the item gone, the row not looked at",
            Live,
            Unseen,
            ProvenGone,
        ),
        ("agreed, the item not found", Live, One, Missing),
        ("agreed, both gone", Live, ProvenGone, ProvenGone),
        ("two rows or two items of one key", Live, Many, One),
        ("both were gone, the row is back", Tombstone, One, ProvenGone),
        ("both were gone, the item is back", Tombstone, ProvenGone, One),
        ("both were gone, both are back", Tombstone, One, One),
        ("the item was left, the row is back", Left, One, One),
        (
            "the item was left and is gone, the row is there unchanged",
            Left,
            One,
            ProvenGone,
        ),
        ("the item was left, the row is still gone", Left, ProvenGone, One),
        (
            "the item was left, now both are gone",
            Left,
            ProvenGone,
            ProvenGone,
        ),
    ]
};

fn rows_by_direction(page: &mut String) {
    table(
        page,
        &[
            "what is known",
            "`push`",
            "`pull`",
            "`both`",
            "`both`, `inserts: ignore`",
        ],
    );
    for (what, base, source, target) in PRESENCES {
        let answer = |direction, inserts| {
            let row = RowInput {
                base,
                source,
                target,
                inserts,
                ..row(direction)
            };
            row_words(reconcile(&row, &[edit(&row, false)]).row)
        };
        let cells = [
            what,
            answer(Direction::Push, true),
            answer(Direction::Pull, true),
            answer(Direction::Both, true),
            answer(Direction::Both, false),
        ];
        line(page, &cells);
    }
}

/// `docs/conflicts.md`.
#[must_use]
pub fn documentation() -> String {
    let mut page = String::from(HEAD);
    fields_both_ways(&mut page);
    page.push_str(ONE_WAY);
    fields_one_way(&mut page);
    page.push_str(ROWS);
    rows_by_direction(&mut page);
    page.push_str(GONE);
    rows_by_policy(&mut page);
    page
}

const HEAD: &str = "# Conflicts

What happens to each field and row in each situation. Every cell of these tables is an answer of the function that
decides in the product (`make docs-conflicts`), and a test holds the page to that. The settings are in
[configuration](configuration.md#syncdefinition).

*Changed* means: other than what both sides last agreed on, judged for each side by what that side itself holds. The two
sides are never compared with each other to find out who changed.

* Fields are judged one by one. Two people who edit different cells have no conflict.
* An edit of one side alone travels under every policy. Of several edits on one side the last one arrives.
* Clearing a cell, or writing NULL, is an edit like any other.
* Whoever loses is kept: both values, who and when, in the conflict's record.
* A write of ours whose answer was lost is no edit of its own: where the list keeps versions of an item, they tell who
  came after it, and that is no conflict. Where it keeps none and the item shows a third value, the person is taken to be
  newer, and where it shows the old one, it is written again; either way both values are kept in a record that says
  `ambiguous`.
* A list may take a write of ours although its item is no longer what the write rested on. What was written over is then
  found in the item's versions and kept as a conflict; where there are none, the run says so.
* A person's decision holds for the two values that were seen. Where one of them has changed since, it is void.
* `latest_wins` compares when the row and the item were last changed; a tie goes to the source.
* A passive field travels with a write that happens anyway. It never causes one, is never read for its own sake and is
  never in conflict.
* A value that was not looked at is presumed to be as agreed. A write that rests on this carries a precondition, and is
  judged anew if it does not hold.

## A field that goes both ways

";

const ONE_WAY: &str = "
## A field that goes one way
By `direction` and `onForeignEdit`.

";

const ROWS: &str = "
## Rows and items
By `direction`, with `onDelete: propagate` and `conflict: source_wins`. *Not found* is not gone: only what is proven to
be gone leads to a deletion.

";

const GONE: &str = "
## Deleted on one side
In a definition that goes both ways, by `conflict` and `onDelete`. *Edited* means: a field that is not passive and that
travels from there. Deletions pass the guards first; beyond them they wait for approval. Where it cannot be told whether
the side that is left was edited, and an edit would win, the row waits for a person.

";
