//! What each type of column accepts, refuses and gives back.

use serde_json::{Value, json};
use syncbridge_graph_sim::{Behaviour, Options};

use crate::harness::{Sim, message};

/// What a column of this type shows after a write of this value under its own name.
fn stored(column: Value, value: Value) -> Result<Option<Value>, String> {
    stored_in(&mut Sim::new(), column, json!({ "C": value }))
}

fn stored_in(sim: &mut Sim, mut column: Value, fields: Value) -> Result<Option<Value>, String> {
    column["name"] = Value::from("C");
    let list = sim.list(&format!("L{}", sim.now.timestamp()), json!([column]));
    sim.pass(1);
    let response = sim.call("POST", &format!("{list}/items"), json!({ "fields": fields }));
    if response.status == 201 {
        return Ok(response.json().unwrap()["fields"].get("C").cloned());
    }
    assert_eq!(response.status, 400);
    Err(message(&response))
}

fn accepted(column: Value, value: Value) -> Value {
    stored(column, value).unwrap().unwrap()
}

fn refused(column: Value, value: Value) -> String {
    stored(column, value.clone()).expect_err(&format!("{value} was accepted"))
}

#[test]
fn single_line_text_has_a_maximum_length_in_utf16_units() {
    assert_eq!(accepted(json!({ "text": {} }), json!("é世😀")), "é世😀");
    assert_eq!(
        accepted(json!({ "text": {} }), json!("x".repeat(255))),
        "x".repeat(255)
    );
    let text = refused(json!({ "text": {} }), json!("x".repeat(256)));
    assert!(text.contains("'C'") && !text.contains("xxx"), "{text}");
    assert!(stored(json!({ "text": { "maxLength": 3 } }), json!("😀😀")).is_err());
    assert!(stored(json!({ "text": {} }), json!(5)).is_err());
    assert!(stored(json!({ "text": {} }), json!("a\u{1}b")).is_err());
}

#[test]
fn multi_line_text_keeps_its_lines_and_rich_text_is_wrapped() {
    let plain = json!({ "text": { "allowMultipleLines": true } });
    assert_eq!(accepted(plain, json!("a\nb")), "a\nb");
    let rich = json!({ "text": { "allowMultipleLines": true, "textType": "richText" } });
    let kept = accepted(rich, json!("<p>a</p>"));
    let kept = kept.as_str().unwrap();
    assert!(
        kept.starts_with("<div class=\"ExternalClass") && kept.ends_with("\"><p>a</p></div>"),
        "{kept}"
    );
}

#[test]
fn numbers_are_doubles_within_their_bounds() {
    assert_eq!(accepted(json!({ "number": {} }), json!(5)), 5);
    assert_eq!(accepted(json!({ "number": {} }), json!(5.0)), 5);
    assert_eq!(accepted(json!({ "number": {} }), json!(0.1)), 0.1);
    assert_eq!(
        accepted(json!({ "number": {} }), json!(9_007_199_254_740_993_u64)).as_f64(),
        Some(9_007_199_254_740_992.0)
    );
    let bounded = json!({ "number": { "minimum": 0, "maximum": 10 } });
    assert_eq!(accepted(bounded.clone(), json!(10)), 10);
    assert!(refused(bounded.clone(), json!(-1)).contains("minimum"));
    assert!(stored(bounded, json!("3")).is_err());
    assert_eq!(
        accepted(json!({ "currency": { "locale": "en-us" } }), json!(2.5)),
        2.5
    );
}

#[test]
fn flags_take_true_and_false_only() {
    assert_eq!(accepted(json!({ "boolean": {} }), json!(true)), true);
    for wrong in [json!(1), json!("true")] {
        refused(json!({ "boolean": {} }), wrong);
    }
}

#[test]
fn choices_are_closed_unless_text_entry_is_allowed() {
    let closed = json!({ "choice": { "choices": ["Open", "Done"] } });
    assert_eq!(accepted(closed.clone(), json!("Open")), "Open");
    refused(closed.clone(), json!("open"));
    refused(closed, json!(["Open"]));
    let open = json!({ "choice": { "choices": ["Open"], "allowTextEntry": true } });
    assert_eq!(accepted(open, json!("Else")), "Else");
}

