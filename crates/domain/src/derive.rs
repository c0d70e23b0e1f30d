//! From a table and a person's choices to a mapping: kinds of list columns, internal and display names, title.
//!
//! Defaults are lossless wherever a list can be: what a double cannot hold becomes text unless a person says
//! otherwise. Internal names are plain ASCII, because names that begin with another character cannot be written
//! through Graph (contract §5, §15 no. 9), and they keep clear of names SharePoint owns.

use chrono_tz::Tz;

use crate::facet::{Facet, SINGLE_LINE_MAX};
use crate::identity::KeyColumn;
use crate::mapping::{FieldMapping, Mapping, STATE_COLUMN, SYNC_KEY_COLUMN, TitleRule};
use crate::pg_type::PgType;
use crate::policy::{ConflictPolicy, Direction, OnForeignEdit};
use crate::system_field::SystemField;
use crate::table::{ColumnShape, TableShape};
use crate::type_matrix::{Fidelity, default_facet, fidelity, row_of, unfit_choice, unseen_in_list};

/// What a person chose for one column.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FieldChoice {
    /// The source column.
    pub column: String,
    /// Name people see.
    pub display_name: Option<String>,
    /// Internal name.
    pub internal_name: Option<String>,
    /// Map it onto `Title`.
    pub title: bool,
    /// Travels with other writes, never causes one.
    pub passive: bool,
    /// Kind of list column.
    pub facet: Option<Facet>,
    /// Which way it travels; absent: as the definition says, as far as the column can.
    pub direction: Option<Direction>,
    /// Whether it may go both ways although the list does not show the source's value whole; absent: as the
    /// definition says.
    pub lossy: Option<bool>,
    /// Overrides the definition's policy.
    pub conflict: Option<ConflictPolicy>,
    /// Overrides the definition's policy.
    pub on_foreign_edit: Option<OnForeignEdit>,
    /// What the list itself knows of the item, instead of a column of ours.
    pub system: Option<SystemField>,
}

/// What a person chose for the whole table.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Choices {
    /// Key columns; the primary key where absent.
    pub key: Option<Vec<String>>,
    /// Fields; every column where absent.
    pub fields: Option<Vec<FieldChoice>>,
    /// Columns left out.
    pub exclude: Vec<String>,
    /// The watermark column; passive unless a field says otherwise.
    pub watermark: Option<String>,
    /// Time zone of the site.
    pub time_zone: Option<Tz>,
    /// Which way fields travel that say nothing of their own.
    pub direction: Direction,
    /// Whether fields that lose something on the way to the list may go both ways.
    pub lossy: bool,
}

