//! `revert`: what a run did is worked out backwards and saved as a plan; nothing is written before somebody runs it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::{PlanId, RunId};
use syncbridge_domain::run::{Counters, Progress, RunKind, RunOptions};
use syncbridge_meta_store::ledger::{history_is_whole, run_wrote};
use syncbridge_meta_store::{Error as StoreError, definitions, runs};

use crate::Operations;
use crate::actor::Actor;
use crate::error::Result;
use crate::run::{KeyTexts, RunOrder, RunReport};

/// What is to be put back.
pub struct RevertOrder<'a> {
    /// Name of the definition.
    pub name: &'a str,
    /// The run.
    pub run: RunId,
    /// The plan that is to hold it.
    pub plan: PlanId,
    /// Who wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// Set by whoever wants it to stop.
    pub cancel: Arc<AtomicBool>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Reverted {
    /// That run wrote nothing.
    Nothing {
        /// The definition.
        definition: String,
        /// The run.
        reverts: RunId,
        /// No plan was made.
        plan: Option<PlanId>,
    },
    /// A plan was worked out.
    Planned(Box<RunReport>),
}

impl Operations {
    /// Works out what undoes a run, and saves it as a plan.
    ///
    /// # Errors
    /// `revert.unknown_run`, `revert.of_another`, `revert.unfinished`, `revert.history_gone`; what keeps a plan from being
    /// worked out. How working it out went is in the report.
    pub async fn revert(&self, actor: &Actor, order: RevertOrder<'_>) -> Result<Reverted> {
        let mut connection = self.store.acquire().await?;
        let definition = definitions::find(&mut connection, self.workspace, order.name)
            .await?
            .id;
        let run = match runs::get(&mut connection, order.run).await {
            Err(StoreError::NotFound { .. }) => return Err(unknown(order.name, order.run).into()),
            run => run?,
        };
        if run.workspace != self.workspace || run.definition != definition {
            return Err(of_another(order.name, order.run).into());
        }
        let counted = writes(&run.counters);
        let wrote = run_wrote(&mut connection, definition, order.run).await?;
        let nothing = || Reverted::Nothing {
            definition: order.name.to_owned(),
            reverts: order.run,
            plan: None,
        };
        if !wrote && counted == 0 || !run.kind.writes() {
            return Ok(nothing());
        }
        let Some(ended) = run.ended else {
            return Err(unfinished(order.name, order.run).into());
        };
        let began = run.started.unwrap_or(ended);
        let is_whole = history_is_whole(&mut connection, definition, order.run, began, counted).await?;
        drop(connection);
        if !is_whole {
            return Err(history_gone(order.name, order.run).into());
        }
        // It counted what it could not settle any more: the run that did settle it is the one that wrote it.
        if !wrote {
            return Ok(nothing());
        }
        let order = RunOrder {
            name: order.name,
            kind: RunKind::Plan,
            options: RunOptions {
                plan: Some(order.plan),
                revert: Some(order.run),
                ..RunOptions::default()
            },
            range: KeyTexts::default(),
            progress: order.progress,
            cancel: order.cancel,
        };
        Ok(Reverted::Planned(Box::new(self.run(actor, order).await?)))
    }
}

/// How many writes a run counted.
fn writes(counters: &Counters) -> u64 {
    counters.created
        + counters.patched
        + counters.deleted
        + counters.archived
        + counters.inserted_rows
        + counters.updated_rows
        + counters.deleted_rows
}

fn unknown(name: &str, run: RunId) -> Failure {
    Failure::new(
        Scope::List,
        "revert.unknown_run",
        format!("no run {run} is known"),
        format!("`syncbridge runs {name}` lists the runs of the definition with their ids"),
    )
}

fn of_another(name: &str, run: RunId) -> Failure {
    Failure::new(
        Scope::List,
        "revert.of_another",
        format!("{run} is not a run of definition `{name}`"),
        format!("name the definition that it was a run of, or a run of this one: `syncbridge runs {name}`"),
    )
}

fn unfinished(name: &str, run: RunId) -> Failure {
    Failure::new(
        Scope::List,
        "revert.unfinished",
        format!("{run} has not ended"),
        format!("wait for its end; one that was killed is ended by the next run: `syncbridge run {name}`"),
    )
}

fn history_gone(name: &str, run: RunId) -> Failure {
    Failure::new(
        Scope::List,
        "revert.history_gone",
        format!("the history of {run}, or a part of it, was let go: nobody knows any more all that it wrote"),
        format!(
            "correct the rows by hand; a longer `history.retention` of definition `{name}` keeps more from now on"
        ),
    )
}
