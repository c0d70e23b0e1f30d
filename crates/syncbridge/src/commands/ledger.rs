//! `syncbridge ledger show`.

use syncbridge_operations::{Happened, LedgerEntry, LedgerWanted};

use crate::cli::HistoryArgs;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn show(
    settings: &Settings,
    name: &str,
    key: &[String],
    page: &HistoryArgs,
) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let wanted = LedgerWanted {
        as_of: page.as_of,
        before: page.before,
        limit: page.limit,
    };
    let view = operations.ledger_show(name, key, &wanted).await?;
    output::show(settings.output, &view, || {
        let mut text = format!("{name} {}", view.identity);
        match view.as_of {
            Some(at) => text.push_str(&format!(" as of {}\n", output::moment(at))),
            None => text.push('\n'),
        }
        match (&view.entry, view.as_of) {
            (Some(entry), _) => text.push_str(&agreement(entry)),
            (None, Some(_)) => text.push_str("  nothing was agreed on for this key then\n"),
            (None, None) => text.push_str("  nothing was ever agreed on for this key\n"),
        }
        if let Some(cause) = &view.quarantine {
            text.push_str(&format!("  in quarantine: {cause}\n"));
        }
        if view.dirty {
            text.push_str("  waiting to be applied\n");
        }
        for one in &view.history {
            text.push_str(&happened(one));
        }
        if let Some(last) = view.history.last().filter(|_| view.older) {
            text.push_str(&format!("older entries: --before {}\n", last.number));
        }
        text
    })?;
    Ok(Exit::Done)
}

fn agreement(entry: &LedgerEntry) -> String {
    let or = |text: Option<&str>| text.unwrap_or("not kept").to_owned();
    let mut text = format!("  state    {}\n", or(entry.state));
    text.push_str(&format!(
        "  item     {} in list {}\n",
        or(entry.item.as_deref()),
        entry.list
    ));
    text.push_str(&format!("  version  {}\n", or(entry.version.as_deref())));
    if let Some(mark) = entry.mark {
        text.push_str(&format!(
            "  source   generation {}, WAL position {:X}\n",
            mark.generation, mark.lsn
        ));
    }
    text.push_str(&format!("  last run {}\n", or(entry.last_run.as_deref())));
    let rows = entry.fields.iter().map(|field| {
        vec![
            field.column.clone(),
            field.target.clone(),
            hash(field.source_hash.as_ref()),
            hash(field.target_hash.as_ref()),
        ]
    });
    text.push_str(&output::table(
        &["column", "list column", "agreed (table)", "agreed (list)"],
        rows,
    ));
    text.push('\n');
    text
}

fn happened(one: &Happened) -> String {
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let mut text = format!(
        "{}  #{}  {}  {} {}  version {} → {}\n  {}, request-id {}\n",
        output::moment(one.at),
        one.number,
        word(&one.direction),
        one.kind,
        one.outcome,
        number(one.version_before),
        number(one.version_after),
        one.run,
        one.request_id.as_deref().unwrap_or("unknown"),
    );
    if let Some(rule) = &one.rule {
        let beside = one
            .beside
            .map_or_else(String::new, |beside| format!(", for {}", word(&beside)));
        text.push_str(&format!("  rule {}{}{beside}\n", word(rule), by(one.by.as_ref())));
    }
    for field in &one.fields {
        let rule = field.rule.as_ref().map_or_else(String::new, |rule| {
            format!("  {}{}", word(rule), by(field.by.as_ref()))
        });
        text.push_str(&format!(
            "    {}: table {}, list {}{rule}\n",
            field.column,
            step(field.source_before.as_ref(), field.source_after.as_ref()),
            step(field.target_before.as_ref(), field.target_after.as_ref()),
        ));
    }
    text
}

/// A hash before and after.
pub(super) fn step(before: Option<&String>, after: Option<&String>) -> String {
    if before == after {
        return format!("{} (as before)", hash(after));
    }
    format!("{} → {}", hash(before), hash(after))
}

fn hash(hash: Option<&String>) -> String {
    hash.cloned().unwrap_or_else(|| "unknown".to_owned())
}

/// Who decided, where somebody had to.
pub(super) fn by<T: serde::Serialize>(by: Option<&T>) -> String {
    by.map(word)
        .filter(|by| by != "change")
        .map_or_else(String::new, |by| format!(" by {by}"))
}

/// The word that programs see, with blanks.
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => String::new(),
    }
}
