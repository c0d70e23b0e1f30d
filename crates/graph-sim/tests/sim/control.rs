//! The controls under `/_sim/` and the page for people.

use serde_json::{Value, json};

use crate::harness::{Sim, request};

#[test]
fn the_state_shows_sites_lists_and_counts() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "Key", "text": {}, "hidden": true }]));
    sim.item(&list, json!({}));
    let state = sim.control("GET", "state", Value::Null).json().unwrap();
    assert_eq!(state["sites"][1]["name"], "demo");
    let shown = &state["sites"][1]["lists"][0];
    assert_eq!((&shown["displayName"], &shown["items"]), (&json!("L"), &json!(1)));
    assert_eq!(shown["columns"][0]["hidden"], true);
}

#[test]
fn the_raw_items_show_hidden_columns_and_can_be_paged() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "Key", "text": {}, "hidden": true }]));
    for n in 1..=3 {
        sim.item(&list, json!({ "Key": format!("k{n}") }));
    }
    let page = sim
        .control("GET", "lists/L/items?limit=1&after=1", Value::Null)
        .json()
        .unwrap();
    assert_eq!(page["count"], 3);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let item = &page["items"][0];
    assert_eq!(
        (&item["id"], &item["fields"]["Key"], &item["counter"]),
        (&json!(2), &json!("k2"), &json!(1))
    );
    assert_eq!(sim.control("GET", "lists/none/items", Value::Null).status, 404);
    assert_eq!(
        sim.control("GET", "lists/L/items?limit=x", Value::Null).status,
        400
    );
}

#[test]
fn people_create_edit_and_delete_without_units() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "N", "number": {} }]));
    sim.control("POST", "ru/reset", Value::Null);
    let made = sim.control("POST", "lists/L/items", json!({ "fields": { "Title": "x" } }));
    assert_eq!(
        (made.status, &made.json().unwrap()["editor"]),
        (201, &json!("person"))
    );
    let edited = sim
        .control("POST", "lists/L/items/1", json!({ "fields": { "N": 2 } }))
        .json()
        .unwrap();
    assert_eq!(
        (&edited["counter"], &edited["fields"]["N"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(
        sim.control("POST", "lists/L/items/1", json!({ "fields": { "N": "two" } }))
            .status,
        400
    );
    assert_eq!(
        sim.control("POST", "lists/L/items/8", json!({ "fields": {} }))
            .status,
        404
    );
    assert_eq!(sim.control("DELETE", "lists/L/items/1", Value::Null).status, 204);
    assert_eq!(sim.control("DELETE", "lists/L/items/1", Value::Null).status, 404);
    assert_eq!(sim.count(&list), 0);
    assert_eq!(sim.control("GET", "ru", Value::Null).json().unwrap()["ru"], 0);
}

#[test]
fn remembered_requests_hold_no_values() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "Key", "text": {}, "indexed": true }]));
    sim.item(&list, json!({ "Key": "PLANTED" }));
    sim.get(&format!("{list}/items?$filter=fields/Key%20eq%20'PLANTED'"));
    let response = sim.control("GET", "requests?limit=10", Value::Null);
    let text = String::from_utf8(response.body.to_vec()).unwrap();
    assert!(
        !text.contains("PLANTED") && !text.contains("sim-secret"),
        "{text}"
    );
    let newest = response.json().unwrap()["requests"][0].clone();
    assert_eq!(
        (&newest["kind"], &newest["ru"], &newest["status"]),
        (&json!("items"), &json!(2), &json!(200))
    );
    assert_eq!(
        (&newest["method"], &newest["tag"]),
        (&json!("GET"), &json!("untagged"))
    );
}

