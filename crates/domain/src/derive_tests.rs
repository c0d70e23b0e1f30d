use proptest::prelude::*;

use super::*;

fn column(name: &str, pg_type: PgType) -> ColumnShape {
    ColumnShape {
        name: name.into(),
        pg_type,
        nullable: true,
        generated: false,
        comment: None,
    }
}

fn table(columns: Vec<ColumnShape>) -> TableShape {
    let primary_key = vec![columns[0].name.clone()];
    TableShape {
        schema: "public".into(),
        name: "t".into(),
        comment: None,
        estimated_rows: 0,
        columns,
        primary_key,
        unique_keys: Vec::new(),
        enforces_keys: true,
        remarks: Vec::new(),
    }
}

#[test]
fn names_are_ascii_distinct_and_clear_of_sharepoints_own() {
    let names = [
        "id",
        "due_at",
        "Due At",
        "größe",
        "日本",
        "1st",
        "employee_lookup_id",
        "order",
        "_x",
        "id",
    ];
    let columns: Vec<ColumnShape> = names.iter().map(|name| column(name, PgType::Int4)).collect();
    let mapping = derive(&table(columns), &Choices::default()).unwrap();
    let targets: Vec<&str> = mapping.fields.iter().map(|f| f.target.as_str()).collect();
    assert_eq!(targets[..4], ["ColId", "DueAt", "DueAt2", "GrE"]);
    let mut lower: Vec<String> = targets.iter().map(|t| t.to_lowercase()).collect();
    lower.sort();
    lower.dedup();
    assert_eq!(lower.len(), names.len());
    for target in targets {
        assert!(!is_reserved(target), "{target}");
    }
}

#[test]
fn a_column_called_name_becomes_the_title_and_a_choice_overrides_it() {
    let shape = table(vec![
        column("id", PgType::Int4),
        column("name", PgType::Text),
        column("code", PgType::Text),
    ]);
    let mapping = derive(&shape, &Choices::default()).unwrap();
    assert_eq!(mapping.fields[1].target, "Title");
    assert_eq!(mapping.title, TitleRule::Mapped);
    let fields = vec![FieldChoice {
        column: "code".into(),
        title: true,
        ..FieldChoice::default()
    }];
    let mapping = derive(
        &shape,
        &Choices {
            fields: Some(fields),
            ..Choices::default()
        },
    )
    .unwrap();
    assert_eq!(mapping.fields[0].target, "Title");
}

#[test]
fn a_table_without_a_usable_key_is_refused_with_a_remedy() {
    let mut shape = table(vec![column("a", PgType::Int4), column("b", PgType::Int4)]);
    shape.primary_key.clear();
    assert_eq!(derive(&shape, &Choices::default()), Err(DeriveError::NoKey));
    let key = Choices {
        key: Some(vec!["b".into()]),
        ..Choices::default()
    };
    assert!(matches!(
        derive(&shape, &key),
        Err(DeriveError::KeyNotUnique { .. })
    ));
    shape.unique_keys.push(vec!["b".into()]);
    assert_eq!(derive(&shape, &key).unwrap().key[0].name, "b");
}

#[test]
fn a_date_without_a_time_zone_is_refused_with_both_remedies() {
    let shape = table(vec![column("id", PgType::Int4), column("day", PgType::Date)]);
    let error = derive(&shape, &Choices::default()).unwrap_err().to_string();
    assert!(
        error.contains("target.timeZone") && error.contains("text"),
        "{error}"
    );
}

