//! The moments around a step of a model, which belong to the harness.

use std::future::Future;
use std::pin::Pin;

use syncbridge_engine::ports::PortResult;

/// Which model is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The source table is read.
    Source,
    /// Source rows are written.
    Rows,
    /// The memory is asked.
    Memory,
}

/// A call of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Which model.
    pub part: Part,
    /// The port's method.
    pub name: &'static str,
}

/// A moment that the harness ends.
pub type Moment<'a> = Pin<Box<dyn Future<Output = PortResult<()>> + Send + 'a>>;

/// How a COMMIT turns out that got through to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitFate {
    /// It commits, and says so.
    Answered,
    /// It commits, and the answer is lost.
    LostCommitted,
    /// The server went down before it committed; nobody is told.
    LostAborted,
    /// Nobody is told, and the transaction is still open: it ends when
    /// [`super::source::ModelSource::end_pending`] says how.
    LostPending,
}

/// The harness's part in every call.
pub trait Steps: Send + Sync {
    /// Awaited before the step is taken; an error means that the call never got through.
    fn before(&self, call: Call) -> Moment<'_>;
    /// Awaited after the step was taken; an error means that its answer was lost.
    fn after(&self, call: Call) -> Moment<'_>;
    /// Decides about a COMMIT.
    fn commit_fate(&self) -> CommitFate {
        CommitFate::Answered
    }
}

/// Every call gets through and is answered at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Undisturbed;

impl Steps for Undisturbed {
    fn before(&self, _: Call) -> Moment<'_> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn after(&self, _: Call) -> Moment<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Takes a step between its two moments.
pub(super) async fn step<T: Send>(
    steps: &dyn Steps,
    call: Call,
    take: impl FnOnce() -> PortResult<T> + Send,
) -> PortResult<T> {
    steps.before(call).await?;
    let taken = take();
    steps.after(call).await?;
    taken
}
