//! Sources and lists that went back to an earlier moment (DESIGN §7, "time can run backwards"): what was agreed on is
//! known no longer where a side does not show it any more, and nothing of that is written without a person's word.
//!
//! A source's life is looked at before a run begins, by whoever starts it. Once a person approved going on, its marks
//! are of a new generation, and rows that were last agreed on in an earlier one are told by that. A list shows it by
//! itself: counters of items only rise while it lives.

use syncbridge_domain::agreed::{Agreed, source_hash, target_hash};
use syncbridge_domain::failure::{Failure, PLAN_NEEDED, Scope};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, ItemId, ItemRead};
use syncbridge_domain::row::Presence;

use crate::ports::PortResult;
use crate::session::{Session, World};
use crate::work::{Intent, Work};

/// So many items are read to tell a list that went back from an answer that was late.
const LOOKS: usize = 3;

impl<W: World> Session<'_, W> {
    /// Whether row and item were last agreed on in an earlier life of the source.
    fn is_of_an_earlier_life(&self, work: &Work) -> bool {
        work.base
            .as_ref()
            .is_some_and(|base| base.mark.generation < self.generation)
    }

    /// Whether the agreement is from before one of the two sides went back.
    pub(crate) fn went_back(&self, work: &Work) -> bool {
        self.is_of_an_earlier_life(work) || item_went_back(work)
    }

    /// What a side that went back does not show as agreed is nobody's edit: nothing is known about these fields.
    ///
    /// # Errors
    /// `list.went_back` where no person approved going on.
    pub(crate) fn forget_what_went_back(&self, work: &Work, agreed: &mut Agreed) -> PortResult<()> {
        if let Some(source) = work.source.one().filter(|_| self.is_of_an_earlier_life(work)) {
            for (cell, hashes) in source.cells.iter().zip(&mut agreed.fields) {
                if hashes.0.is_some() && source_hash(self.ports.hash_key, cell) != hashes.0 {
                    *hashes = (None, None);
                }
            }
        }
        // A repair puts the source's values back whatever the list shows.
        if !item_went_back(work) || self.repairs() {
            return Ok(());
        }
        if !self.spec.options.approve_unagreed {
            return Err(self.list_went_back());
        }
        let item = work.target.one();
        for (field, hashes) in self.spec.mapping.fields.iter().zip(&mut agreed.fields) {
            let shown = item.and_then(|item| item.value(&field.target));
            if shown.is_some_and(|json| target_hash(self.ports.hash_key, json) != hashes.1) {
                *hashes = (None, None);
            }
        }
        Ok(())
    }

    /// What comes before anything else for a row that a source lost when it went back.
    pub(crate) fn judge_lost_row(&self, work: &Work) -> Option<Intent> {
        if !self.is_lost(work) {
            return None;
        }
        if !self.spec.options.approve_unagreed {
            return Some(Intent::Quarantine(Box::new(self.quarantine(
                &work.subject,
                None,
                self.lost_with_the_source(),
            ))));
        }
        let item_is_needed = self.takes_inserts() && work.target == Presence::Unseen;
        item_is_needed.then_some(Intent::Look)
    }

    /// Whether a row that the source lost is made again from its item.
    pub(crate) fn comes_back(&self, work: &Work) -> bool {
        self.is_lost(work) && self.takes_inserts() && work.target.one().is_some()
    }

    fn is_lost(&self, work: &Work) -> bool {
        let was_live = work
            .base
            .as_ref()
            .is_some_and(|base| base.state == LedgerState::Live);
        was_live && work.source == Presence::None && self.is_of_an_earlier_life(work)
    }

    fn lost_with_the_source(&self) -> Failure {
        Failure::new(
            Scope::Row,
            PLAN_NEEDED,
            "the source went back to an earlier moment, and the row is not in it any more",
            format!(
                "look at the item; `syncbridge run {} --approve` {}",
                self.spec.definition_name,
                match self.takes_inserts() {
                    true => "makes the row again from it",
                    false => "lets the list follow, as far as the guard lets it",
                }
            ),
        )
    }

    /// Items whose feed entries are older than what was agreed on. An entry may be late, an item that is read is not:
    /// where one of them really went back, so did the list.
    ///
    /// # Errors
    /// `list.went_back` where it did and no person approved going on.
    pub(crate) async fn went_back_in_list(
        &self,
        older: Vec<(Item, LedgerRow)>,
    ) -> PortResult<Vec<(Item, LedgerRow)>> {
        let sample: Vec<ItemId> = older
            .iter()
            .take(LOOKS)
            .map(|(item, _)| item.id.clone())
            .collect();
        if sample.is_empty() {
            return Ok(Vec::new());
        }
        let reads = self.read_all(&sample, WhyTag::Probe).await;
        let mut pairs = reads.iter().zip(&older);
        let went_back = pairs.any(|(read, (_, row))| match read {
            ItemRead::One(item) => is_older(item, row),
            ItemRead::Gone | ItemRead::Unknown(_) => false,
        });
        match went_back {
            false => Ok(Vec::new()),
            true if self.spec.options.approve_unagreed => Ok(older),
            true => Err(self.list_went_back()),
        }
    }

    fn list_went_back(&self) -> Failure {
        let name = &self.spec.definition_name;
        let fix = match self.spec.direction {
            Direction::Push => format!(
                "see what happened to the list. `syncbridge verify {name} --repair` writes the source's values again"
            ),
            Direction::Pull => format!(
                "see what happened to the list. `syncbridge run {name} --approve` lets the table follow it as it is now"
            ),
            Direction::Both => format!(
                "see what happened to the list. `syncbridge run {name} --approve` goes on; where the two differ the conflict \
                 policy of each field decides, and the value that loses is kept"
            ),
        };
        Failure::new(
            Scope::List,
            "list.went_back",
            "items of the list are older than this definition last saw them: the list was put back to an earlier moment. \
             Nothing of it is overwritten",
            fix,
        )
    }
}

/// Whether the item that is shown is an earlier version of the very item that was agreed on.
fn item_went_back(work: &Work) -> bool {
    match (&work.base, work.target.one()) {
        (Some(base), Some(item)) => base.state == LedgerState::Live && is_older(item, base),
        _ => false,
    }
}

fn is_older(item: &Item, row: &LedgerRow) -> bool {
    item.version.guid == row.version.guid && item.version.counter < row.version.counter
}
