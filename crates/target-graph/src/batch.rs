//! `$batch`: up to twenty requests in one round trip, each with its own answer (contract §9).
//!
//! What is certain about the whole is told apart from what is certain about a part: a part without exactly one
//! readable answer is unknown, whatever the others say.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use syncbridge_domain::clock::Monotonic;
use syncbridge_domain::failure::{Failure, Scope};

use crate::call::{Caller, Core, NoAnswer};
use crate::classify::{Classified, Endpoint, request_id};
use crate::client::unreadable;
use crate::codes;
use crate::request::{Address, Call, PAGE_BYTES};
use crate::trace;
use crate::transport::{HttpResponse, Method, Transport};

/// The most requests one batch holds.
pub const MAX_PARTS: usize = 20;
/// A batch whose body would grow beyond this is split before it is sent; the service's own bound is 4 MB.
const MAX_BODY: usize = 3 << 20;

/// What became of one part.
#[derive(Debug)]
pub(crate) enum PartOutcome {
    /// It has an answer of its own.
    Answered(HttpResponse),
    /// The batch as a whole met an error.
    Whole(Classified),
    /// It never left.
    NotSent(Failure),
    /// The budget allows it only later.
    Throttled(std::time::Duration),
    /// It may have been done.
    Lost(Failure),
}

#[derive(Serialize)]
struct BatchRequest<'a> {
    requests: Vec<PartRequest<'a>>,
}

/// A part as it travels. Its body is text already and goes in as it is.
#[derive(Serialize)]
struct PartRequest<'a> {
    id: String,
    method: &'static str,
    url: &'a str,
    headers: PartHeaders<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct PartHeaders<'a> {
    #[serde(rename = "Content-Type", skip_serializing_if = "Option::is_none")]
    content_type: Option<&'static str>,
    #[serde(rename = "If-Match", skip_serializing_if = "Option::is_none")]
    if_match: Option<&'a str>,
    #[serde(rename = "client-request-id")]
    client_request_id: String,
}

#[derive(Deserialize)]
struct BatchAnswer {
    responses: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct PartAnswer {
    id: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, Json>,
    body: Option<Box<RawValue>>,
}

impl<T: Transport> Core<T> {
    /// Sends the parts, each at most once (a part refused for its token goes once more with a new one), and tells
    /// what became of each, in order.
    pub(crate) async fn batch(
        &self,
        parts: &[Call],
        caller: &Caller,
        deadline: Option<Monotonic>,
    ) -> Vec<PartOutcome> {
        let mut outcomes: Vec<Option<PartOutcome>> = parts.iter().map(|_| None).collect();
        let mut renewed = false;
        let mut work = groups(parts, (0..parts.len()).collect());
        while let Some(group) = work.pop() {
            let again: Vec<Call> = if renewed {
                group.iter().map(|at| parts[*at].clone().again()).collect()
            } else {
                Vec::new()
            };
            let chosen: Vec<&Call> = if renewed {
                again.iter().collect()
            } else {
                group.iter().map(|at| &parts[*at]).collect()
            };
            match self.send_group(&chosen, caller, deadline).await {
                Err(Whole::Answer(answer)) if answer.status == 413 && group.len() > 1 => {
                    // Certainly not done, so halving repeats nothing.
                    let (first, second) = group.split_at(group.len() / 2);
                    work.extend([second.to_vec(), first.to_vec()]);
                }
                Err(whole) => {
                    for at in group {
                        outcomes[at] = Some(whole.outcome(self, caller));
                    }
                }
                Ok(answers) => {
                    for (at, outcome) in group.into_iter().zip(answers) {
                        outcomes[at] = Some(outcome);
                    }
                }
            }
            if work.is_empty() && !renewed {
                renewed = true;
                let refused: Vec<usize> = outcomes
                    .iter()
                    .enumerate()
                    .filter(|(_, o)| is_401(o.as_ref()))
                    .map(|(at, _)| at)
                    .collect();
                if !refused.is_empty() {
                    self.renew_token(deadline).await;
                    work = groups(parts, refused);
                }
            }
        }
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| PartOutcome::Lost(unanswered_part(None))))
            .collect()
    }

    async fn send_group(
        &self,
        parts: &[&Call],
        caller: &Caller,
        deadline: Option<Monotonic>,
    ) -> Result<Vec<PartOutcome>, Whole> {
        let Some(first) = parts.first() else {
            return Ok(Vec::new());
        };
        let requests = parts.iter().enumerate().map(|(at, part)| self.part(at, part));
        // Texts and bodies that are JSON already cannot fail to be written.
        let body = requests
            .collect::<Option<Vec<_>>>()
            .and_then(|requests| serde_json::to_vec(&BatchRequest { requests }).ok());
        let Some(body) = body else {
            return Err(Whole::None(NoAnswer::NotSent(unspeakable())));
        };
        let call = Call {
            method: Method::Post,
            address: Address::Path("/$batch".to_owned()),
            template: format!("/$batch[{}]", parts.len()),
            endpoint: Endpoint::Batch,
            body: Some(Bytes::from(body)),
            if_match: None,
            why: first.why,
            cost: parts.iter().flat_map(|part| part.cost.iter().copied()).collect(),
            max_answer: PAGE_BYTES,
        };
        let answer = match self.attempt(&call, caller, deadline).await {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => return Err(Whole::Answer(answer)),
            Err(none) => return Err(Whole::None(none)),
        };
        let mut found = read_parts(&answer, parts.len());
        Ok(parts
            .iter()
            .zip(found.drain(..))
            .map(|(part, found)| match found {
                Some(found) => {
                    trace::part(part.method, &part.template, found.status, part.why, &found);
                    self.budget.observe(&found, caller.list.as_deref());
                    PartOutcome::Answered(found)
                }
                None => PartOutcome::Lost(unanswered_part(request_id(&answer))),
            })
            .collect())
    }

    /// `None` for what has no place in a batch: links are read alone, and a body is JSON.
    fn part<'a>(&self, at: usize, part: &'a Call) -> Option<PartRequest<'a>> {
        let Address::Path(url) = &part.address else {
            return None;
        };
        let body: Option<&RawValue> = match &part.body {
            Some(body) => Some(serde_json::from_slice(body).ok()?),
            None => None,
        };
        Some(PartRequest {
            id: at.to_string(),
            method: part.method.as_str(),
            url,
            headers: PartHeaders {
                content_type: body.map(|_| "application/json"),
                if_match: part.if_match.as_deref(),
                client_request_id: self.request_id(part.why),
            },
            body,
        })
    }

    async fn renew_token(&self, deadline: Option<Monotonic>) {
        if let Ok(token) = self
            .auth
            .token(&self.transport, self.request_timeout, deadline)
            .await
        {
            self.auth.refuse(&token).await;
        }
    }
}

