//! Private PostgreSQL, NATS and simulator as child processes; the sample company.
//!
//! `syncbridge dev`, the tests of every crate and the benchmarks run on real servers that nobody has to
//! install as services: each one lives in a folder of its own, listens on 127.0.0.1 only, on a port nobody
//! else uses, and ends with the value that holds it. This crate depends on none of ours, so that any crate
//! may use it in its tests.
//!
//! | module | gives |
//! |---|---|
//! | [`postgres`] | a private PostgreSQL cluster ([`postgres::Cluster`]) |
//! | [`nats`] | a private NATS server with JetStream ([`nats::Server`]) |
//! | [`simulator`] | a `graph-sim` process ([`simulator::GraphSim`]) |
//! | [`sample`] | the sample company as SQL, and a working day in it |
//! | [`generator`] | believable tables of any size, the same on every machine |
//! | [`testing`] | a database per test on one cluster shared by all tests |
//! | [`process`] | signals and liveness, for tests that kill and freeze processes |
//!
//! **Where data lives.** PostgreSQL refuses to run as root. When we are root, its programs run as the system
//! user `postgres`, who must be able to reach the data folder; a project below a private home directory is
//! out of its reach. [`folders::for_servers`] therefore keeps the folder asked for where the server user can
//! reach it, and otherwise makes one below the system's temporary folder and notes in the folder asked for
//! where it went.

pub mod folders;
pub mod generator;
pub mod nats;
pub mod postgres;
pub mod process;
pub mod sample;
pub mod simulator;
pub mod testing;

mod account;
mod children;
mod error;
mod password;
mod programs;
mod server_log;

pub use error::{Error, Result};
