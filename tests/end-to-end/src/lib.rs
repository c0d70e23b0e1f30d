#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "support of tests: what fails here fails the test with its reason"
)]
//! Support for the end-to-end tests: one small world a test, made of real parts.
//!
//! A [`World`] has two fresh databases on the shared test server (the source and the meta-store), a simulator
//! process of its own, and the built `syncbridge` binary, which is run as a person would run it. Nothing is
//! faked; what a test cannot see from outside it asks the simulator (`/_sim/`) or the databases for.

pub mod at_rest;
pub mod both_ways;
pub mod proxy;
pub mod runs;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};
use sqlx::PgPool;
use syncbridge_devstack::simulator::{GraphSim, SimOptions};
use syncbridge_devstack::testing::{self, PrivatePostgres, TestDatabase};

/// Application that the simulator knows.
pub const CLIENT_ID: &str = "11111111-2222-4333-8444-555555555555";
/// Its secret.
pub const CLIENT_SECRET: &str = "planted-client-secret-9f3b";
/// Time zone of the site, in which list days begin.
pub const TIME_ZONE: &str = "Europe/Berlin";
/// Tenant that the simulator plays.
pub const TENANT: &str = "contoso.onmicrosoft.com";

/// A database of a world: on the server that all tests share, on one of the world's own, or on one that somebody
/// else holds.
pub struct WorldDatabase {
    url: String,
    _server: Server,
}

/// What has to live as long as the database does.
enum Server {
    Shared { _database: Box<TestDatabase> },
    Own { _server: Box<PrivatePostgres> },
    Elsewhere,
}

impl WorldDatabase {
    /// URL for a superuser, password included.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    async fn shared() -> Self {
        let database = testing::postgres().await;
        Self {
            url: database.url(),
            _server: Server::Shared {
                _database: Box::new(database),
            },
        }
    }

    async fn own() -> Self {
        let server = testing::private_postgres(|_| {}).await;
        let url = Self::on(&server, "source").await.url;
        Self {
            url,
            _server: Server::Own {
                _server: Box::new(server),
            },
        }
    }

    async fn on(server: &PrivatePostgres, name: &str) -> Self {
        server
            .cluster
            .create_database(name)
            .await
            .expect("a database on the private server");
        Self {
            url: server.cluster.url(name),
            _server: Server::Elsewhere,
        }
    }
}

/// One test's world.
pub struct World {
    /// The table's database.
    pub source: WorldDatabase,
    /// The meta-store's database.
    pub meta: WorldDatabase,
    /// The simulator.
    pub sim: GraphSim,
    /// Folder for documents and logs.
    pub folder: tempfile::TempDir,
    http: reqwest::Client,
    pool: PgPool,
    meta_pool: PgPool,
    /// Variables added to every command.
    pub environment: Vec<(String, String)>,
    /// Where Graph is for the product; the simulator itself unless a proxy stands in front of it.
    pub graph_root: String,
    /// Licences that the connection names; without them the product spends as it likes.
    pub licenses: Option<u64>,
}

impl World {
    /// A world with a simulator that does as it is told at once.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world whose source is a server of its own, so that only the test's own transactions are open there:
    /// for everything about transactions (a prepared one would make other tests wait, and theirs these).
    pub async fn with_private_source() -> Self {
        Self::build(|_| {}, WorldDatabase::own().await, WorldDatabase::shared().await).await
    }

    /// A world whose table lies on a server of somebody else's, and whose memory does not.
    pub async fn with_source_on(server: &PrivatePostgres) -> Self {
        let source = WorldDatabase::on(server, "source").await;
        Self::build(|_| {}, source, WorldDatabase::shared().await).await
    }

