//! Full comparisons, tombstones, and what the guard counts.

use std::time::Duration;

use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_engine::ports::{Ledger as _, Verdict};

use crate::sample::{LIST, Worker, applied, changed, create, mark, row, subject, worker, write_to};
use crate::world::MemoryWorld;

const DAY: Duration = Duration::from_hours(24);

/// Deletes a row's item the way a run does.
async fn delete<W: MemoryWorld>(us: &Worker<W::Memory>, name: &str, item: u128) {
    let who = subject(name);
    us.write(&row(&who, item)).await;
    let stored = us.row(who.identity).await.unwrap();
    let effect = write_to(&stored, EffectKind::DeleteItem);
    us.admit(&effect).await;
    let gone = LedgerRow {
        state: LedgerState::Tombstone,
        ..stored
    };
    us.settle(&effect, applied(&gone)).await.unwrap();
}

pub async fn a_full_comparison_is_due_when_the_last_one_is_so_long_ago<W: MemoryWorld>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    assert!(
        us.memory.sweep_due(1_000 * DAY).await.unwrap(),
        "there never was one"
    );
    us.memory.swept(us.fence, us.run, mark(1)).await.unwrap();
    assert!(!us.memory.sweep_due(DAY).await.unwrap());
    us.later(&world, DAY - Duration::from_mins(1)).await;
    assert!(!us.memory.sweep_due(DAY).await.unwrap());
    us.later(&world, Duration::from_mins(2)).await;
    assert!(us.memory.sweep_due(DAY).await.unwrap());
    us.memory.swept(us.fence, us.run, mark(2)).await.unwrap();
    assert!(!us.memory.sweep_due(DAY).await.unwrap());
}

pub async fn a_tombstone_goes_once_every_feed_is_past_it_and_its_item_cannot_come_back<W: MemoryWorld>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    for (item, name) in (1..).zip(["past", "dirty", "unsettled"]) {
        delete::<W>(&us, name, item).await;
    }
    us.write(&row(&subject("live"), 9)).await;
    us.mark(changed(&subject("dirty"), 11)).await;
    let stored = us.row(subject("unsettled").identity).await.unwrap();
    let armed = syncbridge_domain::effect::NewEffect {
        expected_row_version: Some(stored.row_version),
        ..create(&subject("unsettled"))
    };
    us.admit(&armed).await;
    us.settle(&armed, Verdict::Armed).await.unwrap();
    let left = async |us: &Worker<W::Memory>| {
        let names = ["past", "dirty", "unsettled", "live"];
        let ids = names.map(|name| subject(name).identity);
        let rows = us.memory.rows(&ids).await.unwrap();
        let known = names.into_iter().zip(rows).filter(|(_, row)| row.is_some());
        known.map(|(name, _)| name).collect::<Vec<_>>()
    };
    let all = ["past", "dirty", "unsettled", "live"];
    us.memory.swept(us.fence, us.run, mark(99)).await.unwrap();
    assert_eq!(
        left(&us).await,
        all,
        "the item may come back from the recycle bin"
    );
    us.later(&world, 92 * DAY).await;
    us.memory.swept(us.fence, us.run, mark(99)).await.unwrap();
    assert_eq!(left(&us).await, all, "for some days yet");
    us.later(&world, 2 * DAY).await;
    us.memory.swept(us.fence, us.run, mark(10)).await.unwrap();
    assert_eq!(left(&us).await, all, "a feed is not past it");
    us.memory.swept(us.fence, us.run, mark(11)).await.unwrap();
    assert_eq!(left(&us).await, all[1..]);
}

pub async fn the_guard_counts_what_was_deleted_lately_without_a_persons_word<W: MemoryWorld>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    delete::<W>(&us, "a", 1).await;
    delete::<W>(&us, "b", 2).await;
    let counted = async |us: &Worker<W::Memory>, hours| {
        us.memory
            .deleted_within(Duration::from_hours(hours))
            .await
            .unwrap()
    };
    assert_eq!(counted(&us, 1).await, 2);
    us.later(&world, Duration::from_hours(2)).await;
    delete::<W>(&us, "c", 3).await;
    assert_eq!((counted(&us, 1).await, counted(&us, 3).await), (1, 3));
    let usual = us.run;
    us.run = world.run_that_may_delete(us.id).await;
    delete::<W>(&us, "d", 4).await;
    assert_eq!(counted(&us, 3).await, 3, "it was asked for");
    us.run = usual;
    // A delete that did not happen is none.
    us.write(&row(&subject("e"), 5)).await;
    let effect = write_to(
        &us.row(subject("e").identity).await.unwrap(),
        EffectKind::DeleteItem,
    );
    us.admit(&effect).await;
    us.settle(&effect, Verdict::Released).await.unwrap();
    assert_eq!(counted(&us, 3).await, 3);
}
