//! Makes a failing history short: drops actions, then settings, for as long as the same invariant fails.

use crate::simulation::{Setting, Violation, simulate};

/// The shortest history found, and what it violates.
#[must_use]
pub fn shrink(setting: &Setting, violation: &Violation) -> (Setting, Violation) {
    let mut smallest = setting.clone();
    let mut seen = violation.clone();
    let invariant = violation.invariant;
    let mut fails = |candidate: &Setting| {
        let found = simulate(candidate, false).violation;
        found.filter(|found| found.invariant == invariant)
    };
    loop {
        let before = (smallest.history.len(), smallest.scenario.simpler().len());
        shorten(&mut smallest, &mut seen, &mut fails);
        simplify(&mut smallest, &mut seen, &mut fails);
        if (smallest.history.len(), smallest.scenario.simpler().len()) == before {
            return (smallest, seen);
        }
    }
}

type Fails<'a> = dyn FnMut(&Setting) -> Option<Violation> + 'a;

/// Drops actions, many at once first. The time they took stays, so that those after them come when they came.
fn shorten(smallest: &mut Setting, seen: &mut Violation, fails: &mut Fails<'_>) {
    let mut size = smallest.history.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < smallest.history.len() {
            let end = (at + size).min(smallest.history.len());
            let mut candidate = smallest.clone();
            let dropped: u32 = candidate.history.drain(at..end).map(|step| step.gap).sum();
            if let Some(next) = candidate.history.get_mut(at) {
                next.gap += dropped;
            }
            match fails(&candidate) {
                Some(violation) => {
                    *seen = violation;
                    *smallest = candidate;
                }
                None => at = end,
            }
        }
        if size == 1 {
            return;
        }
        size = size.div_ceil(2);
    }
}

/// Drops faults and behaviours one by one.
fn simplify(smallest: &mut Setting, seen: &mut Violation, fails: &mut Fails<'_>) {
    let mut at = 0;
    loop {
        let Some((_, scenario)) = smallest.scenario.simpler().into_iter().nth(at) else {
            return;
        };
        let candidate = Setting {
            scenario,
            ..smallest.clone()
        };
        match fails(&candidate) {
            Some(violation) => {
                *seen = violation;
                *smallest = candidate;
            }
            None => at += 1,
        }
    }
}
