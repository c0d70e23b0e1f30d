//! `delete`: removes a stored document. The list and its items stay; a ledger is never dropped unasked.

use serde::Serialize;
use serde_json::json;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_manifest::Kind;
use syncbridge_meta_store::{audit, catalog, connections, definitions, sealed_secrets};

use crate::Operations;
use crate::access::secret_places;
use crate::actor::Actor;
use crate::error::Result;
use crate::shelf::{Shelf, unknown};

/// What deleting did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

impl Operations {
    /// Deletes a document. `drop_ledger` allows a definition to go together with what it knows of its items,
    /// which are then no longer recognised by anything but their sync key.
    ///
    /// # Errors
    /// A document that does not exist or that others refer to; a definition with a ledger.
    pub async fn delete(&self, actor: &Actor, kind: Kind, name: &str, drop_ledger: bool) -> Result<Deleted> {
        let mut tx = self.store.begin().await?;
        let shelf = Shelf::load(&mut tx, self.workspace).await?;
        let Some(document) = shelf.get(kind, name) else {
            return Err(unknown(&shelf, kind, name).into());
        };
        let users = shelf.users(kind, name);
        if !users.is_empty() {
            return Err(in_use(kind, name, &users).into());
        }
        // A secret must not outlive the document it was entered with.
        for place in secret_places(document) {
            sealed_secrets::delete(&mut tx, self.workspace, &place.sealed.name).await?;
        }
        match kind {
            Kind::Application => catalog::delete_application(&mut tx, self.workspace, name).await?,
            Kind::Database => catalog::delete_database(&mut tx, self.workspace, name).await?,
            Kind::Instance => catalog::delete_instance(&mut tx, self.workspace, name).await?,
            Kind::Connection => connections::delete(&mut tx, self.workspace, name).await?,
            Kind::SyncDefinition => {
                let id = definitions::find(&mut tx, self.workspace, name).await?.id;
                let ledger = if drop_ledger {
                    definitions::LedgerOnDelete::Drop
                } else {
                    definitions::LedgerOnDelete::Refuse
                };
                definitions::delete(&mut tx, id, ledger).await?;
            }
        }
        let entry = audit::NewEntry {
            actor: actor.name(),
            action: "deleted",
            object_kind: kind.name(),
            object_id: name,
            object_name: name,
            detail: &json!({ "ledgerDropped": drop_ledger }),
        };
        audit::append(&mut tx, self.workspace, entry).await?;
        tx.commit().await.map_err(syncbridge_meta_store::Error::from)?;
        Ok(Deleted {
            kind: kind.name(),
            name: name.to_owned(),
        })
    }
}

fn in_use(kind: Kind, name: &str, users: &[String]) -> Failure {
    Failure::new(
        Scope::List,
        "configuration.in_use",
        format!("{kind} `{name}` is still used by {}", users.join(", ")),
        "delete or change that first",
    )
}
