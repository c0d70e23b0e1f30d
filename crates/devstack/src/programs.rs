//! Finding the servers' programs.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where Debian puts each PostgreSQL version: `/usr/lib/postgresql/<version>/bin`.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// Folder with PostgreSQL's server programs: a folder in `PATH` that has `initdb`, else Debian's newest
/// version.
///
/// # Errors
/// [`Error::MissingProgram`], naming the Debian package and the command that installs it.
pub(crate) fn postgres_folder() -> Result<PathBuf> {
    postgres_folder_in(&path_folders(), Path::new(DEBIAN_POSTGRES))
}

fn postgres_folder_in(path: &[PathBuf], debian: &Path) -> Result<PathBuf> {
    // Each needed program must be there: Debian links some client programs into /usr/bin, never the server.
    let complete = |folder: &&PathBuf| {
        ["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|name| is_program(&folder.join(name)))
    };
    let versions = debian_versions(debian);
    path.iter()
        .chain(&versions)
        .find(complete)
        .cloned()
        .ok_or_else(|| {
            let mut looked_in = path.to_vec();
            looked_in.push(debian.join("*/bin"));
            Error::MissingProgram {
                program: "initdb".to_owned(),
                looked_in,
                next_step:
                    "Install the PostgreSQL server (15 or newer). On Debian the package is `postgresql`: \
                        `apt-get install postgresql`, or `make setup`."
                        .to_owned(),
            }
        })
}

fn debian_versions(root: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

/// A program in `PATH` or one of `extra` folders (`/usr/sbin`, which an ordinary user's `PATH` lacks).
///
/// # Errors
/// [`Error::MissingProgram`] with `next_step`.
pub(crate) fn find(program: &str, extra: &[&str], next_step: &str) -> Result<PathBuf> {
    let mut looked_in = path_folders();
    looked_in.extend(extra.iter().map(PathBuf::from));
    find_in(program, looked_in, next_step)
}

fn find_in(program: &str, looked_in: Vec<PathBuf>, next_step: &str) -> Result<PathBuf> {
    looked_in
        .iter()
        .map(|folder| folder.join(program))
        .find(|path| is_program(path))
        .ok_or_else(|| Error::MissingProgram {
            program: program.to_owned(),
            looked_in,
            next_step: next_step.to_owned(),
        })
}

pub(crate) fn path_folders() -> Vec<PathBuf> {
    std::env::var_os("PATH")
        .map(|path| {
            std::env::split_paths(&path)
                .filter(|folder| folder.is_absolute())
                .collect()
        })
        .unwrap_or_default()
}

pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn put_program(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_missing_server_names_the_package_and_the_command() {
        let empty = tempfile::tempdir().unwrap();
        let error =
            postgres_folder_in(&[empty.path().to_path_buf()], &empty.path().join("none")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`initdb` was not found"), "{text}");
        assert!(text.contains("apt-get install postgresql"), "{text}");
        assert!(text.contains(&empty.path().display().to_string()), "{text}");
    }

    #[test]
    fn a_missing_nats_server_names_the_package_and_the_command() {
        let text = find_in("nats-server", vec![], crate::nats::NEXT_STEP)
            .unwrap_err()
            .to_string();
        assert!(text.contains("apt-get install nats-server"), "{text}");
    }

    #[test]
    fn the_newest_debian_version_wins_by_number_and_incomplete_folders_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        for (version, programs) in [
            ("9", &["initdb", "pg_ctl", "postgres"][..]),
            ("15", &["initdb", "pg_ctl", "postgres"]),
            ("18", &["initdb"]),
        ] {
            for program in programs {
                put_program(&root.path().join(version).join("bin").join(program));
            }
        }
        assert_eq!(
            postgres_folder_in(&[], root.path()).unwrap(),
            root.path().join("15/bin")
        );
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nats-server");
        std::fs::write(&file, "").unwrap();
        assert!(find_in("nats-server", vec![folder.path().to_path_buf()], "").is_err());
        put_program(&file);
        assert_eq!(
            find_in("nats-server", vec![folder.path().to_path_buf()], "").unwrap(),
            file
        );
    }
}
