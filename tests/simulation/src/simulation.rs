//! One history from its seed to its verdict.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use syncbridge_domain::clock::Clock;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::run::TargetSpec;
use syncbridge_graph_sim::{Method, Tenant};
use syncbridge_target_graph::column::DesiredList;

use crate::actors;
use crate::clock::{SimClock, Timeline};
use crate::coverage::{Counts, Coverage};
use crate::events::Events;
use crate::executor::{Executor, ProcessId, Stepped, Stop};
use crate::faults::Faults;
use crate::history::{Action, History};
use crate::invariants;
use crate::model::ledger::ModelStore;
use crate::moments::Trouble;
use crate::network::Network;
use crate::people::People;
use crate::random::Random;
use crate::scenario::{Scenario, definition};
use crate::worker;
use crate::world::{Parts, World};

/// No history needs more polls; one that does goes round in circles.
const MOST_POLLS: u64 = 400_000;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// What is to be simulated.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The seed of everything that is not in the other two.
    pub seed: u64,
    /// Table, policies, service, faults.
    pub scenario: Scenario,
    /// What happens.
    pub history: History,
}

impl Setting {
    /// The setting of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match crate::scenario::direction(&mut Random::stream(seed, "direction", 0)) {
            Direction::Push => Self::pushing(seed),
            back => Self::writing_back(seed, back),
        }
    }

    /// The setting of a seed whose definition writes to the source in this direction.
    #[must_use]
    pub fn writing_back(seed: u64, direction: Direction) -> Self {
        let scenario = Scenario::draw_back(&mut Random::stream(seed, "way back", 0), direction);
        let random = &mut Random::stream(seed, "history of both sides", 0);
        let mut history = crate::history::both_ways::draw(random, scenario.rows);
        let random = &mut Random::stream(seed, "decisions", 0);
        if random.permille(120) {
            history.extend(crate::history::both_ways::decided_meanwhile(
                random,
                scenario.rows,
            ));
        }
        Self {
            seed,
            scenario,
            history,
        }
    }

    /// The setting of a seed whose definition only pushes.
    #[must_use]
    pub fn pushing(seed: u64) -> Self {
        let scenario = Scenario::draw(&mut Random::stream(seed, "scenario", 0));
        let history = crate::history::draw(&mut Random::stream(seed, "history", 0), scenario.rows);
        Self {
            seed,
            scenario,
            history,
        }
    }
}

/// How a history went.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What must not be; none is what one hopes for.
    pub violation: Option<Violation>,
    /// Hash over all events.
    pub hash: [u8; 32],
    /// How many events.
    pub events: u64,
    /// What was met.
    pub counts: Counts,
    /// The account in words, where it was asked for.
    pub lines: Vec<String>,
}

/// A history under way.
pub(crate) struct Simulation {
    pub(crate) world: World,
    pub(crate) executor: Executor,
}

impl Drop for Simulation {
    // What is still due, and whoever still waits, hold on to the world that holds them.
    fn drop(&mut self) {
        self.world.timeline.clear();
        drop(self.world.take_spawned());
    }
}

/// Simulates a history. `told` keeps an account in words.
#[must_use]
pub fn simulate(setting: &Setting, told: bool) -> Verdict {
    let events = Events::new(told);
    let coverage = Coverage::default();
    let violation = match Simulation::begin(setting, events.clone(), coverage.clone()) {
        Ok(mut simulation) => simulation.play(&setting.history).err(),
        Err(text) => Some(Violation {
            invariant: "setting",
            what: text,
        }),
    };
    Verdict {
        violation,
        hash: events.hash(),
        events: events.count(),
        counts: coverage.counts(),
        lines: events.lines(),
    }
}

impl Simulation {
    fn begin(setting: &Setting, events: Events, coverage: Coverage) -> Result<Self, String> {
        let seed = setting.seed;
        let scenario = Arc::new(setting.scenario.clone());
        let timeline = Timeline::new(Random::stream(seed, "timeline", 0));
        let clock: Arc<dyn Clock> = Arc::new(SimClock(timeline.clone()));
        let people = People::default();
        let tenant = Tenant::new(scenario.tenant(seed))?;
        let network = Network::new(
            tenant,
            people.clone(),
            timeline.clone(),
            events.clone(),
            coverage.clone(),
            Random::stream(seed, "network", 0),
        );
        let executor = Executor::new(
            timeline.clone(),
            events.clone(),
            Random::stream(seed, "executor", 0),
        );
        for quirk in &scenario.quirks {
            coverage.quirk(quirk);
        }
        let world = World::new(Parts {
            seed,
            table: scenario.table(clock.clone()),
            store: ModelStore::new(clock),
            scenario,
            timeline,
            events,
            coverage,
            network,
            people,
            trouble: Trouble::new(Random::stream(seed, "trouble", 0)),
        });
        let mut simulation = Self { world, executor };
        simulation.provision()?;
        Ok(simulation)
    }

