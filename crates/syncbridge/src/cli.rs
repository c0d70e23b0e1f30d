//! The command line: names, options and help.

pub(crate) mod conflicts;
pub(crate) mod plans;
pub(crate) mod quarantine;

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use syncbridge_domain::ids::{PlanId, RunId};
use syncbridge_domain::verification::DifferenceKind;

use crate::settings::Settings;
use conflicts::ConflictsCommand;
use plans::PlansCommand;
use quarantine::QuarantineCommand;

/// Keeps PostgreSQL tables and SharePoint / Microsoft Lists the same, provably.
#[derive(Parser)]
#[command(
    name = "syncbridge",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(
    after_help = "Start here: `syncbridge dev` runs everything on this machine with a sample company.\n\
                        Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with quarantined or parked rows, \
                        4 both sides differ, 5 refused."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Store documents, all or none, after checking them against both sides
    ///
    /// Every document is checked first: its keys, its references, and definitions against their table and
    /// list. Nothing is stored while there is a problem. Applying twice changes nothing; the list itself is made by
    /// the first run.
    Apply(Files),
    /// Show what applying documents would change
    Diff(Files),
    /// Say what a run would do and cost, change by change, and save it; writes to neither side
    ///
    /// Rehearses the run on both sides as they are and saves what it would write, with what each change rests on. A
    /// person can approve that plan (`syncbridge plans`), and `syncbridge run NAME --plan ID` does exactly this. With
    /// --check it says everything that can be known before the first write. Exit codes with --check: 5 something
    /// stands in the way, 3 some rows will be refused.
    Plan(PlanArgs),
    /// See saved plans, and let them run or not
    #[command(subcommand)]
    Plans(PlansCommand),
    /// Bring a list in step with its table
    ///
    /// Waits for the end. The first run makes the list. Exit code 3: some rows were refused, see `syncbridge
    /// quarantine list`.
    Run(RunArgs),
    /// Plan to put back what a run did, row by row; writes to neither side
    ///
    /// Works out what undoes everything that the run wrote and saves it as a plan, which is looked at, approved and run
    /// like every other: `syncbridge run NAME --plan ID`. Rows and items that somebody touched since stay as they are and
    /// go on record as conflicts. Values that neither side shows any more are known only where the definition keeps
    /// them (`history: {values: true}`).
    Revert(RevertArgs),
    /// Compare table, ledger and list cell by cell, and put right what differs if asked to
    ///
    /// Reads both sides and writes nothing without --repair. The list is read in pages at two resource units each
    /// (`limits.verifyPageItems`). Exit code 4: they differ.
    Verify(VerifyArgs),
    /// Show one document, or all of a kind
    Get(GetArgs),
    /// List all documents of a kind
    List(ListArgs),
    /// Remove a document; lists stay, items and ledger unless said otherwise
    ///
    /// A definition whose ledger is kept goes on where it stopped when one of the same name and namespace is
    /// applied again.
    Delete(DeleteArgs),
    /// Show the newest runs and how they went
    Runs(RunsArgs),
    /// See what both sides last agreed on, now or at a time, and what happened to a row
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Tell why a cell shows what it shows
    ///
    /// Puts together what is known of one cell: what both sides agreed on, writes under way, whether the row waits or is
    /// in quarantine, conflicts, and every change with its run, direction, rule and Graph's request-id, the newest
    /// first. The last line says in one sentence what happened, why, and what to do next. Nothing is changed. With
    /// --live both sides are looked at as well, which shows the two cells and costs a resource unit or two.
    #[command(
        override_usage = "syncbridge why [OPTIONS] <NAME> <KEY>... <FIELD>",
        after_help = "Examples:\n  syncbridge why projects 1042 budget\n  syncbridge why orders 2026 17 status --live\n\n\
                      KEY is the value of the key column as PostgreSQL prints it; of a key of several columns all of \
                      them, in their order. FIELD is the column of the table, or the list's by the name people see."
    )]
    Why(WhyArgs),
    /// See or reset how far a table and its list were taken over
    #[command(subcommand)]
    Cursor(CursorCommand),
    /// See fields that both sides changed, and choose whose value stands
    #[command(subcommand)]
    Conflicts(ConflictsCommand),
    /// See rows that cannot be applied now, and settle them
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Create or upgrade the meta-store's schema
    ///
    /// Safe to repeat, and to run beside others.
    Migrate,
    /// Run everything on this machine, with a sample company
    ///
    /// Starts a private PostgreSQL, a private NATS server and the Graph simulator, makes lists from tables and
    /// keeps them in step until Ctrl-C. Nothing leaves the machine. With --source and --table it does so with a
    /// table of yours, which is only read.
    Dev(DevArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub(crate) struct Files {
    /// Files or folders with documents (YAML or JSON); `-` reads standard input
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Named {
    /// Name of the definition
    pub(crate) name: String,
}

#[derive(Args)]
pub(crate) struct PlanArgs {
    /// Name of the definition
    pub(crate) name: String,
    /// Judge types, names, limits, keys and rights of both sides, and what a first load takes, instead of saving a plan
    #[arg(long, conflicts_with_all = ["full", "approve", "limit"])]
    pub(crate) check: bool,
    /// Compare the whole table, as `run --full` does
    #[arg(long)]
    pub(crate) full: bool,
    /// Plan what `run --approve` writes: the table's values where nothing was ever agreed on
    #[arg(long)]
    pub(crate) approve: bool,
    /// How many rows of each table are printed; the plan is saved whole
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// Name of the definition
    pub(crate) name: String,
    /// Compare the whole table, which also finds deleted rows that a watermark cannot show
    #[arg(long)]
    pub(crate) full: bool,
    /// Let so many deletes pass the guard
    #[arg(long, value_name = "N")]
    pub(crate) allow_deletes: Option<u64>,
    /// Forget how far the feed was read; the ledger stays, unchanged rows cost nothing
    #[arg(long)]
    pub(crate) reset_cursor: bool,
    /// Write the table's values where row and item differ and nothing was ever agreed on
    #[arg(long)]
    pub(crate) approve: bool,
    /// Make exactly the changes of this saved plan, but for those whose rows changed since
    #[arg(long, value_name = "ID", conflicts_with_all = ["full", "allow_deletes", "reset_cursor", "approve"])]
    pub(crate) plan: Option<PlanId>,
}

#[derive(Args)]
pub(crate) struct RevertArgs {
    /// Name of the definition
    pub(crate) name: String,
    /// Id of the run to put back; `syncbridge runs NAME` lists them
    #[arg(long, value_name = "ID")]
    pub(crate) run: RunId,
    /// How many rows of each table are printed; the plan is saved whole
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// Name of the definition
    pub(crate) name: String,
    /// Only rows from this key on: the values of the key columns in their order, as PostgreSQL prints them
    #[arg(long, value_name = "KEY", num_args = 1.., allow_negative_numbers = true)]
    pub(crate) from: Option<Vec<String>>,
    /// Only rows up to this key, itself included
    #[arg(long, value_name = "KEY", num_args = 1.., allow_negative_numbers = true)]
    pub(crate) to: Option<Vec<String>>,
    /// Go on behind the last page of the newest verification that was interrupted
    #[arg(long)]
    pub(crate) resume: bool,
    /// Write the items that differ: edited cells, deleted items, surplus copies
    #[arg(long, conflicts_with = "resume")]
    pub(crate) repair: bool,
    /// Let so many deletes pass the guard
    #[arg(long, value_name = "N", requires = "repair")]
    pub(crate) allow_deletes: Option<u64>,
    /// List what the newest verification found, and compare nothing
    #[arg(long, conflicts_with_all = ["from", "to", "resume", "repair"])]
    pub(crate) list: bool,
    /// Of this kind only: missing, orphan, differing, duplicate, wrong_list, unreadable
    #[arg(long, value_name = "KIND", requires = "list", value_parser = difference_kind)]
    pub(crate) kind: Option<DifferenceKind>,
    /// Behind this number: the last of the page before
    #[arg(long, value_name = "NUMBER", requires = "list", default_value_t = 0)]
    pub(crate) after: u64,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "N", requires = "list", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
}

fn difference_kind(text: &str) -> Result<DifferenceKind, String> {
    DifferenceKind::parse(text).ok_or_else(|| {
        let all: Vec<&str> = DifferenceKind::ALL
            .into_iter()
            .map(DifferenceKind::name)
            .collect();
        format!("one of {}", all.join(", "))
    })
}

#[derive(Args)]
pub(crate) struct GetArgs {
    /// Kind: application, database, instance, connection, definition
    pub(crate) kind: String,
    /// Name; all of the kind where absent
    pub(crate) name: Option<String>,
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// Kind: application, database, instance, connection, definition
    pub(crate) kind: String,
}

#[derive(Args)]
pub(crate) struct DeleteArgs {
    /// Kind: application, database, instance, connection, definition
    pub(crate) kind: String,
    /// Name
    pub(crate) name: String,
    /// Of a definition: what becomes of its items
    #[arg(long, value_enum, default_value_t)]
    pub(crate) items: Items,
    /// Of a definition: keep what is known of its items for one made anew under this name, or drop it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) ledger: Ledger,
    /// Let so many items be deleted or marked
    #[arg(long, value_name = "N")]
    pub(crate) allow_deletes: Option<u64>,
    /// Do not ask; needed by programs that delete items or drop a ledger
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What becomes of the items of a deleted definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum Items {
    /// They stay as they are
    #[default]
    Keep,
    /// They go to the site's recycle bin
    Delete,
    /// They are marked as archived
    Archive,
}

/// What becomes of the ledger of a deleted definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum Ledger {
    /// Kept for a definition made anew under the same name
    #[default]
    Keep,
    /// Dropped: items are then recognised by their sync key
    Drop,
}

#[derive(Subcommand)]
pub(crate) enum CursorCommand {
    /// Show how far the table was taken over, when all of it was last compared, and where the list's feed stands
    Show(Named),
    /// Forget how far the table was taken over; the ledger stays, unchanged rows cost nothing
    Reset {
        /// Name of the definition
        name: String,
        /// Forget how far the list's own feed was taken over instead: the next run reads the whole list
        #[arg(long)]
        delta: bool,
    },
}

#[derive(Args)]
pub(crate) struct RunsArgs {
    /// Name of a definition; all where absent
    pub(crate) name: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
}

#[derive(Subcommand)]
pub(crate) enum LedgerCommand {
    /// Show what is known of one row: item, version, agreed hashes, history, open writes
    Show {
        /// Name of the definition
        name: String,
        /// Values of the key columns in their order, as PostgreSQL prints them
        #[arg(required = true)]
        key: Vec<String>,
        #[command(flatten)]
        page: HistoryArgs,
    },
}

#[derive(Args)]
pub(crate) struct HistoryArgs {
    /// How it stood then: 2026-03-01T09:30:00Z, or "2026-03-01 09:30" in UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) as_of: Option<DateTime<Utc>>,
    /// Of the history what is older than this number: the last of the page before
    #[arg(long, value_name = "NUMBER")]
    pub(crate) before: Option<u64>,
    /// How many entries of the history
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
}

/// A moment as people write it; without an offset it is UTC.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let naive = [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
    ]
    .iter()
    .find_map(|form| NaiveDateTime::parse_from_str(text.trim_end_matches(" UTC"), form).ok());
    let day = || {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
    };
    naive.or_else(day).map(|naive| naive.and_utc()).ok_or_else(|| {
        "a time such as 2026-03-01T09:30:00Z, \"2026-03-01 09:30\" or 2026-03-01, in UTC".to_owned()
    })
}

