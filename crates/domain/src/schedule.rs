//! When a scheduled run is due (DESIGN §8): cron, interval or once, in a time zone, from a date to a date.
//!
//! **Clocks that are put forward and back.** A cron pattern whose seconds, minutes and hours are all listed (`30 2 * * *`,
//! `0 9-17 * * *`) names times that a clock on the wall shows: each fires once, with the first pass where the clock
//! shows it twice, and where the clock leaves it out at the moment at which it goes on; two that fall on one moment
//! fire once. A pattern with `*` among them (`*/15 * * * *`, `0 * * * *`) asks for a rhythm: it fires whenever the clock
//! shows such a time, in both passes, and not in a gap. Intervals know no clock.
//!
//! A moment is whole seconds. The same schedule answers the same moments on every replica and after every restart, so
//! that a run can be named by them.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

mod pattern;

pub use pattern::{CronPattern, PatternError};

/// What repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rhythm {
    /// What a cron pattern names on the clock of `time_zone`.
    Cron {
        /// The pattern.
        pattern: CronPattern,
        /// Whose clock it is.
        time_zone: Tz,
    },
    /// Again and again after as many seconds, counted from `anchor`.
    Every {
        /// Seconds between two runs, at least one.
        seconds: u32,
        /// A moment at which a run is due; those before and after it follow from it.
        anchor: DateTime<Utc>,
    },
    /// A single moment.
    Once {
        /// The moment.
        at: DateTime<Utc>,
    },
}

/// When runs are due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// What repeats.
    pub rhythm: Rhythm,
    /// No run before this moment.
    pub start: Option<DateTime<Utc>>,
    /// No run after this moment.
    pub end: Option<DateTime<Utc>>,
    /// Each run is put off by up to as many seconds, the same ones whenever it is asked ([`Schedule::delay`]).
    pub jitter_seconds: u32,
    /// How late a run may begin, in seconds; what is later was missed, and is told. `None`: however late.
    pub catch_up_seconds: Option<u32>,
}

/// What became due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Moments whose run begins now, the earliest first.
    pub fire: Vec<DateTime<Utc>>,
    /// How many were too late to be caught up with.
    pub missed: u64,
    /// The last of those.
    pub last_missed: Option<DateTime<Utc>>,
    /// Whether there are more than were asked for: ask again from the last moment told.
    pub more: bool,
}

impl Due {
    /// The moment up to which this answer goes; `None` where nothing was due.
    #[must_use]
    pub fn up_to(&self) -> Option<DateTime<Utc>> {
        self.fire.last().copied().max(self.last_missed)
    }
}

impl Schedule {
    /// A schedule with no limits and no jitter, every run of which is caught up with.
    #[must_use]
    pub fn new(rhythm: Rhythm) -> Self {
        Self {
            rhythm,
            start: None,
            end: None,
            jitter_seconds: 0,
            catch_up_seconds: None,
        }
    }

    /// The first moment after `after` at which a run is due, jitter not counted. `None`: never again.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before_start = self.start.map(|start| start - TimeDelta::nanoseconds(1));
        let after = before_start.map_or(after, |start| start.max(after));
        let next = match &self.rhythm {
            Rhythm::Cron { pattern, time_zone } => pattern.next_after(*time_zone, after)?,
            Rhythm::Every { seconds, anchor } => next_interval(*seconds, *anchor, after)?,
            Rhythm::Once { at } => (*at > after).then_some(*at)?,
        };
        self.end.is_none_or(|end| next <= end).then_some(next)
    }

    /// The next `count` moments after `after`.
    pub fn preview(&self, after: DateTime<Utc>, count: usize) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        std::iter::successors(self.next_after(after), |last| self.next_after(*last)).take(count)
    }

    /// What became due after `after` and not after `now`: at most `most` runs to begin. Those that are older than the
    /// catch-up window are counted, up to a bound, and never begun.
    ///
    /// `name` tells this schedule from others, for its jitter.
    #[must_use]
    pub fn due(&self, name: &[u8], after: DateTime<Utc>, now: DateTime<Utc>, most: usize) -> Due {
        // So many missed moments are counted one by one; a schedule that stood still for longer is told so in turns.
        const MOST_MISSED: u64 = 100_000;
        let mut due = Due::default();
        let mut last = after;
        while let Some(next) = self.next_after(last) {
            let begins = next + self.delay(name, next);
            if begins > now {
                break;
            }
            if due.fire.len() == most || due.missed == MOST_MISSED {
                due.more = true;
                break;
            }
            let too_late = self
                .catch_up_seconds
                .is_some_and(|seconds| now - begins > TimeDelta::seconds(i64::from(seconds)));
            if too_late {
                due.missed += 1;
                due.last_missed = Some(next);
            } else {
                due.fire.push(next);
            }
            last = next;
        }
        due
    }

    /// By how much the run of a moment is put off: less than the jitter, never past the next run, evenly spread over
    /// schedules and moments, and the same one on every replica.
    #[must_use]
    pub fn delay(&self, name: &[u8], moment: DateTime<Utc>) -> TimeDelta {
        if self.jitter_seconds == 0 {
            return TimeDelta::zero();
        }
        let mut hash = blake3::Hasher::new();
        hash.update(name);
        hash.update(&moment.timestamp().to_le_bytes());
        let mut draw = [0; 8];
        hash.finalize_xof().fill(&mut draw);
        // Below a second as well, so that ten thousand schedules of one minute do not begin at sixty moments.
        let span = u64::from(self.jitter_seconds) * 1_000;
        let jitter =
            TimeDelta::milliseconds(i64::try_from(u64::from_le_bytes(draw) % span).unwrap_or_default());
        match self.next_after(moment) {
            Some(next) => jitter.min(next - moment - TimeDelta::milliseconds(1)),
            None => jitter,
        }
    }
}

fn next_interval(seconds: u32, anchor: DateTime<Utc>, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let period = i64::from(seconds.max(1));
    // Rounded down, so that what lies before the anchor is counted backwards.
    let whole = (after - anchor).num_nanoseconds().map_or_else(
        || (after - anchor).num_seconds().div_euclid(period),
        |nanoseconds| nanoseconds.div_euclid(period.checked_mul(1_000_000_000).unwrap_or(i64::MAX)),
    );
    let seconds = whole.checked_add(1)?.checked_mul(period)?;
    anchor.checked_add_signed(TimeDelta::try_seconds(seconds)?)
}

#[cfg(test)]
mod tests;
