//! Rows that are written: what comes back, and what is in the table.

use syncbridge_domain::row::{Cell, Presence};
use syncbridge_domain::row_write::{RowReceipt, RowWrite};
use syncbridge_source_postgres::PgSource;

use crate::world::{World, open, run, scalar, world};
use crate::writing::{
    blamed, cell, committed, delete, eventually, insert, is_there, key, moved, refused, row, set, staged,
    update,
};

const ITEMS: &str =
    "CREATE TABLE t (k int PRIMARY KEY, name text, amount numeric(10,2), \"by\" text, other text);
     INSERT INTO t VALUES (1, 'one', 1, 'a', 'x'), (2, 'two', 2, 'b', 'y'), (3, 'three', 3, 'c', 'z')";

async fn items() -> (World, PgSource) {
    let world = world(ITEMS).await;
    let source = open(&world.access, "t", &["k"], &["k", "name", "amount", "by"], None).await;
    (world, source)
}

#[tokio::test]
async fn only_the_columns_named_are_written_and_the_receipt_shows_the_row() {
    let (world, source) = items().await;
    let writes = vec![
        update(&source, &["2"], &[("name", Some("zwei")), ("amount", None)]).await,
        insert(&source, &[("k", Some("9")), ("name", Some("nine"))]),
        delete(&source, &["3"]).await,
    ];
    let before = row(&source, &["3"]).await;
    run(&world.pool, "UPDATE t SET other = 'changed meanwhile'").await;
    let transaction = source.stage(writes).await.unwrap();
    let (changed, written, xid) = staged(&transaction.receipts()[0]);
    assert_eq!(changed.cells, [cell("2"), cell("zwei"), None, cell("b")]);
    assert_eq!(written, [cell("zwei"), None]);
    let (added, _, added_by) = staged(&transaction.receipts()[1]);
    assert_eq!(added.key, key(&source, &["9"]));
    assert_eq!(staged(&transaction.receipts()[2]).0, &before);
    assert_ne!(xid, added_by, "each row has the id of its own savepoint");
    assert!(
        !is_there(&source, &["9"]).await,
        "nothing is true before the commit"
    );
    let (changed, added) = (changed.clone(), added.clone());
    committed(transaction).await;
    assert_eq!(row(&source, &["2"]).await, changed);
    assert_eq!(row(&source, &["9"]).await, added);
    assert!(!is_there(&source, &["3"]).await);
    assert_eq!(
        scalar(
            &world.pool,
            "SELECT string_agg(xmin::text, ' ' ORDER BY k) FROM t WHERE k IN (2, 9)"
        )
        .await,
        format!("{} {}", xid & 0xffff_ffff, added_by & 0xffff_ffff),
        "the row bears the id that the receipt told"
    );
    assert_eq!(
        scalar(&world.pool, "SELECT other FROM t WHERE k = 2").await,
        "changed meanwhile"
    );
}

#[tokio::test]
async fn a_row_that_shows_something_else_is_told_as_moved_and_not_written() {
    let (world, source) = items().await;
    let stale = vec![
        update(&source, &["1"], &[("name", Some("ours"))]).await,
        delete(&source, &["2"]).await,
        delete(&source, &["3"]).await,
    ];
    run(
        &world.pool,
        "UPDATE t SET amount = 1.5 WHERE k = 1; UPDATE t SET name = NULL WHERE k = 2; DELETE FROM t WHERE k = 3",
    )
    .await;
    let transaction = source.stage(stale).await.unwrap();
    let Presence::One(now) = moved(&transaction.receipts()[0]) else {
        panic!("one row");
    };
    assert_eq!(now.cells[2], cell("1.50"));
    assert!(moved(&transaction.receipts()[1]).one().is_some());
    assert_eq!(moved(&transaction.receipts()[2]), &Presence::None);
    committed(transaction).await;
    assert_eq!(row(&source, &["1"]).await.cells[1], cell("one"));
    assert!(is_there(&source, &["2"]).await);
}

