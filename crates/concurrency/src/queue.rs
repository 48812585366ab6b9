//! Who waits, and who is next.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;

use crate::{Criticality, Shares};

/// How many calls may wait for a place, how long, and in which order.
///
/// Each class has a queue of its own, of this length. Calls of a class are served in the order in which they came. When the
/// oldest has waited for too long there is more than can be served, and the newest is served first: its caller is the
/// likeliest to be there still, while the oldest run into their deadlines. (*Adaptive LIFO*, with the target of CoDel, as in
/// *Fail at Scale*, B. Maurer, ACM Queue 13(8), 2015.) Nobody waits for ever: who is not served in time is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    pub(crate) length: u32,
    pub(crate) max_wait: Duration,
    pub(crate) target: Duration,
}

/// The calls that wait. A pure core: it is asked who is next, and told the time.
#[derive(Debug)]
pub(crate) struct Waiting {
    settings: Queue,
    shares: Shares,
    classes: [Class; Criticality::COUNT],
    /// Calls that have been given a place and do not know yet, with the number of calls then under way.
    granted: HashMap<u64, u32>,
    next: u64,
}

#[derive(Debug, Default)]
struct Class {
    /// By number, which is by age.
    waiting: BTreeMap<u64, Waiter>,
    /// Those that wait elsewhere, and will be back. They keep their room in the queue.
    away: u32,
    /// How many have a place. Counted only where there are shares.
    in_use: u32,
}

#[derive(Debug)]
struct Waiter {
    since: Instant,
    until: Instant,
    waker: Option<Waker>,
}

/// A call's turn in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    pub(crate) class: Criticality,
    pub(crate) since: Instant,
    pub(crate) until: Instant,
}

/// What becomes of a call that waits.
pub(crate) enum Next {
    /// It has a place.
    Granted(Option<Waker>),
    /// Its time was over before there was one.
    Expired(Option<Waker>),
}

/// What a call finds that asks for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waits,
    /// It has a place, taken when so many calls were under way.
    Granted(u32),
    Expired,
}

// === impl Queue ===

impl Queue {
    /// Lets nobody wait: a call that finds no place is refused.
    pub const NONE: Self = Self { length: 0, max_wait: Duration::ZERO, target: Duration::ZERO };

    /// Lets `length` calls of each class wait, for a second at most, and serves the newest first when the oldest has waited for
    /// 100 ms.
    #[must_use]
    pub const fn of(length: NonZeroU32) -> Self {
        Self { length: length.get(), max_wait: Duration::from_secs(1), target: Duration::from_millis(100) }
    }

    /// Sets how long a call may wait. Its own deadline holds in any case. More than a day counts as a day.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait.min(Duration::from_secs(86_400));
        self
    }

    /// Sets how long the oldest call must have waited before the newest is served first. [`Duration::MAX`] keeps the order in
    /// any case, and zero turns it round at once.
    #[must_use]
    pub const fn newest_first_after(mut self, target: Duration) -> Self {
        self.target = target;
        self
    }
}

// === impl Waiting ===

impl Waiting {
    pub(crate) fn new(settings: Queue, shares: Shares) -> Self {
        Self { settings, shares, classes: Default::default(), granted: HashMap::new(), next: 0 }
    }

    /// Takes a call in, or returns `None` if there is no room.
    pub(crate) fn enter(&mut self, class: Criticality, since: Instant, until: Instant) -> Option<Turn> {
        let queue = &self.classes[class.index()];
        if queue.waiting.len() as u64 + u64::from(queue.away) >= u64::from(self.settings.length) {
            return None;
        }
        let turn = Turn { number: self.next, class, since, until };
        self.next += 1;
        self.wait(&turn);
        Some(turn)
    }

    /// Lets a call that has a turn wait for a place.
    fn wait(&mut self, turn: &Turn) {
        let waiter = Waiter { since: turn.since, until: turn.until, waker: None };
        self.classes[turn.class.index()].waiting.insert(turn.number, waiter);
    }

    /// Lets a call wait elsewhere and keep its turn.
    pub(crate) fn step_aside(&mut self, turn: &Turn) {
        self.classes[turn.class.index()].away += 1;
    }

    /// Takes a call in again that was [aside](Self::step_aside), where it was.
    pub(crate) fn come_back(&mut self, turn: &Turn) {
        self.stay_away(turn);
        self.wait(turn);
    }

    /// Forgets a call that was [aside](Self::step_aside).
    pub(crate) fn stay_away(&mut self, turn: &Turn) {
        let away = &mut self.classes[turn.class.index()].away;
        *away = away.saturating_sub(1);
    }

    /// Takes who is next out of the queue: granted, where it has still time, as one of `in_flight`.
    pub(crate) fn next(&mut self, limit: u32, in_flight: u32, now: Instant) -> Option<Next> {
        let class = self.next_class(limit)?;
        let target = self.settings.target;
        let queue = &mut self.classes[class.index()].waiting;
        let overloaded =
            queue.first_key_value().is_some_and(|(_, oldest)| now.saturating_duration_since(oldest.since) > target);
        let (number, waiter) = if overloaded { queue.pop_last() } else { queue.pop_first() }?;
        if waiter.until <= now {
            return Some(Next::Expired(waiter.waker));
        }
        self.granted.insert(number, in_flight);
        self.place_taken(class);
        Some(Next::Granted(waiter.waker))
    }

    /// First who has less than it is guaranteed, then who matters most.
    fn next_class(&self, limit: u32) -> Option<Criticality> {
        let waits = |class: &Criticality| !self.classes[class.index()].waiting.is_empty();
        let owed = |class: &Criticality| {
            waits(class) && self.classes[class.index()].in_use < self.shares.guaranteed(*class, limit)
        };
        let owed = if self.shares.are_none() { None } else { Criticality::ALL.into_iter().find(owed) };
        owed.or_else(|| Criticality::ALL.into_iter().find(waits))
    }

    /// Returns how a call stands. One that has a place is no longer known.
    pub(crate) fn ask(&mut self, turn: &Turn, waker: &Waker) -> State {
        if let Some(waiter) = self.classes[turn.class.index()].waiting.get_mut(&turn.number) {
            match &mut waiter.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return State::Waits;
        }
        self.granted.remove(&turn.number).map_or(State::Expired, State::Granted)
    }

    /// Forgets a call, and returns whether it had a place, which is now another's.
    pub(crate) fn leave(&mut self, turn: &Turn) -> bool {
        self.classes[turn.class.index()].waiting.remove(&turn.number);
        self.granted.remove(&turn.number).is_some()
    }

    pub(crate) fn place_taken(&mut self, class: Criticality) {
        self.classes[class.index()].in_use += u32::from(!self.shares.are_none());
    }

    pub(crate) fn place_freed(&mut self, class: Criticality) {
        self.classes[class.index()].in_use -= u32::from(!self.shares.are_none());
    }

    /// Returns whether places may be taken without asking here.
    pub(crate) fn may_be_passed(&self) -> bool {
        self.shares.are_none() && !self.somebody_waits()
    }

    pub(crate) fn somebody_waits(&self) -> bool {
        self.classes.iter().any(|class| !class.waiting.is_empty())
    }

    pub(crate) fn has_shares(&self) -> bool {
        !self.shares.are_none()
    }

    /// Returns how many calls wait.
    pub(crate) fn len(&self) -> usize {
        self.classes.iter().map(|class| class.waiting.len() + class.away as usize).sum()
    }
}
