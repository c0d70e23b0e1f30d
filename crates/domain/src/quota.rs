//! Resource units: what a request costs, why it was made, and how much may be spent (DESIGN §9).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Monotonic;

/// Resource units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Ru(pub u64);

impl Ru {
    /// One item by id, or a delta page with a token.
    pub const SINGLE_READ: Ru = Ru(1);
    /// A page of many items.
    pub const MULTI_READ: Ru = Ru(2);
    /// Create, update or delete.
    pub const WRITE: Ru = Ru(2);
}

impl std::ops::Add for Ru {
    type Output = Ru;

    fn add(self, rhs: Ru) -> Ru {
        Ru(self.0 + rhs.0)
    }
}

impl std::ops::AddAssign for Ru {
    fn add_assign(&mut self, rhs: Ru) {
        self.0 += rhs.0;
    }
}

impl std::iter::Sum for Ru {
    fn sum<I: Iterator<Item = Ru>>(iter: I) -> Ru {
        iter.fold(Ru(0), |a, b| a + b)
    }
}

impl fmt::Display for Ru {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} RU", self.0)
    }
}

/// Why a request was made. Carried in `client-request-id` as the first byte of a version-8 UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum WhyTag {
    /// A row's first arrival.
    FirstWrite = 1,
    /// A change that travels.
    Change = 2,
    /// Looking whether something is so.
    Probe = 3,
    /// Again, because the item had moved on.
    PreconditionRetry = 4,
    /// Again, because something failed.
    FaultRetry = 5,
    /// Asking a list what changed.
    Delta = 6,
    /// Reading a whole list.
    Scan = 7,
    /// Comparing.
    Verify = 8,
    /// Making or looking at lists and columns.
    Provision = 9,
}

impl WhyTag {
    /// All tags in the order of their codes.
    pub const ALL: [WhyTag; 9] = [
        WhyTag::FirstWrite,
        WhyTag::Change,
        WhyTag::Probe,
        WhyTag::PreconditionRetry,
        WhyTag::FaultRetry,
        WhyTag::Delta,
        WhyTag::Scan,
        WhyTag::Verify,
        WhyTag::Provision,
    ];

    /// The tag's name in metrics and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            WhyTag::FirstWrite => "first_write",
            WhyTag::Change => "change",
            WhyTag::Probe => "probe",
            WhyTag::PreconditionRetry => "precondition_retry",
            WhyTag::FaultRetry => "fault_retry",
            WhyTag::Delta => "delta",
            WhyTag::Scan => "scan",
            WhyTag::Verify => "verify",
            WhyTag::Provision => "provision",
        }
    }

    /// A `client-request-id` that carries this tag.
    #[must_use]
    pub fn request_id(self, mut random: [u8; 16]) -> Uuid {
        random[0] = self as u8;
        uuid::Builder::from_custom_bytes(random).into_uuid()
    }

    /// The tag in a `client-request-id`, if it carries one.
    #[must_use]
    pub fn of(request_id: Uuid) -> Option<WhyTag> {
        if request_id.get_version_num() != 8 {
            return None;
        }
        let code = request_id.as_bytes()[0];
        WhyTag::ALL.into_iter().find(|tag| *tag as u8 == code)
    }
}

/// Resource units spent, by reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Spending(BTreeMap<WhyTag, Ru>);

impl Spending {
    /// Books a request.
    pub fn add(&mut self, tag: WhyTag, ru: Ru) {
        *self.0.entry(tag).or_default() += ru;
    }

    /// Everything.
    #[must_use]
    pub fn total(&self) -> Ru {
        self.0.values().copied().sum()
    }

    /// What one reason cost.
    #[must_use]
    pub fn of(&self, tag: WhyTag) -> Ru {
        self.0.get(&tag).copied().unwrap_or_default()
    }

    /// Reasons and their costs, in the order of the tags' codes.
    pub fn iter(&self) -> impl Iterator<Item = (WhyTag, Ru)> {
        self.0.iter().map(|(tag, ru)| (*tag, *ru))
    }

