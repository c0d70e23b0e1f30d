//! Requests about sites and about lists as wholes.

use serde_json::{Map, Value, json};

use crate::column::Column;
use crate::guid::Guid;
use crate::items::kept_properties;
use crate::list::{Actor, List};
use crate::query::Expand;
use crate::reply::{GraphError, Reply};
use crate::route::Resource;
use crate::show::{Spelling, Wanted};
use crate::tenant::{Call, Outcome, Tenant};

/// Keeps of an entity what `$select` names; annotations always stay.
pub(crate) fn select_properties(map: &mut Map<String, Value>, select: Option<&[String]>) {
    if let Some(names) = select {
        map.retain(|key, _| key.starts_with('@') || names.iter().any(|name| name == key));
    }
}

fn wrong_text(key: &str) -> GraphError {
    GraphError::invalid(format!("'{key}' must be a string of 1 to 255 characters."))
}

fn label(body: &Map<String, Value>, key: &str) -> Result<Option<String>, GraphError> {
    match body.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if text.encode_utf16().count() <= 255 => Ok(Some(text.clone())),
        Some(_) => Err(wrong_text(key)),
    }
}

fn only_keys(body: &Map<String, Value>, allowed: &[&str]) -> Result<(), GraphError> {
    match body
        .keys()
        .find(|key| !key.starts_with("@odata") && !allowed.contains(&key.as_str()))
    {
        None => Ok(()),
        Some(key) => Err(GraphError::invalid(format!(
            "The property '{key}' cannot be set here."
        ))),
    }
}

pub(crate) fn object<'a>(call: &Call<'a>) -> Result<&'a Map<String, Value>, GraphError> {
    call.body
        .and_then(Value::as_object)
        .ok_or_else(|| GraphError::invalid("The request needs a JSON object as its body."))
}

impl Tenant {
    pub(crate) fn get_sites(&self, call: &Call<'_>) -> Outcome {
        call.query
            .only(&["select", "expand", "search", "top", "skiptoken"])?;
        let select = call.query.select();
        let one = |number: usize| -> Map<String, Value> {
            let mut map = self
                .sites
                .get(number)
                .map(crate::site::Site::json)
                .unwrap_or_default();
            select_properties(&mut map, select.as_deref());
            map
        };
        let root = format!("{}/v1.0/$metadata#sites", call.context.base);
        let found: Vec<usize> = match call.resource {
            Resource::Site(name) => {
                let mut map = one(self.find_site(name)?);
                map.insert(
                    "@odata.context".to_owned(),
                    Value::from(format!("{root}/$entity")),
                );
                return Ok(Reply::json(200, Value::Object(map)));
            }
            Resource::SubSites(name) => {
                self.find_site(name)?;
                Vec::new()
            }
            Resource::Sites => {
                let text = call.query.get("search").ok_or_else(|| {
                    GraphError::invalid("Listing sites needs the query option 'search', or use getAllSites.")
                })?;
                let text = text.trim_matches('"').to_lowercase();
                let all = self.sites.iter().enumerate();
                let hits = all.filter(|(_, site)| {
                    text == "*"
                        || site.name.to_lowercase().contains(&text)
                        || site.path.to_lowercase().contains(&text)
                });
                hits.map(|(number, _)| number).collect()
            }
            _ => (0..self.sites.len()).collect(),
        };
        let value: Vec<Value> = found
            .into_iter()
            .map(|number| Value::Object(one(number)))
            .collect();
        Ok(Reply::json(
            200,
            json!({ "@odata.context": root, "value": value }),
        ))
    }

    fn lists_context(&self, site: usize, base: &str, tail: &str) -> String {
        let id = self
            .sites
            .get(site)
            .map(crate::site::Site::escaped_id)
            .unwrap_or_default();
        format!("{base}/v1.0/$metadata#sites('{id}')/lists{tail}")
    }