#[test]
fn several_choices_need_the_type_of_the_collection() {
    let column = json!({ "choice": { "choices": ["A", "B"], "displayAs": "checkBoxes" } });
    let bare = stored(column.clone(), json!(["A"])).unwrap_err();
    assert!(bare.contains("without a type name"), "{bare}");
    let typed = |values: Value, kind: &str| json!({ "C@odata.type": kind, "C": values });
    let mut sim = Sim::new();
    let kind = "Collection(Edm.String)";
    let both = stored_in(&mut sim, column.clone(), typed(json!(["A", "B"]), kind));
    assert_eq!(both, Ok(Some(json!(["A", "B"]))));
    assert!(stored_in(&mut sim, column.clone(), typed(json!(["Z"]), kind)).is_err());
    assert!(
        stored_in(
            &mut sim,
            column.clone(),
            typed(json!(["A"]), "Collection(Edm.Int32)")
        )
        .is_err()
    );
    assert_eq!(stored_in(&mut sim, column, typed(json!([]), kind)), Ok(None));
}

#[test]
fn times_are_kept_in_utc_with_second_precision() {
    let column = || json!({ "dateTime": {} });
    assert_eq!(
        accepted(column(), json!("2026-03-01T10:00:00.987Z")),
        "2026-03-01T10:00:00Z"
    );
    assert_eq!(
        accepted(column(), json!("2026-03-01T10:00:00+02:00")),
        "2026-03-01T08:00:00Z"
    );
    assert_eq!(accepted(column(), json!("2026-03-01")), "2026-03-01T00:00:00Z");
    for wrong in [
        json!("yesterday"),
        json!("2026-02-30"),
        json!(5),
        json!("0001-01-01"),
        json!("9999-12-31"),
    ] {
        refused(column(), wrong);
    }
}

#[test]
fn a_date_is_the_site_s_midnight_read_back_in_utc() {
    let date = |zone: &str, value: &str| {
        let mut sim = Sim::with(Options {
            time_zone: zone.parse().unwrap(),
            ..Options::default()
        });
        let column = json!({ "dateTime": { "format": "dateOnly" } });
        stored_in(&mut sim, column, json!({ "C": value }))
            .unwrap()
            .unwrap()
    };
    assert_eq!(date("UTC", "2026-06-03"), "2026-06-03T00:00:00Z");
    assert_eq!(date("Europe/Berlin", "2026-06-03"), "2026-06-02T22:00:00Z");
    assert_eq!(date("America/Los_Angeles", "2026-06-03"), "2026-06-03T07:00:00Z");
    assert_eq!(
        date("America/Los_Angeles", "2026-06-03T00:00:00Z"),
        "2026-06-02T07:00:00Z",
        "a day early"
    );
    // Midnight does not exist on this day in this zone: the day begins at one o'clock.
    assert_eq!(date("America/Santiago", "2026-09-06"), "2026-09-06T04:00:00Z");
}

#[test]
fn null_clears_and_an_absent_key_leaves_alone() {
    let mut sim = Sim::new();
    let list = sim.list(
        "L",
        json!([{ "name": "A", "text": {} }, { "name": "N", "number": {} }]),
    );
    sim.item(&list, json!({ "A": "a", "N": 1 }));
    let patched = sim
        .call("PATCH", &format!("{list}/items/1/fields"), json!({ "A": null }))
        .json()
        .unwrap();
    assert!(patched.get("A").is_none());
    assert_eq!(patched["N"], 1);
}

#[test]
fn lookups_take_an_id_and_show_it_as_text() {
    let mut sim = Sim::new();
    let target = sim.list("Target", json!([]));
    sim.item(&target, json!({ "Title": "first" }));
    let id = target.rsplit('/').next().unwrap().to_owned();
    let one = json!({ "name": "To", "lookup": { "listId": id, "columnName": "Title" } });
    let many = json!({ "name": "All", "lookup": { "listId": id, "columnName": "Title", "allowMultipleValues": true } });
    let list = sim.list("L", json!([one, many]));
    let fields =
        json!({ "ToLookupId": 1, "AllLookupId@odata.type": "Collection(Edm.Int32)", "AllLookupId": [1] });
    let shown = sim.item(&list, fields)["fields"].clone();
    assert_eq!(shown["ToLookupId"], "1");
    assert!(shown.get("To").is_none());
    assert_eq!(shown["All"], json!([{ "LookupId": 1, "LookupValue": "first" }]));
    let named = sim.read(&format!("{list}/items/1?$expand=fields($select=To)"))["fields"].clone();
    assert_eq!(
        (&named["To"], &named["ToLookupId"]),
        (&json!("first"), &json!("1"))
    );
    let mut refused = |fields: Value| {
        let response = sim.call("POST", &format!("{list}/items"), json!({ "fields": fields }));
        assert_eq!(response.status, 400);
        message(&response)
    };
    refused(json!({ "ToLookupId": 7 }));
    refused(json!({ "ToLookupId": "x" }));
    assert!(refused(json!({ "To": "first" })).contains("LookupId"));
    assert!(refused(json!({ "AllLookupId": [1] })).contains("without a type name"));
    refused(json!({ "ToLookupId@odata.type": "Edm.Int32", "ToLookupId": 1 }));
}

