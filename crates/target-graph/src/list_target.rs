//! One list as the engine's target: single attempts of writes with a receipt each.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};
use syncbridge_domain::clock::Monotonic;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::quota::{Lane, Spending};
use syncbridge_domain::receipt::{Fields, ItemId, Receipt, Refusal, TaggedWrite, Write};

use crate::batch::{MAX_PARTS, PartOutcome};
use crate::call::NoAnswer;
use crate::classify::{Endpoint, request_id};
use crate::client::{GraphClient, unreadable};
use crate::codes;
use crate::item::{ItemAnswer, Shape, is_item_number, patched};
use crate::request::{Call, segment};
use crate::transport::{HttpResponse, Method, Transport};

/// Settings of a target list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListSettings {
    /// Items in a page of the whole list, at most 5,000.
    pub page_size: u32,
    /// Batches of reads that are under way at once.
    pub reads_in_flight: usize,
    /// Which lane of the budget is spent.
    pub lane: Lane,
}

impl Default for ListSettings {
    fn default() -> Self {
        Self {
            page_size: 2_000,
            reads_in_flight: 4,
            lane: Lane::Scheduled,
        }
    }
}

/// One list, opened for one mapping.
pub struct ListTarget<T> {
    pub(crate) client: GraphClient<T>,
    pub(crate) site: String,
    pub(crate) list: String,
    pub(crate) shape: Shape,
    pub(crate) settings: ListSettings,
}

impl<T> std::fmt::Debug for ListTarget<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ListTarget({} columns)", self.shape.mapped.len())
    }
}

impl<T: Transport> ListTarget<T> {
    /// Opens a list: reads its columns and sees that every mapped one is there.
    ///
    /// # Errors
    /// [`codes::COLUMN_UNKNOWN`] for a mapped column that is missing; [`codes::LIST_NOT_FOUND`],
    /// [`codes::FORBIDDEN`] and whatever keeps Graph from answering.
    pub async fn open(
        client: &GraphClient<T>,
        site: &str,
        list: &str,
        mapping: &Mapping,
        settings: ListSettings,
    ) -> Result<Self, Failure> {
        let client = client.in_lane(settings.lane).about(site, list);
        let columns = client.columns(site, list).await?;
        let shape = Shape::new(mapping, &columns);
        if let Some(missing) = shape.missing().next() {
            return Err(column_unknown(missing));
        }
        let client = client.naming(shape.kept.clone());
        Ok(Self {
            client,
            site: site.to_owned(),
            list: list.to_owned(),
            shape,
            settings,
        })
    }

    /// What was spent since the target was opened.
    #[must_use]
    pub fn spending(&self) -> Spending {
        self.client.spending()
    }

    /// Tries each write once, at most [`MAX_PARTS`], and not at all after the deadline. One receipt a write, in order.
    pub async fn write(&self, writes: Vec<TaggedWrite>, deadline: Monotonic) -> Vec<Receipt> {
        let mut receipts: Vec<Option<Receipt>> = writes.iter().map(|_| None).collect();
        let mut items: BTreeSet<ItemId> = BTreeSet::new();
        let (mut calls, mut places) = (Vec::new(), Vec::new());
        for (at, write) in writes.iter().enumerate() {
            match self.admit(at, write, &mut items) {
                Ok(call) => {
                    calls.push(call);
                    places.push(at);
                }
                Err(failure) => receipts[at] = Some(not_sent(failure)),
            }
        }
        let outcomes = match calls.as_slice() {
            [] => Vec::new(),
            [only] => vec![self.write_one(only, deadline).await],
            several => {
                self.client
                    .core
                    .batch(several, &self.client.caller, Some(deadline))
                    .await
            }
        };
        for ((at, call), outcome) in places.into_iter().zip(&calls).zip(outcomes) {
            receipts[at] = Some(self.receipt(&writes[at].write, call.endpoint, outcome));
        }
        // Every place was filled above; an unfilled one would be a write nobody knows about.
        receipts
            .into_iter()
            .map(|receipt| receipt.unwrap_or_else(|| Receipt::Unknown { failure: forgotten() }))
            .collect()
    }

    /// The request of a write, if it keeps the rules.
    fn admit(&self, at: usize, write: &TaggedWrite, items: &mut BTreeSet<ItemId>) -> Result<Call, Failure> {
        let broken = |cause: &str| {
            Failure::new(
                Scope::Row,
                codes::NOT_ATTEMPTED,
                cause,
                "nothing to do: the row is looked at again; report it if it stays",
            )
        };
        if at >= MAX_PARTS {
            return Err(broken("more writes at once than fit into a batch"));
        }
        let (Write::Create { fields } | Write::Patch { fields, .. }) = &write.write else {
            return self
                .call(write, items)
                .ok_or_else(|| broken("two writes to one item at once"));
        };
        if let Some(unknown) = fields.keys().find(|name| !self.shape.known.contains(*name)) {
            return Err(column_unknown(unknown));
        }
        self.call(write, items)
            .ok_or_else(|| broken("two writes to one item at once"))
    }

