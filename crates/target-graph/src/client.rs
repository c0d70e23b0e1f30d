//! One connection to Graph: tenant, app, cloud. Cheap to clone; clones share token, budget and transport.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use syncbridge_domain::clock::{Clock, Entropy};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::quota::{Lane, Spending};

use crate::auth::Auth;
use crate::budget::{Account, Budget};
use crate::call::{Caller, Core};
use crate::classify::{Classified, request_id};
use crate::cloud::Endpoints;
use crate::codes;
use crate::credentials::Credentials;
use crate::list_streak::ListPlace;
use crate::request::Call;
use crate::retry::RetryRules;
use crate::transport::{HttpResponse, Transport};

/// Settings of a connection.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Who we are.
    pub credentials: Credentials,
    /// Where to, from [`crate::cloud::Cloud::endpoints`].
    pub endpoints: Endpoints,
    /// Version of the product, for the decorated `User-Agent`.
    pub product_version: String,
    /// The most time one request gets.
    pub request_timeout: Duration,
    /// How patiently reads are repeated.
    pub retry: RetryRules,
}

impl ClientSettings {
    /// Settings with the usual timeouts.
    #[must_use]
    pub fn new(credentials: Credentials, endpoints: Endpoints, product_version: impl Into<String>) -> Self {
        Self {
            credentials,
            endpoints,
            product_version: product_version.into(),
            request_timeout: Duration::from_secs(60),
            retry: RetryRules::default(),
        }
    }
}

/// A connection to Graph.
pub struct GraphClient<T> {
    pub(crate) core: Arc<Core<T>>,
    pub(crate) caller: Caller,
}

impl<T> Clone for GraphClient<T> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            caller: self.caller.clone(),
        }
    }
}

impl<T> std::fmt::Debug for GraphClient<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GraphClient")
    }
}

impl<T: Transport> GraphClient<T> {
    /// A connection; nothing is sent yet.
    #[must_use]
    pub fn new(
        transport: T,
        settings: ClientSettings,
        budget: Budget,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let ClientSettings {
            credentials,
            endpoints,
            product_version,
            request_timeout,
            retry,
        } = settings;
        let client_id = credentials.source.client_id().map(str::to_owned);
        let user_agent = format!("NONISV|SyncBridge|SyncBridge/{product_version}");
        let auth = Auth::new(
            credentials,
            &endpoints,
            retry,
            user_agent.clone(),
            clock.clone(),
            entropy.clone(),
        );
        let core = Core {
            transport,
            auth,
            client_id,
            budget,
            rules: retry,
            endpoints,
            user_agent,
            request_timeout,
            clock,
            entropy,
        };
        let caller = Caller {
            account: Account::default(),
            lane: Lane::Interactive,
            ours: Arc::new(BTreeSet::new()),
            list: None,
        };
        Self {
            core: Arc::new(core),
            caller,
        }
    }

    /// The same connection spending in another lane, on an account of its own.
    #[must_use]
    pub fn in_lane(&self, lane: Lane) -> Self {
        Self {
            core: self.core.clone(),
            caller: Caller {
                account: Account::default(),
                lane,
                ..self.caller.clone()
            },
        }
    }

    /// The same connection, for requests about one list only.
    pub(crate) fn about(&self, site: &str, list: &str) -> Self {
        let place = ListPlace {
            site: site.to_owned(),
            list: list.to_owned(),
        };
        Self {
            core: self.core.clone(),
            caller: Caller {
                list: Some(Arc::new(place)),
                ..self.caller.clone()
            },
        }
    }

    /// The same connection, on whose failures these columns may be named.
    pub(crate) fn naming(&self, ours: BTreeSet<String>) -> Self {
        Self {
            core: self.core.clone(),
            caller: Caller {
                ours: Arc::new(ours),
                ..self.caller.clone()
            },
        }
    }

    /// What was spent through this value and its clones.
    #[must_use]
    pub fn spending(&self) -> Spending {
        self.caller.account.spending()
    }

    /// Gets a token, which proves tenant, client id and secret.
    ///
    /// # Errors
    /// Codes `auth.*` tell what is wrong with which; `graph.unreachable` that nobody answers.
    pub async fn sign_in(&self) -> Result<(), Failure> {
        self.core
            .auth
            .token(&self.core.transport, self.core.request_timeout, None)
            .await
            .map(|_| ())
    }

    /// A read, answered as JSON of a known shape.
    pub(crate) async fn read<A: DeserializeOwned>(&self, call: Call) -> Result<A, Classified> {
        let answer = self.core.read(call, &self.caller).await?;
        parse(&answer).map_err(|failure| Classified {
            meaning: crate::classify::Meaning::Refused,
            failure,
        })
    }
}

/// Reads a successful answer.
pub(crate) fn parse<A: DeserializeOwned>(answer: &HttpResponse) -> Result<A, Failure> {
    // The parser's own message may quote the body, so it is not passed on.
    serde_json::from_slice(&answer.body).map_err(|_| unreadable(answer))
}

pub(crate) fn unreadable(answer: &HttpResponse) -> Failure {
    Failure::new(
        Scope::List,
        codes::ANSWER_UNREADABLE,
        "an answer of the service is not what Graph's contract says",
        "check the connection's cloud, or a proxy in between; else report it with the request-id",
    )
    .request_id(request_id(answer))
}
