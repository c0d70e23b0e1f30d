//! What stands between a mistake and a list: how much may be destroyed without a person's word, and whether the
//! ledger is this table's at all (DESIGN §5, Guards).

use std::time::Duration;

use syncbridge_domain::failure::{Failure, Scope};

use crate::ports::{Ledger, PortResult};
use crate::session::{Session, World};

impl<W: World> Session<'_, W> {
    /// How many of `live` rows' items may go now: what the policy lets pass, less what went within its window,
    /// or what a person asked for.
    pub(crate) async fn delete_allowance(&self, live: u64) -> PortResult<u64> {
        let guard = self.spec.policies.delete_guard;
        let used = match guard.window {
            Some(seconds) => {
                let window = Duration::from_secs(seconds);
                self.ports.ledger.deleted_within(window).await?
            }
            None => 0,
        };
        // The share is one of what there was when the window began.
        let by_policy = guard.allowance(live.saturating_add(used)).saturating_sub(used);
        Ok(self
            .spec
            .options
            .allow_deletes
            .map_or(by_policy, |asked| asked.max(by_policy)))
    }

    /// Opens the destructive budget of this run: all of what is gone, or nothing.
    pub(crate) async fn set_delete_budget(&mut self, gone: u64) -> PortResult<()> {
        let live = self.ports.ledger.live_rows().await?;
        let allowance = self.delete_allowance(live).await?;
        if gone <= allowance {
            // Rows that vanish while the run reads them fall under what is left of the same budget.
            self.deletes_left = allowance;
            return Ok(());
        }
        self.deletes_left = 0;
        if self.deletes_destroy() {
            self.notice(format!(
                "{gone} of {live} rows are gone from the source, more than the guard lets pass ({allowance}): \
                 nothing was deleted. If they are meant to go, run `syncbridge run {} --allow-deletes {gone}`",
                self.spec.definition_name
            ));
        }
        Ok(())
    }

    /// A ledger that was written under another hash key describes other identities: going on would make every
    /// row a second time and then delete the first one.
    pub(crate) async fn refuse_other_hash_key(&self) -> PortResult<()> {
        let Some(first) = self.ports.ledger.digests(None, None, 1).await?.pop() else {
            return Ok(());
        };
        let row = self.ports.ledger.rows(&[first.identity]).await?.pop().flatten();
        match row {
            Some(row) if self.identity(&row.key) != row.identity => Err(Failure::new(
                Scope::List,
                "ledger.other_hash_key",
                "the ledger was written under another hash key, or for another namespace, than the present one",
                "restore the hash key that belongs to this ledger (it is part of the meta-store's backup); nothing \
                 was written",
            )),
            _ => Ok(()),
        }
    }
}
