//! One event a request: what was asked, what came back, what it cost. Never a body, a query value, a token or
//! any id but an item's number.

use syncbridge_domain::clock::{Clock, Monotonic};
use syncbridge_domain::quota::WhyTag;

use crate::classify::request_id;
use crate::transport::{HttpResponse, Method, TransportError};

/// A request on its way.
pub(crate) struct Trace<'a> {
    began: Monotonic,
    method: Method,
    path: &'a str,
    why: WhyTag,
}

impl<'a> Trace<'a> {
    pub(crate) fn begin(clock: &dyn Clock, method: Method, path: &'a str, why: WhyTag) -> Self {
        Self {
            began: clock.monotonic(),
            method,
            path,
            why,
        }
    }

    pub(crate) fn end(self, clock: &dyn Clock, sent: &Result<HttpResponse, TransportError>, ru: u64) {
        let millis = u64::try_from(clock.monotonic().since(self.began).as_millis()).unwrap_or(u64::MAX);
        let (method, path, why) = (self.method.as_str(), self.path, self.why.name());
        match sent {
            Ok(answer) => {
                let id = request_id(answer).unwrap_or_default();
                let status = answer.status;
                if answer.is_success() {
                    tracing::debug!(method, path, status, request_id = %id, ru, why, millis, "graph request");
                } else {
                    tracing::info!(method, path, status, request_id = %id, ru, why, millis, "graph request refused");
                }
            }
            Err(error) => {
                tracing::warn!(method, path, kind = ?error.kind, sent = ?error.sent, ru, why, millis, "graph request unanswered");
            }
        }
    }
}

/// One part of a batch.
pub(crate) fn part(method: Method, path: &str, status: u16, why: WhyTag, answer: &HttpResponse) {
    let id = request_id(answer).unwrap_or_default();
    tracing::trace!(method = method.as_str(), path, status, request_id = %id, why = why.name(), "graph batch part");
}
