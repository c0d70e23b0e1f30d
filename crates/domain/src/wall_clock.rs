//! What the clock on a wall of a time zone shows, turned into instants.
//!
//! Twice a year most clocks are put forward or back. A time that is left out ("in a gap") is taken for the moment at which
//! the clock goes on; a time that is shown twice ("in an overlap") has two instants, and who asks says which counts.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

/// Which instant counts of a time that a clock shows twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twice {
    /// The first.
    First,
    /// The second.
    Second,
}

/// The instant at which the clock of `zone` shows `time`; in a gap, the one at which it goes on. `None` outside the
/// years that can be told.
pub(crate) fn instant(zone: Tz, time: NaiveDateTime, twice: Twice) -> Option<DateTime<Utc>> {
    let at = match (zone.from_local_datetime(&time), twice) {
        (MappedLocalTime::Single(at), _)
        | (MappedLocalTime::Ambiguous(at, _), Twice::First)
        | (MappedLocalTime::Ambiguous(_, at), Twice::Second) => at,
        (MappedLocalTime::None, _) => GapInfo::new(&time, &zone)?.end?,
    };
    Some(at.to_utc())
}

/// The first instant after `from` and not after `to` at which the clock of `zone` is put forward or back.
pub(crate) fn first_change(zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // No zone was ever changed twice within an hour.
    const STEP: TimeDelta = TimeDelta::hours(1);
    let mut before = from;
    while before < to {
        let mut after = before.checked_add_signed(STEP).map_or(to, |next| next.min(to));
        let old = offset(zone, before);
        if offset(zone, after) != old {
            while after - before > TimeDelta::seconds(1) {
                let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
                if offset(zone, middle) == old {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            return Some(after);
        }
        before = after;
    }
    None
}

/// What the clock of `zone` shows.
pub(crate) fn shown(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}

/// How far the clock of `zone` is ahead of UTC.
pub(crate) fn offset(zone: Tz, at: DateTime<Utc>) -> TimeDelta {
    shown(zone, at) - at.naive_utc()
}
