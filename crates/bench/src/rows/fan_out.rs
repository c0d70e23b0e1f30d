//! What batching and parallel sending gain over a loop that sends one row a request, at a latency as over the
//! internet.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{CLIENT_ID, CLIENT_SECRET, TENANT};

use super::product::{NAME, Stage, server};
use super::{Experiment, Form, Row, THRICE, Told};
use crate::measure::{Sample, number};

/// What every request takes, and every request of a batch.
const LATENCY_MS: u64 = 50;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "latency",
    about: "a simulator that takes 50 ms for each request: first load, and a loop that creates one item a request",
    rows: &[
        Row {
            name: "parallel-to-sequential",
            unit: "ratio",
            about: "rows a second of a first load by those of the loop, both in one run",
        },
        Row {
            name: "latency-load-rate",
            unit: "rows/s",
            about: "rows a second of that first load",
        },
    ],
    effort: THRICE,
    sample,
};

fn sample(form: Form, tell: Told<'_>) -> anyhow::Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (rows, requests) = form.of((40_000, 100), (4_000, 20));
    runtime.block_on(Box::pin(take(rows, requests, tell)))
}

async fn take(rows: u64, requests: u64, tell: Told<'_>) -> anyhow::Result<Vec<f64>> {
    tell("making the table");
    let server = server().await?;
    let stage = Stage::set(&server, "latency", rows, None, |options| {
        options.latency_ms = LATENCY_MS;
    })
    .await?;
    tell("first load");
    let load = stage.run()?;
    tell("one request a row");
    let list = stage.world.list_id(NAME).await;
    let alone = one_by_one(&stage.world.sim.base_url(), &list, requests).await?;
    Ok(vec![load.rate(rows) / alone.rate(), load.rate(rows)])
}

/// Creates items one after the other on one connection; asking for the token does not count.
async fn one_by_one(root: &str, list: &str, requests: u64) -> anyhow::Result<Sample> {
    let client = reqwest::Client::new();
    let login = client
        .post(format!("{root}/{TENANT}/oauth2/v2.0/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!(
            "grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}\
             &scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        ));
    let token: Json = login.send().await?.error_for_status()?.json().await?;
    let token = token["access_token"].as_str().context("a token")?;
    let site = "sites/contoso.sharepoint.com:/sites/Company:";
    let url = format!("{root}/v1.0/{site}/lists/{list}/items");
    let start = Instant::now();
    for at in 0..requests {
        let body = json!({ "fields": { "Title": format!("one by one {at}") } });
        let answer = client.post(&url).bearer_auth(token).json(&body).send().await?;
        ensure!(answer.status() == 201, "status {}", answer.status());
        answer.bytes().await?;
    }
    let took = start.elapsed();
    ensure!(
        number(requests) / took.as_secs_f64() <= 1_000.0 / number(LATENCY_MS),
        "the simulator was quicker than its latency"
    );
    Ok(Sample { work: requests, took })
}
