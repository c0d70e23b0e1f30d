//! Tokens for signed assertions instead of secrets, and for the identities of the machine.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use syncbridge_graph_sim::{ClientCertificate, FederatedCredential, Method, Options, Request};

use crate::harness::{SITE, Sim, token_form};

const ISSUER: &str = "https://issuer.example/cluster";
const SUBJECT: &str = "system:serviceaccount:sync:Worker";
const ENDPOINT: &str = "https://graph.microsoft.com/contoso/oauth2/v2.0/token";

/// A key with the certificate made of it.
struct Identity {
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Identity {
    fn new() -> Self {
        Self::valid_from(2020)
    }

    fn valid_from(year: i32) -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let mut parameters = CertificateParams::default();
        parameters.not_before = rcgen::date_time_ymd(year, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(year + 10, 1, 1);
        let certificate = parameters.self_signed(&key).unwrap();
        Self { key, certificate }
    }

    fn print(&self, algorithm: &'static aws_lc_rs::digest::Algorithm) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(algorithm, self.certificate.der()))
    }

    fn sha256(&self) -> String {
        self.print(&aws_lc_rs::digest::SHA256)
    }

    fn public_pem(&self) -> String {
        self.key.public_key_pem()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let padding: &'static dyn RsaEncoding = if header["alg"] == "PS256" {
            &RSA_PSS_SHA256
        } else {
            &RSA_PKCS1_SHA256
        };
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let pair = RsaKeyPair::from_pkcs8(&self.key.serialize_der()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A tenant whose application `certified` has a certificate and `federated` a federated credential.
struct World {
    sim: Sim,
    own: Identity,
    issuer: Identity,
}

impl World {
    fn new() -> Self {
        Self::with(Identity::new())
    }

    fn with(own: Identity) -> Self {
        let issuer = Identity::new();
        let certificate = ClientCertificate::from_pem("certified", own.certificate.pem().as_bytes()).unwrap();
        let federated =
            FederatedCredential::new("federated", ISSUER, SUBJECT, None, issuer.public_pem().as_bytes())
                .unwrap();
        let sim = Sim::with(Options {
            certificates: vec![certificate],
            federated: vec![federated],
            managed_identities: vec!["machine".to_owned()],
            ..Options::default()
        });
        Self { sim, own, issuer }
    }

    fn now(&self) -> i64 {
        self.sim.now.timestamp()
    }

    fn own_claims(&self) -> Value {
        json!({
            "aud": ENDPOINT, "iss": "certified", "sub": "certified", "jti": "j1",
            "nbf": self.now(), "exp": self.now() + 600,
        })
    }

    fn own_header(&self) -> Value {
        json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.own.sha256() })
    }

    fn federated_claims(&self) -> Value {
        json!({
            "aud": ["api://AzureADTokenExchange"], "iss": ISSUER, "sub": SUBJECT,
            "nbf": self.now(), "exp": self.now() + 600,
        })
    }

    fn ask(&mut self, client: &str, assertion: &str) -> (u16, Value) {
        let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let form = format!(
            "grant_type=client_credentials&client_id={client}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default\
             &client_assertion_type={kind}&client_assertion={}",
            utf8_percent_encode(assertion, NON_ALPHANUMERIC)
        );
        let response = self.sim.tenant.handle(token_form(&form), self.sim.now).response;
        (response.status, response.json().unwrap())
    }

    fn number(&mut self, client: &str, assertion: &str) -> u64 {
        let (status, body) = self.ask(client, assertion);
        let number = body["error_codes"][0].as_u64();
        number.unwrap_or_else(|| panic!("accepted with {status}: {body}"))
    }

    /// Whether a token works for Graph.
    fn works(&mut self, body: &Value) -> bool {
        let token = body["access_token"].as_str().unwrap();
        let request = Request::new(Method::Get, format!("{SITE}:/lists"))
            .header("Authorization", format!("Bearer {token}"));
        self.sim.tenant.handle(request, self.sim.now).response.status == 200
    }
}

#[test]
fn an_assertion_signed_with_the_registered_certificate_gets_a_token() {
    let mut world = World::new();
    let short = world.own.print(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    let headers = [
        world.own_header(),
        json!({ "alg": "RS256", "typ": "JWT", "x5t": short }),
        json!({ "alg": "RS256", "typ": "JWT", "x5t": short, "x5t#S256": world.own.sha256() }),
    ];
    for header in headers {
        let assertion = world.own.sign(&header, &world.own_claims());
        let (status, body) = world.ask("certified", &assertion);
        assert_eq!(status, 200, "{header}: {body}");
        assert!(world.works(&body), "{header}");
    }
}

#[test]
fn assertions_with_one_thing_wrong_are_refused_with_the_directory_s_numbers() {
    let mut world = World::new();
    let (now, stranger) = (world.now(), Identity::new());
    let claims = |name: &str, value: Value| {
        let mut claims = world.own_claims();
        claims[name] = value;
        world.own.sign(&world.own_header(), &claims)
    };
    let header = |name: &str, value: Value| {
        let mut header = world.own_header();
        header[name] = value;
        world.own.sign(&header, &world.own_claims())
    };
    let without = |name: &str| {
        let mut claims = world.own_claims();
        claims.as_object_mut().unwrap().remove(name);
        world.own.sign(&world.own_header(), &claims)
    };
    let good = world.own.sign(&world.own_header(), &world.own_claims());
    let (body, _) = good.rsplit_once('.').unwrap();
    let cases = [
        (
            "another audience",
            claims(
                "aud",
                json!("https://graph.microsoft.com/other/oauth2/v2.0/token"),
            ),
            700_023,
        ),
        ("another subject", claims("sub", json!("sim-client")), 700_021),
        ("another issuer", claims("iss", json!("sim-client")), 700_021),
        ("expired", claims("exp", json!(now - 301)), 700_024),
        ("not yet valid", claims("nbf", json!(now + 301)), 700_024),
        ("no end", without("exp"), 50_027),
        ("a textual end", claims("exp", json!("soon")), 50_027),
        ("no id", without("jti"), 50_027),
        ("an empty id", claims("jti", json!("")), 50_027),
        ("no issuer", without("iss"), 50_027),
        ("no algorithm", header("alg", json!("none")), 5_002_738),
        (
            "a shared secret's algorithm",
            header("alg", json!("HS256")),
            5_002_738,
        ),
        ("critical extensions", header("crit", json!(["x"])), 50_027),
        (
            "no thumbprint",
            world.own.sign(&json!({ "alg": "PS256" }), &world.own_claims()),
            5_002_723,
        ),
        (
            "an unknown thumbprint",
            header("x5t#S256", json!(stranger.sha256())),
            700_027,
        ),
        (
            "another key",
            stranger.sign(&world.own_header(), &world.own_claims()),
            700_027,
        ),
        ("no signature", format!("{body}."), 700_027),
        ("half a token", body.to_owned(), 50_027),
        ("no token", "nonsense".to_owned(), 50_027),
    ];
    for (what, assertion, number) in cases {
        assert_eq!(world.number("certified", &assertion), number, "{what}");
    }
    // A signature of one padding under the name of the other.
    let header = json!({ "alg": "RS256", "x5t#S256": world.own.sha256() });
    let mixed = world.own.sign(&header, &world.own_claims());
    let relabelled = format!(
        "{}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(world.own_header().to_string()),
        mixed.split_once('.').unwrap().1
    );
    assert_eq!(world.number("certified", &relabelled), 700_027);
    assert_eq!(world.number("nobody", &good), 700_016);
    assert_eq!(world.number("sim-client", &good), 700_021);
    assert_eq!(world.ask("certified", &good).0, 200);
}

#[test]
fn an_expired_certificate_signs_in_vain() {
    let mut world = World::with(Identity::valid_from(2010));
    let assertion = world.own.sign(&world.own_header(), &world.own_claims());
    let (status, body) = world.ask("certified", &assertion);
    assert_eq!((status, body["error"].as_str()), (401, Some("invalid_client")));
    let text = body["error_description"].as_str().unwrap();
    assert!(
        text.contains("AADSTS700027") && text.contains("expired"),
        "{text}"
    );
}

#[test]
fn an_application_without_a_secret_takes_no_empty_one() {
    let mut world = World::new();
    let form = "grant_type=client_credentials&client_id=certified&client_secret=&scope=x/.default";
    let body = world
        .sim
        .tenant
        .handle(token_form(form), world.sim.now)
        .response
        .json()
        .unwrap();
    assert_eq!(body["error_codes"], json!([7_000_215]));
}

#[test]
fn another_issuer_s_token_is_accepted_for_its_subject_only() {
    let mut world = World::new();
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "k" });
    let good = world.issuer.sign(&header, &world.federated_claims());
    let (status, body) = world.ask("federated", &good);
    assert_eq!(status, 200, "{body}");
    assert!(world.works(&body));
    let claims = |name: &str, value: Value| {
        let mut claims = world.federated_claims();
        claims[name] = value;
        world.issuer.sign(&header, &claims)
    };
    let now = world.now();
    let cases = [
        (
            "another issuer",
            claims("iss", json!("https://issuer.example/other")),
            700_211,
        ),
        (
            "another subject",
            claims("sub", json!("system:serviceaccount:sync:other")),
            700_213,
        ),
        (
            "the subject in other letters",
            claims("sub", json!(SUBJECT.to_lowercase())),
            7_002_138,
        ),
        ("another audience", claims("aud", json!("api://else")), 700_212),
        ("no audience", claims("aud", Value::Null), 700_212),
        ("expired", claims("exp", json!(now - 301)), 700_024),
        (
            "the wrong padding",
            world
                .issuer
                .sign(&json!({ "alg": "PS256" }), &world.federated_claims()),
            5_002_738,
        ),
        (
            "another key",
            world.own.sign(&header, &world.federated_claims()),
            700_027,
        ),
    ];
    for (what, assertion, number) in cases {
        assert_eq!(world.number("federated", &assertion), number, "{what}");
    }
    assert_eq!(world.number("certified", &good), 700_021);
}

