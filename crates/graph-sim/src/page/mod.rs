//! The page at `/` for people: sites and lists, items as a grid, usage, requests, faults. Everything it does goes
//! through the controls under `/_sim/`, as a person's act.

use bytes::Bytes;

use crate::message::{Headers, Method, Response};

const INDEX: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
/// One script of our own; what comes from lists becomes text nodes only.
const SCRIPT: &str = concat!(
    include_str!("dom.js"),
    include_str!("zone.js"),
    include_str!("fields.js"),
    include_str!("list.js"),
    include_str!("tenant.js"),
    include_str!("main.js"),
);

/// The page loads nothing but its own two files, runs nothing else, and cannot be framed.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, or one of its two files; `None` for any other path.
pub(crate) fn response(method: Method, path: &str) -> Option<Response> {
    let (kind, text) = match path {
        "/" => ("text/html; charset=utf-8", INDEX),
        "/page.css" => ("text/css; charset=utf-8", STYLE),
        "/page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return None,
    };
    let mut headers = Headers::new();
    if method != Method::Get {
        return Some(Response {
            status: 405,
            headers,
            body: Bytes::new(),
        });
    }
    headers.push("Content-Type", kind);
    headers.push("Cache-Control", "no-store");
    headers.push("X-Content-Type-Options", "nosniff");
    headers.push("Referrer-Policy", "no-referrer");
    headers.push("Content-Security-Policy", POLICY);
    Some(Response {
        status: 200,
        headers,
        body: Bytes::from_static(text.as_bytes()),
    })
}
