//! Every type of PostgreSQL goes out and is read back by a client of its own: each cell is what docs/types.md says.
//!
//! Expected forms are written out here by hand; nothing of the product computes them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

use crate::plain_reader::Reader;

/// What a cell becomes.
enum Becomes {
    Shows(Json),
    Empty,
    Refused(&'static str),
}

use Becomes::{Empty, Refused};

fn shows(json: impl Into<Json>) -> Becomes {
    Becomes::Shows(json.into())
}

/// A column: its type, what the definition says of it, and values in SQL with what they become.
struct Column {
    declared: &'static str,
    kind: Option<Json>,
    cases: Vec<(String, Becomes)>,
}

fn column<const N: usize>(declared: &'static str, cases: [(&str, Becomes); N]) -> Column {
    Column {
        declared,
        kind: None,
        cases: cases
            .into_iter()
            .map(|(sql, becomes)| (sql.to_owned(), becomes))
            .collect(),
    }
}

fn column_as<const N: usize>(declared: &'static str, kind: Json, cases: [(&str, Becomes); N]) -> Column {
    Column {
        kind: Some(kind),
        ..column(declared, cases)
    }
}

const TYPES: &str = "
    create extension if not exists hstore; create extension if not exists citext;
    create extension if not exists ltree;
    create type e as enum ('idea', 'In Arbeit', 'done, really');
    create type odd as enum ('', 'x');
    create type pair as (a int, b text, c date);
    create domain short as varchar(9) check (value <> 'no');
    create domain shorter as short;
    create domain counted as int;
    create domain state as e;
    create domain states as e[];
    create domain word as text;";

fn numbers() -> Vec<Column> {
    vec![
        column("boolean", [("true", shows(true)), ("false", shows(false))]),
        column("smallint", [("-32768", shows(-32768)), ("32767", shows(32767))]),
        column(
            "integer",
            [
                ("-2147483648", shows(-2_147_483_648_i64)),
                ("2147483647", shows(2_147_483_647_i64)),
                ("0", shows(0)),
            ],
        ),
        column(
            "bigint",
            [
                ("9007199254740992", shows(9_007_199_254_740_992_i64)),
                ("-9007199254740992", shows(-9_007_199_254_740_992_i64)),
                ("9007199254740993", Refused("value.imprecise")),
                ("'-9223372036854775808'", Refused("value.imprecise")),
            ],
        ),
        column_as(
            "bigint",
            json!("text"),
            [("9223372036854775807", shows("9223372036854775807"))],
        ),
        column(
            "real",
            [
                ("0.1", shows(0.1)),
                ("'1e-45'", shows(1e-45)),
                ("'3.4028235e38'", shows(3.4028235e38)),
                ("'-0'", shows(0)),
                ("'NaN'", Refused("value.not_finite")),
                ("'Infinity'", Refused("value.not_finite")),
            ],
        ),
        column(
            "double precision",
            [
                ("0.1", shows(0.1)),
                ("'5e-324'", shows(5e-324)),
                ("'1.7976931348623157e308'", shows(f64::MAX)),
                ("'-2.2250738585072011e-308'", shows(-2.225_073_858_507_201e-308)),
                ("'-0'", shows(0)),
                ("'NaN'", Refused("value.not_finite")),
                ("'-Infinity'", Refused("value.not_finite")),
            ],
        ),
        column_as(
            "double precision",
            json!("text"),
            [
                ("'NaN'", shows("NaN")),
                ("'-0'", shows("-0")),
                ("'Infinity'", shows("Infinity")),
            ],
        ),
        column(
            "numeric(14,2)",
            [
                ("1234.50", shows(1234.5)),
                ("-0.01", shows(-0.01)),
                ("999999999999.99", shows(999_999_999_999.99)),
                ("'NaN'", Refused("value.not_finite")),
            ],
        ),
        column("numeric(3,-2)", [("12345", shows(12_300))]),
        column(
            "numeric",
            [
                (
                    "123456789012345678901234567890.10",
                    shows("123456789012345678901234567890.10"),
                ),
                ("0.000", shows("0.000")),
                ("'NaN'", shows("NaN")),
                ("'-Infinity'", shows("-Infinity")),
                ("('1' || repeat('0', 255))::numeric", Refused("value.too_long")),
            ],
        ),
        column_as(
            "numeric",
            json!("multiline"),
            [(
                "('1' || repeat('0', 255))::numeric",
                shows(format!("1{}", "0".repeat(255))),
            )],
        ),
        column_as(
            "numeric",
            json!({"kind": "number", "decimals": 2}),
            [
                ("0.10", shows(0.1)),
                ("1234567890123.4567", Refused("value.imprecise")),
                ("12345678901234567890.12", Refused("value.imprecise")),
                ("1e400::numeric", Refused("value.imprecise")),
            ],
        ),
        column(
            "money",
            [
                ("1234.5::numeric::money", shows(1234.5)),
                ("(-0.01)::numeric::money", shows(-0.01)),
                ("92233720368547758.07::numeric::money", Refused("value.imprecise")),
            ],
        ),
        column_as(
            "money",
            json!("text"),
            [(
                "92233720368547758.07::numeric::money",
                shows("92233720368547758.07"),
            )],
        ),
        column("oid", [("'4294967295'", shows("4294967295"))]),
        column("counted", [("7", shows(7))]),
    ]
}

fn texts() -> Vec<Column> {
    vec![
        column(
            "char(5)",
            [
                ("'ab'", shows("ab")),
                ("''", Empty),
                ("'😀😀'", shows("😀😀")),
                ("'😀😀😀'", Refused("value.too_long")),
            ],
        ),
        column(
            "varchar(255)",
            [
                ("repeat('ß', 255)", shows("ß".repeat(255))),
                (
                    "repeat('😀', 127) || 'a'",
                    shows(format!("{}a", "😀".repeat(127))),
                ),
                ("repeat('😀', 128)", Refused("value.too_long")),
                ("'  around  '", shows("  around  ")),
                ("''", Empty),
                ("'   '", shows("   ")),
                ("E'\\u05e9\\u05dc\\u05d5\\u05dd\\u200f'", shows("שלום\u{200f}")),
                (
                    "E'e\\u0301\\u200b\\ufeffx\\U000e0001'",
                    shows("e\u{301}\u{200b}\u{feff}x\u{e0001}"),
                ),
                (
                    "'it''s \"quoted\" \\ back; -- `x`'",
                    shows("it's \"quoted\" \\ back; -- `x`"),
                ),
            ],
        ),
        column("varchar(300)", [("repeat('x', 256)", shows("x".repeat(256)))]),
        column(
            "text",
            [
                ("E'a\\nb\\r\\n\\tc\\n'", shows("a\nb\r\n\tc\n")),
                ("'<b>&amp;</b> 日本 👩‍👩‍👧'", shows("<b>&amp;</b> 日本 👩‍👩‍👧")),
                ("repeat('x', 63999)", shows("x".repeat(63_999))),
                (
                    "repeat('😀', 31999) || 'x'",
                    shows(format!("{}x", "😀".repeat(31_999))),
                ),
                ("repeat('x', 64000)", Refused("value.too_long")),
                ("repeat('x', 1000000)", Refused("value.too_long")),
                ("E'a\\x01b'", Refused("value.control_character")),
                ("'a' || chr(65535)", Refused("value.control_character")),
                ("E'\\x7f' || chr(133)", shows("\u{7f}\u{85}")),
                ("''", Empty),
                ("'null'", shows("null")),
            ],
        ),
        column_as(
            "text",
            json!("text"),
            [
                ("repeat('x', 255)", shows("x".repeat(255))),
                ("repeat('x', 256)", Refused("value.too_long")),
            ],
        ),
        column_as(
            "text",
            json!({"kind": "choice", "choices": ["red", "green"]}),
            [
                ("'red'", shows("red")),
                ("'Red'", Refused("value.not_a_choice")),
                ("''", Empty),
            ],
        ),
        column("name", [("'pg_class'", shows("pg_class"))]),
        column("\"char\"", [("'x'", shows("x"))]),
        column(
            "uuid",
            [(
                "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
                shows("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            )],
        ),
        column("shorter", [("'yes'", shows("yes"))]),
        column("word", [("'ja'", shows("ja")), ("''", Empty)]),
        column("citext", [("'MiXed'", shows("MiXed"))]),
        column(
            "bytea",
            [
                ("'\\x00ff'", shows("\\x00ff")),
                ("''", shows("\\x")),
                (
                    "decode(repeat('ab', 31998), 'hex')",
                    shows(format!("\\x{}", "ab".repeat(31_998))),
                ),
                ("decode(repeat('ab', 31999), 'hex')", Refused("value.too_long")),
            ],
        ),
        column(
            "json",
            [("'{\"b\" : [1,  null]}'", shows("{\"b\" : [1,  null]}"))],
        ),
        column(
            "jsonb",
            [(
                "'{\"b\" : [1,  null], \"a\": \"é\"}'",
                shows("{\"a\": \"é\", \"b\": [1, null]}"),
            )],
        ),
        column("xml", [("'<a b=\"1\">é</a>'::xml", shows("<a b=\"1\">é</a>"))]),
    ]
}

fn times() -> Vec<Column> {
    vec![
        column(
            "date",
            [
                ("'2024-02-29'", shows("2024-02-28T23:00:00Z")),
                ("'2024-07-01'", shows("2024-06-30T22:00:00Z")),
                ("'2024-03-31'", shows("2024-03-30T23:00:00Z")),
                ("'2024-04-01'", shows("2024-03-31T22:00:00Z")),
                ("'2024-10-27'", shows("2024-10-26T22:00:00Z")),
                ("'2024-10-28'", shows("2024-10-27T23:00:00Z")),
                ("'1945-06-01'", shows("1945-05-31T21:00:00Z")),
                ("'1900-01-01'", shows("1899-12-31T23:00:00Z")),
                ("'8900-12-31'", shows("8900-12-30T23:00:00Z")),
                ("'1899-12-31'", Refused("value.date_range")),
                ("'8901-01-01'", Refused("value.date_range")),
                ("'infinity'", Refused("value.date_range")),
                ("'0044-03-15 BC'", Refused("value.date_range")),
            ],
        ),
        column_as(
            "date",
            json!("text"),
            [
                ("'0044-03-15 BC'", shows("0044-03-15 BC")),
                ("'-infinity'", shows("-infinity")),
                ("'12024-01-01'", shows("12024-01-01")),
            ],
        ),
        column(
            "timestamp",
            [
                ("'2024-02-29 12:00:00.987654'", shows("2024-02-29T12:00:00Z")),
                ("'1900-01-01'", shows("1900-01-01T00:00:00Z")),
                ("'1899-12-31 23:59:59'", Refused("value.date_range")),
                ("'infinity'", Refused("value.date_range")),
            ],
        ),
        column(
            "timestamptz",
            [
                ("'2024-03-31 02:30:00+01'", shows("2024-03-31T01:30:00Z")),
                ("'2024-10-27 02:30:00.999999+02'", shows("2024-10-27T00:30:00Z")),
                ("'8900-12-31 23:59:59+00'", shows("8900-12-31T23:59:59Z")),
                ("'-infinity'", Refused("value.date_range")),
                ("'4713-01-01 00:00 BC'", Refused("value.date_range")),
            ],
        ),
        column_as(
            "timestamptz",
            json!("text"),
            [("'2024-03-31 02:30:00.5+01'", shows("2024-03-31 01:30:00.5+00"))],
        ),
        column(
            "time",
            [
                ("'24:00'", shows("24:00:00")),
                ("'12:34:56.789012'", shows("12:34:56.789012")),
            ],
        ),
        column("timetz", [("'04:05:06.789-08'", shows("04:05:06.789-08"))]),
        column(
            "interval",
            [
                ("'1 year 2 mons -3 days 04:05:06.7'", shows("P1Y2M-3DT4H5M6.7S")),
                ("'0'", shows("PT0S")),
                ("'-00:00:01.5'", shows("PT-1.5S")),
            ],
        ),
        column(
            "daterange",
            [("'[2024-01-01,infinity)'", shows("[2024-01-01,infinity)"))],
        ),
        column(
            "tsrange",
            [(
                "'[2024-01-01,2024-01-02 01:02:03.5)'",
                shows("[\"2024-01-01 00:00:00\",\"2024-01-02 01:02:03.5\")"),
            )],
        ),
        column(
            "tstzrange",
            [("'(,2024-01-01 00:00+02]'", shows("(,\"2023-12-31 22:00:00+00\"]"))],
        ),
    ]
}

fn lists() -> Vec<Column> {
    vec![
        column(
            "e",
            [
                ("'idea'", shows("idea")),
                ("'In Arbeit'", shows("In Arbeit")),
                ("'done, really'", shows("done, really")),
            ],
        ),
        column("odd", [("'x'", shows("x")), ("''", Empty)]),
        column("state", [("'idea'", shows("idea"))]),
        column(
            "e[]",
            [
                (
                    "array['done, really', 'idea', 'idea']::e[]",
                    shows(json!(["idea", "done, really"])),
                ),
                ("'{}'", Empty),
                ("array['idea', null]::e[]", Refused("value.array_shape")),
                (
                    "array[array['idea'], array['In Arbeit']]::e[]",
                    Refused("value.array_shape"),
                ),
            ],
        ),
        column(
            "states",
            [("array['In Arbeit']::e[]", shows(json!(["In Arbeit"])))],
        ),
        column_as(
            "e[]",
            json!("multiline"),
            [(
                "array['done, really', null]::e[]",
                shows("{\"done, really\",NULL}"),
            )],
        ),
        column(
            "text[]",
            [
                (
                    "array['a', 'b c', null, '', 'NULL', '\"']",
                    shows("{a,\"b c\",NULL,\"\",\"NULL\",\"\\\"\"}"),
                ),
                ("array[array['a', 'b'], array['c', 'd']]", shows("{{a,b},{c,d}}")),
                ("'[0:1]={a,b}'", shows("[0:1]={a,b}")),
                ("'{}'", shows("{}")),
            ],
        ),
        column_as(
            "text[]",
            json!({"kind": "multichoice", "choices": ["x", "y", "z, z"]}),
            [
                ("array['z, z', 'x']", shows(json!(["x", "z, z"]))),
                ("'[5:5]={y}'", shows(json!(["y"]))),
                ("'{}'", Empty),
                ("array['w']", Refused("value.not_a_choice")),
            ],
        ),
        column("integer[]", [("array[1, 2, null]", shows("{1,2,NULL}"))]),
        column("numeric(5,1)[]", [("array[1.5]", shows("{1.5}"))]),
        column("int2vector", [("'1 2'", shows("1 2"))]),
        column(
            "hstore",
            [
                ("'a=>1, b=>NULL'", shows("\"a\"=>\"1\", \"b\"=>NULL")),
                ("''", Empty),
            ],
        ),
        column("pair", [("row(1, 'a b', null)", shows("(1,\"a b\",)"))]),
        column(
            "pair[]",
            [("array[row(1, 'a', null)::pair]", shows("{\"(1,a,)\"}"))],
        ),
    ]
}

fn others() -> Vec<Column> {
    vec![
        column(
            "inet",
            [
                ("'192.168.0.1'", shows("192.168.0.1/32")),
                ("'::1'", shows("::1/128")),
                ("'10.1.2.3/8'", shows("10.1.2.3/8")),
            ],
        ),
        column("cidr", [("'10.0.0.0/8'", shows("10.0.0.0/8"))]),
        column("macaddr", [("'08002b:010203'", shows("08:00:2b:01:02:03"))]),
        column(
            "macaddr8",
            [("'08002b0102030405'", shows("08:00:2b:01:02:03:04:05"))],
        ),
        column("bit(4)", [("B'0101'", shows("0101"))]),
        column("varbit", [("B'1'", shows("1")), ("B''", Empty)]),
        column(
            "int4range",
            [("'[1,10)'", shows("[1,10)")), ("'empty'", shows("empty"))],
        ),
        column("int8range", [("'[1,)'", shows("[1,)"))]),
        column("numrange", [("'[1.5,)'", shows("[1.5,)"))]),
        column("int4multirange", [("'{[1,2),[5,7)}'", shows("{[1,2),[5,7)}"))]),
        column("tsvector", [("'b:2 a:1'", shows("'a':1 'b':2"))]),
        column("tsquery", [("'a & b'", shows("'a' & 'b'"))]),
        column("ltree", [("'Top.Science'", shows("Top.Science"))]),
        column(
            "regclass",
            [
                ("'pg_catalog.pg_class'", shows("pg_class")),
                ("'public.t'", shows("public.t")),
            ],
        ),
        column("regtype", [("'int'", shows("integer"))]),
        column("pg_lsn", [("'16/B374D848'", shows("16/B374D848"))]),
        column("xid", [("'42'", shows("42"))]),
        column(
            "xid8",
            [("'18446744073709551615'", shows("18446744073709551615"))],
        ),
        column("cid", [("'7'", shows("7"))]),
        column("tid", [("'(1,2)'", shows("(1,2)"))]),
        column("pg_snapshot", [("'10:20:10,14'", shows("10:20:10,14"))]),
        column("point", [("'(1.5,-2)'", shows("(1.5,-2)"))]),
        column("line", [("'{1,2,3}'", shows("{1,2,3}"))]),
        column("lseg", [("'[(0,0),(1,1)]'", shows("[(0,0),(1,1)]"))]),
        column("box", [("'(1,1),(0,0)'", shows("(1,1),(0,0)"))]),
        column("path", [("'[(0,0),(1,1)]'", shows("[(0,0),(1,1)]"))]),
        column("polygon", [("'((0,0),(1,1))'", shows("((0,0),(1,1))"))]),
        column("circle", [("'<(1,2),3>'", shows("<(1,2),3>"))]),
        column(
            "box[]",
            [("'{(1,1),(0,0);(2,2),(0,0)}'", shows("{(1,1),(0,0);(2,2),(0,0)}"))],
        ),
    ]
}

/// One value and not another: numbers by value, everything else to the letter.
fn same(shown: &Json, expected: &Json) -> bool {
    match (shown, expected) {
        (Json::Number(a), Json::Number(b)) => {
            a.as_f64().map(f64::to_bits) == b.as_f64().map(|b| (b + 0.0).to_bits())
        }
        (a, b) => a == b,
    }
}

/// A text for a message, cut.
fn brief(json: &Json) -> String {
    json.to_string().chars().take(120).collect()
}

/// A definition that gives no time zone.
fn without_time_zone(definition: &str) -> String {
    let mut json: Json = serde_json::from_str(definition).expect("JSON");
    json["spec"]["target"]
        .as_object_mut()
        .expect("a target")
        .remove("timeZone");
    json.to_string()
}

fn assert_no_cells(items: &BTreeMap<i64, Json>) {
    for (number, fields) in items {
        let fields = fields.as_object().expect("fields");
        let left: Vec<&String> = fields
            .keys()
            .filter(|name| {
                name.strip_prefix('C')
                    .is_some_and(|rest| rest.parse::<u32>().is_ok())
            })
            .collect();
        assert!(left.is_empty(), "row {number} still shows {left:?}");
    }
}

#[tokio::test]
async fn b_01_every_type_and_ugly_value_arrives_in_its_documented_form_and_can_be_cleared() {
    let world = World::new().await;
    let columns: Vec<Column> = [numbers(), texts(), times(), lists(), others()]
        .into_iter()
        .flatten()
        .collect();
    world.sql(TYPES).await;
    let declared: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("c{at} {}", column.declared))
        .collect();
    world
        .sql(&format!(
            "create table t (n int primary key, {})",
            declared.join(", ")
        ))
        .await;
    let mut expected: BTreeMap<i64, (String, String, &Becomes)> = BTreeMap::new();
    let mut inserts = String::new();
    for (at, column) in columns.iter().enumerate() {
        for (sql, becomes) in &column.cases {
            let n = expected.len() as i64 + 1;
            inserts.push_str(&format!("insert into t (n, c{at}) values ({n}, {sql});\n"));
            let brief: String = sql.chars().take(60).collect();
            expected.insert(
                n,
                (format!("C{at}"), format!("{} {brief}", column.declared), becomes),
            );
        }
    }
    world.sql(&inserts).await;
    world.sql("create table kept as table t").await;
    let fields: Vec<Json> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let mut field = json!({"column": format!("c{at}"), "name": format!("C{at}")});
            if let Some(kind) = &column.kind {
                field["type"] = kind.clone();
            }
            field
        })
        .collect();
    let mut all = vec![json!({"column": "n", "name": "N"})];
    all.extend(fields);
    let definition = world.definition("t", "public.t", json!({"fields": all}));
    world.apply(&without_time_zone(&definition)).ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");

    let reader = Reader::of(&world).await;
    check(&world, &reader, &expected).await;
    // Nothing changed: nothing is written, and both sides are equal but for what waits in quarantine.
    world.reset_account().await;
    world.run("t");
    assert_eq!(world.writes().await, Writes::NONE);
    let refused = expected
        .values()
        .filter(|(_, _, becomes)| matches!(becomes, Refused(_)))
        .count() as u64;
    let found = world.verify("t");
    assert_eq!(found["differing"], 0, "{found:#}");
    assert_eq!(found["missing"], refused, "{found:#}");
    assert_eq!(found["explained"], refused, "{found:#}");

    // Every cell can be cleared; rows that were refused come without what was refused.
    let sets = |value: &dyn Fn(usize) -> String| {
        (0..columns.len())
            .map(|at| format!("c{at} = {}", value(at)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    world
        .sql(&format!("update t set {}", sets(&|_| "null".to_owned())))
        .await;
    let report = world.run_with("t", &["--full"]);
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    let items = reader.items("t").await;
    assert_eq!(items.len(), expected.len());
    assert_no_cells(&items);
    world.assert_equal("t", expected.len() as i64);

    // And filled again, now in items that are there.
    world
        .sql(&format!(
            "update t set {} from kept where kept.n = t.n",
            sets(&|at| format!("kept.c{at}"))
        ))
        .await;
    world.run_with("t", &["--full"]);
    check_values(&reader.items("t").await, &expected, true);
    world.reset_account().await;
    world.run("t");
    assert_eq!(world.writes().await, Writes::NONE);
}

async fn check(world: &World, reader: &Reader<'_>, expected: &BTreeMap<i64, (String, String, &Becomes)>) {
    let listed = world
        .command(&["quarantine", "list", "t", "--limit", "500", "-o", "json"])
        .json();
    let quarantine: BTreeMap<i64, &Json> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            (
                entry["key"][0]
                    .as_str()
                    .expect("a key")
                    .parse()
                    .expect("a number"),
                entry,
            )
        })
        .collect();
    check_values(&reader.items("t").await, expected, false);
    for (n, (column, case, becomes)) in expected {
        let entry = quarantine.get(n);
        let Refused(code) = becomes else {
            assert!(entry.is_none(), "{case}: {:#}", entry.unwrap());
            continue;
        };
        let entry = entry.unwrap_or_else(|| panic!("{case} is not in quarantine"));
        assert_eq!(entry["code"], *code, "{case}: {entry:#}");
        assert_eq!(entry["column"], column.to_lowercase(), "{case}: {entry:#}");
        for said in ["cause", "fix"] {
            assert!(
                entry[said].as_str().is_some_and(|text| !text.is_empty()),
                "{case}: {entry:#}"
            );
        }
    }
}

/// `there`: items of refused rows are there from before and show nothing.
fn check_values(
    items: &BTreeMap<i64, Json>,
    expected: &BTreeMap<i64, (String, String, &Becomes)>,
    there: bool,
) {
    let mut wrong = Vec::new();
    for (n, (column, case, becomes)) in expected {
        let shown = items.get(n).map(|fields| fields.get(column));
        let right = match (becomes, shown) {
            (Becomes::Shows(json), Some(Some(shown))) => same(shown, json),
            (Empty, Some(None)) => true,
            (Refused(_), None) => !there,
            (Refused(_), Some(None)) => there,
            _ => false,
        };
        if !right {
            wrong.push(match (becomes, shown) {
                (Becomes::Shows(json), Some(Some(shown))) => {
                    format!("{case}: {} instead of {}", brief(shown), brief(json))
                }
                (_, None) => format!("{case}: no item"),
                (_, Some(shown)) => format!(
                    "{case}: shows {}",
                    shown.map_or_else(|| "nothing".to_owned(), brief)
                ),
            });
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        expected.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn b_01_a_kind_that_a_type_cannot_fill_is_refused_when_it_is_applied() {
    let world = World::new().await;
    world
        .sql("create table t (n int primary key, u uuid, a text[])")
        .await;
    for (field, said) in [
        (
            json!({"column": "u", "type": "number"}),
            "`text`, `multiline`, `choice`",
        ),
        (
            json!({"column": "u", "type": "date"}),
            "`text`, `multiline`, `choice`",
        ),
        (json!({"column": "a", "type": "multichoice"}), "choices"),
        (
            json!({"column": "n", "type": {"kind": "multichoice", "choices": ["a"]}}),
            "`number`",
        ),
    ] {
        let ran = world.apply(&world.definition("t", "public.t", json!({"fields": [field]})));
        assert_eq!(ran.code(), 1, "{}", ran.out());
        assert!(
            ran.err().contains(said) && ran.err().contains("manifest.mapping"),
            "{}",
            ran.err()
        );
    }
}
