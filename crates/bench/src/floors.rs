//! Floors: numbers below which a row must not fall.

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::report::Result;

/// One floor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// The requirement it proves, such as `A-13`.
    pub id: String,
    /// The row it is for.
    pub name: String,
    /// The least median.
    pub floor: f64,
    /// Unit of the number; must be the row's.
    pub unit: String,
    /// Why it has to hold.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    floor: Vec<Floor>,
}

/// Reads a file of floors.
///
/// # Errors
/// Text that is no such file, a floor that is no positive number, two floors for one row.
pub fn parse(text: &str) -> anyhow::Result<Vec<Floor>> {
    let floors = toml::from_str::<File>(text)
        .context("the floors cannot be read")?
        .floor;
    for (at, floor) in floors.iter().enumerate() {
        ensure!(
            floor.floor.is_finite() && floor.floor > 0.0,
            "the floor of {} is no positive number",
            floor.name
        );
        ensure!(
            !floors[..at].iter().any(|other| other.name == floor.name),
            "{} has two floors",
            floor.name
        );
    }
    Ok(floors)
}

/// Floors that have no row of their name and unit: they would never be checked.
///
/// # Errors
/// The first of them.
pub fn fit<'a>(
    floors: &[Floor],
    rows: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> anyhow::Result<()> {
    for floor in floors {
        match rows.clone().find(|(name, _)| *name == floor.name) {
            None => bail!(
                "there is a floor for {}, but no such row (see --list)",
                floor.name
            ),
            Some((_, unit)) if unit != floor.unit => {
                bail!(
                    "the floor of {} is in {}, its row in {unit}",
                    floor.name,
                    floor.unit
                )
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What fell below its floor, as sentences.
#[must_use]
pub fn broken(floors: &[Floor], results: &[Result]) -> Vec<String> {
    let mut out = Vec::new();
    for floor in floors {
        for result in results.iter().filter(|result| result.name == floor.name) {
            if result.measured.median < floor.floor {
                out.push(format!(
                    "{} ({}): {:.0} {} is below the floor of {:.0}",
                    floor.name, floor.id, result.measured.median, floor.unit, floor.floor
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
    use crate::rows::ROWS;

    const ONE: &str = "[[floor]]\nid = 'A-1'\nname = 'n'\nfloor = 10\nunit = 'x/s'\nwhy = 'w'\n";

    fn result(median: f64) -> Result {
        Result {
            name: "n".to_owned(),
            unit: "x/s".to_owned(),
            floor: None,
            measured: Measured::of(vec![median]).unwrap(),
        }
    }

    #[test]
    fn a_row_below_its_floor_is_named_and_one_at_it_is_not() {
        let floors = parse(ONE).unwrap();
        assert_eq!(
            broken(&floors, &[result(9.9)]),
            ["n (A-1): 10 x/s is below the floor of 10"]
        );
        assert!(broken(&floors, &[result(10.0)]).is_empty());
    }

    #[test]
    fn floors_that_nobody_would_check_are_refused() {
        let floors = parse(ONE).unwrap();
        assert!(fit(&floors, [("n", "x/s")].into_iter()).is_ok());
        assert!(fit(&floors, [("m", "x/s")].into_iter()).is_err());
        assert!(fit(&floors, [("n", "x/min")].into_iter()).is_err());
        assert!(parse(&format!("{ONE}{ONE}")).is_err());
        assert!(parse(&ONE.replace("10", "0")).is_err());
        assert!(parse(&ONE.replace("why", "because")).is_err());
    }

    #[test]
    fn the_committed_floors_fit_the_rows() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/floors.toml");
        let floors = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(
            floors
                .iter()
                .any(|floor| floor.id == "A-13" && floor.floor >= 20_000.0)
        );
        fit(&floors, ROWS.iter().map(|row| (row.name, row.unit))).unwrap();
    }
}
