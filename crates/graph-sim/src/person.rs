//! What people do in lists, through the controls under `/_sim/lists` and `/_sim/recycle-bin`.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::columns::column_not_found;
use crate::control::{Refusal, body_json, from_graph, no_such_control, number, option};
use crate::facet::Kind;
use crate::guid::Guid;
use crate::items::item_not_found;
use crate::list::{Actor, List, Writing};
use crate::message::{Method, Request};
use crate::raw::{raw_item, raw_versions, sorted};
use crate::reply::{GraphError, timestamp};
use crate::tenant::Tenant;
use crate::visibility::Approval;

type Done = Result<(u16, Value), Refusal>;

/// A person's act, as far as all of them have the same parts.
struct Act {
    list: Guid,
    body: Value,
    by: Actor,
    now: i64,
}

/// The body of an act; none is an empty object.
fn act_body(request: &Request) -> Result<Value, Refusal> {
    if request.body.is_empty() {
        return Ok(json!({}));
    }
    let body = body_json(request)?;
    if body.is_object() {
        Ok(body)
    } else {
        Err((400, "the body must be a JSON object".to_owned()))
    }
}

/// Who acts: the body's `person`, which is taken out of it.
fn person(body: &mut Value) -> Result<Actor, Refusal> {
    match body.as_object_mut().and_then(|body| body.remove("person")) {
        None => Ok(Actor::Person(crate::show::APP_USER + 1)),
        Some(given) => {
            let id = given.as_u64().and_then(|id| u32::try_from(id).ok());
            id.map(Actor::Person)
                .ok_or_else(|| (400, "'person' must be a lookup id".to_owned()))
        }
    }
}

fn item_id(text: &str) -> Result<u32, Refusal> {
    text.parse().map_err(|_| no_item())
}

fn no_item() -> Refusal {
    (404, "there is no such item".to_owned())
}

const fn gone() -> (u16, Value) {
    (204, Value::Null)
}

impl Tenant {
    /// A control below `/_sim/lists`.
    pub(crate) fn list_control(
        &mut self,
        method: Method,
        path: &[&str],
        query: &str,
        request: &Request,
        now: DateTime<Utc>,
    ) -> Done {
        use Method::{Delete, Get, Patch, Post, Put};
        let (key, rest) = match path {
            [key, rest @ ..] => (*key, rest),
            [] if method == Post => return self.person_makes_list(request, now),
            [] => return Err(no_such_control()),
        };
        let list = self.sim_list(key)?;
        if method == Get {
            return self.list_view(list, rest, query);
        }
        let mut body = act_body(request)?;
        let act = Act {
            list,
            by: person(&mut body)?,
            body,
            now: now.timestamp(),
        };
        match (method, rest) {
            (Patch, []) => self.change_list(&act),
            (Put, ["flows"]) => self.put_flows(list, &act.body),
            (Delete, []) => {
                self.recycle_list(list, act.now, act.by);
                Ok(gone())
            }
            (Post, ["items"]) => self.person_writes(&act, None),
            (Post, ["items", item]) => self.person_writes(&act, Some(item_id(item)?)),
            (Post, ["items", item, verb]) => self.person_acts(&act, item_id(item)?, verb),
            (Delete, ["items", item]) => {
                let permanently = option(query, "permanently").is_some_and(|given| given == "true");
                self.person_deletes(&act, item_id(item)?, permanently)
            }
            (Post, ["recycle-bin", item, "restore"]) => self.person_restores(&act, item_id(item)?),
            (Delete, ["recycle-bin", item]) => {
                let item = item_id(item)?;
                let bin = &mut self.list_mut(list).map_err(from_graph)?.bin;
                bin.remove(&item).map(|_| gone()).ok_or_else(no_item)
            }
            (_, ["columns", rest @ ..]) => self.column_control(method, rest, &act),
            _ => Err(no_such_control()),
        }
    }

