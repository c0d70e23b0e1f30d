//! `syncbridge plans …`: names, options and help.

use clap::{Args, Subcommand, ValueEnum};
use syncbridge_domain::ids::PlanId;

/// What became of a planned change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fate {
    /// It was not tried yet
    Waiting,
    /// It was made
    Applied,
    /// What it rests on had changed; nothing was made
    Outdated,
    /// The other side refused it
    Refused,
}

impl Fate {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fate::Waiting => "waiting",
            Fate::Applied => "applied",
            Fate::Outdated => "outdated",
            Fate::Refused => "refused",
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum PlansCommand {
    /// List the saved plans of a definition, the newest first; shows no value
    List {
        /// Name of the definition
        name: String,
        /// Behind this one: the last of the page before
        #[arg(long, value_name = "ID")]
        after: Option<PlanId>,
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show everything a plan holds, with what is there now and what will be
    ///
    /// This prints what cells hold. `-o json` prints all of it as it is read, however large the plan.
    Show {
        /// Id of the plan
        id: PlanId,
        /// Only changes that stand here
        #[arg(long, value_enum, value_name = "STATE")]
        state: Option<Fate>,
        /// How many rows of each table are printed
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
    },
    /// Let a plan run
    ///
    /// Where the definition asks for two people (`fourEyes`), not by whoever asked for the plan.
    Approve(JudgeArgs),
    /// Reject a plan: it never runs
    Discard(JudgeArgs),
}

#[derive(Args)]
pub(crate) struct JudgeArgs {
    /// Id of the plan
    pub(crate) id: PlanId,
    /// Why, in your words
    #[arg(long, value_name = "TEXT")]
    pub(crate) remark: Option<String>,
}
