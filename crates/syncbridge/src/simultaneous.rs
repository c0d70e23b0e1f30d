//! Two runs of one definition at once inside one process (those of two processes are in `tests/end-to-end`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use secrecy::SecretString;
use serde_json::json;
use syncbridge_devstack::simulator::{GraphSim, SimOptions};
use syncbridge_devstack::testing;
use syncbridge_domain::run::{RunKind, RunOptions, RunState};
use syncbridge_meta_store::{ConnectOptions, MetaStore};
use syncbridge_operations::{Actor, KeyTexts, Operations, RunOrder, RunReport};
use syncbridge_secrets::{Keyring, MasterKey};
use syncbridge_worker::EgressRules;

use crate::progress::Shown;
use crate::wiring::Wiring;

async fn operations(store: &MetaStore) -> Operations {
    let egress = EgressRules {
        allow_custom_cloud: true,
        allow_insecure_loopback: true,
    };
    let wiring = Wiring::new(store.clone(), egress, None);
    let ring = Keyring::single(MasterKey::from_bytes([7; 32]));
    Operations::new(store.clone(), ring, Arc::new(wiring), None)
}

async fn run(operations: &Operations, kind: RunKind) -> RunReport {
    let progress = Shown::new("t", true);
    let cancel = Arc::new(AtomicBool::new(false));
    let order = RunOrder {
        name: "t",
        kind,
        options: RunOptions::default(),
        range: KeyTexts::default(),
        progress: &progress,
        cancel,
    };
    operations.run(&Actor::command_line("test"), order).await.unwrap()
}

fn documents(source: &str, graph: &str) -> String {
    let url = reqwest::Url::parse(source).unwrap();
    let document = |kind: &str, name: &str, spec| {
        json!({"apiVersion": "syncbridge/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
            .to_string()
    };
    [
        document("Application", "a", json!({})),
        document("Database", "d", json!({"application": "a"})),
        document(
            "Instance",
            "i",
            json!({"database": "d", "host": "127.0.0.1", "port": url.port(),
            "dbname": url.path().trim_start_matches('/'), "user": url.username(),
            "password": {"value": url.password()}, "tls": {"mode": "disable"}}),
        ),
        document(
            "Connection",
            "c",
            json!({"tenant": "contoso", "clientId": "sim-client",
            "clientSecret": {"value": "sim-secret"}, "custom": {"authority": graph, "graphRoot": graph}}),
        ),
        document(
            "SyncDefinition",
            "t",
            json!({"database": "d", "connection": "c", "source": {"table": {"schema": "public", "table": "t"}},
            "target": {"site": "contoso.sharepoint.com:/sites/demo", "list": "t"}}),
        ),
    ]
    .join("\n---\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_10_two_runs_at_once_in_one_process_write_each_row_once() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let simulator = GraphSim::start(SimOptions {
        latency_ms: 5,
        ..SimOptions::default()
    })
    .await
    .unwrap();
    let (source, meta) = (testing::postgres().await, testing::postgres().await);
    let store = MetaStore::connect(&SecretString::from(meta.url()), ConnectOptions::default())
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let table = "create table t (id int primary key, name text); insert into t select n, 'row ' || n from generate_series(1, 800) n";
    source.execute(table).await.unwrap();
    let operations = operations(&store).await;
    let given = syncbridge_manifest::parse("test", &documents(&source.url(), &simulator.base_url())).unwrap();
    operations
        .apply(&Actor::command_line("test"), &given)
        .await
        .unwrap();

    for expected in [800, 300] {
        let (one, two) = tokio::join!(run(&operations, RunKind::Push), run(&operations, RunKind::Push));
        let written = |report: &RunReport| report.outcome.counters.created + report.outcome.counters.patched;
        assert_eq!(
            written(&one) + written(&two),
            expected,
            "{:?} {:?}",
            one.outcome,
            two.outcome
        );
        let states = [one.outcome.state, two.outcome.state];
        assert!(states.contains(&RunState::Completed), "{states:?}");
        assert!(
            states
                .iter()
                .all(|s| matches!(s, RunState::Completed | RunState::Refused)),
            "{states:?}"
        );
        let found = run(&operations, RunKind::Verify)
            .await
            .outcome
            .verification
            .unwrap();
        assert!(found.is_equal() && found.items == 800, "{found:?}");
        source
            .execute("update t set name = 'changed' where id <= 300")
            .await
            .unwrap();
    }
}
