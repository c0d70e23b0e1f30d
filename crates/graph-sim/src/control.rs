//! The simulator's own controls under `/_sim/`: state, requests, accounts, faults, permissions, people's acts.
//! No token, no resource units. JSON in and out; an error is `{"error": "…"}`.
//!
//! # What the service is asked
//!
//! | request | answer |
//! |---|---|
//! | `GET state` | tenant, sites, their lists with item counts and columns |
//! | `POST state/save` | writes the file of `--state` (409 without one) |
//! | `GET quotas` | limit, units spent and seconds to the reset of each window: minute and day of each client, the tenant's five minutes |
//! | `GET requests?limit=N` | recent requests, newest first: no bodies, no values of query options |
//! | `GET ru`, `POST ru/reset` | sums by kind, by tag, by both, per client; item writes that took effect |
//! | `GET faults`, `PUT faults`, `DELETE faults` | rules with how often they matched and struck; `PUT` takes `{"faults": [rule, …]}` or the array |
//! | `POST faults`, `DELETE faults/{n}` | one more rule at the end (counters of the others go on); the rule at place n, from 0, goes |
//! | `GET permissions`, `PUT permissions` | `{"clients": {id: role}, "deny": [{"client", "list", "access": "all" or "write"}]}`; in force at once. The role `fullcontrol` sees and approves everything; every other one sees neither what waits for approval nor items with permissions of their own |
//!
//! # What a person does
//! `{list}` is an id, a display name or a URL name; `{column}` an internal name or an id. A body may name the
//! `"person"` (a lookup id; 12 where it does not). In a list that asks for approval, what a person writes waits
//! for approval like what an application writes.
//!
//! | request | effect |
//! |---|---|
//! | `GET lists/{list}/items?limit=N&after=ID` | every stored value, hidden columns included; also `orderby=COLUMN`, `descending=true`, `offset=N` |
//! | `GET lists/{list}/items/{id}` | one item, with its versions |
//! | `POST lists/{list}/items`, `POST lists/{list}/items/{id}` | creates, edits: `{"fields": {…}}`, spelled as in Graph's own writes |
//! | `DELETE lists/{list}/items/{id}` | deletes into the recycle bin; `?permanently=true` past it |
//! | `POST lists/{list}/items/{id}/approve`, `…/reject`, `…/unapprove` | the verdict on an item of a list that asks for approval (else 409) |
//! | `POST lists/{list}/items/{id}/hide`, `…/show` | gives the item permissions of its own that keep applications out (404, absent from collections), and takes them away |
//! | `POST lists/{list}/items/{id}/touch` | the item's counter rises although nobody wrote: nothing else of it changes |
//! | `POST lists/{list}/items/{id}/attach`, `…/detach` | the first file is attached (`Attachments` becomes true), the last one is removed |
//! | `PUT lists/{list}/flows` | the list's automation: `{"flows": [{"column", "text"}]}`. After each write of an application is answered, each flow writes its text into that column of the item, `{n}` in it being the number of the run; an item that holds the text already is left alone |
//! | `GET lists/{list}/recycle-bin` | deleted items |
//! | `POST lists/{list}/recycle-bin/{id}/restore`, `DELETE lists/{list}/recycle-bin/{id}` | the item comes back (same id, same guid, the counter goes on); is gone for good |
//! | `GET lists/{list}/columns` | every column as Graph would show it, hidden ones included |
//! | `POST lists/{list}/columns`, `PATCH lists/{list}/columns/{column}`, `DELETE lists/{list}/columns/{column}` | adds a column, changes it (`displayName`, `hidden`, choices …), deletes it with its values; bodies as in Graph |
//! | `GET lists/{list}/columns/{column}/targets?limit=N&search=TEXT` | what a lookup or person column can point to: `{"targets": [{"id", "text"}]}` |
//! | `POST lists` | makes a list: `{"site": name, "displayName", "description", "columns"}` |
//! | `PATCH lists/{list}` | `{"displayName", "description", "contentApproval": bool}`: renames, describes, begins or ends asking for approval |
//! | `DELETE lists/{list}` | deletes the list into the recycle bin |
//! | `GET recycle-bin` | deleted lists |
//! | `POST recycle-bin/{id}/restore`, `DELETE recycle-bin/{id}` | the list comes back (same id, same items; `{"writesBack": N}`: each item that many writes earlier, in place of the behaviour `restored_list_writes_back`); is gone for good |

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::fault::{FaultKind, FaultRule};
use crate::guid::Guid;
use crate::list::List;
use crate::message::{Headers, Method, Request, Response};
use crate::options::Profile;
use crate::permission::Permissions;
use crate::reply::GraphError;
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
pub(crate) type Refusal = (u16, String);

