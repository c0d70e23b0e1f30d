//! The setting of a history: table, mapping, policies, the behaviours of the service that no evidence settles.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use syncbridge_domain::clock::Clock;
use syncbridge_domain::facet::Facet;
use syncbridge_domain::feed::FeedKind;
use syncbridge_domain::identity::{HashKey, KeyColumn};
use syncbridge_domain::ids::{DefinitionId, RunId, WorkspaceId, uuid_v7};
use syncbridge_domain::list_rules::ListRules;
use syncbridge_domain::mapping::{FieldMapping, Mapping, TitleRule};
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::policy::{
    ConflictPolicy, DeleteGuard, DeletePolicy, Direction, OnForeignEdit, Policies,
};
use syncbridge_domain::quota::Lane;
use syncbridge_domain::row::Cell;
use syncbridge_domain::run::{
    Limits, RunKind, RunOptions, RunSpec, SPEC_SCHEMA, SourceSpec, TargetSpec, WatermarkColumn,
};
use syncbridge_domain::verification::KeyRange;
use syncbridge_graph_sim::{Behaviour, HiddenFilter, Options};

use crate::faults::{Faults, OnTheWay};
use crate::model::source::{Column, ColumnDefault, ModelTable, Table, Trigger};
use crate::random::Random;

mod way_back;

pub use way_back::{REFUSED_NAME, WayBack, direction};

/// Fields that people and applications edit; the watermark travels beside them.
pub const EDITED: usize = 4;
const STATE_LENGTH: u32 = 20;
/// Where the list shows the key, if it does.
pub const KEY_COLUMN: &str = "RowId";

/// The setting of a history.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// Which sides are written.
    pub direction: Direction,
    /// How the source is written, if it is.
    pub back: WayBack,
    /// How many keys there are to choose from.
    pub rows: u8,
    /// Keys are texts instead of numbers.
    pub text_keys: bool,
    /// How changes are noticed.
    pub feed: FeedKind,
    /// Seconds between sweeps of a watermark feed.
    pub sweep: Option<u64>,
    /// Policies.
    #[serde(skip)]
    pub policies: Policies,
    /// Rows and writes at once.
    #[serde(skip)]
    pub limits: Limits,
    /// Seconds that a lease holds.
    pub lease_seconds: u64,
    /// Seconds that a token holds.
    pub token_seconds: i64,
    /// The list refuses a second item of one row.
    pub unique: bool,
    /// Behaviours of the service.
    #[serde(skip)]
    pub behaviour: Behaviour,
    /// Their names, those of the likeliest reading left out.
    pub quirks: Vec<&'static str>,
    /// What goes wrong.
    pub faults: Faults,
}

