//! From the `fields` of a request to stored values: every rule a value must pass, with a refusal that names the
//! column and never the value.

use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use crate::cell::Cell;
use crate::column::Column;
use crate::facet::{Kind, Lookup};
use crate::list::{Changes, List};
use crate::options::Behaviour;
use crate::reply::GraphError;

/// What typing needs to know beside the column.
pub(crate) struct Typing<'a> {
    pub(crate) list: &'a List,
    /// Whether the list a lookup points to has this item.
    pub(crate) lookup_has: &'a dyn Fn(&Lookup, u32) -> bool,
    /// Lookup ids of people are 1 to this number.
    pub(crate) people: u32,
    pub(crate) zone: Tz,
    pub(crate) behaviour: &'a Behaviour,
    pub(crate) now: i64,
}

fn field_error(name: &str, what: &str) -> GraphError {
    GraphError::invalid(format!("Field '{name}': {what}"))
}

fn not_recognized(name: &str) -> GraphError {
    GraphError::invalid(format!("Field '{name}' is not recognized"))
}

/// Built-in columns whose metadata does not say that they cannot be written.
const NEVER_WRITABLE: [&str; 4] = ["ContentType", "Attachments", "Edit", "ID"];
/// The wording the service uses where a collection comes without its type.
const WITHOUT_TYPE: &str = "A value without a type name was found and no expected type is available.";

/// Parses a date or time as the service accepts it; a time without offset counts as UTC.
pub(crate) fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(naive.and_utc())
}

/// The instant at which a day begins in a zone; where clocks skip midnight, the first instant after the gap.
pub(crate) fn midnight(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let start = day.and_time(NaiveTime::MIN);
    (0..=24).find_map(|quarter| {
        let local = start.checked_add_signed(TimeDelta::minutes(15 * quarter))?;
        match zone.from_local_datetime(&local) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.to_utc()),
            LocalResult::None => None,
        }
    })
}

fn date_cell(name: &str, text: &str, date_only: bool, zone: Tz) -> Result<Cell, GraphError> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let time = match (day, parse_time(text)) {
        (Some(day), _) if date_only => midnight(day, zone),
        (Some(day), _) => Some(day.and_time(NaiveTime::MIN).and_utc()),
        (None, Some(time)) if date_only => midnight(time.with_timezone(&zone).date_naive(), zone),
        (None, time) => time,
    };
    let time = time.ok_or_else(|| field_error(name, "the value is not a date and time in ISO 8601 form."))?;
    let first = NaiveDate::from_ymd_opt(1900, 1, 1).and_then(|day| day.checked_sub_days(Days::new(1)));
    let last = NaiveDate::from_ymd_opt(8900, 12, 31);
    let day = time.date_naive();
    if first.is_some_and(|first| day < first) || last.is_some_and(|last| day > last) {
        return Err(field_error(name, "the date is outside the years 1900 to 8900."));
    }
    Ok(Cell::Date(time.timestamp()))
}

