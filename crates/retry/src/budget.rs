//! How many retries there may be, whoever asks for them.

use std::{sync::Arc, time::Duration};

use buttress_core::Verdict;
use tokio::time::Instant;

use crate::{
    concurrency::Concurrency,
    quota::{Quota, QuotaCosts},
    rate::Rate,
    throttle::Throttle,
};

/// How many retries there may be, whoever asks for them.
///
/// A retry helps one caller and burdens the server for all. A budget bounds the burden: when too much fails, retries stop,
/// and an outage is not made worse. Clones share one budget; hand it to several layers and clients of one upstream.
///
/// | | a retry is allowed | for |
/// |---|---|---|
/// | [`concurrency`](Self::concurrency) | while the retries under way are fewer than a share of the first attempts under way | calls of any length; language models |
/// | [`rate`](Self::rate) | while the retries of the last seconds are fewer than a share of the calls in them | short calls |
/// | [`quota`](Self::quota) | while a quota lasts that successes refill, slowly | clients that come and go |
/// | [`throttle`](Self::throttle) | while successes outweigh failures | gRPC |
///
/// All arithmetic is on integers, so that a share of 20 % is 20 % and not a little more.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Concurrency(Concurrency),
    Rate(Rate),
    Quota(Quota),
    Throttle(Throttle),
}

/// A share, exact to a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u64);

/// What the retries of one call have in the budgets of its layer, which are handed in each time.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: [Entry; MAX_BUDGETS],
    /// When a retry was granted that has not begun.
    granted: Option<Instant>,
}

/// What one call has in one budget.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    /// What the last granted retry cost.
    spent: Option<u32>,
    /// A retry is under way.
    retrying: bool,
}

/// The most budgets that one layer asks.
pub(crate) const MAX_BUDGETS: usize = 4;

// === impl Budget ===

impl Budget {
    /// Allows a retry while fewer retries are under way than `share` of the first attempts under way, and in any case
    /// `min`.
    ///
    /// The rule of Envoy's retry budget; its defaults are 20 % and 3. There, retries count among the requests that they are
    /// a share of, so that 20 % may become a load of 1.25; here it is 1.2. It needs no clock, and so it is right for calls
    /// that take a minute. A call is under way until the head of its answer is there, and a retry from its back-off on.
    #[must_use]
    pub fn concurrency(share: Share, min: u32) -> Self {
        Self(Arc::new(Kind::Concurrency(Concurrency::new(share, min))))
    }

    /// Allows as many retries in any `window` as `share` of the calls in it, and `min_per_second` besides.
    ///
    /// The rule of Finagle's `RetryBudget`; its defaults are 10 s, 20 % and 10 a second. `window` is clamped to 1 s to 60 s.
    #[must_use]
    pub fn rate(share: Share, min_per_second: u32, window: Duration) -> Self {
        Self(Arc::new(Kind::Rate(Rate::new(share, min_per_second, window))))
    }

    /// Allows a retry while a quota of `capacity` lasts. What the last retry of a call cost comes back if the call
    /// succeeds; a call that succeeds without a retry brings 1.
    ///
    /// The retry quota of the AWS SDKs; see [`QuotaCosts`] for theirs.
    #[must_use]
    pub fn quota(capacity: u32, costs: QuotaCosts) -> Self {
        Self(Arc::new(Kind::Quota(Quota::new(capacity, costs))))
    }

    /// Allows a retry while there are more than half of `max_tokens`. A failure takes one token, a success brings
    /// `ratio` of one.
    ///
    /// gRPC's retry throttling (proposal A6).
    #[must_use]
    pub fn throttle(max_tokens: u32, ratio: Share) -> Self {
        Self(Arc::new(Kind::Throttle(Throttle::new(max_tokens, ratio))))
    }

    /// Counts a call.
    fn begin(&self) {
        match &*self.0 {
            Kind::Concurrency(budget) => budget.begin(),
            Kind::Rate(budget) => budget.deposit(Instant::now()),
            Kind::Quota(_) | Kind::Throttle(_) => {}
        }
    }

