//! The type facets of columns: their settings, the defaults the service fills in, and how they are returned.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::reply::GraphError;

/// The types that the service takes and never shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Silent {
    HyperlinkOrPicture,
    Term,
    ContentApprovalStatus,
}

impl Silent {
    const fn name(self) -> &'static str {
        match self {
            Self::HyperlinkOrPicture => "hyperlinkOrPicture",
            Self::Term => "term",
            Self::ContentApprovalStatus => "contentApprovalStatus",
        }
    }
}

/// The type of a column with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Text(Text),
    Number(Number),
    Currency {
        locale: String,
    },
    Boolean,
    DateTime {
        display: String,
        date_only: bool,
    },
    Choice(Choice),
    Lookup(Lookup),
    Person(Person),
    Calculated {
        formula: String,
        output: String,
        format: Option<String>,
    },
    Geolocation,
    /// Accepted at creation, never returned, values cannot be written.
    Silent(Silent),
    /// A built-in column that is returned without any facet.
    Bare,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Text {
    #[serde(default)]
    pub(crate) allow_multiple_lines: bool,
    #[serde(default)]
    append_changes_to_existing_text: bool,
    lines_for_editing: Option<u32>,
    pub(crate) max_length: Option<u32>,
    text_type: Option<String>,
}

impl Text {
    pub(crate) fn rich(&self) -> bool {
        self.text_type.as_deref() == Some("richText")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Number {
    #[serde(default = "automatic")]
    decimal_places: String,
    #[serde(default = "number")]
    display_as: String,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
}

fn automatic() -> String {
    "automatic".to_owned()
}

fn number() -> String {
    "number".to_owned()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Choice {
    #[serde(default)]
    pub(crate) choices: Vec<String>,
    #[serde(default)]
    pub(crate) allow_text_entry: bool,
    #[serde(default = "menu")]
    display_as: String,
}

fn menu() -> String {
    "dropDownMenu".to_owned()
}

impl Choice {
    /// Check boxes are how Graph says that several values are allowed.
    pub(crate) fn multiple(&self) -> bool {
        self.display_as == "checkBoxes"
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Lookup {
    #[serde(default)]
    pub(crate) list_id: String,
    #[serde(default)]
    pub(crate) column_name: String,
    #[serde(default)]
    pub(crate) allow_multiple_values: bool,
    #[serde(default)]
    allow_unlimited_length: bool,
    primary_lookup_column_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Person {
    #[serde(default)]
    pub(crate) allow_multiple_selection: bool,
    #[serde(default = "presence")]
    display_as: String,
    #[serde(default = "everybody")]
    choose_from_type: String,
}

fn presence() -> String {
    "nameWithPresence".to_owned()
}

fn everybody() -> String {
    "peopleAndGroups".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DateTimeFacet {
    #[serde(default = "plain")]
    display_as: String,
    #[serde(default = "date_time")]
    format: String,
}

fn plain() -> String {
    "default".to_owned()
}

fn date_time() -> String {
    "dateTime".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CalculatedFacet {
    formula: String,
    #[serde(default = "text")]
    output_type: String,
    format: Option<String>,
}

fn text() -> String {
    "text".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CurrencyFacet {
    locale: Option<String>,
}

fn read<T: DeserializeOwned>(facet: &str, value: &Value) -> Result<T, GraphError> {
    let mut bare = value.clone();
    if let Some(object) = bare.as_object_mut() {
        object.retain(|key, _| !key.starts_with("@odata"));
    }
    serde_json::from_value(bare)
        .map_err(|error| GraphError::invalid(format!("The facet '{facet}' is not valid: {error}.")))
}

fn one_of(facet: &str, key: &str, value: &str, allowed: &[&str]) -> Result<(), GraphError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(GraphError::invalid(format!(
        "'{key}' of the facet '{facet}' must be one of: {}.",
        allowed.join(", ")
    )))
}

impl Kind {
    /// Every facet name of the model.
    pub(crate) const FACETS: [&'static str; 14] = [
        "text",
        "number",
        "currency",
        "boolean",
        "dateTime",
        "choice",
        "lookup",
        "personOrGroup",
        "calculated",
        "geolocation",
        "hyperlinkOrPicture",
        "term",
        "thumbnail",
        "contentApprovalStatus",
    ];

    /// Reads a facet of a create body and fills in the defaults.
    pub(crate) fn parse(facet: &str, value: &Value) -> Result<Self, GraphError> {
        if !value.is_object() {
            return Err(GraphError::invalid(format!(
                "The facet '{facet}' must be an object."
            )));
        }
        let kind = match facet {
            "text" => Self::Text(read(facet, value)?),
            "number" => Self::Number(read(facet, value)?),
            "currency" => {
                let locale = read::<CurrencyFacet>(facet, value)?.locale;
                // Creation without a locale is reported to fail without a word about the locale.
                Self::Currency {
                    locale: locale.ok_or_else(GraphError::general)?,
                }
            }
            "boolean" => Self::Boolean,
            "dateTime" => {
                let read: DateTimeFacet = read(facet, value)?;
                one_of(facet, "format", &read.format, &["dateOnly", "dateTime"])?;
                one_of(
                    facet,
                    "displayAs",
                    &read.display_as,
                    &["default", "friendly", "standard"],
                )?;
                Self::DateTime {
                    date_only: read.format == "dateOnly",
                    display: read.display_as,
                }
            }
            "choice" => Self::Choice(read(facet, value)?),
            "lookup" => Self::Lookup(read(facet, value)?),
            "personOrGroup" => Self::Person(read(facet, value)?),
            "calculated" => {
                let read: CalculatedFacet = read(facet, value)?;
                let outputs = ["boolean", "currency", "dateTime", "number", "text"];
                one_of(facet, "outputType", &read.output_type, &outputs)?;
                Self::Calculated {
                    formula: read.formula,
                    output: read.output_type,
                    format: read.format,
                }
            }
            "geolocation" => Self::Geolocation,
            "hyperlinkOrPicture" => Self::Silent(Silent::HyperlinkOrPicture),
            "term" => Self::Silent(Silent::Term),
            "contentApprovalStatus" => Self::Silent(Silent::ContentApprovalStatus),
            _ => return Err(GraphError::general()),
        };
        kind.settled()
    }

    /// Checks the settings and fills in what the service fills in.
    fn settled(mut self) -> Result<Self, GraphError> {
        match &mut self {
            Self::Text(text) if text.allow_multiple_lines => {
                text.lines_for_editing.get_or_insert(6);
                text.max_length = None;
                let kind = text.text_type.get_or_insert_with(|| "plain".to_owned());
                one_of("text", "textType", kind, &["plain", "richText"])?;
            }
            Self::Text(text) => {
                text.lines_for_editing.get_or_insert(0);
                text.text_type = None;
                let longest = *text.max_length.get_or_insert(255);
                if !(1..=255).contains(&longest) {
                    return Err(GraphError::invalid(
                        "'maxLength' of the facet 'text' must be 1 to 255.",
                    ));
                }
            }
            Self::Number(number) => {
                let places = ["automatic", "none", "one", "two", "three", "four", "five"];
                one_of("number", "decimalPlaces", &number.decimal_places, &places)?;
                one_of(
                    "number",
                    "displayAs",
                    &number.display_as,
                    &["number", "percentage"],
                )?;
                if number.minimum.unwrap_or(f64::MIN) > number.maximum.unwrap_or(f64::MAX) {
                    return Err(GraphError::invalid(
                        "'minimum' of the facet 'number' is above 'maximum'.",
                    ));
                }
            }
            Self::Choice(choice) => {
                let shown = ["dropDownMenu", "radioButtons", "checkBoxes"];
                one_of("choice", "displayAs", &choice.display_as, &shown)?;
                if choice
                    .choices
                    .iter()
                    .any(|text| text.is_empty() || text.encode_utf16().count() > 255)
                {
                    return Err(GraphError::invalid("A choice must hold 1 to 255 characters."));
                }
            }
            Self::Currency { locale } => {
                let fits = matches!(locale.split('-').collect::<Vec<_>>().as_slice(),
                    [language, region] if (2..=3).contains(&language.len()) && (2..=4).contains(&region.len()));
                if !fits || !locale.is_ascii() {
                    return Err(GraphError::general());
                }
            }
            Self::Person(person) => {
                one_of(
                    "personOrGroup",
                    "chooseFromType",
                    &person.choose_from_type,
                    &["peopleOnly", "peopleAndGroups"],
                )?;
            }
            _ => {}
        }
        Ok(self)
    }

    /// The settings after a PATCH of the same facet: what is not mentioned stays.
    pub(crate) fn changed(&self, facet: &str, value: &Value) -> Result<Self, GraphError> {
        let Some((_, mut merged)) = self.json() else {
            return Ok(self.clone());
        };
        let given = value
            .as_object()
            .ok_or_else(|| GraphError::invalid(format!("The facet '{facet}' must be an object.")))?;
        if let Some(object) = merged.as_object_mut() {
            object.extend(given.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let next = Self::parse(facet, &merged)?;
        let same_shape = match (self, &next) {
            (Self::Text(a), Self::Text(b)) => a.allow_multiple_lines == b.allow_multiple_lines,
            (Self::Choice(a), Self::Choice(b)) => a.multiple() == b.multiple(),
            (Self::Lookup(a), Self::Lookup(b)) => {
                a.allow_multiple_values == b.allow_multiple_values && a.list_id == b.list_id
            }
            (Self::Person(a), Self::Person(b)) => a.allow_multiple_selection == b.allow_multiple_selection,
            (Self::DateTime { date_only: a, .. }, Self::DateTime { date_only: b, .. }) => a == b,
            _ => true,
        };
        if same_shape {
            Ok(next)
        } else {
            Err(GraphError::invalid("The type of a column cannot be changed."))
        }
    }

    /// The name of the facet in bodies.
    pub(crate) const fn facet(&self) -> Option<&'static str> {
        Some(match self {
            Self::Text(_) => "text",
            Self::Number(_) => "number",
            Self::Currency { .. } => "currency",
            Self::Boolean => "boolean",
            Self::DateTime { .. } => "dateTime",
            Self::Choice(_) => "choice",
            Self::Lookup(_) => "lookup",
            Self::Person(_) => "personOrGroup",
            Self::Calculated { .. } => "calculated",
            Self::Geolocation => "geolocation",
            Self::Silent(facet) => facet.name(),
            Self::Bare => return None,
        })
    }

    /// Whether such a column may have an index.
    pub(crate) fn indexable(&self) -> bool {
        match self {
            Self::Text(text) => !text.allow_multiple_lines,
            Self::Choice(choice) => !choice.multiple(),
            Self::Lookup(lookup) => !lookup.allow_multiple_values,
            Self::Person(person) => !person.allow_multiple_selection,
            Self::Number(_) | Self::Currency { .. } | Self::Boolean | Self::DateTime { .. } => true,
            Self::Calculated { .. } | Self::Geolocation | Self::Silent(_) | Self::Bare => false,
        }
    }

    /// Whether values are shown under `{name}LookupId`.
    pub(crate) const fn is_lookup(&self) -> bool {
        matches!(self, Self::Lookup(_) | Self::Person(_))
    }

    /// The facet as answers show it; `None` for those the service never returns.
    pub(crate) fn json(&self) -> Option<(&'static str, Value)> {
        let value = match self {
            Self::Text(text) => {
                let mut value = json!({
                    "allowMultipleLines": text.allow_multiple_lines,
                    "appendChangesToExistingText": text.append_changes_to_existing_text,
                    "linesForEditing": text.lines_for_editing.unwrap_or(0),
                });
                if let Some(longest) = text.max_length {
                    value["maxLength"] = Value::from(longest);
                }
                if let Some(kind) = &text.text_type {
                    value["textType"] = Value::from(kind.as_str());
                }
                value
            }
            Self::Number(number) => json!({
                "decimalPlaces": number.decimal_places,
                "displayAs": number.display_as,
                "maximum": number.maximum.unwrap_or(f64::MAX),
                "minimum": number.minimum.unwrap_or(f64::MIN),
            }),
            Self::Currency { locale } => json!({ "locale": locale }),
            Self::Boolean | Self::Geolocation => json!({}),
            Self::DateTime { display, date_only } => json!({
                "displayAs": display,
                "format": if *date_only { "dateOnly" } else { "dateTime" },
            }),
            Self::Choice(choice) => json!({
                "allowTextEntry": choice.allow_text_entry,
                "choices": choice.choices,
                "displayAs": choice.display_as,
            }),
            Self::Lookup(lookup) => json!({
                "allowMultipleValues": lookup.allow_multiple_values,
                "allowUnlimitedLength": lookup.allow_unlimited_length,
                "columnName": lookup.column_name,
                "listId": lookup.list_id,
                "primaryLookupColumnId": lookup.primary_lookup_column_id.as_deref().unwrap_or("ID"),
            }),
            Self::Person(person) => json!({
                "allowMultipleSelection": person.allow_multiple_selection,
                "displayAs": person.display_as,
                "chooseFromType": person.choose_from_type,
            }),
            Self::Calculated {
                formula,
                output,
                format,
            } => {
                let mut value = json!({ "formula": formula, "outputType": output });
                if let Some(format) = format {
                    value["format"] = Value::from(format.as_str());
                }
                value
            }
            Self::Silent(_) | Self::Bare => return None,
        };
        self.facet().map(|facet| (facet, value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Kind;

    fn shown(facet: &str, value: Value) -> Value {
        Kind::parse(facet, &value).unwrap().json().unwrap().1
    }

    #[test]
    fn the_service_fills_in_the_recorded_defaults() {
        let single = json!({"allowMultipleLines": false, "appendChangesToExistingText": false,
            "linesForEditing": 0, "maxLength": 255});
        assert_eq!(shown("text", json!({})), single);
        let multiple = json!({"allowMultipleLines": true, "appendChangesToExistingText": false,
            "linesForEditing": 6, "textType": "plain"});
        assert_eq!(
            shown("text", json!({"allowMultipleLines": true, "maxLength": 400})),
            multiple
        );
        let number = json!({"decimalPlaces": "automatic", "displayAs": "number",
            "maximum": f64::MAX, "minimum": f64::MIN});
        assert_eq!(shown("number", json!({})), number);
        assert_eq!(
            shown("dateTime", json!({})),
            json!({"displayAs": "default", "format": "dateTime"})
        );
        let person = json!({"allowMultipleSelection": false, "displayAs": "nameWithPresence",
            "chooseFromType": "peopleAndGroups"});
        assert_eq!(shown("personOrGroup", json!({})), person);
        assert_eq!(shown("boolean", json!({})), json!({}));
    }

    #[test]
    fn links_and_terms_are_accepted_but_never_shown() {
        for facet in ["hyperlinkOrPicture", "term", "contentApprovalStatus"] {
            assert_eq!(Kind::parse(facet, &json!({})).unwrap().json(), None);
        }
        assert_eq!(
            Kind::parse("thumbnail", &json!({})).unwrap_err().code,
            "generalException"
        );
    }

    #[test]
    fn wrong_settings_are_refused() {
        for (facet, value) in [
            ("dateTime", json!({"format": "day"})),
            ("choice", json!({"choices": ["", "a"]})),
            ("choice", json!({"choices": "a"})),
            ("number", json!({"decimalPlaces": "seven"})),
            ("number", json!({"minimum": 2.0, "maximum": 1.0})),
            ("currency", json!({})),
            ("currency", json!({"locale": "euro"})),
            ("text", json!({"maxLength": 0})),
            ("text", json!({"size": 3})),
            ("text", json!("long")),
        ] {
            assert!(
                Kind::parse(facet, &value).is_err(),
                "{facet} {value} was accepted"
            );
        }
    }

    #[test]
    fn a_change_keeps_the_shape_of_the_type() {
        let text = Kind::parse("text", &json!({})).unwrap();
        assert!(text.changed("text", &json!({"maxLength": 100})).is_ok());
        assert!(
            text.changed("text", &json!({"allowMultipleLines": true}))
                .is_err()
        );
    }
}
