//! The page for people.

use serde_json::json;
use syncbridge_graph_sim::{Method, Request, Response};

use crate::harness::Sim;

/// What a hostile list, column or cell would like to be.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>";

fn fetch(sim: &mut Sim, path: &str) -> Response {
    let now = sim.now;
    sim.tenant.handle(Request::new(Method::Get, path), now).response
}

fn body(response: &Response) -> String {
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_never_writes_markup() {
    let mut sim = Sim::new();
    for path in ["/", "/page.css", "/page.js"] {
        let response = fetch(&mut sim, path);
        assert_eq!(response.status, 200, "{path}");
        let policy = response.headers.get("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(response.headers.get("x-content-type-options"), Some("nosniff"));
        let text = body(&response);
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "createContextualFragment",
            "srcdoc",
            "DOMParser",
            "eval(",
            "new Function",
            "javascript:",
            "http://",
            "https://",
            "url(",
            "@import",
            "style=",
            "onclick=",
        ] {
            assert!(!text.contains(forbidden), "{path} uses {forbidden}");
        }
        let now = sim.now;
        let posted = sim.tenant.handle(Request::new(Method::Post, path), now).response;
        assert_eq!(posted.status, 405);
    }
    let index = body(&fetch(&mut sim, "/"));
    assert_eq!(index.matches("src=").count(), 1, "its own script is the only one");
    assert_eq!(index.matches("<script").count(), 1, "and none stands in the page");
}

#[test]
fn hostile_names_and_values_never_become_part_of_the_page() {
    let mut sim = Sim::new();
    let before: Vec<String> = ["/", "/page.js", "/page.css"]
        .iter()
        .map(|path| body(&fetch(&mut sim, path)))
        .collect();
    let column = json!({ "name": "Hostile", "displayName": HOSTILE, "choice": { "choices": [HOSTILE] } });
    let list = sim.list(HOSTILE, json!([column]));
    let id = list.rsplit('/').next().unwrap().to_owned();
    sim.act(
        "POST",
        &format!("lists/{id}/items"),
        json!({ "fields": { "Title": HOSTILE, "Hostile": HOSTILE } }),
    );
    let after: Vec<String> = ["/", "/page.js", "/page.css"]
        .iter()
        .map(|path| body(&fetch(&mut sim, path)))
        .collect();
    assert_eq!(before, after, "the page holds nothing of the tenant");
    // What the tenant holds goes out as JSON that no browser takes for a page.
    for path in [
        "/_sim/state",
        &format!("/_sim/lists/{id}/items"),
        &format!("/_sim/lists/{id}/columns"),
    ] {
        let response = fetch(&mut sim, path);
        assert_eq!(
            response.headers.get("content-type"),
            Some("application/json"),
            "{path}"
        );
        assert_eq!(
            response.headers.get("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert!(
            response
                .json()
                .is_some_and(|json| json.to_string().contains("onerror")),
            "{path}"
        );
    }
    let echoed = fetch(&mut sim, "/_sim/<script>alert(1)</script>");
    assert!(echoed.status == 404 && !body(&echoed).contains("script>"));
}
