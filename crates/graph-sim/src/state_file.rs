//! The file that keeps a tenant from one start to the next.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::options::Options;
use crate::tenant::Tenant;

/// A tenant from its file, or a new one where the file does not exist yet; either writes the file when asked.
///
/// # Errors
/// The file cannot be read, is not a state file, is damaged, or is of another tenant; or the options are wrong.
pub fn open(path: &Path, options: Options) -> anyhow::Result<Tenant> {
    let mut tenant = match std::fs::read(path) {
        Ok(bytes) => {
            let shown = || format!("cannot use the state file {}", path.display());
            let text = String::from_utf8(bytes).map_err(|_| crate::StateError::NotAState);
            Tenant::load(options, &text.with_context(shown)?).with_context(shown)?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Tenant::new(options).map_err(anyhow::Error::msg)?
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read the state file {}", path.display()));
        }
    };
    let path = path.to_owned();
    tenant.keep_with(move |text| {
        write(&path, text).map_err(|error| format!("cannot write the state file {}: {error}", path.display()))
    });
    Ok(tenant)
}

/// Writes beside the file and puts the result in its place: whatever happens, the file is the old or the new one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = OsString::from(path.as_os_str());
    name.push(".new");
    let beside = PathBuf::from(name);
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
