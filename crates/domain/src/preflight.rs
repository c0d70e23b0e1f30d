//! What is known about a sync before its first write: what stands in the way, what would be refused or lost, what
//! it will cost, and what nobody can tell beforehand.
//!
//! Everything here is pure: it judges what was learnt of both sides ([`SourceSurvey`], [`ListSurvey`]). Values
//! that a list column cannot hold are found by trying every row ([`crate::convert`]), against the mapping as the
//! list really is ([`ListSurvey::tighten`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facet::Facet;
use crate::mapping::Mapping;
use crate::quota::{Ru, Tier};
use crate::type_matrix::{self, Fidelity};

/// The most columns of lookup kind that one query of a list answers (contract §6).
pub const LOOKUPS_PER_QUERY: usize = 12;
/// Bytes of an item beside its multi-line texts before it wraps over several internal rows (contract §12).
pub const ROW_BYTES: u64 = 8_000;
/// The most bytes of such an item: it wraps over at most six rows.
pub const ITEM_BYTES: u64 = 6 * ROW_BYTES;
/// More columns than this are advised against (contract §12).
pub const COLUMNS_ADVISED: usize = 100;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Nothing can run like this.
    Blocks,
    /// Some rows will not arrive.
    Refuses,
    /// Everything arrives, and something of it cannot be told from the list.
    Loses,
    /// Worth knowing.
    Note,
}

impl Weight {
    /// The name shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Weight::Blocks => "blocks",
            Weight::Refuses => "refuses",
            Weight::Loses => "loses",
            Weight::Note => "note",
        }
    }
}

/// One thing that was found. Never carries a cell value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// Stable code.
    pub code: String,
    /// The source column it is about.
    pub column: Option<String>,
    /// How many rows it is about, where they were counted.
    pub rows: Option<u64>,
    /// What is so.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
}

impl Finding {
    /// A finding about the whole sync.
    pub fn new(weight: Weight, code: &str, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            weight,
            code: code.to_owned(),
            column: None,
            rows: None,
            cause: cause.into(),
            fix: fix.into(),
        }
    }

    /// About a source column.
    #[must_use]
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    /// About so many rows.
    #[must_use]
    pub fn rows(mut self, rows: u64) -> Self {
        self.rows = Some(rows);
        self
    }
}

/// What a first load or the next run will take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Items to be written.
    pub writes: u64,
    /// Resource units.
    pub ru: Ru,
    /// Licences by which the tenant's quota is taken; `None`: nobody said, so the smallest tenant's.
    pub licences: Option<u64>,
    /// Resource units a minute of that tenant.
    pub ru_per_minute: Ru,
    /// Resource units a day of that tenant.
    pub ru_per_day: Ru,
    /// Minutes at the full quota, both buckets considered.
    pub minutes: f64,
}

impl Forecast {
    /// What so many writes take in a tenant of this size.
    #[must_use]
    pub fn of_writes(writes: u64, ru: Ru, licences: Option<u64>) -> Self {
        let tier = Tier::of_licences(licences.unwrap_or(1));
        Self {
            writes,
            ru,
            licences,
            ru_per_minute: tier.per_minute,
            ru_per_day: tier.per_day,
            minutes: minutes(ru, tier),
        }
    }
}

/// Whole days are bounded by the day's quota, what is left of the last day by the minute's.
#[allow(clippy::cast_precision_loss)]
fn minutes(ru: Ru, tier: Tier) -> f64 {
    let days = ru.0 / tier.per_day.0;
    let rest = ru.0 % tier.per_day.0;
    days as f64 * 24.0 * 60.0 + rest as f64 / tier.per_minute.0 as f64
}

/// What was learnt of the source beside its columns.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SourceSurvey {
    /// Whether the server itself guarantees that keys are unique and never NULL.
    pub enforces_keys: bool,
    /// What kind of relation it is, for people: `table`, `view`, ….
    pub relation: &'static str,
    /// Keys that several rows share; those rows would be parked.
    pub duplicate_keys: u64,
    /// Keys that differ from another one by upper and lower case alone.
    pub keys_by_case: u64,
    /// Mapped columns whose list column takes no value twice, with the number of rows that repeat a value. Letters
    /// are compared as the list does, without regard to case.
    pub repeated: Vec<(String, u64)>,
    /// Mapped columns whose list column has a smallest or largest number, with the rows outside.
    pub out_of_bounds: Vec<(String, u64)>,
    /// Whether the role sees since when other sessions' transactions are open.
    pub sees_sessions: bool,
    /// Whether it is a standby.
    pub standby: bool,
}

