//! One request, or one part of a batch, on its way through the service: fault, quota, permission, effect, account.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::fault::{Fault, FaultKind, Subject};
use crate::message::{Headers, Method};
use crate::options::Profile;
use crate::query::Query;
use crate::quota::seconds_up;
use crate::reply::{GraphError, Reply};
use crate::route::{Operation, Resource};
use crate::tenant::{Call, Context, Outcome, Tenant};
use crate::usage::{Seen, Tag};

/// One request or one part of a batch, before it is understood.
pub(crate) struct Incoming<'a> {
    pub(crate) method: Method,
    /// Path and query below `/v1.0`.
    pub(crate) target: &'a str,
    pub(crate) headers: &'a Headers,
    pub(crate) body: Result<Option<Value>, GraphError>,
    pub(crate) part: bool,
}

/// The outcome of one request or part.
pub(crate) struct Exchange {
    pub(crate) reply: Reply,
    /// The answer is lost.
    pub(crate) lost: bool,
    /// Extra delay by a fault.
    pub(crate) delay: Duration,
    /// The request must be tried again after the delay: it was held back.
    pub(crate) held: bool,
}

impl Tenant {
    /// Handles one request or part: fault, quota, permission, effect, account.
    pub(crate) fn exchange(
        &mut self,
        incoming: &Incoming<'_>,
        context: Context<'_>,
        spared: bool,
    ) -> Exchange {
        let (path, raw_query) = incoming.target.split_once('?').unwrap_or((incoming.target, ""));
        let parsed =
            crate::route::resource(path).and_then(|resource| Ok((resource, Query::parse(raw_query)?)));
        let operation = parsed.as_ref().map_or(Operation::Other, |(resource, _)| {
            resource.operation(incoming.method)
        });
        let units = match &parsed {
            Ok((Resource::Delta(_, _, token), query)) => {
                operation.cost(token.is_some() || query.get("token").is_some())
            }
            Ok((Resource::List(..), query)) if query.get("expand").is_some() => operation.cost(false).max(2),
            _ => operation.cost(false),
        };
        let fault = if spared {
            None
        } else {
            self.strike(incoming, operation, parsed.as_ref().ok(), context)
        };
        let kind = fault.as_ref().map(|fault| fault.kind);
        let mut exchange = Exchange {
            reply: Reply::empty(0),
            lost: false,
            delay: Duration::ZERO,
            held: false,
        };
        if let Some(fault) = fault.as_ref().filter(|fault| fault.kind == FaultKind::Hang) {
            exchange.delay = Duration::from_millis(fault.rule.millis);
            if !fault.rule.applied {
                exchange.held = true;
                return exchange;
            }
        }
        let client_request = incoming.headers.get("client-request-id");
        let mut seen = Seen {
            time: context.now,
            client: Some(context.client),
            method: incoming.method.name(),
            path: crate::usage::shortened(path),
            status: 0,
            operation,
            tag: Tag::of(client_request),
            units,
            part: incoming.part,
            fault: kind.map(crate::control::kind_name),
        };
        if kind == Some(FaultKind::LostBefore) {
            // The service never saw it, so it costs nothing.
            seen.units = 0;
            self.usage.record(seen);
            exchange.reply = crate::batch::gateway_timeout();
            exchange.lost = !incoming.part;
            return exchange;
        }
        let outcome = match self.charge(context.client, units, context.now) {
            Some(limited) => Ok(limited),
            None => self.decide(incoming, parsed, operation, context, fault.as_ref()),
        };
        let reply = outcome.unwrap_or_else(|error| {
            let id = self.ids.guid();
            error.into_reply(id, client_request, context.now)
        });
        (exchange.reply, exchange.lost) =
            crate::strike::after(fault.as_ref(), reply, incoming.part, context.now);
        seen.status = exchange.reply.status;
        self.usage.record(seen);
        self.add_rate_headers(&mut exchange.reply, context.client, context.now);
        exchange
    }

