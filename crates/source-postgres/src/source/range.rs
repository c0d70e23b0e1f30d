//! Rows between two keys, and which keys lie between two others: the database's own order decides both.

use sqlx::Row as _;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::identity::Key;
use syncbridge_domain::verification::KeyRange;

use super::{PgSource, SourcePage};
use crate::sql::Sql;

impl PgSource {
    /// Rows of a range in key order, behind `after` where that is given, at most `limit`.
    ///
    /// # Errors
    /// As [`PgSource::page_by_key`]; `source.key_changed` for an end that is no key of this table.
    pub async fn page_in_range(
        &self,
        range: &KeyRange,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<SourcePage, Failure> {
        let statements = &self.statements.ranges;
        let (sql, keys) = match (after.or(range.from.as_ref()), &range.to) {
            (None, None) => (&self.statements.key_first, [None, None]),
            (None, Some(to)) => (&statements.to, [Some(to), None]),
            (Some(key), None) if after.is_some() => (&self.statements.key_next, [Some(key), None]),
            (Some(key), None) => (&statements.from, [Some(key), None]),
            (Some(key), Some(to)) if after.is_some() => (&statements.next_to, [Some(key), Some(to)]),
            (Some(key), Some(to)) => (&statements.from_to, [Some(key), Some(to)]),
        };
        if after.is_none() {
            self.refuse_null_keys().await?;
        }
        let mut values = Vec::new();
        for key in keys.into_iter().flatten() {
            values.extend(self.key_values(key)?);
        }
        self.page(sql, values, limit).await
    }

    /// Which of these keys lie in a range, whether there are such rows or not. One answer a key, in order.
    ///
    /// # Errors
    /// As every read.
    pub async fn in_range(&self, range: &KeyRange, keys: &[Key]) -> Result<Vec<bool>, Failure> {
        let mut inside = vec![true; keys.len()];
        let statements = &self.statements.ranges;
        let ends = [
            (&range.from, &statements.not_before),
            (&range.to, &statements.not_behind),
        ];
        for (end, sql) in ends {
            if let Some(end) = end {
                let found = self.compared(sql, keys, end).await?;
                inside
                    .iter_mut()
                    .zip(found)
                    .for_each(|(inside, found)| *inside &= found);
            }
        }
        Ok(inside)
    }

    async fn compared(&self, sql: &Sql, keys: &[Key], end: &Key) -> Result<Vec<bool>, Failure> {
        let columns = super::keys::columns_of(self, keys)?;
        let end = self.key_values(end)?;
        let ordinals = self
            .sessions
            .run(&self.context, async |connection| {
                let mut query = sqlx::query(sql.statement());
                for column in columns {
                    query = query.bind(column);
                }
                for value in end {
                    query = query.bind(value);
                }
                let rows = query.fetch_all(connection).await?;
                rows.iter()
                    .map(|row| row.try_get::<i64, _>(0))
                    .collect::<Result<Vec<i64>, _>>()
            })
            .await?;
        let mut found = vec![false; keys.len()];
        for ordinal in ordinals {
            if let Some(place) = usize::try_from(ordinal - 1).ok().and_then(|at| found.get_mut(at)) {
                *place = true;
            }
        }
        Ok(found)
    }
}