    /// Adds what another account spent.
    pub fn merge(&mut self, other: &Spending) {
        for (tag, ru) in other.iter() {
            self.add(tag, ru);
        }
    }
}

/// Priority class of spending, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// A person waits.
    Interactive,
    /// A stream.
    Cdc,
    /// A schedule fired.
    Scheduled,
    /// First loads and re-anchors.
    Backfill,
    /// Comparing.
    Verification,
}

/// What a tenant of a size may spend (contract §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Per app and tenant in a minute.
    pub per_minute: Ru,
    /// Per app and tenant in 24 hours.
    pub per_day: Ru,
}

impl Tier {
    /// The tier of a tenant with so many licences.
    #[must_use]
    pub fn of_licences(licences: u64) -> Self {
        let steps = match licences {
            0..=1_000 => 1,
            1_001..=5_000 => 2,
            5_001..=15_000 => 3,
            15_001..=50_000 => 4,
            _ => 5,
        };
        Self {
            per_minute: Ru(1_250 * steps),
            per_day: Ru(1_200_000 * steps),
        }
    }
}

/// A budget of one app in one tenant: minute and day buckets, and a pause that a 429 asked for.
///
/// Pure accounting; whoever holds it asks [`Bucket::take`] and waits as told.
#[derive(Clone, Debug)]
pub struct Bucket {
    tier: Option<Tier>,
    minute_left: f64,
    day_left: f64,
    filled: Monotonic,
    paused_until: Option<Monotonic>,
}

/// What a bucket answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Spend it now.
    Granted,
    /// Ask again after this long.
    Wait(Duration),
}

impl Bucket {
    /// A full budget. `tier: None` grants everything, but still honours pauses.
    #[must_use]
    pub fn new(tier: Option<Tier>, now: Monotonic) -> Self {
        #[allow(clippy::cast_precision_loss)]
        let (minute_left, day_left) = tier.map_or((0.0, 0.0), |t| (burst(t), t.per_day.0 as f64));
        Self {
            tier,
            minute_left,
            day_left,
            filled: now,
            paused_until: None,
        }
    }

    /// Asks for units.
    #[allow(clippy::cast_precision_loss)]
    pub fn take(&mut self, ru: Ru, now: Monotonic) -> Take {
        if let Some(until) = self.paused_until {
            if now < until {
                return Take::Wait(until.since(now));
            }
            self.paused_until = None;
        }
        let Some(tier) = self.tier else {
            return Take::Granted;
        };
        self.refill(tier, now);
        let ask = ru.0 as f64;
        // A request larger than the whole burst may run the bucket into debt once it is full.
        let lacking_minute = (ask.min(burst(tier)) - self.minute_left).max(0.0) / flow(tier);
        let lacking_day =
            (ask.min(tier.per_day.0 as f64) - self.day_left).max(0.0) / per_second(tier.per_day, 86_400.0);
        let lacking = lacking_minute.max(lacking_day);
        if lacking > 0.0 {
            return Take::Wait(Duration::from_secs_f64(lacking).max(Duration::from_millis(1)));
        }
        self.minute_left -= ask;
        self.day_left -= ask;
        Take::Granted
    }

    /// Stops all spending for as long as the other side asked; a shorter pause never cuts a longer one.
    pub fn pause(&mut self, now: Monotonic, wait: Duration) {
        let until = now + wait;
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
    }

