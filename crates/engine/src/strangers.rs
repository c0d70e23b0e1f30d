//! Items that no ledger row owns: what people added in the list, and what looks like ours and is not known.
//!
//! Nothing here guesses. An item that bears a sync key of ours but no agreement may be one whose row was deleted:
//! making a row of it would revive that row, so it is reported. An item without one is a person's, and becomes a row
//! exactly once: its subject is the item itself until the row exists.

use std::collections::BTreeSet;

use syncbridge_domain::convert_back::key_of_item;
use syncbridge_domain::dirty::{DirtyMark, DirtyRow, TargetHint};
use syncbridge_domain::effect::Subject;
use syncbridge_domain::failure::{FIRST_INSERTS, Failure, Scope};
use syncbridge_domain::feed::Mark;
use syncbridge_domain::identity::{Identity, Key, SyncKey};
use syncbridge_domain::item_subject::{item_of, subject_of_item};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, ItemId, ItemRead};
use syncbridge_domain::row::Presence;

use crate::ports::pull_memory::PullMemory;
use crate::ports::{Ledger, PortResult, Source};
use crate::session::{Session, World};
use crate::work::{Heard, Held, Intent, Newcomer, Work};

/// What an item without a ledger row is.
enum Stranger {
    /// A person's, to become a row of this key, or of whatever key the source gives it.
    Person(Subject),
    /// One of ours by its sync key, and nothing is known of it.
    Orphan,
    /// A second item for a row that has one.
    Second(Subject, ItemId),
}

