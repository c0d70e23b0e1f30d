//! What is different between two canonical forms.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value as Json;

/// One place at which two documents differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where: keys joined by dots; items of a list of columns by their column (`spec.fields[status].as`).
    pub path: String,
    /// What it was; absent where the key is new.
    pub old: Option<Json>,
    /// What it is to be; absent where the key goes.
    pub new: Option<Json>,
}

impl Difference {
    /// A secret whose value changed. Canonical forms hold no secrets, so whoever can compare the sealed value
    /// with the new one adds this.
    #[must_use]
    pub fn of_secret(path: impl Into<String>) -> Self {
        let shown = |text: &str| Some(Json::String(text.to_owned()));
        Self {
            path: path.into(),
            old: shown("(secret)"),
            new: shown("(changed secret)"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "~ {}: {old} → {new}", self.path),
            (None, Some(new)) => write!(f, "+ {}: {new}", self.path),
            (Some(old), None) => write!(f, "- {}: {old}", self.path),
            (None, None) => write!(f, "  {}", self.path),
        }
    }
}

/// What is different between two canonical forms, in the order of their keys. Equal forms differ nowhere.
///
/// Lists whose items have a `column` are compared column by column, with a change of their order as one
/// difference of its own; other lists are compared as a whole.
#[must_use]
pub fn diff(old: &Json, new: &Json) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(old), Some(new), &mut found);
    found
}

fn compare(path: &str, old: Option<&Json>, new: Option<&Json>, found: &mut Vec<Difference>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Json::Object(a)), Some(Json::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let inner = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                compare(&inner, a.get(key), b.get(key), found);
            }
        }
        (Some(Json::Array(a)), Some(Json::Array(b))) => match (columns(a), columns(b)) {
            (Some(a_columns), Some(b_columns)) => {
                for (column, item) in &a_columns {
                    let other = b_columns
                        .iter()
                        .find(|(name, _)| name == column)
                        .map(|(_, item)| *item);
                    compare(&format!("{path}[{column}]"), Some(item), other, found);
                }
                for (column, item) in &b_columns {
                    if !a_columns.iter().any(|(name, _)| name == column) {
                        compare(&format!("{path}[{column}]"), None, Some(item), found);
                    }
                }
                order(path, &a_columns, &b_columns, found);
            }
            _ => found.push(Difference {
                path: path.to_owned(),
                old: old.cloned(),
                new: new.cloned(),
            }),
        },
        _ => found.push(Difference {
            path: path.to_owned(),
            old: old.cloned(),
            new: new.cloned(),
        }),
    }
}

/// The order of the columns that both have; additions and removals are reported by themselves.
fn order(path: &str, old: &[(&str, &Json)], new: &[(&str, &Json)], found: &mut Vec<Difference>) {
    let kept = |these: &[(&str, &Json)], those: &[(&str, &Json)]| -> Vec<Json> {
        let known = |name: &str| those.iter().any(|(other, _)| *other == name);
        these
            .iter()
            .filter(|(name, _)| known(name))
            .map(|(name, _)| Json::from(*name))
            .collect()
    };
    let (before, after) = (kept(old, new), kept(new, old));
    if before != after {
        let path = format!("{path} (order)");
        found.push(Difference {
            path,
            old: Some(Json::Array(before)),
            new: Some(Json::Array(after)),
        });
    }
}

fn columns(items: &[Json]) -> Option<Vec<(&str, &Json)>> {
    items
        .iter()
        .map(|item| Some((item.get("column")?.as_str()?, item)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(old: &Json, new: &Json) -> Vec<String> {
        diff(old, new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn equal_forms_differ_nowhere() {
        let form = json!({ "spec": { "fields": [{ "column": "a" }] } });
        assert_eq!(diff(&form, &form), Vec::new());
    }

    #[test]
    fn every_difference_is_found_at_its_path() {
        let old = json!({ "spec": { "paused": false, "onDelete": "keep", "exclude": ["a"],
            "fields": [{ "column": "a", "as": "A" }, { "column": "b" }, { "column": "c" }] } });
        let new = json!({ "spec": { "paused": true, "namespace": "n", "exclude": ["a", "b"],
            "fields": [{ "column": "c" }, { "column": "a", "as": "Alpha" }, { "column": "d" }] } });
        assert_eq!(
            shown(&old, &new),
            [
                r#"~ spec.exclude: ["a"] → ["a","b"]"#,
                r#"~ spec.fields[a].as: "A" → "Alpha""#,
                r#"- spec.fields[b]: {"column":"b"}"#,
                r#"+ spec.fields[d]: {"column":"d"}"#,
                r#"~ spec.fields (order): ["a","c"] → ["c","a"]"#,
                r#"+ spec.namespace: "n""#,
                r#"- spec.onDelete: "keep""#,
                "~ spec.paused: false → true",
            ]
        );
    }
}
