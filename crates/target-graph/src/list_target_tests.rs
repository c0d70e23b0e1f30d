use std::sync::Arc;

use serde_json::{Value as Json, json};
use syncbridge_domain::clock::Clock;
use syncbridge_domain::identity::{Identity, Key, SyncKey};
use syncbridge_domain::quota::{Ru, WhyTag};
use syncbridge_domain::receipt::{Fields, ItemRead, Lookup, RowName};
use syncbridge_domain::version::Version;

use super::*;
use crate::testing::client::{columns, graph, mapping, target};
use crate::testing::{ManualClock, Script, batch_answer, error, json_answer};
use crate::transport::{Sent, TransportError, TransportErrorKind};

const GUID: &str = "3d050401-0000-4000-8000-000000000001";
const LOST: TransportError = TransportError {
    sent: Sent::Maybe,
    kind: TransportErrorKind::Broken,
};

fn etag(counter: u64) -> String {
    format!("\"{GUID},{counter}\"")
}

fn version(counter: u64) -> Version {
    Version::parse(&etag(counter)).unwrap()
}

fn create(title: &str) -> TaggedWrite {
    let fields: Fields = [
        ("Title".to_owned(), json!(title)),
        ("SyncBridgeKey".to_owned(), json!("1a")),
    ]
    .into();
    TaggedWrite {
        write: Write::Create { fields },
        why: WhyTag::FirstWrite,
    }
}

fn patch(item: &str) -> TaggedWrite {
    let fields: Fields = [("Amount".to_owned(), json!(2))].into();
    TaggedWrite {
        write: Write::Patch {
            item: ItemId(item.into()),
            expected: version(4),
            fields,
        },
        why: WhyTag::Change,
    }
}

fn delete(item: &str) -> TaggedWrite {
    TaggedWrite {
        write: Write::Delete {
            item: ItemId(item.into()),
            expected: version(4),
        },
        why: WhyTag::Change,
    }
}

fn item_json(id: &str, fields: &Json) -> Json {
    json!({"id": id, "eTag": etag(1), "@odata.etag": etag(1), "fields": fields})
}

struct Bench {
    script: Arc<Script>,
    clock: Arc<ManualClock>,
    target: ListTarget<Arc<Script>>,
}

fn bench() -> Bench {
    let (script, clock) = (Script::new(), ManualClock::jumping());
    let target = target(&script, &clock);
    Bench {
        script,
        clock,
        target,
    }
}

impl Bench {
    async fn write(&self, writes: Vec<TaggedWrite>) -> Vec<Receipt> {
        let deadline = self.clock.monotonic() + Duration::from_secs(20);
        self.target.write(writes, deadline).await
    }

    async fn write_one(&self, write: TaggedWrite) -> Receipt {
        self.write(vec![write]).await.remove(0)
    }
}

fn refusal(receipt: &Receipt) -> &Refusal {
    match receipt {
        Receipt::Refused { refusal } => refusal,
        other => panic!("{other:?}"),
    }
}

