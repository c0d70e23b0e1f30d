use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::identity::KeyColumn;
use crate::mapping::TitleRule;
use crate::policy::Direction;

fn field(pg_type: PgType, facet: Facet) -> FieldMapping {
    FieldMapping {
        column: "c".into(),
        pg_type,
        nullable: true,
        target: "C".into(),
        display_name: "c".into(),
        facet,
        direction: Direction::Both,
        passive: false,
        conflict: None,
        on_foreign_edit: None,
    }
}

const TEXT: Facet = Facet::Text { max_length: 255 };
const NUMBER: Facet = Facet::Number { decimals: None };

fn enumeration() -> PgType {
    PgType::Enum {
        name: "public.mood".into(),
        labels: vec!["good".into(), "bad".into()],
    }
}

fn other(name: &str) -> PgType {
    PgType::Other { name: name.into() }
}

fn choices() -> Vec<String> {
    vec!["good".into(), "bad".into()]
}

fn array(element: PgType) -> PgType {
    PgType::Array {
        element: Box::new(element),
        name: "text[]".into(),
    }
}

fn given(field: &FieldMapping, shown: Json) -> Result<Option<String>, Unwritable> {
    to_source(field, Tz::Europe__Berlin, &shown).map(|cell| cell.map(String::from))
}

fn text(field: &FieldMapping, shown: Json) -> String {
    given(field, shown).unwrap().unwrap()
}

#[test]
fn every_kind_of_value_gets_the_text_that_postgres_prints_for_it() {
    let numeric = PgType::Numeric {
        precision: Some(10),
        scale: Some(2),
    };
    let plain = PgType::Numeric {
        precision: None,
        scale: None,
    };
    assert_eq!(text(&field(PgType::Bool, Facet::Boolean), json!(true)), "true");
    assert_eq!(text(&field(PgType::Bool, TEXT), json!("false")), "false");
    assert_eq!(text(&field(PgType::Int4, NUMBER), json!(-5.0)), "-5");
    assert_eq!(text(&field(numeric.clone(), NUMBER), json!(1.5)), "1.50");
    assert_eq!(text(&field(numeric.clone(), NUMBER), json!(7)), "7.00");
    assert_eq!(
        text(&field(numeric, NUMBER), json!(1.255)),
        "1.255",
        "rounding is the column's"
    );
    assert_eq!(text(&field(plain, NUMBER), json!(1.5)), "1.5");
    assert_eq!(text(&field(PgType::Money, NUMBER), json!(3)), "3.00");
    assert_eq!(text(&field(PgType::Float8, NUMBER), json!(1e20)), "1e+20");
    assert_eq!(text(&field(PgType::Float8, NUMBER), json!(0.000_01)), "1e-05");
    assert_eq!(text(&field(PgType::Float8, NUMBER), json!(0.5)), "0.5");
    assert_eq!(
        text(&field(PgType::Char { length: Some(4) }, TEXT), json!("ab")),
        "ab  "
    );
    let uuid = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11";
    assert_eq!(
        text(&field(PgType::Uuid, TEXT), json!(uuid)),
        uuid,
        "the list is to get the small letters back"
    );
    assert_eq!(text(&field(PgType::Float4, NUMBER), json!(1_000_000)), "1e+06");
    assert_eq!(text(&field(PgType::Float4, NUMBER), json!(123_456.5)), "123456.5");
    let at = json!("2026-03-01T23:30:00Z");
    assert_eq!(
        text(&field(PgType::TimestampTz, Facet::DateTime), at.clone()),
        "2026-03-01 23:30:00+00"
    );
    assert_eq!(
        text(&field(PgType::Timestamp, Facet::DateTime), at.clone()),
        "2026-03-01 23:30:00"
    );
    assert_eq!(
        text(&field(PgType::Date, Facet::DateOnly), at),
        "2026-03-02",
        "the day where the site is"
    );
    let several = Facet::MultiChoice { choices: choices() };
    assert_eq!(
        text(&field(array(enumeration()), several), json!(["bad", "good"])),
        "{bad,good}"
    );
}

