//! What people do about conflicts: look through them, see both values, choose, and have the choice carried out.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

/// Rows whose conflicts are left to a person, in step with their list.
async fn manual() -> World {
    let world = World::new().await;
    world
        .sql(
            "create table t (id int primary key, code text not null, note text, price numeric(10,2));
             insert into t select n, 'code ' || n, 'note ' || n, n from generate_series(1, 5) n",
        )
        .await;
    let spec = json!({"direction": "both", "conflict": "manual",
        "twoWay": {"fullVisibility": "attested", "deleteDelay": "off", "lossy": "allow"}});
    world.apply(&world.definition("t", "public.t", spec)).ok();
    assert_eq!(state_of(&world), "completed");
    world
}

fn state_of(world: &World) -> String {
    world.run("t")["outcome"]["state"].as_str().unwrap().to_owned()
}

/// Both sides change the note of a row.
async fn disputed(world: &World, id: u32, table: &str, list: &str) {
    let theirs = world.item_where("t", "Code", &json!(format!("code {id}"))).await;
    world.person_edits("t", &theirs, &json!({"Note": list})).await;
    world
        .sql(&format!("update t set note = '{table}' where id = {id}"))
        .await;
    assert_eq!(state_of(world), "completed_with_errors");
}

fn conflicts(world: &World, args: &[&str]) -> Json {
    let mut all = vec!["conflicts"];
    all.extend(args);
    all.extend(["-o", "json"]);
    world.command(&all).ok().json()
}

fn listed(world: &World, status: &str) -> Vec<Json> {
    let found = conflicts(world, &["list", "t", "--status", status]);
    found.as_array().unwrap().clone()
}

/// The one open conflict.
fn open(world: &World) -> String {
    let found = listed(world, "open");
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0]["id"].as_str().unwrap().to_owned()
}

/// What both sides hold of a row's note.
async fn notes(world: &World, id: u32) -> (String, String) {
    let table = sqlx::query_scalar("select note from t where id = $1")
        .bind(i64::from(id))
        .fetch_one(world.source_pool())
        .await
        .unwrap();
    let item = world.item_where("t", "Code", &json!(format!("code {id}"))).await;
    (table, item["fields"]["Note"].as_str().unwrap().to_owned())
}

fn both(note: &str) -> (String, String) {
    (note.to_owned(), note.to_owned())
}

async fn idle(world: &World) {
    world.reset_account().await;
    assert_eq!(state_of(world), "completed");
    assert_eq!(world.writes().await, Writes::NONE);
    let (spent, total) = world.spent().await;
    assert!(total <= 1, "{spent:#?}");
}

#[tokio::test]
async fn c_06_a_person_sees_both_values_and_the_one_they_take_stands_on_both_sides() {
    for (side, wins) in [("target", "the list's"), ("source", "the table's")] {
        let world = manual().await;
        let none = world.command(&["conflicts", "list", "t"]).ok();
        assert!(none.out().contains("no field of t was changed"), "{}", none.out());
        disputed(&world, 3, "the table''s", "the list's").await;

        let id = open(&world);
        let shown = conflicts(&world, &["show", &id]);
        assert_eq!(
            (&shown["source"], &shown["target"]),
            (&json!("the table's"), &json!("the list's")),
            "{shown:#}"
        );
        assert_eq!(
            (
                &shown["column"],
                &shown["key"],
                &shown["reason"],
                &shown["definition"]
            ),
            (&json!("note"), &json!(["3"]), &json!("policy"), &json!("t"))
        );
        let text = world.command(&["conflicts", "list", "t"]).ok();
        assert!(
            text.out().contains(&id) && text.out().contains("note"),
            "{}",
            text.out()
        );
        assert!(
            !text.out().contains("the list's"),
            "no value in a list: {}",
            text.out()
        );
        let text = world.command(&["conflicts", "show", &id]).ok();
        for part in ["\"the table's\"", "\"the list's\"", "conflicts resolve"] {
            assert!(text.out().contains(part), "{part}: {}", text.out());
        }

        let decided = conflicts(&world, &["resolve", &id, "--take", side]);
        assert_eq!(
            decided,
            json!([{"definition": "t", "winner": side, "conflicts": 1, "rows": 1}])
        );
        assert_eq!(listed(&world, "open"), [] as [Json; 0]);
        assert_eq!(
            notes(&world, 3).await,
            ("the table's".to_owned(), "the list's".to_owned()),
            "a decision alone writes nothing"
        );
        assert_eq!(state_of(&world), "completed", "{side}");
        assert_eq!(notes(&world, 3).await, both(wins), "{side}");
        let closed = &conflicts(&world, &["show", &id]);
        assert!(closed["closed"].is_string(), "{closed:#}");
        assert_eq!(
            (&closed["status"], &closed["winner"], &closed["source"]),
            (&json!("resolved"), &json!(side), &json!("the table's")),
            "what was decided about is kept"
        );
        idle(&world).await;
        world.assert_equal("t", 5);
        assert_eq!(
            world
                .meta_count("select count(*) from audit where action = 'conflicts_resolve'")
                .await,
            1
        );
    }
}

