//! Which columns of a row its list refuses, where the refusal names none (decision 11).
//!
//! The row is sent again in parts. A part that is taken has arrived; one that is refused is halved. What this module
//! knows are positions of fields and answers, so that its bound can be tried with every set of culprits.

use syncbridge_domain::failure::Failure;

/// What is known about the suspects as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// They were refused together.
    Refused,
    /// They are what is left of a refused part whose other half was taken.
    Left,
    /// Nobody asked yet.
    Untried,
}

/// What goes out with every part and cannot be left out: the title and the key of a new item, a mark of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// There is none, or the list took it.
    Taken,
    /// It was only refused together with fields so far.
    Unknown,
    /// Together with all parts it was refused: it is asked for alone.
    Alone,
    /// It was refused alone.
    Refused,
}

/// The search for the columns of one row that its list refuses.
#[derive(Clone, Debug)]
pub(crate) struct ColumnSearch {
    suspects: Vec<usize>,
    standing: Standing,
    /// Fields to be judged after the suspects.
    rest: Vec<usize>,
    refused: Vec<usize>,
    frame: Frame,
    writes_left: u32,
    /// The newest refusal.
    pub(crate) cause: Failure,
}

/// What a search that is over says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// These fields, each of them.
    Each(Vec<usize>),
    /// One of these fields; the search came to its bound.
    OneOf(Vec<usize>),
    /// What every part has with it.
    Frame,
    /// Nothing: in parts, everything was taken.
    Nobody,
}

impl ColumnSearch {
    /// A search among fields that were refused together, and together with a frame unless that is known to be taken.
    pub(crate) fn new(suspects: Vec<usize>, frame: Frame, cause: Failure) -> Self {
        let writes_left = bound(suspects.len());
        let mut search = Self {
            suspects,
            standing: Standing::Refused,
            rest: Vec::new(),
            refused: Vec::new(),
            frame,
            writes_left,
            cause,
        };
        search.settle();
        search
    }

    /// The fields to send next, beside the frame; none where the search is over.
    pub(crate) fn part(&self) -> Option<&[usize]> {
        let over = self.writes_left == 0 || self.suspects.is_empty() || self.frame == Frame::Refused;
        (!over).then(|| match (self.frame, self.standing, self.suspects.len()) {
            (Frame::Alone, ..) => &[],
            // Refused with the frame: without this field it shows which of the two is to blame.
            (Frame::Unknown, Standing::Refused, 1) => self.rest.as_slice(),
            (_, Standing::Refused | Standing::Left, several) if several > 1 => {
                &self.suspects[..several.div_ceil(2)]
            }
            _ => self.suspects.as_slice(),
        })
    }

    /// The part was taken.
    pub(crate) fn taken(&mut self) {
        let left = self.writes_left.saturating_sub(1);
        self.arrived();
        self.writes_left = left;
    }

    /// The part needs no write: the list shows it already, or it is not to be sent any more.
    pub(crate) fn arrived(&mut self) {
        let Some(part) = self.part().map(<[usize]>::to_vec) else {
            return;
        };
        match std::mem::replace(&mut self.frame, Frame::Taken) {
            Frame::Alone => {
                self.blame_the_last();
                self.standing = Standing::Refused;
            }
            Frame::Unknown if self.standing == Standing::Refused && self.suspects.len() == 1 => {
                self.rest.clear();
                self.blame_the_last();
            }
            _ => {
                self.suspects.retain(|at| !part.contains(at));
                self.standing = Standing::Left;
                if self.suspects.is_empty() {
                    self.next_suspects();
                }
            }
        }
        self.settle();
    }

    /// The part was refused.
    pub(crate) fn refused(&mut self, cause: Failure) {
        let Some(part) = self.part().map(<[usize]>::to_vec) else {
            return;
        };
        self.writes_left = self.writes_left.saturating_sub(1);
        self.cause = cause;
        match self.frame {
            Frame::Alone => self.frame = Frame::Refused,
            Frame::Unknown if self.standing == Standing::Refused && self.suspects.len() == 1 => {
                self.frame = if part.is_empty() {
                    Frame::Refused
                } else {
                    Frame::Alone
                };
            }
            _ => {
                let others = self.suspects.split_off(part.len());
                self.rest.splice(0..0, others);
                self.standing = Standing::Refused;
            }
        }
        self.settle();
    }

    /// What is known at the end.
    pub(crate) fn blame(&self) -> Blame {
        if self.frame == Frame::Refused {
            Blame::Frame
        } else if !self.refused.is_empty() {
            Blame::Each(self.refused.clone())
        } else if !self.suspects.is_empty() {
            Blame::OneOf(self.suspects.clone())
        } else {
            Blame::Nobody
        }
    }

    /// Fields that the list does not show for all that is known.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = usize> {
        self.refused
            .iter()
            .chain(&self.suspects)
            .chain(&self.rest)
            .copied()
    }

    /// A single field that was refused with nothing but a frame that is taken is a culprit.
    fn settle(&mut self) {
        if self.frame == Frame::Taken && self.standing == Standing::Refused && self.suspects.len() == 1 {
            self.blame_the_last();
        }
    }

    fn blame_the_last(&mut self) {
        self.refused.append(&mut self.suspects);
        self.next_suspects();
    }

    fn next_suspects(&mut self) {
        self.suspects = std::mem::take(&mut self.rest);
        self.standing = Standing::Untried;
    }
}

