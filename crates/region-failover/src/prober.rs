//! Looks at all targets from time to time, by a probe that costs nothing.

use std::{
    fmt,
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use buttress_core::Target;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    fleet::Fleet,
    member::Member,
    policy::{Dice, mix},
    shared::Shared,
};

/// How targets are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    every: Duration,
    timeout: Duration,
    down_after: NonZeroU32,
    up_after: NonZeroU32,
    at_once: NonZeroU32,
}

/// Looks at all targets from time to time: see [`Handle::prober`](crate::Handle::prober).
///
/// # Cancel safety
///
/// Dropping it drops the probes under way; what they would have said is not missed.
pub struct Prober<P, F> {
    /// No reason to keep the targets when nobody else does.
    shared: Weak<Shared>,
    probing: Probing,
    probe: P,
    fleet: Option<Arc<Fleet>>,
    watches: Vec<Watch<F>>,
    /// Which is the first that may start.
    turn: usize,
    timer: Pin<Box<Sleep>>,
    dice: Dice,
}

/// One target, and what its probes came to.
struct Watch<F> {
    member: Arc<Member>,
    /// When the next probe is due, or the one under way is late.
    at: Instant,
    under_way: Option<Pin<Box<F>>>,
    failed: u32,
    answered: u32,
}

// === impl Probing ===

impl Probing {
    /// The least time from one probe of a target to the next.
    pub const LEAST: Duration = Duration::from_millis(100);

    /// Every 10 s, give or take a fifth; 5 s to answer; out after 3 failures, worth another look after 2 answers; 8 probes at
    /// once.
    pub const DEFAULT: Self = Self {
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
        down_after: at_least_one(3),
        up_after: at_least_one(2),
        at_once: at_least_one(8),
    };

    /// Sets how long it is from one probe of a target to the next, give or take a fifth. [`LEAST`](Self::LEAST) at least.
    #[must_use]
    pub const fn every(mut self, interval: Duration) -> Self {
        self.every = if interval.as_millis() < Self::LEAST.as_millis() { Self::LEAST } else { interval };
        self
    }

    /// Sets how long a probe may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many probes in a row must fail before the target is out.
    #[must_use]
    pub const fn down_after(mut self, failures: NonZeroU32) -> Self {
        self.down_after = failures;
        self
    }

    /// Sets how many probes in a row must be answered before a target that is out is worth another look.
    #[must_use]
    pub const fn up_after(mut self, answers: NonZeroU32) -> Self {
        self.up_after = answers;
        self
    }

    /// Sets how many probes may be under way at once.
    #[must_use]
    pub const fn at_once(mut self, probes: NonZeroU32) -> Self {
        self.at_once = probes;
        self
    }
}

impl Default for Probing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const fn at_least_one(n: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(n - 1)
}

// === impl Prober ===

impl<P, F> Prober<P, F> {
    /// How long it takes at most until a new list of targets is seen.
    const GLANCE: Duration = Duration::from_secs(1);

    pub(crate) fn new(shared: &Arc<Shared>, probing: Probing, probe: P) -> Self {
        // Another sequence than that of the choices, and as certain.
        let dice = Dice::new(mix(!shared.dice.seed()));
        let timer = Box::pin(sleep_until(Instant::now()));
        Self { shared: Arc::downgrade(shared), probing, probe, fleet: None, watches: Vec::new(), turn: 0, timer, dice }
    }

    /// Takes over a list of targets. What is known of those that stay is kept.
    fn follow(&mut self, fleet: Arc<Fleet>, now: Instant) {
        if self.fleet.as_ref().is_some_and(|known| Arc::ptr_eq(known, &fleet)) {
            return;
        }
        let mut before = std::mem::take(&mut self.watches);
        for member in fleet.members() {
            let name = member.target().name();
            let known = before.iter().position(|watch| watch.member.target().name() == name);
            let known = known.map(|at| before.swap_remove(at));
            // The first probes are spread over an interval, so that not all of them come at once.
            let fresh = || now + self.probing.every.min(Duration::from_secs(3_600)).mul_f64(self.dice_part());
            let watch = match known {
                Some(watch) if watch.member.target() == member.target() => {
                    Watch { member: Arc::clone(member), ..watch }
                }
                _ => Watch { member: Arc::clone(member), at: fresh(), under_way: None, failed: 0, answered: 0 },
            };
            self.watches.push(watch);
        }
        self.fleet = Some(fleet);
    }

