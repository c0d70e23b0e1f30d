//! The tenant in a file, from one start to the next.

use serde_json::{Value, json};
use syncbridge_graph_sim::{Client, Options, StateError, Tenant, state_file};

use crate::harness::{Sim, token_request};

/// A tenant in which everything that is kept occurs.
fn lived_in(options: Options) -> (Sim, String) {
    let mut sim = Sim::with(options);
    let columns = json!([
        { "name": "Key", "text": {}, "indexed": true, "enforceUniqueValues": true },
        { "name": "N", "number": { "minimum": -1.5 } },
        { "name": "Link", "hyperlinkOrPicture": {} },
        { "name": "Team", "personOrGroup": { "allowMultipleSelection": true } },
        { "name": "Tags", "choice": { "choices": ["x", "y"], "displayAs": "checkBoxes" } },
        { "name": "Due", "dateTime": { "format": "dateOnly" }, "defaultValue": { "value": "[today]" } },
    ]);
    let list = sim.list("L", columns);
    for n in 1..=4 {
        let fields = json!({
            "Title": format!("ünïcode {n}"), "Key": format!("k{n}"), "N": f64::from(n) / 3.0,
            "TeamLookupId@odata.type": "Collection(Edm.Int32)", "TeamLookupId": [1, n],
            "Tags@odata.type": "Collection(Edm.String)", "Tags": ["x", "y"],
        });
        sim.item(&list, fields);
    }
    sim.call("PATCH", &format!("{list}/items/1/fields"), json!({ "N": 7 }));
    sim.act("PATCH", "lists/L", json!({ "contentApproval": true }));
    sim.act("POST", "lists/L/items/2/unapprove", Value::Null);
    sim.act("POST", "lists/L/items/3/hide", Value::Null);
    sim.act("POST", "lists/L/items/3/attach", json!({ "person": 9 }));
    sim.act("DELETE", "lists/L/items/4", Value::Null);
    sim.list("Gone", json!([]));
    sim.act("DELETE", "lists/Gone", Value::Null);
    sim.act(
        "PUT",
        "permissions",
        json!({ "clients": { "sim-client": "manage" }, "deny": [] }),
    );
    (sim, list)
}

/// Everything a reader can learn.
fn everything(sim: &mut Sim, list: &str) -> Vec<Value> {
    let mut seen: Vec<Value> = [
        "state",
        "ru",
        "permissions",
        "recycle-bin",
        "lists/L/items",
        "lists/L/items/1",
        "lists/L/columns",
        "lists/L/recycle-bin",
    ]
    .iter()
    .map(|path| sim.act("GET", path, Value::Null))
    .collect();
    seen.push(sim.read(&format!(
        "{list}/items?$expand=fields&$filter=fields/Key%20eq%20'k1'"
    )));
    seen.push(sim.read(&format!("{list}/columns?$select=name,hidden")));
    seen.push(sim.read(&format!("{list}/items/1/versions?$expand=fields")));
    seen
}

#[test]
fn a_loaded_tenant_is_the_saved_one_down_to_the_next_id() {
    let (mut sim, list) = lived_in(Options::default());
    let (_, link) = sim.changes(&format!("{list}/items/delta?token=latest"));
    let text = sim.tenant.save().unwrap();
    let loaded = Tenant::load(Options::default(), &text).unwrap();
    assert_eq!(
        loaded.save().unwrap(),
        text,
        "what was loaded is saved as the same text"
    );
    let mut again = Sim::resumed(loaded, sim.now);
    // The resumed client asked for a token of its own; so does this one, and both go on alike.
    sim.renew();
    assert_eq!(everything(&mut again, &list), everything(&mut sim, &list));
    for sim in [&mut sim, &mut again] {
        assert_eq!(sim.changes(&link).0, []);
        let taken = sim.call(
            "POST",
            &format!("{list}/items"),
            json!({ "fields": { "Key": "K1" } }),
        );
        assert_eq!(taken.status, 409, "the index is there");
    }
    let more = |sim: &mut Sim| {
        sim.item(&list, json!({ "Key": "new" }));
        sim.act("POST", "lists/L/recycle-bin/4/restore", Value::Null);
        (sim.changes(&link).0, sim.tenant.save().unwrap())
    };
    assert_eq!(more(&mut again), more(&mut sim));
}