/// What the survey of a source is to count.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SurveyWish {
    /// Indexes of fields whose list column takes no value twice.
    pub unique: Vec<usize>,
    /// Fields whose list column has bounds: index, smallest, largest.
    pub bounds: Vec<(usize, f64, f64)>,
}

/// A column of an existing list, as far as it decides what it takes.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SurveyedColumn {
    /// Internal name.
    pub name: String,
    /// Name people see.
    pub display_name: String,
    /// Of lookup kind: persons, lookups and some built-in ones.
    pub lookup_like: bool,
    /// Takes no value twice.
    pub unique: bool,
    /// People must fill it in.
    pub required: bool,
    /// Has a value for new items that name none.
    pub has_default: bool,
    /// Cannot be written.
    pub read_only: bool,
    /// Most characters of a single-line text.
    pub max_length: Option<u32>,
    /// Its choices, unless it takes others, too.
    pub closed_choices: Option<Vec<String>>,
    /// Smallest number.
    pub minimum: Option<f64>,
    /// Largest number.
    pub maximum: Option<f64>,
}

/// What was learnt of an existing list.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListSurvey {
    /// All columns.
    pub columns: Vec<SurveyedColumn>,
}

impl ListSurvey {
    fn of_field(&self, target: &str) -> Option<&SurveyedColumn> {
        self.columns.iter().find(|column| column.name == target)
    }

    /// The mapping with the limits that the list's columns really have, for predicting what they refuse. Choices
    /// of columns in `growing` are left as they are: missing ones are added before rows are written.
    #[must_use]
    pub fn tighten(&self, mapping: &Mapping, growing: &dyn Fn(&str) -> bool) -> Mapping {
        let mut tight = mapping.clone();
        for field in &mut tight.fields {
            let Some(column) = self.of_field(&field.target) else {
                continue;
            };
            match &mut field.facet {
                Facet::Text { max_length } => {
                    *max_length = column.max_length.map_or(*max_length, |has| has.min(*max_length));
                }
                Facet::Choice { choices } | Facet::MultiChoice { choices } if !growing(&field.column) => {
                    if let Some(has) = &column.closed_choices {
                        choices.retain(|choice| has.contains(choice));
                    }
                }
                _ => {}
            }
        }
        tight
    }

    /// What is to be counted in the source, because the list's columns have such rules.
    #[must_use]
    pub fn wish(&self, mapping: &Mapping) -> SurveyWish {
        let mut wish = SurveyWish::default();
        for (at, field) in mapping.fields.iter().enumerate() {
            let Some(column) = self.of_field(&field.target) else {
                continue;
            };
            if column.unique {
                wish.unique.push(at);
            }
            let bounded =
                column.minimum.is_some_and(|n| n > f64::MIN) || column.maximum.is_some_and(|n| n < f64::MAX);
            if bounded && matches!(field.facet, Facet::Number { .. }) {
                let (low, high) = (
                    column.minimum.unwrap_or(f64::MIN),
                    column.maximum.unwrap_or(f64::MAX),
                );
                wish.bounds.push((at, low, high));
            }
        }
        wish
    }
}

