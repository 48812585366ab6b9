//! By what rule one of several good targets is chosen.

use std::sync::atomic::{AtomicU64, Ordering};

/// By what rule one of several targets that could serve a request is chosen.
///
/// All of them leave out targets that are out, parked, drained or were tried before, and all are deterministic for one seed
/// and one order of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// By priority, then as given: all load on the first, and none on the second while the first is well.
    #[default]
    Ordered,
    /// Priorities share the load as Envoy's do; within one, the better of two random targets, by latency, load and weight
    /// ([power of two choices](https://www.eecs.harvard.edu/~michaelm/postscripts/handbook2001.pdf)).
    Balanced,
    /// At random, in proportion to capacity and health.
    Weighted,
    /// The one that was measured to be fastest. One that was never measured comes first.
    Nearest,
    /// The one that costs least; among equals, the least loaded.
    Cheapest,
    /// One after the other.
    RoundRobin,
    /// The same one for the same key, as long as it has no more than 1.25 times its share of the load: good for prompt
    /// caches ([consistent hashing with bounded loads](https://arxiv.org/abs/1608.01350), by rendezvous hashing). Without a
    /// key it is [`Balanced`](Self::Balanced).
    Sticky,
}

/// The randomness of choices: a counter that is mixed, so that a seed says all, and nothing is locked.
#[derive(Debug)]
pub(crate) struct Dice {
    seed: u64,
    turn: AtomicU64,
}

// === impl Policy ===

impl Policy {
    /// All policies.
    pub const ALL: [Self; 7] =
        [Self::Ordered, Self::Balanced, Self::Weighted, Self::Nearest, Self::Cheapest, Self::RoundRobin, Self::Sticky];

    /// Finds the policy called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }

    /// Returns the name: `ordered`, `balanced`, `weighted`, `nearest`, `cheapest`, `round-robin` or `sticky`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Balanced => "balanced",
            Self::Weighted => "weighted",
            Self::Nearest => "nearest",
            Self::Cheapest => "cheapest",
            Self::RoundRobin => "round-robin",
            Self::Sticky => "sticky",
        }
    }
}

// === impl Dice ===

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, turn: AtomicU64::new(0) }
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns how often it was asked before.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns 64 random bits.
    pub(crate) fn roll(&self) -> u64 {
        mix(self.seed ^ mix(self.turn()))
    }
}

/// Mixes the bits of `x`: the finalizer of [SplitMix64](https://doi.org/10.1145/2714064.2660195).
pub(crate) const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Returns a number below `n`, which is not 0, from random `bits`.
pub(crate) const fn below(bits: u64, n: usize) -> usize {
    ((bits as u128 * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_found_by_their_names() {
        for policy in Policy::ALL {
            assert_eq!(Policy::named(policy.as_str()), Some(policy));
        }
        assert_eq!(Policy::named("best"), None);
    }

    #[test]
    fn dice_with_one_seed_fall_alike_and_evenly() {
        let roll = |seed| {
            let dice = Dice::new(seed);
            (0..10_000).map(|_| below(dice.roll(), 10)).collect::<Vec<_>>()
        };
        assert_eq!(roll(7), roll(7));
        assert_ne!(roll(7), roll(8));
        for side in 0..10 {
            let count = roll(7).into_iter().filter(|&got| got == side).count();
            assert!((850..1150).contains(&count), "{side}: {count}");
        }
    }
}
