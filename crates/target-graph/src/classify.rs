//! Every error the service answers, classified once (contract §11): how far it reaches, whether a write may have
//! happened all the same, and what a person does about it.
//!
//! Texts of the service never become part of a failure: they may quote a cell. Codes decide; wording is looked at
//! only where the contract says that the code is useless.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value as Json;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::receipt::{Receipt, Refusal};

use crate::codes;
use crate::transport::HttpResponse;

/// What was asked, as far as it changes the meaning of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Finding sites and lists.
    Discovery,
    /// Making or changing lists and columns.
    Schema,
    /// Reading a list's columns, or the list itself.
    List,
    /// Reading many items.
    Items,
    /// Reading one item.
    Item,
    /// Making an item.
    CreateItem,
    /// Changing or deleting an item.
    WriteItem,
    /// A batch as a whole.
    Batch,
}

/// What an error means for the request that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The item had moved on.
    Precondition,
    /// The item is not there.
    Gone,
    /// A unique value is taken.
    Duplicate,
    /// Not done; not before this long.
    Throttled(Duration),
    /// Not done, and the same request will meet the same answer.
    Refused,
    /// A write may have been done; a read may simply be asked again.
    Ambiguous,
}

/// An error and what it means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Classified {
    pub(crate) meaning: Meaning,
    pub(crate) failure: Failure,
}

impl Classified {
    /// The receipt of a write that met this error.
    pub(crate) fn receipt(self) -> Receipt {
        let refusal = match self.meaning {
            Meaning::Precondition => Refusal::Precondition,
            Meaning::Gone => Refusal::Gone,
            Meaning::Duplicate => Refusal::Duplicate(self.failure),
            Meaning::Throttled(wait) => Refusal::Throttled(wait),
            Meaning::Refused => Refusal::Failed(self.failure),
            Meaning::Ambiguous => {
                return Receipt::Unknown {
                    failure: self.failure,
                };
            }
        };
        Receipt::Refused { refusal }
    }

    /// Whether asking again, later, may help a read.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.meaning, Meaning::Throttled(_) | Meaning::Ambiguous)
    }
}

/// The parts of an error body that matter. Codes are the outer one and all nested ones.
struct Envelope {
    /// Whether the body is Graph's own account of an error, and not some page of whoever stands in between.
    of_graph: bool,
    codes: Vec<String>,
    message: String,
    request_id: Option<String>,
}

impl Envelope {
    fn of(answer: &HttpResponse) -> Self {
        let mut envelope = Self {
            of_graph: false,
            codes: Vec::new(),
            message: String::new(),
            request_id: request_id(answer),
        };
        let Ok(body) = serde_json::from_slice::<Json>(&answer.body) else {
            // Not JSON: a gateway's page. Its wording still tells a unique violation of the older interface.
            envelope.message =
                String::from_utf8_lossy(&answer.body[..answer.body.len().min(2_048)]).into_owned();
            return envelope;
        };
        let mut level = body.get("error");
        envelope.of_graph = level.is_some_and(Json::is_object);
        // Bounded: nesting comes from outside.
        for _ in 0..8 {
            let Some(error) = level else { break };
            if let Some(code) = error.get("code").and_then(Json::as_str) {
                envelope.codes.push(code.to_owned());
            }
            if let Some(message) = error.get("message").and_then(Json::as_str) {
                envelope.message.push_str(message);
                envelope.message.push('\n');
            }
            if envelope.request_id.is_none() {
                envelope.request_id = error.get("request-id").and_then(Json::as_str).and_then(clean_id);
            }
            level = error.get("innerError").or_else(|| error.get("innererror"));
        }
        envelope
    }

    fn has(&self, codes: &[&str]) -> bool {
        self.codes
            .iter()
            .any(|code| codes.iter().any(|known| known.eq_ignore_ascii_case(code)))
    }

    /// The outer code, if it looks like one.
    fn shown_code(&self) -> String {
        match self.codes.first() {
            Some(code)
                if code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
            {
                format!(" ({code})")
            }
            _ => String::new(),
        }
    }

    fn says(&self, words: &str) -> bool {
        self.message.to_ascii_lowercase().contains(words)
    }

    fn unique_violation(&self) -> bool {
        self.says("duplicate values were found")
            || self.says("spduplicatevaluesfoundexception")
            || self.says("-2130575169")
    }

    fn over_threshold(&self) -> bool {
        self.says("list view threshold") || self.says("spquerythrottledexception")
    }

    /// The one of our columns that the message names, quoted, bracketed or as a word of its own.
    fn column<'a>(&self, ours: &'a BTreeSet<String>) -> Option<&'a String> {
        let words: BTreeSet<&str> = self
            .message
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|word| !word.is_empty())
            .collect();
        let mut named = ours.iter().filter(|column| words.contains(column.as_str()));
        match (named.next(), named.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}

