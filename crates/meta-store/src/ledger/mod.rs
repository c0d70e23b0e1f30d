//! The durable memory of one definition: agreement, effects, dirty rows, quarantine, conflicts, cursor.
//!
//! Every writing method opens one transaction, checks the writer's lease in it ([`crate::leases`]) and writes
//! all it was given or nothing. Bulk statements take arrays (`UNNEST`), [`BATCH`] rows at a time, subjects in
//! the order of their identities, so that two writers wait for each other instead of deadlocking.
//!
//! A slice meets a table by looking its rows up one by one, and the statements are written so that nothing else
//! can be planned (a subquery, `LATERAL … OFFSET 0`, a condition on `definition_id` that no index answers): where
//! a table was not counted since it filled, the planner takes a definition for a handful of rows and would read
//! all of it for every slice of a first load.

use std::future::Future;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use syncbridge_domain::effect::{Fence, ItemLink};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ids::{DefinitionId, EffectId, RunId, WorkspaceId};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::version::Version;
use syncbridge_secrets::{DataKey, Keyring};
use tokio::time::timeout;
use uuid::Uuid;

use crate::definitions;
use crate::error::{Error, Result};
use crate::leases;
use crate::number::from_bigint;
use crate::store::{MetaStore, Transaction};

mod admit;
mod adopt;
mod agreement;
mod conflict_care;
mod conflicts;
mod cursor;
mod delta;
mod dirty;
mod history;
mod lives;
mod past;
mod plan_progress;
mod plan_retention;
mod quarantine;
mod quarantine_care;
mod reads;
mod saved_plans;
mod settle;
mod sweeps;
mod turns;
mod unsettled;
mod values;
mod verifications;
mod witness;

pub(crate) use conflict_care::PARKED;
pub use conflict_care::{
    ConflictChoice, ConflictDecision, ConflictEntry, ConflictFilter, ConflictPlace, ConflictStatus,
    FoundConflict, OpenedConflict, Resolved, count_conflicts, find_conflicts, list_conflicts,
    resolve_conflicts,
};
pub use conflicts::OverriddenEdit;
pub use cursor::{DeltaPosition, Position, position};
pub use history::{HistoryEntry, HistoryPage, Stood, ValuesOf, history, state_at};
pub use past::{history_is_whole, run_wrote};
pub use plan_progress::{PlanTally, plan_was_begun, tally};
pub use quarantine::QuarantineEntry;
pub use quarantine_care::{
    QuarantineFilter, QuarantineGroup, count_quarantined, ignore_quarantined, list_quarantine,
    retry_quarantined, summarize_quarantine,
};
pub use saved_plans::{
    GivenApproval, NewPlan, PlanChange, approvals, judge_plan, list_plans, plan, runnable_plan,
};
pub use settle::{Settlement, Verdict};
pub use verifications::{DIFFERENCES_STORED, StoredDifference, VerificationRecord, newest_verification};

/// Rows in one statement.
pub(crate) const BATCH: usize = 2_000;

/// The memory of one definition.
#[derive(Debug)]
pub struct DefinitionStore {
    store: MetaStore,
    workspace: WorkspaceId,
    definition: DefinitionId,
    list_id: String,
    data_key: DataKey,
    patience: Duration,
    keeps_values: bool,
}

impl DefinitionStore {
    /// Opens the memory of a definition whose list is known.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotProvisioned`]; [`Error::Open`] under another master key.
    pub async fn open(store: &MetaStore, ring: &Keyring, definition: DefinitionId) -> Result<Self> {
        let mut connection = store.acquire().await?;
        let found = definitions::get(&mut connection, definition).await?;
        let list = found.list.ok_or(Error::NotProvisioned { name: found.name })?;
        let data_key = definitions::data_key(&mut connection, ring, definition).await?;
        Ok(Self::new(
            store.clone(),
            found.workspace,
            definition,
            list.list,
            data_key,
        ))
    }

    /// The memory of a definition from its parts.
    #[must_use]
    pub fn new(
        store: MetaStore,
        workspace: WorkspaceId,
        definition: DefinitionId,
        list_id: String,
        data_key: DataKey,
    ) -> Self {
        let patience = store.patience();
        Self {
            store,
            workspace,
            definition,
            list_id,
            data_key,
            patience,
            keeps_values: false,
        }
    }

    /// Lets the history keep values of the writes that are settled from here on.
    #[must_use]
    pub fn keeping_values(self, keeps_values: bool) -> Self {
        Self { keeps_values, ..self }
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> DefinitionId {
        self.definition
    }

    /// Opens a transaction in which the fence holds until it ends.
    async fn begin(&self, fence: Fence) -> Result<Transaction> {
        if fence.definition != self.definition {
            return Err(Error::WrongFence {
                definition: self.definition,
                given: fence.definition,
            });
        }
        let mut tx = self.store.begin().await?;
        leases::check(&mut tx, fence).await?;
        Ok(tx)
    }

    /// The server bounds each statement; this bounds a connection on which nobody answers any more. What was
    /// not committed by then is rolled back when the connection is dropped.
    async fn timed<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout(self.patience, Box::pin(work)).await {
            Ok(done) => done,
            Err(_) => Err(Error::Unavailable {
                reason: format!("no answer within {} s", self.patience.as_secs()),
            }),
        }
    }
}

/// Bytes of identities, for a `bytea[]` parameter.
fn bytes<'a>(ids: impl IntoIterator<Item = &'a Identity>) -> Vec<&'a [u8]> {
    ids.into_iter()
        .map(|identity| identity.as_bytes().as_slice())
        .collect()
}

fn identity(bytes: &[u8]) -> Result<Identity> {
    bytes
        .try_into()
        .map(Identity::from_bytes)
        .map_err(|_| Error::Damaged { what: "identity" })
}

fn key(bytes: Vec<u8>) -> Result<Key> {
    Key::from_bytes(bytes).map_err(|_| Error::Damaged { what: "key" })
}

/// The item that a change names, of three columns from this one on: its number, its guid, and the counter that the change
/// rests on. `None` where it names none.
fn item_link(row: &PgRow, first: usize) -> Result<Option<ItemLink>> {
    let counter: Option<i64> = row.try_get(first + 2)?;
    let (Some(id), Some(guid), Some(counter)) = (row.try_get(first)?, row.try_get(first + 1)?, counter)
    else {
        return Ok(None);
    };
    let counter = from_bigint("item counter", counter)?;
    Ok(Some(ItemLink {
        id: ItemId(id),
        before: Version { guid, counter },
    }))
}

/// An agreement without a write, and why.
#[derive(Clone, Copy)]
struct Recorded<'a> {
    row: &'a LedgerRow,
    cause: &'a Cause,
}

/// An effect that was just closed.
struct Closed {
    effect: Uuid,
    /// The identity it was recorded under, where it was held under another one since.
    recorded_under: Option<Identity>,
}

/// How a closed effect is remembered.
struct Closing<'a> {
    effect: EffectId,
    identity: Identity,
    outcome: &'static str,
    row: Option<&'a LedgerRow>,
    request_id: Option<&'a str>,
    run: RunId,
}
