//! The engine's source port over a PostgreSQL table.

use syncbridge_domain::feed::{Horizon, Lsn, Mark};
use syncbridge_domain::identity::Key;
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::row_write::{Commit, RowReceipt, RowWrite, TransactionStatus};
use syncbridge_domain::verification::KeyRange;
use syncbridge_engine::ports::row_writer::{RowWriter, StagedRows};
use syncbridge_engine::ports::{PortResult, Source, SourcePage, WatermarkPosition};
use syncbridge_source_postgres as postgres;

/// A table read in the current generation of marks.
pub struct SourcePort {
    pub(crate) table: postgres::PgSource,
    pub(crate) generation: u32,
}

impl SourcePort {
    fn mark(&self, lsn: Lsn) -> Mark {
        Mark {
            generation: self.generation,
            lsn,
        }
    }

    fn page(&self, page: postgres::SourcePage) -> SourcePage {
        SourcePage {
            rows: page.rows,
            mark: self.mark(page.lsn),
        }
    }
}

impl Source for SourcePort {
    async fn horizon(&self) -> PortResult<Horizon> {
        self.table.horizon().await
    }

    async fn watermark_ceiling(&self, horizon: &Horizon) -> PortResult<Option<(String, bool)>> {
        self.table.watermark_ceiling(horizon).await
    }

    async fn estimate(&self) -> PortResult<u64> {
        self.table.estimate().await
    }

    async fn page_by_key(&self, after: Option<&Key>, limit: u32) -> PortResult<SourcePage> {
        Ok(self.page(self.table.page_by_key(after, limit).await?))
    }

    async fn page_in_range(
        &self,
        range: &KeyRange,
        after: Option<&Key>,
        limit: u32,
    ) -> PortResult<SourcePage> {
        Ok(self.page(self.table.page_in_range(range, after, limit).await?))
    }

    async fn in_range(&self, range: &KeyRange, keys: &[Key]) -> PortResult<Vec<bool>> {
        self.table.in_range(range, keys).await
    }

    async fn page_by_watermark(
        &self,
        after: Option<&WatermarkPosition>,
        limit: u32,
    ) -> PortResult<SourcePage> {
        let after = after.map(|at| postgres::WatermarkPosition {
            value: at.value.clone(),
            key: at.key.clone(),
        });
        Ok(self.page(self.table.page_by_watermark(after.as_ref(), limit).await?))
    }

    async fn page_without_watermark(&self, after: Option<&Key>, limit: u32) -> PortResult<SourcePage> {
        Ok(self.page(self.table.page_without_watermark(after, limit).await?))
    }

    async fn read_keys(&self, keys: &[Key]) -> PortResult<(Vec<Presence<SourceRow>>, Mark)> {
        let (first, rest) = keys.split_at(keys.len().min(postgres::KEYS_MAX));
        let (mut rows, lsn) = self.table.read_keys(first).await?;
        for piece in rest.chunks(postgres::KEYS_MAX) {
            rows.extend(self.table.read_keys(piece).await?.0);
        }
        Ok((rows, self.mark(lsn)))
    }
}

/// Rows staged in a transaction of the table's database.
pub struct StagedPort(postgres::StagedWrites);

impl RowWriter for SourcePort {
    type Staged = StagedPort;

    async fn stage(&self, writes: Vec<RowWrite>) -> PortResult<StagedPort> {
        self.table.stage(writes).await.map(StagedPort)
    }

    async fn transactions(&self, ids: &[u64]) -> PortResult<Vec<TransactionStatus>> {
        self.table.transactions(ids).await
    }
}

impl StagedRows for StagedPort {
    fn receipts(&self) -> &[RowReceipt] {
        self.0.receipts()
    }

    async fn commit(self) -> Commit {
        self.0.commit().await
    }

    async fn roll_back(self) {
        self.0.roll_back().await;
    }
}
