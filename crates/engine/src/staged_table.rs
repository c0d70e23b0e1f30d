//! The table as a rehearsed run sees it: read where it is, and never written.

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::{Horizon, Mark};
use syncbridge_domain::identity::{HashKey, Key, KeyColumn, encode_key};
use syncbridge_domain::item_subject::subject_of_item;
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::row_write::{Commit, RowReceipt, RowWrite, TransactionStatus};
use syncbridge_domain::verification::KeyRange;

use crate::ports::row_writer::{RowWriter, StagedRows};
use crate::ports::{PortResult, Source, SourcePage, WatermarkPosition};
use crate::row_writes::KEY_TAKEN;
use crate::stage::Stage;

/// The table, read and never written.
pub(crate) struct StagedTable<'a, S> {
    pub(crate) table: &'a S,
    pub(crate) stage: &'a Stage,
    pub(crate) mapping: &'a Mapping,
    pub(crate) namespace: &'a str,
    pub(crate) hash_key: &'a HashKey,
}

impl<S: Source> StagedTable<'_, S> {
    /// The key of a new row, or one that stands for what the source is going to choose.
    fn key_of(&self, cells: &[(usize, Option<Box<str>>)]) -> Key {
        let text = |column: &KeyColumn| {
            let of_column = |at: usize| self.mapping.fields[at].column == column.name;
            cells
                .iter()
                .find(|(at, _)| of_column(*at))
                .and_then(|(_, cell)| cell.as_deref())
        };
        let texts: Vec<Option<&str>> = self.mapping.key.iter().map(text).collect();
        let given = texts.iter().all(Option::is_some);
        if let Some(key) = given
            .then(|| encode_key(&self.mapping.key, &texts).ok())
            .flatten()
        {
            return key;
        }
        let (guid, item) = self.stage.invented();
        subject_of_item(self.hash_key, self.namespace, guid, &item).key
    }

    async fn try_one(&self, write: RowWrite) -> PortResult<(RowReceipt, Option<(Key, Option<SourceRow>)>)> {
        match write {
            RowWrite::Insert { set } => {
                let key = self.key_of(&set);
                let taken = !Stage::is_invented(&key)
                    && matches!(
                        self.read_keys(std::slice::from_ref(&key)).await?.0.first(),
                        Some(Presence::One(_))
                    );
                if taken {
                    return Ok((RowReceipt::Refused { failure: key_taken() }, None));
                }
                let mut cells = vec![None; self.mapping.fields.len()];
                for (at, cell) in &set {
                    cells[*at].clone_from(cell);
                }
                Ok(self.staged(key, cells, set.into_iter().map(|(_, cell)| cell).collect()))
            }
            RowWrite::Update { key, expected, set } => {
                let now = self.read_keys(std::slice::from_ref(&key)).await?.0.pop();
                match now {
                    Some(Presence::One(row)) if row.cells == expected => {
                        let mut cells = row.cells;
                        for (at, cell) in &set {
                            cells[*at].clone_from(cell);
                        }
                        Ok(self.staged(key, cells, set.into_iter().map(|(_, cell)| cell).collect()))
                    }
                    now => Ok((moved(now), None)),
                }
            }
            RowWrite::Delete { key, expected } => {
                let now = self.read_keys(std::slice::from_ref(&key)).await?.0.pop();
                match now {
                    Some(Presence::One(row)) if row.cells == expected => {
                        let receipt = RowReceipt::Staged {
                            row,
                            written: Vec::new(),
                            xid: None,
                        };
                        Ok((receipt, Some((key, None))))
                    }
                    now => Ok((moved(now), None)),
                }
            }
        }
    }

    fn staged(
        &self,
        key: Key,
        cells: Vec<Option<Box<str>>>,
        written: Vec<Option<Box<str>>>,
    ) -> (RowReceipt, Option<(Key, Option<SourceRow>)>) {
        let row = SourceRow {
            key: key.clone(),
            cells,
            watermark: None,
        };
        let receipt = RowReceipt::Staged {
            row: row.clone(),
            written,
            xid: None,
        };
        (receipt, Some((key, Some(row))))
    }
}

fn moved(now: Option<Presence<SourceRow>>) -> RowReceipt {
    RowReceipt::Moved {
        now: now.unwrap_or(Presence::Unseen),
    }
}

fn key_taken() -> Failure {
    Failure::new(
        Scope::Row,
        KEY_TAKEN,
        "the source holds a row of this key already",
        "run again; the two are matched by their key",
    )
}

impl<S: Source> Source for StagedTable<'_, S> {
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
        self.table.page_by_key(after, limit).await
    }

    async fn page_in_range(
        &self,
        range: &KeyRange,
        after: Option<&Key>,
        limit: u32,
    ) -> PortResult<SourcePage> {
        self.table.page_in_range(range, after, limit).await
    }

    async fn in_range(&self, range: &KeyRange, keys: &[Key]) -> PortResult<Vec<bool>> {
        self.table.in_range(range, keys).await
    }

    async fn page_by_watermark(
        &self,
        after: Option<&WatermarkPosition>,
        limit: u32,
    ) -> PortResult<SourcePage> {
        self.table.page_by_watermark(after, limit).await
    }

    async fn page_without_watermark(&self, after: Option<&Key>, limit: u32) -> PortResult<SourcePage> {
        self.table.page_without_watermark(after, limit).await
    }

    async fn read_keys(&self, keys: &[Key]) -> PortResult<(Vec<Presence<SourceRow>>, Mark)> {
        // A key that is only invented is none that the source could be asked about.
        let real: Vec<Key> = keys
            .iter()
            .filter(|key| !Stage::is_invented(key))
            .cloned()
            .collect();
        let (found, mark) = self.table.read_keys(&real).await?;
        let mut found = found.into_iter();
        let rows = keys
            .iter()
            .map(|key| {
                let now = match Stage::is_invented(key) {
                    true => Presence::None,
                    false => found.next().unwrap_or(Presence::Unseen),
                };
                match self.stage.row(key) {
                    Some(Some(row)) => Presence::One(row),
                    Some(None) => Presence::None,
                    None => now,
                }
            })
            .collect();
        Ok((rows, mark))
    }
}

impl<S: Source + RowWriter> RowWriter for StagedTable<'_, S> {
    type Staged = Remembered;

    async fn stage(&self, writes: Vec<RowWrite>) -> PortResult<Self::Staged> {
        let mut receipts = Vec::with_capacity(writes.len());
        for write in writes {
            let (receipt, change) = self.try_one(write).await?;
            receipts.push(receipt);
            if let Some((key, row)) = change {
                self.stage.put_row(key, row);
            }
        }
        Ok(Remembered(receipts))
    }

    async fn transactions(&self, ids: &[u64]) -> PortResult<Vec<TransactionStatus>> {
        self.table.transactions(ids).await
    }
}

/// Rows that would be written.
pub(crate) struct Remembered(Vec<RowReceipt>);

impl StagedRows for Remembered {
    fn receipts(&self) -> &[RowReceipt] {
        &self.0
    }

    async fn commit(self) -> Commit {
        Commit::Committed
    }

    async fn roll_back(self) {}
}
