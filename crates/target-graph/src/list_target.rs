//! One list as the engine's target: single attempts of writes with a receipt each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::lock::Mutex;
use serde_json::{Value as Json, json};
use syncbridge_domain::clock::Monotonic;
use syncbridge_domain::facet::Facet;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::list_rules::{ListRules, TargetMode};
use syncbridge_domain::mapping::{Mapping, SYNC_KEY_COLUMN};
use syncbridge_domain::quota::{Lane, Spending};
use syncbridge_domain::receipt::{Fields, ItemId, Receipt, Refusal, TaggedWrite, Write};

use crate::batch::{MAX_PARTS, PartOutcome};
use crate::call::NoAnswer;
use crate::classify::{Endpoint, request_id};
use crate::client::{GraphClient, unreadable};
use crate::codes;
use crate::column::{ColumnKind, DesiredColumn, DesiredList, Fit, ListColumn, fit};
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
    pub(crate) mapping: Mapping,
    pub(crate) rules: ListRules,
    /// Choice columns that lack texts of the mapping; emptied once they were given them.
    growing: Mutex<Vec<DesiredColumn>>,
    /// What a choice column that is not to grow holds, by internal name.
    fixed: BTreeMap<String, Vec<String>>,
    /// Columns that an answer left out although they were written: whether they are shown after all.
    pub(crate) left_out: Mutex<BTreeMap<String, bool>>,
}

impl<T> std::fmt::Debug for ListTarget<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ListTarget({} columns)", self.shape.mapped.len())
    }
}

impl<T: Transport> ListTarget<T> {
    /// Opens a list: reads its columns and sees that every one we need is there.
    ///
    /// # Errors
    /// [`codes::COLUMN_UNKNOWN`] for a mapped column that is missing; [`codes::NO_IDENTITY`] where people took away
    /// what keeps two items of one identity apart; [`codes::LIST_NOT_FOUND`], [`codes::FORBIDDEN`] and whatever
    /// keeps Graph from answering.
    pub async fn open(
        client: &GraphClient<T>,
        site: &str,
        list: &str,
        mapping: &Mapping,
        settings: ListSettings,
        rules: &ListRules,
    ) -> Result<Self, Failure> {
        let client = client.in_lane(settings.lane).about(site, list);
        let columns = client.columns(site, list).await?;
        let opened = Self::opened(client, site, list, mapping, &columns, settings, rules.clone());
        if let Some(missing) = opened.shape.missing().next() {
            return Err(column_unknown(missing));
        }
        let identity = columns
            .iter()
            .find(|column| column.name == rules.identity.column());
        if rules.mode == TargetMode::BringYourOwn
            && rules.unique
            && !identity.is_some_and(|column| column.unique && column.indexed)
        {
            return Err(no_longer_unique(rules.identity.column()));
        }
        Ok(opened)
    }

    pub(crate) fn opened(
        client: GraphClient<T>,
        site: &str,
        list: &str,
        mapping: &Mapping,
        columns: &[ListColumn],
        settings: ListSettings,
        rules: ListRules,
    ) -> Self {
        let shape = Shape::new(mapping, columns, &rules).written_by(client.core.client_id.as_deref());
        let client = client.naming(shape.kept.clone());
        Self {
            client,
            site: site.to_owned(),
            list: list.to_owned(),
            growing: Mutex::new(growing(mapping, columns, &rules)),
            fixed: fixed(mapping, columns, &rules),
            left_out: Mutex::default(),
            mapping: mapping.clone(),
            shape,
            settings,
            rules,
        }
    }

    /// What was spent since the target was opened.
    #[must_use]
    pub fn spending(&self) -> Spending {
        self.client.spending()
    }

