//! Where a secret comes from.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};

use crate::problem::ProblemCode;
use crate::reader::{Reader, Slot};

/// Variables that a document may name begin so; no other variable of the server can be read through one.
pub const SECRET_VARIABLE_PREFIX: &str = "SYNCBRIDGE_SECRET_";

/// Most characters of a secret written into a document.
const MAX_SECRET: usize = 8_192;

/// A secret or the place it is kept. Written out ([`SecretRef::to_json`], `Debug`) it never shows a value.
#[derive(Clone)]
pub enum SecretRef {
    /// An environment variable of the server, its name beginning with [`SECRET_VARIABLE_PREFIX`].
    Env(String),
    /// A file in the server's one folder for secrets, by its bare name.
    File(String),
    /// The secret itself, to be sealed on arrival and never shown again.
    Value(SecretString),
    /// The secret that the server already holds for this document. This is what an export shows for a value,
    /// so that applying the export changes nothing.
    Stored,
}

impl SecretRef {
    /// The form in which it is stored, compared and exported: a value appears as `{stored: true}`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            SecretRef::Env(name) => json!({ "env": name }),
            SecretRef::File(name) => json!({ "file": name }),
            SecretRef::Value(_) | SecretRef::Stored => json!({ "stored": true }),
        }
    }

    pub(crate) fn read(reader: &mut Reader, slot: &Slot<'_>) -> Option<Self> {
        const HELP: &str =
            "write exactly one of `{env: SYNCBRIDGE_SECRET_…}`, `{file: NAME}` or `{value: …}`";
        if !matches!(slot.body(), crate::node::Body::Map(_)) {
            let message = format!("`{}` says not where the secret comes from", slot.path());
            reader.report(slot.at(), ProblemCode::WrongType, message, HELP);
            return None;
        }
        let before = reader.count();
        let fields = reader.fields_of_secret(slot, &["env", "file", "value", "stored"])?;
        let given: Vec<&str> = ["env", "file", "value", "stored"]
            .into_iter()
            .filter(|key| fields.has(key))
            .collect();
        let [one] = given[..] else {
            // Where the key is misspelled, that has been said already.
            if reader.count() == before {
                let message = format!(
                    "`{}` has {} of the keys that name a secret",
                    slot.path(),
                    given.len()
                );
                reader.report(slot.at(), ProblemCode::Contradiction, message, HELP);
            }
            return None;
        };
        let value = fields.get(one)?;
        match one {
            "env" => read_variable(reader, &value).map(SecretRef::Env),
            "file" => read_bare_name(reader, &value).map(SecretRef::File),
            "value" => reader
                .prose(&value, MAX_SECRET)
                .map(|text| SecretRef::Value(text.into())),
            _ if reader.flag(&value)? => Some(SecretRef::Stored),
            _ => reader.refuse(&value, format!("`{}` is false", value.path()), HELP),
        }
    }
}

fn read_variable(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    let text = reader.line(slot, 200)?;
    let word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    match text.strip_prefix(SECRET_VARIABLE_PREFIX) {
        Some(rest) if !rest.is_empty() && rest.chars().all(word) => Some(text.to_owned()),
        // Not repeated: somebody may have put the secret itself here.
        _ => reader.refuse(
            slot,
            format!("`{}` names a variable that documents may not read", slot.path()),
            "name one that begins with SYNCBRIDGE_SECRET_, then capital letters, digits and `_`; \
             a secret itself goes into `value`",
        ),
    }
}

/// A file name without any path: letters, digits, `.`, `_`, `-`, not beginning with a dot.
pub(crate) fn read_bare_name(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    let text = reader.line(slot, 200)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.starts_with('.') && text.chars().all(plain) {
        return Some(text.to_owned());
    }
    reader.refuse(
        slot,
        format!("`{}` is not a bare file name", slot.path()),
        "name a file of the server's folder for secrets: letters, digits, `.`, `_` and `-`, no folders",
    )
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::Env(name) => write!(f, "Env({name})"),
            SecretRef::File(name) => write!(f, "File({name})"),
            SecretRef::Value(_) => f.write_str("Value(redacted)"),
            SecretRef::Stored => f.write_str("Stored"),
        }
    }
}

impl PartialEq for SecretRef {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (SecretRef::Env(a), SecretRef::Env(b)) | (SecretRef::File(a), SecretRef::File(b)) => a == b,
            (SecretRef::Value(a), SecretRef::Value(b)) => a.expose_secret() == b.expose_secret(),
            (SecretRef::Stored, SecretRef::Stored) => true,
            _ => false,
        }
    }
}
