//! The main job, shown: first sync, a working day by SQL, second sync, sweep, verify, and what it cost.

use syncbridge_devstack::sample::{self, Kind, Touched};
use syncbridge_domain::run::{RunKind, RunOptions};
use syncbridge_operations::{Operations, RunReport};

use crate::commands::dev_stack::Stack;
use crate::commands::{run, verdict};
use crate::exit::Exit;
use crate::output;

/// What a definition went through.
struct Row {
    name: String,
    first: RunReport,
    second: RunReport,
    sweep: RunReport,
    verify: RunReport,
    /// Fewest units that its first load and its day could cost: two a row that is made, changed or removed.
    least: (u64, u64),
}

pub(crate) async fn demo(operations: &Operations, stack: &Stack, names: &[String]) -> anyhow::Result<Exit> {
    eprintln!("\nfirst sync");
    let mut firsts = Vec::new();
    for name in names {
        firsts.push(push(operations, name, false).await?);
    }
    eprintln!("\na working day in the database");
    let touched = sample::a_working_day(&stack.sample_url()).await?;
    for step in &touched {
        eprintln!("  {:>4} {}", step.rows, step.what);
    }
    eprintln!("\nsecond sync, then a sweep that finds what a watermark cannot show");
    let mut rows = Vec::new();
    for (name, first) in names.iter().zip(firsts) {
        let second = push(operations, name, false).await?;
        let sweep = push(operations, name, true).await?;
        let verify = run::once(operations, name, RunKind::Verify, RunOptions::default(), false).await?;
        if let Some(found) = &verify.outcome.verification {
            eprint!("{}", verdict::verify(&verify, found));
        }
        let least = (
            2 * first.outcome.counters.read,
            least_of_the_day(operations, name, &touched).await?,
        );
        rows.push(Row {
            name: name.clone(),
            first,
            second,
            sweep,
            verify,
            least,
        });
    }
    output::say(&format!(
        "\n{}\n\
         η is the fewest units possible (two a row made, changed or removed) over the units spent; \
         the simulator counted {} units in all.\n",
        table(&rows),
        simulator_count(stack).await?
    ))?;
    Ok(judge(&rows))
}

async fn push(operations: &Operations, name: &str, full: bool) -> anyhow::Result<RunReport> {
    let options = RunOptions {
        full,
        ..RunOptions::default()
    };
    let report = run::once(operations, name, RunKind::Push, options, false).await?;
    eprint!("{}", verdict::push(&report));
    Ok(report)
}

/// What the day could cost at least, from what the SQL says it touched: not from what the sync did.
async fn least_of_the_day(operations: &Operations, name: &str, touched: &[Touched]) -> anyhow::Result<u64> {
    let found = operations
        .get(syncbridge_manifest::Kind::SyncDefinition, name)
        .await?;
    let spec = found.document.spec_json();
    let text = |path: &str| {
        spec.pointer(path)
            .and_then(|v| v.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let table = text("/source/table");
    let table = table.rsplit('.').next().unwrap_or_default();
    let mut rows = sample::rows(touched, table, Kind::Insert) + sample::rows(touched, table, Kind::Update);
    if text("/onDelete") == "propagate" {
        rows += sample::rows(touched, table, Kind::Delete);
    }
    Ok(2 * rows)
}

fn table(rows: &[Row]) -> String {
    let eta = |least: u64, spent: u64| match spent {
        0 if least == 0 => "-".to_owned(),
        0 => "∞".to_owned(),
        #[allow(clippy::cast_precision_loss)]
        spent => format!("{:.3}", least as f64 / spent as f64),
    };
    let lines = rows.iter().map(|row| {
        let first = &row.first.outcome;
        let (second, sweep) = (&row.second.outcome, &row.sweep.outcome);
        let day = second.spending.total().0 + sweep.spending.total().0;
        let both = |f: fn(&syncbridge_domain::run::Counters) -> u64| f(&second.counters) + f(&sweep.counters);
        vec![
            row.name.clone(),
            first.counters.created.to_string(),
            first.spending.total().0.to_string(),
            eta(row.least.0, first.spending.total().0),
            format!(
                "+{} ~{} -{}",
                both(|c| c.created),
                both(|c| c.patched),
                both(|c| c.deleted)
            ),
            day.to_string(),
            eta(row.least.1, day),
            row.verify.outcome.verification.as_ref().map_or_else(
                || "failed".to_owned(),
                |found| {
                    if found.is_clean() {
                        "equal".to_owned()
                    } else {
                        "DIFFERS".to_owned()
                    }
                },
            ),
            row.verify.outcome.spending.total().0.to_string(),
        ]
    });
    let headings = [
        "list",
        "first sync",
        "RU",
        "η",
        "second sync",
        "RU",
        "η",
        "verify",
        "RU",
    ];
    output::table(&headings, lines)
}

/// What the simulator itself counted, so that nobody has to believe our own books.
async fn simulator_count(stack: &Stack) -> anyhow::Result<u64> {
    let url = format!("{}/_sim/ru", stack.simulator_url());
    let client = reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(10))
        .build()?;
    let answer: serde_json::Value = client.get(url).send().await?.error_for_status()?.json().await?;
    let by_tag = answer.get("by_tag").and_then(serde_json::Value::as_object);
    let by_tag = by_tag.ok_or_else(|| anyhow::anyhow!("the simulator's account of units cannot be read"))?;
    Ok(by_tag
        .values()
        .filter_map(|sum| sum.get("ru").and_then(serde_json::Value::as_u64))
        .sum())
}

fn judge(rows: &[Row]) -> Exit {
    let mut exit = Exit::Done;
    for row in rows {
        for report in [&row.first, &row.second, &row.sweep] {
            let one = Exit::of_run(report.outcome.state);
            if one != Exit::Done {
                exit = one;
            }
        }
        if !row
            .verify
            .outcome
            .verification
            .as_ref()
            .is_some_and(|found| found.is_clean())
        {
            return Exit::Differs;
        }
    }
    exit
}