pub(crate) fn from_graph(error: GraphError) -> Refusal {
    (error.status, error.message)
}

pub(crate) fn body_json(request: &Request) -> Result<Value, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| (400, format!("the body is not JSON: {error}")))
}

/// Whether the request comes from a page of another origin, which must not drive the controls: browsers say where
/// a request comes from, other clients do not.
fn foreign(headers: &Headers) -> bool {
    let elsewhere = headers.get("origin").is_some_and(|origin| {
        let host = origin.split_once("://").map(|(_, rest)| rest);
        host.is_none() || host != headers.get("host")
    });
    let site = headers.get("sec-fetch-site").unwrap_or("none");
    elsewhere || !matches!(site, "none" | "same-origin")
}

/// A query option of a control, decoded.
pub(crate) fn option(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, raw) = pairs.find(|(key, _)| *key == name)?;
    let raw = raw.replace('+', " ");
    Some(percent_decode_str(&raw).decode_utf8_lossy().into_owned())
}

/// A query option that is a whole number.
pub(crate) fn number(query: &str, name: &str, default: usize) -> Result<usize, Refusal> {
    match option(query, name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| (400, format!("'{name}' must be a whole number"))),
    }
}

pub(crate) fn no_such_control() -> Refusal {
    let text = "no such control: see the documentation of graph-sim, section /_sim/";
    (404, text.to_owned())
}

fn no_rule() -> Refusal {
    (404, "there is no such fault rule".to_owned())
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
        headers.push("X-Content-Type-Options", "nosniff");
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
        if foreign(&request.headers) {
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
            (Post, ["state", "save"]) => match self.keep() {
                Ok(true) => Ok((204, Value::Null)),
                Ok(false) => Err((409, "the simulator was started without --state".to_owned())),
                Err(text) => Err((500, text)),
            },
            (Get, ["quotas"]) => {
                let mut quotas = self.quotas.json(&self.apps, now.timestamp_millis());
                quotas["enforced"] = Value::from(self.options.profile == Profile::Documented);
                Ok((200, quotas))
            }
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
            (Post, ["faults"]) => {
                let rule: FaultRule = serde_json::from_value(body_json(request)?)
                    .map_err(|error| (400, format!("fault: {error}")))?;
                self.faults.add(rule).map_err(|text| (400, text))?;
                Ok((201, self.faults_json()))
            }
            (Delete, ["faults", at]) => {
                let at = at.parse().map_err(|_| no_rule())?;
                if self.faults.remove(at) {
                    Ok((204, Value::Null))
                } else {
                    Err(no_rule())
                }
            }
            (Delete, ["faults"]) => {
                self.faults.rules.clear();
                Ok((204, Value::Null))
            }
            (Get, ["permissions"]) => Ok((200, serde_json::to_value(&self.permissions).unwrap_or_default())),
            (Put, ["permissions"]) => self.put_permissions(request),
            (method, ["lists", rest @ ..]) => self.list_control(method, rest, query, request, now),
            (method, ["recycle-bin", rest @ ..]) => self.bin_control(method, rest, request),
            _ => Err(no_such_control()),
        }
    }

    /// A list by id, display name or URL name, whatever its site.
    pub(crate) fn sim_list(&self, key: &str) -> Result<Guid, Refusal> {
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
                        "counter": list.counter,
                        "contentApproval": list.moderated,
                        "description": list.description,
                        "recycled": list.bin.len(),
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
            "timeZone": self.options.time_zone.name(),
            "clients": (0_u16..).zip(&self.apps).map(|(number, id)| json!({
                "id": id,
                "role": self.role(number).name(),
            })).collect::<Vec<_>>(),
            "recycledLists": self.binned_lists.len(),
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
}
