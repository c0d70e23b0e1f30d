//! Short ways to make what a memory stores, and a worker that stores it.

use std::time::Duration;

use serde_json::json;
use syncbridge_domain::agreed::{Agreed, RowDigest};
use syncbridge_domain::dirty::{DirtyMark, DirtyRow, NewQuarantine, TargetHint};
use syncbridge_domain::effect::{Admission, AfterState, EffectKind, Fence, ItemLink, NewEffect, Subject};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::{Lsn, Mark};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::{HashKey, Identity};
use syncbridge_domain::ids::{DefinitionId, EffectId, RunId};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::receipt::{Fields, ItemId};
use syncbridge_domain::reconcile::RowDecision;
use syncbridge_domain::revert::Hold;
use syncbridge_domain::version::Version;
use syncbridge_engine::ports::{Ledger, PortResult, Settlement, Verdict};
use uuid::Uuid;

use crate::table::KeyKind;
use crate::world::MemoryWorld;

/// The list that most definitions drive.
pub const LIST: &str = "11111111-2222-3333-4444-555555555555";

/// The term of a worker's lease; see [`Worker::later`] for cases that last longer.
pub const TERM: Duration = Duration::from_hours(1);

/// A worker that holds a definition's lease.
pub struct Worker<M> {
    /// The definition.
    pub id: DefinitionId,
    /// Its memory.
    pub memory: M,
    /// The lease.
    pub fence: Fence,
    /// The worker's run.
    pub run: RunId,
}

/// A new definition that drives a list, and a worker that drives the definition.
pub async fn worker<W: MemoryWorld>(world: &W, list: &str) -> Worker<W::Memory> {
    let (id, memory) = world.define(list).await;
    let fence = world.acquire(id, TERM).await;
    Worker {
        id,
        memory,
        fence,
        run: run(),
    }
}

impl<M: Ledger> Worker<M> {
    /// Comes back so much later, with a new lease.
    pub async fn later<W: MemoryWorld<Memory = M>>(&mut self, world: &W, time: Duration) {
        world.release(self.fence).await;
        world.pass(time).await;
        self.fence = world.acquire(self.id, TERM).await;
    }

    /// Asks for admission of one write.
    pub async fn ask(&self, effect: &NewEffect) -> Admission {
        let asked = std::slice::from_ref(effect);
        let answers = self.memory.admit(self.fence, self.run, asked).await.unwrap();
        assert_eq!(answers.len(), 1);
        answers[0]
    }

    /// Admits one write, which must be let in.
    pub async fn admit(&self, effect: &NewEffect) {
        assert_eq!(self.ask(effect).await, Admission::Admitted);
    }

    /// Settles one write.
    pub async fn settle(&self, effect: &NewEffect, verdict: Verdict) -> PortResult<()> {
        let settled = settlement(effect, verdict, None);
        self.memory.settle(self.fence, self.run, &[settled]).await
    }

    /// Puts a row into the ledger the way a run does: admitted, then applied.
    pub async fn write(&self, row: &LedgerRow) {
        let effect = NewEffect {
            expected_row_version: Some(row.row_version),
            ..create(&subject_of(row))
        };
        self.admit(&effect).await;
        self.settle(&effect, applied(row)).await.unwrap();
    }

    /// The ledger row of an identity.
    pub async fn row(&self, identity: Identity) -> Option<LedgerRow> {
        self.memory.rows(&[identity]).await.unwrap().remove(0)
    }

    /// Marks one row dirty.
    pub async fn mark(&self, mark: DirtyMark) {
        self.memory.mark_dirty(self.fence, &[mark], None).await.unwrap();
    }

    /// All dirty rows.
    pub async fn dirty(&self) -> Vec<DirtyRow> {
        self.memory.dirty(None, 1_000).await.unwrap()
    }

    /// The sequence of a row that is dirty.
    pub async fn sequence(&self, identity: Identity) -> u64 {
        let dirty = self.dirty().await;
        let found = dirty.iter().find(|row| row.mark.identity == identity);
        found.expect("the row is dirty").sequence
    }

    /// Ids of all writes that are open, or armed and due.
    pub async fn unsettled(&self) -> Vec<EffectId> {
        let effects = self.memory.unsettled(1_000).await.unwrap();
        effects.into_iter().map(|effect| effect.id).collect()
    }

    /// Whether an identity is in quarantine.
    pub async fn is_refused(&self, identity: Identity) -> bool {
        self.memory.quarantined(&[identity]).await.unwrap()[0].is_some()
    }
}

/// A run's id.
#[must_use]
pub fn run() -> RunId {
    RunId::from_uuid(Uuid::now_v7())
}

