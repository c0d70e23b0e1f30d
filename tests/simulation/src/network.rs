//! The way between a worker and the simulated service: every exchange is handed to the service's core at a later
//! moment, and its answer comes later still, if at all. A request under way does not die with whoever sent it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use secrecy::ExposeSecret as _;
use syncbridge_graph_sim as service;
use syncbridge_graph_sim::{Fate, Tenant};
use syncbridge_target_graph::transport::{
    HttpRequest, HttpResponse, Method, Sent, Transport, TransportError, TransportErrorKind,
};

use crate::clock::Timeline;
use crate::coverage::Coverage;
use crate::events::Events;
use crate::executor::ProcessId;
use crate::faults::OnTheWay;
use crate::leaving::{Leaving, SureUntil, fingerprint, writes_items};
use crate::people::People;
use crate::random::Random;
use crate::simulation::Violation;

/// What an exchange ends with.
type Outcome = Result<HttpResponse, TransportError>;

/// The network of a history; clones share it.
#[derive(Clone)]
pub struct Network {
    timeline: Timeline,
    events: Events,
    coverage: Coverage,
    state: Arc<Mutex<State>>,
    people: People,
}

struct State {
    tenant: Tenant,
    random: Random,
    faults: Vec<(OnTheWay, u64)>,
    exchanges: u64,
    under_way: u64,
    /// The next write leaves its sender behind, and arrives so much later.
    adrift: Option<Duration>,
    left_behind: Vec<ProcessId>,
    leaving: Leaving,
}

/// Where an answer is waited for.
#[derive(Default)]
struct Slot {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

type Waiting = Arc<Mutex<Slot>>;

const fn broken() -> TransportError {
    TransportError {
        sent: Sent::Maybe,
        kind: TransportErrorKind::Broken,
    }
}

impl Network {
    /// A network to this tenant.
    #[must_use]
    pub fn new(
        tenant: Tenant,
        people: People,
        timeline: Timeline,
        events: Events,
        coverage: Coverage,
        random: Random,
    ) -> Self {
        Self {
            timeline,
            events,
            coverage,
            people,
            state: Arc::new(Mutex::new(State {
                tenant,
                random,
                faults: Vec::new(),
                exchanges: 0,
                under_way: 0,
                adrift: None,
                left_behind: Vec::new(),
                leaving: Leaving::default(),
            })),
        }
    }

    /// From now on so much goes wrong.
    ///
    /// # Errors
    /// A rule that the service does not take.
    pub fn set_faults(&self, faults: &crate::faults::Faults) -> Result<(), String> {
        let mut state = self.state();
        state.faults.clone_from(&faults.on_the_way);
        state.tenant.set_faults(faults.service.clone())
    }

    /// The sender of the next write dies with it on the wire; it arrives after this long.
    pub fn set_adrift(&self, arrives_after: Option<Duration>) {
        self.state().adrift = arrives_after;
    }

    /// Processes that died with a write on the wire.
    #[must_use]
    pub fn take_left_behind(&self) -> Vec<ProcessId> {
        std::mem::take(&mut self.state().left_behind)
    }

    /// A worker took the lease and is sure of it until then.
    pub fn leased(&self, process: ProcessId, until: SureUntil) {
        self.state().leaving.leased(process, until);
    }

    /// A write that must not have left.
    #[must_use]
    pub fn take_violation(&self) -> Option<Violation> {
        self.state().leaving.take_violation()
    }

    /// How many exchanges there were.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.state().exchanges
    }

