//! A record of whole exchanges, bodies included, for tests that check them against descriptions of the service.
//! Never switched on by itself: bodies hold what people wrote into lists. Tokens and secrets are left out.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::message::{Headers, Request, Response};

/// Headers that never go into a record.
const SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A file with one JSON object a line for each exchange.
#[derive(Clone, Debug)]
pub struct Record(Arc<Mutex<File>>);

impl Record {
    /// Begins a new record, replacing an earlier one.
    ///
    /// # Errors
    /// What the operating system says about the file.
    pub fn begin(file: &Path) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(File::create(file)?))))
    }

    /// Notes an exchange; a failure to write is for the reader of the record to find, which holds every exchange of
    /// the tests that made it or is cut short.
    pub(crate) fn note(&self, exchange: &Value) {
        let line = format!("{exchange}\n");
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(line.as_bytes());
    }
}

/// An exchange as a record has it: method, target, headers, bodies (JSON or `null`) and the status.
#[must_use]
pub fn exchange(request: &Request, response: &Response) -> Value {
    let token = request.path_and_query.contains("/oauth2/");
    let request_body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let mut answered = response.json().unwrap_or(Value::Null);
    if token && answered["access_token"].is_string() {
        answered["access_token"] = json!("left out");
    }
    json!({
        "method": request.method.name(),
        "target": request.path_and_query,
        "requestHeaders": shown(&request.headers),
        "request": request_body,
        "status": response.status,
        "responseHeaders": shown(&response.headers),
        "response": answered,
        "empty": response.body.is_empty(),
    })
}

fn shown(headers: &Headers) -> Map<String, Value> {
    headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| !SECRET.contains(&name.as_str()))
        .map(|(name, value)| (name, Value::from(value)))
        .collect()
}
