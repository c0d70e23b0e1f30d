//! How one column becomes a list column.

use serde_json::{Value as Json, json};
use syncbridge_domain::facet::{Facet, SINGLE_LINE_MAX};
use syncbridge_domain::list_rules::NewChoices;
use syncbridge_domain::policy::{ConflictPolicy, Direction, OnForeignEdit};
use syncbridge_domain::system_field::SystemField;

use crate::catalog::{object, text};
use crate::node::Body;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Reader, Slot, quote};
use crate::two_way::{DIRECTION, LOSSY};
use crate::words::{self, CONFLICT, FOREIGN_EDIT, NEW_CHOICES};

/// Most choices of a choice column.
const MAX_CHOICES: usize = 500;

/// What a definition says about one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// Column of the source, exactly as the database has it.
    pub column: String,
    /// Name people see (`as`); absent: made from the column's name.
    pub display_name: Option<String>,
    /// Internal name of the list column; absent: made from the column's name.
    pub name: Option<String>,
    /// Whether the column fills the item's `Title`.
    pub title: bool,
    /// Whether it travels with other writes and never causes one.
    pub passive: bool,
    /// Kind of the list column; absent: chosen by the column's type.
    pub facet: Option<FacetRule>,
    /// Which way it travels; absent: as the definition says.
    pub direction: Option<Direction>,
    /// Whether it may go both ways although the list does not show the source's value whole; absent: as the
    /// definition says.
    pub lossy: Option<bool>,
    /// Overrides the definition's policy.
    pub conflict: Option<ConflictPolicy>,
    /// Overrides the definition's policy.
    pub on_foreign_edit: Option<OnForeignEdit>,
    /// Whether people can sort and filter a large list by it.
    pub index: bool,
    /// Whether people must fill it in.
    pub required: bool,
    /// What an item that a person makes begins with, as the list spells it.
    pub default: Option<String>,
    /// What becomes of texts that the choice column does not offer yet.
    pub new_choices: NewChoices,
    /// What the list itself knows of the item, instead of a column of ours.
    pub system: Option<SystemField>,
}

/// The kind of list column asked for, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FacetRule {
    /// One line.
    Text {
        /// Most characters, 1 to 255.
        max_length: Option<u32>,
    },
    /// Plain text of many lines.
    MultiLine,
    /// A number.
    Number {
        /// Digits shown behind the point, 0 to 5.
        decimals: Option<u8>,
    },
    /// Yes or no.
    Boolean,
    /// One of several texts; without choices, the labels of the column's enum type.
    Choice {
        /// The texts in their order.
        choices: Option<Vec<String>>,
    },
    /// Any number of several texts; without choices, the labels of the enum that the column's arrays hold.
    MultiChoice {
        /// The texts in their order.
        choices: Option<Vec<String>>,
    },
    /// An instant.
    DateTime,
    /// A day.
    Date,
}

