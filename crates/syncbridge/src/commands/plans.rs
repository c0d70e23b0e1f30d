//! `syncbridge plans …`: saved plans, shown and judged.

use std::io::Write as _;

use chrono::Utc;
use serde_json::{Value as Json, json};
use syncbridge_domain::saved_plan::PlanVerdict;
use syncbridge_operations::{ChangeView, PlanOpened, PlanView, RemarkView, RunReport};

use crate::cli::plans::{Fate, JudgeArgs, PlansCommand};
use crate::commands::plan;
use crate::exit::Exit;
use crate::output;
use crate::settings::{Output, Settings};

/// Changes read at once.
const PAGE: u32 = 500;
/// Longest value in a table, in characters.
const SHOWN: usize = 60;

pub(crate) async fn plans(settings: &Settings, command: &PlansCommand) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    match command {
        PlansCommand::List { name, after, limit } => {
            let plans = operations.plans(name, *after, *limit).await?;
            output::show(settings.output, &plans, || list(&plans))?;
            Ok(Exit::Done)
        }
        PlansCommand::Show { id, state, limit } => {
            let opened = operations.plan_open(*id).await?;
            match settings.output {
                Output::Table => print(&opened, *state, *limit).await?,
                other => print_all(other, None, &opened, *state).await?,
            }
            Ok(Exit::Done)
        }
        PlansCommand::Approve(args) => judge(settings, args, PlanVerdict::Approved).await,
        PlansCommand::Discard(args) => judge(settings, args, PlanVerdict::Rejected).await,
    }
}

async fn judge(settings: &Settings, args: &JudgeArgs, verdict: PlanVerdict) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let judged = operations
        .plan_judge(&Settings::actor(), args.id, verdict, args.remark.as_deref())
        .await?;
    output::show(settings.output, &judged, || match verdict {
        PlanVerdict::Approved => format!(
            "{} is approved: `syncbridge run {} --plan {}` makes its changes\n",
            judged.plan, judged.definition, judged.plan
        ),
        PlanVerdict::Rejected => format!("{} is discarded and never runs\n", judged.plan),
    })?;
    Ok(Exit::Done)
}

fn list(plans: &[PlanView]) -> String {
    let now = Utc::now();
    let rows = plans.iter().map(|plan| {
        vec![
            plan.plan.to_string(),
            plan.state.to_owned(),
            plan.counts.changes().to_string(),
            plan.counts.parked().to_string(),
            plan.ru.map(|ru| ru.to_string()).unwrap_or_default(),
            plan.requested_by.clone(),
            output::ago(plan.created, now),
            plan.expires.map(output::moment).unwrap_or_default(),
        ]
    });
    output::table(
        &[
            "plan",
            "state",
            "changes",
            "parked",
            "ru",
            "asked for by",
            "made",
            "expires",
        ],
        rows,
    )
}

/// A plan for people: at most `limit` changes and as many remarks, then what to do next.
pub(crate) async fn print(opened: &PlanOpened, state: Option<Fate>, limit: u32) -> anyhow::Result<()> {
    let view = &opened.view;
    let mut text = format!(
        "plan {} of {}: {} · {} changes{}\n",
        view.plan,
        view.definition,
        view.state,
        view.counts.changes(),
        stands(opened),
    );
    let (changes, more) = changes(opened, state, limit).await?;
    section(
        &mut text,
        &["change", "row", "item", "column", "now", "will be", "state"],
        changes.iter().flat_map(change_rows),
    );
    if more {
        text.push_str(&format!(
            "  more: `--limit`, or all of it with `syncbridge plans show {} -o json`\n",
            view.plan
        ));
    }
    if state.is_none() {
        let remarks = opened.remarks(0, limit).await?;
        let all = view.counts.parked() + view.counts.foreign + view.counts.overridden;
        if all > 0 {
            text.push_str(&format!(
                "{} stay as they are: {} conflicts · {} refused · {} waiting · {} edits that nobody asked for · {} \
                 edits are going to lose\n",
                all, view.counts.conflicts, view.counts.refused, view.counts.waiting, view.counts.foreign,
                view.counts.overridden
            ));
        }
        section(
            &mut text,
            &["stays", "row", "column", "table", "list", "because"],
            remarks.iter().map(remark_row),
        );
        if all > remarks.len() as u64 {
            text.push_str("  more: `--limit`\n");
        }
    }
    text.push_str(&foot(opened));
    output::say(&text)
}

