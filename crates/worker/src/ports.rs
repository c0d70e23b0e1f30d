//! The engine's ports as a run has them, without a run: for the suite of cases that holds them to what the engine
//! relies on.

use syncbridge_meta_store::{DefinitionStore, MetaStore};
use syncbridge_source_postgres::PgSource;

pub use crate::ledger_port::LedgerPort;
pub use crate::source_port::{SourcePort, StagedPort};

/// The port to a table whose marks are of this generation.
#[must_use]
pub fn source_port(table: PgSource, generation: u32) -> SourcePort {
    SourcePort { table, generation }
}

/// The port to the memory of one definition.
#[must_use]
pub fn ledger_port(memory: DefinitionStore, store: MetaStore) -> LedgerPort {
    LedgerPort { memory, store }
}
