//! One writing transaction: savepoints, and limits that end it whatever becomes of us.
//!
//! Half of the time that locks may be held is for the writes; each of them is given what is left. The server itself
//! ends the transaction if it then stays without a word for the rest of the time, so a worker that is stopped, cut off
//! or gone holds up nobody for longer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgSeverity, Postgres};
use syncbridge_domain::failure::Failure;
use tokio::time::Instant;

use crate::fault::Context;
use crate::session::Sessions;
use crate::source::parse_number;
use crate::sql::Sql;

/// How a call ended that was not answered with rows.
pub(super) enum Broken {
    /// No answer in time.
    Silent,
    Driver(sqlx::Error),
    /// An answer that is of no use.
    Failed(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Broken::Failed(failure)
    }
}

impl Broken {
    pub(super) fn failure(self, context: &Context) -> Failure {
        match self {
            Broken::Silent => context.unanswered(),
            Broken::Driver(error) => context.classify(error),
            Broken::Failed(failure) => failure,
        }
    }

    /// What the driver reported.
    pub(super) fn reported(self) -> Result<sqlx::Error, Self> {
        match self {
            Broken::Driver(error) => Ok(error),
            other => Err(other),
        }
    }

    /// The server said no and stands by it: the session lives on, and what was asked did not happen.
    pub(super) fn refused(self) -> Result<sqlx::Error, Self> {
        let error = self.reported()?;
        let severity = error
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
            .map(PgDatabaseError::severity);
        match severity {
            Some(PgSeverity::Error) => Ok(error),
            _ => Err(Broken::Driver(error)),
        }
    }
}

/// What happens to the open savepoint; said with the next message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is none open.
    None,
    /// What was written under it stays.
    Keep,
    /// It never happened.
    Undo,
}

pub(super) struct Transaction {
    session: Option<PoolConnection<Postgres>>,
    pub(super) context: Arc<Context>,
    call: Duration,
    lock: Duration,
    hold: Duration,
    began: Instant,
    /// Id of the whole transaction, 64 bits.
    pub(super) top: u64,
    ending: Ending,
    /// Where the rows are that were written.
    written: BTreeSet<String>,
}

impl Transaction {
    pub(super) async fn begin(sessions: &Sessions, context: &Arc<Context>) -> Result<Self, Failure> {
        let session = sessions.acquire(context).await?;
        let hold = sessions.timeouts.hold;
        let mut transaction = Self {
            session: Some(session),
            context: Arc::clone(context),
            call: sessions.call(),
            lock: sessions.timeouts.write_lock,
            hold,
            began: Instant::now(),
            top: 0,
            ending: Ending::None,
            written: BTreeSet::new(),
        };
        let mut sql = Sql::new(
            "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE; \
             SET LOCAL idle_in_transaction_session_timeout = ",
        );
        sql.number(milliseconds(hold))
            .text("; SELECT pg_catalog.pg_current_xact_id()::text");
        let top = transaction
            .run(async |connection| {
                let row = sqlx::raw_sql(sql.statement()).fetch_one(connection).await?;
                parse_number(row.try_get(0)?)
            })
            .await;
        match top {
            Ok(top) => transaction.top = top,
            Err(broken) => {
                return Err(match broken.refused() {
                    // What a standby answers to `READ WRITE`.
                    Ok(error) if code(&error) == "0A000" || code(&error) == "25006" => {
                        context.server_read_only()
                    }
                    Ok(error) => context.classify(error),
                    Err(broken) => broken.failure(context),
                });
            }
        }
        Ok(transaction)
    }

    /// Runs `work`; its answer is waited for no longer than a statement may take.
    pub(super) async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Broken> {
        let Some(session) = self.session.as_mut() else {
            return Err(Broken::Driver(sqlx::Error::PoolClosed));
        };
        match tokio::time::timeout(self.call, work(session)).await {
            Ok(answer) => answer.map_err(Broken::Driver),
            Err(_) => Err(Broken::Silent),
        }
    }

