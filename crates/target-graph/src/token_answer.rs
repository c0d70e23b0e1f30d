//! What the authority, or a machine's identity service, answers to a request for a token.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use syncbridge_domain::failure::{Failure, Scope};

use crate::codes;
use crate::credentials::TokenSource;
use crate::transport::HttpResponse;

/// A token and how long it is good.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    pub(crate) access_token: SecretString,
    #[serde(rename = "expires_in", deserialize_with = "seconds")]
    pub(crate) lifetime: Duration,
}

/// The authority writes a number, the identity service the same in quotes. No token lives longer than a day.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
    }
    let seconds = match Seconds::deserialize(from)? {
        Seconds::Number(number) => number,
        Seconds::Text(text) => text
            .parse()
            .map_err(|_| serde::de::Error::custom("no number of seconds"))?,
    };
    Ok(Duration::from_secs(seconds.min(86_400)))
}

#[derive(Deserialize, Default)]
struct TokenError {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_codes: Vec<u64>,
    #[serde(default)]
    error_description: String,
    trace_id: Option<uuid::Uuid>,
}

pub(crate) fn read(answer: &HttpResponse) -> Result<TokenAnswer, Failure> {
    // The parser's own message may quote the body, so it is not passed on.
    serde_json::from_slice(&answer.body).map_err(|_| {
        Failure::new(
            Scope::Tenant,
            codes::TOKEN_REFUSED,
            "the authority's answer holds no token",
            "check the connection's authority, or a proxy in between",
        )
    })
}

/// Whether waiting may help.
pub(crate) fn is_busy(source: &TokenSource, status: u16) -> bool {
    // The identity service answers the last two while it is being set up or updated.
    let updating = matches!(source, TokenSource::ManagedIdentity { .. }) && matches!(status, 404 | 410);
    status == 429 || status >= 500 || updating
}

/// Why no token was given. Error numbers are the authority's own and stable; the description is not shown.
pub(crate) fn refusal(source: &TokenSource, answer: &HttpResponse) -> Failure {
    let error: TokenError = serde_json::from_slice(&answer.body).unwrap_or_default();
    let (code, cause, fix) = if is_busy(source, answer.status) {
        (
            codes::UNAVAILABLE,
            "the service that gives tokens is not available",
            "nothing to do: it is tried again",
        )
    } else if let TokenSource::ManagedIdentity { .. } = source {
        of_machine(&error)
    } else {
        of_authority(source, &error)
    };
    let scope = if code == codes::UNAVAILABLE {
        Scope::Outage
    } else {
        Scope::Tenant
    };
    let id = error.trace_id.map(|id| id.to_string());
    Failure::new(scope, code, format!("{cause} (HTTP {})", answer.status), fix).request_id(id)
}

type Told = (&'static str, &'static str, &'static str);

fn of_machine(error: &TokenError) -> Told {
    if error.error == "invalid_request" && error.error_description.contains("Identity not found") {
        (
            codes::IDENTITY_MISSING,
            "this machine has no such identity",
            "assign the identity to the machine (or pod) that runs SyncBridge, or correct `clientId`",
        )
    } else {
        (
            codes::TOKEN_REFUSED,
            "the machine's identity service gave no token",
            "check the machine's identity and the connection's cloud",
        )
    }
}

fn of_authority(source: &TokenSource, error: &TokenError) -> Told {
    let is = |number: u64| {
        error.error_codes.contains(&number) || error.error_description.contains(&format!("AADSTS{number}:"))
    };
    if is(7_000_222) {
        (
            codes::EXPIRED_SECRET,
            "the client secret has expired",
            "make a new client secret in the app registration and set it on the connection",
        )
    } else if is(90_002) || is(900_023) {
        (
            codes::UNKNOWN_TENANT,
            "the tenant does not exist in this cloud",
            "check the connection's tenant and cloud",
        )
    } else if is(700_024) {
        (
            codes::ASSERTION_TIME,
            "the assertion is not valid at the authority's time",
            "set this machine's clock right; for a token file see that its owner renews it",
        )
    } else if [70_021, 700_211, 700_212, 700_213].into_iter().any(is) {
        FEDERATION
    } else if is(700_027) || is(7_000_214) || is(1_000_502) {
        CERTIFICATE
    } else if is(700_016) || error.error == "unauthorized_client" {
        (
            codes::UNKNOWN_CLIENT,
            "the app registration is not known in this tenant",
            "check the connection's client id, and that an administrator consented to the app in this tenant",
        )
    } else if is(7_000_215) || error.error == "invalid_client" {
        match source {
            TokenSource::Certificate { .. } => CERTIFICATE,
            TokenSource::Federated { .. } => FEDERATION,
            TokenSource::ClientSecret { .. } | TokenSource::ManagedIdentity { .. } => (
                codes::BAD_SECRET,
                "the client secret is wrong",
                "set the secret's value (not its id) from the app registration on the connection",
            ),
        }
    } else {
        (
            codes::TOKEN_REFUSED,
            "the authority gave no token",
            "check the connection's tenant, client id and cloud; the sign-in logs of the tenant say more",
        )
    }
}

const CERTIFICATE: Told = (
    codes::CERTIFICATE_UNKNOWN,
    "the authority does not accept the certificate for this app",
    "add the certificate (its public part) to the app registration, and check the connection's client id",
);
const FEDERATION: Told = (
    codes::FEDERATION_MISMATCH,
    "no federated credential of the app fits the token file",
    "compare issuer, subject and audience of the app's federated credential with those of the token",
);
