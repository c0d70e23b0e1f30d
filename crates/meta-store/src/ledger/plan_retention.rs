//! Plans that are over: their changes hold values, and go with the history of their time.

use std::time::Duration;

use syncbridge_domain::effect::Fence;

use super::DefinitionStore;
use crate::error::Result;

/// Plans of a definition that nobody can run any more, and that are older than they are kept.
const OVER: &str = "\
SELECT plan_id FROM plans
WHERE definition_id = $1 AND created_at < now() - $2 * interval '1 second'
  AND (state IN ('applied', 'discarded', 'expired') OR state IN ('open', 'approved') AND expires_at <= now())";

impl DefinitionStore {
    /// Lets plans go that are over and older than this: at most so many of their changes at once, as many of their
    /// remarks, and themselves once nothing is left of them. A plan whose run ended without completing it is given up
    /// first. Answers how many changes and remarks went.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`].
    pub async fn forget_plans(&self, fence: Fence, older_than: Duration, most: u32) -> Result<u64> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            sqlx::query(
                "UPDATE plans p SET state = 'discarded'
                 WHERE p.definition_id = $1 AND p.state = 'building'
                   AND (p.created_at < now() - interval '1 day'
                        OR EXISTS (SELECT FROM runs r WHERE r.run_id = p.run_id AND r.ended_at IS NOT NULL))",
            )
            .bind(self.definition.uuid())
            .execute(&mut *tx)
            .await?;
            let mut gone = 0;
            for (table, number) in [("plan_rows", "ordinal"), ("plan_remarks", "number")] {
                let statement = format!(
                    "DELETE FROM {table} t
                     USING (SELECT plan_id, identity, {number} FROM {table} WHERE plan_id IN ({OVER}) LIMIT $3) old
                     WHERE t.plan_id = old.plan_id AND t.identity = old.identity AND t.{number} = old.{number}"
                );
                let done = sqlx::query(sqlx::AssertSqlSafe(statement))
                    .bind(self.definition.uuid())
                    .bind(older_than.as_secs_f64())
                    .bind(i64::from(most))
                    .execute(&mut *tx)
                    .await?;
                gone += done.rows_affected();
            }
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "DELETE FROM plans p USING ({OVER}) over
                 WHERE p.plan_id = over.plan_id
                   AND NOT EXISTS (SELECT FROM plan_rows r WHERE r.plan_id = p.plan_id)
                   AND NOT EXISTS (SELECT FROM plan_remarks r WHERE r.plan_id = p.plan_id)"
            )))
            .bind(self.definition.uuid())
            .bind(older_than.as_secs_f64())
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(gone)
        })
        .await
    }
}
