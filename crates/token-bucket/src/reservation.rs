//! What a call has taken, until it is settled.

use std::{fmt, num::NonZeroU32, sync::Arc};

use buttress_core::{BodyEnd, End, Usage};
use tokio::time::Instant;

use crate::{
    Costs, Fingerprint,
    limiter::{Limiter, Taken},
};

/// What a call has taken from its buckets. It is settled once: by what the call has really cost, or, when it is dropped, by
/// [what is charged](Settling::dropped) for calls that were given up.
#[must_use = "a reservation that is dropped at once is settled at once"]
pub struct Reservation {
    /// Nothing once it is settled, or where nothing is to be settled: to count a reference costs as much as the lock does. What keeps a reservation so takes it out and leaves the rest where it is, unread.
    limiter: Option<Arc<Limiter>>,
    taken: Taken,
}

/// What is charged for a call that did not tell what it has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Charge {
    /// All that was reserved.
    InFull,
    /// The request itself, and no tokens.
    Request,
    /// The request and its input, and of the output that was reserved one token for so many bytes that came. The framing of a
    /// stream makes more bytes than the text in it has, so that 4 charge rather too much.
    ByBytes(NonZeroU32),
    /// Nothing.
    Nothing,
}

/// What is charged, and when.
#[derive(Clone)]
pub struct Settling {
    pub(crate) failed: Charge,
    pub(crate) dropped: Charge,
    pub(crate) aborted: Charge,
    pub(crate) actual: Actual,
}

type Actual = Arc<dyn Fn(&Costs, &Usage) -> Costs + Send + Sync>;

// === impl Reservation ===

impl Reservation {
    #[inline]
    pub(crate) const fn new(limiter: Arc<Limiter>, taken: Taken) -> Self {
        Self { limiter: Some(limiter), taken }
    }

    /// Creates the reservation of a call that costs what it has taken, however it ends.
    #[inline]
    pub(crate) const fn kept(taken: Taken) -> Self {
        Self { limiter: None, taken }
    }

    /// Returns what was taken.
    #[must_use]
    pub const fn costs(&self) -> &Costs {
        &self.taken.costs
    }

    /// Returns from whose buckets it was taken.
    #[must_use]
    pub const fn key(&self) -> Fingerprint {
        self.taken.owner.key
    }

    /// Replaces what was taken by what the call has really cost, and wakes who waits for what is left over.
    ///
    /// What comes back is there from `now` on, up to what the bucket holds, even if as much had been refilled meanwhile: in an interval in
    /// which much comes back of calls that began before it, as much more can be taken.
    pub fn settle(mut self, actual: &Costs, now: Instant) {
        self.settle_by(|_, _| *actual, || now);
    }

    /// Settles by what was told of the usage, as the layer was [set up](crate::TokenBucketLayer::settling) to.
    pub fn settle_usage(mut self, usage: &Usage, now: Instant) {
        self.settle_by(|settling, reserved| (settling.actual)(reserved, usage), || now);
    }

    /// Gives all back: the call was never made.
    pub fn cancel(self, now: Instant) {
        self.settle(&Costs::ZERO, now);
    }

    /// Keeps all that was taken.
    #[inline]
    pub fn keep(mut self) {
        drop(self.limiter.take());
    }

    /// Settles a call that failed.
    pub(crate) fn failed(mut self) {
        self.settle_by(|settling, reserved| settling.failed.of(reserved, None), Instant::now);
    }

    /// Settles a call whose answer has ended.
    pub(crate) fn ended(mut self, end: &BodyEnd, failed: bool, usage: Option<Usage>) {
        let actual = |settling: &Settling, reserved: &Costs| {
            let told = usage.map(|usage| (settling.actual)(reserved, &usage));
            match (told, end.end) {
                (Some(told), End::Complete) => told,
                // What comes of a failure is no output.
                (Some(told), _) if failed => told,
                // What was told so far of an answer that was cut short may be less than what had come of it.
                (Some(told), _) => settling.aborted.at_least(&told, reserved, end.bytes),
                (None, _) if failed => settling.failed.of(reserved, Some(end.bytes)),
                (None, End::Complete) => *reserved,
                (None, _) => settling.aborted.of(reserved, Some(end.bytes)),
            }
        };
        self.settle_by(actual, Instant::now);
    }

