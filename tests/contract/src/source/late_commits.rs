//! Transactions that commit late: horizon, ceiling and the rule of adoption together miss none.

use chrono::TimeDelta;
use syncbridge_domain::feed::{Horizon, PendingWatermark, adoptable};
use syncbridge_engine::ports::Source as _;

use super::{by_watermark, from, names};
use crate::table::{KeyKind, TableWish, WatermarkKind};
use crate::world::{Session, SourceWorld};

async fn alone<W: SourceWorld>(watermark: WatermarkKind) -> W {
    let wish = TableWish {
        touches_seen: watermark == WatermarkKind::Instant,
        ..TableWish::new(KeyKind::Number).watermark(watermark).alone()
    };
    W::open(wish).await
}

/// The same sessions, looked at an hour later: the margin below the clock no longer decides.
fn in_an_hour(horizon: &Horizon) -> Horizon {
    Horizon {
        clock: horizon.clock + TimeDelta::hours(1),
        ..horizon.clone()
    }
}

/// Others commit, so that only what is still open holds ids back.
async fn others_commit<W: SourceWorld>(world: &W, key: &str, seen: Option<&str>) {
    let mut other = world.session().await;
    other
        .insert(&[("k", Some(key)), ("name", Some("n")), ("seen", seen)])
        .await;
    other.begin().await;
    other.draw_id().await;
    assert!(other.commit().await);
}

async fn ceiling<W: SourceWorld>(world: &W, horizon: &Horizon) -> (String, bool) {
    world
        .source()
        .watermark_ceiling(horizon)
        .await
        .unwrap()
        .expect("a row bears a watermark")
}

fn micros(text: &str) -> i64 {
    let at = chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z");
    at.expect("an instant as PostgreSQL prints it").timestamp_micros()
}

pub async fn a_row_committed_late_with_an_older_stamp_is_read_from_the_ceiling_on<W: SourceWorld>() {
    let world = alone::<W>(WatermarkKind::Instant).await;
    let mut late = world.session().await;
    let began = late.begin().await;
    late.insert(&[("k", Some("1")), ("name", Some("late"))]).await;
    others_commit(&world, "2", None).await;
    let horizon = world.source().horizon().await.unwrap();
    assert_eq!(
        horizon.oldest_start.unwrap().timestamp_micros(),
        began.timestamp_micros()
    );
    assert!(horizon.xmin < horizon.xmax);
    let (value, held) = ceiling(&world, &in_an_hour(&horizon)).await;
    assert!(held);
    assert_eq!(micros(&value), began.timestamp_micros());
    let now = by_watermark(world.source(), None, 10).await;
    assert_eq!(names(&now), ["2"], "the late row cannot be seen yet");
    assert!(late.commit().await);
    let then = by_watermark(world.source(), from(&value), 10).await;
    assert_eq!(names(&then), ["1", "2"]);
}

pub async fn a_transaction_without_an_id_holds_the_ceiling_down_too<W: SourceWorld>() {
    let world = alone::<W>(WatermarkKind::Instant).await;
    let mut late = world.session().await;
    let began = late.begin().await;
    others_commit(&world, "2", None).await;
    let horizon = world.source().horizon().await.unwrap();
    assert_eq!(horizon.xmin, horizon.xmax, "nobody has an id");
    let (value, _) = ceiling(&world, &in_an_hour(&horizon)).await;
    assert_eq!(micros(&value), began.timestamp_micros());
    late.insert(&[("k", Some("1")), ("name", Some("late"))]).await;
    assert!(late.commit().await);
    let then = by_watermark(world.source(), from(&value), 10).await;
    assert!(names(&then).contains(&"1".to_owned()));
}

