//! The durable memory of SyncBridge, in PostgreSQL: configuration, ledger, effects, leases, history.
//!
//! | part | what it keeps |
//! |---|---|
//! | [`store`] | the pool, migrations, compatibility of schema and service |
//! | [`workspaces`], [`catalog`], [`connections`], [`definitions`] | what people configure |
//! | [`sealed_secrets`], [`hash_keys`] | credentials and hash keys, sealed by the master key |
//! | [`leases`] | who drives a definition, with a fencing epoch |
//! | [`ledger`] | agreement, effects, dirty rows, quarantine, conflicts, cursors of one definition |
//! | [`rehearsal`] | a copy of a definition's memory in which a run is rehearsed |
//! | [`runs`], [`audit`], [`outbox`] | what happened, who changed what, what the bus is to be told |
//!
//! Configuration goes through functions on a `&mut PgConnection`, so that a change, its audit entry and its
//! message commit together: `let mut tx = store.begin().await?; …(&mut tx, …).await?; tx.commit()`.
//! Everything in [`ledger`] opens its own transactions, each of which first checks the writer's lease.
//!
//! Errors are [`Error`] and turn into the domain's `Failure`; neither carries a cell value or a secret.

pub mod audit;
pub mod catalog;
pub mod connections;
pub mod definitions;
pub mod error;
pub mod hash_keys;
pub mod leases;
pub mod ledger;
pub mod outbox;
pub mod partitions;
pub mod rehearsal;
pub mod runs;
pub mod sealed_secrets;
pub mod store;
pub mod workspaces;

mod documents;
mod number;

pub use documents::{Change, Document, Stored};
pub use error::{Error, Result};
pub use ledger::{DefinitionStore, OverriddenEdit, Settlement, Verdict};
pub use rehearsal::Rehearsal;
pub use sqlx::PgConnection;
pub use store::{ConnectOptions, MetaStore, Transaction};
