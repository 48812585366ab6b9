//! What operators, and other replicas, can see and do.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    CircuitOpen, Key, Permit, State,
    breaker::{Breaker, World},
    change::Step,
    circuit::Circuit,
    keys::Registry,
    window::Tally,
};

/// Lists the circuits of a layer and operates them, also when the layer is in a box somewhere.
///
/// An order to a circuit that is not known yet makes one. What is ordered holds until the next order, except that a circuit
/// that was [opened](Self::open_for) finds its own way back.
#[derive(Clone)]
pub struct Handle(Arc<Registry>);

/// What a circuit is at a moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The circuit.
    pub key: Key,
    /// What it is.
    pub state: State,
    /// Which of its states that is, counted from the first.
    pub generation: u64,
    /// How long it is still open.
    pub open_for: Option<Duration>,
    /// How often in a row it opened, less the steps back.
    pub openings: u32,
    /// The calls that were counted: in the window, by the probes, or when it opened.
    pub calls: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// Those of them that were slow.
    pub slow: u32,
    /// Those of them that were slow and failed.
    pub slow_failed: u32,
    /// The percentage of failures, if there were enough calls.
    pub failure_rate: Option<f64>,
    /// The percentage of slow calls, if there were enough calls.
    pub slow_rate: Option<f64>,
    /// The calls that did not pass in this state.
    pub not_permitted: u64,
    /// The results that came after the state they began in, ever.
    pub stale: u64,
    /// It would be open, but its group does not let it.
    pub degraded: bool,
}

// === impl Handle ===

impl Handle {
    pub(crate) const fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }

    /// Returns what all circuits are, the layer's own first. The others come in no particular order.
    #[must_use]
    pub fn list(&self) -> Vec<Snapshot> {
        let now = Instant::now();
        self.0.all().iter().map(|circuit| Snapshot::of(circuit, now)).collect()
    }

    /// Returns what the circuit of `key` is, if it is known.
    #[must_use]
    pub fn snapshot(&self, key: &Key) -> Option<Snapshot> {
        self.0.known(key).map(|circuit| Snapshot::of(&circuit, Instant::now()))
    }

    /// Returns whether a call of `key` has a chance to pass at `now`: for those who choose where to send it. It takes no place,
    /// and as long as the circuit is closed it takes no lock either. Only [`acquire`](Self::acquire), or the layer, decides.
    #[must_use]
    pub fn admits(&self, key: &Key, now: Instant) -> bool {
        let Some(circuit) = self.0.known(key) else { return true };
        match circuit.gate().state() {
            State::Open => {
                // Time may have moved it on: then it is tried.
                let seen = Snapshot::of(&circuit, now);
                seen.state != State::Open || seen.open_for.is_some_and(|left| left.is_zero())
            }
            State::ForcedOpen => false,
            _ => true,
        }
    }

    /// Returns how many circuits were forgotten to make place for others.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.0.evicted()
    }

    /// Returns how many calls had a circuit for themselves alone, since all places were taken by circuits in need.
    #[must_use]
    pub fn overflow(&self) -> u64 {
        self.0.overflow()
    }

    /// Asks whether a call may pass, for those who call without a service.
    ///
    /// # Errors
    ///
    /// Returns the refusal if it may not.
    pub fn acquire(&self, key: &Key) -> Result<Permit, CircuitOpen> {
        Permit::acquire(self.0.keyed(key))
    }

    /// Lets no call pass until another order.
    pub fn force_open(&self, key: &Key) {
        self.order(key, State::ForcedOpen);
    }

    /// Lets all calls pass until another order, and counts nothing.
    pub fn disable(&self, key: &Key) {
        self.order(key, State::Disabled);
    }

    /// Lets all calls pass until another order, and counts them.
    pub fn metrics_only(&self, key: &Key) {
        self.order(key, State::MetricsOnly);
    }

    /// Closes the circuit and forgets all that it has seen.
    pub fn reset(&self, key: &Key) {
        self.order(key, State::Closed);
    }

    /// Opens the circuit for `time`, whatever it has seen and whatever its group says.
    pub fn open_for(&self, key: &Key, time: Duration) {
        self.run(&self.0.keyed(key), |breaker, world| ((), breaker.order_open(time, world)));
    }

    /// Ends the open time now: the next call is a probe. Returns whether the circuit was open.
    pub fn probe(&self, key: &Key) -> bool {
        let Some(circuit) = self.0.known(key) else { return false };
        self.run(&circuit, |breaker, world| {
            let step = breaker.order(State::HalfOpen, world);
            (step.is_some(), step)
        })
    }

    /// Passes on that somebody else found the target of `key` failing, and has opened its circuit for `open_for` from `now`.
    /// Returns whether it was of any use.
    ///
    /// It is a hint that shortens detection, and no more. For `open_for`, but not longer than
    /// [`Settings::max_advice`](crate::Settings::max_advice), a single failure or slow call opens the circuit here, for what
    /// is left of that time. With [`Settings::trust_advice`](crate::Settings::trust_advice) it opens at once. Either is of
    /// use only while the circuit is closed, and void once it changes its state: then it has seen for itself. A circuit that
    /// is not known here is not made for it, so nobody fills this memory from without. The group is asked as ever.
    pub fn advise(&self, key: &Key, open_for: Duration, now: Instant) -> bool {
        let Some(circuit) = self.0.known(key) else { return false };
        circuit.with(now, |breaker, world| breaker.advise(open_for, world))
    }

    fn order(&self, key: &Key, to: State) {
        self.run(&self.0.keyed(key), |breaker, world| ((), breaker.order(to, world)));
    }

    fn run<T>(&self, circuit: &Circuit, f: impl FnOnce(&mut Breaker, &World<'_>) -> (T, Option<Step>)) -> T {
        circuit.with(Instant::now(), f)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&format_args!("{} circuits", self.0.all().len())).finish()
    }
}

// === impl Snapshot ===

impl Snapshot {
    pub(crate) fn of(circuit: &Circuit, now: Instant) -> Self {
        circuit.with(now, |breaker, world| {
            let step = breaker.tick(world);
            let (tally, minimum) = breaker.seen(world);
            let Tally { total: calls, failed, slow, slow_failed } = tally;
            let rate = |part: u32| (calls > 0 && calls >= minimum).then(|| f64::from(part) * 100.0 / f64::from(calls));
            let open_for = breaker.until().map(|at| at.saturating_duration_since(now));
            let snapshot = Self {
                key: circuit.key().clone(),
                state: breaker.state(),
                generation: breaker.generation(),
                open_for,
                openings: breaker.openings(),
                calls,
                failed,
                slow,
                slow_failed,
                failure_rate: rate(failed),
                slow_rate: rate(slow),
                not_permitted: breaker.not_permitted(),
                stale: circuit.stale(),
                degraded: breaker.degraded(),
            };
            (snapshot, step)
        })
    }
}
