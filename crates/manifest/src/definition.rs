//! One sync: `SyncDefinition`.

use std::collections::HashSet;

use chrono_tz::Tz;
use serde_json::{Value as Json, json};
use syncbridge_domain::feed::FeedKind;
use syncbridge_domain::history::HistoryRule;
use syncbridge_domain::list_rules::TargetMode;
use syncbridge_domain::policy::{DeletePolicy, Direction, OnForeignRestore, Policies};
use syncbridge_domain::run::Limits;

use crate::catalog::{MAX_DESCRIPTION, object, text};
use crate::field_rule::FieldRule;
use crate::guards::{self, Sentinels};
use crate::history;
use crate::name::Name;
use crate::node::Body;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Reader, Slot, quote};
use crate::site::SiteRef;
use crate::span;
use crate::suggest::nearest;
use crate::two_way;
use crate::words::{self, CONFLICT, FOREIGN_EDIT, FOREIGN_RESTORE, MODE, TARGET_MODE};

/// Most columns of a definition; PostgreSQL has at most 1,600 in a table.
const MAX_COLUMNS: usize = 1_600;
/// How long a watermark feed goes without comparing everything, in seconds, unless it says so itself.
const NIGHTLY: u64 = 86_400;
/// Most key columns; PostgreSQL takes 32 in an index.
const MAX_KEY_COLUMNS: usize = 32;

/// One table kept equal with one list.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncDefinitionSpec {
    /// Where rows come from.
    pub database: Name,
    /// Credentials for the list.
    pub connection: Name,
    /// The table and how its changes are noticed.
    pub source: SourceRule,
    /// The list.
    pub target: TargetRule,
    /// Which way values travel, where a field says nothing of its own.
    pub direction: Direction,
    /// The columns that travel, in this order; absent: every column but those in `exclude`.
    pub fields: Option<Vec<FieldRule>>,
    /// Columns that stay behind; empty where `fields` is given.
    pub exclude: Vec<String>,
    /// Choices where sides disagree or something is destroyed.
    pub policies: Policies,
    /// Keys of rows that must be in the source, as texts in the order of the key columns: while one is missing
    /// nothing is deleted.
    pub sentinels: Vec<Vec<String>>,
    /// Namespace of identities; `database/schema.table` unless given. Fixed once the definition exists.
    pub namespace: String,
    /// What is kept of what happened to each row.
    pub history: HistoryRule,
    /// Sizes that bound memory and requests.
    pub limits: Limits,
    /// Whether runs are refused for now.
    pub paused: bool,
    /// Whether nobody may approve a plan that they asked for themselves.
    pub four_eyes: bool,
}

/// The source side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRule {
    /// Schema, exactly as the database has it.
    pub schema: String,
    /// Table or view, exactly as the database has it.
    pub table: String,
    /// Key columns; absent: the primary key.
    pub key: Option<Vec<String>>,
    /// How changes are noticed.
    pub feed: FeedKind,
    /// The ordered column a watermark feed follows; there exactly for those.
    pub watermark: Option<String>,
    /// Seconds after which a watermark feed compares everything; absent: never, so that deletes are never seen.
    pub sweep: Option<u64>,
}

/// The list side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRule {
    /// The site.
    pub site: SiteRef,
    /// Display name of the list.
    pub list: String,
    /// Description of the list; absent: the table's comment.
    pub description: Option<String>,
    /// Time zone of the site, for columns that hold days; absent: not stated.
    pub time_zone: Option<Tz>,
    /// Who owns the list's columns.
    pub mode: TargetMode,
    /// Internal name of the column by which items of a list that people own are recognised; absent: the one the
    /// key is mapped onto.
    pub identity_column: Option<String>,
}

impl SyncDefinitionSpec {
    const KEYS: [&'static str; 19] = [
        "database",
        "connection",
        "source",
        "target",
        "direction",
        "twoWay",
        "mode",
        "fields",
        "exclude",
        "onDelete",
        "conflict",
        "onForeignEdit",
        "onForeignRestore",
        "fourEyes",
        "guards",
        "namespace",
        "history",
        "limits",
        "paused",
    ];

