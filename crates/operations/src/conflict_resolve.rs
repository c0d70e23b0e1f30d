//! `conflicts resolve`: a person chooses whose value is to stand. The next run carries it out, through the same
//! reconciliation as everything else, and only where both sides still show what was decided about.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;
use syncbridge_domain::conflict::Side;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::{ConflictId, DefinitionId};
use syncbridge_meta_store::ledger::{
    ConflictChoice, ConflictFilter, ConflictStatus, FoundConflict, count_conflicts, find_conflicts,
    resolve_conflicts,
};
use syncbridge_meta_store::{PgConnection, audit};

use crate::Operations;
use crate::actor::Actor;
use crate::conflict_list::not_there;
use crate::definition;
use crate::error::Result;

/// Which conflicts a decision is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConflictsChosen {
    /// These, of any definitions; all of them or none.
    These(Vec<ConflictId>),
    /// All open ones of a definition.
    AllOpen {
        /// The definition.
        definition: String,
        /// Of this column only.
        column: Option<String>,
        /// How many the person was told of: with any other number nothing is decided.
        told: Option<u64>,
    },
}

/// What was decided for one definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConflictsResolved {
    /// The definition.
    pub definition: String,
    /// Whose value is to stand: `source` or `target`.
    pub winner: &'static str,
    /// Conflicts that were decided.
    pub conflicts: u64,
    /// Rows they belong to.
    pub rows: u64,
}

impl Operations {
    /// How many conflicts of a definition wait for a person.
    ///
    /// # Errors
    /// An unknown definition.
    pub async fn conflicts_open(&self, name: &str, column: Option<&str>) -> Result<u64> {
        let mut connection = self.store.acquire().await?;
        let id = definition::id(&mut connection, self.workspace, name).await?;
        Ok(count_conflicts(&mut connection, id, &open(column)).await?)
    }

    /// Decides parked conflicts. Until a run has carried a decision out, a later one by id replaces it.
    ///
    /// # Errors
    /// An unknown definition; `conflict.not_there` and `conflict.settled` for ids about which nothing can be decided;
    /// `conflict.others` where other conflicts are open than the person was told of. Nothing is decided then.
    pub async fn conflicts_resolve(
        &self,
        actor: &Actor,
        chosen: &ConflictsChosen,
        winner: Side,
    ) -> Result<Vec<ConflictsResolved>> {
        let mut tx = self.store.begin().await?;
        let mut resolved = Vec::new();
        match chosen {
            ConflictsChosen::These(ids) => {
                let found = find_conflicts(&mut tx, self.workspace, ids).await?;
                let there: BTreeSet<ConflictId> = found.iter().map(|found| found.entry.id).collect();
                if let Some(missing) = ids.iter().find(|id| !there.contains(*id)) {
                    return Err(not_there(*missing, None).into());
                }
                for (id, (name, ids)) in by_definition(found)? {
                    let filter = ConflictFilter {
                        ids: Some(ids.clone()),
                        ..ConflictFilter::default()
                    };
                    let decided = self.decide(&mut tx, actor, (id, name), &filter, winner).await?;
                    if decided.conflicts != ids.len() as u64 {
                        return Err(others(&decided.definition, ids.len() as u64, decided.conflicts).into());
                    }
                    resolved.push(decided);
                }
            }
            ConflictsChosen::AllOpen {
                definition: name,
                column,
                told,
            } => {
                let id = definition::id(&mut tx, self.workspace, name).await?;
                let filter = open(column.as_deref());
                let decided = self
                    .decide(&mut tx, actor, (id, name.clone()), &filter, winner)
                    .await?;
                if let Some(told) = told.filter(|told| *told != decided.conflicts) {
                    return Err(others(name, told, decided.conflicts).into());
                }
                resolved.push(decided);
            }
        }
        tx.commit().await.map_err(syncbridge_meta_store::Error::from)?;
        Ok(resolved)
    }

    async fn decide(
        &self,
        tx: &mut PgConnection,
        actor: &Actor,
        (id, name): (DefinitionId, String),
        filter: &ConflictFilter,
        winner: Side,
    ) -> Result<ConflictsResolved> {
        let choice = ConflictChoice {
            winner,
            by: actor.name(),
        };
        let resolved = resolve_conflicts(tx, id, filter, choice).await?;
        let entry = audit::NewEntry {
            actor: actor.name(),
            action: "conflicts_resolve",
            object_kind: "SyncDefinition",
            object_id: &id.to_string(),
            object_name: &name,
            detail: &json!({
                "winner": winner.name(),
                "conflicts": resolved.conflicts,
                "rows": resolved.rows,
                "ids": filter.ids,
                "column": filter.column,
            }),
        };
        audit::append(tx, self.workspace, entry).await?;
        Ok(ConflictsResolved {
            definition: name,
            winner: winner.name(),
            conflicts: resolved.conflicts,
            rows: resolved.rows,
        })
    }
}

fn open(column: Option<&str>) -> ConflictFilter {
    ConflictFilter {
        column: column.map(str::to_owned),
        status: Some(ConflictStatus::Open),
        ..ConflictFilter::default()
    }
}

type OfDefinition = (String, Vec<ConflictId>);

/// Conflicts that can be decided, by their definition.
fn by_definition(
    found: Vec<FoundConflict>,
) -> std::result::Result<BTreeMap<DefinitionId, OfDefinition>, Failure> {
    let mut by_definition: BTreeMap<DefinitionId, OfDefinition> = BTreeMap::new();
    for found in found {
        if found.entry.status == ConflictStatus::Overridden || found.entry.closed.is_some() {
            return Err(settled(&found));
        }
        by_definition
            .entry(found.definition)
            .or_insert_with(|| (found.definition_name, Vec::new()))
            .1
            .push(found.entry.id);
    }
    Ok(by_definition)
}

fn settled(found: &FoundConflict) -> Failure {
    let why = match found.entry.status {
        ConflictStatus::Overridden => "was decided by the policy",
        ConflictStatus::Open | ConflictStatus::Resolved => "is settled",
    };
    Failure::new(
        Scope::Row,
        "conflict.settled",
        format!("conflict {} {why}, and nothing was decided", found.entry.id),
        format!(
            "to have the other value, enter it on either side: `syncbridge conflicts show {}` shows it",
            found.entry.id
        ),
    )
}

fn others(name: &str, told: u64, now: u64) -> Failure {
    Failure::new(
        Scope::Row,
        "conflict.others",
        format!("{told} conflicts were to be decided and {now} are there now, so nothing was decided"),
        format!("look again with `syncbridge conflicts list {name} --status open`, then decide"),
    )
}
