//! What people do about refused rows: ask why, have them tried again, accept them, correct them.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{Ran, World, Writes};

/// A table with three rows that a list refuses and one that it takes.
async fn refused() -> World {
    let world = World::new().await;
    world
        .sql(
            "create table t (id int primary key, name text not null, code varchar(10), level double precision,
                             check (level < 1000 or level = 'NaN'));
             insert into t values (1, 'fine', 'a', 1), (2, repeat('x', 300), 'b', 'NaN'),
                                  (3, 'three', 'c', '-Infinity'), (4, 'four', 'd', '-Infinity')",
        )
        .await;
    world.apply(&world.definition("t", "public.t", json!({}))).ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert_eq!(report["outcome"]["counters"]["quarantined"], 3);
    world
}

fn quarantine(world: &World, args: &[&str]) -> Json {
    let mut all = vec!["quarantine"];
    all.extend(args);
    all.extend(["-o", "json"]);
    world.command(&all).ok_but_refused().json()
}

/// Exit code 3 says that rows are in quarantine, which is what these tests are about.
trait OkButRefused {
    fn ok_but_refused(self) -> Self;
}

impl OkButRefused for Ran {
    fn ok_but_refused(self) -> Self {
        assert!([0, 3].contains(&self.code()), "{}{}", self.out(), self.err());
        self
    }
}

