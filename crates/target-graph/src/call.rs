//! The layers of a request in the order they apply, in one place:
//!
//! 1. `retry` — reads only: the layers below, again, while it may help;
//! 2. `auth` — a token, kept; an answer 401 brings one new token and one more send, then it stops;
//! 3. `budget` — the request's units are taken, waiting as needed; every answer is heard for limits;
//! 4. deadline — checked right before the send, and what is left of it is the transport's time;
//! 5. `trace` — one event;
//! 6. the transport.
//!
//! A write enters at 2.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use syncbridge_domain::clock::{Clock, Entropy, Monotonic};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::quota::{Lane, Ru, WhyTag};

use crate::auth::{Auth, Token};
use crate::budget::{Account, Budget};
use crate::classify::{Classified, Endpoint, classify, list_throttled, request_id};
use crate::cloud::Endpoints;
use crate::codes;
use crate::list_streak::ListPlace;
use crate::request::{Address, Call, segment};
use crate::retry::{RetryRules, unanswered};
use crate::trace::Trace;
use crate::transport::{HttpRequest, HttpResponse, Sent, Transport};
use crate::wait::RateSigns;

/// Everything that requests of one connection share.
pub(crate) struct Core<T> {
    pub(crate) transport: T,
    pub(crate) auth: Auth,
    /// Application id under which everything is written, where it is known.
    pub(crate) client_id: Option<String>,
    pub(crate) budget: Budget,
    pub(crate) rules: RetryRules,
    pub(crate) endpoints: Endpoints,
    pub(crate) user_agent: String,
    pub(crate) request_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// On whose behalf a request is made.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) account: Account,
    pub(crate) lane: Lane,
    /// Internal names of the columns that may be named in a failure.
    pub(crate) ours: Arc<BTreeSet<String>>,
    /// The list that everything is about, where it is one.
    pub(crate) list: Option<Arc<ListPlace>>,
}

/// Why a single attempt brought no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It never left.
    NotSent(Failure),
    /// It never left, because there is no token; asking for one was repeated already.
    NoToken(Failure),
    /// The budget allows it only after this long, which is past the deadline.
    Throttled(Duration),
    /// It may have arrived.
    Lost(Failure),
}

impl NoAnswer {
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            NoAnswer::NotSent(failure) | NoAnswer::NoToken(failure) | NoAnswer::Lost(failure) => failure,
            NoAnswer::Throttled(wait) => Failure::new(
                Scope::Tenant,
                codes::THROTTLED,
                "the budget allows the request only later",
                "nothing to do: it goes on by itself",
            )
            .retry_after(Some(wait)),
        }
    }
}

impl<T: Transport> Core<T> {
    /// One attempt: any answer is a success of this function.
    pub(crate) async fn attempt(
        &self,
        call: &Call,
        caller: &Caller,
        deadline: Option<Monotonic>,
    ) -> Result<HttpResponse, NoAnswer> {
        self.look_elsewhere(caller, deadline).await;
        let token = self.token(deadline).await?;
        let answer = self.send(call, caller, &token, deadline).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        // Not accepted means not done: with a new token the same attempt goes on.
        self.auth.refuse(&token).await;
        let token = self.token(deadline).await?;
        self.send(&call.clone().again(), caller, &token, deadline).await
    }

    /// Where a list is throttled again and again: asks for its site, so that it shows whether anything else answers.
    /// Waits as the list's own next request would; the answer is heard by the budget and says nothing else.
    async fn look_elsewhere(&self, caller: &Caller, deadline: Option<Monotonic>) {
        let Some(place) = caller.list.as_deref().filter(|place| self.budget.suspects(place)) else {
            return;
        };
        let path = format!("/sites/{}?$select=id", segment(&place.site));
        let call = Call::get(path, "/sites/{site}", Endpoint::Discovery, WhyTag::Probe, Ru(1));
        let elsewhere = Caller {
            list: None,
            ..caller.clone()
        };
        if let Ok(token) = self.token(deadline).await {
            // Without an answer nothing is known, as before.
            let _ = self.send(&call, &elsewhere, &token, deadline).await;
        }
    }

    /// A read, repeated while it may help.
    pub(crate) async fn read(&self, call: Call, caller: &Caller) -> Result<HttpResponse, Classified> {
        let mut call = call;
        let mut failed = 0;
        loop {
            let (classified, wait) = match self.attempt(&call, caller, None).await {
                Ok(answer) if answer.is_success() => return Ok(answer),
                Ok(answer) => {
                    let classified = self.classify(call.endpoint, &answer, caller);
                    if !classified.is_transient() {
                        return Err(classified);
                    }
                    let wait = classified.failure.retry_after;
                    (classified, wait)
                }
                // Repeated inside already: repeating that here would multiply the two.
                Err(NoAnswer::NoToken(failure)) => return Err(Classified::unanswered(failure)),
                Err(none) => (Classified::unanswered(none.into_failure()), None),
            };
            failed += 1;
            if !classified.is_transient() {
                return Err(classified);
            }
            match self.rules.wait(failed, wait, self.entropy.as_ref()) {
                Some(wait) => self.clock.sleep(wait).await,
                None => return Err(classified),
            }
            call = call.again();
        }
    }

