//! killed at any moment, run again, nothing lost and nothing twice.
//!
//! One program for both forms: `SYNCBRIDGE_SOAK_KILLS` says how often (20 where it is not set, 500 in
//! `make soak`). The moments are drawn from a seed that is printed: so many item writes after the start, the first write on
//! record that is not settled, or so many milliseconds, so that kills fall before, between and after admitting, sending and
//! settling.

use std::time::Duration;

use serde_json::json;
use syncbridge_end_to_end::World;
use syncbridge_end_to_end::at_rest::Seeded;

const ROWS: u64 = 300;
/// Rows one round changes, at most.
const CHANGES: u64 = 120;

/// How often one test kills: half of what is asked for, since there are two feeds.
fn kills() -> u64 {
    let asked = std::env::var("SYNCBRIDGE_SOAK_KILLS").map_or(20, |text| {
        text.parse().expect("SYNCBRIDGE_SOAK_KILLS is a number of kills")
    });
    u64::div_ceil(asked, 2)
}

/// What the table is like and how often it was written.
struct Source {
    world: World,
    random: Seeded,
    next_id: u64,
    /// Rows inserted, rows changed and rows deleted so far, each an upper bound of what the list needs.
    touched: u64,
}

impl Source {
    async fn begin(world: World, seed: u64) -> Self {
        world
            .sql(&format!(
                "create table t (id int primary key, name text not null, note text, amount numeric(10,2),
                                 changed timestamptz not null default clock_timestamp());
                 insert into t select n, 'row ' || n, null, n / 4.0 from generate_series(1, {ROWS}) n;"
            ))
            .await;
        Self {
            world,
            random: Seeded::new(seed),
            next_id: ROWS + 1,
            touched: ROWS,
        }
    }

    /// Inserts, changes and deletes; some rows go back to what they were, some come back after a delete.
    async fn change(&mut self) {
        let random = &mut self.random;
        let (pick, step) = (random.below(7), random.below(1_000_000));
        let (inserts, first) = (random.below(30), self.next_id);
        self.next_id += inserts;
        let gone = random.below(self.next_id);
        self.world
            .sql(&format!(
                "update t set name = 'step {step} of ' || id, changed = clock_timestamp()
                   where id % 7 = {pick} and id % 3 <> 0;
                 update t set name = 'row ' || id, note = case when note is null then 'n{step}' end,
                              changed = clock_timestamp() where id % 7 = {pick} and id % 3 = 0;
                 insert into t (id, name) select n, 'new ' || n from generate_series({first}, {first} + {inserts} - 1) n;
                 delete from t where id between {gone} and {gone} + 5;
                 insert into t (id, name) values ({gone}, 'again {step}')"
            ))
            .await;
        self.touched += CHANGES;
    }

    /// Starts a run and kills it at a random moment; how many writes it left open.
    async fn killed_run(&mut self) -> u64 {
        let (how, amount) = (self.random.below(3), self.random.below(1_000));
        let written = async |world: &World| {
            let writes = world.writes().await;
            writes.creates + writes.patches + writes.deletes
        };
        let start = written(&self.world).await;
        let mut child = self.world.start("killed", &["run", "t"]);
        let began = std::time::Instant::now();
        // Whichever comes first: the moment that was drawn, or the end of the run.
        while child.try_wait().expect("a child").is_none() {
            let reached = match how {
                0 => written(&self.world).await >= start + 1 + amount % CHANGES,
                1 => self.world.effects().await.open > 0,
                _ => began.elapsed() >= Duration::from_millis(50 + amount),
            };
            if reached {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let _ = child.kill();
        child.wait().expect("it ends");
        u64::try_from(self.world.effects().await.open).expect("a count")
    }
}

async fn killed_again_and_again(feed: serde_json::Value, more: &[&str], seed: u64) {
    let mut world = World::with(|options| options.latency_ms = 20).await;
    world.shorten_leases();
    let mut source = Source::begin(world, seed).await;
    let definition = source.world.definition(
        "t",
        "public.t",
        json!({"source": feed, "onDelete": "propagate",
               "limits": {"pageRows": 100, "batchesInFlight": 2}}),
    );
    source.world.apply(&definition).ok();
    let (mut left_open, mut killed) = (0, 0);
    while killed < kills() {
        // Up to three kills in a row: what a killed run left is found by one that is killed as well.
        for _ in 0..=source.random.below(3).min(kills() - killed - 1) {
            left_open += source.killed_run().await;
            killed += 1;
            source.change().await;
            source.world.lease_runs_out("t").await;
        }
        source.world.run_to_end("t", more).await;
        source.world.assert_at_rest().await;
        let rows = source.world.count("select count(*) from t").await;
        source.world.assert_equal("t", rows);
        assert_eq!(source.world.items("t").await.len() as i64, rows, "one item a row");
    }
    let writes = source.world.writes().await;
    assert!(left_open > 0, "no kill fell between admitting and settling");
    // Nothing was made twice: what was made and not deleted is what is there.
    let rows = source.world.count("select count(*) from t").await as u64;
    assert_eq!(writes.creates - writes.deletes, rows, "{writes:?}");
    // Each write that a kill left open costs at most a look, and a write that was lost or fenced off again.
    let (by_tag, spent) = source.world.spent().await;
    let written = 2 * (writes.creates + writes.patches + writes.deletes);
    let verified = by_tag
        .get("verify")
        .map_or(0, |sum| sum["ru"].as_u64().expect("a sum"));
    let others = spent - written - verified;
    let runs = 2 * killed + 2;
    assert!(
        others <= 6 * left_open + 20 * runs,
        "{others} RU beside the writes for {left_open} open ones and {runs} runs: {by_tag:#?}"
    );
    assert!(
        writes.creates + writes.patches + writes.deletes <= source.touched + left_open,
        "{writes:?} for {} changes",
        source.touched
    );
}

#[tokio::test]
async fn a_08_kills_at_random_moments_lose_and_duplicate_nothing_with_a_watermark() {
    let feed = json!({"feed": "watermark", "watermark": "changed"});
    // A watermark does not show what is gone.
    killed_again_and_again(feed, &["--full"], 8).await;
}

#[tokio::test]
async fn a_08_kills_at_random_moments_lose_and_duplicate_nothing_with_full_scans() {
    killed_again_and_again(json!({"feed": "full_scan"}), &[], 88).await;
}
