//! From a source cell to the value a list column will hold, or a refusal that says why not.
//!
//! Losses that a person may accept (sub-seconds, digits a double cannot hold in a column that was declared as
//! number) happen here and nowhere else; a value the list would refuse is refused here first, so that it costs
//! no request and the message can name column and remedy.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use crate::canonical::Value;
use crate::facet::{Facet, MULTI_LINE_MAX};
use crate::mapping::{FieldMapping, Mapping};
use crate::pg_type::PgType;
use crate::row::Cell;

/// Why a cell has no place in its list column. Never carries the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconvertible {
    /// Text longer than the column takes.
    #[error("the text has {length} characters, the list column takes {max}")]
    TooLong {
        /// Characters found.
        length: usize,
        /// Characters allowed.
        max: u32,
    },
    /// A text outside the choices.
    #[error("the value is not among the choices of the list column")]
    NotAChoice,
    /// NaN or an infinity.
    #[error("the number is not finite; a list column cannot hold it")]
    NotFinite,
    /// An integer that a double would change.
    #[error("the integer is larger than 2^53 and would change in a number column")]
    Imprecise,
    /// Infinity, a year outside 1900–8900, or a text that is no date.
    #[error("the date is outside what a list column holds (1900 to 8900)")]
    DateRange,
    /// A character no list takes (NUL and other control characters).
    #[error("the text holds a control character that a list refuses")]
    ControlCharacter,
    /// PostgreSQL printed something that is no value of the column's type.
    #[error("the source printed a text that is not a {type_name}")]
    Malformed {
        /// The column's type.
        type_name: String,
    },
    /// A combination of types that mapping validation should have refused.
    #[error("a {type_name} cannot go into this kind of list column")]
    Unsupported {
        /// The column's type.
        type_name: String,
    },
}

impl Unconvertible {
    /// Stable code, a page in `docs/errors/`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Unconvertible::TooLong { .. } => "value.too_long",
            Unconvertible::NotAChoice => "value.not_a_choice",
            Unconvertible::NotFinite => "value.not_finite",
            Unconvertible::Imprecise => "value.imprecise",
            Unconvertible::DateRange => "value.date_range",
            Unconvertible::ControlCharacter => "value.control_character",
            Unconvertible::Malformed { .. } => "value.malformed",
            Unconvertible::Unsupported { .. } => "value.unsupported",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Unconvertible::TooLong { .. } => {
                "shorten the value in the source, or map the column to multi-line text"
            }
            Unconvertible::NotAChoice => {
                "add the value to the choices of the list column, or correct it in the source"
            }
            Unconvertible::NotFinite => "replace NaN or infinity in the source, or map the column to text",
            Unconvertible::Imprecise => "map the column to text, which keeps every digit",
            Unconvertible::DateRange => "correct the date in the source, or map the column to text",
            Unconvertible::ControlCharacter => "remove the control character in the source",
            Unconvertible::Malformed { .. } | Unconvertible::Unsupported { .. } => {
                "map the column to text, and report this as a defect"
            }
        }
    }
}

/// The value that the list column is predicted to hold for this cell.
///
/// # Errors
/// [`Unconvertible`] when the column cannot hold it.
pub fn to_target(field: &FieldMapping, time_zone: Tz, cell: &Cell) -> Result<Value, Unconvertible> {
    let Some(raw) = cell.as_deref() else {
        return Ok(Value::Null);
    };
    match &field.facet {
        Facet::Text { max_length } => text_value(&field.pg_type, raw, *max_length),
        Facet::MultiLine => text_value(&field.pg_type, raw, MULTI_LINE_MAX),
        Facet::Choice { choices } => {
            if choices.iter().any(|choice| choice == raw) {
                Ok(Value::Text(raw.to_owned()))
            } else {
                Err(Unconvertible::NotAChoice)
            }
        }
        Facet::Boolean => match raw {
            "t" | "true" => Ok(Value::Bool(true)),
            "f" | "false" => Ok(Value::Bool(false)),
            _ => Err(malformed(&field.pg_type)),
        },
        Facet::Number { .. } => number_value(&field.pg_type, raw),
        Facet::DateTime => instant_value(&field.pg_type, raw),
        Facet::DateOnly => day_value(&field.pg_type, raw, time_zone),
    }
}

