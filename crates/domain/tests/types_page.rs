//! `docs/types.md` is what the table of types says.
#![allow(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use syncbridge_domain::type_matrix::documentation;

#[test]
fn the_page_on_types_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/types.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(
        page == documentation(),
        "docs/types.md is stale: run `make docs-types`"
    );
}
