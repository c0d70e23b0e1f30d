//! One job from its spec to its outcome.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use syncbridge_domain::clock::Clock;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::HashKey;
use syncbridge_domain::ids::{PlanId, RunId};
use syncbridge_domain::quota::{Spending, Tier};
use syncbridge_domain::run::{Counters, Prediction, Progress, RunKind, RunOutcome, RunSpec, RunState, Step};
use syncbridge_engine::World;
use syncbridge_engine::ports::past::Past;
use syncbridge_engine::ports::plan_book::PlanBook;
use syncbridge_engine::ports::{Control, Ports};
use syncbridge_meta_store::{DefinitionStore, MetaStore, Rehearsal, runs};
use syncbridge_secrets::DataKey;
use syncbridge_source_postgres::{Access, PgSource, ReadShape, Scratch, TableRef};
use syncbridge_target_graph::egress::EgressRules;
use syncbridge_target_graph::{
    Budget, ClientSettings, GraphClient, IdentityService, ListSettings, ReqwestTransport,
};

use crate::clock::{OsEntropy, SystemClock};
use crate::graph_access::GraphAccess;
use crate::housekeeping;
use crate::lease;
use crate::ledger_port::LedgerPort;
use crate::lives::{self, Lives};
use crate::plan_book::StoredPlans;
use crate::scratch_port::ScratchPort;
use crate::source_port::SourcePort;
use crate::target_port::TargetPort;

/// What this process shares between jobs.
pub struct Services {
    store: MetaStore,
    clock: SystemClock,
    egress: EgressRules,
    holder: String,
    lease_term: Duration,
    budgets: Mutex<BTreeMap<String, Budget>>,
    identity_service: IdentityService,
}

impl Services {
    /// `holder` names this process to people who wonder who drives a definition.
    #[must_use]
    pub fn new(store: MetaStore, egress: EgressRules, holder: String, lease_term: Option<Duration>) -> Self {
        Self {
            store,
            clock: SystemClock::start(),
            egress,
            holder,
            lease_term: lease_term.unwrap_or(lease::TERM),
            budgets: Mutex::new(BTreeMap::new()),
            identity_service: IdentityService::of_machine(),
        }
    }

    /// Asks another service than the machine's own for its identity's tokens: an administrator's decision, and
    /// what tests need. The address is without the path that all such services have.
    ///
    /// # Errors
    /// An address that requests may not go to.
    pub fn with_identity_service(self, address: &str) -> Result<Self, Failure> {
        Ok(Self {
            identity_service: IdentityService::at(address)?,
            ..self
        })
    }

    /// One budget for all connections that are one app in one tenant.
    fn budget(&self, access: &GraphAccess) -> Budget {
        let client_id = access.sign_in.client_id().unwrap_or_default();
        let key = format!("{:?}\n{}\n{client_id}", access.cloud, access.tenant);
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Budget::new(access.licences.map(Tier::of_licences), Arc::new(self.clock));
        budgets.entry(key).or_insert_with(new).clone()
    }

    /// A connection to Graph.
    ///
    /// # Errors
    /// An address that may not be spoken to, or a TLS stack that cannot be set up.
    pub(crate) fn graph(&self, access: &GraphAccess) -> Result<GraphClient<ReqwestTransport>, Failure> {
        let endpoints = access.cloud.endpoints(self.egress)?;
        let credentials = access.credentials(&self.identity_service)?;
        let settings = ClientSettings::new(credentials, endpoints, env!("CARGO_PKG_VERSION"));
        let transport = match &access.authority_pem {
            None => ReqwestTransport::new()?,
            Some(pem) => ReqwestTransport::trusting(pem)?,
        };
        Ok(GraphClient::new(
            transport,
            settings,
            self.budget(access),
            Arc::new(self.clock),
            Arc::new(OsEntropy),
        ))
    }
}

/// A job and everything it needs.
pub struct Job<'a> {
    /// What to do.
    pub spec: &'a RunSpec,
    /// How to reach the table.
    pub source: Access,
    /// How to reach the list.
    pub graph: GraphAccess,
    /// Key of identities and hashes.
    pub hash_key: HashKey,
    /// Seals values of this definition.
    pub data_key: DataKey,
    /// Who wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// Set by whoever wants it to stop.
    pub cancel: Arc<AtomicBool>,
    /// How long a plan that is worked out may be approved and run.
    pub plan_lasts: Duration,
}

