//! Random values of many types go out; PostgreSQL itself says whether what the list shows is what the table holds.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

/// Rows of one run of this test.
const ROWS: usize = 300;

/// A type, how random values of it are made as text, and the comparison of the shown text `$1` with the column.
struct Kind {
    declared: &'static str,
    text: BoxedStrategy<String>,
    /// True where `$1` is the value of column `c` as the documentation promises.
    compare: &'static str,
}

fn kind(
    declared: &'static str,
    text: impl Strategy<Value = String> + 'static,
    compare: &'static str,
) -> Kind {
    Kind {
        declared,
        text: text.boxed(),
        compare,
    }
}

fn clock() -> impl Strategy<Value = String> {
    (0..24_u8, 0..60_u8, 0..60_u8, 0..1_000_000_u32)
        .prop_map(|(hour, minute, second, micro)| format!("{hour:02}:{minute:02}:{second:02}.{micro:06}"))
}

fn day() -> impl Strategy<Value = String> {
    (1901..=8899_u16, 1..=12_u8, 1..=28_u8)
        .prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"))
}

/// Days of the years in which the site's clocks were changed in every way there is.
fn recent_day() -> impl Strategy<Value = String> {
    (1901..=2037_u16, 1..=12_u8, 1..=28_u8)
        .prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"))
}

fn kinds() -> Vec<Kind> {
    let text = || "[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\u{fffe}\\u{ffff}\\u{0}]{1,40}";
    vec![
        kind(
            "boolean",
            any::<bool>().prop_map(|b| b.to_string()),
            "$1::boolean = c",
        ),
        kind(
            "smallint",
            any::<i16>().prop_map(|n| n.to_string()),
            "$1::numeric = c",
        ),
        kind(
            "integer",
            any::<i32>().prop_map(|n| n.to_string()),
            "$1::numeric = c",
        ),
        kind(
            "bigint",
            (-(1_i64 << 53)..=1 << 53).prop_map(|n| n.to_string()),
            "$1::numeric = c",
        ),
        kind(
            "double precision",
            any::<f64>()
                .prop_filter("finite", |n| n.is_finite())
                .prop_map(|n| format!("{n:e}")),
            "$1::double precision = c",
        ),
        kind(
            "real",
            any::<f32>()
                .prop_filter("finite", |n| n.is_finite())
                .prop_map(|n| format!("{n:e}")),
            "$1::double precision::real = c",
        ),
        kind(
            "numeric(15,4)",
            "-?[1-9][0-9]{0,10}\\.[0-9]{4}",
            "$1::numeric = c",
        ),
        kind(
            "numeric",
            "-?[1-9][0-9]{0,60}\\.[0-9]{0,30}",
            "$1::numeric = c and $1 = c::text",
        ),
        kind("text", text(), "$1 = c"),
        kind("varchar(90)", text(), "$1 = c"),
        kind(
            "uuid",
            any::<u128>().prop_map(|n| format!("{n:032x}")),
            "$1::uuid = c",
        ),
        kind(
            "date",
            day(),
            "($1::timestamptz at time zone 'Europe/Berlin')::date = c",
        ),
        kind(
            "date",
            recent_day(),
            "($1::timestamptz at time zone 'Europe/Berlin') = c::timestamp",
        ),
        kind(
            "timestamptz",
            (day(), clock()).prop_map(|(day, clock)| format!("{day} {clock}+00")),
            "$1::timestamptz = date_trunc('second', c)",
        ),
        kind(
            "timestamp",
            (day(), clock()).prop_map(|(day, clock)| format!("{day} {clock}")),
            "$1::timestamptz at time zone 'UTC' = date_trunc('second', c)",
        ),
        kind("time", clock(), "$1::time = c"),
        kind(
            "interval",
            (any::<i16>(), any::<i16>(), any::<i32>())
                .prop_map(|(months, days, ms)| format!("{months} months {days} days {ms} milliseconds")),
            "$1::interval::text = c::text",
        ),
        kind("bytea", "\\\\x([0-9a-f]{2}){0,40}", "$1::bytea = c"),
        kind(
            "jsonb",
            ("[a-zé\\u{10000}-\\u{10ffff}]{0,6}", any::<i64>())
                .prop_map(|(name, n)| json!({ name: [n, null, "x\ty"] }).to_string()),
            "$1::jsonb = c",
        ),
        kind(
            "text[]",
            proptest::collection::vec(proptest::option::of("[a-z\"\\\\, {}]{0,6}"), 0..5).prop_map(|texts| {
                let texts: Vec<String> = texts
                    .iter()
                    .map(|text| match text {
                        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
                        None => "NULL".to_owned(),
                    })
                    .collect();
                format!("{{{}}}", texts.join(","))
            }),
            "$1::text[] = c",
        ),
        kind(
            "mood[]",
            proptest::sample::subsequence(vec!["sad", "ok", "happy"], 1..=3)
                .prop_shuffle()
                .prop_map(|labels| format!("{{{}}}", labels.join(","))),
            // The list shows a set of labels.
            "(select array_agg(x order by x) from jsonb_array_elements_text($1::jsonb) x)
             = (select array_agg(distinct x::text order by x::text) from unnest(c) x)",
        ),
        kind(
            "inet",
            any::<[u8; 4]>().prop_map(|b| format!("{}.{}.{}.{}/{}", b[0], b[1], b[2], b[3], b[0] % 33)),
            "$1::inet = c",
        ),
        kind("varbit", "[01]{1,40}", "$1::varbit = c"),
        kind(
            "int8range",
            (any::<i32>(), 1..1000_i64).prop_map(|(n, more)| format!("[{n},{})", i64::from(n) + more)),
            "$1::int8range = c",
        ),
        kind(
            "point",
            (
                any::<i16>(),
                any::<f32>().prop_filter("finite", |n| n.is_finite()),
            )
                .prop_map(|(x, y)| format!("({x},{y:e})")),
            "$1::point ~= c",
        ),
    ]
}

