//! How much is allowed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use buttress_core::Label;
use http::HeaderValue;

pub(crate) use crate::rule::Rule;
use crate::{Dimension, LimitError, limit_error::Fault, words::Words};

/// How much is allowed in one [`Dimension`]: a bucket that holds so much, and is refilled without pause.
///
/// Two limits may be on one dimension, such as tokens in a minute and tokens in a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    name: Label,
    dimension: Dimension,
    /// How much comes in `period`.
    refill: u64,
    period: Duration,
    capacity: u64,
    max_debt: u64,
    quota: bool,
    #[cfg(feature = "redis")]
    away: Option<crate::WhenAway>,
}

/// All limits that a key is under. A call takes from all their buckets, or from none. Clones share one allocation.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    /// Tells these limits from all others, equal ones too.
    id: u64,
    rules: Box<[Rule]>,
    /// All levels are within 64 bits, as those of all limits that make sense are.
    narrow: bool,
    /// So many words of memory the levels of a key take.
    width: usize,
    words: Words,
    /// The same as a script wants it, once somebody asks.
    #[cfg(feature = "redis")]
    exact: std::sync::OnceLock<Result<crate::shared::Exact, crate::ShareError>>,
}

/// A year and a day: with it, no product of numbers of 64 bits leaves 128 bits.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

// === impl Limit ===

impl Limit {
    /// Creates a limit of `amount` in each `period`: the bucket holds as much, and is full at first. `name` stands in headers and
    /// in refusals.
    ///
    /// # Errors
    ///
    /// Returns what is wrong if `name` is no [`Label`] or has a quotation mark or a backslash in it, if `amount` is zero, or if
    /// `period` is zero or longer than 366 days.
    pub fn try_new(name: &str, dimension: Dimension, amount: u64, period: Duration) -> Result<Self, LimitError> {
        let label = Label::try_new(name).map_err(|error| LimitError(Fault::Name(error)))?;
        let fault = match () {
            () if name.contains(['"', '\\']) => Some(Fault::Quote),
            () if amount == 0 => Some(Fault::Refill),
            () if period.is_zero() || period > LONGEST => Some(Fault::Period),
            () => None,
        };
        match fault {
            Some(fault) => Err(LimitError(fault)),
            None => Ok(Self {
                name: label,
                dimension,
                refill: amount,
                period,
                capacity: amount,
                max_debt: amount,
                quota: false,
                #[cfg(feature = "redis")]
                away: None,
            }),
        }
    }

    /// Sets how much the bucket holds, which is how much can be taken at once. The rate stays what it is. Sets the
    /// [debt](Self::max_debt) to as much.
    ///
    /// # Errors
    ///
    /// Returns what is wrong if `capacity` is zero.
    pub fn burst(mut self, capacity: u64) -> Result<Self, LimitError> {
        if capacity == 0 {
            return Err(LimitError(Fault::Capacity));
        }
        self.capacity = capacity;
        self.max_debt = capacity;
        Ok(self)
    }

    /// Sets how much of an overrun is remembered: as much as the bucket holds by default. A call that took more than it had
    /// reserved leaves a debt, and nobody passes until it is refilled. This is what a false report of usage can cost at most.
    #[must_use]
    pub const fn max_debt(mut self, debt: u64) -> Self {
        self.max_debt = debt;
        self
    }

    /// Makes this a quota: who has used it up is told so by 403, which no client retries, and not by 429.
    #[must_use]
    pub const fn quota(mut self) -> Self {
        self.quota = true;
        self
    }

    /// Sets what holds of this limit while Redis is away, whatever holds of the [others](crate::SharedLimits::when_away). One limit
    /// that fails closed refuses all calls that are under it.
    #[cfg(feature = "redis")]
    #[must_use]
    pub const fn when_away(mut self, away: crate::WhenAway) -> Self {
        self.away = Some(away);
        self
    }

    /// Returns what holds of this limit while Redis is away, if it has a [rule](Self::when_away) of its own.
    #[cfg(feature = "redis")]
    #[must_use]
    pub const fn away(&self) -> Option<crate::WhenAway> {
        self.away
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &Label {
        &self.name
    }

    /// Returns what is counted.
    #[must_use]
    pub const fn dimension(&self) -> Dimension {
        self.dimension
    }

    /// Returns how much of an overrun is [remembered](Self::max_debt).
    #[must_use]
    pub const fn debt(&self) -> u64 {
        self.max_debt
    }

    /// Returns how much the bucket holds.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Returns how much comes in each [`period`](Self::period).
    #[must_use]
    pub const fn refill(&self) -> u64 {
        self.refill
    }

    /// Returns the time in which [`refill`](Self::refill) comes.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Returns whether this is a [quota](Self::quota).
    #[must_use]
    pub const fn is_quota(&self) -> bool {
        self.quota
    }
}

// === impl Limits ===

impl Limits {
    /// How many limits a key can be under.
    pub const MOST: usize = 8;

