//! A private PostgreSQL on the real server programs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; clippy knows only the test functions themselves"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use sqlx::{Connection as _, PgConnection};
use syncbridge_devstack::postgres::{Cluster, PostgresOptions, Shutdown, TlsFiles};
use syncbridge_devstack::{Error, folders, testing};

/// Below the system's temporary folder, open to the server's user.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn fast(data: &Path) -> PostgresOptions {
    PostgresOptions {
        data: data.to_path_buf(),
        fast: true,
        ..PostgresOptions::default()
    }
}

async fn ask(url: &str, question: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sqlx::AssertSqlSafe(question.to_owned()))
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_cluster_starts_as_root_too_and_a_restart_finds_the_data_port_and_password_again() {
    let folder = open_folder();
    let mut cluster = Cluster::start(fast(folder.path())).await.unwrap();
    assert!(cluster.create_database("app").await.unwrap());
    assert!(
        !cluster.create_database("app").await.unwrap(),
        "the second time there is nothing to make"
    );
    let url = cluster.url("app");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("create table kept as select 'here' as word")
        .execute(&mut connection)
        .await
        .unwrap();
    drop(connection);
    for (setting, value) in [
        ("wal_level", "logical"),
        ("max_prepared_transactions", "10"),
        ("track_commit_timestamp", "on"),
    ] {
        assert_eq!(
            ask(&url, &format!("select current_setting('{setting}')")).await,
            value
        );
    }
    let password = folder.path().join("password");
    assert_eq!(
        std::fs::metadata(&password).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!format!("{cluster:?}").contains(cluster.password()));

    cluster.stop(Shutdown::Fast).await.unwrap();
    assert!(PgConnection::connect(&url).await.is_err());
    drop(cluster);
    let cluster = Cluster::start(fast(folder.path())).await.unwrap();
    assert_eq!(cluster.url("app"), url);
    assert_eq!(ask(&url, "select word from kept").await, "here");

    drop(cluster);
    assert!(
        PgConnection::connect(&url).await.is_err(),
        "dropping the value stops the server"
    );
}

