//! The time zone of the site, where no definition gives it: learnt from the list, kept, and shown.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{TENANT, World, Writes};

const TABLE: &str = "create table t (id int primary key, name text, day date);
    insert into t select n, 'row ' || n, '1890-12-27'::date + n * 997 from generate_series(10, 60) n;";

async fn world_in(zone: &str) -> World {
    let arguments = ["--tenant", TENANT, "--site-time-zone", zone]
        .map(String::from)
        .to_vec();
    let world = World::with(|options| options.extra = arguments).await;
    world.sql(TABLE).await;
    world
}

/// A definition that gives no time zone, over some of the columns.
fn definition(world: &World, fields: &[&str]) -> String {
    let fields: Vec<Json> = fields.iter().map(|name| json!({"column": name})).collect();
    let text = world.definition("t", "public.t", json!({"fields": fields}));
    let mut json: Json = serde_json::from_str(&text).expect("JSON");
    json["spec"]["target"]
        .as_object_mut()
        .expect("a target")
        .remove("timeZone");
    json.to_string()
}

async fn probes_left(world: &World) -> usize {
    let items = world.items("t").await;
    items
        .iter()
        .filter(|item| item["fields"]["SyncBridgeKey"] == "time-zone-probe")
        .count()
}

#[tokio::test]
async fn a_zone_that_is_not_given_is_learnt_by_the_first_run_kept_and_shown() {
    for zone in ["America/New_York", "Pacific/Auckland"] {
        let world = world_in(zone).await;
        let applied = world.apply(&definition(&world, &["id", "name", "day"])).ok();
        assert!(
            applied.out().contains("learns the site's time zone"),
            "{}",
            applied.out()
        );
        // Before there is a list everything that can be said is said.
        let plan = world.command(&["plan", "t", "-o", "json"]).json();
        assert_eq!(plan["outcome"]["state"], "completed", "{plan:#}");
        assert!(
            plan["outcome"]["notices"]
                .to_string()
                .contains("learnt by the first run"),
            "{plan:#}"
        );

        world.reset_account().await;
        let report = world.run("t");
        assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
        assert_eq!(report["provisioned"]["time_zone"], zone, "{report:#}");
        assert_eq!(probes_left(&world).await, 0);
        let (by_tag, _) = world.spent().await;
        assert!(
            by_tag
                .keys()
                .all(|tag| ["provision", "first_write", "scan"].contains(&tag.as_str())),
            "{by_tag:?}"
        );
        assert!(
            by_tag["provision"]["ru"].as_u64().expect("units") < 80,
            "{by_tag:?}"
        );
        world.assert_equal("t", 51);

        let shown = world.command(&["get", "definition", "t"]).ok().out();
        assert!(
            shown.contains(&format!("learnt from the list: {zone}")),
            "{shown}"
        );
        // What is shown can be applied as it is, and asks for nothing again.
        let file = world.folder.path().join("shown.yaml");
        std::fs::write(&file, shown).expect("a file");
        world
            .command(&["apply", "-f", file.to_str().expect("a path")])
            .ok();
        let listed = world.command(&["list", "definitions", "-o", "json"]).json();
        assert_eq!(listed[0]["status"]["learnt_time_zone"], zone, "{listed:#}");
        world.reset_account().await;
        world.run("t");
        assert_eq!(world.writes().await, Writes::NONE);
        assert!(!world.spent().await.0.contains_key("provision"));
    }
}

#[tokio::test]
async fn a_probe_left_behind_by_a_crash_is_taken_over_and_goes() {
    let world = world_in("Europe/Berlin").await;
    world.apply(&definition(&world, &["id", "name"])).ok();
    world.run("t");
    let list = world.list_id("t").await;
    let site = world.sim_get("state").await["sites"]
        .as_array()
        .expect("sites")
        .iter()
        .find(|site| {
            site["lists"]
                .as_array()
                .is_some_and(|lists| lists.iter().any(|one| one["id"] == list.as_str()))
        })
        .and_then(|site| site["id"].as_str().map(str::to_owned))
        .expect("the site");
    let left = json!({"fields": {"Title": "left behind", "SyncBridgeKey": "time-zone-probe"}});
    world
        .graph_post(&format!("/sites/{site}/lists/{list}/items"), &left)
        .await;
    assert_eq!(probes_left(&world).await, 1);

    world.apply(&definition(&world, &["id", "name", "day"])).ok();
    // Days cannot be compared before the zone is known.
    let verified = world.command(&["verify", "t"]);
    assert_eq!(verified.code(), 1, "{}", verified.out());
    assert!(verified.err().contains("site.time_zone_unknown") && verified.err().contains("target.timeZone"));
    // A field that was never agreed on is written where a person said so.
    let report = world.run_with("t", &["--approve"]);
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(report["provisioned"]["time_zone"], "Europe/Berlin", "{report:#}");
    assert_eq!(probes_left(&world).await, 0);
    world.assert_equal("t", 51);
}

