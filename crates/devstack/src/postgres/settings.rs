//! The files that configure a cluster, written anew at every start.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{PostgresOptions, TlsFiles};
use crate::account::Account;
use crate::{Error, Result};

/// Writes `syncbridge.conf`, `pg_hba.conf` and the TLS files; `postgresql.conf` stays as `initdb` made it but
/// for one line that includes ours.
pub(super) fn write(files: &Path, account: &Account, options: &PostgresOptions, port: u16) -> Result<()> {
    let main = files.join("postgresql.conf");
    let include = "include_if_exists = 'syncbridge.conf'\n";
    let text = std::fs::read_to_string(&main).map_err(Error::io("read", &main))?;
    if !text.contains(include) {
        std::fs::write(&main, format!("{text}\n{include}")).map_err(Error::io("write", &main))?;
    }
    if let Some(tls) = &options.tls {
        copy_tls(files, account, tls)?;
    }
    put(
        files,
        account,
        "syncbridge.conf",
        configuration(options, port).as_bytes(),
    )?;
    put(files, account, "pg_hba.conf", access(options).as_bytes())
}

fn configuration(options: &PostgresOptions, port: u16) -> String {
    // Log lines carry no statements and no DETAIL: both hold values of rows.
    let mut text = format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = ''\n\
         max_connections = 200\n\
         wal_level = logical\n\
         max_wal_senders = 20\n\
         max_replication_slots = 20\n\
         max_prepared_transactions = 10\n\
         track_commit_timestamp = on\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         log_min_error_statement = panic\n\
         log_error_verbosity = terse\n"
    );
    if options.fast {
        // synchronous_commit stays on: without fsync it costs next to nothing, and a crash of the server (not of
        // the machine) then loses no committed transaction.
        text.push_str("fsync = off\nfull_page_writes = off\nshared_buffers = '64MB'\n");
    }
    if let Some(tls) = &options.tls {
        text.push_str("ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n");
        if tls.client_authority.is_some() {
            text.push_str("ssl_ca_file = 'clients.crt'\n");
        }
    }
    let _ = writeln!(text, "{}", options.extra_conf);
    text
}

fn access(options: &PostgresOptions) -> String {
    format!(
        "{}\n\
         host all all 127.0.0.1/32 scram-sha-256\n\
         host replication all 127.0.0.1/32 scram-sha-256\n",
        options.extra_hba
    )
}

fn copy_tls(files: &Path, account: &Account, tls: &TlsFiles) -> Result<()> {
    let mut pairs = vec![("server.crt", &tls.certificate), ("server.key", &tls.key)];
    pairs.extend(
        tls.client_authority
            .iter()
            .map(|authority| ("clients.crt", authority)),
    );
    for (name, source) in pairs {
        let bytes = std::fs::read(source).map_err(Error::io("read", source))?;
        put(files, account, name, &bytes)?;
    }
    Ok(())
}

fn put(files: &Path, account: &Account, name: &str, bytes: &[u8]) -> Result<()> {
    let path = files.join(name);
    // Made empty and closed to others first: the key is never readable, not even for a moment.
    std::fs::File::create(&path)
        .and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)))
        .map_err(Error::io("make", &path))?;
    std::fs::write(&path, bytes).map_err(Error::io("write", &path))?;
    account.own(&path)
}

/// An SQL identifier in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A database name as the path of a URL.
pub(super) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
