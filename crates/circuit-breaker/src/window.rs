//! The calls that count: the last so many, or those of the last so many seconds.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    moment::{Moment, nanos},
    rules::Span,
};

/// How many calls ended, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) total: u32,
    pub(crate) failed: u32,
    pub(crate) slow: u32,
    pub(crate) slow_failed: u32,
}

/// One call that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

/// A window over the calls that ended. Its memory is fixed when it is made. A call costs the same however long the window.
///
/// The two kinds are those of resilience4j: a ring of calls, and a ring of buckets in time, both with running totals.
#[derive(Debug)]
pub(crate) struct Window {
    sum: Tally,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Count(Calls),
    Time(Buckets),
}

#[derive(Debug)]
struct Calls {
    ring: Box<[Mark]>,
    next: usize,
}

#[derive(Debug)]
struct Buckets {
    ring: Box<[Tally]>,
    /// The number of the newest bucket, counted from the beginning of time.
    tick: u64,
}

/// Numbers the buckets of a time window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    base: Instant,
    /// The length of a bucket in nanoseconds; zero if the window has no time.
    nanos: u64,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn add(&mut self, mark: Mark, times: u32) {
        let add = |count: &mut u32, counts: bool| *count = count.saturating_add(if counts { times } else { 0 });
        add(&mut self.total, true);
        add(&mut self.failed, mark.failed);
        add(&mut self.slow, mark.slow);
        add(&mut self.slow_failed, mark.failed && mark.slow);
    }

    fn take(&mut self, other: Self) {
        self.total = self.total.saturating_sub(other.total);
        self.failed = self.failed.saturating_sub(other.failed);
        self.slow = self.slow.saturating_sub(other.slow);
        self.slow_failed = self.slow_failed.saturating_sub(other.slow_failed);
    }

    /// Returns whether `part` of the calls are at least `percent` of `whole`.
    pub(crate) fn reaches(part: u32, whole: u32, percent: u32) -> bool {
        whole > 0 && u64::from(part) * 100 >= u64::from(whole) * u64::from(percent)
    }
}

// === impl Window ===

impl Window {
    pub(crate) fn new(span: Span) -> Self {
        let kind = match span {
            Span::Count(size) => {
                Kind::Count(Calls { ring: vec![Mark::default(); size.get() as usize].into(), next: 0 })
            }
            Span::Time(length) => {
                Kind::Time(Buckets { ring: vec![Tally::default(); buckets(length) as usize].into(), tick: 0 })
            }
        };
        Self { sum: Tally::default(), kind }
    }

    /// Adds `times` calls that ended alike at `tick`. An earlier tick than the last counts as the last.
    pub(crate) fn add(&mut self, mark: Mark, times: u32, tick: u64) {
        self.advance(tick);
        match &mut self.kind {
            // A ring that holds nothing but successes is the same after any number of them.
            Kind::Count(calls) if mark == Mark::default() && self.sum == calls.all_good() => {}
            Kind::Count(calls) => {
                for _ in 0..times.min(calls.ring.len() as u32) {
                    calls.push(mark, &mut self.sum);
                }
            }
            Kind::Time(buckets) => {
                // What the sum holds, the buckets hold: a full sum takes no more.
                let times = times.min(u32::MAX - self.sum.total);
                buckets.newest().add(mark, times);
                self.sum.add(mark, times);
            }
        }
    }

    /// Forgets what is too old at `tick`.
    pub(crate) fn advance(&mut self, tick: u64) {
        if let Kind::Time(buckets) = &mut self.kind {
            buckets.advance(tick, &mut self.sum);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.sum = Tally::default();
        match &mut self.kind {
            Kind::Count(calls) => calls.next = 0,
            Kind::Time(buckets) => buckets.ring.fill(Tally::default()),
        }
    }

    pub(crate) const fn sum(&self) -> Tally {
        self.sum
    }

    /// Returns how many calls the window can hold at most, if there is a bound.
    pub(crate) fn size(&self) -> Option<u32> {
        match &self.kind {
            Kind::Count(calls) => Some(calls.ring.len() as u32),
            Kind::Time(_) => None,
        }
    }
}

/// Seconds, where they are neither too few nor too many.
fn buckets(length: Duration) -> u64 {
    length.as_secs().clamp(10, 60)
}

// === impl Calls ===

impl Calls {
    /// Returns the sum of a full ring in which nothing is bad.
    fn all_good(&self) -> Tally {
        Tally { total: self.ring.len() as u32, ..Tally::default() }
    }

    fn push(&mut self, mark: Mark, sum: &mut Tally) {
        let full = sum.total as usize == self.ring.len();
        let oldest = std::mem::replace(&mut self.ring[self.next], mark);
        if !(full && oldest == mark) {
            if full {
                let mut gone = Tally::default();
                gone.add(oldest, 1);
                sum.take(gone);
            }
            sum.add(mark, 1);
        }
        // A division would cost more than all the rest.
        self.next += 1;
        if self.next == self.ring.len() {
            self.next = 0;
        }
    }
}

// === impl Buckets ===

impl Buckets {
    fn newest(&mut self) -> &mut Tally {
        let at = (self.tick % self.ring.len() as u64) as usize;
        &mut self.ring[at]
    }

    fn advance(&mut self, tick: u64, sum: &mut Tally) {
        let steps = tick.saturating_sub(self.tick).min(self.ring.len() as u64);
        // After a long pause only the last round matters.
        self.tick = self.tick.max(tick - steps.min(tick));
        for _ in 0..steps {
            self.tick += 1;
            sum.take(std::mem::take(self.newest()));
        }
    }
}

// === impl Ticks ===

impl Ticks {
    pub(crate) fn new(span: Span, base: Instant) -> Self {
        let nanos = match span {
            Span::Count(_) => 0,
            Span::Time(length) => nanos(length) / buckets(length),
        };
        Self { base, nanos }
    }

    /// Returns the number of the bucket that `now` falls into.
    pub(crate) fn at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.base)).checked_div(self.nanos).unwrap_or(0)
    }

    pub(crate) fn moment(&self, now: Instant) -> Moment {
        Moment::new(now.saturating_duration_since(self.base))
    }

    /// Returns whether there is any need to look at the clock.
    pub(crate) const fn tell_time(&self) -> bool {
        self.nanos > 0
    }
}
