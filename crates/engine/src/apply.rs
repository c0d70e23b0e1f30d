//! Applies a page of rows: decide, record, admit, send, and decide anew where something was learnt.
//!
//! A row leaves this module applied, found equal, quarantined, or dirty. Nothing else: that is what lets a
//! cursor move past it (I5).

use std::collections::BTreeSet;

use syncbridge_domain::conflict::ParkedConflict;
use syncbridge_domain::dirty::{DirtyMark, NewQuarantine};
use syncbridge_domain::effect::{Admission, NewEffect, Subject};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::item_subject::item_of;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, ItemId, ItemRead, Lookup, RowName};
use syncbridge_domain::row::Presence;

use crate::ports::pull_memory::PullMemory;
use crate::ports::{Ledger, PortResult, Source};
use crate::session::{Session, World};
use crate::work::{Attempt, Heard, Intended, Intent, Recorded, RowAttempt, Work};

/// How often a row is decided anew in one run before it is left for the next.
const MAX_ROUNDS: u8 = 8;

/// Agreement to be recorded without a write, and why.
type Record = (Work, LedgerRow, Recorded, Cause);

/// The intents of one round, sorted by what is to be done.
#[derive(Default)]
struct Round {
    done: Vec<Work>,
    records: Vec<Record>,
    writes: Vec<Attempt>,
    row_writes: Vec<RowAttempt>,
    looks: Vec<Work>,
    unread: Vec<Work>,
    conflicts: Vec<ParkedConflict>,
    waiting: Vec<Work>,
    quarantines: Vec<(NewQuarantine, Option<u64>)>,
    parked: Vec<Work>,
}

