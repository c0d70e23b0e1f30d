//! A list that takes no notice of `If-Match`: our changes pass over what people wrote meanwhile, and that is not silent.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::World;
use syncbridge_end_to_end::proxy::{Fate, Gate, Passing, Proxy};

const TABLE: &str = "create table t (id int primary key, code text not null, note text, price int);
    insert into t select n, 'code ' || n, 'note ' || n, n from generate_series(1, 5) n;";

/// Rows in the tests below.
const ROWS: i64 = 5;

async fn world(direction: &str, versions: u32) -> (World, Proxy) {
    let mut world = World::with(|options| {
        let ignored = format!(r#"{{"if_match": false, "versions_kept": {versions}}}"#);
        options.extra.extend(["--behaviour".into(), ignored]);
    })
    .await;
    let proxy = world.behind_proxy().await;
    world.shorten_leases();
    world.sql(TABLE).await;
    let mut spec = json!({"direction": direction, "onDelete": "propagate"});
    if direction == "both" {
        spec["twoWay"] = json!({"fullVisibility": "attested", "deleteDelay": "off", "lossy": "allow"});
    }
    world.applied(spec);
    world.completed(&[]).await;
    (world, proxy)
}

async fn item(world: &World, code: &str) -> Json {
    world.item_where("t", "Code", &json!(code)).await
}

/// Column, winner, and what the list held, of what is on record.
async fn kept(world: &World) -> Vec<(String, String, Json)> {
    let listed = world.command(&["conflicts", "list", "t", "-o", "json"]).json();
    let listed = listed.as_array().expect("conflicts").clone();
    let mut kept = Vec::new();
    for conflict in listed.iter().rev() {
        let id = conflict["id"].as_str().expect("an id");
        let shown = world.command(&["conflicts", "show", id, "-o", "json"]).json();
        let text = |key: &str| conflict[key].as_str().expect("a text").to_owned();
        kept.push((text("column"), text("winner"), shown["target"].clone()));
    }
    kept
}

/// A change of ours waits in the network while a person edits its item twice, then lands; the run's report.
async fn passed_over(world: &World, proxy: &Proxy) -> Json {
    world.sql("update t set note = 'ours' where id = 2").await;
    let gate = proxy.hold_first(Passing::writes_items);
    let mut child = world.start("over", &["run", "t", "-o", "json"]);
    gate.reached().await;
    for theirs in [
        json!({"Note": "theirs at first", "Price": 22}),
        json!({"Note": "theirs"}),
    ] {
        world
            .person_edits("t", &item(world, "code 2").await, &theirs)
            .await;
    }
    gate.open();
    child.wait().expect("it ends");
    proxy.clear();
    assert_eq!(
        item(world, "code 2").await["fields"]["Note"],
        "ours",
        "it passed over"
    );
    let out = std::fs::read(world.folder.path().join("over.out")).expect("a report");
    serde_json::from_slice(&out).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_10_what_a_change_passed_over_is_kept_as_a_conflict_where_the_list_has_versions() {
    for direction in ["push", "both"] {
        let (world, proxy) = world(direction, 50).await;
        let report = passed_over(&world, &proxy).await;
        let expected = [("note".to_owned(), "source".to_owned(), json!("theirs"))];
        assert_eq!(kept(&world).await, expected, "{direction}");
        assert_eq!(report["outcome"]["counters"]["overridden"], 1, "{report:#}");
        world.until_nothing_happens().await;
        assert_eq!(kept(&world).await, expected, "{direction}: once is enough");
        if direction == "both" {
            assert_eq!(world.count("select price::bigint from t where id = 2").await, 22);
            world.assert_equal("t", ROWS);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_10_what_a_change_passed_over_is_reported_where_the_list_has_no_versions() {
    for direction in ["push", "both"] {
        let (world, proxy) = world(direction, 0).await;
        let report = passed_over(&world, &proxy).await;
        let notices = report["outcome"]["notices"].to_string();
        assert!(
            notices.contains("list.precondition_ignored"),
            "{direction}: {report:#}"
        );
        world.until_nothing_happens().await;
        if direction == "both" {
            assert_eq!(world.count("select price::bigint from t where id = 2").await, 22);
            world.assert_equal("t", ROWS);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_10_a_change_whose_answer_was_lost_hides_nothing_that_it_passed_over() {
    for direction in ["push", "both"] {
        let (world, proxy) = world(direction, 50).await;
        world.sql("update t set note = 'ours' where id = 2").await;
        let gate = proxy.hold_first(Passing::writes_items);
        let mut child = world.start("killed", &["run", "t"]);
        gate.reached().await;
        world
            .person_edits("t", &item(&world, "code 2").await, &json!({"Note": "theirs"}))
            .await;
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        gate.land().await;
        proxy.clear();
        assert_eq!(
            item(&world, "code 2").await["fields"]["Note"],
            "ours",
            "it passed over"
        );
        world.lease_runs_out("t").await;
        world.until_nothing_happens().await;
        let expected = [("note".to_owned(), "source".to_owned(), json!("theirs"))];
        assert_eq!(kept(&world).await, expected, "{direction}");
    }
}

fn asks_for_the_past(passing: &Passing) -> bool {
    let asks = |text: &str| text.contains("/versions") || text.contains("_UIVersionString");
    asks(&passing.path) || asks(&passing.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_10_what_a_change_passed_over_is_asked_for_again_where_it_could_not_be_asked_at_once() {
    let (world, proxy) = world("push", 50).await;
    world.sql("update t set note = 'ours' where id = 2").await;
    let (gate, mut taken) = (Gate::default(), false);
    let held = gate.clone();
    proxy.script(move |passing| match passing.writes_items() && !taken {
        true => {
            taken = true;
            Fate::Hold(held.clone())
        }
        false if asks_for_the_past(passing) => Fate::CutBefore,
        false => Fate::Forward,
    });
    let mut child = world.start("over", &["run", "t"]);
    gate.reached().await;
    let theirs = json!({"Note": "theirs"});
    world
        .person_edits("t", &item(&world, "code 2").await, &theirs)
        .await;
    gate.open();
    child.wait().expect("it ends");
    assert_eq!(world.effects().await.open, 1, "it waits for the past to be told");
    proxy.clear();
    world.lease_runs_out("t").await;
    world.until_nothing_happens().await;
    let expected = [("note".to_owned(), "source".to_owned(), json!("theirs"))];
    assert_eq!(kept(&world).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_09_nothing_is_sent_while_the_past_of_an_item_cannot_be_asked() {
    let (world, proxy) = world("both", 50).await;
    world.sql("update t set note = 'ours' where id = 2").await;
    let (gate, mut cut) = (Gate::default(), false);
    let held = gate.clone();
    proxy.script(move |passing| {
        if passing.writes_items() && !cut {
            cut = true;
            return Fate::CutAfter;
        }
        match asks_for_the_past(passing) {
            true => Fate::CutBefore,
            false if cut && passing.path.contains("/items") => Fate::Hold(held.clone()),
            false => Fate::Forward,
        }
    });
    let mut child = world.start("cut", &["run", "t"]);
    gate.reached().await;
    // Twice, so that the counter alone does not tell what became of ours.
    for theirs in [json!({"Price": 22}), json!({"Note": "theirs"})] {
        world
            .person_edits("t", &item(&world, "code 2").await, &theirs)
            .await;
    }
    gate.open();
    child.wait().expect("it ends");
    assert_eq!(item(&world, "code 2").await["fields"]["Note"], "theirs");
    assert_eq!(world.effects().await.open, 1, "it waits for the past to be told");
    proxy.clear();
    world.lease_runs_out("t").await;
    world.until_nothing_happens().await;
    assert_eq!(item(&world, "code 2").await["fields"]["Note"], "theirs");
    assert!(kept(&world).await.is_empty(), "theirs is newer than ours");
    world.assert_equal("t", ROWS);
}