    /// How many requests have not arrived yet or are held back.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.state().under_way
    }

    /// Asks the service directly: a person's act, or a look behind it.
    pub fn ask(&self, request: service::Request) -> service::Response {
        let now = self.timeline.wall();
        self.state().tenant.handle(request, now).response
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, process: ProcessId, request: HttpRequest, timeout: Duration) -> Outcome {
        let request = arriving(request);
        let write = writes_items(&request).then(|| fingerprint(&request));
        let now = self.timeline.elapsed();
        self.state().leaving.leaves(process, &request, now);
        let outcome = self.exchange(process, request, timeout).await;
        if let (
            Some(write),
            Err(TransportError {
                sent: Sent::Maybe, ..
            }),
        ) = (write, &outcome)
        {
            self.state().leaving.is_in_doubt(process, write);
        }
        outcome
    }

    async fn exchange(&self, process: ProcessId, request: service::Request, timeout: Duration) -> Outcome {
        // Between the last look at the deadline and the wire a machine may stop, too.
        Yield::default().await;
        let (number, fault, there) = self.draw();
        let at = self.timeline.elapsed();
        self.events
            .note("send", at, number, request.path_and_query.as_bytes());
        self.events.note("body", at, number, &request.body);
        if let Some(fault) = fault {
            self.coverage.fault(fault.name());
            self.events.note(fault.name(), at, number, &[]);
        }
        self.events.tell(at, || {
            let fault = fault.map_or(String::new(), |fault| format!("  ! {}", fault.name()));
            let path = request.path_and_query.rsplit('/').next().unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default();
            let body = shortened(&request.body);
            format!("#{number} {} {path} {body}{fault}", request.method.name())
        });
        if writes_items(&request)
            && let Some(later) = self.leave_behind(process)
        {
            self.coverage.fault("adrift");
            self.arrive_after(
                later,
                number,
                request,
                Some(OnTheWay::LostAnswer),
                Waiting::default(),
            );
            return std::future::pending().await;
        }
        let waiting = Waiting::default();
        let (timer, timeout_of) = (self.timeline.clone(), waiting.clone());
        timer.after(timeout, move || {
            let kind = TransportErrorKind::Timeout;
            resolve(
                &timeout_of,
                Err(TransportError {
                    sent: Sent::Maybe,
                    kind,
                }),
            );
        });
        match fault {
            Some(OnTheWay::NoConnection) => {
                let kind = TransportErrorKind::Connect;
                self.answer_later(there, &waiting, Err(TransportError { sent: Sent::No, kind }));
            }
            Some(OnTheWay::LostRequest) => self.answer_later(there, &waiting, Err(broken())),
            Some(OnTheWay::Silence) => {}
            Some(OnTheWay::Twice) => {
                self.arrive_after(there, number, request.clone(), None, waiting.clone());
                let again = there + Duration::from_millis(self.state().random.between(1, 8_000));
                self.arrive_after(
                    again,
                    number,
                    request,
                    Some(OnTheWay::LostAnswer),
                    Waiting::default(),
                );
            }
            Some(OnTheWay::LateRequest) => {
                let late = Duration::from_millis(self.state().random.between(500, 25_000));
                self.arrive_after(late, number, request, None, waiting.clone());
            }
            other => self.arrive_after(there, number, request, other, waiting.clone()),
        }
        Answer(waiting).await
    }

    fn leave_behind(&self, process: ProcessId) -> Option<Duration> {
        let mut state = self.state();
        let later = state.adrift.take()?;
        state.left_behind.push(process);
        Some(later)
    }

    fn draw(&self) -> (u64, Option<OnTheWay>, Duration) {
        let mut state = self.state();
        state.exchanges += 1;
        let state = &mut *state;
        let random = &mut state.random;
        let fault = state.faults.iter().find(|(_, share)| random.permille(*share));
        let fault = fault.map(|(kind, _)| *kind);
        (
            state.exchanges,
            fault,
            Duration::from_micros(random.between(2_000, 60_000)),
        )
    }

    fn answer_later(&self, after: Duration, waiting: &Waiting, outcome: Outcome) {
        let waiting = waiting.clone();
        self.timeline.after(after, move || resolve(&waiting, outcome));
    }

    fn arrive_after(
        &self,
        after: Duration,
        number: u64,
        request: service::Request,
        fault: Option<OnTheWay>,
        waiting: Waiting,
    ) {
        self.state().under_way += 1;
        let network = self.clone();
        self.timeline
            .after(after, move || network.arrive(number, request, fault, waiting));
    }

    /// The service takes a request and answers it.
    fn arrive(&self, number: u64, request: service::Request, fault: Option<OnTheWay>, waiting: Waiting) {
        let now = self.timeline.wall();
        let answer = {
            let mut state = self.state();
            state.under_way -= 1;
            let watched = self.people.before(&mut state.tenant, &request, now);
            let answer = state.tenant.handle(request, now);
            self.people.after(&mut state.tenant, watched, now);
            answer
        };
        self.answered(number, answer, fault, waiting);
    }

    fn answered(&self, number: u64, answer: service::Answer, fault: Option<OnTheWay>, waiting: Waiting) {
        let at = self.timeline.elapsed();
        self.events.note("answer", at, number, &answer.response.body);
        self.events
            .note("status", at, u64::from(answer.response.status), &[]);
        if let Fate::Later { ticket } = answer.fate {
            self.state().under_way += 1;
            let network = self.clone();
            self.timeline.after(answer.delay, move || {
                network.resume(number, ticket, fault, waiting);
            });
            return;
        }
        self.events.tell(at, || {
            let status = answer.response.status;
            let body = shortened(&answer.response.body);
            format!("#{number} → {status} {:?} {body}", answer.fate)
        });
        let back = Duration::from_micros(self.state().random.between(2_000, 60_000)) + answer.delay;
        let outcome = if answer.fate == Fate::ResetConnection {
            Err(broken())
        } else {
            Ok(answer.response)
        };
        let Ok(response) = outcome else {
            self.answer_later(back, &waiting, Err(broken()));
            return;
        };
        let mut response = leaving(response);
        match fault {
            Some(OnTheWay::LostAnswer) => {}
            Some(OnTheWay::BrokenAnswer) => self.answer_later(back, &waiting, Err(broken())),
            Some(OnTheWay::LateAnswer) => {
                let late = Duration::from_millis(self.state().random.between(1_000, 70_000));
                self.answer_later(late, &waiting, Ok(response));
            }
            Some(OnTheWay::Truncated) => {
                response.body = response.body.slice(..response.body.len() / 2);
                self.answer_later(back, &waiting, Ok(response));
            }
            Some(OnTheWay::Garbage) => {
                response.body = Bytes::from_static(b"<html>this is a proxy speaking</html>");
                self.answer_later(back, &waiting, Ok(response));
            }
            _ => self.answer_later(back, &waiting, Ok(response)),
        }
    }

    fn resume(&self, number: u64, ticket: u64, fault: Option<OnTheWay>, waiting: Waiting) {
        let now = self.timeline.wall();
        let resumed = {
            let mut state = self.state();
            state.under_way -= 1;
            let watched = self.people.before_any(&mut state.tenant, now);
            let resumed = state.tenant.resume(ticket, now);
            self.people.after(&mut state.tenant, watched, now);
            resumed
        };
        if let Some(answer) = resumed {
            self.answered(number, answer, fault, waiting);
        }
    }
}