/// All cells of a row; the first refusal names its field.
///
/// # Errors
/// The index of the field and why its cell has no place.
pub fn row_to_target(mapping: &Mapping, cells: &[Cell]) -> Result<Vec<Value>, (usize, Unconvertible)> {
    mapping
        .fields
        .iter()
        .zip(cells)
        .enumerate()
        .map(|(at, (field, cell))| to_target(field, mapping.time_zone, cell).map_err(|e| (at, e)))
        .collect()
}

fn malformed(pg_type: &PgType) -> Unconvertible {
    Unconvertible::Malformed {
        type_name: pg_type.cast_name().to_owned(),
    }
}

fn text_value(pg_type: &PgType, raw: &str, max: u32) -> Result<Value, Unconvertible> {
    // PostgreSQL prints booleans as one letter; people read words.
    let text = match (pg_type, raw) {
        (PgType::Bool, "t") => "true",
        (PgType::Bool, "f") => "false",
        (PgType::Char { .. }, padded) => padded.trim_end_matches(' '),
        (_, raw) => raw,
    };
    // SharePoint counts UTF-16 units, as everything built on .NET does.
    let length = text.encode_utf16().count();
    if length > max as usize {
        return Err(Unconvertible::TooLong { length, max });
    }
    let refused = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.contains(refused) {
        return Err(Unconvertible::ControlCharacter);
    }
    Ok(Value::Text(text.to_owned()))
}

fn number_value(pg_type: &PgType, raw: &str) -> Result<Value, Unconvertible> {
    match pg_type {
        PgType::Int2 | PgType::Int4 | PgType::Int8 => {
            let whole: i64 = raw.parse().map_err(|_| malformed(pg_type))?;
            if whole.unsigned_abs() > crate::facet::SAFE_INTEGER.unsigned_abs() {
                return Err(Unconvertible::Imprecise);
            }
            #[allow(clippy::cast_precision_loss)]
            Ok(Value::Number(whole as f64))
        }
        PgType::Numeric { .. } | PgType::Float4 | PgType::Float8 => {
            let number: f64 = raw.parse().map_err(|_| malformed(pg_type))?;
            if !number.is_finite() {
                return Err(Unconvertible::NotFinite);
            }
            Ok(Value::Number(if number == 0.0 { 0.0 } else { number }))
        }
        other => Err(Unconvertible::Unsupported {
            type_name: other.cast_name().to_owned(),
        }),
    }
}

fn in_range(at: DateTime<Utc>) -> Result<DateTime<Utc>, Unconvertible> {
    use chrono::Datelike;
    if (1900..=8900).contains(&at.year()) {
        Ok(at)
    } else {
        Err(Unconvertible::DateRange)
    }
}

/// Texts as the session settings print them: `DateStyle = ISO, YMD`, `TimeZone = UTC`.
fn instant_value(pg_type: &PgType, raw: &str) -> Result<Value, Unconvertible> {
    let naive = match pg_type {
        PgType::TimestampTz => raw.strip_suffix("+00").unwrap_or(raw),
        PgType::Timestamp => raw,
        other => {
            return Err(Unconvertible::Unsupported {
                type_name: other.cast_name().to_owned(),
            });
        }
    };
    // `infinity`, years beyond four digits and `BC` all end here: no list column holds them.
    let at =
        NaiveDateTime::parse_from_str(naive, "%Y-%m-%d %H:%M:%S%.f").map_err(|_| Unconvertible::DateRange)?;
    let seconds = at.with_nanosecond(0).ok_or(Unconvertible::DateRange)?;
    Ok(Value::Instant(in_range(seconds.and_utc())?))
}

