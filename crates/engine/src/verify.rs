//! Compares source, ledger and list, and writes nothing to either side.
//!
//! The list is read once, page by page, at two resource units a page; rows are read by key as their items come.
//! What each side holds is spilled to buckets, so that rows without an item and items without a row are found
//! with bounded memory. Each page is kept durably with what it showed, so that an interrupted verification goes
//! on behind it; the source, which costs nothing, is read anew.
//!
//! Rows and items move while they are read. What a page shows is therefore compared with its row as it is at
//! that moment, and a row that seems to have no item is looked at once more before it is called missing.

use std::collections::BTreeMap;

use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::{Identity, Key, KeyColumn, SyncKey, encode_key};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::list_rules::ItemIdentity;
use syncbridge_domain::mapping::SYNC_KEY_COLUMN;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::policy::OnForeignRestore;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, ItemRead};
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::run::Verification;
use syncbridge_domain::verification::{
    Cause, Difference, DifferenceKind, SeenItem, VerificationFrom, VerificationStart, VerificationStep,
    VerifiedPage,
};

use crate::ports::{Ledger, PortResult, Progress, ScanRecord, Scratch, Source, Spill, Step, Target};
use crate::session::{Session, World};
use crate::verify_cells::Judged;

/// How many items a verification looks at one by one, in all: enough to tell a hidden item from a deleted one
/// where few are concerned, and no more where a whole list is.
const MAX_LOOKS: u64 = 1_000;

/// A row that a repair has to look at: what it is about, in the digest of a [`ScanRecord`].
pub(crate) const SURPLUS: RowDigest = RowDigest([1; 16]);

/// What a page, or a bucket, brought to light.
#[derive(Default)]
struct Findings {
    seen: Vec<SeenItem>,
    differences: Vec<(Identity, Difference)>,
    /// Rows that a repair has to look at.
    todo: Vec<ScanRecord>,
}

/// An item of ours with what the ledger says of its identity.
struct Ours {
    identity: Identity,
    item: Item,
    row: Option<LedgerRow>,
}

impl Ours {
    /// The ledger links the identity to this very item.
    fn is_owned(&self) -> bool {
        self.row
            .as_ref()
            .is_some_and(|row| row.version.guid == self.item.version.guid)
    }

    /// A person brought it back: both sides had agreed that it is gone. Whether its row is, too, the row says.
    fn was_restored(&self) -> bool {
        let buried = |row: &LedgerRow| row.state == LedgerState::Tombstone;
        self.is_owned() && self.row.as_ref().is_some_and(buried)
    }

    fn seen(&self, settled: bool) -> SeenItem {
        SeenItem {
            identity: self.identity,
            // Longer than a number can be it never is: the list's own numbers are counted up from one.
            item: self.item.id.0.parse().unwrap_or_default(),
            owned: self.is_owned(),
            known: self.row.is_some(),
            settled,
        }
    }
}

