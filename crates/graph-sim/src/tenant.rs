//! The simulated tenant: takes a request and the time, answers it. No clock, no sockets, no threads.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::exchange::Incoming;
use crate::fault::{Fault, FaultRule, Faults};
use crate::flow::Flow;
use crate::guid::Guid;
use crate::list::{Actor, List};
use crate::message::{Answer, Fate, Headers, Request, Response};
use crate::options::Options;
use crate::permission::Permissions;
use crate::query::Query;
use crate::quota::Quotas;
use crate::random::Random;
use crate::recycle::BinnedList;
use crate::reply::{GraphError, Reply};
use crate::route::{Operation, Resource, SiteName};
use crate::show::Show;
use crate::site::Site;
use crate::state::Keeper;
use crate::usage::{Seen, Tag, Usage};

/// An issued token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) client: u16,
    /// Unix seconds.
    pub(crate) expires: i64,
}

/// A whole simulated tenant.
pub struct Tenant {
    pub(crate) options: Options,
    /// The directory's own id.
    pub(crate) directory: Guid,
    pub(crate) sites: Vec<Site>,
    pub(crate) lists: BTreeMap<Guid, List>,
    /// Deleted lists that can be restored.
    pub(crate) binned_lists: BTreeMap<Guid, BinnedList>,
    pub(crate) next_order: u64,
    /// Application ids by their numbers.
    pub(crate) apps: Vec<String>,
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) permissions: Permissions,
    pub(crate) faults: Faults,
    /// What each list's automation does; gone with the process, as the faults are.
    pub(crate) flows: BTreeMap<Guid, Vec<Flow>>,
    pub(crate) usage: Usage,
    pub(crate) quotas: Quotas,
    pub(crate) ids: Random,
    pub(crate) order: Random,
    /// Writes the tenant's state where it is kept; absent where it is not.
    pub(crate) keeper: Option<Keeper>,
    pending: BTreeMap<u64, Request>,
    next_ticket: u64,
}

/// What all parts of a request share.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) client: u16,
    pub(crate) base: &'a str,
    pub(crate) now: DateTime<Utc>,
}

impl Context<'_> {
    /// The application as a writer.
    pub(crate) const fn actor(&self) -> Actor {
        Actor::App(self.client)
    }
}

/// An understood request.
pub(crate) struct Call<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) operation: Operation,
    pub(crate) query: &'a Query,
    pub(crate) headers: &'a Headers,
    pub(crate) body: Option<&'a Value>,
    pub(crate) context: Context<'a>,
    /// The strike of a fault that changes the content of an answer rather than replacing it.
    pub(crate) fault: Option<&'a Fault>,
}

pub(crate) type Outcome = Result<Reply, GraphError>;

impl fmt::Debug for Tenant {
    /// Counts only: tokens, secrets and values stay inside.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("sites", &self.sites.len())
            .field("lists", &self.lists.len())
            .finish_non_exhaustive()
    }
}

/// The ids of all applications, each once: those with a secret first, in their order.
fn applications(options: &Options) -> Result<Vec<String>, String> {
    let clients = options.clients.iter().map(|client| &client.id);
    let certificates = options.certificates.iter().map(|certificate| &certificate.client);
    let federated = options.federated.iter().map(|credential| &credential.client);
    let mut apps: Vec<String> = Vec::new();
    for id in clients
        .chain(certificates)
        .chain(federated)
        .chain(&options.managed_identities)
    {
        if id.is_empty() {
            return Err("a client needs an id".to_owned());
        }
        if !apps.iter().any(|known| known.eq_ignore_ascii_case(id)) {
            apps.push(id.clone());
        }
    }
    Ok(apps)
}

fn list_not_found() -> GraphError {
    GraphError::not_found("The specified list was not found")
}