struct RealWorld<'p>(PhantomData<&'p ()>);

impl<'p> World for RealWorld<'p> {
    type Source = SourcePort;
    type Target = TargetPort;
    type Ledger = LedgerPort;
    type Scratch = ScratchPort;
    type Control = Driver;
    type Progress = Reporter<'p>;
}

/// The right to drive, or the right to look only.
enum Driver {
    Writer(lease::HeldLease),
    /// Plan and verify run beside a writer and write nothing, so they need no lease.
    Looker {
        fence: Fence,
        cancelled: Arc<AtomicBool>,
    },
    /// A run is rehearsed on a copy of the memory; what it would send never leaves it.
    Rehearser {
        fence: Fence,
        cancelled: Arc<AtomicBool>,
    },
}

impl Control for Driver {
    fn fence(&self) -> Fence {
        match self {
            Driver::Writer(lease) => lease.fence(),
            Driver::Looker { fence, .. } | Driver::Rehearser { fence, .. } => *fence,
        }
    }

    fn send_before(&self) -> syncbridge_domain::clock::Monotonic {
        match self {
            Driver::Writer(lease) => lease.send_before(),
            // Nothing may be sent without a lease.
            Driver::Looker { .. } => syncbridge_domain::clock::Monotonic(Duration::ZERO),
            Driver::Rehearser { .. } => syncbridge_domain::clock::Monotonic(Duration::MAX),
        }
    }

    fn cancelled(&self) -> bool {
        match self {
            Driver::Writer(lease) => lease.cancelled(),
            Driver::Looker { cancelled, .. } | Driver::Rehearser { cancelled, .. } => {
                cancelled.load(std::sync::atomic::Ordering::Acquire)
            }
        }
    }
}

/// Tells both the person who waits and, now and then, the meta-store.
struct Reporter<'p> {
    person: &'p dyn Progress,
    latest: Arc<Mutex<(Counters, Spending)>>,
}

impl Progress for Reporter<'_> {
    fn step(&self, step: Step) {
        self.person.step(step);
    }

    fn counters(&self, counters: &Counters, spending: &Spending) {
        self.person.counters(counters, spending);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = (counters.clone(), spending.clone());
    }
}

/// Writes progress to the meta-store every second; ends when dropped.
struct Recorder(tokio::task::JoinHandle<()>);

impl Recorder {
    fn start(store: MetaStore, run: RunId, latest: Arc<Mutex<(Counters, Spending)>>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let (counters, spending) = latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let written = match store.acquire().await {
                    Ok(mut connection) => runs::progress(&mut connection, run, &counters, &spending).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = written {
                    tracing::warn!(run = %run, error.code = error.code(), "progress could not be recorded");
                }
            }
        }))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a queued job and records how it ended.
///
/// # Errors
/// Only when the outcome itself cannot be recorded; everything else is part of the outcome.
pub async fn run_job(services: &Services, job: Job<'_>) -> Result<RunOutcome, Failure> {
    let spec = job.spec;
    let mut connection = services.store.acquire().await?;
    runs::start(&mut connection, spec.run).await?;
    drop(connection);
    // A credential that cannot be used at all is told by the run itself.
    let notice = job
        .graph
        .credentials(&services.identity_service)
        .ok()
        .and_then(|credentials| credentials.source.notice(services.clock.now()));
    tracing::info!(run = %spec.run, definition = %spec.definition, kind = spec.kind.name(), "run started");
    let mut outcome = match Box::pin(execute(services, job)).await {
        Ok(outcome) => outcome,
        Err(failure) => before_it_began(&failure, services.clock.now()),
    };
    outcome.notices.extend(notice);
    let mut connection = services.store.acquire().await?;
    runs::finish(&mut connection, spec.run, &outcome).await?;
    tracing::info!(
        run = %spec.run,
        run.state = outcome.state.name(),
        run.ru = outcome.spending.total().0,
        failure.code = outcome.failure.as_ref().map(|failure| failure.code.as_str()),
        "run ended"
    );
    Ok(outcome)
}

