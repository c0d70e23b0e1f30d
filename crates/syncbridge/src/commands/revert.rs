//! `syncbridge revert`: a plan that puts back what a run did.

use syncbridge_operations::{Operations, RevertOrder, Reverted};

use crate::cli::RevertArgs;
use crate::commands::{plan, run};
use crate::exit::Exit;
use crate::output;
use crate::progress::Shown;
use crate::settings::{Output, Settings};

pub(crate) async fn revert(settings: &Settings, args: &RevertArgs) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let (cancel, listener) = run::stop_on_interrupt();
    let progress = Shown::new(&args.name, settings.output != Output::Table);
    let order = RevertOrder {
        name: &args.name,
        run: args.run,
        plan: Operations::new_plan(),
        progress: &progress,
        cancel,
    };
    let reverted = operations.revert(&Settings::actor(), order).await;
    listener.abort();
    progress.finish();
    let reverted = reverted?;
    let Reverted::Planned(report) = &reverted else {
        output::show(settings.output, &reverted, || {
            format!("{} wrote nothing: there is nothing to put back\n", args.run)
        })?;
        return Ok(Exit::Done);
    };
    plan::show(settings, &operations, report, args.limit).await
}
