//! The end of a history: actors stop, faults end, whoever was frozen goes on, and runs follow each other until
//! nothing changes any more. Then everything is judged.

use std::time::Duration;

use serde_json::Value as Json;
use syncbridge_domain::conflict::Side;
use syncbridge_domain::effect::EffectState;
use syncbridge_domain::identity::Key;
use syncbridge_domain::ledger::LedgerState;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::row::Cell;
use syncbridge_domain::run::RunState;
use syncbridge_graph_sim::Method;

use crate::actors;
use crate::faults::Faults;
use crate::history::Job;
use crate::invariants::{self, Stage};
use crate::scenario::definition;
use crate::simulation::{Simulation, Violation};
use crate::worker::{self, Ended};

/// Waits between runs; the later ones let rows in quarantine be tried again.
const WAITS: [u64; 24] = [
    1, 62, 62, 62, 300, 1_900, 7_300, 62, 90_000, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62,
];

/// What the service spent and wrote so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spent {
    units: u64,
    creates: u64,
    patches: u64,
    deletes: u64,
}

impl Spent {
    fn since(self, before: Self) -> Self {
        Self {
            units: self.units - before.units,
            creates: self.creates - before.creates,
            patches: self.patches - before.patches,
            deletes: self.deletes - before.deletes,
        }
    }

    fn writes(self) -> u64 {
        self.creates + self.patches + self.deletes
    }
}

/// The cell that is edited once everything is at rest: its column in the list, and its place in the table.
const NAME: &str = "Title";
const NAME_COLUMN: usize = 1;

/// A row that can be edited at rest.
struct Undisturbed {
    key: Key,
    /// What its name is.
    shown: Cell,
    item: u64,
}

fn violated(invariant: &'static str, what: String) -> Violation {
    Violation { invariant, what }
}

impl Simulation {
    fn spent(&self) -> Spent {
        let (_, sums) = self.world.control(Method::Get, "ru", None);
        let number = |json: &Json| json.as_u64().unwrap_or(0);
        let writes = &sums["item_writes"];
        Spent {
            units: number(&sums["ru"]),
            creates: number(&writes["creates"]),
            patches: number(&writes["patches"]),
            deletes: number(&writes["deletes"]),
        }
    }

    pub(crate) fn come_to_rest(&mut self) -> Result<(), Violation> {
        let now = self.world.timeline.elapsed();
        self.world.events.tell(now, || "— rest".to_owned());
        self.count_service_faults();
        self.executor.forget_stops();
        self.world.network.set_adrift(None);
        self.trouble(&Faults::none())?;
        self.thaw();
        actors::show(&self.world);
        // Whatever is under way arrives, transactions end, leases of the dead run out.
        self.pass(Duration::from_secs(100))?;
        self.run_out()?;
        self.until_quiet(Job::FullPush)?;
        invariants::at_rest(&self.world, Stage::Pushed)?;
        if self.world.scenario.pulls() {
            self.decide_what_waits()?;
        }
        self.run_alone(Job::Repair)?;
        self.until_quiet(Job::ApprovedPush)?;
        if self.world.scenario.pulls() {
            // What nobody had agreed on hid conflicts beside it.
            self.decide_what_waits()?;
        }
        self.run_alone(Job::Repair)?;
        self.until_quiet(Job::FullPush)?;
        invariants::at_rest(&self.world, Stage::Repaired)?;
        self.idle_costs_nothing()?;
        if self.world.scenario.pulls() {
            self.one_typed_cell_is_one_row()?;
        }
        self.one_edit_is_one_write()
    }

    /// People decide every conflict that waits, for one side or the other.
    fn decide_what_waits(&mut self) -> Result<(), Violation> {
        for round in 0_u8..6 {
            let waiting = self.world.store.parked(definition()).len();
            if waiting == 0 {
                return Ok(());
            }
            for which in 0..waiting {
                let which = u8::try_from(which).unwrap_or(u8::MAX);
                let side = if (which + round).is_multiple_of(2) {
                    Side::Target
                } else {
                    Side::Source
                };
                actors::decide(&self.world, which, side);
            }
            self.until_quiet(Job::FullPush)?;
        }
        Ok(())
    }

    /// Runs follow each other until two of them change nothing.
    fn until_quiet(&mut self, job: Job) -> Result<(), Violation> {
        let mut quiet = 0;
        let mut last = None;
        for wait in WAITS {
            let (before, ended) = (self.spent(), self.run_alone(job)?);
            let did = self.spent().since(before);
            let open = self.world.store.unsettled(definition());
            let open = open.iter().any(|(_, _, state)| *state == EffectState::Open);
            let calm = did.writes() == 0 && !open && adopted(&ended) == 0 && rows_written(&ended) == 0;
            quiet = if calm { quiet + 1 } else { 0 };
            last = Some((did, ended));
            // Rows in quarantine get their chance before the end.
            if quiet >= 2 && (wait >= 90_000 || self.world.store.quarantine(definition()).is_empty()) {
                return Ok(());
            }
            self.pass(Duration::from_secs(wait))?;
        }
        if quiet >= 2 {
            return Ok(());
        }
        Err(violated("rest", format!("runs go on changing things: {last:?}")))
    }

    /// A run beside which nothing happens.
    fn run_alone(&mut self, job: Job) -> Result<Ended, Violation> {
        let before = self.world.all_ended().len();
        worker::start(&self.world, job);
        self.take_spawned();
        self.run_out()?;
        let ended = self.world.all_ended();
        let Some(ended) = ended.get(before) else {
            return Err(violated("rest", format!("{job:?} ended without a word")));
        };
        let state = ended.outcome.as_ref().map(|outcome| outcome.state);
        match state {
            Ok(RunState::Completed | RunState::CompletedWithErrors) => Ok(ended.clone()),
            _ => Err(violated(
                "rest",
                format!("a run at rest fails: {:?}", ended.outcome),
            )),
        }
    }

