//! Agreement where nothing had to be written, and what is read of all agreements.

use syncbridge_domain::agreed::{Agreed, RowDigest};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_engine::ports::Ledger as _;
use uuid::Uuid;

use crate::sample::{LIST, changed, code, create, crowd, refused, row, subject, worker};
use crate::world::MemoryWorld;

pub async fn a_row_is_taken_where_its_version_is_the_one_it_rests_on<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (known, new) = (subject("known"), subject("new"));
    us.write(&row(&known, 1)).await;
    let adopt = async |rows: &[LedgerRow]| {
        us.memory
            .adopt(us.fence, rows, &vec![None; rows.len()], &[])
            .await
            .unwrap()
    };
    let version = |of: &syncbridge_domain::effect::Subject, item, row_version| LedgerRow {
        row_version,
        ..row(of, item)
    };
    let taken = adopt(&[
        version(&known, 1, 0),
        version(&new, 2, 3),
        version(&subject("other"), 3, 0),
    ])
    .await;
    assert_eq!(taken, [false, false, true], "in the order asked");
    assert_eq!(
        adopt(&[version(&known, 1, 1), version(&new, 2, 0)]).await,
        [true, true]
    );
    assert_eq!(adopt(&[version(&known, 1, 1)]).await, [false], "it moved on");
    let rows = us
        .memory
        .rows(&[new.identity, known.identity, subject("nobody").identity])
        .await
        .unwrap();
    let versions: Vec<_> = rows
        .iter()
        .map(|row| row.as_ref().map(|row| row.row_version))
        .collect();
    assert_eq!(versions, [Some(1), Some(2), None]);
}

pub async fn of_two_rows_of_one_identity_only_the_first_is_taken<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let taken = us
        .memory
        .adopt(us.fence, &[row(&who, 1), row(&who, 2)], &[None, None], &[])
        .await
        .unwrap();
    assert_eq!(taken, [true, false]);
    assert_eq!(us.row(who.identity).await.unwrap().item.0, "1");
}

pub async fn a_taken_row_leaves_quarantine_and_is_not_dirty_any_more<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (calm, busy) = (subject("calm"), subject("busy"));
    us.memory
        .mark_dirty(us.fence, &[changed(&calm, 1), changed(&busy, 1)], None)
        .await
        .unwrap();
    let entries = [(refused(&calm, 1), None), (refused(&busy, 1), None)];
    us.memory.quarantine(us.fence, us.run, &entries).await.unwrap();
    let sequences = [us.sequence(calm.identity).await, us.sequence(busy.identity).await];
    us.mark(changed(&busy, 2)).await;
    let rows = [row(&calm, 1), row(&busy, 2)];
    us.memory
        .adopt(us.fence, &rows, &sequences.map(Some), &[])
        .await
        .unwrap();
    let left: Vec<_> = us
        .dirty()
        .await
        .into_iter()
        .map(|row| row.mark.identity)
        .collect();
    assert_eq!(left, [busy.identity]);
    assert!(!us.is_refused(calm.identity).await && !us.is_refused(busy.identity).await);
}

pub async fn a_row_that_is_not_taken_changes_nothing_else<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.mark(changed(&who, 1)).await;
    us.memory
        .quarantine(us.fence, us.run, &[(refused(&who, 1), None)])
        .await
        .unwrap();
    let sequence = us.sequence(who.identity).await;
    let stale = LedgerRow {
        row_version: 7,
        ..row(&who, 1)
    };
    let taken = us
        .memory
        .adopt(us.fence, &[stale], &[Some(sequence)], &[])
        .await
        .unwrap();
    assert_eq!(taken, [false]);
    assert!(us.is_refused(who.identity).await);
    assert_eq!(us.sequence(who.identity).await, sequence);
    assert!(us.memory.owned(&[Uuid::from_u128(1)]).await.unwrap().is_empty());
}

pub async fn an_item_is_adopted_once_over_all_definitions<W: MemoryWorld>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    us.memory
        .adopt(us.fence, &[row(&subject("a"), 1)], &[None], &[])
        .await
        .unwrap();
    for thief in [&us, &other] {
        let rows = [row(&subject("honest"), 2), row(&subject("thief"), 1)];
        let answer = thief.memory.adopt(thief.fence, &rows, &[None, None], &[]).await;
        assert_eq!(code(answer), "ledger.item_owned");
        assert_eq!(
            thief.row(subject("honest").identity).await,
            None,
            "nothing was written"
        );
    }
    let items = [1, 9].map(Uuid::from_u128);
    assert_eq!(other.memory.owned_elsewhere(&items).await.unwrap(), [true, false]);
    assert_eq!(us.memory.owned_elsewhere(&items).await.unwrap(), [false, false]);
    assert_eq!(other.memory.linked(&items).await.unwrap(), [None, None]);
    let owned = other.memory.owned(&items).await.unwrap();
    assert_eq!(owned.into_iter().collect::<Vec<_>>(), items[..1]);
}

