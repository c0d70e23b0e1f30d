//! `syncbridge cursor show` and `cursor reset`.

use syncbridge_operations::CursorView;

use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn show(settings: &Settings, name: &str) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let view = operations.cursor_show(name).await?;
    output::show(settings.output, &view, || text(&view))?;
    Ok(Exit::Done)
}

pub(crate) async fn reset(settings: &Settings, name: &str) -> anyhow::Result<Exit> {
    let operations = settings.operations().await?;
    let view = operations.cursor_reset(&Settings::actor(), name).await?;
    output::show(settings.output, &view, || {
        format!("{name}: the next run looks at every row; unchanged ones cost nothing\n")
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
    text
}
