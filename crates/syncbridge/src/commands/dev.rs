//! `syncbridge dev`: everything on one machine.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::run::{RunKind, RunOptions, RunState};
use syncbridge_manifest::{Document, Located, Position, parse_all};
use syncbridge_operations::{Error, Operations, RunReport};
use syncbridge_worker::{SourceAccess, TlsMode};

use crate::cli::DevArgs;
use crate::commands::dev_demo;
use crate::commands::dev_stack::{Endpoint, SAMPLE_VARIABLE, Stack};
use crate::commands::{run, verdict};
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

/// The sample's definitions, as a person would write them.
const DEFINITIONS: [(&str, &str); 4] = [
    (
        "docs/examples/people.yaml",
        include_str!("../../../../docs/examples/people.yaml"),
    ),
    (
        "docs/examples/projects.yaml",
        include_str!("../../../../docs/examples/projects.yaml"),
    ),
    (
        "docs/examples/contracts.yaml",
        include_str!("../../../../docs/examples/contracts.yaml"),
    ),
    (
        "docs/examples/tasks.yaml",
        include_str!("../../../../docs/examples/tasks.yaml"),
    ),
];

pub(crate) async fn dev(settings: &Settings, args: &DevArgs) -> anyhow::Result<Exit> {
    let own = match (&args.source, &args.table) {
        (Some(url), Some(table)) => Some(OwnTable::parse(url, table)?),
        _ => None,
    };
    eprintln!("starting a private PostgreSQL, NATS and Graph simulator …");
    let stack = Stack::start(args).await?;
    let settings = settings.for_dev(stack.database_url(), stack.master_key_file());
    let store = settings.meta_store().await?;
    store.migrate().await?;
    store.ensure_partitions().await?;
    let operations = settings.operations_over(store)?;
    let environment = stack.write_environment(&args.data)?;
    let (names, given) = match &own {
        Some(own) => own.documents(&stack, args)?,
        None => {
            let rows = stack.load_sample().await?;
            eprintln!("the sample company is loaded: {rows} rows in 4 tables");
            sample(&stack)?
        }
    };
    operations.apply(&Settings::actor(), &given).await?;
    let exit = if args.demo {
        dev_demo::demo(&operations, &stack, &names).await?
    } else {
        first_sync(&operations, &names).await?
    };
    if args.exit {
        return Ok(exit);
    }
    say_what_is_up(&stack, &environment, &names, args)?;
    stay_up(&operations, &names, Duration::from_secs(args.every)).await?;
    Ok(exit)
}

fn sample(stack: &Stack) -> anyhow::Result<(Vec<String>, Vec<Located<Document>>)> {
    let mut given = stack.documents(&stack.sample_endpoint())?;
    let definitions = parse_all(DEFINITIONS).map_err(Error::Documents)?;
    let names = definitions
        .iter()
        .map(|located| located.value.name.as_str().to_owned())
        .collect();
    given.extend(definitions);
    Ok((names, given))
}

/// A table of the person's own, understood before anything is started.
struct OwnTable {
    endpoint: Endpoint,
    table: String,
    list: String,
}

impl OwnTable {
    fn parse(url: &str, table: &str) -> anyhow::Result<Self> {
        let access = SourceAccess::parse_url(url).map_err(Error::from)?;
        let (_, list) = table.split_once('.').with_context(|| {
            format!("`{table}` names no schema → write schema.table, such as public.{table}")
        })?;
        Ok(Self {
            endpoint: Endpoint {
                host: access.host.clone(),
                port: access.port,
                dbname: access.dbname.clone(),
                user: access.user.clone(),
                password: secrecy::ExposeSecret::expose_secret(&access.password).to_owned(),
                tls: match access.tls {
                    TlsMode::Disable => "disable",
                    TlsMode::Require => "require",
                    TlsMode::VerifyFull { .. } => "verify-full",
                },
            },
            table: table.to_owned(),
            list: list.to_owned(),
        })
    }

