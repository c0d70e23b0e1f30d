//! A-12, the meta-store's part: what is sealed is not in the database in the clear, and opens only in its place.

use serde_json::json;
use syncbridge_domain::conflict::ParkedConflict;
use syncbridge_domain::effect::NewEffect;
use syncbridge_domain::ids::WorkspaceId;
use syncbridge_domain::receipt::Fields;
use syncbridge_meta_store::ledger::{self, ConflictFilter};
use syncbridge_meta_store::sealed_secrets::{self, Binding};
use syncbridge_meta_store::{DefinitionStore, Error, OverriddenEdit, hash_keys};
use syncbridge_secrets::{ExposeSecret as _, Keyring, MasterKey, SecretString};

use crate::fixture::{ACTOR, World, create, parked, subject};

const PLANTED: &str = "planted-5f1e-value";
const BINDING: Binding<'_> = Binding {
    host: "login.example.com:443",
    authority: "https://login.example.com",
    client_id: "app",
};

/// Every row of every table as text; bytea shows as hexadecimal, so that is searched for too.
async fn dump(world: &World) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let mut out = String::new();
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t")))
                .fetch_all(&world.pool)
                .await
                .unwrap();
        out.push_str(&rows.join("\n"));
    }
    out
}

#[tokio::test]
async fn a_12_no_planted_value_is_in_the_database_in_the_clear() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("row");
    let sent = Fields::from([("Title".to_owned(), json!(PLANTED))]);
    memory
        .admit(&NewEffect {
            sent: sent.clone(),
            ..create(&who)
        })
        .await;
    let edit = OverriddenEdit {
        identity: who.identity,
        column: "title".into(),
        source: json!(PLANTED),
        target: json!({"nested": PLANTED}),
        winner: syncbridge_domain::conflict::Side::Source,
        target_by: None,
        target_at: None,
        ambiguous: false,
    };
    memory
        .store
        .record_conflicts(memory.fence, memory.run, std::slice::from_ref(&edit))
        .await
        .unwrap();
    let parked = parked(&who, "body");
    let parked = ParkedConflict {
        source: edit.source.clone(),
        target: edit.target.clone(),
        ..parked
    };
    memory
        .store
        .park_conflicts(memory.fence, memory.run, std::slice::from_ref(&parked))
        .await
        .unwrap();
    let mut tx = world.store.begin().await.unwrap();
    let secret = SecretString::from(PLANTED);
    sealed_secrets::put(
        &mut tx,
        &world.ring,
        WorkspaceId::DEFAULT,
        "graph",
        BINDING,
        &secret,
        ACTOR,
    )
    .await
    .unwrap();
    hash_keys::get_or_create(&mut tx, &world.ring, WorkspaceId::DEFAULT, ACTOR)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let dump = dump(&world).await;
    assert!(
        dump.contains("login.example.com"),
        "the dump shows what is not sealed"
    );
    assert!(!dump.contains(PLANTED));
    let hex: String = PLANTED.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!dump.contains(&hex));
    // And yet all of it is there.
    assert_eq!(memory.store.unsettled(1).await.unwrap()[0].sent, sent);
    let mut connection = world.store.acquire().await.unwrap();
    let listed = ledger::list_conflicts(&mut connection, memory.id, &ConflictFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(listed.len(), 2);
    for entry in listed {
        let opened = memory.store.conflict(entry.id).await.unwrap();
        assert_eq!((&opened.source, &opened.target), (&edit.source, &edit.target));
        assert!(!format!("{opened:?}").contains(PLANTED));
    }
    assert!(!format!("{edit:?}{parked:?}").contains(PLANTED));
}

#[tokio::test]
async fn a_value_moved_to_another_row_does_not_open_and_the_error_shows_nothing() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    memory.admit(&create(&subject("a"))).await;
    let other = subject("b");
    sqlx::query("UPDATE effects SET identity = $1")
        .bind(other.identity.as_bytes().as_slice())
        .execute(&world.pool)
        .await
        .unwrap();
    let error = memory.store.unsettled(1).await.unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("planted"));
}

#[tokio::test]
async fn another_master_key_opens_nothing_and_says_so() {
    let world = World::new().await;
    let id = world.definition("d", crate::fixture::LIST).await;
    let other = Keyring::single(MasterKey::from_bytes([8; 32]));
    let error = DefinitionStore::open(&world.store, &other, id).await.unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
    let mut tx = world.store.begin().await.unwrap();
    hash_keys::get_or_create(&mut tx, &world.ring, WorkspaceId::DEFAULT, ACTOR)
        .await
        .unwrap();
    let error = hash_keys::get_or_create(&mut tx, &other, WorkspaceId::DEFAULT, ACTOR)
        .await
        .unwrap_err();
    let failure = syncbridge_domain::failure::Failure::from(error);
    assert!(failure.fix.contains("SYNCBRIDGE_MASTER_KEY"), "{failure}");
}

#[tokio::test]
async fn a_secret_opens_only_for_what_it_was_entered_for() {
    let world = World::new().await;
    let mut tx = world.store.begin().await.unwrap();
    let ring = &world.ring;
    let (workspace, secret) = (WorkspaceId::DEFAULT, SecretString::from(PLANTED));
    sealed_secrets::put(&mut tx, ring, workspace, "graph", BINDING, &secret, ACTOR)
        .await
        .unwrap();
    let opened = sealed_secrets::open(&mut tx, ring, workspace, "graph", BINDING)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(opened.expose_secret(), PLANTED);
    let elsewhere = Binding {
        host: "evil.example.com",
        ..BINDING
    };
    assert!(
        sealed_secrets::open(&mut tx, ring, workspace, "graph", elsewhere)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        !sealed_secrets::drop_unless_bound(&mut tx, workspace, "graph", BINDING)
            .await
            .unwrap()
    );
    // Changing the columns in the database does not help: the place is sealed in.
    sqlx::query("UPDATE secrets SET host = 'evil.example.com'")
        .execute(&mut *tx)
        .await
        .unwrap();
    let forged = sealed_secrets::open(&mut tx, ring, workspace, "graph", elsewhere).await;
    assert!(matches!(forged, Err(Error::Open { .. })), "{forged:?}");
    assert!(
        sealed_secrets::drop_unless_bound(&mut tx, workspace, "graph", BINDING)
            .await
            .unwrap()
    );
    assert!(!sealed_secrets::delete(&mut tx, workspace, "graph").await.unwrap());
}

#[tokio::test]
async fn everybody_gets_one_hash_key() {
    let world = World::new().await;
    let make = async || {
        let mut connection = world.store.acquire().await.unwrap();
        hash_keys::get_or_create(&mut connection, &world.ring, WorkspaceId::DEFAULT, ACTOR)
            .await
            .unwrap()
    };
    let (one, two) = tokio::join!(make(), make());
    let identity = |key| syncbridge_domain::identity::Identity::new(&key, "n", &crate::fixture::key("a"));
    assert_eq!(one.id(), two.id());
    assert_eq!(identity(one), identity(two));
    assert_eq!(world.count("SELECT count(*) FROM hash_keys").await, 1);
}
