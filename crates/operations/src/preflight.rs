//! `plan --check`: everything that can be known before the first write. What is cheap of it is also said when a
//! definition is applied. What blocks is what provisioning refuses, which looks before it writes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::list_rules::ListRules;
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::preflight::{
    Finding, Forecast, ListSurvey, Weight, cannot_tell, judge_list, judge_mapping, judge_source,
};
use syncbridge_domain::run::{Prediction, Progress, RunKind, RunOptions, SourceSpec, TargetSpec};
use syncbridge_domain::sentinel;
use syncbridge_manifest::SyncDefinitionSpec;

use crate::Operations;
use crate::actor::Actor;
use crate::definition;
use crate::error::{Error, Result};
use crate::ports::{ConnectionAccess, InstanceAccess, RowPlace};
use crate::run::{KeyTexts, Prepared, RunOrder};

/// What is known before the first write.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The definition.
    pub definition: String,
    /// Whether there is a list already.
    pub list_exists: bool,
    /// The heaviest first.
    pub findings: Vec<Finding>,
    /// What the next run will take.
    pub forecast: Option<Forecast>,
    /// What every row was found to need.
    pub prediction: Option<Prediction>,
    /// What nobody can tell beforehand.
    pub cannot_tell: Vec<String>,
}

impl CheckReport {
    /// The heaviest weight found.
    #[must_use]
    pub fn worst(&self) -> Option<Weight> {
        self.findings.iter().map(|finding| finding.weight).min()
    }
}

impl Operations {
    /// Checks a definition against both sides, every row included. Writes nothing to either.
    ///
    /// # Errors
    /// What keeps the check from being made; what it finds is in the report.
    pub async fn check(
        &self,
        actor: &Actor,
        name: &str,
        progress: &dyn Progress,
        cancel: Arc<AtomicBool>,
    ) -> Result<CheckReport> {
        let mut connection = self.store.acquire().await?;
        let mut prepared = self.prepare(&mut connection, name).await?;
        drop(connection);
        let mut findings = judge_mapping(&prepared.mapping);
        let mut unknown = Vec::new();
        let target = self.existing_list(&prepared, &mut findings).await?;
        let list = match &target {
            Some(target) => Some(self.adapters.survey_list(&prepared.graph, target).await?),
            None => None,
        };
        if let Some(list) = &list {
            findings.extend(judge_list(&prepared.mapping, list));
        }
        let survey = list.clone().unwrap_or_default();
        self.count_source(&prepared, &survey, &mut findings, &mut unknown)
            .await?;
        prepared.mapping = survey.tighten(&prepared.mapping, &|_| true);
        prepared.list = Some(target.clone().unwrap_or_else(|| TargetSpec {
            site: prepared.spec.target.site.to_string(),
            list: String::new(),
            rules: ListRules::default(),
        }));
        let order = RunOrder {
            name,
            kind: RunKind::Plan,
            options: RunOptions::default(),
            range: KeyTexts::default(),
            progress,
            cancel,
        };
        let report = self.run_once(actor, &order, &prepared).await?;
        if let Some(failure) = report.outcome.failure {
            return Err(Error::from(failure));
        }
        let prediction = report.outcome.prediction;
        if let Some(prediction) = &prediction {
            findings.extend(of_prediction(prediction));
        }
        let licences = prepared.graph.licences;
        let forecast = prediction
            .as_ref()
            .map(|found| Forecast::of_writes(found.creates + found.changes, found.ru, licences));
        findings.sort_by(|a, b| (a.weight, b.rows).cmp(&(b.weight, a.rows)));
        unknown.extend(cannot_tell(target.is_some()));
        Ok(CheckReport {
            definition: name.to_owned(),
            list_exists: target.is_some(),
            findings,
            forecast,
            prediction,
            cannot_tell: unknown,
        })
    }

