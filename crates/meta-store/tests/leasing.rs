//! Writer leases and fences.

use std::time::Duration;

use syncbridge_domain::delta::DeltaCursor;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::ids::DefinitionId;
use syncbridge_meta_store::leases::{self, Lease};
use syncbridge_meta_store::{Error, Result};

use crate::fixture::{
    LIST, Memory, World, create, dirty, parked, refused, row, run, settlement, subject, witness,
};

const TERM: Duration = Duration::from_mins(10);

#[tokio::test]
async fn the_epoch_rises_with_every_acquisition() {
    let world = World::new().await;
    let id = world.definition("d", LIST).await;
    let first = world.lease(id, run(), TERM).await;
    leases::release(&world.store, first).await.unwrap();
    let second = world.lease(id, run(), TERM).await;
    world.expire(id).await;
    let third = world.lease(id, run(), TERM).await;
    assert_eq!([first.epoch, second.epoch, third.epoch], [1, 2, 3]);
}

#[tokio::test]
async fn a_held_lease_names_its_holder_run_and_remaining_time() {
    let world = World::new().await;
    let id = world.definition("d", LIST).await;
    let run_of_holder = run();
    world.lease(id, run_of_holder, TERM).await;
    let answer = leases::acquire(&world.store, id, "other", run(), TERM)
        .await
        .unwrap();
    let Lease::Held(held) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!((held.by.as_str(), held.run), ("worker", Some(run_of_holder)));
    assert!(held.remaining > Duration::ZERO && held.remaining <= TERM);
}

#[tokio::test]
async fn of_many_that_ask_at_once_one_gets_the_lease() {
    let world = World::new().await;
    let id = world.definition("d", LIST).await;
    let ask = || leases::acquire(&world.store, id, "worker", run(), TERM);
    let answers = tokio::join!(ask(), ask(), ask(), ask());
    let answers = [answers.0, answers.1, answers.2, answers.3];
    let got = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(Lease::Acquired(_))))
        .count();
    assert_eq!(got, 1, "{answers:?}");
}

#[tokio::test]
async fn a_lease_that_ran_out_or_was_taken_over_is_not_renewed() {
    let world = World::new().await;
    let id = world.definition("d", LIST).await;
    let old = world.lease(id, run(), TERM).await;
    leases::renew(&world.store, old, TERM).await.unwrap();
    world.expire(id).await;
    assert!(matches!(
        leases::renew(&world.store, old, TERM).await,
        Err(Error::LeaseLost { .. })
    ));
    let new = world.lease(id, run(), TERM).await;
    assert!(matches!(
        leases::renew(&world.store, old, TERM).await,
        Err(Error::LeaseLost { .. })
    ));
    // A stale holder cannot give back what is another's.
    leases::release(&world.store, old).await.unwrap();
    leases::renew(&world.store, new, TERM).await.unwrap();
}

#[tokio::test]
async fn an_unknown_definition_has_no_lease() {
    let world = World::new().await;
    let id = DefinitionId::from_uuid(uuid::Uuid::now_v7());
    let answer = leases::acquire(&world.store, id, "worker", run(), TERM).await;
    assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
}

/// Every method that writes, under this fence.
async fn all_writes(memory: &Memory, fence: Fence) -> Vec<(&'static str, Result<()>)> {
    let (store, run) = (&memory.store, memory.run);
    let who = subject("a");
    let effect = create(&who);
    let cursor = syncbridge_domain::feed::Cursor::default();
    let edit = syncbridge_meta_store::OverriddenEdit {
        identity: who.identity,
        column: "c".into(),
        source: 1.into(),
        target: 2.into(),
        winner: syncbridge_domain::conflict::Side::Source,
        target_by: None,
        target_at: None,
        ambiguous: false,
    };
    vec![
        (
            "layout",
            store
                .remember_layout(fence, syncbridge_domain::mapping::LayoutStamp(1), &[1])
                .await,
        ),
        (
            "admit",
            store
                .admit(fence, run, std::slice::from_ref(&effect))
                .await
                .map(|_| ()),
        ),
        (
            "settle",
            store
                .settle(
                    fence,
                    run,
                    &[settlement(
                        &effect,
                        syncbridge_meta_store::Verdict::Released,
                        None,
                    )],
                )
                .await,
        ),
        (
            "adopt",
            store
                .adopt(fence, &[row(&who, 1)], &[None], &[])
                .await
                .map(|_| ()),
        ),
        ("probed", store.probed(fence, &[effect.id]).await),
        (
            "mark",
            store.mark_dirty(fence, &[dirty(&who, 1)], Some(&cursor)).await,
        ),
        ("clear", store.clear_dirty(fence, &[(who.identity, 1)]).await),
        (
            "quarantine",
            store.quarantine(fence, run, &[(refused(&who, 1), None)]).await,
        ),
        ("requeue", store.requeue_due(fence).await.map(|_| ())),
        ("conflicts", store.record_conflicts(fence, run, &[edit]).await),
        (
            "park",
            store.park_conflicts(fence, run, &[parked(&who, "c")]).await,
        ),
        (
            "close",
            store.close_conflicts(fence, &[(who.identity, "c".into())]).await,
        ),
        (
            "witness",
            store
                .note_witnesses(fence, &[witness(&effect, &who, Some(1))])
                .await,
        ),
        (
            "delta",
            store
                .keep_delta(fence, &[dirty(&who, 1)], &DeltaCursor::default())
                .await,
        ),
        ("forget", store.forget_delta(fence).await),
    ]
}