    /// What is read of one list.
    fn list_view(&self, list: Guid, rest: &[&str], query: &str) -> Done {
        let list = self.list(list).map_err(from_graph)?;
        match rest {
            ["items"] => self.raw_items(list, query),
            ["items", item] => {
                let show = self.showing(list, "").map_err(from_graph)?;
                let item = list.items.get(&item_id(item)?).ok_or_else(no_item)?;
                let mut value = raw_item(&show, item);
                value["versions"] = raw_versions(&show, item);
                Ok((200, value))
            }
            ["recycle-bin"] => {
                let show = self.showing(list, "").map_err(from_graph)?;
                let mut bin: Vec<_> = list.bin.values().collect();
                bin.sort_by_key(|binned| std::cmp::Reverse(binned.change));
                let items = bin.into_iter().map(|binned| {
                    let mut value = raw_item(&show, &binned.item);
                    value["deleted"] = Value::from(timestamp(binned.deleted));
                    value["deletedBy"] = Value::from(show.actor_name(binned.by));
                    value
                });
                Ok((
                    200,
                    json!({ "list": list.id.to_string(), "items": items.collect::<Vec<_>>() }),
                ))
            }
            ["columns"] => {
                let columns = list.columns.iter().map(|column| {
                    let mut map = column.json();
                    map.insert("builtIn".to_owned(), Value::from(column.builtin));
                    Value::Object(map)
                });
                Ok((200, json!({ "columns": columns.collect::<Vec<_>>() })))
            }
            ["columns", column, "targets"] => self.targets(list, column, query),
            _ => Err(no_such_control()),
        }
    }

    fn raw_items(&self, list: &List, query: &str) -> Done {
        let show = self.showing(list, "").map_err(from_graph)?;
        let limit = number(query, "limit", usize::MAX)?;
        let after = u32::try_from(number(query, "after", 0)?).unwrap_or(u32::MAX);
        let offset = number(query, "offset", 0)?;
        let descending = option(query, "descending").is_some_and(|given| given == "true");
        let items: Vec<Value> = match option(query, "orderby") {
            Some(column) => {
                let all = sorted(&show, &column, descending).map_err(from_graph)?;
                let page = all.into_iter().skip(offset).take(limit);
                page.map(|item| raw_item(&show, item)).collect()
            }
            None => {
                let page = list.items.range(after.saturating_add(1)..);
                let page = page.skip(offset).take(limit);
                page.map(|(_, item)| raw_item(&show, item)).collect()
            }
        };
        let count = list.items.len();
        Ok((
            200,
            json!({ "list": list.id.to_string(), "count": count, "items": items }),
        ))
    }

    /// What a lookup or person column can point to.
    fn targets(&self, list: &List, column: &str, query: &str) -> Done {
        let at = list.column_by_key(column);
        let column = at.and_then(|at| list.columns.get(at));
        let column = column.ok_or_else(|| from_graph(column_not_found()))?;
        let limit = number(query, "limit", 50)?;
        let wanted = option(query, "search").unwrap_or_default().to_lowercase();
        let show = self.showing(list, "").map_err(from_graph)?;
        let ids: Vec<u32> = match &column.kind {
            Kind::Person(_) => (1..=self.options.people).collect(),
            Kind::Lookup(lookup) => {
                let target = self.lookup_target(list, lookup);
                target.map_or_else(Vec::new, |target| target.items.keys().copied().collect())
            }
            _ => return Err((400, "the column is neither a lookup nor a person".to_owned())),
        };
        let named = ids
            .into_iter()
            .map(|id| (id, show.behind(column, id).unwrap_or_default()));
        let fitting = named.filter(|(id, text)| {
            wanted.is_empty() || text.to_lowercase().contains(&wanted) || id.to_string() == wanted
        });
        let targets: Vec<Value> = fitting
            .take(limit)
            .map(|(id, text)| json!({ "id": id, "text": text }))
            .collect();
        Ok((200, json!({ "targets": targets })))
    }