    /// A world whose two databases, `NAME_source` and `NAME_meta`, are made on a server of somebody else's.
    pub async fn on(server: &PrivatePostgres, name: &str, adjust: impl FnOnce(&mut SimOptions)) -> Self {
        let source = WorldDatabase::on(server, &format!("{name}_source")).await;
        let meta = WorldDatabase::on(server, &format!("{name}_meta")).await;
        Self::build(adjust, source, meta).await
    }

    /// A world with a simulator of other habits.
    pub async fn with(adjust: impl FnOnce(&mut SimOptions)) -> Self {
        Self::build(
            adjust,
            WorldDatabase::shared().await,
            WorldDatabase::shared().await,
        )
        .await
    }

    async fn build(adjust: impl FnOnce(&mut SimOptions), source: WorldDatabase, meta: WorldDatabase) -> Self {
        let mut options = SimOptions {
            clients: vec![(CLIENT_ID.into(), CLIENT_SECRET.into())],
            sites: vec!["Company".into()],
            extra: ["--tenant", TENANT, "--site-time-zone", TIME_ZONE]
                .map(Into::into)
                .into(),
            ..SimOptions::default()
        };
        adjust(&mut options);
        let sim = GraphSim::start(options).await.expect("the simulator starts");
        let folder = tempfile::tempdir().expect("a folder for the test");
        let pool = PgPool::connect(&source.url()).await.expect("the source answers");
        let meta_pool = PgPool::connect(&meta.url())
            .await
            .expect("the meta-store answers");
        let _ = rustls_provider();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("an HTTP client");
        let key = folder.path().join("master.key");
        // 32 bytes of base64, fixed: what is sealed with it lives as long as the test.
        std::fs::write(&key, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").expect("a key file");
        let graph_root = sim.base_url();
        let world = Self {
            source,
            meta,
            sim,
            folder,
            http,
            pool,
            meta_pool,
            environment: Vec::new(),
            graph_root,
            licenses: None,
        };
        world.command(&["migrate"]).ok();
        world
    }

    /// The built product; `SYNCBRIDGE_PROGRAM` names another build of it, such as one that is broken on purpose.
    pub fn program() -> PathBuf {
        if let Some(other) = std::env::var_os("SYNCBRIDGE_PROGRAM") {
            return other.into();
        }
        let me = std::env::current_exe().expect("this test has a path");
        // Tests lie in `deps`, below the product; a benchmark lies beside it.
        let beside = me.parent().expect("a program lies in a folder");
        let above = beside.parent().expect("target folder");
        [beside, above]
            .map(|folder| folder.join("syncbridge"))
            .into_iter()
            .find(|program| program.is_file())
            .unwrap_or_else(|| {
                panic!(
                    "{} is not built: run `cargo build --workspace` first",
                    above.join("syncbridge").display()
                )
            })
    }

    /// The product with arguments, ready to be started.
    pub fn prepare(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(Self::program());
        command
            .args(args)
            .env("SYNCBRIDGE_DATABASE_URL", self.meta.url())
            .env(
                "SYNCBRIDGE_MASTER_KEY_FILE",
                self.folder.path().join("master.key"),
            )
            .env("SYNCBRIDGE_ALLOW_CUSTOM_CLOUD", "true")
            .env("SYNCBRIDGE_LOG", "info")
            .env("SYNCBRIDGE_LOG_FORMAT", "json")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs the product and waits for its end.
    pub fn command(&self, args: &[&str]) -> Ran {
        let output = self.prepare(args).output().expect("the product starts");
        Ran {
            args: args.join(" "),
            output,
        }
    }

    /// Starts the product and leaves it running; its output goes to files in the test's folder.
    pub fn start(&self, name: &str, args: &[&str]) -> std::process::Child {
        let file = |kind: &str| {
            std::fs::File::create(self.folder.path().join(format!("{name}.{kind}"))).expect("an output file")
        };
        self.prepare(args)
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .expect("the product starts")
    }

    /// Statements in the source.
    pub async fn sql(&self, text: &str) {
        let text = sqlx::AssertSqlSafe(text.to_owned());
        sqlx::raw_sql(text)
            .execute(&self.pool)
            .await
            .expect("the statement is right");
    }

    /// The source's connections.
    pub fn source_pool(&self) -> &PgPool {
        &self.pool
    }

    /// One number from the source.
    pub async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned()))
            .fetch_one(&self.pool)
            .await
            .expect("a number")
    }

    /// One number from the meta-store.
    pub async fn meta_count(&self, query: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned()))
            .fetch_one(&self.meta_pool)
            .await
            .expect("a number")
    }

    /// The meta-store's connections.
    pub fn meta_pool(&self) -> &PgPool {
        &self.meta_pool
    }

    /// Application, database, instance and connection of this world, as one YAML text.
    pub fn catalog(&self) -> String {
        let url = reqwest::Url::parse(&self.source.url()).expect("a URL");
        let mut documents = [
            json!({"apiVersion": "syncbridge/v1", "kind": "Application", "metadata": {"name": "company"}, "spec": {}}),
            json!({"apiVersion": "syncbridge/v1", "kind": "Database", "metadata": {"name": "company"},
                   "spec": {"application": "company"}}),
            json!({"apiVersion": "syncbridge/v1", "kind": "Instance", "metadata": {"name": "primary"},
                   "spec": {"database": "company", "host": url.host_str().unwrap(), "port": url.port().unwrap(),
                            "dbname": url.path().trim_start_matches('/'), "user": url.username(),
                            "password": {"value": url.password().unwrap()}, "tls": {"mode": "disable"}}}),
            json!({"apiVersion": "syncbridge/v1", "kind": "Connection", "metadata": {"name": "contoso"},
                   "spec": {"tenant": TENANT, "clientId": CLIENT_ID, "clientSecret": {"value": CLIENT_SECRET},
                            "custom": {"authority": self.graph_root, "graphRoot": self.graph_root}}}),
        ];
        if let Some(licenses) = self.licenses {
            documents[3]["spec"]["licenses"] = licenses.into();
        }
        documents.iter().map(|d| format!("{d}\n---\n")).collect()
    }

    /// A definition named `name` for a table, list of the same name; `more` overrides keys of `spec` (merged
    /// one level deep).
    pub fn definition(&self, name: &str, table: &str, more: Json) -> String {
        let mut spec = json!({
            "database": "company", "connection": "contoso", "source": {"table": table},
            "target": {"site": "contoso.sharepoint.com:/sites/Company", "list": name, "timeZone": TIME_ZONE},
        });
        for (key, value) in more.as_object().expect("an object") {
            match (spec.get_mut(key).and_then(Json::as_object_mut), value.as_object()) {
                (Some(known), Some(new)) => known.extend(new.clone()),
                _ => spec[key] = value.clone(),
            }
        }
        json!({"apiVersion": "syncbridge/v1", "kind": "SyncDefinition", "metadata": {"name": name}, "spec": spec})
            .to_string()
    }

    /// Applies the catalog and a definition.
    pub fn apply(&self, definition: &str) -> Ran {
        let file = self.folder.path().join("documents.yaml");
        std::fs::write(&file, format!("{}{definition}\n", self.catalog())).expect("a file of documents");
        self.command(&["apply", "-f", file.to_str().expect("a readable path")])
    }

    /// Runs a definition; the report as JSON, whatever the run's state.
    pub fn run(&self, name: &str) -> Json {
        self.run_with(name, &[])
    }

    /// Runs a definition with more arguments.
    pub fn run_with(&self, name: &str, more: &[&str]) -> Json {
        let mut args = vec!["run", name, "-o", "json"];
        args.extend(more);
        self.command(&args).json()
    }

    /// Compares both sides; the verification as JSON.
    pub fn verify(&self, name: &str) -> Json {
        let report = self.command(&["verify", name, "-o", "json"]).json();
        let found = report["outcome"]["verification"].clone();
        assert!(!found.is_null(), "the comparison came to no end: {report:#}");
        found
    }

    /// Fails unless both sides are equal without any exemption and hold `rows` rows.
    pub fn assert_equal(&self, name: &str, rows: i64) {
        let mut found = self.verify(name);
        // A few examples say enough.
        if let Some(examples) = found["examples"].as_array_mut() {
            examples.truncate(3);
        }
        for key in ["differing", "missing", "orphans", "duplicates"] {
            assert_eq!(found[key], 0, "{key}: {found:#}");
        }
        assert_eq!(found["rows"], rows, "{found:#}");
        assert_eq!(found["equal"], rows, "{found:#}");
    }

    /// Something under the simulator's `/_sim/`.
    pub async fn sim_get(&self, path: &str) -> Json {
        let url = format!("{}/_sim/{path}", self.sim.base_url());
        let answer = self.http.get(&url).send().await.expect("the simulator answers");
        assert!(answer.status().is_success(), "GET {path}: {}", answer.status());
        answer.json().await.expect("JSON")
    }

    /// Tells the simulator something.
    pub async fn sim_send(&self, method: &str, path: &str, body: &Json) -> Json {
        let url = format!("{}/_sim/{path}", self.sim.base_url());
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = self
            .http
            .request(method, &url)
            .json(body)
            .send()
            .await
            .expect("the simulator answers");
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Json::Null)
    }

    /// Replaces the simulator's fault rules.
    pub async fn faults(&self, rules: Json) {
        self.sim_send("PUT", "faults", &rules).await;
    }

    /// Graph's id of the list of this display name.
    pub async fn list_id(&self, name: &str) -> String {
        let state = self.sim_get("state").await;
        let sites = state["sites"].as_array().expect("sites");
        let lists = sites
            .iter()
            .flat_map(|site| site["lists"].as_array().into_iter().flatten());
        let found = lists
            .filter(|list| list["displayName"] == name)
            .map(|list| list["id"].as_str());
        found
            .flatten()
            .next()
            .unwrap_or_else(|| panic!("no list {name}: {state:#}"))
            .to_owned()
    }

    /// Every item of a list with all stored values, hidden columns included.
    pub async fn items(&self, name: &str) -> Vec<Json> {
        let list = self.list_id(name).await;
        let mut items: Vec<Json> = Vec::new();
        loop {
            let after = items
                .last()
                .map_or_else(|| "0".to_owned(), |item| item["id"].to_string());
            let page = self
                .sim_get(&format!("lists/{list}/items?limit=1000&after={after}"))
                .await;
            let found = page["items"].as_array().expect("items").clone();
            if found.is_empty() {
                return items;
            }
            items.extend(found);
        }
    }

    /// Sends something to Graph itself, as another application of the tenant would.
    pub async fn graph_post(&self, path: &str, body: &Json) -> Json {
        self.graph_send(reqwest::Method::POST, path, body).await
    }

    /// Changes something in Graph itself, as another application of the tenant would.
    pub async fn graph_patch(&self, path: &str, body: &Json) -> Json {
        self.graph_send(reqwest::Method::PATCH, path, body).await
    }

    /// Deletes something in Graph itself, as another application of the tenant would.
    pub async fn graph_delete(&self, path: &str) {
        self.graph_send(reqwest::Method::DELETE, path, &json!({})).await;
    }

    async fn graph_send(&self, method: reqwest::Method, path: &str, body: &Json) -> Json {
        let token = self
            .http
            .post(format!("{}/{TENANT}/oauth2/v2.0/token", self.sim.base_url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!(
                "grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}\
                 &scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
            ))
            .send()
            .await
            .expect("the simulator answers");
        let token: Json = token.json().await.expect("JSON");
        let answer = self
            .http
            .request(method, format!("{}/v1.0{path}", self.sim.base_url()))
            .bearer_auth(token["access_token"].as_str().expect("a token"))
            .json(body)
            .send()
            .await
            .expect("the simulator answers");
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Json::Null)
    }

    /// A person edits an item in the list.
    pub async fn person_edits(&self, list: &str, item: &Json, fields: &Json) {
        let (list, id) = (self.list_id(list).await, &item["id"]);
        self.sim_send(
            "POST",
            &format!("lists/{list}/items/{id}"),
            &json!({ "fields": fields }),
        )
        .await;
    }

    /// A person adds an item to the list.
    pub async fn person_adds(&self, list: &str, fields: &Json) {
        let list = self.list_id(list).await;
        self.sim_send(
            "POST",
            &format!("lists/{list}/items"),
            &json!({ "fields": fields }),
        )
        .await;
    }

    /// A person deletes an item of the list.
    pub async fn person_deletes(&self, list: &str, item: &Json) {
        let (list, id) = (self.list_id(list).await, &item["id"]);
        self.sim_send("DELETE", &format!("lists/{list}/items/{id}"), &json!({}))
            .await;
    }

    /// The only item of a list whose field has this value.
    pub async fn item_where(&self, list: &str, field: &str, value: &Json) -> Json {
        let mut found = self.items(list).await;
        found.retain(|item| item["fields"][field] == *value);
        assert_eq!(found.len(), 1, "items with {field} = {value}: {found:#?}");
        found.remove(0)
    }

    /// Item writes that took effect since the last reset: creates, patches, deletes.
    pub async fn writes(&self) -> Writes {
        let ru = self.sim_get("ru").await;
        let of = |kind: &str| {
            ru["item_writes"][kind]
                .as_u64()
                .unwrap_or_else(|| panic!("no {kind}: {ru:#}"))
        };
        Writes {
            creates: of("creates"),
            patches: of("patches"),
            deletes: of("deletes"),
        }
    }

    /// Begins counting anew.
    pub async fn reset_account(&self) {
        self.sim_send("POST", "ru/reset", &json!({})).await;
    }

    /// Resource units by the simulator's count, by tag and in all.
    pub async fn spent(&self) -> (serde_json::Map<String, Json>, u64) {
        let ru = self.sim_get("ru").await;
        let by_tag = ru["by_tag"].as_object().expect("tags").clone();
        let total = by_tag.values().filter_map(|sum| sum["ru"].as_u64()).sum();
        (by_tag, total)
    }
}