#[tokio::test]
async fn c_06_a_decision_about_values_that_moved_on_overwrites_nothing() {
    for (side, moves) in [
        ("target", "list"),
        ("source", "list"),
        ("target", "table"),
        ("source", "table"),
    ] {
        let world = manual().await;
        disputed(&world, 2, "table", "list").await;
        let id = open(&world);
        conflicts(&world, &["resolve", &id, "--take", side]);
        let now = if moves == "list" {
            let theirs = world.item_where("t", "Code", &json!("code 2")).await;
            world
                .person_edits("t", &theirs, &json!({"Note": "moved on"}))
                .await;
            ("table", "moved on")
        } else {
            world.sql("update t set note = 'moved on' where id = 2").await;
            ("moved on", "list")
        };
        let now = (now.0.to_owned(), now.1.to_owned());
        assert_eq!(state_of(&world), "completed_with_errors", "{side}, {moves}");
        assert_eq!(notes(&world, 2).await, now, "{side}, {moves}");
        let anew = open(&world);
        assert_ne!(anew, id, "{side}, {moves}");
        let shown = conflicts(&world, &["show", &anew]);
        assert_eq!(
            (&shown["source"], &shown["target"], &shown["decided"]),
            (&json!(now.0), &json!(now.1), &Json::Null),
            "{side}, {moves}"
        );
        // Nobody decides about what they did not see.
        for command in [
            &["conflicts", "resolve", &id, "--take", side][..],
            &["conflicts", "show", &id],
            &["conflicts", "list", "t", "--after", &id],
        ] {
            let ran = world.command(command);
            assert_eq!(ran.code(), 1);
            assert!(ran.err().contains("[conflict.not_there]"), "{}", ran.err());
        }
        conflicts(&world, &["resolve", &anew, "--take", side]);
        assert_eq!(state_of(&world), "completed", "{side}, {moves}");
        let wins = if side == "target" { &now.1 } else { &now.0 };
        assert_eq!(notes(&world, 2).await, both(wins), "{side}, {moves}");
        idle(&world).await;
    }
}

