//! A flow in the list or a trigger in the source that rewrites what we write: it is ended, and said so.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

const TABLE: &str = "create table t (id int primary key, code text not null, note text, price numeric(10,2));
    insert into t select n, 'code ' || n, 'note ' || n, n from generate_series(1, 5) n;";

/// Counts what it does, and leaves a different value each time.
const TRIGGER: &str = "create sequence rewritten;
    create function rewrite() returns trigger language plpgsql as $$ begin
        new.note := 'trigger ' || nextval('rewritten'); return new; end $$;
    create trigger rewrites before update of note on t for each row execute function rewrite();";

/// A world in step, with these rules for the note.
async fn with(direction: &str, note: Json, more: Json) -> World {
    let world = World::new().await;
    world.sql(TABLE).await;
    let mut field = json!({"column": "note"});
    for (key, value) in note.as_object().unwrap() {
        field[key] = value.clone();
    }
    let mut spec = json!({"direction": direction,
        "fields": [{"column": "code"}, field, {"column": "price"}]});
    if direction != "push" {
        spec["twoWay"] = json!({"lossy": "allow"});
        for (key, value) in more.as_object().unwrap() {
            spec["twoWay"][key] = value.clone();
        }
    }
    world.applied(spec);
    world.completed(&[]).await;
    world
}

async fn flow(world: &World, text: Option<&str>) {
    let list = world.list_id("t").await;
    let flows: Vec<Json> = text
        .into_iter()
        .map(|text| json!({"column": "Note", "text": text}))
        .collect();
    world
        .sim_send("PUT", &format!("lists/{list}/flows"), &json!({ "flows": flows }))
        .await;
}

async fn item(world: &World, id: u32) -> Json {
    world.item_where("t", "Code", &json!(format!("code {id}"))).await
}

async fn person_writes(world: &World, id: u32, fields: Json) {
    let theirs = item(world, id).await;
    world.person_edits("t", &theirs, &fields).await;
}

/// Runs until a run writes nothing any more, and answers all that was written; fails where it does not end.
async fn fought_out(world: &World) -> (u64, u64) {
    fought_out_against(world, "select 1").await
}

/// The same with an application that does its part before each run.
async fn fought_out_against(world: &World, statement: &str) -> (u64, u64) {
    let (mut patches, mut rows) = (0, 0);
    for _ in 0..30 {
        world.sql(statement).await;
        world.reset_account().await;
        let report = world.run("t");
        let wrote = world.writes().await;
        assert_eq!((wrote.creates, wrote.deletes), (0, 0));
        let updated = report["outcome"]["counters"]["updated_rows"].as_u64().unwrap();
        if wrote == Writes::NONE && updated == 0 {
            assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
            return (patches, rows);
        }
        patches += wrote.patches;
        rows += updated;
    }
    panic!("after 30 runs it still goes on: {patches} patches, {rows} rows");
}

fn conflicts(world: &World, args: &[&str]) -> Json {
    let mut all = vec!["conflicts"];
    all.extend(args);
    all.extend(["-o", "json"]);
    world.command(&all).ok().json()
}

/// The one open conflict, which is about the note of a row that is fought over.
async fn parked(world: &World) -> String {
    let open = conflicts(world, &["list", "t", "--status", "open"]);
    assert_eq!(open.as_array().unwrap().len(), 1, "{open:#}");
    assert_eq!(
        (&open[0]["column"], &open[0]["reason"]),
        (&json!("note"), &json!("ping_pong")),
        "{open:#}"
    );
    let codes: Vec<String> = sqlx::query_scalar("select code from quarantine")
        .fetch_all(world.meta_pool())
        .await
        .unwrap();
    assert_eq!(codes, ["conflict.ping_pong"]);
    let shown = world.command(&["conflicts", "list", "t"]).ok();
    assert!(
        shown.out().contains("both sides keep rewriting it"),
        "{}",
        shown.out()
    );
    open[0]["id"].as_str().unwrap().to_owned()
}

