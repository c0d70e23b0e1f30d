//! `syncbridge conflicts …`.

use std::io::IsTerminal as _;

use serde_json::Value as Json;
use syncbridge_domain::conflict::Side;
use syncbridge_domain::ids::ConflictId;
use syncbridge_operations::{
    ConflictOpened, ConflictStatus, ConflictView, ConflictsChosen, ConflictsResolved, ConflictsWanted,
    Operations,
};

use crate::cli::conflicts::{ConflictsCommand, ResolveArgs, Status, Take};
use crate::commands::question;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn conflicts(settings: &Settings, command: &ConflictsCommand) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    match command {
        ConflictsCommand::List {
            name,
            status,
            column,
            after,
            limit,
        } => {
            let wanted = ConflictsWanted {
                status: status.map(|status| match status {
                    Status::Open => ConflictStatus::Open,
                    Status::Overridden => ConflictStatus::Overridden,
                    Status::Resolved => ConflictStatus::Resolved,
                }),
                column: column.clone(),
                after: *after,
                limit: *limit,
            };
            list(settings, &operations, name, &wanted).await
        }
        ConflictsCommand::Show { id } => show(settings, &operations, *id).await,
        ConflictsCommand::Resolve(args) => resolve(settings, &operations, args).await,
    }
}

async fn list(
    settings: &Settings,
    operations: &Operations,
    name: &str,
    wanted: &ConflictsWanted,
) -> anyhow::Result<Exit> {
    let found = operations.conflict_list(name, wanted).await?;
    output::show(settings.output, &found, || {
        let Some(last) = found.last() else {
            return match (wanted.status, &wanted.column, wanted.after) {
                (None, None, None) => format!("no field of {name} was changed on both sides"),
                (_, _, Some(_)) => "there are no more".to_owned(),
                _ => format!("no conflict of {name} is like that"),
            };
        };
        let lines = found.iter().map(|conflict| {
            vec![
                conflict.id.to_string(),
                row(conflict),
                conflict.column.clone(),
                standing(conflict),
                output::moment(conflict.noticed),
            ]
        });
        let mut text = output::table(&["id", "key", "column", "stands", "noticed"], lines);
        if found.len() == wanted.limit as usize {
            text.push_str(&format!("\nthere may be more: --after {}", last.id));
        }
        text.push_str("\nboth values: `syncbridge conflicts show ID`");
        text
    })?;
    Ok(Exit::Done)
}

/// The key where it is known, else the identity.
fn row(conflict: &ConflictView) -> String {
    match conflict.key.as_slice() {
        [] => conflict.identity.clone(),
        key => key.join(", "),
    }
}

/// Where a conflict stands, as people say it.
fn standing(conflict: &ConflictView) -> String {
    let side = conflict.winner.map_or("nobody", said);
    match (&conflict.decided, conflict.closed) {
        (Some(decided), None) => format!("{side} wins with the next run, says {}", decided.by),
        (Some(decided), Some(_)) => format!("{side} won, said {}", decided.by),
        (None, Some(_)) => "both sides agree again".to_owned(),
        (None, None) if conflict.winner.is_some() && conflict.reason == Some("ambiguous") => {
            format!("{side} won; who was first cannot be told")
        }
        (None, None) if conflict.winner.is_some() => format!("{side} won by policy"),
        (None, None) => match conflict.reason {
            Some("would_lose") => "open: the list's value would cut the table's",
            Some("ambiguous") => "open: who changed what cannot be told",
            Some("ping_pong") => "open: both sides keep rewriting it",
            _ => "open: the policy leaves it to a person",
        }
        .to_owned(),
    }
}