async fn nothing_was_written(world: &World) {
    let rows = world
        .count(
            "SELECT (SELECT count(*) FROM ledger) + (SELECT count(*) FROM effects) + (SELECT count(*) FROM dirty)
                  + (SELECT count(*) FROM quarantine) + (SELECT count(*) FROM conflicts)
                  + (SELECT count(*) FROM cursors) + (SELECT count(*) FROM layouts)
                  + (SELECT count(*) FROM ledger_history) + (SELECT count(*) FROM item_links)",
        )
        .await;
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn no_write_passes_under_a_stale_epoch() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    world.expire(memory.id).await;
    world.lease(memory.id, run(), TERM).await;
    for (name, answer) in all_writes(&memory, memory.fence).await {
        let failure = Failure::from(answer.expect_err(name));
        assert_eq!(failure.code, "lease.lost", "{name}: {failure}");
        assert!(failure.cause.contains("taken over"), "{name}: {failure}");
    }
    nothing_was_written(&world).await;
}

#[tokio::test]
async fn no_write_passes_under_an_expired_lease_that_nobody_took() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    world.expire(memory.id).await;
    for (name, answer) in all_writes(&memory, memory.fence).await {
        let failure = Failure::from(answer.expect_err(name));
        assert_eq!(failure.code, "lease.lost", "{name}: {failure}");
        assert!(failure.cause.contains("run out"), "{name}: {failure}");
    }
    nothing_was_written(&world).await;
}

#[tokio::test]
async fn no_write_passes_under_the_fence_of_another_definition() {
    let world = World::new().await;
    let (one, other) = (world.memory("one").await, world.memory("other").await);
    for (name, answer) in all_writes(&one, other.fence).await {
        assert!(
            matches!(answer, Err(Error::WrongFence { .. })),
            "{name}: {answer:?}"
        );
    }
    nothing_was_written(&world).await;
}

#[tokio::test]
async fn taking_over_waits_for_a_writer_under_way_and_the_writer_is_whole() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    // Holds the writer inside its transaction, behind the fence check: the subject's slot is taken.
    let mut blocker = world.pool.begin().await.unwrap();
    let (who, definition) = (subject("a"), memory.id.uuid());
    insert_open_effect(&mut blocker, definition, who.identity.as_bytes()).await;
    let effect = create(&who);
    let writer = memory
        .store
        .admit(memory.fence, memory.run, std::slice::from_ref(&effect));
    let others = async {
        world.until_waiting(1).await;
        // By the clock the lease is over; a new holder comes while the writer still works.
        world.expire(memory.id).await;
        let successor = leases::acquire(&world.store, memory.id, "successor", run(), TERM);
        let release = async {
            world.until_waiting(2).await;
            blocker.rollback().await.unwrap();
        };
        tokio::join!(successor, release).0.unwrap()
    };
    let (written, taken) = tokio::join!(writer, others);
    assert_eq!(written.unwrap(), [syncbridge_domain::effect::Admission::Admitted]);
    assert!(
        matches!(taken, Lease::Acquired(acquired) if acquired.fence.epoch == 2),
        "{taken:?}"
    );
    assert_eq!(
        world.count("SELECT count(*) FROM effects WHERE epoch = 1").await,
        1
    );
}

#[tokio::test]
async fn a_writer_that_had_to_wait_for_a_take_over_is_refused() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let mut successor = world.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM writer_leases FOR UPDATE")
        .execute(&mut *successor)
        .await
        .unwrap();
    sqlx::query("UPDATE writer_leases SET epoch = epoch + 1")
        .execute(&mut *successor)
        .await
        .unwrap();
    let marks = [dirty(&subject("a"), 1)];
    let writer = memory.store.mark_dirty(memory.fence, &marks, None);
    let commit = async {
        world.until_waiting(1).await;
        successor.commit().await.unwrap();
    };
    let (written, ()) = tokio::join!(writer, commit);
    assert!(matches!(written, Err(Error::LeaseLost { .. })), "{written:?}");
    nothing_was_written(&world).await;
}

#[tokio::test]
async fn renewing_does_not_wait_for_writers() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let mut writer = world.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM writer_leases FOR KEY SHARE")
        .execute(&mut *writer)
        .await
        .unwrap();
    leases::renew(&world.store, memory.fence, TERM).await.unwrap();
    writer.rollback().await.unwrap();
}

pub(crate) async fn insert_open_effect(
    connection: &mut sqlx::PgConnection,
    definition: uuid::Uuid,
    identity: &[u8],
) {
    sqlx::query(
        "INSERT INTO effects (effect_id, workspace_id, definition_id, run_id, identity, key, list_id, kind,
                              sealed_sent, after_agreed, after_layout, after_generation, after_lsn, epoch,
                              generation, state)
         VALUES (gen_random_uuid(), gen_random_uuid(), $1, gen_random_uuid(), $2, 'k', 'l', 'create_item', 's',
                 decode(repeat('00', 16), 'hex'), 1, 1, 1, 1, 1, 'open')",
    )
    .bind(definition)
    .bind(identity)
    .execute(connection)
    .await
    .unwrap();
}
