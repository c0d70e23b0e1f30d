//! What most tests do first and again and again: a definition `t` of the table `t`, and runs that go well.

use serde_json::Value as Json;

use crate::{Ran, World, Writes};

impl World {
    /// Applies the catalog and a definition `t` of the table `public.t`; `more` as in [`World::definition`].
    pub fn applied(&self, more: Json) -> Ran {
        self.apply(&self.definition("t", "public.t", more)).ok()
    }

    /// Runs `t`, fails unless the run is completed, and counts what it wrote.
    pub async fn completed(&self, more: &[&str]) -> Writes {
        self.completed_of("t", more).await
    }

    /// As [`World::completed`], for a definition of another name.
    pub async fn completed_of(&self, name: &str, more: &[&str]) -> Writes {
        self.ended(name, more, "completed").await.0
    }

    /// Runs a definition, fails unless the run ends in this state, and answers what it wrote, and its report.
    pub async fn ended(&self, name: &str, more: &[&str], state: &str) -> (Writes, Json) {
        self.reset_account().await;
        let report = self.run_with(name, more);
        assert_eq!(report["outcome"]["state"], state, "{name} {more:?}: {report:#}");
        (self.writes().await, report)
    }
}