#[tokio::test]
async fn a_passive_column_that_differs_does_not_make_a_row_moved() {
    let world = world(ITEMS).await;
    let table = syncbridge_source_postgres::TableRef::new("public", "t");
    let mut shape = crate::world::shape(&world.access, &table, &["k"], &["name", "by"], None).await;
    shape.passive = vec![1];
    let source = PgSource::connect(&world.access, &table, &shape).await.unwrap();
    let write = update(&source, &["1"], &[("name", Some("ours"))]).await;
    run(&world.pool, "UPDATE t SET \"by\" = 'somebody'").await;
    let transaction = source.stage(vec![write]).await.unwrap();
    assert_eq!(
        staged(&transaction.receipts()[0]).0.cells,
        [cell("ours"), cell("somebody")]
    );
    committed(transaction).await;
}

#[tokio::test]
async fn of_two_sessions_that_saw_the_same_row_the_second_is_told_what_the_first_wrote() {
    let (world, source) = items().await;
    let theirs = open(&world.access, "t", &["k"], &["k", "name", "amount", "by"], None).await;
    let ours = update(&source, &["1"], &[("name", Some("first"))]).await;
    let second = update(&theirs, &["1"], &[("name", Some("second"))]).await;
    let transaction = source.stage(vec![ours]).await.unwrap();
    // The second waits for the row while the first is not yet committed.
    let waiting = tokio::spawn(async move {
        let transaction = theirs.stage(vec![second]).await.unwrap();
        let receipt = transaction.receipts()[0].clone();
        transaction.roll_back().await;
        receipt
    });
    eventually("nobody waits", async || {
        scalar(
            &world.pool,
            "SELECT count(*)::text FROM pg_locks WHERE NOT granted",
        )
        .await
            == "1"
    })
    .await;
    committed(transaction).await;
    let receipt = waiting.await.unwrap();
    assert_eq!(moved(&receipt).one().unwrap().cells[1], cell("first"));
}

#[tokio::test]
async fn what_a_trigger_makes_of_our_value_is_told_beside_what_was_written() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, name text, seen int DEFAULT 0, note text);
         INSERT INTO t VALUES (1, 'one');
         CREATE TABLE log (k int, at timestamptz DEFAULT now());
         CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
         CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION shout();
         -- Names without schema, as people write them.
         CREATE FUNCTION afterwards() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN
                  INSERT INTO log VALUES (NEW.k);
                  UPDATE t SET seen = seen + 1 WHERE k = NEW.k;
                  RETURN NULL;
                END $$;
         CREATE TRIGGER afterwards AFTER INSERT OR UPDATE OF name ON t FOR EACH ROW EXECUTE FUNCTION afterwards();
         CREATE FUNCTION at_the_end() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO log VALUES (-NEW.k); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION at_the_end()",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &["k", "name", "seen"], None).await;
    let writes = vec![
        update(&source, &["1"], &[("name", Some("uno"))]).await,
        insert(&source, &[("k", Some("2")), ("name", Some("due"))]),
    ];
    let transaction = source.stage(writes).await.unwrap();
    let (changed, written, xid) = staged(&transaction.receipts()[0]);
    assert_eq!(written, [cell("uno")]);
    assert_eq!(
        changed.cells[1..],
        [cell("UNO"), cell("1")],
        "a trigger behind the write is seen too"
    );
    let (added, written, _) = staged(&transaction.receipts()[1]);
    assert_eq!(written, [cell("2"), cell("due")]);
    assert_eq!(added.cells[1..], [cell("DUE"), cell("1")]);
    committed(transaction).await;
    assert_eq!(
        scalar(&world.pool, "SELECT xmin::text FROM t WHERE k = 1").await,
        (xid & 0xffff_ffff).to_string()
    );
    assert_eq!(
        scalar(&world.pool, "SELECT string_agg(k::text, ' ' ORDER BY k) FROM log").await,
        "-2 1 2"
    );
}

