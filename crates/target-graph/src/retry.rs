//! Asking again: reads and tokens only. A write is repeated by nobody but the engine, through its effect.

use std::time::Duration;

use syncbridge_domain::clock::Entropy;
use syncbridge_domain::failure::{Failure, Scope};

use crate::codes;
use crate::transport::{TransportError, TransportErrorKind};

/// How often and how patiently a read is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRules {
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// Wait before the second attempt; doubled for each further one.
    pub first_wait: Duration,
    /// No wait of our own choosing is longer.
    pub longest_wait: Duration,
    /// A wait the service asks for that is longer than this ends the attempt instead.
    pub patience: Duration,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            patience: Duration::from_secs(600),
        }
    }
}

impl RetryRules {
    /// How long to wait after so many failed attempts; `None` means that it is enough. What the service asked
    /// for is kept in full; jitter comes on top of it, and of our own waits the upper half is drawn.
    pub(crate) fn wait(
        &self,
        failed: u32,
        asked: Option<Duration>,
        entropy: &dyn Entropy,
    ) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let doubled = self
            .first_wait
            .saturating_mul(1 << failed.saturating_sub(1).min(16))
            .min(self.longest_wait);
        let half = doubled / 2;
        let jitter = Duration::from_millis(entropy.up_to(u64::try_from(half.as_millis()).unwrap_or(0)));
        match asked {
            Some(asked) if asked > self.patience => None,
            Some(asked) => Some(asked + jitter.min(asked / 10)),
            None => Some(half + jitter),
        }
    }
}

/// What a request without an answer means.
pub(crate) fn unanswered(error: TransportError) -> Failure {
    let (code, cause, fix) = match error.kind {
        TransportErrorKind::Resolve => (
            codes::UNREACHABLE,
            "the host name of the service cannot be resolved",
            "check the connection's cloud and this machine's name resolution",
        ),
        TransportErrorKind::Connect => (
            codes::UNREACHABLE,
            "the service cannot be reached",
            "check network, firewall and proxy between this machine and the service",
        ),
        TransportErrorKind::Tls => (
            codes::UNREACHABLE,
            "no trusted TLS connection to the service",
            "check this machine's trusted authorities and any intercepting proxy",
        ),
        TransportErrorKind::Denied => (
            codes::EGRESS_DENIED,
            "the service's name leads to an address that is never sent to",
            "check the connection's cloud and this machine's name resolution",
        ),
        TransportErrorKind::Timeout => (
            codes::NO_ANSWER,
            "no answer in time",
            "nothing to do: it is looked at again; check the network if it stays",
        ),
        TransportErrorKind::Broken => (
            codes::NO_ANSWER,
            "the connection broke before the answer was complete",
            "nothing to do: it is looked at again; check the network if it stays",
        ),
        TransportErrorKind::AnswerTooLarge => (
            codes::ANSWER_TOO_LARGE,
            "the answer is larger than SyncBridge reads",
            "lower the page size of the target; if it is low already, report it",
        ),
    };
    let scope = match error.kind {
        TransportErrorKind::AnswerTooLarge => Scope::List,
        TransportErrorKind::Denied => Scope::Tenant,
        _ => Scope::Outage,
    };
    Failure::new(scope, code, cause, fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counting;

    #[test]
    fn waits_double_within_bounds_and_end() {
        let rules = RetryRules::default();
        let entropy = Counting::new();
        for (failed, most) in [(1, 500), (2, 1_000), (3, 2_000), (5, 8_000)] {
            let wait = rules.wait(failed, None, entropy.as_ref()).unwrap();
            let most = Duration::from_millis(most);
            assert!(wait >= most / 2 && wait <= most, "{failed}: {wait:?}");
        }
        assert_eq!(rules.wait(6, None, entropy.as_ref()), None);
    }

    #[test]
    fn what_the_service_asked_for_is_never_shortened() {
        let rules = RetryRules::default();
        let entropy = Counting::new();
        let asked = Duration::from_secs(20);
        assert!(rules.wait(1, Some(asked), entropy.as_ref()).unwrap() >= asked);
        assert_eq!(
            rules.wait(1, Some(Duration::from_secs(3_600)), entropy.as_ref()),
            None
        );
    }
}
