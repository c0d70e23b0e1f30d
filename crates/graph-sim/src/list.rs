//! A list in memory: its columns, items, indexes and the order of its changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::cell::{Cell, IndexKey};
use crate::column::Column;
use crate::guid::Guid;
use crate::options::Behaviour;
use crate::recycle::Binned;
use crate::visibility::Approval;

/// Who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Actor {
    /// An application, by its number in the tenant.
    App(u16),
    /// A person, by the lookup id of the site.
    Person(u32),
}

/// An earlier state of an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OldVersion {
    pub(crate) label: u32,
    pub(crate) modified: i64,
    pub(crate) editor: Actor,
    pub(crate) cells: Vec<(u16, Cell)>,
}

/// An item of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: u32,
    pub(crate) guid: Guid,
    /// The number in its eTag: 1 when made, one more with each write.
    pub(crate) counter: u32,
    /// The major version; stays 1 where versions are off.
    pub(crate) label: u32,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) author: Actor,
    pub(crate) editor: Actor,
    /// Values by column slot, in slot order.
    pub(crate) cells: Vec<(u16, Cell)>,
    /// Earlier versions, oldest first.
    pub(crate) history: Vec<OldVersion>,
    /// The list's change number at the last write.
    pub(crate) change: u64,
    /// Matters only while the list asks for approval.
    pub(crate) approval: Approval,
    /// Permissions of its own keep the item from applications.
    pub(crate) restricted: bool,
    /// Whether files hang on it.
    pub(crate) attachments: bool,
}

impl Item {
    pub(crate) fn cell(&self, slot: u16) -> Option<&Cell> {
        find(&self.cells, slot)
    }
}

pub(crate) fn find(cells: &[(u16, Cell)], slot: u16) -> Option<&Cell> {
    cells
        .binary_search_by_key(&slot, |(key, _)| *key)
        .ok()
        .map(|at| &cells[at].1)
}

/// What a write sets: per slot a value, or nothing to clear it.
pub(crate) type Changes = Vec<(u16, Option<Cell>)>;

/// A value that another item already has in a unique column; holds the column's display name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate(pub(crate) String);

/// When and by whom a write is made, and under which behaviours.
#[derive(Clone, Copy)]
pub(crate) struct Writing<'a> {
    pub(crate) now: i64,
    pub(crate) actor: Actor,
    /// What is written needs no approval, because the writer could give it.
    pub(crate) may_approve: bool,
    pub(crate) behaviour: &'a Behaviour,
}

/// A list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) id: Guid,
    /// The site's number in the tenant.
    pub(crate) site: usize,
    /// The list's place in the order of creation.
    pub(crate) order: u64,
    /// The URL segment.
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) template: String,
    pub(crate) created: i64,
    /// Milliseconds, for the fault that keeps a new list invisible for a while.
    pub(crate) created_millis: i64,
    pub(crate) modified: i64,
    /// The number in the list's own eTag; columns and labels move it, items do not.
    pub(crate) counter: u32,
    pub(crate) author: Actor,
    pub(crate) editor: Option<Actor>,
    /// The root folder's id, parent of every item.
    pub(crate) folder: Guid,
    pub(crate) content_type: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) next_slot: u16,
    pub(crate) items: BTreeMap<u32, Item>,
    pub(crate) next_item: u32,
    /// The number of the last change.
    pub(crate) change: u64,
    /// Which item changed last at which number; one entry per item, deleted ones included.
    pub(crate) changes: BTreeMap<u64, u32>,
    /// What is written waits for a person's approval.
    pub(crate) moderated: bool,
    /// Deleted items that can be restored.
    pub(crate) bin: BTreeMap<u32, Binned>,
    /// Made anew from the items where a list is read from a file.
    #[serde(skip)]
    indexes: BTreeMap<u16, BTreeSet<(IndexKey, u32)>>,
}

impl List {
    pub(crate) fn new(
        id: Guid,
        site: usize,
        order: u64,
        name: String,
        display_name: String,
        now_millis: i64,
        author: Actor,
        folder: Guid,
    ) -> Self {
        let kind = format!("0x0100{:032X}", folder.bits() ^ id.bits());
        let now = now_millis.div_euclid(1_000);
        Self {
            id,
            site,
            order,
            name,
            display_name,
            description: String::new(),
            template: "genericList".to_owned(),
            created: now,
            created_millis: now_millis,
            modified: now,
            counter: 0,
            author,
            editor: None,
            folder,
            content_type: kind,
            columns: crate::builtin::columns(),
            next_slot: crate::builtin::FIRST_FREE_SLOT,
            items: BTreeMap::new(),
            next_item: 1,
            change: 0,
            changes: BTreeMap::new(),
            moderated: false,
            bin: BTreeMap::new(),
            indexes: BTreeMap::new(),
        }
    }

    /// The column of this internal name, letter case included.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column of this internal name or id.
    pub(crate) fn column_by_key(&self, key: &str) -> Option<usize> {
        let id = Guid::parse(key);
        self.columns
            .iter()
            .position(|column| column.name == key || Some(column.id) == id)
    }

