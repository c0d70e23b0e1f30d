//! What goes wrong in a history: on the way to the service and back, in the service, and in the memory.

use serde::Serialize;
use syncbridge_graph_sim::{FaultKind, FaultRule};

use crate::random::Random;

/// What can go wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTheWay {
    /// No connection is made; the client knows.
    NoConnection,
    /// The request never arrives, the client sees a broken connection.
    LostRequest,
    /// The request never arrives, the client waits in vain.
    Silence,
    /// The request takes effect, its answer never comes.
    LostAnswer,
    /// The request takes effect, the connection breaks before the answer is complete.
    BrokenAnswer,
    /// The request arrives late, perhaps after the client gave up.
    LateRequest,
    /// The answer comes late, perhaps after the client gave up.
    LateAnswer,
    /// The request arrives a second time, somewhat later.
    Twice,
    /// The answer's body ends in the middle.
    Truncated,
    /// The answer's body is not what it says.
    Garbage,
}

impl OnTheWay {
    /// Every kind.
    pub const ALL: [OnTheWay; 10] = [
        OnTheWay::NoConnection,
        OnTheWay::LostRequest,
        OnTheWay::Silence,
        OnTheWay::LostAnswer,
        OnTheWay::BrokenAnswer,
        OnTheWay::LateRequest,
        OnTheWay::LateAnswer,
        OnTheWay::Twice,
        OnTheWay::Truncated,
        OnTheWay::Garbage,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            OnTheWay::NoConnection => "no_connection",
            OnTheWay::LostRequest => "lost_request",
            OnTheWay::Silence => "silence",
            OnTheWay::LostAnswer => "lost_answer",
            OnTheWay::BrokenAnswer => "broken_answer",
            OnTheWay::LateRequest => "late_request",
            OnTheWay::LateAnswer => "late_answer",
            OnTheWay::Twice => "twice",
            OnTheWay::Truncated => "truncated",
            OnTheWay::Garbage => "garbage",
        }
    }
}

/// How much goes wrong.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Faults {
    /// Kinds with their share of exchanges, in thousandths.
    pub on_the_way: Vec<(OnTheWay, u64)>,
    /// Rules of the simulated service.
    pub service: Vec<FaultRule>,
    /// Calls of the memory that do not get through, in thousandths.
    pub memory_unreachable: u64,
    /// Calls of the memory whose answer is lost, in thousandths.
    pub memory_unanswered: u64,
    /// Reads of the source that fail, in thousandths.
    pub source_unreachable: u64,
    /// The history is at its end.
    #[serde(skip)]
    at_rest: bool,
}

impl Faults {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            at_rest: true,
            ..Self::default()
        }
    }

    /// Whether nothing goes wrong any more: a history is at rest.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.at_rest
    }

    /// The same, with what may go wrong where the list's changes are followed.
    #[must_use]
    pub fn with_delta(mut self, random: &mut Random) -> Self {
        for rule in delta_rules() {
            if random.permille(250) {
                #[allow(clippy::cast_precision_loss, reason = "a small number")]
                let probability = random.between(5, 120) as f64 / 1_000.0;
                self.service.push(FaultRule {
                    probability: Some(probability),
                    ..rule
                });
            }
        }
        self
    }

    /// Those of a seed.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        // From a calm day to a very bad one.
        let temper = *random.pick(&[0, 10, 10, 30, 30, 60]);
        if temper == 0 {
            return Self::default();
        }
        let mut on_the_way = Vec::new();
        for kind in OnTheWay::ALL {
            if random.permille(450) {
                on_the_way.push((kind, random.between(1, temper)));
            }
        }
        let mut service = Vec::new();
        for rule in rules() {
            if random.permille(300) {
                #[allow(clippy::cast_precision_loss, reason = "a small number")]
                let probability = random.between(1, temper) as f64 / 1_000.0;
                service.push(FaultRule {
                    probability: Some(probability),
                    ..rule
                });
            }
        }
        let rarely = |random: &mut Random| {
            if random.permille(300) {
                random.between(1, 8)
            } else {
                0
            }
        };
        Self {
            on_the_way,
            service,
            memory_unreachable: rarely(random),
            memory_unanswered: rarely(random),
            source_unreachable: rarely(random),
            at_rest: false,
        }
    }
}

