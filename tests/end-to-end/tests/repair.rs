//! Repair where more is amiss than single cells: a column that was made anew, and a repair that is killed.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::at_rest::Seeded;
use syncbridge_end_to_end::{World, Writes};

const TABLE: &str = "create table t (id int primary key, code text, price numeric(10,2));";

/// The only column of this name.
async fn column(world: &World, name: &str) -> Option<Json> {
    let columns = world.sim_get("lists/t/columns").await;
    let columns = columns["columns"].as_array().expect("columns");
    let mut named = columns.iter().filter(|column| column["name"] == name);
    let found = named.next().cloned();
    assert!(named.next().is_none(), "two columns {name}");
    found
}

#[tokio::test]
async fn a_mapped_column_that_a_person_deleted_is_filled_again_for_rows_that_did_not_change_too() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world
        .sql("insert into t select n, 'code ' || n, nullif(n % 10, 0) from generate_series(1, 60) n")
        .await;
    world.applied(json!({}));
    world.completed(&[]).await;
    world
        .sim_send("DELETE", "lists/t/columns/Price", &json!({}))
        .await;
    assert!(column(&world, "Price").await.is_none());
    let verified = world.command(&["verify", "t"]);
    assert_eq!(verified.code(), 1, "{}", verified.out());
    let said = verified.out() + &verified.err();
    for part in ["graph.column_unknown", "apply the definition again"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // What the message says: the column is made anew, and is empty.
    world.applied(json!({}));
    world
        .sql("update t set code = 'new ' || id where id <= 5; update t set price = 77 where id = 6")
        .await;
    world.completed(&[]).await;
    assert!(column(&world, "Price").await.is_some());
    let found = world.verify("t");
    let count = |key: &str| found[key].as_u64().expect("a count");
    // Rows without a price are right as they are, and the price that changed was written.
    assert_eq!((count("differing"), count("equal")), (53, 7), "{found:#}");

    world.reset_account().await;
    world.command(&["verify", "t", "--repair"]).ok();
    let once = Writes {
        patches: 53,
        ..Writes::NONE
    };
    assert_eq!(world.writes().await, once);
    world.assert_equal("t", 60);
    assert_eq!(
        world.completed(&["--full"]).await,
        Writes::NONE,
        "what repair wrote is agreed on"
    );
}

const ROWS: usize = 300;
/// Items of each kind that are amiss.
const EACH: u64 = 40;

/// Edits, deletes and copies items far apart, as a person does who finds the list without its guard.
async fn damaged(world: &World) {
    let list = world.list_id("t").await;
    let path = format!("/sites/contoso.sharepoint.com:/sites/Company:/lists/{list}/columns/SyncBridgeKey");
    world
        .graph_patch(&path, &json!({"enforceUniqueValues": false}))
        .await;
    let items = world.items("t").await;
    let picked = |of: usize| {
        items
            .iter()
            .skip(of)
            .step_by(ROWS / EACH as usize)
            .take(EACH as usize)
    };
    for item in picked(0) {
        world.person_edits("t", item, &json!({"Code": "scribbled"})).await;
    }
    for item in picked(2) {
        world.person_deletes("t", item).await;
    }
    for item in picked(4) {
        let mut fields = json!({});
        for name in ["Title", "Code", "Price", "SyncBridgeKey"] {
            fields[name] = item["fields"][name].clone();
        }
        world
            .sim_send("POST", "lists/t/items", &json!({ "fields": fields }))
            .await;
    }
    world.reset_account().await;
}

/// Starts a repair and kills it once it wrote so many items more; whether it was killed before its end.
async fn killed_repair(world: &World, after: u64) -> bool {
    let written = async || {
        let writes = world.writes().await;
        writes.creates + writes.patches + writes.deletes
    };
    let start = written().await;
    let mut child = world.start("killed", &["verify", "t", "--repair", "--allow-deletes", "40"]);
    while child.try_wait().expect("a child").is_none() {
        if written().await >= start + after {
            child.kill().expect("a child of ours");
            child.wait().expect("it ends");
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    false
}

#[tokio::test]
async fn a_repair_that_is_killed_leaves_nothing_twice_and_the_next_one_completes() {
    let mut world = World::with(|options| options.latency_ms = 3).await;
    world.shorten_leases();
    world.sql(TABLE).await;
    world
        .sql(&format!(
            "insert into t select n, 'code ' || n, n from generate_series(1, {ROWS}) n"
        ))
        .await;
    world.applied(json!({"limits": {"pageRows": 40, "batchWrites": 10, "batchesInFlight": 2}}));
    world.completed(&[]).await;
    damaged(&world).await;
    let mut random = Seeded::new(4);
    let (mut killed, mut left_open) = (0, 0);
    for _ in 0..4 {
        if !killed_repair(&world, 1 + random.below(35)).await {
            break;
        }
        killed += 1;
        left_open += u64::try_from(world.effects().await.open).expect("a count");
        world.lease_runs_out("t").await;
    }
    assert!(killed >= 3, "the repair was over after {killed} kills");
    assert!(left_open > 0, "no kill fell between admitting and settling");

    let last = world.command(&["verify", "t", "--repair", "--allow-deletes", "40", "-o", "json"]);
    assert_eq!(last.code(), 0, "{}\n{}", last.out(), last.err());
    let writes = world.writes().await;
    assert_eq!(
        (writes.creates, writes.deletes),
        (EACH, EACH),
        "each that was missing once, each copy once, and none of the originals"
    );
    assert!(
        (EACH..=EACH + left_open).contains(&writes.patches),
        "{writes:?} with {left_open} open"
    );
    assert_eq!(world.items("t").await.len(), ROWS);
    world.assert_equal("t", ROWS as i64);
    // Rows whose write was in doubt are looked at once more by the next run, which finds them right.
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    assert_eq!(world.effects().await.open, 0);
    for table in ["dirty", "quarantine", "ledger where state <> 1"] {
        let left = world.meta_count(&format!("select count(*) from {table}")).await;
        assert_eq!(left, 0, "{table}");
    }
}
