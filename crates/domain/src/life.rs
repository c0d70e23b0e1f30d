//! Which life of a source a definition last saw, and whether what it sees now is a later moment of that life.
//!
//! A server that was restored, cloned or failed over goes on from an earlier moment: what was read of it, written to it
//! and agreed on with it since then did not happen there. Nothing that is stored in the database tells, because it went
//! back too; so what never decreases while a server lives is noted here, outside of it.

use std::fmt;

use crate::feed::Lsn;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLife {
    /// Made with the cluster, and the same in its copies; `None` where our role may not ask.
    pub identifier: Option<String>,
    /// Rises with every promotion and every recovery to a point in time; `None` on a replica.
    pub timeline: Option<u32>,
    /// What of the WAL has certainly reached the disk: a crash does not go behind it.
    pub durable: Lsn,
    /// How far the WAL is written.
    pub reached: Lsn,
    /// The first transaction id that was not given out.
    pub next_xid: u64,
    /// It only repeats what another server does, perhaps late.
    pub replica: bool,
}

/// What was noted when a definition last came to the end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLife {
    /// See [`SourceLife::identifier`].
    pub identifier: Option<String>,
    /// See [`SourceLife::timeline`].
    pub timeline: Option<u32>,
    /// See [`SourceLife::durable`].
    pub durable: Lsn,
    /// What the memory itself said of its own life.
    pub memory: Option<String>,
}

/// How it shows that a source went back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WentBack {
    /// It is another cluster.
    OtherCluster,
    /// It was promoted, or recovered to a point in time.
    OtherTimeline {
        /// Then.
        was: u32,
        /// Now.
        is: u32,
    },
    /// Its WAL ends before what was on disk when we last looked.
    EarlierPosition {
        /// Then.
        was: Lsn,
        /// Now.
        is: Lsn,
    },
    /// A row does not show what we wrote and committed.
    OurWriteIsGone,
}

impl fmt::Display for WentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCluster => f.write_str("it is another database cluster than before"),
            Self::OtherTimeline { was, is } => write!(
                f,
                "it lives on timeline {is}, and lived on {was}: a standby was promoted, or a backup was recovered"
            ),
            Self::EarlierPosition { was, is } => write!(
                f,
                "its write-ahead log ends at {}, and was at {} before: it was put back to an earlier moment",
                position(*is),
                position(*was)
            ),
            Self::OurWriteIsGone => {
                f.write_str("it does not show the newest row that we wrote and committed")
            }
        }
    }
}

/// As the server spells it.
fn position(lsn: Lsn) -> String {
    format!("{:X}/{:X}", lsn.0 >> 32, lsn.0 & u64::from(u32::MAX))
}

impl KnownLife {
    /// Whether the source is not a later moment of the life that was noted. `write_is_gone`: the newest row of ours is
    /// older there than we wrote it.
    #[must_use]
    pub fn went_back(&self, now: &SourceLife, write_is_gone: bool) -> Option<WentBack> {
        if let (Some(was), Some(is)) = (&self.identifier, &now.identifier)
            && was != is
        {
            return Some(WentBack::OtherCluster);
        }
        if let (Some(was), Some(is)) = (self.timeline, now.timeline)
            && was != is
        {
            return Some(WentBack::OtherTimeline { was, is });
        }
        // A replica may be behind without anything being wrong.
        if !now.replica && now.reached < self.durable {
            return Some(WentBack::EarlierPosition {
                was: self.durable,
                is: now.reached,
            });
        }
        (write_is_gone && !now.replica).then_some(WentBack::OurWriteIsGone)
    }
}

impl SourceLife {
    /// Whether a row whose writer has these 32 bits was written by this transaction, or after it.
    #[must_use]
    pub fn is_as_new_as(writer: u32, xid: u64) -> bool {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the lower half is what a row keeps"
        )]
        let ours = xid as u32;
        // Ids go round; half of the circle lies behind each.
        writer.wrapping_sub(ours) < 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(timeline: u32, reached: u64) -> SourceLife {
        SourceLife {
            identifier: Some("7".into()),
            timeline: Some(timeline),
            durable: Lsn(reached),
            reached: Lsn(reached),
            next_xid: 1_000,
            replica: false,
        }
    }

    fn known() -> KnownLife {
        KnownLife {
            identifier: Some("7".into()),
            timeline: Some(1),
            durable: Lsn(100),
            memory: None,
        }
    }

    #[test]
    fn a_later_moment_of_the_same_life_is_nothing_to_speak_of() {
        for reached in [100, 101, 1 << 40] {
            assert_eq!(known().went_back(&now(1, reached), false), None);
        }
        let unasked = SourceLife {
            identifier: None,
            ..now(1, 200)
        };
        assert_eq!(
            known().went_back(&unasked, false),
            None,
            "a role that may not ask"
        );
    }

    #[test]
    fn each_sign_is_enough() {
        let other = SourceLife {
            identifier: Some("8".into()),
            ..now(1, 200)
        };
        assert_eq!(known().went_back(&other, false), Some(WentBack::OtherCluster));
        assert_eq!(
            known().went_back(&now(2, 200), false),
            Some(WentBack::OtherTimeline { was: 1, is: 2 })
        );
        assert_eq!(
            known().went_back(&now(1, 99), false),
            Some(WentBack::EarlierPosition {
                was: Lsn(100),
                is: Lsn(99)
            })
        );
        assert_eq!(
            known().went_back(&now(1, 200), true),
            Some(WentBack::OurWriteIsGone)
        );
    }

    #[test]
    fn a_replica_may_be_late() {
        let late = SourceLife {
            timeline: None,
            replica: true,
            ..now(1, 50)
        };
        assert_eq!(known().went_back(&late, true), None);
    }

    #[test]
    fn writers_are_compared_round_the_circle() {
        let epoch = 7u64 << 32;
        assert!(SourceLife::is_as_new_as(1_000, epoch + 1_000));
        assert!(SourceLife::is_as_new_as(1_001, epoch + 1_000));
        assert!(!SourceLife::is_as_new_as(999, epoch + 1_000));
        assert!(
            SourceLife::is_as_new_as(5, epoch + u64::from(u32::MAX)),
            "ids began anew"
        );
        assert!(!SourceLife::is_as_new_as(u32::MAX, epoch + 5));
    }
}
