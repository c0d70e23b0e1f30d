//! What every step of one run shares: the spec, the ports, counters, and what was learnt on the way.

use std::collections::{BTreeMap, BTreeSet};

use syncbridge_domain::agreed::{Agreed, RowDigest, row_digest};
use syncbridge_domain::dirty::NewQuarantine;
use syncbridge_domain::effect::{Effect, EffectKind, Fence, Subject};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::{Lsn, Mark};
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ids::EffectId;
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::row::Cell;
use syncbridge_domain::run::{Counters, RunKind, RunSpec};

use crate::business_key::{Ambiguous, StrangersOf};
use crate::planning::{Following, Planning, no_book};
use crate::ports::list_feed::ListFeed;
use crate::ports::pull_memory::PullMemory;
use crate::ports::row_writer::RowWriter;
use crate::ports::{Control, Ledger, PortResult, Ports, Progress, Scratch, Source, Target};
use crate::searching::SEARCHES;
use crate::standstill::Standstill;

/// All port types of a run under one name, so that a function needs one bound instead of six.
pub trait World: Sync {
    /// The table.
    type Source: Source + RowWriter;
    /// The list.
    type Target: Target + ListFeed;
    /// The memory.
    type Ledger: Ledger + PullMemory;
    /// Scratch space.
    type Scratch: Scratch;
    /// Lease and cancel.
    type Control: Control;
    /// Progress.
    type Progress: Progress;
}

/// The ports of a world.
pub(crate) type WorldPorts<'a, W> = Ports<
    'a,
    <W as World>::Source,
    <W as World>::Target,
    <W as World>::Ledger,
    <W as World>::Scratch,
    <W as World>::Control,
    <W as World>::Progress,
>;

/// One run under way.
pub(crate) struct Session<'a, W: World> {
    pub(crate) spec: &'a RunSpec,
    pub(crate) ports: WorldPorts<'a, W>,
    pub(crate) layout: LayoutStamp,
    stamps: Vec<u64>,
    old_layouts: BTreeMap<u32, Option<Vec<u64>>>,
    pub(crate) generation: u32,
    pub(crate) counters: Counters,
    pub(crate) notices: Vec<String>,
    /// Writes that may still land, by identity (DESIGN §6, armed).
    pub(crate) armed: BTreeMap<Identity, Vec<Effect>>,
    /// How many deletes the guard lets pass in this run; nothing before it is known how much is gone.
    pub(crate) allowance: Option<u64>,
    /// How many deletes are still allowed in this run.
    pub(crate) deletes_left: u64,
    /// A sentinel was missing when the source was last read: nothing may be destroyed any more in this run.
    pub(crate) distrust: Option<Failure>,
    /// Items that a person brought back and whose rows are gone, as far as a comparison saw them.
    pub(crate) restored: u64,
    /// Live rows whose hashes cannot be read in the present layout.
    pub(crate) stale_rows: u64,
    /// Rows in quarantine when the run ended: a run with quarantined rows is never green.
    pub(crate) refused_rows: u64,
    /// Rows that a repair found different and could not put right.
    pub(crate) unrepaired: u64,
    /// The list's feed is read for the first time: what it holds was there before us.
    pub(crate) first_list_pass: bool,
    /// Rows of which several items show the key.
    pub(crate) ambiguous: Ambiguous,
    /// For how many rows more a column is looked for that their refusal does not name.
    pub(crate) searches_left: u32,
    /// Fields, by their index, of which nobody can tell any more which side changed first.
    pub(crate) unclear: BTreeSet<(Identity, usize)>,
    /// Whether the list lets anything through.
    pub(crate) standstill: Standstill,
    /// Items without an owner that an anchoring pass noted while it read the list, and how many.
    pub(crate) strangers: Option<(StrangersOf<W>, u64)>,
    /// The saved plan that is worked out or run.
    pub(crate) planning: Planning<'a>,
}

