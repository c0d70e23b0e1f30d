//! Child processes: waiting until they are ready, ending them.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::process::{self, Action};
use crate::{Error, Result, server_log};

/// How long a server may take to become ready.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a server may take to end when asked.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Pause between two looks.
pub(crate) const POLL: Duration = Duration::from_millis(15);

/// Fails when a starting child has ended or its deadline has passed.
pub(crate) fn still_starting(child: &mut Child, what: &str, log: &Path, deadline: Instant) -> Result<()> {
    if let Some(status) = child.try_wait().map_err(Error::io("wait for", what))? {
        return Err(Error::ProgramFailed {
            program: what.to_owned(),
            status: status.to_string(),
            output: server_log::tail_of_file(log),
        });
    }
    if Instant::now() >= deadline {
        let output = server_log::tail_of_file(log);
        return Err(Error::NotReady {
            what: what.to_owned(),
            waited: READY_WITHIN,
            output,
        });
    }
    Ok(())
}

/// Asks a child to end, waits, and kills it when it does not.
pub(crate) async fn end(child: &mut Child, what: &str, log: &Path) -> Result<()> {
    if child.try_wait().map_err(Error::io("wait for", what))?.is_some() {
        return Ok(());
    }
    process::send(child.id(), Action::Terminate)?;
    let deadline = Instant::now() + STOP_WITHIN;
    while child.try_wait().map_err(Error::io("wait for", what))?.is_none() {
        if Instant::now() >= deadline {
            end_now(child);
            let output = server_log::tail_of_file(log);
            return Err(Error::NotReady {
                what: format!("the end of {what}"),
                waited: STOP_WITHIN,
                output,
            });
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Kills a child that still runs and waits for it, so that no zombie stays.
pub(crate) fn end_now(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = child.kill();
        let _ = child.wait();
    }
}
