//! From stored things to the JSON of answers.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::builtin::TITLE_SLOT;
use crate::cell::Cell;
use crate::column::Column;
use crate::facet::Kind;
use crate::guid::Guid;
use crate::list::{Actor, Item, List, find};
use crate::object::{Json, Object, array};
use crate::options::{Behaviour, LookupOverflow};
use crate::reply::timestamp;
use crate::site::Site;

/// What must be escaped in a path segment of a `webUrl`.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'/')
    .add(b'`');

pub(crate) fn url_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// How an eTag is spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `"guid,n"`, the quotes belonging to the text.
    Quoted,
    /// `guid,n`, as in the answer to a list's creation and in changes.
    Bare,
}

pub(crate) fn etag(guid: Guid, counter: u32, spelling: Spelling) -> String {
    match spelling {
        Spelling::Quoted => format!("\"{guid},{counter}\""),
        Spelling::Bare => format!("{guid},{counter}"),
    }
}

/// Which columns of an item are wanted.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Everything that is not hidden.
    Visible,
    /// These, hidden or not.
    Named(&'a [String]),
}

/// Everything rendering needs to see; nothing in it is changed.
#[derive(Clone, Copy)]
pub(crate) struct Show<'a> {
    /// The Graph root of links and contexts, ending before `/v1.0`.
    pub(crate) base: &'a str,
    pub(crate) site: &'a Site,
    pub(crate) list: &'a List,
    /// All lists, for the texts behind lookups.
    pub(crate) lists: &'a BTreeMap<Guid, List>,
    /// Ids of the applications, by their numbers.
    pub(crate) apps: &'a [String],
    pub(crate) behaviour: &'a Behaviour,
}

fn put(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    map.insert(key.to_owned(), value.into());
}

/// The lookup id under which writes of applications appear, and that of the people of the site.
pub(crate) const APP_USER: u32 = 11;

