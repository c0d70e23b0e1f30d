//! `apply`: takes documents as the wished state. All or nothing: every document is checked, and definitions
//! are tried against their table and list, before the first one is stored.

use serde::Serialize;
use serde_json::json;
use syncbridge_domain::feed::FeedKind;
use syncbridge_domain::list_rules::ListFacts;
use syncbridge_domain::policy::DeletePolicy;
use syncbridge_domain::preflight::Finding;
use syncbridge_manifest::{Document, Located, SecretRef, Spec, SyncDefinitionSpec};
use syncbridge_meta_store::{
    Change, Error as StoreError, PgConnection, audit, catalog, connections, definitions, sealed_secrets,
};

use crate::Operations;
use crate::access::{SecretPlace, secret_places};
use crate::actor::Actor;
use crate::definition;
use crate::error::{Error, Result};
use crate::list_side::{self, ListSide};
use crate::ports::ListState;
use crate::shelf::Shelf;
use crate::site_zone::SiteZone;

/// What applying one document did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// `created`, `changed` or `unchanged`.
    pub change: &'static str,
    /// What the list will need, for definitions.
    pub list: Option<ListState>,
    /// What is known beforehand without reading rows, for definitions; `plan --check` finds the rest.
    pub findings: Vec<Finding>,
    /// What a person should know before it runs.
    pub warnings: Vec<String>,
}

impl Operations {
    /// Applies documents.
    ///
    /// # Errors
    /// References that lead nowhere, tables, columns or lists that do not fit; nothing is stored then.
    pub async fn apply(&self, actor: &Actor, given: &[Located<Document>]) -> Result<Vec<Applied>> {
        let mut connection = self.store.acquire().await?;
        let mut shelf = Shelf::load(&mut connection, self.workspace).await?;
        let problems = shelf.overlay(given);
        if !problems.is_empty() {
            return Err(Error::Documents(problems));
        }
        let mut checked = Vec::with_capacity(given.len());
        for located in given {
            checked.push(match &located.value.spec {
                Spec::SyncDefinition(spec) => {
                    let name = located.value.name.as_str();
                    let found = self.check_definition(&mut connection, &shelf, name, spec).await;
                    let (list, findings) = found.map_err(|error| placed(error, located))?;
                    (Some(list), findings)
                }
                _ => (None, Vec::new()),
            });
        }
        drop(connection);
        let mut order: Vec<usize> = (0..given.len()).collect();
        order.sort_by_key(|at| given[*at].value.kind());
        let mut tx = self.store.begin().await?;
        let mut applied = Vec::with_capacity(given.len());
        for at in order {
            let document = &given[at].value;
            let change = self.put(&mut tx, actor, document).await?;
            let (list, findings) = std::mem::take(&mut checked[at]);
            applied.push(Applied {
                kind: document.kind().name(),
                name: document.name.as_str().to_owned(),
                change: word(change),
                list,
                findings,
                warnings: warnings(document),
            });
        }
        tx.commit().await.map_err(syncbridge_meta_store::Error::from)?;
        Ok(applied)
    }

    /// Tries a definition against both sides without writing anything.
    async fn check_definition(
        &self,
        connection: &mut PgConnection,
        shelf: &Shelf,
        name: &str,
        spec: &SyncDefinitionSpec,
    ) -> Result<(ListState, Vec<Finding>)> {
        let source = self
            .instance_access(connection, shelf, spec.database.as_str())
            .await?;
        let graph = self
            .connection_access(connection, shelf, spec.connection.as_str())
            .await?;
        let table = self
            .adapters
            .describe_table(&source, &spec.source.schema, &spec.source.table)
            .await?;
        let stored = match definitions::find(connection, self.workspace, name).await {
            Ok(stored) => Some(stored),
            Err(StoreError::NotFound { .. }) => None,
            Err(other) => return Err(other.into()),
        };
        let learnt = match &stored {
            Some(stored) => definitions::site_time_zone(connection, stored.id).await?,
            None => None,
        };
        let known = stored.and_then(|stored| stored.list);
        // What was learnt of another list says nothing about this one.
        let facts = match &known {
            Some(_) => definitions::list_facts(connection, self.workspace, name).await?,
            None => ListFacts::default(),
        };
        let mut side = ListSide::of(spec, &table, facts)?;
        let zone = SiteZone::settle(spec, learnt.as_deref(), &mut side.mapping);
        if let Some(refusal) = zone.never_known() {
            return Err(definition::about_list(refusal, spec).into());
        }
        let place = definition::source_spec(spec, &table)?;
        let missing = self
            .missing_sentinel(spec, &source, &place, &side.mapping)
            .await?;
        list_side::refuse_second_owner(shelf, name, spec)?;
        let wish = side.wish(spec, &table, known.map(|list| list.list));
        let planned = self.adapters.list_plan(&graph, wish).await;
        let mut state = planned.map_err(|failure| definition::about_list(failure, spec))?;
        state.time_zone = zone.name();
        state.learns_time_zone = zone.is_to_learn();
        if let Some(target) = &state.target {
            list_side::refuse_owned_list(connection, self.workspace, &target.list, name, spec).await?;
        }
        let mut findings = self.glance(&graph, &side.mapping, state.target.as_ref()).await?;
        findings.extend(missing);
        Ok((state, findings))
    }

