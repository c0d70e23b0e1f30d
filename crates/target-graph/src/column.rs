//! List columns: what we want, what is there, and whether the one serves for the other (contract §5).

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use syncbridge_domain::facet::{Facet, SINGLE_LINE_MAX};
use syncbridge_domain::list_rules::{ColumnOptions, ItemIdentity, NewChoices, TargetMode};
use syncbridge_domain::mapping::{FieldMapping, Mapping, STATE_COLUMN, SYNC_KEY_COLUMN};
use syncbridge_domain::system_field::SystemField;

/// The built-in text column of every plain list.
pub const TITLE: &str = syncbridge_domain::mapping::TITLE_COLUMN;

/// A column as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredColumn {
    /// The source column that fills it; `None` for a column of our own.
    pub source: Option<String>,
    /// Internal name, never changed after creation.
    pub name: String,
    /// Name people see.
    pub display_name: String,
    /// Kind.
    pub facet: Facet,
    /// What else is asked of it.
    pub options: ColumnOptions,
    /// Holds no value twice; needs an index.
    pub unique: bool,
    /// Not shown to people.
    pub hidden: bool,
}

/// A list as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredList {
    /// Id of the list, where it was provisioned before; a list that is gone is then never silently made anew.
    pub known_id: Option<String>,
    /// Name people see, unique in the site.
    pub display_name: String,
    /// Shown beside the list's name.
    pub description: Option<String>,
    /// Who owns the columns.
    pub mode: TargetMode,
    /// By which column items are recognised.
    pub identity: ItemIdentity,
    /// What `Title` is called, where a field is mapped onto it.
    pub title_display_name: Option<String>,
    /// All columns but `Title`, which is built in.
    pub columns: Vec<DesiredColumn>,
}

impl DesiredList {
    /// The list of a mapping: a column a field, and the hidden, indexed, unique sync key.
    #[must_use]
    pub fn of_mapping(
        display_name: impl Into<String>,
        description: Option<String>,
        mapping: &Mapping,
    ) -> Self {
        let mut columns: Vec<_> = mapping
            .fields
            .iter()
            // What the list itself knows of an item is in every list.
            .filter(|field| field.target != TITLE && SystemField::shown_under(&field.target).is_none())
            .map(desired_column)
            .collect();
        columns.push(DesiredColumn {
            source: None,
            name: SYNC_KEY_COLUMN.to_owned(),
            display_name: SYNC_KEY_COLUMN.to_owned(),
            facet: Facet::Text {
                max_length: SINGLE_LINE_MAX,
            },
            options: ColumnOptions {
                description: Some("Kept by SyncBridge to recognise the row; do not change.".to_owned()),
                indexed: true,
                named: true,
                ..ColumnOptions::default()
            },
            unique: true,
            hidden: true,
        });
        Self {
            known_id: None,
            display_name: display_name.into(),
            description,
            mode: TargetMode::Managed,
            identity: ItemIdentity::default(),
            title_display_name: mapping
                .title_field()
                .map(|at| mapping.fields[at].display_name.clone()),
            columns,
        }
    }

    /// With what is asked of single columns, by their source columns.
    #[must_use]
    pub fn with_options(mut self, options: &BTreeMap<String, ColumnOptions>) -> Self {
        for column in &mut self.columns {
            let asked = column.source.as_ref().and_then(|source| options.get(source));
            if let Some(asked) = asked {
                column.options = asked.clone();
            }
        }
        self
    }

    /// As a list whose columns people own: nothing is to be made in it, and items are recognised by `identity`.
    #[must_use]
    pub fn of_people(mut self, identity: ItemIdentity) -> Self {
        self.mode = TargetMode::BringYourOwn;
        self.title_display_name = None;
        self.columns.retain(|column| column.source.is_some());
        if let ItemIdentity::SyncKey { column } = &identity {
            self.columns.push(DesiredColumn {
                source: None,
                name: column.clone(),
                display_name: column.clone(),
                facet: Facet::Text { max_length: 27 },
                options: ColumnOptions {
                    named: true,
                    ..ColumnOptions::default()
                },
                unique: false,
                hidden: false,
            });
        }
        self.identity = identity;
        self
    }
}

fn desired_column(field: &FieldMapping) -> DesiredColumn {
    DesiredColumn {
        source: Some(field.column.clone()),
        name: field.target.clone(),
        display_name: field.display_name.clone(),
        facet: field.facet.clone(),
        options: ColumnOptions::default(),
        unique: false,
        hidden: false,
    }
}

