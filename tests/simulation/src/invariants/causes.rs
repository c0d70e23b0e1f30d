//! What is recorded, and what waits for a person, has a cause.

use serde_json::Value as Json;
use syncbridge_domain::canonical::Value;
use syncbridge_domain::convert::to_target;
use syncbridge_domain::identity::SyncKey;

use super::{Sight, violated};
use crate::history::Job;
use crate::scenario::definition;
use crate::simulation::Violation;
use crate::world::World;

/// I3 from the other side: what is recorded as a person's edit was typed by a person.
pub(super) fn conflicts_have_a_cause(world: &World) -> Result<(), Violation> {
    if !world.scenario.behaviour.if_match {
        return Ok(());
    }
    if world.people.hid_anything() {
        world.coverage.exemption("hidden");
        return Ok(());
    }
    // What a person approves is recorded whoever wrote it: nobody knows, or it would not have to be approved.
    let approved = world
        .all_ended()
        .iter()
        .any(|ended| matches!(ended.job, Job::ApprovedPush | Job::Repair));
    if approved {
        world.coverage.exemption("approved");
        return Ok(());
    }
    let mapping = world.scenario.mapping();
    for edit in world.store.overridden(definition()) {
        let field = mapping.fields.iter().find(|field| field.column == edit.column);
        let Some(field) = field.filter(|field| !field.passive) else {
            continue;
        };
        // Nobody could tell, and the record says so; or the list has nothing there, which nobody has to have typed.
        if world.scenario.pulls() && (edit.ambiguous || edit.target.is_null()) {
            continue;
        }
        let recorded = Value::from_json(&field.facet, &edit.target);
        let same = |typed: &Json| {
            let typed = Value::from_json(&field.facet, typed);
            matches!((&recorded, typed), (Ok(one), Ok(other)) if one.equivalent(&other))
        };
        // What the service makes of a text, seen without the answer that would have told.
        let made_by_service = |held: &Json| {
            let trimmed = held.as_str().map(|text| Json::from(text.trim()));
            world.scenario.behaviour.trim_text && trimmed.is_some_and(|text| same(&text))
        };
        if world
            .people
            .source_ever_held(edit.identity, &field.target, made_by_service)
        {
            world.coverage.exemption("trimmed");
            continue;
        }
        let key = SyncKey::of(edit.identity);
        if !world
            .people
            .ever_held(&key.as_str().to_lowercase(), &field.target, same)
        {
            return Err(violated(
                "I3",
                format!(
                    "`{}` of {} was recorded as a person's edit: {}; nobody typed it",
                    edit.column, edit.identity, edit.target
                ),
            ));
        }
    }
    Ok(())
}

/// A row waits in quarantine only for something that is so.
pub(super) fn quarantine_has_a_cause(world: &World, sight: &Sight) -> Result<(), Violation> {
    let mapping = world.scenario.mapping();
    for found in world.store.quarantine(definition()) {
        let identity = found.entry.identity;
        let code = found.entry.failure.code.as_str();
        world.coverage.outcome_of_row(code);
        let row = sight.rows.iter().find(|(known, _)| *known == identity);
        let Some((_, row)) = row else { continue };
        let fits = mapping
            .fields
            .iter()
            .zip(&row.cells)
            .all(|(field, cell)| to_target(field, chrono_tz::UTC, cell).is_ok());
        let by_people = sight.is_claimed_by_people(world, identity) || world.people.did_more_than_type();
        if fits && !by_people && code != "plan.needed" {
            return Err(violated(
                "quarantine",
                format!("{identity} waits for {code}, and nothing is wrong with it"),
            ));
        }
    }
    Ok(())
}

/// A row waits for a person's approval only where row and item differ.
pub(super) fn approval_is_for_differences(world: &World, sight: &Sight) -> Result<(), Violation> {
    let mapping = world.scenario.mapping();
    for found in world.store.quarantine(definition()) {
        let identity = found.entry.identity;
        let failure = &found.entry.failure;
        let row = sight.rows.iter().find(|(known, _)| *known == identity);
        let item = sight.ledger.get(&identity).and_then(|known| sight.item_of(known));
        let (Some((_, row)), Some(item), "plan.needed") = (row, item, failure.code.as_str()) else {
            continue;
        };
        let columns = failure.column.as_deref().unwrap_or_default();
        for (field, cell) in mapping.fields.iter().zip(&row.cells) {
            let named = columns.split(", ").any(|column| column == field.column);
            let typed_since = world.people.stands(item.id, &field.target);
            let ours = to_target(field, chrono_tz::UTC, cell);
            let theirs = Value::from_json(&field.facet, item.value(&field.target));
            let equal = matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours.equivalent(&theirs));
            if named && !typed_since && equal {
                return Err(violated(
                    "quarantine",
                    format!(
                        "`{}` of {identity} waits for approval, and row and item are equal there",
                        field.column
                    ),
                ));
            }
        }
    }
    Ok(())
}
