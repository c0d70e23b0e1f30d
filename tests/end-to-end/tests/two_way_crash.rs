//! Two-way runs that end in the middle of a write: what was in flight is carried out once, and who edited after it is
//! newer.

use serde_json::{Value as Json, json};
use sqlx::{Connection as _, PgConnection};
use syncbridge_end_to_end::proxy::{Fate, Gate};
use syncbridge_end_to_end::{World, until};

use crate::two_way_chaos::{RUNS_TO_REST, TABLE};

/// Rows in the tests below.
const FEW: i64 = 20;

/// Commits that wait while somebody holds the lock; it takes longer than locks of ours may take, so it is exempt.
const SLOW_COMMITS: &str =
    "create function wait() returns trigger language plpgsql set lock_timeout = 0 as $$ begin
        perform pg_advisory_xact_lock_shared(13); return null; end $$;
    create constraint trigger wait after insert or update or delete on t
        deferrable initially deferred for each row execute function wait();";

const COMMITTING: &str = "from pg_stat_activity
    where datname = current_database() and query = 'COMMIT' and wait_event = 'advisory'";

/// What becomes of a transaction that was about to commit when we were killed.
#[derive(Clone, Copy, Debug)]
enum End {
    Commits,
    Aborts,
    /// It is still about to while the next run looks, and commits then.
    CommitsLate,
}

/// A definition in both directions, at rest.
async fn both(mut world: World, policy: &str) -> World {
    world.shorten_leases();
    world.sql(TABLE).await;
    world
        .sql(&format!(
            "alter table t add constraint dear check (price < 1000);
             insert into t (code, note, price) select 'code ' || n, 'note ' || n, n from generate_series(1, {FEW}) n"
        ))
        .await;
    world.applied(json!({
        "direction": "both", "onDelete": "propagate", "conflict": policy, "exclude": ["changed"],
        "twoWay": {"fullVisibility": "attested", "deleteDelay": "off", "lossy": "allow"},
    }));
    world.completed(&[]).await;
    world.sql(SLOW_COMMITS).await;
    world
}

async fn session(world: &World) -> PgConnection {
    PgConnection::connect(&world.source.url())
        .await
        .expect("the source answers")
}

async fn say(session: &mut PgConnection, text: &'static str) {
    sqlx::raw_sql(text).execute(session).await.expect("it is done");
}

/// Kills a run in the midst of the commit of a source write, and lets the commit end as it is to.
async fn killed_while_committing(world: &World, end: End) {
    let mut holder = session(world).await;
    say(&mut holder, "select pg_advisory_lock(13)").await;
    let mut child = world.start("killed", &["run", "t"]);
    let waiting = format!("select count(*) {COMMITTING}");
    until("the source commits", || async {
        world.count(&waiting).await == 1
    })
    .await;
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(world.effects().await.open > 0, "the write is not on record");
    world.lease_runs_out("t").await;
    match end {
        End::Commits => {}
        End::Aborts => {
            let ended = format!("select count(pg_terminate_backend(pid)) {COMMITTING}");
            assert_eq!(world.count(&ended).await, 1);
        }
        End::CommitsLate => {
            world.run_admitted("t", &[]).await;
            assert!(
                world.effects().await.open > 0,
                "nobody can know yet what became of it"
            );
            assert_eq!(world.count(&waiting).await, 1, "it still commits");
        }
    }
    say(&mut holder, "select pg_advisory_unlock(13)").await;
    until("the commit is over", || async {
        world.count(&waiting).await == 0
    })
    .await;
}

/// Runs until one has nothing to do, whatever waits for a person.
async fn until_nothing_happens(world: &World) {
    let mut report = Json::Null;
    for _ in 0..RUNS_TO_REST {
        let before = world.writes().await;
        report = world.run_admitted("t", &[]).await;
        let counters = &report["outcome"]["counters"];
        let still = ["inserted_rows", "updated_rows", "deleted_rows", "recovered"]
            .iter()
            .all(|kind| counters[kind] == 0);
        if still && before == world.writes().await && world.effects().await.open == 0 {
            return;
        }
    }
    panic!("{RUNS_TO_REST} runs brought no rest: {report:#}");
}

