//! What a hunt must have met before its silence proves anything (C-1): every decision, every fault and every point at
//! which a worker may die, each often, in histories that are long enough and disturbed enough.

use std::collections::BTreeMap;
use std::fmt;

use syncbridge_domain::reconcile::{FieldDecision, RowDecision};

use crate::coverage::Counts;
use crate::faults;
use crate::invariants::EXEMPTIONS;

/// Histories from which on everything is demanded in full.
pub const WHOLE: u64 = 1_000_000;
/// Histories from which on everything must have been met at all.
pub const PART: u64 = 100_000;
/// Histories from which on means are means.
const SOME: u64 = 1_000;
/// How often a whole hunt meets everything.
const HITS: u64 = 1_000;
/// Actions of a history in the mean.
const ACTIONS: u64 = 50;
/// Faults of a history in the mean.
const FAULTS: u64 = 2;

/// What `reconcile` decides about rows. Left out is what nothing leads to before its issue is built: a move (routes),
/// another key for the same item and a row that is missing without proof (both by capture of changes).
const ROWS: [RowDecision; 18] = [
    RowDecision::Nothing,
    RowDecision::Fields,
    RowDecision::Adopt,
    RowDecision::CreateItem,
    RowDecision::DeleteItem,
    RowDecision::LeaveItem,
    RowDecision::ArchiveItem,
    RowDecision::InsertRow,
    RowDecision::DeleteRow,
    RowDecision::Bury,
    RowDecision::SuspectTarget,
    RowDecision::ConflictParked,
    RowDecision::ForeignDeleteReported,
    RowDecision::ParkMany,
    RowDecision::Refuse,
    RowDecision::RestoreReported,
    RowDecision::NeedsSource,
    RowDecision::NeedsTarget,
];

/// What it decides about fields.
const FIELDS: [FieldDecision; 14] = [
    FieldDecision::Nothing,
    FieldDecision::Adopt,
    FieldDecision::ToTarget,
    FieldDecision::RideToTarget,
    FieldDecision::ToSource,
    FieldDecision::RideToSource,
    FieldDecision::ConflictToTarget,
    FieldDecision::ConflictToSource,
    FieldDecision::ConflictParked,
    FieldDecision::ForeignReported,
    FieldDecision::ForeignKept,
    FieldDecision::NeedsPlan,
    FieldDecision::NeedsSource,
    FieldDecision::NeedsTarget,
];

/// Where a worker may die: at each call of the databases, before it is taken and after it. Left out is what a
/// simulated run never calls: parts of a table, rows of an earlier layout, a verification that goes on after a pause.
pub const CALLS: [&str; 51] = [
    "acquire",
    "renew",
    "release",
    "horizon",
    "watermark_ceiling",
    "estimate",
    "page_by_key",
    "page_by_watermark",
    "page_without_watermark",
    "read_keys",
    "stage",
    "transactions",
    "commit",
    "roll_back",
    "rows",
    "digests",
    "live_rows",
    "remember_layout",
    "admit",
    "settle",
    "adopt",
    "unsettled",
    "probed",
    "mark_dirty",
    "dirty",
    "clear_dirty",
    "quarantine",
    "quarantined",
    "quarantine_size",
    "requeue_due",
    "requeue_approved",
    "record_conflicts",
    "stale_rows",
    "sweep_due",
    "swept",
    "deleted_within",
    "cursor",
    "generation",
    "delta_cursor",
    "keep_delta",
    "rows_of_items",
    "owned_elsewhere",
    "note_witnesses",
    "park_conflicts",
    "resolutions",
    "close_conflicts",
    "turns",
    "owned",
    "quarantined_with",
    "begin_verification",
    "keep_verification",
];

/// And while the list is asked.
pub const REQUESTS: [&str; 7] = [
    "target.write",
    "target.lookup",
    "target.read",
    "target.history",
    "target.page",
    "target.delta",
    "target.dropped_columns",
];

/// A point at which a worker may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The call.
    pub port: &'static str,
    /// Before it is taken, after it, or (empty) while the list is asked.
    pub phase: &'static str,
}

impl Point {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Point> {
        let of = |phase| move |port: &&'static str| Point { port, phase };
        CALLS
            .iter()
            .map(of("before"))
            .chain(CALLS.iter().map(of("after")))
            .chain(REQUESTS.iter().map(of("")))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        let at = Self::all().position(|point| point == self);
        at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
    }

    /// The point with this number, counted round.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Point> {
        let count = Self::all().count();
        Self::all().nth(usize::from(number).checked_rem(count)?)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            "" => f.write_str(self.port),
            phase => write!(f, "{phase} {}", self.port),
        }
    }
}

