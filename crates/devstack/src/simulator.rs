//! The `graph-sim` executable as a child process.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use tokio::time::{Instant, sleep};

use crate::children::{POLL, READY_WITHIN, end, end_now, still_starting};
use crate::{Error, Result, programs};

/// Environment variable that names the executable.
pub const PROGRAM_VARIABLE: &str = "SYNCBRIDGE_GRAPH_SIM";

const PROGRAM: &str = "graph-sim";
const READY_LINE: &str = "listening on ";

/// What the simulated tenant allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// No throttling.
    #[default]
    Unlimited,
    /// The documented limits of the smallest tenant.
    Documented,
}

/// How the simulator is started. `SimOptions::default()` is an unlimited, instant, seeded one on a free port.
#[derive(Debug, Clone, Default)]
pub struct SimOptions {
    /// `host:port`; empty means `127.0.0.1:0`, any free port.
    pub listen: String,
    /// What the tenant allows.
    pub profile: Profile,
    /// Latency of every request in milliseconds, and of every sub-request of a batch.
    pub latency_ms: u64,
    /// Seed of everything random in it.
    pub seed: u64,
    /// Fault specifications, in `graph-sim`'s own notation.
    pub faults: Vec<String>,
    /// Applications that may ask for tokens: (client id, client secret).
    pub clients: Vec<(String, String)>,
    /// Names of sites to make.
    pub sites: Vec<String>,
    /// Serve HTTPS with the authority kept in this folder (`ca.pem`, made when it is missing); `None`: plain HTTP.
    pub tls_folder: Option<PathBuf>,
    /// Further arguments, handed over as they are.
    pub extra: Vec<String>,
    /// The executable; `None` searches for it (see [`PROGRAM_VARIABLE`] and the crate's description).
    pub program: Option<PathBuf>,
    /// Where its output goes; `None` uses a temporary file.
    pub log: Option<PathBuf>,
}

/// A running simulator; dropping it kills it.
#[derive(Debug)]
pub struct GraphSim {
    child: Child,
    base: String,
    log: PathBuf,
    // Deleted with the value.
    _temporary: Option<tempfile::TempDir>,
}

impl GraphSim {
    /// Starts the simulator and waits for the line `listening on http://ADDR` (or `https://`).
    ///
    /// # Errors
    /// [`Error::MissingProgram`] says how to build it; [`Error::ProgramFailed`] and [`Error::NotReady`] carry
    /// the end of its output.
    pub async fn start(options: SimOptions) -> Result<Self> {
        let program = match &options.program {
            Some(file) => file.clone(),
            None => find_program()?,
        };
        let (log, temporary) = match &options.log {
            Some(path) => (path.clone(), None),
            None => {
                let folder = tempfile::Builder::new()
                    .prefix("graph-sim-")
                    .tempdir()
                    .map_err(Error::io("make a folder in", std::env::temp_dir()))?;
                (folder.path().join("output.log"), Some(folder))
            }
        };
        // A file and not a pipe: nobody has to keep reading it, and no process waits for its end.
        let output = std::fs::File::create(&log).map_err(Error::io("make", &log))?;
        let errors = output.try_clone().map_err(Error::io("share", &log))?;
        let child = std::process::Command::new(&program)
            .args(options.arguments())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Error::io("run", &program))?;
        let mut simulator = Self {
            child,
            base: String::new(),
            log,
            _temporary: temporary,
        };
        simulator.base = simulator.wait_for_base().await?;
        Ok(simulator)
    }

    /// `http://host:port` or `https://host:port`, without a slash at the end. Graph itself is below `/v1.0`.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.base.clone()
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base
            .split_once("://")
            .map_or(self.base.as_str(), |(_, address)| address)
    }

    /// Process id, for tests that kill or freeze it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Ends it in order and waits for it.
    ///
    /// # Errors
    /// [`Error::NotReady`] when it would not end; it is killed then.
    pub async fn stop(mut self) -> Result<()> {
        end(&mut self.child, PROGRAM, &self.log).await
    }

    /// Kills it, as a crash of the service would.
    pub fn kill(mut self) {
        end_now(&mut self.child);
    }

    async fn wait_for_base(&mut self) -> Result<String> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let text = std::fs::read_to_string(&self.log).map_err(Error::io("read", &self.log))?;
            if let Some(base) = base_in(&text) {
                return Ok(base.to_owned());
            }
            still_starting(&mut self.child, PROGRAM, &self.log, deadline)?;
            sleep(POLL).await;
        }
    }
}

impl Drop for GraphSim {
    fn drop(&mut self) {
        end_now(&mut self.child);
    }
}

