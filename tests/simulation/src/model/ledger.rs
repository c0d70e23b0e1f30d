//! A model of the memory: ledger, effects, dirty rows, quarantine, conflicts, cursors, of all definitions.
//!
//! [`ModelStore`] is the database: what it keeps survives the death of every worker, and the harness may restore
//! it from a backup. [`ModelLedger`] is one worker's way to one definition of it, with the engine's ports.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use syncbridge_domain::clock::Clock;
use syncbridge_domain::conflict::{ParkedConflict, Side};
use syncbridge_domain::dirty::{DirtyRow, Ignored, Quarantined};
use syncbridge_domain::effect::{EffectKind, EffectState, Fence, ItemLink};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{DefinitionId, EffectId, RunId};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_engine::ports::{OverriddenEdit, PortResult};

use super::steps::Steps;

mod agreement;
mod conflicts;
mod denied;
mod dirty;
mod effects;
mod ports;
mod quarantine;
mod settle;
mod sweeps;
mod tables;
mod verifications;

pub use ports::ModelLedger;
pub use tables::{HistoryEntry, Outcome, Tables};

/// The database of the memory.
#[derive(Clone)]
pub struct ModelStore {
    tables: Arc<Mutex<Tables>>,
    clock: Arc<dyn Clock>,
}

impl ModelStore {
    /// An empty memory that goes by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            tables: Arc::new(Mutex::new(Tables::default())),
            clock,
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Adds a definition that drives this list.
    pub fn define(&self, definition: DefinitionId, list: &str) {
        let fresh = tables::Definition::new(list);
        self.tables().definitions.entry(definition).or_insert(fresh);
    }

    /// One worker's way to a definition.
    #[must_use]
    pub fn ledger(&self, definition: DefinitionId, steps: Arc<dyn Steps>) -> ModelLedger {
        ModelLedger {
            store: self.clone(),
            definition,
            steps,
        }
    }

    /// Asks for the lease; where somebody has it, how long it still holds.
    ///
    /// # Errors
    /// Who holds it holds it for so long.
    pub fn acquire(&self, definition: DefinitionId, term: Duration) -> Result<Fence, Duration> {
        let now = self.now();
        let acquired = self.tables().acquire(definition, term, now);
        acquired.unwrap_or(Err(Duration::MAX))
    }

    /// Prolongs a lease; one that is lost stays lost.
    ///
    /// # Errors
    /// `lease.lost`.
    pub fn renew(&self, fence: Fence, term: Duration) -> PortResult<()> {
        let now = self.now();
        Ok(self.tables().renew(fence, term, now)?)
    }

    /// Gives a lease back.
    pub fn release(&self, fence: Fence) {
        self.tables().release(fence);
    }

    /// The source lives another history from here on: its marks begin a new generation.
    pub fn set_generation(&self, definition: DefinitionId, generation: u32) {
        if let Some(definition) = self.tables().definitions.get_mut(&definition) {
            definition.generation = generation;
        }
    }

    /// A person told this run by name that deletes may pass.
    pub fn allow_deletes(&self, run: RunId) {
        self.tables().deletes_allowed.insert(run);
    }

    /// A person wants everything in quarantine tried again; answers how many.
    pub fn retry_quarantined(&self, definition: DefinitionId) -> u64 {
        let now = self.now();
        self.tables().retry_quarantined(definition, now).unwrap_or(0)
    }

    /// A person accepts a refused row as it is; answers whether there was one.
    pub fn ignore_quarantined(&self, definition: DefinitionId, identity: Identity, by: &str) -> bool {
        let accepted = Ignored {
            at: self.now(),
            by: by.to_owned(),
            reason: "accepted".to_owned(),
        };
        let mut tables = self.tables();
        tables
            .ignore_quarantined(definition, identity, accepted)
            .unwrap_or(false)
    }

