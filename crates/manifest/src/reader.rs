//! Reads values out of the tree and collects everything that is wrong with them.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::name::Name;
use crate::node::{Body, Node};
use crate::problem::{Position, Problem, ProblemCode};
use crate::suggest::nearest;

/// Problems kept of one text; whoever has more sees the rest after putting these right.
const MAX_PROBLEMS: usize = 100;

/// Collects the problems of one text.
pub(crate) struct Reader {
    file: String,
    problems: Vec<Problem>,
}

/// A value with the path under which a person finds it, such as `spec.source.table`.
#[derive(Clone)]
pub(crate) struct Slot<'n> {
    node: &'n Node,
    path: String,
}

/// A mapping whose keys are known to be allowed and single.
pub(crate) struct Fields<'n> {
    at: Position,
    path: String,
    entries: HashMap<&'n str, (&'n Node, Position)>,
}

impl<'n> Slot<'n> {
    pub(crate) fn root(node: &'n Node) -> Self {
        Self {
            node,
            path: String::new(),
        }
    }

    pub(crate) fn at(&self) -> Position {
        self.node.at
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn body(&self) -> &'n Body {
        &self.node.body
    }

    /// How messages call it.
    fn called(&self) -> String {
        if self.path.is_empty() {
            "the document".into()
        } else {
            format!("`{}`", self.path)
        }
    }
}

impl<'n> Fields<'n> {
    pub(crate) fn get(&self, key: &str) -> Option<Slot<'n>> {
        self.entries.get(key).map(|(node, _)| Slot {
            node,
            path: join(&self.path, key),
        })
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Where the mapping begins.
    pub(crate) fn at(&self) -> Position {
        self.at
    }

    /// Where a key stands, or the mapping where it is absent.
    pub(crate) fn key_at(&self, key: &str) -> Position {
        self.entries.get(key).map_or(self.at, |(_, at)| *at)
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A text of a person for a message: short, and without characters that would break the line.
pub(crate) fn quote(text: &str) -> String {
    let short: String = text
        .chars()
        .take(60)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let more = if text.chars().count() > 60 { "…" } else { "" };
    format!("`{short}{more}`")
}

fn alternatives<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

impl Reader {
    pub(crate) fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            problems: Vec::new(),
        }
    }

    pub(crate) fn report(
        &mut self,
        position: Position,
        code: ProblemCode,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.problems.len() < MAX_PROBLEMS {
            let (message, help) = (message.into(), help.into());
            self.problems.push(Problem {
                file: self.file.clone(),
                position,
                code,
                message,
                help,
            });
        }
    }

    /// A value that is not allowed.
    pub(crate) fn refuse<T>(
        &mut self,
        slot: &Slot<'_>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.report(slot.at(), ProblemCode::InvalidValue, message, help);
        None
    }

