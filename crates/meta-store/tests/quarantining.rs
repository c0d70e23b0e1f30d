//! Quarantine: back-off by the database's clock, and the way back.

use chrono::{DateTime, Utc};
use syncbridge_domain::dirty::{WaitsFor, retry_delay};
use syncbridge_domain::effect::Subject;
use syncbridge_meta_store::{Verdict, ledger};

use crate::fixture::{Memory, World, create, dirty, refused, settlement, subject};

async fn refuse(memory: &Memory, who: &Subject, digest: u8) {
    memory
        .store
        .quarantine(memory.fence, memory.run, &[(refused(who, digest), None)])
        .await
        .unwrap();
}

/// Seconds from the last refusal to the next attempt, as stored.
async fn delay(world: &World) -> Option<f64> {
    let (last, retry): (DateTime<Utc>, Option<DateTime<Utc>>) =
        sqlx::query_as("SELECT last_seen, retry_at FROM quarantine")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    #[allow(clippy::cast_precision_loss)]
    retry.map(|retry| (retry - last).num_milliseconds() as f64 / 1_000.0)
}

#[tokio::test]
async fn a_refused_row_waits_longer_each_time_and_at_last_for_a_person() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let mut since = None;
    for attempt in 1..=8u32 {
        refuse(&memory, &who, 1).await;
        let entry = memory
            .store
            .quarantined(&[who.identity])
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        assert_eq!(entry.attempts, attempt);
        assert_eq!(*since.get_or_insert(entry.since), entry.since, "first seen stays");
        match (delay(&world).await, retry_delay(attempt)) {
            // Between the start of the transaction and the statement lie milliseconds.
            (Some(stored), Some(expected)) => {
                assert!(
                    (stored - expected.as_secs_f64()).abs() < 30.0,
                    "attempt {attempt}: {stored} s"
                );
            }
            (stored, expected) => assert_eq!(stored.is_some(), expected.is_some(), "attempt {attempt}"),
        }
    }
}

#[tokio::test]
async fn other_content_begins_anew() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    refuse(&memory, &who, 1).await;
    refuse(&memory, &who, 1).await;
    refuse(&memory, &who, 2).await;
    let entry = memory
        .store
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!((entry.attempts, entry.entry.digest.0[0]), (1, 2));
}

#[tokio::test]
async fn a_11_an_entry_keeps_column_cause_and_fix() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    refuse(&memory, &who, 1).await;
    let entry = memory
        .store
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap()
        .entry;
    assert_eq!((entry.identity, entry.key), (who.identity, who.key));
    assert_eq!(entry.failure.column.as_deref(), Some("Title"));
    assert_eq!(
        entry.failure.cause, "the list refused\u{fffd} the value",
        "a NUL character is no text here"
    );
    assert_eq!(entry.failure.fix, "shorten it");
}

#[tokio::test]
async fn what_is_due_becomes_dirty_once_and_keeps_its_attempts() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (due, waiting) = (subject("due"), subject("waiting"));
    refuse(&memory, &due, 1).await;
    refuse(&memory, &waiting, 1).await;
    refuse(&memory, &waiting, 1).await;
    assert_eq!(memory.store.requeue_due(memory.fence).await.unwrap(), 1);
    assert_eq!(memory.store.requeue_due(memory.fence).await.unwrap(), 0);
    let rows = memory.store.dirty(None, 10).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.mark.identity).collect::<Vec<_>>(),
        [due.identity]
    );
    let entry = memory
        .store
        .quarantined(&[due.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(entry.attempts, 1);
    // Refused again: the dirty row moves back here, and the wait grows.
    let again = [(refused(&due, 1), Some(rows[0].sequence))];
    memory
        .store
        .quarantine(memory.fence, memory.run, &again)
        .await
        .unwrap();
    assert_eq!(world.count("SELECT count(*) FROM dirty").await, 0);
    assert_eq!(
        memory.store.quarantined(&[due.identity]).await.unwrap()[0]
            .as_ref()
            .unwrap()
            .attempts,
        2
    );
    assert_eq!(memory.store.requeue_due(memory.fence).await.unwrap(), 0);
}

#[tokio::test]
async fn what_needs_a_person_is_not_requeued() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    for _ in 0..7 {
        refuse(&memory, &who, 1).await;
    }
    assert_eq!(
        memory.store.quarantined(&[who.identity]).await.unwrap()[0]
            .as_ref()
            .unwrap()
            .retry_at,
        None
    );
    assert_eq!(memory.store.requeue_due(memory.fence).await.unwrap(), 0);
}

#[tokio::test]
async fn a_refused_write_closes_its_effect_and_moves_its_dirty_row_with_its_mark() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&who, 77)], None)
        .await
        .unwrap();
    let sequence = memory.store.dirty(None, 1).await.unwrap()[0].sequence;
    let effect = create(&who);
    memory.admit(&effect).await;
    let verdict = Verdict::Quarantined(Box::new(refused(&who, 1)));
    memory
        .store
        .settle(
            memory.fence,
            memory.run,
            &[settlement(&effect, verdict, Some(sequence))],
        )
        .await
        .unwrap();
    assert_eq!(memory.store.dirty(None, 10).await.unwrap(), []);
    assert_eq!(memory.store.unsettled(10).await.unwrap(), []);
    memory.store.requeue_due(memory.fence).await.unwrap();
    assert_eq!(memory.store.dirty(None, 1).await.unwrap()[0].mark.mark.lsn.0, 77);
    let mut connection = world.store.acquire().await.unwrap();
    let history = ledger::history(
        &mut connection,
        memory.id,
        who.identity,
        ledger::HistoryPage::newest(10),
    )
    .await
    .unwrap();
    assert_eq!(history[0].outcome, "quarantined");
}

