//! What the engine needs from the outside, as traits. Adapters do not know them: the worker crate is the only
//! place where a port meets an adapter, so that neither side can reach past the other.
//!
//! Ports speak single attempts (DESIGN §14): nothing behind [`Target::write`] repeats a write by itself.

pub mod list_feed;
pub mod past;
pub mod plan_book;
pub mod pull_memory;
pub mod row_writer;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};

use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::clock::{Clock, Entropy, Monotonic};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::dirty::{DirtyMark, DirtyRow, NewQuarantine, Quarantined};
use syncbridge_domain::effect::{Admission, Effect, Fence, NewEffect};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::feed::{Cursor, Horizon, Mark};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::{HashKey, Identity, Key};
use syncbridge_domain::ids::{EffectId, RunId};
use syncbridge_domain::item_history::HistoryRead;
use syncbridge_domain::ledger::{LedgerDigest, LedgerRow};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::ping_pong::FieldTurn;
use syncbridge_domain::quota::{Spending, WhyTag};
use syncbridge_domain::receipt::{Fields, ItemId, ItemPage, ItemRead, Lookup, Receipt, RowName, TaggedWrite};
use syncbridge_domain::revert::Hold;
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::verification::{
    KeyRange, SeenItem, VerificationFrom, VerificationStart, VerificationStep,
};
use syncbridge_domain::version::Version;

pub use syncbridge_domain::run::{Progress, Step};
use uuid::Uuid;

/// Every port answers with its result or a classified failure.
pub type PortResult<T> = Result<T, Failure>;

/// A page of source rows and what was true just before it was read.
#[derive(Clone, Debug)]
pub struct SourcePage {
    /// Rows in key order, or in (watermark, key) order.
    pub rows: Vec<SourceRow>,
    /// How new this page is.
    pub mark: Mark,
}

/// Where the next watermark page begins: behind this row, or at the value, rows that bear it included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatermarkPosition {
    /// Raw text of the watermark.
    pub value: String,
    /// Key of the last row with it; `None`: begin at the value itself, since a transaction that began in the
    /// very microsecond of the cursor may still have committed rows that bear it.
    pub key: Option<Key>,
}

/// The source table. Everything is read-only.
pub trait Source: Send + Sync {
    /// What is true right now; to be asked before the snapshot that is to rest on it.
    fn horizon(&self) -> impl Future<Output = PortResult<Horizon>> + Send;
    /// The watermark value that may become the cursor once the horizon's transactions have ended: the largest
    /// value now, held below the start of the oldest open transaction where the column is a server-written
    /// instant. The flag says whether it was so held; where it was not, the transactions to wait for are those
    /// of a horizon taken after this answer. `None`: the table is empty or all values are NULL.
    fn watermark_ceiling(
        &self,
        horizon: &Horizon,
    ) -> impl Future<Output = PortResult<Option<(String, bool)>>> + Send;
    /// About how many rows there are; 0 where nobody knows.
    fn estimate(&self) -> impl Future<Output = PortResult<u64>> + Send;
    /// Rows behind `after` in key order, at most `limit`.
    fn page_by_key(
        &self,
        after: Option<&Key>,
        limit: u32,
    ) -> impl Future<Output = PortResult<SourcePage>> + Send;
    /// Rows of a range in key order, behind `after` where that is given, at most `limit`.
    fn page_in_range(
        &self,
        range: &KeyRange,
        after: Option<&Key>,
        limit: u32,
    ) -> impl Future<Output = PortResult<SourcePage>> + Send;
    /// Which of these keys lie in a range by the source's own order, whether there are such rows or not.
    fn in_range(&self, range: &KeyRange, keys: &[Key]) -> impl Future<Output = PortResult<Vec<bool>>> + Send;
    /// Rows behind `after` in (watermark, key) order, NULL watermarks left out; `None` begins at the smallest.
    fn page_by_watermark(
        &self,
        after: Option<&WatermarkPosition>,
        limit: u32,
    ) -> impl Future<Output = PortResult<SourcePage>> + Send;
    /// Rows whose watermark is NULL, behind `after` in key order.
    fn page_without_watermark(
        &self,
        after: Option<&Key>,
        limit: u32,
    ) -> impl Future<Output = PortResult<SourcePage>> + Send;
    /// The rows with these keys as they are now, in the order asked. Up to some thousands are read in one snapshot;
    /// more in several, later keys in later ones, and the mark is that of the first. A key that is not there is `Presence::None`: a point read with row security off, which is proof of absence.
    fn read_keys(
        &self,
        keys: &[Key],
    ) -> impl Future<Output = PortResult<(Vec<Presence<SourceRow>>, Mark)>> + Send;
}

