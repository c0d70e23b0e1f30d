//! `syncbridge quarantine …`.

use syncbridge_domain::dirty;
use syncbridge_domain::run::{RunKind, RunOptions};
use syncbridge_operations::{
    CellChange, CellProblem, Operations, QuarantineChoice, QuarantineExplained, QuarantineView, RowNow,
};

use crate::cli::quarantine::{Chosen, EditArgs, Filter, QuarantineCommand, WaitsFor};
use crate::commands::{run, verdict};
use crate::exit::Exit;
use crate::output;
use crate::settings::{Output, Settings};

pub(crate) async fn quarantine(settings: &Settings, command: &QuarantineCommand) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    match command {
        QuarantineCommand::List { name, filter, limit } => {
            list(settings, &operations, name, &choice(&[], filter), *limit).await
        }
        QuarantineCommand::Explain { name, key } if key.is_empty() => {
            causes(settings, &operations, name).await
        }
        QuarantineCommand::Explain { name, key } => explain(settings, &operations, name, key).await,
        QuarantineCommand::Retry { rows, run } => retry(settings, &operations, rows, *run).await,
        QuarantineCommand::Ignore { rows, reason } => ignore(settings, &operations, rows, reason).await,
        QuarantineCommand::Edit(args) => edit(settings, &operations, args).await,
    }
}

fn choice(key: &[String], filter: &Filter) -> QuarantineChoice {
    QuarantineChoice {
        key: (!key.is_empty()).then(|| key.to_vec()),
        code: filter.code.clone(),
        column: filter.column.clone(),
        waits_for: filter.waits_for.map(|waits_for| match waits_for {
            WaitsFor::Retry => dirty::WaitsFor::Retry,
            WaitsFor::Person => dirty::WaitsFor::Person,
            WaitsFor::Nothing => dirty::WaitsFor::Nothing,
        }),
    }
}

async fn list(
    settings: &Settings,
    operations: &Operations,
    name: &str,
    choice: &QuarantineChoice,
    limit: u32,
) -> anyhow::Result<Exit> {
    let rows = operations.quarantine_list(name, choice, limit).await?;
    output::show(settings.output, &rows, || {
        if rows.is_empty() {
            return if *choice == QuarantineChoice::default() {
                format!("no row of {name} is in quarantine")
            } else {
                format!("no row of {name} in quarantine is like that")
            };
        }
        let lines = rows.iter().map(|row| {
            vec![
                row.key.join(", "),
                row.column.clone().unwrap_or_default(),
                row.cause.clone(),
                row.fix.clone(),
                row.attempts.to_string(),
                waiting(row),
            ]
        });
        let mut text = output::table(&["key", "column", "cause", "fix", "tried", "next try"], lines);
        if rows.len() == limit as usize {
            text.push_str("\nthere may be more: raise --limit, or see `syncbridge quarantine explain`");
        }
        text
    })?;
    Ok(Exit::Done)
}

/// When a row is tried again, or why not.
fn waiting(row: &QuarantineView) -> String {
    match (&row.ignored, row.retry_at) {
        (Some(ignored), _) => format!("accepted by {}", ignored.by),
        (None, Some(at)) if at <= row.last_seen => "next run".to_owned(),
        (None, Some(at)) => output::moment(at),
        (None, None) => "needs a person".to_owned(),
    }
}

async fn causes(settings: &Settings, operations: &Operations, name: &str) -> anyhow::Result<Exit> {
    let causes = operations.quarantine_causes(name).await?;
    output::show(settings.output, &causes, || {
        if causes.is_empty() {
            return format!("no row of {name} is in quarantine");
        }
        let lines = causes.iter().map(|cause| {
            vec![
                cause.column.clone().unwrap_or_default(),
                cause.code.clone(),
                cause.fix.clone(),
                cause.retry.to_string(),
                cause.person.to_string(),
                cause.ignored.to_string(),
                output::moment(cause.oldest),
            ]
        });
        let headings = [
            "column",
            "code",
            "fix",
            "retry",
            "need a person",
            "accepted",
            "since",
        ];
        format!(
            "{}\none row in full: `syncbridge quarantine explain {name} KEY`",
            output::table(&headings, lines)
        )
    })?;
    Ok(Exit::Done)
}

async fn explain(
    settings: &Settings,
    operations: &Operations,
    name: &str,
    key: &[String],
) -> anyhow::Result<Exit> {
    let explained = operations.quarantine_explain(name, key).await?;
    output::show(settings.output, &explained, || in_full(name, &explained))?;
    Ok(Exit::Done)
}