async fn execute(services: &Services, job: Job<'_>) -> Result<RunOutcome, Failure> {
    let spec = job.spec;
    // The lease first: whoever does not get it has cost neither side anything.
    let (driver, heartbeat) = match spec.kind {
        RunKind::Push | RunKind::Pull | RunKind::TwoWay | RunKind::Repair => {
            let (held, heartbeat) = lease::take(
                &services.store,
                spec.definition,
                spec.run,
                &services.holder,
                services.lease_term,
                services.clock,
                job.cancel.clone(),
            )
            .await?;
            (Driver::Writer(held), Some(heartbeat))
        }
        RunKind::Plan if spec.options.plan.is_some() => return rehearse(services, job).await,
        RunKind::Verify | RunKind::Plan => {
            let fence = Fence {
                definition: spec.definition,
                epoch: 0,
            };
            (
                Driver::Looker {
                    fence,
                    cancelled: job.cancel.clone(),
                },
                None,
            )
        }
    };
    let outcome = Box::pin(drive(services, &job, &driver, services.store.clone())).await;
    drop(heartbeat);
    if let Driver::Writer(held) = &driver {
        if held.is_lost() {
            return Ok(RunOutcome {
                failure: Some(lease_lost()),
                state: RunState::Failed,
                ..outcome?
            });
        }
        // A lease that cannot be given back runs out by itself.
        if let Err(error) = syncbridge_meta_store::leases::release(&services.store, held.fence()).await {
            tracing::warn!(run = %spec.run, error.code = error.code(), "the lease could not be given back");
        }
    }
    outcome
}

/// Works a saved plan out: the run itself, on a copy of the memory and on sides that are only read.
async fn rehearse(services: &Services, job: Job<'_>) -> Result<RunOutcome, Failure> {
    let Some(plan) = job.spec.options.plan else {
        return Err(no_plan());
    };
    let list = &job.spec.target.list;
    let copy = services.store.rehearsal(job.spec.definition, list).await?;
    let driver = Driver::Rehearser {
        fence: copy.fence,
        cancelled: job.cancel.clone(),
    };
    let mut outcome = Box::pin(drive(services, &job, &driver, copy.store.clone())).await;
    if let Some(found) = outcome
        .as_mut()
        .ok()
        .and_then(|outcome| outcome.prediction.as_mut())
    {
        found.refusals = copy.refusals(job.spec.run).await?;
        let new: u64 = found.refusals.iter().map(|refusal| refusal.rows).sum();
        found.quarantined = found.quarantined.saturating_sub(new);
    }
    let plans = memory_of(&job, services.store.clone());
    let whole = outcome
        .as_ref()
        .ok()
        .filter(|outcome| outcome.failure.is_none())
        .and_then(|outcome| outcome.prediction.as_ref());
    let completed = match whole {
        Some(found) => complete(&plans, &copy, &job, found).await,
        None => Ok(plans.abandon_plan(plan).await?),
    };
    copy.close().await;
    completed.and(outcome)
}

/// Puts the rest into a plan and opens it.
async fn complete(
    plans: &DefinitionStore,
    copy: &Rehearsal,
    job: &Job<'_>,
    found: &Prediction,
) -> Result<(), Failure> {
    let plan = job.spec.options.plan.ok_or_else(no_plan)?;
    copy.remark(plan, job.spec.run, job.spec.options.revert.is_some())
        .await?;
    plans
        .complete_plan(plan, &job.hash_key, found.ru, found.beyond_guard, job.plan_lasts)
        .await?;
    Ok(())
}

/// What is run has to be what was looked at, to the letter.
async fn refuse_altered(
    services: &Services,
    plans: &StoredPlans,
    spec: &RunSpec,
    plan: PlanId,
    hash_key: &HashKey,
) -> Result<(), Failure> {
    let mut connection = services.store.acquire().await?;
    let header = syncbridge_meta_store::ledger::plan(&mut connection, spec.workspace, plan).await?;
    drop(connection);
    let whole = match header.hash {
        Some(hash) => plans.0.is_as_hashed(plan, hash_key, hash).await?,
        None => false,
    };
    match whole {
        true => Ok(()),
        false => Err(Failure::new(
            Scope::List,
            "plan.altered",
            format!("plan {plan} does not hold any more the changes by whose hash it is known"),
            "make a new plan, and find out who changed the meta-store; nothing was written",
        )),
    }
}

fn no_plan() -> Failure {
    Failure::new(
        Scope::Outage,
        "plan.no_book",
        "this worker was told of no plan to work out",
        "report this as a defect; nothing was written",
    )
}

fn memory_of(job: &Job<'_>, store: MetaStore) -> DefinitionStore {
    let spec = job.spec;
    DefinitionStore::new(
        store,
        spec.workspace,
        spec.definition,
        spec.target.list.clone(),
        job.data_key.clone(),
    )
    .keeping_values(spec.history.values)
}

