//! `plans list`: the saved plans of a definition, the newest first.

use chrono::{DateTime, Utc};
use serde::Serialize;
use syncbridge_domain::ids::{PlanId, RunId};
use syncbridge_domain::saved_plan::{PlanCounts, PlanHeader};
use syncbridge_meta_store::ledger::list_plans;

use crate::Operations;
use crate::error::Result;
use crate::plan_run::stands_in_the_way;
use crate::shelf::Shelf;
use syncbridge_meta_store::definitions;

/// A plan as it is shown; holds no values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanView {
    /// Its id.
    pub plan: PlanId,
    /// Its definition.
    pub definition: String,
    /// Where it stands.
    pub state: &'static str,
    /// By what it is known, in hexadecimal digits; absent while it is being worked out.
    pub hash: Option<String>,
    /// What it holds.
    pub counts: PlanCounts,
    /// Resource units that running it will cost.
    pub ru: Option<u64>,
    /// Who asked for it.
    pub requested_by: String,
    /// The run that worked it out.
    pub run: RunId,
    /// When.
    pub created: DateTime<Utc>,
    /// Until when it may be approved and run.
    pub expires: Option<DateTime<Utc>>,
    /// What stands in the way of running it now.
    pub not_yet: Option<String>,
}

impl PlanView {
    pub(crate) fn of(definition: &str, header: &PlanHeader, four_eyes: bool) -> Self {
        let hex = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            plan: header.id,
            definition: definition.to_owned(),
            state: header.state.name(),
            hash: header.hash.as_ref().map(|hash| hex(&hash.0)),
            counts: header.counts,
            ru: header.predicted_ru.map(|ru| ru.0),
            requested_by: header.requested_by.clone(),
            run: header.run,
            created: header.created,
            expires: header.expires,
            not_yet: stands_in_the_way(header, four_eyes).map(|refusal| refusal.to_string()),
        }
    }
}

impl Operations {
    /// Plans of a definition, the newest first; behind `after` where that is given.
    ///
    /// # Errors
    /// An unknown definition.
    pub async fn plans(&self, name: &str, after: Option<PlanId>, limit: u32) -> Result<Vec<PlanView>> {
        let mut connection = self.store.acquire().await?;
        let shelf = Shelf::load(&mut connection, self.workspace).await?;
        let four_eyes = shelf.definition(name)?.four_eyes;
        let stored = definitions::find(&mut connection, self.workspace, name).await?;
        let found = list_plans(&mut connection, stored.id, after, limit).await?;
        Ok(found
            .iter()
            .map(|header| PlanView::of(name, header, four_eyes))
            .collect())
    }
}
