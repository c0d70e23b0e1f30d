//! From a source cell to the value a list column will hold, or a refusal that says why not.
//!
//! Losses that a person may accept (sub-seconds, digits a double cannot hold in a column that was declared as
//! number) happen here and nowhere else; a value the list would refuse is refused here first, so that it costs
//! no request and the message can name column and remedy.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike, Utc};
use chrono_tz::Tz;

use crate::array_literal::{NotAList, elements};
use crate::canonical::Value;
use crate::facet::{Facet, MULTI_LINE_MAX, SAFE_INTEGER};
use crate::identity::canonical_numeric;
use crate::mapping::{FieldMapping, Mapping};
use crate::pg_type::PgType;
use crate::row::Cell;
use crate::wall_clock::{self, Twice};

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
    /// A number that a double would change.
    #[error("the number has more digits than a number column keeps, and would change in it")]
    Imprecise,
    /// An array that is no plain list of texts.
    #[error("the array is nested or holds NULL; a multi-choice column holds a plain list")]
    ArrayShape,
    /// Infinity, a year outside 1900–8900, or a text that is no date.
    #[error("the date is outside what a list column holds (1900 to 8900)")]
    DateRange,
    /// A character that XML, in which lists are kept, does not have: control characters but tab and line breaks,
    /// and U+FFFE, U+FFFF.
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
            Unconvertible::ArrayShape => "value.array_shape",
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
            Unconvertible::ArrayShape => {
                "correct the array in the source, or map the column to multi-line text, which keeps every array"
            }
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
/// A list keeps no difference between an empty text and nothing, so an empty text becomes [`Value::Null`]; the
/// agreed hashes of the source side still tell the two apart.
///
/// # Errors
/// [`Unconvertible`] when the column cannot hold it.
pub fn to_target(field: &FieldMapping, time_zone: Tz, cell: &Cell) -> Result<Value, Unconvertible> {
    let Some(raw) = cell.as_deref() else {
        return Ok(nothing(&field.facet));
    };
    let pg_type = &field.pg_type;
    match &field.facet {
        Facet::Text { max_length } => text_value(pg_type, raw, *max_length),
        Facet::MultiLine => text_value(pg_type, raw, MULTI_LINE_MAX),
        Facet::Choice { choices } => match text_form(pg_type, raw) {
            text if text.is_empty() => Ok(Value::Null),
            text if choices.iter().any(|choice| *choice == text) => Ok(Value::Text(text.into_owned())),
            _ => Err(Unconvertible::NotAChoice),
        },
        Facet::MultiChoice { choices } => choices_value(pg_type, raw, choices),
        Facet::Boolean => match raw {
            "t" | "true" => Ok(Value::Bool(true)),
            "f" | "false" => Ok(Value::Bool(false)),
            _ => Err(malformed(pg_type)),
        },
        Facet::Number { .. } => number_value(pg_type, raw),
        Facet::DateTime => instant_value(pg_type, raw),
        Facet::DateOnly => day_value(pg_type, raw, time_zone),
    }
}

/// NULL in a column of this kind: several choices are cleared by an empty list, everything else by null
/// (contract §7).
fn nothing(facet: &Facet) -> Value {
    match facet {
        Facet::MultiChoice { .. } => Value::Texts(Vec::new()),
        _ => Value::Null,
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

/// The text that people read for a cell.
fn text_form<'a>(pg_type: &PgType, raw: &'a str) -> Cow<'a, str> {
    match (pg_type, raw) {
        // PostgreSQL prints booleans as one letter; people read words.
        (PgType::Bool, "t") => Cow::Borrowed("true"),
        (PgType::Bool, "f") => Cow::Borrowed("false"),
        // Blanks at the end of a char(n) mean nothing in PostgreSQL.
        (PgType::Char { .. }, padded) => Cow::Borrowed(padded.trim_end_matches(' ')),
        (_, raw) => Cow::Borrowed(raw),
    }
}

