//! A breaker that many calls share.
//!
//! A call through a closed circuit takes no lock. Whether it may pass is one load. A success that changes nothing but a
//! count is counted in one word, which whoever takes the lock next brings into the window.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::{
    Change, CircuitOpen, EjectionGroup, Key, OnChange, State,
    breaker::{Admission, Breaker, World},
    change::Step,
    moment::Moment,
    outcome::{Kind, Outcome},
    rules::Rules,
    settings::Settings,
    sync::{AtomicU64, Mutex, Ordering, lock},
    window::Ticks,
};

/// A breaker, its key, and the words that calls look at first.
///
/// What each call reads stands together, beside the count of references: among ten thousand circuits, what a call costs is
/// the lines of memory that it touches.
#[repr(C)]
pub(crate) struct Circuit {
    /// The generation and the state.
    gate: AtomicU64,
    /// Successes that are not in the window yet. See [`Calm`].
    calm: AtomicU64,
    shared: Arc<Shared>,
    key: Key,
    locked: Mutex<Locked>,
    /// Results that came too late to count.
    stale: AtomicU64,
}

struct Locked {
    breaker: Breaker,
    /// The tick that the successes in `calm` belong to.
    calm_tick: u64,
}

/// What all circuits of a layer share.
pub(crate) struct Shared {
    pub(crate) rules: Rules,
    pub(crate) group: Option<EjectionGroup>,
    on_change: Option<Arc<dyn OnChange>>,
    rng: Mutex<StdRng>,
    ticks: Ticks,
}

/// A generation and a state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate(u64);

/// Successes in one generation and one tick, in one word: 28 bits of the generation, 27 of the tick, one that says that
/// it may be added to, and 8 of the count.
#[derive(Clone, Copy)]
struct Calm(u64);

// === impl Shared ===

impl Shared {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        let Settings { rules, seed, group, on_change, .. } = settings;
        let rng = seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
        Self { rules, group, on_change, rng: Mutex::new(rng), ticks: Ticks::new(rules.span, now) }
    }

    #[inline]
    pub(crate) fn moment(&self, now: Instant) -> Moment {
        self.ticks.moment(now)
    }

    fn unit(&self) -> f64 {
        lock(&self.rng).random()
    }
}

// === impl Gate ===

impl Gate {
    const STATES: [State; 7] = [
        State::Closed,
        State::Open,
        State::HalfOpen,
        State::Ramping,
        State::ForcedOpen,
        State::Disabled,
        State::MetricsOnly,
    ];

    const fn of(breaker: &Breaker) -> Self {
        Self(breaker.generation() << 3 | breaker.state() as u64)
    }

    pub(crate) const fn state(self) -> State {
        Self::STATES[(self.0 & 7) as usize % 7]
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0 >> 3
    }

    /// Returns whether what is let pass is to find something out.
    #[inline]
    pub(crate) const fn is_trial(self) -> bool {
        matches!(self.state(), State::HalfOpen | State::Ramping)
    }
}

// === impl Calm ===

impl Calm {
    const ARMED: u64 = 1 << 8;
    const COUNT: u64 = Self::ARMED - 1;
    /// Then somebody takes the lock.
    const MOST: u64 = 64;

    const fn new(generation: u64, tick: u64) -> Self {
        Self(generation << 36 | (tick & ((1 << 27) - 1)) << 9 | Self::ARMED)
    }

    const fn count(self) -> u32 {
        (self.0 & Self::COUNT) as u32
    }

    /// Returns whether one more of `other`'s generation and tick can be added.
    const fn takes(self, other: Self) -> bool {
        self.0 & !Self::COUNT == other.0 && self.0 & Self::COUNT < Self::MOST
    }
}

// === impl Circuit ===

impl Circuit {
    pub(crate) fn new(key: Key, shared: Arc<Shared>, now: Instant) -> Self {
        let breaker = Breaker::new(&shared.rules, now);
        if let Some(group) = &shared.group {
            group.join();
            if breaker.state().is_ejected() {
                group.force();
            }
        }
        let gate = AtomicU64::new(Gate::of(&breaker).0);
        let locked = Mutex::new(Locked { breaker, calm_tick: 0 });
        Self { key, gate, calm: AtomicU64::new(0), stale: AtomicU64::new(0), locked, shared }
    }

