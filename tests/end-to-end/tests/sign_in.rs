//! The four ways a connection signs in, against a directory that judges what it is shown.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{CLIENT_ID, CLIENT_SECRET, Ran, TENANT, World};

const ISSUER: &str = "https://issuer.example/cluster";
const SUBJECT: &str = "system:serviceaccount:sync:worker";
const MACHINE: &str = "77777777-2222-4333-8444-555555555555";

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// A key and a certificate that is good for so many days.
struct Pair {
    key: KeyPair,
    pem: String,
}

impl Pair {
    fn good_for(days: u64) -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let mut params = CertificateParams::new(vec!["app.example".into()]).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + (now() - Duration::from_secs(86_400));
        params.not_after = epoch + now() + Duration::from_secs(86_400 * days);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { key, pem }
    }

    fn connection(&self, world: &World) -> Json {
        connection(
            world,
            json!({"clientId": CLIENT_ID, "certificate": {"pem": {"value": self.pem},
                   "key": {"value": self.key.serialize_pem()}}}),
        )
    }

    /// A token of another issuer, as a cluster writes it for a pod; good for so many seconds.
    fn token(&self, subject: &str, seconds: u64) -> String {
        let now = now().as_secs();
        let claims = json!({"iss": ISSUER, "sub": subject, "aud": ["api://AzureADTokenExchange"],
                            "iat": now, "nbf": now, "exp": now + seconds});
        let encode = |part: &Json| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!(
            "{}.{}",
            encode(&json!({"alg": "RS256", "typ": "JWT"})),
            encode(&claims)
        );
        let pair = RsaKeyPair::from_pkcs8(&self.key.serialize_der()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        )
        .unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The connection with this way to sign in.
fn connection(world: &World, way: Json) -> Json {
    let mut spec = json!({"tenant": TENANT,
                          "custom": {"authority": world.graph_root, "graphRoot": world.graph_root}});
    for (key, value) in way.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "syncbridge/v1", "kind": "Connection", "metadata": {"name": "contoso"}, "spec": spec})
}

fn apply(world: &World, document: &Json) -> Ran {
    let file = world.folder.path().join("connection.json");
    std::fs::write(&file, document.to_string()).unwrap();
    world.command(&["apply", "-f", file.to_str().unwrap()])
}

/// Applies the connection and runs the definition with it.
async fn run_by(world: &World, document: &Json) -> Json {
    apply(world, document).ok();
    run(world).await
}

/// Changes a row and runs: where nothing changed, nobody signs in.
async fn run(world: &World) -> Json {
    world
        .sql("UPDATE rows SET name = md5(name || clock_timestamp()::text)")
        .await;
    world.run("rows")["outcome"].clone()
}

#[track_caller]
fn fails_with(outcome: &Json, code: &str) {
    assert_eq!(outcome["state"], "failed", "{outcome:#}");
    assert_eq!(outcome["failure"]["code"], code, "{outcome:#}");
}

#[track_caller]
fn completes(outcome: &Json) {
    assert_eq!(outcome["state"], "completed", "{outcome:#}");
    let written =
        outcome["counters"]["created"].as_u64().unwrap() + outcome["counters"]["patched"].as_u64().unwrap();
    assert_eq!(written, 3, "{outcome:#}");
}

