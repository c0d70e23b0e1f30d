//! Secrets and cell values are where they belong and nowhere else.
//!
//! Distinctive values are planted in cells, credentials and keys. The product then goes through success, refusals,
//! lost answers, conflicts and wrong passwords with every log line switched on, its libraries' included, and all
//! it says is searched, and so are the simulator's view of its requests and every column of the meta-store.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sqlx::Row as _;
use syncbridge_end_to_end::{CLIENT_SECRET, Ran, World, until};

/// The master key of [`World`], as its file has it and as it is.
const MASTER_KEY: [&str; 2] = [
    "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "01234567890123456789012345678901",
];
const KEY: &str = "KeyPlanted-7781";
const WRONG_PASSWORD: &str = "WrongPasswordPlanted551";
const WRONG_CLIENT_SECRET: &str = "WrongClientSecretPlanted662";
/// Cells that are no key columns.
const CELLS: [&str; 8] = [
    "TextPlanted-4417",
    "LongPlanted-4418",
    "918273645.25",
    "1931-07-29",
    "ChangedPlanted-4419",
    "RefusedPlanted-4420",
    "OverlongPlanted-4421",
    "EditPlanted-4422",
];

/// What is looked for, in every form it could leak in.
struct Search {
    forms: Vec<(String, Vec<u8>)>,
}

impl Search {
    fn new<'a>(planted: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = Vec::new();
        for value in planted {
            assert!(value.len() >= 8, "a short value is found everywhere");
            for form in [
                value.to_owned(),
                hex(value.as_bytes()),
                hex(value.as_bytes()).to_uppercase(),
                percent_encoded(value),
                format!("{:?}", value.as_bytes())
                    .trim_matches(['[', ']'])
                    .to_owned(),
            ]
            .into_iter()
            .chain(base64(value.as_bytes()))
            {
                forms.push((value.to_owned(), form.into_bytes()));
            }
        }
        Self { forms }
    }

    /// The planted values that a text holds in any form.
    fn found_in(&self, text: &[u8]) -> BTreeSet<&str> {
        self.forms
            .iter()
            .filter(|(_, form)| text.windows(form.len()).any(|window| window == form.as_slice()))
            .map(|(value, _)| value.as_str())
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// What base64 shows of the bytes at each of the three places they can have in a longer text.
fn base64(bytes: &[u8]) -> Vec<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..3)
        .map(|offset| {
            // Whole groups of three only: what stands before and behind is not known.
            let inner = &bytes[(3 - offset) % 3..];
            inner
                .chunks_exact(3)
                .flat_map(|three| {
                    let word = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
                    [18, 12, 6, 0].map(|shift| char::from(LETTERS[(word >> shift & 63) as usize]))
                })
                .collect()
        })
        .collect()
}

/// Everything the product said so far.
struct Heard {
    search: Search,
    keys: Search,
    lines: usize,
    all: String,
}

impl Heard {
    fn new(world: &World) -> Self {
        let urls = [world.source.url(), world.meta.url()];
        let passwords: BTreeSet<String> = urls.iter().map(|url| password_of(url)).collect();
        let secrets = MASTER_KEY
            .into_iter()
            .chain([CLIENT_SECRET, WRONG_PASSWORD, WRONG_CLIENT_SECRET])
            .chain(passwords.iter().map(String::as_str));
        Self {
            search: Search::new(secrets.chain(CELLS)),
            keys: Search::new([KEY]),
            lines: 0,
            all: String::new(),
        }
    }

    /// Nothing planted may be in what a command said.
    fn nothing_in(&mut self, ran: &Ran) {
        self.nothing_in_text("stdout", &ran.out());
        self.nothing_in_text("stderr", &ran.err());
    }

    /// As [`Self::nothing_in`], for the one command that shows keys on purpose: what it prints as its result.
    fn only_keys_in_result(&mut self, ran: &Ran) {
        assert!(
            ran.out().contains(KEY),
            "a person could not tell which row: {}",
            ran.out()
        );
        assert_eq!(
            self.search.found_in(ran.out().as_bytes()),
            BTreeSet::new(),
            "{}",
            ran.out()
        );
        self.nothing_in_text("stderr", &ran.err());
    }

    fn nothing_in_text(&mut self, place: &str, text: &str) {
        for line in text.lines() {
            let found = (
                self.search.found_in(line.as_bytes()),
                self.keys.found_in(line.as_bytes()),
            );
            assert!(
                found.0.is_empty() && found.1.is_empty(),
                "{place}: {found:?} in: {line}"
            );
        }
        self.lines += text.lines().count();
        self.all.push_str(text);
    }