/// Something of which a hunt has met too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// What kind of thing, and which.
    pub what: String,
    /// What is demanded.
    pub demanded: u64,
    /// What was met.
    pub met: u64,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} where {} are demanded",
            self.what, self.met, self.demanded
        )
    }
}

/// Where a hunt falls short of what its length demands.
#[must_use]
pub fn missed(counts: &Counts) -> Vec<Missed> {
    let mut missed = Vec::new();
    let mut demand = |what: String, demanded: u64, met: u64| {
        if met < demanded {
            missed.push(Missed { what, demanded, met });
        }
    };
    if counts.histories >= SOME {
        demand(
            "actions of all histories".to_owned(),
            ACTIONS * counts.histories,
            counts.actions,
        );
        demand(
            "faults of all histories".to_owned(),
            FAULTS * counts.histories,
            counts.struck,
        );
    }
    let hits = match counts.histories {
        WHOLE.. => HITS,
        PART.. => 1,
        _ => 0,
    };
    let met = |of: &BTreeMap<String, u64>, name: &str| of.get(name).copied().unwrap_or(0);
    for row in ROWS {
        let name = format!("{row:?}");
        let met = met(&counts.row_decisions, &name);
        demand(format!("decision about a row {name}"), hits, met);
    }
    for field in FIELDS {
        let name = format!("{field:?}");
        let met = met(&counts.field_decisions, &name);
        demand(format!("decision about a field {name}"), hits, met);
    }
    for name in faults::names() {
        let met = met(&counts.faults, &name);
        demand(format!("fault {name}"), hits, met);
    }
    for quirk in crate::scenario::quirks() {
        demand(format!("behaviour {quirk}"), hits, met(&counts.quirks, quirk));
    }
    for point in Point::all() {
        let name = point.to_string();
        let here = |(at, _): &(&String, &u64)| at.split_once(": ").is_some_and(|(_, at)| at == name);
        let met = counts
            .crash_points
            .iter()
            .filter(here)
            .map(|(_, hits)| hits)
            .sum();
        demand(format!("death {name}"), hits, met);
    }
    missed
}

/// Exemptions that were used and stand nowhere.
#[must_use]
pub fn unlisted(counts: &Counts) -> Vec<&str> {
    let listed = |name: &&str| EXEMPTIONS.iter().any(|(known, _)| known == name);
    let names = counts.exemptions.keys().map(String::as_str);
    names.filter(|name| !listed(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(histories: u64, hits: u64) -> Counts {
        let of = |names: Vec<String>| names.into_iter().map(|name| (name, hits)).collect();
        Counts {
            histories,
            actions: ACTIONS * histories,
            struck: FAULTS * histories,
            row_decisions: of(ROWS.iter().map(|row| format!("{row:?}")).collect()),
            field_decisions: of(FIELDS.iter().map(|field| format!("{field:?}")).collect()),
            faults: of(faults::names().collect()),
            quirks: of(crate::scenario::quirks().map(str::to_owned).collect()),
            crash_points: of(Point::all().map(|point| format!("apply: {point}")).collect()),
            ..Counts::default()
        }
    }

    #[test]
    fn c_01_a_whole_hunt_has_to_meet_everything_often_and_a_part_of_one_everything_once() {
        assert_eq!(missed(&met(WHOLE, HITS)), []);
        let everything = ROWS.len()
            + FIELDS.len()
            + faults::names().count()
            + crate::scenario::quirks().count()
            + Point::all().count();
        assert_eq!(missed(&met(WHOLE, HITS - 1)).len(), everything);
        assert_eq!(missed(&met(PART, 1)), []);
        assert_eq!(missed(&met(PART, 0)).len(), everything);
        assert_eq!(missed(&met(SOME, 0)), []);
    }

    #[test]
    fn c_01_histories_that_are_short_or_calm_in_the_mean_are_told() {
        let calm = Counts {
            struck: FAULTS * SOME - 1,
            actions: ACTIONS * SOME - 1,
            ..met(SOME, 0)
        };
        assert_eq!(missed(&calm).len(), 2);
        let few = Counts {
            histories: SOME - 1,
            ..Counts::default()
        };
        assert_eq!(missed(&few), []);
    }

    #[test]
    fn every_point_is_found_by_its_number() {
        for point in Point::all() {
            assert_eq!(Point::of_number(point.number()), Some(point));
        }
    }

    #[test]
    fn a_death_counts_at_its_call_in_whichever_step_of_a_run() {
        let mut counts = met(WHOLE, HITS);
        let hits = counts.crash_points.remove("apply: after settle").unwrap();
        counts
            .crash_points
            .insert("recover: after settle".to_owned(), hits - 1);
        assert_eq!(missed(&counts).len(), 1);
        counts.crash_points.insert("read: after settle".to_owned(), 1);
        assert_eq!(missed(&counts), []);
    }
}