#[test]
fn what_the_column_cannot_hold_is_refused_by_name_before_postgres_is_asked() {
    let of = |pg_type, facet, shown| given(&field(pg_type, facet), shown).unwrap_err().code();
    assert_eq!(of(PgType::Int4, NUMBER, json!(1.5)), "pull.not_whole");
    assert_eq!(of(PgType::Int2, NUMBER, json!(40_000)), "pull.out_of_range");
    assert_eq!(of(PgType::Int8, NUMBER, json!(9.3e18)), "pull.out_of_range");
    assert_eq!(of(PgType::Int4, TEXT, json!("five")), "pull.not_of_type");
    assert_eq!(of(PgType::Uuid, TEXT, json!("x")), "pull.not_of_type");
    assert_eq!(
        of(PgType::Varchar { length: Some(2) }, TEXT, json!("äöü")),
        "pull.too_long"
    );
    assert_eq!(of(enumeration(), TEXT, json!("so so")), "pull.not_a_label");
    let several = Facet::MultiChoice { choices: choices() };
    assert_eq!(
        of(array(enumeration()), several, json!(["so so"])),
        "pull.not_a_label"
    );
    assert_eq!(of(PgType::Int4, NUMBER, json!("5")), "pull.wrong_kind");
    assert_eq!(of(PgType::Int2, TEXT, json!("40000")), "pull.out_of_range");
    assert_eq!(of(PgType::Int8, TEXT, json!("1.5")), "pull.not_whole");
    assert_eq!(of(PgType::Float4, NUMBER, json!(1e39)), "pull.out_of_range");
    assert_eq!(of(PgType::Float4, NUMBER, json!(1e-60)), "pull.out_of_range");
    let small = PgType::Numeric {
        precision: Some(4),
        scale: Some(2),
    };
    assert_eq!(of(small.clone(), NUMBER, json!(100)), "pull.out_of_range");
    assert_eq!(text(&field(small, NUMBER), json!(99.99)), "99.99");
    assert_eq!(of(PgType::Text, TEXT, json!("a\0b")), "pull.character");
    for (pg_type, typed) in [
        (PgType::Date, "tomorrow"),
        (PgType::Date, "01.02.2003"),
        (PgType::Date, "2023-02-29"),
        (PgType::Timestamp, "2024-02-29 12:00+02"),
        (PgType::TimestampTz, "noon"),
        (PgType::Money, "$5"),
        (other("bytea"), "hello"),
        (other("jsonb"), "{a: 1}"),
        (other("time without time zone"), "five"),
    ] {
        assert_eq!(
            of(pg_type, Facet::MultiLine, json!(typed)),
            "pull.not_of_type",
            "{typed}"
        );
    }
    assert_eq!(
        given(&field(PgType::Varchar { length: Some(3) }, TEXT), json!("äöü"))
            .unwrap()
            .unwrap(),
        "äöü"
    );
}

#[test]
fn c_06_clearing_a_cell_is_null_for_every_type_and_nothing_where_there_is_no_null() {
    let pairs = [
        (PgType::Bool, Facet::Boolean),
        (PgType::Int8, NUMBER),
        (PgType::Float4, NUMBER),
        (PgType::Text, Facet::MultiLine),
        (PgType::Varchar { length: Some(3) }, TEXT),
        (PgType::Char { length: Some(3) }, TEXT),
        (PgType::Uuid, TEXT),
        (PgType::Date, Facet::DateOnly),
        (PgType::Timestamp, Facet::DateTime),
        (PgType::TimestampTz, Facet::DateTime),
        (enumeration(), Facet::Choice { choices: choices() }),
        (array(PgType::Text), Facet::MultiChoice { choices: choices() }),
        (PgType::Other { name: "jsonb".into() }, Facet::MultiLine),
    ];
    for (pg_type, facet) in pairs {
        let mut field = field(pg_type, facet);
        assert_eq!(given(&field, Json::Null), Ok(None), "{:?}", field.pg_type);
        if matches!(field.facet, Facet::Text { .. } | Facet::MultiLine) {
            assert_eq!(given(&field, json!("")), Ok(None));
        }
        field.nullable = false;
        let empty = match field.pg_type {
            PgType::Text | PgType::Varchar { .. } => Some(String::new()),
            PgType::Char { .. } => Some("   ".to_owned()),
            PgType::Array { .. } => Some("{}".to_owned()),
            _ => None,
        };
        assert_eq!(given(&field, Json::Null), Ok(empty));
    }
}

