//! What a staged write answers.

use syncbridge_domain::failure::Scope;
use syncbridge_domain::row::Presence;
use syncbridge_engine::ports::Source as _;
use syncbridge_engine::ports::row_writer::{RowWriter, StagedRows as _};

use super::{committed, delete, fields, insert, moved, refused, row, stage, staged, texts, update};
use crate::table::{FORBIDDEN, KeyKind, RAISED, SWALLOWED, TableWish};
use crate::world::{Session, SourceWorld};

const TEXT: KeyKind = KeyKind::Text;

async fn with_rows<W: SourceWorld>(wish: TableWish, keys: &[&str]) -> W {
    let world = W::open(wish).await;
    let mut app = world.session().await;
    for key in keys {
        app.insert(&[
            ("k", Some(key)),
            ("name", Some(key)),
            ("code", Some(key)),
            ("price", Some("1")),
        ])
        .await;
    }
    world
}

pub async fn nothing_is_true_before_the_commit_and_everything_after_it<W: SourceWorld<Source: RowWriter>>() {
    let world = with_rows::<W>(TableWish::new(TEXT), &["a", "b"]).await;
    let source = world.source();
    let writes = vec![
        update(source, "b", &[("name", Some("other")), ("price", None)]).await,
        insert(&[("k", Some("new")), ("name", Some("n"))]),
        delete(source, "a").await,
    ];
    let transaction = stage(source, writes).await;
    let (changed, written, _) = staged(&transaction.receipts()[0]);
    assert_eq!(
        texts(&changed.cells),
        [Some("b"), Some("other"), Some("b"), None, None]
    );
    assert_eq!(texts(written), [Some("other"), None]);
    let (added, _, _) = staged(&transaction.receipts()[1]);
    assert_eq!(added.key, TEXT.key("new"));
    let (gone, written, _) = staged(&transaction.receipts()[2]);
    assert_eq!(
        (gone.cells[1].as_deref(), written),
        (Some("a"), &[][..]),
        "as it was"
    );
    assert_eq!(
        row(source, TEXT, "b").await.unwrap().cells[1].as_deref(),
        Some("b")
    );
    assert!(row(source, TEXT, "new").await.is_none() && row(source, TEXT, "a").await.is_some());
    committed(transaction).await;
    assert_eq!(
        row(source, TEXT, "b").await.unwrap().cells[1].as_deref(),
        Some("other")
    );
    assert!(row(source, TEXT, "new").await.is_some() && row(source, TEXT, "a").await.is_none());
}

pub async fn a_row_that_shows_something_else_is_moved_and_not_written<W: SourceWorld<Source: RowWriter>>() {
    let world = with_rows::<W>(TableWish::new(TEXT), &["a", "b", "c", "d"]).await;
    let source = world.source();
    let writes = vec![
        update(source, "d", &[("note", Some("ours"))]).await,
        update(source, "a", &[("name", Some("ours"))]).await,
        delete(source, "b").await,
        delete(source, "c").await,
    ];
    let mut app = world.session().await;
    app.update("a", &[("note", Some("theirs"))]).await;
    app.update("b", &[("price", None)]).await;
    app.delete("c").await;
    let transaction = stage(source, writes).await;
    staged(&transaction.receipts()[0]);
    let now = moved(&transaction.receipts()[1]).one().expect("the row as it is");
    assert_eq!(now.cells[4].as_deref(), Some("theirs"));
    assert!(moved(&transaction.receipts()[2]).one().is_some());
    assert_eq!(moved(&transaction.receipts()[3]), &Presence::None);
    committed(transaction).await;
    assert_eq!(
        row(source, TEXT, "a").await.unwrap().cells[1].as_deref(),
        Some("a")
    );
    assert!(row(source, TEXT, "b").await.is_some());
    assert_eq!(
        row(source, TEXT, "d").await.unwrap().cells[4].as_deref(),
        Some("ours")
    );
}

pub async fn a_refused_row_leaves_its_neighbours_unharmed_and_names_its_column<
    W: SourceWorld<Source: RowWriter>,
