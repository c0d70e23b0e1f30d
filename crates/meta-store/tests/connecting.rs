//! A-14, the meta-store's part: what cannot be reached says what to do, and never shows the password.

use std::time::Duration;

use syncbridge_devstack::testing;
use syncbridge_domain::failure::Failure;
use syncbridge_meta_store::{ConnectOptions, Error, MetaStore};
use syncbridge_secrets::SecretString;

async fn refused(url: String) -> Error {
    let options = ConnectOptions {
        connect_timeout: Duration::from_secs(5),
        ..ConnectOptions::default()
    };
    MetaStore::connect(&SecretString::from(url), options)
        .await
        .unwrap_err()
}

/// The parts of a URL `postgres://user:password@host:port/database…`.
fn with(url: &str, change: impl FnOnce(&mut [String; 4])) -> String {
    let rest = url.split_once("://").unwrap().1;
    let (login, place) = rest.rsplit_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (host, database) = place.split_once('/').unwrap();
    let mut parts = [user, password, host, database].map(str::to_owned);
    change(&mut parts);
    let [user, password, host, database] = parts;
    format!("postgres://{user}:{password}@{host}/{database}")
}

#[tokio::test]
async fn a_14_a_wrong_password_is_named_as_such_and_not_repeated() {
    let database = testing::postgres().await;
    let error = refused(with(&database.url(), |parts| parts[1] = "hunter2-planted".into())).await;
    assert!(matches!(error, Error::Login { .. }), "{error:?}");
    let failure = Failure::from(error);
    assert_eq!(failure.code, "meta_store.login");
    assert!(!format!("{failure} {failure:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_14_a_missing_database_is_named() {
    let database = testing::postgres().await;
    let error = refused(with(&database.url(), |parts| {
        parts[3] = "no_such_database".into();
    }))
    .await;
    assert!(
        matches!(&error, Error::NoDatabase { database, .. } if database == "no_such_database"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_14_an_unreachable_host_is_named_with_its_port() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = refused(format!("postgres://u:planted@127.0.0.1:{port}/d")).await;
    assert!(
        matches!(error, Error::Unreachable { port: at, .. } if at == port),
        "{error:?}"
    );
    assert!(!format!("{error} {error:?}").contains("planted"));
}

#[tokio::test]
async fn a_14_a_server_that_never_answers_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = ConnectOptions {
        connect_timeout: Duration::from_millis(200),
        ..ConnectOptions::default()
    };
    let url = SecretString::from(format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable"));
    let error = MetaStore::connect(&url, options).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    drop(listener);
}

#[tokio::test]
async fn a_14_what_is_no_url_is_refused_without_being_repeated() {
    for text in [
        "",
        "planted",
        "mysql://u:planted@h/d",
        "postgres://u:planted@h:notaport/d",
    ] {
        let error = refused(text.to_owned()).await;
        assert!(matches!(error, Error::Url), "{text}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("planted"));
    }
}
