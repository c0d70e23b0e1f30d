//! Models of what a run stands on: the source and the ledger, behind the engine's ports.