fn item(receipt: &Receipt) -> &syncbridge_domain::receipt::Item {
    match receipt {
        Receipt::Applied {
            item: Some(item),
            request_id: Some(_),
        } => item,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_single_write_goes_alone_with_tag_agent_and_if_match() {
    let bench = bench();
    let answer = json!({"@odata.etag": etag(5), "id": "7", "Amount": 2, "Title": "x", "Other": 1});
    bench.script.json(200, &answer);
    let receipt = bench.write_one(patch("7")).await;
    let found = item(&receipt);
    assert_eq!(
        (found.version, found.id.0.as_str(), found.complete),
        (version(5), "7", true)
    );
    assert_eq!(
        found.fields.keys().map(String::as_str).collect::<Vec<_>>(),
        ["Amount", "Title"]
    );
    assert_eq!(
        found.value("Notes"),
        Some(&Json::Null),
        "left out of a complete answer: null"
    );
    let asked = bench.script.asked.lock().unwrap();
    let (request, timeout) = &asked[0];
    assert_eq!(request.method.as_str(), "PATCH");
    assert!(
        request
            .url
            .ends_with("/v1.0/sites/host%2C1%2C2/lists/11111111-0000-4000-8000-000000000001/items/7/fields")
    );
    assert_eq!(request.header("if-match"), Some(etag(4).as_str()));
    assert_eq!(
        request.header("user-agent"),
        Some("NONISV|SyncBridge|SyncBridge/0.1.0")
    );
    let id = uuid::Uuid::parse_str(request.header("client-request-id").unwrap()).unwrap();
    assert_eq!(WhyTag::of(id), Some(WhyTag::Change));
    assert_eq!(*timeout, Duration::from_secs(20), "what is left of the deadline");
    assert_eq!(bench.target.spending().of(WhyTag::Change), Ru(2));
}

#[tokio::test]
async fn answers_of_a_batch_are_matched_by_id_whatever_their_order() {
    let bench = bench();
    bench.script.then(|request| {
        Ok(batch_answer(request, |part| {
            match part["method"].as_str().unwrap() {
                "POST" => (201, json!({}), item_json("9", &part["body"]["fields"])),
                "PATCH" => (200, json!({"ETag": etag(5)}), json!({"Amount": 2})),
                _ => (204, json!({}), Json::Null),
            }
        }))
    });
    let receipts = bench.write(vec![create("a"), patch("3"), delete("4")]).await;
    assert_eq!(item(&receipts[0]).id.0, "9");
    assert_eq!(item(&receipts[0]).sync_key(), Some("1a"));
    assert_eq!(
        (item(&receipts[1]).id.0.as_str(), item(&receipts[1]).version),
        ("3", version(5))
    );
    assert!(matches!(receipts[2], Receipt::Applied { item: None, .. }));
    let body = bench.script.body(0);
    for part in body["requests"].as_array().unwrap() {
        assert!(
            part["url"].as_str().unwrap().starts_with("/sites/"),
            "relative and without version"
        );
        assert!(part["headers"]["client-request-id"].is_string());
    }
    assert_eq!(body["requests"][1]["headers"]["If-Match"], json!(etag(4)));
    assert_eq!(
        body["requests"][0]["headers"]["Content-Type"],
        json!("application/json")
    );
    let spent = bench.target.spending();
    assert_eq!(
        (spent.of(WhyTag::FirstWrite), spent.of(WhyTag::Change)),
        (Ru(2), Ru(4))
    );
}

#[tokio::test]
async fn a_batch_may_fail_in_part() {
    let bench = bench();
    bench.script.then(|request| {
        let throttled = error("activityLimitReached", "Application has been throttled.");
        Ok(batch_answer(request, |part| match part["id"].as_str().unwrap() {
            "0" => (201, json!({}), item_json("1", &json!({}))),
            "1" => (412, json!({}), error("resourceModified", "")),
            "2" => (
                404,
                json!({}),
                error("itemNotFound", "The specified item was not found"),
            ),
            "3" => (409, json!({}), error("nameAlreadyExists", "")),
            "4" => (429, json!({"Retry-After": "2.5"}), throttled.clone()),
            "5" => (
                400,
                json!({}),
                error("invalidRequest", "Invalid value for 'Amount'"),
            ),
            "6" => (504, json!({}), json!("<html></html>")),
            _ => (423, json!({}), error("resourceLocked", "")),
        }))
    });
    let writes = vec![
        create("0"),
        patch("1"),
        patch("2"),
        create("3"),
        create("4"),
        create("5"),
        create("6"),
        patch("8"),
    ];
    let receipts = bench.write(writes).await;
    item(&receipts[0]);
    assert_eq!(refusal(&receipts[1]), &Refusal::Precondition);
    assert_eq!(refusal(&receipts[2]), &Refusal::Gone);
    assert!(matches!(refusal(&receipts[3]), Refusal::Duplicate(_)));
    assert_eq!(
        refusal(&receipts[4]),
        &Refusal::Throttled(Duration::from_millis(2_500))
    );
    let Refusal::Failed(failure) = refusal(&receipts[5]) else {
        panic!()
    };
    assert_eq!(failure.column.as_deref(), Some("Amount"));
    assert!(matches!(&receipts[6], Receipt::Unknown { failure } if failure.code == codes::GATEWAY));
    assert!(matches!(refusal(&receipts[7]), Refusal::Failed(failure) if failure.code == codes::LOCKED));
    let before = bench.clock.monotonic();
    bench.script.json(201, &item_json("1", &json!({})));
    bench.write_one(create("x")).await;
    assert!(
        bench.clock.monotonic().since(before) >= Duration::from_millis(2_500),
        "a throttled part stops everybody"
    );
}

#[tokio::test]
async fn a_lost_or_unreadable_batch_answer_leaves_every_part_unknown() {
    let two = || vec![create("a"), create("b")];
    let answers: Vec<Json> = vec![
        json!({}),
        json!([]),
        json!({"responses": []}),
        json!({"responses": "x"}),
    ];
    for answer in answers {
        let bench = bench();
        bench.script.json(200, &answer);
        for receipt in bench.write(two()).await {
            assert!(
                matches!(receipt, Receipt::Unknown { .. }),
                "{answer}: {receipt:?}"
            );
        }
    }
    let bench = bench();
    bench.script.fail(LOST);
    for receipt in bench.write(two()).await {
        assert!(matches!(&receipt, Receipt::Unknown { failure } if failure.code == codes::NO_ANSWER));
    }
    assert!(bench.script.all_used(), "and nothing was sent again");
}

#[tokio::test]
async fn a_part_answered_twice_or_not_at_all_is_unknown_and_its_neighbours_are_not() {
    let bench = bench();
    let ok = |id: &str| json!({"id": id, "status": 201, "body": item_json("5", &json!({}))});
    let refused = json!({"id": "1", "status": 409, "body": error("nameAlreadyExists", "")});
    let nonsense = json!({"id": 7, "status": "x"});
    bench.script.json(
        200,
        &json!({"responses": [ok("0"), refused, nonsense, ok("1"), ok("99")]}),
    );
    let receipts = bench.write(vec![create("a"), create("b"), create("c")]).await;
    item(&receipts[0]);
    assert!(matches!(receipts[1], Receipt::Unknown { .. }));
    assert!(matches!(receipts[2], Receipt::Unknown { .. }));
}

#[tokio::test]
async fn an_error_of_the_whole_batch_means_the_same_for_each_part() {
    for (status, headers, expect_throttled) in [
        (429, vec![("Retry-After", "3")], true),
        (503, vec![("Retry-After", "3")], true),
        (503, vec![], false),
        (500, vec![], false),
        (502, vec![], false),
    ] {
        let bench = bench();
        bench.script.answer(json_answer(status, &headers, &json!({})));
        for receipt in bench.write(vec![create("a"), create("b")]).await {
            match receipt {
                Receipt::Refused {
                    refusal: Refusal::Throttled(wait),
                } if expect_throttled => {
                    assert_eq!(wait, Duration::from_secs(3));
                }
                Receipt::Unknown { .. } if !expect_throttled => {}
                other => panic!("{status}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_write_without_a_connection_was_not_sent_and_one_without_answer_is_unknown() {
    for kind in [
        TransportErrorKind::Connect,
        TransportErrorKind::Resolve,
        TransportErrorKind::Tls,
    ] {
        let bench = bench();
        bench.script.fail(TransportError { sent: Sent::No, kind });
        assert!(matches!(
            refusal(&bench.write_one(create("a")).await),
            Refusal::NotSent(_)
        ));
        assert_eq!(
            bench.target.spending().total(),
            Ru(0),
            "what never left costs nothing"
        );
    }
    for kind in [
        TransportErrorKind::Timeout,
        TransportErrorKind::Broken,
        TransportErrorKind::AnswerTooLarge,
    ] {
        let bench = bench();
        bench.script.fail(TransportError {
            sent: Sent::Maybe,
            kind,
        });
        assert!(matches!(
            bench.write_one(create("a")).await,
            Receipt::Unknown { .. }
        ));
        assert_eq!(bench.target.spending().total(), Ru(2));
    }
    let bench = bench();
    bench.script.json(201, &json!({"id": "1"}));
    assert!(
        matches!(bench.write_one(create("a")).await, Receipt::Unknown { .. }),
        "made, but what?"
    );
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let bench = bench();
    let receipts = bench
        .target
        .write(vec![create("a")], bench.clock.monotonic())
        .await;
    assert!(matches!(refusal(&receipts[0]), Refusal::NotSent(failure) if failure.code == codes::DEADLINE));
    // A pause that would outlast the deadline is told instead of waited for.
    bench
        .script
        .answer(json_answer(429, &[("Retry-After", "60")], &json!({})));
    bench.write_one(create("a")).await;
    let receipt = bench.write_one(create("a")).await;
    assert!(
        matches!(refusal(&receipt), Refusal::Throttled(wait) if *wait == Duration::from_secs(60)),
        "{receipt:?}"
    );
    assert_eq!(bench.script.urls().len(), 1);
}

#[tokio::test]
async fn two_writes_to_one_item_never_share_a_batch() {
    let bench = bench();
    bench.script.json(200, &json!({"@odata.etag": etag(5)}));
    let receipts = bench.write(vec![patch("3"), delete("3")]).await;
    item(&receipts[0]);
    assert!(
        matches!(refusal(&receipts[1]), Refusal::NotSent(failure) if failure.code == codes::NOT_ATTEMPTED)
    );
}

#[tokio::test]
async fn an_unknown_column_is_refused_before_anything_is_sent() {
    let bench = bench();
    let fields: Fields = [("Nowhere".to_owned(), json!(1))].into();
    let receipt = bench
        .write_one(TaggedWrite {
            write: Write::Create { fields },
            why: WhyTag::Change,
        })
        .await;
    let Refusal::NotSent(failure) = refusal(&receipt) else {
        panic!("{receipt:?}")
    };
    assert_eq!(
        (failure.scope, failure.column.as_deref()),
        (Scope::Column, Some("Nowhere"))
    );
    let all: Vec<Json> = columns(&[])
        .iter()
        .filter(|c| c.name != "Notes")
        .map(|c| json!({"id": c.id, "name": c.name}))
        .collect();
    bench.script.json(200, &json!({"value": all}));
    let client = graph(&bench.script, &bench.clock);
    let failure = ListTarget::open(
        &client,
        "s",
        "l",
        &mapping(),
        ListSettings::default(),
        &ListRules::default(),
    )
    .await
    .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.column.as_deref()),
        (codes::COLUMN_UNKNOWN, Some("Notes"))
    );
}

#[tokio::test]
async fn a_hidden_mapped_column_makes_a_writes_answer_incomplete() {
    let bench = bench();
    let shape = Shape::new(
        &mapping(),
        &columns(&["SyncBridgeKey", "Notes"]),
        &ListRules::default(),
    );
    let target = ListTarget {
        shape,
        ..bench.target
    };
    bench
        .script
        .json(200, &json!({"@odata.etag": etag(5), "Amount": 2}));
    let receipts = target
        .write(vec![patch("7")], bench.clock.monotonic() + Duration::from_secs(5))
        .await;
    assert_eq!(item(&receipts[0]).value("Notes"), None, "unseen");
}

#[tokio::test]
async fn a_column_that_was_written_and_is_not_answered_is_unseen_if_somebody_hid_it_meanwhile() {
    for (hidden, seen) in [(true, None), (false, Some(&Json::Null))] {
        let bench = bench();
        let target = ListTarget {
            left_out: Mutex::default(),
            ..bench.target
        };
        bench
            .script
            .json(200, &json!({"@odata.etag": etag(5), "Notes": "n"}))
            .json(
                200,
                &json!({"value": [{"id": "a", "name": "Amount", "hidden": hidden}]}),
            );
        let receipts = target
            .write(vec![patch("7")], bench.clock.monotonic() + Duration::from_secs(5))
            .await;
        assert_eq!(item(&receipts[0]).value("Title"), seen, "hidden: {hidden}");
    }
}

#[tokio::test]
async fn a_401_brings_one_new_token_and_then_it_stops() {
    let bench = bench();
    bench
        .script
        .json(401, &error("InvalidAuthenticationToken", ""))
        .json(200, &json!({"@odata.etag": etag(5)}));
    item(&bench.write_one(patch("7")).await);
    assert_eq!(*bench.script.tokens.lock().unwrap(), 2);
    bench.script.json(401, &json!({})).json(401, &json!({}));
    let receipt = bench.write_one(patch("7")).await;
    assert!(matches!(refusal(&receipt), Refusal::Failed(failure) if failure.code == codes::UNAUTHORIZED));
    // In a batch only the parts concerned go again.
    let bench = self::bench();
    bench.script.then(|request| {
        Ok(batch_answer(request, |part| match part["id"].as_str().unwrap() {
            "0" => (401, json!({}), error("InvalidAuthenticationToken", "")),
            _ => (200, json!({}), json!({"@odata.etag": etag(5)})),
        }))
    });
    bench.script.then(|request| {
        Ok(batch_answer(request, |_| {
            (200, json!({}), json!({"@odata.etag": etag(6)}))
        }))
    });
    let receipts = bench.write(vec![patch("1"), patch("2")]).await;
    assert_eq!(
        (
            item(&receipts[0]).version.counter,
            item(&receipts[1]).version.counter
        ),
        (6, 5)
    );
    assert_eq!(bench.script.body(1)["requests"].as_array().unwrap().len(), 1);
}

fn name(n: u8) -> RowName {
    RowName {
        sync_key: SyncKey::of(Identity::from_bytes([n; 16])),
        key: Key::from_bytes(b"\x05\0\0\0\x01k".to_vec()).unwrap(),
    }
}

fn keys(n: u8) -> Vec<RowName> {
    (0..n).map(name).collect()
}

#[tokio::test]
async fn lookups_travel_in_batches_and_parts_that_fail_are_asked_again() {
    let bench = bench();
    bench.script.then(|request| {
        Ok(batch_answer(request, |part| match part["id"].as_str().unwrap() {
            "0" => (
                200,
                json!({}),
                json!({"value": [item_json("1", &json!({"SyncBridgeKey": "1a"}))]}),
            ),
            "1" => (200, json!({}), json!({"value": []})),
            "2" => (429, json!({"Retry-After": "1"}), json!({})),
            "3" => (403, json!({}), error("accessDenied", "")),
            _ => (
                200,
                json!({}),
                json!({"value": [item_json("1", &json!({})), item_json("2", &json!({}))]}),
            ),
        }))
    });
    // The part that was throttled goes again, alone in its batch.
    bench
        .script
        .then(|request| Ok(batch_answer(request, |_| (200, json!({}), json!({"value": []})))));
    let found = bench.target.lookup(&keys(5), WhyTag::Probe).await;
    assert!(matches!(&found[0], Lookup::One(item) if item.sync_key() == Some("1a") && item.complete));
    assert_eq!((&found[1], &found[2]), (&Lookup::Empty, &Lookup::Empty));
    assert!(matches!(&found[3], Lookup::Unknown(failure) if failure.code == codes::FORBIDDEN));
    assert!(matches!(&found[4], Lookup::Many(items) if items.len() == 2));
    let url = bench.script.body(0)["requests"][0]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        url.contains("?$filter=fields/SyncBridgeKey%20eq%20%271aaaaa"),
        "{url}"
    );
    assert!(
        url.ends_with("&$expand=fields($select=Amount,Notes,SyncBridgeKey,Title)"),
        "{url}"
    );
    let spent = bench.target.spending();
    assert_eq!(
        (spent.of(WhyTag::Probe), spent.of(WhyTag::FaultRetry)),
        (Ru(10), Ru(2))
    );
}

#[tokio::test]
async fn forty_five_lookups_take_three_batches() {
    let bench = bench();
    for _ in 0..3 {
        bench
            .script
            .then(|request| Ok(batch_answer(request, |_| (200, json!({}), json!({"value": []})))));
    }
    assert_eq!(
        bench.target.lookup(&keys(45), WhyTag::Probe).await,
        vec![Lookup::Empty; 45]
    );
    assert!(bench.script.all_used());
}

#[tokio::test]
async fn an_item_is_gone_only_if_its_list_answers() {
    let gone = || error("itemNotFound", "The specified item was not found");
    let ids = [ItemId("3".into()), ItemId("4".into())];
    // Another item of the batch proves the list.
    let bench = bench();
    bench.script.then(move |request| {
        Ok(batch_answer(request, |part| match part["id"].as_str().unwrap() {
            "0" => (404, json!({}), gone()),
            _ => (200, json!({}), item_json("4", &json!({"Title": "x"}))),
        }))
    });
    let reads = bench.target.read(&ids, WhyTag::Probe).await;
    assert_eq!(reads[0], ItemRead::Gone);
    assert!(matches!(&reads[1], ItemRead::One(item) if item.id.0 == "4"));
    // Nobody else answered, so the list is asked.
    for (status, expect_gone) in [(200, true), (404, false), (403, false)] {
        let bench = self::bench();
        bench.script.json(404, &gone()).json(status, &json!({"id": "l"}));
        let reads = bench.target.read(&ids[..1], WhyTag::Probe).await;
        assert_eq!(reads[0] == ItemRead::Gone, expect_gone, "{status}: {reads:?}");
        assert!(bench.script.all_used());
    }
}

#[tokio::test]
async fn pages_are_followed_verbatim_within_the_same_service_only() {
    let bench = bench();
    let link = "http://127.0.0.1:9/v1.0/sites/x/lists/y/items?$skiptoken=Paged%3dTRUE%26p_ID%3d205";
    bench.script.json(
        200,
        &json!({"value": [item_json("1", &json!({}))], "@odata.nextLink": link}),
    );
    let page = bench.target.page(None, WhyTag::Scan).await.unwrap();
    assert_eq!((page.items.len(), page.next.as_deref()), (1, Some(link)));
    assert!(bench.script.urls()[0].ends_with("&$top=2000"));
    bench.script.json(200, &json!({"value": []}));
    let page = bench
        .target
        .page(page.next.as_deref(), WhyTag::Scan)
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.next), (0, None));
    assert_eq!(bench.script.urls()[1], link);
    let failure = bench
        .target
        .page(Some("https://evil.example/v1.0/x"), WhyTag::Scan)
        .await
        .unwrap_err();
    assert_eq!(failure.code, codes::FOREIGN_LINK);
    assert_eq!(bench.script.urls().len(), 2, "the token went nowhere else");
}

#[tokio::test]
async fn a_page_is_read_again_after_faults_and_given_up_after_enough() {
    let bench = bench();
    bench
        .script
        .json(500, &json!({}))
        .fail(LOST)
        .json(200, &json!({"value": []}));
    bench.target.page(None, WhyTag::Scan).await.unwrap();
    for _ in 0..6 {
        bench.script.json(503, &json!({}));
    }
    let failure = bench.target.page(None, WhyTag::Scan).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.scope),
        (codes::UNAVAILABLE, Scope::Outage)
    );
    assert!(bench.script.all_used());
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved_because_it_certainly_was_not_done() {
    let bench = bench();
    let made = |request: &crate::transport::HttpRequest| {
        Ok(batch_answer(request, |_| {
            (201, json!({}), item_json("1", &json!({})))
        }))
    };
    // Three; then one; then two, which are halved again, and of which one is too large alone.
    bench
        .script
        .json(413, &json!({}))
        .then(made)
        .json(413, &json!({}))
        .json(413, &json!({}))
        .then(made);
    let receipts = bench.write(vec![create("a"), create("b"), create("c")]).await;
    item(&receipts[0]);
    assert!(matches!(refusal(&receipts[1]), Refusal::Failed(failure) if failure.code == codes::TOO_LARGE));
    item(&receipts[2]);
    assert!(bench.script.all_used());
}

