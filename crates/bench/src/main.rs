//! `bench`: measures rows, shows them, and holds them against the committed floors.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks on these"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use syncbridge_bench::floors::{self, Floor};
use syncbridge_bench::measure::{Effort, measure};
use syncbridge_bench::report::{Report, Result, build};
use syncbridge_bench::rows::{ROWS, Row};

/// Measures what SyncBridge relies on.
#[derive(Parser)]
#[command(name = "bench")]
struct Args {
    /// Only rows whose name contains one of these
    names: Vec<String>,
    /// Show the rows and their floors, measure nothing
    #[arg(long)]
    list: bool,
    /// Fail where a row falls below its floor; needs a release build
    #[arg(long, conflicts_with = "list")]
    check: bool,
    /// How results are shown
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Samples a row that count
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    samples: u32,
    /// Samples a row that are thrown away first
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    warm_up: u32,
    /// The floors
    #[arg(long, default_value = "bench/floors.toml", value_name = "FILE")]
    floors: PathBuf,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether every floor held.
fn run(args: &Args) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(&args.floors).with_context(|| {
        format!(
            "{} cannot be read; run from the tree's root",
            args.floors.display()
        )
    })?;
    let floors = floors::parse(&text)?;
    floors::fit(&floors, ROWS.iter().map(|row| (row.name, row.unit)))?;
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| args.names.is_empty() || args.names.iter().any(|part| row.name.contains(part.as_str())))
        .collect();
    ensure!(!rows.is_empty(), "no row has such a name (see --list)");
    if args.list {
        list(&rows, &floors);
        return Ok(true);
    }
    ensure!(
        !args.check || build() == "release",
        "floors hold for a release build: `make bench`"
    );
    let results = measured(args, &rows, &floors)?;
    let report = Report {
        build: build(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        rows: &results,
    };
    match args.output {
        Output::Table => print!("{}", report.text()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    if !args.check {
        return Ok(true);
    }
    let broken = floors::broken(&floors, &results);
    for one in &broken {
        eprintln!("below its floor: {one}");
    }
    Ok(broken.is_empty())
}

fn measured(args: &Args, rows: &[&Row], floors: &[Floor]) -> anyhow::Result<Vec<Result>> {
    let effort = Effort {
        warm_up: args.warm_up,
        samples: args.samples,
    };
    let mut results = Vec::with_capacity(rows.len());
    for row in rows {
        eprintln!("{} …", row.name);
        let numbers = measure(effort, || (row.sample)(row.size)).with_context(|| row.name.to_owned())?;
        results.push(Result {
            name: row.name.to_owned(),
            unit: row.unit.to_owned(),
            floor: floor_of(floors, row).map(|floor| floor.floor),
            measured: numbers,
        });
    }
    Ok(results)
}

fn floor_of<'a>(floors: &'a [Floor], row: &Row) -> Option<&'a Floor> {
    floors.iter().find(|floor| floor.name == row.name)
}

fn list(rows: &[&Row], floors: &[Floor]) {
    for row in rows {
        let floor = floor_of(floors, row).map_or_else(
            || "no floor".to_owned(),
            |floor| format!("at least {:.0}, {}", floor.floor, floor.id),
        );
        println!("{}  [{}; {floor}]\n    {}", row.name, row.unit, row.about);
    }
}