/// What the source's survey says.
#[must_use]
pub fn judge_source(survey: &SourceSurvey, watermark: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if survey.duplicate_keys > 0 {
        found.push(
            Finding::new(
                Weight::Refuses,
                "row.duplicate_key",
                format!(
                    "{} keys are there more than once, and no constraint forbids it in a {}",
                    survey.duplicate_keys, survey.relation
                ),
                "make the key unique, or choose other key columns; such rows wait in quarantine",
            )
            .rows(survey.duplicate_keys),
        );
    } else if !survey.enforces_keys {
        found.push(Finding::new(
            Weight::Note,
            "preflight.keys_not_enforced",
            format!(
                "nothing keeps the keys of a {} unique; they are so now",
                survey.relation
            ),
            "rows that come to share a key wait in quarantine until it is unique again",
        ));
    }
    if survey.keys_by_case > 0 {
        found.push(
            Finding::new(
                Weight::Note,
                "preflight.keys_by_case",
                format!(
                    "{} keys differ from another one by upper and lower case alone",
                    survey.keys_by_case
                ),
                "they get an item each; people who filter the list by the key will see both",
            )
            .rows(survey.keys_by_case),
        );
    }
    for (column, rows) in &survey.repeated {
        found.push(
            Finding::new(
                Weight::Refuses,
                "graph.duplicate",
                "the list column takes no value twice, letters compared without regard to case, and rows repeat some",
                "turn off unique values for the column in the list's settings, or make the values unique",
            )
            .column(column)
            .rows(*rows),
        );
    }
    for (column, rows) in &survey.out_of_bounds {
        found.push(
            Finding::new(
                Weight::Refuses,
                "graph.invalid_request",
                "numbers lie outside the smallest and largest value of the list column",
                "widen the bounds in the column's settings, or correct the numbers",
            )
            .column(column)
            .rows(*rows),
        );
    }
    if watermark && !survey.sees_sessions {
        found.push(Finding::new(
            Weight::Note,
            "preflight.sessions_hidden",
            "the role cannot see since when other transactions are open, so each run reads the last ten minutes again",
            "grant pg_read_all_stats to the role",
        ));
    }
    if survey.standby {
        found.push(Finding::new(
            Weight::Note,
            "preflight.standby",
            "the server is a standby: rows arrive as late as it replays",
            "read the primary where that matters",
        ));
    }
    found
}

/// What the mapping says by itself: what is lost, and how large items may become.
#[must_use]
pub fn judge_mapping(mapping: &Mapping) -> Vec<Finding> {
    let mut found = losses(mapping);
    let bytes: u64 = mapping.fields.iter().map(|field| widest(&field.facet)).sum();
    if bytes > ROW_BYTES {
        let beyond = bytes > ITEM_BYTES;
        found.push(Finding::new(
            Weight::Note,
            "preflight.row_size",
            format!(
                "an item may need {bytes} bytes beside its multi-line texts; {ROW_BYTES} fit into one internal row of a \
                 list{}",
                if beyond { ", and six such rows are the most it takes" } else { "" }
            ),
            "map wide texts as `multiline`, give them a `maxLength`, or leave columns out",
        ));
    }
    if mapping.fields.len() > COLUMNS_ADVISED {
        found.push(Finding::new(
            Weight::Note,
            "preflight.many_columns",
            format!(
                "{} columns travel; lists become slow for people beyond {COLUMNS_ADVISED}",
                mapping.fields.len()
            ),
            "leave out what nobody reads there, with `fields` or `exclude`",
        ));
    }
    found
}

/// What cannot be told from the list any more, one finding a kind of loss.
fn losses(mapping: &Mapping) -> Vec<Finding> {
    let mut by_loss: BTreeMap<(&'static str, Option<&'static str>), Vec<&str>> = BTreeMap::new();
    for field in &mapping.fields {
        let fidelity = type_matrix::fidelity(&field.pg_type, field.facet.kind());
        if let Fidelity::Loses { what, alternative } = fidelity {
            by_loss
                .entry((what, alternative))
                .or_default()
                .push(&field.column);
        }
    }
    by_loss
        .into_iter()
        .map(|((what, alternative), columns)| {
            let finding = Finding::new(
                Weight::Loses,
                "preflight.lossy_type",
                what,
                alternative.map_or_else(
                    || "nothing keeps it; the table still does".to_owned(),
                    |alternative| format!("to keep it: {alternative}"),
                ),
            );
            finding.column(columns.join(", "))
        })
        .collect()
}

/// Bytes of the widest value of a kind, as SQL Server keeps it; multi-line texts lie elsewhere.
fn widest(facet: &Facet) -> u64 {
    match facet {
        Facet::Text { max_length } => u64::from(*max_length) * 2,
        Facet::Choice { choices } => choices
            .iter()
            .map(|choice| choice.encode_utf16().count() as u64 * 2)
            .max()
            .unwrap_or(0),
        // One text with marks between.
        Facet::MultiChoice { choices } => choices
            .iter()
            .map(|choice| (choice.encode_utf16().count() as u64 + 2) * 2)
            .sum(),
        Facet::MultiLine => 0,
        Facet::Boolean => 1,
        Facet::Number { .. } | Facet::DateTime | Facet::DateOnly => 8,
    }
}

