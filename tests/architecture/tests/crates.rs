//! Which crate may know which (DESIGN §4): every dependency between our crates is listed here, and nothing that
//! is not listed exists.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value as Json;

/// A crate of ours and the ones it may use, from the top down.
const MAY_USE: [(&str, &[&str]); 18] = [
    (
        "syncbridge",
        &[
            "devstack",
            "domain",
            "engine",
            "manifest",
            "meta-store",
            "operations",
            "secrets",
            "telemetry",
            "worker",
        ],
    ),
    ("bench", &["devstack", "end-to-end", "graph-sim"]),
    ("operations", &["domain", "manifest", "meta-store", "secrets"]),
    (
        "worker",
        &[
            "domain",
            "engine",
            "manifest",
            "meta-store",
            "secrets",
            "source-postgres",
            "target-graph",
        ],
    ),
    ("engine", &["domain"]),
    ("source-postgres", &["domain"]),
    ("target-graph", &["domain"]),
    ("meta-store", &["domain", "secrets"]),
    ("manifest", &["domain"]),
    ("secrets", &[]),
    ("domain", &[]),
    ("telemetry", &[]),
    ("devstack", &[]),
    ("graph-sim", &[]),
    ("contract", &["domain", "engine"]),
    ("end-to-end", &["devstack"]),
    ("simulation", &["domain", "engine", "graph-sim", "target-graph"]),
    ("architecture", &[]),
];

/// Packages that a pure or ported crate must not reach directly: what they stand for is a port there.
const FORBIDDEN: [(&str, &[&str]); 4] = [
    ("domain", &["tokio", "sqlx", "reqwest", "hyper", "axum"]),
    ("engine", &["tokio", "sqlx", "reqwest", "hyper", "axum"]),
    ("operations", &["reqwest", "hyper"]),
    ("graph-sim", &["sqlx", "reqwest"]),
];

struct Package {
    /// Direct dependencies of the product (no dev-dependencies).
    normal: BTreeSet<String>,
    publish: bool,
}

fn metadata() -> Json {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo metadata starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn short(name: &str) -> String {
    name.strip_prefix("syncbridge-").unwrap_or(name).to_owned()
}

fn packages() -> BTreeMap<String, Package> {
    let found = metadata();
    let packages = found["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let normal = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            let publish = package["publish"] != Json::Array(Vec::new());
            (
                short(package["name"].as_str().unwrap()),
                Package { normal, publish },
            )
        })
        .collect()
}

#[test]
fn our_crates_use_each_other_only_downwards_and_only_as_listed() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    for (name, package) in packages() {
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("crate `{name}` is not listed here"));
        for used in package
            .normal
            .iter()
            .filter(|used| used.starts_with("syncbridge-"))
        {
            let used = short(used);
            assert!(allowed.contains(&used.as_str()), "`{name}` must not use `{used}`");
        }
    }
}

#[test]
fn the_list_of_crates_has_no_circle() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    fn depth<'a>(name: &'a str, allowed: &BTreeMap<&'a str, &'a [&'a str]>, path: &mut Vec<&'a str>) {
        assert!(!path.contains(&name), "circle: {path:?} → {name}");
        path.push(name);
        for used in allowed[name] {
            depth(used, allowed, path);
        }
        path.pop();
    }
    for (name, _) in MAY_USE {
        depth(name, &allowed, &mut Vec::new());
    }
}

#[test]
fn the_product_links_nothing_of_the_simulator() {
    let packages = packages();
    let mut seen = BTreeSet::new();
    let mut next = vec!["syncbridge".to_owned()];
    while let Some(name) = next.pop() {
        assert_ne!(
            name, "graph-sim",
            "the product reaches the simulator through {seen:?}"
        );
        if !seen.insert(name.clone()) {
            continue;
        }
        let used = packages[&name]
            .normal
            .iter()
            .filter(|used| used.starts_with("syncbridge-"));
        next.extend(used.map(|used| short(used)));
    }
    assert!(seen.contains("engine"), "the walk went nowhere: {seen:?}");
}

#[test]
fn pure_crates_reach_no_runtime_database_or_network() {
    let packages = packages();
    for (name, forbidden) in FORBIDDEN {
        for package in forbidden {
            assert!(
                !packages[name].normal.contains(*package),
                "`{name}` must not use `{package}`"
            );
        }
    }
}

#[test]
fn nothing_of_ours_is_published_by_accident() {
    for (name, package) in packages() {
        assert!(!package.publish, "`{name}` lacks `publish = false`");
    }
}
