//! `guards`: what stands between a mistake and a list.

use std::collections::HashSet;

use chrono::{NaiveTime, Weekday};
use serde_json::{Value as Json, json};
use syncbridge_domain::freeze::{FreezeWindow, never_thaws};
use syncbridge_domain::policy::{DeleteGuard, Policies};

use crate::catalog::object;
use crate::definition::read_time_zone;
use crate::node::Body;
use crate::problem::ProblemCode;
use crate::reader::{Reader, Slot};
use crate::span;
use crate::words::{self, DAYS};

/// Most sentinels: they are read again with every page of rows that seem to be gone.
const MAX_SENTINELS: usize = 100;
/// Most freeze windows.
const MAX_WINDOWS: usize = 50;
/// Longest text of one key value of a sentinel.
const MAX_KEY_TEXT: usize = 1_000;
/// How a time of day is written.
const CLOCK: &str = "%H:%M";

/// Keys of rows that must be there, as texts in the order of the key columns.
pub(crate) type Sentinels = Vec<Vec<String>>;

/// Reads all guards into the policies; answers the sentinels. `key`: the key columns, where the document names them.
pub(crate) fn read(
    reader: &mut Reader,
    slot: &Slot<'_>,
    key: Option<&[String]>,
    policies: &mut Policies,
) -> Option<Sentinels> {
    let guards = reader.fields(slot, &["deletes", "sentinels", "freeze"])?;
    let before = reader.count();
    if let Some(guard) = guards
        .get("deletes")
        .and_then(|slot| read_delete_guard(reader, &slot))
    {
        policies.delete_guard = guard;
    }
    if let Some(windows) = guards.get("freeze").and_then(|slot| read_freeze(reader, &slot)) {
        policies.freeze = windows;
    }
    let sentinels = guards
        .get("sentinels")
        .map(|slot| read_sentinels(reader, &slot, key))
        .unwrap_or_default();
    (reader.count() == before).then_some(sentinels)
}

/// What is not used leaves no trace, so that documents stored before there was a choice stay as they are.
pub(crate) fn to_json(policies: &Policies, sentinels: &[Vec<String>]) -> Json {
    let deletes = policies.delete_guard;
    let windows: Vec<Json> = policies.freeze.iter().map(window_json).collect();
    object([
        (
            "deletes",
            Some(json!({
                "count": deletes.count,
                "share": deletes.share,
                "window": span::to_json(deletes.window),
            })),
        ),
        ("sentinels", (!sentinels.is_empty()).then(|| json!(sentinels))),
        ("freeze", (!windows.is_empty()).then(|| json!(windows))),
    ])
}

fn read_delete_guard(reader: &mut Reader, slot: &Slot<'_>) -> Option<DeleteGuard> {
    let fields = reader.fields(slot, &["count", "share", "window"])?;
    let default = DeleteGuard::default();
    let count = fields
        .get("count")
        .map_or(Some(default.count), |slot| reader.whole(&slot, 0..=1_000_000_000));
    let share = fields
        .get("share")
        .map_or(Some(default.share), |slot| reader.share(&slot));
    let window = fields
        .get("window")
        .map_or(Some(default.window), |slot| span::read(reader, &slot));
    Some(DeleteGuard {
        count: count?,
        share: share?,
        window: window?,
    })
}

fn read_sentinels(reader: &mut Reader, slot: &Slot<'_>, key: Option<&[String]>) -> Sentinels {
    let mut sentinels = Sentinels::new();
    let mut known = HashSet::new();
    for item in reader.list(slot, MAX_SENTINELS).unwrap_or_default() {
        let Some(texts) = read_key(reader, &item) else {
            continue;
        };
        let columns = key
            .map(<[String]>::len)
            .or_else(|| sentinels.first().map(Vec::len));
        if let Some(columns) = columns.filter(|columns| *columns != texts.len()) {
            let message = format!(
                "`{}` has {} values, and {} {columns}",
                item.path(),
                texts.len(),
                if key.is_some() {
                    "the key has"
                } else {
                    "the first has"
                },
            );
            let help = "one value for each key column, in the order of the key: `[DE, 2024]`";
            reader.report(item.at(), ProblemCode::Contradiction, message, help);
        } else if !known.insert(texts.clone()) {
            let message = format!("`{}` stands there before", item.path());
            reader.report(item.at(), ProblemCode::InvalidValue, message, "keep it once");
        }
        sentinels.push(texts);
    }
    sentinels
}

