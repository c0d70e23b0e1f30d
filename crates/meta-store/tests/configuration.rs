//! What people configure, and the audit trail of it.

use serde_json::json;
use syncbridge_domain::ids::WorkspaceId;
use syncbridge_meta_store::audit::{self, NewEntry};
use syncbridge_meta_store::definitions::{self, LedgerOnDelete, NewDefinition, ProvisionedList};
use syncbridge_meta_store::{Change, Error, catalog, connections, outbox, workspaces};

use crate::fixture::{ACTOR, LIST, World, row, subject};

const W: WorkspaceId = WorkspaceId::DEFAULT;

#[tokio::test]
async fn documents_are_created_changed_and_left_alone() {
    let world = World::new().await;
    let mut tx = world.store.begin().await.unwrap();
    let (one, two) = (json!({"a": 1}), json!({"a": 2}));
    let created = connections::put(&mut tx, W, "graph", &one, ACTOR).await.unwrap();
    let same = connections::put(&mut tx, W, "graph", &one, "other")
        .await
        .unwrap();
    let changed = connections::put(&mut tx, W, "graph", &two, "other")
        .await
        .unwrap();
    assert_eq!(
        [created.change, same.change, changed.change],
        [Change::Created, Change::Unchanged, Change::Changed]
    );
    assert!(created.id == same.id && same.id == changed.id);
    let found = connections::find(&mut tx, W, "graph").await.unwrap();
    assert_eq!((found.spec, found.updated_by.as_str()), (two, "other"));
    assert_eq!(connections::get(&mut tx, created.id).await.unwrap().name, "graph");
    assert_eq!(connections::list(&mut tx, W).await.unwrap().len(), 1);
    connections::delete(&mut tx, W, "graph").await.unwrap();
    assert!(matches!(
        connections::delete(&mut tx, W, "graph").await,
        Err(Error::NotFound { .. })
    ));
}

