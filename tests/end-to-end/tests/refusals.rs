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
        let refusal = json!([{"kind": "refuse", "on": ["create"], "field": "Title", "equals": "row 7", "times": 1,
                    "status": 413}]);
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
        let refusal = json!([{"kind": "refuse", "on": ["patch"], "field": "Title", "equals": "second 10", "times": 1,
                    "status": 413}]);
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
        // An answer for which no column is to blame.
        world
            .faults(
                json!([{"kind": "refuse", "on": ["create"], "field": "Title", "one_in": 50, "status": 413}]),
            )
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

/// A table `t` of a key, a name and seven texts, and a definition of the same name.
async fn wide(count: u32, more: Json) -> World {
    let world = World::new().await;
    let columns = |each: fn(char) -> String| ('a'..='g').map(each).collect::<Vec<_>>().join(", ");
    let (declared, filled) = (
        columns(|c| format!("{c} text")),
        columns(|c| format!("'{c} ' || n")),
    );
    world
        .sql(&format!(
            "create table t (id int primary key, name text not null, {declared});
             insert into t select n, 'row ' || n, {filled} from generate_series(1, {count}) n"
        ))
        .await;
    world.apply(&world.definition("t", "public.t", more)).ok();
    world
}

/// Requests that were made to find out what a refusal was about.
async fn searches(world: &World) -> u64 {
    let (by_tag, _) = world.spent().await;
    by_tag
        .get("fault_retry")
        .map_or(0, |sum| sum["requests"].as_u64().expect("a number"))
}

/// Fails unless the row is in quarantine for this column, with everything a person needs and without a cell.
fn assert_blamed(entry: &Json, key: &str, column: &str) {
    assert_eq!(entry["key"][0], key, "{entry:#}");
    assert_eq!(entry["column"], column, "{entry:#}");
    assert_eq!(entry["code"], "item.column_refused", "{entry:#}");
    for said in ["cause", "fix", "request_id", "retry_at"] {
        let text = entry[said]
            .as_str()
            .unwrap_or_else(|| panic!("no {said}: {entry:#}"));
        assert!(!text.is_empty() && !text.contains("new "), "{said}: {entry:#}");
    }
}

#[tokio::test]
async fn a_11_a_change_that_is_refused_without_a_word_arrives_but_for_the_column_that_is_named() {
    let world = wide(30, json!({})).await;
    written(&world, "t", "completed").await;
    let changed = ('a'..='g')
        .map(|c| format!("{c} = 'new {c} ' || id"))
        .collect::<Vec<_>>()
        .join(", ");
    world
        .sql(&format!("update t set {changed} where id in (3, 17, 29)"))
        .await;
    // The refused parts say nothing; of the parts that are taken one answer is lost.
    world
        .faults(json!([
            {"kind": "refuse", "on": ["patch"], "field": "E", "in": ["new e 3", "new e 17"]},
            {"kind": "lost_answer", "on": ["patch"], "field": "A", "equals": "new a 17", "times": 1},
        ]))
        .await;
    let (_, report) = written(&world, "t", "completed_with_errors").await;
    assert_eq!(report["outcome"]["counters"]["quarantined"], 2, "{report:#}");
    let mut entries = quarantine(&world, "t");
    entries.sort_by_key(|entry| entry["key"][0].to_string());
    assert_eq!(entries.len(), 2);
    assert_blamed(&entries[0], "17", "e");
    assert_blamed(&entries[1], "3", "e");
    let spent = searches(&world).await;
    assert!(
        (2..=2 * 7).contains(&spent),
        "{spent} writes for two rows of seven changes"
    );
    for id in [3, 17, 29] {
        let fields = &world.item_where("t", "Title", &format!("row {id}").into()).await["fields"];
        for column in 'a'..='g' {
            let shown = &fields[column.to_ascii_uppercase().to_string()];
            let kept = column == 'e' && id != 29;
            let expected = format!("{}{column} {id}", if kept { "" } else { "new " });
            assert_eq!(*shown, expected, "{fields:#}");
        }
    }
    let found = world.verify("t");
    for (what, rows) in [("differing", 2), ("explained", 2), ("equal", 28), ("missing", 0)] {
        assert_eq!(found[what], rows, "{what}: {found:#}");
    }

    // What is known is not looked for again: one write a row, of that column alone.
    let hits = async || {
        world.sim_get("faults").await["faults"][0]["hits"]
            .as_u64()
            .expect("hits")
    };
    let before = hits().await;
    let (again, report) = written(&world, "t", "completed_with_errors").await;
    assert_eq!(again, Writes::NONE, "{report:#}");
    assert_eq!(hits().await, before + 2);
    assert_eq!(searches(&world).await, 0);
    let entries = quarantine(&world, "t");
    assert!(
        entries
            .iter()
            .all(|entry| entry["column"] == "e" && entry["attempts"] == 2)
    );

    // A person's edit of what had arrived is theirs, and the list has learnt better.
    world.faults(json!([])).await;
    postpone(&world, "t", "-1 second").await;
    let (last, report) = written(&world, "t", "completed").await;
    let expected = Writes {
        patches: 2,
        ..Writes::NONE
    };
    assert_eq!(last, expected, "{report:#}");
    world.assert_equal("t", 30);
}

