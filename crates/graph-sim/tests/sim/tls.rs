//! HTTPS with the simulator's own authority, over real sockets.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::server::Program;

/// A client that trusts one authority and nothing else.
fn client(authority: &Path, http2: bool) -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let pem = std::fs::read(authority).unwrap();
    let builder = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()]);
    if http2 { builder } else { builder.http1_only() }
        .build()
        .unwrap()
}

fn start(folder: &Path, more: &[&str]) -> Program {
    let mut arguments = vec![
        "--tls",
        "--tls-folder",
        folder.to_str().unwrap(),
        "--client",
        "c:s",
    ];
    arguments.extend(more);
    Program::start(&arguments)
}

async fn token(client: &reqwest::Client, base: &str) -> String {
    let form = "grant_type=client_credentials&client_id=c&client_secret=s&scope=x/.default";
    let request = client
        .post(format!("{base}/contoso/oauth2/v2.0/token"))
        .body(form);
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn graph_is_served_in_both_versions_of_http_to_who_trusts_the_authority() {
    let folder = tempfile::tempdir().unwrap();
    let program = start(folder.path(), &[]);
    assert!(program.base().starts_with("https://"), "{}", program.base());
    for (http2, version) in [
        (true, reqwest::Version::HTTP_2),
        (false, reqwest::Version::HTTP_11),
    ] {
        let client = client(&folder.path().join("ca.pem"), http2);
        let token = token(&client, program.base()).await;
        let lists = format!("{}/v1.0/sites/root/lists", program.base());
        let response = client.get(&lists).bearer_auth(&token).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
        let body: Value = response.json().await.unwrap();
        let context = body["@odata.context"].as_str().unwrap();
        assert!(
            context.starts_with(&format!("{}/v1.0/", program.base())),
            "{context}"
        );
    }
}

#[tokio::test]
async fn the_authority_outlives_the_program_and_another_one_is_not_trusted() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(start(folder.path(), &[]));
    drop(start(other.path(), &[]));
    let file = folder.path().join("ca.pem");
    let before = std::fs::read(&file).unwrap();
    let program = start(folder.path(), &[]);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let mode = std::fs::metadata(folder.path().join("ca.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let trusting = client(&file, true).get(program.base()).send().await;
    assert_eq!(trusting.unwrap().status().as_u16(), 200);
    let distrusting = client(&other.path().join("ca.pem"), true)
        .get(program.base())
        .send()
        .await;
    assert!(distrusting.unwrap_err().is_connect());
    // Plain HTTP to a port of TLS gets no answer at all.
    let plain = format!("http://{}", program.address);
    assert!(client(&file, true).get(plain).send().await.is_err());
}

#[tokio::test]
async fn the_certificate_carries_the_hosts_of_the_real_service_the_tenant_s_and_those_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let program = start(
        folder.path(),
        &[
            "--hostname",
            "fabrikam.sharepoint.com",
            "--tls-name",
            "sim.example",
        ],
    );
    let address: std::net::SocketAddr = program.address.parse().unwrap();
    let pem = std::fs::read(folder.path().join("ca.pem")).unwrap();
    let reaches = async |host: &str| {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            .resolve(host, address)
            .build()
            .unwrap();
        let url = format!("https://{host}:{}/", address.port());
        client.get(url).send().await.is_ok()
    };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    for host in [
        "graph.microsoft.com",
        "login.microsoftonline.com",
        "fabrikam.sharepoint.com",
        "localhost",
        "sim.example",
    ] {
        assert!(reaches(host).await, "{host}");
    }
    assert!(!reaches("contoso.sharepoint.com").await);
}

#[test]
fn a_certificate_of_another_key_is_not_served_under() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(start(folder.path(), &[]));
    drop(start(other.path(), &[]));
    std::fs::copy(other.path().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_graph-sim"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--tls",
            "--tls-folder",
            folder.path().to_str().unwrap(),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("remove both"), "{text}");
}

#[tokio::test]
async fn a_record_holds_every_exchange_but_no_secret_and_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exchanges.jsonl");
    let program = start(folder.path(), &["--record", file.to_str().unwrap()]);
    let client = client(&folder.path().join("ca.pem"), true);
    let token = token(&client, program.base()).await;
    let lists = format!("{}/v1.0/sites/root/lists", program.base());
    let made = client
        .post(&lists)
        .bearer_auth(&token)
        .json(&json!({ "displayName": "L" }))
        .send()
        .await
        .unwrap();
    assert_eq!(made.status().as_u16(), 201);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (
            &lines[1]["method"],
            &lines[1]["status"],
            &lines[1]["request"]["displayName"],
            &lines[1]["response"]["name"]
        ),
        (&json!("POST"), &json!(201), &json!("L"), &json!("L"))
    );
    assert!(!text.contains(&token) && !text.contains("client_secret"));
}
