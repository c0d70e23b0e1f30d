//! What goes into the simulator and what comes out: plain HTTP messages without any transport.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

/// The request methods the simulator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Create, or run.
    Post,
    /// Change.
    Patch,
    /// Replace (only the simulator's own controls use it).
    Put,
    /// Remove.
    Delete,
    /// Anything else; always refused.
    Other,
}

impl Method {
    /// Reads a method's upper-case name; an unknown name is [`Method::Other`].
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "PATCH" => Self::Patch,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }

    /// The method's upper-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Other => "OTHER",
        }
    }
}

/// Header lines in their order; names are compared without regard to letter case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl fmt::Debug for Headers {
    /// Names only: a value may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a line.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The first value under this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A request as it arrives at the simulated service.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The request target: path and query, still percent-encoded, beginning with `/`.
    pub path_and_query: String,
    /// The header lines.
    pub headers: Headers,
    /// The body; empty where there is none.
    pub body: Bytes,
}

impl fmt::Debug for Request {
    /// Without the query's values and the body, which may hold what people wrote into a list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &path)
            .field("headers", &self.headers)
            .field("body_length", &self.body.len())
            .finish()
    }
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: Method, path_and_query: impl Into<String>) -> Self {
        Self {
            method,
            path_and_query: path_and_query.into(),
            headers: Headers::new(),
            body: Bytes::new(),
        }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The same request with a JSON body and its content type.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.headers.push("Content-Type", "application/json");
        self.body = Bytes::from(body.to_string());
        self
    }
}

/// A response as the simulated service would send it.
#[derive(Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header lines, without `Content-Length`.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Response {
    /// Without the body, for the same reason as a request's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body_length", &self.body.len())
            .finish()
    }
}

impl Response {
    /// The body as JSON, or `None` if it is not JSON (an HTML error page, an empty body).
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The client receives the response.
    Deliver,
    /// The connection is cut and the client never sees the response. Whether the request took effect is
    /// what the fault decided; the response carried here tells an observer.
    ResetConnection,
    /// Nothing has happened yet: the request is held back. After the answer's delay the caller must give the
    /// ticket to [`crate::Tenant::resume`], also if the client has gone meanwhile, and deliver that answer.
    Later {
        /// Names the held request.
        ticket: u64,
    },
}

/// The simulator's reaction to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The response (of status 0 and empty while the fate is [`Fate::Later`]).
    pub response: Response,
    /// Whether the client gets it.
    pub fate: Fate,
    /// How long to wait before delivering it (simulated latency).
    pub delay: Duration,
}

impl Answer {
    pub(crate) const fn deliver(response: Response) -> Self {
        Self {
            response,
            fate: Fate::Deliver,
            delay: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Method, Request};

    #[test]
    fn a_request_shown_for_debugging_holds_neither_token_nor_value() {
        let request = Request::new(Method::Get, "/v1.0/x?$filter=fields/A eq 'PLANTED'")
            .header("Authorization", "Bearer PLANTED")
            .json(&json!({ "A": "PLANTED" }));
        let shown = format!("{request:?}");
        assert!(shown.contains("/v1.0/x") && !shown.contains("PLANTED"), "{shown}");
    }
}
