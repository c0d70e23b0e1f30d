//! The reader of PostgreSQL tables against real servers.

// The lint spares test functions, not the functions they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod catalog;
mod failures;
mod late_commits;
mod names;
mod paging;
mod paging_property;
mod point_reads;
mod session;
mod tls;
mod watermark;
mod world;
mod write_fates;
mod write_locks;
mod write_refusals;
mod writes;
mod writing;
