//! What must hold (DESIGN §12), after every step and at rest.
//!
//! | invariant | where it is judged |
//! |---|---|
//! | I1 one live item per identity | at rest |
//! | I2 mapped fields are equal | at rest |
//! | I3 no edit is lost | at rest: each typed cell that an application wrote over stands in the record |
//! | I4 one edit, one write | at rest: idle runs write nothing, one more edit on either side is one write on the other |
//! | I5 no cursor passes a change | after every step, for watermark feeds; at rest for all |
//! | I6 deleted rows stay away | at rest |
//! | I7 a crash loses and duplicates nothing | at rest, as I1 to I6 after crashes |
//! | I7 nothing is repeated blindly | where a write leaves that may have taken effect before, somebody looked since |
//! | fencing | where a write leaves, its worker is sure of its lease |
//! | I8 untagged requests, idle costs | at rest |
//! | I9 bounded pages | after every step: requests hold at most twenty writes (the service refuses more) |
//!
//! Exemptions are the rows of [`EXEMPTIONS`], nothing else; each use is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value as Json;
use syncbridge_domain::canonical::Value;
use syncbridge_domain::convert::to_target;
use syncbridge_domain::feed::{Cursor, FeedKind};
use syncbridge_domain::identity::{Identity, SyncKey};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::FieldMapping;
use syncbridge_domain::policy::{Direction, OnForeignEdit};
use syncbridge_domain::row::{Cell, SourceRow};
use syncbridge_engine::ports::Ledger as _;
use syncbridge_graph_sim::Method;

use crate::model::Undisturbed;
use crate::people::StoredItem;
use crate::scenario::{definition, hash_key};
use crate::simulation::Violation;
use crate::world::World;

mod both_ways;
mod causes;

pub use both_ways::Book;

/// Why a row, an item or a cell may be other than the invariant says.
pub const EXEMPTIONS: &[(&str, &str)] = &[
    ("quarantined", "I1, I2: the row is in quarantine, with its cause"),
    (
        "parked",
        "I1, I2, I6: the row is dirty, held back by the guard or by a write that may still land",
    ),
    (
        "foreign_edit",
        "I2: a person typed into a cell that the source owns; it returns with the item's next write, or by a repair",
    ),
    (
        "foreign_delete",
        "I1, I2: a person deleted the item; it returns with the row's next change, or by a repair, and a request of \
         ours that was still under way may bring it back without an owner",
    ),
    (
        "restored",
        "I2, I6: a person took the item out of the recycle bin: it stands, as it was, until the row changes or a repair",
    ),
    (
        "hidden",
        "I1, I2, I3, I6: the item was out of the app's sight when its row went, changed or was repaired: who cannot see \
         it cannot delete it, nor tell it from a deleted one, nor know what an unanswered write did to it",
    ),
    (
        "made_by_people",
        "I1: a person made the item, perhaps as a copy, key included",
    ),
    (
        "rekeyed",
        "I1, I2: a person took the sync key away from the item; verification reports it, repair leaves it alone",
    ),
    ("left", "I6: the policy leaves, or marks, items whose row is gone"),
    (
        "if_match_ignored",
        "I2, I3: the service compares no versions, so that an edit can be overwritten unseen, and a write of ours that \
         lands late covers a newer one, until a repair",
    ),
    (
        "claimed_by_people",
        "I1, I2: an item that a person copied, or took out of the recycle bin, bears the row's key beside its own item, or \
         in its place; verification reports it",
    ),
    (
        "trimmed",
        "I2, I3: the service trimmed a text and the answer that shows it was lost: taken for a person's edit until a \
         repair",
    ),
    (
        "sent_twice",
        "I1, a known gap: a create was sent twice, one request landed and was settled, its row went and its item was \
         deleted, and then the other request landed; verification reports the item",
    ),
    (
        "source_only",
        "I2: the list owns the rows, and the source has one of its own",
    ),
    (
        "source_delete",
        "I6: the list owns the rows, and the source deleted one; it comes back with the item's next change",
    ),
    (
        "approved",
        "I3: where a person approved what nobody had agreed on, the list's value is recorded, whoever wrote it",
    ),
    (
        "put_back",
        "I3: a person put back what stood there before a write of ours whose answer was lost: content cannot tell that \
         from a write that never happened",
    ),
];

