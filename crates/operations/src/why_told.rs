//! The last line of `why`: what happened to a cell, why, and what to do next, in one plain sentence.
//!
//! What stands in the way now comes before what happened once: an answer that says "the run wrote it" while the row is
//! in quarantine would be true and of no use.

use syncbridge_domain::effect::EffectState;
use syncbridge_domain::history::{Beside, Decider, Way};
use syncbridge_domain::policy::{ConflictPolicy, Direction, OnForeignEdit};
use syncbridge_domain::reconcile::{FieldDecision, RowDecision};

use crate::why_view::{AgainstAgreed, CellLive, CellStep, Waiting, WhyView};

/// What the sentence rests on.
pub(crate) struct Facts<'a> {
    pub(crate) view: &'a WhyView,
    /// Which way the field travels in this definition.
    pub(crate) direction: Direction,
    /// Who wins where both sides changed it.
    pub(crate) conflict: ConflictPolicy,
    /// What an edit on the side that does not own it leads to.
    pub(crate) on_foreign_edit: OnForeignEdit,
}

/// Says it.
pub(crate) fn tell(facts: &Facts<'_>) -> String {
    stands_in_the_way(facts)
        .or_else(|| facts.view.live.as_ref().and_then(|live| differs(facts, live)))
        .unwrap_or_else(|| happened(facts))
}

/// What keeps the cell from being in step now.
fn stands_in_the_way(facts: &Facts<'_>) -> Option<String> {
    let view = facts.view;
    let (name, column) = (&view.definition, &view.column);
    let parked = view
        .conflicts
        .iter()
        .find(|conflict| conflict.closed.is_none() && conflict.reason.is_some());
    if let Some(conflict) = parked {
        let id = &conflict.id;
        return Some(match (&conflict.decided, conflict.winner) {
            (Some(decided), Some(winner)) => format!(
                "Both sides changed `{column}`, and {} decided that {} value stands; `syncbridge run {name}` carries it \
                 out.",
                decided.by,
                side(winner),
            ),
            _ => format!(
                "Both sides changed `{column}` and nobody won ({}), so each keeps its own value until a person \
                 chooses: `syncbridge conflicts show {id}` shows both, `syncbridge conflicts resolve {id} --take \
                 source` (the table's) or `--take target` (the list's) decides.",
                match conflict.reason {
                    Some("would_lose") => "the list's value would cut what the table holds",
                    Some("ambiguous") => "it cannot be told any more who changed what",
                    Some("ping_pong") => "both sides keep rewriting it",
                    _ => "the policy leaves it to a person",
                },
            ),
        });
    }
    if let Some(held) = &view.quarantine {
        if held.accepted {
            return Some(format!(
                "The row was refused ({}) and a person accepted it as it is, so nothing of it travels until it \
                 changes; `syncbridge quarantine retry {name} {}` takes that back.",
                held.cause,
                view.key.join(" ")
            ));
        }
        let of = held
            .column
            .as_ref()
            .map_or_else(String::new, |column| format!(" (column `{column}`)"));
        return Some(format!(
            "The row is in quarantine since {}, so nothing of it travels: {}{of}; {}.",
            held.since.format("%Y-%m-%d %H:%M UTC"),
            held.cause,
            held.fix.trim_end_matches('.'),
        ));
    }
    if let Some(open) = view
        .open_writes
        .iter()
        .find(|open| open.state == EffectState::Open)
    {
        return Some(format!(
            "A write of {} ({}) is under way, or its answer was lost; `syncbridge run {name}` looks what became of it \
             and settles it.",
            open.run, open.kind
        ));
    }
    view.waits.map(|waits| {
        let what = match waits {
            Waiting::Changed => "A change of the row is known and was not applied yet",
            Waiting::ItemChanged => "The item was changed in the list, and that was not taken over yet",
            Waiting::ItemGone => {
                "The item was reported deleted, or is not shown any more, and that is not settled yet"
            }
        };
        format!("{what}; `syncbridge run {name}` goes on with it.")
    })
}

