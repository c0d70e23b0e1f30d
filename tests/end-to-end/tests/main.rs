//! The whole product on real parts: PostgreSQL, the simulator over HTTP, the built binary.
//!
//! Tests that prove a line of an issue's *Must hold* begin with its id; `make evidence` finds them by it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod adoption_by_key;
mod backwards;
mod concurrency;
mod conflicts;
mod crash;
mod data;
mod deletes;
mod errors;
mod every_type;
mod guards;
mod guards_both_ways;
mod history;
mod keys;
mod late;
mod lifecycle;
mod lost_answers;
mod no_sabotage;
mod owners;
mod people;
mod ping_pong;
mod plain_reader;
mod plans;
mod precondition_ignored;
mod preflight;
mod quarantine;
mod reanchor;
mod refusals;
mod repair;
mod revert;
mod revert_since;
mod secrets;
mod sign_in;
mod site_zone;
mod spine;
mod surface;
mod surprises;
mod targets;
mod two_way;
mod two_way_chaos;
mod two_way_kills;
mod two_way_recovery;
mod types_at_random;
mod verification;
mod visibility;