    fn call(&self, tagged: &TaggedWrite, items: &mut BTreeSet<ItemId>) -> Option<Call> {
        let base = self.items_path();
        let why = tagged.why;
        let one = |item: &ItemId| format!("/sites/{{site}}/lists/{{list}}/items/{}", shown(item));
        match &tagged.write {
            Write::Create { fields } => {
                let body = json!({"fields": on_the_wire(fields)});
                let template = "/sites/{site}/lists/{list}/items";
                Some(Call::write(
                    Method::Post,
                    base,
                    template,
                    Endpoint::CreateItem,
                    why,
                    Some(&body),
                ))
            }
            Write::Patch {
                item,
                expected,
                fields,
            } => items.insert(item.clone()).then(|| {
                let path = format!("{base}/{}/fields", segment(&item.0));
                let template = one(item) + "/fields";
                Call::write(
                    Method::Patch,
                    path,
                    template,
                    Endpoint::WriteItem,
                    why,
                    Some(&on_the_wire(fields)),
                )
                .if_match(Some(expected.if_match()))
            }),
            Write::Delete { item, expected } => items.insert(item.clone()).then(|| {
                let path = format!("{base}/{}", segment(&item.0));
                Call::write(Method::Delete, path, one(item), Endpoint::WriteItem, why, None)
                    .if_match(Some(expected.if_match()))
            }),
        }
    }

    async fn write_one(&self, call: &Call, deadline: Monotonic) -> PartOutcome {
        match self
            .client
            .core
            .attempt(call, &self.client.caller, Some(deadline))
            .await
        {
            Ok(answer) => PartOutcome::Answered(answer),
            Err(NoAnswer::NotSent(failure) | NoAnswer::NoToken(failure)) => PartOutcome::NotSent(failure),
            Err(NoAnswer::Throttled(wait)) => PartOutcome::Throttled(wait),
            Err(NoAnswer::Lost(failure)) => PartOutcome::Lost(failure),
        }
    }

    fn receipt(&self, write: &Write, endpoint: Endpoint, outcome: PartOutcome) -> Receipt {
        match outcome {
            PartOutcome::Answered(answer) if answer.is_success() => self.applied(write, &answer),
            PartOutcome::Answered(answer) => self
                .client
                .core
                .classify(endpoint, &answer, &self.client.caller)
                .receipt(),
            PartOutcome::Whole(classified) => classified.receipt(),
            PartOutcome::NotSent(failure) => not_sent(failure),
            PartOutcome::Throttled(wait) => throttled(wait),
            PartOutcome::Lost(failure) => Receipt::Unknown { failure },
        }
    }

    fn applied(&self, write: &Write, answer: &HttpResponse) -> Receipt {
        let item = match write {
            Write::Delete { .. } => {
                return Receipt::Applied {
                    item: None,
                    request_id: request_id(answer),
                };
            }
            Write::Create { .. } => serde_json::from_slice::<ItemAnswer>(&answer.body)
                .ok()
                .and_then(|found| found.item(&self.shape, false)),
            Write::Patch { item, .. } => patched(item, answer, &self.shape),
        };
        match item {
            Some(item) => Receipt::Applied {
                item: Some(item),
                request_id: request_id(answer),
            },
            // Done, but into what? Only a read can tell.
            None => Receipt::Unknown {
                failure: unreadable(answer),
            },
        }
    }

    pub(crate) fn items_path(&self) -> String {
        format!(
            "/sites/{}/lists/{}/items",
            segment(&self.site),
            segment(&self.list)
        )
    }
}

/// The fields as they are sent: a list of texts needs its type beside it (contract §7, §15 no. 4).
fn on_the_wire(fields: &Fields) -> Json {
    let mut sent = serde_json::Map::new();
    for (name, value) in fields {
        if value.is_array() {
            sent.insert(format!("{name}@odata.type"), json!("Collection(Edm.String)"));
        }
        sent.insert(name.clone(), value.clone());
    }
    Json::Object(sent)
}

/// The number of an item for a trace; anything else is not shown.
pub(crate) fn shown(item: &ItemId) -> &str {
    if is_item_number(&item.0) {
        &item.0
    } else {
        "{item}"
    }
}

fn not_sent(failure: Failure) -> Receipt {
    Receipt::Refused {
        refusal: Refusal::NotSent(failure),
    }
}

fn throttled(wait: Duration) -> Receipt {
    Receipt::Refused {
        refusal: Refusal::Throttled(wait),
    }
}

fn forgotten() -> Failure {
    Failure::new(
        Scope::Outage,
        codes::NO_ANSWER,
        "nothing is known about what became of the write",
        "nothing to do: the row is looked at again",
    )
}

fn column_unknown(column: &str) -> Failure {
    Failure::new(
        Scope::Column,
        codes::COLUMN_UNKNOWN,
        "the list does not know a column that is mapped",
        "apply the definition again so that the missing column is made, or remove it from the mapping",
    )
    .column(column)
}

#[cfg(test)]
#[path = "list_target_tests.rs"]
mod tests;
