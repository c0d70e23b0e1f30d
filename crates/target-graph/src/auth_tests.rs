use std::sync::Mutex as StdMutex;

use futures_util::FutureExt;
use futures_util::future::join;
use secrecy::ExposeSecret as _;
use serde_json::{Value as Json, json};

use super::*;
use crate::certificate::testing::{authentic, minted};
use crate::credentials::{AssertionSource, IdentityService};
use crate::egress::IDENTITY_SERVICE;
use crate::testing::{Counting, ManualClock, client, json_answer};
use crate::transport::{HttpRequest, HttpResponse, Method, Sent, TransportErrorKind};

type Answer = Result<HttpResponse, TransportError>;

/// Answers each request by what the function makes of its number.
struct Authority<F> {
    asked: std::sync::Mutex<u32>,
    answer: F,
}

impl<F: Fn(u32) -> Answer + Send + Sync> Transport for Authority<F> {
    async fn send(&self, _: HttpRequest, _: Duration) -> Answer {
        let n = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked
        };
        // Lets others come in between, as a real wire does.
        let mut first = true;
        std::future::poll_fn(|cx| {
            if std::mem::take(&mut first) {
                cx.waker().wake_by_ref();
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(())
        })
        .await;
        (self.answer)(n)
    }
}

fn authority<F: Fn(u32) -> Answer + Send + Sync>(answer: F) -> Authority<F> {
    Authority {
        asked: std::sync::Mutex::new(0),
        answer,
    }
}

fn token(n: u32, seconds: u64) -> Answer {
    let body = json!({"token_type": "Bearer", "expires_in": seconds, "access_token": format!("t{n}")});
    Ok(json_answer(200, &[], &body))
}

fn auth(clock: Arc<ManualClock>) -> Auth {
    auth_by(client::settings().credentials.source, clock)
}

fn auth_by(source: TokenSource, clock: Arc<ManualClock>) -> Auth {
    let settings = client::settings();
    Auth::new(
        Credentials {
            source,
            ..settings.credentials
        },
        &settings.endpoints,
        settings.retry,
        "ua".into(),
        clock,
        Counting::new(),
    )
}

/// The request for a token that would be sent now.
fn asked_by(auth: &Auth) -> HttpRequest {
    auth.place
        .request(&auth.source, auth.clock.now(), auth.entropy.as_ref())
        .unwrap()
}

fn form(request: &HttpRequest) -> String {
    String::from_utf8(request.body.clone().unwrap().to_vec()).unwrap()
}

/// The assertion of a request's form; a JWT needs no escaping.
fn assertion_in(request: &HttpRequest) -> String {
    let body = form(request);
    assert!(
        body.contains(
            "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
        ),
        "{body}"
    );
    assert!(!body.contains("client_secret"), "{body}");
    let at = body.find("client_assertion=").unwrap() + "client_assertion=".len();
    body[at..].split('&').next().unwrap().to_owned()
}

/// Assertions out of a file that somebody renews.
struct Renewed(StdMutex<u32>);

impl AssertionSource for Renewed {
    fn assertion(&self) -> Result<SecretString, Failure> {
        let mut times = self.0.lock().unwrap();
        *times += 1;
        if *times == 3 {
            return Err(Failure::new(Scope::Tenant, "auth.test", "gone", "look"));
        }
        Ok(format!("jwt.of.{times}").into())
    }
}

fn federated() -> TokenSource {
    TokenSource::Federated {
        client_id: "app".into(),
        assertion: Arc::new(Renewed(StdMutex::new(0))),
    }
}

fn of_machine(client_id: Option<&str>) -> TokenSource {
    TokenSource::ManagedIdentity {
        client_id: client_id.map(str::to_owned),
        service: IdentityService::of_machine(),
    }
}

async fn text<T: Transport>(auth: &Auth, transport: &T) -> String {
    auth.token(transport, Duration::from_secs(5), None)
        .await
        .unwrap()
        .secret
        .expose_secret()
        .to_owned()
}

