//! What a person or a program may do, one file a verb. Every front door (command line now, REST and gRPC
//! later) calls these; each verb validates, changes, audits and answers with things that can be shown.
//!
//! Adapters are reached only through [`ports`], which the binary wires: nothing here speaks SQL to a source or
//! HTTP to Graph.

mod access;
mod actor;
mod addressed;
mod apply;
mod conflict_list;
mod conflict_resolve;
mod conflict_show;
mod cursor;
mod definition;
mod delete;
mod diff;
mod error;
mod get;
mod history_view;
mod ledger_show;
mod list_side;
mod plan_judge;
mod plan_list;
mod plan_run;
mod plan_show;
pub mod ports;
mod preflight;
mod quarantine_edit;
mod quarantine_explain;
mod quarantine_list;
mod quarantine_settle;
mod revert;
mod run;
mod run_list;
mod shelf;
mod site_zone;
mod verify_list;
mod why;
mod why_told;
mod why_view;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use syncbridge_domain::ids::WorkspaceId;
use syncbridge_meta_store::MetaStore;
use syncbridge_secrets::Keyring;

pub use actor::Actor;
pub use apply::Applied;
pub use conflict_list::{ByWhom, ConflictView, ConflictsWanted};
pub use conflict_resolve::{ConflictsChosen, ConflictsResolved};
pub use conflict_show::ConflictOpened;
pub use cursor::{CursorFeed, CursorView, ListFeedView};
pub use delete::{Deleted, Farewell};
pub use diff::DocumentDifference;
pub use error::{Error, Result};
pub use get::{Found, Shown};
pub use history_view::{FieldHappened, Happened, MarkView};
pub use ledger_show::{LedgerEntry, LedgerView, LedgerWanted};
pub use plan_list::PlanView;
pub use plan_show::{ChangeView, FieldView, PlanOpened, RemarkView};
pub use preflight::CheckReport;
pub use quarantine_edit::{CellChange, QuarantineEdited};
pub use quarantine_explain::{CellProblem, QuarantineExplained, RowNow};
pub use quarantine_list::{IgnoredView, QuarantineCause, QuarantineChoice, QuarantineView};
pub use quarantine_settle::QuarantineSettled;
pub use revert::{RevertOrder, Reverted};
pub use run::{KeyTexts, RunOrder, RunReport};
pub use run_list::RunView;
pub use syncbridge_meta_store::Change;
pub use syncbridge_meta_store::ledger::ConflictStatus;
pub use verify_list::{DifferenceView, DifferencesWanted, VerificationView};
pub use why::WhyAsked;
pub use why_view::{
    AgainstAgreed, CellAgreed, CellLive, CellStep, InQuarantine, OpenWrite, SideNow, Waiting, WhyView,
};

/// Everything the verbs share.
pub struct Operations {
    store: MetaStore,
    ring: Keyring,
    adapters: Arc<dyn ports::Adapters>,
    workspace: WorkspaceId,
    /// The one folder of `{file: NAME}` secrets.
    secrets_folder: Option<PathBuf>,
    token_files: TokenFiles,
    plan_lasts: Duration,
}

/// How long a plan may be approved and run where nobody says otherwise: what it rests on grows old.
pub const PLAN_LASTS: Duration = Duration::from_hours(24);

/// Where the tokens of federated connections may be read, beside the folder of secrets.
#[derive(Clone, Debug, Default)]
pub struct TokenFiles {
    /// The file that the platform itself names (`AZURE_FEDERATED_TOKEN_FILE`).
    pub of_platform: Option<PathBuf>,
    /// A folder that an administrator allows.
    pub folder: Option<PathBuf>,
}

impl Operations {
    /// Wires the verbs of the default workspace.
    #[must_use]
    pub fn new(
        store: MetaStore,
        ring: Keyring,
        adapters: Arc<dyn ports::Adapters>,
        secrets_folder: Option<PathBuf>,
    ) -> Self {
        Self {
            store,
            ring,
            adapters,
            workspace: WorkspaceId::DEFAULT,
            secrets_folder,
            token_files: TokenFiles::default(),
            plan_lasts: PLAN_LASTS,
        }
    }

    /// Lets plans be approved and run so long.
    #[must_use]
    pub fn with_plans_lasting(self, plan_lasts: Duration) -> Self {
        Self { plan_lasts, ..self }
    }

    /// Lets the tokens of federated connections be read there.
    #[must_use]
    pub fn with_token_files(self, token_files: TokenFiles) -> Self {
        Self { token_files, ..self }
    }
}