/// Whether XML, in which lists are kept, has no such character.
pub(crate) fn refused_character(c: char) -> bool {
    (c < ' ' && !matches!(c, '\n' | '\r' | '\t')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn text_value(pg_type: &PgType, raw: &str, max: u32) -> Result<Value, Unconvertible> {
    let text = text_form(pg_type, raw);
    if text.is_empty() {
        return Ok(Value::Null);
    }
    // SharePoint counts UTF-16 units, as everything built on .NET does.
    let length = text.encode_utf16().count();
    if length > max as usize {
        return Err(Unconvertible::TooLong { length, max });
    }
    if text.contains(refused_character) {
        return Err(Unconvertible::ControlCharacter);
    }
    Ok(Value::Text(text.into_owned()))
}

fn choices_value(pg_type: &PgType, raw: &str, choices: &[String]) -> Result<Value, Unconvertible> {
    let PgType::Array { element, .. } = pg_type else {
        return Err(unsupported(pg_type));
    };
    let found = elements(raw).map_err(|reason| match reason {
        NotAList::Nested => Unconvertible::ArrayShape,
        NotAList::Malformed => malformed(pg_type),
    })?;
    let mut chosen = vec![false; choices.len()];
    for text in &found {
        let text = text.as_deref().ok_or(Unconvertible::ArrayShape)?;
        let text = text_form(element, text);
        let at = choices.iter().position(|choice| *choice == text);
        chosen[at.ok_or(Unconvertible::NotAChoice)?] = true;
    }
    let texts = choices
        .iter()
        .zip(chosen)
        .filter(|(_, is)| *is)
        .map(|(choice, _)| choice.clone())
        .collect();
    Ok(Value::Texts(texts))
}

fn number_value(pg_type: &PgType, raw: &str) -> Result<Value, Unconvertible> {
    match pg_type {
        PgType::Int2 | PgType::Int4 | PgType::Int8 => {
            let whole: i64 = raw.parse().map_err(|_| malformed(pg_type))?;
            if whole.unsigned_abs() > SAFE_INTEGER.unsigned_abs() {
                return Err(Unconvertible::Imprecise);
            }
            #[allow(clippy::cast_precision_loss)]
            Ok(Value::Number(whole as f64))
        }
        PgType::Numeric { .. } | PgType::Money | PgType::Float4 | PgType::Float8 => {
            let number: f64 = raw.parse().map_err(|_| malformed(pg_type))?;
            if !number.is_finite() {
                // A text that ends in a digit is a number, only too large for a double.
                return Err(match raw.ends_with(|c: char| c.is_ascii_digit()) {
                    true => Unconvertible::Imprecise,
                    false => Unconvertible::NotFinite,
                });
            }
            if matches!(pg_type, PgType::Numeric { .. } | PgType::Money) && !keeps_digits(raw, number) {
                return Err(Unconvertible::Imprecise);
            }
            Ok(Value::Number(if number == 0.0 { 0.0 } else { number }))
        }
        other => Err(unsupported(other)),
    }
}

/// Whether the double shows the very digits of the decimal. Fifteen significant ones always survive.
fn keeps_digits(raw: &str, number: f64) -> bool {
    if raw.len() <= 15 {
        return true;
    }
    // `Display` writes the fewest digits that read back as this double, and never an exponent.
    canonical_numeric(raw) == canonical_numeric(&number.to_string())
}

fn unsupported(pg_type: &PgType) -> Unconvertible {
    Unconvertible::Unsupported {
        type_name: pg_type.cast_name().to_owned(),
    }
}

/// Whether a list column holds dates of this year (contract §7 gives no bound; SharePoint's own is this).
fn in_range(year: i32) -> Result<(), Unconvertible> {
    if (1900..=8900).contains(&year) {
        Ok(())
    } else {
        Err(Unconvertible::DateRange)
    }
}

/// Texts as the session settings print them: `DateStyle = ISO, YMD`, `TimeZone = UTC`.
fn instant_value(pg_type: &PgType, raw: &str) -> Result<Value, Unconvertible> {
    let naive = match pg_type {
        PgType::TimestampTz => raw.strip_suffix("+00").unwrap_or(raw),
        PgType::Timestamp => raw,
        other => return Err(unsupported(other)),
    };
    // `infinity`, years beyond four digits and `BC` all end here: no list column holds them.
    let at =
        NaiveDateTime::parse_from_str(naive, "%Y-%m-%d %H:%M:%S%.f").map_err(|_| Unconvertible::DateRange)?;
    let seconds = at.with_nanosecond(0).ok_or(Unconvertible::DateRange)?;
    in_range(seconds.year())?;
    Ok(Value::Instant(seconds.and_utc()))
}

fn day_value(pg_type: &PgType, raw: &str, time_zone: Tz) -> Result<Value, Unconvertible> {
    if *pg_type != PgType::Date {
        return Err(unsupported(pg_type));
    }
    let day = NaiveDate::parse_from_str(raw, "%Y-%m-%d").map_err(|_| Unconvertible::DateRange)?;
    in_range(day.year())?;
    begin_of_day(day, time_zone)
        .map(Value::Instant)
        .ok_or(Unconvertible::DateRange)
}

/// The instant at which a day begins in a zone; where clocks jump over midnight, the first one behind the jump.
/// `None` for a day that a zone left out when it crossed the date line.
#[must_use]
pub fn begin_of_day(day: NaiveDate, time_zone: Tz) -> Option<DateTime<Utc>> {
    let begins = wall_clock::instant(time_zone, day.and_hms_opt(0, 0, 0)?, Twice::First)?;
    (wall_clock::shown(time_zone, begins).date() == day).then_some(begins)
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
