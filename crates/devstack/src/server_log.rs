//! The last lines of a server's log, for error messages.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 15;

/// The last lines of a log file; empty when there is none to read.
pub(crate) fn tail_of_file(path: &Path) -> String {
    let Ok(mut file) = std::fs::File::open(path) else {
        return String::new();
    };
    let length = file.metadata().map_or(0, |meta| meta.len());
    if file
        .seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))
        .is_err()
    {
        return String::new();
    }
    let mut bytes = Vec::new();
    if file.take(TAIL_BYTES).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    tail(&String::from_utf8_lossy(&bytes))
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
