//! A tenant with a client that has its token, for tests to talk to.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use syncbridge_graph_sim::{Answer, Behaviour, FaultRule, Method, Options, Request, Response, Tenant};

pub(crate) struct Sim {
    pub(crate) tenant: Tenant,
    pub(crate) now: DateTime<Utc>,
    token: String,
}

/// The site that tests use.
pub(crate) const SITE: &str = "/v1.0/sites/contoso.sharepoint.com:/sites/demo";

impl Sim {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn behaving(behaviour: Behaviour) -> Self {
        Self::with(Options {
            behaviour,
            ..Options::default()
        })
    }

    pub(crate) fn failing(rules: &[&str]) -> Self {
        let mut sim = Self::new();
        sim.faults(rules);
        sim
    }

    pub(crate) fn with(options: Options) -> Self {
        let client = options.clients[0].clone();
        let tenant = Tenant::new(options).unwrap();
        let now = "2026-06-03T15:07:35Z".parse().unwrap();
        Self::resumed_as(tenant, now, &client.id, &client.secret)
    }

    /// A tenant that exists already, with the default client.
    pub(crate) fn resumed(tenant: Tenant, now: DateTime<Utc>) -> Self {
        Self::resumed_as(tenant, now, "sim-client", "sim-secret")
    }

    pub(crate) fn resumed_as(mut tenant: Tenant, now: DateTime<Utc>, id: &str, secret: &str) -> Self {
        let token = token_of(&mut tenant, now, id, secret);
        Self { tenant, now, token }
    }

    /// Asks for another token.
    pub(crate) fn renew(&mut self) {
        self.token = token_of(&mut self.tenant, self.now, "sim-client", "sim-secret");
    }

    pub(crate) fn faults(&mut self, rules: &[&str]) {
        self.tenant
            .set_faults(rules.iter().map(|rule| FaultRule::parse(rule).unwrap()).collect())
            .unwrap();
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    /// Sends a request with the token.
    pub(crate) fn send(&mut self, request: Request) -> Answer {
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let answer = self.tenant.handle(request.clone(), self.now);
        crate::exchanges::must_hold(&request, &answer);
        answer
    }

    pub(crate) fn call(&mut self, method: &str, path: &str, body: Value) -> Response {
        self.send(request(method, path, &body)).response
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.call("GET", path, Value::Null)
    }

    /// The JSON of a GET that must succeed.
    pub(crate) fn read(&mut self, path: &str) -> Value {
        let response = self.get(path);
        let body = response.json().unwrap_or_default();
        assert_eq!(response.status, 200, "GET {path}: {body}");
        body
    }

    /// Makes a list and answers its path.
    pub(crate) fn list(&mut self, name: &str, columns: Value) -> String {
        let body = json!({ "displayName": name, "columns": columns, "list": { "template": "genericList" } });
        let response = self.call("POST", &format!("{SITE}:/lists"), body);
        let body = response.json().unwrap();
        assert_eq!(response.status, 201, "{body}");
        format!("{SITE}:/lists/{}", body["id"].as_str().unwrap())
    }

    /// Makes an item that must be accepted and answers its JSON.
    pub(crate) fn item(&mut self, list: &str, fields: Value) -> Value {
        let response = self.call("POST", &format!("{list}/items"), json!({ "fields": fields }));
        let body = response.json().unwrap();
        assert_eq!(response.status, 201, "{body}");
        body
    }

    /// Asks the simulator's own controls.
    pub(crate) fn control(&mut self, method: &str, path: &str, body: Value) -> Response {
        self.tenant
            .handle(request(method, &format!("/_sim/{path}"), &body), self.now)
            .response
    }

    /// Lets a person do something that must succeed, and answers what the control says.
    pub(crate) fn act(&mut self, method: &str, path: &str, body: Value) -> Value {
        let response = self.control(method, path, body);
        let answer = response.json().unwrap_or_default();
        assert!(
            response.status < 300,
            "{method} {path}: {} {answer}",
            response.status
        );
        answer
    }

    /// Ids of the items that the application finds in the collection.
    pub(crate) fn ids(&mut self, list: &str) -> Vec<String> {
        let body = self.read(&format!("{list}/items?$top=5000"));
        let items = body["value"].as_array().unwrap().iter();
        items
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Follows changes to the delta link; answers (id, deleted) in order and the link's path.
    pub(crate) fn changes(&mut self, path: &str) -> (Vec<(String, bool)>, String) {
        let mut seen = Vec::new();
        let mut path = path.to_owned();
        loop {
            let body = self.read(&path);
            for entry in body["value"].as_array().unwrap() {
                let id = entry["id"].as_str().unwrap().to_owned();
                seen.push((id, entry.get("deleted").is_some()));
            }
            let done = body["@odata.deltaLink"].as_str();
            let link = done.or_else(|| body["@odata.nextLink"].as_str()).unwrap();
            path = link.split_once("graph.microsoft.com").unwrap().1.to_owned();
            if done.is_some() {
                return (seen, path);
            }
        }
    }

    /// How many items a list holds, by the simulator's own count.
    pub(crate) fn count(&mut self, list: &str) -> u64 {
        let id = list.rsplit('/').next().unwrap().to_owned();
        let raw = self
            .control("GET", &format!("lists/{id}/items"), Value::Null)
            .json()
            .unwrap();
        raw["count"].as_u64().unwrap()
    }

    pub(crate) fn batch(&mut self, requests: Value) -> Response {
        self.call("POST", "/v1.0/$batch", json!({ "requests": requests }))
    }
}

pub(crate) fn request(method: &str, path: &str, body: &Value) -> Request {
    let request = Request::new(Method::parse(method), path);
    if body.is_null() {
        request
    } else {
        request.json(body)
    }
}

fn token_of(tenant: &mut Tenant, now: DateTime<Utc>, id: &str, secret: &str) -> String {
    let body = tenant
        .handle(token_request(id, secret), now)
        .response
        .json()
        .unwrap();
    let token = body["access_token"].as_str();
    token.unwrap_or_else(|| panic!("no token: {body}")).to_owned()
}

pub(crate) fn token_request(id: &str, secret: &str) -> Request {
    token_form(&format!(
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
    ))
}

pub(crate) fn token_form(form: &str) -> Request {
    let mut request = Request::new(Method::Post, "/contoso/oauth2/v2.0/token")
        .header("Content-Type", "application/x-www-form-urlencoded");
    request.body = form.to_owned().into();
    request
}

/// Status and error code of a refusal.
pub(crate) fn refusal(response: &Response) -> (u16, String) {
    let body = response.json().unwrap_or_default();
    (
        response.status,
        body["error"]["code"].as_str().unwrap_or_default().to_owned(),
    )
}

/// The message of a refusal.
pub(crate) fn message(response: &Response) -> String {
    response.json().unwrap_or_default()["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
