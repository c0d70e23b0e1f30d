//! `check-exchanges FILE`: holds a record of `graph-sim --record FILE` against our golden shapes and Microsoft's
//! description of Graph, where this machine has it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a tool of the tests, which shares their code"
)]

#[path = "../tests/contract/mod.rs"]
mod contract;

use std::process::ExitCode;

use serde_json::Value;

fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        println!("usage: check-exchanges FILE");
        return ExitCode::from(2);
    };
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let contract = contract::Contract::load();
    let (mut exchanges, mut faults) = (0, 0);
    for line in text.lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        exchanges += 1;
        for fault in contract.check(&exchange) {
            faults += 1;
            println!("{fault}");
        }
    }
    if !contract.has_description() {
        let missing = contract::shared().join("graph/graph-lists.openapi.json");
        println!(
            "exchanges: NOT held against Microsoft's description: {} is missing",
            missing.display()
        );
    }
    println!("exchanges: {exchanges} checked, {faults} faults");
    if faults == 0 && exchanges > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
