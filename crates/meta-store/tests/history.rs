//! What happened to a row: kept by the statements that do it, never changed, let go by age.

use std::time::Duration;

use chrono::Utc;
use serde_json::json;
use syncbridge_domain::agreed::{Agreed, RowDigest};
use syncbridge_domain::effect::{EffectKind, NewEffect, Subject};
use syncbridge_domain::history::{Cause, Decider, FieldCause, Happening, Way};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::receipt::Fields;
use syncbridge_domain::reconcile::{FieldDecision, RowDecision};
use syncbridge_domain::version::Version;
use syncbridge_meta_store::ledger::{
    HistoryEntry, HistoryPage, history, history_is_whole, run_wrote, state_at,
};
use syncbridge_meta_store::{DefinitionStore, Verdict};

use crate::fixture::{Memory, World, create, insert, patch, row, run, settlement, subject, witness};

async fn told(world: &World, memory: &Memory, who: &Subject) -> Vec<HistoryEntry> {
    let mut connection = world.store.acquire().await.unwrap();
    history(&mut connection, memory.id, who.identity, HistoryPage::newest(50))
        .await
        .unwrap()
}

fn agreed(digest: u8) -> Vec<u8> {
    let hash = std::num::NonZeroU64::new(u64::from(digest));
    Agreed {
        digest: RowDigest([digest; 16]),
        fields: vec![(hash, hash)],
    }
    .to_bytes()
}

fn by_policy() -> Cause {
    Cause {
        fields: vec![FieldCause {
            column: "budget".into(),
            rule: FieldDecision::ConflictToTarget,
            by: Decider::LatestWins,
        }],
        ..Cause::of(RowDecision::Fields)
    }
}

/// Creates a row's item and patches it once.
async fn patched(memory: &Memory, who: &Subject) {
    patched_item(memory, who, 1).await;
}

async fn patched_item(memory: &Memory, who: &Subject, item: u128) {
    let first = LedgerRow {
        agreed: agreed(1),
        ..row(who, item)
    };
    memory.write(&first).await;
    let effect = NewEffect {
        cause: by_policy(),
        before: Fields::from([("Title".to_owned(), json!("planted before"))]),
        ..patch(&memory.row(who.identity).await.unwrap())
    };
    memory.admit(&effect).await;
    let second = LedgerRow {
        agreed: agreed(2),
        version: Version {
            counter: 2,
            ..first.version
        },
        ..first
    };
    memory
        .settle(&effect, Verdict::Applied(Box::new(second)))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_entry_says_what_was_agreed_on_before_and_after_and_why() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    patched(&memory, &who).await;
    let entries = told(&world, &memory, &who).await;
    let [second, first] = &entries[..] else {
        panic!("{entries:#?}")
    };
    assert_eq!(first.cause, Some(Cause::of(RowDecision::CreateItem)));
    assert_eq!((&first.was, first.row_version), (&None, Some(1)));
    assert_eq!(first.stands.as_ref().unwrap().agreed, agreed(1));
    assert_eq!(second.kind, Happening::Wrote(EffectKind::PatchItem));
    assert_eq!(second.kind.way(), Way::ToList);
    assert_eq!(second.cause, Some(by_policy()));
    assert_eq!(
        second.was, first.stands,
        "what was agreed on before is what the entry before left"
    );
    let stands = second.stands.as_ref().unwrap();
    assert_eq!(
        (&stands.agreed, stands.state),
        (&agreed(2), Some(LedgerState::Live))
    );
    assert_eq!(
        (second.before, second.after, second.row_version),
        (Some(1), Some(2), Some(2))
    );
    assert_eq!(second.mark, Some(crate::fixture::mark(10)));
    assert_eq!(second.request_id.as_deref(), Some("req-1"));
    assert!(
        !second.has_values,
        "values are kept only where a definition asks for it"
    );
    let values = memory
        .store
        .history_values(who.identity, second.number)
        .await
        .unwrap();
    assert_eq!(values, None);
}

