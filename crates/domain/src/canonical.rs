//! The canonical form of a cell: the value a list column is predicted to hold, in which the two sides can be compared.
//!
//! `≡` (equality of [`Value`]s) serves adoption, verification, pre-flight and skipping writes that would
//! change nothing. It never decides *who* changed something; that is the business of the hashes in
//! [`crate::agreed`].

use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::facet::Facet;

/// A cell as a list column holds it.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Nothing; Graph leaves the key out.
    Null,
    /// A boolean column.
    Bool(bool),
    /// A number column: always an IEEE double; never NaN or infinite, zero is positive.
    Number(f64),
    /// Any text column, and the chosen text of a choice column.
    Text(String),
    /// The chosen texts of a multi-choice column: without repetition, in the order of the column's choices.
    Texts(Vec<String>),
    /// A date column: second precision, UTC. For date-only columns the site-local midnight.
    Instant(DateTime<Utc>),
}

impl std::fmt::Debug for Value {
    // Values never reach a log or an error; tests that need to see one compare it instead.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Value::Null => "Null",
            Value::Bool(_) => "Bool(…)",
            Value::Number(_) => "Number(…)",
            Value::Text(_) => "Text(…)",
            Value::Texts(_) => "Texts(…)",
            Value::Instant(_) => "Instant(…)",
        })
    }
}

/// A list returned something its column cannot hold by our knowledge of it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the list returned a {found} where a {expected} column was expected")]
pub struct NotCanonical {
    /// Kind of JSON value found.
    pub found: &'static str,
    /// Kind of column.
    pub expected: &'static str,
}

impl Value {
    /// The JSON to send for this value.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Number(n) => number_json(*n),
            Value::Text(text) => Json::String(text.clone()),
            Value::Texts(texts) => texts.iter().cloned().map(Json::String).collect(),
            Value::Instant(at) => Json::String(at.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        }
    }

    /// Reads what a list returned for a column of this kind.
    ///
    /// # Errors
    /// [`NotCanonical`] when the JSON is of a kind such a column never returns.
    pub fn from_json(facet: &Facet, json: &Json) -> Result<Self, NotCanonical> {
        let refuse = |expected| NotCanonical {
            found: kind_of(json),
            expected,
        };
        match (facet, json) {
            (_, Json::Null) => Ok(Value::Null),
            (Facet::Boolean, Json::Bool(b)) => Ok(Value::Bool(*b)),
            (Facet::Boolean, _) => Err(refuse("boolean")),
            (Facet::Number { .. }, Json::Number(n)) => match n.as_f64() {
                Some(double) => Ok(Value::Number(if double == 0.0 { 0.0 } else { double })),
                None => Err(refuse("number")),
            },
            (Facet::Number { .. }, _) => Err(refuse("number")),
            (Facet::Text { .. } | Facet::MultiLine | Facet::Choice { .. }, Json::String(text)) => {
                Ok(Value::Text(text.clone()))
            }
            (Facet::Text { .. } | Facet::MultiLine | Facet::Choice { .. }, _) => Err(refuse("text")),
            (Facet::MultiChoice { .. }, Json::Array(texts)) => texts
                .iter()
                .map(|text| text.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .map(Value::Texts)
                .ok_or_else(|| refuse("list of texts")),
            (Facet::MultiChoice { .. }, _) => Err(refuse("list of texts")),
            (Facet::DateTime | Facet::DateOnly, Json::String(text)) => DateTime::parse_from_rfc3339(text)
                .map(|at| Value::Instant(at.to_utc()))
                .map_err(|_| refuse("date")),
            (Facet::DateTime | Facet::DateOnly, _) => Err(refuse("date")),
        }
    }

    /// Whether the two are one value to a reader of the list.
    ///
    /// Empty text, no choice and nothing are one: a list keeps no difference between them. The order of several
    /// choices means nothing.
    #[must_use]
    pub fn equivalent(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Texts(ours), Value::Texts(theirs)) => {
                let within = |a: &[String], b: &[String]| a.iter().all(|text| b.contains(text));
                within(ours, theirs) && within(theirs, ours)
            }
            _ => self == other || (self.is_blank() && other.is_blank()),
        }
    }

    /// Whether a reader of the list sees nothing.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
            Value::Texts(texts) => texts.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::Instant(_) => false,
        }
    }
}

/// Whole numbers are sent without a point, as people and other clients write them.
fn number_json(number: f64) -> Json {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    if number.fract() == 0.0 && number.abs() <= crate::facet::SAFE_INTEGER as f64 {
        return Json::from(number as i64);
    }
    Json::from(number)
}

fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "text",
        Json::Array(_) => "list",
        Json::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_of_another_kind_than_its_column_is_refused() {
        let error = Value::from_json(&Facet::Boolean, &json!("yes")).unwrap_err();
        assert_eq!(
            error,
            NotCanonical {
                found: "text",
                expected: "boolean"
            }
        );
        assert!(Value::from_json(&Facet::DateTime, &json!("tomorrow")).is_err());
    }

    #[test]
    fn what_a_reader_cannot_tell_apart_is_equal() {
        let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
        assert!(Value::Null.equivalent(&Value::Text(String::new())));
        assert!(Value::Null.equivalent(&texts(&[])));
        assert!(texts(&["a", "b"]).equivalent(&texts(&["b", "a"])));
        assert!(!texts(&["a", "b"]).equivalent(&texts(&["a"])));
        assert!(!texts(&["a"]).equivalent(&texts(&["a", "b"])));
        assert!(!texts(&["a"]).equivalent(&Value::Text("a".into())));
        assert!(!Value::Null.equivalent(&Value::Text(" ".into())));
        assert!(!Value::Null.equivalent(&Value::Bool(false)));
    }

    #[test]
    fn a_debug_print_shows_no_value() {
        assert_eq!(format!("{:?}", Value::Text("secret".into())), "Text(…)");
    }

    proptest! {
        #[test]
        fn numbers_survive_the_way_out_and_back(n in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            let value = Value::Number(if n == 0.0 { 0.0 } else { n });
            let back = Value::from_json(&Facet::Number { decimals: None }, &value.to_json()).unwrap();
            prop_assert!(back == value);
        }

        #[test]
        fn texts_survive_the_way_out_and_back(text in ".*") {
            let value = Value::Text(text);
            prop_assert!(Value::from_json(&Facet::MultiLine, &value.to_json()).unwrap() == value);
        }
    }
}
