//! Pre-flight: what it predicts is what then happens.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

/// Rows by column, of findings that weigh this or of quarantine entries.
type ByColumn = BTreeMap<String, u64>;

fn check(world: &World, name: &str) -> Json {
    let ran = world.command(&["plan", name, "--check", "-o", "json"]);
    assert!([0, 3, 5].contains(&ran.code()), "{}{}", ran.out(), ran.err());
    ran.json()
}

fn findings<'a>(report: &'a Json, weight: &'a str) -> impl Iterator<Item = &'a Json> {
    let all = report["findings"].as_array().expect("findings");
    all.iter().filter(move |finding| finding["weight"] == weight)
}

fn predicted(report: &Json) -> ByColumn {
    let mut found = ByColumn::new();
    for finding in findings(report, "refuses") {
        let column = finding["column"].as_str().unwrap_or("?").to_owned();
        *found.entry(column).or_default() += finding["rows"].as_u64().expect("counted rows");
    }
    found
}

fn refused(world: &World, name: &str) -> ByColumn {
    let listed = world
        .command(&["quarantine", "list", name, "--limit", "500", "-o", "json"])
        .json();
    let mut found = ByColumn::new();
    for row in listed.as_array().expect("rows") {
        let column = row["column"].as_str().unwrap_or("?").to_owned();
        *found.entry(column).or_default() += 1;
    }
    found
}

/// A person changes the settings of a column.
async fn person_sets(world: &World, list: &str, column: &str, settings: Json) {
    let list = world.list_id(list).await;
    world
        .sim_send("PATCH", &format!("lists/{list}/columns/{column}"), &settings)
        .await;
}

const UGLY: &str = "
    create type mood as enum ('calm', 'cross');
    create table t (id int primary key, name varchar(300), code text not null, status text, ratio double precision,
                    wide numeric(30, 5), day date, at timestamptz, big bigint, state mood, note text);
    insert into t select n, 'row ' || n, 'c' || n, 'open', n, n, '2026-01-01', '2026-01-01Z', n, 'calm', 'fine'
    from generate_series(1, 40) n";

const UGLIER: &str = "
    insert into t (id, name, code, status, ratio, wide, day, at, big, note) values
    (101, repeat('x', 256), 'l1', 'open', 1, 1, null, null, 1, null),
    (102, repeat('😀', 128), 'l2', 'open', 1, 1, null, null, 1, null),
    (103, 'long code', repeat('y', 21), 'open', 1, 1, null, null, 1, null),
    (104, 'no choice', 'l4', 'shut', 1, 1, null, null, 1, null),
    (105, 'nan', 'l5', 'open', 'NaN', 1, null, null, 1, null),
    (106, 'inf', 'l6', 'open', '-Infinity', 1, null, null, 1, null),
    (107, 'above', 'l7', 'open', 100.5, 1, null, null, 1, null),
    (108, 'below', 'l8', 'open', -0.25, 1, null, null, 1, null),
    (109, 'imprecise', 'l9', 'open', 1, 1, null, null, 9007199254740993, null),
    (110, 'early', 'l10', 'open', 1, 1, '1899-12-31', null, 1, null),
    (111, 'bc', 'l11', 'open', 1, 1, '0044-03-15 BC', null, 1, null),
    (112, 'never', 'l12', 'open', 1, 1, null, 'infinity', 1, null),
    (113, 'bell', 'l13', 'open', 1, 1, null, null, 1, E'a\\x07b'),
    (114, 'twin', 'C1', 'open', 1, 1, null, null, 1, null),
    (115, 'twin', 'twin', 'open', 1, 1, null, null, 1, null),
    (116, 'twin', 'Twin', 'open', 1, 1, null, null, 1, null),
    (117, 'two at once', 'l17', 'shut', 'NaN', 1, null, null, 1, null),
    (118, 'fits', 'l18', 'open', 100, 123456789012345678901234.5, '1900-01-01', '1900-01-01Z', -9007199254740992,
     repeat('z', 63999)),
    (119, 'too much', 'l19', 'open', 1, 1, null, null, 1, repeat('z', 64000))";

