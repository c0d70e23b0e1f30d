//! The versions of items, for what only an item's past can tell.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::item_history::{HistoryRead, ItemHistory, ItemVersion};
use syncbridge_domain::quota::{Ru, WhyTag};
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::version::Version;

use crate::classify::{Classified, Endpoint};
use crate::client::{parse, unreadable};
use crate::item::{Shape, is_item_number, keep};
use crate::list_target::{ListTarget, shown};
use crate::request::{Call, segment, with_query};
use crate::transport::{HttpResponse, Transport};

/// The built-in column that shows the label of the newest version.
const LABEL: &str = "_UIVersionString";

#[derive(Deserialize)]
struct HeadAnswer {
    #[serde(rename = "eTag")]
    etag: String,
    fields: BTreeMap<String, Json>,
}

#[derive(Deserialize)]
struct VersionsAnswer {
    value: Vec<VersionAnswer>,
}

#[derive(Deserialize)]
struct VersionAnswer {
    id: String,
    #[serde(rename = "lastModifiedBy")]
    last_writer: Option<Json>,
    fields: Option<BTreeMap<String, Json>>,
}

impl<T: Transport> ListTarget<T> {
    /// Reads the versions of items, the newest page of them. One answer an item, in order.
    pub async fn history(&self, items: &[ItemId], why: WhyTag) -> Vec<HistoryRead> {
        let mut read: Vec<HistoryRead> = items.iter().map(|_| HistoryRead::Untold).collect();
        let numbers: Vec<usize> = (0..items.len())
            .filter(|at| is_item_number(&items[*at].0))
            .collect();
        // Counter and label in one answer first: edits that come after it are only more versions.
        let calls = numbers
            .iter()
            .map(|at| self.head_call(&items[*at], why))
            .collect();
        let heads = self.read_parts(calls).await;
        let mut known = Vec::new();
        for (at, head) in numbers.into_iter().zip(heads) {
            match head {
                Ok(answer) => match head_of(&answer) {
                    Ok((now, label)) => known.extend(label.map(|label| (at, now, label))),
                    Err(failure) => read[at] = HistoryRead::Unknown(failure),
                },
                Err(error) => read[at] = no_answer(error),
            }
        }
        let calls = known
            .iter()
            .map(|(at, ..)| self.versions_call(&items[*at], why))
            .collect();
        let answers = self.read_parts(calls).await;
        for ((at, now, label), answer) in known.into_iter().zip(answers) {
            read[at] = match answer {
                Ok(answer) => match versions(&answer, &self.shape) {
                    Some(versions) => HistoryRead::Told(ItemHistory { now, label, versions }),
                    None => HistoryRead::Untold,
                },
                Err(error) => no_answer(error),
            };
        }
        read
    }

    fn head_call(&self, item: &ItemId, why: WhyTag) -> Call {
        let path = format!("{}/{}", self.items_path(), segment(&item.0));
        let path = with_query(&path, &[("$expand", &format!("fields($select={LABEL})"))]);
        let template = format!("/sites/{{site}}/lists/{{list}}/items/{}", shown(item));
        Call::get(path, template, Endpoint::Item, why, Ru::SINGLE_READ)
    }

    fn versions_call(&self, item: &ItemId, why: WhyTag) -> Call {
        let path = format!("{}/{}/versions", self.items_path(), segment(&item.0));
        let path = with_query(&path, &[("$expand", "fields")]);
        let template = format!("/sites/{{site}}/lists/{{list}}/items/{}/versions", shown(item));
        Call::get(path, template, Endpoint::Item, why, Ru::MULTI_READ).page()
    }
}

/// How new an item is, and the label it bears where that is one of a major version.
fn head_of(answer: &HttpResponse) -> Result<(Version, Option<u64>), Failure> {
    let head: HeadAnswer = parse(answer)?;
    let now = Version::parse(&head.etag).map_err(|_| unreadable(answer))?;
    let label = head.fields.get(LABEL).and_then(Json::as_str).and_then(label);
    Ok((now, label))
}

/// What is refused for good will not be told another time either.
fn no_answer(error: Classified) -> HistoryRead {
    match error.is_transient() {
        true => HistoryRead::Unknown(error.failure),
        false => HistoryRead::Untold,
    }
}

/// The versions of an answer, newest first; nothing where one of them is not a whole major version.
fn versions(answer: &HttpResponse, shape: &Shape) -> Option<Vec<ItemVersion>> {
    let told: VersionsAnswer = parse(answer).ok()?;
    let mut versions = Vec::with_capacity(told.value.len());
    for version in told.value {
        versions.push(ItemVersion {
            label: label(&version.id)?,
            by_us: shape.by_us(version.last_writer.as_ref()),
            complete: shape.all_visible,
            fields: keep(version.fields?, shape),
        });
    }
    versions.sort_by_key(|version| std::cmp::Reverse(version.label));
    Some(versions)
}

/// The number of a major version's label; drafts between two of them would not be counted by the counter.
fn label(text: &str) -> Option<u64> {
    text.strip_suffix(".0")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_major_versions_have_a_number() {
        assert_eq!(label("12.0"), Some(12));
        for draft in ["0.1", "1.1", "1", "x.0", ""] {
            assert_eq!(label(draft), None, "{draft}");
        }
    }
}