    pub(crate) fn read(reader: &mut Reader, spec: &Slot<'_>) -> Option<Self> {
        let keys = reader.fields(spec, &Self::KEYS)?;
        let before = reader.count();
        let database = reader.required(&keys, "database", "name the Database the table is in");
        let database = database.and_then(|slot| reader.name(&slot));
        let connection = reader.required(&keys, "connection", "name the Connection to the list's tenant");
        let connection = connection.and_then(|slot| reader.name(&slot));
        let source = reader.required(&keys, "source", "for example `source: {table: public.projects}`");
        let source = source.and_then(|slot| SourceRule::read(reader, &slot));
        let target = reader.required(&keys, "target", "name the list: `target: {site: …, list: …}`");
        let target = target.and_then(|slot| TargetRule::read(reader, &slot));
        let directions = two_way::read(reader, &keys);
        let fields = keys.get("fields").and_then(|slot| read_fields(reader, &slot));
        let exclude = read_exclude(reader, &keys);
        let key = source.as_ref().and_then(|source| source.key.as_deref());
        let policies = read_policies(reader, &keys, key);
        let four_eyes = keys
            .get("fourEyes")
            .map_or(Some(false), |slot| reader.flag(&slot));
        let namespace = keys
            .get("namespace")
            .and_then(|slot| read_namespace(reader, &slot));
        let history = keys
            .get("history")
            .map_or(Some(HistoryRule::default()), |slot| history::read(reader, &slot));
        let limits = keys
            .get("limits")
            .map_or(Some(Limits::default()), |slot| read_limits(reader, &slot));
        let paused = keys.get("paused").map_or(Some(false), |slot| reader.flag(&slot));
        if reader.count() > before {
            return None;
        }
        let (database, source) = (database?, source?);
        let namespace = namespace.unwrap_or_else(|| format!("{database}/{}.{}", source.schema, source.table));
        let (direction, two_way) = directions?;
        let (policies, sentinels) = policies?;
        Some(Self {
            connection: connection?,
            target: target?,
            direction,
            policies: Policies { two_way, ..policies },
            sentinels,
            history: history?,
            limits: limits?,
            paused: paused?,
            four_eyes: four_eyes?,
            database,
            source,
            fields,
            exclude,
            namespace,
        })
    }

    pub(crate) fn to_json(&self) -> Json {
        let Policies {
            conflict,
            delete,
            on_foreign_edit,
            archive_only,
            two_way,
            on_foreign_restore,
            ..
        } = self.policies;
        let fields = self
            .fields
            .as_ref()
            .map(|rules| rules.iter().map(FieldRule::to_json).collect());
        let exclude = (!self.exclude.is_empty()).then(|| json!(self.exclude));
        object([
            ("database", Some(json!(self.database.as_str()))),
            ("connection", Some(json!(self.connection.as_str()))),
            ("source", Some(self.source.to_json())),
            ("target", Some(self.target.to_json())),
            ("direction", Some(json!(self.direction))),
            ("twoWay", two_way::to_json(self.direction, two_way)),
            ("mode", Some(words::word(&MODE, archive_only))),
            ("fields", fields),
            ("exclude", exclude),
            ("onDelete", Some(json!(delete))),
            ("conflict", Some(words::word(&CONFLICT, conflict))),
            ("onForeignEdit", Some(words::word(&FOREIGN_EDIT, on_foreign_edit))),
            // The default leaves no trace, so that documents stored before there was a choice stay as they are.
            (
                "onForeignRestore",
                (on_foreign_restore != OnForeignRestore::Report)
                    .then(|| words::word(&FOREIGN_RESTORE, on_foreign_restore)),
            ),
            ("fourEyes", self.four_eyes.then_some(json!(true))),
            ("guards", Some(guards::to_json(&self.policies, &self.sentinels))),
            ("namespace", Some(json!(self.namespace))),
            ("history", history::to_json(self.history)),
            (
                "limits",
                Some(json!({
                    "pageRows": self.limits.page_rows,
                    "batchWrites": self.limits.batch_writes,
                    "batchesInFlight": self.limits.batches_in_flight,
                    "verifyPageItems": self.limits.verify_page_items,
                    "standstillSeconds": self.limits.standstill_seconds,
                })),
            ),
            ("paused", Some(json!(self.paused))),
        ])
    }
}

