//! What an answer leaves out is null only where the answer would have shown it (DESIGN §5): one test for each of
//! the ways by which that is known, with the others out of reach.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use syncbridge_domain::clock::Clock;
use syncbridge_domain::identity::{Identity, Key, SyncKey};
use syncbridge_domain::list_rules::ListRules;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{
    Fields, Item, ItemId, ItemRead, Lookup, Receipt, RowName, TaggedWrite, Write,
};
use syncbridge_domain::version::Version;

use crate::list_target::{ListSettings, ListTarget};
use crate::testing::client::{LIST, SITE, columns, graph, mapping};
use crate::testing::{ManualClock, Script, batch_answer, error, json_answer};
use crate::transport::{HttpRequest, HttpResponse, TransportError};

const ETAG: &str = "\"3d050401-0000-4000-8000-000000000001,3\"";
const DEADLINE: Duration = Duration::from_secs(20);

/// A list of which these columns were hidden when it was opened, and nothing is known of them since.
fn opened(hidden: &[&str]) -> (Arc<Script>, Arc<ManualClock>, ListTarget<Arc<Script>>) {
    let (script, clock) = (Script::new(), ManualClock::jumping());
    let hidden: Vec<&str> = hidden.iter().copied().chain(["SyncBridgeKey"]).collect();
    let target = ListTarget::opened(
        graph(&script, &clock).about(SITE, LIST),
        SITE,
        LIST,
        &mapping(),
        &columns(&hidden),
        ListSettings::default(),
        ListRules::default(),
    );
    (script, clock, target)
}

/// An item as the service answers it when `Amount` is hidden: told only where the address names it.
fn as_the_service_tells(url: &str) -> Json {
    let mut fields = json!({"Title": "x", "Notes": "n"});
    let named = url
        .split_once("fields($select=")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(names, _)| names.split(',').collect::<Vec<_>>());
    if let Some(names) = named {
        fields
            .as_object_mut()
            .unwrap()
            .retain(|name, _| names.contains(&name.as_str()));
        if names.contains(&"Amount") {
            fields["Amount"] = json!(7);
        }
    }
    json!({"id": "1", "eTag": ETAG, "fields": fields})
}

fn name(n: u8) -> RowName {
    RowName {
        sync_key: SyncKey::of(Identity::from_bytes([n; 16])),
        key: Key::from_bytes(b"\x05\0\0\0\x01k".to_vec()).unwrap(),
    }
}

/// Answers one request as the service does.
fn alone(request: &HttpRequest) -> Result<HttpResponse, TransportError> {
    let item = as_the_service_tells(&request.url);
    let collection = !request.url.contains("/items/");
    let body = if collection {
        json!({"value": [item]})
    } else {
        item
    };
    Ok(json_answer(200, &[], &body))
}

/// As [`alone`], for each part of a batch.
fn together(request: &HttpRequest) -> Result<HttpResponse, TransportError> {
    Ok(batch_answer(request, |part| {
        let url = part["url"].as_str().unwrap();
        let item = as_the_service_tells(url);
        let body = if url.contains("$filter") {
            json!({"value": [item]})
        } else {
            item
        };
        (200, json!({}), body)
    }))
}

#[tokio::test]
async fn b_12_every_read_names_the_mapped_columns_so_a_hidden_one_is_shown_all_the_same() {
    // Hidden before the list was opened, and hidden since: the reads are the same.
    for hidden in [&["Amount"][..], &[]] {
        let (script, _, target) = opened(hidden);
        script
            .then(alone)
            .then(alone)
            .then(alone)
            .then(together)
            .then(together);
        let items = ["1", "2"].map(|id| ItemId(id.into()));
        let names = [name(1), name(2)];
        let mut seen = target.page(None, WhyTag::Scan).await.unwrap().items;
        for some in [1, 2] {
            let read = target.read(&items[..some], WhyTag::Probe).await;
            seen.extend(read.into_iter().map(read_item));
            let looked_up = target.lookup(&names[..some], WhyTag::Probe).await;
            seen.extend(looked_up.into_iter().map(found_item));
        }
        let shown: Vec<_> = seen.iter().map(|item| item.value("Amount")).collect();
        assert_eq!(shown, vec![Some(&json!(7)); 7], "hidden: {hidden:?}");
        assert!(script.all_used());
    }
}

fn found_item(lookup: Lookup) -> Item {
    match lookup {
        Lookup::One(item) => item,
        other => panic!("{other:?}"),
    }
}

fn read_item(read: ItemRead) -> Item {
    match read {
        ItemRead::One(item) => item,
        other => panic!("{other:?}"),
    }
}

fn create() -> TaggedWrite {
    let fields: Fields = [("Title".to_owned(), json!("x"))].into();
    TaggedWrite {
        write: Write::Create { fields },
        why: WhyTag::FirstWrite,
    }
}

fn patch(item: &str, column: &str) -> TaggedWrite {
    let fields: Fields = [(column.to_owned(), json!(2))].into();
    TaggedWrite {
        write: Write::Patch {
            item: ItemId(item.into()),
            expected: Version::parse(ETAG).unwrap(),
            fields,
        },
        why: WhyTag::Change,
    }
}

fn item(receipt: &Receipt) -> &Item {
    match receipt {
        Receipt::Applied { item: Some(item), .. } => item,
        other => panic!("{other:?}"),
    }
}

