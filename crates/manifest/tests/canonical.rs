//! The canonical form: what is stored, compared and exported.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says why"
)]

use proptest::prelude::*;
use serde_json::json;
use syncbridge_domain::history::HistoryRule;
use syncbridge_manifest::{Document, Kind, SecretRef, Spec, diff, parse, to_yaml};

fn one(text: &str) -> Document {
    let mut found = parse("t.yaml", text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(found.len(), 1);
    found.remove(0).value
}

const DEFINITION: &str = "
apiVersion: syncbridge/v1
kind: SyncDefinition
metadata:
  name: projects
spec:
  database: company
  connection: contoso
  source: {table: company.projects, feed: watermark, watermark: updated_at}
  target: {site: https://contoso.sharepoint.com/sites/Company, list: Projects}
";

#[test]
fn what_is_kept_of_the_history_stands_in_the_document_only_where_it_is_not_the_default() {
    let of = |text: &str| match one(&format!("{DEFINITION}{text}")) {
        Document {
            spec: Spec::SyncDefinition(spec),
            ..
        } => spec.history,
        other => panic!("{other:?}"),
    };
    assert_eq!(of(""), HistoryRule::default());
    assert_eq!(
        of("  history: {values: false, retention: 90d}\n"),
        HistoryRule::default()
    );
    for (text, values, retention) in [
        ("{values: true}", true, Some(90 * 86_400)),
        ("{retention: off}", false, None),
        ("{values: true, retention: 12h}", true, Some(12 * 3_600)),
    ] {
        let document = format!("  history: {text}\n");
        assert_eq!(of(&document), HistoryRule { values, retention });
        let stored = one(&format!("{DEFINITION}{document}")).to_json();
        assert_eq!(one(&stored.to_string()).to_json(), stored, "{text}");
        assert!(stored["spec"]["history"].is_object(), "{stored:#}");
    }
}

#[test]
fn defaults_are_filled_in() {
    assert_eq!(
        one(DEFINITION).to_json(),
        json!({
            "apiVersion": "syncbridge/v1",
            "kind": "SyncDefinition",
            "metadata": { "name": "projects" },
            "spec": {
                "database": "company",
                "connection": "contoso",
                "source": {
                    "table": "company.projects", "feed": "watermark", "watermark": "updated_at",
                    "sweep": { "every": "1d" },
                },
                "target": { "site": "contoso.sharepoint.com:/sites/Company", "list": "Projects" },
                "direction": "push",
                "mode": "sync",
                "onDelete": "keep",
                "conflict": "source_wins",
                "onForeignEdit": "report",
                "guards": { "deletes": { "count": 100, "share": 0.05, "window": "1h" } },
                "namespace": "company/company.projects",
                "limits": { "pageRows": 2000, "batchWrites": 20, "batchesInFlight": 20, "verifyPageItems": 2000,
                            "standstillSeconds": 900 },
                "paused": false,
            }
        })
    );
}

#[test]
fn guards_have_one_form_however_they_were_written() {
    let text = DEFINITION.to_owned()
        + "  onForeignRestore: delete\n  guards:\n    sentinels: [7, '008', [true]]\n    freeze:\n      \
           - {days: [sun, fri], from: 18:00, to: \"06:00\", timeZone: Europe/Berlin}\n      \
           - {days: [mon, tue, wed, thu, fri, sat, sun], from: 00:30, to: 00:10, timeZone: UTC}\n";
    let document = one(&text);
    let spec = &document.to_json()["spec"];
    assert_eq!(spec["onForeignRestore"], "delete");
    assert_eq!(
        spec["guards"],
        json!({
            "deletes": { "count": 100, "share": 0.05, "window": "1h" },
            "sentinels": [["7"], ["008"], ["true"]],
            "freeze": [
                { "days": ["fri", "sun"], "from": "18:00", "to": "06:00", "timeZone": "Europe/Berlin" },
                { "from": "00:30", "to": "00:10", "timeZone": "UTC" },
            ],
        })
    );
    assert_eq!(one(&document.to_yaml().unwrap()), document);
}

#[test]
fn the_way_back_is_filled_in_where_there_is_one_and_comes_back_as_it_was_written() {
    let given = |more: &str| one(&format!("{DEFINITION}{more}"));
    let plain = given("  direction: pull\n");
    assert_eq!(
        plain.to_json()["spec"]["twoWay"],
        json!({
            "inserts": "accept",
            "fullVisibility": "unknown",
            "deleteDelay": "5m",
            "lossy": "refuse",
        })
    );
    let all = given(
        "  direction: both\n  conflict: latest_wins\n  twoWay: {inserts: ignore, fullVisibility: \
         attested, deleteDelay: off, lossy: allow, pingPong: {alternations: 4}}\n  fields:\n    - \
         {column: due, direction: both, lossy: refuse, conflict: manual}\n    - {column: total, direction: push}\n",
    );
    let shown = all.to_json();
    assert_eq!(
        shown["spec"]["twoWay"],
        json!({
            "inserts": "ignore",
            "fullVisibility": "attested",
            "deleteDelay": "off",
            "lossy": "allow",
            "pingPong": { "alternations": 4, "within": "6h" },
        })
    );
    assert_eq!(
        shown["spec"]["fields"][0],
        json!({ "column": "due", "direction": "both", "lossy": "refuse", "conflict": "manual" })
    );
    for document in [plain, all] {
        assert_eq!(one(&document.to_yaml().unwrap()), document);
        assert_eq!(Document::from_json("stored", &document.to_json()), Ok(document));
    }
}

#[test]
fn json_is_read_like_yaml_alone_and_in_a_list() {
    let document = one(DEFINITION);
    let json = document.to_json();
    assert_eq!(one(&json.to_string()), document);
    assert_eq!(Document::from_json("stored", &json), Ok(document));
    let list =
        json!([json, { "apiVersion": "syncbridge/v1", "kind": "Application", "metadata": { "name": "a" } }]);
    let found = parse("body", &list.to_string()).unwrap();
    assert_eq!(
        found.iter().map(|each| each.value.kind()).collect::<Vec<_>>(),
        [Kind::SyncDefinition, Kind::Application]
    );
}

#[test]
fn stored_json_that_is_wrong_names_the_key() {
    let mut json = one(DEFINITION).to_json();
    json["spec"]["limits"]["pageRows"] = json!(0);
    let problems = Document::from_json("revision 7", &json).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "revision 7:1:1: `spec.limits.pageRows` is 0 → a whole number from 1 to 20000 [manifest.invalid_value]"
    );
}

#[test]
fn a_12_a_secret_is_in_no_form_but_its_own() {
    let text = "apiVersion: syncbridge/v1\nkind: Connection\nmetadata: {name: contoso}\nspec:\n  tenant: contoso\n  \
                clientId: app\n  clientSecret: {value: hunter2}\n";
    let document = one(text);
    let [(path, SecretRef::Value(_))] = document.secrets()[..] else {
        panic!("no value")
    };
    assert_eq!(path, "spec.clientSecret");
    let shown = format!(
        "{document:?}\n{}\n{}",
        document.to_json(),
        document.to_yaml().unwrap()
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    // What was exported can be applied again and changes nothing.
    let exported = one(&document.to_yaml().unwrap());
    assert_eq!(exported.secrets(), [("spec.clientSecret", &SecretRef::Stored)]);
    assert_eq!(diff(&document.to_json(), &exported.to_json()), Vec::new());
}

#[test]
fn texts_that_other_readers_take_for_something_else_stay_texts() {
    let text = DEFINITION.to_owned()
        + "  exclude: ['no', on, y, '008', 007, 1_000, '1', 'null', '~', 'true', ' blank ', 'a: b', '# x', '*a', '1e3', '.nan', .inf]\n";
    let document = one(&text);
    let Spec::SyncDefinition(spec) = &document.spec else {
        panic!("not a definition")
    };
    assert_eq!(
        spec.exclude[..6],
        ["no", "on", "y", "008", "007", "1_000"].map(str::to_owned)
    );
    assert_eq!(one(&document.to_yaml().unwrap()), document);
}

#[test]
fn an_export_reads_well() {
    let text = "apiVersion: syncbridge/v1\nkind: Instance\nmetadata: {name: main}\nspec: {database: company, \
                host: db.example.org, dbname: company, user: sync, password: {env: SYNCBRIDGE_SECRET_DB}, \
                tls: {mode: verify-ca, ca: {file: ca.pem}}}\n";
    assert_eq!(
        one(text).to_yaml().unwrap(),
        "\
apiVersion: syncbridge/v1
kind: Instance
metadata:
  name: main
spec:
  database: company
  dbname: company
  host: db.example.org
  password:
    env: SYNCBRIDGE_SECRET_DB
  port: 5432
  priority: 1
  role: primary
  tls:
    ca:
      file: ca.pem
    mode: verify-ca
  user: sync
"
    );
}

#[test]
fn an_export_of_several_documents_is_read_back_whole() {
    let application = one("apiVersion: syncbridge/v1\nkind: Application\nmetadata: {name: shop}\n");
    let definition = one(DEFINITION);
    let text = to_yaml([&application, &definition]).unwrap();
    let back: Vec<Document> = parse("export.yaml", &text)
        .unwrap()
        .into_iter()
        .map(|each| each.value)
        .collect();
    assert_eq!(back, [application, definition]);
}

#[test]
fn the_examples_in_the_documentation_are_valid_and_refer_to_each_other() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples");
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let found = parse(&name, &text).unwrap_or_else(|problems| {
                panic!(
                    "{}",
                    problems.iter().map(|p| format!("{p}\n")).collect::<String>()
                )
            });
            assert!(!found.is_empty(), "{name} holds no document");
            documents.extend(found.into_iter().map(|each| each.value));
        }
    }
    assert!(
        documents.len() >= 8,
        "the examples are not there: {}",
        documents.len()
    );
    for document in &documents {
        for reference in document.references() {
            let there = |other: &Document| other.kind() == reference.kind && other.name == reference.name;
            assert!(
                documents.iter().any(there),
                "{reference:?} of `{}` leads nowhere",
                document.name
            );
        }
    }
}

