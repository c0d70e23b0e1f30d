//! What goes into the ledger comes out of it, for any row.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use syncbridge_domain::agreed::{Agreed, RowDigest};
use syncbridge_domain::feed::{Lsn, Mark};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::RunId;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::version::Version;
use uuid::Uuid;

use crate::fixture::{World, key};

const BIGGEST: u64 = i64::MAX as u64;

fn any_row() -> impl Strategy<Value = LedgerRow> {
    let who = (
        any::<[u8; 16]>(),
        "[^\0]{0,60}",
        "[0-9]{1,12}",
        any::<u128>(),
        0..=BIGGEST,
    );
    let agreed = (
        any::<[u8; 16]>(),
        vec(any::<(u64, u64)>(), 0..12),
        any::<u32>(),
        0u16..=32_767,
    );
    let rest = (0..=i32::MAX as u32, 0..=BIGGEST, 1i16..=4, any::<u128>());
    (who, agreed, rest).prop_map(
        |((identity, text, item, guid, counter), agreed, (generation, lsn, state, run))| {
            let (digest, fields, layout, hash_key_id) = agreed;
            let fields = fields
                .into_iter()
                .map(|(s, t)| (std::num::NonZeroU64::new(s), std::num::NonZeroU64::new(t)))
                .collect();
            LedgerRow {
                identity: Identity::from_bytes(identity),
                key: key(&text),
                item: ItemId(item),
                version: Version {
                    guid: Uuid::from_u128(guid),
                    counter,
                },
                agreed: Agreed {
                    digest: RowDigest(digest),
                    fields,
                }
                .to_bytes(),
                layout: LayoutStamp(layout),
                hash_key_id,
                mark: Mark {
                    generation,
                    lsn: Lsn(lsn),
                },
                state: LedgerState::from_code(state).unwrap(),
                row_version: 0,
                last_run: RunId::from_uuid(Uuid::from_u128(run)),
            }
        },
    )
}

#[tokio::test]
async fn any_ledger_row_survives_storage() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let mut runner = TestRunner::deterministic();
    let rows: Vec<LedgerRow> = (0..600)
        .map(|_| any_row().new_tree(&mut runner).unwrap().current())
        .collect();
    let taken = memory
        .store
        .adopt(memory.fence, &rows, &vec![None; rows.len()], &[])
        .await
        .unwrap();
    assert!(taken.iter().all(|taken| *taken));
    let ids: Vec<Identity> = rows.iter().map(|row| row.identity).collect();
    let read = memory.store.rows(&ids).await.unwrap();
    for (row, read) in rows.iter().zip(read) {
        assert_eq!(
            read,
            Some(LedgerRow {
                row_version: 1,
                ..row.clone()
            })
        );
    }
    let live = rows.iter().filter(|row| row.state == LedgerState::Live).count();
    assert_eq!(memory.store.live_rows().await.unwrap(), live as u64);
    // Written over under the slot: everything is replaced.
    let fresh: Vec<LedgerRow> = rows
        .iter()
        .take(100)
        .map(|old| LedgerRow {
            identity: old.identity,
            row_version: 1,
            ..any_row().new_tree(&mut runner).unwrap().current()
        })
        .collect();
    for row in &fresh {
        memory.write(row).await;
        assert_eq!(
            memory.row(row.identity).await,
            Some(LedgerRow {
                row_version: 2,
                ..row.clone()
            })
        );
    }
}

#[tokio::test]
async fn digests_come_in_the_order_of_identities_within_the_bounds_asked() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let mut runner = TestRunner::deterministic();
    let mut rows: Vec<LedgerRow> = (0..50)
        .map(|_| any_row().new_tree(&mut runner).unwrap().current())
        .collect();
    memory
        .store
        .adopt(memory.fence, &rows, &vec![None; rows.len()], &[])
        .await
        .unwrap();
    rows.sort_by_key(|row| row.identity);
    let all = memory.store.digests(None, None, 1_000).await.unwrap();
    assert_eq!(all.len(), 50);
    for (row, digest) in rows.iter().zip(&all) {
        let expected = Agreed::from_bytes(&row.agreed).unwrap().digest;
        assert_eq!((digest.identity, digest.digest), (row.identity, expected));
        assert_eq!((digest.state, digest.layout), (row.state, row.layout));
    }
    let (after, until) = (rows[9].identity, rows[29].identity);
    assert_eq!(
        memory
            .store
            .digests(Some(after), Some(until), 1_000)
            .await
            .unwrap(),
        all[10..30]
    );
    assert_eq!(
        memory.store.digests(Some(after), Some(until), 5).await.unwrap(),
        all[10..15]
    );
}

#[tokio::test]
async fn rows_come_in_the_order_asked_with_gaps_for_the_unknown() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let mut runner = TestRunner::deterministic();
    let rows: Vec<LedgerRow> = (0..3)
        .map(|_| any_row().new_tree(&mut runner).unwrap().current())
        .collect();
    memory
        .store
        .adopt(memory.fence, &rows, &[None, None, None], &[])
        .await
        .unwrap();
    let unknown = Identity::from_bytes([0xAA; 16]);
    let asked = [rows[2].identity, unknown, rows[0].identity, rows[2].identity];
    let read = memory.store.rows(&asked).await.unwrap();
    let told: Vec<_> = read
        .iter()
        .map(|row| row.as_ref().map(|row| row.identity))
        .collect();
    assert_eq!(told, [Some(asked[0]), None, Some(asked[2]), Some(asked[0])]);
    assert!(memory.store.rows(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn layouts_are_remembered_with_any_stamp() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let fields = [0, 1, u64::MAX, 1 << 63];
    let stamp = LayoutStamp(u32::MAX);
    assert_eq!(memory.store.layout(stamp).await.unwrap(), None);
    memory
        .store
        .remember_layout(memory.fence, stamp, &fields)
        .await
        .unwrap();
    memory
        .store
        .remember_layout(memory.fence, stamp, &[5])
        .await
        .unwrap();
    assert_eq!(
        memory.store.layout(stamp).await.unwrap().as_deref(),
        Some(fields.as_slice())
    );
    assert_eq!(memory.store.generation().await.unwrap(), 1);
}

#[tokio::test]
async fn a_counter_beyond_what_fits_is_refused_and_not_cut() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let row = crate::fixture::row(&crate::fixture::subject("a"), 1);
    let row = LedgerRow {
        version: Version {
            counter: BIGGEST + 1,
            ..row.version
        },
        ..row
    };
    let error = memory
        .store
        .adopt(memory.fence, &[row], &[None], &[])
        .await
        .unwrap_err();
    assert!(
        matches!(error, syncbridge_meta_store::Error::OutOfRange { .. }),
        "{error:?}"
    );
}
