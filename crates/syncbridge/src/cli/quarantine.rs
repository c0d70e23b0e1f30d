//! `syncbridge quarantine …`: names, options and help.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

/// What a refused row waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitsFor {
    /// Its next attempt, which comes by itself
    Retry,
    /// A person: it was tried often enough
    Person,
    /// Nothing: a person accepted it
    Nothing,
}

#[derive(Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List rows with column, cause, fix and next attempt
    List {
        /// Name of the definition
        name: String,
        #[command(flatten)]
        filter: Filter,
        /// How many
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Say why rows are refused: by cause, or one row in full
    ///
    /// Without a key: refused rows by cause, the most frequent first. With a key: what was refused, whether the
    /// row has changed since, and every column that would be refused now. Reads the table, shows no cell.
    Explain {
        /// Name of the definition
        name: String,
        /// Values of the key columns in their order, as PostgreSQL prints them
        key: Vec<String>,
    },
    /// Have refused rows tried again with the next run
    ///
    /// Their schedule begins anew. After a correction in the table this is not needed: a changed row is tried by
    /// itself.
    Retry {
        #[command(flatten)]
        rows: Chosen,
        /// Run the definition at once
        #[arg(long)]
        run: bool,
    },
    /// Accept refused rows as they are
    ///
    /// They count as settled and are not tried again until they change. `quarantine retry` takes it back.
    Ignore {
        #[command(flatten)]
        rows: Chosen,
        /// Why these rows need not travel; shown to whoever looks next
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Correct a refused row in the table and have it tried again
    ///
    /// Writes to your table: the named columns of this one row, only while the row is still as it was refused and
    /// only if the list can hold the new values. The connection's role needs UPDATE.
    Edit(EditArgs),
}

/// Narrows a list down; everything that is given has to hold.
#[derive(Args)]
pub(crate) struct Filter {
    /// Only rows refused with this code
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Only rows refused for this column
    #[arg(long, value_name = "COLUMN")]
    pub(crate) column: Option<String>,
    /// Only rows that wait for this
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) waits_for: Option<WaitsFor>,
}

/// Which rows a decision is about: one by its key, those of a cause, or all.
#[derive(Args)]
#[command(group(ArgGroup::new("chosen").required(true).multiple(true).args(["key", "all", "code", "column", "waits_for"])))]
pub(crate) struct Chosen {
    /// Name of the definition
    pub(crate) name: String,
    /// Values of the key columns of one row, as PostgreSQL prints them
    pub(crate) key: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// All rows in quarantine
    #[arg(long, conflicts_with_all = ["key", "code", "column", "waits_for"])]
    pub(crate) all: bool,
}

#[derive(Args)]
#[command(group(ArgGroup::new("changes").required(true).multiple(true).args(["set", "null"])))]
pub(crate) struct EditArgs {
    /// Name of the definition
    pub(crate) name: String,
    /// Values of the key columns in their order, as PostgreSQL prints them
    #[arg(required = true)]
    pub(crate) key: Vec<String>,
    /// A column and its new text; may be repeated
    #[arg(long, value_name = "COLUMN=TEXT", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// A column to empty; may be repeated
    #[arg(long, value_name = "COLUMN")]
    pub(crate) null: Vec<String>,
    /// Run the definition at once
    #[arg(long)]
    pub(crate) run: bool,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((column, value)) if !column.is_empty() => Ok((column.to_owned(), value.to_owned())),
        _ => Err("write it as COLUMN=TEXT".to_owned()),
    }
}
