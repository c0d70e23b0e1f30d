//! Stable codes of this crate's failures; each has a page in `docs/errors/`.

/// An address outside the egress rules.
pub const EGRESS_DENIED: &str = "graph.egress_denied";
/// A private authority's text holds no certificate.
pub const AUTHORITY_UNREADABLE: &str = "graph.authority_unreadable";
/// Host name, connection or TLS failed before anything was sent.
pub const UNREACHABLE: &str = "graph.unreachable";
/// No answer although the request may have arrived.
pub const NO_ANSWER: &str = "graph.no_answer";
/// The answer is larger than its bound.
pub const ANSWER_TOO_LARGE: &str = "graph.answer_too_large";
/// The answer is not what the contract says.
pub const ANSWER_UNREADABLE: &str = "graph.answer_unreadable";
/// A link in an answer leads elsewhere.
pub const FOREIGN_LINK: &str = "graph.foreign_link";
/// The deadline passed before the request was sent.
pub const DEADLINE: &str = syncbridge_domain::receipt::DEADLINE_PASSED;
/// The request was not even tried: it breaks a rule of ours.
pub const NOT_ATTEMPTED: &str = "graph.not_attempted";
/// The client secret is wrong.
pub const BAD_SECRET: &str = "auth.client_secret_wrong";
/// The client secret has expired.
pub const EXPIRED_SECRET: &str = "auth.client_secret_expired";
/// The certificate's text is none.
pub const CERTIFICATE_UNREADABLE: &str = "auth.certificate_unreadable";
/// The certificate is not valid yet.
pub const CERTIFICATE_EARLY: &str = "auth.certificate_not_yet_valid";
/// The certificate is not valid any more.
pub const CERTIFICATE_EXPIRED: &str = "auth.certificate_expired";
/// The authority does not know the certificate, or not for this app.
pub const CERTIFICATE_UNKNOWN: &str = "auth.certificate_not_registered";
/// The private key's text is none, or of a kind that is not taken.
pub const KEY_UNREADABLE: &str = "auth.key_unreadable";
/// The private key wants a passphrase.
pub const KEY_ENCRYPTED: &str = "auth.key_encrypted";
/// The private key belongs to another certificate.
pub const KEY_MISMATCH: &str = "auth.key_mismatch";
/// An assertion outside its time, by the authority's clock.
pub const ASSERTION_TIME: &str = "auth.assertion_time";
/// No federated credential of the app fits the assertion.
pub const FEDERATION_MISMATCH: &str = "auth.federation_mismatch";
/// The machine has no such identity.
pub const IDENTITY_MISSING: &str = "auth.identity_missing";
/// No identity service on this machine.
pub const IDENTITY_UNREACHABLE: &str = "auth.identity_service_unreachable";
/// The tenant does not exist.
pub const UNKNOWN_TENANT: &str = "auth.tenant_unknown";
/// The app registration does not exist in the tenant.
pub const UNKNOWN_CLIENT: &str = "auth.client_unknown";
/// The token endpoint refused for another reason.
pub const TOKEN_REFUSED: &str = "auth.token_refused";
/// Graph does not accept a fresh token.
pub const UNAUTHORIZED: &str = "auth.token_not_accepted";
/// The app lacks a permission.
pub const FORBIDDEN: &str = "graph.forbidden";
/// The site is not there, or not for us.
pub const SITE_NOT_FOUND: &str = "graph.site_not_found";
/// The list is not there, or not for us.
pub const LIST_NOT_FOUND: &str = "graph.list_not_found";
/// The item is not there.
pub const ITEM_NOT_FOUND: &str = "graph.item_not_found";
/// The service did not understand the request: a defect of ours.
pub const PROTOCOL: &str = "graph.protocol";
/// The service refused the values.
pub const INVALID: &str = "graph.invalid_request";
/// The service refused without saying why.
pub const REFUSED: &str = "graph.general_exception";
/// A filter or sort names a column without index.
pub const NOT_INDEXED: &str = "graph.column_not_indexed";
/// The list does not know a column.
pub const COLUMN_UNKNOWN: &str = "graph.column_unknown";
/// The item had moved on.
pub const PRECONDITION: &str = "graph.precondition";
/// A unique value is taken.
pub const DUPLICATE: &str = "graph.duplicate";
/// A change token is no longer served.
pub const RESYNC: &str = "graph.resync";
/// Too large to be accepted.
pub const TOO_LARGE: &str = "graph.too_large";
/// Understood and refused for good.
pub const UNPROCESSABLE: &str = "graph.unprocessable";
/// The site or list is locked, archived or read-only.
pub const LOCKED: &str = "graph.locked";
/// A request it depended on failed.
pub const DEPENDENCY: &str = "graph.dependency_failed";
/// Too many requests.
pub const THROTTLED: &str = "graph.throttled";
/// Too many requests, for one list alone and without end.
pub const LIST_THROTTLED: &str = "graph.list_throttled";
/// More of the list would be looked at than the service allows.
pub const VIEW_THRESHOLD: &str = "graph.list_view_threshold";
/// A change token that the service never gave.
pub const TOKEN_MALFORMED: &str = "graph.sync_token_malformed";
/// The service failed inside.
pub const SERVER: &str = "graph.server_error";
/// A gateway gave up waiting.
pub const GATEWAY: &str = "graph.gateway";
/// The service is not available.
pub const UNAVAILABLE: &str = "graph.unavailable";
/// The site's storage is full.
pub const STORAGE: &str = "graph.storage_full";
/// The tenant's bandwidth is used up.
pub const BANDWIDTH: &str = "graph.bandwidth";
/// An existing list does not fit the mapping.
pub const COLUMNS_DIFFER: &str = "list.columns_differ";
/// A list takes no further index.
pub const NO_INDEX: &str = "list.no_index";
/// People's list cannot tell its items apart.
pub const NO_IDENTITY: &str = "list.no_identity";
/// A choice column does not hold the text, and is not to grow.
pub const CHOICE_FIXED: &str = "graph.choice_fixed";
/// An existing list is not a plain list.
pub const NOT_A_LIST: &str = "list.wrong_template";
/// The address names no site or list.
pub const BAD_ADDRESS: &str = "site.address_malformed";
/// A list that was just made does not answer yet.
pub const NOT_READY: &str = "list.not_ready";
/// The days of a site fit no single time zone.
pub const TIME_ZONE_UNKNOWN: &str = "site.time_zone_unknown";