#[derive(Args)]
pub(crate) struct WhyArgs {
    /// Name of the definition
    pub(crate) name: String,
    /// Values of the key columns in their order, as PostgreSQL prints them, and then the column
    #[arg(required = true, num_args = 2.., value_names = ["KEY", "FIELD"], allow_negative_numbers = true)]
    pub(crate) cell: Vec<String>,
    /// Look at both sides now: shows what table and list hold
    #[arg(long)]
    pub(crate) live: bool,
    /// How many changes
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
}

/// How the simulator treats load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum SimProfile {
    /// Accounts resource units and never throttles
    #[default]
    Unlimited,
    /// Throttles as documented for the smallest tenant
    Documented,
}

#[derive(Args)]
pub(crate) struct DevArgs {
    /// Folder for the private servers' data; tables, lists and ledger begin anew with each start
    #[arg(long, default_value = ".syncbridge/dev", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Sync your own database instead of the sample: postgres://user:password@host:port/database
    #[arg(long, value_name = "URL", requires = "table")]
    pub(crate) source: Option<String>,
    /// The table of your own database, as schema.table
    #[arg(long, value_name = "SCHEMA.TABLE", requires = "source")]
    pub(crate) table: Option<String>,
    /// A column that rises with every change; without it the whole table is compared each time
    #[arg(long, value_name = "COLUMN", requires = "source")]
    pub(crate) watermark: Option<String>,
    /// Time zone of the site, for columns that hold days
    #[arg(long, default_value = "UTC", value_name = "ZONE", requires = "source")]
    pub(crate) time_zone: String,
    /// Show the main job: first sync, changes by SQL, second sync, verify, a table of what it cost
    #[arg(long, conflicts_with = "source")]
    pub(crate) demo: bool,
    /// End after the first sync, or after the table of --demo, instead of staying up
    #[arg(long)]
    pub(crate) exit: bool,
    /// Seconds between runs while it stays up
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) every: u64,
    /// Milliseconds each simulated request takes
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) latency: u64,
    /// How the simulator treats load
    #[arg(long, value_enum, default_value_t)]
    pub(crate) profile: SimProfile,
}