/// Graph's `request-id` in an answer's headers, if it looks like one.
pub(crate) fn request_id(answer: &HttpResponse) -> Option<String> {
    answer.header("request-id").and_then(clean_id)
}

fn clean_id(text: &str) -> Option<String> {
    let plain =
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain.then(|| text.to_owned())
}

/// Classifies an answer that is no success. `pause` is what its headers ask for, `asked` whether they name a wait,
/// `ours` the internal names of the columns we write.
pub(crate) fn classify(
    endpoint: Endpoint,
    answer: &HttpResponse,
    pause: Duration,
    asked: bool,
    ours: &BTreeSet<String>,
) -> Classified {
    let envelope = Envelope::of(answer);
    let wait = asked.then_some(pause);
    let classified = match answer.status {
        // Whatever the status: this never clears by waiting, and says nothing about a row.
        400.. if envelope.over_threshold() => over_threshold(),
        // A page of something in between is no word about a row or an item; else one proxy that is set up wrongly
        // would fill the quarantine, or make items look deleted.
        400 | 404 | 410 | 422 if !envelope.of_graph && !envelope.unique_violation() => foreign_page(endpoint),
        400 | 412 if envelope.has(&["malformedEntityTag"]) => refused(
            Scope::List,
            codes::PROTOCOL,
            "Graph did not understand the version in the request",
            REPORT,
        ),
        400 => bad_request(endpoint, &envelope, ours),
        401 => unauthorized(),
        403 => forbidden(endpoint, &envelope),
        404 => not_found(endpoint, &envelope),
        405 | 406 | 411 | 415 => refused(
            Scope::List,
            codes::PROTOCOL,
            "Graph did not understand the request",
            REPORT,
        ),
        408 => ambiguous(
            Scope::Outage,
            codes::GATEWAY,
            "Graph gave up waiting for the request",
            WAIT,
        ),
        409 => conflict(endpoint, &envelope, ours),
        410 => gone(endpoint),
        412 => precondition(),
        413 => refused(
            Scope::Row,
            codes::TOO_LARGE,
            "Graph refused the request as too large",
            SHORTEN,
        ),
        422 => refused(
            Scope::Row,
            codes::UNPROCESSABLE,
            "Graph understood the values and refused them",
            COMPARE,
        ),
        423 => locked(),
        424 => refused(
            Scope::Outage,
            codes::DEPENDENCY,
            "a request this one depended on failed",
            WAIT,
        ),
        429 => throttled(pause),
        500 if envelope.unique_violation() => duplicate(&envelope, ours),
        500 => ambiguous(Scope::Outage, codes::SERVER, "Graph failed inside", WAIT),
        502 | 504 => ambiguous(
            Scope::Outage,
            codes::GATEWAY,
            "a gateway in front of Graph gave up",
            WAIT,
        ),
        503 if asked || envelope.has(&THROTTLE_CODES) => throttled(pause),
        503 => ambiguous(Scope::Outage, codes::UNAVAILABLE, "Graph is not available", WAIT),
        // Refused for good until somebody makes room: repeating it would only spend.
        507 => refused(
            Scope::List,
            codes::STORAGE,
            "the site's storage is full",
            "free or buy storage for the site, then resume",
        ),
        509 => ambiguous(
            Scope::Tenant,
            codes::BANDWIDTH,
            "the tenant's bandwidth is used up",
            WAIT,
        ),
        300..=399 => refused(
            Scope::Tenant,
            codes::PROTOCOL,
            "the service answered with a redirect, and redirects are not followed",
            "check the connection's cloud, or a proxy in between",
        ),
        status if (500..600).contains(&status) => {
            ambiguous(Scope::Outage, codes::SERVER, "Graph failed inside", WAIT)
        }
        status if (400..500).contains(&status) => {
            refused(Scope::Row, codes::INVALID, "Graph refused the request", COMPARE)
        }
        _ => ambiguous(
            Scope::Outage,
            codes::ANSWER_UNREADABLE,
            "Graph gave an answer it never gives",
            REPORT,
        ),
    };
    let Classified { meaning, mut failure } = classified;
    failure.cause = format!(
        "{} (HTTP {}{})",
        failure.cause,
        answer.status,
        envelope.shown_code()
    );
    Classified {
        meaning,
        failure: failure.request_id(envelope.request_id).retry_after(wait),
    }
}

