//! One thread, no waiting: polls whoever is ready in an order of the seed's, and otherwise jumps to the next moment.
//!
//! Tasks belong to processes. A process can be *frozen* at any await point, as a machine that stops responding is,
//! and *thawed* much later, when the world has moved on; or *killed*, which leaks its futures: no destructor runs
//! before the history is over, since none runs when a machine loses power.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

use crate::clock::{Due, Timeline};
use crate::events::Events;
use crate::random::Random;

/// A process that tasks belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u64);

/// How a process ends, or stops for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It stops responding until it is thawed.
    Freeze,
    /// It is gone; nothing of it is cleaned up.
    Kill,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Held {
    process: ProcessId,
    future: Task,
    waker: Waker,
}

#[derive(Default)]
struct Process {
    frozen: bool,
    dead: bool,
    /// Polls until it stops.
    stops_in: Option<(u32, Stop)>,
}

/// The executor. What is spawned from inside a poll is taken over after it.
pub struct Executor {
    timeline: Timeline,
    events: Events,
    random: Random,
    tasks: BTreeMap<u64, Held>,
    graveyard: Vec<Held>,
    processes: BTreeMap<ProcessId, Process>,
    ready: Ready,
    next_task: u64,
    polls: u64,
}

type Ready = Arc<Mutex<Vec<u64>>>;

struct TaskWaker {
    task: u64,
    ready: Ready,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// A task was polled.
    Polled(ProcessId),
    /// A process stopped at an await point.
    Stopped(ProcessId, Stop),
    /// The clock moved on.
    Moment,
    /// Nothing is ready and nothing is due.
    Idle,
}

impl Executor {
    /// An executor without tasks.
    #[must_use]
    pub fn new(timeline: Timeline, events: Events, random: Random) -> Self {
        Self {
            timeline,
            events,
            random,
            tasks: BTreeMap::new(),
            graveyard: Vec::new(),
            processes: BTreeMap::new(),
            ready: Ready::default(),
            next_task: 0,
            polls: 0,
        }
    }

    /// Adds a task to a process.
    pub fn spawn(&mut self, process: ProcessId, future: impl Future<Output = ()> + Send + 'static) {
        let task = self.next_task;
        self.next_task += 1;
        self.processes.entry(process).or_default();
        let held = Held {
            process,
            future: Box::pin(future),
            waker: Waker::from(Arc::new(TaskWaker {
                task,
                ready: self.ready.clone(),
            })),
        };
        self.tasks.insert(task, held);
        self.lock().push(task);
    }

    /// Stops a process at the await point it reaches after so many polls.
    pub fn stop_after(&mut self, process: ProcessId, polls: u32, stop: Stop) {
        if let Some(known) = self.processes.get_mut(&process) {
            known.stops_in = Some((polls, stop));
        }
    }

    /// Nobody stops any more.
    pub fn forget_stops(&mut self) {
        for process in self.processes.values_mut() {
            process.stops_in = None;
        }
    }

    /// Lets a frozen process go on. Answers whether it was frozen.
    pub fn thaw(&mut self, process: ProcessId) -> bool {
        self.processes
            .get_mut(&process)
            .is_some_and(|known| !known.dead && std::mem::take(&mut known.frozen))
    }

    /// Whether a process has tasks that can still go on.
    #[must_use]
    pub fn is_alive(&self, process: ProcessId) -> bool {
        let dead = self.processes.get(&process).is_none_or(|known| known.dead);
        !dead && self.tasks.values().any(|held| held.process == process)
    }

    /// Frozen processes, in order.
    #[must_use]
    pub fn frozen(&self) -> Vec<ProcessId> {
        let frozen = self
            .processes
            .iter()
            .filter(|(_, known)| known.frozen && !known.dead);
        frozen.map(|(process, _)| *process).collect()
    }