    /// How many problems there are, to learn later whether a part added any.
    pub(crate) fn count(&self) -> usize {
        self.problems.len()
    }

    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.position);
        self.problems
    }

    fn wrong_type<T>(&mut self, slot: &Slot<'_>, wanted: &str, help: &str) -> Option<T> {
        let found = slot.body().describe();
        self.report(
            slot.at(),
            ProblemCode::WrongType,
            format!("{} is {found}, not {wanted}", slot.called()),
            help,
        );
        None
    }

    /// A mapping with these keys and no others.
    pub(crate) fn fields<'n>(&mut self, slot: &Slot<'n>, allowed: &[&str]) -> Option<Fields<'n>> {
        self.fields_shown(slot, allowed, quote)
    }

    /// The same where a key may be a secret that slipped: `{hunter2}` is a mapping with the key `hunter2`.
    pub(crate) fn fields_of_secret<'n>(&mut self, slot: &Slot<'n>, allowed: &[&str]) -> Option<Fields<'n>> {
        self.fields_shown(slot, allowed, |_| "(not shown)".to_owned())
    }

    fn fields_shown<'n>(
        &mut self,
        slot: &Slot<'n>,
        allowed: &[&str],
        show: fn(&str) -> String,
    ) -> Option<Fields<'n>> {
        let Body::Map(all) = slot.body() else {
            return self.wrong_type(
                slot,
                "a mapping",
                &format!(
                    "write these keys below it: {}",
                    alternatives(allowed.iter().copied())
                ),
            );
        };
        let mut entries: HashMap<&str, (&Node, Position)> =
            HashMap::with_capacity(all.len().min(allowed.len()));
        for entry in all {
            let key = entry.key.as_str();
            if !allowed.contains(&key) {
                let place = if slot.path.is_empty() {
                    String::new()
                } else {
                    format!(" in `{}`", slot.path)
                };
                let help = match nearest(key, allowed.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("allowed: {}", alternatives(allowed.iter().copied())),
                };
                self.report(
                    entry.key_at,
                    ProblemCode::UnknownKey,
                    format!("unknown key {}{place}", show(key)),
                    help,
                );
            } else if let Some((_, first)) = entries.get(key) {
                let message = format!("the key {} stands here for the second time", quote(key));
                let help = format!("it stands first in line {}; keep one of them", first.line);
                self.report(entry.key_at, ProblemCode::DuplicateKey, message, help);
            } else {
                entries.insert(key, (&entry.value, entry.key_at));
            }
        }
        Some(Fields {
            at: slot.at(),
            path: slot.path.clone(),
            entries,
        })
    }

    /// A value that must be there.
    pub(crate) fn required<'n>(&mut self, fields: &Fields<'n>, key: &str, help: &str) -> Option<Slot<'n>> {
        let found = fields.get(key);
        if found.is_none() {
            let message = format!("`{}` is missing", fields.path_of(key));
            self.report(fields.at(), ProblemCode::MissingKey, message, help);
        }
        found
    }

    fn any_text<'n>(&mut self, slot: &Slot<'n>) -> Option<&'n str> {
        match slot.body() {
            Body::Text(text) => Some(text),
            Body::Null => self.wrong_type(slot, "text", "give it a value, or remove the key"),
            Body::Flag(_) | Body::Whole(_) | Body::Fraction(_) => {
                self.wrong_type(slot, "text", "put it in quotes")
            }
            Body::List(_) | Body::Map(_) => self.wrong_type(slot, "text", "write a single text"),
        }
    }

    /// A text of one line: 1 to `max` characters, none of them a control character.
    pub(crate) fn line<'n>(&mut self, slot: &Slot<'n>, max: usize) -> Option<&'n str> {
        let text = self.any_text(slot)?;
        self.bounded(slot, text, max, |c| c.is_control())
    }

    /// A text that may have several lines: 1 to `max` characters.
    pub(crate) fn prose<'n>(&mut self, slot: &Slot<'n>, max: usize) -> Option<&'n str> {
        let text = self.any_text(slot)?;
        self.bounded(slot, text, max, |c| {
            c.is_control() && !matches!(c, '\n' | '\r' | '\t')
        })
    }

    fn bounded<'n>(
        &mut self,
        slot: &Slot<'_>,
        text: &'n str,
        max: usize,
        bad: fn(char) -> bool,
    ) -> Option<&'n str> {
        let length = text.chars().count();
        if text.trim().is_empty() {
            return self.refuse(
                slot,
                format!("{} is empty", slot.called()),
                "give it a value, or remove the key",
            );
        }
        if length > max {
            let message = format!("{} has {length} characters", slot.called());
            return self.refuse(slot, message, format!("at most {max}"));
        }
        if text.contains(bad) {
            let message = format!(
                "{} holds a line break or another control character",
                slot.called()
            );
            return self.refuse(slot, message, "remove it");
        }
        Some(text)
    }

    /// A [`Name`].
    pub(crate) fn name(&mut self, slot: &Slot<'_>) -> Option<Name> {
        let text = self.line(slot, 253)?;
        match Name::new(text) {
            Ok(name) => Some(name),
            Err(rule) => {
                let message = format!("{} is no name for {}", quote(text), slot.called());
                self.refuse(slot, message, rule.to_string())
            }
        }
    }

    /// A whole number within a range.
    pub(crate) fn whole(&mut self, slot: &Slot<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let help = format!("a whole number from {} to {}", range.start(), range.end());
        let Body::Whole(number) = slot.body() else {
            return self.wrong_type(slot, "a whole number", &help);
        };
        match u64::try_from(*number)
            .ok()
            .filter(|number| range.contains(number))
        {
            Some(number) => Some(number),
            None => self.refuse(slot, format!("{} is {number}", slot.called()), help),
        }
    }

    /// A number from 0 to 1.
    pub(crate) fn share(&mut self, slot: &Slot<'_>) -> Option<f64> {
        let number = match slot.body() {
            #[allow(clippy::cast_precision_loss)]
            Body::Whole(number) => *number as f64,
            Body::Fraction(number) => *number,
            _ => return self.wrong_type(slot, "a number", "a share from 0 to 1, such as 0.05"),
        };
        if (0.0..=1.0).contains(&number) {
            return Some(number);
        }
        self.refuse(
            slot,
            format!("{} is {number}", slot.called()),
            "a share from 0 to 1, such as 0.05",
        )
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, slot: &Slot<'_>) -> Option<bool> {
        match slot.body() {
            Body::Flag(flag) => Some(*flag),
            _ => self.wrong_type(slot, "true or false", "write `true` or `false`, without quotes"),
        }
    }

    /// One of a list of words.
    pub(crate) fn one_of<T: Copy>(&mut self, slot: &Slot<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.line(slot, 1_000)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let message = format!("{} is {}", slot.called(), quote(text));
        let allowed = alternatives(words.iter().map(|(word, _)| *word));
        let help = match nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean `{near}`? Allowed: {allowed}"),
            None => format!("allowed: {allowed}"),
        };
        self.refuse(slot, message, help)
    }

    /// The items of a list of `1..=max` items.
    pub(crate) fn list<'n>(&mut self, slot: &Slot<'n>, max: usize) -> Option<Vec<Slot<'n>>> {
        let Body::List(items) = slot.body() else {
            return self.wrong_type(
                slot,
                "a list",
                "write one item a line, each after `- `, or `[one, two]`",
            );
        };
        if items.is_empty() || items.len() > max {
            let message = format!("{} has {} items", slot.called(), items.len());
            return self.refuse(slot, message, format!("from 1 to {max}; remove the key for none"));
        }
        let item = |(index, node)| Slot {
            node,
            path: format!("{}[{index}]", slot.path),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Different names of database objects. Reports a repeated one.
    pub(crate) fn identifiers(&mut self, slot: &Slot<'_>, max: usize) -> Option<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        let before = self.count();
        for item in self.list(slot, max)? {
            let Some(name) = self.identifier(&item) else {
                continue;
            };
            if names.contains(&name) {
                let message = format!("{} stands twice in {}", quote(&name), slot.called());
                self.report(item.at(), ProblemCode::InvalidValue, message, "keep it once");
            }
            names.push(name);
        }
        (self.count() == before).then_some(names)
    }

    /// The name of a table or column, exactly as the database has it: no quotes, case as it is.
    pub(crate) fn identifier(&mut self, slot: &Slot<'_>) -> Option<String> {
        let text = self.any_text(slot)?;
        // PostgreSQL cuts names at 63 bytes without a word, so a longer one would name something else.
        if text.is_empty() || text.len() > 63 || text.contains('\0') {
            let message = format!("{} has {} bytes", slot.called(), text.len());
            return self.refuse(slot, message, "a name in PostgreSQL has 1 to 63 bytes");
        }
        Some(text.to_owned())
    }
}
