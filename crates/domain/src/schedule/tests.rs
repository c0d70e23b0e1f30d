//! Moments against an oracle that knows nothing of patterns and transitions: it walks through time, looks at the clock on
//! the wall, and applies the written rule.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDateTime, TimeZone, Timelike, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::wall_clock;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(pattern: &str, zone: Tz) -> Schedule {
    Schedule::new(Rhythm::Cron {
        pattern: pattern.parse().unwrap(),
        time_zone: zone,
    })
}

/// The moments of a pattern as its own clock shows them.
fn shown(pattern: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
    cron(pattern, zone)
        .preview(utc(after), count)
        .map(|at| at.with_timezone(&zone).format("%m-%d %H:%M:%S %:z").to_string())
        .collect()
}

const NEW_YORK: Tz = Tz::America__New_York;

#[test]
fn d_03_a_listed_time_fires_once_on_each_day_of_a_change() {
    // Clocks went from 02:00 to 03:00 on 8 March 2026 and from 02:00 back to 01:00 on 1 November.
    assert_eq!(
        shown("30 2 * * *", NEW_YORK, "2026-03-07T12:00:00Z", 2),
        ["03-08 03:00:00 -04:00", "03-09 02:30:00 -04:00"]
    );
    assert_eq!(
        shown("30 1 * * *", NEW_YORK, "2026-10-31T12:00:00Z", 2),
        ["11-01 01:30:00 -04:00", "11-02 01:30:00 -05:00"]
    );
    assert_eq!(
        shown("0,20,40 2-3 * * *", NEW_YORK, "2026-03-07T12:00:00Z", 4),
        [
            "03-08 03:00:00 -04:00",
            "03-08 03:20:00 -04:00",
            "03-08 03:40:00 -04:00",
            "03-09 02:00:00 -04:00"
        ]
    );
}

#[test]
fn d_03_a_rhythm_goes_on_by_elapsed_time() {
    assert_eq!(
        shown("*/30 * * * *", NEW_YORK, "2026-11-01T04:59:00Z", 5),
        [
            "11-01 01:00:00 -04:00",
            "11-01 01:30:00 -04:00",
            "11-01 01:00:00 -05:00",
            "11-01 01:30:00 -05:00",
            "11-01 02:00:00 -05:00"
        ]
    );
    assert_eq!(
        shown("0 * * * *", NEW_YORK, "2026-03-08T05:30:00Z", 3),
        [
            "03-08 01:00:00 -05:00",
            "03-08 03:00:00 -04:00",
            "03-08 04:00:00 -04:00"
        ]
    );
}

#[test]
fn d_03_a_day_that_was_left_out_fires_where_the_clock_goes_on() {
    // Samoa went from 29 to 31 December 2011.
    let zone = Tz::Pacific__Apia;
    assert_eq!(
        shown("0 12 30 12 *", zone, "2011-12-01T00:00:00Z", 2),
        ["12-31 00:00:00 +14:00", "12-30 12:00:00 +14:00"]
    );
}

