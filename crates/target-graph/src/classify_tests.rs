use serde_json::{Value as Json, json};

use syncbridge_domain::receipt::VALUES_REFUSED;

use super::*;
use crate::testing::{error, json_answer};

const PAUSE: Duration = Duration::from_secs(7);

fn ours() -> BTreeSet<String> {
    ["Amount", "Customer", "SyncBridgeKey"].map(str::to_owned).into()
}

fn of(endpoint: Endpoint, status: u16, body: &Json) -> Classified {
    classify(endpoint, &json_answer(status, &[], body), PAUSE, false, &ours())
}

fn raw(status: u16, headers: &[(&str, &str)], body: &'static str, asked: bool) -> Classified {
    let headers = headers
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let answer = HttpResponse {
        status,
        headers,
        body: bytes::Bytes::from_static(body.as_bytes()),
    };
    classify(Endpoint::CreateItem, &answer, PAUSE, asked, &ours())
}

#[test]
fn every_row_of_the_error_table_has_its_meaning_scope_and_code() {
    use Endpoint::{Batch, CreateItem, Discovery, Item, Items, List, Schema, WriteItem};
    use Meaning::{Ambiguous, Duplicate, Gone, Precondition, Refused, Throttled};
    let wording = "The list item could not be added or updated because duplicate values were found in the following \
                   field(s) in the list: [Customer]";
    let threshold = "The attempted operation is prohibited because it exceeds the list view threshold.";
    let not_indexed = "Field 'Amount' cannot be referenced in filter or orderby as it is not indexed. Provide the \
                       'Prefer: HonorNonIndexedQueriesWarningMayFailRandomly' header";
    let rows: Vec<(Endpoint, u16, &str, &str, Meaning, Scope, &str)> = vec![
        (
            CreateItem,
            400,
            "invalidRequest",
            "Invalid request",
            Refused,
            Scope::Row,
            codes::INVALID,
        ),
        (
            WriteItem,
            400,
            "generalException",
            "General exception while processing",
            Refused,
            Scope::Row,
            codes::REFUSED,
        ),
        (
            CreateItem,
            400,
            "invalidRequest",
            "Field 'Amount' is not recognied",
            Refused,
            Scope::Column,
            codes::COLUMN_UNKNOWN,
        ),
        (
            CreateItem,
            400,
            "invalidRequest",
            "Field 'x' is not recognized",
            Refused,
            Scope::List,
            codes::COLUMN_UNKNOWN,
        ),
        (
            CreateItem,
            400,
            "invalidRequest",
            wording,
            Duplicate,
            Scope::Row,
            codes::DUPLICATE,
        ),
        (
            Items,
            400,
            "BadRequest",
            "Invalid filter clause",
            Refused,
            Scope::List,
            codes::INVALID,
        ),
        (
            Items,
            400,
            "invalidRequest",
            not_indexed,
            Refused,
            Scope::List,
            codes::NOT_INDEXED,
        ),
        (
            WriteItem,
            400,
            "propertyNotUpdateable",
            "",
            Refused,
            Scope::Row,
            codes::INVALID,
        ),
        (
            Discovery,
            400,
            "invalidRequest",
            "Invalid hostname for this tenancy",
            Refused,
            Scope::List,
            codes::BAD_ADDRESS,
        ),
        (
            Batch,
            400,
            "BadRequest",
            "Duplicate id",
            Refused,
            Scope::List,
            codes::PROTOCOL,
        ),
        (
            List,
            401,
            "InvalidAuthenticationToken",
            "",
            Refused,
            Scope::Tenant,
            codes::UNAUTHORIZED,
        ),
        (
            CreateItem,
            401,
            "unauthenticated",
            "",
            Refused,
            Scope::Tenant,
            codes::UNAUTHORIZED,
        ),
        (
            CreateItem,
            403,
            "accessDenied",
            "",
            Refused,
            Scope::List,
            codes::FORBIDDEN,
        ),
        (
            Discovery,
            403,
            "accessDenied",
            "",
            Refused,
            Scope::Tenant,
            codes::FORBIDDEN,
        ),
        (
            List,
            403,
            "Authorization_RequestDenied",
            "",
            Refused,
            Scope::Tenant,
            codes::FORBIDDEN,
        ),
        (
            Schema,
            403,
            "accessDenied",
            "",
            Refused,
            Scope::List,
            codes::FORBIDDEN,
        ),
        (
            WriteItem,
            404,
            "itemNotFound",
            "The specified item was not found",
            Gone,
            Scope::Row,
            codes::ITEM_NOT_FOUND,
        ),
        (
            Item,
            404,
            "ResourceNotFound",
            "",
            Gone,
            Scope::Row,
            codes::ITEM_NOT_FOUND,
        ),
        (
            WriteItem,
            404,
            "itemNotFound",
            "The specified list was not found",
            Refused,
            Scope::List,
            codes::LIST_NOT_FOUND,
        ),
        (
            CreateItem,
            404,
            "itemNotFound",
            "",
            Refused,
            Scope::List,
            codes::LIST_NOT_FOUND,
        ),
        (
            Items,
            404,
            "itemNotFound",
            "",
            Refused,
            Scope::List,
            codes::LIST_NOT_FOUND,
        ),
        (
            Discovery,
            404,
            "itemNotFound",
            "",
            Refused,
            Scope::List,
            codes::SITE_NOT_FOUND,
        ),
        (
            WriteItem,
            405,
            "methodNotAllowed",
            "",
            Refused,
            Scope::List,
            codes::PROTOCOL,
        ),
        (WriteItem, 406, "", "", Refused, Scope::List, codes::PROTOCOL),
        (WriteItem, 408, "", "", Ambiguous, Scope::Outage, codes::GATEWAY),
        (WriteItem, 411, "", "", Refused, Scope::List, codes::PROTOCOL),
        (WriteItem, 415, "", "", Refused, Scope::List, codes::PROTOCOL),
        (
            CreateItem,
            409,
            "nameAlreadyExists",
            "",
            Duplicate,
            Scope::Row,
            codes::DUPLICATE,
        ),
        (
            WriteItem,
            409,
            "resourceModified",
            "",
            Precondition,
            Scope::Row,
            codes::PRECONDITION,
        ),
        (
            WriteItem,
            409,
            "generalException",
            "Save Conflict",
            Precondition,
            Scope::Row,
            codes::PRECONDITION,
        ),
        (
            CreateItem,
            409,
            "generalException",
            "Save Conflict",
            Refused,
            Scope::Row,
            codes::PRECONDITION,
        ),
        (WriteItem, 410, "", "", Gone, Scope::Row, codes::ITEM_NOT_FOUND),
        (
            Items,
            410,
            "resyncChangesApplyDifferences",
            "",
            Refused,
            Scope::List,
            codes::RESYNC,
        ),
        (
            WriteItem,
            412,
            "resourceModified",
            "",
            Precondition,
            Scope::Row,
            codes::PRECONDITION,
        ),
        (
            WriteItem,
            412,
            "entityTagDoesNotMatch",
            "",
            Precondition,
            Scope::Row,
            codes::PRECONDITION,
        ),
        (CreateItem, 413, "", "", Refused, Scope::Row, codes::TOO_LARGE),
        (CreateItem, 422, "", "", Refused, Scope::Row, codes::UNPROCESSABLE),
        (
            CreateItem,
            423,
            "resourceLocked",
            "",
            Refused,
            Scope::List,
            codes::LOCKED,
        ),
        (
            CreateItem,
            423,
            "notAllowed",
            "",
            Refused,
            Scope::List,
            codes::LOCKED,
        ),
        (CreateItem, 424, "", "", Refused, Scope::Outage, codes::DEPENDENCY),
        (
            CreateItem,
            429,
            "activityLimitReached",
            "",
            Throttled(PAUSE),
            Scope::Tenant,
            codes::THROTTLED,
        ),
        (
            Items,
            429,
            "throttledRequest",
            "",
            Throttled(PAUSE),
            Scope::Tenant,
            codes::THROTTLED,
        ),
        (
            CreateItem,
            500,
            "generalException",
            "General exception while processing",
            Ambiguous,
            Scope::Outage,
            codes::SERVER,
        ),
        (
            CreateItem,
            500,
            "generalException",
            wording,
            Duplicate,
            Scope::Row,
            codes::DUPLICATE,
        ),
        (
            CreateItem,
            502,
            "UnknownError",
            "",
            Ambiguous,
            Scope::Outage,
            codes::GATEWAY,
        ),
        (
            CreateItem,
            504,
            "UnknownError",
            "",
            Ambiguous,
            Scope::Outage,
            codes::GATEWAY,
        ),
        (
            CreateItem,
            503,
            "serviceNotAvailable",
            "",
            Ambiguous,
            Scope::Outage,
            codes::UNAVAILABLE,
        ),
        (
            CreateItem,
            503,
            "TooManyRequests",
            "",
            Throttled(PAUSE),
            Scope::Tenant,
            codes::THROTTLED,
        ),
        (
            CreateItem,
            507,
            "quotaLimitReached",
            "",
            Refused,
            Scope::List,
            codes::STORAGE,
        ),
        (
            CreateItem,
            509,
            "",
            "",
            Ambiguous,
            Scope::Tenant,
            codes::BANDWIDTH,
        ),
        (CreateItem, 302, "", "", Refused, Scope::Tenant, codes::PROTOCOL),
        (CreateItem, 599, "", "", Ambiguous, Scope::Outage, codes::SERVER),
        (CreateItem, 418, "", "", Refused, Scope::Row, codes::INVALID),
        (
            CreateItem,
            102,
            "",
            "",
            Ambiguous,
            Scope::Outage,
            codes::ANSWER_UNREADABLE,
        ),
        (
            CreateItem,
            400,
            "malformedEntityTag",
            "ETags must be quoted strings",
            Refused,
            Scope::List,
            codes::PROTOCOL,
        ),
        (
            WriteItem,
            412,
            "malformedEntityTag",
            "",
            Refused,
            Scope::List,
            codes::PROTOCOL,
        ),
        (
            Items,
            400,
            "invalidQueryOption",
            "",
            Refused,
            Scope::List,
            codes::INVALID,
        ),
        (
            CreateItem,
            400,
            "invalidRequest",
            "A value without a type name was found and no expected type is available",
            Refused,
            Scope::Row,
            codes::INVALID,
        ),
        (
            Items,
            400,
            "invalidRequest",
            "Provided sync token is malformed",
            Refused,
            Scope::List,
            codes::TOKEN_MALFORMED,
        ),
        (
            Items,
            400,
            "invalidRequest",
            threshold,
            Refused,
            Scope::List,
            codes::VIEW_THRESHOLD,
        ),
        (
            Items,
            429,
            "throttledRequest",
            threshold,
            Refused,
            Scope::List,
            codes::VIEW_THRESHOLD,
        ),
        (
            Items,
            500,
            "generalException",
            "Microsoft.SharePoint.SPQueryThrottledException",
            Refused,
            Scope::List,
            codes::VIEW_THRESHOLD,
        ),
        (
            CreateItem,
            403,
            "insufficient_claims",
            "",
            Refused,
            Scope::Tenant,
            codes::FORBIDDEN,
        ),
        (
            WriteItem,
            403,
            "accessDenied",
            "",
            Refused,
            Scope::List,
            codes::FORBIDDEN,
        ),
        (
            Items,
            403,
            "accessDenied",
            "",
            Refused,
            Scope::List,
            codes::FORBIDDEN,
        ),
        (
            Schema,
            409,
            "generalException",
            "Save Conflict",
            Precondition,
            Scope::Row,
            codes::PRECONDITION,
        ),
        (
            WriteItem,
            409,
            "nameAlreadyExists",
            "",
            Duplicate,
            Scope::Row,
            codes::DUPLICATE,
        ),
        (
            WriteItem,
            409,
            "entityTagDoesNotMatch",
            "",
            Precondition,
            Scope::Row,
            codes::PRECONDITION,
        ),
        (
            Items,
            410,
            "resyncRequired",
            "",
            Refused,
            Scope::List,
            codes::RESYNC,
        ),
        (
            Items,
            410,
            "resyncApplyDifferences",
            "",
            Refused,
            Scope::List,
            codes::RESYNC,
        ),
        (
            Items,
            410,
            "resyncUploadDifferences",
            "",
            Refused,
            Scope::List,
            codes::RESYNC,
        ),
        (
            Items,
            410,
            "resyncChangesUploadDifferences",
            "",
            Refused,
            Scope::List,
            codes::RESYNC,
        ),
        (
            Items,
            410,
            "syncStateNotFound",
            "",
            Refused,
            Scope::List,
            codes::RESYNC,
        ),
        (
            WriteItem,
            429,
            "TooManyRequests",
            "",
            Throttled(PAUSE),
            Scope::Tenant,
            codes::THROTTLED,
        ),
        (
            WriteItem,
            429,
            "ApplicationThrottled",
            "",
            Throttled(PAUSE),
            Scope::Tenant,
            codes::THROTTLED,
        ),
        (
            CreateItem,
            500,
            "InternalServerError",
            "",
            Ambiguous,
            Scope::Outage,
            codes::SERVER,
        ),
        (
            WriteItem,
            507,
            "insufficientStorage",
            "",
            Refused,
            Scope::List,
            codes::STORAGE,
        ),
    ];
    for (endpoint, status, code, message, meaning, scope, ours) in rows {
        let found = of(endpoint, status, &error(code, message));
        let row = format!("{endpoint:?} {status} {code} {message}");
        assert_eq!(
            (found.meaning, found.failure.scope, found.failure.code.as_str()),
            (meaning, scope, ours),
            "{row}"
        );
        assert!(found.failure.request_id.is_some(), "{row}");
        assert!(
            !found.failure.cause.is_empty() && !found.failure.fix.is_empty(),
            "{row}"
        );
    }
}

