//! The shapes of answers: key sets, JSON types and the spelling of ids, times and eTags.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::harness::{SITE, Sim};

/// What kind of text a string is, as far as its spelling matters.
fn spelling(text: &str) -> &'static str {
    let guid = |text: &str| syncbridge_graph_sim::Guid::parse(text).is_some();
    let tag = |text: &str| {
        text.split_once(',')
            .is_some_and(|(id, counter)| guid(id) && counter.parse::<u32>().is_ok())
    };
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if inner.is_some_and(tag) {
        "eTag in quotes"
    } else if tag(text) {
        "eTag without quotes"
    } else if guid(text) {
        "id"
    } else if text.len() == 20 && text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok() {
        "time"
    } else if text.starts_with("http") {
        "address"
    } else if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        "digits"
    } else {
        "text"
    }
}

fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("flag"),
        Value::Number(_) => json!("number"),
        Value::String(text) => json!(spelling(text)),
        Value::Array(items) => Value::Array(items.iter().take(1).map(shape).collect()),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect(),
    }
}

/// Every answer whose shape is fixed, by name.
fn answers() -> Map<String, Value> {
    let mut sim = Sim::new();
    let mut found = Map::new();
    let mut keep = |name: &str, value: Value| {
        found.insert(name.to_owned(), value);
    };
    keep("get-site", sim.read(SITE));
    let body = json!({ "displayName": "Contracts", "list": { "template": "genericList" } });
    let made = sim.call("POST", &format!("{SITE}:/lists"), body).json().unwrap();
    let list = format!("{SITE}:/lists/{}", made["id"].as_str().unwrap());
    keep("create-list", made);
    keep("get-list", sim.read(&list));
    let column =
        json!({ "name": "Note", "displayName": "A note", "description": "d", "text": { "maxLength": 255 } });
    let made = sim
        .call("POST", &format!("{list}/columns"), column)
        .json()
        .unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    keep("create-list-column", made);
    let path = format!("{list}/columns/{id}");
    keep(
        "update-list-column",
        sim.call("PATCH", &path, json!({ "displayName": "Notes" }))
            .json()
            .unwrap(),
    );
    keep(
        "update-list",
        sim.call("PATCH", &list, json!({ "description": "d" }))
            .json()
            .unwrap(),
    );
    for (name, facet) in [
        ("N", json!({ "number": {} })),
        ("D", json!({ "dateTime": { "format": "dateOnly" } })),
        ("B", json!({ "boolean": {} })),
        ("C", json!({ "choice": { "choices": ["x"] } })),
        ("P", json!({ "personOrGroup": {} })),
    ] {
        let mut column = facet;
        column["name"] = json!(name);
        assert_eq!(sim.call("POST", &format!("{list}/columns"), column).status, 201);
    }
    let fields = json!({ "Title": "t", "Note": "n", "N": 1.5, "D": "2026-01-02", "B": true, "C": "x", "PLookupId": 3 });
    keep("create-list-item", sim.item(&list, fields));
    keep(
        "get-list-item",
        sim.read(&format!("{list}/items/1?$expand=fields")),
    );
    keep(
        "list-list-items",
        sim.read(&format!("{list}/items?$expand=fields")),
    );
    let path = format!("{list}/items/1/fields");
    keep(
        "update-list-item",
        sim.call("PATCH", &path, json!({ "Title": "u" })).json().unwrap(),
    );
    keep("list-versions", sim.read(&format!("{list}/items/1/versions")));
    keep(
        "list-items-delta",
        sim.read(&format!("{list}/items/delta?$expand=fields&$top=100")),
    );
    let latest = sim.read(&format!("{list}/items/delta?token=latest"));
    let link = latest["@odata.deltaLink"]
        .as_str()
        .unwrap()
        .replace("https://graph.microsoft.com", "");
    let relative = list.strip_prefix("/v1.0").unwrap().to_owned();
    let batch = sim.batch(json!([{ "id": "1", "method": "GET", "url": format!("{relative}/items/1") }]));
    keep("batch", batch.json().unwrap());
    for path in [format!("{list}/items/1"), format!("{list}/columns/{id}")] {
        let deleted = sim.call("DELETE", &path, Value::Null);
        assert_eq!((deleted.status, deleted.body.len()), (204, 0), "DELETE {path}");
    }
    keep("delta-after-delete", sim.read(&link));
    keep("error", sim.get(&format!("{list}/items/1")).json().unwrap());
    keep("list-columns", sim.read(&format!("{list}/columns")));
    found
}

#[test]
fn every_answer_has_its_golden_shape() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let answers = answers();
    for (name, answer) in &answers {
        let path = folder.join(format!("{name}.json"));
        let ours = shape(answer);
        if update {
            std::fs::write(
                &path,
                format!("{}\n", serde_json::to_string_pretty(&ours).unwrap()),
            )
            .unwrap();
        }
        let golden = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{name}: {error}; UPDATE_GOLDEN=1 writes the files"));
        let golden: Value = serde_json::from_str(&golden).unwrap();
        assert_eq!(
            ours, golden,
            "the shape of '{name}' changed; UPDATE_GOLDEN=1 accepts it"
        );
    }
    let files = std::fs::read_dir(&folder).unwrap();
    let files = files
        .filter(|entry| entry.as_ref().unwrap().path().is_file())
        .count();
    assert_eq!(files, answers.len(), "a golden file has no answer");
}

