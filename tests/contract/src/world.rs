//! What a case needs from the world it runs in, beside the ports themselves.

use std::time::Duration;

use chrono::{DateTime, Utc};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{DefinitionId, RunId};
use syncbridge_engine::ports::{Ledger, Source};

use crate::table::TableWish;

/// Columns and their values.
pub type Values<'a> = [(&'a str, Option<&'a str>)];

/// A database with one table in it.
#[allow(async_fn_in_trait, reason = "cases are awaited where they are, never sent")]
pub trait SourceWorld: Sized {
    /// The port to the table.
    type Source: Source;
    /// An application beside us.
    type Session: Session;

    /// Makes the table and opens it.
    async fn open(wish: TableWish) -> Self;
    /// The table as the engine has it.
    fn source(&self) -> &Self::Source;
    /// A connection of an application.
    async fn session(&self) -> Self::Session;
}

/// A connection of an application that changes rows. Outside of a transaction every statement commits by itself.
#[allow(async_fn_in_trait, reason = "cases are awaited where they are, never sent")]
pub trait Session {
    /// Begins a transaction and answers its start.
    async fn begin(&mut self) -> DateTime<Utc>;
    /// Inserts a row that the table takes.
    async fn insert(&mut self, values: &Values<'_>);
    /// Changes the row with this key.
    async fn update(&mut self, key: &str, values: &Values<'_>);
    /// Deletes the row with this key.
    async fn delete(&mut self, key: &str);
    /// Draws a transaction id without touching the table.
    async fn draw_id(&mut self);
    /// Commits; answers whether it did.
    async fn commit(&mut self) -> bool;
    /// Rolls back.
    async fn roll_back(&mut self);
    /// Prepares the transaction.
    async fn prepare(&mut self);
    /// Commits what was prepared.
    async fn commit_prepared(&mut self);
}

/// A memory with definitions in it.
#[allow(async_fn_in_trait, reason = "cases are awaited where they are, never sent")]
pub trait MemoryWorld: Sized {
    /// The ports to one definition's memory.
    type Memory: Ledger;

    /// Makes an empty memory.
    async fn open() -> Self;
    /// Adds a definition that drives this list.
    async fn define(&self, list: &str) -> (DefinitionId, Self::Memory);
    /// Takes the lease, which nobody has.
    async fn acquire(&self, definition: DefinitionId, term: Duration) -> Fence;
    /// Gives the lease back.
    async fn release(&self, fence: Fence);
    /// Time goes by.
    async fn pass(&self, time: Duration);
    /// The source's marks begin a new generation.
    async fn set_generation(&self, definition: DefinitionId, generation: u32);
    /// A run that a person told by name to let deletes pass.
    async fn run_that_may_delete(&self, definition: DefinitionId) -> RunId;
    /// A person accepts a refused row as it is.
    async fn accept(&self, definition: DefinitionId, identity: Identity);
    /// A person wants refused rows tried again.
    async fn retry(&self, definition: DefinitionId);
}

/// A memory in which people decide about conflicts.
#[allow(async_fn_in_trait, reason = "cases are awaited where they are, never sent")]
pub trait ConflictWorld: MemoryWorld {
    /// A person decides a parked conflict.
    async fn decide(&self, definition: DefinitionId, identity: Identity, column: &str, winner: Side);
}
