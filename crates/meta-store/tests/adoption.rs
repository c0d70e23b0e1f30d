//! Agreement without a write.

use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_meta_store::{Error, ledger};

use crate::fixture::{World, dirty, refused, row, subject};

#[tokio::test]
async fn adoption_compares_and_sets_the_row_version() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let new = row(&who, 1);
    let adopt = async |row: &LedgerRow| {
        memory
            .store
            .adopt(memory.fence, std::slice::from_ref(row), &[None], &[])
            .await
            .unwrap()
    };
    assert_eq!(
        adopt(&LedgerRow {
            row_version: 1,
            ..new.clone()
        })
        .await,
        [false],
        "there is no row yet"
    );
    assert_eq!(adopt(&new).await, [true]);
    assert_eq!(adopt(&new).await, [false], "there is one by now");
    assert_eq!(
        adopt(&LedgerRow {
            row_version: 1,
            ..row(&who, 2)
        })
        .await,
        [true]
    );
    assert_eq!(
        adopt(&LedgerRow {
            row_version: 1,
            ..row(&who, 3)
        })
        .await,
        [false],
        "it moved on"
    );
    let stored = memory.row(who.identity).await.unwrap();
    assert_eq!((stored.row_version, stored.item.0.as_str()), (2, "2"));
    let mut connection = world.store.acquire().await.unwrap();
    let history = ledger::history(
        &mut connection,
        memory.id,
        who.identity,
        ledger::HistoryPage::newest(10),
    )
    .await
    .unwrap();
    assert_eq!(
        history.iter().map(|entry| entry.kind.name()).collect::<Vec<_>>(),
        ["adopt", "adopt"]
    );
}

#[tokio::test]
async fn of_two_adoptions_at_once_one_is_taken() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (one, two) = ([row(&subject("a"), 1)], [row(&subject("a"), 1)]);
    let (first, second) = tokio::join!(
        memory.store.adopt(memory.fence, &one, &[None], &[]),
        memory.store.adopt(memory.fence, &two, &[None], &[])
    );
    assert!(first.unwrap()[0] ^ second.unwrap()[0]);
}

#[tokio::test]
async fn answers_and_cleared_rows_follow_the_order_asked() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (a, b, c) = (subject("a"), subject("b"), subject("c"));
    memory.write(&row(&b, 2)).await;
    let marks = [dirty(&a, 1), dirty(&b, 1), dirty(&c, 1)];
    memory.store.mark_dirty(memory.fence, &marks, None).await.unwrap();
    memory
        .store
        .quarantine(memory.fence, memory.run, &[(refused(&a, 1), None)])
        .await
        .unwrap();
    let seen = memory.store.dirty(None, 10).await.unwrap();
    let sequence = |who| seen.iter().find(|d| d.mark.identity == who).map(|d| d.sequence);
    let rows = [row(&c, 3), row(&b, 2), row(&a, 1), row(&a, 9)];
    let clears = [None, sequence(b.identity), sequence(a.identity), None];
    let taken = memory
        .store
        .adopt(memory.fence, &rows, &clears, &[])
        .await
        .unwrap();
    assert_eq!(
        taken,
        [true, false, true, false],
        "b is there already, a was given twice"
    );
    let mut left: Vec<_> = memory.store.dirty(None, 10).await.unwrap();
    left.retain(|d| d.mark.identity == a.identity);
    assert_eq!(left, [], "only what was taken is clean");
    assert_eq!(world.count("SELECT count(*) FROM dirty").await, 2);
    assert_eq!(
        world.count("SELECT count(*) FROM quarantine").await,
        0,
        "what agrees is not in quarantine"
    );
}

#[tokio::test]
async fn an_item_of_another_row_is_not_adopted() {
    let world = World::new().await;
    let (one, other) = (world.memory("one").await, world.memory("other").await);
    one.write(&row(&subject("a"), 42)).await;
    let rows = [row(&subject("b"), 42)];
    let error = other
        .store
        .adopt(other.fence, &rows, &[None], &[])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ItemOwned { .. }), "{error:?}");
    assert_eq!(other.row(subject("b").identity).await, None);
}

#[tokio::test]
async fn kept_items_stay_linked_and_buried_ones_do_not() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (kept, buried) = (subject("kept"), subject("buried"));
    let rows = [
        LedgerRow {
            state: LedgerState::Kept,
            ..row(&kept, 1)
        },
        LedgerRow {
            state: LedgerState::Tombstone,
            ..row(&buried, 2)
        },
    ];
    assert_eq!(
        memory
            .store
            .adopt(memory.fence, &rows, &[None, None], &[])
            .await
            .unwrap(),
        [true, true]
    );
    let linked: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT item_guid FROM item_links")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    assert_eq!(linked, [uuid::Uuid::from_u128(1)]);
}