/// Everything that is judged, as it stands.
struct Sight {
    namespace: &'static str,
    rows: Vec<(Identity, SourceRow)>,
    ledger: BTreeMap<Identity, LedgerRow>,
    dirty: BTreeSet<Identity>,
    quarantine: BTreeSet<Identity>,
    items: Vec<StoredItem>,
}

const NAMESPACE: &str = "simulated/public.rows";

impl Sight {
    fn of(world: &World) -> Self {
        let hash_key = hash_key();
        let identified = world.table.rows().into_iter().map(|row| {
            let identity = Identity::new(&hash_key, NAMESPACE, &row.key);
            (identity, row)
        });
        let ledger = world.store.rows(definition());
        let quarantine = world.store.quarantine(definition());
        Self {
            namespace: NAMESPACE,
            rows: identified.collect(),
            ledger: ledger.into_iter().map(|row| (row.identity, row)).collect(),
            dirty: world
                .store
                .dirty(definition())
                .iter()
                .map(|row| row.mark.identity)
                .collect(),
            quarantine: quarantine.iter().map(|found| found.entry.identity).collect(),
            items: world.items(),
        }
    }

    fn item_of(&self, row: &LedgerRow) -> Option<&StoredItem> {
        self.items
            .iter()
            .find(|item| item.guid.eq_ignore_ascii_case(&row.version.guid.to_string()))
    }
}

impl Sight {
    /// Whether any item bears the row's sync key.
    fn bears_key_of(&self, identity: Identity) -> bool {
        let key = SyncKey::of(identity).as_str().to_lowercase();
        self.items.iter().any(|item| item.sync_key() == key)
    }

    /// Whether an item of ours that a person brought back is known to nobody: whoever deleted it did not keep that in
    /// mind.
    fn is_forgotten(&self, world: &World, item: &StoredItem) -> bool {
        let people = &world.people;
        let by_people = people.has_made(item.id) || people.has_rekeyed(item.id) || people.was_hidden(item.id);
        let claims = SyncKey::parse(item.value("SyncBridgeKey").as_str().unwrap_or_default());
        let Some(identity) = claims.filter(|_| people.has_restored(item.id) && !by_people) else {
            return false;
        };
        let is_known = self.ledger.contains_key(&identity)
            || self.dirty.contains(&identity)
            || self.quarantine.contains(&identity);
        let unsettled = world.store.unsettled(definition());
        !is_known && unsettled.iter().all(|(_, busy, _)| *busy != identity)
    }

    /// Whether the row of a sync key is gone for good.
    fn is_of_a_buried_row(&self, claims: Option<Identity>) -> bool {
        let known = claims.and_then(|identity| self.ledger.get(&identity));
        known.is_some_and(|row| row.state == LedgerState::Tombstone)
    }

    /// Whether an item that a person made or took out of the recycle bin bears the row's sync key beside its own.
    fn is_claimed_by_people(&self, world: &World, identity: Identity) -> bool {
        let key = SyncKey::of(identity);
        let owned = self.ledger.get(&identity).and_then(|known| self.item_of(known));
        self.items.iter().any(|item| {
            let bears = item
                .value("SyncBridgeKey")
                .as_str()
                .is_some_and(|text| text.eq_ignore_ascii_case(key.as_str()));
            let by_people = world.people.has_made(item.id) || world.people.has_restored(item.id);
            bears && by_people && owned.is_none_or(|owned| owned.id != item.id)
        })
    }
}

fn violated(invariant: &'static str, what: String) -> Violation {
    Violation { invariant, what }
}

/// What can be judged at any time.
///
/// # Errors
/// What does not hold.
pub fn after_step(world: &World) -> Result<(), Violation> {
    if world.trouble.memory_changed() {
        cursor_passes_nothing(world)?;
    }
    if let Some(violation) = world.network.take_violation() {
        return Err(violation);
    }
    both_ways::after_step(world)?;
    no_item_of_a_present_row_goes(world)
}

