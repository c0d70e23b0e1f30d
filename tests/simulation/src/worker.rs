//! A worker process: takes the lease, keeps it alive, runs the engine once, gives the lease back; all of it in a
//! process that may stop at any await point.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use syncbridge_domain::clock::{Clock, Monotonic};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::{RunId, uuid_v7};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::quota::Spending;
use syncbridge_domain::reconcile::Decision;
use syncbridge_domain::run::{Counters, Progress, RunKind, RunOptions, RunOutcome};
use syncbridge_engine::World;
use syncbridge_engine::ports::{Control, Ports, Step};
use syncbridge_target_graph::cloud::Cloud;
use syncbridge_target_graph::egress::EgressRules;
use syncbridge_target_graph::{Budget, ClientSettings, Credentials, GraphClient, ListSettings};

use crate::clock::SimClock;
use crate::executor::ProcessId;
use crate::history::Job;
use crate::leaving::SureUntil;
use crate::model::ledger::ModelLedger;
use crate::model::source::ModelSource;
use crate::model::{Call, Part, Steps};
use crate::moments::{Moments, Place};
use crate::network::Wire;
use crate::random::{Random, SimEntropy};
use crate::scenario::{definition, hash_key};
use crate::scratch::SimScratch;
use crate::target::SimTarget;
use crate::world::World as Simulated;

/// A run that came to an end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What it was to do.
    pub job: Job,
    /// Which process.
    pub process: ProcessId,
    /// Its id.
    pub run: RunId,
    /// How it ended; a failure before it began.
    pub outcome: Result<RunOutcome, Failure>,
}

/// All ports of a simulated run.
struct SimWorld;

impl World for SimWorld {
    type Source = ModelSource;
    type Target = SimTarget;
    type Ledger = ModelLedger;
    type Scratch = SimScratch;
    type Control = Lease;
    type Progress = Observer;
}

/// A lease that is held, or none where nothing is written.
struct Lease {
    fence: Fence,
    sure_until: SureUntil,
    margin: Duration,
    lost: Arc<AtomicBool>,
}

impl Control for Lease {
    fn fence(&self) -> Fence {
        self.fence
    }

    fn send_before(&self) -> Monotonic {
        let until = Duration::from_nanos(self.sure_until.load(Ordering::Relaxed));
        Monotonic(until.saturating_sub(self.margin))
    }

