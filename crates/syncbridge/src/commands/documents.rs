//! Reads the documents a person names: files, folders, standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use syncbridge_manifest::{Document, Located, MAX_BYTES, parse_all};
use syncbridge_operations::Error;

/// Reads and checks all documents of the named places.
pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Located<Document>>> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for file in files {
        if file == Path::new("-") {
            let mut text = String::new();
            std::io::stdin()
                .take(MAX_BYTES as u64 + 1)
                .read_to_string(&mut text)
                .context("standard input cannot be read as UTF-8 text")?;
            texts.push(("standard input".to_owned(), text));
        } else if file.is_dir() {
            for inner in documents_in(file)? {
                texts.push(read_file(&inner)?);
            }
        } else {
            texts.push(read_file(file)?);
        }
    }
    let given = texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let documents = parse_all(given).map_err(Error::Documents)?;
    anyhow::ensure!(
        !documents.is_empty(),
        "there is no document in what was given → a document begins with `apiVersion: syncbridge/v1`; \
         see docs/examples"
    );
    Ok(documents)
}

fn read_file(file: &Path) -> anyhow::Result<(String, String)> {
    let size = std::fs::metadata(file)
        .map_err(|error| unreadable(file, &error))?
        .len();
    anyhow::ensure!(
        size <= MAX_BYTES as u64,
        "{} is larger than 1 MiB → split it",
        file.display()
    );
    Ok((
        file.display().to_string(),
        std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?,
    ))
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind;
    let (why, fix) = match error.kind() {
        ErrorKind::NotFound => ("is not there", "check the path"),
        ErrorKind::PermissionDenied => ("may not be read by you", "change its rights or run as its owner"),
        ErrorKind::InvalidData => ("is no UTF-8 text", "save it as UTF-8"),
        _ => ("cannot be read", "check the path and the disk"),
    };
    anyhow::anyhow!("{} {why} → {fix}", path.display())
}

fn documents_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let known = path
            .extension()
            .is_some_and(|ext| ["yaml", "yml", "json"].iter().any(|known| ext == *known));
        if known && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
