//! Why the meta-store did not do what it was asked, and what a person does about it.
//!
//! PostgreSQL repeats values in some of its messages, so a message is only kept for classes that speak of the
//! server or the schema; otherwise the error code and the constraint's name must do.

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::{DefinitionId, EffectId, PlanId};
use syncbridge_domain::saved_plan::PlanRefusal;
use syncbridge_secrets::{OpenError, SealError};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is no URL of a PostgreSQL database.
    #[error("the meta-store's URL is not of the form postgres://user:password@host:port/database")]
    Url,
    /// Nobody answers there, or not in time.
    #[error("cannot reach the meta-store at {host}:{port}: {reason}")]
    Unreachable {
        /// Host asked.
        host: String,
        /// Port asked.
        port: u16,
        /// What the operating system or the server said.
        reason: String,
    },
    /// The server refuses the user or the password.
    #[error("the meta-store at {host}:{port} refuses user `{user}`: wrong password, or no right to connect")]
    Login {
        /// Host asked.
        host: String,
        /// Port asked.
        port: u16,
        /// The user.
        user: String,
    },
    /// The server has no such database.
    #[error("the server at {host}:{port} has no database `{database}`")]
    NoDatabase {
        /// Host asked.
        host: String,
        /// Port asked.
        port: u16,
        /// The database.
        database: String,
    },
    /// The database was never migrated.
    #[error("the meta-store's database holds no SyncBridge schema")]
    NoSchema,
    /// The schema lacks what this version needs.
    #[error("the meta-store's schema is version {found}, this version of SyncBridge needs at least {needed}")]
    SchemaTooOld {
        /// Version of the schema.
        found: i32,
        /// Oldest version that this build can use.
        needed: i32,
    },
    /// The schema no longer serves this version.
    #[error(
        "the meta-store's schema may only be used by versions that know schema {needed}; this one knows {known}"
    )]
    SchemaTooNew {
        /// What a service must know.
        needed: i32,
        /// What this build knows.
        known: i32,
    },
    /// A migration failed.
    #[error("migrating the meta-store failed: {reason}")]
    Migration {
        /// What was said.
        reason: String,
    },
    /// The connection broke, timed out, or the server is shutting down.
    #[error("the meta-store does not answer: {reason}")]
    Unavailable {
        /// What was said.
        reason: String,
    },
    /// Another transaction stood in the way for too long.
    #[error("the meta-store is busy ({state}): another transaction stood in the way")]
    Busy {
        /// PostgreSQL's error code.
        state: String,
    },
    /// The server refused a statement.
    #[error("the meta-store refused a statement ({state}{}{})", dash(.constraint), dash(.message))]
    Refused {
        /// PostgreSQL's error code.
        state: String,
        /// The constraint that said no, where one did.
        constraint: Option<String>,
        /// The server's message, where it cannot hold values.
        message: Option<String>,
    },
    /// The lease is gone: taken over or run out.
    #[error("the writer lease of {definition} with epoch {epoch} is lost: {reason}")]
    LeaseLost {
        /// Whose lease.
        definition: DefinitionId,
        /// The epoch of whoever asked.
        epoch: u64,
        /// Taken over, expired, or never there.
        reason: &'static str,
    },
    /// A fence of another definition.
    #[error("a fence of {given} was used to write for {definition}")]
    WrongFence {
        /// What is written for.
        definition: DefinitionId,
        /// Whose fence was given.
        given: DefinitionId,
    },
    /// A list item belongs to another identity already.
    #[error("list item {item} is linked to another row already; nothing was written")]
    ItemOwned {
        /// The item's number or guid.
        item: String,
    },
    /// An effect that is not there, or of another identity.
    #[error("effect {effect} is not there to be settled; nothing was written")]
    EffectUnknown {
        /// Which.
        effect: EffectId,
    },
    /// Another write of the subject is open.
    #[error("another write of the same row or item is open; nothing was written")]
    SubjectBusy,
    /// The row that a staged insert makes has another open write.
    #[error("another write of the row that was to be made from an item is open; nothing was noted")]
    EffectTaken,
    /// A saved plan may not be approved, rejected or run.
    #[error("plan {plan}: {refusal}")]
    Plan {
        /// Which.
        plan: PlanId,
        /// Why.
        refusal: PlanRefusal,
    },
    /// A verification is driven by another run by now.
    #[error("another run went on with this verification, or it was removed")]
    TakenOver,
    /// Something stored does not read back.
    #[error("stored {what} is damaged")]
    Damaged {
        /// What.
        what: &'static str,
    },
    /// A number that does not fit its column.
    #[error("{what} does not fit the meta-store")]
    OutOfRange {
        /// What.
        what: &'static str,
    },
    /// Sealing failed.
    #[error("a value could not be sealed: {0}")]
    Seal(#[from] SealError),
    /// Opening failed.
    #[error("{what} could not be opened: {reason}")]
    Open {
        /// What.
        what: &'static str,
        /// Why.
        reason: OpenError,
    },
    /// Nothing of this name or id.
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// Kind of thing.
        kind: &'static str,
        /// Name or id.
        name: String,
    },
    /// The name is taken.
    #[error("there is a {kind} `{name}` already")]
    NameTaken {
        /// Kind of thing.
        kind: &'static str,
        /// Name.
        name: String,
    },
    /// Something still refers to it.
    #[error("{kind} `{name}` is still in use")]
    InUse {
        /// Kind of thing.
        kind: &'static str,
        /// Name.
        name: String,
    },
    /// The namespace of identities is fixed.
    #[error("definition `{name}` was made with another identity namespace, which is fixed")]
    NamespaceFixed {
        /// Name.
        name: String,
    },
    /// The list of a definition with a ledger is fixed.
    #[error("definition `{name}` has a ledger for another list")]
    ListFixed {
        /// Name.
        name: String,
    },
    /// Another definition owns the list for this namespace.
    #[error(
        "the list of definition `{name}` is owned by `{owner}`, which has the same identity namespace \
         (`{namespace}`): both would write the same items"
    )]
    ListOwned {
        /// Name.
        name: String,
        /// The definition that owns it.
        owner: String,
        /// What both are called inside the list.
        namespace: String,
    },
    /// No list yet.
    #[error("definition `{name}` has no list yet")]
    NotProvisioned {
        /// Name.
        name: String,
    },
}

