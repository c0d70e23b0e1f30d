//! Every failure names its cause and the next step, and never a value.

use secrecy::ExposeSecret as _;
use syncbridge_devstack::postgres::Shutdown;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::KeyColumn;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::run::WatermarkColumn;
use syncbridge_source_postgres::{Access, Catalog, PgSource, ReadColumn, ReadShape, TableRef};

use crate::world::{lonely, open, run, world};

async fn refused(access: &Access) -> Failure {
    let failure = Catalog::connect(access).await.unwrap_err();
    assert_eq!(failure.scope, Scope::Outage, "{failure}");
    failure
}

fn shape(columns: &[(&str, PgType)]) -> ReadShape {
    ReadShape::new(
        vec![KeyColumn {
            name: "k".into(),
            pg_type: PgType::Int4,
        }],
        columns
            .iter()
            .map(|(name, t)| ReadColumn {
                name: (*name).into(),
                pg_type: t.clone(),
            })
            .collect(),
        None,
    )
}

async fn cannot_open(access: &Access, table: &str, shape: &ReadShape) -> Failure {
    PgSource::connect(access, &TableRef::new("public", table), shape)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_14_wrong_logins_and_addresses_are_told_apart() {
    let world = world("SELECT 1").await;
    let with = |change: fn(&mut Access)| {
        let mut access = world.access.clone();
        change(&mut access);
        access
    };
    let failure = refused(&with(|a| a.password = "SECRET".to_owned().into())).await;
    assert_eq!(failure.code, "source.password");
    assert!(!failure.to_string().contains("SECRET"));
    let failure = refused(&with(|a| a.user = "nobody here".to_owned())).await;
    assert_eq!(
        failure.code, "source.password",
        "SCRAM does not tell a wrong user from a wrong password"
    );
    assert!(failure.cause.contains("wrong user or wrong password"));
    let failure = refused(&with(|a| a.dbname = "no such db".to_owned())).await;
    assert_eq!(failure.code, "source.database_missing");
    let failure = refused(&with(|a| a.port = 1)).await;
    assert_eq!(failure.code, "source.unreachable");
    assert!(failure.cause.contains("nothing accepts connections"));
    let failure = refused(&with(|a| a.host = "no-such-host.invalid".to_owned())).await;
    assert_eq!(failure.code, "source.unreachable");
    // An address reserved for documentation: packets go nowhere.
    let failure = refused(&with(|a| {
        a.host = "192.0.2.1".to_owned();
        a.timeouts.connect = std::time::Duration::from_millis(300);
    }))
    .await;
    assert_eq!(failure.code, "source.unreachable");
}

#[tokio::test]
async fn a_14_unknown_schemas_tables_and_columns_suggest_what_was_meant() {
    let world = world(
        "CREATE SCHEMA sales; CREATE TABLE sales.offers (k int); CREATE TABLE projects (k int PRIMARY KEY, \
         \"Budget\" numeric)",
    )
    .await;
    let catalog = Catalog::connect(&world.access).await.unwrap();
    let describe =
        async |schema: &str, table: &str| catalog.describe(&TableRef::new(schema, table)).await.unwrap_err();
    let failure = describe("sale", "offers").await;
    assert_eq!(failure.code, "source.schema_missing");
    assert!(failure.cause.contains("did you mean `sales`?"), "{failure}");
    let failure = describe("public", "Project").await;
    assert_eq!(failure.code, "source.table_missing");
    assert!(failure.cause.contains("did you mean `projects`?"), "{failure}");
    let failure = describe("public", "offers").await;
    assert!(
        failure.cause.contains("did you mean `sales.offers`?"),
        "{failure}"
    );
    let failure = cannot_open(&world.access, "projects", &shape(&[("budget", PgType::Text)])).await;
    assert_eq!(
        (failure.code.as_str(), failure.column.as_deref()),
        ("source.column_missing", Some("budget"))
    );
    assert!(failure.cause.contains("did you mean `Budget`?"), "{failure}");
    let failure = cannot_open(&world.access, "projects", &shape(&[("Budget", PgType::Text)])).await;
    assert_eq!(failure.code, "source.type_changed");
}

#[tokio::test]
async fn keys_that_cannot_identify_rows_are_refused() {
    let world = world(
        "CREATE COLLATION blurred (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE loose (k int NOT NULL, u int NOT NULL UNIQUE); CREATE TABLE holes (k int UNIQUE);
         CREATE TABLE blur (k text COLLATE blurred PRIMARY KEY); CREATE TABLE span (k interval PRIMARY KEY);
         CREATE VIEW docs AS SELECT '{}'::json AS k",
    )
    .await;
    let failure = cannot_open(&world.access, "loose", &shape(&[])).await;
    assert_eq!(failure.code, "source.key_not_unique");
    assert!(failure.fix.contains("(u)"), "{failure}");
    assert_eq!(
        cannot_open(&world.access, "holes", &shape(&[])).await.code,
        "source.key_nullable"
    );
    let mut other = shape(&[]);
    other.key[0].pg_type = PgType::Text;
    assert_eq!(
        cannot_open(&world.access, "blur", &other).await.code,
        "source.key_collation"
    );
    other.key[0].pg_type = PgType::Other {
        name: "interval".into(),
    };
    assert_eq!(
        cannot_open(&world.access, "span", &other).await.code,
        "source.key_type"
    );
    other.key[0].pg_type = PgType::Other { name: "json".into() };
    assert_eq!(
        cannot_open(&world.access, "docs", &other).await.code,
        "source.key_type"
    );
    other.key.clear();
    assert_eq!(
        cannot_open(&world.access, "blur", &other).await.code,
        "source.key_missing"
    );
}

#[tokio::test]
async fn what_a_view_lacks_and_what_cannot_be_ordered_is_told_when_the_table_is_opened_or_read() {
    let world = world(
        "CREATE VIEW docs AS SELECT 1 AS k, '{}'::json AS w; CREATE FUNCTION inner_one() RETURNS int LANGUAGE sql \
             AS 'SELECT 1';
         CREATE FUNCTION outer_one() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN inner_one(); END $$;
         CREATE VIEW calls AS SELECT 1 AS k, outer_one() AS n",
    )
    .await;
    let mut unordered = shape(&[]);
    let pg_type = PgType::Other { name: "json".into() };
    unordered.watermark = Some(WatermarkColumn {
        name: "w".into(),
        pg_type,
    });
    assert_eq!(
        cannot_open(&world.access, "docs", &unordered).await.code,
        "source.unordered"
    );
    let source = open(&world.access, "calls", &["k"], &["n"], None).await;
    assert_eq!(
        source.page_by_key(None, 1).await.unwrap_err().code,
        "source.function_missing"
    );
}

#[tokio::test]
async fn missing_privileges_come_with_the_grant_to_give() {
    let mut town = lonely(
        "CREATE SCHEMA closed; CREATE TABLE closed.t (k int PRIMARY KEY);
         CREATE TABLE t (k int PRIMARY KEY, pay numeric, name text); CREATE ROLE \"Reader 1\" LOGIN PASSWORD 'r'",
    )
    .await;
    let admin = town.access.clone();
    town.access.user = "Reader 1".to_owned();
    town.access.password = "r".to_owned().into();
    let wanted = shape(&[
        (
            "pay",
            PgType::Numeric {
                precision: None,
                scale: None,
            },
        ),
        ("name", PgType::Text),
    ]);
    let failure = PgSource::connect(&town.access, &TableRef::new("closed", "t"), &shape(&[]))
        .await
        .unwrap_err();
    assert_eq!(failure.code, "source.permission");
    assert_eq!(failure.fix, "GRANT USAGE ON SCHEMA \"closed\" TO \"Reader 1\"");
    run(&town.pool, "GRANT SELECT (k, name) ON t TO \"Reader 1\"").await;
    let failure = cannot_open(&town.access, "t", &wanted).await;
    assert_eq!(failure.code, "source.permission");
    assert_eq!(
        failure.fix,
        "GRANT SELECT (\"pay\") ON \"public\".\"t\" TO \"Reader 1\""
    );
    run(&town.pool, &failure.fix).await;
    let source = PgSource::connect(&town.access, &TableRef::new("public", "t"), &wanted)
        .await
        .unwrap();
    assert!(source.page_by_key(None, 1).await.is_ok());
    run(&town.pool, "REVOKE ALL ON t FROM \"Reader 1\"").await;
    run(&town.pool, "REVOKE SELECT (k, name, pay) ON t FROM \"Reader 1\"").await;
    assert_eq!(
        source.page_by_key(None, 1).await.unwrap_err().code,
        "source.permission"
    );
    assert!(
        PgSource::connect(&admin, &TableRef::new("public", "t"), &wanted)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_server_that_goes_away_is_an_outage_and_the_source_recovers_with_it() {
    let mut town = lonely("CREATE TABLE t (k int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    town.access.timeouts.acquire = std::time::Duration::from_secs(2);
    let source = open(&town.access, "t", &["k"], &[], None).await;
    town.server.cluster.stop(Shutdown::Immediate).await.unwrap();
    let failure = source.page_by_key(None, 5).await.unwrap_err();
    assert_eq!(
        (failure.scope, failure.code.as_str()),
        (Scope::Outage, "source.unreachable"),
        "{failure}"
    );
    town.server.cluster.restart(Shutdown::Fast).await.unwrap();
    assert_eq!(source.page_by_key(None, 5).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn an_ended_session_is_replaced_by_the_next_read() {
    let world = world("CREATE TABLE t (k int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let mut access = world.access.clone();
    access.application_name = "victim".to_owned();
    let source = open(&access, "t", &["k"], &[], None).await;
    source.page_by_key(None, 1).await.unwrap();
    run(
        &world.pool,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'victim' AND datname = current_database()",
    )
    .await;
    assert_eq!(source.page_by_key(None, 1).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_12_no_failure_repeats_a_value_of_a_row() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, secret text);
         INSERT INTO t VALUES (1, 'TOPSECRET');
         CREATE VIEW casts AS SELECT k, secret::int AS n FROM t;
         CREATE FUNCTION shout(text) RETURNS text LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'it is %', $1 USING DETAIL = $1, HINT = $1; END $$;
         CREATE VIEW raises AS SELECT k, public.shout(secret) AS n FROM t",
    )
    .await;
    let whole = open(&world.access, "t", &["k"], &["secret"], None).await;
    let page = whole.page_by_key(None, 5).await.unwrap();
    assert_eq!(page.rows[0].cells[0].as_deref(), Some("TOPSECRET"));
    let password = world.access.password.expose_secret();
    let shown = format!("{whole:?} {page:?} {:?}", world.access);
    assert!(!shown.contains("TOPSECRET") && !shown.contains(password));
    for view in ["casts", "raises"] {
        let source = open(&world.access, view, &["k"], &["n"], None).await;
        let failure = source.page_by_key(None, 5).await.unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains("TOPSECRET"), "{view}");
        assert!(!failure.fix.is_empty());
    }
}
