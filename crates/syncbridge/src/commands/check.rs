//! `syncbridge plan NAME --check`.

use syncbridge_domain::preflight::{Finding, Forecast, Weight};
use syncbridge_operations::CheckReport;

use crate::commands::run::stop_on_interrupt;
use crate::exit::Exit;
use crate::output;
use crate::progress::Shown;
use crate::settings::{Output, Settings};

pub(crate) async fn check(settings: &Settings, name: &str) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let (cancel, listener) = stop_on_interrupt();
    let progress = Shown::new(name, settings.output != Output::Table);
    let report = operations
        .check(&Settings::actor(), name, &progress, cancel)
        .await;
    listener.abort();
    progress.finish();
    let report = report?;
    output::show(settings.output, &report, || text(&report))?;
    Ok(match report.worst() {
        Some(Weight::Blocks) => Exit::Refused,
        Some(Weight::Refuses) => Exit::WithErrors,
        Some(Weight::Loses | Weight::Note) | None => Exit::Done,
    })
}

fn text(report: &CheckReport) -> String {
    let name = &report.definition;
    let verdict = match report.worst() {
        Some(Weight::Blocks) => "something stands in the way",
        Some(Weight::Refuses) => "some rows will be refused, all others arrive",
        Some(Weight::Loses) => "all rows arrive; something of them cannot be told from the list",
        Some(Weight::Note) | None => "nothing stands in the way",
    };
    let list = if report.list_exists {
        "the list is there"
    } else {
        "the list is not there yet"
    };
    let mut text = format!("{name}: {verdict} · {list}\n");
    if let Some(found) = &report.prediction {
        text.push_str(&format!(
            "  {} rows · {} to create · {} changed · {} gone · {} unchanged\n",
            found.rows, found.creates, found.changes, found.gone, found.unchanged
        ));
    }
    if let Some(forecast) = &report.forecast {
        text.push_str(&format!("  {}\n", in_words(forecast)));
    }
    text.push_str(&findings(&report.findings));
    text.push_str("what nobody can tell beforehand:\n");
    for line in &report.cannot_tell {
        text.push_str(&format!("  · {line}\n"));
    }
    text
}

fn in_words(forecast: &Forecast) -> String {
    let tenant = match forecast.licences {
        Some(licences) => format!("a tenant of {licences} licences"),
        None => "the smallest tenant (`licenses` of the connection is not set)".to_owned(),
    };
    if forecast.ru.0 == 0 {
        return "nothing to write, 0 RU".to_owned();
    }
    format!(
        "about {} · {} at the full quota of {tenant}: {} a minute, {} a day",
        forecast.ru,
        duration(forecast.minutes),
        forecast.ru_per_minute,
        forecast.ru_per_day,
    )
}

fn duration(minutes: f64) -> String {
    if minutes < 1.0 {
        "less than a minute".to_owned()
    } else if minutes < 120.0 {
        format!("{:.0} minutes", minutes.ceil())
    } else if minutes < 2_880.0 {
        format!("{:.1} hours", minutes / 60.0)
    } else {
        format!("{:.1} days", minutes / 1_440.0)
    }
}

/// A table of what was found, or nothing.
pub(crate) fn findings(found: &[Finding]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let rows = found.iter().map(|finding| {
        vec![
            finding.weight.name().to_owned(),
            finding.column.clone().unwrap_or_default(),
            finding.rows.map(|rows| rows.to_string()).unwrap_or_default(),
            finding.cause.clone(),
            finding.fix.clone(),
            finding.code.clone(),
        ]
    });
    let table = output::table(&["weight", "column", "rows", "what", "do", "code"], rows);
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_unit_people_think_in() {
        assert_eq!(duration(0.2), "less than a minute");
        assert_eq!(duration(9.1), "10 minutes");
        assert_eq!(duration(320.0), "5.3 hours");
        assert_eq!(duration(2_880.0 * 2.0), "4.0 days");
    }
}