    /// The list of the definition, or one of its name that a first run would take. A list that does not fit is a
    /// finding.
    async fn existing_list(
        &self,
        prepared: &Prepared,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<TargetSpec>> {
        let planned = self.adapters.list_plan(&prepared.graph, prepared.wish()).await;
        match planned {
            Ok(state) => Ok(state.target.or_else(|| prepared.list.clone())),
            Err(failure) if failure.code.starts_with("list.") => {
                findings.push(blocking(failure));
                Ok(prepared.list.clone())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Counts in the source; a table too large to be counted leaves a line about what is then unknown.
    async fn count_source(
        &self,
        prepared: &Prepared,
        list: &ListSurvey,
        findings: &mut Vec<Finding>,
        unknown: &mut Vec<String>,
    ) -> Result<()> {
        let table = prepared.source_spec()?;
        let place = RowPlace {
            access: &prepared.source,
            spec: &table,
            mapping: &prepared.mapping,
        };
        match self
            .adapters
            .survey_source(place, &list.wish(&prepared.mapping))
            .await
        {
            Ok(survey) => findings.extend(judge_source(&survey, table.watermark.is_some())),
            Err(failure) if failure.code == "source.statement_timeout" => unknown.push(
                "keys and values that several rows share: counting them took longer than a statement may"
                    .to_owned(),
            ),
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    }

    /// A sentinel that is not in the table, which keeps every run from deleting anything.
    ///
    /// # Errors
    /// A sentinel that is no key of the table, a table that cannot be read.
    pub(crate) async fn missing_sentinel(
        &self,
        spec: &SyncDefinitionSpec,
        access: &InstanceAccess,
        table: &SourceSpec,
        mapping: &Mapping,
    ) -> std::result::Result<Option<Finding>, Failure> {
        let keys = definition::sentinels(spec, mapping)?;
        if keys.is_empty() {
            return Ok(None);
        }
        let place = RowPlace {
            access,
            spec: table,
            mapping,
        };
        let found = self.adapters.read_rows(place, &keys).await?;
        let missing = sentinel::missing(&mapping.key, &found);
        Ok(missing.map(|missing| Finding::new(Weight::Note, &missing.code, missing.cause, missing.fix)))
    }

    /// The part that costs two resource units and no row: what the mapping and an existing list say.
    ///
    /// # Errors
    /// A list whose columns cannot be read.
    pub(crate) async fn glance(
        &self,
        graph: &ConnectionAccess,
        mapping: &Mapping,
        target: Option<&TargetSpec>,
    ) -> std::result::Result<Vec<Finding>, Failure> {
        let mut findings = judge_mapping(mapping);
        if let Some(target) = target {
            let list = self.adapters.survey_list(graph, target).await?;
            findings.extend(judge_list(mapping, &list));
        }
        findings.sort_by_key(|finding| finding.weight);
        Ok(findings)
    }
}

fn blocking(failure: Failure) -> Finding {
    let mut finding = Finding::new(Weight::Blocks, &failure.code, failure.cause, failure.fix);
    finding.column = failure.column;
    finding
}

/// Rows that would be refused, and what the guard would do.
fn of_prediction(prediction: &Prediction) -> Vec<Finding> {
    let mut found: Vec<Finding> = prediction
        .refusals
        .iter()
        .map(|refusal| {
            let rows = refusal.rows;
            Finding::new(
                Weight::Refuses,
                &refusal.code,
                format!("{rows} rows hold a value that the list column cannot hold"),
                &refusal.fix,
            )
            .column(&refusal.column)
            .rows(rows)
        })
        .collect();
    if prediction.quarantined > 0 {
        found.push(
            Finding::new(
                Weight::Refuses,
                "preflight.in_quarantine",
                format!(
                    "{} rows are in quarantine and have not changed",
                    prediction.quarantined
                ),
                "`syncbridge quarantine explain NAME` says why",
            )
            .rows(prediction.quarantined),
        );
    }
    if let Some(hold) = &prediction.hold
        && (prediction.deletes_held_back || hold.code == sentinel::MISSING)
    {
        found.push(Finding::new(Weight::Note, &hold.code, &hold.cause, &hold.fix).rows(prediction.gone));
    } else if prediction.deletes_held_back {
        found.push(
            Finding::new(
                Weight::Note,
                "preflight.deletes_held_back",
                format!("{} rows are gone, more than the guard lets pass", prediction.gone),
                "see that the table is what it should be; `run --allow-deletes N` lets them pass",
            )
            .rows(prediction.gone),
        );
    }
    found
}
