//! A simulator of Microsoft Graph lists: a core without input or output, an HTTP shell around it, a binary.
//!
//! [`Tenant::handle`] takes a [`Request`] and the time and gives an [`Answer`]. It has no clock, no sockets, no
//! threads and no randomness but the seed's: equal options, requests and times give equal answers. An answer says
//! what becomes of it ([`Fate`]: delivered, lost with its connection, or held back until
//! [`Tenant::resume`]) and how long it takes. [`server`] adds sockets and the wall clock.
//!
//! # What is simulated
//! Tokens at `/{tenant}/oauth2/v2.0/token`, by client secret, by an assertion signed with a registered certificate
//! or by another issuer's token, each checked as the directory does (numbers of refusals included); a machine's
//! identities at `/metadata/identity/oauth2/token`; the directory's metadata and instance discovery; under `/v1.0` sites, lists of the template
//! `genericList`, columns, items with versions, pages, `$filter` and `$orderby` on indexed columns,
//! `items/delta`, `$batch`. Not simulated: other templates, content types, attachments, views, permissions
//! through Graph, webhooks, files, the evaluation of formulas. Asking for something else is an error that says so.
//!
//! Behaviours without good public evidence are in [`Behaviour`], each with its likeliest reading as default.
//!
//! # Resource units
//! 1: one site, list, column, item, fields, version; delta with a token (`latest` included); unknown paths. 2: a
//! collection, a list with `$expand`, every create, change and delete, delta without a token. 0: tokens, the batch
//! itself. Refused and throttled requests cost the same; one that a `lost_before` fault cuts costs nothing. The
//! why-tag is the first byte of a `client-request-id` that is a version-8 UUID (1 `first_write`, 2 `change`,
//! 3 `probe`, 4 `precondition_retry`, 5 `fault_retry`, 6 `delta`, 7 `scan`, 8 `verify`, 9 `provision`; else
//! `untagged`); each request of a batch has its own.
//!
//! # Fault rules
//! A rule is a JSON object, or on the command line also `kind,key=value,…` with lists separated by `|` (a value
//! with a comma needs the JSON form):
//!
//! | key | meaning |
//! |---|---|
//! | `kind` | `lost_answer`, `lost_before`, `server_error`, `throttle`, `refuse`, `hang`, `new_list_not_found`, `precondition`, `resync`, `delta_duplicate`, `unauthorized` |
//! | `on` | kinds of request ([`Operation::name`]), groups `any`, `read`, `write` (items), methods; absent: everything but `batch` and `token` |
//! | `list` | display name or id |
//! | `field`, with `equals`, `in`, `one_in` | the value in the request, or else the stored one; `one_in` picks values by their hash |
//! | `probability`, `every`, `after`, `times` | how often; all that are given must agree |
//! | `status`, `code`, `message` | of the answer; for `lost_answer` a status in place of the cut |
//! | `body` | `json`, `html`, `empty` for `server_error` |
//! | `applied` | `server_error`: the effect happens; `hang`: it happens before the wait instead of after it |
//! | `retry_after` | seconds (also decimal), `date:SECONDS`, `missing` |
//! | `millis` | `hang`, `new_list_not_found` |
//! | `without_location` | `resync` |
//!
//! The first rule that strikes wins. Inside a batch a lost connection shows as status 504 of that part;
//! `on: ["batch"]` strikes the whole: `lost_answer` then lets every part take effect and cuts the connection.
//! `hang` without `applied` holds back whole requests only, never parts.
//!
//! # Controls
//! Under `/_sim/`, JSON, without token and cost: what the service was asked, faults, permissions, and everything
//! that people do in lists (items, columns, approval, permissions of single items, recycle bin). The table of all
//! of them is at the head of `src/control.rs`.

mod assertion;
mod batch;
mod builtin;
mod cell;
mod column;
mod columns;
mod control;
mod credential;
mod delta;
mod exchange;
mod facet;
mod fault;
mod filter;
mod flow;
mod guid;
mod identity;
mod items;
mod list;
mod message;
mod object;
mod options;
mod page;
mod pages;
mod permission;
mod person;
mod query;
mod quota;
mod random;
mod raw;
pub mod record;
mod recycle;
mod reply;
mod route;
pub mod server;
mod show;
mod site;
mod sites;
mod state;
pub mod state_file;
mod strike;
mod tenant;
pub mod tls;
mod token;
mod typing;
mod usage;
mod visibility;

pub use credential::{ClientCertificate, FederatedCredential};
pub use fault::{FaultKind, FaultRule};
pub use guid::Guid;
pub use message::{Answer, Fate, Headers, Method, Request, Response};
pub use options::{
    Behaviour, Client, HiddenFilter, LookupOverflow, Options, Profile, QuotaModel, Role, UnseenInDelta,
};
pub use quota::Limits;
pub use route::Operation;
pub use state::StateError;
pub use tenant::Tenant;
