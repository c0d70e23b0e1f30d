//! The words for policies in documents.

use chrono::Weekday;
use serde_json::{Value as Json, json};
use syncbridge_domain::list_rules::{NewChoices, TargetMode};
use syncbridge_domain::policy::{ConflictPolicy, OnForeignEdit, OnForeignRestore};

use crate::reader::{Fields, Reader};

/// Who wins when both sides changed one field.
pub(crate) const CONFLICT: [(&str, ConflictPolicy); 4] = [
    ("source_wins", ConflictPolicy::SourceWins),
    ("target_wins", ConflictPolicy::TargetWins),
    ("latest_wins", ConflictPolicy::LatestWins),
    ("manual", ConflictPolicy::Manual),
];

/// What happens when a field is edited on the side that does not own it.
pub(crate) const FOREIGN_EDIT: [(&str, OnForeignEdit); 3] = [
    ("restore", OnForeignEdit::Restore),
    ("keep", OnForeignEdit::Keep),
    ("report", OnForeignEdit::Report),
];

/// What happens to an item that a person brings back although its row is gone.
pub(crate) const FOREIGN_RESTORE: [(&str, OnForeignRestore); 3] = [
    ("report", OnForeignRestore::Report),
    ("delete", OnForeignRestore::Delete),
    ("keep", OnForeignRestore::Keep),
];

/// Days of the week, in its order.
pub(crate) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];

/// Whether items follow their rows, or are written once and left alone.
pub(crate) const MODE: [(&str, bool); 2] = [("sync", false), ("archive_only", true)];

/// Who owns a list's columns.
pub(crate) const TARGET_MODE: [(&str, TargetMode); 2] = [
    ("managed", TargetMode::Managed),
    ("bring_your_own", TargetMode::BringYourOwn),
];

/// What happens to a choice column when its source column gets a new text.
pub(crate) const NEW_CHOICES: [(&str, NewChoices); 2] =
    [("grow", NewChoices::Grow), ("fixed", NewChoices::Fixed)];

/// The word of a value.
pub(crate) fn word<T: PartialEq>(words: &[(&'static str, T)], value: T) -> Json {
    json!(
        words
            .iter()
            .find(|(_, known)| *known == value)
            .map(|(word, _)| *word)
    )
}

/// The value of an optional key; what is wrong with it is reported.
pub(crate) fn optional<T: Copy>(
    reader: &mut Reader,
    fields: &Fields<'_>,
    key: &str,
    words: &[(&'static str, T)],
) -> Option<T> {
    fields.get(key).and_then(|slot| reader.one_of(&slot, words))
}