/// What a live look found otherwise than agreed.
fn differs(facts: &Facts<'_>, live: &CellLive) -> Option<String> {
    use AgainstAgreed::{AsAgreed, Changed, Gone, NotLooked, Several, Unknown, Unseen};
    let view = facts.view;
    let (name, column) = (&view.definition, &view.column);
    let next = format!("`syncbridge run {name}`");
    Some(match (live.source.is, live.target.is) {
        (AsAgreed, AsAgreed) | (NotLooked | Unseen, _) => return None,
        (Several, _) => {
            "The table holds several rows with this key, so nothing of them travels; make the key unique, or \
                         choose other key columns."
                .to_owned()
        }
        (Gone, Gone | NotLooked) if view.agreed.is_none() => {
            "The table has no such row and no item is known of it.".to_owned()
        }
        (Gone, _) if view.agreed.as_ref().is_some_and(|agreed| agreed.state != "live") => return None,
        (Gone, _) => format!(
            "The row is not in the table any more; {next} does to its item what `onDelete` says (a watermark feed \
             needs `--full` to notice)."
        ),
        (_, NotLooked) => format!("The row has no item yet; {next} makes it."),
        (_, Gone) => match facts.direction {
            Direction::Push => format!(
                "The item is not in the list any more (or is not shown to us); it comes back with the row's next \
                 change, or at once by `syncbridge verify {name} --repair`."
            ),
            _ => {
                format!("The item is not in the list any more, or is not shown to us; {next} looks into it.")
            }
        },
        (_, Unseen) => format!(
            "The list does not show the column any more: it was removed or hidden, so nothing is said about it; bring \
             it back, or take `{column}` out of the definition."
        ),
        (_, Several) => format!("The list holds several items of this row; {next} says which."),
        (Unknown, _) | (_, Unknown) => format!(
            "Nothing was ever agreed on about `{column}`, so nobody can tell who changed it; {next} takes over what is \
             equal, and `syncbridge run {name} --approve` writes the table's value where it is not."
        ),
        (Changed, AsAgreed) => match facts.direction {
            Direction::Pull => format!(
                "`{column}` was edited in the table, although the list owns it; {}.",
                foreign(facts.on_foreign_edit, "the list's value", "change of the item")
            ),
            _ => format!("The table was changed after both sides last agreed; {next} brings it to the list."),
        },
        (AsAgreed, Changed) => match facts.direction {
            Direction::Push => format!(
                "Somebody edited the cell in the list, although the table owns it; {}.",
                foreign(facts.on_foreign_edit, "the table's value", "change of the row")
            ),
            _ => format!("Somebody edited the cell in the list; {next} brings it to the table."),
        },
        (Changed, Changed) => match facts.direction {
            Direction::Both => format!(
                "Both sides changed it after they last agreed; {next} decides by the policy {} and keeps the value \
                 that loses.",
                policy(facts.conflict)
            ),
            Direction::Push => format!(
                "Both sides changed it after they last agreed, and the table owns it; {next} writes the table's value \
                 and keeps the other one."
            ),
            Direction::Pull => format!(
                "Both sides changed it after they last agreed, and the list owns it; {next} writes the list's value \
                 and keeps the other one."
            ),
        },
    })
}

fn foreign(rule: OnForeignEdit, whose: &str, with: &str) -> String {
    match rule {
        OnForeignEdit::Keep => format!("it stands until the next {with} (`onForeignEdit: keep`)"),
        OnForeignEdit::Restore => {
            format!("the next run that looks puts {whose} back (`onForeignEdit: restore`)")
        }
        OnForeignEdit::Report => format!(
            "it stands until the next {with} brings {whose} back (`onForeignEdit: report`), and `verify` tells of it"
        ),
    }
}

/// What happened last, where nothing stands in the way.
fn happened(facts: &Facts<'_>) -> String {
    let view = facts.view;
    let tail = match &view.live {
        Some(_) => "Both sides still show what was agreed on then, and there is nothing to do.".to_owned(),
        None => "Nothing is known to have happened since; `--live` looks at both sides.".to_owned(),
    };
    let state = view.agreed.as_ref().map(|agreed| agreed.state);
    // What was tried and changed nothing explains nothing.
    let last = view
        .changes
        .iter()
        .find(|change| matches!(change.outcome.as_str(), "applied" | "adopted"));
    match (last, state) {
        (_, Some("tombstone")) => "The row and its item are gone; what is kept of them tells a restored item from a \
                                   new one, and there is nothing to do."
            .to_owned(),
        (_, Some("kept" | "archived")) => "The row is gone from the table and its item was left in the list by \
                                           `onDelete`, so the cell shows what it held last; delete the item by hand, or \
                                           bring the row back."
            .to_owned(),
        (Some(change), _) => format!("{} {tail}", event(view, change)),
        (None, Some(_)) => format!(
            "The cell is as both sides agreed; how it came about is older than the history that is kept \
             (`history.retention`). {tail}"
        ),
        (None, None) => format!(
            "Nothing was written yet: no run has brought this row to the list; `syncbridge run {}` does.",
            view.definition
        ),
    }
}