impl<'a, W: World> Session<'a, W> {
    pub(crate) async fn open(spec: &'a RunSpec, ports: WorldPorts<'a, W>) -> PortResult<Self> {
        let layout = spec.mapping.layout();
        let stamps = spec.mapping.field_stamps();
        let generation = ports.ledger.generation().await?;
        let planning = match spec.options.plan.filter(|_| spec.kind.drives()) {
            Some(plan) => Planning::Follows(Following::new(plan, ports.plans.ok_or_else(no_book)?)),
            None => Planning::None,
        };
        Ok(Self {
            planning,
            spec,
            ports,
            layout,
            stamps,
            old_layouts: BTreeMap::new(),
            generation,
            counters: Counters::default(),
            notices: Vec::new(),
            armed: BTreeMap::new(),
            allowance: None,
            deletes_left: 0,
            distrust: None,
            restored: 0,
            stale_rows: 0,
            refused_rows: 0,
            unrepaired: 0,
            first_list_pass: false,
            ambiguous: Ambiguous::new(),
            strangers: None,
            unclear: BTreeSet::new(),
            searches_left: SEARCHES,
            standstill: Standstill::default(),
        })
    }

    pub(crate) async fn remember_layout(&self) -> PortResult<()> {
        self.ports
            .ledger
            .remember_layout(self.fence(), self.layout, &self.stamps)
            .await
    }

    /// Whether this run puts items right that people changed, and not only what the source changed.
    pub(crate) fn repairs(&self) -> bool {
        self.spec.kind == RunKind::Repair
    }

    /// Whether the definition writes to the list.
    pub(crate) fn pushes(&self) -> bool {
        self.spec.direction != Direction::Pull
    }

    /// Whether the definition writes to the source.
    pub(crate) fn pulls(&self) -> bool {
        self.spec.direction != Direction::Push
    }

    /// Whether items that people add become rows.
    pub(crate) fn takes_inserts(&self) -> bool {
        self.pulls() && self.spec.policies.two_way.inserts
    }

    /// Whether somebody vouches that nothing in the list is hidden from us.
    pub(crate) fn sees_everything(&self) -> bool {
        self.spec.policies.two_way.full_visibility
    }

    /// How long after an item was reported deleted a look may prove it.
    pub(crate) fn delete_delay(&self) -> std::time::Duration {
        self.spec.policies.two_way.delete_delay()
    }

    pub(crate) fn fence(&self) -> Fence {
        self.ports.control.fence()
    }

    pub(crate) fn mark(&self, lsn: Lsn) -> Mark {
        Mark {
            generation: self.generation,
            lsn,
        }
    }

    pub(crate) fn identity(&self, key: &Key) -> Identity {
        Identity::new(self.ports.hash_key, &self.spec.namespace, key)
    }

    pub(crate) fn subject(&self, key: Key) -> Subject {
        Subject {
            identity: self.identity(&key),
            key,
        }
    }

    pub(crate) fn digest(&self, cells: &[Cell]) -> RowDigest {
        row_digest(self.ports.hash_key, self.layout, &self.spec.mapping, cells)
    }

    pub(crate) fn effect_id(&self) -> EffectId {
        EffectId::from_uuid(self.ports.entropy.uuid_v7(self.ports.clock.now()))
    }

    /// Stops a run that lost its right to go on or was asked to stop.
    pub(crate) fn check(&self) -> PortResult<()> {
        if self.ports.control.cancelled() {
            return Err(cancelled());
        }
        Ok(())
    }

    pub(crate) fn report(&self) {
        self.ports
            .progress
            .counters(&self.counters, &self.ports.target.spending());
    }

    /// A remark for people, kept once and never more than a page of them.
    pub(crate) fn notice(&mut self, text: String) {
        if self.notices.len() < 50 && !self.notices.contains(&text) {
            self.notices.push(text);
        }
    }