/// Why a whole batch brought no part answers.
enum Whole {
    Answer(HttpResponse),
    None(NoAnswer),
}

impl Whole {
    fn outcome<T: Transport>(&self, core: &Core<T>, caller: &Caller) -> PartOutcome {
        match self {
            Whole::None(NoAnswer::NotSent(failure) | NoAnswer::NoToken(failure)) => {
                PartOutcome::NotSent(failure.clone())
            }
            Whole::None(NoAnswer::Throttled(wait)) => PartOutcome::Throttled(*wait),
            Whole::None(NoAnswer::Lost(failure)) => PartOutcome::Lost(failure.clone()),
            Whole::Answer(answer) if answer.is_success() => PartOutcome::Lost(unreadable(answer)),
            Whole::Answer(answer) => PartOutcome::Whole(core.classify(Endpoint::Batch, answer, caller)),
        }
    }
}

fn is_401(outcome: Option<&PartOutcome>) -> bool {
    matches!(outcome, Some(PartOutcome::Answered(answer)) if answer.status == 401)
}

/// Splits parts so that each batch stays within its bounds; the last group is sent first.
fn groups(parts: &[Call], chosen: Vec<usize>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut size = 0;
    for at in chosen {
        // Address and headers of a part stay below this.
        let bytes = parts[at].body.as_ref().map_or(0, Bytes::len) + 2_048;
        match groups.last_mut() {
            Some(group) if group.len() < MAX_PARTS && size + bytes <= MAX_BODY => {
                group.push(at);
                size += bytes;
            }
            _ => {
                groups.push(vec![at]);
                size = bytes;
            }
        }
    }
    groups.reverse();
    groups
}

/// The parts' answers by position. None where there is no answer, an unreadable one, or more than one.
fn read_parts(answer: &HttpResponse, count: usize) -> Vec<Option<HttpResponse>> {
    let mut found: Vec<Option<HttpResponse>> = (0..count).map(|_| None).collect();
    let mut seen = vec![false; count];
    let Ok(body) = serde_json::from_slice::<BatchAnswer>(&answer.body) else {
        return found;
    };
    for raw in body.responses {
        let Ok(part) = serde_json::from_str::<PartAnswer>(raw.get()) else {
            continue;
        };
        let Some(at) = part.id.parse::<usize>().ok().filter(|at| *at < count) else {
            continue;
        };
        found[at] = if seen[at] {
            None
        } else {
            Some(part.into_response(answer))
        };
        seen[at] = true;
    }
    found
}

impl PartAnswer {
    fn into_response(self, whole: &HttpResponse) -> HttpResponse {
        let mut headers: Vec<(String, String)> = self
            .headers
            .into_iter()
            .filter_map(|(name, value)| match value {
                Json::String(text) => Some((name, text)),
                Json::Number(number) => Some((name, number.to_string())),
                _ => None,
            })
            .collect();
        // A part without a request-id of its own is found by the batch's.
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("request-id"))
            && let Some(id) = request_id(whole)
        {
            headers.push(("request-id".to_owned(), id));
        }
        let body = self
            .body
            .map_or_else(Bytes::new, |raw| Bytes::from(String::from(Box::<str>::from(raw))));
        HttpResponse {
            status: self.status,
            headers,
            body,
        }
    }
}

fn unspeakable() -> Failure {
    Failure::new(
        Scope::Row,
        codes::NOT_ATTEMPTED,
        "a request of a batch cannot be written as JSON",
        "report this as a defect; the rows are looked at again",
    )
}

fn unanswered_part(request_id: Option<String>) -> Failure {
    Failure::new(
        Scope::Outage,
        codes::NO_ANSWER,
        "the batch's answer holds no single readable answer to this part",
        "nothing to do: the row is looked at again",
    )
    .request_id(request_id)
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