    fn documents(
        &self,
        stack: &Stack,
        args: &DevArgs,
    ) -> anyhow::Result<(Vec<String>, Vec<Located<Document>>)> {
        let name = definition_name(&self.list);
        let mut source = json!({ "table": self.table });
        if let Some(watermark) = &args.watermark {
            source["feed"] = json!("watermark");
            source["watermark"] = json!(watermark);
        }
        let definition = json!({
            "apiVersion": "syncbridge/v1", "kind": "SyncDefinition", "metadata": { "name": name },
            "spec": {
                "database": "company", "connection": "contoso", "source": source, "onDelete": "propagate",
                "target": { "site": "contoso.sharepoint.com:/sites/Company", "list": self.list,
                            "timeZone": args.time_zone },
            },
        });
        let value = Document::from_json("--table", &definition).map_err(Error::Documents)?;
        let mut given = stack.documents(&self.endpoint)?;
        given.push(Located {
            value,
            file: "--table".to_owned(),
            position: Position::START,
        });
        Ok((vec![name], given))
    }
}

/// A table's name as the name of a definition: lower-case letters, digits and hyphens.
fn definition_name(table: &str) -> String {
    let mut name = String::new();
    for c in table.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    let name: String = name.chars().take(60).collect();
    let name = name.trim_matches('-');
    if name.is_empty() {
        "table".to_owned()
    } else {
        name.to_owned()
    }
}

async fn first_sync(operations: &Operations, names: &[String]) -> anyhow::Result<Exit> {
    let mut worst = Exit::Done;
    for name in names {
        let report = run::once(operations, name, RunKind::Push, RunOptions::default(), false).await?;
        output::say(&verdict::brief(&report))?;
        if report.outcome.state != RunState::Completed {
            worst = Exit::of_run(report.outcome.state);
        }
    }
    Ok(worst)
}

fn say_what_is_up(
    stack: &Stack,
    environment: &std::path::Path,
    names: &[String],
    args: &DevArgs,
) -> anyhow::Result<()> {
    let first = names.first().map_or("NAME", String::as_str);
    let program = program();
    let sample = match args.source {
        None => format!("  psql \"${SAMPLE_VARIABLE}\"\n"),
        Some(_) => String::new(),
    };
    output::say(&format!(
        "\nUp and running. Look at the lists in a browser:\n  {}\n\
         In another terminal, for all other commands:\n  source {}\n{sample}  {program} list definitions\n  \
         {program} verify {first}\n\
         Change a row by SQL and look at its list: changes follow every {} s. Ctrl-C ends everything.\n",
        stack.simulator_url(),
        environment.display(),
        args.every
    ))
}

/// This program as the person called it.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "syncbridge".to_owned())
}

/// Runs every definition again and again; says only what happened.
async fn stay_up(operations: &Operations, names: &[String], every: Duration) -> anyhow::Result<()> {
    let mut end = std::pin::pin!(ended());
    // A failure that stays, such as a database that is down, is said once and not every few seconds.
    let mut said = BTreeMap::new();
    loop {
        tokio::select! {
            () = &mut end => {
                eprintln!("stopping …");
                return Ok(());
            }
            () = tokio::time::sleep(every) => {}
        }
        for name in names {
            let report = run::once(operations, name, RunKind::Push, RunOptions::default(), true).await;
            let (text, failure) = match &report {
                Ok(report) => (news(report), report.outcome.failure.clone()),
                Err(error) => (Some(format!("{name}: {error:#}\n")), failure_of(error)),
            };
            let code = failure.map(|failure| failure.code);
            if let Some(text) = text
                && (code.is_none() || said.get(name) != Some(&code))
            {
                output::say(&text)?;
            }
            said.insert(name, code);
        }
    }
}

fn failure_of(error: &anyhow::Error) -> Option<Failure> {
    match error.downcast_ref::<Error>() {
        Some(Error::Failure(failure)) => Some((**failure).clone()),
        _ => None,
    }
}

/// What a run has to tell, if anything.
fn news(report: &RunReport) -> Option<String> {
    let counters = &report.outcome.counters;
    let happened =
        counters.created + counters.patched + counters.deleted + counters.quarantined + counters.parked > 0;
    (happened || report.outcome.failure.is_some()).then(|| verdict::brief(report))
}

/// Ctrl-C or a polite request to end.
async fn ended() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}
