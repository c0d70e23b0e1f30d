//! What an operation answers when it cannot be done.

use std::fmt;

use syncbridge_domain::failure::Failure;
use syncbridge_manifest::Problem;

/// Why an operation was not done. Nothing was changed.
#[derive(Debug)]
pub enum Error {
    /// Documents that cannot be taken, each problem with its place.
    Documents(Vec<Problem>),
    /// Everything else: cause and next step.
    Failure(Box<Failure>),
}

/// What operations answer.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Documents(problems) => {
                for (at, problem) in problems.iter().enumerate() {
                    if at > 0 {
                        writeln!(f)?;
                    }
                    write!(f, "{problem}")?;
                }
                Ok(())
            }
            Error::Failure(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Error::Failure(Box::new(failure))
    }
}

impl From<syncbridge_meta_store::Error> for Error {
    fn from(error: syncbridge_meta_store::Error) -> Self {
        Error::Failure(Box::new(error.into()))
    }
}
