//! Fields that a flow or a trigger fights us over (DESIGN §5, the ping-pong breaker): what is counted of our writes, and
//! what is left to a person.

use syncbridge_domain::agreed::{Agreed, target_hash};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::mapping::FieldMapping;
use syncbridge_domain::ping_pong::{FieldTurn, PingPong, Turned, hold};
use syncbridge_domain::policy::{Direction, OnForeignEdit};
use syncbridge_domain::reconcile::{Decision, FieldDecision, FieldInput};

use crate::ports::PortResult;
use crate::ports::pull_memory::PullMemory;
use crate::session::{Session, World};
use crate::work::Work;

impl<W: World> Session<'_, W> {
    fn ping_pong(&self) -> PingPong {
        self.spec.policies.two_way.ping_pong
    }

    /// Whether anything of this definition can come back to us at all.
    fn can_be_fought(&self) -> bool {
        let restores = |field: &FieldMapping| {
            let rule = field
                .on_foreign_edit
                .unwrap_or(self.spec.policies.on_foreign_edit);
            rule == OnForeignEdit::Restore && !field.passive
        };
        self.pulls() || self.spec.mapping.fields.iter().any(restores)
    }

    /// What is known of earlier writes to the fields of these rows.
    pub(crate) async fn learn_turns(&self, works: &mut [Work]) -> PortResult<()> {
        if !self.can_be_fought() || works.iter().all(|work| work.base.is_none()) {
            return Ok(());
        }
        let ids: Vec<_> = works.iter().map(Work::identity).collect();
        let known = self.ports.ledger.turns(&ids).await?;
        for (work, turns) in works.iter_mut().zip(known) {
            work.turns = turns;
        }
        Ok(())
    }

    /// Whether a field came back so often that it is left to a person.
    pub(crate) fn is_fought_over(&self, work: &Work, field: &FieldMapping) -> bool {
        let limit = self.ping_pong();
        let mut turns = work.turns.iter();
        turns.any(|turned| turned.column == field.column && limit.trips(turned.returns))
    }

    /// Leaves fields that are fought over to a person, and carries out what a person decided about them.
    pub(crate) fn hold_fought_over(&self, work: &Work, inputs: &[FieldInput], decision: &mut Decision) {
        if work.turns.is_empty() {
            return;
        }
        let fields = self.spec.mapping.fields.iter().zip(inputs);
        for (decided, (field, input)) in decision.fields.iter_mut().zip(fields) {
            if self.is_fought_over(work, field) {
                *decided = hold(*decided, self.as_far_as_it_goes(field), input.resolution);
            }
        }
    }

    /// The direction of a field in this definition: one that goes one way has no fields that go both ways.
    pub(crate) fn as_far_as_it_goes(&self, field: &FieldMapping) -> Direction {
        match field.direction {
            Direction::Both if !self.pulls() => Direction::Push,
            Direction::Both if !self.pushes() => Direction::Pull,
            direction => direction,
        }
    }

    /// What a write of this field to the list means for the breaker. `restores`: the row's value goes out although the
    /// row did not change.
    pub(crate) fn turn_to_list(
        &self,
        work: &Work,
        at: usize,
        decided: FieldDecision,
        restores: bool,
    ) -> Option<FieldTurn> {
        let field = &self.spec.mapping.fields[at];
        let restores = restores && decided == FieldDecision::ToTarget;
        // The first value to go out is nobody's answer; only what was taken from the list before can come back to it.
        let is_known = work.turns.iter().any(|turned| turned.column == field.column);
        (restores || is_known && causes(decided)).then(|| self.turn(field, Side::Target, restores))
    }

    /// What a write of this field to the source means for the breaker.
    pub(crate) fn turn_to_source(
        &self,
        agreed: &Agreed,
        at: usize,
        decided: FieldDecision,
        shown: &serde_json::Value,
    ) -> Option<FieldTurn> {
        let field = &self.spec.mapping.fields[at];
        let unchanged = target_hash(self.ports.hash_key, shown) == agreed.fields[at].1;
        let restores = unchanged && decided == FieldDecision::ToSource;
        let both = self.as_far_as_it_goes(field) == Direction::Both;
        (restores || both && causes(decided)).then(|| self.turn(field, Side::Source, restores))
    }

    fn turn(&self, field: &FieldMapping, to: Side, restores: bool) -> FieldTurn {
        FieldTurn {
            column: field.column.clone(),
            to,
            restores,
            within: self.ping_pong().within(),
        }
    }

    /// Counts writes that were applied a moment ago, as the memory does. A field that was held and written all the same
    /// was written by a person's decision, with which its count begins anew.
    pub(crate) fn count_turns(&self, work: &mut Work, turns: &[FieldTurn]) {
        for turn in turns {
            let at = work.turns.iter().position(|known| known.column == turn.column);
            let last = at.map(|at| work.turns.swap_remove(at));
            let returned = Turned::is_return(last.as_ref().map(|known| known.to), turn);
            let before = last.map_or(0, |known| known.returns);
            work.turns.push(Turned {
                column: turn.column.clone(),
                to: turn.to,
                returns: match self.ping_pong().trips(before) {
                    true => 0,
                    false => before + u32::from(returned),
                },
            });
        }
    }
}

/// Whether a decision is itself why a field is written.
fn causes(decided: FieldDecision) -> bool {
    matches!(
        decided,
        FieldDecision::ToTarget
            | FieldDecision::ConflictToTarget
            | FieldDecision::ToSource
            | FieldDecision::ConflictToSource
    )
}