/// Rules of the service that a seed may choose from; the share is the seed's.
fn rules() -> Vec<FaultRule> {
    let rule = |kind| FaultRule {
        kind: Some(kind),
        ..FaultRule::default()
    };
    let on = |kind, names: &[&str]| FaultRule {
        on: names.iter().map(|name| (*name).to_owned()).collect(),
        ..rule(kind)
    };
    let waiting = |kind, wait: &str| FaultRule {
        retry_after: Some(wait.to_owned()),
        ..rule(kind)
    };
    let body = |body: &str, applied| FaultRule {
        body: Some(body.to_owned()),
        applied,
        ..rule(FaultKind::ServerError)
    };
    vec![
        rule(FaultKind::LostAnswer),
        rule(FaultKind::LostBefore),
        on(FaultKind::LostAnswer, &["batch"]),
        on(FaultKind::LostBefore, &["batch"]),
        FaultRule {
            status: Some(504),
            ..on(FaultKind::LostAnswer, &["write"])
        },
        body("json", false),
        body("html", false),
        body("empty", false),
        body("json", true),
        body("empty", true),
        FaultRule {
            status: Some(500),
            ..body("json", true)
        },
        waiting(FaultKind::ServerError, "2"),
        waiting(FaultKind::Throttle, "1"),
        waiting(FaultKind::Throttle, "7.5"),
        waiting(FaultKind::Throttle, "date:3"),
        waiting(FaultKind::Throttle, "missing"),
        FaultRule {
            on: vec!["batch".to_owned()],
            ..waiting(FaultKind::Throttle, "2")
        },
        FaultRule {
            millis: 20_000,
            ..on(FaultKind::Hang, &["write"])
        },
        FaultRule {
            millis: 15_000,
            applied: true,
            ..on(FaultKind::Hang, &["write"])
        },
        rule(FaultKind::Precondition),
        rule(FaultKind::Unauthorized),
        on(FaultKind::ServerError, &["token"]),
    ]
}

/// Rules about the list's feed of changes.
fn delta_rules() -> Vec<FaultRule> {
    let on_delta = |kind| FaultRule {
        kind: Some(kind),
        on: vec!["delta".to_owned()],
        ..FaultRule::default()
    };
    vec![
        on_delta(FaultKind::Resync),
        on_delta(FaultKind::DeltaDuplicate),
        on_delta(FaultKind::ServerError),
        FaultRule {
            status: Some(400),
            code: Some("invalidRequest".to_owned()),
            message: Some("Provided sync token is malformed.".to_owned()),
            ..on_delta(FaultKind::Refuse)
        },
        FaultRule {
            retry_after: Some("3".to_owned()),
            ..on_delta(FaultKind::Throttle)
        },
    ]
}

/// The name of a rule in reports.
#[must_use]
pub fn rule_name(rule: &FaultRule) -> String {
    let kind = rule.kind.map_or_else(String::new, |kind| format!("{kind:?}"));
    let mut name = format!("service_{}", kind.to_lowercase());
    for part in &rule.on {
        name.push('_');
        name.push_str(part);
    }
    if let Some(body) = &rule.body {
        name.push('_');
        name.push_str(body);
    }
    if rule.applied {
        name.push_str("_applied");
    }
    if let Some(wait) = &rule.retry_after {
        name.push_str("_after_");
        name.push_str(wait);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_one_that_the_service_takes_and_has_a_name_of_its_own() {
        let mut names = std::collections::BTreeSet::new();
        for rule in rules().into_iter().chain(delta_rules()) {
            assert!(rule.check().is_ok(), "{rule:?}");
            assert!(
                names.insert(format!("{} {:?}", rule_name(&rule), rule.status)),
                "{rule:?}"
            );
        }
    }
}
