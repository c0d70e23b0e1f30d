//! Putting back what a run did (DESIGN §6, `revert`): instead of what the feeds say, the history of that run is gone
//! through, each row of it is read on both sides as it is now, and what still stands as the run left it is undone.
//!
//! Only ever by a plan: rehearsed first, and run change by change under the same guards as every other. What somebody
//! touched since stays and goes on record as a conflict, with what it shows and what would have been put back.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use syncbridge_domain::effect::{ItemLink, Subject};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::Mark;
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ids::RunId;
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::mapping::{ARCHIVED, STATE_COLUMN};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::Fields;
use syncbridge_domain::revert::{SideUndo, Undo, Written, no_values, undo, unmapped};
use syncbridge_domain::row::Presence;

use crate::decide::several;
use crate::past_row::Done;
use crate::ports::past::Past;
use crate::ports::{Ledger, OverriddenEdit, PortResult, Progress, Source, Step};
use crate::session::{Session, World};
use crate::work::{Attempt, Heard, Held, RowAttempt, Work};

/// A row may have to be put back in the source first and in the list then.
const ROUNDS: usize = 2;

/// What is to become of one row.
enum Next {
    Nothing,
    WriteRow(Box<RowAttempt>),
    Write(Box<Attempt>),
    Touched(Vec<OverriddenEdit>),
    Refused(Failure),
    Held,
}

/// What was found, over all rows.
#[derive(Default)]
struct Tally {
    touched: u64,
    refused: u64,
    held: u64,
    unknown: u64,
}

