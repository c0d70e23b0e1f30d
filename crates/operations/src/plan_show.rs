//! `plans show`: one plan with everything it holds, page by page, values included.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ids::PlanId;
use syncbridge_domain::item_subject::item_of;
use syncbridge_domain::preflight::Forecast;
use syncbridge_domain::quota::Ru;
use syncbridge_meta_store::ledger::{PlanChange, PlanTally, approvals, plan, tally};
use syncbridge_meta_store::{DefinitionStore, definitions};

use crate::Operations;
use crate::error::Result;
use crate::plan_list::PlanView;
use crate::shelf::Shelf;

/// A plan opened for reading.
pub struct PlanOpened {
    /// What can be said without values.
    pub view: PlanView,
    /// How its changes stand.
    pub tally: PlanTally,
    /// What people said about it: who, what, when, in which words.
    pub said: Vec<(String, &'static str, DateTime<Utc>, Option<String>)>,
    /// Minutes that running it takes at the tenant's full quota.
    pub minutes: Option<f64>,
    memory: DefinitionStore,
}

/// One planned change with its values.
#[derive(Clone, PartialEq, Serialize)]
pub struct ChangeView {
    /// What it does: `create_item`, `patch_item`, `delete_item`, `insert_row`, `update_row`, `delete_row`.
    pub kind: &'static str,
    /// Key of the row; empty where the source is still to give it one.
    pub key: Vec<String>,
    /// Number of the item, where there is one.
    pub item: Option<String>,
    /// Cell by cell.
    pub fields: Vec<FieldView>,
    /// What became of it: `waiting`, `applied`, `outdated`, `refused`.
    pub state: &'static str,
}

/// One cell of a planned change.
#[derive(Clone, PartialEq, Serialize)]
pub struct FieldView {
    /// Source column, or list column where it is ours.
    pub column: String,
    /// What is there now; absent where nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    /// What will be there.
    pub after: Json,
}

/// One row, or field, that stays as it is.
#[derive(Clone, PartialEq, Serialize)]
pub struct RemarkView {
    /// Its place.
    pub number: u64,
    /// Why: `conflict`, `foreign`, `overridden`, `refused`, `waiting`.
    pub kind: &'static str,
    /// Key of the row; empty where it has none.
    pub key: Vec<String>,
    /// Source column, where it is about one.
    pub column: Option<String>,
    /// Stable code of a refusal.
    pub code: Option<String>,
    /// Its cause.
    pub cause: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
    /// The source's value.
    pub source: Option<Json>,
    /// The list's value.
    pub target: Option<Json>,
    /// Whose stands, where that is decided.
    pub winner: Option<&'static str>,
    /// Since when.
    pub since: DateTime<Utc>,
}

// Values stay out of logs.
impl std::fmt::Debug for ChangeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChangeView({}, {} fields)", self.kind, self.fields.len())
    }
}

impl std::fmt::Debug for RemarkView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RemarkView({})", self.kind)
    }
}

/// Where a page of changes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangePlace(Identity, u16);

impl Operations {
    /// Opens a plan.
    ///
    /// # Errors
    /// An unknown plan; a definition that is gone.
    pub async fn plan_open(&self, id: PlanId) -> Result<PlanOpened> {
        let mut connection = self.store.acquire().await?;
        let header = plan(&mut connection, self.workspace, id).await?;
        let stored = definitions::get(&mut connection, header.definition).await?;
        let shelf = Shelf::load(&mut connection, self.workspace).await?;
        let spec = shelf.definition(&stored.name)?;
        let licences = shelf
            .connection(spec.connection.as_str())
            .ok()
            .and_then(|connection| connection.licenses);
        let said = approvals(&mut connection, id).await?;
        let tally = tally(&mut connection, id).await?;
        let data_key = definitions::data_key(&mut connection, &self.ring, stored.id).await?;
        let list = stored.list.map(|list| list.list).unwrap_or_default();
        let memory = DefinitionStore::new(self.store.clone(), self.workspace, stored.id, list, data_key);
        let forecast = |ru: Ru| Forecast::of_writes(header.counts.changes(), ru, licences).minutes;
        Ok(PlanOpened {
            view: PlanView::of(&stored.name, &header, spec.four_eyes),
            tally,
            said: said
                .into_iter()
                .map(|given| {
                    let approval = given.approval;
                    (
                        approval.actor,
                        approval.decision.name(),
                        given.at,
                        approval.remark,
                    )
                })
                .collect(),
            minutes: header.predicted_ru.map(forecast),
            memory,
        })
    }
}

impl PlanOpened {
    /// A page of changes behind `after`, and where it ended; an empty page is the end.
    ///
    /// # Errors
    /// Values that do not open under the present master key.
    pub async fn changes(
        &self,
        after: Option<ChangePlace>,
        limit: u32,
    ) -> Result<(Vec<ChangeView>, Option<ChangePlace>)> {
        let after = after.map(|ChangePlace(identity, ordinal)| (identity, ordinal));
        let page = self.memory.planned(self.view.plan, after, limit).await?;
        let last = page
            .last()
            .map(|one| ChangePlace(one.change.identity, one.change.ordinal));
        Ok((page.into_iter().map(change).collect(), last))
    }

    /// A page of remarks behind the number `after`; an empty page is the end.
    ///
    /// # Errors
    /// Values that do not open under the present master key.
    pub async fn remarks(&self, after: u64, limit: u32) -> Result<Vec<RemarkView>> {
        let page = self.memory.plan_remarks(self.view.plan, after, limit).await?;
        Ok(page
            .into_iter()
            .map(|remark| {
                let (source, target) = remark.values.unzip();
                let failure = remark.failure;
                RemarkView {
                    number: remark.number,
                    kind: remark.kind.name(),
                    key: remark.key.as_ref().map(texts).unwrap_or_default(),
                    column: remark
                        .column
                        .or_else(|| failure.as_ref().and_then(|failure| failure.column.clone())),
                    code: failure.as_ref().map(|failure| failure.code.clone()),
                    cause: failure.as_ref().map(|failure| failure.cause.clone()),
                    fix: failure.map(|failure| failure.fix),
                    source,
                    target,
                    winner: remark.winner.map(syncbridge_domain::conflict::Side::name),
                    since: remark.since,
                }
            })
            .collect())
    }
}

fn change(one: PlanChange) -> ChangeView {
    let PlanChange { change, state } = one;
    ChangeView {
        kind: change.kind.name(),
        key: texts(&change.key),
        item: change.item.map(|item| item.id.0),
        fields: change
            .fields
            .into_iter()
            .map(|field| FieldView {
                before: field.was_read().then(|| field.before.clone()),
                column: field.column,
                after: field.after,
            })
            .collect(),
        state: state.name(),
    }
}

/// An item that has no row yet has no key either.
fn texts(key: &Key) -> Vec<String> {
    if item_of(key).is_some() {
        return Vec::new();
    }
    let texts = key.texts().unwrap_or_default();
    texts.into_iter().map(str::to_owned).collect()
}