pub async fn a_counter_waits_until_every_transaction_of_then_has_ended<W: SourceWorld>() {
    let world = alone::<W>(WatermarkKind::Number).await;
    let mut late = world.session().await;
    late.begin().await;
    others_commit(&world, "9", Some("900")).await;
    let horizon = world.source().horizon().await.unwrap();
    assert_eq!(ceiling(&world, &horizon).await, ("900".to_owned(), false));
    let first = world.source().horizon().await.unwrap();
    let pending = [PendingWatermark {
        value: "900".into(),
        xmax: first.xmax,
        clock: Some(first.clock),
    }];
    others_commit(&world, "10", Some("0")).await;
    let second = world.source().horizon().await.unwrap();
    assert!(
        second.xmin >= first.xmax,
        "only the session without an id holds it back"
    );
    assert_eq!(adoptable(&pending, &second).0, None);
    late.insert(&[("k", Some("1")), ("name", Some("late")), ("seen", Some("5"))])
        .await;
    others_commit(&world, "11", Some("0")).await;
    let meanwhile = world.source().horizon().await.unwrap();
    assert!(
        meanwhile.xmin < meanwhile.xmax,
        "now it has an id, and that is not passed"
    );
    assert!(late.commit().await);
    let third = world.source().horizon().await.unwrap();
    let rows = by_watermark(world.source(), from("0"), 10).await;
    assert_eq!(names(&rows), ["10", "11", "1", "9"]);
    assert_eq!(adoptable(&pending, &third).0.as_deref(), Some("900"));
}

pub async fn an_id_is_counted_as_soon_as_it_is_drawn<W: SourceWorld>() {
    let world = alone::<W>(WatermarkKind::Instant).await;
    others_commit(&world, "1", None).await;
    let before = world.source().horizon().await.unwrap();
    assert_eq!(before.xmin, before.xmax, "nobody has an id");
    let mut late = world.session().await;
    late.begin().await;
    late.draw_id().await;
    for key in ["2", "3"] {
        let meanwhile = world.source().horizon().await.unwrap();
        assert_eq!(meanwhile.xmin, before.xmax, "it is the oldest that runs");
        assert!(meanwhile.xmax > before.xmax);
        others_commit(&world, key, None).await;
    }
    assert!(late.commit().await);
    let after = world.source().horizon().await.unwrap();
    assert_eq!(after.xmin, after.xmax);
    assert!(after.xmin > before.xmax);
}

pub async fn a_prepared_transaction_holds_adoption_until_it_is_decided<W: SourceWorld>() {
    let world = alone::<W>(WatermarkKind::Instant).await;
    let mut late = world.session().await;
    late.begin().await;
    late.insert(&[("k", Some("1")), ("name", Some("late"))]).await;
    late.prepare().await;
    others_commit(&world, "2", None).await;
    let first = world.source().horizon().await.unwrap();
    let (value, _) = ceiling(&world, &first).await;
    let pending = [PendingWatermark {
        value,
        xmax: first.xmax,
        clock: None,
    }];
    others_commit(&world, "3", None).await;
    let second = world.source().horizon().await.unwrap();
    assert_eq!(adoptable(&pending, &second).0, None);
    late.commit_prepared().await;
    let third = world.source().horizon().await.unwrap();
    assert!(adoptable(&pending, &third).0.is_some());
    let rows = by_watermark(world.source(), None, 10).await;
    assert!(names(&rows).contains(&"1".to_owned()));
}

pub async fn of_a_prepared_transaction_nobody_knows_when_it_began<W: SourceWorld>() {
    let world = alone::<W>(WatermarkKind::Number).await;
    let mut late = world.session().await;
    late.begin().await;
    late.insert(&[("k", Some("1")), ("name", Some("late")), ("seen", Some("1"))])
        .await;
    late.prepare().await;
    let horizon = world.source().horizon().await.unwrap();
    assert_eq!(horizon.oldest_start, Some(chrono::DateTime::UNIX_EPOCH));
    late.commit_prepared().await;
    let horizon = world.source().horizon().await.unwrap();
    assert_eq!(horizon.oldest_start, Some(horizon.clock), "nobody is at work");
}

pub async fn a_prepared_transaction_that_drew_the_last_id_is_not_passed<W: SourceWorld>() {
    let world = alone::<W>(WatermarkKind::Instant).await;
    let mut late = world.session().await;
    late.begin().await;
    others_commit(&world, "2", None).await;
    late.insert(&[("k", Some("1")), ("name", Some("late"))]).await;
    late.prepare().await;
    let horizon = in_an_hour(&world.source().horizon().await.unwrap());
    let (value, _) = ceiling(&world, &horizon).await;
    let pending = [PendingWatermark {
        value: value.clone(),
        xmax: horizon.xmax,
        clock: None,
    }];
    let adopted = adoptable(&pending, &horizon).0;
    late.commit_prepared().await;
    let rows = by_watermark(world.source(), adopted.as_deref().and_then(from), 10).await;
    assert!(
        names(&rows).contains(&"1".to_owned()),
        "{value} was adopted over it: {horizon:?}"
    );
}
