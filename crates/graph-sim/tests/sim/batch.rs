//! `$batch`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use syncbridge_graph_sim::Options;

use crate::harness::{Sim, refusal, request};

fn create(list: &str, id: u32) -> Value {
    json!({
        "id": id.to_string(), "method": "POST", "url": format!("{}/items", relative(list)),
        "headers": { "Content-Type": "application/json" }, "body": { "fields": { "Title": format!("t{id}") } },
    })
}

fn relative(list: &str) -> &str {
    list.strip_prefix("/v1.0").unwrap()
}

fn statuses(body: &Value) -> BTreeMap<String, u64> {
    let responses = body["responses"].as_array().unwrap();
    responses
        .iter()
        .map(|one| {
            (
                one["id"].as_str().unwrap().to_owned(),
                one["status"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn twenty_creates_are_all_answered_in_an_order_that_the_seed_decides() {
    let run = |seed: u64| {
        let mut sim = Sim::with(Options {
            seed,
            ..Options::default()
        });
        let list = sim.list("L", json!([]));
        let parts: Vec<Value> = (1..=20).map(|id| create(&list, id)).collect();
        let response = sim.batch(json!(parts));
        assert_eq!(response.status, 200);
        let body = response.json().unwrap();
        assert_eq!(sim.count(&list), 20);
        body["responses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                assert_eq!(one["status"], 201);
                assert_eq!(one["headers"]["ETag"], one["body"]["eTag"]);
                one["id"].as_str().unwrap().to_owned()
            })
            .collect::<Vec<_>>()
    };
    let order = run(1);
    assert_eq!(order, run(1));
    assert_ne!(order, run(2));
    assert_ne!(order, (1..=20).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[test]
fn parts_fail_one_by_one_and_carry_their_own_headers() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let tag = sim.item(&list, json!({}))["eTag"].as_str().unwrap().to_owned();
    let item = format!("{}/items/1", relative(&list));
    let typed = json!({ "Content-Type": "application/json", "If-Match": tag });
    let body = sim.batch(json!([
        { "id": "a", "method": "PATCH", "url": format!("{item}/fields"), "headers": typed, "body": { "Title": "x" } },
        { "id": "b", "method": "GET", "url": format!("{item}9") },
        { "id": "c", "method": "PATCH", "url": format!("{item}/fields"), "headers": { "If-Match": "\"x,1\"", "Content-Type": "application/json" }, "body": {} },
        { "id": "d", "method": "POST", "url": format!("{}/items", relative(&list)), "body": {} },
        { "id": "e", "method": "POST", "url": "/$batch", "headers": { "Content-Type": "application/json" }, "body": {} },
        { "id": "f", "method": "GET", "url": "sites/root" },
    ])).json().unwrap();
    let expected = [
        ("a", 200),
        ("b", 404),
        ("c", 412),
        ("d", 400),
        ("e", 400),
        ("f", 200),
    ];
    assert_eq!(
        statuses(&body),
        expected
            .into_iter()
            .map(|(id, status)| (id.to_owned(), status))
            .collect()
    );
    let gone = sim
        .batch(json!([{ "id": "1", "method": "DELETE", "url": item }]))
        .json()
        .unwrap();
    assert_eq!(gone["responses"][0]["status"], 204);
    assert!(gone["responses"][0].get("body").is_none());
}

#[test]
fn what_depends_on_a_failed_part_fails_with_424_and_the_rest_in_order() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let mut parts: Vec<Value> = (1..=10).map(|id| create(&list, id)).collect();
    for (at, part) in parts.iter_mut().enumerate().skip(1) {
        part["dependsOn"] = json!([at.to_string()]);
    }
    sim.batch(json!(parts));
    let titles: Vec<Value> = sim.read(&format!("{list}/items?$expand=fields"))["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["fields"]["Title"].clone())
        .collect();
    assert_eq!(
        titles,
        (1..=10).map(|n| json!(format!("t{n}"))).collect::<Vec<_>>()
    );
    let mut bad = create(&list, 1);
    bad["body"]["fields"]["Nothing"] = json!(1);
    let (mut child, mut grandchild) = (create(&list, 2), create(&list, 3));
    child["dependsOn"] = json!(["1"]);
    grandchild["dependsOn"] = json!(["2"]);
    let body = sim
        .batch(json!([grandchild, child, bad, create(&list, 4)]))
        .json()
        .unwrap();
    let expected = [("1", 400), ("2", 424), ("3", 424), ("4", 201)];
    assert_eq!(
        statuses(&body),
        expected
            .into_iter()
            .map(|(id, status)| (id.to_owned(), status))
            .collect()
    );
    assert_eq!(sim.count(&list), 11);
}

#[test]
fn a_malformed_batch_is_refused_as_a_whole() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let many: Vec<Value> = (1..=21).map(|id| create(&list, id)).collect();
    let depends = |on: &str| {
        let mut part = create(&list, 1);
        part["dependsOn"] = json!([on]);
        part
    };
    let same = [
        json!({ "id": "A", "method": "GET", "url": "/sites/root" }),
        json!({ "id": "a", "method": "GET", "url": "/sites/root" }),
    ];
    for requests in [
        json!(many),
        json!([]),
        json!([{ "method": "GET", "url": "/sites/root" }]),
        json!([{ "id": "1", "url": "/sites/root" }]),
        json!([{ "id": "1", "method": "GET" }]),
        json!(same),
        json!([depends("9")]),
        json!([depends("1")]),
        json!([{ "id": "1", "method": "GET", "url": "/sites/root", "headers": { "a": 1 } }]),
        json!("no"),
    ] {
        let response = sim.batch(requests.clone());
        assert_eq!(refusal(&response), (400, "BadRequest".to_owned()), "{requests}");
    }
    assert_eq!(sim.count(&list), 0);
    assert_eq!(sim.get("/v1.0/$batch").status, 405);
}

#[test]
fn a_batch_takes_the_latency_of_its_parts_four_at_a_time() {
    let latency = Duration::from_millis(30);
    let mut sim = Sim::with(Options {
        latency,
        ..Options::default()
    });
    let list = sim.list("L", json!([]));
    let mut delay = |count: u32| {
        let parts: Vec<Value> = (1..=count).map(|id| create(&list, id)).collect();
        let path = "/v1.0/$batch";
        sim.send(request("POST", path, &json!({ "requests": parts })))
            .delay
    };
    assert_eq!(delay(20), 5 * latency);
    assert_eq!(delay(4), latency);
    assert_eq!(delay(5), 2 * latency);
    assert_eq!(
        sim.send(request("GET", "/v1.0/sites/root", &Value::Null)).delay,
        latency
    );
}
