//! More lookup columns than a collection shows.

use serde_json::{Value, json};
use syncbridge_graph_sim::{Behaviour, LookupOverflow};

use crate::harness::Sim;

/// A list with 9 person and 5 lookup columns, all of them set in its one item; half are made by a person.
fn many(sim: &mut Sim) -> String {
    let target = sim.list("Target", json!([]));
    sim.item(&target, json!({ "Title": "first" }));
    let id = target.rsplit('/').next().unwrap().to_owned();
    let list = sim.list("L", json!([]));
    let mut fields = json!({});
    for n in 1..=14 {
        let name = format!("C{n:02}");
        let body = if n <= 9 {
            json!({ "name": name, "personOrGroup": {} })
        } else {
            json!({ "name": name, "lookup": { "listId": id, "columnName": "Title" } })
        };
        if n % 2 == 0 {
            sim.act("POST", "lists/L/columns", body);
        } else {
            let response = sim.call("POST", &format!("{list}/columns"), body);
            assert_eq!(response.status, 201);
        }
        fields[format!("{name}LookupId")] = json!(1);
    }
    sim.item(&list, fields);
    list
}

/// The own lookup columns in the fields of an answer.
fn shown(fields: &Value) -> Vec<String> {
    let keys = fields.as_object().unwrap().keys();
    let own = keys.filter(|key| key.starts_with('C') && key.ends_with("LookupId"));
    own.cloned().collect()
}

fn names(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|n| format!("C{n:02}LookupId")).collect()
}

fn page(sim: &mut Sim, path: &str) -> Vec<String> {
    shown(&sim.read(path)["value"][0]["fields"])
}

#[test]
fn collections_drop_lookups_beyond_the_twelfth_and_single_reads_do_not() {
    let mut sim = Sim::new();
    let list = many(&mut sim);
    assert_eq!(
        page(&mut sim, &format!("{list}/items?$expand=fields")),
        names(1..=12)
    );
    assert_eq!(
        page(&mut sim, &format!("{list}/items/delta?$expand=fields")),
        names(1..=12)
    );
    let expanded = sim.read(&format!("{list}?$expand=items($expand=fields)"));
    assert_eq!(shown(&expanded["items"][0]["fields"]), names(1..=12));
    let single = sim.read(&format!("{list}/items/1?$expand=fields"));
    assert_eq!(shown(&single["fields"]), names(1..=14));
    assert_eq!(shown(&sim.read(&format!("{list}/items/1/fields"))), names(1..=14));
}

#[test]
fn naming_twelve_or_fewer_shows_them_all() {
    let mut sim = Sim::new();
    let list = many(&mut sim);
    let select = |numbers: std::ops::RangeInclusive<u32>| names(numbers).join(",");
    for path in ["items?", "items/delta?"] {
        let named = |numbers| format!("{list}/{path}$expand=fields($select={})", select(numbers));
        assert_eq!(page(&mut sim, &named(3..=14)), names(3..=14));
        assert_eq!(page(&mut sim, &named(1..=14)), names(1..=12));
    }
    let texts = sim.read(&format!("{list}/items?$expand=fields($select=C01,C14)"));
    let fields = &texts["value"][0]["fields"];
    assert_eq!(
        (&fields["C01"], &fields["C14"]),
        (&json!("Person 1"), &json!("first"))
    );
}

#[test]
fn a_behaviour_drops_every_lookup_and_another_counts_built_in_ones() {
    let mut sim = Sim::behaving(Behaviour {
        lookup_overflow: LookupOverflow::All,
        ..Behaviour::default()
    });
    let list = many(&mut sim);
    assert_eq!(
        page(&mut sim, &format!("{list}/items?$expand=fields")),
        Vec::<String>::new()
    );
    let twelve = names(1..=12).join(",");
    let named = format!("{list}/items?$expand=fields($select={twelve})");
    assert_eq!(page(&mut sim, &named), names(1..=12));
    let mut sim = Sim::behaving(Behaviour {
        builtin_lookups_count: true,
        ..Behaviour::default()
    });
    let list = many(&mut sim);
    assert_eq!(
        page(&mut sim, &format!("{list}/items?$expand=fields")),
        names(1..=8)
    );
    let named = format!("{list}/items?$expand=fields($select=EditorLookupId,AppEditorLookupId,{twelve})");
    assert_eq!(page(&mut sim, &named), names(1..=10));
}