/// The values of one key: a list, or the value itself where the key has one column.
fn read_key(reader: &mut Reader, slot: &Slot<'_>) -> Option<Vec<String>> {
    let Body::List(_) = slot.body() else {
        return Some(vec![read_key_value(reader, slot)?]);
    };
    let before = reader.count();
    let values = reader.list(slot, 32)?;
    let texts = values
        .iter()
        .filter_map(|value| read_key_value(reader, value))
        .collect();
    (reader.count() == before).then_some(texts)
}

fn read_key_value(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    const HELP: &str = "a key value as PostgreSQL prints it: a text, a whole number, `true` or `false`; \
                        put any other in quotes";
    let text = match slot.body() {
        Body::Text(text) => text.clone(),
        Body::Whole(number) => number.to_string(),
        Body::Flag(flag) => flag.to_string(),
        other => {
            let message = format!("`{}` is {}, not a key value", slot.path(), other.describe());
            reader.report(slot.at(), ProblemCode::WrongType, message, HELP);
            return None;
        }
    };
    let length = text.chars().count();
    if length > MAX_KEY_TEXT || text.contains('\0') {
        let message = format!(
            "`{}` has {length} characters, or one that no text holds",
            slot.path()
        );
        return reader.refuse(
            slot,
            message,
            format!("at most {MAX_KEY_TEXT}, without zero bytes"),
        );
    }
    Some(text)
}

fn read_freeze(reader: &mut Reader, slot: &Slot<'_>) -> Option<Vec<FreezeWindow>> {
    let before = reader.count();
    let items = reader.list(slot, MAX_WINDOWS)?;
    let windows: Vec<FreezeWindow> = items
        .iter()
        .filter_map(|item| read_window(reader, item))
        .collect();
    if reader.count() > before {
        return None;
    }
    if never_thaws(&windows) {
        let message = format!(
            "the windows of `{}` leave no moment of the week free",
            slot.path()
        );
        let help = "shorten one; `onDelete: keep` is the way to delete nothing at all";
        reader.report(slot.at(), ProblemCode::Contradiction, message, help);
        return None;
    }
    Some(windows)
}

fn read_window(reader: &mut Reader, slot: &Slot<'_>) -> Option<FreezeWindow> {
    let fields = reader.fields(slot, &["days", "from", "to", "timeZone"])?;
    let days = match fields.get("days") {
        Some(slot) => read_days(reader, &slot),
        None => Some(DAYS.map(|(_, day)| day).to_vec()),
    };
    let from = reader.required(&fields, "from", "when the window begins: `from: \"18:00\"`");
    let from = from.and_then(|slot| read_clock(reader, &slot));
    let to = reader.required(
        &fields,
        "to",
        "when it ends: `to: \"06:00\"` is on the next day where that is not after `from`",
    );
    let to = to.and_then(|slot| read_clock(reader, &slot));
    let time_zone = reader.required(
        &fields,
        "timeZone",
        "whose clock it is: `timeZone: Europe/Berlin`",
    );
    let time_zone = time_zone.and_then(|slot| read_time_zone(reader, &slot));
    Some(FreezeWindow {
        days: days?,
        from: from?,
        to: to?,
        time_zone: time_zone?,
    })
}

/// Days in the order of the week, each once.
fn read_days(reader: &mut Reader, slot: &Slot<'_>) -> Option<Vec<Weekday>> {
    let before = reader.count();
    let mut named = Vec::new();
    for item in reader.list(slot, DAYS.len())? {
        let Some(day) = reader.one_of(&item, &DAYS) else {
            continue;
        };
        if named.contains(&day) {
            let message = format!("`{}` stands there before", item.path());
            reader.report(item.at(), ProblemCode::InvalidValue, message, "keep it once");
        }
        named.push(day);
    }
    named.sort_by_key(Weekday::num_days_from_monday);
    (reader.count() == before).then_some(named)
}

fn read_clock(reader: &mut Reader, slot: &Slot<'_>) -> Option<NaiveTime> {
    let text = reader.line(slot, 20)?;
    let time = NaiveTime::parse_from_str(text, CLOCK).ok();
    match time.filter(|_| text.len() == 5) {
        Some(time) => Some(time),
        None => {
            let message = format!("`{}` is {}", slot.path(), crate::reader::quote(text));
            reader.refuse(slot, message, "hours and minutes, from 00:00 to 23:59")
        }
    }
}

fn window_json(window: &FreezeWindow) -> Json {
    let days: Vec<Json> = window.days.iter().map(|day| words::word(&DAYS, *day)).collect();
    object([
        ("days", (days.len() < DAYS.len()).then(|| json!(days))),
        ("from", Some(json!(window.from.format(CLOCK).to_string()))),
        ("to", Some(json!(window.to.format(CLOCK).to_string()))),
        ("timeZone", Some(json!(window.time_zone.name()))),
    ])
}
