//! Pages in key order, ranges, and point reads.

use syncbridge_domain::row::Presence;
use syncbridge_domain::verification::KeyRange;
use syncbridge_engine::ports::Source as _;

use super::{by_key, names};
use crate::table::{KeyKind, TableWish};
use crate::world::{Session, SourceWorld};

/// Keys in the order of people; their bytes are ordered otherwise.
const ORDERED: [&str; 7] = ["a", "A", "a10", "B", "b1", "c", "D"];

async fn with_texts<W: SourceWorld>() -> W {
    let world = W::open(TableWish::new(KeyKind::Text)).await;
    let mut app = world.session().await;
    let mut keys = ORDERED;
    keys.sort_unstable();
    for key in keys {
        app.insert(&[("k", Some(key)), ("name", Some("n")), ("price", Some("1.5"))])
            .await;
    }
    world
}

pub async fn pages_follow_the_sources_own_order_and_not_that_of_bytes<W: SourceWorld>() {
    let world = with_texts::<W>().await;
    for limit in [1, 2, 3, 100] {
        assert_eq!(
            names(&by_key(world.source(), limit).await),
            ORDERED,
            "{limit} a page"
        );
    }
}

pub async fn numbers_are_ordered_by_value<W: SourceWorld>() {
    let world = W::open(TableWish::new(KeyKind::Number)).await;
    let mut app = world.session().await;
    for key in ["10", "9", "-1", "100"] {
        app.insert(&[("k", Some(key)), ("name", Some("n"))]).await;
    }
    assert_eq!(names(&by_key(world.source(), 3).await), ["-1", "9", "10", "100"]);
}

pub async fn a_page_begins_behind_a_key_that_is_not_there_any_more<W: SourceWorld>() {
    let world = with_texts::<W>().await;
    world.session().await.delete("B").await;
    let page = world
        .source()
        .page_by_key(Some(&KeyKind::Text.key("B")), 2)
        .await
        .unwrap();
    assert_eq!(names(&page.rows), ["b1", "c"]);
}

pub async fn a_row_shows_its_mapped_cells_as_postgresql_prints_them<W: SourceWorld>() {
    let world = W::open(TableWish::new(KeyKind::Text)).await;
    let mut app = world.session().await;
    app.insert(&[("k", Some("x")), ("name", Some("")), ("price", Some("7"))])
        .await;
    let page = world.source().page_by_key(None, 10).await.unwrap();
    let cells: Vec<Option<&str>> = page.rows[0].cells.iter().map(|cell| cell.as_deref()).collect();
    assert_eq!(cells, [Some("x"), Some(""), None, Some("7.00"), None]);
    assert_eq!(page.rows[0].watermark, None);
}

pub async fn both_ends_of_a_range_belong_to_it<W: SourceWorld>() {
    let world = with_texts::<W>().await;
    let end = |text: &str| (!text.is_empty()).then(|| KeyKind::Text.key(text));
    let cases: [(&str, &str, &[&str]); 5] = [
        ("a10", "c", &["a10", "B", "b1", "c"]),
        ("", "A", &["a", "A"]),
        ("c", "", &["c", "D"]),
        ("aa", "b", &["B"][..0]),
        ("", "", &ORDERED),
    ];
    for (from, to, expected) in cases {
        let range = KeyRange {
            from: end(from),
            to: end(to),
        };
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = world
                .source()
                .page_in_range(&range, after.as_ref(), 2)
                .await
                .unwrap();
            let Some(last) = page.rows.last() else { break };
            after = Some(last.key.clone());
            found.extend(names(&page.rows));
        }
        assert_eq!(found, expected, "{from} to {to}");
    }
}

pub async fn whether_a_key_lies_in_a_range_is_told_without_its_row<W: SourceWorld>() {
    let world = W::open(TableWish::new(KeyKind::Text)).await;
    let range = KeyRange {
        from: Some(KeyKind::Text.key("a1")),
        to: Some(KeyKind::Text.key("c")),
    };
    let keys = ["a", "a1", "B", "b", "c", "C", "D"].map(|text| KeyKind::Text.key(text));
    let inside = world.source().in_range(&range, &keys).await.unwrap();
    assert_eq!(inside, [false, true, true, true, true, false, false]);
    let everything = KeyRange::default();
    assert_eq!(
        world.source().in_range(&everything, &keys).await.unwrap(),
        [true; 7]
    );
}

pub async fn a_point_read_answers_in_the_order_asked_and_proves_absence<W: SourceWorld>() {
    let world = with_texts::<W>().await;
    let keys = ["D", "nobody", "a", "A", "D"].map(|text| KeyKind::Text.key(text));
    let (found, _) = world.source().read_keys(&keys).await.unwrap();
    let seen: Vec<Option<String>> = found
        .iter()
        .map(|presence| match presence {
            Presence::One(row) => Some(names(std::slice::from_ref(row)).remove(0)),
            Presence::None => None,
            Presence::Many(_) | Presence::Unseen => panic!("a key is unique and was looked for"),
        })
        .collect();
    let expected = [Some("D"), None, Some("a"), Some("A"), Some("D")];
    assert_eq!(seen, expected.map(|text| text.map(str::to_owned)));
}

