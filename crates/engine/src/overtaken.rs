//! Writes that passed over what people wrote meanwhile, in a list that takes no notice of `If-Match`.
//!
//! The answer shows it: what rests on a version lands as the very next one, so that a counter that is further on says
//! that somebody wrote in between. What that was stands in the item's versions; where the list keeps none it cannot be
//! kept either, and is reported.

use std::collections::BTreeSet;

use syncbridge_domain::agreed::{Agreed, target_hash};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::item_history::{HistoryRead, ItemHistory};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Fields, Item, ItemId};

use crate::agreement::Witness;
use crate::evidence;
use crate::ports::{Ledger, OverriddenEdit, PortResult, Target};
use crate::sending::Sent;
use crate::session::{Session, World};
use crate::work::Attempt;

/// Code of a change that a list took although its item was no longer what it rested on.
const IGNORED: &str = "list.precondition_ignored";

/// A write that came later than the next one after what it rested on.
pub(crate) struct Overtaking<'e> {
    pub(crate) identity: Identity,
    pub(crate) before: syncbridge_domain::version::Version,
    pub(crate) sent: &'e Fields,
    pub(crate) base: Option<&'e LedgerRow>,
    /// As the write left it, or as it is now.
    pub(crate) item: &'e Item,
    /// Whether the write's own answer showed the item.
    pub(crate) answered: bool,
}

impl<W: World> Session<'_, W> {
    /// Whether an answer shows that somebody wrote between what a change rested on and the change itself.
    pub(crate) fn passed_over(&self, attempt: &Attempt, item: Option<&Item>) -> bool {
        match (&attempt.effect.item, item) {
            (Some(link), Some(item)) => {
                attempt.effect.kind == EffectKind::PatchItem
                    && item.version.guid == link.before.guid
                    && item.version.counter > link.before.counter.saturating_add(1)
            }
            _ => false,
        }
    }

    /// Settles answered writes that passed over others, once what those wrote is on record.
    pub(crate) async fn inspect_overtaking(
        &mut self,
        attempts: Vec<Attempt>,
        sent: &mut Sent,
    ) -> PortResult<()> {
        let mut settled = Vec::new();
        let mut arrived = Vec::new();
        for chunk in attempts.chunks(20) {
            let overtaking: Vec<Overtaking<'_>> = chunk.iter().filter_map(overtaking).collect();
            let unread = self.record_overtaken(&overtaking).await?;
            for attempt in chunk {
                // Settled now, nobody would ask again what it passed over.
                if unread.contains(&attempt.work.identity()) {
                    sent.unsettled.push(attempt.work.clone());
                    continue;
                }
                let (item, request_id) = attempt.answered.clone().unwrap_or_default();
                match self.applied(attempt, item, Witness::Answer, request_id) {
                    Some(settlement) => {
                        settled.push(settlement);
                        arrived.extend(attempt.work.next_part());
                    }
                    None => sent.unsettled.push(attempt.work.clone()),
                }
            }
        }
        self.settle(settled).await?;
        sent.again.extend(self.with_base_now(arrived).await?);
        Ok(())
    }

    /// Keeps what was written over without having been seen. Answers of which rows it could not be asked now.
    pub(crate) async fn record_overtaken(
        &mut self,
        writes: &[Overtaking<'_>],
    ) -> PortResult<BTreeSet<Identity>> {
        let mut edits = Vec::new();
        let mut untold = Vec::new();
        let mut unread = BTreeSet::new();
        for chunk in writes.chunks(20) {
            let ids: Vec<ItemId> = chunk.iter().map(|write| write.item.id.clone()).collect();
            let read = self.ports.target.history(&ids, WhyTag::Probe).await;
            for (write, read) in chunk.iter().zip(read) {
                let found = match read {
                    HistoryRead::Told(history) if history.now.guid == write.before.guid => {
                        self.overtaken(write, &history)
                    }
                    HistoryRead::Unknown(_) => {
                        unread.insert(write.identity);
                        continue;
                    }
                    _ => None,
                };
                // Where only a look showed the write, whoever wrote beside it may as well have come later.
                if found.is_none() && write.answered {
                    untold.push(write.identity);
                }
                edits.extend(found.unwrap_or_default());
            }
        }
        for identity in untold {
            self.notice(format!(
                "{IGNORED}: the list took a change of ours although the item of row {identity} was no \
                 longer what it rested on, and does not tell what was written in between"
            ));
        }
        if edits.is_empty() {
            return Ok(unread);
        }
        self.counters.overridden += edits.len() as u64;
        self.ports
            .ledger
            .record_conflicts(self.fence(), self.spec.run, &edits)
            .await?;
        Ok(unread)
    }

    /// The edits that lie between what a write rested on and the write; nothing where the versions do not tell.
    fn overtaken(&self, write: &Overtaking<'_>, history: &ItemHistory) -> Option<Vec<OverriddenEdit>> {
        let agreed = write.base.and_then(|base| self.agreed_now(base))?;
        let shown = history.label_at(write.item.version.counter)?;
        let ours = history.versions.iter().position(|version| match write.answered {
            true => version.label == shown,
            false => {
                let item = history.item_at(&write.item.id, version);
                version.label <= shown
                    && version.by_us != Some(false)
                    && evidence::shows_sent(&self.spec.mapping, write.sent, &item)
            }
        })?;
        let since = history.label_at(write.before.counter);
        let mut edits: Vec<OverriddenEdit> = Vec::new();
        let between = history
            .versions
            .iter()
            .skip(ours + 1)
            .take_while(|version| since.is_none_or(|since| version.label > since));
        for version in between {
            let item = history.item_at(&write.item.id, version);
            let changed = self.changed_in(&item, write.sent, &agreed);
            // A counter that moved by itself makes the way back to what was known look longer than it is.
            if changed.is_empty() && !history.in_step() {
                return Some(edits);
            }
            if version.by_us == Some(true) {
                continue;
            }
            for (column, sent, shown) in changed {
                if edits.iter().all(|edit| edit.column != column) {
                    edits.push(OverriddenEdit {
                        identity: write.identity,
                        column,
                        source: sent,
                        target: shown,
                        winner: Side::Source,
                        target_at: None,
                        ambiguous: false,
                    });
                }
            }
        }
        since.filter(|since| history.reaches(*since))?;
        Some(edits)
    }

    /// Sent fields in which a version shows neither what was agreed on nor what was sent: column, and both values.
    fn changed_in(
        &self,
        item: &Item,
        sent: &Fields,
        agreed: &Agreed,
    ) -> Vec<(String, serde_json::Value, serde_json::Value)> {
        let fields = self.spec.mapping.fields.iter().zip(&agreed.fields);
        let changed = fields.filter_map(|(field, (_, known))| {
            let (sent, shown) = (sent.get(&field.target)?, item.value(&field.target)?);
            let differs = !field.passive
                && target_hash(self.ports.hash_key, shown) != *known
                && !evidence::same_value(&field.facet, sent, shown);
            differs.then(|| (field.column.clone(), sent.clone(), shown.clone()))
        });
        changed.collect()
    }
}

fn overtaking(attempt: &Attempt) -> Option<Overtaking<'_>> {
    let (item, _) = attempt.answered.as_ref()?;
    Some(Overtaking {
        identity: attempt.work.identity(),
        before: attempt.effect.item.as_ref()?.before,
        sent: &attempt.effect.sent,
        base: attempt.work.base.as_ref(),
        item: item.as_ref()?,
        answered: true,
    })
}
