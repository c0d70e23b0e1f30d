//! Items that an application may not see: waiting for approval, or with permissions of their own.

use serde_json::{Value, json};
use syncbridge_graph_sim::{Behaviour, Options, Role, UnseenInDelta};

use crate::harness::Sim;

/// A list "L" that asks for approval, with one approved item.
fn moderated(sim: &mut Sim) -> String {
    let list = sim.list(
        "L",
        json!([{ "name": "Key", "text": {}, "indexed": true, "enforceUniqueValues": true }]),
    );
    sim.item(&list, json!({ "Title": "before", "Key": "a" }));
    let shown = sim.act("PATCH", "lists/L", json!({ "contentApproval": true }));
    assert_eq!(shown["contentApproval"], true);
    list
}

#[test]
fn what_waits_for_approval_is_nowhere_to_be_found() {
    let mut sim = Sim::new();
    let list = moderated(&mut sim);
    let made = sim.item(&list, json!({ "Title": "new", "Key": "b" }));
    assert_eq!(made["id"], "2", "the answer to the create itself shows the item");
    assert_eq!(made["fields"]["_ModerationStatus"], 2);
    let filter = format!("{list}/items?$filter=fields/Key%20eq%20'b'");
    assert_eq!(sim.ids(&list), ["1"]);
    assert_eq!(sim.read(&filter)["value"], json!([]));
    let expanded = sim.read(&format!("{list}?$expand=items($expand=fields)"));
    assert_eq!(expanded["items"].as_array().unwrap().len(), 1);
    for (method, path, body) in [
        ("GET", "2", Value::Null),
        ("GET", "2/fields", Value::Null),
        ("GET", "2/versions", Value::Null),
        ("PATCH", "2/fields", json!({ "Title": "x" })),
        ("DELETE", "2", Value::Null),
    ] {
        let response = sim.call(method, &format!("{list}/items/{path}"), body);
        assert_eq!(response.status, 404, "{method} {path}");
    }
    // It is there all the same: its unique value is taken, and the simulator's own view shows it.
    let again = sim.call(
        "POST",
        &format!("{list}/items"),
        json!({ "fields": { "Key": "b" } }),
    );
    assert_eq!(again.status, 409);
    assert_eq!(
        sim.act("GET", "lists/L/items/2", Value::Null)["approval"],
        "pending"
    );
}

#[test]
fn a_person_approves_rejects_and_unapproves() {
    let mut sim = Sim::new();
    let list = moderated(&mut sim);
    sim.item(&list, json!({ "Title": "new" }));
    let counter = |item: &Value| item["counter"].as_u64().unwrap();
    let approved = sim.act("POST", "lists/L/items/2/approve", json!({ "person": 3 }));
    assert_eq!((counter(&approved), &approved["editor"]), (2, &json!("person")));
    assert_eq!(sim.ids(&list), ["1", "2"]);
    let shown = sim.read(&format!("{list}/items/2?$expand=fields"));
    assert_eq!(shown["fields"]["_ModerationStatus"], 0);
    sim.act("POST", "lists/L/items/2/reject", Value::Null);
    assert_eq!(sim.ids(&list), ["1"]);
    sim.act("POST", "lists/L/items/2/approve", Value::Null);
    sim.act("POST", "lists/L/items/1/unapprove", Value::Null);
    assert_eq!(sim.ids(&list), ["2"]);
    // An edit makes an approved item wait again.
    let edit = sim.call(
        "PATCH",
        &format!("{list}/items/2/fields"),
        json!({ "Title": "edited" }),
    );
    assert_eq!(edit.status, 200);
    assert_eq!(sim.ids(&list), Vec::<String>::new());
    // The end of asking shows what waited.
    sim.act("PATCH", "lists/L", json!({ "contentApproval": false }));
    assert_eq!(sim.ids(&list), ["1", "2"]);
    assert_eq!(
        sim.control("POST", "lists/L/items/1/approve", Value::Null).status,
        409
    );
    assert_eq!(
        sim.control("POST", "lists/L/items/9/hide", Value::Null).status,
        404
    );
    assert_eq!(
        sim.control("POST", "lists/L/items/1/praise", Value::Null).status,
        404
    );
}

#[test]
fn an_application_with_full_control_sees_and_approves_everything() {
    let mut sim = Sim::with(Options {
        default_role: Role::FullControl,
        ..Options::default()
    });
    let list = moderated(&mut sim);
    let made = sim.item(&list, json!({ "Title": "new" }));
    assert_eq!(made["fields"]["_ModerationStatus"], 0);
    sim.act("POST", "lists/L/items/1/unapprove", Value::Null);
    sim.act("POST", "lists/L/items/2/hide", Value::Null);
    assert_eq!(sim.ids(&list), ["1", "2"]);
    let client = json!({ "clients": { "sim-client": "manage" } });
    sim.act("PUT", "permissions", client);
    assert_eq!(sim.ids(&list), Vec::<String>::new());
}

#[test]
fn delta_is_silent_about_what_is_out_of_sight_or_calls_it_deleted() {
    for (unseen, expected) in [
        (UnseenInDelta::Silent, vec![]),
        (UnseenInDelta::Deleted, vec![("1".to_owned(), true)]),
    ] {
        let mut sim = Sim::behaving(Behaviour {
            unseen_in_delta: unseen,
            ..Behaviour::default()
        });
        let list = moderated(&mut sim);
        sim.act(
            "POST",
            "lists/L/items",
            json!({ "fields": { "Title": "never seen" } }),
        );
        let (seen, link) = sim.changes(&format!("{list}/items/delta?$top=1"));
        assert_eq!(
            seen,
            [("1".to_owned(), false)],
            "a first pass shows what is visible"
        );
        sim.act("POST", "lists/L/items/1/hide", Value::Null);
        let (seen, link) = sim.changes(&link);
        assert_eq!(seen, expected);
        sim.act("POST", "lists/L/items/1/show", Value::Null);
        sim.act("POST", "lists/L/items/2/approve", Value::Null);
        let (seen, _) = sim.changes(&link);
        assert_eq!(seen, [("1".to_owned(), false), ("2".to_owned(), false)]);
    }
}

#[test]
fn permissions_of_its_own_hide_an_item_without_touching_it() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    sim.item(&list, json!({ "Title": "x" }));
    let before = sim.read(&format!("{list}/items/1?$expand=fields"));
    assert_eq!(
        sim.act("POST", "lists/L/items/1/hide", Value::Null)["hidden"],
        true
    );
    assert_eq!(sim.get(&format!("{list}/items/1")).status, 404);
    assert_eq!(sim.ids(&list), Vec::<String>::new());
    sim.act("POST", "lists/L/items/1/show", Value::Null);
    assert_eq!(sim.read(&format!("{list}/items/1?$expand=fields")), before);
}