#[test]
fn a_value_that_the_list_cuts_does_not_survive_and_one_that_is_only_spelt_otherwise_does() {
    let zone = Tz::UTC;
    let lives = |pg_type, facet, cell: &str| survives(&field(pg_type, facet), zone, &Some(cell.into()));
    let plain = PgType::Numeric {
        precision: None,
        scale: None,
    };
    assert!(lives(plain, NUMBER, "1.500"));
    assert!(lives(
        PgType::TimestampTz,
        Facet::DateTime,
        "2026-01-01 10:00:00+00"
    ));
    assert!(
        !lives(PgType::TimestampTz, Facet::DateTime, "2026-01-01 10:00:00.25+00"),
        "sub-seconds are lost"
    );
    assert!(
        !lives(PgType::Text, TEXT, &"x".repeat(300)),
        "the list would not even take it"
    );
    let several = || Facet::MultiChoice { choices: choices() };
    assert!(lives(array(PgType::Text), several(), "{good,bad}"));
    assert!(
        !lives(array(PgType::Text), several(), "{bad,good}"),
        "an array's order is lost"
    );
    assert!(!lives(array(PgType::Text), several(), "{good,good}"));
    assert!(survives(&field(PgType::Text, TEXT), zone, &None));
    assert!(lives(PgType::Text, TEXT, ""));
}

/// What a person types in another spelling goes as it was typed: PostgreSQL answers with its own, and the list gets it.
#[test]
fn what_is_typed_otherwise_than_it_is_printed_goes_as_it_was_typed() {
    let wide = PgType::Numeric {
        precision: Some(30),
        scale: Some(2),
    };
    let typed = [
        (PgType::Bool, "Yes"),
        (PgType::Int8, " +5"),
        (wide.clone(), "1.5"),
        (PgType::Date, "2024-2-9"),
        (PgType::Timestamp, "2024-02-29T12:00:00"),
        (PgType::TimestampTz, "2024-02-29 12:00+02:00"),
        (PgType::Float8, "1.50"),
        (other("bytea"), "\\xFF"),
        (other("interval"), "1 day"),
    ];
    for (pg_type, typed) in typed {
        assert_eq!(text(&field(pg_type, TEXT), json!(typed)), typed);
    }
    let printed = [
        (PgType::Bool, "true", "true"),
        (wide, "1.50", "1.50"),
        (PgType::Date, "infinity", "infinity"),
        (PgType::Date, "0044-03-15 BC", "0044-03-15 BC"),
        (
            PgType::Timestamp,
            "2024-02-29 12:00:00.5",
            "2024-02-29 12:00:00.5",
        ),
        (
            PgType::TimestampTz,
            "2024-02-29 12:00:00.5+00",
            "2024-02-29 12:00:00.5+00",
        ),
        (other("time without time zone"), "24:00:00", "24:00:00"),
        (other("json"), "{\"a\": 1e400}", "{\"a\": 1e400}"),
    ];
    for (pg_type, typed, printed) in printed {
        assert_eq!(text(&field(pg_type, TEXT), json!(typed)), printed);
    }
}

