//! Why something failed, how far it reaches, and what a person does about it (DESIGN §10).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Code of a row that goes on only with a plan that a person approved.
pub const PLAN_NEEDED: &str = "plan.needed";
/// Code of an item that stood in the list before the definition did: no row is made of it by itself.
pub const FIRST_INSERTS: &str = "plan.first_inserts";
/// Code of a row whose item is out of sight, which proves no deletion.
pub const SUSPECTED_GONE: &str = "item.suspected_gone";
/// Code of a row whose item is out of sight in a list that would take a second one.
pub const GONE_OR_HIDDEN: &str = "item.gone_or_hidden";

/// Codes of rows that wait for nothing but a person's approval: `run --approve` takes them up at once, whenever else they
/// would be tried again.
pub const AWAIT_APPROVAL: [&str; 4] = [PLAN_NEEDED, FIRST_INSERTS, SUSPECTED_GONE, GONE_OR_HIDDEN];

/// How far a failure reaches. Only [`Scope::Row`] and [`Scope::Column`] fill the quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This row only; the rest goes on.
    Row,
    /// A column of the list or table.
    Column,
    /// The whole list or table.
    List,
    /// The tenant or app registration: authorization, quota.
    Tenant,
    /// Something is down; nobody's data is to blame.
    Outage,
}

/// A classified failure. It never carries a cell value, so it may be logged, stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How far it reaches.
    pub scope: Scope,
    /// Stable code, `area.kind` (a page in `docs/errors/` explains it).
    pub code: String,
    /// What happened, in one sentence.
    pub cause: String,
    /// What to do next, in one sentence.
    pub fix: String,
    /// The column at fault, where it is known.
    pub column: Option<String>,
    /// Graph's `request-id`, for Microsoft's support.
    pub request_id: Option<String>,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with the parts every one has.
    pub fn new(
        scope: Scope,
        code: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            scope,
            code: code.into(),
            cause: cause.into(),
            fix: fix.into(),
            column: None,
            request_id: None,
            retry_after: None,
        }
    }

    /// Names the column at fault.
    #[must_use]
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    /// Keeps Graph's `request-id`.
    #[must_use]
    pub fn request_id(mut self, id: Option<String>) -> Self {
        self.request_id = id;
        self
    }

    /// Keeps the wait the other side asked for.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if let Some(column) = &self.column {
            write!(f, " (column `{column}`)")?;
        }
        write!(f, " → {} [{}", self.fix, self.code)?;
        if let Some(id) = &self.request_id {
            write!(f, ", request-id {id}")?;
        }
        write!(f, "]")
    }
}

impl std::error::Error for Failure {}