    /// Returns a number in [0, 1).
    fn dice_part(&self) -> f64 {
        (self.dice.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next_time(&self, now: Instant) -> Instant {
        const FAR: Duration = Duration::from_secs(24 * 60 * 60);
        let interval = self.probing.every.min(FAR).mul_f64(0.8 + 0.4 * self.dice_part());
        now + interval
    }
}

impl<P, F> Prober<P, F>
where
    P: FnMut(Target) -> F,
    F: Future<Output: Into<Option<bool>>>,
{
    /// Polls what is under way, and starts what is due. Returns when there is something to do again.
    fn work(&mut self, cx: &mut Context<'_>, now: Instant) -> Instant {
        let (mut under_way, mut next) = (0, now + Self::GLANCE);
        for at in 0..self.watches.len() {
            let watch = &mut self.watches[at];
            let Some(probe) = &mut watch.under_way else { continue };
            match probe.as_mut().poll(cx) {
                Poll::Ready(alive) => self.settle(at, alive.into(), now),
                Poll::Pending if watch.at <= now => self.settle(at, Some(false), now),
                Poll::Pending => under_way += 1,
            }
        }
        let (all, first) = (self.watches.len(), self.turn);
        for at in (first..first + all).map(|at| at % all) {
            if under_way == self.probing.at_once.get() {
                break;
            }
            // Whoever had to wait is the first to go when there is room again.
            self.turn = at + 1;
            let watch = &mut self.watches[at];
            if watch.under_way.is_some() || watch.at > now {
                continue;
            }
            let mut probe = Box::pin((self.probe)(watch.member.target().clone()));
            if let Poll::Ready(alive) = probe.as_mut().poll(cx) {
                self.settle(at, alive.into(), now);
            } else {
                watch.under_way = Some(probe);
                watch.at = now.checked_add(self.probing.timeout).unwrap_or(now + Self::GLANCE);
                under_way += 1;
            }
        }
        for watch in &self.watches {
            // One that is due and has to wait for others is started when one of those ends.
            next = if watch.at > now { next.min(watch.at) } else { next };
        }
        next
    }

    fn settle(&mut self, at: usize, alive: Option<bool>, now: Instant) {
        let next = self.next_time(now);
        let Probing { down_after, up_after, .. } = self.probing;
        let watch = &mut self.watches[at];
        (watch.under_way, watch.at) = (None, next);
        let Some(alive) = alive else { return };
        (watch.failed, watch.answered) =
            if alive { (0, watch.answered.saturating_add(1)) } else { (watch.failed.saturating_add(1), 0) };
        // Once: if requests are served although probes fail, requests are right.
        if watch.failed == down_after.get() {
            watch.member.fell(now);
        } else if watch.answered >= up_after.get() {
            watch.member.probed(true, now);
        } else {
            return;
        }
        if let Some(fleet) = &self.fleet {
            fleet.changed();
        }
    }
}

impl<P, F> Future for Prober<P, F>
where
    P: FnMut(Target) -> F + Unpin,
    F: Future<Output: Into<Option<bool>>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let now = Instant::now();
            let Some(shared) = this.shared.upgrade() else { return Poll::Ready(()) };
            this.follow(shared.fleet(), now);
            let next = this.work(cx, now);
            this.timer.as_mut().reset(next);
            if this.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<P, F> fmt::Debug for Prober<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober").field("probing", &self.probing).finish_non_exhaustive()
    }
}