/// `store`: where the memory is; a rehearsal has a copy of it.
async fn drive(
    services: &Services,
    job: &Job<'_>,
    driver: &Driver,
    store: MetaStore,
) -> Result<RunOutcome, Failure> {
    let spec = job.spec;
    let ledger = LedgerPort {
        memory: memory_of(job, store.clone()),
        store,
    };
    let plans = StoredPlans(memory_of(job, services.store.clone()));
    if spec.kind.drives()
        && let Some(plan) = spec.options.plan
    {
        refuse_altered(services, &plans, spec, plan, &job.hash_key).await?;
    }
    let table = TableRef::new(&spec.source.schema, &spec.source.table);
    let shape = ReadShape::of(&spec.mapping, &spec.source);
    let table = PgSource::connect(&job.source, &table, &shape).await?;
    let lives = match driver {
        // What begins with a rehearsal begins in the copy; what is known stands in the memory itself.
        Driver::Writer(_) | Driver::Rehearser { .. } if spec.options.retire.is_none() => {
            Some(Lives::look(&ledger.store, &plans.0, &table, spec, &services.holder).await?)
        }
        Driver::Writer(_) | Driver::Looker { .. } | Driver::Rehearser { .. } => None,
    };
    let anew = lives
        .as_ref()
        .and_then(|lives| lives.begun)
        .map(|_| compares_everything(spec));
    let spec = anew.as_ref().unwrap_or(spec);
    let generation = syncbridge_engine::ports::Ledger::generation(&ledger).await?;
    let source = SourcePort { table, generation };
    let client = services.graph(&job.graph)?;
    let settings = ListSettings {
        page_size: spec.limits.verify_page_items,
        lane: spec.lane,
        ..ListSettings::default()
    };
    let target = TargetPort::new(client, spec.target.clone(), spec.mapping.clone(), settings);
    let scratch = ScratchPort(Scratch::in_system_folder());
    let latest = Arc::new(Mutex::new((Counters::default(), Spending::default())));
    let reporter = Reporter {
        person: job.progress,
        latest: latest.clone(),
    };
    let recorder = Recorder::start(services.store.clone(), spec.run, latest);
    let ports = Ports {
        source: &source,
        target: &target,
        ledger: &ledger,
        scratch: &scratch,
        control: driver,
        progress: &reporter,
        plans: spec.options.plan.is_some().then_some(&plans as &dyn PlanBook),
        past: spec.options.revert.is_some().then_some(&plans as &dyn Past),
        clock: &services.clock,
        entropy: &OsEntropy,
        hash_key: &job.hash_key,
    };
    let outcome = syncbridge_engine::run::<RealWorld<'_>>(spec, ports).await;
    drop(recorder);
    if let Driver::Writer(held) = driver {
        housekeeping::clear_away(&ledger.memory, held.fence(), spec).await;
        // A run that puts another one back compares nothing but its rows.
        let compared = outcome.failure.is_none() && spec.options.revert.is_none();
        if let Some(lives) = lives.filter(|_| compared) {
            // Not noted is not lost: the next run looks at the life that was noted before.
            if let Err(failure) = lives.note(&ledger.memory, &source.table, held.fence()).await {
                tracing::warn!(run = %spec.run, error.code = failure.code, "the lives of a run could not be noted");
            }
        }
    }
    source.table.close().await;
    Ok(outcome)
}

/// A run over a source that lives another life now: whatever its feed says, both sides are compared.
fn compares_everything(spec: &RunSpec) -> RunSpec {
    let mut anew = spec.clone();
    anew.options.reset_cursor = true;
    anew.options.full = true;
    anew
}

fn before_it_began(failure: &Failure, now: chrono::DateTime<chrono::Utc>) -> RunOutcome {
    RunOutcome {
        state: if failure.code == "lease.held" || lives::WENT_BACK.contains(&failure.code.as_str()) {
            RunState::Refused
        } else {
            RunState::Failed
        },
        counters: Counters::default(),
        spending: Spending::default(),
        failure: Some(failure.clone()),
        verification: None,
        prediction: None,
        notices: Vec::new(),
        ended: now,
    }
}

fn lease_lost() -> Failure {
    Failure::new(
        Scope::List,
        "lease.lost",
        "the lease of this definition ran out or was taken over while the run was under way",
        "nothing is lost: the next run settles what was open; look at who drives the definition now",
    )
}
