//! `syncbridge conflicts …`: names, options and help.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use syncbridge_domain::ids::ConflictId;

/// Where a conflict stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Status {
    /// It waits for a person
    Open,
    /// The policy decided; the losing value is kept
    Overridden,
    /// A person decided, or both sides agree again
    Resolved,
}

/// Whose value is to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Take {
    /// The table's
    Source,
    /// The list's
    Target,
}

#[derive(Subcommand)]
pub(crate) enum ConflictsCommand {
    /// List fields that both sides changed, the newest first; shows no value
    List {
        /// Name of the definition
        name: String,
        /// Only those that stand here
        #[arg(long, value_enum, value_name = "STATUS")]
        status: Option<Status>,
        /// Only those of this column of the table
        #[arg(long, value_name = "COLUMN")]
        column: Option<String>,
        /// Behind this one: the last of the page before
        #[arg(long, value_name = "ID")]
        after: Option<ConflictId>,
        /// How many
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show one conflict with both values, who and when
    ///
    /// This prints what the two cells held.
    Show {
        /// Id of the conflict
        id: ConflictId,
    },
    /// Choose whose value stands
    ///
    /// The next run carries it out, if both sides still hold the values that were decided about; otherwise it is a new
    /// conflict, and nothing is overwritten.
    Resolve(ResolveArgs),
}

#[derive(Args)]
#[command(group(ArgGroup::new("chosen").required(true).args(["ids", "all"])))]
pub(crate) struct ResolveArgs {
    /// Ids of conflicts; all of them are decided, or none
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<ConflictId>,
    /// All open conflicts of this definition
    #[arg(long, value_name = "NAME")]
    pub(crate) all: Option<String>,
    /// With --all: only those of this column of the table
    #[arg(long, value_name = "COLUMN", requires = "all")]
    pub(crate) column: Option<String>,
    /// Whose value stands
    #[arg(long, value_enum, value_name = "SIDE")]
    pub(crate) take: Take,
    /// With --all: do not ask; needed by programs
    #[arg(long, requires = "all")]
    pub(crate) yes: bool,
}
