//! Reading a target list: by sync key, by number, page by page. Reads are repeated inside.

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::quota::{Ru, WhyTag};
use syncbridge_domain::receipt::{Item, ItemId, ItemPage, ItemRead, Lookup, RowName};

use crate::batch::{MAX_PARTS, PartOutcome};
use crate::classify::{Classified, Endpoint, Meaning};
use crate::client::{parse, unreadable};
use crate::codes;
use crate::item::{ItemAnswer, is_item_number};
use crate::list_target::{ListTarget, shown};
use crate::request::{Call, segment, with_query};
use crate::transport::{HttpResponse, Transport};

const ITEMS: &str = "/sites/{site}/lists/{list}/items";

#[derive(Deserialize)]
struct ItemsAnswer {
    value: Vec<Box<RawValue>>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

impl<T: Transport> ListTarget<T> {
    /// Looks items up by what they are recognised by. One answer a name, in order.
    pub async fn lookup(&self, names: &[RowName], why: WhyTag) -> Vec<Lookup> {
        if !self.rules.indexed && !names.is_empty() {
            return self.search(names, why).await;
        }
        let calls: Vec<Result<Call, Failure>> =
            names.iter().map(|name| self.lookup_call(name, why)).collect();
        let outcomes = self.read_parts(calls.iter().flatten().cloned().collect()).await;
        let mut found = outcomes.into_iter().map(|outcome| self.found(outcome));
        let answers = calls.into_iter().map(|call| match call {
            Ok(_) => found
                .next()
                .unwrap_or_else(|| Lookup::Unknown(not_asked().failure)),
            Err(failure) => Lookup::Unknown(failure),
        });
        answers.collect()
    }

    /// Reads items by number. One answer an item, in order.
    pub async fn read(&self, items: &[ItemId], why: WhyTag) -> Vec<ItemRead> {
        // What is no number cannot be in a list, and never becomes part of an address.
        let numbers: Vec<&ItemId> = items.iter().filter(|item| is_item_number(&item.0)).collect();
        let calls: Vec<Call> = numbers.iter().map(|item| self.item_call(item, why)).collect();
        let answers = self.read_parts(calls).await;
        let mut list_answers = answers.iter().any(Result::is_ok).then_some(Ok(()));
        let mut answers = answers.into_iter();
        let mut reads = Vec::with_capacity(items.len());
        for item in items {
            let answer = if is_item_number(&item.0) {
                answers.next()
            } else {
                None
            };
            reads.push(match answer {
                Some(Ok(answer)) => self.one(&answer),
                Some(Err(error)) if error.meaning != Meaning::Gone => ItemRead::Unknown(error.failure),
                // Gone, by its own answer or for want of a number: true only if the list itself answers.
                _ => {
                    if list_answers.is_none() {
                        list_answers = Some(self.client.list_answers(&self.site, &self.list, why).await);
                    }
                    match &list_answers {
                        Some(Err(failure)) => ItemRead::Unknown(failure.clone()),
                        _ => ItemRead::Gone,
                    }
                }
            });
        }
        reads
    }

    /// One page of the whole list, in the list's own order, sync keys included.
    ///
    /// # Errors
    /// [`codes::FOREIGN_LINK`] for a `next` that leads elsewhere; else what keeps the list from answering.
    pub async fn page(&self, next: Option<&str>, why: WhyTag) -> Result<ItemPage, Failure> {
        let top = self.settings.page_size.clamp(1, 5_000).to_string();
        let path = with_query(
            &self.items_path(),
            &[("$expand", &self.shape.expand()), ("$top", &top)],
        );
        let mut call = Call::get(path, ITEMS, Endpoint::Items, why, Ru::MULTI_READ).page();
        if let Some(next) = next {
            call = call.link(next);
        }
        let answer = self
            .client
            .core
            .read(call, &self.client.caller)
            .await
            .map_err(|error| error.failure)?;
        let (items, next) = self.items(&answer)?;
        Ok(ItemPage { items, next })
    }

    fn lookup_call(&self, name: &RowName, why: WhyTag) -> Result<Call, Failure> {
        let column = self.rules.identity.column();
        let filter = format!("fields/{column} eq {}", self.named(name)?.literal);
        let path = with_query(
            &self.items_path(),
            &[("$filter", &filter), ("$expand", &self.shape.expand())],
        );
        Ok(Call::get(path, ITEMS, Endpoint::Items, why, Ru::MULTI_READ))
    }

    fn item_call(&self, item: &ItemId, why: WhyTag) -> Call {
        let path = format!("{}/{}", self.items_path(), segment(&item.0));
        let path = with_query(&path, &[("$expand", &self.shape.expand())]);
        Call::get(
            path,
            format!("{ITEMS}/{}", shown(item)),
            Endpoint::Item,
            why,
            Ru::SINGLE_READ,
        )
    }

