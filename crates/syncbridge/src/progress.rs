//! Progress of a run on standard error: a bar on a terminal, a line now and then in a pipe.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use syncbridge_domain::quota::Spending;
use syncbridge_domain::run::{Counters, Progress, Step};

/// Shows one run.
pub(crate) struct Shown {
    name: String,
    bar: Option<ProgressBar>,
    quiet: bool,
    latest: Mutex<Latest>,
}

struct Latest {
    said: Instant,
    step: String,
}

impl Shown {
    /// `quiet` shows nothing, for results that go to a program.
    pub(crate) fn new(name: &str, quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            bar.set_prefix(name.to_owned());
            bar
        });
        let latest = Mutex::new(Latest {
            said: Instant::now(),
            step: String::new(),
        });
        Self {
            name: name.to_owned(),
            bar,
            quiet,
            latest,
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn latest(&self) -> std::sync::MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn words(step: &Step) -> (&'static str, u64) {
    match step {
        Step::Recovering { effects } => ("settling open writes", *effects),
        Step::FirstCopy { rows } => ("first copy", *rows),
        Step::Reading { rows } => ("looking for changes", *rows),
        Step::ReadingList => ("asking the list", 0),
        Step::Applying => ("applying changes", 0),
        Step::Forecast { items, .. } => ("comparing", *items),
        Step::Verifying { rows } => ("comparing", *rows),
        Step::Repairing { rows } => ("putting right", *rows),
    }
}

/// What a verification will cost. A page takes Graph about a second; whoever has a budget below two resource
/// units a second waits longer.
fn forecast(name: &str, items: u64, pages: u64, resumed: u64) -> String {
    let behind = match resumed {
        0 => String::new(),
        pages => format!(", behind {pages} pages that were compared before"),
    };
    format!(
        "{name}: about {items} items in {pages} pages{behind}: about {} RU and {pages} s",
        2 * pages
    )
}

fn style(known: bool) -> Option<ProgressStyle> {
    let template = if known {
        "{prefix:>12} {msg:22} {bar:30} {pos:>7}/~{len:<7} {per_sec:>12}"
    } else {
        "{prefix:>12} {msg:22} {spinner} {pos:>7} {per_sec:>12}"
    };
    ProgressStyle::with_template(template).ok()
}

impl Progress for Shown {
    fn step(&self, step: Step) {
        let (text, rows) = words(&step);
        self.latest().step = text.to_owned();
        if let Step::Forecast {
            items,
            pages,
            resumed,
        } = &step
            && !self.quiet
        {
            let said = forecast(&self.name, *items, *pages, *resumed);
            match &self.bar {
                Some(bar) => bar.println(said),
                None => eprintln!("{said}"),
            }
        }
        if let Some(bar) = &self.bar {
            if let Some(style) = style(rows > 0) {
                bar.set_style(style);
            }
            bar.set_message(text);
            bar.set_length(rows);
            bar.set_position(0);
            bar.reset_eta();
        }
    }

    fn counters(&self, counters: &Counters, spending: &Spending) {
        let done =
            counters.created + counters.patched + counters.deleted + counters.unchanged + counters.adopted;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let mut latest = self.latest();
        if self.quiet || latest.said.elapsed() < Duration::from_secs(5) {
            return;
        }
        latest.said = Instant::now();
        eprintln!(
            "{}: {}: {} read, {} created, {} patched, {} deleted, {}",
            self.name,
            latest.step,
            counters.read,
            counters.created,
            counters.patched,
            counters.deleted,
            spending.total()
        );
    }
}
