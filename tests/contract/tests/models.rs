//! The contract on the models of the simulation.

// Helpers of tests may panic like tests; clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use syncbridge_contract::table::{
    FORBIDDEN, KeyKind, RAISED, RAISED_LATE, SWALLOWED, TableWish, WatermarkKind,
};
use syncbridge_contract::world::{ConflictWorld, MemoryWorld, Session, SourceWorld, Values};
use syncbridge_domain::clock::{Clock, Monotonic};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{DefinitionId, RunId};
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::row::Cell;
use syncbridge_simulation::model::Undisturbed;
use syncbridge_simulation::model::ledger::{ModelLedger, ModelStore};
use syncbridge_simulation::model::source::{
    Column, ColumnDefault, KeyCheck, ModelSource, ModelTable, Table, TransactionId, Trigger,
};
use uuid::Uuid;

mod reading {
    use super::*;
    syncbridge_contract::source_contract!(Model);
}

mod writing {
    use super::*;
    syncbridge_contract::row_contract!(Model);
}

mod memory {
    use super::*;
    syncbridge_contract::memory_contract!(Memory);
}

mod pull_memory {
    use super::*;
    syncbridge_contract::pull_memory_contract!(Memory);
}

/// A clock that moves a little with every look, and further when told.
struct Ticking(Mutex<DateTime<Utc>>);

impl Ticking {
    fn new() -> Arc<Self> {
        let begin = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Arc::new(Self(Mutex::new(begin)))
    }

    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += TimeDelta::from_std(time).unwrap();
    }
}

