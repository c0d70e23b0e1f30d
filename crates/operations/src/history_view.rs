//! Entries of the history as they are shown: hashes by field, and the rule that decided.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use syncbridge_domain::agreed::{Agreed, CellHash};
use syncbridge_domain::history::{Beside, Cause, Decider, Way};
use syncbridge_domain::mapping::{LayoutStamp, Mapping};
use syncbridge_domain::reconcile::{FieldDecision, RowDecision};
use syncbridge_meta_store::DefinitionStore;
use syncbridge_meta_store::ledger::{HistoryEntry, Stood};

use crate::error::Result;

/// One thing that happened to a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// Its number; a page goes on behind it.
    pub number: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// By which run.
    pub run: String,
    /// `to_list`, `to_source`, `adopted` or `agreed`.
    pub direction: Way,
    /// What was done, such as `patch_item`.
    pub kind: &'static str,
    /// `applied`, `adopted`, `released` or `quarantined`.
    pub outcome: String,
    /// What was decided about the row; absent in entries from before that was kept.
    pub rule: Option<RowDecision>,
    /// Who decided; absent as `rule`.
    pub by: Option<Decider>,
    /// What else it was for.
    pub beside: Option<Beside>,
    /// The item's number.
    pub item: Option<String>,
    /// The item's counter before.
    pub version_before: Option<u64>,
    /// The item's counter after.
    pub version_after: Option<u64>,
    /// The ledger row's version afterwards.
    pub row_version: Option<u64>,
    /// How new the source state was.
    pub mark: Option<MarkView>,
    /// Graph's `request-id`.
    pub request_id: Option<String>,
    /// Whether values were kept with it.
    pub has_values: bool,
    /// Fields whose agreed state changed, or about which something was decided.
    pub fields: Vec<FieldHappened>,
}

/// How new a source state was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MarkView {
    /// Generation of the source's history.
    pub generation: u32,
    /// Position in its write-ahead log.
    pub lsn: u64,
}

/// What became of one field. Hashes are hexadecimal; absent: unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldHappened {
    /// Column of the table.
    pub column: String,
    /// What was decided about it; absent where the row was decided about as a whole.
    pub rule: Option<FieldDecision>,
    /// Who decided.
    pub by: Option<Decider>,
    /// Hash of what the table held before.
    pub source_before: Option<String>,
    /// And after.
    pub source_after: Option<String>,
    /// Hash of what the list showed before.
    pub target_before: Option<String>,
    /// And after.
    pub target_after: Option<String>,
}

impl FieldHappened {
    /// Whether what was agreed on changed on either side.
    pub(crate) fn changed(&self) -> bool {
        self.source_before != self.source_after || self.target_before != self.target_after
    }
}

/// Reads agreed states of any layout in the present one.
pub(crate) struct Layouts<'a> {
    memory: &'a DefinitionStore,
    mapping: &'a Mapping,
    known: BTreeMap<u32, Option<Vec<u64>>>,
}

impl<'a> Layouts<'a> {
    pub(crate) fn new(memory: &'a DefinitionStore, mapping: &'a Mapping) -> Self {
        Self {
            memory,
            mapping,
            known: BTreeMap::new(),
        }
    }

    /// The state field by field in the order of the mapping; all unknown where its layout is not known any more.
    pub(crate) async fn read(&mut self, stood: &Stood) -> Result<Agreed> {
        let fields = self.mapping.fields.len();
        let Ok(agreed) = Agreed::from_bytes(&stood.agreed) else {
            return Ok(Agreed::unknown(fields));
        };
        if stood.layout == self.mapping.layout() && agreed.fields.len() == fields {
            return Ok(agreed);
        }
        let stamps = self.stamps(stood.layout).await?;
        Ok(match stamps {
            Some(stamps) => agreed.relaid(&stamps, &self.mapping.field_stamps()),
            None => Agreed::unknown(fields),
        })
    }

    async fn stamps(&mut self, layout: LayoutStamp) -> Result<Option<Vec<u64>>> {
        if !self.known.contains_key(&layout.0) {
            let found = self.memory.layout(layout).await?;
            self.known.insert(layout.0, found);
        }
        Ok(self.known.get(&layout.0).cloned().flatten())
    }

    /// An entry as it is shown.
    pub(crate) async fn view(&mut self, entry: &HistoryEntry) -> Result<Happened> {
        let nothing = Agreed::unknown(self.mapping.fields.len());
        let before = match &entry.was {
            Some(was) => self.read(was).await?,
            None => nothing.clone(),
        };
        let after = match &entry.stands {
            Some(stands) => self.read(stands).await?,
            // It changed nothing.
            None => before.clone(),
        };
        let fields = self
            .mapping
            .fields
            .iter()
            .zip(before.fields.iter().zip(&after.fields));
        let cause = entry.cause.as_ref();
        let fields = fields
            .map(|(field, (before, after))| field_change(&field.column, cause, *before, *after))
            .filter(|field| field.changed() || field.rule.is_some())
            .collect();
        Ok(Happened {
            number: entry.number,
            at: entry.at,
            run: entry.run.to_string(),
            direction: entry.kind.way(),
            kind: entry.kind.name(),
            outcome: entry.outcome.clone(),
            rule: cause.map(|cause| cause.rule),
            by: cause.map(|cause| cause.by),
            beside: cause.and_then(|cause| cause.beside),
            item: entry.item.clone(),
            version_before: entry.before,
            version_after: entry.after,
            row_version: entry.row_version,
            mark: entry.mark.map(|mark| MarkView {
                generation: mark.generation,
                lsn: mark.lsn.0,
            }),
            request_id: entry.request_id.clone(),
            has_values: entry.has_values,
            fields,
        })
    }
}

type Both = (CellHash, CellHash);

fn field_change(column: &str, cause: Option<&Cause>, before: Both, after: Both) -> FieldHappened {
    let decided = cause.and_then(|cause| cause.field(column));
    FieldHappened {
        column: column.to_owned(),
        rule: decided.map(|decided| decided.rule),
        by: decided.map(|decided| decided.by),
        source_before: hex(before.0),
        source_after: hex(after.0),
        target_before: hex(before.1),
        target_after: hex(after.1),
    }
}

/// A hash as it is shown.
pub(crate) fn hex(hash: CellHash) -> Option<String> {
    hash.map(|hash| format!("{hash:016x}"))
}
