//! What a memory keeps: agreement, effects, dirty rows, quarantine, cursors, conflicts.

pub mod admission;
pub mod adoption;
pub mod conflicts;
pub mod dirty_rows;
pub mod items;
pub mod leases;
pub mod quarantining;
pub mod settling;
pub mod sweeping;
pub mod verifying;
pub mod witnesses;
