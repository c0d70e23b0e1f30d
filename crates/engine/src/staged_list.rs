//! The list as a rehearsed run sees it: read where it is, and never written.

use syncbridge_domain::clock::Monotonic;
use syncbridge_domain::delta::{DeltaAnswer, DeltaFrom, DeltaNext, DeltaPage};
use syncbridge_domain::item_history::HistoryRead;
use syncbridge_domain::quota::{Ru, Spending, WhyTag};
use syncbridge_domain::receipt::{
    Item, ItemId, ItemPage, ItemRead, Lookup, Receipt, RowName, TaggedWrite, Write,
};

use crate::ports::list_feed::ListFeed;
use crate::ports::{PortResult, Target, WholeItem};
use crate::stage::Stage;

/// The list, read and never written.
pub(crate) struct StagedList<'a, T> {
    pub(crate) list: &'a T,
    pub(crate) stage: &'a Stage,
    /// A plan is most wanted before there is a list.
    pub(crate) is_there: bool,
}

impl<T: Target> StagedList<'_, T> {
    /// Looks at items that are about to be "written" and that nobody saw yet: what they hold is shown, and what a
    /// write would meet is met.
    async fn look_at(&self, writes: &[TaggedWrite]) {
        let items = writes.iter().filter_map(|write| match &write.write {
            Write::Create { .. } => None,
            Write::Patch { item, .. } | Write::Delete { item, .. } => Some(item),
        });
        let unseen = self.stage.still_to_look_at(items);
        if unseen.is_empty() || !self.is_there {
            return;
        }
        let reads = self.list.read(&unseen, WhyTag::Verify).await;
        for (id, read) in unseen.into_iter().zip(reads) {
            match read {
                ItemRead::One(item) => self.stage.saw(&item),
                ItemRead::Gone => self.stage.saw_none(id),
                // What cannot be read now is presumed, as a run does before it writes.
                ItemRead::Unknown(_) => {}
            }
        }
    }
}

impl<T: Target> Target for StagedList<'_, T> {
    async fn write(&self, writes: Vec<TaggedWrite>, _deadline: Monotonic) -> Vec<Receipt> {
        self.look_at(&writes).await;
        writes.into_iter().map(|write| self.stage.write(write)).collect()
    }

    async fn lookup(&self, names: &[RowName], why: WhyTag) -> Vec<Lookup> {
        if !self.is_there {
            return names.iter().map(|_| Lookup::Empty).collect();
        }
        let found = self.list.lookup(names, why).await;
        for one in &found {
            if let Lookup::One(item) = one {
                self.stage.saw(item);
            }
        }
        found
    }

    async fn read(&self, items: &[ItemId], why: WhyTag) -> Vec<ItemRead> {
        let staged: Vec<Option<Option<Item>>> = items.iter().map(|item| self.stage.written(item)).collect();
        let ask = |(item, staged): (&ItemId, &Option<Option<Item>>)| staged.is_none().then(|| item.clone());
        let asked: Vec<ItemId> = items.iter().zip(&staged).filter_map(ask).collect();
        let mut answers = match asked.is_empty() || !self.is_there {
            true => Vec::new(),
            false => self.list.read(&asked, why).await,
        }
        .into_iter();
        let mut reads = Vec::with_capacity(items.len());
        for staged in staged {
            reads.push(match staged {
                Some(shown) => {
                    self.stage.spend(why, Ru::SINGLE_READ);
                    shown.map_or(ItemRead::Gone, ItemRead::One)
                }
                None => answers.next().unwrap_or(ItemRead::Gone),
            });
        }
        for read in &reads {
            if let ItemRead::One(item) = read {
                self.stage.saw(item);
            }
        }
        reads
    }

    async fn history(&self, items: &[ItemId], why: WhyTag) -> Vec<HistoryRead> {
        self.list.history(items, why).await
    }

    async fn page(&self, next: Option<&str>, why: WhyTag) -> PortResult<ItemPage> {
        if self.is_there {
            return self.list.page(next, why).await;
        }
        Ok(ItemPage {
            items: Vec::new(),
            next: None,
        })
    }

    async fn dropped_columns(&self) -> PortResult<Vec<String>> {
        match self.is_there {
            true => self.list.dropped_columns().await,
            false => Ok(Vec::new()),
        }
    }

    async fn whole(&self, items: &[ItemId], why: WhyTag) -> PortResult<Vec<Option<WholeItem>>> {
        self.list.whole(items, why).await
    }

    /// What the run would spend: looks made only to show something are left out, writes that were not made counted.
    fn spending(&self) -> Spending {
        let mut all = self.stage.spent();
        for (why, ru) in self.list.spending().iter() {
            if why != WhyTag::Verify {
                all.add(why, ru);
            }
        }
        all
    }
}

impl<T: ListFeed + Target> ListFeed for StagedList<'_, T> {
    async fn delta(&self, from: DeltaFrom<'_>) -> PortResult<DeltaAnswer> {
        if self.is_there {
            return self.list.delta(from).await;
        }
        Ok(DeltaAnswer::Page(DeltaPage {
            entries: Vec::new(),
            next: DeltaNext::Token("of no list yet".to_owned()),
        }))
    }
}
