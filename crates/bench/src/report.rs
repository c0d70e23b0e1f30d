//! What the harness says: a line a row for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::measure::Measured;

/// One row as it was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Result {
    /// Name of the row.
    pub name: String,
    /// Unit of all its numbers.
    pub unit: String,
    /// The least median, where it has a floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The greatest median, where it has a ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// The numbers.
    #[serde(flatten)]
    pub measured: Measured,
}

/// All rows with what they were measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Report<'a> {
    /// `release` or `debug`; bounds hold for the first only.
    pub build: &'static str,
    /// `full` or `quick`; bounds hold for the first only.
    pub form: &'static str,
    /// How many cores the machine offers.
    pub cores: usize,
    /// Processes that wanted a core, on average over the last five minutes (`uptime`): above `cores` others were
    /// at work as well, and times say little.
    pub load: f64,
    /// The rows.
    pub rows: &'a [Result],
}

impl Report<'_> {
    /// As people read it.
    #[must_use]
    pub fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let mut text = format!(
            "{} build, {} form, {} cores, load {:.1}\n",
            self.build, self.form, self.cores, self.load
        );
        for row in self.rows {
            let m = &row.measured;
            // Writing to a text cannot fail.
            let _ = write!(
                text,
                "{:<width$}  {:>10} {} (spread {}, {} to {}, n = {}",
                row.name,
                shown(m.median),
                row.unit,
                shown(m.spread),
                shown(m.least),
                shown(m.most),
                m.samples.len(),
            );
            let _ = match (row.at_least, row.at_most) {
                (Some(least), _) => writeln!(text, "; at least {least})"),
                (_, Some(most)) => writeln!(text, "; at most {most})"),
                _ => writeln!(text, ")"),
            };
        }
        text
    }
}

/// A number with as many digits as tell something.
#[must_use]
pub fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Which build this is.
#[must_use]
pub const fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    }
}