impl Clock for Ticking {
    fn now(&self) -> DateTime<Utc> {
        let mut now = self.0.lock().unwrap();
        *now += TimeDelta::microseconds(7);
        *now
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(Duration::ZERO)
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// The table of a wish, as a model has it.
fn table(wish: TableWish) -> Table {
    let default = match wish.key {
        KeyKind::Text => ColumnDefault::Null,
        KeyKind::Number => ColumnDefault::Sequence,
        KeyKind::Uuid => ColumnDefault::Uuid,
    };
    let price = PgType::Numeric {
        precision: Some(10),
        scale: Some(2),
    };
    let seen = match wish.watermark {
        WatermarkKind::Number => PgType::Int8,
        WatermarkKind::None | WatermarkKind::Instant => PgType::TimestampTz,
    };
    let columns = vec![
        Column::new("k", wish.key.pg_type()).not_null().default(default),
        Column::new("name", PgType::Text).not_null().refuses(FORBIDDEN),
        Column::new("code", PgType::Varchar { length: Some(5) }).unique(),
        Column::new("price", price),
        Column::new("note", PgType::Text),
        Column::new("seen", seen),
    ];
    let mut triggers = Vec::new();
    if wish.upper_case_names {
        triggers.push(Trigger::UpperCase { column: 1 });
    }
    if wish.touches_seen {
        triggers.push(Trigger::Touch { column: 5 });
    }
    if wish.minds_notes {
        triggers.push(Trigger::Raise {
            column: 4,
            text: RAISED.into(),
        });
        triggers.push(Trigger::Swallow {
            column: 4,
            text: SWALLOWED.into(),
        });
        triggers.push(Trigger::RaiseAtCommit {
            column: 4,
            text: RAISED_LATE.into(),
        });
    }
    Table {
        watermark: (wish.watermark != WatermarkKind::None).then_some(5),
        triggers,
        key_check: match wish.deferred_key {
            true => KeyCheck::AtCommit,
            false => KeyCheck::AtOnce,
        },
        ..Table::new(columns, vec![0], vec![0, 1, 2, 3, 4])
    }
}

/// A model of a database.
struct Model {
    wish: TableWish,
    clock: Arc<Ticking>,
    table: ModelTable,
    source: ModelSource,
}

impl SourceWorld for Model {
    type Source = ModelSource;
    type Session = Application;

    async fn open(wish: TableWish) -> Self {
        let clock = Ticking::new();
        let table = ModelTable::new(table(wish), clock.clone());
        Self {
            wish,
            clock,
            source: table.source(1, Arc::new(Undisturbed)),
            table,
        }
    }

    fn source(&self) -> &ModelSource {
        &self.source
    }

    async fn session(&self) -> Application {
        Application {
            kind: self.wish.key,
            clock: self.clock.clone(),
            table: self.table.clone(),
            open: None,
        }
    }
}

/// An application on a model.
struct Application {
    kind: KeyKind,
    clock: Arc<Ticking>,
    table: ModelTable,
    open: Option<TransactionId>,
}

impl Application {
    fn columns(&self, values: &Values<'_>) -> Vec<(usize, Cell)> {
        let shape = self.table.shape();
        let place = |name: &str| {
            shape
                .columns
                .iter()
                .position(|column| column.name == name)
                .unwrap()
        };
        values
            .iter()
            .map(|(name, value)| (place(name), value.map(Into::into)))
            .collect()
    }

    fn run<T>(&self, work: impl FnOnce(TransactionId) -> T) -> T {
        match self.open {
            Some(open) => work(open),
            None => {
                let own = self.table.begin();
                let done = work(own);
                self.table.commit(own).unwrap();
                done
            }
        }
    }
}

impl Session for Application {
    async fn begin(&mut self) -> DateTime<Utc> {
        // The model takes the very next tick.
        let start = self.clock.now() + TimeDelta::microseconds(7);
        self.open = Some(self.table.begin());
        start
    }

    async fn insert(&mut self, values: &Values<'_>) {
        let columns = self.columns(values);
        self.run(|id| self.table.insert(id, &columns)).unwrap();
    }

    async fn update(&mut self, key: &str, values: &Values<'_>) {
        let (key, columns) = (self.kind.key(key), self.columns(values));
        assert_eq!(self.run(|id| self.table.update(id, &key, &columns)), Ok(1));
    }

    async fn delete(&mut self, key: &str) {
        let key = self.kind.key(key);
        assert_eq!(self.run(|id| self.table.delete(id, &key)), Ok(1));
    }

    async fn draw_id(&mut self) {
        self.run(|id| self.table.draw_id(id)).unwrap();
    }

    async fn commit(&mut self) -> bool {
        self.table.commit(self.open.take().unwrap()).is_ok()
    }

    async fn roll_back(&mut self) {
        self.table.roll_back(self.open.take().unwrap());
    }

    async fn prepare(&mut self) {
        self.table.prepare(self.open.unwrap());
    }

    async fn commit_prepared(&mut self) {
        self.table.commit(self.open.take().unwrap()).unwrap();
    }
}

/// A model of a memory.
struct Memory {
    clock: Arc<Ticking>,
    store: ModelStore,
    definitions: AtomicU64,
}

impl MemoryWorld for Memory {
    type Memory = ModelLedger;

    async fn open() -> Self {
        let clock = Ticking::new();
        Self {
            store: ModelStore::new(clock.clone()),
            clock,
            definitions: AtomicU64::new(1),
        }
    }

    async fn define(&self, list: &str) -> (DefinitionId, ModelLedger) {
        let number = self.definitions.fetch_add(1, Ordering::Relaxed);
        let id = DefinitionId::from_uuid(Uuid::from_u128(number.into()));
        self.store.define(id, list);
        (id, self.store.ledger(id, Arc::new(Undisturbed)))
    }

    async fn acquire(&self, definition: DefinitionId, term: Duration) -> Fence {
        self.store.acquire(definition, term).unwrap()
    }

    async fn release(&self, fence: Fence) {
        self.store.release(fence);
    }

    async fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    async fn set_generation(&self, definition: DefinitionId, generation: u32) {
        self.store.set_generation(definition, generation);
    }

    async fn run_that_may_delete(&self, _: DefinitionId) -> RunId {
        let run = syncbridge_contract::sample::run();
        self.store.allow_deletes(run);
        run
    }

    async fn accept(&self, definition: DefinitionId, identity: Identity) {
        assert!(self.store.ignore_quarantined(definition, identity, "a person"));
    }

    async fn retry(&self, definition: DefinitionId) {
        self.store.retry_quarantined(definition);
    }
}

impl ConflictWorld for Memory {
    async fn decide(&self, definition: DefinitionId, identity: Identity, column: &str, winner: Side) {
        assert!(self.store.resolve(definition, identity, column, winner));
    }
}
