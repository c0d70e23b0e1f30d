//! `runs`: what was executed and how it went.

use serde::Serialize;
use syncbridge_meta_store::{definitions, runs};

use crate::Operations;
use crate::definition;
use crate::error::Result;

/// A run as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunView {
    /// Its id.
    pub run: String,
    /// Name of its definition.
    pub definition: String,
    /// What it does.
    pub kind: &'static str,
    /// Where it stands.
    pub state: &'static str,
    /// Counters.
    pub counters: syncbridge_domain::run::Counters,
    /// Resource units spent.
    pub ru: u64,
    /// Why it did not complete.
    pub failure: Option<String>,
    /// When it was asked for.
    pub created: chrono::DateTime<chrono::Utc>,
    /// When it ended.
    pub ended: Option<chrono::DateTime<chrono::Utc>>,
}

impl Operations {
    /// The newest runs, of one definition or of all.
    ///
    /// # Errors
    /// An unknown definition.
    pub async fn runs(&self, name: Option<&str>, limit: u32) -> Result<Vec<RunView>> {
        let mut connection = self.store.acquire().await?;
        let all = definitions::list(&mut connection, self.workspace).await?;
        let definition = match name {
            Some(name) => Some(definition::id(&mut connection, self.workspace, name).await?),
            None => None,
        };
        let filter = runs::Filter {
            definition,
            before: None,
            limit,
        };
        let found = runs::list(&mut connection, self.workspace, filter).await?;
        Ok(found
            .into_iter()
            .map(|run| RunView {
                run: run.id.to_string(),
                definition: all
                    .iter()
                    .find(|definition| definition.id == run.definition)
                    .map_or_else(
                        || run.definition.to_string(),
                        |definition| definition.name.clone(),
                    ),
                kind: run.kind.name(),
                state: run.state.name(),
                counters: run.counters,
                ru: run.spending.total().0,
                failure: run.failure.map(|failure| failure.to_string()),
                created: run.created,
                ended: run.ended,
            })
            .collect())
    }
}
