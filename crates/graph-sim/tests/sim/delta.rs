//! Changes of a list.

use serde_json::{Value, json};
use syncbridge_graph_sim::Behaviour;

use crate::harness::{Sim, refusal};

const ROOT: &str = "https://graph.microsoft.com";

/// Follows the pages to the delta link; answers (id, deleted) in order and the link.
fn follow(sim: &mut Sim, path: &str) -> (Vec<(String, bool)>, String) {
    let mut seen = Vec::new();
    let mut path = path.to_owned();
    loop {
        let body = sim.read(&path);
        assert_ne!(
            body.get("@odata.nextLink").is_some(),
            body.get("@odata.deltaLink").is_some()
        );
        for entry in body["value"].as_array().unwrap() {
            seen.push((
                entry["id"].as_str().unwrap().to_owned(),
                entry.get("deleted").is_some(),
            ));
        }
        let link = body["@odata.nextLink"]
            .as_str()
            .or_else(|| body["@odata.deltaLink"].as_str())
            .unwrap();
        path = link.strip_prefix(ROOT).unwrap().to_owned();
        if body.get("@odata.deltaLink").is_some() {
            return (seen, path);
        }
    }
}

fn changed(ids: &[u32]) -> Vec<(String, bool)> {
    ids.iter().map(|id| (id.to_string(), false)).collect()
}

fn filled(sim: &mut Sim, count: u32) -> String {
    let list = sim.list("L", json!([]));
    for n in 0..count {
        sim.item(&list, json!({ "Title": n.to_string() }));
    }
    list
}

#[test]
fn an_empty_list_answers_with_a_delta_link_at_once() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    assert_eq!(follow(&mut sim, &format!("{list}/items/delta")).0, []);
}

#[test]
fn a_first_pass_shows_every_item_and_later_ones_only_changes() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 5);
    let (seen, link) = follow(&mut sim, &format!("{list}/items/delta?$expand=fields&$top=2"));
    assert_eq!(seen, changed(&[1, 2, 3, 4, 5]));
    assert!(link.contains("$expand=fields&$top=2&token="), "{link}");
    assert_eq!(follow(&mut sim, &link).0, []);
    sim.call(
        "PATCH",
        &format!("{list}/items/4/fields"),
        json!({ "Title": "x" }),
    );
    sim.call("DELETE", &format!("{list}/items/2"), Value::Null);
    sim.item(&list, json!({}));
    let (seen, next) = follow(&mut sim, &link);
    assert_eq!(
        seen,
        [
            ("4".to_owned(), false),
            ("2".to_owned(), true),
            ("6".to_owned(), false)
        ]
    );
    assert_eq!(follow(&mut sim, &next).0, []);
    assert_eq!(
        follow(&mut sim, &link).0.len(),
        3,
        "an old link can be followed again"
    );
}

#[test]
fn the_token_latest_skips_what_is_there() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 3);
    let (seen, link) = follow(&mut sim, &format!("{list}/items/delta?token=latest"));
    assert_eq!(seen, []);
    sim.call(
        "PATCH",
        &format!("{list}/items/1/fields"),
        json!({ "Title": "x" }),
    );
    assert_eq!(follow(&mut sim, &link).0, changed(&[1]));
}

#[test]
fn changes_during_a_first_pass_are_not_missed() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 4);
    let first = sim.read(&format!("{list}/items/delta?$top=2"));
    sim.call(
        "PATCH",
        &format!("{list}/items/1/fields"),
        json!({ "Title": "x" }),
    );
    sim.call("DELETE", &format!("{list}/items/2"), Value::Null);
    sim.call("DELETE", &format!("{list}/items/3"), Value::Null);
    let next = first["@odata.nextLink"]
        .as_str()
        .unwrap()
        .strip_prefix(ROOT)
        .unwrap()
        .to_owned();
    let (rest, link) = follow(&mut sim, &next);
    assert_eq!(rest, changed(&[4]));
    let (seen, _) = follow(&mut sim, &link);
    assert_eq!(
        seen,
        [
            ("1".to_owned(), false),
            ("2".to_owned(), true),
            ("3".to_owned(), true)
        ]
    );
}

#[test]
fn a_deleted_item_has_no_etag_and_no_fields() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 1);
    let (_, link) = follow(&mut sim, &format!("{list}/items/delta?$expand=fields"));
    sim.call("DELETE", &format!("{list}/items/1"), Value::Null);
    let entry = sim.read(&link)["value"][0].clone();
    assert_eq!(entry["deleted"], json!({ "state": "deleted" }));
    assert!(entry.get("eTag").is_none() && entry.get("fields").is_none());
}

#[test]
fn fields_come_only_where_they_are_expanded_unless_the_behaviour_says_otherwise() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 1);
    assert!(
        sim.read(&format!("{list}/items/delta"))["value"][0]
            .get("fields")
            .is_none()
    );
    let selected = sim.read(&format!("{list}/items/delta?$expand=fields($select=Title)"));
    assert_eq!(selected["value"][0]["fields"]["Title"], "0");
    assert!(selected["value"][0]["fields"].get("Created").is_none());
    let mut open = Sim::behaving(Behaviour {
        delta_fields_without_expand: true,
        ..Behaviour::default()
    });
    let list = filled(&mut open, 1);
    assert!(
        open.read(&format!("{list}/items/delta"))["value"][0]
            .get("fields")
            .is_some()
    );
}

#[test]
fn an_old_token_is_gone_with_a_link_to_begin_again() {
    let mut sim = Sim::with(syncbridge_graph_sim::Options {
        token_seconds: 99_999_999,
        ..Default::default()
    });
    let list = filled(&mut sim, 2);
    let (_, link) = follow(&mut sim, &format!("{list}/items/delta?$expand=fields"));
    sim.pass(61 * 86_400);
    let gone = sim.get(&link);
    assert_eq!(refusal(&gone), (410, "resyncRequired".to_owned()));
    let again = gone
        .headers
        .get("location")
        .unwrap()
        .strip_prefix(ROOT)
        .unwrap()
        .to_owned();
    assert_eq!(follow(&mut sim, &again).0, changed(&[1, 2]));
}

#[test]
fn damaged_and_foreign_tokens_are_malformed() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 1);
    let other = sim.list("Other", json!([]));
    let (_, link) = follow(&mut sim, &format!("{other}/items/delta"));
    let token = link.split("token=").nth(1).unwrap().to_owned();
    for token in ["nonsense".to_owned(), token] {
        let refused = sim.get(&format!("{list}/items/delta?token={token}"));
        assert_eq!(refusal(&refused), (400, "invalidRequest".to_owned()));
    }
}

#[test]
fn people_s_edits_appear_without_an_app() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 1);
    let (_, link) = follow(&mut sim, &format!("{list}/items/delta?$expand=fields"));
    let edit = json!({ "fields": { "Title": "by hand" }, "person": 12 });
    assert_eq!(sim.control("POST", "lists/L/items/1", edit).status, 200);
    let entry = sim.read(&link)["value"][0].clone();
    assert_eq!(
        (&entry["fields"]["Title"], &entry["fields"]["EditorLookupId"]),
        (&json!("by hand"), &json!("12"))
    );
    assert!(entry["fields"].get("AppEditorLookupId").is_none());
    assert_eq!(entry["fields"]["AppAuthorLookupId"], "1");
}
