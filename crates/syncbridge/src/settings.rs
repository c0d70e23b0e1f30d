//! Settings every command shares: options on the command line, else variables of the environment.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use secrecy::SecretString;
use syncbridge_meta_store::{ConnectOptions, MetaStore};
use syncbridge_operations::{Actor, Operations, TokenFiles};
use syncbridge_secrets::Keyring;
use syncbridge_telemetry::LogFormat;
use syncbridge_worker::EgressRules;

use crate::wiring::Wiring;

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For files.
    Yaml,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum Logs {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Settings every command shares.
#[derive(Args, Clone)]
pub(crate) struct Settings {
    /// How results are shown
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Common options"
    )]
    pub(crate) output: Output,

    /// The meta-store: postgres://user:password@host:port/database
    #[arg(
        long,
        global = true,
        env = "SYNCBRIDGE_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Common options"
    )]
    database_url: Option<String>,

    /// File that holds the master key (32 bytes in base64), which seals every stored secret
    #[arg(
        long,
        global = true,
        env = "SYNCBRIDGE_MASTER_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Common options"
    )]
    master_key_file: Option<PathBuf>,

    /// The one folder in which `{file: NAME}` secrets are looked for
    #[arg(
        long,
        global = true,
        env = "SYNCBRIDGE_SECRETS_FOLDER",
        hide_env_values = true,
        value_name = "FOLDER",
        help_heading = "Common options"
    )]
    secrets_folder: Option<PathBuf>,

    /// A further folder in which connections may name token files (`federated`)
    #[arg(
        long,
        global = true,
        env = "SYNCBRIDGE_TOKEN_FOLDER",
        hide_env_values = true,
        value_name = "FOLDER",
        help_heading = "Common options"
    )]
    token_folder: Option<PathBuf>,

    /// Ask this address for tokens of the machine's identity instead of the machine's own service
    #[arg(
        long,
        global = true,
        env = "SYNCBRIDGE_IDENTITY_SERVICE",
        hide_env_values = true,
        value_name = "URL",
        hide = true
    )]
    identity_service: Option<String>,

    /// Allow connections to name their own authority and Graph root (an administrator's decision; the
    /// simulator needs it)
    #[arg(
        long,
        global = true,
        env = "SYNCBRIDGE_ALLOW_CUSTOM_CLOUD",
        hide_env_values = true,
        help_heading = "Common options"
    )]
    pub(crate) allow_custom_cloud: bool,

    /// How long a writer lease holds without being renewed, in milliseconds
    #[arg(long, global = true, env = "SYNCBRIDGE_LEASE_TERM_MS", value_parser = clap::value_parser!(u64).range(200..=3_600_000), hide = true)]
    lease_term_ms: Option<u64>,

    /// Hours for which a saved plan may be approved and run
    #[arg(
        long,
        global = true,
        env = "SYNCBRIDGE_PLAN_HOURS",
        hide_env_values = true,
        value_name = "HOURS",
        default_value_t = 24,
        value_parser = clap::value_parser!(u64).range(1..=720),
        help_heading = "Common options"
    )]
    plan_hours: u64,

    /// What is logged, such as `info` or `warn,syncbridge_engine=debug`
    #[arg(
        long,
        global = true,
        env = "SYNCBRIDGE_LOG",
        hide_env_values = true,
        value_name = "FILTER",
        default_value = "warn",
        help_heading = "Common options"
    )]
    pub(crate) log: String,

    /// How log lines look
    #[arg(
        long,
        global = true,
        env = "SYNCBRIDGE_LOG_FORMAT",
        hide_env_values = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        help_heading = "Common options"
    )]
    log_format: Logs,
}

/// Variable in which a platform with workload identity names the file of its token.
pub(crate) const PLATFORM_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// Variable of the master key itself.
pub(crate) const MASTER_KEY: &str = "SYNCBRIDGE_MASTER_KEY";

impl Settings {
    pub(crate) fn start_logging(&self) -> anyhow::Result<()> {
        let format = match self.log_format {
            Logs::Auto => LogFormat::Auto,
            Logs::Text => LogFormat::Text,
            Logs::Json => LogFormat::Json,
        };
        syncbridge_telemetry::start(format, &self.log)
    }

    /// The meta-store, without looking at its schema.
    pub(crate) async fn meta_store(&self) -> anyhow::Result<MetaStore> {
        let url = self.database_url.clone().context(
            "no meta-store is named → set SYNCBRIDGE_DATABASE_URL or pass --database-url \
             postgres://user:password@host:port/database (`syncbridge dev` prints one to use)",
        )?;
        let options = ConnectOptions {
            application_name: "syncbridge cli".into(),
            ..ConnectOptions::default()
        };
        Ok(MetaStore::connect(&SecretString::from(url), options).await?)
    }

    /// Everything that is needed to do things.
    pub(crate) async fn operations(&self) -> anyhow::Result<Operations> {
        let store = self.meta_store().await?;
        store.check_schema().await?;
        self.operations_over(store)
    }

    pub(crate) fn operations_over(&self, store: MetaStore) -> anyhow::Result<Operations> {
        let value = std::env::var(MASTER_KEY).ok();
        let ring = Keyring::from_settings(MASTER_KEY, value.as_deref(), self.master_key_file.as_deref())?;
        let egress = EgressRules {
            allow_custom_cloud: self.allow_custom_cloud,
            // Plain HTTP never leaves this machine; it is what the simulator speaks.
            allow_insecure_loopback: self.allow_custom_cloud,
        };
        let lease_term = self.lease_term_ms.map(Duration::from_millis);
        let mut wiring = Wiring::new(store.clone(), egress, lease_term);
        if let Some(address) = &self.identity_service {
            wiring = wiring.with_identity_service(address)?;
        }
        let operations = Operations::new(store, ring, Arc::new(wiring), self.secrets_folder.clone());
        let operations = operations.with_plans_lasting(Duration::from_hours(self.plan_hours));
        Ok(operations.with_token_files(TokenFiles {
            of_platform: std::env::var_os(PLATFORM_TOKEN_FILE).map(PathBuf::from),
            folder: self.token_folder.clone(),
        }))
    }

    /// The person at this command line.
    pub(crate) fn actor() -> Actor {
        let user = std::env::var("USER")
            .or_else(|_| std::env::var("LOGNAME"))
            .unwrap_or_default();
        Actor::command_line(&user)
    }

    /// Settings for what `syncbridge dev` just started.
    pub(crate) fn for_dev(&self, database_url: String, master_key_file: PathBuf) -> Self {
        Self {
            database_url: Some(database_url),
            master_key_file: Some(master_key_file),
            allow_custom_cloud: true,
            ..self.clone()
        }
    }
}
