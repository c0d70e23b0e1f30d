//! Rows that are held after a revert. They leave quarantine once both sides are the same again, and for nothing less:
//! not because one of several fields changed, and not because somebody edited a column that does not travel.

use syncbridge_domain::identity::Identity;
use syncbridge_domain::reconcile::{Decision, FieldDecision, RowDecision};
use syncbridge_domain::row::Presence;

use crate::ports::{Ledger, PortResult};
use crate::session::{Session, World};
use crate::work::{Held, Work};

impl<W: World> Session<'_, W> {
    /// Fills in which rows are held.
    pub(crate) async fn learn_held(&self, works: &mut [Work]) -> PortResult<()> {
        if works.is_empty() {
            return Ok(());
        }
        let ids: Vec<Identity> = works.iter().map(Work::identity).collect();
        let held = self.ports.ledger.held(&ids).await?;
        for work in works.iter_mut().filter(|work| held.contains(&work.identity())) {
            work.held = Held::Yes;
        }
        Ok(())
    }

    /// What a decision means for a row that is held.
    pub(crate) fn held_after(&self, work: &Work, decision: &Decision) -> Held {
        use FieldDecision as F;
        use RowDecision as R;
        if work.held == Held::No {
            return Held::No;
        }
        let will_be_equal = |at: usize| {
            let field = &self.spec.mapping.fields[at];
            match decision.fields[at] {
                F::Adopt
                | F::ToTarget
                | F::ConflictToTarget
                | F::ToSource
                | F::ConflictToSource
                | F::ForeignKept => true,
                _ if field.passive || decision.sends(at) => true,
                _ => match (work.source.one(), work.target.one()) {
                    (Some(row), Some(item)) => item
                        .value(&field.target)
                        .is_some_and(|shown| self.equivalent(field, &row.cells[at], shown)),
                    _ => false,
                },
            }
        };
        let ends = match decision.row {
            R::Fields | R::Adopt => (0..decision.fields.len()).all(will_be_equal),
            R::CreateItem
            | R::InsertRow
            | R::DeleteItem
            | R::DeleteRow
            | R::ArchiveItem
            | R::LeaveItem
            | R::Bury => true,
            _ => work.source == Presence::None && work.target == Presence::None,
        };
        if ends { Held::Ends } else { Held::Yes }
    }

    /// Lets rows go that were held and are the same on both sides again.
    pub(crate) async fn let_go<'w>(&self, works: impl Iterator<Item = &'w Work>) -> PortResult<()> {
        let ended = works.filter(|work| work.held == Held::Ends);
        let ids: Vec<Identity> = ended.map(Work::identity).collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.ports.ledger.let_go(self.fence(), &ids).await
    }
}
