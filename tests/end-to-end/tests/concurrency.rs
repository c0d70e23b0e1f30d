//! two runs at once write each row once.

use std::process::Child;

use serde_json::{Value as Json, json};
use syncbridge_devstack::process::{self, Action};
use syncbridge_end_to_end::{World, Writes};

const TABLE: &str = "create table t (id int primary key, name text not null, note text);
    insert into t select n, 'row ' || n from generate_series(1, 300) n;";

async fn world() -> World {
    // Slow enough that the two overlap.
    let world = World::with(|options| options.latency_ms = 5).await;
    world.sql(TABLE).await;
    let more = json!({"onDelete": "propagate", "limits": {"pageRows": 100, "batchesInFlight": 2}});
    world.apply(&world.definition("t", "public.t", more)).ok();
    world
}

/// Starts so many runs at the same moment and waits for all; their exit codes, sorted.
fn together(world: &World, count: usize) -> Vec<i32> {
    let children: Vec<Child> = (0..count)
        .map(|at| world.start(&format!("run-{at}"), &["run", "t", "-o", "json"]))
        .collect();
    let mut codes: Vec<i32> = children
        .into_iter()
        .map(|mut child| {
            let ended = child.wait().expect("it ends");
            ended.code().expect("it ended by itself")
        })
        .collect();
    codes.sort_unstable();
    codes
}

/// Every run either did its work or was refused for the lease, and at least one did.
fn assert_done_or_refused(codes: &[i32]) {
    assert!(codes.contains(&0), "{codes:?}");
    assert!(codes.iter().all(|code| [0, 5].contains(code)), "{codes:?}");
}

async fn each_row_once(world: &World) {
    let rows = world.count("select count(*) from t").await;
    world.assert_equal("t", rows);
    world.assert_at_rest().await;
    assert_eq!(world.items("t").await.len() as i64, rows);
}

#[tokio::test]
async fn a_10_two_runs_from_two_processes_write_each_row_once() {
    let world = world().await;
    let codes = together(&world, 2);
    assert_done_or_refused(&codes);
    each_row_once(&world).await;
    assert_eq!(
        world.writes().await.creates,
        300,
        "the first copy wrote each row once"
    );
    for round in 0..4 {
        world.reset_account().await;
        world
            .sql(&format!(
                "update t set note = 'round {round}' where id % 4 = {round};
                 insert into t select n, 'new' from generate_series(1000 + {round} * 100, 1000 + {round} * 100 + 19) n;
                 delete from t where id between 1 + {round} * 10 and 5 + {round} * 10"
            ))
            .await;
        let changed = world
            .count(&format!("select count(*) from t where note = 'round {round}'"))
            .await;
        assert_done_or_refused(&together(&world, 3));
        let expected = Writes {
            creates: 20,
            patches: u64::try_from(changed).expect("a count"),
            deletes: 5,
        };
        assert_eq!(world.writes().await, expected, "round {round}");
        each_row_once(&world).await;
    }
}

#[tokio::test]
async fn a_10_a_run_beside_another_is_refused_and_told_who_has_the_lease() {
    let world = world().await;
    world.run("t");
    world.sql("update t set note = 'held'").await;
    let mut first = world.start("first", &["run", "t"]);
    syncbridge_end_to_end::until("the first run writes", || async {
        world.writes().await.patches > 0
    })
    .await;
    process::send(first.id(), Action::Freeze).expect("it runs");
    let second = world.command(&["run", "t", "-o", "json"]);
    assert_eq!(second.code(), 5, "{}", second.err());
    let report = second.json();
    assert_eq!(report["outcome"]["state"], "refused", "{report:#}");
    assert_eq!(report["outcome"]["failure"]["code"], "lease.held", "{report:#}");
    process::send(first.id(), Action::Resume).expect("it is there");
    assert_eq!(first.wait().expect("it ends").code(), Some(0));
    each_row_once(&world).await;
    assert_eq!(world.writes().await.patches, 300);
}

#[tokio::test]
async fn a_10_a_lease_stolen_in_the_middle_of_a_run_lets_nothing_be_written_twice() {
    let mut world = world().await;
    world.shorten_leases();
    for round in 0..3 {
        world
            .sql(&format!("update t set note = 'round {round}' where id > {round}"))
            .await;
        let before = world.writes().await;
        let mut robbed = world.start("robbed", &["run", "t", "-o", "json"]);
        syncbridge_end_to_end::until("the first run writes", || async {
            let now = world.writes().await;
            now.creates + now.patches > before.creates + before.patches
        })
        .await;
        // As if its clock stood still: the lease runs out by the database's clock while the process goes on.
        sqlx::query("update writer_leases set expires_at = clock_timestamp() - interval '1 second'")
            .execute(world.meta_pool())
            .await
            .expect("the statement is right");
        world.run_to_end("t", &[]).await;
        let code = robbed.wait().expect("it ends").code();
        let out = std::fs::read_to_string(world.folder.path().join("robbed.out")).expect("its output");
        let report: Json = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        // It lost its lease, unless it had nothing left to write when that happened.
        if code != Some(0) {
            assert_eq!(report["outcome"]["failure"]["code"], "lease.lost", "{report:#}");
        }
        world.run_to_end("t", &[]).await;
        each_row_once(&world).await;
    }
    assert_eq!(world.writes().await.creates, 300, "no item was made twice");
}
