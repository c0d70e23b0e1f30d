//! The list's feed: its cursor, what it says of items, and how items are held against the ledger.

use std::time::Duration;

use syncbridge_domain::delta::{DeltaCursor, DeltaPass};
use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::effect::{NewEffect, Subject};
use syncbridge_domain::feed::Cursor;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::receipt::ItemId;
use syncbridge_meta_store::{DefinitionStore, Settlement, Verdict, ledger};

use crate::fixture::{
    Memory, World, connect, create, dirty, mark, refused, row, settlement, subject, subject_of,
};

fn said(who: &Subject, target: TargetHint) -> DirtyMark {
    DirtyMark {
        target,
        ..dirty(who, 5)
    }
}

async fn tell(memory: &Memory, marks: &[DirtyMark]) {
    memory.store.mark_dirty(memory.fence, marks, None).await.unwrap();
}

/// Makes what was said so far an hour old.
async fn an_hour_later(world: &World) {
    for table in ["dirty", "quarantine"] {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE {table} SET hinted_at = hinted_at - interval '1 hour'"
        )))
        .execute(&world.pool)
        .await
        .unwrap();
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// The only dirty row's hint, and whether it is an hour old.
async fn hint(memory: &Memory) -> (TargetHint, bool) {
    let [row] = <[_; 1]>::try_from(memory.store.dirty(None, 10).await.unwrap()).unwrap();
    (row.mark.target, row.hinted >= HOUR)
}

#[tokio::test]
async fn what_the_list_said_last_stands_until_it_says_something_else() {
    use TargetHint::{Changed, Deleted, Missing, Presumed};
    let world = World::new().await;
    let memory = world.memory("d").await;
    for (number, (earlier, later, kept, old)) in [
        (Presumed, Presumed, Presumed, false),
        (Presumed, Deleted, Deleted, false),
        (Changed, Presumed, Changed, true),
        (Deleted, Presumed, Deleted, true),
        (Deleted, Deleted, Deleted, true),
        (Deleted, Changed, Changed, false),
        (Changed, Deleted, Deleted, false),
        (Changed, Changed, Changed, false),
        (Missing, Deleted, Deleted, false),
        (Deleted, Missing, Missing, false),
    ]
    .into_iter()
    .enumerate()
    {
        let who = subject(&number.to_string());
        tell(&memory, &[said(&who, earlier)]).await;
        an_hour_later(&world).await;
        tell(&memory, &[said(&who, later)]).await;
        assert_eq!(hint(&memory).await, (kept, old), "{earlier:?}, then {later:?}");
        let sequence = memory.store.dirty(None, 1).await.unwrap()[0].sequence;
        memory
            .store
            .clear_dirty(memory.fence, &[(who.identity, sequence)])
            .await
            .unwrap();
        // Told in one breath it comes to the same, but for the time.
        tell(&memory, &[said(&who, earlier), said(&who, later)]).await;
        assert_eq!(hint(&memory).await.0, kept, "{earlier:?} and {later:?}");
        sqlx::query("DELETE FROM dirty")
            .execute(&world.pool)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_hint_is_as_old_as_its_report_and_none_has_no_age() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    tell(&memory, &[said(&who, TargetHint::Presumed)]).await;
    assert_eq!(
        memory.store.dirty(None, 1).await.unwrap()[0].hinted,
        Duration::ZERO
    );
    tell(&memory, &[said(&who, TargetHint::Deleted)]).await;
    an_hour_later(&world).await;
    let hinted = memory.store.dirty(None, 1).await.unwrap()[0].hinted;
    assert!(hinted >= HOUR && hinted < 2 * HOUR, "{hinted:?}");
    // Clocks that were set back make nothing older.
    sqlx::query("UPDATE dirty SET hinted_at = clock_timestamp() + interval '1 hour'")
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(
        memory.store.dirty(None, 1).await.unwrap()[0].hinted,
        Duration::ZERO
    );
}

#[tokio::test]
async fn the_lists_word_leaves_the_sources_suspicion_alone() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let suspected = async || {
        memory.store.dirty(None, 1).await.unwrap()[0]
            .mark
            .suspected_delete
    };
    let gone = DirtyMark {
        suspected_delete: true,
        ..dirty(&who, 5)
    };
    tell(&memory, std::slice::from_ref(&gone)).await;
    tell(&memory, &[said(&who, TargetHint::Changed)]).await;
    assert!(suspected().await, "the list says nothing of the source row");
    tell(&memory, &[dirty(&who, 6)]).await;
    assert!(!suspected().await, "the source found it again");
    tell(&memory, &[gone, said(&who, TargetHint::Changed)]).await;
    assert!(suspected().await);
}

