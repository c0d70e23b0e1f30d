//! Tokens and permissions.

use serde_json::{Value, json};
use syncbridge_graph_sim::{Client, Method, Options, Request};

use crate::harness::{SITE, Sim, refusal, token_form, token_request};

fn refused(form: &str) -> (u16, String, String) {
    let mut sim = Sim::new();
    let response = sim.tenant.handle(token_form(form), sim.now).response;
    let body = response.json().unwrap();
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (response.status, text("error"), text("error_description"))
}

#[test]
fn a_token_comes_in_the_documented_shape() {
    let mut sim = Sim::new();
    let body = sim
        .tenant
        .handle(token_request("sim-client", "sim-secret"), sim.now)
        .response
        .json()
        .unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(
        (&body["expires_in"], &body["ext_expires_in"]),
        (&json!(3599), &json!(3599))
    );
    assert!(body["access_token"].as_str().unwrap().len() > 30);
}

#[test]
fn wrong_token_requests_get_the_directory_s_error_numbers() {
    let scope = "scope=https://graph.microsoft.com/.default";
    let cases = [
        (
            format!("grant_type=client_credentials&client_id=sim-client&client_secret=no&{scope}"),
            401,
            "invalid_client",
            "AADSTS7000215",
        ),
        (
            format!("grant_type=client_credentials&client_id=who&client_secret=no&{scope}"),
            400,
            "unauthorized_client",
            "AADSTS700016",
        ),
        (
            "grant_type=client_credentials&client_id=sim-client&client_secret=sim-secret&scope=User.Read"
                .to_owned(),
            400,
            "invalid_scope",
            "AADSTS1002012",
        ),
        (
            format!("grant_type=client_credentials&client_id=sim-client&{scope}"),
            401,
            "invalid_client",
            "AADSTS7000218",
        ),
        (
            format!("grant_type=password&client_id=sim-client&{scope}"),
            400,
            "unsupported_grant_type",
            "AADSTS70003",
        ),
        (
            format!("client_id=sim-client&{scope}"),
            400,
            "invalid_request",
            "AADSTS900144",
        ),
    ];
    for (form, status, error, number) in cases {
        let (got, code, text) = refused(&form);
        assert_eq!((got, code.as_str()), (status, error), "{form}");
        assert!(text.contains(number), "{form}: {text}");
        assert!(!text.contains("sim-secret"), "the secret is in the error");
    }
}

#[test]
fn an_unknown_directory_is_refused_and_its_own_id_accepted() {
    let mut sim = Sim::new();
    let mut request = token_request("sim-client", "sim-secret");
    request.path_and_query = "/fabrikam/oauth2/v2.0/token".to_owned();
    assert_eq!(sim.tenant.handle(request.clone(), sim.now).response.status, 400);
    let state = sim.control("GET", "state", Value::Null).json().unwrap();
    request.path_and_query = format!("/{}/oauth2/v2.0/token", state["tenantId"].as_str().unwrap());
    assert_eq!(sim.tenant.handle(request, sim.now).response.status, 200);
}

#[test]
fn missing_made_up_and_expired_tokens_are_401() {
    let mut sim = Sim::new();
    let bare = Request::new(Method::Get, format!("{SITE}:/lists"));
    let none = sim.tenant.handle(bare.clone(), sim.now).response;
    assert_eq!(refusal(&none), (401, "InvalidAuthenticationToken".to_owned()));
    let made_up = bare.header("Authorization", "Bearer nonsense");
    assert_eq!(sim.tenant.handle(made_up, sim.now).response.status, 401);
    assert_eq!(sim.get(&format!("{SITE}:/lists")).status, 200);
    sim.pass(3_600);
    assert_eq!(
        refusal(&sim.get(&format!("{SITE}:/lists"))).1,
        "InvalidAuthenticationToken"
    );
}

#[test]
fn roles_decide_what_a_client_may_do_at_once() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let item = json!({ "fields": { "Title": "x" } });
    let mut outcome = |role: &str| {
        let body = json!({ "clients": { "sim-client": role } });
        assert_eq!(sim.control("PUT", "permissions", body).status, 200);
        let read = sim.get(&list).status;
        let write = sim.call("POST", &format!("{list}/items"), item.clone()).status;
        let column = json!({ "displayName": "C", "text": {} });
        let manage = sim.call("POST", &format!("{list}/columns"), column).status;
        (read, write, manage)
    };
    assert_eq!(outcome("none"), (403, 403, 403));
    assert_eq!(outcome("read"), (200, 403, 403));
    assert_eq!(outcome("write"), (200, 201, 403));
    assert_eq!(outcome("manage"), (200, 201, 201));
    assert_eq!(outcome("fullcontrol"), (200, 201, 201));
}

#[test]
fn one_list_can_be_kept_from_one_client() {
    let mut sim = Sim::with(Options {
        clients: vec![
            Client {
                id: "a".to_owned(),
                secret: "s".to_owned(),
            },
            Client {
                id: "b".to_owned(),
                secret: "s".to_owned(),
            },
        ],
        ..Options::default()
    });
    let (closed, open) = (sim.list("Closed", json!([])), sim.list("Open", json!([])));
    let deny = |access: &str| json!({ "deny": [{ "client": "a", "list": "Closed", "access": access }] });
    sim.control("PUT", "permissions", deny("write"));
    assert_eq!(sim.get(&closed).status, 200);
    let refused = sim.call("POST", &format!("{closed}/items"), json!({}));
    assert_eq!(refusal(&refused), (403, "accessDenied".to_owned()));
    assert_eq!(sim.call("POST", &format!("{open}/items"), json!({})).status, 201);
    sim.control("PUT", "permissions", deny("all"));
    assert_eq!(sim.get(&closed).status, 403);
    for wrong in [
        json!({ "clients": { "zz": "read" } }),
        json!({ "clients": { "a": "king" } }),
        deny("some"),
    ] {
        assert_eq!(sim.control("PUT", "permissions", wrong).status, 400);
    }
}
