//! Working a saved plan out: the run itself, on a copy of the memory and on sides that are only read.

use std::marker::PhantomData;

use syncbridge_domain::ids::PlanId;
use syncbridge_domain::run::{Prediction, RunKind, RunOptions, RunSpec};

use crate::planning::{Planning, Rehearsal, no_book};
use crate::ports::{PortResult, Ports, Target};
use crate::run::drive;
use crate::session::{Session, World};
use crate::stage::Stage;
use crate::staged_list::StagedList;
use crate::staged_table::StagedTable;

/// A world whose sides are only read.
struct Staged<'a, W>(PhantomData<&'a W>);

impl<'a, W: World> World for Staged<'a, W>
where
    W::Source: 'a,
    W::Target: 'a,
{
    type Source = StagedTable<'a, W::Source>;
    type Target = StagedList<'a, W::Target>;
    type Ledger = W::Ledger;
    type Scratch = W::Scratch;
    type Control = W::Control;
    type Progress = W::Progress;
}

impl<W: World> Session<'_, W> {
    /// Rehearses the definition's run and puts what it would write into the plan.
    pub(crate) async fn rehearse(&mut self, plan: PlanId) -> PortResult<Prediction> {
        let Some(book) = self.ports.plans else {
            return Err(no_book());
        };
        let spec = RunSpec {
            kind: RunKind::driving(self.spec.direction),
            options: RunOptions {
                plan: None,
                ..self.spec.options
            },
            ..self.spec.clone()
        };
        let stage = Stage::new();
        let table = StagedTable {
            table: self.ports.source,
            stage: &stage,
            mapping: &spec.mapping,
            namespace: &spec.namespace,
            hash_key: self.ports.hash_key,
        };
        let list = StagedList {
            list: self.ports.target,
            stage: &stage,
            is_there: !spec.target.list.is_empty(),
        };
        let ports = Ports {
            source: &table,
            target: &list,
            ledger: self.ports.ledger,
            scratch: self.ports.scratch,
            control: self.ports.control,
            progress: self.ports.progress,
            plans: self.ports.plans,
            past: self.ports.past,
            clock: self.ports.clock,
            entropy: self.ports.entropy,
            hash_key: self.ports.hash_key,
        };
        let mut session = Session::<Staged<'_, W>>::open(&spec, ports).await?;
        session.planning = Planning::Rehearses(Rehearsal::new(plan, book, &stage));
        let driven = drive(&mut session).await;
        // What was only rehearsed is in the plan; this run did nothing but read.
        self.counters.read = session.counters.read;
        for notice in std::mem::take(&mut session.notices) {
            self.notice(notice);
        }
        driven?;
        session.keep_foreseen(true).await?;
        // What a run made is deleted where it is put back, whatever becomes of other items.
        let destroys = session.deletes_destroy() || self.spec.options.revert.is_some();
        let hold = match destroys {
            true => session.hold().await?,
            false => None,
        };
        let counters = &session.counters;
        let gone = counters.deleted + counters.archived + counters.deleted_rows;
        let beyond_guard = destroys && session.allowance.is_none_or(|allowance| gone > allowance);
        Ok(Prediction {
            rows: counters.read,
            creates: counters.created,
            changes: counters.patched + counters.updated_rows + counters.inserted_rows,
            gone,
            unchanged: counters.unchanged,
            quarantined: session.refused_rows,
            ru: list.spending().total(),
            spending: list.spending(),
            deletes_held_back: beyond_guard || hold.is_some() && counters.parked > 0,
            hold,
            beyond_guard,
            plan: Some(plan),
            ..Prediction::default()
        })
    }
}