#[tokio::test]
async fn a_row_that_a_trigger_lets_fall_or_takes_away_is_refused_and_its_neighbours_go() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF OLD.k = 1 THEN RETURN NULL; END IF; RETURN COALESCE(NEW, OLD); END $$;
         CREATE TRIGGER f BEFORE UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION f();
         CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN DELETE FROM t WHERE k = NEW.k AND k = 3; RETURN NULL; END $$;
         CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g()",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &["name"], None).await;
    let writes = vec![
        update(&source, &["3"], &[("name", Some("z"))]).await,
        update(&source, &["1"], &[("name", Some("z"))]).await,
        update(&source, &["2"], &[("name", Some("z"))]).await,
        delete(&source, &["1"]).await,
        delete(&source, &["4"]).await,
    ];
    let transaction = source.stage(writes).await.unwrap();
    for at in [0, 1, 3] {
        let failure = refused(&transaction.receipts()[at]);
        assert_eq!(failure.code, "source.write_lost", "{at}");
        assert!(failure.cause.contains("trigger"), "{failure}");
    }
    staged(&transaction.receipts()[2]);
    staged(&transaction.receipts()[4]);
    committed(transaction).await;
    assert_eq!(
        scalar(&world.pool, "SELECT string_agg(name, ' ' ORDER BY k) FROM t").await,
        "a z c"
    );
}

#[tokio::test]
async fn keys_that_the_server_chooses_come_back_with_the_receipt() {
    let world = world(
        "CREATE TABLE a (k serial PRIMARY KEY, name text);
         CREATE TABLE b (k bigint GENERATED BY DEFAULT AS IDENTITY (START 7) PRIMARY KEY, name text);
         CREATE TABLE c (k int GENERATED ALWAYS AS IDENTITY (START 40) PRIMARY KEY, name text);
         CREATE TABLE d (k uuid DEFAULT gen_random_uuid() PRIMARY KEY, name text);
         CREATE TABLE e (k text DEFAULT 'n-' || nextval('a_k_seq') PRIMARY KEY, name text)",
    )
    .await;
    for (table, expected) in [("a", "1"), ("b", "7"), ("c", "40"), ("d", "-"), ("e", "n-2")] {
        let source = open(&world.access, table, &["k"], &["k", "name"], None).await;
        let transaction = source
            .stage(vec![insert(&source, &[("name", Some("new"))])])
            .await
            .unwrap();
        let (added, written, _) = staged(&transaction.receipts()[0]);
        assert_eq!((&added.cells[1], written), (&cell("new"), &[cell("new")][..]));
        let text = added.key.texts().unwrap()[0].to_owned();
        assert_eq!(added.cells[0].as_deref(), Some(text.as_str()));
        match expected {
            "-" => assert_eq!(text.len(), 36),
            expected => assert_eq!(text, expected),
        }
        committed(transaction).await;
        assert!(is_there(&source, &[&text]).await, "{table}");
    }
    // A key may also be given, except where the server insists.
    let given = async |table: &str| {
        let source = open(&world.access, table, &["k"], &["k", "name"], None).await;
        let transaction = source
            .stage(vec![insert(&source, &[("k", Some("5000"))])])
            .await
            .unwrap();
        transaction.receipts()[0].clone()
    };
    staged(&given("b").await);
    assert_eq!(blamed(&given("c").await), ("source.column_computed", Some("k")));
}

#[tokio::test]
async fn a_row_of_defaults_alone_can_be_added() {
    let world = world("CREATE TABLE t (k serial PRIMARY KEY, name text DEFAULT 'nobody')").await;
    let source = open(&world.access, "t", &["k"], &["name"], None).await;
    let transaction = source.stage(vec![insert(&source, &[])]).await.unwrap();
    assert_eq!(staged(&transaction.receipts()[0]).0.cells, [cell("nobody")]);
    committed(transaction).await;
}