/// Characters that XML, in which the service keeps its rows, cannot hold.
fn forbidden_character(text: &str) -> bool {
    text.chars()
        .any(|c| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

impl Typing<'_> {
    /// Types a whole `fields` object. In a create, columns not mentioned take their default.
    pub(crate) fn changes(&self, fields: &Map<String, Value>, create: bool) -> Result<Changes, GraphError> {
        let mut changes: Changes = Vec::with_capacity(fields.len());
        for (key, value) in fields {
            if key.starts_with('@') || key.ends_with("@odata.type") {
                continue;
            }
            let annotation = fields.get(&format!("{key}@odata.type"));
            let (column, cell) = self.one(key, value, annotation)?;
            let cell = match cell {
                None if self.behaviour.null_sets_default => self.default_cell(column)?,
                cell => cell,
            };
            if changes.iter().any(|(slot, _)| *slot == column.slot) {
                return Err(field_error(&column.name, "the column is set twice."));
            }
            changes.push((column.slot, cell));
        }
        if create {
            self.add_defaults(&mut changes)?;
        }
        Ok(changes)
    }

    fn add_defaults(&self, changes: &mut Changes) -> Result<(), GraphError> {
        for column in &self.list.columns {
            if column.default.is_some()
                && !changes.iter().any(|(slot, _)| *slot == column.slot)
                && let Some(cell) = self.default_cell(column)?
            {
                changes.push((column.slot, Some(cell)));
            }
            let writable = !column.read_only && !NEVER_WRITABLE.contains(&column.name.as_str());
            if self.behaviour.required_enforced && column.required && writable {
                let given = changes
                    .iter()
                    .any(|(slot, cell)| *slot == column.slot && cell.is_some());
                if !given {
                    return Err(field_error(&column.name, "a value is required."));
                }
            }
        }
        Ok(())
    }

    /// The value of `defaultValue.value`, which is a string for every type. A formula is kept and not evaluated.
    fn default_cell(&self, column: &Column) -> Result<Option<Cell>, GraphError> {
        let Some(text) = column
            .default
            .as_ref()
            .and_then(|default| default["value"].as_str())
        else {
            return Ok(None);
        };
        let name = column.name.as_str();
        let unfit = || field_error(name, "its default value does not fit its type.");
        let cell = match &column.kind {
            Kind::Text(_) => Cell::Text(text.into()),
            Kind::Choice(choice) if choice.multiple() => Cell::Texts(Box::new([text.into()])),
            Kind::Choice(_) => Cell::Text(text.into()),
            Kind::Number(_) | Kind::Currency { .. } => Cell::Number(text.parse().map_err(|_| unfit())?),
            Kind::Boolean => match text {
                "1" => Cell::Bool(true),
                "0" => Cell::Bool(false),
                _ if text.eq_ignore_ascii_case("true") => Cell::Bool(true),
                _ if text.eq_ignore_ascii_case("false") => Cell::Bool(false),
                _ => return Err(unfit()),
            },
            Kind::DateTime { date_only, .. } if text.eq_ignore_ascii_case("[today]") => {
                let now = DateTime::from_timestamp(self.now, 0).unwrap_or_default();
                let today = now.with_timezone(&self.zone).date_naive();
                return date_cell(name, &today.to_string(), *date_only, self.zone).map(Some);
            }
            Kind::DateTime { date_only, .. } => date_cell(name, text, *date_only, self.zone)?,
            _ => return Err(unfit()),
        };
        Ok(Some(cell))
    }

    fn one(
        &self,
        key: &str,
        value: &Value,
        annotation: Option<&Value>,
    ) -> Result<(&Column, Option<Cell>), GraphError> {
        if key.starts_with('_') {
            return Err(not_recognized(key));
        }
        let column = match self.list.column(key) {
            Some(column) => {
                if column.kind.is_lookup() && !column.builtin {
                    return Err(field_error(
                        key,
                        "set it through its name followed by 'LookupId'.",
                    ));
                }
                column
            }
            None => self.behind_lookup_id(key)?,
        };
        if column.read_only || NEVER_WRITABLE.contains(&column.name.as_str()) {
            return Err(field_error(key, "the column is read-only."));
        }
        Ok((column, self.cell(column, value, annotation)?))
    }

    /// The column meant by `XLookupId`. A column called `XId` takes it, as it does in the service.
    fn behind_lookup_id(&self, key: &str) -> Result<&Column, GraphError> {
        let base = key.strip_suffix("LookupId").ok_or_else(|| not_recognized(key))?;
        if let Some(column) = self.list.column(&format!("{base}Id")) {
            return Ok(column);
        }
        let column = self.list.column(base).filter(|column| column.kind.is_lookup());
        column.ok_or_else(|| not_recognized(key))
    }

    fn cell(
        &self,
        column: &Column,
        value: &Value,
        annotation: Option<&Value>,
    ) -> Result<Option<Cell>, GraphError> {
        let name = column.name.as_str();
        let wrong = |expected: &str| field_error(name, &format!("the value must be {expected}."));
        if let Some(annotation) = annotation {
            self.check_annotation(column, annotation)?;
        }
        if value.is_null() {
            return Ok(None);
        }
        let cell = match &column.kind {
            Kind::Text(text) => {
                let given = value.as_str().ok_or_else(|| wrong("a string"))?;
                return self.text_cell(name, given, text.max_length, text.rich());
            }
            Kind::Number(number) => {
                let given = value.as_f64().ok_or_else(|| wrong("a number"))?;
                if number.minimum.is_some_and(|minimum| given < minimum)
                    || number.maximum.is_some_and(|maximum| given > maximum)
                {
                    return Err(wrong("between the minimum and the maximum of the column"));
                }
                Cell::Number(given)
            }
            Kind::Currency { .. } => Cell::Number(value.as_f64().ok_or_else(|| wrong("a number"))?),
            Kind::Boolean => Cell::Bool(value.as_bool().ok_or_else(|| wrong("true or false"))?),
            Kind::DateTime { date_only, .. } => {
                let given = value
                    .as_str()
                    .ok_or_else(|| wrong("a string with a date in ISO 8601 form"))?;
                date_cell(name, given, *date_only, self.zone)?
            }
            Kind::Choice(choice) => {
                let check = |given: &Value| {
                    let text = given.as_str().ok_or_else(|| wrong("a string"))?;
                    if !choice.allow_text_entry && !choice.choices.iter().any(|known| known == text) {
                        return Err(wrong("one of the choices of the column"));
                    }
                    if text.encode_utf16().count() > 255 || forbidden_character(text) {
                        return Err(wrong("at most 255 characters without control characters"));
                    }
                    Ok(Box::<str>::from(text))
                };
                if choice.multiple() {
                    let Some(list) = self.several(column, value, annotation)? else {
                        return Ok(None);
                    };
                    Cell::Texts(list.iter().map(check).collect::<Result<_, _>>()?)
                } else {
                    Cell::Text(check(value)?)
                }
            }
            Kind::Lookup(lookup) => {
                let several = lookup.allow_multiple_values;
                return self.lookup_cell(column, value, annotation, several, &|id| {
                    (self.lookup_has)(lookup, id)
                });
            }
            Kind::Person(person) => {
                let several = person.allow_multiple_selection;
                let known = |id| (1..=self.people).contains(&id);
                return self.lookup_cell(column, value, annotation, several, &known);
            }
            Kind::Calculated { .. } => return Err(wrong("left out: the column is calculated")),
            Kind::Geolocation | Kind::Silent(_) | Kind::Bare => {
                return Err(GraphError::invalid("Invalid request"));
            }
        };
        Ok(Some(cell))
    }

    fn text_cell(
        &self,
        name: &str,
        given: &str,
        longest: Option<u32>,
        rich: bool,
    ) -> Result<Option<Cell>, GraphError> {
        if forbidden_character(given) {
            return Err(field_error(
                name,
                "the text holds a control character that cannot be stored.",
            ));
        }
        let single = longest.is_some();
        let kept = if single && self.behaviour.trim_text {
            given.trim()
        } else {
            given
        };
        if longest.is_some_and(|longest| kept.encode_utf16().count() > longest as usize) {
            return Err(field_error(
                name,
                "the text is longer than the column's maximum length.",
            ));
        }
        if kept.is_empty() && self.behaviour.empty_text_is_null {
            return Ok(None);
        }
        let wrap = rich && self.behaviour.wrap_rich_text && !kept.starts_with("<div class=\"ExternalClass");
        Ok(Some(Cell::Text(if wrap {
            let class = crate::guid::Guid::from_random(u128::from(crate::random::hash_text(kept)));
            let class = format!("{class}").replace('-', "").to_uppercase();
            format!("<div class=\"ExternalClass{class}\">{kept}</div>").into()
        } else {
            kept.into()
        })))
    }

    fn check_annotation(&self, column: &Column, annotation: &Value) -> Result<(), GraphError> {
        let wanted: &[&str] = match &column.kind {
            Kind::Choice(choice) if choice.multiple() => &["Collection(Edm.String)"],
            Kind::Lookup(lookup) if lookup.allow_multiple_values => {
                &["Collection(Edm.Int32)", "Collection(Edm.String)"]
            }
            Kind::Person(person) if person.allow_multiple_selection => {
                &["Collection(Edm.Int32)", "Collection(Edm.String)"]
            }
            _ => {
                return Err(field_error(
                    &column.name,
                    "a column with one value takes no '@odata.type'.",
                ));
            }
        };
        let given = annotation.as_str().map(|text| text.trim_start_matches('#'));
        if given.is_some_and(|text| wanted.contains(&text)) {
            return Ok(());
        }
        Err(field_error(
            &column.name,
            &format!("its '@odata.type' must be one of: {}.", wanted.join(", ")),
        ))
    }

    /// The elements of a collection, which must come with its type; `None` if it is empty.
    fn several<'v>(
        &self,
        column: &Column,
        value: &'v Value,
        annotation: Option<&Value>,
    ) -> Result<Option<&'v Vec<Value>>, GraphError> {
        let list = value
            .as_array()
            .ok_or_else(|| field_error(&column.name, "the value must be an array."))?;
        if annotation.is_none() {
            return Err(GraphError::invalid(WITHOUT_TYPE));
        }
        Ok((!list.is_empty()).then_some(list))
    }

    fn lookup_cell(
        &self,
        column: &Column,
        value: &Value,
        annotation: Option<&Value>,
        several: bool,
        exists: &dyn Fn(u32) -> bool,
    ) -> Result<Option<Cell>, GraphError> {
        let check = |given: &Value| {
            let number = given.as_u64().or_else(|| given.as_str()?.parse().ok());
            let id = number.and_then(|number| u32::try_from(number).ok());
            let id = id.ok_or_else(|| field_error(&column.name, "a lookup id must be a whole number."))?;
            if exists(id) {
                return Ok(id);
            }
            Err(field_error(
                &column.name,
                "there is no entry with this lookup id.",
            ))
        };
        if several {
            let Some(list) = self.several(column, value, annotation)? else {
                return Ok(None);
            };
            return Ok(Some(Cell::Lookups(
                list.iter().map(check).collect::<Result<_, _>>()?,
            )));
        }
        Ok(Some(Cell::Lookup(check(value)?)))
    }
}
