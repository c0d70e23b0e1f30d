//! What a person reads at the end of a run.

use syncbridge_domain::run::{Prediction, Verification};
use syncbridge_operations::RunReport;

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
        (counters.adopted, "adopted"),
        (counters.archived, "archived"),
        (counters.recovered, "open writes of earlier runs settled"),
        (
            counters.overridden,
            "edits in the list overridden (kept as conflicts)",
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
            "{name}: DIFFERS · {} rows · {} items · {cost}\n  {} differing · {} rows without item · {} items \
             without row · {} duplicates\n",
            found.rows, found.items, found.differing, found.missing, found.orphans, found.duplicates,
        )
    };
    if found.explained > 0 {
        text.push_str(&format!(
            "  {} of them are known: in quarantine or waiting → `syncbridge quarantine list {name}`\n",
            found.explained
        ));
    }
    if found.kept > 0 {
        text.push_str(&format!(
            "  {} items stand although their rows are gone: the definition keeps them\n",
            found.kept
        ));
    }
    if found.foreign > 0 {
        text.push_str(&format!(
            "  {} items without a sync key are people's own and were left alone\n",
            found.foreign
        ));
    }
    let rows = found.examples.iter().map(|one| {
        vec![
            one.kind.clone(),
            one.identity.clone(),
            one.item.clone().unwrap_or_default(),
            one.columns.join(", "),
        ]
    });
    push_table(&mut text, &["difference", "identity", "item", "columns"], rows);
    ending(report, &mut text);
    text
}

/// The end of a plan.
pub(crate) fn plan(report: &RunReport, found: &Prediction) -> String {
    let mut text = format!(
        "{}: {} rows · {} to create · {} changed · {} gone · {} unchanged · {} in quarantine · about {}\n",
        report.definition,
        found.rows,
        found.creates,
        found.changes,
        found.gone,
        found.unchanged,
        found.quarantined,
        found.ru,
    );
    if found.deletes_held_back {
        text.push_str("  more rows are gone than the guard lets pass: deletes would be held back\n");
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
