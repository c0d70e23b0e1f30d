//! Settles writes that an earlier run, or another worker, left open or armed (DESIGN §6).
//!
//! "Not applied" is never final while the request could still land: a paused worker may wake. Such a write is
//! *armed*: its subject is free, what it would put into the list counts as ours, and the row is made dirty so
//! that the next write of our own moves the item past it. An armed create whose row is gone is looked for
//! again, ever less often, and its item deleted if it shows up.

use std::collections::BTreeSet;
use std::time::Duration;

use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::effect::{Effect, EffectKind, EffectState, NewEffect};
use syncbridge_domain::feed::Mark;
use syncbridge_domain::history::{Beside, Cause};
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ids::EffectId;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Fields, ItemId, RowName, TaggedWrite, Write};
use syncbridge_domain::reconcile::RowDecision;
use syncbridge_domain::revert::Hold;
use syncbridge_domain::row::{Presence as Side, SourceRow};

use crate::agreement::Witness;
use crate::evidence::{self, Finding};
use crate::ports::{Ledger, PortResult, Progress, Settlement, Source, Step, Verdict};
use crate::session::{Session, World};
use crate::versions::Asked;
use crate::work::{Attempt, Heard, Held, Work};

/// No request is under way for longer than this after its write was recorded (DESIGN §8).
const REQUEST_LIFETIME: Duration = Duration::from_secs(60);
/// Effects looked at in one go.
const PAGE: u32 = 1_000;

