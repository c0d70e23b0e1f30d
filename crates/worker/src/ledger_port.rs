//! The engine's ledger port over the meta-store.

use std::collections::BTreeSet;
use std::time::Duration;

use syncbridge_domain::conflict::{ParkedConflict, Resolution};
use syncbridge_domain::delta::DeltaCursor;
use syncbridge_domain::dirty::{DirtyMark, DirtyRow, NewQuarantine, Quarantined};
use syncbridge_domain::effect::{Admission, Effect, Fence, NewEffect, Witness};
use syncbridge_domain::feed::{Cursor, Mark};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{EffectId, RunId};
use syncbridge_domain::ledger::{LedgerDigest, LedgerRow};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::ping_pong::Turned;
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::verification::{SeenItem, VerificationFrom, VerificationStart, VerificationStep};
use syncbridge_engine::ports::pull_memory::PullMemory;
use syncbridge_engine::ports::{Ledger, OverriddenEdit, PortResult, Settlement, Verdict};
use syncbridge_meta_store as store;
use uuid::Uuid;

/// The memory of one definition.
pub struct LedgerPort {
    pub(crate) memory: store::DefinitionStore,
    pub(crate) store: store::MetaStore,
}

fn settlement(settled: &Settlement) -> store::Settlement {
    store::Settlement {
        effect: settled.effect,
        identity: settled.identity,
        verdict: match &settled.verdict {
            Verdict::Applied(row) => store::Verdict::Applied(row.clone()),
            Verdict::Quarantined(entry) => store::Verdict::Quarantined(entry.clone()),
            Verdict::Removed => store::Verdict::Removed,
            Verdict::Released => store::Verdict::Released,
            Verdict::Armed => store::Verdict::Armed,
        },
        clears_dirty: settled.clears_dirty,
        request_id: settled.request_id.clone(),
        turns: settled.turns.clone(),
        hold: settled.hold.clone(),
    }
}

impl Ledger for LedgerPort {
    async fn rows(&self, ids: &[Identity]) -> PortResult<Vec<Option<LedgerRow>>> {
        Ok(self.memory.rows(ids).await?)
    }

    async fn digests(
        &self,
        after: Option<Identity>,
        until: Option<Identity>,
        limit: u32,
    ) -> PortResult<Vec<LedgerDigest>> {
        Ok(self.memory.digests(after, until, limit).await?)
    }

    async fn live_rows(&self) -> PortResult<u64> {
        Ok(self.memory.live_rows().await?)
    }

    async fn layout(&self, stamp: LayoutStamp) -> PortResult<Option<Vec<u64>>> {
        Ok(self.memory.layout(stamp).await?)
    }

    async fn remember_layout(&self, fence: Fence, stamp: LayoutStamp, fields: &[u64]) -> PortResult<()> {
        Ok(self.memory.remember_layout(fence, stamp, fields).await?)
    }

    async fn admit(&self, fence: Fence, run: RunId, effects: &[NewEffect]) -> PortResult<Vec<Admission>> {
        Ok(self.memory.admit(fence, run, effects).await?)
    }

    async fn settle(&self, fence: Fence, run: RunId, settled: &[Settlement]) -> PortResult<()> {
        let settled: Vec<store::Settlement> = settled.iter().map(settlement).collect();
        Ok(self.memory.settle(fence, run, &settled).await?)
    }

    async fn adopt(
        &self,
        fence: Fence,
        rows: &[LedgerRow],
        clears_dirty: &[Option<u64>],
        causes: &[Cause],
    ) -> PortResult<Vec<bool>> {
        Ok(self.memory.adopt(fence, rows, clears_dirty, causes).await?)
    }

    async fn unsettled(&self, limit: u32) -> PortResult<Vec<Effect>> {
        Ok(self.memory.unsettled(limit).await?)
    }

    async fn probed(&self, fence: Fence, effects: &[EffectId]) -> PortResult<()> {
        Ok(self.memory.probed(fence, effects).await?)
    }

    async fn mark_dirty(&self, fence: Fence, marks: &[DirtyMark], cursor: Option<&Cursor>) -> PortResult<()> {
        Ok(self.memory.mark_dirty(fence, marks, cursor).await?)
    }

    async fn dirty(&self, after: Option<Identity>, limit: u32) -> PortResult<Vec<DirtyRow>> {
        Ok(self.memory.dirty(after, limit).await?)
    }

    async fn let_go(&self, fence: Fence, ids: &[Identity]) -> PortResult<()> {
        Ok(self.memory.let_go(fence, ids).await?)
    }

    async fn held(&self, ids: &[Identity]) -> PortResult<BTreeSet<Identity>> {
        Ok(self.memory.held(ids).await?)
    }

    async fn clear_dirty(&self, fence: Fence, rows: &[(Identity, u64)]) -> PortResult<()> {
        Ok(self.memory.clear_dirty(fence, rows).await?)
    }

    async fn quarantine(
        &self,
        fence: Fence,
        run: RunId,
        entries: &[(NewQuarantine, Option<u64>)],
    ) -> PortResult<()> {
        Ok(self.memory.quarantine(fence, run, entries).await?)
    }