    /// Makes the name unique as SharePoint does, by a number at its end.
    pub(crate) fn free_column_name(&self, wanted: &str) -> String {
        let taken = |name: &str| {
            self.columns
                .iter()
                .any(|column| column.name.eq_ignore_ascii_case(name))
        };
        if !taken(wanted) {
            return wanted.to_owned();
        }
        (0_u32..)
            .map(|number| format!("{wanted}{number}"))
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    pub(crate) fn index(&self, slot: u16) -> Option<&BTreeSet<(IndexKey, u32)>> {
        self.indexes.get(&slot)
    }

    /// Builds the index of a slot from the items.
    pub(crate) fn build_index(&mut self, slot: u16) {
        let entries = self.items.values();
        let index = entries
            .filter_map(|item| Some((item.cell(slot)?.key()?, item.id)))
            .collect();
        self.indexes.insert(slot, index);
    }

    /// Builds the index of every indexed column.
    pub(crate) fn build_indexes(&mut self) {
        let indexed = self.columns.iter().filter(|column| column.indexed);
        let slots: Vec<u16> = indexed.map(|column| column.slot).collect();
        for slot in slots {
            self.build_index(slot);
        }
    }

    pub(crate) fn drop_index(&mut self, slot: u16) {
        self.indexes.remove(&slot);
    }

    /// Whether two items hold one value in this slot, which must have an index.
    pub(crate) fn has_duplicates(&self, slot: u16) -> bool {
        self.index(slot).is_some_and(|index| {
            index
                .iter()
                .zip(index.iter().skip(1))
                .any(|((one, _), (other, _))| one == other)
        })
    }

    /// Removes a column's values everywhere (history included) together with its index.
    pub(crate) fn forget_slot(&mut self, slot: u16) {
        self.indexes.remove(&slot);
        let binned = self.bin.values_mut().map(|binned| &mut binned.item);
        for item in self.items.values_mut().chain(binned) {
            item.cells.retain(|(key, _)| *key != slot);
            for old in &mut item.history {
                old.cells.retain(|(key, _)| *key != slot);
            }
        }
    }

    pub(crate) fn check_unique(
        &self,
        own: Option<u32>,
        changes: &Changes,
        behaviour: &Behaviour,
    ) -> Result<(), Duplicate> {
        for (slot, cell) in changes {
            let Some(cell) = cell else { continue };
            let Some(column) = self
                .columns
                .iter()
                .find(|column| column.slot == *slot && column.unique)
            else {
                continue;
            };
            let (Some(index), Some(key)) = (self.index(*slot), cell.key()) else {
                continue;
            };
            let same = index.range((key.clone(), 0)..=(key, u32::MAX));
            let others = same.filter(|(_, id)| Some(*id) != own);
            let taken = others.into_iter().any(|(_, id)| {
                !behaviour.unique_case_sensitive
                    || self.items.get(id).and_then(|item| item.cell(*slot)) == Some(cell)
            });
            if taken {
                return Err(Duplicate(column.display_name.clone()));
            }
        }
        Ok(())
    }

    pub(crate) fn index_change(&mut self, id: u32, slot: u16, old: Option<&Cell>, new: Option<&Cell>) {
        let Some(index) = self.indexes.get_mut(&slot) else {
            return;
        };
        if let Some(key) = old.and_then(Cell::key) {
            index.remove(&(key, id));
        }
        if let Some(key) = new.and_then(Cell::key) {
            index.insert((key, id));
        }
    }

    /// Gives the item the list's next change number; `before` is the number it had.
    pub(crate) fn mark_change(&mut self, id: u32, before: Option<u64>) -> u64 {
        if let Some(before) = before {
            self.changes.remove(&before);
        }
        self.change += 1;
        self.changes.insert(self.change, id);
        self.change
    }

    /// Adds an item and answers its id.
    pub(crate) fn insert(
        &mut self,
        guid: Guid,
        changes: Changes,
        writing: Writing<'_>,
    ) -> Result<u32, Duplicate> {
        self.check_unique(None, &changes, writing.behaviour)?;
        let id = self.next_item;
        self.next_item += 1;
        let mut cells: Vec<(u16, Cell)> = changes
            .into_iter()
            .filter_map(|(slot, cell)| cell.map(|cell| (slot, cell)))
            .collect();
        cells.sort_unstable_by_key(|(slot, _)| *slot);
        cells.shrink_to_fit();
        for (slot, cell) in &cells {
            if let (Some(index), Some(key)) = (self.indexes.get_mut(slot), cell.key()) {
                index.insert((key, id));
            }
        }
        let change = self.mark_change(id, None);
        let item = Item {
            id,
            guid,
            counter: 1,
            label: 1,
            created: writing.now,
            modified: writing.now,
            author: writing.actor,
            editor: writing.actor,
            cells,
            history: Vec::new(),
            change,
            approval: self.approval_of_write(writing),
            restricted: false,
            attachments: false,
        };
        self.items.insert(id, item);
        Ok(id)
    }

    /// Changes an existing item; `false` where there is none.
    pub(crate) fn update(
        &mut self,
        id: u32,
        changes: Changes,
        writing: Writing<'_>,
    ) -> Result<bool, Duplicate> {
        self.check_unique(Some(id), &changes, writing.behaviour)?;
        let Some(mut item) = self.items.remove(&id) else {
            return Ok(false);
        };
        if writing.behaviour.versions_kept > 0 {
            let old = OldVersion {
                label: item.label,
                modified: item.modified,
                editor: item.editor,
                cells: item.cells.clone(),
            };
            item.history.push(old);
            if item.history.len() > writing.behaviour.versions_kept {
                item.history.remove(0);
            }
            item.label += 1;
        }
        for (slot, cell) in changes {
            self.index_change(id, slot, item.cell(slot), cell.as_ref());
            match (item.cells.binary_search_by_key(&slot, |(key, _)| *key), cell) {
                (Ok(at), Some(cell)) => item.cells[at].1 = cell,
                (Ok(at), None) => {
                    item.cells.remove(at);
                }
                (Err(at), Some(cell)) => item.cells.insert(at, (slot, cell)),
                (Err(_), None) => {}
            }
        }
        item.counter += 1;
        item.modified = writing.now;
        item.editor = writing.actor;
        item.approval = self.approval_of_write(writing);
        item.change = self.mark_change(id, Some(item.change));
        self.items.insert(id, item);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Actor, List, Writing};
    use crate::cell::{Cell, text_key};
    use crate::column::Column;
    use crate::guid::Guid;
    use crate::options::Behaviour;

    fn list() -> List {
        let (name, id) = ("L".to_owned(), Guid::from_bits(1));
        let mut list = List::new(id, 0, 0, name.clone(), name, 0, Actor::App(0), Guid::from_bits(2));
        let body = json!({"name": "Key", "text": {}, "indexed": true, "enforceUniqueValues": true});
        list.columns
            .push(Column::create(&body, Guid::from_bits(3), 100).unwrap());
        list.build_index(100);
        list
    }

    fn key(text: &str) -> Vec<(u16, Option<Cell>)> {
        vec![(100, Some(Cell::Text(text.into())))]
    }

    fn writing(behaviour: &Behaviour) -> Writing<'_> {
        Writing {
            now: 10,
            actor: Actor::App(0),
            may_approve: false,
            behaviour,
        }
    }

