//! Verifications: how far they are and what each page showed. They take no lease.

use syncbridge_domain::ids::{DefinitionId, RunId};
use syncbridge_domain::run::Verification;
use syncbridge_domain::verification::{SeenItem, VerificationFrom, VerificationStart, VerificationStep};

use super::denied::Denied;
use super::tables::{StoredVerification, Tables};

/// Verifications kept for a definition.
const KEPT: usize = 5;

impl Tables {
    pub(super) fn begin_verification(
        &mut self,
        definition: DefinitionId,
        start: &VerificationStart,
    ) -> Result<VerificationFrom, Denied> {
        let all = &mut self.definition_mut(definition)?.verifications;
        let interrupted = all
            .iter_mut()
            .rev()
            .find(|known| known.fingerprint == start.fingerprint && !known.finished && known.pages > 0)
            .filter(|_| start.resume);
        if let Some(found) = interrupted {
            // What was found after the last page is found again.
            found.differences.retain(|(page, _)| page.is_some());
            found.run = start.run;
            return Ok(VerificationFrom {
                pages: found.pages,
                next: found.next.clone(),
                report: found.report.clone(),
            });
        }
        all.push(StoredVerification {
            run: start.run,
            fingerprint: start.fingerprint.clone(),
            pages: 0,
            next: None,
            report: Verification::default(),
            finished: false,
            seen: Default::default(),
            differences: Vec::new(),
        });
        let surplus = all.len().saturating_sub(KEPT);
        all.drain(..surplus);
        Ok(VerificationFrom::default())
    }

    pub(super) fn keep_verification(
        &mut self,
        definition: DefinitionId,
        run: RunId,
        step: &VerificationStep,
    ) -> Result<(), Denied> {
        let mut all = self.definition_mut(definition)?.verifications.iter_mut();
        let kept = all.find(|known| known.run == run).ok_or(Denied::TakenOver)?;
        if let Some(page) = &step.page {
            if kept.seen.contains_key(&page.number) {
                return Err(Denied::Refused);
            }
            kept.pages = page.number;
            kept.next.clone_from(&page.next);
            kept.seen.insert(page.number, page.seen.clone());
        }
        // The report of the pages stands until the end: what follows the last page is found again after an
        // interruption, and must not be counted twice.
        if step.page.is_some() || step.finished {
            kept.report = step.report.clone();
        }
        let page = step.page.as_ref().map(|page| page.number);
        kept.differences
            .extend(step.differences.iter().map(|found| (page, found.clone())));
        kept.finished = step.finished;
        if step.finished {
            kept.seen.clear();
        }
        Ok(())
    }

    pub(super) fn verified_page(
        &self,
        definition: DefinitionId,
        run: RunId,
        number: u64,
    ) -> Result<Vec<SeenItem>, Denied> {
        let mut all = self.definition(definition)?.verifications.iter();
        let kept = all.find(|known| known.run == run).ok_or(Denied::TakenOver)?;
        kept.seen.get(&number).cloned().ok_or(Denied::TakenOver)
    }
}
