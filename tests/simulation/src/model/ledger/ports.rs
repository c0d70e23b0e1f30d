//! One worker's way to one definition of the memory: the engine's ports.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use syncbridge_domain::conflict::{ParkedConflict, Resolution};
use syncbridge_domain::delta::DeltaCursor;
use syncbridge_domain::dirty::{DirtyMark, DirtyRow, NewQuarantine, Quarantined};
use syncbridge_domain::effect::{Admission, Effect, Fence, NewEffect, Witness};
use syncbridge_domain::feed::{Cursor, Mark};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{DefinitionId, EffectId, RunId};
use syncbridge_domain::ledger::{LedgerDigest, LedgerRow};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::ping_pong::Turned;
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::verification::{SeenItem, VerificationFrom, VerificationStart, VerificationStep};
use syncbridge_engine::ports::pull_memory::PullMemory;
use syncbridge_engine::ports::{Ledger, OverriddenEdit, PortResult, Settlement};
use uuid::Uuid;

use super::super::steps::{Call, Part, Steps, step};
use super::ModelStore;
use super::denied::Denied;
use super::effects::later;
use super::tables::Tables;

/// A worker's way to one definition of a [`ModelStore`].
#[derive(Clone)]
pub struct ModelLedger {
    pub(super) store: ModelStore,
    pub(super) definition: DefinitionId,
    pub(super) steps: Arc<dyn Steps>,
}

impl ModelLedger {
    async fn read<T: Send>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Tables, DateTime<Utc>) -> Result<T, Denied> + Send,
    ) -> PortResult<T> {
        step(&*self.steps, call(name), || {
            let now = self.store.now();
            Ok(read(&self.store.tables(), now)?)
        })
        .await
    }

    async fn write<T: Send>(
        &self,
        name: &'static str,
        fence: Fence,
        write: impl FnOnce(&mut Tables, DateTime<Utc>) -> Result<T, Denied> + Send,
    ) -> PortResult<T> {
        step(&*self.steps, call(name), || {
            let now = self.store.now();
            let mut tables = self.store.tables();
            tables.check(self.definition, fence, now)?;
            Ok(write(&mut tables, now)?)
        })
        .await
    }
}

fn call(name: &'static str) -> Call {
    Call {
        part: Part::Memory,
        name,
    }
}

impl Ledger for ModelLedger {
    async fn rows(&self, ids: &[Identity]) -> PortResult<Vec<Option<LedgerRow>>> {
        self.read("rows", |tables, _| {
            let row = |identity: &Identity| tables.row(self.definition, *identity).cloned();
            Ok(ids.iter().map(row).collect())
        })
        .await
    }

    async fn digests(
        &self,
        after: Option<Identity>,
        until: Option<Identity>,
        limit: u32,
    ) -> PortResult<Vec<LedgerDigest>> {
        self.read("digests", |tables, _| {
            tables.digests(self.definition, after, until, limit)
        })
        .await
    }

    async fn live_rows(&self) -> PortResult<u64> {
        self.read("live_rows", |tables, _| {
            Ok(tables.live(self.definition)?.count() as u64)
        })
        .await
    }

    async fn layout(&self, stamp: LayoutStamp) -> PortResult<Option<Vec<u64>>> {
        self.read("layout", |tables, _| {
            Ok(tables.definition(self.definition)?.layouts.get(&stamp.0).cloned())
        })
        .await
    }

    async fn remember_layout(&self, fence: Fence, stamp: LayoutStamp, fields: &[u64]) -> PortResult<()> {
        self.write("remember_layout", fence, |tables, _| {
            let layouts = &mut tables.definition_mut(self.definition)?.layouts;
            layouts.entry(stamp.0).or_insert_with(|| fields.to_vec());
            Ok(())
        })
        .await
    }

    async fn admit(&self, fence: Fence, run: RunId, effects: &[NewEffect]) -> PortResult<Vec<Admission>> {
        if effects.is_empty() {
            return Ok(Vec::new());
        }
        self.write("admit", fence, |tables, now| {
            tables.admit(fence, run, effects, now)
        })
        .await
    }

    async fn settle(&self, fence: Fence, run: RunId, settled: &[Settlement]) -> PortResult<()> {
        if settled.is_empty() {
            return Ok(());
        }
        self.write("settle", fence, |tables, now| {
            tables.settle(fence, run, settled, now)
        })
        .await
    }

