//! Rows that the list refuses: the others go on, the refused ones are told, and they are tried again in order.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

fn by_watermark() -> Json {
    json!({"source": {"feed": "watermark", "watermark": "changed"}, "limits": {"pageRows": 100}})
}

fn rows(count: u32) -> String {
    format!(
        "create table t (id int primary key, name text not null, changed timestamptz not null);
         insert into t select n, 'row ' || n, '2026-01-01Z'::timestamptz + n * interval '1 second'
         from generate_series(1, {count}) n;"
    )
}

/// Entries of the quarantine.
fn quarantine(world: &World, name: &str) -> Vec<Json> {
    let listed = world
        .command(&["quarantine", "list", name, "--limit", "500", "-o", "json"])
        .json();
    listed.as_array().expect("a list").clone()
}

/// Runs a definition, fails unless it ends in this state, and answers what it wrote.
async fn written(world: &World, name: &str, state: &str) -> (Writes, Json) {
    world.reset_account().await;
    let report = world.run(name);
    assert_eq!(report["outcome"]["state"], state, "{report:#}");
    (world.writes().await, report)
}

#[tokio::test]
async fn a_03_a_row_refused_once_arrives_with_the_next_run_while_later_rows_went_with_the_first() {
    let world = World::new().await;
    world.sql(&rows(60)).await;
    for (name, more) in [("marked", by_watermark()), ("scanned", json!({}))] {
        world.apply(&world.definition(name, "public.t", more)).ok();
        let refusal =
            json!([{"kind": "refuse", "on": ["create"], "field": "Title", "equals": "row 7", "times": 1}]);
        world.faults(refusal).await;
        let (first, report) = written(&world, name, "completed_with_errors").await;
        assert_eq!(first.creates, 59, "{report:#}");
        assert_eq!(quarantine(&world, name).len(), 1);
        let (second, report) = written(&world, name, "completed").await;
        assert_eq!(
            second,
            Writes {
                creates: 1,
                ..Writes::NONE
            },
            "{report:#}"
        );
        assert_eq!(quarantine(&world, name).len(), 0);
        world.assert_equal(name, 60);
    }
    // A change that is refused, with a watermark below those of the rows that go: the cursor does not hide it.
    world
        .sql(
            "update t set name = 'second ' || id, changed = '2026-02-01Z'::timestamptz + id * interval '1 second'
             where id between 10 and 50",
        )
        .await;
    for name in ["marked", "scanned"] {
        let refusal =
            json!([{"kind": "refuse", "on": ["patch"], "field": "Title", "equals": "second 10", "times": 1}]);
        world.faults(refusal).await;
        let (first, report) = written(&world, name, "completed_with_errors").await;
        assert_eq!(
            first,
            Writes {
                patches: 40,
                ..Writes::NONE
            },
            "{report:#}"
        );
        let (second, report) = written(&world, name, "completed").await;
        assert_eq!(
            second,
            Writes {
                patches: 1,
                ..Writes::NONE
            },
            "{report:#}"
        );
        world.assert_equal(name, 60);
    }
}

