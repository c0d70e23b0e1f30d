//! What tests of both directions do once something went wrong: they run until nothing happens any more, and count
//! what is left for people.

use serde_json::Value as Json;

use crate::World;

/// Runs after which everything must be quiet.
const RUNS_TO_REST: usize = 8;

impl World {
    /// Runs `t` until a run has nothing to do, whatever waits for a person.
    pub async fn until_nothing_happens(&self) {
        let mut report = Json::Null;
        for _ in 0..RUNS_TO_REST {
            let before = self.writes().await;
            report = self.run_admitted("t", &[]).await;
            let counters = &report["outcome"]["counters"];
            let still = ["inserted_rows", "updated_rows", "deleted_rows", "recovered"]
                .iter()
                .all(|kind| counters[kind] == 0);
            let state = report["outcome"]["state"].as_str().expect("a state");
            let ended = ["completed", "completed_with_errors"].contains(&state);
            if ended && still && before == self.writes().await && self.effects().await.open == 0 {
                return;
            }
        }
        panic!("{RUNS_TO_REST} runs brought no rest: {report:#}");
    }

    /// How many conflicts are on record, decided or not.
    pub async fn conflicts_kept(&self) -> i64 {
        self.meta_count("select count(*) from conflicts").await
    }

    /// How many rows are in quarantine.
    pub async fn quarantined(&self) -> i64 {
        self.meta_count("select count(*) from quarantine").await
    }
}
