//! App-only tokens by client secret (contract §1): kept, renewed early, asked for once however many wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::lock::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use syncbridge_domain::clock::{Clock, Entropy, Monotonic};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::quota::WhyTag;

use crate::cloud::Endpoints;
use crate::codes;
use crate::request::segment;
use crate::retry::RetryRules;
use crate::trace::Trace;
use crate::transport::{HttpRequest, HttpResponse, Method, Transport};
use crate::wait::RateSigns;

/// How the app proves who it is.
#[derive(Clone)]
pub struct Credentials {
    /// Tenant id or domain.
    pub tenant: String,
    /// Application (client) id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: SecretString,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({} in {})", self.client_id, self.tenant)
    }
}

/// Renewed this long before the end, or at half of the lifetime where that is shorter.
const EARLY: Duration = Duration::from_secs(600);
const TOKEN_ANSWER_BYTES: usize = 64 << 10;

/// A token and which one it is, so that only the one that was refused is thrown away.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: SecretString,
    serial: u64,
}

struct Held {
    token: Option<(Token, Monotonic)>,
    serial: u64,
}

pub(crate) struct Auth {
    credentials: Credentials,
    address: String,
    scope: String,
    rules: RetryRules,
    user_agent: String,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    // Held while a token is fetched: whoever comes meanwhile waits and takes the same one.
    held: Mutex<Held>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    expires_in: u64,
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

impl Auth {
    pub(crate) fn new(
        credentials: Credentials,
        endpoints: &Endpoints,
        rules: RetryRules,
        user_agent: String,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let address = endpoints.token(&segment(&credentials.tenant));
        let scope = endpoints.scope().to_owned();
        let held = Mutex::new(Held {
            token: None,
            serial: 0,
        });
        Self {
            credentials,
            address,
            scope,
            rules,
            user_agent,
            clock,
            entropy,
            held,
        }
    }

    /// A token that is good for a while; `deadline` bounds how long it is asked for.
    pub(crate) async fn token<T: Transport>(
        &self,
        transport: &T,
        timeout: Duration,
        deadline: Option<Monotonic>,
    ) -> Result<Token, Failure> {
        let mut held = self.held.lock().await;
        if let Some((token, renew_at)) = &held.token
            && self.clock.monotonic() < *renew_at
        {
            return Ok(token.clone());
        }
        let asked = self.clock.monotonic();
        let answer = self.fetch(transport, timeout, deadline).await?;
        let lifetime = Duration::from_secs(answer.expires_in.min(86_400));
        let renew_at = asked + lifetime.saturating_sub(EARLY).max(lifetime / 2);
        held.serial += 1;
        let token = Token {
            secret: answer.access_token,
            serial: held.serial,
        };
        held.token = Some((token.clone(), renew_at));
        Ok(token)
    }

    /// Throws a refused token away, unless a newer one took its place already.
    pub(crate) async fn refuse(&self, refused: &Token) {
        let mut held = self.held.lock().await;
        if held
            .token
            .as_ref()
            .is_some_and(|(token, _)| token.serial == refused.serial)
        {
            held.token = None;
        }
    }

    /// Asks for a token; repeats only what may get better by waiting.
    async fn fetch<T: Transport>(
        &self,
        transport: &T,
        timeout: Duration,
        deadline: Option<Monotonic>,
    ) -> Result<TokenAnswer, Failure> {
        let mut attempt = 0;
        loop {
            let trace = Trace::begin(
                self.clock.as_ref(),
                Method::Post,
                "/{tenant}/oauth2/v2.0/token",
                WhyTag::Probe,
            );
            let left = deadline.map_or(timeout, |deadline| {
                deadline.since(self.clock.monotonic()).min(timeout)
            });
            let sent = transport.send(self.request(), left).await;
            trace.end(self.clock.as_ref(), &sent, 0);
            let (failure, wait) = match sent {
                Ok(answer) if answer.is_success() => return read(&answer),
                Ok(answer) => {
                    let signs = RateSigns::of(&answer, self.clock.now());
                    let busy = answer.status == 429 || answer.status >= 500;
                    let failure = refusal(&answer).retry_after(signs.retry_after);
                    if !busy {
                        return Err(failure);
                    }
                    (failure, signs.retry_after)
                }
                Err(error) => (crate::retry::unanswered(error), None),
            };
            attempt += 1;
            match self.rules.wait(attempt, wait, self.entropy.as_ref()) {
                Some(wait) if deadline.is_none_or(|deadline| self.clock.monotonic() + wait < deadline) => {
                    self.clock.sleep(wait).await;
                }
                _ => return Err(failure),
            }
        }
    }

    fn request(&self) -> HttpRequest {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.credentials.client_id),
            ("scope", &self.scope),
            ("client_secret", self.credentials.client_secret.expose_secret()),
        ];
        // `segment` leaves nothing unescaped that means something in a form.
        let body: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", segment(value)))
            .collect();
        let mut random = [0; 16];
        self.entropy.fill(&mut random);
        HttpRequest {
            method: Method::Post,
            url: self.address.clone(),
            headers: vec![
                (
                    "content-type".to_owned(),
                    "application/x-www-form-urlencoded".to_owned(),
                ),
                ("accept".to_owned(), "application/json".to_owned()),
                ("user-agent".to_owned(), self.user_agent.clone()),
                (
                    "client-request-id".to_owned(),
                    WhyTag::Probe.request_id(random).to_string(),
                ),
            ],
            bearer: None,
            body: Some(Bytes::from(body.join("&"))),
            max_answer: TOKEN_ANSWER_BYTES,
        }
    }
}

fn read(answer: &HttpResponse) -> Result<TokenAnswer, Failure> {
    serde_json::from_slice(&answer.body).map_err(|_| {
        Failure::new(
            Scope::Tenant,
            codes::TOKEN_REFUSED,
            "the authority's answer holds no token",
            "check the connection's authority, or a proxy in between",
        )
    })
}

/// Why no token was given. Error numbers are the authority's own and stable; the description is not shown.
fn refusal(answer: &HttpResponse) -> Failure {
    let error: TokenError = serde_json::from_slice(&answer.body).unwrap_or_default();
    let is = |number: u64| {
        error.error_codes.contains(&number) || error.error_description.contains(&format!("AADSTS{number}:"))
    };
    let (code, cause, fix) = if answer.status >= 500 || answer.status == 429 {
        (
            codes::UNAVAILABLE,
            "the authority is not available",
            "nothing to do: it is tried again",
        )
    } else if is(7_000_222) {
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
    } else if is(700_016) || error.error == "unauthorized_client" {
        (
            codes::UNKNOWN_CLIENT,
            "the app registration is not known in this tenant",
            "check the connection's client id, and that an administrator consented to the app in this tenant",
        )
    } else if is(7_000_215) || error.error == "invalid_client" {
        (
            codes::BAD_SECRET,
            "the client secret is wrong",
            "set the secret's value (not its id) from the app registration on the connection",
        )
    } else {
        (
            codes::TOKEN_REFUSED,
            "the authority gave no token",
            "check the connection's tenant, client id and cloud; the sign-in logs of the tenant say more",
        )
    };
    let scope = if code == codes::UNAVAILABLE {
        Scope::Outage
    } else {
        Scope::Tenant
    };
    let id = error.trace_id.map(|id| id.to_string());
    Failure::new(scope, code, format!("{cause} (HTTP {})", answer.status), fix).request_id(id)
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
