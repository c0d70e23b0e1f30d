//! The token endpoints and the check of bearer tokens.

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::assertion::Judge;
use crate::fault::{FaultKind, Subject};
use crate::message::{Answer, Fate, Headers, Method, Request};
use crate::reply::{GraphError, Reply};
use crate::route::Operation;
use crate::tenant::{Tenant, Token};
use crate::usage::{Seen, Tag};

/// A refusal in the form of the token endpoint.
pub(crate) struct TokenError {
    status: u16,
    error: &'static str,
    number: u32,
    text: String,
}

pub(crate) fn refuse(status: u16, error: &'static str, number: u32, text: impl Into<String>) -> TokenError {
    TokenError {
        status,
        error,
        number,
        text: text.into(),
    }
}

/// Compares without stopping at the first difference.
fn same_secret(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let differences = one.iter().zip(other).fold(0_u8, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}

/// The names and values of a form or a query.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let text = text.replace('+', " ");
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

impl Tenant {
    /// Answers the token endpoint of the directory, or that of the machine.
    pub(crate) fn token_request(&mut self, request: &Request, path: &str, now: DateTime<Utc>) -> Answer {
        let of_machine = path == crate::identity::MACHINE;
        let client_request = request.headers.get("client-request-id");
        let subject = Subject {
            operation: Operation::Token,
            method: request.method.name(),
            list: None,
            list_age: None,
            fields: None,
            stored: &|_| None,
            part: false,
        };
        let fault = self.faults.strike(&subject);
        let instead = fault
            .as_ref()
            .and_then(|fault| crate::strike::instead(fault, Operation::Token, now));
        let cut = fault
            .as_ref()
            .is_some_and(|fault| matches!(fault.kind, FaultKind::LostBefore | FaultKind::LostAnswer));
        let reply = match instead {
            Some(Ok(reply)) => reply,
            Some(Err(error)) => error.into_reply(self.ids.guid(), client_request, now),
            None if of_machine => self.machine_token(request, now),
            None => self
                .issue(request, path, now)
                .unwrap_or_else(|error| self.token_error(&error, now)),
        };
        self.usage.record(Seen {
            time: now,
            client: None,
            method: request.method.name(),
            path: if of_machine { path } else { "/oauth2/v2.0/token" }.to_owned(),
            status: reply.status,
            operation: Operation::Token,
            tag: Tag::of(client_request),
            units: 0,
            part: false,
            fault: fault.as_ref().map(|fault| crate::control::kind_name(fault.kind)),
        });
        let response = self.finish(reply, client_request, now);
        let fate = if cut { Fate::ResetConnection } else { Fate::Deliver };
        let late = fault
            .filter(|fault| fault.kind == FaultKind::Hang)
            .map_or(0, |fault| fault.rule.millis);
        Answer {
            response,
            fate,
            delay: self.options.latency + std::time::Duration::from_millis(late),
        }
    }

    pub(crate) fn token_error(&mut self, error: &TokenError, now: DateTime<Utc>) -> Reply {
        let (trace, correlation) = (self.ids.guid(), self.ids.guid());
        let stamp = now.format("%Y-%m-%d %H:%M:%SZ").to_string();
        let description = format!(
            "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
            error.number, error.text
        );
        Reply::json(
            error.status,
            json!({
                "error": error.error,
                "error_description": description,
                "error_codes": [error.number],
                "timestamp": stamp,
                "trace_id": trace.to_string(),
                "correlation_id": correlation.to_string(),
                "error_uri": format!("https://login.microsoftonline.com/error?code={}", error.number),
            }),
        )
    }

    fn issue(&mut self, request: &Request, path: &str, now: DateTime<Utc>) -> Result<Reply, TokenError> {
        if request.method != Method::Post {
            return Err(refuse(
                405,
                "invalid_request",
                900_561,
                "The endpoint only accepts POST requests.",
            ));
        }
        let tenant = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if !self.is_directory(tenant) {
            return Err(crate::identity::no_tenant());
        }
        let base = self.base_url(&request.headers);
        let fields = pairs(&String::from_utf8_lossy(&request.body));
        let client = self.check_form(&fields, &base, now)?;
        let text = self.new_token(client, now);
        let life = self.options.token_seconds;
        Ok(Reply::json(
            200,
            json!({
                "token_type": "Bearer",
                "expires_in": life,
                "ext_expires_in": life,
                "access_token": text,
            }),
        ))
    }

    /// Issues a token to the application of this number.
    pub(crate) fn new_token(&mut self, client: u16, now: DateTime<Utc>) -> String {
        let seconds = now.timestamp();
        self.tokens.retain(|_, token| token.expires > seconds);
        let text = format!("sim.{}.{}", self.ids.guid(), self.ids.guid()).replace('-', "");
        let expires = seconds + self.options.token_seconds;
        self.tokens.insert(text.clone(), Token { client, expires });
        text
    }

    /// The number of the application with this id.
    pub(crate) fn client_number(&self, id: &str) -> Option<u16> {
        let found = self.apps.iter().position(|app| app.eq_ignore_ascii_case(id));
        found.map(|at| u16::try_from(at).unwrap_or(u16::MAX))
    }

    /// Checks the form of a token request and answers the number of its application.
    fn check_form(
        &self,
        fields: &[(String, String)],
        base: &str,
        now: DateTime<Utc>,
    ) -> Result<u16, TokenError> {
        let field = |name: &str| {
            fields
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let needed = |name: &str| {
            let text = format!("The request must contain '{name}'.");
            field(name).ok_or_else(|| refuse(400, "invalid_request", 900_144, text))
        };
        if needed("grant_type")? != "client_credentials" {
            let text = "The grant type is not supported.";
            return Err(refuse(400, "unsupported_grant_type", 70_003, text));
        }
        let id = needed("client_id")?;
        let number = self.client_number(id).ok_or_else(|| {
            let text = "The application was not found in the directory. Check the client id and the tenant.";
            refuse(400, "unauthorized_client", 700_016, text)
        })?;
        match (field("client_assertion"), field("client_secret")) {
            (Some(assertion), _) => {
                self.check_assertion(id, field("client_assertion_type"), assertion, base, now)?;
            }
            (None, Some(secret)) => self.check_secret(id, secret)?,
            (None, None) => {
                let text = "The request must contain 'client_assertion' or 'client_secret'.";
                return Err(refuse(401, "invalid_client", 7_000_218, text));
            }
        }
        let scope = field("scope").unwrap_or_default();
        if !scope.ends_with("/.default") || scope.contains(' ') {
            let text = "The scope is not valid: client credential flows need one resource with '/.default'.";
            return Err(refuse(400, "invalid_scope", 1_002_012, text));
        }
        Ok(number)
    }

    fn check_secret(&self, id: &str, secret: &str) -> Result<(), TokenError> {
        let known = self.options.clients.iter().any(|client| {
            client.id.eq_ignore_ascii_case(id)
                && !client.secret.is_empty()
                && same_secret(&client.secret, secret)
        });
        if known {
            return Ok(());
        }
        let text = "Invalid client secret provided. Use the secret's value, not its id.";
        Err(refuse(401, "invalid_client", 7_000_215, text))
    }

    fn check_assertion(
        &self,
        client: &str,
        kind: Option<&str>,
        assertion: &str,
        base: &str,
        now: DateTime<Utc>,
    ) -> Result<(), TokenError> {
        let endpoint = |tenant: &str| format!("{base}/{tenant}/oauth2/v2.0/token");
        let judge = Judge {
            client,
            endpoints: &[
                endpoint(&self.options.tenant),
                endpoint(&self.directory.to_string()),
            ],
            certificates: &self.options.certificates,
            federated: &self.options.federated,
            now,
        };
        judge.check(kind, assertion)
    }

    /// The application whose token the request carries.
    pub(crate) fn authenticate(&self, headers: &Headers, now: DateTime<Utc>) -> Result<u16, GraphError> {
        let invalid = |message: &str| GraphError::new(401, "InvalidAuthenticationToken", message);
        let header = headers.get("authorization").unwrap_or_default();
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(invalid("Access token is empty.")),
        };
        let known = self
            .tokens
            .get(token)
            .ok_or_else(|| invalid("Access token validation failure."))?;
        if known.expires <= now.timestamp() {
            return Err(invalid("Lifetime validation failed, the token is expired."));
        }
        Ok(known.client)
    }
}
