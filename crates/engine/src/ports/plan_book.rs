//! Saved plans, as a port beside the memory: what a rehearsed run would write goes in, and what a run may write comes
//! out.

pub use futures_util::future::BoxFuture;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::PlanId;
use syncbridge_domain::plan_remark::ForeignEdit;
use syncbridge_domain::saved_plan::{ChangeState, PlannedChange};

use super::PortResult;

/// How many planned changes were made and how many were not, once a plan was run to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Concluded {
    /// Made.
    pub applied: u64,
    /// Not made, because what they rest on had changed.
    pub outdated: u64,
    /// Refused by the other side.
    pub refused: u64,
}

/// Saved plans of one definition.
pub trait PlanBook: Send + Sync {
    /// How many changes a plan that is being worked out holds for each of these identities; others are left out.
    fn counts<'a>(
        &'a self,
        plan: PlanId,
        ids: &'a [Identity],
    ) -> BoxFuture<'a, PortResult<Vec<(Identity, u64)>>>;
    /// Adds changes to it.
    fn keep<'a>(&'a self, plan: PlanId, changes: &'a [PlannedChange]) -> BoxFuture<'a, PortResult<()>>;
    /// Notes edits on the side that does not own their fields.
    fn note_foreign<'a>(&'a self, plan: PlanId, edits: &'a [ForeignEdit]) -> BoxFuture<'a, PortResult<()>>;
    /// What a plan holds for these identities, and what became of it, in no order.
    fn planned<'a>(
        &'a self,
        plan: PlanId,
        ids: &'a [Identity],
    ) -> BoxFuture<'a, PortResult<Vec<(PlannedChange, ChangeState)>>>;
    /// Says what became of every change of a plan that was run to its end, by what was written under it, and closes it.
    fn conclude(&self, fence: Fence, plan: PlanId) -> BoxFuture<'_, PortResult<Concluded>>;
}
