use super::*;
use crate::convert::to_target;
use crate::convert_back::{survives, to_source};
use crate::mapping::FieldMapping;
use crate::policy::Direction;

fn other(name: &str) -> PgType {
    PgType::Other { name: name.into() }
}

fn array(element: PgType, name: &str) -> PgType {
    PgType::Array {
        element: Box::new(element),
        name: name.into(),
    }
}

fn enumeration(labels: &[&str]) -> PgType {
    PgType::Enum {
        name: "s.e".into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    }
}

fn numeric(precision: u16, scale: i16) -> PgType {
    PgType::Numeric {
        precision: Some(precision),
        scale: Some(scale),
    }
}

/// One type a row, in the order of the table.
fn samples() -> Vec<PgType> {
    let labels = ["idea", "open"];
    vec![
        PgType::Bool,
        PgType::Int4,
        PgType::Int8,
        PgType::Float8,
        numeric(14, 2),
        PgType::Numeric {
            precision: None,
            scale: None,
        },
        PgType::Money,
        PgType::Varchar { length: Some(200) },
        PgType::Text,
        other("name"),
        PgType::Uuid,
        PgType::Date,
        PgType::Timestamp,
        PgType::TimestampTz,
        other("time with time zone"),
        other("interval"),
        other("bytea"),
        other("jsonb"),
        enumeration(&labels),
        array(enumeration(&labels), "s.e[]"),
        array(PgType::Text, "text[]"),
        other("inet"),
        other("int4range"),
        other("pg_lsn"),
        other("point"),
        other("public.hstore"),
        other("s.pair"),
    ]
}

#[test]
fn every_example_is_what_a_cell_becomes() {
    assert_eq!(samples().len(), rows().len());
    for (pg_type, row) in samples().into_iter().zip(rows()) {
        assert!(
            std::ptr::eq(row_of(&pg_type), row),
            "{pg_type:?} is not in row {}",
            row.types
        );
        assert!(!row.examples.is_empty(), "{}", row.types);
        for example in row.examples {
            let field = FieldMapping {
                column: "c".into(),
                pg_type: pg_type.clone(),
                nullable: true,
                target: "C".into(),
                display_name: "C".into(),
                facet: default_facet(&pg_type),
                direction: Direction::Push,
                passive: false,
                conflict: None,
                on_foreign_edit: None,
            };
            let value = to_target(&field, chrono_tz::Europe::Berlin, &Some(example.raw.into())).unwrap();
            let shown = (!value.is_blank()).then(|| value.to_json());
            let expected = example.json.map(|json| serde_json::from_str(json).unwrap());
            assert_eq!(shown, expected, "{} {}", row.types, example.raw);
        }
    }
}

fn asked(pg_type: &PgType, facet: Facet) -> FieldMapping {
    FieldMapping {
        column: "c".into(),
        pg_type: pg_type.clone(),
        nullable: true,
        target: "C".into(),
        display_name: "C".into(),
        facet,
        direction: Direction::Both,
        passive: false,
        conflict: None,
        on_foreign_edit: None,
    }
}

/// A facet of every kind that a type may become.
fn facets(pg_type: &PgType) -> Vec<Facet> {
    let choices = || match pg_type.labels() {
        [] => vec!["idea".to_owned(), "open".to_owned()],
        labels => labels.to_vec(),
    };
    let all = [
        LINE,
        Facet::MultiLine,
        Facet::Number { decimals: None },
        Facet::Boolean,
        Facet::Choice { choices: choices() },
        Facet::MultiChoice { choices: choices() },
        Facet::DateTime,
        Facet::DateOnly,
    ];
    let row = row_of(pg_type);
    all.into_iter().filter(|facet| row.takes(facet.kind())).collect()
}

#[test]
fn c_06_a_cleared_cell_is_null_for_every_type_in_every_column_and_null_is_a_cleared_cell() {
    let mut met = 0;
    for pg_type in samples() {
        for facet in facets(&pg_type) {
            let field = asked(&pg_type, facet);
            let shown = to_target(&field, chrono_tz::UTC, &None).unwrap();
            assert!(shown.is_blank(), "{pg_type:?}");
            for cleared in [shown.to_json(), serde_json::Value::Null] {
                assert_eq!(
                    to_source(&field, chrono_tz::UTC, &cleared),
                    Ok(None),
                    "{pg_type:?} {:?}",
                    field.facet
                );
            }
            assert!(survives(&field, chrono_tz::UTC, &None));
            met += 1;
        }
    }
    assert!(met >= 80, "only {met} combinations");
}

#[test]
fn every_example_comes_back_but_for_what_the_table_says_is_lost() {
    for (pg_type, row) in samples().into_iter().zip(rows()) {
        let field = asked(&pg_type, default_facet(&pg_type));
        for example in row.examples {
            let kept = survives(&field, chrono_tz::Europe::Berlin, &Some(example.raw.into()));
            let lossy = row.fidelity != Fidelity::Lossless;
            assert!(kept || lossy, "{} {}", row.types, example.raw);
        }
    }
}

#[test]
fn a_default_is_a_kind_that_a_definition_may_ask_for() {
    for (pg_type, row) in samples().into_iter().zip(rows()) {
        assert!(row.takes(default_facet(&pg_type).kind()), "{}", row.types);
    }
}

#[test]
fn a_type_of_that_name_in_another_schema_is_not_taken_for_the_built_in_one() {
    assert_eq!(default_facet(&other("inet")), LINE);
    assert_eq!(default_facet(&other("s.inet")), Facet::MultiLine);
}

#[test]
fn a_numeric_becomes_a_number_only_where_a_double_shows_every_digit() {
    assert_eq!(
        default_facet(&numeric(15, 0)),
        Facet::Number { decimals: Some(0) }
    );
    assert_eq!(default_facet(&numeric(15, 7)), Facet::Number { decimals: None });
    assert_eq!(default_facet(&numeric(3, -2)), Facet::Number { decimals: None });
    assert_eq!(default_facet(&numeric(16, 2)), LINE);
    assert_eq!(default_facet(&numeric(252, 2)), LINE);
    assert_eq!(default_facet(&numeric(253, 2)), Facet::MultiLine);
    assert_eq!(default_facet(&numeric(200, -100)), Facet::MultiLine);
    assert_eq!(default_facet(&numeric(20, 500)), Facet::MultiLine);
}

#[test]
fn an_enum_whose_labels_cannot_be_choices_becomes_text() {
    for label in ["", " a", "a\nb", "a;#b"] {
        let odd = enumeration(&["fine", label]);
        assert_eq!(default_facet(&odd), LINE, "{label:?}");
        assert_eq!(default_facet(&array(odd, "s.e[]")), Facet::MultiLine, "{label:?}");
    }
}

#[test]
fn what_is_lost_depends_on_the_kind_that_was_asked_for() {
    let texts = array(PgType::Text, "text[]");
    assert_eq!(fidelity(&texts, FacetKind::MultiLine), Fidelity::Lossless);
    assert_eq!(fidelity(&texts, FacetKind::MultiChoice), SEVERAL);
    assert_eq!(fidelity(&PgType::Timestamp, FacetKind::DateTime), FRACTION);
    assert_eq!(fidelity(&PgType::Timestamp, FacetKind::Text), Fidelity::Lossless);
    assert_eq!(fidelity(&PgType::Text, FacetKind::Text), EMPTY);
}
