//! From what a list shows to the text a source column is given, or a refusal that says why not.
//!
//! The text is as near as possible to what PostgreSQL prints for it under our session settings: where the two differ
//! the difference counts as the source's own change and travels back once, which is right for a value that the column
//! rounds and a waste for one that is only spelt otherwise. A text that the list would show in another spelling (a uuid
//! in capitals) goes as it was typed, so that the list gets that spelling back.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use crate::array_literal::{elements, literal};
use crate::canonical::Value;
use crate::convert::to_target;
use crate::facet::Facet;
use crate::identity::{Key, canonical_numeric, encode_key};
use crate::mapping::{FieldMapping, Mapping};
use crate::pg_type::PgType;
use crate::receipt::Fields;
use crate::row::Cell;

/// Why what a list shows has no place in its source column. Never carries the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The list returned a kind of value that its column never holds.
    #[error("the list shows a value of another kind than its column holds")]
    WrongKind,
    /// A number with a fraction for a column of whole numbers.
    #[error("the number has a fraction, and the source column holds whole numbers")]
    NotWhole,
    /// A number beyond what the type holds.
    #[error("the number is larger or finer than a {type_name} holds")]
    OutOfRange {
        /// The column's type.
        type_name: String,
    },
    /// A text that is no label of the enum.
    #[error("the text is not among the labels of the source column's type")]
    NotALabel,
    /// A text longer than the column takes.
    #[error("the text has {length} characters, the source column takes {max}")]
    TooLong {
        /// Characters found.
        length: usize,
        /// Characters allowed.
        max: u32,
    },
    /// A text that is no value of the type.
    #[error("the text is not a {type_name}")]
    NotOfType {
        /// The column's type.
        type_name: String,
    },
    /// A character that no text of PostgreSQL holds: U+0000.
    #[error("the text holds a character that PostgreSQL does not take")]
    Character,
}

impl Unwritable {
    /// Stable code, a page in `docs/errors/`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Unwritable::WrongKind => "pull.wrong_kind",
            Unwritable::NotWhole => "pull.not_whole",
            Unwritable::OutOfRange { .. } => "pull.out_of_range",
            Unwritable::NotALabel => "pull.not_a_label",
            Unwritable::TooLong { .. } => "pull.too_long",
            Unwritable::NotOfType { .. } => "pull.not_of_type",
            Unwritable::Character => "pull.character",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Unwritable::WrongKind => {
                "apply the definition again: somebody changed the kind of the list column"
            }
            Unwritable::NotWhole => {
                "enter a whole number in the list, or let the source column hold decimals"
            }
            Unwritable::OutOfRange { .. } => {
                "enter a number that the source column holds, or widen the column"
            }
            Unwritable::NotALabel => {
                "choose one of the type's labels in the list, or add the label in the source: `ALTER TYPE … ADD VALUE`"
            }
            Unwritable::TooLong { .. } => "shorten the text in the list, or widen the source column",
            Unwritable::NotOfType { .. } => {
                "correct the text in the list: write it as the source prints such values (docs/types.md)"
            }
            Unwritable::Character => "remove the character in the list",
        }
    }
}

/// The text that the source column is to be given for what a list shows; `None` is NULL.
///
/// A list keeps no difference between an empty text and nothing: a cleared cell becomes NULL, and an empty text (or an
/// empty array) only where the column takes no NULL.
///
/// # Errors
/// [`Unwritable`] where the column cannot hold it, as far as can be told without asking PostgreSQL.
pub fn to_source(field: &FieldMapping, time_zone: Tz, shown: &Json) -> Result<Cell, Unwritable> {
    let value = Value::from_json(&field.facet, shown).map_err(|_| Unwritable::WrongKind)?;
    if value.is_blank() {
        return Ok(nothing(field));
    }
    let pg_type = &field.pg_type;
    let text = match value {
        Value::Null => return Ok(nothing(field)),
        Value::Bool(true) => "true".to_owned(),
        Value::Bool(false) => "false".to_owned(),
        Value::Number(number) => number_text(pg_type, number)?,
        Value::Text(text) => {
            let printed = text_text(pg_type, &text)?;
            // Where the list would show it otherwise than it was typed, it goes as it was typed: PostgreSQL then
            // answers with its own spelling, which counts as the source's change and goes to the list.
            match to_target(field, time_zone, &Some(printed.as_str().into())) {
                Ok(Value::Text(back)) if back == text => printed,
                _ => text,
            }
        }
        Value::Texts(texts) => labels_text(pg_type, &texts)?,
        Value::Instant(at) if field.facet == Facet::DateOnly => {
            at.with_timezone(&time_zone).format("%Y-%m-%d").to_string()
        }
        Value::Instant(at) => instant_text(pg_type, at),
    };
    Ok(Some(text.into()))
}

