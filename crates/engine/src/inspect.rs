//! Looking at the list for what became of writes whose answer was lost, or tells too little.

use syncbridge_domain::dirty::DirtyMark;
use syncbridge_domain::effect::{Effect, EffectKind};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, ItemId, ItemRead, Lookup, RowName};
use syncbridge_domain::revert::Hold;
use syncbridge_domain::row::Presence;

use crate::agreement::{Witness, release, settlement};
use crate::evidence::{self, Finding};
use crate::ports::{Ledger, PortResult, Settlement, Target, Verdict};
use crate::recover::attempt_of;
use crate::sending::Sent;
use crate::session::{Session, World};
use crate::versions::Asked;
use crate::work::{Attempt, Work};

impl<W: World> Session<'_, W> {
    /// Looks at the list for writes whose answer was lost. Returns those to send again.
    pub(crate) async fn inspect(
        &mut self,
        attempts: Vec<Attempt>,
        sent: &mut Sent,
    ) -> PortResult<Vec<Attempt>> {
        let (answered, attempts): (Vec<Attempt>, Vec<Attempt>) = attempts
            .into_iter()
            .partition(|attempt| attempt.answered.is_some());
        self.inspect_overtaking(answered, sent).await?;
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let findings = if syncbridge_domain::sabotaged!("no lookup before re-create") {
            attempts.iter().map(|_| Finding::Pending).collect()
        } else {
            self.look_at(&attempts).await?
        };
        let mut resend = Vec::new();
        let mut settled = Vec::new();
        let mut landed = Vec::new();
        for (attempt, finding) in attempts.into_iter().zip(findings) {
            match self.made_and_edited(&attempt, finding) {
                Finding::Applied(item) => match self.found_applied(&attempt, item) {
                    Some(FoundApplied::Ours(settlement)) => {
                        settled.push(*settlement);
                        landed.extend(attempt.work.next_part());
                    }
                    Some(FoundApplied::Earlier(settlements, work)) => {
                        settled.extend(*settlements);
                        landed.push(*work);
                    }
                    Some(FoundApplied::Other(settlement, work)) => {
                        settled.push(*settlement);
                        sent.again.push(*work);
                    }
                    None => sent.unsettled.push(attempt.work),
                },
                Finding::Partly(item) => {
                    let mut partly = self.applied(&attempt, Some(item.clone()), Witness::Look, None);
                    // What is left of it is decided next; a crash before that must find the row dirty.
                    if let Some(settlement) = &mut partly
                        && !syncbridge_domain::sabotaged!("dirty row cleared before the rest is decided")
                    {
                        settlement.clears_dirty = None;
                    }
                    settled.extend(partly);
                    landed.push(looked_at(attempt, item));
                }
                Finding::Then { then, now } => {
                    let mut written = self.applied(&attempt, Some(then), Witness::Answer, None);
                    if let Some(settlement) = &mut written {
                        settlement.clears_dirty = None;
                    }
                    settled.extend(written);
                    landed.push(looked_at(attempt, now));
                }
                Finding::Unclear(item) => {
                    let row = attempt.work.source.one().cloned();
                    match self.settle_unclear(&attempt, &item, row.as_ref()).await? {
                        Some(verdict) => {
                            settled.push(Settlement {
                                clears_dirty: None,
                                ..settlement(&attempt, verdict, None)
                            });
                            landed.push(looked_at(attempt, item));
                        }
                        None => sent.unsettled.push(attempt.work),
                    }
                }
                Finding::NotNow => sent.unsettled.push(attempt.work),
                // The list says that the item is there, and shows none: after a second try it is out of our sight.
                Finding::Pending if attempt.taken && !attempt.in_doubt && attempt.sends >= 2 => {
                    settled.push(self.quarantined(&attempt, invisible()));
                }
                // Nothing would stop a repeat from making a second item.
                Finding::Pending | Finding::Unknown if attempt.in_doubt && !self.may_repeat(&attempt) => {
                    sent.unsettled.push(attempt.work);
                }
                // Sent again under the same effect: a repeat that lands twice is stopped by the sync key or If-Match.
                Finding::Pending | Finding::Unknown => {
                    let mut attempt = attempt;
                    if attempt.in_doubt {
                        attempt.write.why = WhyTag::FaultRetry;
                    }
                    attempt.sends = attempt.sends.max(2);
                    resend.push(attempt);
                }
                Finding::Superseded(now) => {
                    let gone = matches!(now, evidence::Presence::Gone);
                    settled.push(match gone {
                        true => self.out_of_sight(&attempt),
                        false => release(&attempt),
                    });
                    let target = match now {
                        evidence::Presence::Item(item) => Presence::One(item),
                        evidence::Presence::Items(items) => Presence::Many(items),
                        evidence::Presence::Gone => Presence::None,
                    };
                    let rounds = attempt.work.rounds.saturating_add(1);
                    sent.again.push(Work {
                        target,
                        rounds,
                        why: attempt.write.why,
                        // Another item now than the one that parts of the row were sent to.
                        search: None,
                        ..attempt.work
                    });
                }
            }
        }
        // A row whose write is settled in part only is dirty until the rest of it is decided.
        let unmarked = landed.iter().filter(|work| work.dirty.is_none());
        let marks: Vec<DirtyMark> = unmarked.map(Work::dirty_mark).collect();
        if !marks.is_empty() {
            self.ports.ledger.mark_dirty(self.fence(), &marks, None).await?;
        }
        self.settle(settled).await?;
        sent.again.extend(self.with_base_now(landed).await?);
        Ok(resend)
    }

    /// Settles a write to an item that is not there for us, or not any more.
    pub(crate) fn out_of_sight(&self, attempt: &Attempt) -> Settlement {
        match attempt.in_doubt && self.may_be_hidden(attempt.effect.kind) {
            true => settlement(attempt, Verdict::Armed, None),
            false => release(attempt),
        }
    }

    /// Whether a write whose answer was lost may be sent again: a change by its precondition, a create only where
    /// the list itself refuses a second item.
    fn may_repeat(&self, attempt: &Attempt) -> bool {
        attempt.effect.kind != EffectKind::CreateItem || self.spec.target.rules.unique
    }

    /// Works whose ledger row was just written, with that row.
    pub(crate) async fn with_base_now(&self, mut works: Vec<Work>) -> PortResult<Vec<Work>> {
        let ids: Vec<Identity> = works.iter().map(Work::identity).collect();
        if ids.is_empty() {
            return Ok(works);
        }
        let rows = self.ports.ledger.rows(&ids).await?;
        for (work, row) in works.iter_mut().zip(rows) {
            work.base = row;
        }
        Ok(works)
    }

    /// The armed create of this identity that made the item: what it sent is what the item shows.
    pub(crate) fn earlier_create<'e>(
        &self,
        armed: &'e [Effect],
        identity: Identity,
        item: &Item,
    ) -> Option<&'e Effect> {
        armed.iter().rev().find(|effect| {
            effect.subject.identity == identity
                && effect.kind == EffectKind::CreateItem
                && evidence::shows_created(&self.spec.mapping, &effect.sent, item)
        })
    }

    /// Settles an armed create whose item showed up, together with the later create that was refused for it.
    pub(crate) fn landed_earlier(
        &self,
        earlier: &Effect,
        base: Option<LedgerRow>,
        item: &Item,
        refused: Settlement,
    ) -> Option<[Settlement; 2]> {
        let row = self.live_row(&attempt_of(earlier, base), item, Witness::Look)?;
        let settled = Settlement {
            effect: earlier.id,
            identity: earlier.subject.identity,
            verdict: Verdict::Applied(Box::new(row)),
            clears_dirty: None,
            request_id: None,
            turns: Vec::new(),
            hold: Hold::AsItIs,
        };
        Some([refused, settled])
    }

    /// An item under our sync key that a create may have made, the only one that was under way, is its item: whatever it
    /// shows otherwise is a person's.
    fn made_and_edited(&self, attempt: &Attempt, finding: Finding) -> Finding {
        let linked = attempt.work.base.as_ref().map(|base| base.version.guid);
        match finding {
            Finding::Applied(Some(item))
                if attempt.effect.kind == EffectKind::CreateItem
                    && attempt.in_doubt
                    && item.version.counter > 1
                    && linked != Some(item.version.guid)
                    && self.armed_create(attempt.work.identity()).is_none()
                    && !evidence::shows_created(&self.spec.mapping, &attempt.effect.sent, &item) =>
            {
                Finding::Partly(item)
            }
            finding => finding,
        }
    }

    /// An item under our sync key after a create: ours if it shows what we sent; an earlier create's of ours if
    /// it shows what that sent; otherwise one that a lost ledger left behind, to be judged by content.
    fn found_applied(&mut self, attempt: &Attempt, item: Option<Item>) -> Option<FoundApplied> {
        if let (EffectKind::CreateItem, Some(found)) = (attempt.effect.kind, &item)
            && !evidence::shows_created(&self.spec.mapping, &attempt.effect.sent, found)
        {
            let work = Box::new(Work {
                target: Presence::One(found.clone()),
                rounds: attempt.work.rounds.saturating_add(1),
                ..attempt.work.clone()
            });
            let identity = attempt.work.identity();
            if let Some(earlier) = self.earlier_create(self.armed_of(identity), identity, found) {
                let base = attempt.work.base.clone();
                let settled = Box::new(self.landed_earlier(earlier, base, found, release(attempt))?);
                return Some(FoundApplied::Earlier(settled, work));
            }
            return Some(FoundApplied::Other(Box::new(release(attempt)), work));
        }
        self.applied(attempt, item, Witness::Look, None)
            .map(|settlement| FoundApplied::Ours(Box::new(settlement)))
    }

    /// One finding an attempt, in order.
    async fn look_at(&mut self, attempts: &[Attempt]) -> PortResult<Vec<Finding>> {
        let creates: Vec<RowName> = attempts
            .iter()
            .filter(|a| a.effect.kind == EffectKind::CreateItem)
            .map(|a| a.work.subject.name())
            .collect();
        let changes: Vec<ItemId> = attempts
            .iter()
            .filter_map(|a| a.effect.item.as_ref())
            .map(|link| link.id.clone())
            .collect();
        let (found, read) = self.look_up_and_read(&creates, &changes).await;
        let (mut found, mut read) = (found.into_iter(), read.into_iter());
        let findings = attempts
            .iter()
            .map(|attempt| match &attempt.effect.item {
                None => found.next().map_or(Finding::Unknown, evidence::of_create),
                Some(link) => read.next().map_or(Finding::Unknown, |read| {
                    let sent = &attempt.effect.sent;
                    evidence::of_change(&self.spec.mapping, attempt.effect.kind, link.before, sent, read)
                }),
            })
            .collect();
        let asked: Vec<Asked<'_>> = attempts
            .iter()
            .map(|attempt| Asked {
                identity: attempt.work.identity(),
                kind: attempt.effect.kind,
                item: attempt.effect.item.as_ref(),
                sent: &attempt.effect.sent,
                base: attempt.work.base.as_ref(),
                in_doubt: attempt.in_doubt,
                alone: self.armed_of(attempt.work.identity()).is_empty(),
            })
            .collect();
        self.look_back(&asked, findings).await
    }

    /// Both at once: a list that does not answer is waited for once.
    pub(crate) async fn look_up_and_read(
        &self,
        names: &[RowName],
        items: &[ItemId],
    ) -> (Vec<Lookup>, Vec<ItemRead>) {
        futures_util::future::join(
            self.lookup_all(names, WhyTag::Probe),
            self.read_all(items, WhyTag::Probe),
        )
        .await
    }

    /// Looks up any number of items, 20 at a time where the list can be searched.
    pub(crate) async fn lookup_all(&self, names: &[RowName], why: WhyTag) -> Vec<Lookup> {
        let mut found = Vec::with_capacity(names.len());
        let size = if self.spec.target.rules.indexed {
            20
        } else {
            names.len().max(1)
        };
        for chunk in names.chunks(size) {
            found.extend(self.ports.target.lookup(chunk, why).await);
        }
        found
    }

    /// Reads any number of items, 20 at a time.
    pub(crate) async fn read_all(&self, items: &[ItemId], why: WhyTag) -> Vec<ItemRead> {
        let mut read = Vec::with_capacity(items.len());
        for chunk in items.chunks(20) {
            read.extend(self.ports.target.read(chunk, why).await);
        }
        read
    }
}

/// The work of a write that happened, or may have, to be judged on what the item is now.
fn looked_at(attempt: Attempt, item: Item) -> Work {
    Work {
        target: Presence::One(item),
        rounds: attempt.work.rounds.saturating_add(1),
        why: attempt.write.why,
        ..attempt.work
    }
}

enum FoundApplied {
    Ours(Box<Settlement>),
    Earlier(Box<[Settlement; 2]>, Box<Work>),
    Other(Box<Settlement>, Box<Work>),
}

fn invisible() -> Failure {
    Failure::new(
        Scope::Row,
        "item.invisible",
        "the list refuses a new item because a value that must be unique is taken, and no item of this row can be \
         seen: it waits for approval or has permissions of its own, or another column holds the value",
        "approve the item in the list or give the app access to it, then retry the row; no second item is made",
    )
}