    fn settle_by(&mut self, actual: impl FnOnce(&Settling, &Costs) -> Costs, now: impl FnOnce() -> Instant) {
        let Some(limiter) = &self.limiter else { return };
        // If this panics, it is given up when it is dropped.
        let actual = actual(&limiter.settling, &self.taken.costs);
        let Some(limiter) = self.limiter.take() else { return };
        if actual != self.taken.costs {
            let first = limiter.settle(&self.taken, &actual, now());
            // After the lock is given back: a waker may run anything.
            first.into_iter().for_each(std::task::Waker::wake);
        }
    }

    /// Settles a call that nobody has settled.
    #[cold]
    fn given_up(&mut self) {
        self.settle_by(|settling, reserved| settling.dropped.of(reserved, None), Instant::now);
    }

    pub(crate) const fn limiter(&self) -> Option<&Arc<Limiter>> {
        self.limiter.as_ref()
    }

    pub(crate) const fn taken(&self) -> &Taken {
        &self.taken
    }
}

impl Drop for Reservation {
    #[inline]
    fn drop(&mut self) {
        if self.limiter.is_some() {
            self.given_up();
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("taken", &self.taken).finish_non_exhaustive()
    }
}

// === impl Charge ===

impl Charge {
    fn of(self, reserved: &Costs, bytes: Option<u64>) -> Costs {
        match self {
            Self::InFull => *reserved,
            Self::Request => reserved.request_only(),
            Self::ByBytes(each) => {
                reserved.with_output_up_to(bytes.unwrap_or(u64::MAX).div_ceil(u64::from(each.get())))
            }
            Self::Nothing => Costs::ZERO,
        }
    }

    /// Returns what is charged for an answer that told that it had cost `told` so far.
    fn at_least(self, told: &Costs, reserved: &Costs, bytes: u64) -> Costs {
        match self {
            Self::InFull => told.at_least(reserved),
            Self::ByBytes(_) => told.with_output_at_least(&self.of(reserved, Some(bytes))),
            Self::Request | Self::Nothing => *told,
        }
    }
}

// === impl Settling ===

impl Default for Settling {
    /// A call that failed costs its request. A call that was given up before it was answered costs what was reserved: the work
    /// may have been done. An answer that was cut short costs its input, and a token of output for each 4 bytes. Where the usage
    /// is told, it counts.
    fn default() -> Self {
        Self {
            failed: Charge::Request,
            dropped: Charge::InFull,
            aborted: Charge::ByBytes(NonZeroU32::new(4).expect("not zero")),
            actual: Arc::new(|reserved, usage| reserved.with_usage(usage)),
        }
    }
}

impl Settling {
    /// Returns whether a call that takes `costs` has cost them however it ends, unless it tells.
    #[inline]
    pub(crate) fn keeps(&self, costs: &Costs) -> bool {
        let whole = |charge| matches!(charge, Charge::InFull | Charge::Request);
        whole(self.failed) && whole(self.dropped) && costs.is_request_only()
    }

    /// Sets what is charged for a call that failed, by an error or by its status, and did not tell its usage.
    #[must_use]
    pub const fn failed(mut self, charge: Charge) -> Self {
        self.failed = charge;
        self
    }

    /// Sets what is charged for a call that was given up before it was answered.
    #[must_use]
    pub const fn dropped(mut self, charge: Charge) -> Self {
        self.dropped = charge;
        self
    }

    /// Sets what is charged for an answer that was cut short, by the caller or by an error.
    #[must_use]
    pub const fn aborted(mut self, charge: Charge) -> Self {
        self.aborted = charge;
        self
    }

    /// Sets what a call has cost that told its usage, from what was reserved and what was told: [`Costs::with_usage`] by
    /// default.
    #[must_use]
    pub fn actual(mut self, actual: impl Fn(&Costs, &Usage) -> Costs + Send + Sync + 'static) -> Self {
        self.actual = Arc::new(actual);
        self
    }
}

impl fmt::Debug for Settling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failed, dropped, aborted, .. } = self;
        let mut all = f.debug_struct("Settling");
        all.field("failed", failed).field("dropped", dropped).field("aborted", aborted).finish_non_exhaustive()
    }
}
