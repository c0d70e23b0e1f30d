use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::testing::client::{graph, mapping};
use crate::testing::{ManualClock, Script, error};
use crate::transport::{Sent, TransportError, TransportErrorKind};

const LOST: TransportError = TransportError {
    sent: Sent::Maybe,
    kind: TransportErrorKind::Broken,
};

fn desired() -> DesiredList {
    let mut desired = DesiredList::of_mapping("Projects", Some("From the database".into()), &mapping());
    desired.title_display_name = None;
    desired
}

fn list() -> Json {
    json!({"id": "L1", "name": "Projects", "displayName": "Projects", "webUrl": "https://h/Lists/Projects",
           "list": {"template": "genericList"}})
}

/// `Title`, and the wanted columns of these names.
fn columns(names: &[&str]) -> Json {
    let mut all =
        vec![json!({"id": "t", "name": "Title", "displayName": "Title", "text": {"maxLength": 255}})];
    for column in desired()
        .columns
        .iter()
        .filter(|column| names.contains(&column.name.as_str()))
    {
        let mut body = column.definition();
        body["id"] = json!(format!("id-{}", column.name));
        all.push(body);
    }
    json!({"value": all})
}

const ALL: [&str; 3] = ["Amount", "Notes", "SyncBridgeKey"];

async fn provision(script: &Arc<Script>, desired: &DesiredList) -> Result<Provisioned, Failure> {
    let result = graph(script, &ManualClock::jumping())
        .provision("site", desired)
        .await;
    assert!(script.all_used(), "not everything was asked");
    result
}

fn writes(script: &Script) -> Vec<String> {
    let asked = script.asked.lock().unwrap();
    asked
        .iter()
        .filter(|(r, _)| r.method != Method::Get)
        .map(|(r, _)| format!("{} {}", r.method.as_str(), r.url))
        .collect()
}

#[tokio::test]
async fn a_list_is_made_with_all_its_columns_in_one_call_and_waited_for() {
    let script = Script::new();
    script.json(200, &json!({"value": []})).json(201, &list());
    script
        .json(404, &error("itemNotFound", "The specified list was not found"))
        .json(200, &list());
    script
        .json(404, &error("itemNotFound", "The specified list was not found"))
        .json(200, &columns(&ALL));
    let made = provision(&script, &desired()).await.unwrap();
    assert_eq!(
        (made.list_id.as_str(), made.created, made.columns_added.len()),
        ("L1", true, 0)
    );
    assert_eq!(writes(&script).len(), 1);
    let body = script.body(1);
    let names: Vec<&str> = body["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ALL, "Title is built in");
    assert_eq!(body["list"]["template"], "genericList");
    let key = &body["columns"][2];
    assert_eq!(
        (&key["hidden"], &key["indexed"], &key["enforceUniqueValues"]),
        (&json!(true), &json!(true), &json!(true))
    );
}

#[tokio::test]
async fn a_list_that_fits_costs_no_write_and_inspecting_never_does() {
    let script = Script::new();
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &columns(&ALL));
    let found = provision(&script, &desired()).await.unwrap();
    assert!(!found.created);
    assert!(writes(&script).is_empty());
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &columns(&["Amount"]));
    let client = graph(&script, &ManualClock::jumping());
    let inspection = client.inspect("site", &desired()).await.unwrap();
    assert_eq!(inspection.missing, ["Notes", "SyncBridgeKey"]);
    assert!(!inspection.fits() && writes(&script).is_empty());
}

#[tokio::test]
async fn a_lost_answer_to_the_create_is_resolved_by_looking_before_asking_again() {
    let script = Script::new();
    script.json(200, &json!({"value": []})).fail(LOST);
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &columns(&ALL));
    assert!(provision(&script, &desired()).await.unwrap().created);
    assert_eq!(writes(&script).len(), 1);
    // Not done after all: it is made now.
    let script = Script::new();
    script.json(200, &json!({"value": []})).json(504, &json!({}));
    script
        .json(200, &json!({"value": []}))
        .json(201, &list())
        .json(200, &list())
        .json(200, &columns(&ALL));
    assert!(provision(&script, &desired()).await.unwrap().created);
}