/// The engine's port asks for futures that may move between threads.
#[test]
fn every_future_can_move_between_threads() {
    fn movable<F: Future + Send>(_: F) {}
    let bench = bench();
    let target = &bench.target;
    movable(target.write(Vec::new(), bench.clock.monotonic()));
    movable(target.lookup(&[], WhyTag::Probe));
    movable(target.read(&[], WhyTag::Probe));
    movable(target.page(None, WhyTag::Scan));
}

/// No runtime is there: whatever needed one would panic or never end.
#[test]
fn reads_and_writes_run_on_any_executor() {
    use futures_util::FutureExt as _;
    let bench = bench();
    bench.script.then(|request| {
        Ok(batch_answer(request, |_| {
            (429, json!({"Retry-After": "3"}), json!({}))
        }))
    });
    bench
        .script
        .then(|request| Ok(batch_answer(request, |_| (200, json!({}), json!({"value": []})))));
    let found = bench.target.lookup(&keys(3), WhyTag::Probe).now_or_never();
    assert_eq!(found, Some(vec![Lookup::Empty; 3]));
    bench.script.json(201, &item_json("1", &json!({})));
    let receipts = bench.write(vec![create("a")]).now_or_never().unwrap();
    item(&receipts[0]);
}

#[tokio::test]
async fn a_list_that_is_throttled_for_ever_while_its_site_answers_is_a_list_error() {
    let script = Script::new();
    let clock = ManualClock::jumping();
    let target = target(&script, &clock);
    let slow = || json_answer(429, &[("Retry-After", "3")], &error("throttledRequest", ""));
    for _ in 0..5 {
        script.answer(slow());
    }
    // Then the site is asked, which answers, and the list once more.
    script.json(200, &json!({"id": "host,1,2"})).answer(slow());
    let mut receipts = Vec::new();
    for _ in 0..6 {
        let deadline = clock.monotonic() + Duration::from_secs(60);
        receipts.extend(target.write(vec![create("a")], deadline).await);
    }
    for receipt in &receipts[..5] {
        assert!(
            matches!(
                receipt,
                Receipt::Refused {
                    refusal: Refusal::Throttled(_)
                }
            ),
            "{receipt:?}"
        );
    }
    let Receipt::Refused {
        refusal: Refusal::Failed(failure),
    } = &receipts[5]
    else {
        panic!("{:?}", receipts[5])
    };
    assert_eq!(
        (failure.code.as_str(), failure.scope),
        (codes::LIST_THROTTLED, Scope::List)
    );
    assert!(failure.request_id.is_some());
    assert!(
        script.urls()[5].ends_with("/sites/host%2C1%2C2?$select=id"),
        "{:?}",
        script.urls()
    );
    assert!(script.all_used());
}

#[tokio::test]
async fn a_quota_that_throttles_everything_stays_a_wait() {
    let script = Script::new();
    let clock = ManualClock::jumping();
    let target = target(&script, &clock);
    let slow = || json_answer(429, &[("Retry-After", "3")], &error("activityLimitReached", ""));
    // From the sixth on the site is asked before each, and is throttled too.
    for _ in 0..5 + 2 * 4 {
        script.answer(slow());
    }
    for _ in 0..9 {
        let deadline = clock.monotonic() + Duration::from_secs(60);
        let receipts = target.write(vec![create("a")], deadline).await;
        assert!(
            matches!(
                receipts[..],
                [Receipt::Refused {
                    refusal: Refusal::Throttled(_)
                }]
            ),
            "{receipts:?}"
        );
    }
    assert!(script.all_used());
}
