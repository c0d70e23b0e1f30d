//! `quarantine list`: rows that cannot be applied now, with column, cause, fix and next attempt; and the same by
//! cause.

use chrono::{DateTime, Utc};
use serde::Serialize;
use syncbridge_domain::dirty::WaitsFor;
use syncbridge_meta_store::ledger::{
    QuarantineEntry, QuarantineFilter, list_quarantine, summarize_quarantine,
};

use crate::Operations;
use crate::definition;
use crate::error::Result;

/// Which rows of the quarantine are meant; every part that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineChoice {
    /// Values of the key columns of one row, as PostgreSQL prints them.
    pub key: Option<Vec<String>>,
    /// Refused with this code.
    pub code: Option<String>,
    /// Refused for this column.
    pub column: Option<String>,
    /// Waiting for this.
    pub waits_for: Option<WaitsFor>,
}

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
    /// `retry`, `person`, or `nothing` where a person accepted it.
    pub waits_for: WaitsFor,
    /// When it is tried again; absent: it needs a person, or a person accepted it.
    pub retry_at: Option<DateTime<Utc>>,
    /// Who accepted it as it is.
    pub ignored: Option<IgnoredView>,
    /// When it was first refused.
    pub since: DateTime<Utc>,
    /// When it was last refused.
    pub last_seen: DateTime<Utc>,
    /// By which run.
    pub run: String,
}

/// Who accepted a refused row as it is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IgnoredView {
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: String,
    /// In their words.
    pub reason: String,
}

/// Refused rows with one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineCause {
    /// Stable code.
    pub code: String,
    /// Column at fault, where it is known.
    pub column: Option<String>,
    /// What to do.
    pub fix: String,
    /// Rows that are tried again by themselves.
    pub retry: u64,
    /// Rows that need a person.
    pub person: u64,
    /// Rows a person accepted.
    pub ignored: u64,
    /// When the first of them was refused.
    pub oldest: DateTime<Utc>,
}

impl Operations {
    /// Rows of a definition in quarantine, at most 500.
    ///
    /// # Errors
    /// An unknown definition, a key that is none of its table.
    pub async fn quarantine_list(
        &self,
        name: &str,
        choice: &QuarantineChoice,
        limit: u32,
    ) -> Result<Vec<QuarantineView>> {
        let mut connection = self.store.acquire().await?;
        let id = definition::id(&mut connection, self.workspace, name).await?;
        let filter = self.quarantine_filter(&mut connection, name, choice).await?;
        let rows = list_quarantine(&mut connection, id, &filter, None, limit).await?;
        Ok(rows.into_iter().map(QuarantineView::from).collect())
    }

    /// The quarantine of a definition by cause, the most frequent first.
    ///
    /// # Errors
    /// An unknown definition.
    pub async fn quarantine_causes(&self, name: &str) -> Result<Vec<QuarantineCause>> {
        let mut connection = self.store.acquire().await?;
        let id = definition::id(&mut connection, self.workspace, name).await?;
        let groups = summarize_quarantine(&mut connection, id).await?;
        Ok(groups
            .into_iter()
            .map(|group| QuarantineCause {
                code: group.code,
                column: group.column,
                fix: group.fix,
                retry: group.retry,
                person: group.person,
                ignored: group.ignored,
                oldest: group.oldest,
            })
            .collect())
    }

    pub(crate) async fn quarantine_filter(
        &self,
        connection: &mut syncbridge_meta_store::PgConnection,
        name: &str,
        choice: &QuarantineChoice,
    ) -> Result<QuarantineFilter> {
        let identities = match &choice.key {
            None => None,
            Some(given) => {
                let addressed = self.addressed(connection, name).await?;
                Some(vec![addressed.identity(&addressed.key(given)?)])
            }
        };
        Ok(QuarantineFilter {
            identities,
            code: choice.code.clone(),
            column: choice.column.clone(),
            waits_for: choice.waits_for,
        })
    }
}

impl From<QuarantineEntry> for QuarantineView {
    fn from(row: QuarantineEntry) -> Self {
        let refused = row.quarantined;
        let waits_for = refused.waits_for();
        let failure = refused.entry.failure;
        let key = refused.entry.key.texts().unwrap_or_default();
        Self {
            identity: refused.entry.identity.to_string(),
            key: key.into_iter().map(str::to_owned).collect(),
            code: failure.code,
            column: failure.column,
            cause: failure.cause,
            fix: failure.fix,
            request_id: failure.request_id,
            attempts: refused.attempts,
            waits_for,
            retry_at: refused.retry_at,
            ignored: refused.ignored.map(|ignored| IgnoredView {
                at: ignored.at,
                by: ignored.by,
                reason: ignored.reason,
            }),
            since: refused.since,
            last_seen: row.last_seen,
            run: row.run.to_string(),
        }
    }
}
