//! A private NATS server with JetStream.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::children::{POLL, READY_WITHIN, STOP_WITHIN, end, end_now, still_starting};
use crate::process::{self, Action, Incarnation};
use crate::{Error, Result, password, programs};

pub(crate) const NEXT_STEP: &str = "Install the NATS server (2.9 or newer). On Debian the package is \
                                    `nats-server`: `apt-get install nats-server`, or `make setup`.";

const USER: &str = "syncbridge";

/// How a NATS server is started.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// Folder for its streams, configuration and log; made where missing, reused where it is one of ours.
    pub data: PathBuf,
    /// TCP port on 127.0.0.1; `None` takes any free one.
    pub port: Option<u16>,
}

/// A running NATS server; dropping it stops it.
pub struct Server {
    child: Child,
    port: u16,
    password: String,
    log: PathBuf,
}

// By hand, because the password must not be printed.
impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Server")
            .field("port", &self.port)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a server and waits until it greets. One left behind in the same folder by a killed owner is
    /// ended first.
    ///
    /// # Errors
    /// [`Error::MissingProgram`] says what to install; [`Error::ProgramFailed`] and [`Error::NotReady`] carry
    /// the end of its log.
    pub async fn start(options: NatsOptions) -> Result<Self> {
        let program = programs::find("nats-server", &["/usr/sbin", "/usr/local/sbin"], NEXT_STEP)?;
        let data = options.data;
        std::fs::create_dir_all(&data).map_err(Error::io("make", &data))?;
        end_leftover(&data.join("process")).await?;
        let password = password::read_or_create(&data.join("password"))?;
        let configuration = data.join("nats.conf");
        let _ = std::fs::remove_file(&configuration);
        password::write_private(&configuration, &configuration_text(options.port, &password))?;
        let log = data.join("server.log");
        let output = std::fs::File::create(&log).map_err(Error::io("make", &log))?;
        let errors = output.try_clone().map_err(Error::io("share", &log))?;
        let child = std::process::Command::new(&program)
            .arg("--config")
            .arg(&configuration)
            .arg("--store_dir")
            .arg(data.join("streams"))
            .arg("--ports_file_dir")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Error::io("run", &program))?;
        let mut server = Self {
            child,
            port: 0,
            password,
            log,
        };
        let note = data.join("process");
        let us = Incarnation::of(server.child.id());
        std::fs::write(&note, format!("{} {}", us.pid, us.started)).map_err(Error::io("write", &note))?;
        let ports = data.join(format!("nats-server_{}.ports", server.child.id()));
        let deadline = Instant::now() + READY_WITHIN;
        server.port = server.wait_for_port(&ports, deadline).await?;
        let _ = std::fs::remove_file(&ports);
        server.wait_for_greeting(deadline).await?;
        Ok(server)
    }

    /// `nats://user:password@127.0.0.1:port`: never print it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{USER}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id, for tests that kill or freeze it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server in order and waits for it.
    ///
    /// # Errors
    /// [`Error::NotReady`] when it would not end; it is killed then.
    pub async fn stop(mut self) -> Result<()> {
        end(&mut self.child, "nats-server", &self.log).await
    }

    /// The server picks the port and writes it into a file: nobody can take it in between.
    async fn wait_for_port(&mut self, ports: &std::path::Path, deadline: Instant) -> Result<u16> {
        loop {
            if let Ok(text) = std::fs::read_to_string(ports)
                && let Some(port) = port_in(&text)
            {
                return Ok(port);
            }
            still_starting(&mut self.child, "nats-server", &self.log, deadline)?;
            sleep(POLL).await;
        }
    }

    async fn wait_for_greeting(&mut self, deadline: Instant) -> Result<()> {
        loop {
            let greeting = async {
                let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
                let mut line = String::new();
                BufReader::new(stream).read_line(&mut line).await?;
                Ok::<_, std::io::Error>(line)
            };
            if let Ok(Ok(line)) = timeout(Duration::from_secs(2), greeting).await
                && line.starts_with("INFO {")
            {
                return Ok(());
            }
            still_starting(&mut self.child, "nats-server", &self.log, deadline)?;
            sleep(POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end_now(&mut self.child);
    }
}

fn configuration_text(port: Option<u16>, password: &str) -> String {
    let port = port.map_or(-1, i32::from);
    format!(
        "listen: \"127.0.0.1:{port}\"\n\
         jetstream: enabled\n\
         authorization {{ user: \"{USER}\", password: \"{password}\" }}\n"
    )
}

/// `{"nats":["nats://127.0.0.1:43210"]}`
fn port_in(text: &str) -> Option<u16> {
    let address = text.split("nats://").nth(1)?;
    address.split('"').next()?.rsplit(':').next()?.parse().ok()
}

async fn end_leftover(note: &std::path::Path) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(note) else {
        return Ok(());
    };
    let mut words = text.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    let (Some(pid), Some(started)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let leftover = Incarnation {
        pid: u32::try_from(pid).unwrap_or(0),
        started,
    };
    if started == 0 || !leftover.is_alive() {
        return Ok(());
    }
    process::send(leftover.pid, Action::Terminate)?;
    let deadline = Instant::now() + STOP_WITHIN;
    while leftover.is_alive() {
        if Instant::now() >= deadline {
            process::send(leftover.pid, Action::Kill)?;
            return Ok(());
        }
        sleep(POLL).await;
    }
    Ok(())
}
