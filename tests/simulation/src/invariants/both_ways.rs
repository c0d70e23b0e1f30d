//! What must hold where the source is written, too: after each transaction of ours, and at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;
use syncbridge_domain::agreed::{source_hash, target_hash};
use syncbridge_domain::canonical::Value;
use syncbridge_domain::conflict::Side;
use syncbridge_domain::convert::to_target;
use syncbridge_domain::identity::{Identity, SyncKey};
use syncbridge_domain::item_subject::subject_of_item;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::FieldMapping;
use syncbridge_domain::policy::{ConflictPolicy, DeletePolicy, Direction, OnForeignEdit};
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::row::{Cell, SourceRow};
use syncbridge_engine::ports::OverriddenEdit;
use uuid::Uuid;

use super::{NAMESPACE, Sight, Stage, is_as_stored, violated};
use crate::history::Job;
use crate::model::source::Committed;
use crate::people::{Overwritten, StoredItem};
use crate::scenario::{definition, hash_key};
use crate::simulation::Violation;
use crate::world::World;

/// What became of rows, as their table's transactions tell; clones share it.
#[derive(Clone, Default)]
pub struct Book(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Rows that an application deleted and nobody brought back.
    gone: BTreeSet<Identity>,
    /// Rows that we made of items, and the item's guid.
    made_of: BTreeMap<Identity, Uuid>,
    /// Cells that applications wrote last.
    by_application: BTreeSet<(Identity, String)>,
    /// Cells about which a person decided whose value is to stand, and when that was last.
    decided: BTreeMap<(Identity, String), Duration>,
    /// How many ends of runs were judged.
    ends: usize,
}

