//! People at work in a list that the table owns: what of theirs stays, what is overridden, what is kept of it.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

const TABLE: &str = "create table t (id int primary key, code text, price numeric(10,2), note text);
    insert into t select n, 'code ' || n, n, 'note ' || n from generate_series(1, 20) n;";

/// A world with the table in its list.
async fn pushed(more: Json) -> World {
    let world = World::new().await;
    world.sql(TABLE).await;
    world.applied(more);
    world.completed(&[]).await;
    world
}

async fn item(world: &World, code: &str) -> Json {
    world.item_where("t", "Code", &json!(code)).await
}

/// Columns and kinds of the recorded conflicts.
async fn conflicts(world: &World) -> Vec<(String, String)> {
    sqlx::query_as("select column_name, kind from conflicts order by created_at, column_name")
        .fetch_all(world.meta_pool())
        .await
        .expect("the meta-store answers")
}

fn overridden(column: &str) -> (String, String) {
    (column.to_owned(), "overridden".to_owned())
}

#[tokio::test]
async fn an_edit_in_a_pushed_field_stands_until_the_source_changes_it_and_is_kept_on_record() {
    let world = pushed(json!({})).await;
    let theirs = item(&world, "code 7").await;
    world
        .person_edits("t", &theirs, &json!({"Price": 999.5, "Title": "for the board"}))
        .await;
    // Nobody changed the row: nothing is sent, nothing is asked.
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    assert_eq!(world.spent().await.1, 0);
    assert_eq!(item(&world, "code 7").await["fields"]["Price"], 999.5);

    world.sql("update t set price = 8.25 where id = 7").await;
    assert_eq!(
        world.completed(&[]).await,
        Writes {
            patches: 1,
            ..Writes::NONE
        }
    );
    let now = item(&world, "code 7").await;
    assert_eq!(now["fields"]["Price"], 8.25);
    assert_eq!(now["id"], theirs["id"]);
    // The title is filled once from the key and belongs to people from then on.
    assert_eq!(now["fields"]["Title"], "for the board");
    assert_eq!(conflicts(&world).await, [overridden("price")]);
    let plain: i64 = world
        .meta_count(
            "select count(*) from conflicts where position('999.5'::bytea in sealed_target) > 0
             or position('8.25'::bytea in sealed_source) > 0 or sealed_target = '' or sealed_source = ''",
        )
        .await;
    assert_eq!(plain, 0, "both values are kept, and sealed");

    // Agreed again: another change is no conflict.
    world.sql("update t set price = 9 where id = 7").await;
    assert_eq!(
        world.completed(&[]).await,
        Writes {
            patches: 1,
            ..Writes::NONE
        }
    );
    assert_eq!(conflicts(&world).await.len(), 1);
    world.assert_equal("t", 20);
}

#[tokio::test]
async fn an_edit_beside_the_changed_field_is_restored_with_that_write_or_kept_as_the_policy_says() {
    for (policy, note) in [("report", "note 7"), ("keep", "theirs")] {
        let world = pushed(json!({"onForeignEdit": policy})).await;
        let theirs = item(&world, "code 7").await;
        world.person_edits("t", &theirs, &json!({"Note": "theirs"})).await;
        world.sql("update t set price = 8.25 where id = 7").await;
        assert_eq!(
            world.completed(&[]).await,
            Writes {
                patches: 1,
                ..Writes::NONE
            },
            "{policy}"
        );
        let now = item(&world, "code 7").await;
        assert_eq!(now["fields"]["Price"], 8.25, "{policy}");
        assert_eq!(now["fields"]["Note"], note, "{policy}");
        let recorded = conflicts(&world).await;
        let expected = if policy == "report" {
            vec![overridden("note")]
        } else {
            Vec::new()
        };
        assert_eq!(recorded, expected, "{policy}");
        assert_eq!(world.completed(&["--full"]).await, Writes::NONE, "{policy}");
    }
}

#[tokio::test]
async fn columns_and_items_of_other_people_stay_as_they_are() {
    let world = pushed(json!({"onDelete": "propagate"})).await;
    let list = world.list_id("t").await;
    world
        .graph_post(
            &format!("/sites/contoso.sharepoint.com:/sites/Company:/lists/{list}/columns"),
            &json!({"name": "Remark", "text": {}}),
        )
        .await;
    let remarked = item(&world, "code 7").await;
    world
        .person_edits("t", &remarked, &json!({"Remark": "call them"}))
        .await;
    world
        .sim_send(
            "POST",
            &format!("lists/{list}/items"),
            &json!({"fields": {"Title": "mine", "Code": "code 8"}}),
        )
        .await;
    world
        .sql("update t set price = price + 1 where id < 10; delete from t where id = 20")
        .await;
    assert_eq!(
        world.completed(&["--full"]).await,
        Writes {
            creates: 0,
            patches: 9,
            deletes: 1
        }
    );
    assert_eq!(item(&world, "code 7").await["fields"]["Remark"], "call them");
    let mine = world.item_where("t", "Title", &json!("mine")).await;
    assert_eq!(mine["counter"], 1, "{mine:#}");
    let found = world.verify("t");
    assert_eq!(found["foreign"], 1, "{found:#}");
    assert_eq!(conflicts(&world).await, []);
    world.assert_equal("t", 19);
}

#[tokio::test]
async fn an_item_that_a_person_deleted_comes_back_with_the_rows_next_change_and_not_before() {
    let world = pushed(json!({"onDelete": "propagate"})).await;
    let theirs = item(&world, "code 7").await;
    world.person_deletes("t", &theirs).await;
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    assert_eq!(world.items("t").await.len(), 19);

    world.sql("update t set price = 8.25 where id = 7").await;
    assert_eq!(
        world.completed(&[]).await,
        Writes {
            creates: 1,
            ..Writes::NONE
        }
    );
    let now = item(&world, "code 7").await;
    assert_ne!(now["guid"], theirs["guid"]);
    assert_eq!(now["fields"]["Price"], 8.25);
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    world.assert_equal("t", 20);

    // A row that goes after its item went needs no write, and comes back as a new item.
    world.person_deletes("t", &now).await;
    world.sql("delete from t where id = 7").await;
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    world.sql("insert into t values (7, 'code 7', 1, 'again')").await;
    assert_eq!(
        world.completed(&[]).await,
        Writes {
            creates: 1,
            ..Writes::NONE
        }
    );
    world.assert_equal("t", 20);
}