impl SourceRule {
    fn read(reader: &mut Reader, slot: &Slot<'_>) -> Option<Self> {
        let fields = reader.fields(slot, &["table", "key", "feed", "watermark", "sweep"])?;
        let before = reader.count();
        let table = reader.required(&fields, "table", "for example `table: public.projects`");
        let table = table.and_then(|slot| read_table(reader, &slot));
        let key = fields
            .get("key")
            .and_then(|slot| reader.identifiers(&slot, MAX_KEY_COLUMNS));
        let feeds = [
            ("watermark", FeedKind::Watermark),
            ("full_scan", FeedKind::FullScan),
        ];
        let feed = fields
            .get("feed")
            .map_or(Some(FeedKind::FullScan), |slot| match slot.body() {
                Body::Text(text) if text == "cdc" => {
                    reader.report(
                        slot.at(),
                        ProblemCode::OpensLater,
                        "`feed: cdc` is not there yet".to_owned(),
                        "it comes with logical replication, after issue E; use `watermark` or `full_scan`",
                    );
                    None
                }
                _ => reader.one_of(&slot, &feeds),
            });
        let watermark = fields.get("watermark").and_then(|slot| reader.identifier(&slot));
        match feed {
            Some(FeedKind::Watermark) if !fields.has("watermark") => reader.report(
                fields.key_at("feed"),
                ProblemCode::Contradiction,
                format!(
                    "`{}` is `watermark`, and `watermark` names no column",
                    fields.path_of("feed")
                ),
                "add the column that rises with every change: `watermark: updated_at`",
            ),
            Some(FeedKind::FullScan) if fields.has("watermark") => reader.report(
                fields.key_at("watermark"),
                ProblemCode::Contradiction,
                format!(
                    "`{}` is not looked at by a full scan",
                    fields.path_of("watermark")
                ),
                "add `feed: watermark`, or remove `watermark`",
            ),
            Some(FeedKind::FullScan) if fields.has("sweep") => reader.report(
                fields.key_at("sweep"),
                ProblemCode::Contradiction,
                format!(
                    "`{}` says when to compare everything, and a full scan always does",
                    fields.path_of("sweep")
                ),
                "add `feed: watermark`, or remove `sweep`",
            ),
            _ => {}
        }
        let sweep = match (feed, fields.get("sweep")) {
            (Some(FeedKind::Watermark), None) => Some(Some(NIGHTLY)),
            (_, Some(slot)) => read_sweep(reader, &slot),
            (_, None) => Some(None),
        };
        if reader.count() > before {
            return None;
        }
        let (schema, table) = table?;
        Some(Self {
            schema,
            table,
            key,
            feed: feed?,
            watermark,
            sweep: sweep?,
        })
    }

    /// `schema.table` wherever that can be read back without doubt.
    fn table_json(&self) -> Json {
        let plain = |name: &str| !name.contains(|c: char| matches!(c, '.' | '"') || c.is_control());
        if plain(&self.schema) && plain(&self.table) {
            return json!(format!("{}.{}", self.schema, self.table));
        }
        json!({ "schema": self.schema, "table": self.table })
    }

    fn to_json(&self) -> Json {
        object([
            ("table", Some(self.table_json())),
            ("key", self.key.as_ref().map(|key| json!(key))),
            ("feed", Some(json!(self.feed))),
            ("watermark", text(self.watermark.as_ref())),
            (
                "sweep",
                self.watermark
                    .as_ref()
                    .map(|_| json!({ "every": span::to_json(self.sweep) })),
            ),
        ])
    }
}

