//! `apply`: takes documents as the wished state. All or nothing: every document is checked, and definitions
//! are tried against their table and list, before the first one is stored.

use serde::Serialize;
use serde_json::json;
use syncbridge_domain::list_rules::ListFacts;
use syncbridge_domain::preflight::Finding;
use syncbridge_manifest::{Document, Located, SecretRef, Spec, SyncDefinitionSpec};
use syncbridge_meta_store::{
    Change, Error as StoreError, PgConnection, audit, catalog, connections, definitions, sealed_secrets,
};

use crate::Operations;
use crate::access::SealedAs;
use crate::actor::Actor;
use crate::definition;
use crate::error::{Error, Result};
use crate::list_side::{self, ListSide};
use crate::ports::ListState;
use crate::shelf::Shelf;

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
        let known = match definitions::find(connection, self.workspace, name).await {
            Ok(stored) => stored.list,
            Err(StoreError::NotFound { .. }) => None,
            Err(other) => return Err(other.into()),
        };
        // What was learnt of another list says nothing about this one.
        let facts = match &known {
            Some(_) => definitions::list_facts(connection, self.workspace, name).await?,
            None => ListFacts::default(),
        };
        let side = ListSide::of(spec, &table, facts)?;
        definition::source_spec(spec, &table)?;
        list_side::refuse_second_owner(shelf, name, spec)?;
        let wish = side.wish(spec, &table, known.map(|list| list.list));
        let planned = self.adapters.list_plan(&graph, wish).await;
        let state = planned.map_err(|failure| definition::about_list(failure, spec))?;
        if let Some(target) = &state.target {
            list_side::refuse_owned_list(connection, self.workspace, &target.list, name, spec).await?;
        }
        let findings = self.glance(&graph, &side.mapping, state.target.as_ref()).await?;
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
        if self.keep_secret(tx, actor, document).await? && change == Change::Unchanged {
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

    /// Seals a secret that arrived in the document. Answers whether it is another one than before.
    async fn keep_secret(&self, tx: &mut PgConnection, actor: &Actor, document: &Document) -> Result<bool> {
        let name = document.name.as_str();
        let sealed = match &document.spec {
            Spec::Instance(spec) => SealedAs::of_instance(name, spec),
            Spec::Connection(spec) => SealedAs::of_connection(name, spec),
            _ => return Ok(false),
        };
        // An address or account that changed must not carry an older secret away.
        sealed_secrets::drop_unless_bound(tx, self.workspace, &sealed.name, sealed.binding()).await?;
        let Some((_, SecretRef::Value(value))) = document.secret() else {
            return Ok(false);
        };
        let known =
            sealed_secrets::open(tx, &self.ring, self.workspace, &sealed.name, sealed.binding()).await?;
        use syncbridge_secrets::ExposeSecret as _;
        if known.is_some_and(|known| known.expose_secret() == value.expose_secret()) {
            return Ok(false);
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
        Ok(true)
    }
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
