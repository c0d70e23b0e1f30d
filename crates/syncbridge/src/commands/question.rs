//! Asking whoever sits at the terminal.

use std::io::{BufRead as _, Write as _};

/// Whether they say yes; anything else is no.
pub(super) fn yes(question: &str) -> anyhow::Result<bool> {
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
