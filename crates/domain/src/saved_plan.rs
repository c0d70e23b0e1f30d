//! Data changes that were worked out and wait for somebody's word: what a plan holds, by what it is known to be the
//! very one that was looked at, and who may let it run.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use chrono::{DateTime, Utc};

use crate::agreed::{RowDigest, stable_json};
use crate::effect::{EffectKind, ItemLink};
use crate::identity::{HashKey, Identity, Key};
use crate::ids::{DefinitionId, PlanId, RevisionId, RunId};
use crate::quota::Ru;

/// One write that a plan makes, with the states it rests on. Where they are no longer so, the row is refused.
#[derive(Clone, PartialEq)]
pub struct PlannedChange {
    /// Whose.
    pub identity: Identity,
    /// Its place among the writes of its identity, from 0.
    pub ordinal: u16,
    /// Addresses the row.
    pub key: Key,
    /// What it does.
    pub kind: EffectKind,
    /// The item, with the version it had; none for a create.
    pub item: Option<ItemLink>,
    /// The ledger row's version; `None` where there was no row.
    pub row_version: Option<u64>,
    /// Digest of the source row; `None` where there was no row.
    pub digest: Option<RowDigest>,
    /// What changes, column by column. Values are sealed before they are stored.
    pub fields: Vec<PlannedField>,
}

impl std::fmt::Debug for PlannedChange {
    // Values never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PlannedChange({} {}, {} fields)",
            self.identity,
            self.kind.name(),
            self.fields.len()
        )
    }
}

/// One cell of a planned write.
#[derive(Clone, PartialEq)]
pub struct PlannedField {
    /// Source column; a list column of ours that no source column stands for has its own name.
    pub column: String,
    /// What is there now; null where nothing is, and [`PlannedField::unread`] where nobody looked.
    pub before: Json,
    /// What will be there; null where nothing will be.
    pub after: Json,
}

impl PlannedField {
    /// Stands for a value that was not read. No cell ever shows an object.
    #[must_use]
    pub fn unread() -> Json {
        Json::Object(serde_json::Map::new())
    }

    /// Whether the value that is there now was read.
    #[must_use]
    pub fn was_read(&self) -> bool {
        !self.before.is_object()
    }
}

impl std::fmt::Debug for PlannedField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PlannedField(`{}`)", self.column)
    }
}

/// By what a plan is known: a keyed hash over all its changes in the order of (identity, ordinal), values included.
/// Keyed, so that it can be shown without telling anything of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanHash(pub [u8; 32]);

/// Takes a plan's changes one by one, so that a plan is hashed without being held.
pub struct PlanHasher(blake3::Hasher);

impl PlanHasher {
    /// Begins.
    #[must_use]
    pub fn new(hash_key: &HashKey) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(hash_key.cells());
        hasher.update(b"plan 1");
        Self(hasher)
    }

    /// Adds the next change.
    pub fn push(&mut self, change: &PlannedChange) {
        self.part(change.identity.as_bytes());
        self.part(&change.ordinal.to_be_bytes());
        self.part(change.key.as_bytes());
        self.part(change.kind.name().as_bytes());
        self.part(&[u8::from(change.item.is_some())]);
        if let Some(item) = &change.item {
            self.part(item.id.0.as_bytes());
            self.part(item.before.guid.as_bytes());
            self.part(&item.before.counter.to_be_bytes());
        }
        let row_version = change.row_version.map(u64::to_be_bytes);
        self.part(row_version.as_ref().map_or(b"", |bytes| bytes.as_slice()));
        self.part(change.digest.as_ref().map_or(b"", |digest| digest.0.as_slice()));
        self.part(&(change.fields.len() as u64).to_be_bytes());
        for field in &change.fields {
            self.part(field.column.as_bytes());
            for value in [&field.before, &field.after] {
                let mut stable = Vec::new();
                stable_json(value, &mut stable);
                self.part(&stable);
            }
        }
    }

    /// The hash of all that was added.
    #[must_use]
    pub fn finish(self) -> PlanHash {
        PlanHash(*self.0.finalize().as_bytes())
    }

    /// Parts are length-prefixed, so that no two plans have the same bytes.
    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }
}

impl std::fmt::Debug for PlanHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlanHasher(..)")
    }
}

/// Where a plan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// It is still being worked out.
    Building,
    /// Complete; nobody said anything yet.
    Open,
    /// Somebody let it pass.
    Approved,
    /// It was run.
    Applied,
    /// Somebody rejected it, or it was never completed.
    Discarded,
    /// Nobody ran it in time.
    Expired,
}

impl PlanState {
    /// Every state.
    pub const ALL: [PlanState; 6] = [
        PlanState::Building,
        PlanState::Open,
        PlanState::Approved,
        PlanState::Applied,
        PlanState::Discarded,
        PlanState::Expired,
    ];

    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PlanState::Building => "building",
            PlanState::Open => "open",
            PlanState::Approved => "approved",
            PlanState::Applied => "applied",
            PlanState::Discarded => "discarded",
            PlanState::Expired => "expired",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What became of one planned change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// It was not tried yet.
    Waiting,
    /// It was made.
    Applied,
    /// What it rests on had changed; nothing was made.
    Outdated,
    /// The other side refused it.
    Refused,
}

