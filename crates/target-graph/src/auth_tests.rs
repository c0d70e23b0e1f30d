use futures_util::FutureExt;
use futures_util::future::join;
use serde_json::json;

use super::*;
use crate::testing::{Counting, ManualClock, client, json_answer};
use crate::transport::{Sent, TransportError, TransportErrorKind};

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
    let settings = client::settings();
    Auth::new(
        settings.credentials,
        &settings.endpoints,
        settings.retry,
        "ua".into(),
        clock,
        Counting::new(),
    )
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

#[test]
fn the_form_is_escaped_and_nothing_prints_the_secret() {
    let auth = auth(ManualClock::new());
    let request = auth.request();
    let body = String::from_utf8(request.body.clone().unwrap().to_vec()).unwrap();
    assert!(body.contains("client_secret=s3cret%2B%26%3D"), "{body}");
    assert!(
        body.contains("scope=http%3A%2F%2F127.0.0.1%3A9%2F.default"),
        "{body}"
    );
    assert!(request.url.ends_with("/contoso/oauth2/v2.0/token"));
    let printed = format!("{request:?} {:?}", auth.credentials);
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