fn state_of(world: &World) -> String {
    world.run("t")["outcome"]["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_refused_row_is_explained_with_every_column_that_keeps_it_and_no_cell() {
    let world = refused().await;
    let causes = quarantine(&world, &["explain", "t"]);
    let causes = causes.as_array().unwrap();
    assert_eq!(
        causes.iter().map(|c| c["retry"].as_u64().unwrap()).sum::<u64>(),
        3
    );
    assert!(
        causes
            .iter()
            .any(|c| c["column"] == "level" && c["code"] == "value.not_finite")
    );
    let row = quarantine(&world, &["explain", "t", "2"]);
    assert_eq!(row["now"], "as_refused", "{row:#}");
    let columns: Vec<&str> = row["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["column"].as_str().unwrap())
        .collect();
    assert_eq!(
        columns,
        ["name", "level"],
        "both, although the first alone kept it: {row:#}"
    );
    let shown = world.command(&["quarantine", "explain", "t", "2"]).ok();
    assert!(!shown.out().contains("xxx"), "{}", shown.out());
    assert!(shown.out().contains("quarantine edit t 2"), "{}", shown.out());
    world
        .sql("update t set level = 2 where id = 3; delete from t where id = 4")
        .await;
    assert_eq!(quarantine(&world, &["explain", "t", "3"])["now"], "changed");
    assert_eq!(quarantine(&world, &["explain", "t", "4"])["now"], "gone");
    let ran = world.command(&["quarantine", "explain", "t", "1"]);
    assert!(ran.err().contains("[quarantine.not_there]"), "{}", ran.err());
    let listed = quarantine(&world, &["list", "t", "--column", "name"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn accepted_rows_leave_a_run_green_until_they_change() {
    let world = refused().await;
    world.command(&["quarantine", "ignore", "t", "2"]).usage();
    let ran = world.command(&["quarantine", "ignore", "t", "2", "--reason", " "]);
    assert!(ran.err().contains("[quarantine.reason]"), "{}", ran.err());
    let some = quarantine(
        &world,
        &["ignore", "t", "--column", "level", "--reason", "measured later"],
    );
    assert_eq!(some["rows"], 2);
    assert_eq!(state_of(&world), "completed_with_errors", "row 2 still waits");
    let one = quarantine(&world, &["ignore", "t", "2", "--reason", "a test row"]);
    assert_eq!(one["rows"], 1);
    world.reset_account().await;
    assert_eq!(state_of(&world), "completed");
    let full = world.run_with("t", &["--full"]);
    assert_eq!(full["outcome"]["state"], "completed", "{full:#}");
    assert_eq!(
        world.writes().await,
        Writes::NONE,
        "accepted rows are not offered again"
    );
    let listed = quarantine(&world, &["list", "t", "--waits-for", "nothing"]);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(listed[0]["waits_for"], "nothing");
    assert!(listed[0]["ignored"]["by"].as_str().unwrap().starts_with("cli:"));

    // What was accepted is this content; another is judged anew.
    world
        .sql("update t set name = repeat('y', 400) where id = 2")
        .await;
    assert_eq!(state_of(&world), "completed_with_errors");
    world
        .sql("update t set name = 'two', level = 2 where id = 2")
        .await;
    assert_eq!(state_of(&world), "completed");
    // Taken back, the others are refused again.
    assert_eq!(quarantine(&world, &["retry", "t", "--all"])["rows"], 2);
    assert_eq!(state_of(&world), "completed_with_errors");
    assert_eq!(
        world
            .meta_count("select count(*) from audit where action like 'quarantine_%'")
            .await,
        3
    );
}

#[tokio::test]
async fn rows_that_need_a_person_go_once_a_person_says_so() {
    let world = World::new().await;
    world
        .sql("create table t (id int primary key, name text); insert into t values (1, 'one')")
        .await;
    world.apply(&world.definition("t", "public.t", json!({}))).ok();
    // The list refuses, as one whose column validates something nobody told us about.
    world
        .faults(json!([{"kind": "refuse", "on": ["create"], "field": "Title", "equals": "one"}]))
        .await;
    assert_eq!(state_of(&world), "completed_with_errors");
    let mut connection = world.meta_pool().acquire().await.unwrap();
    sqlx::query("update quarantine set attempts = 9, retry_at = null")
        .execute(&mut *connection)
        .await
        .unwrap();
    world.faults(json!([])).await;
    assert_eq!(
        state_of(&world),
        "completed_with_errors",
        "nobody tries it by itself"
    );
    assert_eq!(
        quarantine(&world, &["list", "t", "--waits-for", "person"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let report = quarantine(&world, &["retry", "t", "1", "--run"]);
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(report["outcome"]["counters"]["created"], 1);
    world.assert_equal("t", 1);
}

#[tokio::test]
async fn a_row_is_corrected_in_the_table_and_arrives() {
    let world = refused().await;
    let edit = |args: &[&str]| {
        let mut all = vec!["quarantine", "edit", "t"];
        all.extend(args);
        world.command(&all)
    };
    for (args, code) in [
        (&["3", "--set", "level=NaN"][..], "[value.not_finite"),
        (&["3", "--set", "level=a lot"][..], "[source.edit_refused"),
        (&["3", "--set", "level=5000"][..], "[source.edit_refused"),
        (&["3", "--set", "id=30"][..], "[quarantine.edit_column"),
        (&["3", "--set", "nonsense=1"][..], "[quarantine.edit_column"),
        (
            &["3", "--set", "level=1", "--null", "level"][..],
            "[quarantine.edit_column",
        ),
        (&["1", "--set", "level=1"][..], "[quarantine.not_there"),
    ] {
        let ran = edit(args);
        assert_eq!(ran.code(), 1, "{args:?}");
        assert!(ran.err().contains(code), "{args:?}: {}", ran.err());
        assert!(
            !ran.err().contains("a lot") && !ran.err().contains("5000"),
            "{}",
            ran.err()
        );
    }
    assert_eq!(
        world
            .count("select count(*) from t where id = 3 and level = '-Infinity'")
            .await,
        1,
        "nothing was changed"
    );
    // One column of two: it is changed, and the other is named.
    let ran = edit(&["2", "--set", "name=two", "--run", "-o", "json"])
        .ok()
        .json();
    assert_eq!(ran["remaining"][0]["column"], "level", "{ran:#}");
    // Changed by somebody else since it was refused: their change stands.
    let ran = edit(&["2", "--null", "level"]);
    assert!(ran.err().contains("[quarantine.moved_on"), "{}", ran.err());
    assert_eq!(state_of(&world), "completed_with_errors");
    let report = edit(&["2", "--null", "level", "--run", "-o", "json"])
        .ok_but_refused()
        .json();
    assert_eq!(report["outcome"]["counters"]["created"], 1, "{report:#}");
    edit(&["3", "--set", "level=3.5"]).ok();
    edit(&["4", "--set", "level=-7", "--set", "code=it's"]).ok();
    assert_eq!(state_of(&world), "completed");
    world.assert_equal("t", 4);
    assert_eq!(
        world
            .count("select count(*) from t where id = 4 and code = 'it''s'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_role_that_may_only_read_is_told_what_to_grant() {
    let world = World::with_private_source().await;
    world
        .sql(
            "create table t (id int primary key, level double precision); insert into t values (1, 'NaN');
             create role reader login password 'r'; grant select on t to reader",
        )
        .await;
    let url = reqwest::Url::parse(&world.source.url()).unwrap();
    let mut documents = world.catalog();
    for (now, then) in [
        (json!({"user": url.username()}), json!({"user": "reader"})),
        (json!({"value": url.password()}), json!({"value": "r"})),
    ] {
        let inner = |json: &Json| json.to_string().trim_matches(['{', '}']).to_owned();
        assert!(documents.contains(&inner(&now)));
        documents = documents.replacen(&inner(&now), &inner(&then), 1);
    }
    let file = world.folder.path().join("documents.yaml");
    std::fs::write(
        &file,
        format!("{documents}{}\n", world.definition("t", "public.t", json!({}))),
    )
    .unwrap();
    world.command(&["apply", "-f", file.to_str().unwrap()]).ok();
    assert_eq!(state_of(&world), "completed_with_errors");
    let ran = world.command(&["quarantine", "edit", "t", "1", "--set", "level=1"]);
    assert!(
        ran.err().contains("grant UPDATE") && ran.err().contains("[source.edit_permission"),
        "{}",
        ran.err()
    );
}

trait Usage {
    fn usage(self);
}

impl Usage for Ran {
    /// Fails unless clap refused the command line.
    fn usage(self) {
        assert_eq!(self.code(), 2, "{}{}", self.out(), self.err());
    }
}
