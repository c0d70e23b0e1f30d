//! What a reader may rely on about files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines at most; longer files hold more than one subject.
const LONGEST: usize = 800;
/// Names that say nothing.
const NAMELESS: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "misc", "types"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the workspace")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') && name != "node_modules" {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    for folder in ["crates", "tests"] {
        sources(&root.join(folder), &mut found);
    }
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable source");
            (
                path.strip_prefix(&root)
                    .expect("below the root")
                    .display()
                    .to_string(),
                text,
            )
        })
        .collect()
}

#[test]
fn no_file_is_longer_than_a_subject_needs() {
    let long: Vec<String> = all()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LONGEST)
        .map(|(path, text)| format!("{path}: {}", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_module_is_named_for_nothing() {
    for (path, _) in all() {
        let stem = Path::new(&path)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let folder = Path::new(&path)
            .parent()
            .and_then(|p| p.file_name())
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        assert!(!NAMELESS.contains(&stem) && !NAMELESS.contains(&folder), "{path}");
    }
}

#[test]
fn sql_stands_only_where_it_belongs() {
    let allowed = [
        "crates/meta-store/",
        "crates/source-postgres/",
        "crates/devstack/",
        "tests/",
        "crates/bench/",
    ];
    for (path, text) in all() {
        if allowed.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        for statement in ["sqlx::query", "AssertSqlSafe", "raw_sql"] {
            assert!(!text.contains(statement), "{path} speaks SQL: {statement}");
        }
    }
}

#[test]
fn engine_and_graph_client_iterate_no_hash_maps() {
    for file in ["crates/engine/src/lib.rs", "crates/target-graph/src/lib.rs"] {
        let text = fs::read_to_string(root().join(file)).expect("readable source");
        assert!(text.contains("#![deny(clippy::iter_over_hash_type)]"), "{file}");
    }
    for (path, text) in all() {
        let ours = [
            "crates/engine/src/",
            "crates/target-graph/src/",
            "crates/domain/src/",
        ];
        if ours.iter().any(|folder| path.starts_with(folder)) {
            assert!(
                !text.contains("HashMap") && !text.contains("HashSet"),
                "{path}: order must follow from the data"
            );
        }
    }
}

#[test]
fn migrations_are_numbered_without_gaps_and_never_drop() {
    let mut names: Vec<String> = fs::read_dir(root().join("migrations"))
        .expect("migrations")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".sql"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for (at, name) in names.iter().enumerate() {
        assert!(
            name.starts_with(&format!("{:04}_", at + 1)),
            "{name} is not number {}",
            at + 1
        );
        let text = fs::read_to_string(root().join("migrations").join(name))
            .expect("readable SQL")
            .to_lowercase();
        for word in ["drop table", "drop column", "rename column"] {
            assert!(
                !text.contains(word),
                "{name}: {word}: N and N-1 run together; expand first, contract a release later"
            );
        }
    }
}

/// The names of the mistakes that a text builds in.
fn built_in(text: &str) -> BTreeSet<&str> {
    let behind = text.split("sabotaged!(").skip(1);
    behind
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .collect()
}

#[test]
fn c_02_every_mistake_that_is_built_in_is_drilled_and_no_other() {
    let files = all();
    let (drills, others): (Vec<_>, Vec<_>) = files
        .iter()
        .partition(|(path, _)| path == "tests/simulation/src/drill.rs");
    let listed: BTreeSet<&str> = drills
        .iter()
        .filter_map(|(_, text)| {
            text.split("MISTAKES: &[(&str, u64)] = &[")
                .nth(1)?
                .split("];")
                .next()
        })
        .flat_map(|list| list.split('"').skip(1).step_by(2))
        .collect();
    let code = others
        .iter()
        .filter(|(path, _)| !path.starts_with("tests/architecture/"));
    let built_in: BTreeSet<&str> = code.flat_map(|(_, text)| built_in(text)).collect();
    assert_eq!(listed, built_in);
    assert!(listed.len() >= 25, "only {} mistakes are drilled", listed.len());
}
