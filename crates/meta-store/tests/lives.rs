//! Which lives a definition last saw, and which rows of the source it may be told by.

use syncbridge_domain::effect::{EffectKind, NewEffect};
use syncbridge_domain::feed::Lsn;
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::life::KnownLife;
use syncbridge_meta_store::Verdict;

use crate::fixture::{Memory, World, dirty, patch, row, subject, witness};

fn life(timeline: u32, durable: u64) -> KnownLife {
    KnownLife {
        identifier: Some("7".into()),
        timeline: Some(timeline),
        durable: Lsn(durable),
        memory: Some("here".into()),
    }
}

/// Writes the source row of a ledger row, in this transaction.
async fn writes_row(memory: &Memory, of: &LedgerRow, xid: u64) {
    let effect = NewEffect {
        kind: EffectKind::UpdateRow,
        ..patch(of)
    };
    memory.admit(&effect).await;
    memory
        .store
        .note_witnesses(memory.fence, &[witness(&effect, &effect.subject, Some(xid))])
        .await
        .unwrap();
    memory
        .settle(&effect, Verdict::Applied(Box::new(of.clone())))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_life_noted_last_is_read_back_and_only_a_lease_holder_notes_one() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    assert_eq!(memory.store.known_life().await.unwrap(), None);
    for known in [life(1, 100), life(2, 50)] {
        memory.store.note_life(memory.fence, &known, None).await.unwrap();
        assert_eq!(memory.store.known_life().await.unwrap(), Some(known));
    }
    let unknown = KnownLife {
        identifier: None,
        timeline: None,
        memory: None,
        ..life(1, 0)
    };
    memory
        .store
        .note_life(memory.fence, &unknown, None)
        .await
        .unwrap();
    assert_eq!(memory.store.known_life().await.unwrap(), Some(unknown));
    world.expire(memory.id).await;
    assert!(
        memory
            .store
            .note_life(memory.fence, &life(3, 1), None)
            .await
            .is_err()
    );
    let own = memory.store.own_life().await.unwrap();
    assert_eq!(own, memory.store.own_life().await.unwrap());
    assert_ne!(
        own,
        World::new()
            .await
            .memory("d")
            .await
            .store
            .own_life()
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn the_newest_rows_that_we_wrote_are_told_until_the_source_lives_another_life() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    memory
        .store
        .note_life(memory.fence, &life(1, 1), None)
        .await
        .unwrap();
    let (first, second) = (row(&subject("first"), 1), row(&subject("second"), 2));
    for row in [&first, &second] {
        memory.write(row).await;
    }
    assert!(
        memory.store.newest_written().await.unwrap().is_empty(),
        "only the list was written"
    );
    for (of, xid) in [(&first, 7), (&second, 8), (&first, 9)] {
        let now = memory.row(of.identity).await.unwrap();
        writes_row(&memory, &now, xid).await;
    }
    let mut told = memory.store.newest_written().await.unwrap();
    told.sort_by_key(|(_, xid)| *xid);
    assert_eq!(told, [(second.key.clone(), 8), (first.key.clone(), 9)]);
    memory
        .store
        .note_life(memory.fence, &life(1, 2), None)
        .await
        .unwrap();
    assert_eq!(memory.store.newest_written().await.unwrap().len(), 2);
    memory
        .store
        .note_life(memory.fence, &life(2, 2), Some(2))
        .await
        .unwrap();
    assert!(
        memory.store.newest_written().await.unwrap().is_empty(),
        "written in an earlier life"
    );
}

#[tokio::test]
async fn rows_at_rest_are_of_the_new_life_and_what_still_waits_is_of_the_old_one() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (rests, waits) = (row(&subject("rests"), 1), row(&subject("waits"), 2));
    for row in [&rests, &waits] {
        memory.write(row).await;
    }
    let generation = memory.row(rests.identity).await.unwrap().mark.generation;
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&subject("waits"), 1)], None)
        .await
        .unwrap();
    memory
        .store
        .note_life(memory.fence, &life(2, 1), Some(generation + 1))
        .await
        .unwrap();
    for (of, expected) in [(&rests, generation + 1), (&waits, generation)] {
        let now = memory.row(of.identity).await.unwrap();
        assert_eq!((now.mark.generation, &now.agreed), (expected, &of.agreed));
    }
    // However many there are, and none of another definition.
    let other = world.memory("other").await;
    other.write(&row(&subject("rests"), 9)).await;
    sqlx::query(
        "INSERT INTO ledger
         SELECT (jsonb_populate_record(l, jsonb_build_object(
                     'identity', '\\x' || lpad(to_hex(n), 32, '0'), 'item_guid', md5(n::text)::uuid, 'item_id', n::text))).*
         FROM ledger l, generate_series(1, 4500) n WHERE l.definition_id = $1 AND l.identity = $2",
    )
    .bind(memory.id.uuid())
    .bind(rests.identity.as_bytes().as_slice())
    .execute(&world.pool)
    .await
    .unwrap();
    memory
        .store
        .note_life(memory.fence, &life(3, 1), Some(generation + 2))
        .await
        .unwrap();
    let found: Vec<(i32, i64)> =
        sqlx::query_as("SELECT mark_generation, count(*) FROM ledger GROUP BY 1 ORDER BY 1")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let number = |generation: u32| i32::try_from(generation).unwrap();
    // What waits, and the other definition's.
    assert_eq!(found, [(number(generation), 2), (number(generation + 2), 4501)]);
}
