use super::*;
use crate::column_answer::ColumnAnswer;

fn wanted(facet: Facet) -> DesiredColumn {
    DesiredColumn {
        source: Some("col".into()),
        name: "Col".into(),
        display_name: "Column".into(),
        facet,
        options: ColumnOptions::default(),
        unique: false,
        hidden: false,
    }
}

fn found(definition: &Json) -> ListColumn {
    let mut body = definition.clone();
    body["id"] = json!("c1");
    serde_json::from_value::<ColumnAnswer>(body).unwrap().into()
}

fn all_facets() -> Vec<Facet> {
    vec![
        Facet::Text { max_length: 100 },
        Facet::MultiLine,
        Facet::Number { decimals: Some(2) },
        Facet::Boolean,
        Facet::Choice {
            choices: vec!["A".into(), "B".into()],
        },
        Facet::MultiChoice {
            choices: vec!["A".into(), "B".into()],
        },
        Facet::DateTime,
        Facet::DateOnly,
    ]
}

#[test]
fn a_column_made_from_a_facet_serves_that_facet_and_no_other_kind() {
    for (i, made) in all_facets().into_iter().enumerate() {
        let column = found(&wanted(made).definition());
        for (j, needed) in all_facets().into_iter().enumerate() {
            let fit = fit(&wanted(needed), &column);
            assert_eq!(fit == Fit::Serves, i == j, "made {i}, needed {j}: {fit:?}");
        }
    }
}

/// A collection silently loses columns of these kinds above a limit, so that none of them may carry a field.
#[test]
fn b_12_what_an_answer_may_drop_for_its_number_serves_no_facet() {
    for kind in ["lookup", "personOrGroup"] {
        let column = found(&json!({"name": "Col", "displayName": "Column", kind: {}}));
        for needed in all_facets() {
            let fit = fit(&wanted(needed.clone()), &column);
            assert!(matches!(fit, Fit::Differs(_)), "{kind} for {needed:?}: {fit:?}");
        }
    }
}

#[test]
fn choices_grow_and_lengths_must_do() {
    let column = found(
        &wanted(Facet::Choice {
            choices: vec!["Z".into(), "A".into()],
        })
        .definition(),
    );
    let needed = wanted(Facet::Choice {
        choices: vec!["A".into(), "B".into()],
    });
    assert_eq!(
        fit(&needed, &column),
        Fit::Grow(vec!["Z".into(), "A".into(), "B".into()])
    );
    let column = found(&wanted(Facet::Text { max_length: 100 }).definition());
    assert_eq!(fit(&wanted(Facet::Text { max_length: 50 }), &column), Fit::Serves);
    assert!(matches!(
        fit(&wanted(Facet::Text { max_length: 255 }), &column),
        Fit::Lengthen(_)
    ));
}

#[test]
fn a_sync_key_without_uniqueness_or_index_does_not_serve() {
    let mut needed = wanted(Facet::Text { max_length: 255 });
    needed.unique = true;
    let full = found(&needed.definition());
    assert_eq!(fit(&needed, &full), Fit::Serves);
    let plain = found(&wanted(Facet::Text { max_length: 255 }).definition());
    assert!(matches!(fit(&needed, &plain), Fit::Differs(_)));
}

#[test]
fn a_definition_never_carries_a_null() {
    for facet in all_facets() {
        assert!(!wanted(facet).definition().to_string().contains("null"));
    }
}

#[test]
fn an_index_is_added_and_fixed_choices_are_left_as_they_are() {
    let column = found(
        &wanted(Facet::Choice {
            choices: vec!["A".into()],
        })
        .definition(),
    );
    let mut needed = wanted(Facet::Choice {
        choices: vec!["A".into(), "B".into()],
    });
    needed.options.new_choices = NewChoices::Fixed;
    assert_eq!(fit(&needed, &column), Fit::Serves);
    needed.options.indexed = true;
    assert_eq!(fit(&needed, &column), Fit::Index);
}

#[test]
fn what_is_asked_of_a_column_is_in_its_definition() {
    let mut column = wanted(Facet::Boolean);
    column.options = ColumnOptions {
        description: Some("ü".repeat(400)),
        required: true,
        default: Some("1".into()),
        indexed: true,
        ..ColumnOptions::default()
    };
    let body = column.definition();
    assert_eq!(body["required"], true);
    assert_eq!(body["indexed"], true);
    assert_eq!(body["enforceUniqueValues"], false);
    assert_eq!(body["defaultValue"], json!({"value": "1"}));
    assert_eq!(body["description"].as_str().unwrap().chars().count(), 250);
    assert!(found(&body).has_default);
}
