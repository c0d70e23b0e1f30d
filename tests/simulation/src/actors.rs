//! Who acts beside the workers: applications on the source, people in the list.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::identity::{Key, encode_key};
use syncbridge_domain::row::Cell;
use syncbridge_graph_sim::Method;

use crate::history::Change;
use crate::model::source::{Refusal, TransactionId};
use crate::people::StoredItem;
use crate::scenario::{EDITED, KEY_COLUMN, definition};
use crate::world::World;

/// The key of a row, by its number.
#[must_use]
pub fn key(world: &World, row: u8) -> Option<Key> {
    let text = world.scenario.key_text(row);
    let columns = world.table.shape().key_columns();
    encode_key(&columns, &[Some(&text)]).ok()
}

/// An application changes the source in a transaction of its own.
pub fn commit(world: &World, changes: &[Change], after: u32, rolled_back: bool) {
    let transaction = world.table.begin();
    for change in changes {
        let done = apply(world, transaction, change);
        world.events.tell(world.timeline.elapsed(), || {
            format!("source: {change:?} {done:?}")
        });
    }
    let shared = world.clone();
    let end = move || {
        let ended = if rolled_back {
            shared.table.roll_back(transaction);
            "rolled back"
        } else {
            match shared.table.commit(transaction) {
                Ok(()) => "committed",
                Err(_) => "refused",
            }
        };
        let at = shared.timeline.elapsed();
        shared.events.note("source", at, 0, ended.as_bytes());
        shared.events.tell(at, || format!("source: {ended}"));
        crate::invariants::notice_agreement(&shared);
    };
    if after == 0 {
        end();
    } else {
        world.timeline.after(Duration::from_millis(u64::from(after)), end);
    }
}

/// The edited fields of a row, by the column of the table.
fn cells(world: &World, values: [u8; EDITED]) -> Vec<(usize, Cell)> {
    (0_u8..)
        .zip(values)
        .map(|(field, value)| (usize::from(field) + 1, world.scenario.cell(field, value)))
        .collect()
}

fn apply(world: &World, transaction: TransactionId, change: &Change) -> Result<usize, Refusal> {
    let table = &world.table;
    let of = |row| key(world, row).ok_or(Refusal::DuplicateKey);
    match change {
        Change::Insert { row, values } => {
            let mut set = cells(world, *values);
            set.push((0, Some(world.scenario.key_text(*row).into())));
            table.insert(transaction, &set).map(|_| 1)
        }
        Change::Update { row, field, value } => {
            let set = [(usize::from(*field) + 1, world.scenario.cell(*field, *value))];
            table.update(transaction, &of(*row)?, &set)
        }
        Change::Rewrite { row, values } => table.update(transaction, &of(*row)?, &cells(world, *values)),
        Change::Delete { row } => table.delete(transaction, &of(*row)?),
        Change::Rekey { row, to } => {
            let set = [(0, Some(world.scenario.key_text(*to).into()))];
            table.update(transaction, &of(*row)?, &set)
        }
    }
}

/// Columns of the list that people and applications edit.
pub const TARGETS: [&str; EDITED] = ["Title", "Amount", "Notes", "State"];

/// One of the items there are.
fn chosen(world: &World, item: u8) -> Option<StoredItem> {
    let items = world.items();
    let at = usize::from(item).checked_rem(items.len())?;
    items.into_iter().nth(at)
}

fn path(world: &World, rest: &str) -> String {
    format!("lists/{}/{rest}", world.place().list)
}

fn told(world: &World, what: &str, status: u16, body: &Json) {
    let at = world.timeline.elapsed();
    world
        .events
        .note(what, at, u64::from(status), body.to_string().as_bytes());
    world
        .events
        .tell(at, || format!("person: {what} → {status} {body}"));
}

/// A person edits a cell.
pub fn edit(world: &World, item: u8, field: u8, value: u8) {
    let Some(before) = chosen(world, item) else { return };
    let column = TARGETS[usize::from(field) % EDITED];
    type_into(world, &before, column, world.scenario.typed(field, value));
}

/// A person types this into a cell of an item.
pub fn type_into(world: &World, before: &StoredItem, column: &str, value: Json) {
    let body = json!({"fields": {column: value}});
    let place = path(world, &format!("items/{}", before.id));
    let (status, now) = world.control(Method::Post, &place, Some(&body));
    told(world, "edit", status, &now);
    if let (200, Some(now)) = (status, StoredItem::of(&now)) {
        world.people.typed(before, &now, &[column], world.timeline.wall());
        crate::invariants::notice_agreement(world);
    }
}

