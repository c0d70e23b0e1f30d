//! Finding out a site's time zone, which Graph does not tell: a probe item is given one day after another, and the
//! instants it is read back with say at which offset the site keeps its midnights (contract §7, §15 no. 15).
//!
//! The item carries a sync key of its own that no row can have, in a column of unique values. So there is at most
//! one: a probe left behind by a crash is in the way of the next one, is taken over by it, and goes with it.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::mapping::{FieldMapping, SYNC_KEY_COLUMN};
use syncbridge_domain::quota::{Ru, WhyTag};
use syncbridge_domain::site_zone::{MOST_DAYS, ZoneSearch};

use crate::call::NoAnswer;
use crate::classify::{Classified, Endpoint, Meaning};
use crate::client::{GraphClient, parse};
use crate::codes;
use crate::column::TITLE;
use crate::item::is_item_number;
use crate::request::{Call, literal, segment, with_query};
use crate::transport::{HttpResponse, Method, Transport};

/// Sync key of the probe. Those of rows begin with a `1` and have 27 characters.
pub const PROBE_KEY: &str = "time-zone-probe";
/// What people read who look at the list in that second.
const PROBE_TITLE: &str = "SyncBridge is finding out the time zone of this site; this item goes by itself";

const ITEMS: &str = "/sites/{site}/lists/{list}/items";
const ITEM: &str = "/sites/{site}/lists/{list}/items/{item}";

#[derive(Deserialize)]
struct Probe {
    id: String,
    #[serde(default)]
    fields: BTreeMap<String, Json>,
}

#[derive(Deserialize)]
struct Probes {
    value: Vec<Probe>,
}

impl<T: Transport> GraphClient<T> {
    /// The time zone of the site, by the days that a list of ours keeps in the column of this field. Makes an item,
    /// writes some days into it, and deletes it; everything is spent as provisioning.
    ///
    /// # Errors
    /// [`codes::TIME_ZONE_UNKNOWN`] when the answers fit no zone, or more than one; else what keeps the list from
    /// being written or read.
    pub async fn learn_time_zone(&self, site: &str, list: &str, field: &FieldMapping) -> Result<Tz, Failure> {
        let items = format!("/sites/{}/lists/{}/items", segment(site), segment(list));
        let probe = self.make_probe(&items).await?;
        let path = format!("{items}/{probe}");
        let learnt = self.ask_for_days(&path, field).await;
        // In any case: what stays is found by the next attempt only.
        let gone = self.remove_probe(&path).await;
        let zone = learnt?.ok_or_else(|| not_learnt(field))?;
        gone?;
        Ok(zone)
    }

    /// The number of the probe item.
    async fn make_probe(&self, items: &str) -> Result<String, Failure> {
        let body = json!({"fields": {TITLE: PROBE_TITLE, SYNC_KEY_COLUMN: PROBE_KEY}});
        let call = Call::write(
            Method::Post,
            items.to_owned(),
            ITEMS,
            Endpoint::CreateItem,
            WhyTag::Provision,
            Some(&body),
        );
        let mut failed = 0;
        loop {
            let failure = match self.once(&call).await {
                Ok(answer) => match parse::<Probe>(&answer) {
                    Ok(made) if is_item_number(&made.id) => return Ok(made.id),
                    Ok(_) => crate::client::unreadable(&answer),
                    Err(failure) => failure,
                },
                Err(classified) => match classified.meaning {
                    // A new list may not be there yet for a while (contract §15 no. 33).
                    Meaning::Duplicate | Meaning::Ambiguous | Meaning::Gone | Meaning::Throttled(_) => {
                        classified.failure
                    }
                    Meaning::Refused if classified.failure.code == codes::LIST_NOT_FOUND => {
                        classified.failure
                    }
                    Meaning::Refused | Meaning::Precondition => return Err(refused(classified.failure)),
                },
            };
            // Made by an earlier attempt, by this one without our knowing, or not at all.
            if let Some(found) = self.find_probe(items).await? {
                return Ok(found);
            }
            failed += 1;
            self.pause(failed, failure).await?;
        }
    }

    async fn find_probe(&self, items: &str) -> Result<Option<String>, Failure> {
        let filter = format!("fields/{SYNC_KEY_COLUMN} eq {}", literal(PROBE_KEY));
        let path = with_query(
            items,
            &[("$filter", &filter), ("$expand", "fields($select=Title)")],
        );
        let call = Call::get(path, ITEMS, Endpoint::Items, WhyTag::Provision, Ru::MULTI_READ);
        let found: Probes = match self.read(call).await {
            Ok(found) => found,
            Err(error) if error.failure.code == codes::LIST_NOT_FOUND => return Ok(None),
            Err(error) => return Err(error.failure),
        };
        let numbers = found.value.into_iter().map(|probe| probe.id);
        Ok(numbers.filter(|id| is_item_number(id)).min())
    }

