//! What must hold where writes leave their worker: each within its sender's lease, and none a second time without a look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use syncbridge_graph_sim::{Method, Request};

use crate::executor::ProcessId;
use crate::simulation::Violation;

/// Until when a worker may be sure of its lease, in nanoseconds of the virtual clock; 0: it has none.
pub type SureUntil = Arc<AtomicU64>;

/// Keeps an eye on writes that leave.
#[derive(Default)]
pub(crate) struct Leaving {
    leases: BTreeMap<ProcessId, SureUntil>,
    /// Writes whose outcome their worker was never told and that it did not look after since.
    in_doubt: BTreeMap<ProcessId, BTreeSet<[u8; 32]>>,
    violations: Vec<Violation>,
}

impl Leaving {
    /// A worker took the lease.
    pub(crate) fn leased(&mut self, process: ProcessId, until: SureUntil) {
        self.leases.insert(process, until);
    }

    /// A request was judged worth sending.
    pub(crate) fn leaves(&mut self, process: ProcessId, request: &Request, now: Duration) {
        if !writes_items(request) {
            if request.path_and_query.contains("/items") || is_batch(request) {
                self.in_doubt.remove(&process);
            }
            return;
        }
        let sure = self.leases.get(&process);
        let sure = sure.map_or(0, |until| until.load(Ordering::Relaxed));
        if now >= Duration::from_nanos(sure) {
            self.violations.push(Violation {
                invariant: "fence",
                what: format!(
                    "worker {} writes to the list, and its lease may be over",
                    process.0
                ),
            });
        }
        let doubtful = self.in_doubt.get(&process);
        if doubtful.is_some_and(|known| known.contains(&fingerprint(request))) {
            self.violations.push(Violation {
                invariant: "I7",
                what: format!(
                    "worker {} repeats a write that may have taken effect without a look",
                    process.0
                ),
            });
        }
    }

    /// Nobody told the worker what became of a write.
    pub(crate) fn is_in_doubt(&mut self, process: ProcessId, write: [u8; 32]) {
        self.in_doubt.entry(process).or_default().insert(write);
    }

    pub(crate) fn take_violation(&mut self) -> Option<Violation> {
        self.violations.pop()
    }
}

/// What tells a write from every other one.
pub(crate) fn fingerprint(request: &Request) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(request.method.name().as_bytes());
    hasher.update(request.path_and_query.as_bytes());
    hasher.update(&request.body);
    hasher.finalize().into()
}

fn is_batch(request: &Request) -> bool {
    request.path_and_query.ends_with("/$batch")
}

/// Whether a request, or a part of it, writes to items.
pub(crate) fn writes_items(request: &Request) -> bool {
    if is_batch(request) {
        let body = String::from_utf8_lossy(&request.body);
        return ["\"POST\"", "\"PATCH\"", "\"DELETE\""]
            .iter()
            .any(|method| body.contains(method));
    }
    request.method != Method::Get && request.path_and_query.contains("/items")
}
