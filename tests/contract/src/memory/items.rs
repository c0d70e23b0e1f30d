//! What the list's feed needs: its cursor, what it said of a row's item, rows by item.

use std::time::Duration;

use syncbridge_domain::delta::{DeltaCursor, DeltaPass};
use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::receipt::ItemId;
use syncbridge_engine::ports::Ledger as _;
use syncbridge_engine::ports::pull_memory::PullMemory;

use crate::sample::{LIST, Worker, changed, code, hinted, refused, row, subject, worker};
use crate::world::MemoryWorld;

/// The hint that is in force for a dirty row.
async fn hint<W: MemoryWorld>(us: &Worker<W::Memory>) -> (TargetHint, Duration) {
    let row = us.dirty().await.remove(0);
    (row.mark.target, row.hinted)
}

fn about(age: Duration, expected: Duration) -> bool {
    age >= expected && age < expected + Duration::from_mins(5)
}

pub async fn the_cursor_of_the_list_moves_with_its_marks<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    assert_eq!(us.memory.delta_cursor().await.unwrap(), DeltaCursor::default());
    let cursors = [
        DeltaCursor {
            token: None,
            pass: Some(DeltaPass {
                page: Some("https://a.page?token=\"1\"".into()),
                whole: true,
                failures: 3,
            }),
        },
        DeltaCursor {
            token: Some("t".into()),
            pass: None,
        },
    ];
    for cursor in &cursors {
        let marks = [hinted(&subject("a"), TargetHint::Changed)];
        us.memory.keep_delta(us.fence, &marks, cursor).await.unwrap();
        assert_eq!(us.memory.delta_cursor().await.unwrap(), *cursor);
        assert_eq!(us.dirty().await.len(), 1);
    }
    assert_eq!(other.memory.delta_cursor().await.unwrap(), DeltaCursor::default());
    world.release(us.fence).await;
    let lost = us
        .memory
        .keep_delta(us.fence, &[changed(&subject("b"), 1)], &cursors[0])
        .await;
    assert_eq!(code(lost), "lease.lost");
    assert_eq!(us.memory.delta_cursor().await.unwrap(), cursors[1]);
    assert_eq!(us.dirty().await.len(), 1);
}

pub async fn a_hint_stays_until_the_list_says_something_else<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let who = subject("a");
    us.mark(changed(&who, 1)).await;
    assert_eq!(hint::<W>(&us).await, (TargetHint::Presumed, Duration::ZERO));
    us.mark(hinted(&who, TargetHint::Changed)).await;
    us.later(&world, Duration::from_mins(10)).await;
    us.mark(changed(&who, 2)).await;
    let (target, age) = hint::<W>(&us).await;
    assert_eq!(
        target,
        TargetHint::Changed,
        "the source says nothing about the item"
    );
    assert!(about(age, Duration::from_mins(10)), "{age:?}");
    for said in [TargetHint::Deleted, TargetHint::Missing, TargetHint::Changed] {
        us.mark(hinted(&who, said)).await;
        let (target, age) = hint::<W>(&us).await;
        assert_eq!(target, said);
        assert!(about(age, Duration::ZERO), "{age:?}");
    }
}

pub async fn a_deletion_reported_again_keeps_its_first_time<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let who = subject("a");
    us.mark(hinted(&who, TargetHint::Deleted)).await;
    us.later(&world, Duration::from_mins(10)).await;
    us.mark(hinted(&who, TargetHint::Deleted)).await;
    let (target, age) = hint::<W>(&us).await;
    assert_eq!(target, TargetHint::Deleted);
    assert!(about(age, Duration::from_mins(10)), "{age:?}");
    us.mark(hinted(&who, TargetHint::Changed)).await;
    us.mark(hinted(&who, TargetHint::Deleted)).await;
    let (_, age) = hint::<W>(&us).await;
    assert!(about(age, Duration::ZERO), "it was there in between: {age:?}");
}

pub async fn the_list_says_nothing_about_a_suspected_deletion_of_the_row<
    W: MemoryWorld<Memory: PullMemory>,
>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.mark(DirtyMark {
        suspected_delete: true,
        ..changed(&who, 5)
    })
    .await;
    us.mark(hinted(&who, TargetHint::Changed)).await;
    let mark = us.dirty().await.remove(0).mark;
    assert!(mark.suspected_delete);
    assert_eq!(mark.mark.lsn.0, 5);
    us.mark(changed(&who, 6)).await;
    assert!(
        !us.dirty().await.remove(0).mark.suspected_delete,
        "the source's feed found it again"
    );
}

pub async fn a_hint_goes_to_quarantine_and_comes_back_with_its_row<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let who = subject("a");
    us.mark(hinted(&who, TargetHint::Deleted)).await;
    let sequence = us.sequence(who.identity).await;
    us.memory
        .quarantine(us.fence, us.run, &[(refused(&who, 1), Some(sequence))])
        .await
        .unwrap();
    us.later(&world, Duration::from_mins(10)).await;
    us.memory.requeue_due(us.fence).await.unwrap();
    let (target, age) = hint::<W>(&us).await;
    assert_eq!(target, TargetHint::Deleted);
    assert!(about(age, Duration::from_mins(10)), "{age:?}");
    us.mark(hinted(&who, TargetHint::Deleted)).await;
    let (_, age) = hint::<W>(&us).await;
    assert!(
        about(age, Duration::from_mins(10)),
        "the first report counts: {age:?}"
    );
    us.mark(hinted(&who, TargetHint::Changed)).await;
    assert_eq!(hint::<W>(&us).await.0, TargetHint::Changed);
    // Made dirty by the source, it still has the hint of its entry.
    let sequence = us.sequence(who.identity).await;
    us.memory
        .quarantine(us.fence, us.run, &[(refused(&who, 1), Some(sequence))])
        .await
        .unwrap();
    us.mark(changed(&who, 9)).await;
    assert_eq!(hint::<W>(&us).await.0, TargetHint::Changed);
}

pub async fn rows_are_found_by_the_number_of_their_item<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    let (live, gone) = (subject("live"), subject("gone"));
    us.write(&row(&live, 1)).await;
    let tombstone = LedgerRow {
        state: LedgerState::Tombstone,
        ..row(&gone, 2)
    };
    us.write(&tombstone).await;
    other.write(&row(&subject("theirs"), 3)).await;
    let items = ["2", "9", "1", "3"].map(|item| ItemId(item.into()));
    let found = us.memory.rows_of_items(&items).await.unwrap();
    let whose: Vec<_> = found
        .iter()
        .map(|row| row.as_ref().map(|row| row.identity))
        .collect();
    assert_eq!(whose, [Some(gone.identity), None, Some(live.identity), None]);
    assert_eq!(found[0].as_ref().unwrap().state, LedgerState::Tombstone);
    assert!(us.memory.rows_of_items(&[]).await.unwrap().is_empty());
}

pub async fn of_a_tombstone_and_a_row_with_one_item_the_row_is_found<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (before, now) = (subject("before"), subject("now"));
    let tombstone = |row: &LedgerRow| LedgerRow {
        state: LedgerState::Tombstone,
        ..row.clone()
    };
    us.write(&row(&before, 1)).await;
    let stored = us.row(before.identity).await.unwrap();
    us.write(&tombstone(&stored)).await;
    us.write(&row(&now, 1)).await;
    // The tombstone is written once more, so that it is the newer of the two.
    let stored = us.row(before.identity).await.unwrap();
    us.write(&stored).await;
    let found = us
        .memory
        .rows_of_items(&[ItemId("1".into())])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(found.unwrap().identity, now.identity);
}
