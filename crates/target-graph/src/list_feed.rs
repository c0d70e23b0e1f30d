//! What a list says has changed: delta pages, followed link by link (contract §8).
//!
//! An idle cycle costs one page and nothing else, so nothing about the list is asked beside it. The price: what an item
//! leaves out may be empty, or a column that was hidden or deleted, and is unseen. Whoever has to know looks at the item.

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use syncbridge_domain::delta::{DeltaAnswer, DeltaEntry, DeltaFrom, DeltaNext, DeltaPage};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::list_rules::ListRules;
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::quota::{Ru, Spending, WhyTag};
use syncbridge_domain::receipt::ItemId;

use crate::classify::Endpoint;
use crate::client::{GraphClient, parse, unreadable};
use crate::codes;
use crate::item::{ItemAnswer, Shape, is_item_number};
use crate::list_target::ListSettings;
use crate::request::{Call, segment, with_query};
use crate::transport::{HttpResponse, Transport};

const DELTA: &str = "/sites/{site}/lists/{list}/items/delta";

/// The feed of one list, of which nothing has to be known yet.
pub struct ListFeed<T> {
    client: GraphClient<T>,
    site: String,
    list: String,
    page_size: u32,
    shape: Shape,
}

impl<T> std::fmt::Debug for ListFeed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListFeed")
    }
}

#[derive(Debug, Deserialize)]
struct PageAnswer {
    value: Vec<Box<RawValue>>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    token: Option<String>,
}

/// How an entry says that its item is gone. Items carry the facet; `@removed` is how other resources spell it.
#[derive(Deserialize)]
struct Gone {
    id: Option<Json>,
    deleted: Option<Json>,
    #[serde(rename = "@removed")]
    removed: Option<Json>,
}

impl<T: Transport> ListFeed<T> {
    /// The feed of a list; nothing is asked yet.
    #[must_use]
    pub fn new(
        client: &GraphClient<T>,
        site: &str,
        list: &str,
        mapping: &Mapping,
        settings: ListSettings,
        rules: &ListRules,
    ) -> Self {
        Self {
            shape: Shape::new(mapping, &[], rules),
            client: client.in_lane(settings.lane).about(site, list),
            site: site.to_owned(),
            list: list.to_owned(),
            page_size: settings.page_size,
        }
    }

    /// What was spent on the feed.
    #[must_use]
    pub fn spending(&self) -> Spending {
        self.client.spending()
    }

    /// One page of changes.
    ///
    /// # Errors
    /// [`codes::FOREIGN_LINK`] for a link that leads elsewhere; else what keeps the list from answering.
    pub async fn page(&self, from: DeltaFrom<'_>) -> Result<DeltaAnswer, Failure> {
        let path = format!(
            "/sites/{}/lists/{}/items/delta",
            segment(&self.site),
            segment(&self.list)
        );
        let top = self.page_size.clamp(1, 5_000).to_string();
        let path = with_query(&path, &[("$expand", "fields"), ("$top", &top)]);
        let call = |ru| Call::get(path, DELTA, Endpoint::Items, WhyTag::Delta, ru).page();
        let call = match from {
            DeltaFrom::Beginning => call(Ru::MULTI_READ),
            DeltaFrom::Link(link) => call(Ru::SINGLE_READ).link(link),
        };
        match self.client.core.read(call, &self.client.caller).await {
            Ok(answer) => Ok(DeltaAnswer::Page(self.read(&answer)?)),
            Err(error) if error.failure.code == codes::RESYNC => Ok(DeltaAnswer::Expired),
            Err(error) if error.failure.code == codes::TOKEN_MALFORMED => {
                Ok(DeltaAnswer::Malformed(error.failure))
            }
            Err(error) => Err(error.failure),
        }
    }

    fn read(&self, answer: &HttpResponse) -> Result<DeltaPage, Failure> {
        let page: PageAnswer = parse(answer)?;
        let next = match (page.next, page.token) {
            (Some(page), None) => DeltaNext::Page(page),
            (None, Some(token)) => DeltaNext::Token(token),
            // Neither or both: nobody could tell where to go on.
            _ => return Err(unreadable(answer)),
        };
        let mut entries = Vec::with_capacity(page.value.len());
        for raw in &page.value {
            entries.push(self.entry(raw).ok_or_else(|| unreadable(answer))?);
        }
        Ok(DeltaPage { entries, next })
    }

    fn entry(&self, raw: &RawValue) -> Option<DeltaEntry> {
        let gone: Gone = serde_json::from_str(raw.get()).ok()?;
        if gone.deleted.is_some() || gone.removed.is_some() {
            let id = match gone.id? {
                Json::String(id) if is_item_number(&id) => id,
                Json::Number(id) => id.to_string(),
                _ => return None,
            };
            return Some(DeltaEntry::Deleted(ItemId(id)));
        }
        let item: ItemAnswer = serde_json::from_str(raw.get()).ok()?;
        let mut item = item.item(&self.shape, false)?;
        item.complete = false;
        Some(DeltaEntry::Changed(item))
    }
}

#[cfg(test)]
#[path = "list_feed_tests.rs"]
mod tests;