#[tokio::test]
async fn a_11_one_refused_row_in_a_hundred_is_quarantined_with_its_cause_and_all_others_arrive() {
    let world = World::new().await;
    world.sql(&rows(1000)).await;
    world
        .apply(&world.definition("t", "public.t", by_watermark()))
        .ok();
    // The service's wording for a value that a column does not take.
    world
        .faults(json!([{
            "kind": "refuse", "on": ["create", "patch"], "field": "Title", "one_in": 100,
            "code": "invalidRequest", "message": "Field 'Title' does not accept the value.",
        }]))
        .await;
    let ran = world.command(&["run", "t", "-o", "json"]);
    assert_eq!(ran.code(), 3, "{}", ran.err());
    let report = ran.json();
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    let refused = world.sim_get("faults").await["faults"][0]["hits"]
        .as_u64()
        .expect("hits");
    assert!((3..=30).contains(&refused), "{refused} of 1,000 values");
    assert_eq!(report["outcome"]["counters"]["created"], 1000 - refused);
    assert_eq!(report["outcome"]["counters"]["quarantined"], refused);

    let entries = quarantine(&world, "t");
    assert_eq!(entries.len() as u64, refused);
    let there: BTreeSet<String> = world
        .items("t")
        .await
        .iter()
        .map(|item| item["fields"]["Title"].to_string())
        .collect();
    assert_eq!(there.len() as u64, 1000 - refused);
    for entry in &entries {
        let key = entry["key"][0].as_str().expect("a key");
        assert!(!there.contains(&format!("\"row {key}\"")), "{entry:#}");
        // By the source's name or by the list's, in which Graph speaks.
        assert!(entry["column"] == "name", "{entry:#}");
        assert_eq!(entry["attempts"], 1, "{entry:#}");
        for said in ["code", "cause", "fix", "request_id", "retry_at"] {
            let text = entry[said]
                .as_str()
                .unwrap_or_else(|| panic!("no {said}: {entry:#}"));
            assert!(!text.is_empty(), "{said}: {entry:#}");
            assert!(
                !text.contains(&format!("row {key}")),
                "a value in {said}: {entry:#}"
            );
        }
    }
    let found = world.verify("t");
    assert_eq!(found["missing"], refused, "{found:#}");
    assert_eq!(found["explained"], refused, "{found:#}");
    assert_eq!(found["equal"], 1000 - refused, "{found:#}");
}

#[tokio::test]
async fn a_11_refused_rows_wait_for_their_time_or_for_a_change_of_the_row_and_are_never_green() {
    let world = World::new().await;
    world.sql(&rows(300)).await;
    for (name, more) in [("marked", by_watermark()), ("scanned", json!({}))] {
        world.apply(&world.definition(name, "public.t", more)).ok();
        // Nothing in this answer says which column it is about.
        world
            .faults(json!([{"kind": "refuse", "on": ["create"], "field": "Title", "one_in": 50}]))
            .await;
        let (first, _) = written(&world, name, "completed_with_errors").await;
        let refused = 300 - first.creates;
        assert!((2..=20).contains(&refused), "{refused} of 300 values");
        let hits = async || world.sim_get("faults").await["faults"][0]["hits"].clone();
        assert_eq!(hits().await, refused);

        // The next run tries each once more, and from then on not before its time.
        written(&world, name, "completed_with_errors").await;
        assert_eq!(hits().await, 2 * refused);
        assert!(
            quarantine(&world, name)
                .iter()
                .all(|entry| entry["attempts"] == 2)
        );
        postpone(&world, name, "1 hour").await;
        for _ in 0..2 {
            written(&world, name, "completed_with_errors").await;
            assert_eq!(world.spent().await.1, 0, "{name}: a waiting row costs nothing");
        }

        // The list has learnt better, but nobody asks it yet; only the row that changed is tried at once.
        world.faults(json!([])).await;
        let waiting = quarantine(&world, name);
        let changed = waiting[0]["key"][0].as_str().expect("a key").to_owned();
        world
            .sql(&format!(
                "update t set name = name || ' better', changed = changed + interval '1 day' where id = {changed}"
            ))
            .await;
        let (after, report) = written(&world, name, "completed_with_errors").await;
        assert_eq!(
            after,
            Writes {
                creates: 1,
                ..Writes::NONE
            },
            "{report:#}"
        );
        let left = quarantine(&world, name);
        assert_eq!(left.len() as u64, refused - 1);
        assert!(left.iter().all(|entry| entry["key"][0] != changed.as_str()));

        // Their time comes.
        postpone(&world, name, "-1 second").await;
        let (last, report) = written(&world, name, "completed").await;
        let expected = Writes {
            creates: refused - 1,
            ..Writes::NONE
        };
        assert_eq!(last, expected, "{report:#}");
        assert!(quarantine(&world, name).is_empty());
        world.assert_equal(name, 300);
    }
}

/// Moves the next attempt of every waiting row of a definition: nobody waits for it here.
async fn postpone(world: &World, name: &str, by: &str) {
    let moved = sqlx::query(
        "update quarantine q set retry_at = clock_timestamp() + $2::text::interval
         from definitions d where d.definition_id = q.definition_id and d.name = $1",
    )
    .bind(name)
    .bind(by)
    .execute(world.meta_pool())
    .await
    .expect("the meta-store answers");
    assert!(moved.rows_affected() > 0, "nothing waits in {name}");
}
