//! Everything that lasts in a history while workers come and go; clones share it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use syncbridge_domain::run::TargetSpec;
use syncbridge_graph_sim::{Method, Request};

use crate::clock::Timeline;
use crate::coverage::Coverage;
use crate::events::Events;
use crate::executor::ProcessId;
use crate::history::Job;
use crate::invariants::Book;
use crate::model::ledger::ModelStore;
use crate::model::source::ModelTable;
use crate::moments::Trouble;
use crate::network::Network;
use crate::people::{People, StoredItem};
use crate::scenario::Scenario;
use crate::worker::{Ended, Process};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The world of a history.
#[derive(Clone)]
pub struct World {
    /// The history's number.
    pub seed: u64,
    /// Its setting.
    pub scenario: Arc<Scenario>,
    /// Virtual time.
    pub timeline: Timeline,
    /// What happened.
    pub events: Events,
    /// What was met.
    pub coverage: Coverage,
    /// The source's server.
    pub table: ModelTable,
    /// The memory's database.
    pub store: ModelStore,
    /// The way to the service, and the service behind it.
    pub network: Network,
    /// What people did.
    pub people: People,
    /// Trouble with the databases.
    pub trouble: Trouble,
    /// What became of rows.
    pub book: Book,
    place: Arc<Mutex<Option<TargetSpec>>>,
    processes: Arc<AtomicU64>,
    spawned: Arc<Mutex<Vec<(ProcessId, Task)>>>,
    running: Arc<Mutex<Vec<Process>>>,
    ended: Arc<Mutex<Vec<Ended>>>,
    begun: Arc<Mutex<Vec<Job>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The parts that a world is put together from.
pub struct Parts {
    /// The history's number.
    pub seed: u64,
    /// Its setting.
    pub scenario: Arc<Scenario>,
    /// Virtual time.
    pub timeline: Timeline,
    /// What happened.
    pub events: Events,
    /// What was met.
    pub coverage: Coverage,
    /// The source's server.
    pub table: ModelTable,
    /// The memory's database.
    pub store: ModelStore,
    /// The way to the service.
    pub network: Network,
    /// What people did.
    pub people: People,
    /// Trouble with the databases.
    pub trouble: Trouble,
}

impl World {
    /// A world of these parts, in which nothing has happened.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            seed,
            scenario,
            timeline,
            events,
            coverage,
            table,
            store,
            network,
            people,
            trouble,
        } = parts;
        Self {
            seed,
            scenario,
            timeline,
            events,
            coverage,
            table,
            store,
            network,
            people,
            trouble,
            book: Book::default(),
            begun: Arc::default(),
            place: Arc::default(),
            processes: Arc::default(),
            spawned: Arc::default(),
            running: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// Where the list is; before it was made, nowhere.
    #[must_use]
    pub fn place(&self) -> TargetSpec {
        locked(&self.place).clone().unwrap_or_else(|| TargetSpec {
            site: String::new(),
            list: String::new(),
            rules: self.scenario.rules(),
        })
    }

    /// The list is there.
    pub fn settle_at(&self, place: TargetSpec) {
        self.people.watch(&place.list);
        *locked(&self.place) = Some(place);
    }

    /// The number of a process to come.
    #[must_use]
    pub fn next_process(&self) -> ProcessId {
        ProcessId(self.processes.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Hands a task to the executor, which takes it after the present step.
    pub fn spawn(&self, process: ProcessId, task: impl Future<Output = ()> + Send + 'static) {
        locked(&self.spawned).push((process, Box::pin(task)));
    }

    /// What was handed to the executor.
    #[must_use]
    pub fn take_spawned(&self) -> Vec<(ProcessId, Task)> {
        std::mem::take(&mut *locked(&self.spawned))
    }

    /// All jobs that ever began, in that order.
    #[must_use]
    pub fn all_begun(&self) -> Vec<Job> {
        locked(&self.begun).clone()
    }

    /// A process began.
    pub fn running(&self, process: Process, job: Job) {
        locked(&self.begun).push(job);
        locked(&self.running).push(process);
    }

    /// All processes that ever began.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        locked(&self.running).clone()
    }

    /// A run came to an end.
    pub fn ended(&self, ended: Ended) {
        let name = match &ended.outcome {
            Ok(outcome) => match &outcome.failure {
                Some(failure) => format!("{}: {}", outcome.state.name(), failure.code),
                None => outcome.state.name().to_owned(),
            },
            Err(failure) => format!("before it began: {}", failure.code),
        };
        let at = self.timeline.elapsed();
        self.events.note("ended", at, ended.process.0, name.as_bytes());
        self.events.tell(at, || {
            let counters = ended.outcome.as_ref().map(|outcome| outcome.counters.clone());
            format!("P{} {:?} ended, {name}: {counters:?}", ended.process.0, ended.job)
        });
        self.coverage.outcome(&name);
        locked(&self.ended).push(ended);
    }

    /// All runs that came to an end, in that order.
    #[must_use]
    pub fn all_ended(&self) -> Vec<Ended> {
        locked(&self.ended).clone()
    }

    /// The runs that came to an end behind the first so many.
    #[must_use]
    pub fn ended_behind(&self, known: usize) -> Vec<Ended> {
        locked(&self.ended).get(known..).unwrap_or_default().to_vec()
    }

    /// Asks the service's own controls.
    pub fn control(&self, method: Method, path: &str, body: Option<&Json>) -> (u16, Json) {
        let mut request = Request::new(method, format!("/_sim/{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.network.ask(request);
        (answer.status, answer.json().unwrap_or_default())
    }

    /// Every item of the list as it is stored.
    #[must_use]
    pub fn items(&self) -> Vec<StoredItem> {
        let list = self.place().list;
        let (_, answer) = self.control(Method::Get, &format!("lists/{list}/items"), None);
        let items = answer["items"].as_array();
        items.map_or_else(Vec::new, |items| {
            items.iter().filter_map(StoredItem::of).collect()
        })
    }
}
