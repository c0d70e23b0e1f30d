//! Replies inside the simulator, before they become bytes: either of a single answer or of one part of a batch.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::guid::Guid;
use crate::message::{Headers, Response};

/// The content type Graph gives to its JSON.
pub(crate) const GRAPH_JSON: &str =
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

/// The content of a reply.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Empty,
    Json(Value),
    /// JSON that is text already.
    Written(String),
    /// Anything that is not JSON, such as the error page of a proxy.
    Text {
        content_type: &'static str,
        text: String,
    },
}

/// A reply to one request or sub-request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) payload: Payload,
}

impl Reply {
    pub(crate) const fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Headers::new(),
            payload: Payload::Empty,
        }
    }

    pub(crate) const fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Headers::new(),
            payload: Payload::Json(body),
        }
    }

    pub(crate) const fn written(status: u16, body: String) -> Self {
        Self {
            status,
            headers: Headers::new(),
            payload: Payload::Written(body),
        }
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The reply as a response of its own.
    pub(crate) fn into_response(self) -> Response {
        let mut headers = self.headers;
        let body = match self.payload {
            Payload::Empty => Bytes::new(),
            Payload::Json(value) => {
                headers.push("Content-Type", GRAPH_JSON);
                Bytes::from(serde_json::to_vec(&value).unwrap_or_default())
            }
            Payload::Written(text) => {
                headers.push("Content-Type", GRAPH_JSON);
                Bytes::from(text)
            }
            Payload::Text { content_type, text } => {
                headers.push("Content-Type", content_type);
                Bytes::from(text)
            }
        };
        Response {
            status: self.status,
            headers,
            body,
        }
    }
}

/// A refusal in Graph's error envelope. The message never holds a field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// A more specific code, inside `innerError`.
    pub(crate) inner: Option<&'static str>,
    /// Header lines beside the body (`Location`, `Retry-After`).
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl GraphError {
    pub(crate) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            inner: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalidRequest", message)
    }

    pub(crate) fn general() -> Self {
        Self::new(400, "generalException", "General exception while processing")
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "itemNotFound", message)
    }

    pub(crate) fn denied() -> Self {
        Self::new(
            403,
            "accessDenied",
            "The caller does not have permission to perform the action.",
        )
    }

    pub(crate) fn method() -> Self {
        Self::new(
            405,
            "notAllowed",
            "The HTTP method is not allowed on this resource.",
        )
    }

    pub(crate) const fn with_inner(mut self, code: &'static str) -> Self {
        self.inner = Some(code);
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The error as a reply; `request` is the id the service gave to the request.
    pub(crate) fn into_reply(self, request: Guid, client_request: Option<&str>, now: DateTime<Utc>) -> Reply {
        let mut inner = json!({
            "date": now.format("%Y-%m-%dT%H:%M:%S").to_string(),
            "request-id": request.to_string(),
            "client-request-id": client_request.map_or_else(|| request.to_string(), str::to_owned),
        });
        if let Some(code) = self.inner {
            inner["code"] = Value::from(code);
        }
        let body = json!({ "error": { "code": self.code, "message": self.message, "innerError": inner } });
        let mut reply = Reply::json(self.status, body).with_header("request-id", request.to_string());
        for (name, value) in self.headers {
            reply.headers.push(name, value);
        }
        reply
    }
}

/// A Unix time in seconds as Graph prints it. Written by hand, because every item shows four times.
pub(crate) fn timestamp(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days are counted in eras of 400 years that begin in March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let mut text = *b"0000-00-00T00:00:00Z";
    let parts = [
        (0, 4, year.clamp(0, 9_999)),
        (5, 2, month),
        (8, 2, day),
        (11, 2, rest / 3_600),
        (14, 2, rest / 60 % 60),
        (17, 2, rest % 60),
    ];
    for (at, width, mut number) in parts {
        for place in (at..at + width).rev() {
            text[place] = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::{GraphError, Payload, timestamp};
    use crate::guid::Guid;

    #[test]
    fn times_have_second_precision_and_a_z() {
        assert_eq!(timestamp(1_780_500_000), "2026-06-03T15:20:00Z");
        for day in (-70_000_i64..2_500_000).step_by(37) {
            let seconds = day * 86_400 + day.rem_euclid(86_400);
            let expected = DateTime::from_timestamp(seconds, 0).unwrap();
            assert_eq!(
                timestamp(seconds),
                expected.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            );
        }
    }

    #[test]
    fn an_error_has_the_recorded_envelope() {
        let error = GraphError::invalid("no").with_inner("malformedEntityTag");
        let reply = error.into_reply(
            Guid::from_bits(1),
            Some("mine"),
            DateTime::from_timestamp(0, 0).unwrap(),
        );
        let Payload::Json(body) = reply.payload else {
            panic!("a JSON body was expected")
        };
        assert_eq!(body["error"]["code"], "invalidRequest");
        assert_eq!(body["error"]["innerError"]["client-request-id"], "mine");
        assert_eq!(body["error"]["innerError"]["code"], "malformedEntityTag");
        assert_eq!(body["error"]["innerError"]["date"], "1970-01-01T00:00:00");
    }
}