impl Tenant {
    /// Sets a tenant up.
    ///
    /// # Errors
    /// A text that says which option is wrong (a fault rule, a site twice, no client id).
    pub fn new(options: Options) -> Result<Self, String> {
        let mut ids = Random::stream(options.seed, "ids");
        let mut faults = Faults::new(options.seed);
        faults.set(options.faults.clone())?;
        let mut sites: Vec<Site> = Vec::new();
        if options.sites.iter().any(String::is_empty) {
            return Err("site '': a site needs a name; the root site exists always".to_owned());
        }
        for name in std::iter::once("").chain(options.sites.iter().map(String::as_str)) {
            if name.contains('/') || name.contains(':') || sites.iter().any(|site| site.name == name) {
                return Err(format!(
                    "site '{name}': names must be unique and hold neither '/' nor ':'"
                ));
            }
            let (collection, web) = (ids.guid(), ids.guid());
            sites.push(Site::new(&options.hostname, name, collection, web));
        }
        let apps = applications(&options)?;
        Ok(Self {
            directory: ids.guid(),
            sites,
            lists: BTreeMap::new(),
            binned_lists: BTreeMap::new(),
            next_order: 0,
            apps,
            tokens: BTreeMap::new(),
            permissions: Permissions::default(),
            faults,
            usage: Usage::new(options.remembered_requests),
            quotas: Quotas::new(options.quota, options.licenses),
            order: Random::stream(options.seed, "order"),
            ids,
            flows: BTreeMap::new(),
            keeper: None,
            pending: BTreeMap::new(),
            next_ticket: 1,
            options,
        })
    }

    /// Answers a request that arrives at this time.
    pub fn handle(&mut self, request: Request, now: DateTime<Utc>) -> Answer {
        self.receive(request, now, false)
    }

    /// Lets a held request take effect (see [`Fate::Later`]); `None` if the ticket is unknown or used.
    pub fn resume(&mut self, ticket: u64, now: DateTime<Utc>) -> Option<Answer> {
        let request = self.pending.remove(&ticket)?;
        let mut answer = self.receive(request, now, true);
        answer.delay = Duration::ZERO;
        Some(answer)
    }

    /// Replaces all fault rules; their counters begin anew.
    ///
    /// # Errors
    /// A text that says which rule is wrong; then nothing changes.
    pub fn set_faults(&mut self, rules: Vec<FaultRule>) -> Result<(), String> {
        self.faults.set(rules)
    }

    fn receive(&mut self, request: Request, now: DateTime<Utc>, spared: bool) -> Answer {
        let path = request.path_and_query.split('?').next().unwrap_or_default();
        if let Some(page) = crate::page::response(request.method, path) {
            return Answer::deliver(page);
        }
        if path == "/_sim" || path.starts_with("/_sim/") {
            return Answer::deliver(self.control(&request, now));
        }
        let of_machine = path == crate::identity::MACHINE && !self.options.managed_identities.is_empty();
        if of_machine || path.ends_with("/oauth2/v2.0/token") {
            return self.token_request(&request, path, now);
        }
        if let Some(answer) = self.directory_request(&request, path, now) {
            return answer;
        }
        let Some(target) = request.path_and_query.strip_prefix("/v1.0") else {
            let error = GraphError::new(404, "ResourceNotFound", "Invalid version: use /v1.0.");
            return Answer::deliver(self.finish(error.into_reply(Guid::from_bits(0), None, now), None, now));
        };
        let client_request = request.headers.get("client-request-id");
        let client = match self.authenticate(&request.headers, now) {
            Ok(client) => client,
            Err(error) => {
                let tag = Tag::of(client_request);
                self.remember(now, None, &request, path, 401, tag);
                let id = self.ids.guid();
                let reply = error.into_reply(id, client_request, now);
                return Answer::deliver(self.finish(reply, client_request, now));
            }
        };
        let base = self.base_url(&request.headers);
        let context = Context {
            client,
            base: &base,
            now,
        };
        if path == "/v1.0/$batch" {
            return self.batch_request(&request, context, spared);
        }
        let incoming = Incoming {
            method: request.method,
            target,
            headers: &request.headers,
            body: json_body(&request.headers, &request.body),
            part: false,
        };
        let exchange = self.exchange(&incoming, context, spared);
        if exchange.held {
            return self.hold(request, exchange.delay);
        }
        let delay = self.options.latency + exchange.delay;
        let response = self.finish(exchange.reply, client_request, now);
        let fate = if exchange.lost {
            Fate::ResetConnection
        } else {
            Fate::Deliver
        };
        Answer {
            response,
            fate,
            delay,
        }
    }

    fn remember(
        &mut self,
        now: DateTime<Utc>,
        client: Option<u16>,
        request: &Request,
        path: &str,
        status: u16,
        tag: Tag,
    ) {
        self.usage.record(Seen {
            time: now,
            client,
            method: request.method.name(),
            path: crate::usage::shortened(path),
            status,
            operation: Operation::Other,
            tag,
            units: 0,
            part: false,
            fault: None,
        });
    }

    /// Keeps a request back until its ticket is given to [`Tenant::resume`].
    pub(crate) fn hold(&mut self, request: Request, delay: Duration) -> Answer {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending.insert(ticket, request);
        let response = Response {
            status: 0,
            headers: Headers::new(),
            body: Bytes::new(),
        };
        Answer {
            response,
            fate: Fate::Later { ticket },
            delay,
        }
    }