impl<W: World> Session<'_, W> {
    /// Takes over items that belong to no row.
    pub(crate) async fn take_strangers(&mut self, items: Vec<Item>) -> PortResult<()> {
        if !self.takes_inserts() || items.is_empty() {
            return Ok(());
        }
        let guids: Vec<_> = items.iter().map(|item| item.version.guid).collect();
        let elsewhere = self.ports.ledger.owned_elsewhere(&guids).await?;
        let mut shown = Vec::new();
        let mut to_look = Vec::new();
        for (item, elsewhere) in items.into_iter().zip(elsewhere) {
            match (elsewhere, item.shows_key && item.complete) {
                (true, _) => {}
                (false, true) => shown.push(item),
                (false, false) => to_look.push(item),
            }
        }
        self.look_at_strangers(to_look, &mut shown).await?;
        // The feed shows them: none of them need be dirty.
        self.apply_strangers(shown.into_iter().map(|item| (item, None)).collect())
            .await
    }

    /// Reads items whose sync key the feed does not show. One that cannot be read now is due again.
    async fn look_at_strangers(&mut self, items: Vec<Item>, shown: &mut Vec<Item>) -> PortResult<()> {
        let ids: Vec<ItemId> = items.iter().map(|item| item.id.clone()).collect();
        let reads = self.read_all(&ids, WhyTag::Probe).await;
        let mut marks = Vec::new();
        for (item, read) in items.iter().zip(reads) {
            match read {
                ItemRead::One(item) => shown.push(item),
                // Gone again: nobody waits for it.
                ItemRead::Gone => {}
                ItemRead::Unknown(failure) => {
                    self.notice(format!(
                        "items could not be looked at, they wait for the next run: {failure}"
                    ));
                    marks.push(self.mark_of_item(item));
                }
            }
        }
        self.ports.ledger.mark_dirty(self.fence(), &marks, None).await
    }

    fn mark_of_item(&self, item: &Item) -> DirtyMark {
        let subject = self.subject_of(item);
        DirtyMark {
            identity: subject.identity,
            key: subject.key,
            mark: Mark::default(),
            suspected_delete: false,
            target: TargetHint::Changed,
        }
    }

    pub(crate) fn subject_of(&self, item: &Item) -> Subject {
        subject_of_item(
            self.ports.hash_key,
            &self.spec.namespace,
            item.version.guid,
            &item.id,
        )
    }

    /// Items with their sync keys in sight, and the sequences of the dirty rows that stand for them.
    pub(crate) async fn apply_strangers(&mut self, items: Vec<(Item, Option<u64>)>) -> PortResult<()> {
        let mut waiting = items;
        while !waiting.is_empty() {
            waiting = self.apply_some_strangers(waiting).await?;
        }
        Ok(())
    }

    /// Answers the items that bear the key of another one among these: they are judged once that one is a row's.
    async fn apply_some_strangers(
        &mut self,
        items: Vec<(Item, Option<u64>)>,
    ) -> PortResult<Vec<(Item, Option<u64>)>> {
        let mut people: Vec<(Subject, Item, Option<u64>)> = Vec::new();
        let mut later = Vec::new();
        let mut taken = BTreeSet::new();
        let mut refused = Vec::new();
        let mut orphans = 0u64;
        for (item, dirty) in items {
            match self.judge_stranger(&item).await? {
                Stranger::Person(subject) if !taken.insert(subject.identity) => later.push((item, dirty)),
                Stranger::Person(subject) => people.push((subject, item, dirty)),
                Stranger::Orphan => orphans += 1,
                Stranger::Second(subject, other) => {
                    let failure = second(&item.id, &other);
                    refused.push((self.quarantine(&subject, None, failure), dirty));
                }
            }
        }
        if orphans > 0 {
            self.notice(format!(
                "{orphans} items bear a key of ours and belong to no row that is known: nothing was made of them; \
                 `syncbridge verify {}` lists them",
                self.spec.definition_name
            ));
        }
        if !refused.is_empty() {
            self.counters.quarantined += refused.len() as u64;
            self.ports
                .ledger
                .quarantine(self.fence(), self.spec.run, &refused)
                .await?;
        }
        self.apply_people(people).await?;
        Ok(later)
    }

    async fn judge_stranger(&self, item: &Item) -> PortResult<Stranger> {
        let mapping = &self.spec.mapping;
        let key = key_of_item(mapping, mapping.time_zone, &item.fields);
        if let Some(claimed) = item.sync_key().and_then(SyncKey::parse) {
            let owner = self.ports.ledger.rows(&[claimed]).await?.pop().flatten();
            if !owner.is_some_and(|row| is_another_items(&row, item)) {
                return Ok(Stranger::Orphan);
            }
            // A copy made in the grid bears the key of what it was copied from. It is a person's new item.
        }
        let Some(key) = key else {
            return Ok(Stranger::Person(self.subject_of(item)));
        };
        let subject = self.subject(key);
        match self.standing_row(subject.identity).await? {
            Some(row) if is_another_items(&row, item) => {
                Ok(Stranger::Second(self.subject_of(item), row.item))
            }
            _ => Ok(Stranger::Person(subject)),
        }
    }

    async fn standing_row(&self, identity: Identity) -> PortResult<Option<LedgerRow>> {
        let row = self.ports.ledger.rows(&[identity]).await?.pop().flatten();
        Ok(row.filter(|row| row.state == LedgerState::Live))
    }

    /// Dirty rows that stand for items without a row: looked at again, and judged as if the feed had just shown them.
    pub(crate) async fn drain_items(&mut self, rows: Vec<DirtyRow>) -> PortResult<()> {
        let ids: Vec<ItemId> = rows
            .iter()
            .filter_map(|row| item_of(&row.mark.key))
            .map(|(_, id)| id)
            .collect();
        let known = self.ports.ledger.rows_of_items(&ids).await?;
        let reads = self.read_all(&ids, WhyTag::Probe).await;
        let mut done = Vec::new();
        let mut strangers = Vec::new();
        let mut owned = Vec::new();
        for ((row, known), read) in rows.iter().zip(known).zip(reads) {
            match (read, known) {
                (ItemRead::Unknown(failure), _) => {
                    self.notice(format!(
                        "items could not be looked at, they wait for the next run: {failure}"
                    ));
                    self.counters.parked += 1;
                    continue;
                }
                (ItemRead::Gone, _) => {}
                (ItemRead::One(item), Some(base)) => owned.push((item, base)),
                // What is refused again takes its dirty row along into quarantine; clearing that row afterwards would
                // take the item for one that needs nothing.
                (ItemRead::One(item), None) => {
                    let taken = !syncbridge_domain::sabotaged!("standing quarantine lost");
                    strangers.push((item, taken.then_some(row.sequence)));
                }
            }
            done.push((row.mark.identity, row.sequence));
        }
        self.apply_edits(owned).await?;
        self.apply_strangers(strangers).await?;
        self.ports.ledger.clear_dirty(self.fence(), &done).await
    }

    async fn apply_people(&mut self, people: Vec<(Subject, Item, Option<u64>)>) -> PortResult<()> {
        let pages: Vec<Vec<(Subject, Item, Option<u64>)>> = people
            .chunks(self.spec.limits.page_rows.max(1) as usize)
            .map(<[_]>::to_vec)
            .collect();
        for page in pages {
            let keyed: Vec<Key> = page
                .iter()
                .filter(|(subject, ..)| item_of(&subject.key).is_none())
                .map(|(subject, ..)| subject.key.clone())
                .collect();
            let (rows, mark) = self.ports.source.read_keys(&keyed).await?;
            let ids: Vec<Identity> = page.iter().map(|(subject, ..)| subject.identity).collect();
            let bases = self.ports.ledger.rows(&ids).await?;
            let awaiting = self.awaiting_approval(&page).await?;
            let mut rows = rows.into_iter();
            let known = bases.into_iter().zip(awaiting);
            let works =
                page.into_iter()
                    .zip(known)
                    .map(|((subject, item, dirty), (base, awaits_approval))| {
                        let without_row = item_of(&subject.key).is_some();
                        let source = match without_row {
                            // The source is to choose the key: no row can be there.
                            true => Presence::None,
                            false => rows.next().unwrap_or(Presence::Unseen),
                        };
                        Work {
                            subject,
                            source,
                            mark,
                            base,
                            target: Presence::One(item),
                            // The dirty row stands for the item; a row that has a key of its own is another subject.
                            dirty: dirty.filter(|_| without_row),
                            why: WhyTag::Change,
                            heard: Heard::changed(),
                            search: None,
                            resolutions: Vec::new(),
                            turns: Vec::new(),
                            newcomer: Some(Newcomer {
                                dirty,
                                awaits_approval,
                            }),
                            held: Held::No,
                            rounds: 0,
                        }
                    });
            let works: Vec<Work> = works.collect();
            self.apply(works).await?;
        }
        Ok(())
    }
}

