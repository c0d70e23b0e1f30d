//! `run`, `verify` and `plan`: one execution of a definition, in this process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use serde_json::json;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::{DefinitionId, PlanId, RevisionId, RunId};
use syncbridge_domain::list_rules::ListFacts;
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::policy::{DeletePolicy, Direction};
use syncbridge_domain::quota::Lane;
use syncbridge_domain::run::{
    Progress, Retire, RunKind, RunOptions, RunOutcome, RunSpec, SPEC_SCHEMA, SourceSpec, TargetSpec,
};
use syncbridge_domain::table::TableShape;
use syncbridge_domain::verification::KeyRange;
use syncbridge_manifest::SyncDefinitionSpec;
use syncbridge_meta_store::{PgConnection, audit, definitions, hash_keys, runs};
use uuid::Uuid;

use crate::Operations;
use crate::actor::Actor;
use crate::addressed::key_of;
use crate::definition;
use crate::error::Result;
use crate::list_side::ListSide;
use crate::ports::{ConnectionAccess, InstanceAccess, ListState, ListWish, RunJob};
use crate::shelf::Shelf;
use crate::site_zone::SiteZone;

/// What is to be run.
pub struct RunOrder<'a> {
    /// Name of the definition.
    pub name: &'a str,
    /// What to do.
    pub kind: RunKind,
    /// What was asked beyond the definition.
    pub options: RunOptions,
    /// Which rows a verification looks at; both ends open where nothing is said.
    pub range: KeyTexts,
    /// Who wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// Set by whoever wants it to stop.
    pub cancel: Arc<AtomicBool>,
}

/// Ends of a key range as people write them: the values of the key columns in their order.
#[derive(Clone, Debug, Default)]
pub struct KeyTexts {
    /// The first key; open where absent.
    pub from: Option<Vec<String>>,
    /// The last key; open where absent.
    pub to: Option<Vec<String>>,
}

impl KeyTexts {
    fn keys(&self, mapping: &Mapping) -> Result<KeyRange> {
        let key =
            |texts: &Option<Vec<String>>| texts.as_ref().map(|texts| key_of(mapping, texts)).transpose();
        Ok(KeyRange {
            from: key(&self.from)?,
            to: key(&self.to)?,
        })
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// The definition.
    pub definition: String,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The list, where this call made or extended it.
    pub provisioned: Option<ListState>,
    /// The saved plan that was worked out or run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
}

/// Everything about a definition that a run needs.
pub(crate) struct Prepared {
    pub(crate) id: DefinitionId,
    pub(crate) spec: SyncDefinitionSpec,
    pub(crate) source: InstanceAccess,
    pub(crate) graph: ConnectionAccess,
    table: TableShape,
    side: ListSide,
    /// What travels; a check tightens it to what the list really takes.
    pub(crate) mapping: Mapping,
    zone: SiteZone,
    pub(crate) list: Option<TargetSpec>,
    archives: bool,
    list_is_new: bool,
    pub(crate) revision: RevisionId,
    pub(crate) generation: u32,
}

impl Prepared {
    /// The list that the definition asks for.
    pub(crate) fn wish(&self) -> ListWish<'_> {
        let known = self.list.as_ref().map(|list| list.list.clone());
        ListWish {
            learn_time_zone: self.zone.is_to_learn(),
            archives: self.archives,
            ..self.side.wish(&self.spec, &self.table, known)
        }
    }

    /// The table as a run reads it.
    pub(crate) fn source_spec(&self) -> std::result::Result<SourceSpec, Failure> {
        definition::source_spec(&self.spec, &self.table)
    }
}