#[tokio::test]
async fn b_03_every_refusal_of_ugly_rows_is_predicted_by_column_and_count() {
    let world = World::new().await;
    world.sql(UGLY).await;
    let fields: Vec<Json> = [
        "name", "code", "ratio", "wide", "day", "at", "big", "state", "note",
    ]
    .iter()
    .map(|column| match *column {
        // A wide text on one line, as people ask for it.
        "code" => json!({"column": column, "type": {"kind": "text", "maxLength": 100}}),
        _ => json!({"column": column}),
    })
    .chain([json!({"column": "status", "type": {"kind": "choice", "choices": ["open", "done"]}})])
    .collect();
    let definition = world.definition("t", "public.t", json!({ "fields": fields }));
    world.apply(&definition).ok();
    // Before there is a list the very same is known, but for what people then do to it.
    let clean = check(&world, "t");
    assert_eq!(clean["list_exists"], false);
    assert_eq!(predicted(&clean), ByColumn::new(), "{clean:#}");
    assert_eq!(clean["forecast"]["ru"], 80, "{clean:#}");
    assert_eq!(world.run("t")["outcome"]["state"], "completed");

    person_sets(
        &world,
        "t",
        "Code",
        json!({"text": {"maxLength": 20}, "indexed": true}),
    )
    .await;
    person_sets(&world, "t", "Code", json!({"enforceUniqueValues": true})).await;
    person_sets(
        &world,
        "t",
        "Ratio",
        json!({"number": {"minimum": 0, "maximum": 100}}),
    )
    .await;
    world.sql(UGLIER).await;
    world.reset_account().await;
    let report = check(&world, "t");
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(
        world.spent().await.1,
        6,
        "the site, the list and its columns are read, and nothing else"
    );
    let ahead = predicted(&report);
    let run = world.run("t");
    assert_eq!(run["outcome"]["state"], "completed_with_errors", "{run:#}");
    let after = refused(&world, "t");
    assert_eq!(ahead, after, "predicted, refused: {report:#}");
    assert_eq!(after.values().sum::<u64>(), 17, "{after:?}");
    // What a formula of the list refuses nobody can know, and that is said.
    let lines = report["cannot_tell"].as_array().unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.as_str().unwrap().contains("validation formulas"))
    );
    assert!(
        lines
            .iter()
            .any(|line| line.as_str().unwrap().contains("may write"))
    );
    // Values never leave the table.
    assert!(!report.to_string().contains("xxx") && !report.to_string().contains("shut"));
}

#[tokio::test]
async fn b_03_what_stands_in_the_way_is_told_and_keeps_a_first_run_from_writing() {
    let world = World::new().await;
    world
        .sql("create table t (id int primary key, \"EmployeeId\" text); insert into t values (1, 'e')")
        .await;
    world.apply(&world.definition("t", "public.t", json!({}))).ok();
    // Before the first run somebody makes a list of that name.
    let columns: Vec<Json> = (0..20)
        .map(|n| json!({"name": format!("P{n}"), "indexed": true, "text": {}}))
        .collect();
    world
        .sim_send(
            "POST",
            "lists",
            &json!({"site": "Company", "displayName": "t", "columns": columns}),
        )
        .await;
    let ran = world.command(&["plan", "t", "--check"]);
    assert_eq!(ran.code(), 5, "{}{}", ran.out(), ran.err());
    assert!(ran.out().contains("list.no_index"), "{}", ran.out());
    world.reset_account().await;
    let ran = world.command(&["run", "t"]);
    assert_ne!(ran.code(), 0);
    assert!(ran.err().contains("[list.no_index"), "{}", ran.err());
    assert_eq!(world.writes().await, Writes::NONE);
    let (by_tag, _) = world.spent().await;
    assert_eq!(
        by_tag.keys().collect::<Vec<_>>(),
        ["provision"],
        "only looked: {by_tag:?}"
    );
    // What is only worth knowing is told when the definition is applied, and keeps nobody from running.
    world
        .sim_send(
            "POST",
            "lists",
            &json!({"site": "Company", "displayName": "u", "columns": [{"name": "Employee", "personOrGroup": {}}]}),
        )
        .await;
    let told = world
        .apply(&world.definition("u", "public.t", json!({"namespace": "u"})))
        .ok()
        .out();
    assert!(told.contains("preflight.name_collision"), "{told}");
    assert_eq!(world.run("u")["outcome"]["state"], "completed");
}

