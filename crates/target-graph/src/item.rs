//! Items as Graph spells them: envelopes with `fields`, and the bare field set a PATCH answers (contract §6).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value as Json;
use syncbridge_domain::list_rules::{ItemIdentity, ListRules};
use syncbridge_domain::mapping::{Mapping, STATE_COLUMN, SYNC_KEY_COLUMN};
use syncbridge_domain::receipt::{Fields, Item, ItemId};
use syncbridge_domain::system_field::SystemField;
use syncbridge_domain::version::Version;

use crate::column::ListColumn;
use crate::transport::HttpResponse;

/// Which columns of a list matter, and when a missing one means null.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Internal names of the mapped columns.
    pub(crate) mapped: BTreeSet<String>,
    /// Mapped columns, the sync key and the mark of archived items: what is kept of an answer, and what is asked for.
    pub(crate) kept: BTreeSet<String>,
    /// Every internal name the list has, the sync key taken for granted.
    pub(crate) known: BTreeSet<String>,
    /// Where the sync key is kept; `None` where a mapped column of the list's own tells items apart.
    key_column: Option<String>,
    /// Mapped columns in which an item that says nothing gets a value all the same.
    pub(crate) defaulted: BTreeSet<String>,
    /// Whether the sync key's column is hidden, so that only an answer that was asked for it shows it.
    key_hidden: bool,
    /// Whether no mapped column is hidden, so that an answer without `$select` shows them all.
    pub(crate) all_visible: bool,
    /// Application id under which we write, where it is known.
    our_app: Option<String>,
}

impl Shape {
    pub(crate) fn new(mapping: &Mapping, columns: &[ListColumn], rules: &ListRules) -> Self {
        let mapped: BTreeSet<String> = mapping.fields.iter().map(|field| field.target.clone()).collect();
        let hidden: BTreeSet<&String> = columns.iter().filter(|c| c.hidden).map(|c| &c.name).collect();
        let key_column = match &rules.identity {
            ItemIdentity::SyncKey { column } => Some(column.clone()),
            ItemIdentity::KeyField { .. } => None,
        };
        let mut kept = mapped.clone();
        kept.extend(key_column.clone());
        let defaulted = columns.iter().filter(|column| column.has_default);
        let defaulted = defaulted.map(|column| column.name.clone());
        // Only lists of definitions that archive have it.
        if columns.iter().any(|column| column.name == STATE_COLUMN) {
            kept.insert(STATE_COLUMN.to_owned());
        }
        Self {
            defaulted: defaulted.filter(|name| mapped.contains(name)).collect(),
            // The sync key is hidden, and whether hidden columns are told is weakly evidenced; a list without
            // it refuses the first create by name.
            known: columns
                .iter()
                .map(|column| column.name.clone())
                .chain(key_column.clone().filter(|name| name == SYNC_KEY_COLUMN))
                // Values show some of what the list itself knows under other names than its columns have.
                .chain(SystemField::ALL.map(|field| field.shown_as().to_owned()))
                .collect(),
            // A hidden column may be left out of the columns, too.
            key_hidden: key_column
                .as_ref()
                .is_some_and(|name| name == SYNC_KEY_COLUMN || hidden.contains(name)),
            all_visible: !mapped.iter().any(|name| hidden.contains(name)),
            mapped,
            kept,
            key_column,
            our_app: None,
        }
    }

    /// Knows under which application id we write.
    pub(crate) fn written_by(mut self, app: Option<&str>) -> Self {
        self.our_app = app.map(str::to_owned);
        self
    }

    /// Outgoing values as this list spells them: the sync key under its column's name, or not at all.
    pub(crate) fn outgoing(&self, fields: &Fields) -> Fields {
        let mut fields = fields.clone();
        if self.key_column.as_deref() == Some(SYNC_KEY_COLUMN) {
            return fields;
        }
        if let (Some(key), Some(column)) = (fields.remove(SYNC_KEY_COLUMN), &self.key_column) {
            fields.insert(column.clone(), key);
        }
        fields
    }

