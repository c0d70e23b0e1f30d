//! Single items: writes, versions, preconditions, uniqueness.

use serde_json::{Value, json};
use syncbridge_graph_sim::{Behaviour, Request, Response};

use crate::harness::{Sim, message, refusal, request};

fn with_match(sim: &mut Sim, method: &str, path: &str, body: Value, tag: &str) -> Response {
    let request: Request = request(method, path, &body).header("If-Match", tag);
    sim.send(request).response
}

#[test]
fn the_counter_rises_by_one_with_each_write() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let made = sim.item(&list, json!({ "Title": "a" }));
    let tag = made["eTag"].as_str().unwrap().to_owned();
    assert!(tag.ends_with(",1\""), "{tag}");
    let patched = sim.call(
        "PATCH",
        &format!("{list}/items/1/fields"),
        json!({ "Title": "b" }),
    );
    assert_eq!(
        patched.json().unwrap()["@odata.etag"],
        Value::from(tag.replace(",1", ",2"))
    );
    let form = sim.call(
        "PATCH",
        &format!("{list}/items/1"),
        json!({ "fields": { "Title": "b" } }),
    );
    assert_eq!(form.json().unwrap()["eTag"], Value::from(tag.replace(",1", ",3")));
    assert_eq!(form.headers.get("etag"), Some(tag.replace(",1", ",3").as_str()));
    assert_eq!(sim.item(&list, json!({}))["id"], "2");
}

#[test]
fn ids_are_not_used_again() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    sim.item(&list, json!({}));
    assert_eq!(
        sim.call("DELETE", &format!("{list}/items/1"), Value::Null).status,
        204
    );
    assert_eq!(
        refusal(&sim.get(&format!("{list}/items/1"))),
        (404, "itemNotFound".to_owned())
    );
    assert_eq!(
        sim.call("DELETE", &format!("{list}/items/1"), Value::Null).status,
        404
    );
    assert_eq!(sim.item(&list, json!({}))["id"], "2");
}

#[test]
fn a_write_with_an_old_etag_changes_nothing() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let tag = sim.item(&list, json!({ "Title": "a" }))["eTag"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("{list}/items/1/fields");
    assert_eq!(
        with_match(&mut sim, "PATCH", &path, json!({ "Title": "b" }), &tag).status,
        200
    );
    let late = with_match(&mut sim, "PATCH", &path, json!({ "Title": "c" }), &tag);
    assert_eq!(refusal(&late), (412, "resourceModified".to_owned()));
    let late = with_match(&mut sim, "DELETE", &format!("{list}/items/1"), Value::Null, &tag);
    assert_eq!(late.status, 412);
    assert_eq!(sim.read(&path)["Title"], "b");
    assert_eq!(
        with_match(&mut sim, "PATCH", &path, json!({ "Title": "c" }), "*").status,
        200
    );
    let newest = tag.replace(",1", ",3").to_uppercase();
    assert_eq!(
        with_match(&mut sim, "PATCH", &path, json!({ "Title": "d" }), &newest).status,
        200
    );
}

#[test]
fn an_etag_without_quotes_is_malformed() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let tag = sim.item(&list, json!({}))["eTag"]
        .as_str()
        .unwrap()
        .replace('"', "");
    let response = with_match(
        &mut sim,
        "PATCH",
        &format!("{list}/items/1/fields"),
        json!({}),
        &tag,
    );
    let body = response.json().unwrap();
    assert_eq!(
        (response.status, &body["error"]["innerError"]["code"]),
        (400, &json!("malformedEntityTag"))
    );
}

#[test]
fn preconditions_can_be_ignored_or_answered_otherwise() {
    let mut deaf = Sim::behaving(Behaviour {
        if_match: false,
        ..Behaviour::default()
    });
    let list = deaf.list("L", json!([]));
    deaf.item(&list, json!({}));
    let path = format!("{list}/items/1/fields");
    assert_eq!(
        with_match(&mut deaf, "PATCH", &path, json!({}), "\"x,1\"").status,
        200
    );
    let precondition = (409, "resourceModified".to_owned());
    let mut other = Sim::behaving(Behaviour {
        precondition,
        ..Behaviour::default()
    });
    let list = other.list("L", json!([]));
    other.item(&list, json!({}));
    let path = format!("{list}/items/1/fields");
    assert_eq!(
        with_match(&mut other, "PATCH", &path, json!({}), "\"x,1\"").status,
        409
    );
}

