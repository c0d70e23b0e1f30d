use super::*;
use crate::policy::Direction;

fn field(pg_type: PgType, facet: Facet) -> FieldMapping {
    FieldMapping {
        column: "c".into(),
        pg_type,
        nullable: true,
        target: "C".into(),
        display_name: "C".into(),
        facet,
        direction: Direction::Push,
        passive: false,
        conflict: None,
        on_foreign_edit: None,
    }
}

fn convert(pg_type: PgType, facet: Facet, raw: &str) -> Result<String, Unconvertible> {
    to_target(
        &field(pg_type, facet),
        chrono_tz::Europe::Berlin,
        &Some(raw.into()),
    )
    .map(|v| v.to_json().to_string())
}

fn numeric() -> PgType {
    PgType::Numeric {
        precision: Some(14),
        scale: Some(2),
    }
}

fn array() -> PgType {
    PgType::Array {
        element: Box::new(PgType::Text),
        name: "text[]".into(),
    }
}

fn several() -> Facet {
    Facet::MultiChoice {
        choices: ["c", "b", "a"].map(Into::into).into(),
    }
}

const NUMBER: Facet = Facet::Number { decimals: None };

#[test]
fn each_type_becomes_its_documented_form() {
    let cases = [
        (PgType::Bool, Facet::Boolean, "t", "true"),
        (PgType::Int4, NUMBER, "-7", "-7"),
        (PgType::Int8, NUMBER, "9007199254740992", "9007199254740992"),
        (numeric(), NUMBER, "1234.50", "1234.5"),
        (numeric(), NUMBER, "10.00", "10"),
        (numeric(), NUMBER, "123456789012345", "123456789012345"),
        (numeric(), NUMBER, "0.1234567890123456", "0.1234567890123456"),
        (numeric(), NUMBER, "-0.00", "0"),
        (PgType::Float8, NUMBER, "5e-324", "5e-324"),
        (
            PgType::Float8,
            NUMBER,
            "-1.7976931348623157e+308",
            "-1.7976931348623157e+308",
        ),
        (PgType::Money, NUMBER, "-1234.50", "-1234.5"),
        (array(), several(), "{a,c,a}", "[\"c\",\"a\"]"),
        (array(), several(), "{}", "[]"),
        (PgType::Text, Facet::MultiLine, "", "null"),
        (PgType::Char { length: Some(4) }, Facet::MultiLine, "    ", "null"),
        (PgType::Text, Facet::MultiLine, "\u{7f}\u{85}", "\"\u{7f}\u{85}\""),
        (PgType::Bool, Facet::MultiLine, "f", "\"false\""),
        (
            PgType::Date,
            Facet::DateOnly,
            "1900-01-01",
            "\"1899-12-31T23:00:00Z\"",
        ),
        (
            PgType::Date,
            Facet::DateOnly,
            "8900-12-31",
            "\"8900-12-30T23:00:00Z\"",
        ),
        (PgType::Text, Facet::MultiLine, "a\nb", "\"a\\nb\""),
        (
            PgType::Char { length: Some(4) },
            Facet::Text { max_length: 255 },
            "ab  ",
            "\"ab\"",
        ),
        (
            PgType::TimestampTz,
            Facet::DateTime,
            "2024-02-29 12:00:00.987654+00",
            "\"2024-02-29T12:00:00Z\"",
        ),
        (
            PgType::Timestamp,
            Facet::DateTime,
            "2024-02-29 12:00:00",
            "\"2024-02-29T12:00:00Z\"",
        ),
        (
            PgType::Date,
            Facet::DateOnly,
            "2024-02-29",
            "\"2024-02-28T23:00:00Z\"",
        ),
        (
            PgType::Date,
            Facet::DateOnly,
            "2024-07-01",
            "\"2024-06-30T22:00:00Z\"",
        ),
    ];
    for (pg_type, facet, raw, expected) in cases {
        assert_eq!(
            convert(pg_type.clone(), facet, raw).as_deref(),
            Ok(expected),
            "{pg_type:?} {raw}"
        );
    }
}

