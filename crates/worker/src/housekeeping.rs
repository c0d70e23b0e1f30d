//! What a run that holds the lease clears away at its end.

use std::time::Duration;

use syncbridge_domain::effect::Fence;
use syncbridge_domain::run::RunSpec;
use syncbridge_meta_store::{DefinitionStore, Error};

/// Entries in one transaction: few enough that nobody waits for it.
const BATCH: u32 = 2_000;
/// Batches after one run; what is left goes after the next.
const BATCHES: u32 = 25;

/// What is kept for a while.
#[derive(Clone, Copy, Debug)]
enum Kept {
    History,
    /// Plans that are over.
    Plans,
}

/// Lets entries of the history go that are older than the definition keeps them, and plans of that time that are over.
/// The run is what it is whether this works or not, so that a failure is only told to the log.
pub(crate) async fn clear_away(memory: &DefinitionStore, fence: Fence, spec: &RunSpec) {
    let Some(retention) = spec.history.retention.map(Duration::from_secs) else {
        return;
    };
    for what in [Kept::History, Kept::Plans] {
        match forget(memory, fence, what, retention).await {
            Ok(0) => {}
            Ok(gone) => {
                tracing::info!(run = %spec.run, ?what, gone, "what is past its time was cleared away");
            }
            Err(error) => {
                let code = error.code();
                tracing::warn!(run = %spec.run, ?what, error.code = code, "what is past its time could not be cleared away");
            }
        }
    }
}

async fn forget(
    memory: &DefinitionStore,
    fence: Fence,
    what: Kept,
    retention: Duration,
) -> Result<u64, Error> {
    let mut gone = 0;
    for _ in 0..BATCHES {
        let went = match what {
            Kept::History => memory.forget_history(fence, retention, BATCH).await?,
            Kept::Plans => memory.forget_plans(fence, retention, BATCH).await?,
        };
        gone += went;
        if went < u64::from(BATCH) {
            break;
        }
    }
    Ok(gone)
}