async fn conflicts(world: &World) -> i64 {
    world.meta_count("select count(*) from conflicts").await
}

async fn quarantined(world: &World) -> i64 {
    world.meta_count("select count(*) from quarantine").await
}

/// Note and price of the only row of this code; nothing where there is none.
async fn row(world: &World, code: &str) -> Option<(Option<String>, Option<String>)> {
    let mut found = sqlx::query_as("select note, price::text from t where code = $1")
        .bind(code)
        .fetch_all(world.source_pool())
        .await
        .expect("the source answers");
    assert!(found.len() < 2, "{code} is there twice");
    found.pop()
}

async fn item(world: &World, code: &str) -> Json {
    world.item_where("t", "Code", &json!(code)).await
}

fn shows(note: &str, price: &str) -> Option<(Option<String>, Option<String>)> {
    Some((Some(note.to_owned()), Some(price.to_owned())))
}

/// Each end, with nothing else in the transaction and with a neighbour that is refused.
fn ends() -> impl Iterator<Item = (usize, End, bool)> {
    let ends = [End::Commits, End::Aborts, End::CommitsLate];
    let both = [false, true]
        .into_iter()
        .flat_map(move |refused| ends.map(|end| (end, refused)));
    both.enumerate().map(|(at, (end, refused))| (at, end, refused))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_13_an_insert_killed_in_its_commit_makes_one_row() {
    let world = both(World::new().await, "source_wins").await;
    let mut rows = FEW;
    for (at, end, refused) in ends() {
        let (code, dear) = (format!("new {at}"), format!("dear {at}"));
        if refused {
            world
                .person_adds("t", &json!({"Code": dear, "Price": 5000}))
                .await;
        }
        world
            .person_adds("t", &json!({"Code": code, "Note": "theirs", "Price": 4.25}))
            .await;
        killed_while_committing(&world, end).await;
        until_nothing_happens(&world).await;
        rows += 1;
        assert_eq!(row(&world, &code).await, shows("theirs", "4.25"), "{end:?}");
        assert_eq!(
            (row(&world, &dear).await, quarantined(&world).await),
            (None, i64::from(refused))
        );
        if refused {
            let theirs = item(&world, &dear).await;
            world
                .person_edits("t", &theirs, &json!({"Note": "less", "Price": 500}))
                .await;
            until_nothing_happens(&world).await;
            rows += 1;
            assert_eq!(row(&world, &dear).await, shows("less", "500.00"), "{end:?}");
        }
        assert_eq!(
            (conflicts(&world).await, quarantined(&world).await),
            (0, 0),
            "{end:?}"
        );
        world.assert_equal("t", rows);
        assert_eq!(world.items("t").await.len() as i64, rows, "one item a row");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_13_an_update_killed_in_its_commit_arrives() {
    let world = both(World::new().await, "source_wins").await;
    for (at, end, refused) in ends() {
        let (code, dear) = (format!("code {}", 2 * at + 1), format!("code {}", 2 * at + 2));
        let before = row(&world, &dear).await;
        let theirs = item(&world, &code).await;
        world
            .person_edits("t", &theirs, &json!({"Note": "theirs", "Price": 4.25}))
            .await;
        if refused {
            let theirs = item(&world, &dear).await;
            world
                .person_edits("t", &theirs, &json!({"Note": "more", "Price": 5000}))
                .await;
        }
        killed_while_committing(&world, end).await;
        until_nothing_happens(&world).await;
        assert_eq!(row(&world, &code).await, shows("theirs", "4.25"), "{end:?}");
        assert_eq!(
            (row(&world, &dear).await, quarantined(&world).await),
            (before, i64::from(refused))
        );
        if refused {
            let theirs = item(&world, &dear).await;
            world.person_edits("t", &theirs, &json!({"Price": 500})).await;
            until_nothing_happens(&world).await;
            assert_eq!(row(&world, &dear).await, shows("more", "500.00"), "{end:?}");
        }
        assert_eq!(
            (conflicts(&world).await, quarantined(&world).await),
            (0, 0),
            "{end:?}"
        );
        world.assert_equal("t", FEW);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_13_a_delete_killed_in_its_commit_is_carried_out() {
    let world = both(World::new().await, "source_wins").await;
    for (at, end, _) in ends().filter(|(_, _, refused)| !refused) {
        let code = format!("code {}", at + 1);
        let theirs = item(&world, &code).await;
        world.person_deletes("t", &theirs).await;
        killed_while_committing(&world, end).await;
        until_nothing_happens(&world).await;
        assert_eq!(row(&world, &code).await, None, "{end:?}");
        assert_eq!(
            (conflicts(&world).await, quarantined(&world).await),
            (0, 0),
            "{end:?}"
        );
        world.assert_equal("t", FEW - 1 - at as i64);
    }
}

const POLICIES: [&str; 4] = ["source_wins", "target_wins", "latest_wins", "manual"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_09_a_person_who_edits_after_a_patch_whose_answer_was_lost_is_newer_under_every_policy() {
    for policy in POLICIES {
        let mut world = World::new().await;
        let proxy = world.behind_proxy().await;
        let world = both(world, policy).await;
        for (code, edit) in [
            ("code 3", json!({"Note": "theirs", "Price": 33})),
            ("code 4", json!({"Price": 33})),
        ] {
            world
                .sql(&format!("update t set note = 'ours' where code = '{code}'"))
                .await;
            let gate = Gate::default();
            let held = gate.clone();
            proxy.script(move |passing| match passing.writes_items() {
                true => Fate::HoldAnswer(held.clone()),
                false => Fate::Forward,
            });
            let mut child = world.start("killed", &["run", "t"]);
            gate.reached().await;
            let theirs = item(&world, code).await;
            assert_eq!(theirs["fields"]["Note"], "ours", "the write took effect");
            child.kill().expect("it runs");
            child.wait().expect("it ends");
            gate.open();
            proxy.clear();
            world.person_edits("t", &theirs, &edit).await;
            world.lease_runs_out("t").await;
            until_nothing_happens(&world).await;
            let note = edit["Note"].as_str().unwrap_or("ours");
            assert_eq!(row(&world, code).await, shows(note, "33.00"), "{policy}");
            assert_eq!(item(&world, code).await["fields"]["Note"], note, "{policy}");
            assert_eq!(
                (conflicts(&world).await, quarantined(&world).await),
                (0, 0),
                "{policy}"
            );
            world.assert_equal("t", FEW);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_09_who_edits_the_row_after_an_update_that_was_not_recorded_is_newer_under_every_policy() {
    for policy in POLICIES {
        let world = both(World::new().await, policy).await;
        let theirs = item(&world, "code 3").await;
        world
            .person_edits("t", &theirs, &json!({"Note": "theirs", "Price": 33}))
            .await;
        killed_while_committing(&world, End::Commits).await;
        assert_eq!(
            row(&world, "code 3").await,
            shows("theirs", "33.00"),
            "{policy}: it was committed"
        );
        world
            .sql("update t set note = 'ours' where code = 'code 3'")
            .await;
        until_nothing_happens(&world).await;
        assert_eq!(row(&world, "code 3").await, shows("ours", "33.00"), "{policy}");
        assert_eq!(item(&world, "code 3").await["fields"]["Note"], "ours", "{policy}");
        assert_eq!(
            (conflicts(&world).await, quarantined(&world).await),
            (0, 0),
            "{policy}"
        );
        world.assert_equal("t", FEW);
    }
}
