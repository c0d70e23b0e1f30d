//! Which time zone a site has, told from the midnights at which it keeps its days.
//!
//! Graph does not tell a site's zone. But a date-only column keeps a day as the site's midnight (contract §7), so
//! writing a day and reading the instant back gives the site's offset on that day. [`ZoneSearch`] asks for the day
//! on which the zones still possible differ most, until all that are left keep the same days: in this year and the
//! next first, then back to 1970 and to 1900. Older rules of a service may be no zone's that we know; then what
//! holds today decides.
//!
//! Whether a service reads a plain day in the site's zone or as the midnight of UTC is weakly evidenced, so both
//! readings stay possible until an answer rules one out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::convert::begin_of_day;

/// More answers than this are never needed to tell all zones apart.
pub const MOST_DAYS: usize = 40;

/// How a service takes a day without time and zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// The day in the site.
    Site,
    /// Midnight in UTC, in whichever day of the site that falls.
    Utc,
}

/// A zone and a reading that all answers so far agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    zone: Tz,
    reading: Reading,
}

impl Candidate {
    /// What the site would keep for this day.
    fn keeps(&self, day: NaiveDate) -> Option<DateTime<Utc>> {
        let day = match self.reading {
            Reading::Site => day,
            Reading::Utc => day
                .and_hms_opt(0, 0, 0)?
                .and_utc()
                .with_timezone(&self.zone)
                .date_naive(),
        };
        begin_of_day(day, self.zone)
    }
}

/// Days between which zones are compared.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: NaiveDate,
    until: NaiveDate,
    step: i64,
}

impl Window {
    fn days(self) -> impl Iterator<Item = NaiveDate> {
        std::iter::successors(Some(self.from), move |day| {
            day.checked_add_signed(TimeDelta::days(self.step))
        })
        .take_while(move |day| *day < self.until)
    }
}

/// A search under way.
#[derive(Debug)]
pub struct ZoneSearch {
    possible: Vec<Candidate>,
    /// Days to ask for whatever was answered: winter and summer part the zones cheaply.
    first: VecDeque<NaiveDate>,
    /// The window in which zones are told apart now, and those still to come.
    windows: VecDeque<Window>,
    /// Whether today's rules are settled, so that contradictions are about the past only.
    settled_today: bool,
    today: Option<Window>,
}

impl ZoneSearch {
    /// A search by someone who lives in this year.
    #[must_use]
    pub fn new(year: i32) -> Self {
        let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day);
        let window = |from: Option<NaiveDate>, until: Option<NaiveDate>, step| {
            Some(Window {
                from: from?,
                until: until?,
                step,
            })
        };
        let today = window(day(year, 1, 1), day(year + 2, 1, 1), 1);
        let windows = [
            today,
            window(day(1970, 1, 1), day(year, 1, 1), 7),
            window(day(1900, 1, 1), day(1970, 1, 1), 14),
        ];
        let both =
            |zone: &Tz| [Reading::Site, Reading::Utc].map(|reading| Candidate { zone: *zone, reading });
        Self {
            possible: TZ_VARIANTS.iter().flat_map(both).collect(),
            first: [day(year, 1, 15), day(year, 7, 15)]
                .into_iter()
                .flatten()
                .collect(),
            windows: windows.into_iter().flatten().collect(),
            settled_today: false,
            today,
        }
    }

    /// The day to ask the site for next; `None` once nothing more can be learnt.
    pub fn next_day(&mut self) -> Option<NaiveDate> {
        if let Some(day) = self.first.pop_front() {
            return Some(day);
        }
        while let Some(window) = self.windows.front() {
            let split = window
                .days()
                .map(|day| (self.answers(day), day))
                .max_by_key(|(answers, day)| (*answers, std::cmp::Reverse(*day)));
            if let Some((2.., day)) = split {
                return Some(day);
            }
            self.windows.pop_front();
            self.settled_today = true;
        }
        None
    }

    /// How many different answers are possible for this day.
    fn answers(&self, day: NaiveDate) -> usize {
        let kept: BTreeSet<Option<DateTime<Utc>>> = self
            .possible
            .iter()
            .map(|candidate| candidate.keeps(day))
            .collect();
        kept.len()
    }

    /// Takes the instant that the site keeps for this day.
    pub fn observe(&mut self, day: NaiveDate, kept: DateTime<Utc>) {
        let left: Vec<Candidate> = self
            .possible
            .iter()
            .filter(|candidate| candidate.keeps(day) == Some(kept))
            .copied()
            .collect();
        if left.is_empty() && self.settled_today {
            // The service's past is no zone's that we know; its present is what we have.
            self.windows.clear();
        } else {
            self.possible = left;
        }
    }

    /// The zone, under its best known name; `None` where no zone keeps such days, or where two are left that keep
    /// them under different dates.
    #[must_use]
    pub fn zone(&self) -> Option<Tz> {
        let today = self.today?;
        let mut by_days: BTreeMap<Vec<Option<DateTime<Utc>>>, Vec<Tz>> = BTreeMap::new();
        for candidate in &self.possible {
            // The first of each month shows which side of the date line it is; the rest was settled day by day.
            let days = today.days().filter(|day| day.day() == 1);
            let kept = days.map(|day| begin_of_day(day, candidate.zone)).collect();
            by_days.entry(kept).or_default().push(candidate.zone);
        }
        match by_days.into_values().collect::<Vec<_>>().as_slice() {
            [zones] => zones
                .iter()
                .min_by_key(|zone| (rank(zone.name()), zone.name()))
                .copied(),
            _ => None,
        }
    }
}

