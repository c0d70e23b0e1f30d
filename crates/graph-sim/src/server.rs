//! The HTTP shell around a [`Tenant`]: sockets, the wall clock, and waiting. HTTP/1.1, and through TLS also HTTP/2.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::message::{Answer, Fate, Headers, Method, Request, Response};
use crate::record::Record;
use crate::tenant::Tenant;
use crate::tls::Tls;

/// The largest accepted request body in bytes; Graph's own limit.
const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// How long open connections may take to end after a stop signal.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// The tenant as connections share it.
type Shared = Arc<Mutex<Tenant>>;

/// What every connection serves.
#[derive(Clone, Debug)]
struct Service {
    tenant: Shared,
    tls: Option<Tls>,
    record: Option<Record>,
}

/// Why a connection ends without an answer.
#[derive(Debug)]
struct ConnectionCut;

impl fmt::Display for ConnectionCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for ConnectionCut {}

/// A bound simulator, not yet serving.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    service: Service,
}

impl Server {
    /// Binds a tenant to an address; port 0 takes any free one.
    ///
    /// # Errors
    /// What the operating system says about the address.
    pub async fn bind(address: SocketAddr, tenant: Tenant) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            listener,
            service: Service {
                tenant: Arc::new(Mutex::new(tenant)),
                tls: None,
                record: None,
            },
        })
    }

    /// Serves HTTPS only. The tenant should be set up with `secure` links.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.service.tls = Some(tls);
        self
    }

    /// Notes every exchange that is answered.
    #[must_use]
    pub fn with_record(mut self, record: Record) -> Self {
        self.service.record = Some(record);
        self
    }

    /// The address it listens at.
    ///
    /// # Errors
    /// What the operating system says about the socket.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is done, then lets open connections end for a short while.
    ///
    /// # Errors
    /// The state of the tenant is kept in a file and could not be written at the end. Failing to accept one
    /// connection does not end the others.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let (stopping, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(connection(stream, self.service.clone(), stopped.clone()));
                    } else {
                        // Out of file handles, most likely: give open connections a moment to end.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
        drop(self.listener);
        let _ = stopping.send(true);
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
        with_tenant(&self.service.tenant, Tenant::keep)
            .map(|_| ())
            .map_err(std::io::Error::other)
    }
}

async fn connection(stream: TcpStream, service: Service, stopped: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = service.tls.clone() else {
        return speak(stream, false, service, stopped).await;
    };
    // Who does not trust us, or speaks no TLS, is the client's own affair.
    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.acceptor.accept(stream)).await {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        speak(stream, http2, service, stopped).await;
    }
}

async fn speak<S>(stream: S, http2: bool, service: Service, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answering = service_fn(move |request| answer(request, service.clone()));
    let stream = TokioIo::new(stream);
    // An error here is a client that went away, or a cut on purpose; neither is ours to report.
    if http2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let serving = builder.serve_connection(stream, answering);
        tokio::pin!(serving);
        tokio::select! {
            _ = serving.as_mut() => {}
            _ = stopped.changed() => {
                serving.as_mut().graceful_shutdown();
                let _ = serving.await;
            }
        }
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(120));
        let serving = builder.serve_connection(stream, answering);
        tokio::pin!(serving);
        tokio::select! {
            _ = serving.as_mut() => {}
            _ = stopped.changed() => {
                serving.as_mut().graceful_shutdown();
                let _ = serving.await;
            }
        }
    }
}

fn with_tenant<T>(tenant: &Shared, act: impl FnOnce(&mut Tenant) -> T) -> T {
    // A panic elsewhere leaves the state as far as it got; a simulator goes on with it.
    let mut guard = tenant.lock().unwrap_or_else(PoisonError::into_inner);
    act(&mut guard)
}

async fn read(request: hyper::Request<Incoming>) -> Result<Request, Box<Response>> {
    let (parts, body) = request.into_parts();
    let mut headers = Headers::new();
    for (name, value) in &parts.headers {
        headers.push(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
    }
    // HTTP/2 names the host in the target.
    if let (None, Some(host)) = (headers.get("host"), parts.uri.authority()) {
        headers.push("host", host.as_str());
    }
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => {
            return Err(Box::new(plain(
                413,
                "The request body is too large or was cut off.",
            )));
        }
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    Ok(Request {
        method: Method::parse(parts.method.as_str()),
        path_and_query: target.to_owned(),
        headers,
        body,
    })
}

fn plain(status: u16, text: &'static str) -> Response {
    let mut headers = Headers::new();
    headers.push("Content-Type", "text/plain; charset=utf-8");
    Response {
        status,
        headers,
        body: Bytes::from_static(text.as_bytes()),
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    service: Service,
) -> Result<hyper::Response<Full<Bytes>>, ConnectionCut> {
    let request = match read(request).await {
        Ok(request) => request,
        Err(response) => return Ok(into_http(*response)),
    };
    let noted = service.record.as_ref().map(|_| request.clone());
    let answer = with_tenant(&service.tenant, |tenant| tenant.handle(request, Utc::now()));
    let answer = match answer.fate {
        Fate::Later { ticket } => later(ticket, answer.delay, service.tenant).await,
        _ => wait(answer).await,
    };
    if let (Some(record), Some(request)) = (service.record, noted) {
        record.note(&crate::record::exchange(&request, &answer.response));
    }
    match answer.fate {
        Fate::Deliver => Ok(into_http(answer.response)),
        _ => Err(ConnectionCut),
    }
}

async fn wait(answer: Answer) -> Answer {
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    answer
}

/// Waits and lets the held request take effect, in a task of its own: a client that gives up does not take its
/// request back.
async fn later(ticket: u64, delay: Duration, tenant: Shared) -> Answer {
    let task = tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        with_tenant(&tenant, |tenant| tenant.resume(ticket, Utc::now()))
    });
    let resumed = task.await.ok().flatten();
    resumed.unwrap_or_else(|| Answer::deliver(plain(500, "The held request was lost.")))
}

fn into_http(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut builder = hyper::Response::builder().status(response.status);
    for (name, value) in response.headers.iter() {
        builder = builder.header(name, value);
    }
    let built = builder.body(Full::new(response.body));
    built.unwrap_or_else(|_| {
        let mut fallback = hyper::Response::new(Full::new(Bytes::from_static(b"unprintable header")));
        *fallback.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        fallback
    })
}
