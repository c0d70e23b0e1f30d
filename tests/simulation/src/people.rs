//! What people do in the list, and what becomes of it: an edit may be overwritten only if both values were kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json};
use syncbridge_domain::identity::Identity;
use syncbridge_graph_sim::{Method, Request, Tenant};

use crate::actors::TARGETS;
use crate::scenario::KEY_COLUMN;

/// An item as it is stored, whoever may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredItem {
    /// Its number.
    pub id: u64,
    /// Its guid.
    pub guid: String,
    /// How often it was written.
    pub counter: u64,
    /// Whether the newest version is an application's.
    pub by_app: bool,
    /// Whether applications are kept from seeing it.
    pub hidden: bool,
    /// Every stored value.
    pub fields: Map<String, Json>,
}

impl StoredItem {
    pub(crate) fn of(json: &Json) -> Option<Self> {
        Some(Self {
            id: json["id"].as_u64()?,
            guid: json["guid"].as_str()?.to_owned(),
            counter: json["counter"].as_u64()?,
            by_app: json["editor"] == "app",
            hidden: json["hidden"] == true,
            fields: json["fields"].as_object()?.clone(),
        })
    }

    /// A stored value; null where there is none.
    #[must_use]
    pub fn value(&self, column: &str) -> &Json {
        self.fields.get(column).unwrap_or(&Json::Null)
    }
}

/// A cell that a person typed and that stands.
#[derive(Clone, Debug, PartialEq)]
struct Typed {
    /// When.
    at: DateTime<Utc>,
    /// What was there before people came to it.
    before: Json,
    /// What is there now.
    value: Json,
}

/// A cell that a person typed and that an application's write replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Overwritten {
    /// The item.
    pub item: u64,
    /// The sync key that it bore, in small letters.
    pub key: String,
    /// Internal name of its column.
    pub column: String,
    /// What the person had typed.
    pub value: Json,
    /// When.
    pub typed: DateTime<Utc>,
    /// What replaced it.
    pub by: Json,
}

/// The record of people's doings; clones share it.
#[derive(Clone, Default)]
pub struct People(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    list: String,
    typed: BTreeMap<(u64, String), Typed>,
    overwritten: Vec<Overwritten>,
    made: BTreeSet<u64>,
    restored: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
    rekeyed: BTreeSet<u64>,
    hidden: BTreeSet<u64>,
    /// What people put into cells, with the sync key that the item bore.
    held: Vec<(String, String, Json)>,
    /// Since when each row is there.
    present: BTreeMap<Identity, Duration>,
    /// Items that a request made disappear.
    vanished: Vec<StoredItem>,
    /// What the source ever held, as the list would show it, and since when.
    source: BTreeMap<(Identity, String), Vec<Held>>,
    /// Every write is watched, not only those that may touch what people typed.
    watches_all: bool,
    /// What each cell of the list ever showed.
    shown: BTreeMap<(u64, String), Vec<Json>>,
    /// The version of each item when it was looked at last.
    versions: BTreeMap<u64, u64>,
    /// When people first deleted an item.
    deleted_at: BTreeMap<u64, DateTime<Utc>>,
}

/// A value and since when it is held.
type Held = (DateTime<Utc>, Json);

impl State {
    fn note_shown(&mut self, item: &StoredItem) {
        if self.versions.insert(item.id, item.counter) == Some(item.counter) {
            return;
        }
        for column in TARGETS.into_iter().chain([KEY_COLUMN]) {
            let shown = self.shown.entry((item.id, column.to_owned())).or_default();
            let value = item.value(column);
            if shown.last() != Some(value) {
                shown.push(value.clone());
            }
        }
    }
}

/// The list before a write, if there is anything to compare.
pub(crate) struct Before(Option<Vec<StoredItem>>);

impl StoredItem {
    /// The sync key in small letters; empty where there is none.
    #[must_use]
    pub fn sync_key(&self) -> String {
        self.value("SyncBridgeKey")
            .as_str()
            .unwrap_or_default()
            .to_lowercase()
    }
}

impl People {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the list that everything is about.
    pub fn watch(&self, list: &str) {
        list.clone_into(&mut self.state().list);
    }

    /// From now on every write is watched.
    pub fn watch_all(&self) {
        self.state().watches_all = true;
    }

    pub(crate) fn before(&self, tenant: &mut Tenant, request: &Request, now: DateTime<Utc>) -> Before {
        if request.method == Method::Get || request.path_and_query.contains("/oauth2/") {
            return Before(None);
        }
        let deletes =
            request.method == Method::Delete || request.body.windows(8).any(|window| window == b"\"DELETE\"");
        if deletes {
            let list = self.state().list.clone();
            return Before(Some(stored(tenant, &list, now)));
        }
        self.before_any(tenant, now)
    }

