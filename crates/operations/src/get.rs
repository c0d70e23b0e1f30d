//! `get` and `list`: what is stored, as documents and as a table.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;
use syncbridge_manifest::{Document, Kind};
use syncbridge_meta_store::definitions;

use crate::Operations;
use crate::error::Result;
use crate::shelf::{Shelf, unknown};

/// A stored document.
#[derive(Clone, Debug)]
pub struct Found {
    /// The document itself.
    pub document: Document,
    /// The time zone of the site, where it was learnt from the list.
    pub learnt_time_zone: Option<String>,
}

/// A stored document with what a table shows beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The document in canonical form, without secrets.
    pub document: Json,
    /// Where it stands, for definitions.
    pub status: Option<Status>,
}

/// Where a definition stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Rows whose row and item both exist.
    pub live_rows: u64,
    /// Rows waiting to be applied.
    pub dirty: u64,
    /// Rows in quarantine.
    pub quarantined: u64,
    /// Writes not settled yet.
    pub unsettled: u64,
    /// State of the newest run.
    pub last_run: Option<&'static str>,
    /// When it ended, or was asked for.
    pub last_run_at: Option<chrono::DateTime<chrono::Utc>>,
    /// The time zone of the site, where it was learnt from the list.
    pub learnt_time_zone: Option<String>,
    /// When the whole table was last compared.
    pub last_sweep: Option<chrono::DateTime<chrono::Utc>>,
}

impl Operations {
    /// The document of this kind and name.
    ///
    /// # Errors
    /// `manifest.unknown`, with the names there are.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Found> {
        let mut connection = self.store.acquire().await?;
        let shelf = Shelf::load(&mut connection, self.workspace).await?;
        let mut zones = match kind {
            Kind::SyncDefinition => definitions::site_time_zones(&mut connection, self.workspace).await?,
            _ => BTreeMap::new(),
        };
        match shelf.get(kind, name) {
            Some(document) => Ok(Found {
                document: document.clone(),
                learnt_time_zone: zones.remove(name),
            }),
            None => Err(unknown(&shelf, kind, name).into()),
        }
    }

    /// Everything of one kind, definitions with where they stand.
    ///
    /// # Errors
    /// As any access to the meta-store.
    pub async fn list(&self, kind: Kind) -> Result<Vec<Shown>> {
        let mut connection = self.store.acquire().await?;
        let shelf = Shelf::load(&mut connection, self.workspace).await?;
        let summaries = match kind {
            Kind::SyncDefinition => definitions::summaries(&mut connection, self.workspace).await?,
            _ => Vec::new(),
        };
        let zones = definitions::site_time_zones(&mut connection, self.workspace).await?;
        let status = |name: &str| {
            summaries
                .iter()
                .find(|summary| summary.definition.name == name)
                .map(|summary| Status {
                    live_rows: summary.live_rows,
                    dirty: summary.dirty,
                    quarantined: summary.quarantined,
                    unsettled: summary.unsettled,
                    last_run: summary.last_run.map(|run| run.state.name()),
                    last_run_at: summary.last_run.map(|run| run.ended.unwrap_or(run.created)),
                    learnt_time_zone: zones.get(name).cloned(),
                    last_sweep: summary.last_sweep,
                })
        };
        Ok(shelf
            .of_kind(kind)
            .map(|document| Shown {
                kind: kind.name(),
                name: document.name.as_str().to_owned(),
                document: document.to_json(),
                status: status(document.name.as_str()),
            })
            .collect())
    }
}
