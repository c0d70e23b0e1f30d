//! Verification and repair: what was done to a list behind our back is found, named, and put right item by item.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

/// Rows of the large list. The issue asks for 100,000.
const ROWS: i64 = 100_000;
/// Items of each kind that are corrupted in it.
const EACH: usize = 12;
/// Items a page in these tests.
const PAGE: u64 = 2_000;

/// A world whose table of so many rows was pushed to its list.
async fn pushed(rows: i64, more: Json) -> World {
    let world = World::new().await;
    world
        .sql(&format!(
            "create table t (id int primary key, code text, price numeric(10,2));
             insert into t select n, 'code ' || n, n % 1000 from generate_series(1, {rows}) n;
             analyze t"
        ))
        .await;
    world.apply(&world.definition("t", "public.t", more)).ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    world
}

/// As [`pushed`], and the list accepts a sync key twice, as one whose column a person changed does.
async fn pushed_without_uniqueness(rows: i64, more: Json) -> World {
    let world = pushed(rows, more).await;
    let list = world.list_id("t").await;
    world
        .graph_patch(
            &format!("/sites/contoso.sharepoint.com:/sites/Company:/lists/{list}/columns/SyncBridgeKey"),
            &json!({"enforceUniqueValues": false}),
        )
        .await;
    world
}

/// A person copies an item in the grid: same values, another item.
async fn copy(world: &World, item: &Json, changes: &Json) {
    let list = world.list_id("t").await;
    let mut fields = json!({});
    for name in ["Title", "Code", "Price", "SyncBridgeKey"] {
        fields[name] = item["fields"][name].clone();
    }
    for (name, value) in changes.as_object().expect("an object") {
        fields[name] = value.clone();
    }
    world
        .sim_send(
            "POST",
            &format!("lists/{list}/items"),
            &json!({ "fields": fields }),
        )
        .await;
}

/// Resource units of one tag by the simulator's count.
async fn ru(world: &World, tag: &str) -> u64 {
    world
        .spent()
        .await
        .0
        .get(tag)
        .map_or(0, |sum| sum["ru"].as_u64().expect("a sum"))
}

/// Corrupts `3 * each` items far apart, verifies, repairs, verifies.
async fn corrupted_and_repaired(world: &World, rows: i64, each: usize) {
    let pages = (rows as u64).div_ceil(PAGE);
    // Clean: two units a page and the columns once, and nothing else.
    world.reset_account().await;
    world.assert_equal("t", rows);
    assert_eq!(ru(world, "verify").await, 2 * pages);
    assert_eq!(world.spent().await.1, 2 * pages + ru(world, "provision").await);
    assert_eq!(ru(world, "provision").await, 2, "the list's columns, once");

    let items = world.items("t").await;
    let step = items.len() / (3 * each);
    let picked = |of: usize| items.iter().skip(of * step).step_by(3 * step).take(each);
    for item in picked(0) {
        world.person_edits("t", item, &json!({"Code": "scribbled"})).await;
    }
    for item in picked(1) {
        world.person_deletes("t", item).await;
    }
    for item in picked(2) {
        copy(world, item, &json!({})).await;
    }
    world.reset_account().await;
    let ran = world.command(&["verify", "t", "-o", "json"]);
    assert_eq!(ran.code(), 4);
    let found = ran.json()["outcome"]["verification"].clone();
    for (kind, count) in [
        ("differing", each),
        ("missing", each),
        ("duplicates", each),
        ("orphans", 0),
    ] {
        assert_eq!(found[kind], count as u64, "{kind}: {found:#}");
    }
    assert_eq!(found["looks"], each as u64, "{found:#}");
    assert_eq!(ru(world, "verify").await, 2 * pages);
    // A look for each that no page showed, and now and then one whether the list answers at all.
    let looks = ru(world, "probe").await;
    assert!((each as u64..=2 * each as u64).contains(&looks), "{looks} RU");
    assert_eq!(world.writes().await, Writes::NONE);
    listed(world, each);

    world.reset_account().await;
    let ran = world.command(&["verify", "t", "--repair", "-o", "json"]);
    assert_eq!(ran.code(), 0, "{}\n{}", ran.out(), ran.err());
    let each = each as u64;
    assert_eq!(
        world.writes().await,
        Writes {
            creates: each,
            patches: each,
            deletes: each
        }
    );
    assert_eq!(ru(world, "verify").await, 2 * pages);
    assert_eq!(world.items("t").await.len() as i64, rows);

    world.reset_account().await;
    world.assert_equal("t", rows);
    assert_eq!(ru(world, "verify").await, 2 * pages);
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(
        world.writes().await,
        Writes::NONE,
        "what repair wrote is agreed on"
    );
}

