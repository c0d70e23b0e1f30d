//! PostgreSQL tables: introspection, paged reads, point reads, spill; rows written under proof.
//!
//! The source is the system of record; this crate must never hurt it or lie about it:
//! * sessions are read-only, few, and bounded in time; each sets row security to "error", so that a hidden
//!   row is never mistaken for a deleted one;
//! * a transaction that writes says so when it begins, and only two files begin one: `source/write.rs` for what a
//!   run decided, `source/edit.rs` for what a person corrects. Locks are waited for and held for a bounded time;
//! * a cell is the text PostgreSQL prints under fixed settings (its *raw stable form*), nothing interpreted;
//! * SQL is put together in one file, from quoted names and bound values only;
//! * failures carry code, cause and next step, and never a value.
//!
//! Connect to the server itself or through a pooler in session mode: a pooler that hands every transaction
//! another session would take the settings away.
//!
//! | module | subject |
//! |---|---|
//! | [`access`] | address, credentials, TLS, limits |
//! | [`catalog`] | what a database offers |
//! | [`shape`] | what is to be read of a table |
//! | [`source`] | pages, point reads, horizon, ceiling, writes |
//! | [`spill`] | scratch space for full scans |
//! | [`sql`] | the one place where SQL text is put together |

// `Failure` is the shared vocabulary of all ports; boxing it here would only move the copy.
#![allow(clippy::result_large_err)]

pub mod access;
pub mod catalog;
pub mod shape;
pub mod source;
pub mod spill;
pub mod sql;

mod fault;
mod near;
mod session;
mod statements;

pub use access::{Access, Timeouts, TlsMode};
pub use catalog::{Catalog, TableDescription};
pub use shape::{ReadColumn, ReadShape, TableRef};
pub use source::{
    CLOCK_MARGIN, Edit, KEYS_MAX, KEYS_MAX_BYTES, PAGE_MAX_BYTES, PgSource, SourcePage, StagedWrites,
    WRITES_MAX, WatermarkPosition,
};
pub use spill::{Scratch, SpillFile, SpillNote, SpillRecord};
