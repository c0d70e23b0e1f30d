//! `syncbridge diff -f`.

use crate::cli::Files;
use crate::commands::documents;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn diff(settings: &Settings, files: &Files) -> anyhow::Result<Exit> {
    let given = documents::read(&files.files)?;
    let operations = settings.operations().await?;
    let differences = operations.diff(&given).await?;
    output::show(settings.output, &differences, || {
        let mut text = String::new();
        for one in differences
            .iter()
            .filter(|one| one.is_new || !one.differences.is_empty())
        {
            let state = if one.is_new { " (new)" } else { "" };
            text.push_str(&format!("{} {}{state}\n", one.kind, one.name));
            for line in &one.differences {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if text.is_empty() {
            "nothing would change".to_owned()
        } else {
            text
        }
    })?;
    Ok(Exit::Done)
}