impl ChangeState {
    /// Every state.
    pub const ALL: [ChangeState; 4] = [
        ChangeState::Waiting,
        ChangeState::Applied,
        ChangeState::Outdated,
        ChangeState::Refused,
    ];

    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ChangeState::Waiting => "waiting",
            ChangeState::Applied => "applied",
            ChangeState::Outdated => "outdated",
            ChangeState::Refused => "refused",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// How many changes of each kind a plan holds, and what stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanCounts {
    /// New items.
    pub items_created: u64,
    /// Changed items.
    pub items_patched: u64,
    /// Deleted items.
    pub items_deleted: u64,
    /// New source rows.
    pub rows_inserted: u64,
    /// Changed source rows.
    pub rows_updated: u64,
    /// Deleted source rows.
    pub rows_deleted: u64,
    /// Fields that wait for a person.
    pub conflicts: u64,
    /// Rows that cannot travel.
    pub refused: u64,
    /// Edits on the side that does not own the field, left standing.
    pub foreign: u64,
    /// Edits that lose against the other side's.
    pub overridden: u64,
    /// Rows that are held back, or too new to be judged.
    pub waiting: u64,
    /// Whether more would be deleted than the guard lets pass, so that somebody has to approve it.
    pub beyond_guard: bool,
}

impl PlanCounts {
    /// Counts one more change.
    pub fn add(&mut self, kind: EffectKind) {
        let count = match kind {
            EffectKind::CreateItem => &mut self.items_created,
            EffectKind::PatchItem => &mut self.items_patched,
            EffectKind::DeleteItem => &mut self.items_deleted,
            EffectKind::InsertRow => &mut self.rows_inserted,
            EffectKind::UpdateRow => &mut self.rows_updated,
            EffectKind::DeleteRow => &mut self.rows_deleted,
        };
        *count += 1;
    }

    /// What stays as it is, and waits.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.conflicts + self.refused + self.waiting
    }

    /// All changes.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.items_created
            + self.items_patched
            + self.items_deleted
            + self.rows_inserted
            + self.rows_updated
            + self.rows_deleted
    }
}

/// A saved plan without its changes.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanHeader {
    /// Its id.
    pub id: PlanId,
    /// Its definition.
    pub definition: DefinitionId,
    /// The definition's revision it was worked out for.
    pub revision: RevisionId,
    /// The run that worked it out.
    pub run: RunId,
    /// The generation of source marks it was worked out in.
    pub generation: u32,
    /// Where it stands, at the time it was read: one that is past its time is expired.
    pub state: PlanState,
    /// By what it is known; `None` while it is being worked out.
    pub hash: Option<PlanHash>,
    /// What it holds.
    pub counts: PlanCounts,
    /// What it will cost; `None` while it is being worked out.
    pub predicted_ru: Option<Ru>,
    /// Who asked for it.
    pub requested_by: String,
    /// When work on it began.
    pub created: DateTime<Utc>,
    /// Until when it may be approved and run; `None` while it is being worked out.
    pub expires: Option<DateTime<Utc>>,
}

/// What somebody said about a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanVerdict {
    /// It may run.
    Approved,
    /// It may not.
    Rejected,
}

impl PlanVerdict {
    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PlanVerdict::Approved => "approved",
            PlanVerdict::Rejected => "rejected",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [PlanVerdict::Approved, PlanVerdict::Rejected]
            .into_iter()
            .find(|verdict| verdict.name() == name)
    }
}

/// Somebody's word on a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Whose.
    pub actor: String,
    /// What they said.
    pub decision: PlanVerdict,
    /// In their words.
    pub remark: Option<String>,
}

/// Why a plan is not approved, rejected or run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefusal {
    /// Nobody ran it in time: what it rests on is too old to be trusted.
    #[error("the plan has expired")]
    Expired,
    /// Whoever asked for it may not be the one who lets it pass.
    #[error("the plan was asked for by the same person, and the definition asks for two")]
    FourEyes,
    /// It is not where it would have to be.
    #[error("the plan is {}", .0.name())]
    State(PlanState),
    /// It waits for somebody's word.
    #[error("the plan waits for approval")]
    NotApproved,
}

impl PlanHeader {
    /// Whether this may be said about it. With `four_eyes` nobody approves what they asked for themselves, though
    /// they may reject it.
    ///
    /// # Errors
    /// [`PlanRefusal`].
    pub fn may_be_judged(&self, approval: &Approval, four_eyes: bool) -> Result<(), PlanRefusal> {
        match self.state {
            PlanState::Expired => Err(PlanRefusal::Expired),
            PlanState::Open if approval.decision == PlanVerdict::Rejected => Ok(()),
            PlanState::Open if four_eyes && approval.actor == self.requested_by => Err(PlanRefusal::FourEyes),
            PlanState::Open => Ok(()),
            // Second thoughts are heard until it runs.
            PlanState::Approved if approval.decision == PlanVerdict::Rejected => Ok(()),
            state => Err(PlanRefusal::State(state)),
        }
    }

