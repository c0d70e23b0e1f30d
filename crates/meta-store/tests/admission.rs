//! Recording writes before they are sent.

use syncbridge_domain::effect::{Admission, EffectState, NewEffect};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_meta_store::Verdict;

use crate::fixture::{World, create, patch, row, subject};

#[tokio::test]
async fn a_10_of_two_writes_of_one_subject_at_once_one_is_admitted() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    for round in 0..10 {
        let who = subject(&format!("row {round}"));
        let (one, two) = ([create(&who)], [create(&who)]);
        let (first, second) = tokio::join!(
            memory.store.admit(memory.fence, memory.run, &one),
            memory.store.admit(memory.fence, memory.run, &two)
        );
        let mut answers = [first.unwrap()[0], second.unwrap()[0]];
        answers.sort_by_key(|answer| *answer as u8);
        assert_eq!(answers, [Admission::Admitted, Admission::Busy], "round {round}");
    }
    assert_eq!(world.count("SELECT count(*) FROM effects").await, 10);
}

#[tokio::test]
async fn many_overlapping_slices_at_once_admit_each_subject_once_and_never_deadlock() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let slices: Vec<Vec<NewEffect>> = (0..4)
        .map(|slice| {
            let order: Vec<usize> = if slice % 2 == 0 {
                (0..300).collect()
            } else {
                (0..300).rev().collect()
            };
            order
                .into_iter()
                .map(|n| create(&subject(&n.to_string())))
                .collect()
        })
        .collect();
    let admit = |at: usize| memory.store.admit(memory.fence, memory.run, &slices[at]);
    let answers = tokio::join!(admit(0), admit(1), admit(2), admit(3));
    let admitted: usize = [answers.0, answers.1, answers.2, answers.3]
        .into_iter()
        .map(|answer| {
            answer
                .unwrap()
                .iter()
                .filter(|a| **a == Admission::Admitted)
                .count()
        })
        .sum();
    assert_eq!(admitted, 300);
}

#[tokio::test]
async fn answers_come_in_the_order_asked() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let busy = subject("busy");
    memory.admit(&create(&busy)).await;
    let stale = NewEffect {
        expected_row_version: Some(4),
        ..create(&subject("stale"))
    };
    let effects: Vec<NewEffect> = vec![
        create(&subject("x")),
        stale,
        create(&subject("y")),
        create(&busy),
        create(&subject("z")),
    ];
    let answers = memory
        .store
        .admit(memory.fence, memory.run, &effects)
        .await
        .unwrap();
    use Admission::{Admitted, Busy, Stale};
    assert_eq!(answers, [Admitted, Stale, Admitted, Busy, Admitted]);
    assert_eq!(
        world.count("SELECT count(*) FROM effects").await,
        4,
        "the stale one is gone"
    );
}

#[tokio::test]
async fn a_decision_on_an_older_or_missing_ledger_row_is_stale() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    memory.write(&row(&who, 1)).await;
    let stored = memory.row(who.identity).await.unwrap();
    assert_eq!(stored.row_version, 1);
    for expected in [None, Some(0), Some(2)] {
        let effect = NewEffect {
            expected_row_version: expected,
            ..patch(&stored)
        };
        let answer = memory
            .store
            .admit(memory.fence, memory.run, &[effect])
            .await
            .unwrap();
        assert_eq!(answer, [Admission::Stale], "{expected:?}");
    }
    memory.admit(&patch(&stored)).await;
}

#[tokio::test]
async fn an_admission_that_waited_for_a_settlement_sees_its_ledger_row_and_is_stale() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let first = create(&who);
    memory.admit(&first).await;
    // A settlement under way, as another worker's transaction would do it: effect closed, ledger written, not
    // yet committed.
    let mut settlement = world.pool.begin().await.unwrap();
    sqlx::query("DELETE FROM effects WHERE effect_id = $1")
        .bind(first.id.uuid())
        .execute(&mut *settlement)
        .await
        .unwrap();
    insert_ledger_row(&mut settlement, memory.id.uuid(), &row(&who, 1)).await;
    let second = [create(&who)];
    let admission = memory.store.admit(memory.fence, memory.run, &second);
    let commit = async {
        world.until_waiting(1).await;
        settlement.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(admission, commit);
    assert_eq!(answer.unwrap(), [Admission::Stale]);
    assert_eq!(world.count("SELECT count(*) FROM effects").await, 0);
}