    fn cancelled(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Keeps the place of a process and counts what is decided.
struct Observer {
    place: Place,
    world: Simulated,
}

impl Progress for Observer {
    fn step(&self, step: Step) {
        self.place.step(&step);
    }

    fn counters(&self, _: &Counters, _: &Spending) {}

    fn decided(&self, decision: &Decision) {
        self.world.coverage.row_decision(&format!("{:?}", decision.row));
        self.world.events.tell(self.world.timeline.elapsed(), || {
            format!("decided: {:?} {:?}", decision.row, decision.fields)
        });
        for field in &decision.fields {
            self.world.coverage.field_decision(&format!("{field:?}"));
        }
    }
}

/// Where the newest process stands, for whoever stops it.
#[derive(Clone)]
pub struct Process {
    /// Its number.
    pub id: ProcessId,
    /// Where it stands.
    pub place: Place,
    /// When it began.
    pub since: Duration,
}

fn kind(job: Job, direction: Direction) -> (RunKind, RunOptions) {
    let options = RunOptions::default();
    let driving = RunKind::driving(direction);
    match job {
        Job::Push => (driving, options),
        Job::FullPush => (
            driving,
            RunOptions {
                full: true,
                ..options
            },
        ),
        Job::ApprovedPush => {
            let approve_unagreed = true;
            (
                driving,
                RunOptions {
                    approve_unagreed,
                    ..options
                },
            )
        }
        Job::FreshPush => {
            let reset_cursor = true;
            (
                driving,
                RunOptions {
                    reset_cursor,
                    ..options
                },
            )
        }
        Job::Verify => (RunKind::Verify, options),
        Job::Repair => (RunKind::Repair, options),
        Job::Plan => (RunKind::Plan, options),
    }
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

/// A client of the simulated service for one process.
///
/// # Errors
/// Addresses that the egress rules refuse.
pub fn client(world: &Simulated, process: u64) -> Result<GraphClient<Wire>, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SimClock(world.timeline.clone()));
    let rules = EgressRules {
        allow_custom_cloud: false,
        allow_insecure_loopback: false,
    };
    let credentials = Credentials::by_secret("contoso", "sim-client", "sim-secret");
    let settings = ClientSettings::new(credentials, Cloud::Global.endpoints(rules)?, "0.1.0");
    let entropy = SimEntropy::new(Random::stream(world.seed, "client", process));
    let budget = Budget::new(None, clock.clone());
    Ok(GraphClient::new(
        Wire(world.network.clone(), ProcessId(process)),
        settings,
        budget,
        clock,
        Arc::new(entropy),
    ))
}

/// Starts a worker process that does one job.
pub fn start(world: &Simulated, job: Job) {
    let process = world.next_process();
    let place = Place::default();
    let started = Process {
        id: process,
        place: place.clone(),
        since: world.timeline.elapsed(),
    };
    world.running(started, job);
    let moments = Moments::new(
        world.timeline.clone(),
        world.events.clone(),
        world.coverage.clone(),
        world.trouble.clone(),
        place.clone(),
        process.0,
    );
    let moments = match world.scenario.back.lost_commits {
        0 => moments,
        share => moments.losing_commits(share, world.table.clone()),
    };
    let shared = world.clone();
    world.spawn(process, async move {
        let run = RunId::from_uuid(uuid_v7(process.0, [9; 10]));
        let outcome = work(&shared, process, run, job, place, moments).await;
        shared.ended(Ended {
            job,
            process,
            run,
            outcome,
        });
    });
}

async fn work(
    world: &Simulated,
    process: ProcessId,
    run: RunId,
    job: Job,
    place: Place,
    moments: Moments,
) -> Result<RunOutcome, Failure> {
    let (kind, options) = kind(job, world.scenario.direction);
    let steps: Arc<dyn Steps> = Arc::new(moments);
    let lease = take(world, process, kind, &steps).await?;
    let fence = lease.fence;
    let clock = SimClock(world.timeline.clone());
    let entropy = SimEntropy::new(Random::stream(world.seed, "entropy", process.0));
    let spec = world.scenario.spec(&world.place(), run, kind, options);
    let source = world.table.source(1, steps.clone()).of_process(process.0);
    let ledger = world.store.ledger(definition(), steps.clone());
    let settings = ListSettings {
        page_size: spec.limits.verify_page_items,
        reads_in_flight: 2,
        lane: spec.lane,
    };
    let target = SimTarget::new(
        client(world, process.0)?,
        spec.target.clone(),
        spec.mapping.clone(),
        settings,
        place.clone(),
    );
    let observer = Observer {
        place,
        world: world.clone(),
    };
    let hash_key = hash_key();
    let ports = Ports {
        source: &source,
        target: &target,
        ledger: &ledger,
        scratch: &SimScratch,
        control: &lease,
        progress: &observer,
        plans: None,
        past: None,
        clock: &clock,
        entropy: &entropy,
        hash_key: &hash_key,
    };
    let outcome = Box::pin(syncbridge_engine::run::<SimWorld>(&spec, ports)).await;
    let lost = lease.lost.swap(true, Ordering::Relaxed);
    if kind.writes() && !lost {
        let call = called("release");
        steps.before(call).await?;
        world.store.release(fence);
    }
    Ok(outcome)
}

const fn called(name: &'static str) -> Call {
    Call {
        part: Part::Memory,
        name,
    }
}

async fn take(
    world: &Simulated,
    process: ProcessId,
    kind: RunKind,
    steps: &Arc<dyn Steps>,
) -> Result<Lease, Failure> {
    let term = Duration::from_secs(world.scenario.lease_seconds);
    let margin = (term / 5).min(Duration::from_secs(3));
    if !kind.writes() {
        return Ok(Lease {
            fence: Fence {
                definition: definition(),
                epoch: 0,
            },
            sure_until: Arc::default(),
            margin,
            lost: Arc::default(),
        });
    }
    let asked = world.timeline.elapsed();
    let call = called("acquire");
    steps.before(call).await?;
    let acquired = world.store.acquire(definition(), term);
    steps.after(call).await?;
    let fence = acquired.map_err(|remaining| {
        let code = "lease.held";
        let cause = format!("another run drives this definition for {remaining:?}");
        Failure::new(Scope::List, code, cause, "wait for it to end")
    })?;
    let lease = Lease {
        fence,
        sure_until: Arc::new(AtomicU64::new(nanos(asked + term))),
        margin,
        lost: Arc::default(),
    };
    world.network.leased(process, lease.sure_until.clone());
    let (sure_until, lost) = (lease.sure_until.clone(), lease.lost.clone());
    let (shared, steps) = (world.clone(), steps.clone());
    world.spawn(process, async move {
        keep_alive(&shared, fence, term, &sure_until, &lost, &*steps).await;
    });
    Ok(lease)
}

async fn keep_alive(
    world: &Simulated,
    fence: Fence,
    term: Duration,
    sure_until: &AtomicU64,
    lost: &AtomicBool,
    steps: &dyn Steps,
) {
    loop {
        world.timeline.sleep(term / 4).await;
        if lost.load(Ordering::Relaxed) {
            return;
        }
        let asked = world.timeline.elapsed();
        let call = called("renew");
        let renewed = match steps.before(call).await {
            Ok(()) => world.store.renew(fence, term),
            Err(failure) => Err(failure),
        };
        let renewed = match steps.after(call).await {
            Ok(()) => renewed,
            Err(failure) => Err(failure),
        };
        match renewed {
            Ok(()) => sure_until.store(nanos(asked + term), Ordering::Relaxed),
            Err(failure) if failure.code == "lease.lost" => {
                lost.store(true, Ordering::Relaxed);
                sure_until.store(0, Ordering::Relaxed);
                return;
            }
            // Perhaps the next one gets through; if not, the moment passes and nothing more is sent.
            Err(_) => {}
        }
    }
}