    /// `None`: the answers fit no single zone.
    async fn ask_for_days(&self, path: &str, field: &FieldMapping) -> Result<Option<Tz>, Failure> {
        let mut search = ZoneSearch::new(self.core.clock.now().year());
        for _ in 0..MOST_DAYS {
            let Some(day) = search.next_day() else {
                return Ok(search.zone());
            };
            match self.kept(path, &field.target, day).await? {
                Some(instant) => search.observe(day, instant),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The instant that the list keeps for a day. Read anew: what a write answers was seen to be wrong.
    async fn kept(&self, path: &str, column: &str, day: NaiveDate) -> Result<Option<DateTime<Utc>>, Failure> {
        let write = Call::write(
            Method::Patch,
            format!("{path}/fields"),
            format!("{ITEM}/fields"),
            Endpoint::WriteItem,
            WhyTag::Provision,
            Some(&json!({column: day.format("%Y-%m-%d").to_string()})),
        );
        self.surely(&write)
            .await
            .map_err(|error| refused(error.failure))?;
        let read = with_query(path, &[("$expand", &format!("fields($select={column})"))]);
        let read = Call::get(read, ITEM, Endpoint::Item, WhyTag::Provision, Ru::SINGLE_READ);
        let shown: Probe = self.read(read).await.map_err(|error| error.failure)?;
        let text = shown.fields.get(column).and_then(Json::as_str);
        let instant = text.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        Ok(instant.map(|instant| instant.to_utc()))
    }

    async fn remove_probe(&self, path: &str) -> Result<(), Failure> {
        let call = Call::write(
            Method::Delete,
            path.to_owned(),
            ITEM,
            Endpoint::WriteItem,
            WhyTag::Provision,
            None,
        );
        match self.surely(&call).await {
            Ok(_) => Ok(()),
            // By a person, or by an attempt whose answer was lost.
            Err(error) if error.meaning == Meaning::Gone => Ok(()),
            Err(error) => Err(refused(error.failure)),
        }
    }

    /// A write that may be done more than once without harm, repeated until it is answered.
    async fn surely(&self, call: &Call) -> Result<HttpResponse, Classified> {
        let mut failed = 0;
        loop {
            let error = match self.once(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            failed += 1;
            let meaning = error.meaning;
            self.pause(failed, error.failure)
                .await
                .map_err(|failure| Classified { meaning, failure })?;
        }
    }

    /// One attempt; whatever is no success is classified.
    async fn once(&self, call: &Call) -> Result<HttpResponse, Classified> {
        let answer = match self.core.attempt(call, &self.caller, None).await {
            Ok(answer) if answer.is_success() => return Ok(answer),
            Ok(answer) => answer,
            Err(NoAnswer::NoToken(failure)) => {
                return Err(Classified {
                    meaning: Meaning::Refused,
                    failure,
                });
            }
            Err(none) => return Err(Classified::unanswered(none.into_failure())),
        };
        Err(self.core.classify(call.endpoint, &answer, &self.caller))
    }

    /// Waits before the next attempt; with this failure, if it is enough.
    async fn pause(&self, failed: u32, failure: Failure) -> Result<(), Failure> {
        let core = &self.core;
        match core
            .rules
            .wait(failed, failure.retry_after, core.entropy.as_ref())
        {
            Some(wait) => {
                core.clock.sleep(wait).await;
                Ok(())
            }
            None => Err(failure),
        }
    }
}

/// The list does not take the probe, or what is written into it: nothing can be learnt there.
fn refused(failure: Failure) -> Failure {
    if !matches!(failure.scope, Scope::Row | Scope::Column) {
        return failure;
    }
    let cause = format!(
        "the site's time zone could not be learnt from the list: {}",
        failure.cause
    );
    Failure {
        column: failure.column,
        ..unknown(cause).request_id(failure.request_id)
    }
}

fn not_learnt(field: &FieldMapping) -> Failure {
    unknown(
        "a list keeps a date as the midnight of its site, and the midnights of this site fit no single time zone",
    )
    .column(&field.column)
}

fn unknown(cause: impl Into<String>) -> Failure {
    Failure::new(
        Scope::List,
        codes::TIME_ZONE_UNKNOWN,
        cause,
        "give `target.timeZone`, or map the column to text",
    )
}