impl FacetRule {
    /// The list column's facet. `labels` are those of the source column's enum type, also where it holds arrays of
    /// one; empty for other types.
    /// `None`: a choice column without choices, where the type has no labels either.
    #[must_use]
    pub fn facet(&self, labels: &[String]) -> Option<Facet> {
        Some(match self {
            FacetRule::Text { max_length } => Facet::Text {
                max_length: max_length.unwrap_or(SINGLE_LINE_MAX),
            },
            FacetRule::MultiLine => Facet::MultiLine,
            FacetRule::Number { decimals } => Facet::Number { decimals: *decimals },
            FacetRule::Boolean => Facet::Boolean,
            FacetRule::Choice {
                choices: Some(choices),
            } => Facet::Choice {
                choices: choices.clone(),
            },
            FacetRule::Choice { choices: None } if labels.is_empty() => return None,
            FacetRule::Choice { choices: None } => Facet::Choice {
                choices: labels.to_vec(),
            },
            FacetRule::MultiChoice {
                choices: Some(choices),
            } => Facet::MultiChoice {
                choices: choices.clone(),
            },
            FacetRule::MultiChoice { choices: None } if labels.is_empty() => return None,
            FacetRule::MultiChoice { choices: None } => Facet::MultiChoice {
                choices: labels.to_vec(),
            },
            FacetRule::DateTime => Facet::DateTime,
            FacetRule::Date => Facet::DateOnly,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            FacetRule::Text { .. } => "text",
            FacetRule::MultiLine => "multiline",
            FacetRule::Number { .. } => "number",
            FacetRule::Boolean => "boolean",
            FacetRule::Choice { .. } => "choice",
            FacetRule::MultiChoice { .. } => "multichoice",
            FacetRule::DateTime => "datetime",
            FacetRule::Date => "date",
        }
    }

    /// A word, or a mapping of the word (`kind`) and the options that kind has.
    fn read(reader: &mut Reader, slot: &Slot<'_>) -> Option<Self> {
        let kinds = [
            "text",
            "multiline",
            "number",
            "boolean",
            "choice",
            "multichoice",
            "datetime",
            "date",
        ]
        .map(|kind| (kind, kind));
        if !matches!(slot.body(), Body::Map(_)) {
            return Self::without_options(reader.one_of(slot, &kinds)?);
        }
        let fields = reader.fields(slot, &["kind", "maxLength", "decimals", "choices"])?;
        let kind = reader.required(
            &fields,
            "kind",
            "one of text, multiline, number, boolean, choice, multichoice, datetime, date",
        )?;
        let kind = reader.one_of(&kind, &kinds)?;
        let mut fits = true;
        for (option, owners) in [
            ("maxLength", &["text"][..]),
            ("decimals", &["number"]),
            ("choices", &["choice", "multichoice"]),
        ] {
            if fields.has(option) && !owners.contains(&kind) {
                let message = format!(
                    "`{}` is an option of `{}`, not of `{kind}`",
                    fields.path_of(option),
                    owners.join("` and `")
                );
                reader.report(
                    fields.key_at(option),
                    ProblemCode::Contradiction,
                    message,
                    "remove it, or change `kind`",
                );
                fits = false;
            }
        }
        let before = reader.count();
        let rule = match kind {
            "text" => {
                let max = fields
                    .get("maxLength")
                    .and_then(|slot| reader.whole(&slot, 1..=SINGLE_LINE_MAX.into()));
                FacetRule::Text {
                    max_length: max.and_then(|max| u32::try_from(max).ok()),
                }
            }
            "number" => {
                let decimals = fields.get("decimals").and_then(|slot| reader.whole(&slot, 0..=5));
                FacetRule::Number {
                    decimals: decimals.and_then(|digits| u8::try_from(digits).ok()),
                }
            }
            "choice" => FacetRule::Choice {
                choices: fields.get("choices").and_then(|slot| read_choices(reader, &slot)),
            },
            "multichoice" => FacetRule::MultiChoice {
                choices: fields.get("choices").and_then(|slot| read_choices(reader, &slot)),
            },
            other => Self::without_options(other)?,
        };
        (fits && reader.count() == before).then_some(rule)
    }

    fn without_options(kind: &str) -> Option<Self> {
        Some(match kind {
            "text" => FacetRule::Text { max_length: None },
            "multiline" => FacetRule::MultiLine,
            "number" => FacetRule::Number { decimals: None },
            "boolean" => FacetRule::Boolean,
            "choice" => FacetRule::Choice { choices: None },
            "multichoice" => FacetRule::MultiChoice { choices: None },
            "datetime" => FacetRule::DateTime,
            "date" => FacetRule::Date,
            _ => return None,
        })
    }

    fn to_json(&self) -> Json {
        let option = match self {
            FacetRule::Text {
                max_length: Some(max),
            } => ("maxLength", json!(max)),
            FacetRule::Number {
                decimals: Some(digits),
            } => ("decimals", json!(digits)),
            FacetRule::Choice {
                choices: Some(choices),
            }
            | FacetRule::MultiChoice {
                choices: Some(choices),
            } => ("choices", json!(choices)),
            _ => return json!(self.name()),
        };
        object([("kind", Some(json!(self.name()))), (option.0, Some(option.1))])
    }
}

/// Different texts of one line, at most 255 characters each.
fn read_choices(reader: &mut Reader, slot: &Slot<'_>) -> Option<Vec<String>> {
    let mut choices: Vec<String> = Vec::new();
    for item in reader.list(slot, MAX_CHOICES)? {
        let Some(choice) = reader.line(&item, SINGLE_LINE_MAX as usize) else {
            continue;
        };
        if choices.iter().any(|known| known == choice) {
            reader.refuse::<()>(
                &item,
                format!("the choice {} stands twice", quote(choice)),
                "keep it once",
            );
        }
        choices.push(choice.to_owned());
    }
    Some(choices)
}

const SYSTEM: [(&str, SystemField); 5] = [
    ("ID", SystemField::Id),
    ("Created", SystemField::Created),
    ("Modified", SystemField::Modified),
    ("Author", SystemField::Author),
    ("Editor", SystemField::Editor),
];

impl FieldRule {
    const KEYS: [&'static str; 15] = [
        "column",
        "as",
        "name",
        "title",
        "passive",
        "type",
        "direction",
        "lossy",
        "conflict",
        "onForeignEdit",
        "index",
        "required",
        "default",
        "newChoices",
        "system",
    ];