    async fn put(&self, tx: &mut PgConnection, actor: &Actor, document: &Document) -> Result<Change> {
        let name = document.name.as_str();
        let json = document.spec_json();
        let workspace = self.workspace;
        let (id, mut change) = match &document.spec {
            Spec::Application(_) => {
                let stored = catalog::put_application(tx, workspace, name, &json, actor.name()).await?;
                (stored.id.to_string(), stored.change)
            }
            Spec::Database(spec) => {
                let application = catalog::find_application(tx, workspace, spec.application.as_str())
                    .await?
                    .id;
                let stored =
                    catalog::put_database(tx, workspace, Some(application), name, &json, actor.name())
                        .await?;
                (stored.id.to_string(), stored.change)
            }
            Spec::Instance(spec) => {
                let database = catalog::find_database(tx, workspace, spec.database.as_str())
                    .await?
                    .id;
                let stored =
                    catalog::put_instance(tx, workspace, database, name, &json, actor.name()).await?;
                (stored.id.to_string(), stored.change)
            }
            Spec::Connection(_) => {
                let stored = connections::put(tx, workspace, name, &json, actor.name()).await?;
                (stored.id.to_string(), stored.change)
            }
            Spec::SyncDefinition(spec) => {
                let new = definitions::NewDefinition {
                    workspace,
                    name,
                    namespace: &spec.namespace,
                    spec: &json,
                };
                let stored = definitions::put(tx, &self.ring, new, actor.name()).await?;
                (stored.id.to_string(), stored.change)
            }
        };
        if self.keep_secrets(tx, actor, document).await? && change == Change::Unchanged {
            change = Change::Changed;
        }
        if change != Change::Unchanged {
            let entry = audit::NewEntry {
                actor: actor.name(),
                action: word(change),
                object_kind: document.kind().name(),
                object_id: &id,
                object_name: name,
                detail: &json!({ "spec": json }),
            };
            audit::append(tx, workspace, entry).await?;
        }
        Ok(change)
    }

    /// Seals the secrets that arrived in the document. Answers whether one is another than before.
    async fn keep_secrets(&self, tx: &mut PgConnection, actor: &Actor, document: &Document) -> Result<bool> {
        use syncbridge_secrets::ExposeSecret as _;
        let mut changed = false;
        for SecretPlace { sealed, secret, .. } in secret_places(document) {
            let Some(secret) = secret else {
                // Of a way to sign in that is not used (any more).
                sealed_secrets::delete(tx, self.workspace, &sealed.name).await?;
                continue;
            };
            // An address or account that changed must not carry an older secret away.
            sealed_secrets::drop_unless_bound(tx, self.workspace, &sealed.name, sealed.binding()).await?;
            let SecretRef::Value(value) = secret else { continue };
            let known =
                sealed_secrets::open(tx, &self.ring, self.workspace, &sealed.name, sealed.binding()).await?;
            if known.is_some_and(|known| known.expose_secret() == value.expose_secret()) {
                continue;
            }
            sealed_secrets::put(
                tx,
                &self.ring,
                self.workspace,
                &sealed.name,
                sealed.binding(),
                value,
                actor.name(),
            )
            .await?;
            changed = true;
        }
        Ok(changed)
    }
}

/// Settings that are allowed and have a price.
fn warnings(document: &Document) -> Vec<String> {
    let Spec::SyncDefinition(spec) = &document.spec else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    let unswept = spec.source.feed == FeedKind::Watermark && spec.source.sweep.is_none();
    if unswept && spec.policies.delete != DeletePolicy::Keep {
        warnings.push(format!(
            "`source.sweep.every` is `off`: rows deleted from the table are never noticed, unless somebody runs \
             `syncbridge run {} --full`",
            document.name.as_str()
        ));
    } else if unswept {
        warnings.push(
            "`source.sweep.every` is `off`: rows deleted from the table, and rows written with an old watermark, \
             are never noticed"
                .to_owned(),
        );
    }
    warnings
}

/// Which document of many a failure is about, and where it stands.
fn placed(error: Error, located: &Located<Document>) -> Error {
    match error {
        Error::Failure(mut failure) => {
            failure.cause = format!(
                "{} `{}` ({}:{}): {}",
                located.value.kind(),
                located.value.name.as_str(),
                located.file,
                located.position.line,
                failure.cause
            );
            Error::Failure(failure)
        }
        documents @ Error::Documents(_) => documents,
    }
}

/// How a change is called in answers and in the audit trail.
pub(crate) fn word(change: Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Changed => "changed",
        Change::Unchanged => "unchanged",
    }
}
