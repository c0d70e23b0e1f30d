//! Column definitions: what a create body may hold, what the service makes of it, and what it returns.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::facet::Kind;
use crate::guid::Guid;
use crate::reply::GraphError;

/// A column of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) id: Guid,
    /// The internal name: the key in `fields`. Never changes.
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) group: String,
    pub(crate) hidden: bool,
    pub(crate) indexed: bool,
    pub(crate) unique: bool,
    pub(crate) required: bool,
    pub(crate) read_only: bool,
    pub(crate) builtin: bool,
    pub(crate) kind: Kind,
    /// The `defaultValue` object as it was given.
    pub(crate) default: Option<Value>,
    /// Where the values of this column are kept in an item; never reused within a list.
    pub(crate) slot: u16,
}

/// Properties of a column definition that Graph's model has and that this simulator does not simulate.
const NOT_SIMULATED: [&str; 4] = ["validation", "sourceColumn", "sourceContentType", "type"];
/// Properties that are accepted and have no effect, because they only matter for site columns and content types.
const WITHOUT_EFFECT: [&str; 4] = ["isDeletable", "isReorderable", "isSealed", "propagateChanges"];

/// Turns a display name, or a name as given, into an internal name: anything but ASCII letters, digits and
/// underscores becomes `_xHHHH_` per UTF-16 unit, a leading digit too.
pub(crate) fn internal_name(text: &str, longest: Option<usize>) -> String {
    let mut name = String::new();
    for (at, character) in text.chars().enumerate() {
        let plain = character.is_ascii_alphanumeric() || character == '_';
        if plain && !(at == 0 && character.is_ascii_digit()) {
            name.push(character);
        } else {
            let mut units = [0_u16; 2];
            for unit in character.encode_utf16(&mut units) {
                name.push_str(&format!("_x{unit:04x}_"));
            }
        }
    }
    if let Some(longest) = longest {
        name.truncate(longest);
    }
    name
}

fn text_of(body: &Map<String, Value>, key: &str, longest: usize) -> Result<Option<String>, GraphError> {
    match body.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if text.encode_utf16().count() <= longest => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(GraphError::invalid(format!(
            "'{key}' of a column may hold at most {longest} characters."
        ))),
        Some(_) => Err(GraphError::invalid(format!(
            "'{key}' of a column must be a string."
        ))),
    }
}

fn flag_of(body: &Map<String, Value>, key: &str) -> Result<Option<bool>, GraphError> {
    match body.get(key) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(GraphError::invalid(format!(
            "'{key}' of a column must be true or false."
        ))),
    }
}

fn default_of(body: &Map<String, Value>) -> Result<Option<Value>, GraphError> {
    let Some(value) = body.get("defaultValue") else {
        return Ok(None);
    };
    let wrong = || GraphError::invalid("'defaultValue' must hold one string, as 'value' or as 'formula'.");
    let object = value.as_object().ok_or_else(wrong)?;
    let known = object.iter().filter(|(key, _)| !key.starts_with("@odata"));
    let entries: Vec<_> = known.collect();
    match entries.as_slice() {
        [(key, Value::String(_))] if *key == "value" || *key == "formula" => {
            Ok(Some(json!({ (*key).clone(): entries[0].1 })))
        }
        _ => Err(wrong()),
    }
}

/// Refuses properties that are unknown, null where null breaks the service, or not simulated.
fn check_properties(body: &Map<String, Value>) -> Result<(), GraphError> {
    const KNOWN: [&str; 11] = [
        "name",
        "displayName",
        "description",
        "columnGroup",
        "hidden",
        "indexed",
        "enforceUniqueValues",
        "required",
        "readOnly",
        "defaultValue",
        "id",
    ];
    for (key, value) in body {
        if matches!(key.as_str(), "defaultValue" | "validation") && value.is_null() {
            return Err(GraphError::general());
        }
        if NOT_SIMULATED.contains(&key.as_str()) {
            return Err(GraphError::invalid(format!(
                "graph-sim does not simulate '{key}' of a column."
            )));
        }
        let known = KNOWN.contains(&key.as_str())
            || WITHOUT_EFFECT.contains(&key.as_str())
            || Kind::FACETS.contains(&key.as_str())
            || key.starts_with("@odata");
        if !known {
            return Err(GraphError::invalid(format!(
                "The property '{key}' does not exist on a column."
            )));
        }
    }
    Ok(())
}