fn dash(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(", {text}")).unwrap_or_default()
}

impl Error {
    /// Stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.parts().1
    }

    /// Scope, code and fix.
    fn parts(&self) -> (Scope, &'static str, &'static str) {
        use Scope::{List, Outage, Row};
        match self {
            Error::Url => (Outage, "meta_store.url", "correct SYNCBRIDGE_DATABASE_URL"),
            Error::Unreachable { .. } => (
                Outage,
                "meta_store.unreachable",
                "check host and port in SYNCBRIDGE_DATABASE_URL and that PostgreSQL runs there",
            ),
            Error::Login { .. } => (
                Outage,
                "meta_store.login",
                "correct user and password in SYNCBRIDGE_DATABASE_URL",
            ),
            Error::NoDatabase { .. } => (
                Outage,
                "meta_store.no_database",
                "create the database, then run `syncbridge migrate`",
            ),
            Error::NoSchema => (Outage, "meta_store.no_schema", "run `syncbridge migrate`"),
            Error::SchemaTooOld { .. } => (Outage, "meta_store.schema_too_old", "run `syncbridge migrate`"),
            Error::SchemaTooNew { .. } => (
                Outage,
                "meta_store.schema_too_new",
                "upgrade this service to the version that migrated the schema",
            ),
            Error::Migration { .. } => (
                Outage,
                "meta_store.migration",
                "read the reason, repair it and run `syncbridge migrate` again; a failed migration changes nothing",
            ),
            Error::Unavailable { .. } => (
                Outage,
                "meta_store.unavailable",
                "wait for the meta-store to answer; nothing is lost, run again",
            ),
            Error::Busy { .. } => (
                Outage,
                "meta_store.busy",
                "run again; if it lasts, look for long transactions in the meta-store",
            ),
            Error::Refused { .. } => (
                Outage,
                "meta_store.refused",
                "report this with the code in brackets; nothing was written",
            ),
            Error::LeaseLost { .. } => (
                Outage,
                "lease.lost",
                "nothing to do: whoever holds the lease now goes on with the work",
            ),
            Error::WrongFence { .. } => (Outage, "lease.mismatch", "report this; nothing was written"),
            Error::ItemOwned { .. } => (
                List,
                "ledger.item_owned",
                "check that no two definitions write to this list with the same items, then verify",
            ),
            Error::EffectUnknown { .. } => (
                Outage,
                "ledger.effect_unknown",
                "run again; open writes are looked at anew",
            ),
            Error::TakenOver => (
                List,
                "verify.taken_over",
                "wait for the other run, or verify again",
            ),
            Error::SubjectBusy => (
                Outage,
                "ledger.subject_busy",
                "run again once the other write is settled",
            ),
            Error::EffectTaken => (
                Outage,
                "effect.taken",
                "run again once the other write is settled; the staged row was not made",
            ),
            Error::Plan { refusal, .. } => match refusal {
                PlanRefusal::Expired => (
                    List,
                    "plan.expired",
                    "make a new plan: the rows may have changed since",
                ),
                PlanRefusal::FourEyes => (
                    List,
                    "plan.four_eyes",
                    "have it approved by somebody else than whoever asked for it",
                ),
                PlanRefusal::State(_) => (List, "plan.state", "make a new plan"),
                PlanRefusal::NotApproved => {
                    (List, "plan.not_approved", "have it approved, then run it again")
                }
            },
            Error::Damaged { .. } => (
                Outage,
                "meta_store.damaged",
                "restore the meta-store from a backup, or report this",
            ),
            Error::OutOfRange { .. } => (
                Row,
                "meta_store.out_of_range",
                "report this with the kind of value it names",
            ),
            Error::Seal(_) => (
                Outage,
                "secrets.seal",
                "check that the operating system gives randomness",
            ),
            Error::Open { .. } => (
                Outage,
                "secrets.open",
                "set SYNCBRIDGE_MASTER_KEY to the key this database was sealed with",
            ),
            Error::NotFound { .. } => (
                List,
                "configuration.not_found",
                "check the name with `syncbridge get`",
            ),
            Error::NameTaken { .. } => (List, "configuration.name_taken", "choose another name"),
            Error::InUse { .. } => (
                List,
                "configuration.in_use",
                "delete or change what refers to it first",
            ),
            Error::NamespaceFixed { .. } => (
                List,
                "configuration.namespace_fixed",
                "keep the namespace, or delete the definition with its ledger and make a new one",
            ),
            Error::ListFixed { .. } => (
                List,
                "configuration.list_fixed",
                "delete the definition with its ledger to begin anew in another list",
            ),
            Error::ListOwned { .. } => (
                List,
                "configuration.list_owned",
                "choose another list, or another namespace",
            ),
            Error::NotProvisioned { .. } => (
                List,
                "configuration.not_provisioned",
                "apply the definition, which makes its list",
            ),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (scope, code, fix) = error.parts();
        Failure::new(scope, code, error.to_string(), fix)
    }
}

