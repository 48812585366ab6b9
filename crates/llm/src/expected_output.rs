//! How many tokens an answer will have, learned from those before it.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::RequestDetails;

/// Expects of an answer as many tokens as a share of the answers before it had, learned for each route.
///
/// A route is what its user makes it: a model, a tenant, both. Each has a sketch of fixed size: a histogram whose bounds grow
/// by a quarter of a power of two (after `DDSketch`, Masson and others 2019), so that a learned number is at most 19 % above
/// the true one and never below it. After every [`MEMORY`](Self::MEMORY) answers all counts are halved: what is old
/// fades, without a clock. Routes beyond the bound share one sketch.
///
/// All its users share it by reference; each call holds a lock for the time of a look-up.
pub struct ExpectedOutput {
    quantile: f64,
    max_routes: usize,
    routes: Mutex<Routes>,
}

struct Routes {
    known: HashMap<Box<str>, Sketch>,
    /// For the routes that found no place.
    others: Sketch,
}

/// How often answers had how many tokens.
#[derive(Clone)]
struct Sketch {
    counts: [u32; BUCKETS],
    total: u32,
}

/// Up to 2²⁴ tokens, four bounds to a power of two.
const BUCKETS: usize = 97;

// === impl ExpectedOutput ===

impl ExpectedOutput {
    /// How many answers a route must have had before anything is said of its next one.
    pub const FIRST: u32 = 20;
    /// After how many answers what is known of a route counts half.
    pub const MEMORY: u32 = 4_096;

    /// Creates an empty memory for at most so many routes (each takes half a kilobyte), that expects as many tokens as the
    /// share `quantile` of answers stayed within: 0.9 expects too few for one answer in ten. It is clamped to 0 and 1; what
    /// is not a number counts as 1.
    #[must_use]
    pub fn new(max_routes: NonZeroUsize, quantile: f64) -> Self {
        let quantile = if quantile.is_nan() { 1.0 } else { quantile.clamp(0.0, 1.0) };
        let routes = Mutex::new(Routes { known: HashMap::new(), others: Sketch::EMPTY });
        Self { quantile, max_routes: max_routes.get(), routes }
    }

    /// Takes note that an answer on `route` had so many tokens.
    pub fn record(&self, route: &str, tokens: u64) {
        let mut routes = self.routes();
        let Routes { known, others } = &mut *routes;
        if known.len() < self.max_routes && !known.contains_key(route) {
            known.insert(route.into(), Sketch::EMPTY);
        }
        known.get_mut(route).unwrap_or(others).record(tokens);
    }

    /// Returns how many tokens the next answer on `route` is expected to have; `None` before
    /// [`FIRST`](Self::FIRST) answers.
    #[must_use]
    pub fn learned(&self, route: &str) -> Option<u64> {
        let routes = self.routes();
        let sketch = routes.known.get(route).unwrap_or(&routes.others);
        (sketch.total >= Self::FIRST).then(|| sketch.quantile(self.quantile))
    }

    /// Returns how many tokens the answer to a request on `route` is expected to have: what is learned, within what the
    /// request allows for all its choices; or what it allows, where nothing is learned; or else `unknown`.
    #[must_use]
    pub fn expect(&self, route: &str, details: &RequestDetails<'_>, unknown: u64) -> u64 {
        let allowed = details.max_tokens().map(|tokens| tokens.saturating_mul(details.choices()));
        match (self.learned(route), allowed) {
            (Some(learned), Some(allowed)) => learned.min(allowed),
            (Some(tokens), None) | (None, Some(tokens)) => tokens,
            (None, None) => unknown,
        }
    }

    /// Returns how many routes have a sketch of their own.
    #[must_use]
    pub fn routes_known(&self) -> usize {
        self.routes().known.len()
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        // Nothing under the lock can panic half-way.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ExpectedOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectedOutput")
            .field("quantile", &self.quantile)
            .field("max_routes", &self.max_routes)
            .field("routes_known", &self.routes_known())
            .finish()
    }
}

// === impl Sketch ===

impl Sketch {
    const EMPTY: Self = Self { counts: [0; BUCKETS], total: 0 };

