//! Repair: a verification whose differences are written, and nothing else.
//!
//! Each row that was found different is read again on both sides and decided anew, so what is written rests on
//! what is there now: edited cells are patched, deleted items made again, surplus copies deleted. The writer
//! lease is held throughout, because every write of ledger and effects is fenced by it.
//!
//! Left alone and told: items without a row, items the ledger links otherwise, edits that the definition keeps,
//! copies that carry something of a person's.

use std::collections::BTreeSet;

use syncbridge_domain::agreed::Agreed;
use syncbridge_domain::effect::{Admission, EffectKind, ItemLink, Subject};
use syncbridge_domain::feed::Mark;
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::policy::OnForeignRestore;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Fields, Item, ItemId, Lookup, RowName, Write};
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::run::Verification;

use crate::ports::{Ledger, PortResult, Progress, ScanRecord, Source, Spill, Step, Target, WholeItem};
use crate::session::{Session, World};
use crate::verify::SURPLUS;
use crate::work::{Attempt, Heard, Held, Intent, Work};

/// Rows whose copies are looked at in one go.
const COPIES: usize = 100;

impl<W: World> Session<'_, W> {
    /// Compares both sides and writes the items that differ. Answers what the comparison found.
    pub(crate) async fn repair(&mut self) -> PortResult<Verification> {
        self.remember_layout().await?;
        self.recover().await?;
        let (report, todo) = self.verify(true).await?;
        let Some(mut todo) = todo else { return Ok(report) };
        let live = self.ports.ledger.live_rows().await?;
        let allowed = self.delete_allowance(live).await?;
        let restored = match self.spec.policies.on_foreign_restore {
            OnForeignRestore::Delete => self.restored,
            OnForeignRestore::Report | OnForeignRestore::Keep => 0,
        };
        let to_delete = report.duplicates + restored;
        self.allowance = Some(allowed);
        self.deletes_left = if to_delete <= allowed { allowed } else { 0 };
        self.watch_sentinels().await?;
        if restored > 0 && !self.may_destroy() {
            self.tell_too_many();
        }
        let mut deleted_again = 0;
        let rows = report.missing + report.differing + report.duplicates + self.restored;
        self.ports.progress.step(Step::Repairing { rows });
        for bucket in 0..(1usize << todo.bucket_bits()) {
            let records = todo.bucket(bucket)?;
            let copied: BTreeSet<Identity> = records
                .iter()
                .filter(|record| record.digest == SURPLUS)
                .map(|record| record.identity)
                .collect();
            let mut rows = records;
            rows.dedup_by_key(|record| record.identity);
            for chunk in rows.chunks(self.spec.limits.page_rows.max(1) as usize) {
                self.check()?;
                let works = self.read_again(chunk).await?;
                let (with_copies, single): (Vec<Work>, Vec<Work>) = works
                    .into_iter()
                    .partition(|work| copied.contains(&work.identity()));
                let mut works = single;
                for some in with_copies.chunks(COPIES) {
                    works.extend(self.remove_copies(some.to_vec()).await?);
                }
                let restored: Vec<Identity> = works
                    .iter()
                    .filter(|work| is_restored(work))
                    .map(Work::identity)
                    .collect();
                self.apply(works).await?;
                deleted_again += self.deleted_again(&restored).await?;
            }
        }
        self.disarm().await?;
        let orphans = report.orphans.saturating_sub(deleted_again);
        self.unrepaired += orphans + report.wrong_list + report.unreadable;
        self.refused_rows = self.ports.ledger.quarantine_size().await?;
        Ok(report)
    }

    /// How many of these items, which a person had brought back, this run deleted again.
    async fn deleted_again(&self, restored: &[Identity]) -> PortResult<u64> {
        if restored.is_empty() {
            return Ok(0);
        }
        let rows = self.ports.ledger.rows(restored).await?;
        let ours = |row: &&LedgerRow| row.state == LedgerState::Tombstone && row.last_run == self.spec.run;
        Ok(rows.iter().flatten().filter(ours).count() as u64)
    }

    /// Says why items that are to be deleted stay.
    fn tell_too_many(&mut self) {
        let why = self.distrust.clone().or_else(|| self.frozen());
        self.notice(match why {
            Some(held) => format!("items that are to be deleted stay: {held}"),
            None => format!(
                "more items are to be deleted than the guard lets pass; if they are meant to go, run \
                 `syncbridge verify {} --repair --allow-deletes N`",
                self.spec.definition_name
            ),
        });
    }

    /// Rows as they are now; those that are refused for what they hold wait in quarantine for another value.
    async fn read_again(&self, records: &[ScanRecord]) -> PortResult<Vec<Work>> {
        let ids: Vec<Identity> = records.iter().map(|record| record.identity).collect();
        let keys: Vec<Key> = records.iter().map(|record| record.key.clone()).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let refused = self.ports.ledger.quarantined(&ids).await?;
        let (sources, mark) = self.ports.source.read_keys(&keys).await?;
        let mut works = Vec::with_capacity(records.len());
        for (((record, base), refused), source) in records.iter().zip(bases).zip(refused).zip(sources) {
            let still_refused = match (&refused, &source) {
                (Some(refused), Presence::One(row)) => refused.entry.digest == self.digest(&row.cells),
                _ => false,
            };
            if !still_refused {
                works.push(again(record, base, source, mark));
            }
        }
        Ok(works)
    }

    /// Deletes the items beyond the one that the ledger links to the row. Answers the rows to go on with.
    async fn remove_copies(&mut self, works: Vec<Work>) -> PortResult<Vec<Work>> {
        let names: Vec<RowName> = works.iter().map(|work| work.subject.name()).collect();
        let found = self.lookup_all(&names, WhyTag::Probe).await;
        let mut out = Vec::with_capacity(works.len());
        for (work, found) in works.into_iter().zip(found) {
            let items = match found {
                Lookup::Many(items) => items,
                // Somebody was faster.
                Lookup::One(_) | Lookup::Empty => {
                    out.push(work);
                    continue;
                }
                Lookup::Unknown(failure) => {
                    self.notice(format!("copies of an item could not be looked at: {failure}"));
                    self.unrepaired += 1;
                    out.push(work);
                    continue;
                }
            };
            let owned = items.iter().position(|item| {
                work.base
                    .as_ref()
                    .is_some_and(|base| base.version.guid == item.version.guid)
            });
            let owned = if syncbridge_domain::sabotaged!("copied row treated as the original") {
                items.len().checked_sub(1)
            } else {
                owned
            };
            let Some(owned) = owned else {
                // Nobody can tell which of them is the row's: that goes the way of every such row.
                out.push(Work {
                    target: Presence::Many(items),
                    ..work
                });
                continue;
            };
            self.remove_copies_of(&work, owned, items).await?;
            out.push(work);
        }
        Ok(out)
    }

    async fn remove_copies_of(&mut self, work: &Work, owned: usize, items: Vec<Item>) -> PortResult<()> {
        let numbers: Vec<ItemId> = items.iter().map(|item| item.id.clone()).collect();
        let whole = self.ports.target.whole(&numbers, WhyTag::Probe).await?;
        let Some(Some(kept)) = whole.get(owned) else {
            self.unrepaired += 1;
            return Ok(());
        };
        for (at, (item, whole)) in items.iter().zip(&whole).enumerate() {
            let Some(copy) = whole.as_ref().filter(|_| at != owned) else {
                continue;
            };
            if let Some(what) = self.would_be_lost(work, kept, copy) {
                self.unrepaired += 1;
                self.notice(format!(
                    "item {} is a copy of item {} and was not deleted, because {what}; look at it and delete it, \
                     or clear its sync key",
                    item.id, items[owned].id
                ));
                continue;
            }
            if !self.may_destroy() {
                self.unrepaired += 1;
                self.tell_too_many();
                continue;
            }
            self.delete_copy(work, item, copy).await?;
        }
        Ok(())
    }

    /// What a person would lose with a copy; `None`: it holds nothing that the kept item or the row does not.
    fn would_be_lost(&self, work: &Work, kept: &WholeItem, copy: &WholeItem) -> Option<String> {
        if copy.attachments {
            return Some("files hang on it".to_owned());
        }
        let cells = work
            .source
            .one()
            .map(|row| row.cells.as_slice())
            .unwrap_or_default();
        let fields = self.spec.mapping.fields.iter().zip(cells);
        let of_the_row = |name: &String, value: &serde_json::Value| {
            fields
                .clone()
                .any(|(field, cell)| field.target == *name && self.equivalent(field, cell, value))
        };
        copy.values
            .iter()
            .find(|(name, value)| kept.values.get(*name) != Some(*value) && !of_the_row(name, value))
            .map(|(name, _)| format!("its column {name} holds something that is nowhere else"))
    }

    async fn delete_copy(&mut self, work: &Work, item: &Item, copy: &WholeItem) -> PortResult<()> {
        let Intent::Write(attempt) = self.delete_of_copy(work, item, copy) else {
            return Ok(());
        };
        self.deletes_left = self.deletes_left.saturating_sub(1);
        let admitted = self
            .ports
            .ledger
            .admit(self.fence(), self.spec.run, std::slice::from_ref(&attempt.effect))
            .await?;
        if admitted != [Admission::Admitted] {
            self.unrepaired += 1;
            return Ok(());
        }
        let before = self.counters.deleted;
        let attempts: Vec<Attempt> = vec![*attempt];
        let sent = self.send(attempts).await?;
        // A copy that somebody touched meanwhile is not decided about again here: the next repair sees it.
        if self.counters.deleted == before {
            self.unrepaired += 1;
        }
        sent.stop.map_or(Ok(()), Err)
    }

    fn delete_of_copy(&self, work: &Work, item: &Item, copy: &WholeItem) -> Intent {
        let link = ItemLink {
            id: item.id.clone(),
            before: copy.version,
        };
        let write = Write::Delete {
            item: item.id.clone(),
            expected: copy.version,
        };
        let agreed = Agreed::unknown(self.spec.mapping.fields.len());
        self.attempt(
            work,
            EffectKind::DeleteItem,
            write,
            Fields::new(),
            Some(link),
            agreed,
        )
    }
}

/// Both sides had agreed that this row and its item are gone, and the row is.
fn is_restored(work: &Work) -> bool {
    let buried = |row: &LedgerRow| row.state == LedgerState::Tombstone;
    work.source == Presence::None && work.base.as_ref().is_some_and(buried)
}

fn again(record: &ScanRecord, base: Option<LedgerRow>, source: Presence<SourceRow>, mark: Mark) -> Work {
    Work {
        subject: Subject {
            identity: record.identity,
            key: record.key.clone(),
        },
        source,
        mark,
        why: if base.is_some() {
            WhyTag::Change
        } else {
            WhyTag::FirstWrite
        },
        base,
        target: Presence::Unseen,
        dirty: None,
        heard: Heard::default(),
        held: Held::No,
        rounds: 0,
        search: None,
        resolutions: Vec::new(),
        turns: Vec::new(),
        newcomer: None,
    }
}