#[test]
fn d_03_days_of_months_and_weeks_are_counted_as_people_say_them() {
    let next = |pattern: &str| {
        cron(pattern, Tz::UTC)
            .next_after(utc("2026-11-30T23:30:00Z"))
            .unwrap()
            .format("%Y-%m-%d %H:%M:%S")
            .to_string()
    };
    for (pattern, expected) in [
        ("0 0 L * *", "2026-12-31 00:00:00"),
        ("0 0 15W * *", "2026-12-15 00:00:00"),
        ("0 0 * * FRI#2", "2026-12-11 00:00:00"),
        ("0 0 * * 5L", "2026-12-25 00:00:00"),
        ("0 0 * * 1-5", "2026-12-01 00:00:00"),
        ("0 0 * * 7", "2026-12-06 00:00:00"),
        ("0 0 13 * FRI", "2026-12-04 00:00:00"),
        ("0 0 13 * +FRI", "2027-08-13 00:00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("15 30 8 * JAN MON", "2027-01-04 08:30:15"),
        ("@daily", "2026-12-01 00:00:00"),
        ("@hourly", "2026-12-01 00:00:00"),
    ] {
        assert_eq!(next(pattern), expected, "{pattern}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_and_what_never_fires_as_well() {
    for text in [
        "",
        "* * * *",
        "61 * * * *",
        "a b c d e",
        "0 0 0 1 1 * 2030",
        "0 0 1 1 *\u{e4}",
        &"1,".repeat(200),
    ] {
        assert!(
            matches!(text.parse::<CronPattern>(), Err(PatternError::Unreadable(_))),
            "{text}"
        );
    }
    for text in ["0 0 31 2 *", "0 0 30 FEB *", "0 0 31 4,6,9,11 *"] {
        assert_eq!(text.parse::<CronPattern>(), Err(PatternError::Never), "{text}");
    }
}

#[test]
fn d_03_intervals_are_counted_from_their_anchor_in_both_directions() {
    let every = Schedule::new(Rhythm::Every {
        seconds: 90,
        anchor: utc("2026-03-08T06:59:00Z"),
    });
    let next = |after: &str| every.next_after(utc(after)).unwrap();
    assert_eq!(next("2026-03-08T06:58:59.999Z"), utc("2026-03-08T06:59:00Z"));
    assert_eq!(next("2026-03-08T06:59:00Z"), utc("2026-03-08T07:00:30Z"));
    assert_eq!(next("2026-03-08T06:56:30Z"), utc("2026-03-08T06:57:30Z"));
    // A year's seconds are no multiple of 90: forty years before, the same phase.
    let long_before = next("1986-03-08T00:00:00Z");
    assert_eq!((utc("2026-03-08T06:59:00Z") - long_before).num_seconds() % 90, 0);
    assert!(long_before - utc("1986-03-08T00:00:00Z") <= TimeDelta::seconds(90));
}

#[test]
fn limits_hold_and_both_ends_count() {
    let mut schedule = cron("0 * * * *", Tz::UTC);
    schedule.start = Some(utc("2026-01-01T05:00:00Z"));
    schedule.end = Some(utc("2026-01-01T07:00:00Z"));
    let all: Vec<_> = schedule.preview(utc("2025-06-01T00:00:00Z"), 10).collect();
    assert_eq!(
        all,
        ["05", "06", "07"].map(|hour| utc(&format!("2026-01-01T{hour}:00:00Z")))
    );
    let once = Schedule::new(Rhythm::Once {
        at: utc("2026-01-01T05:00:00Z"),
    });
    assert_eq!(once.preview(utc("2026-01-01T04:59:59Z"), 5).count(), 1);
    assert_eq!(once.next_after(utc("2026-01-01T05:00:00Z")), None);
}

#[test]
fn what_is_too_late_is_counted_and_the_rest_begins_in_order() {
    let mut schedule = cron("*/10 * * * *", Tz::UTC);
    schedule.catch_up_seconds = Some(1_800);
    let (after, now) = (utc("2026-01-01T00:00:00Z"), utc("2026-01-01T02:00:05Z"));
    let due = schedule.due(b"nightly", after, now, 100);
    assert_eq!(due.missed, 9, "00:10 to 01:30");
    assert_eq!(due.last_missed, Some(utc("2026-01-01T01:30:00Z")));
    assert_eq!(
        due.fire,
        ["01:40", "01:50", "02:00"].map(|time| utc(&format!("2026-01-01T{time}:00Z")))
    );
    assert!(!due.more);
    assert_eq!(due.up_to(), Some(utc("2026-01-01T02:00:00Z")));

    schedule.catch_up_seconds = None;
    let first = schedule.due(b"nightly", after, now, 5);
    assert_eq!((first.fire.len(), first.missed, first.more), (5, 0, true));
    let rest = schedule.due(b"nightly", first.up_to().unwrap(), now, 100);
    assert_eq!((rest.fire.len(), rest.more), (7, false));
    assert_eq!(schedule.due(b"nightly", now, now, 100), Due::default());
}

#[test]
fn jitter_is_the_same_everywhere_differs_between_schedules_and_changes_no_order() {
    let mut schedule = cron("* * * * *", Tz::UTC);
    schedule.jitter_seconds = 300;
    let moments: Vec<_> = schedule.preview(utc("2026-01-01T00:00:00Z"), 200).collect();
    let begins: Vec<_> = moments
        .iter()
        .map(|at| *at + schedule.delay(b"one", *at))
        .collect();
    assert!(begins.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(
        begins
            .iter()
            .zip(&moments)
            .all(|(begin, at)| *begin - *at < TimeDelta::minutes(1))
    );
    assert_eq!(begins[7], moments[7] + schedule.delay(b"one", moments[7]));
    let other: Vec<_> = moments
        .iter()
        .map(|at| *at + schedule.delay(b"two", *at))
        .collect();
    assert_ne!(begins, other);

    // A run is due once its delay has passed, and neither before nor twice.
    let (at, begin) = (moments[0], begins[0]);
    let before = schedule.due(
        b"one",
        at - TimeDelta::seconds(1),
        begin - TimeDelta::milliseconds(1),
        10,
    );
    assert!(before.fire.is_empty());
    let then = schedule.due(b"one", at - TimeDelta::seconds(1), begin, 10);
    assert_eq!(then.fire, [at]);
    assert!(schedule.due(b"one", at, begin, 10).fire.is_empty());
}

#[test]
fn a_schedule_is_the_same_after_it_was_stored() {
    let mut schedule = cron("0 6 * * MON-FRI", Tz::Europe__Berlin);
    schedule.end = Some(utc("2027-01-01T00:00:00Z"));
    let text = serde_json::to_string(&schedule).unwrap();
    assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    let broken = text.replace("0 6 * * MON-FRI", "0 6 * *");
    assert!(serde_json::from_str::<Schedule>(&broken).is_err());
}

// The oracle.

/// A pattern as sets, so that the oracle need not read any.
#[derive(Clone, Debug)]
struct Times {
    seconds: BTreeSet<u32>,
    minutes: BTreeSet<u32>,
    /// `None`: `*`.
    hours: Option<BTreeSet<u32>>,
    days: Option<BTreeSet<u32>>,
    months: Option<BTreeSet<u32>>,
    weekdays: Option<BTreeSet<u32>>,
}

impl Times {
    fn pattern(&self) -> String {
        let list = |set: &BTreeSet<u32>| {
            let values: Vec<String> = set.iter().map(u32::to_string).collect();
            values.join(",")
        };
        let field = |set: &Option<BTreeSet<u32>>| set.as_ref().map_or_else(|| "*".to_owned(), list);
        let weekdays = self.weekdays.as_ref().map_or_else(
            || "*".to_owned(),
            |set| {
                let names: Vec<&str> = set
                    .iter()
                    .map(|day| ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"][*day as usize])
                    .collect();
                names.join(",")
            },
        );
        format!(
            "{} {} {} {} {} {weekdays}",
            list(&self.seconds),
            list(&self.minutes),
            field(&self.hours),
            field(&self.days),
            field(&self.months)
        )
    }

    fn is_rhythm(&self) -> bool {
        self.hours.is_none()
    }

    fn has(&self, time: NaiveDateTime) -> bool {
        let among =
            |set: &Option<BTreeSet<u32>>, value: u32| set.as_ref().is_none_or(|set| set.contains(&value));
        let day = among(&self.days, time.day());
        let weekday = among(&self.weekdays, time.weekday().num_days_from_sunday());
        let on_day = match (&self.days, &self.weekdays) {
            (Some(_), Some(_)) => day || weekday,
            _ => day && weekday,
        };
        self.seconds.contains(&time.second())
            && self.minutes.contains(&time.minute())
            && among(&self.hours, time.hour())
            && among(&self.months, time.month())
            && on_day
    }
}

/// The moments in `(from, to]`, by walking. All seconds of a pattern are multiples of `step`, which divides all offsets.
fn walked(times: &Times, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>, step: i64) -> Vec<DateTime<Utc>> {
    let clock = |at: DateTime<Utc>| zone.from_utc_datetime(&at.naive_utc()).naive_local();
    let step = TimeDelta::seconds(step);
    // What the clock has shown by `from`: as far as it ever was, within two days.
    let mut reached = clock(from);
    let mut at = from - TimeDelta::days(2);
    while at < from {
        reached = reached.max(clock(at));
        at += step;
    }
    let mut moments = Vec::new();
    let mut at = from + step;
    while at <= to {
        let now = clock(at);
        if times.is_rhythm() {
            if times.has(now) {
                moments.push(at);
            }
        } else {
            let mut passed = reached + step;
            let mut fires = false;
            while passed <= now {
                fires |= times.has(passed);
                passed += step;
            }
            if fires {
                moments.push(at);
            }
            reached = reached.max(now);
        }
        at += step;
    }
    moments
}

fn a_set(values: std::ops::Range<u32>, most: usize) -> impl Strategy<Value = BTreeSet<u32>> {
    proptest::collection::btree_set(values, 1..=most)
}

fn any_times() -> impl Strategy<Value = Times> {
    let or_any = |set: BoxedStrategy<BTreeSet<u32>>| prop_oneof![2 => Just(None), 1 => set.prop_map(Some)];
    (
        prop_oneof![4 => Just(BTreeSet::from([0])), 1 => Just(BTreeSet::from([30])), 1 => Just(BTreeSet::from([0, 30]))],
        a_set(0..60, 6),
        prop_oneof![1 => Just(None), 3 => a_set(0..24, 8).prop_map(Some), 2 => a_set(0..4, 3).prop_map(Some)],
        or_any(a_set(1..32, 12).boxed()),
        or_any(a_set(1..13, 6).boxed()),
        or_any(a_set(0..7, 4).boxed()),
    )
        .prop_map(|(seconds, minutes, hours, days, months, weekdays)| Times {
            seconds,
            minutes,
            hours,
            days,
            months,
            weekdays,
        })
}

/// All changes of a zone's clock between 1970 and 2038.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    let (mut from, to) = (utc("1970-01-02T00:00:00Z"), utc("2038-01-01T00:00:00Z"));
    let mut all = Vec::new();
    while let Some(change) = wall_clock::first_change(zone, from, to) {
        all.push(change);
        from = change;
    }
    all
}

/// Compares schedule and oracle from two days before a change to two days after it, from a random moment on.
fn agree(times: &Times, zone: Tz, change: DateTime<Utc>, lead: i64) -> Result<(), TestCaseError> {
    // Whole half minutes: all offsets since 1970 are multiples of them.
    let change = change - TimeDelta::seconds(change.timestamp().rem_euclid(30));
    let from = change - TimeDelta::seconds(lead * 30);
    let to = change + TimeDelta::days(2);
    let Ok(pattern) = times.pattern().parse::<CronPattern>() else {
        return Err(TestCaseError::reject("never fires"));
    };
    let schedule = Schedule::new(Rhythm::Cron {
        pattern,
        time_zone: zone,
    });
    let told: Vec<_> = std::iter::successors(schedule.next_after(from), |last| schedule.next_after(*last))
        .take_while(|at| *at <= to)
        .collect();
    prop_assert_eq!(
        told,
        walked(times, zone, from, to, 30),
        "{} in {} from {}",
        times.pattern(),
        zone,
        from
    );
    Ok(())
}

/// Zones whose clocks did what few others do: half an hour, at midnight, a whole day, twice a year around Ramadan, by seconds,
/// back in summer.
const ODD: [Tz; 16] = [
    Tz::America__New_York,
    Tz::Europe__London,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
    Tz::Pacific__Kwajalein,
    Tz::Africa__Casablanca,
    Tz::America__St_Johns,
    Tz::America__Sao_Paulo,
    Tz::Antarctica__Troll,
    Tz::Asia__Tehran,
    Tz::Asia__Pyongyang,
    Tz::Africa__Monrovia,
    Tz::Europe__Dublin,
    Tz::America__Caracas,
    Tz::Asia__Gaza,
    Tz::Asia__Kathmandu,
];

#[test]
fn d_03_moments_are_those_of_an_oracle_that_walks_through_time() {
    let changes: Vec<(Tz, DateTime<Utc>)> = ODD
        .into_iter()
        .flat_map(|zone| changes(zone).into_iter().map(move |change| (zone, change)))
        .collect();
    assert!(changes.len() > 1_000, "{}", changes.len());
    let cases = (any_times(), proptest::sample::select(changes), 0_i64..5_760);
    let mut runner = TestRunner::new(Config::with_cases(250));
    runner
        .run(&cases, |(times, (zone, change), lead)| {
            agree(&times, zone, change, lead)
        })
        .unwrap();
}

/// Patterns of each kind at changes of some zones, in `make soak` at every change of every zone.
#[test]
fn d_03_every_change_of_every_zone() {
    let every = std::env::var("SYNCBRIDGE_SOAK_ZONES").is_ok_and(|value| value == "all");
    // In short form a few zones more than the odd ones, other ones than those.
    let zones: Vec<Tz> = TZ_VARIANTS
        .into_iter()
        .enumerate()
        .filter(|(number, _)| every || number % 100 == 7)
        .map(|(_, zone)| zone)
        .collect();
    let set = |values: &[u32]| values.iter().copied().collect::<BTreeSet<u32>>();
    let times = |minutes: &[u32], hours: Option<&[u32]>| Times {
        seconds: set(&[0]),
        minutes: set(minutes),
        hours: hours.map(set),
        days: None,
        months: None,
        weekdays: None,
    };
    let kinds = [
        times(&[0, 30], None),
        times(&[0, 10, 30, 50], Some(&[0, 1, 2, 3, 23])),
        times(&[15], Some(&[2, 14])),
    ];
    let mut compared = 0;
    for zone in zones {
        for change in changes(zone) {
            if !every && change.year() % 5 != 1 {
                continue;
            }
            for times in &kinds {
                agree(times, zone, change, 2_880).unwrap();
            }
            compared += 1;
        }
    }
    assert!(compared >= if every { 20_000 } else { 20 }, "{compared}");
}

#[test]
fn d_03_where_the_other_library_must_agree_it_does() {
    // In UTC, with six fields and named weekdays, and not both days of the month and of the week.
    let cases = (any_times(), 0_i64..68 * 365 * 86_400);
    let mut runner = TestRunner::new(Config::with_cases(300));
    runner
        .run(&cases, |(mut times, after)| {
            if times.days.is_some() {
                times.weekdays = None;
            }
            let text = times.pattern();
            let Ok(pattern) = text.parse::<CronPattern>() else {
                return Err(TestCaseError::reject("never fires"));
            };
            let other: cron::Schedule = text.parse().unwrap();
            let after = DateTime::from_timestamp(after, 0).unwrap();
            let schedule = Schedule::new(Rhythm::Cron {
                pattern,
                time_zone: Tz::UTC,
            });
            let ours: Vec<_> = schedule.preview(after, 20).collect();
            let theirs: Vec<_> = other.after(&after).take(20).collect();
            // The other one ends in 2100.
            let length = theirs.len();
            prop_assert!(
                length == 20 || theirs.last().is_none_or(|last| last.year() >= 2090),
                "{}",
                text
            );
            prop_assert_eq!(&ours[..length], &theirs[..], "{}", text);
            Ok(())
        })
        .unwrap();
    assert_eq!(
        Weekday::Sun.num_days_from_sunday(),
        0,
        "weekdays count from Sunday in both"
    );
}
