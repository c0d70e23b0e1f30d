//! Rows that go and come back: delete policies, and the guard in front of them.

use serde_json::json;
use syncbridge_end_to_end::{World, Writes};

fn table(rows: u32) -> String {
    format!(
        "create table t (id int primary key, name text, changed timestamptz not null default now());
         insert into t select n, 'row ' || n, '2026-01-01Z' from generate_series(1, {rows}) n;"
    )
}

#[tokio::test]
async fn the_policy_keep_leaves_the_item_and_goes_on_with_it_when_the_row_comes_back() {
    let world = World::new().await;
    world.sql(&table(20)).await;
    world.applied(json!({"onDelete": "keep"}));
    world.completed(&[]).await;
    let before = world.item_where("t", "Title", &json!("row 5")).await;
    world.sql("delete from t where id in (5, 6)").await;
    for _ in 0..2 {
        assert_eq!(world.completed(&[]).await, Writes::NONE);
        assert_eq!(world.spent().await.1, 0);
    }
    let found = world.verify("t");
    assert_eq!(found["kept"], 2, "{found:#}");
    assert_eq!(found["equal"], 18, "{found:#}");
    assert_eq!(found["orphans"], 0, "{found:#}");

    // Equal or not, the row finds its own item again.
    world
        .sql("insert into t values (5, 'row 5', '2026-01-01Z'), (6, 'back', '2026-01-01Z')")
        .await;
    world.completed(&[]).await;
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    let after = world.item_where("t", "Title", &json!("row 5")).await;
    assert_eq!(after["guid"], before["guid"]);
    assert_eq!(world.items("t").await.len(), 20);
    world.assert_equal("t", 20);
}

#[tokio::test]
async fn the_policy_propagate_deletes_the_item_and_only_it() {
    let world = World::new().await;
    world.sql(&table(20)).await;
    let more = json!({"onDelete": "propagate", "source": {"feed": "watermark", "watermark": "changed"}});
    world.apply(&world.definition("marked", "public.t", more)).ok();
    world
        .apply(&world.definition("scanned", "public.t", json!({"onDelete": "propagate"})))
        .ok();
    for name in ["marked", "scanned"] {
        world.completed_of(name, &[]).await;
    }
    world.sql("delete from t where id in (1, 10)").await;
    assert_eq!(
        world.completed_of("scanned", &[]).await,
        Writes {
            deletes: 2,
            ..Writes::NONE
        }
    );
    // A watermark shows no absence; the sweep finds it.
    assert_eq!(world.completed_of("marked", &[]).await, Writes::NONE);
    assert_eq!(
        world.completed_of("marked", &["--full"]).await,
        Writes {
            deletes: 2,
            ..Writes::NONE
        }
    );
    for name in ["marked", "scanned"] {
        assert_eq!(world.completed_of(name, &["--full"]).await, Writes::NONE);
        world.assert_equal(name, 18);
    }
}

#[tokio::test]
async fn a_row_deleted_and_inserted_again_has_one_item_however_often() {
    let world = World::new().await;
    world.sql(&table(20)).await;
    let more = json!({"onDelete": "propagate", "source": {"feed": "watermark", "watermark": "changed"}});
    world.apply(&world.definition("marked", "public.t", more)).ok();
    world
        .apply(&world.definition("scanned", "public.t", json!({"onDelete": "propagate"})))
        .ok();
    for name in ["marked", "scanned"] {
        world.completed_of(name, &[]).await;
    }
    // Between two runs: nothing was lost, and the list never hears of it.
    world
        .sql("delete from t where id = 3; insert into t values (3, 'row 3', '2026-01-01Z')")
        .await;
    for name in ["marked", "scanned"] {
        assert_eq!(
            world.completed_of(name, &["--full"]).await,
            Writes::NONE,
            "{name}"
        );
    }
    for round in 0..3 {
        world.sql("delete from t where id in (3, 4)").await;
        for name in ["marked", "scanned"] {
            let gone = world.completed_of(name, &["--full"]).await;
            assert_eq!(
                gone,
                Writes {
                    deletes: 2,
                    ..Writes::NONE
                },
                "{name} {round}"
            );
        }
        // Row 3 comes back as it was, row 4 changed.
        world
            .sql(&format!(
                "insert into t values (3, 'row 3', now()), (4, 'round {round}', now())"
            ))
            .await;
        for name in ["marked", "scanned"] {
            let back = world.completed_of(name, &[]).await;
            assert_eq!(
                back,
                Writes {
                    creates: 2,
                    ..Writes::NONE
                },
                "{name} {round}"
            );
            assert_eq!(
                world.completed_of(name, &["--full"]).await,
                Writes::NONE,
                "{name} {round}"
            );
            world.assert_equal(name, 20);
        }
    }
}

