//! Prints `docs/conflicts.md` (`make docs-conflicts`).
#![allow(clippy::print_stdout, reason = "this is all it does")]

fn main() {
    print!("{}", syncbridge_domain::conflict_table::documentation());
}
