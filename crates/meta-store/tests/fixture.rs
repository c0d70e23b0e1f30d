//! A migrated database with a definition in it, and short ways to make what is stored.

use std::time::{Duration, Instant};

use serde_json::json;
use syncbridge_devstack::testing::{self, TestDatabase};
use syncbridge_domain::agreed::{Agreed, RowDigest};
use syncbridge_domain::conflict::{ParkReason, ParkedConflict};
use syncbridge_domain::dirty::{DirtyMark, NewQuarantine, TargetHint};
use syncbridge_domain::effect::{
    Admission, AfterState, EffectKind, Fence, ItemLink, NewEffect, Subject, Witness,
};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::{Lsn, Mark};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::{HashKey, Identity, Key, KeyColumn, encode_key};
use syncbridge_domain::ids::{DefinitionId, EffectId, RunId, WorkspaceId};
use syncbridge_domain::item_subject::subject_of_item;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::receipt::{Fields, ItemId};
use syncbridge_domain::reconcile::RowDecision;
use syncbridge_domain::revert::Hold;
use syncbridge_domain::version::Version;
use syncbridge_meta_store::definitions::{self, NewDefinition, ProvisionedList};
use syncbridge_meta_store::leases::{self, Lease};
use syncbridge_meta_store::{ConnectOptions, DefinitionStore, MetaStore, Settlement, Verdict};
use syncbridge_secrets::{Keyring, MasterKey, SecretString};
use uuid::Uuid;

pub(crate) const LIST: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const ACTOR: &str = "tester";

/// A migrated, empty meta-store.
pub(crate) struct World {
    pub(crate) store: MetaStore,
    pub(crate) ring: Keyring,
    /// Straight to the database, beside the store.
    pub(crate) pool: sqlx::PgPool,
    // Last: dropped with the database.
    pub(crate) _database: TestDatabase,
}

/// A definition with its memory and the lease of a running worker.
pub(crate) struct Memory {
    pub(crate) store: DefinitionStore,
    pub(crate) id: DefinitionId,
    pub(crate) fence: Fence,
    pub(crate) run: RunId,
}

