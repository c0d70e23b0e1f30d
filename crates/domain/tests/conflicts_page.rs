//! `docs/conflicts.md` is what reconciliation answers.
#![allow(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use syncbridge_domain::conflict_table::documentation;

#[test]
fn c_06_the_page_on_conflicts_is_what_is_decided() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/conflicts.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(
        page == documentation(),
        "docs/conflicts.md is stale: run `make docs-conflicts`"
    );
}