    pub(crate) const fn key(&self) -> &Key {
        &self.key
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    #[inline]
    pub(crate) fn gate(&self) -> Gate {
        Gate(self.gate.load(Ordering::Acquire))
    }

    /// Asks whether a call may pass. If so, it must be reported under the gate that is returned.
    #[inline]
    pub(crate) fn acquire(&self, clock: impl FnOnce() -> Instant) -> Result<Gate, CircuitOpen> {
        let gate = self.gate();
        match gate.state() {
            State::Closed | State::Disabled | State::MetricsOnly => Ok(gate),
            _ => self.acquire_locked(clock()),
        }
    }

    #[cold]
    fn acquire_locked(&self, now: Instant) -> Result<Gate, CircuitOpen> {
        let (admission, gate) = self.with(now, |breaker, world| {
            let (admission, step) = breaker.acquire(world);
            ((admission, Gate::of(breaker)), step)
        });
        let Admission::Refused { state, after } = admission else { return Ok(gate) };
        let open = CircuitOpen::new(self.key.clone(), state, after);
        debug!(target: "buttress_circuit_breaker", key = %self.key, state = state.as_str(), reason = %open, "refused");
        Err(open)
    }

    /// Counts how a call ended that was admitted under `gate`.
    #[inline]
    pub(crate) fn record(&self, gate: Gate, outcome: Outcome, clock: impl FnOnce() -> Instant) {
        if gate.state() == State::Disabled {
            return;
        }
        let in_closed = gate.state() == State::Closed;
        let good = outcome.kind == Kind::Success && !outcome.slow;
        let nothing = matches!(outcome.kind, Kind::Neutral | Kind::Dropped) && !outcome.slow && outcome.hint.is_none();
        if in_closed && nothing {
            return;
        }
        let now = clock();
        if !(in_closed && good && outcome.hint.is_none() && self.count(gate, self.shared.ticks.at(now))) {
            self.record_locked(gate, outcome, now);
        }
    }

    /// Counts a success of a call that was admitted under `gate`, and was not slow.
    #[inline]
    pub(crate) fn succeed(&self, gate: Gate) {
        let timeless = gate.state() == State::Closed && !self.shared.ticks.tell_time();
        if !(timeless && self.count(gate, 0)) {
            self.succeed_timed(gate);
        }
    }

    #[inline(never)]
    fn succeed_timed(&self, gate: Gate) {
        self.record(gate, Outcome::new(Kind::Success, false), Instant::now);
    }

    /// Counts a success in a circuit that was closed, without the lock, if that is all there is to do.
    ///
    /// The count says to which generation it belongs, so that none is added to a later one. Relaxed is enough for that;
    /// what is in the window is read under the lock.
    #[inline]
    fn count(&self, gate: Gate, tick: u64) -> bool {
        let mine = Calm::new(gate.generation(), tick);
        let add = |word: u64| Calm(word).takes(mine).then_some(word + 1);
        self.calm.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    #[cold]
    fn record_locked(&self, gate: Gate, outcome: Outcome, now: Instant) {
        self.with(now, |breaker, world| {
            if gate.generation() != breaker.generation() {
                self.stale.fetch_add(1, Ordering::Relaxed);
            }
            ((), breaker.record(gate.generation(), outcome, world))
        });
    }

    /// Notes that a call has the head of an answer. That matters only for probes.
    pub(crate) fn note_answer(&self, gate: Gate, now: Instant) {
        self.with(now, |breaker, _| (breaker.note_answer(gate.generation()), None));
    }

    /// Lets `f` see or change the breaker. Tells of the change after the lock is released.
    pub(crate) fn with<T>(&self, now: Instant, f: impl FnOnce(&mut Breaker, &World<'_>) -> (T, Option<Step>)) -> T {
        let (Shared { rules, group, .. }, tick) = (&*self.shared, self.shared.ticks.at(now));
        let unit = || self.shared.unit();
        let world = World { rules, group: group.as_ref(), unit: &unit, now, tick };
        let mut locked = lock(&self.locked);
        let Locked { breaker, calm_tick } = &mut *locked;
        // Until it is armed again below, successes wait for the lock.
        let calm = Calm(self.calm.swap(0, Ordering::Relaxed));
        breaker.add_successes(calm.count(), *calm_tick);
        // Whether it is calm is judged below, and not by what is too old by now.
        breaker.advance(tick);
        let (answer, step) = f(breaker, &world);
        if step.is_some() {
            self.gate.store(Gate::of(breaker).0, Ordering::Release);
        }
        if breaker.is_calm(rules) {
            *calm_tick = tick;
            self.calm.store(Calm::new(breaker.generation(), tick).0, Ordering::Relaxed);
        }
        drop(locked);
        if let Some(step) = step {
            self.tell(step);
        }
        answer
    }

    pub(crate) fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    fn tell(&self, step: Step) {
        let Step { from, to, cause, open_for, generation, at } = step;
        info!(
            target: "buttress_circuit_breaker",
            key = %self.key,
            from = from.as_str(),
            to = to.as_str(),
            cause = cause.as_str(),
            open_for_ms = open_for.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            generation,
            "circuit changed"
        );
        if let Some(observer) = &self.shared.on_change {
            let change = Change { key: self.key.clone(), from, to, cause, open_for, generation, at };
            // A call may be on its way out of a panic already, and a second one would end the process.
            drop(catch_unwind(AssertUnwindSafe(|| observer.on_change(&change))));
        }
    }
}

impl Drop for Circuit {
    fn drop(&mut self) {
        if let Some(group) = &self.shared.group {
            if self.gate().state().is_ejected() {
                group.restore();
            }
            group.leave();
        }
    }
}

#[cfg(all(test, buttress_loom))]
mod loom_tests;