    pub(crate) fn get_lists(&self, call: &Call<'_>) -> Outcome {
        call.query
            .only(&["select", "expand", "filter", "top", "skiptoken", "orderby"])?;
        let Resource::Lists(site) = call.resource else {
            return Err(GraphError::method());
        };
        let number = self.find_site(site)?;
        let expand = call.query.expand(&["columns", "items"])?;
        let wanted = call.query.get("filter").map(display_name_filter).transpose()?;
        let mut here: Vec<&List> = self.lists.values().filter(|list| list.site == number).collect();
        here.retain(|list| {
            wanted
                .as_ref()
                .is_none_or(|name| list.display_name.eq_ignore_ascii_case(name))
        });
        here.sort_unstable_by_key(|list| list.order);
        let top = call.query.top(
            self.options.behaviour.default_page,
            self.options.behaviour.largest_page,
        )?;
        let from = call.query.get("skiptoken").map_or(Ok(0), str::parse::<u64>);
        let from = from.map_err(|_| GraphError::invalid("The skiptoken is malformed."))?;
        here.retain(|list| list.order >= from);
        let next = here.get(top).map(|list| list.order);
        let mut value = Vec::new();
        for list in here.into_iter().take(top) {
            value.push(Value::Object(self.list_entity(
                call,
                list,
                &expand,
                call.query.select().as_deref(),
            )?));
        }
        let context = self.lists_context(number, call.context.base, "");
        let mut body = json!({ "@odata.context": context, "value": value });
        if let Some(next) = next {
            let id = self
                .sites
                .get(number)
                .map(crate::site::Site::id)
                .unwrap_or_default();
            let others = call.query.without(&["skiptoken"]);
            let joint = if others.is_empty() { "" } else { "&" };
            let base = call.context.base;
            body["@odata.nextLink"] = Value::from(format!(
                "{base}/v1.0/sites/{id}/lists?{others}{joint}$skiptoken={next}"
            ));
        }
        Ok(Reply::json(200, body))
    }

    fn list_entity(
        &self,
        call: &Call<'_>,
        list: &List,
        expand: &[Expand],
        select: Option<&[String]>,
    ) -> Result<Map<String, Value>, GraphError> {
        let show = self.showing(list, call.context.base)?;
        let mut map = show.list_json(Spelling::Quoted);
        if let Some(names) = select
            && names.iter().any(|name| name == "sharepointIds")
            && let Some(site) = self.sites.get(list.site)
        {
            let ids = json!({
                "listId": list.id.to_string(),
                "siteId": site.collection.to_string(),
                "siteUrl": site.web_url(),
                "tenantId": self.directory.to_string(),
                "webId": site.web.to_string(),
            });
            map.insert("sharepointIds".to_owned(), ids);
        }
        select_properties(&mut map, select);
        for entry in expand {
            if entry.name == "columns" {
                let columns = self.columns_json(list, entry.select.as_deref());
                map.insert(
                    "columns@odata.context".to_owned(),
                    Value::from(show.context("columns")),
                );
                map.insert("columns".to_owned(), Value::Array(columns));
            } else {
                let nested = entry.expand.iter().find(|nested| nested.name == "fields");
                let top = entry.top.unwrap_or(self.options.behaviour.default_page);
                let everything = self.sees_everything(call.context.client);
                let items = list
                    .items
                    .values()
                    .filter(|item| list.shows(item, everything))
                    .take(top.min(self.options.behaviour.largest_page))
                    .map(|item| {
                        let wanted = nested.map(|nested| match &nested.select {
                            Some(names) => Wanted::Named(names),
                            None => Wanted::Visible,
                        });
                        let keep = kept_properties(entry.select.clone(), &entry.expand);
                        let text = show.item_json(item, wanted, true, keep.as_deref(), None);
                        serde_json::from_str::<Value>(&text).unwrap_or_default()
                    });
                map.insert(
                    "items@odata.context".to_owned(),
                    Value::from(show.context("items")),
                );
                map.insert("items".to_owned(), items.collect());
            }
        }
        Ok(map)
    }

