//! App-only tokens: kept, renewed early, asked for once however many wait. How a source asks is in
//! `token_request.rs`, what it is answered in `token_answer.rs`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::lock::Mutex;
use secrecy::SecretString;
use syncbridge_domain::clock::{Clock, Entropy, Monotonic};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::quota::WhyTag;

use crate::cloud::Endpoints;
use crate::codes;
use crate::credentials::{Credentials, TokenSource};
use crate::retry::RetryRules;
use crate::token_answer::{TokenAnswer, is_busy, read, refusal};
use crate::token_request::TokenPlace;
use crate::trace::Trace;
use crate::transport::{Transport, TransportError};
use crate::wait::RateSigns;

/// Renewed this long before the end, or at half of the lifetime where that is shorter.
const EARLY: Duration = Duration::from_secs(600);
/// A token is given to nobody in the last part of its life: a request has to arrive before its end.
const LAST: Duration = Duration::from_secs(60);
/// While the authority is down, a token that is still good is used, and the authority asked again this much later.
const NEXT_TRY: Duration = Duration::from_secs(60);
/// A machine's identity service answers at once or is not there.
const IDENTITY_SERVICE_TIMEOUT: Duration = Duration::from_secs(10);

/// A token and which one it is, so that only the one that was refused is thrown away.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: SecretString,
    serial: u64,
}

struct Kept {
    token: Token,
    renew_at: Monotonic,
    good_until: Monotonic,
}

struct Held {
    kept: Option<Kept>,
    serial: u64,
}

pub(crate) struct Auth {
    source: TokenSource,
    place: TokenPlace,
    rules: RetryRules,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    // Held while a token is fetched: whoever comes meanwhile waits and takes the same one.
    held: Mutex<Held>,
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
        let place = TokenPlace::new(&credentials, endpoints, user_agent);
        Self {
            source: credentials.source,
            place,
            rules,
            clock,
            entropy,
            held: Mutex::new(Held {
                kept: None,
                serial: 0,
            }),
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
        let now = self.clock.monotonic();
        if let Some(kept) = &held.kept
            && now < kept.renew_at
        {
            return Ok(kept.token.clone());
        }
        let answer = match self.fetch(transport, timeout, deadline).await {
            Ok(answer) => answer,
            Err(failure) => {
                let now = self.clock.monotonic();
                return match &mut held.kept {
                    // Renewing early is for this: an authority that is down for a while stops nothing.
                    Some(kept) if failure.scope == Scope::Outage && now < kept.good_until => {
                        kept.renew_at = (now + NEXT_TRY).min(kept.good_until);
                        Ok(kept.token.clone())
                    }
                    _ => Err(failure),
                };
            }
        };
        held.serial += 1;
        let token = Token {
            secret: answer.access_token,
            serial: held.serial,
        };
        let lifetime = answer.lifetime;
        held.kept = Some(Kept {
            token: token.clone(),
            renew_at: now + lifetime.saturating_sub(EARLY).max(lifetime / 2),
            good_until: now + lifetime.saturating_sub(LAST),
        });
        Ok(token)
    }

    /// Throws a refused token away, unless a newer one took its place already.
    pub(crate) async fn refuse(&self, refused: &Token) {
        let mut held = self.held.lock().await;
        if held
            .kept
            .as_ref()
            .is_some_and(|kept| kept.token.serial == refused.serial)
        {
            held.kept = None;
        }
    }

    /// Asks for a token; repeats only what may get better by waiting.
    async fn fetch<T: Transport>(
        &self,
        transport: &T,
        timeout: Duration,
        deadline: Option<Monotonic>,
    ) -> Result<TokenAnswer, Failure> {
        let (method, template) = TokenPlace::template(&self.source);
        let mut attempt = 0;
        loop {
            let request = self
                .place
                .request(&self.source, self.clock.now(), self.entropy.as_ref())?;
            let trace = Trace::begin(self.clock.as_ref(), method, template, WhyTag::Probe);
            let left = deadline.map_or(timeout, |deadline| {
                deadline.since(self.clock.monotonic()).min(timeout)
            });
            let sent = transport.send(request, self.patience(left)).await;
            trace.end(self.clock.as_ref(), &sent, 0);
            let (failure, wait) = match sent {
                Ok(answer) if answer.is_success() => return read(&answer),
                Ok(answer) => {
                    let signs = RateSigns::of(&answer, self.clock.now());
                    let failure = refusal(&self.source, &answer).retry_after(signs.retry_after);
                    if !is_busy(&self.source, answer.status) {
                        return Err(failure);
                    }
                    (failure, signs.retry_after)
                }
                Err(error) => (self.unanswered(error), None),
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

    fn patience(&self, left: Duration) -> Duration {
        match self.source {
            TokenSource::ManagedIdentity { .. } => left.min(IDENTITY_SERVICE_TIMEOUT),
            _ => left,
        }
    }

    fn unanswered(&self, error: TransportError) -> Failure {
        match self.source {
            TokenSource::ManagedIdentity { .. } => Failure::new(
                Scope::Outage,
                codes::IDENTITY_UNREACHABLE,
                "no identity service answers on this machine",
                "run SyncBridge on a machine of Azure that has an identity, or give the connection another way to sign in",
            ),
            _ => crate::retry::unanswered(error),
        }
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
