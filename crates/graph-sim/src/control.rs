//! The simulator's own controls under `/_sim/`: state, requests, accounts, faults, permissions, people's edits.
//! No token, no resource units.

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::fault::{FaultKind, FaultRule};
use crate::guid::Guid;
use crate::list::{Actor, Item, List};
use crate::message::{Headers, Method, Request, Response};
use crate::permission::Permissions;
use crate::reply::{GraphError, timestamp};
use crate::show::{Show, Spelling, etag};
use crate::tenant::Tenant;

/// The name of a kind of fault as rules spell it.
pub(crate) const fn kind_name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::LostAnswer => "lost_answer",
        FaultKind::LostBefore => "lost_before",
        FaultKind::ServerError => "server_error",
        FaultKind::Throttle => "throttle",
        FaultKind::Refuse => "refuse",
        FaultKind::Hang => "hang",
        FaultKind::NewListNotFound => "new_list_not_found",
        FaultKind::Precondition => "precondition",
        FaultKind::Resync => "resync",
        FaultKind::DeltaDuplicate => "delta_duplicate",
        FaultKind::Unauthorized => "unauthorized",
    }
}

/// A control's refusal: status and text.
type Refusal = (u16, String);

fn from_graph(error: GraphError) -> Refusal {
    (error.status, error.message)
}

fn body_json(request: &Request) -> Result<Value, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| (400, format!("the body is not JSON: {error}")))
}

fn number(query: &str, name: &str, default: usize) -> Result<usize, Refusal> {
    let found = query
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
    match found {
        None => Ok(default),
        Some((_, text)) => text
            .parse()
            .map_err(|_| (400, format!("'{name}' must be a whole number"))),
    }
}

impl Tenant {
    pub(crate) fn control(&mut self, request: &Request, now: DateTime<Utc>) -> Response {
        let (status, body) = match self.run_control(request, now) {
            Ok((status, body)) => (status, body),
            Err((status, text)) => (status, json!({ "error": text })),
        };
        let mut headers = Headers::new();
        headers.push("Content-Type", "application/json");
        headers.push("Cache-Control", "no-store");
        let bytes = if status == 204 {
            String::new()
        } else {
            body.to_string()
        };
        Response {
            status,
            headers,
            body: bytes.into(),
        }
    }

    fn run_control(&mut self, request: &Request, now: DateTime<Utc>) -> Result<(u16, Value), Refusal> {
        // A page of another origin, opened in the same browser, must not drive the controls.
        if let (Some(origin), Some(host)) = (request.headers.get("origin"), request.headers.get("host"))
            && origin.split_once("://").map(|(_, rest)| rest) != Some(host)
        {
            return Err((403, "requests from other origins are not accepted".to_owned()));
        }
        let (path, query) = request
            .path_and_query
            .split_once('?')
            .unwrap_or((&request.path_and_query, ""));
        let decoded: Vec<String> = path
            .split('/')
            .skip(2)
            .filter(|part| !part.is_empty())
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        use Method::{Delete, Get, Post, Put};
        match (request.method, parts.as_slice()) {
            (Get, [] | ["state"]) => Ok((200, self.state())),
            (Get, ["requests"]) => {
                let limit = number(query, "limit", 100)?;
                Ok((200, json!({ "requests": self.usage.recent(limit, &self.apps) })))
            }
            (Get, ["ru"]) => Ok((200, self.usage.json(&self.apps))),
            (Post, ["ru", "reset"]) => {
                self.usage.reset();
                Ok((204, Value::Null))
            }
            (Get, ["faults"]) => Ok((200, self.faults_json())),
            (Put, ["faults"]) => self.put_faults(request),
            (Delete, ["faults"]) => {
                self.faults.rules.clear();
                Ok((204, Value::Null))
            }
            (Get, ["permissions"]) => Ok((200, serde_json::to_value(&self.permissions).unwrap_or_default())),
            (Put, ["permissions"]) => self.put_permissions(request),
            (Get, ["lists", list, "items"]) => self.raw_items(list, query),
            (Post, ["lists", list, "items"]) => self.person_writes(list, None, request, now),
            (Post, ["lists", list, "items", item]) => self.person_writes(list, Some(item), request, now),
            (Delete, ["lists", list, "items", item]) => {
                let id = self.sim_list(list)?;
                let item = item
                    .parse()
                    .map_err(|_| (404, "there is no such item".to_owned()))?;
                let removed = self.list_mut(id).map_err(from_graph)?.remove(item);
                if removed {
                    Ok((204, Value::Null))
                } else {
                    Err((404, "there is no such item".to_owned()))
                }
            }
            _ => Err((
                404,
                "no such control: see the documentation of graph-sim, section /_sim/".to_owned(),
            )),
        }
    }

    /// A list by id, display name or URL name, whatever its site.
    fn sim_list(&self, key: &str) -> Result<Guid, Refusal> {
        if let Some(list) = Guid::parse(key).and_then(|id| self.lists.get(&id)) {
            return Ok(list.id);
        }
        let named = self
            .lists
            .values()
            .find(|list| list.display_name == key || list.name == key);
        named
            .map(|list| list.id)
            .ok_or_else(|| (404, "there is no such list".to_owned()))
    }

