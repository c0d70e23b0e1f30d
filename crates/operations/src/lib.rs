//! What a person or a program may do, one file a verb. Every front door (command line now, REST and gRPC
//! later) calls these; each verb validates, changes, audits and answers with things that can be shown.
//!
//! Adapters are reached only through [`ports`], which the binary wires: nothing here speaks SQL to a source or
//! HTTP to Graph.

mod access;
mod actor;
mod addressed;
mod apply;
mod definition;
mod delete;
mod diff;
mod error;
mod get;
mod ledger_show;
mod list_side;
pub mod ports;
mod preflight;
mod quarantine_edit;
mod quarantine_explain;
mod quarantine_list;
mod quarantine_settle;
mod run;
mod run_list;
mod shelf;

use std::path::PathBuf;
use std::sync::Arc;

use syncbridge_domain::ids::WorkspaceId;
use syncbridge_meta_store::MetaStore;
use syncbridge_secrets::Keyring;

pub use actor::Actor;
pub use apply::Applied;
pub use delete::Deleted;
pub use diff::DocumentDifference;
pub use error::{Error, Result};
pub use get::{Found, Shown};
pub use ledger_show::{LedgerEntry, LedgerView};
pub use preflight::CheckReport;
pub use quarantine_edit::{CellChange, QuarantineEdited};
pub use quarantine_explain::{CellProblem, QuarantineExplained, RowNow};
pub use quarantine_list::{IgnoredView, QuarantineCause, QuarantineChoice, QuarantineView};
pub use quarantine_settle::QuarantineSettled;
pub use run::{RunOrder, RunReport};
pub use run_list::RunView;
pub use syncbridge_meta_store::Change;

/// Everything the verbs share.
pub struct Operations {
    store: MetaStore,
    ring: Keyring,
    adapters: Arc<dyn ports::Adapters>,
    workspace: WorkspaceId,
    /// The one folder of `{file: NAME}` secrets.
    secrets_folder: Option<PathBuf>,
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
        }
    }
}