#[tokio::test]
async fn b_03_a_view_is_taken_with_the_key_a_person_names_and_its_doubles_are_predicted() {
    let world = World::new().await;
    world
        .sql(
            "create table base (k text, v int);
             insert into base values ('a', 1), ('A', 2), ('b', 3), ('twice', 4), ('twice', 5);
             create view v as select k, v from base",
        )
        .await;
    let ran = world.apply(&world.definition("v", "public.v", json!({})));
    assert!(ran.err().contains("no primary key"), "{}", ran.err());
    world
        .apply(&world.definition("v", "public.v", json!({"source": {"key": ["k"]}})))
        .ok();
    let report = check(&world, "v");
    let doubles = findings(&report, "refuses").find(|one| one["code"] == "row.duplicate_key");
    assert_eq!(doubles.expect("a finding")["rows"], 1, "{report:#}");
    let by_case = findings(&report, "note").find(|one| one["code"] == "preflight.keys_by_case");
    assert_eq!(by_case.expect("a finding")["rows"], 2, "{report:#}");
    world.run("v");
    world.run_with("v", &["--full"]);
    let entries = world.command(&["quarantine", "list", "v", "-o", "json"]).json();
    assert_eq!(entries[0]["code"], "row.duplicate_key", "{entries:#}");
    world.sql("delete from base where v = 5").await;
    let report = check(&world, "v");
    assert!(findings(&report, "note").any(|one| one["code"] == "preflight.keys_not_enforced"));
}

#[tokio::test]
async fn a_forecast_knows_the_tenant_and_rights_that_are_missing_are_told() {
    let world = World::with_private_source().await;
    world
        .sql(
            "create table t (id int primary key, changed timestamptz default now());
             insert into t select n from generate_series(1, 1000) n;
             create role reader login password 'r'; grant select on t to reader",
        )
        .await;
    let url = reqwest::Url::parse(&world.source.url()).unwrap();
    let inner = |json: Json| json.to_string().trim_matches(['{', '}']).to_owned();
    let documents = world
        .catalog()
        .replacen(
            &inner(json!({"user": url.username()})),
            &inner(json!({"user": "reader"})),
            1,
        )
        .replacen(
            &inner(json!({"value": url.password()})),
            &inner(json!({"value": "r"})),
            1,
        )
        .replacen("\"custom\":", "\"licenses\":20000,\"custom\":", 1);
    let more = json!({"source": {"feed": "watermark", "watermark": "changed"}});
    let file = world.folder.path().join("documents.yaml");
    std::fs::write(
        &file,
        format!("{documents}{}\n", world.definition("t", "public.t", more)),
    )
    .unwrap();
    world.command(&["apply", "-f", file.to_str().unwrap()]).ok();
    let report = check(&world, "t");
    assert_eq!(report["forecast"]["ru_per_minute"], 5_000, "{report:#}");
    assert_eq!(report["forecast"]["ru"], 2_000);
    assert!(
        findings(&report, "note").any(|one| one["code"] == "preflight.sessions_hidden"),
        "{report:#}"
    );
    assert!(
        findings(&report, "loses").any(|one| one["code"] == "preflight.lossy_type"),
        "{report:#}"
    );
    let shown = world.command(&["plan", "t", "--check"]).out();
    assert!(
        shown.contains("20000 licences") && shown.contains("less than a minute"),
        "{shown}"
    );
}