fn stands(opened: &PlanOpened) -> String {
    let tally = opened.tally;
    if tally.applied + tally.outdated + tally.refused == 0 {
        return String::new();
    }
    format!(
        " · {} made · {} not, because their rows changed · {} refused · {} not tried",
        tally.applied, tally.outdated, tally.refused, tally.waiting
    )
}

fn foot(opened: &PlanOpened) -> String {
    let view = &opened.view;
    let mut text = String::new();
    if let Some(ru) = view.ru {
        let minutes = opened.minutes.unwrap_or_default();
        text.push_str(&format!(
            "  costs    {ru} RU, {} at the tenant's quota\n",
            duration(minutes)
        ));
    }
    if let Some(hash) = &view.hash {
        text.push_str(&format!("  hash     {hash}\n"));
    }
    text.push_str(&format!(
        "  asked    {} by {}\n",
        output::moment(view.created),
        view.requested_by
    ));
    for (actor, verdict, at, remark) in &opened.said {
        let remark = remark
            .as_ref()
            .map_or_else(String::new, |remark| format!(": {remark}"));
        text.push_str(&format!(
            "  {verdict:8} {} by {actor}{remark}\n",
            output::moment(*at)
        ));
    }
    if let Some(expires) = view.expires {
        text.push_str(&format!("  expires  {}\n", output::moment(expires)));
    }
    if view.counts.beyond_guard {
        text.push_str("  it deletes more than the guard lets pass, so that somebody has to approve it\n");
    }
    match &view.not_yet {
        _ if view.counts.changes() == 0 => text.push_str("  then     nothing: a run would write nothing\n"),
        None => text.push_str(&format!(
            "  then     syncbridge run {} --plan {}\n",
            view.definition, view.plan
        )),
        Some(why) if view.state == "open" => text.push_str(&format!(
            "  then     {why}: syncbridge plans approve {}\n",
            view.plan
        )),
        Some(_) => {}
    }
    text
}

fn duration(minutes: f64) -> String {
    match minutes {
        ..1.0 => "less than a minute".to_owned(),
        1.0..120.0 => format!("about {minutes:.0} minutes"),
        _ => format!("about {:.1} hours", minutes / 60.0),
    }
}

async fn changes(
    opened: &PlanOpened,
    state: Option<Fate>,
    limit: u32,
) -> anyhow::Result<(Vec<ChangeView>, bool)> {
    let most = limit as usize;
    let mut shown = Vec::new();
    let mut after = None;
    loop {
        let (page, last) = opened.changes(after, PAGE).await?;
        let Some(last) = last else {
            return Ok((shown, false));
        };
        after = Some(last);
        shown.extend(page.into_iter().filter(|one| meant(one, state)));
        if shown.len() > most {
            shown.truncate(most);
            return Ok((shown, true));
        }
    }
}

fn meant(change: &ChangeView, state: Option<Fate>) -> bool {
    state.is_none_or(|state| state.name() == change.state)
}

fn change_rows(change: &ChangeView) -> Vec<Vec<String>> {
    let row = |column: String, before: String, after: String| {
        vec![
            change.kind.replace('_', " "),
            change.key.join(", "),
            change.item.clone().unwrap_or_default(),
            column,
            before,
            after,
            change.state.to_owned(),
        ]
    };
    if change.fields.is_empty() {
        return vec![row(String::new(), String::new(), String::new())];
    }
    let fields = change.fields.iter();
    fields
        .map(|field| {
            let before = field
                .before
                .as_ref()
                .map_or_else(|| "(not read)".to_owned(), value);
            row(field.column.clone(), before, value(&field.after))
        })
        .collect()
}