    async fn adopt(
        &self,
        fence: Fence,
        rows: &[LedgerRow],
        clears_dirty: &[Option<u64>],
        _causes: &[Cause],
    ) -> PortResult<Vec<bool>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.write("adopt", fence, |tables, now| {
            tables.adopt(fence, rows, clears_dirty, now)
        })
        .await
    }

    async fn unsettled(&self, limit: u32) -> PortResult<Vec<Effect>> {
        self.read("unsettled", |tables, now| {
            Ok(tables.unsettled(self.definition, limit, now))
        })
        .await
    }

    async fn probed(&self, fence: Fence, effects: &[EffectId]) -> PortResult<()> {
        if effects.is_empty() {
            return Ok(());
        }
        self.write("probed", fence, |tables, now| {
            tables.probed(self.definition, effects, now);
            Ok(())
        })
        .await
    }

    async fn mark_dirty(&self, fence: Fence, marks: &[DirtyMark], cursor: Option<&Cursor>) -> PortResult<()> {
        if marks.is_empty() && cursor.is_none() {
            return Ok(());
        }
        self.write("mark_dirty", fence, |tables, now| {
            tables.mark(self.definition, marks, now)?;
            if let Some(cursor) = cursor {
                tables.definition_mut(self.definition)?.cursor = Some(cursor.clone());
            }
            Ok(())
        })
        .await
    }

    async fn dirty(&self, after: Option<Identity>, limit: u32) -> PortResult<Vec<DirtyRow>> {
        self.read("dirty", |tables, now| {
            tables.dirty(self.definition, after, limit, now)
        })
        .await
    }

    async fn let_go(&self, fence: Fence, ids: &[Identity]) -> PortResult<()> {
        self.write("let_go", fence, |tables, _| {
            for identity in ids {
                tables.end_hold(self.definition, *identity)?;
            }
            Ok(())
        })
        .await
    }

    /// Nobody reverts a run in a simulated history, so that this is no step of it.
    async fn held(&self, ids: &[Identity]) -> PortResult<BTreeSet<Identity>> {
        let tables = self.store.tables();
        let mut held = BTreeSet::new();
        for identity in ids {
            if tables.is_held(self.definition, *identity)? {
                held.insert(*identity);
            }
        }
        Ok(held)
    }

    async fn clear_dirty(&self, fence: Fence, rows: &[(Identity, u64)]) -> PortResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.write("clear_dirty", fence, |tables, _| {
            tables.clear_dirty(self.definition, rows)
        })
        .await
    }

    async fn quarantine(
        &self,
        fence: Fence,
        _run: RunId,
        entries: &[(NewQuarantine, Option<u64>)],
    ) -> PortResult<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write("quarantine", fence, |tables, now| {
            // One entry a row, the last one.
            for (at, (entry, sequence)) in entries.iter().enumerate() {
                let again = entries[at + 1..]
                    .iter()
                    .any(|(later, _)| later.identity == entry.identity);
                if !again {
                    tables.enter_quarantine(self.definition, entry, *sequence, now)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn quarantined(&self, ids: &[Identity]) -> PortResult<Vec<Option<Quarantined>>> {
        self.read("quarantined", |tables, _| {
            ids.iter()
                .map(|identity| tables.quarantined(self.definition, *identity))
                .collect()
        })
        .await
    }

    async fn quarantine_size(&self) -> PortResult<u64> {
        self.read("quarantine_size", |tables, _| {
            let entries = tables.definition(self.definition)?.quarantine.values();
            Ok(entries.filter(|entry| entry.ignored.is_none()).count() as u64)
        })
        .await
    }

    async fn quarantined_with(&self, code: &str) -> PortResult<u64> {
        self.read("quarantined_with", |tables, _| {
            let entries = tables.definition(self.definition)?.quarantine.values();
            Ok(entries.filter(|entry| entry.entry.failure.code == code).count() as u64)
        })
        .await
    }

    async fn owned(&self, items: &[Uuid]) -> PortResult<BTreeSet<Uuid>> {
        self.read("owned", |tables, _| {
            let mut owned = BTreeSet::new();
            for item in items {
                if tables.owner(self.definition, *item)?.is_some() {
                    owned.insert(*item);
                }
            }
            Ok(owned)
        })
        .await
    }

    async fn requeue_due(&self, fence: Fence) -> PortResult<u64> {
        self.write("requeue_due", fence, |tables, now| {
            tables.requeue_due(self.definition, now)
        })
        .await
    }

    async fn record_conflicts(
        &self,
        fence: Fence,
        _run: RunId,
        conflicts: &[OverriddenEdit],
    ) -> PortResult<()> {
        if conflicts.is_empty() {
            return Ok(());
        }
        self.write("record_conflicts", fence, |tables, _| {
            let overridden = &mut tables.definition_mut(self.definition)?.overridden;
            overridden.extend_from_slice(conflicts);
            Ok(())
        })
        .await
    }

    async fn requeue_approved(&self, fence: Fence) -> PortResult<u64> {
        self.write("requeue_approved", fence, |tables, _| {
            tables.requeue_approved(self.definition)
        })
        .await
    }

    async fn stale_rows(&self, layout: LayoutStamp, hash_key: u16) -> PortResult<u64> {
        self.read("stale_rows", |tables, _| {
            tables.stale_rows(self.definition, layout, hash_key)
        })
        .await
    }

    async fn sweep_due(&self, every: Duration) -> PortResult<bool> {
        self.read("sweep_due", |tables, now| {
            let swept = tables.definition(self.definition)?.swept;
            Ok(swept.is_none_or(|swept| later(swept, every) <= now))
        })
        .await
    }

    async fn swept(&self, fence: Fence, _run: RunId, mark: Mark) -> PortResult<()> {
        self.write("swept", fence, |tables, now| {
            tables.swept(self.definition, mark, now)
        })
        .await
    }

    async fn deleted_within(&self, window: Duration) -> PortResult<u64> {
        self.read("deleted_within", |tables, now| {
            Ok(tables.deleted_within(self.definition, window, now))
        })
        .await
    }

    async fn cursor(&self) -> PortResult<Cursor> {
        self.read("cursor", |tables, _| {
            Ok(tables
                .definition(self.definition)?
                .cursor
                .clone()
                .unwrap_or_default())
        })
        .await
    }

    async fn generation(&self) -> PortResult<u32> {
        self.read("generation", |tables, _| {
            Ok(tables.definition(self.definition)?.generation)
        })
        .await
    }

    async fn linked(&self, items: &[Uuid]) -> PortResult<Vec<Option<Identity>>> {
        self.read("linked", |tables, _| {
            let ours = |item: &Uuid| {
                let owner = tables.owner(self.definition, *item)?;
                Ok(owner
                    .and_then(|(definition, identity)| (definition == self.definition).then_some(identity)))
            };
            items.iter().map(ours).collect()
        })
        .await
    }

    async fn owned_elsewhere(&self, items: &[Uuid]) -> PortResult<Vec<bool>> {
        self.read("owned_elsewhere", |tables, _| {
            let theirs = |item: &Uuid| {
                let owner = tables.owner(self.definition, *item)?;
                Ok(owner.is_some_and(|(definition, _)| definition != self.definition))
            };
            items.iter().map(theirs).collect()
        })
        .await
    }

    async fn begin_verification(&self, start: &VerificationStart) -> PortResult<VerificationFrom> {
        step(&*self.steps, call("begin_verification"), || {
            Ok(self.store.tables().begin_verification(self.definition, start)?)
        })
        .await
    }

    async fn keep_verification(&self, run: RunId, kept: &VerificationStep) -> PortResult<()> {
        step(&*self.steps, call("keep_verification"), || {
            Ok(self
                .store
                .tables()
                .keep_verification(self.definition, run, kept)?)
        })
        .await
    }

    async fn verified_page(&self, run: RunId, number: u64) -> PortResult<Vec<SeenItem>> {
        self.read("verified_page", |tables, _| {
            tables.verified_page(self.definition, run, number)
        })
        .await
    }
}

impl PullMemory for ModelLedger {
    async fn delta_cursor(&self) -> PortResult<DeltaCursor> {
        self.read("delta_cursor", |tables, _| {
            Ok(tables
                .definition(self.definition)?
                .delta
                .clone()
                .unwrap_or_default())
        })
        .await
    }

    async fn keep_delta(&self, fence: Fence, marks: &[DirtyMark], cursor: &DeltaCursor) -> PortResult<()> {
        self.write("keep_delta", fence, |tables, now| {
            tables.mark(self.definition, marks, now)?;
            tables.definition_mut(self.definition)?.delta = Some(cursor.clone());
            Ok(())
        })
        .await
    }

    async fn rows_of_items(&self, items: &[ItemId]) -> PortResult<Vec<Option<LedgerRow>>> {
        self.read("rows_of_items", |tables, _| {
            items
                .iter()
                .map(|item| tables.row_of_item(self.definition, item))
                .collect()
        })
        .await
    }

    async fn note_witnesses(&self, fence: Fence, witnesses: &[Witness]) -> PortResult<()> {
        if witnesses.is_empty() {
            return Ok(());
        }
        self.write("note_witnesses", fence, |tables, _| {
            tables.note_witnesses(self.definition, witnesses)
        })
        .await
    }

    async fn park_conflicts(
        &self,
        fence: Fence,
        _run: RunId,
        conflicts: &[ParkedConflict],
    ) -> PortResult<()> {
        if conflicts.is_empty() {
            return Ok(());
        }
        self.write("park_conflicts", fence, |tables, _| {
            tables.park(self.definition, conflicts)
        })
        .await
    }

    async fn resolutions(&self, ids: &[Identity]) -> PortResult<Vec<Vec<Resolution>>> {
        self.read("resolutions", |tables, _| {
            ids.iter()
                .map(|identity| tables.resolutions(self.definition, *identity))
                .collect()
        })
        .await
    }

    async fn turns(&self, ids: &[Identity]) -> PortResult<Vec<Vec<Turned>>> {
        self.read("turns", |tables, _| {
            ids.iter()
                .map(|identity| tables.turns(self.definition, *identity))
                .collect()
        })
        .await
    }

    async fn close_conflicts(&self, fence: Fence, fields: &[(Identity, String)]) -> PortResult<()> {
        if fields.is_empty() {
            return Ok(());
        }
        self.write("close_conflicts", fence, |tables, _| {
            let definition = tables.definition_mut(self.definition)?;
            definition.parked.retain(|field, _| !fields.contains(field));
            definition.turns.retain(|field, _| !fields.contains(field));
            Ok(())
        })
        .await
    }
}
