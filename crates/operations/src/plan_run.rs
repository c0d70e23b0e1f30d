//! `plan` and `run --plan`: what may be worked out, and which plan may run.

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::PlanId;
use syncbridge_domain::run::{RunOptions, RunSpec};
use syncbridge_domain::saved_plan::{PlanHeader, PlanRefusal, PlanState, PlanVerdict};
use syncbridge_meta_store::ledger::{NewPlan, approvals, plan, plan_was_begun, runnable_plan};
use syncbridge_meta_store::{DefinitionStore, PgConnection, runs};
use syncbridge_secrets::DataKey;
use uuid::Uuid;

use crate::Operations;
use crate::actor::Actor;
use crate::error::Result;
use crate::run::{Prepared, RunOrder};

impl Operations {
    /// An id for a plan that is to be worked out.
    #[must_use]
    pub fn new_plan() -> PlanId {
        PlanId::from_uuid(Uuid::now_v7())
    }

    /// Begins the plan that a run works out, where one is to be saved.
    pub(crate) async fn begin_plan(
        &self,
        actor: &Actor,
        spec: &RunSpec,
        prepared: &Prepared,
        data_key: &DataKey,
    ) -> Result<()> {
        let Some(plan) = spec.options.plan else {
            return Ok(());
        };
        let memory = DefinitionStore::new(
            self.store.clone(),
            spec.workspace,
            spec.definition,
            spec.target.list.clone(),
            data_key.clone(),
        );
        let new = NewPlan {
            id: plan,
            revision: prepared.revision,
            run: spec.run,
            requested_by: actor.name(),
        };
        Ok(memory.begin_plan(new).await?)
    }

    /// What a run that writes may be told: with a plan what the plan was worked out with, and without one nothing that
    /// goes past a guard where the definition asks for two people.
    ///
    /// # Errors
    /// `plan.…` where the plan may not run, or does not fit the definition any more; `plan.four_eyes_asked`.
    pub(crate) async fn allowed_options(
        &self,
        connection: &mut PgConnection,
        prepared: &Prepared,
        order: &RunOrder<'_>,
    ) -> Result<RunOptions> {
        let asked = order.options;
        let Some(id) = asked.plan else {
            let past_a_guard = asked.allow_deletes.is_some() || asked.approve_unagreed;
            return match past_a_guard && prepared.spec.four_eyes {
                true => Err(four_eyes_asked(order.name, asked.retire.is_some()).into()),
                // What is put back is looked at first: only a plan can ask for it.
                false => Ok(RunOptions {
                    revert: None,
                    ..asked
                }),
            };
        };
        self.refuse_unrunnable(connection, prepared, id).await?;
        let header = plan(connection, self.workspace, id).await?;
        let planned = runs::spec(connection, header.run).await?;
        // A run over a source that went back begins a generation, and one that was killed after that is begun again.
        let same_life = header.generation == prepared.generation
            || planned.options.approve_unagreed && plan_was_begun(connection, prepared.id, id).await?;
        let fits = header.revision == prepared.revision
            && same_life
            && planned.mapping.layout() == prepared.mapping.layout();
        if !fits {
            return Err(other_definition(id, order.name).into());
        }
        let said = approvals(connection, id).await?;
        Ok(RunOptions {
            plan: Some(id),
            plan_approved: said
                .iter()
                .any(|one| one.approval.decision == PlanVerdict::Approved),
            ..planned.options
        })
    }

    async fn refuse_unrunnable(
        &self,
        connection: &mut PgConnection,
        prepared: &Prepared,
        id: PlanId,
    ) -> Result<()> {
        let header = plan(connection, self.workspace, id).await?;
        if header.definition != prepared.id {
            return Err(of_another(id).into());
        }
        // One that was begun in time is ended, however late.
        if header.state == PlanState::Expired && plan_was_begun(connection, prepared.id, id).await? {
            return Ok(());
        }
        let needs_approval = needs_approval(&header, prepared.spec.four_eyes);
        runnable_plan(connection, prepared.id, id, needs_approval).await?;
        Ok(())
    }
}

/// Whether somebody has to approve a plan before it runs: the definition asks for it, or a guard does.
pub(crate) fn needs_approval(header: &PlanHeader, four_eyes: bool) -> bool {
    four_eyes || header.counts.beyond_guard
}

/// What stands in the way of a plan that is to run now, in one word; `None` where nothing does.
pub(crate) fn stands_in_the_way(header: &PlanHeader, four_eyes: bool) -> Option<PlanRefusal> {
    header.may_run(needs_approval(header, four_eyes)).err()
}

fn of_another(id: PlanId) -> Failure {
    Failure::new(
        Scope::List,
        "plan.of_another",
        format!("plan {id} is of another definition"),
        "name the definition that the plan was made for: `syncbridge plans show` tells",
    )
}

fn other_definition(id: PlanId, name: &str) -> Failure {
    Failure::new(
        Scope::List,
        "plan.other_definition",
        format!("definition `{name}`, its columns or its list changed since plan {id} was made"),
        format!("make a new one: `syncbridge plan {name}`"),
    )
}

fn four_eyes_asked(name: &str, retires: bool) -> Failure {
    let instead = match retires {
        // A farewell is no run that could be planned.
        true => format!(
            "delete fewer items than the guard lets pass, or take `fourEyes` out of definition `{name}` first: the audit \
             trail tells who did"
        ),
        false => format!(
            "make a plan: `syncbridge plan {name}` (with `--approve` where that was asked for), have somebody else approve \
             it: `syncbridge plans approve ID`, and run it: `syncbridge run {name} --plan ID`"
        ),
    };
    Failure::new(
        Scope::List,
        "plan.four_eyes_asked",
        format!("definition `{name}` asks for two people before a guard is passed (`fourEyes`)"),
        instead,
    )
}
