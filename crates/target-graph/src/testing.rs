//! What the tests of this crate share: a clock moved by hand, seeded randomness, a transport that answers from
//! a script.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use syncbridge_domain::clock::{Clock, Entropy, Monotonic};

use crate::transport::{HttpRequest, HttpResponse, Transport, TransportError};

/// A clock that stands still until moved, or, when `driven`, jumps to the end of every sleep at once.
pub(crate) struct ManualClock {
    now: Mutex<Duration>,
    jumps: bool,
}

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(Duration::from_secs(1_000)),
            jumps: false,
        })
    }

    /// Whoever sleeps moves the clock.
    pub(crate) fn jumping() -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(Duration::from_secs(1_000)),
            jumps: true,
        })
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.now.lock().unwrap() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap() + *self.now.lock().unwrap()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(*self.now.lock().unwrap())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let until = *self.now.lock().unwrap() + duration;
        if self.jumps {
            *self.now.lock().unwrap() = until;
        }
        Box::pin(Sleep { clock: self, until })
    }
}

struct Sleep<'a> {
    clock: &'a ManualClock,
    until: Duration,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if *self.clock.now.lock().unwrap() >= self.until {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Randomness that counts.
pub(crate) struct Counting(Mutex<u8>);

impl Counting {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(0)))
    }
}

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        let mut next = self.0.lock().unwrap();
        for byte in buffer {
            *next = next.wrapping_add(1);
            *byte = *next;
        }
    }
}

type Answer = Result<HttpResponse, TransportError>;
type Responder = Box<dyn FnOnce(&HttpRequest) -> Answer + Send>;

/// Answers requests from a script, in order, and keeps what was asked. Token requests are answered aside.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Responder>>,
    /// Requests but for tokens, with the time they were given.
    pub(crate) asked: Mutex<Vec<(HttpRequest, Duration)>>,
    /// How many tokens were asked for.
    pub(crate) tokens: Mutex<u32>,
}

impl Script {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn then(&self, answer: impl FnOnce(&HttpRequest) -> Answer + Send + 'static) -> &Self {
        self.answers.lock().unwrap().push_back(Box::new(answer));
        self
    }

    pub(crate) fn answer(&self, answer: HttpResponse) -> &Self {
        self.then(move |_| Ok(answer))
    }

    pub(crate) fn json(&self, status: u16, body: &Json) -> &Self {
        self.answer(json_answer(status, &[], body))
    }

    pub(crate) fn fail(&self, error: TransportError) -> &Self {
        self.then(move |_| Err(error))
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|(request, _)| request.url.clone())
            .collect()
    }

    pub(crate) fn body(&self, index: usize) -> Json {
        serde_json::from_slice(self.asked.lock().unwrap()[index].0.body.as_ref().unwrap()).unwrap()
    }

    pub(crate) fn all_used(&self) -> bool {
        self.answers.lock().unwrap().is_empty()
    }
}

impl Transport for Script {
    async fn send(&self, request: HttpRequest, timeout: Duration) -> Answer {
        if request.url.ends_with("/oauth2/v2.0/token") {
            let mut tokens = self.tokens.lock().unwrap();
            *tokens += 1;
            let token = format!("token-{tokens}");
            let body = serde_json::json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token});
            return Ok(json_answer(200, &[], &body));
        }
        let answer = self.answers.lock().unwrap().pop_front();
        let answer =
            answer.unwrap_or_else(|| panic!("unexpected {} {}", request.method.as_str(), request.url));
        let answer = answer(&request);
        self.asked.lock().unwrap().push((request, timeout));
        answer
    }
}

pub(crate) fn json_answer(status: u16, headers: &[(&str, &str)], body: &Json) -> HttpResponse {
    let mut headers: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    headers.push((
        "request-id".to_owned(),
        "00000000-0000-4000-8000-00000000abcd".to_owned(),
    ));
    HttpResponse {
        status,
        headers,
        body: Bytes::from(body.to_string()),
    }
}

/// Answers a batch: `answer` sees each part and says (status, headers, body).
pub(crate) fn batch_answer(
    request: &HttpRequest,
    answer: impl Fn(&Json) -> (u16, Json, Json),
) -> HttpResponse {
    let body: Json = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
    let mut responses: Vec<Json> = body["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            let (status, headers, body) = answer(part);
            serde_json::json!({"id": part["id"], "status": status, "headers": headers, "body": body})
        })
        .collect();
    // Answers come in any order; the reverse one finds whoever relies on it.
    responses.reverse();
    json_answer(200, &[], &serde_json::json!({"responses": responses}))
}