    fn record(&mut self, tokens: u64) {
        if self.total >= ExpectedOutput::MEMORY {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.counts[bucket(tokens)] += 1;
        self.total += 1;
    }

    fn quantile(&self, quantile: f64) -> u64 {
        let wanted = (f64::from(self.total) * quantile).ceil().max(1.0);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            f64::from(seen) >= wanted
        });
        bound(reached.unwrap_or(BUCKETS - 1))
    }
}

/// The first bucket whose bound is not below `tokens`.
fn bucket(tokens: u64) -> usize {
    // The logarithm finds the place; rounding may put it one off.
    let near = ((tokens.max(1) as f64).log2() * 4.0) as usize;
    (near.saturating_sub(1)..BUCKETS).find(|bucket| bound(*bucket) >= tokens).unwrap_or(BUCKETS - 1)
}

/// The largest number of tokens in a bucket.
fn bound(bucket: usize) -> u64 {
    2_f64.powf(bucket as f64 / 4.0).floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;
    use proptest::prelude::*;

    fn memory(routes: usize, quantile: f64) -> ExpectedOutput {
        ExpectedOutput::new(NonZeroUsize::new(routes).unwrap(), quantile)
    }

    #[test]
    fn nothing_is_said_before_enough_is_known() {
        let memory = memory(2, 0.9);
        (1..ExpectedOutput::FIRST).for_each(|_| memory.record("a", 100));
        assert_eq!(memory.learned("a"), None);
        memory.record("a", 100);
        assert_eq!(memory.learned("a"), Some(107));
        assert_eq!(memory.learned("b"), None);
    }

    #[test]
    fn what_is_learned_stays_within_what_the_request_allows() {
        let memory = memory(2, 0.5);
        let expect =
            |body: &str| memory.expect("a", &RequestDetails::new(Operation::ChatCompletions, body.as_bytes()), 9);
        assert_eq!((expect("{}"), expect(r#"{"max_tokens":50,"n":2}"#)), (9, 100));
        (0..ExpectedOutput::FIRST).for_each(|_| memory.record("a", 64));
        assert_eq!((expect("{}"), expect(r#"{"max_tokens":50}"#), expect(r#"{"max_tokens":500}"#)), (64, 50, 64));
        assert_eq!(expect(r#"{"max_tokens":18446744073709551615,"n":2}"#), 64);
    }

    #[test]
    fn a_million_routes_take_the_room_of_the_bound() {
        let memory = memory(100, 0.9);
        (0..1_000_000).for_each(|route| memory.record(&route.to_string(), 10));
        assert_eq!(memory.routes_known(), 100);
        assert_eq!(memory.learned("999999"), Some(bound(bucket(10))), "from all the others");
    }

    #[test]
    fn what_is_old_fades() {
        let memory = memory(1, 0.9);
        (0..10_000).for_each(|_| memory.record("a", 10_000));
        (0..20_000).for_each(|_| memory.record("a", 10));
        assert!(memory.learned("a").unwrap() < 20);
        assert!(memory.routes().known["a"].total <= ExpectedOutput::MEMORY);
    }

    #[test]
    fn odd_numbers_are_taken() {
        for quantile in [f64::NAN, -1.0, 0.0, 1.0, f64::INFINITY] {
            let memory = memory(1, quantile);
            (0..100).for_each(|n| memory.record("a", if n % 2 == 0 { 0 } else { u64::MAX }));
            assert!(memory.learned("a").is_some_and(|tokens| tokens <= 1 << 24));
        }
        assert!(!format!("{:?}", memory(1, 0.5)).contains("known: {"));
    }

    proptest! {
        #[test]
        fn a_quantile_is_never_below_the_true_one_and_little_above(
            mut tokens in prop::collection::vec(1_u64..1_000_000, 20..200),
            quantile in 0.01_f64..1.0,
        ) {
            let memory = memory(1, quantile);
            tokens.iter().for_each(|tokens| memory.record("a", *tokens));
            tokens.sort_unstable();
            let rank = ((tokens.len() as f64 * quantile).ceil() as usize).clamp(1, tokens.len());
            let (truth, learned) = (tokens[rank - 1], memory.learned("a").unwrap());
            prop_assert!(learned >= truth && learned as f64 <= truth as f64 * 1.19 + 1.0, "{truth} {learned}");
        }
    }
}