fn nothing(field: &FieldMapping) -> Cell {
    match &field.pg_type {
        PgType::Text | PgType::Varchar { .. } if !field.nullable => Some("".into()),
        PgType::Char { length } if !field.nullable => Some(padded("", *length).into()),
        PgType::Array { .. } if !field.nullable => Some("{}".into()),
        _ => None,
    }
}

fn number_text(pg_type: &PgType, number: f64) -> Result<String, Unwritable> {
    match pg_type {
        PgType::Int2 => whole(pg_type, number, f64::from(i16::MIN), f64::from(i16::MAX)),
        PgType::Int4 => whole(pg_type, number, f64::from(i32::MIN), f64::from(i32::MAX)),
        // The largest double below 2^63: the bound itself is no bigint.
        PgType::Int8 => whole(
            pg_type,
            number,
            -9.223_372_036_854_776e18,
            9.223_372_036_854_774e18,
        ),
        PgType::Numeric { precision, scale } => {
            let digits = precision.map(|digits| i32::from(digits) - i32::from(scale.unwrap_or(0)));
            match digits {
                Some(digits) if number.abs() >= 10f64.powi(digits) => Err(out_of_range(pg_type)),
                _ => Ok(with_scale(&number.to_string(), *scale)),
            }
        }
        PgType::Money => Ok(with_scale(&number.to_string(), Some(2))),
        PgType::Float4 if !fits_real(number) => Err(out_of_range(pg_type)),
        PgType::Float4 => Ok(float_text(number, 6)),
        PgType::Float8 => Ok(float_text(number, 15)),
        _ => Ok(number.to_string()),
    }
}

fn out_of_range(pg_type: &PgType) -> Unwritable {
    Unwritable::OutOfRange {
        type_name: pg_type.cast_name().to_owned(),
    }
}

/// Whether a `real` takes the number: PostgreSQL refuses one that would become an infinity or nothing.
#[allow(clippy::cast_possible_truncation, reason = "to see what is lost")]
fn fits_real(number: f64) -> bool {
    let narrow = number as f32;
    narrow.is_finite() && (narrow != 0.0 || number == 0.0)
}

fn whole(pg_type: &PgType, number: f64, least: f64, most: f64) -> Result<String, Unwritable> {
    if number.fract() != 0.0 {
        return Err(Unwritable::NotWhole);
    }
    if !(least..=most).contains(&number) {
        return Err(out_of_range(pg_type));
    }
    // `Display` writes a whole double without a point and never with an exponent.
    Ok(number.to_string())
}

/// Zeros up to the column's scale, as PostgreSQL prints them; more digits than that are PostgreSQL's to round.
fn with_scale(digits: &str, scale: Option<i16>) -> String {
    let scale = scale.and_then(|scale| usize::try_from(scale).ok()).unwrap_or(0);
    let behind = digits.split_once('.').map_or(0, |(_, behind)| behind.len());
    if behind >= scale {
        return digits.to_owned();
    }
    let point = if behind == 0 { "." } else { "" };
    format!("{digits}{point}{}", "0".repeat(scale - behind))
}

