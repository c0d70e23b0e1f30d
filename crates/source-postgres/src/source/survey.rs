//! What has to be counted in a table before its first sync: things that no constraint promises and the list will
//! mind.

use sqlx::Row as _;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::preflight::{SourceSurvey, SurveyWish};

use super::PgSource;
use crate::sql::Sql;

impl PgSource {
    /// Counts what a pre-flight wants to know. Reads the whole table several times where the server cannot promise
    /// unique keys, where keys are texts, and where `wish` asks for it.
    ///
    /// # Errors
    /// As every read; `source.statement_timeout` for a table too large to be counted in the time a statement has.
    pub async fn survey(&self, wish: &SurveyWish) -> Result<SourceSurvey, Failure> {
        let mut survey = self.sessions_seen().await?;
        survey.enforces_keys = !self.null_keys_possible;
        survey.relation = self.relation;
        let statements = &self.statements;
        if self.null_keys_possible {
            survey.duplicate_keys = self.count(&statements.duplicate_keys(), &[]).await?;
        }
        if let Some(by_case) = statements.keys_by_case() {
            survey.keys_by_case = self.count(&by_case, &[]).await?;
        }
        for at in &wish.unique {
            let rows = self.count(&statements.repeated(*at), &[]).await?;
            if rows > 0 {
                survey.repeated.push((self.column_name(*at), rows));
            }
        }
        for (at, low, high) in &wish.bounds {
            let rows = self.count(&statements.out_of_bounds(*at), &[*low, *high]).await?;
            if rows > 0 {
                survey.out_of_bounds.push((self.column_name(*at), rows));
            }
        }
        Ok(survey)
    }

    fn column_name(&self, at: usize) -> String {
        self.shape
            .columns
            .get(at)
            .map(|column| column.name.clone())
            .unwrap_or_default()
    }

    async fn sessions_seen(&self) -> Result<SourceSurvey, Failure> {
        self.sessions
            .run(&self.context, async |connection| {
                let row = sqlx::query(
                    "SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), \
                            pg_catalog.pg_is_in_recovery()",
                )
                .fetch_one(connection)
                .await?;
                Ok(SourceSurvey {
                    sees_sessions: row.try_get(0)?,
                    standby: row.try_get(1)?,
                    ..SourceSurvey::default()
                })
            })
            .await
    }

    async fn count(&self, sql: &Sql, numbers: &[f64]) -> Result<u64, Failure> {
        self.sessions
            .run(&self.context, async |connection| {
                let mut query = sqlx::query(sql.statement()).persistent(false);
                for number in numbers {
                    query = query.bind(*number);
                }
                let count: i64 = query.fetch_one(connection).await?.try_get(0)?;
                Ok(u64::try_from(count).unwrap_or(0))
            })
            .await
    }
}
