//! Requests about single items.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::cell::Cell;
use crate::facet::Lookup;
use crate::guid::Guid;
use crate::list::{Actor, Changes, Duplicate, Item, List, Writing};
use crate::object::{Json, Object, array};
use crate::query::{Expand, Query};
use crate::reply::{GraphError, Reply, timestamp};
use crate::route::Resource;
use crate::show::{Show, Spelling, Wanted, etag};
use crate::sites::object;
use crate::strike::PRECONDITION;
use crate::tenant::{Call, Outcome, Tenant};
use crate::typing::Typing;

pub(crate) fn item_not_found() -> GraphError {
    GraphError::not_found("The specified item was not found")
}

/// What `$expand=fields(…)` asks for.
pub(crate) fn wanted_fields(expand: &[Expand]) -> Option<Wanted<'_>> {
    let entry = expand.iter().find(|entry| entry.name == "fields")?;
    Some(match &entry.select {
        Some(names) => Wanted::Named(names),
        None => Wanted::Visible,
    })
}

/// What `$select` keeps of an item: its names, and the fields where they are expanded.
pub(crate) fn kept_properties(select: Option<Vec<String>>, expand: &[Expand]) -> Option<Vec<String>> {
    let mut names = select?;
    if !expand.is_empty() {
        names.extend(["fields".to_owned(), "fields@odata.context".to_owned()]);
    }
    Some(names)
}

/// The end of `@odata.context` for items, which repeats the expansion.
pub(crate) fn items_context(query: &Query, expand: &[Expand]) -> String {
    match wanted_fields(expand) {
        Some(Wanted::Named(names)) => format!("items(fields({}))", names.join(",")),
        Some(Wanted::Visible) => "items(fields())".to_owned(),
        None => match query.get("select") {
            Some(select) => format!("items({select})"),
            None => "items".to_owned(),
        },
    }
}

impl Tenant {
    /// The list and item that the call names.
    fn call_item(&self, call: &Call<'_>) -> Result<(&List, &Item), GraphError> {
        let list = self.call_list(call)?;
        let id = call.resource.item().ok_or_else(item_not_found)?;
        let item = list.items.get(&id).ok_or_else(item_not_found)?;
        if list.shows(item, self.sees_everything(call.context.client)) {
            Ok((list, item))
        } else {
            Err(item_not_found())
        }
    }

    pub(crate) fn get_item(&self, call: &Call<'_>) -> Outcome {
        call.query.only(&["select", "expand"])?;
        let (list, item) = self.call_item(call)?;
        let show = self.showing(list, call.context.base)?;
        let tag = etag(item.guid, item.counter, Spelling::Quoted);
        let select = call.query.select();
        let text = match call.resource {
            Resource::Fields(..) => {
                let wanted = select.as_deref().map_or(Wanted::Visible, Wanted::Named);
                let context = show.context(&format!("items('{}')/fields/$entity", item.id));
                show.fields_json(item, wanted, &tag, false, Some(context))
            }
            Resource::Version(_, _, _, label) => {
                let expand = call.query.expand(&["fields"])?;
                let mut all = versions(&show, item, !expand.is_empty());
                let found = all.find(|(own, _)| own == label);
                let (_, text) =
                    found.ok_or_else(|| GraphError::not_found("The specified version was not found"))?;
                return Ok(Reply::written(200, text));
            }
            _ => {
                let expand = call.query.expand(&["fields"])?;
                let context = show.context(&format!("{}/$entity", items_context(call.query, &expand)));
                let keep = kept_properties(select, &expand);
                show.item_json(
                    item,
                    wanted_fields(&expand),
                    false,
                    keep.as_deref(),
                    Some(context),
                )
            }
        };
        Ok(Reply::written(200, text).with_header("ETag", tag))
    }

    pub(crate) fn get_versions(&self, call: &Call<'_>) -> Outcome {
        call.query.only(&["expand", "top", "select"])?;
        let expand = call.query.expand(&["fields"])?;
        let (list, item) = self.call_item(call)?;
        let show = self.showing(list, call.context.base)?;
        let context = show.context(&format!("items('{}')/versions", item.id));
        let mut body = Object::new();
        body.put("@odata.context", context);
        body.put(
            "value",
            array(versions(&show, item, !expand.is_empty()).map(|(_, text)| text)),
        );
        Ok(Reply::written(200, body.finish()))
    }

