//! What stands between a mistake and a list: how much may be destroyed without a person's word, whether the table
//! is to be believed, hours in which nothing is destroyed at all, and whether the ledger is this table's (DESIGN §5,
//! Guards).

use std::time::Duration;

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::freeze::{frozen_until, is_frozen};
use syncbridge_domain::identity::Key;
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::sentinel;

use crate::ports::{Ledger, PortResult, Source};
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
        self.allowance = Some(allowance);
        if self.deletes_destroy() {
            self.watch_sentinels().await?;
            if gone > 0 && self.is_held() {
                self.deletes_left = 0;
                self.tell_frozen();
                return Ok(());
            }
        }
        if let Some(deletes) = self.deletes_by_plan(allowance) {
            self.deletes_left = deletes;
            return Ok(());
        }
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

    /// What stands against destroying anything now, however little, in order of its weight. `--allow-deletes` is
    /// no answer to it.
    pub(crate) async fn hold(&mut self) -> PortResult<Option<Failure>> {
        self.watch_sentinels().await?;
        Ok(self.distrust.clone().or_else(|| self.frozen()))
    }

    /// Whether one more item may go now.
    pub(crate) fn may_destroy(&self) -> bool {
        self.deletes_left > 0 && !self.is_held()
    }

    fn is_held(&self) -> bool {
        let freeze = &self.spec.policies.freeze;
        self.distrust.is_some() || !freeze.is_empty() && is_frozen(freeze, self.ports.clock.now())
    }

    /// The freeze window that this moment lies in.
    pub(crate) fn frozen(&self) -> Option<Failure> {
        let until = frozen_until(&self.spec.policies.freeze, self.ports.clock.now())?;
        Some(Failure::new(
            Scope::List,
            "guard.frozen",
            format!(
                "a freeze window of the definition holds deletions and archive marks back until {} ({})",
                until.format("%Y-%m-%d %H:%M"),
                until.timezone().name()
            ),
            format!(
                "run `syncbridge run {}` after it; if it cannot wait, change `guards.freeze` and apply the definition",
                self.spec.definition_name
            ),
        ))
    }

    /// Says that something waits for the end of a freeze window, where it does.
    pub(crate) fn tell_frozen(&mut self) {
        if let Some(frozen) = self.frozen() {
            self.notice(format!(
                "rows are gone from the source, and nothing was deleted: {frozen}"
            ));
        }
    }

    /// Keys to be read together with rows that may be gone: both show one state of the table.
    pub(crate) fn sentinels(&self) -> &[Key] {
        if self.deletes_destroy() {
            &self.spec.sentinels
        } else {
            &[]
        }
    }

    /// Looks whether the sentinels are there.
    pub(crate) async fn watch_sentinels(&mut self) -> PortResult<()> {
        if self.spec.sentinels.is_empty() {
            return Ok(());
        }
        let (found, _) = self.ports.source.read_keys(&self.spec.sentinels).await?;
        self.judge_sentinels(&found);
        Ok(())
    }

    /// One that was missing once takes the table's word away for the whole run.
    pub(crate) fn judge_sentinels(&mut self, found: &[Presence<SourceRow>]) {
        if let Some(missing) = sentinel::missing(&self.spec.mapping.key, found) {
            self.notice(missing.to_string());
            self.distrust = Some(missing);
        }
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
