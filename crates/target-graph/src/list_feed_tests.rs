use std::sync::Arc;

use serde_json::json;
use syncbridge_domain::quota::Ru;

use super::*;
use syncbridge_domain::list_rules::ListRules;

use crate::testing::client::{graph, mapping};
use crate::testing::{ManualClock, Script, error, json_answer};
use crate::transport::Method;

const GUID: &str = "3d050401-0000-4000-8000-000000000001";

fn link(rest: &str) -> String {
    format!("http://127.0.0.1:9/v1.0/sites/s/lists/l/items/delta?{rest}")
}

fn feed(script: &Arc<Script>, clock: &Arc<ManualClock>) -> ListFeed<Arc<Script>> {
    let settings = ListSettings::default();
    ListFeed::new(
        &graph(script, clock),
        "s",
        "l",
        &mapping(),
        settings,
        &ListRules::default(),
    )
}

/// A feed that is answered once, and what it said.
async fn answered(
    status: u16,
    body: Json,
    from: DeltaFrom<'_>,
) -> (Result<DeltaAnswer, Failure>, Spending, String) {
    let (script, clock) = (Script::new(), ManualClock::jumping());
    script.then(move |_| Ok(json_answer(status, &[], &body)));
    let feed = feed(&script, &clock);
    let said = feed.page(from).await;
    let asked = script.asked.lock().unwrap();
    let (request, _) = &asked[0];
    assert_eq!(request.method, Method::Get);
    (said, feed.spending(), request.url.to_string())
}

fn page(said: Result<DeltaAnswer, Failure>) -> DeltaPage {
    match said {
        Ok(DeltaAnswer::Page(page)) => page,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_first_page_asks_for_fields_and_an_idle_one_costs_one_unit_and_names_its_successor() {
    let token = link("token=abc");
    let body = json!({"value": [], "@odata.deltaLink": token});
    let (said, spent, url) = answered(200, body.clone(), DeltaFrom::Beginning).await;
    assert!(
        url.ends_with("/sites/s/lists/l/items/delta?$expand=fields&$top=2000"),
        "{url}"
    );
    assert_eq!(spent.of(WhyTag::Delta), Ru(2));
    assert_eq!(page(said).next, DeltaNext::Token(token.clone()));

    let (said, spent, url) = answered(200, body, DeltaFrom::Link(&token)).await;
    assert_eq!(url, token, "a link is followed verbatim");
    assert_eq!(spent.total(), Ru(1));
    assert!(page(said).entries.is_empty());
}

#[tokio::test]
async fn a_place_too_old_and_a_place_that_is_none_are_told_apart() {
    let gone = json!({"error": {"code": "resyncChangesApplyDifferences", "message": "x"}});
    let token = link("token=abc");
    let (said, ..) = answered(410, gone, DeltaFrom::Link(&token)).await;
    assert!(matches!(said, Ok(DeltaAnswer::Expired)), "{said:?}");
    let bad = json!({"error": {"code": "invalidRequest", "message": "Provided sync token is malformed"}});
    let (said, ..) = answered(400, bad, DeltaFrom::Link(&token)).await;
    match said {
        Ok(DeltaAnswer::Malformed(failure)) => assert_eq!(failure.code, codes::TOKEN_MALFORMED),
        other => panic!("{other:?}"),
    }
    let (said, ..) = answered(404, error("itemNotFound", "x"), DeltaFrom::Link(&token)).await;
    assert_eq!(said.unwrap_err().code, codes::LIST_NOT_FOUND);
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_not_followed() {
    let (script, clock) = (Script::new(), ManualClock::jumping());
    let feed = feed(&script, &clock);
    let said = feed.page(DeltaFrom::Link("https://example.com/v1.0/x")).await;
    assert_eq!(said.unwrap_err().code, codes::FOREIGN_LINK);
    assert!(script.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn items_and_deletions_are_read_and_what_is_neither_is_refused() {
    let etag = format!("{GUID},7");
    let item = json!({"id": "4", "eTag": etag, "@odata.etag": etag, "lastModifiedDateTime": "2026-05-04T03:02:01Z",
        "fields": {"Title": "x", "Foreign": 1}});
    let value = json!([item, {"id": "3", "deleted": {"state": "deleted"}}, {"id": 2, "@removed": {"reason": "deleted"}}]);
    let body = json!({"value": value, "@odata.nextLink": link("p=2")});
    let read = page(answered(200, body, DeltaFrom::Beginning).await.0);
    assert_eq!(read.next, DeltaNext::Page(link("p=2")));
    let gone: Vec<&str> = read.entries[1..]
        .iter()
        .map(|entry| entry.item().0.as_str())
        .collect();
    assert_eq!(gone, ["3", "2"]);
    let DeltaEntry::Changed(item) = &read.entries[0] else {
        panic!("{:?}", read.entries)
    };
    assert_eq!(item.version.counter, 7);
    assert_eq!(item.fields.keys().collect::<Vec<_>>(), ["Title"]);
    assert!(!item.shows_key && item.modified.is_some());
    assert!(!item.complete, "what is left out may be hidden, or gone");

    for value in [
        json!([{"id": "4"}]),
        json!([{"deleted": {}}]),
        json!([{"id": "../x", "deleted": {}}]),
    ] {
        let body = json!({"value": value, "@odata.deltaLink": link("t")});
        let said = answered(200, body, DeltaFrom::Beginning).await.0;
        assert_eq!(said.unwrap_err().code, codes::ANSWER_UNREADABLE);
    }
}

#[tokio::test]
async fn a_page_that_does_not_say_where_to_go_on_is_refused() {
    for body in [
        json!({"value": []}),
        json!({"value": [], "@odata.nextLink": link("a"), "@odata.deltaLink": link("b")}),
    ] {
        let said = answered(200, body, DeltaFrom::Beginning).await.0;
        assert_eq!(said.unwrap_err().code, codes::ANSWER_UNREADABLE);
    }
}
