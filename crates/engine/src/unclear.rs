//! A write of which nobody can tell any more whether it happened: the item moved on, and its versions tell nothing.
//!
//! Field by field the content decides (DESIGN §5), and whoever may have lost by it is kept with both values: it is a
//! conflict that is marked as ambiguous, never a silent loss.

use syncbridge_domain::agreed::{Agreed, RowDigest, source_hash, target_hash};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::receipt::Item;
use syncbridge_domain::row::SourceRow;

use crate::agreement::Witness;
use crate::evidence;
use crate::ports::{Ledger, OverriddenEdit, PortResult, Verdict};
use crate::session::{Session, World};
use crate::work::Attempt;

/// What an item shows of a field that was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Sent,
    Before,
    Third,
    Nothing,
}

impl<W: World> Session<'_, W> {
    /// What becomes of such a write. `source`: the row as it is now, where it is there.
    pub(crate) async fn settle_unclear(
        &mut self,
        attempt: &Attempt,
        item: &Item,
        source: Option<&SourceRow>,
    ) -> PortResult<Option<Verdict>> {
        if attempt.effect.after.layout != self.layout {
            return Ok(Some(Verdict::Released));
        }
        let (Some(mut row), Ok(after)) = (
            self.live_row(attempt, item, Witness::Look),
            Agreed::from_bytes(&attempt.effect.after.agreed),
        ) else {
            return Ok(None);
        };
        let Ok(mut agreed) = Agreed::from_bytes(&row.agreed) else {
            return Ok(None);
        };
        let shown = self.shows(attempt, item);
        let came = shown.iter().any(|(_, shows)| *shows == Shows::Sent);
        let mut edits = Vec::new();
        for (at, shows) in &shown {
            let (Some(slot), Some((sent_hash, _))) = (agreed.fields.get_mut(*at), after.fields.get(*at))
            else {
                return Ok(None);
            };
            let field = &self.spec.mapping.fields[*at];
            let winner = match shows {
                Shows::Sent | Shows::Nothing => continue,
                // It did not happen, or a person took it back: the same is sent again.
                Shows::Before if !came => Side::Source,
                // A person is newer, whether it happened or not.
                Shows::Before | Shows::Third => {
                    let sent = attempt.effect.sent.get(&field.target);
                    *slot = (
                        *sent_hash,
                        sent.and_then(|sent| target_hash(self.ports.hash_key, sent)),
                    );
                    Side::Target
                }
            };
            if field.direction != Direction::Both || field.passive {
                continue;
            }
            let Some(cell) = source.and_then(|row| row.cells.get(*at)) else {
                continue;
            };
            let stands = source_hash(self.ports.hash_key, cell) == *sent_hash;
            if !stands || winner == Side::Target && self.pull_would_lose(field, Some(cell)) {
                // Both sides hold something new: the policy decides, and its record says what is not known.
                self.unclear.insert((attempt.work.identity(), *at));
                continue;
            }
            edits.push(OverriddenEdit {
                identity: attempt.work.identity(),
                column: field.column.clone(),
                source: self.source_value(field, cell),
                target: item.value(&field.target).cloned().unwrap_or_default(),
                winner,
                target_at: item.modified,
                ambiguous: true,
            });
        }
        if !edits.is_empty() {
            self.counters.overridden += edits.len() as u64;
            self.ports
                .ledger
                .record_conflicts(self.fence(), self.spec.run, &edits)
                .await?;
        }
        if shown
            .iter()
            .all(|(_, shows)| matches!(shows, Shows::Before | Shows::Nothing))
        {
            return Ok(Some(Verdict::Released));
        }
        self.counters.patched += 1;
        agreed.digest = RowDigest::UNKNOWN;
        row.agreed = agreed.to_bytes();
        if let Some(base) = &attempt.work.base {
            // Whatever comes next has to meet what a person did.
            row.version = base.version;
        }
        Ok(Some(Verdict::Applied(Box::new(row))))
    }

    /// What an item shows of every mapped field that was sent.
    fn shows(&self, attempt: &Attempt, item: &Item) -> Vec<(usize, Shows)> {
        let before = attempt.work.base.as_ref().and_then(|row| self.agreed_now(row));
        let fields = self.spec.mapping.fields.iter().enumerate();
        let sent =
            fields.filter_map(|(at, field)| Some((at, field, attempt.effect.sent.get(&field.target)?)));
        sent.map(|(at, field, sent)| {
            let known = before.as_ref().and_then(|agreed| agreed.fields.get(at)?.1);
            let shows = match item.value(&field.target) {
                None => Shows::Nothing,
                Some(shown) if evidence::same_value(&field.facet, sent, shown) => Shows::Sent,
                Some(shown) if known.is_some() && target_hash(self.ports.hash_key, shown) == known => {
                    Shows::Before
                }
                Some(_) => Shows::Third,
            };
            (at, shows)
        })
        .collect()
    }
}
