//! What a rehearsed run remembers of both sides: everything is read where it is, and what is written is only
//! remembered, so that what follows from it shows too. Neither side gets a single write.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use syncbridge_domain::identity::Key;
use syncbridge_domain::item_subject::item_of;
use syncbridge_domain::quota::{Ru, Spending, WhyTag};
use syncbridge_domain::receipt::{Fields, Item, ItemId, Receipt, Refusal, TaggedWrite, Write, cost};
use syncbridge_domain::row::SourceRow;
use syncbridge_domain::version::Version;
use uuid::Uuid;

/// Items and rows that are remembered after they were "written": more than any one page brings, and a bound.
const REMEMBERED: usize = 5_000;
/// Items that are looked at only to show what they hold. Beyond it a plan rests on what was agreed on, as a run does.
const LOOKS: usize = 2_000;
/// The high half of guids that no list gives.
const INVENTED: u64 = 0x7265_6865_6172_7365;

/// What a rehearsal remembers.
pub(crate) struct Stage {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Items as the list would show them; `None` is deleted. Beside it, whether it was "written".
    items: Recent<ItemId, (Option<Item>, bool)>,
    /// Rows as the source would show them.
    rows: Recent<Key, Option<SourceRow>>,
    /// What items showed before they were "written".
    before: Recent<ItemId, Item>,
    spent: Spending,
    looks: usize,
    made: u64,
}

/// A map that forgets its oldest entries.
struct Recent<K, V> {
    of: BTreeMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Ord + Clone, V> Recent<K, V> {
    fn put(&mut self, key: K, value: V) {
        if self.of.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.of.remove(&oldest);
            }
        }
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            known: Mutex::new(Known::default()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an item showed before it was written, where anybody looked.
    pub(crate) fn before(&self, item: &ItemId) -> Option<Item> {
        self.known().before.of.get(item).cloned()
    }

    /// Whether this key stands for a row that the source is still to give one.
    pub(crate) fn is_invented(key: &Key) -> bool {
        item_of(key).is_some_and(|(guid, _)| guid.as_u64_pair().0 == INVENTED)
    }

    /// A name that no list gives.
    pub(crate) fn invented(&self) -> (Uuid, ItemId) {
        let mut known = self.known();
        known.made += 1;
        let number = known.made;
        (
            Uuid::from_u64_pair(INVENTED, number),
            ItemId(format!("planned-{number}")),
        )
    }

    /// Remembers an item as the list shows it.
    pub(crate) fn saw(&self, item: &Item) {
        let mut known = self.known();
        if !known.items.of.get(&item.id).is_some_and(|(_, written)| *written) {
            known.items.put(item.id.clone(), (Some(item.clone()), false));
        }
    }

    /// An item that was "written", as it would be shown.
    pub(crate) fn written(&self, item: &ItemId) -> Option<Option<Item>> {
        let known = self.known();
        let (shown, written) = known.items.of.get(item)?;
        written.then(|| shown.clone())
    }

    /// What is known of a row beside the table: `Some(None)` is "deleted".
    pub(crate) fn row(&self, key: &Key) -> Option<Option<SourceRow>> {
        self.known().rows.of.get(key).cloned()
    }

    /// Remembers a row as it would be; `None` is deleted.
    pub(crate) fn put_row(&self, key: Key, row: Option<SourceRow>) {
        self.known().rows.put(key, row);
    }

    /// Remembers that an item is not there.
    pub(crate) fn saw_none(&self, item: ItemId) {
        self.known().items.put(item, (None, false));
    }

    /// Of these items those that are still to be looked at, as far as looks are left.
    pub(crate) fn still_to_look_at<'i>(&self, items: impl Iterator<Item = &'i ItemId>) -> Vec<ItemId> {
        let mut known = self.known();
        let left = LOOKS.saturating_sub(known.looks);
        let unseen: Vec<ItemId> = items
            .filter(|item| !known.items.of.contains_key(item))
            .take(left)
            .cloned()
            .collect();
        known.looks += unseen.len();
        unseen
    }

    /// Books what a request would have cost.
    pub(crate) fn spend(&self, why: WhyTag, ru: Ru) {
        self.known().spent.add(why, ru);
    }

    /// What requests that were not made would have cost.
    pub(crate) fn spent(&self) -> Spending {
        self.known().spent.clone()
    }

    pub(crate) fn write(&self, write: TaggedWrite) -> Receipt {
        self.known().spent.add(write.why, cost(&write.write));
        match write.write {
            Write::Create { fields } => {
                let (guid, id) = self.invented();
                let item = Item {
                    id: id.clone(),
                    version: Version { guid, counter: 1 },
                    fields,
                    complete: true,
                    shows_key: true,
                    modified: None,
                    by_us: Some(true),
                };
                self.known().items.put(id, (Some(item.clone()), true));
                applied(Some(item))
            }
            Write::Patch {
                item,
                expected,
                fields,
            } => match self.meets(&item, expected) {
                Err(refusal) => Receipt::Refused { refusal },
                Ok(shown) => {
                    let after = patched(&item, expected, shown.as_ref(), fields);
                    let mut known = self.known();
                    if let Some(shown) = shown {
                        known.before.put(item.clone(), shown);
                    }
                    known.items.put(item, (Some(after.clone()), true));
                    applied(Some(after))
                }
            },
            Write::Delete { item, expected } => match self.meets(&item, expected) {
                Err(refusal) => Receipt::Refused { refusal },
                Ok(shown) => {
                    let mut known = self.known();
                    if let Some(shown) = shown {
                        known.before.put(item.clone(), shown);
                    }
                    known.items.put(item, (None, true));
                    applied(None)
                }
            },
        }
    }

