//! The token endpoint and the check of bearer tokens.

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::fault::{FaultKind, Subject};
use crate::message::{Answer, Fate, Headers, Method, Request};
use crate::reply::{GraphError, Reply};
use crate::route::Operation;
use crate::tenant::{Tenant, Token};
use crate::usage::{Seen, Tag};

/// A refusal in the form of the token endpoint.
struct TokenError {
    status: u16,
    error: &'static str,
    number: u32,
    text: String,
}

fn refuse(status: u16, error: &'static str, number: u32, text: impl Into<String>) -> TokenError {
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

fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body).replace('+', " ");
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
    pub(crate) fn token_request(&mut self, request: &Request, now: DateTime<Utc>) -> Answer {
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
            None => self
                .issue(request, now)
                .unwrap_or_else(|error| self.token_error(&error, now)),
        };
        self.usage.record(Seen {
            time: now,
            client: None,
            method: request.method.name(),
            path: "/oauth2/v2.0/token".to_owned(),
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

    fn token_error(&mut self, error: &TokenError, now: DateTime<Utc>) -> Reply {
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

    fn issue(&mut self, request: &Request, now: DateTime<Utc>) -> Result<Reply, TokenError> {
        if request.method != Method::Post {
            return Err(refuse(
                405,
                "invalid_request",
                900_561,
                "The endpoint only accepts POST requests.",
            ));
        }
        let path = request.path_and_query.split('?').next().unwrap_or_default();
        let tenant = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let tenant = percent_decode_str(tenant).decode_utf8_lossy().into_owned();
        let known = tenant.eq_ignore_ascii_case(&self.options.tenant)
            || tenant.eq_ignore_ascii_case(&self.directory.to_string());
        if !known {
            return Err(refuse(
                400,
                "invalid_request",
                90_002,
                "Tenant not found. Check the tenant id or domain.",
            ));
        }
        let client = self.check_form(&form(&request.body))?;
        let seconds = now.timestamp();
        self.tokens.retain(|_, token| token.expires > seconds);
        let text = format!("sim.{}.{}", self.ids.guid(), self.ids.guid()).replace('-', "");
        let expires = seconds + self.options.token_seconds;
        let client = u16::try_from(client).unwrap_or(u16::MAX);
        self.tokens.insert(text.clone(), Token { client, expires });
        let life = self.options.token_seconds;
        Ok(Reply::json(
            200,
            json!({
                "token_type": "Bearer",
                "expires_in": life,
                "ext_expires_in": life,
                "access_token": Value::from(text),
            }),
        ))
    }

    /// Checks the form of a token request and answers the number of its application.
    fn check_form(&self, fields: &[(String, String)]) -> Result<usize, TokenError> {
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
        let clients = &self.options.clients;
        let client = clients
            .iter()
            .position(|client| client.id.eq_ignore_ascii_case(id))
            .ok_or_else(|| {
                let text =
                    "The application was not found in the directory. Check the client id and the tenant.";
                refuse(400, "unauthorized_client", 700_016, text)
            })?;
        let secret = field("client_secret").ok_or_else(|| {
            let text = "The request must contain 'client_assertion' or 'client_secret'.";
            refuse(401, "invalid_client", 7_000_218, text)
        })?;
        if !clients
            .get(client)
            .is_some_and(|known| same_secret(&known.secret, secret))
        {
            let text = "Invalid client secret provided. Use the secret's value, not its id.";
            return Err(refuse(401, "invalid_client", 7_000_215, text));
        }
        let scope = field("scope").unwrap_or_default();
        if !scope.ends_with("/.default") || scope.contains(' ') {
            let text = "The scope is not valid: client credential flows need one resource with '/.default'.";
            return Err(refuse(400, "invalid_scope", 1_002_012, text));
        }
        // A tenant from a file may number its applications in another order than the options.
        let known = self.apps.iter().position(|app| app.eq_ignore_ascii_case(id));
        Ok(known.unwrap_or(client))
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
