//! Starting and stopping a cluster through `pg_ctl`, which detaches the server into a session of its own: a
//! signal to our terminal or process group does not reach it, so we end it in order.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Shutdown;
use crate::account::Account;
use crate::{Error, Result, server_log};

const START_SECONDS: &str = "60";
const STOP_SECONDS: &str = "60";

/// `pg_ctl status` answers this when the cluster is not running.
const NOT_RUNNING: i32 = 3;

/// What `pg_ctl` needs to know.
pub(super) struct Control {
    pub(super) program: PathBuf,
    pub(super) account: Account,
    pub(super) files: PathBuf,
    pub(super) log: PathBuf,
}

impl Control {
    /// Starts the server and waits until it takes connections.
    pub(super) fn start(&self) -> Result<()> {
        let mut command = self.command(&["start", "-w", "-t", START_SECONDS]);
        command.arg("-l").arg(&self.log);
        run("pg_ctl start", &mut command).map_err(|error| match error {
            // pg_ctl only says "examine the log"; the cause is in there.
            Error::ProgramFailed {
                program,
                status,
                output,
            } => {
                let log = server_log::tail_of_file(&self.log);
                Error::ProgramFailed {
                    program,
                    status,
                    output: if log.is_empty() { output } else { log },
                }
            }
            other => other,
        })
    }

    pub(super) fn stop(&self, how: Shutdown) -> Result<()> {
        if !self.is_running()? {
            return Ok(());
        }
        let mode = match how {
            Shutdown::Fast => "fast",
            Shutdown::Immediate => "immediate",
        };
        match run(
            "pg_ctl stop",
            &mut self.command(&["stop", "-w", "-t", STOP_SECONDS, "-m", mode]),
        ) {
            // It may have ended by itself between the two calls.
            Err(_) if !self.is_running()? => Ok(()),
            outcome => outcome,
        }
    }

    pub(super) fn is_running(&self) -> Result<bool> {
        let output = self
            .command(&["status"])
            .output()
            .map_err(Error::io("run", &self.program))?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(NOT_RUNNING) => Ok(false),
            _ => Err(failure("pg_ctl status", &output)),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.account.command(&self.program);
        command.args(words).arg("-D").arg(&self.files);
        command
    }
}

/// Runs a program to its end.
pub(super) fn run(name: &str, command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .map_err(Error::io("run", Path::new(command.get_program())))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failure(name, &output))
    }
}

fn failure(name: &str, output: &std::process::Output) -> Error {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Error::ProgramFailed {
        program: name.to_owned(),
        status: output.status.to_string(),
        output: server_log::tail(&text),
    }
}

/// A port nobody listens on at this moment.
pub(super) fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::io("bind a free port on", "127.0.0.1"))
}

pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Runs blocking work off the asynchronous threads; a panic in it goes on in the caller.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Invalid(
                "the runtime shut down while a server was being started".to_owned(),
            )),
        },
    }
}