/// The shortest digits that read back, with an exponent where PostgreSQL writes one: from so many digits on.
fn float_text(number: f64, digits_without: i32) -> String {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..digits_without).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// The text that PostgreSQL prints for what was typed, as far as it is known; otherwise the text itself.
fn text_text(pg_type: &PgType, text: &str) -> Result<String, Unwritable> {
    let not_of_type = || Unwritable::NotOfType {
        type_name: pg_type.cast_name().to_owned(),
    };
    if text.contains('\0') {
        return Err(Unwritable::Character);
    }
    let fits = |max: Option<u32>| match max {
        // PostgreSQL counts characters.
        Some(max) if text.chars().count() > max as usize => Err(Unwritable::TooLong {
            length: text.chars().count(),
            max,
        }),
        _ => Ok(()),
    };
    let trimmed = text.trim();
    let if_so = |is: bool| is.then(|| text.to_owned()).ok_or_else(not_of_type);
    match pg_type {
        PgType::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" => Ok("true".into()),
            "false" | "f" | "no" => Ok("false".into()),
            _ => Err(not_of_type()),
        },
        PgType::Varchar { length } => fits(*length).map(|()| text.to_owned()),
        PgType::Char { length } => fits(*length).map(|()| padded(text, *length)),
        PgType::Uuid => uuid::Uuid::try_parse(trimmed)
            .map(|uuid| uuid.hyphenated().to_string())
            .map_err(|_| not_of_type()),
        PgType::Enum { labels, .. } if !labels.iter().any(|label| label == text) => {
            Err(Unwritable::NotALabel)
        }
        PgType::Int2 => whole_text::<i16>(pg_type, trimmed),
        PgType::Int4 => whole_text::<i32>(pg_type, trimmed),
        PgType::Int8 => whole_text::<i64>(pg_type, trimmed),
        PgType::Numeric { scale, .. } => canonical_numeric(trimmed)
            .map(|digits| match digits.ends_with(|c: char| c.is_ascii_digit()) {
                true => with_scale(trimmed, *scale),
                false => digits,
            })
            .ok_or_else(not_of_type),
        PgType::Money => canonical_numeric(trimmed)
            .filter(|digits| digits.ends_with(|c: char| c.is_ascii_digit()))
            .map(|_| with_scale(trimmed, Some(2)))
            .ok_or_else(not_of_type),
        // `inf`, `NaN` and exponents are numbers to both.
        PgType::Float4 | PgType::Float8 => if_so(trimmed.parse::<f64>().is_ok()),
        // PostgreSQL would take `tomorrow` for a day, and guess which part of 01.02.03 is the year.
        PgType::Date => if_so(is_day(trimmed)),
        PgType::Timestamp => if_so(is_moment(trimmed)),
        PgType::TimestampTz => if_so(is_instant(trimmed)),
        PgType::Other { name } => match name.as_str() {
            "time without time zone" => if_so(is_time(trimmed)),
            // What does not begin like this is taken for the bytes of the text.
            "bytea" => if_so(is_hexadecimal(trimmed)),
            "json" | "jsonb" => if_so(serde_json::from_str::<IgnoredAny>(trimmed).is_ok()),
            _ => Ok(text.to_owned()),
        },
        PgType::Text | PgType::Enum { .. } | PgType::Array { .. } => Ok(text.to_owned()),
    }
}

/// Blanks up to the length of a `char(n)`.
fn padded(text: &str, length: Option<u32>) -> String {
    let width = length.map_or(1, |length| length as usize);
    format!("{text:width$}")
}

fn whole_text<T: std::str::FromStr + ToString>(pg_type: &PgType, text: &str) -> Result<String, Unwritable> {
    if let Ok(number) = text.parse::<T>() {
        return Ok(number.to_string());
    }
    Err(match canonical_numeric(text.strip_prefix('+').unwrap_or(text)) {
        Some(digits) if digits.contains('.') => Unwritable::NotWhole,
        Some(digits) if digits.ends_with(|c: char| c.is_ascii_digit()) => out_of_range(pg_type),
        _ => Unwritable::NotOfType {
            type_name: pg_type.cast_name().to_owned(),
        },
    })
}

/// What stands for no day that a clock shows.
fn is_endless(text: &str) -> bool {
    matches!(text, "infinity" | "-infinity")
}

fn is_day(text: &str) -> bool {
    let day = text.strip_suffix(" BC").unwrap_or(text);
    is_endless(text) || NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok()
}

fn is_moment(text: &str) -> bool {
    let spelt = text.strip_suffix(" BC").unwrap_or(text).replacen('T', " ", 1);
    let shapes = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let fits = |shape: &&str| NaiveDateTime::parse_from_str(&spelt, shape).is_ok();
    is_endless(text) || shapes.iter().any(fits)
}

/// Without a zone the sessions' own holds, which is UTC, as it is shown.
fn is_instant(text: &str) -> bool {
    let spelt = text.strip_suffix(" BC").unwrap_or(text);
    let naive = spelt.strip_suffix('Z').unwrap_or_else(|| {
        let zone = spelt.rfind(['+', '-']).filter(|at| *at > 10);
        let is_zone =
            |zone: &str| zone.len() >= 3 && zone[1..].bytes().all(|b| b.is_ascii_digit() || b == b':');
        match zone {
            Some(at) if is_zone(&spelt[at..]) => spelt[..at].trim_end(),
            _ => spelt,
        }
    });
    is_moment(naive)
}

fn is_time(text: &str) -> bool {
    text == "24:00:00"
        || ["%H:%M:%S%.f", "%H:%M"]
            .iter()
            .any(|shape| NaiveTime::parse_from_str(text, shape).is_ok())
}

