//! Row values at rest: sealed with the definition's data key for exactly one subject.

use serde::Serialize;
use serde::de::DeserializeOwned;
use syncbridge_domain::identity::Identity;
use syncbridge_secrets::Place;

use super::DefinitionStore;
use crate::error::{Error, Result};

impl DefinitionStore {
    /// Workspace, definition and subject, under the name of the column.
    pub(super) fn place(&self, column: &str, identity: Identity) -> Place {
        Place::new(column)
            .with(self.workspace.uuid().as_bytes())
            .with(self.definition.uuid().as_bytes())
            .with(identity.as_bytes())
    }

    pub(super) fn seal<T: Serialize>(&self, place: &Place, value: &T) -> Result<Vec<u8>> {
        // What serde says of a value may repeat it; only that it failed is kept.
        let plain = serde_json::to_vec(value).map_err(|_| Error::Damaged { what: "value" })?;
        let plain = syncbridge_secrets::Zeroizing::new(plain);
        Ok(self.data_key.seal(place, &plain)?)
    }

    pub(super) fn unseal<T: DeserializeOwned>(
        &self,
        what: &'static str,
        place: &Place,
        sealed: &[u8],
    ) -> Result<T> {
        let plain = self
            .data_key
            .open(place, sealed)
            .map_err(|reason| Error::Open { what, reason })?;
        serde_json::from_slice(&plain).map_err(|_| Error::Damaged { what })
    }
}
