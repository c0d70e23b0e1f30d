//! `conflicts list`: fields that both sides changed, without their values.

use chrono::{DateTime, Utc};
use serde::Serialize;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::ConflictId;
use syncbridge_meta_store::ledger::{
    ConflictEntry, ConflictFilter, ConflictStatus, find_conflicts, list_conflicts,
};

use crate::Operations;
use crate::definition;
use crate::error::Result;

/// Which conflicts are wanted; every part that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictsWanted {
    /// Standing here.
    pub status: Option<ConflictStatus>,
    /// Of this column.
    pub column: Option<String>,
    /// Behind this one: the last of the page before.
    pub after: Option<ConflictId>,
    /// At most so many; 500 is the most.
    pub limit: u32,
}

/// A conflict as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConflictView {
    /// Its id. A conflict about other values is another one.
    pub id: ConflictId,
    /// The definition.
    pub definition: String,
    /// Identity of the row, in hexadecimal.
    pub identity: String,
    /// Values of the key columns, where the row is known.
    pub key: Vec<String>,
    /// Column of the table.
    pub column: String,
    /// `open`, `resolved`, or `overridden` where the policy decided.
    pub status: &'static str,
    /// Why nobody won: `policy`, `would_lose`, `ambiguous`, `ping_pong`. On an overridden edit `ambiguous` says that who
    /// was first cannot be told any more; else it is absent there.
    pub reason: Option<&'static str>,
    /// Whose value stands, or is to stand: `source` or `target`.
    pub winner: Option<&'static str>,
    /// Who decided that; absent where the policy did, or nobody.
    pub decided: Option<ByWhom>,
    /// When it was settled: the decision was carried out, or both sides were found to agree again.
    pub closed: Option<DateTime<Utc>>,
    /// Who edited the list's side last, where the list told.
    pub list_edited_by: Option<String>,
    /// When the list's side was edited last, where the list told.
    pub list_edited_at: Option<DateTime<Utc>>,
    /// The run that noticed it.
    pub run: String,
    /// When it was noticed.
    pub noticed: DateTime<Utc>,
}

/// Who did something, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ByWhom {
    /// Who.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Operations {
    /// Conflicts of a definition, newest first, at most 500.
    ///
    /// # Errors
    /// An unknown definition; `conflict.not_there` for a page behind a conflict that is no longer there.
    pub async fn conflict_list(&self, name: &str, wanted: &ConflictsWanted) -> Result<Vec<ConflictView>> {
        let mut connection = self.store.acquire().await?;
        let id = definition::id(&mut connection, self.workspace, name).await?;
        let after = match wanted.after {
            None => None,
            Some(after) => {
                let found = find_conflicts(&mut connection, self.workspace, &[after]).await?;
                let of_this = found.into_iter().find(|found| found.definition == id);
                Some(of_this.ok_or_else(|| not_there(after, Some(name)))?.entry.place())
            }
        };
        let filter = ConflictFilter {
            column: wanted.column.clone(),
            status: wanted.status,
            ..ConflictFilter::default()
        };
        let entries = list_conflicts(&mut connection, id, &filter, after, wanted.limit).await?;
        Ok(entries
            .into_iter()
            .map(|entry| ConflictView::of(name.to_owned(), entry))
            .collect())
    }
}

impl ConflictView {
    pub(crate) fn of(definition: String, entry: ConflictEntry) -> Self {
        let key = entry.key.as_ref().and_then(|key| key.texts().ok());
        Self {
            id: entry.id,
            definition,
            identity: entry.identity.to_string(),
            key: key.unwrap_or_default().into_iter().map(str::to_owned).collect(),
            column: entry.column,
            status: entry.status.name(),
            reason: entry.reason.map(syncbridge_domain::conflict::ParkReason::name),
            winner: entry.winner.map(syncbridge_domain::conflict::Side::name),
            decided: entry.decided.map(|decided| ByWhom {
                by: decided.by,
                at: decided.at,
            }),
            closed: entry.closed,
            list_edited_by: entry.target_by,
            list_edited_at: entry.target_at,
            run: entry.run.to_string(),
            noticed: entry.noticed,
        }
    }
}

/// What to say of an id that names no conflict.
pub(crate) fn not_there(id: ConflictId, definition: Option<&str>) -> Failure {
    Failure::new(
        Scope::Row,
        "conflict.not_there",
        format!("there is no conflict {id} (any more): once its values move on it is another one"),
        format!(
            "`syncbridge conflicts list {}` shows those that there are",
            definition.unwrap_or("NAME")
        ),
    )
}
