//! The simulator as a program.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use chrono_tz::Tz;
use clap::{Parser, ValueEnum};
use syncbridge_graph_sim::record::Record;
use syncbridge_graph_sim::server::Server;
use syncbridge_graph_sim::tls::Tls;
use syncbridge_graph_sim::{
    Behaviour, Client, ClientCertificate, FaultRule, FederatedCredential, Options, Profile, QuotaModel,
    Tenant,
};
use tokio::signal::unix::{SignalKind, signal};

/// Whether quotas are enforced.
#[derive(Clone, Copy, ValueEnum)]
enum ProfileName {
    /// Count resource units, never throttle.
    Unlimited,
    /// The documented limits of --licenses.
    Documented,
}

/// How quotas are measured.
#[derive(Clone, Copy, ValueEnum)]
enum QuotaName {
    /// Windows aligned to the clock.
    Fixed,
    /// The last minute, day, five minutes.
    Sliding,
    /// A bucket that refills evenly.
    Bucket,
}

const FAULT_HELP: &str = "\
FAULTS
  --fault KIND[,KEY=VALUE]...   or   --fault '{\"kind\": …}' (JSON); may be repeated, the first rule that strikes wins.

  kinds
    lost_answer          takes effect, then the connection is cut (status=504: is answered with that instead;
                         inside a batch always a status)
    lost_before          the connection is cut before it takes effect (inside a batch: 504)
    server_error         status=500|502|503|504 body=json|html|empty applied=true|false retry_after=…
    throttle             429 (status=503) retry_after=SECONDS (also 0.249) | date:SECONDS | missing
    refuse               400: status=… code=… message=…
    hang                 millis=N; applied=true: takes effect, then waits; else waits, then takes effect
    new_list_not_found   millis=N: lists younger than this answer 404
    precondition         412 without cause
    resync               delta tokens answer 410 (without_location=true: without the Location header)
    delta_duplicate      an older copy of each item comes first in a page of changes
    unauthorized         401, as for an expired token

  which requests
    on=a|b               create patch delete item_get items versions delta list_get lists list_create list_update
                         list_delete column_get columns column_create column_update column_delete site batch token;
                         groups any, read, write; methods GET POST PATCH DELETE. Default: all but batch and token.
    list=NAME|ID         one list
    field=F              items with a value in F; with equals=V, in=V|W or one_in=N (chosen by a hash of the value)

  how often
    probability=P  every=N  after=N  times=N

EXAMPLES
  graph-sim --listen 127.0.0.1:8700 --client demo:secret --site demo
  graph-sim --profile documented --quota sliding --fault throttle,on=batch,probability=0.05,retry_after=0.249
  graph-sim --listen 127.0.0.1:8443 --tls --tls-folder trusted
  graph-sim --fault lost_answer,on=create,every=20 --fault 'refuse,on=create|patch,field=SyncBridgeKey,one_in=100'
";

