//! Signals and liveness of processes, for tests that kill and freeze them and for cleaning up after a crash.

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{Error, Result};

/// What is done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGTERM: it may tidy up.
    Terminate,
    /// SIGINT: as from a terminal.
    Interrupt,
    /// SIGKILL: nothing of it runs any more.
    Kill,
    /// SIGSTOP: it sleeps until resumed.
    Freeze,
    /// SIGCONT: it goes on.
    Resume,
}

/// Sends a signal to the process with this id.
///
/// # Errors
/// [`Error::Invalid`] when there is no such process or it is not ours.
pub fn send(pid: u32, action: Action) -> Result<()> {
    let signal = match action {
        Action::Terminate => Signal::TERM,
        Action::Interrupt => Signal::INT,
        Action::Kill => Signal::KILL,
        Action::Freeze => Signal::STOP,
        Action::Resume => Signal::CONT,
    };
    let target = to_pid(pid).ok_or_else(|| Error::Invalid(format!("{pid} is no process id")))?;
    kill_process(target, signal)
        .map_err(|error| Error::Invalid(format!("cannot signal process {pid} ({action:?}): {error}")))
}

/// Whether a process with this id exists (a zombie counts as existing until its parent has waited for it).
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    to_pid(pid).is_some_and(|pid| match test_kill_process(pid) {
        Ok(()) => true,
        Err(error) => error == rustix::io::Errno::PERM,
    })
}

/// One process for all time, not the next one that gets its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incarnation {
    pub(crate) pid: u32,
    /// Start time in clock ticks since boot, as Linux counts it; 0 where that is not known.
    pub(crate) started: u64,
}

impl Incarnation {
    pub(crate) fn of(pid: u32) -> Self {
        Self {
            pid,
            started: started(pid).unwrap_or(0),
        }
    }

    pub(crate) fn ourselves() -> Self {
        Self::of(std::process::id())
    }

    /// Whether this very process still runs. One that has ended and only waits for its parent's notice does not.
    pub(crate) fn is_alive(self) -> bool {
        is_alive(self.pid)
            && match stat_fields(self.pid) {
                Some(fields) => {
                    fields.first().is_none_or(|state| state != "Z")
                        && (self.started == 0 || start_time(&fields).is_none_or(|now| now == self.started))
                }
                // No /proc here: the number is all we know.
                None => true,
            }
    }
}

fn started(pid: u32) -> Option<u64> {
    start_time(&stat_fields(pid)?)
}

/// Field 22 of the file, so the twentieth after the name.
fn start_time(fields: &[String]) -> Option<u64> {
    fields.get(19)?.parse().ok()
}

/// The fields of `/proc/<pid>/stat` after the second, the program's name, which may hold blanks and brackets.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(
        stat[stat.rfind(')')? + 1..]
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_alive_and_our_number_given_to_another_is_not_us() {
        let us = Incarnation::ourselves();
        assert!(us.is_alive());
        assert!(us.started > 0);
        assert!(
            !Incarnation {
                started: us.started + 1,
                ..us
            }
            .is_alive()
        );
    }

    #[test]
    fn a_killed_process_is_gone_once_it_was_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        assert!(is_alive(child.id()));
        send(child.id(), Action::Kill).unwrap();
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
        assert!(send(child.id(), Action::Kill).is_err());
    }
}
