//! `syncbridge runs`.

use crate::cli::RunsArgs;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn runs(settings: &Settings, args: &RunsArgs) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let runs = operations.runs(args.name.as_deref(), args.limit).await?;
    output::show(settings.output, &runs, || {
        if runs.is_empty() {
            return "nothing was run yet → `syncbridge run NAME`".to_owned();
        }
        let rows = runs.iter().map(|run| {
            vec![
                run.run.clone(),
                run.definition.clone(),
                run.kind.to_owned(),
                run.state.to_owned(),
                run.counters.created.to_string(),
                run.counters.patched.to_string(),
                run.counters.deleted.to_string(),
                run.counters.quarantined.to_string(),
                run.ru.to_string(),
                output::moment(run.created),
            ]
        });
        let headings = [
            "run",
            "definition",
            "kind",
            "state",
            "created",
            "patched",
            "deleted",
            "quarantined",
            "RU",
            "asked for",
        ];
        output::table(&headings, rows)
    })?;
    Ok(Exit::Done)
}
