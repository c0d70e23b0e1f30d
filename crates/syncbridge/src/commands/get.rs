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
                Output::Table | Output::Yaml => println!("{}", to_yaml([&found.document])?.trim_end()),
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
    if kind != Kind::SyncDefinition {
        return output::table(&["name"], all.iter().map(|one| vec![one.name.clone()]));
    }
    let rows = all.iter().map(|one| {
        let text = |path: &str| {
            one.document
                .pointer(path)
                .and_then(|v| v.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let mut row = vec![
            one.name.clone(),
            text("/spec/source/table"),
            text("/spec/target/list"),
        ];
        match &one.status {
            Some(status) => row.extend([
                status.live_rows.to_string(),
                status.dirty.to_string(),
                status.quarantined.to_string(),
                status.last_run.unwrap_or("never run").to_owned(),
                status.last_run_at.map(output::moment).unwrap_or_default(),
            ]),
            None => row.extend(std::iter::repeat_n(String::new(), 5)),
        }
        row
    });
    output::table(
        &[
            "name",
            "table",
            "list",
            "in step",
            "dirty",
            "quarantine",
            "last run",
            "ended",
        ],
        rows,
    )
}
