//! The pool of connections, migrations, and whether schema and service fit each other.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres, Row as _};
use syncbridge_secrets::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::partitions;

/// A transaction on the meta-store; dereferences to the connection that repositories take.
pub type Transaction = sqlx::Transaction<'static, Postgres>;

/// The newest schema that this build knows.
pub const SCHEMA: i32 = 3;
/// The oldest schema that this build can use.
pub const OLDEST_SCHEMA: i32 = 3;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// How the meta-store is spoken to.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Connections at most.
    pub max_connections: u32,
    /// How long to wait for a connection, a new one included.
    pub connect_timeout: Duration,
    /// How long a statement may take on the server.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock. Longer than the next one, so that taking over a lease
    /// outlasts a stopped process that holds it inside a transaction.
    pub lock_timeout: Duration,
    /// How long a transaction may sit idle before the server ends it, so that a stopped process blocks nobody.
    pub idle_in_transaction_timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            application_name: "syncbridge".to_owned(),
            max_connections: 16,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(20),
            idle_in_transaction_timeout: Duration::from_secs(10),
        }
    }
}

/// The meta-store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MetaStore {
    pool: PgPool,
    options: PgConnectOptions,
    settings: ConnectOptions,
}

impl MetaStore {
    /// Connects once, so that a wrong address or password shows at once and clearly, then opens the pool.
    /// Does not look at the schema: [`MetaStore::check_schema`] does.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Unreachable`], [`Error::Login`], [`Error::NoDatabase`].
    pub async fn connect(url: &SecretString, settings: ConnectOptions) -> Result<Self> {
        let millis = |duration: Duration| duration.as_millis().to_string();
        let options = parse(url)?
            .application_name(&settings.application_name)
            .statement_cache_capacity(200)
            .options([
                ("timezone", "UTC".to_owned()),
                // A plan made once would stay that of the nearly empty tables it was made for, and read a whole
                // table for every slice of a first load.
                ("plan_cache_mode", "force_custom_plan".to_owned()),
                ("jit", "off".to_owned()),
                ("statement_timeout", millis(settings.statement_timeout)),
                ("lock_timeout", millis(settings.lock_timeout)),
                (
                    "idle_in_transaction_session_timeout",
                    millis(settings.idle_in_transaction_timeout),
                ),
            ]);
        let first = open(&options, settings.connect_timeout).await?;
        // The answer to a polite goodbye changes nothing.
        let _ = first.close().await;
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.connect_timeout)
            .idle_timeout(Duration::from_mins(5))
            .connect_lazy_with(options.clone());
        Ok(Self {
            pool,
            options,
            settings,
        })
    }

    /// Applies the migrations that are missing, under an advisory lock, and makes partitions for this month
    /// and the next ones. Doing it twice changes nothing.
    ///
    /// # Errors
    /// [`Error::Migration`]; [`Error::SchemaTooNew`] where a newer version was here before.
    pub async fn migrate(&self) -> Result<()> {
        // On a connection of its own: a failed migration leaves its lock with the session.
        let options = self
            .options
            .clone()
            .options([("statement_timeout", "0"), ("lock_timeout", "60000")]);
        let mut connection = open(&options, self.settings.connect_timeout).await?;
        let migrated = match self.refuse_newer(&mut connection).await {
            Ok(()) => MIGRATOR
                .run_direct(None, &mut connection, false)
                .await
                .map_err(migration_failed),
            Err(error) => Err(error),
        };
        let migrated = match migrated {
            Ok(()) => partitions::ensure(&mut connection).await.map(|_| ()),
            Err(error) => Err(error),
        };
        let _ = connection.close().await;
        migrated
    }

    async fn refuse_newer(&self, connection: &mut PgConnection) -> Result<()> {
        match compatibility(connection).await {
            Err(error @ Error::SchemaTooNew { .. }) => Err(error),
            Err(Error::NoSchema | Error::SchemaTooOld { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether this build may use the schema that is there.
    ///
    /// # Errors
    /// [`Error::NoSchema`], [`Error::SchemaTooOld`], [`Error::SchemaTooNew`].
    pub async fn check_schema(&self) -> Result<()> {
        compatibility(&mut *self.pool.acquire().await?).await
    }

    /// Makes the partitions of this month and the next three where they are missing. Answers how many.
    ///
    /// # Errors
    /// As any statement.
    pub async fn ensure_partitions(&self) -> Result<usize> {
        partitions::ensure(&mut *self.pool.acquire().await?).await
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn begin(&self) -> Result<Transaction> {
        Ok(self.pool.begin().await?)
    }

    /// A connection for reads outside a transaction.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn acquire(&self) -> Result<sqlx::pool::PoolConnection<Postgres>> {
        Ok(self.pool.acquire().await?)
    }

    /// The same database through another pool.
    pub(crate) fn over(&self, pool: PgPoolOptions) -> Self {
        Self {
            pool: pool.connect_lazy_with(self.options.clone()),
            ..self.clone()
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The longest that one exchange may take, seen from here: beyond it the connection is held for dead.
    pub(crate) fn patience(&self) -> Duration {
        self.settings.connect_timeout + self.settings.statement_timeout + Duration::from_secs(5)
    }
}

fn parse(url: &SecretString) -> Result<PgConnectOptions> {
    let text = url.expose_secret();
    if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
        return Err(Error::Url);
    }
    // The parser's own words may repeat the URL, password included.
    PgConnectOptions::from_str(text).map_err(|_| Error::Url)
}

async fn open(options: &PgConnectOptions, within: Duration) -> Result<PgConnection> {
    let (host, port) = (options.get_host().to_owned(), options.get_port());
    let unreachable = |reason: String| Error::Unreachable {
        host: host.clone(),
        port,
        reason,
    };
    let opened = match timeout(within, options.connect()).await {
        Ok(opened) => opened,
        Err(_) => return Err(unreachable(format!("no answer within {} s", within.as_secs()))),
    };
    opened.map_err(|error| match &error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some("28P01" | "28000") => Error::Login {
                host: host.clone(),
                port,
                user: options.get_username().to_owned(),
            },
            Some("3D000") => {
                let database = options
                    .get_database()
                    .unwrap_or(options.get_username())
                    .to_owned();
                Error::NoDatabase {
                    host: host.clone(),
                    port,
                    database,
                }
            }
            _ => unreachable(database.message().to_owned()),
        },
        sqlx::Error::Io(source) => unreachable(source.to_string()),
        sqlx::Error::Tls(source) => unreachable(format!("TLS: {source}")),
        _ => unreachable("the server does not speak PostgreSQL's protocol".to_owned()),
    })
}

async fn compatibility(connection: &mut PgConnection) -> Result<()> {
    let row = sqlx::query("SELECT schema_version, oldest_reader FROM schema_compat")
        .fetch_optional(connection)
        .await?
        .ok_or(Error::NoSchema)?;
    let (found, needed): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
    if needed > SCHEMA {
        return Err(Error::SchemaTooNew {
            needed,
            known: SCHEMA,
        });
    }
    if found < OLDEST_SCHEMA {
        return Err(Error::SchemaTooOld {
            found,
            needed: OLDEST_SCHEMA,
        });
    }
    Ok(())
}

fn migration_failed(error: sqlx::migrate::MigrateError) -> Error {
    match error {
        sqlx::migrate::MigrateError::Execute(source) => match Error::from(source) {
            Error::Refused { state, message, .. } => Error::Migration {
                reason: format!("{} ({state})", message.unwrap_or_default()),
            },
            other => other,
        },
        other => Error::Migration {
            reason: other.to_string(),
        },
    }
}
