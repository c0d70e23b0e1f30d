//! `syncbridge delete`.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use syncbridge_domain::run::Retire;
use syncbridge_manifest::Kind;
use syncbridge_operations::Farewell;

use crate::cli::{DeleteArgs, Items, Ledger};
use crate::commands::question;
use crate::exit::Exit;
use crate::output;
use crate::progress::Shown;
use crate::settings::{Output, Settings};

pub(crate) async fn delete(settings: &Settings, args: &DeleteArgs) -> anyhow::Result<Exit> {
    let kind = Kind::parse(&args.kind).with_context(|| super::get::no_such_kind(&args.kind))?;
    if kind == Kind::SyncDefinition && !args.yes && !confirmed(args)? {
        eprintln!("nothing was deleted");
        return Ok(Exit::Refused);
    }
    let operations = settings.operations().await?;
    let progress = Shown::new(&args.name, settings.output != Output::Table);
    let farewell = Farewell {
        items: match args.items {
            Items::Keep => None,
            Items::Delete => Some(Retire::Delete),
            Items::Archive => Some(Retire::Archive),
        },
        drop_ledger: args.ledger == Ledger::Drop,
        allow_deletes: args.allow_deletes,
        progress: &progress,
        cancel: Arc::new(AtomicBool::new(false)),
    };
    let deleted = operations
        .delete(&Settings::actor(), kind, &args.name, farewell)
        .await;
    progress.finish();
    let deleted = deleted?;
    output::show(settings.output, &deleted, || {
        format!("{} {} deleted", deleted.kind, deleted.name)
    })?;
    Ok(Exit::Done)
}

/// Asks whoever sits there. A program is asked nothing: what loses nothing goes on, anything else needs `--yes`.
fn confirmed(args: &DeleteArgs) -> anyhow::Result<bool> {
    let items = match args.items {
        Items::Keep => "its items stay",
        Items::Delete => "ALL ITS ITEMS go to the recycle bin",
        Items::Archive => "all its items are marked as archived",
    };
    let ledger = match args.ledger {
        Ledger::Keep => "what is known of them is kept",
        Ledger::Drop => "WHAT IS KNOWN OF THEM IS LOST",
    };
    let harmless = args.items == Items::Keep && args.ledger == Ledger::Keep;
    if !std::io::stdin().is_terminal() {
        anyhow::ensure!(
            harmless,
            "definition `{}`: {items}, {ledger}, and nobody is there to ask → add --yes if that is meant",
            args.name
        );
        return Ok(true);
    }
    question::yes(&format!(
        "delete definition `{}`: {items}, {ledger}. Go on?",
        args.name
    ))
}