    /// The list that a lookup column of `list` points to.
    pub(crate) fn lookup_target<'a>(&'a self, list: &'a List, lookup: &Lookup) -> Option<&'a List> {
        if lookup.list_id.eq_ignore_ascii_case("self") {
            return Some(list);
        }
        Guid::parse(&lookup.list_id).and_then(|id| self.lists.get(&id))
    }

    /// Types the fields of a write.
    pub(crate) fn typed(
        &self,
        list: &List,
        fields: &Map<String, Value>,
        create: bool,
        now: i64,
    ) -> Result<Changes, GraphError> {
        let lookup_has = |lookup: &Lookup, id: u32| -> bool {
            let target = self.lookup_target(list, lookup);
            target.is_some_and(|target| target.items.contains_key(&id))
        };
        let typing = Typing {
            list,
            lookup_has: &lookup_has,
            people: self.options.people,
            zone: self.options.time_zone,
            behaviour: &self.options.behaviour,
            now,
        };
        typing.changes(fields, create)
    }

    pub(crate) fn duplicate(&self, duplicate: Duplicate) -> GraphError {
        let (status, code) = &self.options.behaviour.duplicate;
        GraphError::new(
            *status,
            code.as_str(),
            format!(
                "The list item could not be added or updated because duplicate values were found in the following field(s) in the list: [{}].",
                duplicate.0
            ),
        )
    }

    /// Adds an item and answers its id.
    pub(crate) fn write_new(
        &mut self,
        list: Guid,
        fields: &Map<String, Value>,
        actor: Actor,
        now: i64,
    ) -> Result<u32, GraphError> {
        let changes = self.typed(self.list(list)?, fields, true, now)?;
        let guid = self.ids.guid();
        let may_approve = self.may_approve(actor);
        let list = self.lists.get_mut(&list).ok_or_else(item_not_found)?;
        let writing = Writing {
            now,
            actor,
            may_approve,
            behaviour: &self.options.behaviour,
        };
        list.insert(guid, changes, writing)
            .map_err(|duplicate| self.duplicate(duplicate))
    }

    /// Changes an item.
    pub(crate) fn write_change(
        &mut self,
        list: Guid,
        id: u32,
        fields: &Map<String, Value>,
        actor: Actor,
        now: i64,
    ) -> Result<(), GraphError> {
        let known = self.list(list)?;
        if !known.items.contains_key(&id) {
            return Err(item_not_found());
        }
        let changes = self.typed(known, fields, false, now)?;
        let may_approve = self.may_approve(actor);
        let list = self.lists.get_mut(&list).ok_or_else(item_not_found)?;
        let writing = Writing {
            now,
            actor,
            may_approve,
            behaviour: &self.options.behaviour,
        };
        let done = list
            .update(id, changes, writing)
            .map_err(|duplicate| self.duplicate(duplicate))?;
        if done { Ok(()) } else { Err(item_not_found()) }
    }

    /// Compares `If-Match` with the item.
    fn check_precondition(&self, call: &Call<'_>, item: &Item) -> Result<(), GraphError> {
        let Some(given) = call.headers.get("if-match") else {
            return Ok(());
        };
        let given = given.trim();
        if given == "*" || !self.options.behaviour.if_match {
            return Ok(());
        }
        let bare = given.strip_prefix("W/").unwrap_or(given);
        let inner = bare
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .ok_or_else(|| {
                GraphError::invalid("ETags must be quoted strings").with_inner("malformedEntityTag")
            })?;
        let same = inner.split_once(',').is_some_and(|(guid, counter)| {
            Guid::parse(guid.trim()) == Some(item.guid) && counter.trim().parse() == Ok(item.counter)
        });
        if same {
            return Ok(());
        }
        let (status, code) = &self.options.behaviour.precondition;
        Err(GraphError::new(*status, code.as_str(), PRECONDITION).with_inner("entityTagDoesNotMatch"))
    }

