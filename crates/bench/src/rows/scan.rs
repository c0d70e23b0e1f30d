//! A million rows: time of a scan that finds nothing against PostgreSQL's own `COPY`, processor time a row, and
//! memory against that of a small table.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::StreamExt as _;
use sqlx::Connection as _;

use super::product::{Cost, Stage, server};
use super::{Experiment, Form, ONCE, Row, Told};
use crate::measure::number;

/// How often scan and copy are repeated in turn; the median of each counts.
const TURNS: usize = 3;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "million",
    about: "1,000,000 generated rows and, beside them, 10,000: first load, scans of nothing new, 1 % changed",
    rows: &[
        Row {
            name: "scan-to-copy",
            unit: "ratio",
            about: "rows a second of a full scan that finds nothing to do, by those of COPY … TO STDOUT, in turn",
        },
        Row {
            name: "scan-rate",
            unit: "rows/s",
            about: "rows a second of that scan",
        },
        Row {
            name: "unchanged-row-cpu",
            unit: "µs/row",
            about: "processor time of the whole product process an unchanged row",
        },
        Row {
            name: "memory-peak",
            unit: "MiB",
            about: "most memory the product held at once (VmHWM), of all these runs",
        },
        Row {
            name: "memory-growth",
            unit: "ratio",
            about: "that peak by the peak of the same runs over 10,000 rows",
        },
        Row {
            name: "million-load-rate",
            unit: "rows/s",
            about: "rows a second of the first load",
        },
    ],
    effort: ONCE,
    sample,
};

fn sample(form: Form, tell: Told<'_>) -> anyhow::Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (large, small) = form.of((1_000_000, 10_000), (50_000, 2_000));
    runtime.block_on(Box::pin(take(large, small, tell)))
}

async fn take(large: u64, small: u64, tell: Told<'_>) -> anyhow::Result<Vec<f64>> {
    let server = server().await?;
    tell("the small table");
    let stage = Stage::set(&server, "small", small, None, |_| {}).await?;
    let little = all_runs(&stage, |_| {}).await?;
    drop(stage);

    tell("making the large table");
    let stage = Stage::set(&server, "large", large, None, |_| {}).await?;
    let much = all_runs(&stage, tell).await?;

    let (scan, copy) = (middle(&much.scans, |cost| cost.took), median(much.copies));
    let cpu = middle(&much.scans, |cost| cost.cpu);
    Ok(vec![
        copy.as_secs_f64() / scan.as_secs_f64(),
        number(large) / scan.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / number(large),
        much.peak,
        much.peak / little.peak,
        much.first.rate(large),
    ])
}

/// What the runs over one table cost.
struct Runs {
    first: Cost,
    scans: Vec<Cost>,
    copies: Vec<Duration>,
    peak: f64,
}

async fn all_runs(stage: &Stage, tell: impl Fn(&str)) -> anyhow::Result<Runs> {
    tell("first load");
    let first = stage.run()?;
    stage.spent().await;
    let (mut scans, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        tell("COPY, and a scan of nothing new");
        copies.push(copy(stage).await?);
        scans.push(stage.run()?);
    }
    ensure!(stage.spent().await == 0, "a scan of nothing new cost something");
    tell("1 % changed");
    stage.table.change(&stage.world.source.url(), 10, 1).await?;
    let change = stage.run()?;
    let peak = scans.iter().chain([&first, &change]).map(|cost| cost.peak);
    let peak = peak.fold(0.0, f64::max);
    Ok(Runs {
        first,
        scans,
        copies,
        peak,
    })
}

/// How long PostgreSQL takes to send the whole table as text.
async fn copy(stage: &Stage) -> anyhow::Result<Duration> {
    let mut connection = sqlx::PgConnection::connect(&stage.world.source.url()).await?;
    let start = Instant::now();
    let mut bytes = 0;
    {
        let statement = format!("copy {} to stdout", stage.table.qualified());
        let mut data = connection.copy_out_raw(&statement).await?;
        while let Some(piece) = data.next().await {
            bytes += piece?.len();
        }
    }
    let took = start.elapsed();
    ensure!(bytes > 0, "COPY sent nothing");
    connection.close().await?;
    Ok(took)
}

fn middle(costs: &[Cost], of: impl Fn(&Cost) -> Duration) -> Duration {
    median(costs.iter().map(of).collect())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
