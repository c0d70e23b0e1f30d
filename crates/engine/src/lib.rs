//! The algorithm: push, verify, repair and plan, generic over ports. No SQL, no HTTP, no wall clock, no randomness of
//! its own, no tasks: a run is one future, so that it can be replayed from a seed and dropped at any await
//! point.
//!
//! A push run goes through these steps, each in its own module:
//! 1. [`recover`]: writes that an earlier run left open are settled by looking at the list;
//! 2. where little is known of many rows, [`adoption`] reads the list once and takes over what is equal;
//! 3. the feed says which rows changed: [`first_copy`] streams straight through, [`watermark`] and
//!    [`full_scan`] make rows *dirty* and move the cursor in the same transaction;
//! 4. [`drain`] takes dirty rows, reads them as they are now, and hands them to [`apply`];
//! 5. [`apply`] asks [`syncbridge_domain::reconcile`] what to do, records an effect for each write, sends full
//!    batches, and settles every receipt.
//!
//! Guarantees: a cursor never passes a row that is neither applied, dirty nor quarantined (I5); a write is
//! recorded before it is sent and settled by evidence only (I7); rows that did not change cost no request (I8);
//! memory is bounded by pages and buckets (I9).
#![deny(clippy::iter_over_hash_type)]

mod adoption;
mod agreement;
mod answer;
mod apply;
mod business_key;
mod column_search;
mod compose;
mod decide;
mod drain;
mod evidence;
mod first_copy;
mod full_scan;
mod guard;
mod inspect;
mod note;
mod plan;
mod recover;
mod repair;
mod retire;
mod searching;
mod sending;
mod session;
mod standstill;
mod verify;
mod verify_cells;
mod watermark;
mod work;

pub mod ports;
pub mod run;

pub use run::run;
pub use session::World;
