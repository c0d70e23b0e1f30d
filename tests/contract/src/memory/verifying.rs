//! Verifications: kept page by page, taken over after an interruption.

use syncbridge_domain::ids::RunId;
use syncbridge_domain::run::Verification;
use syncbridge_domain::verification::{
    Cause, Difference, DifferenceKind, SeenItem, VerificationFrom, VerificationStart, VerificationStep,
    VerifiedPage,
};
use syncbridge_engine::ports::Ledger as _;

use crate::sample::{LIST, code, run, subject, worker};
use crate::world::MemoryWorld;

fn start(run: RunId, fingerprint: &str, resume: bool) -> VerificationStart {
    VerificationStart {
        run,
        fingerprint: fingerprint.into(),
        resume,
    }
}

fn seen(item: u64) -> SeenItem {
    SeenItem {
        identity: subject(&item.to_string()).identity,
        item,
        owned: item.is_multiple_of(2),
        known: true,
        settled: false,
    }
}

fn found(items: u64) -> Verification {
    Verification {
        items,
        ..Verification::default()
    }
}

fn page(number: u64, next: Option<&str>, items: u64) -> VerificationStep {
    VerificationStep {
        page: Some(VerifiedPage {
            number,
            next: next.map(str::to_owned),
            seen: vec![seen(number), seen(number + 100)],
        }),
        differences: vec![Difference {
            kind: DifferenceKind::Differing,
            cause: Cause::List,
            identity: subject("a").identity.to_string(),
            item: Some(number.to_string()),
            columns: vec!["name".into(), "note".into()],
            explained: false,
        }],
        report: found(items),
        finished: false,
    }
}

pub async fn a_verification_is_gone_on_with_where_it_was_interrupted<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (first, second) = (run(), run());
    let begun = us
        .memory
        .begin_verification(&start(first, "f", true))
        .await
        .unwrap();
    assert_eq!(begun, VerificationFrom::default());
    us.memory
        .keep_verification(first, &page(1, Some("two"), 2))
        .await
        .unwrap();
    us.memory
        .keep_verification(first, &page(2, Some("three"), 4))
        .await
        .unwrap();
    let behind_the_pages = VerificationStep {
        page: None,
        ..page(0, None, 99)
    };
    us.memory
        .keep_verification(first, &behind_the_pages)
        .await
        .unwrap();
    let from = us
        .memory
        .begin_verification(&start(second, "f", true))
        .await
        .unwrap();
    let expected = VerificationFrom {
        pages: 2,
        next: Some("three".into()),
        report: found(4),
    };
    assert_eq!(from, expected, "what follows the pages is found again");
    assert_eq!(
        us.memory.verified_page(second, 1).await.unwrap(),
        [seen(1), seen(101)]
    );
    let answer = us.memory.keep_verification(first, &page(3, None, 6)).await;
    assert_eq!(code(answer), "verify.taken_over");
    assert_eq!(code(us.memory.verified_page(first, 1).await), "verify.taken_over");
    us.memory
        .keep_verification(second, &page(3, None, 6))
        .await
        .unwrap();
}

pub async fn only_an_unfinished_one_with_the_same_fingerprint_is_taken_over_and_only_if_asked<
    W: MemoryWorld,
>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let first = run();
    us.memory
        .begin_verification(&start(first, "f", true))
        .await
        .unwrap();
    us.memory
        .keep_verification(first, &page(1, Some("two"), 2))
        .await
        .unwrap();
    for (fingerprint, resume) in [("f", false), ("g", true)] {
        let from = us
            .memory
            .begin_verification(&start(run(), fingerprint, resume))
            .await
            .unwrap();
        assert_eq!(from, VerificationFrom::default(), "{fingerprint} {resume}");
    }
    // The newest of that fingerprint has no page to go on from; the one before it has.
    let from = us
        .memory
        .begin_verification(&start(run(), "f", true))
        .await
        .unwrap();
    assert_eq!(from.pages, 1);
    assert_eq!(
        code(us.memory.keep_verification(first, &page(2, None, 4)).await),
        "verify.taken_over"
    );
}

pub async fn a_finished_one_is_not_gone_on_with_and_its_pages_are_gone<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let first = run();
    us.memory
        .begin_verification(&start(first, "f", true))
        .await
        .unwrap();
    us.memory
        .keep_verification(first, &page(1, None, 2))
        .await
        .unwrap();
    let end = VerificationStep {
        page: None,
        differences: Vec::new(),
        report: found(2),
        finished: true,
    };
    us.memory.keep_verification(first, &end).await.unwrap();
    assert_eq!(code(us.memory.verified_page(first, 1).await), "verify.taken_over");
    let from = us
        .memory
        .begin_verification(&start(run(), "f", true))
        .await
        .unwrap();
    assert_eq!(from, VerificationFrom::default());
}

pub async fn the_newest_five_of_a_definition_are_kept<W: MemoryWorld>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    let theirs = run();
    other
        .memory
        .begin_verification(&start(theirs, "f", false))
        .await
        .unwrap();
    let runs: Vec<RunId> = (0..6).map(|_| run()).collect();
    for run in &runs {
        us.memory
            .begin_verification(&start(*run, "f", false))
            .await
            .unwrap();
    }
    assert_eq!(
        code(us.memory.keep_verification(runs[0], &page(1, None, 1)).await),
        "verify.taken_over"
    );
    us.memory
        .keep_verification(runs[1], &page(1, None, 1))
        .await
        .unwrap();
    other
        .memory
        .keep_verification(theirs, &page(1, None, 1))
        .await
        .unwrap();
    assert_eq!(
        code(us.memory.keep_verification(theirs, &page(2, None, 1)).await),
        "verify.taken_over"
    );
}
