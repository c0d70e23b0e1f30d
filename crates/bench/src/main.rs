//! `bench`: measures rows, shows them, and holds them against the committed bounds.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks on these"
)]

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use syncbridge_bench::floors::{self, Bound};
use syncbridge_bench::measure::{Effort, measure};
use syncbridge_bench::report::{Report, Result, build};
use syncbridge_bench::rows::{self, EXPERIMENTS, Experiment, Form};

/// Measures what SyncBridge promises and relies on
#[derive(Parser)]
#[command(name = "bench")]
struct Args {
    /// Only experiments whose name, or the name of one of whose rows, contains one of these
    names: Vec<String>,
    /// Show the rows and their bounds, measure nothing
    #[arg(long)]
    list: bool,
    /// Fail where a row misses its bound; needs a release build
    #[arg(long, conflicts_with_all = ["list", "quick"])]
    check: bool,
    /// A tenth of the size and one sample: shows that everything works, and no figure worth telling
    #[arg(long)]
    quick: bool,
    /// How results are shown
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Samples that count, instead of each experiment's own number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    samples: Option<u32>,
    /// Samples that are thrown away first, instead of each experiment's own number
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    warm_up: Option<u32>,
    /// The bounds
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

/// Answers whether every bound held.
fn run(args: &Args) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(&args.floors).with_context(|| {
        format!(
            "{} cannot be read; run from the tree's root",
            args.floors.display()
        )
    })?;
    let bounds = floors::parse(&text)?;
    floors::fit(&bounds, rows::all().map(|row| (row.name, row.unit)))?;
    let chosen: Vec<&Experiment> = EXPERIMENTS
        .iter()
        .filter(|one| wanted(one, &args.names))
        .collect();
    ensure!(!chosen.is_empty(), "nothing has such a name (see --list)");
    if args.list {
        list(&chosen, &bounds);
        return Ok(true);
    }
    ensure!(
        !args.check || build() == "release",
        "bounds hold for a release build: `make bench`"
    );
    let mut results = Vec::new();
    for experiment in chosen {
        results.extend(measured(args, experiment, &bounds)?);
    }
    let report = Report {
        build: build(),
        form: if args.quick { "quick" } else { "full" },
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load: load(),
        rows: &results,
    };
    match args.output {
        Output::Table => print!("{}", report.text()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    if !args.check {
        return Ok(true);
    }
    let broken = floors::broken(&bounds, &results);
    for one in &broken {
        eprintln!("missed: {one}");
    }
    Ok(broken.is_empty())
}

fn wanted(experiment: &Experiment, names: &[String]) -> bool {
    let rows = experiment.rows.iter().map(|row| row.name);
    let mut all = rows.chain([experiment.name]);
    names.is_empty() || all.any(|name| names.iter().any(|part| name.contains(part.as_str())))
}

fn measured(args: &Args, experiment: &Experiment, bounds: &[Bound]) -> anyhow::Result<Vec<Result>> {
    let form = if args.quick { Form::Quick } else { Form::Full };
    let own = if args.quick {
        Effort {
            warm_up: 0,
            samples: 1,
        }
    } else {
        experiment.effort
    };
    let effort = Effort {
        warm_up: args.warm_up.unwrap_or(own.warm_up),
        samples: args.samples.unwrap_or(own.samples),
    };
    let line = Line::new(experiment.name);
    let numbers = measure(experiment.rows.len(), effort, |at, all| {
        let tell = |step: &str| line.tell(&format!("sample {at} of {all}: {step}"));
        tell("begins");
        (experiment.sample)(form, &tell)
    })
    .with_context(|| experiment.name.to_owned())?;
    line.end();
    let results = experiment.rows.iter().zip(numbers).map(|(row, measured)| {
        let bound = bounds.iter().find(|bound| bound.name == row.name);
        Result {
            name: row.name.to_owned(),
            unit: row.unit.to_owned(),
            at_least: bound.and_then(|bound| bound.at_least),
            at_most: bound.and_then(|bound| bound.at_most),
            measured,
        }
    });
    Ok(results.collect())
}

/// How far an experiment is: one line that moves on a terminal, lines anywhere else.
struct Line {
    name: &'static str,
    bar: Option<ProgressBar>,
}

impl Line {
    fn new(name: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.set_prefix(name);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { name, bar }
    }

    fn tell(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => eprintln!("{}: {text}", self.name),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The load average of the last five minutes; 0 where the system does not tell.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let five = text.split_ascii_whitespace().nth(1);
    five.and_then(|five| five.parse().ok()).unwrap_or(0.0)
}

fn list(experiments: &[&Experiment], bounds: &[Bound]) {
    for experiment in experiments {
        println!("{}: {}", experiment.name, experiment.about);
        for row in experiment.rows {
            let bound = bounds.iter().find(|bound| bound.name == row.name);
            let bound = bound.map_or_else(|| "no bound".to_owned(), Bound::to_string);
            println!("    {}  [{}; {bound}]\n        {}", row.name, row.unit, row.about);
        }
    }
}