#[tokio::test]
async fn a_11_a_new_row_that_is_refused_without_a_word_is_made_once_and_lacks_only_what_is_named() {
    let world = wide(40, json!({})).await;
    // Two columns of one row, one of another, and a title without which no item is made.
    world
        .faults(json!([
            {"kind": "refuse", "on": ["create", "patch"], "field": "B", "equals": "b 7"},
            {"kind": "refuse", "on": ["create", "patch"], "field": "G", "in": ["g 7", "g 21"]},
            {"kind": "refuse", "on": ["create", "patch"], "field": "Title", "equals": "row 33"},
        ]))
        .await;
    let (wrote, report) = written(&world, "t", "completed_with_errors").await;
    assert_eq!(wrote.creates, 39, "{report:#}");
    let mut entries = quarantine(&world, "t");
    entries.sort_by_key(|entry| {
        entry["key"][0]
            .as_str()
            .expect("a key")
            .parse::<u32>()
            .expect("a number")
    });
    assert_eq!(entries.len(), 3, "{entries:#?}");
    assert_blamed(&entries[0], "7", "b, g");
    assert_blamed(&entries[1], "21", "g");
    assert_blamed(&entries[2], "33", "name");
    let spent = searches(&world).await;
    assert!(spent <= 3 * 7, "{spent} writes for three rows of eight values");
    assert_eq!(world.items("t").await.len(), 39);
    let item = world.item_where("t", "Title", &"row 21".into()).await;
    assert_eq!(item["fields"]["F"], "f 21", "{item:#}");
    assert!(item["fields"]["G"].is_null(), "{item:#}");
    let found = world.verify("t");
    for (what, rows) in [
        ("differing", 2),
        ("missing", 1),
        ("explained", 3),
        ("equal", 37),
        ("duplicates", 0),
    ] {
        assert_eq!(found[what], rows, "{what}: {found:#}");
    }
    world.faults(json!([])).await;
    postpone(&world, "t", "-1 second").await;
    let (last, report) = written(&world, "t", "completed").await;
    let expected = Writes {
        creates: 1,
        patches: 2,
        deletes: 0,
    };
    assert_eq!(last, expected, "{report:#}");
    world.assert_equal("t", 40);
}

#[tokio::test]
async fn a_11_a_list_that_refuses_everything_is_not_asked_without_end() {
    let world = wide(60, json!({})).await;
    world.faults(json!([{"kind": "refuse", "on": ["create"]}])).await;
    let (wrote, report) = written(&world, "t", "completed_with_errors").await;
    assert_eq!(wrote, Writes::NONE, "{report:#}");
    let spent = searches(&world).await;
    assert!(spent <= 20 * 7, "{spent} writes");
    let entries = quarantine(&world, "t");
    assert_eq!(entries.len(), 60);
    let explained = entries.iter().filter(|entry| entry["column"] == "name").count();
    assert_eq!(explained, 20, "as many as a run looks into");
    let notices = report["outcome"]["notices"].to_string();
    assert!(notices.contains("more than 20 rows"), "{notices}");
}

#[tokio::test]
async fn a_11_a_search_that_ends_between_two_parts_leaves_the_row_to_the_next_run() {
    let world = World::new().await;
    world
        .sql(&format!(
            "{} alter table t add a text, add b text, add c text, add d text;
             update t set a = 'a', b = 'b', c = 'c', d = 'd'",
            rows(20)
        ))
        .await;
    world
        .apply(&world.definition("t", "public.t", by_watermark()))
        .ok();
    written(&world, "t", "completed").await;
    world
        .sql(
            "update t set a = 'new a', b = 'new b', c = 'new c', d = 'new d', changed = changed + interval '1 day'
             where id = 3;
             update t set changed = changed + interval '2 days' where id = 4",
        )
        .await;
    // The first part is taken; then the app loses its rights, which is no row's fault.
    world
        .faults(json!([
            {"kind": "refuse", "on": ["patch"], "field": "D", "equals": "new d"},
            {"kind": "refuse", "on": ["patch"], "field": "C", "equals": "new c", "status": 403, "code": "accessDenied"},
        ]))
        .await;
    let (wrote, report) = written(&world, "t", "failed").await;
    assert_eq!(
        report["outcome"]["failure"]["code"], "graph.forbidden",
        "{report:#}"
    );
    assert!((1..=2).contains(&wrote.patches), "{report:#}");
    assert!(quarantine(&world, "t").is_empty());
    // No feed says again that the row changed; it is still known to be unfinished.
    world.faults(json!([])).await;
    written(&world, "t", "completed").await;
    world.assert_equal("t", 20);
}