    /// I4 and I8: with nothing to do nothing is spent.
    fn idle_costs_nothing(&mut self) -> Result<(), Violation> {
        // What a guard holds back goes when its time comes.
        let held_back = !self.world.store.dirty(definition()).is_empty();
        let before = self.spent();
        let ended = self.run_alone(Job::FullPush)?;
        let did = self.spent().since(before);
        let busy = held_back
            || !self.world.store.unsettled(definition()).is_empty()
            || !self.world.store.dirty(definition()).is_empty()
            || !self.world.store.quarantine(definition()).is_empty();
        // What the list's feed costs where it has nothing to say.
        let asked = if self.world.scenario.pulls() { 2 } else { 0 };
        if ((did.writes() > 0 || rows_written(&ended) > 0) && !held_back) || (did.units > asked && !busy) {
            return Err(violated(
                "I8",
                format!(
                    "an idle run spends {did:?}: {:?}",
                    ended.outcome.map(|outcome| outcome.counters)
                ),
            ));
        }
        Ok(())
    }

    /// I4: a row written anew as it is causes no write, and one edited cell causes one.
    fn one_edit_is_one_write(&mut self) -> Result<(), Violation> {
        let Some(row) = self.undisturbed_row(Direction::Push) else {
            return Ok(());
        };
        let edited = match row.shown.as_deref() {
            Some("edited") => Some("edited again".into()),
            _ => Some("edited".into()),
        };
        for (what, value, writes) in [
            ("a row written as it is", row.shown.clone(), 0),
            ("one edited cell", edited, 1),
        ] {
            self.pass(Duration::from_secs(30))?;
            let transaction = self.world.table.begin();
            let done = self
                .world
                .table
                .update(transaction, &row.key, &[(NAME_COLUMN, value)]);
            let done = done.and_then(|rows| self.world.table.commit(transaction).map(|()| rows));
            if !matches!(done, Ok(1)) {
                return Ok(());
            }
            self.expect(what, writes, 0)?;
        }
        Ok(())
    }

    /// I4, from the list: one typed cell is one written row, and nothing comes back of it.
    fn one_typed_cell_is_one_row(&mut self) -> Result<(), Violation> {
        let Some(row) = self.undisturbed_row(Direction::Pull) else {
            return Ok(());
        };
        let items = self.world.items();
        let Some(item) = items.iter().find(|item| item.id == row.item) else {
            return Ok(());
        };
        self.pass(Duration::from_secs(30))?;
        actors::type_into(&self.world, item, NAME, "typed at rest".into());
        self.expect("one typed cell", 0, 1)
    }

    /// What two runs write because of one change.
    fn expect(&mut self, what: &str, items: u64, rows: u64) -> Result<(), Violation> {
        self.pass(Duration::from_secs(30))?;
        let before = self.spent();
        let mut written = 0;
        for _ in 0..2 {
            written += rows_written(&self.run_alone(Job::FullPush)?);
        }
        let did = self.spent().since(before);
        if did.writes() != items || written != rows {
            let what = format!("{what} caused {did:?} and {written} written rows");
            return Err(violated("I4", what));
        }
        Ok(())
    }

    /// A row that nothing waits for, whose item shows what we wrote last, and whose name travels this way.
    fn undisturbed_row(&self, way: Direction) -> Option<Undisturbed> {
        let world = &self.world;
        let mapping = world.scenario.mapping();
        let at = mapping.fields.iter().position(|field| field.target == NAME)?;
        if ![way, Direction::Both].contains(&mapping.fields[at].direction)
            || !world.store.unsettled(definition()).is_empty()
            || !world.store.dirty(definition()).is_empty()
        {
            return None;
        }
        let hidden = |id: u64| world.people.was_hidden(id) || world.people.has_rekeyed(id);
        let items = world.items();
        let ledger = world.store.rows(definition());
        let quarantine = world.store.quarantine(definition());
        world.table.rows().into_iter().find_map(|row| {
            let known = ledger.iter().find(|known| known.key == row.key)?;
            let waits = quarantine
                .iter()
                .any(|found| found.entry.identity == known.identity);
            let item = items
                .iter()
                .find(|item| item.guid.eq_ignore_ascii_case(&known.version.guid.to_string()))?;
            let ours = known.state == LedgerState::Live
                && item.by_app
                && item.counter == known.version.counter
                && !hidden(item.id)
                && !world.people.stands(item.id, NAME);
            (ours && !waits).then(|| Undisturbed {
                key: row.key,
                shown: row.cells[at].clone(),
                item: item.id,
            })
        })
    }

    fn count_service_faults(&self) {
        let (_, rules) = self.world.control(Method::Get, "faults", None);
        let struck = rules["faults"].as_array().cloned().unwrap_or_default();
        for (rule, struck) in self.world.scenario.faults.service.iter().zip(struck) {
            let hits = struck["hits"].as_u64().unwrap_or(0);
            self.world.coverage.faults(&crate::faults::rule_name(rule), hits);
        }
    }
}

/// Rows of the source that a run wrote.
fn rows_written(ended: &Ended) -> u64 {
    ended.outcome.as_ref().map_or(0, |outcome| {
        let counters = &outcome.counters;
        counters.inserted_rows + counters.updated_rows + counters.deleted_rows
    })
}

fn adopted(ended: &Ended) -> u64 {
    ended
        .outcome
        .as_ref()
        .map_or(0, |outcome| outcome.counters.adopted)
}