#[tokio::test]
async fn b_01_random_values_of_every_kind_are_what_the_table_holds() {
    let world = World::new().await;
    let kinds = kinds();
    // Another seed each time; a failure names the value.
    let mut runner = TestRunner::default();
    world.sql("create type mood as enum ('sad', 'ok', 'happy')").await;
    let declared: Vec<String> = kinds
        .iter()
        .enumerate()
        .map(|(at, kind)| format!("c{at} {}", kind.declared))
        .collect();
    world
        .sql(&format!(
            "create table t (n int primary key, {})",
            declared.join(", ")
        ))
        .await;
    let names: Vec<String> = (0..kinds.len()).map(|at| format!("c{at}")).collect();
    let casts: Vec<String> = kinds
        .iter()
        .enumerate()
        .map(|(at, kind)| format!("${}::text::{}", at + 2, kind.declared))
        .collect();
    let insert = format!(
        "insert into t (n, {}) values ($1, {})",
        names.join(", "),
        casts.join(", ")
    );
    let mut values: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for n in 0..ROWS {
        let row: Vec<String> = kinds
            .iter()
            .map(|kind| kind.text.new_tree(&mut runner).expect("a value").current())
            .collect();
        let n = i32::try_from(n).expect("a small number");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(insert.clone())).bind(n);
        for text in &row {
            query = query.bind(text.clone());
        }
        if let Err(error) = query.execute(world.source_pool()).await {
            panic!("{error}: {row:?}");
        }
        values.insert(n, row);
    }
    let mut fields = vec![json!({"column": "n", "name": "N"})];
    fields.extend((0..kinds.len()).map(|at| json!({"column": format!("c{at}"), "name": format!("C{at}")})));
    world
        .apply(&world.definition("t", "public.t", json!({"fields": fields})))
        .ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");

    let mut compared = 0;
    for item in world.items("t").await {
        #[allow(clippy::cast_possible_truncation)]
        let n = item["fields"]["N"].as_f64().expect("a number") as i32;
        for (at, kind) in kinds.iter().enumerate() {
            let shown = match &item["fields"][format!("C{at}")] {
                Json::String(text) => text.clone(),
                Json::Null => panic!("{} {:?} shows nothing", kind.declared, values[&n][at]),
                other => other.to_string(),
            };
            let query = format!(
                "select coalesce(({}), false) from (select c{at} as c from t where n = $2) t",
                kind.compare.replace("$1", "$1::text")
            );
            let equal: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .bind(&shown)
                .bind(n)
                .fetch_one(world.source_pool())
                .await
                .unwrap_or_else(|error| panic!("{}: {error}: {shown:?}", kind.declared));
            assert!(equal, "{}: {:?} became {shown:?}", kind.declared, values[&n][at]);
            compared += 1;
        }
    }
    assert_eq!(compared, ROWS * kinds.len());
    world.assert_equal("t", ROWS as i64);
    world.reset_account().await;
    world.run_with("t", &["--full"]);
    assert_eq!(world.writes().await, Writes::NONE);
}
