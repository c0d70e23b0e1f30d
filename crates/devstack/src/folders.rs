//! Folders that the servers' system user can reach.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::{Error, Result};

/// Name of the note in a folder that says where its server data went.
const NOTE: &str = "moved-to";

/// A folder for server data: `preferred` itself where the user that runs PostgreSQL can reach it, otherwise a
/// folder below the system's temporary folder. The choice is noted in `preferred/moved-to`, so the next call
/// with the same `preferred` answers the same folder while it exists.
///
/// # Errors
/// [`Error::Io`] when a folder cannot be made, [`Error::NoAccount`], or [`Error::Unreachable`] when there is
/// no temporary folder open to others either.
pub fn for_servers(preferred: &Path) -> Result<PathBuf> {
    let account = Account::for_postgres()?;
    std::fs::create_dir_all(preferred).map_err(Error::io("make", preferred))?;
    let preferred = preferred
        .canonicalize()
        .map_err(Error::io("resolve", preferred))?;
    let Some(blocked) = account.first_closed_ancestor(&preferred) else {
        return Ok(preferred);
    };
    let note = preferred.join(NOTE);
    if let Some(folder) = noted(&note, &account)? {
        return Ok(folder);
    }
    let base = [
        std::env::temp_dir(),
        PathBuf::from("/var/tmp"),
        PathBuf::from("/tmp"),
    ]
    .into_iter()
    .find(|base| base.is_dir() && account.first_closed_ancestor(base).is_none())
    .ok_or_else(|| unreachable_folder(&account, &preferred, blocked))?;
    let folder = tempfile::Builder::new()
        .prefix("syncbridge-")
        .tempdir_in(&base)
        .map_err(Error::io("make a folder in", &base))?
        .keep();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))
        .map_err(Error::io("open to others", &folder))?;
    std::fs::write(&note, folder.as_os_str().as_encoded_bytes()).map_err(Error::io("write", &note))?;
    tracing::info!(preferred = %preferred.display(), folder = %folder.display(), "server data moved");
    Ok(folder)
}

fn noted(note: &Path, account: &Account) -> Result<Option<PathBuf>> {
    let folder = match std::fs::read_to_string(note) {
        Ok(text) => PathBuf::from(text.trim_end_matches('\n')),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", note)(error)),
    };
    // The folder lies where anybody may put things: a link or somebody else's folder is not taken.
    let ours = std::fs::symlink_metadata(&folder)
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw());
    Ok((ours && account.first_closed_ancestor(&folder).is_none()).then_some(folder))
}

pub(crate) fn unreachable_folder(account: &Account, data: &Path, blocked: PathBuf) -> Error {
    Error::Unreachable {
        account: account.name().to_owned(),
        data: data.to_path_buf(),
        blocked,
        suggestion: std::env::temp_dir(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_closed_to_the_server_user_is_replaced_by_the_same_one_every_time() {
        let closed = tempfile::tempdir().unwrap();
        std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let first = for_servers(closed.path()).unwrap();
        assert_eq!(first, for_servers(closed.path()).unwrap());
        if rustix::process::geteuid().is_root() {
            assert_ne!(first, closed.path().canonicalize().unwrap());
            std::fs::remove_dir(&first).unwrap();
            assert_ne!(
                first,
                for_servers(closed.path()).unwrap(),
                "a folder that is gone is replaced"
            );
            std::fs::remove_dir(for_servers(closed.path()).unwrap()).unwrap();
        } else {
            assert_eq!(first, closed.path().canonicalize().unwrap());
        }
    }
}
