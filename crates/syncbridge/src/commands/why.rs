//! `syncbridge why`: the chain behind one cell.

use chrono::Utc;
use syncbridge_operations::{CellStep, SideNow, WhyAsked, WhyView};

use super::ledger::{by, step, word};
use crate::cli::WhyArgs;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn why(settings: &Settings, args: &WhyArgs) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let (field, key) = args
        .cell
        .split_last()
        .ok_or_else(|| anyhow::anyhow!("a key and a column are needed"))?;
    let asked = WhyAsked {
        key,
        field,
        live: args.live,
        limit: args.limit,
    };
    let view = operations.why(&args.name, asked).await?;
    output::show(settings.output, &view, || shown(&view))?;
    Ok(Exit::Done)
}

fn shown(view: &WhyView) -> String {
    let mut text = format!(
        "{} {} · {} ↔ {} ({})\n",
        view.definition,
        view.key.join(" "),
        view.column,
        view.list_column,
        view.direction
    );
    match &view.agreed {
        Some(agreed) => text.push_str(&format!(
            "  agreed   table {}, list {}; {} item {} at {}, by {}\n",
            agreed.source_hash.as_deref().unwrap_or("unknown"),
            agreed.target_hash.as_deref().unwrap_or("unknown"),
            agreed.state,
            agreed.item,
            agreed.version,
            agreed.last_run,
        )),
        None => text.push_str("  agreed   nothing yet\n"),
    }
    if let Some(live) = &view.live {
        text.push_str(&format!("  table    {}\n", side(&live.source)));
        text.push_str(&format!("  list     {}\n", side(&live.target)));
    }
    for open in &view.open_writes {
        let this = if open.of_this_cell { ", this cell too" } else { "" };
        text.push_str(&format!(
            "  write    {} {} since {} s by {}{this}\n",
            open.kind,
            word(&open.state),
            open.seconds_ago,
            open.run
        ));
    }
    if let Some(waits) = &view.waits {
        text.push_str(&format!("  waits    {}\n", word(waits)));
    }
    if let Some(held) = &view.quarantine {
        text.push_str(&format!(
            "  held     in quarantine [{}]: {}\n",
            held.code, held.cause
        ));
    }
    let now = Utc::now();
    for conflict in &view.conflicts {
        let winner = conflict
            .winner
            .map_or_else(String::new, |winner| format!(", {winner} wins"));
        let decided = conflict
            .decided
            .as_ref()
            .map_or_else(String::new, |decided| format!(", by {}", decided.by));
        text.push_str(&format!(
            "  conflict {} {} {}{winner}{decided}\n",
            conflict.id,
            conflict.status,
            output::ago(conflict.noticed, now)
        ));
    }
    if !view.changes.is_empty() {
        text.push_str("changes, newest first\n");
    }
    for change in &view.changes {
        text.push_str(&one(change));
    }
    if view.older {
        text.push_str("  … older ones are kept: --limit N\n");
    }
    text.push_str(&format!("\n{}\n", view.told));
    text
}

fn side(side: &SideNow) -> String {
    match &side.value {
        Some(value) => format!("{value} ({})", word(&side.is)),
        None => word(&side.is),
    }
}

fn one(change: &CellStep) -> String {
    let rule = match (&change.rule, &change.row_rule) {
        (Some(rule), _) => word(rule),
        (None, Some(rule)) => word(rule),
        (None, None) => "rule not kept".to_owned(),
    };
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let mut text = format!(
        "  {}  {}  {} {}: {rule}{}\n    {}, request-id {}, version {} → {}\n    table {}, list {}\n",
        output::moment(change.at),
        word(&change.direction),
        change.kind,
        change.outcome,
        by(change.by.as_ref()),
        change.run,
        change.request_id.as_deref().unwrap_or("unknown"),
        number(change.version_before),
        number(change.version_after),
        step(change.source_before.as_ref(), change.source_after.as_ref()),
        step(change.target_before.as_ref(), change.target_after.as_ref()),
    );
    let value = |value: Option<&serde_json::Value>| {
        value.map_or_else(|| "not seen".to_owned(), serde_json::Value::to_string)
    };
    if change.value_before.is_some() || change.value_after.is_some() {
        text.push_str(&format!(
            "    value {} → {}\n",
            value(change.value_before.as_ref()),
            value(change.value_after.as_ref())
        ));
    }
    text
}
