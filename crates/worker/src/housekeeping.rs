//! What a run that holds the lease clears away at its end.

use std::time::Duration;

use syncbridge_domain::effect::Fence;
use syncbridge_domain::run::RunSpec;
use syncbridge_meta_store::DefinitionStore;

/// Entries in one transaction: few enough that nobody waits for it.
const BATCH: u32 = 2_000;
/// Batches after one run; what is left goes after the next.
const BATCHES: u32 = 25;

/// Lets entries of the history go that are older than the definition keeps them. The run is what it is whether this
/// works or not, so that a failure is only told to the log.
pub(crate) async fn forget_history(memory: &DefinitionStore, fence: Fence, spec: &RunSpec) {
    let Some(retention) = spec.history.retention.map(Duration::from_secs) else {
        return;
    };
    let mut gone = 0;
    for _ in 0..BATCHES {
        match memory.forget_history(fence, retention, BATCH).await {
            Ok(went) => {
                gone += went;
                if went < u64::from(BATCH) {
                    break;
                }
            }
            Err(error) => {
                tracing::warn!(run = %spec.run, error.code = error.code(), "old history could not be cleared away");
                break;
            }
        }
    }
    if gone > 0 {
        tracing::info!(run = %spec.run, history.gone = gone, "old history was cleared away");
    }
}