    /// Makes the list as the product does, while nothing goes wrong.
    fn provision(&mut self) -> Result<(), String> {
        type Made = Arc<Mutex<Option<Result<TargetSpec, String>>>>;
        let made = Made::default();
        let (shared, outcome) = (self.world.clone(), made.clone());
        let archives = true;
        self.executor.spawn(ProcessId(0), async move {
            let found = provisioned(&shared, archives).await;
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        });
        while self.executor.is_alive(ProcessId(0)) {
            if self.executor.step() == Stepped::Idle {
                return Err("provisioning waits for nothing".to_owned());
            }
        }
        let place = made.lock().unwrap_or_else(PoisonError::into_inner).take();
        let place = place.ok_or("provisioning ended without a word")??;
        self.world.store.define(definition(), &place.list);
        self.world.settle_at(place);
        if self.world.scenario.pulls() {
            self.world.people.watch_all();
        }
        if !self.world.scenario.unique {
            let list = self.world.place().list;
            let path = format!("lists/{list}/columns/SyncBridgeKey");
            let loose = json!({"enforceUniqueValues": false});
            let (status, answer) = self.world.control(Method::Patch, &path, Some(&loose));
            if status != 200 {
                return Err(format!("the sync key stays unique: {answer}"));
            }
        }
        Ok(())
    }

    fn play(&mut self, history: &History) -> Result<(), Violation> {
        let faults = self.world.scenario.faults.clone();
        self.trouble(&faults)?;
        let mut at = self.world.timeline.elapsed();
        for step in history {
            at += Duration::from_millis(u64::from(step.gap));
            self.run_until(at)?;
            let now = self.world.timeline.elapsed();
            self.world
                .events
                .note(step.action.name(), now, u64::from(step.gap), &[]);
            self.world.events.tell(now, || format!("— {:?}", step.action));
            self.world.coverage.act(step.action.name());
            self.act(&step.action);
            self.take_spawned();
        }
        self.come_to_rest()
    }

    pub(crate) fn trouble(&self, faults: &Faults) -> Result<(), Violation> {
        self.world.trouble.set(faults);
        self.world.network.set_faults(faults).map_err(|what| Violation {
            invariant: "setting",
            what,
        })
    }

    pub(crate) fn take_spawned(&mut self) {
        for (process, task) in self.world.take_spawned() {
            self.executor.spawn(process, task);
        }
    }

    /// One step, judged.
    fn step(&mut self) -> Result<Stepped, Violation> {
        let stepped = self.executor.step();
        self.take_spawned();
        if let Stepped::Stopped(process, stop) = stepped {
            self.stopped(process, stop);
        }
        for process in self.world.network.take_left_behind() {
            self.executor.kill(process);
            self.stopped(process, Stop::Kill);
        }
        if self.executor.polls() > MOST_POLLS {
            return Err(Violation {
                invariant: "an end",
                what: format!("more than {MOST_POLLS} polls"),
            });
        }
        invariants::after_step(&self.world)?;
        Ok(stepped)
    }

    fn stopped(&self, process: ProcessId, stop: Stop) {
        let fault = if stop == Stop::Kill { "killed" } else { "frozen" };
        self.world.coverage.fault(fault);
        let processes = self.world.processes();
        let Some(found) = processes.iter().find(|known| known.id == process) else {
            return;
        };
        let place = found.place.name();
        self.world.coverage.crash_point(&place);
        if self.world.scenario.pulls() {
            self.session_ends(process, stop);
        }
        let at = self.world.timeline.elapsed();
        self.world
            .events
            .tell(at, || format!("P{} {fault} at {place}", process.0));
    }

    /// The source's server notices some time later that nobody is at the other end, or loses its patience.
    fn session_ends(&self, process: ProcessId, stop: Stop) {
        let table = self.world.table.clone();
        let after = match stop {
            Stop::Kill => Duration::from_millis(500),
            Stop::Freeze => Duration::from_secs(20),
        };
        self.world
            .timeline
            .after(after, move || table.drop_session(process.0));
    }

