//! Scratch space for full scans: records go to buckets by identity prefix and come back bucket by bucket.
//!
//! One file without a name holds all buckets: it is never visible to others, needs one file handle however
//! many buckets there are, and the system frees it when the process ends, even by `kill -9`. Records are
//! gathered in memory per bucket and written as blocks with a checksum; a list in memory says which blocks
//! belong to which bucket. Memory is bounded by buckets × block while writing and by one bucket while reading.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::{Identity, Key};

/// Records that one bucket should hold on average.
const BUCKET_RECORDS: u64 = 65_536;
/// Fewest buckets, as a power of two: an estimate that is far too low does little harm.
const MIN_BITS: u32 = 4;
/// Most buckets, as a power of two; with their blocks they take 64 MiB.
const MAX_BITS: u32 = 12;
/// Buckets where the number of rows is unknown, as a power of two.
const UNKNOWN_BITS: u32 = 9;
/// A bucket's records in memory are written out beyond this size.
const BLOCK_BYTES: usize = 16 * 1024;
/// Bytes of a block's checksum.
const CHECK_BYTES: usize = 16;
/// Most bytes of one bucket; beyond it the estimate was wrong by orders of magnitude.
const BUCKET_MAX_BYTES: u64 = 1 << 30;

/// A record of a full scan: who, in which state, and how to address the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillRecord {
    /// Whose.
    pub identity: Identity,
    /// Digest of the source row.
    pub digest: RowDigest,
    /// Addresses the row.
    pub key: Key,
}

/// A note about one identity: bytes that only their writer understands. Hashes, never values of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillNote {
    /// About whom.
    pub identity: Identity,
    /// What.
    pub bytes: Vec<u8>,
}

/// Where scratch files are made.
#[derive(Clone, Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Scratch space in this folder, which is made (for its owner only) where it is missing.
    ///
    /// # Errors
    /// `scratch.unusable`.
    pub fn in_folder(folder: &Path) -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| unusable(&error))?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// Scratch space in the system's folder for temporary files.
    #[must_use]
    pub fn in_system_folder() -> Self {
        Self {
            folder: std::env::temp_dir(),
        }
    }

    /// Opens a scan of about so many rows; 0 where nobody knows.
    ///
    /// # Errors
    /// `scratch.unusable`, `scratch.disk_full`.
    pub fn spill(&self, expected_rows: u64) -> Result<SpillFile, Failure> {
        let file = tempfile::tempfile_in(&self.folder).map_err(|error| unusable(&error))?;
        Ok(SpillFile::over(file, bits_for(expected_rows)))
    }
}

/// Twice as many buckets as the estimate asks for, since estimates are.
fn bits_for(expected_rows: u64) -> u32 {
    if expected_rows == 0 {
        return UNKNOWN_BITS;
    }
    let buckets = expected_rows.div_ceil(BUCKET_RECORDS).saturating_mul(2);
    buckets
        .checked_next_power_of_two()
        .map_or(MAX_BITS, u64::trailing_zeros)
        .clamp(MIN_BITS, MAX_BITS)
}

#[derive(Clone, Copy, Debug)]
struct Block {
    offset: u64,
    length: u32,
}

#[derive(Debug, Default)]
struct Bucket {
    pending: Vec<u8>,
    blocks: Vec<Block>,
    bytes: u64,
}

/// An open scan.
#[derive(Debug)]
pub struct SpillFile {
    file: File,
    end: u64,
    bits: u32,
    buckets: Vec<Bucket>,
}

impl SpillFile {
    fn over(file: File, bits: u32) -> Self {
        let buckets = std::iter::repeat_with(Bucket::default).take(1 << bits).collect();
        Self {
            file,
            end: 0,
            bits,
            buckets,
        }
    }

    /// Adds records.
    ///
    /// # Errors
    /// `scratch.disk_full`, `scratch.unusable`; `scratch.overflow` when a bucket outgrows its bound. The scan
    /// is then of no use any more.
    pub fn push(&mut self, records: impl IntoIterator<Item = SpillRecord>) -> Result<(), Failure> {
        for record in records {
            self.add(record.identity, record.digest, record.key.as_bytes())?;
        }
        Ok(())
    }

    /// Adds notes. A file holds either records or notes.
    ///
    /// # Errors
    /// As [`SpillFile::push`].
    pub fn push_notes(&mut self, notes: impl IntoIterator<Item = SpillNote>) -> Result<(), Failure> {
        for note in notes {
            self.add(note.identity, RowDigest::UNKNOWN, &note.bytes)?;
        }
        Ok(())
    }