#[test]
fn the_kind_of_an_assertion_must_be_said() {
    let mut world = World::new();
    let good = world.own.sign(&world.own_header(), &world.own_claims());
    let form =
        format!("grant_type=client_credentials&client_id=certified&scope=x/.default&client_assertion={good}");
    let mut number = |form: &str| {
        let body = world
            .sim
            .tenant
            .handle(token_form(form), world.sim.now)
            .response
            .json()
            .unwrap();
        body["error_codes"][0].as_u64()
    };
    assert_eq!(number(&form), Some(900_144));
    assert_eq!(
        number(&format!("{form}&client_assertion_type=saml")),
        Some(50_027)
    );
}

fn machine(sim: &mut Sim, query: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = Request::new(Method::Get, format!("/metadata/identity/oauth2/token?{query}"));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = sim.tenant.handle(request, sim.now).response;
    (response.status, response.json().unwrap_or_default())
}

const MACHINE_QUERY: &str = "api-version=2018-02-01&resource=https%3A%2F%2Fgraph.microsoft.com%2F";

#[test]
fn a_machine_gets_tokens_for_its_identities() {
    let mut world = World::new();
    let header = [("Metadata", "true")];
    let (status, body) = machine(&mut world.sim, MACHINE_QUERY, &header);
    assert_eq!(status, 200, "{body}");
    assert!(world.works(&body));
    assert_eq!(body["client_id"], "machine");
    assert_eq!(body["resource"], "https://graph.microsoft.com/");
    // All numbers come as text from the real service.
    assert_eq!(body["expires_in"], "3599");
    assert_eq!(body["expires_on"], (world.now() + 3_599).to_string());
    assert_eq!(
        machine(
            &mut world.sim,
            &format!("{MACHINE_QUERY}&client_id=machine"),
            &header
        )
        .0,
        200
    );
    for (query, headers, status) in [
        (MACHINE_QUERY.to_owned(), &[][..], 400),
        (
            MACHINE_QUERY.to_owned(),
            &[("Metadata", "true"), ("X-Forwarded-For", "10.0.0.1")],
            403,
        ),
        (format!("{MACHINE_QUERY}&client_id=sim-client"), &header, 400),
        (MACHINE_QUERY.replace("2018-02-01", "2017-01-01"), &header, 400),
        ("api-version=2018-02-01".to_owned(), &header, 400),
    ] {
        let (got, body) = machine(&mut world.sim, &query, headers);
        assert_eq!(got, status, "{query} {headers:?}: {body}");
        assert!(body["access_token"].is_null());
    }
}

