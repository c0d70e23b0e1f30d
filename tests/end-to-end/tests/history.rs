//! Why does this cell show that? What was agreed on at any time, by which run and rule it changed, and what to do next.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::World;

async fn synced(spec: Json) -> World {
    let world = World::new().await;
    world
        .sql(
            "create table t (id int primary key, code text not null, note text, price numeric(10,2));
             insert into t select n, 'code ' || n, 'planted note ' || n, n from generate_series(1, 5) n",
        )
        .await;
    world.applied(spec);
    world.completed(&[]).await;
    world
}

fn both_ways(conflict: &str) -> Json {
    json!({"direction": "both", "conflict": conflict,
        "twoWay": {"fullVisibility": "attested", "deleteDelay": "off", "lossy": "allow"}})
}

fn why(world: &World, more: &[&str]) -> Json {
    let mut args = vec!["why", "t", "3", "note", "-o", "json"];
    args.extend(more);
    world.command(&args).ok().json()
}

fn ledger(world: &World, more: &[&str]) -> Json {
    let mut args = vec!["ledger", "show", "t", "3", "-o", "json"];
    args.extend(more);
    world.command(&args).ok().json()
}

#[track_caller]
fn told(why: &Json, parts: &[&str]) {
    let text = why["told"].as_str().unwrap();
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing: {text}\n{why:#}");
    }
}

fn agreed_note(view: &Json) -> (Json, Json) {
    let fields = view["entry"]["fields"].as_array().unwrap();
    let note = fields.iter().find(|field| field["column"] == "note").unwrap();
    (note["source_hash"].clone(), note["target_hash"].clone())
}

async fn person_edits_note(world: &World, note: &str) {
    let item = world.item_where("t", "Code", &json!("code 3")).await;
    world.person_edits("t", &item, &json!({ "Note": note })).await;
}