#[test]
fn fault_rules_are_set_shown_with_their_hits_and_cleared() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let rules = json!({ "faults": [{ "kind": "refuse", "on": ["create"], "times": 1 }] });
    assert_eq!(sim.control("PUT", "faults", rules).status, 200);
    for expected in [400, 201] {
        assert_eq!(
            sim.call("POST", &format!("{list}/items"), json!({})).status,
            expected
        );
    }
    let shown = sim.control("GET", "faults", Value::Null).json().unwrap();
    let rule = json!({ "kind": "refuse", "on": ["create"], "times": 1 });
    assert_eq!(
        shown,
        json!({ "faults": [{ "rule": rule, "matched": 2, "hits": 1 }] })
    );
    for wrong in [
        json!([{ "kind": "hang" }]),
        json!([{ "kind": "boom" }]),
        json!([{}]),
        json!({}),
    ] {
        let refused = sim.control("PUT", "faults", wrong);
        assert_eq!(refused.status, 400);
        assert!(
            refused.json().unwrap()["error"]
                .as_str()
                .unwrap()
                .contains("fault")
        );
    }
    assert_eq!(sim.control("DELETE", "faults", Value::Null).status, 204);
    assert_eq!(
        sim.control("GET", "faults", Value::Null).json().unwrap(),
        json!({ "faults": [] })
    );
}

#[test]
fn other_origins_and_unknown_controls_are_refused() {
    let mut sim = Sim::new();
    assert_eq!(sim.control("GET", "nonsense", Value::Null).status, 404);
    let foreign = |origin: &str| {
        request("DELETE", "/_sim/faults", &Value::Null)
            .header("Host", "127.0.0.1:1")
            .header("Origin", origin)
    };
    let now = sim.now;
    assert_eq!(
        sim.tenant
            .handle(foreign("https://elsewhere.example"), now)
            .response
            .status,
        403
    );
    assert_eq!(
        sim.tenant
            .handle(foreign("http://127.0.0.1:1"), now)
            .response
            .status,
        204
    );
}

#[test]
fn single_fault_rules_come_and_go_while_the_others_count_on() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    sim.act(
        "POST",
        "faults",
        json!({ "kind": "refuse", "on": ["create"], "times": 1 }),
    );
    sim.call("POST", &format!("{list}/items"), json!({}));
    let both = sim.act("POST", "faults", json!({ "kind": "throttle", "on": ["patch"] }));
    assert_eq!(
        (&both["faults"][0]["hits"], &both["faults"][1]["hits"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(
        sim.control("POST", "faults", json!({ "kind": "boom" })).status,
        400
    );
    assert_eq!(
        sim.control("POST", "faults", json!({ "kind": "hang" })).status,
        400
    );
    sim.act("DELETE", "faults/0", Value::Null);
    let left = sim.act("GET", "faults", Value::Null);
    assert_eq!(left["faults"][0]["rule"]["kind"], "throttle");
    for none in ["faults/1", "faults/x"] {
        assert_eq!(sim.control("DELETE", none, Value::Null).status, 404);
    }
}

#[test]
fn the_quotas_show_what_is_spent_of_each_window() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    sim.item(&list, json!({}));
    let quotas = sim.act("GET", "quotas", Value::Null);
    let minute = &quotas["clients"]["sim-client"]["minute"];
    assert_eq!((&minute["limit"], &minute["spent"]), (&json!(1_250), &json!(4)));
    assert_eq!(
        (&quotas["tenant"]["spent"], &quotas["enforced"]),
        (&json!(4), &json!(false))
    );
    assert_eq!(
        minute["resetSeconds"], 25,
        "the fixed window ends with the minute"
    );
    sim.pass(60);
    let quotas = sim.act("GET", "quotas", Value::Null);
    assert_eq!(quotas["clients"]["sim-client"]["minute"]["spent"], 0);
}

#[test]
fn a_page_elsewhere_is_told_by_any_of_the_marks_that_browsers_set() {
    let mut sim = Sim::new();
    let now = sim.now;
    let mut status = |marks: &[(&str, &str)]| {
        let mut request = request("POST", "/_sim/ru/reset", &Value::Null);
        for (name, value) in marks {
            request = request.header(name, *value);
        }
        sim.tenant.handle(request, now).response.status
    };
    let host = ("Host", "127.0.0.1:1");
    assert_eq!(status(&[]), 204, "a program that is no browser");
    assert_eq!(
        status(&[
            host,
            ("Origin", "http://127.0.0.1:1"),
            ("Sec-Fetch-Site", "same-origin")
        ]),
        204
    );
    assert_eq!(status(&[host, ("Origin", "null")]), 403);
    assert_eq!(
        status(&[("Origin", "http://127.0.0.1:1")]),
        403,
        "no host to compare with"
    );
    assert_eq!(status(&[host, ("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(status(&[host, ("Sec-Fetch-Site", "same-site")]), 403);
}