/// Codes of a service that is too busy for us, whatever the status.
const THROTTLE_CODES: [&str; 4] = [
    "activityLimitReached",
    "TooManyRequests",
    "throttledRequest",
    "ApplicationThrottled",
];
const REPORT: &str = "report it with the request-id; it is a defect of SyncBridge or of a proxy in between";
const WAIT: &str = "nothing to do: it is tried again; if it stays, look at the Microsoft 365 service health";
const COMPARE: &str = "compare the row's values with the column's settings in the list, then retry the row";
const BISECT: &str = "compare the row's values with the settings of each column in the list; half of the columns taken out of \
                      the mapping tells in which half the reason is; then retry the row";
const SHORTEN: &str = "shorten the row's longest texts or map fewer of them, then retry the row";

fn refused(scope: Scope, code: &str, cause: &str, fix: &str) -> Classified {
    Classified {
        meaning: Meaning::Refused,
        failure: Failure::new(scope, code, cause, fix),
    }
}

fn ambiguous(scope: Scope, code: &str, cause: &str, fix: &str) -> Classified {
    Classified {
        meaning: Meaning::Ambiguous,
        failure: Failure::new(scope, code, cause, fix),
    }
}

fn throttled(pause: Duration) -> Classified {
    let failure = Failure::new(
        Scope::Tenant,
        codes::THROTTLED,
        "Graph asked us to slow down",
        "nothing to do: it goes on by itself; lower the budget if other apps of the tenant suffer",
    );
    Classified {
        meaning: Meaning::Throttled(pause),
        failure,
    }
}

/// 429 on one list again and again, while the rest of the tenant answers (DESIGN §9): not a quota, and no waiting
/// helps.
pub(crate) fn list_throttled() -> Classified {
    refused(
        Scope::List,
        codes::LIST_THROTTLED,
        "Graph keeps telling this one list to slow down while others answer",
        "look whether the list is over a limit (more than 5,000 items without an index, permissions of single items), then run again",
    )
}

fn over_threshold() -> Classified {
    refused(
        Scope::List,
        codes::VIEW_THRESHOLD,
        "the request would look at more of the list than the list view threshold allows",
        "index the columns that are searched, while the list has fewer than 5,000 items; else use a new list",
    )
}

fn foreign_page(endpoint: Endpoint) -> Classified {
    const CAUSE: &str = "the answer is not one of Graph, but of something in between";
    const FIX: &str = "check what stands between this machine and Graph: a proxy, a firewall, a login page";
    match endpoint {
        // Whether it arrived is unknown: a look tells.
        Endpoint::CreateItem | Endpoint::WriteItem => {
            ambiguous(Scope::Outage, codes::ANSWER_UNREADABLE, CAUSE, FIX)
        }
        _ => refused(Scope::Outage, codes::ANSWER_UNREADABLE, CAUSE, FIX),
    }
}

fn precondition() -> Classified {
    let failure = Failure::new(
        Scope::Row,
        codes::PRECONDITION,
        "the item was changed by somebody else in the meantime",
        "nothing to do: it is read again and reconciled",
    );
    Classified {
        meaning: Meaning::Precondition,
        failure,
    }
}

fn duplicate(envelope: &Envelope, ours: &BTreeSet<String>) -> Classified {
    let mut failure = Failure::new(
        Scope::Row,
        codes::DUPLICATE,
        "another item already holds this value in a column of unique values",
        "find the other item in the list and remove it, or lift uniqueness from the column",
    );
    failure.column = envelope.column(ours).cloned();
    Classified {
        meaning: Meaning::Duplicate,
        failure,
    }
}

fn bad_request(endpoint: Endpoint, envelope: &Envelope, ours: &BTreeSet<String>) -> Classified {
    if envelope.unique_violation() {
        return duplicate(envelope, ours);
    }
    let column = envelope.column(ours).cloned();
    let mut classified = if endpoint == Endpoint::Batch {
        refused(
            Scope::List,
            codes::PROTOCOL,
            "Graph did not understand the batch",
            REPORT,
        )
    } else if endpoint == Endpoint::Discovery {
        let fix = "check the site's address; its host must belong to the connection's tenant";
        refused(
            Scope::List,
            codes::BAD_ADDRESS,
            "Graph does not accept the site's address",
            fix,
        )
    } else if envelope.says("sync token is malformed") {
        // Not a token that is too old: going on from the beginning without a word would hide a defect.
        refused(
            Scope::List,
            codes::TOKEN_MALFORMED,
            "Graph does not recognise the kept place in the list's changes",
            REPORT,
        )
    } else if envelope.says("not indexed") {
        let fix = "index the column in the list's settings, then run again";
        refused(
            Scope::List,
            codes::NOT_INDEXED,
            "the list cannot be searched by a column without index",
            fix,
        )
    } else if envelope.says("is not recogni") {
        // Both spellings occur: `recognized` and `recognied`.
        let fix =
            "apply the definition again so that the missing column is made, or remove it from the mapping";
        let scope = if column.is_some() {
            Scope::Column
        } else {
            Scope::List
        };
        refused(
            scope,
            codes::COLUMN_UNKNOWN,
            "the list does not know a column that is mapped",
            fix,
        )
    } else if envelope.has(&["generalException"]) {
        refused(
            Scope::Row,
            codes::REFUSED,
            "Graph refused the values without saying which",
            BISECT,
        )
    } else if matches!(endpoint, Endpoint::Items | Endpoint::List | Endpoint::Schema) {
        refused(
            Scope::List,
            codes::INVALID,
            "Graph did not accept the request",
            REPORT,
        )
    } else {
        refused(Scope::Row, codes::INVALID, "Graph refused the values", COMPARE)
    };
    classified.failure.column = column;
    classified
}

