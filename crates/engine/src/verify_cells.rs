//! One item against its row, cell by cell, and which side moved away from what was agreed.

use syncbridge_domain::agreed::{Agreed, source_hash, target_hash};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::policy::OnForeignEdit;
use syncbridge_domain::receipt::Item;
use syncbridge_domain::row::SourceRow;
use syncbridge_domain::verification::Cause;

use crate::ports::PortResult;
use crate::session::{Session, World};

/// What is to be said of an item that stands beside its row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Equal,
    /// It differs only where the definition keeps what people wrote.
    Kept,
    /// Who moved, and in which columns.
    Differing(Cause, Vec<String>),
    /// Columns that the answer did not show.
    Unreadable(Vec<String>),
}

impl<W: World> Session<'_, W> {
    /// Mapped fields whose cell the item does not show as it should be, unseen ones among them. Passive fields
    /// never cause a write and so are never a difference.
    pub(crate) fn unequal_cells(&self, row: &SourceRow, item: &Item) -> Vec<usize> {
        self.spec
            .mapping
            .fields
            .iter()
            .enumerate()
            .zip(&row.cells)
            .filter(|((_, field), _)| !field.passive)
            .filter(|((_, field), cell)| {
                !item
                    .value(&field.target)
                    .is_some_and(|shown| self.equivalent(field, cell, shown))
            })
            .map(|((at, _), _)| at)
            .collect()
    }

    /// `dropped`: columns that an answer may lack without their being empty.
    pub(crate) async fn judge(
        &mut self,
        base: &LedgerRow,
        row: &SourceRow,
        item: &Item,
        dropped: &[String],
    ) -> PortResult<Judged> {
        let unequal = self.unequal_cells(row, item);
        if unequal.is_empty() {
            return Ok(Judged::Equal);
        }
        let agreed = self.agreed(base).await?;
        let fields = &self.spec.mapping.fields;
        let mut cause = Cause::Neither;
        let (mut differing, mut unseen) = (Vec::new(), Vec::new());
        for at in unequal {
            let target = &fields[at].target;
            let absent = !item.fields.contains_key(target);
            if item.value(target).is_none() || absent && dropped.contains(target) {
                unseen.push(fields[at].column.clone());
                continue;
            }
            let moved = self.moved(at, &agreed, row, item);
            let policy = fields[at]
                .on_foreign_edit
                .unwrap_or(self.spec.policies.on_foreign_edit);
            if moved == Cause::List && policy == OnForeignEdit::Keep {
                continue;
            }
            cause = match differing.is_empty() {
                true => moved,
                false => cause.and(moved),
            };
            differing.push(fields[at].column.clone());
        }
        Ok(match (differing.is_empty(), unseen.is_empty()) {
            (false, _) => Judged::Differing(cause, differing),
            (true, false) => Judged::Unreadable(unseen),
            (true, true) => Judged::Kept,
        })
    }

    fn moved(&self, at: usize, agreed: &Agreed, row: &SourceRow, item: &Item) -> Cause {
        let field = &self.spec.mapping.fields[at];
        let (Some((base_source, base_target)), Some(shown)) =
            (agreed.fields.get(at), item.value(&field.target))
        else {
            return Cause::Unknown;
        };
        let here = source_hash(self.ports.hash_key, &row.cells[at]) != *base_source;
        let there = target_hash(self.ports.hash_key, shown) != *base_target;
        match (base_source, base_target) {
            (None, _) => Cause::Unknown,
            // The stored form was never learnt: only the source can be judged by itself.
            (Some(_), None) if here => Cause::Both,
            (Some(_), None) => Cause::List,
            (Some(_), Some(_)) => match (here, there) {
                (true, true) => Cause::Both,
                (true, false) => Cause::Source,
                (false, true) => Cause::List,
                (false, false) => Cause::Neither,
            },
        }
    }
}