    /// Tries each write once, at most [`MAX_PARTS`], and not at all after the deadline. One receipt a write, in order.
    pub async fn write(&self, writes: Vec<TaggedWrite>, deadline: Monotonic) -> Vec<Receipt> {
        if let Err(failure) = self.grow().await {
            let refused = || Receipt::Refused {
                refusal: Refusal::Failed(failure.clone()),
            };
            return writes.iter().map(|_| refused()).collect();
        }
        let mut receipts: Vec<Option<Receipt>> = writes.iter().map(|_| None).collect();
        let mut items: BTreeSet<ItemId> = BTreeSet::new();
        let (mut calls, mut places) = (Vec::new(), Vec::new());
        for (at, write) in writes.iter().enumerate() {
            match self.admit(at, write, &mut items) {
                Ok(call) => {
                    calls.push(call);
                    places.push(at);
                }
                Err(failure) if failure.code == codes::CHOICE_FIXED => {
                    receipts[at] = Some(Receipt::Refused {
                        refusal: Refusal::Failed(failure),
                    });
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
        self.distrust(&writes, &mut receipts).await;
        // Every place was filled above; an unfilled one would be a write nobody knows about.
        receipts
            .into_iter()
            .map(|receipt| receipt.unwrap_or_else(|| Receipt::Unknown { failure: forgotten() }))
            .collect()
    }

    /// Gives choice columns the texts that rows are about to need, once.
    async fn grow(&self) -> Result<(), Failure> {
        let mut growing = self.growing.lock().await;
        if growing.is_empty() {
            return Ok(());
        }
        self.client.grow_choices(&self.site, &self.list, &growing).await?;
        growing.clear();
        Ok(())
    }

    /// An answer leaves out what is null, and what is hidden. A column that was written and left out is looked at
    /// once: if a person hid it meanwhile, what the answer leaves out is unseen and not null.
    async fn distrust(&self, writes: &[TaggedWrite], receipts: &mut [Option<Receipt>]) {
        for (write, receipt) in writes.iter().zip(receipts) {
            let (Write::Create { fields } | Write::Patch { fields, .. }) = &write.write else {
                continue;
            };
            let Some(Receipt::Applied { item: Some(item), .. }) = receipt else {
                continue;
            };
            let left_out = fields
                .iter()
                .filter(|(name, value)| !value.is_null() && self.shape.mapped.contains(*name))
                .filter(|(name, _)| item.complete && !item.fields.contains_key(*name));
            for (name, _) in left_out {
                if !self.is_shown(name).await {
                    item.complete = false;
                    break;
                }
            }
        }
    }

    async fn is_shown(&self, name: &str) -> bool {
        let mut known = self.left_out.lock().await;
        if let Some(shown) = known.get(name) {
            return *shown;
        }
        match self.client.columns(&self.site, &self.list).await {
            Ok(columns) => {
                let shown = columns.iter().any(|column| column.name == name && !column.hidden);
                known.insert(name.to_owned(), shown);
                shown
            }
            // Nothing was learnt, and "unseen" is never wrong.
            Err(_) => false,
        }
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
        let ours = |name: &String| name == SYNC_KEY_COLUMN || self.shape.known.contains(name);
        if let Some(unknown) = fields.keys().find(|name| !ours(name)) {
            return Err(column_unknown(unknown));
        }
        let unknown_choice = self.fixed.iter().find(|(name, choices)| {
            let unknown = |value: &Json| {
                value
                    .as_str()
                    .is_some_and(|text| !choices.iter().any(|choice| choice == text))
            };
            match fields.get(*name) {
                Some(Json::Array(texts)) => texts.iter().any(unknown),
                Some(value) => unknown(value),
                None => false,
            }
        });
        if let Some((name, _)) = unknown_choice {
            return Err(choice_fixed(name));
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
                let mut fields = self.shape.outgoing(fields);
                // What is not said would be the column's default, which is not what the row holds.
                for name in &self.shape.defaulted {
                    fields.entry(name.clone()).or_insert(serde_json::Value::Null);
                }
                let body = json!({"fields": on_the_wire(&fields)});
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
                    Some(&on_the_wire(&self.shape.outgoing(fields))),
                )
                .if_match((!syncbridge_domain::sabotaged!("If-Match left out")).then(|| expected.if_match()))
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
            Err(NoAnswer::Lost(_)) if syncbridge_domain::sabotaged!("write repeated by a retry layer") => {
                match self
                    .client
                    .core
                    .attempt(call, &self.client.caller, Some(deadline))
                    .await
                {
                    Ok(answer) => PartOutcome::Answered(answer),
                    Err(again) => PartOutcome::Lost(again.into_failure()),
                }
            }
            Err(NoAnswer::Lost(failure)) => PartOutcome::Lost(failure),
        }
    }

    fn receipt(&self, write: &Write, endpoint: Endpoint, outcome: PartOutcome) -> Receipt {
        match self.receipt_as_told(write, endpoint, outcome) {
            Receipt::Refused {
                refusal: Refusal::Duplicate(failure),
            } => Receipt::Refused {
                refusal: Refusal::Duplicate(self.about_identity(failure)),
            },
            receipt => receipt,
        }
    }

    /// The column that items are recognised by is called by our own name for it.
    fn about_identity(&self, mut failure: Failure) -> Failure {
        if failure.column.as_deref() == Some(self.rules.identity.column()) {
            failure.column = Some(SYNC_KEY_COLUMN.to_owned());
        }
        failure
    }

    fn receipt_as_told(&self, write: &Write, endpoint: Endpoint, outcome: PartOutcome) -> Receipt {
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

/// Choice columns of a list of ours that lack texts of the mapping.
fn growing(mapping: &Mapping, columns: &[ListColumn], rules: &ListRules) -> Vec<DesiredColumn> {
    if rules.mode == TargetMode::BringYourOwn {
        return Vec::new();
    }
    let wanted = DesiredList::of_mapping("", None, mapping).columns;
    let grows = |column: &DesiredColumn| {
        let present = columns.iter().find(|present| present.name == column.name);
        !rules.fixed_choices.contains(&column.name)
            && present.is_some_and(|present| matches!(fit(column, present), Fit::Grow(_)))
    };
    wanted.into_iter().filter(grows).collect()
}

fn fixed(mapping: &Mapping, columns: &[ListColumn], rules: &ListRules) -> BTreeMap<String, Vec<String>> {
    let is_fixed = |name: &String| rules.fixed_choices.contains(name);
    let fields = mapping.fields.iter().filter(|field| is_fixed(&field.target));
    fields
        .filter_map(|field| {
            let column = columns.iter().find(|column| column.name == field.target)?;
            match &column.kind {
                Some(ColumnKind::Known(Facet::Choice { choices } | Facet::MultiChoice { choices })) => {
                    Some((field.target.clone(), choices.clone()))
                }
                _ => None,
            }
        })
        .collect()
}

fn choice_fixed(column: &str) -> Failure {
    Failure::new(
        Scope::Row,
        codes::CHOICE_FIXED,
        "the choice column does not offer this row's text, and is not to grow",
        "add the text to the column's choices in the list, or write `newChoices: grow` for the field",
    )
    .column(column)
}

fn no_longer_unique(column: &str) -> Failure {
    Failure::new(
        Scope::List,
        codes::NO_IDENTITY,
        "the column by which the list's items are recognised no longer enforces unique values",
        "in the list's settings, index the column and enforce unique values; or apply the definition again, which \
         takes the list as it is now",
    )
    .column(column)
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
