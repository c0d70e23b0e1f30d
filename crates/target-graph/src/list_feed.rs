//! What a list says has changed: delta pages, followed link by link (contract §8).
//!
//! An idle cycle costs one empty page and nothing else, so a page is fetched before anything is known about the
//! list; its items are read by [`ListTarget::delta_page`] once the list is open.

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use syncbridge_domain::delta::{DeltaEntry, DeltaFrom, DeltaNext, DeltaPage};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::quota::{Ru, Spending, WhyTag};
use syncbridge_domain::receipt::ItemId;

use crate::classify::{Endpoint, request_id};
use crate::client::{GraphClient, parse};
use crate::codes;
use crate::item::{ItemAnswer, is_item_number};
use crate::list_target::{ListSettings, ListTarget};
use crate::request::{Call, segment, with_query};
use crate::transport::{HttpResponse, Transport};

const DELTA: &str = "/sites/{site}/lists/{list}/items/delta";

/// The feed of one list, of which nothing has to be known yet.
pub struct ListFeed<T> {
    client: GraphClient<T>,
    site: String,
    list: String,
    page_size: u32,
}

impl<T> std::fmt::Debug for ListFeed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListFeed")
    }
}

/// A page as it came.
#[derive(Debug)]
pub struct RawPage {
    answer: PageAnswer,
    request_id: Option<String>,
}

/// What asking for a page answered.
#[derive(Debug)]
pub enum RawAnswer {
    /// A page.
    Page(RawPage),
    /// The service keeps the place no longer.
    Expired,
    /// The service does not take the place for one of its own.
    Malformed(Failure),
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
    pub fn new(client: &GraphClient<T>, site: &str, list: &str, settings: ListSettings) -> Self {
        Self {
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
    pub async fn page(&self, from: DeltaFrom<'_>) -> Result<RawAnswer, Failure> {
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
            Ok(answer) => Ok(RawAnswer::Page(RawPage::of(&answer)?)),
            Err(error) if error.failure.code == codes::RESYNC => Ok(RawAnswer::Expired),
            Err(error) if error.failure.code == codes::TOKEN_MALFORMED => {
                Ok(RawAnswer::Malformed(error.failure))
            }
            Err(error) => Err(error.failure),
        }
    }
}

impl RawPage {
    fn of(answer: &HttpResponse) -> Result<Self, Failure> {
        Ok(Self {
            answer: parse(answer)?,
            request_id: request_id(answer),
        })
    }

    /// Whether it says nothing about any item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answer.value.is_empty()
    }

    fn next(&self) -> Option<DeltaNext> {
        match (&self.answer.next, &self.answer.token) {
            (Some(page), None) => Some(DeltaNext::Page(page.clone())),
            (None, Some(token)) => Some(DeltaNext::Token(token.clone())),
            // Neither or both: nobody could tell where to go on.
            _ => None,
        }
    }

    /// A page that says nothing about any item, for which the list need not be known.
    ///
    /// # Errors
    /// [`codes::ANSWER_UNREADABLE`] where it does not say where to go on, or does say something.
    pub fn empty(&self) -> Result<DeltaPage, Failure> {
        match self.next() {
            Some(next) if self.is_empty() => Ok(DeltaPage {
                entries: Vec::new(),
                next,
            }),
            _ => Err(self.unreadable()),
        }
    }

    fn unreadable(&self) -> Failure {
        Failure::new(
            syncbridge_domain::failure::Scope::List,
            codes::ANSWER_UNREADABLE,
            "a page of the list's changes is not what Graph's contract says",
            "check the connection's cloud, or a proxy in between; else report it with the request-id",
        )
        .request_id(self.request_id.clone())
    }
}

impl<T: Transport> ListTarget<T> {
    /// The items of a page, the sync key shown only where its column is not hidden. `columns_are_older`: this list was
    /// opened before the page was asked for, so that a column may have gone since; what an item leaves out is unseen then.
    ///
    /// # Errors
    /// [`codes::ANSWER_UNREADABLE`] for an entry that is no item by the contract.
    pub fn delta_page(&self, raw: &RawPage, columns_are_older: bool) -> Result<DeltaPage, Failure> {
        let next = raw.next().ok_or_else(|| raw.unreadable())?;
        let mut entries = Vec::with_capacity(raw.answer.value.len());
        for entry in &raw.answer.value {
            let entry = self.entry(entry, columns_are_older);
            entries.push(entry.ok_or_else(|| raw.unreadable())?);
        }
        Ok(DeltaPage { entries, next })
    }

    fn entry(&self, raw: &RawValue, columns_are_older: bool) -> Option<DeltaEntry> {
        let gone: Gone = serde_json::from_str(raw.get()).ok()?;
        if gone.deleted.is_some() || gone.removed.is_some() {
            let id = match gone.id? {
                Json::String(id) if is_item_number(&id) => id,
                Json::Number(id) => id.to_string(),
                _ => return None,
            };
            return Some(DeltaEntry::Deleted(ItemId(id)));
        }
        let mut item = serde_json::from_str::<ItemAnswer>(raw.get())
            .ok()?
            .item(&self.shape, false)?;
        item.complete &= !columns_are_older;
        Some(DeltaEntry::Changed(item))
    }
}

#[cfg(test)]
#[path = "list_feed_tests.rs"]
mod tests;
