//! A token that somebody else signs and renews, in a file: workload identity federation.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_target_graph::AssertionSource;

/// The most bytes of a token; the largest known have a few thousand.
const MAX_BYTES: u64 = 16 << 10;

/// A token file, and where such files may be. The file is looked at anew for each use, because its owner replaces
/// it within the hour; so are the folders, because links in them may change.
#[derive(Clone, Debug)]
pub struct TokenFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the platform itself named it to this process; it may then be anywhere.
    pub is_of_platform: bool,
    /// Otherwise it has to lie below one of these, links followed.
    pub folders: Vec<PathBuf>,
}

impl AssertionSource for TokenFile {
    fn assertion(&self) -> Result<SecretString, Failure> {
        // What is judged is what is opened: the path with every link followed.
        let real = self
            .path
            .canonicalize()
            .map_err(|_| self.unreadable("cannot be read"))?;
        if !self.is_of_platform && !self.folders.iter().any(|folder| lies_below(&real, folder)) {
            return Err(Failure::new(
                Scope::Tenant,
                "auth.token_file_denied",
                format!(
                    "the token file {} lies outside the folders that the server may read tokens from",
                    self.path.display()
                ),
                "move it below SYNCBRIDGE_SECRETS_FOLDER, or have an administrator set SYNCBRIDGE_TOKEN_FOLDER",
            ));
        }
        let file = File::open(&real).map_err(|_| self.unreadable("cannot be read"))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|_| self.unreadable("cannot be read"))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(self.unreadable("is larger than 16 KiB"));
        }
        let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        if !is_token(text) {
            return Err(self.unreadable("holds no token"));
        }
        Ok(SecretString::from(text))
    }
}

impl TokenFile {
    fn unreadable(&self, why: &str) -> Failure {
        Failure::new(
            Scope::Tenant,
            "auth.token_file_unreadable",
            format!("the token file {} {why}", self.path.display()),
            "check the path and its rights, and that the platform writes a signed token (JWT) there",
        )
    }
}

fn lies_below(real: &Path, folder: &Path) -> bool {
    folder
        .canonicalize()
        .is_ok_and(|folder| real.starts_with(&folder) && real != folder)
}

/// Three parts of base64 with dots between: header (which begins with a brace), claims, signature. Nothing else is
/// sent to anybody.
fn is_token(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let of_base64 = |part: &&str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    parts.len() == 3 && text.starts_with("ey") && parts.iter().all(of_base64)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn file(path: PathBuf, folders: &[&Path]) -> TokenFile {
        TokenFile {
            path,
            is_of_platform: false,
            folders: folders.iter().map(|folder| folder.to_path_buf()).collect(),
        }
    }

    fn code(file: &TokenFile) -> String {
        let failure = file.assertion().unwrap_err();
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
        failure.code
    }

    #[test]
    fn a_token_is_read_anew_each_time_as_its_owner_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        // As Kubernetes does it: the file is a link into a folder that is a link itself, and that one is replaced.
        for (version, token) in [("one", "ey.c.s1"), ("two", "ey.c.s2")] {
            fs::create_dir(folder.path().join(version)).unwrap();
            fs::write(folder.path().join(version).join("token"), format!("{token}\n")).unwrap();
        }
        symlink("one", folder.path().join("..data")).unwrap();
        symlink("..data/token", folder.path().join("token")).unwrap();
        let file = file(folder.path().join("token"), &[folder.path()]);
        assert_eq!(file.assertion().unwrap().expose_secret(), "ey.c.s1");
        fs::remove_file(folder.path().join("..data")).unwrap();
        symlink("two", folder.path().join("..data")).unwrap();
        assert_eq!(file.assertion().unwrap().expose_secret(), "ey.c.s2");
    }

    #[test]
    fn a_file_outside_the_folders_is_not_read_by_whatever_way_it_is_named() {
        let inside = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("token");
        fs::write(&secret, "eyhunter2.hunter2.hunter2").unwrap();
        symlink(&secret, inside.path().join("link")).unwrap();
        let sibling = PathBuf::from(format!("{}-more", inside.path().display()));
        fs::create_dir(&sibling).unwrap();
        fs::write(sibling.join("token"), "eyhunter2.hunter2.hunter2").unwrap();
        for path in [secret.clone(), inside.path().join("link"), sibling.join("token")] {
            assert_eq!(code(&file(path, &[inside.path()])), "auth.token_file_denied");
        }
        assert_eq!(code(&file(secret.clone(), &[])), "auth.token_file_denied");
        fs::remove_dir_all(&sibling).unwrap();
        // What the platform itself names is the platform's business.
        let of_platform = TokenFile {
            is_of_platform: true,
            ..file(secret, &[])
        };
        assert!(of_platform.assertion().is_ok());
    }

    #[test]
    fn what_is_no_token_is_sent_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let file = file(path.clone(), &[folder.path()]);
        assert_eq!(code(&file), "auth.token_file_unreadable");
        let long = format!("ey{}.c.s", "h".repeat(17 << 10));
        for text in [
            "",
            "hunter2",
            "hunter2.c",
            "eya.hunter2.",
            "eya.b c.hunter2",
            "eya.b.c.hunter2",
            "a.b.hunter2",
            "-----BEGIN.a.b",
            &long,
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(code(&file), "auth.token_file_unreadable");
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(code(&file), "auth.token_file_unreadable");
    }
}
