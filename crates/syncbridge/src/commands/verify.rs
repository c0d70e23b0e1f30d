//! `syncbridge verify`: compare, repair, list what was found.

use syncbridge_domain::run::{RunKind, RunOptions, RunState};
use syncbridge_operations::{DifferencesWanted, KeyTexts};

use crate::cli::VerifyArgs;
use crate::commands::{run, verdict};
use crate::exit::Exit;
use crate::output;
use crate::settings::{Output, Settings};

pub(crate) async fn verify(settings: &Settings, args: &VerifyArgs) -> anyhow::Result<Exit> {
    if args.list {
        return list(settings, args).await;
    }
    let operations = settings.operations().await?;
    let kind = match args.repair {
        true => RunKind::Repair,
        false => RunKind::Verify,
    };
    let options = RunOptions {
        allow_deletes: args.allow_deletes,
        resume: args.resume,
        plan: None,
        ..RunOptions::default()
    };
    let range = KeyTexts {
        from: args.from.clone(),
        to: args.to.clone(),
    };
    let quiet = settings.output != Output::Table;
    let report = run::in_range(&operations, &args.name, kind, options, range, quiet).await?;
    let Some(found) = report.outcome.verification.clone() else {
        output::show(settings.output, &report, || verdict::push(&report))?;
        return Ok(match report.outcome.state {
            RunState::Refused => Exit::Refused,
            _ => Exit::Failed,
        });
    };
    if args.repair {
        output::show(settings.output, &report, || verdict::repair(&report, &found))?;
        return Ok(match report.outcome.state {
            RunState::CompletedWithErrors => Exit::Differs,
            state => Exit::of_run(state),
        });
    }
    output::show(settings.output, &report, || verdict::verify(&report, &found))?;
    Ok(if found.is_equal() {
        Exit::Done
    } else {
        Exit::Differs
    })
}

async fn list(settings: &Settings, args: &VerifyArgs) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let wanted = DifferencesWanted {
        kind: args.kind,
        after: args.after,
        limit: args.limit,
    };
    let view = operations.verification(&args.name, wanted).await?;
    output::show(settings.output, &view, || match &view {
        Some(view) => verdict::differences(&args.name, view),
        None => format!("{0}: never compared; `syncbridge verify {0}` does\n", args.name),
    })?;
    Ok(Exit::Done)
}