impl<W: World> Session<'_, W> {
    /// Applies rows whose source side was just read and whose ledger rows are filled in.
    pub(crate) async fn apply(&mut self, works: Vec<Work>) -> PortResult<()> {
        let mut queue = works;
        self.learn_held(&mut queue).await?;
        let mut left = Vec::new();
        let mut stop = None;
        while !queue.is_empty() && stop.is_none() {
            let worn_out = queue.extract_if(.., |work| work.rounds >= MAX_ROUNDS);
            left.extend(worn_out);
            let round = self.decide_all(queue).await?;
            queue = self.finish(round, &mut left, &mut stop).await?;
        }
        left.extend(queue);
        self.leave_dirty(left).await?;
        stop.map_or(Ok(()), Err)
    }

    /// Sends writes that were decided elsewhere, and applies what comes back of them.
    pub(crate) async fn write_now(&mut self, attempts: Vec<Attempt>) -> PortResult<()> {
        let mut left = Vec::new();
        let mut stop = None;
        let again = self.finish_writes(attempts, &mut left, &mut stop).await?;
        self.leave_dirty(left).await?;
        match stop {
            Some(failure) => {
                self.leave_dirty(again).await?;
                Err(failure)
            }
            None => self.apply(again).await,
        }
    }

    async fn decide_all(&mut self, queue: Vec<Work>) -> PortResult<Round> {
        let mut round = Round::default();
        for work in queue {
            let (work, intent) = self.decide(work).await?;
            match intent {
                Intent::Done => round.done.push(work),
                Intent::Record(row, kind, cause) => round.records.push((work, *row, kind, cause)),
                Intent::Write(attempt) => round.writes.push(*attempt),
                Intent::WriteRow(attempt) => round.row_writes.push(*attempt),
                Intent::Look => round.looks.push(work),
                Intent::ReadSource => round.unread.push(work),
                Intent::ParkConflicts(conflicts, entry) => {
                    round.conflicts.extend(conflicts);
                    round.quarantines.push((*entry, work.dirty));
                }
                Intent::Wait => round.waiting.push(work),
                Intent::Quarantine(entry) => round.quarantines.push((*entry, work.refused_sequence())),
                Intent::Park => round.parked.push(work),
            }
        }
        Ok(round)
    }

    /// Does what a round asks for; returns the rows to decide anew.
    async fn finish(
        &mut self,
        round: Round,
        left: &mut Vec<Work>,
        stop: &mut Option<Failure>,
    ) -> PortResult<Vec<Work>> {
        let mut again = Vec::new();
        self.finish_done(round.done).await?;
        self.mark_left(round.waiting).await?;
        if !round.conflicts.is_empty() {
            self.counters.conflicts += round.conflicts.len() as u64;
            self.ports
                .ledger
                .park_conflicts(self.fence(), self.spec.run, &round.conflicts)
                .await?;
        }
        if syncbridge_domain::sabotaged!("refused row dropped") {
            let refused = round.quarantines.iter();
            let gone: Vec<_> = refused
                .filter_map(|(entry, sequence)| sequence.map(|sequence| (entry.identity, sequence)))
                .collect();
            self.ports.ledger.clear_dirty(self.fence(), &gone).await?;
        } else if !round.quarantines.is_empty() {
            self.counters.quarantined += round.quarantines.len() as u64;
            self.ports
                .ledger
                .quarantine(self.fence(), self.spec.run, &round.quarantines)
                .await?;
        }
        left.extend(round.parked);
        again.extend(self.finish_records(round.records).await?);
        again.extend(self.read_sources(round.unread).await?);
        again.extend(self.finish_looks(round.looks, left).await?);
        again.extend(self.finish_row_writes(round.row_writes, left, stop).await?);
        again.extend(self.finish_writes(round.writes, left, stop).await?);
        self.keep_foreseen(false).await?;
        self.report();
        Ok(again)
    }

    async fn finish_done(&mut self, done: Vec<Work>) -> PortResult<()> {
        self.close_decided(&done).await?;
        self.counters.unchanged += done.len() as u64;
        let clear: Vec<(Identity, u64)> = done
            .iter()
            .filter_map(|work| work.dirty.map(|sequence| (work.identity(), sequence)))
            .collect();
        if !clear.is_empty() {
            self.ports.ledger.clear_dirty(self.fence(), &clear).await?;
        }
        self.let_go(done.iter()).await
    }

    async fn finish_records(&mut self, records: Vec<Record>) -> PortResult<Vec<Work>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        // An adopted item is judged field by field next, so its dirty row must outlive the adoption.
        let sequences: Vec<Option<u64>> = records
            .iter()
            .map(|(work, _, kind, _)| {
                if *kind == Recorded::Adopted {
                    None
                } else {
                    work.dirty
                }
            })
            .collect();
        let settled: Vec<Work> = records
            .iter()
            .filter(|(work, _, kind, _)| *kind != Recorded::Adopted && !work.resolutions.is_empty())
            .map(|(work, ..)| work.clone())
            .collect();
        let rows: Vec<LedgerRow> = records.iter().map(|(_, row, ..)| row.clone()).collect();
        let causes: Vec<Cause> = records.iter().map(|(.., cause)| cause.clone()).collect();
        let ledger = self.ports.ledger;
        let taken = ledger.adopt(self.fence(), &rows, &sequences, &causes).await?;
        self.close_decided(&settled).await?;
        let recorded = records.iter().zip(&taken);
        let recorded = recorded.filter(|((_, _, kind, _), taken)| **taken && *kind != Recorded::Adopted);
        self.let_go(recorded.map(|((work, ..), _)| work)).await?;
        let mut again = Vec::new();
        let mut stale = Vec::new();
        for ((mut work, row, kind, _), taken) in records.into_iter().zip(taken) {
            work.rounds = work.rounds.saturating_add(1);
            if !taken {
                stale.push(work);
                continue;
            }
            match kind {
                Recorded::Adopted => {
                    self.counters.adopted += 1;
                    work.base = Some(LedgerRow {
                        row_version: row.row_version + 1,
                        ..row
                    });
                    again.push(work);
                }
                Recorded::Refreshed => self.counters.unchanged += 1,
                Recorded::Left | Recorded::Buried => {}
            }
        }
        again.extend(self.refreshed(stale).await?);
        Ok(again)
    }

    /// Works whose ledger row moved on meanwhile, with the row as it is now.
    async fn refreshed(&self, mut works: Vec<Work>) -> PortResult<Vec<Work>> {
        if works.is_empty() {
            return Ok(works);
        }
        let ids: Vec<Identity> = works.iter().map(Work::identity).collect();
        let rows = self.ports.ledger.rows(&ids).await?;
        for (work, row) in works.iter_mut().zip(rows) {
            work.base = row;
            work.target = Presence::Unseen;
        }
        Ok(works)
    }

    /// Reads the rows that a decision needs to see.
    async fn read_sources(&self, works: Vec<Work>) -> PortResult<Vec<Work>> {
        if works.is_empty() {
            return Ok(works);
        }
        let keys: Vec<_> = works.iter().map(|work| work.subject.key.clone()).collect();
        let (rows, mark) = self.ports.source.read_keys(&keys).await?;
        let again = works.into_iter().zip(rows).map(|(work, source)| Work {
            source,
            mark,
            rounds: work.rounds.saturating_add(1),
            ..work
        });
        Ok(again.collect())
    }

    /// Reads the items that a decision needs to see.
    pub(crate) async fn finish_looks(
        &mut self,
        looks: Vec<Work>,
        left: &mut Vec<Work>,
    ) -> PortResult<Vec<Work>> {
        // A buried row's item may have come back, and others may bear its key by now: it is looked for by its key.
        let indexed = self.spec.target.rules.indexed;
        let is_linked = |row: &LedgerRow| row.state != LedgerState::Tombstone || !indexed;
        let (linked, unlinked): (Vec<Work>, Vec<Work>) = looks
            .into_iter()
            .partition(|work| work.base.as_ref().is_some_and(is_linked));
        let items: Vec<ItemId> = linked
            .iter()
            .filter_map(|w| w.base.as_ref())
            .map(|row| row.item.clone())
            .collect();
        let reads = self.read_all(&items, WhyTag::Probe).await;
        let names: Vec<RowName> = unlinked.iter().map(|work| work.subject.name()).collect();
        let lookups = self.lookup_all(&names, WhyTag::Probe).await;
        let read = linked.into_iter().zip(reads.into_iter().map(of_read));
        let found = unlinked.into_iter().zip(lookups.into_iter().map(of_lookup));
        let mut again = Vec::new();
        for (mut work, target) in read.chain(found) {
            work.rounds = work.rounds.saturating_add(1);
            match target {
                Ok(target) => again.push(Work { target, ..work }),
                Err(failure) => {
                    self.notice(format!(
                        "items could not be looked at, their rows wait for the next run: {failure}"
                    ));
                    left.push(work);
                }
            }
        }
        Ok(again)
    }

    /// Records writes before they are made. Answers those that may be made and, with their ledger rows as they are now
    /// still to be read, those whose ground has moved; what is busy is left for a later pass.
    pub(crate) async fn admit<A: Intended>(
        &mut self,
        writes: Vec<A>,
        left: &mut Vec<Work>,
    ) -> PortResult<(Vec<A>, Vec<Work>)> {
        let (writes, mut stale) = self.only_planned(writes, left).await?;
        let effects: Vec<NewEffect> = writes.iter().map(|write| write.effect().clone()).collect();
        let admissions = self
            .ports
            .ledger
            .admit(self.fence(), self.spec.run, &effects)
            .await?;
        let mut admitted = Vec::with_capacity(writes.len());
        for (write, admission) in writes.into_iter().zip(admissions) {
            match admission {
                Admission::Admitted => {
                    self.foresee(&write);
                    admitted.push(write);
                }
                Admission::Busy => left.push(write.into_work()),
                Admission::Stale => {
                    let work = write.into_work();
                    let rounds = work.rounds.saturating_add(1);
                    stale.push(Work { rounds, ..work });
                }
            }
        }
        Ok((admitted, stale))
    }

    async fn finish_writes(
        &mut self,
        writes: Vec<Attempt>,
        left: &mut Vec<Work>,
        stop: &mut Option<Failure>,
    ) -> PortResult<Vec<Work>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.check()?;
        let (admitted, stale) = self.admit(writes, left).await?;
        self.record_overrides(&admitted).await?;
        let halves: Vec<Work> = admitted
            .iter()
            .filter_map(|one| self.rest_of_decision(one))
            .collect();
        let sent = self.send(admitted).await?;
        let open: BTreeSet<Identity> = sent
            .unsettled
            .iter()
            .chain(&sent.again)
            .map(Work::identity)
            .collect();
        left.extend(sent.unsettled);
        *stop = sent.stop;
        let mut again = self.refreshed(stale).await?;
        again.extend(sent.again);
        let halves = halves.into_iter().filter(|work| !open.contains(&work.identity()));
        again.extend(self.refreshed(halves.collect()).await?);
        Ok(again)
    }

    /// Both values of an edit that is about to lose are kept before it does.
    async fn record_overrides(&mut self, admitted: &[Attempt]) -> PortResult<()> {
        let edits: Vec<_> = admitted
            .iter()
            .flat_map(|attempt| self.overridden(attempt))
            .collect();
        if edits.is_empty() || syncbridge_domain::sabotaged!("overwritten edit not recorded") {
            return Ok(());
        }
        self.counters.overridden += edits.len() as u64;
        self.ports
            .ledger
            .record_conflicts(self.fence(), self.spec.run, &edits)
            .await
    }

    /// What could not be settled now stays, or becomes, dirty.
    async fn leave_dirty(&mut self, left: Vec<Work>) -> PortResult<()> {
        self.counters.parked += left.len() as u64;
        if syncbridge_domain::sabotaged!("cursor past a failed row") {
            let rows: Vec<_> = left
                .iter()
                .filter_map(|work| work.dirty.map(|sequence| (work.identity(), sequence)))
                .collect();
            return self.ports.ledger.clear_dirty(self.fence(), &rows).await;
        }
        self.mark_left(left).await
    }

    /// What was heard of the list stays with the row: the feed does not say it twice.
    pub(crate) async fn mark_left(&self, left: Vec<Work>) -> PortResult<()> {
        let marks: Vec<DirtyMark> = left
            .iter()
            .map(|work| (work, self.subject_to_keep(work)))
            // Dirty rows of items are cleared by whoever took them, unless they are marked anew.
            .filter(|(work, subject)| work.dirty.is_none() || item_of(&subject.key).is_some())
            .map(|(work, subject)| DirtyMark {
                identity: subject.identity,
                key: subject.key,
                ..work.dirty_mark()
            })
            .collect();
        if marks.is_empty() {
            return Ok(());
        }
        self.ports.ledger.mark_dirty(self.fence(), &marks, None).await
    }
}

