//! `syncbridge get` and `syncbridge list`.

use anyhow::Context as _;
use syncbridge_manifest::{Kind, to_yaml};
use syncbridge_operations::Shown;

use crate::exit::Exit;
use crate::output;
use crate::settings::{Output, Settings};

pub(crate) fn no_such_kind(word: &str) -> String {
    format!("`{word}` is no kind → one of application, database, instance, connection, definition")
}

pub(crate) async fn get(settings: &Settings, kind: &str, name: Option<&str>) -> anyhow::Result<Exit> {
    let kind = Kind::parse(kind).with_context(|| no_such_kind(kind))?;
    let operations = settings.operations().await?;
    match name {
        Some(name) => {
            let found = operations.get(kind, name).await?;
            match settings.output {
                Output::Json => output::show(Output::Json, &found.document.to_json(), String::new)?,
                // A document is most readable as what a person would write.
                Output::Table | Output::Yaml => {
                    // A comment, so that what is shown can be applied as it is.
                    if let Some(zone) = &found.learnt_time_zone {
                        output::say(&format!(
                            "# time zone of the site, learnt from the list: {zone}\n"
                        ))?;
                    }
                    output::say(&format!("{}\n", to_yaml([&found.document])?.trim_end()))?;
                }
            }
        }
        None => {
            let all = operations.list(kind).await?;
            output::show(settings.output, &all, || table(kind, &all))?;
        }
    }
    Ok(Exit::Done)
}

fn table(kind: Kind, all: &[Shown]) -> String {
    if all.is_empty() {
        return format!("there is no {kind} yet → apply one with `syncbridge apply -f FILE`");
    }
    match kind {
        Kind::SyncDefinition => definitions(all),
        Kind::Application => columns(
            all,
            &[("owner", "/spec/owner"), ("description", "/spec/description")],
        ),
        Kind::Database => columns(
            all,
            &[
                ("application", "/spec/application"),
                ("description", "/spec/description"),
            ],
        ),
        Kind::Instance => columns(
            all,
            &[
                ("database", "/spec/database"),
                ("host", "/spec/host"),
                ("port", "/spec/port"),
                ("dbname", "/spec/dbname"),
                ("role", "/spec/role"),
            ],
        ),
        Kind::Connection => connections(all),
    }
}

/// A table of some keys of each document.
fn columns(all: &[Shown], keys: &[(&str, &str)]) -> String {
    let headings: Vec<&str> = std::iter::once("name")
        .chain(keys.iter().map(|(heading, _)| *heading))
        .collect();
    let rows = all.iter().map(|one| {
        std::iter::once(one.name.clone())
            .chain(keys.iter().map(|(_, path)| text(one, path)))
            .collect()
    });
    output::table(&headings, rows)
}

fn connections(all: &[Shown]) -> String {
    let rows = all.iter().map(|one| {
        let cloud = match text(one, "/spec/cloud") {
            cloud if cloud.is_empty() => text(one, "/spec/custom/graphRoot"),
            cloud => cloud,
        };
        vec![
            one.name.clone(),
            text(one, "/spec/tenant"),
            text(one, "/spec/clientId"),
            cloud,
        ]
    });
    output::table(&["name", "tenant", "client id", "cloud"], rows)
}

fn text(one: &Shown, path: &str) -> String {
    match one.document.pointer(path) {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn definitions(all: &[Shown]) -> String {
    let now = chrono::Utc::now();
    let rows = all.iter().map(|one| {
        let mut row = vec![
            one.name.clone(),
            text(one, "/spec/source/table"),
            text(one, "/spec/target/list"),
        ];
        row.extend(match &one.status {
            Some(status) => [
                status.live_rows.to_string(),
                status.dirty.to_string(),
                status.quarantined.to_string(),
                match (status.last_run, status.last_run_at) {
                    (Some(state), Some(at)) => format!("{state} {}", output::ago(at, now)),
                    _ => "never".to_owned(),
                },
                status
                    .last_sweep
                    .map_or_else(|| "never".to_owned(), |at| output::ago(at, now)),
            ],
            None => Default::default(),
        });
        row
    });
    output::table(
        &[
            "name", "table", "list", "items", "waiting", "refused", "last run", "compared",
        ],
        rows,
    )
}
