//! The engine's scratch port over bucket files.

use syncbridge_engine::ports::{Note, Notes, PortResult, ScanRecord, Scratch, Spill};
use syncbridge_source_postgres as postgres;

/// Scratch space in the system's temporary folder.
pub(crate) struct ScratchPort(pub(crate) postgres::Scratch);

/// Bucket files of one scan.
pub(crate) struct SpillPort(postgres::SpillFile);

/// Bucket files of notes.
pub(crate) struct NotesPort(postgres::SpillFile);

impl Scratch for ScratchPort {
    type Spill = SpillPort;
    type Notes = NotesPort;

    fn spill(&self, expected_rows: u64) -> PortResult<SpillPort> {
        Ok(SpillPort(self.0.spill(expected_rows)?))
    }

    fn notes(&self, expected_rows: u64) -> PortResult<NotesPort> {
        Ok(NotesPort(self.0.spill(expected_rows)?))
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

impl Notes for NotesPort {
    fn push(&mut self, notes: Vec<Note>) -> PortResult<()> {
        self.0
            .push_notes(notes.into_iter().map(|note| postgres::SpillNote {
                identity: note.identity,
                bytes: note.bytes,
            }))
    }

    fn bucket_bits(&self) -> u32 {
        self.0.bucket_bits()
    }

    fn bucket(&mut self, index: usize) -> PortResult<Vec<Note>> {
        let notes = self.0.notes(index)?;
        Ok(notes
            .into_iter()
            .map(|note| Note {
                identity: note.identity,
                bytes: note.bytes,
            })
            .collect())
    }
}
