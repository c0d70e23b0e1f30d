//! Transactions that commit late: the ceiling, the horizon and the rule of adoption together miss none.

use chrono::TimeDelta;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, PgPool};
use syncbridge_domain::feed::{Horizon, PendingWatermark, adoptable};
use syncbridge_source_postgres::{PgSource, WatermarkPosition};

use crate::world::{Lonely, by_watermark, first_texts, lonely, open, run, scalar};

const TABLE: &str =
    "CREATE TABLE t (k int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), n int8 NOT NULL DEFAULT 0)";

async fn session(town: &Lonely) -> PgConnection {
    PgConnection::connect(&town.server.cluster.url("town"))
        .await
        .unwrap()
}

/// The start of the session's transaction in microseconds, as PostgreSQL knows it.
async fn start(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT (extract(epoch FROM now()) * 1000000)::int8")
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn ceiling(source: &PgSource, horizon: &Horizon) -> (String, bool) {
    source.watermark_ceiling(horizon).await.unwrap().unwrap()
}

/// The same sessions, looked at an hour later: the margin below the clock no longer decides.
fn in_an_hour(horizon: &Horizon) -> Horizon {
    Horizon {
        clock: horizon.clock + TimeDelta::hours(1),
        ..horizon.clone()
    }
}

/// Microseconds of a timestamp's text.
async fn micros(pool: &PgPool, text: &str) -> i64 {
    scalar(
        pool,
        &format!("SELECT (extract(epoch FROM '{text}'::timestamptz) * 1000000)::int8::text"),
    )
    .await
    .parse()
    .unwrap()
}

fn from(value: &str) -> Option<WatermarkPosition> {
    Some(WatermarkPosition {
        value: value.to_owned(),
        key: None,
    })
}

/// Lets transaction ids move on, so that only what is still open holds `xmin` back.
async fn others_commit(town: &Lonely, key: i32) {
    run(
        &town.pool,
        &format!("INSERT INTO t VALUES ({key}); SELECT pg_current_xact_id()"),
    )
    .await;
}

#[tokio::test]
async fn a_05_a_row_committed_late_with_an_older_timestamp_is_read_from_the_ceiling_on() {
    let town = lonely(TABLE).await;
    let source = open(&town.access, "t", &["k"], &[], Some("at")).await;
    let mut late = session(&town).await;
    run(&mut late, "BEGIN; INSERT INTO t VALUES (1)").await;
    let began = start(&mut late).await;
    others_commit(&town, 2).await;

    let horizon = source.horizon().await.unwrap();
    assert_eq!(horizon.oldest_start.unwrap().timestamp_micros(), began);
    let (value, held) = ceiling(&source, &in_an_hour(&horizon)).await;
    assert!(held);
    assert_eq!(micros(&town.pool, &value).await, began);
    assert_eq!(
        first_texts(&by_watermark(&source, None, 10).await),
        ["2"],
        "the late row cannot be seen yet"
    );

    run(&mut late, "COMMIT").await;
    assert_eq!(
        first_texts(&by_watermark(&source, from(&value), 10).await),
        ["1", "2"]
    );
}

#[tokio::test]
async fn a_05_a_transaction_without_an_id_when_the_reader_passed_still_holds_the_ceiling_down() {
    let town = lonely(TABLE).await;
    let source = open(&town.access, "t", &["k"], &[], Some("at")).await;
    let mut late = session(&town).await;
    run(&mut late, "BEGIN; SELECT 1").await;
    let began = start(&mut late).await;
    others_commit(&town, 2).await;

    let horizon = source.horizon().await.unwrap();
    let (value, _) = ceiling(&source, &in_an_hour(&horizon)).await;
    assert_eq!(micros(&town.pool, &value).await, began);
    run(&mut late, "INSERT INTO t VALUES (1); COMMIT").await;
    assert!(first_texts(&by_watermark(&source, from(&value), 10).await).contains(&"1".to_owned()));
}

#[tokio::test]
async fn a_05_a_counter_is_adopted_only_after_every_transaction_that_was_open_has_ended() {
    let town = lonely(TABLE).await;
    let source = open(&town.access, "t", &["k"], &[], Some("n")).await;
    let mut late = session(&town).await;
    run(&mut late, "BEGIN; SELECT 1").await;
    run(&town.pool, "INSERT INTO t (k, n) VALUES (9, 900)").await;
    let (value, held) = ceiling(&source, &source.horizon().await.unwrap()).await;
    assert_eq!((value.as_str(), held), ("900", false));
    let first = source.horizon().await.unwrap();
    let pending = [PendingWatermark {
        value,
        xmax: first.xmax,
        clock: Some(first.clock),
    }];

    others_commit(&town, 10).await;
    let second = source.horizon().await.unwrap();
    assert!(
        second.xmin >= first.xmax,
        "no id holds it back, only the session that has none"
    );
    assert_eq!(adoptable(&pending, &second).0, None);

    run(&mut late, "INSERT INTO t (k, n) VALUES (1, 5); COMMIT").await;
    let third = source.horizon().await.unwrap();
    assert_eq!(
        first_texts(&by_watermark(&source, from("0"), 10).await),
        ["10", "1", "9"]
    );
    assert_eq!(adoptable(&pending, &third).0.as_deref(), Some("900"));
}

#[tokio::test]
async fn a_05_a_prepared_transaction_holds_adoption_until_it_is_decided() {
    let town = lonely(TABLE).await;
    let source = open(&town.access, "t", &["k"], &[], Some("at")).await;
    let mut late = session(&town).await;
    run(
        &mut late,
        "BEGIN; INSERT INTO t VALUES (1, now() - interval '1 hour')",
    )
    .await;
    run(&mut late, "PREPARE TRANSACTION 'one'").await;
    others_commit(&town, 2).await;

    let first = source.horizon().await.unwrap();
    let (value, _) = ceiling(&source, &first).await;
    let pending = [PendingWatermark {
        value,
        xmax: first.xmax,
        clock: None,
    }];
    others_commit(&town, 3).await;
    assert_eq!(adoptable(&pending, &source.horizon().await.unwrap()).0, None);

    run(&town.pool, "COMMIT PREPARED 'one'").await;
    let later = source.horizon().await.unwrap();
    let old_cursor = "2000-01-01 00:00:00+00";
    assert!(first_texts(&by_watermark(&source, from(old_cursor), 10).await).contains(&"1".to_owned()));
    assert!(
        adoptable(&pending, &later).0.is_some(),
        "read from the old cursor first, then adopted"
    );
}

#[tokio::test]
async fn a_05_a_transaction_that_got_its_id_and_was_prepared_between_two_looks_is_not_passed_by_a_counter() {
    let town = lonely(TABLE).await;
    let source = open(&town.access, "t", &["k"], &[], Some("n")).await;
    let mut late = session(&town).await;
    run(&mut late, "BEGIN; SELECT 1").await;
    run(&town.pool, "INSERT INTO t (k, n) VALUES (9, 900)").await;
    let (value, _) = ceiling(&source, &source.horizon().await.unwrap()).await;
    let first = source.horizon().await.unwrap();
    let pending = [PendingWatermark {
        value,
        xmax: first.xmax,
        clock: Some(first.clock),
    }];

    run(&mut late, "INSERT INTO t (k, n) VALUES (1, 5)").await;
    run(&mut late, "PREPARE TRANSACTION 'two'").await;
    let second = source.horizon().await.unwrap();
    assert!(
        second.xmin >= first.xmax,
        "its id is newer than what the first look saw"
    );
    assert_eq!(adoptable(&pending, &second).0, None);

    run(&town.pool, "COMMIT PREPARED 'two'").await;
    let third = source.horizon().await.unwrap();
    assert_eq!(adoptable(&pending, &third).0.as_deref(), Some("900"));
}

#[tokio::test]
async fn a_05_a_prepared_transaction_that_drew_the_newest_id_is_not_passed_by_an_instant() {
    let town = lonely(TABLE).await;
    let source = open(&town.access, "t", &["k"], &[], Some("at")).await;
    let mut late = session(&town).await;
    run(&mut late, "BEGIN; SELECT 1").await;
    others_commit(&town, 2).await;
    run(&mut late, "INSERT INTO t VALUES (1)").await;
    run(&mut late, "PREPARE TRANSACTION 'three'").await;

    // Nobody ends a transaction between its id and the look.
    let first = in_an_hour(&source.horizon().await.unwrap());
    assert!(first.xmin < first.xmax);
    let pending = [PendingWatermark {
        value: ceiling(&source, &first).await.0,
        xmax: first.xmax,
        clock: None,
    }];
    assert_eq!(adoptable(&pending, &first).0, None);
    assert_eq!(adoptable(&pending, &source.horizon().await.unwrap()).0, None);

    run(&town.pool, "COMMIT PREPARED 'three'").await;
    assert!(adoptable(&pending, &source.horizon().await.unwrap()).0.is_some());
}

#[tokio::test]
async fn with_nobody_at_work_the_oldest_start_is_the_clock_and_a_late_starter_comes_after_it() {
    let town = lonely(TABLE).await;
    let source = open(&town.access, "t", &["k"], &[], Some("at")).await;
    let horizon = source.horizon().await.unwrap();
    assert_eq!(horizon.oldest_start, Some(horizon.clock));
    assert!(horizon.xmin <= horizon.xmax && horizon.lsn.0 > 0);
    let mut later = session(&town).await;
    run(&mut later, "BEGIN").await;
    assert!(start(&mut later).await >= horizon.clock.timestamp_micros());
}

#[tokio::test]
async fn sessions_of_other_databases_do_not_hold_the_ceiling_down() {
    let town = lonely(TABLE).await;
    let source = open(&town.access, "t", &["k"], &[], Some("at")).await;
    let mut elsewhere = PgConnection::connect(&town.server.cluster.url("postgres"))
        .await
        .unwrap();
    run(&mut elsewhere, "BEGIN; SELECT 1").await;
    let horizon = source.horizon().await.unwrap();
    assert_eq!(horizon.oldest_start, Some(horizon.clock));
}

#[tokio::test]
async fn where_other_sessions_cannot_be_seen_the_overlap_takes_their_place() {
    let mut town = lonely(&format!(
        "{TABLE}; INSERT INTO t VALUES (1, now()); CREATE ROLE blind LOGIN PASSWORD 'blind';
         GRANT SELECT ON t TO blind"
    ))
    .await;
    let mut other = session(&town).await;
    run(&mut other, "BEGIN; SELECT 1").await;
    town.access.user = "blind".to_owned();
    town.access.password = "blind".to_owned().into();
    let source = open(&town.access, "t", &["k"], &[], Some("at")).await;
    let horizon = source.horizon().await.unwrap();
    assert_eq!(horizon.oldest_start, None);
    let (value, held) = ceiling(&source, &horizon).await;
    let distance = horizon.clock.timestamp_micros() - micros(&town.pool, &value).await;
    assert!(held && distance == 600_000_000, "{distance} µs below the clock");

    run(&town.pool, "GRANT pg_read_all_stats TO blind").await;
    let seen = source.horizon().await.unwrap().oldest_start.unwrap();
    assert_eq!(seen.timestamp_micros(), start(&mut other).await);
}

#[tokio::test]
async fn a_session_that_hides_its_activity_counts_as_unseen() {
    let town = lonely(TABLE).await;
    let source = open(&town.access, "t", &["k"], &[], Some("at")).await;
    let mut hidden = session(&town).await;
    run(&mut hidden, "SET track_activities = off; BEGIN; SELECT 1").await;
    assert_eq!(source.horizon().await.unwrap().oldest_start, None);
    hidden.close().await.unwrap();
}

#[tokio::test]
async fn a_05_a_number_drawn_between_horizon_and_ceiling_is_waited_for() {
    let town = lonely(&format!("{TABLE}; CREATE SEQUENCE s")).await;
    let source = open(&town.access, "t", &["k"], &[], Some("n")).await;
    let before = source.horizon().await.unwrap();
    let mut late = session(&town).await;
    run(&mut late, "BEGIN; SELECT nextval('s')").await;
    run(&town.pool, "INSERT INTO t (k, n) VALUES (2, nextval('s'))").await;
    let (value, _) = ceiling(&source, &before).await;
    assert_eq!(
        value, "2",
        "the largest number now, above one that is still to come"
    );

    let after = source.horizon().await.unwrap();
    let pending = [PendingWatermark {
        value,
        xmax: after.xmax,
        clock: Some(after.clock),
    }];
    assert_eq!(adoptable(&pending, &before).0, None);
    assert_eq!(adoptable(&pending, &source.horizon().await.unwrap()).0, None);
    run(&mut late, "INSERT INTO t (k, n) VALUES (1, 1); COMMIT").await;
    assert!(adoptable(&pending, &source.horizon().await.unwrap()).0.is_some());
}