#[tokio::test]
async fn values_of_every_type_are_written_as_assignments_and_told_in_their_raw_form() {
    let world = world(
        "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN share AS numeric(5,2) CHECK (VALUE <= 100);
         CREATE TABLE t (k int PRIMARY KEY, b boolean, i2 smallint, i8 bigint, f8 float8, n numeric(10,2), v varchar(4),
             c char(4), u uuid, d date, ts timestamp(0), tz timestamptz, e mood, m money, ta text[], ia int[], ea mood[],
             j jsonb, x bytea, s share, iv interval, r int4range, w \"char\");
         INSERT INTO t VALUES (1)",
    )
    .await;
    // Column, text given, written, held.
    let cases: &[(&str, &str, &str, &str)] = &[
        ("b", "yes", "true", "true"),
        ("i2", " 12 ", "12", "12"),
        (
            "i8",
            "-9007199254740993",
            "-9007199254740993",
            "-9007199254740993",
        ),
        ("f8", "0.1", "0.1", "0.1"),
        ("n", "2.345", "2.345", "2.35"),
        ("v", "abcd", "abcd", "abcd"),
        ("c", "ab", "ab", "ab"),
        (
            "u",
            "3D050401-0000-4000-8000-00000000000A",
            "3d050401-0000-4000-8000-00000000000a",
            "3d050401-0000-4000-8000-00000000000a",
        ),
        ("d", "2024-02-29", "2024-02-29", "2024-02-29"),
        (
            "ts",
            "2024-02-29T10:00:00.6",
            "2024-02-29 10:00:00.6",
            "2024-02-29 10:00:01",
        ),
        (
            "tz",
            "2024-07-01T10:00:00.5Z",
            "2024-07-01 10:00:00.5+00",
            "2024-07-01 10:00:00.5+00",
        ),
        ("e", "sad", "sad", "sad"),
        ("m", "12.5", "12.50", "12.50"),
        (
            "ta",
            "{a,\"b, c\",NULL}",
            "{a,\"b, c\",NULL}",
            "{a,\"b, c\",NULL}",
        ),
        ("ia", "{1, 2}", "{1,2}", "{1,2}"),
        ("ea", "{glad,sad}", "{glad,sad}", "{glad,sad}"),
        (
            "j",
            "{\"b\":1,\"a\":[true]}",
            "{\"a\": [true], \"b\": 1}",
            "{\"a\": [true], \"b\": 1}",
        ),
        ("x", "\\xDEAD", "\\xdead", "\\xdead"),
        ("s", "99.999", "99.999", "100.00"),
        ("iv", "1 day 2 hours", "P1DT2H", "P1DT2H"),
        ("r", "[1,5]", "[1,6)", "[1,6)"),
        ("w", "q", "q", "q"),
    ];
    let names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    let source = open(&world.access, "t", &["k"], &names, None).await;
    let values: Vec<(&str, Option<&str>)> = cases
        .iter()
        .map(|(name, given, ..)| (*name, Some(*given)))
        .collect();
    let transaction = source
        .stage(vec![update(&source, &["1"], &values).await])
        .await
        .unwrap();
    let (held, written, _) = staged(&transaction.receipts()[0]);
    for (at, (name, _, expected, stored)) in cases.iter().enumerate() {
        assert_eq!(written[at].as_deref(), Some(*expected), "written to {name}");
        assert_eq!(held.cells[at].as_deref(), Some(*stored), "held by {name}");
    }
    let held = held.clone();
    committed(transaction).await;
    assert_eq!(row(&source, &["1"]).await, held, "a read shows the same texts");
    let nothing: Vec<(&str, Option<&str>)> = names.iter().map(|name| (*name, None)).collect();
    let transaction = source
        .stage(vec![update(&source, &["1"], &nothing).await])
        .await
        .unwrap();
    let (held, written, _) = staged(&transaction.receipts()[0]);
    let none: Vec<Cell> = vec![None; names.len()];
    assert_eq!(
        (&held.cells[..], written),
        (&none[..], &none[..]),
        "NULL is a value like any other"
    );
    committed(transaction).await;
}

#[tokio::test]
async fn names_that_need_quotes_and_keys_of_several_columns_are_written() {
    let world = world(
        "CREATE TABLE \"Odd \"\"; drop\" (\"k 1\" text, \"K\"\"2\" numeric, \"select\" text, PRIMARY KEY (\"k 1\", \"K\"\"2\"));
         INSERT INTO \"Odd \"\"; drop\" VALUES ('a''; --', 1.50, 'x'), ('b', 2, 'y')",
    )
    .await;
    let source = open(
        &world.access,
        "Odd \"; drop",
        &["k 1", "K\"2"],
        &["select", "k 1", "K\"2"],
        None,
    )
    .await;
    let writes = vec![
        update(&source, &["a'; --", "1.5"], &[("select", Some("\"; '"))]).await,
        insert(
            &source,
            &[("k 1", Some("c")), ("K\"2", Some("3.0")), ("select", None)],
        ),
        delete(&source, &["b", "2"]).await,
    ];
    let transaction = source.stage(writes).await.unwrap();
    for receipt in transaction.receipts() {
        staged(receipt);
    }
    assert_eq!(
        staged(&transaction.receipts()[1]).0.key,
        key(&source, &["c", "3"])
    );
    committed(transaction).await;
    assert_eq!(row(&source, &["a'; --", "1.5"]).await.cells[0], cell("\"; '"));
    assert!(!is_there(&source, &["b", "2"]).await);
}

#[tokio::test]
async fn a_view_is_written_through_and_its_rows_bear_the_id_of_the_transaction() {
    let world = world(
        "CREATE TABLE base (id int PRIMARY KEY, label text, hidden boolean DEFAULT false);
         INSERT INTO base VALUES (1, 'one'), (2, 'two');
         CREATE VIEW v AS SELECT id AS k, label AS name FROM base WHERE NOT hidden WITH CHECK OPTION;
         CREATE TABLE store (id serial PRIMARY KEY, label text); INSERT INTO store VALUES (100, 'old');
         CREATE VIEW w AS SELECT id AS k, label || '' AS name FROM store;
         CREATE FUNCTION w() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF TG_OP = 'INSERT' THEN
                 INSERT INTO store (label) VALUES (NEW.name || '!') RETURNING id INTO NEW.k; RETURN NEW;
             ELSIF TG_OP = 'UPDATE' THEN
                 UPDATE store SET label = NEW.name || '!' WHERE id = OLD.k; RETURN NEW;
             ELSE DELETE FROM store WHERE id = OLD.k; RETURN OLD; END IF; END $$;
         CREATE TRIGGER w INSTEAD OF INSERT OR UPDATE OR DELETE ON w FOR EACH ROW EXECUTE FUNCTION w()",
    )
    .await;
    let source = open(&world.access, "v", &["k"], &["k", "name"], None).await;
    assert!(!source.tells_row_xids().await.unwrap());
    let writes = vec![
        update(&source, &["1"], &[("name", Some("uno"))]).await,
        insert(&source, &[("k", Some("3")), ("name", Some("tre"))]),
        delete(&source, &["2"]).await,
        insert(&source, &[("k", Some("1"))]),
    ];
    let transaction = source.stage(writes).await.unwrap();
    let ids: Vec<u64> = (0..3).map(|at| staged(&transaction.receipts()[at]).2).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(blamed(&transaction.receipts()[3]), ("row.key_taken", Some("k")));
    committed(transaction).await;
    assert_eq!(
        scalar(&world.pool, "SELECT string_agg(label, ' ' ORDER BY id) FROM base").await,
        "uno tre"
    );
    let source = open(&world.access, "w", &["k"], &["name"], None).await;
    let writes = vec![
        update(&source, &["100"], &[("name", Some("new"))]).await,
        insert(&source, &[("name", Some("added"))]),
    ];
    let transaction = source.stage(writes).await.unwrap();
    let (changed, written, _) = staged(&transaction.receipts()[0]);
    assert_eq!(
        (written, &changed.cells[..]),
        (&[cell("new")][..], &[cell("new!")][..])
    );
    assert_eq!(staged(&transaction.receipts()[1]).0.key, key(&source, &["1"]));
    committed(transaction).await;
}

#[tokio::test]
async fn a_partitioned_table_is_written_and_a_row_may_change_its_partition() {
    let world = world(
        "CREATE TABLE t (k int, year int, name text, PRIMARY KEY (k, year)) PARTITION BY LIST (year);
         CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2);
         INSERT INTO t VALUES (1, 1, 'a'), (2, 1, 'b'), (1, 2, 'c')",
    )
    .await;
    let source = open(&world.access, "t", &["k", "year"], &["year", "name", "k"], None).await;
    assert!(source.tells_row_xids().await.unwrap());
    let writes = vec![
        update(&source, &["1", "1"], &[("name", Some("z"))]).await,
        update(&source, &["2", "1"], &[("year", Some("2"))]).await,
        insert(&source, &[("k", Some("3")), ("year", Some("2"))]),
        delete(&source, &["1", "2"]).await,
        insert(&source, &[("k", Some("3")), ("year", Some("9"))]),
    ];
    let transaction = source.stage(writes).await.unwrap();
    assert_eq!(staged(&transaction.receipts()[0]).0.cells[1], cell("z"));
    let (went, _, xid) = staged(&transaction.receipts()[1]);
    assert_eq!(went.key, key(&source, &["2", "2"]));
    let expected = (xid & 0xffff_ffff).to_string();
    staged(&transaction.receipts()[2]);
    staged(&transaction.receipts()[3]);
    assert_eq!(refused(&transaction.receipts()[4]).code, "source.check");
    committed(transaction).await;
    assert_eq!(
        scalar(&world.pool, "SELECT xmin::text FROM t2 WHERE k = 2").await,
        expected
    );
    assert_eq!(
        scalar(
            &world.pool,
            "SELECT string_agg(k || '/' || year, ' ' ORDER BY k, year) FROM t"
        )
        .await,
        "1/1 2/2 3/2"
    );
}

