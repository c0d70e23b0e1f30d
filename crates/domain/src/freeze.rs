//! Freeze windows: hours of the week in which nothing is destroyed (DESIGN §5, Guards).
//!
//! A window is what a clock on the wall of its time zone shows. Where that clock is put forward over one of its
//! ends, the end lies where the clock goes on; where a time is shown twice, the window begins with the first and
//! ends with the second: in doubt it is longer.

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::wall_clock::{self, Twice};

/// Windows that follow each other for so long never end: the same year comes again. A week is not enough, since two zones
/// put their clocks forward on different days, and what leaves a break in summer may leave none in March.
const WITHOUT_END: TimeDelta = TimeDelta::days(400);
/// A moment under the present rules of all zones, from which [`never_thaws`] looks ahead: 2026-01-01.
const RULES_OF_TODAY: i64 = 1_767_225_600;

/// A part of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeWindow {
    /// The days on which it begins, each once.
    pub days: Vec<Weekday>,
    /// When it begins.
    pub from: NaiveTime,
    /// When it ends, this moment excluded; at or before `from`, it is a time of the next day.
    pub to: NaiveTime,
    /// Whose clock this is.
    pub time_zone: Tz,
}

impl FreezeWindow {
    /// When the window ends in which `now` lies, if it lies in one.
    fn end_at(&self, now: DateTime<Utc>) -> Option<DateTime<Tz>> {
        let today = now.with_timezone(&self.time_zone).date_naive();
        // One that began yesterday may reach into today; none is longer than a day.
        let begins = [today.pred_opt(), Some(today)].into_iter().flatten();
        let ends = begins
            .filter(|day| self.days.contains(&day.weekday()))
            .filter_map(|day| {
                let last = if self.to > self.from { day } else { day.succ_opt()? };
                let start = wall_clock::instant(self.time_zone, day.and_time(self.from), Twice::First)?;
                let end = wall_clock::instant(self.time_zone, last.and_time(self.to), Twice::Second)?;
                (start <= now && now < end).then(|| end.with_timezone(&self.time_zone))
            });
        ends.max()
    }
}

/// Whether `now` lies in a window.
#[must_use]
pub fn is_frozen(windows: &[FreezeWindow], now: DateTime<Utc>) -> bool {
    windows.iter().any(|window| window.end_at(now).is_some())
}

/// Until when nothing may be destroyed, if `now` lies in a window; windows that follow each other without a break
/// count as one. Windows that leave no break at all are followed for somewhat more than a year.
#[must_use]
pub fn frozen_until(windows: &[FreezeWindow], now: DateTime<Utc>) -> Option<DateTime<Tz>> {
    let mut until: Option<DateTime<Tz>> = None;
    loop {
        let at = until.map_or(now, |until| until.with_timezone(&Utc));
        let next = windows.iter().filter_map(|window| window.end_at(at)).max();
        match next {
            Some(next) if at - now < WITHOUT_END => until = Some(next),
            _ => return until,
        }
    }
}

/// Whether these windows leave no moment in which something may be destroyed.
#[must_use]
pub fn never_thaws(windows: &[FreezeWindow]) -> bool {
    let now = DateTime::from_timestamp(RULES_OF_TODAY, 0).unwrap_or_default();
    frozen_until(windows, now).is_some_and(|until| until.with_timezone(&Utc) - now >= WITHOUT_END)
}

#[cfg(test)]
mod tests {
    use chrono::{MappedLocalTime, TimeZone as _, Timelike};
    use chrono_tz::Europe::Berlin;
    use proptest::prelude::*;

    use super::*;

    const WEEK: [Weekday; 7] = [
        Weekday::Mon,
        Weekday::Tue,
        Weekday::Wed,
        Weekday::Thu,
        Weekday::Fri,
        Weekday::Sat,
        Weekday::Sun,
    ];

    fn time(text: &str) -> NaiveTime {
        NaiveTime::parse_from_str(text, "%H:%M").unwrap()
    }

    fn window(days: &[Weekday], from: &str, to: &str, time_zone: Tz) -> FreezeWindow {
        FreezeWindow {
            days: days.to_vec(),
            from: time(from),
            to: time(to),
            time_zone,
        }
    }

