//! What a person reads at the end of a run.

use syncbridge_domain::run::Verification;
use syncbridge_operations::{RunReport, VerificationView};

use crate::output;

/// The end of a push.
pub(crate) fn push(report: &RunReport) -> String {
    let outcome = &report.outcome;
    let counters = &outcome.counters;
    let mut text = format!(
        "{} {}: {}\n  read {} · created {} · patched {} · deleted {} · unchanged {} · {}\n",
        report.definition,
        report.run,
        outcome.state.name(),
        counters.read,
        counters.created,
        counters.patched,
        counters.deleted,
        counters.unchanged,
        outcome.spending.total(),
    );
    let mut also = Vec::new();
    for (count, what) in [
        (counters.inserted_rows, "rows made from items"),
        (counters.updated_rows, "rows given values from the list"),
        (counters.deleted_rows, "rows deleted with their items"),
        (counters.conflicts, "conflicts left to a person"),
        (counters.adopted, "adopted"),
        (counters.archived, "archived"),
        (counters.recovered, "open writes of earlier runs settled"),
        (
            counters.overridden,
            "edits overridden (both values kept as conflicts)",
        ),
        (counters.parked, "left for the next run"),
    ] {
        if count > 0 {
            also.push(format!("{count} {what}"));
        }
    }
    if !also.is_empty() {
        text.push_str(&format!("  {}\n", also.join(" · ")));
    }
    refused(report, &mut text);
    if let Some(plan) = report.plan {
        text.push_str(&format!(
            "  of plan {plan}: `syncbridge plans show {plan}` tells what became of each change\n"
        ));
    }
    if let Some(list) = report.provisioned.as_ref().and_then(|list| list.web_url.as_ref()) {
        text.push_str(&format!("  list: {list}\n"));
    }
    let spent: Vec<String> = outcome
        .spending
        .iter()
        .map(|(tag, ru)| format!("{} {}", tag.name(), ru.0))
        .collect();
    if !spent.is_empty() {
        text.push_str(&format!("  RU by reason: {}\n", spent.join(" · ")));
    }
    ending(report, &mut text);
    text
}

/// The end of a push in one line, for somebody who watches many; what went wrong follows.
pub(crate) fn brief(report: &RunReport) -> String {
    let counters = &report.outcome.counters;
    let mut text = format!(
        "{}: {} · +{} ~{} -{} · {} unchanged · {}\n",
        report.definition,
        report.outcome.state.name(),
        counters.created,
        counters.patched,
        counters.deleted,
        counters.unchanged,
        report.outcome.spending.total(),
    );
    refused(report, &mut text);
    ending(report, &mut text);
    text
}

/// The end of a verification.
pub(crate) fn verify(report: &RunReport, found: &Verification) -> String {
    let name = &report.definition;
    let cost = report.outcome.spending.total();
    let mut text = if found.is_equal() {
        format!(
            "{name}: equal, every mapped cell · {} rows · {} items · {cost}\n",
            found.rows, found.items
        )
    } else {
        format!(
            "{name}: DIFFERS · {} rows · {} items · {cost}\n",
            found.rows, found.items
        )
    };
    found_by_kind(name, found, &mut text);
    examples(found, &mut text);
    if found.differences() > found.examples.len() as u64 {
        text.push_str(&format!("  all of them: `syncbridge verify {name} --list`\n"));
    }
    ending(report, &mut text);
    text
}

/// The end of a repair.
pub(crate) fn repair(report: &RunReport, found: &Verification) -> String {
    let name = &report.definition;
    let counters = &report.outcome.counters;
    let mut text = format!(
        "{name}: {} · {} differences found · {} items made again · {} changed · {} copies deleted · {}\n",
        report.outcome.state.name(),
        found.differences(),
        counters.created,
        counters.patched,
        counters.deleted,
        report.outcome.spending.total(),
    );
    found_by_kind(name, found, &mut text);
    if found.orphans + found.wrong_list + found.unreadable > 0 {
        text.push_str(&format!(
            "  items without a row, items that the ledger does not link to their row and unreadable ones were left \
             alone → `syncbridge verify {name} --list`\n"
        ));
    }
    ending(report, &mut text);
    text
}