impl Operations {
    /// Runs a definition and waits for the end.
    ///
    /// # Errors
    /// What keeps the run from beginning; how it went is in the report.
    pub async fn run(&self, actor: &Actor, order: RunOrder<'_>) -> Result<RunReport> {
        let mut connection = self.store.acquire().await?;
        let mut prepared = self.prepare(&mut connection, order.name).await?;
        prepared.archives |= order.options.retire == Some(Retire::Archive);
        let retires = order.options.retire.is_some();
        // Whoever asks for a run of a definition asks for what it does; its leave is only ever taken of the list.
        let kind = match order.kind {
            kind if kind.drives() && !retires => RunKind::driving(prepared.spec.direction),
            kind => kind,
        };
        let mut order = RunOrder { kind, ..order };
        if order.kind.writes() {
            order.options = self.allowed_options(&mut connection, &prepared, &order).await?;
        }
        if prepared.spec.paused && order.kind.writes() && !retires {
            return Err(paused(order.name).into());
        }
        let mut provisioned = None;
        // A plan asks nothing of the list, and is most wanted before there is one.
        if prepared.list.is_none() && order.kind == RunKind::Plan {
            let site = prepared.spec.target.site.to_string();
            prepared.list = Some(TargetSpec {
                site,
                list: String::new(),
                rules: prepared.side.rules(),
            });
            prepared.list_is_new = true;
        }
        if prepared.list.is_none() && !order.kind.drives() {
            return Err(never_run(order.name).into());
        }
        let unfit = !prepared.side.is_fitted() || prepared.zone.is_to_learn();
        if prepared.list.is_none() || (unfit && order.kind.drives()) {
            provisioned = Some(self.provision(&mut connection, actor, &mut prepared).await?);
        }
        drop(connection);
        let mut report = self.run_once(actor, &order, &prepared).await?;
        // A column that was added to the mapping, or lost in the list: bring the list up to date and go on.
        let lacks_column = report
            .outcome
            .failure
            .as_ref()
            .is_some_and(|failure| failure.code == COLUMN_UNKNOWN);
        if lacks_column && order.kind.drives() && provisioned.is_none() {
            let mut connection = self.store.acquire().await?;
            provisioned = Some(self.provision(&mut connection, actor, &mut prepared).await?);
            drop(connection);
            report = self.run_once(actor, &order, &prepared).await?;
        }
        report.provisioned = provisioned;
        Ok(report)
    }

    pub(crate) async fn prepare(&self, connection: &mut PgConnection, name: &str) -> Result<Prepared> {
        let shelf = Shelf::load(connection, self.workspace).await?;
        let spec = shelf.definition(name)?.clone();
        let stored = definitions::find(connection, self.workspace, name).await?;
        let source = self
            .instance_access(connection, &shelf, spec.database.as_str())
            .await?;
        let graph = self
            .connection_access(connection, &shelf, spec.connection.as_str())
            .await?;
        let table = self
            .adapters
            .describe_table(&source, &spec.source.schema, &spec.source.table)
            .await?;
        let facts = match &stored.list {
            Some(_) => definitions::list_facts(connection, self.workspace, name).await?,
            None => ListFacts::default(),
        };
        let mut side = ListSide::of(&spec, &table, facts)?;
        let learnt = definitions::site_time_zone(connection, stored.id).await?;
        let zone = SiteZone::settle(&spec, learnt.as_deref(), &mut side.mapping);
        let list = stored.list.map(|list| TargetSpec {
            site: list.site,
            list: list.list,
            rules: side.rules(),
        });
        Ok(Prepared {
            id: stored.id,
            revision: stored.revision,
            generation: stored.generation,
            archives: spec.policies.delete == DeletePolicy::Archive,
            list_is_new: false,
            spec,
            source,
            graph,
            table,
            mapping: side.mapping.clone(),
            zone,
            side,
            list,
        })
    }

    async fn provision(
        &self,
        connection: &mut PgConnection,
        actor: &Actor,
        prepared: &mut Prepared,
    ) -> Result<ListState> {
        let made = self.adapters.provision(&prepared.graph, prepared.wish()).await;
        let state = made.map_err(|failure| definition::about_list(failure, &prepared.spec))?;
        if let Some(target) = &state.target {
            let list = definitions::ProvisionedList {
                site: target.site.clone(),
                list: target.list.clone(),
            };
            definitions::set_list(connection, prepared.id, &list, actor.name()).await?;
            prepared.side.learn(&state.facts);
            prepared.mapping = prepared.side.mapping.clone();
            definitions::set_list_facts(connection, prepared.id, &prepared.side.facts).await?;
            prepared.list = Some(TargetSpec {
                rules: prepared.side.rules(),
                ..target.clone()
            });
        }
        if let Some(zone) = state.time_zone.as_deref().filter(|_| prepared.zone.is_to_learn()) {
            definitions::set_site_time_zone(connection, prepared.id, zone, actor.name()).await?;
            prepared.zone = SiteZone::settle(&prepared.spec, Some(zone), &mut prepared.side.mapping);
            prepared.mapping = prepared.side.mapping.clone();
        }
        prepared.list_is_new = state.creates;
        Ok(state)
    }

