//! The page at `/` for people: lists as tables, spent units, recent requests, faults.

use bytes::Bytes;

use crate::message::{Headers, Method, Response};

/// Everything the page is; it loads nothing from elsewhere and writes values as text only.
const PAGE: &str = include_str!("page.html");

pub(crate) fn response(method: Method) -> Response {
    let mut headers = Headers::new();
    if method != Method::Get {
        return Response {
            status: 405,
            headers,
            body: Bytes::new(),
        };
    }
    headers.push("Content-Type", "text/html; charset=utf-8");
    headers.push("Cache-Control", "no-store");
    headers.push("X-Content-Type-Options", "nosniff");
    headers.push(
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    Response {
        status: 200,
        headers,
        body: Bytes::from_static(PAGE.as_bytes()),
    }
}