/// What a write is answered with: everything it wrote, and nothing that is hidden.
fn answered(part: &Json) -> (u16, Json, Json) {
    if part["method"] == "POST" {
        let item = json!({"id": "9", "eTag": ETAG, "fields": part["body"]["fields"]});
        return (201, json!({}), item);
    }
    let mut fields = part["body"].clone();
    fields["@odata.etag"] = json!(ETAG);
    (200, json!({}), fields)
}

#[tokio::test]
async fn b_12_the_answer_to_a_write_says_nothing_about_a_column_that_was_hidden_when_the_list_was_opened() {
    for (hidden, notes) in [(&["Notes"][..], None), (&[], Some(&Json::Null))] {
        let (script, clock, target) = opened(hidden);
        script.then(|request| Ok(batch_answer(request, answered)));
        let writes = vec![create(), patch("3", "Title")];
        let receipts = target.write(writes, clock.monotonic() + DEADLINE).await;
        for receipt in &receipts {
            assert_eq!(item(receipt).value("Notes"), notes, "hidden: {hidden:?}");
            assert!(item(receipt).value("Title").is_some(), "what is told is told");
        }
        assert!(
            script.all_used(),
            "what was written was answered, so nobody has to ask"
        );
    }
}

/// As [`answered`], but `Amount` was hidden since the list was opened.
fn answered_without_amount(part: &Json) -> (u16, Json, Json) {
    let (status, headers, mut body) = answered(part);
    let fields = match body.get_mut("fields") {
        Some(fields) => fields,
        None => &mut body,
    };
    fields.as_object_mut().unwrap().remove("Amount");
    (status, headers, body)
}

#[tokio::test]
async fn b_12_a_written_column_that_an_answer_lacks_is_looked_at_once_and_unseen_where_that_fails() {
    let shown = |hidden: bool| json!({"value": [{"id": "a", "name": "Amount", "hidden": hidden}]});
    let denied = error("accessDenied", "");
    for (status, told, amount) in [
        (200, shown(true), None),
        (200, json!({"value": []}), None),
        (403, denied, None),
        (200, shown(false), Some(&Json::Null)),
    ] {
        let (script, clock, target) = opened(&[]);
        script
            .then(|request| Ok(batch_answer(request, answered_without_amount)))
            .json(status, &told);
        let mut made = create();
        if let Write::Create { fields } = &mut made.write {
            fields.insert("Amount".to_owned(), json!(2));
        }
        let mut writes = vec![made, patch("3", "Amount")];
        if status != 200 {
            // Nothing is remembered of a look that failed.
            script.json(status, &told);
        }
        writes.push(patch("4", "Title"));
        let receipts = target.write(writes, clock.monotonic() + DEADLINE).await;
        for receipt in &receipts[..2] {
            assert_eq!(item(receipt).value("Amount"), amount, "{status} {told}");
        }
        assert!(script.all_used(), "{status} {told}: asked once for all of them");
    }
}

#[tokio::test]
async fn b_12_columns_that_were_hidden_or_deleted_since_the_list_was_opened_are_told() {
    let (script, _, target) = opened(&[]);
    let told = |columns: &[(&str, bool)]| {
        let columns: Vec<Json> = columns
            .iter()
            .map(|(name, hidden)| json!({"id": name, "name": name, "hidden": hidden}))
            .collect();
        json!({ "value": columns })
    };
    let all = [("Title", false), ("Amount", false), ("Notes", false)];
    script
        .json(200, &told(&all))
        .json(
            200,
            &told(&[("Title", false), ("Amount", true), ("Notes", false)]),
        )
        .json(200, &told(&all[..2]));
    for dropped in [&[][..], &["Amount"], &["Notes"]] {
        assert_eq!(target.dropped_columns().await.unwrap(), dropped);
    }
    script.json(403, &error("accessDenied", ""));
    assert!(
        target.dropped_columns().await.is_err(),
        "not knowing is no answer"
    );
}

/// A collection silently loses lookup columns above a limit, an item that is read alone does not (contract §7).
/// What a person put into them decides whether a copy may be deleted.
#[tokio::test]
async fn b_12_items_are_read_alone_where_everything_on_them_counts() {
    let (script, _, target) = opened(&[]);
    let known: Vec<Json> = (1..=14)
        .map(|n| json!({"id": format!("l{n}"), "name": format!("Look{n}"), "lookup": {}}))
        .collect();
    script.json(200, &json!({ "value": known })).then(|request| {
        Ok(batch_answer(request, |part| {
            let url = part["url"].as_str().unwrap();
            let mut fields = json!({"Title": "x", "Attachments": false});
            let alone = ["/items/1?", "/items/2?"].iter().any(|path| url.contains(path));
            for n in 1..=(if alone { 14 } else { 0 }) {
                fields[format!("Look{n}LookupId")] = json!("1");
            }
            (200, json!({}), json!({"id": "1", "eTag": ETAG, "fields": fields}))
        }))
    });
    let items = [ItemId("1".into()), ItemId("2".into())];
    for whole in target.whole(&items, WhyTag::Probe).await.unwrap() {
        let values = whole.expect("it is there").values;
        for n in 1..=14 {
            assert_eq!(values.get(&format!("Look{n}LookupId")), Some(&json!("1")), "{n}");
        }
    }
}
