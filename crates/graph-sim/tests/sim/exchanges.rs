//! Every exchange of these tests, and every recorded answer of the real service, has the shape our golden files give
//! it and, where this machine has it, the one of Microsoft's description.

use std::sync::LazyLock;

use serde_json::{Value, json};
use syncbridge_graph_sim::{Answer, Request};

use crate::contract::{Contract, shared};
use crate::harness::{SITE, Sim};

static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::load);

/// Holds one exchange of a test against the shapes; called for all of them by the harness.
pub(crate) fn must_hold(request: &Request, answer: &Answer) {
    let faults = CONTRACT.check(&syncbridge_graph_sim::record::exchange(request, &answer.response));
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn b_11_exchanges_that_break_the_shapes_are_found() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let good = |sim: &mut Sim| {
        json!({
            "method": "GET", "target": format!("{list}/items/1?$expand=fields"), "request": null, "status": 200,
            "response": sim.read(&format!("{list}/items/1?$expand=fields")), "empty": false,
        })
    };
    sim.item(&list, json!({ "Title": "x" }));
    let exchange = good(&mut sim);
    assert_eq!(CONTRACT.check(&exchange), Vec::<String>::new());
    let broken: [(&str, Value); 7] = [
        ("/response/id", json!(1)),
        ("/response/eTag", json!("1")),
        (
            "/response/lastModifiedDateTime",
            json!("2026-01-01T00:00:00.123Z"),
        ),
        ("/response/fields/Title", Value::Null),
        ("/response/createdBy/user", json!("me")),
        ("/status", json!(201)),
        ("/target", json!("/v1.0/me")),
    ];
    for (pointer, value) in broken {
        let mut exchange = exchange.clone();
        *exchange.pointer_mut(pointer).unwrap() = value;
        assert_ne!(CONTRACT.check(&exchange), Vec::<String>::new(), "{pointer}");
    }
    let mut invented = exchange;
    invented["response"]["colour"] = json!("red");
    assert_ne!(CONTRACT.check(&invented), Vec::<String>::new());
    let refused = json!({ "method": "GET", "target": SITE, "request": null, "status": 404, "response": {}, "empty": false });
    assert_ne!(CONTRACT.check(&refused), Vec::<String>::new());
}

#[test]
fn b_11_the_recorded_answers_of_the_real_service_have_our_golden_shapes() {
    let Ok(text) = std::fs::read_to_string(shared().join("graph/recorded.json")) else {
        println!("skipped: no recorded answers (SYNCBRIDGE_SHARED or ../shared with graph/recorded.json)");
        return;
    };
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let mut checked = 0;
    for (name, exchanges) in recorded.as_object().unwrap() {
        for exchange in exchanges.as_array().into_iter().flatten() {
            let answer = &exchange["response"];
            let whole = json!({
                "method": exchange["method"], "target": exchange["url"], "request": exchange["request"]["data"],
                "status": exchange["status"], "empty": answer == "",
                "response": if answer == "" { &Value::Null } else { answer },
            });
            assert_eq!(CONTRACT.check(&whole), Vec::<String>::new(), "{name}");
            checked += 1;
        }
    }
    assert!(checked >= 14, "only {checked} recorded exchanges");
}

#[test]
fn b_11_microsoft_s_description_is_used_where_it_is_here() {
    let here = shared().join("graph/graph-lists.openapi.json").is_file();
    assert_eq!(CONTRACT.has_description(), here);
    if !here {
        println!(
            "skipped: no description (SYNCBRIDGE_SHARED or ../shared with graph/graph-lists.openapi.json)"
        );
    }
}