/// Classes whose messages speak of the server or the schema, never of rows: connection, authorization,
/// unknown catalog or schema names, syntax and rights, resources, operator intervention, I/O and internals.
const SAFE_CLASSES: [&str; 10] = ["08", "28", "3D", "3F", "42", "53", "54", "57", "58", "XX"];

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(database) => from_database(database.as_ref()),
            sqlx::Error::Io(source) => Error::Unavailable {
                reason: source.to_string(),
            },
            sqlx::Error::Tls(_) => Error::Unavailable {
                reason: "TLS failed".to_owned(),
            },
            sqlx::Error::PoolTimedOut => Error::Unavailable {
                reason: "no free connection in time".to_owned(),
            },
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Error::Unavailable {
                reason: "the connection pool is closed".to_owned(),
            },
            sqlx::Error::Protocol(_) => Error::Unavailable {
                reason: "the connection broke".to_owned(),
            },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Error::Damaged { what: "column" },
            // Their texts may hold values; the kind must do.
            _ => Error::Refused {
                state: "driver".to_owned(),
                constraint: None,
                message: None,
            },
        }
    }
}

fn from_database(error: &dyn sqlx::error::DatabaseError) -> Error {
    let state = error.code().map(|code| code.into_owned()).unwrap_or_default();
    match state.as_str() {
        // lock_timeout, deadlock, serialization
        "55P03" | "40P01" | "40001" => Error::Busy { state },
        "42P01" if error.message().contains("schema_compat") => Error::NoSchema,
        // The server ends sessions: shutdown, crash, administrator, statement and idle timeouts.
        "57P01" | "57P02" | "57P03" | "57014" | "25P03" | "25P04" => Error::Unavailable {
            reason: format!("{} ({state})", error.message()),
        },
        _ if state.starts_with("08") || state.starts_with("53") => Error::Unavailable {
            reason: format!("{} ({state})", error.message()),
        },
        _ => {
            let safe = SAFE_CLASSES.iter().any(|class| state.starts_with(class));
            let message = safe.then(|| error.message().to_owned());
            Error::Refused {
                state,
                constraint: error.constraint().map(str::to_owned),
                message,
            }
        }
    }
}

/// Whether a statement failed on this constraint or unique index.
pub(crate) fn violates(error: &sqlx::Error, constraint: &str) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.constraint() == Some(constraint))
}

/// Whether a statement failed because another row refers to this one (or one it refers to is not there).
pub(crate) fn violates_reference(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.code().as_deref() == Some("23503"))
}
