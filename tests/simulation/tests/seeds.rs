//! Seeds that every run of the tests goes through, and those that once failed.

use syncbridge_simulation::hunt::{Hunt, check, hunt};
use syncbridge_simulation::invariants::EXEMPTIONS;
use syncbridge_simulation::simulation::Setting;

/// Seeds whose histories broke an invariant once, where the definition only pushes.
const ONCE_FAILED: [u64; 17] = [
    43, 90, 136, 151, 232, 264, 716, 852, 1_348, 1_550, 2_391, 2_467, 2_816, 3_247, 500_744, 501_061, 503_561,
];

#[test]
fn c_01_histories_that_once_broke_an_invariant_hold() {
    for seed in ONCE_FAILED {
        let verdict = check(&Setting::pushing(seed));
        assert_eq!(verdict.violation, None, "seed {seed}");
    }
}

#[test]
fn c_01_a_hunt_meets_faults_crashes_and_decisions_and_uses_listed_exemptions_only() {
    let caught = hunt(Hunt {
        from: 1,
        seeds: 60,
        time: None,
        jobs: 1,
        keep_going: false,
    });
    assert!(caught.found.is_empty(), "{:?}", caught.found);
    let counts = caught.counts;
    assert_eq!(counts.histories, 60);
    assert!(
        counts.actions >= 50 * counts.histories,
        "{} actions",
        counts.actions
    );
    assert!(counts.struck >= 2 * counts.histories, "{} faults", counts.struck);
    for decision in ["CreateItem", "Fields", "DeleteItem", "InsertRow", "DeleteRow"] {
        assert!(
            counts.row_decisions.contains_key(decision),
            "{decision} was never made"
        );
    }
    assert!(counts.crash_points.len() > 20, "{:?}", counts.crash_points);
    let listed = |name: &String| EXEMPTIONS.iter().any(|(known, _)| known == name);
    let unlisted: Vec<&String> = counts.exemptions.keys().filter(|name| !listed(name)).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
}
