//! Which system user runs PostgreSQL's programs.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// The user Debian's package creates for the server.
const SERVER_ACCOUNT: &str = "postgres";

/// The system user that runs PostgreSQL's programs: ourselves, or `postgres` when we are root.
#[derive(Debug, Clone)]
pub(crate) enum Account {
    Ourselves,
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// # Errors
    /// [`Error::NoAccount`] when we are root and there is no `postgres` user.
    pub(crate) fn for_postgres() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let passwd = Path::new("/etc/passwd");
        let users = std::fs::read_to_string(passwd).map_err(Error::io("read", passwd))?;
        find_user(&users, SERVER_ACCOUNT)
            .map(|(uid, gid)| Self::Other {
                name: SERVER_ACCOUNT.to_owned(),
                uid,
                gid,
            })
            .ok_or_else(|| Error::NoAccount {
                account: SERVER_ACCOUNT.to_owned(),
            })
    }

    /// A command run by this account, from `/` (our own folder may be closed to it), without input.
    /// Without a uid change the supplementary groups stay; with one the standard library clears them.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null());
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Hands a file or folder over to this account.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid, .. } => {
                std::os::unix::fs::chown(path, Some(*uid), Some(*gid)).map_err(Error::io("hand over", path))
            }
        }
    }

    /// The first ancestor of `folder` (or itself) that this account may not enter. Ancestors that do not
    /// exist yet are made by us with mode 755 and are no obstacle.
    pub(crate) fn first_closed_ancestor(&self, folder: &Path) -> Option<PathBuf> {
        let Self::Other { uid, gid, .. } = self else {
            return None;
        };
        let mut ancestors: Vec<&Path> = folder.ancestors().filter(|path| path.is_absolute()).collect();
        ancestors.reverse();
        ancestors
            .into_iter()
            .find(|path| {
                std::fs::metadata(path).is_ok_and(|meta| {
                    let bit = match (meta.uid() == *uid, meta.gid() == *gid) {
                        (true, _) => 0o100,
                        (false, true) => 0o010,
                        (false, false) => 0o001,
                    };
                    meta.mode() & bit == 0
                })
            })
            .map(Path::to_path_buf)
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Ourselves => "the current user",
            Self::Other { name, .. } => name,
        }
    }
}

fn find_user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let mut numbers = fields.skip(1);
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name_only() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgresql:x:7:8::/:/bin/sh\npostgres:x:101:104:PG,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(find_user(passwd, "postgres"), Some((101, 104)));
        assert_eq!(find_user(passwd, "post"), None);
    }

    #[test]
    fn a_folder_closed_to_others_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let open = tempfile::tempdir().unwrap();
        std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let closed = open.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account::Other {
            name: "stranger".into(),
            uid: 54_321,
            gid: 54_321,
        };
        assert_eq!(stranger.first_closed_ancestor(&closed.join("data")), Some(closed));
        assert_eq!(stranger.first_closed_ancestor(&open.path().join("data")), None);
    }
}
