//! Takes dirty rows, reads them as they are now, and applies them.
//!
//! Suspected deletes go last and only if the destructive budget allows all of them: a table that was emptied
//! by accident must not empty the list first and ask afterwards.

use syncbridge_domain::dirty::{DirtyRow, TargetHint};
use syncbridge_domain::effect::Subject;
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::item_subject::item_of;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::row::Presence;

use crate::ports::pull_memory::PullMemory;
use crate::ports::{Ledger, PortResult, Progress, Source, Step};
use crate::session::{Session, World};
use crate::work::{Heard, Held, Work};

/// Which dirty rows a pass takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Those whose feed saw them.
    Changed,
    /// Those whose feed did not find them any more.
    Suspected,
    /// Those whose items the list's feed reported deleted, or did not show.
    GoneFromList,
}

impl<W: World> Session<'_, W> {
    /// Applies every dirty row once.
    pub(crate) async fn drain(&mut self) -> PortResult<()> {
        self.ports.progress.step(Step::Applying);
        let gone = self.confirm_suspected().await?;
        let gone_from_list = self.count_gone_from_list().await?;
        self.set_delete_budget(gone + gone_from_list).await?;
        self.drain_pass(Rows::Changed).await?;
        let spent = self.deletes_destroy() && self.deletes_left == 0;
        for (which, count) in [(Rows::Suspected, gone), (Rows::GoneFromList, gone_from_list)] {
            if count == 0 {
                continue;
            }
            // Rows that a source lost when it went back are no deletions; those that are meet the guard one by one.
            if spent && !(self.pulls() && self.spec.options.approve_unagreed) {
                self.counters.parked += count;
            } else {
                self.drain_pass(which).await?;
            }
        }
        Ok(())
    }

    /// How many rows may have to follow their items now; those reported deleted a moment ago wait.
    async fn count_gone_from_list(&self) -> PortResult<u64> {
        if !self.pulls() {
            return Ok(0);
        }
        let mut due = 0;
        let mut after: Option<Identity> = None;
        while let Some(rows) = self.next_dirty(&mut after, Rows::GoneFromList).await? {
            let ripe =
                |row: &&DirtyRow| row.mark.target == TargetHint::Missing || row.hinted >= self.delete_delay();
            due += rows.iter().filter(ripe).count() as u64;
        }
        Ok(due)
    }

    fn kind_of(&self, row: &DirtyRow) -> Rows {
        match row.mark.target {
            _ if row.mark.suspected_delete => Rows::Suspected,
            TargetHint::Deleted | TargetHint::Missing if self.pulls() => Rows::GoneFromList,
            _ => Rows::Changed,
        }
    }

    /// Reads the suspected rows once more and answers how many are gone. A suspicion may be old: the guard held
    /// it back, and the row came back meanwhile. Such a row is applied like any other, and what the guard judges
    /// is what is gone now.
    async fn confirm_suspected(&mut self) -> PortResult<u64> {
        let mut gone = 0;
        let mut after: Option<Identity> = None;
        while let Some(rows) = self.next_dirty(&mut after, Rows::Suspected).await? {
            let mut works = self.read_now(rows).await?;
            gone += works.extract_if(.., |work| work.source == Presence::None).count() as u64;
            self.apply(works).await?;
        }
        Ok(gone)
    }

    /// One pass over the dirty rows in the order of identities. Rows marked again behind the position wait for
    /// the next run; nothing loops.
    async fn drain_pass(&mut self, which: Rows) -> PortResult<()> {
        let mut after: Option<Identity> = None;
        while let Some(rows) = self.next_dirty(&mut after, which).await? {
            let works = self.read_now(rows).await?;
            self.apply(works).await?;
        }
        Ok(())
    }

    /// The next page of dirty rows of one kind, which may be empty; `None` behind the last page.
    async fn next_dirty(
        &self,
        after: &mut Option<Identity>,
        which: Rows,
    ) -> PortResult<Option<Vec<DirtyRow>>> {
        self.check()?;
        // Sentinels are read with the rows and count among them.
        let beside = u32::try_from(self.sentinels().len()).unwrap_or(u32::MAX);
        let limit = self.spec.limits.page_rows.saturating_sub(beside).max(1);
        let mut page = self.ports.ledger.dirty(*after, limit).await?;
        let Some(last) = page.last() else { return Ok(None) };
        *after = Some(last.mark.identity);
        page.retain(|row| self.kind_of(row) == which);
        if self.rehearses() && !page.is_empty() {
            let ids: Vec<Identity> = page.iter().map(|row| row.mark.identity).collect();
            let rehearsed = self.rehearsed(&ids).await?;
            page.retain(|row| rehearsed.binary_search(&row.mark.identity).is_err());
        }
        Ok(Some(page))
    }

    /// Sequences were read with the dirty rows, before the source and the ledger are: a mark that arrives in
    /// between keeps the row dirty.
    async fn read_now(&mut self, rows: Vec<DirtyRow>) -> PortResult<Vec<Work>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        // An item without a row is nothing the source could be asked about.
        let (items, rows): (Vec<DirtyRow>, Vec<DirtyRow>) =
            rows.into_iter().partition(|row| item_of(&row.mark.key).is_some());
        if !items.is_empty() {
            self.drain_items(items).await?;
        }
        let mut keys: Vec<Key> = rows.iter().map(|row| row.mark.key.clone()).collect();
        keys.extend_from_slice(self.sentinels());
        let ids: Vec<Identity> = rows.iter().map(|row| row.mark.identity).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let (mut found, mark) = self.ports.source.read_keys(&keys).await?;
        if syncbridge_domain::sabotaged!("absence believed without a second look") {
            let suspected = rows
                .iter()
                .zip(&mut found)
                .filter(|(row, _)| row.mark.suspected_delete);
            suspected.for_each(|(_, found)| *found = Presence::None);
        }
        let sentinels = found.split_off(rows.len());
        self.judge_sentinels(&sentinels);
        self.counters.read += found.iter().filter(|row| matches!(row, Presence::One(_))).count() as u64;
        let works = rows
            .into_iter()
            .zip(bases)
            .zip(found)
            .map(|((row, base), source)| Work {
                subject: Subject {
                    identity: row.mark.identity,
                    key: row.mark.key,
                },
                source,
                mark,
                why: if base.is_some() {
                    WhyTag::Change
                } else {
                    WhyTag::FirstWrite
                },
                base,
                target: match row.mark.target {
                    TargetHint::Missing
                        if syncbridge_domain::sabotaged!("delete inferred from an incomplete pass") =>
                    {
                        Presence::None
                    }
                    _ => Presence::Unseen,
                },
                dirty: Some(row.sequence),
                heard: Heard {
                    hint: row.mark.target,
                    age: row.hinted,
                },
                held: Held::No,
                rounds: 0,
                search: None,
                resolutions: Vec::new(),
                turns: Vec::new(),
                newcomer: None,
            });
        let mut works: Vec<Work> = works.collect();
        self.look_at_held(&mut works).await?;
        Ok(works)
    }

    /// A row in quarantine may wait for more than its own content: its item is looked at, never presumed.
    pub(crate) async fn look_at_held(&self, works: &mut [Work]) -> PortResult<()> {
        self.learn_turns(works).await?;
        let fought = works.iter().any(|work| !work.turns.is_empty());
        if !(self.pulls() || fought) || works.is_empty() {
            return Ok(());
        }
        let ids: Vec<Identity> = works.iter().map(Work::identity).collect();
        let held = self.ports.ledger.quarantined(&ids).await?;
        // A decision may outlive the refusal that it is about: a run that is killed closes the one and not the other.
        let decided = self.ports.ledger.resolutions(&ids).await?;
        for ((work, held), decided) in works.iter_mut().zip(held).zip(decided) {
            work.resolutions = decided;
            if held.is_some() && work.heard.hint == TargetHint::Presumed && work.base.is_some() {
                work.heard = Heard::changed();
            }
        }
        Ok(())
    }
}