#[test]
fn a_key_is_told_only_where_postgres_would_print_no_other() {
    let of = |pg_type: PgType, facet: Facet, shown: Json| {
        let mapping = Mapping {
            key: vec![KeyColumn {
                name: "c".into(),
                pg_type: pg_type.clone(),
            }],
            fields: vec![field(pg_type, facet)],
            title: TitleRule::Key,
            time_zone: Tz::UTC,
        };
        let found = key_of_item(&mapping, Tz::UTC, &Fields::from([("C".to_owned(), shown)]))?;
        Some(found.texts().unwrap()[0].to_owned())
    };
    let numeric = |scale| PgType::Numeric {
        precision: Some(10),
        scale: Some(scale),
    };
    let key = |text: &str| Some(text.to_owned());
    assert_eq!(of(numeric(2), NUMBER, json!(1.5)), key("1.5"));
    assert_eq!(of(numeric(2), NUMBER, json!(1.255)), None, "it would be rounded");
    assert_eq!(of(numeric(-2), NUMBER, json!(150)), None);
    assert_eq!(of(PgType::Char { length: Some(4) }, TEXT, json!("ab")), key("ab"));
    assert_eq!(of(PgType::Int4, TEXT, json!(" 7")), key("7"));
    let uuid = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11";
    assert_eq!(of(PgType::Uuid, TEXT, json!(uuid)), Some(uuid.to_lowercase()));
    assert_eq!(of(PgType::Date, TEXT, json!("2024-2-9")), None);
    assert_eq!(of(PgType::Date, TEXT, json!("2024-02-09")), key("2024-02-09"));
    assert_eq!(
        of(
            PgType::TimestampTz,
            Facet::DateTime,
            json!("2024-02-09T10:00:00Z")
        ),
        key("2024-02-09 10:00:00+00")
    );
    assert_eq!(of(PgType::Float4, NUMBER, json!(0.1)), key("0.1"));
    assert_eq!(of(PgType::Float4, NUMBER, json!(0.123_456_789)), None);
    assert_eq!(of(PgType::Text, TEXT, json!(" ")), None);
    assert_eq!(of(other("inet"), TEXT, json!("10.0.0.1")), None);
    assert_eq!(of(PgType::Money, NUMBER, json!(1)), None);
}

#[test]
fn an_item_has_a_key_only_where_every_key_column_is_filled() {
    let key = |name: &str, pg_type| KeyColumn {
        name: name.into(),
        pg_type,
    };
    let mut code = field(PgType::Text, TEXT);
    code.column = "code".into();
    code.target = "Code".into();
    let mut number = field(PgType::Int4, NUMBER);
    number.column = "number".into();
    number.target = "Number".into();
    let mapping = Mapping {
        key: vec![key("code", PgType::Text), key("number", PgType::Int4)],
        fields: vec![code, number],
        title: TitleRule::Key,
        time_zone: Tz::UTC,
    };
    let of = |code: Json, number: Json| {
        let fields = Fields::from([("Code".to_owned(), code), ("Number".to_owned(), number)]);
        key_of_item(&mapping, Tz::UTC, &fields)
    };
    let raw = [Some("a"), Some("7")];
    assert_eq!(of(json!("a"), json!(7)), encode_key(&mapping.key, &raw).ok());
    assert_eq!(of(json!("a"), Json::Null), None);
    assert_eq!(of(json!(""), json!(7)), None);
    assert_eq!(of(json!("a"), json!(7.5)), None);
}