impl<W: World> Session<'_, W> {
    /// A new item that bears the key of a row whose item was left standing when the row went.
    pub(crate) fn second_beside_left(&self, work: &Work) -> Option<Intent> {
        let (base, item) = (work.base.as_ref()?, work.target.one()?);
        let left = matches!(base.state, LedgerState::Kept | LedgerState::Archived);
        let is_second = work.newcomer.is_some() && left && is_another_items(base, item);
        is_second.then(|| self.refuse(work, second(&item.id, &base.item)))
    }

    /// Which of these items were refused because they stood in the list before the definition did.
    async fn awaiting_approval(&self, page: &[(Subject, Item, Option<u64>)]) -> PortResult<Vec<bool>> {
        let items: Vec<Identity> = page
            .iter()
            .map(|(_, item, _)| self.subject_of(item).identity)
            .collect();
        let held = self.ports.ledger.quarantined(&items).await?;
        let awaits = held
            .into_iter()
            .map(|held| held.is_some_and(|held| held.entry.failure.code == FIRST_INSERTS));
        Ok(awaits.collect())
    }
}

fn is_another_items(row: &LedgerRow, item: &Item) -> bool {
    row.version.guid != item.version.guid
}

fn second(item: &ItemId, other: &ItemId) -> Failure {
    Failure::new(
        Scope::Row,
        "item.second_of_row",
        format!("item {item} bears the key of a row whose item is {other}"),
        "give it another key in the list, or delete one of the two items",
    )
}
