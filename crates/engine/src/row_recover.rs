//! Settles source writes that an earlier run left open, by what was noted of them before they were to commit.

use syncbridge_domain::agreed::{Agreed, source_hash};
use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::effect::{Effect, EffectKind};
use syncbridge_domain::feed::Mark;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::item_subject::subject_of_item;
use syncbridge_domain::revert::Hold;
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::row_write::TransactionStatus;

use crate::ports::row_writer::RowWriter;
use crate::ports::{Ledger, PortResult, Settlement, Source, Verdict};
use crate::session::{Session, World};

/// What became of a source write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Applied,
    Not,
    /// Its transaction has not ended.
    UnderWay,
}

impl<W: World> Session<'_, W> {
    /// Settles open source writes; answers how many there were and how many could be settled.
    pub(crate) async fn recover_rows(&mut self, effects: &[Effect], mark: Mark) -> PortResult<usize> {
        if effects.is_empty() {
            return Ok(0);
        }
        let fates = self.fates(effects).await?;
        let ids: Vec<Identity> = effects.iter().map(|effect| effect.subject.identity).collect();
        let bases = self.ports.ledger.rows(&ids).await?;
        let mut marks = Vec::new();
        let mut settled = Vec::new();
        for ((effect, fate), base) in effects.iter().zip(fates).zip(bases) {
            let (verdict, hold) = match fate {
                Fate::UnderWay => continue,
                Fate::Not => (Verdict::Released, Hold::AsItIs),
                Fate::Applied => match self.witnessed_row(effect, base.as_ref()) {
                    Some(row) => {
                        let hold = self.hold_once_applied(&effect.subject, effect.beside, &row.agreed);
                        (Verdict::Applied(Box::new(row)), hold)
                    }
                    None => continue,
                },
            };
            // Whatever came of it, row and item are looked at again: either may have moved on since. What was put back
            // and is held is not to be decided about.
            if !matches!(hold, Hold::Begins(_)) {
                marks.extend(self.marks_of(effect, fate, mark));
            }
            settled.push(Settlement {
                effect: effect.id,
                identity: effect.subject.identity,
                verdict,
                clears_dirty: None,
                request_id: None,
                turns: Vec::new(),
                hold,
            });
        }
        let count = settled.len();
        self.counters.recovered += count as u64;
        self.ports.ledger.mark_dirty(self.fence(), &marks, None).await?;
        self.settle(settled).await?;
        Ok(count)
    }

    async fn fates(&self, effects: &[Effect]) -> PortResult<Vec<Fate>> {
        let ids: Vec<u64> = effects
            .iter()
            .filter_map(|effect| effect.witnessed.flatten())
            .collect();
        let statuses = match ids.is_empty() {
            true => Vec::new(),
            false => self.ports.source.transactions(&ids).await?,
        };
        let mut statuses = statuses.into_iter();
        let mut fates = Vec::with_capacity(effects.len());
        for effect in effects {
            fates.push(match effect.witnessed {
                // Nothing was noted, so nothing may commit.
                None => Fate::Not,
                Some(None) => self.fate_by_content(effect).await?,
                Some(Some(_)) => match statuses.next() {
                    Some(TransactionStatus::Committed)
                        if syncbridge_domain::sabotaged!(
                            "insert repeated without asking for its transaction"
                        ) && effect.kind == EffectKind::InsertRow =>
                    {
                        Fate::Not
                    }
                    Some(TransactionStatus::Committed) => Fate::Applied,
                    Some(TransactionStatus::Aborted) => Fate::Not,
                    Some(TransactionStatus::InProgress) => Fate::UnderWay,
                    Some(TransactionStatus::Unknown) | None => self.fate_by_content(effect).await?,
                },
            });
        }
        Ok(fates)
    }

    /// Where no transaction can be asked about, the row itself tells: it shows what was to be written, or it does not.
    async fn fate_by_content(&self, effect: &Effect) -> PortResult<Fate> {
        let (rows, _) = self
            .ports
            .source
            .read_keys(std::slice::from_ref(&effect.subject.key))
            .await?;
        let shows = match (effect.kind, rows.first()) {
            (EffectKind::DeleteRow, Some(Presence::None)) => true,
            (EffectKind::DeleteRow, _) => false,
            // Nobody but this very insert was given that key, whatever a trigger made of the rest.
            (EffectKind::InsertRow, Some(Presence::One(_))) if self.source_chose_key(effect) => true,
            (_, Some(Presence::One(row))) => self.shows_what_was_sent(effect, row),
            _ => false,
        };
        Ok(if shows { Fate::Applied } else { Fate::Not })
    }

    fn source_chose_key(&self, effect: &Effect) -> bool {
        let key = &self.spec.mapping.key;
        !key.iter().any(|column| effect.sent.contains_key(&column.name))
    }

    fn shows_what_was_sent(&self, effect: &Effect, row: &SourceRow) -> bool {
        let Ok(after) = Agreed::from_bytes(&effect.after.agreed) else {
            return false;
        };
        if effect.after.layout != self.layout || after.fields.len() != row.cells.len() {
            return false;
        }
        let fields = self.spec.mapping.fields.iter().zip(&after.fields).zip(&row.cells);
        let mut sent = fields.filter(|((field, _), _)| effect.sent.contains_key(&field.column));
        sent.all(|((_, (known, _)), cell)| source_hash(self.ports.hash_key, cell) == *known)
    }

    fn marks_of(&self, effect: &Effect, fate: Fate, mark: Mark) -> Option<DirtyMark> {
        // An insert that did not happen is still an item without a row.
        let subject = match (&effect.item, effect.kind, fate) {
            (Some(link), EffectKind::InsertRow, Fate::Not) => subject_of_item(
                self.ports.hash_key,
                &self.spec.namespace,
                link.before.guid,
                &link.id,
            ),
            _ => effect.subject.clone(),
        };
        Some(DirtyMark {
            target: match (effect.kind, fate) {
                // The delay before a deletion is believed counts from when it was reported.
                (EffectKind::DeleteRow, _) => TargetHint::Deleted,
                _ => TargetHint::Changed,
            },
            identity: subject.identity,
            key: subject.key,
            mark,
            suspected_delete: false,
        })
    }
}