fn said(winner: &'static str) -> &'static str {
    match Side::parse(winner) {
        Some(Side::Source) => "the table",
        Some(Side::Target) => "the list",
        None => winner,
    }
}

async fn show(settings: &Settings, operations: &Operations, id: ConflictId) -> anyhow::Result<Exit> {
    let opened = operations.conflict_show(id).await?;
    output::show(settings.output, &opened, || in_full(&opened))?;
    Ok(Exit::Done)
}

fn in_full(opened: &ConflictOpened) -> String {
    let conflict = &opened.conflict;
    let mut text = format!(
        "{} {}, column {}\n  stands   {}\n  table    {}\n  list     {}\n",
        conflict.definition,
        row(conflict),
        conflict.column,
        standing(conflict),
        value(&opened.source),
        value(&opened.target),
    );
    if conflict.list_edited_by.is_some() || conflict.list_edited_at.is_some() {
        text.push_str(&format!(
            "  edited   in the list by {}, {}\n",
            conflict.list_edited_by.as_deref().unwrap_or("somebody"),
            conflict
                .list_edited_at
                .map_or_else(|| "nobody knows when".to_owned(), output::moment),
        ));
    }
    text.push_str(&format!(
        "  noticed  {} by {}\n",
        output::moment(conflict.noticed),
        conflict.run
    ));
    if let Some(decided) = &conflict.decided {
        text.push_str(&format!(
            "  decided  {} by {}\n",
            output::moment(decided.at),
            decided.by
        ));
    }
    if let Some(closed) = conflict.closed {
        text.push_str(&format!("  settled  {}\n", output::moment(closed)));
    }
    let next = match (conflict.status, conflict.closed) {
        ("open", _) => format!(
            "syncbridge conflicts resolve {} --take source|target (the table's value, or the list's)",
            conflict.id
        ),
        ("resolved", None) => format!("syncbridge run {}", conflict.definition),
        _ => return text,
    };
    text.push_str(&format!("  then     {next}\n"));
    text
}

/// A value as it is told apart from others: texts stand in quotes, so that an empty one is none that is missing.
fn value(value: &Json) -> String {
    match value {
        Json::Null => "(empty)".to_owned(),
        other => other.to_string(),
    }
}

async fn resolve(settings: &Settings, operations: &Operations, args: &ResolveArgs) -> anyhow::Result<Exit> {
    let winner = match args.take {
        Take::Source => Side::Source,
        Take::Target => Side::Target,
    };
    let chosen = match &args.all {
        None => ConflictsChosen::These(args.ids.clone()),
        Some(name) => {
            let told = if args.yes {
                None
            } else {
                let count = operations.conflicts_open(name, args.column.as_deref()).await?;
                if count > 0 && !confirmed(args, name, count, winner)? {
                    eprintln!("nothing was decided");
                    return Ok(Exit::Refused);
                }
                Some(count)
            };
            ConflictsChosen::AllOpen {
                definition: name.clone(),
                column: args.column.clone(),
                told,
            }
        }
    };
    let resolved = operations
        .conflicts_resolve(&Settings::actor(), &chosen, winner)
        .await?;
    output::show(settings.output, &resolved, || {
        resolved.iter().map(|one| decided(one, winner)).collect()
    })?;
    Ok(Exit::Done)
}

fn decided(resolved: &ConflictsResolved, winner: Side) -> String {
    match resolved.conflicts {
        0 => format!("no conflict of {} like that is open\n", resolved.definition),
        n => format!(
            "{n} conflicts in {} rows decided for {}: `syncbridge run {}` carries it out\n",
            resolved.rows,
            said(winner.name()),
            resolved.definition
        ),
    }
}

fn confirmed(args: &ResolveArgs, name: &str, count: u64, winner: Side) -> anyhow::Result<bool> {
    let of_column = args
        .column
        .as_ref()
        .map_or_else(String::new, |column| format!(" in column `{column}`"));
    let what = format!(
        "{count} open conflicts of `{name}`{of_column}: {} wins in all of them",
        said(winner.name())
    );
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "{what}, and nobody is there to ask → add --yes if that is meant"
    );
    question::yes(&format!("{what}. Go on?"))
}