    fn change_list(&mut self, act: &Act) -> Done {
        let mut body = act.body.as_object().cloned().unwrap_or_default();
        let approval = body.remove("contentApproval");
        if let Some(key) = body
            .keys()
            .find(|key| !matches!(key.as_str(), "displayName" | "description"))
        {
            return Err((400, format!("'{key}' of a list cannot be set")));
        }
        let moderated = match approval {
            None => None,
            Some(Value::Bool(flag)) => Some(flag),
            Some(_) => return Err((400, "'contentApproval' must be true or false".to_owned())),
        };
        self.relabel_list(act.list, &body, act.by, act.now)
            .map_err(from_graph)?;
        let list = self.list_mut(act.list).map_err(from_graph)?;
        if let Some(moderated) = moderated {
            list.set_moderated(moderated);
        }
        let shown = json!({
            "id": list.id.to_string(),
            "displayName": list.display_name,
            "description": list.description,
            "contentApproval": list.moderated,
        });
        Ok((200, shown))
    }

    fn person_makes_list(&mut self, request: &Request, now: DateTime<Utc>) -> Done {
        let mut body = act_body(request)?;
        let by = person(&mut body)?;
        let name = body.as_object_mut().and_then(|body| body.remove("site"));
        let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
        let site = self
            .sites
            .iter()
            .position(|site| site.name == name || site.id() == name);
        let site = site.ok_or_else(|| (404, "there is no such site: name one in 'site'".to_owned()))?;
        let empty = Map::new();
        let body = body.as_object().unwrap_or(&empty);
        let id = self
            .new_list(site, body, by, now.timestamp_millis())
            .map_err(from_graph)?;
        Ok((201, json!({ "id": id.to_string() })))
    }

