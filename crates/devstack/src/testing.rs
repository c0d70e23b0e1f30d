//! Databases for tests: one private cluster shared by the tests of all crates, a database per test on it.
//!
//! `cargo nextest` runs every test in a process of its own, so the shared cluster is found through the folder
//! `target/test-services` of the workspace (or the folder named by [`FOLDER_VARIABLE`]): whoever comes first
//! starts it, under a file lock, and leaves it running. `make test` stops it at the end,
//! `scripts/test-services stop` at any time.
//!
//! The databases share one server, and with it its transaction ids, `pg_stat_activity` and prepared
//! transactions: a test about watermark ceilings, prepared transactions (one of them makes every creation of a
//! replication slot on the server wait) or restarts takes [`private_postgres`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::time::{Instant, sleep};

use crate::postgres::{Cluster, PostgresOptions, Shutdown, create_database, quoted};
use crate::process::Incarnation;
use crate::{Error, Result, folders};

/// Environment variable with the URL of a running server, whose user may create databases; used instead of
/// the shared cluster.
pub const SERVER_VARIABLE: &str = "SYNCBRIDGE_TEST_DATABASE_URL";

/// Environment variable with the folder of the shared servers, instead of `target/test-services`.
pub const FOLDER_VARIABLE: &str = "SYNCBRIDGE_TEST_SERVICES";

const DROP_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Databases and folders made by this process so far.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A fresh, empty database; dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    // Debug of these options leaves the password out.
    options: PgConnectOptions,
    name: String,
}

impl TestDatabase {
    /// URL for a superuser, password included.
    #[must_use]
    pub fn url(&self) -> String {
        self.options.to_url_lossy().to_string()
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A pool of at most eight connections.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn pool(&self) -> Result<PgPool> {
        PgPoolOptions::new()
            .max_connections(8)
            .connect_with(self.options.clone())
            .await
            .map_err(Error::database("cannot connect to the test database"))
    }

    /// Runs statements on a connection of their own, for tests of crates that speak no SQL.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn execute(&self, statements: &str) -> Result<()> {
        let pool = self.pool().await?;
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        let done = sqlx::raw_sql(statements).execute(&pool).await;
        pool.close().await;
        done.map(|_| ())
            .map_err(Error::database("cannot run a test's statements"))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (options, name) = (self.options.clone(), self.name.clone());
        // A thread of its own: a runtime may be running on this one, and it may be one that is ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::io("make a runtime for", &name))?;
            runtime.block_on(async {
                let server = options.database("postgres");
                let mut connection = connect(&server).await?;
                drop_database(&server, &mut connection, &name).await
            })
        });
        if let Ok(Err(error)) = dropped.join() {
            tracing::warn!(%error, "a test database stays; the next test process removes it");
        }
    }
}

/// A fresh database on the shared cluster, or on the server of [`SERVER_VARIABLE`].
///
/// # Panics
/// When there is no server to be had: the message says what to install or change.
#[allow(
    clippy::panic,
    reason = "for tests: without a server the test has to fail, with the explanation"
)]
pub async fn postgres() -> TestDatabase {
    match try_postgres().await {
        Ok(database) => database,
        Err(error) => panic!("no test database: {error}"),
    }
}

/// As [`postgres`], for callers that report failures themselves.
///
/// # Errors
/// As [`Cluster::start`]; [`Error::Invalid`] for an unusable [`SERVER_VARIABLE`].
pub async fn try_postgres() -> Result<TestDatabase> {
    let server: PgConnectOptions = match std::env::var(SERVER_VARIABLE) {
        Ok(url) => {
            parse(&url).map_err(|_| Error::Invalid(format!("{SERVER_VARIABLE} is not a PostgreSQL URL")))?
        }
        Err(_) => {
            let cluster = shared_cluster(&services_folder()?).await?;
            parse(&cluster.url("postgres"))?
        }
    };
    let ours = std::env::var_os(SERVER_VARIABLE).is_none();
    let mut connection = connect(&server).await?;
    if ours && MADE.load(Ordering::Relaxed) == 0 {
        drop_stale_databases(&server, &mut connection).await?;
    }
    let name = unique_name("test");
    create_database(&mut connection, &name)
        .await
        .map_err(Error::database("cannot make a test database"))?;
    let _ = connection.close().await;
    Ok(TestDatabase {
        options: server.database(&name),
        name,
    })
}

