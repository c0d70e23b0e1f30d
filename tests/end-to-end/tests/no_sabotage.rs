//! The product holds none of the mistakes that `make sabotage` builds in to try the simulation (`domain::sabotage`).

use syncbridge_end_to_end::World;

/// What the name of every built-in mistake begins with, wherever one is built in.
const MARK: &str = "sabotage: ";

fn holds_a_mistake(program: &[u8]) -> bool {
    program.utf8_chunks().any(|chunk| chunk.valid().contains(MARK))
}

#[test]
fn c_02_the_product_holds_no_built_in_mistake() {
    let product = World::program();
    for program in [product.clone(), product.with_file_name("graph-sim")] {
        let mut bytes = std::fs::read(&program).expect("a built program can be read");
        assert!(
            !holds_a_mistake(&bytes),
            "{} was built with `--cfg sabotage`: build it anew",
            program.display()
        );
        // A mistake in the midst of those very bytes would have been seen.
        let middle = bytes.len() / 2;
        bytes.splice(middle..middle, b"sabotage: tombstone ignored".iter().copied());
        assert!(holds_a_mistake(&bytes), "the search is blind");
    }
}
