//! Scratch space of a simulated worker: in memory, in a few buckets.

use syncbridge_domain::identity::Identity;
use syncbridge_engine::ports::{Note, Notes, PortResult, ScanRecord, Scratch, Spill};

const BITS: u32 = 2;

/// Scratch space.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimScratch;

/// Records of an open scan.
#[derive(Debug, Default)]
pub struct SimSpill(Vec<ScanRecord>);

/// Open notes.
#[derive(Debug, Default)]
pub struct SimNotes(Vec<Note>);

fn in_bucket(identity: Identity, index: usize) -> bool {
    identity.bucket(BITS) == index
}

impl Scratch for SimScratch {
    type Spill = SimSpill;
    type Notes = SimNotes;

    fn spill(&self, _: u64) -> PortResult<SimSpill> {
        Ok(SimSpill::default())
    }

    fn notes(&self, _: u64) -> PortResult<SimNotes> {
        Ok(SimNotes::default())
    }
}

impl Spill for SimSpill {
    fn push(&mut self, records: Vec<ScanRecord>) -> PortResult<()> {
        self.0.extend(records);
        Ok(())
    }

    fn bucket_bits(&self) -> u32 {
        BITS
    }

    fn bucket(&mut self, index: usize) -> PortResult<Vec<ScanRecord>> {
        let theirs = self.0.iter().filter(|record| in_bucket(record.identity, index));
        let mut found: Vec<ScanRecord> = theirs.cloned().collect();
        found.sort_by_key(|record| record.identity);
        Ok(found)
    }
}

impl Notes for SimNotes {
    fn push(&mut self, notes: Vec<Note>) -> PortResult<()> {
        self.0.extend(notes);
        Ok(())
    }

    fn bucket_bits(&self) -> u32 {
        BITS
    }

    fn bucket(&mut self, index: usize) -> PortResult<Vec<Note>> {
        let theirs = self.0.iter().filter(|note| in_bucket(note.identity, index));
        let mut found: Vec<Note> = theirs.cloned().collect();
        found.sort_by_key(|note| note.identity);
        Ok(found)
    }
}