pub(crate) async fn connect(database: &TestDatabase) -> MetaStore {
    MetaStore::connect(&SecretString::from(database.url()), ConnectOptions::default())
        .await
        .unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = testing::postgres().await;
        let store = connect(&database).await;
        store.migrate().await.unwrap();
        let pool = database.pool().await.unwrap();
        Self {
            store,
            ring: ring(),
            pool,
            _database: database,
        }
    }

    pub(crate) async fn definition(&self, name: &str, list: &str) -> DefinitionId {
        let mut tx = self.store.begin().await.unwrap();
        let spec = json!({"table": name});
        let new = NewDefinition {
            workspace: WorkspaceId::DEFAULT,
            name,
            namespace: name,
            spec: &spec,
        };
        let stored = definitions::put(&mut tx, &self.ring, new, ACTOR).await.unwrap();
        let list = ProvisionedList {
            site: "site".into(),
            list: list.into(),
        };
        definitions::set_list(&mut tx, stored.id, &list, ACTOR)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        stored.id
    }

    pub(crate) async fn memory(&self, name: &str) -> Memory {
        let id = self.definition(name, LIST).await;
        let run = run();
        let fence = self.lease(id, run, Duration::from_mins(10)).await;
        let store = DefinitionStore::open(&self.store, &self.ring, id).await.unwrap();
        Memory {
            store,
            id,
            fence,
            run,
        }
    }

    pub(crate) async fn lease(&self, id: DefinitionId, run: RunId, term: Duration) -> Fence {
        match leases::acquire(&self.store, id, "worker", run, term)
            .await
            .unwrap()
        {
            Lease::Acquired(acquired) => acquired.fence,
            Lease::Held(held) => panic!("held by {}", held.by),
        }
    }

    /// Ends a lease as time would, without waiting for it.
    pub(crate) async fn expire(&self, id: DefinitionId) {
        let expired = sqlx::query(
            "UPDATE writer_leases SET expires_at = clock_timestamp() - interval '1 ms' WHERE definition_id = $1",
        )
        .bind(id.uuid())
        .execute(&self.pool)
        .await
        .unwrap();
        assert_eq!(expired.rows_affected(), 1);
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Polls until so many sessions of this database wait for a lock.
    pub(crate) async fn until_waiting(&self, sessions: i64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let waiting = self
                .count(
                    "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'",
                )
                .await;
            if waiting >= sessions {
                return;
            }
            assert!(Instant::now() < deadline, "nobody came to wait for a lock");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Memory {
    /// Admits one write and expects it to be let in.
    pub(crate) async fn admit(&self, effect: &NewEffect) {
        let answer = self
            .store
            .admit(self.fence, self.run, std::slice::from_ref(effect))
            .await
            .unwrap();
        assert_eq!(answer, [Admission::Admitted]);
    }

    pub(crate) async fn settle(
        &self,
        effect: &NewEffect,
        verdict: Verdict,
    ) -> syncbridge_meta_store::Result<()> {
        self.store
            .settle(self.fence, self.run, &[settlement(effect, verdict, None)])
            .await
    }

    /// Puts a row into the ledger the way a run does: admitted, then applied.
    pub(crate) async fn write(&self, row: &LedgerRow) {
        let effect = create(&subject_of(row));
        let effect = NewEffect {
            expected_row_version: Some(row.row_version),
            ..effect
        };
        self.admit(&effect).await;
        self.settle(&effect, Verdict::Applied(Box::new(row.clone())))
            .await
            .unwrap();
    }

    pub(crate) async fn row(&self, identity: Identity) -> Option<LedgerRow> {
        self.store.rows(&[identity]).await.unwrap().remove(0)
    }
}

pub(crate) fn ring() -> Keyring {
    Keyring::single(MasterKey::from_bytes([7; 32]))
}

pub(crate) fn run() -> RunId {
    RunId::from_uuid(Uuid::now_v7())
}

pub(crate) fn key(text: &str) -> Key {
    encode_key(
        &[KeyColumn {
            name: "id".into(),
            pg_type: PgType::Text,
        }],
        &[Some(text)],
    )
    .unwrap()
}

pub(crate) fn subject(text: &str) -> Subject {
    let key = key(text);
    Subject {
        identity: Identity::new(&HashKey::new(1, &[1; 32]), "test", &key),
        key,
    }
}

pub(crate) fn subject_of(row: &LedgerRow) -> Subject {
    Subject {
        identity: row.identity,
        key: row.key.clone(),
    }
}

pub(crate) fn mark(lsn: u64) -> Mark {
    Mark {
        generation: 1,
        lsn: Lsn(lsn),
    }
}

pub(crate) fn create(subject: &Subject) -> NewEffect {
    NewEffect {
        id: EffectId::from_uuid(Uuid::now_v7()),
        subject: subject.clone(),
        kind: EffectKind::CreateItem,
        item: None,
        expected_row_version: None,
        sent: Fields::from([("Title".to_owned(), json!("planted value"))]),
        before: Fields::new(),
        cause: Cause::of(RowDecision::CreateItem),
        after: AfterState {
            agreed: Agreed::unknown(1).to_bytes(),
            layout: LayoutStamp(1),
            mark: mark(10),
        },
    }
}

/// A patch of the row's item, resting on the row as it is.
pub(crate) fn patch(row: &LedgerRow) -> NewEffect {
    NewEffect {
        kind: EffectKind::PatchItem,
        item: Some(ItemLink {
            id: row.item.clone(),
            before: row.version,
        }),
        expected_row_version: Some(row.row_version),
        ..create(&subject_of(row))
    }
}

/// An item that a person added, before it has a row.
pub(crate) fn new_item(number: u128) -> (Subject, ItemLink) {
    let id = ItemId(number.to_string());
    let guid = Uuid::from_u128(number);
    let subject = subject_of_item(&HashKey::new(1, &[1; 32]), "test", guid, &id);
    let before = Version { guid, counter: 1 };
    (subject, ItemLink { id, before })
}

/// A row to be made from an item that a person added.
pub(crate) fn insert(number: u128) -> NewEffect {
    let (subject, item) = new_item(number);
    NewEffect {
        kind: EffectKind::InsertRow,
        item: Some(item),
        ..create(&subject)
    }
}

/// A staged write of this row.
pub(crate) fn witness(effect: &NewEffect, row: &Subject, xid: Option<u64>) -> Witness {
    Witness {
        effect: effect.id,
        subject: row.clone(),
        xid,
        after: AfterState {
            agreed: Agreed {
                digest: RowDigest([3; 16]),
                fields: vec![(None, None)],
            }
            .to_bytes(),
            layout: LayoutStamp(2),
            mark: mark(33),
        },
    }
}

/// A conflict of two values that were never seen before.
pub(crate) fn parked(subject: &Subject, column: &str) -> ParkedConflict {
    ParkedConflict {
        identity: subject.identity,
        key: subject.key.clone(),
        column: column.into(),
        reason: ParkReason::Policy,
        source: json!("ours"),
        target: json!("theirs"),
        source_hash: std::num::NonZeroU64::new(u64::MAX),
        target_hash: std::num::NonZeroU64::new(2),
    }
}

pub(crate) fn row(subject: &Subject, item: u128) -> LedgerRow {
    LedgerRow {
        identity: subject.identity,
        key: subject.key.clone(),
        item: ItemId(item.to_string()),
        version: Version {
            guid: Uuid::from_u128(item),
            counter: 1,
        },
        agreed: Agreed {
            digest: RowDigest([9; 16]),
            fields: vec![(None, None)],
        }
        .to_bytes(),
        layout: LayoutStamp(1),
        hash_key_id: 1,
        mark: mark(10),
        state: LedgerState::Live,
        row_version: 0,
        last_run: run(),
    }
}

pub(crate) fn settlement(effect: &NewEffect, verdict: Verdict, clears_dirty: Option<u64>) -> Settlement {
    Settlement {
        effect: effect.id,
        identity: effect.subject.identity,
        verdict,
        clears_dirty,
        request_id: Some("req-1".into()),
        turns: Vec::new(),
        hold: Hold::AsItIs,
    }
}

pub(crate) fn dirty(subject: &Subject, lsn: u64) -> DirtyMark {
    DirtyMark {
        identity: subject.identity,
        key: subject.key.clone(),
        mark: mark(lsn),
        suspected_delete: false,
        target: TargetHint::Presumed,
    }
}

pub(crate) fn refused(subject: &Subject, digest: u8) -> NewQuarantine {
    NewQuarantine {
        identity: subject.identity,
        key: subject.key.clone(),
        digest: RowDigest([digest; 16]),
        failure: Failure::new(
            Scope::Row,
            "graph.invalid",
            "the list refused\0 the value",
            "shorten it",
        )
        .column("Title"),
    }
}