impl Scenario {
    /// The setting of a seed.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        let feed = if random.permille(600) {
            FeedKind::Watermark
        } else {
            FeedKind::FullScan
        };
        let sweep = random.permille(500).then_some(60);
        let (behaviour, quirks) = behaviour(random);
        let unique = !random.permille(120);
        let mut faults = Faults::draw(random);
        if !unique {
            // A create that was answered and arrives once more is beyond anybody's control where the list keeps
            // nothing apart; verification finds such a copy.
            faults.on_the_way.retain(|(kind, _)| *kind != OnTheWay::Twice);
        }
        Self {
            direction: Direction::Push,
            back: WayBack::none(),
            rows: u8::try_from(random.between(3, 14)).unwrap_or(3),
            text_keys: random.permille(300),
            feed,
            sweep,
            policies: policies(random),
            limits: Limits {
                page_rows: u32::try_from(*random.pick(&[1, 2, 5, 50])).unwrap_or(5),
                batch_writes: u32::try_from(*random.pick(&[1, 3, 20])).unwrap_or(20),
                batches_in_flight: u32::try_from(random.between(1, 4)).unwrap_or(1),
                verify_page_items: u32::try_from(*random.pick(&[2, 7, 100])).unwrap_or(7),
                ..Limits::default()
            },
            lease_seconds: *random.pick(&[2, 2, 2, 10, 30]),
            token_seconds: if random.permille(250) { 90 } else { 3_599 },
            unique,
            behaviour,
            quirks,
            faults,
        }
    }

    /// The options of the simulated tenant.
    #[must_use]
    pub fn tenant(&self, seed: u64) -> Options {
        Options {
            seed,
            public_url: Some("https://graph.microsoft.com".to_owned()),
            remembered_requests: 0,
            token_seconds: self.token_seconds,
            behaviour: self.behaviour.clone(),
            ..Options::default()
        }
    }

    /// The source's table, empty.
    #[must_use]
    pub fn table(&self, clock: Arc<dyn Clock>) -> ModelTable {
        let amount = PgType::Numeric {
            precision: Some(10),
            scale: Some(2),
        };
        let state = PgType::Varchar {
            length: Some(i32::try_from(STATE_LENGTH).unwrap_or(20).unsigned_abs()),
        };
        let mut columns = vec![
            Column::new("id", self.key_type()).not_null(),
            Column::new("name", PgType::Text),
            Column::new("amount", amount),
            Column::new("notes", PgType::Text),
            Column::new("state", state),
            Column::new("changed", PgType::TimestampTz),
        ];
        let mut triggers = vec![Trigger::Touch { column: 5 }];
        let mut fields = vec![1, 2, 3, 4, 5];
        let WayBack {
            maps_key,
            capitals,
            refuses_name,
            state_needed,
            hides_transactions,
            ..
        } = self.back;
        if self.pulls() {
            columns[0].default = match self.text_keys {
                true => ColumnDefault::Uuid,
                false => ColumnDefault::Sequence,
            };
        }
        if maps_key {
            fields.insert(0, 0);
        }
        if capitals {
            triggers.push(Trigger::UpperCase { column: 4 });
        }
        if refuses_name {
            columns[1].refused.push(REFUSED_NAME.to_owned());
        }
        columns[4].not_null = state_needed;
        let mut table = Table::new(columns, vec![0], fields);
        table.watermark = Some(5);
        table.triggers = triggers;
        table.tells_transactions = !hides_transactions;
        ModelTable::new(table, clock)
    }

    /// Whether the definition writes to the source.
    #[must_use]
    pub fn pulls(&self) -> bool {
        self.direction != Direction::Push
    }

    /// Whether it writes to the list.
    #[must_use]
    pub fn pushes(&self) -> bool {
        self.direction != Direction::Pull
    }

    fn key_type(&self) -> PgType {
        if self.text_keys {
            PgType::Text
        } else {
            PgType::Int8
        }
    }

    /// The mapping of that table.
    #[must_use]
    pub fn mapping(&self) -> Mapping {
        let field = |column: &str, pg_type, target: &str, facet| FieldMapping {
            column: column.to_owned(),
            pg_type,
            nullable: true,
            target: target.to_owned(),
            display_name: column.to_owned(),
            facet,
            direction: Direction::Push,
            passive: false,
            conflict: None,
            on_foreign_edit: None,
        };
        let amount = PgType::Numeric {
            precision: Some(10),
            scale: Some(2),
        };
        let state = PgType::Varchar {
            length: Some(STATE_LENGTH),
        };
        let changed = field("changed", PgType::TimestampTz, "Changed", Facet::DateTime);
        let mut fields = vec![
            field("name", PgType::Text, "Title", Facet::Text { max_length: 255 }),
            field("amount", amount, "Amount", Facet::Number { decimals: Some(2) }),
            field("notes", PgType::Text, "Notes", Facet::MultiLine),
            field("state", state, "State", Facet::Text { max_length: 255 }),
        ];
        for (at, field) in fields.iter_mut().enumerate() {
            field.direction = self.back.directions[at];
            field.conflict = self.back.conflicts[at];
        }
        fields[3].nullable = !self.back.state_needed;
        if self.back.maps_key {
            let facet = match self.text_keys {
                true => Facet::Text { max_length: 255 },
                false => Facet::Number { decimals: Some(0) },
            };
            let key = FieldMapping {
                nullable: false,
                ..field("id", self.key_type(), KEY_COLUMN, facet)
            };
            fields.insert(0, key);
        }
        fields.push(FieldMapping {
            passive: true,
            ..changed
        });
        Mapping {
            key: vec![KeyColumn {
                name: "id".to_owned(),
                pg_type: self.key_type(),
            }],
            fields,
            title: TitleRule::Mapped,
            time_zone: chrono_tz::UTC,
        }
    }

    /// The text of a key.
    #[must_use]
    pub fn key_text(&self, row: u8) -> String {
        // Two texts that differ by case only are two keys to the source.
        const TEXTS: [&str; 14] = [
            "a", "A", "b", "ab", "Ab", "x y", "ü", "Z", "z", "10", "9", "q/r", "o'k", "end",
        ];
        if self.text_keys {
            TEXTS[usize::from(row) % TEXTS.len()].to_owned()
        } else if self.pulls() {
            // Above what the column's sequence gives.
            (i64::from(row) * 7 + 1_003).to_string()
        } else {
            (i64::from(row) * 7 + 3).to_string()
        }
    }

    /// What a person types for a key, by its number.
    #[must_use]
    pub fn typed_key(&self, row: u8) -> serde_json::Value {
        let text = self.key_text(row);
        match text.parse::<i64>() {
            Ok(number) if !self.text_keys => number.into(),
            _ => text.into(),
        }
    }

    /// A text of the source for a field, by its number.
    #[must_use]
    pub fn cell(&self, field: u8, value: u8) -> Cell {
        let value = usize::from(value);
        match field {
            1 => {
                const AMOUNTS: [&str; 8] = ["0", "1.50", "-3.25", "99999.99", "12", "0.01", "7.77", "100.00"];
                (value % 9 != 8).then(|| AMOUNTS[value % 8].into())
            }
            2 => text(value, &["first\nsecond", "one", "", "three  ", "  four", "zweiü"]),
            3 => text(value, &["open", "Open", "closed ", " held", "", "s5", "s6"]),
            _ if value % 40 == 39 => Some("too long ".repeat(40).into()),
            _ => text(value, &["Ann", "ann", "Bob ", "Zoë", "", "n5", "n6", "n7", " n8"]),
        }
    }

    /// What a person types into a field, by its number.
    #[must_use]
    pub fn typed(&self, field: u8, value: u8) -> serde_json::Value {
        use serde_json::json;
        let value = usize::from(value);
        match field {
            1 if value % 6 == 5 => serde_json::Value::Null,
            1 => json!(([0.0, 1.5, 42.0, -3.25, 8.125])[value % 5]),
            _ if value % 7 == 6 => serde_json::Value::Null,
            2 => json!((["one", "by hand", "two\nlines", "zweiü"])[value % 4]),
            // Longer than the source's column.
            3 if self.pulls() && value % 13 == 12 => json!("a state that goes on and on"),
            3 => json!((["open", "typed", "closed "])[value % 3]),
            _ => json!((["Ann", "By Hand", "Zoë", "hand 2"])[value % 4]),
        }
    }

    /// The specification of a run.
    #[must_use]
    pub fn spec(&self, place: &TargetSpec, run: RunId, kind: RunKind, options: RunOptions) -> RunSpec {
        let watermark = (self.feed == FeedKind::Watermark).then(|| WatermarkColumn {
            name: "changed".to_owned(),
            pg_type: PgType::TimestampTz,
        });
        RunSpec {
            schema: SPEC_SCHEMA,
            workspace: WorkspaceId::from_uuid(uuid_v7(0, [1; 10])),
            definition: definition(),
            definition_name: "simulated".to_owned(),
            run,
            kind,
            namespace: "simulated/public.rows".to_owned(),
            source: SourceSpec {
                schema: "public".to_owned(),
                table: "rows".to_owned(),
                feed: self.feed,
                watermark,
                sweep: self.sweep,
            },
            target: place.clone(),
            mapping: self.mapping(),
            direction: self.direction,
            policies: self.policies.clone(),
            sentinels: Vec::new(),
            history: syncbridge_domain::history::HistoryRule::default(),
            limits: self.limits,
            lane: Lane::Scheduled,
            options,
            list_is_new: false,
            range: KeyRange::default(),
        }
    }

    /// How the list is treated.
    #[must_use]
    pub fn rules(&self) -> ListRules {
        ListRules {
            unique: self.unique,
            ..ListRules::default()
        }
    }

    /// Settings that a failing history may be tried without, each by a name and the scenario that lacks it.
    #[must_use]
    pub fn simpler(&self) -> Vec<(String, Self)> {
        let mut all = Vec::new();
        for at in 0..self.faults.on_the_way.len() {
            let mut less = self.clone();
            let (kind, _) = less.faults.on_the_way.remove(at);
            all.push((format!("without {}", kind.name()), less));
        }
        for at in 0..self.faults.service.len() {
            let mut less = self.clone();
            let rule = less.faults.service.remove(at);
            all.push((format!("without {}", crate::faults::rule_name(&rule)), less));
        }
        let memory =
            self.faults.memory_unanswered + self.faults.memory_unreachable + self.faults.source_unreachable;
        if memory > 0 {
            let mut less = self.clone();
            less.faults.memory_unanswered = 0;
            less.faults.memory_unreachable = 0;
            less.faults.source_unreachable = 0;
            all.push(("without failing databases".to_owned(), less));
        }
        let plain = WayBack {
            lost_commits: 0,
            ..self.back.clone()
        };
        if plain != self.back {
            let mut less = self.clone();
            less.back = plain;
            all.push(("without lost commits".to_owned(), less));
        }
        for quirk in &self.quirks {
            let mut less = self.clone();
            less.quirks.retain(|known| known != quirk);
            less.behaviour = Behaviour::default();
            for kept in &less.quirks {
                apply(kept, &mut less.behaviour);
            }
            all.push((format!("without {quirk}"), less));
        }
        all
    }
}