impl Column {
    /// Reads a create body. `id` and `slot` come from the list; the name may still be altered to be unique.
    pub(crate) fn create(body: &Value, id: Guid, slot: u16) -> Result<Self, GraphError> {
        let body = body
            .as_object()
            .ok_or_else(|| GraphError::invalid("A column must be a JSON object."))?;
        check_properties(body)?;
        let display_name = text_of(body, "displayName", 255)?;
        let name = match (text_of(body, "name", 255)?, &display_name) {
            (Some(name), _) if !name.is_empty() => internal_name(&name, None),
            (_, Some(display)) if !display.is_empty() => internal_name(display, Some(32)),
            _ => return Err(GraphError::invalid("A column needs a 'name' or a 'displayName'.")),
        };
        let mut facets = Kind::FACETS
            .iter()
            .filter_map(|facet| body.get(*facet).map(|value| (*facet, value)));
        let kind = match (facets.next(), facets.next()) {
            (Some((facet, value)), None) => Kind::parse(facet, value)?,
            (None, _) => {
                return Err(GraphError::invalid(format!(
                    "The column '{name}' needs a facet that says its type."
                )));
            }
            (Some(_), Some(_)) => {
                return Err(GraphError::invalid(format!(
                    "The column '{name}' has more than one type facet."
                )));
            }
        };
        let unnamed = display_name.filter(|display| !display.is_empty());
        let column = Self {
            id,
            display_name: unnamed.unwrap_or_else(|| name.clone()),
            description: text_of(body, "description", 1_024)?.unwrap_or_default(),
            group: text_of(body, "columnGroup", 255)?.unwrap_or_else(|| "Custom Columns".to_owned()),
            hidden: flag_of(body, "hidden")?.unwrap_or(false),
            indexed: flag_of(body, "indexed")?.unwrap_or(false),
            unique: flag_of(body, "enforceUniqueValues")?.unwrap_or(false),
            required: flag_of(body, "required")?.unwrap_or(false),
            read_only: flag_of(body, "readOnly")?.unwrap_or(false),
            builtin: false,
            default: default_of(body)?,
            kind,
            slot,
            name,
        };
        column.check_index()?;
        Ok(column)
    }

    /// The column after a PATCH body; the caller decides about existing data.
    pub(crate) fn changed(&self, body: &Value) -> Result<Self, GraphError> {
        let body = body
            .as_object()
            .ok_or_else(|| GraphError::invalid("A column must be a JSON object."))?;
        check_properties(body)?;
        let mut next = self.clone();
        if text_of(body, "name", 255)?.is_some_and(|name| name != self.name) {
            return Err(GraphError::invalid("The 'name' of a column cannot be changed."));
        }
        if let Some(display) = text_of(body, "displayName", 255)? {
            if display.is_empty() {
                return Err(GraphError::invalid("'displayName' of a column may not be empty."));
            }
            next.display_name = display;
        }
        if let Some(description) = text_of(body, "description", 1_024)? {
            next.description = description;
        }
        if let Some(group) = text_of(body, "columnGroup", 255)? {
            next.group = group;
        }
        next.hidden = flag_of(body, "hidden")?.unwrap_or(self.hidden);
        next.indexed = flag_of(body, "indexed")?.unwrap_or(self.indexed);
        next.unique = flag_of(body, "enforceUniqueValues")?.unwrap_or(self.unique);
        next.required = flag_of(body, "required")?.unwrap_or(self.required);
        next.read_only = flag_of(body, "readOnly")?.unwrap_or(self.read_only);
        if body.contains_key("defaultValue") {
            next.default = default_of(body)?;
        }
        for facet in Kind::FACETS.iter().filter(|facet| body.contains_key(**facet)) {
            if self.kind.facet() != Some(facet) {
                return Err(GraphError::invalid("The type of a column cannot be changed."));
            }
            next.kind = self.kind.changed(facet, &body[*facet])?;
        }
        next.check_index()?;
        Ok(next)
    }

    fn check_index(&self) -> Result<(), GraphError> {
        if self.unique && !self.indexed {
            return Err(GraphError::invalid(format!(
                "The column '{}' can enforce unique values only if it is indexed.",
                self.name
            )));
        }
        if self.indexed && !self.kind.indexable() && !self.builtin {
            return Err(GraphError::invalid(format!(
                "The column '{}' is of a type that cannot be indexed.",
                self.name
            )));
        }
        if self.unique && matches!(self.kind, Kind::Boolean) {
            return Err(GraphError::invalid(format!(
                "The column '{}' is of a type that cannot enforce unique values.",
                self.name
            )));
        }
        Ok(())
    }