/// The rest of the row and all other rows go on, in both directions where there are two.
async fn everything_else_goes_on(world: &World, both: bool) {
    world
        .sql("update t set price = price + 100 where id in (3, 4); update t set note = 'other' where id = 1")
        .await;
    if both {
        person_writes(world, 2, json!({"Price": 22})).await;
        person_writes(world, 3, json!({"Code": "code 3"})).await;
    }
    world.run("t");
    world.run("t");
    for id in [3, 4] {
        let price = world
            .count(&format!("select price::bigint from t where id = {id}"))
            .await;
        assert!(price > 100);
        assert_eq!(item(world, id).await["fields"]["Price"], price);
    }
    if both {
        assert_eq!(world.count("select price::bigint from t where id = 2").await, 22);
    }
}

/// A person's choice ends it, once nobody fights any more: both sides hold what was chosen, and new values travel.
async fn a_choice_lifts_it(world: &World, id: &str, side: &str) {
    let shown = conflicts(world, &["show", id]);
    conflicts(world, &["resolve", id, "--take", side]);
    world.completed(&[]).await;
    let chosen = shown[side].as_str().unwrap();
    let note: String = sqlx::query_scalar("select note from t where id = 3")
        .fetch_one(world.source_pool())
        .await
        .unwrap();
    assert_eq!(
        (note.as_str(), &item(world, 3).await["fields"]["Note"]),
        (chosen, &json!(chosen))
    );
    assert_eq!(
        world
            .meta_count("select count(*) from field_turns where returns > 1")
            .await,
        0
    );
    assert!(conflicts(world, &["show", id])["closed"].is_string());
    assert_eq!(world.completed(&[]).await, Writes::NONE);
}

#[tokio::test]
async fn c_11_an_application_that_rewrites_what_is_restored_is_ended_and_parked_with_the_reason() {
    let note = json!({"direction": "pull", "onForeignEdit": "restore"});
    let world = with("both", note, json!({})).await;
    world.sql("create sequence rewritten").await;
    person_writes(&world, 3, json!({"Note": "theirs"})).await;
    let rewrite = "update t set note = 'app ' || nextval('rewritten') where id = 3";
    let (patches, rows) = fought_out_against(&world, rewrite).await;
    assert_eq!(patches, 0);
    // The person's value itself, and the ten times it was put back.
    assert_eq!(rows, 11);
    let id = parked(&world).await;
    everything_else_goes_on(&world, true).await;
    assert_eq!(parked(&world).await, id, "nothing of it moved");
    a_choice_lifts_it(&world, &id, "target").await;
    person_writes(&world, 3, json!({"Note": "newer"})).await;
    world.completed(&[]).await;
    assert_eq!(
        world.count("select count(*) from t where note = 'newer'").await,
        1
    );
}

#[tokio::test]
async fn c_11_a_trigger_has_the_last_word_on_a_column_that_only_the_list_fills_and_nobody_fights_it() {
    let note = json!({"direction": "pull", "onForeignEdit": "restore"});
    let world = with("both", note, json!({})).await;
    world.sql(TRIGGER).await;
    person_writes(&world, 3, json!({"Note": "theirs"})).await;
    for updated in [1, 0, 0] {
        world.reset_account().await;
        let report = world.run("t");
        assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
        assert_eq!(
            report["outcome"]["counters"]["updated_rows"], updated,
            "{report:#}"
        );
        assert_eq!(world.writes().await, Writes::NONE);
    }
    assert_eq!(world.count("select last_value from rewritten").await, 1);
}

#[tokio::test]
async fn c_11_a_flow_and_a_trigger_that_answer_each_other_through_us_are_ended() {
    for (side, limit) in [("source", None), ("target", Some(4))] {
        let more = match limit {
            Some(limit) => json!({"pingPong": {"alternations": limit, "within": "1h"}}),
            None => json!({}),
        };
        let limit = limit.unwrap_or(10);
        let world = with("both", json!({}), more).await;
        world.sql(TRIGGER).await;
        flow(&world, Some("flow {n}")).await;
        person_writes(&world, 3, json!({"Note": "theirs"})).await;
        let (patches, rows) = fought_out(&world).await;
        assert!(
            patches <= limit && rows <= limit + 1,
            "{patches} patches, {rows} rows"
        );
        assert!(patches > limit / 2, "it did not end before: {patches}");
        parked(&world).await;
        flow(&world, None).await;
        world.sql("drop trigger rewrites on t").await;
        everything_else_goes_on(&world, true).await;
        let id = parked(&world).await;
        a_choice_lifts_it(&world, &id, side).await;
        world.assert_equal("t", 5);
        world.sql("update t set note = 'newer' where id = 3").await;
        world.completed(&[]).await;
        assert_eq!(item(&world, 3).await["fields"]["Note"], "newer");
    }
}

