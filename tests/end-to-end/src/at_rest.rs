//! Running until nothing is left to do, and what must be true then.

use std::time::Duration;

use serde_json::Value as Json;

use crate::World;
use crate::proxy::Proxy;

/// How long the writer lease holds in tests about killed and stopped processes, in milliseconds.
const SHORT_LEASE_MS: u64 = 1_000;

/// Writes of ours that are on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effects {
    /// Sent or about to be sent, not settled.
    pub open: i64,
    /// Not applied when last looked at; they may still land.
    pub armed: i64,
}

impl World {
    /// Leases that run out soon, so that a killed or stopped process is soon replaced.
    pub fn shorten_leases(&mut self) {
        self.environment
            .push(("SYNCBRIDGE_LEASE_TERM_MS".into(), SHORT_LEASE_MS.to_string()));
    }

    /// Puts a proxy between the product and the simulator; to be called before [`World::apply`].
    pub async fn behind_proxy(&mut self) -> Proxy {
        let proxy = Proxy::start(self.sim.address()).await;
        self.graph_root = proxy.url();
        proxy
    }

    /// Runs as soon as no other run holds the lease; the report.
    pub async fn run_admitted(&self, name: &str, more: &[&str]) -> Json {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let mut args = vec!["run", name, "-o", "json"];
            args.extend(more);
            let ran = self.command(&args);
            if ran.code() != 5 {
                return ran.json();
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "still refused after 30 s: {}",
                ran.out()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nobody holds the lease of this definition any more.
    pub async fn lease_runs_out(&self, name: &str) {
        crate::until("the lease runs out", || async {
            self.meta_count(&format!(
                "select count(*) from writer_leases join definitions using (definition_id)
                 where name = '{name}' and expires_at > clock_timestamp()"
            ))
            .await
                == 0
        })
        .await;
    }

    /// Runs until a run has nothing left to do; the last report. A run that failed, or that left something for
    /// the next one, is followed by another, but not for ever.
    pub async fn run_to_end(&self, name: &str, more: &[&str]) -> Json {
        let mut report = Json::Null;
        for _ in 0..8 {
            report = self.run_admitted(name, more).await;
            if report["outcome"]["state"] == "completed" && self.effects().await.open == 0 {
                return report;
            }
        }
        panic!("eight runs did not bring `{name}` to an end: {report:#}");
    }

    /// Writes of ours that are on record.
    pub async fn effects(&self) -> Effects {
        Effects {
            open: self
                .meta_count("select count(*) from effects where state = 'open'")
                .await,
            armed: self
                .meta_count("select count(*) from effects where state = 'armed'")
                .await,
        }
    }

    /// Fails unless nothing is under way, nothing waits, nothing was refused, and no edit was overridden.
    pub async fn assert_at_rest(&self) {
        for (what, table) in [
            ("writes that are open", "effects where state = 'open'"),
            ("dirty rows", "dirty"),
            ("rows in quarantine", "quarantine"),
            ("conflicts", "conflicts"),
        ] {
            let count = self.meta_count(&format!("select count(*) from {table}")).await;
            assert_eq!(count, 0, "{what} are left");
        }
    }

    /// Makes every armed write due to be looked at now instead of after its delay.
    pub async fn probe_armed_now(&self) {
        sqlx::query("update effects set next_probe_at = now() where state = 'armed'")
            .execute(self.meta_pool())
            .await
            .expect("the statement is right");
    }
}

/// Numbers that look random and are the same every time.
pub struct Seeded(u64);

impl Seeded {
    /// From the variable `SYNCBRIDGE_SEED`, or the given seed; printed, so that a failure can be repeated.
    #[allow(
        clippy::print_stdout,
        reason = "a test's output is where one looks for its seed"
    )]
    pub fn new(seed: u64) -> Self {
        let seed = std::env::var("SYNCBRIDGE_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(seed);
        println!("seed {seed} (set SYNCBRIDGE_SEED to change it)");
        Self(seed)
    }

    /// The next number below `below`.
    pub fn below(&mut self, below: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below.max(1)
    }
}
