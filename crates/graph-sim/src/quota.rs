//! Quotas of resource units: three windows per the licence table, measured by one of three models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::options::QuotaModel;

/// The limits that a licence count buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Per application and tenant in one minute.
    pub minute: u64,
    /// Per application and tenant in one day.
    pub day: u64,
    /// Of the whole tenant in five minutes.
    pub tenant: u64,
}

impl Limits {
    /// The documented table.
    #[must_use]
    pub const fn of_licenses(licenses: u64) -> Self {
        let step = match licenses {
            0..=1_000 => 1,
            1_001..=5_000 => 2,
            5_001..=15_000 => 3,
            15_001..=50_000 => 4,
            _ => 5,
        };
        Self {
            minute: 1_250 * step,
            day: 1_200_000 * step,
            tenant: 18_750 * step,
        }
    }
}

const SLOTS: usize = 60;

/// An array of this length as serde cannot do it by itself.
mod slots {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::SLOTS;

    pub(super) fn serialize<S: Serializer>(slots: &[u64; SLOTS], serializer: S) -> Result<S::Ok, S::Error> {
        slots.as_slice().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u64; SLOTS], D::Error> {
        let slots = Vec::<u64>::deserialize(deserializer)?;
        slots
            .try_into()
            .map_err(|_| D::Error::custom("a window has sixty slots"))
    }
}

/// One measured window. Times are Unix milliseconds and never run backwards inside (an earlier one counts as the
/// latest seen).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Window {
    model: QuotaModel,
    limit: u64,
    length: i64,
    latest: i64,
    /// Fixed: units spent in the window that began at `start`.
    used: u64,
    start: i64,
    /// Sliding: units per sixtieth of the window.
    #[serde(with = "slots")]
    slots: [u64; SLOTS],
    /// Bucket: what is left, possibly a debt.
    left: f64,
}

impl Window {
    pub(crate) const fn new(model: QuotaModel, limit: u64, seconds: i64) -> Self {
        let length = seconds * 1_000;
        Self {
            model,
            limit,
            length,
            latest: i64::MIN,
            used: 0,
            start: 0,
            slots: [0; SLOTS],
            left: limit as f64,
        }
    }

    fn advance(&mut self, now: i64) {
        let now = now.max(self.latest);
        let slot = self.length / SLOTS as i64;
        match self.model {
            QuotaModel::Fixed => {
                let start = now.div_euclid(self.length) * self.length;
                if start != self.start {
                    self.start = start;
                    self.used = 0;
                }
            }
            QuotaModel::Sliding => {
                let (new, old) = (now.div_euclid(slot), self.latest.div_euclid(slot));
                let passed = if self.latest == i64::MIN {
                    SLOTS as i64
                } else {
                    (new - old).min(SLOTS as i64)
                };
                for step in 0..passed {
                    self.slots[(new - step).rem_euclid(SLOTS as i64) as usize] = 0;
                }
            }
            QuotaModel::Bucket => {
                if self.latest != i64::MIN {
                    let refill = (now - self.latest) as f64 * self.limit as f64 / self.length as f64;
                    self.left = (self.left + refill).min(self.limit as f64);
                }
            }
        }
        self.latest = now;
    }

    /// Units spent in the window that ends now.
    pub(crate) fn spent(&mut self, now: i64) -> u64 {
        self.advance(now);
        match self.model {
            QuotaModel::Fixed => self.used,
            QuotaModel::Sliding => self.slots.iter().sum(),
            QuotaModel::Bucket => (self.limit as f64 - self.left).max(0.0).ceil() as u64,
        }
    }