impl DesiredList {
    /// The list with a column, for people to see and filter by, that marks items whose row is gone.
    #[must_use]
    pub fn marking_archived(mut self) -> Self {
        self.columns.push(DesiredColumn {
            source: None,
            name: STATE_COLUMN.to_owned(),
            display_name: STATE_COLUMN.to_owned(),
            facet: Facet::Text {
                max_length: SINGLE_LINE_MAX,
            },
            options: ColumnOptions {
                description: Some("Kept by SyncBridge: `archived` where the item's row is gone.".to_owned()),
                indexed: true,
                named: true,
                ..ColumnOptions::default()
            },
            unique: false,
            hidden: false,
        });
        self
    }
}

impl DesiredColumn {
    /// The body that makes it.
    pub(crate) fn definition(&self) -> Json {
        let mut body = Map::new();
        body.insert("name".into(), json!(self.name));
        body.insert("displayName".into(), json!(self.display_name));
        // Absent members are left out: explicit nulls were seen to fail (contract §5).
        if let Some(description) = &self.options.description {
            body.insert("description".into(), json!(short(description)));
        }
        if let Some(default) = &self.options.default {
            body.insert("defaultValue".into(), json!({ "value": default }));
        }
        body.insert("required".into(), json!(self.options.required));
        body.insert("hidden".into(), json!(self.hidden));
        body.insert("indexed".into(), json!(self.is_indexed()));
        body.insert("enforceUniqueValues".into(), json!(self.unique));
        let (name, facet) = self.facet_definition();
        body.insert(name.into(), facet);
        Json::Object(body)
    }

    pub(crate) fn is_indexed(&self) -> bool {
        self.options.indexed || self.unique
    }

    /// Name and settings of its facet.
    pub(crate) fn facet_definition(&self) -> (&'static str, Json) {
        facet_json(&self.facet)
    }
}

/// As much of a comment as a column takes.
fn short(text: &str) -> String {
    const MOST: usize = 250;
    if text.encode_utf16().count() <= MOST {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if short.encode_utf16().count() + c.len_utf16() >= MOST {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

fn facet_json(facet: &Facet) -> (&'static str, Json) {
    match facet {
        Facet::Text { max_length } => (
            "text",
            json!({"allowMultipleLines": false, "appendChangesToExistingText": false,
                   "linesForEditing": 0, "maxLength": max_length}),
        ),
        Facet::MultiLine => (
            "text",
            json!({"allowMultipleLines": true, "appendChangesToExistingText": false,
                   "linesForEditing": 6, "textType": "plain"}),
        ),
        Facet::Number { decimals } => (
            "number",
            json!({"decimalPlaces": places(*decimals), "displayAs": "number"}),
        ),
        Facet::Boolean => ("boolean", json!({})),
        Facet::Choice { choices } => (
            "choice",
            json!({"allowTextEntry": false, "choices": choices, "displayAs": "dropDownMenu"}),
        ),
        // Check boxes are how Graph says that several may be chosen.
        Facet::MultiChoice { choices } => (
            "choice",
            json!({"allowTextEntry": false, "choices": choices, "displayAs": "checkBoxes"}),
        ),
        Facet::DateTime => ("dateTime", json!({"displayAs": "default", "format": "dateTime"})),
        Facet::DateOnly => ("dateTime", json!({"displayAs": "default", "format": "dateOnly"})),
    }
}

/// Only what is shown; five places are the most a column can be told.
pub(crate) fn places(decimals: Option<u8>) -> &'static str {
    match decimals {
        Some(0) => "none",
        Some(1) => "one",
        Some(2) => "two",
        Some(3) => "three",
        Some(4) => "four",
        Some(5) => "five",
        _ => "automatic",
    }
}

/// A column as the list tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListColumn {
    /// Id, by which it is changed.
    pub id: String,
    /// Internal name.
    pub name: String,
    /// Name people see.
    pub display_name: String,
    /// Not shown, and left out of answers unless named.
    pub hidden: bool,
    /// Can be filtered by.
    pub indexed: bool,
    /// Holds no value twice.
    pub unique: bool,
    /// Cannot be written.
    pub read_only: bool,
    /// A new item that says nothing about it gets a value all the same.
    pub has_default: bool,
    /// Kind; `None` for kinds that are not synced or not told.
    pub kind: Option<ColumnKind>,
}

/// Kind of an existing column, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    /// A kind that serves a mapping.
    Known(Facet),
    /// Text with markup; the service rewrites what is stored.
    RichText,
    /// A kind by its facet's name in the contract.
    Other(&'static str),
}

/// How an existing column falls short of the wanted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDifference {
    /// Internal name.
    pub column: String,
    /// What the mapping needs.
    pub wanted: String,
    /// What the list has.
    pub found: String,
    /// What a person does about it.
    pub fix: String,
}