    #[test]
    fn unique_columns_refuse_a_value_that_differs_by_case_only() {
        let behaviour = Behaviour::default();
        let mut list = list();
        list.insert(Guid::from_bits(9), key("abc"), writing(&behaviour))
            .unwrap();
        assert_eq!(
            list.insert(Guid::from_bits(9), key("ABC"), writing(&behaviour))
                .unwrap_err()
                .0,
            "Key"
        );
        let own = list.update(1, key("ABC"), writing(&behaviour)).unwrap();
        assert!(own, "an item may keep its own value in another spelling");
        let sensitive = Behaviour {
            unique_case_sensitive: true,
            ..Behaviour::default()
        };
        assert!(
            list.insert(Guid::from_bits(9), key("abc"), writing(&sensitive))
                .is_ok()
        );
    }

    #[test]
    fn an_index_follows_every_change() {
        let behaviour = Behaviour::default();
        let mut list = list();
        list.insert(Guid::from_bits(9), key("a"), writing(&behaviour))
            .unwrap();
        list.update(1, key("b"), writing(&behaviour)).unwrap();
        let found: Vec<_> = list.index(100).unwrap().iter().cloned().collect();
        assert_eq!(found, [(text_key("b"), 1)]);
        list.update(1, vec![(100, None)], writing(&behaviour)).unwrap();
        assert!(list.index(100).unwrap().is_empty());
        list.update(1, key("c"), writing(&behaviour)).unwrap();
        assert!(list.recycle(1, 0, Actor::App(0)));
        assert!(list.index(100).unwrap().is_empty());
        assert!(!list.recycle(1, 0, Actor::App(0)));
    }

    #[test]
    fn every_write_raises_the_counter_and_leaves_one_change_per_item() {
        let behaviour = Behaviour {
            versions_kept: 1,
            ..Behaviour::default()
        };
        let mut list = list();
        list.insert(Guid::from_bits(9), key("a"), writing(&behaviour))
            .unwrap();
        list.insert(Guid::from_bits(8), key("b"), writing(&behaviour))
            .unwrap();
        list.update(1, Vec::new(), writing(&behaviour)).unwrap();
        list.update(1, Vec::new(), writing(&behaviour)).unwrap();
        let item = &list.items[&1];
        assert_eq!((item.counter, item.label, item.history.len()), (3, 3, 1));
        assert_eq!(list.changes.values().copied().collect::<Vec<_>>(), [2, 1]);
        list.recycle(2, 0, Actor::App(0));
        assert_eq!(list.changes.values().copied().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_taken_column_name_gets_a_number() {
        assert_eq!(list().free_column_name("Other"), "Other");
        assert_eq!(list().free_column_name("key"), "key0");
    }
}