    /// Creates the limits of a key.
    ///
    /// # Errors
    ///
    /// Returns what is wrong if there are none, more than [`MOST`](Self::MOST), or two of one name.
    pub fn try_new(limits: impl IntoIterator<Item = Limit>) -> Result<Self, LimitError> {
        let limits: Vec<Limit> = limits.into_iter().take(Self::MOST + 1).collect();
        let twice = |(at, limit): (usize, &Limit)| limits[..at].iter().any(|other| other.name == limit.name);
        if limits.is_empty() {
            return Err(LimitError(Fault::None));
        } else if limits.len() > Self::MOST {
            return Err(LimitError(Fault::TooMany));
        } else if limits.iter().enumerate().any(twice) {
            return Err(LimitError(Fault::SameName));
        }
        let rules: Box<[Rule]> = limits.into_iter().map(Rule::new).collect();
        let fits = |level: i128| i64::try_from(level).is_ok();
        let narrow = rules.iter().all(|rule| fits(rule.capacity) && fits(rule.floor));
        Ok(Self::of(rules, narrow))
    }

    fn of(rules: Box<[Rule]>, narrow: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(Arc::new(Rules {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            width: if narrow { rules.len() } else { 2 * rules.len() },
            rules,
            narrow,
            words: Words::default(),
            #[cfg(feature = "redis")]
            exact: std::sync::OnceLock::new(),
        }))
    }

    /// Returns the same limits as if they were beyond all sense.
    #[cfg(test)]
    pub(crate) fn widened(&self) -> Self {
        Self::of(self.iter().cloned().map(Rule::new).collect(), false)
    }

    /// Returns the limits in their order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Limit> {
        self.0.rules.iter().map(|rule| &rule.limit)
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// Returns these limits as a script can compute with them.
    #[cfg(feature = "redis")]
    pub(crate) fn exact(&self) -> Result<&crate::shared::Exact, crate::ShareError> {
        let exact = self.0.exact.get_or_init(|| crate::shared::Exact::try_new(self.rules()));
        exact.as_ref().map_err(Clone::clone)
    }

    /// Returns the value of `RateLimit-Policy`.
    pub(crate) fn policy(&self) -> Option<HeaderValue> {
        self.0.words.policy(self)
    }

    /// Returns what a refusal says of the limit at this place.
    pub(crate) fn phrase(&self, at: usize) -> &str {
        self.0.words.phrase(self, at)
    }

    #[inline]
    pub(crate) fn is_narrow(&self) -> bool {
        self.0.narrow
    }

    /// Returns how many words of memory the levels of a key take.
    #[inline]
    pub(crate) fn width(&self) -> usize {
        self.0.width
    }

    #[inline]
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.0.rules
    }
}

impl From<Limit> for Limits {
    fn from(limit: Limit) -> Self {
        Self::try_new([limit]).expect("one limit is neither none nor too many")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limit(name: &str, amount: u64, period: Duration) -> Result<Limit, LimitError> {
        Limit::try_new(name, Dimension::REQUESTS, amount, period)
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_refused_in_words() {
        let text = |result: Result<Limit, LimitError>| result.expect_err("it makes no sense").to_string();
        assert!(text(limit("", 1, MINUTE)).starts_with("name of the limit: "));
        assert!(text(limit("a\"b", 1, MINUTE)).contains("quotation mark"));
        assert!(text(limit("rpm", 0, MINUTE)).starts_with("amount: it is zero"));
        assert!(text(limit("rpm", 1, Duration::ZERO)).starts_with("period: "));
        assert!(text(limit("rpm", 1, Duration::MAX)).starts_with("period: "));
        assert!(text(limit("rpm", 1, MINUTE).unwrap().burst(0)).starts_with("burst: it is zero"));
        let none = Limits::try_new([]).expect_err("there are none").to_string();
        assert!(none.starts_with("limits: there are none"));
        let named = |number: usize| limit(&number.to_string(), 1, MINUTE).unwrap();
        assert!(Limits::try_new((0..9).map(named)).unwrap_err().to_string().contains("more than 8"));
        assert!(Limits::try_new([named(1), named(2), named(1)]).unwrap_err().to_string().contains("same name"));
        assert_eq!(Limits::try_new((0..8).map(named)).unwrap().iter().len(), 8);
    }
}
