//! What goes wrong around a model: calls that do not get through, answers that are lost, processes that die.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use syncbridge_domain::clock::{Clock, Monotonic};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::Cursor;
use syncbridge_domain::ids::DefinitionId;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::row_write::{Commit, RowReceipt, RowWrite, TransactionStatus};
use syncbridge_engine::ports::row_writer::{RowWriter as _, StagedRows as _};
use syncbridge_engine::ports::{Ledger as _, Source as _};
use uuid::Uuid;

use super::ledger::ModelStore;
use super::source::{Column, ModelSource, ModelTable, Refusal, Table};
use super::{Call, CommitFate, Moment, Steps};

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(Duration::ZERO)
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// What happens to the next calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    NotSent,
    AnswerLost,
    /// The process dies before the step is taken.
    DiesBefore,
}

struct Faulty {
    weather: Mutex<Weather>,
    fate: Mutex<CommitFate>,
}

impl Faulty {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            weather: Mutex::new(Weather::Fine),
            fate: Mutex::new(CommitFate::Answered),
        })
    }

    fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    fn moment(&self, fails: Weather) -> Moment<'_> {
        let now = *self.weather.lock().unwrap();
        let failure = Failure::new(Scope::Outage, "network", "cut", "wait");
        match now {
            Weather::DiesBefore => Box::pin(std::future::pending()),
            _ if now == fails => Box::pin(std::future::ready(Err(failure))),
            _ => Box::pin(std::future::ready(Ok(()))),
        }
    }
}

impl Steps for Faulty {
    fn before(&self, _: Call) -> Moment<'_> {
        self.moment(Weather::NotSent)
    }

    fn after(&self, _: Call) -> Moment<'_> {
        self.moment(Weather::AnswerLost)
    }

    fn commit_fate(&self) -> CommitFate {
        *self.fate.lock().unwrap()
    }
}

/// A table with one row, and a worker's connection to it.
fn world() -> (ModelTable, ModelSource, Arc<Faulty>) {
    let columns = vec![
        Column::new("k", PgType::Text).not_null(),
        Column::new("name", PgType::Text),
    ];
    let table = ModelTable::new(Table::new(columns, vec![0], vec![0, 1]), Arc::new(Still));
    let setup = table.begin();
    table
        .insert(setup, &[(0, Some("a".into())), (1, Some("old".into()))])
        .unwrap();
    table.commit(setup).unwrap();
    let steps = Faulty::new();
    (table.clone(), table.source(1, steps.clone()), steps)
}

fn write(table: &ModelTable, name: &str) -> RowWrite {
    let row = table.rows().remove(0);
    RowWrite::Update {
        key: row.key,
        expected: row.cells,
        set: vec![(1, Some(name.into()))],
    }
}

fn name(table: &ModelTable) -> Option<String> {
    table.rows()[0].cells[1].as_deref().map(str::to_owned)
}

/// The end of a future that needs no waiting.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

fn xid(staged: &super::source::ModelStaged) -> u64 {
    match &staged.receipts()[0] {
        RowReceipt::Staged { xid, .. } => xid.unwrap(),
        other => panic!("not staged: {other:?}"),
    }
}

#[test]
fn a_call_that_was_not_sent_did_nothing_and_one_whose_answer_was_lost_did_everything() {
    let store = ModelStore::new(Arc::new(Still));
    let steps = Faulty::new();
    let id = DefinitionId::from_uuid(Uuid::from_u128(1));
    store.define(id, "list");
    let ledger = store.ledger(id, steps.clone());
    let fence = store.acquire(id, Duration::from_mins(1)).unwrap();
    let moved = Cursor::Steady {
        watermark: None,
        pending: Vec::new(),
    };
    for (weather, expected) in [
        (Weather::NotSent, Cursor::default()),
        (Weather::DiesBefore, Cursor::default()),
        (Weather::AnswerLost, moved.clone()),
    ] {
        steps.set(weather);
        let told = ledger.mark_dirty(fence, &[], Some(&moved)).now_or_never();
        assert!(told.is_none_or(|told| told.is_err()));
        steps.set(Weather::Fine);
        assert_eq!(now(ledger.cursor()).unwrap(), expected);
    }
}

