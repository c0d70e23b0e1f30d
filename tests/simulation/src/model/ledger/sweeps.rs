//! Leases, full comparisons, and what the guard counts.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use syncbridge_domain::effect::{EffectKind, Fence};
use syncbridge_domain::feed::Mark;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::DefinitionId;
use syncbridge_domain::ledger::LedgerState;

use super::denied::Denied;
use super::effects::{ago, later};
use super::tables::{Outcome, Tables};

/// How long an item can come back from the site's recycle bin, and its tombstone is of use.
const RECYCLE_BIN: TimeDelta = TimeDelta::days(93);

impl Tables {
    /// Whether the fence holds now, by this memory's clock.
    pub(super) fn check(
        &self,
        definition: DefinitionId,
        fence: Fence,
        now: DateTime<Utc>,
    ) -> Result<(), Denied> {
        if fence.definition != definition {
            return Err(Denied::WrongFence);
        }
        let lease = self.definitions.get(&definition);
        let holds = lease.is_some_and(|lease| {
            let same = lease.epoch == fence.epoch || syncbridge_domain::sabotaged!("stale epoch accepted");
            same && lease.lease_until.is_some_and(|until| until > now)
        });
        if holds { Ok(()) } else { Err(Denied::LeaseLost) }
    }

    /// The lease, where nobody has it: with a higher epoch than ever before. Otherwise how long it still holds.
    pub(super) fn acquire(
        &mut self,
        definition: DefinitionId,
        term: Duration,
        now: DateTime<Utc>,
    ) -> Result<Result<Fence, Duration>, Denied> {
        let lease = self.definition_mut(definition)?;
        if let Some(until) = lease.lease_until.filter(|until| *until > now) {
            return Ok(Err(ago(until, now)));
        }
        lease.epoch += 1;
        lease.lease_until = Some(later(now, term));
        Ok(Ok(Fence {
            definition,
            epoch: lease.epoch,
        }))
    }

    /// Prolongs a lease that holds; one that ran out is never revived.
    pub(super) fn renew(&mut self, fence: Fence, term: Duration, now: DateTime<Utc>) -> Result<(), Denied> {
        self.check(fence.definition, fence, now)?;
        self.definition_mut(fence.definition)?.lease_until = Some(later(now, term));
        Ok(())
    }

    /// Gives a lease back; one that is lost is left alone.
    pub(super) fn release(&mut self, fence: Fence) {
        let lease = self.definitions.get_mut(&fence.definition);
        if let Some(lease) = lease.filter(|lease| lease.epoch == fence.epoch) {
            lease.lease_until = None;
        }
    }

    /// Everything was compared as of this mark: tombstones go that every feed is past, once no item of theirs can
    /// come back and nothing of theirs is unsettled.
    pub(super) fn swept(
        &mut self,
        definition: DefinitionId,
        mark: Mark,
        now: DateTime<Utc>,
    ) -> Result<(), Denied> {
        let busy = |identity: &Identity| {
            let mut effects = self.effects.values();
            effects.any(|effect| effect.definition == definition && effect.new.subject.identity == *identity)
        };
        let known = self.definition(definition)?;
        let past: Vec<Identity> = known
            .rows
            .iter()
            .filter(|(_, stored)| stored.row.state == LedgerState::Tombstone && stored.row.mark < mark)
            .filter(|(_, stored)| stored.updated < now - RECYCLE_BIN)
            .filter(|(identity, _)| !busy(identity) && !known.dirty.contains_key(identity))
            .map(|(identity, _)| *identity)
            .collect();
        let definition = self.definition_mut(definition)?;
        definition.swept = Some(now);
        definition.rows.retain(|identity, _| !past.contains(identity));
        Ok(())
    }

    /// Items and rows deleted within this time before now without a person's word.
    pub(super) fn deleted_within(
        &self,
        definition: DefinitionId,
        window: Duration,
        now: DateTime<Utc>,
    ) -> u64 {
        let is_delete = |kind| matches!(kind, EffectKind::DeleteItem | EffectKind::DeleteRow);
        let deleted = self
            .history
            .iter()
            .filter(|entry| entry.definition == definition && entry.outcome == Outcome::Applied)
            .filter(|entry| entry.effect.is_some_and(|(_, kind)| is_delete(kind)))
            .filter(|entry| later(entry.at, window) > now)
            .filter(|entry| !self.deletes_allowed.contains(&entry.run));
        deleted.count() as u64
    }
}