    /// How many polls there were.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.polls
    }

    /// One step: a poll, a stop, or a moment.
    pub fn step(&mut self) -> Stepped {
        if let Some(task) = self.take_ready() {
            return self.poll(task);
        }
        match self.timeline.next() {
            None => Stepped::Idle,
            Some(due) => {
                match due {
                    Due::Wake(waker) => waker.wake(),
                    Due::Do(action) => action(),
                }
                Stepped::Moment
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ready task of a process that responds. Those of frozen ones stay ready; those of dead ones are forgotten.
    fn take_ready(&mut self) -> Option<u64> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.retain(|task| self.tasks.contains_key(task));
        let responds = |task: &u64| {
            let process = self
                .tasks
                .get(task)
                .and_then(|held| self.processes.get(&held.process));
            process.is_some_and(|known| !known.frozen)
        };
        let able: Vec<usize> = (0..ready.len()).filter(|at| responds(&ready[*at])).collect();
        if able.is_empty() {
            return None;
        }
        let at = able[self.random.index(able.len())];
        Some(ready.swap_remove(at))
    }

    fn poll(&mut self, task: u64) -> Stepped {
        let Some(mut held) = self.tasks.remove(&task) else {
            return Stepped::Moment;
        };
        let process = held.process;
        if let Some(stop) = self.due_stop(process) {
            self.tasks.insert(task, held);
            self.lock().push(task);
            self.stop(process, stop);
            return Stepped::Stopped(process, stop);
        }
        self.polls += 1;
        self.events.note("poll", self.timeline.elapsed(), task, &[]);
        let mut context = Context::from_waker(&held.waker);
        if held.future.as_mut().poll(&mut context).is_pending() {
            self.tasks.insert(task, held);
        }
        Stepped::Polled(process)
    }

    /// Counts a poll down, and tells what is due instead of it.
    fn due_stop(&mut self, process: ProcessId) -> Option<Stop> {
        let known = self.processes.get_mut(&process)?;
        let (polls, stop) = known.stops_in?;
        if polls > 0 {
            known.stops_in = Some((polls - 1, stop));
            return None;
        }
        known.stops_in = None;
        Some(stop)
    }

    fn stop(&mut self, process: ProcessId, stop: Stop) {
        self.events.note(
            "stop",
            self.timeline.elapsed(),
            process.0,
            &[u8::from(stop == Stop::Kill)],
        );
        if let Some(known) = self.processes.get_mut(&process) {
            known.frozen = stop == Stop::Freeze;
            known.dead = stop == Stop::Kill;
        }
        if stop == Stop::Kill {
            let theirs = self.tasks.extract_if(.., |_, held| held.process == process);
            self.graveyard.extend(theirs.map(|(_, held)| held));
        }
    }

    /// Ends a process at once, as it stands.
    pub fn kill(&mut self, process: ProcessId) {
        self.stop(process, Stop::Kill);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    fn world(seed: u64) -> (Timeline, Events, Executor) {
        let timeline = Timeline::new(Random::stream(seed, "timeline", 0));
        let events = Events::new(false);
        let executor = Executor::new(
            timeline.clone(),
            events.clone(),
            Random::stream(seed, "executor", 0),
        );
        (timeline, events, executor)
    }

    fn hash_of_three_sleepers(seed: u64) -> [u8; 32] {
        let (timeline, events, mut executor) = world(seed);
        for number in 0..3 {
            let sleeper = timeline.clone();
            executor.spawn(ProcessId(number), async move {
                for _ in 0..5 {
                    sleeper.sleep(Duration::from_millis(10)).await;
                }
            });
        }
        while executor.step() != Stepped::Idle {}
        assert_eq!(timeline.elapsed(), Duration::from_millis(50));
        events.hash()
    }

    #[test]
    fn one_seed_gives_one_order_and_another_seed_another() {
        assert_eq!(hash_of_three_sleepers(1), hash_of_three_sleepers(1));
        assert_ne!(hash_of_three_sleepers(1), hash_of_three_sleepers(2));
    }

    struct Flag(Arc<AtomicU32>);

    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counting(executor: &mut Executor, timeline: &Timeline) -> (Arc<AtomicU32>, Arc<AtomicU32>) {
        let (counted, dropped) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (count, flag, sleeper) = (counted.clone(), Flag(dropped.clone()), timeline.clone());
        executor.spawn(ProcessId(1), async move {
            let _flag = flag;
            for _ in 0..10 {
                sleeper.sleep(Duration::from_secs(1)).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        (counted, dropped)
    }

    #[test]
    fn a_killed_process_goes_no_further_and_runs_no_destructor() {
        let (timeline, _, mut executor) = world(1);
        let (counted, dropped) = counting(&mut executor, &timeline);
        executor.stop_after(ProcessId(1), 4, Stop::Kill);
        while executor.step() != Stepped::Idle {}
        assert_eq!(counted.load(Ordering::Relaxed), 3);
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        assert!(!executor.is_alive(ProcessId(1)) && !executor.thaw(ProcessId(1)));
    }

    #[test]
    fn a_frozen_process_goes_on_where_it_stood_when_it_is_thawed() {
        let (timeline, _, mut executor) = world(1);
        let (counted, _) = counting(&mut executor, &timeline);
        executor.stop_after(ProcessId(1), 4, Stop::Freeze);
        while executor.step() != Stepped::Idle {}
        assert_eq!(counted.load(Ordering::Relaxed), 3);
        assert_eq!(executor.frozen(), [ProcessId(1)]);
        assert!(executor.thaw(ProcessId(1)));
        while executor.step() != Stepped::Idle {}
        assert_eq!(counted.load(Ordering::Relaxed), 10);
    }
}