#[test]
fn people_are_lookups_and_a_column_named_alike_takes_their_value() {
    let mut sim = Sim::new();
    let list = sim.list(
        "L",
        json!([{ "name": "Who", "personOrGroup": {} },
        { "name": "Team", "personOrGroup": { "allowMultipleSelection": true } }]),
    );
    let fields = json!({ "WhoLookupId": "6", "TeamLookupId@odata.type": "Collection(Edm.String)", "TeamLookupId": ["6", "7"] });
    let shown = sim.item(&list, fields)["fields"].clone();
    assert_eq!(shown["WhoLookupId"], "6");
    assert_eq!(shown["Team"][1]["LookupId"], 7);
    assert!(shown["Team"][0]["Email"].is_string());
    assert_eq!(
        sim.call(
            "POST",
            &format!("{list}/items"),
            json!({ "fields": { "WhoLookupId": 5000 } })
        )
        .status,
        400
    );
    let trap = sim.list(
        "Trap",
        json!([{ "name": "Who", "personOrGroup": {} }, { "name": "WhoId", "text": {} }]),
    );
    let shown = sim.item(&trap, json!({ "WhoLookupId": "6" }))["fields"].clone();
    assert_eq!(shown["WhoId"], "6");
    assert!(shown.get("WhoLookupId").is_none());
}

#[test]
fn unknown_and_read_only_fields_are_refused_by_name() {
    let mut sim = Sim::new();
    let list = sim.list(
        "L",
        json!([{ "name": "Sum", "calculated": { "formula": "=1", "outputType": "number" } },
        { "name": "Link", "hyperlinkOrPicture": { "isPicture": false } }]),
    );
    for (field, part) in [
        ("Nothing", "'Nothing' is not recognized"),
        ("_x", "'_x' is not recognized"),
        ("Created", "read-only"),
        ("Attachments", "read-only"),
        ("ContentType", "read-only"),
        ("ID", "read-only"),
        ("Sum", "calculated"),
        ("Link", "Invalid request"),
    ] {
        let response = sim.call(
            "POST",
            &format!("{list}/items"),
            json!({ "fields": { field: "x" } }),
        );
        assert_eq!(response.status, 400, "{field}");
        assert!(
            message(&response).contains(part),
            "{field}: {}",
            message(&response)
        );
    }
    let shown = sim.read(&format!("{list}/columns/Link"));
    assert!(
        shown.get("hyperlinkOrPicture").is_none(),
        "links are not returned as such"
    );
}

#[test]
fn the_weak_behaviours_change_what_is_kept() {
    let behaviour = Behaviour {
        trim_text: true,
        empty_text_is_null: true,
        null_sets_default: true,
        required_enforced: true,
        wrap_rich_text: false,
        ..Behaviour::default()
    };
    let mut sim = Sim::behaving(behaviour);
    let list = sim.list(
        "L",
        json!([
            { "name": "A", "text": {} },
            { "name": "D", "text": {}, "defaultValue": { "value": "std" } },
            { "name": "R", "text": { "allowMultipleLines": true, "textType": "richText" } },
        ]),
    );
    assert_eq!(
        sim.call(
            "POST",
            &format!("{list}/items"),
            json!({ "fields": { "A": "x" } })
        )
        .status,
        400
    );
    let fields = json!({ "Title": " t ", "A": "  ", "D": null, "R": "<b>x</b>" });
    let shown = sim.item(&list, fields)["fields"].clone();
    assert_eq!(
        (&shown["Title"], &shown["D"], &shown["R"]),
        (&json!("t"), &json!("std"), &json!("<b>x</b>"))
    );
    assert!(shown.get("A").is_none());
}
