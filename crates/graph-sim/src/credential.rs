//! What an application may prove itself with instead of a secret: a certificate of its own, or the word of another
//! issuer; and the identities that the machine itself has.

use std::collections::BTreeMap;
use std::fmt::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The audience Entra expects in assertions of other issuers where nothing else is agreed.
const USUAL_AUDIENCE: &str = "api://AzureADTokenExchange";

/// A certificate registered with an application; assertions signed with its key are accepted in place of a secret.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The application's (client) id.
    pub client: String,
    /// SubjectPublicKeyInfo in DER.
    pub(crate) key: Vec<u8>,
    /// Unix seconds between which the certificate is valid.
    pub(crate) valid: (i64, i64),
    /// Base64url of the SHA-1 of the certificate, as a header's `x5t` has it.
    pub(crate) sha1: String,
    /// Base64url of the SHA-256 of the certificate, as a header's `x5t#S256` has it.
    pub(crate) sha256: String,
    /// The SHA-1 in upper-case hexadecimal, as the directory's errors print it.
    pub(crate) thumbprint: String,
}

impl ClientCertificate {
    /// Registers the first certificate of a PEM text.
    ///
    /// # Errors
    /// A text that says what is wrong with the PEM, the certificate or its key.
    pub fn from_pem(client: impl Into<String>, pem: &[u8]) -> Result<Self, String> {
        let client = client.into();
        let der = CertificateDer::from_pem_slice(pem)
            .map_err(|error| format!("certificate of client '{client}': no PEM certificate: {error}"))?;
        let (_, parsed) = X509Certificate::from_der(&der)
            .map_err(|error| format!("certificate of client '{client}': {error}"))?;
        let validity = parsed.validity();
        let print = digest(&SHA1_FOR_LEGACY_USE_ONLY, &der);
        let mut thumbprint = String::new();
        for byte in print.as_ref() {
            let _ = write!(thumbprint, "{byte:02X}");
        }
        Ok(Self {
            key: parsed.public_key().raw.to_vec(),
            valid: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            sha1: BASE64_URL_SAFE_NO_PAD.encode(print),
            sha256: BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &der)),
            thumbprint,
            client,
        })
    }

    /// Reads `ID=FILE`.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((client, file)) if !client.is_empty() && !file.is_empty() => {
                Self::from_pem(client, &read(file)?)
            }
            _ => Err("write it as ID=FILE, with a certificate in PEM form in FILE".to_owned()),
        }
    }
}

/// A federated identity credential: an application accepts the tokens of another issuer for one subject.
#[derive(Clone, Debug)]
pub struct FederatedCredential {
    /// The application's (client) id.
    pub client: String,
    /// The `iss` of accepted assertions; compared letter by letter.
    pub issuer: String,
    /// Their `sub`; compared letter by letter.
    pub subject: String,
    /// Their `aud`.
    pub audience: String,
    /// SubjectPublicKeyInfo in DER of the issuer's key. The service fetches it from the issuer; a simulator that
    /// reaches nothing is told.
    pub(crate) key: Vec<u8>,
}

impl FederatedCredential {
    /// Registers an issuer and subject with the issuer's public key in PEM form (`PUBLIC KEY` or `CERTIFICATE`).
    ///
    /// # Errors
    /// A text that says what is wrong with the key.
    pub fn new(
        client: impl Into<String>,
        issuer: impl Into<String>,
        subject: impl Into<String>,
        audience: Option<String>,
        key_pem: &[u8],
    ) -> Result<Self, String> {
        let client = client.into();
        let key = match SubjectPublicKeyInfoDer::from_pem_slice(key_pem) {
            Ok(key) => key.to_vec(),
            Err(_) => {
                ClientCertificate::from_pem(client.as_str(), key_pem)
                    .map_err(|_| {
                        format!("federated credential of client '{client}': neither a PUBLIC KEY nor a CERTIFICATE in PEM form")
                    })?
                    .key
            }
        };
        Ok(Self {
            client,
            issuer: issuer.into(),
            subject: subject.into(),
            audience: audience.unwrap_or_else(|| USUAL_AUDIENCE.to_owned()),
            key,
        })
    }

    /// Reads `client=ID,issuer=URL,subject=TEXT,key=FILE[,audience=TEXT]`; no value may hold a comma.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write it as client=ID,issuer=URL,subject=TEXT,key=FILE[,audience=TEXT]";
        let mut parts = BTreeMap::new();
        for pair in text.split(',') {
            let (name, value) = pair.split_once('=').ok_or(FORM)?;
            if !["client", "issuer", "subject", "key", "audience"].contains(&name) {
                return Err(format!("'{name}' is not a part of it: {FORM}"));
            }
            if value.is_empty() || parts.insert(name, value).is_some() {
                return Err(format!("'{name}' must be given once and not be empty: {FORM}"));
            }
        }
        let part = |name: &str| {
            parts
                .get(name)
                .copied()
                .ok_or_else(|| format!("'{name}' is missing: {FORM}"))
        };
        let audience = parts.get("audience").map(|text| (*text).to_owned());
        Self::new(
            part("client")?,
            part("issuer")?,
            part("subject")?,
            audience,
            &read(part("key")?)?,
        )
    }
}

fn read(file: &str) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("cannot read '{file}': {error}"))
}
