//! The engine's plan book over the meta-store, and what the history holds of the run that a plan puts back.

use syncbridge_domain::effect::Fence;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{PlanId, RunId};
use syncbridge_domain::plan_remark::ForeignEdit;
use syncbridge_domain::revert::{PastWrite, Written};
use syncbridge_domain::saved_plan::{ChangeState, PlannedChange};
use syncbridge_engine::ports::PortResult;
use syncbridge_engine::ports::past::Past;
use syncbridge_engine::ports::plan_book::{BoxFuture, Concluded, PlanBook};
use syncbridge_meta_store::DefinitionStore;

/// Saved plans of one definition.
pub(crate) struct StoredPlans(pub(crate) DefinitionStore);

impl PlanBook for StoredPlans {
    fn counts<'a>(
        &'a self,
        plan: PlanId,
        ids: &'a [Identity],
    ) -> BoxFuture<'a, PortResult<Vec<(Identity, u64)>>> {
        Box::pin(async move { Ok(self.0.planned_counts(plan, ids).await?) })
    }

    fn keep<'a>(&'a self, plan: PlanId, changes: &'a [PlannedChange]) -> BoxFuture<'a, PortResult<()>> {
        Box::pin(async move { Ok(self.0.add_planned(plan, changes).await?) })
    }

    fn note_foreign<'a>(&'a self, plan: PlanId, edits: &'a [ForeignEdit]) -> BoxFuture<'a, PortResult<()>> {
        Box::pin(async move { Ok(self.0.note_foreign(plan, edits).await?) })
    }

    fn planned<'a>(
        &'a self,
        plan: PlanId,
        ids: &'a [Identity],
    ) -> BoxFuture<'a, PortResult<Vec<(PlannedChange, ChangeState)>>> {
        Box::pin(async move {
            let planned = self.0.planned_of(plan, ids).await?;
            Ok(planned.into_iter().map(|one| (one.change, one.state)).collect())
        })
    }

    fn conclude(&self, fence: Fence, plan: PlanId) -> BoxFuture<'_, PortResult<Concluded>> {
        Box::pin(async move {
            let tally = self.0.conclude_plan(fence, plan).await?;
            self.0.finish_plan(fence, plan).await.map_err(Failure::from)?;
            Ok(Concluded {
                applied: tally.applied,
                outdated: tally.outdated,
                refused: tally.refused,
            })
        })
    }
}

impl Past for StoredPlans {
    fn written(
        &self,
        run: RunId,
        after: Option<Identity>,
        limit: u32,
    ) -> BoxFuture<'_, PortResult<Vec<Written>>> {
        Box::pin(async move { Ok(self.0.written_by(run, after, limit).await?) })
    }

    fn earlier(
        &self,
        identity: Identity,
        before: u64,
        limit: u32,
    ) -> BoxFuture<'_, PortResult<Vec<PastWrite>>> {
        Box::pin(async move { Ok(self.0.earlier_writes(identity, before, limit).await?) })
    }
}
