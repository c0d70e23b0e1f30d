//! A document: kind, name and what it says.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::catalog::{ApplicationSpec, DatabaseSpec, InstanceSpec};
use crate::connection::ConnectionSpec;
use crate::definition::SyncDefinitionSpec;
use crate::name::Name;
use crate::node::{Body, Node};
use crate::problem::{Position, Problem, ProblemCode};
use crate::reader::{Reader, Slot};
use crate::secret::SecretRef;

/// The one `apiVersion` there is.
pub const API_VERSION: &str = "syncbridge/v1";

/// What a document describes. The order is that in which documents may be applied: whatever one refers to
/// comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A group of databases with one owner.
    Application,
    /// A logical database.
    Database,
    /// A physical endpoint of a database.
    Instance,
    /// Credentials for one Graph tenant and app registration.
    Connection,
    /// One sync.
    SyncDefinition,
}

impl Kind {
    /// Every kind, in the order of applying.
    pub const ALL: [Kind; 5] = [
        Kind::Application,
        Kind::Database,
        Kind::Instance,
        Kind::Connection,
        Kind::SyncDefinition,
    ];

    /// The word in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Application => "Application",
            Kind::Database => "Database",
            Kind::Instance => "Instance",
            Kind::Connection => "Connection",
            Kind::SyncDefinition => "SyncDefinition",
        }
    }

    /// The kind a person means: the word itself in any case, or its plural (`definitions`, `instances`).
    #[must_use]
    pub fn parse(word: &str) -> Option<Kind> {
        let word = word.to_ascii_lowercase();
        let singular = word.strip_suffix('s').unwrap_or(&word);
        let known = |kind: &Kind| kind.name().to_ascii_lowercase() == singular;
        Kind::ALL
            .into_iter()
            .find(known)
            .or((singular == "definition").then_some(Kind::SyncDefinition))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a document says.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// `kind: Application`
    Application(ApplicationSpec),
    /// `kind: Database`
    Database(DatabaseSpec),
    /// `kind: Instance`
    Instance(InstanceSpec),
    /// `kind: Connection`
    Connection(ConnectionSpec),
    /// `kind: SyncDefinition`
    SyncDefinition(Box<SyncDefinitionSpec>),
}

/// A document whose every key and value has been checked by itself. Whether what it refers to exists is for
/// whoever applies it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// `metadata.name`, unique within workspace and kind.
    pub name: Name,
    /// What it says.
    pub spec: Spec,
}

/// A document and where its text stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// The thing itself.
    pub value: T,
    /// Name of the file, or of whatever the text came from.
    pub file: String,
    /// Where it begins.
    pub position: Position,
}

impl<T> Located<T> {
    /// `file:line:column`, for messages about the whole of it.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.position.line, self.position.column)
    }
}

/// A document that another one needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// What it has to be.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The key that refers to it, such as `spec.database`.
    pub path: &'static str,
}

impl Document {
    /// What it describes.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.spec {
            Spec::Application(_) => Kind::Application,
            Spec::Database(_) => Kind::Database,
            Spec::Instance(_) => Kind::Instance,
            Spec::Connection(_) => Kind::Connection,
            Spec::SyncDefinition(_) => Kind::SyncDefinition,
        }
    }

    /// What it refers to.
    #[must_use]
    pub fn references(&self) -> Vec<Reference> {
        let reference = |kind, name: &Name, path| Reference {
            kind,
            name: name.clone(),
            path,
        };
        match &self.spec {
            Spec::Application(_) | Spec::Connection(_) => Vec::new(),
            Spec::Database(spec) => vec![reference(
                Kind::Application,
                &spec.application,
                "spec.application",
            )],
            Spec::Instance(spec) => vec![reference(Kind::Database, &spec.database, "spec.database")],
            Spec::SyncDefinition(spec) => vec![
                reference(Kind::Database, &spec.database, "spec.database"),
                reference(Kind::Connection, &spec.connection, "spec.connection"),
            ],
        }
    }

    /// Its secrets and the keys under which they stand.
    #[must_use]
    pub fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        match &self.spec {
            Spec::Instance(spec) => vec![("spec.password", &spec.password)],
            Spec::Connection(spec) => spec.sign_in.secrets(),
            Spec::Application(_) | Spec::Database(_) | Spec::SyncDefinition(_) => Vec::new(),
        }
    }

    /// The canonical form: defaults filled in, no secret in it. For storing, comparing and showing.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({
            "apiVersion": API_VERSION,
            "kind": self.kind().name(),
            "metadata": { "name": self.name.as_str() },
            "spec": self.spec_json(),
        })
    }

    /// The canonical form of `spec` alone.
    #[must_use]
    pub fn spec_json(&self) -> Json {
        match &self.spec {
            Spec::Application(spec) => spec.to_json(),
            Spec::Database(spec) => spec.to_json(),
            Spec::Instance(spec) => spec.to_json(),
            Spec::Connection(spec) => spec.to_json(),
            Spec::SyncDefinition(spec) => spec.to_json(),
        }
    }

    /// Reads what [`Document::to_json`] wrote, or a document that arrived as JSON already.
    ///
    /// # Errors
    /// Everything that is wrong with it; positions are all the beginning, the messages name the keys.
    pub fn from_json(source_name: &str, json: &Json) -> Result<Document, Vec<Problem>> {
        let mut reader = Reader::new(source_name);
        let node = Node::from_json(json);
        let document = read(&mut reader, &Slot::root(&node));
        match (document, reader.into_problems()) {
            (Some(document), problems) if problems.is_empty() => Ok(document),
            (_, problems) => Err(problems),
        }
    }

    /// The canonical form as YAML, for export. Applying it changes nothing.
    ///
    /// # Errors
    /// [`ExportError`] when the text could not be written, which no document that was read causes.
    pub fn to_yaml(&self) -> Result<String, ExportError> {
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_string_with_options(&self.to_json(), options).map_err(|error| ExportError {
            kind: self.kind(),
            name: self.name.clone(),
            reason: error.to_string(),
        })
    }
}

