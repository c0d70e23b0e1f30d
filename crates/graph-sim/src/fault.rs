//! Fault rules: what goes wrong, for which requests, how often. The grammar is described in the crate's
//! documentation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::random::{Random, hash_text};
use crate::route::Operation;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The request takes effect and its answer is lost.
    LostAnswer,
    /// The connection is cut before the request takes effect.
    LostBefore,
    /// A 5xx answer.
    ServerError,
    /// A 429 (or 503) answer with or without a waiting time.
    Throttle,
    /// A refusal of this very request.
    Refuse,
    /// An answer that comes late.
    Hang,
    /// A list that was just made is not found for a while.
    NewListNotFound,
    /// A failed precondition without cause.
    Precondition,
    /// A delta token that is answered with 410.
    Resync,
    /// An older copy of each item comes before the item itself in a page of changes.
    DeltaDuplicate,
    /// A token that is no longer accepted.
    Unauthorized,
}

/// One rule, as written in JSON. Numbers of milliseconds and counts must not be negative.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultRule {
    /// What goes wrong; required.
    pub kind: Option<FaultKind>,
    /// Kinds of requests (`create`, `patch`, `delete`, `delta`, `batch`, `token` …), groups (`any`, `read`,
    /// `write`) or methods (`GET` …). Empty: everything but `batch` and `token`.
    pub on: Vec<String>,
    /// Only requests to the list of this display name or id.
    pub list: Option<String>,
    /// Only items whose field of this name passes `equals`, `in` and `one_in`, judged by the values of the
    /// request and, for columns it does not set, of the stored item.
    pub field: Option<String>,
    /// The field's value (compared as JSON, or as text with its JSON form).
    pub equals: Option<Value>,
    /// Possible values of the field.
    #[serde(rename = "in")]
    pub any_of: Vec<Value>,
    /// One of so many values of the field, chosen by a hash of the value and the seed.
    pub one_in: Option<u64>,
    /// Strikes with this probability (0 to 1).
    pub probability: Option<f64>,
    /// Strikes at each n-th matching request.
    pub every: Option<u64>,
    /// Lets so many matching requests pass first.
    pub after: u64,
    /// Strikes at most so often.
    pub times: Option<u64>,
    /// `lost_answer`: an HTTP status to answer with instead of cutting the connection. `server_error`,
    /// `throttle`, `refuse`, `precondition`: the status.
    pub status: Option<u16>,
    /// The error code.
    pub code: Option<String>,
    /// The error message.
    pub message: Option<String>,
    /// `server_error`: `json` (default), `html` or `empty`.
    pub body: Option<String>,
    /// `server_error`: the request takes effect all the same. `hang`: it takes effect before the wait (else
    /// after it).
    pub applied: bool,
    /// `throttle`, `server_error`: the `Retry-After` header: a number of seconds (also decimal), `date:N` for an
    /// HTTP date N seconds ahead, or `missing`.
    pub retry_after: Option<String>,
    /// `hang`, `new_list_not_found`: milliseconds.
    pub millis: u64,
    /// `resync`: leave the `Location` header out.
    pub without_location: bool,
}

/// What of a request a rule can look at.
pub(crate) struct Subject<'a> {
    pub(crate) operation: Operation,
    pub(crate) method: &'static str,
    /// Display name and id of the list.
    pub(crate) list: Option<(&'a str, String)>,
    /// Age of the list in milliseconds.
    pub(crate) list_age: Option<i64>,
    /// The field values the request sets.
    pub(crate) fields: Option<&'a Map<String, Value>>,
    /// The stored value of a column.
    pub(crate) stored: &'a dyn Fn(&str) -> Option<Value>,
    /// Whether the request is part of a batch.
    pub(crate) part: bool,
}

/// A rule with its counters.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) rule: FaultRule,
    pub(crate) kind: FaultKind,
    pub(crate) matched: u64,
    pub(crate) hits: u64,
}

const GROUPS: [&str; 3] = ["any", "read", "write"];
const METHODS: [&str; 4] = ["GET", "POST", "PATCH", "DELETE"];