#[tokio::test]
async fn however_many_wait_one_token_is_asked_for() {
    let authority = authority(|n| token(n, 3_600));
    let auth = auth(ManualClock::new());
    let (a, b) = join(text(&auth, &authority), text(&auth, &authority)).await;
    assert_eq!((a.as_str(), b.as_str()), ("t1", "t1"));
    assert_eq!(*authority.asked.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_before_the_service_says_it_ends() {
    let authority = authority(|n| token(n, 3_600));
    let clock = ManualClock::new();
    let auth = auth(clock.clone());
    assert_eq!(text(&auth, &authority).await, "t1");
    clock.advance(Duration::from_secs(2_999));
    assert_eq!(text(&auth, &authority).await, "t1");
    clock.advance(Duration::from_secs(1));
    assert_eq!(text(&auth, &authority).await, "t2");
}

#[tokio::test]
async fn only_the_token_that_was_refused_is_thrown_away() {
    let authority = authority(|n| token(n, 3_600));
    let auth = auth(ManualClock::new());
    let first = auth
        .token(&authority, Duration::from_secs(5), None)
        .await
        .unwrap();
    auth.refuse(&first).await;
    assert_eq!(text(&auth, &authority).await, "t2");
    auth.refuse(&first).await;
    assert_eq!(text(&auth, &authority).await, "t2");
}

#[tokio::test]
async fn an_authority_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let busy = authority(|n| {
        if n < 3 {
            Ok(json_answer(503, &[], &json!({})))
        } else {
            token(n, 3_600)
        }
    });
    assert_eq!(text(&auth(ManualClock::jumping()), &busy).await, "t3");
    let down = authority(|_| {
        Err(TransportError {
            sent: Sent::No,
            kind: TransportErrorKind::Connect,
        })
    });
    let failure = auth(ManualClock::jumping())
        .token(&down, Duration::from_secs(5), None)
        .await
        .err()
        .unwrap();
    assert_eq!(
        (failure.code.as_str(), *down.asked.lock().unwrap()),
        (codes::UNREACHABLE, 6)
    );
}

#[tokio::test]
async fn every_refusal_of_the_authority_says_what_to_do() {
    let rows = [
        (401, "invalid_client", 7_000_215, codes::BAD_SECRET),
        (401, "invalid_client", 7_000_222, codes::EXPIRED_SECRET),
        (400, "unauthorized_client", 700_016, codes::UNKNOWN_CLIENT),
        (400, "invalid_request", 90_002, codes::UNKNOWN_TENANT),
        (400, "invalid_scope", 70_011, codes::TOKEN_REFUSED),
    ];
    for (status, error, number, code) in rows {
        let authority = authority(move |_| {
            let body = json!({"error": error, "error_codes": [number],
                "error_description": format!("AADSTS{number}: secret s3cret is wrong"),
                "trace_id": "00000000-0000-4000-8000-00000000000a"});
            Ok(json_answer(status, &[], &body))
        });
        let failure = auth(ManualClock::new())
            .token(&authority, Duration::from_secs(5), None)
            .await
            .err()
            .unwrap();
        assert_eq!((failure.code.as_str(), failure.scope), (code, Scope::Tenant));
        assert!(!failure.to_string().contains("s3cret"), "{failure}");
        assert!(failure.request_id.is_some());
        assert_eq!(*authority.asked.lock().unwrap(), 1, "a refusal is final");
    }
}

#[tokio::test]
async fn the_form_is_escaped_and_nothing_prints_the_secret() {
    let auth = auth(ManualClock::new());
    let request = asked_by(&auth);
    let body = form(&request);
    assert!(body.contains("client_secret=s3cret%2B%26%3D"), "{body}");
    assert!(
        body.contains("scope=http%3A%2F%2F127.0.0.1%3A9%2F.default"),
        "{body}"
    );
    assert!(request.url.ends_with("/contoso/oauth2/v2.0/token"));
    let printed = format!("{request:?} {:?}", auth.source);
    assert!(!printed.contains("s3cret"), "{printed}");
    // Nothing was asked, so the lock is free.
    assert!(auth.held.lock().now_or_never().is_some());
}

#[tokio::test]
async fn a_token_is_not_asked_for_beyond_the_deadline_of_its_request() {
    let down = authority(|_| {
        Err(TransportError {
            sent: Sent::No,
            kind: TransportErrorKind::Connect,
        })
    });
    let clock = ManualClock::jumping();
    let deadline = clock.monotonic() + Duration::from_secs(1);
    let auth = auth(clock.clone());
    assert!(
        auth.token(&down, Duration::from_secs(5), Some(deadline))
            .await
            .is_err()
    );
    assert!(clock.monotonic() < deadline);
    assert!(*down.asked.lock().unwrap() < 6);
}

#[tokio::test]
async fn an_assertion_is_signed_for_one_use_minutes_and_the_tenants_own_endpoint() {
    let clock = ManualClock::new();
    let now = clock.now();
    let pair = minted(now, -1, 300);
    let source = TokenSource::Certificate {
        client_id: "app".into(),
        certificate: Arc::new(pair.certificate()),
    };
    let auth = auth_by(source, clock);
    let first = assertion_in(&asked_by(&auth));
    let (header, claims) = authentic(&first, &pair);
    assert_eq!(header["alg"], "PS256");
    assert_eq!(header["typ"], "JWT");
    assert_eq!(header["x5t#S256"], pair.thumbprint());
    assert_eq!(claims["aud"], "http://127.0.0.1:9/contoso/oauth2/v2.0/token");
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
    assert_eq!(claims["nbf"], now.timestamp());
    assert_eq!(claims["exp"], now.timestamp() + 300);
    let (_, second) = authentic(&assertion_in(&asked_by(&auth)), &pair);
    assert_ne!(claims["jti"], second["jti"], "each attempt proves itself anew");
    let printed = format!("{:?} {:?}", asked_by(&auth), auth.source);
    assert!(!printed.contains(&first[..20]), "{printed}");
}

#[tokio::test]
async fn a_certificate_out_of_its_time_asks_nobody() {
    for (from, to, code) in [
        (-300, -1, codes::CERTIFICATE_EXPIRED),
        (1, 300, codes::CERTIFICATE_EARLY),
    ] {
        let clock = ManualClock::new();
        let source = TokenSource::Certificate {
            client_id: "app".into(),
            certificate: Arc::new(minted(clock.now(), from, to).certificate()),
        };
        let never = authority(|_| panic!("nothing is to be sent"));
        let failure = auth_by(source, clock)
            .token(&never, Duration::from_secs(5), None)
            .await
            .err()
            .unwrap();
        assert_eq!((failure.code.as_str(), failure.scope), (code, Scope::Tenant));
    }
}

#[tokio::test]
async fn a_token_file_is_read_for_every_request_because_its_owner_renews_it() {
    let authority = authority(|n| token(n, 3_600));
    let auth = auth_by(federated(), ManualClock::new());
    assert_eq!(assertion_in(&asked_by(&auth)), "jwt.of.1");
    assert_eq!(assertion_in(&asked_by(&auth)), "jwt.of.2");
    // The third look finds none: nothing is asked, and the reason is the file's.
    let failure = auth
        .token(&authority, Duration::from_secs(5), None)
        .await
        .err()
        .unwrap();
    assert_eq!(failure.code, "auth.test");
    assert_eq!(*authority.asked.lock().unwrap(), 0);
    assert_eq!(text(&auth, &authority).await, "t1");
}

#[test]
fn a_machines_identity_is_asked_for_at_its_one_address() {
    let auth = auth_by(of_machine(Some("the id")), ManualClock::new());
    let request = asked_by(&auth);
    assert_eq!(request.method, Method::Get);
    assert_eq!(
        request.url,
        format!(
            "{IDENTITY_SERVICE}?api-version=2018-02-01&resource=http%3A//127.0.0.1%3A9/&client_id=the%20id"
        )
    );
    assert_eq!(request.header("metadata"), Some("true"));
    assert!(request.leave.is_some_and(|leave| leave.is_for(&request.url)));
    assert!(request.body.is_none() && request.bearer.is_none());
    let own = asked_by(&auth_by(of_machine(None), ManualClock::new()));
    assert!(!own.url.contains("client_id"), "{}", own.url);
}

#[test]
fn only_the_source_of_a_machines_identity_may_reach_the_identity_service() {
    assert!(asked_by(&auth(ManualClock::new())).leave.is_none());
    assert!(
        asked_by(&auth_by(federated(), ManualClock::new()))
            .leave
            .is_none()
    );
    // An administrator's own address gets no leave: the rules judge it like any other.
    let service = IdentityService::at("http://127.0.0.1:8/").unwrap();
    assert_eq!(
        service.address,
        "http://127.0.0.1:8/metadata/identity/oauth2/token"
    );
    assert!(service.leave.is_none());
    for address in [
        "http://169.254.169.254",
        "http://[fe80::1]",
        "http://metadata.google.internal",
        "http://imds.example.org",
    ] {
        assert_eq!(
            IdentityService::at(address).unwrap_err().code,
            codes::EGRESS_DENIED,
            "{address}"
        );
    }
}

#[tokio::test]
async fn the_identity_service_writes_its_seconds_in_quotes_and_may_be_updating() {
    let service = authority(|n| match n {
        1 => Ok(json_answer(410, &[], &json!({}))),
        2 => Ok(json_answer(404, &[], &json!({}))),
        _ => {
            let body = json!({"access_token": format!("t{n}"), "expires_in": "3599", "token_type": "Bearer"});
            Ok(json_answer(200, &[], &body))
        }
    });
    let clock = ManualClock::jumping();
    let auth = auth_by(of_machine(None), clock.clone());
    assert_eq!(text(&auth, &service).await, "t3");
    assert_eq!(text(&auth, &service).await, "t3");
    clock.advance(Duration::from_secs(3_599));
    assert_eq!(text(&auth, &service).await, "t4");
}

#[tokio::test]
async fn an_authority_that_is_down_stops_nothing_while_the_token_is_good() {
    let down = StdMutex::new(false);
    let authority = authority(|n| {
        if *down.lock().unwrap() {
            return Ok(json_answer(503, &[], &json!({})));
        }
        token(n, 3_600)
    });
    let clock = ManualClock::jumping();
    let auth = auth(clock.clone());
    assert_eq!(text(&auth, &authority).await, "t1");
    *down.lock().unwrap() = true;
    clock.advance(Duration::from_secs(3_000));
    assert_eq!(text(&auth, &authority).await, "t1");
    let asked = *authority.asked.lock().unwrap();
    assert_eq!(text(&auth, &authority).await, "t1");
    assert_eq!(
        *authority.asked.lock().unwrap(),
        asked,
        "it is left alone for a while"
    );
    clock.advance(Duration::from_secs(600));
    assert!(
        auth.token(&authority, Duration::from_secs(5), None)
            .await
            .is_err(),
        "a token is not used to its very end"
    );
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_way_in_that_was_used() {
    let clock = ManualClock::new();
    let by_certificate = || TokenSource::Certificate {
        client_id: "app".into(),
        certificate: Arc::new(minted(ManualClock::new().now(), -1, 300).certificate()),
    };
    let not_found = json!({"error": "invalid_request", "error_description": "Identity not found"});
    let told = |number: u64| json!({"error": "invalid_client", "error_codes": [number], "error_description": "s3cret"});
    let rows: Vec<(TokenSource, Json, &str)> = vec![
        (by_certificate(), told(700_027), codes::CERTIFICATE_UNKNOWN),
        (by_certificate(), told(7_000_214), codes::CERTIFICATE_UNKNOWN),
        (by_certificate(), told(1), codes::CERTIFICATE_UNKNOWN),
        (by_certificate(), told(700_024), codes::ASSERTION_TIME),
        (by_certificate(), told(700_016), codes::UNKNOWN_CLIENT),
        (federated(), told(70_021), codes::FEDERATION_MISMATCH),
        (federated(), told(700_211), codes::FEDERATION_MISMATCH),
        (federated(), told(700_212), codes::FEDERATION_MISMATCH),
        (federated(), told(700_213), codes::FEDERATION_MISMATCH),
        (federated(), told(1), codes::FEDERATION_MISMATCH),
        (federated(), told(700_024), codes::ASSERTION_TIME),
        (of_machine(None), not_found, codes::IDENTITY_MISSING),
        (of_machine(None), told(1), codes::TOKEN_REFUSED),
        (of_machine(None), json!("<html>"), codes::TOKEN_REFUSED),
    ];
    for (source, body, code) in rows {
        let row = format!("{source:?} {body}");
        let authority = authority(move |_| Ok(json_answer(400, &[], &body)));
        let failure = auth_by(source, clock.clone())
            .token(&authority, Duration::from_secs(5), None)
            .await
            .err()
            .unwrap();
        assert_eq!(
            (failure.code.as_str(), failure.scope),
            (code, Scope::Tenant),
            "{row}"
        );
        assert!(!failure.to_string().contains("s3cret"), "{failure}");
        assert_eq!(*authority.asked.lock().unwrap(), 1, "a refusal is final: {row}");
    }
    let nobody = authority(|_| {
        Err(TransportError {
            sent: Sent::No,
            kind: TransportErrorKind::Connect,
        })
    });
    let failure = auth_by(of_machine(None), ManualClock::jumping())
        .token(&nobody, Duration::from_secs(5), None)
        .await
        .err()
        .unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.scope),
        (codes::IDENTITY_UNREACHABLE, Scope::Outage)
    );
}
