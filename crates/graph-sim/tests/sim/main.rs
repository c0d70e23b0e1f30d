//! The simulator as its clients see it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "clippy.toml allows them in test functions; the functions those share are test code as well"
)]

mod assertion;
mod auth;
mod batch;
mod columns;
#[path = "../contract/mod.rs"]
mod contract;
mod control;
mod delta;
mod exchanges;
mod faults;
mod harness;
mod items;
mod lookups;
mod page;
mod pages;
mod person;
mod quota;
mod recycle;
mod server;
mod shapes;
mod sites;
mod state;
mod tls;
mod values;
mod visibility;