    /// Hears how an attempt ended, and that it did.
    pub(crate) fn attempt_ended(&self, entry: &mut Entry, verdict: Verdict) {
        self.retry_ended(entry);
        let success = verdict == Verdict::Success;
        match &*self.0 {
            Kind::Quota(budget) if success => budget.give_back(entry.spent.take().unwrap_or(Quota::WITHOUT_RETRY)),
            Kind::Throttle(budget) if success => budget.succeeded(),
            Kind::Throttle(budget) if verdict.retry_here() => budget.failed(),
            _ => {}
        }
    }

    /// Takes a retry, or returns `false` if there is none.
    fn take(&self, entry: &mut Entry, verdict: Verdict, now: Instant) -> bool {
        match &*self.0 {
            Kind::Concurrency(budget) => {
                entry.retrying = budget.begin_retry();
                entry.retrying
            }
            Kind::Rate(budget) => budget.withdraw(now),
            Kind::Quota(budget) => {
                let cost = budget.take(verdict);
                entry.spent = cost.or(entry.spent);
                cost.is_some()
            }
            Kind::Throttle(budget) => budget.allows(),
        }
    }

    /// Puts back a retry that was taken at `taken` and is not made.
    fn put_back(&self, entry: &mut Entry, taken: Instant) {
        self.retry_ended(entry);
        match &*self.0 {
            Kind::Concurrency(_) | Kind::Throttle(_) => {}
            Kind::Rate(budget) => budget.put_back(taken, Instant::now()),
            Kind::Quota(budget) => budget.give_back(entry.spent.take().unwrap_or(0)),
        }
    }

    fn retry_ended(&self, entry: &mut Entry) {
        if let (Kind::Concurrency(budget), true) = (&*self.0, std::mem::take(&mut entry.retrying)) {
            budget.end_retry();
        }
    }

    /// Hears that a call ended, and a retry with it.
    pub(crate) fn call_ended(&self, entry: &mut Entry) {
        self.retry_ended(entry);
        if let Kind::Concurrency(budget) = &*self.0 {
            budget.end();
        }
    }
}

// === impl Share ===

impl Share {
    /// The whole.
    pub const ONE: Self = Self(1_000_000);

    /// Creates a share of `percent` hundredths. More than 100 is more than the whole, and allowed.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self(percent as u64 * 10_000)
    }

    /// Creates a share of `millionths`.
    #[must_use]
    pub const fn millionths(millionths: u32) -> Self {
        Self(millionths as u64)
    }

    /// Returns this share of `whole`, in millionths.
    pub(crate) const fn of(self, whole: u64) -> u64 {
        self.0.saturating_mul(whole)
    }

    /// Returns this share of `whole`, rounded down.
    pub(crate) const fn floor_of(self, whole: u64) -> u64 {
        self.of(whole) / Self::ONE.0
    }
}

// === impl Ledger ===

impl Ledger {
    /// Takes a retry from all budgets, or from none and returns `false`.
    #[must_use]
    pub(crate) fn take_retry(&mut self, budgets: &[Budget], verdict: Verdict) -> bool {
        if budgets.is_empty() {
            return true;
        }
        let now = Instant::now();
        let Self { entries, granted } = self;
        let mut asked = budgets.iter().zip(entries.iter_mut());
        let refused = asked.position(|(budget, entry)| !budget.take(entry, verdict, now));
        match refused {
            Some(refused) => {
                budgets.iter().zip(entries).take(refused).for_each(|(budget, entry)| budget.put_back(entry, now));
            }
            None => *granted = Some(now),
        }
        refused.is_none()
    }

    /// Hears that the retry that was granted begins: what it took is taken.
    pub(crate) const fn retry_begins(&mut self) {
        self.granted = None;
    }

    /// Puts back what was taken for a retry that has not begun.
    pub(crate) fn put_back(&mut self, budgets: &[Budget]) {
        if let Some(taken) = self.granted.take() {
            self.each(budgets, |budget, entry| budget.put_back(entry, taken));
        }
    }

    /// Calls `act` with each budget and what the call has in it.
    pub(crate) fn each(&mut self, budgets: &[Budget], act: impl Fn(&Budget, &mut Entry)) {
        budgets.iter().zip(&mut self.entries).for_each(|(budget, entry)| act(budget, entry));
    }
}

/// Counts a call in all `budgets`.
// Out of line, as all here: a call without a budget stays small.
#[inline(never)]
pub(crate) fn begin_all(budgets: &[Budget]) {
    budgets.iter().for_each(Budget::begin);
}