/// The target list.
pub trait Target: Send + Sync {
    /// Tries each write once, at most 20, and not at all after the deadline. One receipt a write, in order.
    fn write(
        &self,
        writes: Vec<TaggedWrite>,
        deadline: Monotonic,
    ) -> impl Future<Output = Vec<Receipt>> + Send;
    /// Looks items up by what they are recognised by. One answer a name, in order.
    fn lookup(&self, names: &[RowName], why: WhyTag) -> impl Future<Output = Vec<Lookup>> + Send;
    /// Reads items by number. One answer an item, in order.
    fn read(&self, items: &[ItemId], why: WhyTag) -> impl Future<Output = Vec<ItemRead>> + Send;
    /// Reads the versions of items, for what the items as they are cannot tell. One answer an item, in order.
    fn history(&self, items: &[ItemId], why: WhyTag) -> impl Future<Output = Vec<HistoryRead>> + Send;
    /// One page of the whole list, in the list's own order, sync keys included.
    fn page(&self, next: Option<&str>, why: WhyTag) -> impl Future<Output = PortResult<ItemPage>> + Send;
    /// Mapped columns that answers cannot be trusted to show any more: gone from the list, or hidden, since it
    /// was opened. To be asked after the answer in question.
    fn dropped_columns(&self) -> impl Future<Output = PortResult<Vec<String>>> + Send;
    /// Everything that people can put on these items, mapped or not. One answer an item, in order; `None`: it
    /// is not there any more.
    fn whole(
        &self,
        items: &[ItemId],
        why: WhyTag,
    ) -> impl Future<Output = PortResult<Vec<Option<WholeItem>>>> + Send;
    /// What was spent since the target was opened.
    fn spending(&self) -> Spending;
}

/// An item with everything on it that a person may have put there.
#[derive(Clone, PartialEq)]
pub struct WholeItem {
    /// How new it is.
    pub version: Version,
    /// Files hang on it.
    pub attachments: bool,
    /// Values of all columns that people see and can write.
    pub values: Fields,
}

impl std::fmt::Debug for WholeItem {
    // Values never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WholeItem({}, {} values)", self.version, self.values.len())
    }
}

/// What becomes of a write once its receipt is in. One settlement, one transaction with its neighbours.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The effect that is settled.
    pub effect: EffectId,
    /// Whose it is.
    pub identity: Identity,
    /// What happens to it.
    pub verdict: Verdict,
    /// The dirty row that asked for the write, removed only where its sequence is still this one.
    pub clears_dirty: Option<u64>,
    /// Graph's `request-id`, for the history.
    pub request_id: Option<String>,
    /// What the write means for the breaker, where it was applied.
    pub turns: Vec<FieldTurn>,
    /// Where it is applied: whether its row waits in quarantine from here on for a person or for another change, and is
    /// not tried again by itself, or does so no longer.
    pub hold: Hold,
}

/// How a write turned out.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Applied: the ledger takes this row (tombstones included), the effect closes, any quarantine entry goes.
    Applied(Box<LedgerRow>),
    /// An item that the ledger does not link to the row was deleted: the effect closes as applied, the ledger
    /// stays as it is.
    Removed,
    /// Certainly not applied, and not to be tried again now: the effect closes, the row goes to quarantine.
    Quarantined(Box<NewQuarantine>),
    /// Certainly not applied; the effect closes and the row is looked at again (it stays dirty).
    Released,
    /// Not applied when looked at, but it may still land: the effect is armed and the subject free.
    Armed,
}