#[tokio::test]
async fn two_rows_exchange_keys_only_where_the_table_checks_at_the_end_and_none_is_lost_elsewhere() {
    let world = world(
        "CREATE TABLE strict (k int PRIMARY KEY, name text); INSERT INTO strict VALUES (1, 'a'), (2, 'b');
         CREATE TABLE patient (k int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, name text);
         INSERT INTO patient VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    )
    .await;
    let swap = async |source: &PgSource| {
        vec![
            update(source, &["1"], &[("k", Some("2"))]).await,
            update(source, &["2"], &[("k", Some("1"))]).await,
        ]
    };
    let source = open(&world.access, "strict", &["k"], &["k", "name"], None).await;
    let transaction = source.stage(swap(&source).await).await.unwrap();
    for receipt in transaction.receipts() {
        assert_eq!(blamed(receipt), ("row.key_taken", Some("k")));
    }
    committed(transaction).await;
    assert_eq!(
        scalar(
            &world.pool,
            "SELECT string_agg(k || name, ' ' ORDER BY k) FROM strict"
        )
        .await,
        "1a 2b"
    );
    let source = open(&world.access, "patient", &["k"], &["k", "name"], None).await;
    let mut writes = swap(&source).await;
    writes.push(insert(&source, &[("k", Some("3")), ("name", Some("d"))]));
    let transaction = source.stage(writes).await.unwrap();
    assert_eq!(blamed(&transaction.receipts()[2]), ("row.key_taken", Some("k")));
    staged(&transaction.receipts()[0]);
    staged(&transaction.receipts()[1]);
    committed(transaction).await;
    assert_eq!(
        scalar(
            &world.pool,
            "SELECT string_agg(k || name, ' ' ORDER BY k) FROM patient"
        )
        .await,
        "1b 2a 3c"
    );
}

