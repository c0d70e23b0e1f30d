//! What the versions of an item say about a write whose answer was lost, once people have written over what it wrote
//! (DESIGN §5: versions are a bonus; without them the content decides, and what it cannot decide is said to be so).

use syncbridge_domain::agreed::{Agreed, target_hash};
use syncbridge_domain::effect::{EffectKind, ItemLink};
use syncbridge_domain::facet::Facet;
use syncbridge_domain::identity::{HashKey, Identity};
use syncbridge_domain::item_history::{HistoryRead, ItemHistory, ItemVersion};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::mapping::{FieldMapping, Mapping};
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Fields, Item, ItemId};

use crate::evidence::{self, Finding, Presence};
use crate::overtaken::Overtaking;
use crate::ports::{PortResult, Target};
use crate::session::{Session, World};

/// A write that is asked about.
pub(crate) struct Asked<'e> {
    pub(crate) identity: Identity,
    pub(crate) kind: EffectKind,
    /// The item and the version that a change rested on.
    pub(crate) item: Option<&'e ItemLink>,
    pub(crate) sent: &'e Fields,
    pub(crate) base: Option<&'e LedgerRow>,
    /// A request of it got no answer; else it certainly did not happen.
    pub(crate) in_doubt: bool,
    /// No other write of ours to this item is unaccounted for.
    pub(crate) alone: bool,
}

/// What an item's past says of a write.
#[derive(Debug, PartialEq)]
enum Past {
    /// It happened and left the item like this.
    Ours(Item),
    /// It happened at no time.
    Never,
    /// Nothing that would tell.
    Untold,
}

impl<W: World> Session<'_, W> {
    /// What the past of the items adds to what they show.
    pub(crate) async fn look_back(
        &mut self,
        asked: &[Asked<'_>],
        findings: Vec<Finding>,
    ) -> PortResult<Vec<Finding>> {
        // Only where people's edits travel does it matter who was first.
        let findings = match self.pulls() {
            true => self.explain(asked, findings).await,
            false => findings,
        };
        let overtaking: Vec<Overtaking<'_>> = asked
            .iter()
            .zip(&findings)
            .filter_map(|(asked, finding)| overtaking(asked, finding))
            .collect();
        let unread = self.record_overtaken(&overtaking).await?;
        let findings = asked.iter().zip(findings);
        Ok(findings
            .map(|(asked, finding)| match unread.contains(&asked.identity) {
                true => Finding::NotNow,
                false => finding,
            })
            .collect())
    }

    /// Asks for the versions of items that moved on without showing plainly what became of the writes to them.
    async fn explain(&self, asked: &[Asked<'_>], mut findings: Vec<Finding>) -> Vec<Finding> {
        for (asked, finding) in asked.iter().zip(&mut findings) {
            // One write came after what ours rested on, and it was this app's: there is no other.
            if let Some(item) = moved(asked, finding)
                && written_since(asked, item) == 1
                && item.by_us == Some(true)
                && asked.alone
            {
                *finding = Finding::Then {
                    then: item.clone(),
                    now: item.clone(),
                };
            }
        }
        let wanted: Vec<(usize, Item)> = asked
            .iter()
            .zip(&findings)
            .enumerate()
            .filter_map(|(at, (asked, finding))| {
                let item = self.unexplained(asked, finding)?;
                Some((at, item.clone()))
            })
            .collect();
        for chunk in wanted.chunks(20) {
            let ids: Vec<ItemId> = chunk.iter().map(|(_, item)| item.id.clone()).collect();
            let read = self.ports.target.history(&ids, WhyTag::Probe).await;
            for ((at, item), read) in chunk.iter().zip(read) {
                let past = match read {
                    HistoryRead::Told(history) => self.past(&asked[*at], &item.id, &history),
                    HistoryRead::Untold => Past::Untold,
                    HistoryRead::Unknown(_) => {
                        findings[*at] = Finding::NotNow;
                        continue;
                    }
                };
                let now = item.clone();
                match (past, asked[*at].kind) {
                    (Past::Ours(then), _) => findings[*at] = Finding::Then { then, now },
                    (Past::Never, _) => findings[*at] = Finding::Superseded(Presence::Item(now)),
                    (Past::Untold, EffectKind::PatchItem) => findings[*at] = Finding::Unclear(now),
                    // Whatever it shows otherwise than sent, an item that we made began as we made it.
                    (Past::Untold, _) => {}
                }
            }
        }
        findings
    }

    /// The item of a write that only the item's past can explain.
    fn unexplained<'f>(&self, asked: &Asked<'_>, finding: &'f Finding) -> Option<&'f Item> {
        if let Some(item) = moved(asked, finding) {
            return (written_since(asked, item) > 1).then_some(item);
        }
        match finding {
            Finding::Applied(Some(item))
                if asked.kind == EffectKind::CreateItem
                    && asked.in_doubt
                    && item.version.counter > 1
                    && asked
                        .base
                        .is_none_or(|base| base.version.guid != item.version.guid)
                    && !evidence::shows_created(&self.spec.mapping, asked.sent, item) =>
            {
                Some(item)
            }
            _ => None,
        }
    }

    fn past(&self, asked: &Asked<'_>, id: &ItemId, history: &ItemHistory) -> Past {
        let seen = Seen {
            mapping: &self.spec.mapping,
            hash_key: self.ports.hash_key,
            sent: asked.sent,
            id,
            history,
            alone: asked.alone,
        };
        match asked.item {
            None => seen.of_create(),
            Some(link) if link.before.guid == history.now.guid => {
                let agreed = asked.base.and_then(|base| self.agreed_now(base));
                seen.of_patch(link.before.counter, agreed.as_ref())
            }
            Some(_) => Past::Untold,
        }
    }
}

/// The item of a change that does not show it whole and is past the version that it rested on.
fn moved<'f>(asked: &Asked<'_>, finding: &'f Finding) -> Option<&'f Item> {
    let link = asked
        .item
        .filter(|_| asked.kind == EffectKind::PatchItem && asked.in_doubt)?;
    match finding {
        Finding::Partly(item) | Finding::Superseded(Presence::Item(item))
            if item.version.guid == link.before.guid =>
        {
            Some(item)
        }
        _ => None,
    }
}

/// A change that a look found and that may have passed over others: more than one write came after what it rested on.
fn overtaking<'e>(asked: &Asked<'e>, finding: &'e Finding) -> Option<Overtaking<'e>> {
    let link = asked
        .item
        .filter(|_| asked.kind == EffectKind::PatchItem && asked.in_doubt)?;
    let item = match finding {
        Finding::Applied(Some(item)) | Finding::Then { then: item, .. } => item,
        _ => return None,
    };
    let passed = item.version.guid == link.before.guid && written_since(asked, item) > 1;
    passed.then_some(Overtaking {
        identity: asked.identity,
        before: link.before,
        sent: asked.sent,
        base: asked.base,
        item,
        answered: false,
    })
}

/// How many writes at most came after what a change rested on.
fn written_since(asked: &Asked<'_>, item: &Item) -> u64 {
    let before = asked.item.map_or(0, |link| link.before.counter);
    item.version.counter.saturating_sub(before)
}

/// A history beside a write.
struct Seen<'e> {
    mapping: &'e Mapping,
    hash_key: &'e HashKey,
    sent: &'e Fields,
    id: &'e ItemId,
    history: &'e ItemHistory,
    alone: bool,
}

