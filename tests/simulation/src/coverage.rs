//! What a hunt has met: decisions, faults, crash points, invariants looked at. A rule that was never met proves nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Counts by kind and name.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Histories.
    pub histories: u64,
    /// Actions of all histories together.
    pub actions: u64,
    /// Faults that struck, crashes and freezes among them.
    pub struck: u64,
    /// Runs of the engine that came to an end.
    pub runs: u64,
    /// What `reconcile` decided about rows.
    pub row_decisions: BTreeMap<String, u64>,
    /// What it decided about fields.
    pub field_decisions: BTreeMap<String, u64>,
    /// Faults by name.
    pub faults: BTreeMap<String, u64>,
    /// Actions by name.
    pub acts: BTreeMap<String, u64>,
    /// Behaviours of the service that were not the likeliest reading.
    pub quirks: BTreeMap<String, u64>,
    /// Where processes were killed or frozen: step, port, before or after it.
    pub crash_points: BTreeMap<String, u64>,
    /// How runs ended: state and code.
    pub outcomes: BTreeMap<String, u64>,
    /// Causes of rows that were in quarantine at rest.
    pub quarantined: BTreeMap<String, u64>,
    /// How often an exemption from an invariant was used.
    pub exemptions: BTreeMap<String, u64>,
}

fn count(map: &mut BTreeMap<String, u64>, name: &str) {
    match map.get_mut(name) {
        Some(known) => *known += 1,
        None => {
            map.insert(name.to_owned(), 1);
        }
    }
}

fn join(into: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>) {
    for (name, hits) in from {
        *into.entry(name).or_default() += hits;
    }
}

impl Counts {
    /// Adds what another part of the hunt met.
    pub fn merge(&mut self, other: Counts) {
        self.histories += other.histories;
        self.actions += other.actions;
        self.struck += other.struck;
        self.runs += other.runs;
        join(&mut self.row_decisions, other.row_decisions);
        join(&mut self.field_decisions, other.field_decisions);
        join(&mut self.faults, other.faults);
        join(&mut self.acts, other.acts);
        join(&mut self.quirks, other.quirks);
        join(&mut self.crash_points, other.crash_points);
        join(&mut self.outcomes, other.outcomes);
        join(&mut self.quarantined, other.quarantined);
        join(&mut self.exemptions, other.exemptions);
    }
}

/// The counts of one history; clones share them.
#[derive(Clone, Default)]
pub struct Coverage(Arc<Mutex<Counts>>);

impl Coverage {
    fn state(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A decision about a row.
    pub fn row_decision(&self, name: &str) {
        count(&mut self.state().row_decisions, name);
    }

    /// A decision about a field.
    pub fn field_decision(&self, name: &str) {
        count(&mut self.state().field_decisions, name);
    }

    /// A fault that struck.
    pub fn fault(&self, name: &str) {
        self.faults(name, 1);
    }

    /// A fault that struck so often.
    pub fn faults(&self, name: &str, hits: u64) {
        let mut state = self.state();
        state.struck += hits;
        *state.faults.entry(name.to_owned()).or_default() += hits;
    }

    /// An action that was carried out.
    pub fn act(&self, name: &str) {
        let mut state = self.state();
        state.actions += 1;
        count(&mut state.acts, name);
    }

    /// A behaviour that the history's service has.
    pub fn quirk(&self, name: &str) {
        count(&mut self.state().quirks, name);
    }

    /// Where a process stopped.
    pub fn crash_point(&self, point: &str) {
        count(&mut self.state().crash_points, point);
    }

    /// How a run ended.
    pub fn outcome(&self, name: &str) {
        let mut state = self.state();
        state.runs += 1;
        count(&mut state.outcomes, name);
    }

    /// Why a row was in quarantine at rest.
    pub fn outcome_of_row(&self, code: &str) {
        count(&mut self.state().quarantined, code);
    }

    /// An exemption from an invariant.
    pub fn exemption(&self, name: &str) {
        count(&mut self.state().exemptions, name);
    }

    /// Everything so far, as one history.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            histories: 1,
            ..self.state().clone()
        }
    }
}