/// The durable memory: ledger, effects, dirty rows, quarantine, cursors. Every write takes the fence and fails
/// with code `lease.lost` when the epoch is no longer the newest or the lease has run out by the database's clock.
pub trait Ledger: Send + Sync {
    /// Ledger rows of these identities, in the order asked.
    fn rows(&self, ids: &[Identity]) -> impl Future<Output = PortResult<Vec<Option<LedgerRow>>>> + Send;
    /// Digests in the order of identities, behind `after` and up to and including `until`, at most `limit`.
    fn digests(
        &self,
        after: Option<Identity>,
        until: Option<Identity>,
        limit: u32,
    ) -> impl Future<Output = PortResult<Vec<LedgerDigest>>> + Send;
    /// How many rows are live.
    fn live_rows(&self) -> impl Future<Output = PortResult<u64>> + Send;
    /// Stamps of the fields of an older layout, by which its hashes are carried over.
    fn layout(&self, stamp: LayoutStamp) -> impl Future<Output = PortResult<Option<Vec<u64>>>> + Send;
    /// Remembers the present layout.
    fn remember_layout(
        &self,
        fence: Fence,
        stamp: LayoutStamp,
        fields: &[u64],
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// Records writes before they are sent; one answer a write, in order.
    fn admit(
        &self,
        fence: Fence,
        run: RunId,
        effects: &[NewEffect],
    ) -> impl Future<Output = PortResult<Vec<Admission>>> + Send;
    /// Settles writes.
    fn settle(
        &self,
        fence: Fence,
        run: RunId,
        settled: &[Settlement],
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// Records agreement where nothing had to be written, and why: compare-and-set on the row version (0: no row
    /// yet). Answers which were taken.
    fn adopt(
        &self,
        fence: Fence,
        rows: &[LedgerRow],
        clears_dirty: &[Option<u64>],
        causes: &[Cause],
    ) -> impl Future<Output = PortResult<Vec<bool>>> + Send;
    /// Effects that are open or armed, oldest first.
    fn unsettled(&self, limit: u32) -> impl Future<Output = PortResult<Vec<Effect>>> + Send;
    /// Notes that an armed effect was looked for and not found.
    fn probed(&self, fence: Fence, effects: &[EffectId]) -> impl Future<Output = PortResult<()>> + Send;
    /// Marks rows dirty and moves the cursor, in one transaction.
    fn mark_dirty(
        &self,
        fence: Fence,
        marks: &[DirtyMark],
        cursor: Option<&Cursor>,
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// Dirty rows behind `after` in the order of identities.
    fn dirty(
        &self,
        after: Option<Identity>,
        limit: u32,
    ) -> impl Future<Output = PortResult<Vec<DirtyRow>>> + Send;
    /// Rows that were held after a revert are the same on both sides again and leave quarantine. Nothing else that is
    /// recorded about a row ends its being held.
    fn let_go(&self, fence: Fence, ids: &[Identity]) -> impl Future<Output = PortResult<()>> + Send;
    /// Removes dirty rows whose sequence is still the given one: they were found to need nothing.
    fn clear_dirty(
        &self,
        fence: Fence,
        rows: &[(Identity, u64)],
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// Puts rows into quarantine without a write having been tried; removes their dirty rows where the sequence is still the given one.
    fn quarantine(
        &self,
        fence: Fence,
        run: RunId,
        entries: &[(NewQuarantine, Option<u64>)],
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// Quarantine entries of these identities, in the order asked.
    fn quarantined(
        &self,
        ids: &[Identity],
    ) -> impl Future<Output = PortResult<Vec<Option<Quarantined>>>> + Send;
    /// Which of these rows are held after a revert: neither accepted by a person nor asked to be tried again.
    fn held(&self, ids: &[Identity]) -> impl Future<Output = PortResult<BTreeSet<Identity>>> + Send;
    /// How many rows are in quarantine; those a person accepted as they are do not count.
    fn quarantine_size(&self) -> impl Future<Output = PortResult<u64>> + Send;
    /// How many rows are in quarantine for this code.
    fn quarantined_with(&self, code: &str) -> impl Future<Output = PortResult<u64>> + Send;
    /// Which of these items belong to a row, of this definition or of another one.
    fn owned(&self, items: &[Uuid]) -> impl Future<Output = PortResult<BTreeSet<Uuid>>> + Send;
    /// Makes quarantined rows that are due dirty again. Answers how many.
    fn requeue_due(&self, fence: Fence) -> impl Future<Output = PortResult<u64>> + Send;
    /// Records edits of one side that the other overrode, with both values sealed.
    fn record_conflicts(
        &self,
        fence: Fence,
        run: RunId,
        conflicts: &[OverriddenEdit],
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// Makes quarantined rows that wait for a person's approval dirty again. Answers how many.
    fn requeue_approved(&self, fence: Fence) -> impl Future<Output = PortResult<u64>> + Send;
    /// How many live rows hold hashes that cannot be read in this layout, or under this hash key; rows in
    /// quarantine wait for a person and are left out.
    fn stale_rows(&self, layout: LayoutStamp, hash_key: u16) -> impl Future<Output = PortResult<u64>> + Send;
    /// Whether the last full comparison ended so long ago, or there never was one; by the memory's own clock.
    fn sweep_due(&self, every: Duration) -> impl Future<Output = PortResult<bool>> + Send;
    /// Records that everything was compared as of this mark, and lets tombstones go that every feed is past.
    fn swept(&self, fence: Fence, run: RunId, mark: Mark) -> impl Future<Output = PortResult<()>> + Send;
    /// How many items were deleted within the window before now without a person's word.
    fn deleted_within(&self, window: Duration) -> impl Future<Output = PortResult<u64>> + Send;
    /// How far the feed was taken over.
    fn cursor(&self) -> impl Future<Output = PortResult<Cursor>> + Send;
    /// The generation of source marks.
    fn generation(&self) -> impl Future<Output = PortResult<u32>> + Send;
    /// Which row each of these items (by guid) is linked to, in the order asked.
    fn linked(&self, items: &[Uuid]) -> impl Future<Output = PortResult<Vec<Option<Identity>>>> + Send;
    /// Which of these items (by guid) another definition owns, in the order asked.
    fn owned_elsewhere(&self, items: &[uuid::Uuid]) -> impl Future<Output = PortResult<Vec<bool>>> + Send;
    /// Begins a verification, or takes over the newest interrupted one with the same fingerprint. Needs no
    /// lease: nothing of the agreement is touched.
    fn begin_verification(
        &self,
        start: &VerificationStart,
    ) -> impl Future<Output = PortResult<VerificationFrom>> + Send;
    /// Keeps a verification's progress and differences; fails with `verify.taken_over` where another run went on
    /// with it.
    fn keep_verification(
        &self,
        run: RunId,
        step: &VerificationStep,
    ) -> impl Future<Output = PortResult<()>> + Send;
    /// The items of a page that was kept.
    fn verified_page(
        &self,
        run: RunId,
        number: u64,
    ) -> impl Future<Output = PortResult<Vec<SeenItem>>> + Send;
}

/// An edit that lost against the other side's.
#[derive(Clone, PartialEq)]
pub struct OverriddenEdit {
    /// Whose.
    pub identity: Identity,
    /// Source column.
    pub column: String,
    /// What the source holds (canonical JSON), sealed before it is stored.
    pub source: serde_json::Value,
    /// What the list held, sealed before it is stored.
    pub target: serde_json::Value,
    /// Whose value stands.
    pub winner: Side,
    /// When the list's edit was made, by the service's clock, where the item said so.
    pub target_at: Option<DateTime<Utc>>,
    /// It cannot be told any more who changed what.
    pub ambiguous: bool,
}

impl std::fmt::Debug for OverriddenEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OverriddenEdit({} `{}`)", self.identity, self.column)
    }
}

/// A record of a full scan: who, in which state, and how to address the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRecord {
    /// Whose.
    pub identity: Identity,
    /// Digest of the source row.
    pub digest: RowDigest,
    /// Addresses the row.
    pub key: Key,
}

/// Scratch space for full scans: records go to buckets by identity prefix and come back bucket by bucket, so
/// that memory is bounded by a bucket and not by the table.
pub trait Scratch: Send + Sync {
    /// An open scan.
    type Spill: Spill;
    /// Open notes.
    type Notes: Notes;
    /// Opens scratch space for about so many rows.
    fn spill(&self, expected_rows: u64) -> PortResult<Self::Spill>;
    /// Opens scratch space for notes about so many rows. The same number gives the same buckets.
    fn notes(&self, expected_rows: u64) -> PortResult<Self::Notes>;
}

/// What is noted about one identity: hashes and addresses, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// About whom.
    pub identity: Identity,
    /// What, in the writer's own form.
    pub bytes: Vec<u8>,
}

/// Notes by identity prefix, see [`Scratch`].
pub trait Notes: Send {
    /// Adds notes.
    fn push(&mut self, notes: Vec<Note>) -> PortResult<()>;
    /// How many buckets there are, a power of two: bucket `i` holds the identities with that prefix.
    fn bucket_bits(&self) -> u32;
    /// The notes of a bucket, sorted by identity.
    fn bucket(&mut self, index: usize) -> PortResult<Vec<Note>>;
}

/// An open scan, see [`Scratch`].
pub trait Spill: Send {
    /// Adds records.
    fn push(&mut self, records: Vec<ScanRecord>) -> PortResult<()>;
    /// How many buckets there are, a power of two: bucket `i` holds the identities with that prefix.
    fn bucket_bits(&self) -> u32;
    /// The records of a bucket, sorted by identity.
    fn bucket(&mut self, index: usize) -> PortResult<Vec<ScanRecord>>;
}

/// The right to go on: lease, pause and cancel.
pub trait Control: Send + Sync {
    /// The fence every meta-store write takes.
    fn fence(&self) -> Fence;
    /// Until when, by this process's monotonic clock, a request may be under way: the end of the lease less a
    /// margin. Nothing is sent after it.
    fn send_before(&self) -> Monotonic;
    /// Whether a person asked to stop.
    fn cancelled(&self) -> bool;
}

/// All ports of a run.
pub struct Ports<'a, S, T, L, X, C, P> {
    /// The table.
    pub source: &'a S,
    /// The list.
    pub target: &'a T,
    /// The memory.
    pub ledger: &'a L,
    /// Scratch space.
    pub scratch: &'a X,
    /// Lease, pause, cancel.
    pub control: &'a C,
    /// Progress.
    pub progress: &'a P,
    /// Saved plans, where one is worked out or run.
    pub plans: Option<&'a dyn plan_book::PlanBook>,
    /// What earlier runs wrote, where one of them is put back.
    pub past: Option<&'a dyn past::Past>,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub entropy: &'a dyn Entropy,
    /// The workspace's hash key.
    pub hash_key: &'a HashKey,
}
