//! Seeded randomness: the only kind the simulator has, so that one seed always tells one story.

use serde::{Deserialize, Serialize};

use crate::guid::Guid;

/// A splitmix64 generator. Separate streams (ids, faults, orders) keep one from disturbing another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Random {
    state: u64,
}

/// Mixes 64 bits so that close inputs give unrelated outputs (the splitmix64 finaliser).
pub(crate) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A stable 64-bit hash of a text (FNV-1a, then mixed); never used where an adversary matters.
pub(crate) fn hash_text(text: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.as_bytes() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

impl Random {
    /// The stream of this name under this seed.
    pub(crate) fn stream(seed: u64, name: &str) -> Self {
        Self {
            state: mix(seed) ^ hash_text(name),
        }
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `limit` (0 where the limit is 0).
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.next() % limit }
    }

    /// True with the given probability (0 to 1).
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < probability
    }

    pub(crate) fn guid(&mut self) -> Guid {
        let high = u128::from(self.next());
        Guid::from_random((high << 64) | u128::from(self.next()))
    }

    /// Puts the items into a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = self.below(at as u64 + 1) as usize;
            items.swap(at, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn one_seed_and_name_give_one_stream_and_another_name_another() {
        let draw = |seed, name| {
            let mut random = Random::stream(seed, name);
            (random.next(), random.guid(), random.below(10))
        };
        assert_eq!(draw(1, "ids"), draw(1, "ids"));
        assert_ne!(draw(1, "ids"), draw(1, "faults"));
        assert_ne!(draw(1, "ids"), draw(2, "ids"));
    }

    #[test]
    fn a_shuffle_keeps_every_element() {
        let mut random = Random::stream(3, "order");
        let mut items: Vec<u32> = (0..20).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..20).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn chances_of_nothing_and_of_certainty_are_exact() {
        let mut random = Random::stream(5, "faults");
        assert!((0..1000).all(|_| !random.chance(0.0)));
        assert!((0..1000).all(|_| random.chance(1.0)));
    }
}
