//! The levels of one key, by themselves.

use std::time::Duration;

use crate::{Costs, Dimension, Limit, Limits, Shortage, arithmetic::BucketMut};

/// The levels of all limits of one key.
///
/// A token bucket with a signed level for each limit ([Turner, *New directions in communications*, 1986]; the same as GCRA in
/// ITU-T I.371), in whole numbers: every nanosecond brings exactly what the rate says, and nothing is rounded. A level below
/// zero is a debt, and nobody passes before it is refilled.
///
/// Times are nanoseconds since any moment. A clock that goes back brings nothing and takes nothing.
///
/// This is the whole state of a key, and these are all operations on it: whoever keeps levels elsewhere is right if the
/// answers are the same.
///
/// # Panics
///
/// Every operation is told the limits that the bucket was made for, or was [fitted](Self::refit) to last, and may panic if they are others.
///
/// [Turner, *New directions in communications*, 1986]: https://doi.org/10.1109/MCOM.1986.1092946
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket(
    /// The time, and then the levels.
    Box<[u64]>,
);

/// How one limit of a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The limit.
    pub limit: Limit,
    /// How much can be taken now, in whole units. Less than zero is a debt.
    pub level: i128,
    /// After which time the bucket is full, if nobody takes any more. Rounded up to nanoseconds.
    pub full_in: Duration,
}

// === impl Bucket ===

impl Bucket {
    /// Creates full buckets.
    #[must_use]
    pub fn full(limits: &Limits, now: u64) -> Self {
        let mut bucket = Self(vec![0; 1 + limits.width()].into_boxed_slice());
        bucket.view(limits).fill(now);
        bucket
    }

    /// Takes `costs` from all buckets, or from none.
    ///
    /// # Errors
    ///
    /// Returns which limits are short, and for how long.
    pub fn reserve(&mut self, limits: &Limits, costs: &Costs, now: u64) -> Result<(), Shortage> {
        self.view(limits).reserve(costs, now)
    }

    /// Asks whether `costs` could be taken, and takes nothing.
    ///
    /// # Errors
    ///
    /// Returns which limits are short, and for how long.
    pub fn check(&self, limits: &Limits, costs: &Costs, now: u64) -> Result<(), Shortage> {
        self.clone().reserve(limits, costs, now)
    }

    /// Replaces what was `reserved` by what a call has really cost. What was too much comes back, up to the capacity; what was
    /// too little is taken too, down to the [debt](Limit::max_debt) that is remembered.
    pub fn settle(&mut self, limits: &Limits, reserved: &Costs, actual: &Costs, now: u64) {
        self.view(limits).settle(reserved, actual, now);
    }

    /// Lowers the level of every limit on `dimension` to what somebody else says is left, where it is higher. Where nothing is
    /// left, the level is such that the bucket will not be full before `full_in` is over. Returns whether a level was lowered.
    pub fn observe(&mut self, limits: &Limits, dimension: Dimension, left: u64, full_in: Duration, now: u64) -> bool {
        self.view(limits).observe(dimension, left, full_in, now, now)
    }

    /// Fits buckets under `old` limits to `new` ones. What was used of a limit stays used under the limit of the same name
    /// and dimension; other limits begin full.
    #[must_use]
    pub fn refit(&mut self, old: &Limits, new: &Limits, now: u64) -> Self {
        self.view(old).refit(new, now)
    }

    /// Returns whether all buckets are full: a key of which that is true can be forgotten, and nothing is lost.
    #[must_use]
    pub fn is_full(&mut self, limits: &Limits, now: u64) -> bool {
        self.view(limits).is_full(now)
    }

    /// Returns how each limit stands.
    pub fn standings(&mut self, limits: &Limits, now: u64) -> impl Iterator<Item = Standing> {
        self.view(limits).stand(now).standings().collect::<Vec<_>>().into_iter()
    }

    /// Returns the levels as the arithmetic wants them.
    pub(crate) fn view<'a>(&'a mut self, limits: &'a Limits) -> BucketMut<'a> {
        let (last, levels) = self.0.split_first_mut().expect("the time is there");
        BucketMut::new(last, levels, limits)
    }

    /// Returns the words that they are, wherever they are to lie.
    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }
}