/// Why no mapping can be derived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// A named column does not exist.
    #[error("{role} column `{column}` does not exist in the table; it has {available}")]
    NoSuchColumn {
        /// What it was named for.
        role: &'static str,
        /// The name.
        column: String,
        /// Columns there are.
        available: String,
    },
    /// Neither a primary key nor a choice.
    #[error("the table has no primary key; name the columns that identify a row with `key: [..]`")]
    NoKey,
    /// The chosen key is not unique by any constraint.
    #[error(
        "no primary key or unique constraint over NOT NULL columns covers the key ({key}); \
         add one, or choose columns that have one"
    )]
    KeyNotUnique {
        /// The chosen columns.
        key: String,
    },
    /// Date-only columns without a time zone.
    #[error(
        "column `{column}` is a date, and a list stores dates as the midnight of its site, whose time zone is \
         not known: give `target.timeZone`, or map the column to text"
    )]
    NoTimeZone {
        /// The first such column.
        column: String,
    },
    /// Two fields would get one internal name.
    #[error(
        "columns `{first}` and `{second}` would both become `{name}` in the list; set `name` on one of them"
    )]
    NameTaken {
        /// First column.
        first: String,
        /// Second column.
        second: String,
        /// Internal name.
        name: String,
    },
    /// A chosen internal name that SharePoint owns or mangles.
    #[error(
        "internal name `{name}` (column `{column}`) belongs to SharePoint or ends in a suffix it uses; choose another"
    )]
    ReservedName {
        /// Column.
        column: String,
        /// Internal name.
        name: String,
    },
    /// A kind of list column that no value of the type has a place in.
    #[error("column `{column}` is a {type_name}, which cannot become `{wanted}`; it can become {possible}")]
    Impossible {
        /// Column.
        column: String,
        /// Its type.
        type_name: String,
        /// What was asked for.
        wanted: &'static str,
        /// What can be asked for.
        possible: String,
    },
    /// Texts that no list takes as choices.
    #[error("column `{column}`: {reason}; correct `choices`, or map the column to text")]
    UnfitChoices {
        /// Column.
        column: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A column that cannot be written was to follow the list.
    #[error(
        "column `{column}` cannot follow the list: {reason}; write `direction: push` for it, or leave it out"
    )]
    NotWritable {
        /// Column.
        column: String,
        /// Why.
        reason: &'static str,
    },
    /// A field that loses something on the way to the list was to go both ways, and nobody asked for that.
    #[error(
        "column `{column}` cannot go both ways: as `{kind}` the list does not show {what}, and an edit there would lose \
         it; write `direction: push` for it, {alternative}or `lossy: allow`, which lets only those values be edited in \
         the list that it shows whole"
    )]
    Lossy {
        /// Column.
        column: String,
        /// Kind of the list column.
        kind: &'static str,
        /// What is lost.
        what: &'static str,
        /// The kind that keeps it, as a part of the sentence.
        alternative: String,
    },
    /// A field that was to travel against its definition.
    #[error(
        "column `{column}` is to go {field}, but the definition goes {definition} only; change `spec.direction`"
    )]
    AgainstDefinition {
        /// Column.
        column: String,
        /// What the field says.
        field: &'static str,
        /// What the definition says.
        definition: &'static str,
    },
    /// A system field that a value was to be written to, or that was to cause writes.
    #[error(
        "`{system}` (column `{column}`) is written by the list alone, with every write of ours: it can only be taken \
         into the source, with other values; leave out {what}"
    )]
    SystemField {
        /// Column.
        column: String,
        /// The system field.
        system: &'static str,
        /// What is asked too much.
        what: &'static str,
    },
    /// A field that brings its own value round again.
    #[error(
        "column `{column}` would be written from the list by one field and travel to it, or be written, by another: a \
         change would go round and round; keep one of the two"
    )]
    Cycle {
        /// Column.
        column: String,
    },
    /// Nothing to sync.
    #[error("no column is mapped; leave out `exclude` or name at least one field")]
    NoFields,
}

/// Derives the mapping of a table.
///
/// # Errors
/// [`DeriveError`] says what to change.
pub fn derive(table: &TableShape, choices: &Choices) -> Result<Mapping, DeriveError> {
    let key = key_columns(table, choices)?;
    let picked = picked_columns(table, choices)?;
    if picked.is_empty() {
        return Err(DeriveError::NoFields);
    }
    let title = title_column(&picked);
    let mut fields: Vec<FieldMapping> = Vec::with_capacity(picked.len());
    for (at, (column, choice)) in picked.iter().enumerate() {
        if let Some(system) = choice.system {
            let field = system_field(column, choice, choices, &key, system)?;
            if let Some(other) = fields.iter().find(|other| other.target == field.target) {
                return Err(DeriveError::NameTaken {
                    first: other.column.clone(),
                    second: field.column,
                    name: system.word().to_owned(),
                });
            }
            fields.push(field);
            continue;
        }
        let is_title = title == Some(at);
        let facet = if is_title {
            Facet::Text {
                max_length: SINGLE_LINE_MAX,
            }
        } else {
            facet_of(column, choice)?
        };
        let direction = direction_of(column, choice, choices, &key)?;
        if direction == Direction::Both && !choice.lossy.unwrap_or(choices.lossy) {
            shows_whole(column, &facet)?;
        }
        let target = internal_name(column, choice, is_title, &fields)?;
        fields.push(FieldMapping {
            column: column.name.clone(),
            pg_type: column.pg_type.clone(),
            nullable: column.nullable,
            target,
            display_name: choice
                .display_name
                .clone()
                .unwrap_or_else(|| human_name(&column.name)),
            facet,
            direction,
            passive: choice.passive || choices.watermark.as_deref() == Some(column.name.as_str()),
            conflict: choice.conflict,
            on_foreign_edit: choice.on_foreign_edit,
        });
    }
    refuse_cycles(&fields)?;
    distinct_display_names(&mut fields);
    let day = fields.iter().find(|field| field.facet == Facet::DateOnly);
    let time_zone = match (choices.time_zone, day) {
        (Some(zone), _) => zone,
        (None, None) => chrono_tz::UTC,
        (None, Some(field)) => {
            return Err(DeriveError::NoTimeZone {
                column: field.column.clone(),
            });
        }
    };
    let title = if title.is_some() {
        TitleRule::Mapped
    } else {
        TitleRule::Key
    };
    Ok(Mapping {
        key,
        fields,
        title,
        time_zone,
    })
}

