//! Items as the simulator itself shows them to people and tests: every stored value, whoever may see it.

use serde_json::{Map, Value, json};

use crate::cell::IndexKey;
use crate::filter::Field;
use crate::list::{Actor, Item};
use crate::reply::{GraphError, timestamp};
use crate::show::{Show, Spelling, etag};

const fn kind_of(actor: Actor) -> &'static str {
    match actor {
        Actor::App(_) => "app",
        Actor::Person(_) => "person",
    }
}

pub(crate) fn raw_item(show: &Show<'_>, item: &Item) -> Value {
    json!({
        "id": item.id,
        "guid": item.guid.to_string(),
        "counter": item.counter,
        "version": format!("{}.0", item.label),
        "etag": etag(item.guid, item.counter, Spelling::Quoted),
        "created": timestamp(item.created),
        "modified": timestamp(item.modified),
        "editor": kind_of(item.editor),
        "editorName": show.actor_name(item.editor),
        "approval": item.approval,
        "hidden": item.restricted,
        "attachments": item.attachments,
        "fields": show.raw_fields(item),
        "shown": shown_texts(show, item),
    })
}

/// The texts behind lookups and people, by column.
fn shown_texts(show: &Show<'_>, item: &Item) -> Map<String, Value> {
    let columns = show.list.columns.iter();
    let lookups = columns.filter(|column| column.kind.is_lookup() && !column.builtin);
    lookups
        .filter_map(|column| {
            let ids = item.cell(column.slot)?.lookup_ids();
            let texts: Vec<String> = ids
                .iter()
                .map(|id| show.behind(column, *id).unwrap_or_else(|| format!("#{id}")))
                .collect();
            Some((column.name.clone(), Value::from(texts)))
        })
        .collect()
}

/// Earlier versions of an item, newest first.
pub(crate) fn raw_versions(show: &Show<'_>, item: &Item) -> Value {
    let versions = item.history.iter().rev().map(|old| {
        json!({
            "version": format!("{}.0", old.label),
            "modified": timestamp(old.modified),
            "editor": kind_of(old.editor),
            "editorName": show.actor_name(old.editor),
            "fields": show.raw_cells(&old.cells),
        })
    });
    versions.collect()
}

/// All items in the order of a column (its internal name, or `id`, `counter`), items without a value first.
pub(crate) fn sorted<'a>(
    show: &Show<'a>,
    column: &str,
    descending: bool,
) -> Result<Vec<&'a Item>, GraphError> {
    let list = show.list;
    let field = match column {
        "id" | "ID" => Some(Field::Id),
        "counter" => None,
        "Modified" => Some(Field::Modified),
        "Created" => Some(Field::Created),
        _ => {
            let found = list.column(column);
            let found = found.ok_or_else(|| GraphError::invalid("there is no such column to sort by"))?;
            Some(Field::Slot(found.slot))
        }
    };
    let key = |item: &Item| match &field {
        Some(field) => field.key(item),
        None => Some(IndexKey::Lookup(item.counter)),
    };
    let mut keyed: Vec<(Option<IndexKey>, &Item)> =
        list.items.values().map(|item| (key(item), item)).collect();
    keyed.sort_by(|(one, _), (other, _)| {
        let order = one.cmp(other);
        if descending { order.reverse() } else { order }
    });
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}