impl FaultRule {
    /// Reads the command line's form: a JSON object, or `kind,key=value,…` where lists are separated by `|`.
    ///
    /// # Errors
    /// A text that says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rule = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| format!("fault rule: {error}"))?
        } else {
            Self::from_pairs(text)?
        };
        rule.check()?;
        Ok(rule)
    }

    fn from_pairs(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::trim);
        let mut map = Map::new();
        map.insert("kind".to_owned(), Value::from(parts.next().unwrap_or_default()));
        for part in parts {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("fault rule: '{part}' should be key=value"))?;
            let number = || value.parse::<u64>().map(Value::from);
            let parsed = match key {
                "on" | "in" => value.split('|').map(Value::from).collect(),
                "probability" => {
                    let share: f64 = value
                        .parse()
                        .map_err(|_| "fault rule: probability must be a number")?;
                    Value::from(share)
                }
                "every" | "after" | "times" | "one_in" | "millis" | "status" => {
                    number().map_err(|_| format!("fault rule: {key} must be a whole number"))?
                }
                "applied" | "without_location" => {
                    let flag: bool = value
                        .parse()
                        .map_err(|_| format!("fault rule: {key} must be true or false"))?;
                    Value::from(flag)
                }
                _ => Value::from(value),
            };
            map.insert(key.to_owned(), parsed);
        }
        serde_json::from_value(Value::Object(map)).map_err(|error| format!("fault rule: {error}"))
    }

    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// A text that says which part is wrong.
    pub fn check(&self) -> Result<FaultKind, String> {
        let kind = self.kind.ok_or("fault rule: 'kind' is missing")?;
        for name in &self.on {
            let known = GROUPS.contains(&name.as_str())
                || METHODS.contains(&name.as_str())
                || Operation::parse(name).is_some();
            if !known {
                return Err(format!(
                    "fault rule: 'on' names '{name}', which is no kind of request"
                ));
            }
        }
        if self
            .probability
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return Err("fault rule: probability must lie between 0 and 1".to_owned());
        }
        if self.every == Some(0) || self.one_in == Some(0) {
            return Err("fault rule: every and one_in must be at least 1".to_owned());
        }
        let conditions = self.equals.is_some() || !self.any_of.is_empty() || self.one_in.is_some();
        if self.field.is_none() && conditions {
            return Err("fault rule: equals, in and one_in need a field".to_owned());
        }
        if self.status.is_some_and(|status| !(400..=599).contains(&status)) {
            return Err("fault rule: status must be 400 to 599".to_owned());
        }
        if self
            .body
            .as_deref()
            .is_some_and(|body| !matches!(body, "json" | "html" | "empty"))
        {
            return Err("fault rule: body must be json, html or empty".to_owned());
        }
        if let Some(wait) = &self.retry_after {
            let seconds = wait.strip_prefix("date:").unwrap_or(wait);
            if wait != "missing" && !seconds.parse::<f64>().is_ok_and(|n| n.is_finite() && n >= 0.0) {
                return Err("fault rule: retry_after must be seconds, date:seconds or missing".to_owned());
            }
        }
        let needs_millis = matches!(kind, FaultKind::Hang | FaultKind::NewListNotFound);
        if needs_millis && self.millis == 0 {
            return Err("fault rule: this kind needs millis".to_owned());
        }
        Ok(kind)
    }

    fn covers(&self, kind: FaultKind, subject: &Subject<'_>) -> bool {
        let operation = subject.operation;
        let whole = matches!(operation, Operation::Batch | Operation::Token);
        let named = if self.on.is_empty() {
            !whole
        } else {
            self.on.iter().any(|name| match name.as_str() {
                "any" => !whole,
                "read" => !whole && !operation.writes(),
                "write" => operation.writes_item(),
                name if METHODS.contains(&name) => !whole && subject.method == name,
                name => operation.name() == name,
            })
        };
        let fits = match kind {
            // A part of a batch is answered with the batch: only the whole can be held back unapplied.
            FaultKind::Hang => self.applied || !subject.part,
            FaultKind::NewListNotFound => subject
                .list_age
                .is_some_and(|age| age < i64::try_from(self.millis).unwrap_or(i64::MAX)),
            FaultKind::Precondition => matches!(operation, Operation::Patch | Operation::Delete),
            FaultKind::Resync | FaultKind::DeltaDuplicate => operation == Operation::Delta,
            FaultKind::Unauthorized => operation != Operation::Token,
            _ => true,
        };
        named && fits && self.list_fits(subject)
    }

    fn list_fits(&self, subject: &Subject<'_>) -> bool {
        self.list.as_ref().is_none_or(|wanted| {
            subject
                .list
                .as_ref()
                .is_some_and(|(name, id)| name == wanted || id.eq_ignore_ascii_case(wanted))
        })
    }

    fn field_fits(&self, seed: u64, subject: &Subject<'_>) -> bool {
        let Some(field) = &self.field else { return true };
        let given = subject.fields.and_then(|fields| fields.get(field)).cloned();
        let Some(value) = given.or_else(|| (subject.stored)(field)) else {
            return false;
        };
        let text = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let same = |wanted: &Value| *wanted == value || wanted.as_str() == Some(text.as_str());
        self.equals.as_ref().is_none_or(same)
            && (self.any_of.is_empty() || self.any_of.iter().any(same))
            && self
                .one_in
                .is_none_or(|n| (hash_text(&text) ^ crate::random::mix(seed)).is_multiple_of(n))
    }
}