    /// Counts a request, admitted or not, and answers the milliseconds to wait where it is over the limit.
    pub(crate) fn charge(&mut self, cost: u64, now: i64) -> Option<i64> {
        let before = self.spent(now);
        let now = self.latest;
        let over = before + cost > self.limit;
        let slot = self.length / SLOTS as i64;
        match self.model {
            QuotaModel::Fixed => self.used += cost,
            QuotaModel::Sliding => self.slots[now.div_euclid(slot).rem_euclid(SLOTS as i64) as usize] += cost,
            // A debt is bounded by one window, or calls made in vain would shut the service for ever.
            QuotaModel::Bucket => self.left = (self.left - cost as f64).max(-(self.limit as f64)),
        }
        over.then(|| self.wait(cost))
    }

    /// Milliseconds until a request of this cost would be admitted.
    fn wait(&self, cost: u64) -> i64 {
        let now = self.latest;
        match self.model {
            QuotaModel::Fixed => self.start + self.length - now,
            QuotaModel::Sliding => {
                let slot = self.length / SLOTS as i64;
                let current = now.div_euclid(slot);
                let mut total: u64 = self.slots.iter().sum();
                for age in (0..SLOTS as i64).rev() {
                    total -= self.slots[(current - age).rem_euclid(SLOTS as i64) as usize];
                    if total + cost <= self.limit {
                        return (current - age) * slot + self.length - now;
                    }
                }
                self.length
            }
            QuotaModel::Bucket => {
                let missing = cost as f64 - self.left;
                (missing * self.length as f64 / self.limit as f64).ceil() as i64
            }
        }
    }

    /// Milliseconds until the window is as good as new.
    fn reset(&self) -> i64 {
        match self.model {
            QuotaModel::Fixed => self.start + self.length - self.latest,
            QuotaModel::Sliding => self.length,
            QuotaModel::Bucket => {
                let missing = self.limit as f64 - self.left;
                (missing * self.length as f64 / self.limit as f64).ceil() as i64
            }
        }
    }

    /// `RateLimit-Limit`, `-Remaining` and `-Reset` (seconds), from eighty per cent on.
    pub(crate) fn headers(&mut self, now: i64) -> Option<[(&'static str, String); 3]> {
        let spent = self.spent(now);
        (spent * 5 >= self.limit * 4).then(|| {
            [
                ("RateLimit-Limit", self.limit.to_string()),
                (
                    "RateLimit-Remaining",
                    self.limit.saturating_sub(spent).to_string(),
                ),
                ("RateLimit-Reset", seconds_up(self.reset()).to_string()),
            ]
        })
    }
}

/// Every window of a tenant.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Quotas {
    model: QuotaModel,
    limits: Limits,
    /// Minute and day of each application.
    clients: BTreeMap<u16, [Window; 2]>,
    tenant: Window,
}

impl Quotas {
    pub(crate) const fn new(model: QuotaModel, licenses: u64) -> Self {
        let limits = Limits::of_licenses(licenses);
        let tenant = Window::new(model, limits.tenant, 300);
        Self {
            model,
            limits,
            clients: BTreeMap::new(),
            tenant,
        }
    }

    fn own(&mut self, client: u16) -> &mut [Window; 2] {
        let (model, limits) = (self.model, self.limits);
        self.clients.entry(client).or_insert_with(|| {
            [
                Window::new(model, limits.minute, 60),
                Window::new(model, limits.day, 86_400),
            ]
        })
    }

    /// Charges every window that a request falls into; the milliseconds to wait for each that is over.
    pub(crate) fn charge(&mut self, client: u16, units: u64, now: i64) -> [Option<i64>; 3] {
        let own = self.own(client);
        let (minute, day) = (own[0].charge(units, now), own[1].charge(units, now));
        [minute, day, self.tenant.charge(units, now)]
    }

    /// Whether these windows measure the same limits in the same way.
    pub(crate) fn measures_like(&self, other: &Self) -> bool {
        self.model == other.model && self.limits == other.limits
    }

