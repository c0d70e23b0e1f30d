//! How long the other side asked us to wait: `Retry-After` and `RateLimit-*` (contract §10).

use std::time::Duration;

use chrono::{DateTime, Utc};
use syncbridge_domain::quota::Ru;

use crate::transport::HttpResponse;

/// The longest wait that is believed; the longest bucket is a day.
const LONGEST: Duration = Duration::from_secs(86_400);
/// The pause where a throttled answer names none.
pub(crate) const DEFAULT_PAUSE: Duration = Duration::from_secs(5);

/// What an answer says about the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateSigns {
    /// `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    /// `RateLimit-Remaining`.
    pub(crate) remaining: Option<Ru>,
    /// `RateLimit-Reset`.
    pub(crate) reset: Option<Duration>,
}

impl RateSigns {
    /// Reads an answer's headers. `now` serves only where a date is named and the answer bears no `Date`.
    pub(crate) fn of(answer: &HttpResponse, now: DateTime<Utc>) -> Self {
        let sent = answer.header("date").and_then(http_date).unwrap_or(now);
        Self {
            retry_after: answer.header("retry-after").and_then(|text| wait(text, sent)),
            remaining: answer
                .header("ratelimit-remaining")
                .and_then(|text| text.trim().parse().ok())
                .map(Ru),
            reset: answer.header("ratelimit-reset").and_then(seconds),
        }
    }

    /// How long nothing is to be sent, where the answer is a throttled one.
    pub(crate) fn pause(&self) -> Duration {
        match (self.retry_after, self.reset) {
            (None, None) => DEFAULT_PAUSE,
            (a, b) => a.unwrap_or_default().max(b.unwrap_or_default()),
        }
    }
}

/// `Retry-After` as whole seconds, decimal seconds or a date.
fn wait(text: &str, sent: DateTime<Utc>) -> Option<Duration> {
    seconds(text).or_else(|| {
        let until = http_date(text)?;
        Some((until - sent).to_std().unwrap_or(Duration::ZERO).min(LONGEST))
    })
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    Some(Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text.trim())
        .ok()
        .map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&str, &str)]) -> HttpResponse {
        let headers = headers
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        HttpResponse {
            status: 429,
            headers,
            body: bytes::Bytes::new(),
        }
    }

    fn pause(headers: &[(&str, &str)]) -> Duration {
        RateSigns::of(
            &answer(headers),
            http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap(),
        )
        .pause()
    }

    #[test]
    fn a_wait_is_read_as_integer_decimal_and_date() {
        assert_eq!(pause(&[("Retry-After", "7")]), Duration::from_secs(7));
        assert_eq!(pause(&[("retry-after", "0.249")]), Duration::from_millis(249));
        assert_eq!(
            pause(&[("Retry-After", "Wed, 21 Oct 2026 07:28:30 GMT")]),
            Duration::from_secs(30)
        );
        let by_server_date = [
            ("Date", "Wed, 21 Oct 2026 08:00:00 GMT"),
            ("Retry-After", "Wed, 21 Oct 2026 08:00:04 GMT"),
        ];
        assert_eq!(pause(&by_server_date), Duration::from_secs(4));
    }

    #[test]
    fn the_longer_of_retry_after_and_reset_counts_and_nonsense_is_bounded() {
        assert_eq!(
            pause(&[("Retry-After", "3"), ("RateLimit-Reset", "31")]),
            Duration::from_secs(31)
        );
        assert_eq!(pause(&[("RateLimit-Reset", "2")]), Duration::from_secs(2));
        assert_eq!(pause(&[]), DEFAULT_PAUSE);
        for nonsense in ["-1", "NaN", "inf", "soon", ""] {
            assert_eq!(pause(&[("Retry-After", nonsense)]), DEFAULT_PAUSE, "{nonsense}");
        }
        assert_eq!(pause(&[("Retry-After", "1e30")]), LONGEST);
        assert_eq!(
            pause(&[("Retry-After", "Wed, 21 Oct 2020 07:28:30 GMT")]),
            Duration::ZERO
        );
    }
}