impl<W: World> Session<'_, W> {
    /// Settles what can be settled and makes the rows concerned dirty.
    pub(crate) async fn recover(&mut self) -> PortResult<()> {
        loop {
            let effects = self.ports.ledger.unsettled(PAGE).await?;
            let (open, mut armed): (Vec<Effect>, Vec<Effect>) = effects
                .into_iter()
                .partition(|effect| effect.state == EffectState::Open);
            // Those that were armed by this very run were looked at a moment ago.
            armed.retain(|effect| {
                !self
                    .armed_of(effect.subject.identity)
                    .iter()
                    .any(|a| a.id == effect.id)
            });
            if open.is_empty() {
                return self.recover_armed(armed).await;
            }
            self.ports.progress.step(Step::Recovering {
                effects: open.len() as u64,
            });
            let before = open.len();
            let (of_rows, open): (Vec<Effect>, Vec<Effect>) =
                open.into_iter().partition(|effect| effect.kind.is_of_row());
            let mark = self.present_mark().await?;
            let settled =
                self.recover_rows(&of_rows, mark).await? + self.recover_open(open, &armed, mark).await?;
            if settled < before {
                // Some could not even be looked at: they stay open, their rows stay busy, the run goes on.
                self.notice(format!(
                    "{} writes of an earlier run could not be settled yet; their rows wait for the next run",
                    before - settled
                ));
                return self.recover_armed(armed).await;
            }
        }
    }

    /// `armed`: what may explain why an open create met an item already.
    async fn recover_open(&mut self, open: Vec<Effect>, armed: &[Effect], mark: Mark) -> PortResult<usize> {
        let ids: Vec<Identity> = open.iter().map(|effect| effect.subject.identity).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let findings = self.look_at_effects(&open, &bases, armed).await?;
        let mut rows = self.rows_of_unclear(&open, &findings).await?.into_iter();
        let mut settled = Vec::new();
        let mut marks = Vec::new();
        let mut count = 0;
        for ((effect, base), finding) in open.into_iter().zip(bases).zip(findings) {
            // What people did after it may have been told already.
            let news = matches!(finding, Finding::Then { .. } | Finding::Unclear(_));
            let verdicts = match finding {
                Finding::Unclear(item) => {
                    let row = rows.next();
                    let attempt = attempt_of(&effect, base);
                    let verdict = self
                        .settle_unclear(&attempt, &item, row.as_ref().and_then(Side::one))
                        .await?;
                    verdict.map(|verdict| vec![settle(&effect, verdict)])
                }
                finding => self.verdicts(&effect, base, finding, armed),
            };
            let Some(verdicts) = verdicts else {
                continue;
            };
            count += 1;
            // The item may show more than what we wrote, and the list's feed may have told of that before anybody knew
            // whose item it is: it is looked at, not presumed.
            let applied = verdicts
                .iter()
                .any(|one| matches!(one.verdict, Verdict::Applied(_)));
            // What was put back and is held is not to be decided about; what people did since, their feeds tell.
            if !(applied && effect.beside.is_some_and(Beside::holds)) {
                marks.push(DirtyMark {
                    target: if news || applied && self.pulls() {
                        TargetHint::Changed
                    } else {
                        TargetHint::Presumed
                    },
                    ..dirty_mark(&effect, mark)
                });
            }
            if let [
                Settlement {
                    verdict: Verdict::Armed,
                    ..
                },
            ] = verdicts.as_slice()
            {
                self.know_armed([effect]);
            }
            settled.extend(verdicts);
        }
        self.counters.recovered += count as u64;
        // Dirty first: a crash between the two repeats the look instead of losing the row.
        self.ports.ledger.mark_dirty(self.fence(), &marks, None).await?;
        self.settle(settled).await?;
        Ok(count)
    }

    /// What becomes of an open write; nothing where nothing could be learnt.
    fn verdicts(
        &mut self,
        effect: &Effect,
        base: Option<LedgerRow>,
        finding: Finding,
        armed: &[Effect],
    ) -> Option<Vec<Settlement>> {
        let item = match finding {
            Finding::Unknown | Finding::NotNow => return None,
            Finding::Pending => return self.pending(effect).map(|verdict| vec![settle(effect, verdict)]),
            Finding::Superseded(evidence::Presence::Gone) if self.may_be_hidden(effect.kind) => {
                return Some(vec![settle(effect, Verdict::Armed)]);
            }
            Finding::Superseded(_) => return Some(vec![settle(effect, Verdict::Released)]),
            Finding::Then { then, .. } => {
                let attempt = attempt_of(effect, base);
                let settled = self.applied(&attempt, Some(then), Witness::Answer, None)?;
                return Some(vec![settled]);
            }
            Finding::Applied(item) => item,
            Finding::Partly(item) | Finding::Unclear(item) => Some(item),
        };
        // The item that the ledger links to the row was there before this create, which met it and made nothing.
        if let (EffectKind::CreateItem, Some(found), Some(base)) = (effect.kind, &item, &base)
            && base.version.guid == found.version.guid
        {
            return Some(vec![settle(effect, Verdict::Released)]);
        }
        // Two creates of one row were under way, and the item may be the first one's.
        if let (EffectKind::CreateItem, Some(found)) = (effect.kind, &item)
            && !evidence::shows_created(&self.spec.mapping, &effect.sent, found)
            && let Some(earlier) = self.earlier_create(armed, effect.subject.identity, found)
        {
            let refused = settle(effect, Verdict::Released);
            return self.landed_earlier(earlier, base, found, refused).map(Vec::from);
        }
        // Nobody can tell which of several creates it was, people having written over it: it is judged by content.
        if let (EffectKind::CreateItem, Some(found)) = (effect.kind, &item)
            && !evidence::shows_created(&self.spec.mapping, &effect.sent, found)
            && armed.iter().any(|other| {
                other.kind == EffectKind::CreateItem && other.subject.identity == effect.subject.identity
            })
        {
            return Some(vec![settle(effect, Verdict::Released)]);
        }
        let attempt = attempt_of(effect, base);
        let settled = self.applied(&attempt, item, Witness::Look, None)?;
        Some(vec![settled])
    }

    /// A write that did not happen by now. A late create meets the list's own uniqueness, a late change its
    /// precondition, and so they may be tried again beside it; where the list keeps nothing apart, a create is
    /// waited for until no request can be under way any more.
    fn pending(&self, effect: &Effect) -> Option<Verdict> {
        if syncbridge_domain::sabotaged!("armed effect forgotten") {
            return Some(Verdict::Released);
        }
        if effect.kind != EffectKind::CreateItem || self.spec.target.rules.unique {
            return Some(Verdict::Armed);
        }
        (effect.age > REQUEST_LIFETIME).then_some(Verdict::Released)
    }

    /// Whether an item that is not there for us may be one that a change of ours has reached all the same: what it shows
    /// once it is back is then ours and no person's.
    pub(crate) fn may_be_hidden(&self, kind: EffectKind) -> bool {
        kind == EffectKind::PatchItem && self.pulls() && !self.sees_everything()
    }

    fn know_armed(&mut self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            let of_this_row = self.armed.entry(effect.subject.identity).or_default();
            of_this_row.push(Effect {
                state: EffectState::Armed,
                ..effect
            });
        }
    }

    /// The rows of writes that may or may not have happened, in order: whose value stands decides who is newer.
    async fn rows_of_unclear(
        &self,
        effects: &[Effect],
        findings: &[Finding],
    ) -> PortResult<Vec<Side<SourceRow>>> {
        let keys: Vec<Key> = effects
            .iter()
            .zip(findings)
            .filter(|(_, finding)| matches!(finding, Finding::Unclear(_)))
            .map(|(effect, _)| effect.subject.key.clone())
            .collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.ports.source.read_keys(&keys).await?.0)
    }

    async fn look_at_effects(
        &mut self,
        effects: &[Effect],
        bases: &[Option<LedgerRow>],
        armed: &[Effect],
    ) -> PortResult<Vec<Finding>> {
        let names: Vec<RowName> = effects
            .iter()
            .filter(|effect| effect.kind == EffectKind::CreateItem)
            .map(|effect| effect.subject.name())
            .collect();
        let items: Vec<ItemId> = effects
            .iter()
            .filter_map(|effect| effect.item.as_ref())
            .map(|link| link.id.clone())
            .collect();
        let (found, read) = self.look_up_and_read(&names, &items).await;
        let (mut found, mut read) = (found.into_iter(), read.into_iter());
        let findings = effects
            .iter()
            .map(|effect| match &effect.item {
                None => found.next().map_or(Finding::Unknown, evidence::of_create),
                Some(link) => read.next().map_or(Finding::Unknown, |read| {
                    evidence::of_change(&self.spec.mapping, effect.kind, link.before, &effect.sent, read)
                }),
            })
            .collect();
        let others = |effect: &Effect| {
            let this = effect.subject.identity;
            armed.iter().any(|other| other.subject.identity == this) || !self.armed_of(this).is_empty()
        };
        let asked: Vec<Asked<'_>> = effects
            .iter()
            .zip(bases)
            .map(|(effect, base)| Asked {
                identity: effect.subject.identity,
                kind: effect.kind,
                item: effect.item.as_ref(),
                sent: &effect.sent,
                base: base.as_ref(),
                in_doubt: true,
                alone: !others(effect),
            })
            .collect();
        self.look_back(&asked, findings).await
    }

    async fn recover_armed(&mut self, armed: Vec<Effect>) -> PortResult<()> {
        if armed.is_empty() {
            return Ok(());
        }
        let ids: Vec<Identity> = armed.iter().map(|effect| effect.subject.identity).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let mark = self.present_mark().await?;
        let mut harmless = Vec::new();
        let mut waiting = Vec::new();
        let mut orphans = Vec::new();
        let mut marks = Vec::new();
        for (effect, base) in armed.into_iter().zip(bases) {
            match threat(&effect, base.as_ref()) {
                Threat::None => harmless.push(settle(&effect, Verdict::Released)),
                Threat::Parried => waiting.push(effect.id),
                Threat::Change => {
                    marks.push(dirty_mark(&effect, mark));
                    self.know_armed([effect]);
                }
                Threat::LateCreate => orphans.push((effect, base)),
            }
        }
        self.ports.ledger.mark_dirty(self.fence(), &marks, None).await?;
        self.settle(harmless).await?;
        if !waiting.is_empty() {
            self.ports.ledger.probed(self.fence(), &waiting).await?;
        }
        self.recover_late_creates(orphans, mark).await
    }

    /// Creates that may have landed after their row was deleted, or before their row was written anew.
    async fn recover_late_creates(
        &mut self,
        effects: Vec<(Effect, Option<LedgerRow>)>,
        mark: Mark,
    ) -> PortResult<()> {
        if effects.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = effects
            .iter()
            .map(|(effect, _)| effect.subject.key.clone())
            .collect();
        let (rows, _) = self.ports.source.read_keys(&keys).await?;
        let lookups: Vec<RowName> = effects.iter().map(|(effect, _)| effect.subject.name()).collect();
        let found = self.lookup_all(&lookups, WhyTag::Probe).await;
        let mut empty = Vec::new();
        let mut deletes = Vec::new();
        let mut marks = Vec::new();
        let mut landed = BTreeSet::new();
        for (((effect, base), source), found) in effects.into_iter().zip(rows).zip(found) {
            match (source, evidence::of_create(found)) {
                // What was marked or left standing bears the key; nothing late can have landed beside it.
                (Side::None, Finding::Applied(Some(item)))
                    if base
                        .as_ref()
                        .is_some_and(|base| base.version.guid == item.version.guid) =>
                {
                    empty.push(effect.id);
                }
                (Side::None, Finding::Applied(_))
                    if syncbridge_domain::sabotaged!("late create of a gone row left standing") =>
                {
                    empty.push(effect.id);
                }
                // Where several creates of one row were under way, one of them made it.
                (Side::None, Finding::Applied(Some(item))) if landed.insert(effect.subject.identity) => {
                    // The row is gone and its late item is there: first it becomes ours, then it goes.
                    let row = LedgerRow {
                        row_version: base.as_ref().map_or(0, |row| row.row_version),
                        ..self.row_after_create(&effect, &item)
                    };
                    deletes.push(settle(&effect, Verdict::Applied(Box::new(row))));
                    marks.push(dirty_mark(&effect, mark));
                }
                (Side::None, _) => empty.push(effect.id),
                // The row is there: its own create, or the item that is found in its place, settles this one.
                // Until then it stays due, so that no run decides about the row without knowing of it.
                (_, _) => {
                    marks.push(dirty_mark(&effect, mark));
                    self.know_armed([effect]);
                }
            }
        }
        self.ports.ledger.mark_dirty(self.fence(), &marks, None).await?;
        self.settle(deletes).await?;
        if empty.is_empty() {
            return Ok(());
        }
        self.ports.ledger.probed(self.fence(), &empty).await
    }

    /// Closes armed writes whose ground a newer write of ours took away.
    pub(crate) async fn disarm(&mut self) -> PortResult<()> {
        let effects: Vec<Effect> = std::mem::take(&mut self.armed).into_values().flatten().collect();
        let ids: Vec<Identity> = effects.iter().map(|effect| effect.subject.identity).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let bases = self.ports.ledger.rows(&ids).await?;
        let harmless = effects
            .iter()
            .zip(bases)
            .filter(|(effect, base)| matches!(threat(effect, base.as_ref()), Threat::None))
            .map(|(effect, _)| settle(effect, Verdict::Released))
            .collect();
        self.settle(harmless).await
    }

    async fn present_mark(&self) -> PortResult<Mark> {
        Ok(self.mark(self.ports.source.horizon().await?.lsn))
    }
}