    pub(crate) fn create_item(&mut self, call: &Call<'_>) -> Outcome {
        let fields = item_fields(object(call)?)?;
        let list = self.call_list(call)?.id;
        let now = call.context.now.timestamp();
        let id = self.write_new(list, fields, call.context.actor(), now)?;
        let list = self.list(list)?;
        let item = list.items.get(&id).ok_or_else(item_not_found)?;
        let show = self.showing(list, call.context.base)?;
        let location = format!("{}/v1.0/{}/items/{id}", call.context.base, show.list_path(true));
        let reply = whole_item(&show, item, 201).with_header("Location", location);
        let list = list.id;
        self.run_flows(list, id, now);
        Ok(reply)
    }

    pub(crate) fn patch_item(&mut self, call: &Call<'_>) -> Outcome {
        let body = object(call)?;
        let to_fields = matches!(call.resource, Resource::Fields(..));
        let fields = if to_fields { body } else { item_fields(body)? };
        let (list, item) = self.call_item(call)?;
        self.check_precondition(call, item)?;
        let (list, id) = (list.id, item.id);
        let now = call.context.now.timestamp();
        self.write_change(list, id, fields, call.context.actor(), now)?;
        let list = self.list(list)?;
        let item = list.items.get(&id).ok_or_else(item_not_found)?;
        let show = self.showing(list, call.context.base)?;
        let reply = if to_fields {
            let tag = etag(item.guid, item.counter, Spelling::Quoted);
            let context = show.context(&format!("items('{id}')/fields/$entity"));
            let text = show.fields_json(item, Wanted::Visible, &tag, false, Some(context));
            Reply::written(200, text).with_header("ETag", tag)
        } else {
            whole_item(&show, item, 200)
        };
        let list = list.id;
        self.run_flows(list, id, now);
        Ok(reply)
    }

    pub(crate) fn delete_item(&mut self, call: &Call<'_>) -> Outcome {
        let (list, item) = self.call_item(call)?;
        self.check_precondition(call, item)?;
        let (list, id) = (list.id, item.id);
        let (now, by) = (call.context.now.timestamp(), call.context.actor());
        self.list_mut(list)?.recycle(id, now, by);
        Ok(Reply::empty(204))
    }
}

fn whole_item(show: &Show<'_>, item: &Item, status: u16) -> Reply {
    let context = show.context("items/$entity");
    let text = show.item_json(item, Some(Wanted::Visible), false, None, Some(context));
    let tag = etag(item.guid, item.counter, Spelling::Quoted);
    Reply::written(status, text).with_header("ETag", tag)
}

/// The `fields` of an item body.
fn item_fields(body: &Map<String, Value>) -> Result<&Map<String, Value>, GraphError> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    if let Some(key) = body
        .keys()
        .find(|key| !key.starts_with("@odata") && !matches!(key.as_str(), "fields" | "contentType"))
    {
        return Err(GraphError::invalid(format!(
            "The property '{key}' of an item cannot be set."
        )));
    }
    if body
        .get("contentType")
        .is_some_and(|kind| kind["name"].as_str().is_some_and(|name| name != "Item"))
    {
        return Err(GraphError::invalid(
            "The list has no other content type than 'Item'.",
        ));
    }
    match body.get("fields") {
        None => Ok(&NONE),
        Some(Value::Object(fields)) => Ok(fields),
        Some(_) => Err(GraphError::invalid("'fields' must be an object.")),
    }
}

/// The versions of an item, newest first: label and JSON.
fn versions<'a>(
    show: &'a Show<'_>,
    item: &'a Item,
    with_fields: bool,
) -> impl Iterator<Item = (String, String)> + 'a {
    let one = move |label: u32, modified: i64, editor: Actor, cells: &[(u16, Cell)]| {
        let label = format!("{label}.0");
        let mut version = Object::new();
        version.put("id", label.as_str());
        version.put("lastModifiedDateTime", timestamp(modified));
        version.put("lastModifiedBy", Json(show.editor(editor)));
        if with_fields {
            version.put("fields", Json(show.old_fields(cells)));
        }
        (label, version.finish())
    };
    let newest = one(item.label, item.modified, item.editor, &item.cells);
    let older = item.history.iter().rev();
    let older = older.map(move |old| one(old.label, old.modified, old.editor, &old.cells));
    std::iter::once(newest).chain(older)
}
