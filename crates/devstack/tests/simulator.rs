//! Starting and ending a simulator, with stand-ins for the executable. The real one is run by the end-to-end
//! tests.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy knows only the test functions themselves"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use syncbridge_devstack::simulator::{GraphSim, SimOptions};
use syncbridge_devstack::{Error, process};

fn stand_in(folder: &Path, script: &str) -> PathBuf {
    let file = folder.join("graph-sim");
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file
}

#[tokio::test]
async fn the_address_comes_from_the_ready_line_and_stopping_waits_for_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let program = stand_in(
        folder.path(),
        "echo \"got $*\"; echo listening on http://127.0.0.1:4711; exec sleep 600",
    );
    let options = SimOptions {
        program: Some(program),
        seed: 5,
        ..SimOptions::default()
    };
    let simulator = GraphSim::start(options.clone()).await.unwrap();
    assert_eq!(simulator.base_url(), "http://127.0.0.1:4711");
    assert!(
        std::fs::read_to_string(simulator.log())
            .unwrap()
            .contains("--seed 5")
    );
    let pid = simulator.pid();
    simulator.stop().await.unwrap();
    assert!(!process::is_alive(pid));

    let dropped = GraphSim::start(options).await.unwrap();
    let pid = dropped.pid();
    drop(dropped);
    assert!(!process::is_alive(pid));
}

#[tokio::test]
async fn a_simulator_that_ends_at_once_is_reported_with_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let program = stand_in(folder.path(), "echo 'unknown fault: fog' >&2; exit 2");
    let error = GraphSim::start(SimOptions {
        program: Some(program),
        ..SimOptions::default()
    })
    .await
    .unwrap_err();
    assert!(matches!(error, Error::ProgramFailed { .. }));
    assert!(error.to_string().contains("unknown fault: fog"), "{error}");
}
