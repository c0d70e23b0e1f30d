//! `syncbridge ledger show`.

use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn show(settings: &Settings, name: &str, key: &[String]) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let view = operations.ledger_show(name, key).await?;
    output::show(settings.output, &view, || {
        let mut text = format!("{name} {}\n", view.identity);
        match &view.entry {
            None => text.push_str("  nothing was ever agreed on for this key\n"),
            Some(entry) => {
                text.push_str(&format!("  state    {}\n", entry.state));
                text.push_str(&format!("  item     {} in list {}\n", entry.item, entry.list));
                text.push_str(&format!("  version  {}\n", entry.version));
                text.push_str(&format!(
                    "  source   generation {}, WAL position {:X}\n",
                    entry.generation, entry.lsn
                ));
                text.push_str(&format!("  last run {}\n", entry.last_run));
                let rows = entry.fields.iter().map(|f| {
                    vec![
                        f.column.clone(),
                        f.target.clone(),
                        f.source_hash.clone(),
                        f.target_hash.clone(),
                    ]
                });
                text.push_str(&output::table(
                    &["column", "list column", "agreed (table)", "agreed (list)"],
                    rows,
                ));
                text.push('\n');
            }
        }
        if let Some(cause) = &view.quarantine {
            text.push_str(&format!("  in quarantine: {cause}\n"));
        }
        if view.dirty {
            text.push_str("  waiting to be applied\n");
        }
        for one in &view.history {
            text.push_str(&format!(
                "{}  {}  version {}\n  {}, request-id {}\n",
                output::moment(one.at),
                one.kind,
                one.version.as_deref().unwrap_or("-"),
                one.run,
                one.request_id.as_deref().unwrap_or("unknown"),
            ));
        }
        text
    })?;
    Ok(Exit::Done)
}
