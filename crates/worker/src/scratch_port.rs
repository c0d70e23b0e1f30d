//! The engine's scratch port over bucket files.

use syncbridge_engine::ports::{PortResult, ScanRecord, Scratch, Spill};
use syncbridge_source_postgres as postgres;

/// Scratch space in the system's temporary folder.
pub(crate) struct ScratchPort(pub(crate) postgres::Scratch);

/// Bucket files of one scan.
pub(crate) struct SpillPort(postgres::SpillFile);

impl Scratch for ScratchPort {
    type Spill = SpillPort;

    fn spill(&self, expected_rows: u64) -> PortResult<SpillPort> {
        Ok(SpillPort(self.0.spill(expected_rows)?))
    }
}

impl Spill for SpillPort {
    fn push(&mut self, records: Vec<ScanRecord>) -> PortResult<()> {
        self.0
            .push(records.into_iter().map(|record| postgres::SpillRecord {
                identity: record.identity,
                digest: record.digest,
                key: record.key,
            }))
    }

    fn bucket_bits(&self) -> u32 {
        self.0.bucket_bits()
    }

    fn bucket(&mut self, index: usize) -> PortResult<Vec<ScanRecord>> {
        let records = self.0.bucket(index)?;
        Ok(records
            .into_iter()
            .map(|record| ScanRecord {
                identity: record.identity,
                digest: record.digest,
                key: record.key,
            })
            .collect())
    }
}
