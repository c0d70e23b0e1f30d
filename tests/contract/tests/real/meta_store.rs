//! A memory in a real meta-store, and time that goes by in it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::AssertSqlSafe;
use syncbridge_contract::sample;
use syncbridge_contract::world::{ConflictWorld, MemoryWorld};
use syncbridge_devstack::testing::{self, TestDatabase};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{DefinitionId, RunId, WorkspaceId};
use syncbridge_meta_store::definitions::{self, NewDefinition, ProvisionedList};
use syncbridge_meta_store::leases::{self, Lease};
use syncbridge_meta_store::ledger::{self, ConflictChoice, ConflictFilter, QuarantineFilter};
use syncbridge_meta_store::{ConnectOptions, DefinitionStore, MetaStore};
use syncbridge_secrets::{Keyring, MasterKey, SecretString};
use syncbridge_worker::{LedgerPort, ledger_port};

const PERSON: &str = "a person";

/// Where moments are kept that the memory compares with its clock.
const TABLES: [&str; 9] = [
    "writer_leases",
    "ledger",
    "effects",
    "dirty",
    "quarantine",
    "conflicts",
    "field_turns",
    "sweeps",
    "ledger_history",
];

/// A migrated meta-store.
pub(crate) struct Memory {
    store: MetaStore,
    ring: Keyring,
    definitions: AtomicU32,
    pool: sqlx::PgPool,
    // Last: dropped with the database.
    _database: TestDatabase,
}

impl Memory {
    async fn run(&self, sql: String) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.pool)
            .await
            .unwrap();
    }
}

impl MemoryWorld for Memory {
    type Memory = LedgerPort;

    async fn open() -> Self {
        let database = testing::postgres().await;
        let url = SecretString::from(database.url());
        let store = MetaStore::connect(&url, ConnectOptions::default()).await.unwrap();
        store.migrate().await.unwrap();
        Self {
            store,
            ring: Keyring::single(MasterKey::from_bytes([7; 32])),
            definitions: AtomicU32::new(1),
            pool: database.pool().await.unwrap(),
            _database: database,
        }
    }

    async fn define(&self, list: &str) -> (DefinitionId, LedgerPort) {
        let name = format!("definition-{}", self.definitions.fetch_add(1, Ordering::Relaxed));
        let mut tx = self.store.begin().await.unwrap();
        let new = NewDefinition {
            workspace: WorkspaceId::DEFAULT,
            name: &name,
            namespace: &name,
            spec: &json!({"table": name}),
        };
        let stored = definitions::put(&mut tx, &self.ring, new, PERSON).await.unwrap();
        let list = ProvisionedList {
            site: "site".into(),
            list: list.into(),
        };
        definitions::set_list(&mut tx, stored.id, &list, PERSON)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let memory = DefinitionStore::open(&self.store, &self.ring, stored.id)
            .await
            .unwrap();
        (stored.id, ledger_port(memory, self.store.clone()))
    }

    async fn acquire(&self, definition: DefinitionId, term: Duration) -> Fence {
        let lease = leases::acquire(&self.store, definition, "worker", sample::run(), term).await;
        match lease.unwrap() {
            Lease::Acquired(acquired) => acquired.fence,
            Lease::Held(held) => panic!("held by {}", held.by),
        }
    }

    async fn release(&self, fence: Fence) {
        leases::release(&self.store, fence).await.unwrap();
    }

    /// Everything that is stored becomes older.
    async fn pass(&self, time: Duration) {
        for table in TABLES {
            let columns: Vec<String> = sqlx::query_scalar(
                "SELECT column_name::text FROM information_schema.columns
                 WHERE table_schema = 'public' AND table_name = $1 AND data_type = 'timestamp with time zone'",
            )
            .bind(table)
            .fetch_all(&self.pool)
            .await
            .unwrap();
            assert!(!columns.is_empty(), "{table}");
            let older =
                |column: &String| format!("{column} = {column} - interval '{} s'", time.as_secs_f64());
            let set: Vec<String> = columns.iter().map(older).collect();
            // The history takes no updates; time moves all the same.
            self.run(format!(
                "BEGIN; SET LOCAL session_replication_role = replica; UPDATE {table} SET {}; COMMIT",
                set.join(", ")
            ))
            .await;
        }
    }

    async fn set_generation(&self, definition: DefinitionId, generation: u32) {
        let id = definition.uuid();
        self.run(format!(
            "UPDATE definitions SET generation = {generation} WHERE definition_id = '{id}'"
        ))
        .await;
    }

    async fn run_that_may_delete(&self, definition: DefinitionId) -> RunId {
        let (run, workspace) = (sample::run(), WorkspaceId::DEFAULT.uuid());
        self.run(format!(
            "INSERT INTO runs (run_id, workspace_id, definition_id, kind, state, spec, requested_by)
             VALUES ('{}', '{workspace}', '{}', 'push', 'running', '{{\"options\": {{\"allow_deletes\": 9}}}}', 'x')",
            run.uuid(),
            definition.uuid()
        ))
        .await;
        run
    }

    async fn accept(&self, definition: DefinitionId, identity: Identity) {
        let filter = QuarantineFilter {
            identities: Some(vec![identity]),
            ..QuarantineFilter::default()
        };
        let mut connection = self.store.acquire().await.unwrap();
        let done = ledger::ignore_quarantined(&mut connection, definition, &filter, PERSON, "known").await;
        assert_eq!(done.unwrap(), 1);
    }

    async fn retry(&self, definition: DefinitionId) {
        let mut connection = self.store.acquire().await.unwrap();
        ledger::retry_quarantined(&mut connection, definition, &QuarantineFilter::default())
            .await
            .unwrap();
    }
}

impl ConflictWorld for Memory {
    async fn decide(&self, definition: DefinitionId, identity: Identity, column: &str, winner: Side) {
        let filter = ConflictFilter {
            identities: Some(vec![identity]),
            column: Some(column.into()),
            ..ConflictFilter::default()
        };
        let choice = ConflictChoice { winner, by: PERSON };
        let mut connection = self.store.acquire().await.unwrap();
        let decided = ledger::resolve_conflicts(&mut connection, definition, &filter, choice).await;
        assert_eq!(decided.unwrap().conflicts, 1);
    }
}
