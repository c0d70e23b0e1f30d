//! `syncbridge run`, and how every command that runs a definition waits for its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use syncbridge_domain::run::{RunKind, RunOptions};
use syncbridge_operations::{KeyTexts, Operations, RunOrder, RunReport};

use crate::cli::RunArgs;
use crate::commands::verdict;
use crate::exit::Exit;
use crate::output;
use crate::progress::Shown;
use crate::settings::{Output, Settings};

/// A flag that Ctrl-C sets, and the task that listens for it.
pub(crate) fn stop_on_interrupt() -> (Arc<AtomicBool>, tokio::task::JoinHandle<()>) {
    let cancel = Arc::new(AtomicBool::new(false));
    let asked = cancel.clone();
    let listener = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("stopping after what is under way …");
            asked.store(true, Ordering::Release);
        }
    });
    (cancel, listener)
}

/// Runs a definition with progress on standard error; Ctrl-C asks it to stop after what is under way.
pub(crate) async fn once(
    operations: &Operations,
    name: &str,
    kind: RunKind,
    options: RunOptions,
    quiet: bool,
) -> anyhow::Result<RunReport> {
    in_range(operations, name, kind, options, KeyTexts::default(), quiet).await
}

/// As [`once`], for the rows of a range.
pub(super) async fn in_range(
    operations: &Operations,
    name: &str,
    kind: RunKind,
    options: RunOptions,
    range: KeyTexts,
    quiet: bool,
) -> anyhow::Result<RunReport> {
    let (cancel, listener) = stop_on_interrupt();
    let progress = Shown::new(name, quiet);
    let order = RunOrder {
        name,
        kind,
        options,
        range,
        progress: &progress,
        cancel,
    };
    let report = operations.run(&Settings::actor(), order).await;
    listener.abort();
    progress.finish();
    Ok(report?)
}

pub(crate) async fn push(settings: &Settings, args: &RunArgs) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let options = RunOptions {
        full: args.full,
        allow_deletes: args.allow_deletes,
        reset_cursor: args.reset_cursor,
        approve_unagreed: args.approve,
        plan: args.plan,
        ..RunOptions::default()
    };
    let report = once(
        &operations,
        &args.name,
        RunKind::Push,
        options,
        settings.output != Output::Table,
    )
    .await?;
    output::show(settings.output, &report, || verdict::push(&report))?;
    Ok(Exit::of_run(report.outcome.state))
}
