//! The engine's target port over a Graph list.
//!
//! The list is opened with the first thing that is asked of it: a run that finds nothing to do costs nothing.

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
use syncbridge_target_graph::{GraphClient, ListSettings, ListTarget, ReqwestTransport};
use tokio::sync::OnceCell;

/// A list that is opened when it is first needed.
pub(crate) struct TargetPort {
    client: GraphClient<ReqwestTransport>,
    place: TargetSpec,
    mapping: Mapping,
    settings: ListSettings,
    opened: OnceCell<ListTarget<ReqwestTransport>>,
    feed: graph::ListFeed<ReqwestTransport>,
}

impl TargetPort {
    pub(crate) fn new(
        client: GraphClient<ReqwestTransport>,
        place: TargetSpec,
        mapping: Mapping,
        settings: ListSettings,
    ) -> Self {
        Self {
            feed: graph::ListFeed::new(
                &client,
                &place.site,
                &place.list,
                &mapping,
                settings,
                &place.rules,
            ),
            client,
            place,
            mapping,
            settings,
            opened: OnceCell::new(),
        }
    }

    async fn list(&self) -> Result<&ListTarget<ReqwestTransport>, Failure> {
        let TargetSpec { site, list, rules } = &self.place;
        self.opened
            .get_or_try_init(|| {
                ListTarget::open(&self.client, site, list, &self.mapping, self.settings, rules)
            })
            .await
    }
}

impl Target for TargetPort {
    async fn write(&self, writes: Vec<TaggedWrite>, deadline: Monotonic) -> Vec<Receipt> {
        match self.list().await {
            Ok(list) => list.write(writes, deadline).await,
            // The list could not even be looked at: nothing was sent.
            Err(failure) => {
                let refused = || Receipt::Refused {
                    refusal: Refusal::Failed(failure.clone()),
                };
                writes.iter().map(|_| refused()).collect()
            }
        }
    }

    async fn lookup(&self, names: &[RowName], why: WhyTag) -> Vec<Lookup> {
        match self.list().await {
            Ok(list) => list.lookup(names, why).await,
            Err(failure) => names.iter().map(|_| Lookup::Unknown(failure.clone())).collect(),
        }
    }

    async fn read(&self, items: &[ItemId], why: WhyTag) -> Vec<ItemRead> {
        match self.list().await {
            Ok(list) => list.read(items, why).await,
            Err(failure) => items.iter().map(|_| ItemRead::Unknown(failure.clone())).collect(),
        }
    }

    async fn history(&self, items: &[ItemId], why: WhyTag) -> Vec<HistoryRead> {
        match self.list().await {
            Ok(list) => list.history(items, why).await,
            Err(failure) => items
                .iter()
                .map(|_| HistoryRead::Unknown(failure.clone()))
                .collect(),
        }
    }

    async fn page(&self, next: Option<&str>, why: WhyTag) -> PortResult<ItemPage> {
        self.list().await?.page(next, why).await
    }

    async fn dropped_columns(&self) -> PortResult<Vec<String>> {
        self.list().await?.dropped_columns().await
    }

    async fn whole(&self, items: &[ItemId], why: WhyTag) -> PortResult<Vec<Option<WholeItem>>> {
        let whole = self.list().await?.whole(items, why).await?;
        let one = |item: syncbridge_target_graph::WholeItem| WholeItem {
            version: item.version,
            attachments: item.attachments,
            values: item.values,
        };
        Ok(whole.into_iter().map(|item| item.map(one)).collect())
    }

    fn spending(&self) -> Spending {
        let mut spending = self.feed.spending();
        if let Some(list) = self.opened.get() {
            spending.merge(&list.spending());
        }
        spending
    }
}

impl ListFeed for TargetPort {
    async fn delta(&self, from: DeltaFrom<'_>) -> PortResult<DeltaAnswer> {
        self.feed.page(from).await
    }
}
