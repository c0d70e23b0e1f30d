//! `syncbridge apply -f`.

use syncbridge_operations::Applied;

use crate::cli::Files;
use crate::commands::{check, documents};
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn apply(settings: &Settings, files: &Files) -> anyhow::Result<Exit> {
    let given = documents::read(&files.files)?;
    let operations = settings.operations().await?;
    let applied = operations.apply(&Settings::actor(), &given).await?;
    output::show(settings.output, &applied, || table(&applied))?;
    for one in &applied {
        for warning in &one.warnings {
            eprintln!("warning: {} `{}`: {warning}", one.kind, one.name);
        }
    }
    Ok(Exit::Done)
}

fn table(applied: &[Applied]) -> String {
    let rows = applied.iter().map(|one| {
        let list = match &one.list {
            None => String::new(),
            Some(list) if list.creates && list.learns_time_zone => {
                "list will be made by the first run, which also learns the site's time zone".to_owned()
            }
            Some(list) if list.creates => "list will be made by the first run".to_owned(),
            Some(list) if !list.columns.is_empty() => format!("columns to add: {}", list.columns.join(", ")),
            Some(list) => list.web_url.clone().unwrap_or_default(),
        };
        vec![one.kind.to_owned(), one.name.clone(), one.change.to_owned(), list]
    });
    let mut text = output::table(&["kind", "name", "change", "list"], rows);
    for one in applied.iter().filter(|one| !one.findings.is_empty()) {
        text.push_str(&format!(
            "\nabout {}, see also `syncbridge plan {0} --check`:\n",
            one.name
        ));
        text.push_str(&check::findings(&one.findings));
    }
    text
}
