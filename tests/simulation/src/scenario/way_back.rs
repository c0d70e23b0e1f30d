//! The way from the list to the source: directions, policies of two-way definitions, what the table does with rows that
//! come from the list.

use serde::Serialize;
use syncbridge_domain::policy::{
    ConflictPolicy, DeletePolicy, Direction, OnForeignEdit, OnForeignRestore, Policies,
};
use syncbridge_domain::two_way::TwoWay;
use syncbridge_graph_sim::UnseenInDelta;

use super::{EDITED, Scenario, policies};
use crate::random::Random;

/// What people must not type into the name where a CHECK refuses it.
pub const REFUSED_NAME: &str = "By Hand";

/// What a definition that writes to the source is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WayBack {
    /// The key's column is mapped, so that people may give new items a key.
    pub maps_key: bool,
    /// Which way each edited field travels.
    pub directions: [Direction; EDITED],
    /// Who wins in each field, where it says so itself.
    pub conflicts: [Option<ConflictPolicy>; EDITED],
    /// A trigger writes the state in capitals.
    pub capitals: bool,
    /// A CHECK refuses [`REFUSED_NAME`].
    pub refuses_name: bool,
    /// The state takes no NULL.
    pub state_needed: bool,
    /// Written rows do not tell their transaction.
    pub hides_transactions: bool,
    /// COMMITs whose answer is lost, in thousandths.
    pub lost_commits: u64,
}

impl WayBack {
    /// None: the definition only pushes.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            maps_key: false,
            directions: [Direction::Push; EDITED],
            conflicts: [None; EDITED],
            capitals: false,
            refuses_name: false,
            state_needed: false,
            hides_transactions: false,
            lost_commits: 0,
        }
    }

    fn draw(random: &mut Random, direction: Direction) -> Self {
        let of_field = |random: &mut Random| match direction {
            Direction::Both if random.permille(120) => *random.pick(&[Direction::Push, Direction::Pull]),
            other => other,
        };
        let own = |random: &mut Random| random.permille(200).then(|| conflict(random));
        Self {
            maps_key: random.permille(600),
            directions: std::array::from_fn(|_| of_field(random)),
            conflicts: std::array::from_fn(|_| own(random)),
            capitals: random.permille(200),
            refuses_name: random.permille(200),
            state_needed: random.permille(150),
            hides_transactions: random.permille(150),
            lost_commits: *random.pick(&[0, 0, 10, 40]),
        }
    }
}

fn conflict(random: &mut Random) -> ConflictPolicy {
    *random.pick(&[
        ConflictPolicy::SourceWins,
        ConflictPolicy::TargetWins,
        ConflictPolicy::LatestWins,
        ConflictPolicy::Manual,
    ])
}

/// Which way a seed's definition goes.
#[must_use]
pub fn direction(random: &mut Random) -> Direction {
    match random.below(8) {
        0 | 1 => Direction::Push,
        2 => Direction::Pull,
        _ => Direction::Both,
    }
}

impl Scenario {
    /// The setting of a seed whose definition writes to the source.
    #[must_use]
    pub fn draw_back(random: &mut Random, direction: Direction) -> Self {
        let back = WayBack::draw(random, direction);
        let policies = Policies {
            conflict: conflict(random),
            delete: *random.pick(&[
                DeletePolicy::Propagate,
                DeletePolicy::Propagate,
                DeletePolicy::Propagate,
                DeletePolicy::Keep,
                DeletePolicy::Archive,
            ]),
            on_foreign_restore: *random.pick(&[
                OnForeignRestore::Report,
                OnForeignRestore::Report,
                OnForeignRestore::Keep,
                OnForeignRestore::Delete,
            ]),
            two_way: TwoWay {
                inserts: !random.permille(150),
                full_visibility: random.permille(600),
                delete_delay: *random.pick(&[0, 5, 60, 300]),
                lossy: true,
                ..TwoWay::default()
            },
            ..policies(random)
        };
        let mut scenario = Self::draw(random);
        scenario.direction = direction;
        scenario.back = back;
        scenario.policies = Policies {
            on_foreign_edit: *random.pick(&[
                OnForeignEdit::Report,
                OnForeignEdit::Restore,
                OnForeignEdit::Keep,
            ]),
            ..policies
        };
        // A second item of one row is nobody's doing but the list's; two-way definitions are held to lists that
        // refuse it.
        scenario.unique = true;
        scenario.faults = scenario.faults.with_delta(random);
        if scenario.policies.two_way.full_visibility {
            // Whoever vouches for it is right.
            scenario.behaviour.unseen_in_delta = UnseenInDelta::Silent;
            scenario.quirks.retain(|quirk| *quirk != "unseen_deleted");
        }
        scenario
    }
}