/// A cluster for one test alone, which may configure, stop, crash and restart it; removed with the value.
#[derive(Debug)]
pub struct PrivatePostgres {
    /// The cluster. Dropped (and so stopped) before its folder goes.
    pub cluster: Cluster,
    _folder: RemovedFolder,
}

/// Starts a cluster for one test; `adjust` may change the options (TLS, configuration, access rules).
///
/// # Panics
/// When it cannot be started: the message says what to install or change.
#[allow(
    clippy::panic,
    reason = "for tests: without a server the test has to fail, with the explanation"
)]
pub async fn private_postgres(adjust: impl FnOnce(&mut PostgresOptions)) -> PrivatePostgres {
    match try_private_postgres(adjust).await {
        Ok(server) => server,
        Err(error) => panic!("no private PostgreSQL: {error}"),
    }
}

/// As [`private_postgres`], for callers that report failures themselves.
///
/// # Errors
/// As [`Cluster::start`].
pub async fn try_private_postgres(adjust: impl FnOnce(&mut PostgresOptions)) -> Result<PrivatePostgres> {
    let root = services_folder()?;
    remove_stale_clusters(&root).await?;
    let data = root.join(unique_name("private"));
    let folder = RemovedFolder(data.clone());
    let mut options = PostgresOptions {
        data,
        fast: true,
        ..PostgresOptions::default()
    };
    adjust(&mut options);
    Ok(PrivatePostgres {
        cluster: Cluster::start(options).await?,
        _folder: folder,
    })
}

#[derive(Debug)]
struct RemovedFolder(PathBuf);

impl Drop for RemovedFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), %error, "a private cluster's folder stays");
        }
    }
}

/// The shared cluster in `folder`, started if it is not running.
async fn shared_cluster(folder: &Path) -> Result<Cluster> {
    let _lock = lock(folder.join("starting")).await?;
    Cluster::start(PostgresOptions {
        data: folder.join("postgres"),
        fast: true,
        detached: true,
        ..PostgresOptions::default()
    })
    .await
}

/// Stops the shared cluster if it runs.
///
/// # Errors
/// As [`Cluster::start`] and [`Cluster::stop`].
pub async fn stop_shared() -> Result<()> {
    let folder = services_folder()?;
    let _lock = lock(folder.join("starting")).await?;
    let data = folder.join("postgres");
    if !data.join("cluster/postmaster.pid").exists() {
        return Ok(());
    }
    let options = PostgresOptions {
        data,
        fast: true,
        detached: true,
        ..PostgresOptions::default()
    };
    Cluster::start(options).await?.stop(Shutdown::Fast).await
}

/// Waits until this process alone holds the lock file; released when the value is dropped.
async fn lock(path: PathBuf) -> Result<File> {
    let task = tokio::task::spawn_blocking(move || {
        let file = File::create(&path).map_err(Error::io("make", &path))?;
        file.lock().map_err(Error::io("lock", &path))?;
        Ok(file)
    });
    task.await
        .map_err(|_| Error::Invalid("the runtime shut down while waiting for a lock".to_owned()))?
}

/// The folder of the shared servers, one that the server user can reach.
fn services_folder() -> Result<PathBuf> {
    let preferred = match std::env::var_os(FOLDER_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => workspace_root()?.join("target").join("test-services"),
    };
    // Two processes must not choose two folders at once.
    std::fs::create_dir_all(&preferred).map_err(Error::io("make", &preferred))?;
    let guard = preferred.join("choosing");
    let file = File::create(&guard).map_err(Error::io("make", &guard))?;
    file.lock().map_err(Error::io("lock", &guard))?;
    folders::for_servers(&preferred)
}

/// The nearest folder with a `Cargo.lock` above the package under test (cargo tells it), above our own
/// executable (below `target`), or above the working folder.
fn workspace_root() -> Result<PathBuf> {
    [
        std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from),
        std::env::current_exe().ok(),
        std::env::current_dir().ok(),
    ]
    .into_iter()
    .flatten()
    .find_map(|start| {
        start
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").is_file())
            .map(Path::to_path_buf)
    })
    .ok_or_else(|| {
        Error::Invalid(format!(
            "no workspace found around the test; set {FOLDER_VARIABLE} to a folder"
        ))
    })
}

