//! Writes from their record to their end: admission, witness, probes.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use syncbridge_domain::dirty::retry_delay;
use syncbridge_domain::effect::{Admission, Effect, EffectKind, EffectState, Fence, NewEffect, Witness};
use syncbridge_domain::ids::{DefinitionId, EffectId, RunId};

use super::denied::Denied;
use super::tables::{StoredEffect, Tables};

/// How long after the last step of [`retry_delay`] an armed write is looked for again.
const SELDOM: Duration = Duration::from_hours(24);

impl Tables {
    /// Takes the slots of subjects and items, in the order of identities; then gives back those that were taken
    /// on the ground of a ledger row that is another one by now.
    pub(super) fn admit(
        &mut self,
        fence: Fence,
        run: RunId,
        effects: &[NewEffect],
        now: DateTime<Utc>,
    ) -> Result<Vec<Admission>, Denied> {
        let list = self.definition(fence.definition)?.list.clone();
        let mut ordered: Vec<&NewEffect> = effects.iter().collect();
        ordered.sort_by_key(|effect| effect.subject.identity);
        let mut taken = BTreeSet::new();
        for new in ordered {
            let effect = StoredEffect {
                definition: fence.definition,
                list: list.clone(),
                run,
                epoch: fence.epoch,
                new: new.clone(),
                recorded_under: None,
                witnessed: None,
                state: EffectState::Open,
                probes: 0,
                next_probe: now,
                created: now,
            };
            let busy = self.effects.values().any(|other| other.excludes(&effect));
            if !busy && !self.effects.contains_key(&new.id) {
                self.effects.insert(new.id, Arc::new(effect));
                taken.insert(new.id);
            }
        }
        let rows = &self.definition(fence.definition)?.rows;
        let is_stale = |effect: &&NewEffect| {
            let version = rows
                .get(&effect.subject.identity)
                .map_or(0, |stored| stored.row.row_version);
            taken.contains(&effect.id) && effect.expected_row_version.unwrap_or(0) != version
        };
        let stale: BTreeSet<EffectId> = effects.iter().filter(is_stale).map(|effect| effect.id).collect();
        self.effects.retain(|id, _| !stale.contains(id));
        let answer = |effect: &NewEffect| match effect.id {
            id if stale.contains(&id) => Admission::Stale,
            id if taken.contains(&id) => Admission::Admitted,
            _ => Admission::Busy,
        };
        Ok(effects.iter().map(answer).collect())
    }

    /// Open effects, then armed ones whose next look is due; oldest first in both.
    pub(super) fn unsettled(&self, definition: DefinitionId, limit: u32, now: DateTime<Utc>) -> Vec<Effect> {
        let mut due: Vec<&StoredEffect> = self
            .effects
            .values()
            .map(Arc::as_ref)
            .filter(|effect| effect.definition == definition)
            .filter(|effect| effect.state == EffectState::Open || effect.next_probe <= now)
            .collect();
        due.sort_by_key(|effect| {
            (
                Reverse(effect.state == EffectState::Open),
                effect.created,
                effect.new.id,
            )
        });
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        due.into_iter()
            .take(limit)
            .map(|effect| told(effect, now))
            .collect()
    }

    /// Armed effects that were looked for and not found: the next look comes later each time.
    pub(super) fn probed(&mut self, definition: DefinitionId, effects: &[EffectId], now: DateTime<Utc>) {
        for id in effects {
            let Some(effect) = self.effects.get_mut(id) else {
                continue;
            };
            if effect.definition == definition && effect.state == EffectState::Armed {
                let effect = Arc::make_mut(effect);
                effect.probes += 1;
                effect.next_probe = later(now, retry_delay(effect.probes + 1).unwrap_or(SELDOM));
            }
        }
    }

    /// Notes witnesses, all or none.
    pub(super) fn note_witnesses(
        &mut self,
        definition: DefinitionId,
        witnesses: &[Witness],
    ) -> Result<(), Denied> {
        let mut effects = self.effects.clone();
        for witness in witnesses {
            let effect = effects.get_mut(&witness.effect).ok_or(Denied::EffectUnknown)?;
            if !may_be_witnessed(effect, definition, witness) {
                return Err(Denied::EffectUnknown);
            }
            let effect = Arc::make_mut(effect);
            let before = effect.new.subject.identity;
            if before != witness.subject.identity {
                effect.recorded_under.get_or_insert(before);
            }
            effect.new.subject = witness.subject.clone();
            effect.new.after = witness.after.clone();
            effect.witnessed = Some(witness.xid);
        }
        for witness in witnesses {
            let mine = &effects[&witness.effect];
            let taken = |other: &Arc<StoredEffect>| other.new.id != witness.effect && other.excludes(mine);
            if effects.values().any(taken) {
                return Err(Denied::EffectTaken);
            }
        }
        self.effects = effects;
        Ok(())
    }
}

fn may_be_witnessed(effect: &StoredEffect, definition: DefinitionId, witness: &Witness) -> bool {
    let same = effect.new.subject.identity == witness.subject.identity;
    effect.definition == definition
        && effect.state == EffectState::Open
        && match effect.new.kind {
            EffectKind::InsertRow => true,
            kind => kind.is_of_row() && same,
        }
}

/// A moment so much later.
pub(super) fn later(now: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| now.checked_add_signed(by))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// How long ago that was; nothing where it lies ahead.
pub(super) fn ago(now: DateTime<Utc>, at: DateTime<Utc>) -> Duration {
    (now - at).to_std().unwrap_or_default()
}

fn told(effect: &StoredEffect, now: DateTime<Utc>) -> Effect {
    let new = &effect.new;
    Effect {
        id: new.id,
        run: effect.run,
        subject: new.subject.clone(),
        kind: new.kind,
        item: new.item.clone(),
        sent: new.sent.clone(),
        beside: new.cause.beside,
        after: new.after.clone(),
        witnessed: effect.witnessed,
        epoch: effect.epoch,
        state: effect.state,
        probes: effect.probes,
        // Whole seconds, as the meta-store tells it.
        age: Duration::from_secs((ago(now, effect.created) + Duration::from_millis(500)).as_secs()),
    }
}
