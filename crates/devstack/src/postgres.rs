//! A private PostgreSQL cluster: its own data folder, 127.0.0.1 only, password from a private file.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions as _, Connection as _};

use crate::account::Account;
use crate::{Error, Result, folders, password, programs, server_log};

mod control;
mod settings;

/// The superuser of every private cluster.
pub const SUPERUSER: &str = "syncbridge";

/// How often another free port is tried when somebody took ours between choosing and binding it.
const PORT_ATTEMPTS: usize = 5;

/// How a cluster is started.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Folder of the cluster; made where missing, reused where it holds one of ours. See
    /// [`folders::for_servers`] for one that PostgreSQL can reach when we are root.
    pub data: PathBuf,
    /// TCP port. `None`: the port used last, if free, else any free one.
    pub port: Option<u16>,
    /// Trades durability for speed (`fsync = off` and the like): for tests and demos whose data may be lost
    /// with the machine. A killed server still recovers every committed transaction.
    pub fast: bool,
    /// Lines for `postgresql.conf`, applied last, so they override ours.
    pub extra_conf: String,
    /// Lines for `pg_hba.conf`, applied first, so they override ours (password on 127.0.0.1).
    pub extra_hba: String,
    /// Turns TLS on. Connections without TLS stay possible unless `extra_hba` refuses them.
    pub tls: Option<TlsFiles>,
    /// The server outlives this value, and one that is running already is used as it is. Without it the
    /// folder is ours alone: a second start is refused, and dropping the value stops the server.
    pub detached: bool,
}

/// PEM files of a server's certificate; copied into the cluster's own folder.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate, followed by the intermediate ones.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Authority for client certificates (`ssl_ca_file`).
    pub client_authority: Option<PathBuf>,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends sessions, writes everything out.
    Fast,
    /// As a crash: recovery at the next start.
    Immediate,
}

/// A running private cluster. Dropping it stops the server, unless it was started detached.
pub struct Cluster {
    options: PostgresOptions,
    programs: PathBuf,
    account: Account,
    port: u16,
    password: String,
    running: bool,
    /// Held while this value owns the folder; the kernel releases it when the process dies.
    lock: Option<File>,
}

