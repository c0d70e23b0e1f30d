//! Why something is written or recorded, for the ledger's history: the decision itself, and who made it.

use syncbridge_domain::history::{Beside, Cause, Decider, FieldCause};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::reconcile::{
    Decision, FieldDecision, FieldInput, RowInput, Seen, deletion_met_an_edit,
};

use crate::session::{Session, World};
use crate::work::Intent;

impl<W: World> Session<'_, W> {
    /// What is to be kept of a decision. `judged` is what [`syncbridge_domain::reconcile::reconcile`] said, `decision`
    /// what a person's order made of it.
    pub(crate) fn cause(
        &self,
        row: &RowInput,
        inputs: &[FieldInput],
        judged: &[FieldDecision],
        decision: &Decision,
    ) -> Cause {
        let fields = self.spec.mapping.fields.iter().zip(inputs);
        let decided = decision.fields.iter().zip(judged);
        let fields = fields.zip(decided);
        Cause {
            rule: decision.row,
            by: match deletion_met_an_edit(row, inputs) {
                true => row.conflict.into(),
                false => Decider::Change,
            },
            beside: if self.spec.options.retire.is_some() {
                Some(Beside::Retire)
            } else if self.repairs() {
                Some(Beside::Repair)
            } else {
                None
            },
            fields: fields
                .filter(|(_, (decided, _))| **decided != FieldDecision::Nothing)
                .map(|((field, input), (decided, judged))| FieldCause {
                    column: field.column.clone(),
                    rule: *decided,
                    by: decider(row, input, *judged, *decided),
                })
                .collect(),
        }
    }
}

/// Writes down why in whatever is going to be recorded; what it was made for beside that is known there.
pub(crate) fn explain(intent: &mut Intent, cause: impl FnOnce() -> Cause) {
    let kept = match intent {
        Intent::Write(attempt) => &mut attempt.effect.cause,
        Intent::WriteRow(attempt) => &mut attempt.effect.cause,
        Intent::Record(_, _, kept) => kept,
        _ => return,
    };
    let cause = cause();
    *kept = Cause {
        beside: kept.beside.or(cause.beside),
        ..cause
    };
}

fn decider(row: &RowInput, input: &FieldInput, judged: FieldDecision, decided: FieldDecision) -> Decider {
    use FieldDecision as F;
    match (judged, decided) {
        (F::NeedsPlan, F::ConflictToSource | F::ConflictToTarget) if input.resolution.is_none() => {
            Decider::Approval
        }
        (F::ForeignReported, F::ConflictToTarget) => Decider::Repair,
        (_, F::ConflictToSource | F::ConflictToTarget) if input.resolution.is_some() => Decider::Person,
        // Whatever keeps it from being decided, a person is to.
        (_, F::ConflictParked) => Decider::Manual,
        (_, F::ConflictToSource | F::ConflictToTarget) => {
            let both_ways = row.pushes && row.pulls && input.rule.direction == Direction::Both;
            match both_ways {
                true => input.rule.conflict.into(),
                false => Decider::Direction,
            }
        }
        (_, F::ForeignReported | F::ForeignKept) => Decider::Direction,
        // The owner's value goes out although the owner did not change it: the other side's edit is put back.
        (_, F::ToTarget) if is_as_agreed(input.base_source, input.source) => Decider::Direction,
        (_, F::ToSource) if is_as_agreed(input.base_target, input.target) => Decider::Direction,
        _ => Decider::Change,
    }
}

fn is_as_agreed(base: syncbridge_domain::agreed::CellHash, seen: Seen) -> bool {
    base.is_some() && seen == Seen::Value(base)
}
