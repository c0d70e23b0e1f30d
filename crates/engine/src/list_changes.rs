//! What people did in the list: one pass over its feed, page by page (DESIGN §7, delta).
//!
//! A page's items are used as they are, because each carries its counter: an older one is an echo, never an edit.
//! The cursor moves behind a page once every entry of it is applied, dirty or quarantined.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use syncbridge_domain::agreed::{RowDigest, target_hash};
use syncbridge_domain::delta::{DeltaAnswer, DeltaCursor, DeltaEntry, DeltaFrom, DeltaNext, DeltaPass};
use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::effect::Subject;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::Mark;
use syncbridge_domain::identity::Key;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, ItemId};
use syncbridge_domain::row::Presence;
use syncbridge_domain::version::Version;

use crate::full_scan::bucket_range;
use crate::ports::list_feed::ListFeed;
use crate::ports::pull_memory::PullMemory;
use crate::ports::{Ledger, PortResult, Progress, ScanRecord, Scratch, Source, Spill, Step};
use crate::session::{Session, World};
use crate::work::{Heard, Held, Work};

/// So many failures of one pass in a row, and its place is given up for a whole pass.
const PATIENCE: u32 = 5;

/// Whom a whole pass has shown, so that what it did not show can be suspected.
type Shown<W> = <<W as World>::Scratch as Scratch>::Spill;

