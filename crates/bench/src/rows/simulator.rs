//! Item writes of the simulator through `$batch`: its core alone, and over HTTP.
//!
//! The list is what provisioning makes: a unique, indexed, hidden key beside text, number, choice, day and
//! instant. Requests are made before the clock starts, answers are checked after it stopped.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use chrono::Utc;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use syncbridge_graph_sim::server::Server;
use syncbridge_graph_sim::{Answer, Method, Options, Request, Tenant};
use tokio::net::TcpStream;

use super::{Form, Told};
use crate::measure::Sample;

/// Requests in a batch; Graph takes no more.
const PER_BATCH: usize = 20;
/// Connections that send at the same time, as many as a run has batches in flight by default.
const CONNECTIONS: usize = 8;
const BATCH: &str = "/v1.0/$batch";

/// A tenant with a token and an empty list.
struct Prepared {
    tenant: Tenant,
    token: String,
    /// Path of the list's items below `/v1.0`.
    items: String,
}

/// Batches of one sample.
fn batches(form: Form) -> usize {
    form.of(1_500, 150)
}

/// Creates and patches in process.
pub(super) fn in_process(form: Form, _: Told<'_>) -> anyhow::Result<Vec<f64>> {
    let size = batches(form);
    Ok(vec![creates(size)?.rate(), patches(size)?.rate()])
}

/// Creates and patches over HTTP.
pub(super) fn over_http(form: Form, _: Told<'_>) -> anyhow::Result<Vec<f64>> {
    let size = batches(form);
    Ok(vec![http_creates(size)?.rate(), http_patches(size)?.rate()])
}

/// Makes `batches` × 20 items in process.
fn creates(batches: usize) -> anyhow::Result<Sample> {
    let mut prepared = Prepared::new()?;
    let bodies = creating(&prepared.items, batches);
    let (sample, answers) = prepared.send(&bodies)?;
    check(&answers, 201)?;
    Ok(sample)
}

/// Changes `batches` × 20 items in process.
fn patches(batches: usize) -> anyhow::Result<Sample> {
    let (mut prepared, bodies) = filled(batches)?;
    let (sample, answers) = prepared.send(&bodies)?;
    check(&answers, 200)?;
    Ok(sample)
}

/// Makes `batches` × 20 items over HTTP.
fn http_creates(batches: usize) -> anyhow::Result<Sample> {
    let prepared = Prepared::new()?;
    let bodies = creating(&prepared.items, batches);
    send_over_http(prepared, bodies, 201)
}

/// Changes `batches` × 20 items over HTTP.
fn http_patches(batches: usize) -> anyhow::Result<Sample> {
    let (prepared, bodies) = filled(batches)?;
    send_over_http(prepared, bodies, 200)
}

impl Prepared {
    fn new() -> anyhow::Result<Self> {
        let options = Options::default();
        let client = options
            .clients
            .first()
            .context("the simulator knows a client")?
            .clone();
        let mut tenant = Tenant::new(options).map_err(anyhow::Error::msg)?;
        let mut login = Request::new(Method::Post, "/contoso/oauth2/v2.0/token")
            .header("Content-Type", "application/x-www-form-urlencoded");
        login.body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            client.id, client.secret
        )
        .into();
        let token = text_of(&tenant.handle(login, Utc::now()), "access_token")?;
        let list = json!({ "displayName": "Bench", "list": { "template": "genericList" }, "columns": [
            { "name": "SyncBridgeKey", "text": { "maxLength": 27 }, "hidden": true, "indexed": true,
              "enforceUniqueValues": true },
            { "name": "Customer", "text": { "maxLength": 120 } },
            { "name": "Notes", "text": { "allowMultipleLines": true, "textType": "plain" } },
            { "name": "Amount", "number": { "decimalPlaces": "two" } },
            { "name": "Stage", "choice": { "choices": ["open", "won", "lost"], "displayAs": "dropDownMenu" } },
            { "name": "Due", "dateTime": { "format": "dateOnly" } },
            { "name": "Seen", "dateTime": { "format": "dateTime" } },
        ]});
        let site = "/sites/contoso.sharepoint.com:/sites/demo:";
        let made = Request::new(Method::Post, format!("/v1.0{site}/lists"))
            .header("Authorization", format!("Bearer {token}"))
            .json(&list);
        let id = text_of(&tenant.handle(made, Utc::now()), "id")?;
        Ok(Self {
            tenant,
            token,
            items: format!("{site}/lists/{id}/items"),
        })
    }

    /// Sends batches one after the other; the clock runs for nothing else.
    fn send(&mut self, bodies: &[Bytes]) -> anyhow::Result<(Sample, Vec<Bytes>)> {
        let authorization = format!("Bearer {}", self.token);
        let mut answers = Vec::with_capacity(bodies.len());
        let start = Instant::now();
        for body in bodies {
            let mut request = Request::new(Method::Post, BATCH)
                .header("Authorization", authorization.clone())
                .header("Content-Type", "application/json");
            request.body = body.clone();
            answers.push(self.tenant.handle(request, Utc::now()).response.body);
        }
        let took = start.elapsed();
        Ok((
            Sample {
                work: u64::try_from(bodies.len() * PER_BATCH)?,
                took,
            },
            answers,
        ))
    }
}