/// The definition that every history drives.
#[must_use]
pub fn definition() -> DefinitionId {
    DefinitionId::from_uuid(uuid_v7(0, [2; 10]))
}

/// The key under which everything is hashed.
#[must_use]
pub fn hash_key() -> HashKey {
    HashKey::new(1, &[7; 32])
}

fn text(value: usize, texts: &[&str]) -> Cell {
    let at = value % (texts.len() + 1);
    texts.get(at).map(|text| (*text).into())
}

fn policies(random: &mut Random) -> Policies {
    let guard = DeleteGuard {
        count: *random.pick(&[1, 3, 100]),
        share: *random.pick(&[0.05, 0.5]),
        window: if random.permille(500) { Some(300) } else { None },
    };
    Policies {
        conflict: ConflictPolicy::SourceWins,
        delete: *random.pick(&[
            DeletePolicy::Propagate,
            DeletePolicy::Propagate,
            DeletePolicy::Propagate,
            DeletePolicy::Keep,
            DeletePolicy::Archive,
        ]),
        on_foreign_edit: *random.pick(&[
            OnForeignEdit::Report,
            OnForeignEdit::Report,
            OnForeignEdit::Restore,
            OnForeignEdit::Keep,
        ]),
        delete_guard: guard,
        ..Policies::default()
    }
}

