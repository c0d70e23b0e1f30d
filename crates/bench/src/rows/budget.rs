//! How much of a tenant's quota a first load makes use of, and how seldom it is throttled, for the three ways in
//! which the quota may be measured.
//!
//! Six minutes are six minutes: simulator and product both live by the machine's clock, since leases, deadlines and
//! pauses do too. The three models run beside each other, each in a world of its own; together they send about 160
//! rows a second, which keeps no machine busy.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use syncbridge_devstack::simulator::Profile;
use syncbridge_devstack::testing::PrivatePostgres;

use super::product::{NAME, Stage, server};
use super::{Experiment, Form, ONCE, Row, Told};
use crate::measure::number;

/// Licences of the tenant: the largest tier.
const LICENSES: u64 = 50_001;
/// Resource units that they buy a minute.
const PER_MINUTE: u64 = 6_250;
/// Resource units of a created item.
const WRITE: u64 = 2;

const USED: &str = "used/quota";
const SHARE: &str = "% of requests";
const ABOUT_USED: &str = "resource units spent in the full minutes 2 to 6 by what the quota allows in them";
const ABOUT_THROTTLED: &str = "requests of the whole load that were answered 429";

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "budget",
    about: "first load into a tenant of 50,001 licences with the documented limits, seven minutes by the clock; \
            three ways to measure the quota, beside each other",
    rows: &[
        Row {
            name: "budget-used-fixed",
            unit: USED,
            about: ABOUT_USED,
        },
        Row {
            name: "throttled-fixed",
            unit: SHARE,
            about: ABOUT_THROTTLED,
        },
        Row {
            name: "budget-used-sliding",
            unit: USED,
            about: ABOUT_USED,
        },
        Row {
            name: "throttled-sliding",
            unit: SHARE,
            about: ABOUT_THROTTLED,
        },
        Row {
            name: "budget-used-bucket",
            unit: USED,
            about: ABOUT_USED,
        },
        Row {
            name: "throttled-bucket",
            unit: SHARE,
            about: ABOUT_THROTTLED,
        },
    ],
    effort: ONCE,
    sample,
};

fn sample(form: Form, tell: Told<'_>) -> anyhow::Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(take(form.of(5, 1), tell)))
}

async fn take(minutes: u64, tell: Told<'_>) -> anyhow::Result<Vec<f64>> {
    tell("making the tables");
    let server = server().await?;
    // The minute of the start, the full ones, and as much again as a burst may add.
    let rows = (minutes + 2) * PER_MINUTE / WRITE;
    let fixed = Load::begin(&server, "fixed", rows).await?;
    let sliding = Load::begin(&server, "sliding", rows).await?;
    let bucket = Load::begin(&server, "bucket", rows).await?;
    let mut loads = [fixed, sliding, bucket];
    next_minute().await?;
    let mut before = Vec::new();
    for load in &loads {
        before.push(load.spent().await?);
    }
    for minute in 0..minutes {
        tell(&format!("minute {} of {}", minute + 2, minutes + 1));
        next_minute().await?;
        for load in &mut loads {
            load.goes_on()?;
        }
    }
    let mut numbers = Vec::new();
    for (mut load, before) in loads.into_iter().zip(before) {
        let used = load.spent().await? - before;
        let (throttled, requests) = load.throttled().await?;
        load.end()?;
        ensure!(requests > 0, "nothing was sent");
        numbers.push(number(used) / number(minutes * PER_MINUTE));
        numbers.push(100.0 * number(throttled) / number(requests));
    }
    Ok(numbers)
}

/// One load under way.
struct Load {
    stage: Stage,
    child: std::process::Child,
}

impl Load {
    async fn begin(server: &PrivatePostgres, quota: &str, rows: u64) -> anyhow::Result<Self> {
        let stage = Stage::set(server, quota, rows, Some(LICENSES), |options| {
            options.profile = Profile::Documented;
            let more = ["--quota", quota, "--licenses"].map(str::to_owned);
            options.extra.extend(more);
            options.extra.push(LICENSES.to_string());
        })
        .await?;
        let child = stage.world.start("load", &["run", NAME, "-o", "json"]);
        Ok(Self { stage, child })
    }

    async fn spent(&self) -> anyhow::Result<u64> {
        self.stage.world.sim_get("ru").await["ru"]
            .as_u64()
            .context("the simulator counts units")
    }

    /// Requests that were throttled, and all that cost something.
    async fn throttled(&self) -> anyhow::Result<(u64, u64)> {
        let account = self.stage.world.sim_get("ru").await;
        let count = |value: &serde_json::Value| value.as_u64().context("the simulator counts requests");
        let batches = account["by_kind"]["batch"]["requests"].as_u64().unwrap_or(0);
        Ok((
            count(&account["throttled"])?,
            count(&account["requests"])?.saturating_sub(batches),
        ))
    }

    fn goes_on(&mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "the load ended before the last minute did");
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // One that ended already cannot be killed, and that is fine.
        let _ = self.end();
    }
}

/// Waits for the next full minute of the machine's clock, which is the simulator's.
async fn next_minute() -> anyhow::Result<()> {
    const MINUTE: u64 = 60_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let passed = u64::try_from(now.as_millis() % u128::from(MINUTE))?;
    tokio::time::sleep(Duration::from_millis(MINUTE - passed)).await;
    Ok(())
}
