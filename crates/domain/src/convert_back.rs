//! From what a list shows to the text a source column is given, or a refusal that says why not.
//!
//! The text is as near as possible to what PostgreSQL prints for it under our session settings: where the two differ
//! the difference counts as the source's own change and travels back once, which is right for a value that the column
//! rounds and a waste for one that is only spelt otherwise.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
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
    #[error("the number is larger than a {type_name} holds")]
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
            Unwritable::OutOfRange { .. } => "enter a smaller number in the list, or widen the source column",
            Unwritable::NotALabel => {
                "choose one of the type's labels in the list, or add the label in the source: `ALTER TYPE … ADD VALUE`"
            }
            Unwritable::TooLong { .. } => "shorten the text in the list, or widen the source column",
            Unwritable::NotOfType { .. } => "correct the text in the list",
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
        Value::Text(text) => text_text(pg_type, text)?,
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
            -9.223_372_036_854_775_8e18,
            9.223_372_036_854_774e18,
        ),
        PgType::Numeric { scale, .. } => Ok(with_scale(&number.to_string(), *scale)),
        PgType::Money => Ok(with_scale(&number.to_string(), Some(2))),
        PgType::Float4 | PgType::Float8 => Ok(float_text(number)),
        _ => Ok(number.to_string()),
    }
}

fn whole(pg_type: &PgType, number: f64, least: f64, most: f64) -> Result<String, Unwritable> {
    if number.fract() != 0.0 {
        return Err(Unwritable::NotWhole);
    }
    if !(least..=most).contains(&number) {
        return Err(Unwritable::OutOfRange {
            type_name: pg_type.cast_name().to_owned(),
        });
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

/// The shortest digits that read back, with an exponent where PostgreSQL writes one.
fn float_text(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..15).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

fn text_text(pg_type: &PgType, text: String) -> Result<String, Unwritable> {
    let not_of_type = || Unwritable::NotOfType {
        type_name: pg_type.cast_name().to_owned(),
    };
    let fits = |max: Option<u32>| match max {
        // PostgreSQL counts characters.
        Some(max) if text.chars().count() > max as usize => Err(Unwritable::TooLong {
            length: text.chars().count(),
            max,
        }),
        _ => Ok(()),
    };
    match pg_type {
        PgType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" => Ok("true".into()),
            "false" | "f" | "no" => Ok("false".into()),
            _ => Err(not_of_type()),
        },
        PgType::Varchar { length } => fits(*length).map(|()| text),
        PgType::Char { length } => {
            fits(*length)?;
            let width = length.map_or(1, |length| length as usize);
            Ok(format!("{text:width$}"))
        }
        PgType::Uuid => uuid::Uuid::try_parse(text.trim())
            .map(|uuid| uuid.hyphenated().to_string())
            .map_err(|_| not_of_type()),
        PgType::Enum { labels, .. } if !labels.contains(&text) => Err(Unwritable::NotALabel),
        PgType::Int2 | PgType::Int4 | PgType::Int8 => match text.trim().parse::<i64>() {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err(not_of_type()),
        },
        _ => Ok(text),
    }
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
            matches!((a.parse::<f32>(), b.parse::<f32>()), (Ok(a), Ok(b)) if a.to_bits() == b.to_bits())
        }
        PgType::Float8 => {
            matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a.to_bits() == b.to_bits())
        }
        PgType::Char { .. } => a.trim_end_matches(' ') == b.trim_end_matches(' '),
        // The order and repetition of choices means something in an array: a list keeps neither.
        PgType::Array { .. } => matches!((elements(a), elements(b)), (Ok(a), Ok(b)) if a == b),
        _ => false,
    }
}

/// The key that the row of an item would have; `None` where a key column is not mapped, is blank, or holds what is no
/// key value: the source is to choose it then.
#[must_use]
pub fn key_of_item(mapping: &Mapping, time_zone: Tz, fields: &Fields) -> Option<Key> {
    let mut raw = Vec::with_capacity(mapping.key.len());
    for column in &mapping.key {
        let field = mapping.fields.iter().find(|field| field.column == column.name)?;
        let shown = fields.get(&field.target)?;
        let cell = to_source(field, time_zone, shown).ok()??;
        if cell.is_empty() {
            return None;
        }
        raw.push(cell);
    }
    let texts: Vec<Option<&str>> = raw.iter().map(|cell| Some(cell.as_ref())).collect();
    encode_key(&mapping.key, &texts).ok()
}

#[cfg(test)]
#[path = "convert_back_tests.rs"]
mod tests;