#[test]
fn a_text_that_is_not_whole_or_not_ours_is_refused_with_the_reason() {
    let (sim, _) = lived_in(Options::default());
    let text = sim.tenant.save().unwrap();
    let refused = |text: &str| Tenant::load(Options::default(), text).unwrap_err();
    assert_eq!(refused(""), StateError::NotAState);
    assert_eq!(refused("{}"), StateError::NotAState);
    let newer = text.replacen("graph-sim-state 1 ", "graph-sim-state 7 ", 1);
    assert_eq!(refused(&newer), StateError::UnknownVersion("7".to_owned()));
    assert!(refused(&newer).to_string().contains("reads format 1"));
    for cut in [text.len() / 2, text.len() - 2, 30] {
        assert!(
            matches!(refused(&text[..cut]), StateError::Damaged(_)),
            "cut at {cut}"
        );
    }
    let altered = text.replacen("k2", "k1", 1);
    assert_eq!(refused(&altered), StateError::Damaged("its content"));
    let elsewhere = Options {
        hostname: "fabrikam.sharepoint.com".to_owned(),
        ..Options::default()
    };
    assert!(matches!(
        Tenant::load(elsewhere, &text),
        Err(StateError::OtherTenant(_))
    ));
    let berlin = Options {
        time_zone: chrono_tz::Tz::Europe__Berlin,
        ..Options::default()
    };
    assert!(
        Tenant::load(berlin, &text)
            .unwrap_err()
            .to_string()
            .contains("--site-time-zone UTC")
    );
}

#[test]
fn new_sites_and_clients_join_a_loaded_tenant_and_old_ones_keep_their_numbers() {
    let (sim, list) = lived_in(Options::default());
    let client = |id: &str| Client {
        id: id.to_owned(),
        secret: "s".to_owned(),
    };
    let options = Options {
        sites: vec!["extra".to_owned()],
        clients: vec![client("newcomer"), client("sim-client")],
        ..Options::default()
    };
    let mut tenant = Tenant::load(options, &sim.tenant.save().unwrap()).unwrap();
    let answer = tenant.handle(token_request("newcomer", "s"), sim.now).response;
    assert_eq!(answer.status, 200);
    let mut again = Sim::resumed_as(tenant, sim.now, "sim-client", "s");
    let state = again.act("GET", "state", Value::Null);
    let names: Vec<&Value> = state["sites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|site| &site["name"])
        .collect();
    assert_eq!(names, ["Communication site", "demo", "extra"]);
    let item = again.read(&format!("{list}/items/1"));
    assert_eq!(item["lastModifiedBy"]["application"]["id"], "sim-client");
    let edit = again.call("PATCH", &format!("{list}/items/1/fields"), json!({ "N": 8 }));
    assert_eq!(edit.status, 200);
    assert_eq!(
        again.act("GET", "lists/L/items/1", Value::Null)["editorName"],
        "sim-client"
    );
}

#[test]
fn a_file_is_written_on_demand_and_read_at_the_next_start() {
    let folder = std::env::temp_dir().join(format!("graph-sim-state-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("tenant");
    let mut sim = Sim::new();
    assert_eq!(
        sim.control("POST", "state/save", Value::Null).status,
        409,
        "nobody keeps it"
    );
    let mut sim = Sim::resumed(state_file::open(&file, Options::default()).unwrap(), sim.now);
    sim.list("Kept", json!([]));
    assert!(!file.exists());
    sim.act("POST", "state/save", Value::Null);
    let mut again = Sim::resumed(state_file::open(&file, Options::default()).unwrap(), sim.now);
    assert_eq!(
        again.act("GET", "state", Value::Null)["sites"][1]["lists"][0]["displayName"],
        "Kept"
    );
    let left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["tenant"], "nothing half-written is left beside it");
    std::fs::write(&file, "graph-sim-state 2 0 0").unwrap();
    let error = state_file::open(&file, Options::default()).unwrap_err();
    assert!(format!("{error:#}").contains("format \"2\""), "{error:#}");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let error = state_file::open(&file, Options::default()).unwrap_err();
    assert!(format!("{error:#}").contains("cannot read"), "{error:#}");
    std::fs::remove_dir_all(&folder).unwrap();
}