    fn until(windows: &[FreezeWindow], now: &str) -> Option<String> {
        let now: DateTime<Utc> = now.parse().unwrap();
        frozen_until(windows, now).map(|until| until.format("%Y-%m-%d %H:%M").to_string())
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        // 2026-11-27 is a Friday; Berlin is an hour ahead of UTC.
        let weekend = [window(&[Weekday::Fri], "18:00", "06:00", Berlin)];
        assert_eq!(until(&weekend, "2026-11-27T16:59:59Z"), None);
        for inside in [
            "2026-11-27T17:00:00Z",
            "2026-11-27T23:30:00Z",
            "2026-11-28T04:59:59Z",
        ] {
            assert_eq!(
                until(&weekend, inside).as_deref(),
                Some("2026-11-28 06:00"),
                "{inside}"
            );
        }
        assert_eq!(until(&weekend, "2026-11-28T05:00:00Z"), None);
        assert_eq!(until(&weekend, "2026-11-28T17:30:00Z"), None, "not on a Saturday");
    }

    #[test]
    fn two_zones_may_leave_no_break_for_weeks_and_their_true_end_is_told() {
        // New York's clock goes forward on 8 March 2026, Santiago's back on 5 April: in between the breaks of one are
        // covered by the other.
        let windows = [
            window(&WEEK, "15:00", "14:00", chrono_tz::America::Santiago),
            window(&WEEK, "12:01", "00:00", chrono_tz::America::New_York),
        ];
        let now: DateTime<Utc> = "2026-03-07T17:01:00Z".parse().unwrap();
        let end = frozen_until(&windows, now).unwrap().with_timezone(&Utc);
        assert!(end - now > TimeDelta::days(8), "{end}");
        assert!(!is_frozen(&windows, end) && is_frozen(&windows, end - TimeDelta::minutes(1)));
        assert!(!never_thaws(&windows));
    }

    #[test]
    fn windows_without_a_break_are_one_and_a_whole_week_of_them_is_recognised() {
        let days = [Weekday::Sat, Weekday::Sun];
        let weekend = [
            window(&[Weekday::Fri], "18:00", "00:00", Berlin),
            window(&days, "00:00", "00:00", Berlin),
            window(&[Weekday::Mon], "00:00", "06:00", Berlin),
        ];
        let end = Some("2026-11-30 06:00");
        assert_eq!(until(&weekend, "2026-11-27T17:00:00Z").as_deref(), end);
        assert_eq!(until(&weekend, "2026-11-30T04:00:00Z").as_deref(), end);
        assert_eq!(until(&weekend, "2026-11-30T05:00:00Z"), None);
        assert!(!never_thaws(&weekend));
        assert!(never_thaws(&[window(&WEEK, "03:00", "03:00", Berlin)]));
        assert!(!never_thaws(&[window(&WEEK, "03:00", "02:59", Berlin)]));
        assert!(!never_thaws(&[]));
    }

    #[test]
    fn the_ends_of_a_window_survive_the_clock_being_put_forward_and_back() {
        // On 2026-03-29 the clock goes from 02:00 to 03:00, at 01:00 UTC.
        let spring = [window(&[Weekday::Sun], "02:30", "04:00", Berlin)];
        assert_eq!(until(&spring, "2026-03-29T00:59:59Z"), None);
        assert_eq!(
            until(&spring, "2026-03-29T01:00:00Z").as_deref(),
            Some("2026-03-29 04:00")
        );
        let ends = [window(&[Weekday::Sun], "01:00", "02:30", Berlin)];
        assert_eq!(
            until(&ends, "2026-03-29T00:59:59Z").as_deref(),
            Some("2026-03-29 03:00")
        );
        assert_eq!(until(&ends, "2026-03-29T01:00:00Z"), None);
        let swallowed = [window(&[Weekday::Sun], "02:10", "02:50", Berlin)];
        assert_eq!(until(&swallowed, "2026-03-29T01:00:00Z"), None);
        // On 2026-10-25 it goes from 03:00 back to 02:00, at 01:00 UTC.
        let autumn = [window(&[Weekday::Sun], "02:15", "02:45", Berlin)];
        assert_eq!(until(&autumn, "2026-10-25T00:14:59Z"), None);
        assert_eq!(
            until(&autumn, "2026-10-25T00:15:00Z").as_deref(),
            Some("2026-10-25 02:45")
        );
        assert_eq!(
            until(&autumn, "2026-10-25T01:44:59Z").as_deref(),
            Some("2026-10-25 02:45")
        );
        assert_eq!(until(&autumn, "2026-10-25T01:45:00Z"), None);
        // Samoa had no 2011-12-30, a Friday; what was to begin on it begins when the next day does.
        let samoa = [window(
            &[Weekday::Fri],
            "12:00",
            "18:00",
            chrono_tz::Pacific::Apia,
        )];
        assert_eq!(until(&samoa, "2011-12-30T10:00:00Z"), None);
        assert!(!never_thaws(&samoa));
    }