#[test]
fn etags_are_spelled_as_each_endpoint_spells_them() {
    let answers = answers();
    let at = |name: &str, path: &str| spelling(answers[name].pointer(path).unwrap().as_str().unwrap());
    assert_eq!(at("create-list", "/eTag"), "eTag without quotes");
    assert!(answers["create-list"]["eTag"].as_str().unwrap().ends_with(",0"));
    assert_eq!(at("get-list", "/eTag"), "eTag in quotes");
    for name in ["create-list-item", "get-list-item"] {
        for path in ["/eTag", "/@odata.etag", "/fields/@odata.etag"] {
            assert_eq!(at(name, path), "eTag in quotes", "{name}{path}");
        }
    }
    assert_eq!(at("update-list-item", "/@odata.etag"), "eTag in quotes");
    for path in [
        "/value/0/eTag",
        "/value/0/@odata.etag",
        "/value/0/fields/@odata.etag",
    ] {
        assert_eq!(at("list-items-delta", path), "eTag without quotes", "{path}");
    }
}

/// The recorded answers, where this machine has them.
fn recorded() -> Option<Value> {
    let shared = match std::env::var_os("SYNCBRIDGE_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let text = std::fs::read_to_string(shared.join("graph/recorded.json")).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// Differences between a recorded shape and ours. `except` names paths that may differ, because the recording is
/// of another kind of list or of another caller.
fn differences(path: &str, recorded: &Value, ours: &Value, except: &[&str], found: &mut Vec<String>) {
    if except.contains(&path) {
        return;
    }
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            let mut keys: Vec<&String> = recorded.keys().chain(ours.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let path = format!("{path}/{key}");
                match (recorded.get(key), ours.get(key)) {
                    (Some(recorded), Some(ours)) => differences(&path, recorded, ours, except, found),
                    _ if except.contains(&path.as_str()) => {}
                    (Some(_), None) => found.push(format!("{path} is missing in ours")),
                    _ => found.push(format!("{path} is ours alone")),
                }
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            if let (Some(recorded), Some(ours)) = (recorded.first(), ours.first()) {
                differences(&format!("{path}/0"), recorded, ours, except, found);
            }
        }
        _ if recorded == ours => {}
        _ => found.push(format!("{path} is {recorded} there and {ours} here")),
    }
}

/// [`answers`], with those about items from a list that has no columns of its own.
fn with_plain_items() -> Map<String, Value> {
    let mut sim = Sim::new();
    let list = sim.list("Plain", json!([]));
    let made = sim.item(&list, json!({ "Title": "x" }));
    let item = sim.read(&format!("{list}/items?$expand=fields"));
    let patched = sim
        .call(
            "PATCH",
            &format!("{list}/items/1/fields"),
            json!({ "Title": "y" }),
        )
        .json()
        .unwrap();
    let delta = sim.read(&format!("{list}/items/delta?$expand=fields&$top=100"));
    let mut ours = answers();
    for (name, answer) in [
        ("create-list-item", made),
        ("list-list-items", item),
        ("update-list-item", patched),
        ("list-items-delta", delta),
    ] {
        ours.insert(name.to_owned(), answer);
    }
    ours
}

#[test]
fn the_shapes_equal_the_recorded_answers_of_the_real_service() {
    let Some(recorded) = recorded() else {
        println!("skipped: no recorded answers (SYNCBRIDGE_SHARED or ../shared with graph/recorded.json)");
        return;
    };
    let ours = with_plain_items();
    // An events list has three columns more; a library spells eTags otherwise and has a library's columns. The
    // application here is named by its own text, not by an id of the directory.
    let app = "/lastModifiedBy/application/id";
    let cases: [(&str, &[&str]); 8] = [
        ("create-list", &[]),
        ("get-list", &["/createdBy/user/email", "/createdBy/user/id"]),
        ("update-list", &[]),
        ("create-list-column", &[]),
        ("update-list-column", &[]),
        ("create-list-item", &[app]),
        (
            "list-list-items",
            &[
                "/value/0/lastModifiedBy/application/id",
                "/value/0/fields/EventDate",
                "/value/0/fields/EndDate",
                "/value/0/fields/fRecurrence",
            ],
        ),
        ("update-list-item", &["/EventDate", "/EndDate", "/fRecurrence"]),
    ];
    for (name, except) in cases {
        let mut found = Vec::new();
        differences(
            "",
            &shape(&recorded[name][0]["response"]),
            &shape(&ours[name]),
            except,
            &mut found,
        );
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
    let except = [
        "/value/0/@odata.etag",
        "/value/0/eTag",
        "/value/0/fields",
        "/value/0/createdBy/application/id",
    ];
    let mut found = Vec::new();
    let there = shape(&recorded["list-items-delta"][0]["response"]);
    differences("", &there, &shape(&ours["list-items-delta"]), &except, &mut found);
    assert!(found.is_empty(), "list-items-delta: {found:#?}");
    for name in ["delete-list", "delete-list-item", "delete-list-column"] {
        assert_eq!(
            (&recorded[name][0]["status"], &recorded[name][0]["response"]),
            (&json!(204), &json!(""))
        );
    }
    // The recorded list columns are a sample of one per facet; every one must be among the shapes we return.
    let columns = ours["list-columns"]["value"].as_array().unwrap();
    for facet in ["(none)", "dateTime", "personOrGroup", "text", "lookup"] {
        let there = shape(&recorded["column-shapes-by-facet"][facet][0]);
        let here = columns.iter().any(|column| shape(column) == there);
        assert!(
            here,
            "no built-in column has the recorded shape of '{facet}': {there:#}"
        );
    }
}
