//! One row on its way through a run, and one write on its way to the list or to the source.

use std::time::Duration;

use syncbridge_domain::agreed::Agreed;
use syncbridge_domain::conflict::{ParkedConflict, Resolution};
use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::effect::{ItemLink, NewEffect, Subject};
use syncbridge_domain::feed::Mark;
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::ping_pong::{FieldTurn, Turned};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, TaggedWrite};
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::row_write::RowWrite;

use crate::column_search::ColumnSearch;

/// An item that belongs to no row yet. Whatever keeps it from becoming one is remembered under the item, because the
/// row that its key names does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newcomer {
    /// The dirty row that stands for it.
    pub(crate) dirty: Option<u64>,
    /// It stood in the list before the definition did, and nobody has approved of it.
    pub(crate) awaits_approval: bool,
}

/// What is known of one row so far.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) subject: Subject,
    /// As read now; `None` is proven absence (a point read with row security off).
    pub(crate) source: Presence<SourceRow>,
    /// How new that reading is.
    pub(crate) mark: Mark,
    pub(crate) base: Option<LedgerRow>,
    /// `Unseen` until something makes a look necessary; `None` is a 404 while the list answers.
    pub(crate) target: Presence<Item>,
    /// The dirty row behind this work, if there is one.
    pub(crate) dirty: Option<u64>,
    pub(crate) why: WhyTag,
    /// What the list's feed said of its item.
    pub(crate) heard: Heard,
    /// What people decided about conflicts of this row and what was not carried out yet.
    pub(crate) resolutions: Vec<Resolution>,
    /// Fields of this row that came back to us before.
    pub(crate) turns: Vec<Turned>,
    /// Its item belongs to no row yet.
    pub(crate) newcomer: Option<Newcomer>,
    /// Whether it is held after a revert.
    pub(crate) held: Held,
    /// How often it was decided anew.
    pub(crate) rounds: u8,
    /// Which column its list refuses, while that is looked for or once it is known.
    pub(crate) search: Option<Box<ColumnSearch>>,
}

/// Whether a row is held after a revert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Held {
    /// It is not.
    #[default]
    No,
    /// It is, and stays so.
    Yes,
    /// It was: once what was decided about it is done, both sides are the same again.
    Ends,
}

/// What the list's feed said of an item, and how long ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) hint: TargetHint,
    pub(crate) age: Duration,
}

impl Heard {
    /// The item may not be what was agreed on.
    pub(crate) fn changed() -> Self {
        Self {
            hint: TargetHint::Changed,
            age: Duration::ZERO,
        }
    }
}

impl Work {
    pub(crate) fn identity(&self) -> Identity {
        self.subject.identity
    }

    /// The sequence of the dirty row that a refusal moves into quarantine.
    pub(crate) fn refused_sequence(&self) -> Option<u64> {
        self.dirty
            .or_else(|| self.newcomer.and_then(|newcomer| newcomer.dirty))
    }

    /// What makes its row dirty.
    pub(crate) fn dirty_mark(&self) -> DirtyMark {
        DirtyMark {
            identity: self.subject.identity,
            key: self.subject.key.clone(),
            mark: self.mark,
            suspected_delete: false,
            target: self.heard.hint,
        }
    }
}

/// A recorded write with the work it came from.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) work: Work,
    pub(crate) effect: NewEffect,
    pub(crate) write: TaggedWrite,
    /// How often it was sent.
    pub(crate) sends: u8,
    /// A request of this write got no answer and may have taken effect, or may still: what a later one is
    /// refused for proves nothing about it.
    pub(crate) in_doubt: bool,
    /// The list refused it because a value that must be unique is taken.
    pub(crate) taken: bool,
    /// Beside what is written, something waits for a person.
    pub(crate) parks: bool,
    /// The dirty row of such a write, which it must not clear.
    pub(crate) kept: Option<u64>,
    /// Conflicts to record once the write is applied: index of the field and the list's value.
    pub(crate) overrides: Vec<(usize, serde_json::Value)>,
    /// What the breaker counts of it.
    pub(crate) turns: Vec<FieldTurn>,
    /// The item, and Graph's `request-id`, of an answer that says that others wrote in between.
    pub(crate) answered: Option<(Option<Item>, Option<String>)>,
}

/// A recorded write to the source with the work it came from.
#[derive(Clone, Debug)]
pub(crate) struct RowAttempt {
    pub(crate) work: Work,
    pub(crate) effect: NewEffect,
    pub(crate) write: RowWrite,
    /// The item that the write comes from, at the version that was seen.
    pub(crate) link: ItemLink,
    /// What was agreed before, in the present layout.
    pub(crate) before: Agreed,
    /// Fields that the write makes agreed, with the hash of what the list shows.
    pub(crate) taken: Vec<(usize, syncbridge_domain::agreed::CellHash)>,
    /// Values of the source that lose against the list's: index of the field and what the list shows.
    pub(crate) overrides: Vec<(usize, serde_json::Value)>,
    /// What the breaker counts of it.
    pub(crate) turns: Vec<FieldTurn>,
}

/// A write that is recorded before it is made, whichever side it is to.
pub(crate) trait Intended {
    fn effect(&self) -> &NewEffect;
    fn work(&self) -> &Work;
    fn into_work(self) -> Work;
}

impl Intended for Attempt {
    fn effect(&self) -> &NewEffect {
        &self.effect
    }

    fn work(&self) -> &Work {
        &self.work
    }

    fn into_work(self) -> Work {
        self.work
    }
}

impl Intended for RowAttempt {
    fn effect(&self) -> &NewEffect {
        &self.effect
    }

    fn work(&self) -> &Work {
        &self.work
    }

    fn into_work(self) -> Work {
        self.work
    }
}

/// What is to be done about a row after a decision.
#[derive(Debug)]
pub(crate) enum Intent {
    /// Nothing; its dirty row may go.
    Done,
    /// Record agreement without a write.
    Record(Box<LedgerRow>, Recorded, Cause),
    /// Write to the list.
    Write(Box<Attempt>),
    /// Write to the source.
    WriteRow(Box<RowAttempt>),
    /// Both sides changed, and a person is to choose.
    ParkConflicts(Vec<ParkedConflict>, Box<syncbridge_domain::dirty::NewQuarantine>),
    /// Look at the item first.
    Look,
    /// Read the row first.
    ReadSource,
    /// It cannot be applied.
    Quarantine(Box<syncbridge_domain::dirty::NewQuarantine>),
    /// A guard holds it back; it stays dirty.
    Park,
    /// It is too early to tell; it stays dirty, and nothing is wrong.
    Wait,
}

/// What a record without a write means for the counters and for what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// An existing item was taken over; its fields are judged next.
    Adopted,
    /// The digest was brought up to date.
    Refreshed,
    /// The item was left standing by policy.
    Left,
    /// Both sides are gone.
    Buried,
}