    pub(crate) fn before_any(&self, tenant: &mut Tenant, now: DateTime<Utc>) -> Before {
        let state = self.state();
        Before((!state.typed.is_empty() || state.watches_all).then(|| stored(tenant, &state.list, now)))
    }

    pub(crate) fn after(&self, tenant: &mut Tenant, before: Before, now: DateTime<Utc>) {
        let Some(before) = before.0 else { return };
        let mut state = self.state();
        let items = stored(tenant, &state.list, now);
        let state = &mut *state;
        if state.watches_all {
            for item in &items {
                state.note_shown(item);
            }
        }
        let gone_now = before
            .into_iter()
            .filter(|item| !items.iter().any(|known| known.id == item.id));
        state.vanished.extend(gone_now);
        let mut gone = Vec::new();
        for ((item, column), typed) in &state.typed {
            let Some(now) = items.iter().find(|known| known.id == *item) else {
                continue;
            };
            let value = now.value(column);
            if *value == typed.value {
                continue;
            }
            gone.push((*item, column.clone()));
            // What a person put back as it was is no edit any more.
            if typed.value != typed.before {
                state.overwritten.push(Overwritten {
                    item: *item,
                    key: now.sync_key(),
                    column: column.clone(),
                    value: typed.value.clone(),
                    typed: typed.at,
                    by: value.clone(),
                });
            }
        }
        for cell in gone {
            state.typed.remove(&cell);
        }
    }

    /// A person typed into cells of an item.
    pub fn typed(&self, before: &StoredItem, now: &StoredItem, columns: &[&str], at: DateTime<Utc>) {
        let mut state = self.state();
        state.note_shown(now);
        for column in columns {
            let value = now.value(column).clone();
            state
                .held
                .push((before.sync_key(), (*column).to_owned(), value.clone()));
            let typed = state
                .typed
                .entry((now.id, (*column).to_owned()))
                .or_insert_with(|| Typed {
                    at,
                    before: before.value(column).clone(),
                    value: Json::Null,
                });
            typed.value = value;
            typed.at = at;
        }
    }

    /// Forgets typed cells that the source holds as well: both sides agree, and nobody loses anything any more.
    pub fn agree(&self, both_hold: impl Fn(u64, &str, &Json) -> bool) {
        let mut state = self.state();
        for ((item, column), typed) in &mut state.typed {
            if both_hold(*item, column, &typed.value) {
                typed.before = typed.value.clone();
            }
        }
    }

    /// A person made an item.
    pub fn made(&self, item: &StoredItem, at: DateTime<Utc>) {
        let mut state = self.state();
        state.made.insert(item.id);
        state.note_shown(item);
        if state.watches_all {
            for column in TARGETS {
                let typed = Typed {
                    at,
                    before: Json::Null,
                    value: item.value(column).clone(),
                };
                state.typed.insert((item.id, column.to_owned()), typed);
            }
        }
        let key = item.sync_key();
        let cells = item
            .fields
            .iter()
            .map(|(column, value)| (key.clone(), column.clone(), value.clone()));
        state.held.extend(cells);
    }

    /// Whether people ever put such a value into the column of an item that bore this sync key, or none that is known.
    #[must_use]
    pub fn ever_held(&self, key: &str, column: &str, such: impl Fn(&Json) -> bool) -> bool {
        let state = self.state();
        let of_item = |known: &str| known == key || !known.starts_with('1');
        let mut held = state
            .held
            .iter()
            .filter(|(known, place, _)| of_item(known) && place == column);
        held.any(|(_, _, value)| such(value)) || !state.restored.is_empty() || !state.rekeyed.is_empty()
    }

    /// These rows are there now, and no others.
    pub fn present(&self, rows: &BTreeSet<Identity>, now: Duration) {
        let mut state = self.state();
        state.present.retain(|identity, _| rows.contains(identity));
        for identity in rows {
            state.present.entry(*identity).or_insert(now);
        }
    }

    /// Since when a row is there; nothing where it is not.
    #[must_use]
    pub fn present_since(&self, identity: Identity) -> Option<Duration> {
        self.state().present.get(&identity).copied()
    }

    /// Items that requests made disappear since this was asked last.
    #[must_use]
    pub fn take_vanished(&self) -> Vec<StoredItem> {
        std::mem::take(&mut self.state().vanished)
    }

    /// The source holds this.
    pub fn source_held(&self, identity: Identity, column: &str, value: Json, now: DateTime<Utc>) {
        let mut state = self.state();
        let held = state.source.entry((identity, column.to_owned())).or_default();
        if held.last().is_none_or(|(_, last)| *last != value) {
            held.push((now, value));
        }
    }

