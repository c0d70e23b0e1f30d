//! What a model's table refuses, and how that is told.

use syncbridge_domain::failure::{Failure, Scope};

/// Why a statement was not carried out. Its transaction goes on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The text is no value of the column's type.
    NoValue {
        /// Which column.
        column: String,
    },
    /// The text is longer than the column.
    TooLong {
        /// Which column.
        column: String,
    },
    /// The column takes no NULL.
    NotNull {
        /// Which column.
        column: String,
    },
    /// A CHECK does not hold.
    Check {
        /// Which column.
        column: String,
    },
    /// Another row holds this value.
    Unique {
        /// Which column.
        column: String,
    },
    /// Another row has this key.
    DuplicateKey,
    /// A trigger raised an error.
    Raised,
    /// A trigger kept the row from being written, without a word.
    Swallowed,
    /// Another transaction holds the row, or a value that must stay unique.
    Locked,
    /// The transaction has ended.
    Ended,
}

impl Refusal {
    /// As a port tells it: about one row, without its values.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let row = |code: &str, cause: &str, fix: &str| Failure::new(Scope::Row, code, cause, fix);
        match self {
            Refusal::NoValue { column } => row(
                code::NO_VALUE,
                "the text is no value of its column's type",
                "correct it in the list",
            )
            .column(column),
            Refusal::TooLong { column } => row(
                code::TOO_LONG,
                "the text is longer than its column takes",
                "shorten it in the list",
            )
            .column(column),
            Refusal::NotNull { column } => row(
                code::NOT_NULL,
                "the column takes no NULL",
                "fill it in the list, or give the column a default",
            )
            .column(column),
            Refusal::Check { column } => row(
                code::CHECK,
                "a CHECK constraint does not take the row",
                "correct the value in the list",
            )
            .column(column),
            Refusal::Unique { column } => row(
                code::UNIQUE,
                "another row holds this value",
                "choose another value in the list",
            )
            .column(column),
            Refusal::DuplicateKey => row(
                code::KEY_TAKEN,
                "another row has this key",
                "nothing where both sides added the same row; else give the row another key",
            ),
            Refusal::Raised => row(
                code::TRIGGER,
                "a trigger refused the row",
                "see what the trigger asks for",
            ),
            Refusal::Swallowed => row(
                code::SWALLOWED,
                "a rule or trigger kept the row from being written",
                "change the row the way the application does",
            ),
            Refusal::Locked => row(
                code::LOCKED,
                "another session held the row for too long",
                "nothing to do: it is tried again",
            ),
            Refusal::Ended => Failure::new(
                Scope::Outage,
                "source.connection_lost",
                "the connection was lost",
                "nothing to do: the run is tried again",
            ),
        }
    }
}

/// The codes of `source-postgres` for refused rows.
mod code {
    pub(super) const NO_VALUE: &str = "source.not_a_value";
    pub(super) const TOO_LONG: &str = "source.too_long";
    pub(super) const NOT_NULL: &str = "source.not_null";
    pub(super) const CHECK: &str = "source.check";
    pub(super) const UNIQUE: &str = "source.not_unique";
    pub(super) const KEY_TAKEN: &str = "row.key_taken";
    pub(super) const TRIGGER: &str = "source.trigger_refused";
    pub(super) const SWALLOWED: &str = "source.write_lost";
    pub(super) const LOCKED: &str = "source.row_locked";
}