    fn state(&self) -> Value {
        let mut lists: Vec<&List> = self.lists.values().collect();
        lists.sort_unstable_by_key(|list| list.order);
        let sites = self.sites.iter().enumerate().map(|(number, site)| {
            let here = lists.iter().filter(|list| list.site == number);
            let lists: Vec<Value> = here
                .map(|list| {
                    json!({
                        "id": list.id.to_string(),
                        "displayName": list.display_name,
                        "name": list.name,
                        "items": list.items.len(),
                        "change": list.change,
                        "columns": list.columns.iter().filter(|column| !column.builtin).map(|column| json!({
                            "name": column.name,
                            "displayName": column.display_name,
                            "type": column.kind.facet(),
                            "hidden": column.hidden,
                            "indexed": column.indexed,
                            "unique": column.unique,
                        })).collect::<Vec<_>>(),
                    })
                })
                .collect();
            json!({ "id": site.id(), "name": site.name, "webUrl": site.web_url(), "lists": lists })
        });
        json!({
            "tenant": self.options.tenant,
            "tenantId": self.directory.to_string(),
            "seed": self.options.seed,
            "sites": sites.collect::<Vec<_>>(),
        })
    }

    fn faults_json(&self) -> Value {
        let rules: Vec<Value> = self
            .faults
            .rules
            .iter()
            .map(|fault| {
                let mut rule = serde_json::to_value(&fault.rule).unwrap_or_default();
                if let Some(map) = rule.as_object_mut() {
                    map.retain(|_, value| {
                        !value.is_null()
                            && *value != json!([])
                            && *value != json!(0)
                            && *value != json!(false)
                    });
                }
                json!({ "rule": rule, "matched": fault.matched, "hits": fault.hits })
            })
            .collect();
        json!({ "faults": rules })
    }

    fn put_faults(&mut self, request: &Request) -> Result<(u16, Value), Refusal> {
        let body = body_json(request)?;
        let list = if body.is_array() {
            body
        } else {
            body["faults"].clone()
        };
        let rules: Vec<FaultRule> =
            serde_json::from_value(list).map_err(|error| (400, format!("faults: {error}")))?;
        self.faults.set(rules).map_err(|text| (400, text))?;
        Ok((200, self.faults_json()))
    }

    fn put_permissions(&mut self, request: &Request) -> Result<(u16, Value), Refusal> {
        let body = body_json(request)?;
        let permissions: Permissions =
            serde_json::from_value(body.clone()).map_err(|error| (400, format!("permissions: {error}")))?;
        permissions.check(&self.apps).map_err(|text| (400, text))?;
        self.permissions = permissions;
        Ok((200, body))
    }

    fn raw_items(&self, list: &str, query: &str) -> Result<(u16, Value), Refusal> {
        let list = self.list(self.sim_list(list)?).map_err(from_graph)?;
        let show = self.showing(list, "").map_err(from_graph)?;
        let limit = number(query, "limit", usize::MAX)?;
        let after = u32::try_from(number(query, "after", 0)?).unwrap_or(u32::MAX);
        let items = list.items.range(after.saturating_add(1)..).take(limit);
        let items: Vec<Value> = items.map(|(_, item)| raw_item(&show, item)).collect();
        Ok((
            200,
            json!({ "list": list.id.to_string(), "count": list.items.len(), "items": items }),
        ))
    }

    fn person_writes(
        &mut self,
        list: &str,
        item: Option<&str>,
        request: &Request,
        now: DateTime<Utc>,
    ) -> Result<(u16, Value), Refusal> {
        let list = self.sim_list(list)?;
        let body = body_json(request)?;
        let empty = Map::new();
        let fields = match &body["fields"] {
            Value::Object(fields) => fields,
            Value::Null => &empty,
            _ => return Err((400, "'fields' must be an object".to_owned())),
        };
        let person = body["person"]
            .as_u64()
            .unwrap_or(u64::from(crate::show::APP_USER) + 1);
        let person = u32::try_from(person).map_err(|_| (400, "'person' must be a lookup id".to_owned()))?;
        let (actor, seconds) = (Actor::Person(person), now.timestamp());
        let (status, id) = match item {
            None => (
                201,
                self.write_new(list, fields, actor, seconds).map_err(from_graph)?,
            ),
            Some(item) => {
                let id = item
                    .parse()
                    .map_err(|_| (404, "there is no such item".to_owned()))?;
                self.write_change(list, id, fields, actor, seconds)
                    .map_err(from_graph)?;
                (200, id)
            }
        };
        let list = self.list(list).map_err(from_graph)?;
        let show = self.showing(list, "").map_err(from_graph)?;
        let item = list
            .items
            .get(&id)
            .ok_or_else(|| (404, "there is no such item".to_owned()))?;
        Ok((status, raw_item(&show, item)))
    }
}

fn raw_item(show: &Show<'_>, item: &Item) -> Value {
    json!({
        "id": item.id,
        "guid": item.guid.to_string(),
        "counter": item.counter,
        "version": format!("{}.0", item.label),
        "etag": etag(item.guid, item.counter, Spelling::Quoted),
        "created": timestamp(item.created),
        "modified": timestamp(item.modified),
        "editor": match item.editor { Actor::App(_) => "app", Actor::Person(_) => "person" },
        "fields": show.raw_fields(item),
    })
}