fn in_full(name: &str, explained: &QuarantineExplained) -> String {
    let entry = &explained.entry;
    let key = entry.key.join(" ");
    let mut text = format!("{name} {key}\n  refused  {}", entry.cause);
    if let Some(column) = &entry.column {
        text.push_str(&format!(" (column {column})"));
    }
    text.push_str(&format!(
        "\n  do       {}\n  code     {} → docs/errors\n  tried    {} times, first {}, last {} by {}\n  next     {}\n",
        entry.fix,
        entry.code,
        entry.attempts,
        output::moment(entry.since),
        output::moment(entry.last_seen),
        entry.run,
        waiting(entry),
    ));
    if let Some(ignored) = &entry.ignored {
        text.push_str(&format!("  reason   {}\n", ignored.reason));
    }
    if let Some(id) = &entry.request_id {
        text.push_str(&format!("  Graph    request-id {id}\n"));
    }
    let now = match explained.now {
        RowNow::AsRefused => "as it was refused",
        RowNow::Changed => "changed since; the next run tries it",
        RowNow::Gone => "gone; the next run takes it out of the quarantine",
        RowNow::Several => "there several times with this key",
        RowNow::Unknown => "it was refused before its content was compared",
    };
    text.push_str(&format!("  the row  {now}\n"));
    text.push_str(&remaining(&explained.problems));
    let next = if !explained.problems.is_empty() {
        format!(
            "correct it in the table, or: syncbridge quarantine edit {name} {key} --set COLUMN=TEXT --run"
        )
    } else if explained.now == RowNow::Changed {
        format!("syncbridge run {name}")
    } else {
        format!("syncbridge quarantine retry {name} {key} --run")
    };
    text.push_str(&format!("  then     {next}\n"));
    text
}

/// Columns that would be refused now.
fn remaining(problems: &[CellProblem]) -> String {
    problems
        .iter()
        .map(|problem| {
            format!(
                "  column   {}: {} → {} [{}]\n",
                problem.column, problem.cause, problem.fix, problem.code
            )
        })
        .collect()
}

async fn retry(
    settings: &Settings,
    operations: &Operations,
    rows: &Chosen,
    at_once: bool,
) -> anyhow::Result<Exit> {
    let choice = choice(&rows.key, &rows.filter);
    let settled = operations
        .quarantine_retry(&Settings::actor(), &rows.name, &choice)
        .await?;
    if at_once && settled.rows > 0 {
        return push(settings, operations, &rows.name).await;
    }
    output::show(settings.output, &settled, || match settled.rows {
        0 => format!("no row of {} in quarantine is like that", rows.name),
        n => format!("{n} rows are due: `syncbridge run {}` tries them", rows.name),
    })?;
    Ok(Exit::Done)
}

async fn ignore(
    settings: &Settings,
    operations: &Operations,
    rows: &Chosen,
    reason: &str,
) -> anyhow::Result<Exit> {
    let choice = choice(&rows.key, &rows.filter);
    let settled = operations
        .quarantine_ignore(&Settings::actor(), &rows.name, &choice, reason)
        .await?;
    output::show(settings.output, &settled, || match settled.rows {
        0 => format!("no row of {} in quarantine is like that", rows.name),
        n => format!("{n} rows are accepted until they change; `quarantine retry` takes it back"),
    })?;
    Ok(Exit::Done)
}

async fn edit(settings: &Settings, operations: &Operations, args: &EditArgs) -> anyhow::Result<Exit> {
    let set = args.set.iter().map(|(column, text)| CellChange {
        column: column.clone(),
        text: Some(text.clone()),
    });
    let null = args.null.iter().map(|column| CellChange {
        column: column.clone(),
        text: None,
    });
    let changes: Vec<CellChange> = set.chain(null).collect();
    let edited = operations
        .quarantine_edit(&Settings::actor(), &args.name, &args.key, &changes)
        .await?;
    if args.run && edited.remaining.is_empty() {
        return push(settings, operations, &args.name).await;
    }
    output::show(settings.output, &edited, || {
        let mut text = format!("changed {} in the table\n", edited.columns.join(", "));
        if edited.remaining.is_empty() {
            text.push_str(&format!("`syncbridge run {}` tries the row\n", args.name));
        } else {
            text.push_str("the row would still be refused:\n");
            text.push_str(&remaining(&edited.remaining));
        }
        text
    })?;
    Ok(Exit::Done)
}

async fn push(settings: &Settings, operations: &Operations, name: &str) -> anyhow::Result<Exit> {
    let quiet = settings.output != Output::Table;
    let report = run::once(operations, name, RunKind::Push, RunOptions::default(), quiet).await?;
    output::show(settings.output, &report, || verdict::push(&report))?;
    Ok(Exit::of_run(report.outcome.state))
}
