//! The `syncbridge` command: reads the command line, wires the adapters into the operations, shows results.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong
//! usage, 3 done but some rows are quarantined or parked, 4 both sides differ, 5 refused because something
//! stands in the way.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks on these"
)]

mod cli;
mod commands;
#[cfg(test)]
mod documentation;
mod exit;
mod fault;
mod output;
mod progress;
mod settings;
#[cfg(test)]
mod simultaneous;
mod wiring;

use clap::Parser as _;

use crate::exit::Exit;

fn main() -> std::process::ExitCode {
    // reqwest, sqlx and the replication client share one TLS stack; whoever comes second finds it chosen.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = cli::Cli::parse();
    let exit = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(commands::run(cli));
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            exit
        }
        Err(error) => Err(anyhow::anyhow!("the asynchronous runtime cannot start: {error}")),
    };
    match exit {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {}", fault::shown(error));
            Exit::Failed.into()
        }
    }
}