    pub(crate) fn classify(&self, endpoint: Endpoint, answer: &HttpResponse, caller: &Caller) -> Classified {
        let alone = |place: &ListPlace| self.budget.throttles_alone(place);
        if answer.status == 429 && caller.list.as_deref().is_some_and(alone) {
            let mut classified = list_throttled();
            classified.failure = classified.failure.request_id(request_id(answer));
            return classified;
        }
        let signs = RateSigns::of(answer, self.clock.now());
        classify(
            endpoint,
            answer,
            signs.pause(),
            signs.retry_after.is_some(),
            &caller.ours,
        )
    }

    /// A `client-request-id` that tells the reason.
    pub(crate) fn request_id(&self, why: WhyTag) -> String {
        let mut random = [0; 16];
        self.entropy.fill(&mut random);
        why.request_id(random).to_string()
    }

    async fn token(&self, deadline: Option<Monotonic>) -> Result<Token, NoAnswer> {
        self.auth
            .token(&self.transport, self.request_timeout, deadline)
            .await
            .map_err(NoAnswer::NoToken)
    }

    async fn send(
        &self,
        call: &Call,
        caller: &Caller,
        token: &Token,
        deadline: Option<Monotonic>,
    ) -> Result<HttpResponse, NoAnswer> {
        self.budget
            .acquire(call.ru(), caller.lane, deadline)
            .await
            .map_err(NoAnswer::Throttled)?;
        let request = self.dress(call, token)?;
        let timeout = self.time_left(deadline)?;
        let trace = Trace::begin(self.clock.as_ref(), call.method, &call.template, call.why);
        let sent = self.transport.send(request, timeout).await;
        trace.end(self.clock.as_ref(), &sent, call.ru().0);
        if !matches!(&sent, Err(error) if error.sent == Sent::No) {
            for (why, ru) in &call.cost {
                self.budget.book(&caller.account, *why, *ru);
            }
        }
        match sent {
            Ok(answer) => {
                // A batch answers 200 whatever its parts met: they are heard one by one.
                if call.endpoint == Endpoint::Batch && answer.is_success() {
                    self.budget.observe_limits(&answer);
                } else {
                    self.budget.observe(&answer, caller.list.as_deref());
                }
                Ok(answer)
            }
            Err(error) if error.sent == Sent::No => Err(NoAnswer::NotSent(unanswered(error))),
            Err(error) => Err(NoAnswer::Lost(unanswered(error))),
        }
    }

    fn time_left(&self, deadline: Option<Monotonic>) -> Result<Duration, NoAnswer> {
        let Some(deadline) = deadline else {
            return Ok(self.request_timeout);
        };
        let left = deadline.since(self.clock.monotonic());
        if left.is_zero() {
            return Err(NoAnswer::NotSent(Failure::new(
                Scope::Outage,
                codes::DEADLINE,
                "the time in which the request might be sent had passed",
                "nothing to do: the row is looked at again",
            )));
        }
        Ok(left.min(self.request_timeout))
    }

    fn dress(&self, call: &Call, token: &Token) -> Result<HttpRequest, NoAnswer> {
        let url = match &call.address {
            Address::Path(path) => self.endpoints.api(path),
            Address::Link(link) if self.endpoints.same_api(link) => link.clone(),
            Address::Link(_) => {
                return Err(NoAnswer::NotSent(Failure::new(
                    Scope::List,
                    codes::FOREIGN_LINK,
                    "an answer of the service links to another host",
                    "check the connection's cloud, or a proxy in between; the link was not followed",
                )));
            }
        };
        let mut headers = vec![
            ("accept".to_owned(), "application/json".to_owned()),
            ("client-request-id".to_owned(), self.request_id(call.why)),
            ("user-agent".to_owned(), self.user_agent.clone()),
        ];
        if call.body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        if let Some(etag) = &call.if_match {
            headers.push(("if-match".to_owned(), etag.clone()));
        }
        Ok(HttpRequest {
            method: call.method,
            url,
            headers,
            bearer: Some(token.secret.clone()),
            leave: None,
            body: call.body.clone(),
            max_answer: call.max_answer,
        })
    }
}

impl Classified {
    /// A read without an answer: asking again may help where something is down, and nowhere else.
    pub(crate) fn unanswered(failure: Failure) -> Self {
        use crate::classify::Meaning;
        let meaning = if failure.scope == Scope::Outage {
            Meaning::Ambiguous
        } else {
            Meaning::Refused
        };
        Self { meaning, failure }
    }
}
