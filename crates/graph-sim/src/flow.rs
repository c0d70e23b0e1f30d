//! Flows: a list's own automation, which answers what applications write with writes of its own.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cell::Cell;
use crate::control::Refusal;
use crate::guid::Guid;
use crate::list::Actor;
use crate::show::APP_USER;
use crate::tenant::Tenant;

/// What a flow does after each write of an application, once that is answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flow {
    /// Internal name of the text column it writes.
    column: String,
    /// What it writes there; `{n}` is the number of the run. An item that holds it already is left alone.
    text: String,
    #[serde(skip)]
    runs: u64,
}

impl Tenant {
    /// Replaces the flows of a list.
    pub(crate) fn put_flows(&mut self, list: Guid, body: &Value) -> Result<(u16, Value), Refusal> {
        let flows: Vec<Flow> = serde_json::from_value(body["flows"].clone())
            .map_err(|error| (400, format!("flows: {error}")))?;
        let known = self.lists.get(&list);
        let missing = |flow: &&Flow| known.is_none_or(|list| list.column(&flow.column).is_none());
        if let Some(flow) = flows.iter().find(missing) {
            return Err((400, format!("flows: there is no column {}", flow.column)));
        }
        let count = flows.len();
        self.flows.insert(list, flows);
        Ok((200, json!({ "flows": count })))
    }

    /// Lets the flows of a list run after an application wrote this item.
    pub(crate) fn run_flows(&mut self, list: Guid, id: u32, now: i64) {
        let Some(mut flows) = self.flows.remove(&list) else {
            return;
        };
        for flow in &mut flows {
            flow.runs += 1;
            let text = flow.text.replace("{n}", &flow.runs.to_string());
            let holds = self.lists.get(&list).and_then(|list| {
                let slot = list.column(&flow.column)?.slot;
                let cell = list.items.get(&id)?.cell(slot)?;
                Some(matches!(cell, Cell::Text(held) if **held == *text))
            });
            if holds == Some(true) {
                continue;
            }
            let fields = Map::from_iter([(flow.column.clone(), Value::from(text))]);
            // A flow that fails is a flow that did nothing: nobody waits for it.
            let _ = self.write_change(list, id, &fields, Actor::Person(APP_USER + 2), now);
        }
        self.flows.insert(list, flows);
    }
}
