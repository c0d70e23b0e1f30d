//! What the columns of an existing list take, for predicting what they will refuse (contract §5, §12).

use serde::Deserialize;
use serde_json::Value as Json;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::preflight::{ListSurvey, SurveyedColumn};

use crate::classify::Endpoint;
use crate::client::GraphClient;
use crate::request::{segment, with_query};
use crate::transport::Transport;

/// The members of [`Answer`], as they are asked for; hidden columns are told only because of `hidden`.
const SELECTED: &str = "name,displayName,hidden,enforceUniqueValues,required,readOnly,defaultValue,text,number,\
choice,lookup,personOrGroup";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    name: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    enforce_unique_values: bool,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    read_only: bool,
    default_value: Option<Json>,
    text: Option<Text>,
    number: Option<Number>,
    choice: Option<Choice>,
    lookup: Option<Json>,
    person_or_group: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    #[serde(default)]
    allow_multiple_lines: bool,
    max_length: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Number {
    minimum: Option<f64>,
    maximum: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Choice {
    #[serde(default)]
    allow_text_entry: bool,
    #[serde(default)]
    choices: Vec<String>,
}

impl From<Answer> for SurveyedColumn {
    fn from(answer: Answer) -> Self {
        let number = answer.number.as_ref();
        Self {
            lookup_like: answer.lookup.is_some() || answer.person_or_group.is_some(),
            unique: answer.enforce_unique_values,
            required: answer.required,
            has_default: answer.default_value.is_some_and(|default| !default.is_null()),
            read_only: answer.read_only,
            max_length: answer
                .text
                .filter(|text| !text.allow_multiple_lines)
                .and_then(|text| text.max_length),
            closed_choices: answer
                .choice
                .filter(|choice| !choice.allow_text_entry)
                .map(|choice| choice.choices),
            minimum: number.and_then(|number| number.minimum),
            maximum: number.and_then(|number| number.maximum),
            name: answer.name,
            display_name: answer.display_name,
        }
    }
}

impl<T: Transport> GraphClient<T> {
    /// What the columns of a list take. Two resource units; writes nothing.
    ///
    /// # Errors
    /// As reading the columns.
    pub async fn survey(&self, site: &str, list: &str) -> Result<ListSurvey, Failure> {
        let path = format!("/sites/{}/lists/{}/columns", segment(site), segment(list));
        let path = with_query(&path, &[("$select", SELECTED)]);
        let found: Vec<Answer> = self
            .all_pages(path, "/sites/{site}/lists/{list}/columns", Endpoint::List)
            .await?;
        Ok(ListSurvey {
            columns: found.into_iter().map(SurveyedColumn::from).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Json) -> SurveyedColumn {
        serde_json::from_value::<Answer>(body).unwrap().into()
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