#[test]
fn bodies_of_gateways_are_html_or_empty_and_the_outcome_is_unknown() {
    for status in [502, 503, 504] {
        for body in ["", "<html><h1>Bad gateway</h1></html>", "\"text\"", "null"] {
            let found = raw(status, &[("request-id", "abc-1")], body, false);
            assert_eq!(found.meaning, Meaning::Ambiguous, "{status} {body}");
            assert_eq!(found.failure.request_id.as_deref(), Some("abc-1"));
        }
    }
    assert_eq!(raw(503, &[], "", true).meaning, Meaning::Throttled(PAUSE));
}

#[test]
fn the_code_of_the_older_interface_tells_a_unique_violation_too() {
    let found = raw(
        500,
        &[],
        "-2130575169, Microsoft.SharePoint.SPDuplicateValuesFoundException",
        false,
    );
    assert_eq!(found.meaning, Meaning::Duplicate);
}

#[test]
fn a_column_is_named_only_if_it_is_ours_and_the_only_one() {
    let column = |message: &str| {
        of(Endpoint::CreateItem, 400, &error("invalidRequest", message))
            .failure
            .column
    };
    assert_eq!(
        column("Invalid value for field 'Amount'").as_deref(),
        Some("Amount")
    );
    assert_eq!(
        column("duplicate values were found in the following field(s) in the list: [Customer]").as_deref(),
        Some("Customer")
    );
    assert_eq!(column("Amount or Customer is wrong"), None);
    assert_eq!(column("Invalid value for field 'Amounts'"), None);
}