/// What the existing list says.
#[must_use]
pub fn judge_list(mapping: &Mapping, list: &ListSurvey) -> Vec<Finding> {
    let mut found = Vec::new();
    let lookups = list.columns.iter().filter(|column| column.lookup_like).count();
    if lookups > LOOKUPS_PER_QUERY {
        found.push(Finding::new(
            Weight::Note,
            "preflight.many_lookups",
            format!(
                "the list has {lookups} columns of lookup kind; a query that carries more than {LOOKUPS_PER_QUERY} loses \
                 some silently"
            ),
            "nothing: the columns that are read are named; views people make may show fewer",
        ));
    }
    for field in &mapping.fields {
        let person = field
            .target
            .strip_suffix("Id")
            .and_then(|base| list.of_field(base))
            .filter(|column| column.lookup_like);
        if let Some(person) = person {
            found.push(
                Finding::new(
                    Weight::Note,
                    "preflight.name_collision",
                    format!(
                        "the list has a person or lookup column `{}`; programs that set it through Graph by \
                         `{}LookupId` change our column `{}` instead",
                        person.display_name, person.name, field.target
                    ),
                    "give the field another `name` before the list is filled",
                )
                .column(&field.column),
            );
        }
    }
    for column in list
        .columns
        .iter()
        .filter(|column| column.required && !column.has_default && !column.read_only)
    {
        let mapped = mapping.fields.iter().find(|field| field.target == column.name);
        if column.name != "Title" && mapped.is_none_or(|field| field.nullable) {
            found.push(Finding::new(
                Weight::Note,
                "preflight.required_column",
                format!(
                    "the list column `{}` is required; the service asks that of people only, as far as is known",
                    column.display_name
                ),
                "if rows are refused for it, make it optional in the list's settings or map a column that is never NULL",
            ));
        }
    }
    found
}