    pub(crate) fn read(reader: &mut Reader, slot: &Slot<'_>) -> Option<Self> {
        let fields = reader.fields(slot, &Self::KEYS)?;
        let before = reader.count();
        let column = reader.required(&fields, "column", "name the column of the source");
        let column = column.and_then(|slot| reader.identifier(&slot));
        let display_name = fields
            .get("as")
            .and_then(|slot| reader.line(&slot, 255))
            .map(str::to_owned);
        let name = fields
            .get("name")
            .and_then(|slot| read_internal_name(reader, &slot));
        let title = read_flag(reader, &fields, "title");
        if title && fields.has("name") {
            reader.report(
                fields.key_at("name"),
                ProblemCode::Contradiction,
                format!("`{}` stands beside `title: true`", fields.path_of("name")),
                "remove one: the internal name of the title column is always `Title`",
            );
        }
        let passive = read_flag(reader, &fields, "passive");
        let facet = fields.get("type").and_then(|slot| FacetRule::read(reader, &slot));
        if title
            && facet
                .as_ref()
                .is_some_and(|facet| !matches!(facet, FacetRule::Text { .. }))
        {
            reader.report(
                fields.key_at("type"),
                ProblemCode::Contradiction,
                format!("`{}` stands beside `title: true`", fields.path_of("type")),
                "remove one: the title column is always text of one line",
            );
        }
        let direction = words::optional(reader, &fields, "direction", &DIRECTION);
        let lossy = words::optional(reader, &fields, "lossy", &LOSSY);
        let conflict = words::optional(reader, &fields, "conflict", &CONFLICT);
        let on_foreign_edit = words::optional(reader, &fields, "onForeignEdit", &FOREIGN_EDIT);
        let new_choices = words::optional(reader, &fields, "newChoices", &NEW_CHOICES).unwrap_or_default();
        let index = read_flag(reader, &fields, "index");
        let required = read_flag(reader, &fields, "required");
        let default = fields.get("default").and_then(|slot| read_default(reader, &slot));
        if title {
            refuse_for_title(reader, &fields);
        }
        let system = words::optional(reader, &fields, "system", &SYSTEM);
        if system.is_some() {
            refuse_for_system(reader, &fields, passive, direction);
        }
        if index && matches!(facet, Some(FacetRule::MultiLine)) {
            reader.report(
                fields.key_at("index"),
                ProblemCode::Contradiction,
                format!("`{}` stands beside `type: multiline`", fields.path_of("index")),
                "a list cannot index text of many lines: write `type: text`, or remove `index`",
            );
        }
        if reader.count() > before {
            return None;
        }
        Some(Self {
            column: column?,
            display_name,
            name,
            title,
            passive,
            facet,
            direction,
            lossy,
            conflict,
            on_foreign_edit,
            index,
            required,
            default,
            new_choices,
            system,
        })
    }

