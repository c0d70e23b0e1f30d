//! The first copy: the table streams straight through in key order, each page in its own short snapshot.
//!
//! The cursor is the range already applied. What changes behind the position meanwhile is caught by the feed
//! afterwards: a watermark feed begins at the value that held before the copy began, a full scan compares
//! everything.

use syncbridge_domain::feed::{Cursor, Horizon, PendingWatermark, adoptable};
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::row::{Presence, SourceRow};

use crate::ports::{Ledger, PortResult, Progress, Source, SourcePage, Step};
use crate::session::{Session, World, moved_on};
use crate::work::{Heard, Held, Work};

impl<W: World> Session<'_, W> {
    /// Copies from `after` to the end and makes the cursor steady.
    pub(crate) async fn first_copy(
        &mut self,
        mut after: Option<Key>,
        mut pending: Vec<PendingWatermark>,
    ) -> PortResult<()> {
        let rows = self.ports.source.estimate().await?;
        self.ports.progress.step(Step::FirstCopy { rows });
        if after.is_none() {
            pending = self.pending_watermark().await?.into_iter().collect();
        }
        let source = self.ports.source;
        let page_rows = self.spec.limits.page_rows;
        self.check()?;
        let mut page = source.page_by_key(after.as_ref(), page_rows).await?;
        while let Some(last) = page.rows.last() {
            moved_on(after.as_ref(), &last.key)?;
            let position = last.key.clone();
            // The next page is read while this one is sent. What changes in it meanwhile is behind the position as
            // much as what changes after it was applied: the feed catches both.
            let next = source.page_by_key(Some(&position), page_rows);
            let (applied, next) = futures_util::future::join(self.apply_page(page), next).await;
            applied?;
            page = next?;
            after = Some(position);
            let cursor = Cursor::FirstCopy {
                after: after.clone(),
                pending: pending.clone(),
            };
            self.ports
                .ledger
                .mark_dirty(self.fence(), &[], Some(&cursor))
                .await?;
            self.check()?;
        }
        // A value that was ripe when it was taken is covered by the copy itself; any other waits for the
        // feed's own passes, which read from the beginning until it is ripe. That costs no request.
        let (ripe, pending): (Vec<_>, Vec<_>) = pending.into_iter().partition(|value| value.xmax == 0);
        let watermark = ripe.into_iter().next_back().map(|value| value.value);
        let cursor = Cursor::Steady { watermark, pending };
        self.ports
            .ledger
            .mark_dirty(self.fence(), &[], Some(&cursor))
            .await
    }

    /// Applies the rows of a page that differ from what was agreed.
    async fn apply_page(&mut self, page: SourcePage) -> PortResult<()> {
        self.counters.read += page.rows.len() as u64;
        let mark = page.mark;
        let changed = self.changed_rows(page.rows).await?;
        let mut works: Vec<Work> = changed
            .into_iter()
            .map(|(row, base)| Work {
                subject: self.subject(row.key.clone()),
                source: Presence::One(row),
                mark,
                why: WhyTag::FirstWrite,
                base,
                target: Presence::Unseen,
                dirty: None,
                heard: Heard::default(),
                held: Held::No,
                rounds: 0,
                search: None,
                resolutions: Vec::new(),
                turns: Vec::new(),
                newcomer: None,
            })
            .collect();
        self.learn_turns(&mut works).await?;
        self.apply(works).await
    }

    /// Rows that differ from the ledger by digest and are not in quarantine with this very content.
    pub(crate) async fn changed_rows(
        &mut self,
        rows: Vec<SourceRow>,
    ) -> PortResult<Vec<(SourceRow, Option<LedgerRow>)>> {
        let ids: Vec<Identity> = rows.iter().map(|row| self.identity(&row.key)).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let refused = self.ports.ledger.quarantined(&ids).await?;
        let rehearsed = self.rehearsed(&ids).await?;
        let mut changed = Vec::new();
        for ((row, base), refused) in rows.into_iter().zip(bases).zip(refused) {
            if rehearsed.binary_search(&self.identity(&row.key)).is_ok() {
                continue;
            }
            let digest = self.digest(&row.cells);
            let agreed = match &base {
                Some(known) if known.state == LedgerState::Live => {
                    let hash_key = known.hash_key_id == self.ports.hash_key.id();
                    hash_key
                        && known.layout == self.layout
                        && known.agreed.get(..16) == Some(digest.0.as_slice())
                }
                _ => false,
            };
            let known_refusal = refused.is_some_and(|q| q.entry.digest == digest);
            if agreed || known_refusal {
                self.counters.unchanged += 1;
            } else {
                changed.push((row, base));
            }
        }
        Ok(changed)
    }

    /// The watermark value that may become the cursor later, taken before anything is read.
    pub(crate) async fn pending_watermark(&self) -> PortResult<Option<PendingWatermark>> {
        if self.spec.source.watermark.is_none() {
            return Ok(None);
        }
        let (fresh, horizon) = self.fresh_watermark().await?;
        let Some(value) = fresh else { return Ok(None) };
        let (ripe, _) = adoptable(std::slice::from_ref(&value), &horizon);
        // Nothing else was running: no transaction has to be waited for.
        Ok(Some(if ripe.is_some() {
            PendingWatermark {
                xmax: 0,
                clock: None,
                ..value
            }
        } else {
            value
        }))
    }

    /// The value that becomes the cursor once the transactions of the horizon beside it have ended. To be asked
    /// before the first snapshot that rests on it.
    pub(crate) async fn fresh_watermark(&self) -> PortResult<(Option<PendingWatermark>, Horizon)> {
        let mut before = self.ports.source.horizon().await?;
        if syncbridge_domain::sabotaged!("open transactions not waited for") {
            before.oldest_start = Some(before.clock);
            before.xmin = before.xmax;
        }
        let Some((value, held_below)) = self.ports.source.watermark_ceiling(&before).await? else {
            return Ok((None, before));
        };
        if held_below {
            // An instant below the start of every transaction that was open: only ids have to be waited for.
            let pending = PendingWatermark {
                value,
                xmax: before.xmax,
                clock: None,
            };
            return Ok((Some(pending), before));
        }
        // Any other value: whoever drew a smaller one may have begun between the two questions, so that the
        // transactions to wait for are those of a horizon taken afterwards.
        let after = self.ports.source.horizon().await?;
        let pending = PendingWatermark {
            value,
            xmax: after.xmax,
            clock: Some(after.clock),
        };
        Ok((Some(pending), after))
    }
}