/// No request takes away the item of a row that has been there for a while. How long a decision may be under way is
/// bounded by the lease and by how late a request may arrive.
fn no_item_of_a_present_row_goes(world: &World) -> Result<(), Violation> {
    const UNDER_WAY: Duration = Duration::from_secs(70);
    let vanished = world.people.take_vanished();
    if vanished.is_empty() {
        return Ok(());
    }
    let ledger = world.store.rows(definition());
    for item in vanished {
        let owner = ledger
            .iter()
            .find(|row| item.guid.eq_ignore_ascii_case(&row.version.guid.to_string()));
        let Some(owner) = owner else { continue };
        let since = world.people.present_since(owner.identity);
        if since.is_some_and(|since| world.timeline.elapsed() > since + UNDER_WAY) {
            return Err(violated(
                "I6",
                format!(
                    "item {} was deleted, and its row {} is there",
                    item.id, owner.identity
                ),
            ));
        }
    }
    Ok(())
}

/// No cursor of a watermark feed passes a row that is neither applied, dirty, quarantined nor being written (I5).
///
/// # Errors
/// What does not hold.
pub fn cursor_passes_nothing(world: &World) -> Result<(), Violation> {
    if world.scenario.pulls() || world.scenario.feed != FeedKind::Watermark {
        return Ok(());
    }
    let steps = std::sync::Arc::new(Undisturbed);
    let ledger = world.store.ledger(definition(), steps);
    let cursor = futures_util::FutureExt::now_or_never(ledger.cursor());
    let Some(Ok(Cursor::Steady {
        watermark: Some(passed),
        ..
    })) = cursor
    else {
        return Ok(());
    };
    let unsettled: BTreeSet<Identity> = world
        .store
        .unsettled(definition())
        .into_iter()
        .map(|(_, identity, _)| identity)
        .collect();
    let dirty: BTreeSet<Identity> = world
        .store
        .dirty(definition())
        .iter()
        .map(|row| row.mark.identity)
        .collect();
    let quarantine: BTreeSet<Identity> = world
        .store
        .quarantine(definition())
        .iter()
        .map(|found| found.entry.identity)
        .collect();
    let known: BTreeMap<Identity, LedgerRow> = world
        .store
        .rows(definition())
        .into_iter()
        .map(|row| (row.identity, row))
        .collect();
    let mapping = world.scenario.mapping();
    let (hash_key, layout) = (hash_key(), mapping.layout());
    for row in world.table.rows() {
        let Some(changed) = row.watermark.as_deref() else {
            continue;
        };
        // Instants of one form: the order of texts is not theirs, so they are read.
        if !is_before(changed, &passed) {
            continue;
        }
        let identity = Identity::new(&hash_key, NAMESPACE, &row.key);
        let digest = syncbridge_domain::agreed::row_digest(&hash_key, layout, &mapping, &row.cells);
        let agreed = known
            .get(&identity)
            .is_some_and(|known| known.agreed.get(..16) == Some(digest.0.as_slice()));
        // What a person deleted or hid is told, and comes back with the row's next change.
        let told = known.get(&identity).is_some_and(|known| {
            let item = known.item.0.parse().unwrap_or(0);
            let people = &world.people;
            people.has_deleted(item) || people.has_restored(item) || people.was_hidden(item)
        });
        let handled = agreed
            || told
            || dirty.contains(&identity)
            || quarantine.contains(&identity)
            || unsettled.contains(&identity);
        if !handled {
            return Err(violated(
                "I5",
                format!("the cursor stands at {passed}, and {identity} of {changed} is nowhere"),
            ));
        }
    }
    Ok(())
}

fn is_before(one: &str, other: &str) -> bool {
    let read = |text: &str| chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").ok();
    matches!((read(one), read(other)), (Some(one), Some(other)) if one < other)
}

