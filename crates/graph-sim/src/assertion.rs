//! The check of client assertions: signed statements in place of a client secret.
//!
//! The numbers are those the directory is seen to answer with; where nothing public shows one (a missing `jti`, an
//! unknown assertion type), 50027, its general "malformed token", stands in.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::credential::{ClientCertificate, FederatedCredential};
use crate::token::{TokenError, refuse};

/// The only known kind of assertion.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// By how many seconds the clocks of client and directory may differ.
const SKEW: i64 = 300;
/// The largest assertion that is looked at, in bytes.
const LARGEST: usize = 64 * 1024;

/// What an assertion is checked against.
pub(crate) struct Judge<'a> {
    /// The client id of the request.
    pub(crate) client: &'a str,
    /// The URLs of the token endpoint, any of which a certificate's assertion may have as audience.
    pub(crate) endpoints: &'a [String],
    pub(crate) certificates: &'a [ClientCertificate],
    pub(crate) federated: &'a [FederatedCredential],
    pub(crate) now: DateTime<Utc>,
}

/// A token taken apart; nothing in it is believed yet.
struct Jwt<'a> {
    /// The signed text: header, a dot, claims.
    signed: &'a str,
    signature: Vec<u8>,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

fn invalid(number: u32, text: impl Into<String>) -> TokenError {
    refuse(401, "invalid_client", number, text)
}

fn malformed(what: &str) -> TokenError {
    invalid(50_027, format!("JWT token is invalid or malformed: {what}."))
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl<'a> Jwt<'a> {
    fn read(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > LARGEST {
            return Err(malformed("it is too long"));
        }
        let (signed, signature) = text
            .rsplit_once('.')
            .ok_or_else(|| malformed("it has no signature"))?;
        let (header, claims) = signed
            .split_once('.')
            .ok_or_else(|| malformed("it has no claims"))?;
        let jwt = Self {
            signed,
            signature: BASE64_URL_SAFE_NO_PAD
                .decode(signature)
                .map_err(|_| malformed("the signature is not base64url"))?,
            header: object(header).ok_or_else(|| malformed("the header is no JSON object in base64url"))?,
            claims: object(claims).ok_or_else(|| malformed("the claims are no JSON object in base64url"))?,
        };
        if jwt.header.contains_key("crit") {
            return Err(malformed("the header has critical extensions"));
        }
        Ok(jwt)
    }

    fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    fn needed(&self, name: &str) -> Result<&str, TokenError> {
        self.claim(name)
            .ok_or_else(|| malformed(&format!("the claim '{name}' is missing")))
    }

    /// A time claim in Unix seconds; `None` where it is absent.
    fn time(&self, name: &str) -> Result<Option<i64>, TokenError> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| malformed(&format!("the claim '{name}' is no number of seconds"))),
        }
    }

    /// The algorithm, if it is one of those named.
    fn algorithm(&self, allowed: &[&str]) -> Result<&'static dyn VerificationAlgorithm, TokenError> {
        let name = self.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        match name {
            "PS256" if allowed.contains(&name) => Ok(&RSA_PSS_2048_8192_SHA256),
            "RS256" if allowed.contains(&name) => Ok(&RSA_PKCS1_2048_8192_SHA256),
            _ => {
                let shown: String = name
                    .chars()
                    .filter(char::is_ascii_alphanumeric)
                    .take(16)
                    .collect();
                Err(invalid(
                    5_002_738,
                    format!(
                        "Invalid JWT token. '{shown}' is not a supported signature algorithm. Supported signing algorithms are: '{}'.",
                        allowed.join(", ")
                    ),
                ))
            }
        }
    }

    fn is_signed_by(&self, key: &[u8], algorithm: &'static dyn VerificationAlgorithm) -> bool {
        UnparsedPublicKey::new(algorithm, key)
            .verify(self.signed.as_bytes(), &self.signature)
            .is_ok()
    }

    fn check_times(&self, now: DateTime<Utc>) -> Result<(), TokenError> {
        let expires = self
            .time("exp")?
            .ok_or_else(|| malformed("the claim 'exp' is missing"))?;
        let begins = self.time("nbf")?.unwrap_or(0);
        let seconds = now.timestamp();
        if seconds >= expires.saturating_add(SKEW) || seconds < begins.saturating_sub(SKEW) {
            let shown = |seconds: i64| {
                DateTime::from_timestamp(seconds, 0).map_or_else(
                    || seconds.to_string(),
                    |time| time.format("%Y-%m-%dT%H:%M:%S.0000000Z").to_string(),
                )
            };
            return Err(invalid(
                700_024,
                format!(
                    "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry time of assertion {}.",
                    shown(seconds),
                    shown(begins),
                    shown(expires)
                ),
            ));
        }
        Ok(())
    }
}