#[tokio::test]
async fn a_11_an_item_made_in_parts_bears_its_key_from_the_first_on() {
    let world = World::new().await;
    world
        .sql(
            "create table t (a varchar(80), b varchar(80), c varchar(80), id int primary key);
              insert into t select 'a ' || n, 'b ' || n, 'c ' || n, n from generate_series(1, 12) n",
        )
        .await;
    // A list of people's own, which would take any item twice.
    let columns = json!([{"name": "Nr", "number": {"decimalPlaces": "none"}}, {"name": "A", "text": {}},
                         {"name": "B", "text": {}}, {"name": "C", "text": {}}]);
    let list = json!({"site": "Company", "displayName": "t", "columns": columns});
    world.sim_send("POST", "lists", &list).await;
    let fields = json!([{"column": "a", "name": "A"}, {"column": "b", "name": "B"}, {"column": "c", "name": "C"},
                        {"column": "id", "name": "Nr"}]);
    let own = json!({"target": {"mode": "bring_your_own"}, "fields": fields});
    world.apply(&world.definition("t", "public.t", own)).ok();
    // The answer to the part that makes the item is lost as well.
    world
        .faults(json!([
            {"kind": "refuse", "on": ["create", "patch"], "field": "C", "equals": "c 5"},
            {"kind": "lost_answer", "on": ["create"], "field": "A", "equals": "a 5", "times": 1},
        ]))
        .await;
    for _ in 0..3 {
        let (_, report) = written(&world, "t", "completed_with_errors").await;
        let items = world.items("t").await;
        assert_eq!(items.len(), 12, "{report:#}");
        assert!(
            items.iter().all(|item| item["fields"]["Nr"].is_number()),
            "{items:#?}"
        );
    }
    let entries = quarantine(&world, "t");
    assert_eq!(entries.len(), 1);
    assert_blamed(&entries[0], "5", "c");
    let item = world.item_where("t", "A", &"a 5".into()).await;
    assert_eq!(item["fields"]["B"], "b 5", "{item:#}");
}

#[tokio::test]
async fn a_row_that_is_written_only_once_is_not_written_in_parts() {
    let world = wide(5, json!({"mode": "archive_only"})).await;
    world
        .faults(json!([{"kind": "refuse", "on": ["create"], "field": "C", "equals": "c 2"}]))
        .await;
    let (wrote, report) = written(&world, "t", "completed_with_errors").await;
    assert_eq!(wrote.creates, 4, "{report:#}");
    assert_eq!(searches(&world).await, 0);
    assert_eq!(quarantine(&world, "t")[0]["code"], "graph.general_exception");
}

#[tokio::test]
async fn a_list_that_only_asks_to_wait_ends_the_run_and_blames_no_row() {
    let world = wide(30, json!({"limits": {"standstillSeconds": 1}})).await;
    world
        .faults(json!([{"kind": "throttle", "on": ["write"], "status": 503, "retry_after": "0.2"}]))
        .await;
    let ran = world.command(&["run", "t", "-o", "json"]);
    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    let report = ran.json();
    let failure = &report["outcome"]["failure"];
    assert_eq!(failure["code"], "target.standstill", "{report:#}");
    assert_eq!(failure["scope"], "outage", "{report:#}");
    for said in ["run again", "limits.standstillSeconds"] {
        assert!(
            failure["fix"].as_str().expect("a fix").contains(said),
            "{report:#}"
        );
    }
    assert_eq!(report["outcome"]["counters"]["quarantined"], 0, "{report:#}");
    assert!(quarantine(&world, "t").is_empty(), "an outage is no row's fault");
    assert_eq!(world.items("t").await.len(), 0);
    world.faults(json!([])).await;
    let (wrote, report) = written(&world, "t", "completed").await;
    assert_eq!(wrote.creates, 30, "{report:#}");
    world.assert_equal("t", 30);
}

#[tokio::test]
async fn a_list_that_is_slow_and_lets_something_through_is_waited_for() {
    let limits = json!({"standstillSeconds": 3, "batchWrites": 5, "batchesInFlight": 1});
    let world = wide(50, json!({ "limits": limits })).await;
    world
        .faults(
            json!([{"kind": "throttle", "on": ["write"], "status": 503, "every": 5, "retry_after": "0.4"}]),
        )
        .await;
    let (wrote, report) = written(&world, "t", "completed").await;
    assert_eq!(wrote.creates, 50, "{report:#}");
    let waits = world.sim_get("faults").await["faults"][0]["hits"]
        .as_u64()
        .expect("hits");
    assert!(
        waits * 400 > 3_000,
        "{waits} waits are longer together than one standstill"
    );
    world.assert_equal("t", 50);
}
