//! Faults as clients meet them.

use std::time::Duration;

use serde_json::{Value, json};
use syncbridge_graph_sim::{Answer, Fate, Options};

use crate::harness::{SITE, Sim, refusal, request, token_request};

fn create(sim: &mut Sim, list: &str, title: &str) -> Answer {
    let body = json!({ "fields": { "Title": title } });
    sim.send(request("POST", &format!("{list}/items"), &body))
}

fn batch(sim: &mut Sim, list: &str, count: u32) -> Answer {
    let url = format!("{}/items", list.strip_prefix("/v1.0").unwrap());
    let part = |id: u32| {
        json!({ "id": id.to_string(), "method": "POST", "url": url,
            "headers": { "Content-Type": "application/json" }, "body": { "fields": { "Title": id.to_string() } } })
    };
    let parts: Vec<Value> = (1..=count).map(part).collect();
    sim.send(request("POST", "/v1.0/$batch", &json!({ "requests": parts })))
}

/// The statuses inside a batch's answer, sorted.
fn statuses(answer: &Answer) -> Vec<u64> {
    let body = answer.response.json().unwrap();
    let mut all: Vec<u64> = body["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].as_u64().unwrap())
        .collect();
    all.sort_unstable();
    all
}

fn prepared(rules: &[&str]) -> (Sim, String) {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    sim.faults(rules);
    (sim, list)
}

#[test]
fn a_lost_answer_took_effect_and_a_lost_request_did_not() {
    let (mut sim, list) = prepared(&["lost_answer,on=create,times=1"]);
    let lost = create(&mut sim, &list, "a");
    assert_eq!((lost.fate, sim.count(&list)), (Fate::ResetConnection, 1));
    assert_eq!(create(&mut sim, &list, "b").fate, Fate::Deliver);
    sim.faults(&["lost_before,on=create"]);
    let before = sim.control("GET", "ru", Value::Null).json().unwrap()["ru"].clone();
    assert_eq!(create(&mut sim, &list, "c").fate, Fate::ResetConnection);
    assert_eq!(sim.count(&list), 2);
    assert_eq!(
        sim.control("GET", "ru", Value::Null).json().unwrap()["ru"],
        before
    );
}

#[test]
fn a_lost_answer_can_be_a_504_instead_of_a_cut() {
    let (mut sim, list) = prepared(&["lost_answer,on=create,status=504,body=empty"]);
    let answer = create(&mut sim, &list, "a");
    assert_eq!(
        (answer.fate, answer.response.status, answer.response.body.len()),
        (Fate::Deliver, 504, 0)
    );
    assert_eq!(sim.count(&list), 1);
}

#[test]
fn a_whole_batch_can_lose_its_answer_after_all_its_parts_took_effect() {
    let (mut sim, list) = prepared(&["lost_answer,on=batch,times=1"]);
    assert_eq!(batch(&mut sim, &list, 20).fate, Fate::ResetConnection);
    assert_eq!(sim.count(&list), 20);
    sim.faults(&["lost_before,on=batch,times=1"]);
    assert_eq!(batch(&mut sim, &list, 20).fate, Fate::ResetConnection);
    assert_eq!(sim.count(&list), 20);
    assert_eq!(batch(&mut sim, &list, 20).fate, Fate::Deliver);
}

#[test]
fn a_part_of_a_batch_can_be_answered_504_although_it_took_effect() {
    let (mut sim, list) = prepared(&["lost_answer,on=create,every=4"]);
    let answer = batch(&mut sim, &list, 20);
    assert_eq!(answer.fate, Fate::Deliver);
    let all = statuses(&answer);
    assert_eq!(
        (
            all.iter().filter(|s| **s == 504).count(),
            all.iter().filter(|s| **s == 201).count()
        ),
        (5, 15)
    );
    assert_eq!(sim.count(&list), 20);
    let totals = sim.control("GET", "ru", Value::Null).json().unwrap();
    assert_eq!(totals["item_writes"]["creates"], 20);
}

#[test]
fn server_errors_come_with_every_kind_of_body_applied_or_not() {
    let (mut sim, list) = prepared(&["server_error,on=create,status=502,body=html"]);
    let html = create(&mut sim, &list, "a").response;
    assert_eq!(
        (html.status, html.headers.get("content-type")),
        (502, Some("text/html"))
    );
    assert!(html.json().is_none());
    assert_eq!(sim.count(&list), 0);
    sim.faults(&["server_error,on=create,body=empty,retry_after=3"]);
    let empty = create(&mut sim, &list, "a").response;
    assert_eq!(
        (empty.status, empty.body.len(), empty.headers.get("retry-after")),
        (503, 0, Some("3"))
    );
    sim.faults(&["server_error,on=create,status=500,applied=true"]);
    let json = create(&mut sim, &list, "a").response;
    assert_eq!(refusal(&json), (500, "generalException".to_owned()));
    assert_eq!(sim.count(&list), 1);
    sim.faults(&["server_error,on=create,status=502,body=html"]);
    let part = batch(&mut sim, &list, 1).response.json().unwrap()["responses"][0].clone();
    assert_eq!((&part["status"], part["body"].is_string()), (&json!(502), true));
}

#[test]
fn throttling_waits_in_every_spelling_and_for_parts_or_the_whole() {
    let (mut sim, list) = prepared(&[]);
    let mut header = |rule: &str| {
        sim.faults(&[rule]);
        let response = create(&mut sim, &list, "a").response;
        (
            response.status,
            response.headers.get("retry-after").map(str::to_owned),
        )
    };
    assert_eq!(header("throttle"), (429, Some("1".to_owned())));
    assert_eq!(
        header("throttle,retry_after=0.249"),
        (429, Some("0.249".to_owned()))
    );
    assert_eq!(header("throttle,retry_after=missing"), (429, None));
    assert_eq!(
        header("throttle,status=503,retry_after=7"),
        (503, Some("7".to_owned()))
    );
    assert_eq!(
        header("throttle,retry_after=date:60"),
        (429, Some("Wed, 03 Jun 2026 15:08:35 GMT".to_owned()))
    );
    assert_eq!(sim.count(&list), 0);
    sim.faults(&["throttle,on=create,every=2,retry_after=5"]);
    let mixed = batch(&mut sim, &list, 4);
    assert_eq!(statuses(&mixed), [201, 201, 429, 429]);
    let body = mixed.response.json().unwrap();
    let limited = body["responses"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["status"] == 429)
        .unwrap();
    assert_eq!(limited["headers"]["Retry-After"], "5");
    assert_eq!(limited["body"]["error"]["code"], "activityLimitReached");
    sim.faults(&["throttle,on=batch"]);
    assert_eq!(batch(&mut sim, &list, 4).response.status, 429);
    assert_eq!(sim.count(&list), 2);
}

#[test]
fn one_row_in_so_many_is_refused_always_the_same_ones() {
    let (mut sim, list) = prepared(&["refuse,field=Title,one_in=10"]);
    let refused = |sim: &mut Sim| -> Vec<u32> {
        (0..200)
            .filter(|n| create(sim, &list, &n.to_string()).response.status == 400)
            .collect()
    };
    let first = refused(&mut sim);
    assert!((8..40).contains(&first.len()), "{} of 200", first.len());
    assert_eq!(first, refused(&mut sim));
    let (mut sim, list) = prepared(&[]);
    create(&mut sim, &list, "b");
    sim.faults(&["refuse,field=Title,equals=b,on=delete,code=own,message=Field 'Title' is bad"]);
    let deleted = sim.call("DELETE", &format!("{list}/items/1"), Value::Null);
    assert_eq!(
        refusal(&deleted),
        (400, "own".to_owned()),
        "the stored value counts where the request has none"
    );
}

#[test]
fn a_slow_request_takes_effect_before_or_after_its_wait() {
    let (mut sim, list) = prepared(&["hang,on=create,millis=700,applied=true,times=1"]);
    let early = create(&mut sim, &list, "a");
    assert_eq!(
        (early.fate, early.delay, early.response.status),
        (Fate::Deliver, Duration::from_millis(700), 201)
    );
    sim.faults(&["hang,on=create,millis=700,times=1"]);
    let late = create(&mut sim, &list, "b");
    assert_eq!((late.delay, sim.count(&list)), (Duration::from_millis(700), 1));
    let Fate::Later { ticket } = late.fate else {
        panic!("the request was not held back")
    };
    let then = sim.now + chrono::TimeDelta::milliseconds(700);
    let answer = sim.tenant.resume(ticket, then).unwrap();
    assert_eq!((answer.response.status, sim.count(&list)), (201, 2));
    assert!(sim.tenant.resume(ticket, then).is_none(), "a ticket is good once");
}

#[test]
fn a_whole_batch_can_be_held_back() {
    let (mut sim, list) = prepared(&["hang,on=batch,millis=50"]);
    let Fate::Later { ticket } = batch(&mut sim, &list, 3).fate else {
        panic!("the batch was not held back")
    };
    assert_eq!(sim.count(&list), 0);
    let answer = sim.tenant.resume(ticket, sim.now).unwrap();
    assert_eq!(statuses(&answer), [201, 201, 201]);
}

#[test]
fn a_new_list_is_not_found_for_a_while() {
    let mut sim = Sim::failing(&["new_list_not_found,millis=5000"]);
    let list = sim.list("L", json!([]));
    assert_eq!(refusal(&sim.get(&list)), (404, "itemNotFound".to_owned()));
    assert_eq!(sim.get(&format!("{list}/items")).status, 404);
    sim.pass(4);
    assert_eq!(sim.call("POST", &format!("{list}/items"), json!({})).status, 404);
    sim.pass(1);
    assert_eq!(sim.get(&list).status, 200);
}

#[test]
fn preconditions_tokens_and_changes_can_fail_without_cause() {
    let (mut sim, list) = prepared(&["precondition,times=1"]);
    create(&mut sim, &list, "a");
    let path = format!("{list}/items/1/fields");
    assert_eq!(
        refusal(&sim.call("PATCH", &path, json!({}))),
        (412, "resourceModified".to_owned())
    );
    assert_eq!(sim.call("PATCH", &path, json!({ "Title": "b" })).status, 200);
    sim.faults(&["unauthorized,times=1"]);
    assert_eq!(
        refusal(&sim.get(&list)),
        (401, "InvalidAuthenticationToken".to_owned())
    );
    assert_eq!(sim.get(&list).status, 200);
    let link = sim.read(&format!("{list}/items/delta?token=latest"))["@odata.deltaLink"]
        .as_str()
        .unwrap()
        .to_owned();
    let link = link.strip_prefix("https://graph.microsoft.com").unwrap();
    sim.faults(&["resync,times=1,without_location=true", "resync,times=1"]);
    let gone = sim.get(link);
    assert_eq!((gone.status, gone.headers.get("location")), (410, None));
    assert!(sim.get(link).headers.get("location").is_some());
    assert_eq!(sim.get(link).status, 200);
    sim.faults(&["delta_duplicate"]);
    let twice = sim.read(&format!("{list}/items/delta?$expand=fields"));
    let seen: Vec<&Value> = twice["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["fields"]["Title"])
        .collect();
    assert_eq!(seen, ["a", "b"], "the last occurrence is the item as it is");
}

#[test]
fn token_requests_can_fail_too() {
    let mut sim = Sim::failing(&[
        "server_error,on=token,status=503,times=1",
        "lost_before,on=token,times=1",
    ]);
    let request = token_request("sim-client", "sim-secret");
    assert_eq!(sim.tenant.handle(request.clone(), sim.now).response.status, 503);
    assert_eq!(
        sim.tenant.handle(request.clone(), sim.now).fate,
        Fate::ResetConnection
    );
    assert_eq!(sim.tenant.handle(request, sim.now).response.status, 200);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed: u64| {
        let faults = ["lost_answer,probability=0.2", "throttle,probability=0.2"];
        let faults = faults
            .iter()
            .map(|rule| syncbridge_graph_sim::FaultRule::parse(rule).unwrap())
            .collect();
        let mut sim = Sim::with(Options {
            seed,
            faults,
            ..Options::default()
        });
        let body = json!({ "displayName": "L" });
        let mut told = Vec::new();
        for _ in 0..5 {
            let answer = sim.send(request("POST", &format!("{SITE}:/lists"), &body));
            told.push((answer.fate, answer.response.status, answer.response.body));
        }
        for n in 0..30 {
            let answer = create(&mut sim, &format!("{SITE}:/lists/L"), &n.to_string());
            told.push((answer.fate, answer.response.status, answer.response.body));
            let answer = batch(&mut sim, &format!("{SITE}:/lists/L"), 7);
            told.push((answer.fate, answer.response.status, answer.response.body));
        }
        told
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}