pub async fn digests_come_in_the_order_of_identities_page_by_page<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let crowd = crowd(7);
    let digest = |at: usize| RowDigest([u8::try_from(at).unwrap() + 1; 16]);
    let rows: Vec<LedgerRow> = crowd
        .iter()
        .enumerate()
        .map(|(at, who)| LedgerRow {
            agreed: Agreed {
                digest: digest(at),
                fields: vec![(None, None); 3],
            }
            .to_bytes(),
            layout: LayoutStamp(40 + u32::from(at == 3)),
            state: if at == 2 {
                LedgerState::Tombstone
            } else {
                LedgerState::Live
            },
            ..row(who, at as u128 + 1)
        })
        .collect();
    us.memory.adopt(us.fence, &rows, &[None; 7], &[]).await.unwrap();
    let id = |at: usize| Some(crowd[at].identity);
    let page = async |after, until, limit| {
        let found = us.memory.digests(after, until, limit).await.unwrap();
        let place = |of| crowd.iter().position(|who| who.identity == of).unwrap();
        found
            .iter()
            .map(|digest| place(digest.identity))
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, None, 100).await, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(page(None, None, 3).await, [0, 1, 2]);
    assert_eq!(page(id(2), None, 3).await, [3, 4, 5]);
    assert_eq!(
        page(id(2), id(4), 100).await,
        [3, 4],
        "behind one end, up to the other"
    );
    assert_eq!(page(id(6), None, 3).await, [0; 0]);
    let found = us.memory.digests(id(1), id(3), 100).await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|found| (found.digest, found.state, found.layout.0))
        .collect();
    assert_eq!(
        told,
        [
            (digest(2), LedgerState::Tombstone, 40),
            (digest(3), LedgerState::Live, 41)
        ]
    );
}

pub async fn only_live_rows_count_and_only_those_of_another_layout_or_key_are_stale<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let named = |name: &str, item, layout, hash_key_id, state| LedgerRow {
        layout: LayoutStamp(layout),
        hash_key_id,
        state,
        ..row(&subject(name), item)
    };
    let rows = [
        named("current", 1, 1, 1, LedgerState::Live),
        named("old layout", 2, 2, 1, LedgerState::Live),
        named("old key", 3, 1, 2, LedgerState::Live),
        named("refused", 4, 2, 1, LedgerState::Live),
        named("gone", 5, 2, 1, LedgerState::Tombstone),
        named("kept", 6, 2, 1, LedgerState::Kept),
        named("archived", 7, 2, 1, LedgerState::Archived),
    ];
    us.memory.adopt(us.fence, &rows, &[None; 7], &[]).await.unwrap();
    us.memory
        .quarantine(us.fence, us.run, &[(refused(&subject("refused"), 1), None)])
        .await
        .unwrap();
    assert_eq!(us.memory.live_rows().await.unwrap(), 4);
    assert_eq!(us.memory.stale_rows(LayoutStamp(1), 1).await.unwrap(), 2);
    assert_eq!(us.memory.stale_rows(LayoutStamp(2), 1).await.unwrap(), 2);
}

pub async fn a_layout_keeps_the_fields_it_was_first_remembered_with<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let stamp = LayoutStamp(u32::MAX);
    assert_eq!(us.memory.layout(stamp).await.unwrap(), None);
    us.memory
        .remember_layout(us.fence, stamp, &[u64::MAX, 0, 7])
        .await
        .unwrap();
    us.memory.remember_layout(us.fence, stamp, &[1]).await.unwrap();
    assert_eq!(us.memory.layout(stamp).await.unwrap(), Some(vec![u64::MAX, 0, 7]));
}

pub async fn an_adoption_beside_an_open_write_does_not_free_it<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let effect = create(&subject("a"));
    us.admit(&effect).await;
    us.memory
        .adopt(us.fence, &[row(&effect.subject, 1)], &[None], &[])
        .await
        .unwrap();
    assert_eq!(us.unsettled().await, [effect.id]);
}
