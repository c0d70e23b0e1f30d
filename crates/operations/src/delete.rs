//! `delete`: removes a stored document. A list is never deleted, items and ledger only when asked for.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use serde_json::json;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::run::{Progress, Retire, RunKind, RunOptions, RunState};
use syncbridge_manifest::Kind;
use syncbridge_meta_store::{PgConnection, audit, catalog, connections, definitions, sealed_secrets};

use crate::Operations;
use crate::access::secret_places;
use crate::actor::Actor;
use crate::definition;
use crate::error::Result;
use crate::run::{KeyTexts, RunOrder};
use crate::shelf::{Shelf, unknown};

/// What deleting did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

/// How a definition takes its leave. Everything is kept unless said otherwise.
pub struct Farewell<'a> {
    /// What becomes of the items; `None` leaves them as they are.
    pub items: Option<Retire>,
    /// Whether what is known of the items goes too; they are then recognised by their sync key only.
    pub drop_ledger: bool,
    /// Lets so many items go or be marked; the guard lets only a few pass by itself.
    pub allow_deletes: Option<u64>,
    /// Who wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// Set by whoever wants it to stop.
    pub cancel: Arc<AtomicBool>,
}

impl Operations {
    /// Deletes a document.
    ///
    /// A definition's items are dealt with first, by a run of its own; one that ends before all is done deletes
    /// nothing more, and the same call goes on where it stopped. A ledger that is kept belongs to the next
    /// definition of the same name and namespace.
    ///
    /// # Errors
    /// A document that does not exist or that others refer to; `guard.items`; `delete.items_left`.
    pub async fn delete(
        &self,
        actor: &Actor,
        kind: Kind,
        name: &str,
        farewell: Farewell<'_>,
    ) -> Result<Deleted> {
        let drop_ledger = farewell.drop_ledger;
        if kind == Kind::SyncDefinition && farewell.items.is_some() {
            self.retire(actor, name, farewell).await?;
        }
        let mut tx = self.store.begin().await?;
        let shelf = Shelf::load(&mut tx, self.workspace).await?;
        let put_away = match (kind, drop_ledger) {
            (Kind::SyncDefinition, true) => definitions::put_away(&mut tx, self.workspace, name).await?,
            _ => None,
        };
        match (shelf.get(kind, name), put_away) {
            (Some(document), _) => {
                let users = shelf.users(kind, name);
                if !users.is_empty() {
                    return Err(in_use(kind, name, &users).into());
                }
                // A secret must not outlive the document it was entered with.
                for place in secret_places(document) {
                    sealed_secrets::delete(&mut tx, self.workspace, &place.sealed.name).await?;
                }
                self.remove(&mut tx, kind, name, drop_ledger).await?;
            }
            // Only its ledger is left, and that is to go now.
            (None, Some(id)) => definitions::delete(&mut tx, id, definitions::LedgerOnDelete::Drop).await?,
            (None, None) => return Err(unknown(&shelf, kind, name).into()),
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

    async fn remove(&self, tx: &mut PgConnection, kind: Kind, name: &str, drop_ledger: bool) -> Result<()> {
        match kind {
            Kind::Application => catalog::delete_application(tx, self.workspace, name).await?,
            Kind::Database => catalog::delete_database(tx, self.workspace, name).await?,
            Kind::Instance => catalog::delete_instance(tx, self.workspace, name).await?,
            Kind::Connection => connections::delete(tx, self.workspace, name).await?,
            Kind::SyncDefinition => {
                let id = definitions::find(tx, self.workspace, name).await?.id;
                let ledger = if drop_ledger {
                    definitions::LedgerOnDelete::Drop
                } else {
                    definitions::LedgerOnDelete::Keep
                };
                definitions::delete(tx, id, ledger).await?;
            }
        }
        Ok(())
    }

    /// Deals with the items of a definition that is to go.
    async fn retire(&self, actor: &Actor, name: &str, farewell: Farewell<'_>) -> Result<()> {
        let mut connection = self.store.acquire().await?;
        let id = definition::id(&mut connection, self.workspace, name).await?;
        let list = definitions::get(&mut connection, id).await?.list;
        drop(connection);
        // It never ran: there are no items.
        if list.is_none() {
            return Ok(());
        }
        let order = RunOrder {
            name,
            kind: RunKind::Push,
            options: RunOptions {
                allow_deletes: farewell.allow_deletes,
                retire: farewell.items,
                ..RunOptions::default()
            },
            range: KeyTexts::default(),
            progress: farewell.progress,
            cancel: farewell.cancel,
        };
        let outcome = self.run(actor, order).await?.outcome;
        match (outcome.state, outcome.failure) {
            (RunState::Completed, _) => Ok(()),
            (_, Some(failure)) => Err(failure.into()),
            (_, None) => Err(items_left(name, outcome.counters.parked).into()),
        }
    }
}

fn items_left(name: &str, parked: u64) -> Failure {
    Failure::new(
        Scope::List,
        "delete.items_left",
        format!("{parked} items of definition `{name}` could not be dealt with yet; the definition stays"),
        "give the same command again: it goes on where it stopped",
    )
}

fn in_use(kind: Kind, name: &str, users: &[String]) -> Failure {
    Failure::new(
        Scope::List,
        "configuration.in_use",
        format!("{kind} `{name}` is still used by {}", users.join(", ")),
        "delete or change that first",
    )
}
