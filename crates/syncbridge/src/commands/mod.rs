//! One file a command.

mod apply;
mod check;
mod conflicts;
mod cursor;
mod delete;
mod dev;
mod dev_demo;
mod dev_stack;
mod diff;
mod documents;
mod get;
mod ledger;
mod migrate;
mod plan;
mod plans;
mod quarantine;
mod question;
mod revert;
mod run;
mod runs;
mod verdict;
mod verify;
mod why;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command, CursorCommand, LedgerCommand};
use crate::exit::Exit;

pub(crate) async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let Cli { settings, command } = cli;
    settings.start_logging()?;
    match command {
        Command::Apply(files) => apply::apply(&settings, &files).await,
        Command::Diff(files) => diff::diff(&settings, &files).await,
        Command::Plan(args) if args.check => check::check(&settings, &args.name).await,
        Command::Plan(args) => plan::plan(&settings, &args).await,
        Command::Plans(command) => plans::plans(&settings, &command).await,
        Command::Run(args) => run::push(&settings, &args).await,
        Command::Revert(args) => revert::revert(&settings, &args).await,
        Command::Verify(args) => verify::verify(&settings, &args).await,
        Command::Get(args) => get::get(&settings, &args.kind, args.name.as_deref()).await,
        Command::List(args) => get::get(&settings, &args.kind, None).await,
        Command::Delete(args) => delete::delete(&settings, &args).await,
        Command::Runs(args) => runs::runs(&settings, &args).await,
        Command::Ledger(LedgerCommand::Show { name, key, page }) => {
            ledger::show(&settings, &name, &key, &page).await
        }
        Command::Why(args) => why::why(&settings, &args).await,
        Command::Cursor(CursorCommand::Show(named)) => cursor::show(&settings, &named.name).await,
        Command::Cursor(CursorCommand::Reset { name, delta }) => cursor::reset(&settings, &name, delta).await,
        Command::Conflicts(command) => conflicts::conflicts(&settings, &command).await,
        Command::Quarantine(command) => quarantine::quarantine(&settings, &command).await,
        Command::Migrate => migrate::migrate(&settings).await,
        Command::Dev(args) => Box::pin(dev::dev(&settings, &args)).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "syncbridge", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    }
}