#[tokio::test]
async fn a_truncated_table_deletes_nothing_until_a_person_lets_it() {
    let world = World::new().await;
    world.sql(&table(300)).await;
    world.applied(json!({"onDelete": "propagate"}));
    world.completed(&[]).await;
    world.sql("truncate t").await;
    for _ in 0..2 {
        let (nothing, report) = world.ended("t", &[], "completed_with_errors").await;
        assert_eq!(nothing, Writes::NONE);
        assert_eq!(world.spent().await.1, 0);
        let notices = report["outcome"]["notices"].to_string();
        assert!(
            notices.contains("run t --allow-deletes 300"),
            "what to do is not said: {report:#}"
        );
        assert_eq!(report["outcome"]["counters"]["parked"], 300, "{report:#}");
    }
    // Less than what is gone is no leave for any of it.
    let (nothing, _) = world
        .ended("t", &["--allow-deletes", "299"], "completed_with_errors")
        .await;
    assert_eq!(nothing, Writes::NONE);
    assert_eq!(
        world.completed(&["--allow-deletes", "300"]).await,
        Writes {
            deletes: 300,
            ..Writes::NONE
        }
    );
    world.assert_equal("t", 0);
    assert_eq!(world.completed(&[]).await, Writes::NONE);
}

#[tokio::test]
async fn rows_that_are_back_before_anybody_let_them_go_leave_no_trace() {
    let world = World::new().await;
    world.sql(&table(300)).await;
    world.applied(json!({"onDelete": "propagate"}));
    world.completed(&[]).await;
    world
        .sql("create table rescue as select * from t; truncate t")
        .await;
    let (nothing, _) = world.ended("t", &[], "completed_with_errors").await;
    assert_eq!(nothing, Writes::NONE);
    world.sql("insert into t select * from rescue").await;
    let (nothing, report) = world.ended("t", &[], "completed").await;
    assert_eq!(nothing, Writes::NONE, "{report:#}");
    assert_eq!(report["outcome"]["notices"], json!([]), "{report:#}");

    // The same with a few that stay away: the guard judges those that are gone now.
    world.sql("truncate t").await;
    world.ended("t", &[], "completed_with_errors").await;
    world.sql("insert into t select * from rescue where id > 5").await;
    assert_eq!(
        world.completed(&[]).await,
        Writes {
            deletes: 5,
            ..Writes::NONE
        }
    );
    world.assert_equal("t", 295);
}

#[tokio::test]
async fn deletes_up_to_the_allowance_pass_and_one_more_holds_all_of_them() {
    let world = World::new().await;
    world.sql(&table(200)).await;
    let guards = json!({"deletes": {"count": 10, "share": 0.0, "window": "off"}});
    world
        .apply(&world.definition(
            "t",
            "public.t",
            json!({"onDelete": "propagate", "guards": guards}),
        ))
        .ok();
    world.completed(&[]).await;
    world
        .sql("delete from t where id <= 10; update t set name = 'new' where id = 50")
        .await;
    assert_eq!(
        world.completed(&[]).await,
        Writes {
            deletes: 10,
            patches: 1,
            creates: 0
        }
    );
    // Over the allowance the deletes wait, and everything else goes on.
    world
        .sql("delete from t where id <= 21; update t set name = 'newer' where id = 50")
        .await;
    let (others, _) = world.ended("t", &[], "completed_with_errors").await;
    assert_eq!(
        others,
        Writes {
            patches: 1,
            ..Writes::NONE
        }
    );
    // Some of them come back: what is left is within the allowance again.
    world
        .sql("insert into t values (11, 'row 11', '2026-01-01Z')")
        .await;
    assert_eq!(
        world.completed(&[]).await,
        Writes {
            deletes: 10,
            ..Writes::NONE
        }
    );
    world.assert_equal("t", 180);
}