/// The rules in force.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub(crate) rules: Vec<Fault>,
    random: Random,
    seed: u64,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rules: Vec::new(),
            random: Random::stream(seed, "faults"),
            seed,
        }
    }

    /// Takes everything out and leaves nothing; to be put back by assignment.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(0))
    }

    /// Replaces all rules; counters begin anew.
    pub(crate) fn set(&mut self, rules: Vec<FaultRule>) -> Result<(), String> {
        let before = std::mem::take(&mut self.rules);
        for rule in rules {
            if let Err(wrong) = self.add(rule) {
                self.rules = before;
                return Err(wrong);
            }
        }
        Ok(())
    }

    /// Adds a rule behind the others, whose counters go on.
    pub(crate) fn add(&mut self, rule: FaultRule) -> Result<(), String> {
        let kind = rule.check()?;
        self.rules.push(Fault {
            rule,
            kind,
            matched: 0,
            hits: 0,
        });
        Ok(())
    }

    /// Removes the rule at a place; `false` where there is none.
    pub(crate) fn remove(&mut self, at: usize) -> bool {
        let found = at < self.rules.len();
        if found {
            self.rules.remove(at);
        }
        found
    }

    /// The first rule that strikes at this request; its counters move.
    pub(crate) fn strike(&mut self, subject: &Subject<'_>) -> Option<Fault> {
        for fault in &mut self.rules {
            let rule = &fault.rule;
            if !rule.covers(fault.kind, subject) || !rule.field_fits(self.seed, subject) {
                continue;
            }
            fault.matched += 1;
            if fault.matched <= rule.after || rule.times.is_some_and(|times| fault.hits >= times) {
                continue;
            }
            if rule
                .every
                .is_some_and(|every| !(fault.matched - rule.after).is_multiple_of(every))
            {
                continue;
            }
            if rule.probability.is_some_and(|share| !self.random.chance(share)) {
                continue;
            }
            fault.hits += 1;
            return Some(fault.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{FaultKind, FaultRule, Faults, Subject};
    use crate::route::Operation;

    fn create(value: &str) -> serde_json::Map<String, serde_json::Value> {
        json!({ "Key": value }).as_object().unwrap().clone()
    }

    fn strikes(faults: &mut Faults, operation: Operation, value: &str) -> bool {
        let fields = create(value);
        let subject = Subject {
            operation,
            method: "POST",
            list: Some(("Contracts", "ab".to_owned())),
            list_age: None,
            fields: Some(&fields),
            stored: &|_| None,
            part: false,
        };
        faults.strike(&subject).is_some()
    }

    fn rules(texts: &[&str]) -> Faults {
        let mut faults = Faults::new(1);
        faults
            .set(texts.iter().map(|text| FaultRule::parse(text).unwrap()).collect())
            .unwrap();
        faults
    }

    #[test]
    fn the_two_spellings_of_a_rule_mean_the_same() {
        let short = FaultRule::parse("lost_answer,on=create|patch,every=10,times=3,status=504").unwrap();
        let long = FaultRule::parse(
            r#"{"kind":"lost_answer","on":["create","patch"],"every":10,"times":3,"status":504}"#,
        );
        assert_eq!(Ok(short.clone()), long);
        assert_eq!(short.kind, Some(FaultKind::LostAnswer));
    }

    #[test]
    fn a_wrong_rule_says_what_is_wrong() {
        for (text, part) in [
            ("explode", "unknown variant"),
            ("refuse,on=creation", "no kind of request"),
            ("refuse,probability=2", "between 0 and 1"),
            ("refuse,equals=3", "need a field"),
            ("refuse,every=0", "at least 1"),
            ("hang", "needs millis"),
            ("throttle,retry_after=soon", "retry_after"),
            ("refuse,colour=red", "unknown field"),
            ("refuse,status=200", "400 to 599"),
            ("refuse,every", "key=value"),
        ] {
            let error = FaultRule::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn after_every_and_times_count_matching_requests_only() {
        let mut faults = rules(&["refuse,on=create,after=2,every=2,times=2"]);
        let hits: Vec<bool> = (0..10)
            .map(|_| strikes(&mut faults, Operation::Create, "a"))
            .collect();
        assert_eq!(
            hits,
            [false, false, false, true, false, true, false, false, false, false]
        );
        assert!(!strikes(&mut faults, Operation::Patch, "a"));
        assert_eq!((faults.rules[0].matched, faults.rules[0].hits), (10, 2));
    }

    #[test]
    fn one_in_a_hundred_values_is_chosen_and_always_the_same_ones() {
        let mut faults = rules(&["refuse,field=Key,one_in=100"]);
        let chosen = |faults: &mut Faults| -> Vec<u32> {
            (0..10_000)
                .filter(|n| strikes(faults, Operation::Create, &n.to_string()))
                .collect()
        };
        let first = chosen(&mut faults);
        assert!(
            (60..140).contains(&first.len()),
            "{} of 10,000 values",
            first.len()
        );
        assert_eq!(first, chosen(&mut faults));
    }

    #[test]
    fn rules_without_on_leave_batches_and_tokens_alone() {
        let mut faults = rules(&["lost_before"]);
        assert!(!strikes(&mut faults, Operation::Batch, "a"));
        assert!(!strikes(&mut faults, Operation::Token, "a"));
        assert!(strikes(&mut faults, Operation::Patch, "a"));
        let mut whole = rules(&["lost_answer,on=batch"]);
        assert!(strikes(&mut whole, Operation::Batch, "a"));
    }

    #[test]
    fn lists_are_chosen_by_name_or_id_and_fields_by_value() {
        assert!(strikes(
            &mut rules(&["refuse,list=Contracts"]),
            Operation::Create,
            "a"
        ));
        assert!(strikes(&mut rules(&["refuse,list=AB"]), Operation::Create, "a"));
        assert!(!strikes(
            &mut rules(&["refuse,list=People"]),
            Operation::Create,
            "a"
        ));
        assert!(strikes(
            &mut rules(&["refuse,field=Key,in=x|a"]),
            Operation::Create,
            "a"
        ));
        assert!(!strikes(
            &mut rules(&["refuse,field=Key,equals=x"]),
            Operation::Create,
            "a"
        ));
        assert!(!strikes(
            &mut rules(&["refuse,field=Other"]),
            Operation::Create,
            "a"
        ));
    }
}