/// Notices which cells hold on both sides what a person typed.
pub fn notice_agreement(world: &World) {
    let mapping = world.scenario.mapping();
    let hash_key = hash_key();
    let ledger = world.store.rows(definition());
    let rows: BTreeMap<Identity, SourceRow> = world
        .table
        .rows()
        .into_iter()
        .map(|row| (Identity::new(&hash_key, NAMESPACE, &row.key), row))
        .collect();
    let there = rows.keys().copied().collect();
    world.people.present(&there, world.timeline.elapsed());
    for (identity, row) in &rows {
        for (field, cell) in mapping.fields.iter().zip(&row.cells) {
            if let Ok(value) = to_target(field, chrono_tz::UTC, cell) {
                world
                    .people
                    .source_held(*identity, &field.target, value.to_json(), world.timeline.wall());
            }
        }
    }
    world.people.agree(|item, column, value| {
        let owner = ledger.iter().find(|known| known.item.0 == item.to_string());
        let row = owner.and_then(|owner| rows.get(&owner.identity));
        let at = mapping.fields.iter().position(|field| field.target == column);
        let (Some(row), Some(at)) = (row, at) else {
            return false;
        };
        let field = &mapping.fields[at];
        let ours = to_target(field, chrono_tz::UTC, &row.cells[at]);
        let theirs = Value::from_json(&field.facet, value);
        matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours.equivalent(&theirs))
    });
}

/// How far the sides must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// After pushes: what people did to cells that the source owns may stand.
    Pushed,
    /// After a repair: nothing of it stands.
    Repaired,
}

/// What must hold at rest.
///
/// # Errors
/// What does not hold.
pub fn at_rest(world: &World, stage: Stage) -> Result<(), Violation> {
    let sight = Sight::of(world);
    if world.scenario.pulls() {
        both_ways::at_rest(world, &sight, stage)?;
    } else {
        rows_have_their_items(world, &sight, stage)?;
        items_have_their_rows(world, &sight)?;
        edits_are_kept(world)?;
        causes::quarantine_has_a_cause(world, &sight)?;
        cursor_passes_nothing(world)?;
    }
    if stage == Stage::Pushed {
        causes::conflicts_have_a_cause(world)?;
        causes::approval_is_for_differences(world, &sight)?;
    }
    everything_is_tagged(world)
}

/// I1 and I2, seen from the source.
fn rows_have_their_items(world: &World, sight: &Sight, stage: Stage) -> Result<(), Violation> {
    let mapping = world.scenario.mapping();
    for (identity, row) in &sight.rows {
        if sight.quarantine.contains(identity) {
            world.coverage.exemption("quarantined");
            continue;
        }
        if sight.dirty.contains(identity) {
            world.coverage.exemption("parked");
            continue;
        }
        let key = row.key.texts().unwrap_or_default().join("/");
        let Some(known) = sight.ledger.get(identity) else {
            return Err(violated("I2", format!("row {key} was never synced")));
        };
        if sight.is_claimed_by_people(world, *identity) {
            world.coverage.exemption("claimed_by_people");
            continue;
        }
        let Some(item) = sight.item_of(known) else {
            let by_person = known.item.0.parse().is_ok_and(|id| world.people.has_deleted(id));
            // A request of ours that was under way may have brought an item back that nobody owns; that is told.
            let brought_back = sight.bears_key_of(*identity);
            if by_person && (stage == Stage::Pushed || brought_back) {
                world.coverage.exemption("foreign_delete");
                continue;
            }
            let state = known.state;
            return Err(violated(
                "I2",
                format!(
                    "row {key} has no item ({state:?}, {} in {})",
                    known.item, sight.namespace
                ),
            ));
        };
        for (field, cell) in mapping.fields.iter().zip(&row.cells) {
            cell_is_equal(world, stage, &key, item, field, cell)?;
        }
    }
    Ok(())
}