#[test]
fn duplicates_in_a_unique_column_are_refused_without_naming_the_value() {
    let mut sim = Sim::new();
    let unique = json!({ "name": "Key", "displayName": "The key", "text": {}, "indexed": true, "enforceUniqueValues": true });
    let list = sim.list("L", json!([unique]));
    sim.item(&list, json!({ "Key": "secret1" }));
    let twice = sim.call(
        "POST",
        &format!("{list}/items"),
        json!({ "fields": { "Key": "SECRET1" } }),
    );
    assert_eq!(refusal(&twice), (409, "nameAlreadyExists".to_owned()));
    assert!(message(&twice).contains("duplicate values were found") && message(&twice).contains("[The key]"));
    assert!(!message(&twice).to_lowercase().contains("secret1"));
    assert_eq!(sim.count(&list), 1);
    let second = sim.item(&list, json!({ "Key": "other" }))["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("{list}/items/{second}/fields");
    assert_eq!(sim.call("PATCH", &path, json!({ "Key": "secret1" })).status, 409);
    sim.call("DELETE", &format!("{list}/items/1"), Value::Null);
    assert_eq!(sim.call("PATCH", &path, json!({ "Key": "secret1" })).status, 200);
    sim.item(&list, json!({}));
    sim.item(&list, json!({}));
}

#[test]
fn hidden_columns_are_shown_only_where_they_are_selected() {
    let mut sim = Sim::new();
    let list = sim.list(
        "L",
        json!([{ "name": "Key", "text": {}, "hidden": true }, { "name": "A", "text": {} }]),
    );
    let made = sim.item(&list, json!({ "Key": "k", "A": "a" }));
    assert!(made["fields"].get("Key").is_none());
    let patched = sim
        .call("PATCH", &format!("{list}/items/1/fields"), json!({ "Key": "k2" }))
        .json()
        .unwrap();
    assert!(patched.get("Key").is_none());
    assert!(
        sim.read(&format!("{list}/items/1?$expand=fields"))["fields"]
            .get("Key")
            .is_none()
    );
    let fields = sim.read(&format!("{list}/items/1?$expand=fields($select=Key,A)"))["fields"].clone();
    assert_eq!((&fields["Key"], &fields["A"]), (&json!("k2"), &json!("a")));
    assert!(fields.get("Title").is_none());
    assert_eq!(
        sim.read(&format!("{list}/items/1/fields?$select=Key"))["Key"],
        "k2"
    );
}

#[test]
fn a_title_is_shown_three_times_and_written_once() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let fields = sim.item(&list, json!({ "Title": "x" }))["fields"].clone();
    assert_eq!(
        [&fields["Title"], &fields["LinkTitle"], &fields["LinkTitleNoMenu"]],
        [&json!("x"); 3]
    );
    let without = sim.item(&list, json!({}))["fields"].clone();
    assert!(
        ["Title", "LinkTitle", "LinkTitleNoMenu"]
            .iter()
            .all(|name| without.get(*name).is_none())
    );
    let link = sim.call(
        "PATCH",
        &format!("{list}/items/1/fields"),
        json!({ "LinkTitle": "y" }),
    );
    assert_eq!(link.status, 400);
}

#[test]
fn versions_are_kept_newest_first_and_can_be_off() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    sim.item(&list, json!({ "Title": "a" }));
    sim.call(
        "PATCH",
        &format!("{list}/items/1/fields"),
        json!({ "Title": "b" }),
    );
    let body = sim.read(&format!("{list}/items/1/versions?$expand=fields"));
    let seen: Vec<(&Value, &Value)> = body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (&v["id"], &v["fields"]["Title"]))
        .collect();
    assert_eq!(seen, [(&json!("2.0"), &json!("b")), (&json!("1.0"), &json!("a"))]);
    assert_eq!(
        sim.read(&format!("{list}/items/1/versions/1.0?$expand=fields"))["fields"]["Title"],
        "a"
    );
    assert_eq!(sim.get(&format!("{list}/items/1/versions/9.0")).status, 404);
    let mut off = Sim::behaving(Behaviour {
        versions_kept: 0,
        ..Behaviour::default()
    });
    let list = off.list("L", json!([]));
    off.item(&list, json!({}));
    off.call(
        "PATCH",
        &format!("{list}/items/1/fields"),
        json!({ "Title": "b" }),
    );
    let fields = off.read(&format!("{list}/items/1?$expand=fields"))["fields"].clone();
    assert_eq!(fields["_UIVersionString"], "1.0");
    assert_eq!(
        off.read(&format!("{list}/items/1/versions"))["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_refused_write_leaves_everything_as_it_was() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "N", "number": {} }]));
    sim.item(&list, json!({ "Title": "a", "N": 1 }));
    let path = format!("{list}/items/1/fields");
    assert_eq!(
        sim.call("PATCH", &path, json!({ "Title": "b", "N": "wrong" }))
            .status,
        400
    );
    let fields = sim.read(&path);
    assert_eq!((&fields["Title"], &fields["N"]), (&json!("a"), &json!(1)));
    assert!(fields["@odata.etag"].as_str().unwrap().ends_with(",1\""));
}

#[test]
fn bodies_must_be_json_objects_that_say_so() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let path = format!("{list}/items");
    assert_eq!(sim.call("POST", &path, json!([1])).status, 400);
    assert_eq!(sim.call("POST", &path, json!({ "fields": 3 })).status, 400);
    assert_eq!(sim.call("POST", &path, json!({ "field": {} })).status, 400);
    assert_eq!(sim.call("POST", &path, Value::Null).status, 400);
    let mut untyped = request("POST", &path, &Value::Null);
    untyped.body = "{}".into();
    assert_eq!(sim.send(untyped).response.status, 415);
    let mut broken = request("POST", &path, &json!({}));
    broken.body = "{".into();
    assert_eq!(sim.send(broken).response.status, 400);
    assert_eq!(sim.count(&list), 0);
}