/// What nobody can tell before writing, for people.
#[must_use]
pub fn cannot_tell(list_exists: bool) -> Vec<String> {
    let mut lines = vec![
        "whether the app may write: Graph tells only when it is asked to".to_owned(),
        "validation formulas of the list and its columns: Graph does not show them".to_owned(),
        "flows, retention labels, locks and what people change until the run".to_owned(),
        "throttling by other apps and by limits that are not published".to_owned(),
    ];
    if list_exists {
        lines.push(
            "values of people's own items that a column with unique values then refuses to ours".to_owned(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{FieldMapping, TitleRule};
    use crate::pg_type::PgType;
    use crate::policy::Direction;

    fn field(column: &str, target: &str, facet: Facet) -> FieldMapping {
        FieldMapping {
            column: column.into(),
            pg_type: PgType::Text,
            nullable: true,
            target: target.into(),
            display_name: target.into(),
            facet,
            direction: Direction::Push,
            passive: false,
            conflict: None,
            on_foreign_edit: None,
        }
    }

    fn mapping(fields: Vec<FieldMapping>) -> Mapping {
        Mapping {
            key: Vec::new(),
            fields,
            title: TitleRule::Key,
            time_zone: chrono_tz::UTC,
        }
    }

    fn column(name: &str) -> SurveyedColumn {
        SurveyedColumn {
            name: name.into(),
            display_name: name.into(),
            ..SurveyedColumn::default()
        }
    }

    fn codes(found: &[Finding]) -> Vec<&str> {
        found.iter().map(|finding| finding.code.as_str()).collect()
    }

    #[test]
    fn a_forecast_minds_both_buckets() {
        let small = Forecast::of_writes(625, Ru(1_250), None);
        assert!((small.minutes - 1.0).abs() < 1e-9, "{small:?}");
        // A million rows in the smallest tenant: a day's quota is spent, and the rest of the next day's.
        let million = Forecast::of_writes(1_000_000, Ru(2_000_000), Some(500));
        assert!((million.minutes - (1_440.0 + 640.0)).abs() < 1e-9, "{million:?}");
        let large = Forecast::of_writes(1_000_000, Ru(2_000_000), Some(60_000));
        assert!((large.minutes - 320.0).abs() < 1e-9, "{large:?}");
    }

    #[test]
    fn limits_of_the_list_narrow_the_mapping_and_growing_choices_do_not() {
        let wanted = mapping(vec![
            field("a", "A", Facet::Text { max_length: 255 }),
            field(
                "b",
                "B",
                Facet::Choice {
                    choices: vec!["x".into(), "y".into()],
                },
            ),
        ]);
        let list = ListSurvey {
            columns: vec![
                SurveyedColumn {
                    max_length: Some(50),
                    ..column("A")
                },
                SurveyedColumn {
                    closed_choices: Some(vec!["y".into(), "z".into()]),
                    ..column("B")
                },
            ],
        };
        let tight = list.tighten(&wanted, &|_| false);
        assert_eq!(tight.fields[0].facet, Facet::Text { max_length: 50 });
        assert_eq!(
            tight.fields[1].facet,
            Facet::Choice {
                choices: vec!["y".into()]
            }
        );
        assert_eq!(list.tighten(&wanted, &|_| true).fields[1], wanted.fields[1]);
        assert_eq!(tight.layout(), wanted.layout(), "what is compared stays the same");
    }

    #[test]
    fn rules_of_the_list_are_counted_in_the_source() {
        let wanted = mapping(vec![
            field("a", "A", Facet::Text { max_length: 255 }),
            field("n", "N", Facet::Number { decimals: None }),
        ]);
        let list = ListSurvey {
            columns: vec![
                SurveyedColumn {
                    unique: true,
                    ..column("A")
                },
                SurveyedColumn {
                    minimum: Some(0.0),
                    maximum: Some(f64::MAX),
                    ..column("N")
                },
            ],
        };
        let wish = list.wish(&wanted);
        assert_eq!(wish.unique, [0]);
        assert_eq!(wish.bounds, [(1, 0.0, f64::MAX)]);
    }

    #[test]
    fn what_the_list_cannot_take_more_of_is_told() {
        let wanted = mapping(vec![field("e", "EmployeeId", Facet::MultiLine)]);
        let mut columns: Vec<_> = (0..20)
            .map(|n| SurveyedColumn {
                lookup_like: true,
                ..column(&format!("C{n}"))
            })
            .collect();
        columns.push(SurveyedColumn {
            lookup_like: true,
            ..column("Employee")
        });
        columns.push(SurveyedColumn {
            required: true,
            ..column("Cost")
        });
        let list = ListSurvey { columns };
        assert_eq!(
            codes(&judge_list(&wanted, &list)),
            [
                "preflight.many_lookups",
                "preflight.name_collision",
                "preflight.required_column"
            ]
        );
        assert!(judge_list(&wanted, &ListSurvey::default()).is_empty());
    }

    #[test]
    fn a_wide_item_and_many_columns_are_told() {
        let narrow = mapping(vec![field("a", "A", Facet::Text { max_length: 255 }); 15]);
        // That an empty text and NULL are one is told of every text.
        assert_eq!(codes(&judge_mapping(&narrow)), ["preflight.lossy_type"]);
        let wide = mapping(vec![field("a", "A", Facet::Text { max_length: 255 }); 101]);
        assert_eq!(
            codes(&judge_mapping(&wide)),
            [
                "preflight.lossy_type",
                "preflight.row_size",
                "preflight.many_columns"
            ]
        );
    }

    #[test]
    fn what_is_lost_is_told_once_for_all_columns_that_lose_it() {
        let mut moments = vec![field("a", "A", Facet::DateTime), field("b", "B", Facet::DateTime)];
        for moment in &mut moments {
            moment.pg_type = PgType::TimestampTz;
        }
        let found = judge_mapping(&mapping(moments));
        assert_eq!(codes(&found), ["preflight.lossy_type"]);
        assert_eq!(found[0].column.as_deref(), Some("a, b"));
        assert_eq!(found[0].weight, Weight::Loses);
    }

    #[test]
    fn a_source_that_keeps_no_keys_and_hides_sessions_is_told() {
        let survey = SourceSurvey {
            relation: "view",
            keys_by_case: 2,
            repeated: vec![("a".into(), 3)],
            ..SourceSurvey::default()
        };
        assert_eq!(
            codes(&judge_source(&survey, true)),
            [
                "preflight.keys_not_enforced",
                "preflight.keys_by_case",
                "graph.duplicate",
                "preflight.sessions_hidden"
            ]
        );
        let sound = SourceSurvey {
            enforces_keys: true,
            sees_sessions: true,
            ..SourceSurvey::default()
        };
        assert!(judge_source(&sound, true).is_empty());
    }
}
