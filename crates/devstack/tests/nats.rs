//! A private NATS server on the real program.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; clippy knows only the test functions themselves"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use syncbridge_devstack::nats::{NatsOptions, Server};
use syncbridge_devstack::process;

/// What the server says to a client that names this password and asks whether it is heard.
fn answer(port: u16, password: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let greeting = lines.next().unwrap().unwrap();
    assert!(greeting.contains("\"auth_required\":true"), "{greeting}");
    assert!(greeting.contains("\"jetstream\":true"), "{greeting}");
    write!(
        stream,
        "CONNECT {{\"user\":\"syncbridge\",\"pass\":\"{password}\",\"verbose\":false}}\r\nPING\r\n"
    )
    .unwrap();
    lines.next().unwrap().unwrap()
}

fn password_in(url: &str) -> String {
    url.rsplit(':')
        .nth(1)
        .unwrap()
        .split('@')
        .next()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_server_comes_up_with_jetstream_and_answers_only_who_knows_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(NatsOptions {
        data: folder.path().into(),
        port: None,
    })
    .await
    .unwrap();
    let password = password_in(&server.url());
    assert_eq!(answer(server.port(), &password), "PONG");
    assert!(answer(server.port(), "wrong").contains("Authorization Violation"));
    assert!(!format!("{server:?}").contains(&password));
    let pid = server.pid();
    server.stop().await.unwrap();
    assert!(!process::is_alive(pid));
}

#[tokio::test]
async fn a_server_left_by_a_killed_owner_is_ended_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let options = NatsOptions {
        data: folder.path().into(),
        port: None,
    };
    let left = Server::start(options.clone()).await.unwrap();
    let pid = left.pid();
    let server = Server::start(options).await.unwrap();
    drop(left); // Waits for it: it has ended, so this kills nothing.
    assert!(!process::is_alive(pid));
    assert_eq!(answer(server.port(), &password_in(&server.url())), "PONG");
}