fn parse(url: &str) -> Result<PgConnectOptions> {
    url.parse().map_err(Error::database("not a PostgreSQL URL"))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    options
        .connect()
        .await
        .map_err(Error::database("cannot connect to the test server"))
}

/// A name that tells which process made it: `test_<pid>_<start time>_<number>`.
fn unique_name(prefix: &str) -> String {
    let us = Incarnation::ourselves();
    format!(
        "{prefix}_{}_{}_{}",
        us.pid,
        us.started,
        MADE.fetch_add(1, Ordering::Relaxed)
    )
}

/// The process that made something named by [`unique_name`].
fn maker(name: &str, prefix: &str) -> Option<Incarnation> {
    let mut parts = name.strip_prefix(prefix)?.strip_prefix('_')?.split('_');
    Some(Incarnation {
        pid: parts.next()?.parse().ok()?,
        started: parts.next()?.parse().ok()?,
    })
}

async fn drop_stale_databases(server: &PgConnectOptions, connection: &mut PgConnection) -> Result<()> {
    let failed = || Error::database("cannot look for databases of ended tests");
    let names: Vec<String> =
        sqlx::query_scalar("select datname::text from pg_database where datname like 'test\\_%'")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed())?;
    for name in names {
        if maker(&name, "test").is_some_and(|process| !process.is_alive()) {
            // Another test process may be at the same one; what stays is tried again by the next process.
            if let Err(error) = drop_database(server, connection, &name).await {
                tracing::debug!(%error, database = name, "a stale test database stays");
            }
        }
    }
    Ok(())
}

/// Drops a database with what would hold it: sessions, prepared transactions, replication slots.
async fn drop_database(server: &PgConnectOptions, connection: &mut PgConnection, name: &str) -> Result<()> {
    let failed = || Error::database(format!("cannot drop the test database {name}"));
    let prepared: Vec<String> = sqlx::query_scalar("select gid from pg_prepared_xacts where database = $1")
        .bind(name)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed())?;
    if !prepared.is_empty() {
        // Only a session in the same database may end them.
        let mut inside = connect(&server.clone().database(name)).await?;
        for gid in prepared {
            let statement = format!("rollback prepared '{}'", gid.replace('\'', "''"));
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                .execute(&mut inside)
                .await
                .map_err(failed())?;
        }
    }
    drop_slots(connection, name).await.map_err(failed())?;
    let statement = format!("drop database if exists {} with (force)", quoted(name));
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map_err(failed())?;
    Ok(())
}

/// Ends the users of the database's logical replication slots and drops the slots.
async fn drop_slots(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + DROP_WITHIN;
    loop {
        sqlx::query(
            "select pg_terminate_backend(active_pid) from pg_replication_slots \
             where database = $1 and active_pid is not null",
        )
        .bind(name)
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots \
             where database = $1 and active_pid is null",
        )
        .bind(name)
        .execute(&mut *connection)
        .await?;
        let left: bool =
            sqlx::query_scalar("select exists (select from pg_replication_slots where database = $1)")
                .bind(name)
                .fetch_one(&mut *connection)
                .await?;
        if !left || Instant::now() >= deadline {
            return Ok(());
        }
        sleep(POLL).await;
    }
}

/// Ends private clusters whose test process is gone, and removes their folders.
async fn remove_stale_clusters(root: &Path) -> Result<()> {
    let entries = std::fs::read_dir(root).map_err(Error::io("list", root))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let stale = name
            .to_str()
            .and_then(|name| maker(name, "private"))
            .is_some_and(|process| !process.is_alive());
        if !stale {
            continue;
        }
        let folder = entry.path();
        if folder.join("cluster/postmaster.pid").exists() {
            let options = PostgresOptions {
                data: folder.clone(),
                detached: true,
                fast: true,
                ..PostgresOptions::default()
            };
            // Another test process may be removing the same one; then there is nothing left to stop.
            if let Ok(mut cluster) = Cluster::start(options).await {
                let _ = cluster.stop(Shutdown::Immediate).await;
            }
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_who_made_it() {
        let name = unique_name("test");
        assert_eq!(maker(&name, "test"), Some(Incarnation::ourselves()));
        assert_eq!(maker(&name, "private"), None);
        assert_eq!(maker("test_of_somebody", "test"), None);
        assert_ne!(name, unique_name("test"));
    }
}
