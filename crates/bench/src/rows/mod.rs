//! What is measured. One row is one number that somebody relies on; an experiment gives one or several of them.

mod budget;
mod fan_out;
mod product;
mod push;
mod scan;
mod simulator;

use crate::measure::Effort;

/// One row.
pub struct Row {
    /// Its name, for filters and bounds.
    pub name: &'static str,
    /// Unit of its number.
    pub unit: &'static str,
    /// What the number is.
    pub about: &'static str,
}

/// How large an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the bounds are meant.
    Full,
    /// A tenth and less: to see that it works.
    Quick,
}

impl Form {
    /// The size for this form.
    #[must_use]
    pub fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Form::Full => full,
            Form::Quick => quick,
        }
    }
}

/// Somebody who wants to know how far it is.
pub type Told<'a> = &'a dyn Fn(&str);

/// One experiment.
pub struct Experiment {
    /// Its name, for filters.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The rows it gives.
    pub rows: &'static [Row],
    /// How often it is repeated in full form.
    pub effort: Effort,
    /// Takes one sample from a fresh start: a number a row, in their order.
    pub sample: fn(form: Form, tell: Told<'_>) -> anyhow::Result<Vec<f64>>,
}

const ONCE: Effort = Effort {
    warm_up: 0,
    samples: 1,
};
const THRICE: Effort = Effort {
    warm_up: 0,
    samples: 3,
};
const OFTEN: Effort = Effort {
    warm_up: 2,
    samples: 7,
};

const WRITES: &str = "item writes/s";

/// All experiments, the short ones first.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "simulator-batch",
        about: "the simulator's core, in process, one thread, 20 requests a $batch",
        rows: &[
            Row {
                name: "simulator-batch-creates",
                unit: WRITES,
                about: "items made",
            },
            Row {
                name: "simulator-batch-patches",
                unit: WRITES,
                about: "items changed under If-Match",
            },
        ],
        effort: OFTEN,
        sample: simulator::in_process,
    },
    Experiment {
        name: "simulator-http",
        about: "the same over HTTP on loopback, 8 connections; client and server share the cores",
        rows: &[
            Row {
                name: "simulator-http-creates",
                unit: WRITES,
                about: "items made",
            },
            Row {
                name: "simulator-http-patches",
                unit: WRITES,
                about: "items changed under If-Match",
            },
        ],
        effort: OFTEN,
        sample: simulator::over_http,
    },
    push::EXPERIMENT,
    fan_out::EXPERIMENT,
    budget::EXPERIMENT,
    scan::EXPERIMENT,
];

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Row> + Clone {
    EXPERIMENTS.iter().flat_map(|experiment| experiment.rows)
}

#[cfg(test)]
mod tests {
    use super::{EXPERIMENTS, all};

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<&str> = all().map(|row| row.name).collect();
        names.extend(EXPERIMENTS.iter().map(|experiment| experiment.name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
