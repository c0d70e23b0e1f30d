//! The documentation is held against the program: command line, environment, error codes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Cli;

/// Quoted words of the form `a.b` in the sources that are no codes of failures.
const NOT_CODES: [&str; 17] = [
    // Names under which columns are sealed.
    "conflicts.sealed_source",
    "conflicts.sealed_target",
    "definitions.data_key",
    "effects.sealed_before",
    "effects.sealed_sent",
    "effects.sent",
    "hash_keys.sealed",
    "plan_rows.sealed_values",
    "secrets.sealed",
    // Keys of documents.
    "spec.application",
    "spec.connection",
    "spec.database",
    "spec.password",
    // Files, hosts, SQL.
    "db.example",
    "master.key",
    "t.yaml",
    "u.k",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// Product sources by path, each up to its unit tests.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // These two speak to developers, in sentences instead of codes.
                if !["tests", "graph-sim", "devstack", "bench"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") && !name.ends_with("_tests.rs") && name != "documentation.rs" {
                let text = fs::read_to_string(&path).unwrap();
                let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                found.insert(path, product.to_owned());
            }
        }
    }
    assert!(found.len() > 100, "{} sources", found.len());
    found
}

/// Whether a word looks like a code: `family.kind` in small letters and underscores.
fn is_code(word: &str) -> bool {
    let part = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    word.split_once('.')
        .is_some_and(|(family, kind)| part(family) && part(kind) && kind != "rs")
}

/// Words between two of these marks in a line.
fn words(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(move |line| line.split(mark).skip(1).step_by(2))
}

fn codes_in_sources() -> BTreeSet<String> {
    let all: BTreeSet<String> = sources()
        .values()
        .flat_map(|text| {
            // Any two quotes: what lies between two literals holds blanks and is no code.
            text.lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| line.split('"'))
                .filter(|word| is_code(word))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    all.into_iter()
        .filter(|word| !NOT_CODES.contains(&word.as_str()))
        .collect()
}

fn codes_in_pages() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("docs/errors")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        // An entry is a row of a table, or a heading; a mention in a sentence is none.
        let entries = text.lines().filter_map(|line| match line.strip_prefix("| ") {
            Some(row) => row.split(" | ").next(),
            None => line.strip_prefix("## "),
        });
        for entry in entries {
            found.extend(words(entry, '`').filter(|word| is_code(word)).map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_code_of_a_failure_has_an_entry_and_every_entry_a_code() {
    let (sources, pages) = (codes_in_sources(), codes_in_pages());
    assert!(sources.len() > 80, "{} codes", sources.len());
    let missing: Vec<&String> = sources.difference(&pages).collect();
    assert!(missing.is_empty(), "docs/errors has no entry for {missing:?}");
    let stale: Vec<&String> = pages.difference(&sources).collect();
    assert!(
        stale.is_empty(),
        "docs/errors explains {stale:?}, which nothing says"
    );
}

#[test]
fn every_family_of_codes_is_in_the_table_of_families() {
    let table = page("errors/README.md");
    for code in codes_in_sources() {
        let family = code.split('.').next().unwrap();
        assert!(
            table.contains(&format!("`{family}.*`")),
            "docs/errors/README.md does not name `{family}.*`"
        );
    }
}

#[test]
fn every_command_and_option_is_in_the_command_line_page() {
    let page = page("cli.md");
    let code: BTreeSet<&str> = words(&page, '`').collect();
    // An option may stand with its value, and a command with its arguments or inside an example.
    let option = |long: &str| {
        code.iter()
            .any(|span| span.split([' ', '=']).next() == Some(long))
    };
    let mut seen = 0;
    let mut commands = vec![(String::new(), Cli::command())];
    while let Some((path, command)) = commands.pop() {
        let mut arguments: Vec<&Arg> = command.get_arguments().collect();
        arguments.retain(|argument| !argument.is_hide_set());
        for argument in arguments {
            if let Some(long) = argument.get_long() {
                seen += 1;
                let long = format!("--{long}");
                assert!(
                    option(&long) || page.contains(&format!("# {long} is the long form")),
                    "docs/cli.md does not explain {long} of `{path}`"
                );
            }
        }
        for inner in command.get_subcommands() {
            let name = format!("{path} {}", inner.get_name()).trim().to_owned();
            if !inner.has_subcommands() {
                let heading =
                    |line: &&str| line.starts_with("### ") && words(line, '`').any(|word| word == name);
                assert!(
                    page.lines().any(|line| heading(&line)),
                    "docs/cli.md has no section for `{name}`"
                );
                assert!(
                    page.contains(&format!("syncbridge {name}")),
                    "docs/cli.md has no example of `{name}`"
                );
            }
            commands.push((name, inner.clone()));
        }
    }
    assert!(seen > 20, "{seen} options");
}

#[test]
fn every_option_and_command_that_the_page_names_exists() {
    let page = page("cli.md");
    let mut known: BTreeSet<String> = ["--help".into(), "--version".into()].into();
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        known.extend(
            command
                .get_arguments()
                .filter_map(Arg::get_long)
                .map(|long| format!("--{long}")),
        );
        commands.extend(command.get_subcommands().cloned());
    }
    let named = page
        .split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
        .filter(|word| word.len() > 3 && word.starts_with("--") && word.as_bytes()[2].is_ascii_lowercase());
    let stale: BTreeSet<&str> = named.filter(|word| !known.contains(*word)).collect();
    assert!(
        stale.is_empty(),
        "docs/cli.md names {stale:?}, which does not exist"
    );
}

#[test]
fn every_variable_of_the_environment_is_in_the_configuration_page() {
    let page = page("configuration.md");
    let documented: BTreeSet<&str> = words(&page, '`').collect();
    let of_options = |command: &Command| {
        command
            .get_arguments()
            .filter_map(|argument| argument.get_env().map(|name| name.to_string_lossy().into_owned()))
            .collect::<Vec<_>>()
    };
    let mut read: BTreeSet<String> = of_options(&Cli::command()).into_iter().collect();
    for text in sources().values() {
        // Also in sentences: what a message tells people to set must be explained.
        let names = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        read.extend(
            names
                .filter(|word| word.starts_with("SYNCBRIDGE_"))
                .map(str::to_owned),
        );
    }
    assert!(read.len() > 8, "{read:?}");
    let missing: Vec<&String> = read
        .iter()
        .filter(|name| !documented.contains(name.as_str()))
        .filter(|name| {
            !(name.starts_with("SYNCBRIDGE_SECRET_") && documented.contains("SYNCBRIDGE_SECRET_…"))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "docs/configuration.md does not explain {missing:?}"
    );
}
