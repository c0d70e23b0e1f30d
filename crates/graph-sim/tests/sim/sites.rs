//! Sites and lists as wholes.

use serde_json::{Value, json};
use syncbridge_graph_sim::Options;

use crate::harness::{SITE, Sim, refusal};

#[test]
fn a_site_is_found_by_path_by_composite_id_by_bare_id_and_as_root() {
    let mut sim = Sim::new();
    let site = sim.read(SITE);
    let id = site["id"].as_str().unwrap().to_owned();
    assert_eq!(site["name"], "demo");
    assert_eq!(site["webUrl"], "https://contoso.sharepoint.com/sites/demo");
    let parts: Vec<&str> = id.split(',').collect();
    assert_eq!(parts.len(), 3);
    for path in [
        format!("/v1.0/sites/{id}"),
        format!("/v1.0/sites/{}", id.replace(',', "%2C")),
        format!("/v1.0/sites/{}", parts[1]),
    ] {
        assert_eq!(sim.read(&path)["id"], site["id"], "{path}");
    }
    let root = sim.read("/v1.0/sites/root");
    assert_eq!(root["name"], "contoso.sharepoint.com");
    assert_eq!(sim.read("/v1.0/sites/contoso.sharepoint.com")["id"], root["id"]);
    assert_eq!(sim.read(&format!("{SITE}:/lists"))["value"], json!([]));
}

#[test]
fn unknown_sites_and_foreign_hosts_are_told_apart() {
    let mut sim = Sim::new();
    let missing = sim.get("/v1.0/sites/contoso.sharepoint.com:/sites/nowhere");
    assert_eq!(refusal(&missing), (404, "itemNotFound".to_owned()));
    let foreign = sim.get("/v1.0/sites/fabrikam.sharepoint.com:/sites/demo");
    assert_eq!(refusal(&foreign), (400, "invalidRequest".to_owned()));
}

#[test]
fn sites_are_searched_and_listed() {
    let sites = vec!["hr".to_owned(), "sales".to_owned()];
    let mut sim = Sim::with(Options {
        sites,
        ..Options::default()
    });
    assert_eq!(
        sim.read("/v1.0/sites?search=sal")["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        sim.read("/v1.0/sites/getAllSites")["value"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(sim.get("/v1.0/sites").status, 400);
}

#[test]
fn a_list_is_found_by_id_and_title_renamed_and_deleted() {
    let mut sim = Sim::new();
    let list = sim.list("Contracts 2026", json!([]));
    let by_title = sim.read(&format!("{SITE}:/lists/Contracts%202026"));
    assert_eq!(
        by_title["webUrl"],
        "https://contoso.sharepoint.com/sites/demo/Lists/Contracts%202026"
    );
    let changed = sim.call(
        "PATCH",
        &list,
        json!({ "displayName": "Deals", "description": "d" }),
    );
    let body = changed.json().unwrap();
    assert_eq!(
        (changed.status, &body["displayName"], &body["name"]),
        (200, &json!("Deals"), &json!("Contracts 2026"))
    );
    assert!(body["eTag"].as_str().unwrap().ends_with(",1\""), "{body}");
    let deleted = sim.call("DELETE", &list, Value::Null);
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(refusal(&sim.get(&list)), (404, "itemNotFound".to_owned()));
    assert_eq!(sim.get(&format!("{list}/items/delta")).status, 404);
}

#[test]
fn display_names_of_lists_are_unique_in_their_site() {
    let mut sim = Sim::new();
    sim.list("Contracts", json!([]));
    let twice = sim.call(
        "POST",
        &format!("{SITE}:/lists"),
        json!({ "displayName": "CONTRACTS" }),
    );
    assert_eq!(refusal(&twice), (409, "nameAlreadyExists".to_owned()));
    let elsewhere = sim.call(
        "POST",
        "/v1.0/sites/root/lists",
        json!({ "displayName": "Contracts" }),
    );
    assert_eq!(elsewhere.status, 201);
    for body in [
        json!({}),
        json!({ "displayName": " " }),
        json!({ "displayName": "x", "list": { "template": "tasks" } }),
        json!({ "displayName": "x", "colour": 1 }),
    ] {
        assert_eq!(
            sim.call("POST", &format!("{SITE}:/lists"), body.clone()).status,
            400,
            "{body}"
        );
    }
}

#[test]
fn a_list_comes_with_its_columns_and_items_when_asked() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "Amount", "number": {} }]));
    sim.item(&list, json!({ "Title": "a", "Amount": 1 }));
    let body = sim.read(&format!(
        "{list}?$expand=columns($select=name),items($expand=fields)"
    ));
    let names: Vec<&Value> = body["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| &column["name"])
        .collect();
    assert!(names.contains(&&json!("Amount")));
    assert_eq!(body["items"][0]["fields"]["Amount"], 1);
    let ids = sim.read(&format!("{list}?$select=sharepointIds"));
    assert!(ids["sharepointIds"]["listId"].is_string());
    assert!(ids.get("displayName").is_none());
}

#[test]
fn lists_are_paged_and_filtered_by_display_name() {
    let mut sim = Sim::new();
    for name in ["A", "B", "C"] {
        sim.list(name, json!([]));
    }
    let first = sim.read(&format!("{SITE}:/lists?$top=2"));
    assert_eq!(first["value"].as_array().unwrap().len(), 2);
    let next = first["@odata.nextLink"].as_str().unwrap();
    let rest = sim.read(next.strip_prefix("https://graph.microsoft.com").unwrap());
    assert_eq!(rest["value"][0]["displayName"], "C");
    let found = sim.read(&format!("{SITE}:/lists?$filter=displayName%20eq%20'b'"));
    assert_eq!(found["value"][0]["displayName"], "B");
}

#[test]
fn unknown_paths_methods_and_options_are_refused() {
    let mut sim = Sim::new();
    assert_eq!(sim.get("/beta/sites/root").status, 404);
    assert_eq!(sim.get("/v1.0/me").status, 400);
    assert_eq!(sim.call("DELETE", "/v1.0/sites/root", Value::Null).status, 405);
    let list = sim.list("L", json!([]));
    for option in ["$skip=1", "$search=x", "$count=true", "$top=none"] {
        assert_eq!(sim.get(&format!("{list}/items?{option}")).status, 400, "{option}");
    }
    assert_eq!(sim.get(&format!("{list}/items/$count")).status, 400);
}
