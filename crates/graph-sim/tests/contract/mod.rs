//! Whole exchanges against our golden shapes and, where this machine has it, Microsoft's own description of Graph.
//!
//! Shared by the tests of this folder and the example `check-exchanges`, which checks recorded exchanges.
//!
//! What is exempt, and why:
//! - The request of an exchange that was refused: tests send wrong requests on purpose. Its answer is checked.
//! - Answers of 500 and above without JSON: injected faults stand for gateways, which answer in HTML or not at all.
//! - `required` where `$select` is in the target: it says what is wanted.
//! - Of the description: its success codes (a range, `2XX`; our golden shapes have the exact ones); `null` for any
//!   property (its facets are references, which cannot say that they may be absent); nested numbers beyond JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use jsonschema::Validator;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// The golden shapes and what is known of Microsoft's description.
pub struct Contract {
    endpoints: Value,
    whole: Schemas,
    partial: Schemas,
    description: Option<Description>,
}

struct Description {
    document: Value,
    schemas: Schemas,
}

/// The schemas of one document, each compiled when it is first asked for: a test needs few of them.
struct Schemas {
    root: Value,
    compiled: BTreeMap<String, OnceLock<Validator>>,
}

impl Schemas {
    /// All schemas that are at `place` in a document.
    fn of(root: Value, place: &str) -> Self {
        let names = root.pointer(place).and_then(Value::as_object).unwrap().keys();
        let compiled = names
            .map(|name| (format!("{place}/{name}"), OnceLock::new()))
            .collect();
        Self { root, compiled }
    }

    fn get(&self, pointer: &str) -> Option<&Validator> {
        let slot = self.compiled.get(pointer)?;
        Some(slot.get_or_init(|| validator(self.root.clone(), pointer)))
    }

    fn named(&self, name: &str) -> &Validator {
        self.get(&format!("/$defs/{name}"))
            .unwrap_or_else(|| panic!("no golden shape is called {name}"))
    }
}

fn golden(name: &str) -> Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/exchanges")
        .join(name);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

/// The folder with Microsoft's description and recordings.
pub fn shared() -> PathBuf {
    match std::env::var_os("SYNCBRIDGE_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    }
}

/// Takes every list of required properties out of a schema.
fn without_required(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("required").is_some_and(Value::is_array) {
                map.remove("required");
            }
            map.values_mut().for_each(without_required);
        }
        Value::Array(items) => items.iter_mut().for_each(without_required),
        _ => {}
    }
}

/// `OpenAPI` 3.0 says `nullable` where JSON Schema has a type `null`; references can say neither.
fn allow_null(schema: &mut Value, property: bool) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| allow_null(item, false)),
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                if key == "properties" {
                    if let Value::Object(properties) = value {
                        properties.values_mut().for_each(|value| allow_null(value, true));
                    }
                } else if key != "enum" {
                    allow_null(value, false);
                }
            }
            if property {
                let inner = schema.take();
                *schema = json!({ "anyOf": [{ "type": "null" }, inner] });
            }
        }
        _ => {}
    }
}

fn validator(mut root: Value, pointer: &str) -> Validator {
    root["$ref"] = json!(format!("#{pointer}"));
    jsonschema::draft202012::new(&root).unwrap_or_else(|error| panic!("{pointer}: {error}"))
}

fn faults(what: &str, validator: &Validator, value: &Value, found: &mut Vec<String>) {
    for error in validator.iter_errors(value).take(5) {
        found.push(format!("{what}: {} at '{}'", error, error.instance_path()));
    }
}

/// The endpoint a target names, such as `/sites/{site}/lists/{list}`; `None` if it is none of Graph's.
fn endpoint(target: &str) -> Option<String> {
    let path = target.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/v1.0")?;
    let decoded: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let mut rest = decoded.iter().map(String::as_str).peekable();
    let mut out = String::new();
    match rest.next()? {
        "$batch" => return Some("/$batch".to_owned()),
        "sites" => out.push_str("/sites"),
        _ => return None,
    }
    match rest.next() {
        None => return Some(out),
        Some("getAllSites") => return Some("/sites/getAllSites".to_owned()),
        Some(first) => {
            out.push_str("/{site}");
            if first.ends_with(':') {
                for part in rest.by_ref() {
                    if part.ends_with(':') {
                        break;
                    }
                }
            }
        }
    }
    let mut holder = "";
    for part in rest {
        let placed = match holder {
            "items" if part.starts_with("delta") || part.starts_with("microsoft.graph.delta") => "delta",
            "lists" => "{list}",
            "columns" => "{column}",
            "items" => "{item}",
            "versions" => "{version}",
            _ => part,
        };
        holder = if placed.starts_with('{') { "" } else { placed };
        out.push('/');
        out.push_str(placed);
    }
    Some(out)
}

impl Description {
    fn load() -> Option<Self> {
        let text = std::fs::read_to_string(shared().join("graph/graph-lists.openapi.json")).ok()?;
        let mut document: Value = serde_json::from_str(&text).unwrap();
        allow_null(&mut document["components"]["schemas"], false);
        let root = json!({ "components": { "schemas": document["components"]["schemas"] } });
        Some(Self {
            document,
            schemas: Schemas::of(root, "/components/schemas"),
        })
    }

    /// The name of the schema of a body, found through the reference of a response where there is one.
    fn schema_of(&self, node: &Value) -> Option<String> {
        let node = match node["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#'))?,
            None => node,
        };
        let reference = node["content"]["application/json"]["schema"]["$ref"].as_str()?;
        Some(reference.trim_start_matches('#').to_owned())
    }

