//! `syncbridge plan`: what a run would do, saved.

use syncbridge_domain::run::{RunKind, RunOptions};
use syncbridge_operations::{Operations, RunReport};

use crate::cli::PlanArgs;
use crate::commands::{plans, run, verdict};
use crate::exit::Exit;
use crate::output;
use crate::settings::{Output, Settings};

pub(crate) async fn plan(settings: &Settings, args: &PlanArgs) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let id = Operations::new_plan();
    let options = RunOptions {
        full: args.full,
        approve_unagreed: args.approve,
        plan: Some(id),
        ..RunOptions::default()
    };
    let quiet = settings.output != Output::Table;
    let report = run::once(&operations, &args.name, RunKind::Plan, options, quiet).await?;
    show(settings, &operations, &report, args.limit).await
}

/// What a plan came to: the report of the run that worked it out, and what it holds.
pub(crate) async fn show(
    settings: &Settings,
    operations: &Operations,
    report: &RunReport,
    limit: u32,
) -> anyhow::Result<Exit> {
    let (Some(_), Some(id)) = (&report.outcome.prediction, report.plan) else {
        output::show(settings.output, report, || verdict::push(report))?;
        return Ok(Exit::of_run(report.outcome.state));
    };
    let opened = operations.plan_open(id).await?;
    match settings.output {
        Output::Table => {
            output::say(&verdict::plan(report))?;
            plans::print(&opened, None, limit).await?;
        }
        _ => plans::print_all(settings.output, Some(report), &opened, None).await?,
    }
    Ok(Exit::Done)
}

/// As a document: the report of the run that worked the plan out.
pub(crate) fn report(report: &RunReport) -> anyhow::Result<serde_json::Map<String, serde_json::Value>> {
    match serde_json::to_value(report)? {
        serde_json::Value::Object(members) => Ok(members),
        _ => anyhow::bail!("a report is a document"),
    }
}