#[tokio::test]
async fn answers_that_are_lost_while_the_zone_is_learnt_leave_nothing_behind() {
    let world = world_in("America/Chicago").await;
    world.apply(&definition(&world, &["id", "name", "day"])).ok();
    // The probe's first creation and its first deletion take effect and are answered with an error.
    world
        .faults(json!([
            {"kind": "lost_answer", "on": ["create"], "times": 1},
            {"kind": "lost_answer", "on": ["delete"], "times": 1},
        ]))
        .await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(
        report["provisioned"]["time_zone"], "America/Chicago",
        "{report:#}"
    );
    assert_eq!(probes_left(&world).await, 0);
    world.assert_equal("t", 51);
}

#[tokio::test]
async fn a_list_that_takes_no_probe_is_refused_with_both_remedies_and_nothing_stays() {
    let world = world_in("Europe/Paris").await;
    world.apply(&definition(&world, &["id", "name", "day"])).ok();
    let refusal =
        json!([{"kind": "refuse", "on": ["patch"], "field": "Day", "one_in": 1, "code": "invalidRequest"}]);
    world.faults(refusal).await;
    let ran = world.command(&["run", "t"]);
    assert_eq!(ran.code(), 1, "{}", ran.out());
    for said in ["site.time_zone_unknown", "target.timeZone", "text"] {
        assert!(ran.err().contains(said), "{}", ran.err());
    }
    assert_eq!(world.items("t").await.len(), 0);
    // The cause gone, the next run goes on where this one stood.
    world.faults(json!([])).await;
    let report = world.run("t");
    assert_eq!(report["provisioned"]["time_zone"], "Europe/Paris", "{report:#}");
    world.assert_equal("t", 51);
}

#[tokio::test]
async fn a_list_of_peoples_own_is_not_probed_but_refused_with_both_remedies_until_the_zone_is_given() {
    let world = world_in("Asia/Kolkata").await;
    let own = json!([{"name": "Nr", "number": {"decimalPlaces": "none"}, "indexed": true, "enforceUniqueValues": true}, {"name": "Label", "text": {"allowMultipleLines": true}},
                     {"name": "Day", "dateTime": {"format": "dateOnly"}}]);
    world
        .sim_send(
            "POST",
            "lists",
            &json!({"site": "Company", "displayName": "t", "columns": own}),
        )
        .await;
    let columns = world.sim_get("lists/t/columns").await;
    let in_it = |zone: Json| {
        let fields = json!([{"column": "id", "name": "Nr"}, {"column": "name", "name": "Label"},
                            {"column": "day", "name": "Day"}]);
        let mut target = json!({"mode": "bring_your_own"});
        target["timeZone"] = zone;
        let text = world.definition("t", "public.t", json!({"target": target, "fields": fields}));
        let mut json: Json = serde_json::from_str(&text).expect("JSON");
        if json["spec"]["target"]["timeZone"].is_null() {
            json["spec"]["target"]
                .as_object_mut()
                .expect("a target")
                .remove("timeZone");
        }
        json.to_string()
    };
    world.reset_account().await;
    let refused = world.apply(&in_it(Json::Null));
    assert_eq!(refused.code(), 1, "{}", refused.out());
    for said in [
        "site.time_zone_unknown",
        "target.timeZone",
        "map the column to text",
        "`day`",
    ] {
        assert!(refused.err().contains(said), "{said}: {}", refused.err());
    }
    assert_eq!(world.items("t").await.len(), 0, "no probe either");
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(world.sim_get("lists/t/columns").await, columns);
    // Given, it is used, and nothing is learnt.
    world.apply(&in_it(json!("Asia/Kolkata"))).ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    world.assert_equal("t", 51);
    let item = world.item_where("t", "Nr", &json!(10)).await;
    assert_eq!(
        item["fields"]["Day"], "1918-04-14T18:30:00Z",
        "midnight in Kolkata: {item:#}"
    );
}