impl<W: World> Session<'_, W> {
    /// Takes over everything the list's feed has to say.
    pub(crate) async fn take_list_changes(&mut self) -> PortResult<()> {
        let mut cursor = self.ports.ledger.delta_cursor().await?;
        self.first_list_pass = cursor.token.is_none();
        let mut pass = resumed(&cursor);
        let mut shown = self.watch(&pass)?;
        self.ports.progress.step(Step::ReadingList);
        loop {
            self.check()?;
            let page = match self.ports.target.delta(place(&pass, &cursor)).await {
                Ok(DeltaAnswer::Page(page)) => page,
                Ok(DeltaAnswer::Expired) => {
                    pass = self.begin_anew(&pass)?;
                    shown = self.watch(&pass)?;
                    continue;
                }
                Ok(DeltaAnswer::Malformed(failure)) => return Err(self.alarm(failure)),
                Err(failure) => return Err(self.remember_failure(cursor, pass, failure).await?),
            };
            if let DeltaNext::Token(token) = &page.next
                && syncbridge_domain::sabotaged!("token stored before apply")
            {
                let ahead = at_token(token.clone());
                self.ports.ledger.keep_delta(self.fence(), &[], &ahead).await?;
            }
            let marks = self.take_page(page.entries, shown.as_mut()).await?;
            let done = match page.next {
                DeltaNext::Page(link) => {
                    if pass.page.as_ref() == Some(&link) {
                        return Err(no_progress());
                    }
                    pass = DeltaPass {
                        page: Some(link),
                        failures: 0,
                        ..pass
                    };
                    cursor.pass = Some(pass.clone());
                    false
                }
                DeltaNext::Token(token) => {
                    cursor = at_token(token);
                    true
                }
            };
            if done && let Some(shown) = shown.take() {
                // Before the token moves: a pass that was interrupted here is read again.
                self.suspect_unseen(shown).await?;
            }
            self.ports
                .ledger
                .keep_delta(self.fence(), &marks, &cursor)
                .await?;
            self.report();
            if done {
                return Ok(());
            }
        }
    }

    /// A whole pass notes whom it shows. One that was interrupted begins anew, since its notes are gone.
    fn watch(&self, pass: &DeltaPass) -> PortResult<Option<Shown<W>>> {
        pass.whole.then(|| self.ports.scratch.spill(0)).transpose()
    }

    fn begin_anew(&mut self, pass: &DeltaPass) -> PortResult<DeltaPass> {
        if pass.whole && pass.page.is_none() {
            return Err(no_progress());
        }
        self.notice(
            "the list no longer keeps our place in its changes: it was read as a whole, and what it did not show is \
             only suspected to be gone"
                .to_owned(),
        );
        Ok(whole())
    }

    fn alarm(&self, failure: Failure) -> Failure {
        Failure {
            fix: format!(
                "find out who changed the kept place (it is only ever followed as Graph gave it); then \
                 `syncbridge cursor reset {} --delta` reads the list as a whole",
                self.spec.definition_name
            ),
            ..failure
        }
    }

    /// Counts failures of a pass, so that a page that never can be read does not stand in the way for ever.
    async fn remember_failure(
        &self,
        cursor: DeltaCursor,
        pass: DeltaPass,
        failure: Failure,
    ) -> PortResult<Failure> {
        if matches!(failure.scope, Scope::Tenant) || failure.code == "run.cancelled" {
            return Ok(failure);
        }
        let failures = pass.failures.saturating_add(1);
        let pass = if failures >= PATIENCE {
            whole()
        } else {
            DeltaPass { failures, ..pass }
        };
        let cursor = DeltaCursor {
            pass: Some(pass),
            ..cursor
        };
        self.ports.ledger.keep_delta(self.fence(), &[], &cursor).await?;
        Ok(failure)
    }

    /// Applies what a page says; answers what has to become dirty with the cursor.
    async fn take_page(
        &mut self,
        entries: Vec<DeltaEntry>,
        shown: Option<&mut Shown<W>>,
    ) -> PortResult<Vec<DirtyMark>> {
        // One item may stand twice in a page; the last entry is its latest state.
        let mut latest: BTreeMap<ItemId, DeltaEntry> = BTreeMap::new();
        for entry in entries {
            latest.insert(entry.item().clone(), entry);
        }
        let ids: Vec<ItemId> = latest.keys().cloned().collect();
        let rows = self.ports.ledger.rows_of_items(&ids).await?;
        let mut marks = Vec::new();
        let mut changed = Vec::new();
        let mut strangers = Vec::new();
        let mut seen = Vec::new();
        let mut older = Vec::new();
        for (entry, row) in latest.into_values().zip(rows) {
            match (entry, row) {
                (DeltaEntry::Deleted(_), Some(row)) if row.state == LedgerState::Live => {
                    marks.push(hinted(&row, TargetHint::Deleted));
                }
                (DeltaEntry::Deleted(_), _) => {}
                (DeltaEntry::Changed(item), Some(row)) => {
                    seen.push(ScanRecord {
                        identity: row.identity,
                        digest: RowDigest::UNKNOWN,
                        key: row.key.clone(),
                    });
                    let said = told(item.version, row.version);
                    if !self.is_echo(&item, &row).await? {
                        changed.push((item, row));
                    } else if said == Told::Old && row.state == LedgerState::Live {
                        older.push((item, row));
                    }
                }
                (DeltaEntry::Changed(item), None) => strangers.push(item),
            }
        }
        if let Some(shown) = shown {
            shown.push(seen)?;
        }
        changed.extend(self.went_back_in_list(older).await?);
        self.apply_edits(changed).await?;
        self.take_strangers(strangers).await?;
        Ok(marks)
    }

    /// Whether an entry only repeats what both sides agreed on: our own write, or one that came before it.
    async fn is_echo(&mut self, item: &Item, row: &LedgerRow) -> PortResult<bool> {
        if syncbridge_domain::sabotaged!("echo judged by who wrote last") {
            return Ok(item.by_us == Some(true));
        }
        match told(item.version, row.version) {
            Told::News => return Ok(false),
            _ if row.state != LedgerState::Live => return Ok(false),
            Told::Old => return Ok(true),
            // Lists without versions never raise the counter: content decides.
            Told::Nothing => {}
        }
        let agreed = self.agreed(row).await?;
        let fields = self.spec.mapping.fields.iter().zip(&agreed.fields);
        let mut same = fields.map(|(field, (_, base))| {
            item.value(&field.target)
                .is_none_or(|shown| target_hash(self.ports.hash_key, shown) == *base)
        });
        Ok(same.all(|same| same))
    }

    /// Judges items that belong to rows, with the rows as they are now.
    pub(crate) async fn apply_edits(&mut self, changed: Vec<(Item, LedgerRow)>) -> PortResult<()> {
        let pages = changed.chunks(self.spec.limits.page_rows.max(1) as usize);
        for page in pages.map(<[_]>::to_vec).collect::<Vec<_>>() {
            let keys: Vec<Key> = page.iter().map(|(_, row)| row.key.clone()).collect();
            let (rows, mark) = self.ports.source.read_keys(&keys).await?;
            let mut works = Vec::with_capacity(page.len());
            for ((item, base), source) in page.into_iter().zip(rows) {
                let target = match self.may_hide_a_clearing(&item, &base).await? {
                    true => Presence::Unseen,
                    false => Presence::One(item),
                };
                works.push(self.work_of_item(base, source, mark, target));
            }
            self.look_at_held(&mut works).await?;
            self.apply(works).await?;
        }
        Ok(())
    }

    /// Whether a mapped column is missing from an answer that does not say what a missing column means, and had a
    /// value: cleared or only left out, one look tells.
    async fn may_hide_a_clearing(&mut self, item: &Item, base: &LedgerRow) -> PortResult<bool> {
        if item.complete {
            return Ok(false);
        }
        let nothing = target_hash(self.ports.hash_key, &serde_json::Value::Null);
        let agreed = self.agreed(base).await?;
        let mut fields = self.spec.mapping.fields.iter().zip(&agreed.fields);
        Ok(fields.any(|(field, (_, known))| item.value(&field.target).is_none() && *known != nothing))
    }

    pub(crate) fn work_of_item(
        &self,
        base: LedgerRow,
        source: Presence<syncbridge_domain::row::SourceRow>,
        mark: Mark,
        target: Presence<Item>,
    ) -> Work {
        Work {
            subject: Subject {
                identity: base.identity,
                key: base.key.clone(),
            },
            source,
            mark,
            base: Some(base),
            target,
            dirty: None,
            why: WhyTag::Change,
            heard: Heard::changed(),
            search: None,
            resolutions: Vec::new(),
            turns: Vec::new(),
            newcomer: None,
            held: Held::No,
            rounds: 0,
        }
    }

    /// Live rows whose items a whole pass did not show: suspected to be gone, which is no proof.
    async fn suspect_unseen(&self, mut shown: Shown<W>) -> PortResult<()> {
        let bits = shown.bucket_bits();
        for bucket in 0..(1usize << bits) {
            self.check()?;
            let (after, until) = bucket_range(bucket, bits);
            let known = self.digests_between(after, until).await?;
            let mut seen: Vec<_> = shown.bucket(bucket)?.into_iter().map(|r| r.identity).collect();
            seen.dedup();
            let missing: Vec<_> = known
                .into_iter()
                .filter(|row| row.state == LedgerState::Live && seen.binary_search(&row.identity).is_err())
                .map(|row| row.identity)
                .collect();
            for page in missing.chunks(self.spec.limits.page_rows.max(1) as usize) {
                let rows = self.ports.ledger.rows(page).await?;
                let marks: Vec<DirtyMark> = rows
                    .iter()
                    .flatten()
                    .map(|row| hinted(row, TargetHint::Missing))
                    .collect();
                self.ports.ledger.mark_dirty(self.fence(), &marks, None).await?;
            }
        }
        Ok(())
    }
}