#[tokio::test]
async fn missing_columns_are_added_one_after_another_and_a_save_conflict_is_looked_at_again() {
    let script = Script::new();
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &columns(&["SyncBridgeKey"]));
    script
        .json(201, &json!({}))
        .json(409, &error("generalException", "Save Conflict"));
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &columns(&ALL));
    let found = provision(&script, &desired()).await.unwrap();
    assert_eq!(
        (found.created, found.columns_added),
        (false, vec!["Amount".to_owned(), "Notes".to_owned()])
    );
}

#[tokio::test]
async fn a_column_that_does_not_serve_stops_everything_before_the_first_write() {
    let script = Script::new();
    let mut present = columns(&["SyncBridgeKey"]);
    present["value"]
        .as_array_mut()
        .unwrap()
        .push(json!({"id": "x", "name": "Amount", "boolean": {}}));
    script.json(200, &json!({"value": [list()]})).json(200, &present);
    let failure = provision(&script, &desired()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.column.as_deref()),
        (codes::COLUMNS_DIFFER, Some("Amount"))
    );
    assert!(
        failure.cause.contains("yes/no") && failure.cause.contains("number"),
        "{failure}"
    );
    assert!(writes(&script).is_empty());
}

#[tokio::test]
async fn choices_grow_and_title_gets_its_name() {
    use syncbridge_domain::facet::Facet;
    let mut wanted = desired();
    wanted.columns[0].facet = Facet::Choice {
        choices: vec!["A".into(), "B".into()],
    };
    wanted.title_display_name = Some("Project".into());
    let with = |choices: Json, title: &str| {
        let mut present = columns(&["Notes", "SyncBridgeKey"]);
        present["value"][0]["displayName"] = json!(title);
        let column =
            json!({"id": "c", "name": "Amount", "choice": {"choices": choices, "displayAs": "dropDownMenu"}});
        present["value"].as_array_mut().unwrap().push(column);
        present
    };
    let script = Script::new();
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &with(json!(["Z", "A"]), "Title"));
    script.json(200, &json!({})).json(200, &json!({}));
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &with(json!(["Z", "A", "B"]), "Project"));
    let found = provision(&script, &wanted).await.unwrap();
    assert_eq!(found.choices_extended, ["Amount"]);
    assert!(found.title_renamed);
    assert_eq!(script.body(2)["choice"]["choices"], json!(["Z", "A", "B"]));
    assert_eq!(script.body(3), json!({"displayName": "Project"}));
}

#[tokio::test]
async fn a_hidden_column_the_service_does_not_list_is_taken_for_granted_once_it_says_so() {
    let script = Script::new();
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &columns(&["Amount", "Notes"]));
    script.json(409, &error("nameAlreadyExists", ""));
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &columns(&["Amount", "Notes"]));
    assert!(!provision(&script, &desired()).await.unwrap().created);
}

#[tokio::test]
async fn a_column_made_under_another_name_is_an_error_and_not_an_endless_loop() {
    let script = Script::new();
    for _ in 0..ROUNDS {
        script
            .json(200, &json!({"value": [list()]}))
            .json(200, &columns(&["Amount", "SyncBridgeKey"]));
        script.json(201, &json!({"id": "n", "name": "Notes0"}));
    }
    script
        .json(200, &json!({"value": [list()]}))
        .json(200, &columns(&["Amount", "SyncBridgeKey"]));
    let failure = provision(&script, &desired()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.column.as_deref()),
        (codes::COLUMNS_DIFFER, Some("Notes"))
    );
}

#[tokio::test]
async fn a_list_that_was_known_and_is_gone_is_not_made_anew() {
    let script = Script::new();
    script.json(404, &error("itemNotFound", "The specified list was not found"));
    let wanted = DesiredList {
        known_id: Some("L1".into()),
        ..desired()
    };
    assert_eq!(
        provision(&script, &wanted).await.unwrap_err().code,
        codes::LIST_NOT_FOUND
    );
    assert!(writes(&script).is_empty());
}

#[tokio::test]
async fn a_missing_permission_and_a_library_of_that_name_say_what_to_do() {
    let script = Script::new();
    script
        .json(200, &json!({"value": []}))
        .json(403, &error("accessDenied", ""));
    let failure = provision(&script, &desired()).await.unwrap_err();
    assert!(failure.fix.contains("Sites.Manage.All"), "{failure}");
    let script = Script::new();
    let mut library = list();
    library["list"]["template"] = json!("documentLibrary");
    script.json(200, &json!({"value": [library]}));
    assert_eq!(
        provision(&script, &desired()).await.unwrap_err().code,
        codes::NOT_A_LIST
    );
}
