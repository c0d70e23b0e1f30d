//! The watermark feed: pages above the cursor in (watermark, key) order make rows dirty.
//!
//! A committed row can carry an older watermark than rows already read, because transactions take their time
//! when they begin and become visible when they end. So a value is adopted as cursor only once every
//! transaction that ran when it was taken has ended (`domain::feed::adoptable`); until then the range is read
//! again, which costs the source a little and Graph nothing.

use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::feed::{Cursor, PendingWatermark, adoptable};
use syncbridge_domain::identity::Key;

use crate::ports::{Ledger, PortResult, Progress, Source, SourcePage, Step, WatermarkPosition};
use crate::session::{Session, World, moved_on};

impl<W: World> Session<'_, W> {
    /// Reads everything above the cursor and makes what changed dirty; moves the cursor as far as is proven.
    pub(crate) async fn watermark_pass(
        &mut self,
        watermark: Option<String>,
        pending: Vec<PendingWatermark>,
    ) -> PortResult<()> {
        self.ports.progress.step(Step::Reading { rows: 0 });
        // Before the first snapshot: whatever ends after this is seen by the pages below or by a later pass.
        let (fresh, horizon) = self.fresh_watermark().await?;
        let mut waiting = pending;
        waiting.extend(fresh);
        let (adopted, waiting) = adoptable(&waiting, &horizon);
        let cursor = Cursor::Steady {
            watermark: adopted.or_else(|| watermark.clone()),
            pending: bounded(waiting),
        };
        if syncbridge_domain::sabotaged!("cursor stored before its rows are dirty") {
            let ahead = Some(&cursor);
            self.ports.ledger.mark_dirty(self.fence(), &[], ahead).await?;
        }
        self.pages_above(watermark.as_ref()).await?;
        self.pages_without().await?;
        self.ports
            .ledger
            .mark_dirty(self.fence(), &[], Some(&cursor))
            .await
    }

    async fn pages_above(&mut self, watermark: Option<&String>) -> PortResult<()> {
        let mut after = watermark.map(|value| WatermarkPosition {
            value: value.clone(),
            key: None,
        });
        loop {
            self.check()?;
            let page = self
                .ports
                .source
                .page_by_watermark(after.as_ref(), self.spec.limits.page_rows)
                .await?;
            let Some(last) = page.rows.last() else {
                return Ok(());
            };
            let value = last.watermark.as_deref().map(str::to_owned);
            let key = Some(last.key.clone());
            self.mark_changed(page).await?;
            match value {
                Some(value) => {
                    let position = WatermarkPosition { value, key };
                    moved_on(after.as_ref(), &position)?;
                    after = Some(position);
                }
                // The adapter leaves NULLs out; one here would make the position meaningless.
                None => return Ok(()),
            }
        }
    }

    /// Rows without a watermark have no place in the order: they are compared by digest in every pass.
    async fn pages_without(&mut self) -> PortResult<()> {
        let mut after: Option<Key> = None;
        loop {
            self.check()?;
            let page = self
                .ports
                .source
                .page_without_watermark(after.as_ref(), self.spec.limits.page_rows)
                .await?;
            let Some(last) = page.rows.last() else {
                return Ok(());
            };
            moved_on(after.as_ref(), &last.key)?;
            after = Some(last.key.clone());
            self.mark_changed(page).await?;
        }
    }

    async fn mark_changed(&mut self, page: SourcePage) -> PortResult<()> {
        self.counters.read += page.rows.len() as u64;
        let mark = page.mark;
        let changed = self.changed_rows(page.rows).await?;
        let marks: Vec<DirtyMark> = changed
            .into_iter()
            .map(|(row, _)| DirtyMark {
                identity: self.identity(&row.key),
                key: row.key,
                mark,
                suspected_delete: false,
                target: TargetHint::Presumed,
            })
            .collect();
        self.report();
        if marks.is_empty() {
            return Ok(());
        }
        self.ports.ledger.mark_dirty(self.fence(), &marks, None).await
    }
}

/// A transaction that stays open for days must not grow the cursor: the oldest and the newest values are kept,
/// since only the newest ripe one is ever adopted and leaving one out merely delays it.
fn bounded(mut waiting: Vec<PendingWatermark>) -> Vec<PendingWatermark> {
    const MOST: usize = 64;
    waiting.dedup();
    while waiting.len() > MOST {
        waiting.remove(MOST / 2);
    }
    waiting
}
