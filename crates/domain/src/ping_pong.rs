//! The breaker against a flow or a trigger that fights us: a field that keeps coming back changed after our own writes
//! of it is left to a person (DESIGN §5, Guards).
//!
//! What counts is the field's own history, never its values. A *return* is a write of ours that was answered: a value
//! we had put back is to be put back again, or what we had sent to the list comes back from there. One person's edit
//! causes at most one return, however a trigger alters it, so a definition at work stays far below any sensible limit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::conflict::Side;
use crate::policy::Direction;
use crate::reconcile::FieldDecision;

/// How many returns of one field are taken for a fight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct PingPong {
    /// So many returns of a field, and it is left to a person.
    pub alternations: u32,
    /// Seconds after the first of them in which they have to happen.
    pub within: u64,
}

impl Default for PingPong {
    fn default() -> Self {
        Self {
            alternations: 10,
            within: 6 * 60 * 60,
        }
    }
}

impl PingPong {
    /// Within how long after the first return the others have to happen.
    #[must_use]
    pub fn within(&self) -> Duration {
        Duration::from_secs(self.within)
    }

    /// Whether a field that came back so often is left to a person. Nothing is written to it from then on, so that it
    /// stays so until the count is taken away with a person's decision.
    #[must_use]
    pub fn trips(&self, returns: u32) -> bool {
        returns >= self.alternations
    }
}

/// A write of ours to one field, as far as it may be part of a fight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTurn {
    /// Source column.
    pub column: String,
    /// The side that was written.
    pub to: Side,
    /// Nothing asked for this write but that somebody had undone the one before.
    pub restores: bool,
    /// See [`PingPong::within`].
    pub within: Duration,
}

/// What is known of the writes to one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Source column.
    pub column: String,
    /// The side that was written last.
    pub to: Side,
    /// How often it came back within the time that counts.
    pub returns: u32,
}

impl Turned {
    /// Whether a write is a return, after the last one that is known.
    #[must_use]
    pub fn is_return(last: Option<Side>, turn: &FieldTurn) -> bool {
        turn.restores || (last, turn.to) == (Some(Side::Target), Side::Source)
    }
}

/// What becomes of a decision about a field that is left to a person. Whom the person chose wins once; a choice that
/// the field's direction cannot carry out lets both values stand as they are.
#[must_use]
pub fn hold(decided: FieldDecision, direction: Direction, chosen: Option<Side>) -> FieldDecision {
    use FieldDecision as F;
    if !matches!(
        decided,
        F::ToTarget
            | F::RideToTarget
            | F::ConflictToTarget
            | F::ToSource
            | F::RideToSource
            | F::ConflictToSource
            | F::ForeignReported
    ) {
        return decided;
    }
    match (chosen, direction) {
        (None, _) => F::ConflictParked,
        (Some(Side::Source), Direction::Push | Direction::Both) => F::ConflictToTarget,
        (Some(Side::Target), Direction::Pull | Direction::Both) => F::ConflictToSource,
        (Some(Side::Source), Direction::Pull) | (Some(Side::Target), Direction::Push) => F::Adopt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(to: Side, restores: bool) -> FieldTurn {
        FieldTurn {
            column: "note".into(),
            to,
            restores,
            within: PingPong::default().within(),
        }
    }

    #[test]
    fn only_what_comes_back_is_counted() {
        use Side::{Source, Target};
        for (last, to, restores, returns) in [
            (None, Source, false, false),
            (None, Target, true, true),
            (Some(Target), Target, false, false),
            (Some(Source), Source, false, false),
            (Some(Target), Source, false, true),
            // A trigger that alters what a person entered: the one bounce that is nobody's fight.
            (Some(Source), Target, false, false),
            (Some(Source), Source, true, true),
        ] {
            assert_eq!(
                Turned::is_return(last, &turn(to, restores)),
                returns,
                "{last:?} {to:?} {restores}"
            );
        }
    }

    #[test]
    fn a_held_field_is_written_only_by_a_persons_choice() {
        use FieldDecision as F;
        let writes = [
            F::ToTarget,
            F::ToSource,
            F::ConflictToTarget,
            F::ConflictToSource,
            F::RideToTarget,
            F::RideToSource,
            F::ForeignReported,
        ];
        for direction in [Direction::Push, Direction::Pull, Direction::Both] {
            for decided in writes {
                assert_eq!(hold(decided, direction, None), F::ConflictParked);
            }
            for decided in [F::Nothing, F::Adopt, F::NeedsTarget, F::NeedsPlan, F::ForeignKept] {
                for chosen in [None, Some(Side::Source), Some(Side::Target)] {
                    assert_eq!(hold(decided, direction, chosen), decided);
                }
            }
        }
        let restored = |direction, chosen| hold(F::ToTarget, direction, Some(chosen));
        assert_eq!(restored(Direction::Push, Side::Source), F::ConflictToTarget);
        assert_eq!(restored(Direction::Push, Side::Target), F::Adopt);
        assert_eq!(restored(Direction::Pull, Side::Source), F::Adopt);
        assert_eq!(restored(Direction::Pull, Side::Target), F::ConflictToSource);
        assert_eq!(restored(Direction::Both, Side::Source), F::ConflictToTarget);
        assert_eq!(restored(Direction::Both, Side::Target), F::ConflictToSource);
    }

    #[test]
    fn the_limit_itself_trips() {
        let limit = PingPong {
            alternations: 3,
            within: 60,
        };
        assert!(!limit.trips(2) && limit.trips(3) && limit.trips(4));
    }
}