impl Judge<'_> {
    /// Accepts an assertion of the client, or says as the directory would why not.
    pub(crate) fn check(&self, kind: Option<&str>, assertion: &str) -> Result<(), TokenError> {
        match kind {
            Some(JWT_BEARER) => {}
            Some(_) => return Err(malformed("the value of 'client_assertion_type' is not known")),
            None => {
                let text = "The request must contain 'client_assertion_type'.";
                return Err(refuse(400, "invalid_request", 900_144, text));
            }
        }
        let jwt = Jwt::read(assertion)?;
        // The issuer tells an application's own statement from another's word for it.
        if jwt.needed("iss")?.eq_ignore_ascii_case(self.client) {
            self.check_own(&jwt)
        } else if self.federated.iter().any(|known| self.is_ours(&known.client)) {
            self.check_federated(&jwt)
        } else {
            let text = "Client assertion application identifier doesn't match 'client_id' parameter.";
            Err(invalid(700_021, text))
        }
    }

    fn is_ours(&self, client: &str) -> bool {
        client.eq_ignore_ascii_case(self.client)
    }

    fn check_own(&self, jwt: &Jwt<'_>) -> Result<(), TokenError> {
        if !jwt.needed("sub")?.eq_ignore_ascii_case(self.client) {
            let text = "Client assertion application identifier doesn't match 'client_id' parameter.";
            return Err(invalid(700_021, text));
        }
        let algorithm = jwt.algorithm(&["PS256", "RS256"])?;
        let print = |name: &str| jwt.header.get(name).and_then(Value::as_str);
        let (short, long) = (print("x5t"), print("x5t#S256"));
        if short.is_none() && long.is_none() {
            let text = "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified in token header.";
            return Err(invalid(5_002_723, text));
        }
        let certificate = self
            .certificates
            .iter()
            .find(|known| {
                self.is_ours(&known.client)
                    && short.is_none_or(|print| print == known.sha1)
                    && long.is_none_or(|print| print == known.sha256)
            })
            .ok_or_else(|| self.bad_signature("The key was not found."))?;
        let seen = format!("Thumbprint of key used by client: '{}'", certificate.thumbprint);
        let seconds = self.now.timestamp();
        if seconds < certificate.valid.0 || seconds > certificate.valid.1 {
            return Err(self.bad_signature(&format!("The key used is expired., {seen}")));
        }
        if !jwt.is_signed_by(&certificate.key, algorithm) {
            let reason = "The provided signature value did not match the expected signature value.";
            return Err(self.bad_signature(&format!("{reason}, {seen}")));
        }
        if !self
            .endpoints
            .iter()
            .any(|endpoint| jwt.claim("aud") == Some(endpoint))
        {
            return Err(invalid(
                700_023,
                "Client assertion audience claim does not match Realm issuer.",
            ));
        }
        jwt.check_times(self.now)?;
        if jwt.needed("jti")?.is_empty() {
            return Err(malformed("the claim 'jti' is empty"));
        }
        Ok(())
    }

    fn bad_signature(&self, reason: &str) -> TokenError {
        invalid(
            700_027,
            format!(
                "Client assertion failed signature validation. [Reason - {reason}] The application is '{}'.",
                self.client
            ),
        )
    }

    fn check_federated(&self, jwt: &Jwt<'_>) -> Result<(), TokenError> {
        let algorithm = jwt.algorithm(&["RS256"])?;
        let (issuer, subject, audience) = (jwt.needed("iss")?, jwt.needed("sub")?, audiences(jwt));
        let unmatched = |number: u32, what: &str, value: &str| {
            invalid(
                number,
                format!(
                    "No matching federated identity record found for presented assertion {what} '{value}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion."
                ),
            )
        };
        let ours = || self.federated.iter().filter(|known| self.is_ours(&known.client));
        if !ours().any(|known| known.issuer == issuer) {
            return Err(unmatched(700_211, "issuer", issuer));
        }
        let of_issuer = || ours().filter(|known| known.issuer == issuer);
        if !of_issuer().any(|known| known.subject == subject) {
            let almost = of_issuer().any(|known| known.subject.eq_ignore_ascii_case(subject));
            return Err(unmatched(
                if almost { 7_002_138 } else { 700_213 },
                "subject",
                subject,
            ));
        }
        let of_subject = || of_issuer().filter(|known| known.subject == subject);
        let heard = || of_subject().filter(|known| audience.contains(&known.audience.as_str()));
        if heard().next().is_none() {
            return Err(unmatched(
                700_212,
                "audience",
                audience.first().copied().unwrap_or_default(),
            ));
        }
        if !heard().any(|known| jwt.is_signed_by(&known.key, algorithm)) {
            return Err(self
                .bad_signature("The provided signature value did not match the expected signature value."));
        }
        jwt.check_times(self.now)
    }
}

/// The audiences of a token: the claim is a text, or a list of texts in the tokens of Kubernetes.
fn audiences<'a>(jwt: &'a Jwt<'_>) -> Vec<&'a str> {
    match jwt.claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
