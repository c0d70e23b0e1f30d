//! Up to which watermark a pass may be called complete.
//!
//! The answer v means: rows with a watermark ≤ v that were *visible* are taken over. Rows that bear exactly v
//! may still be committed, so a cursor v is read again from v on, v included.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row as _;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::feed::Horizon;
use syncbridge_domain::pg_type::PgType;

use super::PgSource;

/// How far below the clock a ceiling stays at least. A transaction's start is taken when its first statement
/// arrives and shown in `pg_stat_activity` a moment later; a session stopped in between by the machine would
/// otherwise be missed. The price is that the rows of the last seconds are read (and found unchanged) again.
pub const CLOCK_MARGIN: Duration = Duration::from_secs(10);

/// No time zone is further ahead of UTC than 14 hours; a zone-less instant beyond that is a mistake, and one
/// such row must not push the cursor past everything that follows.
const FURTHEST_ZONE_HOURS: i64 = 14;

pub(super) async fn watermark_ceiling(
    source: &PgSource,
    horizon: &Horizon,
) -> Result<Option<(String, bool)>, Failure> {
    let statements = source.watermark_statements()?;
    let zoned = source
        .shape
        .watermark
        .as_ref()
        .is_some_and(|w| w.pg_type == PgType::TimestampTz);
    let bound = if zoned {
        below_open_transactions(horizon, source.shape.overlap)
    } else {
        horizon.clock + TimeDelta::hours(FURTHEST_ZONE_HOURS)
    };
    let found = source
        .sessions
        .run(&source.context, async |connection| {
            let mut query = sqlx::query(statements.ceiling.statement());
            if statements.ceiling_takes_bound {
                query = query.bind(postgres_text(bound));
            }
            query
                .fetch_optional(connection)
                .await?
                .map(|row| row.try_get::<String, _>(0))
                .transpose()
        })
        .await?;
    Ok(found.map(|value| (value, zoned)))
}

fn below_open_transactions(horizon: &Horizon, overlap: Duration) -> DateTime<Utc> {
    let back = |by: Duration| TimeDelta::from_std(by).map_or(DateTime::UNIX_EPOCH, |by| horizon.clock - by);
    match horizon.oldest_start {
        Some(start) => start.min(back(CLOCK_MARGIN)),
        None => back(overlap.max(CLOCK_MARGIN)),
    }
}

fn postgres_text(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

#[cfg(test)]
mod tests {
    use syncbridge_domain::feed::Lsn;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn horizon(oldest_start: Option<DateTime<Utc>>) -> Horizon {
        Horizon {
            clock: at(10_000),
            lsn: Lsn(0),
            xmin: 1,
            xmax: 1,
            oldest_start,
        }
    }

    #[test]
    fn the_ceiling_lies_below_clock_margin_and_open_transactions() {
        let overlap = Duration::from_secs(600);
        assert_eq!(
            below_open_transactions(&horizon(Some(at(10_000))), overlap),
            at(9_990)
        );
        assert_eq!(below_open_transactions(&horizon(Some(at(77))), overlap), at(77));
    }

    #[test]
    fn where_sessions_cannot_be_seen_the_overlap_decides_but_never_less_than_the_margin() {
        assert_eq!(
            below_open_transactions(&horizon(None), Duration::from_secs(600)),
            at(9_400)
        );
        assert_eq!(below_open_transactions(&horizon(None), Duration::ZERO), at(9_990));
    }
}
