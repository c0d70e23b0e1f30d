//! Rebuilds the crate when a migration is added; the macro that embeds them only follows those it knew.
#![allow(clippy::print_stdout)]

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
