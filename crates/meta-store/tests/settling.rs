//! Settling writes.

use syncbridge_domain::effect::{Admission, NewEffect};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::version::Version;
use syncbridge_meta_store::{Error, Verdict, ledger};

use crate::fixture::{World, create, dirty, patch, refused, row, settlement, subject};

fn applied(row: &LedgerRow) -> Verdict {
    Verdict::Applied(Box::new(row.clone()))
}

#[tokio::test]
async fn an_applied_write_is_in_the_ledger_linked_and_in_the_history_and_its_effect_is_gone() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let expected = row(&who, 1);
    memory.write(&expected).await;
    assert_eq!(
        memory.row(who.identity).await.unwrap(),
        LedgerRow {
            row_version: 1,
            ..expected.clone()
        }
    );
    assert_eq!(world.count("SELECT count(*) FROM effects").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM item_links").await, 1);
    let newer = LedgerRow {
        version: Version {
            counter: 2,
            ..expected.version
        },
        ..expected
    };
    let effect = patch(&memory.row(who.identity).await.unwrap());
    memory.admit(&effect).await;
    memory.settle(&effect, applied(&newer)).await.unwrap();
    assert_eq!(memory.row(who.identity).await.unwrap().row_version, 2);
    let mut connection = world.store.acquire().await.unwrap();
    let history = ledger::history(
        &mut connection,
        memory.id,
        who.identity,
        ledger::HistoryPage::newest(10),
    )
    .await
    .unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|h| (h.kind.name(), h.outcome.as_str(), h.before, h.after))
        .collect();
    assert_eq!(
        told,
        [
            ("patch_item", "applied", Some(1), Some(2)),
            ("create_item", "applied", None, Some(1))
        ]
    );
    assert_eq!(history[0].request_id.as_deref(), Some("req-1"));
    assert_eq!((history[0].run, history[0].effect), (memory.run, Some(effect.id)));
}

#[tokio::test]
async fn a_mark_that_came_after_the_look_survives_the_settlement() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (calm, busy) = (subject("calm"), subject("busy"));
    let marks = [dirty(&calm, 1), dirty(&busy, 1)];
    memory.store.mark_dirty(memory.fence, &marks, None).await.unwrap();
    let seen = memory.store.dirty(None, 10).await.unwrap();
    let sequence = |who: &syncbridge_domain::effect::Subject| {
        seen.iter()
            .find(|d| d.mark.identity == who.identity)
            .map(|d| d.sequence)
    };
    let effects = [create(&calm), create(&busy)];
    memory
        .store
        .admit(memory.fence, memory.run, &effects)
        .await
        .unwrap();
    // The source changes again while the write is under way.
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&busy, 2)], None)
        .await
        .unwrap();
    let settled = [
        settlement(&effects[0], applied(&row(&calm, 1)), sequence(&calm)),
        settlement(&effects[1], applied(&row(&busy, 2)), sequence(&busy)),
    ];
    memory
        .store
        .settle(memory.fence, memory.run, &settled)
        .await
        .unwrap();
    let left = memory.store.dirty(None, 10).await.unwrap();
    assert_eq!(
        left.iter().map(|d| d.mark.identity).collect::<Vec<_>>(),
        [busy.identity]
    );
    assert!(Some(left[0].sequence) > sequence(&busy));
}

#[tokio::test]
async fn a_released_or_armed_write_leaves_ledger_and_dirty_row_alone() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    for (name, verdict, effects) in [("released", Verdict::Released, 0), ("armed", Verdict::Armed, 1)] {
        let who = subject(name);
        memory
            .store
            .mark_dirty(memory.fence, &[dirty(&who, 1)], None)
            .await
            .unwrap();
        let effect = create(&who);
        memory.admit(&effect).await;
        memory.settle(&effect, verdict).await.unwrap();
        assert_eq!(
            world.count("SELECT count(*) FROM effects").await,
            effects,
            "{name}"
        );
        assert_eq!(memory.row(who.identity).await, None);
    }
    assert_eq!(world.count("SELECT count(*) FROM dirty").await, 2);
}