/// Item writes that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// New items.
    pub creates: u64,
    /// Changed items.
    pub patches: u64,
    /// Deleted items.
    pub deletes: u64,
}

impl Writes {
    /// Nothing was written.
    pub const NONE: Self = Self {
        creates: 0,
        patches: 0,
        deletes: 0,
    };
}

/// A command that ended.
pub struct Ran {
    args: String,
    /// What it printed and how it ended.
    pub output: Output,
}

impl Ran {
    /// Runs a prepared command to its end.
    pub fn of(command: &mut std::process::Command) -> Self {
        Self {
            args: format!("{:?}", command.get_args()),
            output: command.output().expect("the product starts"),
        }
    }

    /// Exit code.
    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    /// Standard output.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Standard error.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Fails unless it ended well.
    pub fn ok(self) -> Self {
        assert!(
            self.output.status.success(),
            "syncbridge {}: {}\n{}\n{}",
            self.args,
            self.code(),
            self.out(),
            self.err()
        );
        self
    }

    /// Its standard output as JSON.
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|error| {
            panic!(
                "syncbridge {}: {error}: exit {}\n{}\n{}",
                self.args,
                self.code(),
                self.out(),
                self.err()
            )
        })
    }
}

/// Waits until a condition holds, looking every few milliseconds; fails with `what` after half a minute.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The TLS stack of this process, which HTTP clients want to know even for plain HTTP.
fn rustls_provider() -> Result<(), ()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| ())
}
