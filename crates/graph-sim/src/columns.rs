//! Requests about the columns of a list.

use serde_json::{Value, json};

use crate::guid::Guid;
use crate::list::{Actor, List};
use crate::reply::{GraphError, Reply};
use crate::route::Resource;
use crate::sites::select_properties;
use crate::tenant::{Call, Outcome, Tenant};

pub(crate) fn column_not_found() -> GraphError {
    GraphError::not_found("The specified column was not found")
}

fn no_body() -> GraphError {
    GraphError::invalid("The request needs a JSON object as its body.")
}

impl Tenant {
    /// The columns a collection shows: hidden ones only where `$select` names `hidden` (or the behaviour says so).
    pub(crate) fn columns_json(&self, list: &List, select: Option<&[String]>) -> Vec<Value> {
        let asked = select.is_some_and(|names| names.iter().any(|name| name == "hidden"));
        let all = asked || self.options.behaviour.hidden_columns_listed;
        let shown = list.columns.iter().filter(|column| all || !column.hidden);
        shown
            .map(|column| {
                let mut map = column.json();
                select_properties(&mut map, select);
                Value::Object(map)
            })
            .collect()
    }

    pub(crate) fn get_columns(&self, call: &Call<'_>) -> Outcome {
        call.query.only(&["select", "expand", "top", "orderby"])?;
        let list = self.call_list(call)?;
        let value = self.columns_json(list, call.query.select().as_deref());
        let context = self.showing(list, call.context.base)?.context("columns");
        Ok(Reply::json(
            200,
            json!({ "@odata.context": context, "value": value }),
        ))
    }

    /// The place of the column that the call names.
    fn call_column(&self, call: &Call<'_>) -> Result<(&List, usize), GraphError> {
        let Resource::Column(_, _, key) = call.resource else {
            return Err(GraphError::method());
        };
        let list = self.call_list(call)?;
        Ok((list, list.column_by_key(key).ok_or_else(column_not_found)?))
    }

    fn column_reply(&self, call: &Call<'_>, list: &List, at: usize, status: u16) -> Outcome {
        let mut map = list.columns.get(at).ok_or_else(column_not_found)?.json();
        select_properties(&mut map, call.query.select().as_deref());
        let context = self.showing(list, call.context.base)?.context("columns/$entity");
        map.insert("@odata.context".to_owned(), Value::from(context));
        Ok(Reply::json(status, Value::Object(map)))
    }

    pub(crate) fn get_column(&self, call: &Call<'_>) -> Outcome {
        call.query.only(&["select"])?;
        let (list, at) = self.call_column(call)?;
        self.column_reply(call, list, at, 200)
    }

    pub(crate) fn create_column(&mut self, call: &Call<'_>) -> Outcome {
        let body = call.body.ok_or_else(no_body)?;
        let id = self.call_list(call)?.id;
        let at = self.new_column(id, body, call.context.actor(), call.context.now.timestamp())?;
        let list = self.list(id)?;
        let reply = self.column_reply(call, list, at, 201)?;
        let path = self.showing(list, call.context.base)?.list_path(true);
        let column = list
            .columns
            .get(at)
            .map(|column| column.id.to_string())
            .unwrap_or_default();
        Ok(reply.with_header(
            "Location",
            format!("{}/v1.0/{path}/columns/{column}", call.context.base),
        ))
    }

    /// Adds a column to a list that exists and answers its place.
    pub(crate) fn new_column(
        &mut self,
        id: Guid,
        body: &Value,
        by: Actor,
        now: i64,
    ) -> Result<usize, GraphError> {
        // Taken out for the moment, because making a column looks at the other lists.
        let Some(mut list) = self.lists.remove(&id) else {
            return Err(column_not_found());
        };
        let added = self.add_column(&mut list, body);
        if added.is_ok() {
            list.touch(by, now);
        }
        self.lists.insert(id, list);
        added
    }

    pub(crate) fn update_column(&mut self, call: &Call<'_>) -> Outcome {
        let body = call.body.ok_or_else(no_body)?;
        let (list, at) = self.call_column(call)?;
        let id = list.id;
        self.change_column(id, at, body, call.context.actor(), call.context.now.timestamp())?;
        let list = self.list(id)?;
        self.column_reply(call, list, at, 200)
    }

    /// Changes the column at a place of a list.
    pub(crate) fn change_column(
        &mut self,
        id: Guid,
        at: usize,
        body: &Value,
        by: Actor,
        now: i64,
    ) -> Result<(), GraphError> {
        let list = self.list(id)?;
        let old = list.columns.get(at).ok_or_else(column_not_found)?.clone();
        let next = old.changed(body)?;
        if next.indexed && !old.indexed {
            self.check_new_index(
                list.columns.iter().filter(|column| column.indexed).count(),
                list.items.len(),
            )?;
        }
        let list = self.list_mut(id)?;
        if next.indexed && !old.indexed {
            list.build_index(next.slot);
        }
        if next.unique && !old.unique && list.has_duplicates(next.slot) {
            if !old.indexed {
                list.drop_index(next.slot);
            }
            return Err(GraphError::invalid(
                "Unique values cannot be enforced because the column holds duplicate values.",
            ));
        }
        if !next.indexed {
            list.drop_index(next.slot);
        }
        if let Some(slot) = list.columns.get_mut(at) {
            *slot = next;
        }
        list.touch(by, now);
        Ok(())
    }

    pub(crate) fn delete_column(&mut self, call: &Call<'_>) -> Outcome {
        let (list, at) = self.call_column(call)?;
        let id = list.id;
        self.drop_column(id, at, call.context.actor(), call.context.now.timestamp())?;
        Ok(Reply::empty(204))
    }

    /// Deletes the column at a place of a list with all its values.
    pub(crate) fn drop_column(&mut self, id: Guid, at: usize, by: Actor, now: i64) -> Result<(), GraphError> {
        let list = self.list_mut(id)?;
        let column = list.columns.get(at).ok_or_else(column_not_found)?;
        if column.builtin {
            return Err(GraphError::invalid(
                "The column belongs to the list and cannot be deleted.",
            ));
        }
        let slot = column.slot;
        list.columns.remove(at);
        list.forget_slot(slot);
        list.touch(by, now);
        Ok(())
    }
}
