//! A network between the product and the simulator that does what networks do: cut, hold back, refuse.
//!
//! It speaks just enough HTTP/1.1 to see whole requests (the product's requests always tell their length) and
//! forwards each over a connection of its own. A request that is held goes on to the simulator when it is let
//! go, whether or not the one who sent it still waits, is stopped, or lives: what is in the network is in the
//! network.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of one request.
pub enum Fate {
    /// It goes through.
    Forward,
    /// It takes effect, then its connection is cut.
    CutAfter,
    /// Its connection is cut before it arrives.
    CutBefore,
    /// It waits in the network until the gate opens, then goes through.
    Hold(Gate),
    /// It takes effect at once; its answer waits until the gate opens.
    HoldAnswer(Gate),
}

/// A request as it passes.
pub struct Passing {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body as text.
    pub body: String,
}

impl Passing {
    /// Whether it writes items, alone or as part of a batch.
    pub fn writes_items(&self) -> bool {
        match self.method.as_str() {
            "PATCH" | "DELETE" => self.path.contains("/items/"),
            "POST" if self.path.ends_with("/$batch") => ["POST", "PATCH", "DELETE"]
                .iter()
                .any(|method| self.body.contains(&format!("\"method\":\"{method}\""))),
            "POST" => self.path.ends_with("/items"),
            _ => false,
        }
    }

    /// Whether it is a batch.
    pub fn is_batch(&self) -> bool {
        self.path.ends_with("/$batch")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Nobody came yet.
    Empty,
    /// A request waits.
    Reached,
    /// The simulator answered it.
    Landed,
}

/// Holds one request, or one answer, until it is opened.
#[derive(Clone)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    stage: Arc<watch::Sender<Stage>>,
    answer: Arc<Mutex<String>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(false)),
            stage: Arc::new(watch::Sender::new(Stage::Empty)),
            answer: Arc::default(),
        }
    }
}

impl Gate {
    /// Waits until a request stands before it (or, for an answer, until the simulator gave it).
    pub async fn reached(&self) {
        self.wait(Stage::Reached, "no request came to the gate").await;
    }

    /// Lets it go on.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Lets it go on and waits until the simulator has answered it; the answer, head and body.
    pub async fn land(&self) -> String {
        self.open();
        self.wait(Stage::Landed, "the held request got no answer").await;
        self.answer.lock().expect("a lock").clone()
    }

    /// Whether a request stands before it already.
    pub fn is_reached(&self) -> bool {
        *self.stage.borrow() >= Stage::Reached
    }

    async fn wait(&self, stage: Stage, otherwise: &str) {
        let mut seen = self.stage.subscribe();
        let waited = seen.wait_for(|now| *now >= stage);
        tokio::time::timeout(std::time::Duration::from_secs(30), waited)
            .await
            .unwrap_or_else(|_| panic!("not within 30 s: {otherwise}"))
            .expect("the gate is there");
    }

    async fn opened(&self) {
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    fn at(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let later = *now < stage;
            *now = stage.max(*now);
            later
        });
    }
}

type Script = Box<dyn FnMut(&Passing) -> Fate + Send>;

struct Shared {
    upstream: String,
    script: Mutex<Script>,
}

/// A proxy in front of the simulator; ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = &self.listening {
            task.abort();
        }
    }
}

