//! Deterministic simulation (DESIGN §15.2): the real engine and the real Graph client over the core of the
//! simulator, models of the source and of the ledger, all in one seeded process on an executor of its own.
//!
//! A seed decides everything: the order in which tasks go on, how long each request travels, what goes wrong, what
//! people do on both sides, where a worker dies. The same seed gives the same events, which each run proves by
//! running twice.
#![deny(clippy::iter_over_hash_type)]

pub mod model;
