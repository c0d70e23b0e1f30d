//! The full scan: the source in its own order, spilled to buckets by identity, compared bucket by bucket with
//! the ledger's digests. Neither side is sorted by the other's rules, because two systems never agree on an
//! order, and memory is bounded by one bucket.

use std::task::Poll;

use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::feed::{Cursor, Mark};
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ledger::{LedgerDigest, LedgerState};

use crate::ports::{Ledger, PortResult, Progress, ScanRecord, Scratch, Source, SourcePage, Spill, Step};
use crate::session::{Session, World, moved_on};
use crate::stage::Stage;

/// What comparing one bucket says about one identity.
pub(crate) enum Compared {
    Same,
    New(ScanRecord),
    Changed(ScanRecord),
    Gone(Identity),
}

impl<W: World> Session<'_, W> {
    /// Compares the whole table with the ledger and makes what differs dirty.
    pub(crate) async fn full_scan(&mut self) -> PortResult<()> {
        let rows = self.ports.source.estimate().await?;
        let (mut spill, mark) = self.spill_source(rows).await?;
        for bucket in 0..(1usize << spill.bucket_bits()) {
            self.check()?;
            let compared = self.compare_bucket(&mut spill, bucket).await?;
            self.mark_compared(compared, mark).await?;
        }
        let cursor = match self.ports.ledger.cursor().await? {
            steady @ Cursor::Steady { .. } => steady,
            Cursor::FirstCopy { .. } => Cursor::Steady {
                watermark: None,
                pending: Vec::new(),
            },
        };
        self.ports
            .ledger
            .mark_dirty(self.fence(), &[], Some(&cursor))
            .await?;
        // Last: a comparison that was interrupted is due again.
        self.ports.ledger.swept(self.fence(), self.spec.run, mark).await
    }

    /// Whether a watermark feed, which cannot see that a row is gone, is due for a comparison of everything.
    pub(crate) async fn sweep_is_due(&self) -> PortResult<bool> {
        match self.spec.source.sweep {
            None => Ok(false),
            Some(seconds) => {
                let every = std::time::Duration::from_secs(seconds);
                self.ports.ledger.sweep_due(every).await
            }
        }
    }

    /// Reads the whole source, or the range that was asked for, into buckets for about `rows` rows. The mark is
    /// that of the first page: an absence found later is at least as new.
    pub(crate) async fn spill_source(
        &mut self,
        rows: u64,
    ) -> PortResult<(<W::Scratch as Scratch>::Spill, Mark)> {
        self.ports.progress.step(Step::Reading { rows });
        let mut spill = self.ports.scratch.spill(rows)?;
        let source = self.ports.source;
        let page_rows = self.spec.limits.page_rows;
        self.check()?;
        let range = &self.spec.range;
        let read = async |after: Option<&Key>| match range.is_everything() {
            true => source.page_by_key(after, page_rows).await,
            false => source.page_in_range(range, after, page_rows).await,
        };
        let mut page = read(None).await?;
        let first = page.mark;
        let mut after: Option<Key> = None;
        while let Some(last) = page.rows.last() {
            moved_on(after.as_ref(), &last.key)?;
            let position = last.key.clone();
            // The server reads the next page while this one is hashed and put away.
            let next = read(Some(&position));
            let put = self.spill_page(&mut spill, page);
            let (next, put) = futures_util::future::join(next, put).await;
            put?;
            page = next?;
            after = Some(position);
            self.report();
            self.check()?;
        }
        Ok((spill, first))
    }

    /// Puts a page away, in pieces small enough that what is read meanwhile does not wait.
    async fn spill_page(
        &mut self,
        spill: &mut <W::Scratch as Scratch>::Spill,
        page: SourcePage,
    ) -> PortResult<()> {
        const PIECE: usize = 100;
        self.counters.read += page.rows.len() as u64;
        let mut rows = page.rows.into_iter();
        loop {
            let piece = rows.by_ref().take(PIECE).map(|row| ScanRecord {
                identity: self.identity(&row.key),
                digest: self.digest(&row.cells),
                key: row.key,
            });
            let records: Vec<ScanRecord> = piece.collect();
            if records.is_empty() {
                return Ok(());
            }
            spill.push(records)?;
            give_way().await;
        }
    }

    /// Merges one bucket of the source with the same range of the ledger.
    pub(crate) async fn compare_bucket(
        &self,
        spill: &mut <W::Scratch as Scratch>::Spill,
        bucket: usize,
    ) -> PortResult<Vec<Compared>> {
        let (after, until) = bucket_range(bucket, spill.bucket_bits());
        // The question is on its way before the bucket is read and sorted.
        let known = self.digests_between(after, until);
        let (known, records) = futures_util::future::join(known, async { spill.bucket(bucket) }).await;
        let (known, records) = (known?, records?);
        let mut out = Vec::with_capacity(records.len());
        let mut known = known.into_iter().peekable();
        for record in records {
            while let Some(gone) = known.next_if(|row| row.identity < record.identity) {
                out.extend(gone_unless_buried(gone));
            }
            match known.next_if(|row| row.identity == record.identity) {
                None => out.push(Compared::New(record)),
                Some(row) if self.is_same(&row, record.digest) => out.push(Compared::Same),
                Some(_) => out.push(Compared::Changed(record)),
            }
        }
        out.extend(known.filter_map(gone_unless_buried));
        Ok(out)
    }

    fn is_same(&self, row: &LedgerDigest, digest: RowDigest) -> bool {
        row.state == LedgerState::Live && row.layout == self.layout && row.digest == digest
    }

    pub(crate) async fn digests_between(
        &self,
        after: Option<Identity>,
        until: Option<Identity>,
    ) -> PortResult<Vec<LedgerDigest>> {
        const PAGE: u32 = 10_000;
        let mut all = Vec::new();
        let mut after = after;
        loop {
            let page = self.ports.ledger.digests(after, until, PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.identity);
            all.extend(page);
        }
    }

    async fn mark_compared(&mut self, compared: Vec<Compared>, mark: Mark) -> PortResult<()> {
        let mut gone = Vec::new();
        let mut differing = Vec::new();
        for one in compared {
            match one {
                Compared::Same => self.counters.unchanged += 1,
                Compared::New(record) | Compared::Changed(record) => differing.push(record),
                Compared::Gone(identity) => gone.push(identity),
            }
        }
        for chunk in differing.chunks(self.spec.limits.page_rows as usize) {
            let ids: Vec<Identity> = chunk.iter().map(|record| record.identity).collect();
            let refused = self.ports.ledger.quarantined(&ids).await?;
            let marks: Vec<DirtyMark> = chunk
                .iter()
                .zip(refused)
                .filter(|(record, refused)| refused.as_ref().is_none_or(|q| q.entry.digest != record.digest))
                .map(|(record, _)| DirtyMark {
                    identity: record.identity,
                    key: record.key.clone(),
                    mark,
                    suspected_delete: false,
                    target: TargetHint::Presumed,
                })
                .collect();
            self.ports.ledger.mark_dirty(self.fence(), &marks, None).await?;
        }
        for chunk in gone.chunks(self.spec.limits.page_rows as usize) {
            let rows = self.ports.ledger.rows(chunk).await?;
            let marks: Vec<DirtyMark> = rows
                .into_iter()
                .flatten()
                // A row that a rehearsal made is in no table.
                .filter(|row| !Stage::is_invented(&row.key))
                .map(|row| DirtyMark {
                    identity: row.identity,
                    key: row.key,
                    mark,
                    suspected_delete: true,
                    target: TargetHint::Presumed,
                })
                .collect();
            self.ports.ledger.mark_dirty(self.fence(), &marks, None).await?;
        }
        Ok(())
    }
}

/// Lets whatever is joined with this go on.
async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn gone_unless_buried(row: LedgerDigest) -> Option<Compared> {
    (row.state == LedgerState::Live).then_some(Compared::Gone(row.identity))
}

/// The identities of a bucket: behind the first answer, up to and including the second.
pub(crate) fn bucket_range(bucket: usize, bits: u32) -> (Option<Identity>, Option<Identity>) {
    if bits == 0 {
        return (None, None);
    }
    let width = 128 - bits;
    let first = (bucket as u128) << width;
    let last = first | (u128::MAX >> bits);
    let after = first
        .checked_sub(1)
        .map(|value| Identity::from_bytes(value.to_be_bytes()));
    (after, Some(Identity::from_bytes(last.to_be_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_ranges_cover_all_identities_once() {
        for bits in 0..6u32 {
            let mut expected_after: Option<Identity> = None;
            for bucket in 0..(1usize << bits) {
                let (after, until) = bucket_range(bucket, bits);
                assert_eq!(after, expected_after);
                if let Some(until) = until {
                    assert_eq!(until.bucket(bits), bucket);
                }
                expected_after = until;
            }
            assert!(expected_after.is_none_or(|last| last.as_bytes() == &[0xff; 16]));
        }
    }
}
