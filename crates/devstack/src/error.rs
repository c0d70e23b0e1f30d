//! What can go wrong when servers are started, each with the next step.

use std::path::PathBuf;
use std::time::Duration;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A server could not be found, started, reached or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not installed.
    #[error(
        "`{program}` was not found (looked in {looked_in}).\n{next_step}",
        looked_in = shown(.looked_in)
    )]
    MissingProgram {
        /// File name of the program.
        program: String,
        /// Folders and files that were tried.
        looked_in: Vec<PathBuf>,
        /// What to install or build, with the command.
        next_step: String,
    },

    /// PostgreSQL refuses root and the system user that runs it in our place does not exist.
    #[error(
        "PostgreSQL refuses to run as root and the system user `{account}` that would run it does not exist.\n\
         Install the Debian package `postgresql` (apt-get install postgresql), which creates it, \
         or run as an ordinary user."
    )]
    NoAccount {
        /// Name of the missing user.
        account: String,
    },

    /// The system user of the server cannot reach the data folder.
    #[error(
        "the system user `{account}` cannot reach {data}: {blocked} is closed to others.\n\
         Choose a data folder below a folder that others may enter (chmod o+x), for example one in {suggestion}."
    )]
    Unreachable {
        /// The system user.
        account: String,
        /// The data folder asked for.
        data: PathBuf,
        /// The first ancestor that is closed.
        blocked: PathBuf,
        /// A folder that would do.
        suggestion: PathBuf,
    },

    /// Another living process of ours holds the folder.
    #[error("{folder} is in use by another process; stop that one first or choose another data folder")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },

    /// A program ended with a failure.
    #[error("`{program}` failed ({status}){output}", output = tail(.output))]
    ProgramFailed {
        /// File name of the program.
        program: String,
        /// Exit status in words.
        status: String,
        /// The last lines it wrote.
        output: String,
    },

    /// A server started but did not become ready in time.
    #[error("{what} was not ready after {waited:?}{output}", output = tail(.output))]
    NotReady {
        /// The server.
        what: String,
        /// How long we waited.
        waited: Duration,
        /// The last lines of its log.
        output: String,
    },

    /// A file operation failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },

    /// A statement on a private server failed.
    #[error("{what}: {source}")]
    Database {
        /// What was tried.
        what: String,
        /// The driver's error.
        source: sqlx::Error,
    },

    /// A schema named like the sample exists and was not made by this crate.
    #[error(
        "the database has a schema `company` that is not the sample company; \
         nothing was changed. Use another database for the sample."
    )]
    ForeignSchema,

    /// The sample is not loaded.
    #[error("the sample company is not in this database; load it first")]
    SampleMissing,

    /// A value given by the caller cannot be used.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    pub(crate) fn database(what: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let what = what.into();
        move |source| Self::Database { what, source }
    }
}

fn shown(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn tail(output: &str) -> String {
    if output.trim().is_empty() {
        String::new()
    } else {
        format!(":\n{}", output.trim_end())
    }
}