>() {
    let wish = TableWish {
        minds_notes: true,
        ..TableWish::new(TEXT)
    };
    let world = with_rows::<W>(wish, &["a", "b"]).await;
    let source = world.source();
    let cases = [
        (
            "source.not_null",
            Some("name"),
            insert(&[("k", Some("1")), ("name", None)]),
        ),
        ("source.not_null", Some("name"), insert(&[("k", Some("2"))])),
        (
            "source.check",
            Some("name"),
            update(source, "a", &[("name", Some(FORBIDDEN))]).await,
        ),
        (
            "source.not_unique",
            Some("code"),
            update(source, "a", &[("code", Some("b"))]).await,
        ),
        (
            "row.key_taken",
            Some("k"),
            insert(&[("k", Some("b")), ("name", Some("n"))]),
        ),
        (
            "source.too_long",
            Some("code"),
            insert(&[("k", Some("3")), ("name", Some("n")), ("code", Some("123456"))]),
        ),
        (
            "source.not_a_value",
            Some("price"),
            insert(&[("k", Some("4")), ("name", Some("n")), ("price", Some("dear"))]),
        ),
        (
            "source.trigger_refused",
            None,
            update(source, "a", &[("note", Some(RAISED))]).await,
        ),
        (
            "source.write_lost",
            None,
            update(source, "a", &[("note", Some(SWALLOWED))]).await,
        ),
    ];
    let mut writes: Vec<_> = cases.iter().map(|(_, _, write)| write.clone()).collect();
    writes.push(update(source, "b", &[("note", Some("taken"))]).await);
    let transaction = stage(source, writes).await;
    for (receipt, (code, column, _)) in transaction.receipts().iter().zip(&cases) {
        let failure = refused(receipt);
        assert_eq!((failure.code.as_str(), failure.scope), (*code, Scope::Row));
        if column.is_some() {
            assert_eq!(failure.column.as_deref(), *column, "{code}");
        }
    }
    staged(&transaction.receipts()[cases.len()]);
    committed(transaction).await;
    assert_eq!(
        row(source, TEXT, "b").await.unwrap().cells[4].as_deref(),
        Some("taken")
    );
    let untouched = row(source, TEXT, "a").await.unwrap();
    assert_eq!(
        texts(&untouched.cells),
        [Some("a"), Some("a"), Some("a"), Some("1.00"), None]
    );
    let page = source.page_by_key(None, 10).await.unwrap();
    assert_eq!(page.rows.len(), 2, "no refused row is in the table");
}

pub async fn what_triggers_and_precision_make_of_a_value_is_told_beside_what_was_written<
    W: SourceWorld<Source: RowWriter>,
>() {
    let wish = TableWish {
        upper_case_names: true,
        ..TableWish::new(TEXT)
    };
    let world = W::open(wish).await;
    let source = world.source();
    let new = insert(&[
        ("k", Some("a")),
        ("name", Some("shout")),
        ("price", Some(" 2.345")),
    ]);
    let transaction = stage(source, vec![new]).await;
    let (held, written, _) = staged(&transaction.receipts()[0]);
    assert_eq!(texts(written), [Some("a"), Some("shout"), Some("2.345")]);
    assert_eq!(
        texts(&held.cells),
        [Some("a"), Some("SHOUT"), None, Some("2.35"), None]
    );
    let held = held.clone();
    committed(transaction).await;
    assert_eq!(row(source, TEXT, "a").await.unwrap(), held);
}

pub async fn keys_that_the_server_chooses_come_back_and_never_twice<W: SourceWorld<Source: RowWriter>>() {
    for kind in [KeyKind::Number, KeyKind::Uuid] {
        let world = W::open(TableWish::new(kind)).await;
        let source = world.source();
        let new = || insert(&[("name", Some("n"))]);
        let dropped = stage(source, vec![new()]).await;
        let lost = staged(&dropped.receipts()[0]).0.key.clone();
        dropped.roll_back().await;
        let transaction = stage(source, vec![new(), new()]).await;
        let keys: Vec<_> = transaction
            .receipts()
            .iter()
            .map(|receipt| staged(receipt).0.clone())
            .collect();
        committed(transaction).await;
        assert!(
            keys[0].key != keys[1].key && keys[0].key != lost && keys[1].key != lost,
            "{kind:?}"
        );
        for new in keys {
            let text = new.key.texts().unwrap()[0].to_owned();
            assert_eq!(new.cells[0].as_deref(), Some(text.as_str()));
            assert_eq!(row(source, kind, &text).await, Some(new));
        }
    }
}

