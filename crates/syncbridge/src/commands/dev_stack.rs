//! The private servers of `syncbridge dev`, and the documents that lead to them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use syncbridge_devstack::nats::{NatsOptions, Server};
use syncbridge_devstack::postgres::{Cluster, PostgresOptions};
use syncbridge_devstack::simulator::{GraphSim, Profile, SimOptions};
use syncbridge_devstack::{folders, sample};
use syncbridge_manifest::{Document, Located, Position};
use syncbridge_operations::Error;
use syncbridge_secrets::MasterKey;

use crate::cli::{DevArgs, SimProfile};

/// Application that the simulator knows.
const CLIENT_ID: &str = "11111111-2222-4333-8444-555555555555";
/// Its secret: the simulator runs on this machine and guards nothing.
const CLIENT_SECRET: &str = "simulated-secret";
/// Tenant that the simulator plays.
const TENANT: &str = "contoso.onmicrosoft.com";
/// Variable in the environment file that leads to the sample's tables; the URL holds a password, so it is not printed.
pub(crate) const SAMPLE_VARIABLE: &str = "SYNCBRIDGE_SAMPLE_URL";
const META: &str = "syncbridge";
const SAMPLE: &str = "company";

/// Everything that runs.
pub(crate) struct Stack {
    cluster: Cluster,
    nats: Server,
    simulator: GraphSim,
    folder: PathBuf,
}

/// Where a database is, as an `Instance` needs it.
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) dbname: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) tls: &'static str,
}

impl Stack {
    /// Starts all three. What they hold begins anew: the simulator keeps its lists in memory, and a ledger
    /// about lists that are gone would be of no use.
    pub(crate) async fn start(args: &DevArgs) -> anyhow::Result<Self> {
        let folder = folders::for_servers(&args.data)?;
        let cluster = Cluster::start(PostgresOptions {
            data: folder.join("postgres"),
            fast: true,
            ..Default::default()
        });
        let cluster = cluster.await?;
        let nats = Server::start(NatsOptions {
            data: folder.join("nats"),
            port: None,
        })
        .await?;
        let simulator = GraphSim::start(SimOptions {
            profile: match args.profile {
                SimProfile::Unlimited => Profile::Unlimited,
                SimProfile::Documented => Profile::Documented,
            },
            latency_ms: args.latency,
            clients: vec![(CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())],
            sites: vec!["Company".to_owned()],
            extra: vec![
                "--site-time-zone".to_owned(),
                args.time_zone(),
                "--tenant".to_owned(),
                TENANT.to_owned(),
            ],
            log: Some(folder.join("graph-sim.log")),
            ..Default::default()
        })
        .await?;
        cluster.recreate_database(META).await?;
        let stack = Self {
            cluster,
            nats,
            simulator,
            folder,
        };
        stack.write_master_key()?;
        Ok(stack)
    }

    pub(crate) fn database_url(&self) -> String {
        self.cluster.url(META)
    }

    pub(crate) fn sample_url(&self) -> String {
        self.cluster.url(SAMPLE)
    }

    pub(crate) fn nats_url(&self) -> String {
        self.nats.url()
    }

    pub(crate) fn simulator_url(&self) -> String {
        self.simulator.base_url()
    }

    pub(crate) fn master_key_file(&self) -> PathBuf {
        self.folder.join("master.key")
    }

    /// Makes the sample company anew.
    pub(crate) async fn load_sample(&self) -> anyhow::Result<u64> {
        self.cluster.recreate_database(SAMPLE).await?;
        let touched = sample::load(&self.sample_url()).await?;
        Ok(touched.iter().map(|step| step.rows).sum())
    }

    pub(crate) fn sample_endpoint(&self) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.cluster.port(),
            dbname: SAMPLE.to_owned(),
            user: syncbridge_devstack::postgres::SUPERUSER.to_owned(),
            password: self.cluster.password().to_owned(),
            tls: "disable",
        }
    }

    fn write_master_key(&self) -> anyhow::Result<()> {
        let file = self.master_key_file();
        let key = MasterKey::generate()?;
        write_private(&file, key.to_base64().as_str())
    }

    /// A file to `source`, so that every other command reaches this stack.
    pub(crate) fn write_environment(&self, shown: &Path) -> anyhow::Result<PathBuf> {
        let file = shown.join("env");
        let text = format!(
            "# source this: other syncbridge commands then use what `syncbridge dev` started\n\
             export SYNCBRIDGE_DATABASE_URL='{}'\n\
             export SYNCBRIDGE_MASTER_KEY_FILE='{}'\n\
             export SYNCBRIDGE_ALLOW_CUSTOM_CLOUD=true\n\
             export SYNCBRIDGE_NATS_URL='{}'\n\
             export {SAMPLE_VARIABLE}='{}'\n",
            self.database_url(),
            self.master_key_file().display(),
            self.nats_url(),
            self.sample_url(),
        );
        write_private(&file, &text)?;
        Ok(file)
    }

    /// Application, database, instance and connection of this stack.
    pub(crate) fn documents(&self, endpoint: &Endpoint) -> anyhow::Result<Vec<Located<Document>>> {
        let simulator = self.simulator_url();
        let documents = [
            json!({"apiVersion": "syncbridge/v1", "kind": "Application", "metadata": {"name": "company"},
                   "spec": {"owner": "Operations", "description": "Everything `syncbridge dev` runs."}}),
            json!({"apiVersion": "syncbridge/v1", "kind": "Database", "metadata": {"name": "company"},
                   "spec": {"application": "company", "description": "The system of record."}}),
            json!({"apiVersion": "syncbridge/v1", "kind": "Instance", "metadata": {"name": "company-primary"},
                   "spec": {"database": "company", "host": endpoint.host, "port": endpoint.port,
                            "dbname": endpoint.dbname, "user": endpoint.user,
                            "password": {"value": endpoint.password}, "tls": {"mode": endpoint.tls}}}),
            json!({"apiVersion": "syncbridge/v1", "kind": "Connection", "metadata": {"name": "contoso"},
                   "spec": {"tenant": TENANT, "clientId": CLIENT_ID,
                            "clientSecret": {"value": CLIENT_SECRET},
                            "custom": {"authority": simulator, "graphRoot": simulator}}}),
        ];
        documents
            .iter()
            .map(|json| {
                let value = Document::from_json("syncbridge dev", json).map_err(Error::Documents)?;
                Ok(Located {
                    value,
                    file: "syncbridge dev".to_owned(),
                    position: Position::START,
                })
            })
            .collect()
    }
}

impl DevArgs {
    /// The site's time zone: of the sample's definitions, or as asked.
    fn time_zone(&self) -> String {
        if self.source.is_some() {
            self.time_zone.clone()
        } else {
            "Europe/Berlin".to_owned()
        }
    }
}

fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let named = || format!("{} cannot be written", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(named)?;
    }
    // Made empty and closed to others before the secret goes in.
    fs::write(file, "").with_context(named)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).with_context(named)?;
    fs::write(file, text).with_context(named)
}