    pub(crate) fn base_url(&self, headers: &Headers) -> String {
        if let Some(url) = &self.options.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '[' | ']');
        match headers.get("host") {
            Some(host) if host.len() <= 255 && !host.is_empty() && host.chars().all(allowed) => {
                let scheme = if self.options.secure { "https" } else { "http" };
                format!("{scheme}://{host}")
            }
            _ => "https://graph.microsoft.com".to_owned(),
        }
    }

    /// Adds the headers every answer of the service has.
    pub(crate) fn finish(
        &mut self,
        reply: Reply,
        client_request: Option<&str>,
        now: DateTime<Utc>,
    ) -> Response {
        let mut response = reply.into_response();
        let id = match response.headers.get("request-id") {
            Some(id) => id.to_owned(),
            None => {
                let id = self.ids.guid().to_string();
                response.headers.push("request-id", id.as_str());
                id
            }
        };
        let echoed = client_request.unwrap_or(&id);
        response.headers.push("client-request-id", echoed);
        response
            .headers
            .push("Date", now.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
        let diagnostic = r#"{"ServerInfo":{"DataCenter":"Simulated","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"graph-sim"}}"#;
        response.headers.push("x-ms-ags-diagnostic", diagnostic);
        response
    }

    /// The number of the site that a path names.
    pub(crate) fn find_site(&self, name: &SiteName) -> Result<usize, GraphError> {
        if let SiteName::Path { host, .. } = name
            && !host.eq_ignore_ascii_case(&self.options.hostname)
        {
            return Err(GraphError::invalid("Invalid hostname for this tenancy"));
        }
        let found = self.sites.iter().position(|site| site.is(name));
        found.ok_or_else(|| GraphError::not_found("Requested site could not be found"))
    }

    /// The id of the list that a path names: by id, display name or URL name.
    pub(crate) fn find_list(&self, site: &SiteName, key: &str) -> Result<Guid, GraphError> {
        let site = self.find_site(site)?;
        if let Some(list) = Guid::parse(key).and_then(|id| self.lists.get(&id))
            && list.site == site
        {
            return Ok(list.id);
        }
        let here = self.lists.values().filter(|list| list.site == site);
        let mut named = here.filter(|list| {
            list.display_name.eq_ignore_ascii_case(key) || list.name.eq_ignore_ascii_case(key)
        });
        let list = named.next();
        list.map(|list| list.id).ok_or_else(list_not_found)
    }

    /// The list that the call names.
    pub(crate) fn call_list(&self, call: &Call<'_>) -> Result<&List, GraphError> {
        let (site, key) = call.resource.list().ok_or_else(GraphError::method)?;
        self.list(self.find_list(site, key)?)
    }

    pub(crate) fn list(&self, id: Guid) -> Result<&List, GraphError> {
        self.lists.get(&id).ok_or_else(list_not_found)
    }

    pub(crate) fn list_mut(&mut self, id: Guid) -> Result<&mut List, GraphError> {
        self.lists.get_mut(&id).ok_or_else(list_not_found)
    }

    pub(crate) fn show<'a>(&'a self, list: &'a List, base: &'a str) -> Option<Show<'a>> {
        Some(Show {
            base,
            site: self.sites.get(list.site)?,
            list,
            lists: &self.lists,
            apps: &self.apps,
            behaviour: &self.options.behaviour,
        })
    }

    /// [`Tenant::show`] where the list's site is known to exist, as a typed error otherwise.
    pub(crate) fn showing<'a>(&'a self, list: &'a List, base: &'a str) -> Result<Show<'a>, GraphError> {
        self.show(list, base)
            .ok_or_else(|| GraphError::not_found("Requested site could not be found"))
    }
}

/// The JSON body of a request; a body must say that it is JSON.
pub(crate) fn json_body(headers: &Headers, body: &Bytes) -> Result<Option<Value>, GraphError> {
    if body.is_empty() {
        return Ok(None);
    }
    let kind = headers.get("content-type").unwrap_or_default();
    if !kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
    {
        return Err(GraphError::new(
            415,
            "invalidRequest",
            "The content type of the body must be application/json.",
        ));
    }
    let parsed = serde_json::from_slice(body);
    parsed
        .map(Some)
        .map_err(|_| GraphError::new(400, "BadRequest", "Unable to read JSON request payload."))
}