/// A field of the list's own: it goes to the source, with other values.
fn system_field(
    column: &ColumnShape,
    choice: &FieldChoice,
    choices: &Choices,
    key: &[KeyColumn],
    system: SystemField,
) -> Result<FieldMapping, DeriveError> {
    let too_much = |what| DeriveError::SystemField {
        column: column.name.clone(),
        system: system.word(),
        what,
    };
    let asked = FieldChoice {
        direction: Some(Direction::Pull),
        facet: Some(system.facet()),
        ..choice.clone()
    };
    match choice.direction {
        Some(Direction::Push) => return Err(too_much("`direction: push`")),
        Some(Direction::Both) => return Err(too_much("`direction: both`")),
        Some(Direction::Pull) | None => {}
    }
    if choice.title || choice.facet.is_some() || choice.internal_name.is_some() {
        return Err(too_much("`title`, `type` and `name`"));
    }
    Ok(FieldMapping {
        column: column.name.clone(),
        pg_type: column.pg_type.clone(),
        nullable: column.nullable,
        target: system.shown_as().to_owned(),
        display_name: system.word().to_owned(),
        facet: facet_of(column, &asked)?,
        direction: direction_of(column, &asked, choices, key)?,
        passive: true,
        conflict: None,
        on_foreign_edit: None,
    })
}

/// A column that the list writes and that also travels under another name leads back to where it came from. What is
/// passive causes nothing.
fn refuse_cycles(fields: &[FieldMapping]) -> Result<(), DeriveError> {
    let causes = |field: &&FieldMapping| !field.passive;
    for (at, field) in fields.iter().enumerate().filter(|(_, field)| causes(field)) {
        let mut others = fields[..at].iter().filter(causes);
        let goes_round = others.any(|other| {
            other.column == field.column
                && (field.direction != Direction::Push || other.direction != Direction::Push)
        });
        if goes_round {
            return Err(DeriveError::Cycle {
                column: field.column.clone(),
            });
        }
    }
    Ok(())
}

/// Which way a field travels. The key and what the source computes only ever go to the list: a key that the list
/// changed would make another row of it.
fn direction_of(
    column: &ColumnShape,
    choice: &FieldChoice,
    choices: &Choices,
    key: &[KeyColumn],
) -> Result<Direction, DeriveError> {
    let reason = if key.iter().any(|part| part.name == column.name) {
        Some("it is part of the key, and a changed key would be another row")
    } else if column.generated {
        Some("the source computes it")
    } else if choices.watermark.as_deref() == Some(column.name.as_str()) {
        Some("it is the watermark, which the source writes")
    } else {
        None
    };
    match (choice.direction, reason) {
        (None | Some(Direction::Push), Some(_)) => Ok(Direction::Push),
        (Some(_), Some(reason)) => Err(DeriveError::NotWritable {
            column: column.name.clone(),
            reason,
        }),
        (None, None) => Ok(choices.direction),
        (Some(asked), None) if choices.direction == Direction::Both || asked == choices.direction => {
            Ok(asked)
        }
        (Some(asked), None) => Err(DeriveError::AgainstDefinition {
            column: column.name.clone(),
            field: asked.word(),
            definition: choices.direction.word(),
        }),
    }
}