    /// Lets everything happen that happens before a moment.
    fn run_until(&mut self, moment: Duration) -> Result<(), Violation> {
        let reached = Arc::new(Mutex::new(false));
        let flag = reached.clone();
        let wait = moment.saturating_sub(self.world.timeline.elapsed());
        self.world.timeline.after(wait, move || {
            *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        });
        while !*reached.lock().unwrap_or_else(PoisonError::into_inner) {
            if self.step()? == Stepped::Idle {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lets a while pass.
    pub(crate) fn pass(&mut self, wait: Duration) -> Result<(), Violation> {
        let until = self.world.timeline.elapsed() + wait;
        self.run_until(until)
    }

    /// Lets everything happen until no process has anything to do.
    pub(crate) fn run_out(&mut self) -> Result<(), Violation> {
        let alive = |executor: &Executor, world: &World| {
            world.processes().iter().any(|known| executor.is_alive(known.id))
        };
        while alive(&self.executor, &self.world) {
            if self.step()? == Stepped::Idle {
                return Err(Violation {
                    invariant: "an end",
                    what: "a process waits for nothing".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn act(&mut self, action: &Action) {
        let world = &self.world;
        match action {
            Action::Commit {
                changes,
                after,
                rolled_back,
            } => actors::commit(world, changes, *after, *rolled_back),
            Action::Run(job) => worker::start(world, *job),
            Action::Kill { polls } => self.stop_newest(*polls, Stop::Kill),
            Action::Freeze { polls } => self.stop_newest(*polls, Stop::Freeze),
            Action::Adrift { millis } => {
                let later = Duration::from_millis(u64::from(*millis));
                world.network.set_adrift(Some(later));
            }
            Action::Thaw => self.thaw(),
            Action::MemoryOutage { millis } => {
                let until = world.timeline.elapsed() + Duration::from_millis(u64::from(*millis));
                world.trouble.memory_is_away_until(until);
            }
            Action::SourceRestart => world.table.restart(),
            Action::Edit { item, field, value } => actors::edit(world, *item, *field, *value),
            Action::Add { values } => actors::add(world, None, *values),
            Action::AddKeyed { row, values } => actors::add(world, Some(*row), *values),
            Action::Decide { which, winner } => actors::decide(world, *which, *winner),
            Action::LosePlace { token: true } => actors::expire_tokens(world),
            Action::LosePlace { token: false } => world.store.forget_delta(definition()),
            Action::Remove { item } => actors::remove(world, *item),
            Action::Restore { item } => actors::restore(world, *item),
            Action::Copy { item, key } => actors::copy(world, *item, *key),
            Action::EditKey { item, text } => actors::edit_key(world, *item, *text),
            Action::Touch { item } => actors::touch(world, *item),
            Action::Hide { item } => actors::hide(world, *item),
            Action::Show => actors::show(world),
            Action::Wait => {}
        }
    }

    /// The newest worker that still lives and responds stops at an await point.
    fn stop_newest(&mut self, polls: u32, stop: Stop) {
        let frozen = self.executor.frozen();
        let processes = self.world.processes();
        let responds = |id: &ProcessId| self.executor.is_alive(*id) && !frozen.contains(id);
        let newest = processes.iter().rev().map(|known| known.id).find(responds);
        if let Some(newest) = newest {
            self.executor.stop_after(newest, polls, stop);
        }
    }

    pub(crate) fn thaw(&mut self) {
        for process in self.executor.frozen() {
            self.executor.thaw(process);
        }
    }
}

async fn provisioned(world: &World, archives: bool) -> Result<TargetSpec, String> {
    let client = worker::client(world, 0).map_err(|failure| failure.to_string())?;
    let site = client
        .site("contoso.sharepoint.com:/sites/demo")
        .await
        .map_err(|failure| failure.to_string())?;
    let desired = DesiredList::of_mapping("Simulated", None, &world.scenario.mapping());
    let desired = if archives {
        desired.marking_archived()
    } else {
        desired
    };
    let made = client
        .provision(&site.id, &desired)
        .await
        .map_err(|failure| failure.to_string())?;
    Ok(TargetSpec {
        site: site.id,
        list: made.list_id,
        rules: world.scenario.rules(),
    })
}