#[tokio::test]
async fn an_agreement_without_a_write_is_kept_with_what_was_before_and_under_its_own_name() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let mut rests_on = 0;
    for (rule, name) in [
        (RowDecision::Adopt, "adopt"),
        (RowDecision::Fields, "agree"),
        (RowDecision::LeaveItem, "leave"),
        (RowDecision::Bury, "bury"),
    ] {
        let step = u8::try_from(rests_on).unwrap() + 1;
        let next = LedgerRow {
            agreed: agreed(step),
            row_version: rests_on,
            version: Version {
                counter: rests_on + 1,
                ..row(&who, 1).version
            },
            last_run: memory.run,
            ..row(&who, 1)
        };
        let taken = memory
            .store
            .adopt(memory.fence, &[next], &[None], &[Cause::of(rule)])
            .await
            .unwrap();
        assert_eq!(taken, [true]);
        rests_on += 1;
        let newest = told(&world, &memory, &who).await.remove(0);
        assert_eq!((newest.kind.name(), newest.outcome.as_str()), (name, "adopted"));
        assert_eq!(newest.cause, Some(Cause::of(rule)));
        assert_eq!(newest.run, memory.run);
        assert_eq!(newest.row_version, Some(rests_on));
        let before = newest.was.as_ref().map(|was| was.agreed.clone());
        assert_eq!(before, (step > 1).then(|| agreed(step - 1)));
        assert_eq!(newest.before, (step > 1).then(|| rests_on - 1));
    }
    // What is refused leaves no trace.
    let stale = row(&who, 1);
    let taken = memory
        .store
        .adopt(memory.fence, &[stale], &[None], &[Cause::of(RowDecision::Adopt)])
        .await
        .unwrap();
    assert_eq!(taken, [false]);
    assert_eq!(told(&world, &memory, &who).await.len(), 4);
}

#[tokio::test]
async fn values_are_kept_sealed_where_a_definition_asks_for_it() {
    let world = World::new().await;
    let Memory {
        store,
        id,
        fence,
        run,
    } = world.memory("d").await;
    let memory = Memory {
        store: store.keeping_values(true),
        id,
        fence,
        run,
    };
    let who = subject("a");
    patched(&memory, &who).await;
    let newest = told(&world, &memory, &who).await.remove(0);
    assert!(newest.has_values);
    let values = memory
        .store
        .history_values(who.identity, newest.number)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(values.sent["Title"], json!("planted value"));
    assert_eq!(values.before["Title"], json!("planted before"));
    assert!(!format!("{values:?}").contains("planted"));
    let in_the_clear = world
        .count(
            "SELECT count(*) FROM ledger_history h
             WHERE position('planted'::bytea IN h.sealed_sent) > 0 OR position('planted'::bytea IN h.sealed_before) > 0
                OR h::text LIKE '%planted%'",
        )
        .await;
    assert_eq!(in_the_clear, 0);
    let other = world.memory("other").await;
    let stolen = other
        .store
        .history_values(who.identity, newest.number)
        .await
        .unwrap();
    assert_eq!(stolen, None, "another definition's entries are not there for it");
}

