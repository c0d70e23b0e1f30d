//! What was spent: resource units by application, kind of request and why-tag, and the last requests.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::guid::Guid;
use crate::route::Operation;

/// Names of the why-tags by their number; 0 is everything without a known one.
const TAGS: [&str; 10] = [
    "untagged",
    "first_write",
    "change",
    "probe",
    "precondition_retry",
    "fault_retry",
    "delta",
    "scan",
    "verify",
    "provision",
];

/// Why a request was made, read from its `client-request-id`: a version-8 UUID whose first byte is the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Tag(u8);

impl Tag {
    pub(crate) fn of(client_request_id: Option<&str>) -> Self {
        let id = client_request_id
            .and_then(Guid::parse)
            .filter(|id| id.version() == 8);
        let number = id.map_or(0, Guid::first_byte);
        Self(if usize::from(number) < TAGS.len() {
            number
        } else {
            0
        })
    }

    pub(crate) fn name(self) -> &'static str {
        TAGS.get(usize::from(self.0)).copied().unwrap_or("untagged")
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sum {
    requests: u64,
    units: u64,
}

impl Sum {
    fn add(&mut self, units: u64) {
        self.requests += 1;
        self.units += units;
    }

    const fn join(&mut self, other: Self) {
        self.requests += other.requests;
        self.units += other.units;
    }

    fn json(self) -> Value {
        json!({ "requests": self.requests, "ru": self.units })
    }
}

/// Sums of one application, or of all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Account {
    total: Sum,
    #[serde(with = "pairs")]
    cells: BTreeMap<(Operation, Tag), Sum>,
    throttled: u64,
    creates: u64,
    patches: u64,
    deletes: u64,
}

impl Account {
    fn json(&self) -> Value {
        let mut kinds: BTreeMap<&str, Sum> = BTreeMap::new();
        let mut tags: BTreeMap<&str, Sum> = BTreeMap::new();
        let mut both = Vec::new();
        for ((operation, tag), sum) in &self.cells {
            kinds.entry(operation.name()).or_default().join(*sum);
            // A batch costs nothing itself; its parts carry the tags.
            if *operation == Operation::Batch {
                continue;
            }
            tags.entry(tag.name()).or_default().join(*sum);
            both.push(json!({
                "kind": operation.name(), "tag": tag.name(), "requests": sum.requests, "ru": sum.units,
            }));
        }
        let object = |sums: BTreeMap<&str, Sum>| -> Map<String, Value> {
            sums.into_iter()
                .map(|(name, sum)| (name.to_owned(), sum.json()))
                .collect()
        };
        json!({
            "requests": self.total.requests,
            "ru": self.total.units,
            "throttled": self.throttled,
            "by_kind": object(kinds),
            "by_tag": object(tags),
            "by_kind_and_tag": both,
            "item_writes": { "creates": self.creates, "patches": self.patches, "deletes": self.deletes },
        })
    }
}

/// A path as it is remembered: one of absurd length is cut.
pub(crate) fn shortened(path: &str) -> String {
    path.chars().take(300).collect()
}

/// One remembered request. Never holds a body, a header or the value of a query option.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) time: DateTime<Utc>,
    pub(crate) client: Option<u16>,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) operation: Operation,
    pub(crate) tag: Tag,
    pub(crate) units: u64,
    /// Whether it was part of a batch.
    pub(crate) part: bool,
    /// The fault that struck, where one did.
    pub(crate) fault: Option<&'static str>,
}

/// All accounts and the recent requests. A file keeps the accounts only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    all: Account,
    clients: BTreeMap<u16, Account>,
    #[serde(skip)]
    recent: VecDeque<Seen>,
    #[serde(skip)]
    remembered: usize,
}

/// A map whose keys are no texts, as a list of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Operation, Sum, Tag};

    type Cells = BTreeMap<(Operation, Tag), Sum>;

    pub(super) fn serialize<S: Serializer>(cells: &Cells, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(cells)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cells, D::Error> {
        let pairs = Vec::<((Operation, Tag), Sum)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().collect())
    }
}

impl Usage {
    pub(crate) fn new(remembered: usize) -> Self {
        Self {
            all: Account::default(),
            clients: BTreeMap::new(),
            recent: VecDeque::new(),
            remembered,
        }
    }

    pub(crate) fn record(&mut self, seen: Seen) {
        if let Some(client) = seen.client {
            for account in [&mut self.all, self.clients.entry(client).or_default()] {
                account.total.add(seen.units);
                account
                    .cells
                    .entry((seen.operation, seen.tag))
                    .or_default()
                    .add(seen.units);
                account.throttled += u64::from(seen.status == 429);
            }
        }
        if self.remembered > 0 {
            while self.recent.len() >= self.remembered {
                self.recent.pop_front();
            }
            self.recent.push_back(seen);
        }
    }

    /// Counts a write that took effect, whatever became of its answer.
    pub(crate) fn written(&mut self, client: u16, operation: Operation) {
        for account in [&mut self.all, self.clients.entry(client).or_default()] {
            match operation {
                Operation::Create => account.creates += 1,
                Operation::Patch => account.patches += 1,
                Operation::Delete => account.deletes += 1,
                _ => {}
            }
        }
    }

    /// These accounts with the memory for recent requests of a new start.
    pub(crate) fn continued(self, fresh: Self) -> Self {
        Self {
            all: self.all,
            clients: self.clients,
            ..fresh
        }
    }

    pub(crate) fn reset(&mut self) {
        self.all = Account::default();
        self.clients.clear();
    }

    pub(crate) fn json(&self, names: &[String]) -> Value {
        let mut value = self.all.json();
        let clients: Map<String, Value> = self
            .clients
            .iter()
            .map(|(number, account)| {
                let name = names.get(usize::from(*number)).cloned().unwrap_or_default();
                (name, account.json())
            })
            .collect();
        value["clients"] = Value::Object(clients);
        value
    }

    /// The last requests, newest first.
    pub(crate) fn recent(&self, limit: usize, names: &[String]) -> Vec<Value> {
        let newest = self.recent.iter().rev().take(limit);
        newest
            .map(|seen| {
                let client = seen.client.and_then(|number| names.get(usize::from(number)));
                json!({
                    "time": seen.time.to_rfc3339_opts(SecondsFormat::Millis, true),
                    "client": client,
                    "method": seen.method,
                    "path": seen.path,
                    "status": seen.status,
                    "kind": seen.operation.name(),
                    "tag": seen.tag.name(),
                    "ru": seen.units,
                    "batch": seen.part,
                    "fault": seen.fault,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn the_tag_is_the_first_byte_of_a_version_eight_uuid() {
        let tag = |id: &str| Tag::of(Some(id)).name();
        assert_eq!(tag("01000000-0000-8000-8000-000000000000"), "first_write");
        assert_eq!(tag("09abcdef-1234-8abc-9def-000000000000"), "provision");
        assert_eq!(tag("0a000000-0000-8000-8000-000000000000"), "untagged");
        assert_eq!(tag("01000000-0000-4000-8000-000000000000"), "untagged");
        assert_eq!(tag("nonsense"), "untagged");
        assert_eq!(Tag::of(None).name(), "untagged");
    }
}