impl Book {
    /// A person decided whose value is to stand in a cell.
    pub fn decided(&self, identity: Identity, column: &str, now: Duration) {
        self.state().decided.insert((identity, column.to_owned()), now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(row: &SourceRow) -> Identity {
    Identity::new(&hash_key(), NAMESPACE, &row.key)
}

/// Judges what was committed since the last step.
///
/// # Errors
/// What does not hold.
pub(super) fn after_step(world: &World) -> Result<(), Violation> {
    decisions_are_kept(world)?;
    let journal = world.table.take_journal();
    if journal.is_empty() || !world.scenario.pulls() {
        return Ok(());
    }
    super::notice_agreement(world);
    journal.iter().try_for_each(|change| judge(world, change))
}

/// I5 for what a person decides while a run is at the row: where the run did not carry it out, the row is dirty.
fn decisions_are_kept(world: &World) -> Result<(), Violation> {
    let ends = world.book.state().ends;
    for ended in world.ended_behind(ends) {
        world.book.state().ends += 1;
        let processes = world.processes();
        let began = processes.iter().find(|process| process.id == ended.process);
        let succeeded = ended
            .outcome
            .as_ref()
            .is_ok_and(|outcome| outcome.failure.is_none());
        if let Some(began) = began.filter(|_| succeeded) {
            decided_meanwhile_is_kept(world, began.since)?;
        }
    }
    Ok(())
}

fn decided_meanwhile_is_kept(world: &World, began: Duration) -> Result<(), Violation> {
    let decided: Vec<_> = world.book.state().decided.clone().into_iter().collect();
    let mut meanwhile = decided.into_iter().filter(|(_, at)| *at > began).peekable();
    if meanwhile.peek().is_none() {
        return Ok(());
    }
    let sight = Sight::of(world);
    for (cell, _) in meanwhile {
        let (identity, column) = &cell;
        if sight.still_waits(world, &cell) && !sight.dirty.contains(identity) {
            return Err(violated(
                "I5",
                format!("`{column}` of row {identity} was decided while a run was under way, and is nowhere"),
            ));
        }
    }
    Ok(())
}

impl Sight {
    /// Whether a person decided about the very two values that row and item show.
    fn still_waits(&self, world: &World, (identity, column): &(Identity, String)) -> bool {
        let conflict = world.store.decided(definition(), *identity, column);
        let row = self.rows.iter().find(|(known, _)| known == identity);
        let item = self.ledger.get(identity).and_then(|known| self.item_of(known));
        let mapping = world.scenario.mapping();
        let at = mapping.fields.iter().position(|field| field.column == *column);
        let (Some(conflict), Some((_, row)), Some(item), Some(at)) = (conflict, row, item, at) else {
            return false;
        };
        let shown = item.value(&mapping.fields[at].target);
        source_hash(&hash_key(), &row.cells[at]) == conflict.source_hash
            && target_hash(&hash_key(), shown) == conflict.target_hash
    }
}

fn judge(world: &World, change: &Committed) -> Result<(), Violation> {
    match (&change.before, &change.after, change.by_worker) {
        (before, after, false) => {
            by_application(world, before.as_ref(), after.as_ref());
            Ok(())
        }
        (Some(before), Some(after), true) => {
            let result = nothing_is_covered(world, before, after);
            let mut state = world.book.state();
            for (field, (was, is)) in world
                .scenario
                .mapping()
                .fields
                .iter()
                .zip(before.cells.iter().zip(&after.cells))
            {
                if was != is {
                    state
                        .by_application
                        .remove(&(identity(after), field.column.clone()));
                }
            }
            result
        }
        (Some(before), None, true) => row_goes_with_its_item(world, before),
        (None, Some(after), true) => row_comes_of_an_item(world, after),
        (None, None, true) => Ok(()),
    }
}

fn by_application(world: &World, before: Option<&SourceRow>, after: Option<&SourceRow>) {
    let mut state = world.book.state();
    let (was, is) = (before.map(identity), after.map(identity));
    let before = before.filter(|_| was == is);
    if let Some(was) = was.filter(|was| is != Some(*was)) {
        state.gone.insert(was);
        state.made_of.remove(&was);
    }
    let (Some(is), Some(after)) = (is, after) else {
        return;
    };
    if was != Some(is) {
        state.gone.remove(&is);
        state.made_of.remove(&is);
    }
    for (at, field) in world.scenario.mapping().fields.iter().enumerate() {
        let same = before.is_some_and(|before| before.cells[at] == after.cells[at]);
        if !same {
            state.by_application.insert((is, field.column.clone()));
        }
    }
}

/// I3, seen from the source: a value that a write of ours replaced was shown in the list, or stands in the record.
fn nothing_is_covered(world: &World, before: &SourceRow, after: &SourceRow) -> Result<(), Violation> {
    let identity = identity(before);
    let mapping = world.scenario.mapping();
    let item = item_of(world, identity);
    let overridden = world.store.overridden(definition());
    for (at, field) in mapping.fields.iter().enumerate() {
        let (was, is) = (&before.cells[at], &after.cells[at]);
        if field.passive || was == is {
            continue;
        }
        let such = |shown: &Json| shows(world, field, was, shown);
        let kept = to_target(field, chrono_tz::UTC, was).map(|kept| kept.to_json());
        let came_from = |shown: &Json| {
            such(shown)
                || kept
                    .as_ref()
                    .is_ok_and(|kept| is_what_becomes_of(world, field, shown, kept))
        };
        let shown = item.is_some_and(|item| world.people.ever_shown(item, &field.target, came_from));
        let recorded = overridden
            .iter()
            .any(|edit| edit.identity == identity && edit.column == field.column && such(&edit.source));
        if !shown && !recorded {
            return Err(violated(
                "I3",
                format!(
                    "`{}` of row {identity} held {was:?}, which the list never showed; {is:?} replaced it without a record",
                    field.column
                ),
            ));
        }
        let lost = overridden
            .iter()
            .rfind(|edit| edit.identity == identity && edit.column == field.column && such(&edit.source));
        if let Some(lost) = lost {
            later_one_wins(world, field, before, lost)?;
        }
    }
    Ok(())
}

/// I3, the stated policy: where the later change wins, a value that lost was there before the list's.
fn later_one_wins(
    world: &World,
    field: &FieldMapping,
    before: &SourceRow,
    lost: &OverriddenEdit,
) -> Result<(), Violation> {
    let policy = field.conflict.unwrap_or(world.scenario.policies.conflict);
    let cell = (lost.identity, field.column.clone());
    let by_policy = lost.winner == Side::Target
        && policy == ConflictPolicy::LatestWins
        && direction(world, field) == Direction::Both
        && !lost.ambiguous
        && !world.book.state().decided.contains_key(&cell);
    let same = |held: &Json| *held == lost.source;
    let ours = world
        .people
        .source_holds_since(lost.identity, &field.target, same);
    match (lost.target_at, before.changed_at(), ours) {
        (Some(theirs), Some(changed), Some(ours)) if by_policy && changed > theirs && ours > theirs => {
            Err(violated(
                "I3",
                format!(
                    "`{}` of row {} was changed at {changed}, and what the list had since {theirs} won as the later one",
                    field.column, lost.identity
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a value of the list is what it shows for a cell.
fn shows(world: &World, field: &FieldMapping, cell: &Cell, shown: &Json) -> bool {
    match to_target(field, chrono_tz::UTC, cell) {
        Ok(wanted) => {
            let value = Value::from_json(&field.facet, shown);
            value.is_ok_and(|value| value.equivalent(&wanted)) || is_as_stored(world, &wanted, shown)
        }
        Err(_) => cell.as_deref() == shown.as_str(),
    }
}

/// The item that the ledger links to a row, or from which it is being made.
fn item_of(world: &World, identity: Identity) -> Option<u64> {
    let rows = world.store.rows(definition());
    let known = rows.iter().find(|row| row.identity == identity);
    known.and_then(|row| row.item.0.parse().ok())
}

/// Deletes only with proof: a person deleted the item, long enough ago, and somebody vouches for what we see.
fn row_goes_with_its_item(world: &World, before: &SourceRow) -> Result<(), Violation> {
    let identity = identity(before);
    world.book.state().made_of.remove(&identity);
    let policies = &world.scenario.policies;
    let item = item_of(world, identity);
    let deleted = item.and_then(|item| world.people.deleted_at(item));
    let hidden = item.is_some_and(|item| world.people.was_hidden(item));
    let approved = world
        .all_begun()
        .iter()
        .any(|job| matches!(job, Job::ApprovedPush));
    let refused = |what: &str| {
        Err(violated(
            "proof",
            format!("row {identity} was deleted, and {what}"),
        ))
    };
    if policies.delete != DeletePolicy::Propagate {
        return refused("the policy keeps rows");
    }
    let Some(deleted) = deleted else {
        if hidden && approved {
            world.coverage.exemption("hidden");
            return Ok(());
        }
        return refused("nobody deleted its item");
    };
    if approved {
        world.coverage.exemption("approved");
        return Ok(());
    }
    if !policies.two_way.full_visibility {
        return refused("nobody vouches for what we see");
    }
    let waited = world.timeline.wall() - deleted;
    if waited < chrono::TimeDelta::from_std(policies.two_way.delete_delay()).unwrap_or_default() {
        return refused("the delay is not over");
    }
    Ok(())
}

/// I1 and I6 of the source: one row an item, and no row comes back by itself.
fn row_comes_of_an_item(world: &World, after: &SourceRow) -> Result<(), Violation> {
    let identity = identity(after);
    let link = world.store.being_inserted(definition(), identity);
    let people = &world.people;
    let Some(link) = link else {
        return Err(violated("I1", format!("row {identity} was made of no item")));
    };
    let item: u64 = link.id.0.parse().unwrap_or(0);
    let mut state = world.book.state();
    let twin = state.made_of.iter().find(|(_, guid)| **guid == link.before.guid);
    if let Some((twin, _)) = twin {
        return Err(violated(
            "I1",
            format!("rows {twin} and {identity} were made of item {item}"),
        ));
    }
    let is_buried_with_it = |row: &LedgerRow| {
        row.identity == identity
            && row.state == LedgerState::Tombstone
            && row.version.guid == link.before.guid
    };
    if world.scenario.pushes() && world.store.rows(definition()).iter().any(is_buried_with_it) {
        return Err(violated(
            "I6",
            format!("row {identity} was buried with item {item}, and came back of it"),
        ));
    }
    state.made_of.insert(identity, link.before.guid);
    let was_gone = state.gone.remove(&identity);
    drop(state);
    let by_people = people.has_made(item) || people.has_restored(item) || people.has_rekeyed(item);
    let edit_wins =
        world.scenario.policies.conflict != ConflictPolicy::SourceWins || !world.scenario.pushes();
    if was_gone && !by_people && !edit_wins {
        return Err(violated(
            "I6",
            format!("row {identity} was deleted, and came back of item {item}"),
        ));
    }
    if !by_people && !was_gone {
        return Err(violated(
            "I1",
            format!("row {identity} was made of item {item} of ours"),
        ));
    }
    Ok(())
}

/// What must hold at rest.
pub(super) fn at_rest(world: &World, sight: &Sight, stage: Stage) -> Result<(), Violation> {
    rows_and_items_are_equal(world, sight, stage)?;
    items_are_rows(world, sight)?;
    edits_are_kept(world, sight)?;
    decided_conflicts_are_gone(world, sight, stage)
}

fn rows_and_items_are_equal(world: &World, sight: &Sight, stage: Stage) -> Result<(), Violation> {
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
            if world.scenario.pushes() {
                return Err(violated("I2", format!("row {key} was never synced")));
            }
            world.coverage.exemption("source_only");
            continue;
        };
        if sight.is_claimed_by_people(world, *identity) {
            world.coverage.exemption("claimed_by_people");
            continue;
        }
        if known.state != LedgerState::Live {
            left_alone(world, &key, known)?;
            continue;
        }
        let Some(item) = sight.item_of(known) else {
            let item = &known.item;
            return Err(violated("I2", format!("row {key} has no item (Live, {item})")));
        };
        for (at, field) in mapping.fields.iter().enumerate() {
            cell_is_equal(world, stage, *identity, item, field, &row.cells[at])?;
        }
    }
    Ok(())
}

/// A row whose item is not ours any more, by policy or by a person's act.
fn left_alone(world: &World, key: &str, known: &LedgerRow) -> Result<(), Violation> {
    let item: u64 = known.item.0.parse().unwrap_or(0);
    let people = &world.people;
    let policy_leaves = world.scenario.policies.delete != DeletePolicy::Propagate;
    match known.state {
        LedgerState::Kept | LedgerState::Archived if policy_leaves || people.has_restored(item) => {
            world.coverage.exemption("left");
            Ok(())
        }
        // The list owns the rows: one that the source made anew is the source's own.
        LedgerState::Tombstone if !world.scenario.pushes() => {
            world.coverage.exemption("source_only");
            Ok(())
        }
        state => Err(violated(
            "I2",
            format!("row {key} is there, and the ledger says {state:?}"),
        )),
    }
}

fn cell_is_equal(
    world: &World,
    stage: Stage,
    identity: Identity,
    item: &StoredItem,
    field: &FieldMapping,
    cell: &Cell,
) -> Result<(), Violation> {
    if field.passive {
        return Ok(());
    }
    let stored = item.value(&field.target);
    let stays_here = field.direction == Direction::Push && !world.scenario.pushes();
    if stays_here || shows(world, field, cell, stored) {
        return Ok(());
    }
    // How the table keeps what the list owns is its own affair.
    if direction(world, field) == Direction::Pull
        && let Ok(kept) = to_target(field, chrono_tz::UTC, cell)
        && is_what_becomes_of(world, field, stored, &kept.to_json())
    {
        return Ok(());
    }
    let behaviour = &world.scenario.behaviour;
    let keeps = world.scenario.policies.on_foreign_edit == OnForeignEdit::Keep;
    let stays = stage == Stage::Pushed || keeps;
    let exemption = match direction(world, field) {
        Direction::Push if stays && world.people.stands(item.id, &field.target) => Some("foreign_edit"),
        Direction::Pull
            if world
                .book
                .state()
                .by_application
                .contains(&(identity, field.column.clone())) =>
        {
            Some("foreign_edit")
        }
        // An item that we made was never given what the list owns.
        Direction::Pull if !world.people.has_made(item.id) && stored.is_null() => Some("foreign_edit"),
        _ if !behaviour.if_match => Some("if_match_ignored"),
        _ => None,
    };
    if let Some(exemption) = exemption {
        world.coverage.exemption(exemption);
        return Ok(());
    }
    Err(violated(
        "I2",
        format!(
            "row {identity}, item {}: `{}` ({:?}) holds {cell:?}, the list {stored}",
            item.id, field.column, field.direction
        ),
    ))
}

/// Which way a field goes in a definition that may go one way only.
fn direction(world: &World, field: &FieldMapping) -> Direction {
    match field.direction {
        Direction::Both => world.scenario.direction,
        other => other,
    }
}

/// I1, seen from the list: each item is some row's, or tells why not.
fn items_are_rows(world: &World, sight: &Sight) -> Result<(), Violation> {
    let present: BTreeSet<Identity> = sight.rows.iter().map(|(identity, _)| *identity).collect();
    for item in &sight.items {
        let owner = sight
            .ledger
            .values()
            .find(|row| item.guid.eq_ignore_ascii_case(&row.version.guid.to_string()));
        match owner {
            Some(owner) if present.contains(&owner.identity) => {}
            Some(owner) => row_is_gone(world, sight, item, owner)?,
            None => nobody_owns(world, sight, item)?,
        }
    }
    Ok(())
}

fn row_is_gone(world: &World, sight: &Sight, item: &StoredItem, owner: &LedgerRow) -> Result<(), Violation> {
    let exemption = match owner.state {
        LedgerState::Kept | LedgerState::Archived => "left",
        _ if sight.dirty.contains(&owner.identity) => "parked",
        _ if sight.quarantine.contains(&owner.identity) => "quarantined",
        _ if world.people.has_restored(item.id) => "restored",
        _ if world.people.was_hidden(item.id) => "hidden",
        // The list owns the rows: what the source deletes comes back with the item's next change.
        _ if !world.scenario.pushes() => "source_delete",
        state => {
            return Err(violated(
                "I6",
                format!("item {} stands, and its row is gone ({state:?})", item.id),
            ));
        }
    };
    world.coverage.exemption(exemption);
    Ok(())
}

fn nobody_owns(world: &World, sight: &Sight, item: &StoredItem) -> Result<(), Violation> {
    let people = &world.people;
    let claims = SyncKey::parse(item.value("SyncBridgeKey").as_str().unwrap_or_default());
    let waits = |identity: Identity| sight.dirty.contains(&identity) || sight.quarantine.contains(&identity);
    let guid = Uuid::parse_str(&item.guid).unwrap_or_default();
    let own = subject_of_item(&hash_key(), NAMESPACE, guid, &ItemId(item.id.to_string())).identity;
    let by_people = people.has_made(item.id) || people.has_restored(item.id);
    if sight.is_forgotten(world, item) {
        return Err(super::forgotten(item));
    }
    let exemption = if waits(own) || claims.is_some_and(waits) {
        "quarantined"
    } else if by_people && !world.scenario.policies.two_way.inserts {
        "made_by_people"
    } else if claims.is_some() && (by_people || people.has_rekeyed(item.id)) {
        "rekeyed"
    } else if people.was_hidden(item.id) {
        "hidden"
    } else {
        return Err(violated(
            "I1",
            format!("item {} (made by people: {by_people}) is nobody's", item.id),
        ));
    };
    world.coverage.exemption(exemption);
    Ok(())
}

/// I3, seen from the list: what a person typed and a write of ours replaced had come to the source, or stands in the
/// record.
fn edits_are_kept(world: &World, sight: &Sight) -> Result<(), Violation> {
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
        let same = |value: &Json| is_what_becomes_of(world, field, &lost.value, value);
        let whose = whose(sight, &lost);
        let arrived = whose.is_some_and(|identity| {
            world
                .people
                .source_held_since(identity, &lost.column, lost.typed, same)
        });
        let recorded = kept
            .iter()
            .any(|edit| edit.column == field.column && same(&edit.target));
        if arrived || recorded {
            continue;
        }
        let before =
            whose.is_some_and(|identity| world.people.source_ever_held(identity, &lost.column, same));
        if before && world.coverage.counts().struck > 0 {
            world.coverage.exemption("put_back");
            continue;
        }
        return Err(violated(
            "I3",
            format!(
                "item {}: `{}` held {}, typed by a person; {} replaced it without a record",
                lost.item, lost.column, lost.value, lost.by
            ),
        ));
    }
    Ok(())
}

/// Whether a value is a typed one, or what the source's column and its trigger make of it.
fn is_what_becomes_of(world: &World, field: &FieldMapping, typed: &Json, value: &Json) -> bool {
    let canonical = |json: &Json| Value::from_json(&field.facet, json).ok();
    let equal = |one: &Json, other: &Json| matches!((canonical(one), canonical(other)), (Some(one), Some(other)) if one.equivalent(&other));
    if equal(typed, value) {
        return true;
    }
    match (typed, value) {
        (Json::Number(typed), Json::Number(value)) => {
            let cents = |number: &serde_json::Number| number.as_f64().map(|number| (number * 100.0).round());
            cents(typed) == cents(value)
        }
        (Json::String(typed), _) if world.scenario.back.capitals && field.column == "state" => {
            equal(&typed.to_uppercase().into(), value)
        }
        _ => false,
    }
}

fn whose(sight: &Sight, lost: &Overwritten) -> Option<Identity> {
    let linked = |row: &&LedgerRow| row.item.0 == lost.item.to_string();
    SyncKey::parse(&lost.key).or_else(|| sight.ledger.values().find(linked).map(|row| row.identity))
}

/// Once people have decided, nothing waits for them but what waits for something else as well.
fn decided_conflicts_are_gone(world: &World, sight: &Sight, stage: Stage) -> Result<(), Violation> {
    if stage == Stage::Pushed {
        return Ok(());
    }
    let waits = |identity: &Identity| sight.dirty.contains(identity) || sight.quarantine.contains(identity);
    let parked = world.store.parked(definition());
    match parked.iter().find(|conflict| !waits(&conflict.identity)) {
        None => Ok(()),
        Some(conflict) => Err(violated(
            "conflicts",
            format!("{conflict:?} was decided and still waits"),
        )),
    }
}