/// What an armed write can still do.
enum Threat {
    /// Its ground is gone: the item is past the version it asks for.
    None,
    /// A create while our own item of that sync key stands: refused by uniqueness as long as it does.
    Parried,
    /// It asks for the very version the item has.
    Change,
    /// A create while no item of ours holds the sync key.
    LateCreate,
}

fn threat(effect: &Effect, base: Option<&LedgerRow>) -> Threat {
    // An item that was left standing, or marked, is still there to be changed.
    let stands = base.filter(|row| row.state != LedgerState::Tombstone);
    match (&effect.item, stands) {
        (None, Some(row)) if row.state == LedgerState::Live => Threat::Parried,
        (None, _) => Threat::LateCreate,
        (Some(_), None) => Threat::None,
        (Some(link), Some(row)) => {
            let same_item = row.version.guid == link.before.guid;
            if same_item && row.version.counter <= link.before.counter {
                Threat::Change
            } else {
                Threat::None
            }
        }
    }
}

fn settle(effect: &Effect, verdict: Verdict) -> Settlement {
    Settlement {
        effect: effect.id,
        identity: effect.subject.identity,
        verdict,
        clears_dirty: None,
        request_id: None,
        turns: Vec::new(),
        hold: Hold::AsItIs,
    }
}

fn dirty_mark(effect: &Effect, mark: Mark) -> DirtyMark {
    DirtyMark {
        identity: effect.subject.identity,
        key: effect.subject.key.clone(),
        mark,
        suspected_delete: false,
        target: TargetHint::Presumed,
    }
}