    pub(crate) fn to_json(&self) -> Json {
        object([
            ("column", Some(json!(self.column))),
            ("as", text(self.display_name.as_ref())),
            ("name", text(self.name.as_ref())),
            ("title", self.title.then_some(Json::Bool(true))),
            ("passive", self.passive.then_some(Json::Bool(true))),
            ("type", self.facet.as_ref().map(FacetRule::to_json)),
            ("direction", self.direction.map(|direction| json!(direction))),
            ("lossy", self.lossy.map(|allowed| words::word(&LOSSY, allowed))),
            (
                "conflict",
                self.conflict.map(|policy| words::word(&CONFLICT, policy)),
            ),
            (
                "onForeignEdit",
                self.on_foreign_edit
                    .map(|policy| words::word(&FOREIGN_EDIT, policy)),
            ),
            ("index", self.index.then_some(Json::Bool(true))),
            ("required", self.required.then_some(Json::Bool(true))),
            ("default", text(self.default.as_ref())),
            ("system", self.system.map(|system| words::word(&SYSTEM, system))),
            (
                "newChoices",
                (self.new_choices != NewChoices::Grow).then(|| words::word(&NEW_CHOICES, self.new_choices)),
            ),
        ])
    }
}

fn read_flag(reader: &mut Reader, fields: &Fields<'_>, key: &str) -> bool {
    fields
        .get(key)
        .and_then(|slot| reader.flag(&slot))
        .unwrap_or(false)
}

/// A system field is the list's own: it has its name and its kind, and only the list writes it.
fn refuse_for_system(reader: &mut Reader, fields: &Fields<'_>, passive: bool, direction: Option<Direction>) {
    const ITS_OWN: [&str; 11] = [
        "as",
        "name",
        "title",
        "type",
        "lossy",
        "conflict",
        "onForeignEdit",
        "index",
        "required",
        "default",
        "newChoices",
    ];
    for key in ITS_OWN {
        if fields.has(key) {
            reader.report(
                fields.key_at(key),
                ProblemCode::Contradiction,
                format!("`{}` stands beside `system`", fields.path_of(key)),
                "remove it: what the list itself knows of an item is only taken as it is",
            );
        }
    }
    if fields.has("passive") && !passive {
        reader.report(
            fields.key_at("passive"),
            ProblemCode::Contradiction,
            format!("`{}` is false, and a system field would cause writes", fields.path_of("passive")),
            "remove it: the list writes the field with every write of ours, so that one would follow the other for ever",
        );
    }
    if direction.is_some_and(|direction| direction != Direction::Pull) {
        reader.report(
            fields.key_at("direction"),
            ProblemCode::Contradiction,
            format!(
                "`{}` leads to the list, which alone writes a system field",
                fields.path_of("direction")
            ),
            "write `direction: pull`, or remove it",
        );
    }
}

/// The title column is built in: what it is like is not ours to say.
fn refuse_for_title(reader: &mut Reader, fields: &Fields<'_>) {
    for key in ["index", "required", "default"] {
        if fields.has(key) {
            reader.report(
                fields.key_at(key),
                ProblemCode::Contradiction,
                format!("`{}` stands beside `title: true`", fields.path_of(key)),
                "remove it: the title column is built in, and is set up in the list's settings",
            );
        }
    }
}

/// A default as the list spells it: numbers and flags are texts there, too.
fn read_default(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    match slot.body() {
        Body::Flag(flag) => Some(if *flag { "1" } else { "0" }.to_owned()),
        Body::Whole(number) => Some(number.to_string()),
        Body::Fraction(number) => Some(number.to_string()),
        _ => reader.line(slot, SINGLE_LINE_MAX as usize).map(str::to_owned),
    }
}

/// `^[A-Za-z][A-Za-z0-9]{0,31}$`, so that SharePoint neither encodes nor cuts it.
fn read_internal_name(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    let text = reader.line(slot, 255)?;
    let fits = text.len() <= 32
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && text.starts_with(|c: char| c.is_ascii_alphabetic());
    if !fits {
        let message = format!("{} is no internal name", quote(text));
        return reader.refuse(
            slot,
            message,
            "1 to 32 letters (a to z) and digits, a letter first",
        );
    }
    if text.to_ascii_lowercase().starts_with("syncbridge") || text.eq_ignore_ascii_case("title") {
        let message = format!("{} is a name this product keeps for itself", quote(text));
        return reader.refuse(
            slot,
            message,
            "choose another; for the title column write `title: true`",
        );
    }
    Some(text.to_owned())
}
