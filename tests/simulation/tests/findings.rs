//! What simulated histories once brought to light, each as the shortest history that shows it.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use syncbridge_domain::feed::FeedKind;
use syncbridge_domain::policy::{
    ConflictPolicy, DeleteGuard, DeletePolicy, Direction, OnForeignEdit, Policies,
};
use syncbridge_domain::run::Limits;
use syncbridge_domain::two_way::TwoWay;
use syncbridge_graph_sim::Behaviour;
use syncbridge_simulation::demands::Point;
use syncbridge_simulation::faults::Faults;
use syncbridge_simulation::history::{Action, Change, Job, Step};
use syncbridge_simulation::hunt::check;
use syncbridge_simulation::scenario::{Scenario, WayBack};
use syncbridge_simulation::simulation::Setting;

/// A definition in both directions on a calm day: nothing goes wrong but what a history says.
fn calm() -> Scenario {
    Scenario {
        direction: Direction::Both,
        back: WayBack {
            directions: [Direction::Both; 4],
            ..WayBack::none()
        },
        rows: 8,
        text_keys: false,
        feed: FeedKind::FullScan,
        sweep: None,
        policies: Policies {
            conflict: ConflictPolicy::SourceWins,
            delete: DeletePolicy::Propagate,
            delete_guard: DeleteGuard {
                count: 100,
                share: 1.0,
                window: None,
            },
            two_way: TwoWay {
                inserts: true,
                full_visibility: true,
                delete_delay: 0,
                lossy: true,
                ..TwoWay::default()
            },
            ..Policies::default()
        },
        limits: Limits::default(),
        lease_seconds: 2,
        token_seconds: 3_599,
        unique: true,
        behaviour: Behaviour::default(),
        quirks: Vec::new(),
        faults: Faults::default(),
    }
}

fn commit(changes: &[Change]) -> Action {
    Action::Commit {
        changes: changes.to_vec(),
        after: 0,
        rolled_back: false,
    }
}

fn insert(row: u8, values: [u8; 4]) -> Action {
    commit(&[Change::Insert { row, values }])
}

/// The next worker that stands there dies.
fn dies_at(phase: &str, port: &str) -> Action {
    let point = Point::all().find(|point| point.phase == phase && point.port == port);
    let point = point.expect("such a point is one of those that are counted");
    Action::KillAt {
        point: point.number(),
    }
}

const RUN: Action = Action::Run(Job::Push);

/// Each action five seconds after the one before it.
fn holds(scenario: Scenario, actions: impl IntoIterator<Item = Action>) {
    let step = |action| Step { gap: 5_000, action };
    let setting = Setting {
        seed: 1,
        scenario,
        history: actions.into_iter().map(step).collect(),
    };
    assert_eq!(check(&setting).violation, None);
}

fn add_keyed(row: u8, values: [u8; 4]) -> Action {
    Action::AddKeyed { row, values }
}

#[test]
fn an_item_that_a_person_adds_for_a_row_whose_create_may_still_land_is_no_item_of_ours() {
    let mut scenario = calm();
    scenario.back.maps_key = true;
    scenario.policies.conflict = ConflictPolicy::TargetWins;
    holds(
        scenario,
        [
            insert(1, [2, 3, 3, 2]),
            dies_at("", "target.write"),
            RUN,
            add_keyed(1, [1, 2, 1, 1]),
        ],
    );
}

#[test]
fn a_value_that_a_person_filled_in_is_not_what_moves_an_item_past_a_late_write() {
    let mut scenario = calm();
    scenario.back.directions[0] = Direction::Push;
    scenario.policies.on_foreign_edit = OnForeignEdit::Keep;
    holds(
        scenario,
        [
            RUN,
            Action::Add { values: [1, 2, 1, 1] },
            dies_at("", "target.write"),
            RUN,
        ],
    );
}

#[test]
fn the_item_of_a_buried_row_that_a_person_brought_back_is_looked_at_once_the_row_has_another() {
    holds(
        calm(),
        [
            insert(2, [1, 2, 3, 4]),
            RUN,
            Action::Remove { item: 0 },
            RUN,
            Action::Restore { item: 0 },
            Action::EditKey { item: 0, text: false },
            RUN,
            insert(2, [4, 3, 2, 1]),
        ],
    );
}

#[test]
fn a_copy_of_an_item_that_stands_although_its_row_went_waits_beside_it_when_the_row_comes_back() {
    let mut scenario = calm();
    scenario.back.maps_key = true;
    scenario.policies.delete = DeletePolicy::Archive;
    holds(
        scenario,
        [
            insert(6, [1, 2, 3, 4]),
            RUN,
            Action::Copy { item: 0, key: false },
            commit(&[Change::Delete { row: 6 }]),
            RUN,
            insert(6, [4, 3, 2, 1]),
        ],
    );
}

