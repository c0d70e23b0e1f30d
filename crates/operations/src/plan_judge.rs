//! `plans approve` and `plans discard`: somebody's word on a plan.

use serde_json::json;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::PlanId;
use syncbridge_domain::saved_plan::{Approval, PlanVerdict};
use syncbridge_meta_store::ledger::{judge_plan, plan};
use syncbridge_meta_store::{audit, definitions};

use crate::Operations;
use crate::actor::Actor;
use crate::error::Result;
use crate::plan_list::PlanView;
use crate::shelf::Shelf;

/// Longest remark, in characters.
const REMARK: usize = 2_000;

impl Operations {
    /// Records somebody's word on a plan: approved, it may run; rejected, it never will. Asking for a plan and
    /// approving it are in the audit trail, each with its person.
    ///
    /// # Errors
    /// An unknown plan; `plan.expired`, `plan.state`; `plan.four_eyes` where the definition asks for two people and
    /// this is the one who asked for the plan. Nothing is recorded then.
    pub async fn plan_judge(
        &self,
        actor: &Actor,
        id: PlanId,
        verdict: PlanVerdict,
        remark: Option<&str>,
    ) -> Result<PlanView> {
        if remark.is_some_and(|remark| remark.chars().count() > REMARK) {
            return Err(long_remark().into());
        }
        let mut tx = self.store.begin().await?;
        let header = plan(&mut tx, self.workspace, id).await?;
        let stored = definitions::get(&mut tx, header.definition).await?;
        let shelf = Shelf::load(&mut tx, self.workspace).await?;
        let four_eyes = shelf.definition(&stored.name)?.four_eyes;
        let approval = Approval {
            actor: actor.name().to_owned(),
            decision: verdict,
            remark: remark.map(|remark| remark.replace('\0', "\u{fffd}")),
        };
        let judged = judge_plan(&mut tx, id, &approval, four_eyes).await?;
        let view = PlanView::of(&stored.name, &judged, four_eyes);
        let entry = audit::NewEntry {
            actor: actor.name(),
            action: match verdict {
                PlanVerdict::Approved => "plan_approve",
                PlanVerdict::Rejected => "plan_discard",
            },
            object_kind: "SyncDefinition",
            object_id: &stored.id.to_string(),
            object_name: &stored.name,
            detail: &json!({ "plan": id, "hash": view.hash, "requestedBy": judged.requested_by }),
        };
        audit::append(&mut tx, self.workspace, entry).await?;
        tx.commit().await.map_err(syncbridge_meta_store::Error::from)?;
        Ok(view)
    }
}

fn long_remark() -> Failure {
    Failure::new(
        Scope::List,
        "plan.remark_too_long",
        format!("the remark has more than {REMARK} characters"),
        "say it in fewer",
    )
}