/// A tenant whose list holds the items, and the batches that change each of them once.
fn filled(batches: usize) -> anyhow::Result<(Prepared, Vec<Bytes>)> {
    let mut prepared = Prepared::new()?;
    let bodies = creating(&prepared.items, batches);
    let (_, answers) = prepared.send(&bodies)?;
    check(&answers, 201)?;
    let mut changes = Vec::with_capacity(answers.len());
    for answer in &answers {
        let answer: Json = serde_json::from_slice(answer)?;
        let made = answer["responses"].as_array().context("a batch's answer")?;
        let mut parts = Vec::with_capacity(made.len());
        for (at, one) in made.iter().enumerate() {
            let item = one["body"]["id"].as_str().context("a new item's id")?;
            let version = one["body"]["eTag"].as_str().context("a new item's eTag")?;
            parts.push(part(
                at,
                "PATCH",
                &format!("{}/{item}/fields", prepared.items),
                json!({ "Content-Type": "application/json", "If-Match": version }),
                json!({ "Customer": format!("Customer {at} renamed"), "Amount": 7.25 }),
            ));
        }
        changes.push(batch(parts));
    }
    Ok((prepared, changes))
}

fn creating(items: &str, batches: usize) -> Vec<Bytes> {
    (0..batches)
        .map(|at| {
            let parts = (0..PER_BATCH).map(|one| {
                let number = at * PER_BATCH + one;
                let fields = json!({
                    "Title": format!("Contract {number}"),
                    "SyncBridgeKey": format!("1{number:026}"),
                    "Customer": format!("Customer {}", number % 500),
                    "Notes": "First line, as long as people write them.\nSecond line.",
                    "Amount": 1234.5,
                    "Stage": "open",
                    "Due": "2026-06-01T00:00:00Z",
                    "Seen": "2026-06-01T12:34:56Z",
                });
                let headers = json!({ "Content-Type": "application/json" });
                part(one, "POST", items, headers, json!({ "fields": fields }))
            });
            batch(parts.collect())
        })
        .collect()
}

fn part(id: usize, method: &str, url: &str, headers: Json, body: Json) -> Json {
    json!({ "id": id.to_string(), "method": method, "url": url, "headers": headers, "body": body })
}

fn batch(parts: Vec<Json>) -> Bytes {
    json!({ "requests": parts }).to_string().into()
}

/// Every part of every answer must have this status: a refusal is quick, and no write.
fn check(answers: &[Bytes], status: u64) -> anyhow::Result<()> {
    for answer in answers {
        let answer: Json = serde_json::from_slice(answer)?;
        let parts = answer["responses"].as_array();
        let parts = parts.with_context(|| format!("a batch was not answered: {answer}"))?;
        ensure!(parts.len() == PER_BATCH, "a batch of {} answers", parts.len());
        if let Some(other) = parts.iter().find(|part| part["status"] != status) {
            anyhow::bail!("a write was not done: {other}");
        }
    }
    Ok(())
}

/// A text of an answer that must be there.
fn text_of(answer: &Answer, key: &str) -> anyhow::Result<String> {
    let body = answer.response.json().unwrap_or_default();
    let text = body[key].as_str().map(str::to_owned);
    // The answer itself may hold a token.
    text.with_context(|| format!("status {} without `{key}`", answer.response.status))
}

fn send_over_http(prepared: Prepared, bodies: Vec<Bytes>, status: u64) -> anyhow::Result<Sample> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let work = u64::try_from(bodies.len() * PER_BATCH)?;
    let (took, answers) = runtime.block_on(async move {
        let Prepared { tenant, token, .. } = prepared;
        let server = Server::bind(([127, 0, 0, 1], 0).into(), tenant).await?;
        let address = server.address()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        let mut shares = vec![Vec::new(); CONNECTIONS];
        for (at, body) in bodies.into_iter().enumerate() {
            shares[at % CONNECTIONS].push(body);
        }
        let mut senders = Vec::new();
        for share in shares {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            senders.push((sender, share));
        }
        let start = Instant::now();
        let tasks: Vec<_> = senders
            .into_iter()
            .map(|(sender, share)| tokio::spawn(send_all(sender, share, format!("Bearer {token}"))))
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.extend(task.await??);
        }
        let took = start.elapsed();
        let _ = stop.send(());
        serving.await??;
        anyhow::Ok((took, answers))
    })?;
    check(&answers, status)?;
    Ok(Sample { work, took })
}

/// Sends one connection's share, one request after the other.
async fn send_all(
    mut sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    bodies: Vec<Bytes>,
    authorization: String,
) -> anyhow::Result<Vec<Bytes>> {
    let mut answers = Vec::with_capacity(bodies.len());
    for body in bodies {
        let request = hyper::Request::post(BATCH)
            .header("Host", "localhost")
            .header("Authorization", &authorization)
            .header("Content-Type", "application/json")
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await?;
        ensure!(answer.status() == 200, "status {}", answer.status());
        answers.push(answer.into_body().collect().await?.to_bytes());
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::{Sample, creates, http_creates, http_patches, patches};

    #[test]
    fn every_sample_is_of_the_work_it_was_asked_for() {
        let all: [fn(usize) -> anyhow::Result<Sample>; 4] = [creates, patches, http_creates, http_patches];
        for (at, take) in all.into_iter().enumerate() {
            let sample = take(3).unwrap_or_else(|error| panic!("{at}: {error:#}"));
            assert_eq!(sample.work, 60, "{at}");
            assert!(!sample.took.is_zero(), "{at}");
        }
    }
}