    pub(crate) async fn run_once(
        &self,
        actor: &Actor,
        order: &RunOrder<'_>,
        prepared: &Prepared,
    ) -> Result<RunReport> {
        let Some(target) = prepared.list.clone() else {
            return Err(never_run(order.name).into());
        };
        if order.kind != RunKind::Plan
            && let Some(refusal) = prepared.zone.refusal()
        {
            return Err(refusal.into());
        }
        let run = RunId::from_uuid(Uuid::now_v7());
        let spec = RunSpec {
            schema: SPEC_SCHEMA,
            workspace: self.workspace,
            definition: prepared.id,
            definition_name: order.name.to_owned(),
            run,
            kind: order.kind,
            namespace: prepared.spec.namespace.clone(),
            source: prepared.source_spec()?,
            target,
            mapping: prepared.mapping.clone(),
            direction: match order.options.retire {
                Some(_) => Direction::Push,
                None => prepared.spec.direction,
            },
            policies: prepared.spec.policies.clone(),
            sentinels: definition::sentinels(&prepared.spec, &prepared.mapping)?,
            history: prepared.spec.history,
            limits: prepared.spec.limits,
            lane: match order.kind {
                RunKind::Push | RunKind::Pull | RunKind::TwoWay => Lane::Interactive,
                RunKind::Verify | RunKind::Plan | RunKind::Repair => Lane::Verification,
            },
            options: order.options,
            list_is_new: prepared.list_is_new,
            range: order.range.keys(&prepared.mapping)?,
        };
        let mut tx = self.store.begin().await?;
        let hash_key =
            hash_keys::of_definition(&mut tx, &self.ring, self.workspace, prepared.id, actor.name()).await?;
        let data_key = definitions::data_key(&mut tx, &self.ring, prepared.id).await?;
        runs::create(&mut tx, &spec, actor.name()).await?;
        let entry = audit::NewEntry {
            actor: actor.name(),
            action: "run",
            object_kind: "SyncDefinition",
            object_id: &prepared.id.to_string(),
            object_name: order.name,
            detail: &json!({ "run": run, "kind": order.kind.name(), "options": order.options }),
        };
        audit::append(&mut tx, self.workspace, entry).await?;
        tx.commit().await.map_err(syncbridge_meta_store::Error::from)?;
        if order.kind == RunKind::Plan {
            self.begin_plan(actor, &spec, prepared, &data_key).await?;
        }
        let job = RunJob {
            spec: &spec,
            source: prepared.source.clone(),
            graph: prepared.graph.clone(),
            hash_key,
            data_key,
            progress: order.progress,
            cancel: order.cancel.clone(),
            plan_lasts: self.plan_lasts,
        };
        let mut outcome = self.adapters.run(job).await?;
        outcome.notices.extend(prepared.zone.notice());
        outcome.notices.extend(prepared.side.remark());
        Ok(RunReport {
            run,
            definition: order.name.to_owned(),
            outcome,
            provisioned: None,
            plan: order.options.plan,
        })
    }
}

/// Code of a mapped column that the list does not have, as the Graph client says it.
const COLUMN_UNKNOWN: &str = "graph.column_unknown";

fn paused(name: &str) -> Failure {
    Failure::new(
        Scope::List,
        "run.paused",
        format!("definition `{name}` is paused"),
        "set `spec.paused: false` and apply it, then run it again",
    )
}

fn never_run(name: &str) -> Failure {
    Failure::new(
        Scope::List,
        "run.no_list",
        format!("definition `{name}` has no list yet"),
        format!("run it once: `syncbridge run {name}` makes the list and copies the table"),
    )
}
