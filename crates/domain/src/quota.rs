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
        let lacking_minute =
            (ask.min(burst(tier)) - self.minute_left).max(0.0) / per_second(tier.per_minute, 60.0);
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
        self.minute_left = (self.minute_left + seconds * per_second(tier.per_minute, 60.0)).min(burst(tier));
        self.day_left =
            (self.day_left + seconds * per_second(tier.per_day, 86_400.0)).min(tier.per_day.0 as f64);
    }
}

/// Ten seconds' worth: a full minute's burst on top of a steady flow would overrun any fixed window.
#[allow(clippy::cast_precision_loss)]
fn burst(tier: Tier) -> f64 {
    tier.per_minute.0 as f64 / 6.0
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

    proptest! {
        #[test]
        fn no_minute_spends_more_than_its_quota_and_the_burst(asks in proptest::collection::vec(1u64..60, 1..400)) {
            let tier = Tier::of_licences(1);
            let mut bucket = Bucket::new(Some(tier), at(0));
            let mut now = 0u64;
            let mut spent = 0u64;
            for ask in asks {
                loop {
                    match bucket.take(Ru(ask), at(now)) {
                        Take::Granted => { spent += ask; break; }
                        Take::Wait(wait) => now += u64::try_from(wait.as_millis()).unwrap() + 1,
                    }
                }
                #[allow(clippy::cast_precision_loss)]
                let ceiling = burst(tier) + now as f64 / 1000.0 * 1250.0 / 60.0 + 1.0;
                prop_assert!((spent as f64) <= ceiling, "{spent} > {ceiling}");
            }
        }
    }
}
