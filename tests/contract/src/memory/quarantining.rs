//! Rows that cannot be applied now: when they are tried again and what people do about them.

use std::time::Duration;

use syncbridge_domain::dirty::{DirtyMark, WaitsFor, retry_delay};
use syncbridge_engine::ports::Ledger as _;

use crate::sample::{LIST, Worker, changed, mark, refused, refused_with, subject, worker};
use crate::world::MemoryWorld;

async fn refuse<W: MemoryWorld>(us: &Worker<W::Memory>, name: &str, content: u8) {
    let entry = refused(&subject(name), content);
    us.memory
        .quarantine(us.fence, us.run, &[(entry, None)])
        .await
        .unwrap();
}

async fn attempts<W: MemoryWorld>(us: &Worker<W::Memory>, name: &str) -> u32 {
    let found = us
        .memory
        .quarantined(&[subject(name).identity])
        .await
        .unwrap()
        .remove(0);
    found.expect("it is in quarantine").attempts
}

pub async fn an_entry_is_read_back_with_its_cause<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (who, nobody) = (subject("a"), subject("nobody"));
    refuse::<W>(&us, "a", 7).await;
    let found = us
        .memory
        .quarantined(&[nobody.identity, who.identity])
        .await
        .unwrap();
    assert_eq!(found[0], None);
    let found = found[1].clone().unwrap();
    let mut expected = refused(&who, 7);
    expected.failure.cause = "the list refused\u{fffd} the value".into();
    assert_eq!(found.entry, expected, "NUL characters do not survive");
    assert_eq!((found.attempts, found.waits_for()), (1, WaitsFor::Retry));
    assert!(found.retry_at.unwrap() >= found.since - chrono::TimeDelta::seconds(1));
    assert_eq!(us.memory.quarantine_size().await.unwrap(), 1);
    assert_eq!(us.memory.quarantined_with("graph.invalid").await.unwrap(), 1);
    assert_eq!(us.memory.quarantined_with("graph.other").await.unwrap(), 0);
}

pub async fn the_dirty_row_is_moved_where_its_sequence_is_still_the_same<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (calm, busy) = (subject("calm"), subject("busy"));
    us.memory
        .mark_dirty(us.fence, &[changed(&calm, 1), changed(&busy, 1)], None)
        .await
        .unwrap();
    let sequences = [us.sequence(calm.identity).await, us.sequence(busy.identity).await];
    us.mark(changed(&busy, 2)).await;
    let entries = [
        (refused(&calm, 1), Some(sequences[0])),
        (refused(&busy, 1), Some(sequences[1])),
    ];
    us.memory.quarantine(us.fence, us.run, &entries).await.unwrap();
    let left: Vec<_> = us
        .dirty()
        .await
        .into_iter()
        .map(|row| row.mark.identity)
        .collect();
    assert_eq!(left, [busy.identity]);
    assert!(us.is_refused(calm.identity).await && us.is_refused(busy.identity).await);
}

pub async fn a_due_row_becomes_dirty_again_as_it_was_and_only_once<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let marked = DirtyMark {
        suspected_delete: true,
        ..changed(&who, 8)
    };
    us.mark(marked.clone()).await;
    let sequence = us.sequence(who.identity).await;
    us.memory
        .quarantine(us.fence, us.run, &[(refused(&who, 1), Some(sequence))])
        .await
        .unwrap();
    assert!(us.dirty().await.is_empty());
    assert_eq!(
        us.memory.requeue_due(us.fence).await.unwrap(),
        1,
        "the first attempt comes at once"
    );
    let back = us.dirty().await.remove(0);
    assert_eq!(back.mark, marked);
    assert!(back.sequence > sequence);
    assert_eq!(
        us.memory.requeue_due(us.fence).await.unwrap(),
        0,
        "it is dirty already"
    );
    assert!(us.is_refused(who.identity).await, "until it is applied");
}

pub async fn a_row_that_was_not_dirty_comes_back_at_the_present_generation<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    world.set_generation(us.id, 3).await;
    refuse::<W>(&us, "a", 1).await;
    us.memory.requeue_due(us.fence).await.unwrap();
    let back = us.dirty().await.remove(0).mark;
    assert_eq!(
        (back.mark.generation, back.mark.lsn.0, back.suspected_delete),
        (3, 0, false)
    );
}