/// Simulates Microsoft Graph for SharePoint lists: Graph at /v1.0, tokens at /{tenant}/oauth2/v2.0/token, controls
/// at /_sim/, a page for people at /. Holds everything in memory, and in a file with --state.
#[derive(Parser)]
#[command(name = "graph-sim", version, after_long_help = FAULT_HELP)]
struct Arguments {
    /// Address and port; port 0 takes a free one. The line "listening on http://ADDR" tells when it is ready.
    #[arg(long, default_value = "127.0.0.1:8700", value_name = "ADDR")]
    listen: SocketAddr,
    /// Serve HTTPS (HTTP/1.1 and HTTP/2) with a certificate of an authority of its own, for graph.microsoft.com,
    /// login.microsoftonline.com, the host name of the sites, localhost and 127.0.0.1. The line that tells when it is
    /// ready then begins "listening on https://".
    #[arg(long)]
    tls: bool,
    /// Where ca.pem, the certificate that clients are to trust, is kept from one start to the next.
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "graph-sim-tls",
        requires = "tls"
    )]
    tls_folder: PathBuf,
    /// A further host name or address of the certificate; may be repeated.
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Vec<String>,
    /// Writes every exchange with its bodies into this file, one JSON object a line. For tests: bodies hold what
    /// people wrote into lists.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Whether quotas are enforced.
    #[arg(long, value_enum, default_value = "unlimited")]
    profile: ProfileName,
    /// How quotas are measured.
    #[arg(long, value_enum, default_value = "fixed")]
    quota: QuotaName,
    /// Bought licences: they set the limits.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    licenses: u64,
    /// Milliseconds each request takes; a batch takes them per request it holds, four at a time.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency: u64,
    /// Decides ids, orders and which faults strike.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// A fault rule; see FAULTS in --help.
    #[arg(long, value_name = "SPEC", value_parser = FaultRule::parse)]
    fault: Vec<FaultRule>,
    /// A site below /sites/; may be repeated. The root site always exists.
    #[arg(long, value_name = "NAME", default_values_t = ["demo".to_owned()])]
    site: Vec<String>,
    /// Time zone of the sites, such as Europe/Berlin: date-only values are its midnights.
    #[arg(long, value_name = "TZ", default_value = "UTC")]
    site_time_zone: Tz,
    /// The directory's name in token URLs.
    #[arg(long, value_name = "NAME", default_value = "contoso")]
    tenant: String,
    /// Host name of the sites.
    #[arg(long, value_name = "HOST", default_value = "contoso.sharepoint.com")]
    hostname: String,
    /// An application and its secret; may be repeated.
    #[arg(long, value_name = "ID:SECRET", value_parser = client, default_values = ["sim-client:sim-secret"])]
    client: Vec<Client>,
    /// A certificate an application signs assertions with, in PEM form; may be repeated, also for one application.
    #[arg(long, value_name = "ID=FILE", value_parser = ClientCertificate::parse)]
    client_certificate: Vec<ClientCertificate>,
    /// Another issuer whose tokens an application accepts in place of a secret: client=ID,issuer=URL,subject=TEXT,
    /// key=FILE[,audience=TEXT]. The file holds the issuer's public key in PEM form. May be repeated.
    #[arg(long, value_name = "SPEC", value_parser = FederatedCredential::parse)]
    federated_credential: Vec<FederatedCredential>,
    /// Client id of an identity of the machine: /metadata/identity/oauth2/token gives tokens for it; may be repeated.
    #[arg(long, value_name = "ID")]
    managed_identity: Vec<String>,
    /// Behaviours without good evidence, as a JSON object with the names of the library's `Behaviour`, such as
    /// {"duplicate": [400, "invalidRequest"], "versions_kept": 0}.
    #[arg(long, value_name = "JSON", value_parser = Behaviour::parse, default_value = "{}")]
    behaviour: Behaviour,
    /// A file that keeps the tenant: read at the start where it exists, written at a clean stop and on
    /// POST /_sim/state/save. Access tokens, fault rules and recent requests are not kept.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Life of a token in seconds.
    #[arg(long, default_value_t = 3_599, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    token_seconds: i64,
}

fn client(text: &str) -> Result<Client, String> {
    match text.split_once(':') {
        Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok(Client {
            id: id.to_owned(),
            secret: secret.to_owned(),
        }),
        _ => Err("write it as ID:SECRET".to_owned()),
    }
}

impl Arguments {
    /// The TLS that was asked for.
    fn prepare_tls(&self) -> anyhow::Result<Option<Tls>> {
        if !self.tls {
            return Ok(None);
        }
        let mut names = self.tls_name.clone();
        names.push(self.hostname.clone());
        let tls = Tls::prepare(&self.tls_folder, &names, Utc::now()).map_err(anyhow::Error::msg)?;
        Ok(Some(tls))
    }

    fn options(self) -> Options {
        Options {
            seed: self.seed,
            tenant: self.tenant,
            hostname: self.hostname,
            sites: self.site,
            time_zone: self.site_time_zone,
            clients: self.client,
            certificates: self.client_certificate,
            federated: self.federated_credential,
            managed_identities: self.managed_identity,
            secure: self.tls,
            profile: match self.profile {
                ProfileName::Unlimited => Profile::Unlimited,
                ProfileName::Documented => Profile::Documented,
            },
            quota: match self.quota {
                QuotaName::Fixed => QuotaModel::Fixed,
                QuotaName::Sliding => QuotaModel::Sliding,
                QuotaName::Bucket => QuotaModel::Bucket,
            },
            licenses: self.licenses,
            latency: Duration::from_millis(self.latency),
            token_seconds: self.token_seconds,
            faults: self.fault,
            behaviour: self.behaviour,
            ..Options::default()
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let listen = arguments.listen;
    let state = arguments.state.clone();
    let tls = arguments.prepare_tls()?;
    let record = match &arguments.record {
        Some(file) => Some(Record::begin(file).with_context(|| format!("cannot write {}", file.display()))?),
        None => None,
    };
    let options = arguments.options();
    let tenant = match state {
        Some(path) => syncbridge_graph_sim::state_file::open(&path, options)?,
        None => Tenant::new(options).map_err(anyhow::Error::msg)?,
    };
    // The signals are caught before anybody is told that the program is ready.
    let mut terminate = signal(SignalKind::terminate()).context("catching SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("catching SIGINT")?;
    let mut server = Server::bind(listen, tenant)
        .await
        .with_context(|| format!("cannot listen at {listen}: choose another address with --listen"))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let Some(tls) = tls {
        writeln!(std::io::stderr(), "trust {}", tls.authority().display())?;
        server = server.with_tls(tls);
    }
    if let Some(record) = record {
        server = server.with_record(record);
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {scheme}://{}", server.address()?)?;
    stdout.flush()?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.serve(stop).await.context("serving")
}