    fn writing(&self, act: &Act) -> Writing<'_> {
        Writing {
            now: act.now,
            actor: act.by,
            may_approve: self.may_approve(act.by),
            behaviour: &self.options.behaviour,
        }
    }

    /// The item as it is after an act.
    fn after_act(&self, act: &Act, item: u32, status: u16) -> Done {
        let list = self.list(act.list).map_err(from_graph)?;
        let show = self.showing(list, "").map_err(from_graph)?;
        let item = list.items.get(&item).ok_or_else(no_item)?;
        Ok((status, raw_item(&show, item)))
    }

    fn person_writes(&mut self, act: &Act, item: Option<u32>) -> Done {
        let empty = Map::new();
        let fields = match &act.body["fields"] {
            Value::Object(fields) => fields,
            Value::Null => &empty,
            _ => return Err((400, "'fields' must be an object".to_owned())),
        };
        let (status, id) = match item {
            None => {
                let made = self.write_new(act.list, fields, act.by, act.now);
                (201, made.map_err(from_graph)?)
            }
            Some(id) => {
                let done = self.write_change(act.list, id, fields, act.by, act.now);
                done.map_err(from_graph)?;
                (200, id)
            }
        };
        self.after_act(act, id, status)
    }

    /// The acts on an item that are neither edit nor deletion.
    fn person_acts(&mut self, act: &Act, item: u32, verb: &str) -> Done {
        let verdict = match verb {
            "approve" => Some(Approval::Approved),
            "reject" => Some(Approval::Rejected),
            "unapprove" => Some(Approval::Pending),
            _ => None,
        };
        let moderated = self.list(act.list).map_err(from_graph)?.moderated;
        if verdict.is_some() && !moderated {
            return Err((
                409,
                "the list does not ask for approval: PATCH the list with {\"contentApproval\": true} first"
                    .to_owned(),
            ));
        }
        if matches!(verb, "attach" | "detach") {
            self.write_change(act.list, item, &Map::new(), act.by, act.now)
                .map_err(from_graph)?;
        }
        // The list is taken out for the moment, because the behaviours are read beside it.
        let Some(mut list) = self.lists.remove(&act.list) else {
            return Err(from_graph(item_not_found()));
        };
        let done = match (verdict, verb) {
            (Some(verdict), _) => Ok(list.set_approval(item, verdict, self.writing(act))),
            (None, "touch") => Ok(list.move_on(item)),
            (None, "hide" | "show") => Ok(list.set_restricted(item, verb == "hide")),
            (None, "attach" | "detach") => Ok(list.items.get_mut(&item).is_some_and(|found| {
                found.attachments = verb == "attach";
                true
            })),
            _ => Err(no_such_control()),
        };
        self.lists.insert(act.list, list);
        if done? {
            self.after_act(act, item, 200)
        } else {
            Err(no_item())
        }
    }

    fn person_deletes(&mut self, act: &Act, item: u32, permanently: bool) -> Done {
        let list = self.list_mut(act.list).map_err(from_graph)?;
        if !list.recycle(item, act.now, act.by) {
            return Err(no_item());
        }
        if permanently {
            list.bin.remove(&item);
        }
        Ok(gone())
    }

    fn person_restores(&mut self, act: &Act, item: u32) -> Done {
        let Some(mut list) = self.lists.remove(&act.list) else {
            return Err(from_graph(item_not_found()));
        };
        let restored = list.restore(item, self.writing(act));
        self.lists.insert(act.list, list);
        match restored {
            Ok(true) => self.after_act(act, item, 200),
            Ok(false) => Err((404, "the recycle bin holds no such item".to_owned())),
            Err(duplicate) => Err(from_graph(self.duplicate(duplicate))),
        }
    }

    fn column_control(&mut self, method: Method, rest: &[&str], act: &Act) -> Done {
        let list = self.list(act.list).map_err(from_graph)?;
        let (at, status) = match (method, rest) {
            (Method::Post, []) => {
                let made = self.new_column(act.list, &act.body, act.by, act.now);
                (made.map_err(from_graph)?, 201)
            }
            (Method::Patch | Method::Delete, [column]) => {
                let found = list.column_by_key(column).ok_or_else(column_not_found);
                let at = found.map_err(from_graph)?;
                if method == Method::Delete {
                    self.drop_column(act.list, at, act.by, act.now)
                        .map_err(from_graph)?;
                    return Ok(gone());
                }
                self.change_column(act.list, at, &act.body, act.by, act.now)
                    .map_err(from_graph)?;
                (at, 200)
            }
            _ => return Err(no_such_control()),
        };
        let list = self.list(act.list).map_err(from_graph)?;
        let column = list.columns.get(at).ok_or_else(column_not_found);
        Ok((status, Value::Object(column.map_err(from_graph)?.json())))
    }

    /// A control below `/_sim/recycle-bin`: deleted lists.
    pub(crate) fn bin_control(&mut self, method: Method, rest: &[&str], request: &Request) -> Done {
        let no_list = || GraphError::not_found("the recycle bin holds no such list");
        let parsed = |text: &str| Guid::parse(text).ok_or_else(|| from_graph(no_list()));
        match (method, rest) {
            (Method::Get, []) => {
                let lists = self.binned_lists.values().map(|binned| {
                    let site = self.sites.get(binned.list.site).map(|site| site.name.as_str());
                    let by = match binned.by {
                        Actor::App(_) => "app",
                        Actor::Person(_) => "person",
                    };
                    json!({
                        "id": binned.list.id.to_string(),
                        "site": site,
                        "displayName": binned.list.display_name,
                        "items": binned.list.items.len(),
                        "deleted": timestamp(binned.deleted),
                        "deletedBy": by,
                    })
                });
                Ok((200, json!({ "lists": lists.collect::<Vec<_>>() })))
            }
            (Method::Post, [list, "restore"]) => {
                let body = act_body(request)?;
                let back = match &body["writesBack"] {
                    Value::Null => self.options.behaviour.restored_list_writes_back,
                    given => {
                        let number = given.as_u64().and_then(|number| u32::try_from(number).ok());
                        number.ok_or_else(|| (400, "'writesBack' must be a whole number".to_owned()))?
                    }
                };
                let id = parsed(list)?;
                self.restore_list(id, back).map_err(from_graph)?;
                Ok((200, json!({ "id": id.to_string() })))
            }
            (Method::Delete, [list]) => {
                let removed = self.binned_lists.remove(&parsed(list)?);
                removed.map(|_| gone()).ok_or_else(|| from_graph(no_list()))
            }
            _ => Err(no_such_control()),
        }
    }
}