    /// The item, if it is known, where it has the version that a write rests on.
    fn meets(&self, item: &ItemId, expected: Version) -> Result<Option<Item>, Refusal> {
        let known = self.known();
        match known.items.of.get(item) {
            None => Ok(None),
            Some((None, _)) => Err(Refusal::Gone),
            Some((Some(shown), _)) if shown.version != expected => Err(Refusal::Precondition),
            Some((Some(shown), _)) => Ok(Some(shown.clone())),
        }
    }
}

fn applied(item: Option<Item>) -> Receipt {
    Receipt::Applied {
        item,
        request_id: None,
    }
}

fn patched(id: &ItemId, expected: Version, shown: Option<&Item>, fields: Fields) -> Item {
    let version = Version {
        counter: expected.counter + 1,
        ..expected
    };
    match shown {
        Some(shown) => {
            let mut all = shown.fields.clone();
            all.extend(fields);
            Item {
                version,
                fields: all,
                by_us: Some(true),
                ..shown.clone()
            }
        }
        None => Item {
            id: id.clone(),
            version,
            fields,
            complete: false,
            shows_key: false,
            modified: None,
            by_us: Some(true),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use syncbridge_domain::identity::HashKey;
    use syncbridge_domain::item_subject::subject_of_item;

    use super::*;

    fn item(counter: u64) -> Item {
        Item {
            id: ItemId("7".into()),
            version: Version {
                guid: Uuid::from_u128(7),
                counter,
            },
            fields: Fields::from([
                ("Title".to_owned(), json!("old")),
                ("Note".to_owned(), json!("kept")),
            ]),
            complete: true,
            shows_key: true,
            modified: None,
            by_us: None,
        }
    }

    fn patch(counter: u64) -> TaggedWrite {
        TaggedWrite {
            write: Write::Patch {
                item: ItemId("7".into()),
                expected: item(counter).version,
                fields: Fields::from([("Title".to_owned(), json!("new"))]),
            },
            why: WhyTag::Change,
        }
    }

    fn delete(counter: u64) -> TaggedWrite {
        TaggedWrite {
            write: Write::Delete {
                item: ItemId("7".into()),
                expected: item(counter).version,
            },
            why: WhyTag::Change,
        }
    }

    #[test]
    fn a_write_meets_its_precondition_and_shows_afterwards_and_costs_what_it_costs() {
        let stage = Stage::new();
        stage.saw(&item(3));
        let refused = Receipt::Refused {
            refusal: Refusal::Precondition,
        };
        assert_eq!(stage.write(patch(2)), refused);
        let Receipt::Applied {
            item: Some(after), ..
        } = stage.write(patch(3))
        else {
            panic!("it is taken")
        };
        assert_eq!((after.version.counter, after.by_us), (4, Some(true)));
        assert_eq!(
            (&after.fields["Title"], &after.fields["Note"]),
            (&json!("new"), &json!("kept"))
        );
        assert_eq!(stage.before(&after.id).unwrap().fields["Title"], json!("old"));
        assert_eq!(stage.written(&after.id), Some(Some(after.clone())));
        // What is read of the list meanwhile does not undo it.
        stage.saw(&item(3));
        assert_eq!(stage.written(&after.id), Some(Some(after.clone())));
        assert_eq!(stage.write(delete(3)), refused);
        assert_eq!(stage.write(delete(4)), applied(None));
        let gone = Receipt::Refused {
            refusal: Refusal::Gone,
        };
        assert_eq!(stage.write(patch(4)), gone);
        assert_eq!(stage.known().spent.total(), Ru(10));
    }

    #[test]
    fn an_item_that_nobody_looked_at_is_taken_to_be_as_agreed() {
        let stage = Stage::new();
        let Receipt::Applied {
            item: Some(after), ..
        } = stage.write(patch(3))
        else {
            panic!("it is taken")
        };
        assert!(!after.complete && after.fields.len() == 1);
        assert_eq!(stage.before(&after.id), None);
    }

    #[test]
    fn new_items_have_names_that_no_list_gives_and_the_memory_of_a_stage_is_bounded() {
        let stage = Stage::new();
        let create = || TaggedWrite {
            write: Write::Create {
                fields: Fields::new(),
            },
            why: WhyTag::FirstWrite,
        };
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..REMEMBERED + 10 {
            let Receipt::Applied { item: Some(item), .. } = stage.write(create()) else {
                panic!("it is taken")
            };
            ids.insert((item.id, item.version.guid));
        }
        assert_eq!(ids.len(), REMEMBERED + 10);
        assert_eq!(stage.known().items.of.len(), REMEMBERED);
        let hash_key = HashKey::new(1, &[7; 32]);
        let (guid, id) = stage.invented();
        assert!(Stage::is_invented(
            &subject_of_item(&hash_key, "n", guid, &id).key
        ));
        let real = subject_of_item(&hash_key, "n", Uuid::from_u128(7), &ItemId("7".into()));
        assert!(!Stage::is_invented(&real.key));
    }
}