#[tokio::test]
async fn a_row_that_changed_while_it_was_refused_stays_dirty() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&who, 1)], None)
        .await
        .unwrap();
    let sequence = memory.store.dirty(None, 1).await.unwrap()[0].sequence;
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&who, 2)], None)
        .await
        .unwrap();
    memory
        .store
        .quarantine(memory.fence, memory.run, &[(refused(&who, 1), Some(sequence))])
        .await
        .unwrap();
    assert_eq!(memory.store.dirty(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_list_is_paged() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    for n in 0..5 {
        refuse(&memory, &subject(&n.to_string()), 1).await;
    }
    let mut connection = world.store.acquire().await.unwrap();
    let first = ledger::list_quarantine(
        &mut connection,
        memory.id,
        &ledger::QuarantineFilter::default(),
        None,
        3,
    )
    .await
    .unwrap();
    let after = first.last().map(|entry| entry.quarantined.entry.identity);
    let second = ledger::list_quarantine(
        &mut connection,
        memory.id,
        &ledger::QuarantineFilter::default(),
        after,
        3,
    )
    .await
    .unwrap();
    let all: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|entry| entry.quarantined.entry.identity)
        .collect();
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted());
    assert_eq!(first[0].run, memory.run);
    assert_eq!(
        ledger::count_quarantined(&mut connection, memory.id)
            .await
            .unwrap(),
        5
    );
}

fn only(who: &Subject) -> ledger::QuarantineFilter {
    ledger::QuarantineFilter {
        identities: Some(vec![who.identity]),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_row_a_person_accepted_is_settled_until_it_is_refused_again() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (one, two) = (subject("one"), subject("two"));
    refuse(&memory, &one, 1).await;
    refuse(&memory, &two, 1).await;
    let mut connection = world.store.acquire().await.unwrap();
    let accepted =
        ledger::ignore_quarantined(&mut connection, memory.id, &only(&one), "cli:ada", "a test row")
            .await
            .unwrap();
    assert_eq!(accepted, 1);
    let count = async |connection: &mut syncbridge_meta_store::PgConnection| {
        ledger::count_quarantined(connection, memory.id).await.unwrap()
    };
    assert_eq!(
        count(&mut connection).await,
        1,
        "an accepted row counts as settled"
    );
    let entry = memory
        .store
        .quarantined(&[one.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(entry.waits_for(), WaitsFor::Nothing);
    assert_eq!(entry.ignored.unwrap().reason, "a test row");
    assert_eq!(
        memory.store.requeue_due(memory.fence).await.unwrap(),
        1,
        "it is not tried again"
    );
    let waiting = ledger::QuarantineFilter {
        waits_for: Some(WaitsFor::Nothing),
        ..Default::default()
    };
    let listed = ledger::list_quarantine(&mut connection, memory.id, &waiting, None, 10)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    // Other content of the row was refused: what was accepted is not this.
    refuse(&memory, &one, 2).await;
    assert_eq!(count(&mut connection).await, 2);
}

#[tokio::test]
async fn a_row_asked_to_be_retried_is_due_at_once_and_its_schedule_begins_anew() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    for _ in 0..9 {
        refuse(&memory, &who, 1).await;
    }
    let entry = memory
        .store
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(entry.waits_for(), WaitsFor::Person);
    assert_eq!(memory.store.requeue_due(memory.fence).await.unwrap(), 0);
    let mut connection = world.store.acquire().await.unwrap();
    let other = ledger::QuarantineFilter {
        code: Some("no.such_code".into()),
        ..Default::default()
    };
    assert_eq!(
        ledger::retry_quarantined(&mut connection, memory.id, &other)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        ledger::retry_quarantined(&mut connection, memory.id, &only(&who))
            .await
            .unwrap(),
        1
    );
    assert_eq!(memory.store.requeue_due(memory.fence).await.unwrap(), 1);
    refuse(&memory, &who, 1).await;
    let entry = memory
        .store
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!((entry.attempts, entry.waits_for()), (2, WaitsFor::Retry));
}

#[tokio::test]
async fn the_quarantine_is_told_by_cause() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    for n in 0..3 {
        refuse(&memory, &subject(&n.to_string()), 1).await;
    }
    let mut connection = world.store.acquire().await.unwrap();
    ledger::ignore_quarantined(
        &mut connection,
        memory.id,
        &only(&subject("0")),
        "cli:ada",
        "known",
    )
    .await
    .unwrap();
    let groups = ledger::summarize_quarantine(&mut connection, memory.id)
        .await
        .unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].column.as_deref(), Some("Title"));
    assert_eq!((groups[0].retry, groups[0].person, groups[0].ignored), (2, 0, 1));
}
