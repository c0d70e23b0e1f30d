//! A request to Graph before it is dressed for the wire, and how paths and queries are spelt.

use std::fmt::Write as _;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use syncbridge_domain::quota::{Ru, WhyTag};

use crate::classify::Endpoint;
use crate::transport::Method;

/// The most bytes of an answer that carries many items.
pub(crate) const PAGE_BYTES: usize = 16 << 20;
/// The most bytes of any other answer.
pub(crate) const ANSWER_BYTES: usize = 2 << 20;

/// Everything but unreserved characters, so that an id can never leave its place in a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// In a query value the characters of nested options stay readable.
const QUERY: &AsciiSet = &SEGMENT
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b',')
    .remove(b'/')
    .remove(b'=');

/// An id or name as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    // A lone dot or two would be taken for a place in the folder tree.
    if text.bytes().all(|byte| byte == b'.') {
        return text.replace('.', "%2E");
    }
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A value of a query option.
pub(crate) fn query_value(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// A text literal of a filter.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Query options, appended to a path.
pub(crate) fn with_query(path: &str, options: &[(&str, &str)]) -> String {
    let mut url = path.to_owned();
    for (index, (name, value)) in options.iter().enumerate() {
        let mark = if index == 0 { '?' } else { '&' };
        // Writing to a String cannot fail.
        let _ = write!(url, "{mark}{name}={}", query_value(value));
    }
    url
}

/// Where a request goes.
#[derive(Clone)]
pub(crate) enum Address {
    /// Below the API version; begins with `/`.
    Path(String),
    /// A link of an answer, followed verbatim once its origin was judged.
    Link(String),
}

/// One request to Graph.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) address: Address,
    /// The path with names for what varies, for traces; the number of an item may stand in it.
    pub(crate) template: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) body: Option<Bytes>,
    pub(crate) if_match: Option<String>,
    pub(crate) why: WhyTag,
    /// What it costs by reason; for a batch, what its parts cost.
    pub(crate) cost: Vec<(WhyTag, Ru)>,
    pub(crate) max_answer: usize,
}

impl Call {
    pub(crate) fn get(
        path: String,
        template: impl Into<String>,
        endpoint: Endpoint,
        why: WhyTag,
        ru: Ru,
    ) -> Self {
        Self {
            method: Method::Get,
            address: Address::Path(path),
            template: template.into(),
            endpoint,
            body: None,
            if_match: None,
            why,
            cost: vec![(why, ru)],
            max_answer: ANSWER_BYTES,
        }
    }

    pub(crate) fn write(
        method: Method,
        path: String,
        template: impl Into<String>,
        endpoint: Endpoint,
        why: WhyTag,
        body: Option<&Json>,
    ) -> Self {
        Self {
            method,
            body: body.map(|body| Bytes::from(body.to_string())),
            ..Self::get(path, template, endpoint, why, Ru::WRITE)
        }
    }

    pub(crate) fn link(mut self, link: &str) -> Self {
        self.address = Address::Link(link.to_owned());
        self
    }

    pub(crate) fn page(mut self) -> Self {
        self.max_answer = PAGE_BYTES;
        self
    }

    pub(crate) fn if_match(mut self, etag: Option<String>) -> Self {
        self.if_match = etag;
        self
    }

    pub(crate) fn ru(&self) -> Ru {
        self.cost.iter().map(|(_, ru)| *ru).sum()
    }

    /// The same request, made again because something failed.
    pub(crate) fn again(mut self) -> Self {
        self.why = WhyTag::FaultRetry;
        self.cost = vec![(WhyTag::FaultRetry, self.ru())];
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_a_path() {
        assert_eq!(segment("host,a-b,c"), "host%2Ca-b%2Cc");
        assert_eq!(segment("../x?y#z/ü"), "..%2Fx%3Fy%23z%2F%C3%BC");
        assert_eq!(segment(".."), "%2E%2E");
    }

    #[test]
    fn a_filter_value_is_escaped_twice_once_for_the_literal_once_for_the_address() {
        let filter = format!("fields/K eq {}", literal("a'b & c"));
        assert_eq!(filter, "fields/K eq 'a''b & c'");
        let url = with_query(
            "/items",
            &[("$filter", &filter), ("$expand", "fields($select=A,B)")],
        );
        assert_eq!(
            url,
            "/items?$filter=fields/K%20eq%20%27a%27%27b%20%26%20c%27&$expand=fields($select=A,B)"
        );
    }
}
