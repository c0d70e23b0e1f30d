//! Takes dirty rows, reads them as they are now, and applies them.
//!
//! Suspected deletes go last and only if the destructive budget allows all of them: a table that was emptied
//! by accident must not empty the list first and ask afterwards.

use syncbridge_domain::dirty::DirtyRow;
use syncbridge_domain::effect::Subject;
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::row::Presence;

use crate::ports::{Ledger, PortResult, Progress, Source, Step};
use crate::session::{Session, World};
use crate::work::Work;

/// Which dirty rows a pass takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Those whose feed saw them.
    Changed,
    /// Those whose feed did not find them any more.
    Suspected,
}

impl<W: World> Session<'_, W> {
    /// Applies every dirty row once.
    pub(crate) async fn drain(&mut self) -> PortResult<()> {
        self.ports.progress.step(Step::Applying);
        let gone = self.confirm_suspected().await?;
        self.set_delete_budget(gone).await?;
        self.drain_pass(Rows::Changed).await?;
        if gone == 0 {
            return Ok(());
        }
        if self.deletes_destroy() && self.deletes_left == 0 {
            self.counters.parked += gone;
            return Ok(());
        }
        self.drain_pass(Rows::Suspected).await
    }

    /// Reads the suspected rows once more and answers how many are gone. A suspicion may be old: the guard held
    /// it back, and the row came back meanwhile. Such a row is applied like any other, and what the guard judges
    /// is what is gone now.
    async fn confirm_suspected(&mut self) -> PortResult<u64> {
        let mut gone = 0;
        let mut after: Option<Identity> = None;
        while let Some(rows) = self.next_dirty(&mut after, Rows::Suspected).await? {
            let mut works = self.read_now(rows).await?;
            if syncbridge_domain::sabotaged!("absence believed without a second look") {
                for work in &mut works {
                    work.source = Presence::None;
                }
            }
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
        let limit = self.spec.limits.page_rows;
        let mut page = self.ports.ledger.dirty(*after, limit).await?;
        let Some(last) = page.last() else { return Ok(None) };
        *after = Some(last.mark.identity);
        page.retain(|row| row.mark.suspected_delete == (which == Rows::Suspected));
        Ok(Some(page))
    }

    /// Sequences were read with the dirty rows, before the source and the ledger are: a mark that arrives in
    /// between keeps the row dirty.
    async fn read_now(&mut self, rows: Vec<DirtyRow>) -> PortResult<Vec<Work>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Key> = rows.iter().map(|row| row.mark.key.clone()).collect();
        let ids: Vec<Identity> = rows.iter().map(|row| row.mark.identity).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let (found, mark) = self.ports.source.read_keys(&keys).await?;
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
                target: Presence::Unseen,
                dirty: Some(row.sequence),
                rounds: 0,
            });
        Ok(works.collect())
    }
}
