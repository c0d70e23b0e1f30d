//! `diff`: what applying documents would change, without asking either side.

use serde::Serialize;
use syncbridge_manifest::{Difference, Document, Located, SecretRef, diff};
use syncbridge_meta_store::{PgConnection, sealed_secrets};

use crate::Operations;
use crate::access::{SecretPlace, secret_places};
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
            if known.is_some() {
                let paths = self.differing_secrets(&mut connection, document).await?;
                differences.extend(paths.into_iter().map(Difference::of_secret));
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

    /// Paths of the secrets in a document that are others than those stored.
    async fn differing_secrets(
        &self,
        connection: &mut PgConnection,
        document: &Document,
    ) -> Result<Vec<&'static str>> {
        use syncbridge_secrets::ExposeSecret as _;
        let mut paths = Vec::new();
        for SecretPlace { path, sealed, secret } in secret_places(document) {
            let Some(SecretRef::Value(value)) = secret else {
                continue;
            };
            let known = sealed_secrets::open(
                connection,
                &self.ring,
                self.workspace,
                &sealed.name,
                sealed.binding(),
            )
            .await?;
            if known.is_none_or(|known| known.expose_secret() != value.expose_secret()) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}
