//! `conflicts show`: one conflict with both values.

use serde::Serialize;
use serde_json::Value as Json;
use syncbridge_domain::ids::ConflictId;
use syncbridge_meta_store::DefinitionStore;
use syncbridge_meta_store::ledger::find_conflicts;

use crate::Operations;
use crate::conflict_list::{ConflictView, not_there};
use crate::error::Result;

/// A conflict with both values; one of the few answers that hold cells.
#[derive(Clone, PartialEq, Serialize)]
pub struct ConflictOpened {
    /// Everything but the values.
    #[serde(flatten)]
    pub conflict: ConflictView,
    /// What the table held, as the list would show it.
    pub source: Json,
    /// What the list held.
    pub target: Json,
}

impl std::fmt::Debug for ConflictOpened {
    // Values stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ConflictOpened").field(&self.conflict).finish()
    }
}

impl Operations {
    /// One conflict with both values opened.
    ///
    /// # Errors
    /// `conflict.not_there`; values that do not open under the present master key.
    pub async fn conflict_show(&self, id: ConflictId) -> Result<ConflictOpened> {
        let mut connection = self.store.acquire().await?;
        let mut found = find_conflicts(&mut connection, self.workspace, &[id]).await?;
        drop(connection);
        let found = found.pop().ok_or_else(|| not_there(id, None))?;
        let memory = DefinitionStore::open(&self.store, &self.ring, found.definition).await?;
        let opened = memory.conflict(id).await?;
        Ok(ConflictOpened {
            conflict: ConflictView::of(found.definition_name, opened.entry),
            source: opened.source,
            target: opened.target,
        })
    }
}
