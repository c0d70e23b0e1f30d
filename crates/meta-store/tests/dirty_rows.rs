//! Dirty rows and the cursor.

use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::feed::{Cursor, Lsn, Mark};

use crate::fixture::{World, dirty, mark, refused, subject};

#[tokio::test]
async fn every_mark_raises_the_sequence_and_the_newest_state_is_kept() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let mut last = 0;
    for (given, kept) in [
        (mark(5), mark(5)),
        (mark(3), mark(5)),
        (
            Mark {
                generation: 2,
                lsn: Lsn(1),
            },
            Mark {
                generation: 2,
                lsn: Lsn(1),
            },
        ),
        (
            mark(9),
            Mark {
                generation: 2,
                lsn: Lsn(1),
            },
        ),
    ] {
        let new = DirtyMark {
            mark: given,
            ..dirty(&who, 0)
        };
        memory.store.mark_dirty(memory.fence, &[new], None).await.unwrap();
        let [stored] = <[_; 1]>::try_from(memory.store.dirty(None, 10).await.unwrap()).unwrap();
        assert_eq!(stored.mark.mark, kept);
        assert!(stored.sequence > last);
        last = stored.sequence;
    }
}

#[tokio::test]
async fn a_row_that_went_and_came_back_never_repeats_a_sequence() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&who, 1)], None)
        .await
        .unwrap();
    let first = memory.store.dirty(None, 1).await.unwrap()[0].sequence;
    memory
        .store
        .clear_dirty(memory.fence, &[(who.identity, first)])
        .await
        .unwrap();
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&who, 1)], None)
        .await
        .unwrap();
    memory
        .store
        .clear_dirty(memory.fence, &[(who.identity, first)])
        .await
        .unwrap();
    assert_eq!(
        memory.store.dirty(None, 10).await.unwrap().len(),
        1,
        "cleared only at its own sequence"
    );
}

#[tokio::test]
async fn the_last_mark_decides_on_the_suspicion_even_within_one_call() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let gone = DirtyMark {
        suspected_delete: true,
        target: TargetHint::Presumed,
        ..dirty(&who, 7)
    };
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&who, 9), gone.clone()], None)
        .await
        .unwrap();
    let stored = memory.store.dirty(None, 10).await.unwrap().remove(0).mark;
    assert_eq!(
        stored,
        DirtyMark {
            mark: mark(9),
            ..gone
        }
    );
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&who, 9)], None)
        .await
        .unwrap();
    assert!(
        !memory.store.dirty(None, 10).await.unwrap()[0]
            .mark
            .suspected_delete
    );
}

#[tokio::test]
async fn marks_and_cursor_move_together_or_not_at_all() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    assert_eq!(memory.store.cursor().await.unwrap(), Cursor::default());
    let steady = Cursor::Steady {
        watermark: Some("2026-01-01".into()),
        pending: vec![],
    };
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&subject("a"), 1)], Some(&steady))
        .await
        .unwrap();
    assert_eq!(memory.store.cursor().await.unwrap(), steady);
    // A mark that does not fit keeps the cursor where it was.
    let later = Cursor::Steady {
        watermark: Some("2027-01-01".into()),
        pending: vec![],
    };
    let unfit = DirtyMark {
        mark: mark(u64::MAX),
        ..dirty(&subject("b"), 0)
    };
    memory
        .store
        .mark_dirty(memory.fence, &[unfit], Some(&later))
        .await
        .unwrap_err();
    assert_eq!(memory.store.cursor().await.unwrap(), steady);
    memory
        .store
        .mark_dirty(memory.fence, &[], Some(&Cursor::default()))
        .await
        .unwrap();
    assert_eq!(memory.store.cursor().await.unwrap(), Cursor::default());
    assert_eq!(world.count("SELECT count(*) FROM dirty").await, 1);
}

#[tokio::test]
async fn dirty_rows_are_paged_in_the_order_of_identities() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let marks: Vec<DirtyMark> = (0..2_500).map(|n| dirty(&subject(&n.to_string()), 1)).collect();
    memory.store.mark_dirty(memory.fence, &marks, None).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = memory.store.dirty(after, 700).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.mark.identity);
        seen.extend(page.into_iter().map(|row| row.mark.identity));
    }
    assert_eq!(seen.len(), 2_500);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn a_row_found_to_need_nothing_leaves_quarantine_unless_it_changed_again() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (calm, busy) = (subject("calm"), subject("busy"));
    let entries = [(refused(&calm, 1), None), (refused(&busy, 1), None)];
    memory
        .store
        .quarantine(memory.fence, memory.run, &entries)
        .await
        .unwrap();
    let marks = [dirty(&calm, 1), dirty(&busy, 1)];
    memory.store.mark_dirty(memory.fence, &marks, None).await.unwrap();
    let seen: Vec<_> = memory
        .store
        .dirty(None, 10)
        .await
        .unwrap()
        .iter()
        .map(|row| (row.mark.identity, row.sequence))
        .collect();
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&busy, 2)], None)
        .await
        .unwrap();
    memory.store.clear_dirty(memory.fence, &seen).await.unwrap();
    let left = memory
        .store
        .quarantined(&[calm.identity, busy.identity])
        .await
        .unwrap();
    assert!(left[0].is_none() && left[1].is_some());
}