/// Behaviours that a history's service may have, and how often in a thousand.
const QUIRKS: [(&str, u64); 14] = [
    ("if_match_ignored", 60),
    ("precondition_409", 120),
    ("duplicate_400", 120),
    ("unique_case_sensitive", 80),
    ("no_versions", 200),
    ("text_trimmed", 150),
    ("empty_is_null", 300),
    ("null_sets_default", 80),
    ("rich_text_bare", 100),
    ("hidden_listed", 150),
    ("delta_fields", 100),
    ("unseen_deleted", 200),
    ("hidden_filter_refused", 0),
    ("hidden_filter_empty", 0),
];

fn apply(quirk: &str, behaviour: &mut Behaviour) {
    match quirk {
        "if_match_ignored" => behaviour.if_match = false,
        "precondition_409" => behaviour.precondition = (409, "resourceModified".to_owned()),
        "duplicate_400" => behaviour.duplicate = (400, "invalidRequest".to_owned()),
        "unique_case_sensitive" => behaviour.unique_case_sensitive = true,
        "no_versions" => behaviour.versions_kept = 0,
        "text_trimmed" => behaviour.trim_text = true,
        "empty_is_null" => behaviour.empty_text_is_null = true,
        "null_sets_default" => behaviour.null_sets_default = true,
        "rich_text_bare" => behaviour.wrap_rich_text = false,
        "hidden_listed" => behaviour.hidden_columns_listed = true,
        "delta_fields" => behaviour.delta_fields_without_expand = true,
        "unseen_deleted" => behaviour.unseen_in_delta = syncbridge_graph_sim::UnseenInDelta::Deleted,
        "hidden_filter_refused" => behaviour.filter_on_hidden = HiddenFilter::Refused,
        "hidden_filter_empty" => behaviour.filter_on_hidden = HiddenFilter::Empty,
        _ => {}
    }
}

fn behaviour(random: &mut Random) -> (Behaviour, Vec<&'static str>) {
    let mut behaviour = Behaviour::default();
    let mut quirks = Vec::new();
    for (quirk, share) in QUIRKS {
        if random.permille(share) {
            apply(quirk, &mut behaviour);
            quirks.push(quirk);
        }
    }
    (behaviour, quirks)
}

/// How long a lease holds.
#[must_use]
pub fn lease_term(scenario: &Scenario) -> Duration {
    Duration::from_secs(scenario.lease_seconds)
}
