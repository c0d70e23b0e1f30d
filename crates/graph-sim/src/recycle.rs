//! The recycle bin: deleted items of each list, deleted lists of the tenant, and what coming back from it means.

use serde::{Deserialize, Serialize};

use crate::guid::Guid;
use crate::list::{Actor, Changes, Duplicate, Item, List, Writing};
use crate::reply::GraphError;
use crate::tenant::Tenant;

/// A deleted item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Binned {
    pub(crate) item: Item,
    /// Unix seconds.
    pub(crate) deleted: i64,
    pub(crate) by: Actor,
    /// The list's change number of the deletion.
    pub(crate) change: u64,
}

/// A deleted list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BinnedList {
    pub(crate) list: List,
    /// Unix seconds.
    pub(crate) deleted: i64,
    pub(crate) by: Actor,
}

impl List {
    /// Deletes an item into the recycle bin; `false` where there is none. Its id stays in the changes as a
    /// deletion.
    pub(crate) fn recycle(&mut self, id: u32, now: i64, by: Actor) -> bool {
        let Some(item) = self.items.remove(&id) else {
            return false;
        };
        for (slot, cell) in &item.cells {
            self.index_change(id, *slot, Some(cell), None);
        }
        let change = self.mark_change(id, Some(item.change));
        let binned = Binned {
            item,
            deleted: now,
            by,
            change,
        };
        self.bin.insert(id, binned);
        true
    }

    /// Takes an item out of the recycle bin: same id, same guid, same values, the counter goes on. `false` where
    /// the bin does not hold it.
    pub(crate) fn restore(&mut self, id: u32, writing: Writing<'_>) -> Result<bool, Duplicate> {
        let Some(binned) = self.bin.get(&id) else {
            return Ok(false);
        };
        let cells = binned.item.cells.iter();
        let changes: Changes = cells.map(|(slot, cell)| (*slot, Some(cell.clone()))).collect();
        self.check_unique(None, &changes, writing.behaviour)?;
        let Some(Binned { mut item, change, .. }) = self.bin.remove(&id) else {
            return Ok(false);
        };
        for (slot, cell) in &item.cells {
            self.index_change(id, *slot, None, Some(cell));
        }
        item.counter += 1;
        item.change = self.mark_change(id, Some(change));
        self.items.insert(id, item);
        Ok(true)
    }

    /// Puts every item back by so many writes, as a list that comes back from a backup would have it: lower
    /// counters, and the values of then as far as versions were kept. All of them count as changed.
    fn turn_back(&mut self, writes: u32) {
        let mut order = Vec::with_capacity(self.items.len());
        for item in self.items.values_mut() {
            let back = writes.min(item.counter.saturating_sub(1));
            item.counter -= back;
            let kept = item.history.len().saturating_sub(back as usize);
            let mut undone = item.history.drain(kept..);
            if let Some(old) = undone.next() {
                item.cells = old.cells;
                item.label = old.label;
                item.modified = old.modified;
                item.editor = old.editor;
            }
            order.push((item.id, item.change));
        }
        for (id, before) in order {
            let change = self.mark_change(id, Some(before));
            if let Some(item) = self.items.get_mut(&id) {
                item.change = change;
            }
        }
        self.build_indexes();
    }
}

impl Tenant {
    /// Deletes a list into the recycle bin.
    pub(crate) fn recycle_list(&mut self, id: Guid, now: i64, by: Actor) {
        if let Some(list) = self.lists.remove(&id) {
            let binned = BinnedList {
                list,
                deleted: now,
                by,
            };
            self.binned_lists.insert(id, binned);
        }
    }

    /// Takes a list out of the recycle bin, items and id as they were, or so many writes earlier.
    pub(crate) fn restore_list(&mut self, id: Guid, writes_back: u32) -> Result<(), GraphError> {
        let binned = self
            .binned_lists
            .get(&id)
            .ok_or_else(|| GraphError::not_found("the recycle bin holds no such list"))?;
        self.check_display_name(binned.list.site, &binned.list.display_name, None)?;
        if let Some(mut binned) = self.binned_lists.remove(&id) {
            if writes_back > 0 {
                binned.list.turn_back(writes_back);
            }
            self.lists.insert(id, binned.list);
        }
        Ok(())
    }
}
