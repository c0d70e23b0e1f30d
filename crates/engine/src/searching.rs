//! Rows that are refused without a word about the column: sent in parts until it is known (decision 11).
//!
//! Each part is a decision, an effect and a write like any other, so that a person's edit in between is met and a
//! crash leaves nothing behind but a row that is still dirty.

use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::mapping::{FieldMapping, STATE_COLUMN, SYNC_KEY_COLUMN, TITLE_COLUMN};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::VALUES_REFUSED;
use syncbridge_domain::reconcile::{Decision, FieldDecision, RowDecision};
use syncbridge_domain::row::Presence;

use crate::agreement::release;
use crate::answer::Next;
use crate::column_search::{Blame, ColumnSearch, Frame};
use crate::compose::returns;
use crate::session::{Session, World};
use crate::work::{Attempt, Work};

/// For so many rows of one run the column is looked for: a list that refuses everything must not spend the quota of
/// those that take something. Rows beyond it have their turn with their next attempts.
pub(crate) const SEARCHES: u32 = 20;

/// Whether values were refused, and nothing says which.
pub(crate) fn blames_no_column(failure: &Failure) -> bool {
    failure.scope == Scope::Row && failure.column.is_none() && VALUES_REFUSED.contains(&failure.code.as_str())
}

impl Work {
    /// The fields that may be sent now, where the row is sent in parts.
    pub(crate) fn part(&self) -> Option<&[usize]> {
        self.search.as_ref().and_then(|search| search.part())
    }

    /// A write was taken: what is left of the row, where it is sent in parts.
    pub(crate) fn next_part(&self) -> Option<Work> {
        self.part()?;
        let mut work = self.clone();
        work.search.as_mut()?.taken();
        Some(Work {
            target: Presence::Unseen,
            rounds: 0,
            ..work
        })
    }
}

impl<W: World> Session<'_, W> {
    /// What follows from values that were refused without a column being named.
    pub(crate) fn refused_unexplained(&mut self, attempt: &Attempt, failure: Failure) -> Next {
        let mut work = attempt.work.clone();
        match &mut work.search {
            Some(search) if search.part().is_some() => search.refused(failure),
            Some(_) => return Next::Settle(self.quarantined(attempt, failure)),
            None => match self.begun(attempt, &failure) {
                Some(search) => work.search = Some(Box::new(search)),
                None => return Next::Settle(self.quarantined(attempt, failure)),
            },
        }
        work.why = WhyTag::FaultRetry;
        // Parts have a bound of their own.
        work.rounds = 0;
        Next::Again(release(attempt), Box::new(work))
    }

    /// A search among the fields of this write. None where there is nothing to tell apart, where a row is written
    /// only once, and where this run has searched enough.
    fn begun(&mut self, attempt: &Attempt, failure: &Failure) -> Option<ColumnSearch> {
        let created = attempt.effect.kind == EffectKind::CreateItem;
        let sent = &attempt.effect.sent;
        let mapped = self.spec.mapping.fields.iter().enumerate();
        let fields: Vec<usize> = mapped
            .filter(|(_, field)| sent.contains_key(&field.target) && !(created && self.frames(field)))
            .map(|(at, _)| at)
            .collect();
        if created && self.spec.policies.archive_only || !created && fields.is_empty() {
            return None;
        }
        let framed = created
            || [STATE_COLUMN, SYNC_KEY_COLUMN]
                .iter()
                .any(|name| sent.contains_key(*name));
        let frame = match (framed, fields.is_empty()) {
            (true, true) => Frame::Refused,
            (true, false) => Frame::Unknown,
            (false, _) => Frame::Taken,
        };
        let search = ColumnSearch::new(fields, frame, failure.clone());
        if search.part().is_some() {
            if self.searches_left == 0 {
                self.notice(format!(
                    "more than {SEARCHES} rows were refused without a word about the column; for the others it is \
                     looked for when they are tried again"
                ));
                return None;
            }
            self.searches_left -= 1;
        }
        Some(search)
    }

    /// Whether a new item is never made without this field: its title, which a list may require, and what it is
    /// recognised by, without which it would be made twice.
    pub(crate) fn frames(&self, field: &FieldMapping) -> bool {
        field.target == TITLE_COLUMN || field.target == self.spec.target.rules.identity.column()
    }

    /// Moves a search past parts that need no write any more. Answers what the row is refused for, where the search
    /// is over and something did not arrive.
    pub(crate) fn search_on(&self, work: &mut Work, decision: &Decision) -> Option<Failure> {
        let created = match decision.row {
            RowDecision::CreateItem => true,
            RowDecision::Fields => false,
            _ => return None,
        };
        if decision.needs_target() || decision.fields.contains(&FieldDecision::NeedsPlan) {
            return None;
        }
        let framed = returns(work) || self.lacks_sync_key(work);
        let search = work.search.as_mut()?;
        while let Some(part) = search.part() {
            if created || framed || part.iter().any(|at| decision.sends(*at)) {
                return None;
            }
            search.arrived();
        }
        let waits = |at: &usize| created || decision.sends(*at);
        let outstanding = search.outstanding().filter(waits).count();
        match search.blame() {
            Blame::Frame => Some(self.frame_refused(search, created)),
            _ if outstanding == 0 => None,
            Blame::Each(blamed) => {
                let blamed: Vec<usize> = blamed.into_iter().filter(waits).collect();
                (!blamed.is_empty()).then(|| self.blamed(search, &blamed, outstanding - blamed.len()))
            }
            Blame::OneOf(some) => Some(self.one_of(search, &some)),
            Blame::Nobody => None,
        }
    }

    fn blamed(&self, search: &ColumnSearch, blamed: &[usize], untold: usize) -> Failure {
        let cause = &search.cause.cause;
        let and = match untold {
            0 => String::new(),
            more => format!(", and {more} more could not be looked into"),
        };
        let cause = format!("{cause}; sent in parts, the row is taken but for this{and}");
        self.about(search, blamed, cause, CORRECT)
    }

    fn one_of(&self, search: &ColumnSearch, some: &[usize]) -> Failure {
        let cause = format!("{}; sent in parts, one of these is refused", search.cause.cause);
        self.about(search, some, cause, CORRECT)
    }

    fn frame_refused(&self, search: &ColumnSearch, created: bool) -> Failure {
        let fields = self.spec.mapping.fields.iter().enumerate();
        let framing: Vec<usize> = fields
            .filter(|(_, field)| created && field.direction != Direction::Pull && self.frames(field))
            .map(|(at, _)| at)
            .collect();
        if framing.is_empty() {
            return search.cause.clone();
        }
        let cause = format!(
            "{}; an item with nothing but its title and key is refused too",
            search.cause.cause
        );
        self.about(search, &framing, cause, CORRECT_OR_FILL)
    }

    fn about(&self, search: &ColumnSearch, fields: &[usize], cause: String, fix: &str) -> Failure {
        let columns = fields
            .iter()
            .map(|at| self.spec.mapping.fields[*at].column.as_str());
        Failure::new(Scope::Row, "item.column_refused", cause, fix)
            .column(columns.collect::<Vec<_>>().join(", "))
            .request_id(search.cause.request_id.clone())
    }
}

const CORRECT: &str = "compare the row's value with the column's settings in the list (type, length, validation) and \
                       correct one of them, then retry the row; what the list took of the row is in it already";
const CORRECT_OR_FILL: &str = "compare the value with the column's settings in the list, and see whether the list requires a \
                               column that the row leaves empty; then retry the row";