#[tokio::test]
async fn the_catalog_keeps_its_order_of_belonging() {
    let world = World::new().await;
    let spec = json!({});
    let mut tx = world.store.begin().await.unwrap();
    let application = catalog::put_application(&mut tx, W, "erp", &spec, ACTOR)
        .await
        .unwrap()
        .id;
    let database = catalog::put_database(&mut tx, W, None, "main", &spec, ACTOR)
        .await
        .unwrap()
        .id;
    let owned = catalog::put_database(&mut tx, W, Some(application), "main", &spec, ACTOR)
        .await
        .unwrap();
    assert_eq!(
        (owned.id, owned.change),
        (database, Change::Changed),
        "the owner is part of it"
    );
    catalog::put_instance(&mut tx, W, database, "primary", &spec, ACTOR)
        .await
        .unwrap();
    assert_eq!(
        catalog::list_instances(&mut tx, W, Some(database))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(catalog::list_instances(&mut tx, W, None).await.unwrap().len(), 1);
    let found = catalog::find_instance(&mut tx, W, "primary").await.unwrap();
    assert_eq!(found.parent, Some(database.uuid()));
    assert_eq!(
        catalog::find_database(&mut tx, W, "main").await.unwrap().parent,
        Some(application.uuid())
    );
    tx.commit().await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    let in_use = catalog::delete_database(&mut tx, W, "main").await;
    assert!(
        matches!(in_use, Err(Error::InUse { kind: "database", .. })),
        "{in_use:?}"
    );
    tx.rollback().await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    catalog::delete_instance(&mut tx, W, "primary").await.unwrap();
    catalog::delete_database(&mut tx, W, "main").await.unwrap();
    catalog::delete_application(&mut tx, W, "erp").await.unwrap();
    assert_eq!(catalog::list_applications(&mut tx, W).await.unwrap(), []);
    assert_eq!(catalog::list_databases(&mut tx, W).await.unwrap(), []);
}

#[tokio::test]
async fn workspaces_have_unique_names_and_one_is_there_from_the_start() {
    let world = World::new().await;
    let mut connection = world.store.acquire().await.unwrap();
    workspaces::create(&mut connection, "second", ACTOR)
        .await
        .unwrap();
    let taken = workspaces::create(&mut connection, "second", ACTOR).await;
    assert!(matches!(taken, Err(Error::NameTaken { .. })), "{taken:?}");
    let names: Vec<_> = workspaces::list(&mut connection)
        .await
        .unwrap()
        .into_iter()
        .map(|w| (w.id, w.name))
        .collect();
    assert_eq!(names[0], (W, "default".into()));
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn a_changed_definition_gets_a_revision_and_keeps_its_namespace() {
    let world = World::new().await;
    let mut tx = world.store.begin().await.unwrap();
    let (one, two) = (json!({"v": 1}), json!({"v": 2}));
    let new = |spec, namespace| NewDefinition {
        workspace: W,
        name: "d",
        namespace,
        spec,
    };
    let created = definitions::put(&mut tx, &world.ring, new(&one, "ns"), ACTOR)
        .await
        .unwrap();
    let same = definitions::put(&mut tx, &world.ring, new(&one, "ns"), ACTOR)
        .await
        .unwrap();
    assert_eq!(
        (same.change, same.revision),
        (Change::Unchanged, created.revision)
    );
    let changed = definitions::put(&mut tx, &world.ring, new(&two, "ns"), "other")
        .await
        .unwrap();
    assert_eq!((changed.change, changed.id), (Change::Changed, created.id));
    let moved = definitions::put(&mut tx, &world.ring, new(&two, "elsewhere"), ACTOR).await;
    assert!(matches!(moved, Err(Error::NamespaceFixed { .. })), "{moved:?}");
    let revisions = definitions::revisions(&mut tx, created.id, 10).await.unwrap();
    let told: Vec<_> = revisions
        .iter()
        .map(|r| (r.number, r.spec.clone(), r.created_by.as_str()))
        .collect();
    assert_eq!(told, [(2, two.clone(), "other"), (1, one, ACTOR)]);
    let found = definitions::find(&mut tx, W, "d").await.unwrap();
    assert_eq!(
        (found.spec, found.revision, found.list),
        (two, changed.revision, None)
    );
    assert_eq!(
        definitions::raise_generation(&mut tx, created.id, ACTOR)
            .await
            .unwrap(),
        found.generation + 1
    );
    definitions::rename(&mut tx, created.id, "renamed", ACTOR)
        .await
        .unwrap();
    assert_eq!(
        definitions::get(&mut tx, created.id).await.unwrap().name,
        "renamed"
    );
    tx.commit().await.unwrap();
    let rewritten = sqlx::query("UPDATE revisions SET spec = '{}'")
        .execute(&world.pool)
        .await;
    assert!(rewritten.is_err(), "revisions are immutable");
}

#[tokio::test]
async fn a_list_and_namespace_have_one_owner_and_a_ledger_keeps_its_list() {
    let world = World::new().await;
    let spec = json!({});
    let list = |list: &str| ProvisionedList {
        site: "s".into(),
        list: list.into(),
    };
    let mut tx = world.store.begin().await.unwrap();
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let new = NewDefinition {
            workspace: W,
            name,
            namespace: "shared",
            spec: &spec,
        };
        ids.push(
            definitions::put(&mut tx, &world.ring, new, ACTOR)
                .await
                .unwrap()
                .id,
        );
    }
    definitions::set_list(&mut tx, ids[0], &list("l"), ACTOR)
        .await
        .unwrap();
    definitions::set_list(&mut tx, ids[0], &list("l"), ACTOR)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    let owned = definitions::set_list(&mut tx, ids[1], &list("l"), ACTOR).await;
    assert!(matches!(owned, Err(Error::ListOwned { .. })), "{owned:?}");
    drop(tx);
    let memory = world.memory("with a ledger").await;
    memory.write(&row(&subject("a"), 1)).await;
    let mut tx = world.store.begin().await.unwrap();
    let fixed = definitions::set_list(&mut tx, memory.id, &list("another"), ACTOR).await;
    assert!(matches!(fixed, Err(Error::ListFixed { .. })), "{fixed:?}");
}

#[tokio::test]
async fn a_definition_is_put_away_with_its_ledger_and_goes_on_with_it_when_it_comes_back() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    memory.write(&row(&subject("a"), 1)).await;
    let mut tx = world.store.begin().await.unwrap();
    definitions::delete(&mut tx, memory.id, LedgerOnDelete::Keep)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    let gone = definitions::find(&mut tx, WorkspaceId::DEFAULT, "d").await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    assert_eq!(
        definitions::list(&mut tx, WorkspaceId::DEFAULT).await.unwrap(),
        []
    );
    let write = memory.store.requeue_due(memory.fence).await;
    assert!(matches!(write, Err(Error::LeaseLost { .. })), "{write:?}");

    let stored = definitions::get(&mut tx, memory.id).await.unwrap();
    let again = NewDefinition {
        workspace: WorkspaceId::DEFAULT,
        name: "d",
        namespace: &stored.namespace,
        spec: &stored.spec,
    };
    let back = definitions::put(&mut tx, &world.ring, again, ACTOR)
        .await
        .unwrap();
    assert_eq!((back.id, back.change), (memory.id, Change::Created));
    tx.commit().await.unwrap();
    assert_eq!(memory.store.live_rows().await.unwrap(), 1);
}