pub(crate) fn error(code: &str, message: &str) -> Json {
    serde_json::json!({"error": {"code": code, "message": message,
        "innerError": {"request-id": "00000000-0000-4000-8000-00000000beef"}}})
}

/// A connection over a script.
pub(crate) mod client {
    use syncbridge_domain::facet::Facet;
    use syncbridge_domain::identity::KeyColumn;
    use syncbridge_domain::list_rules::ListRules;
    use syncbridge_domain::mapping::{FieldMapping, Mapping, TitleRule};
    use syncbridge_domain::pg_type::PgType;
    use syncbridge_domain::policy::Direction;

    use super::{Arc, Counting, ManualClock, Script};
    use crate::budget::Budget;
    use crate::client::{ClientSettings, GraphClient};
    use crate::cloud::Cloud;
    use crate::column::{ListColumn, TITLE};
    use crate::credentials::Credentials;
    use crate::egress::EgressRules;
    use crate::list_target::{ListSettings, ListTarget};

    pub(crate) const SITE: &str = "host,1,2";
    pub(crate) const LIST: &str = "11111111-0000-4000-8000-000000000001";
    pub(crate) const ROOT: &str = "http://127.0.0.1:9";

    pub(crate) fn settings() -> ClientSettings {
        let cloud = Cloud::Custom {
            authority: ROOT.into(),
            graph_root: ROOT.into(),
        };
        let rules = EgressRules {
            allow_custom_cloud: true,
            allow_insecure_loopback: true,
        };
        let credentials = Credentials::by_secret("contoso", "client", "s3cret+&=");
        ClientSettings::new(credentials, cloud.endpoints(rules).unwrap(), "0.1.0")
    }

    pub(crate) fn graph(script: &Arc<Script>, clock: &Arc<ManualClock>) -> GraphClient<Arc<Script>> {
        let budget = Budget::new(None, clock.clone());
        GraphClient::new(script.clone(), settings(), budget, clock.clone(), Counting::new())
    }

    fn field(column: &str, target: &str, facet: Facet) -> FieldMapping {
        FieldMapping {
            column: column.into(),
            pg_type: PgType::Text,
            nullable: true,
            target: target.into(),
            display_name: column.into(),
            facet,
            direction: Direction::Push,
            passive: false,
            conflict: None,
            on_foreign_edit: None,
        }
    }

    /// Title, Amount and Notes.
    pub(crate) fn mapping() -> Mapping {
        Mapping {
            key: vec![KeyColumn {
                name: "id".into(),
                pg_type: PgType::Int8,
            }],
            fields: vec![
                field("name", TITLE, Facet::Text { max_length: 255 }),
                field("amount", "Amount", Facet::Number { decimals: Some(2) }),
                field("notes", "Notes", Facet::MultiLine),
            ],
            title: TitleRule::Mapped,
            time_zone: chrono_tz::UTC,
        }
    }

    pub(crate) fn columns(hidden: &[&str]) -> Vec<ListColumn> {
        ["ID", TITLE, "Amount", "Notes", "SyncBridgeKey"]
            .map(|name| ListColumn {
                id: name.to_lowercase(),
                name: name.into(),
                display_name: name.into(),
                hidden: hidden.contains(&name),
                indexed: false,
                unique: false,
                read_only: false,
                has_default: false,
                kind: None,
            })
            .to_vec()
    }

    /// A target that was opened without asking.
    pub(crate) fn target(script: &Arc<Script>, clock: &Arc<ManualClock>) -> ListTarget<Arc<Script>> {
        target_under(script, clock, ListRules::default())
    }

    /// As [`target`], for a list with rules of its own.
    pub(crate) fn target_under(
        script: &Arc<Script>,
        clock: &Arc<ManualClock>,
        rules: ListRules,
    ) -> ListTarget<Arc<Script>> {
        // Scripts answer only what matters to them.
        let shown = mapping().fields.into_iter().map(|field| (field.target, true));
        let mut opened = ListTarget::opened(
            graph(script, clock).about(SITE, LIST),
            SITE,
            LIST,
            &mapping(),
            &columns(&["SyncBridgeKey"]),
            ListSettings::default(),
            rules,
        );
        opened.left_out = shown.collect::<std::collections::BTreeMap<_, _>>().into();
        opened
    }
}
