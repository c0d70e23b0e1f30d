//! The engine's target port over the real Graph client, whose requests travel through the simulated network.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::lock::Mutex as WaitingMutex;
use syncbridge_domain::clock::Monotonic;
use syncbridge_domain::delta::{DeltaAnswer, DeltaFrom};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::item_history::HistoryRead;
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::quota::{Spending, WhyTag};
use syncbridge_domain::receipt::{
    ItemId, ItemPage, ItemRead, Lookup, Receipt, Refusal, RowName, TaggedWrite,
};
use syncbridge_domain::run::TargetSpec;
use syncbridge_engine::ports::list_feed::ListFeed;
use syncbridge_engine::ports::{PortResult, Target, WholeItem};
use syncbridge_target_graph as graph;
use syncbridge_target_graph::{GraphClient, ListSettings, ListTarget};

use crate::moments::Place;
use crate::network::Wire;

/// A list that is opened when it is first needed.
pub struct SimTarget {
    client: GraphClient<Wire>,
    place: TargetSpec,
    mapping: Mapping,
    settings: ListSettings,
    opened: WaitingMutex<Option<Arc<ListTarget<Wire>>>>,
    spending: Mutex<Option<Arc<ListTarget<Wire>>>>,
    feed: graph::ListFeed<Wire>,
    at: Place,
}

impl SimTarget {
    /// The list at a place.
    #[must_use]
    pub fn new(
        client: GraphClient<Wire>,
        place: TargetSpec,
        mapping: Mapping,
        settings: ListSettings,
        at: Place,
    ) -> Self {
        let TargetSpec { site, list, rules } = &place;
        Self {
            feed: graph::ListFeed::new(&client, site, list, &mapping, settings, rules),
            client,
            place,
            mapping,
            settings,
            opened: WaitingMutex::new(None),
            spending: Mutex::new(None),
            at,
        }
    }

    async fn list(&self) -> Result<Arc<ListTarget<Wire>>, Failure> {
        let mut opened = self.opened.lock().await;
        if let Some(list) = opened.as_ref() {
            return Ok(list.clone());
        }
        let TargetSpec { site, list, rules } = &self.place;
        let found = ListTarget::open(&self.client, site, list, &self.mapping, self.settings, rules).await?;
        let found = Arc::new(found);
        *opened = Some(found.clone());
        *self.spending.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }
}

impl Target for SimTarget {
    async fn write(&self, writes: Vec<TaggedWrite>, deadline: Monotonic) -> Vec<Receipt> {
        self.at.is("target.write");
        match self.list().await {
            Ok(list) => list.write(writes, deadline).await,
            Err(failure) => {
                let refused = || Receipt::Refused {
                    refusal: Refusal::Failed(failure.clone()),
                };
                writes.iter().map(|_| refused()).collect()
            }
        }
    }

    async fn lookup(&self, names: &[RowName], why: WhyTag) -> Vec<Lookup> {
        self.at.is("target.lookup");
        match self.list().await {
            Ok(list) => list.lookup(names, why).await,
            Err(failure) => names.iter().map(|_| Lookup::Unknown(failure.clone())).collect(),
        }
    }

    async fn read(&self, items: &[ItemId], why: WhyTag) -> Vec<ItemRead> {
        self.at.is("target.read");
        match self.list().await {
            Ok(list) => list.read(items, why).await,
            Err(failure) => items.iter().map(|_| ItemRead::Unknown(failure.clone())).collect(),
        }
    }

    async fn history(&self, items: &[ItemId], why: WhyTag) -> Vec<HistoryRead> {
        self.at.is("target.history");
        match self.list().await {
            Ok(list) => list.history(items, why).await,
            Err(failure) => items
                .iter()
                .map(|_| HistoryRead::Unknown(failure.clone()))
                .collect(),
        }
    }

    async fn page(&self, next: Option<&str>, why: WhyTag) -> PortResult<ItemPage> {
        self.at.is("target.page");
        self.list().await?.page(next, why).await
    }

    async fn dropped_columns(&self) -> PortResult<Vec<String>> {
        self.at.is("target.dropped_columns");
        self.list().await?.dropped_columns().await
    }

    async fn whole(&self, items: &[ItemId], why: WhyTag) -> PortResult<Vec<Option<WholeItem>>> {
        self.at.is("target.whole");
        let whole = self.list().await?.whole(items, why).await?;
        let one = |item: syncbridge_target_graph::WholeItem| WholeItem {
            version: item.version,
            attachments: item.attachments,
            values: item.values,
        };
        Ok(whole.into_iter().map(|item| item.map(one)).collect())
    }

    fn spending(&self) -> Spending {
        let opened = self.spending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spending = self.feed.spending();
        if let Some(list) = opened.as_ref() {
            spending.merge(&list.spending());
        }
        spending
    }
}

impl ListFeed for SimTarget {
    async fn delta(&self, from: DeltaFrom<'_>) -> PortResult<DeltaAnswer> {
        self.at.is("target.delta");
        self.feed.page(from).await
    }
}