impl<W: World> Session<'_, W> {
    /// The work that a write leaves behind where part of its decision waits for a person: it is judged anew, on what the
    /// item then shows.
    fn rest_of_decision(&self, attempt: &Attempt) -> Option<Work> {
        if !attempt.parks {
            return None;
        }
        let mut rest = Work {
            heard: Heard::changed(),
            dirty: attempt.kept,
            rounds: attempt.work.rounds.saturating_add(1),
            ..attempt.work.clone()
        };
        self.count_turns(&mut rest, &attempt.turns);
        Some(rest)
    }

    /// Whom a dirty row stands for: an item that was to become a row and did not is still only an item.
    pub(crate) fn subject_to_keep(&self, work: &Work) -> Subject {
        let is_only_an_item = work.base.is_none() || work.newcomer.is_some();
        match work.target.one() {
            Some(item) if self.pulls() && is_only_an_item && work.source.one().is_none() => {
                self.subject_of(item)
            }
            _ => work.subject.clone(),
        }
    }
}

/// What reading an item by its number tells about it.
fn of_read(read: ItemRead) -> Result<Presence<Item>, Failure> {
    match read {
        ItemRead::One(item) => Ok(Presence::One(item)),
        ItemRead::Gone => Ok(Presence::None),
        ItemRead::Unknown(failure) => Err(failure),
    }
}

/// What looking for a sync key tells about its item.
fn of_lookup(lookup: Lookup) -> Result<Presence<Item>, Failure> {
    match lookup {
        Lookup::One(item) => Ok(Presence::One(item)),
        Lookup::Many(items) => Ok(Presence::Many(items)),
        Lookup::Empty => Ok(Presence::None),
        Lookup::Unknown(failure) => Err(failure),
    }
}
