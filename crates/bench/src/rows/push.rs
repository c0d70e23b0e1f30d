//! First load, a full scan of an unchanged table, and one row in a hundred changed: what it costs at Graph and here.

use anyhow::ensure;

use super::product::{NAME, Stage, server};
use super::{Experiment, Form, Row, THRICE, Told};
use crate::measure::number;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "push",
    about: "100,000 generated rows to a simulator without latency: first load, scan of nothing new, 1 % changed, \
            1 % deleted and added",
    rows: &[
        Row {
            name: "first-load-efficiency",
            unit: "least/spent",
            about: "resource units that the first load needs at least, by the ones the simulator counted, \
                    provisioning included",
        },
        Row {
            name: "first-load-rate",
            unit: "rows/s",
            about: "rows a second from the start of the process to its end",
        },
        Row {
            name: "created-row-cpu",
            unit: "µs/row",
            about: "processor time of the whole product process a created row",
        },
        Row {
            name: "unchanged-spent",
            unit: "RU",
            about: "resource units spent by a full scan that finds nothing to do",
        },
        Row {
            name: "change-efficiency",
            unit: "least/spent",
            about: "as above, one row in a hundred changed",
        },
        Row {
            name: "turnover-efficiency",
            unit: "least/spent",
            about: "as above, one row in a hundred deleted and as many added",
        },
        Row {
            name: "changed-row-cpu",
            unit: "µs/row",
            about: "processor time a changed row, what the scan of the others takes taken off",
        },
    ],
    effort: THRICE,
    sample,
};

fn sample(form: Form, tell: Told<'_>) -> anyhow::Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(take(form.of(100_000, 5_000), tell)))
}

async fn take(rows: u64, tell: Told<'_>) -> anyhow::Result<Vec<f64>> {
    tell("making the table");
    let server = server().await?;
    let stage = Stage::set(&server, "push", rows, None, |_| {}).await?;
    stage
        .world
        .sql("create table empty (id bigint, digest text)")
        .await;

    tell("first load");
    let least = stage.least("empty").await?;
    let first = stage.run()?;
    let first_spent = stage.spent().await;
    ensure!(least == 2 * rows, "every row of an empty list is to be written");

    tell("nothing changed");
    let idle = stage.run()?;
    let idle_spent = stage.spent().await;

    tell("1 % changed");
    stage.remember("before_change").await;
    let url = stage.world.source.url();
    let touched = stage.table.change(&url, 10, 1).await?;
    let change_least = stage.least("before_change").await?;
    ensure!(
        change_least == 2 * touched && touched > 0,
        "a change touches what it says"
    );
    let change = stage.run()?;
    let change_spent = stage.spent().await;

    tell("1 % deleted, as many added");
    stage.remember("before_turnover").await;
    let removed = stage.table.remove(&url, 10, 1).await?;
    stage.table.add(&url, removed).await?;
    let turnover_least = stage.least("before_turnover").await?;
    stage.run()?;
    let turnover_spent = stage.spent().await;

    tell("verifying");
    stage.world.assert_equal(NAME, i64::try_from(rows)?);
    let changing = change.cpu.saturating_sub(idle.cpu).as_secs_f64() * 1e6;
    Ok(vec![
        number(least) / number(first_spent),
        first.rate(rows),
        first.cpu_per_row(rows),
        number(idle_spent),
        number(change_least) / number(change_spent),
        number(turnover_least) / number(turnover_spent),
        changing / number(touched),
    ])
}
