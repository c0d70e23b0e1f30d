//! Spans of time in documents: `90s`, `30m`, `24h`, `7d`, or `off`.

use serde_json::{Value as Json, json};

use crate::problem::ProblemCode;
use crate::reader::{Reader, Slot, quote};

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// A year; longer is more likely a slip than a wish.
const LONGEST: u64 = 366 * 86_400;
const HELP: &str = "a whole number with its unit, from 1s to 366d: 90s, 30m, 24h or 7d; or `off`";

/// Seconds, or `None` for `off`. The outer `None`: reported.
pub(crate) fn read(reader: &mut Reader, slot: &Slot<'_>) -> Option<Option<u64>> {
    let text = reader.line(slot, 20)?;
    if text == "off" {
        return Some(None);
    }
    match seconds(text) {
        Some(seconds) => Some(Some(seconds)),
        None => {
            let message = format!("`{}` is {}", slot.path(), quote(text));
            reader.report(slot.at(), ProblemCode::InvalidValue, message, HELP);
            None
        }
    }
}

fn seconds(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let (_, worth) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    number
        .checked_mul(*worth)
        .filter(|span| (1..=LONGEST).contains(span))
}

/// The shortest way to write it.
pub(crate) fn to_json(span: Option<u64>) -> Json {
    let Some(seconds) = span else { return json!("off") };
    let exact = UNITS
        .iter()
        .find(|(_, worth)| seconds % worth == 0 && seconds > 0);
    match exact {
        Some((unit, worth)) => json!(format!("{}{unit}", seconds / worth)),
        None => json!(format!("{seconds}s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_they_are_read_in_the_largest_unit_that_fits() {
        for (given, shown) in [
            ("90s", "90s"),
            ("60s", "1m"),
            ("24h", "1d"),
            ("90m", "90m"),
            ("7d", "7d"),
        ] {
            assert_eq!(to_json(seconds(given)), json!(shown));
        }
        for wrong in [
            "",
            "0h",
            "h",
            "1",
            "-1h",
            "1w",
            "367d",
            "1.5h",
            "99999999999999999999d",
            "1é",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        assert_eq!(to_json(None), json!("off"));
    }
}