    /// Every window with its limit, what is spent of it, and the seconds until it is as good as new.
    pub(crate) fn json(&mut self, names: &[String], now: i64) -> Value {
        fn one(window: &mut Window, now: i64) -> Value {
            let spent = window.spent(now);
            let reset = seconds_up(window.reset());
            json!({ "limit": window.limit, "spent": spent, "resetSeconds": reset })
        }
        let mut clients = Map::new();
        for (number, [minute, day]) in &mut self.clients {
            let name = names.get(usize::from(*number)).cloned().unwrap_or_default();
            let windows = json!({ "minute": one(minute, now), "day": one(day, now) });
            clients.insert(name, windows);
        }
        json!({ "model": self.model, "tenant": one(&mut self.tenant, now), "clients": clients })
    }

    /// The rate headers of an application, where they are due.
    pub(crate) fn headers(&mut self, client: u16, now: i64) -> Option<[(&'static str, String); 3]> {
        self.own(client)[0].headers(now)
    }
}

/// Whole seconds, rounded up, at least one.
pub(crate) const fn seconds_up(millis: i64) -> i64 {
    let seconds = (millis + 999) / 1_000;
    if seconds < 1 { 1 } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::{Limits, Window};
    use crate::options::QuotaModel;

    #[test]
    fn licences_buy_the_documented_limits() {
        let limits = |n| {
            let limits = Limits::of_licenses(n);
            (limits.minute, limits.day, limits.tenant)
        };
        assert_eq!(limits(0), (1_250, 1_200_000, 18_750));
        assert_eq!(limits(1_000), (1_250, 1_200_000, 18_750));
        assert_eq!(limits(1_001), (2_500, 2_400_000, 37_500));
        assert_eq!(limits(15_000), (3_750, 3_600_000, 56_250));
        assert_eq!(limits(50_000), (5_000, 4_800_000, 75_000));
        assert_eq!(limits(50_001), (6_250, 6_000_000, 93_750));
    }

    #[test]
    fn a_fixed_window_begins_anew_at_the_full_minute() {
        let mut window = Window::new(QuotaModel::Fixed, 10, 60);
        assert_eq!(window.charge(10, 30_000), None);
        assert_eq!(window.charge(1, 50_000), Some(10_000));
        assert_eq!(window.charge(10, 60_000), None);
    }

    #[test]
    fn a_sliding_window_frees_units_as_they_grow_old() {
        let mut window = Window::new(QuotaModel::Sliding, 10, 60);
        assert_eq!(window.charge(6, 0), None);
        assert_eq!(window.charge(4, 30_000), None);
        let wait = window.charge(2, 45_000).unwrap();
        assert_eq!(wait, 15_000);
        assert_eq!(window.charge(2, 60_000), None, "the six of a minute ago are gone");
        assert_eq!(window.spent(600_000), 0);
    }

    #[test]
    fn a_bucket_refills_evenly_and_vain_calls_make_a_bounded_debt() {
        let mut window = Window::new(QuotaModel::Bucket, 60, 60);
        assert_eq!(window.charge(60, 0), None);
        assert_eq!(window.charge(1, 0), Some(2_000), "the refused call costs as well");
        assert_eq!(window.charge(1, 2_000), None);
        for _ in 0..1_000 {
            window.charge(10, 2_000);
        }
        assert_eq!(window.charge(1, 2_000 + 61_000), None);
    }

    #[test]
    fn the_rate_headers_appear_at_eighty_per_cent() {
        for model in [QuotaModel::Fixed, QuotaModel::Sliding, QuotaModel::Bucket] {
            let mut window = Window::new(model, 100, 60);
            window.charge(79, 0);
            assert!(window.headers(0).is_none());
            window.charge(1, 0);
            let headers = window.headers(0).unwrap();
            assert_eq!(headers[0].1, "100");
            assert_eq!(headers[1].1, "20");
        }
    }

    #[test]
    fn a_clock_that_runs_backwards_frees_nothing() {
        let mut window = Window::new(QuotaModel::Sliding, 10, 60);
        window.charge(10, 100_000);
        assert!(window.charge(1, 20_000).is_some());
        assert_eq!(window.spent(20_000), 11);
    }
}
