//! What the memory keeps. A copy is a backup; nothing of it is lost when a worker dies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use syncbridge_domain::conflict::{ParkedConflict, Side};
use syncbridge_domain::delta::DeltaCursor;
use syncbridge_domain::dirty::{Ignored, NewQuarantine, TargetHint};
use syncbridge_domain::effect::{EffectKind, EffectState, NewEffect};
use syncbridge_domain::feed::{Cursor, Mark};
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ids::{DefinitionId, EffectId, RunId};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::run::Verification;
use syncbridge_domain::verification::{Difference, SeenItem};
use syncbridge_engine::ports::OverriddenEdit;
use uuid::Uuid;

use super::denied::Denied;

/// Everything the memory keeps, of all definitions.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub(super) definitions: BTreeMap<DefinitionId, Definition>,
    /// Whose each item of a list is: one item, one identity, over all definitions.
    pub(super) links: BTreeMap<(Arc<str>, Uuid), (DefinitionId, Identity)>,
    pub(super) effects: BTreeMap<EffectId, Arc<StoredEffect>>,
    /// Numbers every mark ever made.
    pub(super) sequence: u64,
    pub(super) history: Vec<HistoryEntry>,
    /// Runs that a person told by name that deletes may pass.
    pub(super) deletes_allowed: BTreeSet<RunId>,
}

/// One definition's part.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) list: Arc<str>,
    pub(super) generation: u32,
    pub(super) epoch: u64,
    pub(super) lease_until: Option<DateTime<Utc>>,
    pub(super) rows: BTreeMap<Identity, StoredRow>,
    pub(super) dirty: BTreeMap<Identity, StoredDirty>,
    pub(super) quarantine: BTreeMap<Identity, StoredQuarantine>,
    pub(super) cursor: Option<Cursor>,
    pub(super) delta: Option<DeltaCursor>,
    pub(super) layouts: BTreeMap<u32, Vec<u64>>,
    pub(super) swept: Option<DateTime<Utc>>,
    pub(super) overridden: Vec<OverriddenEdit>,
    /// Conflicts that wait, or whose decision was not carried out yet: one a field.
    pub(super) parked: BTreeMap<(Identity, String), Parked>,
    /// Fields that came back after our own writes.
    pub(super) turns: BTreeMap<(Identity, String), StoredTurns>,
    /// Oldest first.
    pub(super) verifications: Vec<StoredVerification>,
}

impl Definition {
    pub(super) fn new(list: &str) -> Self {
        Self {
            list: list.into(),
            generation: 1,
            epoch: 0,
            lease_until: None,
            rows: BTreeMap::new(),
            dirty: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            cursor: None,
            delta: None,
            layouts: BTreeMap::new(),
            swept: None,
            overridden: Vec::new(),
            parked: BTreeMap::new(),
            turns: BTreeMap::new(),
            verifications: Vec::new(),
        }
    }
}

/// Writes to one field, as far as it came back.
#[derive(Clone, Debug)]
pub(super) struct StoredTurns {
    pub(super) to: Side,
    pub(super) returns: u32,
    pub(super) since: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub(super) struct StoredRow {
    pub(super) row: LedgerRow,
    pub(super) updated: DateTime<Utc>,
}

/// What the list's feed said, and when; `None`: nothing.
pub(super) type Hint = Option<(TargetHint, DateTime<Utc>)>;

#[derive(Clone, Debug)]
pub(super) struct StoredDirty {
    pub(super) key: Key,
    pub(super) mark: Mark,
    pub(super) suspected_delete: bool,
    pub(super) hint: Hint,
    pub(super) sequence: u64,
}

#[derive(Clone, Debug)]
pub(super) struct StoredQuarantine {
    pub(super) entry: NewQuarantine,
    pub(super) attempts: u32,
    pub(super) retry_at: Option<DateTime<Utc>>,
    pub(super) since: DateTime<Utc>,
    pub(super) ignored: Option<Ignored>,
    pub(super) mark: Mark,
    pub(super) suspected_delete: bool,
    pub(super) hint: Hint,
}

#[derive(Clone, Debug)]
pub(super) struct StoredEffect {
    pub(super) definition: DefinitionId,
    pub(super) list: Arc<str>,
    pub(super) run: RunId,
    pub(super) epoch: u64,
    pub(super) new: NewEffect,
    /// The identity it was recorded under, where it is held under another one since.
    pub(super) recorded_under: Option<Identity>,
    pub(super) witnessed: Option<Option<u64>>,
    pub(super) state: EffectState,
    pub(super) probes: u32,
    pub(super) next_probe: DateTime<Utc>,
    pub(super) created: DateTime<Utc>,
}

impl StoredEffect {
    /// Whether it is known by this identity.
    pub(super) fn answers_to(&self, definition: DefinitionId, identity: Identity) -> bool {
        self.definition == definition
            && (self.new.subject.identity == identity || self.recorded_under == Some(identity))
    }

    /// Whether it keeps another write from being open.
    pub(super) fn excludes(&self, other: &StoredEffect) -> bool {
        let of_one_subject =
            self.definition == other.definition && self.new.subject.identity == other.new.subject.identity;
        let guid = |effect: &StoredEffect| effect.new.item.as_ref().map(|item| item.before.guid);
        let of_one_item = self.list == other.list && guid(self).is_some() && guid(self) == guid(other);
        self.state == EffectState::Open && (of_one_subject || of_one_item)
    }
}

/// A conflict that waits for a person, and what was decided.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    pub(super) conflict: ParkedConflict,
    pub(super) winner: Option<Side>,
}

#[derive(Clone, Debug)]
pub(super) struct StoredVerification {
    pub(super) run: RunId,
    pub(super) fingerprint: String,
    pub(super) pages: u64,
    pub(super) next: Option<String>,
    pub(super) report: Verification,
    pub(super) finished: bool,
    pub(super) seen: BTreeMap<u64, Vec<SeenItem>>,
    /// With the page that showed it.
    pub(super) differences: Vec<(Option<u64>, Difference)>,
}

/// What happened to an identity: append-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// In which definition.
    pub definition: DefinitionId,
    /// To whom.
    pub identity: Identity,
    /// By which run.
    pub run: RunId,
    /// The write and its kind; `None`: agreement was found without one.
    pub effect: Option<(EffectId, EffectKind)>,
    /// How it ended.
    pub outcome: Outcome,
    /// The item's counter before and after.
    pub counters: (Option<u64>, Option<u64>),
    /// Graph's `request-id`.
    pub request_id: Option<String>,
}

/// How an entry of the history came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The write was applied.
    Applied,
    /// It was refused, and its row is in quarantine.
    Quarantined,
    /// It certainly did not happen.
    Released,
    /// Nothing had to be written.
    Adopted,
}

impl Tables {
    pub(super) fn definition(&self, id: DefinitionId) -> Result<&Definition, Denied> {
        self.definitions.get(&id).ok_or(Denied::NotFound)
    }

    pub(super) fn definition_mut(&mut self, id: DefinitionId) -> Result<&mut Definition, Denied> {
        self.definitions.get_mut(&id).ok_or(Denied::NotFound)
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}