/// Somebody.
#[must_use]
pub fn subject(text: &str) -> Subject {
    let key = KeyKind::Text.key(text);
    Subject {
        identity: Identity::new(&HashKey::new(1, &[1; 32]), "contract", &key),
        key,
    }
}

/// So many somebodies in the order of their identities.
#[must_use]
pub fn crowd(many: usize) -> Vec<Subject> {
    let mut all: Vec<Subject> = (0..many).map(|number| subject(&number.to_string())).collect();
    all.sort_by_key(|subject| subject.identity);
    all
}

/// Whose a ledger row is.
#[must_use]
pub fn subject_of(row: &LedgerRow) -> Subject {
    Subject {
        identity: row.identity,
        key: row.key.clone(),
    }
}

/// A mark of the first generation.
#[must_use]
pub fn mark(lsn: u64) -> Mark {
    Mark {
        generation: 1,
        lsn: Lsn(lsn),
    }
}

/// A new item for somebody who has no ledger row.
#[must_use]
pub fn create(subject: &Subject) -> NewEffect {
    NewEffect {
        id: EffectId::from_uuid(Uuid::now_v7()),
        subject: subject.clone(),
        kind: EffectKind::CreateItem,
        item: None,
        expected_row_version: None,
        sent: Fields::from([("Title".to_owned(), json!("a value"))]),
        before: Fields::new(),
        cause: Cause::of(RowDecision::CreateItem),
        after: AfterState {
            agreed: Agreed::unknown(1).to_bytes(),
            layout: LayoutStamp(1),
            mark: mark(10),
        },
    }
}

/// A write to the row's item, resting on the row as it is.
#[must_use]
pub fn write_to(row: &LedgerRow, kind: EffectKind) -> NewEffect {
    NewEffect {
        kind,
        item: Some(ItemLink {
            id: row.item.clone(),
            before: row.version,
        }),
        expected_row_version: Some(row.row_version),
        ..create(&subject_of(row))
    }
}

/// A live ledger row that is not stored yet.
#[must_use]
pub fn row(subject: &Subject, item: u128) -> LedgerRow {
    LedgerRow {
        identity: subject.identity,
        key: subject.key.clone(),
        item: ItemId(item.to_string()),
        version: Version {
            guid: Uuid::from_u128(item),
            counter: 1,
        },
        agreed: Agreed {
            digest: RowDigest([9; 16]),
            fields: vec![(None, None)],
        }
        .to_bytes(),
        layout: LayoutStamp(1),
        hash_key_id: 1,
        mark: mark(10),
        state: LedgerState::Live,
        row_version: 0,
        last_run: run(),
    }
}

/// It was applied, and this is what is agreed on now.
#[must_use]
pub fn applied(row: &LedgerRow) -> Verdict {
    Verdict::Applied(Box::new(row.clone()))
}

/// The settlement of one write.
#[must_use]
pub fn settlement(effect: &NewEffect, verdict: Verdict, clears_dirty: Option<u64>) -> Settlement {
    Settlement {
        effect: effect.id,
        identity: effect.subject.identity,
        verdict,
        clears_dirty,
        request_id: Some("a-request".into()),
        turns: Vec::new(),
        hold: Hold::AsItIs,
    }
}

/// A change that the source's feed noticed.
#[must_use]
pub fn changed(subject: &Subject, lsn: u64) -> DirtyMark {
    DirtyMark {
        identity: subject.identity,
        key: subject.key.clone(),
        mark: mark(lsn),
        suspected_delete: false,
        target: TargetHint::Presumed,
    }
}

/// Something that the list's feed said of somebody's item.
#[must_use]
pub fn hinted(subject: &Subject, target: TargetHint) -> DirtyMark {
    DirtyMark {
        target,
        ..changed(subject, 0)
    }
}

/// A refused row; `content` stands for what it holds.
#[must_use]
pub fn refused(subject: &Subject, content: u8) -> NewQuarantine {
    refused_with(subject, content, "graph.invalid")
}

/// A row refused with this code.
#[must_use]
pub fn refused_with(subject: &Subject, content: u8, code: &str) -> NewQuarantine {
    let failure = Failure::new(Scope::Row, code, "the list refused\0 the value", "shorten it");
    NewQuarantine {
        identity: subject.identity,
        key: subject.key.clone(),
        digest: RowDigest([content; 16]),
        failure: failure.column("Title"),
    }
}

/// The code of what went wrong.
pub fn code<T: std::fmt::Debug>(answer: PortResult<T>) -> String {
    answer.expect_err("this must fail").code
}