pub(crate) fn number_json(number: f64) -> Value {
    // Whole numbers are printed without a fraction as long as every one of them can be told apart.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}

/// A person, or the account under which applications write.
pub(crate) fn user_json(mail_domain: &str, actor: Actor) -> Value {
    let (id, name, mail) = match actor {
        Actor::App(_) => (APP_USER, "Example User".to_owned(), "user".to_owned()),
        Actor::Person(id) => (id, format!("Person {id}"), format!("person{id}")),
    };
    let guid = Guid::from_random(u128::from(crate::random::mix(u64::from(id))) << 32);
    json!({ "email": format!("{mail}@{mail_domain}"), "id": guid.to_string(), "displayName": name })
}

impl Show<'_> {
    /// The path of the list below `/v1.0`, with the commas of the site's id escaped or plain.
    pub(crate) fn list_path(&self, escaped: bool) -> String {
        let site = if escaped {
            self.site.escaped_id()
        } else {
            self.site.id()
        };
        format!("sites/{site}/lists/{}", self.list.id)
    }

    /// `@odata.context` of something in this list.
    pub(crate) fn context(&self, tail: &str) -> String {
        let site = self.site.escaped_id();
        format!(
            "{}/v1.0/$metadata#sites('{site}')/lists('{}')/{tail}",
            self.base, self.list.id
        )
    }

    fn by(&self, actor: Actor, with_app: bool) -> Value {
        let user = user_json(self.site.mail_domain(), actor);
        match actor {
            Actor::App(number) if with_app => json!({
                "application": { "id": self.app_id(number), "displayName": "Microsoft Graph" },
                "user": user,
            }),
            _ => json!({ "user": user }),
        }
    }

    /// [`Show::by`] as text.
    fn by_text(&self, actor: Actor, with_app: bool) -> String {
        let Actor::App(number) = actor else {
            return self.by(actor, with_app).to_string();
        };
        let mut object = Object::new();
        if with_app {
            let mut app = Object::new();
            app.put("id", self.app_id(number));
            app.put("displayName", "Microsoft Graph");
            object.put("application", Json(app.finish()));
        }
        object.put("user", Json(self.site.app_user()));
        object.finish()
    }

    fn app_id(&self, number: u16) -> &str {
        self.apps.get(usize::from(number)).map_or("", String::as_str)
    }

    /// The list itself.
    pub(crate) fn list_json(&self, spelling: Spelling) -> Map<String, Value> {
        let list = self.list;
        let mut map = Map::new();
        let tag = etag(list.id, list.counter, spelling);
        put(&mut map, "@odata.etag", tag.as_str());
        put(&mut map, "eTag", tag);
        put(&mut map, "createdDateTime", timestamp(list.created));
        put(&mut map, "lastModifiedDateTime", timestamp(list.modified));
        put(&mut map, "description", list.description.as_str());
        put(&mut map, "id", list.id.to_string());
        put(&mut map, "name", list.name.as_str());
        put(&mut map, "webUrl", self.list_url());
        put(&mut map, "displayName", list.display_name.as_str());
        let mut created = self.by(list.author, false);
        if spelling == Spelling::Bare
            && let Some(user) = created["user"].as_object_mut()
        {
            user.remove("id");
        }
        put(&mut map, "createdBy", created);
        if let Some(editor) = list.editor {
            put(&mut map, "lastModifiedBy", self.by(editor, false));
        }
        put(&mut map, "parentReference", json!({ "siteId": self.site.id() }));
        let facet = json!({ "contentTypesEnabled": false, "hidden": false, "template": list.template });
        put(&mut map, "list", facet);
        map
    }

    fn list_url(&self) -> String {
        format!("{}/Lists/{}", self.site.web_url(), url_segment(&self.list.name))
    }

    /// The texts that item answers have in common.
    fn put_common(&self, object: &mut Object<'_>, item: &Item, tag: &str) {
        object.put("@odata.etag", tag);
        object.put("eTag", tag);
        object.put("createdDateTime", timestamp(item.created));
        object.put("lastModifiedDateTime", timestamp(item.modified));
        object.put("id", item.id.to_string());
        object.put("webUrl", format!("{}/{}_.000", self.list_url(), item.id));
        let mut kind = Object::new();
        kind.put("id", self.list.content_type.as_str());
        kind.put("name", "Item");
        object.put("contentType", Json(kind.finish()));
    }

    /// An item as item answers show it, with its fields where they are wanted. `keep` is the `$select` of the
    /// item itself, `context` the `@odata.context` where the item is the whole answer.
    pub(crate) fn item_json(
        &self,
        item: &Item,
        fields: Option<Wanted<'_>>,
        page: bool,
        keep: Option<&[String]>,
        context: Option<String>,
    ) -> String {
        let mut object = Object::selected(keep);
        if let Some(context) = context {
            object.put("@odata.context", context);
        }
        let tag = etag(item.guid, item.counter, Spelling::Quoted);
        self.put_common(&mut object, item, &tag);
        object.put("createdBy", Json(self.by_text(item.author, false)));
        object.put("lastModifiedBy", Json(self.by_text(item.editor, true)));
        let mut parent = Object::new();
        parent.put("id", self.list.folder.to_string());
        parent.put("siteId", self.site.id());
        object.put("parentReference", Json(parent.finish()));
        if let Some(wanted) = fields.filter(|_| object.wants("fields")) {
            let context = self.context(&format!("items('{}')/fields/$entity", item.id));
            object.put("fields@odata.context", context);
            object.put("fields", Json(self.fields_json(item, wanted, &tag, page, None)));
        }
        object.finish()
    }

    /// An item as changes show it.
    pub(crate) fn change_json(
        &self,
        item: &Item,
        fields: Option<Wanted<'_>>,
        keep: Option<&[String]>,
    ) -> String {
        let mut object = Object::selected(keep);
        let tag = etag(item.guid, item.counter, Spelling::Bare);
        self.put_common(&mut object, item, &tag);
        object.put("createdBy", Json(self.by_text(item.author, true)));
        let mut parent = Object::new();
        parent.put("id", "0");
        parent.put("path", format!("Lists/{}", self.list.name));
        parent.put("siteId", self.site.collection.to_string());
        object.put("parentReference", Json(parent.finish()));
        if let Some(wanted) = fields {
            object.put("fields", Json(self.fields_json(item, wanted, &tag, true, None)));
        }
        object.finish()
    }

    /// A deleted item as changes show it.
    pub(crate) fn deleted_json(&self, id: u32) -> String {
        let value = json!({
            "id": id.to_string(),
            "parentReference": { "siteId": self.site.collection.to_string() },
            "contentType": { "id": self.list.content_type, "name": "Item" },
            "deleted": { "state": "deleted" },
        });
        value.to_string()
    }

    /// The field values of an item: what has no value is left out.
    pub(crate) fn fields_json(
        &self,
        item: &Item,
        wanted: Wanted<'_>,
        tag: &str,
        page: bool,
        context: Option<String>,
    ) -> String {
        let mut map = match wanted {
            Wanted::Visible => Object::new(),
            Wanted::Named(_) => Object::named(),
        };
        if let Some(context) = context {
            map.put("@odata.context", context);
        }
        map.put("@odata.etag", tag);
        match wanted {
            Wanted::Visible => {
                for key in BUILT_IN_KEYS {
                    self.put_built_in(&mut map, item, key);
                }
                if self.list.moderated {
                    self.put_built_in(&mut map, item, MODERATION_STATUS);
                }
                let shown = || {
                    let columns = self.list.columns.iter();
                    columns.filter(|column| !column.builtin && !column.hidden)
                };
                let mut room = self.lookup_room(page, BUILT_IN_LOOKUPS.len(), || {
                    shown().filter(|column| column.kind.is_lookup()).count()
                });
                for column in shown() {
                    if column.kind.is_lookup() {
                        if room == 0 {
                            continue;
                        }
                        room -= 1;
                    }
                    self.put_cell(&mut map, column, item.cell(column.slot), false);
                }
            }
            Wanted::Named(names) => self.put_named(&mut map, item, names, page),
        }
        map.finish()
    }

    /// How many lookup columns an answer has room for. Over the limit, a collection silently loses lookup
    /// columns; a single item does not. `built_in` and `own` count the lookup columns wanted.
    fn lookup_room(&self, page: bool, built_in: usize, own: impl Fn() -> usize) -> usize {
        if !page {
            return usize::MAX;
        }
        let counted = if self.behaviour.builtin_lookups_count {
            built_in
        } else {
            0
        };
        let room = self.behaviour.lookup_limit.saturating_sub(counted);
        match self.behaviour.lookup_overflow {
            LookupOverflow::All if own() > room => 0,
            _ => room,
        }
    }

    /// The column that a name in `$select` means.
    fn named_column(&self, name: &str) -> Option<&Column> {
        let base = name.strip_suffix("LookupId");
        let column = self.list.column(name);
        column.or_else(|| self.list.column(base?))
    }

    fn put_named(&self, map: &mut Object<'_>, item: &Item, names: &[String], page: bool) {
        let counted = |name: &&String| BUILT_IN_LOOKUPS.contains(&name.trim_end_matches("LookupId"));
        let built_in = names.iter().filter(counted).count();
        let mut room = self.lookup_room(page, built_in, || {
            let columns = names.iter().filter_map(|name| self.named_column(name));
            columns
                .filter(|column| !column.builtin && column.kind.is_lookup())
                .count()
        });
        for name in names {
            if self.put_built_in(map, item, name) {
                continue;
            }
            let Some(column) = self.named_column(name) else {
                continue;
            };
            if column.kind.is_lookup() {
                if room == 0 {
                    continue;
                }
                room -= 1;
            }
            self.put_cell(map, column, item.cell(column.slot), column.name == *name);
        }
    }

    /// Adds a built-in value; `false` if the key names none.
    fn put_built_in(&self, map: &mut Object<'_>, item: &Item, key: &str) -> bool {
        let person = |actor| match actor {
            Actor::App(_) => APP_USER,
            Actor::Person(id) => id,
        };
        match key {
            "id" | "ID" => map.put(key, item.id.to_string()),
            "ContentType" => map.put(key, "Item"),
            "Title" | "LinkTitle" | "LinkTitleNoMenu" => {
                if let Some(Cell::Text(text)) = item.cell(TITLE_SLOT) {
                    map.put(key, &**text);
                }
            }
            "Modified" => map.put(key, timestamp(item.modified)),
            "Created" => map.put(key, timestamp(item.created)),
            "AuthorLookupId" => map.put(key, person(item.author).to_string()),
            "EditorLookupId" => map.put(key, person(item.editor).to_string()),
            "Author" | "Editor" => {
                let actor = if key == "Author" { item.author } else { item.editor };
                map.put(&format!("{key}LookupId"), person(actor).to_string());
                map.put(
                    key,
                    user_json(self.site.mail_domain(), actor)["displayName"].clone(),
                );
            }
            "AppAuthorLookupId" | "AppEditorLookupId" => {
                let author = key == "AppAuthorLookupId";
                if let Actor::App(number) = if author { item.author } else { item.editor } {
                    map.put(key, (u32::from(number) + 1).to_string());
                }
            }
            "_UIVersionString" => map.put(key, format!("{}.0", item.label)),
            "Attachments" => map.put(key, item.attachments),
            MODERATION_STATUS => map.put(key, item.approval.number()),
            "ItemChildCount" | "FolderChildCount" => map.put(key, "0"),
            "Edit"
            | "_ComplianceFlags"
            | "_ComplianceTag"
            | "_ComplianceTagWrittenTime"
            | "_ComplianceTagUserId" => map.put(key, ""),
            "DocIcon" | "_IsRecord" | "_ColorTag" | "ComplianceAssetId" => {}
            _ => return false,
        }
        true
    }

    /// Adds a column's value in the form its type has on the wire; `text` adds the text behind a lookup.
    fn put_cell(&self, map: &mut Object<'_>, column: &Column, cell: Option<&Cell>, text: bool) {
        let Some(cell) = cell else { return };
        let name = column.name.as_str();
        match cell {
            Cell::Lookup(id) => {
                map.put(&format!("{name}LookupId"), id.to_string());
                if text && let Some(shown) = self.behind(column, *id) {
                    map.put(name, shown);
                }
            }
            Cell::Lookups(ids) => {
                let entries = ids.iter().map(|id| self.lookup_entry(column, *id).to_string());
                map.put(name, array(entries));
            }
            Cell::Text(text) => map.put(name, &**text),
            _ => map.put(name, plain_json(cell)),
        }
    }

    fn lookup_entry(&self, column: &Column, id: u32) -> Value {
        let mut entry = json!({ "LookupId": id, "LookupValue": self.behind(column, id).unwrap_or_default() });
        if matches!(column.kind, Kind::Person(_)) {
            entry["Email"] = user_json(self.site.mail_domain(), Actor::Person(id))["email"].clone();
        }
        entry
    }

    /// The text that a lookup shows for an id.
    pub(crate) fn behind(&self, column: &Column, id: u32) -> Option<String> {
        match &column.kind {
            Kind::Person(_) => Some(format!("Person {id}")),
            Kind::Lookup(lookup) => {
                let target = if lookup.list_id.eq_ignore_ascii_case("self") {
                    self.list
                } else {
                    self.lists.get(&Guid::parse(&lookup.list_id)?)?
                };
                let shown = if lookup.column_name.is_empty() {
                    "Title"
                } else {
                    &lookup.column_name
                };
                let cell = find(&target.items.get(&id)?.cells, target.column(shown)?.slot)?;
                match plain_json(cell) {
                    Value::String(text) => Some(text),
                    other => Some(other.to_string()),
                }
            }
            _ => None,
        }
    }

    /// Every value with its column's name, hidden ones included: the simulator's own view, not Graph's.
    pub(crate) fn raw_fields(&self, item: &Item) -> Map<String, Value> {
        self.raw_cells(&item.cells)
    }

    /// [`Show::raw_fields`] of the cells of any version.
    pub(crate) fn raw_cells(&self, cells: &[(u16, Cell)]) -> Map<String, Value> {
        let mut map = Map::new();
        for (slot, cell) in cells {
            if let Some(column) = self.list.columns.iter().find(|column| column.slot == *slot) {
                put(&mut map, &column.name, plain_json(cell));
            }
        }
        map
    }

    /// The values of an old version.
    pub(crate) fn old_fields(&self, cells: &[(u16, Cell)]) -> String {
        let mut map = Object::new();
        for column in self.list.columns.iter().filter(|column| !column.hidden) {
            self.put_cell(&mut map, column, find(cells, column.slot), false);
        }
        map.finish()
    }

    /// The name under which people see a writer.
    pub(crate) fn actor_name(&self, actor: Actor) -> String {
        match actor {
            Actor::App(number) => self.app_id(number).to_owned(),
            Actor::Person(id) => format!("Person {id}"),
        }
    }

    /// Who made a version.
    pub(crate) fn editor(&self, actor: Actor) -> String {
        self.by_text(actor, true)
    }
}

