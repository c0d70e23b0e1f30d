//! Rows that the source does not take: each is told why, by code and column, and never with its value.

use syncbridge_domain::failure::Scope;
use syncbridge_domain::row_write::{Commit, RowWrite};
use syncbridge_source_postgres::{Access, PgSource};

use crate::world::{World, open, run, scalar, world};
use crate::writing::{
    blamed, committed, delete, insert, is_there, refusal, refused, row, set, staged, update,
};

const TABLES: &str = "
    CREATE TABLE parent (k int PRIMARY KEY, name text); INSERT INTO parent VALUES (1, 'p'), (2, 'q');
    CREATE DOMAIN grade AS int CHECK (VALUE BETWEEN 1 AND 6); CREATE DOMAIN given AS text NOT NULL;
    CREATE TABLE t (
        k int PRIMARY KEY, code text UNIQUE, parent int REFERENCES parent, size int CHECK (size > 0), grade grade,
        short varchar(3), n numeric(4,1), small smallint, day date, \"from\" int DEFAULT 0, till int DEFAULT 0,
        must text NOT NULL DEFAULT 'x', twice int GENERATED ALWAYS AS (size * 2) STORED,
        CONSTRAINT in_order CHECK (\"from\" <= till), EXCLUDE USING btree (small WITH =));
    ALTER TABLE t ADD doc jsonb;
    CREATE UNIQUE INDEX only_one ON t (lower(code)) WHERE code LIKE 'L%';
    CREATE TABLE strict (k int PRIMARY KEY, name text, must text NOT NULL);
    INSERT INTO t (k, code, parent, size, small) VALUES (1, 'a', 1, 1, 1), (2, 'b', 1, 1, 2)";

const COLUMNS: &[&str] = &[
    "k", "code", "parent", "size", "grade", "short", "n", "small", "day", "from", "till", "must", "twice",
    "doc",
];

async fn tables() -> (World, PgSource) {
    let world = world(TABLES).await;
    let source = open(&world.access, "t", &["k"], COLUMNS, None).await;
    (world, source)
}

/// What is assigned, the code, the column.
type Case = (
    &'static [(&'static str, Option<&'static str>)],
    &'static str,
    Option<&'static str>,
);

#[tokio::test]
async fn each_kind_of_refusal_has_its_code_and_names_the_column() {
    let (world, source) = tables().await;
    let cases: &[Case] = &[
        (&[("code", Some("b"))], "source.not_unique", Some("code")),
        (&[("parent", Some("77"))], "source.parent_missing", Some("parent")),
        (&[("size", Some("-5"))], "source.check", Some("size")),
        (
            &[("from", Some("9")), ("size", Some("2"))],
            "source.check",
            Some("from"),
        ),
        (&[("from", Some("9")), ("till", Some("8"))], "source.check", None),
        (
            &[("size", Some("2")), ("grade", Some("9"))],
            "source.check",
            Some("grade"),
        ),
        (&[("must", None)], "source.not_null", Some("must")),
        (&[("small", Some("2"))], "source.excluded", Some("small")),
        (
            &[("code", Some("SECRET")), ("short", Some("SECRET!"))],
            "source.too_long",
            Some("short"),
        ),
        (&[("short", Some("abcd"))], "source.too_long", Some("short")),
        (
            &[("size", Some("SECRET")), ("code", Some("z"))],
            "source.not_a_value",
            Some("size"),
        ),
        (
            &[("code", Some("z")), ("day", Some("2023-02-29"))],
            "source.not_a_value",
            Some("day"),
        ),
        (
            &[("size", Some("3")), ("n", Some("12345.6"))],
            "source.out_of_range",
            Some("n"),
        ),
        (
            &[("size", Some("3")), ("small", Some("99999"))],
            "source.out_of_range",
            Some("small"),
        ),
        (&[("doc", Some("{SECRET"))], "source.not_a_value", Some("doc")),
        (
            &[("size", Some("3")), ("doc", Some("{\"a\": SECRET}"))],
            "source.not_a_value",
            Some("doc"),
        ),
        (
            &[("size", Some("3")), ("code", Some("SECRET\0"))],
            "source.not_a_value",
            Some("code"),
        ),
        (&[("twice", Some("3"))], "source.column_computed", Some("twice")),
        (&[("k", Some("2"))], "row.key_taken", Some("k")),
    ];
    for (values, code, column) in cases {
        let failure = refusal(&source, update(&source, &["1"], values).await).await;
        assert_eq!(
            (failure.code.as_str(), failure.column.as_deref()),
            (*code, *column),
            "{failure}"
        );
        assert!(!failure.fix.is_empty());
    }
    // All at once, with one in their midst that is taken.
    let mut writes = Vec::new();
    for (values, ..) in cases {
        writes.push(update(&source, &["1"], values).await);
    }
    writes.push(update(&source, &["2"], &[("size", Some("42"))]).await);
    let transaction = source.stage(writes).await.unwrap();
    for (receipt, (_, code, column)) in transaction.receipts().iter().zip(cases) {
        assert_eq!(blamed(receipt), (*code, *column));
    }
    staged(&transaction.receipts()[cases.len()]);
    committed(transaction).await;
    assert_eq!(
        scalar(
            &world.pool,
            "SELECT string_agg(code || size || twice, ' ' ORDER BY k) FROM t"
        )
        .await,
        "a12 b4284"
    );
}

#[tokio::test]
async fn a_new_row_without_a_value_that_must_be_there_names_the_column_though_it_is_not_mapped() {
    let (world, _) = tables().await;
    let source = open(&world.access, "strict", &["k"], &["k", "name"], None).await;
    let failure = refusal(
        &source,
        insert(&source, &[("k", Some("5")), ("name", Some("SECRET"))]),
    )
    .await;
    assert_eq!(
        (failure.code.as_str(), failure.column.as_deref()),
        ("source.not_null", Some("must"))
    );
    assert!(failure.cause.contains("`public.strict`"), "{failure}");
    let failure = refusal(&source, insert(&source, &[("name", Some("x"))])).await;
    assert_eq!(failure.column.as_deref(), Some("k"));
}

#[tokio::test]
async fn a_row_that_others_refer_to_is_not_deleted_and_the_table_that_refers_is_named() {
    let (world, _) = tables().await;
    let source = open(&world.access, "parent", &["k"], &["k", "name"], None).await;
    let writes = vec![
        delete(&source, &["1"]).await,
        delete(&source, &["2"]).await,
        update(&source, &["1"], &[("k", Some("8"))]).await,
    ];
    let transaction = source.stage(writes).await.unwrap();
    for at in [0, 2] {
        let failure = refused(&transaction.receipts()[at]);
        assert_eq!(failure.code, "source.still_referenced");
        assert!(failure.cause.contains("`public.t`"), "{failure}");
    }
    committed(transaction).await;
    assert!(is_there(&source, &["1"]).await);
    assert!(!is_there(&source, &["2"]).await);
}

#[tokio::test]
async fn a_missing_parent_is_told_as_such_also_where_a_partition_or_a_view_stands_between() {
    let world = world(
        "CREATE TABLE parent (k int PRIMARY KEY); INSERT INTO parent VALUES (1);
         CREATE TABLE t (k int PRIMARY KEY, parent int REFERENCES parent) PARTITION BY LIST (k);
         CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1, 2); INSERT INTO t VALUES (1, 1);
         CREATE VIEW v AS SELECT k, parent FROM t",
    )
    .await;
    for table in ["t", "v"] {
        let source = open(&world.access, table, &["k"], &["k", "parent"], None).await;
        for write in [
            insert(&source, &[("k", Some("2")), ("parent", Some("7"))]),
            update(&source, &["1"], &[("parent", Some("7"))]).await,
        ] {
            let failure = refusal(&source, write).await;
            assert_eq!(failure.code, "source.parent_missing", "{failure}");
            assert_eq!(failure.column.as_deref(), Some("parent"));
        }
    }
}

#[tokio::test]
async fn what_a_trigger_or_a_views_condition_refuses_is_told_as_such() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b');
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.name = 'raise' THEN RAISE EXCEPTION 'no SECRET' USING ERRCODE = 'ZX123'; END IF;
             IF NEW.name = 'cast' THEN NEW.name := 'SECRET'::int; END IF;
             IF NEW.name = 'table' THEN INSERT INTO nowhere VALUES (1); END IF;
             RETURN NEW; END $$;
         CREATE TRIGGER f BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();
         CREATE VIEW v AS SELECT k, name FROM t WHERE name < 'z' WITH CHECK OPTION;
         CREATE VIEW sums AS SELECT count(*)::int AS k, max(name) AS name FROM t",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &["name"], None).await;
    for name in ["raise", "cast", "table"] {
        let failure = refusal(&source, update(&source, &["1"], &[("name", Some(name))]).await).await;
        assert_eq!(failure.code, "source.trigger_refused", "{name}: {failure}");
        assert!(!failure.to_string().contains("SECRET"), "{failure}");
    }
    let source = open(&world.access, "v", &["k"], &["name"], None).await;
    let failure = refusal(&source, update(&source, &["1"], &[("name", Some("zz"))]).await).await;
    assert_eq!(failure.code, "source.view_check");
    let source = open(&world.access, "sums", &["k"], &["name"], None).await;
    let failure = source
        .stage(vec![update(&source, &["2"], &[("name", Some("x"))]).await])
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.scope),
        ("source.not_writable", Scope::List)
    );
    assert!(failure.cause.contains("UPDATE"), "{failure}");
}