/// A person decides one of the conflicts that wait.
pub fn decide(world: &World, which: u8, winner: Side) {
    let parked = world.store.parked(definition());
    let Some(at) = usize::from(which).checked_rem(parked.len()) else {
        return;
    };
    let conflict = &parked[at];
    let decided = world
        .store
        .resolve(definition(), conflict.identity, &conflict.column, winner);
    world
        .book
        .decided(conflict.identity, &conflict.column, world.timeline.elapsed());
    let at = world.timeline.elapsed();
    world.events.note("decide", at, u64::from(decided), &[]);
    world.events.tell(at, || {
        format!(
            "person: decides `{}` of {}: {winner:?}",
            conflict.column, conflict.identity
        )
    });
}

/// The service forgets every place in the list's changes once.
pub fn expire_tokens(world: &World) {
    let rule = json!({"kind": "resync", "on": ["delta"], "times": 1});
    let (status, _) = world.control(Method::Post, "faults", Some(&rule));
    told(world, "expire", status, &Json::Null);
}

/// A person adds an item, with the key of a row where one is named and the list shows it.
pub fn add(world: &World, row: Option<u8>, values: [u8; EDITED]) {
    let mut fields: Map<String, Json> = (0_u8..)
        .zip(values)
        .map(|(field, value)| {
            let column = TARGETS[usize::from(field)].to_owned();
            (column, world.scenario.typed(field, value))
        })
        .collect();
    if let Some(row) = row.filter(|_| world.scenario.back.maps_key) {
        fields.insert(KEY_COLUMN.to_owned(), world.scenario.typed_key(row));
    }
    make(world, "add", &fields);
}

fn make(world: &World, what: &str, fields: &Map<String, Json>) {
    let body = json!({ "fields": fields });
    let (status, made) = world.control(Method::Post, &path(world, "items"), Some(&body));
    told(world, what, status, &made);
    if let Some(made) = StoredItem::of(&made).filter(|_| status == 201) {
        world.people.made(&made, world.timeline.wall());
    }
}

/// A person deletes an item.
pub fn remove(world: &World, item: u8) {
    let Some(item) = chosen(world, item) else { return };
    let place = path(world, &format!("items/{}", item.id));
    let (status, answer) = world.control(Method::Delete, &place, None);
    told(world, "remove", status, &answer);
    world.people.deleted(item.id, world.timeline.wall());
}

/// A person takes an item out of the recycle bin.
pub fn restore(world: &World, item: u8) {
    let (_, bin) = world.control(Method::Get, &path(world, "recycle-bin"), None);
    let items = bin["items"].as_array().cloned().unwrap_or_default();
    let Some(at) = usize::from(item).checked_rem(items.len()) else {
        return;
    };
    let Some(id) = items[at]["id"].as_u64() else {
        return;
    };
    let place = path(world, &format!("recycle-bin/{id}/restore"));
    let (status, answer) = world.control(Method::Post, &place, None);
    told(world, "restore", status, &answer);
    if status == 200 {
        world.people.restored(id);
    }
}

/// A person copies a row of the grid.
pub fn copy(world: &World, item: u8, key: bool) {
    let Some(item) = chosen(world, item) else { return };
    let mut columns = TARGETS.to_vec();
    if world.scenario.back.maps_key {
        columns.push(KEY_COLUMN);
    }
    if key {
        columns.push("SyncBridgeKey");
    }
    let values = columns.into_iter().filter_map(|column| {
        let value = item.fields.get(column)?;
        Some((column.to_owned(), value.clone()))
    });
    make(world, "copy", &values.collect());
}

/// A person empties an item's sync key, or types into it.
pub fn edit_key(world: &World, item: u8, text: bool) {
    let Some(item) = chosen(world, item) else { return };
    let value = if text { json!("typed by hand") } else { Json::Null };
    let place = path(world, &format!("items/{}", item.id));
    let body = json!({"fields": {"SyncBridgeKey": value}});
    let (status, answer) = world.control(Method::Post, &place, Some(&body));
    told(world, "edit_key", status, &answer);
    if status == 200 {
        world.people.rekeyed(item.id);
    }
}

/// An item's counter moves by itself.
pub fn touch(world: &World, item: u8) {
    act(world, item, "touch");
}

/// An item gets permissions of its own.
pub fn hide(world: &World, item: u8) {
    // Whoever vouches for full visibility keeps others from this.
    if world.scenario.policies.two_way.full_visibility && world.scenario.pulls() {
        return;
    }
    if let Some(id) = act(world, item, "hide") {
        world.people.hidden(id);
    }
}

fn act(world: &World, item: u8, verb: &str) -> Option<u64> {
    let item = chosen(world, item)?;
    let place = path(world, &format!("items/{}/{verb}", item.id));
    let (status, answer) = world.control(Method::Post, &place, None);
    told(world, verb, status, &answer);
    Some(item.id)
}

/// Whatever is hidden is shown again.
pub fn show(world: &World) {
    for item in world.items().into_iter().filter(|item| item.hidden) {
        let place = path(world, &format!("items/{}/show", item.id));
        let (status, answer) = world.control(Method::Post, &place, None);
        told(world, "show", status, &answer);
    }
}