/// Refuses a column of which a list shows only a part.
fn shows_whole(column: &ColumnShape, facet: &Facet) -> Result<(), DeriveError> {
    let kind = facet.kind();
    let Some(what) = unseen_in_list(&column.pg_type, kind) else {
        return Ok(());
    };
    let alternative = match fidelity(&column.pg_type, kind) {
        Fidelity::Loses {
            alternative: Some(keeps),
            ..
        } => format!("`type: {keeps}`, "),
        _ => String::new(),
    };
    Err(DeriveError::Lossy {
        column: column.name.clone(),
        kind: kind.word(),
        what,
        alternative,
    })
}

/// The list column that was asked for, if the type can fill one, or else the type's default.
fn facet_of(column: &ColumnShape, choice: &FieldChoice) -> Result<Facet, DeriveError> {
    let Some(facet) = &choice.facet else {
        return Ok(default_facet(&column.pg_type));
    };
    let row = row_of(&column.pg_type);
    if !row.takes(facet.kind()) {
        return Err(DeriveError::Impossible {
            column: column.name.clone(),
            type_name: column.pg_type.cast_name().to_owned(),
            wanted: facet.kind().word(),
            possible: row
                .words()
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
        });
    }
    let choices = match facet {
        Facet::Choice { choices } | Facet::MultiChoice { choices } => choices.as_slice(),
        _ => &[],
    };
    match unfit_choice(choices) {
        Some(reason) => Err(DeriveError::UnfitChoices {
            column: column.name.clone(),
            reason,
        }),
        None => Ok(facet.clone()),
    }
}

fn no_such_column(table: &TableShape, role: &'static str, column: &str) -> DeriveError {
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    DeriveError::NoSuchColumn {
        role,
        column: column.to_owned(),
        available: names.join(", "),
    }
}

fn key_columns(table: &TableShape, choices: &Choices) -> Result<Vec<KeyColumn>, DeriveError> {
    let names = match &choices.key {
        Some(names) if !names.is_empty() => names,
        _ if table.primary_key.is_empty() => return Err(DeriveError::NoKey),
        _ => &table.primary_key,
    };
    let columns: Vec<KeyColumn> = names
        .iter()
        .map(|name| {
            let column = table
                .column(name)
                .ok_or_else(|| no_such_column(table, "key", name))?;
            Ok(KeyColumn {
                name: column.name.clone(),
                pg_type: column.pg_type.clone(),
            })
        })
        .collect::<Result<_, _>>()?;
    let covers =
        |unique: &Vec<String>| !unique.is_empty() && unique.iter().all(|column| names.contains(column));
    // A view cannot have a constraint: the key that was named is taken for one, and rows that share it are parked.
    let taken_on_trust = !table.enforces_keys && choices.key.is_some();
    if taken_on_trust || covers(&table.primary_key) || table.unique_keys.iter().any(covers) {
        Ok(columns)
    } else {
        Err(DeriveError::KeyNotUnique {
            key: names.join(", "),
        })
    }
}

fn picked_columns<'a>(
    table: &'a TableShape,
    choices: &Choices,
) -> Result<Vec<(&'a ColumnShape, FieldChoice)>, DeriveError> {
    for name in &choices.exclude {
        table
            .column(name)
            .ok_or_else(|| no_such_column(table, "excluded", name))?;
    }
    if let Some(name) = &choices.watermark {
        table
            .column(name)
            .ok_or_else(|| no_such_column(table, "watermark", name))?;
    }
    match &choices.fields {
        Some(fields) => fields
            .iter()
            .map(|choice| {
                let column = table
                    .column(&choice.column)
                    .ok_or_else(|| no_such_column(table, "field", &choice.column))?;
                Ok((column, choice.clone()))
            })
            .collect(),
        None => Ok(table
            .columns
            .iter()
            .filter(|column| !choices.exclude.contains(&column.name))
            .map(|column| {
                (
                    column,
                    FieldChoice {
                        column: column.name.clone(),
                        ..FieldChoice::default()
                    },
                )
            })
            .collect()),
    }
}

