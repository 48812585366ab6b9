use std::time::Duration;

use tokio::time::Instant;

const MINUTE: f64 = 60.0;

/// The limits a target claims when it enforces none.
const NOMINAL: Limits = Limits::new(10_000, 2_000_000);

/// Requests and tokens a target admits per minute. A full minute's worth may be used in one burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    requests: u32,
    tokens: u32,
}

/// The limiter of one target.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: Limits,
    requests: Bucket,
    tokens: Bucket,
}

#[derive(Debug)]
struct Bucket {
    capacity: f64,
    level: f64,
    updated: Instant,
}

/// What the rate-limit headers tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) requests: Dimension,
    pub(crate) tokens: Dimension,
}

/// One dimension of a limit: how much of it is left, and how long until it is full again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dimension {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset: Duration,
}

/// A request over the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Denied {
    pub(crate) snapshot: Snapshot,
    pub(crate) by: Exhausted,
    pub(crate) requested: u32,
    /// `None`: the request alone is larger than the limit, so that waiting does not help.
    pub(crate) retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Requests,
    Tokens,
}

// === impl Limits ===

impl Limits {
    /// Creates limits of `rpm` requests and `tpm` tokens per minute.
    ///
    /// # Panics
    ///
    /// If either is zero.
    #[must_use]
    pub const fn new(rpm: u32, tpm: u32) -> Self {
        assert!(rpm > 0 && tpm > 0, "a limit is at least one per minute");
        Self { requests: rpm, tokens: tpm }
    }

    /// Requests per minute.
    #[must_use]
    pub const fn rpm(&self) -> u32 {
        self.requests
    }

    /// Tokens per minute.
    #[must_use]
    pub const fn tpm(&self) -> u32 {
        self.tokens
    }
}

// === impl Limiter ===

impl Limiter {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, requests: Bucket::full(limits.requests, now), tokens: Bucket::full(limits.tokens, now) }
    }

    /// Admits a request estimated at `tokens`, or says when it may come again. A denied request costs nothing.
    pub(crate) fn admit(&mut self, now: Instant, tokens: u32) -> Result<Snapshot, Denied> {
        self.requests.refill(now);
        self.tokens.refill(now);
        let denied = |limiter: &Self, by, requested, retry_after| Denied {
            snapshot: limiter.snapshot(),
            by,
            requested,
            retry_after,
        };
        if let Some(wait) = self.requests.missing(1) {
            return Err(denied(self, Exhausted::Requests, 1, Some(wait)));
        }
        if let Some(wait) = self.tokens.missing(tokens) {
            let possible = tokens <= self.limits.tokens;
            return Err(denied(self, Exhausted::Tokens, tokens, possible.then_some(wait)));
        }
        self.requests.level -= 1.0;
        self.tokens.level -= f64::from(tokens);
        Ok(self.snapshot())
    }

    /// What is left now.
    pub(crate) fn state(&mut self, now: Instant) -> Snapshot {
        self.requests.refill(now);
        self.tokens.refill(now);
        self.snapshot()
    }

    /// Fills both buckets.
    pub(crate) fn reset(&mut self, now: Instant) {
        *self = Self::new(self.limits, now);
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { requests: self.requests.dimension(), tokens: self.tokens.dimension() }
    }
}

// === impl Bucket ===

impl Bucket {
    fn full(capacity: u32, now: Instant) -> Self {
        let capacity = f64::from(capacity);
        Self { capacity, level: capacity, updated: now }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.updated).as_secs_f64();
        self.level = self.capacity.min(self.level + passed * self.capacity / MINUTE);
        self.updated = self.updated.max(now);
    }

    /// How long until `amount` is there, if it is not there now.
    fn missing(&self, amount: u32) -> Option<Duration> {
        // Rounding of the level must not deny what a wait of exactly the announced length has earned.
        const SLACK: f64 = 1e-6;
        let missing = f64::from(amount) - self.level;
        (missing > SLACK).then(|| self.time_for(missing))
    }

    fn dimension(&self) -> Dimension {
        Dimension {
            limit: self.capacity as u32,
            remaining: self.level.max(0.0) as u32,
            reset: self.time_for(self.capacity - self.level),
        }
    }

    fn time_for(&self, amount: f64) -> Duration {
        // Rounded up: a client that waits as told must not come too early.
        let millis = (amount * MINUTE * 1000.0 / self.capacity).ceil();
        Duration::from_millis(millis as u64)
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// What a target without limits shows: as if each request met a full bucket, so that equal requests get equal headers.
    pub(crate) fn nominal(used: Option<u32>) -> Self {
        let dimension = |limit: u32, used: u32| Dimension {
            limit,
            remaining: limit.saturating_sub(used),
            reset: Duration::from_millis((u64::from(used) * 60_000).div_ceil(u64::from(limit))),
        };
        Self {
            requests: dimension(NOMINAL.requests, u32::from(used.is_some())),
            tokens: dimension(NOMINAL.tokens, used.unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_over_the_limit_are_denied_until_the_hint_has_passed() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Limits::new(2, 1000), start);
        assert!(limiter.admit(start, 1).is_ok());
        assert_eq!(limiter.admit(start, 1).unwrap().requests.remaining, 0);
        let denied = limiter.admit(start, 1).unwrap_err();
        assert_eq!((denied.by, denied.retry_after), (Exhausted::Requests, Some(Duration::from_secs(30))));
        assert_eq!(denied.snapshot.requests.reset, Duration::from_secs(60));
        assert!(limiter.admit(start + Duration::from_millis(29_999), 1).is_err());
        assert!(limiter.admit(start + Duration::from_secs(30), 1).is_ok());
    }

    #[test]
    fn a_request_larger_than_the_token_limit_gets_no_hint() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Limits::new(10, 100), start);
        let denied = limiter.admit(start, 101).unwrap_err();
        assert_eq!((denied.by, denied.retry_after), (Exhausted::Tokens, None));
        assert!(limiter.admit(start, 100).is_ok());
        assert_eq!(limiter.admit(start, 50).unwrap_err().retry_after, Some(Duration::from_secs(30)));
    }

    proptest! {
        #[test]
        fn never_admits_more_than_a_burst_plus_the_rate(
            rpm in 1_u32..50,
            gaps in prop::collection::vec(0_u64..5_000, 1..200),
        ) {
            let start = Instant::now();
            let mut limiter = Limiter::new(Limits::new(rpm, 1_000_000), start);
            let (mut now, mut admitted) = (start, 0_u32);
            for gap in gaps {
                now += Duration::from_millis(gap);
                admitted += u32::from(limiter.admit(now, 1).is_ok());
            }
            let minutes = (now - start).as_secs_f64() / MINUTE;
            prop_assert!(f64::from(admitted) <= f64::from(rpm) * (1.0 + minutes) + 1e-3);
        }
    }
}
