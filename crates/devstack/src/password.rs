//! Passwords of private servers: made once, kept in a file only its owner reads.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::{Error, Result};

/// The password in `file`; makes file and password where there is none. 32 hexadecimal digits, so that it
/// needs no escaping in a URL, an SQL literal or a configuration file.
pub(crate) fn read_or_create(file: &Path) -> Result<String> {
    match std::fs::read_to_string(file) {
        Ok(password) if is_password(password.trim()) => return Ok(password.trim().to_owned()),
        Ok(_) => {
            return Err(Error::Invalid(format!(
                "{} does not hold a password of ours; delete it together with the data folder beside it",
                file.display()
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("read", file)(error)),
    }
    let password = generate()?;
    write_private(file, &password)?;
    Ok(password)
}

/// Writes a new file that only its owner may read.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut handle| handle.write_all(text.as_bytes()))
        .map_err(Error::io("write", file))
}

fn generate() -> Result<String> {
    let device = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 16];
    std::fs::File::open(device)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Error::io("read", device))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_password(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_password_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let first = read_or_create(&file).unwrap();
        assert_eq!(first, read_or_create(&file).unwrap());
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_ne!(first, read_or_create(&folder.path().join("other")).unwrap());
    }

    #[test]
    fn a_damaged_password_file_is_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "").unwrap();
        assert!(
            read_or_create(&file)
                .unwrap_err()
                .to_string()
                .contains("delete it together")
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
    }
}