#[tokio::test]
async fn a_constraint_that_waits_for_the_commit_rolls_everything_back_and_is_named() {
    let world = world(
        "CREATE TABLE parent (k int PRIMARY KEY);
         CREATE TABLE t (k int PRIMARY KEY, code text CONSTRAINT one_code UNIQUE DEFERRABLE INITIALLY DEFERRED,
             parent int CONSTRAINT to_parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &["k", "code", "parent"], None).await;
    let values: [(&str, &str, &str, &str); 2] = [
        ("code", "b", "source.not_unique", "one_code"),
        ("parent", "7", "source.parent_missing", "to_parent"),
    ];
    for (column, value, code, constraint) in values {
        let writes = vec![
            update(&source, &["1"], &[(column, Some(value))]).await,
            insert(&source, &[("k", Some("3"))]),
        ];
        let transaction = source.stage(writes).await.unwrap();
        let ids: Vec<u64> = transaction
            .receipts()
            .iter()
            .map(|receipt| staged(receipt).2)
            .collect();
        let Commit::RolledBack(failure) = transaction.commit().await else {
            panic!("it was refused");
        };
        assert_eq!((failure.code.as_str(), failure.scope), (code, Scope::Row));
        assert!(failure.cause.contains(constraint), "{failure}");
        assert!(!is_there(&source, &["3"]).await);
        let aborted = syncbridge_domain::row_write::TransactionStatus::Aborted;
        assert_eq!(source.transactions(&ids).await.unwrap(), [aborted, aborted]);
    }
    assert_eq!(row(&source, &["1"]).await.cells[1].as_deref(), Some("a"));
}

/// Access of a role that may log in and read `t`.
async fn reader(world: &World, name: &str, grants: &str) -> Access {
    let database = scalar(&world.pool, "SELECT current_database()").await;
    let role = format!("{name}_{database}");
    run(
        &world.pool,
        &format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'pw'; GRANT SELECT ON t TO \"{role}\""),
    )
    .await;
    run(&world.pool, &grants.replace("OUR_ROLE", &format!("\"{role}\""))).await;
    let mut access = world.access.clone();
    access.user = role;
    access.password = "pw".to_owned().into();
    access
}