#[tokio::test]
async fn a_crashed_server_recovers_and_a_new_configuration_holds() {
    let mut server =
        testing::private_postgres(|options| options.extra_conf = "work_mem = '5MB'".to_owned()).await;
    let url = server.cluster.url("postgres");
    assert_eq!(ask(&url, "select current_setting('work_mem')").await, "5MB");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("create table kept as select 'here' as word")
        .execute(&mut connection)
        .await
        .unwrap();
    server.cluster.restart(Shutdown::Immediate).await.unwrap();
    assert_eq!(ask(&url, "select word from kept").await, "here");
    server.cluster.reconfigure("work_mem = '6MB'").await.unwrap();
    assert_eq!(ask(&url, "select current_setting('work_mem')").await, "6MB");
    let folder = server.cluster.folder().to_path_buf();
    drop(server);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_a_server_left_by_a_killed_owner_is_taken_over() {
    let folder = open_folder();
    let cluster = Cluster::start(fast(folder.path())).await.unwrap();
    let refused = Cluster::start(fast(folder.path())).await.unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    drop(cluster);
    // A detached server stands for one whose owner was killed: it runs and nobody holds the folder's lock.
    let left = Cluster::start(PostgresOptions {
        detached: true,
        ..fast(folder.path())
    })
    .await
    .unwrap();
    let again = PostgresOptions {
        extra_conf: "work_mem = '7MB'".to_owned(),
        ..fast(folder.path())
    };
    let cluster = Cluster::start(again).await.unwrap();
    assert_eq!(cluster.port(), left.port());
    assert_eq!(
        ask(&cluster.url("postgres"), "select current_setting('work_mem')").await,
        "7MB"
    );
}

#[tokio::test]
async fn with_a_certificate_connections_are_encrypted_and_can_be_made_compulsory() {
    let folder = open_folder();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("a.crt"), folder.path().join("a.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = testing::private_postgres(|options| {
        options.tls = Some(TlsFiles {
            certificate,
            key,
            client_authority: None,
        });
        options.extra_hba = "hostnossl guarded all all reject".to_owned();
    })
    .await;
    server.cluster.create_database("guarded").await.unwrap();
    let url = server.cluster.url("guarded");
    assert!(
        PgConnection::connect(&format!("{url}?sslmode=disable"))
            .await
            .is_err()
    );
    let encrypted = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(ask(&format!("{url}?sslmode=require"), encrypted).await, "true");
    let key_file = server.cluster.folder().join("cluster/server.key");
    assert_eq!(
        std::fs::metadata(key_file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn a_port_taken_by_somebody_else_is_explained() {
    let folder = open_folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Cluster::start(PostgresOptions {
        port: Some(port),
        ..fast(folder.path())
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("Address already in use"), "{error}");
}

#[tokio::test]
async fn a_folder_the_server_user_cannot_reach_is_explained_and_for_servers_finds_another() {
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let is_root = std::fs::metadata("/proc/self")
        .map(|meta| std::os::unix::fs::MetadataExt::uid(&meta))
        .unwrap()
        == 0;
    if is_root {
        let error = Cluster::start(fast(&closed.path().join("data")))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("cannot reach"), "{error}");
    }
    let folder = folders::for_servers(closed.path()).unwrap();
    let cluster = Cluster::start(fast(&folder)).await.unwrap();
    assert_eq!(ask(&cluster.url("postgres"), "select 'up'").await, "up");
    drop(cluster);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Also run by the next test, in processes of its own, which read the port it prints.
#[tokio::test]
async fn a_test_database_is_on_the_server_that_its_url_names() {
    let database = testing::postgres().await;
    let port = ask(&database.url(), "select current_setting('port')").await;
    assert!(
        database.url().contains(&format!(":{port}/")),
        "another port answers: {port}"
    );
    println!("PORT={port}");
}

#[tokio::test]
async fn processes_that_start_at_once_share_one_test_cluster_which_outlives_them() {
    let folder = open_folder();
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_test_database_is_on_the_server_that_its_url_names"])
            .arg("--nocapture")
            .env(testing::FOLDER_VARIABLE, folder.path())
            .env_remove(testing::SERVER_VARIABLE)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..3).map(|_| start()).collect();
    let ports: Vec<String> = children
        .into_iter()
        .map(|child| {
            let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            let after = text
                .split("PORT=")
                .nth(1)
                .unwrap_or_else(|| panic!("no port in: {text}"));
            after.split_whitespace().next().unwrap().to_owned()
        })
        .collect();
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");

    let shared = PostgresOptions {
        detached: true,
        ..fast(&folder.path().join("postgres"))
    };
    let mut cluster = Cluster::start(shared).await.unwrap();
    assert_eq!(
        cluster.port().to_string(),
        ports[0],
        "it is the one that still runs"
    );
    let left = ask(
        &cluster.url("postgres"),
        "select count(*)::text from pg_database where datname like 'test\\_%'",
    )
    .await;
    assert_eq!(left, "0", "every process dropped its database");
    cluster.stop(Shutdown::Fast).await.unwrap();
}

#[tokio::test]
async fn every_test_has_a_database_of_its_own_that_goes_with_it_whatever_holds_it() {
    let (first, second) = (testing::postgres().await, testing::postgres().await);
    assert_ne!(first.name(), second.name());
    let mut connection = PgConnection::connect(&first.url()).await.unwrap();
    // The slot comes first: making one waits for every open transaction of the whole server, prepared ones too.
    // Names of slots are unique on the whole server.
    sqlx::query("select pg_create_logical_replication_slot($1, 'pgoutput')")
        .bind(first.name())
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::raw_sql("create table t (); begin; insert into t default values; prepare transaction 'it''s held'")
        .execute(&mut connection)
        .await
        .unwrap();
    let name = first.name().to_owned();
    drop(first);
    let left = ask(
        &second.url(),
        &format!("select count(*)::text from pg_database where datname = '{name}'"),
    )
    .await;
    assert_eq!(left, "0");
}
