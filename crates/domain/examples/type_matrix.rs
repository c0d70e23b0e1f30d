//! Prints `docs/types.md` (`make docs-types`).
#![allow(clippy::print_stdout, reason = "this is all it does")]

fn main() {
    print!("{}", syncbridge_domain::type_matrix::documentation());
}
