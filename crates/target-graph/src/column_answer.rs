//! A list's columns as Graph tells them (contract §5): read in one place, for what serves a mapping and for what a
//! column will refuse.

use serde::Deserialize;
use serde_json::Value as Json;
use syncbridge_domain::facet::{Facet, SINGLE_LINE_MAX};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::preflight::SurveyedColumn;

use crate::classify::Endpoint;
use crate::client::GraphClient;
use crate::column::{ColumnKind, ListColumn, places};
use crate::request::{segment, with_query};
use crate::transport::Transport;

/// The members of [`ColumnAnswer`], as they are asked for; hidden columns are listed only because of `hidden`.
const SELECTED: &str = "id,name,displayName,hidden,indexed,enforceUniqueValues,required,readOnly,defaultValue,text,\
number,choice,dateTime,boolean,currency,lookup,personOrGroup,calculated,geolocation";

impl<T: Transport> GraphClient<T> {
    /// All columns of a list, hidden and built-in ones included.
    pub(crate) async fn column_answers(&self, site: &str, list: &str) -> Result<Vec<ColumnAnswer>, Failure> {
        let path = format!("/sites/{}/lists/{}/columns", segment(site), segment(list));
        let path = with_query(&path, &[("$select", SELECTED)]);
        self.all_pages(path, "/sites/{site}/lists/{list}/columns", Endpoint::List)
            .await
    }
}

/// A column as the service spells it.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ColumnAnswer {
    id: String,
    name: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    indexed: bool,
    #[serde(default)]
    enforce_unique_values: bool,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    read_only: bool,
    default_value: Option<Json>,
    text: Option<TextAnswer>,
    number: Option<NumberAnswer>,
    choice: Option<ChoiceAnswer>,
    date_time: Option<DateTimeAnswer>,
    boolean: Option<Json>,
    currency: Option<Json>,
    lookup: Option<Json>,
    person_or_group: Option<Json>,
    calculated: Option<Json>,
    geolocation: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TextAnswer {
    #[serde(default)]
    allow_multiple_lines: bool,
    max_length: Option<u32>,
    text_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NumberAnswer {
    decimal_places: Option<String>,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChoiceAnswer {
    #[serde(default)]
    allow_text_entry: bool,
    #[serde(default)]
    choices: Vec<String>,
    display_as: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DateTimeAnswer {
    format: Option<String>,
}

impl ColumnAnswer {
    fn has_default(&self) -> bool {
        self.default_value
            .as_ref()
            .is_some_and(|default| !default.is_null())
    }
}

impl From<ColumnAnswer> for ListColumn {
    fn from(answer: ColumnAnswer) -> Self {
        Self {
            kind: kind(&answer),
            has_default: answer.has_default(),
            id: answer.id,
            name: answer.name,
            display_name: answer.display_name,
            hidden: answer.hidden,
            indexed: answer.indexed,
            unique: answer.enforce_unique_values,
            read_only: answer.read_only,
        }
    }
}

impl From<ColumnAnswer> for SurveyedColumn {
    fn from(answer: ColumnAnswer) -> Self {
        let number = answer.number.as_ref();
        Self {
            lookup_like: answer.lookup.is_some() || answer.person_or_group.is_some(),
            unique: answer.enforce_unique_values,
            required: answer.required,
            has_default: answer.has_default(),
            read_only: answer.read_only,
            minimum: number.and_then(|number| number.minimum),
            maximum: number.and_then(|number| number.maximum),
            max_length: answer
                .text
                .filter(|text| !text.allow_multiple_lines)
                .and_then(|text| text.max_length),
            closed_choices: answer
                .choice
                .filter(|choice| !choice.allow_text_entry)
                .map(|choice| choice.choices),
            name: answer.name,
            display_name: answer.display_name,
        }
    }
}

fn kind(answer: &ColumnAnswer) -> Option<ColumnKind> {
    let known = |facet| Some(ColumnKind::Known(facet));
    if let Some(text) = &answer.text {
        if text.text_type.as_deref() == Some("richText") {
            return Some(ColumnKind::RichText);
        }
        return if text.allow_multiple_lines {
            known(Facet::MultiLine)
        } else {
            known(Facet::Text {
                max_length: text.max_length.unwrap_or(SINGLE_LINE_MAX),
            })
        };
    }
    if let Some(number) = &answer.number {
        let decimals = (0..=5).find(|n| Some(places(Some(*n))) == number.decimal_places.as_deref());
        return known(Facet::Number { decimals });
    }
    if let Some(choice) = &answer.choice {
        if choice.display_as.as_deref() == Some("checkBoxes") {
            return known(Facet::MultiChoice {
                choices: choice.choices.clone(),
            });
        }
        return known(Facet::Choice {
            choices: choice.choices.clone(),
        });
    }
    if let Some(date) = &answer.date_time {
        return known(if date.format.as_deref() == Some("dateOnly") {
            Facet::DateOnly
        } else {
            Facet::DateTime
        });
    }
    let others = [
        (answer.currency.is_some(), "currency"),
        (answer.lookup.is_some(), "lookup"),
        (answer.person_or_group.is_some(), "personOrGroup"),
        (answer.calculated.is_some(), "calculated"),
        (answer.geolocation.is_some(), "geolocation"),
    ];
    if answer.boolean.is_some() {
        return known(Facet::Boolean);
    }
    others
        .iter()
        .find(|(is, _)| *is)
        .map(|(_, name)| ColumnKind::Other(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(mut body: Json) -> SurveyedColumn {
        body["id"] = json!("c1");
        serde_json::from_value::<ColumnAnswer>(body).unwrap().into()
    }

    #[test]
    fn what_a_column_takes_is_read_from_its_definition() {
        let text = read(
            json!({"name": "A", "displayName": "a", "enforceUniqueValues": true, "indexed": true,
                               "text": {"maxLength": 50}}),
        );
        assert_eq!((text.max_length, text.unique), (Some(50), true));
        let lines = read(json!({"name": "A", "text": {"allowMultipleLines": true, "maxLength": 255}}));
        assert_eq!(lines.max_length, None);
        let number = read(json!({"name": "N", "number": {"minimum": 0.0, "maximum": 100.0}}));
        assert_eq!((number.minimum, number.maximum), (Some(0.0), Some(100.0)));
        let closed = read(json!({"name": "C", "choice": {"choices": ["x"]}}));
        assert_eq!(closed.closed_choices, Some(vec!["x".to_owned()]));
        let open = read(json!({"name": "C", "choice": {"choices": ["x"], "allowTextEntry": true}}));
        assert_eq!(open.closed_choices, None);
        assert!(read(json!({"name": "P", "personOrGroup": {}})).lookup_like);
        let needed = read(json!({"name": "R", "required": true, "defaultValue": {"value": "x"}}));
        assert!(needed.required && needed.has_default && !needed.lookup_like);
    }
}