/// A document that could not be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write {kind} `{name}` as YAML: {reason}; export it as JSON instead and report this as a defect"
)]
pub struct ExportError {
    kind: Kind,
    name: Name,
    reason: String,
}

/// Several documents as one YAML text, each after a line `---`.
///
/// # Errors
/// [`ExportError`], as [`Document::to_yaml`].
pub fn to_yaml<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Result<String, ExportError> {
    let texts: Result<Vec<String>, ExportError> = documents.into_iter().map(Document::to_yaml).collect();
    Ok(texts?.join("---\n"))
}

/// The documents of a tree: one, or a list of them (which JSON needs to hold several).
pub(crate) fn read_all(reader: &mut Reader, root: &Node, found: &mut Vec<(Position, Document)>) {
    match &root.body {
        Body::List(items) => {
            for item in items {
                if let Some(document) = read(reader, &Slot::root(item)) {
                    found.push((item.at, document));
                }
            }
        }
        _ => {
            if let Some(document) = read(reader, &Slot::root(root)) {
                found.push((root.at, document));
            }
        }
    }
}

fn read(reader: &mut Reader, root: &Slot<'_>) -> Option<Document> {
    let before = reader.count();
    let fields = reader.fields(root, &["apiVersion", "kind", "metadata", "spec"])?;
    if let Some(slot) = reader.required(&fields, "apiVersion", "write `apiVersion: syncbridge/v1`")
        && let Some(version) = reader.line(&slot, 100)
        && version != API_VERSION
    {
        let message = format!("`apiVersion` is {}", crate::reader::quote(version));
        reader.report(
            slot.at(),
            ProblemCode::UnknownKind,
            message,
            "this version reads `syncbridge/v1`",
        );
    }
    let name = reader
        .required(&fields, "metadata", "write `metadata: {name: …}`")
        .and_then(|slot| {
            let metadata = reader.fields(&slot, &["name"])?;
            let name = reader.required(&metadata, "name", "give the document a name")?;
            reader.name(&name)
        });
    let kinds = Kind::ALL.map(|kind| (kind.name(), kind));
    let kind = reader.required(
        &fields,
        "kind",
        "one of Application, Database, Instance, Connection, SyncDefinition",
    );
    let kind = kind.and_then(|slot| reader.one_of(&slot, &kinds));
    let empty = Node {
        at: fields.at(),
        body: Body::Map(Vec::new()),
    };
    // An application may well say nothing; everything else has something to say.
    let spec = match (fields.get("spec"), kind) {
        (Some(slot), _) => Some(slot),
        (None, Some(Kind::Application)) => Some(Slot::root(&empty)),
        (None, _) => reader.required(&fields, "spec", "say below it what the document describes"),
    };
    let (spec, kind) = (spec?, kind?);
    let spec = match kind {
        Kind::Application => ApplicationSpec::read(reader, &spec).map(Spec::Application),
        Kind::Database => DatabaseSpec::read(reader, &spec).map(Spec::Database),
        Kind::Instance => InstanceSpec::read(reader, &spec).map(Spec::Instance),
        Kind::Connection => ConnectionSpec::read(reader, &spec).map(Spec::Connection),
        Kind::SyncDefinition => {
            SyncDefinitionSpec::read(reader, &spec).map(|spec| Spec::SyncDefinition(Box::new(spec)))
        }
    };
    if reader.count() > before {
        return None;
    }
    Some(Document {
        name: name?,
        spec: spec?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_understood_in_the_forms_people_type() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()), Some(kind));
            assert_eq!(
                Kind::parse(&format!("{}s", kind.name().to_lowercase())),
                Some(kind)
            );
        }
        assert_eq!(Kind::parse("definitions"), Some(Kind::SyncDefinition));
        assert_eq!(Kind::parse("lists"), None);
    }
}
