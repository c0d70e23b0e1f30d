//! What is measured. One row is one number that somebody relies on.

mod simulator;

use crate::measure::Sample;

/// One row.
pub struct Row {
    /// Its name, for filters and floors.
    pub name: &'static str,
    /// What is counted, a second.
    pub unit: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Takes one sample from a fresh start: so many batches of twenty, or whatever the row counts in.
    pub sample: fn(size: usize) -> anyhow::Result<Sample>,
    /// Size of one sample.
    pub size: usize,
}

const WRITES: &str = "item writes/s";

/// All rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "simulator-batch-creates",
        unit: WRITES,
        about: "the simulator's core, in process, one thread: items made through $batch, 20 a batch",
        sample: simulator::creates,
        size: 1_500,
    },
    Row {
        name: "simulator-batch-patches",
        unit: WRITES,
        about: "the same with items changed under If-Match",
        sample: simulator::patches,
        size: 1_500,
    },
    Row {
        name: "simulator-http-creates",
        unit: WRITES,
        about: "items made through $batch over HTTP on loopback, 8 connections; client and server share the cores",
        sample: simulator::http_creates,
        size: 1_500,
    },
    Row {
        name: "simulator-http-patches",
        unit: WRITES,
        about: "the same with items changed under If-Match",
        sample: simulator::http_patches,
        size: 1_500,
    },
];

#[cfg(test)]
mod tests {
    use super::ROWS;

    #[test]
    fn every_row_gives_a_sample_of_the_work_it_was_asked_for() {
        for row in ROWS {
            let sample = (row.sample)(3).unwrap_or_else(|error| panic!("{}: {error:#}", row.name));
            assert_eq!(sample.work, 60, "{}", row.name);
            assert!(!sample.took.is_zero(), "{}", row.name);
        }
    }

    #[test]
    fn names_are_told_apart() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(
                !ROWS[..at].iter().any(|other| other.name == row.name),
                "{}",
                row.name
            );
        }
    }
}
