//! How long answers are good.

use std::time::Duration;

use buttress_core::{Class, Verdict};
use rand::{Rng, RngExt as _};

use crate::Directives;

/// How long answers are good. It is counted from when they came, and no hit makes it longer.
///
/// In the extensions of a request, it counts instead of what the layer says: for a route of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    ttl: Duration,
    while_revalidate: Duration,
    if_error: Duration,
    jitter_percent: u8,
}

/// How long one answer is good, from when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) fresh: Duration,
    /// How long it may be served while another one is fetched.
    pub(crate) while_revalidate: Duration,
    /// How long it may be served if no other one can be had.
    pub(crate) if_error: Duration,
}

/// What an answer is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Good {
    Fresh,
    WhileRenewed,
    /// For nothing, unless there is no other.
    IfError,
    /// The caller wants another.
    Unwanted,
}

// === impl Freshness ===

impl Freshness {
    /// Answers are fresh for `ttl`, give or take a tenth, so that those that came together do not go together. Once they are not,
    /// they are not served.
    #[must_use]
    pub const fn lasting(ttl: Duration) -> Self {
        Self { ttl, while_revalidate: Duration::ZERO, if_error: Duration::ZERO, jitter_percent: 10 }
    }

    /// Lets answers that are fresh no more be served for another `time`, while a new one is fetched (RFC 5861, section 3).
    #[must_use]
    pub const fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.while_revalidate = time;
        self
    }

    /// Lets answers that are fresh no more be served for another `time`, if the inner service fails (RFC 5861, section 4).
    #[must_use]
    pub const fn stale_if_error(mut self, time: Duration) -> Self {
        self.if_error = time;
        self
    }

    /// Sets by how many percent the time varies: 10 by default, 100 at most.
    #[must_use]
    pub const fn jitter_percent(mut self, percent: u8) -> Self {
        self.jitter_percent = if percent > 100 { 100 } else { percent };
        self
    }

    pub(crate) fn span(&self, ttl: Option<Duration>, rng: &mut impl Rng) -> Span {
        let ttl = ttl.unwrap_or(self.ttl).min(Self::LONGEST);
        let jitter = f64::from(self.jitter_percent) / 100.0;
        let factor = if jitter > 0.0 { rng.random_range(1.0 - jitter..=1.0 + jitter) } else { 1.0 };
        let fresh = ttl.mul_f64(factor);
        let after = |time: Duration| fresh.saturating_add(time.min(Self::LONGEST));
        Span { fresh, while_revalidate: after(self.while_revalidate), if_error: after(self.if_error) }
    }

    /// No answer is good for longer than a hundred years, so that no clock overflows.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
}

impl Default for Freshness {
    /// An hour, and nothing stale.
    fn default() -> Self {
        Self::lasting(Duration::from_secs(3_600))
    }
}

// === impl Span ===

impl Span {
    /// How long it is worth keeping.
    pub(crate) fn longest(&self) -> Duration {
        self.while_revalidate.max(self.if_error)
    }

    /// Says what an answer of this age is good for, by what its caller wants.
    pub(crate) fn judge(&self, age: Duration, directives: &Directives) -> Good {
        let too_old = directives.max_age.is_some_and(|most| age > most);
        let too_short = directives.min_fresh.is_some_and(|least| age.saturating_add(least) > self.fresh);
        match () {
            () if directives.no_cache => Good::Unwanted,
            () if age < self.fresh && (too_old || too_short) => Good::Unwanted,
            () if age < self.fresh => Good::Fresh,
            // Who says how fresh it must be does not take what is not.
            () if age < self.while_revalidate && directives.max_age.is_none() && directives.min_fresh.is_none() => {
                Good::WhileRenewed
            }
            () => Good::IfError,
        }
    }
}

/// Returns whether an old answer is better than this one.
pub(crate) fn is_outage(class: Class) -> bool {
    !matches!(
        class.verdict,
        Verdict::Success
            | Verdict::CallerFault
            | Verdict::ContextTooLong
            | Verdict::ContentFiltered
            | Verdict::Cancelled
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    #[test]
    fn times_vary_by_a_tenth_and_no_more() {
        let (mut rng, hour) = (StdRng::seed_from_u64(7), Duration::from_secs(3_600));
        let freshness = Freshness::lasting(hour).stale_if_error(hour);
        let spans: Vec<_> = (0..1_000).map(|_| freshness.span(None, &mut rng)).collect();
        assert!(spans.iter().all(|span| (3_240..=3_960).contains(&span.fresh.as_secs())));
        assert!(spans.iter().any(|span| span.fresh.as_secs() < 3_300));
        assert!(spans.iter().any(|span| span.fresh.as_secs() > 3_900));
        assert!(spans.iter().all(|span| span.while_revalidate == span.fresh && span.if_error == span.fresh + hour));
    }

    #[test]
    fn what_an_answer_is_good_for_depends_on_its_age_and_its_caller() {
        let s = Duration::from_secs;
        let span = Span { fresh: s(60), while_revalidate: s(90), if_error: s(120) };
        let any = Directives::default();
        let wants = |text: &str| {
            let headers = [(http::header::CACHE_CONTROL, text.parse().unwrap())];
            Directives::read(&headers.into_iter().collect())
        };
        for (age, directives, good) in [
            (0, any, Good::Fresh),
            (59, any, Good::Fresh),
            (60, any, Good::WhileRenewed),
            (90, any, Good::IfError),
            (10, wants("max-age=10"), Good::Fresh),
            (11, wants("max-age=10"), Good::Unwanted),
            (1, wants("max-age=0"), Good::Unwanted),
            (50, wants("min-fresh=10"), Good::Fresh),
            (51, wants("min-fresh=10"), Good::Unwanted),
            (61, wants("max-age=100"), Good::IfError),
            (0, wants("no-cache"), Good::Unwanted),
        ] {
            assert_eq!(span.judge(s(age), &directives), good, "{age} {directives:?}");
        }
    }

    #[test]
    fn a_time_without_end_has_one() {
        let mut rng = StdRng::seed_from_u64(7);
        let span = Freshness::lasting(Duration::MAX).stale_if_error(Duration::MAX).span(None, &mut rng);
        assert!(span.longest() < Duration::from_secs(100 * 366 * 86_400 * 3));
        let exact = Freshness::default().jitter_percent(0).span(Some(Duration::from_secs(5)), &mut rng);
        assert_eq!(exact.fresh, Duration::from_secs(5));
        assert_eq!(Freshness::default().span(Some(Duration::ZERO), &mut rng).longest(), Duration::ZERO);
    }
}
