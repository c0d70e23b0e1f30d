//! Noticing what people do in the list, as a port.

use std::future::Future;

use syncbridge_domain::delta::{DeltaAnswer, DeltaFrom};

use super::PortResult;

/// A list whose changes can be asked for.
pub trait ListFeed: Send + Sync {
    /// One page of changes, items with all mapped fields, the sync key and the person's own columns left out. The
    /// why-tag is `delta`. A page is bounded in size; reads are repeated inside, as every read is.
    ///
    /// # Errors
    /// No readable answer, classified; a deleted list is a list failure.
    fn delta(&self, from: DeltaFrom<'_>) -> impl Future<Output = PortResult<DeltaAnswer>> + Send;
}
