//! `$filter` and `$orderby` over items: conditions joined by `and`, on indexed columns.

use crate::cell::{IndexKey, number_key, text_key};
use crate::facet::Kind;
use crate::list::{Item, List};
use crate::reply::GraphError;
use crate::typing::parse_time;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Above,
    AtLeast,
    Below,
    AtMost,
    StartsWith,
}

/// What a condition or an order looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    Modified,
    Created,
    Slot(u16),
}

/// One comparison; a missing key stands for null.
#[derive(Clone, Debug)]
struct Condition {
    field: Field,
    operator: Operator,
    key: Option<IndexKey>,
}

/// A parsed `$filter` and `$orderby`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    conditions: Vec<Condition>,
    order: Option<(Field, bool)>,
    /// A column used although it has no index.
    unindexed: Option<String>,
}

fn clause() -> GraphError {
    GraphError::new(400, "BadRequest", "Invalid filter clause")
}

/// Splits at a word outside quotes.
fn split_and(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        if byte == b'\'' {
            quoted = !quoted;
        }
        if !quoted && text.as_bytes()[at..].starts_with(b" and ") && at >= start {
            parts.push(text[start..at].trim());
            start = at + 5;
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// The inside of a quoted literal.
fn unquoted(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    let text = inner.replace("''", "\u{0}");
    (!text.contains('\'')).then(|| text.replace('\u{0}', "'"))
}

/// The column a path such as `fields/Title` means, its type and whether it has an index.
fn column(list: &List, path: &str) -> Result<(Field, Kind, bool, String), GraphError> {
    let name = path.trim().strip_prefix("fields/").ok_or_else(clause)?;
    if name == "id" || name == "ID" {
        return Ok((Field::Id, Kind::Bare, true, name.to_owned()));
    }
    let base = name.strip_suffix("LookupId").unwrap_or(name);
    let found = list.column(name).or_else(|| list.column(base));
    let found = found.ok_or_else(|| GraphError::invalid(format!("Field '{name}' is not recognized")))?;
    let field = match found.name.as_str() {
        "Modified" => Field::Modified,
        "Created" => Field::Created,
        _ if found.builtin && found.name != "Title" => return Err(clause()),
        _ => Field::Slot(found.slot),
    };
    Ok((field, found.kind.clone(), found.indexed, found.name.clone()))
}

fn key_of_literal(kind: &Kind, literal: &str) -> Result<Option<IndexKey>, GraphError> {
    if literal == "null" {
        return Ok(None);
    }
    let bare = unquoted(literal).unwrap_or_else(|| literal.to_owned());
    let key = match kind {
        Kind::Text(_) | Kind::Choice(_) => unquoted(literal).map(|text| text_key(&text)),
        Kind::Number(_) | Kind::Currency { .. } => bare.parse().ok().map(number_key),
        Kind::Boolean => match bare.as_str() {
            "true" | "1" => Some(IndexKey::Bool(true)),
            "false" | "0" => Some(IndexKey::Bool(false)),
            _ => None,
        },
        Kind::DateTime { .. } => {
            let time = parse_time(&bare).or_else(|| parse_time(&format!("{bare}T00:00:00")));
            time.map(|time| IndexKey::Date(time.timestamp()))
        }
        Kind::Lookup(_) | Kind::Person(_) | Kind::Bare => bare.parse().ok().map(IndexKey::Lookup),
        _ => None,
    };
    key.map(Some).ok_or_else(clause)
}

fn condition(list: &List, text: &str) -> Result<(Condition, bool, String), GraphError> {
    let (path, operator, literal) = match text.strip_prefix("startswith(").and_then(|t| t.strip_suffix(')')) {
        Some(inner) => {
            let (path, literal) = inner.split_once(',').ok_or_else(clause)?;
            (path, Operator::StartsWith, literal.trim())
        }
        None => {
            let mut words = text.splitn(3, ' ');
            let (path, word) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let operator = match word {
                "eq" => Operator::Equal,
                "ne" => Operator::NotEqual,
                "gt" => Operator::Above,
                "ge" => Operator::AtLeast,
                "lt" => Operator::Below,
                "le" => Operator::AtMost,
                _ => return Err(clause()),
            };
            (path, operator, words.next().unwrap_or_default().trim())
        }
    };
    let (field, kind, indexed, name) = column(list, path)?;
    let key = key_of_literal(&kind, literal)?;
    if operator == Operator::StartsWith && !matches!(key, Some(IndexKey::Text(_))) {
        return Err(clause());
    }
    Ok((Condition { field, operator, key }, indexed, name))
}

impl Field {
    /// What an item is compared by.
    pub(crate) fn key(&self, item: &Item) -> Option<IndexKey> {
        match self {
            Self::Id => Some(IndexKey::Lookup(item.id)),
            Self::Modified => Some(IndexKey::Date(item.modified)),
            Self::Created => Some(IndexKey::Date(item.created)),
            Self::Slot(slot) => item.cell(*slot)?.key(),
        }
    }
}

impl Condition {
    fn holds(&self, item: &Item) -> bool {
        let value = self.field.key(item);
        let (Some(value), Some(key)) = (&value, &self.key) else {
            return match self.operator {
                Operator::Equal => value.is_none() && self.key.is_none(),
                Operator::NotEqual => value.is_some() || self.key.is_some(),
                _ => false,
            };
        };
        match self.operator {
            Operator::Equal => value == key,
            Operator::NotEqual => value != key,
            Operator::Above => value > key,
            Operator::AtLeast => value >= key,
            Operator::Below => value < key,
            Operator::AtMost => value <= key,
            Operator::StartsWith => match (value, key) {
                (IndexKey::Text(value), IndexKey::Text(start)) => value.starts_with(&**start),
                _ => false,
            },
        }
    }
}

impl Selection {
    /// Parses both options against a list.
    pub(crate) fn parse(list: &List, filter: Option<&str>, order: Option<&str>) -> Result<Self, GraphError> {
        let mut selection = Self::default();
        for part in filter.map(split_and).unwrap_or_default() {
            let (condition, indexed, name) = condition(list, part)?;
            if !indexed {
                selection.unindexed.get_or_insert(name);
            }
            selection.conditions.push(condition);
        }
        if let Some(order) = order {
            let mut words = order.split_whitespace();
            let (path, direction) = (words.next().unwrap_or_default(), words.next());
            let descending = match direction {
                None | Some("asc") => false,
                Some("desc") => true,
                Some(_) => return Err(GraphError::new(400, "BadRequest", "Invalid orderby clause")),
            };
            let (field, _, indexed, name) = column(list, path)?;
            if !indexed {
                selection.unindexed.get_or_insert(name);
            }
            selection.order = Some((field, descending));
        }
        Ok(selection)
    }

    /// The first column without an index.
    pub(crate) fn unindexed(&self) -> Option<&str> {
        self.unindexed.as_deref()
    }

    pub(crate) const fn ordered(&self) -> bool {
        self.order.is_some()
    }

    pub(crate) const fn is_everything(&self) -> bool {
        self.conditions.is_empty() && self.order.is_none()
    }

    /// What the order compares, for the position in a paging token.
    pub(crate) fn order_key(&self, item: &Item) -> Option<IndexKey> {
        self.order.as_ref().and_then(|(field, _)| field.key(item))
    }

    /// Items that pass, in the order asked for (by id otherwise), behind a position of (order key, id).
    pub(crate) fn items<'a>(&self, list: &'a List, after: Option<(Option<IndexKey>, u32)>) -> Vec<&'a Item> {
        let passes = |item: &&Item| self.conditions.iter().all(|condition| condition.holds(item));
        let exact = self.conditions.iter().find_map(|condition| {
            let (Field::Slot(slot), Operator::Equal, Some(key)) =
                (&condition.field, condition.operator, &condition.key)
            else {
                return None;
            };
            Some((list.index(*slot)?, key))
        });
        let mut found: Vec<&Item> = match exact {
            Some((index, key)) => {
                let ids = index
                    .range((key.clone(), 0)..=(key.clone(), u32::MAX))
                    .map(|(_, id)| id);
                ids.filter_map(|id| list.items.get(id)).filter(passes).collect()
            }
            None => list.items.values().filter(passes).collect(),
        };
        let Some((field, descending)) = &self.order else {
            found.sort_unstable_by_key(|item| item.id);
            if let Some((_, id)) = after {
                found.retain(|item| item.id > id);
            }
            return found;
        };
        let mut keyed: Vec<((Option<IndexKey>, u32), &Item)> = found
            .into_iter()
            .map(|item| ((field.key(item), item.id), item))
            .collect();
        keyed.sort_unstable_by(|one, other| {
            let order = one.0.0.cmp(&other.0.0);
            if *descending { order.reverse() } else { order }.then(one.0.1.cmp(&other.0.1))
        });
        if let Some((key, id)) = after {
            keyed.retain(|((own, own_id), _)| {
                let order = if *descending { key.cmp(own) } else { own.cmp(&key) };
                order.then(own_id.cmp(&id)).is_gt()
            });
        }
        keyed.into_iter().map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{split_and, unquoted};

    #[test]
    fn conditions_are_split_outside_quotes_only() {
        assert_eq!(
            split_and("a eq 'x and y' and b eq 2"),
            ["a eq 'x and y'", "b eq 2"]
        );
        assert_eq!(split_and("a eq 'it''s' and b eq ''"), ["a eq 'it''s'", "b eq ''"]);
    }

    #[test]
    fn quotes_inside_a_literal_are_doubled() {
        assert_eq!(unquoted("'it''s'").as_deref(), Some("it's"));
        assert_eq!(unquoted("''").as_deref(), Some(""));
        assert_eq!(unquoted("'a'b'"), None);
        assert_eq!(unquoted("a"), None);
    }
}