#[tokio::test]
async fn what_a_run_wrote_is_read_row_by_row_in_pages_with_what_was_sent_and_seen() {
    let world = World::new().await;
    let Memory {
        store,
        id,
        fence,
        run,
    } = world.memory("d").await;
    let memory = Memory {
        store: store.keeping_values(true),
        id,
        fence,
        run,
    };
    let names = ["a", "b", "c"];
    let mut ids = Vec::new();
    for (item, name) in (1..).zip(names) {
        let who = subject(name);
        ids.push(who.identity);
        patched_item(&memory, &who, item).await;
        // What agrees without a write, and what was refused, is nothing to put back.
        let stored = memory.row(who.identity).await.unwrap();
        let causes = [Cause::of(RowDecision::Fields)];
        let taken = memory.store.adopt(fence, &[stored], &[None], &causes).await;
        assert_eq!(taken.unwrap(), [true]);
        let effect = patch(&memory.row(who.identity).await.unwrap());
        memory.admit(&effect).await;
        memory.settle(&effect, Verdict::Released).await.unwrap();
    }
    ids.sort_unstable();
    let mut connection = world.store.acquire().await.unwrap();
    assert!(run_wrote(&mut connection, id, run).await.unwrap());
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = memory.store.written_by(run, after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.identity);
        assert!(page.len() <= 2, "{page:?}");
        seen.extend(page);
    }
    assert_eq!(seen.iter().map(|one| one.identity).collect::<Vec<_>>(), ids);
    for one in &seen {
        let [created, patched] = &one.writes[..] else {
            panic!("{one:?}")
        };
        assert_eq!((created.kind, &created.was), (EffectKind::CreateItem, &None));
        assert_eq!(
            (patched.kind, &patched.was),
            (EffectKind::PatchItem, &created.left)
        );
        assert_eq!(patched.sent["Title"], json!("planted value"));
        assert_eq!(patched.before["Title"], json!("planted before"));
        let earlier = memory.store.earlier_writes(one.identity, patched.number, 5).await;
        assert_eq!(earlier.unwrap(), std::slice::from_ref(created));
        assert!(!format!("{one:?}").contains("planted"));
    }
    // Another definition has no part in it, and a run of its own none in this one.
    let other = world.memory("other").await;
    assert!(!run_wrote(&mut connection, other.id, run).await.unwrap());
    assert!(!run_wrote(&mut connection, id, other.run).await.unwrap());
    assert_eq!(other.store.written_by(run, None, 10).await.unwrap(), []);
    assert_eq!(memory.store.written_by(other.run, None, 10).await.unwrap(), []);
}

/// Rows of large cells are read a few at a time, and one that is larger than all a page may hold by itself.
#[tokio::test]
async fn a_page_of_what_a_run_wrote_is_bounded_by_the_size_of_its_values() {
    let world = World::new().await;
    let Memory {
        store,
        id,
        fence,
        run,
    } = world.memory("d").await;
    let memory = Memory {
        store: store.keeping_values(true),
        id,
        fence,
        run,
    };
    for (item, megabytes) in [(1, 3), (2, 3), (3, 3), (4, 20)] {
        let who = subject(&format!("row {item}"));
        let mut effect = create(&who);
        effect
            .sent
            .insert("Note".into(), json!("x".repeat(megabytes << 20)));
        memory.admit(&effect).await;
        let verdict = Verdict::Applied(Box::new(row(&who, item)));
        memory.settle(&effect, verdict).await.unwrap();
    }
    let (mut after, mut rows) = (None, 0);
    loop {
        let page = memory.store.written_by(run, after, 100).await.unwrap();
        let Some(end) = page.last() else { break };
        after = Some(end.identity);
        let sizes = page
            .iter()
            .flat_map(|one| &one.writes)
            .map(|write| write.sent["Note"].as_str().unwrap().len() >> 20);
        let size: usize = sizes.sum();
        assert!(size <= 8 || page.len() == 1, "{size} megabytes in {page:?}");
        rows += page.len();
    }
    assert_eq!(rows, 4);
}

/// Nothing of a run was let go where an entry from before it is there, for the oldest go first; else the writes are counted.
#[tokio::test]
async fn a_history_is_whole_where_it_reaches_back_or_holds_what_was_counted() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let run = memory.run;
    for (item, name) in (1..).zip(["a", "b", "c"]) {
        patched_item(&memory, &subject(name), item).await;
    }
    let mut connection = world.store.acquire().await.unwrap();
    let now = chrono::Utc::now();
    let (before, since) = (now - chrono::Duration::hours(1), now + chrono::Duration::hours(1));
    let is_whole = async |connection: &mut _, began, counted| {
        history_is_whole(connection, memory.id, run, began, counted)
            .await
            .unwrap()
    };
    assert!(is_whole(&mut connection, before, 6).await);
    assert!(
        is_whole(&mut connection, before, 5).await,
        "a killed run counted less than it wrote"
    );
    assert!(!is_whole(&mut connection, before, 7).await);
    assert!(
        is_whole(&mut connection, since, 7).await,
        "nothing behind an older entry went"
    );
    let all = std::time::Duration::ZERO;
    let gone = memory.store.forget_history(memory.fence, all, 100).await;
    assert_eq!(gone.unwrap(), 6);
    assert!(!is_whole(&mut connection, since, 7).await);
}

