//! Items with everything that people can put on them, and columns that answers have stopped to show.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::mapping::SYNC_KEY_COLUMN;
use syncbridge_domain::quota::{Ru, WhyTag};
use syncbridge_domain::receipt::{Fields, ItemId};
use syncbridge_domain::system_field::SystemField;
use syncbridge_domain::version::Version;

use crate::classify::{Endpoint, Meaning};
use crate::client::{parse, unreadable};
use crate::column::ListColumn;
use crate::item::is_item_number;
use crate::list_target::{ListTarget, shown};
use crate::request::{Call, segment, with_query};
use crate::transport::{HttpResponse, Transport};

/// The built-in column that says whether files hang on an item.
const ATTACHMENTS: &str = "Attachments";

/// An item with everything on it that a person may have put there.
#[derive(Clone, PartialEq)]
pub struct WholeItem {
    /// How new it is.
    pub version: Version,
    /// Files hang on it, or the answer does not say that none do.
    pub attachments: bool,
    /// Values of all columns that people see and can write, but for the sync key.
    pub values: Fields,
}

impl std::fmt::Debug for WholeItem {
    // Values never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WholeItem({}, {} values)", self.version, self.values.len())
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "eTag")]
    etag: String,
    fields: BTreeMap<String, Json>,
}

/// Whether people can put a value there. Lookups and persons are answered under another name.
fn is_peoples(columns: &[ListColumn], name: &str) -> bool {
    let plain = name.strip_suffix("LookupId").unwrap_or(name);
    columns
        .iter()
        .any(|column| (column.name == name || column.name == plain) && !column.hidden && !column.read_only)
}

impl<T: Transport> ListTarget<T> {
    /// Mapped columns that are gone from the list, or were hidden, since it was opened: an answer that lacks them
    /// says nothing about what they hold.
    ///
    /// # Errors
    /// Whatever keeps the list from answering.
    pub async fn dropped_columns(&self) -> Result<Vec<String>, Failure> {
        let now = self.client.columns(&self.site, &self.list).await?;
        let shows = |name: &String| {
            // What the list itself knows of an item nobody can take away.
            SystemField::shown_under(name).is_some()
                || now.iter().any(|column| column.name == *name && !column.hidden)
        };
        Ok(self
            .shape
            .mapped
            .iter()
            .filter(|name| !shows(name))
            .cloned()
            .collect())
    }

    /// Reads items with all their columns. One answer an item, in order; `None`: it is not there any more.
    ///
    /// # Errors
    /// Whatever keeps the list from answering.
    pub async fn whole(&self, items: &[ItemId], why: WhyTag) -> Result<Vec<Option<WholeItem>>, Failure> {
        let columns = self.client.columns(&self.site, &self.list).await?;
        let numbers: Vec<&ItemId> = items.iter().filter(|item| is_item_number(&item.0)).collect();
        let calls = numbers.iter().map(|item| self.whole_call(item, why)).collect();
        let mut answers = self.read_parts(calls).await.into_iter();
        let mut whole = Vec::with_capacity(items.len());
        for item in items {
            let answer = match is_item_number(&item.0) {
                true => answers.next(),
                false => None,
            };
            whole.push(match answer {
                None => None,
                Some(Ok(answer)) => Some(read(&answer, &columns)?),
                Some(Err(error)) if error.meaning == Meaning::Gone => None,
                Some(Err(error)) => return Err(error.failure),
            });
        }
        Ok(whole)
    }

    fn whole_call(&self, item: &ItemId, why: WhyTag) -> Call {
        let path = format!("{}/{}", self.items_path(), segment(&item.0));
        let path = with_query(&path, &[("$expand", "fields")]);
        let template = format!("/sites/{{site}}/lists/{{list}}/items/{}", shown(item));
        Call::get(path, template, Endpoint::Item, why, Ru::SINGLE_READ)
    }
}

fn read(answer: &HttpResponse, columns: &[ListColumn]) -> Result<WholeItem, Failure> {
    let found: Answer = parse(answer)?;
    let version = Version::parse(&found.etag).map_err(|_| unreadable(answer))?;
    let attachments = found.fields.get(ATTACHMENTS) != Some(&Json::Bool(false));
    let values = found
        .fields
        .into_iter()
        .filter(|(name, _)| name != SYNC_KEY_COLUMN && name != ATTACHMENTS && is_peoples(columns, name))
        .collect();
    Ok(WholeItem {
        version,
        attachments,
        values,
    })
}
