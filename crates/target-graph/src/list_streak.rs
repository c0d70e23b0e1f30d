//! Which list is throttled again and again while the rest of the tenant answers (DESIGN §9).
//!
//! A quota throttles everything. A list over a limit of its own (the view threshold, permissions of single items)
//! is answered 429 too, for ever: waiting for it would stop its run without end, and every other run with it.

use std::collections::BTreeMap;
use std::time::Duration;

use syncbridge_domain::clock::Monotonic;

/// So many throttled answers, each after the wait the one before had asked for, are no accident.
const ENOUGH: u32 = 5;
/// Lists remembered at most; more are throttled at once only where everything is.
const MOST: usize = 1_000;

/// A list as it stands in paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListPlace {
    pub(crate) site: String,
    pub(crate) list: String,
}

#[derive(Clone, Copy, Debug)]
struct Streak {
    times: u32,
    /// Until then further answers are of the same wave: requests that were under way already.
    wave_until: Monotonic,
    /// Whether something else answered since it began.
    others_answer: bool,
}

/// The lists of one app in one tenant that were throttled last.
#[derive(Debug, Default)]
pub(crate) struct Streaks(BTreeMap<ListPlace, Streak>);

impl Streaks {
    /// Hears an answer to a request about `list`, or about none. `pause` is what a throttled one asked for.
    pub(crate) fn hear(&mut self, list: Option<&ListPlace>, pause: Option<Duration>, now: Monotonic) {
        match (list, pause) {
            (Some(list), Some(pause)) => {
                if !self.0.contains_key(list) && self.0.len() >= MOST {
                    return;
                }
                let streak = self.0.entry(list.clone()).or_insert(Streak {
                    times: 0,
                    wave_until: now,
                    others_answer: false,
                });
                if now >= streak.wave_until {
                    streak.times = streak.times.saturating_add(1);
                    streak.wave_until = now + pause;
                }
            }
            (None, Some(_)) => {
                // Something else is throttled as well: it is the quota, and nothing is proved yet.
                for streak in self.0.values_mut() {
                    streak.others_answer = false;
                }
            }
            (answered, None) => {
                if let Some(list) = answered {
                    self.0.remove(list);
                }
                for streak in self.0.values_mut() {
                    streak.others_answer = true;
                }
            }
        }
    }

    /// Throttled often enough, and nobody knows yet whether others answer.
    pub(crate) fn is_suspect(&self, list: &ListPlace) -> bool {
        self.0
            .get(list)
            .is_some_and(|streak| streak.times >= ENOUGH && !streak.others_answer)
    }

    /// The list is throttled for itself alone.
    pub(crate) fn is_alone(&self, list: &ListPlace) -> bool {
        self.0
            .get(list)
            .is_some_and(|streak| streak.times >= ENOUGH && streak.others_answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(list: &str) -> ListPlace {
        ListPlace {
            site: "s".into(),
            list: list.into(),
        }
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    const PAUSE: Option<Duration> = Some(Duration::from_secs(10));

    /// So many throttled answers of list `a`, each after its wait.
    fn throttled(times: u64) -> Streaks {
        let mut streaks = Streaks::default();
        for time in 0..times {
            streaks.hear(Some(&place("a")), PAUSE, at(time * 10));
        }
        streaks
    }

    #[test]
    fn a_list_is_suspect_after_enough_waits_and_alone_once_something_else_answers() {
        let mut streaks = throttled(4);
        assert!(!streaks.is_suspect(&place("a")));
        streaks.hear(Some(&place("a")), PAUSE, at(40));
        assert!(streaks.is_suspect(&place("a")) && !streaks.is_alone(&place("a")));
        streaks.hear(None, None, at(41));
        assert!(streaks.is_alone(&place("a")) && !streaks.is_suspect(&place("a")));
        assert!(!streaks.is_alone(&place("b")));
    }

    #[test]
    fn another_list_that_answers_is_as_good_a_proof() {
        let mut streaks = throttled(5);
        streaks.hear(Some(&place("b")), None, at(50));
        assert!(streaks.is_alone(&place("a")));
    }

    #[test]
    fn a_list_that_answers_once_begins_anew() {
        let mut streaks = throttled(9);
        streaks.hear(Some(&place("a")), None, at(90));
        streaks.hear(Some(&place("a")), PAUSE, at(100));
        streaks.hear(None, None, at(101));
        assert!(!streaks.is_alone(&place("a")) && !streaks.is_suspect(&place("a")));
    }

    #[test]
    fn answers_of_one_wave_count_once() {
        let mut streaks = Streaks::default();
        for _ in 0..100 {
            streaks.hear(Some(&place("a")), PAUSE, at(0));
        }
        assert!(!streaks.is_suspect(&place("a")));
    }

    #[test]
    fn a_quota_that_throttles_everything_is_no_lists_fault() {
        let mut streaks = throttled(5);
        streaks.hear(None, None, at(50));
        streaks.hear(None, PAUSE, at(51));
        assert!(!streaks.is_alone(&place("a")));
    }
}