    fn found(&self, answer: Result<HttpResponse, Classified>) -> Lookup {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Lookup::Unknown(error.failure),
        };
        match self.items(&answer) {
            Ok((mut items, next)) => match (items.pop(), next) {
                (Some(only), None) if items.is_empty() => Lookup::One(only),
                (Some(last), _) => {
                    items.push(last);
                    Lookup::Many(items)
                }
                (None, None) => Lookup::Empty,
                // An empty page with more to come says nothing about what comes.
                (None, Some(_)) => Lookup::Unknown(unreadable(&answer)),
            },
            Err(failure) => Lookup::Unknown(failure),
        }
    }

    fn one(&self, answer: &HttpResponse) -> ItemRead {
        match parse::<ItemAnswer>(answer)
            .ok()
            .and_then(|found| found.item(&self.shape, true))
        {
            Some(item) => ItemRead::One(item),
            None => ItemRead::Unknown(unreadable(answer)),
        }
    }

    fn items(&self, answer: &HttpResponse) -> Result<(Vec<Item>, Option<String>), Failure> {
        let page: ItemsAnswer = parse(answer)?;
        let mut items = Vec::with_capacity(page.value.len());
        for raw in page.value {
            let found = serde_json::from_str::<ItemAnswer>(raw.get()).ok();
            items.push(
                found
                    .and_then(|found| found.item(&self.shape, true))
                    .ok_or_else(|| unreadable(answer))?,
            );
        }
        Ok((items, page.next))
    }

    /// Sends reads in batches, several at once, and repeats what may get better. One result a call, in order.
    pub(crate) async fn read_parts(&self, calls: Vec<Call>) -> Vec<Result<HttpResponse, Classified>> {
        let chunks: Vec<Vec<Call>> = calls.chunks(MAX_PARTS).map(<[Call]>::to_vec).collect();
        let in_flight = self.settings.reads_in_flight.max(1);
        let answered: Vec<Vec<_>> = stream::iter(chunks.into_iter().map(|chunk| self.read_chunk(chunk)))
            .buffered(in_flight)
            .collect()
            .await;
        answered.into_iter().flatten().collect()
    }

    async fn read_chunk(&self, mut calls: Vec<Call>) -> Vec<Result<HttpResponse, Classified>> {
        let core = &self.client.core;
        // A single read needs no batch and has a retry of its own.
        if calls.len() == 1
            && let Some(only) = calls.pop()
        {
            return vec![core.read(only, &self.client.caller).await];
        }
        let mut results: Vec<Option<Result<HttpResponse, Classified>>> = calls.iter().map(|_| None).collect();
        let mut pending: Vec<usize> = (0..calls.len()).collect();
        let mut failed = 0;
        loop {
            let chosen: Vec<Call> = pending.iter().map(|at| calls[*at].clone()).collect();
            let outcomes = core.batch(&chosen, &self.client.caller, None).await;
            let mut again = Vec::new();
            let mut asked = None;
            for (at, outcome) in pending.into_iter().zip(outcomes) {
                let result = self.result(calls[at].endpoint, outcome);
                if let Err(error) = &result
                    && error.is_transient()
                {
                    again.push(at);
                    asked = asked.max(error.failure.retry_after);
                }
                results[at] = Some(result);
            }
            if again.is_empty() {
                break;
            }
            failed += 1;
            match core.rules.wait(failed, asked, core.entropy.as_ref()) {
                Some(wait) => core.clock.sleep(wait).await,
                None => break,
            }
            for at in &again {
                calls[*at] = calls[*at].clone().again();
            }
            pending = again;
        }
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|| Err(not_asked())))
            .collect()
    }

    fn result(&self, endpoint: Endpoint, outcome: PartOutcome) -> Result<HttpResponse, Classified> {
        let refused = |failure| Classified {
            meaning: Meaning::Refused,
            failure,
        };
        match outcome {
            PartOutcome::Answered(answer) if answer.is_success() => Ok(answer),
            PartOutcome::Answered(answer) => {
                Err(self.client.core.classify(endpoint, &answer, &self.client.caller))
            }
            PartOutcome::Whole(classified) => Err(classified),
            PartOutcome::Lost(failure) => Err(Classified {
                meaning: Meaning::Ambiguous,
                failure,
            }),
            PartOutcome::NotSent(failure) if failure.scope == Scope::Outage => Err(Classified {
                meaning: Meaning::Ambiguous,
                failure,
            }),
            PartOutcome::NotSent(failure) => Err(refused(failure)),
            PartOutcome::Throttled(wait) => {
                let mut error = not_asked();
                error.failure.retry_after = Some(wait);
                Err(error)
            }
        }
    }
}

fn not_asked() -> Classified {
    let failure = Failure::new(
        Scope::Tenant,
        codes::THROTTLED,
        "the budget allows the request only later",
        "nothing to do: it goes on by itself",
    );
    Classified {
        meaning: Meaning::Ambiguous,
        failure,
    }
}
