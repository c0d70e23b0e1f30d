//! Deterministic simulation (DESIGN §15.2): the real engine and the real Graph client over the core of the
//! simulator, models of the source and of the ledger, all in one seeded process on an executor of its own.
//!
//! A seed decides everything: the order in which tasks go on, how long each request travels, what goes wrong, what
//! people do on both sides, where a worker dies. The same seed gives the same events, which each run proves by
//! running twice.
#![deny(clippy::iter_over_hash_type)]

pub mod actors;
pub mod clock;
pub mod coverage;
#[cfg(sabotage)]
pub mod drill;
pub mod events;
pub mod executor;
pub mod faults;
pub mod history;
pub mod hunt;
pub mod invariants;
pub mod leaving;
pub mod model;
pub mod moments;
pub mod network;
pub mod people;
pub mod random;
mod rest;
pub mod scenario;
pub mod scratch;
pub mod shrink;
pub mod simulation;
pub mod target;
pub mod worker;
pub mod world;
