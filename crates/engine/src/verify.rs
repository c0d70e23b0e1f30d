//! Compares both sides cell by cell and writes nothing.
//!
//! The list is read once, page by page (two resource units a page); rows are read by key as their items come.
//! What each side holds is spilled to buckets, so that rows without an item and items without a row are found
//! with bounded memory.

use std::collections::BTreeMap;

use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::identity::{Identity, Key, SyncKey};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::Item;
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::run::{Difference, Verification};

use crate::ports::{Ledger, PortResult, Progress, ScanRecord, Scratch, Source, Spill, Step, Target};
use crate::session::{Session, World};

/// How many differences are named one by one.
const EXAMPLES: usize = 100;

impl<W: World> Session<'_, W> {
    /// Reads both sides and says where they differ.
    pub(crate) async fn verify(&mut self) -> PortResult<Verification> {
        let rows = self.ports.source.estimate().await?;
        let mut report = Verification::default();
        let (mut sources, _) = self.spill_source().await?;
        report.rows = self.counters.read;
        self.ports.progress.step(Step::Verifying { rows });
        let mut items = self.ports.scratch.spill(rows)?;
        let mut next: Option<String> = None;
        loop {
            self.check()?;
            let page = self.ports.target.page(next.as_deref(), WhyTag::Verify).await?;
            let records = self.compare_page(page.items, &mut report).await?;
            items.push(records)?;
            self.counters.unchanged = report.equal;
            self.report();
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        // Both spills were opened for the same estimate, hence the same buckets.
        for bucket in 0..(1usize << sources.bucket_bits()) {
            let rows = sources.bucket(bucket)?;
            let there = items.bucket(bucket)?;
            self.compare_presence(rows, &there, &mut report).await?;
        }
        Ok(report)
    }

    /// Compares the items of a page with their rows; returns one record an item of ours.
    async fn compare_page(&self, items: Vec<Item>, report: &mut Verification) -> PortResult<Vec<ScanRecord>> {
        let mut ours: Vec<(Identity, Item)> = Vec::new();
        for item in items {
            match item.sync_key().and_then(SyncKey::parse) {
                Some(identity) => ours.push((identity, item)),
                None => report.foreign += 1,
            }
        }
        let ids: Vec<Identity> = ours.iter().map(|(identity, _)| *identity).collect();
        let known = self.ports.ledger.rows(&ids).await?;
        let mut keyed: Vec<(Identity, Item, LedgerRow)> = Vec::new();
        let mut records = Vec::new();
        for ((identity, item), row) in ours.into_iter().zip(known) {
            match row {
                Some(row) => keyed.push((identity, item, row)),
                None => {
                    report.items += 1;
                    report.orphans += 1;
                    example(report, "orphan", identity, Some(&item), Vec::new());
                }
            }
        }
        let keys: Vec<Key> = keyed.iter().map(|(_, _, row)| row.key.clone()).collect();
        let (rows, _) = self.ports.source.read_keys(&keys).await?;
        let mut unequal = Vec::new();
        for ((identity, item, row), source) in keyed.into_iter().zip(rows) {
            report.items += 1;
            records.push(ScanRecord {
                identity,
                digest: RowDigest::UNKNOWN,
                key: row.key,
            });
            let Presence::One(source) = source else { continue };
            let columns = self.unequal_columns(&source, &item);
            if columns.is_empty() {
                report.equal += 1;
            } else {
                report.differing += 1;
                unequal.push(identity);
                example(report, "differing", identity, Some(&item), columns);
            }
        }
        self.explain(&unequal, report).await?;
        Ok(records)
    }

    fn unequal_columns(&self, row: &SourceRow, item: &Item) -> Vec<String> {
        self.spec
            .mapping
            .fields
            .iter()
            .zip(&row.cells)
            .filter(|(field, _)| !field.passive)
            .filter(|(field, cell)| {
                !item
                    .value(&field.target)
                    .is_some_and(|shown| self.equivalent(field, cell, shown))
            })
            .map(|(field, _)| field.column.clone())
            .collect()
    }

    async fn compare_presence(
        &self,
        rows: Vec<ScanRecord>,
        items: &[ScanRecord],
        report: &mut Verification,
    ) -> PortResult<()> {
        let mut there: BTreeMap<Identity, u64> = BTreeMap::new();
        for item in items {
            *there.entry(item.identity).or_default() += 1;
        }
        let mut missing = Vec::new();
        for row in rows {
            match there.remove(&row.identity) {
                Some(1) => {}
                Some(several) => {
                    report.duplicates += several - 1;
                    example(report, "duplicate", row.identity, None, Vec::new());
                }
                None => {
                    report.missing += 1;
                    missing.push(row.identity);
                    example(report, "missing", row.identity, None, Vec::new());
                }
            }
        }
        self.explain(&missing, report).await?;
        // Items left standing by the delete policy have no row on purpose.
        let gone: Vec<Identity> = there.keys().copied().collect();
        let states = self.ports.ledger.rows(&gone).await?;
        for (identity, state) in gone.into_iter().zip(states) {
            if state.is_some_and(|row| row.state != LedgerState::Live) {
                report.kept += 1;
            } else {
                report.orphans += 1;
                example(report, "orphan", identity, None, Vec::new());
            }
        }
        Ok(())
    }

    /// Counts those that are in quarantine: their difference is known and shown elsewhere.
    async fn explain(&self, ids: &[Identity], report: &mut Verification) -> PortResult<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let entries = self.ports.ledger.quarantined(ids).await?;
        report.explained += entries.iter().flatten().count() as u64;
        Ok(())
    }
}

fn example(
    report: &mut Verification,
    kind: &str,
    identity: Identity,
    item: Option<&Item>,
    columns: Vec<String>,
) {
    if report.examples.len() < EXAMPLES {
        report.examples.push(Difference {
            kind: kind.to_owned(),
            identity: identity.to_string(),
            item: item.map(|item| item.id.to_string()),
            columns,
        });
    }
}
