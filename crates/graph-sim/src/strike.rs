//! The answers that fault rules give in place of the real ones.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::fault::{Fault, FaultKind};
use crate::guid::Guid;
use crate::message::Headers;
use crate::reply::{GraphError, Payload, Reply};
use crate::route::Operation;
use crate::tenant::Outcome;

/// What the rule answers instead of letting the request take effect; `None` if the request goes on.
pub(crate) fn instead(fault: &Fault, operation: Operation, now: DateTime<Utc>) -> Option<Outcome> {
    let rule = &fault.rule;
    let own = |status: u16, code: &str, message: &str| {
        GraphError::new(
            rule.status.unwrap_or(status),
            rule.code.clone().unwrap_or_else(|| code.to_owned()),
            rule.message.clone().unwrap_or_else(|| message.to_owned()),
        )
    };
    Some(match fault.kind {
        FaultKind::ServerError if !rule.applied => Ok(server_error(fault, 503, now)),
        FaultKind::Throttle => Ok(throttle(fault, now)),
        FaultKind::Refuse => {
            // Without a message of its own the refusal says nothing useful, as the service's often do.
            Err(own(400, "generalException", "General exception while processing"))
        }
        FaultKind::NewListNotFound => Err(own(404, "itemNotFound", "The specified list was not found")),
        FaultKind::Precondition => {
            Err(own(412, "resourceModified", PRECONDITION).with_inner("entityTagDoesNotMatch"))
        }
        FaultKind::Unauthorized => Err(own(
            401,
            "InvalidAuthenticationToken",
            "Lifetime validation failed, the token is expired.",
        )),
        FaultKind::Resync if operation != Operation::Delta => return None,
        _ => return None,
    })
}

/// What the client gets of a real reply: itself, a status in its place, or nothing (`true`: the answer is lost).
pub(crate) fn after(fault: Option<&Fault>, reply: Reply, part: bool, now: DateTime<Utc>) -> (Reply, bool) {
    match fault {
        Some(fault) if fault.kind == FaultKind::LostAnswer => match fault.rule.status {
            // One part of a batch cannot be cut off: its gateway reports a timeout.
            None if !part => (reply, true),
            _ => (server_error(fault, 504, now), false),
        },
        Some(fault) if fault.kind == FaultKind::ServerError && fault.rule.applied => {
            (server_error(fault, 503, now), false)
        }
        _ => (reply, false),
    }
}

/// The service's wording of a failed precondition.
pub(crate) const PRECONDITION: &str =
    "The resource has changed since the caller last read it; usually an eTag mismatch";

/// The `Retry-After` value of a rule, where it wants one.
fn retry_after(fault: &Fault, default: Option<&str>, now: DateTime<Utc>) -> Option<String> {
    let wanted = fault.rule.retry_after.as_deref().or(default)?;
    match wanted.strip_prefix("date:") {
        Some(seconds) => {
            let ahead = TimeDelta::milliseconds((seconds.parse::<f64>().unwrap_or(0.0) * 1_000.0) as i64);
            Some((now + ahead).format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        }
        None if wanted == "missing" => None,
        None => Some(wanted.to_owned()),
    }
}

fn throttle(fault: &Fault, now: DateTime<Utc>) -> Reply {
    let rule = &fault.rule;
    let code = rule.code.as_deref().unwrap_or("activityLimitReached");
    let message = rule
        .message
        .as_deref()
        .unwrap_or("Application has been throttled.");
    let error = GraphError::new(rule.status.unwrap_or(429), code, message);
    let reply = error.into_reply(Guid::from_bits(0), None, now);
    match retry_after(fault, Some("1"), now) {
        Some(wait) => reply.with_header("Retry-After", wait),
        None => reply,
    }
}

/// A 5xx answer with the body the rule wants.
pub(crate) fn server_error(fault: &Fault, status: u16, now: DateTime<Utc>) -> Reply {
    let rule = &fault.rule;
    let status = rule.status.unwrap_or(status);
    let payload = match rule.body.as_deref() {
        Some("html") => Payload::Text {
            content_type: "text/html",
            text: format!(
                "<html><head><title>{status}</title></head><body><h1>{status} - Service unavailable</h1></body></html>"
            ),
        },
        Some("empty") => Payload::Empty,
        _ => {
            let code = rule.code.as_deref().unwrap_or(match status {
                503 => "serviceNotAvailable",
                502 | 504 => "UnknownError",
                _ => "generalException",
            });
            let message = rule.message.as_deref().unwrap_or_default();
            Payload::Json(json!({ "error": { "code": code, "message": message } }))
        }
    };
    let reply = Reply {
        status,
        headers: Headers::new(),
        payload,
    };
    match retry_after(fault, None, now) {
        Some(wait) => reply.with_header("Retry-After", wait),
        None => reply,
    }
}