/// What an entry's version says beside the one that the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Another item, or a newer version.
    News,
    /// The very version that is known.
    Nothing,
    /// A version that something of ours came after: never an edit.
    Old,
}

fn told(shown: Version, known: Version) -> Told {
    match shown.counter.cmp(&known.counter) {
        _ if shown.guid != known.guid => Told::News,
        Ordering::Greater => Told::News,
        Ordering::Equal => Told::Nothing,
        Ordering::Less => Told::Old,
    }
}

fn hinted(row: &LedgerRow, target: TargetHint) -> DirtyMark {
    DirtyMark {
        identity: row.identity,
        key: row.key.clone(),
        mark: row.mark,
        suspected_delete: false,
        target,
    }
}

/// The place behind a pass that is over.
fn at_token(token: String) -> DeltaCursor {
    DeltaCursor {
        token: Some(token),
        pass: None,
    }
}

fn whole() -> DeltaPass {
    DeltaPass {
        page: None,
        whole: true,
        failures: 0,
    }
}

/// The pass to go on with. A whole one begins anew, because whom it had shown is not kept.
fn resumed(cursor: &DeltaCursor) -> DeltaPass {
    match &cursor.pass {
        Some(pass)
            if !pass.whole || syncbridge_domain::sabotaged!("delete inferred from an incomplete pass") =>
        {
            pass.clone()
        }
        Some(pass) => DeltaPass {
            failures: pass.failures,
            ..whole()
        },
        None => DeltaPass {
            page: None,
            whole: cursor.token.is_none(),
            failures: 0,
        },
    }
}

fn place<'a>(pass: &'a DeltaPass, cursor: &'a DeltaCursor) -> DeltaFrom<'a> {
    match (&pass.page, &cursor.token) {
        (Some(link), _) => DeltaFrom::Link(link),
        (None, Some(token)) if !pass.whole => DeltaFrom::Link(token),
        (None, _) => DeltaFrom::Beginning,
    }
}

fn no_progress() -> Failure {
    Failure::new(
        Scope::List,
        "delta.no_progress",
        "the list's feed of changes leads back to where it came from",
        "report it with the request-id; the list is read again with the next run",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_from_before_our_own_write_is_no_news_and_another_item_always_is() {
        let version = |guid, counter| Version {
            guid: uuid::Uuid::from_u128(guid),
            counter,
        };
        assert_eq!(told(version(1, 3), version(1, 4)), Told::Old);
        assert_eq!(told(version(1, 4), version(1, 4)), Told::Nothing);
        assert_eq!(told(version(1, 5), version(1, 4)), Told::News);
        assert_eq!(told(version(2, 3), version(1, 4)), Told::News);
    }

    #[test]
    fn a_pass_goes_on_where_it_stopped_and_a_whole_one_begins_anew() {
        let page = |whole| DeltaPass {
            page: Some("next".into()),
            whole,
            failures: 2,
        };
        let cursor = |pass| DeltaCursor {
            token: Some("token".into()),
            pass,
        };
        let going = cursor(Some(page(false)));
        assert_eq!(place(&resumed(&going), &going), DeltaFrom::Link("next"));
        let interrupted = cursor(Some(page(true)));
        assert_eq!(place(&resumed(&interrupted), &interrupted), DeltaFrom::Beginning);
        assert_eq!(resumed(&interrupted).failures, 2);
        let steady = cursor(None);
        assert_eq!(place(&resumed(&steady), &steady), DeltaFrom::Link("token"));
        let new = DeltaCursor::default();
        assert_eq!(place(&resumed(&new), &new), DeltaFrom::Beginning);
        assert!(resumed(&new).whole);
    }
}