fn remark_row(remark: &RemarkView) -> Vec<String> {
    let because = match (&remark.code, &remark.cause, remark.winner) {
        (Some(code), Some(cause), _) => format!("{cause} [{code}]"),
        (_, _, Some("source")) => "the table's value wins".to_owned(),
        (_, _, Some("target")) => "the list's value wins".to_owned(),
        _ => match remark.kind {
            "conflict" => "both sides changed it, and a person is to choose".to_owned(),
            "foreign" => "edited on the side that does not own it".to_owned(),
            _ => "held back, or too new to be judged".to_owned(),
        },
    };
    vec![
        remark.kind.to_owned(),
        remark.key.join(", "),
        remark.column.clone().unwrap_or_default(),
        remark.source.as_ref().map(value).unwrap_or_default(),
        remark.target.as_ref().map(value).unwrap_or_default(),
        because,
    ]
}

/// A value as it is told apart from others: texts stand in quotes, so that an empty one is none that is missing.
fn value(value: &Json) -> String {
    let text = match value {
        Json::Null => "(empty)".to_owned(),
        other => other.to_string(),
    };
    match text.chars().count() > SHOWN {
        true => text.chars().take(SHOWN - 1).chain(['…']).collect(),
        false => text,
    }
}

fn section(text: &mut String, headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let table = output::table(headings, rows);
    if !table.is_empty() {
        text.push_str(&table);
        text.push('\n');
    }
}

/// A plan for programs: as JSON it is printed as it is read, so that its size does not matter.
pub(crate) async fn print_all(
    output: Output,
    report: Option<&RunReport>,
    opened: &PlanOpened,
    state: Option<Fate>,
) -> anyhow::Result<()> {
    let mut head = report.map(plan::report).transpose()?.unwrap_or_default();
    head.insert("plan".into(), serde_json::to_value(&opened.view)?);
    head.insert("minutes".into(), json!(opened.minutes));
    let said = opened.said.iter().map(|(actor, verdict, at, remark)| {
        json!({"actor": actor, "verdict": verdict, "at": at, "remark": remark})
    });
    head.insert("said".into(), said.collect());
    if output == Output::Yaml {
        let (mut all, mut remarks) = (Vec::new(), Vec::new());
        each_change(opened, state, |change| {
            all.push(serde_json::to_value(change)?);
            Ok(())
        })
        .await?;
        each_remark(opened, |remark| {
            remarks.push(serde_json::to_value(remark)?);
            Ok(())
        })
        .await?;
        head.insert("changes".into(), all.into());
        head.insert("remarks".into(), remarks.into());
        return output::show(output, &head, String::new);
    }
    match stream(&head, opened, state).await {
        Err(error) => output::heard(Err(error.downcast::<std::io::Error>()?)),
        done => done,
    }
}

/// The same as JSON, page by page: a plan may be larger than what one would like to hold.
async fn stream(
    head: &serde_json::Map<String, serde_json::Value>,
    opened: &PlanOpened,
    state: Option<Fate>,
) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let text = serde_json::to_string_pretty(head)?;
    write!(
        out,
        "{},\n  \"changes\": [",
        text.trim_end().trim_end_matches('}').trim_end()
    )?;
    let mut first = true;
    let mut comma = move || if std::mem::take(&mut first) { "" } else { "," };
    each_change(opened, state, |change| {
        Ok(write!(
            out,
            "{}\n    {}",
            comma(),
            serde_json::to_string(change)?
        )?)
    })
    .await?;
    write!(out, "\n  ],\n  \"remarks\": [")?;
    let mut first = true;
    let mut comma = move || if std::mem::take(&mut first) { "" } else { "," };
    each_remark(opened, |remark| {
        Ok(write!(
            out,
            "{}\n    {}",
            comma(),
            serde_json::to_string(remark)?
        )?)
    })
    .await?;
    writeln!(out, "\n  ]\n}}")?;
    Ok(out.flush()?)
}

async fn each_change(
    opened: &PlanOpened,
    state: Option<Fate>,
    mut each: impl FnMut(&ChangeView) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let (page, last) = opened.changes(after, PAGE).await?;
        let Some(last) = last else { return Ok(()) };
        after = Some(last);
        page.iter()
            .filter(|one| meant(one, state))
            .try_for_each(&mut each)?;
    }
}

async fn each_remark(
    opened: &PlanOpened,
    mut each: impl FnMut(&RemarkView) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let page = opened.remarks(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.number;
        page.iter().try_for_each(&mut each)?;
    }
}
