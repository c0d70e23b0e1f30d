//! `history`: what a definition keeps of what happened to each row.

use serde_json::{Value as Json, json};
use syncbridge_domain::history::HistoryRule;

use crate::catalog::object;
use crate::reader::{Reader, Slot};
use crate::span;

pub(crate) fn read(reader: &mut Reader, slot: &Slot<'_>) -> Option<HistoryRule> {
    let fields = reader.fields(slot, &["values", "retention"])?;
    let default = HistoryRule::default();
    let values = fields
        .get("values")
        .map_or(Some(default.values), |slot| reader.flag(&slot));
    let retention = fields
        .get("retention")
        .map_or(Some(default.retention), |slot| span::read(reader, &slot));
    Some(HistoryRule {
        values: values?,
        retention: retention?,
    })
}

/// The default leaves no trace, so that documents stored before there was a choice stay as they are.
pub(crate) fn to_json(rule: HistoryRule) -> Option<Json> {
    let default = HistoryRule::default();
    let values = (rule.values != default.values).then(|| json!(rule.values));
    let retention = (rule.retention != default.retention).then(|| span::to_json(rule.retention));
    (rule != default).then(|| object([("values", values), ("retention", retention)]))
}
