//! `verify --list`: the differences that the newest verification found, page by page.

use serde::Serialize;
use syncbridge_domain::run::Verification;
use syncbridge_domain::verification::DifferenceKind;
use syncbridge_meta_store::ledger::newest_verification;

use crate::Operations;
use crate::definition;
use crate::error::Result;

/// Which differences are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct DifferencesWanted {
    /// Of this kind only.
    pub kind: Option<DifferenceKind>,
    /// Behind this number: `next` of the page before.
    pub after: u64,
    /// At most so many; 500 is the most.
    pub limit: u32,
}

/// A verification as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerificationView {
    /// The run that made it.
    pub run: String,
    /// Whether it came to its end.
    pub finished: bool,
    /// When it began.
    pub started: chrono::DateTime<chrono::Utc>,
    /// When it last moved.
    pub updated: chrono::DateTime<chrono::Utc>,
    /// How many differences can be listed; where more were found, the rest was counted only.
    pub stored: u64,
    /// What it found, without the examples.
    pub found: Verification,
    /// A page of its differences.
    pub differences: Vec<DifferenceView>,
    /// Where the next page begins; absent on the last one.
    pub next: Option<u64>,
}

/// A difference as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DifferenceView {
    /// Its number.
    pub number: u64,
    /// What kind.
    pub kind: &'static str,
    /// Who moved.
    pub cause: &'static str,
    /// The row is in quarantine.
    pub explained: bool,
    /// Identity, in hexadecimal.
    pub identity: String,
    /// Values of the key columns, where the ledger knows the row.
    pub key: Vec<String>,
    /// The item, where there is one.
    pub item: Option<String>,
    /// Columns that differ.
    pub columns: Vec<String>,
}

impl Operations {
    /// What the newest verification of a definition found; `None` where there was none.
    ///
    /// # Errors
    /// An unknown definition.
    pub async fn verification(
        &self,
        name: &str,
        wanted: DifferencesWanted,
    ) -> Result<Option<VerificationView>> {
        let mut connection = self.store.acquire().await?;
        let definition = definition::id(&mut connection, self.workspace, name).await?;
        let found = newest_verification(
            &mut connection,
            definition,
            wanted.kind,
            wanted.after,
            wanted.limit,
        )
        .await?;
        let Some((record, stored)) = found else {
            return Ok(None);
        };
        let full = stored.len() as u64 == u64::from(wanted.limit);
        let next = stored.last().filter(|_| full).map(|last| last.ordinal);
        let differences = stored
            .into_iter()
            .map(|stored| DifferenceView {
                number: stored.ordinal,
                kind: stored.difference.kind.name(),
                cause: stored.difference.cause.name(),
                explained: stored.difference.explained,
                key: stored
                    .key
                    .as_ref()
                    .and_then(|key| key.texts().ok())
                    .unwrap_or_default()
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
                identity: stored.difference.identity,
                item: stored.difference.item,
                columns: stored.difference.columns,
            })
            .collect();
        Ok(Some(VerificationView {
            run: record.run.to_string(),
            finished: record.finished,
            started: record.started,
            updated: record.updated,
            stored: record.stored,
            found: Verification {
                examples: Vec::new(),
                ..record.report
            },
            differences,
            next,
        }))
    }
}