/// The part of a body that is worth reading in an account.
fn shortened(body: &[u8]) -> String {
    const MOST: usize = 1_200;
    let text = String::from_utf8_lossy(body);
    match text.find("\"value\":[").filter(|_| text.contains("displayName")) {
        Some(_) => "…".to_owned(),
        None => text.chars().take(MOST).collect(),
    }
}

/// A worker's end of the network.
#[derive(Clone)]
pub struct Wire(pub Network, pub ProcessId);

impl Transport for Wire {
    async fn send(&self, request: HttpRequest, timeout: Duration) -> Outcome {
        self.0.send(self.1, request, timeout).await
    }
}

fn resolve(waiting: &Waiting, outcome: Outcome) {
    let mut slot = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.outcome.is_none() {
        slot.outcome = Some(outcome);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

struct Answer(Waiting);

impl Future for Answer {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &slot.outcome {
            // Whoever asks again is a bug; the outcome stays, so that a late answer cannot replace it.
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Gives others a turn.
#[derive(Default)]
pub(crate) struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A request as the service reads it.
fn arriving(request: HttpRequest) -> service::Request {
    let method = match request.method {
        Method::Get => service::Method::Get,
        Method::Post => service::Method::Post,
        Method::Patch => service::Method::Patch,
        Method::Delete => service::Method::Delete,
    };
    let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
    let mut arriving = service::Request::new(method, format!("/{path}"));
    for (name, value) in request.headers {
        arriving.headers.push(name, value);
    }
    if let Some(bearer) = request.bearer {
        arriving
            .headers
            .push("Authorization", format!("Bearer {}", bearer.expose_secret()));
    }
    arriving.body = request.body.unwrap_or_default();
    arriving
}

fn leaving(response: service::Response) -> HttpResponse {
    HttpResponse {
        status: response.status,
        headers: response
            .headers
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: response.body,
    }
}
