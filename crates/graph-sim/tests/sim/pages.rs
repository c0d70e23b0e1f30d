//! Pages of items, filters and orders.

use serde_json::{Value, json};
use syncbridge_graph_sim::{Behaviour, Request};

use crate::harness::{Sim, message, refusal, request};

fn ids(body: &Value) -> Vec<String> {
    body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

fn filled(sim: &mut Sim, count: u32) -> String {
    let columns = json!([
        { "name": "Key", "text": {}, "indexed": true },
        { "name": "N", "number": {}, "indexed": true },
        { "name": "D", "dateTime": {}, "indexed": true },
        { "name": "Plain", "text": {} },
    ]);
    let list = sim.list("L", columns);
    for n in 1..=count {
        let day = format!("2026-01-{:02}T00:00:00Z", n % 28 + 1);
        let fields = json!({ "Key": format!("k{}", n % 3), "N": n % 5, "D": day, "Plain": format!("p{n}") });
        sim.item(&list, fields);
    }
    list
}

/// Follows the pages to their end.
fn all(sim: &mut Sim, path: &str) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut next) = (Vec::new(), 0, Some(path.to_owned()));
    while let Some(path) = next {
        let body = sim.read(path.strip_prefix("https://graph.microsoft.com").unwrap_or(&path));
        found.extend(ids(&body));
        pages += 1;
        next = body["@odata.nextLink"].as_str().map(str::to_owned);
    }
    (found, pages)
}

fn filter(list: &str, text: &str) -> String {
    format!("{list}/items?$filter={}", text.replace(' ', "%20"))
}

#[test]
fn the_default_page_has_two_hundred_items_and_the_link_keeps_the_other_options() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 201);
    let first = sim.read(&format!("{list}/items?$expand=fields($select=Key)&$select=id"));
    assert_eq!(ids(&first).len(), 200);
    let link = first["@odata.nextLink"].as_str().unwrap();
    assert!(
        link.contains("/items?$expand=fields($select=Key)&$select=id&$skiptoken=Paged%3dTRUE%26p_ID%3d200"),
        "{link}"
    );
    let (found, pages) = all(&mut sim, &format!("{list}/items?$top=50"));
    assert_eq!((found.len(), pages), (201, 5));
    let (found, pages) = all(&mut sim, &format!("{list}/items?$top=201"));
    assert_eq!((found.len(), pages), (201, 1));
}

#[test]
fn top_is_cut_to_the_largest_page() {
    let mut sim = Sim::behaving(Behaviour {
        largest_page: 3,
        ..Behaviour::default()
    });
    let list = filled(&mut sim, 5);
    assert_eq!(ids(&sim.read(&format!("{list}/items?$top=5000"))).len(), 3);
}

#[test]
fn filters_work_on_indexed_columns_without_regard_to_case() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 30);
    let cases = [
        ("fields/Key eq 'K1'", 10),
        ("fields/Key eq 'none'", 0),
        ("fields/N ge 3", 12),
        ("fields/N lt 1", 6),
        ("fields/N gt 3 and fields/Key eq 'k1'", 2),
        ("fields/Key ne 'k1'", 20),
        ("startswith(fields/Key,'K')", 30),
        ("fields/D le '2026-01-03T00:00:00Z'", 5),
        ("fields/Key eq null", 0),
        ("fields/id ge 29", 2),
    ];
    for (text, count) in cases {
        let (found, _) = all(&mut sim, &filter(&list, text));
        assert_eq!(found.len(), count, "{text}");
    }
    let (found, pages) = all(
        &mut sim,
        &format!("{}&$top=4", filter(&list, "fields/Key eq 'k1'")),
    );
    assert_eq!((found.len(), pages), (10, 3));
}

#[test]
fn a_filter_on_a_column_without_index_is_refused_unless_preferred() {
    let mut sim = Sim::behaving(Behaviour {
        list_view_threshold: 10,
        ..Behaviour::default()
    });
    let list = filled(&mut sim, 10);
    let path = filter(&list, "fields/Plain eq 'p3'");
    let refused = sim.get(&path);
    assert_eq!(refusal(&refused), (400, "invalidRequest".to_owned()));
    assert!(message(&refused).contains("'Plain'") && message(&refused).contains("not indexed"));
    let preferring = |path: &str| -> Request {
        request("GET", path, &Value::Null).header("Prefer", "HonorNonIndexedQueriesWarningMayFailRandomly")
    };
    let found = sim.send(preferring(&path)).response;
    assert_eq!(ids(&found.json().unwrap()), ["3"]);
    sim.item(&list, json!({}));
    assert_eq!(
        sim.send(preferring(&path)).response.status,
        400,
        "above the threshold"
    );
    assert_eq!(
        sim.get(&format!("{list}/items?$orderby=fields/Plain")).status,
        400
    );
}

#[test]
fn unreadable_filters_are_refused() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 1);
    for text in [
        "Key eq 'a'",
        "fields/Key like 'a'",
        "fields/Key eq a",
        "fields/N eq 'x'",
        "fields/Key",
        "createdDateTime gt '2026-01-01'",
    ] {
        let refused = sim.get(&filter(&list, text));
        assert_eq!(refusal(&refused), (400, "BadRequest".to_owned()), "{text}");
    }
    assert_eq!(sim.get(&filter(&list, "fields/Nothing eq 'a'")).status, 400);
}

#[test]
fn an_order_holds_over_all_pages() {
    let mut sim = Sim::new();
    let list = filled(&mut sim, 12);
    let (up, _) = all(&mut sim, &format!("{list}/items?$orderby=fields/N"));
    let (paged, pages) = all(&mut sim, &format!("{list}/items?$orderby=fields/N&$top=5"));
    assert_eq!((&paged, pages), (&up, 3));
    assert_eq!(up[..3], ["5", "10", "1"]);
    let (down, _) = all(&mut sim, &format!("{list}/items?$orderby=fields/N%20desc&$top=5"));
    assert_eq!(down[..2], ["4", "9"]);
    assert_eq!(down.len(), 12);
}

#[test]
fn more_than_twelve_lookups_vanish_from_pages_but_not_from_single_items() {
    let mut sim = Sim::new();
    let columns: Vec<Value> = (0..14)
        .map(|n| json!({ "name": format!("P{n}"), "personOrGroup": {} }))
        .collect();
    let list = sim.list("L", json!(columns));
    let fields: serde_json::Map<String, Value> =
        (0..14).map(|n| (format!("P{n}LookupId"), json!(3))).collect();
    sim.item(&list, Value::Object(fields));
    let shown = |fields: &Value| {
        (0..14)
            .filter(|n| fields.get(format!("P{n}LookupId")).is_some())
            .count()
    };
    let page = sim.read(&format!("{list}/items?$expand=fields"));
    assert_eq!(shown(&page["value"][0]["fields"]), 12);
    assert_eq!(
        shown(&sim.read(&format!("{list}/items/1?$expand=fields"))["fields"]),
        14
    );
}