#[tokio::test]
async fn quarantine_does_not_lose_what_the_list_said() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    tell(&memory, &[said(&who, TargetHint::Deleted)]).await;
    an_hour_later(&world).await;
    let refuse = async |sequence| {
        memory
            .store
            .quarantine(memory.fence, memory.run, &[(refused(&who, 1), sequence)])
            .await
            .unwrap();
    };
    let due = async || {
        sqlx::query("UPDATE quarantine SET retry_at = clock_timestamp()")
            .execute(&world.pool)
            .await
            .unwrap();
        assert_eq!(memory.store.requeue_due(memory.fence).await.unwrap(), 1);
    };
    let sequence = async || memory.store.dirty(None, 1).await.unwrap()[0].sequence;
    refuse(Some(sequence().await)).await;
    assert_eq!(memory.store.dirty(None, 10).await.unwrap(), []);
    // Back by being due.
    due().await;
    assert_eq!(hint(&memory).await, (TargetHint::Deleted, true));
    // Refused again, and back because its source row changed: the item is looked at all the same.
    refuse(Some(sequence().await)).await;
    tell(&memory, &[dirty(&who, 9)]).await;
    assert_eq!(hint(&memory).await, (TargetHint::Deleted, true));
    // A second report of the deletion does not make it a new one.
    tell(&memory, &[said(&who, TargetHint::Deleted)]).await;
    assert_eq!(hint(&memory).await, (TargetHint::Deleted, true));
    refuse(Some(sequence().await)).await;
    due().await;
    assert_eq!(hint(&memory).await, (TargetHint::Deleted, true));
    // The list says otherwise.
    tell(&memory, &[said(&who, TargetHint::Changed)]).await;
    assert_eq!(hint(&memory).await, (TargetHint::Changed, false));
    refuse(Some(sequence().await)).await;
    due().await;
    assert_eq!(hint(&memory).await.0, TargetHint::Changed);
}

fn token(text: &str) -> DeltaCursor {
    DeltaCursor {
        token: Some(text.into()),
        pass: None,
    }
}

#[tokio::test]
async fn the_lists_cursor_and_what_it_found_move_together_or_not_at_all() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    assert_eq!(memory.store.delta_cursor().await.unwrap(), DeltaCursor::default());
    let under_way = DeltaCursor {
        token: Some("https://graph.example/delta?token=secretish".into()),
        pass: Some(DeltaPass {
            page: Some("page 2".into()),
            whole: true,
            failures: 2,
        }),
    };
    let found = [said(&subject("a"), TargetHint::Changed)];
    memory
        .store
        .keep_delta(memory.fence, &found, &under_way)
        .await
        .unwrap();
    assert_eq!(memory.store.delta_cursor().await.unwrap(), under_way);
    assert_eq!(hint(&memory).await.0, TargetHint::Changed);
    assert_eq!(
        memory.store.cursor().await.unwrap(),
        Cursor::default(),
        "the source's own"
    );
    let unfit = DirtyMark {
        mark: mark(u64::MAX),
        ..said(&subject("b"), TargetHint::Changed)
    };
    memory
        .store
        .keep_delta(memory.fence, &[unfit], &token("later"))
        .await
        .unwrap_err();
    assert_eq!(memory.store.delta_cursor().await.unwrap(), under_way);
    assert_eq!(world.count("SELECT count(*) FROM dirty").await, 1);
}

#[tokio::test]
async fn people_are_told_where_the_lists_feed_stands_but_not_its_token() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let mut connection = world.store.acquire().await.unwrap();
    let before = ledger::position(&mut connection, memory.id).await.unwrap();
    assert_eq!(before.delta, None);
    memory
        .store
        .keep_delta(memory.fence, &[], &token("secretish"))
        .await
        .unwrap();
    let position = ledger::position(&mut connection, memory.id).await.unwrap();
    assert!(!format!("{position:?}").contains("secretish"));
    let delta = position.delta.unwrap();
    assert_eq!((delta.token, delta.under_way, delta.whole), (true, false, false));
    assert_eq!(position.moved, None);
    memory.store.forget_delta(memory.fence).await.unwrap();
    let after = ledger::position(&mut connection, memory.id).await.unwrap();
    assert_eq!(after.delta, None);
    assert_eq!(memory.store.delta_cursor().await.unwrap(), DeltaCursor::default());
}

fn numbers(items: &[&str]) -> Vec<ItemId> {
    items.iter().map(|item| ItemId((*item).to_owned())).collect()
}

