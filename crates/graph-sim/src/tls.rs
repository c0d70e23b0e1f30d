//! HTTPS with a certificate authority of its own: `ca.pem` in a folder is what clients are told to trust; the
//! server's certificate is made anew at every start.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The hosts whose place the simulator takes, and its own.
const NAMES: [&str; 4] = [
    "graph.microsoft.com",
    "login.microsoftonline.com",
    "localhost",
    "127.0.0.1",
];
/// How long a new authority is valid, in days.
const AUTHORITY_DAYS: i64 = 3_650;
/// How long the certificate of one start is valid, in days.
const SERVER_DAYS: i64 = 90;

/// What a server needs to speak TLS.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    authority: PathBuf,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Takes the authority of a folder, or makes one there (`ca.pem`, and `ca.key` for its owner alone), and issues a
    /// certificate for the hosts of the real service, this machine and `names`.
    ///
    /// # Errors
    /// A text that says which file or name is wrong, and what to do.
    pub fn prepare(folder: &Path, names: &[String], now: DateTime<Utc>) -> Result<Self, String> {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
        let (key_file, authority) = (folder.join("ca.key"), folder.join("ca.pem"));
        let key = authority_key(&key_file)?;
        let parameters = authority_parameters(now);
        if authority.exists() {
            check_authority(&authority, &key)?;
        } else {
            let certificate = parameters
                .self_signed(&key)
                .map_err(|error| format!("certificate authority: {error}"))?;
            write_whole(&authority, &certificate.pem(), 0o644)?;
        }
        // An issuer is its name and its key; both are the kept authority's.
        let issuer = Issuer::new(parameters, key);
        let mut all: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        all.extend(
            names
                .iter()
                .filter(|name| !NAMES.contains(&name.as_str()))
                .cloned(),
        );
        let mut leaf = CertificateParams::new(all).map_err(|error| format!("--tls-name: {error}"))?;
        leaf.distinguished_name = rcgen::DistinguishedName::new();
        leaf.distinguished_name.push(DnType::CommonName, "graph-sim");
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_days(&mut leaf, now, SERVER_DAYS);
        let server_key = KeyPair::generate().map_err(|error| format!("server key: {error}"))?;
        let certificate = leaf
            .signed_by(&server_key, &issuer)
            .map_err(|error| format!("server certificate: {error}"))?;
        let key = PrivatePkcs8KeyDer::from(server_key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![certificate.into()], key.into())
            })
            .map_err(|error| format!("TLS: {error}"))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority,
        })
    }

    /// The file with the certificate that clients are to trust.
    #[must_use]
    pub fn authority(&self) -> &Path {
        &self.authority
    }
}

fn authority_parameters(now: DateTime<Utc>) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "graph-sim test authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_days(&mut parameters, now, AUTHORITY_DAYS);
    parameters
}

/// Valid from yesterday, since clocks differ, for so many days.
fn set_days(parameters: &mut CertificateParams, now: DateTime<Utc>, days: i64) {
    let day = |time: DateTime<Utc>| rcgen::date_time_ymd(time.year(), time.month() as u8, time.day() as u8);
    parameters.not_before = day(now - TimeDelta::days(1));
    parameters.not_after = day(now + TimeDelta::days(days));
}

fn authority_key(file: &Path) -> Result<KeyPair, String> {
    if file.exists() {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        return KeyPair::from_pem(&text).map_err(|error| {
            format!(
                "{} is no private key ({error}): remove it to get a new authority",
                file.display()
            )
        });
    }
    let key = KeyPair::generate().map_err(|error| format!("key of the certificate authority: {error}"))?;
    write_whole(file, &key.serialize_pem(), 0o600)?;
    Ok(key)
}

/// A kept certificate must be that of the kept key, else no client that trusts it would trust us.
fn check_authority(file: &Path, key: &KeyPair) -> Result<(), String> {
    let shown = file.display();
    let der = CertificateDer::from_pem_file(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|error| format!("{shown}: {error}"))?;
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err(format!(
            "{shown} does not belong to the ca.key beside it: remove both to get a new authority"
        ));
    }
    Ok(())
}

/// Writes a file so that others see it whole or not at all.
fn write_whole(file: &Path, text: &str, mode: u32) -> Result<(), String> {
    use std::os::unix::fs::OpenOptionsExt;
    let part = file.with_extension(format!("part-{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        options.open(&part)?.write_all(text.as_bytes())?;
        std::fs::rename(&part, file)
    };
    write().map_err(|error| format!("cannot write {}: {error}", file.display()))
}