/// Every corrupted item is listed with its kind, who moved and its columns, page by page, and no value is kept.
fn listed(world: &World, each: usize) {
    let mut after = 0;
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    loop {
        let after_text = after.to_string();
        let page = world
            .command(&[
                "verify",
                "t",
                "--list",
                "--limit",
                "7",
                "--after",
                &after_text,
                "-o",
                "json",
            ])
            .ok()
            .json();
        for one in page["differences"].as_array().expect("a page") {
            *kinds
                .entry(one["kind"].as_str().expect("a kind").to_owned())
                .or_default() += 1;
            if one["kind"] == "differing" {
                assert_eq!(
                    (&one["columns"], &one["cause"]),
                    (&json!(["code"]), &json!("list"))
                );
            }
            assert_eq!(one["key"].as_array().expect("a key").len(), 1);
        }
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    let expected = ["differing", "duplicate", "missing"].map(|kind| (kind.to_owned(), each));
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn b_04_every_corrupted_item_of_a_large_list_is_found_and_repair_writes_exactly_those() {
    let world = pushed_without_uniqueness(ROWS, json!({})).await;
    corrupted_and_repaired(&world, ROWS, EACH).await;
}

#[tokio::test]
async fn a_killed_verification_goes_on_behind_its_last_page_and_says_so() {
    let world = World::with(|options| options.latency_ms = 60).await;
    world
        .sql("create table t (id int primary key, code text); insert into t select n, 'code ' || n from generate_series(1, 400) n")
        .await;
    world
        .apply(&world.definition("t", "public.t", json!({"limits": {"verifyPageItems": 40}})))
        .ok();
    world.run("t");
    let items = world.items("t").await;
    world
        .person_edits("t", &items[3], &json!({"Code": "early"}))
        .await;
    world.person_deletes("t", &items[50]).await;
    world.person_deletes("t", &items[390]).await;

    let fresh = world.command(&["verify", "t", "--resume", "-o", "json"]).json();
    let notices = fresh["outcome"]["notices"].to_string();
    assert!(notices.contains("began anew"), "{notices}");
    let expected = fresh["outcome"]["verification"].clone();
    assert_eq!(
        (&expected["differing"], &expected["missing"]),
        (&json!(1), &json!(2))
    );

    let mut killed = world.start("killed", &["verify", "t"]);
    let pages = "select coalesce(max(pages), 0) from verifications where not finished";
    syncbridge_end_to_end::until("three pages are kept", async || {
        world.meta_count(pages).await >= 3
    })
    .await;
    killed.kill().expect("a child");
    killed.wait().expect("it ends");
    let read = u64::try_from(world.meta_count(pages).await).expect("a count");
    assert!((3..10).contains(&read), "{read} of 10 pages");

    world.reset_account().await;
    let resumed = world.command(&["verify", "t", "--resume", "-o", "json"]).json();
    let found = &resumed["outcome"]["verification"];
    assert_eq!(found["resumed_pages"], read, "{found:#}");
    assert_eq!(
        ru(&world, "verify").await,
        2 * (10 - read),
        "no page is read twice"
    );
    for key in [
        "rows",
        "items",
        "equal",
        "differing",
        "missing",
        "duplicates",
        "orphans",
        "pages",
    ] {
        assert_eq!(found[key], expected[key], "{key}");
    }
    let unfinished = "select count(*) from runs where kind = 'verify' and ended_at is null";
    assert_eq!(
        world.meta_count(unfinished).await,
        0,
        "the killed run was ended by its successor"
    );
    assert_eq!(
        world.meta_count("select count(*) from verification_pages").await,
        0
    );
    let stored = world
        .command(&["verify", "t", "--list", "-o", "json"])
        .ok()
        .json();
    assert_eq!(
        stored["differences"].as_array().map(Vec::len),
        Some(3),
        "{stored:#}"
    );
}

#[tokio::test]
async fn a_range_of_a_composite_key_is_compared_in_the_databases_own_order() {
    let world = World::new().await;
    world
        .sql(
            "create table t (region text collate \"C\", n int, code text, primary key (region, n));
             insert into t select r, n, r || n from unnest(array['B', 'a', 'c']) r, generate_series(-2, 20) n",
        )
        .await;
    world.apply(&world.definition("t", "public.t", json!({}))).ok();
    world.run("t");
    for code in ["B20", "a-2", "a5", "c3"] {
        let item = world.item_where("t", "Code", &json!(code)).await;
        world
            .person_edits("t", &item, &json!({"Code": "scribbled"}))
            .await;
    }
    let gone = world.item_where("t", "Code", &json!("a19")).await;
    world.person_deletes("t", &gone).await;
    world
        .sql("delete from t where region = 'a' and n in (3, 20) or region = 'c' and n = 1")
        .await;
    let compare = |args: &[&str]| {
        let mut all = vec!["verify", "t", "-o", "json"];
        all.extend(args);
        let report = world.command(&all).json();
        let found = &report["outcome"]["verification"];
        assert!(!found.is_null(), "{report:#}");
        ["rows", "items", "differing", "missing", "orphans"].map(|key| found[key].as_u64().expect("a count"))
    };
    // 'B' sorts before 'a' here, as it does in no language.
    assert_eq!(compare(&[]), [66, 68, 4, 1, 3]);
    assert_eq!(
        compare(&["--from", "a", "-2", "--to", "a", "19"]),
        [21, 21, 2, 1, 1]
    );
    assert_eq!(
        compare(&["--from", "a", "-1", "--to", "c", "1"]),
        [23, 25, 1, 1, 3]
    );
    assert_eq!(compare(&["--to", "B", "20"]), [23, 23, 1, 0, 0]);
    assert_eq!(compare(&["--from", "c", "3"]), [18, 18, 1, 0, 0]);
    let wrong = world.command(&["verify", "t", "--from", "a"]);
    assert!(wrong.err().contains("ledger.key"), "{}", wrong.err());
}

#[tokio::test]
async fn it_says_who_moved_and_repair_leaves_what_the_definition_keeps() {
    let fields = json!([
        {"column": "code"},
        {"column": "price", "onForeignEdit": "keep"},
    ]);
    let world = pushed(30, json!({"fields": fields})).await;
    let items = world.items("t").await;
    world.person_edits("t", &items[0], &json!({"Price": 77.5})).await;
    world
        .person_edits("t", &items[1], &json!({"Code": "theirs"}))
        .await;
    world
        .person_edits("t", &items[2], &json!({"Code": "theirs"}))
        .await;
    let code = |at: usize| items[at]["fields"]["Code"].as_str().expect("a code").to_owned();
    world
        .sql(&format!(
            "update t set code = code || ' new' where code in ('{}', '{}');
             insert into t values (99, 'late', 1); delete from t where code = '{}'",
            code(2),
            code(3),
            code(4)
        ))
        .await;
    let found = world.verify("t");
    let causes: std::collections::BTreeMap<String, u64> = found["examples"]
        .as_array()
        .expect("examples")
        .iter()
        .fold(Default::default(), |mut all, one| {
            *all.entry(format!(
                "{} {}",
                one["kind"].as_str().unwrap(),
                one["cause"].as_str().unwrap()
            ))
            .or_default() += 1;
            all
        });
    let expected = [
        "differing both",
        "differing list",
        "differing source",
        "missing source",
        "orphan source",
    ];
    assert_eq!(
        causes.into_iter().collect::<Vec<_>>(),
        expected.map(|one| (one.to_owned(), 1))
    );
    assert_eq!(
        (&found["pending"], &found["kept_edits"]),
        (&json!(3), &json!(1)),
        "{found:#}"
    );

    world.reset_account().await;
    let ran = world.command(&["verify", "t", "--repair", "-o", "json"]);
    assert_eq!(
        ran.code(),
        4,
        "an item whose row is gone is left to the push: {}",
        ran.out()
    );
    let writes = Writes {
        creates: 1,
        patches: 3,
        deletes: 0,
    };
    assert_eq!(world.writes().await, writes);
    world.run_with("t", &["--full"]);
    let ran = world.command(&["verify", "t", "-o", "json"]);
    assert_eq!(ran.code(), 0, "{}", ran.out());
    let kept = world.items("t").await;
    assert_eq!(kept[0]["fields"]["Price"], 77.5);
    let overridden = "select count(*) from conflicts where kind = 'overridden'";
    assert_eq!(
        world.meta_count(overridden).await,
        2,
        "both values of what repair wrote over are kept"
    );
}

#[tokio::test]
async fn what_is_not_clearly_ours_or_holds_something_of_a_persons_is_told_and_left() {
    let world = pushed_without_uniqueness(40, json!({})).await;
    let list = world.list_id("t").await;
    let path = format!("/sites/contoso.sharepoint.com:/sites/Company:/lists/{list}/columns");
    world
        .graph_post(&path, &json!({"name": "Remark", "text": {}}))
        .await;
    let items = world.items("t").await;
    // Copies: untouched, edited by a person, remarked on by a person.
    copy(&world, &items[0], &json!({})).await;
    copy(&world, &items[1], &json!({"Price": 4321})).await;
    copy(&world, &items[2], &json!({"Remark": "call them"})).await;
    // A sync key that no row of ours has, and the item of a row made anew by hand.
    copy(
        &world,
        &items[3],
        &json!({"SyncBridgeKey": format!("1{}", "a".repeat(26))}),
    )
    .await;
    copy(&world, &items[4], &json!({})).await;
    world.person_deletes("t", &items[4]).await;
    let found = world.verify("t");
    let counts =
        ["duplicates", "orphans", "wrong_list", "differing", "missing"].map(|kind| found[kind].as_u64());
    assert_eq!(counts, [3, 1, 1, 0, 0].map(Some), "{found:#}");

    world.reset_account().await;
    let ran = world.command(&["verify", "t", "--repair", "-o", "json"]);
    assert_eq!(ran.code(), 4, "{}", ran.out());
    let one_delete = Writes {
        deletes: 1,
        ..Writes::NONE
    };
    assert_eq!(world.writes().await, one_delete);
    let notices = ran.json()["outcome"]["notices"].to_string();
    assert!(
        notices.contains("Price") && notices.contains("Remark"),
        "{notices}"
    );
    assert!(
        !notices.contains("4321") && !notices.contains("call them"),
        "{notices}"
    );
    let applied = "select count(*) from ledger_history where kind = 'delete_item' and outcome = 'applied'";
    assert_eq!(world.meta_count(applied).await, 1);
    assert_eq!(
        world
            .meta_count("select count(*) from ledger where state <> 1")
            .await,
        0,
        "no row was buried"
    );

    // The guard holds copies back like any other deletion.
    let world =
        pushed_without_uniqueness(40, json!({"guards": {"deletes": {"count": 1, "share": 0.0}}})).await;
    let items = world.items("t").await;
    copy(&world, &items[0], &json!({})).await;
    copy(&world, &items[1], &json!({})).await;
    assert_eq!(world.command(&["verify", "t", "--repair"]).code(), 4);
    assert_eq!(world.items("t").await.len(), 42);
    assert_eq!(
        world
            .command(&["verify", "t", "--repair", "--allow-deletes", "2"])
            .code(),
        0
    );
    world.assert_equal("t", 40);
}

#[tokio::test]
async fn items_of_another_definition_in_the_same_list_are_no_concern_of_a_verification() {
    let world = pushed(20, json!({})).await;
    world
        .sql("create table u (id int primary key, code text, price numeric(10,2)); insert into u select id, code, price from t")
        .await;
    let definition = world.definition("u", "public.u", json!({"target": {"list": "t"}}));
    world.apply(&definition).ok();
    let report = world.run("u");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    for name in ["t", "u"] {
        let found = world.verify(name);
        assert_eq!(
            (&found["others"], &found["equal"]),
            (&json!(20), &json!(20)),
            "{found:#}"
        );
        assert_eq!(found["orphans"], 0);
    }
}

#[tokio::test]
async fn a_column_that_answers_stopped_to_show_is_unreadable_and_never_differing() {
    let world = World::with(|options| options.latency_ms = 100).await;
    world
        .sql(
            "create table t (id int primary key, code text, note text);
              insert into t select n, 'code ' || n, 'note ' || n from generate_series(1, 60) n",
        )
        .await;
    world
        .apply(&world.definition("t", "public.t", json!({"limits": {"verifyPageItems": 10}})))
        .ok();
    world.run("t");
    let mut child = world.start("verify", &["verify", "t", "-o", "json"]);
    let pages = "select coalesce(max(pages), 0) from verifications";
    syncbridge_end_to_end::until("two pages are kept", async || world.meta_count(pages).await >= 2).await;
    let list = world.list_id("t").await;
    world
        .graph_delete(&format!(
            "/sites/contoso.sharepoint.com:/sites/Company:/lists/{list}/columns/Note"
        ))
        .await;
    assert_eq!(child.wait().expect("it ends").code(), Some(4));
    let text = std::fs::read_to_string(world.folder.path().join("verify.out")).expect("its output");
    let found: Json = serde_json::from_str::<Json>(&text).expect("JSON")["outcome"]["verification"].clone();
    let count = |key: &str| found[key].as_u64().expect("a count");
    assert_eq!((count("differing"), count("missing")), (0, 0), "{found:#}");
    assert!(count("unreadable") >= 10, "{found:#}");
    assert_eq!(count("equal") + count("unreadable"), 60, "{found:#}");
    assert_eq!(found["examples"][0]["columns"], json!(["note"]), "{found:#}");
}