fn found_by_kind(name: &str, found: &Verification, text: &mut String) {
    let kinds = [
        (found.differing, "items differ"),
        (found.missing, "rows without item"),
        (found.orphans, "items without row"),
        (found.duplicates, "duplicates"),
        (found.wrong_list, "items linked otherwise"),
        (found.unreadable, "items with unreadable columns"),
    ];
    let kinds: Vec<String> = kinds
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    if !kinds.is_empty() {
        text.push_str(&format!("  {}\n", kinds.join(" · ")));
    }
    let mut remark = |count: u64, words: &str| {
        if count > 0 {
            text.push_str(&format!("  {count} {words}\n"));
        }
    };
    remark(
        found.pending,
        &format!("of them are pending: the table changed since → `syncbridge run {name}`"),
    );
    remark(
        found.explained,
        &format!("of them are known: in quarantine → `syncbridge quarantine list {name}`"),
    );
    remark(
        found.kept,
        "items stand although their rows are gone: the definition keeps them",
    );
    remark(
        found.kept_edits,
        "items hold edits of people that the definition keeps (onForeignEdit: keep)",
    );
    remark(
        found.foreign,
        "items without a sync key are people's own and were left alone",
    );
    remark(
        found.others,
        "items belong to another definition and were left alone",
    );
    remark(
        found.resumed_pages,
        "pages were compared by an interrupted verification; this one went on behind them",
    );
    remark(found.looks, "items were looked at one by one");
}

fn examples(found: &Verification, text: &mut String) {
    let rows = found.examples.iter().map(|one| {
        vec![
            one.kind.name().to_owned(),
            one.cause.name().to_owned(),
            one.identity.clone(),
            one.item.clone().unwrap_or_default(),
            one.columns.join(", "),
        ]
    });
    push_table(
        text,
        &["difference", "moved", "identity", "item", "columns"],
        rows,
    );
}

/// A page of the differences that a verification stored.
pub(crate) fn differences(name: &str, view: &VerificationView) -> String {
    let mut text = format!(
        "{name}: compared {} · {} · {} differences\n",
        view.started.format("%Y-%m-%d %H:%M UTC"),
        if view.finished { "finished" } else { "not finished" },
        view.found.differences(),
    );
    let rows = view.differences.iter().map(|one| {
        vec![
            one.number.to_string(),
            one.kind.to_owned(),
            one.cause.to_owned(),
            if one.key.is_empty() {
                one.identity.clone()
            } else {
                one.key.join(", ")
            },
            one.item.clone().unwrap_or_default(),
            one.columns.join(", "),
        ]
    });
    push_table(
        &mut text,
        &["number", "difference", "moved", "row", "item", "columns"],
        rows,
    );
    if view.found.differences() > view.stored {
        text.push_str(&format!("  the first {} are stored\n", view.stored));
    }
    if let Some(next) = view.next {
        text.push_str(&format!(
            "  more: `syncbridge verify {name} --list --after {next}`\n"
        ));
    }
    text
}

/// What a rehearsed run found and would cost; its changes follow.
pub(crate) fn plan(report: &RunReport) -> String {
    let Some(found) = &report.outcome.prediction else {
        return push(report);
    };
    let mut text = format!(
        "{}: {} rows read · {} to create · {} to change · {} to delete · {} unchanged · {} in quarantine · about {}\n",
        report.definition,
        found.rows,
        found.creates,
        found.changes,
        found.gone,
        found.unchanged,
        found.quarantined,
        found.ru,
    );
    let spent: Vec<String> = found
        .spending
        .iter()
        .map(|(tag, ru)| format!("{} {}", tag.name(), ru.0))
        .collect();
    if !spent.is_empty() {
        text.push_str(&format!("  RU by reason: {}\n", spent.join(" · ")));
    }
    if let Some(hold) = &found.hold {
        text.push_str(&format!("  deletes would be held back: {hold}\n"));
    }
    let rows = found.refusals.iter().map(|one| {
        vec![
            one.column.clone(),
            one.code.clone(),
            one.rows.to_string(),
            one.fix.clone(),
        ]
    });
    push_table(&mut text, &["column", "refused because", "rows", "fix"], rows);
    ending(report, &mut text);
    text
}

fn refused(report: &RunReport, text: &mut String) {
    let rows = report.outcome.counters.quarantined;
    if rows > 0 {
        text.push_str(&format!(
            "  {rows} rows refused → `syncbridge quarantine list {}` shows column, cause and fix\n",
            report.definition
        ));
    }
}

fn ending(report: &RunReport, text: &mut String) {
    for notice in &report.outcome.notices {
        text.push_str(&format!("  note: {notice}\n"));
    }
    if let Some(failure) = &report.outcome.failure {
        text.push_str(&format!("  {failure}\n"));
    }
}

fn push_table(text: &mut String, headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let table = output::table(headings, rows);
    if !table.is_empty() {
        text.push_str(&table);
        text.push('\n');
    }
}
