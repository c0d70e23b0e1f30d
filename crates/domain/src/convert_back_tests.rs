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
    assert_eq!(text(&field(PgType::Bool, TEXT), json!("False")), "false");
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
    assert_eq!(text(&field(PgType::Uuid, TEXT), json!(uuid)), uuid.to_lowercase());
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

proptest! {
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
