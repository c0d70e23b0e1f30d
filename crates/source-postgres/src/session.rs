//! Sessions: fixed settings, bounded number, bounded time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use syncbridge_domain::failure::{Failure, Scope};

use crate::access::{Access, Timeouts};
use crate::fault::Context;

/// Oldest server this crate reads: `pg_current_snapshot` came with it.
const OLDEST_SERVER: i32 = 130_000;

/// How much longer than the server's own limit we wait for its answer.
const NETWORK_SLACK: Duration = Duration::from_secs(15);

/// Settings that decide what a cell's text looks like or whether a read may lie. They are set by us after
/// login, so neither the role's nor the database's nor the environment's settings can change them.
const FIXED: &[(&str, &str)] = &[
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "read committed"),
    // A policy that would hide rows becomes an error: a hidden row must never look like a deleted one.
    ("row_security", "off"),
    // Names resolve in pg_catalog only, so nobody can slip us an operator or function.
    ("search_path", ""),
    ("DateStyle", "ISO, YMD"),
    ("TimeZone", "UTC"),
    ("IntervalStyle", "iso_8601"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    ("xmloption", "content"),
    // `lc_monetary` stays what the server says: it decides how many of the digits of a `money` are decimals, so
    // another one would read 100 yen as 1.
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    // Notices of a view's functions may quote values, and the driver would log them.
    ("client_min_messages", "error"),
    // Compiling a plan costs more than reading a page; a generic plan may choose to sort the table.
    ("jit", "off"),
    ("plan_cache_mode", "force_custom_plan"),
];

/// A bounded set of sessions on one database. A session reads; a transaction that writes says so when it begins
/// (see `write`), so that no statement ever writes by accident.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    pool: PgPool,
    pub(crate) context: Arc<Context>,
    pub(crate) timeouts: Timeouts,
    most: u32,
}

impl Sessions {
    /// Opens the first session, so that whatever is wrong is told here and by its real cause; the pool's own
    /// attempts would only say that time ran out.
    pub(crate) async fn open(access: &Access) -> Result<Self, Failure> {
        // The verifier of the driver asks for the process-wide provider; a second installation is refused
        // and that is fine.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let context = Arc::new(Context::new(access));
        let options = access.connect_options();
        let first = async {
            let mut connection = options.connect().await?;
            prepare(&mut connection, access).await?;
            let version: i32 =
                sqlx::query_scalar("SELECT pg_catalog.current_setting('server_version_num')::int4")
                    .fetch_one(&mut connection)
                    .await?;
            connection.close().await?;
            Ok(version)
        };
        let version = tokio::time::timeout(access.timeouts.connect, first)
            .await
            .map_err(|_| context.connect_timeout())?
            .map_err(|error| context.classify(error))?;
        if version < OLDEST_SERVER {
            return Err(Failure::new(
                Scope::Outage,
                "source.version",
                format!(
                    "{} runs PostgreSQL {}; 13 is the oldest supported",
                    access.address(),
                    version / 10_000
                ),
                "upgrade the server",
            ));
        }
        let most = access.max_connections.max(1);
        let settings = Arc::new(access.clone());
        let pool = PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(access.timeouts.acquire)
            .idle_timeout(Duration::from_secs(300))
            .after_connect(move |connection, _| {
                let settings = Arc::clone(&settings);
                Box::pin(async move { prepare(connection, &settings).await })
            })
            .connect_lazy_with(access.connect_options());
        Ok(Self {
            pool,
            context,
            timeouts: access.timeouts,
            most,
        })
    }

    /// Runs `work` on a session. A session that does not answer is closed, not reused.
    pub(crate) async fn run<T, F>(&self, context: &Context, work: F) -> Result<T, Failure>
    where
        F: AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    {
        let mut session = self.acquire(context).await?;
        match tokio::time::timeout(self.call(), work(&mut session)).await {
            Ok(outcome) => outcome.map_err(|error| context.classify(error)),
            Err(_) => {
                session.close_on_drop();
                Err(context.unanswered())
            }
        }
    }

    /// A session for work that takes several calls. Whoever leaves anything behind in it closes it.
    pub(crate) async fn acquire(&self, context: &Context) -> Result<PoolConnection<Postgres>, Failure> {
        let session = self.pool.acquire().await;
        session.map_err(|error| self.no_session(context, error))
    }

    /// How long we wait for an answer at most.
    pub(crate) fn call(&self) -> Duration {
        self.timeouts.statement + NETWORK_SLACK
    }

    /// All sessions at work is one thing, none to be had from the server another.
    fn no_session(&self, context: &Context, error: sqlx::Error) -> Failure {
        match error {
            sqlx::Error::PoolTimedOut if self.pool.size() < self.most => context.connect_timeout(),
            error => context.classify(error),
        }
    }

    /// Ends all sessions.
    pub(crate) fn close(&self) -> impl Future<Output = ()> + 'static {
        let pool = self.pool.clone();
        async move { pool.close().await }
    }
}

async fn prepare(connection: &mut PgConnection, access: &Access) -> Result<(), sqlx::Error> {
    let timeouts = &access.timeouts;
    let limits = [
        ("statement_timeout", timeouts.statement),
        ("lock_timeout", timeouts.lock),
        (
            "idle_in_transaction_session_timeout",
            timeouts.idle_in_transaction,
        ),
    ];
    let mut names: Vec<&str> = FIXED.iter().map(|(name, _)| *name).collect();
    let mut values: Vec<String> = FIXED.iter().map(|(_, value)| (*value).to_owned()).collect();
    for (name, limit) in limits {
        names.push(name);
        values.push(limit.as_millis().to_string());
    }
    sqlx::query(
        "SELECT pg_catalog.set_config(s.name, s.value, false) \
         FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS s(name, value)",
    )
    .bind(&names)
    .bind(&values)
    .persistent(false)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Reads a cell as text. The column was cast to `text` in the statement.
pub(crate) fn text(row: &sqlx::postgres::PgRow, at: usize) -> Result<Option<&str>, sqlx::Error> {
    row.try_get::<Option<&str>, _>(at)
}
