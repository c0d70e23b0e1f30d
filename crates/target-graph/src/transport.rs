//! The port to the wire: one request, one answer or a typed account of why there is none.
//!
//! The client above never knows whether HTTP is spoken by reqwest or by a simulated network in one process.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;

use crate::egress::IdentityServiceLeave;

/// HTTP methods Graph is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, batches, tokens.
    Post,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// One request, complete but for the connection.
#[derive(Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Absolute address.
    pub url: String,
    /// Headers without `Authorization`; names are lower case.
    pub headers: Vec<(String, String)>,
    /// Sent as `Authorization: Bearer …`. Kept apart so that nothing that prints headers prints it.
    pub bearer: Option<SecretString>,
    /// Leave to reach the machine's identity service; only its token source can give it.
    pub leave: Option<IdentityServiceLeave>,
    /// The body; its media type is among the headers.
    pub body: Option<Bytes>,
    /// The most bytes of (decoded) answer body that are read.
    pub max_answer: usize,
}

impl HttpRequest {
    /// The first header of that lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl fmt::Debug for HttpRequest {
    // Addresses carry sync keys and bodies carry row values or the client secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HttpRequest({}, {} bytes)",
            self.method.as_str(),
            self.body.as_ref().map_or(0, Bytes::len)
        )
    }
}

/// One answer.
#[derive(Clone)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Headers in any case.
    pub headers: Vec<(String, String)>,
    /// Decoded body.
    pub body: Bytes,
}

impl HttpResponse {
    /// The first header of that name; case does not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpResponse({}, {} bytes)", self.status, self.body.len())
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Whether a request without an answer may have reached the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It certainly did not leave: no connection was made.
    No,
    /// Some of it may have left.
    Maybe,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// The host name leads nowhere.
    Resolve,
    /// Nobody listens, or no route.
    Connect,
    /// TLS was not agreed on, or the certificate is not trusted.
    Tls,
    /// The time given ran out.
    Timeout,
    /// The connection broke.
    Broken,
    /// The answer's body is larger than the bound.
    AnswerTooLarge,
    /// The egress rules forbid the address.
    Denied,
}

/// A request without an answer. Carries no text from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer ({kind:?}, sent: {sent:?})")]
pub struct TransportError {
    /// Whether it may have reached the service.
    pub sent: Sent,
    /// Why.
    pub kind: TransportErrorKind,
}

/// Sends single requests. Never repeats one, never follows a redirect, keeps no cookies.
pub trait Transport: Send + Sync {
    /// Sends one request and reads its whole answer within `timeout`.
    ///
    /// # Errors
    /// [`TransportError`]; any status code is an answer and no error.
    fn send(
        &self,
        request: HttpRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<HttpResponse, TransportError>> + Send;
}

impl<T: Transport> Transport for std::sync::Arc<T> {
    fn send(
        &self,
        request: HttpRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<HttpResponse, TransportError>> + Send {
        self.as_ref().send(request, timeout)
    }
}