fn day_value(pg_type: &PgType, raw: &str, time_zone: Tz) -> Result<Value, Unconvertible> {
    if *pg_type != PgType::Date {
        return Err(Unconvertible::Unsupported {
            type_name: pg_type.cast_name().to_owned(),
        });
    }
    let day = NaiveDate::parse_from_str(raw, "%Y-%m-%d").map_err(|_| Unconvertible::DateRange)?;
    let midnight = day.and_hms_opt(0, 0, 0).ok_or(Unconvertible::DateRange)?;
    // Where clocks jump over midnight the day begins with the first hour that exists.
    let local = (0..4)
        .filter_map(|hour| {
            time_zone
                .from_local_datetime(&(midnight + chrono::TimeDelta::hours(hour)))
                .earliest()
        })
        .next()
        .ok_or(Unconvertible::DateRange)?;
    Ok(Value::Instant(in_range(local.to_utc())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Direction;

    fn field(pg_type: PgType, facet: Facet) -> FieldMapping {
        FieldMapping {
            column: "c".into(),
            pg_type,
            nullable: true,
            target: "C".into(),
            display_name: "C".into(),
            facet,
            direction: Direction::Push,
            passive: false,
            conflict: None,
            on_foreign_edit: None,
        }
    }

    fn convert(pg_type: PgType, facet: Facet, raw: &str) -> Result<String, Unconvertible> {
        to_target(
            &field(pg_type, facet),
            chrono_tz::Europe::Berlin,
            &Some(raw.into()),
        )
        .map(|v| v.to_json().to_string())
    }

    const NUMBER: Facet = Facet::Number { decimals: None };

    #[test]
    fn each_type_becomes_its_documented_form() {
        let numeric = || PgType::Numeric {
            precision: Some(14),
            scale: Some(2),
        };
        let cases = [
            (PgType::Bool, Facet::Boolean, "t", "true"),
            (PgType::Int4, NUMBER, "-7", "-7"),
            (PgType::Int8, NUMBER, "9007199254740992", "9007199254740992"),
            (numeric(), NUMBER, "1234.50", "1234.5"),
            (numeric(), NUMBER, "10.00", "10"),
            (PgType::Text, Facet::MultiLine, "a\nb", "\"a\\nb\""),
            (
                PgType::Char { length: Some(4) },
                Facet::Text { max_length: 255 },
                "ab  ",
                "\"ab\"",
            ),
            (
                PgType::TimestampTz,
                Facet::DateTime,
                "2024-02-29 12:00:00.987654+00",
                "\"2024-02-29T12:00:00Z\"",
            ),
            (
                PgType::Timestamp,
                Facet::DateTime,
                "2024-02-29 12:00:00",
                "\"2024-02-29T12:00:00Z\"",
            ),
            (
                PgType::Date,
                Facet::DateOnly,
                "2024-02-29",
                "\"2024-02-28T23:00:00Z\"",
            ),
            (
                PgType::Date,
                Facet::DateOnly,
                "2024-07-01",
                "\"2024-06-30T22:00:00Z\"",
            ),
        ];
        for (pg_type, facet, raw, expected) in cases {
            assert_eq!(
                convert(pg_type.clone(), facet, raw).as_deref(),
                Ok(expected),
                "{pg_type:?} {raw}"
            );
        }
    }

    #[test]
    fn a_value_the_list_cannot_hold_is_refused_with_its_reason() {
        let text = || Facet::Text { max_length: 3 };
        let choice = Facet::Choice {
            choices: vec!["open".into()],
        };
        let cases = [
            (PgType::Text, text(), "abcd", "value.too_long"),
            (PgType::Text, text(), "😀😀", "value.too_long"),
            (PgType::Text, text(), "a\u{1}", "value.control_character"),
            (PgType::Int8, NUMBER, "9007199254740993", "value.imprecise"),
            (PgType::Float8, NUMBER, "NaN", "value.not_finite"),
            (PgType::Float8, NUMBER, "-Infinity", "value.not_finite"),
            (
                PgType::TimestampTz,
                Facet::DateTime,
                "infinity",
                "value.date_range",
            ),
            (PgType::Date, Facet::DateOnly, "0044-03-15 BC", "value.date_range"),
            (PgType::Date, Facet::DateOnly, "1899-12-30", "value.date_range"),
            (PgType::Text, choice, "shut", "value.not_a_choice"),
            (PgType::Uuid, NUMBER, "x", "value.unsupported"),
        ];
        for (pg_type, facet, raw, code) in cases {
            assert_eq!(convert(pg_type, facet, raw).unwrap_err().code(), code, "{raw}");
        }
    }

    #[test]
    fn null_is_null_for_every_column() {
        let cell = None;
        let value = to_target(&field(PgType::Int4, NUMBER), chrono_tz::UTC, &cell).unwrap();
        assert!(value == Value::Null);
    }

    #[test]
    fn a_refusal_never_repeats_the_value() {
        let error = convert(PgType::Text, Facet::Text { max_length: 3 }, "hush-hush").unwrap_err();
        assert!(!error.to_string().contains("hush") && !error.fix().contains("hush"));
    }
}