    /// What the wall clock alone says.
    fn shown_inside(window: &FreezeWindow, now: DateTime<Utc>) -> bool {
        let shown = now.with_timezone(&window.time_zone).naive_local();
        let (day, time) = (shown.date(), shown.time());
        let begins = |day: chrono::NaiveDate| window.days.contains(&day.weekday());
        let crosses = window.to <= window.from;
        begins(day) && time >= window.from && (crosses || time < window.to)
            || crosses && day.pred_opt().is_some_and(begins) && time < window.to
    }

    fn any_window() -> impl Strategy<Value = FreezeWindow> {
        let zones = [
            Berlin,
            chrono_tz::UTC,
            chrono_tz::America::New_York,
            chrono_tz::Australia::Lord_Howe,
            chrono_tz::America::Santiago,
            chrono_tz::Asia::Kathmandu,
        ];
        let time = (0..24_u32, 0..60_u32).prop_map(|(h, m)| NaiveTime::from_hms_opt(h, m, 0).unwrap());
        let days = prop::sample::subsequence(WEEK.to_vec(), 1..=7);
        (days, time.clone(), time, prop::sample::select(zones.to_vec())).prop_map(
            |(days, from, to, time_zone)| FreezeWindow {
                days,
                from,
                to,
                time_zone,
            },
        )
    }

    /// Seconds of the year 2026, half of them in the nights in which Europe's clocks are changed.
    fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
        let year = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z")
            .unwrap()
            .timestamp();
        let spring = DateTime::parse_from_rfc3339("2026-03-28T20:00:00Z")
            .unwrap()
            .timestamp();
        let autumn = DateTime::parse_from_rfc3339("2026-10-24T20:00:00Z")
            .unwrap()
            .timestamp();
        let seconds = prop_oneof![
            (0..365 * 86_400_i64).prop_map(move |s| year + s),
            (0..10 * 3_600_i64).prop_map(move |s| spring + s),
            (0..10 * 3_600_i64).prop_map(move |s| autumn + s),
        ];
        seconds.prop_map(|at| DateTime::from_timestamp(at, 0).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_window_is_what_the_wall_clock_shows_and_longer_only_where_a_time_comes_twice(
            window in any_window(), now in any_instant(),
        ) {
            let frozen = window.end_at(now).is_some();
            let shown = shown_inside(&window, now);
            let local = now.with_timezone(&window.time_zone).naive_local();
            let twice = matches!(window.time_zone.from_local_datetime(&local), MappedLocalTime::Ambiguous(..));
            prop_assert!(frozen || !shown, "{window:?} {now}");
            prop_assert!(shown || !frozen || twice, "{window:?} {now}");
        }

        #[test]
        fn at_its_end_nothing_is_frozen_any_more_and_a_moment_before_everything_is(
            windows in prop::collection::vec(any_window(), 1..4), now in any_instant(),
        ) {
            prop_assume!(!never_thaws(&windows));
            prop_assert_eq!(is_frozen(&windows, now), frozen_until(&windows, now).is_some());
            let Some(until) = frozen_until(&windows, now) else { return Ok(()) };
            let until = until.with_timezone(&Utc);
            prop_assert!(until > now);
            prop_assert!(frozen_until(&windows, until).is_none(), "{windows:?} {now}");
            prop_assert!(frozen_until(&windows, until - TimeDelta::seconds(1)).is_some());
            prop_assert_eq!(until.second(), 0);
        }
    }
}
