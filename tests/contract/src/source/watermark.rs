//! Pages in the order of a watermark, ties and NULLs included.

use syncbridge_engine::ports::{Source as _, WatermarkPosition};

use super::{by_watermark, from, names};
use crate::table::{KeyKind, TableWish, WatermarkKind};
use crate::world::{Session, SourceWorld};

async fn with_numbers<W: SourceWorld>(rows: &[(&str, Option<&str>)]) -> W {
    let wish = TableWish::new(KeyKind::Text).watermark(WatermarkKind::Number);
    let world = W::open(wish).await;
    let mut app = world.session().await;
    for (key, seen) in rows {
        app.insert(&[("k", Some(key)), ("name", Some("n")), ("seen", *seen)])
            .await;
    }
    world
}

pub async fn rows_come_by_watermark_then_by_key_however_small_the_page<W: SourceWorld>() {
    let rows = [
        ("B", Some("5")),
        ("a", Some("5")),
        ("c", Some("10")),
        ("D", Some("-3")),
        ("b", Some("5")),
        ("e", None),
    ];
    let world = with_numbers::<W>(&rows).await;
    for limit in [1, 2, 100] {
        let found = by_watermark(world.source(), None, limit).await;
        assert_eq!(names(&found), ["D", "a", "b", "B", "c"], "{limit} a page");
        assert_eq!(found[0].watermark.as_deref(), Some("-3"));
    }
}

pub async fn a_position_is_behind_its_row_and_at_its_value<W: SourceWorld>() {
    let rows = [("a", Some("5")), ("b", Some("5")), ("c", Some("6"))];
    let world = with_numbers::<W>(&rows).await;
    let all_of_five = by_watermark(world.source(), from("5"), 10).await;
    assert_eq!(
        names(&all_of_five),
        ["a", "b", "c"],
        "rows that bear the value belong to it"
    );
    let behind = WatermarkPosition {
        value: "5".into(),
        key: Some(KeyKind::Text.key("a")),
    };
    assert_eq!(
        names(&by_watermark(world.source(), Some(behind), 10).await),
        ["b", "c"]
    );
    let between = by_watermark(world.source(), from("5"), 1).await;
    assert_eq!(names(&between), ["a", "b", "c"]);
}

pub async fn rows_without_a_watermark_have_pages_of_their_own<W: SourceWorld>() {
    let rows = [("b", None), ("A", None), ("c", Some("1")), ("a", None)];
    let world = with_numbers::<W>(&rows).await;
    let first = world.source().page_without_watermark(None, 2).await.unwrap().rows;
    assert_eq!(names(&first), ["a", "A"]);
    assert_eq!(first[0].watermark, None);
    let next = world
        .source()
        .page_without_watermark(Some(&first[1].key), 2)
        .await
        .unwrap()
        .rows;
    assert_eq!(names(&next), ["b"]);
    let end = world
        .source()
        .page_without_watermark(Some(&next[0].key), 2)
        .await
        .unwrap()
        .rows;
    assert!(end.is_empty());
}

pub async fn the_ceiling_of_a_number_is_the_largest_now_and_holds_nothing_back<W: SourceWorld>() {
    let world = with_numbers::<W>(&[("a", Some("9")), ("b", Some("10")), ("c", None)]).await;
    let horizon = world.source().horizon().await.unwrap();
    let ceiling = world.source().watermark_ceiling(&horizon).await.unwrap();
    assert_eq!(ceiling, Some(("10".to_owned(), false)));
}

pub async fn without_a_single_watermark_there_is_no_ceiling<W: SourceWorld>() {
    for rows in [&[][..], &[("a", None)][..]] {
        let world = with_numbers::<W>(rows).await;
        let horizon = world.source().horizon().await.unwrap();
        assert_eq!(world.source().watermark_ceiling(&horizon).await.unwrap(), None);
        assert!(by_watermark(world.source(), None, 10).await.is_empty());
    }
}

pub async fn an_instant_is_held_below_the_clock<W: SourceWorld>() {
    let wish = TableWish::new(KeyKind::Text).watermark(WatermarkKind::Instant);
    let world = W::open(wish).await;
    let mut app = world.session().await;
    let row = |key, seen| [("k", Some(key)), ("name", Some("n")), ("seen", Some(seen))];
    app.insert(&row("past", "2001-02-03 04:05:06.7+00")).await;
    let horizon = world.source().horizon().await.unwrap();
    let ceiling = world.source().watermark_ceiling(&horizon).await.unwrap();
    assert_eq!(ceiling, Some(("2001-02-03 04:05:06.7+00".to_owned(), true)));
    app.insert(&row("future", "2999-01-01 00:00:00+00")).await;
    let (held, is_held) = world.source().watermark_ceiling(&horizon).await.unwrap().unwrap();
    assert!(is_held);
    let rows = by_watermark(world.source(), from(&held), 10).await;
    assert_eq!(names(&rows), ["future"], "the ceiling lies between the two");
    let clock = horizon.clock.format("%Y-%m-%d %H:%M:%S").to_string();
    assert!(held < clock, "some seconds below the clock");
}

pub async fn a_table_without_a_watermark_says_so<W: SourceWorld>() {
    let world = W::open(TableWish::new(KeyKind::Text)).await;
    let source = world.source();
    let horizon = source.horizon().await.unwrap();
    let codes = [
        source.page_by_watermark(None, 1).await.unwrap_err().code,
        source.page_without_watermark(None, 1).await.unwrap_err().code,
        source.watermark_ceiling(&horizon).await.unwrap_err().code,
    ];
    assert_eq!(codes, ["source.no_watermark"; 3]);
}

pub async fn a_position_that_is_no_value_of_the_column_is_refused<W: SourceWorld>() {
    let world = with_numbers::<W>(&[("a", Some("1"))]).await;
    let failure = world
        .source()
        .page_by_watermark(from("tomorrow").as_ref(), 1)
        .await
        .unwrap_err();
    assert_eq!(failure.code, "source.conversion");
}

pub async fn what_a_trigger_stamps_is_the_start_of_the_transaction<W: SourceWorld>() {
    let wish = TableWish {
        touches_seen: true,
        ..TableWish::new(KeyKind::Text).watermark(WatermarkKind::Instant)
    };
    let world = W::open(wish).await;
    let mut app = world.session().await;
    let began = app.begin().await;
    app.insert(&[("k", Some("a")), ("name", Some("n"))]).await;
    assert!(app.commit().await);
    let rows = by_watermark(world.source(), None, 10).await;
    let seen = rows[0].watermark.as_deref().unwrap();
    let seen = chrono::DateTime::parse_from_str(seen, "%Y-%m-%d %H:%M:%S%.f%#z").unwrap();
    assert_eq!(seen.timestamp_micros(), began.timestamp_micros());
}