#[test]
fn no_text_of_the_service_becomes_part_of_a_failure() {
    let body = error("invalidRequest", "the value 'hunter2' is too long");
    let shown = of(Endpoint::CreateItem, 400, &body).failure.to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    let body = json!({"error": {"code": "code with hunter2", "message": ""}});
    assert!(
        !of(Endpoint::CreateItem, 400, &body)
            .failure
            .to_string()
            .contains("hunter2")
    );
}

#[test]
fn nested_codes_count_and_endless_nesting_does_no_harm() {
    let body = json!({"error": {"code": "conflict", "innererror": {"code": "nameAlreadyExists"}}});
    assert_eq!(of(Endpoint::CreateItem, 409, &body).meaning, Meaning::Duplicate);
    let mut deep = json!({"code": "x"});
    for _ in 0..60 {
        deep = json!({"code": "x", "innerError": deep});
    }
    assert_eq!(
        of(Endpoint::CreateItem, 409, &json!({"error": deep})).meaning,
        Meaning::Refused
    );
}

#[test]
fn a_page_of_something_in_between_says_nothing_about_a_row_or_an_item() {
    for status in [400, 404, 410, 422] {
        for body in [
            "",
            "<html>Bad Request - Invalid URL</html>",
            "\"text\"",
            "null",
            "{\"error\": \"x\"}",
        ] {
            let found = raw(status, &[], body, false);
            assert_eq!(
                (found.meaning, found.failure.scope, found.failure.code.as_str()),
                (Meaning::Ambiguous, Scope::Outage, codes::ANSWER_UNREADABLE),
                "{status} {body}: it fills no quarantine and makes no item look gone"
            );
        }
    }
    let page = HttpResponse {
        status: 404,
        headers: Vec::new(),
        body: bytes::Bytes::from_static(b"<html></html>"),
    };
    for endpoint in [
        Endpoint::Item,
        Endpoint::Items,
        Endpoint::Discovery,
        Endpoint::Batch,
    ] {
        let found = classify(endpoint, &page, PAUSE, false, &ours());
        assert_eq!(
            (found.meaning, found.failure.scope),
            (Meaning::Refused, Scope::Outage),
            "{endpoint:?}"
        );
    }
}

#[test]
fn a_refusal_that_names_no_column_says_how_the_column_is_found() {
    let found = of(
        Endpoint::WriteItem,
        400,
        &error("generalException", "General exception while processing"),
    );
    assert_eq!(found.failure.column, None);
    // The engine looks for the column by this code, and by the others of such answers.
    assert!(VALUES_REFUSED.contains(&found.failure.code.as_str()));
    for (status, code) in [(400, "invalidRequest"), (422, "unprocessableEntity")] {
        let found = of(Endpoint::CreateItem, status, &error(code, "Invalid request"));
        assert!(VALUES_REFUSED.contains(&found.failure.code.as_str()), "{found:?}");
    }
    assert!(
        found.failure.fix.contains("half of the columns"),
        "{}",
        found.failure.fix
    );
}
