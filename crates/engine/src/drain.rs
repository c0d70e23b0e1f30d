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

impl<W: World> Session<'_, W> {
    /// Applies every dirty row once.
    pub(crate) async fn drain(&mut self) -> PortResult<()> {
        self.ports.progress.step(Step::Applying);
        let suspected = self.count_suspected().await?;
        self.set_delete_budget(suspected).await?;
        self.drain_pass(false).await?;
        if suspected == 0 {
            return Ok(());
        }
        if self.deletes_propagate() && self.deletes_left == 0 {
            self.counters.parked += suspected;
            return Ok(());
        }
        self.drain_pass(true).await
    }

    async fn count_suspected(&self) -> PortResult<u64> {
        let mut count = 0;
        let mut after = None;
        loop {
            let page = self.ports.ledger.dirty(after, self.spec.limits.page_rows).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = Some(last.mark.identity);
            count += page.iter().filter(|row| row.mark.suspected_delete).count() as u64;
        }
    }

    async fn set_delete_budget(&mut self, suspected: u64) -> PortResult<()> {
        let live = self.ports.ledger.live_rows().await?;
        let by_policy = self.spec.policies.delete_guard.allowance(live);
        let allowance = self
            .spec
            .options
            .allow_deletes
            .map_or(by_policy, |asked| asked.max(by_policy));
        if suspected <= allowance {
            // Rows that vanish while the run reads them fall under what is left of the same budget.
            self.deletes_left = allowance;
            return Ok(());
        }
        self.deletes_left = 0;
        if self.deletes_propagate() {
            self.notice(format!(
                "{suspected} of {live} rows are gone from the source, more than the guard lets pass ({allowance}): \
                 nothing was deleted. If they are meant to go, run `syncbridge run {} --allow-deletes {suspected}`",
                self.spec.definition_name
            ));
        }
        Ok(())
    }

    /// One pass over the dirty rows in the order of identities. Rows marked again behind the position wait for
    /// the next run; nothing loops.
    async fn drain_pass(&mut self, suspected: bool) -> PortResult<()> {
        let mut after: Option<Identity> = None;
        loop {
            self.check()?;
            let page = self.ports.ledger.dirty(after, self.spec.limits.page_rows).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.mark.identity);
            let rows: Vec<DirtyRow> = page
                .into_iter()
                .filter(|row| row.mark.suspected_delete == suspected)
                .collect();
            if !rows.is_empty() {
                let works = self.read_now(rows).await?;
                self.apply(works).await?;
            }
        }
    }

    /// Sequences were read with the dirty rows, before the source and the ledger are: a mark that arrives in
    /// between keeps the row dirty.
    async fn read_now(&mut self, rows: Vec<DirtyRow>) -> PortResult<Vec<Work>> {
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