pub async fn the_same_content_is_tried_ever_later_and_at_last_needs_a_person<W: MemoryWorld>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let who = subject("a");
    refuse::<W>(&us, "a", 1).await;
    for attempt in 1..=6 {
        assert_eq!(attempts::<W>(&us, "a").await, attempt);
        let wait = retry_delay(attempt).expect("six attempts come by themselves");
        if wait > Duration::from_secs(30) {
            us.later(&world, wait - Duration::from_secs(30)).await;
            assert_eq!(
                us.memory.requeue_due(us.fence).await.unwrap(),
                0,
                "attempt {attempt}"
            );
            us.later(&world, Duration::from_secs(31)).await;
        }
        assert_eq!(
            us.memory.requeue_due(us.fence).await.unwrap(),
            1,
            "attempt {attempt}"
        );
        let again = (refused(&who, 1), Some(us.sequence(who.identity).await));
        us.memory.quarantine(us.fence, us.run, &[again]).await.unwrap();
        assert!(us.dirty().await.is_empty());
    }
    let found = us
        .memory
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(
        (found.attempts, found.retry_at, found.waits_for()),
        (7, None, WaitsFor::Person)
    );
    us.later(&world, Duration::from_hours(24 * 30)).await;
    assert_eq!(us.memory.requeue_due(us.fence).await.unwrap(), 0);
}

pub async fn other_content_begins_anew_and_keeps_when_it_was_first_refused<W: MemoryWorld>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let who = subject("a");
    for (content, expected) in [(1, 1), (1, 2), (2, 1), (2, 2), (1, 1)] {
        refuse::<W>(&us, "a", content).await;
        assert_eq!(attempts::<W>(&us, "a").await, expected);
    }
    let since = us
        .memory
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap()
        .since;
    us.later(&world, Duration::from_mins(10)).await;
    refuse::<W>(&us, "a", 3).await;
    let found = us
        .memory
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let now = found.retry_at.unwrap();
    assert!(
        now - found.since > chrono::TimeDelta::minutes(9),
        "since {} until {now}",
        found.since
    );
    assert!(found.since <= since);
}

pub async fn of_two_entries_of_one_row_in_one_call_the_last_counts<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let entries = [
        (refused(&who, 1), None),
        (refused_with(&who, 2, "graph.other"), None),
    ];
    us.memory.quarantine(us.fence, us.run, &entries).await.unwrap();
    let found = us
        .memory
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(
        (found.entry.failure.code.as_str(), found.attempts),
        ("graph.other", 1)
    );
    assert_eq!(us.memory.quarantine_size().await.unwrap(), 1);
}

pub async fn a_row_that_a_person_accepts_waits_for_nothing_until_it_changes<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    refuse::<W>(&us, "a", 1).await;
    refuse::<W>(&us, "b", 1).await;
    world.accept(us.id, who.identity).await;
    let found = us
        .memory
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!((found.waits_for(), found.retry_at), (WaitsFor::Nothing, None));
    assert_eq!(
        us.memory.quarantine_size().await.unwrap(),
        1,
        "it does not count any more"
    );
    assert_eq!(us.memory.quarantined_with("graph.invalid").await.unwrap(), 2);
    assert_eq!(
        us.memory.requeue_due(us.fence).await.unwrap(),
        1,
        "only the other one"
    );
    refuse::<W>(&us, "a", 2).await;
    let found = us
        .memory
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!((found.waits_for(), found.attempts), (WaitsFor::Retry, 1));
}

pub async fn a_person_may_have_everything_tried_again<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    for _ in 1..=7 {
        refuse::<W>(&us, "a", 1).await;
    }
    refuse::<W>(&us, "b", 1).await;
    world.accept(us.id, subject("b").identity).await;
    assert_eq!(us.memory.requeue_due(us.fence).await.unwrap(), 0);
    world.retry(us.id).await;
    assert_eq!(attempts::<W>(&us, "a").await, 1);
    assert_eq!(us.memory.requeue_due(us.fence).await.unwrap(), 2);
    assert_eq!(us.memory.quarantine_size().await.unwrap(), 2);
}

pub async fn what_waits_for_approval_comes_back_with_it_and_nothing_else_does<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let entry = |name: &str, code: &str| (refused_with(&subject(name), 1, code), None);
    let entries = [
        entry("waiting", "plan.needed"),
        entry("gone", "item.suspected_gone"),
        entry("accepted", "plan.needed"),
        entry("refused", "graph.invalid"),
        entry("dirty", "plan.needed"),
    ];
    us.memory.quarantine(us.fence, us.run, &entries).await.unwrap();
    world.accept(us.id, subject("accepted").identity).await;
    us.mark(changed(&subject("dirty"), 4)).await;
    assert_eq!(us.memory.requeue_approved(us.fence).await.unwrap(), 2);
    let mut back: Vec<_> = us.dirty().await.into_iter().map(|row| row.mark).collect();
    back.sort_by_key(|row| (row.mark, row.identity));
    let told: Vec<_> = back.iter().map(|row| (row.identity, row.mark)).collect();
    let mut approved = [subject("waiting").identity, subject("gone").identity];
    approved.sort();
    assert_eq!(
        told,
        [
            (approved[0], mark(0)),
            (approved[1], mark(0)),
            (subject("dirty").identity, mark(4))
        ]
    );
    assert_eq!(us.memory.requeue_approved(us.fence).await.unwrap(), 0);
}
