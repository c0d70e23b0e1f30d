//! Microsoft Graph lists: auth, discovery, provisioning, items, batch, throttle.
//!
//! Generic over the transport ([`transport::Transport`]), the clock and randomness, so that the same code runs
//! against the real service, the simulator over HTTP, and a simulated network in one process on any executor.
//! The layers of a request are composed in `call.rs`; every error of the service is classified in `classify.rs`.
//!
//! * [`GraphClient`]: one connection; sites, lists, columns, provisioning.
//! * [`ListTarget`]: one list of a mapping; single attempts of writes with receipts, and reads.
#![deny(clippy::iter_over_hash_type)]

mod auth;
mod batch;
mod budget;
mod call;
mod certificate;
mod classify;
mod client;
pub mod cloud;
pub mod codes;
pub mod column;
mod column_answer;
mod credentials;
pub mod discovery;
pub mod egress;
mod history;
mod item;
mod item_names;
mod list_feed;
mod list_read;
mod list_streak;
mod list_survey;
mod list_target;
mod matching;
pub mod provisioning;
mod request;
mod reqwest_transport;
mod retry;
pub mod site_zone;
#[cfg(test)]
mod testing;
mod token_answer;
mod token_request;
mod trace;
pub mod transport;
#[cfg(test)]
mod visibility_tests;
mod wait;
mod whole;

pub use batch::MAX_PARTS;
pub use budget::{Account, Budget};
pub use certificate::SigningCertificate;
pub use client::{ClientSettings, GraphClient};
pub use credentials::{AssertionSource, Credentials, IdentityService, TokenSource};
pub use list_feed::ListFeed;
pub use list_target::{ListSettings, ListTarget};
pub use reqwest_transport::ReqwestTransport;
pub use retry::RetryRules;
pub use whole::WholeItem;