#[tokio::test]
async fn values_of_a_row_made_from_an_item_open_under_the_identity_it_got() {
    let world = World::new().await;
    let Memory {
        store,
        id,
        fence,
        run,
    } = world.memory("d").await;
    let store: DefinitionStore = store.keeping_values(true);
    let effect = insert(7);
    store
        .admit(fence, run, std::slice::from_ref(&effect))
        .await
        .unwrap();
    let born = subject("born");
    store
        .note_witnesses(fence, &[witness(&effect, &born, Some(9))])
        .await
        .unwrap();
    let verdict = Verdict::Applied(Box::new(row(&born, 7)));
    store
        .settle(fence, run, &[settlement(&effect, verdict, None)])
        .await
        .unwrap();
    let memory = Memory {
        store,
        id,
        fence,
        run,
    };
    let newest = told(&world, &memory, &born).await.remove(0);
    assert_eq!(newest.kind.way(), Way::ToSource);
    let values = memory
        .store
        .history_values(born.identity, newest.number)
        .await
        .unwrap();
    assert_eq!(values.unwrap().sent["Title"], json!("planted value"));
}

#[tokio::test]
async fn nobody_changes_or_removes_an_entry_by_a_statement() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    patched(&memory, &who).await;
    let part: String = sqlx::query_scalar("SELECT tableoid::regclass::text FROM ledger_history LIMIT 1")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    for statement in [
        "UPDATE ledger_history SET request_id = 'another'".to_owned(),
        "DELETE FROM ledger_history".to_owned(),
        "TRUNCATE ledger_history".to_owned(),
        format!("UPDATE {part} SET run_id = gen_random_uuid()"),
        format!("DELETE FROM {part}"),
    ] {
        let error = sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
            .execute(&world.pool)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("append-only"), "{statement}: {error}");
    }
    assert_eq!(told(&world, &memory, &who).await.len(), 2);
}

#[tokio::test]
async fn the_history_goes_by_age_in_bounded_batches_and_only_the_definitions_own() {
    let world = World::new().await;
    let (memory, other) = (world.memory("d").await, world.memory("other").await);
    let who = subject("a");
    patched(&memory, &who).await;
    for item in 2..5 {
        memory.write(&row(&subject(&item.to_string()), item)).await;
    }
    other.write(&row(&who, 9)).await;
    let day = Duration::from_hours(24);
    let forget = async |memory: &Memory, most| {
        memory
            .store
            .forget_history(memory.fence, day, most)
            .await
            .unwrap()
    };
    assert_eq!(forget(&memory, 100).await, 0, "all of it is younger");
    sqlx::raw_sql(
        "BEGIN; SET LOCAL session_replication_role = replica;
         UPDATE ledger_history SET at = at - interval '2 days' WHERE kind = 'create_item'; COMMIT",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    assert_eq!(forget(&memory, 3).await, 3);
    assert_eq!(forget(&memory, 3).await, 1);
    assert_eq!(forget(&memory, 3).await, 0);
    let left = told(&world, &memory, &who).await;
    assert_eq!(left.len(), 1, "the patch is younger: {left:#?}");
    assert_eq!(told(&world, &other, &who).await.len(), 1);
    assert_eq!(
        memory.row(who.identity).await.unwrap().row_version,
        2,
        "the ledger itself stays"
    );
    world.expire(memory.id).await;
    let refused = memory
        .store
        .forget_history(memory.fence, day, 3)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "lease.lost");
}

