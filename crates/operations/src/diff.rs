//! `diff`: what applying documents would change, without asking either side.

use serde::Serialize;
use syncbridge_manifest::{Difference, Document, Located, SecretRef, Spec, diff};
use syncbridge_meta_store::{PgConnection, sealed_secrets};

use crate::Operations;
use crate::access::SealedAs;
use crate::error::{Error, Result};
use crate::shelf::Shelf;

/// How one document differs from what is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DocumentDifference {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Whether nothing of that name is stored.
    pub is_new: bool,
    /// Differences, readable, without secrets.
    pub differences: Vec<String>,
}

impl Operations {
    /// Compares documents with what is stored.
    ///
    /// # Errors
    /// References that lead nowhere.
    pub async fn diff(&self, given: &[Located<Document>]) -> Result<Vec<DocumentDifference>> {
        let mut connection = self.store.acquire().await?;
        let stored = Shelf::load(&mut connection, self.workspace).await?;
        let mut wished = Shelf::load(&mut connection, self.workspace).await?;
        let problems = wished.overlay(given);
        if !problems.is_empty() {
            return Err(Error::Documents(problems));
        }
        let mut out = Vec::with_capacity(given.len());
        for located in given {
            let document = &located.value;
            let known = stored.get(document.kind(), document.name.as_str());
            let mut differences = match known {
                Some(known) => diff(&known.to_json(), &document.to_json()),
                None => Vec::new(),
            };
            if known.is_some() && self.secret_differs(&mut connection, document).await? {
                let path = document.secret().map_or("spec", |(path, _)| path);
                differences.push(Difference::of_secret(path));
            }
            out.push(DocumentDifference {
                kind: document.kind().name(),
                name: document.name.as_str().to_owned(),
                is_new: known.is_none(),
                differences: differences.iter().map(ToString::to_string).collect(),
            });
        }
        Ok(out)
    }

    async fn secret_differs(&self, connection: &mut PgConnection, document: &Document) -> Result<bool> {
        use syncbridge_secrets::ExposeSecret as _;
        let Some((_, SecretRef::Value(value))) = document.secret() else {
            return Ok(false);
        };
        let sealed = match &document.spec {
            Spec::Instance(spec) => SealedAs::of_instance(document.name.as_str(), spec),
            Spec::Connection(spec) => SealedAs::of_connection(document.name.as_str(), spec),
            _ => return Ok(false),
        };
        let known = sealed_secrets::open(
            connection,
            &self.ring,
            self.workspace,
            &sealed.name,
            sealed.binding(),
        )
        .await?;
        Ok(known.is_none_or(|known| known.expose_secret() != value.expose_secret()))
    }
}