#[test]
fn a_kind_that_a_type_cannot_fill_is_refused_with_those_it_can() {
    let asked = |pg_type: PgType, facet: Facet| {
        let shape = table(vec![column("id", PgType::Int4), column("c", pg_type)]);
        let fields = vec![FieldChoice {
            column: "c".into(),
            facet: Some(facet),
            ..FieldChoice::default()
        }];
        derive(
            &shape,
            &Choices {
                fields: Some(fields),
                ..Choices::default()
            },
        )
    };
    let number = Facet::Number { decimals: Some(2) };
    let error = asked(PgType::Uuid, number.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column `c` is a uuid, which cannot become `number`; it can become `text`, `multiline`, `choice`"
    );
    let wide = PgType::Numeric {
        precision: None,
        scale: None,
    };
    assert_eq!(asked(wide, number.clone()).unwrap().fields[0].facet, number);
    let several = |choices: &[&str]| Facet::MultiChoice {
        choices: choices.iter().map(|text| (*text).to_owned()).collect(),
    };
    let texts = || PgType::Array {
        element: Box::new(PgType::Text),
        name: "text[]".into(),
    };
    assert!(asked(texts(), several(&["a"])).is_ok());
    assert!(matches!(
        asked(PgType::Text, several(&["a"])),
        Err(DeriveError::Impossible { .. })
    ));
    for unfit in ["", " a", "a\nb", "a;#b", &"x".repeat(256)] {
        assert!(
            matches!(
                asked(texts(), several(&["a", unfit])),
                Err(DeriveError::UnfitChoices { .. })
            ),
            "{unfit}"
        );
    }
    for pg_type in [PgType::Bool, PgType::Date, PgType::Float8, PgType::Money, texts()] {
        for facet in [Facet::MultiLine, Facet::Text { max_length: 9 }] {
            assert_eq!(
                asked(pg_type.clone(), facet.clone()).unwrap().fields[0].facet,
                facet
            );
        }
    }
}

#[test]
fn the_watermark_never_causes_a_write() {
    let shape = table(vec![
        column("id", PgType::Int4),
        column("updated_at", PgType::TimestampTz),
    ]);
    let choices = Choices {
        watermark: Some("updated_at".into()),
        ..Choices::default()
    };
    assert!(derive(&shape, &choices).unwrap().fields[1].passive);
}

fn both_ways(columns: Vec<ColumnShape>, fields: Vec<FieldChoice>) -> Result<Vec<Direction>, DeriveError> {
    let choices = Choices {
        fields: (!fields.is_empty()).then_some(fields),
        direction: Direction::Both,
        watermark: Some("updated_at".into()),
        ..Choices::default()
    };
    let mapping = derive(&table(columns), &choices)?;
    Ok(mapping.fields.iter().map(|field| field.direction).collect())
}

#[test]
fn what_only_the_source_can_write_is_pushed_and_cannot_be_asked_for_otherwise() {
    let columns = || {
        let computed = ColumnShape {
            generated: true,
            ..column("total", PgType::Int4)
        };
        vec![
            column("id", PgType::Int4),
            column("name", PgType::Text),
            computed,
            column("updated_at", PgType::TimestampTz),
        ]
    };
    use Direction::{Both, Pull, Push};
    assert_eq!(
        both_ways(columns(), Vec::new()).unwrap(),
        [Push, Both, Push, Push]
    );
    for name in ["id", "total", "updated_at"] {
        for direction in [Pull, Both] {
            let asked = FieldChoice {
                column: name.into(),
                direction: Some(direction),
                ..FieldChoice::default()
            };
            let refused = both_ways(columns(), vec![asked]).unwrap_err();
            assert!(
                matches!(&refused, DeriveError::NotWritable { column, .. } if column == name),
                "{refused}"
            );
        }
    }
}

#[test]
fn a_field_that_the_list_does_not_show_whole_goes_both_ways_only_where_that_is_asked_for() {
    let columns = || {
        vec![
            column("id", PgType::Int4),
            column("due", PgType::Timestamp),
            column("weight", PgType::Float8),
            column("updated_at", PgType::TimestampTz),
        ]
    };
    let error = both_ways(columns(), Vec::new()).unwrap_err().to_string();
    for part in [
        "`due`",
        "fractions of a second",
        "`type: text`",
        "`lossy: allow`",
        "`direction: push`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let asked = |direction, lossy, facet| FieldChoice {
        column: "due".into(),
        direction,
        lossy,
        facet,
        ..FieldChoice::default()
    };
    let goes = |choice| both_ways(columns(), vec![choice]).map(|found| found[0]);
    assert_eq!(goes(asked(None, Some(true), None)), Ok(Direction::Both));
    assert_eq!(
        goes(asked(None, None, Some(Facet::MultiLine))),
        Ok(Direction::Both)
    );
    assert_eq!(
        goes(asked(Some(Direction::Push), None, None)),
        Ok(Direction::Push)
    );
    assert_eq!(
        goes(asked(Some(Direction::Pull), None, None)),
        Ok(Direction::Pull)
    );
    assert!(goes(asked(None, Some(false), None)).is_err());
}

