//! What a tenant holds and what it was asked, for whoever has it in their own process: the same as the controls tell,
//! without the way through JSON. Simulated histories look behind the scenes thousands of times each.

use serde_json::{Map, Value};

use crate::list::{Actor, Item, List};
use crate::show::Show;
use crate::tenant::Tenant;

/// An item as it is stored, whoever may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its number.
    pub id: u64,
    /// Its guid.
    pub guid: String,
    /// How often it was written.
    pub counter: u64,
    /// Whether the newest version is an application's.
    pub by_app: bool,
    /// Whether applications are kept from seeing it.
    pub hidden: bool,
    /// Every stored value, hidden columns included.
    pub fields: Map<String, Value>,
}

impl Stored {
    fn of(show: &Show<'_>, item: &Item) -> Self {
        Self {
            id: u64::from(item.id),
            guid: item.guid.to_string(),
            counter: u64::from(item.counter),
            by_app: matches!(item.editor, Actor::App(_)),
            hidden: item.restricted,
            fields: show.raw_fields(item),
        }
    }
}

/// What all applications together spent, and which of their writes to items took effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Resource units.
    pub units: u64,
    /// Items made.
    pub creates: u64,
    /// Items changed.
    pub patches: u64,
    /// Items deleted.
    pub deletes: u64,
}

impl Tenant {
    /// The items of a list (its id or a name of it) in the order of their numbers; none where there is no such list.
    #[must_use]
    pub fn stored(&self, list: &str) -> Vec<Stored> {
        let Some(list) = self.seen_list(list) else {
            return Vec::new();
        };
        let Ok(show) = self.showing(list, "") else {
            return Vec::new();
        };
        list.items.values().map(|item| Stored::of(&show, item)).collect()
    }

    /// What was spent since it was last set back.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.usage.spent()
    }

    fn seen_list(&self, key: &str) -> Option<&List> {
        self.list(self.sim_list(key).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::message::{Method, Request};
    use crate::options::Options;

    fn ask(tenant: &mut Tenant, method: Method, path: &str, body: Option<&Value>) -> Value {
        let mut request = Request::new(method, format!("/_sim/{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        tenant.handle(request, now).response.json().unwrap_or_default()
    }

    #[test]
    fn what_is_seen_is_what_the_controls_tell() {
        let mut tenant = Tenant::new(Options::default()).unwrap();
        let list = json!({"site": "demo", "displayName": "Things"});
        ask(&mut tenant, Method::Post, "lists", Some(&list));
        for title in ["one", "two"] {
            let fields = json!({"fields": {"Title": title}});
            ask(&mut tenant, Method::Post, "lists/Things/items", Some(&fields));
        }
        ask(&mut tenant, Method::Post, "lists/Things/items/2/hide", None);
        let told = ask(&mut tenant, Method::Get, "lists/Things/items", None);
        let seen = tenant.stored("Things");
        assert_eq!(seen.len(), 2);
        for (seen, told) in seen.iter().zip(told["items"].as_array().unwrap()) {
            assert_eq!(json!(seen.id), told["id"]);
            assert_eq!(json!(seen.guid), told["guid"]);
            assert_eq!(json!(seen.counter), told["counter"]);
            assert_eq!(json!(seen.hidden), told["hidden"]);
            assert_eq!(seen.by_app, told["editor"] == "app");
            assert_eq!(json!(seen.fields), told["fields"]);
        }
        assert_eq!(tenant.stored("Nothing"), []);
        assert_eq!(tenant.spent(), Spent::default());
    }
}
