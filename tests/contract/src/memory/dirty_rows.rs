//! Rows known to have changed, and the cursors that move with them.

use std::time::Duration;

use chrono::DateTime;
use syncbridge_domain::dirty::DirtyMark;
use syncbridge_domain::feed::{Cursor, PendingWatermark};
use syncbridge_engine::ports::Ledger as _;

use crate::sample::{LIST, changed, crowd, mark, refused, subject, worker};
use crate::table::KeyKind;
use crate::world::MemoryWorld;

pub async fn every_mark_raises_the_sequence_and_keeps_the_newest_state<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.mark(changed(&who, 5)).await;
    let first = us.dirty().await.remove(0);
    assert_eq!((&first.mark, first.hinted), (&changed(&who, 5), Duration::ZERO));
    us.mark(DirtyMark {
        suspected_delete: true,
        ..changed(&who, 3)
    })
    .await;
    let second = us.dirty().await.remove(0);
    assert!(second.sequence > first.sequence);
    assert_eq!(second.mark.mark, mark(5), "the newest state that was ever marked");
    assert!(second.mark.suspected_delete, "the last word of the feed");
    us.mark(changed(&who, 9)).await;
    let third = us.dirty().await.remove(0);
    assert_eq!((third.mark.mark, third.mark.suspected_delete), (mark(9), false));
}

pub async fn a_newer_generation_is_newer_whatever_its_position<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let of_generation = |generation, lsn| {
        let mut dirty = changed(&who, lsn);
        dirty.mark.generation = generation;
        dirty
    };
    for (generation, lsn, newest) in [(1, 50, (1, 50)), (2, 3, (2, 3)), (1, 90, (2, 3)), (2, 4, (2, 4))] {
        us.mark(of_generation(generation, lsn)).await;
        let kept = us.dirty().await.remove(0).mark.mark;
        assert_eq!((kept.generation, kept.lsn.0), newest);
    }
}

pub async fn of_several_marks_in_one_call_the_last_counts_with_the_newest_state<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let suspected = DirtyMark {
        suspected_delete: true,
        key: KeyKind::Text.key("another spelling"),
        ..changed(&who, 2)
    };
    us.memory
        .mark_dirty(us.fence, &[changed(&who, 7), suspected.clone()], None)
        .await
        .unwrap();
    let [row] = <[_; 1]>::try_from(us.dirty().await).unwrap();
    assert_eq!(row.mark.mark, mark(7));
    assert_eq!((row.mark.key, row.mark.suspected_delete), (suspected.key, true));
}

pub async fn dirty_rows_come_in_the_order_of_identities_page_by_page<W: MemoryWorld>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    let crowd = crowd(5);
    let marks: Vec<DirtyMark> = crowd.iter().rev().map(|who| changed(who, 1)).collect();
    us.memory.mark_dirty(us.fence, &marks, None).await.unwrap();
    let page = async |after: Option<usize>, limit| {
        let after = after.map(|at| crowd[at].identity);
        let rows = us.memory.dirty(after, limit).await.unwrap();
        rows.into_iter().map(|row| row.mark.identity).collect::<Vec<_>>()
    };
    let ids: Vec<_> = crowd.iter().map(|who| who.identity).collect();
    assert_eq!(page(None, 2).await, ids[..2]);
    assert_eq!(page(Some(1), 2).await, ids[2..4]);
    assert_eq!(page(Some(3), 2).await, ids[4..]);
    assert!(page(Some(4), 2).await.is_empty());
    assert!(other.dirty().await.is_empty(), "each definition has its own");
}

pub async fn a_row_that_needed_nothing_goes_where_its_sequence_is_still_the_same<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (calm, busy) = (subject("calm"), subject("busy"));
    us.memory
        .mark_dirty(us.fence, &[changed(&calm, 1), changed(&busy, 1)], None)
        .await
        .unwrap();
    us.memory
        .quarantine(
            us.fence,
            us.run,
            &[(refused(&calm, 1), None), (refused(&busy, 1), None)],
        )
        .await
        .unwrap();
    let seen = [
        (calm.identity, us.sequence(calm.identity).await),
        (busy.identity, us.sequence(busy.identity).await),
    ];
    us.mark(changed(&busy, 2)).await;
    us.memory.clear_dirty(us.fence, &seen).await.unwrap();
    let left: Vec<_> = us
        .dirty()
        .await
        .into_iter()
        .map(|row| row.mark.identity)
        .collect();
    assert_eq!(left, [busy.identity]);
    assert!(!us.is_refused(calm.identity).await, "its ground is gone");
    assert!(us.is_refused(busy.identity).await);
}

pub async fn a_row_that_went_and_came_back_never_repeats_a_number<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.mark(changed(&who, 1)).await;
    let seen = us.sequence(who.identity).await;
    us.memory
        .clear_dirty(us.fence, &[(who.identity, seen)])
        .await
        .unwrap();
    us.mark(changed(&who, 1)).await;
    us.memory
        .clear_dirty(us.fence, &[(who.identity, seen)])
        .await
        .unwrap();
    assert_eq!(us.dirty().await.len(), 1);
}

pub async fn the_cursor_begins_at_the_beginning_and_moves_with_the_marks<W: MemoryWorld>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    assert_eq!(us.memory.cursor().await.unwrap(), Cursor::default());
    let copying = Cursor::FirstCopy {
        after: Some(KeyKind::Text.key("m")),
        pending: vec![PendingWatermark {
            value: "2026-01-02 03:04:05.6+00".into(),
            xmax: u64::from(u32::MAX) + 7,
            clock: Some(DateTime::from_timestamp_micros(1_234_567_890_123_456).unwrap()),
        }],
    };
    let steady = Cursor::Steady {
        watermark: None,
        pending: Vec::new(),
    };
    for cursor in [copying, steady] {
        us.memory
            .mark_dirty(us.fence, &[changed(&subject("a"), 1)], Some(&cursor))
            .await
            .unwrap();
        assert_eq!(us.memory.cursor().await.unwrap(), cursor);
    }
    us.mark(changed(&subject("b"), 1)).await;
    assert!(
        matches!(us.memory.cursor().await.unwrap(), Cursor::Steady { .. }),
        "marks alone leave it"
    );
    assert_eq!(other.memory.cursor().await.unwrap(), Cursor::default());
}

pub async fn the_generation_is_told_as_it_is_now<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    assert_eq!(us.memory.generation().await.unwrap(), 1);
    world.set_generation(us.id, 4).await;
    assert_eq!(us.memory.generation().await.unwrap(), 4);
}