#[tokio::test]
async fn a_key_that_another_row_took_meanwhile_is_told_as_taken() {
    let (world, source) = items().await;
    run(&world.pool, "INSERT INTO t VALUES (9, 'theirs')").await;
    let writes = vec![
        insert(&source, &[("k", Some("9")), ("name", Some("ours"))]),
        update(&source, &["1"], &[("k", Some("2"))]).await,
        update(&source, &["3"], &[("k", Some("4"))]).await,
    ];
    let transaction = source.stage(writes).await.unwrap();
    for at in 0..2 {
        assert_eq!(blamed(&transaction.receipts()[at]), ("row.key_taken", Some("k")));
    }
    assert_eq!(staged(&transaction.receipts()[2]).0.key, key(&source, &["4"]));
    committed(transaction).await;
    assert_eq!(row(&source, &["9"]).await.cells[1], cell("theirs"));
    assert!(!is_there(&source, &["3"]).await);
}

#[tokio::test]
async fn no_receipt_and_no_write_prints_a_value() {
    let (_world, source) = items().await;
    let write = RowWrite::Insert {
        set: set(&source, &[("k", Some("9")), ("name", Some("SECRET"))]),
    };
    assert!(!format!("{write:?}").contains("SECRET"));
    let transaction = source.stage(vec![write]).await.unwrap();
    assert!(matches!(transaction.receipts()[0], RowReceipt::Staged { .. }));
    assert!(!format!("{transaction:?}").contains("SECRET"));
    transaction.roll_back().await;
    assert!(!is_there(&source, &["9"]).await);
}
