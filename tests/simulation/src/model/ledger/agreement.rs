//! What both sides agreed on: rows, their links to items, and agreement found without a write.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::DefinitionId;
use syncbridge_domain::ledger::{LedgerDigest, LedgerRow, LedgerState};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::receipt::ItemId;
use uuid::Uuid;

use super::denied::Denied;
use super::tables::{HistoryEntry, Outcome, StoredRow, Tables};

impl Tables {
    pub(super) fn row(&self, definition: DefinitionId, identity: Identity) -> Option<&LedgerRow> {
        let stored = self.definitions.get(&definition)?.rows.get(&identity)?;
        Some(&stored.row)
    }

    pub(super) fn digests(
        &self,
        definition: DefinitionId,
        after: Option<Identity>,
        until: Option<Identity>,
        limit: u32,
    ) -> Result<Vec<LedgerDigest>, Denied> {
        let rows = self.rows_behind(definition, after)?;
        rows.take_while(|row| until.is_none_or(|until| row.identity <= until))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|row| {
                let digest = row.agreed.first_chunk::<16>().ok_or(Denied::Refused)?;
                Ok(LedgerDigest {
                    identity: row.identity,
                    digest: RowDigest(*digest),
                    state: row.state,
                    layout: row.layout,
                })
            })
            .collect()
    }

    /// Ledger rows behind this identity, in order.
    pub(super) fn rows_behind(
        &self,
        definition: DefinitionId,
        after: Option<Identity>,
    ) -> Result<impl Iterator<Item = &LedgerRow>, Denied> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let rows = &self.definition(definition)?.rows;
        Ok(rows
            .range((from, std::ops::Bound::Unbounded))
            .map(|(_, stored)| &stored.row))
    }

    pub(super) fn live(&self, definition: DefinitionId) -> Result<impl Iterator<Item = &LedgerRow>, Denied> {
        let rows = self.rows_behind(definition, None)?;
        Ok(rows.filter(|row| row.state == LedgerState::Live))
    }

    pub(super) fn stale_rows(
        &self,
        definition: DefinitionId,
        layout: LayoutStamp,
        hash_key: u16,
    ) -> Result<u64, Denied> {
        let quarantine = &self.definition(definition)?.quarantine;
        let stale = self
            .live(definition)?
            .filter(|row| row.layout != layout || row.hash_key_id != hash_key)
            .filter(|row| !quarantine.contains_key(&row.identity));
        Ok(stale.count() as u64)
    }

    /// The row that bears this item; of a tombstone and a row, the row, and of several the newest.
    pub(super) fn row_of_item(
        &self,
        definition: DefinitionId,
        item: &ItemId,
    ) -> Result<Option<LedgerRow>, Denied> {
        let rows = self.definition(definition)?.rows.values();
        let best = rows
            .filter(|stored| stored.row.item == *item)
            .max_by_key(|stored| (stored.row.state != LedgerState::Tombstone, stored.updated));
        Ok(best.map(|stored| stored.row.clone()))
    }

    /// Compare-and-set on row versions. Answers which were taken.
    pub(super) fn adopt(
        &mut self,
        fence: Fence,
        rows: &[LedgerRow],
        clears_dirty: &[Option<u64>],
        now: DateTime<Utc>,
    ) -> Result<Vec<bool>, Denied> {
        let mut seen = BTreeSet::new();
        let taken: Vec<bool> = rows
            .iter()
            .map(|row| {
                // Of two rows of one identity only the first can rest on what is there.
                let first = seen.insert(row.identity);
                let version = self
                    .row(fence.definition, row.identity)
                    .map_or(0, |known| known.row_version);
                first && version == row.row_version
            })
            .collect();
        let mut adopted: Vec<(&LedgerRow, Option<u64>)> = rows
            .iter()
            .enumerate()
            .filter(|(at, _)| taken[*at])
            .map(|(at, row)| (row, clears_dirty.get(at).copied().flatten()))
            .collect();
        adopted.sort_by_key(|(row, _)| row.identity);
        let written: Vec<&LedgerRow> = adopted.iter().map(|(row, _)| *row).collect();
        self.check_links(fence.definition, &written)?;
        self.write_rows(fence.definition, &written, now)?;
        for (row, sequence) in adopted {
            if let Some(sequence) = sequence {
                self.remove_dirty(fence.definition, row.identity, sequence)?;
            }
            self.leave_quarantine(fence.definition, row.identity)?;
            self.history.push(HistoryEntry {
                at: now,
                definition: fence.definition,
                identity: row.identity,
                run: row.last_run,
                effect: None,
                outcome: Outcome::Adopted,
                counters: (None, Some(row.version.counter)),
                request_id: None,
            });
        }
        Ok(taken)
    }

    /// Whether the items of these rows may be theirs once everything these rows no longer hold is given up.
    pub(super) fn check_links(&self, definition: DefinitionId, rows: &[&LedgerRow]) -> Result<(), Denied> {
        let list = &self.definition(definition)?.list;
        let held: BTreeMap<Identity, Option<Uuid>> =
            rows.iter().map(|row| (row.identity, held(row))).collect();
        let mut guids = BTreeSet::new();
        for (identity, guid) in held
            .iter()
            .filter_map(|(identity, guid)| Some((*identity, (*guid)?)))
        {
            if !guids.insert(guid) {
                return Err(Denied::ItemOwned);
            }
            let owner = self.links.get(&(list.clone(), guid));
            let free = owner.is_none_or(|(theirs, owner)| {
                let gives_up = || held.get(owner).is_some_and(|kept| *kept != Some(guid));
                *theirs == definition && (*owner == identity || gives_up())
            });
            if !free {
                return Err(Denied::ItemOwned);
            }
        }
        Ok(())
    }

    /// Writes rows whose links were checked.
    pub(super) fn write_rows(
        &mut self,
        definition: DefinitionId,
        rows: &[&LedgerRow],
        now: DateTime<Utc>,
    ) -> Result<(), Denied> {
        let list = self.definition(definition)?.list.clone();
        let written: BTreeSet<Identity> = rows.iter().map(|row| row.identity).collect();
        let ours = |(theirs, identity): &(DefinitionId, Identity)| {
            *theirs == definition && written.contains(identity)
        };
        self.links
            .retain(|(in_list, _), owner| *in_list != list || !ours(owner));
        for row in rows {
            if let Some(guid) = held(row) {
                self.links
                    .insert((list.clone(), guid), (definition, row.identity));
            }
            let known = &mut self.definition_mut(definition)?.rows;
            let version = known
                .get(&row.identity)
                .map_or(0, |stored| stored.row.row_version);
            let row = LedgerRow {
                row_version: version + 1,
                ..(*row).clone()
            };
            known.insert(row.identity, StoredRow { row, updated: now });
        }
        Ok(())
    }

    /// Whose this item of the definition's list is.
    pub(super) fn owner(
        &self,
        definition: DefinitionId,
        item: Uuid,
    ) -> Result<Option<(DefinitionId, Identity)>, Denied> {
        let list = self.definition(definition)?.list.clone();
        Ok(self.links.get(&(list, item)).copied())
    }
}

/// The item a row holds; tombstones hold none.
fn held(row: &LedgerRow) -> Option<Uuid> {
    (row.state != LedgerState::Tombstone).then_some(row.version.guid)
}