    /// Whether a refusal for a value that is taken is about what items are recognised by.
    pub(crate) fn is_key_column(&self, name: &str) -> bool {
        self.key_column.as_deref() == Some(name)
    }

    /// Whether a `lastModifiedBy` names this very app; nothing where it is not told.
    pub(crate) fn by_us(&self, writer: Option<&Json>) -> Option<bool> {
        let (ours, writer) = (self.our_app.as_ref()?, writer?);
        let app = writer.pointer("/application/id").and_then(Json::as_str);
        Some(app.is_some_and(|app| app.eq_ignore_ascii_case(ours)))
    }

    /// The columns we need that the list does not have.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &String> {
        self.kept.difference(&self.known)
    }

    /// The nested option that names the columns; a hidden one is returned only when named.
    pub(crate) fn expand(&self) -> String {
        let names: Vec<&str> = self.kept.iter().map(String::as_str).collect();
        format!("fields($select={})", names.join(","))
    }
}

/// An item envelope.
#[derive(Deserialize)]
pub(crate) struct ItemAnswer {
    id: Json,
    #[serde(rename = "eTag")]
    etag: Option<String>,
    #[serde(rename = "@odata.etag")]
    odata_etag: Option<String>,
    #[serde(rename = "lastModifiedBy")]
    last_writer: Option<Json>,
    #[serde(rename = "lastModifiedDateTime")]
    modified: Option<Json>,
    fields: Option<BTreeMap<String, Json>>,
}

impl ItemAnswer {
    /// The item; `selected` says that the columns were asked for by name. `None`: not an item by the contract.
    pub(crate) fn item(self, shape: &Shape, selected: bool) -> Option<Item> {
        let id = match self.id {
            Json::String(id) if is_item_number(&id) => id,
            Json::Number(id) => id.to_string(),
            _ => return None,
        };
        let etag = self.etag.or(self.odata_etag)?;
        let version = Version::parse(&etag).ok()?;
        let complete = self.fields.is_some() && (selected || shape.all_visible);
        let by_us = shape.by_us(self.last_writer.as_ref());
        Some(Item {
            id: ItemId(id),
            version,
            fields: keep(self.fields.unwrap_or_default(), shape),
            complete,
            shows_key: selected || !shape.key_hidden,
            modified: self.modified.as_ref().and_then(Json::as_str).and_then(instant),
            by_us,
        })
    }
}

/// The field set that a PATCH of `/fields` answers: no envelope, the version in `@odata.etag` or the header.
pub(crate) fn patched(id: &ItemId, answer: &HttpResponse, shape: &Shape) -> Option<Item> {
    let mut fields: BTreeMap<String, Json> = serde_json::from_slice(&answer.body).ok()?;
    // The item form answers an envelope; both are valid answers.
    if let Some(Json::Object(inner)) = fields.get("fields") {
        fields = inner
            .clone()
            .into_iter()
            .chain(fields.get("eTag").map(|tag| ("@odata.etag".into(), tag.clone())))
            .collect();
    }
    let etag = fields
        .get("@odata.etag")
        .and_then(Json::as_str)
        .or_else(|| answer.header("etag"))?;
    let version = Version::parse(etag).ok()?;
    Some(Item {
        id: id.clone(),
        version,
        fields: keep(fields, shape),
        complete: shape.all_visible,
        shows_key: !shape.key_hidden,
        // A field set names neither writer nor time.
        modified: None,
        by_us: None,
    })
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// Whether a text can be an item's number; anything else is never put into a path or a trace.
pub(crate) fn is_item_number(id: &str) -> bool {
    !id.is_empty() && id.len() <= 20 && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// What matters of an answer, the sync key under our own name for it.
pub(crate) fn keep(fields: BTreeMap<String, Json>, shape: &Shape) -> Fields {
    fields
        .into_iter()
        .filter(|(name, _)| shape.kept.contains(name))
        .map(|(name, value)| {
            if shape.is_key_column(&name) {
                (SYNC_KEY_COLUMN.to_owned(), value)
            } else {
                (name, value)
            }
        })
        .collect()
}