impl<W: World> Session<'_, W> {
    /// Puts back what a run did.
    pub(crate) async fn revert(&mut self, run: RunId) -> PortResult<()> {
        let Some(past) = self.ports.past else {
            return Err(no_past());
        };
        self.ports.progress.step(Step::Applying);
        let live = self.ports.ledger.live_rows().await?;
        let allowance = self.delete_allowance(live).await?;
        let hold = self.hold().await?;
        self.allowance = Some(allowance);
        self.deletes_left = match hold {
            Some(_) => 0,
            None => self.deletes_by_plan(allowance).unwrap_or_default(),
        };
        let mut tally = Tally::default();
        let mut after: Option<Identity> = None;
        loop {
            self.check()?;
            let page = past.written(run, after, self.spec.limits.page_rows).await?;
            let Some(last) = page.last().map(|written| written.identity) else {
                break;
            };
            // Before both sides are looked at: what was dirty by then is answered by what they show.
            let dirty = self.dirty_between(after, last).await?;
            after = Some(last);
            self.revert_page(past, page, &dirty, &mut tally).await?;
            self.report();
        }
        self.tell(run, hold, &tally);
        Ok(())
    }

    fn tell(&mut self, run: RunId, hold: Option<Failure>, tally: &Tally) {
        let name = self.spec.definition_name.clone();
        if tally.touched > 0 {
            self.notice(format!(
                "{} rows were touched after {run} and stay as they are: `syncbridge conflicts list {name}` shows what \
                 they hold and what would have been put back",
                tally.touched
            ));
        }
        if tally.refused > 0 {
            self.notice(format!(
                "{} rows of {run} cannot be put back; the plan says of each why (`syncbridge plans show`)",
                tally.refused
            ));
        }
        if tally.unknown > 0 {
            self.counters.parked += tally.unknown;
            self.notice(format!(
                "{} rows of {run} could not be looked at, or nobody knows their keys any more; they stay as they are",
                tally.unknown
            ));
        }
        if tally.held > 0 {
            self.counters.parked += tally.held;
            let why = hold.map_or_else(
                || {
                    "more would be deleted than the guard lets pass by now, and nobody approved the plan"
                        .to_owned()
                },
                |hold| hold.to_string(),
            );
            self.notice(format!(
                "{} rows and items of {run} stay as they are: {why}",
                tally.held
            ));
        }
    }

    async fn revert_page(
        &mut self,
        past: &dyn Past,
        page: Vec<Written>,
        dirty: &BTreeMap<Identity, u64>,
        tally: &mut Tally,
    ) -> PortResult<()> {
        let ids: Vec<Identity> = page.iter().map(|written| written.identity).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let mut rows = BTreeMap::new();
        let mut works = Vec::with_capacity(page.len());
        for (written, base) in page.into_iter().zip(bases) {
            let identity = written.identity;
            let Some(done) = self.done(written).await? else {
                continue;
            };
            match self.key_of_done(&done, base.as_ref()) {
                Some(key) => {
                    works.push(Work {
                        dirty: dirty.get(&identity).copied(),
                        ..work_of(identity, key, base)
                    });
                    rows.insert(identity, done);
                }
                None => tally.unknown += 1,
            }
        }
        for round in 0..ROUNDS {
            if works.is_empty() {
                break;
            }
            works = self.look_at_both(works, tally).await?;
            let mut row_writes = Vec::new();
            let mut writes = Vec::new();
            let mut conflicts = Vec::new();
            let mut refused = Vec::new();
            let mut again = Vec::new();
            for work in works {
                let Some(done) = rows.get_mut(&work.identity()) else {
                    continue;
                };
                let first = round == 0;
                let next = self.put_back(past, &work, done).await?;
                done.forget_earlier();
                match next {
                    Next::Nothing => self.counters.unchanged += u64::from(first),
                    Next::WriteRow(attempt) => {
                        row_writes.push(*attempt);
                        again.push(work);
                    }
                    Next::Write(attempt) => writes.push(*attempt),
                    // What was put back on one side only, and touched on the other meanwhile, was told.
                    Next::Touched(_) | Next::Refused(_) if !first => {}
                    Next::Touched(edits) => {
                        tally.touched += 1;
                        conflicts.extend(edits);
                    }
                    Next::Refused(failure) => {
                        tally.refused += 1;
                        let cells = work.source.one().map(|row| row.cells.as_slice());
                        refused.push((self.quarantine(&work.subject, cells, failure), None));
                    }
                    Next::Held => tally.held += 1,
                }
            }
            self.keep_touched(&conflicts, &refused).await?;
            works = self.write_back(row_writes, writes, again).await?;
            self.keep_foreseen(false).await?;
        }
        Ok(())
    }

    /// Which rows behind `after` and up to `last` are dirty, and the sequence of each: a row that is put back needs no
    /// further look, which would do again what was put back.
    async fn dirty_between(
        &self,
        mut after: Option<Identity>,
        last: Identity,
    ) -> PortResult<BTreeMap<Identity, u64>> {
        let mut found = BTreeMap::new();
        loop {
            let page = self.ports.ledger.dirty(after, self.spec.limits.page_rows).await?;
            let Some(end) = page.last().map(|row| row.mark.identity) else {
                break;
            };
            let among = page.iter().filter(|row| row.mark.identity <= last);
            found.extend(among.map(|row| (row.mark.identity, row.sequence)));
            if end >= last {
                break;
            }
            after = Some(end);
        }
        Ok(found)
    }

    /// Conflicts go on record; what cannot be put back is told by the plan, and its rows are none the worse for it.
    async fn keep_touched(
        &mut self,
        conflicts: &[OverriddenEdit],
        refused: &[(syncbridge_domain::dirty::NewQuarantine, Option<u64>)],
    ) -> PortResult<()> {
        let (fence, run) = (self.fence(), self.spec.run);
        if !conflicts.is_empty() {
            self.counters.overridden += conflicts.len() as u64;
            self.ports.ledger.record_conflicts(fence, run, conflicts).await?;
        }
        if self.rehearses() && !refused.is_empty() {
            self.ports.ledger.quarantine(fence, run, refused).await?;
        }
        Ok(())
    }

    /// Makes the writes of one round. Answers the rows whose list may still have to be put back.
    async fn write_back(
        &mut self,
        row_writes: Vec<RowAttempt>,
        writes: Vec<Attempt>,
        again: Vec<Work>,
    ) -> PortResult<Vec<Work>> {
        let mut stop = None;
        let mut left = Vec::new();
        // Whatever met another state than it rests on stays as it is: nothing of a revert is decided by itself.
        let moved = self.finish_row_writes(row_writes, &mut left, &mut stop).await?;
        drop(moved);
        if let (None, false) = (&stop, writes.is_empty()) {
            self.check()?;
            let (admitted, _) = self.admit(writes, &mut left).await?;
            let sent = self.send(admitted).await?;
            left.extend(sent.unsettled);
            stop = sent.stop;
        }
        self.counters.parked += left.len() as u64;
        match stop {
            Some(failure) => Err(failure),
            None => self.with_base_now(again).await,
        }
    }

    /// Both sides of these rows, as they are now.
    async fn look_at_both(&mut self, works: Vec<Work>, tally: &mut Tally) -> PortResult<Vec<Work>> {
        let keys: Vec<Key> = works.iter().map(|work| work.subject.key.clone()).collect();
        let (sources, mark) = self.ports.source.read_keys(&keys).await?;
        self.counters.read += sources.iter().filter(|row| row.one().is_some()).count() as u64;
        let works = works.into_iter().zip(sources).map(|(work, source)| Work {
            source,
            mark,
            target: Presence::Unseen,
            ..work
        });
        let mut unread = Vec::new();
        let looked = self.finish_looks(works.collect(), &mut unread).await?;
        tally.unknown += unread.len() as u64;
        Ok(looked)
    }

    /// Decides about one row, and composes the write.
    async fn put_back(&mut self, past: &dyn Past, work: &Work, done: &mut Done) -> PortResult<Next> {
        let many = matches!(work.source, Presence::Many(_)) || matches!(work.target, Presence::Many(_));
        if many {
            return Ok(Next::Refused(several(work)));
        }
        // An item that the ledger does not know any more is nobody's to put back.
        if work.base.is_none() && work.target.one().is_some() {
            self.search_earlier(past, done).await?;
            return Ok(Next::Touched(self.conflicts_of(work, done, (&[], &[]))));
        }
        let (source, list) = (self.source_side(work, done), self.list_side(work, done));
        let mut counts: Vec<bool> = self
            .spec
            .mapping
            .fields
            .iter()
            .map(|field| !field.passive)
            .collect();
        // Behind the fields stands whether the item is marked as archived.
        counts.push(true);
        let undo = undo(&source, &list, &counts);
        let whole = matches!(
            undo,
            Undo::Write {
                source: SideUndo::Remove | SideUndo::Make,
                ..
            } | Undo::Write {
                list: SideUndo::Remove | SideUndo::Make,
                ..
            }
        );
        match undo {
            Undo::Touched { source, list } => {
                self.search_earlier(past, done).await?;
                Ok(Next::Touched(self.conflicts_of(work, done, (&source, &list))))
            }
            _ if !whole && let Some(columns) = done.unmapped(&self.spec.mapping) => {
                Ok(Next::Refused(unmapped(&columns)))
            }
            Undo::Nothing => Ok(Next::Nothing),
            Undo::Write {
                source: of_source, ..
            } if of_source != SideUndo::Nothing => self.put_back_row(past, work, done, of_source).await,
            Undo::Write { list, .. } => self.put_back_item(past, work, done, list).await,
        }
    }

    async fn put_back_row(
        &mut self,
        past: &dyn Past,
        work: &Work,
        done: &mut Done,
        what: SideUndo,
    ) -> PortResult<Next> {
        let fields = &self.spec.mapping.fields;
        let (wanted, make) = match what {
            SideUndo::Remove if !self.may_destroy() => return Ok(Next::Held),
            SideUndo::Remove => {
                self.deletes_left = self.deletes_left.saturating_sub(1);
                return Ok(written_row(self.remove_row(work)));
            }
            SideUndo::Make => ((0..fields.len()).collect(), true),
            SideUndo::Restore(at) => (at, false),
            SideUndo::Nothing => return Ok(Next::Nothing),
        };
        let wanted: Vec<usize> = wanted
            .into_iter()
            .filter(|at| fields.get(*at).is_some_and(|field| !field.passive))
            .collect();
        let mut set = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for at in wanted {
            match self.cell_before(past, work, done, at).await? {
                Some(cell) => set.push((at, cell)),
                None => missing.push(self.spec.mapping.fields[at].column.clone()),
            }
        }
        let is_mapped = |name: &str| self.spec.mapping.fields.iter().any(|field| field.column == name);
        if make {
            let keys = self.spec.mapping.key.iter().map(|column| &column.name);
            missing.extend(keys.filter(|name| !is_mapped(name)).cloned());
        }
        if !missing.is_empty() {
            return Ok(Next::Refused(no_values(&missing.join(", "))));
        }
        if !make {
            return Ok(written_row(self.restore_row(work, set)));
        }
        let link = work.base.as_ref().map(|base| ItemLink {
            id: base.item.clone(),
            before: base.version,
        });
        let named = done
            .written
            .writes
            .iter()
            .rev()
            .find_map(|write| write.item.clone());
        Ok(match link.or(named) {
            Some(link) => Next::WriteRow(Box::new(self.remake_row(work, set, &done.was, link))),
            None => Next::Refused(no_values("")),
        })
    }

    async fn put_back_item(
        &mut self,
        past: &dyn Past,
        work: &Work,
        done: &mut Done,
        what: SideUndo,
    ) -> PortResult<Next> {
        let marks = self.spec.mapping.fields.len();
        let (wanted, make) = match what {
            SideUndo::Remove if !self.may_destroy() => return Ok(Next::Held),
            SideUndo::Remove => {
                self.deletes_left = self.deletes_left.saturating_sub(1);
                return Ok(written(self.remove_item(work)));
            }
            SideUndo::Make => ((0..marks).collect::<Vec<_>>(), true),
            // A mark is held back by all that holds a deletion back.
            SideUndo::Restore(at) if at.contains(&marks) && done.archived.0 && !self.may_destroy() => {
                return Ok(Next::Held);
            }
            SideUndo::Restore(at) => (at, false),
            SideUndo::Nothing => return Ok(Next::Nothing),
        };
        let mut values = Fields::new();
        let mut missing = Vec::new();
        for at in wanted {
            if at == marks {
                let mark = if done.archived.0 {
                    self.deletes_left = self.deletes_left.saturating_sub(1);
                    Json::String(ARCHIVED.to_owned())
                } else {
                    Json::Null
                };
                values.insert(STATE_COLUMN.to_owned(), mark);
                continue;
            }
            let field = &self.spec.mapping.fields[at];
            let (target, column, passive) = (field.target.clone(), field.column.clone(), field.passive);
            // What only the list itself writes cannot be written.
            if passive && field.direction == Direction::Pull {
                continue;
            }
            match self.value_before(past, work, done, at).await? {
                Some(value) => {
                    values.insert(target, value);
                }
                None if passive => {}
                None => missing.push(column),
            }
        }
        if !missing.is_empty() {
            return Ok(Next::Refused(no_values(&missing.join(", "))));
        }
        Ok(written(match make {
            true => self.remake_item(work, values, &done.was),
            false => self.restore_item(work, values),
        }))
    }
}

fn written(attempt: Option<Attempt>) -> Next {
    attempt.map_or(Next::Nothing, |attempt| Next::Write(Box::new(attempt)))
}

fn written_row(attempt: Option<RowAttempt>) -> Next {
    attempt.map_or(Next::Nothing, |attempt| Next::WriteRow(Box::new(attempt)))
}

fn work_of(identity: Identity, key: Key, base: Option<LedgerRow>) -> Work {
    Work {
        subject: Subject { identity, key },
        source: Presence::Unseen,
        mark: Mark::default(),
        base,
        target: Presence::Unseen,
        dirty: None,
        why: WhyTag::Change,
        heard: Heard::default(),
        resolutions: Vec::new(),
        turns: Vec::new(),
        newcomer: None,
        held: Held::No,
        rounds: 0,
        search: None,
    }
}

fn no_past() -> Failure {
    Failure::new(
        Scope::Outage,
        "revert.no_past",
        "this worker was given no history to put a run back from",
        "report this as a defect; nothing was written",
    )
}
