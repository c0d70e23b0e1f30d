//! What the memory keeps for the way from the list to the source, as a port beside [`super::Ledger`].

use std::future::Future;

use syncbridge_domain::conflict::{ParkedConflict, Resolution};
use syncbridge_domain::delta::DeltaCursor;
use syncbridge_domain::dirty::DirtyMark;
use syncbridge_domain::effect::{Fence, Witness};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::RunId;
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::ping_pong::Turned;
use syncbridge_domain::receipt::ItemId;

use super::PortResult;

/// The memory of both directions.
pub trait PullMemory: Send + Sync {
    /// How far the list's feed was taken over; the very beginning where nothing was stored.
    fn delta_cursor(&self) -> impl Future<Output = PortResult<DeltaCursor>> + Send;
    /// Marks rows dirty and moves the cursor of the list's feed, in one transaction.
    fn keep_delta(
        &self,
        fence: Fence,
        marks: &[DirtyMark],
        cursor: &DeltaCursor,
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// The ledger rows (tombstones included) that these items of the definition's list are linked to, by number, in
    /// the order asked.
    fn rows_of_items(
        &self,
        items: &[ItemId],
    ) -> impl Future<Output = PortResult<Vec<Option<LedgerRow>>>> + Send;
    /// Notes the witnesses of staged source writes before they commit. An effect of an insert is held under its row's
    /// identity from here on. Fails, changing nothing, with `lease.lost` where the epoch is not the newest any more,
    /// and with `effect.taken` where the row's identity has another open effect.
    fn note_witnesses(
        &self,
        fence: Fence,
        witnesses: &[Witness],
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// Keeps conflicts that wait for a person, with both values sealed; one already parked for the same field with the
    /// same two hashes stays as it is, one with others is replaced.
    fn park_conflicts(
        &self,
        fence: Fence,
        run: RunId,
        conflicts: &[ParkedConflict],
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// What people decided about conflicts of these identities and what was not carried out yet, in the order asked.
    fn resolutions(&self, ids: &[Identity]) -> impl Future<Output = PortResult<Vec<Vec<Resolution>>>> + Send;
    /// What is known of the writes to fields of these identities, in the order asked. They are counted where writes are
    /// settled.
    fn turns(&self, ids: &[Identity]) -> impl Future<Output = PortResult<Vec<Vec<Turned>>>> + Send;
    /// Closes parked conflicts of these fields: carried out, or gone because both sides agree again. What was counted
    /// against the fields is forgotten.
    fn close_conflicts(
        &self,
        fence: Fence,
        fields: &[(Identity, String)],
    ) -> impl Future<Output = PortResult<()>> + Send;
}