fn is_hexadecimal(text: &str) -> bool {
    text.strip_prefix("\\x")
        .is_some_and(|digits| digits.len() % 2 == 0 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn labels_text(pg_type: &PgType, texts: &[String]) -> Result<String, Unwritable> {
    let labels = pg_type.labels();
    if !labels.is_empty() && texts.iter().any(|text| !labels.contains(text)) {
        return Err(Unwritable::NotALabel);
    }
    Ok(literal(texts.iter().map(String::as_str)))
}

fn instant_text(pg_type: &PgType, at: DateTime<Utc>) -> String {
    let zone = if *pg_type == PgType::TimestampTz {
        "+00"
    } else {
        ""
    };
    let fraction = at.timestamp_subsec_micros();
    let fraction = match fraction {
        0 => String::new(),
        micros => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    };
    format!("{}{fraction}{zone}", at.format("%Y-%m-%d %H:%M:%S"))
}

/// Whether what the source holds now survives the way to the list and back, so that a person who edits it in the list
/// sees all of it. What reads as nothing has nothing to lose.
#[must_use]
pub fn survives(field: &FieldMapping, time_zone: Tz, cell: &Cell) -> bool {
    let Ok(value) = to_target(field, time_zone, cell) else {
        return false;
    };
    if value.is_blank() {
        return true;
    }
    match (to_source(field, time_zone, &value.to_json()), cell) {
        (Ok(Some(back)), Some(held)) => same_to_source(&field.pg_type, &back, held),
        _ => false,
    }
}

/// Whether two texts are one value of a type, as far as spelling differs without meaning.
#[allow(
    clippy::float_cmp,
    reason = "PostgreSQL compares so: −0 and 0 are equal to it, and NaN reaches no list"
)]
fn same_to_source(pg_type: &PgType, a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match pg_type {
        // The output function writes one letter, a cast to text a word.
        PgType::Bool => a.starts_with('t') == b.starts_with('t'),
        PgType::Numeric { .. } | PgType::Money => {
            let (a, b) = (canonical_numeric(a), canonical_numeric(b));
            a.is_some() && a == b
        }
        PgType::Float4 => {
            matches!((a.parse::<f32>(), b.parse::<f32>()), (Ok(a), Ok(b)) if a == b)
        }
        PgType::Float8 => {
            matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
        }
        PgType::Char { .. } => a.trim_end_matches(' ') == b.trim_end_matches(' '),
        // The order and repetition of choices means something in an array: a list keeps neither.
        PgType::Array { .. } => matches!((elements(a), elements(b)), (Ok(a), Ok(b)) if a == b),
        _ => false,
    }
}

/// The key that the row of an item would have; `None` where a key column is not mapped, is blank, or holds what may
/// become another key in the source: then only the source can tell.
#[must_use]
pub fn key_of_item(mapping: &Mapping, time_zone: Tz, fields: &Fields) -> Option<Key> {
    let mut raw = Vec::with_capacity(mapping.key.len());
    for column in &mapping.key {
        let field = mapping.fields.iter().find(|field| field.column == column.name)?;
        let shown = fields.get(&field.target)?;
        let cell = to_source(field, time_zone, shown).ok()??;
        raw.push(key_text(&field.pg_type, &cell)?);
    }
    let texts: Vec<Option<&str>> = raw.iter().map(|text| Some(text.as_str())).collect();
    encode_key(&mapping.key, &texts).ok()
}

/// The text that PostgreSQL would print for a key value that is given this text, where that is certain.
fn key_text(pg_type: &PgType, text: &str) -> Option<String> {
    let trimmed = text.trim();
    let certain = match pg_type {
        PgType::Text | PgType::Varchar { .. } | PgType::Char { .. } | PgType::Enum { .. } => {
            return (!trimmed.is_empty()).then(|| text.to_owned());
        }
        PgType::Numeric { scale, .. } => {
            let digits = canonical_numeric(trimmed)?;
            let behind = digits.split_once('.').map_or(0, |(_, behind)| behind.len());
            // With more digits than it keeps, or a scale that rounds whole ones, the column makes another number of it.
            scale.is_none_or(|scale| usize::try_from(scale).is_ok_and(|scale| behind <= scale))
        }
        PgType::Float4 => {
            let number: f64 = trimmed.parse().ok()?;
            let narrow: f32 = trimmed.parse().ok()?;
            // The shortest decimal of the `real` is this very number.
            narrow.to_string().parse() == Ok(number)
        }
        PgType::Bool | PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Float8 | PgType::Uuid => true,
        PgType::Date => is_printed(trimmed, |text| {
            let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            Some(day.format("%Y-%m-%d").to_string())
        }),
        PgType::Timestamp | PgType::TimestampTz => is_printed(trimmed, |text| {
            let naive = text.strip_suffix("+00").unwrap_or(text);
            let at = NaiveDateTime::parse_from_str(naive, "%Y-%m-%d %H:%M:%S%.f").ok()?;
            Some(instant_text(pg_type, at.and_utc()))
        }),
        PgType::Money | PgType::Array { .. } | PgType::Other { .. } => false,
    };
    certain.then(|| trimmed.to_owned())
}

fn is_printed(text: &str, print: impl Fn(&str) -> Option<String>) -> bool {
    print(text).is_some_and(|printed| printed == text)
}

#[cfg(test)]
#[path = "convert_back_tests.rs"]
mod tests;