    async fn quarantined(&self, ids: &[Identity]) -> PortResult<Vec<Option<Quarantined>>> {
        Ok(self.memory.quarantined(ids).await?)
    }

    async fn quarantine_size(&self) -> PortResult<u64> {
        let mut connection = self.store.acquire().await?;
        Ok(store::ledger::count_quarantined(&mut connection, self.memory.definition()).await?)
    }

    async fn quarantined_with(&self, code: &str) -> PortResult<u64> {
        Ok(self.memory.quarantined_with(code).await?)
    }

    async fn owned(&self, items: &[Uuid]) -> PortResult<BTreeSet<Uuid>> {
        Ok(self.memory.owned(items).await?)
    }

    async fn requeue_due(&self, fence: Fence) -> PortResult<u64> {
        Ok(self.memory.requeue_due(fence).await?)
    }

    async fn record_conflicts(
        &self,
        fence: Fence,
        run: RunId,
        conflicts: &[OverriddenEdit],
    ) -> PortResult<()> {
        let conflicts: Vec<store::OverriddenEdit> = conflicts
            .iter()
            .map(|edit| store::OverriddenEdit {
                identity: edit.identity,
                column: edit.column.clone(),
                source: edit.source.clone(),
                target: edit.target.clone(),
                winner: edit.winner,
                target_by: None,
                target_at: edit.target_at,
                ambiguous: edit.ambiguous,
            })
            .collect();
        Ok(self.memory.record_conflicts(fence, run, &conflicts).await?)
    }

    async fn requeue_approved(&self, fence: Fence) -> PortResult<u64> {
        Ok(self.memory.requeue_approved(fence).await?)
    }

    async fn stale_rows(&self, layout: LayoutStamp, hash_key: u16) -> PortResult<u64> {
        Ok(self.memory.stale_rows(layout, hash_key).await?)
    }

    async fn sweep_due(&self, every: Duration) -> PortResult<bool> {
        Ok(self.memory.sweep_due(every).await?)
    }

    async fn swept(&self, fence: Fence, run: RunId, mark: Mark) -> PortResult<()> {
        Ok(self.memory.swept(fence, run, mark).await?)
    }

    async fn deleted_within(&self, window: Duration) -> PortResult<u64> {
        Ok(self.memory.deleted_within(window).await?)
    }

    async fn cursor(&self) -> PortResult<Cursor> {
        Ok(self.memory.cursor().await?)
    }

    async fn generation(&self) -> PortResult<u32> {
        Ok(self.memory.generation().await?)
    }

    async fn linked(&self, items: &[Uuid]) -> PortResult<Vec<Option<Identity>>> {
        Ok(self.memory.linked(items).await?)
    }

    async fn owned_elsewhere(&self, items: &[uuid::Uuid]) -> PortResult<Vec<bool>> {
        Ok(self.memory.owned_elsewhere(items).await?)
    }

    async fn begin_verification(&self, start: &VerificationStart) -> PortResult<VerificationFrom> {
        Ok(self.memory.begin_verification(start).await?)
    }

    async fn keep_verification(&self, run: RunId, step: &VerificationStep) -> PortResult<()> {
        Ok(self.memory.keep_verification(run, step).await?)
    }

    async fn verified_page(&self, run: RunId, number: u64) -> PortResult<Vec<SeenItem>> {
        Ok(self.memory.verified_page(run, number).await?)
    }
}

impl PullMemory for LedgerPort {
    async fn delta_cursor(&self) -> PortResult<DeltaCursor> {
        Ok(self.memory.delta_cursor().await?)
    }

    async fn keep_delta(&self, fence: Fence, marks: &[DirtyMark], cursor: &DeltaCursor) -> PortResult<()> {
        Ok(self.memory.keep_delta(fence, marks, cursor).await?)
    }

    async fn rows_of_items(&self, items: &[ItemId]) -> PortResult<Vec<Option<LedgerRow>>> {
        Ok(self.memory.rows_of_items(items).await?)
    }

    async fn note_witnesses(&self, fence: Fence, witnesses: &[Witness]) -> PortResult<()> {
        Ok(self.memory.note_witnesses(fence, witnesses).await?)
    }

    async fn park_conflicts(&self, fence: Fence, run: RunId, conflicts: &[ParkedConflict]) -> PortResult<()> {
        Ok(self.memory.park_conflicts(fence, run, conflicts).await?)
    }

    async fn turns(&self, ids: &[Identity]) -> PortResult<Vec<Vec<Turned>>> {
        Ok(self.memory.turns(ids).await?)
    }

    async fn resolutions(&self, ids: &[Identity]) -> PortResult<Vec<Vec<Resolution>>> {
        Ok(self.memory.resolutions(ids).await?)
    }

    async fn close_conflicts(&self, fence: Fence, fields: &[(Identity, String)]) -> PortResult<()> {
        Ok(self.memory.close_conflicts(fence, fields).await?)
    }
}
