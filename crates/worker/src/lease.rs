//! The writer lease of one run: taken, kept alive in the background, given back.
//!
//! The database's clock decides whether a lease holds. This process only knows a moment on its own monotonic
//! clock until which it surely does, counted from before each renewal was asked for, and sends nothing later
//! than a margin before that. A process that was stopped and wakes finds the moment passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use syncbridge_domain::clock::{Clock, Monotonic};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::RunId;
use syncbridge_engine::ports::Control;
use syncbridge_meta_store::MetaStore;
use syncbridge_meta_store::leases::{self, Lease};

use crate::clock::SystemClock;

/// How long a lease holds without a renewal, unless a setting says otherwise.
pub(crate) const TERM: Duration = Duration::from_secs(30);

/// A lease that is held, as the engine sees it.
#[derive(Clone)]
pub(crate) struct HeldLease {
    fence: Fence,
    clock: SystemClock,
    /// Milliseconds on the monotonic clock.
    sure_until: Arc<AtomicU64>,
    margin: Duration,
    cancelled: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
}

impl Control for HeldLease {
    fn fence(&self) -> Fence {
        self.fence
    }

    fn send_before(&self) -> Monotonic {
        let until = Duration::from_millis(self.sure_until.load(Ordering::Acquire));
        Monotonic(until.saturating_sub(self.margin))
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

impl HeldLease {
    /// Whether the lease is known to be gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// The background renewal of a lease; ends when dropped.
pub(crate) struct Heartbeat {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes the lease of a definition and keeps it alive.
pub(crate) async fn take(
    store: &MetaStore,
    definition: syncbridge_domain::ids::DefinitionId,
    run: RunId,
    holder: &str,
    term: Duration,
    clock: SystemClock,
    cancelled: Arc<AtomicBool>,
) -> Result<(HeldLease, Heartbeat), Failure> {
    let asked = clock.monotonic();
    let acquired = match leases::acquire(store, definition, holder, run, term).await? {
        Lease::Acquired(acquired) => acquired,
        Lease::Held(held) => return Err(somebody_has_it(&held)),
    };
    let lease = HeldLease {
        fence: acquired.fence,
        clock,
        sure_until: Arc::new(AtomicU64::new(millis(asked + acquired.expires_in))),
        margin: (term / 5).min(Duration::from_secs(3)),
        cancelled,
        lost: Arc::new(AtomicBool::new(false)),
    };
    let task = tokio::spawn(keep_alive(store.clone(), lease.clone(), term));
    Ok((lease, Heartbeat { task }))
}

async fn keep_alive(store: MetaStore, lease: HeldLease, term: Duration) {
    loop {
        tokio::time::sleep(term / 4).await;
        let asked = lease.clock.monotonic();
        match leases::renew(&store, lease.fence, term).await {
            Ok(holds) => lease.sure_until.store(millis(asked + holds), Ordering::Release),
            Err(syncbridge_meta_store::Error::LeaseLost { .. }) => {
                lease.lost.store(true, Ordering::Release);
                lease.sure_until.store(0, Ordering::Release);
                lease.cancelled.store(true, Ordering::Release);
                return;
            }
            // Perhaps the next one gets through; if not, the moment passes and nothing more is sent.
            Err(error) => tracing::warn!(error.code = error.code(), "a lease could not be renewed"),
        }
    }
}

fn millis(at: Monotonic) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX)
}

fn somebody_has_it(held: &leases::Held) -> Failure {
    let run = held.run.map_or_else(String::new, |run| format!(" for {run}"));
    Failure::new(
        Scope::List,
        "lease.held",
        format!("another run drives this definition: {}{run}", held.by),
        format!(
            "wait for it to end; if its process is dead, the lease runs out in {} seconds",
            held.remaining.as_secs() + 1
        ),
    )
}