    /// The agreed hashes of a ledger row in the present layout. Hashes made with another hash key or in an
    /// unknown layout are unknown, never guessed.
    pub(crate) async fn agreed(&mut self, row: &LedgerRow) -> PortResult<Agreed> {
        if row.hash_key_id != self.ports.hash_key.id() {
            return Ok(Agreed::unknown(self.spec.mapping.fields.len()));
        }
        self.relaid(&row.agreed, row.layout).await
    }

    /// Agreed hashes of any layout in the present one.
    pub(crate) async fn relaid(&mut self, agreed: &[u8], layout: LayoutStamp) -> PortResult<Agreed> {
        let fields = self.spec.mapping.fields.len();
        let stored = Agreed::from_bytes(agreed).map_err(|e| damaged(&e.to_string()))?;
        if layout == self.layout {
            if stored.fields.len() != fields {
                return Err(damaged(
                    "a ledger row has another number of fields than its layout",
                ));
            }
            return Ok(stored);
        }
        if !self.old_layouts.contains_key(&layout.0) {
            let known = self.ports.ledger.layout(layout).await?;
            self.old_layouts.insert(layout.0, known);
        }
        Ok(match self.old_layouts.get(&layout.0).and_then(Option::as_ref) {
            Some(old) => stored.relaid(old, &self.stamps),
            None => Agreed::unknown(fields),
        })
    }

    /// As [`Session::agreed`], where nothing has to be carried over for it.
    pub(crate) fn agreed_now(&self, row: &LedgerRow) -> Option<Agreed> {
        let ours = row.hash_key_id == self.ports.hash_key.id() && row.layout == self.layout;
        ours.then(|| Agreed::from_bytes(&row.agreed).ok()).flatten()
    }

    /// Effects of this identity that may still land and would change what the item shows.
    pub(crate) fn armed_of(&self, identity: Identity) -> &[Effect] {
        self.armed.get(&identity).map_or(&[], Vec::as_slice)
    }

    /// The newest armed create of this identity, whose item may have appeared meanwhile.
    pub(crate) fn armed_create(&self, identity: Identity) -> Option<&Effect> {
        self.armed_of(identity)
            .iter()
            .rev()
            .find(|effect| effect.kind == EffectKind::CreateItem)
    }

    /// A quarantine entry for a row that was refused for a classified reason.
    pub(crate) fn quarantine(
        &self,
        subject: &Subject,
        cells: Option<&[Cell]>,
        failure: Failure,
    ) -> NewQuarantine {
        NewQuarantine {
            identity: subject.identity,
            key: subject.key.clone(),
            digest: cells.map_or(RowDigest::UNKNOWN, |cells| self.digest(cells)),
            failure,
        }
    }
}

/// A page whose last row is where the page before ended would be read for ever.
pub(crate) fn moved_on<T: PartialEq>(before: Option<&T>, now: &T) -> PortResult<()> {
    if before == Some(now) {
        return Err(Failure::new(
            Scope::List,
            "source.no_progress",
            "a page of the table ended where the page before it had ended",
            "report this as a defect with the types of the key columns; nothing of the page was applied",
        ));
    }
    Ok(())
}

pub(crate) fn cancelled() -> Failure {
    Failure::new(
        Scope::List,
        "run.cancelled",
        "the run was asked to stop",
        "start it again; it goes on where it stopped",
    )
}

fn damaged(cause: &str) -> Failure {
    Failure::new(
        Scope::List,
        "ledger.damaged",
        format!("the ledger holds bytes it cannot have written: {cause}"),
        "restore the meta-store from a backup and let it re-anchor; nothing was written",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_ends_where_the_last_one_did_is_refused() {
        assert!(moved_on(None, &1).is_ok());
        assert!(moved_on(Some(&1), &2).is_ok());
        assert_eq!(moved_on(Some(&2), &2).unwrap_err().code, "source.no_progress");
    }
}