impl Proxy {
    /// Begins listening in front of `upstream` (`host:port`); everything goes through.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            script: Mutex::new(Box::new(|_| Fate::Forward)),
        });
        let listening = Some(tokio::spawn(listen(listener, shared.clone())));
        Self {
            address,
            shared,
            listening,
        }
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Decides from now on what becomes of each request.
    pub fn script(&self, script: impl FnMut(&Passing) -> Fate + Send + 'static) {
        *self.shared.script.lock().expect("a lock") = Box::new(script);
    }

    /// Everything goes through again.
    pub fn clear(&self) {
        self.script(|_| Fate::Forward);
    }

    /// Holds the first request from now on that `wanted` accepts; all others go through.
    pub fn hold_first(&self, wanted: impl Fn(&Passing) -> bool + Send + 'static) -> Gate {
        let gate = Gate::default();
        let held = gate.clone();
        let mut taken = false;
        self.script(move |passing| {
            if taken || !wanted(passing) {
                return Fate::Forward;
            }
            taken = true;
            Fate::Hold(held.clone())
        });
        gate
    }

    /// Stops listening and cuts what is under way: connections are refused until [`Proxy::listen_again`].
    pub async fn refuse_connections(&mut self) {
        if let Some(task) = self.listening.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Listens at the same address again.
    pub async fn listen_again(&mut self) {
        let listener = TcpListener::bind(self.address)
            .await
            .expect("the port is free again");
        self.listening = Some(tokio::spawn(listen(listener, self.shared.clone())));
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task: whoever stops listening cuts the open connections too.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection(stream, shared.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Requests of one connection, one after the other.
async fn connection(mut client: TcpStream, shared: Arc<Shared>) {
    while let Some((passing, raw)) = read_request(&mut client).await {
        let fate = shared.script.lock().expect("a lock")(&passing);
        let upstream = shared.upstream.clone();
        let answer = match fate {
            Fate::CutBefore => return,
            Fate::CutAfter => {
                let _ = forward(&upstream, &raw).await;
                return;
            }
            Fate::Forward => forward(&upstream, &raw).await,
            // In a task of its own: the request is on its way, whatever becomes of who sent it.
            Fate::Hold(gate) => tokio::spawn(held(upstream, raw, gate, true)).await.ok().flatten(),
            Fate::HoldAnswer(gate) => tokio::spawn(held(upstream, raw, gate, false))
                .await
                .ok()
                .flatten(),
        };
        let Some(answer) = answer else { return };
        if client.write_all(&answer).await.is_err() || client.flush().await.is_err() {
            return;
        }
    }
}

async fn held(upstream: String, raw: Vec<u8>, gate: Gate, before: bool) -> Option<Vec<u8>> {
    if before {
        gate.at(Stage::Reached);
        gate.opened().await;
    }
    let answer = forward(&upstream, &raw).await;
    let text = answer.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    *gate.answer.lock().expect("a lock") = text.into_owned();
    if !before {
        gate.at(Stage::Reached);
        gate.opened().await;
    }
    gate.at(Stage::Landed);
    answer
}

/// Sends a request over a new connection and reads its answer whole; nothing where the simulator cut it.
async fn forward(upstream: &str, raw: &[u8]) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect(upstream).await.ok()?;
    let _ = server.set_nodelay(true);
    server.write_all(raw).await.ok()?;
    let (head, mut rest) = read_head(&mut server).await?;
    let length = content_length(&head).unwrap_or(0);
    let start = rest.len();
    if start < length {
        rest.resize(length, 0);
        server.read_exact(&mut rest[start..]).await.ok()?;
    }
    let mut answer = head;
    answer.extend(rest);
    Some(answer)
}

async fn read_request(client: &mut TcpStream) -> Option<(Passing, Vec<u8>)> {
    let (head, mut body) = read_head(client).await?;
    let length = content_length(&head).unwrap_or(0);
    let start = body.len();
    if start < length {
        body.resize(length, 0);
        client.read_exact(&mut body[start..]).await.ok()?;
    }
    let text = String::from_utf8_lossy(&head);
    let mut words = text.split_whitespace();
    let passing = Passing {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let mut raw = head;
    raw.extend(body);
    Some((passing, raw))
}

/// Everything up to the empty line, and what came with it of the body.
async fn read_head(stream: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut seen = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = seen.split_off(end + 4);
            return Some((seen, rest));
        }
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => seen.extend_from_slice(&piece[..count]),
        }
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(head);
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })
}
