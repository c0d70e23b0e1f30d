//! Results on standard output: tables for people, JSON and YAML for programs and files.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::settings::Output;

/// Shows a result: `table` builds what people see.
pub(crate) fn show<T: Serialize>(
    output: Output,
    result: &T,
    table: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let text = match output {
        Output::Table => table(),
        Output::Json => serde_json::to_string_pretty(result)?,
        Output::Yaml => yaml(result)?,
    };
    let text = text.trim_end();
    if !text.is_empty() {
        println!("{text}");
    }
    Ok(())
}

fn yaml<T: Serialize>(result: &T) -> anyhow::Result<String> {
    // Through JSON, so that both forms have the same keys in the same order.
    let json = serde_json::to_value(result)?;
    Ok(serde_saphyr::to_string(&json)?)
}

/// A table that fits the terminal.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings.to_vec());
    let mut any = false;
    for row in rows {
        any = true;
        table.add_row(row);
    }
    if any { table.to_string() } else { String::new() }
}

/// A moment as people read it.
pub(crate) fn moment(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
