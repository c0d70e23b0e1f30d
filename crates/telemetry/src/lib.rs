//! Logs for every service: JSON for machines, one line for people, both on standard error.
//!
//! Standard output belongs to results. What may be logged is decided where it is logged: ids, counts, codes,
//! durations; never row values, secrets or query strings (invariant I10).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// People on a terminal, machines otherwise.
    #[default]
    Auto,
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Starts logging for this process. `filter` is a `tracing` directive such as `info` or
/// `warn,syncbridge_engine=debug`.
///
/// # Errors
/// When the filter cannot be read or logging was started before.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        anyhow::anyhow!("the log filter cannot be read: {e}; try `info` or `warn,syncbridge=debug`")
    })?;
    let text = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let registry = tracing_subscriber::registry().with(filter);
    if text {
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .compact();
        registry.with(layer).try_init()?;
    } else {
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr);
        registry.with(layer).try_init()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_with_an_example() {
        let error = start(LogFormat::Json, "syncbridge=loud").unwrap_err().to_string();
        assert!(error.contains("try `info`"), "{error}");
    }
}