#[tokio::test]
async fn an_item_of_another_definitions_row_is_refused_and_nothing_is_written() {
    let world = World::new().await;
    let (one, other) = (world.memory("one").await, world.memory("other").await);
    one.write(&row(&subject("a"), 42)).await;
    let (good, bad) = (subject("good"), subject("bad"));
    let effects = [create(&good), create(&bad)];
    other.store.admit(other.fence, other.run, &effects).await.unwrap();
    let settled = [
        settlement(&effects[0], applied(&row(&good, 1)), None),
        settlement(&effects[1], applied(&row(&bad, 42)), None),
    ];
    let error = other
        .store
        .settle(other.fence, other.run, &settled)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::ItemOwned { item } if item == "42"),
        "{error:?}"
    );
    assert_eq!(Failure::from(error).code, "ledger.item_owned");
    assert_eq!(other.row(good.identity).await, None);
    assert_eq!(
        other.store.unsettled(10).await.unwrap().len(),
        2,
        "both stay open"
    );
}

#[tokio::test]
async fn an_item_of_another_row_of_the_same_definition_is_refused_too() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    memory.write(&row(&subject("a"), 42)).await;
    let effect = create(&subject("b"));
    memory.admit(&effect).await;
    let error = memory
        .settle(&effect, applied(&row(&subject("b"), 42)))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ItemOwned { .. }), "{error:?}");
}

#[tokio::test]
async fn a_tombstone_frees_its_item_and_a_new_item_replaces_the_old_link() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    memory.write(&row(&who, 1)).await;
    memory
        .write(&LedgerRow {
            row_version: 1,
            ..row(&who, 2)
        })
        .await;
    assert_eq!(
        world.count("SELECT count(*) FROM item_links").await,
        1,
        "one link an identity"
    );
    let dead = LedgerRow {
        state: LedgerState::Tombstone,
        row_version: 2,
        ..row(&who, 2)
    };
    memory.write(&dead).await;
    assert_eq!(world.count("SELECT count(*) FROM item_links").await, 0);
    assert_eq!(
        memory.row(who.identity).await.unwrap().state,
        LedgerState::Tombstone
    );
    assert_eq!(memory.store.live_rows().await.unwrap(), 0);
    memory.write(&row(&subject("b"), 1)).await;
}

#[tokio::test]
async fn an_item_may_pass_from_one_row_to_another_in_one_slice() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (a, b) = (subject("a"), subject("b"));
    memory.write(&row(&a, 1)).await;
    memory.write(&row(&b, 2)).await;
    let effects = [a.clone(), b.clone()].map(|who| NewEffect {
        expected_row_version: Some(1),
        ..create(&who)
    });
    memory
        .store
        .admit(memory.fence, memory.run, &effects)
        .await
        .unwrap();
    let settled = [
        settlement(&effects[0], applied(&row(&a, 2)), None),
        settlement(&effects[1], applied(&row(&b, 1)), None),
    ];
    memory
        .store
        .settle(memory.fence, memory.run, &settled)
        .await
        .unwrap();
    assert_eq!(memory.row(a.identity).await.unwrap().item.0, "2");
}

#[tokio::test]
async fn settling_twice_is_refused_and_writes_nothing() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let effect = create(&who);
    memory.admit(&effect).await;
    memory.settle(&effect, Verdict::Released).await.unwrap();
    let error = memory.settle(&effect, applied(&row(&who, 1))).await.unwrap_err();
    assert!(
        matches!(error, Error::EffectUnknown { effect: id } if id == effect.id),
        "{error:?}"
    );
    let error = memory.settle(&effect, Verdict::Armed).await.unwrap_err();
    assert!(matches!(error, Error::EffectUnknown { .. }), "{error:?}");
    assert_eq!(memory.row(who.identity).await, None);
}