impl Seen<'_> {
    fn of_patch(&self, before: u64, agreed: Option<&Agreed>) -> Past {
        let since = self.history.label_at(before);
        let versions = &self.history.versions;
        let newer = |version: &&ItemVersion| since.is_none_or(|since| version.label > since);
        for (at, version) in versions.iter().take_while(newer).enumerate() {
            // The counter may have moved without a version, so that older ones than meant are among these.
            if !self.history.in_step() && agreed.is_none_or(|agreed| self.shows_agreed(version, agreed)) {
                return Past::Untold;
            }
            // What rests on a version lands as the very next one.
            let next = self.history.in_step() && since.is_some_and(|since| version.label == since + 1);
            if version.by_us == Some(true) && next && self.alone
                || self.appears(version, versions.get(at + 1))
            {
                return Past::Ours(self.left(version));
            }
        }
        match since {
            Some(since) if self.history.reaches(since) && self.is_telling() => Past::Never,
            _ => Past::Untold,
        }
    }

    fn of_create(&self) -> Past {
        let versions = &self.history.versions;
        let Some(first) = versions.iter().find(|version| version.label == 1) else {
            return Past::Untold;
        };
        // A list that keeps no versions calls every state of an item its first.
        if versions.len() < 2 && self.history.now.counter > 1 {
            return Past::Untold;
        }
        match first.by_us {
            Some(false) => Past::Never,
            _ if self.alone && first.by_us == Some(true) || self.shows(first) == Some(true) => {
                Past::Ours(self.left(first))
            }
            _ => Past::Untold,
        }
    }

    /// Whether what was sent came with this version.
    fn appears(&self, version: &ItemVersion, older: Option<&ItemVersion>) -> bool {
        if version.by_us == Some(false) || self.shows(version) != Some(true) {
            return false;
        }
        match older {
            Some(older) => self.shows(older) == Some(false),
            None => version.by_us == Some(true),
        }
    }

    /// The sent fields that versions can be asked about. Instants are left out: versions have been seen to shift them
    /// to another time zone.
    fn asked(&self) -> impl Iterator<Item = (&FieldMapping, &serde_json::Value)> {
        let fields = self.mapping.fields.iter().filter(|field| !is_time(field));
        fields.filter_map(|field| Some((field, self.sent.get(&field.target)?)))
    }

    fn is_telling(&self) -> bool {
        self.asked().next().is_some()
    }

    /// Whether a version shows everything that was sent; nothing where it shows nothing of it.
    fn shows(&self, version: &ItemVersion) -> Option<bool> {
        let item = self.history.item_at(self.id, version);
        let mut shown = self.asked().filter_map(|(field, sent)| {
            Some(evidence::same_value(
                &field.facet,
                sent,
                item.value(&field.target)?,
            ))
        });
        let first = shown.next()?;
        Some(first && shown.all(|same| same))
    }

    /// Whether a version shows what was agreed on in every field that was sent.
    fn shows_agreed(&self, version: &ItemVersion, agreed: &Agreed) -> bool {
        let item = self.history.item_at(self.id, version);
        let fields = self.mapping.fields.iter().zip(&agreed.fields);
        let mut known = fields.filter(|(field, _)| !is_time(field) && self.sent.contains_key(&field.target));
        known.all(|(field, (_, known))| {
            item.value(&field.target)
                .is_none_or(|shown| target_hash(self.hash_key, shown) == *known)
        })
    }

    /// The item as the write left it.
    fn left(&self, version: &ItemVersion) -> Item {
        let mut item = self.history.item_at(self.id, version);
        for field in self.mapping.fields.iter().filter(|field| is_time(field)) {
            if let Some(sent) = self.sent.get(&field.target) {
                item.fields.insert(field.target.clone(), sent.clone());
            }
        }
        item
    }
}

fn is_time(field: &FieldMapping) -> bool {
    matches!(field.facet, Facet::DateTime | Facet::DateOnly)
}

#[cfg(test)]
#[path = "versions_tests.rs"]
mod tests;
