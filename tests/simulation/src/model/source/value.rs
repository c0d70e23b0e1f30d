//! Texts as PostgreSQL prints them under fixed session settings, and the order in which it sorts them.
//!
//! Whole numbers, decimals, texts, booleans, UUIDs and instants; other types are kept and sorted as they are
//! written.

use chrono::{DateTime, Utc};
use syncbridge_domain::pg_type::PgType;

/// The raw stable form of a text that is to become a value of this type, length and precision aside; `None`: it
/// is no value of the type.
pub(super) fn raw_form(pg_type: &PgType, text: &str) -> Option<String> {
    match pg_type {
        PgType::Bool => match text {
            "t" | "true" | "y" | "yes" | "on" | "1" => Some("true".into()),
            "f" | "false" | "n" | "no" | "off" | "0" => Some("false".into()),
            _ => None,
        },
        PgType::Int2 => text.trim().parse::<i16>().ok().map(|n| n.to_string()),
        PgType::Int4 => text.trim().parse::<i32>().ok().map(|n| n.to_string()),
        PgType::Int8 => text.trim().parse::<i64>().ok().map(|n| n.to_string()),
        PgType::Numeric { .. } => decimal(text).map(|_| text.trim().to_owned()),
        PgType::Uuid => uuid::Uuid::try_parse(text)
            .ok()
            .map(|id| id.hyphenated().to_string()),
        PgType::TimestampTz => instant(text).map(print_instant),
        _ => Some(text.to_owned()),
    }
}

/// What length and precision of the column make of a raw form; `None`: it does not fit.
pub(super) fn fitted(pg_type: &PgType, raw: String) -> Option<String> {
    match pg_type {
        PgType::Varchar { length: Some(length) } => {
            let most = usize::try_from(*length).unwrap_or(usize::MAX);
            match raw.chars().count() > most {
                // Blanks beyond the length are cut, anything else is refused.
                true => raw
                    .chars()
                    .skip(most)
                    .all(|c| c == ' ')
                    .then(|| raw.chars().take(most).collect()),
                false => Some(raw),
            }
        }
        PgType::Numeric {
            scale: Some(scale), ..
        } => rounded(&raw, u32::try_from(*scale).ok()?),
        _ => Some(raw),
    }
}

/// Digits behind the point that ranks keep.
const FRACTION: u32 = 9;

/// A decimal as a whole number of its last kept digit.
fn decimal(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numbers = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !numbers(whole) || !numbers(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let kept: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let number: i128 = format!("{whole}{kept}").parse().ok()?;
    Some(if negative { -number } else { number })
}

/// Rounds half away from zero, as `numeric` does.
fn rounded(text: &str, scale: u32) -> Option<String> {
    let number = decimal(text)?;
    let unit = 10_i128.checked_pow(FRACTION.checked_sub(scale)?)?;
    let whole = (number.abs() + unit / 2) / unit;
    let power = 10_i128.checked_pow(scale)?;
    let sign = if number < 0 && whole != 0 { "-" } else { "" };
    let digits = usize::try_from(scale).ok()?;
    Some(match scale {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{}.{:0digits$}", whole / power, whole % power),
    })
}

/// Reads an instant.
pub(super) fn instant(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"]
        .into_iter()
        .find_map(|format| DateTime::parse_from_str(text, format).ok())
        .map(|at| at.to_utc())
}

/// Writes an instant in microseconds, zeros at the end left out.
pub(super) fn print_instant(at: DateTime<Utc>) -> String {
    let seconds = at.format("%Y-%m-%d %H:%M:%S");
    match at.timestamp_subsec_micros() {
        0 => format!("{seconds}+00"),
        micros => {
            let fraction = format!("{micros:06}");
            format!("{seconds}.{}+00", fraction.trim_end_matches('0'))
        }
    }
}

/// A value's place in the order of its column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A boolean.
    Truth(bool),
    /// A number, in billionths.
    Number(i128),
    /// An instant, in microseconds.
    Instant(i64),
    /// A text under a collation of people: case counts last, and small letters come first then. Never the order
    /// of bytes, so that nobody can rely on it.
    Collated(String, String),
    /// Anything else, as it is written.
    Written(String),
}

/// The place of a text; of one that is no value of the type, its place as it is written.
pub(super) fn rank(pg_type: &PgType, text: &str) -> Rank {
    let known = match pg_type {
        PgType::Bool => Some(Rank::Truth(text == "true" || text == "t")),
        PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Numeric { .. } => {
            decimal(text).map(Rank::Number)
        }
        PgType::TimestampTz => instant(text).map(|at| Rank::Instant(at.timestamp_micros())),
        PgType::Text | PgType::Varchar { .. } => Some(Rank::Collated(
            text.to_lowercase(),
            text.chars().map(other_case).collect(),
        )),
        _ => None,
    };
    known.unwrap_or_else(|| Rank::Written(text.to_owned()))
}

fn other_case(letter: char) -> char {
    match letter.is_ascii_lowercase() {
        true => letter.to_ascii_uppercase(),
        false => letter.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_ordered_as_people_do_and_not_by_bytes() {
        let mut texts = ["b", "B", "a10", "A", "a", "Ab", "aB"];
        texts.sort_by_key(|text| rank(&PgType::Text, text));
        assert_eq!(texts, ["a", "A", "a10", "aB", "Ab", "b", "B"]);
    }

    #[test]
    fn numbers_are_ordered_by_value_and_rounded_as_numeric_is() {
        assert!(rank(&PgType::Int4, "9") < rank(&PgType::Int4, "10"));
        assert!(rank(&PgType::Int4, "-9") < rank(&PgType::Int4, "-8"));
        let two = PgType::Numeric {
            precision: Some(10),
            scale: Some(2),
        };
        for (raw, stored) in [
            ("1.005", "1.01"),
            ("-0.004", "0.00"),
            ("7", "7.00"),
            ("-2.345", "-2.35"),
        ] {
            assert_eq!(fitted(&two, raw.into()).as_deref(), Some(stored), "{raw}");
        }
    }

    #[test]
    fn instants_are_printed_as_postgresql_prints_them() {
        let print = |text: &str| raw_form(&PgType::TimestampTz, text);
        assert_eq!(
            print("2026-01-02T03:04:05.120Z").as_deref(),
            Some("2026-01-02 03:04:05.12+00")
        );
        assert_eq!(
            print("2026-01-02 05:04:05+02").as_deref(),
            Some("2026-01-02 03:04:05+00")
        );
        assert_eq!(print("tomorrow"), None);
    }
}