/// How many writes a search among so many fields may take: enough for one culprit wherever it is, and for most of a
/// second one.
fn bound(fields: usize) -> u32 {
    2 * fields.next_power_of_two().trailing_zeros() + 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use syncbridge_domain::failure::Scope;

    use super::*;

    /// A list that refuses some fields, and the frame if it is one of those.
    struct List {
        refuses: BTreeSet<usize>,
        takes_the_frame: bool,
        holds: BTreeSet<usize>,
        writes: u32,
    }

    fn cause() -> Failure {
        Failure::new(Scope::Row, "graph.general_exception", "", "")
    }

    /// Searches to the end.
    fn searched(
        fields: usize,
        refuses: &[usize],
        frame: Frame,
        takes_the_frame: bool,
    ) -> (ColumnSearch, List) {
        let mut list = List {
            refuses: refuses.iter().copied().collect(),
            takes_the_frame,
            holds: BTreeSet::new(),
            writes: 0,
        };
        let mut search = ColumnSearch::new((0..fields).collect(), frame, cause());
        while let Some(part) = search.part().map(<[usize]>::to_vec) {
            list.writes += 1;
            if list.takes_the_frame && part.iter().all(|at| !list.refuses.contains(at)) {
                list.holds.extend(&part);
                search.taken();
            } else {
                search.refused(cause());
            }
        }
        (search, list)
    }

    #[test]
    fn one_culprit_is_found_wherever_it_is_and_everything_else_arrives() {
        for fields in 1..=40 {
            for culprit in 0..fields {
                for frame in [Frame::Taken, Frame::Unknown] {
                    let (search, list) = searched(fields, &[culprit], frame, true);
                    let told = format!("{culprit} of {fields}, {frame:?}, {} writes", list.writes);
                    assert_eq!(search.blame(), Blame::Each(vec![culprit]), "{told}");
                    assert!(list.writes <= bound(fields), "{told}");
                    assert!(search.outstanding().eq([culprit]), "{told}");
                    assert_eq!(list.holds.len(), fields - 1, "{told}");
                }
            }
        }
    }

    #[test]
    fn whatever_is_refused_nobody_is_blamed_wrongly_and_nothing_is_lost_count_of() {
        for fields in 1..=9usize {
            for set in 1..(1u32 << fields) {
                let refuses: Vec<usize> = (0..fields).filter(|at| set & (1 << at) != 0).collect();
                for frame in [Frame::Taken, Frame::Unknown] {
                    let (search, list) = searched(fields, &refuses, frame, true);
                    let told = format!("{refuses:?} of {fields}, {frame:?}: {search:?}");
                    assert!(list.writes <= bound(fields), "{told}");
                    match search.blame() {
                        Blame::Each(blamed) => {
                            assert!(!blamed.is_empty(), "{told}");
                            assert!(blamed.iter().all(|at| refuses.contains(at)), "{told}");
                        }
                        Blame::OneOf(some) => assert!(some.iter().any(|at| refuses.contains(at)), "{told}"),
                        Blame::Frame | Blame::Nobody => panic!("{told}"),
                    }
                    // What is not outstanding arrived, and the other way round.
                    let outstanding: BTreeSet<usize> = search.outstanding().collect();
                    let everything: BTreeSet<usize> = (0..fields).collect();
                    let expected: BTreeSet<usize> = everything.difference(&list.holds).copied().collect();
                    assert_eq!(outstanding, expected, "{told}");
                }
            }
        }
    }

    #[test]
    fn a_frame_that_is_refused_alone_is_to_blame_and_no_field() {
        for fields in 1..=40 {
            let (search, list) = searched(fields, &[], Frame::Unknown, false);
            assert_eq!(search.blame(), Blame::Frame, "{fields}");
            assert!(list.writes <= bound(fields), "{fields}: {}", list.writes);
            assert!(list.holds.is_empty());
        }
    }

    #[test]
    fn fields_that_are_refused_only_together_arrive_one_after_another() {
        // A rule over two columns that both of the new values keep, but not one new and one old.
        let mut search = ColumnSearch::new(vec![3, 5], Frame::Taken, cause());
        search.taken();
        assert_eq!(search.part(), Some([5].as_slice()));
        search.taken();
        assert_eq!(search.part(), None);
        assert_eq!(search.blame(), Blame::Nobody);
    }

    #[test]
    fn a_part_that_needs_no_write_costs_none() {
        let mut search = ColumnSearch::new((0..8).collect(), Frame::Taken, cause());
        let before = search.writes_left;
        search.arrived();
        assert_eq!(search.writes_left, before);
        assert_eq!(search.part(), Some([4, 5].as_slice()));
    }

    #[test]
    fn the_bound_is_twice_the_halvings_and_one() {
        for (fields, most) in [(1, 1), (2, 3), (3, 5), (4, 5), (8, 7), (9, 9), (40, 13)] {
            assert_eq!(bound(fields), most);
        }
    }
}