#[test]
fn of_several_identities_one_must_be_named_and_without_any_there_is_no_machine() {
    let header = [("Metadata", "true")];
    let mut sim = Sim::with(Options {
        managed_identities: vec!["a".to_owned(), "b".to_owned()],
        ..Options::default()
    });
    assert_eq!(machine(&mut sim, MACHINE_QUERY, &header).0, 400);
    let (status, body) = machine(&mut sim, &format!("{MACHINE_QUERY}&client_id=b"), &header);
    assert_eq!((status, &body["client_id"]), (200, &json!("b")));
    assert_eq!(machine(&mut Sim::new(), MACHINE_QUERY, &header).0, 404);
}

#[test]
fn the_directory_says_where_its_token_endpoint_is() {
    let mut sim = Sim::new();
    let mut get = |path: &str| {
        let request = Request::new(Method::Get, path).header("Host", "login.example");
        let response = sim.tenant.handle(request, sim.now).response;
        (response.status, response.json().unwrap())
    };
    let (status, discovery) = get("/common/discovery/instance?api-version=1.1&authorization_endpoint=x");
    assert_eq!(status, 200);
    assert_eq!(discovery["metadata"][0]["aliases"], json!(["login.example"]));
    let path = discovery["tenant_discovery_endpoint"]
        .as_str()
        .unwrap()
        .replace("http://login.example", "");
    let (status, by_id) = get(&path);
    assert_eq!(status, 200);
    let (status, by_name) = get("/contoso/v2.0/.well-known/openid-configuration");
    assert_eq!((status, &by_name), (200, &by_id));
    let endpoint = by_id["token_endpoint"].as_str().unwrap();
    assert!(endpoint.starts_with("http://login.example/") && endpoint.ends_with("/oauth2/v2.0/token"));
    let (status, refused) = get("/fabrikam/v2.0/.well-known/openid-configuration");
    assert_eq!((status, &refused["error_codes"]), (400, &json!([90_002])));
    assert_eq!(get("/contoso/discovery/v2.0/keys").1, json!({ "keys": [] }));
}
