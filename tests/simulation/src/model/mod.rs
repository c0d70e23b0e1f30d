//! Models of the two durable sides of a sync: the source table with its transactions, and the memory.
//!
//! A model keeps what a server would keep on disk and answers as the server would, at once and always the same.
//! It passes the contract suite of `tests/contract`, which the adapters over a real PostgreSQL pass too; that is
//! what entitles the simulation to run on it.
//!
//! Every call of a port is one step, with a moment before and a moment after it ([`Steps`]). The harness decides
//! when a moment is over, whether the call gets through at all and whether its answer arrives. A call that is
//! never polled again, because its process was killed there, leaves either nothing or all of its step behind.

#[cfg(test)]
mod faults_tests;
pub mod ledger;
pub mod source;
mod steps;

pub use steps::{Call, CommitFate, Moment, Part, Steps, Undisturbed};
