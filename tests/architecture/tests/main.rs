//! The structure of `docs/architecture.md`, checked: arrows between crates, what the product links, where SQL
//! stands, how files are named and how long they are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod crates;
mod files;