    fn add(&mut self, identity: Identity, digest: RowDigest, bytes: &[u8]) -> Result<(), Failure> {
        let at = identity.bucket(self.bits);
        let bucket = &mut self.buckets[at];
        encode(identity, digest, bytes, &mut bucket.pending)?;
        if bucket.pending.len() >= BLOCK_BYTES {
            self.write_out(at)?;
        }
        Ok(())
    }

    /// How many buckets there are, as a power of two: bucket `i` holds the identities with that prefix.
    #[must_use]
    pub fn bucket_bits(&self) -> u32 {
        self.bits
    }

    /// The records of a bucket, sorted by identity (and key, where two rows share one).
    ///
    /// # Errors
    /// `scratch.damaged` when what is read is not what was written, `scratch.unusable`.
    pub fn bucket(&mut self, index: usize) -> Result<Vec<SpillRecord>, Failure> {
        let read = self.entries(index)?.into_iter().map(|(identity, digest, key)| {
            Ok(SpillRecord {
                identity,
                digest,
                key: Key::from_bytes(key).map_err(|_| damaged("a key cannot be read"))?,
            })
        });
        read.collect()
    }

    /// The notes of a bucket, sorted by identity.
    ///
    /// # Errors
    /// As [`SpillFile::bucket`].
    pub fn notes(&mut self, index: usize) -> Result<Vec<SpillNote>, Failure> {
        let read = self.entries(index)?.into_iter();
        Ok(read
            .map(|(identity, _, bytes)| SpillNote { identity, bytes })
            .collect())
    }

    fn entries(&self, index: usize) -> Result<Vec<(Identity, RowDigest, Vec<u8>)>, Failure> {
        let Some(bucket) = self.buckets.get(index) else {
            return Err(damaged("a bucket was asked for that does not exist"));
        };
        let mut entries = Vec::new();
        for block in &bucket.blocks {
            decode(&self.read_back(*block)?, &mut entries)?;
        }
        decode(&bucket.pending, &mut entries)?;
        if entries
            .iter()
            .any(|(identity, ..)| identity.bucket(self.bits) != index)
        {
            return Err(damaged("a record lies in the wrong bucket"));
        }
        entries.sort_unstable_by(|a, b| (a.0, &a.2).cmp(&(b.0, &b.2)));
        Ok(entries)
    }

    fn write_out(&mut self, at: usize) -> Result<(), Failure> {
        let bucket = &mut self.buckets[at];
        let block = Block {
            offset: self.end,
            length: u32::try_from(bucket.pending.len()).map_err(|_| overflow())?,
        };
        let check = checksum(&bucket.pending);
        bucket.pending.extend_from_slice(&check);
        self.file
            .write_all_at(&bucket.pending, self.end)
            .map_err(|error| unusable(&error))?;
        self.end += bucket.pending.len() as u64;
        bucket.bytes += bucket.pending.len() as u64;
        bucket.pending.clear();
        bucket.blocks.push(block);
        if bucket.bytes > BUCKET_MAX_BYTES {
            Err(overflow())
        } else {
            Ok(())
        }
    }

    fn read_back(&self, block: Block) -> Result<Vec<u8>, Failure> {
        let length = block.length as usize;
        let mut bytes = vec![0; length + CHECK_BYTES];
        self.file
            .read_exact_at(&mut bytes, block.offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => damaged("the file is shorter than what was written"),
                _ => unusable(&error),
            })?;
        let check = bytes.split_off(length);
        if check == checksum(&bytes) {
            Ok(bytes)
        } else {
            Err(damaged("a checksum does not fit"))
        }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECK_BYTES]);
    check
}

