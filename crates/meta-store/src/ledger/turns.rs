//! Fields that come back changed after our own writes of them: how often, and which side was written last.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ping_pong::{FieldTurn, Turned};

use super::{BATCH, DefinitionStore, bytes, identity};
use crate::error::{Error, Result};
use crate::number::from_integer;

impl DefinitionStore {
    /// What is known of the writes to fields of these identities, in the order asked.
    ///
    /// # Errors
    /// As any statement.
    pub async fn turns(&self, ids: &[Identity]) -> Result<Vec<Vec<Turned>>> {
        self.timed(async {
            let mut found: BTreeMap<Identity, Vec<Turned>> = BTreeMap::new();
            let mut connection = self.store.acquire().await?;
            for batch in ids.chunks(BATCH) {
                let rows = sqlx::query(
                    "SELECT identity, column_name, side, returns FROM field_turns
                     WHERE definition_id = $1 AND identity = ANY($2) ORDER BY identity, column_name",
                )
                .bind(self.definition.uuid())
                .bind(bytes(batch))
                .fetch_all(&mut *connection)
                .await?;
                for row in &rows {
                    let to = Side::parse(row.try_get(2)?).ok_or(Error::Damaged {
                        what: "turn of a field",
                    })?;
                    found.entry(identity(row.try_get(0)?)?).or_default().push(Turned {
                        column: row.try_get(1)?,
                        to,
                        returns: from_integer("returns", row.try_get(3)?)?,
                    });
                }
            }
            Ok(ids
                .iter()
                .map(|identity| found.remove(identity).unwrap_or_default())
                .collect())
        })
        .await
    }

    /// Counts writes that were applied. What a person decides meanwhile takes rows away, never adds to them.
    pub(super) async fn count_turns(
        &self,
        tx: &mut PgConnection,
        turns: &[(Identity, &FieldTurn)],
    ) -> Result<()> {
        // One a field, the last one; in one order, so that two callers wait for each other.
        let turns: BTreeMap<(Identity, &str), &FieldTurn> = turns
            .iter()
            .map(|(identity, turn)| ((*identity, turn.column.as_str()), *turn))
            .collect();
        let turns: Vec<((Identity, &str), &FieldTurn)> = turns.into_iter().collect();
        for batch in turns.chunks(BATCH) {
            let each = || batch.iter().map(|(_, turn)| *turn);
            sqlx::query(
                "INSERT INTO field_turns AS f
                     (definition_id, workspace_id, identity, column_name, side, returns, since, updated_at)
                 SELECT $1, $2, t.identity, t.column_name, t.side, t.restores::integer, now(), now()
                 FROM unnest($3::bytea[], $4::text[], $5::text[], $6::boolean[])
                      AS t(identity, column_name, side, restores)
                 ORDER BY t.identity, t.column_name
                 ON CONFLICT (definition_id, identity, column_name) DO UPDATE SET
                     side = excluded.side, updated_at = excluded.updated_at,
                     returns = (CASE WHEN f.since < now() - $7 * interval '1 second' THEN 0 ELSE f.returns END)
                             + (excluded.returns = 1 OR f.side = 'target' AND excluded.side = 'source')::integer,
                     since = CASE WHEN f.returns = 0 OR f.since < now() - $7 * interval '1 second'
                                  THEN excluded.since ELSE f.since END",
            )
            .bind(self.definition.uuid())
            .bind(self.workspace.uuid())
            .bind(bytes(batch.iter().map(|((identity, _), _)| identity)))
            .bind(each().map(|turn| turn.column.as_str()).collect::<Vec<_>>())
            .bind(each().map(|turn| turn.to.name()).collect::<Vec<_>>())
            .bind(each().map(|turn| turn.restores).collect::<Vec<_>>())
            .bind(each().map(|turn| turn.within.as_secs_f64()).fold(0.0, f64::max))
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }

    /// Forgets the turns of fields about which a person decided.
    pub(super) async fn forget_turns(
        &self,
        tx: &mut PgConnection,
        fields: &[(Identity, String)],
    ) -> Result<()> {
        if fields.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "DELETE FROM field_turns f USING unnest($2::bytea[], $3::text[]) AS d(identity, column_name)
             WHERE f.definition_id = $1 AND f.identity = ANY($2) AND f.identity = d.identity
               AND f.column_name = d.column_name",
        )
        .bind(self.definition.uuid())
        .bind(bytes(fields.iter().map(|(identity, _)| identity)))
        .bind(
            fields
                .iter()
                .map(|(_, column)| column.as_str())
                .collect::<Vec<_>>(),
        )
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    /// Forgets turns that led to nothing for so long that no window reaches them any more.
    pub(super) async fn forget_old_turns(&self, tx: &mut PgConnection) -> Result<()> {
        sqlx::query(
            "DELETE FROM field_turns f
             WHERE f.definition_id = $1 AND f.updated_at < clock_timestamp() - make_interval(days => $2)
               AND NOT EXISTS (SELECT FROM conflicts c
                               WHERE c.definition_id = $1 AND c.identity = f.identity
                                 AND c.column_name = f.column_name AND c.kind = 'parked' AND c.closed_at IS NULL)",
        )
        .bind(self.definition.uuid())
        .bind(LONGEST_WINDOW_DAYS)
        .execute(&mut *tx)
        .await?;
        Ok(())
    }
}

/// The longest time that a document can name.
const LONGEST_WINDOW_DAYS: i32 = 366;