    /// Takes the server's word for what is left in this minute when it is less than ours.
    #[allow(clippy::cast_precision_loss)]
    pub fn observe_remaining(&mut self, remaining: Ru) {
        if self.tier.is_some() {
            self.minute_left = self.minute_left.min(remaining.0 as f64);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn refill(&mut self, tier: Tier, now: Monotonic) {
        let seconds = now.since(self.filled).as_secs_f64();
        self.filled = now;
        self.minute_left = (self.minute_left + seconds * flow(tier)).min(burst(tier));
        self.day_left =
            (self.day_left + seconds * per_second(tier.per_day, 86_400.0)).min(tier.per_day.0 as f64);
    }
}

/// What may be spent at once: 1.5 % of a minute, but a full batch of writes, or a tenth of the smallest quotas.
///
/// Burst and flow together are the quota: whatever minute is looked at, and however the service measures it, no
/// more than that falls into it. A larger burst would have to be paid for with the flow of every minute; this one
/// makes up for pauses of about a second, such as between two pages.
#[allow(clippy::cast_precision_loss)]
fn burst(tier: Tier) -> f64 {
    const FULL_BATCH: f64 = 40.0;
    let minute = tier.per_minute.0 as f64;
    (minute * 0.015).max(FULL_BATCH.min(minute / 10.0))
}

/// Units that come in a second.
#[allow(clippy::cast_precision_loss)]
fn flow(tier: Tier) -> f64 {
    (tier.per_minute.0 as f64 - burst(tier)) / 60.0
}

#[allow(clippy::cast_precision_loss)]
fn per_second(ru: Ru, seconds: f64) -> f64 {
    ru.0 as f64 / seconds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    #[test]
    fn a_tag_survives_the_way_through_a_request_id() {
        for tag in WhyTag::ALL {
            assert_eq!(WhyTag::of(tag.request_id([0xab; 16])), Some(tag));
        }
        assert_eq!(WhyTag::of(Uuid::from_u128(0)), None);
    }

    #[test]
    fn a_pause_holds_for_its_full_time_and_is_never_cut_short() {
        let mut bucket = Bucket::new(None, at(0));
        bucket.pause(at(0), Duration::from_secs(5));
        bucket.pause(at(0), Duration::from_secs(1));
        assert_eq!(
            bucket.take(Ru(1), at(4_999)),
            Take::Wait(Duration::from_millis(1))
        );
        assert_eq!(bucket.take(Ru(1), at(5_000)), Take::Granted);
    }

    /// Grants with their times in milliseconds, for asks that come one after the other, each after its own rest.
    fn grants(tier: Tier, asks: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut bucket = Bucket::new(Some(tier), at(0));
        let mut now = 0u64;
        let mut granted = Vec::new();
        for (ask, rest) in asks {
            now += rest;
            while let Take::Wait(wait) = bucket.take(Ru(*ask), at(now)) {
                now += u64::try_from(wait.as_millis()).unwrap() + 1;
            }
            granted.push((now, *ask));
        }
        granted
    }

    proptest! {
        #[test]
        fn whatever_minute_is_looked_at_no_more_than_the_quota_falls_into_it(
            licences in 1u64..60_000,
            asks in proptest::collection::vec((1u64..=40, prop_oneof![9 => Just(0u64), 1 => 0u64..5_000]), 1..800),
        ) {
            let tier = Tier::of_licences(licences);
            let granted = grants(tier, &asks);
            let (mut first, mut spent) = (0, 0);
            for (now, ask) in &granted {
                spent += ask;
                while granted[first].0 + 60_000 <= *now {
                    spent -= granted[first].1;
                    first += 1;
                }
                prop_assert!(spent <= tier.per_minute.0, "{spent} of {} at {now}", tier.per_minute);
            }
        }
    }

    #[test]
    fn who_always_asks_gets_nearly_the_whole_quota_of_every_minute() {
        for (licences, share) in [(1, 0.95), (50_001, 0.975)] {
            let tier = Tier::of_licences(licences);
            let granted = grants(tier, &vec![(40, 0); 2_000]);
            for minute in 1..4 {
                let within = |(now, _): &&(u64, u64)| now / 60_000 == minute;
                let spent: u64 = granted.iter().filter(within).map(|(_, ask)| ask).sum();
                #[allow(clippy::cast_precision_loss)]
                let used = spent as f64 / tier.per_minute.0 as f64;
                assert!((share..=1.0).contains(&used), "{used} in minute {minute}");
            }
        }
    }
}