fn cell_is_equal(
    world: &World,
    stage: Stage,
    key: &str,
    item: &StoredItem,
    field: &FieldMapping,
    cell: &Cell,
) -> Result<(), Violation> {
    if field.passive || field.direction == Direction::Pull {
        return Ok(());
    }
    let stored = item.value(&field.target);
    let wanted = to_target(field, chrono_tz::UTC, cell);
    let Ok(wanted) = wanted else {
        return Err(violated(
            "I2",
            format!("row {key} holds what the list cannot, and is not in quarantine"),
        ));
    };
    let shown = Value::from_json(&field.facet, &as_shown(world, field, stored));
    if shown.is_ok_and(|shown| wanted.equivalent(&shown)) || is_as_stored(world, &wanted, stored) {
        return Ok(());
    }
    let keeps = world.scenario.policies.on_foreign_edit == OnForeignEdit::Keep;
    if (stage == Stage::Pushed || keeps) && !world.scenario.behaviour.if_match {
        world.coverage.exemption("if_match_ignored");
        return Ok(());
    }
    let stays = stage == Stage::Pushed || world.scenario.policies.on_foreign_edit == OnForeignEdit::Keep;
    if stays && world.people.stands(item.id, &field.target) {
        world.coverage.exemption("foreign_edit");
        return Ok(());
    }
    if (stage == Stage::Pushed || keeps)
        && world.scenario.behaviour.trim_text
        && world.coverage.counts().struck > 0
    {
        world.coverage.exemption("trimmed");
        return Ok(());
    }
    if (stage == Stage::Pushed || keeps) && world.people.was_hidden(item.id) {
        world.coverage.exemption("hidden");
        return Ok(());
    }
    if stage == Stage::Pushed && world.people.has_restored(item.id) {
        world.coverage.exemption("restored");
        return Ok(());
    }
    let unguarded = !world.scenario.behaviour.if_match;
    if world.people.has_rekeyed(item.id) && (unguarded || world.people.stands(item.id, &field.target)) {
        world.coverage.exemption("rekeyed");
        return Ok(());
    }
    Err(violated(
        "I2",
        format!(
            "row {key}, item {}: `{}` holds {cell:?}, the list {stored}",
            item.id, field.column
        ),
    ))
}

/// A stored value as an answer shows it.
fn as_shown(_: &World, _: &FieldMapping, stored: &Json) -> Json {
    stored.clone()
}

/// Whether a stored text is what this history's service makes of the wanted one.
fn is_as_stored(world: &World, wanted: &Value, stored: &Json) -> bool {
    let Json::String(wanted) = wanted.to_json() else {
        return false;
    };
    let behaviour = &world.scenario.behaviour;
    let made = if behaviour.trim_text {
        wanted.trim()
    } else {
        &wanted
    };
    match stored {
        Json::Null => behaviour.empty_text_is_null && made.is_empty(),
        Json::String(stored) => stored == made,
        _ => false,
    }
}

