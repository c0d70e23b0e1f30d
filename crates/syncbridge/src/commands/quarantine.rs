//! `syncbridge quarantine list`.

use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn list(settings: &Settings, name: &str, limit: u32) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let rows = operations.quarantine_list(name, limit).await?;
    output::show(settings.output, &rows, || {
        if rows.is_empty() {
            return format!("no row of {name} is in quarantine");
        }
        let lines = rows.iter().map(|row| {
            vec![
                row.key.join(", "),
                row.column.clone().unwrap_or_default(),
                row.cause.clone(),
                row.fix.clone(),
                row.attempts.to_string(),
                row.retry_at
                    .map_or_else(|| "needs a person".to_owned(), output::moment),
            ]
        });
        output::table(&["key", "column", "cause", "fix", "tried", "next try"], lines)
    })?;
    Ok(Exit::Done)
}