    /// A person decides a parked conflict; answers whether there was one.
    pub fn resolve(&self, definition: DefinitionId, identity: Identity, column: &str, winner: Side) -> bool {
        let now = self.now();
        let field = (identity, column.to_owned());
        self.tables()
            .resolve(definition, &field, winner, now)
            .unwrap_or(false)
    }

    /// A person has the list read as a whole again.
    pub fn forget_delta(&self, definition: DefinitionId) {
        if let Some(definition) = self.tables().definitions.get_mut(&definition) {
            definition.delta = None;
        }
    }

    /// The item from which a row of this identity is being made.
    #[must_use]
    pub fn being_inserted(&self, definition: DefinitionId, identity: Identity) -> Option<ItemLink> {
        let tables = self.tables();
        let open = |effect: &&Arc<tables::StoredEffect>| {
            effect.answers_to(definition, identity) && effect.new.kind == EffectKind::InsertRow
        };
        let effect = tables.effects.values().rfind(open)?;
        effect.new.item.clone()
    }

    /// A backup.
    #[must_use]
    pub fn backup(&self) -> Tables {
        self.tables().clone()
    }

    /// Restores a backup.
    pub fn restore(&self, backup: Tables) {
        *self.tables() = backup;
    }

    /// All ledger rows of a definition, tombstones included.
    #[must_use]
    pub fn rows(&self, definition: DefinitionId) -> Vec<LedgerRow> {
        let tables = self.tables();
        let rows = tables.rows_behind(definition, None);
        rows.map(|rows| rows.cloned().collect()).unwrap_or_default()
    }

    /// All dirty rows of a definition.
    #[must_use]
    pub fn dirty(&self, definition: DefinitionId) -> Vec<DirtyRow> {
        let now = self.now();
        self.tables()
            .dirty(definition, None, u32::MAX, now)
            .unwrap_or_default()
    }

    /// All rows of a definition that are in quarantine.
    #[must_use]
    pub fn quarantine(&self, definition: DefinitionId) -> Vec<Quarantined> {
        let tables = self.tables();
        let ids = tables.definitions.get(&definition);
        ids.into_iter()
            .flat_map(|found| found.quarantine.keys())
            .filter_map(|identity| tables.quarantined(definition, *identity).ok().flatten())
            .collect()
    }

    /// Writes of a definition whose end is not recorded, by state.
    #[must_use]
    pub fn unsettled(&self, definition: DefinitionId) -> Vec<(EffectId, Identity, EffectState)> {
        let tables = self.tables();
        let effects = tables.effects.values();
        effects
            .filter(|effect| effect.definition == definition)
            .map(|effect| (effect.new.id, effect.new.subject.identity, effect.state))
            .collect()
    }

    /// Conflicts of a definition that wait, or whose decision was not carried out yet.
    #[must_use]
    pub fn parked(&self, definition: DefinitionId) -> Vec<ParkedConflict> {
        let tables = self.tables();
        let found = tables.definitions.get(&definition);
        found
            .into_iter()
            .flat_map(|found| found.parked.values())
            .map(|parked| parked.conflict.clone())
            .collect()
    }

    /// The conflict about a cell where a person decided it and nobody closed it yet.
    #[must_use]
    pub fn decided(
        &self,
        definition: DefinitionId,
        identity: Identity,
        column: &str,
    ) -> Option<ParkedConflict> {
        let tables = self.tables();
        let cell = (identity, column.to_owned());
        let parked = tables.definitions.get(&definition)?.parked.get(&cell)?;
        parked.winner.map(|_| parked.conflict.clone())
    }

    /// Edits that lost by policy, oldest first.
    #[must_use]
    pub fn overridden(&self, definition: DefinitionId) -> Vec<OverriddenEdit> {
        let tables = self.tables();
        let found = tables.definitions.get(&definition);
        found.map(|found| found.overridden.clone()).unwrap_or_default()
    }

    /// What happened, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<HistoryEntry> {
        self.tables().history.clone()
    }
}