/// Names that people know, of zones that several names are given to; lower is better.
fn rank(name: &str) -> usize {
    const KNOWN: [&str; 52] = [
        "UTC",
        "Europe/London",
        "Europe/Berlin",
        "Europe/Paris",
        "Europe/Budapest",
        "Europe/Warsaw",
        "Europe/Bucharest",
        "Europe/Kyiv",
        "Europe/Istanbul",
        "Europe/Moscow",
        "America/New_York",
        "America/Chicago",
        "America/Denver",
        "America/Phoenix",
        "America/Los_Angeles",
        "America/Anchorage",
        "America/Halifax",
        "America/St_Johns",
        "America/Regina",
        "America/Mexico_City",
        "America/Bogota",
        "America/Caracas",
        "America/La_Paz",
        "America/Santiago",
        "America/Sao_Paulo",
        "America/Argentina/Buenos_Aires",
        "Africa/Casablanca",
        "Africa/Lagos",
        "Africa/Johannesburg",
        "Africa/Nairobi",
        "Africa/Cairo",
        "Asia/Jerusalem",
        "Asia/Riyadh",
        "Asia/Dubai",
        "Asia/Tehran",
        "Asia/Karachi",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Asia/Dhaka",
        "Asia/Bangkok",
        "Asia/Shanghai",
        "Asia/Singapore",
        "Asia/Taipei",
        "Asia/Tokyo",
        "Asia/Seoul",
        "Australia/Perth",
        "Australia/Adelaide",
        "Australia/Darwin",
        "Australia/Brisbane",
        "Australia/Sydney",
        "Pacific/Auckland",
        "Pacific/Honolulu",
    ];
    const AREAS: [&str; 7] = [
        "Europe/",
        "America/",
        "Asia/",
        "Africa/",
        "Australia/",
        "Pacific/",
        "Atlantic/",
    ];
    let known = KNOWN.iter().position(|known| *known == name);
    let area = || AREAS.iter().position(|area| name.starts_with(area));
    known
        .or_else(|| area().map(|at| KNOWN.len() + at))
        .unwrap_or(KNOWN.len() + AREAS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A search against a service that keeps days as this says; the zone found and how many days were asked for.
    fn search(keeps: impl Fn(NaiveDate) -> Option<DateTime<Utc>>) -> (Option<Tz>, usize) {
        let mut search = ZoneSearch::new(2026);
        let mut asked = 0;
        while let Some(day) = search.next_day() {
            asked += 1;
            assert!(asked <= MOST_DAYS);
            search.observe(day, keeps(day).unwrap());
        }
        (search.zone(), asked)
    }

    #[test]
    fn a_zone_is_found_by_a_dozen_days_under_the_name_people_know() {
        use chrono_tz::{America, Asia, Europe, Pacific};
        let zones = [
            Tz::UTC,
            Europe::Berlin,
            Europe::London,
            America::New_York,
            America::Santiago,
            Asia::Kolkata,
            Pacific::Auckland,
            Pacific::Honolulu,
        ];
        for zone in zones {
            let (found, asked) = search(|day| begin_of_day(day, zone));
            let found = found.unwrap();
            assert!(asked <= 14, "{zone}: {asked} days");
            let days = Window {
                from: NaiveDate::from_ymd_opt(1900, 1, 1).unwrap(),
                until: NaiveDate::from_ymd_opt(2040, 1, 1).unwrap(),
                step: 37,
            };
            for day in days.days() {
                assert_eq!(
                    begin_of_day(day, found),
                    begin_of_day(day, zone),
                    "{zone} {found} {day}"
                );
            }
        }
        assert_eq!(
            search(|day| begin_of_day(day, Europe::Berlin)).0,
            Some(Europe::Berlin)
        );
        assert_eq!(
            search(|day| begin_of_day(day, chrono_tz::US::Eastern)).0,
            Some(America::New_York)
        );
    }

    #[test]
    fn a_service_that_takes_plain_days_as_utc_is_understood() {
        let utc = |zone: Tz| {
            move |day: NaiveDate| {
                Candidate {
                    zone,
                    reading: Reading::Utc,
                }
                .keeps(day)
            }
        };
        assert_eq!(
            search(utc(chrono_tz::America::New_York)).0,
            Some(chrono_tz::America::New_York)
        );
        assert_eq!(
            search(utc(chrono_tz::Asia::Tokyo)).0,
            Some(chrono_tz::Asia::Tokyo)
        );
        // Today's midnights of Honolulu are those of Kiritimati, a day apart; their past tells which of the two it is.
        assert_eq!(
            search(utc(chrono_tz::Pacific::Honolulu)).0,
            Some(chrono_tz::Pacific::Honolulu)
        );
        let islands = chrono_tz::Pacific::Kiritimati;
        assert_eq!(search(|day| begin_of_day(day, islands)).0, Some(islands));
    }

    #[test]
    fn a_service_whose_past_is_no_zones_is_told_by_its_present() {
        let year = |day: NaiveDate| day.year();
        let today_for_ever = |day: NaiveDate| {
            let zone = chrono_tz::Europe::Berlin;
            if year(day) >= 1996 {
                return begin_of_day(day, zone);
            }
            // Winter time all year round.
            Some(day.and_hms_opt(0, 0, 0).unwrap().and_utc() - TimeDelta::hours(1))
        };
        let found = search(today_for_ever).0.unwrap();
        let summer = NaiveDate::from_ymd_opt(2026, 7, 1).unwrap();
        assert_eq!(
            begin_of_day(summer, found),
            begin_of_day(summer, chrono_tz::Europe::Berlin)
        );
    }

    #[test]
    fn two_zones_a_day_apart_that_nothing_tells_apart_give_no_zone() {
        let mut search = ZoneSearch::new(2026);
        let islands = [
            (chrono_tz::Pacific::Kiritimati, Reading::Site),
            (chrono_tz::Pacific::Honolulu, Reading::Utc),
        ];
        search.possible = islands
            .map(|(zone, reading)| Candidate { zone, reading })
            .to_vec();
        assert_eq!(search.zone(), None);
    }

    #[test]
    fn days_that_no_zone_keeps_give_no_zone() {
        let at_seven_minutes_past = |day: NaiveDate| Some(day.and_hms_opt(0, 7, 0).unwrap().and_utc());
        assert_eq!(search(at_seven_minutes_past).0, None);
    }
}
