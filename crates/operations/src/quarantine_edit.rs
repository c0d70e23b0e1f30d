//! `quarantine edit`: correct a refused row in the source and have it tried again.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;
use syncbridge_domain::convert::to_target;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_meta_store::audit;
use syncbridge_meta_store::ledger::{QuarantineFilter, retry_quarantined};

use crate::Operations;
use crate::actor::Actor;
use crate::error::Result;
use crate::ports::RowEdit;
use crate::quarantine_explain::{CellProblem, RowNow, compare, problems, quarantined};

/// A column and its new text; `None` is NULL.
#[derive(Clone, PartialEq, Eq)]
pub struct CellChange {
    /// The column.
    pub column: String,
    /// As PostgreSQL would print it.
    pub text: Option<String>,
}

impl std::fmt::Debug for CellChange {
    // Cells never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CellChange(`{}`)", self.column)
    }
}

/// What a correction came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineEdited {
    /// The definition.
    pub definition: String,
    /// Columns that were changed.
    pub columns: Vec<String>,
    /// Other columns that still keep the row from going.
    pub remaining: Vec<CellProblem>,
}

impl Operations {
    /// Changes cells of a refused row in the source, if the row is still as it was refused and the list can
    /// hold the new values, and makes it due.
    ///
    /// # Errors
    /// A row that is not in quarantine, has changed since, or is gone; columns that do not travel or belong to
    /// the key; values that the list or the database does not take; a role that may not write. Nothing is
    /// changed then.
    pub async fn quarantine_edit(
        &self,
        actor: &Actor,
        name: &str,
        key: &[String],
        changes: &[CellChange],
    ) -> Result<QuarantineEdited> {
        let mut connection = self.store.acquire().await?;
        let addressed = self.addressed(&mut connection, name).await?;
        let entry = quarantined(&mut connection, &addressed, name, key).await?;
        drop(connection);
        let mapping = &addressed.mapping;
        let changed = placed(mapping, changes)?;
        let seen = match self.source_row(&addressed, &entry).await? {
            Presence::One(row) => row,
            Presence::Many(_) => {
                return Err(not_as_refused(name, "there are several rows with this key").into());
            }
            Presence::None | Presence::Unseen => {
                return Err(not_as_refused(name, "the row is gone from the table").into());
            }
        };
        if compare(&addressed, &entry, &seen) == RowNow::Changed {
            return Err(not_as_refused(name, "the row was changed since it was refused").into());
        }
        let accept = |row: &SourceRow| check(mapping, &changed, row);
        let edit = RowEdit {
            seen: &seen,
            changes: &changed,
            accept: &accept,
        };
        let now = self.adapters.edit_row(addressed.place(), edit).await?;
        let columns: Vec<String> = changes.iter().map(|change| change.column.clone()).collect();
        let mut tx = self.store.begin().await?;
        let filter = QuarantineFilter {
            identities: Some(vec![entry.quarantined.entry.identity]),
            ..QuarantineFilter::default()
        };
        retry_quarantined(&mut tx, addressed.id, &filter).await?;
        let entry = audit::NewEntry {
            actor: actor.name(),
            action: "quarantine_edit",
            object_kind: "SyncDefinition",
            object_id: &addressed.id.to_string(),
            object_name: name,
            detail: &json!({ "identity": entry.quarantined.entry.identity.to_string(), "columns": columns }),
        };
        audit::append(&mut tx, self.workspace, entry).await?;
        tx.commit().await.map_err(syncbridge_meta_store::Error::from)?;
        Ok(QuarantineEdited {
            definition: name.to_owned(),
            columns,
            remaining: problems(mapping, &now.cells),
        })
    }
}

/// The fields that change, each once.
fn placed(mapping: &Mapping, changes: &[CellChange]) -> Result<Vec<(usize, Cell)>> {
    let refused = |cause: String, fix: String| Failure::new(Scope::Row, "quarantine.edit_column", cause, fix);
    let mut seen = BTreeSet::new();
    let mut placed = Vec::with_capacity(changes.len());
    for change in changes {
        let column = &change.column;
        if mapping.key.iter().any(|key| key.name == *column) {
            return Err(refused(
                format!("column `{column}` is part of the key, and another key is another row"),
                "change the key in the source the way the application does".into(),
            )
            .into());
        }
        let Some(at) = mapping.fields.iter().position(|field| field.column == *column) else {
            let known: Vec<&str> = mapping.fields.iter().map(|field| field.column.as_str()).collect();
            return Err(refused(
                format!("column `{column}` does not travel with this definition"),
                format!("choose of {}", known.join(", ")),
            )
            .into());
        };
        if !seen.insert(at) {
            return Err(refused(format!("column `{column}` is set twice"), "set it once".into()).into());
        }
        placed.push((at, change.text.as_deref().map(Into::into)));
    }
    if placed.is_empty() {
        return Err(refused(
            "nothing is to be changed".into(),
            "say what with `--set COLUMN=TEXT` or `--null COLUMN`".into(),
        )
        .into());
    }
    Ok(placed)
}

/// Refuses a correction that the list would refuse again.
fn check(mapping: &Mapping, changed: &[(usize, Cell)], row: &SourceRow) -> std::result::Result<(), Failure> {
    for (at, _) in changed {
        let field = &mapping.fields[*at];
        if let Err(refusal) = to_target(field, mapping.time_zone, &row.cells[*at]) {
            return Err(Failure::new(
                Scope::Row,
                refusal.code(),
                format!("the list would refuse the new value too, nothing was changed: {refusal}"),
                refusal.fix(),
            )
            .column(&field.column));
        }
    }
    Ok(())
}

fn not_as_refused(name: &str, cause: &str) -> Failure {
    Failure::new(
        Scope::Row,
        "quarantine.moved_on",
        cause,
        format!(
            "nothing was changed; run the definition (`syncbridge run {name}`), it looks at the row anew"
        ),
    )
}
