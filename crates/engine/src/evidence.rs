//! What the list shows about a write whose answer was lost (DESIGN §5, "the counter only orders").
//!
//! Content decides: every sent field shows what was sent → applied. The counter only says whether the write
//! can still land: while it stands where it stood before, a request under way may yet arrive.

use serde_json::Value as Json;
use syncbridge_domain::canonical::Value;
use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::facet::Facet;
use syncbridge_domain::mapping::{Mapping, STATE_COLUMN, SYNC_KEY_COLUMN};
use syncbridge_domain::receipt::{Fields, Item, ItemRead, Lookup};
use syncbridge_domain::version::Version;

/// What is now known about a write.
#[derive(Debug)]
pub(crate) enum Finding {
    /// It happened; this is the item now (none after a delete).
    Applied(Option<Item>),
    /// The item moved on and shows some of what was sent: it happened and a person wrote over the rest, or it did
    /// not and a person typed the same. Either way both sides agree on what is the same.
    Partly(Item),
    /// It happened and left the item in the one state, over which people wrote since.
    Then { then: Item, now: Item },
    /// The item moved on, and nobody can tell any more whether it happened in between.
    Unclear(Item),
    /// It did not happen, and may still.
    Pending,
    /// It did not happen and cannot any more: the item moved on without it.
    Superseded(Presence),
    /// Nothing could be learnt.
    Unknown,
    /// The item's past has to be asked and cannot be just now: until it answers, nothing is sent in its stead.
    NotNow,
}

/// What the item is now, for a new decision.
#[derive(Debug)]
pub(crate) enum Presence {
    Item(Item),
    Items(Vec<Item>),
    Gone,
}

/// Whether two JSON values are one value to a reader of such a column.
pub(crate) fn same_value(facet: &Facet, a: &Json, b: &Json) -> bool {
    match (Value::from_json(facet, a), Value::from_json(facet, b)) {
        (Ok(a), Ok(b)) => a.equivalent(&b),
        _ => false,
    }
}

/// How many of the sent, mapped fields the item shows as sent, and how many there are.
fn matches(mapping: &Mapping, sent: &Fields, item: &Item) -> (usize, usize) {
    let mut total = 0;
    let mut equal = 0;
    for field in &mapping.fields {
        let Some(sent) = sent.get(&field.target) else {
            continue;
        };
        total += 1;
        if item
            .value(&field.target)
            .is_some_and(|shown| same_value(&field.facet, sent, shown))
        {
            equal += 1;
        }
    }
    // The mark of an archived item is ours alone and is sent like a field.
    if let Some(sent) = sent.get(STATE_COLUMN) {
        total += 1;
        equal += usize::from(item.value(STATE_COLUMN).is_some_and(|shown| shown == sent));
    }
    // An item that a person made is given its sync key by a change of its own.
    if let Some(sent) = sent.get(SYNC_KEY_COLUMN) {
        total += 1;
        equal += usize::from(item.sync_key() == sent.as_str());
    }
    (equal, total)
}

/// What a lookup by sync key says about a create.
pub(crate) fn of_create(found: Lookup) -> Finding {
    match found {
        // The sync key is ours and unique, so the item is the one we made, whatever people did to it since.
        Lookup::One(item) => Finding::Applied(Some(item)),
        Lookup::Many(items) => Finding::Superseded(Presence::Items(items)),
        Lookup::Empty => Finding::Pending,
        Lookup::Unknown(_) => Finding::Unknown,
    }
}

/// What reading the item says about a patch or a delete.
pub(crate) fn of_change(
    mapping: &Mapping,
    kind: EffectKind,
    before: Version,
    sent: &Fields,
    found: ItemRead,
) -> Finding {
    let item = match found {
        ItemRead::Unknown(_) => return Finding::Unknown,
        ItemRead::Gone if kind == EffectKind::DeleteItem => return Finding::Applied(None),
        ItemRead::Gone => return Finding::Superseded(Presence::Gone),
        ItemRead::One(item) => item,
    };
    let moved = item.version.guid != before.guid || item.version.counter > before.counter;
    // The list was put back: whatever became of the write, it is not in this list.
    let went_back = item.version.guid == before.guid && item.version.counter < before.counter;
    if kind == EffectKind::DeleteItem {
        return if moved || went_back {
            Finding::Superseded(Presence::Item(item))
        } else {
            Finding::Pending
        };
    }
    let (equal, total) = matches(mapping, sent, &item);
    match (moved, equal) {
        _ if went_back => Finding::Superseded(Presence::Item(item)),
        (_, equal) if equal > 0 && equal == total => Finding::Applied(Some(item)),
        (false, _) => Finding::Pending,
        (true, 0) => Finding::Superseded(Presence::Item(item)),
        (true, _) => Finding::Partly(item),
    }
}

/// Whether an item shows in every mapped field what a create sent; what it did not send is empty.
pub(crate) fn shows_created(mapping: &Mapping, sent: &Fields, item: &Item) -> bool {
    mapping.fields.iter().all(|field| {
        let sent = sent.get(&field.target).unwrap_or(&Json::Null);
        item.value(&field.target)
            .is_none_or(|shown| same_value(&field.facet, sent, shown))
    })
}

/// Whether an item shows everything that was sent, whatever else it shows.
pub(crate) fn shows_sent(mapping: &Mapping, sent: &Fields, item: &Item) -> bool {
    mapping.fields.iter().all(
        |field| match (sent.get(&field.target), item.value(&field.target)) {
            (Some(sent), Some(shown)) => same_value(&field.facet, sent, shown),
            _ => true,
        },
    )
}