#[tokio::test]
async fn an_effect_is_not_settled_under_another_identity() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let effect = create(&subject("a"));
    memory.admit(&effect).await;
    let other = NewEffect {
        subject: subject("b"),
        ..effect.clone()
    };
    let error = memory
        .settle(&other, applied(&row(&subject("b"), 1)))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::EffectUnknown { .. }), "{error:?}");
    assert_eq!(memory.store.unsettled(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_armed_write_that_landed_after_all_is_applied_only_while_its_subject_is_free() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let late = create(&who);
    memory.admit(&late).await;
    memory.settle(&late, Verdict::Armed).await.unwrap();
    let open = create(&who);
    memory.admit(&open).await;
    let error = memory.settle(&late, applied(&row(&who, 1))).await.unwrap_err();
    assert!(matches!(error, Error::SubjectBusy), "{error:?}");
    // In one slice: the second create was refused as a duplicate of the first, which had landed.
    let settled = [
        settlement(&late, applied(&row(&who, 1)), None),
        settlement(&open, Verdict::Released, None),
    ];
    memory
        .store
        .settle(memory.fence, memory.run, &settled)
        .await
        .unwrap();
    assert_eq!(memory.row(who.identity).await.unwrap().item.0, "1");
    assert_eq!(world.count("SELECT count(*) FROM effects").await, 0);
}

#[tokio::test]
async fn an_applied_row_leaves_quarantine() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    memory
        .store
        .quarantine(memory.fence, memory.run, &[(refused(&who, 1), None)])
        .await
        .unwrap();
    memory.write(&row(&who, 1)).await;
    assert_eq!(memory.store.quarantined(&[who.identity]).await.unwrap(), [None]);
}

#[tokio::test]
async fn a_large_slice_is_settled_whole() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let subjects: Vec<_> = (0..4_500).map(|n| subject(&format!("row {n}"))).collect();
    let effects: Vec<NewEffect> = subjects.iter().map(create).collect();
    let answers = memory
        .store
        .admit(memory.fence, memory.run, &effects)
        .await
        .unwrap();
    assert!(answers.iter().all(|answer| *answer == Admission::Admitted));
    let settled: Vec<_> = effects
        .iter()
        .zip(1u128..)
        .map(|(effect, item)| settlement(effect, applied(&row(&effect.subject, item)), None))
        .collect();
    memory
        .store
        .settle(memory.fence, memory.run, &settled)
        .await
        .unwrap();
    assert_eq!(memory.store.live_rows().await.unwrap(), 4_500);
    assert_eq!(world.count("SELECT count(*) FROM item_links").await, 4_500);
    assert_eq!(world.count("SELECT count(*) FROM ledger_history").await, 4_500);
}

/// A table is counted now and then; between two counts it may grow a thousandfold, as in every first load. What a
/// slice reads must not grow with it.
#[tokio::test]
async fn a_slice_reads_only_its_own_rows_in_tables_that_nobody_has_counted_yet() {
    const SLICES: u32 = 15;
    const ROWS: u32 = 400;
    let world = World::new().await;
    let memory = world.memory("d").await;
    for slice in 0..SLICES {
        let rows: Vec<LedgerRow> = (slice * ROWS..(slice + 1) * ROWS)
            .map(|number| row(&subject(&number.to_string()), u128::from(number) + 1))
            .collect();
        let effects: Vec<NewEffect> = rows
            .iter()
            .map(|row| create(&crate::fixture::subject_of(row)))
            .collect();
        let admitted = memory.store.admit(memory.fence, memory.run, &effects).await;
        assert!(admitted.unwrap().iter().all(|one| *one == Admission::Admitted));
        let settled: Vec<_> = effects
            .iter()
            .zip(&rows)
            .map(|(effect, row)| settlement(effect, applied(row), None))
            .collect();
        memory
            .store
            .settle(memory.fence, memory.run, &settled)
            .await
            .unwrap();
    }
    // Sessions tell what they read when they end.
    world.store.close().await;
    let written = i64::from(SLICES * ROWS);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let told = world
            .count("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'item_links'")
            .await;
        if told == written {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{told} rows are told of {written}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let read = world
        .count(
            "SELECT sum(coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0))::bigint
             FROM pg_stat_user_tables WHERE relname = 'item_links' OR relname LIKE 'ledger\\_p%'",
        )
        .await;
    assert!(read <= 3 * written, "{read} rows were read to write {written}");
}