#[tokio::test]
async fn an_admission_that_waited_for_a_settlement_that_failed_is_busy() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let first = create(&who);
    memory.admit(&first).await;
    let mut settlement = world.pool.begin().await.unwrap();
    sqlx::query("DELETE FROM effects")
        .execute(&mut *settlement)
        .await
        .unwrap();
    let second = [create(&who)];
    let admission = memory.store.admit(memory.fence, memory.run, &second);
    let rollback = async {
        world.until_waiting(1).await;
        settlement.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(admission, rollback);
    assert_eq!(answer.unwrap(), [Admission::Busy]);
}

#[tokio::test]
async fn two_definitions_do_not_write_one_item_at_once() {
    let world = World::new().await;
    let (one, other) = (world.memory("one").await, world.memory("other").await);
    let item = row(&subject("a"), 7);
    let effect = NewEffect {
        expected_row_version: None,
        ..patch(&item)
    };
    one.admit(&effect).await;
    let same_item = NewEffect {
        expected_row_version: None,
        ..patch(&row(&subject("b"), 7))
    };
    let answer = other
        .store
        .admit(other.fence, other.run, &[same_item])
        .await
        .unwrap();
    assert_eq!(answer, [Admission::Busy]);
}

#[tokio::test]
async fn an_armed_write_leaves_its_subject_free_and_is_due_until_probed() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let first = create(&who);
    memory.admit(&first).await;
    memory.settle(&first, Verdict::Armed).await.unwrap();
    let second = create(&who);
    memory.admit(&second).await;
    let unsettled = memory.store.unsettled(10).await.unwrap();
    let states: Vec<_> = unsettled.iter().map(|effect| (effect.id, effect.state)).collect();
    assert_eq!(
        states,
        [(second.id, EffectState::Open), (first.id, EffectState::Armed)],
        "open ones come first"
    );
    memory
        .store
        .probed(memory.fence, &[first.id, second.id])
        .await
        .unwrap();
    let unsettled = memory.store.unsettled(10).await.unwrap();
    assert_eq!(
        unsettled.len(),
        1,
        "a probed one waits; an open one is always told"
    );
    assert_eq!((unsettled[0].id, unsettled[0].probes), (second.id, 0));
    // Ever later: once a minute passed by the database's clock it is due again.
    sqlx::query("UPDATE effects SET next_probe_at = next_probe_at - interval '61 s' WHERE state = 'armed'")
        .execute(&world.pool)
        .await
        .unwrap();
    let unsettled = memory.store.unsettled(10).await.unwrap();
    assert_eq!(
        unsettled.last().map(|effect| (effect.id, effect.probes)),
        Some((first.id, 1))
    );
}

#[tokio::test]
async fn what_was_recorded_is_read_back_whole() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let effect = NewEffect {
        expected_row_version: None,
        ..patch(&row(&subject("a"), 5))
    };
    memory.admit(&effect).await;
    let [read] = <[_; 1]>::try_from(memory.store.unsettled(10).await.unwrap()).unwrap();
    assert_eq!(
        (read.id, read.run, read.kind),
        (effect.id, memory.run, effect.kind)
    );
    assert_eq!((read.subject, read.item), (effect.subject, effect.item));
    assert_eq!((read.sent, read.after), (effect.sent, effect.after));
    assert_eq!(
        (read.epoch, read.state, read.probes),
        (memory.fence.epoch, EffectState::Open, 0)
    );
}

pub(crate) async fn insert_ledger_row(
    connection: &mut sqlx::PgConnection,
    definition: uuid::Uuid,
    row: &LedgerRow,
) {
    sqlx::query(
        "INSERT INTO ledger (definition_id, identity, workspace_id, key, list_id, item_id, item_guid, version,
                             agreed, layout, hash_key_id, mark_generation, mark_lsn, state, row_version, last_run)
         VALUES ($1, $2, gen_random_uuid(), $3, 'l', '1', $4, 1, $5, 1, 1, 1, 1, 1, 1, gen_random_uuid())",
    )
    .bind(definition)
    .bind(row.identity.as_bytes().as_slice())
    .bind(row.key.as_bytes())
    .bind(row.version.guid)
    .bind(&row.agreed)
    .execute(connection)
    .await
    .unwrap();
}