#[test]
fn a_value_the_list_cannot_hold_is_refused_with_its_reason() {
    let text = || Facet::Text { max_length: 3 };
    let huge = format!("1{}", "0".repeat(400));
    let tiny = format!("0.{}1", "0".repeat(400));
    let choice = Facet::Choice {
        choices: vec!["open".into()],
    };
    let cases = [
        (PgType::Text, text(), "abcd", "value.too_long"),
        (PgType::Text, text(), "😀😀", "value.too_long"),
        (PgType::Text, text(), "a\u{1}", "value.control_character"),
        (PgType::Text, text(), "a\u{ffff}", "value.control_character"),
        (PgType::Int8, NUMBER, "9007199254740993", "value.imprecise"),
        (numeric(), NUMBER, "9007199254740993", "value.imprecise"),
        (numeric(), NUMBER, "0.12345678901234567891", "value.imprecise"),
        (numeric(), NUMBER, huge.as_str(), "value.imprecise"),
        (numeric(), NUMBER, tiny.as_str(), "value.imprecise"),
        (numeric(), NUMBER, "NaN", "value.not_finite"),
        (numeric(), NUMBER, "-Infinity", "value.not_finite"),
        (PgType::Money, NUMBER, "92233720368547758.07", "value.imprecise"),
        (array(), several(), "{a,NULL}", "value.array_shape"),
        (array(), several(), "{{a},{b}}", "value.array_shape"),
        (array(), several(), "{a,d}", "value.not_a_choice"),
        (array(), several(), "a", "value.malformed"),
        (PgType::Date, Facet::DateOnly, "8901-01-01", "value.date_range"),
        (PgType::Date, Facet::DateOnly, "-infinity", "value.date_range"),
        (
            PgType::Timestamp,
            Facet::DateTime,
            "12345-01-01 00:00:00",
            "value.date_range",
        ),
        (PgType::Float8, NUMBER, "NaN", "value.not_finite"),
        (PgType::Float8, NUMBER, "-Infinity", "value.not_finite"),
        (
            PgType::TimestampTz,
            Facet::DateTime,
            "infinity",
            "value.date_range",
        ),
        (PgType::Date, Facet::DateOnly, "0044-03-15 BC", "value.date_range"),
        (PgType::Date, Facet::DateOnly, "1899-12-30", "value.date_range"),
        (PgType::Text, choice, "shut", "value.not_a_choice"),
        (PgType::Uuid, NUMBER, "x", "value.unsupported"),
    ];
    for (pg_type, facet, raw, code) in cases {
        assert_eq!(convert(pg_type, facet, raw).unwrap_err().code(), code, "{raw}");
    }
}

#[test]
fn null_is_null_for_every_column() {
    let cell = None;
    let value = to_target(&field(PgType::Int4, NUMBER), chrono_tz::UTC, &cell).unwrap();
    assert!(value == Value::Null);
    let value = to_target(&field(array(), several()), chrono_tz::UTC, &cell).unwrap();
    assert_eq!(
        value.to_json().to_string(),
        "[]",
        "several choices are cleared by an empty list"
    );
}

#[test]
fn a_refusal_never_repeats_the_value() {
    let error = convert(PgType::Text, Facet::Text { max_length: 3 }, "hush-hush").unwrap_err();
    assert!(!error.to_string().contains("hush") && !error.fix().contains("hush"));
}

#[test]
fn a_day_begins_with_its_first_instant_even_where_clocks_skip_midnight() {
    let begin = |zone: Tz, day: &str| {
        begin_of_day(day.parse().unwrap(), zone)
            .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    };
    // Clocks went from 23:59:59 to 01:00.
    assert_eq!(
        begin(chrono_tz::America::Sao_Paulo, "2018-11-04").as_deref(),
        Some("2018-11-04T03:00:00Z")
    );
    assert_eq!(
        begin(chrono_tz::Asia::Beirut, "2024-03-31").as_deref(),
        Some("2024-03-30T22:00:00Z")
    );
    // Midnight came twice.
    assert_eq!(
        begin(chrono_tz::America::Havana, "2024-11-03").as_deref(),
        Some("2024-11-03T04:00:00Z")
    );
    // Samoa had no such day.
    assert_eq!(begin(chrono_tz::Pacific::Apia, "2011-12-30"), None);
}

proptest::proptest! {
    #[test]
    fn a_decimal_that_passes_as_a_number_shows_its_digits_again(whole in "[1-9][0-9]{0,20}", fraction in "[0-9]{0,12}") {
        let raw = format!("{whole}.{fraction}0");
        match convert(numeric(), NUMBER, &raw) {
            Ok(json) => {
                let back: f64 = json.parse().unwrap();
                proptest::prop_assert_eq!(canonical_numeric(&back.to_string()), canonical_numeric(&raw));
            }
            Err(refusal) => {
                proptest::prop_assert_eq!(refusal.code(), "value.imprecise");
                let digits = whole.len() + fraction.trim_end_matches('0').len();
                proptest::prop_assert!(digits > 15, "{} digits always survive", digits);
            }
        }
    }
}