#[test]
fn a_commit_may_turn_out_in_every_way_and_its_id_tells_which() {
    use TransactionStatus::{Aborted, Committed, InProgress};
    let cases = [
        (CommitFate::Answered, Weather::Fine, Committed, "new"),
        (CommitFate::LostCommitted, Weather::Fine, Committed, "new"),
        (CommitFate::LostAborted, Weather::Fine, Aborted, "old"),
        (CommitFate::LostPending, Weather::Fine, InProgress, "old"),
        (CommitFate::Answered, Weather::NotSent, Aborted, "old"),
        (CommitFate::Answered, Weather::AnswerLost, Committed, "new"),
    ];
    for (fate, weather, status, held) in cases {
        let (table, source, steps) = world();
        let staged = now(source.stage(vec![write(&table, "new")])).unwrap();
        let xid = xid(&staged);
        *steps.fate.lock().unwrap() = fate;
        steps.set(weather);
        let commit = now(staged.commit());
        let answered = fate == CommitFate::Answered && weather == Weather::Fine;
        assert_eq!(commit == Commit::Committed, answered, "{fate:?}");
        assert_eq!(matches!(commit, Commit::Unknown(_)), !answered, "{fate:?}");
        assert_eq!(
            (table.status(xid), name(&table).as_deref()),
            (status, Some(held)),
            "{fate:?}"
        );
    }
}

#[test]
fn a_commit_on_its_way_ends_as_it_is_told_and_holds_its_row_until_then() {
    for (committed, held) in [(true, "new"), (false, "old")] {
        let (table, source, steps) = world();
        let staged = now(source.stage(vec![write(&table, "new")])).unwrap();
        *steps.fate.lock().unwrap() = CommitFate::LostPending;
        now(staged.commit());
        table.drop_workers();
        let app = table.begin();
        let key = table.rows()[0].key.clone();
        assert_eq!(table.delete(app, &key), Err(Refusal::Locked));
        let horizon = now(source.horizon()).unwrap();
        assert!(horizon.xmin < horizon.xmax);
        assert_eq!(table.end_pending(committed), 1);
        assert_eq!(name(&table).as_deref(), Some(held));
    }
}

#[test]
fn what_a_dead_worker_staged_is_held_until_its_connection_breaks() {
    let (table, source, _) = world();
    let staged = now(source.stage(vec![write(&table, "new")])).unwrap();
    let xid = xid(&staged);
    // Leaked, as the executor of a dead worker is: no destructor helps.
    std::mem::forget(staged);
    let app = table.begin();
    let key = table.rows()[0].key.clone();
    assert_eq!(table.update(app, &key, &[(1, None)]), Err(Refusal::Locked));
    table.drop_workers();
    assert_eq!(table.status(xid), TransactionStatus::Aborted);
    assert_eq!(table.update(app, &key, &[(1, None)]), Ok(1));
}

#[test]
fn a_commit_after_the_connection_broke_is_of_unknown_outcome_and_did_not_happen() {
    let (table, source, _) = world();
    let staged = now(source.stage(vec![write(&table, "new")])).unwrap();
    table.drop_workers();
    assert!(matches!(now(staged.commit()), Commit::Unknown(_)));
    assert_eq!(name(&table).as_deref(), Some("old"));
}

#[test]
fn a_restored_server_knows_nothing_of_what_came_after_the_backup() {
    let (table, source, _) = world();
    let backup = table.backup();
    let (_, before) = now(source.read_keys(&[])).unwrap();
    let staged = now(source.stage(vec![write(&table, "new")])).unwrap();
    let lost = xid(&staged);
    assert_eq!(now(staged.commit()), Commit::Committed);
    table.restore(backup);
    assert_eq!(name(&table).as_deref(), Some("old"));
    assert_eq!(table.status(lost), TransactionStatus::Unknown);
    assert_eq!(
        now(source.read_keys(&[])).unwrap().1,
        before,
        "positions repeat themselves"
    );
    let staged = now(source.stage(vec![write(&table, "other")])).unwrap();
    assert_ne!(xid(&staged), lost, "ids do not");
    now(staged.commit());
    let horizon = now(source.horizon()).unwrap();
    assert_eq!(horizon.xmin, horizon.xmax);
}

#[test]
fn a_restart_ends_everything_but_what_is_committed_or_prepared() {
    let (table, source, _) = world();
    let app = table.begin();
    table.insert(app, &[(0, Some("b".into()))]).unwrap();
    let prepared = table.begin();
    table.insert(prepared, &[(0, Some("c".into()))]).unwrap();
    table.prepare(prepared);
    let staged = now(source.stage(vec![write(&table, "new")])).unwrap();
    table.restart();
    assert!(matches!(now(staged.commit()), Commit::Unknown(_)));
    assert_eq!(table.commit(app), Err(Refusal::Ended));
    table.commit(prepared).unwrap();
    assert_eq!(table.rows().len(), 2);
    assert_eq!(name(&table).as_deref(), Some("old"));
}
