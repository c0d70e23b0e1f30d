//! All documents as they would be after an apply: what is stored, overlaid with what is given.

use std::collections::BTreeMap;

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::WorkspaceId;
use syncbridge_manifest::{
    API_VERSION, ConnectionSpec, Document, InstanceSpec, Kind, Located, Position, Problem, ProblemCode, Role,
    Spec, SyncDefinitionSpec,
};
use syncbridge_meta_store::{PgConnection, catalog, connections, definitions};

use crate::error::{Error, Result};

/// Stored and given documents by kind and name.
pub(crate) struct Shelf {
    documents: BTreeMap<(Kind, String), Document>,
}

impl Shelf {
    /// Everything that is stored.
    pub(crate) async fn load(connection: &mut PgConnection, workspace: WorkspaceId) -> Result<Self> {
        let mut documents = BTreeMap::new();
        let mut keep = |kind: Kind, name: &str, spec: serde_json::Value| -> Result<()> {
            documents.insert((kind, name.to_owned()), stored(kind, name, spec)?);
            Ok(())
        };
        for found in catalog::list_applications(connection, workspace).await? {
            keep(Kind::Application, &found.name, found.spec)?;
        }
        for found in catalog::list_databases(connection, workspace).await? {
            keep(Kind::Database, &found.name, found.spec)?;
        }
        for found in catalog::list_instances(connection, workspace, None).await? {
            keep(Kind::Instance, &found.name, found.spec)?;
        }
        for found in connections::list(connection, workspace).await? {
            keep(Kind::Connection, &found.name, found.spec)?;
        }
        for found in definitions::list(connection, workspace).await? {
            keep(Kind::SyncDefinition, &found.name, found.spec)?;
        }
        Ok(Self { documents })
    }

    /// What is stored under this kind and name.
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&Document> {
        self.documents.get(&(kind, name.to_owned()))
    }

    /// Everything of one kind by name.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Document> {
        self.documents
            .iter()
            .filter(move |((k, _), _)| *k == kind)
            .map(|(_, document)| document)
    }

    /// Documents that name this one, such as "SyncDefinition `projects`"; twenty at most.
    pub(crate) fn users(&self, kind: Kind, name: &str) -> Vec<String> {
        self.documents
            .values()
            .filter(|document| {
                let references = document.references();
                references
                    .iter()
                    .any(|to| to.kind == kind && to.name.as_str() == name)
            })
            .map(|document| format!("{} `{}`", document.kind(), document.name.as_str()))
            .take(20)
            .collect()
    }

    /// Puts given documents on top; answers the problems of references that lead nowhere.
    pub(crate) fn overlay(&mut self, given: &[Located<Document>]) -> Vec<Problem> {
        for located in given {
            let document = &located.value;
            self.documents.insert(
                (document.kind(), document.name.as_str().to_owned()),
                document.clone(),
            );
        }
        let mut problems = Vec::new();
        for located in given {
            for reference in located.value.references() {
                if self.get(reference.kind, reference.name.as_str()).is_none() {
                    problems.push(missing_reference(
                        located,
                        reference.kind,
                        reference.name.as_str(),
                        reference.path,
                    ));
                }
            }
        }
        problems
    }

    /// The definition of this name.
    pub(crate) fn definition(&self, name: &str) -> Result<&SyncDefinitionSpec> {
        match self
            .get(Kind::SyncDefinition, name)
            .map(|document| &document.spec)
        {
            Some(Spec::SyncDefinition(spec)) => Ok(spec),
            _ => Err(unknown(self, Kind::SyncDefinition, name).into()),
        }
    }

    /// The connection of this name.
    pub(crate) fn connection(&self, name: &str) -> Result<&ConnectionSpec> {
        match self.get(Kind::Connection, name).map(|document| &document.spec) {
            Some(Spec::Connection(spec)) => Ok(spec),
            _ => Err(unknown(self, Kind::Connection, name).into()),
        }
    }

    /// The endpoint to use for a database: the primary with the lowest priority number.
    pub(crate) fn instance(&self, database: &str) -> Result<(&str, &InstanceSpec)> {
        let candidates = self
            .of_kind(Kind::Instance)
            .filter_map(|document| match &document.spec {
                Spec::Instance(spec) if spec.database.as_str() == database => {
                    Some((document.name.as_str(), spec))
                }
                _ => None,
            });
        candidates
            .min_by_key(|(_, spec)| (spec.role != Role::Primary, spec.priority))
            .ok_or_else(|| {
                Failure::new(
                    Scope::List,
                    "manifest.no_instance",
                    format!("database `{database}` has no instance, so nobody knows how to reach it"),
                    "apply a document of `kind: Instance` with `spec.database` set to it",
                )
                .into()
            })
    }
}

/// A thing that does not exist, with the names that do.
pub(crate) fn unknown(shelf: &Shelf, kind: Kind, name: &str) -> Failure {
    let names: Vec<&str> = shelf
        .of_kind(kind)
        .map(|document| document.name.as_str())
        .take(20)
        .collect();
    let fix = if names.is_empty() {
        format!("there is none yet; apply one with `syncbridge apply -f FILE` (`kind: {kind}`)")
    } else {
        format!("there are: {}", names.join(", "))
    };
    Failure::new(
        Scope::List,
        "manifest.unknown",
        format!("there is no {kind} `{name}`"),
        fix,
    )
}

fn missing_reference(located: &Located<Document>, kind: Kind, name: &str, path: &str) -> Problem {
    Problem {
        file: located.file.clone(),
        position: Position { ..located.position },
        code: ProblemCode::UnknownReference,
        message: format!("`{path}` names {kind} `{name}`, which is neither stored nor in these files"),
        help: format!("add a document of `kind: {kind}` with that name, or correct the name"),
    }
}

fn stored(kind: Kind, name: &str, spec: serde_json::Value) -> Result<Document> {
    let json = serde_json::json!({
        "apiVersion": API_VERSION,
        "kind": kind.name(),
        "metadata": { "name": name },
        "spec": spec,
    });
    Document::from_json(&format!("stored {kind} {name}"), &json).map_err(Error::Documents)
}
