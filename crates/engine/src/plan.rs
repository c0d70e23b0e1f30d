//! What a push would do: the whole table compared with the ledger, and each value that would travel tried
//! against its list column. Writes nothing, marks nothing, sends nothing.

use std::collections::BTreeMap;

use syncbridge_domain::convert::{Unconvertible, row_to_target};
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::quota::Ru;
use syncbridge_domain::row::Presence;
use syncbridge_domain::run::{PredictedRefusal, Prediction};

use crate::full_scan::Compared;
use crate::ports::{Ledger, PortResult, ScanRecord, Source, Spill};
use crate::session::{Session, World};

type Refusals = BTreeMap<(&'static str, usize), (Unconvertible, u64)>;

impl<W: World> Session<'_, W> {
    /// Predicts a push.
    pub(crate) async fn plan(&mut self) -> PortResult<Prediction> {
        if self.pulls() {
            self.notice(
                "this looks at the table only; what people changed in the list since the last run is foretold where a \
                 plan is saved"
                    .to_owned(),
            );
        }
        let mut prediction = Prediction::default();
        let mut refusals = Refusals::new();
        let rows = self.ports.source.estimate().await?;
        let (mut spill, _) = self.spill_source(rows).await?;
        prediction.rows = self.counters.read;
        for bucket in 0..(1usize << spill.bucket_bits()) {
            self.check()?;
            let mut travelling = Vec::new();
            for one in self.compare_bucket(&mut spill, bucket).await? {
                match one {
                    Compared::Same => prediction.unchanged += 1,
                    Compared::Gone(_) => prediction.gone += 1,
                    Compared::New(record) => {
                        prediction.creates += 1;
                        travelling.push(record);
                    }
                    Compared::Changed(record) => {
                        prediction.changes += 1;
                        travelling.push(record);
                    }
                }
            }
            for chunk in travelling.chunks(self.spec.limits.page_rows as usize) {
                self.predict_refusals(chunk, &mut prediction, &mut refusals)
                    .await?;
            }
        }
        let live = self.ports.ledger.live_rows().await?;
        let deletes = if self.deletes_destroy() {
            prediction.gone
        } else {
            0
        };
        if self.deletes_destroy() {
            prediction.hold = self.hold().await?;
        }
        prediction.deletes_held_back =
            deletes > self.delete_allowance(live).await? || deletes > 0 && prediction.hold.is_some();
        let refused: u64 = refusals.values().map(|(_, rows)| rows).sum();
        let writes = (prediction.creates + prediction.changes + deletes)
            .saturating_sub(refused + prediction.quarantined);
        prediction.ru = Ru(writes * Ru::WRITE.0);
        prediction.refusals = refusals
            .into_iter()
            .map(|((code, at), (refusal, rows))| PredictedRefusal {
                code: code.to_owned(),
                column: self.spec.mapping.fields[at].column.clone(),
                rows,
                fix: refusal.fix().to_owned(),
            })
            .collect();
        Ok(prediction)
    }

    async fn predict_refusals(
        &self,
        records: &[ScanRecord],
        prediction: &mut Prediction,
        refusals: &mut Refusals,
    ) -> PortResult<()> {
        let ids: Vec<Identity> = records.iter().map(|record| record.identity).collect();
        let quarantined = self.ports.ledger.quarantined(&ids).await?;
        let keys: Vec<Key> = records.iter().map(|record| record.key.clone()).collect();
        let (rows, _) = self.ports.source.read_keys(&keys).await?;
        for ((record, row), entry) in records.iter().zip(rows).zip(quarantined) {
            if entry.is_some_and(|q| q.entry.digest == record.digest) {
                prediction.quarantined += 1;
                continue;
            }
            let Presence::One(row) = row else { continue };
            if let Err((at, refusal)) = row_to_target(&self.spec.mapping, &row.cells) {
                let entry = refusals.entry((refusal.code(), at)).or_insert((refusal, 0));
                entry.1 += 1;
            }
        }
        Ok(())
    }
}
