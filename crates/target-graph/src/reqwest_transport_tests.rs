use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn request(url: String, max_answer: usize) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url,
        headers: Vec::new(),
        bearer: None,
        leave: None,
        body: None,
        max_answer,
    }
}

/// Answers every connection with these bytes, after the request's head came, and closes it.
async fn server(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[allow(
        clippy::disallowed_methods,
        reason = "a real server beside a real client; no simulation here"
    )]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    format!("http://{address}/")
}

async fn send(request: HttpRequest, timeout: Duration) -> Result<HttpResponse, TransportError> {
    ReqwestTransport::new().unwrap().send(request, timeout).await
}

fn text(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn any_status_is_an_answer_and_redirects_are_not_followed() {
    let url = server(text(
        "302 Found",
        "Location: http://127.0.0.1:1/\r\nSet-Cookie: a=b\r\n",
        "moved",
    ))
    .await;
    let answer = send(request(url, 100), LONG).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (302, &b"moved"[..]));
    assert_eq!(answer.header("location"), Some("http://127.0.0.1:1/"));
}

#[tokio::test]
async fn an_answer_beyond_its_bound_is_an_error_of_its_own() {
    let url = server(text("200 OK", "", "0123456789")).await;
    assert!(send(request(url.clone(), 10), LONG).await.is_ok());
    let error = send(request(url, 9), LONG).await.unwrap_err();
    assert_eq!(
        error,
        TransportError {
            sent: Sent::Maybe,
            kind: TransportErrorKind::AnswerTooLarge
        }
    );
}

#[tokio::test]
async fn what_cannot_have_left_is_told_from_what_may_have() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = send(request(format!("http://{free}/"), 10), LONG)
        .await
        .unwrap_err();
    assert_eq!(
        refused,
        TransportError {
            sent: Sent::No,
            kind: TransportErrorKind::Connect
        }
    );

    let closed = server(Vec::new()).await;
    let plain = server(text("400 Bad Request", "", "")).await;
    let error = send(request(closed.clone(), 10), LONG).await.unwrap_err();
    assert_eq!(
        error,
        TransportError {
            sent: Sent::Maybe,
            kind: TransportErrorKind::Broken
        }
    );

    let cut = server(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec()).await;
    assert_eq!(send(request(cut, 10), LONG).await.unwrap_err().sent, Sent::Maybe);

    // The server of plain text is no TLS server.
    let tls = plain.replace("http://", "https://");
    let error = send(request(tls, 10), LONG).await.unwrap_err();
    assert_eq!(
        error,
        TransportError {
            sent: Sent::No,
            kind: TransportErrorKind::Tls
        }
    );

    // Listens and never accepts: the connection stands, the answer does not come.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let error = send(request(url, 10), Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        TransportError {
            sent: Sent::Maybe,
            kind: TransportErrorKind::Timeout
        }
    );
}

#[tokio::test]
async fn a_name_that_leads_nowhere_was_not_sent_to() {
    let error = send(request("http://no-such-host.invalid/".into(), 10), LONG)
        .await
        .unwrap_err();
    assert_eq!(
        error,
        TransportError {
            sent: Sent::No,
            kind: TransportErrorKind::Resolve
        }
    );
}

#[tokio::test]
async fn a_name_of_denied_addresses_only_is_denied() {
    // Every system resolves a literal, and the rules look at what comes out.
    let name: Name = "169.254.169.254".parse().unwrap();
    let error = GuardedResolver.resolve(name).await.err().unwrap();
    assert!(error.is::<Denied>());
}

#[tokio::test]
async fn an_address_written_out_is_denied_as_well() {
    for url in [
        "http://169.254.169.254/metadata",
        "http://[fe80::1]/",
        "http://2852039166/",
    ] {
        let error = send(request(url.into(), 10), LONG).await.unwrap_err();
        assert_eq!(
            error,
            TransportError {
                sent: Sent::No,
                kind: TransportErrorKind::Denied
            },
            "{url}"
        );
    }
}

#[tokio::test]
async fn the_identity_service_is_reached_only_with_its_own_leave() {
    use crate::egress::{IDENTITY_SERVICE, IdentityServiceLeave};
    let denied = |outcome: Result<HttpResponse, TransportError>| {
        outcome.is_err_and(|error| error.kind == TransportErrorKind::Denied)
    };
    let soon = Duration::from_millis(50);
    assert!(denied(send(request(IDENTITY_SERVICE.into(), 10), soon).await));
    let leave = |url: &str, method| HttpRequest {
        leave: Some(IdentityServiceLeave::new()),
        method,
        ..request(url.into(), 10)
    };
    let elsewhere = "http://169.254.169.254/metadata/instance";
    assert!(denied(send(leave(elsewhere, Method::Get), soon).await));
    assert!(denied(send(leave(IDENTITY_SERVICE, Method::Post), soon).await));
    // Whether anybody answers depends on the machine; it is tried.
    assert!(!denied(send(leave(IDENTITY_SERVICE, Method::Get), soon).await));
}

#[test]
fn a_private_authority_has_to_be_a_certificate() {
    for text in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
    ] {
        let failure = ReqwestTransport::trusting(text.as_bytes()).unwrap_err();
        assert_eq!(failure.code, codes::AUTHORITY_UNREADABLE, "{text}");
    }
}

/// An authority and a server of its own whose certificate is for these names.
struct PrivateStack {
    authority_pem: String,
    url: String,
}

async fn private_stack(names: &[&str]) -> PrivateStack {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let leaf = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    #[allow(
        clippy::disallowed_methods,
        reason = "a real server beside a real client; no simulation here"
    )]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not believe us goes away; the next one is served.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&text("200 OK", "", "private")).await;
            let _ = stream.shutdown().await;
        }
    });
    PrivateStack {
        authority_pem,
        url: format!("https://localhost:{port}/"),
    }
}

#[tokio::test]
async fn a_private_authority_is_believed_alone_and_everything_else_is_still_verified() {
    let stack = private_stack(&["localhost"]).await;
    let other = private_stack(&["localhost"]).await;
    let misnamed = private_stack(&["elsewhere.example"]).await;
    let by = |authority: &str, url: &str| {
        let transport = ReqwestTransport::trusting(authority.as_bytes()).unwrap();
        let request = request(url.to_owned(), 100);
        async move { transport.send(request, LONG).await }
    };
    let answer = by(&stack.authority_pem, &stack.url).await.unwrap();
    assert_eq!(&answer.body[..], b"private");
    let both = format!("{}{}", other.authority_pem, stack.authority_pem);
    assert!(by(&both, &stack.url).await.is_ok(), "a file may hold several");
    let refused = TransportError {
        sent: Sent::No,
        kind: TransportErrorKind::Tls,
    };
    // Another authority's server, a name that is not the server's, and the machine's trust store.
    assert_eq!(by(&stack.authority_pem, &other.url).await.unwrap_err(), refused);
    assert_eq!(
        by(&misnamed.authority_pem, &misnamed.url).await.unwrap_err(),
        refused
    );
    assert_eq!(
        send(request(stack.url.clone(), 100), LONG).await.unwrap_err(),
        refused
    );
}