fn event(view: &WhyView, change: &CellStep) -> String {
    let run = &change.run;
    let at = change.at.format("%Y-%m-%d %H:%M UTC");
    if change.beside.is_some_and(Beside::reverts) {
        let what = match change.kind {
            "create_item" => "made the item anew with what it had held",
            "insert_row" => "made the row anew with what it had held",
            "delete_item" => "deleted the item",
            "delete_row" => "deleted the row",
            _ if change.direction == Way::ToSource => "wrote to the table what it had held",
            _ => "wrote to the list what it had held",
        };
        return format!("At {at} {run} {what}, because a person had an earlier run put back (`revert`).");
    }
    let what = match change.direction {
        Way::Adopted => {
            return format!(
                "At {at} {run} found an item of this row in the list and took it over as it was."
            );
        }
        Way::Agreed => {
            return format!(
                "At {at} {run} found that both sides show the same, and agreed on it without a write."
            );
        }
        Way::ToList if change.kind == "create_item" => {
            return format!("At {at} {run} made the item with what the table held.");
        }
        Way::ToSource if change.kind == "insert_row" => {
            return format!("At {at} {run} made the row of an item that somebody had added to the list.");
        }
        Way::ToList if change.kind == "delete_item" => {
            return format!("At {at} {run} deleted the item, because its row was gone.");
        }
        Way::ToSource if change.kind == "delete_row" => {
            return format!("At {at} {run} deleted the row, because its item was gone.");
        }
        Way::ToList => format!("At {at} {run} wrote the table's value to the list"),
        Way::ToSource => format!("At {at} {run} wrote the list's value to the table"),
    };
    format!("{what}, because {}.", because(view, change))
}

fn because(view: &WhyView, change: &CellStep) -> String {
    use FieldDecision as F;
    let (here, there) = match change.direction {
        Way::ToSource => ("the list", "the table"),
        _ => ("the table", "the list"),
    };
    let kept = format!(
        "; what lost is kept in `syncbridge conflicts list {} --column {}`",
        view.definition, view.column
    );
    match (change.beside, change.by, change.rule) {
        (Some(Beside::Fence), ..) => {
            "an earlier write of the same cell could still have landed, and this one took its ground away"
                .to_owned()
        }
        (Some(Beside::Repair), ..) | (_, Some(Decider::Repair), _) => {
            format!("a person had what differed put right (`verify --repair`){kept}")
        }
        (_, Some(Decider::Person), _) => {
            format!("both sides had changed it and a person chose {here}'s value{kept}")
        }
        (_, Some(Decider::Approval), _) => format!(
            "the two differed, nobody had ever agreed on it, and a person approved {here}'s value (`--approve`){kept}"
        ),
        (_, Some(Decider::SourceWins), _) => {
            format!("both sides had changed it and the policy is `source_wins`{kept}")
        }
        (_, Some(Decider::TargetWins), _) => {
            format!("both sides had changed it and the policy is `target_wins`{kept}")
        }
        (_, Some(Decider::LatestWins), _) => {
            format!("both sides had changed it, {here} last, and the policy is `latest_wins`{kept}")
        }
        (_, _, Some(F::ConflictToTarget | F::ConflictToSource)) => {
            format!("both sides had changed it and the field is {here}'s{kept}")
        }
        (_, _, Some(F::ForeignReported)) => {
            format!(
                "{there} had been edited although the field is {here}'s, and another write of the row took it along"
            )
        }
        (_, Some(Decider::Direction), _) => {
            format!("{there} had been edited although the field is {here}'s, and such edits are put back")
        }
        (_, _, Some(F::RideToTarget | F::RideToSource)) => {
            format!("{here} had changed it and another field of the row caused a write")
        }
        (_, _, Some(F::ToTarget | F::ToSource)) => format!("{here} had changed and {there} had not"),
        (_, _, Some(F::Adopt)) => {
            "another field of the row caused a write, and this one showed the same on both \
                                   sides"
                .to_owned()
        }
        _ if change.row_rule == Some(RowDecision::ArchiveItem) => "the row was gone".to_owned(),
        _ if change.row_rule.is_none() => {
            "of a reason that was not kept yet (the entry is older than this version)".to_owned()
        }
        _ => "the row as a whole was written".to_owned(),
    }
}

fn side(winner: &str) -> &'static str {
    match winner {
        "target" => "the list's",
        _ => "the table's",
    }
}

fn policy(policy: ConflictPolicy) -> &'static str {
    match policy {
        ConflictPolicy::SourceWins => "`source_wins`",
        ConflictPolicy::TargetWins => "`target_wins`",
        ConflictPolicy::LatestWins => "`latest_wins`",
        ConflictPolicy::Manual => "`manual`",
    }
}

#[cfg(test)]
#[path = "why_told_tests.rs"]
mod tests;