    fn check(&self, method: &str, endpoint: &str, exchange: &Value, found: &mut Vec<String>) {
        let path = endpoint
            .replace("{site}", "{site-id}")
            .replace("{list}", "{list-id}")
            .replace("{column}", "{columnDefinition-id}")
            .replace("{item}", "{listItem-id}")
            .replace("{version}", "{listItemVersion-id}");
        let operation = &self.document["paths"][&path][method.to_lowercase()];
        if operation.is_null() {
            found.push(format!("the description has no {method} {path}"));
            return;
        }
        let status = exchange["status"].as_u64().unwrap_or_default();
        let mut body = |what: &str, node: &Value, value: &Value| {
            if let Some(validator) = self.schema_of(node).and_then(|name| self.schemas.get(&name)) {
                faults(&format!("description, {what}"), validator, value, found);
            }
        };
        if status >= 400 {
            if exchange["response"].is_object() {
                body(
                    "error",
                    &json!({ "$ref": "#/components/responses/error" }),
                    &exchange["response"],
                );
            }
            return;
        }
        if !exchange["request"].is_null() {
            body("request", &operation["requestBody"], &exchange["request"]);
        }
        if !exchange["response"].is_null() {
            let answers = &operation["responses"];
            let answer = if answers["2XX"].is_null() {
                &answers["200"]
            } else {
                &answers["2XX"]
            };
            body("response", answer, &exchange["response"]);
        }
    }
}

impl Contract {
    pub fn load() -> Self {
        let schemas = golden("schemas.json");
        let mut loose = schemas.clone();
        without_required(&mut loose["$defs"]);
        Self {
            endpoints: golden("endpoints.json"),
            whole: Schemas::of(schemas, "/$defs"),
            partial: Schemas::of(loose, "/$defs"),
            description: Description::load(),
        }
    }

    /// Whether Microsoft's description is here.
    pub fn has_description(&self) -> bool {
        self.description.is_some()
    }

    /// What is wrong with an exchange in the form of [`syncbridge_graph_sim::record::exchange`].
    pub fn check(&self, exchange: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let (method, target) = (
            exchange["method"].as_str().unwrap(),
            exchange["target"].as_str().unwrap(),
        );
        if target.starts_with("/v1.0") {
            self.check_graph(method, target, exchange, &mut found);
        }
        found
            .iter()
            .map(|fault| format!("{method} {target}: {fault}"))
            .collect()
    }

    fn check_graph(&self, method: &str, target: &str, exchange: &Value, found: &mut Vec<String>) {
        let status = exchange["status"].as_u64().unwrap_or_default();
        let answer = &exchange["response"];
        if status == 0 {
            // Cut before it happened: there is no answer.
            return;
        }
        let named = endpoint(target);
        let known = named.as_ref().map(|endpoint| format!("{method} {endpoint}"));
        let known = known.filter(|known| !self.endpoints[known].is_null());
        if status >= 400 {
            if status >= 500 && answer.is_string() {
                // A gateway's page inside a batch, in base64.
            } else if !answer.is_null() {
                faults("golden, error", self.whole.named("error"), answer, found);
            } else if status < 500 {
                found.push(format!("an error of status {status} without JSON"));
            }
        } else if let Some(known) = &known {
            self.check_success(known, status, target, exchange, found);
        } else {
            found.push("it succeeded, but no golden shape has its endpoint".to_owned());
        }
        if let (Some(description), Some(endpoint), Some(_)) = (&self.description, &named, &known) {
            description.check(method, endpoint, exchange, found);
        }
    }

    fn check_success(
        &self,
        known: &str,
        status: u64,
        target: &str,
        exchange: &Value,
        found: &mut Vec<String>,
    ) {
        let shapes = if target.contains("select=") {
            &self.partial
        } else {
            &self.whole
        };
        if let Some(name) = self.endpoints[known]["request"].as_str() {
            faults(
                "golden, request",
                self.whole.named(name),
                &exchange["request"],
                found,
            );
        }
        match self.endpoints[known]["answers"].get(status.to_string()) {
            None => found.push(format!("no golden shape has status {status}")),
            Some(Value::String(name)) => faults(
                "golden, response",
                shapes.named(name),
                &exchange["response"],
                found,
            ),
            Some(_) if exchange["empty"] == json!(true) => {}
            Some(_) => found.push(format!("an answer of status {status} must be empty")),
        }
        if known == "POST /$batch" {
            self.check_parts(exchange, found);
        }
    }

    fn check_parts(&self, exchange: &Value, found: &mut Vec<String>) {
        let empty = Vec::new();
        let answers = exchange["response"]["responses"].as_array().unwrap_or(&empty);
        for part in exchange["request"]["requests"].as_array().unwrap_or(&empty) {
            let Some(answer) = answers.iter().find(|answer| answer["id"] == part["id"]) else {
                found.push(format!("the batch has no answer for part {}", part["id"]));
                continue;
            };
            let url = part["url"].as_str().unwrap_or_default();
            found.extend(self.check(&json!({
                "method": part["method"].as_str().unwrap_or_default().to_uppercase(),
                "target": format!("/v1.0/{}", url.trim_start_matches('/')),
                "request": part["body"],
                "status": answer["status"],
                "response": answer["body"],
                "empty": answer["body"].is_null(),
            })));
        }
    }
}
