//! A certificate and its key, with which the app signs what proves who it is (contract §1).

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use syncbridge_domain::clock::Entropy;
use syncbridge_domain::failure::{Failure, Scope};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::codes;

/// How long an assertion proves anything. It is used at once, so this only has to cover a slow wire and clocks
/// that differ.
const ASSERTION_LIFE: Duration = Duration::from_secs(300);
/// From this long before its end on, a certificate is spoken of.
const NOTICE: Duration = Duration::from_secs(30 * 86_400);

/// A certificate with the private key that belongs to it. Never prints either.
pub struct SigningCertificate {
    key: RsaKeyPair,
    /// SHA-256 of the certificate, as `x5t#S256` wants it.
    thumbprint: String,
    begins: DateTime<Utc>,
    ends: DateTime<Utc>,
}

impl fmt::Debug for SigningCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningCertificate(until {})", self.ends)
    }
}

impl SigningCertificate {
    /// Reads both from PEM. Of a chain the first certificate counts; certificate and key may stand in one text.
    ///
    /// # Errors
    /// [`codes::CERTIFICATE_UNREADABLE`], [`codes::KEY_ENCRYPTED`], [`codes::KEY_UNREADABLE`] and
    /// [`codes::KEY_MISMATCH`]; none quotes the text.
    pub fn from_pem(certificate: &SecretString, key: &SecretString) -> Result<Self, Failure> {
        let der = CertificateDer::from_pem_slice(certificate.expose_secret().as_bytes())
            .map_err(|_| unreadable_certificate())?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| unreadable_certificate())?;
        let moment = |seconds| DateTime::from_timestamp(seconds, 0).ok_or_else(unreadable_certificate);
        let begins = moment(parsed.validity().not_before.timestamp())?;
        let ends = moment(parsed.validity().not_after.timestamp())?;
        let key = read_key(key)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key().as_ref() {
            return Err(refused(
                codes::KEY_MISMATCH,
                "the private key does not belong to the certificate",
                "give the key the certificate was made with",
            ));
        }
        Ok(Self {
            key,
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &der)),
            begins,
            ends,
        })
    }

    /// What people should know about it, if anything: that it ends soon.
    #[must_use]
    pub fn notice(&self, now: DateTime<Utc>) -> Option<String> {
        let left = (self.ends - now).to_std().ok()?;
        (left < NOTICE).then(|| {
            format!(
                "the connection's certificate ends on {} ({} days) → make a new one, add it to the app registration \
                 and apply it; both may be registered at once",
                self.ends.format("%Y-%m-%d"),
                left.as_secs() / 86_400
            )
        })
    }

    /// A signed statement, good once and for minutes, that whoever asks `audience` for a token is `client_id`.
    ///
    /// # Errors
    /// [`codes::CERTIFICATE_EXPIRED`] and [`codes::CERTIFICATE_EARLY`], by the clock of whoever calls.
    pub(crate) fn assertion(
        &self,
        audience: &str,
        client_id: &str,
        now: DateTime<Utc>,
        entropy: &dyn Entropy,
    ) -> Result<SecretString, Failure> {
        self.good_at(now)?;
        let mut random = [0; 16];
        entropy.fill(&mut random);
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": uuid::Builder::from_random_bytes(random).into_uuid(),
            "nbf": now.timestamp(),
            "iat": now.timestamp(),
            "exp": (now + ASSERTION_LIFE).timestamp(),
        });
        let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        // The salt is drawn by the library: it decides nothing but the bytes of the signature.
        self.key
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| unreadable_key())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }

    fn good_at(&self, now: DateTime<Utc>) -> Result<(), Failure> {
        if now < self.begins {
            return Err(refused(
                codes::CERTIFICATE_EARLY,
                format!(
                    "the connection's certificate is valid only from {} on",
                    self.begins
                ),
                "wait, use another certificate, or set this machine's clock right",
            ));
        }
        if now > self.ends {
            return Err(refused(
                codes::CERTIFICATE_EXPIRED,
                format!("the connection's certificate ended on {}", self.ends),
                "make a new one, add it to the app registration and apply it on the connection",
            ));
        }
        Ok(())
    }
}

fn read_key(text: &SecretString) -> Result<RsaKeyPair, Failure> {
    let text = text.expose_secret();
    // Both forms say it in a line of their own: `BEGIN ENCRYPTED PRIVATE KEY` and `Proc-Type: 4,ENCRYPTED`.
    if text.contains("ENCRYPTED") {
        return Err(refused(
            codes::KEY_ENCRYPTED,
            "the private key is encrypted with a passphrase",
            "decrypt it (`openssl pkey -in key.pem -out plain.pem`); as a secret it is sealed here anyway",
        ));
    }
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        _ => return Err(unreadable_key()),
    }
    .map_err(|_| unreadable_key())
}

fn refused(code: &str, cause: impl Into<String>, fix: &str) -> Failure {
    Failure::new(Scope::Tenant, code, cause, fix)
}

fn unreadable_certificate() -> Failure {
    refused(
        codes::CERTIFICATE_UNREADABLE,
        "the connection's certificate is no PEM text of an X.509 certificate",
        "give the text from `-----BEGIN CERTIFICATE-----` to `-----END CERTIFICATE-----`, line breaks included",
    )
}

fn unreadable_key() -> Failure {
    refused(
        codes::KEY_UNREADABLE,
        "the connection's private key is no PEM text of an RSA key of 2048 to 8192 bits",
        "give the text from `-----BEGIN PRIVATE KEY-----` to its end; Entra ID takes RSA keys only",
    )
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
pub(crate) mod testing;
