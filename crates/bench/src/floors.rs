//! Bounds: numbers that a row must not fall below or rise above.

use std::fmt;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::report::Result;

/// One bound.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The requirement it proves, such as `A-13`.
    pub id: String,
    /// The row it is for.
    pub name: String,
    /// The least median, for rows of which more is better.
    pub at_least: Option<f64>,
    /// The greatest median, for rows of which less is better.
    pub at_most: Option<f64>,
    /// Unit of the number; must be the row's.
    pub unit: String,
    /// Why it has to hold.
    pub why: String,
}

impl Bound {
    /// Whether a median keeps to it.
    #[must_use]
    pub fn holds(&self, median: f64) -> bool {
        self.at_least.is_none_or(|least| median >= least) && self.at_most.is_none_or(|most| median <= most)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.at_least, self.at_most) {
            (Some(least), _) => write!(f, "at least {least} {}, {}", self.unit, self.id),
            (_, Some(most)) => write!(f, "at most {most} {}, {}", self.unit, self.id),
            _ => write!(f, "no bound, {}", self.id),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    bound: Vec<Bound>,
}

/// Reads a file of bounds.
///
/// # Errors
/// Text that is no such file, a bound that is no number or goes both ways, two bounds of one row.
pub fn parse(text: &str) -> anyhow::Result<Vec<Bound>> {
    let bounds = toml::from_str::<File>(text)
        .context("the bounds cannot be read")?
        .bound;
    for (at, bound) in bounds.iter().enumerate() {
        let number = match (bound.at_least, bound.at_most) {
            // Nothing can be below nothing: such a floor would hold whatever happens.
            (Some(least), None) => least.is_finite() && least > 0.0,
            (None, Some(most)) => most.is_finite() && most >= 0.0,
            _ => bail!("{} needs either at_least or at_most", bound.name),
        };
        ensure!(number, "the bound of {} cannot be missed or kept", bound.name);
        ensure!(!bound.why.trim().is_empty(), "{} does not say why", bound.name);
        ensure!(
            !bounds[..at].iter().any(|other| other.name == bound.name),
            "{} has two bounds",
            bound.name
        );
    }
    Ok(bounds)
}

/// Bounds that have no row of their name and unit: they would never be checked.
///
/// # Errors
/// The first of them.
pub fn fit<'a>(
    bounds: &[Bound],
    rows: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> anyhow::Result<()> {
    for bound in bounds {
        match rows.clone().find(|(name, _)| *name == bound.name) {
            None => bail!(
                "there is a bound for {}, but no such row (see --list)",
                bound.name
            ),
            Some((_, unit)) if unit != bound.unit => {
                bail!(
                    "the bound of {} is in {}, its row in {unit}",
                    bound.name,
                    bound.unit
                )
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What missed its bound, as sentences.
#[must_use]
pub fn broken(bounds: &[Bound], results: &[Result]) -> Vec<String> {
    let mut out = Vec::new();
    for bound in bounds {
        for result in results.iter().filter(|result| result.name == bound.name) {
            if !bound.holds(result.measured.median) {
                out.push(format!(
                    "{}: {} {}, has to be {bound}",
                    bound.name,
                    crate::report::shown(result.measured.median),
                    bound.unit
                ));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measured;
    use crate::rows;

    const FLOOR: &str = "[[bound]]\nid = 'A-1'\nname = 'n'\nat_least = 10\nunit = 'x/s'\nwhy = 'w'\n";
    const CEILING: &str = "[[bound]]\nid = 'A-1'\nname = 'n'\nat_most = 0\nunit = 'x/s'\nwhy = 'w'\n";

    fn result(median: f64) -> Result {
        Result {
            name: "n".to_owned(),
            unit: "x/s".to_owned(),
            at_least: None,
            at_most: None,
            measured: Measured::of(vec![median]).unwrap(),
        }
    }

    #[test]
    fn a_row_on_the_wrong_side_of_its_bound_is_named_and_one_at_it_is_not() {
        let floor = parse(FLOOR).unwrap();
        assert_eq!(
            broken(&floor, &[result(9.9)]),
            ["n: 9.900 x/s, has to be at least 10 x/s, A-1"]
        );
        assert!(broken(&floor, &[result(10.0)]).is_empty());
        let ceiling = parse(CEILING).unwrap();
        assert_eq!(broken(&ceiling, &[result(1.0)]).len(), 1);
        assert!(broken(&ceiling, &[result(0.0)]).is_empty());
    }

    #[test]
    fn bounds_that_nobody_would_check_are_refused() {
        let bounds = parse(FLOOR).unwrap();
        assert!(fit(&bounds, [("n", "x/s")].into_iter()).is_ok());
        assert!(fit(&bounds, [("m", "x/s")].into_iter()).is_err());
        assert!(fit(&bounds, [("n", "x/min")].into_iter()).is_err());
        assert!(parse(&format!("{FLOOR}{CEILING}")).is_err());
        assert!(parse(&FLOOR.replace("10", "0")).is_err());
        assert!(parse(&FLOOR.replace("at_least = 10", "")).is_err());
        assert!(parse(&FLOOR.replace("at_least = 10", "at_least = 10\nat_most = 11")).is_err());
        assert!(parse(&FLOOR.replace("'w'", "' '")).is_err());
        assert!(parse(&FLOOR.replace("why", "because")).is_err());
    }

    #[test]
    fn the_committed_bounds_fit_the_rows() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/floors.toml");
        let bounds = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        fit(&bounds, rows::all().map(|row| (row.name, row.unit))).unwrap();
    }

    /// The bounds that the issues name; a bound may become tighter, never looser.
    #[test]
    fn no_committed_bound_is_looser_than_what_was_promised() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/floors.toml");
        let bounds = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        let bound = |name: &str| bounds.iter().find(|bound| bound.name == name).unwrap();
        for (name, least) in [
            ("simulator-batch-creates", 20_000.0),
            ("first-load-efficiency", 0.99),
            ("change-efficiency", 0.98),
            ("budget-used-fixed", 0.97),
            ("budget-used-sliding", 0.97),
            ("budget-used-bucket", 0.97),
            ("first-load-rate", 5_000.0),
            ("scan-to-copy", 0.2),
            ("parallel-to-sequential", 50.0),
        ] {
            assert!(bound(name).at_least.unwrap() >= least, "{name}");
        }
        for (name, most) in [
            ("unchanged-spent", 0.0),
            ("throttled-fixed", 0.1),
            ("throttled-sliding", 0.1),
            ("throttled-bucket", 0.1),
            ("created-row-cpu", 120.0),
            ("unchanged-row-cpu", 10.0),
            ("memory-peak", 128.0),
            ("memory-growth", 1.2),
        ] {
            assert!(bound(name).at_most.unwrap() <= most, "{name}");
        }
    }
}