    pub(crate) fn get_list(&self, call: &Call<'_>) -> Outcome {
        call.query.only(&["select", "expand"])?;
        let list = self.call_list(call)?;
        let expand = call.query.expand(&["columns", "items"])?;
        let mut map = self.list_entity(call, list, &expand, call.query.select().as_deref())?;
        let context = self.lists_context(list.site, call.context.base, "/$entity");
        map.insert("@odata.context".to_owned(), Value::from(context));
        Ok(Reply::json(200, Value::Object(map)))
    }

    /// Refuses an empty name, and one that another list of the site has.
    pub(crate) fn check_display_name(
        &self,
        site: usize,
        name: &str,
        own: Option<Guid>,
    ) -> Result<(), GraphError> {
        if name.trim().is_empty() {
            return Err(wrong_text("displayName"));
        }
        let taken = self.lists.values().any(|list| {
            list.site == site && Some(list.id) != own && list.display_name.eq_ignore_ascii_case(name)
        });
        if taken {
            return Err(GraphError::new(
                409,
                "nameAlreadyExists",
                "A list with this display name already exists in the site.",
            ));
        }
        Ok(())
    }

    /// The URL segment of a new list, derived from its display name.
    fn list_name(&self, site: usize, display: &str) -> String {
        let plain: String = display
            .chars()
            .filter(|c| !c.is_control() && !"\"#%&*:<>?/\\{|}~".contains(*c))
            .collect();
        let base = if plain.trim().is_empty() {
            "List".to_owned()
        } else {
            plain.trim().to_owned()
        };
        let taken = |name: &str| {
            self.lists
                .values()
                .any(|list| list.site == site && list.name.eq_ignore_ascii_case(name))
        };
        if !taken(&base) {
            return base;
        }
        (1_u32..)
            .map(|number| format!("{base}{number}"))
            .find(|name| !taken(name))
            .unwrap_or(base)
    }

    pub(crate) fn create_list(&mut self, call: &Call<'_>) -> Outcome {
        let Resource::Lists(site) = call.resource else {
            return Err(GraphError::method());
        };
        let number = self.find_site(site)?;
        let by = call.context.actor();
        let id = self.new_list(number, object(call)?, by, call.context.now.timestamp_millis())?;
        let show = self.showing(self.list(id)?, call.context.base)?;
        let mut map = show.list_json(Spelling::Bare);
        let context = self.lists_context(number, call.context.base, "/$entity");
        map.insert("@odata.context".to_owned(), Value::from(context));
        let location = format!("{}/v1.0/{}", call.context.base, show.list_path(true));
        Ok(Reply::json(201, Value::Object(map)).with_header("Location", location))
    }

    /// Makes a list that a body describes in the site of this number.
    pub(crate) fn new_list(
        &mut self,
        site: usize,
        body: &Map<String, Value>,
        by: Actor,
        now_millis: i64,
    ) -> Result<Guid, GraphError> {
        only_keys(body, &["displayName", "description", "columns", "list"])?;
        let display = label(body, "displayName")?.ok_or_else(|| wrong_text("displayName"))?;
        self.check_display_name(site, &display, None)?;
        if let Some(facet) = body.get("list") {
            let facet = facet
                .as_object()
                .ok_or_else(|| GraphError::invalid("'list' must be an object."))?;
            only_keys(facet, &["template"])?;
            if facet
                .get("template")
                .is_some_and(|template| template != "genericList")
            {
                return Err(GraphError::invalid(
                    "graph-sim simulates the template 'genericList' only.",
                ));
            }
        }
        let name = self.list_name(site, &display);
        let (id, folder) = (self.ids.guid(), self.ids.guid());
        let mut list = List::new(id, site, self.next_order, name, display, now_millis, by, folder);
        list.description = label(body, "description")?.unwrap_or_default();
        match body.get("columns") {
            None => {}
            Some(Value::Array(columns)) => {
                for column in columns {
                    self.add_column(&mut list, column)?;
                }
            }
            Some(_) => return Err(GraphError::invalid("'columns' must be an array.")),
        }
        self.next_order += 1;
        self.lists.insert(id, list);
        Ok(id)
    }