/// Any text that a line may hold: printable, not blank, with everything YAML has a meaning for.
fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 _.:#&*!|>'\"%@`{}\\[\\],?~=+/-]{1,40}",
        "\\PC{1,30}",
        prop::sample::select(vec![
            "no",
            "yes",
            "on",
            "off",
            "null",
            "~",
            "true",
            "1",
            "-1",
            "1.5",
            "0x1f",
            "0o17",
            "007",
            "1_0",
            ".nan",
            "- a",
            "? a",
            "a: b",
            "a #b",
            "<<",
            "=",
            "---",
            "...",
            "2024-01-01",
            "12:30:00",
            "!x",
            "%x",
            " x",
            "x ",
        ])
        .prop_map(str::to_owned),
    ]
    .prop_filter("blank", |text| {
        !text.trim().is_empty() && !text.contains(char::is_control)
    })
}

fn any_definition() -> impl Strategy<Value = serde_json::Value> {
    let column = any_line().prop_filter("at most 63 bytes", |text| text.len() <= 63);
    let field = (proptest::option::of(any_line()), any::<bool>(), 0..6_u8);
    (
        prop::collection::btree_map(column, field, 1..6),
        any_line(),
        any_line(),
        proptest::option::of(any_line()),
        (0_u64..1_000, 0.0..=1.0_f64, 1..=20_u32, any::<bool>()),
        (prop::collection::btree_set(any_line(), 0..4), 0..24_u32, 0..59_u32),
    )
        .prop_map(
            |(fields, list, table, namespace, (count, share, batch, paused), (sentinels, hour, minute))| {
                let table: String = table.chars().take(15).collect();
                let fields: Vec<_> = fields
                .into_iter()
                .enumerate()
                .map(|(index, (column, (shown, passive, kind)))| {
                    let kind = match kind {
                        0 => json!({ "kind": "text", "maxLength": 80 }),
                        1 => json!({ "kind": "choice", "choices": [column, "x\u{e9}".to_owned() + &column] }),
                        2 => json!({ "kind": "number", "decimals": 2 }),
                        3 => json!("multiline"),
                        4 => json!("datetime"),
                        _ => json!("boolean"),
                    };
                    let kind_name = kind.as_str().unwrap_or_default().to_owned();
                    let mut field = json!({ "column": column, "passive": passive, "type": kind });
                    match index % 4 {
                        0 => field["index"] = json!(kind_name != "multiline"),
                        1 => field["default"] = json!(index),
                        2 => field["newChoices"] = json!("fixed"),
                        _ => field["required"] = json!(passive),
                    }
                    // Different from each other whatever the texts are.
                    if let Some(shown) = shown {
                        field["as"] = json!(format!("{index} {shown}"));
                    }
                    field
                })
                .collect();
                let mut document = json!({
                    "apiVersion": "syncbridge/v1",
                    "kind": "SyncDefinition",
                    "metadata": { "name": "any" },
                    "spec": {
                        "database": "company",
                        "connection": "contoso",
                        "source": { "table": { "schema": "s", "table": format!("t{table}") } },
                        "target": match batch % 2 {
                            0 => json!({ "site": "contoso.sharepoint.com", "list": list }),
                            _ => json!({ "site": "contoso.sharepoint.com", "list": list,
                                         "mode": "bring_your_own", "identityColumn": "Key" }),
                        },
                        "fields": fields,
                        "guards": { "deletes": { "count": count, "share": share } },
                        "limits": { "batchWrites": batch },
                        "paused": paused,
                    },
                });
                if !sentinels.is_empty() {
                    let keys = sentinels.iter().map(|text| json!([text, hour]));
                    document["spec"]["guards"]["sentinels"] = keys.collect();
                    document["spec"]["onForeignRestore"] = json!("keep");
                    document["spec"]["guards"]["freeze"] = json!([
                        { "days": ["wed"], "from": format!("{hour:02}:{minute:02}"), "to": "23:59", "timeZone": "UTC" },
                    ]);
                }
                if let Some(namespace) = namespace {
                    document["spec"]["namespace"] = json!(namespace);
                }
                document
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_exported_is_read_back_the_same(json in any_definition()) {
        let document = Document::from_json("any", &json).map_err(|problems| {
            TestCaseError::fail(problems.iter().map(|p| format!("{p}\n")).collect::<String>())
        })?;
        let yaml = document.to_yaml().unwrap();
        let back = parse("any.yaml", &yaml).map_err(|problems| {
            TestCaseError::fail(format!("{problems:#?}\n{yaml}"))
        })?;
        prop_assert_eq!(&back[0].value, &document, "{}", yaml);
        prop_assert_eq!(diff(&back[0].value.to_json(), &document.to_json()), Vec::new());
        // The canonical form is a fixed point.
        let again = Document::from_json("stored", &document.to_json()).unwrap();
        prop_assert_eq!(again.to_json(), document.to_json());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z:{}\\[\\],\"'&*!|>#%@ \n\t-]{0,200}") {
        let _ = parse("any.yaml", &text);
    }
}