/// A cell without regard to lookups' wire names.
fn plain_json(cell: &Cell) -> Value {
    match cell {
        Cell::Text(text) => Value::from(&**text),
        Cell::Number(number) => number_json(*number),
        Cell::Bool(flag) => Value::from(*flag),
        Cell::Date(seconds) => Value::from(timestamp(*seconds)),
        Cell::Texts(texts) => texts.iter().map(|text| Value::from(&**text)).collect(),
        Cell::Lookup(id) => Value::from(*id),
        Cell::Lookups(ids) => ids.iter().map(|id| Value::from(*id)).collect(),
    }
}

/// Where an item stands in a list that asks for approval.
const MODERATION_STATUS: &str = "_ModerationStatus";

/// The built-in columns that count as lookups, where the behaviour says that any do.
const BUILT_IN_LOOKUPS: [&str; 4] = ["Author", "Editor", "AppAuthor", "AppEditor"];

/// The keys that an item of a generic list shows without being asked.
const BUILT_IN_KEYS: [&str; 20] = [
    "id",
    "ContentType",
    "Title",
    "Modified",
    "Created",
    "AuthorLookupId",
    "EditorLookupId",
    "_UIVersionString",
    "Attachments",
    "Edit",
    "LinkTitleNoMenu",
    "LinkTitle",
    "ItemChildCount",
    "FolderChildCount",
    "_ComplianceFlags",
    "_ComplianceTag",
    "_ComplianceTagWrittenTime",
    "_ComplianceTagUserId",
    "AppAuthorLookupId",
    "AppEditorLookupId",
];
