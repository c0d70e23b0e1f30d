//! Results on standard output: tables for people, JSON and YAML for programs and files.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
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
    match text.is_empty() {
        true => Ok(()),
        false => say(&format!("{text}\n")),
    }
}

/// Says something on standard output.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    heard(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Whoever stopped reading has read enough (`syncbridge runs | head`): that is no failure.
pub(crate) fn heard(written: std::io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn yaml<T: Serialize>(result: &T) -> anyhow::Result<String> {
    // Through JSON, so that both forms have the same keys in the same order.
    let json = serde_json::to_value(result)?;
    Ok(serde_saphyr::to_string(&json)?)
}

/// Columns no wider than this are never broken; wider ones share what is left of the terminal.
const UNBROKEN: u16 = 20;

/// A table without rules, which fits the terminal; in a pipe each row is one line.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    arranged(headings, rows, None)
}

fn arranged(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings.iter().map(|heading| heading.to_ascii_uppercase()));
    if let Some(width) = width {
        table.set_width(width);
    }
    table.add_rows(rows);
    if table.is_empty() {
        return String::new();
    }
    let widths = table.column_max_content_widths();
    for (column, widest) in table.column_iter_mut().zip(widths) {
        column.set_padding((0, 2));
        if widest <= UNBROKEN {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// Whether there is room for what few people look at: always in a pipe.
pub(crate) fn wide() -> bool {
    Table::new().width().is_none_or(|columns| columns >= 110)
}

/// A moment as people read it.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How long ago a moment was, as people say it; a moment to come is said in full.
pub(crate) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    match seconds {
        ..-5 => moment(at),
        -5..60 => format!("{} s ago", seconds.max(0)),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_columns_stay_whole_and_long_ones_wrap_within_the_terminal() {
        let cause = "some cause that is rather long ".repeat(4);
        let row = ["contracts", cause.trim(), "12"];
        let text = arranged(
            &["name", "cause", "rows"],
            [row.iter().map(ToString::to_string).collect()],
            Some(60),
        );
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.starts_with("NAME") && text.contains("contracts"), "{text}");
        assert!(text.lines().count() > 2, "{text}");
        assert_eq!(table(&["a"], []), "");
    }

    #[test]
    fn how_long_ago_is_said_in_the_largest_fitting_unit() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let said = |before: i64| ago(now - chrono::TimeDelta::seconds(before), now);
        assert_eq!(said(0), "0 s ago");
        assert_eq!(said(61), "1 min ago");
        assert_eq!(said(7_200), "2 h ago");
        assert_eq!(said(259_200), "3 days ago");
        assert!(said(-60).ends_with("UTC"));
    }
}