#[tokio::test]
async fn items_are_found_by_number_tombstones_included_in_the_order_asked() {
    let world = World::new().await;
    let (memory, other) = (world.memory("one").await, world.memory("other").await);
    let (live, gone) = (subject("live"), subject("gone"));
    memory.write(&row(&live, 17)).await;
    memory
        .write(&LedgerRow {
            state: LedgerState::Tombstone,
            ..row(&gone, 4)
        })
        .await;
    other.write(&row(&subject("foreign"), 99)).await;
    let found = memory
        .store
        .rows_of_items(&numbers(&["4", "99", "17", "5", "17"]))
        .await
        .unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|row| row.as_ref().map(|row| row.identity))
        .collect();
    assert_eq!(
        told,
        [
            Some(gone.identity),
            None,
            Some(live.identity),
            None,
            Some(live.identity)
        ]
    );
    assert_eq!(found[2], memory.row(live.identity).await, "rows come whole");
    assert_eq!(
        memory.store.rows_of_items(&[]).await.unwrap(),
        Vec::<Option<LedgerRow>>::new()
    );
}

#[tokio::test]
async fn an_item_that_passed_to_another_row_is_found_with_the_row_that_has_it() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (old, new) = (subject("old"), subject("new"));
    memory.write(&row(&old, 17)).await;
    memory
        .write(&LedgerRow {
            state: LedgerState::Tombstone,
            row_version: 1,
            ..row(&old, 17)
        })
        .await;
    memory.write(&row(&new, 17)).await;
    let again = LedgerRow {
        state: LedgerState::Tombstone,
        row_version: 2,
        ..row(&old, 17)
    };
    memory.write(&again).await;
    let found = memory.store.rows_of_items(&numbers(&["17"])).await.unwrap();
    assert_eq!(found[0].as_ref().map(|row| row.identity), Some(new.identity));
}

/// What a page of the list's feed reads must not grow with the list, whatever the planner believes of the ledger.
#[tokio::test]
async fn items_are_looked_up_one_by_one_in_tables_that_nobody_has_counted_yet() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    // What the planner knows: many definitions of one row each, so that this one, too, is taken for a row.
    sqlx::query(
        "INSERT INTO ledger (definition_id, identity, workspace_id, key, list_id, item_id, item_guid, version,
                             agreed, layout, hash_key_id, mark_generation, mark_lsn, state, row_version, last_run)
         SELECT gen_random_uuid(), decode(md5(n::text), 'hex'), gen_random_uuid(), 'k', 'l', (90000 + n)::text,
                gen_random_uuid(), 1, decode(repeat('00', 32), 'hex'), 1, 1, 1, 1, 1, 1, gen_random_uuid()
         FROM generate_series(1, 640) n",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    sqlx::query("ANALYZE ledger").execute(&world.pool).await.unwrap();
    let rows: Vec<LedgerRow> = (1u128..=6_000)
        .map(|number| row(&subject(&number.to_string()), number))
        .collect();
    let effects: Vec<NewEffect> = rows.iter().map(|row| create(&subject_of(row))).collect();
    memory
        .store
        .admit(memory.fence, memory.run, &effects)
        .await
        .unwrap();
    let settled: Vec<Settlement> = effects
        .iter()
        .zip(&rows)
        .map(|(effect, row)| settlement(effect, Verdict::Applied(Box::new(row.clone())), None))
        .collect();
    memory
        .store
        .settle(memory.fence, memory.run, &settled)
        .await
        .unwrap();
    let partition: String =
        sqlx::query_scalar("SELECT tableoid::regclass::text FROM ledger WHERE item_id = '6000'")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    // Sessions tell what they did with a table when they end, all of it at once.
    let told = async |what: &str, at_least: i64| {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let told: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "SELECT ({what})::bigint FROM pg_stat_user_tables WHERE relname = $1"
            )))
            .bind(&partition)
            .fetch_one(&world.pool)
            .await
            .unwrap();
            if told >= at_least {
                return told;
            }
            assert!(std::time::Instant::now() < deadline, "{told} of {at_least}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    world.store.close().await;
    told("n_tup_ins", 6_000).await;
    let read = "coalesce(idx_tup_fetch, 0) + seq_tup_read";
    let before = told(read, 0).await;
    let fresh = connect(&world._database).await;
    let memory = DefinitionStore::open(&fresh, &world.ring, memory.id)
        .await
        .unwrap();
    let items: Vec<ItemId> = (1..=500).map(|number| ItemId(number.to_string())).collect();
    let found = memory.rows_of_items(&items).await.unwrap();
    assert!(found.iter().all(Option::is_some));
    fresh.close().await;
    let read = told(read, before + 500).await - before;
    assert!(read < 1_000, "{read} rows were read to find 500 items");
}
