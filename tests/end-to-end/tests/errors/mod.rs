//! What goes wrong is said clearly, with the next step, and leaves nothing half-written.

mod documents;
mod meta_store;
mod sides;

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{Ran, World, Writes};

/// Where the documents that a test spoils begin.
const INSTANCE: usize = 2;
const CONNECTION: usize = 3;
const DEFINITION: usize = 4;

/// One mistake: what is spoilt, and what the message has to hold.
struct Mistake {
    name: &'static str,
    /// Document and place in it.
    at: (usize, &'static str),
    /// What stands there instead; null removes the key.
    with: Json,
    says: &'static [&'static str],
}

fn mistake(
    name: &'static str,
    at: (usize, &'static str),
    with: impl Into<Json>,
    says: &'static [&'static str],
) -> Mistake {
    Mistake {
        name,
        at,
        with: with.into(),
        says,
    }
}

async fn world() -> World {
    let mut world = World::new().await;
    world.environment.push(("SYNCBRIDGE_LOG".into(), "off".into()));
    world
        .sql(
            "create table projects (id int primary key, name text not null, stage text, changed timestamptz);
             insert into projects values (1, 'one', 'open', now())",
        )
        .await;
    world
}

fn documents(world: &World) -> Vec<Json> {
    let mut documents: Vec<Json> = world
        .catalog()
        .split("---\n")
        .filter(|text| !text.trim().is_empty())
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let definition = world.definition("projects", "public.projects", json!({}));
    documents.push(serde_json::from_str(&definition).unwrap());
    documents
}

fn spoilt(world: &World, mistake: &Mistake) -> String {
    let mut documents = documents(world);
    let (document, path) = mistake.at;
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = documents[document]
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap();
    if mistake.with.is_null() {
        assert!(
            parent.remove(key).is_some(),
            "{}: nothing at {path}",
            mistake.name
        );
    } else {
        parent.insert(key.to_owned(), mistake.with.clone());
    }
    text(&documents)
}

fn text(documents: &[Json]) -> String {
    documents
        .iter()
        .map(|document| format!("{document}\n---\n"))
        .collect()
}

fn apply(world: &World, text: &str) -> Ran {
    let file = world.folder.path().join("given.yaml");
    std::fs::write(&file, text).unwrap();
    world.command(&["apply", "-f", file.to_str().unwrap()])
}

/// The message: nothing on standard output, `error:` on standard error with cause, arrow, next step and code.
fn assert_clear(name: &str, ran: &Ran, code: i32, says: &[&str]) {
    let err = ran.err();
    assert_eq!(ran.code(), code, "{name}: {err}{}", ran.out());
    assert!(ran.out().is_empty(), "{name}: {}", ran.out());
    assert!(err.starts_with("error: "), "{name}: {err}");
    assert!(err.contains(" → "), "{name} names no next step: {err}");
    for part in says {
        assert!(err.contains(part), "{name} does not say `{part}`: {err}");
    }
    for noise in ["panicked", "stack backtrace", "Some(", "Caused by", "sqlx"] {
        assert!(!err.contains(noise), "{name}: {err}");
    }
}

/// No configuration, no list, no write.
async fn assert_nothing_written(name: &str, world: &World) {
    let tables = [
        "applications",
        "databases",
        "instances",
        "connections",
        "definitions",
        "revisions",
        "secrets",
        "hash_keys",
        "audit",
        "runs",
        "ledger",
        "effects",
        "dirty",
        "quarantine",
        "outbox",
    ];
    for table in tables {
        let rows = world.meta_count(&format!("select count(*) from {table}")).await;
        assert_eq!(rows, 0, "{name}: {table}");
    }
    assert_lists(name, world, 0).await;
}

async fn assert_lists(name: &str, world: &World, lists: usize) {
    let state = world.sim_get("state").await;
    let sites = state["sites"].as_array().unwrap();
    let found: usize = sites
        .iter()
        .map(|site| site["lists"].as_array().unwrap().len())
        .sum();
    assert_eq!(found, lists, "{name}: {state:#}");
    let none = Writes {
        creates: 0,
        patches: 0,
        deletes: 0,
    };
    assert_eq!(world.writes().await, none, "{name}");
}

/// A port of this machine that nobody listens at.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

async fn all_are_refused(world: &World, mistakes: Vec<Mistake>) {
    for mistake in mistakes {
        let ran = apply(world, &spoilt(world, &mistake));
        assert_clear(mistake.name, &ran, 1, mistake.says);
        assert_nothing_written(mistake.name, world).await;
    }
}

fn write(world: &World, text: &str) -> String {
    let file = world.folder.path().join("given.yaml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}