#[tokio::test]
async fn a_ledger_is_dropped_with_its_definition_when_told() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    memory.write(&row(&subject("a"), 1)).await;
    let mut tx = world.store.begin().await.unwrap();
    definitions::delete(&mut tx, memory.id, LedgerOnDelete::Drop)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let left = "SELECT (SELECT count(*) FROM ledger) + (SELECT count(*) FROM item_links)
                     + (SELECT count(*) FROM definitions) + (SELECT count(*) FROM revisions)
                     + (SELECT count(*) FROM writer_leases)";
    assert_eq!(world.count(left).await, 0);
    assert_eq!(
        world.count("SELECT count(*) FROM ledger_history").await,
        1,
        "history stays"
    );
    let late = memory.store.live_rows().await.unwrap();
    assert_eq!(late, 0);
    let write = memory.store.requeue_due(memory.fence).await;
    assert!(matches!(write, Err(Error::LeaseLost { .. })), "{write:?}");
}

#[tokio::test]
async fn summaries_count_rows_by_definition() {
    let world = World::new().await;
    let (busy, idle) = (world.memory("busy").await, world.memory("idle").await);
    busy.write(&row(&subject("a"), 1)).await;
    busy.admit(&crate::fixture::create(&subject("b"))).await;
    let marks = [
        crate::fixture::dirty(&subject("b"), 1),
        crate::fixture::dirty(&subject("c"), 1),
    ];
    busy.store.mark_dirty(busy.fence, &marks, None).await.unwrap();
    let entries = [(crate::fixture::refused(&subject("d"), 1), None)];
    busy.store
        .quarantine(busy.fence, busy.run, &entries)
        .await
        .unwrap();
    let mut connection = world.store.acquire().await.unwrap();
    let summaries = definitions::summaries(&mut connection, W).await.unwrap();
    let told: Vec<_> = summaries
        .iter()
        .map(|s| {
            (
                s.definition.id,
                s.live_rows,
                s.dirty,
                s.quarantined,
                s.unsettled,
                s.last_run,
            )
        })
        .collect();
    assert_eq!(told, [(busy.id, 1, 2, 1, 1, None), (idle.id, 0, 0, 0, 0, None)]);
    assert_eq!(
        summaries[0]
            .definition
            .list
            .as_ref()
            .map(|list| list.list.as_str()),
        Some(LIST)
    );
}

async fn record(world: &World, action: &str) {
    let mut tx = world.store.begin().await.unwrap();
    let detail = json!({"n": 1});
    let entry = NewEntry {
        actor: ACTOR,
        action,
        object_kind: "definition",
        object_id: "def_1",
        object_name: "d",
        detail: &detail,
    };
    audit::append(&mut tx, W, entry).await.unwrap();
    outbox::append(&mut tx, W, "events", action, &detail)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_audit_chain_shows_what_was_tampered_with() {
    let world = World::new().await;
    for action in ["created", "changed", "deleted"] {
        record(&world, action).await;
    }
    let mut connection = world.store.acquire().await.unwrap();
    assert_eq!(audit::first_broken(&mut connection, W).await.unwrap(), None);
    let entries = audit::list(&mut connection, W, None, 2).await.unwrap();
    assert_eq!(
        entries
            .iter()
            .map(|e| (e.number, e.action.as_str()))
            .collect::<Vec<_>>(),
        [(3, "deleted"), (2, "changed")]
    );
    assert_eq!(
        audit::list(&mut connection, W, Some(2), 9).await.unwrap().len(),
        1
    );
    let tamper = async |sql: &'static str| {
        let mut tx = world.store.begin().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        let broken = audit::first_broken(&mut tx, W).await.unwrap();
        tx.rollback().await.unwrap();
        broken
    };
    assert_eq!(
        tamper("UPDATE audit SET actor = 'nobody' WHERE audit_id = 2").await,
        Some(2)
    );
    assert_eq!(tamper("DELETE FROM audit WHERE audit_id = 2").await, Some(3));
    assert_eq!(
        tamper("DELETE FROM audit WHERE audit_id = 3").await,
        Some(3),
        "the end is known"
    );
    assert_eq!(
        world
            .count("SELECT count(*) FROM outbox WHERE published_at IS NULL")
            .await,
        3
    );
}

#[tokio::test]
async fn audit_entries_written_at_once_form_one_chain() {
    let world = World::new().await;
    tokio::join!(
        record(&world, "a"),
        record(&world, "b"),
        record(&world, "c"),
        record(&world, "d")
    );
    let mut connection = world.store.acquire().await.unwrap();
    assert_eq!(audit::first_broken(&mut connection, W).await.unwrap(), None);
    assert_eq!(audit::list(&mut connection, W, None, 9).await.unwrap().len(), 4);
}
