//! `hunt`: simulated histories until one fails, with what was met on the way.
#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use syncbridge_simulation::coverage::Counts;
use syncbridge_simulation::hunt::{Found, Hunt, check, hunt};
use syncbridge_simulation::shrink::shrink;
use syncbridge_simulation::simulation::{Setting, simulate};

/// Simulates histories and tells the first one that breaks an invariant, made short.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Begin at a seed nobody chose.
    #[arg(long, conflicts_with = "from")]
    fresh: bool,
    /// End after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Histories at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Tell the history of one seed.
    #[arg(long)]
    replay: Option<u64>,
    /// Go on behind failures and list them.
    #[arg(long)]
    keep_going: bool,
    /// Leave a failing history as long as it is.
    #[arg(long)]
    whole: bool,
    /// Make every built-in mistake and tell which seed shows it.
    #[cfg(sabotage)]
    #[arg(long)]
    drill: bool,
    /// Begin with the seed that is known to have shown a mistake.
    #[cfg(sabotage)]
    #[arg(long)]
    known_first: bool,
    /// Make this built-in mistake only.
    #[cfg(sabotage)]
    #[arg(long)]
    sabotage: Option<String>,
    /// Print one line of what was met instead of all of it.
    #[arg(long)]
    summary: bool,
    /// How to print what was met.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    #[cfg(sabotage)]
    if arguments.replay.is_some() {
        syncbridge_domain::sabotage::arm(arguments.sabotage.as_deref());
    }
    if let Some(seed) = arguments.replay {
        return replay(seed, arguments.whole);
    }
    #[cfg(sabotage)]
    if arguments.drill || arguments.sabotage.is_some() {
        return drill(&arguments);
    }
    let from = if arguments.fresh { fresh() } else { arguments.from };
    let began = Instant::now();
    let caught = hunt(Hunt {
        from,
        seeds: arguments.seeds,
        time: arguments.seconds.map(Duration::from_secs),
        jobs: arguments.jobs,
        keep_going: arguments.keep_going,
    });
    let seconds = began.elapsed().as_secs_f64();
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&caught.counts)?),
        Output::Table => {
            summary(&caught.counts, from, seconds);
            if !arguments.summary {
                table(&caught.counts);
            }
        }
    }
    if arguments.keep_going {
        for found in &caught.found {
            println!(
                "failed {}: {}: {}",
                found.seed, found.violation.invariant, found.violation.what
            );
        }
        anyhow::ensure!(caught.found.is_empty(), "{} seeds fail", caught.found.len());
    }
    match caught.found.first() {
        None => Ok(()),
        Some(found) => {
            tell(found, arguments.whole)?;
            anyhow::bail!("seed {} breaks {}", found.seed, found.violation.invariant)
        }
    }
}

#[cfg(sabotage)]
fn drill(arguments: &Arguments) -> anyhow::Result<()> {
    use syncbridge_simulation::drill::{self, MISTAKES};
    let chosen = |name: &str| arguments.sabotage.as_deref().is_none_or(|only| only == name);
    let mistakes: Vec<_> = MISTAKES
        .iter()
        .filter(|(name, _)| chosen(name))
        .copied()
        .collect();
    anyhow::ensure!(
        !mistakes.is_empty(),
        "no mistake has that name; there are: {}",
        MISTAKES
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    );
    let began = Instant::now();
    let as_table = arguments.output == Output::Table;
    let how = drill::Drill {
        seeds: arguments.seeds,
        known_first: arguments.known_first,
        jobs: arguments.jobs,
    };
    let exposed = drill::run(&mistakes, how, |one| {
        if as_table {
            tell_exposed(one);
        }
    });
    let hidden = exposed.iter().filter(|one| one.by.is_none()).count();
    if as_table {
        println!(
            "{} of {} mistakes shown, {} histories in {:.1} s",
            exposed.len() - hidden,
            exposed.len(),
            exposed.iter().map(|one| one.histories).sum::<u64>(),
            began.elapsed().as_secs_f64(),
        );
    } else {
        println!("{}", serde_json::to_string_pretty(&exposed)?);
    }
    anyhow::ensure!(hidden == 0, "{hidden} of {} mistakes stay hidden", exposed.len());
    Ok(())
}

#[cfg(sabotage)]
fn tell_exposed(one: &syncbridge_simulation::drill::Exposed) {
    const MOST: usize = 200;
    match &one.by {
        Some(by) => {
            let what: String = by.what.chars().take(MOST).collect();
            println!(
                "{:<64} seed {:>5}  {}: {what}",
                one.mistake, by.seed, by.invariant
            );
        }
        None => println!("{:<64} NOT FOUND in {} seeds", one.mistake, one.histories),
    }
}

fn fresh() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| u64::try_from(since.as_micros()).unwrap_or(1))
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn mean(sum: u64, of: u64) -> f64 {
    sum as f64 / of.max(1) as f64
}

fn summary(counts: &Counts, from: u64, seconds: f64) {
    let histories = counts.histories;
    println!(
        "{histories} histories from seed {from} in {seconds:.1} s, {:.1} actions, {:.1} faults and {:.1} runs a history",
        mean(counts.actions, histories),
        mean(counts.struck, histories),
        mean(counts.runs, histories),
    );
}

fn table(counts: &Counts) {
    for (title, of) in [
        ("rows", &counts.row_decisions),
        ("fields", &counts.field_decisions),
        ("acts", &counts.acts),
        ("faults", &counts.faults),
        ("quirks", &counts.quirks),
        ("crash points", &counts.crash_points),
        ("outcomes", &counts.outcomes),
        ("quarantined", &counts.quarantined),
        ("exemptions", &counts.exemptions),
    ] {
        println!("{title}:");
        for (name, hits) in of {
            println!("  {hits:>9}  {name}");
        }
    }
}

fn tell(found: &Found, whole: bool) -> anyhow::Result<()> {
    println!(
        "seed {}: {}: {}",
        found.seed, found.violation.invariant, found.violation.what
    );
    let setting = Setting::of(found.seed);
    let (setting, violation) = if whole || found.violation.invariant == "determinism" {
        (setting, found.violation.clone())
    } else {
        shrink(&setting, &found.violation)
    };
    account(&setting)?;
    println!("{}: {}", violation.invariant, violation.what);
    println!(
        "again: cargo run -p syncbridge-simulation --bin hunt -- --replay {}",
        found.seed
    );
    Ok(())
}

fn account(setting: &Setting) -> anyhow::Result<()> {
    println!("scenario: {}", serde_json::to_string(&setting.scenario)?);
    println!("policies: {:?}", setting.scenario.policies);
    for step in &setting.history {
        println!("step: {}", serde_json::to_string(step)?);
    }
    for line in simulate(setting, true).lines {
        println!("{line}");
    }
    Ok(())
}

fn replay(seed: u64, whole: bool) -> anyhow::Result<()> {
    let setting = Setting::of(seed);
    match check(&setting).violation {
        Some(violation) => tell(&Found { seed, violation }, whole),
        None => {
            account(&setting)?;
            println!("seed {seed} holds");
            Ok(())
        }
    }
}