#[test]
fn a_field_cannot_go_against_its_definition() {
    let fields = vec![FieldChoice {
        column: "name".into(),
        direction: Some(Direction::Both),
        ..FieldChoice::default()
    }];
    let shape = table(vec![column("id", PgType::Int4), column("name", PgType::Text)]);
    for definition in [Direction::Push, Direction::Pull] {
        let choices = Choices {
            fields: Some(fields.clone()),
            direction: definition,
            ..Choices::default()
        };
        assert!(matches!(
            derive(&shape, &choices),
            Err(DeriveError::AgainstDefinition { .. })
        ));
    }
}

proptest! {
    #[test]
    fn any_column_names_give_valid_internal_names(names in proptest::collection::vec("\\PC{1,40}", 1..30)) {
        let columns: Vec<ColumnShape> = names.iter().map(|name| column(name, PgType::Int4)).collect();
        let mapping = derive(&table(columns), &Choices::default()).unwrap();
        for field in &mapping.fields {
            let ok = field.target.len() <= 32
                && field.target.starts_with(|c: char| c.is_ascii_alphabetic())
                && field.target.chars().all(|c| c.is_ascii_alphanumeric());
            prop_assert!(ok, "{}", field.target);
        }
    }
}

#[test]
fn what_the_list_itself_knows_is_taken_along_and_causes_nothing() {
    let asked = |system, direction, choices: Direction| {
        let fields = vec![
            FieldChoice {
                column: "note".into(),
                ..FieldChoice::default()
            },
            FieldChoice {
                column: "changed".into(),
                system: Some(system),
                direction,
                ..FieldChoice::default()
            },
        ];
        let choices = Choices {
            fields: Some(fields),
            direction: choices,
            ..Choices::default()
        };
        derive(&system_table(), &choices)
    };
    let mapping = asked(SystemField::Modified, None, Direction::Both).unwrap();
    let field = &mapping.fields[1];
    assert_eq!(
        (
            field.target.as_str(),
            &field.facet,
            field.direction,
            field.passive
        ),
        ("Modified", &Facet::DateTime, Direction::Pull, true)
    );
    let editor = asked(SystemField::Editor, Some(Direction::Pull), Direction::Pull).unwrap();
    assert_eq!(editor.fields[1].target, "EditorLookupId");
    for direction in [Direction::Push, Direction::Both] {
        let refused = asked(SystemField::Modified, Some(direction), Direction::Both).unwrap_err();
        assert!(matches!(refused, DeriveError::SystemField { .. }), "{refused}");
    }
    let refused = asked(SystemField::Modified, None, Direction::Push).unwrap_err();
    assert!(
        matches!(refused, DeriveError::AgainstDefinition { .. }),
        "{refused}"
    );
}

fn system_table() -> TableShape {
    let column = |name: &str, pg_type| ColumnShape {
        name: name.into(),
        pg_type,
        nullable: true,
        generated: false,
        comment: None,
    };
    TableShape {
        schema: "s".into(),
        name: "t".into(),
        comment: None,
        estimated_rows: 0,
        columns: vec![
            column("id", PgType::Int4),
            column("note", PgType::Text),
            column("changed", PgType::TimestampTz),
        ],
        primary_key: vec!["id".into()],
        unique_keys: Vec::new(),
        enforces_keys: true,
        remarks: Vec::new(),
    }
}

#[test]
fn fields_that_lead_a_value_back_to_where_it_came_from_are_refused() {
    let field = |name: &str, direction, passive| FieldChoice {
        column: "note".into(),
        internal_name: Some(name.into()),
        direction: Some(direction),
        passive,
        lossy: Some(true),
        ..FieldChoice::default()
    };
    let of = |second: Direction, passive| {
        let fields = vec![
            field("One", Direction::Push, false),
            field("Two", second, passive),
        ];
        let choices = Choices {
            fields: Some(fields),
            direction: Direction::Both,
            ..Choices::default()
        };
        derive(&system_table(), &choices)
    };
    for second in [Direction::Pull, Direction::Both] {
        let refused = of(second, false).unwrap_err();
        assert!(
            matches!(&refused, DeriveError::Cycle { column } if column == "note"),
            "{refused}"
        );
        assert!(of(second, true).is_ok(), "what is passive causes nothing");
    }
    assert!(
        of(Direction::Push, false).is_ok(),
        "two list columns may show one"
    );
}