/// A value as PostgreSQL prints it, with a mapping that loses nothing of it.
fn lossless() -> impl Strategy<Value = (PgType, Facet, String)> {
    let numeric = |precision, scale| PgType::Numeric {
        precision: Some(precision),
        scale: Some(scale),
    };
    let seconds = -2_000_000_000i64..200_000_000_000;
    let moment = move |zone: &'static str| {
        (seconds.clone(), 0u32..1_000_000).prop_map(move |(seconds, micros)| {
            let at = DateTime::from_timestamp(seconds, micros * 1000).unwrap();
            let printed = at.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
            let printed = printed.trim_end_matches('0').trim_end_matches('.').to_owned();
            format!("{printed}{zone}")
        })
    };
    let of = |pg_type: PgType, facet: Facet| move |raw: String| (pg_type.clone(), facet.clone(), raw);
    let safe = -9_007_199_254_740_992i64..=9_007_199_254_740_992;
    let cents = |n: i64| {
        format!(
            "{}{}.{:02}",
            if n < 0 { "-" } else { "" },
            n.abs() / 100,
            n.abs() % 100
        )
    };
    prop_oneof![
        any::<bool>()
            .prop_map(|b| b.to_string())
            .prop_map(of(PgType::Bool, Facet::Boolean)),
        any::<bool>()
            .prop_map(|b| b.to_string())
            .prop_map(of(PgType::Bool, TEXT)),
        any::<i16>()
            .prop_map(|n| n.to_string())
            .prop_map(of(PgType::Int2, NUMBER)),
        safe.prop_map(|n| n.to_string())
            .prop_map(of(PgType::Int8, NUMBER)),
        any::<i64>()
            .prop_map(|n| n.to_string())
            .prop_map(of(PgType::Int8, TEXT)),
        any::<f64>()
            .prop_filter("finite", |n| n.is_finite() && *n != 0.0)
            .prop_map(|n| float_text(n, 15))
            .prop_map(of(PgType::Float8, NUMBER)),
        any::<i32>()
            .prop_map(|n| float_text(f64::from(n % 1_000_000) / 8.0, 6))
            .prop_map(of(PgType::Float4, NUMBER)),
        (-9_999_999_999_999i64..=9_999_999_999_999)
            .prop_map(cents)
            .prop_map(of(numeric(15, 2), NUMBER)),
        any::<i64>()
            .prop_map(move |n| cents(n / 2))
            .prop_map(of(numeric(30, 2), TEXT)),
        (-9_999_999_999_999i64..=9_999_999_999_999)
            .prop_map(cents)
            .prop_map(of(PgType::Money, NUMBER)),
        "[ -~äöü😀]{1,20}".prop_map(of(PgType::Varchar { length: Some(20) }, TEXT)),
        "[!-~äöü]{1,7}"
            .prop_map(|text| format!("{text:7}"))
            .prop_map(of(PgType::Char { length: Some(7) }, TEXT)),
        "[ -~äöü\n\t😀]{1,80}".prop_map(of(PgType::Text, Facet::MultiLine)),
        any::<u128>()
            .prop_map(|n| uuid::Uuid::from_u128(n).to_string())
            .prop_map(of(PgType::Uuid, TEXT)),
        moment("").prop_map(of(PgType::Timestamp, TEXT)),
        moment("+00").prop_map(of(PgType::TimestampTz, TEXT)),
        proptest::sample::select(choices()).prop_map(of(enumeration(), Facet::Choice { choices: choices() })),
        proptest::collection::vec("[ -~\n]{0,8}", 0..5)
            .prop_map(|texts| literal(texts.iter().map(String::as_str)))
            .prop_map(of(array(PgType::Text), Facet::MultiLine)),
        proptest::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| bytes
                .iter()
                .fold("\\x".to_owned(), |all, byte| format!("{all}{byte:02x}")))
            .prop_map(of(other("bytea"), Facet::MultiLine)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_a_lossless_mapping_shows_comes_back_as_postgres_prints_it((pg_type, facet, raw) in lossless()) {
        let field = field(pg_type, facet);
        let cell: Cell = Some(raw.as_str().into());
        let shown = to_target(&field, Tz::Europe__Berlin, &cell).unwrap().to_json();
        let back = to_source(&field, Tz::Europe__Berlin, &shown).unwrap();
        prop_assert_eq!(&back, &cell, "{:?}", field.pg_type);
        prop_assert!(survives(&field, Tz::Europe__Berlin, &cell));
    }

    #[test]
    fn a_moment_survives_a_list_exactly_where_it_has_no_fraction(
        seconds in -2_000_000_000i64..200_000_000_000, micros in 0u32..3,
    ) {
        let at = DateTime::from_timestamp(seconds, micros * 1000).unwrap();
        let raw = if micros == 0 { at.format("%Y-%m-%d %H:%M:%S").to_string() } else { at.format("%Y-%m-%d %H:%M:%S%.6f").to_string() };
        for (pg_type, zone) in [(PgType::Timestamp, ""), (PgType::TimestampTz, "+00")] {
            let field = field(pg_type, Facet::DateTime);
            prop_assert_eq!(survives(&field, Tz::UTC, &Some(format!("{raw}{zone}").into())), micros == 0);
        }
    }

    #[test]
    fn several_choices_survive_exactly_in_the_order_of_the_choices_and_once(
        texts in proptest::collection::vec(proptest::sample::select(choices()), 1..4),
    ) {
        let field = field(array(PgType::Text), Facet::MultiChoice { choices: choices() });
        let raw = literal(texts.iter().map(String::as_str));
        let mut ordered = choices();
        ordered.retain(|choice| texts.contains(choice));
        prop_assert_eq!(survives(&field, Tz::UTC, &Some(raw.into())), ordered == texts);
    }

    #[test]
    fn no_json_whatever_makes_it_stumble(text in ".{0,40}", number in any::<f64>()) {
        let types = [PgType::Bool, PgType::Int2, PgType::Float4, PgType::Money, PgType::Uuid, PgType::Date,
            PgType::TimestampTz, other("bytea"), other("jsonb"), array(PgType::Text), enumeration()];
        for pg_type in types {
            for facet in [TEXT, NUMBER, Facet::DateOnly, Facet::MultiChoice { choices: choices() }] {
                let field = field(pg_type.clone(), facet);
                for shown in [json!(text), json!([text]), json!(number)] {
                    let _ = to_source(&field, Tz::Pacific__Apia, &shown);
                }
            }
        }
    }

    #[test]
    fn whole_numbers_come_back_as_they_went(n in any::<i32>()) {
        let field = field(PgType::Int4, NUMBER);
        prop_assert!(survives(&field, Tz::UTC, &Some(n.to_string().into())));
    }

    #[test]
    fn decimals_within_a_double_come_back_as_they_went(n in -1_000_000_000i64..1_000_000_000, scale in 0u16..4) {
        let digits = n.unsigned_abs();
        let power = 10u64.pow(u32::from(scale));
        let sign = if n < 0 { "-" } else { "" };
        let text = if scale == 0 { n.to_string() } else {
            format!("{sign}{}.{:0width$}", digits / power, digits % power, width = usize::from(scale))
        };
        let pg_type = PgType::Numeric { precision: Some(15), scale: i16::try_from(scale).ok() };
        let field = field(pg_type, NUMBER);
        let back = to_source(&field, Tz::UTC, &to_target(&field, Tz::UTC, &Some(text.as_str().into())).unwrap().to_json()).unwrap();
        if n != 0 { prop_assert_eq!(back.as_deref(), Some(text.as_str())); }
    }

    #[test]
    fn texts_come_back_as_they_went(text in "[ -~äöü\n]{0,80}") {
        let field = field(PgType::Text, Facet::MultiLine);
        prop_assert!(survives(&field, Tz::UTC, &Some(text.as_str().into())));
        let back = to_source(&field, Tz::UTC, &json!(text)).unwrap();
        prop_assert_eq!(back.as_deref().unwrap_or_default(), text.as_str());
    }

    #[test]
    fn array_texts_are_read_back_as_written(texts in proptest::collection::vec("[ -~\n]{0,8}", 0..5)) {
        let written = literal(texts.iter().map(String::as_str));
        let read: Vec<String> = elements(&written).unwrap().into_iter().map(Option::unwrap).collect();
        prop_assert_eq!(read, texts);
    }

    #[test]
    fn days_come_back_in_any_zone(days in 0i64..200_000) {
        let day = chrono::NaiveDate::from_ymd_opt(1950, 1, 1).unwrap() + chrono::Days::new(u64::try_from(days).unwrap());
        let field = field(PgType::Date, Facet::DateOnly);
        for zone in [Tz::UTC, Tz::Europe__Berlin, Tz::America__Sao_Paulo, Tz::Pacific__Auckland] {
            let cell = Some(day.to_string().into());
            prop_assert!(survives(&field, zone, &cell), "{day} in {zone}");
        }
    }
}