    /// What a request comes to once the quota admits it: a fault's answer, or the real one.
    fn decide(
        &mut self,
        incoming: &Incoming<'_>,
        parsed: Result<(Resource, Query), GraphError>,
        operation: Operation,
        context: Context<'_>,
        fault: Option<&Fault>,
    ) -> Outcome {
        if let Some(reply) = fault.and_then(|fault| crate::strike::instead(fault, operation, context.now)) {
            return reply;
        }
        let (resource, query) = parsed?;
        let body = incoming.body.as_ref().map_err(Clone::clone)?;
        let call = Call {
            resource: &resource,
            operation,
            query: &query,
            headers: incoming.headers,
            body: body.as_ref(),
            context,
            fault,
        };
        self.check_permission(&call)?;
        let reply = self.dispatch(&call)?;
        if operation.writes_item() {
            self.usage.written(context.client, operation);
        }
        Ok(reply)
    }

    fn dispatch(&mut self, call: &Call<'_>) -> Outcome {
        match call.operation {
            Operation::Site => self.get_sites(call),
            Operation::Lists => self.get_lists(call),
            Operation::ListCreate => self.create_list(call),
            Operation::ListGet => self.get_list(call),
            Operation::ListUpdate => self.update_list(call),
            Operation::ListDelete => self.delete_list(call),
            Operation::Columns => self.get_columns(call),
            Operation::ColumnCreate => self.create_column(call),
            Operation::ColumnGet => self.get_column(call),
            Operation::ColumnUpdate => self.update_column(call),
            Operation::ColumnDelete => self.delete_column(call),
            Operation::Items => self.get_items(call),
            Operation::ItemGet => self.get_item(call),
            Operation::Versions => self.get_versions(call),
            Operation::Create => self.create_item(call),
            Operation::Patch => self.patch_item(call),
            Operation::Delete => self.delete_item(call),
            Operation::Delta => self.get_delta(call),
            Operation::Token | Operation::Batch | Operation::Other => Err(GraphError::method()),
        }
    }

    fn strike(
        &mut self,
        incoming: &Incoming<'_>,
        operation: Operation,
        parsed: Option<&(Resource, Query)>,
        context: Context<'_>,
    ) -> Option<Fault> {
        if self.faults.rules.is_empty() {
            return None;
        }
        let resource = parsed.map(|(resource, _)| resource);
        let found = resource
            .and_then(Resource::list)
            .and_then(|(site, key)| self.find_list(site, key).ok());
        // Taken out for the moment, because the subject borrows the rest of the tenant.
        let mut faults = self.faults.take();
        let list = found.and_then(|id| self.lists.get(&id));
        let item = list.and_then(|list| list.items.get(&resource?.item()?));
        let body = incoming.body.as_ref().ok().and_then(Option::as_ref);
        let fields = match resource {
            Some(Resource::Fields(..)) => body.and_then(Value::as_object),
            _ => body.and_then(|body| body["fields"].as_object()),
        };
        let stored = |name: &str| -> Option<Value> {
            let (list, item) = (list?, item?);
            let show = self.show(list, context.base)?;
            show.raw_fields(item).remove(name)
        };
        let subject = Subject {
            operation,
            method: incoming.method.name(),
            list: list.map(|list| (list.display_name.as_str(), list.id.to_string())),
            list_age: list.map(|list| context.now.timestamp_millis() - list.created_millis),
            fields,
            stored: &stored,
            part: incoming.part,
        };
        let hit = faults.strike(&subject);
        self.faults = faults;
        hit
    }

    /// Charges a request; the 429 where a limit is passed and the profile has limits.
    fn charge(&mut self, client: u16, units: u64, now: DateTime<Utc>) -> Option<Reply> {
        let waits = self.quotas.charge(client, units, now.timestamp_millis());
        let wait = waits.into_iter().flatten().max()?;
        if self.options.profile == Profile::Unlimited {
            return None;
        }
        let error = GraphError::new(429, "activityLimitReached", "Application has been throttled.");
        let id = self.ids.guid();
        Some(
            error
                .into_reply(id, None, now)
                .with_header("Retry-After", seconds_up(wait).to_string()),
        )
    }

    fn add_rate_headers(&mut self, reply: &mut Reply, client: u16, now: DateTime<Utc>) {
        if self.options.profile == Profile::Unlimited {
            return;
        }
        let headers = self.quotas.headers(client, now.timestamp_millis());
        for (name, value) in headers.into_iter().flatten() {
            reply.headers.push(name, value);
        }
    }
}