impl TargetRule {
    fn read(reader: &mut Reader, slot: &Slot<'_>) -> Option<Self> {
        let keys = [
            "site",
            "list",
            "description",
            "timeZone",
            "mode",
            "identityColumn",
        ];
        let fields = reader.fields(slot, &keys)?;
        let before = reader.count();
        let site = reader.required(
            &fields,
            "site",
            "for example contoso.sharepoint.com:/sites/Company",
        );
        let site = site.and_then(|slot| SiteRef::read(reader, &slot));
        let list = reader.required(&fields, "list", "the list's name as people see it");
        let list = list.and_then(|slot| reader.line(&slot, 255)).map(str::to_owned);
        let description = fields
            .get("description")
            .and_then(|slot| reader.prose(&slot, MAX_DESCRIPTION));
        let description = description.map(str::to_owned);
        let time_zone = fields
            .get("timeZone")
            .and_then(|slot| read_time_zone(reader, &slot));
        let mode = words::optional(reader, &fields, "mode", &TARGET_MODE).unwrap_or_default();
        let identity_column = fields
            .get("identityColumn")
            .and_then(|slot| reader.line(&slot, 255))
            .map(str::to_owned);
        if fields.has("identityColumn") && mode == TargetMode::Managed {
            reader.report(
                fields.key_at("identityColumn"),
                ProblemCode::Contradiction,
                format!("`{}` is for lists of your own", fields.path_of("identityColumn")),
                "add `mode: bring_your_own`, or remove it: a managed list has a column of its own for that",
            );
        }
        if reader.count() > before {
            return None;
        }
        Some(Self {
            site: site?,
            list: list?,
            description,
            time_zone,
            mode,
            identity_column,
        })
    }

    fn to_json(&self) -> Json {
        object([
            ("site", Some(json!(self.site.to_string()))),
            ("list", Some(json!(self.list))),
            ("description", text(self.description.as_ref())),
            ("timeZone", self.time_zone.map(|zone| json!(zone.name()))),
            // The default leaves no trace, so that documents stored before there was a choice stay as they are.
            (
                "mode",
                (self.mode != TargetMode::Managed).then(|| words::word(&TARGET_MODE, self.mode)),
            ),
            ("identityColumn", text(self.identity_column.as_ref())),
        ])
    }
}

fn read_sweep(reader: &mut Reader, slot: &Slot<'_>) -> Option<Option<u64>> {
    let fields = reader.fields(slot, &["every"])?;
    let every = reader.required(
        &fields,
        "every",
        "for example `sweep: {every: 24h}`, or `every: off`",
    )?;
    span::read(reader, &every)
}

/// `schema.table`, or `{schema, table}` for names that hold a dot.
fn read_table(reader: &mut Reader, slot: &Slot<'_>) -> Option<(String, String)> {
    const HELP: &str = "write `schema.table`, such as `public.projects`, or `{schema: …, table: …}` \
                        where a name holds a dot; no quotes inside the names";
    if let Body::Map(_) = slot.body() {
        let fields = reader.fields(slot, &["schema", "table"])?;
        let schema = reader
            .required(&fields, "schema", HELP)
            .and_then(|slot| reader.identifier(&slot));
        let table = reader
            .required(&fields, "table", HELP)
            .and_then(|slot| reader.identifier(&slot));
        return Some((schema?, table?));
    }
    let text = reader.line(slot, 200)?;
    let names = text.split_once('.').filter(|(schema, table)| {
        let fits = |name: &str| (1..=63).contains(&name.len()) && !name.contains(['.', '"']);
        fits(schema) && fits(table)
    });
    match names {
        Some((schema, table)) => Some((schema.to_owned(), table.to_owned())),
        None => reader.refuse(slot, format!("`{}` is {}", slot.path(), quote(text)), HELP),
    }
}

pub(crate) fn read_time_zone(reader: &mut Reader, slot: &Slot<'_>) -> Option<Tz> {
    let text = reader.line(slot, 64)?;
    if let Ok(zone) = text.parse() {
        return Some(zone);
    }
    let help = match nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a name of the IANA time zone database, such as Europe/Berlin or UTC".to_owned(),
    };
    reader.refuse(slot, format!("{} is no time zone", quote(text)), help)
}

