//! What the history holds of a run, as a port beside the memory: by it a run is put back.

pub use futures_util::future::BoxFuture;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::RunId;
use syncbridge_domain::revert::{PastWrite, Written};

use super::PortResult;

/// The history of one definition's writes, with values where they were kept.
pub trait Past: Send + Sync {
    /// What a run wrote, in the order of identities, behind `after`: about `limit` writes, or fewer where their values
    /// are large, and all of each identity.
    fn written(
        &self,
        run: RunId,
        after: Option<Identity>,
        limit: u32,
    ) -> BoxFuture<'_, PortResult<Vec<Written>>>;
    /// Writes of an identity before this entry of its history that kept values, newest first, at most `limit`,
    /// or fewer where their values are large.
    fn earlier(
        &self,
        identity: Identity,
        before: u64,
        limit: u32,
    ) -> BoxFuture<'_, PortResult<Vec<PastWrite>>>;
}
