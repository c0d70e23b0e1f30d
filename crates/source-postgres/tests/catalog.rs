//! What introspection says about tables.

use syncbridge_domain::pg_type::PgType;
use syncbridge_source_postgres::catalog::{KeyRefusal, RelationKind};
use syncbridge_source_postgres::{Catalog, TableRef};

use crate::world::world;

#[tokio::test]
async fn columns_show_their_base_type_and_all_that_is_known_about_them() {
    let world = world(
        "CREATE TYPE state AS ENUM ('open', 'done'); ALTER TYPE state ADD VALUE 'new' BEFORE 'open';
         CREATE DOMAIN money_amount AS numeric(14, 2); CREATE DOMAIN narrow AS money_amount CHECK (VALUE > 0);
         CREATE TABLE t (
             id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code char(3) NOT NULL, name varchar(80),
             price narrow, twice numeric GENERATED ALWAYS AS (id * 2) STORED, s state DEFAULT 'open',
             tags text[], plain numeric, at timestamptz(3), gone int, note text COLLATE \"de-x-icu\");
         ALTER TABLE t DROP COLUMN gone; COMMENT ON COLUMN t.name IS 'Who'; COMMENT ON TABLE t IS 'Things'",
    )
    .await;
    let catalog = Catalog::connect(&world.access).await.unwrap();
    let table = catalog.describe(&TableRef::new("public", "t")).await.unwrap();
    assert_eq!(table.kind, RelationKind::Table);
    assert_eq!(table.comment.as_deref(), Some("Things"));
    assert!(table.schema_usable && !table.row_security && !table.rows_hidden);
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "id", "code", "name", "price", "twice", "s", "tags", "plain", "at", "note"
        ]
    );
    let column = |name: &str| table.column(name).unwrap();
    assert_eq!(column("id").pg_type, PgType::Int8);
    assert!(column("id").identity && !column("id").nullable);
    assert_eq!(column("code").pg_type, PgType::Char { length: Some(3) });
    assert_eq!(column("name").pg_type, PgType::Varchar { length: Some(80) });
    assert_eq!(column("name").comment.as_deref(), Some("Who"));
    assert_eq!(
        column("price").pg_type,
        PgType::Numeric {
            precision: Some(14),
            scale: Some(2)
        }
    );
    assert_eq!(column("price").domain.as_deref(), Some("public.narrow"));
    assert!(column("twice").generated && column("twice").default.is_none());
    let labels = ["new", "open", "done"].map(str::to_owned).to_vec();
    assert_eq!(
        column("s").pg_type,
        PgType::Enum {
            name: "public.state".into(),
            labels
        }
    );
    assert_eq!(column("s").default.as_deref(), Some("'open'::public.state"));
    assert_eq!(
        column("tags").pg_type,
        PgType::Array {
            element: Box::new(PgType::Text),
            name: "text[]".into()
        }
    );
    assert_eq!(
        column("plain").pg_type,
        PgType::Numeric {
            precision: None,
            scale: None
        }
    );
    assert_eq!(column("at").pg_type, PgType::TimestampTz);
    let collation = column("note").collation.as_ref().unwrap();
    assert_eq!(
        (collation.name.as_str(), collation.deterministic),
        ("de-x-icu", true)
    );
}

#[tokio::test]
async fn keys_that_cannot_identify_rows_are_shown_with_the_reason() {
    let world = world(
        "CREATE COLLATION blurred (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE, c text COLLATE blurred NOT NULL UNIQUE,
             d int NOT NULL, e interval NOT NULL UNIQUE, f int NOT NULL, g int NOT NULL);
         CREATE UNIQUE INDEX partial ON t (d) WHERE d > 0; CREATE UNIQUE INDEX expression ON t ((d + 1));
         CREATE UNIQUE INDEX good ON t (f, g)",
    )
    .await;
    let catalog = Catalog::connect(&world.access).await.unwrap();
    let table = catalog.describe(&TableRef::new("public", "t")).await.unwrap();
    let refusal = |index: &str| {
        table
            .keys
            .iter()
            .find(|key| key.index == index)
            .unwrap()
            .refusal
            .clone()
    };
    assert_eq!(refusal("t_pkey"), None);
    assert_eq!(refusal("good"), None);
    assert_eq!(refusal("t_b_key"), Some(KeyRefusal::Nullable("b".into())));
    assert_eq!(refusal("t_c_key"), Some(KeyRefusal::Nondeterministic("c".into())));
    assert_eq!(refusal("t_e_key"), Some(KeyRefusal::TypeEquality("e".into())));
    assert_eq!(refusal("partial"), Some(KeyRefusal::Partial));
    assert_eq!(refusal("expression"), Some(KeyRefusal::Expression));
    assert_eq!(table.best_key().unwrap().columns, ["a"]);
}

#[tokio::test]
async fn an_index_is_recognised_when_it_serves_the_order_of_the_pages() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, at timestamptz, name text COLLATE \"en-x-icu\");
         CREATE INDEX mixed ON t (at DESC, k); CREATE INDEX hashed ON t USING hash (at);
         CREATE INDEX few ON t (at, k) WHERE k > 5; CREATE INDEX by_bytes ON t (name COLLATE \"C\")",
    )
    .await;
    let catalog = Catalog::connect(&world.access).await.unwrap();
    let reference = TableRef::new("public", "t");
    let table = catalog.describe(&reference).await.unwrap();
    assert_eq!(table.index_for(&["k"]).unwrap().name, "t_pkey");
    assert!(table.index_for(&["at", "k"]).is_none());
    assert!(
        table.index_for(&["name"]).is_none(),
        "it sorts differently from its column"
    );
    crate::world::run(&world.pool, "CREATE INDEX downwards ON t (at DESC, k DESC)").await;
    let table = catalog.describe(&reference).await.unwrap();
    assert_eq!(table.index_for(&["at", "k"]).unwrap().name, "downwards");
}

#[tokio::test]
async fn relations_of_all_kinds_are_listed_and_system_schemas_are_not() {
    let world = world(
        "CREATE SCHEMA \"Sales Dept\"; CREATE TABLE \"Sales Dept\".a (k int);
         CREATE TABLE parted (k int) PARTITION BY LIST (k); CREATE VIEW v AS SELECT 1 AS k;
         CREATE MATERIALIZED VIEW m AS SELECT 1 AS k; CREATE SEQUENCE s; CREATE INDEX i ON \"Sales Dept\".a (k);
         ALTER TABLE parted ENABLE ROW LEVEL SECURITY",
    )
    .await;
    let catalog = Catalog::connect(&world.access).await.unwrap();
    let relations = catalog.relations().await.unwrap();
    let seen: Vec<(String, RelationKind)> = relations.iter().map(|r| (r.table.to_string(), r.kind)).collect();
    assert_eq!(
        seen,
        [
            ("`Sales Dept.a`".to_owned(), RelationKind::Table),
            ("`public.m`".to_owned(), RelationKind::MaterializedView),
            ("`public.parted`".to_owned(), RelationKind::PartitionedTable),
            ("`public.v`".to_owned(), RelationKind::View),
        ]
    );
    assert!(relations[2].row_security && relations.iter().all(|r| r.readable));
}
