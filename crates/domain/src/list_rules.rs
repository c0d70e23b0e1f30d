//! Whose columns a list has, how its items are recognised, and what is asked of single columns.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::facet::Facet;
use crate::mapping::{FieldMapping, Mapping, SYNC_KEY_COLUMN};

/// Who owns the columns of a target list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TargetMode {
    /// We do: the list and its columns are made where they are missing.
    #[default]
    Managed,
    /// People do: no column is ever made, altered or removed.
    BringYourOwn,
}

/// What happens to a choice column when its source column gets a new text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum NewChoices {
    /// The text is added to the column before a row that holds it is written.
    #[default]
    Grow,
    /// The column stays as it is, and such rows are refused.
    Fixed,
}

/// What is asked of one list column beyond its kind.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ColumnOptions {
    /// Shown beside the column's settings.
    pub description: Option<String>,
    /// People must fill it in; the service asks only people.
    pub required: bool,
    /// What a new item of a person begins with, in the service's own spelling.
    pub default: Option<String>,
    /// People can sort and filter a large list by it.
    pub indexed: bool,
    /// What becomes of new texts.
    pub new_choices: NewChoices,
    /// The internal name was chosen by a person, so that no other column of the list serves for it.
    pub named: bool,
}

/// By which column an item is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemIdentity {
    /// A text column that holds the sync key and nothing else.
    SyncKey {
        /// Internal name.
        column: String,
    },
    /// The column that the only key column is mapped onto.
    KeyField {
        /// Internal name.
        column: String,
    },
}

impl ItemIdentity {
    /// Internal name of the column.
    #[must_use]
    pub fn column(&self) -> &str {
        match self {
            ItemIdentity::SyncKey { column } | ItemIdentity::KeyField { column } => column,
        }
    }
}

impl Default for ItemIdentity {
    fn default() -> Self {
        ItemIdentity::SyncKey {
            column: SYNC_KEY_COLUMN.to_owned(),
        }
    }
}

/// How a run has to treat its list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRules {
    /// Who owns the columns.
    pub mode: TargetMode,
    /// By which column an item is recognised.
    pub identity: ItemIdentity,
    /// The list refuses a second item of one identity. Without that a create whose answer was lost is never
    /// sent again before it is certain that it did not arrive.
    pub unique: bool,
    /// The list can be searched by that column.
    pub indexed: bool,
    /// Internal names of choice columns that are not to grow.
    pub fixed_choices: Vec<String>,
}

impl Default for ListRules {
    fn default() -> Self {
        Self {
            mode: TargetMode::Managed,
            identity: ItemIdentity::default(),
            unique: true,
            indexed: true,
            fixed_choices: Vec::new(),
        }
    }
}

/// What was learnt of a list when it was provisioned or taken over; remembered, so that a run that finds nothing
/// to do asks the list nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ListFacts {
    /// Source columns that are mapped onto another column of the list than their name would make.
    pub names: BTreeMap<String, String>,
    /// See [`ListRules::unique`].
    pub unique: bool,
    /// See [`ListRules::indexed`].
    pub indexed: bool,
    /// [`wish_stamps`] of what the list was made to fit so far.
    pub fitted: BTreeSet<String>,
}

impl Default for ListFacts {
    fn default() -> Self {
        Self {
            names: BTreeMap::new(),
            unique: true,
            indexed: true,
            fitted: BTreeSet::new(),
        }
    }
}

impl ListFacts {
    /// The mapping onto the columns that the list really has.
    #[must_use]
    pub fn bind(&self, mut mapping: Mapping) -> Mapping {
        for field in &mut mapping.fields {
            if let Some(name) = self.names.get(&field.column) {
                field.target.clone_from(name);
            }
        }
        mapping
    }
}

/// Stands for everything about a wanted list that would have to be changed in a list that is there, one stamp a
/// column: while all of them were fitted before, there is nothing to look at. Descriptions, defaults, requirements
/// and lengths are only given to new columns, so that what people set afterwards stays.
#[must_use]
pub fn wish_stamps(
    mapping: &Mapping,
    options: &BTreeMap<String, ColumnOptions>,
    own: Option<&ItemIdentity>,
) -> BTreeSet<String> {
    let of_field = |field: &FieldMapping| {
        let asked = options.get(&field.column);
        let choices = match &field.facet {
            Facet::Choice { choices } | Facet::MultiChoice { choices } => choices.as_slice(),
            _ => &[],
        };
        let indexed = asked.is_some_and(|asked| asked.indexed);
        let fixed = asked.is_some_and(|asked| asked.new_choices == NewChoices::Fixed);
        // The only name that is given to a column that was there before us.
        let shown = if field.target == "Title" {
            &field.display_name
        } else {
            ""
        };
        let mut parts = vec![
            field.target.as_str(),
            field.facet.kind().word(),
            if indexed { "indexed" } else { "" },
            if fixed { "fixed" } else { "" },
            shown,
        ];
        parts.extend(choices.iter().map(String::as_str));
        stamp(&parts)
    };
    let identity = own.map_or("", ItemIdentity::column);
    let fields = mapping.fields.iter().map(of_field);
    fields.chain([stamp(&["identity", identity])]).collect()
}

fn stamp(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().as_str()[..16].to_owned()
}

/// How items of a list that people own are recognised: by the column they name, or else by the one that the only
/// key column is mapped onto. `None`: nothing in the list could hold an identity.
#[must_use]
pub fn identity_of(mapping: &Mapping, named: Option<&str>) -> Option<ItemIdentity> {
    let [key] = mapping.key.as_slice() else {
        return named.filter(|name| !is_mapped(mapping, name)).map(sync_key_in);
    };
    let key_field = mapping.fields.iter().find(|field| field.column == key.name);
    match (named, key_field) {
        (Some(name), Some(field)) if field.target.eq_ignore_ascii_case(name) => {
            Some(key_field_in(&field.target))
        }
        (Some(name), _) if is_mapped(mapping, name) => None,
        (Some(name), _) => Some(sync_key_in(name)),
        (None, Some(field)) => Some(key_field_in(&field.target)),
        (None, None) => None,
    }
}

fn is_mapped(mapping: &Mapping, name: &str) -> bool {
    mapping
        .fields
        .iter()
        .any(|field| field.target.eq_ignore_ascii_case(name))
}

fn sync_key_in(name: &str) -> ItemIdentity {
    ItemIdentity::SyncKey {
        column: name.to_owned(),
    }
}

fn key_field_in(name: &str) -> ItemIdentity {
    ItemIdentity::KeyField {
        column: name.to_owned(),
    }
}
