//! The pure heart of SyncBridge: what a row, a cell, an identity, a mapping and a decision *are*.
//!
//! Nothing in this crate performs I/O, reads a clock or draws randomness; [`clock`] only names the two
//! ports through which the engine gets time and entropy. A reader who wants the whole idea opens
//! [`reconcile`] first: three states of one row in, one decision out.

pub mod agreed;
mod array_literal;
pub mod canonical;
pub mod clock;
pub mod conflict;
pub mod conflict_table;
pub mod convert;
pub mod convert_back;
pub mod delta;
pub mod derive;
pub mod dirty;
pub mod effect;
pub mod facet;
pub mod failure;
pub mod feed;
pub mod freeze;
pub mod history;
pub mod identity;
pub mod ids;
pub mod item_history;
pub mod item_subject;
pub mod ledger;
pub mod life;
pub mod list_rules;
pub mod mapping;
pub mod pg_type;
pub mod ping_pong;
pub mod plan_remark;
pub mod policy;
pub mod preflight;
pub mod quota;
pub mod receipt;
pub mod reconcile;
pub mod revert;
pub mod row;
pub mod row_write;
pub mod run;
pub mod sabotage;
pub mod saved_plan;
pub mod schedule;
pub mod sentinel;
pub mod site_zone;
pub mod system_field;
pub mod table;
pub mod two_way;
pub mod type_matrix;
pub mod verification;
pub mod version;
mod wall_clock;
