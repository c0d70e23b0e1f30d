//! `$batch`: up to twenty requests in one, run and answered in any order.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::exchange::Incoming;
use crate::fault::{FaultKind, Subject};
use crate::message::{Answer, Fate, Headers, Method, Request};
use crate::object::{Json, Object, array};
use crate::reply::{GRAPH_JSON, GraphError, Payload, Reply};
use crate::route::Operation;
use crate::tenant::{Context, Tenant, json_body};
use crate::usage::{Seen, Tag};

/// How many requests a batch may hold.
const LARGEST: usize = 20;
/// How many of them run at a time.
const LANES: usize = 4;

/// One request of a batch.
struct Part {
    id: String,
    method: Method,
    url: String,
    headers: Headers,
    body: Result<Option<Value>, GraphError>,
    depends: Vec<usize>,
}

/// The answer of a gateway that waited in vain.
pub(crate) fn gateway_timeout() -> Reply {
    Reply::json(504, json!({ "error": { "code": "UnknownError", "message": "" } }))
}

fn malformed(message: &str) -> GraphError {
    GraphError::new(400, "BadRequest", message)
}

fn read_part(value: &mut Value) -> Result<(Part, Vec<String>), GraphError> {
    let body = value.as_object_mut().and_then(|map| map.remove("body"));
    let map = value
        .as_object()
        .ok_or_else(|| malformed("Each request of a batch must be an object."))?;
    let text = |key: &str| -> Result<&str, GraphError> {
        let found = map
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        found.ok_or_else(|| malformed(&format!("A request of the batch has no '{key}'.")))
    };
    let mut headers = Headers::new();
    if let Some(given) = map.get("headers") {
        let given = given
            .as_object()
            .ok_or_else(|| malformed("'headers' of a request must be an object."))?;
        for (name, value) in given {
            let value = value
                .as_str()
                .ok_or_else(|| malformed("A header of a request must be a string."))?;
            headers.push(name.as_str(), value);
        }
    }
    let typed = headers.get("content-type").is_some();
    let body = match body {
        Some(_) if !typed => Err(malformed("A request with a body needs a Content-Type header.")),
        body => Ok(body),
    };
    let depends = match map.get("dependsOn") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => ids
            .iter()
            .map(|id| {
                id.as_str()
                    .map(str::to_lowercase)
                    .ok_or_else(|| malformed("'dependsOn' must hold ids."))
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(malformed("'dependsOn' must be an array.")),
    };
    let url = text("url")?;
    let url = if url.starts_with('/') {
        url.to_owned()
    } else {
        format!("/{url}")
    };
    let part = Part {
        id: text("id")?.to_owned(),
        method: Method::parse(&text("method")?.to_uppercase()),
        url,
        headers,
        body,
        depends: Vec::new(),
    };
    Ok((part, depends))
}

fn read_parts(body: Option<Value>) -> Result<Vec<Part>, GraphError> {
    let mut body = body.ok_or_else(|| malformed("A batch needs a JSON body."))?;
    let list = body.get_mut("requests").and_then(Value::as_array_mut);
    let list = list.ok_or_else(|| malformed("A batch needs an array 'requests'."))?;
    if list.is_empty() || list.len() > LARGEST {
        return Err(malformed(&format!("A batch must hold 1 to {LARGEST} requests.")));
    }
    let mut parts = Vec::with_capacity(list.len());
    let mut wanted = Vec::with_capacity(list.len());
    for value in list {
        let (part, depends) = read_part(value)?;
        parts.push(part);
        wanted.push(depends);
    }
    let ids: Vec<String> = parts.iter().map(|part| part.id.to_lowercase()).collect();
    for (at, id) in ids.iter().enumerate() {
        if ids[..at].contains(id) {
            return Err(malformed("Two requests of the batch have the same id."));
        }
    }
    for (part, depends) in parts.iter_mut().zip(wanted) {
        for name in depends {
            let place = ids.iter().position(|id| *id == name);
            part.depends
                .push(place.ok_or_else(|| malformed("'dependsOn' names an id that the batch lacks."))?);
        }
    }
    if in_order(&parts, &(0..parts.len()).collect::<Vec<_>>()).is_none() {
        return Err(malformed(
            "The requests of the batch depend on each other in a circle.",
        ));
    }
    Ok(parts)
}

/// The given order, changed so that nothing comes before what it depends on; `None` where that cannot be.
fn in_order(parts: &[Part], wanted: &[usize]) -> Option<Vec<usize>> {
    let mut done = vec![false; parts.len()];
    let mut order = Vec::with_capacity(parts.len());
    while order.len() < parts.len() {
        let ready = |at: &&usize| !done[**at] && parts[**at].depends.iter().all(|parent| done[*parent]);
        let next = *wanted.iter().find(ready)?;
        done[next] = true;
        order.push(next);
    }
    Some(order)
}

fn part_json(id: &str, reply: Reply) -> String {
    let (kind, body) = match reply.payload {
        Payload::Empty => (None, None),
        Payload::Json(value) => (Some(GRAPH_JSON), Some(value.to_string())),
        Payload::Written(text) => (Some(GRAPH_JSON), Some(text)),
        // What is not JSON travels inside a batch in base64.
        Payload::Text { content_type, text } => {
            (Some(content_type), Some(format!("\"{}\"", STANDARD.encode(text))))
        }
    };
    let mut headers = Object::named();
    for (name, value) in reply.headers.iter() {
        headers.put(name, value);
    }
    if let Some(kind) = kind {
        headers.put("Content-Type", kind);
    }
    let mut answer = Object::new();
    answer.put("id", id);
    answer.put("status", reply.status);
    answer.put("headers", Json(headers.finish()));
    if let Some(body) = body {
        answer.put("body", Json(body));
    }
    answer.finish()
}

impl Tenant {
    /// Handles a `$batch`; `spared` means that rules for the whole batch have had their turn.
    pub(crate) fn batch_request(&mut self, request: &Request, context: Context<'_>, spared: bool) -> Answer {
        let client_request = request.headers.get("client-request-id");
        let fault = if spared || request.method != Method::Post {
            None
        } else {
            let subject = Subject {
                operation: Operation::Batch,
                method: "POST",
                list: None,
                list_age: None,
                fields: None,
                stored: &|_| None,
                part: false,
            };
            self.faults.strike(&subject)
        };
        let mut delay = Duration::ZERO;
        if let Some(fault) = fault.as_ref().filter(|fault| fault.kind == FaultKind::Hang) {
            delay = Duration::from_millis(fault.rule.millis);
            if !fault.rule.applied {
                return self.hold(request.clone(), delay);
            }
        }
        let kind = fault.as_ref().map(|fault| fault.kind);
        let mut seen = Seen {
            time: context.now,
            client: Some(context.client),
            method: request.method.name(),
            path: "/$batch".to_owned(),
            status: 0,
            operation: Operation::Batch,
            tag: Tag::of(client_request),
            units: 0,
            part: false,
            fault: kind.map(crate::control::kind_name),
        };
        if kind == Some(FaultKind::LostBefore) {
            self.usage.record(seen);
            let response = self.finish(gateway_timeout(), client_request, context.now);
            return Answer {
                response,
                fate: Fate::ResetConnection,
                delay,
            };
        }
        let instead = fault
            .as_ref()
            .and_then(|fault| crate::strike::instead(fault, Operation::Batch, context.now));
        let outcome = match instead {
            Some(outcome) => outcome,
            None => self.run_batch(request, context).map(|(reply, taken)| {
                delay += taken;
                reply
            }),
        };
        let reply = outcome.unwrap_or_else(|error| {
            let id = self.ids.guid();
            error.into_reply(id, client_request, context.now)
        });
        let (reply, lost) = crate::strike::after(fault.as_ref(), reply, false, context.now);
        let fate = if lost {
            Fate::ResetConnection
        } else {
            Fate::Deliver
        };
        seen.status = reply.status;
        self.usage.record(seen);
        let response = self.finish(reply, client_request, context.now);
        Answer {
            response,
            fate,
            delay,
        }
    }

    fn run_batch(
        &mut self,
        request: &Request,
        context: Context<'_>,
    ) -> Result<(Reply, Duration), GraphError> {
        if request.method != Method::Post {
            return Err(GraphError::method());
        }
        let mut parts = read_parts(json_body(&request.headers, &request.body)?)?;
        let mut wanted: Vec<usize> = (0..parts.len()).collect();
        self.order.shuffle(&mut wanted);
        let order = in_order(&parts, &wanted).unwrap_or(wanted);
        let mut answers: Vec<(usize, Reply)> = Vec::with_capacity(parts.len());
        let mut longest = Duration::ZERO;
        let mut ok = vec![false; parts.len()];
        for at in order {
            let parents_ok = parts[at].depends.iter().all(|parent| ok[*parent]);
            let part = &mut parts[at];
            let body = std::mem::replace(&mut part.body, Ok(None));
            let reply = if parents_ok {
                let exchange = self.run_part(part, body, context);
                longest = longest.max(exchange.1);
                exchange.0
            } else {
                let error = GraphError::new(
                    424,
                    "FailedDependency",
                    "A request this one depends on has failed.",
                );
                let id = self.ids.guid();
                error.into_reply(id, part.headers.get("client-request-id"), context.now)
            };
            ok[at] = reply.status < 400;
            answers.push((at, reply));
        }
        self.order.shuffle(&mut answers);
        let rounds = u32::try_from(answers.len().div_ceil(LANES)).unwrap_or(u32::MAX);
        let responses = answers
            .into_iter()
            .map(|(at, reply)| part_json(&parts[at].id, reply));
        let mut body = Object::new();
        body.put("responses", array(responses));
        let delay = self.options.latency * rounds + longest;
        Ok((Reply::written(200, body.finish()), delay))
    }

    fn run_part(
        &mut self,
        part: &Part,
        body: Result<Option<Value>, GraphError>,
        context: Context<'_>,
    ) -> (Reply, Duration) {
        let path = part.url.split('?').next().unwrap_or_default();
        let body = if path == "/$batch" {
            Err(malformed("A batch cannot hold a batch."))
        } else {
            body
        };
        let incoming = Incoming {
            method: part.method,
            target: &part.url,
            headers: &part.headers,
            body,
            part: true,
        };
        let exchange = self.exchange(&incoming, context, false);
        (exchange.reply, exchange.delay)
    }
}