    /// The column as answers show it.
    pub(crate) fn json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("columnGroup".to_owned(), Value::from(self.group.as_str()));
        map.insert("description".to_owned(), Value::from(self.description.as_str()));
        map.insert("displayName".to_owned(), Value::from(self.display_name.as_str()));
        map.insert("enforceUniqueValues".to_owned(), Value::from(self.unique));
        map.insert("hidden".to_owned(), Value::from(self.hidden));
        map.insert("id".to_owned(), Value::from(self.id.to_string()));
        map.insert("indexed".to_owned(), Value::from(self.indexed));
        map.insert("name".to_owned(), Value::from(self.name.as_str()));
        map.insert("readOnly".to_owned(), Value::from(self.read_only));
        map.insert("required".to_owned(), Value::from(self.required));
        if let Some(default) = &self.default {
            map.insert("defaultValue".to_owned(), default.clone());
        }
        if let Some((facet, value)) = self.kind.json() {
            map.insert(facet.to_owned(), value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Column, internal_name};
    use crate::guid::Guid;

    fn create(body: serde_json::Value) -> Result<Column, crate::reply::GraphError> {
        Column::create(&body, Guid::from_bits(7), 3)
    }

    #[test]
    fn internal_names_are_escaped_in_lower_case_hex() {
        assert_eq!(internal_name("Start date", None), "Start_x0020_date");
        assert_eq!(internal_name("item-links", None), "item_x002d_links");
        assert_eq!(internal_name("Validité", None), "Validit_x00e9_");
        assert_eq!(internal_name("世界", None), "_x4e16__x754c_");
        assert_eq!(internal_name("2nd", None), "_x0032_nd");
        assert_eq!(
            internal_name("a long display name that goes on and on", Some(32)).len(),
            32
        );
    }

    #[test]
    fn a_column_gets_its_defaults_and_its_name_from_the_display_name() {
        let column = create(json!({"displayName": "Start date", "text": {}})).unwrap();
        let shown = serde_json::Value::Object(column.json());
        assert_eq!(
            shown,
            json!({
                "columnGroup": "Custom Columns", "description": "", "displayName": "Start date",
                "enforceUniqueValues": false, "hidden": false, "id": "00000000-0000-0000-0000-000000000007",
                "indexed": false, "name": "Start_x0020_date", "readOnly": false, "required": false,
                "text": {"allowMultipleLines": false, "appendChangesToExistingText": false,
                         "linesForEditing": 0, "maxLength": 255}
            })
        );
    }

    #[test]
    fn a_column_has_exactly_one_facet_and_only_known_properties() {
        assert!(create(json!({"name": "A"})).is_err());
        assert!(create(json!({"name": "A", "text": {}, "number": {}})).is_err());
        assert!(create(json!({"name": "A", "text": {}, "colour": "red"})).is_err());
        assert!(create(json!({"text": {}})).is_err());
        assert!(create(json!({"name": "A", "text": {"maxLength": 300}})).is_err());
    }

    #[test]
    fn explicit_nulls_break_the_service_without_saying_why() {
        let error = create(json!({"name": "A", "text": {}, "defaultValue": null})).unwrap_err();
        assert_eq!(error.code, "generalException");
    }

    #[test]
    fn uniqueness_needs_an_index_and_an_index_a_fitting_type() {
        assert!(create(json!({"name": "A", "text": {}, "enforceUniqueValues": true})).is_err());
        let both = json!({"name": "A", "text": {}, "enforceUniqueValues": true, "indexed": true});
        assert!(create(both).is_ok());
        assert!(create(json!({"name": "A", "text": {"allowMultipleLines": true}, "indexed": true})).is_err());
        let flag = json!({"name": "A", "boolean": {}, "enforceUniqueValues": true, "indexed": true});
        assert!(create(flag).is_err());
    }

    #[test]
    fn a_change_may_touch_labels_and_choices_but_neither_name_nor_type() {
        let column =
            create(json!({"name": "A", "choice": {"choices": ["x"], "displayAs": "dropDownMenu"}})).unwrap();
        let next = column
            .changed(&json!({"displayName": "B", "choice": {"choices": ["x", "y"]}}))
            .unwrap();
        assert_eq!(next.display_name, "B");
        assert_eq!(next.json()["choice"]["choices"], json!(["x", "y"]));
        assert_eq!(next.json()["choice"]["displayAs"], "dropDownMenu");
        assert!(column.changed(&json!({"name": "C"})).is_err());
        assert!(column.changed(&json!({"text": {}})).is_err());
    }
}