#[test]
fn a_persons_item_takes_the_place_of_one_that_was_left_standing_and_is_gone() {
    let mut scenario = calm();
    scenario.back.maps_key = true;
    scenario.policies.delete = DeletePolicy::Archive;
    holds(
        scenario,
        [
            insert(2, [1, 2, 3, 4]),
            RUN,
            commit(&[Change::Delete { row: 2 }]),
            RUN,
            add_keyed(2, [1, 2, 1, 1]),
            Action::Remove { item: 0 },
            insert(2, [4, 3, 2, 1]),
        ],
    );
}

#[test]
fn the_item_of_a_late_create_whose_row_has_another_item_becomes_no_row_of_its_own() {
    let mut scenario = calm();
    scenario.policies.delete = DeletePolicy::Keep;
    scenario.policies.two_way.full_visibility = false;
    holds(
        scenario,
        [
            insert(6, [1, 2, 3, 4]),
            Action::Adrift { millis: 24_000 },
            RUN,
            RUN,
            Action::Remove { item: 0 },
        ],
    );
}

#[test]
fn a_row_that_comes_back_of_its_item_comes_back_under_its_key_whether_the_list_shows_it_or_not() {
    let mut scenario = calm();
    scenario.direction = Direction::Pull;
    scenario.back.maps_key = true;
    scenario.back.directions = [Direction::Pull; 4];
    scenario.text_keys = true;
    holds(
        scenario,
        [
            RUN,
            Action::Add { values: [1, 2, 1, 1] },
            RUN,
            Action::Remove { item: 0 },
            RUN,
            RUN,
            Action::Restore { item: 0 },
        ],
    );
}

#[test]
fn a_counter_that_moved_by_itself_is_no_proof_that_a_lost_write_happened() {
    let update = commit(&[Change::Update {
        row: 6,
        field: 2,
        value: 6,
    }]);
    holds(
        calm(),
        [
            insert(6, [1, 2, 3, 4]),
            RUN,
            update,
            Action::Adrift { millis: 60_000 },
            RUN,
            Action::Touch { item: 0 },
            RUN,
        ],
    );
}

#[test]
fn a_conflict_that_was_still_to_be_parked_is_met_by_the_next_write() {
    let mut scenario = calm();
    scenario.back.conflicts[2] = Some(ConflictPolicy::Manual);
    let update = |field, value| Change::Update { row: 0, field, value };
    holds(
        scenario,
        [
            insert(0, [1, 2, 3, 4]),
            RUN,
            Action::Edit {
                item: 0,
                field: 2,
                value: 1,
            },
            commit(&[update(2, 5), update(0, 2)]),
            dies_at("before", "park_conflicts"),
            RUN,
            commit(&[update(2, 4)]),
        ],
    );
}

#[test]
fn a_conflict_about_a_cleared_cell_waits_as_soon_as_another_field_of_its_row_has_travelled() {
    let mut scenario = calm();
    scenario.back.conflicts[0] = Some(ConflictPolicy::Manual);
    let update = |field, value| Change::Update { row: 0, field, value };
    let clear = Action::Edit {
        item: 0,
        field: 0,
        value: 6,
    };
    holds(
        scenario,
        [
            insert(0, [1, 2, 3, 4]),
            RUN,
            clear,
            commit(&[update(0, 2)]),
            RUN,
            commit(&[update(2, 1)]),
            dies_at("after", "settle"),
            RUN,
            commit(&[update(0, 5)]),
        ],
    );
}

#[test]
fn an_edit_that_stands_is_met_by_the_next_write_although_the_write_beside_it_was_never_settled() {
    let mut scenario = calm();
    scenario.back.directions[3] = Direction::Push;
    scenario.policies.on_foreign_edit = OnForeignEdit::Report;
    let edit = |field, value| Action::Edit {
        item: 0,
        field,
        value,
    };
    holds(
        scenario,
        [
            insert(6, [1, 2, 3, 4]),
            RUN,
            edit(3, 1),
            RUN,
            edit(2, 0),
            dies_at("before", "settle"),
            RUN,
            RUN,
            commit(&[Change::Update {
                row: 6,
                field: 3,
                value: 6,
            }]),
        ],
    );
}

#[test]
fn a_late_create_of_a_gone_row_is_not_forgotten_because_a_person_copied_its_item() {
    let mut scenario = calm();
    scenario.direction = Direction::Push;
    scenario.back = WayBack::none();
    scenario.unique = false;
    holds(
        scenario,
        [
            insert(2, [1, 2, 3, 4]),
            Action::Adrift { millis: 8_000 },
            RUN,
            commit(&[Change::Delete { row: 2 }]),
            Action::Wait,
            Action::Copy { item: 0, key: true },
            RUN,
            Action::Remove { item: 1 },
        ],
    );
}