    /// Adds a column that a body describes and answers its number in the list.
    pub(crate) fn add_column(&mut self, list: &mut List, body: &Value) -> Result<usize, GraphError> {
        let mut column = Column::create(body, self.ids.guid(), list.next_slot)?;
        let indexed = list.columns.iter().filter(|known| known.indexed).count();
        if column.indexed {
            self.check_new_index(indexed, list.items.len())?;
        }
        if let crate::facet::Kind::Lookup(lookup) = &column.kind
            && !lookup.list_id.eq_ignore_ascii_case("self")
        {
            let target = Guid::parse(&lookup.list_id);
            let known = target
                .and_then(|id| self.lists.get(&id))
                .is_some_and(|known| known.site == list.site);
            if !known && target != Some(list.id) {
                return Err(GraphError::invalid(format!(
                    "The column '{}' must look up a list of the same site: 'listId' names none.",
                    column.name
                )));
            }
        }
        column.name = list.free_column_name(&column.name);
        list.next_slot += 1;
        if column.indexed {
            list.build_index(column.slot);
        }
        list.columns.push(column);
        Ok(list.columns.len() - 1)
    }

    /// Whether one more index may be made in a list with so many indexes and items.
    pub(crate) fn check_new_index(&self, indexes: usize, items: usize) -> Result<(), GraphError> {
        let behaviour = &self.options.behaviour;
        if indexes >= behaviour.index_limit {
            return Err(GraphError::invalid(format!(
                "A list can have at most {} indexed columns.",
                behaviour.index_limit
            )));
        }
        if items > behaviour.list_view_threshold {
            return Err(GraphError::invalid(
                "The index cannot be created because the list exceeds the list view threshold.",
            ));
        }
        Ok(())
    }

    pub(crate) fn update_list(&mut self, call: &Call<'_>) -> Outcome {
        let body = object(call)?;
        only_keys(body, &["displayName", "description"])?;
        let (id, site) = self.call_list(call).map(|list| (list.id, list.site))?;
        self.relabel_list(id, body, call.context.actor(), call.context.now.timestamp())?;
        let list = self.list(id)?;
        let mut map = self.showing(list, call.context.base)?.list_json(Spelling::Quoted);
        let context = self.lists_context(site, call.context.base, "/$entity");
        map.insert("@odata.context".to_owned(), Value::from(context));
        Ok(Reply::json(200, Value::Object(map)))
    }

    /// Gives a list the display name and the description that a body holds.
    pub(crate) fn relabel_list(
        &mut self,
        id: Guid,
        body: &Map<String, Value>,
        by: Actor,
        now: i64,
    ) -> Result<(), GraphError> {
        let display = label(body, "displayName")?;
        if let Some(display) = &display {
            self.check_display_name(self.list(id)?.site, display, Some(id))?;
        }
        let description = label(body, "description")?;
        let list = self.list_mut(id)?;
        if let Some(display) = display {
            list.display_name = display;
        }
        if let Some(description) = description {
            list.description = description;
        }
        list.touch(by, now);
        Ok(())
    }

    pub(crate) fn delete_list(&mut self, call: &Call<'_>) -> Outcome {
        let id = self.call_list(call)?.id;
        self.recycle_list(id, call.context.now.timestamp(), call.context.actor());
        Ok(Reply::empty(204))
    }
}

impl List {
    /// Notes that the list's own definition changed.
    pub(crate) fn touch(&mut self, by: Actor, now: i64) {
        self.counter += 1;
        self.modified = now;
        self.editor = Some(by);
    }
}

/// `displayName eq 'x'`, the only filter on lists.
fn display_name_filter(text: &str) -> Result<String, GraphError> {
    let literal = text
        .trim()
        .strip_prefix("displayName eq '")
        .and_then(|rest| rest.strip_suffix('\''));
    literal
        .map(|literal| literal.replace("''", "'"))
        .ok_or_else(|| GraphError::new(400, "BadRequest", "Invalid filter clause"))
}