    /// The search is worth nothing where nothing was said.
    fn said_everything(&self, at_least: usize) {
        for target in [
            "\"target\":\"sqlx",
            "\"target\":\"hyper",
            "\"target\":\"syncbridge",
        ] {
            assert!(self.all.contains(target), "no log line of {target}");
        }
        assert!(self.all.contains("\"level\":\"TRACE\""));
        assert!(self.lines >= at_least, "{} lines", self.lines);
    }
}

fn password_of(url: &str) -> String {
    let url = reqwest::Url::parse(url).unwrap();
    url.password().unwrap().to_owned()
}

/// A world that logs all there is, and a table with planted cells; rows 1 to 12 go through, 13 has a control
/// character, 14 is too long for its column.
async fn planted() -> World {
    let mut world = World::new().await;
    world.environment.push(("SYNCBRIDGE_LOG".into(), "trace".into()));
    world
        .sql(&format!(
            "create type stage as enum ('open', 'closed');
             create table t (code text primary key, name text not null, note text, amount numeric(12,2), born date,
                             short text, seen bigint,
                             changed timestamptz not null default '1977-03-14 15:09:26.535897+00');
             insert into t select '{KEY}-' || n, 'TextPlanted-4417 ' || n, 'LongPlanted-4418' || repeat(' words', 60),
                 918273645.25, '1931-07-29', 'short', n from generate_series(1, 12) n;
             insert into t values ('{KEY}-13', E'RefusedPlanted-4420 \\x01', null, 918273645.25, null, null, 13),
                                  ('{KEY}-14', 'TextPlanted-4417', null, null, null, 'OverlongPlanted-4421', 14);"
        ))
        .await;
    world
}

