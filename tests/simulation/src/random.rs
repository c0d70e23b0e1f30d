//! Seeded randomness. Each use has a stream of its own, so that one more draw in one place changes nothing in another.

use std::sync::{Mutex, PoisonError};

use syncbridge_domain::clock::Entropy;

/// A splitmix64 generator.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Random {
    /// The stream of this name and number under this seed.
    #[must_use]
    pub fn stream(seed: u64, name: &str, number: u64) -> Self {
        let named = name.bytes().fold(mix(seed ^ 0x5eed), |state, byte| {
            mix(state
                .wrapping_add(u64::from(byte))
                .wrapping_mul(0x0000_0100_0000_01b3))
        });
        Self {
            state: mix(named ^ mix(number.wrapping_add(1))),
        }
    }

    /// Any 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `limit`, which must not be 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    /// A number from `low` up to and including `high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// An index into something of this length, which must not be empty.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "smaller than the length, which is a usize"
    )]
    pub const fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True once in a thousand, times `permille`.
    pub const fn permille(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// One of the given.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }
}

/// What a simulated process draws instead of the operating system's randomness.
#[derive(Debug)]
pub struct SimEntropy(Mutex<Random>);

impl SimEntropy {
    /// The randomness of one process.
    #[must_use]
    pub fn new(random: Random) -> Self {
        Self(Mutex::new(random))
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            let bytes = random.bits().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_apart_by_seed_name_and_number_and_repeat_themselves() {
        let draw = |seed, name, number| Random::stream(seed, name, number).bits();
        assert_eq!(draw(1, "network", 0), draw(1, "network", 0));
        let others = [
            draw(2, "network", 0),
            draw(1, "executor", 0),
            draw(1, "network", 1),
        ];
        for other in others {
            assert_ne!(draw(1, "network", 0), other);
        }
    }
}
