//! Runs jobs: takes the writer lease, opens both sides, hands them to the engine as ports, and records how it
//! ended. The only place where ports meet adapters.

mod clock;
mod graph_access;
mod housekeeping;
mod job;
mod lease;
mod ledger_port;
mod lives;
mod look;
mod plan_book;
mod ports;
mod rows;
mod scratch_port;
mod source_port;
mod target_port;
mod token_file;

pub use clock::{OsEntropy, SystemClock};
pub use graph_access::{GraphAccess, GraphSignIn, Proof};
pub use job::{Job, Services, run_job};
pub use look::{ListPlan, ListWish, describe_table, list_plan, provision, read_item, sign_in, survey_list};
pub use ports::{LedgerPort, SourcePort, StagedPort, ledger_port, source_port};
pub use rows::{edit_row, read_rows, survey_source};
pub use syncbridge_source_postgres::{Access as SourceAccess, TableRef, TlsMode};
pub use syncbridge_target_graph::Budget;
pub use syncbridge_target_graph::cloud::Cloud;
pub use syncbridge_target_graph::egress::EgressRules;
pub use token_file::TokenFile;