#[tokio::test]
async fn a_row_is_shown_as_it_stood_and_each_change_with_its_run_rule_and_request() {
    let world = synced(json!({})).await;
    let first = ledger(&world, &[]);
    world.sql("update t set note = 'second' where id = 3").await;
    let run = world.run("t");
    let now = ledger(&world, &[]);
    assert_ne!(agreed_note(&now), agreed_note(&first));

    let history = now["history"].as_array().unwrap();
    assert_eq!(history.len(), 2, "{now:#}");
    let (patch, create) = (&history[0], &history[1]);
    assert_eq!(
        (&create["kind"], &create["rule"], &create["direction"]),
        (&json!("create_item"), &json!("create_item"), &json!("to_list"))
    );
    assert_eq!(
        (&patch["kind"], &patch["outcome"], &patch["run"]),
        (&json!("patch_item"), &json!("applied"), &run["run"])
    );
    assert!(
        patch["request_id"].is_string() && patch["mark"]["lsn"].is_u64(),
        "{patch:#}"
    );
    assert_eq!(
        (&patch["row_version"], &patch["has_values"]),
        (&json!(2), &json!(false))
    );
    let fields = patch["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 1, "only what changed: {patch:#}");
    let (source, target) = agreed_note(&now);
    let (source_before, target_before) = agreed_note(&first);
    assert_eq!(
        fields[0],
        json!({"column": "note", "rule": "to_target", "by": "change", "source_before": source_before,
               "source_after": source, "target_before": target_before, "target_after": target})
    );

    let then = ledger(&world, &["--as-of", create["at"].as_str().unwrap()]);
    assert_eq!(agreed_note(&then), agreed_note(&first));
    assert_eq!(then["entry"]["version"], first["entry"]["version"]);
    assert_eq!(then["history"].as_array().unwrap().len(), 1);
    let before = ledger(&world, &["--as-of", "2020-02-03 04:05"]);
    assert_eq!((&before["entry"], &before["history"]), (&Json::Null, &json!([])));

    let page = ledger(&world, &["--limit", "1"]);
    assert_eq!(
        (page["history"].as_array().unwrap().len(), &page["older"]),
        (1, &json!(true))
    );
    let behind = page["history"][0]["number"].to_string();
    let page = ledger(&world, &["--limit", "1", "--before", &behind]);
    assert_eq!(
        (&page["history"][0]["kind"], &page["older"]),
        (&json!("create_item"), &json!(false))
    );

    let text = world.command(&["ledger", "show", "t", "3"]).ok();
    for part in [
        "to list",
        "patch_item applied",
        "rule fields",
        "note: table ",
        "to target",
    ] {
        assert!(text.out().contains(part), "{part}: {}", text.out());
    }
    assert!(!text.out().contains("second"), "no cell: {}", text.out());
}

#[tokio::test]
async fn why_follows_a_cell_from_its_item_to_the_last_edit_in_both_directions() {
    let world = synced(both_ways("target_wins")).await;
    told(
        &why(&world, &[]),
        &["made the item with what the table held", "--live"],
    );
    world.sql("update t set note = 'by the table' where id = 3").await;
    told(
        &why(&world, &["--live"]),
        &["The table was changed", "syncbridge run t"],
    );
    world.completed(&[]).await;
    told(
        &why(&world, &[]),
        &["wrote the table's value to the list", "the list had not"],
    );

    person_edits_note(&world, "by a person").await;
    let live = why(&world, &["--live"]);
    told(&live, &["edited the cell in the list", "syncbridge run t"]);
    assert_eq!(
        live["live"]["source"],
        json!({"is": "as_agreed", "value": "by the table"})
    );
    assert_eq!(
        live["live"]["target"],
        json!({"is": "changed", "value": "by a person"})
    );
    world.completed(&[]).await;
    let now = why(&world, &["--live"]);
    told(
        &now,
        &["wrote the list's value to the table", "Both sides still show"],
    );
    assert_eq!(now["live"]["target"]["is"], "as_agreed");
    assert_eq!(now["changes"][0]["direction"], "to_source");

    world.sql("update t set note = 'ours' where id = 3").await;
    person_edits_note(&world, "theirs").await;
    world.completed(&[]).await;
    let won = why(&world, &[]);
    told(
        &won,
        &[
            "both sides had changed it",
            "`target_wins`",
            "conflicts list t --column note",
        ],
    );
    assert_eq!(
        (&won["changes"][0]["rule"], &won["changes"][0]["by"]),
        (&json!("conflict_to_source"), &json!("target_wins"))
    );
    assert_eq!(won["conflicts"][0]["status"], "overridden");
    let kinds: Vec<&Json> = won["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| &change["kind"])
        .collect();
    assert_eq!(kinds, ["update_row", "update_row", "patch_item", "create_item"]);
    assert!(
        !won.to_string().contains("theirs"),
        "no value without --live: {won:#}"
    );
    // The column goes by its list's name as well, and other cells have a chain of their own.
    let same = world
        .command(&["why", "t", "3", "Note", "-o", "json"])
        .ok()
        .json();
    assert_eq!(same["column"], "note");
    let other = world
        .command(&["why", "t", "3", "price", "-o", "json"])
        .ok()
        .json();
    assert_eq!(other["changes"].as_array().unwrap().len(), 1, "{other:#}");
}

#[tokio::test]
async fn why_tells_a_conflict_that_waits_and_who_decided_it() {
    let world = synced(both_ways("manual")).await;
    world.sql("update t set note = 'ours' where id = 3").await;
    person_edits_note(&world, "theirs").await;
    world.run("t");
    let waits = why(&world, &[]);
    let id = waits["conflicts"][0]["id"].as_str().unwrap().to_owned();
    told(
        &waits,
        &[
            "nobody won",
            &format!("conflicts resolve {id} --take"),
            "leaves it to a person",
        ],
    );
    assert_eq!(waits["quarantine"]["code"], "conflict.parked");
    world
        .command(&["conflicts", "resolve", &id, "--take", "target"])
        .ok();
    told(
        &why(&world, &[]),
        &["decided that the list's value stands", "syncbridge run t"],
    );
    world.completed(&[]).await;
    let done = why(&world, &[]);
    told(&done, &["a person chose the list's value"]);
    assert_eq!(
        (&done["changes"][0]["by"], &done["changes"][0]["direction"]),
        (&json!("person"), &json!("to_source"))
    );
}

#[tokio::test]
async fn why_tells_what_holds_a_row_back() {
    let world =
        synced(json!({"fields": [{"column": "id"}, {"column": "code"}, {"column": "note", "type": "text"}]}))
            .await;
    world
        .sql("update t set note = repeat('too long ', 50) where id = 3")
        .await;
    world.run("t");
    let held = why(&world, &[]);
    told(&held, &["in quarantine since", "column `note`"]);
    let text = world.command(&["why", "t", "3", "note"]).ok();
    assert!(
        text.out().trim_end().ends_with(held["told"].as_str().unwrap()),
        "{}",
        text.out()
    );
}

#[tokio::test]
async fn values_are_told_only_where_the_definition_keeps_them() {
    let plain = synced(both_ways("source_wins")).await;
    let kept = synced({
        let mut spec = both_ways("source_wins");
        spec["history"] = json!({"values": true, "retention": "30d"});
        spec
    })
    .await;
    for (world, keeps) in [(&plain, false), (&kept, true)] {
        world.sql("update t set note = 'second' where id = 3").await;
        world.completed(&[]).await;
        person_edits_note(world, "third").await;
        world.completed(&[]).await;
        let changes = why(world, &[])["changes"].clone();
        let values: Vec<(&Json, &Json)> = changes
            .as_array()
            .unwrap()
            .iter()
            .map(|change| (&change["value_before"], &change["value_after"]))
            .collect();
        let null = Json::Null;
        let (second, third, first) = (json!("second"), json!("third"), json!("planted note 3"));
        let expected = match keeps {
            true => vec![(&second, &third), (&null, &second), (&null, &first)],
            false => vec![(&null, &null); 3],
        };
        // What the list showed before was not looked at: the write rests on its version.
        assert_eq!(values, expected, "{changes:#}");
        let sealed = world
            .meta_count("select count(*) from ledger_history where sealed_sent is not null")
            .await;
        assert_eq!(sealed > 0, keeps);
        let clear = world
            .meta_count("select count(*) from ledger_history h where h::text like '%planted note%'")
            .await;
        assert_eq!(clear, 0);
    }
}

#[tokio::test]
async fn the_history_goes_when_it_is_as_old_as_the_definition_says_and_the_ledger_stays() {
    let world = synced(json!({"history": {"retention": "30d"}})).await;
    let before = ledger(&world, &[]);
    sqlx::raw_sql(
        "begin; set local session_replication_role = replica;
         update ledger_history set at = at - interval '31 days'; commit",
    )
    .execute(world.meta_pool())
    .await
    .unwrap();
    world.completed(&[]).await;
    let entries = "select count(*) from ledger_history";
    assert_eq!(world.meta_count(entries).await, 0);
    let after = ledger(&world, &[]);
    assert_eq!(
        (&after["entry"], &after["history"]),
        (&before["entry"], &json!([]))
    );
    told(&why(&world, &[]), &["older than the history that is kept"]);
    let refused = world.command(&["ledger", "show", "t", "3", "--as-of", "2026-01-01"]);
    assert_eq!(refused.code(), 1);
    assert!(refused.err().contains("[history.too_old]"), "{}", refused.err());
    // What happens from here on is kept again, and tells what it found.
    world.sql("update t set note = 'second' where id = 3").await;
    world.completed(&[]).await;
    let then = ledger(&world, &["--as-of", "2026-01-01"]);
    assert_eq!(agreed_note(&then), agreed_note(&before), "{then:#}");
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_says_what_to_ask_instead() {
    let world = synced(json!({})).await;
    for (args, parts) in [
        (
            &["why", "t", "3", "nothing"][..],
            &["[why.field]", "code, note, price"][..],
        ),
        (&["why", "t", "99", "note"], &["[why.unknown_row]", "--live"]),
        (
            &["why", "t", "99", "note", "--live"],
            &["[why.unknown_row]", "the table has none"],
        ),
        (&["why", "t", "3", "4", "note"], &["[ledger.key]"]),
        (
            &["why", "x", "3", "note"],
            &["no SyncDefinition `x`", "there are: t"],
        ),
    ] {
        let refused = world.command(args);
        assert_eq!(refused.code(), 1, "{args:?}");
        for part in parts {
            assert!(
                refused.err().contains(part),
                "{args:?}: {part}: {}",
                refused.err()
            );
        }
    }
    let help = world.command(&["why", "--help"]).ok();
    for part in [
        "syncbridge why [OPTIONS] <NAME> <KEY>... <FIELD>",
        "Examples:",
        "--live",
    ] {
        assert!(help.out().contains(part), "{part}: {}", help.out());
    }
    world.sql("insert into t values (6, 'code 6', 'new', 6)").await;
    let new = world
        .command(&["why", "t", "6", "note", "--live", "-o", "json"])
        .ok()
        .json();
    told(&new, &["has no item yet", "syncbridge run t"]);
}
