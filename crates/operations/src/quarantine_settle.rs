//! `quarantine retry` and `quarantine ignore`: what a person decides about refused rows.

use serde::Serialize;
use serde_json::json;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_meta_store::audit;
use syncbridge_meta_store::ledger::{ignore_quarantined, retry_quarantined};

use crate::Operations;
use crate::actor::Actor;
use crate::definition;
use crate::error::Result;
use crate::quarantine_list::QuarantineChoice;

/// Longest reason, in characters.
const REASON_MAX: usize = 1_000;

/// How many rows a decision was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineSettled {
    /// The definition.
    pub definition: String,
    /// Rows.
    pub rows: u64,
}

impl Operations {
    /// Makes refused rows due now: the next run tries them, and their schedule begins anew. Rows that were
    /// accepted as they are become ordinary entries again.
    ///
    /// # Errors
    /// An unknown definition, a key that is none of its table.
    pub async fn quarantine_retry(
        &self,
        actor: &Actor,
        name: &str,
        choice: &QuarantineChoice,
    ) -> Result<QuarantineSettled> {
        self.settle_quarantine(actor, name, choice, None).await
    }

    /// Accepts refused rows as they are: they count as settled and are not tried again until they change.
    ///
    /// # Errors
    /// As [`Operations::quarantine_retry`]; a missing or overlong reason.
    pub async fn quarantine_ignore(
        &self,
        actor: &Actor,
        name: &str,
        choice: &QuarantineChoice,
        reason: &str,
    ) -> Result<QuarantineSettled> {
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_MAX || reason.contains('\0') {
            return Err(Failure::new(
                Scope::Row,
                "quarantine.reason",
                format!("a reason has 1 to {REASON_MAX} characters"),
                "say in a sentence why these rows need not travel; it is shown to whoever looks next",
            )
            .into());
        }
        self.settle_quarantine(actor, name, choice, Some(reason)).await
    }

    async fn settle_quarantine(
        &self,
        actor: &Actor,
        name: &str,
        choice: &QuarantineChoice,
        ignore_because: Option<&str>,
    ) -> Result<QuarantineSettled> {
        let mut tx = self.store.begin().await?;
        let id = definition::id(&mut tx, self.workspace, name).await?;
        let filter = self.quarantine_filter(&mut tx, name, choice).await?;
        let rows = match ignore_because {
            None => retry_quarantined(&mut tx, id, &filter).await?,
            Some(reason) => ignore_quarantined(&mut tx, id, &filter, actor.name(), reason).await?,
        };
        let entry = audit::NewEntry {
            actor: actor.name(),
            action: if ignore_because.is_some() {
                "quarantine_ignore"
            } else {
                "quarantine_retry"
            },
            object_kind: "SyncDefinition",
            object_id: &id.to_string(),
            object_name: name,
            detail: &json!({
                "rows": rows,
                "code": choice.code,
                "column": choice.column,
                "oneRow": choice.key.is_some(),
                "reason": ignore_because,
            }),
        };
        audit::append(&mut tx, self.workspace, entry).await?;
        tx.commit().await.map_err(syncbridge_meta_store::Error::from)?;
        Ok(QuarantineSettled {
            definition: name.to_owned(),
            rows,
        })
    }
}
