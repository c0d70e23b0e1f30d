//! The algorithm: push, pull, two-way, verify, repair and plan, generic over ports. No SQL, no HTTP, no wall clock, no randomness of
//! its own, no tasks: a run is one future, so that it can be replayed from a seed and dropped at any await
//! point.
//!
//! A run that drives a definition goes through these steps, each in its own module:
//! 1. [`recover`] and [`row_recover`]: writes that an earlier run left open are settled by looking at the list, or by
//!    asking the source what became of their transactions;
//! 2. where little is known of many rows, [`adoption`] reads the list once and takes over what is equal;
//! 3. where the source follows the list, [`list_changes`] takes over what people did, before anything is written over
//!    it; [`strangers`] are items that belong to no row yet;
//! 4. the feed says which rows changed: [`first_copy`] streams straight through, [`watermark`] and
//!    [`full_scan`] make rows *dirty* and move the cursor in the same transaction;
//! 5. [`drain`] takes dirty rows, reads them as they are now, and hands them to [`apply`];
//! 6. [`apply`] asks [`syncbridge_domain::reconcile`] what to do, records an effect for each write, sends full
//!    batches to the list ([`sending`]) or stages rows in the source ([`row_writes`]), and settles every receipt.
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
mod cause;
mod column_search;
mod compose;
mod decide;
mod drain;
mod evidence;
mod first_copy;
mod fought_over;
mod full_scan;
mod guard;
mod held;
mod inspect;
mod list_changes;
mod note;
mod overtaken;
mod past_row;
mod plan;
mod planning;
mod pull;
mod put_back;
mod recover;
mod rehearsal;
mod repair;
mod retire;
mod revert;
mod row_recover;
mod row_writes;
mod searching;
mod sending;
mod session;
mod stage;
mod staged_list;
mod staged_table;
mod standstill;
mod strangers;
mod unclear;
mod verify;
mod verify_cells;
mod versions;
mod watermark;
mod went_back;
mod work;

pub mod ports;
pub mod run;

pub use run::run;
pub use session::World;
