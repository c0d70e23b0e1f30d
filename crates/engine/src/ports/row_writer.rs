//! Writing source rows, as a port: stage, note the witness, commit (DESIGN §6, "Recovery on the source").

use std::future::Future;

use syncbridge_domain::row_write::{Commit, RowReceipt, RowWrite, TransactionStatus};

use super::PortResult;

/// A source that can be written.
pub trait RowWriter: Send + Sync {
    /// Writes under way in one transaction.
    type Staged: StagedRows;
    /// Begins a transaction and tries each write once in it, in the order of keys, each behind a savepoint of its own:
    /// lock the row (waiting no longer than the configured limit), compare it with what the decision rested on,
    /// write, read back. One receipt a write, in the order asked. Nothing is true before [`StagedRows::commit`].
    ///
    /// # Errors
    /// A failure that reaches further than a row: the connection, the privileges, a read-only server. Nothing was
    /// written then.
    fn stage(&self, writes: Vec<RowWrite>) -> impl Future<Output = PortResult<Self::Staged>> + Send;
    /// What became of these (sub)transactions, in the order asked. An id of another history of the server (restored,
    /// failed over) is `Unknown`.
    fn transactions(&self, ids: &[u64]) -> impl Future<Output = PortResult<Vec<TransactionStatus>>> + Send;
}

/// Staged rows. Dropping them rolls back, as a crash would.
pub trait StagedRows: Send {
    /// One receipt a write, in the order asked.
    fn receipts(&self) -> &[RowReceipt];
    /// Makes everything staged true.
    fn commit(self) -> impl Future<Output = Commit> + Send;
    /// Makes nothing of it true.
    fn roll_back(self) -> impl Future<Output = ()> + Send;
}
