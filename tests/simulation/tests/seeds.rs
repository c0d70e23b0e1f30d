//! Seeds that every run of the tests goes through, and those that once failed.

use syncbridge_simulation::demands::unlisted;
use syncbridge_simulation::hunt::{Hunt, check, hunt};
use syncbridge_simulation::simulation::Setting;

/// Seeds whose histories broke an invariant once, where the definition only pushes.
const ONCE_FAILED: [u64; 17] = [
    43, 90, 136, 151, 232, 264, 716, 852, 1_348, 1_550, 2_391, 2_467, 2_816, 3_247, 500_744, 501_061, 503_561,
];

/// Seeds whose histories broke an invariant once, whichever way their definitions go.
const ONCE_FAILED_EITHER_WAY: [u64; 14] = [
    1_796_071_736_394_370,
    1_796_071_736_394_622,
    1_796_071_736_395_877,
    1_796_071_736_396_774,
    1_796_071_736_396_959,
    1_796_071_736_397_350,
    1_796_072_148_318_129,
    1_796_072_148_319_419,
    1_796_072_148_320_137,
    1_796_072_148_325_632,
    1_796_072_657_564_689,
    1_796_072_657_571_399,
    1_796_073_063_954_765,
    1_796_073_063_956_683,
];

#[test]
fn c_01_histories_that_once_broke_an_invariant_either_way_hold() {
    for seed in ONCE_FAILED_EITHER_WAY {
        assert_eq!(check(&Setting::of(seed)).violation, None, "seed {seed}");
    }
}

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
        twice_every: 1,
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
    assert_eq!(unlisted(&counts), Vec::<&str>::new());
}