/// A recorded effect as an attempt that was already sent, so that both are settled by the same code.
pub(crate) fn attempt_of(effect: &Effect, base: Option<LedgerRow>) -> Attempt {
    Attempt {
        work: Work {
            subject: effect.subject.clone(),
            source: Side::Unseen,
            mark: effect.after.mark,
            base,
            target: Side::Unseen,
            dirty: None,
            why: WhyTag::FaultRetry,
            heard: Heard::default(),
            held: Held::No,
            rounds: 0,
            search: None,
            resolutions: Vec::new(),
            turns: Vec::new(),
            newcomer: None,
        },
        effect: NewEffect {
            id: EffectId::from_uuid(effect.id.uuid()),
            subject: effect.subject.clone(),
            kind: effect.kind,
            item: effect.item.clone(),
            expected_row_version: None,
            sent: effect.sent.clone(),
            // What it was for stands with the record, which this stands for.
            before: Fields::new(),
            cause: Cause {
                beside: effect.beside,
                ..Cause::of(RowDecision::Nothing)
            },
            after: effect.after.clone(),
        },
        // Never sent from here; kept so that an attempt is whole.
        write: TaggedWrite {
            write: Write::Create {
                fields: Fields::new(),
            },
            why: WhyTag::FaultRetry,
        },
        sends: 1,
        in_doubt: true,
        taken: false,
        parks: false,
        kept: None,
        overrides: Vec::new(),
        answered: None,
        turns: Vec::new(),
    }
}