#[tokio::test]
async fn many_conflicts_are_decided_at_once_and_only_with_a_word_for_it() {
    let world = manual().await;
    for id in 1..=3 {
        disputed(&world, id, "table", "list").await;
    }
    let found = listed(&world, "open");
    assert_eq!(found.len(), 3);
    let ids: Vec<&str> = found.iter().map(|one| one["id"].as_str().unwrap()).collect();
    let page = conflicts(&world, &["list", "t", "--limit", "2"]);
    assert_eq!(page[1]["id"], ids[1]);
    let rest = conflicts(&world, &["list", "t", "--limit", "2", "--after", ids[1]]);
    assert_eq!(
        (rest[0]["id"].as_str(), rest.as_array().unwrap().len()),
        (Some(ids[2]), 1)
    );

    let nobody = "cfl_0192f3c4a5b67c8d9e0f1a2b3c4d5e6f";
    let ran = world.command(&["conflicts", "resolve", ids[0], nobody, "--take", "target"]);
    assert!(ran.err().contains("[conflict.not_there]"), "{}", ran.err());
    let ran = world.command(&["conflicts", "resolve", "--all", "t", "--take", "target"]);
    assert_eq!(ran.code(), 1);
    assert!(
        ran.err().contains("3 open conflicts") && ran.err().contains("--yes"),
        "{}",
        ran.err()
    );
    for usage in [
        &["conflicts", "resolve", "--take", "target"][..],
        &["conflicts", "resolve", ids[0]],
        &["conflicts", "resolve", ids[0], "--all", "t", "--take", "target"],
        &[
            "conflicts",
            "resolve",
            "def_0192f3c4a5b67c8d9e0f1a2b3c4d5e6f",
            "--take",
            "target",
        ],
    ] {
        assert_eq!(world.command(usage).code(), 2, "{usage:?}");
    }
    assert_eq!(listed(&world, "open").len(), 3, "nothing was decided");

    // One by its id, for the table; then the rest, which leaves the first as it was decided.
    conflicts(&world, &["resolve", ids[0], "--take", "source"]);
    let elsewhere = conflicts(
        &world,
        &[
            "resolve", "--all", "t", "--column", "price", "--take", "target", "--yes",
        ],
    );
    assert_eq!(elsewhere[0]["conflicts"], 0);
    let rest = conflicts(
        &world,
        &[
            "resolve", "--all", "t", "--column", "note", "--take", "target", "--yes",
        ],
    );
    assert_eq!((&rest[0]["conflicts"], &rest[0]["rows"]), (&json!(2), &json!(2)));
    assert_eq!(state_of(&world), "completed");
    assert_eq!(
        notes(&world, 3).await,
        both("table"),
        "the newest, which was decided first"
    );
    for id in 1..=2 {
        assert_eq!(notes(&world, id).await, both("list"));
    }
    let ran = world.command(&["conflicts", "resolve", ids[0], "--take", "target"]);
    assert!(ran.err().contains("[conflict.settled]"), "{}", ran.err());
    idle(&world).await;
    world.assert_equal("t", 5);
}

#[tokio::test]
async fn the_lists_feed_is_shown_and_can_be_read_from_its_beginning_again() {
    let world = manual().await;
    let cursor = |args: &[&str]| {
        let mut all = vec!["cursor"];
        all.extend(args);
        all.extend(["-o", "json"]);
        world.command(&all).ok().json()
    };
    let before = cursor(&["show", "t"]);
    assert_eq!(before["list"]["phase"], "steady", "{before:#}");
    let shown = world.command(&["cursor", "show", "t"]).ok();
    assert!(
        shown.out().contains("list: only its changes are read"),
        "{}",
        shown.out()
    );
    let after = cursor(&["reset", "t", "--delta"]);
    assert_eq!(after["list"], Json::Null, "{after:#}");
    assert_eq!(
        after["moved"], before["moved"],
        "the table's feed stays where it was"
    );
    world.reset_account().await;
    assert_eq!(state_of(&world), "completed");
    assert_eq!(
        world.writes().await,
        Writes::NONE,
        "what is unchanged is not written again"
    );
    assert_eq!(cursor(&["show", "t"])["list"]["phase"], "steady");
    // The other feed alone.
    let reset = cursor(&["reset", "t"]);
    assert_eq!(reset["list"]["phase"], "steady", "{reset:#}");
    assert_eq!(reset["phase"], "first_copy", "{reset:#}");
    assert_eq!(state_of(&world), "completed");
    idle(&world).await;
    world.assert_equal("t", 5);
}

