//! How changes of a source are noticed, and how far that was durably taken over.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::identity::Key;

/// A way to notice changes of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedKind {
    /// Pages above the last value of an ordered column.
    Watermark,
    /// The whole table, compared by digest.
    FullScan,
}

/// Write-ahead log position. Any role may read it; it orders source states inside one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Lsn(pub u64);

/// How new a source state is. The generation rises with every re-anchor or fork, because positions of
/// different histories do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Mark {
    /// Rises at every re-anchor or fork.
    pub generation: u32,
    /// Taken before the snapshot that the read used.
    pub lsn: Lsn,
}

/// What was true in the source just before a pass looked at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizon {
    /// The source's clock.
    pub clock: DateTime<Utc>,
    /// WAL position.
    pub lsn: Lsn,
    /// Oldest transaction id still running in this snapshot (`txid_snapshot_xmin`, 64 bit).
    pub xmin: u64,
    /// First transaction id not yet assigned in this snapshot.
    pub xmax: u64,
    /// Start of the oldest transaction that is open now, with or without a transaction id; equals `clock`
    /// when none is. `None`: the role may not see other sessions (`pg_read_all_stats` is missing).
    pub oldest_start: Option<DateTime<Utc>>,
}

/// A watermark value that becomes the cursor once no transaction that was running when it was taken is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingWatermark {
    /// Raw text of the watermark.
    pub value: String,
    /// Adopted when a later snapshot's `xmin` has reached this …
    pub xmax: u64,
    /// … and every transaction then open started at or after this. `None` where the value itself already lies
    /// below the start of every transaction that was open (a server-written `timestamptz` under its ceiling).
    pub clock: Option<DateTime<Utc>>,
}

/// How far a source feed was durably taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Cursor {
    /// The first copy, in key order.
    FirstCopy {
        /// Rows up to this key are applied, dirty or quarantined; `None` before the first.
        after: Option<Key>,
        /// The watermark value that held when the copy began.
        pending: Vec<PendingWatermark>,
    },
    /// The first copy is complete.
    Steady {
        /// Everything below is taken over; `None` for feeds without a watermark or an empty table.
        watermark: Option<String>,
        /// Values waiting for transactions to end, oldest first.
        pending: Vec<PendingWatermark>,
    },
}

impl Default for Cursor {
    fn default() -> Self {
        Cursor::FirstCopy {
            after: None,
            pending: Vec::new(),
        }
    }
}

/// Splits pending watermarks into the newest that may now be adopted and those still waiting.
///
/// A value may be adopted when every transaction that ran while it was taken has ended: those with an id are
/// below `xmax`, those without one started before `clock`. Where other sessions cannot be seen the second
/// half cannot be judged and only ids decide; the reader then overlaps instead (DESIGN §7).
#[must_use]
pub fn adoptable(pending: &[PendingWatermark], now: &Horizon) -> (Option<String>, Vec<PendingWatermark>) {
    let ripe = |p: &PendingWatermark| {
        let started_later = |clock| now.oldest_start.is_none_or(|start| start >= clock);
        now.xmin >= p.xmax && p.clock.is_none_or(started_later)
    };
    match pending.iter().rposition(ripe) {
        Some(at) => (Some(pending[at].value.clone()), pending[at + 1..].to_vec()),
        None => (None, pending.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn horizon(xmin: u64, oldest: i64) -> Horizon {
        Horizon {
            clock: at(1000),
            lsn: Lsn(0),
            xmin,
            xmax: 999,
            oldest_start: Some(at(oldest)),
        }
    }

    fn waiting(value: &str, xmax: u64, clock: i64) -> PendingWatermark {
        PendingWatermark {
            value: value.into(),
            xmax,
            clock: Some(at(clock)),
        }
    }

    #[test]
    fn a_watermark_waits_for_transactions_with_an_id() {
        let pending = [waiting("a", 10, 5)];
        assert_eq!(adoptable(&pending, &horizon(9, 100)).0, None);
        assert_eq!(adoptable(&pending, &horizon(10, 100)).0.as_deref(), Some("a"));
    }

    #[test]
    fn a_watermark_waits_for_transactions_that_had_no_id_yet() {
        let pending = [waiting("a", 10, 5)];
        assert_eq!(adoptable(&pending, &horizon(50, 4)).0, None);
        assert_eq!(adoptable(&pending, &horizon(50, 5)).0.as_deref(), Some("a"));
    }

    #[test]
    fn the_newest_ripe_value_is_taken_and_later_ones_wait_on() {
        let pending = [waiting("a", 10, 1), waiting("b", 20, 2), waiting("c", 30, 3)];
        let (adopted, rest) = adoptable(&pending, &horizon(25, 100));
        assert_eq!(adopted.as_deref(), Some("b"));
        assert_eq!(rest, vec![waiting("c", 30, 3)]);
    }
}