fn definition(world: &World, name: &str, more: Json) -> String {
    let mut spec = json!({
        "onDelete": "propagate",
        "fields": [{"column": "code"}, {"column": "name", "title": true}, {"column": "note"}, {"column": "amount"},
                   {"column": "born"}, {"column": "short", "type": {"kind": "text", "maxLength": 10}}],
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    world.definition(name, "public.t", spec)
}

/// A refusal whose message quotes the value, as the service's messages may.
fn quoting_refusal(value: &str, times: u32) -> Json {
    json!({"kind": "refuse", "on": ["write"], "times": times, "status": 400, "code": "invalidRequest",
           "message": format!("The value '{value}' of field 'Title' is not accepted.")})
}

#[test]
fn the_search_finds_what_is_planted_in_every_form() {
    let search = Search::new(["Planted-Value"]);
    for text in [
        "a line with Planted-Value inside",
        "\"name\":\"xPlanted-Valuex\"",
        "\\x00506c616e7465642d56616c756500",
        "name=Planted%2DValue&x=1",
        "[1, 80, 108, 97, 110, 116, 101, 100, 45, 86, 97, 108, 117, 101, 9]",
        // "Planted-Value", "xPlanted-Value!" and "xyPlanted-Value!" in base64.
        "UGxhbnRlZC1WYWx1ZQ==",
        "eFBsYW50ZWQtVmFsdWUh",
        "eHlQbGFudGVkLVZhbHVlIQ==",
    ] {
        assert_eq!(search.found_in(text.as_bytes()).len(), 1, "{text}");
    }
    assert!(search.found_in(b"planted value, Planted, Value").is_empty());
}

#[tokio::test]
async fn a_12_nothing_planted_is_in_what_commands_say_or_in_requests() {
    let world = planted().await;
    let mut heard = Heard::new(&world);

    heard.nothing_in(&world.apply(&definition(&world, "t", json!({}))).ok());
    // The first two writes are refused with a message that quotes a cell, the next answers are lost.
    world
        .faults(json!([quoting_refusal(CELLS[0], 2),
            {"kind": "lost_answer", "on": ["batch"], "times": 1},
            {"kind": "server_error", "on": ["write"], "times": 1, "body": "html"}]))
        .await;
    // A plan shows old and new values on purpose, in its result and nowhere else.
    let planned = world.command(&["plan", "t"]);
    assert!(planned.out().contains(KEY), "{}", planned.out());
    heard.nothing_in_text("stderr", &planned.err());
    for arguments in [&["run", "t"][..], &["run", "t"], &["verify", "t"]] {
        heard.nothing_in(&world.command(arguments));
    }
    let refused = world.command(&["quarantine", "list", "t", "-o", "json"]);
    heard.only_keys_in_result(&refused);
    let columns: BTreeSet<&str> = refused
        .json()
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| {
            row["column"]
                .as_str()
                .map(|c| if c == "name" { "name" } else { "short" })
        })
        .collect();
    assert_eq!(
        columns,
        BTreeSet::from(["name", "short"]),
        "both conversions were refused"
    );
    heard.only_keys_in_result(&world.command(&["quarantine", "list", "t"]));

    // A change, an edit by a person in the way, and the ledger of a row.
    let list = world.list_id("t").await;
    let item = world.items("t").await[3]["id"].to_string();
    let edit = json!({"fields": {"Title": CELLS[7]}, "person": 12});
    world
        .sim_send("POST", &format!("lists/{list}/items/{item}"), &edit)
        .await;
    world
        .sql("update t set name = 'ChangedPlanted-4419 ' || code where seen <= 12")
        .await;
    world
        .faults(json!([{"kind": "precondition", "on": ["write"], "times": 1}]))
        .await;
    heard.nothing_in(&world.command(&["run", "t", "--full", "-o", "yaml"]));
    heard.nothing_in(&world.command(&["ledger", "show", "t", &format!("{KEY}-2")]).ok());
    heard.nothing_in(&world.command(&["ledger", "show", "t", &format!("{KEY}-2"), "more"]));
    for arguments in [
        &["runs", "-o", "json"][..],
        &["list", "definitions"],
        &["get", "instance", "primary", "-o", "json"],
        &["get", "connection", "contoso", "-o", "yaml"],
        &["get", "definition", "t"],
        &["delete", "definition", "t"],
    ] {
        heard.nothing_in(&world.command(arguments));
    }

    let requests = world.sim_get("requests?limit=100000").await;
    assert!(
        requests["requests"].as_array().is_some_and(|all| all.len() > 20),
        "{requests}"
    );
    heard.nothing_in_text("requests at the simulator", &requests.to_string());
    heard.nothing_in_text("account of the simulator", &world.sim_get("ru").await.to_string());
    heard.said_everything(500);
}

#[tokio::test]
async fn a_12_credentials_are_in_no_error_about_them() {
    let world = planted().await;
    let mut heard = Heard::new(&world);
    let good = world.catalog();
    let definition = definition(&world, "t", json!({}));
    let password = password_of(&world.source.url());
    let file = world.folder.path().join("wrong.yaml");
    let path = file.to_str().unwrap().to_owned();
    for (from, to) in [
        (password.as_str(), WRONG_PASSWORD),
        (CLIENT_SECRET, WRONG_CLIENT_SECRET),
        // Mistakes of the kind people make around a secret.
        (
            r#"{"value":"planted-client-secret-9f3b"}"#,
            r#""planted-client-secret-9f3b""#,
        ),
        (
            r#"{"value":"planted-client-secret-9f3b"}"#,
            r#"{"valeu":"planted-client-secret-9f3b"}"#,
        ),
        (
            r#"{"value":"planted-client-secret-9f3b"}"#,
            r#"{"value":"planted-client-secret-9f3b","env":"X"}"#,
        ),
        (
            r#"{"value":"planted-client-secret-9f3b"}"#,
            r#"{"env":"planted-client-secret-9f3b"}"#,
        ),
        (
            r#"{"value":"planted-client-secret-9f3b"}"#,
            r#"{"value":"planted-client-secret-9f3b"#,
        ),
        (
            r#"{"value":"planted-client-secret-9f3b"}"#,
            r#"{"value":["planted-client-secret-9f3b"]}"#,
        ),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(&file, format!("{}{definition}\n", good.replace(from, to))).unwrap();
        for verb in ["diff", "apply"] {
            let ran = world.command(&[verb, "-f", &path]);
            assert!(verb == "diff" || ran.code() == 1, "{to}: {}", ran.code());
            heard.nothing_in(&ran);
        }
    }
    let url = world.meta.url();
    for wrong in [
        url.replace(&password, WRONG_PASSWORD),
        url.replace("postgres", "postgras"),
        url.replace("@", "@@"),
        url.replace("127.0.0.1", "[127"),
        format!("host=x password={WRONG_PASSWORD}"),
    ] {
        let ran = world.command(&["list", "definitions", "--database-url", &wrong]);
        assert_eq!(ran.code(), 1, "{}", ran.err());
        heard.nothing_in(&ran);
    }
    let ran = Ran::of(
        world
            .prepare(&["list", "definitions"])
            .env_remove("SYNCBRIDGE_MASTER_KEY_FILE")
            .env("SYNCBRIDGE_MASTER_KEY", format!("{}X", MASTER_KEY[0])),
    );
    assert_eq!(ran.code(), 1);
    heard.nothing_in(&ran);
    heard.said_everything(50);
}

#[tokio::test]
async fn a_12_the_meta_store_holds_values_sealed_and_keys_where_they_identify() {
    let world = planted().await;
    world.apply(&definition(&world, "t", json!({}))).ok();
    world.run("t");
    // A conflict keeps both values, sealed: a person edits a cell that the table changes as well. The first answer
    // is lost, so that the run looks at the item before it writes again.
    let list = world.list_id("t").await;
    let item = world.items("t").await[3]["id"].to_string();
    let edit = json!({"fields": {"Title": CELLS[7]}, "person": 12});
    world
        .sim_send("POST", &format!("lists/{list}/items/{item}"), &edit)
        .await;
    world
        .sql("update t set name = 'ChangedPlanted-4419 ' || code where seen <= 12")
        .await;
    world
        .faults(json!([{"kind": "lost_before", "on": ["batch"], "times": 1}]))
        .await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["counters"]["overridden"], 1, "{report:#}");
    // Writes that are still under way when we look.
    world
        .sql("update t set name = 'TextPlanted-4417 again ' || code where seen <= 12")
        .await;
    world
        .faults(json!([{"kind": "hang", "on": ["batch"], "millis": 60_000}]))
        .await;
    let mut running = world.start("hanging", &["run", "t"]);
    until("a write is under way", || async {
        world
            .meta_count("select count(*) from effects where state = 'open'")
            .await
            > 0
    })
    .await;
    let found = dump(&world, &Heard::new(&world).search).await;
    let keys = dump(&world, &Search::new([KEY])).await;
    running.kill().unwrap();
    running.wait().unwrap();
    tokio::time::timeout(Duration::from_secs(30), world.faults(json!([])))
        .await
        .unwrap();

    assert_eq!(found, BTreeSet::new(), "values in the clear");
    let allowed = [
        "ledger.key",
        "dirty.key",
        "quarantine.key",
        "effects.key",
        "plan_rows.key",
    ];
    let elsewhere: Vec<&String> = keys
        .iter()
        .filter(|place| !allowed.contains(&place.as_str()))
        .collect();
    assert!(elsewhere.is_empty(), "keys in {elsewhere:?}");
    for place in ["ledger.key", "effects.key", "quarantine.key"] {
        assert!(
            keys.contains(place),
            "the search found no key in {place}: it would find nothing else either"
        );
    }
    for sealed in [
        "effects where sealed_sent is not null",
        "conflicts where sealed_source is not null",
    ] {
        let rows = world.meta_count(&format!("select count(*) from {sealed}")).await;
        assert!(rows > 0, "no {sealed}");
    }
}

