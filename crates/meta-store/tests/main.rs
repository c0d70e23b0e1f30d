//! The meta-store on a real PostgreSQL, one fresh database a test.

// Helpers of tests may panic like tests; clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admission;
mod adoption;
mod configuration;
mod conflicts;
mod connecting;
mod dirty_rows;
mod fixture;
mod history;
mod leasing;
mod list_feed;
mod lives;
mod quarantining;
mod rehearsing;
mod round_trip;
mod run_records;
mod saved_plans;
mod schema;
mod sealing;
mod settling;
mod witnessing;
