//! Running the product as people run it, and what a run cost this machine.
//!
//! A world is what the end-to-end tests use: the built `syncbridge`, the simulator as a process of its own, two
//! databases. Here all databases lie on one private server, and the source is a generated table.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value as Json, json};
use syncbridge_devstack::generator::{KeyKind, Table};
use syncbridge_devstack::simulator::SimOptions;
use syncbridge_devstack::testing::{PrivatePostgres, try_private_postgres};
use syncbridge_end_to_end::World;

use crate::measure::number;

/// Name of definition, list and table.
pub(super) const NAME: &str = "orders";
/// Decides the rows.
const SEED: u32 = 2026;
/// Clock ticks a second in which Linux tells processor time, whatever the kernel's own.
const TICKS: f64 = 100.0;

/// A private server. Its memory is that of a small production server; nothing is written through to the disk, so
/// that the figures are the processors' and not the disk's.
pub(super) async fn server() -> anyhow::Result<PrivatePostgres> {
    let server = try_private_postgres(|options| {
        options.extra_conf = "shared_buffers = '512MB'\nmax_wal_size = '8GB'\nwork_mem = '16MB'\n".to_owned();
    })
    .await?;
    Ok(server)
}

/// A world with a generated table of so many rows and a definition that scans it; nothing has run yet.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) table: Table<'static>,
}

impl Stage {
    pub(super) async fn set(
        server: &PrivatePostgres,
        name: &str,
        rows: u64,
        licenses: Option<u64>,
        adjust: impl FnOnce(&mut SimOptions),
    ) -> anyhow::Result<Self> {
        let mut world = World::on(server, name, adjust).await;
        world.licenses = licenses;
        let table = Table {
            name: NAME,
            rows,
            key: KeyKind::Integer,
            seed: SEED,
        };
        table.make(&world.source.url()).await?;
        let more = json!({ "source": { "feed": "full_scan" }, "onDelete": "propagate" });
        world
            .apply(&world.definition(NAME, &table.qualified(), more))
            .ok();
        Ok(Self { world, table })
    }

    /// Runs the definition to its end, which has to be a good one.
    pub(super) fn run(&self) -> anyhow::Result<Cost> {
        let (report, cost) = measured(&mut self.world.prepare(&["run", NAME, "-o", "json"]))?;
        let outcome = &report["outcome"];
        ensure!(
            outcome["state"] == "completed",
            "the run did not complete: {outcome:#}"
        );
        Ok(cost)
    }

    /// Resource units spent since the last time this was asked, by the simulator's count.
    pub(super) async fn spent(&self) -> u64 {
        let (_, spent) = self.world.spent().await;
        self.world.reset_account().await;
        spent
    }

    /// The least that takes the list from what it shows to what the table holds, by the states alone: two units for
    /// each row that is new, gone, or differs in any column.
    pub(super) async fn least(&self, since: &str) -> anyhow::Result<u64> {
        let rows = self
            .world
            .count(&format!(
                "select count(*) from {table} t full join {since} b using (id)
                 where t.id is null or b.id is null or md5(t::text) is distinct from b.digest",
                table = self.table.qualified()
            ))
            .await;
        Ok(2 * u64::try_from(rows)?)
    }

    /// Remembers the table's state under a name.
    pub(super) async fn remember(&self, name: &str) {
        self.world
            .sql(&format!(
                "create table {name} as select id, md5(t::text) as digest from {table} t; analyze {name}",
                table = self.table.qualified()
            ))
            .await;
    }
}

/// What a run of the product cost this machine. Of the product's process alone: servers are processes of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// From start to end, the start of the process included.
    pub(super) took: Duration,
    /// Processor time, user and system, as `getrusage` tells it of children that ended.
    pub(super) cpu: Duration,
    /// Most memory it held at once (`VmHWM`), in MiB.
    pub(super) peak: f64,
}

impl Cost {
    /// Microseconds of processor time a row.
    pub(super) fn cpu_per_row(&self, rows: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / number(rows)
    }

    /// Rows a second.
    pub(super) fn rate(&self, rows: u64) -> f64 {
        number(rows) / self.took.as_secs_f64()
    }
}

/// Runs a command and answers what it printed as JSON with what it cost. Nothing else that this process started may
/// end meanwhile.
fn measured(command: &mut std::process::Command) -> anyhow::Result<(Json, Cost)> {
    let before = children_cpu()?;
    let start = Instant::now();
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("the product starts")?;
    let status = format!("/proc/{}/status", child.id());
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let watcher = {
        let ended = std::sync::Arc::clone(&ended);
        // The peak only grows, so that the last look tells all but what the last milliseconds added.
        std::thread::spawn(move || {
            let mut peak = 0.0f64;
            while !ended.load(std::sync::atomic::Ordering::Acquire) {
                if let Ok(text) = std::fs::read_to_string(&status) {
                    peak = peak.max(peak_in(&text).unwrap_or(0.0));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            peak
        })
    };
    let output = child.wait_with_output().context("the product ends")?;
    let took = start.elapsed();
    ended.store(true, std::sync::atomic::Ordering::Release);
    let peak = watcher
        .join()
        .map_err(|_| anyhow::anyhow!("the watcher of the product's memory failed"))?;
    let cpu = children_cpu()?.saturating_sub(before);
    let report = serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "the product printed no report: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    ensure!(peak > 0.0, "the product's memory could not be watched");
    Ok((report, Cost { took, cpu, peak }))
}

/// `VmHWM` in MiB.
fn peak_in(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Processor time of all children that ended: `cutime` and `cstime`, the same count as
/// `getrusage(RUSAGE_CHILDREN)`, in hundredths of a second.
fn children_cpu() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat").context("this needs Linux's /proc")?;
    ticks_of_children(&text)
        .map(|ticks| Duration::from_secs_f64(ticks / TICKS))
        .context("/proc/self/stat cannot be read")
}

fn ticks_of_children(stat: &str) -> Option<f64> {
    // The name in parentheses may hold anything; behind it fields are numbers, the state is the first of them.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(13);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::{peak_in, ticks_of_children};

    #[test]
    fn time_and_memory_are_read_from_the_right_places() {
        let stat = "42 (a (strange) name) S 1 2 3 4 5 6 7 8 9 10 11 12 130 7 20 0";
        assert_eq!(ticks_of_children(stat), Some(137.0));
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak_in(status), Some(2.0));
        assert_eq!(peak_in("VmRSS: 1 kB"), None);
    }
}