#[tokio::test]
async fn a_12_a_position_of_a_feed_is_the_only_other_place_of_a_value() {
    let world = planted().await;
    let watermark = json!({"source": {"table": "public.t", "feed": "watermark", "watermark": "changed"}});
    world.apply(&definition(&world, "t", watermark)).ok();
    world.run("t");
    world.run("t");
    let rows = world.meta_count("select count(*) from cursors").await;
    assert_eq!(rows, 1);
    let found = dump(&world, &Search::new(["1977-03-14", "15:09:26.535897"])).await;
    // Where to go on reading is the watermark's value itself; it names no row.
    assert_eq!(found, BTreeSet::from(["cursors.state".to_owned()]));
}

/// Columns of the meta-store, as `table.column`, in which the search finds something; partitions count as their
/// table.
async fn dump(world: &World, search: &Search) -> BTreeSet<String> {
    let columns = sqlx::query(
        "select c.relname, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
         and a.attnum > 0 and not a.attisdropped order by 1, 2",
    )
    .fetch_all(world.meta_pool())
    .await
    .unwrap();
    assert!(columns.len() > 100, "{} columns", columns.len());
    let mut found = BTreeSet::new();
    for column in columns {
        let (table, name): (String, String) = (column.get(0), column.get(1));
        let query = format!("select \"{name}\"::text from \"{table}\" where \"{name}\" is not null");
        let values: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(world.meta_pool())
            .await
            .unwrap();
        if values
            .iter()
            .any(|value| !search.found_in(value.as_bytes()).is_empty())
        {
            found.insert(format!("{table}.{name}"));
        }
    }
    found
}