    async fn say(&mut self, sql: &Sql) -> Result<(), Broken> {
        self.run(async |connection| {
            sqlx::raw_sql(sql.statement())
                .execute(connection)
                .await
                .map(|_| ())
        })
        .await
    }

    /// Opens the savepoint of the next write, with limits of what time is left. False: none is.
    pub(super) async fn savepoint(&mut self) -> Result<bool, Broken> {
        let left = (self.hold / 2).saturating_sub(self.began.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        let mut sql = self.end_savepoint();
        // The path is set before the savepoint, so that undoing it comes back to here.
        sql.text("SET LOCAL search_path TO ''; SAVEPOINT one_write; SET LOCAL lock_timeout = ")
            .number(milliseconds(self.lock.min(left)))
            .text("; SET LOCAL statement_timeout = ")
            .number(milliseconds(left));
        self.say(&sql).await?;
        Ok(true)
    }

    pub(super) fn note_written(&mut self, ctid: Option<String>) {
        self.written.extend(ctid);
    }

    /// Whether the row at this place was written here.
    pub(super) fn has_written(&self, ctid: Option<&str>) -> bool {
        ctid.is_some_and(|ctid| self.written.contains(ctid))
    }

    /// Decides on the savepoint.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ending = ending;
    }

    /// Undoes what was done since the savepoint, which stays open, so that questions can be asked.
    pub(super) async fn undo(&mut self) -> Result<(), Broken> {
        self.say(&Sql::new("ROLLBACK TO SAVEPOINT one_write")).await
    }

    /// Ends the last savepoint and gives the statements that follow their usual time and names.
    pub(super) async fn written(&mut self) -> Result<(), Broken> {
        let mut sql = self.end_savepoint();
        sql.text("SET LOCAL search_path TO ''; SET LOCAL statement_timeout = ")
            .number(milliseconds(self.hold));
        self.say(&sql).await
    }

    /// Gives the rest of the time to whoever holds this until the commit, and the names that triggers which wait for
    /// the commit are written for.
    pub(super) async fn staged(&mut self, search_path: &str) -> Result<(), Broken> {
        let left = self.hold.saturating_sub(self.began.elapsed());
        self.run(async |connection| {
            sqlx::query(
                "SELECT pg_catalog.set_config('search_path', $1, true), \
                 pg_catalog.set_config('idle_in_transaction_session_timeout', $2, true)",
            )
            .bind(search_path)
            .bind(milliseconds(left).to_string())
            .execute(connection)
            .await
            .map(|_| ())
        })
        .await
    }

    /// Commits; the session goes back only after an answer that ends the transaction for certain.
    pub(super) async fn commit(mut self) -> Result<(), (Broken, Self)> {
        match self.say(&Sql::new("COMMIT")).await {
            Ok(()) => {
                self.give_back();
                Ok(())
            }
            Err(broken) => Err((broken, self)),
        }
    }

    /// Rolls back. A session that does not confirm it is closed.
    pub(super) async fn roll_back(mut self) {
        if self.say(&Sql::new("ROLLBACK")).await.is_ok() {
            self.give_back();
        }
    }

    /// The transaction is over: the session may serve others.
    pub(super) fn give_back(&mut self) {
        self.session = None;
    }

    fn end_savepoint(&mut self) -> Sql {
        let ending = std::mem::replace(&mut self.ending, Ending::None);
        Sql::new(match ending {
            Ending::None => "",
            Ending::Keep => "RELEASE SAVEPOINT one_write; ",
            Ending::Undo => "ROLLBACK TO SAVEPOINT one_write; RELEASE SAVEPOINT one_write; ",
        })
    }
}

impl Drop for Transaction {
    /// A transaction that is not known to be over takes its session with it; the server rolls back.
    fn drop(&mut self) {
        if let Some(session) = self.session.as_mut() {
            session.close_on_drop();
        }
    }
}

/// For a limit, where 0 would mean none.
fn milliseconds(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis())
        .unwrap_or(u64::MAX)
        .clamp(1, i32::MAX as u64)
}

fn code(error: &sqlx::Error) -> std::borrow::Cow<'_, str> {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .unwrap_or_default()
}