    /// Whether the source ever held such a value there.
    #[must_use]
    pub fn source_ever_held(&self, identity: Identity, column: &str, such: impl Fn(&Json) -> bool) -> bool {
        let state = self.state();
        let held = state.source.get(&(identity, column.to_owned()));
        held.is_some_and(|held| held.iter().any(|(_, value)| such(value)))
    }

    /// Whether the source held such a value there at this moment or later.
    #[must_use]
    pub fn source_held_since(
        &self,
        identity: Identity,
        column: &str,
        moment: DateTime<Utc>,
        such: impl Fn(&Json) -> bool,
    ) -> bool {
        let state = self.state();
        let Some(held) = state.source.get(&(identity, column.to_owned())) else {
            return false;
        };
        let until = held.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        held.iter()
            .zip(until)
            .any(|((_, value), until)| until.is_none_or(|until| until >= moment) && such(value))
    }

    /// Since when the source holds, or held last, such a value there.
    #[must_use]
    pub fn source_holds_since(
        &self,
        identity: Identity,
        column: &str,
        such: impl Fn(&Json) -> bool,
    ) -> Option<DateTime<Utc>> {
        let state = self.state();
        let held = state.source.get(&(identity, column.to_owned()))?;
        held.iter()
            .rfind(|(_, value)| such(value))
            .map(|(since, _)| *since)
    }

    /// Whether a cell of the list ever showed such a value.
    #[must_use]
    pub fn ever_shown(&self, item: u64, column: &str, such: impl Fn(&Json) -> bool) -> bool {
        let state = self.state();
        let shown = state.shown.get(&(item, column.to_owned()));
        shown.is_some_and(|shown| shown.iter().any(such))
    }

    /// When a person first deleted the item.
    #[must_use]
    pub fn deleted_at(&self, item: u64) -> Option<DateTime<Utc>> {
        self.state().deleted_at.get(&item).copied()
    }

    /// Whether people did anything to items but type into cells.
    #[must_use]
    pub fn did_more_than_type(&self) -> bool {
        let state = self.state();
        !(state.made.is_empty()
            && state.restored.is_empty()
            && state.deleted.is_empty()
            && state.rekeyed.is_empty()
            && state.hidden.is_empty())
    }

    /// A person deleted an item.
    pub fn deleted(&self, item: u64, now: DateTime<Utc>) {
        let mut state = self.state();
        state.deleted.insert(item);
        state.deleted_at.entry(item).or_insert(now);
    }

    /// A person took an item out of the recycle bin.
    pub fn restored(&self, item: u64) {
        self.state().restored.insert(item);
    }

    /// A person changed an item's sync key.
    pub fn rekeyed(&self, item: u64) {
        self.state().rekeyed.insert(item);
    }

    /// The item was out of the app's sight for a while.
    pub fn hidden(&self, item: u64) {
        self.state().hidden.insert(item);
    }

    /// Whether any item was ever out of the app's sight.
    #[must_use]
    pub fn hid_anything(&self) -> bool {
        !self.state().hidden.is_empty()
    }

    /// Whether the item was out of the app's sight for a while.
    #[must_use]
    pub fn was_hidden(&self, item: u64) -> bool {
        self.state().hidden.contains(&item)
    }

    /// Whether a person made the item.
    #[must_use]
    pub fn has_made(&self, item: u64) -> bool {
        self.state().made.contains(&item)
    }

    /// Whether a person deleted the item.
    #[must_use]
    pub fn has_deleted(&self, item: u64) -> bool {
        self.state().deleted.contains(&item)
    }

    /// Whether a person took the item out of the recycle bin.
    #[must_use]
    pub fn has_restored(&self, item: u64) -> bool {
        self.state().restored.contains(&item)
    }

    /// Whether a person changed the item's sync key.
    #[must_use]
    pub fn has_rekeyed(&self, item: u64) -> bool {
        self.state().rekeyed.contains(&item)
    }

    /// Whether the cell holds what a person typed.
    #[must_use]
    pub fn stands(&self, item: u64, column: &str) -> bool {
        self.state().typed.contains_key(&(item, column.to_owned()))
    }

    /// Typed cells that applications wrote over.
    #[must_use]
    pub fn overwritten(&self) -> Vec<Overwritten> {
        self.state().overwritten.clone()
    }
}

/// Every item of a list as it is stored.
pub(crate) fn stored(tenant: &mut Tenant, list: &str, now: DateTime<Utc>) -> Vec<StoredItem> {
    let request = Request::new(Method::Get, format!("/_sim/lists/{list}/items"));
    let answer = tenant.handle(request, now).response.json().unwrap_or_default();
    let items = answer["items"].as_array();
    items.map_or_else(Vec::new, |items| {
        items.iter().filter_map(StoredItem::of).collect()
    })
}