/// Identity, digest, length of what follows as four big-endian bytes, then the key or the note.
fn encode(identity: Identity, digest: RowDigest, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
    let length = u32::try_from(bytes.len()).map_err(|_| overflow())?;
    out.extend_from_slice(identity.as_bytes());
    out.extend_from_slice(&digest.0);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn decode(mut bytes: &[u8], out: &mut Vec<(Identity, RowDigest, Vec<u8>)>) -> Result<(), Failure> {
    let short = || damaged("a record ends in its middle");
    while !bytes.is_empty() {
        let (identity, rest) = bytes.split_first_chunk::<16>().ok_or_else(short)?;
        let (digest, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let (key, rest) = rest
            .split_at_checked(u32::from_be_bytes(*length) as usize)
            .ok_or_else(short)?;
        out.push((Identity::from_bytes(*identity), RowDigest(*digest), key.to_vec()));
        bytes = rest;
    }
    Ok(())
}

fn unusable(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::new(
            Scope::Outage,
            "scratch.disk_full",
            "the worker's disk for temporary files is full",
            "free space there, or point the worker to another folder; a full scan needs about 100 bytes a row",
        ),
        kind => Failure::new(
            Scope::Outage,
            "scratch.unusable",
            format!("the worker's folder for temporary files cannot be used: {kind}"),
            "make the folder writable for the worker, or point the worker to another one",
        ),
    }
}

fn damaged(what: &str) -> Failure {
    Failure::new(
        Scope::Outage,
        "scratch.damaged",
        format!("a temporary file was damaged: {what}"),
        "check the disk of the worker's machine; the run can simply be started again",
    )
}

fn overflow() -> Failure {
    Failure::new(
        Scope::Outage,
        "scratch.overflow",
        "the table has far more rows than the database's statistics say, and the scan would need too much memory",
        "run ANALYZE on the table and start the run again",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use syncbridge_domain::identity::{HashKey, KeyColumn, encode_key};
    use syncbridge_domain::pg_type::PgType;

    use super::*;

    fn record(number: u64) -> SpillRecord {
        let column = KeyColumn {
            name: "id".into(),
            pg_type: PgType::Int8,
        };
        let key = encode_key(&[column], &[Some(&number.to_string())]).unwrap();
        let identity = Identity::new(&HashKey::new(1, &[7; 32]), "test", &key);
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        SpillRecord {
            identity,
            digest: RowDigest(digest),
            key,
        }
    }

    fn full(rows: u64) -> SpillFile {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Scratch::in_folder(folder.path()).unwrap().spill(rows).unwrap();
        spill.push((0..rows).map(record)).unwrap();
        spill
    }

    #[test]
    fn every_record_comes_back_once_from_its_bucket_in_order() {
        let rows = 50_000;
        let mut spill = full(rows);
        let mut seen = Vec::new();
        for index in 0..1 << spill.bucket_bits() {
            let records = spill.bucket(index).unwrap();
            assert!(records.windows(2).all(|pair| pair[0].identity < pair[1].identity));
            assert!(
                records
                    .iter()
                    .all(|r| r.identity.bucket(spill.bucket_bits()) == index)
            );
            seen.extend(records);
        }
        assert!(
            seen.windows(2).all(|pair| pair[0].identity < pair[1].identity),
            "buckets are ranges"
        );
        let mut wanted: Vec<_> = (0..rows).map(record).collect();
        wanted.sort_unstable_by_key(|r| r.identity);
        assert!(seen == wanted);
    }

    #[test]
    fn a_changed_byte_and_a_missing_end_are_noticed() {
        let mut spill = full(20_000);
        let index = spill
            .buckets
            .iter()
            .position(|bucket| !bucket.blocks.is_empty())
            .unwrap();
        let block = spill.buckets[index].blocks[0];
        let mut byte = [0];
        spill.file.read_exact_at(&mut byte, block.offset + 40).unwrap();
        spill
            .file
            .write_all_at(&[byte[0] ^ 1], block.offset + 40)
            .unwrap();
        assert_eq!(spill.bucket(index).unwrap_err().code, "scratch.damaged");
        spill.file.set_len(block.offset).unwrap();
        assert_eq!(spill.bucket(index).unwrap_err().code, "scratch.damaged");
    }

    #[test]
    fn a_full_disk_is_told_as_such() {
        let device = File::options().read(true).write(true).open("/dev/full").unwrap();
        let mut spill = SpillFile::over(device, 0);
        let failure = spill.push((0..1_000).map(record)).unwrap_err();
        assert_eq!(failure.code, "scratch.disk_full");
    }

    #[test]
    fn the_folder_is_private_and_stays_empty() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("scratch");
        let mut spill = Scratch::in_folder(&inner).unwrap().spill(10).unwrap();
        spill.push((0..5_000).map(record)).unwrap();
        assert_eq!(
            std::fs::metadata(&inner).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(
            std::fs::read_dir(&inner).unwrap().count(),
            0,
            "no name, so nothing is left behind"
        );
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_explained() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failure = Scratch::in_folder(&file.path().join("below")).unwrap_err();
        assert_eq!(failure.code, "scratch.unusable");
    }

    #[test]
    fn buckets_follow_the_estimate_within_bounds() {
        assert_eq!(bits_for(0), UNKNOWN_BITS);
        assert_eq!(bits_for(1), MIN_BITS);
        assert_eq!(bits_for(1_000_000), 5);
        assert_eq!(bits_for(u64::MAX), MAX_BITS);
    }

    #[test]
    fn two_rows_of_one_identity_both_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Scratch::in_folder(folder.path()).unwrap().spill(1).unwrap();
        spill.push([record(1), record(1)]).unwrap();
        let index = record(1).identity.bucket(spill.bucket_bits());
        assert_eq!(spill.bucket(index).unwrap().len(), 2);
    }
}