fn read_fields(reader: &mut Reader, slot: &Slot<'_>) -> Option<Vec<FieldRule>> {
    let mut rules = Vec::new();
    let mut columns = HashSet::new();
    let mut names = HashSet::new();
    let mut shown = HashSet::new();
    let mut title: Option<String> = None;
    for item in reader.list(slot, MAX_COLUMNS)? {
        let Some(rule) = FieldRule::read(reader, &item) else {
            continue;
        };
        let twice = |reader: &mut Reader, what: &str, name: &str, help: &str| {
            reader.report(
                item.at(),
                ProblemCode::InvalidValue,
                format!("{what} {} stands twice", quote(name)),
                help,
            );
        };
        if !columns.insert(rule.column.clone()) {
            twice(reader, "the column", &rule.column, "keep it once");
        }
        // List columns are told apart without regard to case.
        if let Some(name) = rule
            .name
            .as_ref()
            .filter(|name| !names.insert(name.to_lowercase()))
        {
            twice(reader, "the internal name", name, "give each list column its own");
        }
        if let Some(name) = rule
            .display_name
            .as_ref()
            .filter(|name| !shown.insert(name.to_lowercase()))
        {
            twice(reader, "the display name", name, "give each list column its own");
        }
        match (&title, rule.title) {
            (Some(first), true) => {
                let message = format!("the column {} is a second title", quote(&rule.column));
                let help = format!("an item has one title, and {} is it already", quote(first));
                reader.report(item.at(), ProblemCode::Contradiction, message, help);
            }
            (None, true) => title = Some(rule.column.clone()),
            _ => {}
        }
        rules.push(rule);
    }
    Some(rules)
}

fn read_exclude(reader: &mut Reader, keys: &Fields<'_>) -> Vec<String> {
    let Some(slot) = keys.get("exclude") else {
        return Vec::new();
    };
    if keys.has("fields") {
        reader.report(
            keys.key_at("exclude"),
            ProblemCode::Contradiction,
            "`spec.exclude` stands beside `spec.fields`",
            "keep one: `fields` names all columns that travel, `exclude` those that do not",
        );
    }
    reader.identifiers(&slot, MAX_COLUMNS).unwrap_or_default()
}

fn read_policies(
    reader: &mut Reader,
    keys: &Fields<'_>,
    key: Option<&[String]>,
) -> Option<(Policies, Sentinels)> {
    let mut policies = Policies::default();
    let mut sentinels = Sentinels::new();
    if let Some(policy) = words::optional(reader, keys, "conflict", &CONFLICT) {
        policies.conflict = policy;
    }
    if let Some(policy) = words::optional(reader, keys, "onForeignEdit", &FOREIGN_EDIT) {
        policies.on_foreign_edit = policy;
    }
    if let Some(policy) = words::optional(reader, keys, "onForeignRestore", &FOREIGN_RESTORE) {
        policies.on_foreign_restore = policy;
    }
    if let Some(slot) = keys.get("onDelete") {
        let words = [
            ("propagate", DeletePolicy::Propagate),
            ("keep", DeletePolicy::Keep),
            ("archive", DeletePolicy::Archive),
        ];
        policies.delete = reader.one_of(&slot, &words)?;
    }
    if let Some(archive_only) = words::optional(reader, keys, "mode", &MODE) {
        policies.archive_only = archive_only;
    }
    if let Some(slot) = keys.get("guards") {
        sentinels = guards::read(reader, &slot, key, &mut policies)?;
    }
    Some((policies, sentinels))
}

fn read_namespace(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    reader.line(slot, 255).map(str::to_owned)
}

fn read_limits(reader: &mut Reader, slot: &Slot<'_>) -> Option<Limits> {
    let keys = [
        "pageRows",
        "batchWrites",
        "batchesInFlight",
        "verifyPageItems",
        "standstillSeconds",
    ];
    let fields = reader.fields(slot, &keys)?;
    let default = Limits::default();
    let mut read = |key: &str, default: u32, max: u64| match fields.get(key) {
        Some(slot) => reader
            .whole(&slot, 1..=max)
            .and_then(|number| u32::try_from(number).ok()),
        None => Some(default),
    };
    let page_rows = read("pageRows", default.page_rows, 20_000);
    let batch_writes = read("batchWrites", default.batch_writes, 20);
    let batches_in_flight = read("batchesInFlight", default.batches_in_flight, 64);
    let verify_page_items = read("verifyPageItems", default.verify_page_items, 5_000);
    let standstill_seconds = read("standstillSeconds", default.standstill_seconds, 86_400);
    Some(Limits {
        standstill_seconds: standstill_seconds?,
        verify_page_items: verify_page_items?,
        page_rows: page_rows?,
        batch_writes: batch_writes?,
        batches_in_flight: batches_in_flight?,
    })
}