#[tokio::test]
async fn c_06_a_decision_holds_although_other_cells_of_the_row_change_meanwhile() {
    for (side, moves) in [
        ("target", "list"),
        ("source", "list"),
        ("target", "table"),
        ("source", "table"),
    ] {
        let world = manual().await;
        disputed(&world, 4, "table", "list").await;
        let id = open(&world);
        conflicts(&world, &["resolve", &id, "--take", side]);
        if moves == "list" {
            let theirs = world.item_where("t", "Code", &json!("code 4")).await;
            world.person_edits("t", &theirs, &json!({"Price": 44})).await;
        } else {
            world.sql("update t set price = 44 where id = 4").await;
        }
        let report = world.run("t");
        assert_eq!(
            report["outcome"]["state"], "completed",
            "{side}, {moves}: {report:#}"
        );
        assert_eq!(
            report["outcome"]["counters"]["conflicts"], 0,
            "{side}, {moves}: {report:#}"
        );
        let wins = if side == "target" { "list" } else { "table" };
        assert_eq!(notes(&world, 4).await, both(wins), "{side}, {moves}");
        assert!(
            conflicts(&world, &["show", &id])["closed"].is_string(),
            "{side}, {moves}"
        );
        assert_eq!(world.count("select count(*) from t where price = 44").await, 1);
        idle(&world).await;
        world.assert_equal("t", 5);
    }
}

/// What is on record of edits that lost: column, both values and the winner.
fn lost(world: &World) -> Vec<(String, Json, Json, String)> {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let mut found: Vec<_> = listed(world, "overridden")
        .iter()
        .map(|row| conflicts(world, &["show", &text(&row["id"])]))
        .map(|shown| {
            let (source, target) = (shown["source"].clone(), shown["target"].clone());
            (text(&shown["column"]), source, target, text(&shown["winner"]))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[tokio::test]
async fn c_06_what_a_deletion_on_the_other_side_takes_with_it_is_on_record() {
    for (policy, deletes) in [("source_wins", "table"), ("target_wins", "list")] {
        let world = manual().await;
        let spec = json!({"direction": "both", "conflict": policy, "onDelete": "propagate",
            "guards": {"deletes": {"count": 100}},
            "twoWay": {"fullVisibility": "attested", "deleteDelay": "off", "lossy": "allow"}});
        world.apply(&world.definition("t", "public.t", spec)).ok();
        let theirs = world.item_where("t", "Code", &json!("code 2")).await;
        if deletes == "table" {
            world
                .person_edits("t", &theirs, &json!({"Note": "typed", "Price": 20.5}))
                .await;
            world.sql("delete from t where id = 2").await;
        } else {
            world
                .sql("update t set note = 'typed', price = 20.5 where id = 2")
                .await;
            world.person_deletes("t", &theirs).await;
        }
        // One that nobody edited goes without a word.
        world
            .person_deletes("t", &world.item_where("t", "Code", &json!("code 4")).await)
            .await;
        let report = world.run("t");
        assert_eq!(report["outcome"]["state"], "completed", "{policy}: {report:#}");
        assert_eq!(
            world.count("select count(*) from t where id in (2, 4)").await,
            0,
            "{policy}"
        );
        assert_eq!(world.items("t").await.len(), 3, "{policy}");
        let (table, list) = (json!(null), json!("typed"));
        let (note, price, winner) = match deletes {
            "table" => ((table.clone(), list), (table, json!(20.5)), "source"),
            _ => ((list, table.clone()), (json!(20.5), table), "target"),
        };
        assert_eq!(
            lost(&world),
            [
                ("note".to_owned(), note.0, note.1, winner.to_owned()),
                ("price".to_owned(), price.0, price.1, winner.to_owned())
            ],
            "{policy}"
        );
        idle(&world).await;
    }
}
