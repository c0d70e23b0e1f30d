//! What an item is recognised by in this list: the sync key's text, or the value of the key itself.

use serde_json::Value as Json;
use syncbridge_domain::canonical::Value;
use syncbridge_domain::convert::to_target;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::list_rules::ItemIdentity;
use syncbridge_domain::mapping::FieldMapping;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, Lookup, RowName};

use crate::codes;
use crate::list_target::ListTarget;
use crate::request::literal;
use crate::transport::Transport;

/// A row's name as the list's column holds it.
pub(crate) struct Named<'a> {
    /// As a filter spells it.
    pub(crate) literal: String,
    /// The mapped column and its value, where items are recognised by one.
    field: Option<(&'a FieldMapping, Value)>,
}

impl<T: Transport> ListTarget<T> {
    /// The name of a row's item in this list.
    ///
    /// # Errors
    /// A key that the column cannot hold.
    pub(crate) fn named(&self, name: &RowName) -> Result<Named<'_>, Failure> {
        let ItemIdentity::KeyField { column } = &self.rules.identity else {
            return Ok(Named {
                literal: literal(name.sync_key.as_str()),
                field: None,
            });
        };
        let field = self.mapping.fields.iter().find(|field| field.target == *column);
        let texts = name.key.texts().unwrap_or_default();
        let (Some(field), [text]) = (field, texts.as_slice()) else {
            return Err(no_name(column));
        };
        let value = to_target(field, self.mapping.time_zone, &Some((*text).into()));
        let value = value.map_err(|_| no_name(column))?;
        let literal = match value.to_json() {
            Json::String(text) => literal(&text),
            Json::Null => return Err(no_name(column)),
            other => other.to_string(),
        };
        Ok(Named {
            literal,
            field: Some((field, value)),
        })
    }

    /// Looks for items by reading the whole list, because it cannot be searched: two resource units a page for
    /// all names together.
    pub(crate) async fn search(&self, names: &[RowName], why: WhyTag) -> Vec<Lookup> {
        let wanted: Vec<Result<Named<'_>, Failure>> = names.iter().map(|name| self.named(name)).collect();
        let mut found: Vec<Vec<Item>> = names.iter().map(|_| Vec::new()).collect();
        let mut next: Option<String> = None;
        loop {
            let page = match self.page(next.as_deref(), why).await {
                Ok(page) => page,
                Err(failure) => return names.iter().map(|_| Lookup::Unknown(failure.clone())).collect(),
            };
            for item in page.items {
                let at = wanted
                    .iter()
                    .zip(names)
                    .position(|(named, name)| matches!(named, Ok(named) if named.is(name, &item)));
                if let Some(at) = at {
                    found[at].push(item);
                }
            }
            match page.next {
                Some(link) if next.as_ref() != Some(&link) => next = Some(link),
                _ => break,
            }
        }
        let answers = wanted.into_iter().zip(found);
        answers
            .map(|(named, mut items)| match (named, items.len()) {
                (Err(failure), _) => Lookup::Unknown(failure),
                (Ok(_), 0) => Lookup::Empty,
                (Ok(_), 1) => items.pop().map_or(Lookup::Empty, Lookup::One),
                (Ok(_), _) => Lookup::Many(items),
            })
            .collect()
    }
}

impl Named<'_> {
    fn is(&self, name: &RowName, item: &Item) -> bool {
        match &self.field {
            None => item
                .sync_key()
                .is_some_and(|key| key.eq_ignore_ascii_case(name.sync_key.as_str())),
            Some((field, value)) => item
                .value(&field.target)
                .and_then(|shown| Value::from_json(&field.facet, shown).ok())
                .is_some_and(|shown| shown.equivalent(value)),
        }
    }
}

fn no_name(column: &str) -> Failure {
    Failure::new(
        Scope::Row,
        codes::NO_IDENTITY,
        "the row's key has no place in the column by which items are recognised",
        "correct the key in the table, or recognise items by a text column of their own: `target.identityColumn`",
    )
    .column(column)
}
