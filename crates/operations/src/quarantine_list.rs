//! `quarantine list`: rows that cannot be applied now, with column, cause, fix and next attempt.

use serde::Serialize;
use syncbridge_meta_store::ledger::list_quarantine;

use crate::Operations;
use crate::definition;
use crate::error::Result;

/// A row in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineView {
    /// Identity, in hexadecimal.
    pub identity: String,
    /// Values of the key columns.
    pub key: Vec<String>,
    /// Stable code.
    pub code: String,
    /// Column at fault, where it is known.
    pub column: Option<String>,
    /// What happened.
    pub cause: String,
    /// What to do.
    pub fix: String,
    /// Graph's `request-id`.
    pub request_id: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again; absent: it needs a person.
    pub retry_at: Option<chrono::DateTime<chrono::Utc>>,
    /// When it was first refused.
    pub since: chrono::DateTime<chrono::Utc>,
}

impl Operations {
    /// Rows of a definition in quarantine.
    ///
    /// # Errors
    /// An unknown definition.
    pub async fn quarantine_list(&self, name: &str, limit: u32) -> Result<Vec<QuarantineView>> {
        let mut connection = self.store.acquire().await?;
        let id = definition::id(&mut connection, self.workspace, name).await?;
        let rows = list_quarantine(&mut connection, id, None, limit).await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let refused = row.quarantined;
                let failure = refused.entry.failure;
                let key = refused
                    .entry
                    .key
                    .texts()
                    .unwrap_or_default()
                    .into_iter()
                    .map(str::to_owned)
                    .collect();
                QuarantineView {
                    identity: refused.entry.identity.to_string(),
                    key,
                    code: failure.code,
                    column: failure.column,
                    cause: failure.cause,
                    fix: failure.fix,
                    request_id: failure.request_id,
                    attempts: refused.attempts,
                    retry_at: refused.retry_at,
                    since: refused.since,
                }
            })
            .collect())
    }
}