#[tokio::test]
async fn c_11_a_flow_that_undoes_what_we_restore_is_ended_where_the_lists_feed_is_read() {
    let note = json!({"direction": "push", "onForeignEdit": "restore"});
    for (text, side) in [("flow {n}", "source"), ("flow", "target")] {
        let world = with("both", note.clone(), json!({})).await;
        flow(&world, Some(text)).await;
        person_writes(&world, 3, json!({"Note": "theirs"})).await;
        let (patches, rows) = fought_out(&world).await;
        assert_eq!((patches, rows), (10, 0), "{text}");
        let id = parked(&world).await;
        flow(&world, None).await;
        if side == "source" {
            everything_else_goes_on(&world, true).await;
            let id = parked(&world).await;
            a_choice_lifts_it(&world, &id, side).await;
            continue;
        }
        // The source owns the field: the list's value is let be as long as the row's does not change.
        conflicts(&world, &["resolve", &id, "--take", "target"]);
        assert_eq!(world.completed(&[]).await, Writes::NONE);
        assert_eq!(item(&world, 3).await["fields"]["Note"], "flow");
        world.sql("update t set note = 'newer' where id = 3").await;
        world.completed(&[]).await;
        assert_eq!(item(&world, 3).await["fields"]["Note"], "newer");
    }
}

#[tokio::test]
async fn c_11_a_push_stops_restoring_what_a_flow_undoes_and_goes_on_with_the_rest() {
    let world = with("push", json!({"onForeignEdit": "restore"}), json!({})).await;
    flow(&world, Some("flow")).await;
    let mut restored = 0;
    for round in 0..16 {
        world.sql("update t set price = price + 1 where id = 3").await;
        let report = world.run("t");
        assert_eq!(item(&world, 3).await["fields"]["Price"], 4 + round, "{report:#}");
        let overridden = report["outcome"]["counters"]["overridden"].as_u64().unwrap();
        restored += overridden;
        assert!(overridden == 1 || restored <= 10, "{report:#}");
    }
    assert_eq!(restored, 10, "the first patch met nobody");
    flow(&world, None).await;
    everything_else_goes_on(&world, false).await;
    let id = parked(&world).await;
    a_choice_lifts_it(&world, &id, "source").await;
    world.assert_equal("t", 5);
}

#[tokio::test]
async fn c_11_a_trigger_that_only_alters_each_entry_is_nobodys_fight() {
    let world = with("both", json!({}), json!({})).await;
    world
        .sql(
            "create function shout() returns trigger language plpgsql as $$ begin
                new.note := upper(new.note); return new; end $$;
             create trigger shout before update on t for each row execute function shout();",
        )
        .await;
    for round in 1..=8 {
        person_writes(&world, 3, json!({"Note": format!("entry {round}")})).await;
        let wrote = world.completed(&[]).await;
        assert_eq!(wrote.patches, 1, "one bounce for each entry");
        assert_eq!(item(&world, 3).await["fields"]["Note"], format!("ENTRY {round}"));
    }
    // Ordinary work of both sides leaves nothing behind to be counted.
    world
        .sql("update t set note = 'ours', price = 7 where id <> 3")
        .await;
    world.completed(&[]).await;
    assert_eq!(
        world
            .meta_count("select count(*) from field_turns where column_name <> 'note' or returns > 7")
            .await,
        0
    );
    assert_eq!(world.meta_count("select count(*) from field_turns").await, 1);
    assert_eq!(world.meta_count("select count(*) from conflicts").await, 0);
    world.assert_equal("t", 5);
}
