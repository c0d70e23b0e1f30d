//! The documents people write, read with every problem at its line and column.
//!
//! A document is YAML or JSON: `apiVersion: syncbridge/v1`, `kind`, `metadata.name` and `spec`. [`parse`] takes a
//! text of one or several; what it returns has been checked key by key, but not against anything outside the
//! text: whether a database exists or a column has that name is for whoever applies the document.
//! [`Document::to_json`] is the canonical form, with defaults filled in and without secrets, which is stored,
//! compared by [`diff`] and exported by [`to_yaml`].

mod catalog;
mod choices;
mod connection;
mod definition;
mod difference;
mod document;
mod field_rule;
mod guards;
mod history;
mod name;
mod node;
mod problem;
mod reader;
mod secret;
mod sign_in;
mod site;
mod span;
mod suggest;
mod two_way;
mod words;

pub use catalog::{ApplicationSpec, CaRef, DatabaseSpec, InstanceSpec, Role, Tls, TlsMode};
pub use choices::NoChoices;
pub use connection::{Cloud, ConnectionSpec};
pub use definition::{SourceRule, SyncDefinitionSpec, TargetRule};
pub use difference::{Difference, diff};
pub use document::{API_VERSION, Document, ExportError, Kind, Located, Reference, Spec, to_yaml};
pub use field_rule::{FacetRule, FieldRule};
pub use name::{Name, NameError};
pub use problem::{Position, Problem, ProblemCode};
pub use secret::{SECRET_VARIABLE_PREFIX, SecretRef};
pub use sign_in::{Proof, SignIn};
pub use site::SiteRef;

/// The largest text accepted.
pub const MAX_BYTES: usize = 1 << 20;

/// Reads all documents of a text. `source_name` is what messages call it: a file name as the person gave it.
///
/// An empty text holds no documents, which is no error here.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text, at most 100 problems. A text that is no YAML has
/// one problem, since nothing behind it can be trusted.
pub fn parse(source_name: &str, text: &str) -> Result<Vec<Located<Document>>, Vec<Problem>> {
    parse_all([(source_name, text)])
}

/// Reads all documents of several texts, each with its name. No kind and name may be described twice.
///
/// # Errors
/// Everything that is wrong with any of them, text by text.
pub fn parse_all<'a>(
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<Located<Document>>, Vec<Problem>> {
    let mut documents: Vec<Located<Document>> = Vec::new();
    let mut problems = Vec::new();
    for (source_name, text) in texts {
        let mut reader = reader::Reader::new(source_name);
        let mut found = Vec::new();
        match node::parse_tree(source_name, text) {
            Ok(roots) => roots
                .iter()
                .for_each(|root| document::read_all(&mut reader, root, &mut found)),
            Err(problem) => problems.push(problem),
        }
        for (position, document) in found {
            let same = |other: &&Located<Document>| {
                other.value.kind() == document.kind() && other.value.name == document.name
            };
            if let Some(first) = documents.iter().find(same) {
                let message = format!(
                    "{} `{}` is described for the second time",
                    document.kind(),
                    document.name
                );
                let help = format!("it is described first at {}; keep one of them", first.place());
                reader.report(position, ProblemCode::DuplicateDocument, message, help);
            }
            documents.push(Located {
                value: document,
                file: source_name.to_owned(),
                position,
            });
        }
        problems.extend(reader.into_problems());
    }
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(problems)
    }
}
