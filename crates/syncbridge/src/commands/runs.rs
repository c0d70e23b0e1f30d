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
        let now = chrono::Utc::now();
        // A run's id takes half a narrow terminal; pipes, JSON and YAML have it.
        let wide = output::wide();
        let rows = runs.iter().map(|run| {
            let counters = &run.counters;
            let mut row = vec![
                run.definition.clone(),
                run.kind.to_owned(),
                run.state.to_owned(),
                format!(
                    "+{} ~{} -{}",
                    counters.created, counters.patched, counters.deleted
                ),
                counters.quarantined.to_string(),
                run.ru.to_string(),
                output::ago(run.created, now),
            ];
            row.extend(wide.then(|| run.run.clone()));
            row
        });
        let mut headings = vec![
            "definition",
            "kind",
            "state",
            "+new ~changed -gone",
            "refused",
            "RU",
            "begun",
        ];
        headings.extend(wide.then_some("run"));
        output::table(&headings, rows)
    })?;
    Ok(Exit::Done)
}