fn unauthorized() -> Classified {
    refused(
        Scope::Tenant,
        codes::UNAUTHORIZED,
        "Graph does not accept the app's token, not even a new one",
        "check that connection, tenant and cloud belong together and that the app registration is enabled",
    )
}

fn forbidden(endpoint: Endpoint, envelope: &Envelope) -> Classified {
    let (scope, cause, fix) = match endpoint {
        Endpoint::Discovery => (
            Scope::Tenant,
            "the app may not read the site",
            "grant it Sites.Selected with a role on this site (or Sites.ReadWrite.All), give admin consent, and try again",
        ),
        Endpoint::Schema => (
            Scope::List,
            "the app may not make lists or columns on this site",
            "grant it Sites.Manage.All, or Sites.Selected with role `manage` or `fullcontrol` on this site; or use an existing list",
        ),
        Endpoint::CreateItem | Endpoint::WriteItem => (
            Scope::List,
            "the app may not write to this list",
            "grant it Sites.ReadWrite.All, or Sites.Selected or Lists.SelectedOperations.Selected with role `write`",
        ),
        Endpoint::List | Endpoint::Items | Endpoint::Item | Endpoint::Batch => (
            Scope::List,
            "the app may not read this list",
            "grant it Sites.Read.All, or Sites.Selected or Lists.SelectedOperations.Selected with role `read` or `write`",
        ),
    };
    // These two speak of the registration and not of one list.
    let scope = if envelope.has(&["Authorization_RequestDenied", "insufficient_claims"]) {
        Scope::Tenant
    } else {
        scope
    };
    refused(scope, codes::FORBIDDEN, cause, fix)
}

fn not_found(endpoint: Endpoint, envelope: &Envelope) -> Classified {
    let list_named = (envelope.says("list") || envelope.says("site")) && !envelope.says("item");
    match endpoint {
        Endpoint::Discovery => refused(
            Scope::List,
            codes::SITE_NOT_FOUND,
            "the site is not there, or the app may not see it",
            "check the site's address and that the app was granted access to it",
        ),
        Endpoint::Item | Endpoint::WriteItem if !list_named => Classified {
            meaning: Meaning::Gone,
            failure: Failure::new(
                Scope::Row,
                codes::ITEM_NOT_FOUND,
                "the item is not in the list any more",
                "nothing to do: the row is looked at again",
            ),
        },
        _ => refused(
            Scope::List,
            codes::LIST_NOT_FOUND,
            "the list is not there, or the app may not see it",
            "restore the list from the site's recycle bin, or apply the definition again to make a new one",
        ),
    }
}

fn conflict(endpoint: Endpoint, envelope: &Envelope, ours: &BTreeSet<String>) -> Classified {
    if envelope.has(&["nameAlreadyExists"]) || envelope.unique_violation() {
        return duplicate(envelope, ours);
    }
    match endpoint {
        // An item that does not exist cannot have moved on; the row is tried again later by its retry schedule.
        Endpoint::CreateItem => refused(
            Scope::Row,
            codes::PRECONDITION,
            "the list was busy with another change",
            WAIT,
        ),
        // `resourceModified`, `entityTagDoesNotMatch`, `Save Conflict` and whatever else: read again and merge.
        _ => precondition(),
    }
}

fn gone(endpoint: Endpoint) -> Classified {
    match endpoint {
        Endpoint::Item | Endpoint::WriteItem => not_found(Endpoint::Item, &Envelope::empty()),
        _ => refused(
            Scope::List,
            codes::RESYNC,
            "the place in the list from which to go on is no longer kept by the service",
            "nothing to do: the list is read from its beginning",
        ),
    }
}

fn locked() -> Classified {
    refused(
        Scope::List,
        codes::LOCKED,
        "the site or list is locked, archived or read-only",
        "unlock the site in the SharePoint admin centre, then resume",
    )
}

impl Envelope {
    fn empty() -> Self {
        Self {
            of_graph: true,
            codes: Vec::new(),
            message: String::new(),
            request_id: None,
        }
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
