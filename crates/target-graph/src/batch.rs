//! `$batch`: up to twenty requests in one round trip, each with its own answer (contract §9).
//!
//! What is certain about the whole is told apart from what is certain about a part: a part without exactly one
//! readable answer is unknown, whatever the others say.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};
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
            let chosen: Vec<Call> = group.iter().map(|at| parts[*at].clone()).collect();
            let chosen = if renewed {
                chosen.into_iter().map(Call::again).collect()
            } else {
                chosen
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
        parts: &[Call],
        caller: &Caller,
        deadline: Option<Monotonic>,
    ) -> Result<Vec<PartOutcome>, Whole> {
        let Some(first) = parts.first() else {
            return Ok(Vec::new());
        };
        let requests: Vec<Json> = parts
            .iter()
            .enumerate()
            .map(|(at, part)| self.part_json(at, part))
            .collect();
        let call = Call {
            method: Method::Post,
            address: Address::Path("/$batch".to_owned()),
            template: format!("/$batch[{}]", parts.len()),
            endpoint: Endpoint::Batch,
            body: Some(Bytes::from(json!({"requests": requests}).to_string())),
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

    fn part_json(&self, at: usize, part: &Call) -> Json {
        let mut headers = Map::new();
        headers.insert("client-request-id".into(), self.request_id(part.why).into());
        if let Some(etag) = &part.if_match {
            headers.insert("If-Match".into(), etag.as_str().into());
        }
        let Address::Path(url) = &part.address else {
            // Links are read alone; nothing of this crate puts one into a batch.
            return Json::Null;
        };
        let mut request = json!({"id": at.to_string(), "method": part.method.as_str(), "url": url});
        if let Some(body) = &part.body {
            headers.insert("Content-Type".into(), "application/json".into());
            request["body"] = serde_json::from_slice(body).unwrap_or(Json::Null);
        }
        request["headers"] = Json::Object(headers);
        request
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