impl<W: World> Session<'_, W> {
    /// Compares both sides. With `collect` the rows that a repair has to look at come back in a spill.
    pub(crate) async fn verify(
        &mut self,
        collect: bool,
    ) -> PortResult<(Verification, Option<<W::Scratch as Scratch>::Spill>)> {
        let rows = self.ports.source.estimate().await?;
        let from = self.begin_verification(rows).await?;
        let mut report = from.report.clone();
        report.resumed_pages = from.pages;
        let (mut sources, _) = self.spill_source(rows).await?;
        report.rows = self.counters.read;
        // All spills are opened for the same estimate, hence with the same buckets.
        let mut items = self.ports.scratch.spill(rows)?;
        let mut todo = match collect {
            true => Some(self.ports.scratch.spill(rows)?),
            false => None,
        };
        self.ports.progress.step(Step::Verifying { rows });
        let read = self.compare_pages(from, &mut items, &mut todo, &mut report).await;
        if let Err(failure) = read {
            if report.pages > 0 && !collect {
                self.notice(format!(
                    "{} pages were compared; `syncbridge verify {} --resume` goes on behind them",
                    report.pages, self.spec.definition_name
                ));
            }
            return Err(failure);
        }
        for bucket in 0..(1usize << sources.bucket_bits()) {
            self.check()?;
            let rows = sources.bucket(bucket)?;
            let there = items.bucket(bucket)?;
            let mut found = Findings::default();
            self.compare_presence(rows, &there, &mut found, &mut report)
                .await?;
            if !found.differences.is_empty() {
                self.keep(found, None, &mut todo, &mut report, false).await?;
            }
        }
        self.keep(Findings::default(), None, &mut todo, &mut report, true)
            .await?;
        Ok((report, todo))
    }

    /// Says what it is going to cost, and where an interrupted verification stopped.
    async fn begin_verification(&mut self, rows: u64) -> PortResult<VerificationFrom> {
        let range = &self.spec.range;
        let end = |key: &Option<Key>| {
            key.as_ref()
                .map_or_else(|| "-".to_owned(), |key| self.identity(key).to_string())
        };
        let page = self.spec.limits.verify_page_items;
        let start = VerificationStart {
            run: self.spec.run,
            fingerprint: format!(
                "1 {} {} {} {} {page} {} {}",
                self.spec.target.list,
                self.spec.namespace,
                self.layout.0,
                self.ports.hash_key.id(),
                end(&range.from),
                end(&range.to),
            ),
            resume: self.spec.options.resume,
        };
        let from = self.ports.ledger.begin_verification(&start).await?;
        if start.resume && from.pages == 0 {
            self.notice("no interrupted verification of this kind was found: this one began anew".into());
        }
        let known = self.ports.ledger.live_rows().await?;
        let items = if known == 0 { rows } else { known };
        let pages = items.div_ceil(u64::from(page.max(1))).max(1);
        self.ports.progress.step(Step::Forecast {
            items,
            pages: pages.saturating_sub(from.pages),
            resumed: from.pages,
        });
        Ok(from)
    }

    async fn compare_pages(
        &mut self,
        from: VerificationFrom,
        items: &mut <W::Scratch as Scratch>::Spill,
        todo: &mut Option<<W::Scratch as Scratch>::Spill>,
        report: &mut Verification,
    ) -> PortResult<()> {
        for number in 1..=from.pages {
            let seen = self.ports.ledger.verified_page(self.spec.run, number).await?;
            items.push(records(&seen)?)?;
        }
        let mut next = from.next;
        if from.pages > 0 && next.is_none() {
            return Ok(());
        }
        let mut number = from.pages;
        loop {
            self.check()?;
            let page = self.ports.target.page(next.as_deref(), WhyTag::Verify).await?;
            number += 1;
            if page.next.is_some() && page.next == next {
                return Err(stands_still());
            }
            let mut found = self.compare_page(page.items, report).await?;
            items.push(records(&found.seen)?)?;
            report.pages = number;
            let kept = VerifiedPage {
                number,
                next: page.next.clone(),
                seen: std::mem::take(&mut found.seen),
            };
            self.keep(found, Some(kept), todo, report, false).await?;
            self.counters.unchanged = report.equal;
            self.report();
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Counts and keeps what was found, together with how far the verification is.
    async fn keep(
        &self,
        found: Findings,
        page: Option<VerifiedPage>,
        todo: &mut Option<<W::Scratch as Scratch>::Spill>,
        report: &mut Verification,
        finished: bool,
    ) -> PortResult<()> {
        let ids: Vec<Identity> = found.differences.iter().map(|(identity, _)| *identity).collect();
        let refused = if ids.is_empty() {
            Vec::new()
        } else {
            self.ports.ledger.quarantined(&ids).await?
        };
        let mut differences = Vec::with_capacity(ids.len());
        for ((_, mut difference), refused) in found.differences.into_iter().zip(refused) {
            difference.explained = refused.is_some();
            report.count(&difference);
            differences.push(difference);
        }
        if let Some(todo) = todo {
            todo.push(found.todo)?;
        }
        let step = VerificationStep {
            page,
            differences,
            report: report.clone(),
            finished,
        };
        self.ports.ledger.keep_verification(self.spec.run, &step).await
    }

    /// Compares the items of a page with their rows.
    async fn compare_page(&mut self, items: Vec<Item>, report: &mut Verification) -> PortResult<Findings> {
        let ours = self.ours_of(items, report).await?;
        report.items += ours.len() as u64;
        let mut found = Findings::default();
        let mut unequal = Vec::new();
        let (linked, unknown): (Vec<Ours>, Vec<Ours>) = ours.into_iter().partition(|ours| ours.row.is_some());
        // Whether they have a row shows only once the source's buckets are compared: their keys are not known.
        found.seen.extend(unknown.iter().map(|ours| ours.seen(false)));
        let keys: Vec<Key> = linked
            .iter()
            .filter_map(|ours| ours.row.as_ref().map(|row| row.key.clone()))
            .collect();
        let rows = self.read_rows(&keys).await?;
        for (ours, source) in linked.into_iter().zip(rows) {
            let Some(row) = &ours.row else { continue };
            match source {
                Presence::One(source) if ours.is_owned() => {
                    found.seen.push(ours.seen(false));
                    if self.unequal_cells(&source, &ours.item).is_empty() {
                        report.equal += 1;
                    } else {
                        unequal.push((ours, source));
                    }
                }
                // Another item of this row, or the only one: that shows once all pages are read.
                Presence::One(_) => found.seen.push(ours.seen(false)),
                Presence::None => {
                    found.seen.push(ours.seen(true));
                    if ours.was_restored() {
                        self.restored += 1;
                        found.todo.push(ScanRecord {
                            identity: ours.identity,
                            digest: RowDigest::UNKNOWN,
                            key: row.key.clone(),
                        });
                    }
                    match without_row(&ours, row, self.spec.policies.on_foreign_restore) {
                        Some(cause) => {
                            let orphan = found.add(DifferenceKind::Orphan, cause, ours.identity);
                            orphan.item = Some(ours.item.id.to_string());
                        }
                        None => report.kept += 1,
                    }
                }
                Presence::Many(_) | Presence::Unseen => {
                    found.seen.push(ours.seen(true));
                    let difference = found.add(DifferenceKind::Differing, Cause::Source, ours.identity);
                    difference.item = Some(ours.item.id.to_string());
                }
            }
        }
        self.judge_unequal(unequal, &mut found, report).await?;
        Ok(found)
    }

    /// The items that are this definition's, and in the range that was asked for, with their ledger rows.
    async fn ours_of(&self, items: Vec<Item>, report: &mut Verification) -> PortResult<Vec<Ours>> {
        let mut keyed: Vec<(Identity, Item)> = Vec::new();
        for (item, identity) in self.identified(items).await? {
            match identity {
                Some(identity) => keyed.push((identity, item)),
                None => report.foreign += 1,
            }
        }
        let ids: Vec<Identity> = keyed.iter().map(|(identity, _)| *identity).collect();
        let known = self.ports.ledger.rows(&ids).await?;
        let mut ours: Vec<Ours> = keyed
            .into_iter()
            .zip(known)
            .map(|((identity, item), row)| Ours { identity, item, row })
            .collect();
        let strangers: Vec<uuid::Uuid> = ours
            .iter()
            .filter(|ours| ours.row.is_none())
            .map(|ours| ours.item.version.guid)
            .collect();
        if !strangers.is_empty() {
            let mut elsewhere = self.ports.ledger.owned_elsewhere(&strangers).await?.into_iter();
            let before = ours.len();
            ours.retain(|ours| ours.row.is_some() || elsewhere.next() != Some(true));
            report.others += (before - ours.len()) as u64;
        }
        if !self.spec.range.is_everything() {
            // An item whose key nobody knows lies in no range.
            ours.retain(|ours| ours.row.is_some());
            let keys: Vec<Key> = ours
                .iter()
                .filter_map(|ours| ours.row.as_ref().map(|row| row.key.clone()))
                .collect();
            let mut inside = self
                .ports
                .source
                .in_range(&self.spec.range, &keys)
                .await?
                .into_iter();
            ours.retain(|_| inside.next() == Some(true));
        }
        Ok(ours)
    }

    /// Whose each item is: by its sync key, or by the ledger's link where the list keeps no sync key.
    async fn identified(&self, items: Vec<Item>) -> PortResult<Vec<(Item, Option<Identity>)>> {
        if let ItemIdentity::SyncKey { .. } = self.spec.target.rules.identity {
            let by_key = |item: Item| {
                let identity = item.sync_key().and_then(SyncKey::parse);
                (item, identity)
            };
            return Ok(items.into_iter().map(by_key).collect());
        }
        let guids: Vec<uuid::Uuid> = items.iter().map(|item| item.version.guid).collect();
        let linked = self.ports.ledger.linked(&guids).await?;
        Ok(items.into_iter().zip(linked).collect())
    }

    /// Rows as they are now, a source page at a time, so that large cells stay bounded.
    async fn read_rows(&self, keys: &[Key]) -> PortResult<Vec<Presence<SourceRow>>> {
        let mut rows = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(self.spec.limits.page_rows.max(1) as usize) {
            rows.extend(self.ports.source.read_keys(chunk).await?.0);
        }
        Ok(rows)
    }

    /// Says of each unequal item which columns differ and who moved.
    async fn judge_unequal(
        &mut self,
        unequal: Vec<(Ours, SourceRow)>,
        found: &mut Findings,
        report: &mut Verification,
    ) -> PortResult<()> {
        // A key that an answer lacks is nothing only if the column is still there to be shown (DESIGN §5).
        let rests_on_absence = unequal.iter().any(|(ours, source)| {
            self.unequal_cells(source, &ours.item).iter().any(|at| {
                !ours
                    .item
                    .fields
                    .contains_key(&self.spec.mapping.fields[*at].target)
            })
        });
        let dropped = if rests_on_absence {
            self.ports.target.dropped_columns().await?
        } else {
            Vec::new()
        };
        for (ours, source) in unequal {
            let Some(row) = ours.row.clone() else { continue };
            let judged = self.judge(&row, &source, &ours.item, &dropped).await?;
            found.take(judged, &ours.item, row, report);
        }
        Ok(())
    }

    async fn compare_presence(
        &mut self,
        rows: Vec<ScanRecord>,
        items: &[ScanRecord],
        found: &mut Findings,
        report: &mut Verification,
    ) -> PortResult<()> {
        let mut there: BTreeMap<Identity, Vec<SeenItem>> = BTreeMap::new();
        for item in items {
            let seen = SeenItem::of(item.identity, item.digest.0);
            there.entry(item.identity).or_default().push(seen);
        }
        let mut missing = Vec::new();
        for row in rows {
            match there.remove(&row.identity) {
                Some(group) => found.several(&group, Some(&row)),
                None => missing.push(row),
            }
        }
        for chunk in missing.chunks(self.spec.limits.page_rows.max(1) as usize) {
            self.confirm_missing(chunk, found, report).await?;
        }
        // Rows that came after the source was read have been compared with their items already.
        for group in there.into_values() {
            found.several(&group, None);
        }
        Ok(())
    }

    /// Looks once more at rows that no page showed an item of.
    async fn confirm_missing(
        &mut self,
        rows: &[ScanRecord],
        found: &mut Findings,
        report: &mut Verification,
    ) -> PortResult<()> {
        let ids: Vec<Identity> = rows.iter().map(|row| row.identity).collect();
        let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let sources = self.read_rows(&keys).await?;
        let mut linked = Vec::new();
        for ((record, base), source) in rows.iter().zip(bases).zip(sources) {
            let Presence::One(source) = source else { continue };
            match base {
                Some(base) if base.state == LedgerState::Live => linked.push((record, base, source)),
                _ => {
                    found.add(DifferenceKind::Missing, Cause::Source, record.identity);
                    found.todo.push(record.clone());
                }
            }
        }
        let left = usize::try_from(MAX_LOOKS.saturating_sub(report.looks)).unwrap_or(usize::MAX);
        let looked = linked.len().min(left);
        let numbers: Vec<_> = linked[..looked]
            .iter()
            .map(|(_, base, _)| base.item.clone())
            .collect();
        report.looks += looked as u64;
        let mut reads = self.read_all(&numbers, WhyTag::Probe).await.into_iter();
        for (record, base, source) in linked {
            let cause = match reads.next() {
                Some(ItemRead::One(item)) => {
                    report.items += 1;
                    self.shown_by_itself(record, base, &source, &item, found, report)
                        .await?;
                    continue;
                }
                Some(ItemRead::Gone) => Cause::List,
                Some(ItemRead::Unknown(_)) | None => Cause::Unknown,
            };
            found.add(DifferenceKind::Missing, cause, record.identity).item = Some(base.item.to_string());
            found.todo.push(record.clone());
        }
        Ok(())
    }

    /// An item that no page showed as its row's, and that is there all the same: it came meanwhile, or a person
    /// changed its sync key.
    async fn shown_by_itself(
        &mut self,
        record: &ScanRecord,
        base: LedgerRow,
        source: &SourceRow,
        item: &Item,
        found: &mut Findings,
        report: &mut Verification,
    ) -> PortResult<()> {
        let is_its_own = match self.spec.target.rules.identity {
            ItemIdentity::SyncKey { .. } => item.sync_key().and_then(SyncKey::parse) == Some(record.identity),
            ItemIdentity::KeyField { .. } => item.version.guid == base.version.guid,
        };
        if is_its_own {
            let judged = self.judge(&base, source, item, &[]).await?;
            found.take(judged, item, base, report);
            return Ok(());
        }
        let difference = found.add(DifferenceKind::Differing, Cause::List, record.identity);
        difference.item = Some(item.id.to_string());
        difference.columns = vec![SYNC_KEY_COLUMN.to_owned()];
        self.unrepaired += 1;
        Ok(())
    }
}

impl Findings {
    fn add(&mut self, kind: DifferenceKind, cause: Cause, identity: Identity) -> &mut Difference {
        let difference = Difference {
            kind,
            cause,
            identity: identity.to_string(),
            item: None,
            columns: Vec::new(),
            explained: false,
        };
        let at = self.differences.len();
        self.differences.push((identity, difference));
        &mut self.differences[at].1
    }

    fn take(&mut self, judged: Judged, item: &Item, row: LedgerRow, report: &mut Verification) {
        let (kind, cause, columns) = match judged {
            Judged::Equal => {
                report.equal += 1;
                return;
            }
            Judged::Kept => {
                report.kept_edits += 1;
                return;
            }
            Judged::Differing(cause, columns) => (DifferenceKind::Differing, cause, columns),
            Judged::Unreadable(columns) => (DifferenceKind::Unreadable, Cause::Unknown, columns),
        };
        let difference = self.add(kind, cause, row.identity);
        difference.item = Some(item.id.to_string());
        difference.columns = columns;
        if kind == DifferenceKind::Differing {
            self.todo.push(ScanRecord {
                identity: row.identity,
                digest: RowDigest::UNKNOWN,
                key: row.key,
            });
        }
    }

    /// All items of one identity, and its row if there is one.
    fn several(&mut self, group: &[SeenItem], row: Option<&ScanRecord>) {
        if group.iter().any(|seen| seen.settled) {
            return;
        }
        let owned = group.iter().any(|seen| seen.owned);
        let mut first = true;
        for seen in group.iter().filter(|seen| !seen.owned) {
            let kind = match (row, seen.known) {
                // The first stands for the one that the ledger should link to.
                (Some(_), _) | (None, true) if !owned && first => DifferenceKind::WrongList,
                (Some(_), _) | (None, true) => DifferenceKind::Duplicate,
                (None, false) => DifferenceKind::Orphan,
            };
            first = false;
            let cause = if kind == DifferenceKind::Duplicate {
                Cause::List
            } else {
                Cause::Unknown
            };
            self.add(kind, cause, seen.identity).item = Some(seen.item.to_string());
        }
        if let Some(row) = row
            && owned
            && group.len() > 1
        {
            self.todo.push(ScanRecord {
                digest: SURPLUS,
                ..row.clone()
            });
        }
    }
}

/// Why an item stands although its row is gone; `None` where it does so on purpose.
fn without_row(ours: &Ours, row: &LedgerRow, on_restore: OnForeignRestore) -> Option<Cause> {
    match row.state {
        LedgerState::Tombstone if ours.was_restored() && on_restore == OnForeignRestore::Keep => None,
        LedgerState::Kept | LedgerState::Archived if ours.is_owned() => None,
        // The row went and no push has said so to the list.
        LedgerState::Live if ours.is_owned() => Some(Cause::Source),
        // Both were gone: somebody brought the item back.
        LedgerState::Tombstone if ours.was_restored() => Some(Cause::List),
        _ => Some(Cause::Unknown),
    }
}

/// Items' records in a spill. Their keys are not looked at, so all have the same.
fn records(seen: &[SeenItem]) -> PortResult<Vec<ScanRecord>> {
    let column = KeyColumn {
        name: String::new(),
        pg_type: PgType::Int8,
    };
    let key = encode_key(&[column], &[Some("0")]).map_err(|error| {
        Failure::new(
            Scope::Outage,
            "scratch.damaged",
            format!("a record of an item cannot be made: {error}"),
            "report this as a defect; the run can simply be started again",
        )
    })?;
    let record = |seen: &SeenItem| ScanRecord {
        identity: seen.identity,
        digest: RowDigest(seen.rest()),
        key: key.clone(),
    };
    Ok(seen.iter().map(record).collect())
}

fn stands_still() -> Failure {
    Failure::new(
        Scope::List,
        "target.no_progress",
        "a page of the list leads to itself",
        "run it again; report it with Graph's request-id if it stays",
    )
}
