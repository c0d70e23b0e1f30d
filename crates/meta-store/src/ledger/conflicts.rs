//! Edits that lost against the other side, with both values sealed.

use serde_json::Value as Json;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::RunId;

use super::{BATCH, DefinitionStore, bytes};
use crate::error::Result;

/// An edit in the list that lost against the source.
#[derive(Clone, PartialEq)]
pub struct OverriddenEdit {
    /// Whose.
    pub identity: Identity,
    /// Source column.
    pub column: String,
    /// What the source holds (canonical JSON), sealed before it is stored.
    pub source: Json,
    /// What the list held, sealed before it is stored.
    pub target: Json,
}

impl std::fmt::Debug for OverriddenEdit {
    // Values stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OverriddenEdit({} `{}`)", self.identity, self.column)
    }
}

impl DefinitionStore {
    /// Records overridden edits.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`].
    pub async fn record_conflicts(
        &self,
        fence: Fence,
        run: RunId,
        conflicts: &[OverriddenEdit],
    ) -> Result<()> {
        self.timed(async {
            if conflicts.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            for batch in conflicts.chunks(BATCH) {
                let sealed = |column: &'static str, value: fn(&OverriddenEdit) -> &Json| {
                    batch
                        .iter()
                        .map(|edit| {
                            let place = self.place(column, edit.identity).with(&edit.column);
                            self.seal(&place, value(edit))
                        })
                        .collect::<Result<Vec<_>>>()
                };
                sqlx::query(
                    "INSERT INTO conflicts (workspace_id, definition_id, run_id, kind, identity, column_name,
                                            sealed_source, sealed_target)
                     SELECT $1, $2, $3, 'overridden', c.*
                     FROM unnest($4::bytea[], $5::text[], $6::bytea[], $7::bytea[]) AS c",
                )
                .bind(self.workspace.uuid())
                .bind(self.definition.uuid())
                .bind(run.uuid())
                .bind(bytes(batch.iter().map(|edit| &edit.identity)))
                .bind(batch.iter().map(|edit| edit.column.as_str()).collect::<Vec<_>>())
                .bind(sealed("conflicts.sealed_source", |edit| &edit.source)?)
                .bind(sealed("conflicts.sealed_target", |edit| &edit.target)?)
                .execute(&mut *tx)
                .await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Overridden edits of an identity, newest first, values opened. For endpoints that may show values.
    ///
    /// # Errors
    /// [`crate::Error::Open`] for a value that does not open.
    pub async fn conflicts(&self, identity: Identity, limit: u32) -> Result<Vec<OverriddenEdit>> {
        self.timed(async {
            let rows: Vec<(String, Vec<u8>, Vec<u8>)> = sqlx::query_as(
                "SELECT column_name, sealed_source, sealed_target FROM conflicts
                 WHERE definition_id = $1 AND identity = $2 ORDER BY created_at DESC LIMIT $3",
            )
            .bind(self.definition.uuid())
            .bind(identity.as_bytes().as_slice())
            .bind(i64::from(limit.min(crate::runs::PAGE)))
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            rows.into_iter()
                .map(|(column, source, target)| {
                    let open = |name: &str, sealed: &[u8]| {
                        self.unseal(
                            "conflict value",
                            &self.place(name, identity).with(&column),
                            sealed,
                        )
                    };
                    Ok(OverriddenEdit {
                        identity,
                        source: open("conflicts.sealed_source", &source)?,
                        target: open("conflicts.sealed_target", &target)?,
                        column,
                    })
                })
                .collect()
        })
        .await
    }
}
