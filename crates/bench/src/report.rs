//! What the harness says: a line a row for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::measure::Measured;

/// One row as it was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Result {
    /// Name of the row.
    pub name: String,
    /// Unit of all its numbers but `spread`.
    pub unit: String,
    /// Its floor, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// The numbers.
    #[serde(flatten)]
    pub measured: Measured,
}

/// All rows with what they were measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Report<'a> {
    /// `release` or `debug`; floors hold for the first only.
    pub build: &'static str,
    /// How many cores the machine offers.
    pub cores: usize,
    /// The rows.
    pub rows: &'a [Result],
}

impl Report<'_> {
    /// As people read it.
    #[must_use]
    pub fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let mut text = format!("{} build, {} cores\n", self.build, self.cores);
        for row in self.rows {
            let m = &row.measured;
            // Writing to a text cannot fail.
            let _ = write!(
                text,
                "{:<width$}  {:>9.0} {} (least {:.0}, most {:.0}, spread {:.0} %",
                row.name,
                m.median,
                row.unit,
                m.least,
                m.most,
                m.spread * 100.0,
            );
            let _ = match row.floor {
                Some(floor) => writeln!(text, "; floor {floor:.0})"),
                None => writeln!(text, "; no floor)"),
            };
        }
        text
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
