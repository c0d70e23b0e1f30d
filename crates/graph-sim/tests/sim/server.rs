//! The program over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running simulator, ended with the test.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: String,
    base: String,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_graph-sim"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let base = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        let address = base.split_once("://").unwrap().1.to_owned();
        Self { child, address, base }
    }

    /// Where it is, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Sends one request on a connection of its own; `None` if the connection ends without an answer.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        let host = &self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Asks the program to stop and answers its exit code.
    fn stop(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the program did not end");
            std::thread::yield_now();
        }
    }

    fn token(&self) -> String {
        let form = "grant_type=client_credentials&client_id=c&client_secret=s&scope=x/.default";
        let (status, body) = self.send("POST", "/contoso/oauth2/v2.0/token", "", form).unwrap();
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\n",
            body["access_token"].as_str().unwrap()
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LISTS: &str = "/v1.0/sites/root/lists";

#[test]
fn the_program_serves_cuts_connections_and_ends_on_a_signal() {
    let mut program = Program::start(&["--client", "c:s", "--fault", "lost_answer,on=create,times=1"]);
    let headers = program.token();
    let (status, body) = program
        .send("POST", LISTS, &headers, r#"{"displayName":"L"}"#)
        .unwrap();
    assert_eq!(status, 201, "{body}");
    let items = format!("{LISTS}/L/items");
    assert_eq!(
        program.send("POST", &items, &headers, r#"{"fields":{}}"#),
        None,
        "the answer should be lost"
    );
    let (status, body) = program.send("GET", &items, &headers, "").unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["value"].as_array().unwrap().len()), (200, 1));
    let context = body["@odata.context"].as_str().unwrap();
    assert!(
        context.starts_with(&format!("http://{}/v1.0/", program.address)),
        "{context}"
    );
    assert_eq!(program.send("GET", "/", "", "").unwrap().0, 200);
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_state_file_carries_a_tenant_over_a_clean_stop() {
    let folder = std::env::temp_dir().join(format!("graph-sim-stop-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("tenant");
    let file = file.to_str().unwrap();
    let mut program = Program::start(&["--state", file]);
    let made = program.send(
        "POST",
        "/_sim/lists",
        "",
        r#"{"site": "demo", "displayName": "Kept"}"#,
    );
    assert_eq!(made.unwrap().0, 201);
    assert_eq!(program.stop(), Some(0));
    let program = Program::start(&["--state", file]);
    let (status, body) = program.send("GET", "/_sim/lists/Kept/items", "", "").unwrap();
    assert_eq!(status, 200, "{body}");
    drop(program);
    std::fs::write(file, "graph-sim-state 9 0 0").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_graph-sim"))
        .args(["--listen", "127.0.0.1:0", "--state", file])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && text.contains("reads format 1"),
        "{text}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_control_that_the_page_uses_works_over_http() {
    let program = Program::start(&[]);
    let control = |method: &str, path: &str, body: &str| -> (u16, Value) {
        let origin = format!(
            "Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/json\r\n",
            program.address
        );
        let (status, text) = program
            .send(method, &format!("/_sim/{path}"), &origin, body)
            .unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    };
    for (method, path, body, expected) in [
        (
            "POST",
            "lists",
            r#"{"site": "demo", "displayName": "A & B"}"#,
            201,
        ),
        (
            "PATCH",
            "lists/A%20%26%20B",
            r#"{"displayName": "L", "description": "", "contentApproval": true}"#,
            200,
        ),
        (
            "POST",
            "lists/L/columns",
            r#"{"displayName": "Who", "personOrGroup": {}}"#,
            201,
        ),
        ("PATCH", "lists/L/columns/Who", r#"{"hidden": true}"#, 200),
        ("GET", "lists/L/columns", "", 200),
        (
            "GET",
            "lists/L/columns/Who/targets?limit=30&search=person%201",
            "",
            200,
        ),
        (
            "POST",
            "lists/L/items",
            r#"{"fields": {"Title": "x", "WhoLookupId": 1}, "person": 12}"#,
            201,
        ),
        (
            "POST",
            "lists/L/items/1",
            r#"{"fields": {"Title": "y"}, "person": 12}"#,
            200,
        ),
        ("POST", "lists/L/items/1", r#"{"fields": {"Title": 7}}"#, 400),
        (
            "GET",
            "lists/L/items?limit=50&offset=0&orderby=Title&descending=true",
            "",
            200,
        ),
        ("GET", "lists/L/items/1", "", 200),
        ("POST", "lists/L/items/1/approve", "", 200),
        ("POST", "lists/L/items/1/reject", "", 200),
        ("POST", "lists/L/items/1/unapprove", "", 200),
        ("POST", "lists/L/items/1/hide", "", 200),
        ("POST", "lists/L/items/1/show", "", 200),
        ("POST", "lists/L/items/1/attach", "", 200),
        ("POST", "lists/L/items/1/detach", "", 200),
        ("DELETE", "lists/L/items/1", "", 204),
        ("GET", "lists/L/recycle-bin", "", 200),
        ("POST", "lists/L/recycle-bin/1/restore", "", 200),
        ("DELETE", "lists/L/items/1", "", 204),
        ("DELETE", "lists/L/recycle-bin/1", "", 204),
        ("DELETE", "lists/L/columns/Who", "", 204),
        ("POST", "faults", r#"{"kind": "throttle", "on": ["patch"]}"#, 201),
        ("GET", "faults", "", 200),
        ("DELETE", "faults/0", "", 204),
        ("DELETE", "faults", "", 204),
        ("GET", "permissions", "", 200),
        (
            "PUT",
            "permissions",
            r#"{"clients": {"sim-client": "fullcontrol"}}"#,
            200,
        ),
        ("GET", "ru", "", 200),
        ("POST", "ru/reset", "", 204),
        ("GET", "quotas", "", 200),
        ("GET", "requests?limit=200", "", 200),
    ] {
        let (status, answer) = control(method, path, body);
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    let state = control("GET", "state", "").1;
    assert_eq!(state["clients"][0]["role"], "fullcontrol");
    let id = state["sites"][1]["lists"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(control("DELETE", &format!("lists/{id}"), "").0, 204);
    assert_eq!(control("GET", "recycle-bin", "").1["lists"][0]["id"], id.as_str());
    let restored = control(
        "POST",
        &format!("recycle-bin/{id}/restore"),
        r#"{"writesBack": 1}"#,
    );
    assert_eq!(restored.0, 200);
    control("DELETE", &format!("lists/{id}"), "");
    assert_eq!(control("DELETE", &format!("recycle-bin/{id}"), "").0, 204);
    assert_eq!(
        control("GET", "ru", "").1["ru"],
        0,
        "people cost the application nothing"
    );
}

#[test]
fn a_held_request_takes_effect_although_its_client_is_gone() {
    let program = Program::start(&["--client", "c:s", "--fault", "hang,on=create,millis=300"]);
    let headers = program.token();
    program
        .send("POST", LISTS, &headers, r#"{"displayName":"L"}"#)
        .unwrap();
    let mut stream = TcpStream::connect(&program.address).unwrap();
    let body = r#"{"fields":{}}"#;
    write!(
        stream,
        "POST {LISTS}/L/items HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .unwrap();
    let control = |path: &str| -> Value {
        serde_json::from_str(&program.send("GET", path, "", "").unwrap().1).unwrap()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let wait_until = |done: &dyn Fn() -> bool, what: &str| {
        while !done() {
            assert!(Instant::now() < deadline, "{what}");
        }
    };
    wait_until(
        &|| control("/_sim/faults")["faults"][0]["hits"] == 1,
        "the request never arrived",
    );
    drop(stream);
    let landed = || control("/_sim/lists/L/items")["count"] == 1;
    wait_until(&landed, "the held request never took effect");
}

#[test]
fn wrong_arguments_say_what_is_wrong() {
    for (arguments, part) in [
        (&["--fault", "explode"][..], "unknown variant"),
        (&["--client", "nosecret"], "ID:SECRET"),
        (&["--client-certificate", "nofile"], "ID=FILE"),
        (&["--client-certificate", "a=/nowhere/c.pem"], "/nowhere/c.pem"),
        (
            &["--federated-credential", "client=a,issuer=b,subject=c"],
            "'key' is missing",
        ),
        (&["--federated-credential", "client=a,who=b"], "'who'"),
        (&["--site-time-zone", "Moon/Crater"], "Moon/Crater"),
        (&["--quota", "round"], "fixed"),
        (&["--behaviour", "{\"speed\": 1}"], "unknown field"),
        (&["--site", "a", "--site", "a"], "unique"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_graph-sim"))
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && text.contains(part),
            "{arguments:?}: {text}"
        );
    }
}
