//! Exit codes, documented in `docs/cli.md`.

use std::process::ExitCode;

use syncbridge_domain::run::RunState;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    WithErrors,
    Differs,
    Refused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::WithErrors => 3,
            Exit::Differs => 4,
            Exit::Refused => 5,
        })
    }
}

impl Exit {
    pub(crate) fn of_run(state: RunState) -> Self {
        match state {
            RunState::Completed => Exit::Done,
            RunState::CompletedWithErrors => Exit::WithErrors,
            RunState::Refused => Exit::Refused,
            RunState::Queued
            | RunState::Running
            | RunState::Paused
            | RunState::Failed
            | RunState::Cancelled => Exit::Failed,
        }
    }
}