/// I1 and I6, seen from the list.
fn items_have_their_rows(world: &World, sight: &Sight) -> Result<(), Violation> {
    let rows: BTreeSet<Identity> = sight.rows.iter().map(|(identity, _)| *identity).collect();
    let owners: BTreeMap<String, &LedgerRow> = sight
        .ledger
        .values()
        .map(|row| (row.version.guid.to_string().to_lowercase(), row))
        .collect();
    let mut keys: BTreeMap<String, u64> = BTreeMap::new();
    for item in &sight.items {
        let key = item.value("SyncBridgeKey").as_str().unwrap_or_default();
        let claims = SyncKey::parse(key);
        let made = world.people.has_made(item.id);
        if made || world.people.has_restored(item.id) {
            world.coverage.exemption("made_by_people");
        } else if world.people.was_hidden(item.id) {
            world.coverage.exemption("hidden");
        } else if let Some(identity) = claims
            && let Some(other) = keys.insert(key.to_lowercase(), item.id)
        {
            return Err(violated(
                "I1",
                format!("items {other} and {} are of one row {identity}", item.id),
            ));
        }
        let Some(owner) = owners.get(&item.guid.to_lowercase()) else {
            let by_person = made || world.people.has_rekeyed(item.id) || world.people.has_restored(item.id);
            let of_deleted = claims
                .and_then(|identity| sight.ledger.get(&identity))
                .is_some_and(|row| {
                    let id = row.item.0.parse().unwrap_or(0);
                    world.people.has_deleted(id) || world.people.has_rekeyed(id)
                });
            let waits = claims.is_some_and(|identity| {
                sight.dirty.contains(&identity) || sight.quarantine.contains(&identity)
            });
            let copied = claims.is_some_and(|identity| sight.is_claimed_by_people(world, identity));
            if sight.is_forgotten(world, item) {
                return Err(forgotten(item));
            } else if by_person {
                world.coverage.exemption("rekeyed");
            } else if copied {
                world.coverage.exemption("claimed_by_people");
            } else if waits {
                world.coverage.exemption("parked");
            } else if of_deleted {
                world.coverage.exemption("foreign_delete");
            } else if world.people.was_hidden(item.id) {
                world.coverage.exemption("hidden");
            } else if sight.is_of_a_buried_row(claims) && item.by_app && item.counter == 1 {
                world.coverage.exemption("sent_twice");
            } else {
                return Err(violated("I1", format!("item {} of ours has no owner", item.id)));
            }
            continue;
        };
        if rows.contains(&owner.identity) {
            continue;
        }
        match owner.state {
            LedgerState::Kept | LedgerState::Archived => world.coverage.exemption("left"),
            _ if sight.dirty.contains(&owner.identity) => world.coverage.exemption("parked"),
            _ if sight.quarantine.contains(&owner.identity) => world.coverage.exemption("quarantined"),
            _ if world.people.has_restored(item.id) => world.coverage.exemption("restored"),
            _ if world.people.was_hidden(item.id) => world.coverage.exemption("hidden"),
            state => {
                return Err(violated(
                    "I6",
                    format!("item {} stands, and its row is gone ({state:?})", item.id),
                ));
            }
        }
    }
    Ok(())
}

fn forgotten(item: &StoredItem) -> Violation {
    let what = format!(
        "item {} of ours was brought back, and nobody knows that it was deleted",
        item.id
    );
    violated("I6", what)
}

/// I3: what a person typed and an application wrote over stands in the record of conflicts.
fn edits_are_kept(world: &World) -> Result<(), Violation> {
    if !world.scenario.behaviour.if_match {
        if !world.people.overwritten().is_empty() {
            world.coverage.exemption("if_match_ignored");
        }
        return Ok(());
    }
    let mapping = world.scenario.mapping();
    let kept = world.store.overridden(definition());
    for lost in world.people.overwritten() {
        let Some(field) = mapping.fields.iter().find(|field| field.target == lost.column) else {
            continue;
        };
        let same = |value: &Json| {
            let one = Value::from_json(&field.facet, value);
            let other = Value::from_json(&field.facet, &lost.value);
            matches!((one, other), (Ok(one), Ok(other)) if one.equivalent(&other))
        };
        let put_back = SyncKey::parse(&lost.key)
            .is_some_and(|identity| world.people.source_ever_held(identity, &lost.column, same));
        if put_back && world.coverage.counts().struck > 0 {
            world.coverage.exemption("put_back");
            continue;
        }
        let found = kept
            .iter()
            .any(|edit| edit.column == field.column && same(&edit.target));
        if !found {
            return Err(violated(
                "I3",
                format!(
                    "item {}: `{}` held {}, typed by a person; {} replaced it without a record",
                    lost.item, lost.column, lost.value, lost.by
                ),
            ));
        }
    }
    Ok(())
}

/// I8: every request said why it was made.
fn everything_is_tagged(world: &World) -> Result<(), Violation> {
    let (_, sums) = world.control(Method::Get, "ru", None);
    let untagged = sums["by_tag"]["untagged"]["ru"].as_u64().unwrap_or(0);
    if untagged > 0 {
        return Err(violated(
            "I8",
            format!("{untagged} untagged units: {}", sums["by_kind_and_tag"]),
        ));
    }
    Ok(())
}