pub async fn a_change_of_the_key_is_told_with_the_new_one<W: SourceWorld<Source: RowWriter>>() {
    let world = with_rows::<W>(TableWish::new(TEXT), &["a"]).await;
    let source = world.source();
    let write = update(source, "a", &[("k", Some("z"))]).await;
    let transaction = stage(source, vec![write]).await;
    assert_eq!(staged(&transaction.receipts()[0]).0.key, TEXT.key("z"));
    committed(transaction).await;
    assert!(row(source, TEXT, "a").await.is_none() && row(source, TEXT, "z").await.is_some());
}

pub async fn keys_can_be_swapped_in_one_transaction<W: SourceWorld<Source: RowWriter>>() {
    let wish = TableWish {
        deferred_key: true,
        ..TableWish::new(TEXT)
    };
    let world = with_rows::<W>(wish, &["a", "b"]).await;
    let source = world.source();
    let writes = vec![
        update(source, "a", &[("k", Some("b"))]).await,
        update(source, "b", &[("k", Some("a"))]).await,
    ];
    let transaction = stage(source, writes).await;
    committed(transaction).await;
    assert_eq!(
        row(source, TEXT, "a").await.unwrap().cells[1].as_deref(),
        Some("b")
    );
    assert_eq!(
        row(source, TEXT, "b").await.unwrap().cells[1].as_deref(),
        Some("a")
    );
}

pub async fn a_row_that_another_session_holds_is_refused_and_its_neighbours_are_written<
    W: SourceWorld<Source: RowWriter>,
>() {
    let world = with_rows::<W>(TableWish::new(TEXT), &["a", "b"]).await;
    let source = world.source();
    let writes = vec![
        update(source, "a", &[("note", Some("ours"))]).await,
        update(source, "b", &[("note", Some("ours"))]).await,
    ];
    let mut app = world.session().await;
    app.begin().await;
    app.update("a", &[("note", Some("theirs"))]).await;
    let transaction = stage(source, writes.clone()).await;
    let failure = refused(&transaction.receipts()[0]);
    assert_eq!(
        (failure.code.as_str(), failure.scope),
        ("source.row_locked", Scope::Row)
    );
    staged(&transaction.receipts()[1]);
    committed(transaction).await;
    assert!(app.commit().await);
    let transaction = stage(source, vec![writes[0].clone()]).await;
    let now = moved(&transaction.receipts()[0])
        .one()
        .expect("the row as the other left it");
    assert_eq!(now.cells[4].as_deref(), Some("theirs"));
    transaction.roll_back().await;
}

pub async fn rows_of_one_transaction_see_each_other<W: SourceWorld<Source: RowWriter>>() {
    let world = with_rows::<W>(TableWish::new(TEXT), &["a", "b"]).await;
    let source = world.source();
    // The code that one gives up, the other takes.
    let writes = vec![
        update(source, "a", &[("code", Some("free"))]).await,
        update(source, "b", &[("code", Some("a"))]).await,
    ];
    let transaction = stage(source, writes).await;
    staged(&transaction.receipts()[1]);
    committed(transaction).await;
    assert_eq!(
        row(source, TEXT, "b").await.unwrap().cells[2].as_deref(),
        Some("a")
    );
}

pub async fn defaults_are_taken_for_what_is_not_named_only<W: SourceWorld<Source: RowWriter>>() {
    let world = W::open(TableWish::new(KeyKind::Number)).await;
    let source = world.source();
    let given = insert(&[("k", Some("500")), ("name", Some("n"))]);
    let null = syncbridge_domain::row_write::RowWrite::Insert {
        set: fields(&[("k", None), ("name", Some("n"))]),
    };
    let transaction = stage(source, vec![given, null]).await;
    assert_eq!(
        staged(&transaction.receipts()[0]).0.key,
        KeyKind::Number.key("500")
    );
    assert_eq!(refused(&transaction.receipts()[1]).code, "source.not_null");
    transaction.roll_back().await;
}