impl SimOptions {
    fn arguments(&self) -> Vec<String> {
        let listen = if self.listen.is_empty() {
            "127.0.0.1:0"
        } else {
            &self.listen
        };
        let profile = match self.profile {
            Profile::Unlimited => "unlimited",
            Profile::Documented => "documented",
        };
        let mut words: Vec<String> = vec![
            "--listen".into(),
            listen.into(),
            "--profile".into(),
            profile.into(),
        ];
        words.extend([
            "--latency".into(),
            self.latency_ms.to_string(),
            "--seed".into(),
            self.seed.to_string(),
        ]);
        words.extend(
            self.faults
                .iter()
                .flat_map(|fault| ["--fault".to_owned(), fault.clone()]),
        );
        for (id, secret) in &self.clients {
            words.extend(["--client".to_owned(), format!("{id}:{secret}")]);
        }
        words.extend(
            self.sites
                .iter()
                .flat_map(|site| ["--site".to_owned(), site.clone()]),
        );
        if let Some(folder) = &self.tls_folder {
            words.extend([
                "--tls".to_owned(),
                "--tls-folder".to_owned(),
                folder.display().to_string(),
            ]);
        }
        words.extend(self.extra.iter().cloned());
        words
    }
}

/// Scheme and address in a complete ready line.
fn base_in(text: &str) -> Option<&str> {
    let rest = &text[text.find(READY_LINE)? + READY_LINE.len()..];
    Some(rest[..rest.find('\n')?].trim_end().trim_end_matches('/'))
}

fn find_program() -> Result<PathBuf> {
    let named = std::env::var_os(PROGRAM_VARIABLE).map(PathBuf::from);
    let ourselves = std::env::current_exe().ok();
    choose_program(named, candidates(ourselves.as_deref(), &programs::path_folders()))
}

/// Beside our own executable; beside the folder `deps` or `examples` that cargo puts test executables in;
/// then `PATH`.
fn candidates(ourselves: Option<&Path>, path: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(own_folder) = ourselves.and_then(Path::parent) {
        folders.push(own_folder.to_path_buf());
        if own_folder
            .file_name()
            .is_some_and(|name| name == "deps" || name == "examples")
        {
            folders.extend(own_folder.parent().map(Path::to_path_buf));
        }
    }
    folders.extend(path.iter().cloned());
    folders.into_iter().map(|folder| folder.join(PROGRAM)).collect()
}

fn choose_program(named: Option<PathBuf>, candidates: Vec<PathBuf>) -> Result<PathBuf> {
    let missing = |looked_in, next_step: &str| Error::MissingProgram {
        program: PROGRAM.to_owned(),
        looked_in,
        next_step: next_step.to_owned(),
    };
    if let Some(file) = named {
        return if programs::is_program(&file) {
            Ok(file)
        } else {
            let next = format!("{PROGRAM_VARIABLE} must name the executable; unset it to search for it.");
            Err(missing(vec![file], &next))
        };
    }
    candidates
        .iter()
        .find(|file| programs::is_program(file))
        .cloned()
        .ok_or_else(|| {
            missing(
                candidates,
                &format!("Build it with `cargo build --workspace`, or set {PROGRAM_VARIABLE}."),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_from_a_whole_line_only() {
        assert_eq!(
            base_in("hello\nlistening on http://127.0.0.1:4321\n"),
            Some("http://127.0.0.1:4321")
        );
        assert_eq!(
            base_in("trust a/ca.pem\nlistening on https://127.0.0.1:4321\n"),
            Some("https://127.0.0.1:4321")
        );
        assert_eq!(base_in("listening on http://127.0.0.1:43"), None);
        assert_eq!(base_in(""), None);
    }

    #[test]
    fn a_missing_simulator_says_how_to_build_it() {
        let text = choose_program(None, vec![PathBuf::from("/nowhere/graph-sim")])
            .unwrap_err()
            .to_string();
        assert!(text.contains("cargo build --workspace"), "{text}");
        assert!(text.contains("/nowhere/graph-sim"), "{text}");
        let text = choose_program(Some("/nowhere/else".into()), vec![])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("SYNCBRIDGE_GRAPH_SIM must name the executable"),
            "{text}"
        );
    }

    #[test]
    fn test_executables_find_it_one_folder_up() {
        let found = candidates(
            Some(Path::new("/w/target/debug/deps/some_test-1a2b")),
            &["/bin".into()],
        );
        let expected: Vec<PathBuf> = [
            "/w/target/debug/deps/graph-sim",
            "/w/target/debug/graph-sim",
            "/bin/graph-sim",
        ]
        .iter()
        .map(PathBuf::from)
        .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_option_reaches_the_command_line() {
        let options = SimOptions {
            profile: Profile::Documented,
            latency_ms: 7,
            seed: 9,
            faults: vec!["a=1".into(), "b".into()],
            clients: vec![("id".into(), "secret".into())],
            sites: vec!["Company".into()],
            tls_folder: Some("trusted".into()),
            extra: vec!["--quota".into(), "fixed".into()],
            ..SimOptions::default()
        };
        assert_eq!(
            options.arguments().join(" "),
            "--listen 127.0.0.1:0 --profile documented --latency 7 --seed 9 --fault a=1 --fault b \
             --client id:secret --site Company --tls --tls-folder trusted --quota fixed"
        );
    }
}