async fn forget(world: &World, access: &Access) {
    run(
        &world.pool,
        &format!("DROP OWNED BY \"{0}\"; DROP ROLE \"{0}\"", access.user),
    )
    .await;
}

#[tokio::test]
async fn a_role_that_may_not_write_and_one_made_read_only_are_told_with_the_fix() {
    let world = world("CREATE TABLE t (k int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')").await;
    let access = reader(&world, "reads", "").await;
    let source = open(&access, "t", &["k"], &["name"], None).await;
    let write = update(&source, &["1"], &[("name", Some("b"))]).await;
    let failure = source.stage(vec![write]).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.scope),
        ("source.write_permission", Scope::List)
    );
    assert!(failure.fix.contains("grant"), "{failure}");
    source.close().await;
    forget(&world, &access).await;
    let access = reader(
        &world,
        "calm",
        "GRANT ALL ON t TO OUR_ROLE; ALTER ROLE OUR_ROLE SET default_transaction_read_only = on",
    )
    .await;
    let source = open(&access, "t", &["k"], &["name"], None).await;
    let write = update(&source, &["1"], &[("name", Some("b"))]).await;
    let failure = source.stage(vec![write]).await.unwrap_err();
    assert_eq!(failure.code, "source.server_read_only");
    assert!(failure.fix.contains("default_transaction_read_only"), "{failure}");
    source.close().await;
    forget(&world, &access).await;
    assert_eq!(scalar(&world.pool, "SELECT name FROM t").await, "a");
}

#[tokio::test]
async fn row_security_that_begins_to_hide_rows_ends_the_whole_transaction() {
    let world =
        world("CREATE TABLE t (k int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
    let access = reader(&world, "hidden", "GRANT ALL ON t TO OUR_ROLE").await;
    let source = open(&access, "t", &["k"], &["k", "name"], None).await;
    let writes = vec![
        update(&source, &["1"], &[("name", Some("z"))]).await,
        RowWrite::Insert {
            set: set(&source, &[("k", Some("3"))]),
        },
    ];
    run(
        &world.pool,
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (k > 1)",
    )
    .await;
    for write in writes {
        assert_eq!(
            source.stage(vec![write]).await.unwrap_err().code,
            "source.row_security"
        );
    }
    source.close().await;
    run(
        &world.pool,
        "ALTER TABLE t DISABLE ROW LEVEL SECURITY; DROP POLICY p ON t",
    )
    .await;
    forget(&world, &access).await;
}

#[tokio::test]
async fn a_standby_takes_no_writes_and_says_so() {
    let town =
        crate::world::lonely("CREATE TABLE t (k int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')")
            .await;
    let mut town = town;
    let source = open(&town.access, "t", &["k"], &["name"], None).await;
    let write = update(&source, &["1"], &[("name", Some("b"))]).await;
    source.close().await;
    // A server that waits for its primary, like any standby.
    std::fs::write(
        town.server
            .cluster
            .folder()
            .join("cluster")
            .join("standby.signal"),
        "",
    )
    .unwrap();
    town.server
        .cluster
        .restart(syncbridge_devstack::postgres::Shutdown::Fast)
        .await
        .unwrap();
    let source = open(&town.access, "t", &["k"], &["name"], None).await;
    assert_eq!(
        source.stage(vec![write]).await.unwrap_err().code,
        "source.server_read_only"
    );
}
