//! The contract on the adapters over a real PostgreSQL, joined to the ports as a run has them.

// Helpers of tests may panic like tests; clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod meta_store;
mod source;

mod reading {
    use crate::source::Database;
    syncbridge_contract::source_contract!(Database);
}

mod writing {
    use crate::source::Database;
    syncbridge_contract::row_contract!(Database);
}

mod memory {
    use crate::meta_store::Memory;
    syncbridge_contract::memory_contract!(Memory);
}

mod pull_memory {
    use crate::meta_store::Memory;
    syncbridge_contract::pull_memory_contract!(Memory);
}
