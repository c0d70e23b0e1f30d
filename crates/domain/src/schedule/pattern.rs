//! A cron pattern, and the moments that it names.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};

use crate::wall_clock::{self, Twice};

/// Longer is no pattern that a person writes.
const LONGEST: usize = 200;

/// Five or six fields (seconds first, if there are six), with names, lists, ranges, steps, `L`, `W` and `#`, or a
/// nickname such as `@daily`. Days of month and week that are both given: either suffices; `+` before the day of the
/// week asks for both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronPattern {
    text: String,
    cron: Box<Cron>,
    /// Whether seconds, minutes or hours have a `*`.
    is_rhythm: bool,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It names no moment, as 30 February.
    #[error("no day that it names exists")]
    Never,
}

impl FromStr for CronPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        if text.len() > LONGEST {
            let message = format!("it is longer than {LONGEST} characters");
            return Err(PatternError::Unreadable(message));
        }
        if !text.is_ascii() {
            return Err(PatternError::Unreadable(
                "it has characters that no pattern has".to_owned(),
            ));
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build()
            .parse(text)
            .map_err(|error| PatternError::Unreadable(error.to_string()))?;
        let pattern = Self {
            is_rhythm: is_rhythm(text),
            text: text.to_owned(),
            cron: Box::new(cron),
        };
        // Whatever is named at all is named after some day: the search ends at the year 5000.
        let some_day = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default().into();
        if pattern.next_shown(some_day, true).is_none() {
            return Err(PatternError::Never);
        }
        Ok(pattern)
    }
}

/// Nicknames below a day and `*` in a field of the time of day.
fn is_rhythm(text: &str) -> bool {
    if text.starts_with('@') {
        return text.eq_ignore_ascii_case("@hourly");
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let of_day = fields.len().saturating_sub(3);
    fields.iter().take(of_day).any(|field| field.contains(['*', '?']))
}

impl CronPattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// In words: "At 02:30, only on Monday".
    #[must_use]
    pub fn describe(&self) -> String {
        self.cron.describe()
    }

    /// The first moment after `after`, as the module says.
    pub(crate) fn next_after(&self, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_rhythm {
            self.next_of_rhythm(zone, after)
        } else {
            self.next_of_clock(zone, after)
        }
    }

    /// Whenever the clock shows such a time: looked for between two changes of the clock.
    fn next_of_rhythm(&self, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (mut from, mut inclusive) = (after, false);
        loop {
            let next = self.next_shown(wall_clock::shown(zone, from), inclusive)?;
            let at = next.checked_sub_signed(wall_clock::offset(zone, from))?.and_utc();
            match wall_clock::first_change(zone, from, at) {
                None => return Some(at),
                Some(change) => (from, inclusive) = (change, true),
            }
        }
    }

    /// Each time of the clock once: of later times the first instants are never earlier ones, so the first that lies
    /// behind is the next.
    fn next_of_clock(&self, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut shown = wall_clock::shown(zone, after);
        loop {
            shown = self.next_shown(shown, false)?;
            let at = wall_clock::instant(zone, shown, Twice::First)?;
            if at > after {
                return Some(at);
            }
        }
    }

    /// The next time that the pattern names on a clock that nobody puts forward or back.
    fn next_shown(&self, from: NaiveDateTime, inclusive: bool) -> Option<NaiveDateTime> {
        // The search counts in whole seconds.
        let whole = from.with_nanosecond(0)?;
        let (from, inclusive) = match (whole == from, inclusive) {
            (true, inclusive) => (from, inclusive),
            (false, true) => (whole.checked_add_signed(TimeDelta::seconds(1))?, true),
            (false, false) => (whole, false),
        };
        self.cron.find_next_occurrence(&from, inclusive).ok()
    }
}

impl fmt::Display for CronPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<CronPattern> for String {
    fn from(pattern: CronPattern) -> Self {
        pattern.text
    }
}

impl TryFrom<String> for CronPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}