#[tokio::test]
async fn a_month_that_is_made_late_takes_its_entries_along() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let month: String = sqlx::query_scalar("SELECT to_char(now() AT TIME ZONE 'UTC', '\"y\"YYYY\"m\"MM')")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE ledger_history_{month}")))
        .execute(&world.pool)
        .await
        .unwrap();
    patched(&memory, &subject("a")).await;
    assert_eq!(
        world.count("SELECT count(*) FROM ledger_history_default").await,
        2
    );
    assert_eq!(world.store.ensure_partitions().await.unwrap(), 1);
    assert_eq!(
        world.count("SELECT count(*) FROM ledger_history_default").await,
        0
    );
    assert_eq!(told(&world, &memory, &subject("a")).await.len(), 2);
    let refused = sqlx::query("DELETE FROM ledger_history")
        .execute(&world.pool)
        .await;
    assert!(refused.is_err(), "the new month is append-only as well");
}

#[tokio::test]
async fn a_row_is_known_as_it_stood_at_any_time_that_is_still_kept() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    patched(&memory, &who).await;
    let entries = told(&world, &memory, &who).await;
    let at = async |moment| {
        let mut connection = world.store.acquire().await.unwrap();
        let (until, after) = state_at(&mut connection, memory.id, who.identity, moment)
            .await
            .unwrap();
        (until.map(|entry| entry.number), after.map(|entry| entry.number))
    };
    let (second, first) = (&entries[0], &entries[1]);
    assert_eq!(at(Utc::now()).await, (Some(second.number), None));
    assert_eq!(at(second.at).await, (Some(second.number), None));
    assert_eq!(at(first.at).await, (Some(first.number), Some(second.number)));
    let earlier = first.at - chrono::TimeDelta::microseconds(1);
    assert_eq!(at(earlier).await, (None, Some(first.number)));
}

#[tokio::test]
async fn the_history_is_read_in_pages_behind_a_number() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    patched(&memory, &who).await;
    let released = NewEffect {
        ..patch(&memory.row(who.identity).await.unwrap())
    };
    memory.admit(&released).await;
    memory.settle(&released, Verdict::Released).await.unwrap();
    let mut connection = world.store.acquire().await.unwrap();
    let mut numbers = Vec::new();
    let mut before = None;
    for _ in 0..5 {
        let page = HistoryPage {
            before,
            until: None,
            limit: 1,
        };
        let found = history(&mut connection, memory.id, who.identity, page)
            .await
            .unwrap();
        let Some(entry) = found.first() else { break };
        before = Some(entry.number);
        numbers.push((entry.kind.name(), entry.outcome.clone(), entry.stands.is_some()));
    }
    assert_eq!(
        numbers,
        [
            ("patch_item", "released".to_owned(), false),
            ("patch_item", "applied".to_owned(), true),
            ("create_item", "applied".to_owned(), true)
        ]
    );
}

/// Entries of services of the schema before hold no more than those wrote.
#[tokio::test]
async fn entries_from_before_causes_were_kept_are_still_read() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    sqlx::query(
        "INSERT INTO ledger_history (workspace_id, definition_id, kind, outcome, identity, run_id, item_id, item_guid,
                                     after_counter, agreed, layout)
         SELECT workspace_id, definition_id, 'adopt', 'adopted', $2, $3, '7', gen_random_uuid(), 4, $4, 1
         FROM definitions WHERE definition_id = $1",
    )
    .bind(memory.id.uuid())
    .bind(who.identity.as_bytes().as_slice())
    .bind(run().uuid())
    .bind(agreed(3))
    .execute(&world.pool)
    .await
    .unwrap();
    // An effect that such a service left open is closed by this one.
    let effect = create(&who);
    memory.admit(&effect).await;
    sqlx::query("UPDATE effects SET cause = NULL")
        .execute(&world.pool)
        .await
        .unwrap();
    memory
        .settle(&effect, Verdict::Applied(Box::new(row(&who, 7))))
        .await
        .unwrap();
    let entries = told(&world, &memory, &who).await;
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|entry| entry.cause.is_none()));
    let old = &entries[1];
    assert_eq!((old.mark, old.row_version), (None, None));
    assert_eq!(old.stands.as_ref().map(|stands| stands.state), Some(None));
}
