//! YAML (and with it JSON) as a tree in which every key and value knows its place.
//!
//! Types are not derived onto the text directly: a derived reader stops at its first complaint, while a tree
//! lets [`crate::reader`] report everything that is wrong at once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error as YamlError, Location, Spanned};

use crate::MAX_BYTES;
use crate::problem::{Position, Problem, ProblemCode};

/// Nesting allowed; the deepest document of ours needs seven levels.
const MAX_DEPTH: usize = 24;
/// Keys and values allowed in one text.
const MAX_NODES: usize = 100_000;
/// Documents allowed in one text.
const MAX_DOCUMENTS: usize = 1_000;

/// A value and where it stands. Not `Debug`: it may hold a secret.
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) body: Body,
}

/// What a [`Node`] is.
pub(crate) enum Body {
    Null,
    Flag(bool),
    Whole(i128),
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value; a mapping may hold one key twice, which the reader refuses with both places.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
}

impl Body {
    /// What it is, in a person's words and without its value.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Body::Null => "nothing",
            Body::Flag(_) => "true or false",
            Body::Whole(_) => "a whole number",
            Body::Fraction(_) => "a number",
            Body::Text(_) => "text",
            Body::List(_) => "a list",
            Body::Map(_) => "a mapping",
        }
    }
}

impl Node {
    /// The tree of stored JSON; every place is the beginning, since no text stands behind it.
    pub(crate) fn from_json(json: &Json) -> Node {
        let body = match json {
            Json::Null => Body::Null,
            Json::Bool(flag) => Body::Flag(*flag),
            Json::Number(number) => match number.as_i128() {
                Some(whole) => Body::Whole(whole),
                None => Body::Fraction(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Body::Text(text.clone()),
            Json::Array(items) => Body::List(items.iter().map(Node::from_json).collect()),
            Json::Object(entries) => Body::Map(
                entries
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_at: Position::START,
                        value: Node::from_json(value),
                    })
                    .collect(),
            ),
        };
        Node {
            at: Position::START,
            body,
        }
    }
}

/// Parses a text of one or several documents.
pub(crate) fn parse_tree(file: &str, text: &str) -> Result<Vec<Node>, Problem> {
    let problem = |position, code, message: String, help: &str| Problem {
        file: file.to_owned(),
        position,
        code,
        message,
        help: help.to_owned(),
    };
    if text.len() > MAX_BYTES {
        let message = format!("the text has {} bytes", text.len());
        return Err(problem(
            Position::START,
            ProblemCode::TooLarge,
            message,
            "split it into files of at most 1 MiB",
        ));
    }
    serde_saphyr::from_multiple_with_options::<Node>(text, options()).map_err(|error| {
        let position = error.location().map_or(Position::START, position);
        let (code, message, help) = explain(&error);
        problem(position, code, message, help)
    })
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            // Anchors and aliases let a few bytes stand for gigabytes; nothing here is long enough to need them.
            max_anchors: 0,
            max_aliases: 0,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 3 * MAX_NODES,
            max_documents: MAX_DOCUMENTS,
            max_total_scalar_bytes: MAX_BYTES,
        },
        // The reader reports a repeated key itself, with the place of the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        // A column may be called `no`, `on` or `y`, and a code may be `007`.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        reject_unsupported_tags: true,
        // A snippet of the text could show a secret.
        with_snippet: false,
    }
}

fn position(at: Location) -> Position {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Position {
        line: number(at.line()),
        column: number(at.column()),
    }
}

/// Our words for what the parser refuses. The parser's own text is used only where it names a rule of YAML.
fn explain(error: &YamlError) -> (ProblemCode, String, &'static str) {
    use serde_saphyr::budget::BudgetBreach;
    match error.without_snippet() {
        YamlError::Budget {
            breach: BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. },
            ..
        }
        | YamlError::UnknownAnchor { .. } => (
            ProblemCode::YamlFeature,
            "anchors and aliases (`&name`, `*name`) are not accepted".into(),
            "write the value out; put a text that begins with `&` or `*` in quotes",
        ),
        YamlError::MergeKeyNotAllowed { .. } => (
            ProblemCode::YamlFeature,
            "merge keys (`<<`) are not accepted".into(),
            "write the keys out",
        ),
        YamlError::UnsupportedTag { .. } => (
            ProblemCode::YamlFeature,
            "this tag (`!name`) is not accepted".into(),
            "remove it; put a text that begins with `!` in quotes",
        ),
        YamlError::Budget { .. } => too_large(),
        // The scanner has a limit of its own for brackets and no variant for it; a test holds this wording.
        YamlError::Message { msg, .. } | YamlError::ExternalMessage { msg, .. }
            if msg.contains("recursion limit") =>
        {
            too_large()
        }
        YamlError::Message { msg, .. } | YamlError::ExternalMessage { msg, .. } => (
            ProblemCode::Syntax,
            format!("this is not valid YAML: {msg}"),
            SYNTAX_HELP,
        ),
        YamlError::NullIntoString { .. } => (
            ProblemCode::Syntax,
            "a key has no name".into(),
            "write a name before the colon",
        ),
        // The remaining messages may quote a scalar, and a scalar may be a secret.
        _ => (ProblemCode::Syntax, "this is not valid YAML".into(), SYNTAX_HELP),
    }
}

fn too_large() -> (ProblemCode, String, &'static str) {
    (
        ProblemCode::TooLarge,
        "the text is longer or deeper than a configuration can be".into(),
        "at most 24 levels, 100,000 values and 1,000 documents in one text; split it into several files",
    )
}

const SYNTAX_HELP: &str = "check indentation (blanks, no tabs), quotes, and the blank after each colon";

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Body>::deserialize(deserializer)?;
        Ok(Node {
            at: position(spanned.referenced),
            body: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Body, E> {
        Ok(Body::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Body, E> {
        Ok(Body::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Body, E> {
        Ok(Body::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Body, E> {
        Ok(Body::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Body, E> {
        Ok(Body::Fraction(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Body, E> {
        Ok(Body::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Body, E> {
        Ok(Body::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Body, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Body::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value::<Node>()?;
            if entries.len() >= MAX_NODES {
                return Err(A::Error::custom("too many keys in one mapping"));
            }
            entries.push(Entry {
                key: key.value,
                key_at: position(key.referenced),
                value,
            });
        }
        Ok(Body::Map(entries))
    }
}