/// Names under which secrets of the connection are sealed.
async fn sealed(world: &World) -> BTreeSet<String> {
    use sqlx::Row as _;
    let rows = sqlx::query("SELECT name FROM secrets WHERE name LIKE 'connection/%'")
        .fetch_all(world.meta_pool())
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A table of three rows that were pushed by client secret, and a directory that knows the pair, the issuer and
/// the machine.
async fn world(pair: &Pair, issuer: &Pair) -> World {
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let certificate = write("app.pem", &pair.pem);
    let key = write("issuer.pem", &issuer.key.public_key_pem());
    let mut world = World::with(|options| {
        options.extra.extend([
            "--client-certificate".into(),
            format!("{CLIENT_ID}={certificate}"),
            "--federated-credential".into(),
            format!("client={CLIENT_ID},issuer={ISSUER},subject={SUBJECT},key={key}"),
            "--managed-identity".into(),
            MACHINE.into(),
        ]);
    })
    .await;
    let secrets = world.folder.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    world
        .environment
        .push(("SYNCBRIDGE_SECRETS_FOLDER".into(), secrets.display().to_string()));
    world
        .environment
        .push(("SYNCBRIDGE_IDENTITY_SERVICE".into(), world.sim.base_url()));
    world.environment.push(("SYNCBRIDGE_LOG".into(), "trace".into()));
    world
        .sql("CREATE TABLE rows (id int PRIMARY KEY, name text); INSERT INTO rows SELECT n, 'r' || n FROM generate_series(1, 3) n")
        .await;
    world
        .apply(&world.definition("rows", "public.rows", json!({})))
        .ok();
    completes(&run(&world).await);
    world
}

fn token_file(world: &World) -> std::path::PathBuf {
    world.folder.path().join("secrets").join("token")
}

fn federated(world: &World, file: Option<&Path>) -> Json {
    let way = file.map_or_else(|| json!({}), |file| json!({"tokenFile": file}));
    connection(world, json!({"clientId": CLIENT_ID, "federated": way}))
}

#[tokio::test]
async fn a_certificate_signs_in_says_when_it_ends_and_is_dropped_with_what_it_is_bound_to() {
    let (pair, stranger) = (Pair::good_for(10), Pair::good_for(400));
    let world = world(&pair, &stranger).await;
    assert_eq!(sealed(&world).await, ["connection/contoso".to_owned()].into());

    let outcome = run_by(&world, &pair.connection(&world)).await;
    completes(&outcome);
    let notices = outcome["notices"].to_string();
    assert!(notices.contains("certificate ends on"), "{notices}");
    // The client secret went with the way to sign in that it belonged to.
    let both = ["connection/contoso/certificate", "connection/contoso/key"];
    assert_eq!(sealed(&world).await, both.map(str::to_owned).into());

    // Applying it again changes nothing, and neither does the export.
    let again = apply(&world, &pair.connection(&world)).ok();
    assert!(again.out().contains("unchanged"), "{}", again.out());
    let mut stored = pair.connection(&world);
    stored["spec"]["certificate"] = json!({"pem": {"stored": true}, "key": {"stored": true}});
    completes(&run_by(&world, &stored).await);

    fails_with(
        &run_by(&world, &stranger.connection(&world)).await,
        "auth.certificate_not_registered",
    );
    let mut mixed = pair.connection(&world);
    mixed["spec"]["certificate"]["key"] = json!({"value": stranger.key.serialize_pem()});
    fails_with(&run_by(&world, &mixed).await, "auth.key_mismatch");
    completes(&run_by(&world, &pair.connection(&world)).await);

    // Host, authority or client id changed: whoever changes them cannot carry the key there.
    for (key, value) in [
        ("clientId", json!("99999999-2222-4333-8444-555555555555")),
        ("tenant", json!("fabrikam.example")),
        (
            "custom",
            json!({"authority": "http://127.0.0.1:9", "graphRoot": "http://127.0.0.1:9"}),
        ),
    ] {
        apply(&world, &pair.connection(&world)).ok();
        assert_eq!(sealed(&world).await.len(), 2);
        let mut moved = stored.clone();
        moved["spec"][key] = value;
        apply(&world, &moved).ok();
        assert_eq!(sealed(&world).await, BTreeSet::new(), "{key}");
        let ran = world.command(&["run", "rows"]);
        assert!(
            ran.err().contains("[manifest.secret_missing"),
            "{key}: {}",
            ran.err()
        );
    }
}

#[tokio::test]
async fn a_token_file_signs_in_is_read_anew_and_only_from_where_it_may_lie() {
    let (pair, issuer) = (Pair::good_for(400), Pair::good_for(400));
    let mut world = world(&pair, &issuer).await;
    let file = token_file(&world);
    std::fs::write(&file, issuer.token(SUBJECT, 600)).unwrap();
    completes(&run_by(&world, &federated(&world, Some(&file))).await);
    assert_eq!(sealed(&world).await, BTreeSet::new());

    // Its owner replaces it, here with one that the app does not trust, and then with a good one.
    std::fs::write(&file, issuer.token("system:serviceaccount:other:worker", 600)).unwrap();
    fails_with(&run(&world).await, "auth.federation_mismatch");
    std::fs::write(&file, format!("{}\n", issuer.token(SUBJECT, 600))).unwrap();
    completes(&run(&world).await);

    let outside = world.folder.path().join("token");
    std::fs::copy(&file, &outside).unwrap();
    fails_with(
        &run_by(&world, &federated(&world, Some(&outside))).await,
        "auth.token_file_denied",
    );
    // An administrator may allow the folder; and the platform may name a file of its own.
    world.environment.push((
        "SYNCBRIDGE_TOKEN_FOLDER".into(),
        world.folder.path().display().to_string(),
    ));
    completes(&run(&world).await);
    world.environment.pop();
    let unnamed = federated(&world, None);
    apply(&world, &unnamed).ok();
    let ran = world.command(&["run", "rows"]);
    assert!(ran.err().contains("AZURE_FEDERATED_TOKEN_FILE"), "{}", ran.err());
    world
        .environment
        .push(("AZURE_FEDERATED_TOKEN_FILE".into(), outside.display().to_string()));
    completes(&run(&world).await);
}

#[tokio::test]
async fn a_machines_identity_signs_in_and_none_of_the_ways_is_told_to_anybody() {
    let (pair, issuer) = (Pair::good_for(400), Pair::good_for(400));
    let mut world = world(&pair, &issuer).await;
    completes(&run_by(&world, &connection(&world, json!({"managedIdentity": true}))).await);
    let assigned = |id: &str| connection(&world, json!({"managedIdentity": true, "clientId": id}));
    completes(&run_by(&world, &assigned(MACHINE)).await);
    fails_with(
        &run_by(&world, &assigned("88888888-0000-4000-8000-000000000000")).await,
        "auth.identity_missing",
    );

    // All ways once more, with every log line on; a wrong one of each as well.
    let file = token_file(&world);
    let token = issuer.token(SUBJECT, 600);
    std::fs::write(&file, &token).unwrap();
    let documents = [
        pair.connection(&world),
        issuer.connection(&world),
        federated(&world, Some(&file)),
        assigned(MACHINE),
    ];
    let mut said = String::new();
    for document in &documents {
        let applied = apply(&world, document);
        world
            .sql("UPDATE rows SET name = md5(name || clock_timestamp()::text)")
            .await;
        let ran = world.command(&["run", "rows", "-o", "json"]);
        for ran in [applied, ran] {
            said += &ran.out();
            said += &ran.err();
        }
    }
    assert!(
        said.contains("/oauth2/v2.0/token"),
        "tokens were asked for in sight"
    );
    let pems = [&pair.key, &issuer.key].map(|key| {
        let text = key.serialize_pem();
        text.lines().nth(3).unwrap().to_owned()
    });
    let planted = pems.iter().map(String::as_str).chain([
        token.rsplit('.').next().unwrap(),
        CLIENT_SECRET,
        "client_assertion=",
        "eyJ",
        "sim.",
    ]);
    for secret in planted {
        assert!(!said.contains(secret), "somebody was told: {secret}");
    }

    // Without the administrator's word the machine's own service is asked, and not the simulator.
    world
        .environment
        .retain(|(name, _)| name != "SYNCBRIDGE_IDENTITY_SERVICE");
    world.environment.push((
        "SYNCBRIDGE_IDENTITY_SERVICE".into(),
        "http://169.254.169.254".into(),
    ));
    let ran = world.command(&["run", "rows"]);
    assert!(ran.err().contains("[graph.egress_denied"), "{}", ran.err());
}