/// Whether an existing column serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// As it is.
    Serves,
    /// With these choices, the present ones first.
    Grow(Vec<String>),
    /// Once it takes longer texts; in a list that is not ours to change that is a difference.
    Lengthen(ColumnDifference),
    /// Once it is indexed.
    Index,
    /// Not, and it is for a person to say what gives way.
    Differs(ColumnDifference),
}

pub(crate) fn fit(wanted: &DesiredColumn, found: &ListColumn) -> Fit {
    match fit_of_kind(wanted, found) {
        Fit::Serves if wanted.options.indexed && !found.indexed => Fit::Index,
        other => other,
    }
}

fn fit_of_kind(wanted: &DesiredColumn, found: &ListColumn) -> Fit {
    let differs = |needs: String, has: String, fix: &str| {
        Fit::Differs(ColumnDifference {
            column: wanted.name.clone(),
            wanted: needs,
            found: has,
            fix: fix.to_owned(),
        })
    };
    if found.read_only {
        return differs(
            "a column that can be written".into(),
            "a read-only column".into(),
            "map the field to another internal name",
        );
    }
    if wanted.unique && !(found.unique && found.indexed) {
        return differs(
            "an indexed column of unique values".into(),
            "a column without index or uniqueness".into(),
            "in the list's settings, index the column and enforce unique values",
        );
    }
    let other_kind = |has: String| {
        differs(
            facet_name(&wanted.facet).into(),
            has,
            "map the field to another internal name, or remove the column from the list after saving its values",
        )
    };
    match (&wanted.facet, &found.kind) {
        (Facet::Text { max_length: needs }, Some(ColumnKind::Known(Facet::Text { max_length: has })))
            if has < needs =>
        {
            Fit::Lengthen(ColumnDifference {
                column: wanted.name.clone(),
                wanted: format!("single-line text of {needs} characters"),
                found: format!("single-line text of {has} characters"),
                fix: "raise the column's maximum length in the list's settings, or lower it in the mapping"
                    .to_owned(),
            })
        }
        (Facet::Text { .. }, Some(ColumnKind::Known(Facet::Text { .. })))
        | (Facet::MultiLine, Some(ColumnKind::Known(Facet::MultiLine)))
        | (Facet::Number { .. }, Some(ColumnKind::Known(Facet::Number { .. })))
        | (Facet::Boolean, Some(ColumnKind::Known(Facet::Boolean)))
        | (Facet::DateTime, Some(ColumnKind::Known(Facet::DateTime)))
        | (Facet::DateOnly, Some(ColumnKind::Known(Facet::DateOnly))) => Fit::Serves,
        (Facet::Choice { choices: needs }, Some(ColumnKind::Known(Facet::Choice { choices: has })))
        | (
            Facet::MultiChoice { choices: needs },
            Some(ColumnKind::Known(Facet::MultiChoice { choices: has })),
        ) => {
            let missing: Vec<_> = needs
                .iter()
                .filter(|choice| !has.contains(choice))
                .cloned()
                .collect();
            if missing.is_empty() || wanted.options.new_choices == NewChoices::Fixed {
                Fit::Serves
            } else {
                Fit::Grow(has.iter().cloned().chain(missing).collect())
            }
        }
        (Facet::MultiLine, Some(ColumnKind::Known(Facet::Text { max_length: has }))) => differs(
            facet_name(&wanted.facet).into(),
            format!("single-line text of {has} characters"),
            "write `type: {kind: text, maxLength: …}` for the field, whereupon rows with longer texts are refused, or \
             map it to another internal name",
        ),
        (_, Some(ColumnKind::Known(facet))) => other_kind(facet_name(facet).into()),
        (_, Some(ColumnKind::RichText)) => other_kind("rich text".into()),
        (_, Some(ColumnKind::Other(name))) => other_kind((*name).into()),
        (_, None) => other_kind("a kind of column that is not told".into()),
    }
}

pub(crate) fn facet_name(facet: &Facet) -> &'static str {
    match facet {
        Facet::Text { .. } => "single-line text",
        Facet::MultiLine => "multi-line plain text",
        Facet::Number { .. } => "number",
        Facet::Boolean => "yes/no",
        Facet::Choice { .. } => "choice",
        Facet::MultiChoice { .. } => "several choices at once",
        Facet::DateTime => "date and time",
        Facet::DateOnly => "date only",
    }
}

#[cfg(test)]
#[path = "column_tests.rs"]
mod tests;