/// The column for `Title`: the chosen one, else the first short or plain text that is called like a title.
fn title_column(picked: &[(&ColumnShape, FieldChoice)]) -> Option<usize> {
    if let Some(at) = picked.iter().position(|(_, choice)| choice.title) {
        return Some(at);
    }
    const NAMES: [&str; 6] = ["title", "name", "full_name", "display_name", "subject", "label"];
    NAMES.iter().find_map(|name| {
        picked.iter().position(|(column, choice)| {
            let text = matches!(column.pg_type, PgType::Text | PgType::Varchar { .. });
            text && choice.system.is_none()
                && choice.facet.is_none()
                && choice.internal_name.is_none()
                && column.name.eq_ignore_ascii_case(name)
        })
    })
}

/// Internal names of built-in columns, and names that confuse people or Graph (contract §5).
const RESERVED: [&str; 34] = [
    "id",
    "title",
    "created",
    "modified",
    "author",
    "editor",
    "contenttype",
    "attachments",
    "edit",
    "name",
    "version",
    "guid",
    "order",
    "fileref",
    "fileleafref",
    "linktitle",
    "linktitlenomenu",
    "docicon",
    "appauthor",
    "appeditor",
    "itemchildcount",
    "folderchildcount",
    "complianceassetid",
    "uniqueid",
    "fields",
    "metainfo",
    "owshiddenversion",
    "workflowversion",
    "instanceid",
    "fsobjtype",
    "syncbridgekey",
    "syncbridgestate",
    "parentid",
    "scopeid",
];

fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    debug_assert!(RESERVED.contains(&SYNC_KEY_COLUMN.to_ascii_lowercase().as_str()));
    debug_assert!(RESERVED.contains(&STATE_COLUMN.to_ascii_lowercase().as_str()));
    RESERVED.contains(&lower.as_str()) || lower.ends_with("lookupid")
}

fn internal_name(
    column: &ColumnShape,
    choice: &FieldChoice,
    is_title: bool,
    taken: &[FieldMapping],
) -> Result<String, DeriveError> {
    if is_title {
        return Ok("Title".into());
    }
    let used_by = |name: &str| taken.iter().find(|field| field.target.eq_ignore_ascii_case(name));
    if let Some(name) = &choice.internal_name {
        if is_reserved(name) {
            return Err(DeriveError::ReservedName {
                column: column.name.clone(),
                name: name.clone(),
            });
        }
        return match used_by(name) {
            Some(other) => Err(DeriveError::NameTaken {
                first: other.column.clone(),
                second: column.name.clone(),
                name: name.clone(),
            }),
            None => Ok(name.clone()),
        };
    }
    let stem = ascii_name(&column.name);
    for n in 1..1000 {
        let suffix = if n == 1 { String::new() } else { n.to_string() };
        let cut = stem.len().min(32 - suffix.len());
        let name = format!("{}{suffix}", &stem[..cut]);
        if !is_reserved(&name) && used_by(&name).is_none() {
            return Ok(name);
        }
    }
    Err(DeriveError::ReservedName {
        column: column.name.clone(),
        name: stem,
    })
}

/// `due_at` → `DueAt`; what is not ASCII goes, and a name without a letter in front gets one.
fn ascii_name(column: &str) -> String {
    let mut name = String::new();
    let mut upper = true;
    for c in column.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        } else {
            upper = true;
        }
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || is_reserved(&name) {
        name.insert_str(0, "Col");
    }
    name.truncate(32);
    name
}

/// `due_at` → `Due at`.
fn human_name(column: &str) -> String {
    let words = column.replace('_', " ");
    let words = words.trim();
    let mut chars = words.chars();
    let name: String = match chars.next() {
        Some(first) => first
            .to_uppercase()
            .chain(chars)
            .filter(|c| !c.is_control())
            .take(255)
            .collect(),
        None => column.to_owned(),
    };
    if name.is_empty() { "Column".into() } else { name }
}

/// Two columns with one display name are allowed in a list and confusing to everybody.
fn distinct_display_names(fields: &mut [FieldMapping]) {
    for at in 1..fields.len() {
        let (before, rest) = fields.split_at_mut(at);
        let name = rest[0].display_name.clone();
        if before
            .iter()
            .any(|field| field.display_name.eq_ignore_ascii_case(&name))
        {
            rest[0].display_name = format!("{name} ({})", rest[0].column);
        }
    }
}

#[cfg(test)]
#[path = "derive_tests.rs"]
mod tests;