// By hand, because the password must not be printed.
impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("data", &self.options.data)
            .field("port", &self.port)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts the cluster in `options.data`, making it first where there is none. Ready when this returns.
    ///
    /// A server left behind by a killed owner is restarted with the present options.
    ///
    /// # Errors
    /// [`Error::MissingProgram`], [`Error::NoAccount`] and [`Error::Unreachable`] say what to install or
    /// change; [`Error::InUse`] when another process owns the folder; [`Error::ProgramFailed`] with the last
    /// lines of the server's log.
    pub async fn start(options: PostgresOptions) -> Result<Self> {
        control::blocking(move || Self::start_blocking(options)).await
    }

    fn start_blocking(mut options: PostgresOptions) -> Result<Self> {
        let programs = programs::postgres_folder()?;
        let account = Account::for_postgres()?;
        std::fs::create_dir_all(&options.data).map_err(Error::io("make", &options.data))?;
        options.data = options
            .data
            .canonicalize()
            .map_err(Error::io("resolve", &options.data))?;
        if let Some(blocked) = account.first_closed_ancestor(&options.data) {
            return Err(folders::unreachable_folder(&account, &options.data, blocked));
        }
        let lock = if options.detached {
            None
        } else {
            Some(lock_folder(&options.data)?)
        };
        let password = password::read_or_create(&options.data.join("password"))?;
        let mut cluster = Self {
            options,
            programs,
            account,
            port: 0,
            password,
            running: false,
            lock,
        };
        if !cluster.files().join("PG_VERSION").exists() {
            cluster.make_files()?;
        }
        if cluster.status()? {
            if cluster.options.detached {
                cluster.port = cluster.running_port()?;
                cluster.running = true;
                return Ok(cluster);
            }
            cluster.stop_blocking(Shutdown::Fast)?;
        }
        cluster.start_on_a_port()?;
        Ok(cluster)
    }

    /// URL of a database of this cluster for its superuser, password included: never print it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{SUPERUSER}:{}@127.0.0.1:{}/{}",
            self.password,
            self.port,
            settings::percent_encoded(database)
        )
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The cluster's folder (with the password file and the server's log).
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.options.data
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.options.data.join("server.log")
    }

    /// Makes a database where there is none of this name; says whether it was made.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn create_database(&self, name: &str) -> Result<bool> {
        let failed = || Error::database(format!("cannot make the database {name}"));
        let mut connection = self.connect("postgres").await?;
        let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .map_err(failed())?;
        if !exists {
            create_database(&mut connection, name).await.map_err(failed())?;
        }
        connection.close().await.map_err(failed())?;
        Ok(!exists)
    }

    /// Makes a database anew: one of this name that is there goes with everything in it, sessions included.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn recreate_database(&self, name: &str) -> Result<()> {
        let failed = || Error::database(format!("cannot make the database {name} anew"));
        let mut connection = self.connect("postgres").await?;
        let drop = format!("drop database if exists {} with (force)", quoted(name));
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop))
            .execute(&mut connection)
            .await
            .map_err(failed())?;
        create_database(&mut connection, name).await.map_err(failed())?;
        connection.close().await.map_err(failed())
    }

    /// One connection as superuser.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn connect(&self, database: &str) -> Result<sqlx::PgConnection> {
        sqlx::postgres::PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username(SUPERUSER)
            .password(&self.password)
            .database(database)
            .ssl_mode(sqlx::postgres::PgSslMode::Disable)
            .application_name("syncbridge devstack")
            .connect()
            .await
            .map_err(Error::database(format!(
                "cannot connect to the private database {database}"
            )))
    }

    /// Stops the server; a detached one too. Stopping a stopped one does nothing.
    ///
    /// # Errors
    /// [`Error::ProgramFailed`] when it would not stop within a minute.
    pub async fn stop(&mut self, how: Shutdown) -> Result<()> {
        let control = self.control();
        control::blocking(move || control.stop(how)).await?;
        self.running = false;
        Ok(())
    }

    /// Stops the server if it runs and starts it again on the same port.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn restart(&mut self, how: Shutdown) -> Result<()> {
        self.stop(how).await?;
        self.write_settings()?;
        let control = self.control();
        control::blocking(move || control.start()).await?;
        self.running = true;
        Ok(())
    }

    /// Replaces `extra_conf` and restarts.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn reconfigure(&mut self, extra_conf: impl Into<String>) -> Result<()> {
        self.options.extra_conf = extra_conf.into();
        self.restart(Shutdown::Fast).await
    }

    fn start_on_a_port(&mut self) -> Result<()> {
        let recorded = std::fs::read_to_string(self.options.data.join("port"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .filter(|port| control::is_free(*port));
        let mut attempt = 1;
        loop {
            self.port = match (self.options.port, recorded) {
                (Some(port), _) => port,
                (None, Some(port)) if attempt == 1 => port,
                (None, _) => control::free_port()?,
            };
            self.write_settings()?;
            match self.control().start() {
                Ok(()) => break,
                Err(Error::ProgramFailed { output, .. })
                    if self.options.port.is_none()
                        && attempt < PORT_ATTEMPTS
                        && output.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
        let file = self.options.data.join("port");
        std::fs::write(&file, self.port.to_string()).map_err(Error::io("write", &file))?;
        self.running = true;
        Ok(())
    }

    fn files(&self) -> PathBuf {
        self.options.data.join("cluster")
    }

    fn control(&self) -> control::Control {
        control::Control {
            program: self.programs.join("pg_ctl"),
            account: self.account.clone(),
            files: self.files(),
            log: self.log(),
        }
    }

    fn status(&self) -> Result<bool> {
        self.control().is_running()
    }

    fn stop_blocking(&mut self, how: Shutdown) -> Result<()> {
        self.control().stop(how)?;
        self.running = false;
        Ok(())
    }

    /// `initdb` into a folder beside the final one, renamed when complete: a killed `initdb` leaves nothing
    /// that looks like a cluster.
    fn make_files(&self) -> Result<()> {
        let unfinished = self.options.data.join("cluster.unfinished");
        match std::fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &unfinished)(error));
            }
            _ => {}
        }
        std::fs::create_dir(&unfinished).map_err(Error::io("make", &unfinished))?;
        self.account.own(&unfinished)?;
        let for_initdb = self.options.data.join("password.initdb");
        let _ = std::fs::remove_file(&for_initdb);
        password::write_private(&for_initdb, &self.password)?;
        self.account.own(&for_initdb)?;
        let mut command = self.account.command(&self.programs.join("initdb"));
        command
            .arg("--pgdata")
            .arg(&unfinished)
            .arg("--pwfile")
            .arg(&for_initdb)
            .args([
                "--username",
                SUPERUSER,
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
            ])
            .args(["--locale", "C.UTF-8"]);
        if self.options.fast {
            command.arg("--no-sync");
        }
        let outcome = control::run("initdb", &mut command);
        let _ = std::fs::remove_file(&for_initdb);
        outcome?;
        std::fs::rename(&unfinished, self.files()).map_err(Error::io("rename", &unfinished))
    }

    fn write_settings(&self) -> Result<()> {
        settings::write(&self.files(), &self.account, &self.options, self.port)?;
        let log = self.log();
        File::create(&log).map_err(Error::io("make", &log))?;
        self.account.own(&log)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.options.detached || !self.running {
            return;
        }
        let how = if self.options.fast {
            Shutdown::Immediate
        } else {
            Shutdown::Fast
        };
        if let Err(error) = self.stop_blocking(how) {
            tracing::warn!(folder = %self.options.data.display(), %error, "a private PostgreSQL did not stop");
        }
        drop(self.lock.take());
    }
}

/// Makes a database from the untouched template, so that nobody's session on `template1` is in the way.
/// One that appeared meanwhile is taken as made.
pub(crate) async fn create_database(
    connection: &mut sqlx::PgConnection,
    name: &str,
) -> Result<(), sqlx::Error> {
    let statement = format!("create database {} template template0", settings::quoted(name));
    match sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(connection)
        .await
    {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P04") => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}

pub(crate) use settings::quoted;

fn lock_folder(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(Error::io("make", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            folder: folder.to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
    }
}

impl Cluster {
    /// `postmaster.pid`: line 4 is the port.
    fn running_port(&self) -> Result<u16> {
        let file = self.files().join("postmaster.pid");
        let text = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        text.lines()
            .nth(3)
            .and_then(|line| line.trim().parse().ok())
            .ok_or_else(|| Error::ProgramFailed {
                program: "postgres".to_owned(),
                status: "running without a known port".to_owned(),
                output: server_log::tail_of_file(&self.log()),
            })
    }
}
