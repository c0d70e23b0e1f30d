//! How each token source asks for a token.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use syncbridge_domain::clock::Entropy;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::quota::WhyTag;

use crate::cloud::Endpoints;
use crate::credentials::{Credentials, IdentityService, TokenSource};
use crate::request::{segment, with_query};
use crate::transport::{HttpRequest, Method};

const ANSWER_BYTES: usize = 64 << 10;
/// Version of the identity service's protocol.
const IDENTITY_API: &str = "2018-02-01";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Where tokens of a connection come from and for what.
pub(crate) struct TokenPlace {
    authority: String,
    scope: String,
    resource: String,
    user_agent: String,
}

impl TokenPlace {
    pub(crate) fn new(credentials: &Credentials, endpoints: &Endpoints, user_agent: String) -> Self {
        Self {
            authority: endpoints.token(&segment(&credentials.tenant)),
            scope: endpoints.scope().to_owned(),
            resource: endpoints.resource(),
            user_agent,
        }
    }

    /// The path without what varies, for traces.
    pub(crate) fn template(source: &TokenSource) -> (Method, &'static str) {
        match source {
            TokenSource::ManagedIdentity { .. } => (Method::Get, "/metadata/identity/oauth2/token"),
            _ => (Method::Post, "/{tenant}/oauth2/v2.0/token"),
        }
    }

    /// A request for a token. Made anew for each attempt: an assertion is good once.
    ///
    /// # Errors
    /// What keeps the source from proving anything, before anything is sent.
    pub(crate) fn request(
        &self,
        source: &TokenSource,
        now: DateTime<Utc>,
        entropy: &dyn Entropy,
    ) -> Result<HttpRequest, Failure> {
        match source {
            TokenSource::ClientSecret { client_id, secret } => {
                Ok(self.form(client_id, &[("client_secret", secret)], entropy))
            }
            TokenSource::Certificate {
                client_id,
                certificate,
            } => {
                let assertion = certificate.assertion(&self.authority, client_id, now, entropy)?;
                Ok(self.asserted(client_id, &assertion, entropy))
            }
            TokenSource::Federated { client_id, assertion } => {
                Ok(self.asserted(client_id, &assertion.assertion()?, entropy))
            }
            TokenSource::ManagedIdentity { client_id, service } => {
                Ok(self.of_machine(client_id.as_deref(), service, entropy))
            }
        }
    }

    fn asserted(&self, client_id: &str, assertion: &SecretString, entropy: &dyn Entropy) -> HttpRequest {
        let kind = SecretString::from(JWT_BEARER);
        let proof = [("client_assertion_type", &kind), ("client_assertion", assertion)];
        self.form(client_id, &proof, entropy)
    }

    fn form(&self, client_id: &str, proof: &[(&str, &SecretString)], entropy: &dyn Entropy) -> HttpRequest {
        let fixed = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("scope", &self.scope),
        ];
        let proof = proof.iter().map(|(name, value)| (*name, value.expose_secret()));
        // `segment` leaves nothing unescaped that means something in a form.
        let body: Vec<String> = fixed
            .into_iter()
            .chain(proof)
            .map(|(name, value)| format!("{name}={}", segment(value)))
            .collect();
        let mut headers = self.headers(entropy);
        headers.push((
            "content-type".to_owned(),
            "application/x-www-form-urlencoded".to_owned(),
        ));
        HttpRequest {
            method: Method::Post,
            url: self.authority.clone(),
            headers,
            bearer: None,
            leave: None,
            body: Some(Bytes::from(body.join("&"))),
            max_answer: ANSWER_BYTES,
        }
    }

    fn of_machine(
        &self,
        client_id: Option<&str>,
        service: &IdentityService,
        entropy: &dyn Entropy,
    ) -> HttpRequest {
        let mut options = vec![("api-version", IDENTITY_API), ("resource", &self.resource)];
        options.extend(client_id.map(|id| ("client_id", id)));
        let mut headers = self.headers(entropy);
        // Without it the service does not answer: whoever can only make a machine fetch a link cannot set it.
        headers.push(("metadata".to_owned(), "true".to_owned()));
        HttpRequest {
            method: Method::Get,
            url: with_query(&service.address, &options),
            headers,
            bearer: None,
            leave: service.leave.clone(),
            body: None,
            max_answer: ANSWER_BYTES,
        }
    }

    fn headers(&self, entropy: &dyn Entropy) -> Vec<(String, String)> {
        let mut random = [0; 16];
        entropy.fill(&mut random);
        [
            ("accept", "application/json".to_owned()),
            ("user-agent", self.user_agent.clone()),
            ("client-request-id", WhyTag::Probe.request_id(random).to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