/// A page of dirty rows may be larger than one statement takes.
pub async fn any_number_of_keys_is_looked_for<W: SourceWorld>() {
    let world = with_texts::<W>().await;
    let mut keys: Vec<_> = (0..10_500)
        .map(|n| KeyKind::Text.key(&format!("no {n}")))
        .collect();
    keys.insert(0, KeyKind::Text.key("a"));
    keys.push(KeyKind::Text.key("D"));
    let (found, _) = world.source().read_keys(&keys).await.unwrap();
    assert_eq!(found.len(), keys.len());
    let there: Vec<usize> = (0..found.len()).filter(|at| found[*at].one().is_some()).collect();
    assert_eq!(there, [0, keys.len() - 1]);
}

pub async fn what_is_not_committed_is_not_there<W: SourceWorld>() {
    let world = with_texts::<W>().await;
    let mut app = world.session().await;
    app.begin().await;
    app.insert(&[("k", Some("new")), ("name", Some("n"))]).await;
    app.update("a", &[("name", Some("other"))]).await;
    app.delete("D").await;
    assert_eq!(names(&by_key(world.source(), 100).await), ORDERED);
    app.roll_back().await;
    assert_eq!(names(&by_key(world.source(), 100).await), ORDERED);
    app.begin().await;
    app.delete("D").await;
    assert!(app.commit().await);
    assert_eq!(names(&by_key(world.source(), 100).await), &ORDERED[..6]);
}

pub async fn a_changed_key_is_another_row<W: SourceWorld>() {
    let world = with_texts::<W>().await;
    world.session().await.update("a", &[("k", Some("z"))]).await;
    let keys = ["a", "z"].map(|text| KeyKind::Text.key(text));
    let (found, _) = world.source().read_keys(&keys).await.unwrap();
    assert_eq!(found[0], Presence::None);
    let row = found[1].one().expect("the row under its new key");
    assert_eq!(row.cells[3].as_deref(), Some("1.50"));
}

pub async fn two_rows_may_swap_their_keys_where_the_key_is_looked_at_with_the_commit<W: SourceWorld>() {
    let wish = TableWish {
        deferred_key: true,
        ..TableWish::new(KeyKind::Text)
    };
    let world = W::open(wish).await;
    let mut app = world.session().await;
    app.insert(&[("k", Some("a")), ("name", Some("first"))]).await;
    app.insert(&[("k", Some("b")), ("name", Some("second"))]).await;
    app.begin().await;
    app.update("a", &[("k", Some("c"))]).await;
    app.update("b", &[("k", Some("a"))]).await;
    app.update("c", &[("k", Some("b"))]).await;
    assert!(app.commit().await);
    let rows = by_key(world.source(), 10).await;
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.cells[0].as_deref(), row.cells[1].as_deref()))
        .collect();
    assert_eq!(told, [(Some("a"), Some("second")), (Some("b"), Some("first"))]);
    app.begin().await;
    app.update("a", &[("k", Some("b"))]).await;
    assert!(!app.commit().await, "two rows of one key");
    assert_eq!(names(&by_key(world.source(), 10).await), ["a", "b"]);
}

pub async fn marks_rise_with_every_commit<W: SourceWorld>() {
    let world = with_texts::<W>().await;
    let mut app = world.session().await;
    let mut last = world.source().page_by_key(None, 1).await.unwrap().mark;
    for text in ["1", "2", "3"] {
        app.update("a", &[("note", Some(text))]).await;
        let (_, mark) = world.source().read_keys(&[KeyKind::Text.key("a")]).await.unwrap();
        assert!(mark > last, "after change {text}");
        last = mark;
    }
    let horizon = world.source().horizon().await.unwrap();
    assert!(horizon.lsn >= last.lsn);
}

pub async fn a_key_of_another_shape_is_no_position<W: SourceWorld>() {
    let world = with_texts::<W>().await;
    let columns = ["k", "l"].map(|name| syncbridge_domain::identity::KeyColumn {
        name: name.into(),
        pg_type: KeyKind::Text.pg_type(),
    });
    let pair = syncbridge_domain::identity::encode_key(&columns, &[Some("a"), Some("b")]).unwrap();
    let failure = world.source().page_by_key(Some(&pair), 1).await.unwrap_err();
    assert_eq!(failure.code, "source.key_changed");
    let failure = world.source().read_keys(&[pair]).await.unwrap_err();
    assert_eq!(failure.code, "source.key_changed");
}

pub async fn an_empty_table_is_known_to_be_empty<W: SourceWorld>() {
    let world = W::open(TableWish::new(KeyKind::Text)).await;
    assert_eq!(world.source().estimate().await.unwrap(), 0);
    assert!(
        world
            .source()
            .page_by_key(None, 10)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    world
        .session()
        .await
        .insert(&[("k", Some("a")), ("name", Some("n"))])
        .await;
    assert!(world.source().estimate().await.unwrap() > 0);
}