    /// Whether it may run.
    ///
    /// # Errors
    /// [`PlanRefusal`].
    pub fn may_run(&self, needs_approval: bool) -> Result<(), PlanRefusal> {
        match self.state {
            PlanState::Expired => Err(PlanRefusal::Expired),
            PlanState::Approved => Ok(()),
            PlanState::Open if needs_approval => Err(PlanRefusal::NotApproved),
            PlanState::Open => Ok(()),
            state => Err(PlanRefusal::State(state)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::receipt::ItemId;
    use crate::version::Version;

    fn change() -> PlannedChange {
        PlannedChange {
            identity: Identity::from_bytes([1; 16]),
            ordinal: 0,
            key: Key::from_bytes(b"I\0\0\0\x01x".to_vec()).unwrap(),
            kind: EffectKind::PatchItem,
            item: Some(ItemLink {
                id: ItemId("7".into()),
                before: Version {
                    guid: Uuid::from_u128(7),
                    counter: 3,
                },
            }),
            row_version: Some(2),
            digest: Some(RowDigest([4; 16])),
            fields: vec![PlannedField {
                column: "title".into(),
                before: json!("old"),
                after: json!("new"),
            }],
        }
    }

    fn hash(changes: &[&PlannedChange]) -> PlanHash {
        let mut hasher = PlanHasher::new(&HashKey::new(1, &[7; 32]));
        changes.iter().for_each(|change| hasher.push(change));
        hasher.finish()
    }

    #[test]
    fn whatever_differs_makes_another_plan() {
        let (one, field) = (change(), change().fields.remove(0));
        let with = |alter: &dyn Fn(&mut PlannedChange)| {
            let mut other = change();
            alter(&mut other);
            other
        };
        let others = [
            with(&|c| c.identity = Identity::from_bytes([2; 16])),
            with(&|c| c.ordinal = 1),
            with(&|c| c.key = Key::from_bytes(b"I\0\0\0\x01y".to_vec()).unwrap()),
            with(&|c| c.kind = EffectKind::DeleteItem),
            with(&|c| c.item = None),
            with(&|c| c.item.as_mut().unwrap().before.counter = 4),
            with(&|c| c.row_version = None),
            with(&|c| c.digest = None),
            with(&|c| c.fields.clear()),
            with(&|c| c.fields[0].column = "body".into()),
            with(&|c| c.fields[0].before = json!(null)),
            with(&|c| c.fields[0].after = json!("newer")),
            with(&|c| c.fields.push(field.clone())),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(hash(&[other]), hash(&[&one]), "{at}");
        }
        let two = &others[0];
        assert_ne!(hash(&[&one, two]), hash(&[two, &one]));
        assert_ne!(hash(&[&one, &one]), hash(&[&one]));
        assert_eq!(hash(&[&one]), hash(&[&change()]));
    }

    fn header(state: PlanState) -> PlanHeader {
        PlanHeader {
            id: PlanId::from_uuid(Uuid::from_u128(1)),
            definition: DefinitionId::from_uuid(Uuid::from_u128(2)),
            revision: RevisionId::from_uuid(Uuid::from_u128(3)),
            run: RunId::from_uuid(Uuid::from_u128(4)),
            generation: 1,
            state,
            hash: None,
            counts: PlanCounts::default(),
            predicted_ru: None,
            requested_by: "ada".into(),
            created: DateTime::UNIX_EPOCH,
            expires: None,
        }
    }

    fn says(actor: &str, decision: PlanVerdict) -> Approval {
        Approval {
            actor: actor.into(),
            decision,
            remark: None,
        }
    }

    #[test]
    fn nobody_approves_their_own_plan_where_two_are_asked_for() {
        let open = header(PlanState::Open);
        let judged = |actor, decision, four_eyes| open.may_be_judged(&says(actor, decision), four_eyes);
        assert_eq!(judged("ada", PlanVerdict::Approved, false), Ok(()));
        assert_eq!(
            judged("ada", PlanVerdict::Approved, true),
            Err(PlanRefusal::FourEyes)
        );
        assert_eq!(judged("ada", PlanVerdict::Rejected, true), Ok(()));
        assert_eq!(judged("bob", PlanVerdict::Approved, true), Ok(()));
    }

    #[test]
    fn only_a_complete_fresh_plan_is_approved_and_only_such_a_one_runs() {
        for state in PlanState::ALL {
            let plan = header(state);
            let approved = plan.may_be_judged(&says("bob", PlanVerdict::Approved), true);
            assert_eq!(approved.is_ok(), state == PlanState::Open, "{state:?}");
            let rejected = plan.may_be_judged(&says("bob", PlanVerdict::Rejected), true);
            let waits = matches!(state, PlanState::Open | PlanState::Approved);
            assert_eq!(rejected.is_ok(), waits, "{state:?}");
            assert_eq!(
                plan.may_run(true).is_ok(),
                state == PlanState::Approved,
                "{state:?}"
            );
            assert_eq!(plan.may_run(false).is_ok(), waits, "{state:?}");
            assert_eq!(PlanState::parse(state.name()), Some(state));
        }
    }
}
