//! `syncbridge cursor show` and `cursor reset`.

use syncbridge_operations::{CursorFeed, CursorView};

use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn show(settings: &Settings, name: &str) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let view = operations.cursor_show(name).await?;
    output::show(settings.output, &view, || text(&view))?;
    Ok(Exit::Done)
}

pub(crate) async fn reset(settings: &Settings, name: &str, delta: bool) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let feed = if delta {
        CursorFeed::List
    } else {
        CursorFeed::Table
    };
    let view = operations.cursor_reset(&Settings::actor(), name, feed).await?;
    output::show(settings.output, &view, || match feed {
        CursorFeed::Table => {
            format!("{name}: the next run looks at every row; unchanged ones cost nothing\n")
        }
        CursorFeed::List => {
            format!("{name}: the next run that looks at the list's changes reads the whole list\n")
        }
    })?;
    Ok(Exit::Done)
}

fn text(view: &CursorView) -> String {
    let mut text = format!("{}: ", view.definition);
    text.push_str(&match (view.phase, &view.copied_up_to, &view.watermark) {
        ("first_copy", None, _) => "the first copy has not begun".to_owned(),
        ("first_copy", Some(key), _) => format!("first copy, done up to key {}", key.join(", ")),
        (_, _, Some(watermark)) => format!("everything up to watermark {watermark} is taken over"),
        (..) => "the first copy is complete".to_owned(),
    });
    text.push('\n');
    if !view.waiting.is_empty() {
        text.push_str(&format!(
            "  {} newer watermarks wait for transactions of the table's database to end\n",
            view.waiting.len()
        ));
    }
    let now = chrono::Utc::now();
    for (what, at) in [("moved", view.moved), ("whole table compared", view.last_sweep)] {
        let when = at.map_or_else(|| "never".to_owned(), |at| output::ago(at, now));
        text.push_str(&format!("  {what} {when}\n"));
    }
    if let Some(list) = &view.list {
        let stands = match list.phase {
            "first_pass" => "is read for the first time",
            "whole_pass" => "is read as a whole again",
            _ => "only its changes are read",
        };
        let on_the_way = if list.under_way {
            ", and goes on where it stopped"
        } else {
            ""
        };
        text.push_str(&format!(
            "  list: {stands}{on_the_way}; moved {}\n",
            output::ago(list.moved, now)
        ));
    }
    text
}
